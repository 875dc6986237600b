"""Estimates from the ratings of many simulated trials at once: each function takes a leading axis of replicates.

Missing ratings are NaN. A replicate with too few patients for its model is NaN in every field, never an error: a share
of failed analyses belongs to a design's answer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from .errors import StudyError

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Estimate:
    """One estimate a replicate (replicate): value, standard error, degrees of freedom, patients who entered."""

    value: Array
    se: Array
    df: Array
    used: Array

    def interval(self, level: float = 0.95) -> tuple[Array, Array]:
        """Interval of that level (replicate): value -+ t(df) se."""
        from scipy.stats import t

        reach = t.ppf(0.5 + level / 2, np.maximum(self.df, 1)) * self.se
        return self.value - reach, self.value + reach

    def times(self, factor: float) -> Estimate:
        """The same estimate counted in another unit."""
        return replace(self, value=self.value * factor, se=self.se * factor)

    def p_value(self) -> Array:
        """Two-sided p against no difference (replicate)."""
        from scipy.stats import t

        with np.errstate(divide="ignore", invalid="ignore"):
            return 2 * t.sf(np.abs(self.value) / self.se, np.maximum(self.df, 1))


def parallel_contrast(first: Array, second: Array) -> Estimate:
    """First arm minus second at the last visit, adjusted for baseline: maximum likelihood under monotone dropout.

        y_k = a_k + d_k arm + g_k . (y_0, .., y_(k-1)) + e_k      fitted to whoever was rated at visit k
        D_k = d_k + sum_(0<j<k) g_kj D_j                          (anderson_1957)

    `first`, `second` (replicate, patient, 1 + visits), ratings at baseline and at each visit up to the one asked. The
    estimate of a mixed model for repeated measures with unstructured covariance, in closed form: right when dropout
    depends on what was rated before, not when it depends on what was not. Without dropout it is the analysis of
    covariance. Standard error by the delta method.
    """
    ratings = np.concatenate([first, second], axis=1)
    size, patients, columns = ratings.shape
    arm = np.concatenate([np.ones(first.shape[1]), np.zeros(second.shape[1])])
    effects = np.zeros((size, columns))  # D_k; at baseline, before any drug, 0
    fits = []
    for k in range(1, columns):
        seen = np.asarray(np.isfinite(ratings[:, :, : k + 1]).all(axis=2))
        filled = np.where(np.isfinite(ratings), ratings, 0.0)
        design = np.concatenate(
            [np.ones((size, patients, 1)), np.broadcast_to(arm[:, None], (size, patients, 1)), filled[:, :, :k]], axis=2
        )
        slopes, covariance, df, used = least_squares(design, filled[:, :, k], seen)
        effects[:, k] = slopes[:, 1] + (slopes[:, 3:] * effects[:, 1:k]).sum(axis=1)
        fits.append((slopes, covariance, df, used))
    weight = np.zeros((size, columns))  # how much a change of d_k moves the last D
    weight[:, -1] = 1.0
    for k in range(columns - 2, 0, -1):
        for later in range(k + 1, columns):
            weight[:, k] += weight[:, later] * fits[later - 1][0][:, 2 + k]
    variance = np.zeros(size)
    for k, (_, covariance, _, _) in enumerate(fits, start=1):
        gradient = np.zeros((size, covariance.shape[1]))
        gradient[:, 1] = weight[:, k]
        gradient[:, 3:] = weight[:, k : k + 1] * effects[:, 1:k]
        variance += np.einsum("ri,rij,rj->r", gradient, covariance, gradient)
    return Estimate(effects[:, -1], np.sqrt(variance), fits[-1][2], fits[-1][3])


def crossover_contrast(ratings: Array, treatments: NDArray[np.int64], pair: tuple[int, int]) -> Estimate:
    """Treatment minus treatment within patients, free of any period effect (hills_1979).

        y = patient + period + treatment + e,     least squares

    `ratings` (replicate, patient, period); `treatments` (patient, period) says which of them was given when. With two
    sequences of two periods this is (mean_AB(first - second) - mean_BA(first - second)) / 2. Carry-over is not removed:
    simulate it, never assume it away. Raises StudyError where the sequences cannot part treatment from period.
    """
    kinds, periods = np.unique(treatments), treatments.shape[1]
    columns = [np.equal(treatments, kind).astype(float) for kind in kinds[1:]]
    columns += [np.broadcast_to(np.arange(periods) == j, treatments.shape).astype(float) for j in range(1, periods)]
    design = np.stack(columns, axis=-1)
    whole = design - design.mean(axis=1, keepdims=True)
    if np.linalg.matrix_rank(whole.reshape(-1, design.shape[-1])) < design.shape[-1]:
        raise StudyError("these sequences cannot tell a treatment from a period; give each treatment in each period")
    seen = np.isfinite(ratings)
    seen &= seen.sum(axis=2, keepdims=True) > 1  # a patient seen once says nothing about differences
    count = np.maximum(seen.sum(axis=2, keepdims=True), 1)
    filled = np.where(seen, np.nan_to_num(ratings), 0.0)
    within = np.where(seen, filled - filled.sum(axis=2, keepdims=True) / count, 0.0)
    shown = seen[..., None] * design[None]
    shown = np.where(seen[..., None], shown - shown.sum(axis=2, keepdims=True) / count[..., None], 0.0)
    size = len(ratings)
    patients = seen.any(axis=2).sum(axis=1)
    slopes, covariance, df, _ = least_squares(
        shown.reshape(size, -1, design.shape[-1]), within.reshape(size, -1), seen.reshape(size, -1), taken=patients
    )
    contrast = np.zeros(design.shape[-1])
    for sign, kind in zip((1, -1), pair, strict=True):
        place = int(np.flatnonzero(kinds == kind)[0]) - 1
        if place >= 0:
            contrast[place] += sign
    value = slopes @ contrast
    se = np.sqrt(np.einsum("i,rij,j->r", contrast, covariance, contrast))
    return Estimate(value, se, df, patients.astype(float))


def mean_change(ratings: Array) -> Estimate:
    """Mean change from baseline at the last visit among those rated then (replicate, patient, 1 + visits)."""
    change = ratings[:, :, -1] - ratings[:, :, 0]
    seen = np.isfinite(change)
    used = seen.sum(axis=1).astype(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = np.where(seen, change, 0.0).sum(axis=1) / used
        spread = np.where(seen, (change - value[:, None]) ** 2, 0.0).sum(axis=1) / (used - 1)
        se = np.sqrt(spread / used)
    return Estimate(np.where(used > 1, value, np.nan), np.where(used > 1, se, np.nan), used - 1, used)


def share_difference(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> Estimate:
    """Difference of two shares (replicate, patient), a success and a failure added to each (agresti_caffo_2000)."""
    value = first.mean(axis=1) - second.mean(axis=1)
    parts = []
    for successes in (first, second):
        n = successes.shape[1] + 2
        share = (successes.sum(axis=1) + 1) / n
        parts.append(share * (1 - share) / n)
    size = np.full(len(value), float(first.shape[1] + second.shape[1]))
    return Estimate(value, np.sqrt(parts[0] + parts[1]), np.full(len(value), np.inf), size)


def combine_stages(stages: list[Estimate], weights: list[float]) -> Estimate:
    """Weighted sum of independent estimates, such as the stages of a sequential design (fava_2003); least df holds."""
    value = sum((w * e.value for w, e in zip(weights, stages, strict=True)), np.zeros_like(stages[0].value))
    variance = sum(((w * e.se) ** 2 for w, e in zip(weights, stages, strict=True)), np.zeros_like(value))
    return Estimate(value, np.sqrt(variance), np.min([e.df for e in stages], axis=0), stages[0].used)


def wilson(k: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Interval of a share of which k of n were seen [0-1] (wilson_1927).

    >>> [round(end, 2) for end in wilson(7, 12)], [round(end, 2) for end in wilson(5, 5)]
    ([0.32, 0.81], [0.57, 1.0])
    """
    z = NormalDist().inv_cdf((1 + level) / 2)
    share = k / n
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def least_squares(
    design: Array, outcome: Array, seen: NDArray[np.bool_], *, taken: Array | float = 0.0
) -> tuple[Array, Array, Array, Array]:
    """Ordinary least squares of each replicate over the rows seen: slopes, their covariance, df, rows.

    `design` (replicate, row, column), `outcome` and `seen` (replicate, row); `taken` degrees of freedom spent before
    (patients' own means). Columns are scaled, so that ratings and dummies solve alike; a replicate whose columns cannot
    be told apart, or without a degree of freedom left, is NaN.
    """
    x = design * seen[..., None]
    y = outcome * seen
    rows, columns = seen.sum(axis=1).astype(float), x.shape[2]
    df = rows - columns - taken
    scale = np.sqrt((x**2).sum(axis=1))
    scale = np.where(scale > 0, scale, 1.0)
    scaled = x / scale[:, None, :]
    normal = np.einsum("rni,rnj->rij", scaled, scaled)
    sound = (df >= 1) & (np.linalg.cond(normal) < 1e12)
    safe = np.where(sound[:, None, None], normal, np.eye(columns))
    inverse = np.linalg.inv(safe)
    slopes = np.einsum("rij,rj->ri", inverse, np.einsum("rni,rn->ri", scaled, y)) / scale
    residual = (y - np.einsum("rni,ri->rn", x, slopes)) * seen
    spread = (residual**2).sum(axis=1) / np.maximum(df, 1)
    covariance = spread[:, None, None] * inverse / (scale[:, :, None] * scale[:, None, :])
    slopes = np.where(sound[:, None], slopes, np.nan)
    return slopes, np.where(sound[:, None, None], covariance, np.nan), df, rows
