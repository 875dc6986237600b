"""Published findings replayed: what each mechanism predicts for the arms of a study, beside what was observed.

Patients differ within a draw, uncertain parameters between draws; an arm's mean of n patients carries both.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .calibration import calibrate, study_arm
from .case import Case
from .mechanism import Mechanism
from .parameters import Parameter
from .population import Draws, Population, draw_parameters, sample_population
from .simulation import Arm, simulate
from .study import Finding, Study

if TYPE_CHECKING:
    import xarray as xr

Array = NDArray[np.float64]

CALIBRATION_PATIENTS = 32  # over whom the outcome scale of a replayed draw is averaged
REPLAY_DRAWS = 48  # prior draws, each with the whole population
WIDE = 1.96  # half-width of a 95 % interval in standard errors
SURPRISE = 0.05  # a significant finding with a smaller predictive probability is not explained (no effect: 0.025)
NO_DIFFERENCE = 0.05  # a predicted change of an output up to this much counts as no difference


@dataclass(frozen=True, slots=True)
class Replay:
    """One published finding against one mechanism.

    `predicted` with its 95 % predictive interval `low` to `high` (patients drawn, uncertain parameters drawn, outcome
    scale calibrated); `observed` with `observed_low` to `observed_high` where published. `agrees`: the observation lies
    within the interval; a significant direction has a predictive probability of at least 5 %; a bare sign more than
    75 % (None between 25 and 75 %). None where it cannot be said.
    `calibrates`: the finding set the outcome scale, so agreement is no success. `text` tells the finding in one line.
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


@dataclass(frozen=True, slots=True)
class _Scores:
    """Scores or another output of one arm at one time: (draw, patient)."""

    values: Array
    baseline: Array
    n: int | None


def replay_study(
    case: Case,
    slug: str,
    study: Study,
    *,
    patients: int = 200,
    draws: int = REPLAY_DRAWS,
    seed: int = 1,
    variants: Mapping[str, str] | None = None,
) -> tuple[Replay, ...]:
    """Predict every finding of a study under one mechanism, outcome scale calibrated for each draw.

    Draws that cannot be calibrated are left out; where none is left, predictions are NaN and agreement is unknown.
    """
    rows = case.parameters(slug, variants)
    priors = draw_parameters(rows.values(), draws, seed=seed)
    few = sample_population(rows.values(), CALIBRATION_PATIENTS, seed=seed)
    kept = calibrate(case, slug, priors, population=few, variants=variants).kept
    if not kept.draws.size:
        return tuple(_unknown(study, f, slug) for f in study.findings)
    people = _population(rows, study, patients, seed)
    players = _Players(case, slug, study, kept.draws, people, rows, seed, variants)
    rng = np.random.default_rng([seed, 13])
    return tuple(_replay(players, finding, rng) for finding in study.findings)


def _population(rows: Mapping[str, Parameter], study: Study, patients: int, seed: int) -> Population:
    """Patients of a trial: the case's spread, and the trial's own spread of baseline scores around its mean."""
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
    arms = [players.readings(finding, name) for name in finding.arms]
    crossed = players.study.design.kind == "crossover"
    match finding.kind:
        case "contrast" | "direction":
            centres, errors = _contrast(arms, crossed)
        case "change":
            centres, errors = _change(arms[0])
        case "standardised":
            centres, errors = _standardised(arms, crossed)
        case "responders":
            centres, errors = _responders(arms[0], finding)
        case _:
            centres, errors = _mean_difference(arms)
    return _judge(players.study, finding, players.slug, centres, errors, players.draws.size, rng)


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
        seed: int,
        variants: Mapping[str, str] | None,
    ) -> None:
        self.case, self.slug, self.study, self.draws, self.people = case, slug, study, draws, people
        self.residual = rows["score_residual"].nominal if "score_residual" in rows else 0.0
        self.seed = seed
        self.moments = np.unique(np.concatenate([[0.0], *(_moments(f) for f in study.findings)]))
        names = dict.fromkeys(name for f in study.findings for name in f.arms)
        self.arms = {name: study_arm(case, study, name) for name in names}
        outputs = sorted({f.output for f in study.findings})
        mechanism = case.mechanism_for(slug, {d for arm in self.arms.values() for d in arm.regimen.drugs}, variants)
        self.runs = {name: self._run(mechanism, arm, outputs) for name, arm in self.arms.items()}

    def _run(self, mechanism: Mechanism, arm: Arm, outputs: list[str]) -> xr.Dataset:
        """One arm; the mean baseline becomes a draw's value, so that patients can differ around it."""
        mean = arm.values["score_baseline"]
        free = {k: v for k, v in arm.values.items() if k != "score_baseline"}
        draws = self.draws.replace(score_baseline=np.full(self.draws.size, mean))
        placed = Arm(arm.regimen, arm.probes, free)
        return simulate(mechanism, {"arm": placed}, self.moments, population=self.people, draws=draws, outputs=outputs)

    def readings(self, finding: Finding, name: str) -> _Scores:
        """An arm's patients as the finding saw them; a rating carries the residual of its visit on the latent scale."""
        curves = self.runs[name][finding.output].to_numpy()[0][..., np.isin(self.moments, _moments(finding))]
        reduced = {"max": curves.max(-1), "min": curves.min(-1), "mean": curves.mean(-1)}
        values = curves[..., -1] if finding.time is not None else reduced.get(finding.statistic, curves[..., -1])
        arm = self.arms[name]
        factor = self.people.factors.get("score_baseline", np.ones(self.people.size))
        baseline = np.broadcast_to(arm.values["score_baseline"] * factor, values.shape)
        if finding.output == "score":
            visit = np.random.default_rng([self.seed, zlib.crc32(f"{name} {finding.time}".encode())])
            values = _with_residual(values, arm.values["score_max"], self.residual, visit)
            values, baseline = (_rescaled(v, arm.values["score_max"], finding.score_max) for v in (values, baseline))
        i = finding.arms.index(name)
        return _Scores(values, baseline, finding.n[i] if len(finding.n) > i else self.study.design.arm(name).n)


def _moments(finding: Finding) -> Array:
    if finding.time is not None:
        return np.array([finding.time])
    begin, end = finding.within or (0.0, 0.0)
    return np.linspace(begin, end, 25)


def _rescaled(score: Array, top: float, other: float | None) -> Array:
    """The same latent severity on another scale."""
    return score if other is None else score * (other / top)


def _with_residual(score: Array, top: float, sd: float, rng: np.random.Generator) -> Array:
    """The rating of one visit: a normal residual on the logit of score/max, drawn for every draw and patient."""
    share = np.clip(score / top, 1e-6, 1 - 1e-6)
    logit = np.log(share / (1 - share)) + sd * rng.standard_normal(score.shape)
    return top / (1 + np.exp(-logit))


def _change(arm: _Scores) -> tuple[Array, Array]:
    """Mean change from baseline of one arm (draw), and the standard error of that mean over its n patients."""
    change = arm.values - arm.baseline
    return change.mean(axis=1), change.std(axis=1, ddof=1) / math.sqrt(arm.n or 30)


def _contrast(arms: list[_Scores], crossed: bool) -> tuple[Array, Array]:
    """First arm's mean change minus the second's; within patients where they crossed over."""
    first, second = (a.values - a.baseline for a in arms)
    centre = first.mean(axis=1) - second.mean(axis=1)
    if crossed:
        return centre, (first - second).std(axis=1, ddof=1) / math.sqrt(arms[0].n or 30)
    parts = [c.var(axis=1, ddof=1) / (a.n or 30) for c, a in zip((first, second), arms, strict=True)]
    return centre, np.sqrt(parts[0] + parts[1])


def _standardised(arms: list[_Scores], crossed: bool) -> tuple[Array, Array]:
    """Contrast of means over the pooled SD of the scores (Cohen d), and its standard error."""
    centre, error = _contrast(arms, crossed)
    pooled = np.sqrt(0.5 * sum(a.values.var(axis=1, ddof=1) for a in arms))
    return centre / pooled, error / pooled


def _responders(arm: _Scores, finding: Finding) -> tuple[Array, Array]:
    """Share of patients whose score fell by the threshold, and the binomial error of n patients."""
    share = (arm.values <= (1 - (finding.threshold or 0.5)) * arm.baseline).mean(axis=1)
    return share, np.sqrt(np.maximum(share * (1 - share), 1e-4) / (arm.n or 30))


def _mean_difference(arms: list[_Scores]) -> tuple[Array, Array]:
    """Difference of an output's mean between two arms (draw); its sampling error is not modelled."""
    centre = arms[0].values.mean(axis=1) - arms[1].values.mean(axis=1)
    return centre, np.zeros_like(centre)


def _judge(
    study: Study,
    finding: Finding,
    slug: str,
    centres: Array,
    errors: Array,
    draws: int,
    rng: np.random.Generator,
) -> Replay:
    """Prediction against observation: the interval holds draws, patients and the trial's sampling error."""
    spread = (centres[:, None] + errors[:, None] * rng.standard_normal((centres.size, 200))).ravel()
    predicted = float(np.median(centres))
    low, high = (float(q) for q in np.quantile(spread, [0.025, 0.975]))
    observed, error = _observed(finding)
    agrees: bool | None = None if observed is None else bool(low <= observed <= high)
    note = f"{draws} calibrated draws"
    if finding.kind == "none_different":
        observed = 0.0
        agrees = bool(np.median(np.abs(centres)) <= NO_DIFFERENCE)
    elif finding.kind == "direction":
        chance = _chance_of_direction(finding, centres, errors)
        note += f"; such a result has a chance of {chance:.2g}"
        agrees = _agrees_in_direction(finding, chance)
    if finding.kind == "responders":
        low, high = max(low, 0.0), min(high, 1.0)
    span = (None, None) if error is None or observed is None else (observed - WIDE * error, observed + WIDE * error)
    return Replay(
        study=study.id, finding=finding, mechanism=slug, text=describe_finding(study, finding), unit=_unit(finding),
        predicted=predicted, low=low, high=high, observed=observed, observed_low=span[0], observed_high=span[1],
        agrees=agrees, calibrates=finding.calibrates, note=note,
    )  # fmt: skip


def _chance_of_direction(finding: Finding, centres: Array, errors: Array) -> float:
    """Predictive probability of the sign, or, where it was significant, of a z beyond the bound in that direction."""
    bound = NormalDist().inv_cdf(1 - (finding.p_below or 0.05) / 2) if finding.significant else 0.0
    z = (finding.sign or 1) * centres / np.maximum(errors, 1e-12)
    return float(np.mean([NormalDist().cdf(float(v) - bound) for v in z]))


def _agrees_in_direction(finding: Finding, chance: float) -> bool | None:
    """A significant finding must not be a surprise at the 5 % level; a bare sign says little, so it needs 3 to 1."""
    if finding.significant:
        return chance >= SURPRISE
    return None if 0.25 <= chance <= 0.75 else chance > 0.75


def _observed(finding: Finding) -> tuple[float | None, float | None]:
    """Published value and its standard error, where known."""
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
    return {"responders": "share", "standardised": "SD", "none_different": ""}.get(finding.kind, "points")


def describe_finding(study: Study, finding: Finding) -> str:
    """A finding in one line: study, arms, output, time."""
    from .units import format_time

    scale = finding.scale or study.trial.scale if finding.output == "score" else finding.output
    when = format_time(finding.time) if finding.time is not None else "over the visit"
    arms = " v ".join(study.design.arm(a).title for a in finding.arms)
    what = {
        "contrast": f"{scale} change, {arms}",
        "change": f"{scale} change, {arms}",
        "responders": f"responders, {arms}",
        "standardised": f"standardised difference, {arms}",
        "direction": f"{scale} {'falls less' if finding.sign == 1 else 'falls more'}, {arms}",
        "none_different": f"{scale}: no difference, {arms}",
    }[finding.kind]
    return f"{study.id}: {what}, {when}"


def _unknown(study: Study, finding: Finding, slug: str) -> Replay:
    nan = math.nan
    observed, _ = _observed(finding)
    return Replay(
        study.id, finding, slug, describe_finding(study, finding), _unit(finding), nan, nan, nan, observed, None, None,
        None, finding.calibrates, "cannot be calibrated: no prediction",
    )  # fmt: skip
