"""The project's kernel as `simulate` calls it: compiled for the model, all subjects in one call."""

from __future__ import annotations

import numpy as np
from problem import Array, Model, Problem

from antagony.kernel.build import build_kernel
from antagony.kernel.library import Kernel, Solution

from . import ABSOLUTE, Solve

PACKAGES = ("antagony",)
ABOUT = "compiled kernel (Rodas5P over SIMD lanes, analytic Jacobian), one call for all subjects, doses as arrays"


def build(model: Model, threads: int = 1) -> Solve:
    """The kernel of a model; bits do not depend on the threads."""
    kernel = build_kernel(model.sbml, inputs=list(model.inputs))

    def solve(problem: Problem, rtol: float) -> Array:
        return follow(model, problem, rtol, kernel, threads).values

    return solve


def follow(model: Model, problem: Problem, rtol: float, kernel: Kernel | None = None, threads: int = 1) -> Solution:
    """The kernel's own account of a run: values, steps, failures."""
    kernel = kernel or build_kernel(model.sbml, inputs=list(model.inputs))
    rows = np.tile(kernel.defaults, (len(problem.varied), 1))
    rows[:, [kernel.index(name) for name in model.varied]] = problem.varied
    return kernel.solve(
        rows,
        model.times,
        events=_Doses(problem) if problem.time.shape[1] else None,
        outputs=model.states,
        rtol=rtol,
        atol=rtol * ABSOLUTE,
        threads=threads,
    )


class _Doses:
    """A problem's doses under the names that the kernel reads."""

    def __init__(self, problem: Problem) -> None:
        self.time, self.action, self.target, self.value = problem.time, problem.kind, problem.target, problem.value
