"""Curves and numbers as plain tables (CSV), units in their heads."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from io import StringIO
from typing import TYPE_CHECKING

from ..units import UNIT_LABELS
from .values import Value

if TYPE_CHECKING:
    import xarray as xr

PARAMETER_COLUMNS = ("mechanism", "parameterId", "name", "value", "unit", "grade", "source", "origin", "note")


def head_of(name: str, unit: str) -> str:
    """A name with its unit as a reader knows it.

    >>> head_of("ketamine_plasma", "nM"), head_of("score", "dimensionless")
    ('ketamine_plasma [nmol/L]', 'score')
    """
    label = UNIT_LABELS.get(unit, unit)
    return f"{name} [{label}]" if label else name


def curves_text(runs: Iterable[tuple[str, xr.Dataset]]) -> str:
    """Runs of one patient, each with its mechanism, as one table: a row for each mechanism, arm and moment."""
    import pandas as pd

    frames = []
    for mechanism, run in runs:
        frame = run.isel(draw=0, subject=0, drop=True).to_dataframe().reset_index()
        frame.insert(0, "mechanism", mechanism)
        units = {str(name): column.attrs["units"] for name, column in run.variables.items() if "units" in column.attrs}
        frames.append(frame.rename(columns={name: head_of(name, unit) for name, unit in units.items()}))
    return pd.concat(frames, ignore_index=True).to_csv(index=False, lineterminator="\n")


def parameters_text(values: Mapping[str, Mapping[str, Value]]) -> str:
    """Values by mechanism as one table, each with unit, grade and source; `origin` says where one left its row."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(PARAMETER_COLUMNS)
    for mechanism, known in values.items():
        for value in known.values():
            p = value.parameter
            row = (p.id, p.name, repr(value.number), UNIT_LABELS.get(p.unit, p.unit), p.grade, p.source, value.origin)
            writer.writerow((mechanism, *row, p.note))
    return text.getvalue()
