"""Claims, replays and the verdict: margins have the right sign, intervals cover, a seed gives one answer."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from antagony.calibration import calibrate, study_arm
from antagony.case import Case
from antagony.claim import Claim
from antagony.claims import check_claims, claim_margin, claim_times, scaled_outputs
from antagony.condition import Condition
from antagony.errors import ClaimError
from antagony.estimation import wilson
from antagony.population import NOMINAL, draw_parameters, sample_population
from antagony.printing import verdict_table
from antagony.replay import CHRONIC_TOLERANCES, REPLAY_TOLERANCES, _population, _with_residual, replay_study
from antagony.simulation import Arm, Tolerances, simulate
from antagony.study import Finding, Study
from antagony.terminal import print_json
from antagony.verdict import Verdict, reach_verdict, read_bibliography

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
    other = replace(case, studies={**case.studies, "murrough_2013": wild}, _composed=case._composed, nominals={})
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


def test_the_residual_of_a_visit_is_integrated_as_if_it_were_drawn() -> None:
    latent = np.array([[-2.0, 0.0, 1.0]])
    mean, variance = _with_residual(latent, 52.0, 0.64)
    drawn = 52 / (1 + np.exp(-(latent[0] + 0.64 * np.random.default_rng(1).standard_normal((200_000, 3)))))
    error = drawn.std(axis=0) / math.sqrt(len(drawn))
    assert (np.abs(mean[0] - drawn.mean(axis=0)) < 4 * error).all()
    np.testing.assert_allclose(variance[0], drawn.var(axis=0), rtol=4 * math.sqrt(2 / len(drawn)))
    assert (_with_residual(latent, 52.0, 0.0)[1] < 1e-20).all()


def test_replays_predict_what_calibrated_draws_must(case: Case) -> None:
    study = case.studies["murrough_2013"]
    replays = {r.finding.id: r for r in replay_study(case, "camp_crosstalk", study, patients=100, draws=16)}
    change = replays["change_24h"]
    assert change.calibrates
    assert change.predicted == pytest.approx(-7.7, abs=1.0)  # the mean of 100 patients with a residual each
    assert change.low < change.predicted < change.high
    responders = replays["responders_ketamine_24h"]
    assert 0 <= responders.low < responders.predicted < responders.high <= 1


def study_with(case: Case, finding: Finding, **changed: object) -> Study:
    """Ketamine against midazolam with one finding in the place of all."""
    return replace(case.studies["murrough_2013"], findings=(finding,), **changed)  # type: ignore[arg-type]


def test_an_odds_ratio_is_that_of_patients_counted_one_by_one(case: Case) -> None:
    """Every patient's rating is drawn a thousand times and responders are counted, as a trial would."""
    study = case.studies["murrough_2013"]
    blank = study.finding("change_24h")
    finding = replace(blank, kind="odds_ratio", value=3.0, se=0.5, sd=(), threshold=0.5)
    (told,) = replay_study(case, "none", study_with(case, finding), patients=16, draws=4)
    rows = case.parameters("none")
    kept = calibrate(case, "none", draw_parameters(rows.values(), 4, seed=1)).draws
    people = _population(case, rows, study, 16, 1)
    rng, odds = np.random.default_rng(2), []
    for name in finding.arms:
        arm = study_arm(case, study, name)
        free = {k: v for k, v in arm.values.items() if k != "score_baseline"}
        draws = kept.replace(score_baseline=np.full(4, 32.0))
        run = simulate(
            case.mechanism("none", ["ketamine"]), {"a": Arm(arm.regimen, (), free)}, [0.0, 24.0], population=people,
            draws=draws, outputs=["score"],
        )  # fmt: skip
        score = run["score"].to_numpy()[0][..., 1]
        latent = np.log(score / (60 - score))[..., None] + 0.64 * rng.standard_normal((4, 16, 4000))
        rated = 60 / (1 + np.exp(-latent))
        share = (rated <= 0.5 * 32 * people.factors["score_baseline"][None, :, None]).mean(axis=(1, 2))
        odds.append(np.log(share / (1 - share)))
    counted = float(np.median(odds[0] - odds[1]))
    spread = math.sqrt(2 / (64_000 * 0.02))  # of a log odds ratio with at least 2 % responders
    assert told.predicted == pytest.approx(counted, abs=4 * spread)
    assert told.observed == pytest.approx(math.log(3))
    assert told.observed_high == pytest.approx(math.log(3) + 1.96 * 0.5)
    assert told.unit == "log odds ratio"


def test_remission_counts_whoever_reaches_the_cutoff(case: Case) -> None:
    """At half of everybody's baseline a cut-off is a threshold of one half."""
    study = case.studies["murrough_2013"]
    by_fall = study.finding("responders_ketamine_24h")
    same = replace(study, trial=replace(study.trial, baseline_sd=None), findings=(by_fall,))
    by_score = replace(same, findings=(replace(by_fall, threshold=None, cutoff=16.0),))
    falls, scores = (replay_study(case, "none", s, patients=8, draws=4)[0] for s in (same, by_score))
    assert falls.predicted == pytest.approx(scores.predicted)
    assert "responders" in falls.text
    assert "remitters" in scores.text


def test_a_value_is_the_mean_of_its_arm(case: Case) -> None:
    """Naltrexone's occupancy over people, simulated apart and at the usual tolerance."""
    study = case.studies["rabiner_2011"]
    told = replay_study(case, "none", study, patients=16, draws=8)[-1]
    rows = case.parameters("none")
    draws = draw_parameters(rows.values(), 8, seed=1)
    people = sample_population(rows.values(), 16, seed=1)
    arms = {"a": study_arm(case, study, "dose_50")}
    run = simulate(
        case.mechanism("none", ["naltrexone"]), arms, [0.0, 4.0], population=people, draws=draws,
        outputs=["mu_occupancy_antagonist"],
    )  # fmt: skip
    occupancy = run["mu_occupancy_antagonist"].isel(arm=0, time=1).to_numpy()
    assert told.predicted == pytest.approx(float(np.median(occupancy.mean(axis=1))), abs=1e-4)
    assert told.observed == 0.95
    assert told.low < told.predicted < told.high


@pytest.mark.parametrize(
    ("study", "arm", "times", "tolerances", "bound"),
    [
        ("murrough_2013", "ketamine", [0, 24, 168], REPLAY_TOLERANCES, 0.01),
        ("transform_2_2019", "esketamine", [0, 24, 672], CHRONIC_TOLERANCES, 0.1),
        ("ntx_alone_1987", "naltrexone", [0, 24, 1344], CHRONIC_TOLERANCES, 0.1),
    ],
)
def test_the_tolerance_of_replays_moves_no_mean(
    case: Case, study: str, arm: str, times: list[float], tolerances: Tolerances, bound: float
) -> None:
    rows = case.parameters("camp_crosstalk")
    draws, people = draw_parameters(rows.values(), 32, seed=1), sample_population(rows.values(), 8, seed=1)
    placed = {"a": study_arm(case, case.studies[study], arm)}
    mechanism = case.mechanism_for("camp_crosstalk", placed["a"].regimen.drugs)
    loose, tight = (
        simulate(mechanism, placed, times, draws=draws, population=people, outputs=["score"], tolerances=t)
        for t in (tolerances, Tolerances())
    )
    gap = (loose["score"] - tight["score"]).mean("subject")
    assert 0 < float(abs(gap).max()) < bound


def test_chronic_studies_and_animals_are_replayed_with_fewer(case: Case) -> None:
    rows = case.parameters("none")
    sizes = {
        name: _population(case, rows, case.studies[name], 64, 1).size
        for name in ("williams_2018", "ntx_alone_1987", "wray_2018")
    }
    assert sizes == {"williams_2018": 64, "ntx_alone_1987": 24, "wray_2018": 1}


def test_a_sign_in_animals_is_a_share_of_draws(case: Case) -> None:
    """Ketamine lowers the score in every calibrated draw, in none where nothing acts; equal arms never differ."""
    blank = replace(
        case.studies["murrough_2013"].finding("change_24h"), kind="direction", sign=-1, value=None, se=None, sd=(),
        n=(), calibrates=False,
    )  # fmt: skip
    mice = {"species": "mouse", "paradigm": "swim"}
    (acts,) = replay_study(case, "camp_crosstalk", study_with(case, blank, **mice), draws=16)
    assert (acts.predicted, acts.agrees, acts.high) == (1.0, True, 1.0)
    assert acts.low == pytest.approx(wilson(*[int(acts.note.split()[0])] * 2)[0])
    assert "has a chance of 0.75" in acts.note  # 1/2 * 1 + 1/4
    equal = replace(blank, arms=("ketamine", "ketamine"))
    (never,) = replay_study(case, "camp_crosstalk", study_with(case, equal, **mice), draws=4)
    assert (never.predicted, never.agrees) == (0.0, False)
    assert "has a chance of 0.25" in never.note
    same = replace(equal, kind="none_different", sign=None, margin=3.0)
    (always,) = replay_study(case, "camp_crosstalk", study_with(case, same, **mice), draws=4)
    assert (always.predicted, always.agrees) == (1.0, True)


def test_a_margin_says_what_counts_as_no_difference(case: Case) -> None:
    blank = replace(case.studies["murrough_2013"].finding("change_24h"), kind="none_different", value=None, se=None)
    narrow, wide = (
        replay_study(case, "camp_crosstalk", study_with(case, replace(blank, margin=m)), patients=16, draws=4)[0]
        for m in (3.0, 12.0)
    )
    assert (narrow.agrees, wide.agrees) == (False, True)  # ketamine is worth 7.7 points
    assert "sees no difference" in narrow.note


def test_a_hazard_ratio_is_kept_and_not_replayed(case: Case) -> None:
    replays = replay_study(case, "camp_crosstalk", case.studies["sustain_1_2019"], patients=4, draws=2)
    assert len(replays) == 2
    for replay in replays:
        assert math.isnan(replay.predicted)
        assert (replay.agrees, replay.weighed, replay.counts) == (None, False, False)
        assert replay.note.startswith("not replayed")


def test_the_interval_of_wilson_solves_its_equation() -> None:
    for k, n in ((7, 12), (3, 5), (5, 5), (0, 4)):
        for end in wilson(k, n):
            assert abs(k / n - end) == pytest.approx(1.959964 * math.sqrt(end * (1 - end) / n), abs=1e-6)


def test_no_drug_effect_does_not_explain_a_blockade(case: Case) -> None:
    study = case.studies["williams_2018"]
    replays = [r for r in replay_study(case, "none", study, patients=60, draws=8) if r.finding.kind == "direction"]
    assert replays
    assert not any(r.agrees for r in replays)


@pytest.fixture(scope="module")
def alone(case: Case) -> Verdict:
    return reach_verdict(case, mechanisms=["none"], draws=16, patients=20)


def test_a_verdict_counts_what_its_replays_say(case: Case, alone: Verdict) -> None:
    answer = alone
    (only,) = answer.mechanisms
    assert only.explains == sum(bool(r.agrees) for r in only.replays if r.counts)
    assert only.findings == sum(r.weighed and not r.calibrates for r in only.replays)
    assert only.assumed == len(case.mechanism("none", case.dosable).assumed)
    assert any("cut-off" in line or "left out" in line for line in answer.fragile)
    turned = [i for i, line in enumerate(answer.fragile) if "at nominal values" in line]
    counts = [i for i, line in enumerate(answer.fragile) if "numbers are assumed" in line]
    assert turned and turned[0] == 0 and max(turned) < min(counts) and len(counts) == 1
    draws = draw_parameters(case.parameters("none").values(), 4, seed=1)
    assert calibrate(case, "none", draws).reached.all()


def test_a_verdict_can_be_written_as_json(alone: Verdict, capsys: pytest.CaptureFixture[str]) -> None:
    """A finding's grades cannot be copied, so what is printed must not try to."""
    print_json(verdict_table(alone))
    (mechanism,) = json.loads(capsys.readouterr().out)["mechanisms"]
    told = {(replay["study"], replay["finding"]): replay["predicted"] for replay in mechanism["replays"]}
    replays = alone.mechanisms[0].replays
    assert told == {(r.study, r.finding.id): pytest.approx(r.predicted, nan_ok=True) for r in replays}


def test_every_source_of_a_number_has_an_entry(case: Case) -> None:
    texts = read_bibliography(case)
    for slug in case.wirings:
        for parameter in case.mechanism(slug, case.dosable).parameters.values():
            if parameter.source:
                assert parameter.source.split(",")[0].strip() in texts
