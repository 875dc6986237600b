"""Small adapters: each engine turns a Problem into values (subject, time, state). Peers run as they are shipped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from problem import END, INFUSED, LENGTH, SWALLOWED, TIMES, VARIED, Array, Problem, model_sbml, nominal, states

Solve = Callable[[Problem], Array]


def antagony(rtol: float, threads: int = 1) -> Solve:
    """The project's kernel; atol is 1e-3 rtol, as for every engine."""
    from antagony.kernel.build import build_kernel

    kernel = build_kernel(model_sbml(), inputs=["Rinf"])
    columns = [kernel.index(name) for name in VARIED]
    gut = kernel.states.index("Dn")

    def solve(problem: Problem) -> Array:
        rows = np.tile(kernel.defaults, (len(problem.varied), 1))
        rows[:, columns] = problem.varied
        target = np.where(problem.kind == 0, gut, 0)
        events = type(
            "Events", (), {"time": problem.time, "action": problem.kind, "target": target, "value": problem.value}
        )
        settings: dict[str, Any] = {"rtol": rtol, "atol": rtol * 1e-3, "threads": threads}
        solution = kernel.solve(rows, TIMES, events=events, outputs=states(), **settings)
        if solution.status.any():
            raise RuntimeError("a subject failed")
        return solution.values

    return solve


def libroadrunner(rtol: float, doses: int) -> Solve:
    """libRoadRunner: CVODE, doses as events of the model, one subject after another."""
    import roadrunner

    roadrunner.Logger.setLevel(roadrunner.Logger.LOG_FATAL)
    lines = []
    for i in range(doses):
        lines += [
            f"tN{i} = {1000 + i}; tK{i} = {2000 + i};",
            f"eN{i}: at (time >= tN{i}), t0=false: Dn = Dn + {SWALLOWED};",
            f"eA{i}: at (time >= tK{i}), t0=false: Rinf = {INFUSED / LENGTH!r};",
            f"eB{i}: at (time >= tK{i} + {LENGTH!r}), t0=false: Rinf = 0;",
        ]
    runner = roadrunner.RoadRunner(model_sbml("\n".join(lines)))
    runner.integrator.relative_tolerance, runner.integrator.absolute_tolerance = rtol, rtol * 1e-3
    runner.integrator.maximum_num_steps = 200_000
    runner.timeCourseSelections = states()
    ids = list(runner.model.getGlobalParameterIds())
    wanted = [*VARIED, *(f"tN{i}" for i in range(doses)), *(f"tK{i}" for i in range(doses))]
    index = [ids.index(name) for name in wanted]

    def solve(problem: Problem) -> Array:
        out = np.full((len(problem.varied), TIMES.size, len(states())), np.nan)
        tablets = np.sort(np.where(problem.kind == 0, problem.time, np.inf), axis=1)[:, :doses]
        rows = np.concatenate([problem.varied, tablets, tablets + 0.75], axis=1)
        for i, row in enumerate(rows):
            runner.reset()
            runner.model.setGlobalParameterValues(index, list(row))
            try:
                out[i] = runner.simulate(times=list(TIMES))
            except RuntimeError:  # seen: CVODE stops at the restart after an infusion starts; counted as NaN
                continue
        return out

    return solve


def _rates() -> tuple[list[str], Any]:
    """Parameter names and a numba function rates(t, y, p, dy) printed by sympy."""
    import numba
    import sympy as sp

    from antagony.kernel import symbolic

    system = symbolic.read_system(model_sbml())
    names = [n for n in system.values if n not in system.states]
    flat: dict[Any, Any] = {}
    for name, rule in system.rules.items():
        flat[symbolic.symbol(name)] = rule.xreplace(flat)
    plain = {symbolic.symbol(n): sp.Symbol(f"y{i}", positive=True) for i, n in enumerate(states())}
    plain |= {symbolic.symbol(n): sp.Symbol(f"p{i}", positive=True) for i, n in enumerate(names)}
    rates = [system.states[n].xreplace(flat).replace(symbolic.Power, sp.Pow).xreplace(plain) for n in states()]
    shared, reduced = sp.cse(rates, symbols=sp.numbered_symbols("c"))
    lines = ["def rates(t, y, p, dy):"]
    lines += [f" y{i} = y[{i}]" for i in range(len(states()))] + [f" p{i} = p[{i}]" for i in range(len(names))]
    lines += [f" {s} = {sp.pycode(e)}" for s, e in shared] + [
        f" dy[{i}] = {sp.pycode(e)}" for i, e in enumerate(reduced)
    ]
    space: dict[str, Any] = {}
    exec("import math\n" + "\n".join(lines), space)  # our own model's text, printed by sympy
    return names, numba.njit(space["rates"], error_model="numpy")


def numbalsoda(rtol: float) -> Solve:
    """numbalsoda: LSODA called from compiled code, restarted at every dose."""
    import numba
    from numbalsoda import lsoda, lsoda_sig

    names, rates = _rates()
    size, count = len(states()), len(names)

    @numba.cfunc(lsoda_sig)
    def callback(t, u, du, p):  # noqa: ANN001, ANN202
        rates(t, numba.carray(u, (size,)), numba.carray(p, (count,)), numba.carray(du, (size,)))

    address, gut, infusion = callback.address, states().index("Dn"), names.index("Rinf")

    @numba.njit(nogil=True)
    def many(rows, start, time, kind, value, times, out, rtol, atol):  # noqa: ANN001, ANN202
        for k in range(rows.shape[0]):
            p, y, now, first = rows[k].copy(), start.copy(), 0.0, 0
            for e in range(time.shape[1] + 1):
                last = e == time.shape[1]
                end = times[-1] if last else time[k, e]
                stop = first
                while stop < times.size and (last or times[stop] < end):
                    stop += 1
                grid = np.empty(stop - first + 2)
                grid[0], grid[-1] = now, end
                grid[1:-1] = times[first:stop]
                lead = 1
                if stop > first and grid[1] == now:
                    grid, lead = grid[1:], 0
                if grid.size > 1 and grid[-2] == end:
                    grid = grid[:-1]
                if grid.size > 1:
                    reached, _ = lsoda(address, y, grid, data=p, rtol=rtol, atol=atol)
                    for i in range(stop - first):
                        out[k, first + i] = reached[i + lead]
                    y = reached[-1].copy()
                now, first = end, stop
                if not last:
                    if kind[k, e] == 0:
                        y[gut] += value[k, e]
                    else:
                        p[infusion] = value[k, e]

    base = np.array([nominal()[n] for n in names])
    start = np.array([nominal()[n] for n in states()])
    columns = [names.index(n) for n in VARIED]

    def solve(problem: Problem) -> Array:
        rows = np.tile(base, (len(problem.varied), 1))
        rows[:, columns] = problem.varied
        out = np.empty((len(rows), TIMES.size, size))
        many(rows, start, problem.time, problem.kind, problem.value, TIMES, out, rtol, rtol * 1e-3)
        return out

    return solve


def pydiffsol(rtol: float) -> Solve:
    """diffsol through Python: its BDF on the model in its own language, a Python loop over stretches between doses."""
    import pydiffsol as ds
    import sympy as sp

    from antagony.kernel import symbolic

    system = symbolic.read_system(model_sbml())
    names = [n for n in system.values if n not in system.states]
    flat: dict[Any, Any] = {}
    for name, rule in system.rules.items():
        flat[symbolic.symbol(name)] = rule.xreplace(flat)

    def letters(head: str, i: int) -> str:
        return head + "".join(chr(97 + int(digit)) for digit in str(i))

    plain = {symbolic.symbol(n): sp.Symbol(letters("xv", i), positive=True) for i, n in enumerate(states())}
    plain |= {symbolic.symbol(n): sp.Symbol(letters("pv", i), positive=True) for i, n in enumerate(names)}
    rates = [system.states[n].xreplace(flat).replace(symbolic.Power, sp.Pow).xreplace(plain) for n in states()]
    shared, reduced = sp.cse(rates, symbols=(sp.Symbol(letters("tt", i)) for i in range(10_000)))
    inputs = [f"{letters('pv', i)} = 1.0" for i in range(len(names))] + [
        f"{letters('yv', i)} = 1.0" for i in range(len(states()))
    ]
    text = "in_i { " + ", ".join(inputs) + " }\n"
    text += "u_i {\n" + "".join(f"  {letters('xv', i)} = {letters('yv', i)},\n" for i in range(len(states()))) + "}\n"
    text += "".join(f"{s} {{ {_diffsl(e)} }}\n" for s, e in shared)
    text += "F_i {\n" + "".join(f"  {_diffsl(e)},\n" for e in reduced) + "}\n"
    ode = ds.Ode(text, matrix_type=ds.nalgebra_dense, ode_solver=ds.bdf)
    ode.rtol, ode.atol, ode.h0 = rtol, rtol * 1e-3, 1e-3
    base, gut, infusion = np.array([nominal()[n] for n in names]), states().index("Dn"), names.index("Rinf")
    begin = np.array([nominal()[n] for n in states()])
    columns = [names.index(n) for n in VARIED]

    def solve(problem: Problem) -> Array:
        out = np.empty((len(problem.varied), TIMES.size, len(states())))
        for k in range(len(out)):
            p, y, now = base.copy(), begin.copy(), 0.0
            p[columns] = problem.varied[k]
            for e in range(problem.time.shape[1] + 1):
                last = e == problem.time.shape[1]
                end = END if last else problem.time[k, e]
                here = (now <= TIMES) & ((end > TIMES) | last)
                grid = np.unique([*TIMES[here], end]) - now
                later = grid[grid > 0]
                rows = (
                    np.asarray(ode.solve_dense(np.concatenate([p, y]), later).ys).T
                    if later.size
                    else np.empty((0, y.size))
                )
                rows = np.vstack([y, rows]) if grid[0] == 0 else rows
                out[k, here] = rows[: here.sum()]
                y, now = rows[-1].copy(), end
                if not last and problem.kind[k, e] == 0:
                    y[gut] += problem.value[k, e]
                elif not last:
                    p[infusion] = problem.value[k, e]
        return out

    return solve


def _diffsl(e: Any) -> str:  # noqa: ANN401
    """A sympy expression in DiffSL, which knows pow but no ** and no integer literals in places."""
    if e.is_Symbol:
        return str(e)
    if e.is_Number:
        return repr(float(e))
    if e.is_Add:
        return f"({' + '.join(_diffsl(a) for a in e.args)})"
    if e.is_Mul:
        return f"({' * '.join(_diffsl(a) for a in e.args)})"
    if e.is_Pow and e.exp == -1:
        return f"(1.0 / {_diffsl(e.base)})"
    if e.is_Pow:
        return f"pow({_diffsl(e.base)}, {_diffsl(e.exp)})"
    raise ValueError(f"no DiffSL form for {e}")


def amici(rtol: float) -> Solve:
    """AMICI builds a C++ extension for each model; it takes part where it is installed with what it needs to build."""
    raise ImportError("AMICI is not set up here: it needs swig, cmake and a BLAS to build its model extension")
