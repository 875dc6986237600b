"""Likelihoods of published findings against closed forms, dense quadrature and plain Monte Carlo."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.stats import beta, betabinom, halfnorm, lognorm, multivariate_normal, norm

from antagony.case import Case
from antagony.condition import Condition
from antagony.errors import StudyError
from antagony.parameters import Prior
from antagony.posterior.cloud import spread_trials
from antagony.posterior.likelihood import (
    TRIAL_SDS,
    LogLikelihood,
    beta_binomial,
    log_likelihoods,
    paradigm_log_likelihood,
    sample_log_likelihood,
    sign_hits,
    trial_sd_weights,
)
from antagony.posterior.measures import BASE, Scoring, measure
from antagony.posterior.prediction import Prediction
from antagony.rules import Doubt, Rules
from antagony.study import Arm, Design, Finding, Study, Trial, TrialNumber, read_study

Array = NDArray[np.float64]
SIGMA = 4.5  # of a Monte-Carlo share: two-sided 7 in a million
RUNS = 400_000
ANIMALS = Prior("beta", (2.0, 2.0))


@pytest.fixture(scope="module")
def rules(case: Case) -> Rules:
    """The packaged rules without doubt; tests of doubt put it back."""
    assert case.rules is not None
    return replace(case.rules, doubts=dict.fromkeys(case.rules.doubts, Doubt(1.0, 0.0)))


def finding(kind: str = "contrast", name: str = "f", **keys: object) -> Finding:
    plain = {
        "id": name, "kind": kind, "arms": ("a", "b"), "output": "score", "scale": "", "score_max": None, "time": 24.0,
        "within": None, "statistic": "last", "value": None, "se": None, "sd": (), "n": (), "k": None, "share": None,
        "threshold": None, "sign": None, "significant": None, "p_below": None, "grades": {}, "source": "",
        "primary": True, "calibrates": False, "note": "",
    }  # fmt: skip
    return Finding(**(plain | keys))  # type: ignore[arg-type]


def study(name: str = "s", *, kind: str = "parallel", n: int | None = 40, top: float = 52.0, **keys: object) -> Study:
    arms = tuple(Arm(i, i, Condition(), n, "read", None, "read", "") for i in ("a", "b"))
    design = Design(kind, "", "double-blind", arms)  # type: ignore[arg-type]
    trial = Trial("HAM-D17", {"score_max": TrialNumber(top, "read")})
    plain: dict[str, object] = {
        "title": "",
        "reference": "",
        "date": "2000",
        "sample": name,
        "overlaps": (),
        "role": "calibrating",
    }
    plain |= {"design": design, "trial": trial, "findings": (), "note": ""}
    return Study(id=name, **(plain | keys))  # type: ignore[arg-type]


def predicted(f: Finding, centre: Sequence[float] | Array, sd: Array | None = None) -> Prediction:
    table = np.atleast_1d(np.asarray(centre, dtype=float))
    return Prediction(f, table[:, None] if table.ndim == 1 else table, sd)


CENTRES = [-6.0, -2.5, 0.0, 1.0]


# --- contrasts -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("top", "grade", "error"), [(52.0, "read", 1.0), (60.0, "recalled", 1.5), (22.0, "read", 1.0)])
def test_a_contrast_is_normal_about_its_prediction(rules: Rules, top: float, grade: str, error: float) -> None:
    """Variance: the published one times the grade's doubt, and the trial's own effect on the trial's scale."""
    rules = replace(rules, doubts={**rules.doubts, grade: Doubt(error, 0.0)})
    f = finding(value=-4.0, se=2.0, grades={"value": grade})
    found = sample_log_likelihood(study(top=top), [predicted(f, CENTRES)], rules)
    for j, sd in enumerate(TRIAL_SDS):
        spread = math.hypot(2.0 * error, sd * top / 52)
        np.testing.assert_allclose(found[:, j], norm.logpdf(-4.0, CENTRES, spread), rtol=1e-12)


def test_an_effect_on_the_latent_scale_counts_points_as_the_rules_say(rules: Rules) -> None:
    f = finding(value=0.2, se=0.1, output="drug_effect")
    found = sample_log_likelihood(study(), [predicted(f, [0.0, 0.3])], rules)
    for j, sd in enumerate(TRIAL_SDS):
        np.testing.assert_allclose(found[:, j], norm.logpdf(0.2, [0.0, 0.3], math.hypot(0.1, sd / 13)), rtol=1e-12)


def test_a_standardised_contrast_is_divided_by_each_draws_own_spread(rules: Rules) -> None:
    """Error of Cohen's d (hedges_1981); the trial's effect in points becomes SDs."""
    f = finding("standardised", value=-1.2, n=(30, 20))
    spreads = np.array([[8.0], [12.0]])
    found = sample_log_likelihood(study(top=60.0), [predicted(f, [-6.0, -10.0], spreads)], rules)
    error = math.sqrt(1 / 30 + 1 / 20 + 1.2**2 / 100)
    for j, sd in enumerate(TRIAL_SDS):
        wanted = [
            norm.logpdf(-1.2, c / s, math.hypot(error, sd * 60 / 52 / s)) for c, s in ((-6.0, 8.0), (-10.0, 12.0))
        ]
        np.testing.assert_allclose(found[:, j], wanted, rtol=1e-12)


def test_an_odds_ratio_is_scored_on_its_logarithm(rules: Rules) -> None:
    f = finding("odds_ratio", value=3.0, se=0.4, threshold=0.5)
    found = sample_log_likelihood(study(), [predicted(f, [0.0, 1.0])], rules)
    for j, sd in enumerate(TRIAL_SDS):
        wanted = norm.logpdf(math.log(3), [0.0, 1.0], math.hypot(0.4, sd * 4 / 52))
        np.testing.assert_allclose(found[:, j], wanted, rtol=1e-12)


@pytest.mark.parametrize("kind", ["parallel", "crossover"])
def test_an_unpublished_error_is_averaged_over_its_prior(rules: Rules, kind: str) -> None:
    """SD of a change is log-normal; three Gauss-Hermite nodes against dense quadrature.

    The nodes are exact to degree 5 in the log of the SD; a density up to 2.5 SE out bends so little that 1 % is left.
    """
    f = finding(value=-3.0)
    found = np.exp(sample_log_likelihood(study(kind=kind, n=40), [predicted(f, [-6.5, -3.0, 0.0, 0.5])], rules))
    factor = math.sqrt(2 * (1 - rules.crossover_correlation) / 40) if kind == "crossover" else math.sqrt(2 / 40)
    middle = rules.change_sd * 52 * factor
    spread = rules.change_log_sd
    for j, sd in enumerate(TRIAL_SDS):
        for i, centre in enumerate((-6.5, -3.0, 0.0, 0.5)):
            wanted = quad(
                lambda e, c=centre, t=sd: lognorm.pdf(e, spread, scale=middle) * norm.pdf(-3.0, c, math.hypot(e, t)),
                middle / 4,
                middle * 4,
            )[0]
            assert found[i, j] == pytest.approx(wanted, rel=0.01)


def test_standard_deviations_give_the_error_that_was_not_published(rules: Rules) -> None:
    m = measure(study(), finding(value=-3.0, sd=(9.0, 11.0), n=(20, 30)), rules)
    np.testing.assert_allclose(m.errors, [math.sqrt(81 / 20 + 121 / 30)])


# --- signs ---------------------------------------------------------------------------------------------------------


def simulated(rules: Rules, trial: float, centre: float, se: float, wrong: float, seed: int = 1) -> dict[str, float]:
    """Shares of outcomes of RUNS trials; a report is replaced by any other outcome with probability `wrong`."""
    rng = np.random.default_rng(seed)
    observed = centre + trial * rng.standard_normal(RUNS) + se * rng.standard_normal(RUNS)
    reach = norm.isf(rules.significance / 2) * se
    sign = np.where(rng.random(RUNS) < wrong, -1, 1) * np.sign(observed)
    three = np.where(observed > reach, 1, np.where(observed < -reach, -1, 0))
    other = (three + 1 + rng.integers(1, 3, RUNS)) % 3 - 1  # one of the other two
    three = np.where(rng.random(RUNS) < wrong, other, three)
    return {"falls": (sign < 0).mean(), "significant": (three == -1).mean(), "none": (three == 0).mean()}


@pytest.mark.parametrize("wrong", [0.0, 0.1])
@pytest.mark.parametrize("centre", [-6.0, -1.0, 2.0])
def test_signs_are_as_frequent_as_in_simulated_trials(rules: Rules, centre: float, wrong: float) -> None:
    rules = replace(rules, doubts={**rules.doubts, "recalled": Doubt(1.0, wrong)})
    grades = {"sign": "recalled"}
    bare = finding("direction", sign=-1, se=2.0, grades=grades)
    firm = finding("direction", sign=-1, se=2.0, significant=True, grades=grades)
    for j in (0, 2, 4):
        shares = simulated(rules, float(TRIAL_SDS[j]), centre, 2.0, wrong)
        for f, outcome in ((bare, "falls"), (firm, "significant")):
            found = math.exp(sample_log_likelihood(study(), [predicted(f, [centre])], rules)[0, j])
            share = shares[outcome]
            assert abs(found - share) < SIGMA * math.sqrt(max(share, 1e-4) / RUNS), outcome


@pytest.mark.parametrize("centre", [-6.0, -1.0, 2.0])
def test_no_difference_is_as_frequent_as_in_simulated_trials(rules: Rules, centre: float) -> None:
    f = finding("none_different", se=2.0)
    for j in (0, 2, 4):
        share = simulated(rules, float(TRIAL_SDS[j]), centre, 2.0, 0.0)["none"]
        found = math.exp(sample_log_likelihood(study(), [predicted(f, [centre])], rules)[0, j])
        assert abs(found - share) < SIGMA * math.sqrt(max(share, 1e-4) / RUNS)


OUTCOMES = {
    "bare": [("direction", {"sign": 1}), ("direction", {"sign": -1})],
    "three": [
        ("direction", {"sign": 1, "significant": True}),
        ("direction", {"sign": -1, "significant": True}),
        ("none_different", {}),
    ],
}


def chance_of_any(rules: Rules, outcomes: str, wrong: float, scoring: Scoring = BASE, **keys: object) -> Array:
    """Summed probability of outcomes that exclude each other and leave nothing out (draw, trial SD)."""
    rules = replace(rules, doubts={**rules.doubts, "read": Doubt(1.0, wrong)})
    given = study(**keys)  # type: ignore[arg-type]
    each = [
        np.exp(sample_log_likelihood(given, [predicted(finding(kind, **some), CENTRES)], rules, scoring))
        for kind, some in OUTCOMES[outcomes]
    ]
    return np.sum(each, axis=0)


@pytest.mark.parametrize(
    ("outcomes", "wrong"),
    [("bare", 0.0), ("bare", 0.1), ("three", 0.0), ("three", 0.1)],
)
def test_exhaustive_outcomes_have_probability_one(rules: Rules, outcomes: str, wrong: float) -> None:
    """With unknown standard errors; doubt moves probability from outcome to outcome and loses none."""
    np.testing.assert_allclose(chance_of_any(rules, outcomes, wrong), 1, rtol=1e-12)


@pytest.mark.parametrize("wrong", [0.0, 0.1])
def test_what_a_stopped_trial_can_show_has_probability_one(rules: Rules, wrong: float) -> None:
    """Given that it crossed a bound on either side, it shows one of two outcomes."""
    rules = replace(rules, doubts={**rules.doubts, "read": Doubt(1.0, wrong)})
    total = np.zeros((len(CENTRES), TRIAL_SDS.size))
    for sign in (1, -1):
        f = finding("direction", sign=sign, significant=True)
        total += np.exp(sample_log_likelihood(study(halted=True), [predicted(f, CENTRES)], rules, Scoring(halted=True)))
    np.testing.assert_allclose(total, 1, rtol=1e-9)


def test_a_stopped_trials_contrast_is_a_normal_law_cut_to_beyond_the_bound(rules: Rules) -> None:
    """Divided by the mass beyond it on either side; a trial that ran to its end is not touched."""
    bound = norm.isf(rules.significance / 2) * 2.0
    f = finding(value=-5.0, se=2.0)
    row, plain = (
        sample_log_likelihood(study(halted=True), [predicted(f, CENTRES)], rules, s)
        for s in (Scoring(halted=True), BASE)
    )
    for j, sd in enumerate(TRIAL_SDS):
        for i, centre in enumerate(CENTRES):
            law = (centre, math.hypot(2.0, sd))
            outside = norm.cdf(-bound, *law) + norm.sf(bound, *law)
            assert row[i, j] == pytest.approx(plain[i, j] - math.log(outside), abs=1e-9)
    untouched = sample_log_likelihood(study(), [predicted(f, CENTRES)], rules, Scoring(halted=True))
    np.testing.assert_array_equal(untouched, plain)


@pytest.mark.parametrize("wrong", [0.0, 0.1])
def test_published_outcomes_have_probability_one(rules: Rules, wrong: float) -> None:
    """A null result is published `published_share` times as often: of what is published, outcomes sum to 1."""
    total = chance_of_any(rules, "three", wrong, Scoring(selected=True))
    np.testing.assert_allclose(total, 1, rtol=1e-9)


def test_published_bare_signs_have_probability_one(rules: Rules) -> None:
    np.testing.assert_allclose(chance_of_any(rules, "bare", 0.0, Scoring(selected=True)), 1, rtol=1e-9)


def test_a_published_contrast_is_the_normal_law_thinned_where_it_is_not_significant(rules: Rules) -> None:
    bound, share = norm.isf(rules.significance / 2) * 2.0, rules.published_share
    for value in (-5.0, -1.0):
        f = finding(value=value, se=2.0)
        row = sample_log_likelihood(study(), [predicted(f, CENTRES)], rules, Scoring(selected=True))
        for j, sd in enumerate(TRIAL_SDS):
            for i, centre in enumerate(CENTRES):
                law = (centre, math.hypot(2.0, sd))
                outside = norm.cdf(-bound, *law) + norm.sf(bound, *law)
                own = norm.pdf(value, *law) * (1 if abs(value) > bound else share)
                assert row[i, j] == pytest.approx(math.log(own / (outside + share * (1 - outside))), abs=1e-9)


# --- responders ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("blinding", ["double-blind", "open"])
@pytest.mark.parametrize(("k", "n"), [(0, 14), (5, 14), (14, 14), (30, 47)])
def test_responders_are_beta_binomial(rules: Rules, k: int, n: int, blinding: str) -> None:
    """The trial's own effect is in their correlation, so no trial SD enters."""
    f = finding("responders", arms=("a",), k=k, n=(n,), threshold=0.5)
    given = study()
    given = replace(given, design=replace(given.design, blinding=blinding))
    shares = np.array([0.02, 0.3, 0.9])
    correlation = rules.responder_correlation_single if blinding == "open" else rules.responder_correlation
    total = 1 / correlation - 1
    wanted = betabinom.logpmf(k, n, shares * total, (1 - shares) * total)
    found = sample_log_likelihood(given, [predicted(f, shares)], rules)
    np.testing.assert_allclose(found, np.repeat(wanted[:, None], TRIAL_SDS.size, axis=1), rtol=1e-9)


def test_counts_of_responders_sum_to_one(rules: Rules) -> None:
    shares = np.array([0.1, 0.5])
    measures = [
        measure(study(), finding("responders", arms=("a",), k=k, n=(14,), threshold=0.5), rules) for k in range(15)
    ]
    np.testing.assert_allclose(sum(beta_binomial(m, shares) for m in measures), 1, rtol=1e-9)


def test_a_doubted_count_weighs_as_fewer_patients(rules: Rules) -> None:
    """SE times e is n over e^2, at the same share."""
    rules = replace(rules, doubts={**rules.doubts, "recalled": Doubt(2.0, 0.0)})
    m = measure(study(), finding("responders", arms=("a",), k=10, n=(40,), grades={"k": "recalled"}), rules)
    assert (m.n, m.k) == (10.0, 2.5)


# --- findings of one sample ----------------------------------------------------------------------------------------


def joint(rules: Rules, errors: Sequence[float], values: Sequence[float], correlation: float) -> Array:
    """Found minus exact log likelihood (draw, trial SD) of contrasts that share trial and a part of their error."""
    given = study()
    predictions = [
        predicted(finding(name=f"f{i}", value=v, se=e), CENTRES)
        for i, (v, e) in enumerate(zip(values, errors, strict=True))
    ]
    found = sample_log_likelihood(given, predictions, rules, Scoring(correlation=correlation))
    exact = np.empty_like(found)
    for j, sd in enumerate(TRIAL_SDS):
        shared = np.sqrt(sd**2 + correlation * np.square(errors))
        covariance = np.outer(shared, shared) + np.diag((1 - correlation) * np.square(errors))
        for i, centre in enumerate(CENTRES):
            exact[i, j] = multivariate_normal.logpdf(values, np.full(len(values), centre), covariance)  # type: ignore[arg-type]
    return found - exact


@pytest.mark.parametrize(
    ("correlation", "trial_sds"),
    [
        (0.0, slice(0, 2)),
        (0.4, slice(0, 2)),
        (0.4, slice(None)),
        (0.7, slice(None)),
        (0.9, slice(None)),
    ],
)
@pytest.mark.parametrize("values", [(-4.0, -3.0), (-1.0, 2.0), (-4.0, -3.0, -2.0)])
def test_contrasts_of_one_sample_are_multivariate_normal(
    rules: Rules, correlation: float, trial_sds: slice, values: tuple[float, ...]
) -> None:
    """To a tenth of a nat, well below what decides between rivals."""
    errors = (2.5, 3.0, 2.0)[: len(values)]
    assert np.abs(joint(rules, errors, values, correlation)[:, trial_sds]).max() < 0.1


def test_findings_with_nothing_in_common_multiply(rules: Rules) -> None:
    """Without correlation and with a trial SD of 0.1 points beside errors of 10: what is shared is a ten-thousandth."""
    fs = [
        finding(name="x", value=-4.0, se=10.0),
        finding("direction", name="y", sign=-1, se=10.0, significant=True),
        finding("none_different", name="z", se=10.0),
    ]
    one_by_one = sum(sample_log_likelihood(study(), [predicted(f, CENTRES)], rules)[:, 0] for f in fs)
    together = sample_log_likelihood(study(), [predicted(f, CENTRES) for f in fs], rules, Scoring(correlation=0.0))
    np.testing.assert_allclose(together[:, 0], one_by_one, atol=1e-3)


def test_signs_of_one_sample_are_as_frequent_together_as_in_simulated_trials(rules: Rules) -> None:
    """Both signs, correlation 0.4 and a small trial effect: what they share is drawn once for both."""
    fs = [finding("direction", name=name, sign=-1, se=2.0) for name in ("x", "y")]
    found = np.exp(sample_log_likelihood(study(), [predicted(f, [-1.0]) for f in fs], rules, Scoring(correlation=0.4)))[
        0
    ]
    rng = np.random.default_rng(2)
    shared, own = rng.standard_normal(RUNS), rng.standard_normal((2, RUNS))
    for j in (0, 1):
        observed = -1 + math.sqrt(TRIAL_SDS[j] ** 2 + 0.4 * 4) * shared + math.sqrt(0.6) * 2 * own
        share = (observed < 0).all(axis=0).mean()
        assert abs(found[j] - share) < SIGMA * math.sqrt(share / RUNS)


def test_a_trials_own_course_is_averaged_over_its_nodes(rules: Rules) -> None:
    f = finding(value=-4.0, se=2.0)
    nodes = np.array([[-5.0, -1.0, 2.0], [0.0, 0.0, 0.0]])
    found = sample_log_likelihood(study(), [predicted(f, nodes)], rules)
    each = np.stack([sample_log_likelihood(study(), [predicted(f, nodes[:, k])], rules) for k in range(3)])
    np.testing.assert_allclose(found, np.log(np.exp(each).mean(axis=0)), rtol=1e-12)


def test_a_draw_that_predicts_no_number_has_no_likelihood(rules: Rules) -> None:
    kinds: dict[str, dict[str, Any]] = {
        "contrast": {"value": -4.0, "se": 2.0}, "direction": {"sign": -1}, "none_different": {},
    }  # fmt: skip
    for kind, keys in kinds.items():
        found = sample_log_likelihood(study(), [predicted(finding(kind, **keys), [math.nan, 0.0])], rules)
        assert np.isneginf(found[0]).all()
        assert np.isfinite(found[1]).all()


def test_the_weights_of_trial_sds_are_half_normal(rules: Rules) -> None:
    """Mean likelihood of a contrast over the SD between trials: six nodes against dense quadrature, to 0.05 nat."""
    f = finding(value=-4.0, se=1.5)
    centres = [-4.0, -1.0, 2.0]
    found = sample_log_likelihood(study(), [predicted(f, centres)], rules)
    for sd in (1.0, 2.0, 4.0):
        assert trial_sd_weights(sd).sum() == pytest.approx(1, abs=1e-12)
        t = np.linspace(0, 8 * sd, 4001)
        mean = [np.trapezoid(halfnorm.pdf(t, scale=sd) * norm.pdf(-4, c, np.hypot(1.5, t)), t).item() for c in centres]
        wanted = np.log(mean)
        np.testing.assert_allclose(spread_trials(found, sd), wanted, atol=0.05)


# --- grades --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["contrast", "direction", "responders"])
def test_the_row_of_equal_doubt_changes_doubted_findings_alone(case: Case, kind: str) -> None:
    rules = case.rules
    assert rules is not None
    keys = {
        "contrast": {"value": -6.0, "se": 2.0},
        "direction": {"sign": -1, "significant": True},
        "responders": {"k": 10, "n": (14,), "arms": ("a",), "threshold": 0.5},
    }[kind]
    number = {"contrast": "value", "direction": "sign", "responders": "k"}[kind]
    centre = [0.4] if kind == "responders" else [-3.0]

    def scored(grade: str, scoring: Scoring) -> Array:
        p = predicted(finding(kind, grades={number: grade}, **keys), centre)
        return sample_log_likelihood(study(), [p], rules, scoring)

    equal = Scoring(equal=True)
    np.testing.assert_array_equal(scored("read", equal), scored("read", BASE))
    for grade in ("secondary", "recalled", "assumed"):
        np.testing.assert_array_equal(scored(grade, equal), scored("read", BASE))
        assert np.abs(scored(grade, equal) - scored(grade, BASE)).min() > 1e-3


# --- animals -------------------------------------------------------------------------------------------------------


def beta_integral(hits: Sequence[bool]) -> float:
    def product(x: float) -> float:
        return float(beta.pdf(x, 2, 2) * math.prod((1 + x) / 2 if hit else (1 - x) / 2 for hit in hits))

    return math.log(quad(product, 0, 1)[0])


@pytest.mark.parametrize("hits", [(True,), (False,), (True, True), (True, False, True), (False,) * 3, (True,) * 6])
def test_signs_of_a_paradigm_hold_together_or_not_at_all(hits: tuple[bool, ...]) -> None:
    """Sixteen quantile midpoints of Beta(2, 2) against the integral: within 1 %."""
    found = paradigm_log_likelihood([np.array([hit]) for hit in hits], ANIMALS)
    assert float(found[0]) == pytest.approx(beta_integral(hits), abs=0.01 * len(hits))


def test_a_lone_sign_moves_the_odds_threefold_at_most() -> None:
    """E (1 + l)/2 over E (1 - l)/2 = 3 at a mean of a half; more studies of the same paradigm can only tell more."""
    hit, miss = paradigm_log_likelihood([np.array([True, False])], ANIMALS)
    assert math.exp(hit - miss) == pytest.approx(3, rel=1e-9)
    uniform = paradigm_log_likelihood([np.array([True, False])], None)
    assert math.exp(uniform[0] - uniform[1]) == pytest.approx(3, rel=1e-9)


def test_two_signs_of_one_paradigm_count_for_less_than_of_two() -> None:
    both = paradigm_log_likelihood([np.array([True, False])] * 2, ANIMALS)
    assert 3 < math.exp(both[0] - both[1]) < 9 + 3  # E(1+l)^2 / E(1-l)^2 = 2.3/0.3 under Beta(2, 2)
    assert math.exp(both[0] - both[1]) == pytest.approx(2.3 / 0.3, rel=0.02)


def test_translation_of_nothing_and_of_everything() -> None:
    hits = [np.array([True, False]), np.array([True, True])]
    nothing = paradigm_log_likelihood(hits, Prior("uniform", (0.0, 1e-12)))
    np.testing.assert_allclose(nothing, math.log(0.25), rtol=1e-9)
    everything = paradigm_log_likelihood(hits, Prior("uniform", (1 - 1e-12, 1.0)))
    np.testing.assert_allclose(everything[0], 0, atol=1e-9)
    assert everything[1] < -20


def test_a_sign_is_hit_beyond_what_counts_as_none() -> None:
    centre = [[-1.0], [-0.01], [0.0], [0.01], [1.0], [math.nan]]
    falls = sign_hits(predicted(finding("direction", sign=-1), np.array(centre)))
    assert falls.tolist() == [True, False, False, False, False, False]
    same = sign_hits(predicted(finding("none_different"), np.array(centre)))
    assert same.tolist() == [False, True, True, True, False, False]
    wide = sign_hits(predicted(finding("none_different", margin=2.0), np.array(centre)))
    assert wide.tolist() == [True, True, True, True, True, False]


# --- all studies ---------------------------------------------------------------------------------------------------


def several(rules: Rules, leave: str = "") -> LogLikelihood:
    """Two studies in people and three of one paradigm in rats, one of another, dated apart; `leave` one out."""
    rat: dict[str, Any] = {"species": "rat", "paradigm": "swim"}
    studies = [
        study("people", date="2010"),
        study("first", date="2005", **rat),
        study("second", date="2008", **rat),
        study("third", date="2012-03", **rat),
        study("later", date="2012-03-01"),
        study("mice", date="2001", species="mouse", paradigm="cage"),
    ]
    rng = np.random.default_rng(3)
    fs = {
        "people": [finding(value=-4.0, se=2.0)],
        "later": [finding("none_different", se=2.0), finding("direction", name="g", sign=-1)],
        "first": [finding("direction", sign=-1)],
        "second": [finding("direction", sign=-1), finding("none_different", name="g")],
        "third": [finding("direction", sign=1)],
        "mice": [finding("direction", sign=-1)],
    }
    predictions = {name: [predicted(f, rng.normal(-1, 2, 12)) for f in some] for name, some in fs.items()}
    kept = [s for s in studies if s.id != leave]
    return log_likelihoods({k: v for k, v in predictions.items() if k != leave}, kept, rules, ANIMALS)


def test_studies_in_order_of_date_sum_to_the_joint(rules: Rules) -> None:
    whole = several(rules)
    names = [s.id for s in whole.studies]
    assert names == ["mice", "first", "second", "people", "third", "later"]
    swim = [names.index(n) for n in ("first", "second", "third")]
    rng_hits = whole.each[:, swim].sum(axis=1)
    without = several(rules, "third")
    np.testing.assert_allclose(whole.total() - without.total(), whole.each[:, names.index("third")], atol=1e-12)
    assert np.ptp(rng_hits, axis=1).max() < 1e-12  # no trial SD in animals
    np.testing.assert_allclose(whole.total(["people", "mice"]), whole.each[:, [3, 0]].sum(axis=1))


@pytest.mark.parametrize("name", ["people", "first", "second", "third", "later", "mice"])
def test_leaving_a_study_out_takes_its_last_term_away(rules: Rules, name: str) -> None:
    """Also of a paradigm, whose other studies stay together."""
    whole, rest = several(rules), several(rules, name)
    i = [s.id for s in whole.studies].index(name)
    np.testing.assert_allclose(whole.total() - whole.last[:, i], rest.total(), atol=1e-12)


def test_a_study_of_a_paradigm_says_less_once_others_are_known(rules: Rules) -> None:
    whole = several(rules)
    i = [s.id for s in whole.studies].index("first")
    assert np.abs(whole.each[:, i] - whole.last[:, i]).max() > 0.05


# --- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("se = 2.48", "se = 0", ['finding "change_24h"', "key se", "greater than 0"]),
        ("se = 2.48", "se = -1", ['finding "change_24h"', "key se", "greater than 0"]),
        ("k = 30", "k = 48", ['finding "responders_ketamine_24h"', "key k", "48 of 47"]),
        ("sd = [10.97, 9.5]", "sd = [10.97]", ['finding "change_24h"', "key sd", "1 numbers for 2 arms"]),
    ],
)
def test_an_impossible_number_is_refused_when_it_is_read(
    case: Case, tmp_path: Path, old: str, new: str, words: list[str]
) -> None:
    text = (case.folder / "studies" / "murrough_2013.toml").read_text(encoding="utf-8")
    assert text.count(old) == 1
    path = tmp_path / "study.toml"
    path.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(StudyError) as told:
        read_study(path)
    for word in (str(path), *words):
        assert word in str(told.value)
