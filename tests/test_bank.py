"""The bank: every arm is found in a run, shared runs are as the arm alone, and stored blocks come back bit by bit."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from antagony import provenance
from antagony.calibration import study_arm
from antagony.case import Case, open_case
from antagony.condition import Probe
from antagony.errors import PosteriorError
from antagony.population import Draws
from antagony.posterior import bank, cloud
from antagony.posterior.bank import (
    ONE,
    SCORED,
    Carried,
    Course,
    Layout,
    Scored,
    draw_cube,
    kinetics_of,
    lay_out,
    plan_courses,
    run_courses,
    scored_findings,
    store_arrays,
    stored_block,
    stored_blocks,
)
from antagony.posterior.cube import list_structures
from antagony.posterior.likelihood import LogLikelihood
from antagony.replay import CHRONIC_TOLERANCES
from antagony.simulation import Arm, simulate
from antagony.study import Finding

Array = NDArray[np.float64]
SLUG = "gated_surge"


@cache
def layout_of(slug: str = SLUG) -> Layout:
    case = open_case()
    return lay_out(case, list_structures(case, slug)[0])


def some_draws(layout: Layout, size: int, seed: int = 1) -> Draws:
    return layout.cube.draws(np.random.default_rng(seed).uniform(0.05, 0.95, (size, layout.cube.size)))


def part_of(layout: Layout, keep: Callable[[Course], bool]) -> Layout:
    """A layout with some of its courses, and no findings."""
    some = [i for i, course in enumerate(layout.courses) if keep(course)]
    assert some
    courses, models = (tuple(table[i] for i in some) for table in (layout.courses, layout.models))
    return replace(layout, courses=courses, models=models, scored=())  # type: ignore[arg-type]


def short(layout: Layout) -> Layout:
    """Three quick courses: nothing, ketamine, ketamine after naltrexone."""
    return part_of(layout, lambda c: c.times[-1] == 24 and not c.probes and {*c.drugs} <= {"ketamine", "naltrexone"})


def moments_of(finding: Finding) -> Array:
    if finding.time is not None:
        return np.array([finding.time])
    assert finding.within is not None
    return np.linspace(*finding.within, bank.WINDOW_POINTS)


# --- plans ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("primary", [True, False])
def test_every_arm_of_every_scored_finding_is_found_in_a_run(case: Case, primary: bool) -> None:
    """Same probes, same doses up to the last visit, and the moments of the finding to within a second."""
    courses, scored = plan_courses(case, primary=primary)
    assert [(s.study.id, s.finding.id) for s in scored] == [
        (s.id, f.id) for s, f in scored_findings(case, primary=primary)
    ]
    assert len(scored) > 40
    for s in scored:
        assert len(s.visits) == len(s.finding.arms)
        moments = moments_of(s.finding)
        for name, visit in zip(s.finding.arms, s.visits, strict=True):
            arm, course = study_arm(case, s.study, name), courses[visit.course]
            assert course.probes == arm.probes
            given, ran = (
                sorted((float(t), d.drug, d.route, d.amount, d.per_kg, d.duration)
                for d in regimen.doses for t in d.times if t < moments[-1])
                for regimen in (arm.regimen, course.regimen)
            )  # fmt: skip
            assert given == ran, (s.study.id, name)
            np.testing.assert_array_equal(visit.times, moments)
            read = np.array(course.times)[list(visit.positions)]
            assert (read <= moments).all()
            np.testing.assert_allclose(read, moments, rtol=0, atol=1 / 3600)


def test_courses_are_distinct_and_their_times_ascend(case: Case) -> None:
    courses, scored = plan_courses(case)
    used = {visit.course for s in scored for visit in s.visits}
    assert used == set(range(len(courses)))
    for course in courses:
        assert course.times[0] == 0
        assert (np.diff(course.times) > 0).all()


def test_scored_findings_are_of_weighed_studies_and_of_kinds_that_can_be_scored(case: Case) -> None:
    every = scored_findings(case, primary=False)
    primary = scored_findings(case)
    assert {(s.id, f.id) for s, f in primary} < {(s.id, f.id) for s, f in every}
    assert all(f.primary for _, f in primary)
    for study, finding in every:
        assert study.weighed
        assert finding.kind in (SCORED if study.is_human else ("direction", "none_different"))
    missing = {s.id for s in case.studies.values() if s.weighed} - {s.id for s, _ in primary}
    assert not missing, "a weighed study of which nothing is scored says nothing"


def test_without_rules_nothing_is_scored(case: Case) -> None:
    with pytest.raises(PosteriorError, match=r"no weighing\.toml"):
        scored_findings(replace(case, rules=None))


DAILY = "naltrexone 50 mg po every 24 h x {}"


@pytest.mark.parametrize(
    ("longer", "shorter", "last", "shared"),
    [
        (DAILY.format(28), DAILY.format(7), 168.0, True),  # the eighth dose is given at the visit itself
        (DAILY.format(28), DAILY.format(7), 168.5, False),
        (DAILY.format(28), DAILY.format(6), 168.0, False),
        (DAILY.format(28), DAILY.format(28).replace("50", "25"), 24.0, False),
        (DAILY.format(28), DAILY.format(28).replace("50 mg po every 24", "50 mg po every 48"), 24.0, True),
        (DAILY.format(28), DAILY.format(28).replace("50 mg po every 24", "50 mg po every 48"), 48.0, False),
        ("ketamine 0.5 mg/kg iv over 40 min", "ketamine 0.5 mg/kg iv over 20 min", 24.0, False),
        ("ketamine 0.5 mg/kg iv over 40 min", "ketamine 1 mg/kg iv over 40 min", 24.0, False),
        ("ketamine 0.5 mg/kg iv over 40 min", "naltrexone 50 mg po at -45 min; ketamine 0.5 mg/kg iv over 40 min", 24.0,
         False),
        ("naltrexone 50 mg po at 25 h", "no drug", 24.0, True),
    ],
)  # fmt: skip
def test_arms_share_a_run_where_nothing_differs_before_the_last_visit(
    case: Case, longer: str, shorter: str, last: float, shared: bool
) -> None:
    one, two = (Course(case.regimen(text), (), (0.0, last)) for text in (longer, shorter))
    assert bank._shares(one, two, last) is shared
    assert bank._shares(two, one, last) is shared
    probed = replace(two, probes=(Probe("mtorc1_inhibition", set=1.0),))
    assert not bank._shares(one, probed, last)


# --- shared runs ---------------------------------------------------------------------------------------------------


def merged(case: Case, layout: Layout) -> list[tuple[Scored, str, int]]:
    """Arms whose run gives more than they received: (finding, arm, number of the arm)."""
    return [
        (s, name, k)
        for s in layout.scored
        for k, name in enumerate(s.finding.arms)
        if study_arm(case, s.study, name).regimen != layout.courses[s.visits[k].course].regimen
    ]


@pytest.mark.parametrize("slug", ["none", SLUG])
def test_a_shared_run_is_the_arm_alone(case: Case, slug: str) -> None:
    """28, 35 and 42 days of buprenorphine, 7, 28 and 56 of naltrexone: each read from the longest run.

    A step of the shared run may end elsewhere, so both are within the solver's tolerance of the truth:
    twice `CHRONIC_TOLERANCES` a step, and steps forget.
    """
    layout = layout_of(slug)
    some = [m for m in merged(case, layout) if layout.courses[m[0].visits[m[2]].course].regimen.is_chronic]
    assert {"fava_2016", "forward_45_2018", "ntx_alone_1985", "dean_2006", "lanicemine_2014"} <= {
        s.study.id for s, _, _ in some
    }
    draws = some_draws(layout, 4)
    numbers = sorted({s.visits[k].course for s, _, k in some})
    runs = run_courses(replace(layout, courses=tuple(layout.courses[i] for i in numbers),
                               models=tuple(layout.models[i] for i in numbers)), draws)  # fmt: skip
    checked = 0
    for s, name, k in some:
        visit = s.visits[k]
        model = layout.models[visit.course]
        arm = study_arm(case, s.study, name)
        alone = simulate(
            model.mechanism, {"arm": Arm(arm.regimen, arm.probes)}, visit.times, population=model.points, draws=draws,
            outputs=model.readout.carried, tolerances=CHRONIC_TOLERANCES,
        )  # fmt: skip
        wanted = np.stack([alone[n].to_numpy()[0] for n in model.readout.carried], axis=-1)
        found = runs.values[numbers.index(visit.course)][:, :, list(visit.positions)]
        scale = np.abs(wanted).max(axis=(0, 1, 2))
        bound = 2 * (CHRONIC_TOLERANCES.relative * scale + CHRONIC_TOLERANCES.absolute)
        assert (np.abs(found - wanted) <= bound).all(), (s.study.id, np.abs(found - wanted).max(axis=(0, 1, 2)) / bound)
        checked += 1
    assert checked >= 5


def test_points_are_the_typical_patient_then_patients_one_sd_off(case: Case) -> None:
    """Factors average as the spread does: log factors of log-normal numbers have mean 0 and the stated SD."""
    layout = layout_of()
    rows = case.parameters(SLUG)
    varied = 0
    for model in layout.models:
        assert model.points.size <= 9
        for name, factor in model.points.factors.items():
            assert factor[0] == pytest.approx(1)
            assert rows[name].bsv_distribution == "log-normal"
            logs = np.log(factor[1:])
            assert logs.mean() == pytest.approx(0, abs=1e-12)
            assert (logs**2).mean() == pytest.approx(np.log1p(rows[name].bsv ** 2))
            varied += 1
    assert varied > 20


def test_a_layout_is_rebuilt_from_its_kinetics(case: Case) -> None:
    """So that a question asked later meets the same patients."""
    layout = layout_of()
    kinetics = kinetics_of(layout)
    again = lay_out(case, layout.structure, kinetics=kinetics)
    sets: dict[tuple[str, ...], set[tuple[str, ...]]] = {}
    for course, model in zip(layout.courses, layout.models, strict=True):
        sets.setdefault(course.drugs, set()).add(tuple(model.points.factors))
    same = 0
    for one, two, course in zip(layout.models, again.models, layout.courses, strict=True):
        assert tuple(two.points.factors) == kinetics.get(" ".join(course.drugs), ())
        if len(sets[course.drugs]) == 1:  # else routes or probes of one set of drugs differ, and the richest stands
            assert two.points.size == one.points.size
            for name in one.points.factors:
                np.testing.assert_array_equal(one.points.factors[name], two.points.factors[name])
            same += 1
    assert same > 15
    assert again.cube == layout.cube


# --- bits ----------------------------------------------------------------------------------------------------------


def same_bits(one: Carried, two: Carried) -> None:
    for a, b in zip(one.values, two.values, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(one.failures, two.failures)


def test_bits_do_not_depend_on_threads_or_batches() -> None:
    layout = short(layout_of())
    assert len(layout.courses) >= 3
    draws = some_draws(layout, 11)
    whole = run_courses(layout, draws, threads=1)
    assert not whole.failures.any()
    same_bits(whole, run_courses(layout, draws, threads=2))
    first, rest = run_courses(layout, draws.take(np.arange(3))), run_courses(layout, draws.take(np.arange(3, 11)))
    joined = tuple(np.concatenate(pair) for pair in zip(first.values, rest.values, strict=True))
    same_bits(whole, Carried(joined, np.concatenate([first.failures, rest.failures])))
    same_bits(whole.take(np.arange(3)), first)


def test_a_draw_that_cannot_be_run_is_marked_and_the_others_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    layout = short(layout_of())
    run = bank._run

    def broken(course: Course, *rest: object) -> Array:
        block = run(course, *rest)  # type: ignore[arg-type]
        if "ketamine" in course.drugs:
            block[1, 0, -1, 0] = np.nan
        return block

    monkeypatch.setattr(bank, "_run", broken)
    assert run_courses(layout, some_draws(layout, 3)).failures.tolist() == [False, True, False]


# --- stored blocks -------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Banks and clouds in a folder of this test; kernels stay where they are."""
    for module in (bank, cloud):
        monkeypatch.setattr(module, "cache_folder", lambda: tmp_path)
    return tmp_path


def refuse(*_: object, **__: object) -> Carried:
    raise AssertionError("a stored block was run again")


def test_a_stored_block_is_read_and_not_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = short(layout_of())
    early, carried = stored_block(layout, 4, seed=3, block=1)
    np.testing.assert_array_equal(early, draw_cube(layout.cube, 4, 9, seed=3, block=1)[0])
    assert len(list(folder.rglob("*.npz"))) == 1
    monkeypatch.setattr(bank, "run_courses", refuse)
    again, stored = stored_block(layout, 4, seed=3, block=1)
    np.testing.assert_array_equal(early, again)
    same_bits(carried, stored)
    for size, seed, block in ((4, 4, 1), (4, 3, 2), (5, 3, 1)):
        with pytest.raises(AssertionError, match="run again"):
            stored_block(layout, size, seed=seed, block=block)


def test_a_block_is_what_a_run_of_its_points_gives(folder: Path) -> None:
    """Late columns stand at their middle: nothing that is carried may depend on them."""
    layout = short(layout_of())
    early, carried = stored_block(layout, 4, seed=3, block=1)
    late = np.random.default_rng(1).random((4, len(layout.cube.late)))
    assert late.shape[1] > 0
    same_bits(carried, run_courses(layout, layout.cube.draws(np.column_stack([early, late]))))


def test_a_changed_layout_has_a_bank_of_its_own() -> None:
    layout = short(layout_of())
    keys = {
        bank.bank_key(some)
        for some in (
            layout,
            replace(layout, courses=layout.courses[:2], models=layout.models[:2]),
            replace(layout, courses=(replace(layout.courses[0], times=(0.0, 23.0)), *layout.courses[1:])),
            replace(layout, models=(*layout.models[:-1], replace(layout.models[-1], points=ONE))),
            replace(layout, cube=replace(layout.cube, early=layout.cube.early[1:])),
            replace(layout, cube=replace(layout.cube, axes=layout.cube.axes[1:])),
        )
    }
    assert len(keys) == 6
    assert bank.bank_key(layout) in keys


def test_a_stopped_write_leaves_no_half_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    path = tmp_path / "block.npz"
    monkeypatch.setattr(np, "savez", stop)
    with pytest.raises(KeyboardInterrupt):
        store_arrays(path, {"a": np.ones(3)})
    assert not path.exists()
    assert list(tmp_path.iterdir()) == []


def test_blocks_run_together_are_the_blocks_run_alone(folder: Path) -> None:
    """Bit for bit; one that was stored before joins those that are run."""
    layout = short(layout_of())
    alone = [stored_block(layout, 4, seed=3, block=block) for block in (1, 2, 3)]
    for path in sorted(folder.rglob("*.npz"))[1:]:
        path.unlink()
    together = stored_blocks(layout, 4, seed=3, blocks=[1, 2, 3])
    for (early, carried), (first, known) in zip(together, alone, strict=True):
        assert (early == first).all()
        same_bits(carried, known)
    same_bits(stored_block(layout, 4, seed=3, block=3)[1], alone[2][1])


@pytest.mark.parametrize("left", [0, 300])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
def test_an_unreadable_block_is_run_anew(folder: Path, left: int) -> None:
    layout = short(layout_of())
    _, carried = stored_block(layout, 4, seed=3, block=1)
    (path,) = folder.rglob("*.npz")
    path.write_bytes(path.read_bytes()[:left])
    try:
        again = stored_block(layout, 4, seed=3, block=1)[1]
    finally:
        gc.collect()
    same_bits(carried, again)


# --- stored clouds -------------------------------------------------------------------------------------------------


def small_cloud(case: Case) -> cloud.Cloud:
    """Nothing is run: random points and log likelihoods."""
    layout = layout_of()
    rng = np.random.default_rng(1)
    studies = cloud.scored_studies(layout)
    each = rng.normal(size=(8, len(studies), 6))
    likelihood = LogLikelihood(studies, each, each + 1)
    u, weights = rng.random((8, layout.cube.size)), np.full(8, -np.log(8))
    without = np.log(rng.dirichlet(np.ones(8), 2))
    return cloud.Cloud(
        layout.structure, layout.cube, u, np.arange(8) // 4, likelihood, weights, without, 1, 2, 0, kinetics_of(layout)
    )


def test_a_stored_cloud_comes_back_whole(case: Case, folder: Path) -> None:
    made, effort = small_cloud(case), cloud.EFFORTS["quick"]
    assert cloud.read_cloud(case, made.structure, effort, 1) is None
    cloud._store(case, made, effort, 1)
    read = cloud.read_cloud(case, made.structure, effort, 1)
    assert read is not None
    assert read.cube == made.cube
    for name in ("u", "early", "log_importance", "without"):
        np.testing.assert_array_equal(getattr(read, name), getattr(made, name))
    for name in ("each", "last"):
        np.testing.assert_array_equal(getattr(read.likelihood, name), getattr(made.likelihood, name))
    assert read.likelihood.studies == made.likelihood.studies
    assert (read.failed, read.evaluations, read.tempered) == (1, 2, 0)
    assert {k: tuple(v) for k, v in read.kinetics.items()} == {k: tuple(v) for k, v in made.kinetics.items()}
    for other in ((made.structure, cloud.EFFORTS["standard"], 1), (made.structure, effort, 2)):
        assert cloud.read_cloud(case, *other) is None
    assert cloud.read_cloud(replace(case, hash="other"), made.structure, effort, 1) is None


@pytest.mark.parametrize("left", [0, 1, 300, -10])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
def test_an_unreadable_cloud_is_no_cloud(case: Case, folder: Path, left: int) -> None:
    made, effort = small_cloud(case), cloud.EFFORTS["quick"]
    cloud._store(case, made, effort, 1)
    path = cloud.cloud_path(case, made.structure, effort, 1)
    path.write_bytes(path.read_bytes()[:left])
    assert cloud.read_cloud(case, made.structure, effort, 1) is None
    gc.collect()


def test_an_unreadable_cloud_leaves_no_file_open(case: Case, folder: Path) -> None:
    made, effort = small_cloud(case), cloud.EFFORTS["quick"]
    cloud._store(case, made, effort, 1)
    path = cloud.cloud_path(case, made.structure, effort, 1)
    path.write_bytes(path.read_bytes()[:300])
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        assert cloud.read_cloud(case, made.structure, effort, 1) is None
        gc.collect()
    assert not [w for w in told if issubclass(w.category, ResourceWarning)]


def test_each_early_draw_stands_beside_its_late_ones(
    folder: Path, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a cloud's block an early draw is repeated `each` times, and each time has another late one."""
    layout = short(layout_of())
    effort = replace(cloud.EFFORTS["quick"], size=5, each=3)

    def score(case: Case, layout: Layout, carried: Carried, u: Array, predictor: object) -> LogLikelihood:
        none = np.zeros((len(u), 0, 1))
        return LogLikelihood((), none, none)

    monkeypatch.setattr(cloud, "score", score)
    (block,) = cloud._Filling(case, layout, effort, 1, lambda text: None).draw_prior(range(1))
    u, early = block.u, layout.cube.early_size
    assert u.shape == (15, layout.cube.size)
    assert (u[:, :early].reshape(5, 3, -1) == u[::3, None, :early]).all()
    assert len(np.unique(u[:, :early], axis=0)) == 5
    assert len(np.unique(u[:, early:], axis=0)) == 15


def test_a_cloud_is_named_after_what_its_numbers_follow_from(monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules that a cloud's module imports, and so on, and the kernel's texts; none that only reads answers."""
    read: list[str] = []

    def read_bytes(path: Path) -> bytes:
        read.append(path.relative_to(provenance.ROOT).as_posix())
        return b""

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    cloud._code.__wrapped__()
    behind = ("posterior/likelihood.py", "simulation.py", "kernel/symbolic.py", "kernel/solver.h", "rules.py")
    assert {*behind} <= {*read}
    apart = ("cli.py", "report.py", "verdict.py", "design.py", "posterior/weighing.py", "kernel/webassembly.h")
    assert not {*apart} & {*read}
