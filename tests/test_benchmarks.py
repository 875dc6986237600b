"""The speed comparison without its clock: models, engines' agreement, measure of error, counts, and the page."""

from __future__ import annotations

import importlib
import math
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))

PEERS = ("libroadrunner", "amici", "copasi", "numbalsoda", "diffsol", "diffrax")
FEW = 4


@pytest.fixture(scope="module")
def problem() -> ModuleType:
    return importlib.import_module("problem")


@pytest.fixture(scope="module")
def solved(problem: ModuleType) -> dict[str, tuple[Any, Any, np.ndarray]]:
    """Each model, a few subjects, and their reference."""
    ours = importlib.import_module("engines.antagony")
    found = {}
    for name, (model, make) in problem.MODELS.items():
        few = make(FEW)
        found[name] = (model(), few, ours.build(model())(few, 1e-10))
    return found


def test_the_model_is_as_large_as_it_says(problem: ModuleType) -> None:
    model = problem.bench_model()
    assert len(model.states) == 23
    assert len(model.parameters) == 79
    assert set(problem.VARIED) <= set(model.parameters)
    assert problem.TIMES.size == 50


def test_the_case_gives_its_largest_mechanism(problem: ModuleType) -> None:
    from antagony.case import open_case

    case = open_case()
    drugs = case.scenes[problem.SCENE].regimen.drugs
    sizes = {slug: len(case.mechanism(slug, drugs, problem.VARIANTS).state_units) for slug in case.wirings}
    assert max(sizes, key=sizes.__getitem__) == problem.SLUG
    assert len(problem.case_model().states) == sizes[problem.SLUG]


def test_the_cell_divides(problem: ModuleType, solved: dict[str, tuple[Any, Any, np.ndarray]]) -> None:
    model, _, values = solved["cycle"]
    mass = values[:, :, model.states.index("m")]
    divisions = (np.diff(mass, axis=1) < -0.2).sum(axis=1)
    assert (divisions >= 2).all()
    assert (divisions <= 6).all()


def test_subjects_differ_and_their_events_are_in_order(problem: ModuleType) -> None:
    made = problem.make_problem(200, doses=2)
    cv = made.varied.std(axis=0) / made.varied.mean(axis=0)
    np.testing.assert_allclose(cv, problem.SPREAD, atol=0.08)
    assert (np.diff(made.time, axis=1) > 0).all()
    assert np.unique(made.time[:, 0]).size == 200
    np.testing.assert_array_equal(made.take(3).time, made.time[:3])


@pytest.mark.slow
@pytest.mark.parametrize("model", ["bench", "case", "cycle"])
@pytest.mark.parametrize("name", PEERS)
def test_every_engine_agrees_with_the_reference(
    name: str, model: str, solved: dict[str, tuple[Any, Any, np.ndarray]], problem: ModuleType
) -> None:
    try:
        engine = importlib.import_module(f"engines.{name}")
    except ImportError as missing:
        pytest.skip(f"{name} is not installed: {missing}")
    from engines import CannotExpressError

    made, few, reference = solved[model]
    try:
        values = engine.build(made)(few, 1e-8 if name != "diffrax" else 1e-6)
    except CannotExpressError as reason:
        pytest.skip(f"{name}, {model}: {reason}")
    sound = np.isfinite(values).all(axis=(1, 2))  # CVODE may stop where an infusion starts
    assert sound.sum() >= FEW - 1
    assert problem.error(values[sound], reference[sound])[1] < 2e-4


def test_28_doses_agree_with_roadrunner(problem: ModuleType) -> None:
    pytest.importorskip("roadrunner")
    model, few = problem.bench_model(28), problem.make_problem(FEW, 28)
    theirs = importlib.import_module("engines.libroadrunner").build(model)(few, 1e-9)
    sound = np.isfinite(theirs).all(axis=(1, 2))
    assert sound.any()
    ours = importlib.import_module("engines.antagony").build(model)(few, 1e-8)
    assert problem.error(theirs[sound], ours[sound])[1] < 1e-5


def test_the_error_is_zero_for_equal_values_and_catches_a_planted_one(problem: ModuleType) -> None:
    reference = np.random.default_rng(1).uniform(1, 2, (101, 5, 3))
    reference[:, 0, :] = 2.0  # the largest value of every state, so that the scale is known
    assert problem.error(reference, reference) == (0.0, 0.0)
    planted = reference.copy()
    planted[:, 3, 1] += 2e-4
    planted[7, 2, 0] += 2e-2
    median, high = problem.error(planted, reference)
    assert median == pytest.approx(1e-4, rel=1e-6)
    assert high == pytest.approx(1e-4, rel=1e-6)
    planted[8:12, 2, 0] += 2e-2
    assert problem.error(planted, reference)[1] == pytest.approx(1e-2, rel=1e-6)


def entry(speed: float, error: float) -> dict[str, Any]:
    found = {"error_median": error, "error_p99": error, "failed": 0, "subjects": 8, "speeds": [speed, speed, speed]}
    importlib.import_module("bench").summarise(found)
    return found


def engines_found() -> dict[str, Any]:
    ours = {"0.001": entry(800, 1e-3), "1e-05": entry(200, 1e-5), "1e-06": entry(100, 1e-6)}
    rough = {"0.0001": entry(10, 2e-3), "1e-06": entry(10, 2e-5), "1e-08": entry(10, 1e-9)}
    times = {"cold_seconds": 1.0, "again_seconds": 0.5, "memory_mb": 10.0}
    return {"antagony": {**times, "settings": ours}, "diffsol": {**times, "settings": rough}}


def test_ratios_stand_against_a_setting_that_is_no_less_accurate() -> None:
    table = importlib.import_module("bench").comparable(engines_found())
    rows = {rtol: (row.get("ratio"), row.get("against")) for rtol, row in table["diffsol"].items()}
    assert rows == {"0.0001": (80, "0.001"), "1e-06": (20, "1e-05"), "1e-08": (None, None)}


def measured() -> dict[str, Any]:
    bench = importlib.import_module("bench")
    engines = engines_found()
    model = {"title": "a model", "source": "a source", "engines": engines, "skipped": {"amici": "it is absent"}}
    result: dict[str, Any] = {"models": {"bench": {**model, "comparable_error": bench.comparable(engines)}}}
    return {**result, "two_cores": {"antagony": 1.95}, "many_doses": {"over_once": 2.0}}


def test_a_missed_target_is_told_from_one_that_is_met_and_one_not_asked(capsys: pytest.CaptureFixture[str]) -> None:
    bench = importlib.import_module("bench")
    judged = bench.judge(measured())
    assert judged["best_other"] == "diffsol"
    assert judged["over_best_other"]["measured"] == 20
    assert not bench.show_targets(judged)
    said = capsys.readouterr().out
    assert said.count("MISSED") == 2  # 20 of 40 and 2 of 3
    assert said.count("not asked") == 1
    assert "measured 1.95, met" in said


def test_the_page_says_what_was_measured() -> None:
    bench, page = importlib.import_module("bench"), importlib.import_module("speed_page")
    facts = {"date": "2026-01-02", "machine": "a machine", "rounds": 5, "command": "a command", "versions": {"x": "1"}}
    text = page.render({**facts, **measured(), "targets": bench.judge(measured()), "configured": {"diffsol": "so"}})
    wanted = ("2026-01-02, a machine", "20.0 (1e-05)", "none of ours is as accurate", "amici: skipped, it is absent")
    for said in wanted:
        assert said in text


def test_operations_are_counted_with_those_of_the_functions_called() -> None:
    peak = importlib.import_module("peak")
    text = (
        "INLINE V twice(V a) {\n  return a + a;\n}\n"
        "static void rates(V t, const V *restrict y, V *restrict f) {\n"
        "  /* a - comment - counts - nothing */\n"
        "  const V c0 = twice((y[0] + K(1e-3)));\n"
        "  f[0] = (c0*y[1] - K(-2.0)/y[0]);\n}\n"
    )
    assert peak._operations(text, "rates") == 5


def test_no_kernel_passes_the_peak(problem: ModuleType) -> None:
    peak = importlib.import_module("peak")
    assert peak.measure_peak() > 1e8
    assert math.isfinite(peak.operations_of_step(problem.bench_model()))
    assert peak.operations_of_step(problem.bench_model()) > 8 * 23 * 10
