"""Expected information against closed forms: Gaussians of known overlap, signs counted by hand; and its own errors.

Two Gaussians of one covariance are told apart by a single number, their distance d in SDs: the log Bayes factor is
normal with mean d^2/2 and variance d^2 under the truth (royall_2000). Draws enter as points (all equal) or as clouds
(Gaussian themselves, so the marginal is Gaussian too).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.stats import multivariate_normal, norm

from antagony.errors import PosteriorError
from antagony.planning import information
from antagony.planning.information import (
    GROUPS,
    NO_EFFECTS,
    Effects,
    Evidence,
    Expected,
    Figure,
    Judged,
    Rival,
    judge,
    judge_signs,
    log_density_by_group,
    simulate_results,
    summarise,
)

Array = NDArray[np.float64]
SIGMA = 3.5  # errors are known from 7 degrees of freedom only: 1 in 100 of single comparisons lies beyond
TINY = 1e-3  # of a trapezium, and of bits whose error is 0
EVEN = {"a": 0.5, "b": 0.5}


def noise(contrasts: int) -> Array:
    """A covariance of one patient's contrasts (contrast, contrast)."""
    root = np.random.default_rng(contrasts).standard_normal((contrasts, contrasts))
    return 20 * (root @ root.T + np.eye(contrasts))


def expect(mean: Array, covariance: Array, load: Array, group: NDArray[np.int64] | None = None) -> Expected:
    """Draws of equal weight with these means (draw, contrast), one covariance and one load, dealt to all groups."""
    draws, contrasts = mean.shape
    dealt = np.arange(draws) % GROUPS if group is None else group
    covariances = np.broadcast_to(covariance, (draws, contrasts, contrasts))
    return Expected(mean, covariances, np.broadcast_to(load, mean.shape), np.full(draws, 1 / draws), dealt)


def cloud(seed: int, centre: float | Array, contrasts: int = 1, *, draws: int = 192, spread: float = 0.5) -> Expected:
    """Draws whose means are Gaussian about a centre."""
    mean = centre + spread * np.random.default_rng(seed).standard_normal((draws, contrasts))
    return expect(mean, noise(contrasts), np.linspace(1, 0.2, contrasts))


def score(
    members: Mapping[str, Expected],
    effects: Effects = NO_EFFECTS,
    n: float = 40,
    *,
    priors: Mapping[str, float] | None = None,
    world: Mapping[str, Expected] | None = None,
    size: int = 512,
    seed: int = 1,
    bound: float = 10.0,
) -> Evidence:
    """Evidence where each rival has one member, all equally probable unless said otherwise."""
    chances = priors or dict.fromkeys(members, 1 / len(members))
    rivals = [Rival(name, chances[name], {name: 1.0}) for name in members]
    return summarise(
        judge(rivals, world or members, members, effects, effects, n, size=size, seed=seed), n, bound=bound
    )


def assert_close(found: Figure, truth: float) -> None:
    assert abs(found.value - truth) < SIGMA * found.error + TINY, (found, truth)


def distance_figures(distance: float, prior: float, bound: float) -> tuple[float, float, float, float]:
    """Bits, decisive, misleading, posterior of N(0, 1) with this prior against N(distance, 1)."""

    def both(x: float) -> tuple[float, float]:
        return prior * float(norm.pdf(x)), (1 - prior) * float(norm.pdf(x, distance))

    def bits(x: float) -> float:
        p, q = both(x)
        return p * math.log2(p / (p + q) / prior) + q * math.log2(q / (p + q) / (1 - prior))

    def posterior(x: float) -> float:
        p, q = both(x)
        return (p**2 + q**2) / (p + q)

    found = [quad(f, -9, 9 + distance, points=(0, distance), epsabs=1e-9)[0] for f in (bits, posterior)]
    reach = math.log(bound)
    decisive = norm.cdf(distance / 2 - reach / distance)
    misleading = norm.cdf(-reach / distance - distance / 2)
    return found[0], float(decisive), float(misleading), found[1]


# --- closed forms ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sd", [0.0, 0.8])
@pytest.mark.parametrize("contrasts", [1, 3])
@pytest.mark.parametrize("spread", [0.0, 0.5])  # between draws: 0 for points
def test_two_gaussians_are_told_apart_as_far_as_their_distance_says(spread: float, contrasts: int, sd: float) -> None:
    n, prior, bound, shift = 40.0, 0.3, 4.0, np.array([1.6, -0.9, 0.6])[:contrasts]
    members = {
        name: cloud(k, k * shift, contrasts, draws=800 if spread else 16, spread=spread) for k, name in enumerate("ab")
    }
    load = members["a"].load[0]
    covariance = noise(contrasts) / n + spread**2 * np.eye(contrasts) + sd**2 * np.outer(load, load)
    distance = math.sqrt(shift @ np.linalg.solve(covariance, shift))
    found = score(members, Effects(np.array([sd]), np.ones(1)), n, priors={"a": prior, "b": 1 - prior}, bound=bound)
    bits, decisive, misleading, posterior = distance_figures(distance, prior, bound)
    assert bits > 0.1
    assert 0 < found.bits.error < 0.06
    assert_close(found.bits, bits)
    assert_close(found.decisive, decisive)
    assert_close(found.misleading, misleading)
    assert_close(found.posterior, posterior)
    for pair in (("a", "b"), ("b", "a")):
        assert found.pairs[pair] == pytest.approx((decisive, misleading), abs=0.1)


def test_the_sd_between_trials_is_integrated_over_its_law() -> None:
    effects, n = Effects(np.array([0.0, 0.5, 2.0]), np.array([0.2, 0.5, 0.3])), 80.0
    members = {"a": cloud(1, 0.0, spread=0), "b": cloud(2, 1.5, spread=0)}
    spreads = np.sqrt(noise(1)[0, 0] / n + effects.sds**2)

    def bits(x: float) -> float:
        p, q = (float(effects.weights @ norm.pdf(x, centre, spreads)) for centre in (0, 1.5))
        return sum(r / 2 * math.log2(2 * r / (p + q)) for r in (p, q))

    assert_close(score(members, effects, n, size=1024).bits, quad(bits, -20, 20, limit=400, points=(0, 1.5))[0])


@pytest.mark.parametrize("contrasts", [1, 2, 3])
@pytest.mark.parametrize("sds", [(0.0,), (0.0, 0.7, 3.0), (100.0, 0.1)])
def test_densities_are_those_of_a_second_tool(contrasts: int, sds: tuple[float, ...]) -> None:
    rng, draws, n = np.random.default_rng(5), 20, 33.5
    roots = rng.standard_normal((draws, contrasts, contrasts))
    weight = rng.dirichlet(np.ones(draws))
    weight[3], weight[4] = 0, weight[3] + weight[4]
    model = Expected(
        rng.standard_normal((draws, contrasts)),
        roots @ roots.transpose(0, 2, 1) + 0.1 * np.eye(contrasts),
        rng.standard_normal((draws, contrasts)),
        weight,
        rng.choice([0, 2, 5], draws),
    )
    effects = Effects(np.array(sds), np.full(len(sds), 1 / len(sds)))
    results = np.concatenate([rng.standard_normal((5, contrasts)), np.full((1, contrasts), 300.0)])
    logs, mass = log_density_by_group(results, model, effects, n)
    for g in range(GROUPS):
        terms = [
            math.log(weight[d] * v) + multivariate_normal.logpdf(results, model.mean[d], covariance)
            for d in np.flatnonzero((model.group == g) & (weight > 0))
            for sd, v in zip(effects.sds, effects.weights, strict=True)
            for covariance in [model.covariance[d] / n + sd**2 * np.outer(model.load[d], model.load[d])]
        ]
        wanted = np.logaddexp.reduce(terms, axis=0) if terms else np.full(len(results), -np.inf)
        np.testing.assert_allclose(logs[:, g], wanted, rtol=1e-6)
        assert mass[g] == pytest.approx(weight[model.group == g].sum())
    assert np.isfinite(logs[-1, [0, 2, 5]]).all()  # 300 SDs off, and no group lost beside another


def test_densities_hold_where_noise_is_nothing_beside_the_spread_of_trials() -> None:
    """Along the load the SD is that of trials, across it that of the noise, a million times less."""
    model = expect(np.zeros((1, 2)), 1e-12 * np.eye(2), np.ones(2))
    along, across = np.array([0.3, -2.0, 1.0]), np.array([0.0, 1e-6, -2e-6])
    results = np.stack([along + across, along - across], axis=1) / math.sqrt(2)
    logs, _ = log_density_by_group(results, model, Effects(np.array([1.0]), np.ones(1)), 1)
    wanted = norm.logpdf(along, scale=math.sqrt(2)) + norm.logpdf(across, scale=1e-6)
    np.testing.assert_allclose(logs[:, 0], wanted, rtol=1e-6)


def test_results_have_the_spread_of_draws_noise_and_trials() -> None:
    model, n = cloud(3, 2.0, 3), 25.0
    size = 20_000
    results, draw = simulate_results(
        model, Effects(np.array([0.0, 2.0]), np.full(2, 0.5)), n, size, np.random.default_rng(1)
    )
    load = model.load[0]
    wanted = noise(3) / n + np.cov(model.mean.T, ddof=0) + 2.0 * np.outer(load, load)
    spread = np.sqrt(np.diag(wanted))
    assert (np.abs(results.mean(axis=0) - model.mean.mean(axis=0)) < 4 * spread / math.sqrt(size)).all()
    assert (np.abs(np.cov(results.T) - wanted) < 5 * np.outer(spread, spread) * math.sqrt(2 / size)).all()
    assert np.ptp(np.bincount(draw, minlength=192)) <= 3  # stratified


# --- rivals that are alike, or could not be more different -----------------------------------------------------------


@pytest.mark.parametrize("contrasts", [1, 3])
def test_a_copy_of_a_rival_tells_nothing(contrasts: int) -> None:
    members = {"a": cloud(1, 0.0, contrasts), "b": cloud(1, 0.0, contrasts)}
    found = score(members)
    assert (found.bits.value, found.bits.error) == pytest.approx((0, 0), abs=1e-12)
    assert found.decisive.value == found.misleading.value == 0
    assert found.posterior.value == pytest.approx(0.5)


@pytest.mark.parametrize("contrasts", [1, 3])
@pytest.mark.parametrize("n", [20.0, 200.0])
def test_two_halves_of_one_rival_tell_nothing(contrasts: int, n: float) -> None:
    found = score({"a": cloud(1, 0.0, contrasts, draws=384), "b": cloud(2, 0.0, contrasts, draws=384)}, n=n)
    assert abs(found.bits.value) < SIGMA * found.bits.error
    assert found.bits.error < 0.05


@pytest.mark.parametrize("contrasts", [1, 3])
def test_opposites_are_told_apart_for_certain(contrasts: int) -> None:
    priors = {"a": 0.5, "b": 0.3, "c": 0.2}
    found = score({name: cloud(k, 100.0 * k, contrasts) for k, name in enumerate("abc")}, priors=priors)
    assert found.bits.value == pytest.approx(-sum(p * math.log2(p) for p in priors.values()), abs=1e-6)
    assert (found.decisive.value, found.posterior.value) == pytest.approx((1, 1))
    assert found.misleading.value == 0


def test_contrasts_without_spread_or_told_twice_still_have_a_density() -> None:
    zero, one = np.zeros((16, 2)), np.zeros((2, 2))
    still = {name: expect(zero + k, one, np.ones(2)) for k, name in enumerate("ab")}
    assert score(still).bits.value == pytest.approx(1)
    assert score(still, Effects(np.array([0.5]), np.ones(1))).bits.value < 0.9  # but one trial's shift blurs it
    mean = np.random.default_rng(1).standard_normal((64, 1))
    once = {name: expect(mean + k, np.eye(1), np.ones(1)) for k, name in enumerate("ab")}
    twice = {name: expect(np.tile(mean + k, 2), np.ones((2, 2)), np.ones(2)) for k, name in enumerate("ab")}
    assert score(twice, n=1).bits.value == pytest.approx(score(once, n=1).bits.value, abs=0.1)


# --- misleading evidence ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bound", [2.0, 10.0])
@pytest.mark.parametrize("contrasts", [1, 3])
@pytest.mark.parametrize("shift", [0.3, 1.0, 2.5])
def test_a_known_world_misleads_at_most_once_in_bound(shift: float, contrasts: int, bound: float) -> None:
    members = {name: cloud(k, k * shift, contrasts) for k, name in enumerate("abc")}
    found = score(members, Effects(np.array([0.0, 1.0]), np.full(2, 0.5)), bound=bound)
    assert found.misleading.value <= 1 / bound + SIGMA * found.misleading.error
    assert found.misleading.value <= found.decisive.value


def test_a_world_unlike_the_analysis_can_mislead_more_often() -> None:
    members = {name: cloud(k, 2.0 * k) for k, name in enumerate("ab")}
    moved = {name: cloud(k, 2.0) for k, name in enumerate("ab")}  # carry-over brings a to where b is expected
    found = score(members, world=moved, bound=10.0)
    assert found.misleading.value > 0.1 + SIGMA * found.misleading.error
    assert found.pairs["a", "b"][1] > 0.3
    assert found.pairs["b", "a"][1] < 0.1


# --- what must not matter --------------------------------------------------------------------------------------------


def test_units_of_contrasts_do_not_matter() -> None:
    members = {name: cloud(k, 0.7 * k, 3) for k, name in enumerate("ab")}
    unit = np.array([1e-4, 1.0, 1e5])
    scaled = {
        name: Expected(m.mean * unit, m.covariance * np.outer(unit, unit), m.load * unit, m.weight, m.group)
        for name, m in members.items()
    }
    effects = Effects(np.array([0.5, 1.5]), np.full(2, 0.5))
    one, other = score(members, effects), score(scaled, effects)
    assert other.bits.value == pytest.approx(one.bits.value, abs=1e-6)
    assert other.decisive == one.decisive


def test_the_order_of_rivals_does_not_matter() -> None:
    members = {name: cloud(k, 0.7 * k) for k, name in enumerate("abc")}
    priors = {"a": 0.5, "b": 0.3, "c": 0.2}
    one, other = score(members, priors=priors), score({name: members[name] for name in "cab"}, priors=priors)
    assert other.bits.value == pytest.approx(one.bits.value, abs=1e-9)
    assert other.bits.error == pytest.approx(one.bits.error, abs=1e-9)
    assert other.pairs == {pair: pytest.approx(value) for pair, value in one.pairs.items()}


def test_another_rival_leaves_results_and_pairs_alone() -> None:
    members = {name: cloud(k, 0.7 * k, 2) for k, name in enumerate("abc")}
    few = {name: members[name] for name in "ab"}
    assert score(few).pairs == {pair: pytest.approx(score(members).pairs[pair]) for pair in (("a", "b"), ("b", "a"))}


def test_each_rival_has_a_stream_of_its_own() -> None:
    one, rivals = cloud(1, 0.0), [Rival(name, 0.5, {name: 1.0}) for name in "ab"]
    first, again, other = (
        judge(rivals, {"a": one, "b": one}, {"a": one, "b": one}, NO_EFFECTS, NO_EFFECTS, 40, size=64, seed=seed).logs
        for seed in (1, [1], [1, 67])
    )
    assert (first[:64] != first[64:]).all()
    assert (first != other).all()
    np.testing.assert_array_equal(first, again)


def test_the_size_of_a_chunk_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    model = cloud(1, 0.0, 3)
    results, _ = simulate_results(model, NO_EFFECTS, 40, 700, np.random.default_rng(1))
    whole, _ = log_density_by_group(results, model, NO_EFFECTS, 40)
    for chunk in (1, 97, 10_000):
        monkeypatch.setattr(information, "CHUNK", chunk)
        np.testing.assert_allclose(log_density_by_group(results, model, NO_EFFECTS, 40)[0], whole, rtol=1e-11)


def test_members_make_up_a_rival_by_their_shares() -> None:
    members = {name: cloud(k, 0.7 * k) for k, name in enumerate("abc")}
    mixed = [Rival("first", 0.4, {"a": 0.25, "b": 0.75}), Rival("second", 0.6, {"c": 1.0})]
    judged = judge(mixed, members, members, NO_EFFECTS, NO_EFFECTS, 40, size=256, seed=1)
    assert [judged.weight[judged.member == k].sum() for k in range(3)] == pytest.approx([0.25, 0.75, 1.0])
    both = [
        np.concatenate([np.tile(members[m].mean, (copies, 1)) for m, copies in parts])
        for parts in ((("a", 1), ("b", 3)), (("c", 1),))
    ]
    pooled = {name: expect(mean, noise(1), np.ones(1)) for name, mean in zip("xy", both, strict=True)}
    found, wanted = summarise(judged, 40), score(pooled, priors={"x": 0.4, "y": 0.6}, size=1024)
    spread = math.hypot(found.bits.error, wanted.bits.error)
    assert abs(found.bits.value - wanted.bits.value) < SIGMA * spread


def test_a_member_of_two_rivals_and_one_without_a_share_are_fine() -> None:
    members = {name: cloud(k, 0.7 * k) for k, name in enumerate("abc")}
    rivals = [Rival("first", 0.5, {"a": 0.5, "b": 0.5}), Rival("second", 0.5, {"a": 0.5, "b": 0.5, "c": 0.0})]
    judged = judge(rivals, members, members, NO_EFFECTS, NO_EFFECTS, 40, size=128, seed=1)
    assert judged.names == ("a", "b", "c")
    assert judged.member[::128].tolist() == [0, 1, 0, 1, 2]
    np.testing.assert_array_equal(judged.logs[:256], judged.logs[256:512])
    assert (judged.logs[:128] != judged.logs[128:256]).all()
    assert summarise(judged, 40).bits.value == pytest.approx(0, abs=1e-12)


# --- groups, bias and errors -----------------------------------------------------------------------------------------


def test_a_result_is_judged_without_its_own_group_where_enough_is_left() -> None:
    group = np.zeros(4, dtype=np.int64)
    mass = np.zeros((3, GROUPS))
    mass[0, :4], mass[1, :2], mass[2, 2] = 0.25, (0.95, 0.05), 1.0
    logs = np.zeros((4, 3, GROUPS))
    group[:] = 0, 1, 2, 7
    judged = Judged(logs, mass, (), ("a", "b", "c"), group, group, group, np.ones(4))
    base = information._judging(judged)
    assert [np.flatnonzero(row).tolist() for row in base[:, 0]] == [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2, 3]]
    assert [np.flatnonzero(row).tolist() for row in base[:, 1]] == [[0, 1], [0], [0, 1], [0, 1]]
    assert [np.flatnonzero(row).tolist() for row in base[:, 2]] == [[2]] * 4


@pytest.mark.parametrize("groups", [1, 2, 3, 5])
def test_fewer_groups_will_do(groups: int) -> None:
    rng = np.random.default_rng(groups)
    draws = 1 if groups == 1 else 600
    spread = 0.0 if groups == 1 else 0.5
    members = {
        name: expect(
            k + spread * rng.standard_normal((draws, 1)),
            noise(1),
            np.ones(1),
            np.arange(draws, dtype=np.int64) % groups,
        )
        for k, name in enumerate("ab")
    }
    found = score(members)
    truth, *_ = distance_figures(1 / math.sqrt(noise(1)[0, 0] / 40 + spread**2), 0.5, 10)
    assert 0.002 < found.bits.error < 0.15
    assert_close(found.bits, truth)


def test_groups_may_weigh_very_differently() -> None:
    rng = np.random.default_rng(4)
    shares = np.array([0.55, 0.3, 0.1, 0.04, 0.01])
    group = rng.choice(5, 800, p=shares)
    mean = rng.standard_normal((2, 800, 1)) * 0.5
    groups = {"a": group, "b": None}  # of b all alike
    members = {name: expect(mean[k] + k, noise(1), np.ones(1), groups[name]) for k, name in enumerate("ab")}
    found = score(members)
    assert_close(found.bits, distance_figures(1 / math.sqrt(noise(1)[0, 0] / 40 + 0.25), 0.5, 10)[0])
    assert 0 < found.bits.error < 0.2


def test_results_of_one_group_count_as_one() -> None:
    """Four results in each group, alike there: the error is that of a mean of groups, not of results."""
    group = np.repeat(np.arange(GROUPS), 4)
    step = np.random.default_rng(1).standard_normal(GROUPS)
    logs = np.zeros((2 * len(group), 2, GROUPS))
    logs[: len(group), 0] = step[group, None]
    rivals = (Rival("a", 0.5, {"a": 1.0}), Rival("b", 0.5, {"b": 1.0}))
    which, weight = np.repeat([0, 1], len(group)), np.full(2 * len(group), 1 / len(group))
    judged = Judged(logs, np.full((2, GROUPS), 1 / GROUPS), rivals, ("a", "b"), which, which, np.tile(group, 2), weight)
    gain = np.log2(2 / (1 + np.exp(-step)))  # of results of a; those of b tell nothing
    found = summarise(judged, 40)
    assert found.bits.value == pytest.approx(gain.mean() / 2)
    assert found.bits.error == pytest.approx(gain.std(ddof=1) / math.sqrt(GROUPS) / 2)


def test_the_bias_is_right_to_first_order_whatever_groups_weigh() -> None:
    """log of a mean loses half its relative variance; of the total, only as far as the mean is part of it."""
    share = np.array([0.4, 0.25, 0.2, 0.1, 0.05])
    mass, ripple = np.zeros((2, GROUPS)), np.array([1.0, -2.0, 0.5, 1.5, -3.0])
    mass[:, :5] = share
    ripple -= share @ ripple  # so that both rivals give the result the same density, 1
    logs = np.full((2, 2, GROUPS), -np.inf)
    logs[:, 0, :5], logs[:, 1, :5] = np.log(share * (1 + 1e-3 * ripple)), np.log(share)
    rivals = (Rival("a", 0.5, {"a": 1}), Rival("b", 0.5, {"b": 1}))
    which, afar = np.array([0, 1]), np.array([7, 7])  # results of a group that judges nothing
    found = summarise(Judged(logs, mass, rivals, ("a", "b"), which, which, afar, np.ones(2)), 40)
    variance = ((1e-3 * share * ripple) ** 2 / (1 - share)).sum()  # of the weighted mean, from its own groups
    lost_of_a, lost_of_b = -variance / 2 * (1 - 0.25), -variance / 2 * (0 - 0.25)
    assert found.bias == pytest.approx((lost_of_a + lost_of_b) / 2 / math.log(2), rel=0.02)


def repeat(runs: int, contrasts: int, draws: int, n: float, shift: float = 0.8) -> list[Evidence]:
    """Evidence about two clouds, drawn afresh in every run."""
    found = []
    for seed in range(runs):
        members = {name: cloud(100 * seed + k, shift * k, contrasts, draws=draws) for k, name in enumerate("ab")}
        found.append(score(members, n=n, size=128, seed=seed))
    return found


@pytest.mark.parametrize(("contrasts", "n", "shift"), [(1, 200.0, 0.8), (3, 400.0, 0.0)])
def test_the_bias_of_few_draws_is_taken_off(contrasts: int, n: float, shift: float) -> None:
    runs = repeat(150, contrasts, 32, n, shift)
    covariance, shifts = noise(contrasts) / n + 0.25 * np.eye(contrasts), np.full(contrasts, shift)
    distance = math.sqrt(shifts @ np.linalg.solve(covariance, shifts))
    truth = distance_figures(distance, 0.5, 10)[0] if shift else 0.0
    corrected = np.array([run.bits.value for run in runs])
    plain = corrected + [run.bias for run in runs]
    error = corrected.std() / math.sqrt(len(runs))
    assert plain.mean() < truth - 3 * error  # there is something to take off
    assert abs(corrected.mean() - truth) < 0.5 * abs(plain.mean() - truth)


@pytest.mark.parametrize(("contrasts", "draws", "n"), [(1, 192, 40.0), (3, 192, 40.0), (2, 64, 100.0)])
def test_the_stated_error_is_the_spread_over_seeds(contrasts: int, draws: int, n: float) -> None:
    runs = repeat(20, contrasts, draws, n)
    for figure in ("bits", "decisive", "misleading", "posterior"):
        values = np.array([getattr(run, figure).value for run in runs])
        stated = math.sqrt(np.mean([getattr(run, figure).error ** 2 for run in runs]))
        assert 0.5 < stated / values.std(ddof=1) < 2, figure


# --- signs in animals ------------------------------------------------------------------------------------------------


def signs(pattern: Sequence[Sequence[bool]]) -> NDArray[np.bool_]:
    """Hits (draw, contrast), every pattern once in each group."""
    return np.tile(np.array(pattern, dtype=bool), (GROUPS, 1))


def judged_signs(hits: Mapping[str, NDArray[np.bool_]], translation: Array, bound: float = 10.0) -> Evidence:
    """Evidence of signs where each rival has one member, all equally probable, draws of equal weight."""
    patterns = {name: len(h) // GROUPS for name, h in hits.items()}
    weights = {name: np.full(len(h), 1 / len(h)) for name, h in hits.items()}
    groups = {name: np.repeat(np.arange(GROUPS), count) for name, count in patterns.items()}
    rivals = [Rival(name, 1 / len(hits), {name: 1.0}) for name in hits]
    return judge_signs(rivals, hits, weights, groups, translation, bound=bound)


def test_one_sign_is_judged_as_by_hand() -> None:
    """Hit in 3 of 4 draws of a, in 1 of 4 of b; translation 0.6: seen with 0.8 or 0.2, so with 0.65 or 0.35."""
    hits = {"a": signs([[True], [True], [True], [False]]), "b": signs([[True], [False], [False], [False]])}
    found = judged_signs(hits, np.array([0.6]), bound=1.5)
    entropy = -(0.65 * math.log2(0.65) + 0.35 * math.log2(0.35))
    assert found.bits.value == pytest.approx(1 - entropy)
    assert found.posterior.value == pytest.approx(0.65**2 + 0.35**2)
    assert found.decisive.value == pytest.approx(0.65)  # 0.65 / 0.35 = 1.86
    assert found.misleading.value == pytest.approx(0.35)
    assert found.pairs["a", "b"] == pytest.approx((0.65, 0.35))
    assert found.bits.error == pytest.approx(0, abs=1e-12)  # groups are alike
    assert math.isnan(found.n)
    assert judged_signs(hits, np.array([0.6]), bound=2.0).decisive.value == 0


def test_signs_of_one_study_hold_in_people_together() -> None:
    """Against every outcome counted in the test; signs judged as if each had a translation of its own score less."""
    translation = np.array([0.05, 0.5, 0.95])
    patterns = {"a": [[True, True, False], [True, False, False]], "b": [[False, True, True], [False, False, False]]}
    chance = {name: [] for name in patterns}
    for name, rows in patterns.items():
        for outcome in itertools.product((False, True), repeat=3):
            terms = []
            for row, l in itertools.product(rows, translation):  # noqa: E741
                each = [l * (seen == hit) + (1 - l) / 2 for seen, hit in zip(outcome, row, strict=True)]
                terms.append(math.prod(each))
            chance[name].append(sum(terms) / len(terms))
    p, q = (np.array(chance[name]) for name in "ab")
    assert (p.sum(), q.sum()) == pytest.approx((1, 1))
    found = judged_signs({name: signs(rows) for name, rows in patterns.items()}, translation, bound=3.0)
    assert found.bits.value == pytest.approx((p @ np.log2(2 * p / (p + q)) + q @ np.log2(2 * q / (p + q))) / 2)
    assert found.posterior.value == pytest.approx(((p**2 + q**2) / (p + q)).sum() / 2)
    assert found.pairs["a", "b"] == pytest.approx((p[p > 3 * q].sum(), p[q > 3 * p].sum()))
    assert found.misleading.value <= 1 / 3


def test_signs_of_alike_rivals_tell_nothing_and_of_opposites_all() -> None:
    rng = np.random.default_rng(1)
    some = rng.random((GROUPS * 20, 3)) < 0.4
    same = judged_signs({"a": some, "b": some}, np.linspace(0.1, 0.9, 5))
    assert (same.bits.value, same.bits.error, same.decisive.value) == pytest.approx((0, 0, 0), abs=1e-12)
    apart = {"a": signs([[True, True]]), "b": signs([[False, True]]), "c": signs([[False, False]])}
    sure = judged_signs(apart, np.ones(1))
    assert sure.bits.value == pytest.approx(math.log2(3))
    assert (sure.decisive.value, sure.misleading.value, sure.posterior.value) == pytest.approx((1, 0, 1))
    assert judged_signs(apart, np.zeros(4)).bits.value == pytest.approx(0, abs=1e-12)  # nothing translates


def test_few_draws_of_signs_are_corrected_and_their_error_is_honest() -> None:
    translation, runs = np.array([0.9]), []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        runs.append(judged_signs({name: rng.random((GROUPS * 8, 3)) < 0.5 for name in "ab"}, translation))
    values, bias = np.array([run.bits.value for run in runs]), np.mean([run.bias for run in runs])
    stated = math.sqrt(np.mean([run.bits.error**2 for run in runs]))
    assert abs(values.mean()) < min(0.3 * bias, SIGMA * values.std() / math.sqrt(len(runs)))
    assert 0.5 < stated / values.std(ddof=1) < 2


def test_signs_weigh_draws_and_members_and_groups_may_be_few() -> None:
    hits = {"a": np.array([[True], [False]]), "b": np.array([[False]]), "c": np.array([[True]])}
    weights = {"a": np.array([0.7, 0.3]), "b": np.ones(1), "c": np.ones(1)}
    groups = {name: np.full(len(h), 3) for name, h in hits.items()}
    rivals = [Rival("first", 0.5, {"a": 0.5, "c": 0.5}), Rival("second", 0.5, {"b": 1.0})]
    found = judge_signs(rivals, hits, weights, groups, np.array([0.6]), bound=2.0)
    first = 0.85 * 0.8 + 0.15 * 0.2  # seen as a hit with 0.8 or 0.2
    assert found.pairs["first", "second"] == pytest.approx((first, 1 - first))
    assert found.pairs["second", "first"] == pytest.approx((0.8, 0.2))
    assert found.bias == found.bits.error == 0  # nothing to leave out: draws count as known


# --- what is refused -------------------------------------------------------------------------------------------------


def plan(
    *,
    prior: float = 0.5,
    share: float = 1.0,
    n: float = 40.0,
    size: int = 8,
    bound: float = 10.0,
    sd: float = 0.0,
    analysis: Mapping[str, Expected] | None = None,
) -> Evidence:
    """One good plan, unless changed."""
    members = {"a": cloud(1, 0.0), "b": cloud(2, 1.0)}
    rivals = [Rival("a", prior, {"a": share}), Rival("b", 0.5, {"b": 1.0})]
    effects = Effects(np.array([sd]), np.ones(1))
    judged = judge(rivals, members, analysis or members, effects, effects, n, size=size, seed=1)
    return summarise(judged, n, bound=bound)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"n": -3.0}, "patients"),
        ({"n": 0.0}, "patients"),
        ({"n": math.nan}, "patients"),
        ({"size": 0}, "results"),
        ({"prior": 0.6}, "prior probabilities"),
        ({"prior": math.nan}, "prior probabilities"),
        ({"share": 0.9}, 'members of rival "a"'),
        ({"bound": 1.0}, "bound"),
        ({"bound": math.inf}, "bound"),
        ({"analysis": {"a": cloud(1, 0.0)}}, 'member "b" has no forecast'),
        ({"analysis": {"a": cloud(1, 0.0), "b": cloud(2, 0.0, 3)}}, "same contrasts, not 1 and 3"),
        (
            {"analysis": {"a": cloud(1, 0.0), "b": expect(np.zeros((1, 1)), np.full((1, 1), -1), np.ones(1))}},
            "variance",
        ),
        ({"sd": -0.1}, "SD between trials"),
    ],
)
def test_a_plan_that_is_none_is_refused(changed: dict[str, Any], words: str) -> None:
    assert plan().bits.value > 0
    with pytest.raises(PosteriorError, match=words):
        plan(**changed)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"mean": np.array([[math.nan]])}, "no number"),
        ({"covariance": np.array([[[math.inf]]])}, "no number"),
        ({"load": np.array([[math.nan]])}, "no number"),
        ({"covariance": np.ones((1, 2, 2))}, "do not go with"),
        ({"weight": np.array([0.9])}, "sum to 1"),
        ({"weight": np.array([math.nan])}, "sum to 1"),
        ({"weight": np.array([0.5, 0.5])}, "as many weights"),
        ({"group": np.array([GROUPS])}, "numbered 0 to 7"),
    ],
)
def test_a_forecast_that_is_none_is_refused(changed: Mapping[str, Array], words: str) -> None:
    good = {"mean": np.zeros((1, 1)), "covariance": np.ones((1, 1, 1)), "load": np.ones((1, 1)), "weight": np.ones(1),
            "group": np.zeros(1, dtype=np.int64)}  # fmt: skip
    assert Expected(**good).weight.sum() == 1
    with pytest.raises(PosteriorError, match=words):
        Expected(**{**good, **changed})


def test_signs_that_are_none_are_refused() -> None:
    hits = {"a": signs([[True]]), "b": signs([[False]])}
    for translation in (np.array([1.2]), np.array([math.nan]), np.zeros(0)):
        with pytest.raises(PosteriorError, match="between 0 and 1"):
            judged_signs(hits, translation)
    with pytest.raises(PosteriorError, match="bound"):
        judged_signs(hits, np.ones(1), bound=0.5)
    with pytest.raises(PosteriorError, match="same contrasts"):
        judged_signs({"a": signs([[True]]), "b": signs([[False, True]])}, np.ones(1))
    with pytest.raises(PosteriorError, match="sum to 1"):
        one = {"a": np.ones((1, 1), dtype=bool)}
        judge_signs(
            [Rival("a", 1.0, {"a": 1.0})], one, {"a": np.full(1, 0.5)}, {"a": np.zeros(1, np.int64)}, np.ones(1)
        )
