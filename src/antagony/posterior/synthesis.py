"""Results that studies would have if one draw were the truth: the likelihood run forwards.

    trial SD ~ its prior;   node of each trial's own course;   shared deviate and error of each finding;   then rounding
    to what the paper would have said: a value, a count, a sign, significance

Whatever `log_likelihoods` assumes is drawn here, node by node, so that truth and weighing agree exactly; a stated
direction is never wrong here, so the rules are to be taken without reversals.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..parameters import Prior
from ..rules import Doubt, Rules
from ..study import RATIOS, Finding, Study
from .likelihood import TRANSLATION_NODES, TRIAL_SDS, sign_hits, trial_sd_weights
from .measures import Measure, measure
from .prediction import Prediction

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Results:
    """Studies with simulated findings, and the signs in animals that came out the other way."""

    studies: tuple[Study, ...]
    opposite: frozenset[tuple[str, str]]


def without_reversals(rules: Rules, information: float = 1.0) -> Rules:
    """The rules with no direction ever wrong, and every study `information` times as informative."""
    less = 1 / math.sqrt(information)
    doubts = {grade: Doubt(d.error * less, 0.0) for grade, d in rules.doubts.items()}
    return replace(rules, doubts=doubts, trial_sd=rules.trial_sd * less)


def simulate_results(
    predictions: Mapping[str, Sequence[Prediction]],
    draw: int,
    studies: Sequence[Study],
    rules: Rules,
    translation: Prior | None,
    rng: np.random.Generator,
) -> Results:
    """What the scored findings of some studies would be if a draw (its position in the predictions) were the truth."""
    sd = float(rng.choice(TRIAL_SDS, p=trial_sd_weights(rules.trial_sd)))
    middles = (np.arange(TRANSLATION_NODES) + 0.5) / TRANSLATION_NODES
    holds: dict[str, float] = {}
    found, opposite = [], set()
    for study in studies:
        some = predictions[study.id]
        if study.is_human:
            findings = _human(study, some, draw, rules, sd, rng)
            found.append(replace(study, findings=tuple(findings)))
            continue
        if study.paradigm not in holds:
            u = float(rng.choice(middles))
            holds[study.paradigm] = u if translation is None else float(translation.quantile(u))
        for prediction in some:
            hit = bool(sign_hits(prediction)[draw])
            seen = hit if rng.random() < holds[study.paradigm] else bool(rng.random() < 0.5)
            if not seen:
                opposite.add((study.id, prediction.finding.id))
        found.append(study)
    return Results(tuple(found), frozenset(opposite))


def with_findings(predictions: Mapping[str, Sequence[Prediction]], results: Results) -> dict[str, list[Prediction]]:
    """The same predictions beside simulated findings."""
    by_id = {(s.id, f.id): f for s in results.studies for f in s.findings}
    return {
        s.id: [replace(p, finding=by_id.get((s.id, p.finding.id), p.finding)) for p in predictions[s.id]]
        for s in results.studies
    }


def _human(
    study: Study, some: Sequence[Prediction], draw: int, rules: Rules, sd: float, rng: np.random.Generator
) -> list[Finding]:
    nodes = max(p.centre.shape[1] for p in some)
    node, shared, which = int(rng.integers(nodes)), float(rng.standard_normal()), float(rng.random())
    correlation = rules.correlation if len(some) > 1 else 0.0
    findings = []
    for prediction in some:
        m = measure(study, prediction.finding, rules)
        at = node if prediction.centre.shape[1] > 1 else 0
        spread = 1.0 if prediction.sd is None else float(prediction.sd[draw, at])
        centre = float(prediction.centre[draw, at]) / spread
        if m.finding.kind == "responders":
            total = 1 / m.correlation - 1
            share = rng.beta(np.clip(centre, 1e-6, 1 - 1e-6) * total, (1 - np.clip(centre, 1e-6, 1 - 1e-6)) * total)
            size = m.finding.n[0] if m.finding.n else rules.patients
            count = int(rng.binomial(round(m.n), share))
            findings.append(replace(m.finding, k=count * size / m.n))  # type: ignore[arg-type] - a share of n patients
            continue
        error = float(m.errors[np.searchsorted(np.cumsum(m.error_weights), which * m.error_weights.sum())])
        moved = centre + math.sqrt((m.trial * sd / spread) ** 2 + correlation * error**2) * shared
        observed = moved + math.sqrt(1 - correlation) * error * float(rng.standard_normal())
        findings.append(_printed(m, observed, error))
    return findings


def _printed(m: Measure, observed: float, error: float) -> Finding:
    """The finding as a paper would have it, given the result and its standard error."""
    finding, z = m.finding, observed / error
    sign = 1 if z > 0 else -1
    if finding.kind in RATIOS:
        return replace(finding, value=math.exp(observed))
    if finding.kind in ("contrast", "standardised"):
        return replace(finding, value=observed)
    if finding.kind == "direction" and not finding.significant:
        return replace(finding, sign=sign)
    if abs(z) > m.bound:
        return replace(finding, kind="direction", sign=sign, significant=True, margin=None)
    return replace(finding, kind="none_different", sign=None, significant=None)
