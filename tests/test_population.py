"""Virtual patients and draws: the stated spread, the stated centre, the same numbers for the same seed."""

from __future__ import annotations

import math

import numpy as np
import pytest

from antagony.errors import SimulationError
from antagony.parameters import Parameter, Prior
from antagony.population import draw_parameters, sample_population


def row(name: str, *, bsv: float = 0.0, law: str = "log-normal", prior: Prior | None = None) -> Parameter:
    return Parameter(
        id=name,
        name=name,
        nominal=prior.median if prior else 1.0,
        unit="dimensionless",
        estimate=prior is not None,
        prior=prior,
        bsv=bsv,
        bsv_distribution=law,
        grade="assumed",
        source="",
        note="",
        file="made up",
        line=1,
    )


def test_between_subject_spread_is_what_the_table_says() -> None:
    rows = [row("a", bsv=0.3), row("b", bsv=0.6, law="log-normal-mean"), row("c", bsv=0.5, law="normal")]
    people = sample_population(rows, 8192, seed=1)
    a, b, c = (people.factors[name] for name in "abc")
    error = 4 / math.sqrt(8192)  # four standard errors of a mean of unit spread; Sobol points do far better
    assert np.median(a) == pytest.approx(1, abs=0.3 * error * 1.3)
    assert a.std() / a.mean() == pytest.approx(0.3, abs=0.3 * error)
    assert b.mean() == pytest.approx(1, abs=0.7 * error)
    assert np.log(b).std() == pytest.approx(0.6, abs=0.6 * error)
    assert (c.mean(), c.std()) == pytest.approx((1, 0.5), abs=0.5 * error)
    assert abs(np.corrcoef(np.log(a), np.log(b))[0, 1]) < error


def test_the_order_of_rows_changes_nothing_and_the_seed_does() -> None:
    rows = [row("a", bsv=0.3), row("b", bsv=0.2)]
    first = sample_population(rows, 64, seed=5).factors
    second = sample_population(rows[::-1], 64, seed=5).factors
    for name in "ab":
        np.testing.assert_array_equal(first[name], second[name])
    assert not np.array_equal(first["a"], sample_population(rows, 64, seed=6).factors["a"])


def test_draws_follow_their_priors() -> None:
    rows = [row("u", prior=Prior("uniform", (2, 4))), row("l", prior=Prior("log-uniform", (0.1, 10))), row("fixed")]
    draws = draw_parameters(rows, 4096, seed=2)
    assert set(draws.values) == {"u", "l"}
    assert draws.values["u"].min() >= 2
    assert draws.values["u"].max() <= 4
    assert draws.values["u"].mean() == pytest.approx(3, abs=4 * 0.58 / 64)
    assert np.median(draws.values["l"]) == pytest.approx(1, rel=0.05)


def test_draws_can_be_taken_and_replaced() -> None:
    draws = draw_parameters([row("u", prior=Prior("uniform", (0, 1)))], 8, seed=1)
    kept = draws.take(draws.values["u"] > 0.5)
    assert kept.size == np.count_nonzero(draws.values["u"] > 0.5)
    assert (kept.values["u"] > 0.5).all()
    with pytest.raises(SimulationError, match="one a draw"):
        draws.replace(u=np.zeros(3))


def test_a_population_that_keeps_some_factors_has_the_same_patients() -> None:
    laws = ("normal", "log-normal", "log-normal-mean")
    rows = [row(f"p{i}", bsv=0.1 * (i + 1), law=law) for i, law in enumerate(laws)]
    whole = sample_population(rows, 300, seed=4)
    some = sample_population(rows, 300, seed=4, only={"p1", "p2"})
    assert sorted(some.factors) == ["p1", "p2"]
    assert all(np.array_equal(some.factors[name], whole.factors[name]) for name in some.factors)
