"""Posterior and normaliser of likelihoods that cost a batch of simulations: adaptive tempered sequential Monte Carlo.

The prior is a standard normal in `dimensions`; whoever calls maps z to parameters. The likelihood comes in parts, which
are raised one after the other: what is known after the first part is read before the second begins. The particles live
on islands that never mix. They share only the tuning: each island's proposals are fitted to the others, for a cloud
that moves by its own covariance contracts; and the spread between islands is the error. Every particle of every
temperature is kept, and `pool` makes of them one weighted sample of the prior.

    power of part 0   0  .02  ..  1   1  ..  1      a level is one such column,
    power of part 1   0   0   ..  0  .1  ..  1      the same for all islands
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import root_scalar

from ..errors import PosteriorError

Array = NDArray[np.float64]
Evaluate = Callable[[Array], tuple[Array, Array]]
"""z (particle, dimension) -> log likelihood of each part (particle, part), payload (particle, ...) kept beside it."""

STREAM = 31  # parts this module's random numbers from those that others draw under the same seed
FEWEST_MOVES = 2
PLAIN_EVERY = 3  # each third move refers to the prior, the others to the cloud: it frees what the fit leaves out
REDRAWN = 2.0  # mean squared distance between independent draws, in variances
ACCEPTED = 0.3  # share of moves that the step is steered to
TAILS = 5.0  # degrees of freedom of the reference fitted to the cloud
TINY = 1e-6  # least variance of a reference, where a cloud has none
HOPELESS = "failed or have zero likelihood; take more particles or nearer priors, or see why simulations fail"


@dataclass(frozen=True, slots=True)
class Tempered:
    """Every particle that one run kept, level by level, and the normaliser of each level.

    `z` (draw, dimension), `payload` (draw, ...), `log_parts` (draw, part; -inf where the likelihood is zero), `level`
    and `island` (draw). `powers` (level, part): all 0 at first, all 1 at last. `log_normaliser` (level, island): log of
    the integral of prior * prod likelihood_p ** power_p [nat], 0 at first. `acceptance` (level): share of moves
    accepted, NaN at level 0, which is drawn from the prior. `moves` (level). `failures`: evaluations whose likelihood
    was not a number, taken as zero likelihood.
    """

    z: Array
    payload: Array
    log_parts: Array
    level: NDArray[np.int64]
    island: NDArray[np.int64]
    powers: Array
    log_normaliser: Array
    acceptance: Array
    moves: NDArray[np.int64]
    evaluations: int
    failures: int

    @property
    def islands(self) -> int:
        """How many islands there are."""
        return self.log_normaliser.shape[1]

    @property
    def log_marginal(self) -> Array:
        """Log probability of the data of the first p + 1 parts together (part) [nat]; differences are conditional."""
        ends = np.argmax(self.powers == 1.0, axis=0)
        return log_sum(self.log_normaliser[ends]) - math.log(self.islands)


def temper(
    evaluate: Evaluate,
    dimensions: int,
    *,
    parts: int,
    particles: int = 256,
    islands: int = 4,
    keep: float = 0.5,
    moves: int = 20,
    seed: int | Sequence[int],
    progress: Callable[[Array, float], None] | None = None,
) -> Tempered:
    """Carry a cloud of particles from the standard normal prior to the posterior (del_moral_2006).

        Z_(l+1) / Z_l = mean_particle likelihood_p ** (power_(l+1) - power_l)            on each island

    Each level: raise the power until a share `keep` of the particles still counts, resample, then move every particle,
    at least twice, at most `moves` times, until along each axis of the cloud the squared steps, summed over the moves,
    average what separates independent draws. `particles` on each of `islands`; all are evaluated at once.
    `progress(powers, log_normaliser)` is told after each level. Same seed, same bits. Raises PosteriorError where an
    island has no particle with a likelihood, or a likelihood is infinite.
    """
    if islands < 2:
        raise PosteriorError(f"{islands} island cannot fit its proposals to another, nor show an error; take 2 or more")
    rng = np.random.default_rng([*np.atleast_1d(seed).tolist(), STREAM])
    likelihood = _Likelihood(evaluate, parts)
    cloud = likelihood(rng.standard_normal((islands, particles, dimensions)))
    powers, log_z, steps = np.zeros(parts), np.zeros(islands), _Steps()
    levels = [_Level(cloud, powers, log_z, math.nan, 0)]
    for part in range(parts):
        while powers[part] < 1:
            log_part = cloud.log_parts[..., part]
            power = raise_power(log_part, float(powers[part]), keep=keep)
            importance, gain = _weigh_islands((power - powers[part]) * log_part)
            powers, log_z = np.where(np.arange(parts) == part, power, powers), log_z + gain
            references = _fit_to_others(cloud.z, importance)
            chosen = np.array([resample(w, float(rng.random())) for w in importance])
            cloud, acceptance, made = _diversify(cloud.take(chosen), powers, likelihood, references, steps, moves, rng)
            levels.append(_Level(cloud, powers, log_z, acceptance, made))
            if progress is not None:
                progress(powers, float(log_sum(log_z) - math.log(islands)))
    return _gather(levels, likelihood)


def raise_power(log_likelihood: Array, power: float, *, keep: float = 0.5) -> float:
    """Raise the likelihood's power until only a share `keep` of the particles still counts (del_moral_2006).

        importance_i ~ likelihood_i ** (next - power),    keep = (sum importance)^2 / (possible * sum importance^2)

    `log_likelihood` of all particles -> the next power [0-1]. Zero likelihoods (-inf) leave at the first step, whatever
    its size; `possible` are the others. Raises PosteriorError where there is none.
    """
    possible = log_likelihood[log_likelihood > -np.inf]
    if not possible.size:
        raise PosteriorError(f"all {log_likelihood.size} particles {HOPELESS}")
    relative = possible - possible.max()  # else every importance underflows to 0

    def spare(step: float) -> float:
        importance = np.exp(step * relative)
        return importance.sum() ** 2 / (importance**2).sum() - keep * importance.size

    rest = 1 - power
    if spare(rest) >= 0:
        return 1.0
    return power + root_scalar(spare, bracket=(0, rest), xtol=1e-300, rtol=1e-10).root


def resample(importance: Array, offset: float) -> NDArray[np.int64]:
    """Which particle each place of the next cloud copies: systematic, one offset [0-1) for all (kitagawa_1996).

    >>> resample(np.array([0.5, 0.0, 0.25, 0.25]), 0.5).tolist()
    [0, 0, 2, 3]
    """
    edges = np.cumsum(importance)
    places = (offset + np.arange(importance.size)) / importance.size
    return np.searchsorted(edges / edges[-1], places, side="right")


@dataclass(frozen=True, slots=True)
class Reference:
    """A distribution that moves leave unchanged: multivariate t, or normal where `tails` is infinite.

    `factor` is the symmetric root of its scale matrix, `inverse` that root's inverse.
    """

    centre: Array
    factor: Array
    inverse: Array
    tails: float

    def whiten(self, z: Array) -> Array:
        """Coordinates in which the reference is round (particle, dimension)."""
        return np.einsum("nj,ij->ni", z - self.centre, self.inverse)

    def log_density(self, white: Array) -> Array:
        """Log density at whitened coordinates, up to a constant (particle)."""
        square = (white**2).sum(axis=1)
        if math.isinf(self.tails):
            return -square / 2
        return -(self.tails + white.shape[1]) / 2 * np.log1p(square / self.tails)

    def propose(self, white: Array, step: float, rng: np.random.Generator) -> Array:
        """A step in [0-1] from whitened coordinates, reversible under the reference; 1 forgets where it came from.

            z' = m + sqrt(1 - step^2) (z - m) + step N(0, s C),      s = 1 where tails are normal (cotter_2013)
            1/s ~ Gamma((tails + dimensions) / 2, rate (tails + |z - m|^2_C) / 2)       (grumitt_2024)
        """
        noise = rng.standard_normal(white.shape)
        if not math.isinf(self.tails):
            rate = (self.tails + (white**2).sum(axis=1)) / 2
            noise /= np.sqrt(rng.standard_gamma((self.tails + white.shape[1]) / 2, len(white)) / rate)[:, None]
        moved = math.sqrt(1 - step**2) * white + step * noise
        return self.centre + np.einsum("nj,ij->ni", moved, self.factor)


def fit_reference(z: Array, importance: Array) -> Reference:
    """Multivariate t about a weighted cloud, safe with few particles in many dimensions.

        C = V diag(v ** (n / (n + dimensions))) V',    v, V eigenvalues and eigenvectors of the covariance

    n, how many particles count: the fewer, the nearer each variance comes to the prior's 1. `z` (particle, dimension),
    `importance` (particle).
    """
    share = importance / importance.sum()
    centre = np.einsum("n,ni->i", share, z)
    values, vectors = np.linalg.eigh(np.einsum("n,ni,nj->ij", share, z - centre, z - centre))
    count = 1 / (share**2).sum()
    spread = np.maximum(values, TINY) ** (count / (count + len(centre)) / 2)
    factor, inverse = (np.einsum("ik,k,jk->ij", vectors, scale, vectors) for scale in (spread, 1 / spread))
    return Reference(centre, factor, inverse, TAILS)


def log_sum(logs: Array) -> Array:
    """Log of the sum of exponentials over the last axis, -inf where all are."""
    peak = logs.max(axis=-1, keepdims=True)
    peak = np.where(np.isfinite(peak), peak, 0.0)
    with np.errstate(divide="ignore"):
        return np.log(np.exp(logs - peak).sum(axis=-1)) + peak[..., 0]


def normal_prior(dimensions: int) -> Reference:
    """The prior itself, to move by the likelihood alone."""
    identity = np.eye(dimensions)
    return Reference(np.zeros(dimensions), identity, identity, math.inf)


@dataclass(frozen=True, slots=True)
class _Cloud:
    """Particles: `z` (island, particle, dimension), `payload` (island, particle, ...), `log_parts` (.., part)."""

    z: Array
    payload: Array
    log_parts: Array

    def take(self, chosen: NDArray[np.int64]) -> _Cloud:
        """The chosen particles of each island (island, place)."""
        island = np.arange(len(chosen))[:, None]
        return _Cloud(self.z[island, chosen], self.payload[island, chosen], self.log_parts[island, chosen])

    def replace(self, other: _Cloud, where: NDArray[np.bool_]) -> _Cloud:
        """This cloud with the other's particles where the mask (island, particle) is true."""
        pairs = ((self.z, other.z), (self.payload, other.payload), (self.log_parts, other.log_parts))
        return _Cloud(*(np.where(where.reshape(where.shape + (1,) * (a.ndim - 2)), b, a) for a, b in pairs))


@dataclass(frozen=True, slots=True)
class _Level:
    cloud: _Cloud
    powers: Array
    log_normaliser: Array
    acceptance: float
    moves: int


def _gather(levels: Sequence[_Level], likelihood: _Likelihood) -> Tempered:
    """Lay the levels end to end, and in each the islands."""
    islands, particles, dimensions = levels[0].cloud.z.shape
    payload = np.stack([level.cloud.payload for level in levels])
    return Tempered(
        np.stack([level.cloud.z for level in levels]).reshape(-1, dimensions),
        payload.reshape(-1, *payload.shape[3:]),
        np.stack([level.cloud.log_parts for level in levels]).reshape(-1, likelihood.parts),
        np.repeat(np.arange(len(levels)), islands * particles),
        np.tile(np.repeat(np.arange(islands), particles), len(levels)),
        np.array([level.powers for level in levels]),
        np.array([level.log_normaliser for level in levels]),
        np.array([level.acceptance for level in levels]),
        np.array([level.moves for level in levels]),
        likelihood.evaluations,
        likelihood.failures,
    )


class _Likelihood:
    """Counts what it evaluates, and lets only numbers and -inf through."""

    def __init__(self, evaluate: Evaluate, parts: int) -> None:
        self.evaluate, self.parts = evaluate, parts
        self.evaluations = self.failures = 0

    def __call__(self, z: Array) -> _Cloud:
        """Evaluate a cloud (island, particle, dimension) at once."""
        flat = z.reshape(-1, z.shape[-1])
        log_parts, payload = self.evaluate(flat)
        if log_parts.shape != (len(flat), self.parts):
            raise PosteriorError(f"log likelihood has shape {log_parts.shape}; expected {(len(flat), self.parts)}")
        if np.isposinf(log_parts).any():
            raise PosteriorError("a log likelihood is +inf; a likelihood with a spread of 0 cannot be weighed")
        failed = np.isnan(log_parts)
        self.evaluations += len(flat)
        self.failures += int(failed.any(axis=1).sum())
        kept = np.where(failed, -np.inf, log_parts)
        return _Cloud(z, *(a.reshape(*z.shape[:2], *a.shape[1:]) for a in (payload, kept)))


class _Steps:
    """Step of each kind of move [0-1], steered by the acceptance of the moves before it."""

    def __init__(self) -> None:
        self.fitted = self.plain = 1.0

    def steer(self, plain: bool, acceptance: float) -> None:
        scale = math.exp(2 * (acceptance - ACCEPTED))
        if plain:
            self.plain = min(1.0, self.plain * scale)
        else:
            self.fitted = min(1.0, self.fitted * scale)


def _weigh_islands(log_gain: Array) -> tuple[Array, Array]:
    """Importance (island, particle), summing to 1 on each, and the gain in log normaliser (island) [nat]."""
    total = log_sum(log_gain)
    if np.isneginf(total).any():
        empty = np.isneginf(total).sum()
        raise PosteriorError(f"on {empty} of {total.size} islands all {log_gain.shape[1]} particles {HOPELESS}")
    return np.exp(log_gain - total[:, None]), total - math.log(log_gain.shape[1])


def _fit_to_others(z: Array, importance: Array) -> list[Reference]:
    """A reference for each island, fitted to all the others."""
    return [
        fit_reference(np.delete(z, i, axis=0).reshape(-1, z.shape[-1]), np.delete(importance, i, axis=0).ravel())
        for i in range(len(z))
    ]


def _diversify(
    cloud: _Cloud,
    powers: Array,
    likelihood: _Likelihood,
    references: Sequence[Reference],
    steps: _Steps,
    most: int,
    rng: np.random.Generator,
) -> tuple[_Cloud, float, int]:
    """Move until the cloud has gone as far as a redraw, or `most` times: cloud, share accepted, moves made."""
    dimensions = cloud.z.shape[-1]
    priors = [normal_prior(dimensions)] * len(references)
    apart = cloud.z - cloud.z.mean(axis=(0, 1))
    variances, axes = np.linalg.eigh(np.einsum("gni,gnj->ij", apart, apart) / apart[..., 0].size)
    gone, accepted, made = np.zeros(dimensions), 0.0, 0
    while made < most and (made < FEWEST_MOVES or (gone < REDRAWN * variances).any()):
        made += 1
        plain = made % PLAIN_EVERY == 0
        step = steps.plain if plain else steps.fitted
        moved, chance = _move(cloud, powers, likelihood, priors if plain else references, step, rng)
        steps.steer(plain, chance)
        accepted += float((moved.z != cloud.z).any(axis=-1).mean())
        gone += (np.einsum("gni,ij->gnj", moved.z - cloud.z, axes) ** 2).mean(axis=(0, 1))
        cloud = moved
    return cloud, accepted / made, made


def _move(
    cloud: _Cloud,
    powers: Array,
    likelihood: _Likelihood,
    references: Sequence[Reference],
    step: float,
    rng: np.random.Generator,
) -> tuple[_Cloud, float]:
    """One Metropolis-Hastings move of every particle by its island's reference, and the mean chance of acceptance.

    log ratio = [log prior + sum power log part - log reference](z') - the same at z,  for the proposal is reversible
    under the reference: with the prior as reference only the likelihood is left (cotter_2013).
    """
    pairs = list(zip(references, cloud.z, strict=True))
    proposed = likelihood(np.stack([reference.propose(reference.whiten(z), step, rng) for reference, z in pairs]))

    def log_target(some: _Cloud) -> Array:
        pairs = zip(references, some.z, strict=True)
        pull = np.stack([reference.log_density(reference.whiten(z)) for reference, z in pairs])
        tempered = log_terms(powers[None], some.log_parts.reshape(-1, powers.size))[0]
        return tempered.reshape(pull.shape) - (some.z**2).sum(axis=-1) / 2 - pull

    chance = np.exp(np.minimum(log_target(proposed) - log_target(cloud), 0.0))
    return cloud.replace(proposed, rng.random(chance.shape) < chance), float(chance.mean())


def log_terms(powers: Array, log_parts: Array) -> Array:
    """Tempered log likelihood (level, draw) = sum_p power_lp log_part_np, where 0 * -inf is 0."""
    terms = np.zeros((len(powers), len(log_parts)))
    for p, log_part in enumerate(log_parts.T):
        terms += np.multiply.outer(powers[:, p], log_part, where=(powers[:, p] > 0)[:, None], out=np.zeros_like(terms))
    return terms
