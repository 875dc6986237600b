"""NONMEM dosing records for any compartmental model, read as NONMEM answers them; and a regimen as a data set.

    EVID 0 observation, 1 dose, 2 other, 3 reset, 4 reset and dose
    RATE > 0 given (lasts F AMT / RATE), -1 modelled rate, -2 modelled duration (at F AMT / D), 0 instantaneous
    SS 1 replaces the state by the periodic one, 2 adds it; SS 1 with AMT 0, RATE > 0, II 0 is a constant infusion
    ADDL n: n further doses every II

Rows are taken by time. Rows whose meaning hangs on their order are refused: a time that steps back at a reset, and a
dose written above a reset or a steady state (SS = 1) of the same time, which would clear it.

DUR, which other tools know, is a stated duration where RATE is 0 or -2 and the compartment models none.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import RegimenError, near_miss
from ..regimen import Regimen, from_table, read_event, record_reader, to_table, whole
from ..schedule import PlacedDose

if TYPE_CHECKING:
    import pandas as pd

FOREIGN_COLUMNS = {"TINF": "RATE = AMT / TINF", "ALAG": "a lag of the compartment", "TLAG": "a lag of the compartment"}
"""Dosing columns of other tools that NONMEM does not know, and what to write instead."""

DATES = ("DATE", "DAT1", "DAT2", "DAT3")
"""Columns that make NONMEM count TIME from a day's midnight."""

_READ = ("ID", "TIME", "AMT", "RATE", "DUR", "CMT", "EVID", "II", "ADDL", "SS")
_EMPTY = ("", ".", "nan", "none", "<na>", "nat")

HEAVIEST = 500.0  # kg; a weight in grams is a slip


def dataset_text(regimen: Regimen, weights: Sequence[float] = ()) -> str:
    """A regimen as a NONMEM data set (CSV, one row a dose), for one subject, or for one of each body weight [kg].

    Columns ID, those of `regimen.TABLE_COLUMNS`, and WT where weights are given: then a dose per kg becomes that
    patient's amount and PERKG is 0. DRUG and ROUTE are words: DROP them in $INPUT. Raises RegimenError for a weight
    that is none.
    """
    import pandas as pd

    doses = to_table(regimen)
    if not weights:
        doses.insert(0, "ID", 1)
        return doses.to_csv(index=False, lineterminator="\n")
    for weight in weights:
        if not (math.isfinite(weight) and 0 < weight <= HEAVIEST):
            raise RegimenError(f"a body weight of {weight:g} kg; write kilograms, such as 70")
    table = pd.concat([doses] * len(weights), ignore_index=True)
    table.insert(0, "ID", [n for n in range(1, len(weights) + 1) for _ in range(len(doses))])
    table.insert(1, "WT", [float(weight) for weight in weights for _ in range(len(doses))])
    per_kg = table["PERKG"] == 1
    table.loc[per_kg, "AMT"] *= table["WT"]
    table.loc[per_kg & (table["RATE"] > 0), "RATE"] *= table["WT"]
    return table.assign(PERKG=0).to_csv(index=False, lineterminator="\n")


@dataclass(frozen=True, slots=True)
class Subject:
    """One subject of a data set: what is given, and the body weight [kg] where the set has one."""

    regimen: Regimen
    weight: float | None = None


def read_dataset(path: Path | str) -> dict[int, Regimen]:
    """The regimen of each subject (ID) of a data set that `dataset_text` wrote; raises RegimenError naming the file."""
    return {number: subject.regimen for number, subject in read_subjects(path).items()}


def read_subjects(path: Path | str) -> dict[int, Subject]:
    """Each subject (ID) of a data set in the form of `dataset_text`; raises RegimenError naming the file."""
    import pandas as pd

    try:
        table = pd.read_csv(path, keep_default_na=False)
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        cause = getattr(error, "strerror", None) or error
        raise RegimenError(f"{path}: no table can be read there ({cause})") from None
    if "ID" not in table:
        raise RegimenError(f"{path}: there is no column ID{near_miss('ID', table.columns)}")
    try:
        table["ID"] = table["ID"].astype(int)
    except (ValueError, OverflowError) as error:
        raise RegimenError(f"{path}: column ID: {error}; a subject's number is a whole number") from None
    try:
        numbers = sorted({int(number) for number in table["ID"]})
        return {number: _read_subject(number, pd.DataFrame(table[table["ID"] == number])) for number in numbers}
    except (RegimenError, ValueError) as error:
        raise RegimenError(f"{path}: {error}") from None


def _read_subject(number: int, rows: pd.DataFrame) -> Subject:
    regimen = from_table(rows.drop(columns="WT", errors="ignore"))
    if "WT" not in rows:
        return Subject(regimen)
    try:
        (weight,) = {float(weight) for weight in rows["WT"]}
    except (ValueError, OverflowError):  # several, no number, or one that no computer holds
        weight = math.nan
    if not 0 < weight <= HEAVIEST:
        raise RegimenError(f"ID {number}: WT must be one weight in kg, the same in all its rows")
    return Subject(regimen, weight)


@dataclass(frozen=True, slots=True)
class Compartment:
    """What a CMT number means: the state that takes amounts and the input that carries infusions into it.

    Bioavailability, lag [h], modelled duration [h] and modelled rate are numbers, or names of columns of the table.
    """

    state: str
    input: str | None = None
    bioavailability: float | str = 1.0
    lag: float | str = 0.0
    duration: float | str | None = None
    rate: float | str | None = None


def read_records(frame: pd.DataFrame, compartments: Mapping[int, Compartment]) -> dict[Any, list[PlacedDose]]:
    """Doses of each subject by its ID, in the order of the table; subjects without doses have an empty list.

    Column names may be in any case; TIME and AMT are needed, ID makes several subjects, "." is 0. Without EVID, a
    record with dosing information is a dose. Raises RegimenError with the number of the record (1 = the first row) for
    codes and combinations that have no meaning; none is ignored. Columns that no compartment names are not read.
    """
    table = frame.rename(columns={column: str(column).upper() for column in frame.columns})
    _check_columns([str(column) for column in frame.columns], _settings(compartments))
    records: dict[Any, list[_Record]] = {}
    for number, row in enumerate(table.to_dict("records"), start=1):
        try:
            record = _read_record(number, {str(column): cell for column, cell in row.items()}, compartments)
        except RegimenError as error:
            raise RegimenError(f"record {number}: {error}") from None
        records.setdefault(row.get("ID", 1), []).append(record)
    for rows in records.values():
        _check_order(rows)
    return {label: [record.dose for record in rows if record.dose is not None] for label, rows in records.items()}


def _check_columns(columns: list[str], settings: set[str]) -> None:
    """Refuse columns that are missing, stand twice or would be misread; `settings` are those that compartments name."""
    known = {*_READ, *settings}
    seen: dict[str, str] = {}
    for column in columns:
        name = column.upper()
        if twin := seen.get(name):
            pair = f"column {name} stands twice" if twin == column else f'"{twin}" and "{column}" are one column'
            raise RegimenError(f"{pair}; leave one out")
        seen[name] = column
        again = re.fullmatch(r"(.+)\.\d+", name)  # how pandas reads the second of two equal headings
        if again and again[1] in known and name not in known:
            raise RegimenError(f"column {again[1]} stands twice (the second as {column}); leave one out")
        if name in FOREIGN_COLUMNS and name not in settings:
            raise RegimenError(f"column {name} is no data item of NONMEM; give {FOREIGN_COLUMNS[name]}")
        if name in DATES:
            raise RegimenError(f"column {name} makes TIME a time of day; give TIME in hours from one beginning instead")
    for name in ("TIME", "AMT"):
        if name not in seen:
            raise RegimenError(f"there is no column {name}{near_miss(name, seen)}")


def _settings(compartments: Mapping[int, Compartment]) -> set[str]:
    """Columns that compartments read their settings from."""
    places = compartments.values()
    found = {setting for p in places for setting in (p.bioavailability, p.lag, p.duration, p.rate)}
    return {setting.upper() for setting in found if isinstance(setting, str)}


@dataclass(frozen=True, slots=True)
class _Record:
    number: int
    time: float
    dose: PlacedDose | None

    @property
    def clears(self) -> bool:
        """Whether it wipes out what was given before."""
        return self.dose is not None and (self.dose.reset or self.dose.steady_state == 1)


def _read_record(number: int, row: Mapping[str, Any], compartments: Mapping[int, Compartment]) -> _Record:
    value = record_reader(row)
    for column in ("ID", "TIME"):
        if column in row and _is_empty(row[column]):
            raise RegimenError(f"{column} is missing")
    time, event = value("TIME"), read_event(row)
    compartment = whole(value("CMT"), "CMT")
    if event in (0, 2):
        if event == 2 and compartment < 0:
            raise RegimenError(f"CMT {compartment} turns a compartment off, which no model here can do")
        return _Record(number, time, None)
    if event == 3:
        return _Record(number, time, PlacedDose("", time=time, reset=True))
    if compartment not in compartments:
        known = ", ".join(str(key) for key in sorted(compartments))
        raise RegimenError(f"CMT {compartment} is no compartment of the model; known: {known}")
    place = compartments[compartment]
    duration = 0.0 if "DUR" in _settings(compartments) else value("DUR")
    dose = PlacedDose(
        state=place.state,
        input=place.input,
        amount=value("AMT"),
        time=time,
        lag=_read_setting(place.lag, row),
        bioavailability=_read_share(place.bioavailability, row),
        **_read_rate(value("RATE"), value("AMT"), duration, place, row),
        interval=value("II"),
        additional=whole(value("ADDL"), "ADDL"),
        steady_state=whole(value("SS"), "SS"),
        reset=event == 4,
    )
    return _Record(number, time, dose)


def _read_rate(
    code: float, amount: float, stated: float, place: Compartment, row: Mapping[str, Any]
) -> dict[str, float]:
    """Rate or duration behind the RATE code and a `stated` DUR; neither for an instantaneous dose."""
    if code not in (-1, -2) and code < 0:
        raise RegimenError(f"RATE {code:g} is unknown; it is 0, above 0, -1 (modelled rate) or -2 (modelled duration)")
    if stated and (code > 0 or code == -1 or (code == -2 and place.duration is not None)):
        raise RegimenError(f"both RATE {code:g} and DUR {stated:g} say how long it lasts")
    if (code == -2 or stated) and not amount:
        raise RegimenError("an infusion of stated or modelled duration with AMT 0 has no rate")
    if stated:
        return {"duration": stated}
    if code >= 0:
        return {"rate": code} if code else {}
    name, setting = ("rate", place.rate) if code == -1 else ("duration", place.duration)
    if setting is None:
        raise RegimenError(f"RATE {code:g} needs a modelled {name}, and {place.state} has none")
    number = _read_setting(setting, row)
    if number <= 0:
        raise RegimenError(f"the modelled {name} of {place.state} is {number:g}; it must be above 0")
    return {name: number}


def _read_setting(setting: float | str, row: Mapping[str, Any]) -> float:
    if not isinstance(setting, str):
        return setting
    if setting.upper() not in row:
        raise RegimenError(f'there is no column "{setting}"{near_miss(setting.upper(), row)}')
    return record_reader(row)(setting.upper())


def _read_share(setting: float | str, row: Mapping[str, Any]) -> float:
    """Bioavailability; an empty cell is no 0, for then the dose would vanish."""
    if isinstance(setting, str) and _is_empty(row.get(setting.upper(), 1.0)):
        raise RegimenError(f"{setting.upper()} is empty; write 1 where the whole dose is available")
    return _read_setting(setting, row)


def _is_empty(cell: Any) -> bool:  # noqa: ANN401 - whatever a table holds
    return str(cell).strip().lower() in _EMPTY


def _check_order(rows: list[_Record]) -> None:
    """Refuse rows of one subject whose meaning hangs on their order; a shuffled table is simply sorted by time."""
    back = [later for before, later in itertools.pairwise(rows) if later.time < before.time]
    if back and all(record.dose is not None and record.dose.reset for record in back):
        raise RegimenError(f"record {back[0].number}: time steps back at a reset; give each occasion an ID of its own")
    if back:
        return
    for index, record in enumerate(rows):
        if not record.clears:
            continue
        for earlier in rows[:index]:
            if earlier.dose is not None and earlier.time == record.time and not earlier.dose.is_reset_only:
                raise RegimenError(
                    f"record {record.number}: it would clear the dose of record {earlier.number} at the same time; "
                    "leave that one out, or write it below"
                )
