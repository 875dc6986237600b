"""Estimators against least squares written out, direct likelihood and textbook formulas; intervals cover."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.optimize import minimize

from antagony.errors import StudyError
from antagony.estimation import (
    Estimate,
    combine_stages,
    crossover_contrast,
    least_squares,
    mean_change,
    parallel_contrast,
    share_difference,
)


def ratings(rng: np.random.Generator, size: int, patients: int, visits: int, effect: float = 0.0) -> np.ndarray:
    """Correlated ratings (replicate, patient, 1 + visits) with a shared patient term; the effect is on every visit."""
    person = rng.normal(size=(size, patients, 1)) * 3
    drift = -np.arange(visits + 1) * 1.0
    values = 25 + person + drift + rng.normal(size=(size, patients, visits + 1)) * 2
    values[:, :, 1:] += effect
    return values


def test_without_dropout_the_contrast_is_the_analysis_of_covariance() -> None:
    rng = np.random.default_rng(1)
    first, second = ratings(rng, 3, 12, 1, -4.0), ratings(rng, 3, 9, 1)
    found = parallel_contrast(first, second)
    for r in range(3):
        y = np.concatenate([first[r, :, 1], second[r, :, 1]])
        x = np.column_stack([np.ones(21), [1] * 12 + [0] * 9, np.concatenate([first[r, :, 0], second[r, :, 0]])])
        slopes, residual, *_ = np.linalg.lstsq(x, y, rcond=None)
        covariance = residual[0] / (21 - 3) * np.linalg.inv(x.T @ x)
        np.testing.assert_allclose([found.value[r], found.se[r]], [slopes[1], covariance[1, 1] ** 0.5], rtol=1e-9)
    assert found.df.tolist() == [18, 18, 18]


def test_with_several_visits_and_nobody_lost_the_value_is_still_that_of_covariance() -> None:
    """Complete data carry the same contrast through every visit; only the way of computing it is longer."""
    rng = np.random.default_rng(2)
    first, second = ratings(rng, 4, 20, 3, -4.0), ratings(rng, 4, 20, 3)
    long, short = parallel_contrast(first, second), parallel_contrast(first[:, :, [0, 3]], second[:, :, [0, 3]])
    np.testing.assert_allclose(long.value, short.value, rtol=1e-9)
    np.testing.assert_allclose(
        long.se, short.se, rtol=0.12
    )  # other degrees of freedom and moments of the same patients


def test_monotone_dropout_gives_the_maximum_of_the_normal_likelihood() -> None:
    """Two visits, a third of the second ones missing: against the likelihood maximised without the factorisation."""
    rng = np.random.default_rng(3)
    first, second = ratings(rng, 1, 15, 2, -3.0), ratings(rng, 1, 15, 2)
    first[0, :6, 2] = np.nan
    second[0, 10:, 2] = np.nan
    found = parallel_contrast(first, second)
    data = np.concatenate([first[0], second[0]])
    arm = np.repeat([1.0, 0.0], 15)
    centred = data[:, 0] - data[:, 0].mean()

    def loss(q: np.ndarray) -> float:
        mean = np.column_stack([q[0] + q[1] * arm + q[2] * centred, q[3] + q[4] * arm + q[5] * centred])
        root = np.array([[np.exp(q[6]), 0], [q[7], np.exp(q[8])]])
        whole = root @ root.T
        total = 0.0
        for row, m in zip(data[:, 1:], mean, strict=True):
            seen = np.isfinite(row)
            s, d = whole[np.ix_(seen, seen)], (row - m)[seen]
            total += 0.5 * (np.log(np.linalg.det(s)) + d @ np.linalg.solve(s, d))
        return total

    best = minimize(loss, [24, -3, 0.5, 23, -3, 0.5, 0.5, 0.5, 0.5], method="BFGS", options={"gtol": 1e-7})
    assert found.value[0] == pytest.approx(best.x[4], abs=1e-4)
    spread = np.linalg.inv(second_derivatives(loss, best.x))[4, 4] ** 0.5
    assert found.se[0] == pytest.approx(spread / np.sqrt(15 / 19), rel=0.05)  # likelihood divides by 19 seen, not by 15
    assert found.used[0] == 19


def second_derivatives(f: Callable[[np.ndarray], float], at: np.ndarray, step: float = 1e-3) -> np.ndarray:
    """Matrix of second derivatives by central differences."""
    shifts = np.eye(len(at)) * step
    return np.array(
        [
            [(f(at + a + b) - f(at + a - b) - f(at - a + b) + f(at - a - b)) / (4 * step**2) for b in shifts]
            for a in shifts
        ]
    )


@pytest.mark.parametrize("effect", [0.0, -4.0])
def test_intervals_cover_when_leaving_depends_on_what_was_rated(effect: float) -> None:
    """Whoever is rated worse at the first visit stays away from the second: 2,000 trials of 30 v 30, nominal 95 %."""
    rng = np.random.default_rng(4)
    first, second = ratings(rng, 2000, 30, 2, effect), ratings(rng, 2000, 30, 2)
    for group in (first, second):
        leave = rng.random(group.shape[:2]) < 1 / (1 + np.exp(-(group[:, :, 1] - 24) / 2))
        group[:, :, 2][leave & (rng.random(group.shape[:2]) < 0.6)] = np.nan
    low, high = parallel_contrast(first, second).interval()
    covered = np.mean((low <= effect) & (effect <= high))
    assert 0.93 <= covered <= 0.97  # standard error of a coverage over 2,000 trials: 0.005
    naive = first[:, :, 2] - first[:, :, 0]
    biased = np.nanmean(naive) - np.nanmean(second[:, :, 2] - second[:, :, 0])
    estimate = parallel_contrast(first, second).value.mean()
    assert abs(estimate - effect) < 0.08  # SE of the mean 0.02
    assert np.isfinite(biased)


def test_a_crossover_is_the_mean_difference_of_the_sequences_and_free_of_period_effects() -> None:
    """contrast = (mean_AB(first - second) - mean_BA(first - second)) / 2, and its pooled error (hills_1979)."""
    rng = np.random.default_rng(5)
    values = rng.normal(size=(4, 11, 1)) * 5 + rng.normal(size=(4, 11, 2))
    order = np.array([[0, 1]] * 6 + [[1, 0]] * 5)
    values -= 3.0 * (order == 0)
    found = crossover_contrast(values, order, (0, 1))
    gap = values[:, :, 0] - values[:, :, 1]
    ab, ba = gap[:, :6], gap[:, 6:]
    expected = (ab.mean(1) - ba.mean(1)) / 2
    pooled = (ab.var(1, ddof=1) * 5 + ba.var(1, ddof=1) * 4) / 9
    np.testing.assert_allclose(found.value, expected, rtol=1e-9)
    np.testing.assert_allclose(found.se, np.sqrt(pooled * (1 / 6 + 1 / 5)) / 2, rtol=1e-9)
    assert found.df.tolist() == [9] * 4
    shifted = crossover_contrast(values + np.array([0.0, 100.0]), order, (0, 1))
    np.testing.assert_allclose(shifted.value, found.value, rtol=1e-9)
    np.testing.assert_allclose(crossover_contrast(values, order, (1, 0)).value, -found.value, rtol=1e-9)


def test_who_was_seen_in_one_period_only_says_nothing_in_a_crossover() -> None:
    rng = np.random.default_rng(6)
    values = rng.normal(size=(2, 10, 2))
    order = np.array([[0, 1], [1, 0]] * 5)
    values[:, 3, 1] = np.nan
    found = crossover_contrast(values, order, (0, 1))
    rest = np.delete(np.arange(10), 3)
    np.testing.assert_allclose(found.value, crossover_contrast(values[:, rest], order[rest], (0, 1)).value, rtol=1e-12)
    assert found.used.tolist() == [9, 9]


def test_three_treatments_in_three_periods_agree_with_least_squares_on_dummies() -> None:
    rng = np.random.default_rng(7)
    order = np.array([[0, 1, 2], [1, 2, 0], [2, 0, 1], [0, 2, 1]])
    values = rng.normal(size=(1, 4, 3)) + np.array([0.0, -2.0, -5.0])[order]
    rows = [(p, j, order[p, j]) for p in range(4) for j in range(3)]
    x = np.zeros((12, 4 + 2 + 2))
    for i, (p, j, t) in enumerate(rows):
        x[i, p] = 1
        if j:
            x[i, 3 + j] = 1
        if t:
            x[i, 5 + t] = 1
    slopes = np.linalg.lstsq(x, values[0].ravel(), rcond=None)[0]
    found = crossover_contrast(values, order, (2, 1))
    assert found.value[0] == pytest.approx(slopes[7] - slopes[6], rel=1e-9)
    assert found.df[0] == 12 - 8


def test_one_sequence_cannot_part_treatment_from_period() -> None:
    with pytest.raises(StudyError, match="cannot tell a treatment from a period"):
        crossover_contrast(np.zeros((1, 5, 2)), np.array([[0, 1]] * 5), (0, 1))


def test_one_arm_is_a_paired_t() -> None:
    rng = np.random.default_rng(8)
    values = rng.normal(size=(3, 14, 2))
    values[:, 5, 1] = np.nan
    found = mean_change(values)
    change = np.delete(values[:, :, 1] - values[:, :, 0], 5, axis=1)
    np.testing.assert_allclose(found.value, change.mean(1))
    np.testing.assert_allclose(found.se, change.std(1, ddof=1) / np.sqrt(13))


def test_a_trial_too_small_for_its_model_is_not_a_number_and_no_error() -> None:
    values = np.zeros((2, 1, 2))
    found = parallel_contrast(values, values)
    assert np.isnan(found.value).all()
    assert np.isnan(mean_change(values).value).all()


def test_shares_differ_within_their_interval_at_the_stated_rate() -> None:
    rng = np.random.default_rng(9)
    first, second = rng.random((4000, 25)) < 0.6, rng.random((4000, 20)) < 0.3
    low, high = share_difference(first, second).interval()
    assert 0.935 <= np.mean((low <= 0.3) & (0.3 <= high)) <= 0.975


def test_stages_are_weighed() -> None:
    stages = [
        Estimate(np.array([v]), np.array([s]), np.array([d]), np.array([9.0])) for v, s, d in ((2, 1, 8), (6, 2, 5))
    ]
    both = combine_stages(stages, [0.75, 0.25])
    assert both.value[0] == pytest.approx(3.0)
    assert both.se[0] == pytest.approx(np.hypot(0.75, 0.5))
    assert both.df[0] == 5


def test_least_squares_does_not_depend_on_the_scale_of_a_column_or_on_the_batch() -> None:
    rng = np.random.default_rng(10)
    x, y = rng.normal(size=(5, 20, 3)), rng.normal(size=(5, 20))
    seen = rng.random((5, 20)) < 0.8
    slopes, covariance, *_ = least_squares(x, y, seen)
    scaled, _, _, _ = least_squares(x * np.array([1, 1e6, 1e-6]), y, seen)
    np.testing.assert_allclose(scaled * np.array([1, 1e6, 1e-6]), slopes, rtol=1e-8)
    alone = least_squares(x[2:3], y[2:3], seen[2:3])
    np.testing.assert_array_equal(alone[0][0], slopes[2])
    np.testing.assert_array_equal(alone[1][0], covariance[2])
