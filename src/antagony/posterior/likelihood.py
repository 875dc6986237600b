"""Published findings as likelihoods, by one table of rules for every mechanism.

    contrast         N(observed; predicted, SE^2 + trial SD^2)                        (SE times the grade's doubt)
    significant      P(s z > bound),  z = observed/SE;  a bare sign P(s observed > 0);  no difference P(|z| < bound)
    responders       beta-binomial around the predicted share, correlation within a trial
    signs in animals paradigm by paradigm: E over translation l of prod (l hit + (1 - l)/2)

Where a standard error was not published it is integrated over a stated prior. Findings of one sample share one normal
deviate: the trial's own effect, and a part `correlation` of their error. Never a powered likelihood.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln, gammaln, logsumexp, ndtr

from ..errors import PosteriorError
from ..parameters import Prior
from ..replay import NO_DIFFERENCE
from ..rules import Rules
from ..study import RATIOS, Study
from .measures import BASE, Measure, Scoring, measure
from .prediction import Prediction

Array = NDArray[np.float64]

TRIAL_SDS = np.array([0.1, 0.8, 1.6, 2.7, 4.2, 6.5])
"""Nodes of the SD between trials [points of the reference scale], shared by all trials and mechanisms."""

SHARED_NODES, SHARED_WEIGHTS = np.polynomial.hermite_e.hermegauss(15)
SHARED_WEIGHTS = SHARED_WEIGHTS / SHARED_WEIGHTS.sum()
TRANSLATION_NODES = 16
TINY = 1e-300  # a likelihood below this is taken as this


def trial_sd_weights(sd: float) -> Array:
    """Probability of each of TRIAL_SDS under a half-normal law of scale `sd`, by the trapezium rule on its density."""
    density = np.exp(-0.5 * (TRIAL_SDS / sd) ** 2)
    edges = np.concatenate([[0.0], 0.5 * (TRIAL_SDS[1:] + TRIAL_SDS[:-1]), [1.25 * TRIAL_SDS[-1]]])
    weights = density * np.diff(edges)
    return weights / weights.sum()


# --- one finding ---------------------------------------------------------------------------------------------------

VALUES = ("contrast", "standardised", *RATIOS)
"""Kinds whose value was published; of the others only a sign, or whether a bound was passed."""


def _alone(m: Measure, centre: Array, trial: Array) -> Array:
    """Likelihood of the only finding of its sample: trial effect and error integrated out in closed form."""
    if m.finding.kind == "responders":
        return beta_binomial(m, centre)
    total = 0.0
    for error, weight in zip(m.errors, m.error_weights, strict=True):
        total = total + weight * _one(m, centre, np.sqrt(error**2 + trial**2), error)
    return np.asarray(total)


def _one(m: Measure, centre: Array, spread: Array | float, error: float) -> Array:
    """Likelihood of a contrast, a sign, a significant sign or no difference; `observed ~ N(centre, spread^2)`."""
    if m.finding.kind in VALUES:
        return np.exp(-0.5 * ((m.value - centre) / spread) ** 2) / (math.sqrt(2 * math.pi) * spread)
    reach, sign = m.bound * error, float(m.finding.sign or 1)
    if m.finding.kind == "direction" and not m.finding.significant:
        wrong = m.doubt.reversal
        return wrong + (1 - 2 * wrong) * ndtr(sign * centre / spread)
    if m.finding.kind == "direction":
        return _doubted(m, ndtr((sign * centre - reach) / spread))
    return _doubted(m, ndtr((reach - centre) / spread) - ndtr((-reach - centre) / spread))


def _doubted(m: Measure, probability: Array) -> Array:
    """Probability that one of three outcomes is reported (significant either way, or not), given that it is so.

    With the probability of a reversal the report is one of the other two.
    """
    wrong = m.doubt.reversal
    return wrong / 2 + (1 - 1.5 * wrong) * probability


def beta_binomial(m: Measure, share: Array) -> Array:
    """k of n responders around a predicted share, correlation r within a trial: a + b = 1/r - 1.

    n and k need not be whole: a count that is doubted weighs as fewer patients.
    """
    p = np.clip(share, 1e-6, 1 - 1e-6)
    total = 1 / m.correlation - 1
    a, b = p * total, (1 - p) * total
    choose = gammaln(m.n + 1) - gammaln(m.k + 1) - gammaln(m.n - m.k + 1)
    return np.exp(choose + betaln(m.k + a, m.n - m.k + b) - betaln(a, b))


# --- a sample ------------------------------------------------------------------------------------------------------


def sample_log_likelihood(
    study: Study, predictions: Sequence[Prediction], rules: Rules, scoring: Scoring = BASE
) -> Array:
    """Log likelihood of a study in people (draw, trial SD): its findings share a deviate, its trial's own course too.

    The mean is over the nodes of what the trial draws for itself. A draw that predicts no number has -inf.
    """
    measures = [measure(study, p.finding, rules, scoring) for p in predictions]
    nodes = max(p.centre.shape[1] for p in predictions)
    draws = len(predictions[0].centre)
    correlation = rules.correlation if scoring.correlation is None else scoring.correlation
    sds = [1.0 if p.sd is None else p.sd for p in predictions]
    centres = [np.broadcast_to(p.centre / sd, (draws, nodes)) for p, sd in zip(predictions, sds, strict=True)]
    result = np.empty((draws, TRIAL_SDS.size))
    for j, sd in enumerate(TRIAL_SDS):
        trials = [np.broadcast_to(m.trial * sd / s, (draws, nodes)) for m, s in zip(measures, sds, strict=True)]
        if len(measures) == 1:
            whole = _alone(measures[0], centres[0], trials[0])
        else:
            whole = _together(measures, centres, trials, correlation)
        if scoring.halted or scoring.selected:
            whole = whole * _condition(measures[0], centres[0], trials[0], scoring, rules)
        result[:, j] = whole.mean(axis=1)
    return np.where(np.isfinite(result), np.log(np.maximum(result, TINY)), -np.inf)


def _together(
    measures: Sequence[Measure], centres: Sequence[Array], trials: Sequence[Array], correlation: float
) -> Array:
    """Likelihood of several findings of one sample (draw, node).

        observed_j = centre_j + sqrt(trial_j^2 + r error_j^2) v + sqrt(1 - r) error_j e_j,      v, e_j ~ N(0, 1)

    Contrasts are normal with a covariance of rank one more than its diagonal, in closed form; signs are integrated
    over what the contrasts leave of v. An error that was not published is the same multiple in the whole sample.
    """
    count = max(m.errors.size for m in measures)
    total = np.zeros(np.shape(centres[0]))
    for k in range(count):
        weight = next(m.error_weights[k] for m in measures if m.errors.size == count)
        errors = [float(m.errors[k if m.errors.size == count else 0]) for m in measures]
        total += weight * _given_errors(measures, centres, trials, errors, correlation)
    return total


def _given_errors(
    measures: Sequence[Measure],
    centres: Sequence[Array],
    trials: Sequence[Array],
    errors: Sequence[float],
    correlation: float,
) -> Array:
    loads = [np.sqrt(t**2 + correlation * e**2) for t, e in zip(trials, errors, strict=True)]
    rests = [math.sqrt(1 - correlation) * e for e in errors]
    precision, pull, log = 1.0, 0.0, 0.0
    for m, c, load, rest in zip(measures, centres, loads, rests, strict=True):
        if m.finding.kind in VALUES:
            precision = precision + (load / rest) ** 2
            pull = pull + load * (m.value - c) / rest**2
            log = log - 0.5 * (((m.value - c) / rest) ** 2 + math.log(2 * math.pi * rest**2))
    shared_mean, shared_sd = pull / precision, 1 / np.sqrt(precision)
    known = np.exp(log + 0.5 * pull * shared_mean) * shared_sd
    shared = np.asarray(shared_mean)[..., None] + np.asarray(shared_sd)[..., None] * SHARED_NODES
    signs = np.ones(1)
    for m, c, load, rest, error in zip(measures, centres, loads, rests, errors, strict=True):
        if m.finding.kind == "responders":
            known = known * beta_binomial(m, c)
        elif m.finding.kind not in VALUES:
            signs = signs * _one(m, c[..., None] + load[..., None] * shared, rest, error)
    return known * (signs * SHARED_WEIGHTS).sum(axis=-1)


def _condition(m: Measure, centre: Array, trial: Array, scoring: Scoring, rules: Rules) -> Array:
    """What the likelihood of the study's first finding is multiplied by, given a bound crossed, or publication."""
    one = np.ones_like(centre)
    if m.finding.kind == "responders" or (scoring.halted and not m.study.halted):
        return one
    chance = _chance_of_significance(m, centre, trial)
    if scoring.halted:
        return 1 / chance
    share = rules.published_share
    published = chance + share * (1 - chance)
    significant = _is_significant(m)
    if significant is None:  # a bare sign: of either sort
        sign = float(m.finding.sign or 1)
        plain, beyond = (_alone_sign(m, centre, trial, sign, reach) for reach in (0.0, m.bound))
        return (beyond + share * (plain - beyond)) / plain / published
    return (1.0 if significant else share) * one / published


def _alone_sign(m: Measure, centre: Array, trial: Array, sign: float, bound: float) -> Array:
    """Probability of a reported sign, |z| beyond a bound."""
    total, wrong = np.zeros_like(centre), m.doubt.reversal
    for error, weight in zip(m.errors, m.error_weights, strict=True):
        spread, reach = np.sqrt(error**2 + trial**2), bound * error
        here, there = (ndtr((s * sign * centre - reach) / spread) for s in (1.0, -1.0))
        total += weight * ((1 - wrong) * here + wrong * there)
    return total


def _chance_of_significance(m: Measure, centre: Array, trial: Array) -> Array:
    """Probability that such a study is reported as significant on either side."""
    total = np.zeros_like(centre)
    for error, weight in zip(m.errors, m.error_weights, strict=True):
        spread, reach = np.sqrt(error**2 + trial**2), m.bound * error
        total += weight * (ndtr((-reach - centre) / spread) + ndtr((centre - reach) / spread))
    if m.finding.kind not in VALUES and _is_significant(m) is not None:
        total = m.doubt.reversal + (1 - 1.5 * m.doubt.reversal) * total
    return np.clip(total, 1e-12, 1.0)


def _is_significant(m: Measure) -> bool | None:
    """Whether the finding was significant; None for a bare sign, of which nobody said."""
    if m.finding.kind == "direction":
        return True if m.finding.significant else None
    if m.finding.kind == "none_different":
        return False
    return abs(m.value) > m.bound * float(np.average(m.errors, weights=m.error_weights))


# --- animals -------------------------------------------------------------------------------------------------------


def sign_hits(prediction: Prediction) -> NDArray[np.bool_]:
    """Whether each draw has the published sign in the typical subject (draw); NaN counts as no hit."""
    finding, centre = prediction.finding, prediction.centre[:, 0]
    if finding.kind == "none_different":
        return np.abs(centre) <= (finding.margin or NO_DIFFERENCE)
    return (finding.sign or 1) * centre > NO_DIFFERENCE


def paradigm_log_likelihood(hits: Sequence[NDArray[np.bool_]], translation: Prior | None) -> Array:
    """Log likelihood (draw) of the signs of one paradigm: they hold in people together or not at all.

    E over l of prod_j (l hit_j + (1 - l)/2),   l the paradigm's translation probability (uniform where None)
    """
    middles = (np.arange(TRANSLATION_NODES) + 0.5) / TRANSLATION_NODES
    nodes = middles if translation is None else translation.quantile(middles)
    terms = [np.log(nodes * hit[:, None] + (1 - nodes) / 2) for hit in hits]
    return logsumexp(sum(terms), axis=1) - math.log(TRANSLATION_NODES)


# --- all studies ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LogLikelihood:
    """Log likelihoods of draws under every scored study.

    `studies` in order of date. `each` (draw, study, trial SD): given the earlier studies of the same paradigm, so that
    any stretch up to a date sums; `last` (draw, study, trial SD): given all others, for leaving one out.
    """

    studies: tuple[Study, ...]
    each: Array
    last: Array

    def total(self, keep: Iterable[str] | None = None) -> Array:
        """Sum over some studies (draw, trial SD); all where none are named."""
        chosen = None if keep is None else set(keep)
        some = [i for i, s in enumerate(self.studies) if chosen is None or s.id in chosen]
        return self.each[:, some].sum(axis=1, dtype=np.float64)  # stored in single precision, never summed in it


def log_likelihoods(
    predictions: Mapping[str, Sequence[Prediction]],
    studies: Sequence[Study],
    rules: Rules,
    translation: Prior | None,
    scoring: Scoring = BASE,
    *,
    opposite: Collection[tuple[str, str]] = (),
) -> LogLikelihood:
    """All studies at once; `predictions` by study id. Raises PosteriorError where a likelihood is infinite.

    `opposite`: (study, finding) of signs in animals that came out the other way than the finding says (simulated data).
    """
    ordered = tuple(sorted(studies, key=lambda s: (s.date, s.id)))
    draws = len(next(iter(predictions.values()))[0].centre)
    each = np.zeros((draws, len(ordered), TRIAL_SDS.size))
    last = np.zeros_like(each)
    for i, study in enumerate(ordered):
        if study.is_human:
            each[:, i] = last[:, i] = sample_log_likelihood(study, predictions[study.id], rules, scoring)
    for paradigm in dict.fromkeys(s.paradigm for s in ordered if not s.is_human):
        members = [i for i, s in enumerate(ordered) if not s.is_human and s.paradigm == paradigm]
        hits = {
            i: [sign_hits(p) ^ ((ordered[i].id, p.finding.id) in opposite) for p in predictions[ordered[i].id]]
            for i in members
        }
        whole = paradigm_log_likelihood([h for i in members for h in hits[i]], translation)
        before = np.zeros(draws)
        for n, i in enumerate(members):
            now = paradigm_log_likelihood([h for k in members[: n + 1] for h in hits[k]], translation)
            others = [h for k in members if k != i for h in hits[k]]
            without = paradigm_log_likelihood(others, translation) if others else np.zeros(draws)
            each[:, i], last[:, i] = (now - before)[:, None], (whole - without)[:, None]
            before = now
    if np.isposinf(each).any():
        raise PosteriorError("a likelihood is infinite: a standard error of 0 somewhere; see the studies' numbers")
    return LogLikelihood(ordered, each, last)
