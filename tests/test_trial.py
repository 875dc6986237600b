"""Virtual trials: unbiased and covering where they should be, carrying over where they must, the same for any batch."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

import antagony.trial as trial_module
from antagony.case import Case
from antagony.condition import Condition, Probe
from antagony.design import IDEAL, REALISTIC, Dropout, Enrolment, Estimand, Plan, plan_study, sequences_of
from antagony.errors import StudyError
from antagony.study import Arm, Design, Trial, TrialNumber, trial_values
from antagony.trial import TrialRun, compare_study, simulate_trial, true_effects
from antagony.trial_report import print_trials, trial_rows

KETAMINE = "ketamine 0.5 mg/kg iv over 40 min"
NALTREXONE = "naltrexone 50 mg po at -45 min"
SCALE = Trial("HAM-D17", {"score_max": TrialNumber(52, "recalled"), "score_baseline": TrialNumber(25, "assumed")})


def arm(name: str, regimen: str, **more: Any) -> Arm:  # noqa: ANN401 - fields of an arm
    fields: dict[str, Any] = {"n": None, "n_grade": "", "comparator_cue": None, "cue_grade": "", "note": ""} | more
    return Arm(name, name, Condition(regimen), **fields)


def plan(kind: str, arms: list[Arm], sizes: tuple[int, ...], **more: Any) -> Plan:  # noqa: ANN401 - fields of a plan
    keys = ("washout", "sequences")
    chosen: Any = kind
    design = Design(chosen, "people", "double", tuple(arms), **{k: v for k, v in more.items() if k in keys})
    rest = {k: v for k, v in more.items() if k not in keys}
    asked = (Estimand("primary", (arms[0].id, arms[-1].id) if len(arms) > 1 else (arms[0].id,), 24.0),)
    return Plan("made_up", "made up", design, SCALE, **({"estimands": asked, "sizes": sizes, "visits": (24.0,)} | rest))


def parallel(patients: int = 40, **more: Any) -> Plan:  # noqa: ANN401 - fields of a plan
    return plan("parallel", [arm("ketamine", KETAMINE), arm("placebo", "no drug")], (patients, patients), **more)


def crossover(washout: float) -> Plan:
    arms = [arm("both", f"{NALTREXONE}; {KETAMINE}"), arm("ketamine", KETAMINE)]
    return plan("crossover", arms, (13, 13), washout=washout)


@pytest.mark.parametrize("slug", ["camp_crosstalk", "none"])
def test_the_estimate_is_unbiased_and_covers_with_and_without_a_drug_effect(case: Case, slug: str) -> None:
    """2,000 trials of 40 v 40 at nominal values, dropout at random; standard error of a coverage 0.005."""
    truth = true_effects(case, slug, parallel())["primary"].value
    realism = replace(REALISTIC, dropout="at_random")
    run = simulate_trial(case, slug, parallel(), replicates=2000, uncertain=False, realism=realism)
    assert 0.93 <= run.coverage(truth) <= 0.97
    values = run.estimates["value"].to_numpy()[0]
    assert abs(values.mean() - truth) < 4 * values.std() / np.sqrt(2000) + 0.1  # truth itself from 4,096 patients
    assert (truth < -5) == (slug != "none")


def test_carry_over_shows_after_five_days_and_not_after_thirty(case: Case) -> None:
    """Naltrexone still holds two receptors in five after five days: whoever had it first has a weaker second period."""
    truth = true_effects(case, "camp_crosstalk", crossover(720.0))["primary"].value
    means, errors = {}, {}
    for days in (5, 30):
        run = simulate_trial(case, "camp_crosstalk", crossover(24.0 * days), replicates=400, uncertain=False)
        values = run.estimates["value"].to_numpy()[0]
        means[days], errors[days] = values.mean(), values.std() / 20
    assert truth > 5
    assert truth - means[5] > 6 * errors[5] + 0.5
    assert abs(truth - means[30]) < 4 * errors[30] + 0.25
    off = replace(REALISTIC, carry_over=False)
    ideal = simulate_trial(case, "camp_crosstalk", crossover(120.0), replicates=400, uncertain=False, realism=off)
    assert abs(ideal.estimates["value"].to_numpy()[0].mean() - truth) < 4 * errors[5] + 0.25


def test_the_second_period_sees_what_the_first_left(case: Case) -> None:
    """A patient's second period is that of one long run: receptor and plasticity go on, cue and placebo begin anew."""
    run = simulate_trial(case, "camp_crosstalk", crossover(120.0), replicates=1, uncertain=False, realism=IDEAL)
    naive = simulate_trial(
        case, "camp_crosstalk", crossover(120.0), replicates=1, uncertain=False,
        realism=replace(IDEAL, carry_over=True),
    )  # fmt: skip
    first = run.ratings.severity.sel(visit=(run.ratings.period == 0)).to_numpy()
    np.testing.assert_allclose(naive.ratings.severity.sel(visit=(naive.ratings.period == 0)), first, rtol=1e-5)
    second = naive.ratings.severity.sel(visit=(naive.ratings.period == 1)).to_numpy()
    alone = run.ratings.severity.sel(visit=(run.ratings.period == 1)).to_numpy()
    had_naltrexone = (naive.ratings.sequence == "both > ketamine").to_numpy()
    assert (second[0, had_naltrexone, 1] > alone[0, had_naltrexone, 1] + 0.3).all()


def test_bits_do_not_depend_on_threads_or_blocks(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    settings: Any = {"replicates": 6, "seed": 3}
    one = simulate_trial(case, "camp_crosstalk", crossover(720.0), threads=1, **settings)
    two = simulate_trial(case, "camp_crosstalk", crossover(720.0), threads=2, **settings)
    monkeypatch.setattr(trial_module, "BLOCK_ROWS", 26)
    blocks = simulate_trial(case, "camp_crosstalk", crossover(720.0), **settings)
    for other in (two, blocks):
        np.testing.assert_array_equal(one.ratings.rating, other.ratings.rating)
        np.testing.assert_array_equal(one.estimates.value, other.estimates.value)
    more = simulate_trial(case, "camp_crosstalk", crossover(720.0), replicates=8, seed=3, uncertain=False)
    fewer = simulate_trial(case, "camp_crosstalk", crossover(720.0), replicates=6, seed=3, uncertain=False)
    np.testing.assert_array_equal(more.ratings.rating[:6], fewer.ratings.rating)
    other = simulate_trial(case, "camp_crosstalk", crossover(720.0), replicates=6, seed=4)
    assert not np.array_equal(one.ratings.rating, other.ratings.rating)


def test_every_rating_has_its_own_error_of_the_stated_size(case: Case) -> None:
    """Residuals drawn once and reused were another tool's error: they differ per replicate, subject and visit."""
    made = parallel(visits=(24.0, 72.0))
    realism = replace(IDEAL, residual=True)
    run = simulate_trial(case, "none", made, replicates=200, uncertain=False, realism=realism)
    share = run.ratings.rating.to_numpy() / 52
    true = run.ratings.severity.to_numpy() / 52
    error = np.log(share / (1 - share)) - np.log(true / (1 - true))
    assert len(np.unique(error.round(12))) == error.size
    expected = case.parameters("none")["score_residual"].nominal / np.sqrt(2)
    assert error.std() == pytest.approx(expected, rel=0.02)  # 48,000 errors: SE of an SD 0.3 %
    flat = error.reshape(-1, 3)
    assert abs(np.corrcoef(flat[:, 0], flat[:, 1])[0, 1]) < 0.03
    single = simulate_trial(case, "none", plan("single_arm", [arm("placebo", "no drug")], (1,)), replicates=300,
                            uncertain=False, realism=realism)  # fmt: skip
    one = single.ratings.rating.to_numpy()[:, 0, 1] / 52
    assert np.log(one / (1 - one)).std() == pytest.approx(expected, rel=0.2)


def test_each_switch_does_what_it_says(case: Case) -> None:
    made = parallel(20)
    ideal = simulate_trial(case, "camp_crosstalk", made, replicates=2, uncertain=False, realism=IDEAL)
    assert np.ptp(ideal.ratings.rating.sel(visit=1).to_numpy()[:, :20]) < 1e-6  # one patient, many times
    untreated = ideal.ratings.rating.to_numpy()[0, 20:]
    np.testing.assert_allclose(untreated[:, 1], untreated[:, 0], rtol=1e-6)
    base: Any = {"replicates": 200, "uncertain": False}
    on = simulate_trial(case, "camp_crosstalk", made, **base)

    def without(switch: str) -> TrialRun:
        return simulate_trial(case, "camp_crosstalk", made, realism=replace(REALISTIC, **{switch: False}), **base)

    def placebo(run: TrialRun, field: str) -> float:
        return float(run.arms[field].sel(arm="placebo").item())

    assert placebo(on, "mean") < placebo(without("placebo"), "mean") - 1
    assert placebo(on, "sd") > 2 * placebo(without("residual"), "sd")
    assert on.ratings.severity.std() > 2
    assert without("heterogeneity").ratings.severity.sel(subject=slice(0, 19), visit=1).std() < 1e-6
    noticed = simulate_trial(case, "none", made, **base).estimates.value.mean()
    blind = simulate_trial(
        case, "none", made, realism=replace(REALISTIC, unblinding=False), **base
    ).estimates.value.mean()
    assert noticed < blind - 0.3


def test_patients_leave_by_what_their_dropout_sees(case: Case) -> None:
    """A steep slope: not at random, whoever is worse now leaves; at random, whoever was rated worse before."""
    rows = dict(case.shared)
    rows["dropout_rate"] = replace(rows["dropout_rate"], nominal=0.01)
    rows["dropout_slope"] = replace(rows["dropout_slope"], nominal=3.0)
    harsh = replace(case, shared=rows, _composed={}, nominals={})
    made = parallel(50, visits=(24.0, 72.0), estimands=(Estimand("primary", ("ketamine", "placebo"), 72.0),))
    lost = {}
    kinds: tuple[Dropout, ...] = ("none", "at_random", "not_at_random")
    for kind in kinds:
        run = simulate_trial(harsh, "camp_crosstalk", made, replicates=60, uncertain=False,
                             realism=replace(REALISTIC, dropout=kind))  # fmt: skip
        gone = np.isnan(run.ratings.rating.to_numpy())
        assert not gone[:, :, 0].any()
        assert (gone[:, :, 1] <= gone[:, :, 2]).all()  # whoever has left stays away
        lost[kind] = gone, run.ratings.severity.to_numpy()
    assert not lost["none"][0].any()
    gone, true = lost["not_at_random"]
    worse = true[:, :, 1] - true[:, :, 0]
    assert worse[gone[:, :, 1]].mean() > worse[~gone[:, :, 1]].mean() + 1
    gone, _ = lost["at_random"]
    assert gone[:, :, 1].mean() == pytest.approx(
        1 - np.exp(-0.24), abs=0.02
    )  # nothing rated before it but the baseline


def test_only_patients_who_fit_are_enrolled_and_regress_to_their_mean(case: Case) -> None:
    made = parallel(40, enrolment=Enrolment(least=25.0))
    run = simulate_trial(
        case, "none", made, replicates=50, uncertain=False, realism=replace(IDEAL, heterogeneity=True, residual=True)
    )
    baseline, later = run.ratings.rating.to_numpy()[:, :, 0], run.ratings.rating.to_numpy()[:, :, 1]
    assert baseline.min() >= 25
    assert baseline.mean() > later.mean() + 0.5  # nothing was given: regression to the mean
    impossible = parallel(5, enrolment=Enrolment(least=51.9))
    with pytest.raises(StudyError, match="key enrolment: of 64 patients screened"):
        simulate_trial(case, "none", impossible, replicates=1, uncertain=False)


def test_labels_survive_into_the_output(case: Case) -> None:
    arms = [arm("7b", f"{NALTREXONE}; {KETAMINE}"), arm("3 a", KETAMINE)]
    made = plan("crossover", arms, (2, 3), washout=720.0, sequences=(("7b", "3 a"), ("3 a", "7b")))
    run = simulate_trial(case, "none", made, replicates=4, uncertain=False)
    assert run.ratings.sizes == {"replicate": 4, "subject": 5, "visit": 4}
    assert run.ratings.sequence.to_numpy().tolist() == ["7b > 3 a"] * 2 + ["3 a > 7b"] * 3
    assert run.ratings.arm.to_numpy()[:, 2].tolist() == ["3 a"] * 2 + ["7b"] * 3
    assert run.arms.arm.to_numpy().tolist() == ["7b", "3 a"]
    assert run.arms.n.sel(arm="7b").item() == 20
    assert run.ratings.attrs["plan"] == "made_up"


def test_a_sequential_design_combines_its_stages(case: Case) -> None:
    """Nobody responds to the placebo here, so stage 2 holds every first-stage placebo patient."""
    arms = [arm("ketamine", KETAMINE), arm("placebo", "no drug")]
    sequences = (("ketamine", "ketamine"), ("placebo", "ketamine"), ("placebo", "placebo"))
    made = plan("sequential", arms, (20, 20, 20), washout=336.0, sequences=sequences)
    run = simulate_trial(case, "camp_crosstalk", made, replicates=100, uncertain=False)
    single = true_effects(case, "camp_crosstalk", made)["primary"].value
    assert run.estimates.value.mean() == pytest.approx(single, abs=2.0)
    assert run.estimates.se.mean() > 0.5
    lone = plan(
        "sequential", arms, (20, 20), washout=336.0, sequences=(("ketamine", "ketamine"), ("placebo", "placebo"))
    )
    with pytest.raises(StudyError, match='stage 2 has no patients on "ketamine"'):
        simulate_trial(case, "camp_crosstalk", lone, replicates=2, uncertain=False)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"washout": -1.0}, "key design.washout: -1 h"),
        ({"washout": None}, "key design.washout: periods follow"),
        ({"sizes": (0, 3)}, "key n: a group without a patient"),
        ({"visits": (-2.0, 24.0)}, "key design.visits: -2 h lies before the baseline"),
        ({"visits": ()}, "key design.visits"),
        ({"visits": (24.0, 800.0)}, "periods overlap"),
        ({"estimands": (Estimand("e", ("both", "ketamin"), 24.0),)}, 'no arm "ketamin"; did you mean "ketamine"'),
        ({"estimands": (Estimand("e", ("both", "ketamine"), 30.0),)}, "nobody is rated at 30 h"),
        ({"estimands": ()}, "key estimands"),
        ({"sequences": (("both", "ketamne"), ("ketamine", "both"))}, 'key design.sequences: no arm "ketamne"'),
    ],
)
def test_a_plan_that_cannot_be_run_says_so(change: dict[str, Any], said: str) -> None:
    arms = [arm("both", f"{NALTREXONE}; {KETAMINE}"), arm("ketamine", KETAMINE)]
    with pytest.raises(StudyError, match=said):
        plan("crossover", arms, **({"sizes": (13, 13), "washout": 720.0} | change))


def test_periods_that_overlap_and_probes_that_a_model_lacks_are_refused(case: Case) -> None:
    long = [arm("weekly", f"{KETAMINE}; repeat every 7 d x 4"), arm("placebo", "no drug")]
    with pytest.raises(StudyError, match='arm "weekly" is given until'):
        simulate_trial(case, "none", plan("crossover", long, (3, 3), washout=240.0), replicates=1, uncertain=False)
    kappa = replace(
        arm("kappa", KETAMINE), condition=Condition(KETAMINE, (Probe("kappa_imposed_antagonist", set=5.0),))
    )
    with pytest.raises(StudyError, match='arm "kappa", key probes: none has no parameter "kappa_imposed_antagonist"'):
        made = plan("parallel", [kappa, arm("placebo", "no drug")], (3, 3))
        simulate_trial(case, "none", made, replicates=1, uncertain=False)


def test_a_plan_is_resized_in_proportion() -> None:
    assert parallel().resized(31).sizes == (16, 15)
    with pytest.raises(StudyError, match="key n: 0 patients"):
        parallel().resized(0)


def test_a_trial_without_a_baseline_has_the_default_as_a_share_of_its_scale() -> None:
    madrs = Trial("MADRS", {"score_max": TrialNumber(60, "recalled")})
    assert trial_values(madrs, {"score_max": 52.0, "score_baseline": 26.0})["score_baseline"] == 30.0


def test_a_published_study_is_put_inside_its_predicted_distribution(case: Case) -> None:
    """Williams: 7 of 12 responded; a probability and no adjective, checked against a count by hand."""
    run = simulate_trial(case, "camp_crosstalk", plan_study(case.studies["williams_2018"]), replicates=500)
    found = {c.finding.id: c for c in compare_study(case, run)}
    rated = run.ratings
    mine = rated.where((rated.arm == "placebo_ketamine"), drop=False)
    base = mine.rating.where(mine.is_baseline).max("visit").to_numpy()
    day = mine.rating.where(mine.time == 24.0).max("visit").to_numpy()
    shares = (day <= 0.5 * base).mean(axis=1)
    at_most, at_least = np.mean(shares <= 7 / 12 + 1e-9), np.mean(shares >= 7 / 12 - 1e-9)
    assert found["responders_24h"].probability == pytest.approx(min(1.0, 2 * min(at_most, at_least)), abs=1e-9)
    direction = found["hamd17_24h"]
    estimates = run.estimates.sel(estimand="hamd17_24h")
    assert direction.probability == pytest.approx(float(((estimates.value > 0) & (estimates.p < 0.05)).mean()))
    assert 0 < direction.error < 0.03
    assert "dissociation" not in found  # no rating: the verdict replays it


# --- designs as files ---------------------------------------------------------------------------------------------


def test_an_interaction_is_a_difference_of_differences(case: Case) -> None:
    """Four arms: the estimate of a 2 x 2 is that of its two pairs, one minus the other, and so is its truth."""
    made = case.plan("two_by_two").resized(80)
    run = simulate_trial(case, "camp_crosstalk", made, replicates=50, uncertain=False)
    value = {name: run.estimates.value.sel(estimand=name).to_numpy() for name in run.estimates.estimand.to_numpy()}
    expected = value["ketamine_with_naltrexone"] - value["naltrexone_alone"]
    np.testing.assert_allclose(value["interaction"], expected, rtol=1e-12)
    se = {name: run.estimates.se.sel(estimand=name).to_numpy() for name in value}
    np.testing.assert_allclose(se["interaction"], np.hypot(se["ketamine_with_naltrexone"], se["naltrexone_alone"]))
    truth = true_effects(case, "camp_crosstalk", made, patients=1024)
    gap = truth["ketamine_with_naltrexone"].value - truth["naltrexone_alone"].value
    assert truth["interaction"].value == pytest.approx(gap, rel=1e-9)


def test_every_shipped_design_runs_and_enrols_whom_it_asks_for(case: Case) -> None:
    assert case.designs
    for name, made in case.designs.items():
        if not made.is_human or name in ("kappa_antagonist_ketamine", "camp_and_ps6k"):
            with pytest.raises(StudyError, match=r"key (species|targets|estimands)"):
                simulate_trial(case, "none", made, replicates=3, uncertain=False)
            continue
        run = simulate_trial(case, "none", made.resized(4 * len(made.sequences)), replicates=3, uncertain=False)
        assert run.ratings.attrs["plan"] == name
        assert np.nanmin(run.ratings.rating.sel(visit=0)) >= (made.enrolment.least or 0)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('washout = "30 d"', 'washout = "-30 d"', "crossover_26.toml, key design.washout: -720 h"),
        ("n = 26", "n = 0", 'arm "naltrexone_ketamine", key n'),
        ("n = 26", "", "key arms.n: a plan says how many"),
        ('"24 h", "3 d"', '"-2 h", "3 d"', "key design.visits: -2 h lies before the baseline"),
        ('id = "day"', 'idd = "day"', 'unknown key "estimands.0.idd"'),
        ('time = "7 d"', 'time = "8 d"', 'key estimands "week": nobody is rated at 192 h'),
        ("least = 20", "leasst = 20", "leasst"),
        ('id = "placebo_ketamine"', 'id = "naltrexone_ketamine"', "stands there twice"),
    ],
)
def test_a_design_file_that_cannot_be_run_says_where(case: Case, tmp_path: Path, old: str, new: str, said: str) -> None:
    text = (case.folder / "designs" / "crossover_26.toml").read_text(encoding="utf-8")
    assert old in text
    file = tmp_path / "crossover_26.toml"
    file.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(StudyError, match=re.escape(said)):
        case.plan(str(file))


# --- every study -----------------------------------------------------------------------------------------------------


def test_every_study_runs_as_a_trial_or_says_why_not(case: Case) -> None:
    """Patients who were rated: a probability for each rated finding. Animals, scans, cells: a sentence that says so."""
    refused = {}
    for name, study in case.studies.items():
        rated = [f for f in study.findings if f.output == "score" and f.time is not None and f.cutoff is None]
        rated = [f for f in rated if f.kind != "hazard_ratio"]
        if study.is_human and rated:
            run = simulate_trial(case, "none", case.plan(name).resized(24), replicates=3, uncertain=False)
            assert {c.finding.id for c in compare_study(case, run)} == {f.id for f in rated}, name
            continue
        with pytest.raises(StudyError) as told:
            case.plan(name)
        refused[name] = str(told.value)
    assert "of animals the verdict asks signs alone" in refused["li_2010"]
    assert "no finding is a rating" in refused["rabiner_2011"]
    assert len(refused) < len(case.studies) - 15


def test_three_arms_without_sequences_make_a_latin_square(case: Case) -> None:
    study = case.studies["nagele_2021"]
    arms = [a.id for a in study.design.arms]
    square = sequences_of(replace(study.design, sequences=()))
    assert [sorted(s) for s in square] == [sorted(arms)] * len(arms)
    assert [sorted(s[k] for s in square) for k in range(len(arms))] == [sorted(arms)] * len(arms)


def test_finding_nothing_is_a_probability_too(case: Case) -> None:
    """Memantine moved nothing: under the null 19 of 20 such trials find nothing; SE of a share of 400 is 0.011."""
    run = simulate_trial(case, "none", case.plan("memantine_2006"), replicates=400, uncertain=False)
    (found,) = (c for c in compare_study(case, run) if c.finding.kind == "none_different")
    assert found.probability == pytest.approx(0.95, abs=4 * 0.011)


def test_a_visit_may_not_reach_into_the_first_dose_of_the_next_period(case: Case) -> None:
    """Naltrexone is given 45 min before time 0, so a visit at the very end of a period comes too late."""
    arms = [arm("both", f"{NALTREXONE}; {KETAMINE}"), arm("ketamine", KETAMINE)]
    late = plan("crossover", arms, (3, 3), washout=240.0, visits=(24.0, 240.0))
    with pytest.raises(StudyError, match=r"key design.visits: the next period begins 0.75 h before"):
        simulate_trial(case, "none", late, replicates=1, uncertain=False)


def test_a_finding_on_another_scale_is_estimated_and_shown_in_its_own_points(case: Case) -> None:
    """HAM-D6 ends at 22 and HAM-D17 at 52: one latent score, so estimates differ by 22/52 and p not at all."""
    run = simulate_trial(case, "nmda_rest", case.plan("williams_2018"), replicates=30, uncertain=False)
    six, seventeen = (run.estimates.sel(estimand=name) for name in ("hamd6_24h", "hamd17_24h"))
    for column in ("value", "se", "low", "high"):
        np.testing.assert_allclose(six[column], seventeen[column] * 22 / 52, rtol=1e-12)
    np.testing.assert_allclose(six["p"], seventeen["p"], rtol=1e-9)
    assert dict(zip(run.estimates.estimand.values, run.estimates.scale.values, strict=True)) == {
        "hamd6_24h": "HAM-D6", "hamd6_72h": "HAM-D6", "hamd17_24h": "HAM-D17", "hamd17_72h": "HAM-D17",
        "responders_24h": "share",
    }  # fmt: skip
    answers = [(run, compare_study(case, run))]
    found = {c.finding.id: c for c in answers[0][1]}
    middle = float(np.median(six["value"].to_numpy()[np.isfinite(six["value"].to_numpy())]))
    assert found["hamd6_24h"].predicted == pytest.approx(middle)
    truth = true_effects(case, "nmda_rest", case.plan("williams_2018"), patients=64)
    assert truth["hamd6_24h"].value == pytest.approx(truth["hamd17_24h"].value * 22 / 52)
    for shown in (answers, [*answers, *answers]):
        console = Console(width=120, record=True, file=io.StringIO())
        print_trials(shown, console)
        text = console.export_text()
        assert "HAM-D6" in text and "points" in text
        assert "HAM-D6 (0 to 22) and HAM-D17 (0 to 52) share one latent score" in text
    assert {row["estimand"]: row["score_max"] for row in trial_rows(answers)}["hamd6_24h"] == 22
