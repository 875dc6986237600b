"""Published findings made ready for scoring: what is known of each, on its own scale, under the case's rules."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from ..rules import Doubt, Rules
from ..study import RATIOS, Finding, Study

Array = NDArray[np.float64]

ERROR_NODES, ERROR_WEIGHTS = np.polynomial.hermite_e.hermegauss(3)
ERROR_WEIGHTS = ERROR_WEIGHTS / ERROR_WEIGHTS.sum()


@dataclass(frozen=True, slots=True)
class Scoring:
    """How findings are scored in one row of the answer; the base row has the defaults.

    `equal`: no grade is doubted more than another. `halted`: findings of a study that was stopped early are conditioned
    on having crossed a bound on either side. `selected`: results that are not significant are published less often.
    """

    correlation: float | None = None
    equal: bool = False
    halted: bool = False
    selected: bool = False


BASE = Scoring()


@dataclass(frozen=True, slots=True)
class Measure:
    """A finding made ready for scoring: what is known, on its own scale.

    `errors` with `error_weights`: standard errors that may be (one where it was published). `trial`: what one point of
    SD between trials is here. `bound`: |z| that counts as significant. Of responders `k` of `n` and `correlation`.
    """

    finding: Finding
    study: Study
    value: float
    errors: Array
    error_weights: Array
    trial: float
    bound: float
    doubt: Doubt
    k: float = 0.0
    n: float = 0.0
    correlation: float = 0.0


def measure(study: Study, finding: Finding, rules: Rules, scoring: Scoring = BASE) -> Measure:
    """The finding under the rules; raises StudyError through PosteriorError where it cannot be scored."""
    doubt = Doubt(1.0, rules.doubt("read").reversal) if scoring.equal else rules.doubt(_grade(finding))
    top = finding.score_max or float(study.trial.values.get("score_max", rules.reference_top))
    unit = top / rules.reference_top if finding.output == "score" else 1 / rules.points[finding.output]
    errors, weights = _errors(study, finding, rules, rules.reference_top * unit)
    bound = NormalDist().inv_cdf(1 - (finding.p_below or rules.significance) / 2)
    value, trial = finding.value or 0.0, unit
    if finding.kind == "standardised":
        trial = unit  # over the predicted SD, draw by draw
    if finding.kind in RATIOS:
        value, trial = math.log(finding.value or 1.0), 4 / rules.reference_top  # points -> latent, as odds are
    k = n = correlation = 0.0
    if finding.kind == "responders":
        n = float(finding.n[0] if finding.n else study.design.arm(finding.arms[0]).n or rules.patients)
        n /= doubt.error**2  # a number that is doubted counts for fewer patients
        share = finding.k / finding.n[0] if finding.k is not None and finding.n else finding.share or 0.0
        k = share * n
        single = study.design.kind == "single_arm" or study.design.blinding == "open"
        correlation = rules.responder_correlation_single if single else rules.responder_correlation
    return Measure(finding, study, value, errors * doubt.error, weights, trial, bound, doubt, k, n, correlation)


def _grade(finding: Finding) -> str:
    """Grade of the number that says the most: the value, the count, the sign; the worst of those that carry it."""
    order = ("read", "derived", "secondary", "recalled", "constructed", "assumed")
    asked = [finding.grades[key] for key in ("value", "k", "share", "sign") if key in finding.grades]
    return max(asked, key=order.index) if asked else "read"


def _errors(study: Study, finding: Finding, rules: Rules, top: float) -> tuple[Array, Array]:
    """Standard errors of a contrast and their weights: the published one, or the prior from comparable trials.

    SE = change SD * top * sqrt(1/n1 + 1/n2),   crossed over: sqrt(2 (1 - r)/n),   change SD log-normal
    """
    if finding.se is not None:
        return np.array([finding.se]), np.array([1.0])
    sizes = [
        finding.n[i] if len(finding.n) > i else study.design.arm(name).n or rules.patients
        for i, name in enumerate(finding.arms)
    ]
    if study.design.kind == "crossover":
        factor = math.sqrt(2 * (1 - rules.crossover_correlation) / sizes[0])
    else:
        factor = math.sqrt(sum(1 / n for n in sizes))
    if finding.kind == "standardised":  # SE of a standardised difference (hedges_1981)
        d = finding.value or 0.0
        return np.array([math.sqrt(factor**2 + d * d / (2 * sum(sizes)))]), np.array([1.0])
    if finding.sd and len(finding.sd) == len(finding.arms):
        return np.array([math.sqrt(sum(s**2 / n for s, n in zip(finding.sd, sizes, strict=True)))]), np.array([1.0])
    spread = rules.change_sd * top * np.exp(rules.change_log_sd * ERROR_NODES)
    return spread * factor, ERROR_WEIGHTS


def mean_error(m: Measure) -> float:
    """The standard error to be expected [the finding's scale]; of a share of responders the binomial one."""
    if m.finding.kind == "responders":
        share = (m.k + 0.5) / (m.n + 1)
        return math.sqrt(share * (1 - share) / m.n)
    return float(m.errors @ m.error_weights)
