"""The comparison's own parts: the model builds, an engine agrees with another, the error measure can fail."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))

import engines
import problem


def test_the_error_measure_is_zero_for_equal_values_and_sees_a_planted_error() -> None:
    values = np.random.default_rng(1).random((4, 5, 3)) + 1
    assert problem.error(values, values) == (0.0, 0.0)
    planted = values.copy()
    planted[:, 2, 1] *= 1.01
    assert problem.error(planted, values)[0] > 0.003


def test_events_come_in_order_and_each_infusion_ends() -> None:
    some = problem.make_problem(50, 28)
    assert (np.diff(some.time, axis=1) >= 0).all()
    assert some.time.shape == (50, 84)
    assert (some.value[:, -1] == 0).all()


def test_the_kernel_agrees_with_libroadrunner_on_the_bench_model() -> None:
    pytest.importorskip("roadrunner")
    two = problem.make_problem(2)
    ours, theirs = engines.antagony(1e-9)(two), engines.libroadrunner(1e-9, 2)(two)
    assert problem.error(ours, theirs)[1] < 1e-5
