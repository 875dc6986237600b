"""Predictions of findings against plain simulated patients: ratings by table, contrasts by a real population."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit, logit, ndtri
from scipy.stats import qmc

from antagony.calibration import study_arm
from antagony.case import Case, open_case
from antagony.errors import PosteriorError
from antagony.parameters import Prior
from antagony.population import Draws, Population, sample_population
from antagony.posterior import prediction
from antagony.posterior.bank import Carried, Layout, Model, Scored, lay_out, run_courses
from antagony.posterior.cube import list_structures
from antagony.posterior.prediction import Predictor, trial_nodes, trial_priors
from antagony.posterior.ratings import TYPICAL, Raters, average_patients, sample_patients
from antagony.readout import Readout
from antagony.simulation import Arm, simulate

Array = NDArray[np.float64]

PATIENTS = 20_000
SIGMA = 4.5


@cache
def opened() -> Case:
    return open_case()


@cache
def layout_of(slug: str) -> Layout:
    return lay_out(opened(), list_structures(opened(), slug)[0])


def predictor_of(slug: str, nodes: int = 2) -> Predictor:
    return Predictor(opened(), layout_of(slug), nodes)


def finding_of(layout: Layout, study: str, name: str = "") -> Scored:
    return next(s for s in layout.scored if s.study.id == study and name in s.finding.id)


# --- ratings -------------------------------------------------------------------------------------------------------


def score_model(predictor: Predictor) -> tuple[Readout, Model]:
    model = predictor.layout.models[finding_of(predictor.layout, "murrough_2013").visits[0].course]
    return predictor.split(model, "score")[1], model


RATERS = {
    "own scale": {"own_top": 60.0, "top": 60.0, "baseline": 32.0, "baseline_sd": 6.0, "residual": 0.64},
    "another scale": {"own_top": 60.0, "top": 22.0, "baseline": 32.0, "baseline_sd": 6.0, "residual": 0.64},
    "no residual": {"own_top": 52.0, "top": 52.0, "baseline": 22.0, "baseline_sd": 4.0, "residual": 0.0},
    "near the floor": {"own_top": 52.0, "top": 52.0, "baseline": 10.0, "baseline_sd": 4.0, "residual": 0.64},
}
COUNTS = {"mean": (None, None), "half": (0.5, None), "third": (0.3, None), "remission": (None, 10.0)}


def simulated(raters: Raters, effects: tuple[Array, Array], seed: int) -> Array:
    """Ratings (draw, patient), or who responds, of patients drawn plainly; symptoms.ant written out in numpy.

    logit(score/max) = logit(baseline/max) - scale*drug - factor*placebo + residual*z
    scale ~ N(1, 1),   factor ~ log-normal of mean 1 and sigma 0.6
    """
    rng = np.random.default_rng(seed)
    baseline = raters.baseline + raters.baseline_sd * rng.standard_normal(PATIENTS)
    baseline = np.clip(baseline, 0.02 * raters.own_top, 0.98 * raters.own_top)
    scale = 1 + rng.standard_normal(PATIENTS)
    factor = np.exp(0.6 * rng.standard_normal(PATIENTS) - 0.18)
    drug, placebo = effects
    latent = logit(baseline / raters.own_top) - scale * drug[:, None] - factor * placebo[:, None]
    share = expit(latent + raters.residual * rng.standard_normal(PATIENTS))
    if raters.cutoff is not None:
        return (raters.top * share <= raters.cutoff).astype(float)
    if raters.threshold is not None:
        return (share <= (1 - raters.threshold) * baseline / raters.own_top).astype(float)
    return raters.top * share


@pytest.mark.parametrize("scale", RATERS)
@pytest.mark.parametrize("counted", COUNTS)
def test_patients_by_table_are_as_patients_drawn_plainly(scale: str, counted: str) -> None:
    """Mean and mean square of ratings, shares of responders, within the Monte-Carlo error of 20,000 patients.

    The table's own 512 patients are scrambled Sobol points with their mirror images, whose error in five dimensions is
    at most a third of that of as many drawn plainly.
    """
    predictor = predictor_of("none")
    personal, _ = score_model(predictor)
    assert len(personal.carried) == 2
    threshold, cutoff = COUNTS[counted]
    raters = Raters("score", (("score_max", RATERS[scale]["own_top"]),), "score_baseline", **RATERS[scale],
                    threshold=threshold, cutoff=cutoff)  # fmt: skip
    drug, placebo = np.array([0.0, 0.4, 1.1, 2.6, -0.5]), np.array([0.05, 0.9, 0.5, 1.2, 0.3])
    shared = dict(zip(order(personal, predictor), (drug, placebo), strict=True))
    mean, square = average_patients(personal, raters, sample_patients(predictor.spread), shared, (1, 2))
    rated = simulated(raters, (drug, placebo), seed=1)
    for found, wanted in ((mean, rated), (square, rated**2))[: 2 if counted == "mean" else 1]:
        spread = wanted.std(axis=1) + 1e-3 * (counted != "mean")
        bound = SIGMA * spread * np.hypot(1 / np.sqrt(PATIENTS), 1 / 3 / np.sqrt(512))
        if raters.residual == 0 and counted != "mean":
            bound = bound + 0.02  # without a residual a patient responds or does not: 1 of 512 patients, and the spline
        np.testing.assert_array_less(np.abs(found - wanted.mean(axis=1)), bound)


def order(personal: Readout, predictor: Predictor) -> list[str]:
    """Names of the shared drug effect and the shared placebo effect: a score falls more steeply with a drug effect

    of a patient whose own placebo factor is 0."""
    first, second = personal.carried
    base = {first: np.array([1.0, 0.0]), second: np.array([0.0, 1.0])}
    values = {"drug_effect_scale": 1.0, "placebo_effect_scale": 0.0, "score_baseline": 25.0}
    score = personal.read(0.0, base, values)["score"]
    return [first, second] if score[0] < score[1] else [second, first]


def test_the_typical_subject_is_read_without_a_table() -> None:
    predictor = predictor_of("none")
    personal, _ = score_model(predictor)
    raters = Raters("score", (("score_max", 52.0),), "score_baseline", 25.0, 0.0, 52.0, 52.0, 0.0, None, None)
    drug, placebo = np.array([0.0, 1.0]), np.array([0.3, 0.7])
    shared = dict(zip(order(personal, predictor), (drug, placebo), strict=True))
    (found,) = average_patients(personal, raters, TYPICAL, shared)
    np.testing.assert_allclose(found, 52 * expit(logit(25 / 52) - drug - placebo), rtol=1e-9)


def test_patients_average_to_their_population() -> None:
    """Deviates of mean 0 and variance 1, mirrored; factors follow the stated laws."""
    predictor = predictor_of("none")
    people = sample_patients(predictor.spread)
    for z in (people.baseline, people.residual):
        assert z.mean() == pytest.approx(0, abs=1e-12)
        assert (z**2).mean() == pytest.approx(1)
    assert people.factors["drug_effect_scale"].mean() == pytest.approx(1, abs=1e-12)
    logs = np.log(people.factors["placebo_effect_scale"])
    assert (logs.mean(), logs.std()) == pytest.approx((-0.18, 0.6))


def test_more_than_three_shared_numbers_are_refused() -> None:
    predictor = predictor_of("none")
    names = ("a", "b", "c", "d")
    many = Readout(("score",), names, (), {}, ())
    raters = Raters("score", (), "score_baseline", 25.0, 5.0, 52.0, 52.0, 0.6, None, None)
    with pytest.raises(PosteriorError, match=r"4 numbers \(a, b, c, d\)"):
        average_patients(many, raters, sample_patients(predictor.spread), dict.fromkeys(names, np.ones(2)))


# --- a real population ---------------------------------------------------------------------------------------------

VIRTUAL = 400
DRAWS = 3


def prior_draws(layout: Layout, size: int, seed: int) -> Draws:
    return layout.cube.draws(np.random.default_rng(seed).uniform(0.02, 0.98, (size, layout.cube.size)))


def rated_by_people(
    predictor: Predictor, scored: Scored, arm_number: int, draws: Draws, node: dict[str, float]
) -> Array:
    """Ratings (draw, patient) of an arm: every number that differs between patients does, none by a table."""
    case, study = predictor.case, scored.study
    visit, name = scored.visits[arm_number], scored.finding.arms[arm_number]
    arm = study_arm(case, study, name)
    fixed = {k: v for k, v in {**arm.values, **node}.items() if k != "score_baseline"}
    mean = node.get("score_baseline", arm.values["score_baseline"])
    stated = study.trial.baseline_sd
    sd = stated.value if stated is not None else predictor.rows["baseline_cv"].nominal * mean
    people = sample_population(predictor.rows.values(), VIRTUAL, seed=11)
    z = ndtri(qmc.Sobol(2, rng=np.random.default_rng(12)).random_base2(9)[:VIRTUAL].clip(1e-6, 1 - 1e-6))
    top = arm.values["score_max"]
    baseline = np.clip(mean + sd * z[:, 0], 0.02 * top, 0.98 * top)
    population = Population(VIRTUAL, 11, people.factors, {"score_baseline": baseline})
    run = simulate(
        predictor.layout.models[visit.course].mechanism, {"arm": Arm(arm.regimen, arm.probes, fixed)},
        [0.0, visit.times[-1]], population=population, draws=draws, outputs=[scored.finding.output],
    )  # fmt: skip
    value = run[scored.finding.output].to_numpy()[0, :, :, -1]
    if scored.finding.output != "score":
        return value
    return top * expit(logit(value / top) + predictor.rows["score_residual"].nominal * z[:, 1])


PEOPLE = [
    ("gated_surge", "murrough_2013", "change_24h"),
    ("gated_surge", "williams_2018", "hamd6"),
    ("gated_surge", "nagele_2021", ""),
    ("gated_surge", "ntx_alone_1985", ""),
    ("none", "murrough_2013", "change_24h"),
    ("none", "pecina_2021", ""),
]


@pytest.mark.parametrize(("slug", "study", "name"), PEOPLE)
def test_a_contrast_is_that_of_four_hundred_virtual_patients(slug: str, study: str, name: str) -> None:
    """Kinetics, effects, baseline and residual spread together, through the public API; both arms have the same people.

    Beyond their Monte-Carlo error a twentieth of a point, for solvers of 1e-4 and patients one SD off in four numbers.
    """
    predictor = predictor_of(slug)
    scored = finding_of(predictor.layout, study, name)
    draws = prior_draws(predictor.layout, DRAWS, 5)
    carried = run_courses(predictor.layout, draws)
    found = predictor.predict(scored, carried, draws.values, DRAWS).centre
    nodes = trial_nodes(predictor.case, scored.study, predictor.rows, predictor.nodes)
    assert found.shape == (DRAWS, max((len(v) for v in nodes.values()), default=1))
    top = (
        scored.finding.score_max or study_arm(predictor.case, scored.study, scored.finding.arms[0]).values["score_max"]
    )
    own = study_arm(predictor.case, scored.study, scored.finding.arms[0]).values["score_max"]
    points = 1 if scored.finding.output == "score" else 13  # of the scale for a unit of effect
    for k in range(found.shape[1]):
        node = {n: float(v[k]) for n, v in nodes.items()}
        first, second = (rated_by_people(predictor, scored, i, draws, node) for i in (0, 1))
        difference = (first - second) * (top / own if scored.finding.output == "score" else 1)
        error = difference.std(axis=1) / np.sqrt(VIRTUAL)
        np.testing.assert_array_less(np.abs(found[:, k] - difference.mean(axis=1)), SIGMA * error + 0.05 / points)


def test_a_standardised_contrast_has_the_spread_of_its_patients() -> None:
    """SD of ratings of 400 patients: its own Monte-Carlo error is SD/sqrt(2 N) for a normal law; 4 of them."""
    predictor = predictor_of("gated_surge")
    scored = finding_of(predictor.layout, "zarate_2006")
    draws = prior_draws(predictor.layout, DRAWS, 5)
    found = predictor.predict(scored, run_courses(predictor.layout, draws), draws.values, DRAWS)
    assert found.sd is not None
    nodes = trial_nodes(predictor.case, scored.study, predictor.rows, predictor.nodes)
    for k in range(found.centre.shape[1]):
        node = {n: float(v[k]) for n, v in nodes.items()}
        arms = [rated_by_people(predictor, scored, i, draws, node) for i in (0, 1)]
        pooled = np.sqrt(0.5 * (arms[0].var(axis=1) + arms[1].var(axis=1)))
        np.testing.assert_allclose(found.sd[:, k], pooled, rtol=4 / np.sqrt(2 * VIRTUAL))


# --- what a trial draws for itself ---------------------------------------------------------------------------------


def test_nodes_lie_inside_the_priors_and_average_as_they_do() -> None:
    """Of 64 nodes the share below a quantile is off by a few of them at most."""
    predictor = predictor_of("none")
    seen = 0
    for study in {s.study.id: s.study for s in predictor.layout.scored if s.study.is_human}.values():
        priors = trial_priors(predictor.case, study.trial, predictor.rows)
        for name, values in trial_nodes(predictor.case, study, predictor.rows, 64).items():
            low, high = priors[name].support
            assert values.shape == (64,)
            assert ((values > low) & (values < high)).all()
            for q in (0.25, 0.5, 0.75):
                assert abs((values <= float(priors[name].quantile(q))).mean() - q) < 5 / 64
            seen += 1
    assert seen > 20


def test_what_a_trial_states_it_does_not_draw(case: Case) -> None:
    rows = case.parameters("none")
    murrough = trial_priors(case, case.studies["murrough_2013"].trial, rows)
    assert murrough["placebo_size"] == Prior("uniform", (0.1, 0.9))  # stated, with a prior of its own
    assert "score_baseline" not in murrough  # stated, without
    assert murrough["placebo_time"] == rows["placebo_time"].prior


def test_a_baseline_that_is_not_known_is_a_share_of_the_scale(case: Case) -> None:
    """20 to 30 of 52 points on HAM-D17 is 23.1 to 34.6 of MADRS's 60, and its mean is the arm's own baseline's."""
    rows = case.parameters("none")
    studies = [s for s in case.studies.values() if s.is_human and "score_baseline" not in s.trial.numbers]
    tops = set()
    for study in studies:
        top = study.trial.values.get("score_max", 52.0)
        prior = trial_priors(case, study.trial, rows)["score_baseline"]
        assert prior.distribution == "uniform"
        np.testing.assert_allclose(prior.parameters, (20 * top / 52, 30 * top / 52), rtol=1e-12)
        arm = study_arm(case, study, study.design.arms[0].id)
        assert prior.median == pytest.approx(arm.values["score_baseline"])
        tops.add(top)
    assert {52.0, 60.0} <= tops


def test_more_nodes_change_little() -> None:
    """Mean over 8 nodes against 64: a tenth of a point."""
    layout = layout_of("none")
    draws = prior_draws(layout, DRAWS, 5)
    carried = run_courses(layout, draws)
    scored = finding_of(layout, "pecina_2021")
    few, many = (
        predictor_of("none", n).predict(scored, carried, draws.values, DRAWS).centre.mean(axis=1) for n in (8, 64)
    )
    np.testing.assert_allclose(few, many, atol=0.1)


# --- batches -------------------------------------------------------------------------------------------------------


def block(slug: str, early: int, each: int) -> tuple[Layout, Carried, Draws]:
    layout = layout_of(slug)
    rng = np.random.default_rng(8)
    first = np.repeat(rng.uniform(0.02, 0.98, (early, layout.cube.early_size)), each, axis=0)
    u = np.column_stack([first, rng.uniform(0.02, 0.98, (early * each, len(layout.cube.late)))])
    draws = layout.cube.draws(u)
    return layout, run_courses(layout, draws.take(np.arange(0, early * each, each))), draws


def test_predictions_do_not_depend_on_how_many_draws_are_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    layout, carried, draws = block("none", 3, 5)
    predictor = Predictor(opened(), layout, 2)
    found = []
    for chunk in (4, 7, 512):
        monkeypatch.setattr(prediction, "CHUNK", chunk)
        found.append(predictor.predict_all(carried, draws))
    assert sum(len(v) for v in found[0].values()) == len(layout.scored)
    for other in found[1:]:
        for study, some in found[0].items():
            for one, two in zip(some, other[study], strict=True):
                np.testing.assert_array_equal(one.centre, two.centre)
                assert (one.sd is None) == (two.sd is None)


def test_late_draws_of_one_early_draw_are_read_from_its_run() -> None:
    """Fewer runs, the same numbers as with a run for every draw."""
    layout, carried, draws = block("none", 3, 4)
    every = run_courses(layout, draws)
    predictor = Predictor(opened(), layout, 2)
    few, all_of = predictor.predict_all(carried, draws), predictor.predict_all(every, draws)
    for study, some in few.items():
        for one, two in zip(some, all_of[study], strict=True):
            np.testing.assert_array_equal(one.centre, two.centre)


def test_a_draw_is_predicted_alike_alone_and_among_others() -> None:
    """Tables span what a batch of draws needs, so a draw's numbers may move by the error of interpolation alone.

    A fiftieth of a point of HAM-D17, a hundredth of the smallest standard error.
    """
    layout, carried, draws = block("gated_surge", 6, 1)
    predictor = Predictor(opened(), layout, 2)
    together = predictor.predict_all(carried, draws)
    one = np.array([2])
    alone = predictor.predict_all(carried.take(one), draws.take(one))
    for study, some in together.items():
        for a, b in zip(some, alone[study], strict=True):
            np.testing.assert_allclose(a.centre[one], b.centre, atol=0.02, rtol=1e-3, err_msg=study)


def at_point(layout: Layout, carried: Carried, point: int) -> tuple[Layout, Carried]:
    """As if the patient of one kinetic point were the only one."""
    models = tuple(replace(m, points=Population(1, None)) for m in layout.models)
    values = tuple(v[:, [point % v.shape[1]]] for v in carried.values)
    return replace(layout, models=models), Carried(values, carried.failures)


@pytest.mark.parametrize("study", ["murrough_2013", "williams_2018"])
def test_people_are_averaged_over_the_points_and_not_over_the_typical_patient(study: str) -> None:
    """Points set far apart, so that who is averaged shows; to the error of interpolation."""
    layout, carried, draws = block("gated_surge", 3, 1)
    rng = np.random.default_rng(4)
    wide = tuple(v * rng.uniform(0.3, 3.0, (1, v.shape[1], 1, 1)) for v in carried.values)
    carried = replace(carried, values=wide)
    scored = finding_of(layout, study)
    sizes = [carried.values[v.course].shape[1] for v in scored.visits]
    assert max(sizes) == 9
    found = Predictor(opened(), layout, 2).predict(scored, carried, draws.values, 3).centre
    each = []
    for point in range(9):
        one, alone = at_point(layout, carried, point)
        each.append(Predictor(opened(), one, 2).predict(scored, alone, draws.values, 3).centre)
    np.testing.assert_allclose(found, np.mean(each[1:], axis=0), atol=0.02)
    assert np.abs(found - each[0]).max() > 0.2


def test_of_animals_the_typical_subject_counts_alone() -> None:
    layout, carried, draws = block("gated_surge", 3, 1)
    scored = finding_of(layout, "klein_2020", "antagonist_blocks")
    predictor = Predictor(opened(), layout, 2)
    found = predictor.predict(scored, carried, draws.values, 3).centre
    others = tuple(np.concatenate([v[:, :1], v[:, 1:] * 3], axis=1) for v in carried.values)
    np.testing.assert_array_equal(
        predictor.predict(scored, replace(carried, values=others), draws.values, 3).centre, found
    )
    assert found.shape == (3, 1)


def test_a_failed_run_predicts_no_number() -> None:
    layout, carried, draws = block("none", 3, 1)
    values = tuple(v.copy() for v in carried.values)
    for v in values:
        v[1, :, -1] = np.nan
    broken = replace(carried, values=values)
    predictor = Predictor(opened(), layout, 2)
    scored = finding_of(layout, "murrough_2013")
    found = predictor.predict(scored, broken, draws.values, 3).centre
    assert np.isnan(found[1]).all()
    assert np.isfinite(found[[0, 2]]).all()
