"""A loaded kernel: arrays in, arrays out, subjects shared out over threads."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import KernelError, near_miss

Array = NDArray[np.float64]
LARGEST_BLOCK, SMALLEST_BLOCK = 256, 32  # subjects that a thread takes at a time; the numbers do not depend on it


class Status(IntEnum):
    """How a subject's run ended."""

    DONE = 0
    TOO_MANY_STEPS = 1
    STEP_TOO_SMALL = 2
    NOT_A_NUMBER = 3
    CHATTERING = 4
    ACCUMULATING = 5
    TIED = 6
    NO_DELAY = 7
    QUEUE_FULL = 8

    @property
    def advice(self) -> str:
        """What it means and what to try next."""
        return {
            0: "done",
            1: "more steps than allowed: raise max_steps, or look for a rate that never settles",
            2: "the step shrank to nothing: a rate jumps or grows without bound; look at the states at that time",
            3: "a rate is not a number: a negative base of a fractional power, a division by 0 or a missing value",
            4: "events of the model follow one another without end at one moment: look at their triggers",
            5: "an event of the model comes at ever shorter intervals, without end before a moment that is near",
            6: "events of the model come at one moment in an order that SBML leaves open, and their effect hangs on it",
            7: "the delay of an event of the model is negative or not a number",
            8: "more events of the model wait for their delay than the kernel keeps",
        }[int(self)]


@dataclass(frozen=True, slots=True)
class Solution:
    """Result of one batch: values (subject, time, output), and how each subject fared."""

    values: Array
    last: Array
    status: NDArray[np.int32]
    steps: NDArray[np.int32]
    rejected: NDArray[np.int32]
    fail_time: Array


class _Task(ctypes.Structure):
    """Mirror of `Task` in solver.h, field by field."""

    _fields_ = [
        *((name, ctypes.c_long) for name in (
            "subjects", "parameter_stride", "initial_stride", "events", "times", "time_stride", "outputs", "max_steps",
        )),
        *((name, ctypes.c_double) for name in ("start", "end", "rtol", "first_step", "max_step")),
        *((name, ctypes.c_void_p) for name in (
            "parameters", "initial", "event_time", "event_value", "time", "atol", "event_action", "event_target",
            "which", "out", "last", "fail_time", "status",
        )),
    ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Kernel:
    """A compiled model. `parameters` and `defaults` say what a subject's row of numbers means; see `solve`."""

    states: tuple[str, ...]
    parameters: tuple[str, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    defaults: Array
    fingerprint: str
    lanes: int
    compiler: str
    run: Any
    events: int = 0  # of the model itself

    def row(self, **changes: float) -> Array:
        """One subject's parameters: the model's own values, changed by name."""
        row = self.defaults.copy()
        for name, value in changes.items():
            row[self.index(name)] = value
        return row

    def index(self, parameter: str) -> int:
        """Column of a parameter; raises KernelError with the near miss."""
        if parameter not in self.parameters:
            raise KernelError(f'the model has no parameter "{parameter}"{near_miss(parameter, self.parameters)}')
        return self.parameters.index(parameter)

    def solve(
        self,
        parameters: ArrayLike,
        times: ArrayLike,
        *,
        start: float = 0.0,
        end: float | None = None,
        events: Any = None,  # noqa: ANN401 - any record with time, action, target, value (subject, event)
        initial: ArrayLike | None = None,
        outputs: Sequence[str] | None = None,
        rtol: float = 1e-6,
        atol: ArrayLike = 1e-9,
        threads: int | None = None,
        first_step: float = 0.0,
        max_step: float = np.inf,
        max_steps: int = 200_000,
    ) -> Solution:
        """Integrate every subject from `start` to `end` (default: the last time) and show it at `times`.

        `parameters` (subject, parameter) or (parameter); `times` (time) or (subject, time), ascending, not before
        `start`; `events` hold time, action, target, value (subject, event), sorted, padded with +inf; `initial`
        (subject, state) replaces the model's own start. A value at the time of an event is the value after it.
        A subject that fails has NaN from then on, its status and its time; the others are untouched, bit for bit.
        """
        p = np.atleast_2d(np.ascontiguousarray(parameters, dtype=float))
        t = np.ascontiguousarray(times, dtype=float)
        y = None if initial is None else np.atleast_2d(np.ascontiguousarray(initial, dtype=float))
        chosen = self.outputs if outputs is None else tuple(outputs)
        subjects = max(len(p), len(t) if t.ndim == 2 else 1, 1 if y is None else len(y), _event_subjects(events))
        self._check(p, t, y, chosen, subjects, start)
        stop = float(end if end is not None else t.max(initial=start))
        which = np.array([self.outputs.index(name) for name in chosen], dtype=np.int32)
        tolerance = np.ascontiguousarray(np.broadcast_to(np.asarray(atol, dtype=float), (len(self.states),)))
        result = _empty_solution(subjects, t.shape[-1], len(chosen), len(self.states))
        table = None if events is None else _event_arrays(events, subjects)

        def run_block(block: tuple[int, int]) -> int:
            first, count = block
            task = _Task(
                subjects=count,
                parameter_stride=p.shape[1] if len(p) > 1 else 0,
                initial_stride=len(self.states) if y is not None and len(y) > 1 else 0,
                events=0 if table is None else table[0].shape[1],
                times=t.shape[-1],
                time_stride=t.shape[1] if t.ndim == 2 and len(t) > 1 else 0,
                outputs=len(chosen),
                max_steps=max_steps,
                start=start,
                end=stop,
                rtol=rtol,
                first_step=first_step,
                max_step=max_step,
                parameters=_at(p, first if len(p) > 1 else 0),
                initial=None if y is None else _at(y, first if len(y) > 1 else 0),
                time=_at(t, first) if t.ndim == 2 and len(t) > 1 else t.ctypes.data,
                atol=tolerance.ctypes.data,
                which=which.ctypes.data,
                out=_at(result.values, first),
                last=_at(result.last, first),
                fail_time=_at(result.fail_time, first),
                status=_at(raw, first),
                **({} if table is None else _event_pointers(table, first)),
            )
            return self.run(ctypes.byref(task))

        raw = np.zeros((subjects, 3), dtype=np.int32)
        workers = threads or os.cpu_count() or 1
        blocks = list(_share_out(subjects, workers))
        workers = min(workers, len(blocks))
        if workers <= 1:
            codes = [run_block(block) for block in blocks]
        else:
            with ThreadPoolExecutor(workers) as pool:
                codes = list(pool.map(run_block, blocks))
        if any(codes):
            raise KernelError("the kernel could not get the memory it needs: run fewer times or subjects at once")
        return Solution(result.values, result.last, raw[:, 0], raw[:, 1], raw[:, 2], result.fail_time)

    def _check(self, p: Array, t: Array, y: Array | None, chosen: tuple[str, ...], subjects: int, start: float) -> None:
        if p.shape[1] != len(self.parameters):
            raise KernelError(f"{p.shape[1]} parameters given, the model has {len(self.parameters)}")
        if y is not None and y.shape[1] != len(self.states):
            raise KernelError(f"{y.shape[1]} initial values given, the model has {len(self.states)} states")
        for name, length in (("parameters", len(p)), ("initial", 1 if y is None else len(y))):
            if length not in (1, subjects):
                raise KernelError(f"{name} has {length} subjects, others have {subjects}")
        if t.ndim == 2 and len(t) not in (1, subjects):
            raise KernelError(f"times has {len(t)} subjects, others have {subjects}")
        if not np.isfinite(t).all() or (t.size and (np.diff(t, axis=-1) < 0).any()):
            raise KernelError("times must be finite and ascending")
        if t.size and t.min() < start:
            raise KernelError(f"a time lies before the start ({t.min():g} h < {start:g} h)")
        if y is not None and self.events:
            raise KernelError("a model with events of its own begins at its start: states do not say what waits")
        for name in chosen:
            if name not in self.outputs:
                raise KernelError(f'the kernel has no output "{name}"{near_miss(name, self.outputs)}')


def _share_out(subjects: int, workers: int) -> Iterator[tuple[int, int]]:
    """(first, count) of each block; where threads share, the last ones are small, so that all end together."""
    first = 0
    while first < subjects:
        rest = subjects - first
        fair = rest if workers == 1 else max(SMALLEST_BLOCK, rest // (2 * workers) // 16 * 16)
        count = min(LARGEST_BLOCK, fair, rest)
        yield first, count
        first += count


def _empty_solution(subjects: int, times: int, outputs: int, states: int) -> Solution:
    none = np.empty(0, dtype=np.int32)
    return Solution(
        np.empty((subjects, times, outputs)), np.empty((subjects, states)), none, none, none, np.empty(subjects)
    )


def _event_subjects(events: Any) -> int:  # noqa: ANN401
    return 1 if events is None else len(np.atleast_2d(events.time))


def _event_arrays(events: Any, subjects: int) -> tuple[NDArray, ...]:  # noqa: ANN401
    """The four event arrays as the kernel reads them, one row a subject."""
    kinds = (("time", float), ("value", float), ("action", np.int32), ("target", np.int32))
    arrays = []
    for name, kind in kinds:
        array = np.atleast_2d(np.asarray(getattr(events, name), dtype=kind))
        arrays.append(np.ascontiguousarray(np.broadcast_to(array, (subjects, array.shape[1]))))
    if (np.diff(arrays[0], axis=1) < 0).any():
        raise KernelError("events must be sorted by time")
    return tuple(arrays)


def _event_pointers(table: tuple[NDArray, ...], first: int) -> dict[str, int]:
    names = ("event_time", "event_value", "event_action", "event_target")
    return {name: _at(array, first) for name, array in zip(names, table, strict=True)}


def _at(array: NDArray, first: int) -> int:
    return array.ctypes.data + first * array.strides[0]


def load_kernel(path: Path, meta: dict[str, Any]) -> Kernel:
    """Load a compiled kernel and what its numbers mean."""
    library = ctypes.CDLL(str(path))
    library.run_task.argtypes, library.run_task.restype = [ctypes.c_void_p], ctypes.c_int
    names = {key: tuple(meta[key]) for key in ("states", "parameters", "inputs", "outputs")}
    defaults = np.array(meta["defaults"], dtype=float)
    return Kernel(
        **names,
        defaults=defaults,
        fingerprint=meta["fingerprint"],
        lanes=meta["lanes"],
        compiler=meta["compiler"],
        events=meta["events"],
        run=library.run_task,
    )
