"""Plans ranked and searched, and what cannot be asked; on two rivals and few draws."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from antagony.case import Case
from antagony.design import REALISTIC, Estimand, Plan, Reading, realism_without
from antagony.errors import PosteriorError, ReportError, StudyError
from antagony.planning import expectations
from antagony.planning.answer import Ranked
from antagony.planning.confirmation import (
    _count,
    _judge_apart,
    _read_contrast,
    confirm_plan,
    importance_result,
    log_densities,
)
from antagony.planning.expectations import Signs
from antagony.planning.forecast import outline_plans
from antagony.planning.information import Effects, Evidence, Expected, Figure
from antagony.planning.optimisation import Optimised, optimise_plan
from antagony.planning.ranking import (
    GRID,
    Ask,
    Ranker,
    _believed,
    _half,
    _only,
    count_assumed,
    describe_estimand,
    filter_plans,
    patients_for,
    rank_plans,
)
from antagony.planning.sentences import _beside, _fooled, _is_unsure, _misled, ranking_sentences
from antagony.search_report import SEARCH_ENDINGS, print_search, search_sentence, search_table, write_search

PAIR = ("gated_surge", "nmda_rest")
ASK = Ask(rivals=PAIR, effort="quick")


# --- what is asked ---------------------------------------------------------------------------------------------------


def test_plans_are_left_out_by_name_and_by_what_they_ask_of_the_world(case: Case) -> None:
    plans = [*case.designs.values()]

    def left(*words: str) -> set[str]:
        return {p.id for p in plans} - {p.id for p in filter_plans(plans, words)}

    assert left() == set()
    assert left("two_by_two") == {"two_by_two"}
    assert left("animal") == {p.id for p in plans if not p.is_human}
    assert left("unproven") == {p.id for p in plans if p.feasibility and not p.feasibility.in_man}
    assert {"mtor_inhibitor_ketamine"} < left("unproven") < {p.id for p in plans}
    assert left("burden>3") == {p.id for p in plans if p.feasibility and p.feasibility.burden > 3} != set()
    assert left("animal", "two_by_two") == left("animal") | {"two_by_two"}
    assert left("investigational") == {
        p.id for p in plans if p.feasibility and p.feasibility.approval == "investigational"
    }
    with pytest.raises(StudyError, match=r'"two_by_tow".*did you mean "two_by_two"'):
        filter_plans(plans, ["two_by_tow"])


def test_a_budget_buys_patients(case: Case) -> None:
    plan = case.designs["two_by_two"]
    assert patients_for(plan, 100, "") == 100
    assert patients_for(plan, 100, "80") == patients_for(plan, 100, "80 patients") == 80
    assert patients_for(plan, 100, "600 visits") == math.floor(600 / plan.cost)
    with pytest.raises(StudyError, match="write a number of patients or visits"):
        patients_for(plan, 100, "600 euros")
    assert patients_for(plan, 8, "") == patients_for(plan, 100, "8.9") == 8
    with pytest.raises(StudyError, match="7 patients for 4 groups"):
        patients_for(plan, 7, "")


@pytest.mark.parametrize(
    ("rivals", "said"),
    [
        (("gated_surge", "nmda_rst"), '"nmda_rst".*did you mean "nmda_rest"'),
        (("gated_surge",), "name two or more"),
        (("gated_surge", "gated_surge"), "name two or more that differ"),
        (("iv", "nmda_rest"), "one holds the other"),
        (("none", "gated_surge"), '"none": no mechanism or class'),
    ],
)
def test_rivals_that_are_none_are_refused(case: Case, rivals: tuple[str, ...], said: str) -> None:
    with pytest.raises(StudyError, match=said):
        Ranker(case, Ask(rivals=rivals, effort="quick"))


def test_questions_without_sense_are_refused(case: Case) -> None:
    with pytest.raises(StudyError, match="a bound is a Bayes factor above 1"):
        Ranker(case, replace(ASK, bound=1.0))
    with pytest.raises(StudyError, match="an aim a probability"):
        Ranker(case, replace(ASK, aim=1.0))
    with pytest.raises(PosteriorError, match=r'"quik".*did you mean "quick"'):
        Ranker(case, replace(ASK, effort="quik"))


def test_contrasts_and_assumed_numbers_are_told(case: Case) -> None:
    plan = case.designs["two_by_two"]
    assert describe_estimand(plan, 1) == "rating at 24 h: naltrexone, ketamine - placebo, ketamine"
    assert describe_estimand(plan, 0).startswith("rating at 24 h: (naltrexone, ketamine - placebo, ketamine) - (")
    shares = replace(plan, estimands=(Estimand("r", plan.estimands[1].arms, 24.0, "responders", 0.5),))
    assert describe_estimand(shares, 0).startswith("share of ratings that fell by 50% at 24 h")
    assert count_assumed(plan) == 3  # two cues and what a patient costs


# --- courses ---------------------------------------------------------------------------------------------------------


def test_arms_with_the_same_doses_share_a_course(case: Case) -> None:
    """The comparator's cue is read late, so four arms of two doses make no course of their own."""
    plan = case.designs["two_by_two"]
    outline = outline_plans(case, [plan])
    assert len(outline.courses) == 4
    twice = outline_plans(case, [plan, replace(plan, id="again")])
    assert len(twice.courses) == 4
    cue = case.periods.cue if case.periods else ""
    late = [path.late[-1].get(cue) for path in outline.paths[plan.id]]
    assert late == [None, None, 0.5, 0.5]


def test_periods_without_carry_over_begin_from_rest(case: Case) -> None:
    plan = case.designs["crossover_26"]
    whole, apart = (outline_plans(case, [plan], carry_over=carry) for carry in (True, False))
    assert len(whole.courses) == len(plan.sequences) == 2
    assert len(apart.courses) == 2  # one a treatment, whatever the period
    assert max(apart.courses[0].times) < plan.step < max(whole.courses[0].times)
    start = case.periods.start if case.periods else ""
    assert [late.get(start) for late in whole.paths[plan.id][0].late][-1] == plan.step
    assert all(not course.restarts for course in apart.courses) and all(course.restarts for course in whole.courses)


# --- on two rivals ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ranker(case: Case, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ranker]:
    """Two rivals weighed quickly in a folder of their own."""
    with pytest.MonkeyPatch.context() as patch:
        from antagony.posterior import bank, cloud

        folder = tmp_path_factory.mktemp("cache")
        for module in (bank, cloud, expectations):
            patch.setattr(module, "cache_folder", lambda: folder)
        yield Ranker(case, ASK)


def some(case: Case) -> list[Plan]:
    return [case.designs[name] for name in ("two_by_two", "glutamate_mrs", "rodent_naltrexone_ketamine")]


@pytest.mark.slow
def test_a_plan_is_forecast_once_and_the_same_whoever_is_beside_it(
    ranker: Ranker, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = ranker.expect(some(case), REALISTIC)
    with monkeypatch.context() as patch:
        patch.setattr(expectations, "run_courses", lambda *_: pytest.fail("what is stored was run again"))
        again = ranker.expect(some(case), REALISTIC)
    for name in together:
        for slug in PAIR:
            assert _same(together[name][slug], again[name][slug])
    alone = ranker.expect([replace(case.designs["two_by_two"], id="other")], REALISTIC)["other"]
    for slug in PAIR:
        assert _same(together["two_by_two"][slug], alone[slug])


def _same(one: object, two: object) -> bool:
    assert type(one) is type(two)
    names = Signs.__slots__ if isinstance(one, Signs) else ("mean", "covariance", "load", "weight", "group")
    return all(np.array_equal(getattr(one, name), getattr(two, name)) for name in names)


@pytest.mark.slow
def test_a_forecast_does_not_hang_on_what_else_was_asked(
    ranker: Ranker, case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Readings and visits of other plans may not choose the numbers in which patients differ."""
    trio = [case.designs[name] for name in ("crossover_short", "mu_pet_ketamine", "dissociation_naltrexone")]
    alone = ranker.expect(trio[:1], REALISTIC)[trio[0].id]
    monkeypatch.setattr(expectations, "cache_folder", lambda: tmp_path)
    beside = ranker.expect(trio, REALISTIC)[trio[0].id]
    for slug in PAIR:
        assert _same(alone[slug], beside[slug])


def test_two_plans_of_one_name_are_refused(ranker: Ranker, case: Case) -> None:
    plan = case.designs["crossover_26"]
    with pytest.raises(StudyError, match='two plans are called "crossover_26"'):
        ranker.expect([plan, plan.spaced("40 d")], REALISTIC)


def test_what_no_trial_could_run_is_refused_by_name(ranker: Ranker, case: Case) -> None:
    plan = case.designs["two_by_two"]
    unread = replace(plan, estimands=(replace(plan.estimands[0], output="mtorc2", reading=Reading(0.1, "assumed")),))
    crossed = case.designs["crossover_short"]
    tight = replace(crossed, visits=(24.0, crossed.step), estimands=(replace(crossed.estimands[0], time=24.0),))
    fit, refused = ranker.refuse([plan, replace(unread, id="unread"), replace(tight, id="tight")])
    assert [p.id for p in fit] == ["two_by_two"]
    assert 'no output "mtorc2"' in refused["unread"]
    assert "periods overlap" in refused["tight"]


@pytest.mark.slow
def test_contrasts_that_follow_from_others_tell_nothing_of_the_trial(ranker: Ranker, case: Case) -> None:
    """An interaction is the difference of two contrasts: in means, in scatter and in what trials differ by."""
    plan = case.designs["two_by_two"]
    found = ranker.expect([plan], REALISTIC)[plan.id]["gated_surge"]
    assert isinstance(found, Expected)
    tie = np.array([1.0, -1.0, 1.0])
    np.testing.assert_allclose(found.mean @ tie, 0, atol=1e-9)
    np.testing.assert_allclose(np.einsum("i,die,j,dje->d", tie, found.loads, tie, found.loads), 0, atol=1e-9)
    np.testing.assert_allclose(np.einsum("i,dij,j->d", tie, found.covariance, tie), 0, atol=1e-6)
    two = replace(plan, id="two", estimands=plan.estimands[1:])
    fewer = ranker.expect([two], REALISTIC)["two"]
    whole = ranker.expect([plan], REALISTIC)[plan.id]
    bits = [ranker.evidence(f, 320, results=128).bits for f in (whole, fewer)]
    assert bits[0].value == pytest.approx(bits[1].value, abs=0.02 + 2 * bits[0].error)


@pytest.mark.slow
def test_draws_that_cannot_be_solved_keep_their_places_without_weight(
    ranker: Ranker, case: Case, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In people and in animals: what is not known is neither a number nor a sign."""
    plans = [replace(case.designs[n], id=f"{n}-lame") for n in ("morphine_alone", "rodent_naltrexone_ketamine")]
    whole = ranker.expect(plans, REALISTIC)
    real = expectations.run_early

    def lame(*given: object) -> object:
        carried = real(*given)  # type: ignore[arg-type]
        for values in carried.values:
            values[0] = np.nan
        return carried

    monkeypatch.setattr(expectations, "run_early", lame)
    monkeypatch.setattr(expectations, "cache_folder", lambda: tmp_path)
    (tmp_path / "forecasts").mkdir()
    lost = ranker.expect(plans, REALISTIC)
    for plan in plans:
        for slug in PAIR:
            known, some = whole[plan.id][slug], lost[plan.id][slug]
            assert some.weight.sum() == pytest.approx(1)
            assert len(some.weight) == len(known.weight)
            assert 0 < (some.weight == 0).sum() < len(some.weight)


@pytest.mark.slow
def test_plans_are_ranked_and_said(ranker: Ranker, case: Case) -> None:
    plans = [*some(case), case.designs["kappa_antagonist_ketamine"]]
    told: list[str] = []
    ranking = rank_plans(case, ASK, plans=plans, progress=lambda text, done, total: told.append(text))
    bits = [r.evidence.bits.value for r in ranking.ranked]
    assert bits == sorted(bits, reverse=True) and len(bits) == 3
    assert ranking.refused == {"kappa_antagonist_ketamine": "no mechanism has kappa: its arms would not differ"}
    assert told
    for r in ranking.ranked:
        e = r.evidence
        assert -0.1 <= e.bits.value <= 1.0 + 3 * e.bits.error
        assert e.misleading.value <= 0.1 + 3 * e.misleading.error
        assert 0 <= e.decisive.value <= 1 and 0.5 - 3 * e.posterior.error <= e.posterior.value <= 1
        assert abs(r.control.value) < 4 * r.control.error + 0.01
        if r.plan.is_human:
            decisive = [c.decisive.value for c in r.curve]
            assert decisive[-1] >= decisive[0] - 0.02
            assert r.per_patient == pytest.approx(e.bits.value / 100) and r.cost == pytest.approx(100 * r.plan.cost)
        else:
            assert math.isnan(e.n) and r.curve == () and r.advised is None
        assert {*r.outcomes} == {one.id for one in r.plan.estimands}
        for outcomes in r.outcomes.values():
            assert {*outcomes} == {*PAIR}
            for o in outcomes.values():
                assert o.low <= o.median <= o.high
    first = next(r for r in ranking.ranked if r.plan.is_human)
    assert ranking.sentences[0].startswith(f"Run {first.name} with n = ") or "uncertain" in " ".join(ranking.caveats)
    assert (
        f"n = {first.best.n:g}: it decides between gated_surge and nmda_rest with probability" in ranking.sentences[0]
    )
    assert ranking.caveats[-1] == case.disclaimer


@pytest.mark.slow
def test_more_patients_say_more_and_an_advised_number_reaches_the_aim(ranker: Ranker, case: Case) -> None:
    (found,) = ranker.rank([case.designs["glutamate_mrs"]])
    bits = [e.bits.value for e in found.curve]
    assert bits[-1] > bits[0]
    assert found.advised is not None
    assert found.advised.decisive.value >= ASK.aim - 0.08
    smaller = [e for e in found.curve if e.n < found.advised.n]
    assert all(e.decisive.value < ASK.aim for e in smaller)  # a smaller number of the grid would not do
    harder = Ranker(case, replace(ASK, aim=0.999))
    assert harder.rank([case.designs["two_by_two"]])[0].advised is None


def test_a_pair_misled_beyond_the_bound_is_named(case: Case) -> None:
    """Only where the analysis ignores something: one that knows the world cannot pass the bound, but for noise."""
    none = Figure(0.0, 0.0)
    pairs = {("i", "iii"): (0.5, 0.02), ("iii", "i"): (0.5, 0.01)}
    known = Evidence(100.0, none, 0.0, none, none, none, pairs)
    fooled = replace(known, pairs=pairs | {("i", "iii"): (0.5, 0.122)})
    ranked = Ranked(case.designs["ketamine_saline"], known, (), none, None, known, {}, fooled)
    said = _fooled(ranked, 0.1)
    assert said.startswith("ketamine_saline fails there: i is taken for iii in 12% of results") and "(2.0%)" in said
    assert _fooled(ranked, 0.13) == "" == _fooled(replace(ranked, ignoring=None), 0.1)
    noisy = replace(known, pairs=pairs | {("i", "iii"): (0.5, 0.11)})
    assert _fooled(replace(ranked, evidence=noisy), 0.1) == ""


class Told(Ranker):
    """A ranker without a posterior, told how decisive evidence hangs on the number of patients."""

    def __init__(self, chance: Callable[[float], float], ask: Ask = ASK) -> None:
        self.chance, self.ask = chance, ask

    def evidence(self, forecasts: Any, n: float, **others: Any) -> Evidence:  # noqa: ANN401
        return shown_by(decisive=self.chance(n), n=n)

    def advise(self, plan: Plan) -> tuple[Evidence | None, Evidence]:
        curve = [self.evidence({}, n) for n in GRID]
        return self._advise(plan, {}, curve), self._best({}, curve)


def shown_by(*, n: float = 100.0, **values: float | tuple[float, float]) -> Evidence:
    """Evidence of which some numbers are given, with their errors or without."""
    pairs = {name: value if isinstance(value, tuple) else (value, 0.0) for name, value in values.items()}
    bits, decisive, misleading = (Figure(*pairs.get(k, (0.0, 0.0))) for k in ("bits", "decisive", "misleading"))
    return Evidence(n, bits, pairs.get("bias", (0.0, 0.0))[0], decisive, misleading, Figure(0.5, 0.0), {})


def test_the_least_number_that_reaches_the_aim_is_advised(case: Case) -> None:
    plan = case.designs["two_by_two"]
    assert len(plan.sequences) == 4 and ASK.aim == 0.8
    advised, best = Told(lambda n: 1 - math.exp(-n / 100)).advise(plan)  # 0.8 at 160.9 patients
    assert advised is not None and (advised.n, best.n) == (164, 320)
    advised, _ = Told(lambda n: 0.9 if n >= 310 else 0.1).advise(plan)  # between two points of the curve it is none
    assert advised is not None and advised.n == 320 and advised.decisive.value >= ASK.aim
    advised, _ = Told(lambda n: 0.9).advise(plan)
    assert advised is not None and advised.n == GRID[0]
    advised, best = Told(lambda n: 0.7 * (1 - math.exp(-n / 50))).advise(plan)
    assert advised is None and best.n == 160


@pytest.mark.parametrize(
    ("ignored", "taken"),
    [
        ((), {}),
        (("carry_over",), {"carry_over": False}),
        (("placebo", "heterogeneity"), {"placebo": False, "heterogeneity": False}),
        (("dropout", "residual"), {"dropout": "none", "residual": False}),
    ],
)
def test_an_analysis_ignores_what_it_is_told_and_nothing_else(ignored: tuple[str, ...], taken: dict[str, Any]) -> None:
    world = replace(REALISTIC, unblinding=False)
    ranker = Told(lambda n: 0.5, replace(ASK, realism=world, ignored=ignored))
    assert ranker.analysed == replace(world, **taken)


def test_who_ignores_believes_his_own_means_and_the_scatter_that_he_sees() -> None:
    """A draw that either of the two could not solve counts for neither."""
    one, group = np.ones((4, 1)), np.arange(4)
    world = Expected(0 * one, 9 * one[:, :, None], 2 * one, np.array([0, 0.5, 0.25, 0.25]), group)
    analysis = Expected(one, one[:, :, None], one, np.array([0.5, 0.25, 0.25, 0]), group)
    found = _believed(world, analysis)
    assert (found.mean == 1).all() and (found.covariance == 9).all() and (found.load == 2).all()
    np.testing.assert_allclose(found.weight, [0, 2 / 3, 1 / 3, 0])


def test_what_is_within_its_error_is_not_said_for_sure(case: Case) -> None:
    def ranked(**values: float | tuple[float, float]) -> Ranked:
        here = shown_by(n=100.0, **values)
        return Ranked(case.designs["two_by_two"], here, (), Figure(0, 0), None, here, {})

    first = ranked(bits=(0.5, 0.03))
    assert "more than 3 Monte-Carlo errors apart" in _beside(first, ranked(bits=(0.34, 0.04)))
    assert "less than 3 Monte-Carlo errors apart" in _beside(first, ranked(bits=(0.36, 0.04)))
    assert "too uncertain (bias up to 0.07) to part the two" in _beside(first, ranked(bits=(0.2, 0.03), bias=-0.07))
    assert "too uncertain (Monte-Carlo error 0.06)" in _beside(first, ranked(bits=(0.2, 0.06), bias=0.01))
    assert _misled(ranked(misleading=(0.13, 0.01))) == pytest.approx(0.1)
    assert not _is_unsure(ranked(bits=(0.5, 0.05), bias=-0.05))
    assert _is_unsure(ranked(bits=(0.5, 0.051))) and _is_unsure(ranked(bias=-0.051)) and _is_unsure(ranked(bias=0.051))


def test_a_design_too_uncertain_to_advise_is_still_named_as_the_best_of_the_others(case: Case) -> None:
    def ranked(name: str, bits: float, bias: float = 0.0) -> Ranked:
        here = shown_by(n=100.0, bits=(bits, 0.01), bias=bias)
        return Ranked(case.designs[name], here, (here,), Figure(0, 0), None, here, {})

    order = (ranked("glutamate_mrs", 0.75), ranked("camp_and_ps6k", 0.72, -0.07), ranked("mu_pet_ketamine", 0.6))
    ranking: Any = SimpleNamespace(ranked=order, rivals={"one": {}, "other": {}, "third": {}}, bound=10.0, aim=0.8)
    said = " ".join(ranking_sentences(ranking))
    assert "Run glutamate_mrs" in said and "best of the others, camp_and_ps6k" in said


@pytest.mark.slow
def test_what_the_analysis_ignores_cannot_help_it(ranker: Ranker, case: Case) -> None:
    """Carry-over of five days: results of the real trial, judged as if there were none."""
    plan = case.designs["crossover_short"]
    real = ranker.expect([plan], REALISTIC)[plan.id]
    ideal = ranker.expect([plan], realism_without(["carry_over"]))[plan.id]
    matched = ranker.evidence(real, 80)
    ignoring = Ranker(case, replace(ASK, ignored=("carry_over",))).evidence(real, 80, naive=ideal)
    assert ignoring.bits.value < matched.bits.value + 2 * matched.bits.error
    assert ranker.evidence(ideal, 80).bits.value > matched.bits.value
    with pytest.raises(StudyError, match='cannot ignore "carry"'):
        _ = Ranker(case, replace(ASK, ignored=("carry",))).analysed


@pytest.mark.slow
def test_measurements_stand_in_order_of_what_they_separate(ranker: Ranker, case: Case) -> None:
    plans = some(case)
    found = ranker.measure(plans, ranker.expect(plans, REALISTIC))
    assert len(found) == sum(len(p.estimands) for p in plans)
    assert [m.bits.value for m in found] == sorted((m.bits.value for m in found), reverse=True)
    assert {m.unit for m in found} == {"points", "probability", ""}


@pytest.mark.slow
def test_whole_trials_keep_what_was_promised(ranker: Ranker, case: Case) -> None:
    plan = case.designs["glutamate_mrs"]
    found = confirm_plan(ranker, plan, 80, trials=60)
    assert found.results.shape == (120, len(plan.estimands)) and np.isfinite(found.results).all()
    for promised, seen in (found.decisive, found.misleading):
        assert abs(promised.value - seen.value) < 4 * math.hypot(promised.error, seen.error) + 2 / 60
    source = ranker.sources[0]
    value, error = importance_result(ranker, source, plan, 80, found.results[0])
    assert value == pytest.approx(found.factors[0, 0], abs=4 * error + 0.05)


def test_simulated_trials_are_counted_by_pair_and_bound() -> None:
    """Of four trials from each of two, what is at the bound or short of it is neither."""
    gaps = np.array([3.0, math.log(10), -2.0, -3.0, 3.0, 2.5, 2.4, -2.4])
    truth = np.repeat([0, 1], 4)
    factors = np.stack([np.where(truth == 0, gaps, 0.0), np.where(truth == 1, gaps, 0.0)], axis=1)
    pairs, decisive, misleading = _count(factors, truth, ["a", "b"], 10.0)
    assert pairs == {("a", "b"): (0.25, 0.25), ("b", "a"): (0.75, 0.25)}
    assert (decisive.value, misleading.value) == (0.5, 0.25)
    error = math.sqrt(2 * 0.25 * 0.75 / 4) / 2
    assert decisive.error == pytest.approx(error) and misleading.error == pytest.approx(error)


def test_a_reading_of_four_arms_is_a_difference_of_differences_of_who_is_read(case: Case) -> None:
    plan = case.designs["two_by_two"].resized(16)
    arms = plan.estimands[0].arms
    read = np.full((1, 16), np.nan)
    names = [sequence[0] for sequence in plan.sequences]
    for arm, value in zip(arms, (1.0, 2.0, 4.0, 8.0), strict=True):
        read[0, plan.members(names.index(arm))] = [value, value + 1, np.nan, value - 1][: plan.sizes[names.index(arm)]]
    np.testing.assert_allclose(_read_contrast(plan, arms, read), 1 - 2 - 4 + 8)
    np.testing.assert_allclose(_read_contrast(plan, arms[:2], read), 1 - 2)


def test_a_trial_is_judged_without_the_draws_that_share_its_run() -> None:
    group = np.array([0, 0, 1, 2])
    mean, weight = np.array([[0.0], [1.0], [3.0], [7.0]]), np.array([0.4, 0.3, 0.2, 0.1])
    model = Expected(mean, np.full((4, 1, 1), 20.0), np.zeros((4, 1)), weight, group)
    results, own = np.array([[0.5], [0.5], [3.0]]), np.array([0, -1, 1])
    found = _judge_apart(results, model, Effects(np.zeros(1), np.ones(1)), 10, own)
    for k in range(3):
        kept = group != own[k]
        density = np.exp(-((results[k] - mean[:, 0]) ** 2) / 4) / math.sqrt(4 * math.pi)
        assert found[k] == pytest.approx(math.log((density * weight)[kept].sum() / weight[kept].sum()), rel=1e-6)


def test_the_density_of_a_result_is_a_mixture_over_the_sd_between_trials() -> None:
    from scipy.stats import multivariate_normal

    covariance, load = np.array([[4.0, 1.0], [1.0, 9.0]]), np.array([1.0, 0.5])
    model = Expected(np.array([[1.0, -2.0]]), covariance[None], load[None], np.ones(1), np.zeros(1, dtype=int))
    effects = Effects(np.array([0.0, 2.0]), np.array([0.3, 0.7]))
    result = np.array([0.5, 0.5])
    parts = [
        share * multivariate_normal.pdf(result, model.mean[0], covariance / 10 + sd**2 * np.outer(load, load))
        for sd, share in zip(effects.sds, effects.weights, strict=True)
    ]
    assert log_densities(result, model, effects, 10)[0] == pytest.approx(math.log(sum(parts)), rel=1e-9)


@pytest.mark.slow
def test_a_search_never_ends_below_the_plan_as_it_was(ranker: Ranker, case: Case, tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    found = optimise_plan(case, case.designs["morphine_alone"], ASK, trials=8)
    assert len(found.tried) == 8
    first, best = found.tried[0], max(found.tried, key=lambda t: t.bits)
    assert first.values == {v.id: v.nominal for v in case.designs["morphine_alone"].variables}
    assert best.bits >= first.bits
    assert found.gain[0] == pytest.approx(found.evidence.bits.value - found.start.bits.value)
    sizes = [t.n for t in found.front]
    assert sizes == sorted(sizes)
    gains = [t.bits for t in found.front]
    assert gains == sorted(gains)
    assert {t.n for t in found.planned} <= {20, 40, 80, 160, 320, 640}
    shown(found, tmp_path)
    again = optimise_plan(case, case.designs["morphine_alone"], ASK, trials=8)
    assert again.tried == found.tried and again.evidence == found.evidence


def shown(found: Optimised, folder: Path) -> None:
    """A search is printed and written in every form, with the same numbers."""
    told = io.StringIO()
    print_search(found, Console(file=told, width=100))
    assert f"{found.evidence.bits.value:.3f} ({found.evidence.bits.error:.3f})" in told.getvalue()
    assert search_sentence(found) in " ".join(told.getvalue().split())
    for ending in SEARCH_ENDINGS:
        write_search(found, folder / f"search{ending}")
    table = json.loads((folder / "search.json").read_text(encoding="utf-8"))
    assert table == json.loads(json.dumps(search_table(found)))
    assert table["bits"] == found.evidence.bits.value and len(table["tried"]) == len(found.tried)
    rows = list(csv.DictReader((folder / "search.csv").read_text(encoding="utf-8").splitlines()))
    assert [float(row["bits"]) for row in rows] == pytest.approx([t.bits for t in found.tried if t.n], abs=1e-6)
    assert (folder / "search.svg").read_text(encoding="utf-8").startswith("<svg")
    with pytest.raises(ReportError):
        write_search(found, folder / "search.docx")


def test_a_plan_with_nothing_open_is_not_searched(case: Case) -> None:
    with pytest.raises(StudyError, match="no number is left open"):
        optimise_plan(case, case.designs["crossover_26"], ASK)
    with pytest.raises(StudyError, match="of animals signs alone"):
        optimise_plan(case, case.designs["rodent_pde4_ketamine"], ASK)


def test_halves_and_single_contrasts_of_a_forecast() -> None:
    group = np.arange(8)
    model = Expected(
        np.arange(16.0).reshape(8, 2), np.tile(np.eye(2), (8, 1, 1)), np.ones((8, 2)), np.full(8, 1 / 8), group
    )
    odd = _half(model, 1)
    assert isinstance(odd, Expected)
    assert odd.mean[:, 0].tolist() == [2, 6, 10, 14] and odd.group.tolist() == [0, 1, 2, 3]
    assert odd.weight.sum() == pytest.approx(1)
    second = _only(model, 1)
    assert isinstance(second, Expected)
    assert second.mean.ravel().tolist() == model.mean[:, 1].tolist() and second.covariance.shape == (8, 1, 1)
