"""Claims over draws: does each hold at nominal values, by what margin, in which share of the prior, what decides it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from .calibration import Calibrated, CalibratedPrior, calibrate_prior
from .case import Case
from .claim import Claim
from .condition import Condition
from .errors import ClaimError, near_miss
from .mechanism import Mechanism
from .notebook import brief, percent
from .simulation import Arm, simulate

Array = NDArray[np.float64]
Progress = Callable[[int, int], None]

CHRONIC_DRAWS = 200  # of a claim with a chronic regimen: each costs as much as dozens of short runs
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
    holds). `share` of the `draws` in which it holds, with its Monte-Carlo error `share_error`; draws that cannot be
    calibrated count as broken where the claim needs the outcome scale. `separating` names what most parts the holding
    from the broken draws. `uncalibrated`: the claim needs the outcome scale, and at nominal values no scale reaches the
    calibrating finding.
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
    uncalibrated: bool = False

    def __repr__(self) -> str:
        """The claim, whether it holds, and in which share of the draws."""
        share = f"{percent(self.share, self.share_error)} of {self.draws} draws"
        return brief("ClaimResult", {"": self.claim.id, "mechanism": self.mechanism, "holds": self.holds, "in": share})


def check_claims(
    case: Case,
    slug: str,
    claims: Iterable[Claim],
    *,
    draws: int = 2000,
    seed: int = 1,
    variants: Mapping[str, str] | None = None,
    held: Mapping[str, float] | None = None,
    progress: Progress | None = None,
) -> tuple[ClaimResult, ...]:
    """Evaluate claims of the typical patient at nominal values and over prior draws, outcome scale calibrated in both.

    `held`: numbers that have one value throughout, to question what is assumed of them.

    A claim with a chronic regimen is judged over the first CHRONIC_DRAWS draws alone; each
    result says over how many. `progress(done, total)` is told before each condition that is simulated.
    Raises ClaimError for a claim on an output that the mechanism lacks.
    """
    prior = calibrate_prior(case, slug, draws, seed=seed, variants=variants, held=held)
    return judge_claims(case, slug, claims, prior, variants=variants, progress=progress)


def judge_claims(
    case: Case,
    slug: str,
    claims: Iterable[Claim],
    prior: CalibratedPrior,
    *,
    variants: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> tuple[ClaimResult, ...]:
    """As `check_claims`, over draws that are calibrated already."""
    wanted = [c for c in claims if not c.only_for or slug in c.only_for]
    measured = _measure_all(case, slug, wanted, prior, variants, progress)
    scaled = scaled_outputs(case.mechanism_for(slug, (), variants), prior.sampled.parameter)
    separator = _Separator(prior.sampled)
    return tuple(_result(claim, slug, measured[claim.id], prior, separator, claim.output in scaled) for claim in wanted)


def scaled_outputs(mechanism: Mechanism, parameter: str) -> frozenset[str]:
    """Outputs that feel the outcome scale; a claim on any other can be judged without calibration."""
    from .kernel.symbolic import read_system

    felt = {parameter}
    for name, rule in read_system(mechanism.sbml).rules.items():
        if felt & {str(s) for s in rule.free_symbols}:
            felt.add(name)
    return frozenset(felt)


def _result(
    claim: Claim, slug: str, values: Array, prior: CalibratedPrior, separator: _Separator, needs_scale: bool
) -> ClaimResult:
    """The answer from the claim's measure: at nominal values (its first entry), and in each draw (the others)."""
    margins = claim_margin(claim, values)
    reached = prior.joined.reached[: len(values)] | (not needs_scale)
    holding = (margins >= 0) & reached
    share = float(holding[1:].mean())
    error = float(np.sqrt(share * (1 - share) / (holding.size - 1)))
    return ClaimResult(
        claim=claim,
        mechanism=slug,
        measured=float(values[0]),
        margin=float(margins[0]),
        holds=bool(holding[0]),
        share=share,
        share_error=error,
        draws=holding.size - 1,
        separating=separator.separate(holding[1:]),
        uncalibrated=not reached[0],
    )


@overload
def claim_margin(claim: Claim, measured: float) -> float: ...
@overload
def claim_margin(claim: Claim, measured: Array) -> Array: ...
def claim_margin(claim: Claim, measured: Any) -> Any:
    """Distance of measured values from the claim's threshold; positive where the claim holds, NaN where unknown.

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


class _Separator:
    """Parameters by the distance between their distributions in holding and in broken draws, sorted once for all."""

    def __init__(self, sampled: Calibrated) -> None:
        self.names = [name for name in sampled.draws.values if name != sampled.parameter]
        self.values = np.array([sampled.draws.values[name] for name in self.names]).reshape(len(self.names), -1)
        self.sorted: dict[int, tuple[NDArray[np.intp], NDArray[np.bool_]]] = {}

    def order(self, draws: int) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        """Ascending order of the first draws (parameter, draw), and whether the next value is larger."""
        if draws not in self.sorted:
            values = self.values[:, :draws]
            order = np.argsort(values, axis=1, kind="stable")
            ascending = np.take_along_axis(values, order, axis=1)
            self.sorted[draws] = order, np.diff(ascending, axis=1, append=np.inf) > 0
        return self.sorted[draws]

    def separate(self, holding: NDArray[np.bool_], most: int = 3) -> tuple[Separation, ...]:
        """The parameters that part holding from broken draws most, by the Kolmogorov-Smirnov distance.

        distance = sup_x |F_holding(x) - F_broken(x)|,  listed where its asymptotic p-value is below 0.001
        """
        true, false = int(holding.sum()), int((~holding).sum())
        if min(true, false) < 20 or not self.names:
            return ()
        from scipy.stats import kstwo

        order, last = self.order(holding.size)
        held = np.cumsum(holding[order], axis=1)
        gap = np.abs(held / true - (np.arange(1, holding.size + 1) - held) / false)
        distances = np.where(last, gap, 0.0).max(axis=1)
        found = []
        for i in np.argsort(-distances, kind="stable")[:most]:
            if kstwo.sf(distances[i], round(true * false / (true + false))) < 1e-3:
                values = self.values[i, : holding.size]
                higher = float(np.median(values[holding])) > float(np.median(values[~holding]))
                found.append(Separation(self.names[i], float(distances[i]), higher))
        return tuple(found)


# --- measuring -------------------------------------------------------------------------------------------------------


@dataclass
class _Asked:
    """What the claims want to know of one condition: outputs, moments [h], and for how many draws."""

    condition: Condition
    mechanism: Mechanism
    draws: int
    outputs: set[str]
    moments: set[float]


def is_chronic(case: Case, claim: Claim) -> bool:
    """Whether a condition of the claim takes a chronic regimen, so that each draw costs a hundredfold."""
    return any(case.regimen(condition.regimen).is_chronic for condition in claim.conditions)


def _measure_all(
    case: Case,
    slug: str,
    claims: Sequence[Claim],
    prior: CalibratedPrior,
    variants: Mapping[str, str] | None,
    progress: Progress | None,
) -> dict[str, Array]:
    """Each claim's measure at nominal values and for each draw; conditions that claims share are simulated once."""
    draws = prior.joined.draws
    most = {c.id: min(draws.size, 1 + CHRONIC_DRAWS) if is_chronic(case, c) else draws.size for c in claims}
    asked: dict[Condition, _Asked] = {}
    for claim in claims:
        for condition in claim.conditions:
            if condition not in asked:
                mechanism = case.mechanism_for(slug, case.regimen(condition.regimen).drugs, variants)
                asked[condition] = _Asked(condition, mechanism, 0, set(), set())
            one = asked[condition]
            _check_output(claim, one.mechanism)
            one.draws = max(one.draws, most[claim.id])
            one.outputs.add(claim.output)
            one.moments.update(map(float, claim_times(claim)))
    curves: dict[tuple[Condition, str], tuple[Array, Array]] = {}
    for i, one in enumerate(asked.values()):
        if progress is not None:
            progress(i, len(asked))
        times = np.array(sorted({min(0.0, *one.moments), *one.moments}))  # a run begins at 0 or before
        arm = condition_arm(case, one.condition)
        some = draws.take(np.arange(one.draws))
        run = simulate(one.mechanism, {"arm": arm}, times, draws=some, outputs=sorted(one.outputs))
        for name in one.outputs:
            curves[one.condition, name] = (times, run[name].to_numpy()[0, :, 0, :])
    return {claim.id: _measure(claim, curves, most[claim.id]) for claim in claims}


def claim_models(
    case: Case, slug: str, claims: Iterable[Claim], variants: Mapping[str, str] | None = None
) -> tuple[Mechanism, ...]:
    """The models that the claims ask for, each once, to be compiled side by side."""
    conditions = dict.fromkeys(k for c in claims if not c.only_for or slug in c.only_for for k in c.conditions)
    models = [case.mechanism_for(slug, case.regimen(k.regimen).drugs, variants) for k in conditions]
    return tuple({(m.sbml, m.inputs): m for m in models}.values())


def _check_output(claim: Claim, mechanism: Mechanism) -> None:
    known = {*mechanism.outputs, *mechanism.state_units}
    if claim.output not in known:
        raise ClaimError(
            f'claim "{claim.id}", key output: {mechanism.slug} has no output "{claim.output}"'
            f"{near_miss(claim.output, known)}"
        )


def condition_arm(case: Case, condition: Condition) -> Arm:
    """An arm under the case's default trial table."""
    return Arm(case.regimen(condition.regimen), case.spell_out(condition.probes), case.trial)


def claim_times(claim: Claim) -> Array:
    """Moments [h] at which a claim reads its output; a window is read on a grid that is denser near time 0.

    Where the last value alone counts, the end of the window is its only moment.
    """
    if claim.at is not None:
        return np.array([claim.at])
    if claim.within is None:
        raise ClaimError(f'claim "{claim.id}": give `at` or `within`')
    if claim.statistic == "last":
        return np.array([claim.within[1]])
    low, high = np.arcsinh(np.array(claim.within))
    inner = np.sinh(np.linspace(low, high, WINDOW_POINTS)[1:-1])
    return np.array([claim.within[0], *inner, claim.within[1]])


def _measure(claim: Claim, curves: Mapping[tuple[Condition, str], tuple[Array, Array]], draws: int) -> Array:
    """The claim's measure for the first draws, from the curves of its conditions."""
    readings = [_reading(claim, *curves[condition, claim.output])[:draws] for condition in claim.conditions]
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
