from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from antagony import units
from antagony.errors import UnitError
from antagony.units import UNIT_LABELS, format_time, parse_dose, parse_mass, parse_quantity, parse_rate, parse_time


@pytest.mark.parametrize(
    ("text", "hours"),
    [
        ("45 min", 0.75),
        ("-45 min", -0.75),
        ("40min", 40 / 60),
        ("24 h", 24.0),
        ("1.5 hours", 1.5),
        ("7 d", 168.0),
        ("2 wk", 336.0),
        ("3 weeks", 504.0),
        ("90 s", 0.025),
        ("1e2 h", 100.0),
    ],
)
def test_times_are_hours(text: str, hours: float) -> None:
    assert parse_time(text) == hours


@pytest.mark.parametrize(
    ("text", "milligrams"),
    [
        ("50 mg", 50.0),
        ("1.5 g", 1500.0),
        ("250 ug", 0.25),
        ("250 mcg", 0.25),
        ("250 \u00b5g", 0.25),
        ("250 \u03bcg", 0.25),
    ],
)
def test_masses_are_milligrams(text: str, milligrams: float) -> None:
    assert parse_mass(text) == milligrams


def test_doses_and_rates_know_whether_they_count_per_kg() -> None:
    assert parse_dose("0.5 mg/kg") == (0.5, True)
    assert parse_dose("500 ug / kg") == (0.5, True)
    assert parse_dose("0.5 mg per kg") == (0.5, True)
    assert parse_dose("50 mg") == (50.0, False)
    assert parse_rate("1 mg/min") == (60.0, False)
    assert parse_rate("5 ug/kg/min") == (0.3, True)


@pytest.mark.parametrize(
    ("text", "dimension", "expected"),
    [
        ("1 uM", "concentration", 1000.0),
        ("5 nmol/L", "concentration", 5.0),
        ("2 umol", "amount", 2000.0),
        ("250 mL", "volume", 0.25),
        ("70 kg", "bodyweight", 70.0),
        ("237.73 g/mol", "molar mass", 237.73),
    ],
)
def test_other_quantities_arrive_in_internal_units(text: str, dimension: str, expected: float) -> None:
    assert parse_quantity(text, dimension) == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize(
    ("text", "dimension", "message"),
    [
        ("5 minn", "time", 'unknown unit "minn"; did you mean "min"'),
        ("50 mgg", "mass", 'unknown unit "mgg"; did you mean "mg"'),
        ("5 mg", "time", '"mg" is no unit of time'),
        ("0.5 mg/kg", "mass", '"mg/kg" is no unit of mass'),
        ("0.5 mg", "mass per bodyweight", "no unit of mass per bodyweight"),
        ("0.5 mg/kg/kg", "mass per bodyweight", "no unit"),
        ("5 ng/mL", "concentration", "no unit of concentration"),
        ("5", "time", "has no unit"),
        ("forty min", "time", "does not begin with a number"),
        ("nan h", "time", "does not begin with a number"),
        ("", "time", "does not begin with a number"),
        ("1e999 h", "time", "not finite"),
        ("5 IU", "mass", 'unknown unit "IU"'),
        ("1 h(", "time", "no unit of time"),
        ("1 __import__('os')", "time", "no unit of time"),
        ("5 degC", "mass", "no unit of mass"),
        ("5 h", "tme", 'unknown dimension "tme"; did you mean "time"'),
    ],
)
def test_what_is_no_quantity_is_refused(text: str, dimension: str, message: str) -> None:
    with pytest.raises(UnitError, match=message.replace("(", r"\(")):
        parse_quantity(text, dimension)


def test_garbage_never_raises_anything_else() -> None:
    rng = np.random.default_rng(1)
    letters = list("mgkhd/*^.-_ 2eu()")
    refused = 0
    for _ in range(500):
        text = "1 " + "".join(rng.choice(letters, rng.integers(1, 7)))
        try:
            parse_time(text)
        except UnitError:
            refused += 1
    assert refused > 400


def test_times_read_back_as_written() -> None:
    rng = np.random.default_rng(2)
    times = [
        *(m / 60 for m in range(-200, 3000)),
        *range(-400, 400),
        *rng.uniform(-500, 500, 500),
        *rng.lognormal(size=200),
    ]
    for hours in times:
        assert parse_time(format_time(hours)) == hours
    assert [format_time(t) for t in (-0.75, 0, 1.5, 24, 36, 168)] == ["-45 min", "0 h", "90 min", "24 h", "36 h", "7 d"]


def test_labels_are_for_people() -> None:
    assert UNIT_LABELS["nM"] == "nmol/L"
    assert UNIT_LABELS["per_hour"] == "1/h"
    assert UNIT_LABELS["dimensionless"] == ""


@pytest.mark.parametrize(("unit", "dimension"), [*units._COMMON])
def test_a_common_unit_is_what_pint_says(unit: str, dimension: str) -> None:
    """To the bit, so that it does not matter who answers."""
    assert units._COMMON[unit, dimension] == units._ask_pint(unit, dimension)


def test_pint_waits_for_an_uncommon_unit() -> None:
    """Its import and its definitions take most of a second, which no command for a common unit should wait."""
    opens = "import sys, antagony, antagony.units; antagony.open_case(); early = {'pint', 'scipy'} & {*sys.modules}; "
    code = opens + "antagony.units.parse_time('1 month'); sys.exit(bool(early) or 'pint' not in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
