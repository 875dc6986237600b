"""Published findings replayed: what each mechanism predicts for the arms of a study, beside what was observed.

Patients differ within a draw, uncertain parameters between draws; an arm's mean of n patients carries both. Of animals
only signs are asked, of the typical subject, and a sign holds in people with a probability that the paradigm shares.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .calibration import calibrate_over_patients, study_arm
from .case import Case
from .estimation import wilson
from .mechanism import Mechanism
from .parameters import Parameter
from .population import TYPICAL, Draws, Population, draw_parameters, sample_population
from .simulation import Arm, Tolerances, simulate
from .study import RATIOS, Finding, Study

if TYPE_CHECKING:
    import xarray as xr

Array = NDArray[np.float64]

REPLAY_DRAWS = 48  # prior draws, each with the whole population
REPLAY_PATIENTS = 48
CHRONIC_PATIENTS = 24  # patients where a regimen is chronic: its doses cost more than they do
REPLAY_TOLERANCES = Tolerances(1e-4, 1e-6)  # moves a mean score by a hundredth of a point at most (tested)
CHRONIC_TOLERANCES = Tolerances(1e-3, 1e-5)  # ... and by a tenth at most (tested)
UNKNOWN_SIZE = 30  # patients of an arm whose number was not published, nor the error of its finding
RESIDUAL_NODES = 9  # Gauss-Hermite points over the residual of a visit
WIDE = 1.96  # half-width of a 95 % interval in standard errors
SURPRISE = 0.05  # a significant finding with a smaller predictive probability is not explained (no effect: 0.025)
NOISE = 1e-6  # a standard error below this is the solver's, not a trial's
SHARE_OF_DRAWS = "share of draws"
NO_DIFFERENCE = 0.05  # a predicted difference up to this much counts as none, unless the finding states its margin


@dataclass(frozen=True, slots=True)
class Replay:
    """One published finding against one mechanism.

    `predicted` with its 95 % predictive interval `low` to `high` (patients drawn, uncertain parameters drawn, outcome
    scale calibrated); `observed` with `observed_low` to `observed_high` where published; odds ratios on the log.
    `agrees`: the observation lies within the interval; a significant direction has a predictive probability of at least
    5 %; a bare sign more than 75 % (None between 25 and 75 %). None where it cannot be said. Of a study in animals
    `predicted` is the share of draws with the published sign, `low` to `high` its Wilson interval.
    `calibrates`: the finding set the outcome scale, so agreement is no success; `weighed` is the study's, and False for
    a hazard ratio. `text` tells the finding in one line.
    """

    study: str
    finding: Finding
    mechanism: str
    text: str
    unit: str
    predicted: float
    low: float
    high: float
    observed: float | None
    observed_low: float | None
    observed_high: float | None
    agrees: bool | None
    calibrates: bool
    note: str
    weighed: bool = True

    @property
    def counts(self) -> bool:
        """Whether agreement would be a success: the finding is weighed and set no scale."""
        return self.weighed and not self.calibrates

    @property
    def uncounted(self) -> str:
        """Why agreement is not counted, in words; empty where it is."""
        if self.calibrates:
            return "nominal values solved from it, not counted"
        return "" if self.weighed else "not weighed, not counted"

    @property
    def in_animals(self) -> bool:
        """Whether the prediction is the share of draws with a sign seen in animals."""
        return self.unit == SHARE_OF_DRAWS


@dataclass(frozen=True, slots=True)
class _Scores:
    """One arm at one time (draw, patient): expected reading, its variance over a visit's residual, and the baseline.

    `latent` is the logit of score over maximum before the residual of SD `residual` (of another output the output
    itself), `top` the largest score. `n` patients, None where not published.
    """

    values: Array
    variance: Array
    baseline: Array
    latent: Array
    residual: float
    top: float
    n: int | None

    @property
    def size(self) -> int:
        return self.n or UNKNOWN_SIZE


def replay_study(
    case: Case,
    slug: str,
    study: Study,
    *,
    patients: int = REPLAY_PATIENTS,
    draws: int = REPLAY_DRAWS,
    seed: int = 1,
    variants: Mapping[str, str] | None = None,
) -> tuple[Replay, ...]:
    """Predict every finding of a study under one mechanism; see `replay_studies`."""
    return replay_studies(case, slug, [study], patients=patients, draws=draws, seed=seed, variants=variants)


def replay_studies(
    case: Case,
    slug: str,
    studies: Iterable[Study] | None = None,
    *,
    patients: int = REPLAY_PATIENTS,
    draws: int = REPLAY_DRAWS,
    seed: int = 1,
    variants: Mapping[str, str] | None = None,
    tell: Callable[[str], None] = lambda study: None,
) -> tuple[Replay, ...]:
    """Predict every finding of some studies (all of the case) under one mechanism, outcome scale calibrated per draw.

    Draws that cannot be calibrated are left out; where none is left, predictions are NaN and agreement is unknown.
    `tell` hears the id of each study before its turn.
    """
    rows = case.parameters(slug, variants)
    priors = draw_parameters(rows.values(), draws, seed=seed)
    kept = calibrate_over_patients(case, slug, priors, seed=seed, variants=variants).kept.draws
    replays: list[Replay] = []
    for study in case.studies.values() if studies is None else studies:
        tell(study.id)
        if not kept.size:
            replays += [_unknown(study, f, slug, "cannot be calibrated: no prediction") for f in study.findings]
            continue
        players = _Players(case, slug, study, kept, _population(case, rows, study, patients, seed), rows, variants)
        rng = np.random.default_rng([seed, 13])
        replays += [_replay(players, finding, rng) for finding in study.findings]
    return tuple(replays)


def is_chronic(case: Case, study: Study) -> bool:
    """Whether an arm takes a chronic regimen: the study is replayed on a smaller model, with fewer patients."""
    return any(case.regimen(arm.condition.regimen).is_chronic for arm in study.design.arms)


def chronic_drugs(case: Case) -> tuple[tuple[str, ...], ...]:
    """Drugs of the models for chronic studies: one where no drug shares its site with others, one where some does.

    Smaller than a family's, for absent drugs cost time at every dose; no smaller, for every model costs a compilation.
    """
    sets = [_drugs(case, study) for study in case.studies.values() if is_chronic(case, study)]
    alone = [drugs for drugs in sets if not _has_sites(case, drugs)]
    rest = [drugs for drugs in sets if _has_sites(case, drugs)]
    groups = (case.with_required({name for drugs in some for name in drugs}) for some in (alone, rest))
    return tuple(group for group in groups if group)


def _has_sites(case: Case, drugs: Iterable[str]) -> bool:
    """Whether some drug acts at a site that it shares with others."""
    return any(case.drugs[name].requires for name in drugs)


def _model(case: Case, slug: str, study: Study, variants: Mapping[str, str] | None) -> Mechanism:
    """The model on which a study is replayed."""
    drugs = _drugs(case, study)
    if is_chronic(case, study):
        return case.mechanism(slug, next(group for group in chronic_drugs(case) if {*drugs} <= {*group}), variants)
    return case.mechanism_for(slug, drugs, variants)


def _drugs(case: Case, study: Study) -> tuple[str, ...]:
    """Drugs of all arms that a replay simulates, in the case's order."""
    names = {name for f in study.findings if f.kind != "hazard_ratio" for name in f.arms}
    texts = [arm.condition.regimen for arm in study.design.arms if arm.id in names]
    return case.with_required(drug for text in texts for drug in case.regimen(text).drugs)


def _population(case: Case, rows: Mapping[str, Parameter], study: Study, patients: int, seed: int) -> Population:
    """Patients of a trial: the case's spread, and the trial's own spread of baseline scores around its mean."""
    if not study.is_human:
        return TYPICAL
    if is_chronic(case, study):
        patients = min(patients, CHRONIC_PATIENTS)
    people = sample_population(rows.values(), patients, seed=seed)
    spread, baseline = study.trial.baseline_sd, study.trial.values.get("score_baseline")
    if spread is None or not baseline:
        return people
    deviates = NormalDist(0, spread.value / baseline)
    rng = np.random.default_rng([seed, 11])
    ranks = (rng.permutation(patients) + 0.5) / patients
    factors = 1 + np.array([deviates.inv_cdf(float(u)) for u in ranks])
    ceiling = 0.98 * study.trial.values.get("score_max", np.inf) / baseline
    return Population(people.size, people.seed, {**people.factors, "score_baseline": np.clip(factors, 0.1, ceiling)})


def _replay(players: _Players, finding: Finding, rng: np.random.Generator) -> Replay:
    if finding.kind == "hazard_ratio":
        return _unknown(players.study, finding, players.slug, "not replayed: no mechanism has a course of relapses")
    arms = [players.readings(finding, name) for name in finding.arms]
    crossed = players.study.design.kind == "crossover"
    if not players.study.is_human:
        return _judge_sign(players, finding, _contrast(arms, crossed)[0])
    match finding.kind:
        case "change":
            centres, errors = _change(arms[0])
        case "value":
            centres, errors = _mean(arms[0])
        case "standardised":
            centres, errors = _standardised(arms, crossed)
        case "responders":
            centres, errors = _responders(arms[0], finding)
        case "odds_ratio":
            centres, errors = _odds_ratio(arms, finding)
        case _:
            centres, errors = _contrast(arms, crossed)
    if finding.se is not None and any(arm.n is None for arm in arms):
        errors = np.full_like(errors, finding.se)  # the trial's own error says more than a guess at its size
    return _judge(players, finding, centres, errors, rng)


class _Players:
    """The arms of one study under one mechanism; each arm is simulated once for all findings."""

    def __init__(
        self,
        case: Case,
        slug: str,
        study: Study,
        draws: Draws,
        people: Population,
        rows: Mapping[str, Parameter],
        variants: Mapping[str, str] | None,
    ) -> None:
        self.slug, self.study, self.draws, self.people, self.rows = slug, study, draws, people, rows
        asked = [f for f in study.findings if f.kind != "hazard_ratio"]
        self.residual = rows["score_residual"].nominal if study.is_human and "score_residual" in rows else 0.0
        self.moments = np.unique(np.concatenate([[0.0], *(_moments(f) for f in asked)]))
        names = dict.fromkeys(name for f in asked for name in f.arms)
        self.arms = {name: study_arm(case, study, name) for name in names}
        outputs = sorted({f.output for f in asked})
        mechanism = _model(case, slug, study, variants)
        self.tolerances = CHRONIC_TOLERANCES if is_chronic(case, study) else REPLAY_TOLERANCES
        self.runs = {name: self._run(mechanism, arm, outputs) for name, arm in self.arms.items()}

    def _run(self, mechanism: Mechanism, arm: Arm, outputs: list[str]) -> xr.Dataset:
        """One arm; the mean baseline becomes a draw's value, so that patients can differ around it."""
        mean = arm.values["score_baseline"]
        free = {k: v for k, v in arm.values.items() if k != "score_baseline"}
        draws = self.draws.replace(score_baseline=np.full(self.draws.size, mean))
        return simulate(
            mechanism,
            {"arm": Arm(arm.regimen, arm.probes, free)},
            self.moments,
            population=self.people,
            draws=draws,
            outputs=outputs,
            tolerances=self.tolerances,
        )

    def readings(self, finding: Finding, name: str) -> _Scores:
        """An arm's patients as the finding saw them; a rating carries the residual of its visit on the latent scale."""
        curves = self.runs[name][finding.output].to_numpy()[0][..., np.isin(self.moments, _moments(finding))]
        reduced = {"max": curves.max(-1), "min": curves.min(-1), "mean": curves.mean(-1)}
        values = curves[..., -1] if finding.time is not None else reduced.get(finding.statistic, curves[..., -1])
        arm = self.arms[name]
        factor = self.people.factors.get("score_baseline", np.ones(self.people.size))
        baseline = np.broadcast_to(arm.values["score_baseline"] * factor, values.shape)
        i = finding.arms.index(name)
        n = finding.n[i] if len(finding.n) > i else self.study.design.arm(name).n
        if finding.output != "score":
            return _Scores(values, np.zeros_like(values), np.zeros_like(values), values, 0.0, 1.0, n)
        own = arm.values["score_max"]
        top = finding.score_max or own  # the same latent severity on another scale
        latent = _logit(values / own)
        mean, variance = _with_residual(latent, top, self.residual)
        return _Scores(mean, variance, baseline * (top / own), latent, self.residual, top, n)


def _moments(finding: Finding) -> Array:
    if finding.time is not None:
        return np.array([finding.time])
    begin, end = finding.within or (0.0, 0.0)
    return np.linspace(begin, end, 25)


def _logit(share: Array) -> Array:
    share = np.clip(share, 1e-6, 1 - 1e-6)
    return np.log(share / (1 - share))


def _with_residual(latent: Array, top: float, sd: float) -> tuple[Array, Array]:
    """Mean and variance of the rating of one visit: a normal residual on the logit of score/max, integrated out.

    Nothing is drawn, so a few patients suffice: their residuals would otherwise be noise in every mean.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(RESIDUAL_NODES)
    weights = weights / weights.sum()
    ratings = top / (1 + np.exp(-(latent[..., None] + sd * nodes)))
    mean = ratings @ weights
    return mean, np.maximum((ratings - mean[..., None]) ** 2 @ weights, 0.0)


def _change(arm: _Scores) -> tuple[Array, Array]:
    """Mean change from baseline of one arm (draw), and the standard error of that mean over its n patients."""
    change = arm.values - arm.baseline
    return change.mean(axis=1), np.sqrt(_variance(change, arm.variance) / arm.size)


def _variance(values: Array, within: Array) -> Array:
    """Variance of one reading of one patient (draw): between patients, and within each; 0 for the typical subject."""
    between = values.var(axis=1, ddof=1) if values.shape[1] > 1 else np.zeros(len(values))
    return between + within.mean(axis=1)


def _mean(arm: _Scores) -> tuple[Array, Array]:
    """Mean of an output in one arm (draw), and its standard error over n people."""
    return arm.values.mean(axis=1), np.sqrt(_variance(arm.values, arm.variance) / arm.size)


def _contrast(arms: list[_Scores], crossed: bool) -> tuple[Array, Array]:
    """First arm's mean change minus the second's; within patients where they crossed over."""
    first, second = (a.values - a.baseline for a in arms)
    centre = first.mean(axis=1) - second.mean(axis=1)
    if crossed:
        return centre, np.sqrt(_variance(first - second, arms[0].variance + arms[1].variance) / arms[0].size)
    parts = [_variance(c, a.variance) / a.size for c, a in zip((first, second), arms, strict=True)]
    return centre, np.sqrt(parts[0] + parts[1])


def _standardised(arms: list[_Scores], crossed: bool) -> tuple[Array, Array]:
    """Contrast of means over the pooled SD of the scores (Cohen d), and its standard error."""
    centre, error = _contrast(arms, crossed)
    pooled = np.sqrt(0.5 * sum(_variance(a.values, a.variance) for a in arms))
    return centre / pooled, error / pooled


def _share(arm: _Scores, finding: Finding) -> Array:
    """Share of patients whose score fell by the threshold, or to the cut-off (draw); the residual integrated out.

    P(score <= limit) = Phi((logit(limit/max) - logit(expected/max))/residual)
    """
    if finding.cutoff is not None:
        limit = np.full_like(arm.baseline, finding.cutoff)
    else:
        limit = (1 - (finding.threshold or 0.5)) * arm.baseline
    from scipy.special import ndtr

    return ndtr((_logit(limit / arm.top) - arm.latent) / max(arm.residual, 1e-9)).mean(axis=1)


def _responders(arm: _Scores, finding: Finding) -> tuple[Array, Array]:
    """Share of responders, and the binomial error of n patients."""
    share = _share(arm, finding)
    return share, np.sqrt(np.maximum(share * (1 - share), 1e-4) / arm.size)


def _odds_ratio(arms: list[_Scores], finding: Finding) -> tuple[Array, Array]:
    """Log of the ratio of the responders' odds, and its error: sqrt(sum over arms of 1/(n p (1 - p)))."""
    shares = [np.clip(_share(arm, finding), 1e-4, 1 - 1e-4) for arm in arms]
    odds = [np.log(p / (1 - p)) for p in shares]
    error = np.sqrt(sum(1 / (arm.size * p * (1 - p)) for p, arm in zip(shares, arms, strict=True)))
    return odds[0] - odds[1], error


def _judge(players: _Players, finding: Finding, centres: Array, errors: Array, rng: np.random.Generator) -> Replay:
    """Prediction against observation: the interval holds draws, patients and the trial's sampling error."""
    spread = (centres[:, None] + errors[:, None] * rng.standard_normal((centres.size, 200))).ravel()
    predicted = float(np.median(centres))
    low, high = (float(q) for q in np.quantile(spread, [0.025, 0.975]))
    observed, error = _observed(finding)
    agrees: bool | None = None if observed is None else bool(low <= observed <= high)
    note = f"{centres.size} calibrated draws"
    if finding.kind == "none_different":
        observed = 0.0
        agrees = bool(np.median(np.abs(centres)) <= (finding.margin or NO_DIFFERENCE))
        if finding.output == "score":
            note += (
                f"; a trial of this size sees no difference (p > 0.05) with a chance of {_missed(centres, errors):.2g}"
            )
    elif finding.kind == "direction":
        chance = _chance_of_direction(finding, centres, errors)
        note += f"; such a result has a chance of {chance:.2g}"
        agrees = _agrees_in_direction(finding, chance)
    if finding.kind == "responders":
        low, high = max(low, 0.0), min(high, 1.0)
    span = (None, None) if error is None or observed is None else (observed - WIDE * error, observed + WIDE * error)
    study = players.study
    return Replay(
        study=study.id, finding=finding, mechanism=players.slug, text=describe_finding(study, finding),
        unit=_unit(finding), predicted=predicted, low=low, high=high, observed=observed, observed_low=span[0],
        observed_high=span[1], agrees=agrees, calibrates=finding.calibrates, note=note, weighed=study.weighed,
    )  # fmt: skip


def _judge_sign(players: _Players, finding: Finding, centres: Array) -> Replay:
    """A sign in animals: the share of draws that have it, and the chance lambda*share + (1 - lambda)/2 of seeing it."""
    if finding.kind == "none_different":
        hits = np.abs(centres) <= (finding.margin or NO_DIFFERENCE)
    else:
        hits = (finding.sign or 1) * centres > NO_DIFFERENCE
    share = float(hits.mean())
    low, high = wilson(int(hits.sum()), hits.size)
    holds = players.rows["rodent_translation"].nominal if "rodent_translation" in players.rows else 0.5
    note = (
        f"{hits.size} calibrated draws; translated with probability {holds:g} (paradigm {players.study.paradigm}) "
        f"such a sign has a chance of {holds * share + (1 - holds) / 2:.2g}"
    )
    study = players.study
    return Replay(
        study=study.id, finding=finding, mechanism=players.slug, text=describe_finding(study, finding),
        unit=SHARE_OF_DRAWS, predicted=share, low=low, high=high, observed=None, observed_low=None,
        observed_high=None, agrees=_agrees_in_direction(finding, share), calibrates=False, note=note,
        weighed=study.weighed,
    )  # fmt: skip


def _missed(centres: Array, errors: Array) -> float:
    """Predictive probability that a two-sided test at 5 % finds nothing."""
    from scipy.special import ndtr

    z = centres / np.maximum(errors, NOISE)
    return float(np.mean(ndtr(WIDE - z) - ndtr(-WIDE - z)))


def _chance_of_direction(finding: Finding, centres: Array, errors: Array) -> float:
    """Predictive probability of the sign, or, where it was significant, of a z beyond the bound in that direction."""
    bound = NormalDist().inv_cdf(1 - (finding.p_below or 0.05) / 2) if finding.significant else 0.0
    z = (finding.sign or 1) * centres / np.maximum(errors, NOISE)
    return float(np.mean([NormalDist().cdf(float(v) - bound) for v in z]))


def _agrees_in_direction(finding: Finding, chance: float) -> bool | None:
    """A significant finding must not be a surprise at the 5 % level; a bare sign says little, so it needs 3 to 1."""
    if finding.significant:
        return chance >= SURPRISE
    return None if 0.25 <= chance <= 0.75 else chance > 0.75


def _observed(finding: Finding) -> tuple[float | None, float | None]:
    """Published value and its standard error, where known; of a ratio the logarithm."""
    if finding.kind in RATIOS:
        return math.log(finding.value or 1.0), finding.se
    if finding.kind == "responders":
        if finding.k is None or not finding.n:
            return finding.share, None
        n = finding.n[0]
        share = (finding.k + 0.5) / (n + 1)
        return finding.k / n, math.sqrt(share * (1 - share) / n)
    if finding.se is not None:
        return finding.value, finding.se
    if finding.value is not None and finding.sd and finding.n and len(finding.sd) == len(finding.n):
        return finding.value, math.sqrt(sum(s**2 / n for s, n in zip(finding.sd, finding.n, strict=True)))
    return finding.value, None


def _unit(finding: Finding) -> str:
    known = {
        "responders": "share",
        "odds_ratio": "log odds ratio",
        "hazard_ratio": "log hazard ratio",
        "standardised": "SD",
        "value": "",
        "none_different": "",
    }
    return known.get(finding.kind, "points" if finding.output == "score" else "")


def describe_finding(study: Study, finding: Finding) -> str:
    """A finding in one line: study, arms, output, time."""
    from .units import format_time

    scale = finding.scale or study.trial.scale if finding.output == "score" else finding.output
    when = (
        format_time(finding.time)
        if finding.time is not None
        else "over the visit"
        if finding.within
        else "over the trial"
    )
    arms = " v ".join(study.design.arm(a).title for a in finding.arms)
    side = ("falls less", "falls more") if finding.output == "score" else ("is higher", "is lower")
    event = "responders" if finding.cutoff is None else "remitters"
    what = {
        "contrast": f"{scale} change, {arms}",
        "change": f"{scale} change, {arms}",
        "responders": f"{event}, {arms}",
        "odds_ratio": f"odds ratio of {event}, {arms}",
        "hazard_ratio": f"hazard ratio, {arms}",
        "standardised": f"standardised difference, {arms}",
        "value": f"{scale}, {arms}",
        "direction": f"{scale} {side[finding.sign != 1]}, {arms}",
        "none_different": f"{scale}: no difference, {arms}",
    }[finding.kind]
    return f"{study.id}: {what}, {when}"


def _unknown(study: Study, finding: Finding, slug: str, why: str) -> Replay:
    nan = math.nan
    observed, _ = _observed(finding)
    weighed = study.weighed and finding.kind != "hazard_ratio"
    return Replay(
        study.id, finding, slug, describe_finding(study, finding), _unit(finding), nan, nan, nan, observed, None, None,
        None, finding.calibrates, why, weighed,
    )  # fmt: skip
