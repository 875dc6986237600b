"""The reference `unexplained`: no mechanism, every contrast free under a weak stated prior, independent of the others.

    contrast d with error SE:   N(d; 0, SE^2 + s^2)         share of responders: logit ~ N(0, s)       a bare sign: 1/2

A rival that does not beat it fits no better than no mechanism.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import ndtr

from ..case import Case
from ..rules import Rules
from ..study import RATIOS, Finding, Study
from .bank import scored_findings
from .likelihood import beta_binomial
from .measures import measure

NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(127)
WEIGHTS = WEIGHTS / WEIGHTS.sum()


def log_unexplained(case: Case, studies: Sequence[Study], rules: Rules, width: float = 1.0) -> dict[str, float]:
    """Study id -> log probability of its scored findings; `width` multiplies the prior's standard deviations."""
    kept = {s.id for s in studies}
    logs = dict.fromkeys((s.id for s in studies), 0.0)
    for study, finding in scored_findings(case):
        if study.id in kept:
            logs[study.id] += math.log(_probability(study, finding, rules, width))
    return logs


def _probability(study: Study, finding: Finding, rules: Rules, width: float) -> float:
    if not study.is_human:
        return 0.5
    m = measure(study, finding, rules)
    if finding.kind == "responders":
        shares = 1 / (1 + np.exp(-width * rules.logit_sd * NODES))
        return float(WEIGHTS @ beta_binomial(m, shares))
    scale = rules.change_sd * rules.reference_top if finding.kind == "standardised" else 1.0
    free = width * rules.contrast_sd * (m.trial if finding.kind != "standardised" else 1 / scale)
    total = 0.0
    for error, weight in zip(m.errors, m.error_weights, strict=True):
        spread, reach = math.hypot(error, free), m.bound * error
        if finding.kind in ("contrast", "standardised", *RATIOS):
            one = math.exp(-0.5 * (m.value / spread) ** 2) / (math.sqrt(2 * math.pi) * spread)
        elif finding.kind == "none_different":
            one = _doubted(m.doubt.reversal, float(ndtr(reach / spread) - ndtr(-reach / spread)))
        else:
            one = _doubted(m.doubt.reversal, float(ndtr(-reach / spread))) if finding.significant else 0.5
        total += weight * one
    return total


def _doubted(wrong: float, probability: float) -> float:
    """One of three outcomes as reported, as for every mechanism."""
    return wrong / 2 + (1 - 1.5 * wrong) * probability
