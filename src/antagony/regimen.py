"""Dose and Regimen: all doses of all drugs of one arm, in time; prescription text <-> NONMEM event table.

    regimen  = clause { ";" clause }          "", "no drug" and "placebo" are the empty regimen
    clause   = dose | "repeat every" time "x" n | "reset" [ "at" time ]
    dose     = drug amount unit route { "at" time | "over" time | "rate" rate | "every" time "x" n
               | "ss every" time [ "x" n ] | "ss added every" time [ "x" n ] | "after reset" }

`x n` counts all doses, the first included (ADDL = n - 1). `repeat` repeats everything before it. `over` states how long
an infusion lasts (NONMEM's modelled duration), `rate` what the pump gives (NONMEM's RATE). `ss` starts in the periodic
state (SS = 1), `ss added` adds that state to what is there (SS = 2), `after reset` clears everything first (EVID 4).
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import RegimenError, UnitError, near_miss
from .units import format_number, format_time, parse_dose, parse_rate, parse_time

if TYPE_CHECKING:
    import pandas as pd

CHRONIC_DOSES = 7
"""Administrations that a regimen may hold before it counts as chronic."""

TABLE_COLUMNS = ("TIME", "AMT", "RATE", "DUR", "CMT", "EVID", "II", "ADDL", "SS", "DRUG", "ROUTE", "PERKG")
"""NONMEM's data items, DUR for the duration of RATE = -2, and DRUG, ROUTE, PERKG (1: AMT and RATE are per kg)."""

OTHER_EVENTS = {5: "replace", 6: "multiply", 7: "turn off or phantom", 8: "replace"}
"""Event codes of tools other than NONMEM, refused by name."""

_LARGEST_DOSE = 1e5  # mg, or mg/kg x 70 kg: nobody gives 100 g; a slipped unit (Mg, kg) does
_LATEST = 1e6  # h, a century
_MOST_DOSES = 10_000
_MOST_IN_ALL = 100_000  # of all clauses together
_REFERENCE_BODYWEIGHT = 70.0  # kg, only to judge whether a dose per kg is absurd
_SPOKEN = {"oral": "po", "intravenous": "iv", "intramuscular": "im", "sublingual": "sl", "intranasal": "nasal"}
_NO_UNIT = 'the unit is missing after "{}", such as mg or mg/kg'
_PLAIN = re.compile(r"[+-]?[\d.]+")
_USUAL_ROUTES = frozenset({"iv", "im", "sc", "po", "sl", "nasal"})
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")


@dataclass(frozen=True, slots=True)
class Dose:
    """One administration of one drug, or a train of equal ones.

    `amount` [mg, or mg/kg where `per_kg`], `time` and `interval` [h]; `additional` further doses follow. An infusion
    has a `duration` [h] or a `rate` [mg/h or mg/kg/h]; both 0 is instantaneous. `steady_state` is NONMEM's SS.
    `reset` clears amounts, infusions and pending doses first; without a drug it is only that (EVID 3).
    Amount 0 with a rate and SS = 1 is a constant infusion at equilibrium that ends at `time`.
    """

    drug: str
    amount: float
    per_kg: bool
    route: str
    time: float = 0.0
    duration: float = 0.0
    rate: float = 0.0
    interval: float = 0.0
    additional: int = 0
    steady_state: int = 0
    reset: bool = False

    def __post_init__(self) -> None:
        """Refuse a dose that cannot be given."""
        check_timing(self)
        if self.is_reset_only:
            if (self.route, self.amount, self.duration, self.rate, self.interval) != ("", 0, 0, 0, 0):
                raise RegimenError("a reset without a drug has no route, amount, duration, rate or interval")
            return
        for what, name in (("drug", self.drug), ("route", self.route)):
            if not _NAME.fullmatch(name):
                raise RegimenError(f'"{name}" is no name of a {what}: a letter, then letters, digits, _ or -')
        if self.duration and self.rate:
            raise RegimenError("an infusion has a duration or a rate, not both")
        scale = _REFERENCE_BODYWEIGHT if self.per_kg else 1.0
        if max(self.amount, self.rate) * scale > _LARGEST_DOSE:
            raise RegimenError(f"{max(self.amount, self.rate):g} mg{'/kg' * self.per_kg} is more than 100 g")

    @property
    def is_reset_only(self) -> bool:
        """Whether this is no dose but a reset of everything (EVID 3)."""
        return self.reset and not self.drug

    @property
    def times(self) -> NDArray[np.float64]:
        """Times of all its administrations [h]."""
        return self.time + self.interval * np.arange(self.additional + 1, dtype=np.float64)

    @property
    def length(self) -> float:
        """How long one administration lasts [h], at bioavailability 1."""
        return self.amount / self.rate if self.rate else self.duration

    def text(self) -> str:
        """The dose as a clause of prescription text, which reads back as the same dose."""
        if self.is_reset_only:
            return f"reset at {format_time(self.time)}"
        unit = "mg/kg" if self.per_kg else "mg"
        words = [f"{self.drug} {format_number(self.amount)} {unit} {self.route}"]
        words += [f"at {format_time(self.time)}"] * (self.time != 0)
        words += [f"over {format_time(self.duration)}"] * (self.duration > 0)
        words += [f"rate {format_number(self.rate)} {unit}/h"] * (self.rate > 0)
        every = f"every {format_time(self.interval)}" if self.interval else ""
        count = f" x {self.additional + 1}" if self.additional or not self.steady_state else ""
        steady = ("", "ss ", "ss added ")[self.steady_state]
        words += [(steady + every + count if every else steady).strip()] * bool(every or steady)
        words += ["after reset"] * self.reset
        return " ".join(words)


def check_timing(dose: Any) -> None:  # noqa: ANN401 - Dose here, a lowered dose in schedule.py, one law for both
    """Raise RegimenError where amount, rate, duration, interval, additional and steady state do not fit together.

    Reads the attributes of `Dose`; each may be an array over subjects.
    """
    for name in ("amount", "time", "duration", "rate", "interval"):
        value = getattr(dose, name)
        finite, least = (math.isfinite(value), value) if isinstance(value, float | int) else _look_at(value)
        if not finite:
            raise RegimenError(f"the {name} is not finite")
        if name != "time" and least < 0:
            raise RegimenError(f"the {name} {least:g} is below 0")
    if abs(dose.time) > _LATEST or dose.interval > _LATEST:
        raise RegimenError(f"a time of {max(abs(dose.time), dose.interval):g} h is more than a century")
    if dose.steady_state not in (0, 1, 2):
        raise RegimenError(f"steady state (SS) {dose.steady_state} is unknown; it is 0, 1 (replace) or 2 (add)")
    if dose.additional != int(dose.additional) or not 0 <= dose.additional <= _MOST_DOSES:
        raise RegimenError(f"{dose.additional} additional doses (ADDL); it is a whole number from 0 to {_MOST_DOSES}")
    if dose.additional and not dose.interval:
        raise RegimenError("additional doses (ADDL) need an interval (II) above 0")
    if dose.is_reset_only:
        return
    if np.any(np.asarray(dose.amount) > 0):  # one that is 0 for some subjects is nothing to them
        if dose.steady_state and not dose.interval:
            raise RegimenError("a steady state (SS) needs an interval (II) above 0")
    elif not (dose.steady_state and np.all(np.asarray(dose.rate) > 0)):
        raise RegimenError("the amount is 0; only a constant infusion at steady state (a rate, SS) may have none")
    elif dose.interval or dose.additional:
        raise RegimenError("a constant infusion at steady state (amount 0) has no interval (II) and no ADDL")


def _look_at(values: ArrayLike) -> tuple[bool, float]:
    """Whether all numbers over subjects are finite, and the least."""
    numbers = np.asarray(values, dtype=float)
    return bool(np.isfinite(numbers).all()), float(numbers.min(initial=math.inf))


@dataclass(frozen=True, slots=True)
class Regimen:
    """All doses of all drugs of one arm, in order of time; equal whatever the order they were given in.

    >>> (parse_regimen("naltrexone 50 mg po at -45 min") + parse_regimen("ketamine 0.5 mg/kg iv over 40 min")).text()
    'naltrexone 50 mg po at -45 min; ketamine 0.5 mg/kg iv over 40 min'
    """

    doses: tuple[Dose, ...] = ()

    def __post_init__(self) -> None:
        """Sort, so that two regimens with the same doses are the same."""
        object.__setattr__(self, "doses", tuple(sorted(self.doses, key=_rank)))

    def __add__(self, other: Regimen) -> Regimen:
        """Both regimens together."""
        return Regimen(self.doses + other.doses)

    def shifted(self, hours: float) -> Regimen:
        """The same doses, so many hours later."""
        return Regimen(tuple(replace(dose, time=dose.time + hours) for dose in self.doses))

    @property
    def is_chronic(self) -> bool:
        """Whether it holds more than CHRONIC_DOSES administrations: each is a stop, so such runs cost the most."""
        return sum(len(dose.times) for dose in self.doses) > CHRONIC_DOSES

    @property
    def drugs(self) -> tuple[str, ...]:
        """Names of the drugs given, sorted."""
        return tuple(sorted({dose.drug for dose in self.doses if dose.drug}))

    @property
    def first(self) -> float:
        """Time of the first event [h]; +inf when nothing is given."""
        return min((dose.time for dose in self.doses), default=math.inf)

    @property
    def last(self) -> float:
        """End of the last administration [h], at bioavailability 1 and without lag; -inf when nothing is given."""
        return max((float(dose.times[-1]) + dose.length for dose in self.doses), default=-math.inf)

    def text(self) -> str:
        """The regimen as prescription text, which reads back as the same regimen."""
        return "; ".join(dose.text() for dose in self.doses) or "no drug"


def _rank(dose: Dose) -> tuple[Any, ...]:
    """Order of doses: time, resets first, then everything else that tells two doses apart."""
    identity = (dose.drug, dose.route, dose.amount, dose.per_kg, dose.duration, dose.rate, dose.interval)
    return (dose.time, not dose.reset, *identity, dose.additional, dose.steady_state)


_HEAD = re.compile(r"(?P<drug>\S+)\s+(?P<amount>[+-]?[\d.]\S*)(?P<rest>\s.*)?", re.DOTALL)
_MODIFIER = re.compile(r"(?<!\S)(after\s+reset|ss\s+added\s+every|ss\s+every|ss|every|at|over|rate)(?!\S)")
_COUNT = re.compile(r"(?P<interval>.*?)(?:\s*(?<![A-Za-z])[xX\u00d7]\s*(?P<count>\S+)(?:\s+times)?)?", re.DOTALL)
_REPEAT = re.compile(r"repeat(?:\s+every\s+(?P<count>.+))?", re.DOTALL)
_RESET = re.compile(r"reset(?:\s+at\s+(?P<time>.+))?", re.DOTALL)


def parse_regimen(text: str, drugs: Mapping[str, Collection[str]] | None = None) -> Regimen:
    """Regimen of a prescription text; the grammar stands at the top of this module.

    `drugs`: routes by name of drug, where a text must use known ones. Raises RegimenError that quotes the clause, says
    what is wrong and offers the near miss; also for overlapping infusions of one drug by one route, which records of
    NONMEM may hold but a prescription should not, and for a steady state that would wipe out an earlier dose.

    >>> [dose.additional for dose in parse_regimen("ketamine 0.5 mg/kg iv over 40 min; repeat every 7 d x 4").doses]
    [3]
    """
    doses: list[Dose] = []
    read: list[_Clause] = []
    for clause in (re.sub(r"\s*/\s*", "/", " ".join(part.split())) for part in text.split(";")):
        try:
            if clause.lower() in ("", "placebo", "no drug"):
                continue
            if found := _REPEAT.fullmatch(clause):
                doses = _repeat(doses, found["count"])
            elif found := _RESET.fullmatch(clause):
                doses.append(Dose("", 0.0, False, "", time=_time(found["time"] or "0 h"), reset=True))
            else:
                doses.append(_parse_dose(clause, drugs))
        except (RegimenError, UnitError) as error:
            _check_clauses(read)
            raise RegimenError(f'"{clause}": {error}') from None
        read.append(_Clause(clause, doses, len(doses)))
    _check_clauses(read)
    return Regimen(tuple(doses))


class _Clause(NamedTuple):
    """A clause that was read, and the doses that there were with it: so many of a list that grows."""

    text: str
    doses: list[Dose]
    size: int

    def fault(self) -> RegimenError | None:
        """Why these doses make no prescription."""
        try:
            _check_prescription(self.doses[: self.size])
        except RegimenError as error:
            return error
        return None


def _check_clauses(read: Sequence[_Clause]) -> None:
    """Refuse doses that make no prescription, naming the clause with which that begins: further doses mend nothing."""
    if read and read[-1].fault():
        first = read[bisect_left(read, True, key=lambda clause: clause.fault() is not None)]
        raise RegimenError(f'"{first.text}": {first.fault()}')


def _parse_dose(clause: str, drugs: Mapping[str, Collection[str]] | None) -> Dose:
    found = _HEAD.fullmatch(clause)
    if found is None:
        known = ("placebo", "no drug", "repeat every", "reset at", *(drugs or ()))
        first = clause.split()[0]
        hint = "" if first in known else near_miss(first, known)
        raise RegimenError(f'a dose reads "drug amount unit route", such as "ketamine 0.5 mg/kg iv over 40 min"{hint}')
    drug = found["drug"]
    if drugs is not None and drug not in drugs:
        raise RegimenError(f'unknown drug "{drug}"{near_miss(drug, drugs)}')
    words = (found["amount"] + (found["rest"] or "")).split()
    if not re.search(r"[A-Za-z\u00b5\u03bc]", words[0].lstrip("+-0123456789.eE")) and len(words) > 1:
        words = [f"{words[0]} {words[1]}", *words[2:]]
    number, _, unit = words[0].partition(" ")
    if (not unit and _PLAIN.fullmatch(number)) or _MODIFIER.fullmatch(unit) or unit in _routes(drugs):
        raise RegimenError(_NO_UNIT.format(number))
    amount, per_kg = parse_dose(words[0])
    if len(words) < 2 or _MODIFIER.fullmatch(words[1]):
        raise RegimenError(f'the route is missing after "{words[0]}", such as iv, po or nasal')
    route = words[1]
    if drugs is not None and route not in drugs[drug]:
        meant = _SPOKEN.get(route.lower(), route)
        raise RegimenError(f'{drug} has no route "{route}"{near_miss(meant, drugs[drug])}')
    return Dose(drug, amount, per_kg, route, **_parse_modifiers(" ".join(words[2:]), per_kg))


def _routes(drugs: Mapping[str, Collection[str]] | None) -> frozenset[str]:
    """Words that name a route, by which a missing unit is told from an unknown one."""
    return _USUAL_ROUTES.union(*(drugs or {}).values())


def _parse_modifiers(text: str, per_kg: bool) -> dict[str, Any]:
    """Fields of `Dose` that the words after the route set."""
    before, *pairs = _MODIFIER.split(text)
    if before.strip():
        known = ("at", "over", "rate", "every", "ss every", "ss added every", "after reset")
        raise RegimenError(f'cannot read "{before.strip()}"{near_miss(before.split()[0], known)}')
    fields: dict[str, Any] = {}
    for word, value in zip(pairs[::2], (part.strip() for part in pairs[1::2]), strict=True):
        try:
            new = _read_modifier(word, value, per_kg)
        except (RegimenError, UnitError) as error:
            raise RegimenError(f"{word}: {error}") from None
        if twice := fields.keys() & new.keys():
            raise RegimenError(f'"{word}" sets the {" and ".join(sorted(twice))} twice')
        fields |= new
    return fields


def _read_modifier(word: str, value: str, per_kg: bool) -> dict[str, Any]:
    if word in ("at", "over"):
        time = _time(value)
        if word == "over" and time <= 0:
            raise RegimenError(f'"{value}" is no duration above 0')
        return {"time": time} if word == "at" else {"duration": time}
    if word == "rate":
        rate, rate_per_kg = parse_rate(value)
        if rate_per_kg != per_kg:
            raise RegimenError("amount and rate must both be per kg, or neither")
        if rate <= 0:
            raise RegimenError(f'"{value}" is no rate above 0')
        return {"rate": rate}
    if word in ("ss", "after reset"):
        if value:
            raise RegimenError(f'cannot read "{value}"')
        return {"steady_state": 1} if word == "ss" else {"reset": True}
    interval, count = _parse_count(value, must_count=word == "every")
    steady = {"every": 0, "ss every": 1, "ss added every": 2}[word]
    return {"interval": interval, "additional": count - 1} | ({"steady_state": steady} if steady else {})


def _time(text: str) -> float:
    return 0.0 if text in ("0", "-0", "+0") else parse_time(text)


def _parse_count(text: str, *, must_count: bool) -> tuple[float, int]:
    """Interval [h] and number of `24 h x 7`."""
    found = _COUNT.fullmatch(text)
    if found is None or (must_count and found["count"] is None):
        raise RegimenError(f'"{text}" does not say how often; write it like "24 h x 7"')
    if (interval := parse_time(found["interval"])) <= 0:
        raise RegimenError(f'"{found["interval"]}" is no interval above 0')
    if found["count"] is None:
        return interval, 1
    if not re.fullmatch(r"[0-9]{1,9}", found["count"]) or not 1 <= (count := int(found["count"])) <= _MOST_DOSES:
        raise RegimenError(f'"{found["count"]}" is no count of doses; it is a whole number from 1 to {_MOST_DOSES}')
    return interval, count


def _repeat(doses: list[Dose], text: str | None) -> list[Dose]:
    """Every dose so far, `n` times in all."""
    if text is None:
        raise RegimenError('write it like "repeat every 7 d x 4"')
    if not doses:
        raise RegimenError("there is nothing before it to repeat")
    if any(dose.steady_state for dose in doses):
        raise RegimenError('a steady state cannot be repeated; write "ss every 24 h x 7"')
    interval, count = _parse_count(text, must_count=True)
    if count * sum(dose.additional + 1 for dose in doses) > _MOST_DOSES:
        raise RegimenError(f"that makes more than {_MOST_DOSES} doses")
    repeated: list[Dose] = []
    for dose in doses:
        if dose.interval or dose.reset:
            repeated += [replace(dose, time=dose.time + interval * k) for k in range(count)]
        else:
            repeated.append(replace(dose, interval=interval, additional=count - 1))
    return repeated


def _check_prescription(doses: list[Dose]) -> None:
    """Refuse what records may hold but a prescription should not."""
    if sum(dose.additional + 1 for dose in doses) > _MOST_IN_ALL:
        raise RegimenError(f"that makes more than {_MOST_IN_ALL} doses")
    earliest = min((dose.time for dose in doses if not dose.is_reset_only), default=math.inf)
    steady = [dose for dose in doses if dose.steady_state == 1]
    for dose in steady:
        if dose.time > earliest:
            raise RegimenError(
                f'the steady state at {format_time(dose.time)} would wipe out earlier doses; write "ss added every"'
            )
        if dose.interval != steady[0].interval:
            raise RegimenError("two steady states with different intervals; there is no common period to start from")
    routes: dict[tuple[str, str], list[Dose]] = {}
    for dose in doses:
        if dose.length:
            routes.setdefault((dose.drug, dose.route), []).append(dose)
    for (drug, route), infusions in routes.items():
        _check_overlap(drug, route, infusions)


def _check_overlap(drug: str, route: str, infusions: list[Dose]) -> None:
    for dose in infusions:
        if dose.steady_state and dose.interval and dose.length > dose.interval + 1e-9:
            raise RegimenError(f"an infusion of {format_time(dose.length)} does not fit {format_time(dose.interval)}")
    start = np.concatenate([dose.times for dose in infusions])
    length = np.concatenate([np.full(dose.additional + 1, dose.length) for dose in infusions])
    order = np.argsort(start, kind="stable")
    start, end = start[order], (start + length)[order]
    late = np.flatnonzero(start[1:] < np.maximum.accumulate(end)[:-1] - 1e-9)
    if late.size:
        when = format_time(float(start[1:][late[0]]))
        raise RegimenError(f"infusions of {drug} {route} overlap at {when}; give one infusion, or shorten the first")


def to_table(regimen: Regimen) -> pd.DataFrame:
    """The regimen as NONMEM records, one row per dose (columns `TABLE_COLUMNS`, times [h], amounts [mg or mg/kg]).

    An infusion of stated duration has RATE = -2 and the duration in DUR (D1 = DUR in a control stream), for then the
    rate is F * AMT / DUR; one of stated rate has that RATE, and lasts F * AMT / RATE. CMT numbers (DRUG, ROUTE).
    """
    import pandas as pd

    places = sorted({(dose.drug, dose.route) for dose in regimen.doses if dose.drug})
    rows = [
        {
            "TIME": dose.time,
            "AMT": dose.amount,
            "RATE": -2.0 if dose.duration else dose.rate,
            "DUR": dose.duration,
            "CMT": places.index((dose.drug, dose.route)) + 1 if dose.drug else 0,
            "EVID": 3 if dose.is_reset_only else 4 if dose.reset else 1,
            "II": dose.interval,
            "ADDL": dose.additional,
            "SS": dose.steady_state,
            "DRUG": dose.drug,
            "ROUTE": dose.route,
            "PERKG": int(dose.per_kg),
        }
        for dose in regimen.doses
    ]
    kinds = dict.fromkeys(("CMT", "EVID", "ADDL", "SS", "PERKG"), "int64") | {"DRUG": "str", "ROUTE": "str"}
    kinds |= dict.fromkeys(("TIME", "AMT", "RATE", "DUR", "II"), "float64")
    return pd.DataFrame(rows, columns=list(TABLE_COLUMNS)).astype(kinds)


def from_table(frame: pd.DataFrame) -> Regimen:
    """Regimen of NONMEM records of one subject; the inverse of `to_table`, whatever the order of rows.

    TIME, AMT, DRUG and ROUTE are needed, other columns default to 0 (EVID: 1). Observations (EVID 0, 2) are left out.
    Raises RegimenError with the number of the record (1 = the first) for what cannot be given, and for a column that
    nothing reads.
    """
    names = {column: str(column).upper() for column in frame.columns}
    for column in names.values():
        if column not in (*TABLE_COLUMNS, "ID", "DV", "MDV"):
            raise RegimenError(f'unknown column "{column}"{near_miss(column, TABLE_COLUMNS)}')
    table = frame.rename(columns=names)
    if missing := [column for column in ("TIME", "AMT", "DRUG", "ROUTE") if column not in table]:
        raise RegimenError(f"missing column {', '.join(missing)}")
    if "ID" in table and len(set(table["ID"])) > 1:
        raise RegimenError("records of several subjects (ID); a regimen is one arm's")
    places: dict[Any, tuple[str, str]] = {}
    doses = []
    for number, row in enumerate(table.to_dict("records"), start=1):
        try:
            dose = _read_record(row)
            if dose is not None and dose.drug and "CMT" in row:
                place = places.setdefault(row["CMT"], (dose.drug, dose.route))
                if place != (dose.drug, dose.route):
                    raise RegimenError(f"CMT {row['CMT']} is {' '.join(place)} in an earlier record")
        except RegimenError as error:
            raise RegimenError(f"record {number}: {error}") from None
        doses += [] if dose is None else [dose]
    return Regimen(tuple(doses))


def _read_record(row: Mapping[str, Any]) -> Dose | None:
    value = record_reader(row)
    amount, rate, duration = value("AMT"), value("RATE"), value("DUR")
    event = read_event(row, default=1)
    if event in (0, 2):
        return None
    if event == 3:
        return Dose("", 0.0, False, "", time=value("TIME"), reset=True)
    if rate == -1:
        raise RegimenError("RATE -1 (modelled rate) has no value in a regimen; give the RATE or a DUR")
    if rate < 0 and rate != -2:
        raise RegimenError(f"RATE {rate:g} is unknown; it is 0, above 0, or -2 with DUR")
    if rate == -2 and duration <= 0:
        raise RegimenError("RATE -2 (modelled duration) needs a DUR above 0")
    if rate > 0 and duration:
        raise RegimenError("both RATE and DUR are given; they disagree once bioavailability is not 1")
    return Dose(
        drug=str(row["DRUG"]),
        amount=amount,
        per_kg=bool(whole(value("PERKG"), "PERKG")),
        route=str(row["ROUTE"]),
        time=value("TIME"),
        duration=duration,
        rate=max(rate, 0.0),
        interval=value("II"),
        additional=whole(value("ADDL"), "ADDL"),
        steady_state=whole(value("SS"), "SS"),
        reset=event == 4,
    )


def record_reader(row: Mapping[str, Any]) -> Callable[[str], float]:
    """Reader of one record's numbers by column: absent, empty and NONMEM's "." are 0."""

    def value(column: str) -> float:
        cell = row.get(column, 0.0)
        if cell is None or (isinstance(cell, str) and cell.strip() in ("", ".")):
            return 0.0
        try:
            number = float(cell)
        except (TypeError, ValueError):
            raise RegimenError(f'{column} "{cell}" is no number') from None
        except OverflowError:
            raise RegimenError(f"{column} is larger than any number here") from None
        if math.isinf(number):
            raise RegimenError(f"{column} is not finite")
        return 0.0 if math.isnan(number) else number  # pandas reads an empty cell as NaN

    return value


def read_event(row: Mapping[str, Any], *, default: int | None = None) -> int:
    """EVID of a record, checked against its dosing columns; without one: dosing information makes a dose.

    Raises RegimenError for codes of other tools, by name, and for dosing information where no dose is.
    """
    value = record_reader(row)
    dosing = [column for column in ("AMT", "RATE", "II", "ADDL", "SS") if value(column)]
    event = whole(value("EVID"), "EVID") if "EVID" in row else (1 if dosing else 0) if default is None else default
    if event not in (0, 1, 2, 3, 4):
        meaning = f' ("{OTHER_EVENTS[event]}" in other tools)' if event in OTHER_EVENTS else ""
        raise RegimenError(
            f"EVID {event}{meaning} is none of 0 observation, 1 dose, 2 other, 3 reset, 4 reset and dose"
        )
    if event in (0, 2, 3) and dosing:
        raise RegimenError(f"EVID {event} is no dose, yet {', '.join(dosing)} is given")
    return event


def whole(number: float, column: str) -> int:
    """The number as an integer; RegimenError when it is none."""
    if number != int(number):
        raise RegimenError(f"{column} {number:g} is no whole number")
    return int(number)
