"""What figures and reports show of a case: as its report.toml says, or else where most mechanisms have an arrow.

No answer follows from that file, so it is no part of a case's fingerprint.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from .case import REPORT_FILE, Case
from .condition import Entry, read_tables, validated
from .errors import CaseError, near_miss

SCORE = "score"
"""The output that people rate; every figure ends with it."""

RELATIVE = "_relative"
"""The ending of an output that is relative to rest."""

CURVES = 5  # outputs besides the score, where a case names none
COLUMNS = 3  # columns besides the score, where a case names none


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the picture of all rivals: its outputs, each with the short name it is labelled by (or none)."""

    title: str
    outputs: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Display:
    """What is drawn and said: `outputs` as curves over time, `columns` of the picture of all rivals, and `caveats`."""

    outputs: tuple[str, ...]
    columns: tuple[Column, ...]
    caveats: tuple[str, ...] = ()


class _Column(Entry):
    title: str
    outputs: Annotated[dict[str, str], Field(min_length=1)]


class _DisplayFile(Entry):
    outputs: tuple[str, ...] = ()
    columns: tuple[_Column, ...] = ()
    caveats: tuple[str, ...] = ()


def read_display(case: Case) -> Display:
    """The display of a case; raises CaseError naming file and key, with the near miss of an output that it lacks."""
    path = case.folder / REPORT_FILE
    head = _DisplayFile()
    if path.is_file():
        head = validated(_DisplayFile, read_tables(path, CaseError), str(path), CaseError)
    columns = tuple(Column(column.title, column.outputs) for column in head.columns)
    for key, names in (("outputs", head.outputs), *((f'columns "{c.title}"', c.outputs) for c in columns)):
        for name in names:
            if name not in case.outputs:
                miss = near_miss(name, case.outputs)
                raise CaseError(f'{path}, key {key}: case.toml has no output "{name}"{miss}')
    outputs = head.outputs or _joined_most(case, CURVES)
    return Display(outputs, columns or _one_each(case, _joined_most(case, COLUMNS)), head.caveats)


def shown_output(case: Case, symbol: str) -> str:
    """The output that tells of an end of an arrow: relative to rest where the case has that, else the symbol's own."""
    return symbol + RELATIVE if symbol + RELATIVE in case.outputs else symbol


def _joined_most(case: Case, most: int) -> tuple[str, ...]:
    """Outputs at which most mechanisms have an arrow, in the case's order, and the score at the end."""
    joined: Counter[str] = Counter()
    for wiring in case.wirings.values():
        joined.update({shown_output(case, name) for edge in wiring.edges for name in (edge.source, edge.target)})
    others = [name for name in case.outputs if name != SCORE]
    chosen = sorted(others, key=lambda name: -joined[name])[:most]
    return (*(name for name in others if name in chosen), *(name for name in (SCORE,) if name in case.outputs))


def _one_each(case: Case, outputs: tuple[str, ...]) -> tuple[Column, ...]:
    return tuple(Column(case.outputs[name].short or case.outputs[name].title, {name: ""}) for name in outputs)
