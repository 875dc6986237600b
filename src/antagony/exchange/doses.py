"""A regimen as what happens to one model and when: amounts added to states, inputs set, states put back.

Times count from the beginning of the run, where models of other tools have their 0; the case's own time 0 is later when
a dose comes before it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from ..drug import Drug
from ..errors import RegimenError
from ..mechanism import Mechanism
from ..regimen import Regimen
from ..schedule import ADD, RESET, SET_INPUT, Events, lower_doses, place
from ..units import format_time
from .values import Value


@dataclass(frozen=True, slots=True)
class Moment:
    """Everything that happens at one time [h since the run's beginning], each symbol once.

    `added`: state -> amount; `inputs`: input -> its new rate; `resets`: all other states go back to their start first.
    """

    time: float
    title: str
    added: Mapping[str, float]
    inputs: Mapping[str, float]
    resets: bool


@dataclass(frozen=True, slots=True)
class Timetable:
    """The moments of a regimen in order; the case's time 0 lies `reference` [h] after the run's beginning."""

    reference: float
    moments: tuple[Moment, ...]


def lay_out_doses(regimen: Regimen, mechanism: Mechanism, values: Mapping[str, Value]) -> Timetable:
    """When which amount enters the typical patient's model [nmol, nmol/h], lags and availabilities counted.

    The run begins at time 0 or at the first dose, whichever is earlier. Raises RegimenError for a periodic state, which
    other tools have no word for.
    """
    for dose in regimen.doses:
        if dose.steady_state:
            raise RegimenError(
                f'"{dose.text()}": a model file cannot begin in the periodic state; spell the doses out, such as '
                '"every 24 h x 30"'
            )
    start = min(0.0, regimen.first)
    numbers = {name: np.array([value.number]) for name, value in values.items()}
    given = {name: mechanism.drugs[name] for name in regimen.drugs}
    placed = place(regimen, given, numbers, numbers.get("bodyweight", np.array([np.nan])))
    states, inputs = tuple(mechanism.state_units), mechanism.inputs
    phases = lower_doses(placed, states=states, inputs=inputs, subjects=1)
    owners = _owners(regimen, given)
    moments = (m for phase in phases for m in _moments(phase.events, states, inputs, start, owners))
    return Timetable(-start, tuple(moments))


def _owners(regimen: Regimen, drugs: Mapping[str, Drug]) -> dict[str, str]:
    """Which drug by which route reaches a state or an input; isomers may share one."""
    found: dict[str, list[str]] = {}
    for drug, route in dict.fromkeys((dose.drug, dose.route) for dose in regimen.doses if dose.drug):
        for target in drugs[drug].route(route).targets:
            for symbol in (target.state, target.input):
                found.setdefault(symbol, []).append(f"{drug} {route}")
    return {symbol: " or ".join(dict.fromkeys(names)) for symbol, names in found.items()}


def _moments(
    events: Events, states: tuple[str, ...], inputs: tuple[str, ...], start: float, owners: Mapping[str, str]
) -> Iterator[Moment]:
    times = events.time[0]
    for time in np.unique(times[np.isfinite(times)]):
        added: dict[str, float] = {}
        rates: dict[str, float] = {}
        actions = set()
        for i in np.flatnonzero(times == time):
            action, target, value = int(events.action[0, i]), int(events.target[0, i]), float(events.value[0, i])
            actions.add(action)
            if action == ADD:
                added[states[target]] = added.get(states[target], 0.0) + value
            elif action == SET_INPUT:
                rates[inputs[target]] = value
        said = ["reset"] * (RESET in actions)
        said += dict.fromkeys(owners[s] for s in added)
        said += dict.fromkeys(f"{owners[s]} {'runs' if rate else 'ends'}" for s, rate in rates.items())
        title = f"{format_time(float(time))}: {', '.join(said)}"
        yield Moment(float(time - start), title, added, rates, RESET in actions)
