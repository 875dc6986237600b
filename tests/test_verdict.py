"""Claims, replays and the verdict: margins have the right sign, intervals cover, a seed gives one answer."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from antagony.calibration import calibrate
from antagony.case import Case
from antagony.claims import check_claims, claim_margin, claim_times, scaled_outputs
from antagony.errors import ClaimError
from antagony.population import NOMINAL, draw_parameters
from antagony.replay import _with_residual, replay_study
from antagony.study import Claim, Condition
from antagony.verdict import reach_verdict, read_bibliography

CLAIM = Claim(
    id="made_up",
    statement="made up",
    source="",
    given=Condition("ketamine 0.5 mg/kg iv over 40 min"),
    versus=Condition(),
    reference=None,
    output="score",
    at=24.0,
    within=None,
    statistic="last",
    measure="difference",
    relation="falls",
    margin=3.0,
    value=None,
)


@pytest.mark.parametrize(
    ("relation", "measure", "measured", "margin"),
    [
        ("rises", "difference", 5.0, 2.0),
        ("falls", "difference", -5.0, 2.0),
        ("falls", "difference", 5.0, -8.0),
        ("stays", "difference", -1.0, 2.0),
        ("rises", "ratio", 1.5, -2.5),
        ("stays", "ratio", 1.5, 2.5),
        ("at_least", "value", 0.9, 0.4),
        ("at_most", "value", 0.9, -0.4),
    ],
)
def test_a_margin_is_positive_where_the_claim_holds(
    relation: str, measure: str, measured: float, margin: float
) -> None:
    claim = replace(CLAIM, relation=relation, measure=measure, value=0.5)  # type: ignore[arg-type]
    assert claim_margin(claim, measured) == pytest.approx(margin)


def test_a_window_is_read_from_end_to_end_and_denser_near_zero() -> None:
    times = claim_times(replace(CLAIM, at=None, within=(0.0, 72.0), statistic="max"))
    assert (times[0], times[-1]) == (0.0, 72.0)
    assert (np.diff(times) > 0).all()
    assert np.diff(times)[0] < 0.1 < np.diff(times)[-1]
    assert claim_times(replace(CLAIM, at=None, within=(0.0, 72.0))).tolist() == [72.0]


def test_calibration_meets_the_published_difference(case: Case) -> None:
    """Solved by bisection on the read-out alone, then checked by simulating both arms anew."""
    from antagony.calibration import study_arm
    from antagony.simulation import simulate

    study = case.studies["murrough_2013"]
    for slug in ("camp_crosstalk", "gated_surge"):
        solved = calibrate(case, slug, NOMINAL)
        assert solved.reached.all()
        arms = {name: study_arm(case, study, name) for name in ("ketamine", "midazolam")}
        run = simulate(case.mechanism(slug, ["ketamine"]), arms, [0.0, 24.0], draws=solved.draws, outputs=["score"])
        score = run["score"].isel(draw=0, subject=0, time=1)
        assert float(score.sel(arm="ketamine") - score.sel(arm="midazolam")) == pytest.approx(-7.7, abs=1e-3)


def test_a_target_out_of_reach_is_reported_and_not_forced(case: Case) -> None:
    study = case.studies["murrough_2013"]
    wild = replace(study, findings=tuple(replace(f, value=-40.0) if f.calibrates else f for f in study.findings))
    other = replace(case, studies={**case.studies, "murrough_2013": wild}, _composed=case._composed)
    solved = calibrate(other, "camp_crosstalk", NOMINAL)
    assert not solved.reached.any()
    assert -40 < solved.best[0] < -10
    replays = replay_study(other, "camp_crosstalk", study, patients=20, draws=4)
    assert all(math.isnan(r.predicted) and r.agrees is None for r in replays)


def test_only_the_score_feels_the_outcome_scale(case: Case) -> None:
    felt = scaled_outputs(case.mechanism("camp_crosstalk"), "drug_effect_half")
    assert {"score", "symptom_logit", "drug_effect"} <= felt
    assert not felt & {"mtorc1", "mtorc1_relative", "camp", "nmda_block", "plasticity"}


def test_the_same_seed_gives_the_same_answer_and_shares_have_errors(case: Case) -> None:
    first, second = (check_claims(case, "camp_crosstalk", [CLAIM], draws=64, seed=3)[0] for _ in range(2))
    assert first == second
    assert first.holds
    assert first.share == 1.0
    assert first.margin == pytest.approx(-first.measured - 3)


def test_an_unknown_output_is_refused_with_the_near_miss(case: Case) -> None:
    with pytest.raises(ClaimError, match="did you mean"):
        check_claims(case, "none", [replace(CLAIM, output="scoree")], draws=2)


def test_residuals_differ_for_every_patient_and_have_the_stated_spread() -> None:
    score = np.full((40, 500), 26.0)
    noisy = _with_residual(score, 52.0, 0.64, np.random.default_rng(1))
    logit = np.log(noisy / (52 - noisy))
    assert logit.std() == pytest.approx(0.64, abs=4 * 0.64 / math.sqrt(2 * score.size))
    assert len(np.unique(noisy)) == noisy.size


def test_replays_predict_what_calibrated_draws_must(case: Case) -> None:
    study = case.studies["murrough_2013"]
    replays = {r.finding.id: r for r in replay_study(case, "camp_crosstalk", study, patients=100, draws=16)}
    change = replays["change_24h"]
    assert change.calibrates
    assert change.predicted == pytest.approx(-7.7, abs=1.0)  # the mean of 100 patients with a residual each
    assert change.low < change.predicted < change.high
    responders = replays["responders_ketamine_24h"]
    assert 0 <= responders.low < responders.predicted < responders.high <= 1


def test_no_drug_effect_does_not_explain_a_blockade(case: Case) -> None:
    study = case.studies["williams_2018"]
    replays = [r for r in replay_study(case, "none", study, patients=60, draws=8) if r.finding.kind == "direction"]
    assert replays
    assert not any(r.agrees for r in replays)


def test_a_verdict_counts_what_its_replays_say(case: Case) -> None:
    answer = reach_verdict(case, mechanisms=["none"], draws=16, patients=20)
    (only,) = answer.mechanisms
    assert only.explains == sum(bool(r.agrees) for r in only.replays if not r.calibrates)
    assert only.findings == sum(not r.calibrates for r in only.replays)
    assert only.assumed == len(case.mechanism("none", case.dosable).assumed)
    assert any("cut-off" in line or "left out" in line for line in answer.fragile)
    draws = draw_parameters(case.parameters("none").values(), 4, seed=1)
    assert calibrate(case, "none", draws).reached.all()


def test_every_source_of_a_number_has_an_entry(case: Case) -> None:
    texts = read_bibliography(case)
    for slug in case.wirings:
        for parameter in case.mechanism(slug, case.dosable).parameters.values():
            if parameter.source:
                assert parameter.source.split(",")[0].strip() in texts
