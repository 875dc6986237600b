"""Every particle that tempering kept, and draws of the prior, as one weighted sample of the prior.

    w_n ~ 1 / sum_l n_l exp(sum_p power_lp log_part_pn - log Z_l)          the deterministic mixture of all levels

From it any question is read: a study left out, a range narrowed, a date. Errors come from leaving out replicates.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import PosteriorError
from .tempering import Tempered, log_sum, log_terms

Array = NDArray[np.float64]

SUBSTITUTIONS = 5


@dataclass(frozen=True, slots=True)
class Pool:
    """Draws of several runs, and any straight from the prior after them, as one weighted sample of the prior.

    Rows are the runs' draws in the order given, then the prior's. `log_importance` (draw): logs of weights that sum to
    1. `replicate` (draw): the island of which run a draw is of, counted through; those from the prior are dealt out in
    turn. `without` (replicate, draw): the same weights had that replicate never been, -inf on its own draws.
    """

    log_parts: Array
    replicate: NDArray[np.int64]
    log_importance: Array
    without: Array

    def log_mean(self, values: Array, given: Array | None = None) -> tuple[float, float]:
        """Log of the mean of exp(values) over the prior, or over prior * exp(given), and its Monte-Carlo error [nat].

            log sum_n w_n exp(values_n + given_n) - log sum_n w_n exp(given_n)

        With the summed log parts it is the log marginal likelihood; with one study as `values` and the others as
        `given`, log p(study | others). Error by leaving out one replicate at a time and weighing the rest anew:
        infinite where one of them alone holds all that counts. It is blind to places where no draw is: see
        `effective_size(log_importance + given)` before trusting it.
        """
        base = np.zeros(len(values)) if given is None else given
        weights = np.vstack([self.log_importance[None], self.without]) + base
        top, bottom = log_sum(weights + values), log_sum(weights)
        with np.errstate(invalid="ignore"):
            estimates = top - bottom  # NaN where both are zero
        return float(estimates[0]), jackknife_error(estimates[1:])


def pool(runs: Sequence[Tempered], prior_log_parts: Array | None = None) -> Pool:
    """Make one weighted sample of the prior from all that several runs kept: balance heuristic (shirts_chodera_2008).

        w_n ~ 1 / sum_l n_l exp(sum_p power_lp log_part_pn - log Z_l),      Z_l = sum_n w_n likelihood_n at level l

    The normalisers are solved anew from all draws. `prior_log_parts` (draw, part): further draws straight from the
    prior. A draw of zero likelihood counts through the levels at which its part has power 0. Levels were chosen in
    view of the particles, which biases by less than the error.
    """
    if not runs:
        raise PosteriorError("nothing to pool; give at least one run")
    extra = np.empty((0, runs[0].powers.shape[1])) if prior_log_parts is None else prior_log_parts
    log_parts = np.concatenate([*(run.log_parts for run in runs), extra])
    replicates = np.cumsum([0, *(run.islands for run in runs)])
    own = [run.island + first for run, first in zip(runs, replicates, strict=False)]
    replicate = np.concatenate([*own, np.arange(len(extra)) % replicates[-1]])
    powers, label = np.unique(np.concatenate([run.powers for run in runs]), axis=0, return_inverse=True)
    numbers = np.split(label, np.cumsum([len(run.powers) for run in runs])[:-1])
    levels = [number[run.level] for run, number in zip(runs, numbers, strict=True)]
    level = np.concatenate([*levels, np.zeros(len(extra), dtype=int)])
    guess = np.zeros(len(powers))
    guess[label] = np.concatenate([run.log_normaliser.mean(axis=1) for run in runs])
    terms = log_terms(powers, log_parts)
    log_z, whole = _weigh(terms, level, guess)
    without = np.full((replicates[-1], len(log_parts)), -np.inf)
    for left_out in range(len(without)):
        rest = replicate != left_out
        without[left_out, rest] = _weigh(terms[:, rest], level[rest], log_z)[1]
    return Pool(log_parts, replicate, whole, without)


def jackknife_error(estimates: Array) -> float:
    """Standard error of an estimate from its values with one replicate left out (replicate) (efron_stein_1981).

        error^2 = (n - 1) / n * sum_r (estimate_r - mean)^2

    Infinite where leaving one out leaves nothing.

    >>> round(jackknife_error(np.array([1.5, 2.0, 2.5])), 4)  # of the mean of 3, 2, 1: sd / sqrt(3)
    0.5774
    """
    count = estimates.size
    if not np.isfinite(estimates).all():
        return math.inf
    return math.sqrt((count - 1) / count * ((estimates - estimates.mean()) ** 2).sum())


def effective_size(log_importance: Array) -> float:
    """How many equally weighted draws would average as well: (sum w)^2 / sum w^2 (kong_1992).

    >>> round(effective_size(np.log([1.0, 1.0, 2.0])), 3)
    2.667
    """
    weight = np.exp(log_importance - log_importance.max())
    return float(weight.sum() ** 2 / (weight**2).sum())


def _weigh(terms: Array, level: NDArray[np.int64], log_z: Array) -> tuple[Array, Array]:
    """Solve the normalisers from a first guess: log Z (level), log weights (draw) (shirts_chodera_2008).

        sum_n share_ln = n_l,    share_ln = n_l exp(terms_ln - log Z_l) / sum_k n_k exp(terms_kn - log Z_k)

    `terms` (level, draw); level 0 is the prior, whose Z is 1. Newton's method on a convex function, after a few
    rounds of plain substitution, which alone would need hundreds.
    """
    count = np.bincount(level, minlength=len(terms)).astype(float)
    for attempt in range(100):
        logs = terms + (np.log(count) - log_z)[:, None]
        log_mixture = log_sum(logs.T)
        share = np.exp(logs - log_mixture)
        total = share.sum(axis=1)
        if attempt < SUBSTITUTIONS:
            change = np.log(total / count)
            change -= change[0]
        else:
            slope = np.diag(total + 1e-9 * count) - np.einsum("ln,kn->lk", share, share)
            change = np.append(0.0, np.clip(np.linalg.solve(slope[1:, 1:], (total - count)[1:]), -1, 1))
        if np.abs(change).max() < 1e-9:
            return log_z, -log_mixture - log_sum(-log_mixture)
        log_z = log_z + change
    raise PosteriorError("the normalisers do not settle: levels hardly overlap; take more particles or a higher `keep`")
