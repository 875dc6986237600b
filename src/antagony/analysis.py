"""Ratings of simulated trials -> the estimates that each design asks for, a summary of its arms, and published results.

`rated` is (replicate, subject, rating) in the order of `Plan.ratings`, NaN where nobody was rated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .design import Estimand, Plan
from .errors import StudyError
from .estimation import Estimate, combine_stages, crossover_contrast, mean_change, parallel_contrast, share_difference
from .study import Finding

if TYPE_CHECKING:
    import xarray as xr

Array = NDArray[np.float64]

RESPONSE = 0.5
"""Fall of the rating, as a share of baseline, that counts as response in summaries and between stages."""


def estimate_all(plan: Plan, rated: Array, top: float, level: float = 0.95) -> xr.Dataset:
    """Every estimand in every replicate: value, se, low, high, p, used, over (estimand, replicate), on its own `scale`.

    `top` is the largest score of the trial's scale, in whose points `rated` is.
    """
    import xarray as xr

    found = [estimate(plan, e, rated).times(scale_factor(e, top)) for e in plan.estimands]
    intervals = [one.interval(level) for one in found]
    columns = {
        "value": [e.value for e in found],
        "se": [e.se for e in found],
        "low": [low for low, _ in intervals],
        "high": [high for _, high in intervals],
        "p": [e.p_value() for e in found],
        "used": [e.used for e in found],
    }
    coordinates = {
        "estimand": [e.id for e in plan.estimands],
        "replicate": np.arange(len(rated)),
        "scale": ("estimand", [scale_name(plan, e) for e in plan.estimands]),
    }
    own = "that of the estimand: points of its scale, or 1 of a share"
    units = {"value": own, "se": own, "low": own, "high": own, "p": "1", "used": "patients"}
    axes = ("estimand", "replicate")
    return xr.Dataset({name: (axes, np.array(v), {"units": units[name]}) for name, v in columns.items()}, coordinates)


def scale_factor(estimand: Estimand, top: float) -> float:
    """What a point of the trial's scale, with the largest score `top`, is on the estimand's own.

    Exact, as raters err on the logit of score/max: two scales of one latent severity show the same share of their max.

    >>> scale_factor(Estimand("hamd6", ("a", "b"), 24.0, scale="HAM-D6", score_max=22.0), 52.0) == 22 / 52
    True
    """
    return 1.0 if estimand.measure == "responders" else (estimand.score_max or top) / top


def scale_name(plan: Plan, estimand: Estimand) -> str:
    """In what an estimate is counted: points of a scale, or the share of patients who responded."""
    return "share" if estimand.measure == "responders" else estimand.scale or plan.trial.scale


def estimate(plan: Plan, estimand: Estimand, rated: Array) -> Estimate:
    """One estimand by the analysis that its design asks for, in points of the scale of `rated`.

    Responders: difference of shares, whoever left counts as none. One arm: mean change. Crossover: within patients.
    Sequential: stages weighed. Otherwise between arms, adjusted for baseline and for dropout at random; of four arms
    the difference of two such contrasts.
    """
    if estimand.measure == "responders":
        return _share(plan, estimand, rated)
    if len(estimand.arms) == 1:
        return mean_change(_ratings_of(plan, estimand.arms[0], estimand.time, rated))
    if plan.design.kind == "crossover":
        return _within(plan, estimand, rated)
    if plan.design.kind == "sequential":
        return _staged(plan, estimand, rated)
    groups = [_ratings_of(plan, name, estimand.time, rated) for name in estimand.arms]
    if len(groups) == 4:
        return combine_stages([parallel_contrast(*groups[:2]), parallel_contrast(*groups[2:])], [1.0, -1.0])
    return parallel_contrast(*groups)


def _ratings_of(plan: Plan, arm: str, time: float, rated: Array) -> Array:
    """Ratings (replicate, patient, 1 + visits) of everybody who has an arm, in whichever period, up to a time."""
    parts = [rated[:, plan.members(i)][:, :, plan.columns_until(k, time)] for i, k in plan.periods_of(arm)]
    return np.concatenate(parts, axis=1)


def _within(plan: Plan, estimand: Estimand, rated: Array) -> Estimate:
    names = [arm.id for arm in plan.design.arms]
    columns = [plan.column(k, estimand.time) for k in range(plan.periods)]
    order = np.array([[names.index(name) for name in sequence] for sequence in plan.sequences])
    treatments = np.repeat(order, plan.sizes, axis=0)
    first, second = (names.index(name) for name in estimand.arms)
    try:
        return crossover_contrast(rated[:, :, columns], treatments, (first, second))
    except StudyError as error:
        raise StudyError(f"{plan.origin or plan.id}, key design.sequences: {error}") from None


def _staged(plan: Plan, estimand: Estimand, rated: Array) -> Estimate:
    """Sequential parallel comparison: all patients in stage 1, then those on the comparator who did not respond."""
    stages = []
    for k in range(plan.periods):
        groups = [_stage_group(plan, name, estimand, k, rated) for name in estimand.arms]
        stages.append(parallel_contrast(*groups))
    weights = list(plan.stage_weights[: len(stages)])
    return combine_stages(stages, [w / sum(weights) for w in weights])


def _stage_group(plan: Plan, name: str, estimand: Estimand, stage: int, rated: Array) -> Array:
    """Ratings of a stage's arm; after the first stage only of those who came from the comparator without response."""
    comparator = estimand.arms[1]
    parts = []
    for i, sequence in enumerate(plan.sequences):
        if sequence[stage] != name or (stage and sequence[0] != comparator):
            continue
        own = rated[:, plan.members(i)]
        chosen = own[:, :, plan.columns_until(stage, estimand.time)].copy()
        if stage:
            end = own[:, :, plan.column(0, plan.visits[-1])]
            chosen[~(end > (1 - RESPONSE) * own[:, :, 0])] = np.nan
        parts.append(chosen)
    if not parts:
        raise StudyError(
            f'{plan.origin or plan.id}, key design.sequences: stage {stage + 1} has no patients on "{name}" whose '
            f'first stage was "{comparator}"'
        )
    return np.concatenate(parts, axis=1)


def _share(plan: Plan, estimand: Estimand, rated: Array) -> Estimate:
    shares = [_responded(plan, estimand, name, rated) for name in estimand.arms]
    if len(shares) == 2:
        return share_difference(*shares)
    value, n = shares[0].mean(axis=1), shares[0].shape[1]
    adjusted = (value * n + 2) / (n + 4)
    se = np.sqrt(adjusted * (1 - adjusted) / (n + 4))
    return Estimate(value, se, np.full(len(value), np.inf), np.full(len(value), float(n)))


def _responded(plan: Plan, estimand: Estimand, arm: str, rated: Array) -> NDArray[np.bool_]:
    """Who responded (replicate, patient); whoever was not rated did not."""
    ratings = _ratings_of(plan, arm, estimand.time, rated)
    return ratings[:, :, -1] <= (1 - estimand.threshold) * ratings[:, :, 0]


def summarise_arms(plan: Plan, rated: Array, remission: float | None = None) -> xr.Dataset:
    """Per arm and visit over all patients of all replicates: n, mean and SD of change, shares of responders, remitters
    (rating at most `remission`) and lost. Over (arm, time)."""
    import xarray as xr

    names = [arm.id for arm in plan.design.arms]
    keys = ("n", "mean", "sd", "responders", "remitters", "lost")
    table = {key: np.full((len(names), len(plan.visits)), np.nan) for key in keys}
    for a, name in enumerate(names):
        for v, time in enumerate(plan.visits):
            ratings = _ratings_of(plan, name, time, rated)
            base, now = ratings[:, :, 0], ratings[:, :, -1]
            change, seen = now - base, np.isfinite(now - base)
            share = {"responders": now <= (1 - RESPONSE) * base, "lost": ~seen}
            if remission is not None:
                share["remitters"] = now <= remission
            table["n"][a, v] = change.size
            if seen.any():
                table["mean"][a, v], table["sd"][a, v] = change[seen].mean(), change[seen].std()
            for key, which in share.items():
                table[key][a, v] = which.mean()
    coordinates = {"arm": names, "time": ("time", list(plan.visits), {"units": "h"})}
    units = {"n": "patients", "mean": "points", "sd": "points"}
    variables = {key: (("arm", "time"), value, {"units": units.get(key, "1")}) for key, value in table.items()}
    return xr.Dataset(variables, coordinates)


# --- published results ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Comparison:
    """A published finding inside the distribution that simulated runs of its own trial give.

    `predicted` median with `low` and `high` of 95 % of the runs. `probability`: of a result at least as far out as the
    published one, on both sides; of a direction, the share of runs that show it (and, where the paper says so, show it
    significantly); of no difference, the share of runs that find none at 5 %. `error`: its Monte-Carlo error.
    """

    finding: Finding
    observed: float | None
    predicted: float
    low: float
    high: float
    probability: float
    error: float


def compare_findings(plan: Plan, rated: Array, estimates: xr.Dataset, top: float) -> tuple[Comparison, ...]:
    """Each rated finding of a study against its replicates; `top` is the largest score of the trial's scale."""
    found = []
    for finding in plan.findings:
        values = _statistic(plan, finding, rated, estimates, top)
        if values is None:
            continue
        sound = values[np.isfinite(values)]
        if finding.kind == "direction":
            probability = _chance_of_direction(finding, estimates)
        elif finding.kind == "none_different":
            probability = float(np.mean(estimates["p"].sel(estimand=finding.id).to_numpy() >= 0.05))
        elif (observed := _published(finding)) is not None and sound.size:
            slack = 1e-9 * max(1.0, abs(observed))
            sides = np.mean(sound <= observed + slack), np.mean(sound >= observed - slack)
            probability = min(1.0, 2 * float(min(sides)))
        else:
            continue
        low, middle, high = np.quantile(sound, [0.025, 0.5, 0.975]) if sound.size else (np.nan,) * 3
        error = math.sqrt(max(probability * (1 - probability), 1 / len(values) / 4) / len(values))
        found.append(
            Comparison(finding, _published(finding), float(middle), float(low), float(high), probability, error)
        )
    return tuple(found)


def _chance_of_direction(finding: Finding, estimates: xr.Dataset) -> float:
    one = estimates.sel(estimand=finding.id)
    shown = (finding.sign or 1) * one["value"].to_numpy() > 0
    if finding.significant:
        shown &= one["p"].to_numpy() < (finding.p_below or 0.05)
    return float(np.mean(shown))


def _statistic(plan: Plan, finding: Finding, rated: Array, estimates: xr.Dataset, top: float) -> Array | None:
    """The number that the study printed, in each replicate, on the finding's own scale; None for other kinds."""
    value = estimates["value"].sel(estimand=finding.id).to_numpy()
    match finding.kind:
        case "contrast" | "change" | "direction" | "none_different":
            return value
        case "responders":
            return value
        case "standardised":
            time = finding.time or 0.0
            spread = [np.nanvar(_ratings_of(plan, a, time, rated)[:, :, -1], axis=1, ddof=1) for a in finding.arms]
            return value * top / (finding.score_max or top) / np.sqrt(np.mean(spread, axis=0))  # the trial's points
        case "odds_ratio":
            return _log_odds(plan, finding, rated)
    return None


def _log_odds(plan: Plan, finding: Finding, rated: Array) -> Array:
    """Log odds ratio of responders, half a patient added to each cell."""
    asked = next(e for e in plan.estimands if e.id == finding.id)
    logits = []
    for arm in finding.arms:
        who = _responded(plan, asked, arm, rated)
        yes = who.sum(axis=1) + 0.5
        logits.append(np.log(yes / (who.shape[1] + 1 - yes)))
    return logits[0] - logits[1]


def _published(finding: Finding) -> float | None:
    if finding.kind == "responders":
        return finding.share if finding.k is None or not finding.n else finding.k / finding.n[0]
    if finding.kind == "odds_ratio" and finding.value:
        return math.log(finding.value)
    return None if finding.kind == "direction" else finding.value
