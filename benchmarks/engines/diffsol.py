"""diffsol through pydiffsol: BDF on the model in its own language, LLVM-compiled with automatic derivatives."""

from __future__ import annotations

import numpy as np
import pydiffsol as ds
from problem import ADD, Array, Model, Problem

from . import ABSOLUTE, Solve

PACKAGES = ("pydiffsol",)
ABOUT = (
    "DiffSL compiled by LLVM, Jacobian by automatic differentiation, dense BDF; division as stop and reset in DiffSL; "
    "doses by restarts from Python, for they change an input"
)


def build(model: Model) -> Solve:
    """The compiled problem; a start at each dose."""
    if model.divides and "reset_i" not in model.diffsl:
        raise RuntimeError("the model's event has no form in DiffSL")
    ode = ds.Ode(model.diffsl, matrix_type=ds.nalgebra_dense, ode_solver=ds.bdf)
    columns = [model.parameters.index(n) for n in model.varied]
    inputs = [model.parameters.index(n) for n in model.inputs]

    def follow(p: Array, y: Array, problem: Problem, k: int, out: Array) -> None:
        now = 0.0
        for e in range(problem.time.shape[1] + 1):
            last = e == problem.time.shape[1]
            end = model.times[-1] if last else problem.time[k, e]
            here = (now <= model.times) & ((end > model.times) | last)
            grid = np.unique([*model.times[here], end])
            later = grid[grid > now]
            if later.size:
                ode.t0 = now
                rows = np.asarray(ode.solve_dense(np.concatenate([p, y]), later).ys).T
                out[here] = np.vstack([y, rows])[: here.sum()] if grid[0] == now else rows[: here.sum()]
                y = rows[-1].copy()
            now = end
            if last:
                return
            if problem.kind[k, e] == ADD:
                y[problem.target[k, e]] += problem.value[k, e]
            else:
                p[inputs[problem.target[k, e]]] = problem.value[k, e]

    def solve(problem: Problem, rtol: float) -> Array:
        ode.rtol, ode.atol, ode.h0 = rtol, rtol * ABSOLUTE, 1e-3
        out = np.full((len(problem.varied), model.times.size, len(model.states)), np.nan)
        for k in range(len(out)):
            p = model.nominal.copy()
            p[columns] = problem.varied[k]
            try:
                follow(p, problem.start[k].copy(), problem, k, out[k])
            except Exception:  # its one exception class is Exception; counted as NaN
                out[k] = np.nan
        return out

    return solve
