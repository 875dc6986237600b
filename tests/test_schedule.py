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
from antagony.schedule import ADD, RESET, SET_INPUT, Events, Phase, PlacedDose, lower_doses, place

STATES, INPUTS = ("depot", "central"), ("depot_in", "central_in")
CLEARANCE, VOLUME, ABSORPTION = 1.1, 20.0, 1.5
ELIMINATION = CLEARANCE / VOLUME


@dataclass(frozen=True)
class Oral:
    """One-compartment oral model, solved exactly: dx/dt = A x + u, so exp of [[A, u], [0, 0]] carries x onwards."""

    elimination: float = ELIMINATION

    @property
    def rates(self) -> NDArray:
        return np.array([[-ABSORPTION, 0.0], [ABSORPTION, -self.elimination]])

    def advance(self, state: NDArray, inputs: NDArray, hours: float) -> NDArray:
        generator = np.zeros((3, 3))
        generator[:2, :2], generator[:2, 2] = self.rates, inputs
        return (expm(generator * hours) @ np.append(state, 1.0))[:2]

    def run(
        self, events: Events, row: int, start: float, end: float, state: NDArray, times: list[float]
    ) -> list[NDArray]:
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
    return lower_doses(doses, states=STATES, inputs=INPUTS, subjects=subjects)


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
    got = Oral().simulate(lowered(*doses), np.array(seen["time"], dtype=float))[:, 1] / (VOLUME / 1000)
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
    [
        *({}, {"duration": 5.0}, {"duration": 12.0}, {"duration": 30.0}),  # instantaneous; <, =, > the interval
        *({"rate": 20.0}, {"rate": 100 / 12}, {"rate": 3.1}, {"rate": 0.4 * 100 / 12}),
    ],
    ids=str,
)
def test_steady_state_is_where_a_long_train_ends(
    form: dict[str, float], state: int, bioavailability: float, lag: float, elimination: float
) -> None:
    model, interval = Oral(elimination), 12.0
    infusion = {"duration": 0.0, "rate": 0.0} | form
    dose = PlacedDose(
        *(STATES[state], INPUTS[state], 100.0, 5.0, lag, bioavailability, infusion["duration"], infusion["rate"]),
        interval=interval,
        additional=3,
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


def superposed(model: Oral, arrivals: NDArray, state: int, amount: float, length: float, times: NDArray) -> NDArray:
    """Sum of single doses in closed form: Bateman's function, or its integral over the infusion."""
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
    doses = [
        PlacedDose("depot", "depot_in", 1.0, 2.0),
        PlacedDose("", time=2.0, reset=True),
        PlacedDose("central", "central_in", 4.0, 0.0, duration=2.0),
        PlacedDose("central", "central_in", 9.0, 2.0, duration=3.0),
        PlacedDose("central", "central_in", 7.0, 2.0),
    ]
    (phase,) = lowered(*doses)
    rows = list(
        zip(*(getattr(phase.events, n)[0].tolist() for n in ("time", "action", "target", "value")), strict=True)
    )
    assert rows == [
        (0.0, SET_INPUT, 1, 2.0),
        (2.0, RESET, 0, 0.0),
        (2.0, SET_INPUT, 1, 3.0),
        (2.0, ADD, 0, 1.0),
        (2.0, ADD, 1, 7.0),
        (5.0, SET_INPUT, 1, 0.0),
    ]


def random_doses(rng: np.random.Generator, count: int, subjects: int) -> list[PlacedDose]:
    doses = []
    for _ in range(count):
        form = [{}, {"duration": rng.uniform(0.5, 9)}, {"rate": rng.uniform(1, 50, subjects)}][rng.integers(3)]
        train = {"interval": float(rng.choice([6.0, 8.0])), "additional": int(rng.integers(0, 5))}
        state = int(rng.integers(2))
        lag, share = rng.choice([0.0, 1.0, 2.5]) * np.ones(subjects), rng.uniform(0.2, 1, subjects)
        moment, steady = float(rng.choice([-2.0, 0.0, 6.0, 7.5])), int(rng.choice([0, 0, 0, 2]))
        doses.append(
            PlacedDose(STATES[state], INPUTS[state], 100.0, moment, lag, share, steady_state=steady, **form, **train)
        )
    return doses


@pytest.mark.parametrize("seed", range(20))
def test_order_of_doses_and_company_do_not_matter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    doses = random_doses(rng, 7, 3)
    phases = lowered(*doses, subjects=3)
    shuffled = [doses[i] for i in rng.permutation(len(doses))]
    assert same_phases(phases, lowered(*shuffled, subjects=3))
    times = np.linspace(-2, 60, 40)
    for row in range(3):
        alone = [
            replace(d, **{n: np.broadcast_to(getattr(d, n), 3)[row] for n in ("lag", "bioavailability", "rate")})
            for d in doses
        ]
        expected = Oral().simulate(lowered(*alone), times)
        np.testing.assert_array_equal(Oral().simulate(phases, times, row), expected)


@pytest.mark.parametrize("seed", range(20))
def test_many_doses_are_the_sum_of_each_alone(seed: int) -> None:
    doses = random_doses(np.random.default_rng(seed), 6, 1)
    times = np.linspace(-2, 60, 40)
    together = Oral().simulate(lowered(*doses), times)
    alone = sum(Oral().simulate(lowered(dose), times) for dose in doses)
    np.testing.assert_allclose(together, alone, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("seed", range(10))
def test_an_input_is_exactly_zero_once_nothing_runs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    doses = [
        PlacedDose(
            "central", "central_in", 0.1 + rng.random(40), float(rng.integers(0, 5)), rate=rng.uniform(0.1, 0.3, 40)
        )
        for _ in range(9)
    ]
    (phase,) = lowered(*doses, subjects=40)
    finite = np.isfinite(phase.events.time)
    last = finite.sum(axis=1) - 1
    assert (phase.events.value[np.arange(40), last] == 0.0).all()
    assert (phase.events.value[finite] >= 0).all()
    assert (np.diff(np.where(finite, phase.events.time, 1e9), axis=1) >= 0).all()


def test_an_infusion_that_fills_its_interval_leaves_no_gap() -> None:
    dose = PlacedDose("central", "central_in", 100.0, 0.0, 0.0, 0.412, rate=4.12, interval=10.0, additional=8)
    (phase,) = lowered(replace(dose, steady_state=1))
    assert phase.events.time[0].tolist() == [0.0, 90.0]
    assert phase.events.value[0].tolist() == [4.12, 0.0]
    assert phase.steady is not None
    assert phase.steady.events.value[0].tolist() == [4.12]
    (spelled,) = lowered(dose)
    assert spelled.events.value[0].tolist() == [4.12, 0.0]


def test_every_subject_has_its_own_events() -> None:
    weight, lag = np.array([60.0, 80.0]), np.array([0.5, 2.0])
    (phase,) = lowered(PlacedDose("depot", "depot_in", weight, 1.0, lag, interval=24.0, additional=1), subjects=2)
    np.testing.assert_array_equal(phase.events.time, [[1.5, 25.5], [3.0, 27.0]])
    np.testing.assert_array_equal(phase.events.value, [[60.0, 60.0], [80.0, 80.0]])


def test_a_reset_between_lags_pads_with_infinity() -> None:
    doses = [PlacedDose("depot", "depot_in", 5.0, 0.0, np.array([1.0, 9.0])), PlacedDose("", time=4.0, reset=True)]
    (phase,) = lowered(*doses, subjects=2)
    np.testing.assert_array_equal(phase.events.time, [[1.0, 4.0], [4.0, np.inf]])


def test_nothing_given_is_no_phase() -> None:
    assert lowered(subjects=5) == ()


def test_ten_times_the_subjects_cost_about_ten_times_as_long() -> None:
    def cost(subjects: int) -> float:
        doses = random_doses(np.random.default_rng(3), 8, subjects)
        doses += [
            PlacedDose("central", "central_in", 9.0, lag=np.ones(subjects), duration=1.0, interval=24.0, additional=99)
        ]
        best = np.inf
        for _ in range(3):
            begun = time.perf_counter()
            lowered(*doses, subjects=subjects)
            best = min(best, time.perf_counter() - begun)
        return best

    assert cost(3000) < 30 * cost(300) + 0.05  # a quadratic build, as once in a peer, costs 100 times as long


# ---- refusals


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"lag": 25.0, "interval": 24.0, "steady_state": 1}, "longer than the interval"),
        ({"lag": np.array([1.0, 25.0]), "interval": 24.0, "steady_state": 2}, "longer than the interval"),
        ({"additional": 2}, "need an interval"),
        ({"steady_state": 1}, "needs an interval"),
        ({"steady_state": 3, "interval": 24.0}, "SS"),
        ({"additional": -1, "interval": 24.0}, "ADDL"),
        ({"interval": -24.0}, "below 0"),
        ({"amount": 0.0}, "amount is 0"),
        ({"amount": 0.0, "rate": 5.0, "steady_state": 1, "interval": 24.0}, "no interval"),
        ({"amount": 0.0, "rate": 5.0, "steady_state": 1, "additional": 1, "interval": 24.0}, "no interval"),
        ({"amount": 0.0, "rate": 5.0, "steady_state": 1, "lag": 1.0}, "no lag"),
        ({"amount": 0.0, "rate": 5.0}, "amount is 0"),
        ({"amount": 0.0, "duration": 5.0, "steady_state": 1}, "amount is 0"),
        ({"amount": np.nan}, "not finite"),
        ({"bioavailability": -0.1}, "bioavailability"),
        ({"lag": -1.0}, "lag"),
        ({"duration": 2.0, "rate": 3.0}, "not both"),
        ({"input": None, "duration": 2.0}, "no infusions"),
        ({"duration": np.array([2.0, 0.0])}, "0 for some"),
    ],
)
def test_a_dose_that_cannot_be_given_is_refused(fields: dict[str, object], message: str) -> None:
    base: dict[str, object] = {"state": "central", "input": "central_in", "amount": 10.0}
    with pytest.raises(RegimenError, match=message):
        PlacedDose(**(base | fields))  # type: ignore[arg-type]


def test_lowering_refuses_unknown_targets_and_clashing_steady_states() -> None:
    with pytest.raises(RegimenError, match='no state "centrl"; did you mean "central"'):
        lowered(PlacedDose("centrl", None, 1.0))
    with pytest.raises(RegimenError, match='no input "central_inn"'):
        lowered(PlacedDose("central", "central_inn", 1.0, duration=1.0))
    with pytest.raises(RegimenError, match="3 values for 2 subjects"):
        lowered(PlacedDose("central", None, np.ones(3)), subjects=2)
    steady = PlacedDose("central", None, 1.0, interval=24.0, steady_state=1)
    with pytest.raises(RegimenError, match="replace each other"):
        lowered(steady, replace(steady, interval=12.0))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"EVID": 5}, r'record 2: EVID 5 \("replace" in other tools\)'),
        ({"EVID": 7}, "record 2: EVID 7"),
        ({"EVID": 9}, "record 2: EVID 9"),
        ({"CMT": 3}, "CMT 3 is no compartment"),
        ({"RATE": -3.0}, "RATE -3"),
        ({"RATE": -2.0, "CMT": 1}, "needs a modelled duration"),
        ({"RATE": -2.0, "AMT": 0.0, "SS": 1, "II": 12.0}, "AMT 0"),
        ({"AMT": 0.0, "RATE": 5.0, "SS": 1, "ADDL": 2, "II": 12.0}, "no interval"),
        ({"ADDL": 2}, "need an interval"),
        ({"SS": 1}, "needs an interval"),
        ({"SS": -1, "II": 12.0}, "SS"),
        ({"SS": 3, "II": 12.0}, "SS"),
        ({"ADDL": -1, "II": 12.0}, "ADDL"),
        ({"ADDL": 1.5, "II": 12.0}, "whole number"),
        ({"SS": 1, "II": 12.0, "LAGT": 13.0}, "longer than the interval"),
        ({"EVID": 0}, "EVID 0 is no dose, yet AMT"),
        ({"EVID": 3}, "EVID 3 is no dose, yet AMT"),
        ({"AMT": "fifty"}, "AMT"),
        ({"AMT": -5.0}, "below 0"),
        ({"RATE": 5.0, "DUR": 2.0}, "both"),
        ({"TIME": np.nan}, "TIME is missing"),
    ],
)
def test_records_that_have_no_meaning_are_refused_by_number(row: dict[str, object], message: str) -> None:
    plain: dict[str, object] = {"ID": 1, "TIME": 5.0, "AMT": 100.0, "CMT": 2, "EVID": 1, "RATE": 0.0, "II": 0.0}
    plain |= {"ADDL": 0, "SS": 0, "LAGT": 0.0, "BIOAV": 1.0, "DUR2": 2.0, "RAT2": 10.0, "DUR": 0.0}
    assert read_records(pd.DataFrame([plain, plain]), COMPARTMENTS)[1][1].amount == 100
    with pytest.raises(RegimenError, match=message):
        read_records(pd.DataFrame([plain, plain | row]), COMPARTMENTS)


def test_records_whose_meaning_hangs_on_their_order_are_refused() -> None:
    dose = {"TIME": 10.0, "AMT": 5.0, "CMT": 1, "EVID": 1}
    reset = {"TIME": 10.0, "AMT": 0.0, "CMT": 1, "EVID": 3}
    assert len(read_records(pd.DataFrame([reset, dose]), COMPARTMENTS)[1]) == 2
    with pytest.raises(RegimenError, match="record 2: it would clear the dose of record 1"):
        read_records(pd.DataFrame([dose, reset]), COMPARTMENTS)
    with pytest.raises(RegimenError, match="record 2: time steps back"):
        read_records(pd.DataFrame([dose, reset | {"TIME": 0.0}, dose | {"TIME": 2.0}]), COMPARTMENTS)


def test_records_keep_every_subject_and_its_label() -> None:
    rows = [{"ID": label, "time": t, "amt": a, "cmt": 1} for label in (7, "B2", 3) for t, a in ((0.0, 5.0), (1.0, 0.0))]
    rows.append({"ID": 99, "time": 0.0, "amt": 0.0, "cmt": 1})
    doses = read_records(pd.DataFrame(rows), COMPARTMENTS)
    assert list(doses) == [7, "B2", 3, 99]
    assert [len(d) for d in doses.values()] == [1, 1, 1, 0]


def test_stated_durations_of_other_tools_are_read() -> None:
    row = {"TIME": 0.0, "AMT": 100.0, "CMT": 1, "EVID": 1, "DUR": 4.0}
    (dose,) = read_records(pd.DataFrame([row]), COMPARTMENTS)[1]
    assert dose.duration == 4.0
    with pytest.raises(RegimenError, match="TINF"):
        read_records(pd.DataFrame([row | {"TINF": 3.0}]), COMPARTMENTS)


# ---- from a prescription to targets


def spray() -> Drug:
    split = ByDose((28.0, 56.0), (0.5, 0.4)), ByDose((28.0, 56.0), (0.5, 0.6))
    nose = Target("depot", "depot_in", fraction=split[0], lag="spray_lag")
    gut = Target("central", "central_in", fraction=split[1], F="gut_share", duration="swallow")
    routes = {"nasal": Route((nose, gut)), "iv": Route((Target("central", "central_in"),))}
    return Drug("spray", "Spray", 250.0, "", 0.8, "", (), (), routes, (), (), (), "", {})


VALUES = {"spray_lag": np.array([0.1, 0.2]), "gut_share": np.array([0.3, 0.6]), "swallow": np.array([1.0, 2.0])}


def test_a_regimen_is_split_over_the_targets_of_its_route() -> None:
    doses = place(parse_regimen("spray 42 mg nasal at 1 h"), {"spray": spray()}, VALUES, np.array([60.0, 80.0]))
    nose, gut = doses
    np.testing.assert_allclose(nose.amount, 42 * 0.45 * 0.8 * 1e6 / 250)
    np.testing.assert_allclose(gut.amount, 42 * 0.55 * 0.8 * 1e6 / 250)
    (phase,) = lowered(*doses, subjects=2)
    np.testing.assert_allclose(phase.events.time, [[1.0, 1.1, 2.0], [1.0, 1.2, 3.0]])
    total = np.asarray(gut.amount) * VALUES["gut_share"]
    np.testing.assert_allclose(phase.events.value[:, 0], total / VALUES["swallow"])


def test_a_dose_per_kg_counts_each_body_weight() -> None:
    weights = np.array([60.0, 80.0])
    for text in ("spray 0.5 mg/kg iv over 30 min", "spray 0.5 mg/kg iv rate 1 mg/kg/h"):
        (dose,) = place(parse_regimen(text), {"spray": spray()}, VALUES, weights)
        (phase,) = lowered(dose, subjects=2)
        np.testing.assert_allclose(phase.events.value[:, 0], weights * 1.0 * 3200)
        np.testing.assert_allclose(phase.events.time, [[0.0, 0.5]] * 2)


def test_train_steady_state_and_reset_reach_every_target() -> None:
    text = "spray 28 mg nasal at 3 h ss every 24 h x 4 after reset; reset at 7 d"
    *doses, reset = place(parse_regimen(text), {"spray": spray()}, VALUES, 70.0)
    assert len(doses) == 2
    assert {(d.time, d.interval, d.additional, d.steady_state, d.reset) for d in doses} == {(3.0, 24.0, 3, 1, True)}
    assert (reset.is_reset_only, reset.time) == (True, 168.0)
    (phase,) = lowered(*doses, reset, subjects=2)
    assert phase.steady is not None
    assert not phase.steady.adds  # both shares settle together
    assert set(phase.steady.events.action[0].tolist()) == {ADD, SET_INPUT}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("spray 84 mg nasal", "outside the known doses"),
        ("spray 28 mg po", 'no route "po"'),
        ("sprax 28 mg nasal", 'unknown drug "sprax"; did you mean "spray"'),
        ("spray 28 mg nasal over 5 min", "own pace"),
        ("spray 0.5 mg/kg iv", "bodyweight"),
    ],
)
def test_a_regimen_that_no_route_takes_is_refused_with_its_clause(text: str, message: str) -> None:
    with pytest.raises(RegimenError, match=f'"{text}": .*{message}'):
        place(parse_regimen(text), {"spray": spray()}, VALUES, np.full(2, np.nan))
