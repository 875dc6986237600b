"""Forecasts beside trials that are simulated patient by patient and analysed in full."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from antagony.calibration import calibrate_over_patients
from antagony.case import Case, open_case
from antagony.design import IDEAL, REALISTIC, SCORE, Plan, Realism
from antagony.planning.expectations import run_early
from antagony.planning.forecast import Forecaster, Posterior, outline_plans, sample_cohort
from antagony.population import NOMINAL, Draws
from antagony.posterior.bank import lay_out_courses
from antagony.posterior.cube import list_structures
from antagony.replay import NO_DIFFERENCE
from antagony.simulation import simulate
from antagony.study import TrialNumber, trial_values
from antagony.trial import join_periods, simulate_trial

REPLICATES = 400


@cache
def nominal(slug: str) -> Draws:
    case = open_case()
    return calibrate_over_patients(case, slug, NOMINAL, seed=1).draws


def fixed(case: Case, plan: Plan) -> Plan:
    """The plan with every number of its trial known."""
    known = {name: replace(number, prior=None) for name, number in plan.trial.numbers.items()}
    known.setdefault("placebo_size", TrialNumber(0.66, "assumed"))
    known.setdefault("placebo_time", TrialNumber(14.0, "assumed"))
    known.setdefault("score_baseline", TrialNumber(25.0, "assumed"))
    return replace(plan, trial=replace(plan.trial, numbers=known))


def forecaster(case: Case, slug: str, plan: Plan, realism: Realism) -> Forecaster:
    """Reads what one set of numbers expects."""
    structure = list_structures(case, slug)[0]
    outline = outline_plans(case, [plan], carry_over=realism.carry_over)
    drugs = case.with_required({d for a in plan.design.arms for d in case.regimen(a.condition.regimen).drugs})
    outputs = {SCORE, *(e.output for e in plan.estimands)}
    layout = lay_out_courses(case, structure, outline.courses, outputs, drugs=drugs)
    draws = nominal(slug)
    posterior = Posterior(draws, np.zeros(1, dtype=int), np.ones(1), np.zeros(1, dtype=int))
    return Forecaster(case, layout, outline, run_early(layout, posterior), posterior, 1)


SCENES = [
    ("two_by_two", "camp_crosstalk", {}),
    ("two_by_two", "none", {}),
    ("two_by_two", "gated_surge", {"dropout": "at_random"}),
    ("crossover_26", "camp_crosstalk", {}),
    ("crossover_short", "camp_crosstalk", {}),
    ("crossover_short", "camp_crosstalk", {"carry_over": False}),
    ("isomers_naltrexone", "gated_surge", {"placebo": False, "unblinding": False}),
    ("naltrexone_ladder", "direct_opioid", {"heterogeneity": False, "dropout": "none"}),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "slug", "realism"), SCENES)
def test_simulated_trials_scatter_as_forecast(case: Case, name: str, slug: str, realism: dict[str, object]) -> None:
    plan = fixed(case, case.designs[name])
    world = replace(REALISTIC, **realism)  # type: ignore[arg-type]
    expected = forecaster(case, slug, plan, world).expect(plan, world)
    run = simulate_trial(case, slug, plan, replicates=REPLICATES, uncertain=False, realism=world, seed=7)
    found = run.estimates["value"].to_numpy()
    scatter = np.cov(found)
    spread = np.sqrt(np.diag(np.atleast_2d(scatter)))
    stated = np.sqrt(np.diag(expected.covariance[0]) / plan.patients)
    np.testing.assert_allclose(
        found.mean(axis=1), expected.mean[0], atol=0.35 + 3.5 * spread.max() / np.sqrt(REPLICATES)
    )
    np.testing.assert_allclose(spread, stated, rtol=0.2)
    own, told = np.corrcoef(found), expected.covariance[0]
    told = told / np.sqrt(np.outer(np.diag(told), np.diag(told)))
    np.testing.assert_allclose(own, told, atol=0.2)


@pytest.mark.slow
@pytest.mark.parametrize("slug", ["direct_opioid", "nmda_rest"])
def test_signs_in_animals_are_those_of_simulated_arms(case: Case, slug: str) -> None:
    """Whether the first arm reads lower than the second; one mechanism needs opioid receptors, the other does not."""
    plan = fixed(case, case.designs["rodent_naltrexone_ketamine"])
    (hits,), weight = forecaster(case, slug, plan, IDEAL).signs(plan)
    values = trial_values(plan.trial, case.trial) | {"placebo_size": 0.0, "unblinding_gain": 0.0}
    arms = {arm.id: join_periods(case, plan, (arm.id,), values) for arm in plan.design.arms}
    outputs = [SCORE, *dict.fromkeys(e.output for e in plan.estimands if e.output != SCORE)]
    model = case.mechanism_for(slug, ["ketamine"])
    run = simulate(model, arms, plan.visits, draws=nominal(slug), outputs=outputs)
    gaps = [
        float((run[e.output].sel(arm=e.arms[0]) - run[e.output].sel(arm=e.arms[1])).sel(time=e.time).item())
        for e in plan.estimands
    ]
    assert hits.tolist() == [gap < -NO_DIFFERENCE for gap in gaps]
    assert hits[0] == (slug == "direct_opioid")
    assert weight.tolist() == [1.0]


@pytest.mark.parametrize(("parameters", "ratings"), [(0, 2), (2, 4), (3, 8)])
def test_patients_who_stand_for_all_have_no_chance_correlations(parameters: int, ratings: int) -> None:
    """Residuals of two visits, a baseline and a patient's own effect are independent, however few patients."""
    cohort = sample_cohort(parameters, ratings, seed=1)
    columns = np.hstack([cohort.own, cohort.screened[:, 0], cohort.residual])
    np.testing.assert_allclose(columns.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(columns.T @ columns / len(columns), np.eye(columns.shape[1]), atol=1e-9)
