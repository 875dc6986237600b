"""numbalsoda: LSODA called from compiled code, restarted at every dose."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numbalsoda import lsoda, lsoda_sig
from problem import ADD, Array, Model, Problem

from . import ABSOLUTE, CannotExpressError, Solve

PACKAGES = ("numbalsoda", "numba")
ABOUT = "rates and the loop over subjects compiled by numba, LSODA with its difference Jacobian (it takes no other)"


def build(model: Model) -> Solve:
    """Compiled loop over subjects and the stretches between their doses."""
    if model.divides:
        raise CannotExpressError("it finds no roots, so it cannot see a division")
    rates = compile_rates(model)
    size, count = len(model.states), len(model.parameters)

    @numba.cfunc(lsoda_sig)
    def callback(t, u, du, p):  # noqa: ANN001, ANN202
        found = rates(t, numba.carray(u, (size,)), numba.carray(p, (count,)))
        for i, rate in enumerate(found):
            du[i] = rate

    address = callback.address
    inputs = np.array([model.parameters.index(n) for n in model.inputs], dtype=np.int64)

    @numba.njit(nogil=True)
    def many(rows, start, time, kind, target, value, times, out, rtol, atol):  # noqa: ANN001, ANN202
        for k in range(rows.shape[0]):
            p, y, now, first = rows[k].copy(), start[k].copy(), 0.0, 0
            for e in range(time.shape[1] + 1):
                last = e == time.shape[1]
                end = times[-1] if last else time[k, e]
                stop = first
                while stop < times.size and (last or times[stop] < end):
                    stop += 1
                if end > now:
                    grid = np.empty(stop - first + 2)
                    grid[0], grid[-1] = now, end
                    grid[1:-1] = times[first:stop]
                    lead = 1
                    if stop > first and grid[1] == now:
                        grid, lead = grid[1:], 0
                    if grid.size > 1 and grid[-2] == end:
                        grid = grid[:-1]
                    reached, success = lsoda(address, y, grid, data=p, rtol=rtol, atol=atol)
                    if not success:
                        break
                    for i in range(stop - first):
                        out[k, first + i] = reached[i + lead]
                    y = reached[-1].copy()
                elif last and stop > first:
                    out[k, first:stop] = y
                now, first = end, stop
                if not last:
                    if kind[k, e] == ADD:
                        y[target[k, e]] += value[k, e]
                    else:
                        p[inputs[target[k, e]]] = value[k, e]

    columns = [model.parameters.index(n) for n in model.varied]

    def solve(problem: Problem, rtol: float) -> Array:
        rows = np.tile(model.nominal, (len(problem.varied), 1))
        rows[:, columns] = problem.varied
        out = np.full((len(rows), model.times.size, size), np.nan)
        events = (problem.time, problem.kind, problem.target, problem.value)
        many(rows, problem.start, *events, model.times, out, rtol, rtol * ABSOLUTE)
        return out

    return solve


def compile_rates(model: Model) -> Any:  # noqa: ANN401 - a numba dispatcher
    """The model's rates(t, y, p) -> tuple, compiled."""
    import math

    space: dict[str, Any] = {
        "exp": math.exp,
        "log": math.log,
        "maximum": numba.njit(lambda a, b: a if a > b else b),
        "minimum": numba.njit(lambda a, b: a if a < b else b),
        "select": numba.njit(lambda c, a, b: a if c != 0.0 else b),
        "less": numba.njit(lambda a, b: 1.0 if a < b else 0.0),
        "less_equal": numba.njit(lambda a, b: 1.0 if a <= b else 0.0),
    }
    exec(model.rates, space)  # our own models' text, printed by benchmarks/rates.py
    return numba.njit(space["rates"], error_model="numpy")
