"""Tempering on posteriors of known answer: Gaussians, two modes, half a space; its errors against its own spread.

Bounds are multiples of standard errors. That of a log normaliser is known for particles drawn afresh at each level,

    se^2 = levels * (1 / keep - 1) / (particles * islands)

and a run whose moves forget only in part may exceed it; SLACK says by how much.
"""

from __future__ import annotations

import math
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import chi2, f, norm

from antagony.errors import PosteriorError
from antagony.posterior.recycling import effective_size, jackknife_error, pool
from antagony.posterior.tempering import (
    Evaluate,
    Tempered,
    fit_reference,
    log_sum,
    normal_prior,
    raise_power,
    resample,
    temper,
)

Array = NDArray[np.float64]
SLACK = 2.0  # standard error over that of perfect moves; measured 1.0 to 1.8 over 8 seeds
SIGMA = 3.3  # two-sided 1 in 1000


class Gaussian:
    """Data y = rows z + noise, z standard normal; rows are orthonormal and turned, so z are correlated when y is known.

    The first half of the data is part 0, the rest part 1. log p(y_some) = log N(y; 0, rows rows' + noise^2).
    """

    def __init__(self, dimensions: int, data: int, *, least: float = 0.1, most: float = 0.3) -> None:
        rng = np.random.default_rng(dimensions)
        self.rows = np.linalg.qr(rng.standard_normal((dimensions, dimensions)))[0][:data]
        self.noise = np.linspace(least, most, data)
        self.y = self.rows @ rng.standard_normal(dimensions)
        self.first = np.arange(data) < (data + 1) // 2

    def __call__(self, z: Array) -> tuple[Array, Array]:
        log = norm.logpdf(self.y, z @ self.rows.T, self.noise)
        return np.stack([log[:, self.first].sum(axis=1), log[:, ~self.first].sum(axis=1)], axis=1), z.copy()

    def log_marginal(self, some: NDArray[np.bool_]) -> float:
        covariance = self.rows[some] @ self.rows[some].T + np.diag(self.noise[some] ** 2)
        square = self.y[some] @ np.linalg.solve(covariance, self.y[some])
        return -(square + np.linalg.slogdet(2 * math.pi * covariance).logabsdet) / 2

    def posterior(self) -> tuple[Array, Array]:
        precision = np.eye(self.rows.shape[1]) + (self.rows.T / self.noise**2) @ self.rows
        covariance = np.asarray(np.linalg.inv(precision), dtype=float)
        return covariance @ (self.rows.T @ (self.y / self.noise**2)), covariance


def ideal_error(run: Tempered, levels: int, keep: float = 0.5) -> float:
    return math.sqrt(levels * (1 / keep - 1) / np.count_nonzero(run.level == 0))


@pytest.mark.parametrize(
    ("dimensions", "data", "particles"),
    [(1, 1, 256), (5, 4, 256), (20, 10, 1024)],
)
def test_the_log_marginal_of_a_gaussian(dimensions: int, data: int, particles: int) -> None:
    gaussian = Gaussian(dimensions, data)
    run = temper(gaussian, dimensions, parts=2, particles=particles, seed=1)
    ends = np.argmax(run.powers == 1, axis=0)
    truth = [gaussian.log_marginal(gaussian.first), gaussian.log_marginal(np.ones(data, dtype=bool))]
    for found, true, levels in zip(run.log_marginal, truth, ends, strict=True):
        assert abs(found - true) < min(0.2, SIGMA * SLACK * ideal_error(run, int(levels)))


def test_a_small_cloud_in_twenty_dimensions() -> None:
    """256 particles on each of 4 islands, 10 of 20 directions known to 0.1-0.3: also the posterior's moments."""
    gaussian = Gaussian(20, 10)
    run = temper(gaussian, 20, parts=2, seed=1)
    weights = pool([run])
    value, error = weights.log_mean(weights.log_parts.sum(axis=1))
    bound = SIGMA * SLACK * ideal_error(run, len(run.powers) - 1)
    assert error < bound
    assert abs(value - gaussian.log_marginal(np.ones(10, dtype=bool))) < bound
    centre, covariance = gaussian.posterior()
    last = run.z[run.level == run.level[-1]]
    miss = (last.mean(axis=0) - centre) @ np.linalg.solve(covariance, last.mean(axis=0) - centre) * len(last)
    assert miss < chi2.isf(0.001, 20) * SLACK**2 * 2  # each move forgets in part: as if every second were new
    spread = np.einsum("ni,ij,nj->n", last - centre, np.linalg.inv(covariance), last - centre).mean() / 20
    assert abs(spread - 1) < 0.2


def test_two_modes_of_unequal_mass() -> None:
    """likelihood = 3/4 N(z; a, s) + 1/4 N(z; -a, s): the first mode holds 3/4, and a third of that is not 1/4."""
    centre, sd = np.array([1.5, 1.5]), 0.15

    def evaluate(z: Array) -> tuple[Array, Array]:
        modes = [norm.logpdf(z, sign * centre, sd).sum(axis=1) for sign in (1, -1)]
        return np.logaddexp(math.log(0.75) + modes[0], math.log(0.25) + modes[1])[:, None], z.copy()

    run = temper(evaluate, 2, parts=1, particles=512, seed=1)
    weights = pool([run])
    truth = norm.logpdf(centre, 0, math.sqrt(1 + sd**2)).sum()  # both modes lie equally far out
    given = weights.log_parts[:, 0]
    value, error = weights.log_mean(given)
    assert abs(value - truth) < SIGMA * SLACK * ideal_error(run, len(run.powers) - 1)
    with np.errstate(divide="ignore"):
        share, share_error = weights.log_mean(np.log((run.z.sum(axis=1) > 0).astype(float)), given)
    assert 0 < share_error < 0.15 and error < 0.15
    # each level redraws which mode a particle is of: binomial, levels times
    bound = math.sqrt((len(run.powers) - 1) * (0.25 / 0.75) / np.count_nonzero(run.level == 0))
    assert abs(share - math.log(0.75)) < SIGMA * SLACK * bound


@pytest.fixture(scope="module")
def pooled() -> tuple[Gaussian, list[Tempered], Array]:
    gaussian = Gaussian(5, 4)
    runs = [temper(gaussian, 5, parts=2, seed=(3, replicate)) for replicate in range(2)]
    return gaussian, runs, np.random.default_rng(5).standard_normal((1000, 5))


def test_the_pool_stands_for_the_prior(pooled: tuple[Gaussian, list[Tempered], Array]) -> None:
    gaussian, runs, extra = pooled
    weights = pool(runs, gaussian(extra)[0])
    z = np.concatenate([*(run.z for run in runs), extra])
    importance = np.exp(weights.log_importance)
    assert importance.sum() == pytest.approx(1, abs=1e-9)
    assert weights.replicate.max() == 7
    size = effective_size(weights.log_importance)
    assert size > 3000  # at least the draws from the prior themselves: 2 runs * 1024 + 1000
    np.testing.assert_allclose(np.einsum("n,ni->i", importance, z), 0, atol=SIGMA * SLACK / math.sqrt(size))
    covariance = np.einsum("n,ni,nj->ij", importance, z, z)
    np.testing.assert_allclose(covariance, np.eye(5), atol=SIGMA * SLACK * math.sqrt(2 / size))


@pytest.mark.parametrize("part", [0, 1])
def test_one_part_alone_is_read_from_the_pool(pooled: tuple[Gaussian, list[Tempered], Array], part: int) -> None:
    """Part 1 alone was nobody's target: its mass must come from the levels where part 0 has little power."""
    gaussian, runs, extra = pooled
    weights = pool(runs, gaussian(extra)[0])
    value, error = weights.log_mean(weights.log_parts[:, part])
    truth = gaussian.log_marginal(gaussian.first if part == 0 else ~gaussian.first)
    bound = SIGMA * ideal_error(runs[0], len(runs[0].powers) - 1) / math.sqrt(len(runs))
    assert abs(value - truth) < bound < 0.2
    assert error < bound
    conditional, _ = weights.log_mean(weights.log_parts[:, part], weights.log_parts[:, 1 - part])
    both, _ = weights.log_mean(weights.log_parts.sum(axis=1))
    assert conditional == pytest.approx(both - weights.log_mean(weights.log_parts[:, 1 - part])[0], abs=1e-9)


def test_the_pool_solves_its_own_normalisers(pooled: tuple[Gaussian, list[Tempered], Array]) -> None:
    """At the solution each level's normaliser, read from the weights, gives back those weights."""
    _, runs, _ = pooled
    run = runs[0]
    weights = pool([run])
    log_terms = run.log_parts @ run.powers.T
    log_z = log_sum((weights.log_importance[:, None] + log_terms).T)
    again = -log_sum(np.log(np.bincount(run.level)) + log_terms - log_z)
    np.testing.assert_allclose(weights.log_importance, again - log_sum(again), atol=1e-6)


def test_zero_likelihood_leaves_no_hole_in_the_pool() -> None:
    """Zero on half the space: those draws still stand for half of the prior, through the prior's level alone."""
    run = temper(half_space(-np.inf), 2, parts=2, seed=1)
    weights = pool([run])
    zero = np.isneginf(run.log_parts[:, 0])
    assert np.isfinite(weights.log_importance).all()
    assert set(run.level[zero]) == {0}
    assert np.exp(log_sum(weights.log_importance[zero])) == pytest.approx(0.5, abs=SIGMA * 0.5 / math.sqrt(1024))


def half_space(outside: float) -> Evaluate:
    """log N(1; z0, 0.5) where z0 > 0, else as given; part 1 is log N(0; z1, 0.5) everywhere."""

    def evaluate(z: Array) -> tuple[Array, Array]:
        inside = np.where(z[:, 0] > 0, norm.logpdf(1.0, z[:, 0], 0.5), outside)
        return np.stack([inside, norm.logpdf(0.0, z[:, 1], 0.5)], axis=1), z.copy()

    return evaluate


@pytest.mark.parametrize("outside", [np.nan, -np.inf])
def test_what_fails_counts_as_zero(outside: float) -> None:
    """p = N(1; 0, 1.25) * P(z0 > 0 | 1), where z0 | 1 is N(0.8, 0.2); then N(0; 0, 1.25)."""
    run = temper(half_space(outside), 2, parts=2, seed=1)
    first = norm.logpdf(1.0, 0, math.sqrt(1.25)) + norm.logcdf(0.8 / math.sqrt(0.2))
    truth = np.array([first, first + norm.logpdf(0.0, 0, math.sqrt(1.25))])
    assert np.abs(run.log_marginal - truth).max() < SIGMA * SLACK * math.sqrt(len(run.powers) / 1024)
    assert run.evaluations == 1024 * (1 + run.moves.sum())
    if math.isnan(outside):
        assert 0.4 * 1024 < run.failures < run.evaluations
        assert not np.isnan(run.log_parts).any()
    else:
        assert run.failures == 0
    assert (run.z[run.level > 0, 0] > 0).all()


@pytest.mark.parametrize("value", [-np.inf, np.nan])
def test_no_likelihood_anywhere_raises(value: float) -> None:
    with pytest.raises(PosteriorError, match=r"all 1024 particles failed .* take more particles"):
        temper(lambda z: (np.full((len(z), 1), value), z), 2, parts=1, seed=1)


def test_an_island_without_likelihood_raises() -> None:
    def evaluate(z: Array) -> tuple[Array, Array]:
        return np.where(np.arange(len(z)) < 10, 0.0, -np.inf)[:, None], z

    with pytest.raises(PosteriorError, match="on 3 of 4 islands all 256 particles failed"):
        temper(evaluate, 2, parts=1, seed=1)


@pytest.mark.parametrize(
    ("evaluate", "islands", "message"),
    [
        (lambda z: (np.full((len(z), 1), np.inf), z), 4, r"\+inf; a likelihood with a spread of 0"),
        (lambda z: (np.zeros(len(z)), z), 4, "log likelihood has shape"),
        (lambda z: (np.zeros((len(z), 1)), z), 1, "take 2 or more"),
    ],
)
def test_what_cannot_be_weighed_raises(evaluate: Evaluate, islands: int, message: str) -> None:
    with pytest.raises(PosteriorError, match=message):
        temper(evaluate, 2, parts=1, islands=islands, seed=1)


def test_nothing_cannot_be_pooled() -> None:
    with pytest.raises(PosteriorError, match="nothing to pool"):
        pool([])


def test_the_same_seed_gives_the_same_bits() -> None:
    gaussian = Gaussian(5, 4)
    first, again, other = (temper(gaussian, 5, parts=2, seed=seed) for seed in (1, 1, 2))
    for name in ("z", "payload", "log_parts", "level", "powers", "log_normaliser", "acceptance"):
        assert getattr(first, name).tobytes() == getattr(again, name).tobytes(), name
    assert pool([first]).without.tobytes() == pool([again]).without.tobytes()
    assert first.log_marginal[0] != other.log_marginal[0]


@pytest.mark.slow
def test_the_number_of_threads_changes_no_bit() -> None:
    code = (
        "from test_tempering import *; run = temper(Gaussian(20, 10), 20, parts=2, moves=4, seed=1);"
        "print(hash((run.z.tobytes(), pool([run]).without.tobytes())))"
    )

    def outcome(threads: int) -> str:
        names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
        environment = {**dict.fromkeys(names, str(threads)), "PYTHONHASHSEED": "0"}
        call = [sys.executable, "-c", code]  # -c looks for modules where it runs
        run = subprocess.run(call, env=environment, cwd=Path(__file__).parent, capture_output=True, check=True)
        return run.stdout.decode()

    assert outcome(1) == outcome(2) != ""


def test_every_draw_keeps_its_payload() -> None:
    """The payload here is z itself, so a draw that got another's is seen; likewise its likelihood."""
    gaussian = Gaussian(5, 4)
    run = temper(gaussian, 5, parts=2, seed=1)
    np.testing.assert_array_equal(run.payload, run.z)
    np.testing.assert_allclose(run.log_parts, gaussian(run.z)[0], rtol=1e-12)


def test_parts_are_raised_in_turn() -> None:
    told = []
    run = temper(Gaussian(5, 4), 5, parts=2, seed=1, progress=lambda powers, log_z: told.append((*powers, log_z)))
    assert (run.powers[0] == 0).all() and (run.powers[-1] == 1).all()
    assert (np.diff(run.powers, axis=0) >= 0).all()
    assert (run.powers[run.powers[:, 0] < 1, 1] == 0).all()
    np.testing.assert_array_equal(np.array(told)[:, :2], run.powers[1:])
    assert told[-1][2] == run.log_marginal[-1]


@pytest.mark.parametrize("step", [0.3, 1.0])
@pytest.mark.parametrize("fitted", [False, True])
def test_a_reference_is_left_unchanged(fitted: bool, step: float) -> None:
    """Proposals reversible under the reference: E[g(z) h(z')] = E[h(z) g(z')] for draws z of it."""
    rng, dimensions, size = np.random.default_rng(1), 3, 200_000
    reference = normal_prior(dimensions)
    if fitted:
        some = rng.standard_normal((400, dimensions)) * [0.1, 0.5, 1] + [1, 2, 3]
        reference = fit_reference(some, np.ones(400))
    scale = 1 if math.isinf(reference.tails) else np.sqrt(reference.tails / rng.chisquare(reference.tails, (size, 1)))
    before = rng.standard_normal((size, dimensions)) * scale
    after = reference.whiten(reference.propose(before, step, rng))
    g, h = (lambda x: np.tanh(x[:, 0])), (lambda x: np.exp(-((x - 0.5) ** 2).sum(axis=1)))
    difference = g(before) * h(after) - h(before) * g(after)
    assert abs(difference.mean()) < SIGMA * difference.std() / math.sqrt(size)
    for test in (g, h, lambda x: np.minimum((x**2).sum(axis=1), 9)):
        change = test(after) - test(before)
        assert abs(change.mean()) < SIGMA * change.std() / math.sqrt(size)


@pytest.mark.parametrize("spread", [1.0, 1e3, 1e9])
def test_the_power_keeps_its_share(spread: float) -> None:
    log_likelihood = -spread * np.random.default_rng(1).chisquare(3, 500)
    log_likelihood[:100] = -np.inf
    power = raise_power(log_likelihood, 0.0, keep=0.5)
    assert effective_size(power * log_likelihood) == pytest.approx(0.5 * 400, rel=1e-6) or power == 1


def test_resampling_copies_by_importance() -> None:
    rng = np.random.default_rng(1)
    importance = rng.dirichlet(np.ones(50))
    copies = np.mean([np.bincount(resample(importance, rng.random()), minlength=50) for _ in range(2000)], axis=0)
    assert np.abs(copies - 50 * importance).max() < SIGMA * 0.5 / math.sqrt(2000) * 1.5  # a count's sd is at most 1/2


def test_the_jackknife_of_a_mean_is_its_standard_error() -> None:
    values = np.random.default_rng(1).standard_normal(7)
    left_out = np.array([np.delete(values, i).mean() for i in range(7)])
    assert jackknife_error(left_out) == pytest.approx(values.std(ddof=1) / math.sqrt(7))
    assert jackknife_error(np.array([1.0, -np.inf])) == math.inf


@pytest.mark.parametrize("read", [lambda w: w.log_parts.sum(axis=1), lambda w: w.log_parts[:, 0]])
def test_the_stated_error_is_the_spread_over_seeds(read: Callable) -> None:
    """Variance over 20 seeds to mean squared jackknife error: F(19, 60), for each of 20 errors has 3 degrees."""
    found = []
    for seed in range(20):
        weights = pool([temper(Gaussian(3, 3), 3, parts=2, particles=128, seed=seed)])
        found.append(weights.log_mean(read(weights)))
    values, errors = np.array(found).T
    ratio = values.var(ddof=1) / (errors**2).mean()
    assert f.ppf(0.0005, 19, 60) < ratio < f.isf(0.0005, 19, 60)


@pytest.mark.proof
def test_dynesty_agrees_on_a_bent_posterior() -> None:
    """Five dimensions, the second bent by the square of the first: nested sampling states its error, so do we."""
    dynesty = pytest.importorskip("dynesty", reason="the second tool is in the extra `dev`")

    def log_likelihood(z: Array) -> Array:
        bent = (z[..., 1] + 1 - z[..., 0] ** 2) / 0.2
        return -(bent**2 + (((z[..., 2:] - z[..., :1] - 0.5) / 0.3) ** 2).sum(axis=-1)) / 2

    run = temper(lambda z: (log_likelihood(z)[:, None], z), 5, parts=1, seed=1)
    weights = pool([run])
    value, error = weights.log_mean(weights.log_parts[:, 0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sampler = dynesty.NestedSampler(log_likelihood, ndtri, 5, nlive=500, rstate=np.random.default_rng(1))
        sampler.run_nested(print_progress=False, dlogz=0.01)
    other, other_error = sampler.results["logz"][-1], sampler.results["logzerr"][-1]
    assert 0 < error < 0.15 and 0 < other_error < 0.15
    assert abs(value - other) < SIGMA * math.hypot(error, other_error)
