"""One call for every question: a mechanism, named arms, patients and draws in; curves with units out.

The kernel takes all draws and subjects of an arm as one batch. Steady-state doses are solved for, not waited for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import SimulationError, near_miss, nearest
from .kernel.build import build_kernel
from .kernel.library import Kernel, Status
from .mechanism import Mechanism
from .population import NOMINAL, TYPICAL, Draws, Population
from .regimen import Regimen
from .schedule import RESTART, SET_INPUT, Events, Phase, SteadyState, lower_doses, place
from .workers import count_threads

if TYPE_CHECKING:
    import xarray as xr

    from .condition import Probe

Array = NDArray[np.float64]

# Absolute tolerances by unit, in multiples of `Tolerances.absolute`. Doses run from 1e3 (buprenorphine) to 1e5 nmol.
# With less, what is left in the gut is followed down to nothing: half as many steps again, and no digit of a score.
UNIT_SCALE = {"nmol": 1e5}


@dataclass(frozen=True, slots=True)
class Tolerances:
    """Accuracy asked of the solver, per step: relative, and absolute for a state of unit size."""

    relative: float = 1e-6
    absolute: float = 1e-8


@dataclass(frozen=True, slots=True)
class Arm:
    """What one group receives: a regimen, probes, and values that differ from the mechanism's own (a trial's table).

    `restarts`: state -> times [h] at which it begins anew (what a patient remembers of an earlier period).
    """

    regimen: Regimen = field(default_factory=Regimen)
    probes: tuple[Probe, ...] = ()
    values: Mapping[str, float] = field(default_factory=dict)
    restarts: Mapping[str, tuple[float, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Failure:
    """A subject whose run ended early."""

    arm: str
    draw: int
    subject: int
    time: float
    status: Status


def simulate(
    mechanism: Mechanism,
    arms: Mapping[str, Arm | Regimen],
    times: ArrayLike,
    *,
    population: Population = TYPICAL,
    draws: Draws = NOMINAL,
    outputs: Sequence[str] | None = None,
    tolerances: Tolerances = Tolerances(),
    portable: bool = False,
    threads: int | None = None,
) -> xr.Dataset:
    """Simulate every arm for every draw and subject; a dataset over (arm, draw, subject, time) with units in `attrs`.

    `times` [h, ascending; 0 is the reference dose]. `outputs` default to the mechanism's readouts; any state or rule of
    the model may be asked for. A run starts at the first dose or the first time, whichever is earlier; a value at the
    time of a dose is the value after it. Subjects that fail are NaN from then on and listed in `attrs["failures"]`.
    """
    run = _Run(mechanism, population, draws, tolerances, portable, threads)
    chosen = tuple(mechanism.outputs if outputs is None else outputs)
    placed = {name: arm if isinstance(arm, Arm) else Arm(arm) for name, arm in arms.items()}
    kernel, moments, values, failures = _follow(run, placed, times, chosen)
    return _dataset(mechanism, kernel, tuple(placed), moments, chosen, values, run, failures)


def simulate_arm(
    mechanism: Mechanism,
    arm: Arm,
    times: ArrayLike,
    *,
    population: Population,
    draws: Draws,
    outputs: Sequence[str],
    tolerances: Tolerances,
    threads: int | None = None,
) -> Array:
    """As `simulate`, of one arm, as a bare array (draw, subject, time, output): thousands of short runs have no labels.

    Rows that fail are NaN from then on.
    """
    run = _Run(mechanism, population, draws, tolerances, portable=False, threads=threads)
    return _follow(run, {"arm": arm}, times, tuple(outputs))[2][0]


def _no_output(mechanism: Mechanism, name: str, known: Iterable[str]) -> str:
    """That a mechanism lacks an output: the nearest name of any, then its readouts."""
    near = nearest(name, known)
    offer = f'; did you mean "{near}"?' if near else "."
    return f'{mechanism.slug} has no output "{name}"{offer} Its readouts: {", ".join(mechanism.outputs)}'


def _follow(
    run: _Run, arms: Mapping[str, Arm], times: ArrayLike, outputs: tuple[str, ...]
) -> tuple[Kernel, Array, Array, list[Failure]]:
    """The kernel, the moments, values (arm, draw, subject, time, output), and what failed."""
    moments = np.ascontiguousarray(times, dtype=float)
    if moments.ndim != 1 or moments.size == 0 or not np.isfinite(moments).all() or (np.diff(moments) < 0).any():
        raise SimulationError("times must be a list of finite hours in ascending order")
    kernel = run.kernel(arms.values())
    for name in outputs:
        if name not in kernel.outputs:
            raise SimulationError(_no_output(run.mechanism, name, kernel.outputs))
    shape = (run.draws.size, run.population.size, moments.size, len(outputs))
    values = np.empty((len(arms), *shape))
    failures: list[Failure] = []
    for i, (name, arm) in enumerate(arms.items()):
        values[i] = run.arm(kernel, name, arm, moments, outputs, failures).reshape(shape)
    return kernel, moments, values, failures


def build_kernels(
    models: Iterable[Mechanism], progress: Callable[[int, int], None] | None = None
) -> tuple[Kernel, ...]:
    """Compile models, or take them from the cache, compilers side by side; each model once.

    `progress(done, total)` is told after each.
    """
    once = {(m.sbml, m.inputs): m for m in models}
    built = []
    with ThreadPoolExecutor(2 * count_threads()) as pool:  # one's symbols beside another's compiler
        for kernel in pool.map(lambda m: build_kernel(m.sbml, inputs=m.inputs), once.values()):
            built.append(kernel)
            if progress is not None:
                progress(len(built), len(once))
    return tuple(built)


@dataclass(frozen=True, slots=True)
class _Run:
    """The settings that one call shares over its arms."""

    mechanism: Mechanism
    population: Population
    draws: Draws
    tolerances: Tolerances
    portable: bool
    threads: int | None

    @property
    def rows(self) -> int:
        return self.draws.size * self.population.size

    def kernel(self, arms: Any) -> Kernel:  # noqa: ANN401 - an iterable of Arm
        timed = sorted({p.parameter for arm in arms for p in arm.probes if p.is_timed} - set(self.mechanism.inputs))
        return build_kernel(self.mechanism.sbml, inputs=(*self.mechanism.inputs, *timed), portable=self.portable)

    def atol(self, kernel: Kernel) -> Array:
        units = self.mechanism.state_units
        return self.tolerances.absolute * np.array([UNIT_SCALE.get(units.get(s, ""), 1.0) for s in kernel.states])

    def arm(
        self, kernel: Kernel, name: str, arm: Arm, times: Array, outputs: tuple[str, ...], failures: list[Failure]
    ) -> Array:
        """Values (row, time, output) of one arm; rows are draws x subjects, subjects fastest."""
        parameters, phases = self.prepare(kernel, arm, times)
        threads = self.threads or count_threads()
        settings = {"rtol": self.tolerances.relative, "atol": self.atol(kernel), "threads": threads}
        result, lost = run_phases(kernel, parameters, phases, times, outputs, settings)
        for row, (time, status) in lost.items():
            draw, subject = divmod(row, self.population.size)
            failures.append(Failure(name, draw, int(self.population.subjects[subject]), time, status))
        return result

    def prepare(self, kernel: Kernel, arm: Arm, times: Array) -> tuple[Array, tuple[Phase, ...]]:
        """Parameters (row, parameter) and phases of an arm, the run's beginning and its probes included."""
        parameters = self.parameters(kernel, arm)
        columns = {p: parameters[:, i] for i, p in enumerate(kernel.parameters)}
        for p in self.mechanism.dosing.values():
            columns.setdefault(p.id, self.values(p.id, p.nominal, arm).ravel())
        used = {d: drug for d, drug in self.mechanism.drugs.items() if d in arm.regimen.drugs}
        doses = place(arm.regimen, used, columns, columns.get("bodyweight", np.full(self.rows, np.nan)))
        phases = lower_doses(doses, states=kernel.states, inputs=kernel.inputs, subjects=self.rows)
        if not phases or times[0] < phases[0].start:
            phases = (Phase(float(times[0]), None, _no_events(self.rows)), *phases)
        switches = [
            (probe, self.imposed(probe, arm, parameters[:, kernel.index(probe.parameter)]))
            for probe in arm.probes
            if probe.is_timed
        ]
        phases = tuple(_with_switches(phase, switches, kernel, parameters) for phase in phases)
        return parameters, _with_restarts(phases, self.restarts(kernel, arm), self.rows)

    def restarts(self, kernel: Kernel, arm: Arm) -> list[tuple[float, int]]:
        """(time, state) of everything that begins anew; raises SimulationError for an unknown state."""
        for name in arm.restarts:
            if name not in kernel.states:
                miss = near_miss(name, kernel.states)
                raise SimulationError(f'restart of "{name}": {self.mechanism.slug} has no such state{miss}')
        return sorted((t, kernel.states.index(name)) for name, times in arm.restarts.items() for t in times)

    def imposed(self, probe: Probe, arm: Arm, rest: Array) -> Array:
        """The value that a probe gives its parameter, in the shape of `rest`."""
        if not probe.by:
            return probe.applied(rest)
        known = {**self.mechanism.parameters, **self.mechanism.dosing}
        if probe.by not in known:
            raise SimulationError(f'probe by "{probe.by}": no such parameter{near_miss(probe.by, known)}')
        size = 1.0 if probe.scale is None else probe.scale
        return size * self.values(probe.by, known[probe.by].nominal, arm).reshape(rest.shape)

    def values(self, name: str, nominal: float, arm: Arm) -> Array:
        """A parameter (draw, subject): nominal or drawn, times the patient's factor, unless the arm states its own."""
        if name in arm.values:
            return np.full((self.draws.size, self.population.size), float(arm.values[name]))
        factor = np.asarray(self.population.factors.get(name, np.ones(self.population.size)))
        if name in self.population.values:
            return np.broadcast_to(self.population.values[name] * factor, (self.draws.size, self.population.size))
        drawn = np.asarray(self.draws.values.get(name, np.full(self.draws.size, nominal)))
        return drawn[:, None] * factor[None, :]

    def parameters(self, kernel: Kernel, arm: Arm) -> Array:
        """One row of parameters for each draw and subject, probes of the whole run applied."""
        table = np.empty((self.draws.size, self.population.size, len(kernel.parameters)))
        table[:] = kernel.defaults
        moved = {*arm.values, *self.population.values, *self.population.factors, *self.draws.values}
        for i, (name, nominal) in enumerate(zip(kernel.parameters, kernel.defaults, strict=True)):
            if name in moved:
                table[:, :, i] = self.values(name, float(nominal), arm)
        for probe in arm.probes:
            if probe.parameter not in kernel.parameters:
                raise SimulationError(
                    f'probe on "{probe.parameter}": {self.mechanism.slug} has no such parameter'
                    f"{near_miss(probe.parameter, self.mechanism.parameters)}"
                )
            if not probe.is_timed:
                i = kernel.index(probe.parameter)
                table[:, :, i] = self.imposed(probe, arm, table[:, :, i])
        return table.reshape(self.rows, len(kernel.parameters))


def run_phases(
    kernel: Kernel,
    parameters: Array,
    phases: Sequence[Phase],
    times: Array,
    outputs: Sequence[str],
    settings: Mapping[str, Any],
) -> tuple[Array, dict[int, tuple[float, Status]]]:
    """Run phase after phase; each begins where the last ended, or at a periodic state that is solved for.

    Returns values (row, time, output) and, for every row that failed, when and how. `settings`: rtol, atol, threads.
    """
    result = np.full((len(parameters), times.size, len(outputs)), np.nan)
    ends = [*(phase.start for phase in phases[1:]), max(float(times[-1]), phases[-1].start)]
    state: Array | None = None
    lost: dict[int, tuple[float, Status]] = {}
    for i, (phase, end) in enumerate(zip(phases, ends, strict=True)):
        if phase.steady is not None:
            state = _steady(kernel, parameters, phase.steady, phase.start, state, settings)
        here = (times >= phase.start) & ((times < end) | (i == len(phases) - 1))
        solution = kernel.solve(
            parameters,
            times[here],
            start=phase.start,
            end=end,
            events=phase.events,
            initial=state,
            outputs=outputs,
            **settings,
        )
        result[:, here] = solution.values
        state = solution.last
        for row in np.flatnonzero(solution.status):
            lost.setdefault(int(row), (float(solution.fail_time[row]), Status(int(solution.status[row]))))
    return result, lost


def _steady(
    kernel: Kernel,
    parameters: Array,
    steady: SteadyState,
    begin: float,
    state: Array | None,
    settings: Mapping[str, Any],
) -> Array:
    """Periodic state at `begin`; where the record adds it (SS = 2), its distance from rest is added to the state."""
    found = periodic_state(kernel, parameters, steady.events, begin, steady.period, settings)
    if not steady.adds:
        return found
    rest = kernel.solve(parameters, [begin], start=begin, **settings).last
    return (rest if state is None else state) + found - rest


@dataclass(frozen=True, slots=True)
class Snapshot:
    """States of one arm at one moment, from which outputs are read again under other values, without integrating."""

    kernel: Kernel
    parameters: Array
    states: Array
    time: float
    draws: int
    subjects: int

    def read(self, output: str, **values: ArrayLike) -> Array:
        """An output (draw, subject) at this moment, with some parameters replaced by numbers or (draw) arrays.

        Only right for parameters that act on outputs and not on rates; `readout.late_parameters` tells.
        """
        table = self.parameters.copy()
        for name, value in values.items():
            column = np.broadcast_to(np.asarray(value, dtype=float).reshape(-1, 1), (self.draws, self.subjects))
            table[:, self.kernel.index(name)] = column.ravel()
        solution = self.kernel.solve(table, [self.time], start=self.time, initial=self.states, outputs=[output])
        return solution.values[:, 0, 0].reshape(self.draws, self.subjects)


def snapshot(
    mechanism: Mechanism,
    arm: Arm | Regimen,
    time: float,
    *,
    population: Population = TYPICAL,
    draws: Draws = NOMINAL,
    tolerances: Tolerances = Tolerances(),
    threads: int | None = None,
) -> Snapshot:
    """Run one arm to `time` [h] and keep its states; arguments as in `simulate`."""
    run = _Run(mechanism, population, draws, tolerances, False, threads)
    placed = arm if isinstance(arm, Arm) else Arm(arm)
    kernel = run.kernel([placed])
    moments = np.array([float(time)])
    states = run.arm(kernel, "snapshot", placed, moments, kernel.states, [])[:, 0]
    return Snapshot(kernel, run.parameters(kernel, placed), states, float(time), draws.size, population.size)


def periodic_state(
    kernel: Kernel,
    parameters: Array,
    events: Events,
    end: float,
    period: float,
    settings: Mapping[str, Any],
    *,
    rounds: int = 25,
) -> Array:
    """State (row, state) that one period of dosing, ending at `end`, brings back to itself.

        x* = P(x*),   x <- x - (dP/dx - I)^-1 (P(x) - x)

    Newton on the period map with a difference Jacobian, so a half-time of many periods costs no more than a short one.
    States that only ever collect (a largest value so far) keep what a plain period gives. Raises SimulationError when
    the map does not settle.
    """
    start, count = end - period, len(kernel.states)
    tight = dict(settings) | {"rtol": min(settings["rtol"], 1e-8), "atol": np.asarray(settings["atol"]) * 1e-2}

    def advance(x: Array, rows: NDArray) -> Array:
        chosen = Events(events.time[rows], events.action[rows], events.target[rows], events.value[rows])
        solution = kernel.solve(parameters[rows], [end], start=start, end=end, events=chosen, initial=x, **tight)
        if (solution.status != 0).any():
            raise SimulationError(
                "a subject failed while its steady state was sought; simulate without SS to see where"
            )
        return solution.last

    everyone = np.arange(len(parameters))
    x = kernel.solve(parameters, [start], start=start, **tight).last
    for _ in range(2):  # two plain periods give every state its scale
        x = advance(x, everyone)
    for _ in range(rounds):
        reached = advance(x, everyone)
        gap = reached - x
        scale = np.maximum(np.abs(reached), np.abs(x)) + np.asarray(settings["atol"]) / settings["rtol"]
        if (np.abs(gap) <= 10 * settings["rtol"] * 1e-2 * scale).all():
            return reached
        x = _newton(x, reached, gap, scale, advance, everyone, count)
    raise SimulationError("no steady state found: the doses may accumulate without end, or a rate depends on time")


def _newton(x: Array, reached: Array, gap: Array, scale: Array, advance: Any, everyone: NDArray, count: int) -> Array:  # noqa: ANN401
    """One Newton step of all rows at once; rows whose system is singular take the least step that fits."""
    shift = 1e-4 * scale
    rows = np.repeat(everyone, count)
    moved = np.repeat(x, count, axis=0)
    moved[np.arange(len(rows)), np.tile(np.arange(count), len(everyone))] += shift.ravel()
    slopes = (advance(moved, rows) - np.repeat(reached, count, axis=0)) / shift.reshape(-1, 1)
    jacobian = slopes.reshape(len(everyone), count, count).transpose(0, 2, 1)  # (row, of state, by state)
    scaled = jacobian * (scale[:, None, :] / scale[:, :, None]) - np.eye(count)
    steps = np.stack([np.linalg.lstsq(a, -g, rcond=1e-10)[0] for a, g in zip(scaled, gap / scale, strict=True)])
    return x + steps * scale


def _with_switches(phase: Phase, probes: Sequence[tuple[Probe, Array]], kernel: Kernel, parameters: Array) -> Phase:
    """The phase's events together with the switches of timed probes, each given with its value (row)."""
    switches = []
    for probe, value in probes:
        rest = parameters[:, kernel.index(probe.parameter)]
        target = kernel.inputs.index(probe.parameter)
        begin = -np.inf if probe.start is None else probe.start
        switches.append((max(begin, phase.start), target, value))
        if probe.until is not None:
            switches.append((max(probe.until, phase.start), target, rest))
    return _with_events(phase, [(time, SET_INPUT, target, value) for time, target, value in switches], len(parameters))


def _with_restarts(phases: tuple[Phase, ...], restarts: Sequence[tuple[float, int]], rows: int) -> tuple[Phase, ...]:
    """Each restart among the events of the phase in which it falls."""
    ends = [*(phase.start for phase in phases[1:]), np.inf]
    return tuple(
        _with_events(phase, [(t, RESTART, k, np.zeros(rows)) for t, k in restarts if phase.start <= t < end], rows)
        for phase, end in zip(phases, ends, strict=True)
    )


def _with_events(phase: Phase, added: Sequence[tuple[float, int, int, Array]], rows: int) -> Phase:
    """The phase with further events (time, action, target, value (row)), after what happens at the same time."""
    if not added:
        return phase
    columns = []
    for i, name in enumerate(("time", "action", "target", "value")):
        own = getattr(phase.events, name)
        more = [np.broadcast_to(np.asarray(event[i]), (rows,)) for event in added]
        columns.append(np.column_stack([np.broadcast_to(own, (rows, own.shape[1])), *more]))
    time, action, target, value = columns
    order = np.argsort(time, axis=1, kind="stable")
    time, value = (np.take_along_axis(a, order, axis=1) for a in (time, value))
    action, target = (np.take_along_axis(a, order, axis=1).astype(np.int32) for a in (action, target))
    return Phase(phase.start, phase.steady, Events(time, action, target, value))


def _no_events(rows: int) -> Events:
    none = np.zeros((rows, 0), dtype=np.int32)
    return Events(np.zeros((rows, 0)), none, none, np.zeros((rows, 0)))


def _dataset(
    mechanism: Mechanism,
    kernel: Kernel,
    arms: tuple[str, ...],
    times: Array,
    outputs: tuple[str, ...],
    values: Array,
    run: _Run,
    failures: list[Failure],
) -> xr.Dataset:
    import xarray as xr

    from . import __version__

    axes = ("arm", "draw", "subject", "time")
    variables = {}
    for i, name in enumerate(outputs):
        known = mechanism.outputs.get(name)
        unit = known.unit if known else mechanism.state_units.get(name, "")
        attrs = {"units": unit, "long_name": known.title if known else name}
        variables[name] = (axes, np.ascontiguousarray(values[..., i]), attrs)
    coordinates = {
        "arm": list(arms),
        "draw": np.arange(run.draws.size),
        "subject": run.population.subjects,
        "time": ("time", times, {"units": "h"}),
    }
    attrs = {
        "mechanism": mechanism.slug,
        "variants": ", ".join(mechanism.variants) or "base",
        "case_hash": mechanism.case_hash,
        "antagony_version": __version__,
        "kernel": kernel.fingerprint,
        "population_seed": -1 if run.population.seed is None else run.population.seed,
        "draw_seed": -1 if run.draws.seed is None else run.draws.seed,
        "rtol": run.tolerances.relative,
        "atol": run.tolerances.absolute,
        "failures": [f"{f.arm}, draw {f.draw}, subject {f.subject}, {f.time:g} h: {f.status.advice}" for f in failures],
        "assumed_numbers": len(mechanism.assumed),
    }
    return xr.Dataset(variables, coordinates, attrs)
