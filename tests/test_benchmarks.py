"""The speed comparison without its clock: its model, its engines' agreement, and its measure of error."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))


@pytest.fixture(scope="module")
def problem() -> ModuleType:
    return importlib.import_module("problem")


@pytest.fixture(scope="module")
def engines() -> ModuleType:
    return importlib.import_module("engines")


def test_the_model_is_as_large_as_it_says(problem: ModuleType) -> None:
    parameters = problem.nominal().keys() - set(problem.states())
    assert len(problem.states()) == 23
    assert len(parameters) == 79
    assert set(problem.VARIED) <= parameters
    assert problem.TIMES.size == 50


def test_subjects_differ_and_their_events_are_in_order(problem: ModuleType) -> None:
    made = problem.make_problem(200, doses=2)
    cv = made.varied.std(axis=0) / made.varied.mean(axis=0)
    np.testing.assert_allclose(cv, problem.SPREAD, atol=0.08)
    assert (np.diff(made.time, axis=1) > 0).all()
    assert np.unique(made.time[:, 0]).size == 200
    np.testing.assert_array_equal(made.take(3).time, made.time[:3])


@pytest.mark.parametrize("doses", [2, 28])
def test_one_subject_agrees_with_roadrunner(problem: ModuleType, engines: ModuleType, doses: int) -> None:
    pytest.importorskip("roadrunner")
    few = problem.make_problem(4, doses)
    theirs = engines.libroadrunner(1e-9, doses)(few)
    sound = np.isfinite(theirs).all(axis=(1, 2))  # CVODE may stop where an infusion starts
    assert sound.any()
    ours = engines.antagony(1e-8)(few)
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


def test_ratios_stand_against_a_setting_that_is_no_less_accurate() -> None:
    bench = importlib.import_module("bench")

    def entry(speed: float, error: float) -> dict[str, object]:
        return {"trajectories_per_s": speed, "error_median": error, "error_p99": error, "failed": 0}

    ours = dict(zip(bench.OURS, [entry(400, 1e-4), entry(200, 1e-5), entry(100, 1e-6)], strict=True))
    table = bench.comparable({**ours, "rough": entry(10, 1e-3), "middling": entry(10, 2e-5), "close": entry(10, 2e-6)})
    assert {name: (row["ratio"], row["against"]) for name, row in table.items()} == {
        "rough": (40, bench.OURS[0]),
        "middling": (20, bench.OURS[1]),
        "close": (10, bench.OURS[2]),
    }
