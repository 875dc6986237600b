"""Claims over draws: does each hold at nominal values, by what margin, in which share of the prior, what decides it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .calibration import Calibrated, calibrate
from .case import Case
from .claim import Claim
from .condition import Condition
from .errors import ClaimError
from .mechanism import Mechanism
from .population import NOMINAL, Draws
from .simulation import Arm, simulate

Array = NDArray[np.float64]

WINDOW_POINTS = 97  # moments at which a claim over a window is read, denser near time 0


@dataclass(frozen=True, slots=True)
class Separation:
    """A parameter whose draws differ between holding and broken: Kolmogorov-Smirnov distance, and the direction."""

    parameter: str
    distance: float
    higher_holds: bool


@dataclass(frozen=True, slots=True)
class ClaimResult:
    """One claim for one mechanism.

    `measured` at nominal values and `margin`, its distance from the claim's threshold in the same measure (positive:
    holds). `share` of the draws in which it holds, with its Monte-Carlo error `share_error`; draws that cannot be
    calibrated count as broken where the claim needs the outcome scale. `separating` names what most parts the holding
    from the broken draws.
    """

    claim: Claim
    mechanism: str
    measured: float
    margin: float
    holds: bool
    share: float
    share_error: float
    draws: int
    separating: tuple[Separation, ...]


def check_claims(
    case: Case,
    slug: str,
    claims: Iterable[Claim],
    *,
    draws: int = 2000,
    seed: int = 1,
    variants: Mapping[str, str] | None = None,
) -> tuple[ClaimResult, ...]:
    """Evaluate claims of the typical patient at nominal values and over prior draws, outcome scale calibrated in both.

    Raises ClaimError for a claim on an output that the mechanism lacks.
    """
    from .population import draw_parameters

    wanted = [c for c in claims if not c.only_for or slug in c.only_for]
    rows = case.parameters(slug, variants)
    nominal = calibrate(case, slug, NOMINAL, variants=variants)
    sampled = calibrate(case, slug, draw_parameters(rows.values(), draws, seed=seed), variants=variants)
    at_nominal = _measure_all(case, slug, wanted, nominal.draws, variants)
    over_draws = _measure_all(case, slug, wanted, sampled.draws, variants)
    scaled = scaled_outputs(case.mechanism_for(slug, (), variants), nominal.parameter)
    return tuple(
        _result(
            claim,
            slug,
            float(at_nominal[claim.id][0]),
            over_draws[claim.id],
            sampled,
            needs_scale=claim.output in scaled,
            calibrated=bool(nominal.reached[0]),
        )
        for claim in wanted
    )


def scaled_outputs(mechanism: Mechanism, parameter: str) -> frozenset[str]:
    """Outputs that feel the outcome scale; a claim on any other can be judged without calibration."""
    from .kernel.symbolic import read_system

    felt = {parameter}
    for name, rule in read_system(mechanism.sbml).rules.items():
        if felt & {str(s) for s in rule.free_symbols}:
            felt.add(name)
    return frozenset(felt)


def _result(
    claim: Claim,
    slug: str,
    measured: float,
    values: Array,
    sampled: Calibrated,
    *,
    needs_scale: bool,
    calibrated: bool,
) -> ClaimResult:
    margins = np.array([claim_margin(claim, v) for v in values])
    holding = (margins >= 0) & (sampled.reached | (not needs_scale))
    share = float(holding.mean())
    error = float(np.sqrt(share * (1 - share) / holding.size))
    margin = claim_margin(claim, measured)
    holds = bool(margin >= 0) and (calibrated or not needs_scale)
    separating = _separate(sampled, holding)
    return ClaimResult(claim, slug, measured, margin, holds, share, error, holding.size, separating)


def claim_margin(claim: Claim, measured: float) -> float:
    """Distance of a measured value from the claim's threshold; positive where the claim holds, NaN where unknown.

    rises: m - margin;  falls: -m - margin;  stays: margin - |m|   (a ratio is taken relative to 1)
    at_least: m - value;  at_most: value - m
    """
    change = measured - 1 if claim.measure == "ratio" else measured
    match claim.relation:
        case "rises":
            return change - claim.margin
        case "falls":
            return -change - claim.margin
        case "stays":
            return claim.margin - abs(change)
        case "at_least":
            return measured - _threshold(claim)
        case "at_most":
            return _threshold(claim) - measured
    raise ClaimError(f'claim "{claim.id}": unknown relation "{claim.relation}"')


def _threshold(claim: Claim) -> float:
    if claim.value is None:
        raise ClaimError(f'claim "{claim.id}", key value: at_least and at_most need one')
    return claim.value


def _separate(sampled: Calibrated, holding: NDArray[np.bool_], most: int = 3) -> tuple[Separation, ...]:
    """Parameters by the distance between their distributions in holding and in broken draws, largest first."""
    if min(holding.sum(), (~holding).sum()) < 20:
        return ()
    from scipy.stats import ks_2samp

    found = []
    for name, values in sampled.draws.values.items():
        if name == sampled.parameter:
            continue
        test: Any = ks_2samp(values[holding], values[~holding], method="asymp")
        if test.pvalue < 1e-3:
            higher = float(np.median(values[holding])) > float(np.median(values[~holding]))
            found.append(Separation(name, float(test.statistic), higher))
    return tuple(sorted(found, key=lambda s: -s.distance)[:most])


# --- measuring -------------------------------------------------------------------------------------------------------


def _measure_all(
    case: Case, slug: str, claims: Sequence[Claim], draws: Draws, variants: Mapping[str, str] | None
) -> dict[str, Array]:
    """Each claim's measure for each draw (draw); conditions that claims share are simulated once."""
    arms: dict[Condition, Arm] = {}
    moments: dict[Condition, set[float]] = {}
    for claim in claims:
        for condition in claim.conditions:
            arms.setdefault(condition, condition_arm(case, condition))
            moments.setdefault(condition, set()).update(map(float, claim_times(claim)))
    curves: dict[tuple[Condition, str], tuple[Array, Array]] = {}
    outputs: dict[Condition, set[str]] = {}
    for claim in claims:
        for condition in claim.conditions:
            outputs.setdefault(condition, set()).add(claim.output)
    for condition, arm in arms.items():
        mechanism = case.mechanism_for(slug, arm.regimen.drugs, variants)
        _check_outputs(claims, condition, mechanism)
        times = np.array(sorted({min(0.0, *moments[condition]), *moments[condition]}))  # a run begins at 0 or before
        names = sorted(outputs[condition])
        run = simulate(mechanism, {"arm": arm}, times, draws=draws, outputs=names)
        for name in names:
            curves[condition, name] = (times, run[name].to_numpy()[0, :, 0, :])
    return {claim.id: _measure(claim, curves) for claim in claims}


def _check_outputs(claims: Sequence[Claim], condition: Condition, mechanism: Mechanism) -> None:
    from .errors import near_miss

    for claim in claims:
        known = {*mechanism.outputs, *mechanism.state_units}
        if condition in claim.conditions and claim.output not in known:
            raise ClaimError(
                f'claim "{claim.id}", key output: {mechanism.slug} has no output "{claim.output}"'
                f"{near_miss(claim.output, known)}"
            )


def condition_arm(case: Case, condition: Condition) -> Arm:
    """An arm under the case's default trial table."""
    return Arm(case.regimen(condition.regimen), case.spell_out(condition.probes), case.trial)


def claim_times(claim: Claim) -> Array:
    """Moments [h] at which a claim reads its output; a window is read on a grid that is denser near time 0."""
    if claim.at is not None:
        return np.array([claim.at])
    if claim.within is None:
        raise ClaimError(f'claim "{claim.id}": give `at` or `within`')
    low, high = np.arcsinh(np.array(claim.within))
    inner = np.sinh(np.linspace(low, high, WINDOW_POINTS)[1:-1])
    return np.array([claim.within[0], *inner, claim.within[1]])


def _measure(claim: Claim, curves: Mapping[tuple[Condition, str], tuple[Array, Array]]) -> Array:
    """The claim's measure (draw) from the curves of its conditions."""
    readings = [_reading(claim, *curves[condition, claim.output]) for condition in claim.conditions]
    given, versus = readings[0], readings[1]
    match claim.measure:
        case "difference":
            return given - versus
        case "ratio":
            return given / versus
        case "value":
            return given
        case "share":
            return (given - versus) / (readings[2] - versus)
    raise ClaimError(f'claim "{claim.id}", key measure: unknown measure "{claim.measure}"')


def _reading(claim: Claim, times: Array, values: Array) -> Array:
    """One number a draw: the value at a time, or a statistic over the window."""
    chosen = np.isin(times, claim_times(claim))
    part = values[:, chosen]
    statistic = {"max": np.max, "min": np.min, "mean": np.mean, "last": lambda v, axis: v[:, -1]}
    return statistic["last" if claim.at is not None else claim.statistic](part, axis=1)
