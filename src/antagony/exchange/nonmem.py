"""NONMEM dosing records for any compartmental model, read as NONMEM answers them.

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
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import RegimenError, near_miss
from ..regimen import read_event, record_reader, whole
from ..schedule import PlacedDose

if TYPE_CHECKING:
    import pandas as pd

FOREIGN_COLUMNS = {"TINF": "RATE = AMT / TINF", "ALAG": "a lag of the compartment", "TLAG": "a lag of the compartment"}
"""Dosing columns of other tools that NONMEM does not know, and what to write instead."""


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

    Column names may be in any case; TIME is needed, ID makes several subjects, "." is 0. Without EVID, a record with
    dosing information is a dose. Raises RegimenError with the number of the record (1 = the first row) for codes and
    combinations that have no meaning; none is ignored.
    """
    table = frame.rename(columns={column: str(column).upper() for column in frame.columns})
    if len(set(table.columns)) != len(table.columns):
        raise RegimenError("two columns differ only in upper and lower case")
    if "TIME" not in table:
        raise RegimenError(f"there is no column TIME{near_miss('TIME', table.columns)}")
    for column, instead in FOREIGN_COLUMNS.items():
        if column in table and column not in _settings(compartments):
            raise RegimenError(f"column {column} is no data item of NONMEM; give {instead}")
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
    if str(row["TIME"]).strip().lower() in ("", ".", "nan", "none"):
        raise RegimenError("TIME is missing")
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
        bioavailability=_read_setting(place.bioavailability, row),
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
