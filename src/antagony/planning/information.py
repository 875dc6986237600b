"""How well results of a trial would tell rivals apart: expected information, decisive and misleading evidence.

    y | draw  ~  sum_s v_s N(mean, covariance/n + s^2 load load')       s: SD between trials, integrated over its law
    p(y | rival) = sum over draws w p(y | draw);      bits = E log2 p(y | rival)/p(y),      rivals by their prior

Nested Monte Carlo over the same draws outside and inside (lindley_1956, rainforth_2018): a result is judged without the
groups of draws that bear its own draw's number, in every member, so that no rival has the advantage of more draws, and
two copies of one rival score exactly 0. What too few inner draws take off, b/draws to first order, is put back by
leaving out one inner group more (quenouille_1956); errors are a jackknife over groups that drops the results of a group
together with its draws, so they hold both layers. Signs in animals have so few outcomes that all are counted instead.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlogy

from ..errors import PosteriorError
from ..posterior.recycling import jackknife_error

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

GROUPS = 8
"""Groups of draws: the unit of the jackknife, and what a result's own draw is left out with."""

LEAST = 0.1
"""Share of a member's weight that must remain when a group is left out for its number; else that group stays."""

CHUNK = 512  # results judged at a time: with one group of draws they fit into a core's cache
TRACE = 1e-10  # variance added, relative to a contrast's own: what is certain, or told twice, must have a density
TOLERANCE = 1e-6  # of sums that should be one


def _check_shares(shares: Array, what: str) -> None:
    if not (np.isfinite(shares).all() and (shares >= 0).all() and abs(shares.sum() - 1) < TOLERANCE):
        raise PosteriorError(f"{what} must be at least 0 and sum to 1, not to {shares.sum():.6g}")


def _check_draws(weight: Array, group: NDArray[np.int64], draws: int) -> None:
    if weight.shape != (draws,) or group.shape != (draws,):
        raise PosteriorError(f"{draws} draws need as many weights and groups, not {weight.size} and {group.size}")
    _check_shares(weight, "weights of draws")
    if not ((group >= 0) & (group < GROUPS)).all():
        raise PosteriorError(f"groups of draws are numbered 0 to {GROUPS - 1}")


@dataclass(frozen=True, slots=True)
class Expected:
    """What the draws of one rival expect of a trial's contrasts.

    `mean` (draw, contrast); `covariance` (draw, contrast, contrast) of the estimates times the number of patients;
    `load` (draw, contrast) of one effect of the trial, or (draw, contrast, effect) of independent ones: what one point
    of SD between trials is there; `weight` (draw), sums to 1; `group` (draw) in
    0 .. GROUPS - 1: draws that share a run share a group. Draws of weight 0 count for nothing.
    """

    mean: Array
    covariance: Array
    load: Array
    weight: Array
    group: NDArray[np.int64]

    def __post_init__(self) -> None:
        """Refuse what has no density."""
        draws, contrasts = self.mean.shape
        if self.covariance.shape != (draws, contrasts, contrasts) or self.load.shape[:2] != (draws, contrasts):
            raise PosteriorError(
                f"{draws} draws of {contrasts} contrasts do not go with covariances {self.covariance.shape} "
                f"and loads {self.load.shape}"
            )
        if not all(np.isfinite(part).all() for part in (self.mean, self.covariance, self.load)):
            raise PosteriorError("a forecast that is no number; leave failed draws out")
        _check_draws(self.weight, self.group, draws)

    @property
    def loads(self) -> Array:
        """Loads (draw, contrast, effect) of every effect of a trial."""
        return self.load if self.load.ndim == 3 else self.load[:, :, None]


@dataclass(frozen=True, slots=True)
class Effects:
    """The law of the SD between trials: nodes [points] and their weights, which sum to 1."""

    sds: Array
    weights: Array

    def __post_init__(self) -> None:
        """Refuse what is no law of an SD."""
        if not (np.isfinite(self.sds).all() and (self.sds >= 0).all()):
            raise PosteriorError("an SD between trials must be a number that is not negative")
        _check_shares(self.weights, "weights of the SD between trials")


NO_EFFECTS = Effects(np.zeros(1), np.ones(1))
"""No trial differs from another."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A number with its Monte-Carlo standard error."""

    value: float
    error: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a trial of `n` patients is expected to show; `n` is NaN for signs in animals, which know no patients.

    `bits`: information about which rival, bias taken off; `bias` of the plain estimate [bits], which also tells whether
    the draws suffice: where it is no longer small, they are too sparse for so precise a trial; `decisive` and
    `misleading`: probability that the Bayes factor of the true rival against another passes the bound, and that the
    other's does, averaged over ordered pairs (true, other) equally (royall_2000: in a world that the analysis knows,
    the second is at most 1/bound); `posterior`: expected probability of the truth.
    `pairs`: (true, other) -> the two, by rival.
    """

    n: float
    bits: Figure
    bias: float
    decisive: Figure
    misleading: Figure
    posterior: Figure
    pairs: Mapping[tuple[str, str], tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Rival:
    """A class or mechanism: its `members` (name -> share within it, summing to 1), and its prior probability."""

    name: str
    prior: float
    members: Mapping[str, float]

    def __post_init__(self) -> None:
        """Refuse shares that are none."""
        _check_shares(np.array([*self.members.values()]), f'shares of the members of rival "{self.name}"')


def _check_rivals(rivals: Sequence[Rival], *known: Mapping[str, object]) -> tuple[str, ...]:
    """Names of all members, each once."""
    _check_shares(np.array([rival.prior for rival in rivals]), "prior probabilities of the rivals")
    names = tuple(dict.fromkeys(name for rival in rivals for name in rival.members))
    if lost := [name for name in names for some in known if name not in some]:
        raise PosteriorError(f'member "{lost[0]}" has no forecast')
    return names


def _check_bound(bound: float) -> None:
    if not (math.isfinite(bound) and bound > 1):
        raise PosteriorError(f"a Bayes factor decides only above a bound of more than 1, not {bound:g}")


# --- results of trials -----------------------------------------------------------------------------------------------


def simulate_results(
    world: Expected, effects: Effects, n: float, size: int, rng: np.random.Generator
) -> tuple[Array, NDArray[np.int64]]:
    """Results (result, contrast) of `size` trials of `n` patients, and their draws (result), which are stratified."""
    edges = np.cumsum(world.weight)
    places = (np.arange(size) + rng.random(size)) / size * edges[-1]
    draw = np.minimum(np.searchsorted(edges, places), len(edges) - 1)
    sd = rng.choice(effects.sds, size, p=effects.weights / effects.weights.sum())
    contrasts = world.mean.shape[1]
    factor = _factors(world, n)
    noise = np.einsum("rij,rj->ri", factor[draw], rng.standard_normal((size, contrasts)))
    loads = world.loads
    shared = sd[:, None] * np.einsum("rie,re->ri", loads[draw], rng.standard_normal((size, loads.shape[2])))
    return world.mean[draw] + noise + shared, draw


def _factors(model: Expected, n: float) -> Array:
    """Cholesky factors of covariance/n (draw, contrast, contrast), with a trace of each contrast's own variance.

    The trace is relative to the mean square of draws and noise together, contrast by contrast, so units do not matter.
    """
    variance = np.einsum("dii->di", model.covariance)
    square = model.weight @ (variance + model.mean**2)
    trace = TRACE * np.where(square > 0, square, 1.0)
    try:
        return np.asarray(np.linalg.cholesky((model.covariance + np.diag(trace)) / n), dtype=float)
    except np.linalg.LinAlgError:
        raise PosteriorError("a covariance of contrasts has a negative variance in some direction") from None


def log_density_by_group(results: Array, model: Expected, effects: Effects, n: float) -> tuple[Array, Array]:
    """Log of each result's weighted density summed over every group of draws (result, group); and weights (group).

    Whitened by the noise and turned to the axes of what trials differ in, nothing is subtracted but the mean:

        -2 log N(y; mean, covariance/n + s^2 sum load load') = sum_i a_i^2/S_i + log S_i + const,     S_i = 1 + s^2 e_i

    with a the coordinates of y - mean and e_i the squared lengths of the loads along them, however large s is. A group
    without weight has -inf; each group has a peak of its own, so that none underflows beside another.
    """
    lower = np.linalg.inv(_factors(model, n))
    along = lower @ model.loads
    lengths, turn = np.linalg.eigh(along @ along.transpose(0, 2, 1))
    white = turn.transpose(0, 2, 1) @ lower
    rows = np.concatenate([white, -white @ model.mean[:, :, None]], axis=2)  # (draw, contrast, contrast + 1)
    stretch = 1 + effects.sds[:, None, None] ** 2 * np.maximum(lengths, 0.0).T  # (node, contrast, draw)
    log_scale = np.log(np.einsum("dii->di", lower)).sum(axis=1) - 0.5 * results.shape[1] * math.log(2 * math.pi)
    padded = np.concatenate([results, np.ones((len(results), 1))], axis=1).T
    found = np.full((len(results), GROUPS), -np.inf)
    for g in np.unique(model.group[model.weight > 0]):
        some = np.flatnonzero((model.group == g) & (model.weight > 0))
        lead = (log_scale[some] + np.log(model.weight[some]))[:, None]
        table = np.ascontiguousarray(rows[some].transpose(1, 0, 2))
        for begin in range(0, len(results), CHUNK):
            part = slice(begin, begin + CHUNK)
            squares = np.square(table @ padded[:, part])  # (contrast, draw, result)
            found[part, g] = _log_mixture(squares, lead, stretch[:, :, some], effects.weights)
    return found, _masses(model.weight, model.group)


def _masses(weight: Array, group: NDArray[np.int64]) -> Array:
    """Weight of each group of draws (group)."""
    return np.bincount(group, weights=weight, minlength=GROUPS).astype(float)


def _log_mixture(squares: Array, lead: Array, stretch: Array, weights: Array) -> Array:
    """log sum over draws and nodes of exp(lead) v prod_i exp(-a_i^2/2 S_i)/sqrt(S_i) (result).

    `squares` a_i^2 (contrast, draw, result); `lead` (draw, 1); `stretch` S (node, contrast, draw); `weights` v (node).
    The widest node is taken out of the sum over nodes: it holds the largest exponent, so the rest lie in [0-1].
    """
    nodes = np.flatnonzero(weights > 0)
    nodes = nodes[np.argsort(stretch[nodes].max(axis=(1, 2)))]
    widest = stretch[nodes[-1]]
    total = np.full_like(squares[0], weights[nodes[-1]])
    total /= np.sqrt(widest.prod(axis=0))[:, None]
    for k in nodes[:-1]:
        gap = -0.5 * (1 / stretch[k] - 1 / widest)
        term = squares[0] * gap[0][:, None]
        for square, slope in zip(squares[1:], gap[1:], strict=True):
            if slope.any():
                term += square * slope[:, None]
        np.exp(term, out=term)
        term *= (weights[k] / np.sqrt(stretch[k].prod(axis=0)))[:, None]
        total += term
    power = squares[0] * (-0.5 / widest[0])[:, None]
    for square, wide in zip(squares[1:], widest[1:], strict=True):
        power += square * (-0.5 / wide)[:, None]
    power += lead
    peak = power.max(axis=0)
    power -= peak
    np.exp(power, out=power)
    power *= total
    return np.log(power.sum(axis=0)) + peak


@dataclass(frozen=True, slots=True)
class Judged:
    """Results from every rival and what each rival says of them, group by group of inner draws.

    `logs` (result, member, group): log of the density summed over a group of the member's draws; `mass` (member,
    group): their weights; `truth`, `member` and `group` (result): whence each result came; `weight` (result) sums to 1
    within each rival.
    """

    logs: Array
    mass: Array
    rivals: tuple[Rival, ...]
    names: tuple[str, ...]
    truth: NDArray[np.int64]
    member: NDArray[np.int64]
    group: NDArray[np.int64]
    weight: Array


def judge(
    rivals: Sequence[Rival],
    world: Mapping[str, Expected],
    analysis: Mapping[str, Expected],
    world_effects: Effects,
    effects: Effects,
    n: float,
    *,
    size: int,
    seed: int | Sequence[int],
) -> Judged:
    """Draw `size` results from every member of every rival in the `world`, and score them by the `analysis`.

    Each member has a random stream of its own, so that rivals and the bound may change without other results. Groups
    bear the same numbers in both mappings. Where all draws of a member share one group, they count as known (a nominal
    point has one draw): they judge their own results.
    Raises PosteriorError on priors that do not sum to 1, members without forecast and trials without patients.
    """
    names = _check_rivals(rivals, world, analysis)
    if not (math.isfinite(n) and n > 0 and size > 0):
        raise PosteriorError(f"a trial needs patients and a simulation results, not n = {n:g} and {size} results")
    if len(widths := {some[name].mean.shape[1] for some in (world, analysis) for name in names}) > 1:
        raise PosteriorError(f"all forecasts need the same contrasts, not {' and '.join(map(str, sorted(widths)))}")
    drawn: dict[str, Array] = {}
    groups: dict[str, NDArray[np.int64]] = {}
    for name in names:
        rng = np.random.default_rng([*np.atleast_1d(seed).tolist(), *name.encode()])
        drawn[name], draw = simulate_results(world[name], world_effects, n, size, rng)
        groups[name] = world[name].group[draw]
    source = [(r, names.index(name), share) for r, rival in enumerate(rivals) for name, share in rival.members.items()]
    joined = np.concatenate([drawn[name] for name in names])
    scored = [log_density_by_group(joined, analysis[name], effects, n) for name in names]
    logs = np.stack([logs for logs, _ in scored], axis=1).reshape(len(names), size, len(names), GROUPS)
    member = [m for _, m, _ in source]
    return Judged(
        logs[member].reshape(-1, len(names), GROUPS),
        np.stack([mass for _, mass in scored]),
        tuple(rivals),
        names,
        np.repeat([r for r, _, _ in source], size),
        np.repeat(member, size),
        np.concatenate([groups[names[m]] for m in member]),
        np.repeat([share / size for _, _, share in source], size),
    )


def summarise(judged: Judged, n: float, *, bound: float = 10.0) -> Evidence:
    """Bits, decisive and misleading evidence, and the expected posterior, with bias and errors.

        bias = E sum_g (1 - m_g) (gain without g - gain),      m_g: group g's share of what judges the result

    over the inner groups g of each result alone; its own is out already. Exact for b/draws, whatever the groups weigh.
    Only `bits` are corrected. Errors are the jackknife's, or those of the results' own noise where these are larger:
    few groups know their spread badly. Raises PosteriorError on a bound that is not above 1.
    """
    _check_bound(bound)
    base = _judging(judged)
    own = _own_shares(judged, base)
    logs = _log_rivals(judged, base, None)
    gain, lost = _gains(judged, logs), np.zeros(len(logs))
    without = []
    for g in _units(judged.mass, judged.group):
        fewer = _log_rivals(judged, base, g)
        lost += (1 - own[:, g]) * (_gains(judged, fewer) - gain)
        without.append(_mean(_kept_weights(judged, g), _columns(judged, fewer, bound)))
    bias = float(_mean(judged.weight * _priors(judged.rivals)[judged.truth], lost))
    columns = _columns(judged, logs, bound)
    errors = np.maximum(_errors(without), _noise(judged, columns))
    return _evidence(n, _mean(judged.weight, columns), bias, errors, _pairs(judged, logs, bound))


def _errors(without: Sequence[Array]) -> Array:
    """Jackknife error of each figure from what is found without each group (figure)."""
    return np.array([jackknife_error(column) for column in np.stack(without, axis=1)])


def _evidence(
    n: float, whole: Array, bias: float, errors: Array, pairs: dict[tuple[str, str], tuple[float, float]]
) -> Evidence:
    values = whole - np.array([bias, 0, 0, 0])
    bits, decisive, misleading, posterior = (Figure(float(v), float(e)) for v, e in zip(values, errors, strict=True))
    return Evidence(n, bits, bias, decisive, misleading, posterior, pairs)


def _units(mass: Array, *groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """Groups that hold draws of any member (mass: (member, group)), or results."""
    return np.unique(np.concatenate([np.flatnonzero(mass.any(axis=0)), *groups]))


def _priors(rivals: Sequence[Rival]) -> Array:
    return np.array([rival.prior for rival in rivals])


def _judging(judged: Judged) -> Flags:
    """Which groups judge a result (result, member, group): all but that of its own number, where enough is left."""
    share = judged.mass / judged.mass.sum(axis=1, keepdims=True)
    numbered = judged.group[:, None, None] == np.arange(GROUPS)
    return (share > 0) & ~(numbered & (1 - share >= LEAST))


def _own_shares(judged: Judged, base: Flags) -> Array:
    """Share of each group in what judges a result on behalf of its own member (result, group)."""
    mass = judged.mass[judged.member] * base[np.arange(len(base)), judged.member]
    return mass / mass.sum(axis=1, keepdims=True)


def _log_rivals(judged: Judged, base: Flags, without: int | None) -> Array:
    """log p(y | rival) (result, rival) by the groups of `base` but one; that stays where nothing else is there."""
    use = base
    if without is not None:
        use = base & (np.arange(GROUPS) != without)
        use |= base & ~use.any(axis=2, keepdims=True)
    logs = np.where(use, judged.logs, -np.inf)
    peak = logs.max(axis=2)
    logs -= peak[:, :, None]
    np.exp(logs, out=logs)
    members = np.log(logs.sum(axis=2)) + peak - np.log(np.einsum("rmg,mg->rm", use, judged.mass))
    columns = []
    for rival in judged.rivals:
        some = {judged.names.index(name): math.log(share) for name, share in rival.members.items() if share > 0}
        columns.append(np.logaddexp.reduce(members[:, [*some]] + np.array([*some.values()]), axis=1))
    return np.stack(columns, axis=1)


def _log_total(judged: Judged, logs: Array) -> Array:
    """log p(y) (result): rivals by their prior."""
    priors = _priors(judged.rivals)
    return np.logaddexp.reduce(logs[:, priors > 0] + np.log(priors[priors > 0]), axis=1)


def _gains(judged: Judged, logs: Array) -> Array:
    """log2 p(y | true rival) / p(y) (result) [bits]."""
    return (logs[np.arange(len(logs)), judged.truth] - _log_total(judged, logs)) / math.log(2)


def _columns(judged: Judged, logs: Array, bound: float) -> Array:
    """Bits, decisive, misleading, posterior of each result (result, figure), scaled so that one weighted sum is all."""
    gain = _gains(judged, logs)
    prior = _priors(judged.rivals)[judged.truth]
    factor = logs[np.arange(len(logs)), judged.truth][:, None] - logs  # 0 against itself, which never passes
    ordered = len(judged.rivals) * max(len(judged.rivals) - 1, 1)
    passed, fooled = ((sign * factor > math.log(bound)).sum(axis=1) / ordered for sign in (1, -1))
    posterior = prior * np.exp2(np.minimum(gain, 500))  # a prior of 0 may gain without end
    return np.stack([prior * gain, passed, fooled, prior * posterior], axis=1)


def _mean(weight: Array, values: NDArray) -> Array:
    """Sum of weighted values over the first axis, one after another: BLAS would share it out over its threads."""
    return np.einsum("i,i...->...", weight, values)


def _pairs(judged: Judged, logs: Array, bound: float) -> dict[tuple[str, str], tuple[float, float]]:
    """(true, other) -> probability that the Bayes factor passes the bound for the truth, and for the other."""
    found = {}
    for (i, true), (j, other) in itertools.permutations(enumerate(judged.rivals), 2):
        here = judged.truth == i
        factor, weight = logs[here, i] - logs[here, j], judged.weight[here]
        passed, fooled = (float(_mean(weight, sign * factor > math.log(bound))) for sign in (1, -1))
        found[true.name, other.name] = passed, fooled
    return found


def _noise(judged: Judged, columns: Array) -> Array:
    """Standard error (figure) as if no two results shared a draw: what a jackknife of few groups may miss."""
    count = np.bincount(judged.member, minlength=len(judged.names))
    means = np.stack([np.bincount(judged.member, weights=column, minlength=len(count)) / count for column in columns.T])
    return np.sqrt((judged.weight[:, None] ** 2 * (columns - means.T[judged.member]) ** 2).sum(axis=0))


def _kept_weights(judged: Judged, drop: int | None) -> Array:
    """Weights of results without group `drop`, those of each member scaled to its share; all stay where none would."""
    if drop is None:
        return judged.weight
    kept = judged.weight * (judged.group != drop)
    before, after = (np.bincount(judged.member, weights=w, minlength=len(judged.names)) for w in (judged.weight, kept))
    some = after > 0
    ratio = np.divide(before, after, out=np.ones_like(before), where=some)
    return np.where(some[judged.member], kept * ratio[judged.member], judged.weight)


# --- signs in animals ------------------------------------------------------------------------------------------------


def judge_signs(
    rivals: Sequence[Rival],
    hits: Mapping[str, Flags],
    weights: Mapping[str, Array],
    groups: Mapping[str, NDArray[np.int64]],
    translation: Array,
    *,
    bound: float = 10.0,
) -> Evidence:
    """What the signs of up to three contrasts in animals are expected to show: every outcome counted, none drawn.

        p(signs | rival) = sum over draws w  E over l of prod_j (l [sign_j = hit_j] + (1 - l)/2)

    `hits`, `weights`, `groups`: member -> (draw, contrast), (draw) and (draw), as in `Expected`; `translation` (node):
    l, the probability that the study's signs hold in people, at nodes of equal weight; the contrasts of one study
    share it, as where results are weighed. Draws are few against no noise: none is left out, so the plain bits are too
    high rather than too low, and the jackknife over groups takes that off to first order (quenouille_1956).
    Raises PosteriorError on draws, weights or nodes that are none, and on a bound that is not above 1.
    """
    _check_bound(bound)
    names = _check_rivals(rivals, hits, weights, groups)
    if not (translation.size and ((translation >= 0) & (translation <= 1)).all()):
        raise PosteriorError("translation probabilities must lie between 0 and 1")
    if len(widths := {hits[name].shape[1] for name in names}) > 1:
        raise PosteriorError(f"all members need signs of the same contrasts, not {sorted(widths)}")
    outcomes = np.array([*itertools.product((False, True), repeat=widths.pop())])
    tables, mass = np.zeros((len(names), GROUPS, len(outcomes))), np.zeros((len(names), GROUPS))
    for m, name in enumerate(names):
        _check_draws(weights[name], groups[name], len(hits[name]))
        agree = (hits[name][:, None, :] == outcomes)[..., None]
        chance = np.where(agree, (1 + translation) / 2, (1 - translation) / 2).prod(axis=2).mean(axis=2)
        np.add.at(tables[m], groups[name], weights[name][:, None] * chance)
        mass[m] = _masses(weights[name], groups[name])
    shares = np.array([[rival.members.get(name, 0.0) for name in names] for rival in rivals])
    everything = mass > 0
    whole, pairs = _sign_figures(rivals, shares @ _pool(tables, mass, everything), bound)
    without = []
    for g in _units(mass):
        use = everything & (np.arange(GROUPS) != g)
        use |= everything & ~use.any(axis=1, keepdims=True)
        without.append(_sign_figures(rivals, shares @ _pool(tables, mass, use), bound)[0])
    rest = 1 - (shares.T @ _priors(rivals)) @ (mass / mass.sum(axis=1, keepdims=True))
    bias = sum(rest[g] * (some[0] - whole[0]) for g, some in zip(_units(mass), without, strict=True))
    return _evidence(math.nan, whole, float(bias), _errors(without), pairs)


def _pool(tables: Array, mass: Array, use: Flags) -> Array:
    """Chance of each outcome by the groups to use (member, outcome), from `tables` (member, group, outcome)."""
    return np.einsum("mgo,mg->mo", tables, use) / (mass * use).sum(axis=1, keepdims=True)


def _sign_figures(
    rivals: Sequence[Rival], chance: Array, bound: float
) -> tuple[Array, dict[tuple[str, str], tuple[float, float]]]:
    """Bits, decisive, misleading, posterior (figure), and the pairs, from p(outcome | rival) (rival, outcome)."""
    priors = _priors(rivals)
    total = priors @ chance
    bits = priors @ xlogy(chance, chance).sum(axis=1) - xlogy(total, total).sum()
    posterior = np.divide((priors[:, None] * chance) ** 2, total, out=np.zeros_like(chance), where=total > 0).sum()
    pairs = {
        (true.name, other.name): (float(p[p > bound * q].sum()), float(p[q > bound * p].sum()))
        for (true, p), (other, q) in itertools.permutations(zip(rivals, chance, strict=True), 2)
    }
    mean = np.mean([*pairs.values()], axis=0) if pairs else np.zeros(2)
    return np.array([bits / math.log(2), *mean, posterior]), pairs
