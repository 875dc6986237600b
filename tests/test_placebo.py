"""The placebo course: a Weibull fall with linear recovery (gomeni_2009) against its closed form."""

from __future__ import annotations

import antimony
import numpy as np
import pytest

from antagony.case import Case
from antagony.kernel.build import build_kernel
from antagony.readout import late_parameters
from antagony.simulation import Arm, simulate

START = 1.5  # h
TIMES = np.unique(np.r_[0.0, START, START + np.geomspace(1e-9, 1000.0, 200)])


def course(case: Case, **values: float) -> np.ndarray:
    arm = Arm(values={**case.trial, "trial_start": START, **values})
    run = simulate(case.mechanism("none"), {"placebo": arm}, TIMES, outputs=["placebo_growth"])
    return run["placebo_growth"].to_numpy()[0, 0, 0]


@pytest.mark.parametrize("recovery", [0.0, 1e-3])
@pytest.mark.parametrize("shape", [0.5, 1.0, 1.3, 2.0])
def test_the_course_meets_its_closed_form(case: Case, shape: float, recovery: float) -> None:
    elapsed = np.maximum(TIMES - START, 0.0)
    expected = -np.expm1(-((elapsed / 20.0) ** shape)) - recovery * elapsed
    got = course(case, placebo_time=20.0, placebo_shape=shape, placebo_recovery=recovery)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-12)
    assert (got[TIMES <= START] == 0).all()


def test_shipped_values_keep_the_plain_exponential(case: Case) -> None:
    time = case.shared["placebo_time"].nominal
    expected = 1 - np.exp(-np.maximum(TIMES - START, 0.0) / time)
    np.testing.assert_allclose(course(case), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["placebo_shape", "placebo_recovery"])
def test_the_course_moves_no_state(case: Case, name: str) -> None:
    assert name in late_parameters(case.mechanism("none"))


def test_a_rate_that_used_the_course_would_stay_finite_at_its_start() -> None:
    """x' = exp(-sqrt(t)), whose slope in time has no bound at 0:  x = 2 - 2*(1 + sqrt(t))*exp(-sqrt(t))."""
    antimony.clearPreviousLoads()
    assert antimony.loadAntimonyString("model m\nshape = 0.5; x' = exp(-((max(0, time - 1))^shape)); x = 0\nend") >= 0
    kernel = build_kernel(str(antimony.getSBMLString("m")))
    times = 1.0 + np.array([0.0, 1e-6, 0.01, 1.0, 9.0])
    solution = kernel.solve(np.array([kernel.defaults]), times, start=1.0, outputs=["x"], rtol=1e-10, atol=1e-12)
    root = np.sqrt(times - 1)
    assert solution.status[0] == 0
    np.testing.assert_allclose(solution.values[0, :, 0], 2 - 2 * (1 + root) * np.exp(-root), rtol=1e-7, atol=1e-10)
