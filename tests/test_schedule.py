"""Doses lowered to events, run through an exact solver of the linear model that shares no code with them."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy.linalg import expm

from antagony.drug import ByDose, Drug, Route, Target
from antagony.errors import RegimenError
from antagony.exchange.nonmem import Compartment, read_records
from antagony.regimen import parse_regimen
from antagony.schedule import ADD, RESET, SET_INPUT, Events, Phase, PlacedDose, place, schedule

STATES, INPUTS = ("depot", "central"), ("depot_in", "central_in")
CLEARANCE, VOLUME, ABSORPTION = 1.1, 20.0, 1.5
ELIMINATION = CLEARANCE / VOLUME


@dataclass(frozen=True)
class Oral:
    """One-compartment oral model, solved exactly: dx/dt = A x + u, so exp of [[A, u], [0, 0]] carries x over a stretch."""

    elimination: float = ELIMINATION

    @property
    def rates(self) -> NDArray:
        return np.array([[-ABSORPTION, 0.0], [ABSORPTION, -self.elimination]])

    def advance(self, state: NDArray, inputs: NDArray, hours: float) -> NDArray:
        generator = np.zeros((3, 3))
        generator[:2, :2], generator[:2, 2] = self.rates, inputs
        return (expm(generator * hours) @ np.append(state, 1.0))[:2]

    def run(self, events: Events, row: int, start: float, end: float, state: NDArray, times: list[float]) -> list[NDArray]:
        """States at `times`, then the one at `end`; what happens at `end` itself belongs to whoever comes next."""
        inputs, now, seen = np.zeros(2), start, []
        wanted = sorted(times)
        rows = zip(*(getattr(events, name)[row] for name in ("time", "action", "target", "value")), strict=True)
        happenings = [event for event in rows if np.isfinite(event[0])]
        for when, action, target, value in [*happenings, (np.inf, -1, 0, 0.0)]:
            while wanted and wanted[0] < when:
                seen.append(self.advance(state, inputs, wanted.pop(0) - now))
            if action < 0:
                break
            assert start <= when <= end
            state, now = self.advance(state, inputs, when - now), when
            if action == ADD:
                state = state + np.eye(2)[target] * value
            elif action == SET_INPUT:
                inputs[target] = value
            elif action == RESET:
                state = np.zeros(2)
        return [*seen, self.advance(state, inputs, end - now) if np.isfinite(end) else state]

    def simulate(self, phases: tuple[Phase, ...], times: NDArray, row: int = 0) -> NDArray:
        """States (time, state) of one subject; a steady state is the fixed point of one period, solved exactly."""
        state, result = np.zeros(2), np.zeros((len(times), 2))
        for i, phase in enumerate(phases):
            end = phases[i + 1].start if i + 1 < len(phases) else np.inf
            if phase.steady is not None:
                begin = phase.start - phase.steady.period
                gained = self.run(phase.steady.events, row, begin, phase.start, np.zeros(2), [])[-1]
                carried = expm(self.rates * phase.steady.period)
                periodic = np.linalg.solve(np.eye(2) - carried, gained)
                state = state + periodic if phase.steady.adds else periodic
            here = np.flatnonzero((times >= phase.start) & (times < end))
            *seen, state = self.run(phase.events, row, phase.start, end, state, list(times[here]))
            result[here] = seen if seen else result[here]
        return result


def lowered(*doses: PlacedDose, subjects: int = 1) -> tuple[Phase, ...]:
    return schedule(doses, states=STATES, inputs=INPUTS, subjects=subjects)


def same_phases(left: tuple[Phase, ...], right: tuple[Phase, ...]) -> bool:
    def arrays(phases: tuple[Phase, ...]) -> list[NDArray]:
        events = [e for p in phases for e in ([p.events, p.steady.events] if p.steady else [p.events])]
        return [getattr(e, name) for e in events for name in ("time", "action", "target", "value")]

    pairs = list(zip(arrays(left), arrays(right), strict=True))
    assert [p.start for p in left] == [p.start for p in right]
    return all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in pairs)


# ---- NONMEM's own answers


def suite() -> Path | None:
    root = Path(__file__).resolve().parents[1]
    folder = Path(os.environ.get("SUITES", root.parent / "shared" / "suites"))
    path = folder / "nonmem-dosing.csv"
    return path if path.exists() else None


COMPARTMENTS = {  # LAGT and BIOAV act on compartment 2 of these scenarios
    1: Compartment("depot", "depot_in"),
    2: Compartment("central", "central_in", bioavailability="BIOAV", lag="LAGT", duration="DUR2", rate="RAT2"),
}


@pytest.mark.skipif(suite() is None, reason="nonmem-dosing.csv is absent; name its folder in SUITES")
@pytest.mark.parametrize("scenario", range(1, 30))
def test_doses_are_answered_as_nonmem_does(scenario: int) -> None:
    path = suite()
    assert path is not None
    table = pd.read_csv(path, na_values=".").query("ID == @scenario")
    seen = table[table["evid"] == 0]
    assert len(seen) > 100
    doses = read_records(table, COMPARTMENTS)[scenario]
    got = Oral().simulate(lowered(*doses), seen["time"].to_numpy(dtype=float))[:, 1] / (VOLUME / 1000)
    np.testing.assert_allclose(got, seen["CP"], rtol=1e-3, atol=1e-6)
    shuffled = read_records(table.sample(frac=1, random_state=scenario), COMPARTMENTS)[scenario]
    assert same_phases(lowered(*doses), lowered(*shuffled))


# ---- steady state against a long spelled-out train


TRAIN = 4000


@pytest.mark.parametrize("elimination", [ELIMINATION, 0.003])  # a half-time of 231 h: more than 50 cycles to settle
@pytest.mark.parametrize("lag", [0.0, 2.5, 11.9999, 12.0])
@pytest.mark.parametrize("bioavailability", [0.4, 1.0, 1.7])
@pytest.mark.parametrize("state", [0, 1])
@pytest.mark.parametrize(
    "form",
    [{}, {"duration": 5.0}, {"duration": 12.0}, {"duration": 30.0}]  # instantaneous; <, =, > the interval
    + [{"rate": 20.0}, {"rate": 100 / 12}, {"rate": 3.1}, {"rate": 0.4 * 100 / 12}],
    ids=str,
)
def test_steady_state_is_where_a_long_train_ends(
    form: dict[str, float], state: int, bioavailability: float, lag: float, elimination: float
) -> None:
    model, interval = Oral(elimination), 12.0
    dose = PlacedDose(
        STATES[state], INPUTS[state], 100.0, 5.0, lag, bioavailability, interval=interval, additional=3, **form
    )
    times = 5.0 + np.array([0.0, 0.3, 2.5, 4.0, 11.9, 12.0, 30.0, 47.0, 90.0])
    steady = model.simulate(lowered(replace(dose, steady_state=1)), times)
    length = spelled_length(dose)
    arrivals = 5.0 + lag + interval * np.arange(-TRAIN, 4)
    spelled = superposed(model, arrivals, state, 100.0 * bioavailability, length, times)
    np.testing.assert_allclose(steady, spelled, rtol=1e-6, atol=1e-6)


def spelled_length(dose: PlacedDose) -> float:
    if np.any(np.asarray(dose.rate) > 0):
        return float(np.asarray(dose.bioavailability) * dose.amount / dose.rate)
    return float(np.asarray(dose.duration))


def superposed(
    model: Oral, arrivals: NDArray, state: int, amount: float, length: float, times: NDArray
) -> NDArray:
    """Sum of single doses in closed form (the model is linear): Bateman's function, or its integral over an infusion."""
    age = times[:, None] - arrivals[None, :]
    if length == 0:
        parts = np.where(age >= 0, np.stack(bateman(model.elimination, state, np.maximum(age, 0))), 0.0)
        return (amount * parts.sum(axis=2)).T
    begun, ended = np.maximum(age, 0), np.maximum(age - length, 0)
    whole = np.stack(bateman_integral(model.elimination, state, begun))
    past = np.stack(bateman_integral(model.elimination, state, ended))
    return (amount / length * (whole - past).sum(axis=2)).T


def bateman(k: float, state: int, t: NDArray) -> tuple[NDArray, NDArray]:
    a = ABSORPTION
    if state == 1:
        return np.zeros_like(t), np.exp(-k * t)
    return np.exp(-a * t), a / (a - k) * (np.exp(-k * t) - np.exp(-a * t))


def bateman_integral(k: float, state: int, t: NDArray) -> tuple[NDArray, NDArray]:
    a = ABSORPTION
    rise_a, rise_k = -np.expm1(-a * t) / a, -np.expm1(-k * t) / k
    return (np.zeros_like(t), rise_k) if state == 1 else (rise_a, a / (a - k) * (rise_k - rise_a))


def test_added_steady_state_leaves_what_was_there() -> None:
    before = PlacedDose("central", "central_in", 70.0, -3.0, duration=20.0)
    added = PlacedDose("depot", "depot_in", 50.0, 6.0, lag=1.0, interval=8.0, steady_state=2, additional=1)
    times = np.array([-1.0, 5.9, 6.0, 6.9, 7.1, 16.9, 17.1, 40.0])
    model = Oral()
    together = model.simulate(lowered(before, added), times)
    alone = model.simulate(lowered(before), times) + model.simulate(lowered(replace(added, steady_state=1)), times)
    np.testing.assert_allclose(together, alone, rtol=1e-12)


def test_constant_infusion_ends_at_its_record() -> None:
    dose = PlacedDose("central", "central_in", 0.0, 4.0, rate=10.0, steady_state=1)
    got = Oral().simulate(lowered(dose), np.array([4.0, 9.0]))[:, 1]
    np.testing.assert_allclose(got, 10 / ELIMINATION * np.exp(-ELIMINATION * np.array([0.0, 5.0])), rtol=1e-12)


# ---- what a reset, a tie and an order do


def test_reset_clears_amounts_infusions_and_pending_doses() -> None:
    train = PlacedDose("central", "central_in", 100.0, 0.0, lag=3.0, duration=6.0, interval=8.0, additional=5)
    bolus = PlacedDose("depot", "depot_in", 10.0, 12.5, lag=2.0)
    reset = PlacedDose("", time=13.0, reset=True)
    after = PlacedDose("depot", "depot_in", 30.0, 13.0)
    times = np.array([12.0, 13.0, 16.0, 40.0])
    got = Oral().simulate(lowered(train, bolus, reset, after), times)
    np.testing.assert_allclose(got[1:], Oral().simulate(lowered(after), times)[1:], rtol=1e-12)
    assert got[0, 1] > 0
    (phase,) = lowered(train, bolus, reset)
    assert phase.events.time.max() == 13.0
    assert phase.events.action[0, -2:].tolist() == [RESET, SET_INPUT]
    assert phase.events.value[0, -1] == 0.0


def test_replacing_steady_state_clears_like_a_reset() -> None:
    train = PlacedDose("central", "central_in", 100.0, 0.0, duration=6.0, interval=8.0, additional=5)
    steady = PlacedDose("depot", "depot_in", 50.0, 10.0, interval=24.0, steady_state=1)
    times = np.array([10.0, 20.0, 50.0])
    expected = Oral().simulate(lowered(steady), times)
    np.testing.assert_allclose(Oral().simulate(lowered(train, steady), times), expected, rtol=1e-12)
    reset_and_added = replace(steady, steady_state=2, reset=True)
    np.testing.assert_allclose(Oral().simulate(lowered(train, reset_and_added), times), expected, rtol=1e-12)


def test_ties_have_a_written_order() -> None:
    (phase,) = lowered(
        PlacedDose("depot", "depot_in", 1.0, 2.0),
        PlacedDose("central", "central_in", 4.0, 0.0, duration=2.0),
        PlacedDose("central", "central_in", 6.0, 2.0, duration=3.0),
        PlacedDose("central", "central_in", 7.0, 2.0),
    )
    events = phase.events
    assert events.time[0].tolist() == [0.0, 2.0, 2.0, 5.0] or events.time[0].tolist() == [0.0, 2.0, 2.0, 5.0]
