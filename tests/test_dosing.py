"""NONMEM dosing records through the kernel, each combination against a closed form that shares no code with them.

    route x form x length (<, =, > the interval) x SS x ADDL x lag x F, each behind an earlier dose that may go on
    several records at one time, resets, trains that cross them, constant infusions
    saturable elimination, which has no closed form: the same doses spelled out one by one for more than 12 half-times

The solver's tolerance is 1e-9; agreement is asked to 1e-6 and is near 1e-9.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from closed_form import (
    AGREED,
    CENTRAL,
    COMPARTMENTS,
    DEPOT,
    ELIMINATION,
    NO_DOSE,
    PLAIN,
    Given,
    answer,
    simulate_records,
    spread,
)

from antagony.errors import RegimenError, SimulationError
from antagony.exchange.nonmem import Compartment, read_records

INTERVAL = 12.0
START = 5.0  # h, the time of the record that is asked about
AMOUNT = 100.0

# ---- one record in every combination


EARLIER = [  # 3 h before the record: one is there at once, the other runs on for two days
    {"TIME": START - 3, "CMT": CENTRAL, "AMT": 40.0},
    {"TIME": START - 3, "CMT": DEPOT, "AMT": 96.0, "RATE": 2.0},
]
EARLIER_GIVEN = [Given(START - 3, CENTRAL, 40.0), Given(START - 3, DEPOT, 96.0, length=48.0)]
LENGTHS = {"short": 4.5, "fills": INTERVAL, "overlaps": 2.25 * INTERVAL}
LAGS = {"no lag": 0.0, "lag": 1.25, "late": 11.75, "lag = II": INTERVAL}
SHARES = {"F 0.5": 0.5, "F 1": 1.0, "F 1.7": 1.7}
TARGETS = {"oral": DEPOT, "iv": CENTRAL}
FORMS = ("bolus", "RATE", "RATE -1", "RATE -2", "DUR")


@dataclass(frozen=True)
class Combination:
    """One record: where it goes, how long it lasts once F is counted, how often, and what state it begins from."""

    route: str
    form: str
    length: str
    steady: int
    additional: int
    event: int
    lag: str
    share: str

    def __str__(self) -> str:
        lasts = "" if self.form == "bolus" else f" {self.length}"
        start = f"SS{self.steady} ADDL{self.additional} EVID{self.event}"
        return f"{self.route} {self.form}{lasts} {start} {self.lag} {self.share}"

    @property
    def row(self) -> dict[str, Any]:
        """The record. RATE lasts F * AMT / RATE and so does -1; -2 lasts D whatever F is."""
        share, length = SHARES[self.share], LENGTHS[self.length]
        rate = share * AMOUNT / length
        forms: dict[str, dict[str, float]] = {
            "bolus": {},
            "RATE": {"RATE": rate},
            "RATE -1": {"RATE": -1.0, "R": rate},
            "RATE -2": {"RATE": -2.0, "D": length},
            "DUR": {"DUR": length},
        }
        plain = {"TIME": START, "EVID": self.event, "CMT": TARGETS[self.route], "AMT": AMOUNT}
        train = {"II": INTERVAL * (self.steady > 0 or self.additional > 0), "ADDL": self.additional, "SS": self.steady}
        return {**plain, **train, "F": share, "LAG": LAGS[self.lag], **forms[self.form]}

    @property
    def given(self) -> Given:
        return Given(
            START,
            TARGETS[self.route],
            SHARES[self.share] * AMOUNT,
            length=0.0 if self.form == "bolus" else LENGTHS[self.length],
            lag=LAGS[self.lag],
            interval=INTERVAL,
            additional=self.additional,
            steady=self.steady,
            clears=self.steady == 1 or self.event == 4,
        )


def combinations() -> Iterator[Combination]:
    """Every form with every beginning; DUR and EVID 4, which are -2 and a reset with EVID 1, with fewer."""
    beginnings = itertools.product((0, 1, 2), (0, 3), (1, 4), LAGS, SHARES)
    for steady, additional, event, lag, share in beginnings:
        for route, form in itertools.product(TARGETS, FORMS):
            for length in LENGTHS if form != "bolus" else ("short",):
                if (event == 1 and form != "DUR") or (lag, share) in (("late", "F 0.5"), ("no lag", "F 1.7")):
                    yield Combination(route, form, length, steady, additional, event, lag, share)


COMBINATIONS = list(combinations())
CHOSEN = [
    pytest.param(combination, marks=[pytest.mark.proof] * (place % 7 > 0), id=str(combination))
    for place, combination in enumerate(COMBINATIONS)
]


def test_the_grid_is_whole() -> None:
    assert len({str(combination) for combination in COMBINATIONS}) == len(COMBINATIONS) > 1500
    for few in (COMBINATIONS, COMBINATIONS[::7]):
        assert {(c.route, c.form, c.length) for c in few} >= set(itertools.product(TARGETS, FORMS[1:], LENGTHS))
        assert {(c.steady, c.additional, c.lag) for c in few} == set(itertools.product((0, 1, 2), (0, 3), LAGS))
        assert {(c.share, c.event) for c in few} >= set(itertools.product(("F 0.5", "F 1.7"), (1, 4)))


@pytest.mark.parametrize("combination", CHOSEN)
def test_a_record_means_what_its_closed_form_says(combination: Combination) -> None:
    times = spread(combination.given)
    got = simulate_records([*EARLIER, combination.row], times, elimination=ELIMINATION)
    np.testing.assert_allclose(got, answer([*EARLIER_GIVEN, combination.given], times), **AGREED)


# ---- several records at one time, and records that meet others


def bolus(time: float, target: int = CENTRAL, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    return {"TIME": time, "CMT": target, "AMT": AMOUNT, **more}


SEEN, RESET, OTHER = ({**NO_DOSE, "EVID": event} for event in (0, 3, 2))
CLEARED = Given(50.0, clears=True)
TRAIN, TRAIN_GIVEN = {"II": 12.0, "ADDL": 6}, {"interval": 12.0, "additional": 6}
HOUR = Given(5.0, CENTRAL, 100.0)  # a bolus

SCENES: dict[str, tuple[list[dict[str, Any]], list[Given]]] = {
    "two boluses into one compartment": ([bolus(5), bolus(5, AMT=30.0)], [HOUR, replace(HOUR, amount=30.0)]),
    "two boluses that are equal": ([bolus(5), bolus(5)], [HOUR, HOUR]),
    "a bolus into each compartment": ([bolus(5), bolus(5, DEPOT)], [HOUR, Given(5, DEPOT, 100)]),
    "a bolus and an infusion that goes on": ([bolus(5), bolus(5, RATE=10.0)], [HOUR, Given(5, CENTRAL, 100, 10)]),
    "two infusions of different length": (
        [bolus(5, RATE=10.0), bolus(5, RATE=40.0)],
        [Given(5, CENTRAL, 100, 10), Given(5, CENTRAL, 100, 2.5)],
    ),
    "an infusion that starts as another ends": (
        [bolus(5, RATE=10.0), bolus(15, RATE=20.0)],
        [Given(5, CENTRAL, 100, 10), Given(15, CENTRAL, 100, 5)],
    ),
    "an infusion inside another": (
        [bolus(5, RATE=10.0), bolus(7, RATE=50.0)],
        [Given(5, CENTRAL, 100, 10), Given(7, CENTRAL, 100, 2)],
    ),
    "a bolus as an infusion ends": ([bolus(5, RATE=10.0), bolus(15)], [Given(5, CENTRAL, 100, 10), Given(15, 2, 100)]),
    "a lagged dose that arrives with another": (
        [bolus(5, DEPOT, LAG=3.0), bolus(8, DEPOT)],
        [Given(5, DEPOT, 100, lag=3), Given(8, DEPOT, 100)],
    ),
    "two trains that meet": (
        [bolus(5, II=6.0, ADDL=9), bolus(11, DEPOT, II=9.0, ADDL=7)],
        [Given(5, CENTRAL, 100, interval=6, additional=9), Given(11, DEPOT, 100, interval=9, additional=7)],
    ),
    "each dose of a train with its own lag": (
        [bolus(5, DEPOT, II=6.0, ADDL=9, LAG=5.5)],
        [Given(5, DEPOT, 100, lag=5.5, interval=6, additional=9)],
    ),
    "a lag longer than the interval": (
        [bolus(5, DEPOT, II=6.0, ADDL=9, LAG=20.0)],
        [Given(5, DEPOT, 100, lag=20, interval=6, additional=9)],
    ),
    "a dose seen from above and below": ([{**SEEN, "TIME": 5}, bolus(5), {**SEEN, "TIME": 5}], [HOUR]),
    "a dose of a train seen from above": ([bolus(5, **TRAIN), {**SEEN, "TIME": 17}], [replace(HOUR, **TRAIN_GIVEN)]),
    "an other event changes nothing": ([bolus(5, **TRAIN), {**OTHER, "TIME": 20}], [replace(HOUR, **TRAIN_GIVEN)]),
    "a reset": ([bolus(5), {**RESET, "TIME": 50}], [HOUR, CLEARED]),
    "a reset, then a dose": ([bolus(5), {**RESET, "TIME": 50}, bolus(50)], [HOUR, CLEARED, Given(50, 2, 100)]),
    "a reset inside a train": ([bolus(5, **TRAIN), {**RESET, "TIME": 50}], [replace(HOUR, **TRAIN_GIVEN), CLEARED]),
    "a reset at a dose of a train": (
        [bolus(2, **TRAIN), {**RESET, "TIME": 50}],
        [Given(2, CENTRAL, 100, **TRAIN_GIVEN), CLEARED],
    ),
    "a reset while a train of infusions runs": (
        [bolus(2, RATE=10.0, **TRAIN), {**RESET, "TIME": 54}, bolus(54, DEPOT)],
        [Given(2, CENTRAL, 100, 10, **TRAIN_GIVEN), Given(54, clears=True), Given(54, DEPOT, 100)],
    ),
    "a reset within a lag": (
        [bolus(45, DEPOT, LAG=9.0), {**RESET, "TIME": 50}],
        [Given(45, DEPOT, 100, lag=9), CLEARED],
    ),
    "a reset before anything was given": ([{**RESET, "TIME": 1}, bolus(5)], [Given(1, clears=True), HOUR]),
    "two resets with a dose each": (
        [bolus(5), bolus(50, EVID=4), bolus(70, DEPOT, EVID=4)],
        [HOUR, Given(50, CENTRAL, 100, clears=True), Given(70, DEPOT, 100, clears=True)],
    ),
    "a reset and dose, then a dose at that time": (
        [bolus(5), bolus(50, EVID=4), bolus(50, DEPOT)],
        [HOUR, Given(50, CENTRAL, 100, clears=True), Given(50, DEPOT, 100)],
    ),
    "a steady state replaces a running train": (
        [bolus(5, RATE=10.0, **TRAIN), bolus(50, DEPOT, SS=1, II=8.0)],
        [Given(5, CENTRAL, 100, 10, **TRAIN_GIVEN), Given(50, DEPOT, 100, interval=8, steady=1, clears=True)],
    ),
    "a steady state, then a dose at that time": (
        [bolus(5, SS=1, II=8.0), bolus(5, DEPOT)],
        [Given(5, CENTRAL, 100, interval=8, steady=1, clears=True), Given(5, DEPOT, 100)],
    ),
    "one steady state added to another, other intervals": (
        [bolus(5, SS=1, II=24.0), bolus(17, SS=2, II=24.0, AMT=30.0), bolus(17, DEPOT, SS=2, II=8.0)],
        [
            Given(5, CENTRAL, 100, interval=24, steady=1, clears=True),
            Given(17, CENTRAL, 30, interval=24, steady=2),
            Given(17, DEPOT, 100, interval=8, steady=2),
        ],
    ),
    "two added steady states at once": (
        [bolus(5, SS=2, II=12.0), bolus(5, DEPOT, SS=2, II=12.0, RATE=5.0)],
        [Given(5, CENTRAL, 100, interval=12, steady=2), Given(5, DEPOT, 100, 20, interval=12, steady=2)],
    ),
    "a steady state twice": (
        [bolus(5, SS=1, II=12.0), bolus(50, SS=1, II=6.0)],
        [
            Given(5, CENTRAL, 100, interval=12, steady=1, clears=True),
            Given(50, CENTRAL, 100, interval=6, steady=1, clears=True),
        ],
    ),
    "a steady state that a reset ends": (
        [bolus(5, SS=1, RATE=5.0, **TRAIN), {**RESET, "TIME": 50}],
        [Given(5, CENTRAL, 100, 20, interval=12, additional=6, steady=1, clears=True), CLEARED],
    ),
    "a steady state with a lag that a reset ends": (
        [bolus(45, DEPOT, SS=1, LAG=9.0, **TRAIN), {**RESET, "TIME": 50}],
        [Given(45, DEPOT, 100, lag=9, interval=12, additional=6, steady=1, clears=True), CLEARED],
    ),
    "an infusion far longer than its interval": (
        [bolus(5, SS=1, RATE=0.5, II=6.0)],
        [Given(5, CENTRAL, 100, 200, interval=6, steady=1, clears=True)],
    ),
    "a constant infusion": (
        [bolus(3), bolus(5, AMT=0.0, RATE=7.0, SS=1)],
        [Given(3, CENTRAL, 100), Given(5, CENTRAL, 7.0, steady=1, clears=True)],
    ),
    "a constant infusion of modelled rate": (
        [bolus(5, DEPOT, AMT=0.0, RATE=-1.0, R=7.0, SS=1)],
        [Given(5, DEPOT, 7.0, steady=1, clears=True)],
    ),
    "a constant infusion does not feel F": (
        [bolus(5, AMT=0.0, RATE=7.0, SS=1, F=0.5)],
        [Given(5, CENTRAL, 7.0, steady=1, clears=True)],
    ),
    "a constant infusion added": (
        [bolus(3), bolus(5, AMT=0.0, RATE=7.0, SS=2)],
        [Given(3, CENTRAL, 100), Given(5, CENTRAL, 7.0, steady=2)],
    ),
    "a constant infusion, then the same at its rate": (
        [bolus(5, AMT=0.0, RATE=7.0, SS=1), bolus(5, AMT=70.0, RATE=7.0)],
        [Given(5, CENTRAL, 7.0, steady=1, clears=True), Given(5, CENTRAL, 70, 10)],
    ),
    "nothing arrives where F is 0": ([bolus(3), bolus(5, F=0.0), bolus(5, F=0.0, RATE=5.0)], [Given(3, CENTRAL, 100)]),
    "an F for each record": (
        [bolus(5, F=0.5, **TRAIN), bolus(20, F=2.0)],
        [Given(5, CENTRAL, 50, **TRAIN_GIVEN), Given(20, CENTRAL, 200)],
    ),
    "a lag and a duration for each record": (
        [bolus(5, LAG=4.0, RATE=-2.0, D=3.0, **TRAIN), bolus(20, LAG=1.0, RATE=-2.0, D=9.0)],
        [Given(5, CENTRAL, 100, 3, 4, **TRAIN_GIVEN), Given(20, CENTRAL, 100, 9, 1)],
    ),
    "doses before time 0": (
        [bolus(-30, **TRAIN), bolus(-2, DEPOT)],
        [Given(-30, CENTRAL, 100, **TRAIN_GIVEN), Given(-2, DEPOT, 100)],
    ),
}


@pytest.mark.parametrize("scene", SCENES)
def test_records_that_meet_mean_what_their_closed_form_says(scene: str) -> None:
    rows, given = SCENES[scene]
    first = min(row["TIME"] for row in rows)
    times = np.unique(np.concatenate([spread(dose) for dose in given]))
    times = times[times >= first]
    got = simulate_records(rows, times, elimination=ELIMINATION)
    np.testing.assert_allclose(got, answer(given, times), **AGREED)


@pytest.mark.parametrize("scene", SCENES)
def test_shuffled_records_give_the_same_bits_or_are_refused(scene: str) -> None:
    """A reset clears what stands above it at its time, so there an order that matters is refused, never guessed."""
    rows = [PLAIN | row for row in SCENES[scene][0]]
    times = np.array([row["TIME"] for row in rows] + [200.0])
    times.sort()
    first = simulate_records(rows, times, elimination=ELIMINATION)
    clearing = {row["TIME"] for row in rows if row["EVID"] in (3, 4) or row["SS"] == 1}
    for order in list(itertools.permutations(rows))[1:]:
        try:
            np.testing.assert_array_equal(simulate_records(order, times, elimination=ELIMINATION), first)
        except RegimenError as refusal:
            assert clearing, refusal


# ---- what settles slowly, or not by a closed form


@pytest.mark.parametrize("intervals", [60, 1000, 20_000])
@pytest.mark.parametrize("form", ["bolus", "RATE"])
def test_a_half_time_of_many_intervals_is_no_hindrance(form: str, intervals: float) -> None:
    elimination = np.array([np.log(2) / (intervals * INTERVAL)])
    combination = Combination("oral", form, "short", 1, 3, 1, "lag", "F 1.7")
    times = spread(combination.given)
    times = times[times >= START]
    got = simulate_records([combination.row], times, elimination=elimination)
    np.testing.assert_allclose(got, answer([combination.given], times, elimination), **AGREED)


SATURABLE = """
  depot' = depot_in - 1.5*depot; central' = central_in + 1.5*depot - fastest*central/(half + central)
  depot = 0; central = 0; depot_in = 0; central_in = 0; fastest = 15; half = 60
"""
SPELLED = 80  # doses; near their mean the half-time is 14 h, so these last 68 half-times


@pytest.mark.parametrize("route", TARGETS)
@pytest.mark.parametrize(("form", "length"), [("bolus", "short"), ("RATE", "fills"), ("RATE -2", "overlaps")])
@pytest.mark.parametrize("lag", ["no lag", "late"])
@pytest.mark.parametrize("share", ["F 0.5", "F 1"])
def test_a_saturable_steady_state_is_where_spelled_out_doses_end(
    route: str, form: str, length: str, lag: str, share: str
) -> None:
    row = Combination(route, form, length, 1, 3, 1, lag, share).row
    each = row | {"SS": 0, "II": 0.0, "ADDL": 0}
    spelled = [each | {"TIME": START + INTERVAL * k} for k in range(-SPELLED, 4)]
    times = START + np.array([0.0, 0.5, 4.5, 11.75, 11.8, 12.0, 20.0, 40.0, 70.0])
    want = simulate_records(spelled, times, SATURABLE)
    assert want[0, 0, 1] > 1
    np.testing.assert_allclose(simulate_records([row], times, SATURABLE), want, **AGREED)


@pytest.mark.parametrize("fastest", ["0", "12"])  # 170 every 12 h arrive
def test_doses_that_accumulate_without_end_have_no_steady_state(fastest: str) -> None:
    row = Combination("iv", "bolus", "short", 1, 0, 1, "no lag", "F 1.7").row
    with pytest.raises(SimulationError, match="no steady state found: the doses may accumulate without end"):
        simulate_records([row], np.array([START]), SATURABLE.replace("= 15;", f"= {fastest};"))


def test_an_infusion_that_would_overlap_thousands_of_times_is_refused() -> None:
    with pytest.raises(RegimenError, match="an infusion of 1e\\+06 h every 12 h overlaps without end"):
        simulate_records([bolus(5, SS=1, II=12.0, RATE=1e-4)], np.array([START]))


# ---- what is refused, by the number of the record


FIRST = PLAIN | bolus(1)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"SS": 1, "II": 12.0, "LAG": 12.5}, "the lag 12.5 h is longer than the interval 12 h at SS"),
        ({"SS": 2, "II": 12.0, "LAG": 12.5, "RATE": 9.0}, "the lag 12.5 h is longer than the interval 12 h at SS"),
        ({"ADDL": 3}, r"additional doses \(ADDL\) need an interval \(II\) above 0"),
        ({"SS": 1}, r"a steady state \(SS\) needs an interval \(II\) above 0"),
        ({"SS": 2, "RATE": 9.0}, r"a steady state \(SS\) needs an interval \(II\) above 0"),
        ({"ADDL": 3, "II": -12.0}, "the interval -12 is below 0"),
        ({"ADDL": -1, "II": 12.0}, r"-1 additional doses \(ADDL\)"),
        ({"ADDL": 2.5, "II": 12.0}, "ADDL 2.5 is no whole number"),
        ({"ADDL": 10_001, "II": 12.0}, "a whole number from 0 to 10000"),
        ({"SS": -1, "II": 12.0}, r"steady state \(SS\) -1 is unknown"),
        ({"SS": 3, "II": 12.0}, r"steady state \(SS\) 3 is unknown"),
        ({"SS": 1, "AMT": 0.0, "RATE": 9.0, "II": 12.0, "ADDL": 2}, r"no interval \(II\) and no ADDL"),
        ({"SS": 1, "AMT": 0.0, "RATE": 9.0, "ADDL": 2}, "need an interval"),
        ({"SS": 1, "AMT": 0.0, "RATE": 9.0, "II": 12.0}, r"no interval \(II\) and no ADDL"),
        ({"SS": 1, "AMT": 0.0, "RATE": 9.0, "LAG": 1.0}, "ends at its record and has no lag"),
        ({"SS": 1, "AMT": 0.0, "RATE": -2.0, "D": 4.0, "II": 12.0}, "duration with AMT 0 has no rate"),
        ({"SS": 1, "AMT": 0.0, "DUR": 4.0, "II": 12.0}, "duration with AMT 0 has no rate"),
        ({"AMT": 0.0}, "the amount is 0"),
        ({"AMT": 0.0, "RATE": 9.0}, "the amount is 0"),
        ({"AMT": -5.0}, "the amount -5 is below 0"),
        ({"AMT": np.nan}, "the amount is 0"),
        ({"AMT": np.inf}, "AMT is not finite"),
        ({"AMT": "100 mg"}, 'AMT "100 mg" is no number'),
        ({"AMT": "1,5"}, 'AMT "1,5" is no number'),
        ({"TIME": np.nan}, "TIME is missing"),
        ({"TIME": "."}, "TIME is missing"),
        ({"TIME": np.inf}, "TIME is not finite"),
        ({"TIME": "12:30"}, 'TIME "12:30" is no number'),
        ({"TIME": 1e7}, "more than a century"),
        ({"CMT": 3}, "CMT 3 is no compartment of the model; known: 1, 2"),
        ({"CMT": 0}, "CMT 0 is no compartment"),
        ({"CMT": -2}, "CMT -2 is no compartment"),
        ({"CMT": 1.5}, "CMT 1.5 is no whole number"),
        ({"EVID": 2, "AMT": 0.0, "CMT": -2}, "turns a compartment off"),
        *(({"EVID": event}, f"EVID {event} .*in other tools") for event in (5, 6, 7, 8)),
        ({"EVID": 9}, "EVID 9 is none of"),
        ({"EVID": -1}, "EVID -1 is none of"),
        ({"EVID": 1.5}, "EVID 1.5 is no whole number"),
        ({"EVID": 0}, "EVID 0 is no dose, yet AMT is given"),
        ({"EVID": 3}, "EVID 3 is no dose, yet AMT is given"),
        ({"EVID": np.nan}, "EVID 0 is no dose, yet AMT is given"),
        ({"EVID": 0, "AMT": 0.0, "ADDL": 3}, "EVID 0 is no dose, yet ADDL is given"),
        ({"EVID": 4, "AMT": 0.0}, "the amount is 0"),
        ({"RATE": -3.0}, "RATE -3 is unknown"),
        ({"RATE": -1.0, "R": 0.0}, "the modelled rate of central is 0; it must be above 0"),
        ({"RATE": -2.0, "D": np.nan}, "the modelled duration of central is 0; it must be above 0"),
        ({"RATE": 9.0, "DUR": 4.0}, "both RATE 9 and DUR 4 say how long it lasts"),
        ({"LAG": -1.0}, "the lag of a dose into central is -1"),
        ({"F": -0.5}, "the bioavailability of a dose into central is -0.5"),
        ({"F": np.nan}, "F is empty"),
        ({"F": "."}, "F is empty"),
        ({"ID": np.nan}, "ID is missing"),
        ({"ID": "."}, "ID is missing"),
    ],
)
def test_a_record_that_has_no_meaning_is_refused_by_its_number(change: dict[str, Any], said: str) -> None:
    rows = [{"ID": 7} | FIRST, {"ID": 7} | PLAIN | bolus(5) | change]
    with pytest.raises(RegimenError, match=f"^record 2: .*{said}"):
        read_records(pd.DataFrame(rows), COMPARTMENTS)


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("ID,AMT,CMT,F,LAG", "no column TIME"),
        ("ID,TIEM,AMT,CMT,F,LAG", 'no column TIME; did you mean "TIEM"'),
        ("ID,TIME,DOSE,CMT,F,LAG", "no column AMT"),
        ("ID,TIME,AMT,CMT,LAG", 'record 1: there is no column "F"'),
        ("ID,TIME,AMT,amt,CMT,F,LAG", '"AMT" and "amt" are one column'),
        ("ID,TIME,AMT,AMT,CMT,F,LAG", "column AMT stands twice"),
        ("ID,TIME,AMT,CMT,F,F,LAG", "column F stands twice"),
        ("ID,TIME,AMT,CMT,F,LAG,TINF", "TINF is no data item of NONMEM; give RATE = AMT / TINF"),
        ("ID,TIME,AMT,CMT,F,LAG,DATE", "DATE .*give TIME in hours"),
        ("ID,TIME,AMT,CMT,F,LAG,DAT2", "DAT2 .*give TIME in hours"),
    ],
)
def test_a_table_that_could_be_misread_is_refused(tmp_path: Any, header: str, said: str) -> None:  # noqa: ANN401
    path = tmp_path / "records.csv"
    path.write_text(f"{header}\n{','.join(['1', *['2'] * header.count(',')])}\n", encoding="utf-8")
    with pytest.raises(RegimenError, match=said):
        read_records(pd.read_csv(path), COMPARTMENTS)


def test_two_columns_of_one_name_are_refused() -> None:
    frame = pd.DataFrame([[1.0, 100.0, 50.0, 2]], columns=["TIME", "AMT", "AMT", "CMT"])
    with pytest.raises(RegimenError, match="column AMT stands twice"):
        read_records(frame, {CENTRAL: Compartment("central")})


def test_an_infusion_needs_an_input_and_a_modelled_code_its_setting() -> None:
    place = {CENTRAL: Compartment("central"), DEPOT: Compartment("depot", "depot_in")}
    for row, said in (
        (bolus(5, RATE=9.0), "central takes no infusions"),
        (bolus(5, DEPOT, RATE=-1.0), "RATE -1 needs a modelled rate, and depot has none"),
        (bolus(5, DEPOT, RATE=-2.0), "RATE -2 needs a modelled duration, and depot has none"),
    ):
        with pytest.raises(RegimenError, match=f"^record 2: {said}"):
            read_records(pd.DataFrame([FIRST, PLAIN | row]), place)


def test_subjects_are_told_apart_by_their_label_wherever_their_rows_stand() -> None:
    """Rows of one ID are one subject's, whatever stands between; doses in = doses out, under the labels given."""
    rows = [PLAIN | bolus(t, AMT=a) | {"ID": label} for label, t, a in ((9, 0, 1), ("B2", 0, 2), (9, 4, 3), (3, 0, 4))]
    found = read_records(pd.DataFrame(rows), COMPARTMENTS)
    assert {label: [dose.amount for dose in doses] for label, doses in found.items()} == {9: [1, 3], "B2": [2], 3: [4]}
