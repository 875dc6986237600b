"""The same question answered by other people's solvers: libRoadRunner (CVODE), and scipy's Radau where that stops.

Slow, one subject at a time, restarted at every dose. It judges the kernel in tests and in `make prove`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import SimulationError
from .kernel.library import Kernel
from .mechanism import Mechanism
from .schedule import ADD, RESET, RESTART, SET_INPUT, Events

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ReferenceRun:
    """States (time, state) of one subject, and who computed them: `roadrunner`, `roadrunner again` or `radau`."""

    values: Array
    solver: str


def solve_reference(
    mechanism: Mechanism,
    kernel: Kernel,
    parameters: Array,
    events: Events,
    times: Array,
    start: float,
    *,
    relative: float = 1e-9,
    absolute: float = 1e-12,
) -> ReferenceRun:
    """Integrate one subject's row of `parameters` through `events` (one row) and show every state at `times`.

    A first CVODE failure is retried in a second instance, then answered by Radau on the same SBML; the caller counts.
    """
    task = _Task(mechanism, kernel, parameters, events, np.asarray(times, dtype=float), start, relative, absolute)
    for solver in ("roadrunner", "roadrunner again"):
        try:
            return ReferenceRun(_roadrunner(task), solver)
        except RuntimeError:
            continue
    return ReferenceRun(_radau(task), "radau")


@dataclass(frozen=True, slots=True)
class _Task:
    mechanism: Mechanism
    kernel: Kernel
    parameters: Array
    events: Events
    times: Array
    start: float
    relative: float
    absolute: float

    @property
    def pieces(self) -> list[tuple[float, float, list[tuple[int, int, float]]]]:
        """(from, to, events applied at `from`) between the stops of the one subject."""
        finite = np.isfinite(self.events.time[0])
        stops = np.unique([self.start, *self.events.time[0][finite]])
        end = max(float(self.times[-1]), float(stops[-1]))
        bounds = [*stops, end]
        pieces = []
        for a, b in pairwise(bounds):
            due = np.flatnonzero(self.events.time[0] == a)
            acts = [
                (int(self.events.action[0, i]), int(self.events.target[0, i]), float(self.events.value[0, i]))
                for i in due
            ]
            pieces.append((float(a), float(b), acts))
        return pieces

    def here(self, a: float, b: float, *, last: bool) -> NDArray[np.bool_]:
        return (self.times >= a) & ((self.times < b) | (last & (self.times <= b)))


def _roadrunner(task: _Task) -> Array:
    """CVODE, begun anew at every stop; raises RuntimeError where it gives up."""
    roadrunner = load_roadrunner()
    runner, kernel = roadrunner.RoadRunner(task.mechanism.sbml), task.kernel
    runner.integrator.relative_tolerance = task.relative
    runner.integrator.absolute_tolerance = [task.absolute] * len(kernel.states)  # one number is scaled by a start of 0
    runner.integrator.maximum_num_steps = 1_000_000
    runner.timeCourseSelections = list(kernel.states)
    for name, value in zip(kernel.parameters, task.parameters, strict=True):
        if name not in kernel.states:
            runner[name] = float(value)
    state = first = kernel.solve(task.parameters, [task.start], start=task.start).last[0]
    result = np.empty((task.times.size, len(kernel.states)))
    pieces = task.pieces
    for i, (begin, end, acts) in enumerate(pieces):
        state = _apply(acts, state, first, kernel, runner.__setitem__)
        wanted = task.here(begin, end, last=i == len(pieces) - 1)
        grid = np.unique([begin, *task.times[wanted], end])
        if grid.size > 1:
            for name, value in zip(kernel.states, state, strict=True):
                runner[name] = float(value)
            runner.integrator.restart(begin)
            rows = np.vstack([state, *(_step(runner, a, b) for a, b in pairwise(grid))])
        else:
            rows = state[None]
        result[wanted] = rows[np.searchsorted(grid, task.times[wanted])]
        state = rows[-1].copy()
    return result


def _step(runner: Any, begin: float, end: float) -> Array:  # noqa: ANN401
    """Integrate on from the runner's own state and read it at `end`."""
    return np.array(runner.simulate(begin, end, 2))[-1]


def _apply(
    acts: Sequence[tuple[int, int, float]],
    state: Array,
    first: Array,
    kernel: Kernel,
    set_input: Any,  # noqa: ANN401
) -> Array:
    state = state.copy()
    for action, target, value in acts:
        if action == ADD:
            state[target] += value
        elif action == SET_INPUT:
            set_input(kernel.inputs[target], value)
        elif action == RESTART:
            state[target] = first[target]
        elif action == RESET:
            state = first.copy()
            for name in kernel.inputs:
                set_input(name, 0.0)
    return state


def _radau(task: _Task) -> Array:
    """scipy's Radau on rates that libSBML's tree gives through sympy, evaluated without the kernel's C text."""
    from scipy.integrate import solve_ivp

    kernel = task.kernel
    inputs: dict[str, float] = {}
    rates = _rates(task)
    state = kernel.solve(task.parameters, [task.start], start=task.start).last[0]
    first, pieces = state.copy(), task.pieces
    result = np.empty((task.times.size, len(kernel.states)))
    for i, (a, b, acts) in enumerate(pieces):
        state = _apply(acts, state, first, kernel, inputs.__setitem__)
        wanted = task.here(a, b, last=i == len(pieces) - 1)
        if b == a:
            result[wanted] = state
            continue
        grid = np.unique([*task.times[wanted], b])
        solution = solve_ivp(
            lambda t, y: rates(t, y, inputs), (a, b), state, "Radau", grid, rtol=task.relative, atol=task.absolute
        )
        if not solution.success:
            raise SimulationError(f"{task.mechanism.slug}: neither CVODE nor Radau could run: {solution.message}")
        result[wanted] = solution.y.T[np.searchsorted(grid, task.times[wanted])]
        state = solution.y[:, -1].copy()
    return result


def _rates(task: _Task) -> Any:  # noqa: ANN401
    """dy/dt as a numpy function of (t, y, inputs), made from the symbols by sympy's own printer."""
    import sympy as sp

    from .kernel import symbolic

    system = symbolic.read_system(task.mechanism.sbml)
    names = [*task.kernel.states]
    constants = dict(zip(task.kernel.parameters, task.parameters, strict=True))
    symbols = [symbolic.symbol(n) for n in names]
    free = [symbolic.symbol(n) for n in task.kernel.inputs]
    functions = {
        "Select": lambda c, x, y: np.where(c, x, y),
        "Less": lambda x, y: x < y,
        "LessEqual": lambda x, y: x <= y,
        "Equal": lambda x, y: x == y,
        "Both": np.logical_and,
        "Either": np.logical_or,
        "Negation": np.logical_not,
        "Maximum": np.maximum,
        "Minimum": np.minimum,
        "Absolute": np.abs,
        "Power": np.power,
        "Floor": np.floor,
        "Ceiling": np.ceil,
    }
    rules = list(system.rules.items())
    arguments = [symbolic.TIME, *symbols, *free]
    fixed = {symbolic.symbol(n): v for n, v in constants.items() if n not in names and n not in task.kernel.inputs}
    flat: dict[sp.Symbol, sp.Expr] = {}
    for name, e in rules:
        flat[symbolic.symbol(name)] = e.xreplace(flat).xreplace(fixed)
    expressions = [system.states[n].xreplace(flat).xreplace(fixed) for n in names]
    compiled = sp.lambdify(arguments, expressions, [functions, "numpy"], cse=True)
    defaults = {n: constants[n] for n in task.kernel.inputs}

    def rates(t: float, y: Array, inputs: Mapping[str, float]) -> Array:
        current = [inputs.get(n, defaults[n]) for n in task.kernel.inputs]
        return np.array([float(v) for v in compiled(t, *y, *current)])

    return rates


def run_roadrunner(
    sbml: str, times: Array, selections: Sequence[str], *, relative: float = 1e-9, absolute: float = 1e-12
) -> Array:
    """A whole SBML model from its time 0 by CVODE, events and all: values (time, selection).

    Selections are libRoadRunner's: [S] a concentration, S an amount or any other quantity. Raises RuntimeError.
    """
    runner = load_roadrunner().RoadRunner(sbml)
    runner.integrator.relative_tolerance = relative
    runner.integrator.absolute_tolerance = [absolute] * len(runner.integrator.getAbsoluteToleranceVector())
    runner.integrator.maximum_num_steps = 1_000_000
    runner.timeCourseSelections = ["time", *selections]
    grid = np.unique([0.0, *times])
    if grid.size == 1:
        grid = np.array([0.0, 1e-9])
    # CVODE looks for events at the ends of its steps: a condition that holds for a moment only would pass unseen
    runner.integrator.maximum_time_step = float(grid[-1]) / 1000
    rows = np.array(runner.simulate(times=grid.tolist()))
    if rows.shape[0] != grid.size:
        raise RuntimeError(f"{rows.shape[0]} rows came back for {grid.size} times")
    return rows[np.searchsorted(grid, times), 1:]


def load_roadrunner() -> Any:  # noqa: ANN401
    """The module, its log silenced; raises SimulationError that says how to install it."""
    try:
        import roadrunner
    except ImportError:
        raise SimulationError('libRoadRunner is not installed: pip install "antagony[reference]"') from None
    roadrunner.Logger.setLevel(roadrunner.Logger.LOG_FATAL)
    return roadrunner
