"""Doses lowered to arrays of events, one row per subject, for the kernel.

At one time the written order is: RESET, then SET_INPUT (stops and starts merged into one total), then ADD, each by
target; an observation at that time sees all of them. An input has the sum of the infusions that run, exactly 0.0 when
none does. The result does not depend on the order of the doses. Times closer than `TIE` count as one.

    dose at t, lag L, bioavailability F, interval II, ADDL n:   arrivals t + L + k II,  k = 0 .. n
    rate R given or modelled:   lasts F AMT / R at R            duration D:   lasts D at F AMT / D
    SS at t:   the state that doses at t + L + k II, k = -1, -2, ... without end have brought about
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from .drug import Amount, ByDose, Drug, Target
from .errors import RegimenError, near_miss
from .regimen import Dose, Regimen, check_timing

Array = NDArray[np.float64]

ADD, SET_INPUT, RESET, RESTART = 0, 1, 2, 3
"""state[target] += value; input[target] = value (the total rate); all states, or state[target], back to their start."""

TIE = 1e-9
"""Times closer than this [h] are one: rounding must not open a gap between an infusion and the next."""

CONSTANT_PERIOD = 24.0
"""Period [h] of a constant infusion's steady state; any would do, for nothing changes within it."""

_MOST_OVERLAPS = 10_000


@dataclass(frozen=True, slots=True)
class Events:
    """What happens to each subject, (subject, event), sorted by time and padded with +inf.

    `target` counts states (ADD) or inputs (SET_INPUT); `value` is an amount [nmol] or a rate [nmol/h].
    """

    time: Array
    action: NDArray[np.int32]
    target: NDArray[np.int32]
    value: Array


@dataclass(frozen=True, slots=True)
class SteadyState:
    """The periodic state that a phase starts from: fixed point over one `period` [h] of `events` before its start.

    Events lie in [start - period, start); every input that the dose uses is set at the period's beginning.
    `adds` (SS = 2): the periodic state is added to what is there, otherwise it replaces it.
    """

    adds: bool
    period: float
    events: Events


@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch of time from `start` [h] to the next phase's; its first state is `steady`, or where the last one ended.

    Where `steady` is given, every input in use is set at `start`: what ran before and still runs, what ended to 0.0.
    """

    start: float
    steady: SteadyState | None
    events: Events


@dataclass(frozen=True, slots=True)
class PlacedDose:
    """One dose on one target for all subjects; an array is (subject,).

    `amount` [nmol] into `state`, or through `input` [nmol/h] where a `duration` [h] or a `rate` [nmol/h] is given.
    `time` and `interval` [h] are the record's; each of its 1 + `additional` doses arrives `lag` [h] later.
    Without a state it is only a reset. Raises RegimenError where these do not fit together.
    """

    state: str
    input: str | None = None
    amount: Array | float = 0.0
    time: float = 0.0
    lag: Array | float = 0.0
    bioavailability: Array | float = 1.0
    duration: Array | float = 0.0
    rate: Array | float = 0.0
    interval: float = 0.0
    additional: int = 0
    steady_state: int = 0
    reset: bool = False

    def __post_init__(self) -> None:
        """Refuse a dose that cannot be given."""
        check_timing(self)
        for name in ("lag", "bioavailability"):
            value = np.asarray(getattr(self, name), dtype=float)
            if not np.all(np.isfinite(value) & (value >= 0)):
                raise RegimenError(f"the {name} of a dose into {self.state} is {value.min():g}; it must be 0 or more")
        for name in ("duration", "rate"):
            value = np.asarray(getattr(self, name))
            if np.any(value > 0) and not np.all(value > 0):
                raise RegimenError(f"the {name} of an infusion into {self.state} is 0 for some subjects")
        if self.is_infusion and np.any(np.asarray(self.rate) > 0) and np.any(np.asarray(self.duration) > 0):
            raise RegimenError("an infusion has a duration or a rate, not both")
        if self.is_infusion and not self.input:
            raise RegimenError(f"{self.state} takes no infusions; it has no input")
        if self.steady_state and self.interval and np.any(np.asarray(self.lag) > self.interval + TIE):
            raise RegimenError(f"the lag {np.max(self.lag):g} h is longer than the interval {self.interval:g} h at SS")
        if self.is_constant and np.any(np.asarray(self.lag) > 0):
            raise RegimenError("a constant infusion at steady state (amount 0) ends at its record and has no lag")

    @property
    def is_reset_only(self) -> bool:
        """Whether this is no dose but a reset (EVID 3)."""
        return self.reset and not self.state

    @property
    def is_infusion(self) -> bool:
        """Whether it runs through an input."""
        return bool(np.any(np.asarray(self.duration) > 0) or np.any(np.asarray(self.rate) > 0))

    @property
    def is_constant(self) -> bool:
        """Whether it is a constant infusion at equilibrium, which ends at the record."""
        return bool(self.steady_state) and not self.interval


def place(
    regimen: Regimen, drugs: Mapping[str, Drug], values: Mapping[str, Array], bodyweight: Array | float
) -> list[PlacedDose]:
    """Doses of a regimen on the targets of their drugs' routes.

        amount = dose [mg] (x bodyweight [kg]) * nmol_per_mg * fraction

    `values`: parameters by id (subject,); `bodyweight` (subject,). Raises RegimenError that quotes the dose.
    """
    placed: list[PlacedDose] = []
    for dose in regimen.doses:
        try:
            placed += _place(dose, drugs, values, bodyweight)
        except RegimenError as error:
            raise RegimenError(f'"{dose.text()}": {error}') from None
    return placed


def _place(
    dose: Dose, drugs: Mapping[str, Drug], values: Mapping[str, Array], bodyweight: Array | float
) -> list[PlacedDose]:
    if dose.is_reset_only:
        return [PlacedDose("", time=dose.time, reset=True)]
    if dose.drug not in drugs:
        raise RegimenError(f'unknown drug "{dose.drug}"{near_miss(dose.drug, drugs)}')
    if dose.per_kg and not np.all(np.isfinite(bodyweight) & (np.asarray(bodyweight) > 0)):
        raise RegimenError("a dose per kg needs the bodyweight [kg] of every subject")
    drug, scale = drugs[dose.drug], np.asarray(bodyweight if dose.per_kg else 1.0, dtype=float)
    return [
        _place_share(dose, target, dose.amount * scale, scale * drug.nmol_per_mg, values)
        for target in drug.route(dose.route).targets
    ]


def _place_share(
    dose: Dose, target: Target, milligrams: Array, nmol_per_unit: Array, values: Mapping[str, Array]
) -> PlacedDose:
    """The share of a dose that one target takes; `nmol_per_unit` counts nmol in one unit of the written dose."""
    share = nmol_per_unit * _resolve(target.fraction, milligrams, values)
    duration = _resolve(target.duration, milligrams, values)
    if np.any(duration > 0) and (dose.duration or dose.rate):
        raise RegimenError(f"{target.state} takes its share at its own pace; an infusion by this route is not known")
    return PlacedDose(
        state=target.state,
        input=target.input,
        amount=dose.amount * share,
        time=dose.time,
        lag=_resolve(target.lag, milligrams, values),
        bioavailability=_resolve(target.F, milligrams, values),
        duration=duration if np.any(duration > 0) else dose.duration,
        rate=dose.rate * share,
        interval=dose.interval,
        additional=dose.additional,
        steady_state=dose.steady_state,
        reset=dose.reset,
    )


def _resolve(amount: Amount, milligrams: Array, values: Mapping[str, Array]) -> Array:
    """Number behind a target's quantity for doses [mg] (subject,), given the values of parameters by id (subject,)."""
    if isinstance(amount, ByDose):
        for extreme in (milligrams.min(), milligrams.max()):
            amount.value_at(float(extreme))  # refuses a dose outside the table
        return np.interp(milligrams, amount.doses, amount.values)
    if isinstance(amount, str):
        if amount not in values:
            raise RegimenError(f'no value for the parameter "{amount}"{near_miss(amount, values)}')
        return np.asarray(values[amount], dtype=float)
    return np.asarray(amount, dtype=float)


def lower_doses(
    doses: Sequence[PlacedDose], *, states: Sequence[str], inputs: Sequence[str], subjects: int
) -> tuple[Phase, ...]:
    """Phases of events for `subjects` subjects, in order of time; none where nothing is given.

    A reset, and a steady state that replaces (SS = 1), clear the infusions and pending doses of earlier records; what
    is recorded at the same time stays. Steady states of one time, interval and SS are solved as one.
    Raises RegimenError for an unknown state or input, and for two steady states that would replace each other.
    """
    ordered = sorted(doses, key=_rank)
    rows = _rows(ordered, subjects)
    groups = _steady_groups(ordered)
    resets = sorted({dose.time for dose in ordered if dose.reset})
    cuts = np.array(sorted({*resets, *(group[0].time for group, adds in groups if not adds)}))
    given = [dose for dose in ordered if not dose.is_reset_only]
    trains = [_train(dose, states, inputs, rows, _next(cuts, dose.time)) for dose in given]
    starts = [group[0].time for group, _ in groups]
    alone = [time for time in resets if time not in starts]  # a periodic state that replaces needs no reset before it
    events, marks = _events(trains, alone, starts, rows)
    phases = []
    if ordered and (not groups or ordered[0].time < starts[0]):
        phases.append(Phase(ordered[0].time, None, _window(events, None, marks[:, :1], ordered[0].time, subjects)))
    for i, (group, adds) in enumerate(groups):
        here = _window(events, marks[:, i : i + 1], marks[:, i + 1 : i + 2], starts[i], subjects)
        steady = _steady_state(group, adds, states, inputs, rows, subjects)
        phases.append(Phase(starts[i], steady, here))
    return tuple(phases)


def _rank(dose: PlacedDose) -> tuple[object, ...]:
    """Order of doses by content alone, so that the order in which they were given cannot matter."""
    arrays = (dose.amount, dose.lag, dose.bioavailability, dose.duration, dose.rate)
    content = tuple(np.asarray(array, dtype=float).tobytes() for array in arrays)
    plain = (dose.time, dose.state, dose.input or "", dose.interval, dose.additional, dose.steady_state, dose.reset)
    return (*plain, content)


def _rows(doses: Iterable[PlacedDose], subjects: int) -> int:
    """Rows to compute: one where all subjects are alike, for it can be spread over them afterwards."""
    sizes = {np.size(getattr(dose, field.name)) for dose in doses for field in fields(PlacedDose)}
    if wrong := sizes - {1, subjects}:
        raise RegimenError(f"a dose holds {max(wrong)} values for {subjects} subjects")
    return max(sizes, default=1)


def _next(cuts: Array, time: float) -> float:
    """The first cut after `time`, +inf without one."""
    later = cuts[cuts > time]
    return float(later[0]) if later.size else math.inf


def _steady_groups(doses: Sequence[PlacedDose]) -> list[tuple[list[PlacedDose], bool]]:
    """Steady-state doses that are solved as one, and whether they add to the state; replacing before adding."""
    found: dict[tuple[float, int, float], list[PlacedDose]] = {}
    for dose in doses:
        if dose.steady_state:
            found.setdefault((dose.time, dose.steady_state, dose.interval), []).append(dose)
    cleared = {dose.time for dose in doses if dose.reset}
    groups: list[tuple[list[PlacedDose], bool]] = []
    for (time, kind, _), group in sorted(found.items(), key=lambda item: item[0]):
        first = not groups or groups[-1][0][0].time < time
        if kind == 1 and not first:
            raise RegimenError(f"two steady states (SS = 1) with different intervals at {time:g} h replace each other")
        groups.append((group, not (kind == 1 or (first and time in cleared))))
    return groups


@dataclass(frozen=True, slots=True)
class _Train:
    """Administrations of one dose (row, administration): amounts into a state, or rates from `on` to `off`."""

    target: int
    on: Array
    off: Array | None
    value: Array


def _column(value: Array | float, rows: int) -> Array:
    return np.broadcast_to(np.asarray(value, dtype=float).reshape(-1, 1), (rows, 1))


def _find(name: str, names: Sequence[str], what: str) -> int:
    if name not in names:
        raise RegimenError(f'the model has no {what} "{name}"{near_miss(name, names)}')
    return list(names).index(name)


def _length_and_value(dose: PlacedDose, rows: int) -> tuple[Array, Array]:
    """How long one administration lasts [h], and its rate [nmol/h], or its amount [nmol] where it is instantaneous."""
    amount = _column(dose.amount, rows) * _column(dose.bioavailability, rows)
    duration, rate = _column(dose.duration, rows), _column(dose.rate, rows)
    if not dose.is_infusion:
        return np.zeros((rows, 1)), amount
    if dose.is_constant:
        return np.zeros((rows, 1)), rate
    length, value = (duration, amount / duration) if np.all(duration > 0) else (amount / rate, rate)
    if dose.steady_state and np.max(length) / dose.interval > _MOST_OVERLAPS:
        raise RegimenError(f"an infusion of {np.max(length):g} h every {dose.interval:g} h overlaps without end")
    return length, value


def _train(dose: PlacedDose, states: Sequence[str], inputs: Sequence[str], rows: int, cut: float) -> _Train:
    """All that a dose gives from its record on, up to `cut` [h] where a reset clears it."""
    state = _find(dose.state, states, "state")
    length, value = _length_and_value(dose, rows)
    lag = _column(dose.lag, rows)
    past = 0
    if dose.steady_state and dose.interval:  # earlier doses of the train that are still to arrive, or still run
        past = int(np.floor(np.max((lag + length) / dose.interval) + TIE))
    count = np.arange(-past, dose.additional + 1, dtype=float)
    on = dose.time + lag + dose.interval * count
    off = np.minimum(on + length, cut)
    gone = on + length <= dose.time + TIE if dose.is_infusion else on < dose.time - TIE
    on = np.where((gone & (count < 0)) | (on >= cut - TIE), np.inf, np.maximum(on, dose.time))
    if not dose.is_infusion:
        return _Train(state, on, None, np.broadcast_to(value, on.shape))
    target = _find(dose.input or "", inputs, "input")
    empty = off <= on + TIE
    return _Train(target, np.where(empty, np.inf, on), np.where(empty, np.inf, off), np.broadcast_to(value, on.shape))


def _steady_state(
    group: Sequence[PlacedDose], adds: bool, states: Sequence[str], inputs: Sequence[str], rows: int, subjects: int
) -> SteadyState:
    """One period before the record: each dose once, at its lag, its infusion wrapped around the period."""
    end, period = group[0].time, group[0].interval or CONSTANT_PERIOD
    begin = end - period
    trains: list[_Train] = []
    for dose in group:
        length, value = _length_and_value(dose, rows)
        lag = _column(dose.lag, rows)
        on = begin + np.where(lag >= period - TIE, 0.0, lag)
        if not dose.is_infusion:
            trains.append(_Train(_find(dose.state, states, "state"), on, None, value))
            continue
        whole = np.ones((rows, 1)) if dose.is_constant else np.floor(length / period + TIE)
        rest = np.where(length - whole * period > TIE, on + length - whole * period, on)
        target, edge = _find(dose.input or "", inputs, "input"), np.full((rows, 1), begin)
        off = np.concatenate([np.where(whole > 0, end, begin), np.minimum(rest, end), rest - period], axis=1)
        on = np.concatenate([edge, on, edge], axis=1)
        rate = np.concatenate([whole * value, value, value], axis=1)
        empty = off <= on + TIE
        trains.append(_Train(target, np.where(empty, np.inf, on), np.where(empty, np.inf, off), rate))
    events, marks = _events(trains, [], [begin, end], rows)
    return SteadyState(adds, period, _window(events, marks[:, :1], marks[:, 1:], begin, subjects))


def _tie(time: Array) -> Array:
    """Times of each row, those closer than `TIE` to their neighbour made equal to the earliest of them."""
    order = np.argsort(time, axis=1, kind="stable")
    sorted_ = np.take_along_axis(time, order, axis=1)
    with np.errstate(invalid="ignore"):  # inf - inf
        starts = np.diff(sorted_, axis=1, prepend=-np.inf) > TIE
    leader = np.maximum.accumulate(np.where(starts, np.arange(time.shape[1]), 0), axis=1)
    tied = np.where(np.isinf(sorted_), np.inf, np.take_along_axis(sorted_, leader, axis=1))
    result = np.empty_like(time)
    np.put_along_axis(result, order, tied, axis=1)
    return result


def _events(
    trains: Sequence[_Train], resets: Sequence[float], marks: Sequence[float], rows: int
) -> tuple[Events, Array]:
    """Events of all trains and resets, sorted in the written order, and the times of `marks` (row, mark) after ties.

    At each mark every input in use is set anew.
    """
    columns = [np.tile(np.asarray(resets, dtype=float), (rows, 1)), np.tile(np.asarray(marks, dtype=float), (rows, 1))]
    for train in trains:
        columns += [train.on] if train.off is None else [train.on, train.off]
    bounds = np.cumsum([column.shape[1] for column in columns])[:-1]
    reset, mark, *times = np.split(_tie(np.concatenate(columns, axis=1)), bounds, axis=1)
    pieces = [_piece(reset, RESET, 0, np.zeros_like(reset))]
    infusions: dict[int, list[tuple[Array, Array, Array]]] = {}
    remaining = iter(times)
    for train in trains:
        on = next(remaining)
        if train.off is None:
            pieces.append(_piece(on, ADD, train.target, train.value))
        else:
            infusions.setdefault(train.target, []).append((on, next(remaining), train.value))
    for target, parts in sorted(infusions.items()):
        on, off, rate = (np.concatenate(arrays, axis=1) for arrays in zip(*parts, strict=True))
        time, total = _totals(on, off, rate, mark)
        pieces.append(_piece(time, SET_INPUT, target, total))
    return _in_order(pieces), mark


def _piece(time: Array, action: int, target: int, value: Array) -> Events:
    shape = time.shape
    kinds = np.full(shape, action, dtype=np.int32), np.full(shape, target, dtype=np.int32)
    return Events(time, *kinds, np.where(np.isfinite(time), value, 0.0))


def _totals(on: Array, off: Array, rate: Array, marks: Array) -> tuple[Array, Array]:
    """Times (row, event) at which an input changes, or a mark stands, and the total rate from then on [nmol/h]."""
    count, forced = on.shape[1], marks.shape[1]
    bounds = np.concatenate([marks, on, off], axis=1)
    order = np.argsort(bounds, axis=1, kind="stable")
    time = np.take_along_axis(bounds, order, axis=1)
    position = np.argsort(order, axis=1)
    total = np.zeros_like(time)
    for j in range(count):  # each infusion touches only the stretch between its ends: added, never subtracted
        first, last = position[:, forced + j].min(), position[:, forced + count + j].max() + 1
        stretch = time[:, first:last]
        running = (on[:, j : j + 1] <= stretch) & (stretch < off[:, j : j + 1])
        total[:, first:last] += np.where(running, rate[:, j : j + 1], 0.0)
    # among equal times the later ones may not have seen an infusion that starts there; the largest index has
    total = _last_of_tie(time, total)
    new = np.concatenate([np.ones((len(time), 1), dtype=bool), time[:, 1:] != time[:, :-1]], axis=1)
    changed = total != np.concatenate([np.zeros((len(total), 1)), total[:, :-1]], axis=1)
    return np.where(new & (changed | (order < forced)), time, np.inf), total


def _last_of_tie(time: Array, total: Array) -> Array:
    ends = np.concatenate([time[:, 1:] != time[:, :-1], np.ones((len(time), 1), dtype=bool)], axis=1)
    index = np.where(ends, np.arange(time.shape[1]), time.shape[1])
    return np.take_along_axis(total, np.minimum.accumulate(index[:, ::-1], axis=1)[:, ::-1], axis=1)


def _in_order(pieces: Sequence[Events]) -> Events:
    """All events of each row by time, action (RESET, SET_INPUT, ADD), target and value, padded no more than needed."""
    merged = [np.concatenate([getattr(piece, field.name) for piece in pieces], axis=1) for field in fields(Events)]
    time, action, target, value = merged
    order = np.lexsort((value, target, -action, time), axis=-1)
    width = int(np.isfinite(time).sum(axis=1).max(initial=0))
    return Events(*(np.take_along_axis(column, order, axis=1)[:, :width] for column in merged))


def _window(events: Events, begin: Array | None, end: Array, start: float, subjects: int) -> Events:
    """The events from `begin` up to, not including, `end` (row, 0 or 1), spread over all subjects."""
    inside = np.isfinite(events.time)
    if begin is not None:
        inside &= events.time >= begin
    if end.shape[1]:
        inside &= events.time < end
    time = np.where(inside, np.maximum(events.time, start), np.inf)
    kept = _in_order([Events(time, events.action, events.target, np.where(inside, events.value, 0.0))])
    shape = (subjects, kept.time.shape[1])
    return Events(*(np.ascontiguousarray(np.broadcast_to(getattr(kept, f.name), shape)) for f in fields(Events)))
