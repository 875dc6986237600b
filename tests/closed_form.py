"""Dosing records answered twice: through the package, and by sums of exponentials that share no code with it.

One-compartment oral model of two subjects; one's half-time is a third of the interval, the other's 38 intervals.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import antimony
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from antagony.exchange.nonmem import Compartment, read_records
from antagony.kernel.build import build_kernel
from antagony.kernel.library import Kernel
from antagony.schedule import lower_doses
from antagony.simulation import run_phases

DEPOT, CENTRAL = 1, 2
ABSORPTION = 1.5  # 1/h
ELIMINATION = np.array([0.1733, 0.0015])  # 1/h of the two subjects: half-times 4 h and 462 h
SOLVER: dict[str, Any] = {"rtol": 1e-9, "atol": 1e-9, "threads": 1}
AGREED: dict[str, Any] = {"rtol": 1e-6, "atol": 1e-7}  # doses are 100; absolute only where nothing is left

SETTINGS: dict[str, Any] = {"bioavailability": "F", "lag": "LAG", "duration": "D", "rate": "R"}
COMPARTMENTS = {
    DEPOT: Compartment("depot", "depot_in", **SETTINGS),
    CENTRAL: Compartment("central", "central_in", **SETTINGS),
}
ORAL = """
  depot' = depot_in - absorption*depot; central' = central_in + absorption*depot - elimination*central
  depot = 0; central = 0; depot_in = 0; central_in = 0; absorption = 1.5; elimination = 0.1
"""
NO_DOSE: dict[str, Any] = {"EVID": 0, "CMT": 0, "AMT": 0.0, "RATE": 0.0, "II": 0.0, "ADDL": 0, "SS": 0}
PLAIN: dict[str, Any] = NO_DOSE | {"EVID": 1, "CMT": CENTRAL, "F": 1.0, "LAG": 0.0, "D": 0.0, "R": 0.0, "DUR": 0.0}


@cache
def compiled(text: str) -> Kernel:
    """Kernel of a model whose states are depot and central."""
    antimony.clearPreviousLoads()
    assert antimony.loadAntimonyString(f"model m\n{text}\nend\n") >= 0, antimony.getLastError()
    return build_kernel(str(antimony.getSBMLString("m")), inputs=["depot_in", "central_in"])


def simulate_records(
    rows: Sequence[Mapping[str, Any]], times: NDArray, text: str = ORAL, **parameters: NDArray
) -> NDArray:
    """Amounts (subject, time, compartment) of a model dosed by records, as a modeller would run it."""
    kernel = compiled(text)
    (doses,) = read_records(pd.DataFrame([{**PLAIN, **row} for row in rows]), COMPARTMENTS).values()
    count = max((len(values) for values in parameters.values()), default=1)
    table = np.tile(kernel.defaults, (count, 1))
    for name, values in parameters.items():
        table[:, kernel.index(name)] = values
    phases = lower_doses(doses, states=kernel.states, inputs=kernel.inputs, subjects=count)
    values, failed = run_phases(kernel, table, phases, times, ["depot", "central"], SOLVER)
    assert not failed
    return values


@dataclass(frozen=True)
class Given:
    """What a record means: `amount` arrives, at once or evenly over `length` [h], after `lag`, every `interval`.

    A steady state without an interval is a constant infusion of `amount` an hour, which ends at its record.
    """

    time: float
    target: int = 0
    amount: float = 0.0
    length: float = 0.0
    lag: float = 0.0
    interval: float = 0.0
    additional: int = 0
    steady: int = 0
    clears: bool = False


def answer(given: Sequence[Given], times: NDArray, elimination: NDArray = ELIMINATION) -> NDArray:
    """Amounts (subject, time, compartment): every dose by itself, up to whatever clears it, all added up."""
    total = np.zeros((len(elimination), len(times), 2))
    for dose in given:
        later = [other.time for other in given if other.clears and other.time > dose.time]
        seen = (times >= dose.time) & (times < min(later, default=np.inf))
        for subject, slow in enumerate(elimination):
            for compartment, share, rate in modes(dose.target, float(slow)):
                total[subject, seen, compartment - 1] += share * decay_together(dose, times[seen], rate)
    return total


def modes(target: int, elimination: float) -> list[tuple[int, float, float]]:
    """(compartment, share, rate): what one unit into `target` becomes is a sum of share * exp(-rate * age)."""
    if not target:
        return []
    if target == CENTRAL:
        return [(CENTRAL, 1.0, elimination)]
    gain = ABSORPTION / (ABSORPTION - elimination)
    return [(DEPOT, 1.0, ABSORPTION), (CENTRAL, gain, elimination), (CENTRAL, -gain, ABSORPTION)]


def decay_together(dose: Given, times: NDArray, rate: float) -> NDArray:
    """What is left of all that a record gives, were there this rate alone."""
    age = times - dose.time - dose.lag
    if dose.steady and not dose.interval:
        return dose.amount / rate * np.exp(-rate * age)
    past = decay_endless(dose, age, rate) if dose.steady else np.zeros_like(age)
    given = (decay(age - k * dose.interval, dose.length, rate) for k in range(dose.additional + 1))
    return dose.amount * sum(given, past)


def decay(age: NDArray, length: float, rate: float) -> NDArray:
    """What is left of one unit given at once, or evenly over `length`."""
    if not length:
        return np.where(age >= 0, np.exp(-rate * np.maximum(age, 0)), 0.0)
    begun, ended = np.maximum(age, 0), np.maximum(age - length, 0)
    return (np.exp(-rate * ended) - np.exp(-rate * begun)) / (rate * length)


def decay_endless(dose: Given, age: NDArray, rate: float) -> NDArray:
    """What is left of all doses before the record: those that may still run one by one, the others as a series."""
    running = math.ceil((dose.length + dose.lag) / dose.interval) if dose.length else 0
    near = sum(decay(age + m * dose.interval, dose.length, rate) for m in range(1, running + 1))
    size = math.expm1(rate * dose.length) / (rate * dose.length) if dose.length else 1.0
    return near + size * np.exp(-rate * (age + (running + 1) * dose.interval)) / -math.expm1(-rate * dose.interval)


def spread(dose: Given) -> NDArray:
    """Moments at, just before and just after all that a dose does, and far behind it."""
    starts = dose.time + dose.lag + dose.interval * np.arange(dose.additional + 2)
    edges = np.unique([dose.time, *starts, *(starts + dose.length % (dose.interval or 1.0)), *(starts + dose.length)])
    moments = [edges - 1e-3, edges, edges + 1e-3, edges + 0.7, dose.time + np.array([3.0, 90.0, 400.0])]
    return np.unique(np.concatenate(moments))
