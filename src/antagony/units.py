"""Text with units at the border, plain numbers inside: hour, mg (doses), nmol, litre, nmol/litre, kg.

Inside the package a number carries no unit; its name or its docstring does. A person may write `45 min`, `7 d`, `50 mg`
or `0.5 mg/kg`; pint knows what these are, and is imported for the first text whose unit is no common one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING

from .errors import UnitError, near_miss

if TYPE_CHECKING:
    from pint import UnitRegistry

UNIT_LABELS: Mapping[str, str] = MappingProxyType(
    {
        "dimensionless": "",
        "hour": "h",
        "per_hour": "1/h",
        "nmol": "nmol",
        "nmol_per_hour": "nmol/h",
        "nM": "nmol/L",
        "per_nM": "L/nmol",
        "per_nM_hour": "L/(nmol h)",
        "litre": "L",
        "litre_per_hour": "L/h",
        "kg": "kg",
        "mg": "mg",
    }
)
"""What a reader sees for the name of an internal unit."""

_INTERNAL = {
    "time": "hour",
    "mass": "milligram",
    "mass per bodyweight": "milligram",  # "mg/kg" cancels in pint, so the "/kg" is read here
    "mass rate": "milligram / hour",
    "mass rate per bodyweight": "milligram / hour",
    "bodyweight": "kilogram",
    "amount": "nanomole",
    "concentration": "nanomole / litre",
    "molar mass": "gram / mole",
    "volume": "litre",
}
_USUAL = {
    "time": ("s", "min", "h", "d", "wk", "month", "year"),
    "mass": ("ng", "ug", "mcg", "mg", "g"),
    "mass per bodyweight": ("ug/kg", "mg/kg"),
    "mass rate": ("ug/h", "mg/h", "mg/min"),
    "mass rate per bodyweight": ("ug/kg/h", "ug/kg/min", "mg/kg/h"),
    "bodyweight": ("kg", "g"),
    "amount": ("nmol", "umol", "mmol"),
    "concentration": ("nM", "uM", "nmol/L"),
    "molar mass": ("g/mol", "kg/mol"),
    "volume": ("mL", "L"),
}
_COMMON = {
    ("s", "time"): (1 / 3600, 3600.0),
    ("min", "time"): (1 / 60, 60.0),
    ("h", "time"): (1.0, 1.0),
    ("d", "time"): (24.0, 1 / 24),
    ("wk", "time"): (168.0, 1 / 168),
    ("ug", "mass"): (1e-3, 1e3),
    ("mg", "mass"): (1.0, 1.0),
    ("g", "mass"): (1e3, 1e-3),
    ("ug/kg", "mass per bodyweight"): (1e-3, 1e3),
    ("mg/kg", "mass per bodyweight"): (1.0, 1.0),
    ("mg/h", "mass rate"): (1.0, 1.0),
    ("mg/kg/h", "mass rate per bodyweight"): (1.0, 1.0),
    ("kg", "bodyweight"): (1.0, 1.0),
}
"""Pint's own answers on what nearly every text says: asking it takes most of a second, half of opening a case."""
_QUANTITY = re.compile(r"\s*(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(?P<unit>\S.*?)?\s*")
_POWER = r"[A-Za-zµμ]+(?:\s*(?:\^|\*\*)\s*-?\d)?"  # both micro signs are on keyboards
_UNIT = re.compile(rf"{_POWER}(?:\s*[*/]\s*{_POWER})*")  # pint's own parser fails in many ways on anything else
_PER_KG = re.compile(r"\s*(?:/|\bper\b)\s*kg\b")


@cache
def _registry() -> UnitRegistry:
    """The one registry of the process; importing pint takes a third of a second, so it waits for such a text."""
    import pint

    registry = pint.UnitRegistry()
    registry.define("@alias week = wk")
    return registry


def _factors(unit: str, dimension: str) -> tuple[float, float]:
    """Internal units in one `unit`, and `unit` in one internal unit."""
    return _COMMON.get((unit, dimension)) or _ask_pint(unit, dimension)


@cache
def _ask_pint(unit: str, dimension: str) -> tuple[float, float]:
    import pint

    wanted = f"{dimension}, such as {', '.join(_USUAL[dimension])}"
    plain, per_kg = _PER_KG.subn("", unit, count=1)
    if bool(per_kg) != dimension.endswith("per bodyweight") or _PER_KG.search(plain) or not _UNIT.fullmatch(plain):
        raise UnitError(f'"{unit}" is no unit of {wanted}')
    internal = _INTERNAL[dimension]
    try:
        parsed = _registry().parse_units(plain)
        return float(_registry().convert(1, parsed, internal)), float(_registry().convert(1, internal, parsed))
    except pint.DimensionalityError:
        raise UnitError(f'"{unit}" is no unit of {wanted}') from None
    except (pint.errors.PintError, ArithmeticError, AttributeError, TypeError, ValueError):
        raise UnitError(f'unknown unit "{unit}"{near_miss(unit, _USUAL[dimension])}; wanted {wanted}') from None


def _split(text: str, dimension: str) -> tuple[float, str]:
    """Number and unit of a text such as `0.5 mg/kg`."""
    found = _QUANTITY.fullmatch(text)
    if found is None:
        raise UnitError(f'"{text}" does not begin with a number; write it like "1.5 {_USUAL[dimension][1]}"')
    if found["unit"] is None:
        raise UnitError(f'"{text.strip()}" has no unit; write it like "{text.strip()} {_USUAL[dimension][1]}"')
    if not math.isfinite(number := float(found["number"])):
        raise UnitError(f'"{text.strip()}" is not finite')
    return number, found["unit"]


def parse_quantity(text: str, dimension: str) -> float:
    """Number of a quantity in the internal unit of its dimension (time [h], mass [mg], amount [nmol], ...).

    Raises UnitError when the number or unit is missing, the unit unknown, or its dimension another one.

    >>> parse_quantity("1.5 g", "mass"), parse_quantity("0.5 mg/kg", "mass per bodyweight")
    (1500.0, 0.5)
    """
    if dimension not in _INTERNAL:
        raise UnitError(f'unknown dimension "{dimension}"{near_miss(dimension, _INTERNAL)}')
    number, unit = _split(text, dimension)
    forward, backward = _factors(unit, dimension)
    whole = round(backward)
    if whole > 1 and math.isclose(backward, whole, rel_tol=1e-12):
        return number / whole  # 40 min is 40/60 h to the last bit, so that text and table agree
    if math.isclose(forward, round(forward), rel_tol=1e-12):
        return number * round(forward)
    return number * forward


def parse_time(text: str) -> float:
    """Time or duration [h] of a text such as `45 min`, `24 h`, `7 d`, `2 wk` or `-45 min`.

    >>> parse_time("-45 min"), parse_time("2 wk")
    (-0.75, 336.0)
    """
    return parse_quantity(text, "time")


def parse_mass(text: str) -> float:
    """Mass [mg] of a text such as `50 mg`; `0.5 mg/kg` is refused, see `parse_dose`."""
    return parse_quantity(text, "mass")


def parse_dose(text: str) -> tuple[float, bool]:
    """Mass of a dose and whether it counts per kg of body weight: `50 mg` [mg], `0.5 mg/kg` [mg/kg].

    >>> parse_dose("50 mg"), parse_dose("0.5 mg/kg")
    ((50.0, False), (0.5, True))
    """
    per_kg = _PER_KG.search(text) is not None
    return parse_quantity(text, "mass per bodyweight" if per_kg else "mass"), per_kg


def parse_rate(text: str) -> tuple[float, bool]:
    """Rate of an infusion and whether it counts per kg: `10 mg/h` [mg/h], `5 ug/kg/min` [mg/kg/h].

    >>> parse_rate("10 mg/h"), parse_rate("5 ug/kg/min")
    ((10.0, False), (0.3, True))
    """
    per_kg = _PER_KG.search(text) is not None
    return parse_quantity(text, "mass rate per bodyweight" if per_kg else "mass rate"), per_kg


def format_number(value: float) -> str:
    """Shortest decimal text that reads back as the same number.

    >>> format_number(50.0), format_number(0.1)
    ('50', '0.1')
    """
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(float(value))


def format_time(hours: float) -> str:
    """Text of a time [h] that `parse_time` reads back as the same number.

    >>> format_time(-0.75), format_time(2 / 3), format_time(24), format_time(168)
    ('-45 min', '40 min', '24 h', '7 d')
    """
    minutes, days = round(hours * 60), hours / 24
    if 0 < abs(hours) < 2 and minutes / 60 == hours:
        return f"{minutes} min"
    if abs(hours) >= 48 and days == round(days):
        return f"{round(days)} d"
    return f"{format_number(hours)} h"
