"""What the answer hangs on: halves of every assumed range, and which numbers the studies teach at all.

    sweep: partial given that one assumed number lies in the lower, upper, middle or outer half of its stated range

A stated range is a bound on what a number may be, so it is narrowed and moved inside, never left.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from .answer import Learned, Number, Sweep
from .cloud import Cloud

Array = NDArray[np.float64]

HALVES = {
    "lower": lambda u: u < 0.5,
    "upper": lambda u: u >= 0.5,
    "middle": lambda u: (u >= 0.25) & (u < 0.75),
    "outer": lambda u: (u < 0.25) | (u >= 0.75),
}
"""Parts of a range, each half of its prior probability: location moved down and up, width narrowed and spread."""

TOGETHER = 6  # numbers among which combinations are sought


def sweep_priors(
    shares: Sequence[float],
    clouds: Sequence[Cloud],
    ids: Sequence[str],
    first: Sequence[str],
    sd: float,
    mix: Callable[..., Number],
) -> tuple[Sweep, ...]:
    """Each assumed number of a mechanism in each half of its range; the other numbers keep their priors."""
    pairs = [(c.value(ids, sd), c.value(first, sd)) for c in clouds]
    names = sorted({p.id for c in clouds for p in c.cube.parameters if p.grade == "assumed"})
    found = []
    for name in names:
        for part, inside in HALVES.items():
            tops, downs = [], []
            for cloud, (values, known) in zip(clouds, pairs, strict=True):
                here = inside(cloud.u[:, cloud.cube.column(name)]) if name in cloud.cube.names else None
                tops.append(cloud.log_mean(values, here))
                downs.append(cloud.log_mean(known, here))
            found.append(Sweep(name, part, mix(shares, tops, downs)))
    return tuple(found)


def learn_parameters(cloud: Cloud, values: Array) -> tuple[Learned, ...]:
    """What is learned of each number, most first, then combinations that are known better than any of their numbers."""
    weight = cloud.posterior(values)
    error = 1 / np.sqrt(max(cloud.effective_draws(values), 1.0))
    z = ndtri(np.clip(cloud.u, 1e-9, 1 - 1e-9))
    cube = cloud.cube
    columns = [cube.column(p.id) for p in cube.parameters]
    z = z[:, columns]
    mean = (weight[:, None] * z).sum(axis=0)
    variance = (weight[:, None] * (z - mean) ** 2).sum(axis=0)
    drawn = cube.draws(cloud.u).values
    singles = [
        Learned((p.id,), (1.0,), float(variance[i]), float(mean[i]), float(error), *_quantiles(drawn[p.id], weight))
        for i, p in enumerate(cube.parameters)
    ]
    singles.sort(key=lambda one: one.variance - one.shift**2)
    return (*singles, *_combinations(singles, [p.id for p in cube.parameters], z, weight, float(error)))


def weighted_quantile(values: Array, weight: Array, share: float) -> float:
    """Value below which a share of the weight lies."""
    order = np.argsort(values, kind="stable")
    edges = np.cumsum(weight[order])
    return float(values[order][np.searchsorted(edges, share * edges[-1])])


def _quantiles(values: Array, weight: Array) -> tuple[float, float, float]:
    median, low, high = (weighted_quantile(values, weight, share) for share in (0.5, 0.05, 0.95))
    return median, low, high


def _combinations(
    singles: Sequence[Learned], names: Sequence[str], z: Array, weight: Array, error: float
) -> tuple[Learned, ...]:
    """Directions among the numbers most learned whose variance is well below that of each number in them."""
    chosen = [s.parameters[0] for s in singles[:TOGETHER]]
    some = z[:, [names.index(name) for name in chosen]]
    mean = (weight[:, None] * some).sum(axis=0)
    covariance = np.einsum("d,di,dj->ij", weight, some - mean, some - mean)  # not by BLAS, whose threads move last bits
    scales, directions = np.linalg.eigh(covariance)
    found = []
    for scale, direction in zip(scales, directions.T, strict=True):
        strong = [i for i in np.argsort(-np.abs(direction)) if abs(direction[i]) > 0.3]
        least = min(float(covariance[i, i]) for i in strong)
        if len(strong) > 1 and scale < 0.7 * least - error:
            loadings = tuple(float(direction[i] * np.sign(direction[strong[0]])) for i in strong)
            moved = float(direction @ mean) * float(np.sign(direction[strong[0]]))
            found.append(Learned(tuple(chosen[i] for i in strong), loadings, float(scale), moved, error))
    return tuple(found)
