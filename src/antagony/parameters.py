"""Parameter, Prior, and the tab-separated table they live in.

One row holds one number with its unit, its spread between draws (prior) and between subjects (bsv), its grade and its
source. The columns are PEtab's where PEtab has one:

    parameterId name nominalValue unit estimate priorDistribution priorParameters bsv bsvDistribution grade source note
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import ParameterError, near_miss

GRADES = ("read", "secondary", "recalled", "derived", "constructed", "assumed", "definition")
"""How a number is known, best first; `definition` is a convention or the rest value of a probe, not knowledge."""

DISTRIBUTIONS = ("uniform", "log-uniform", "normal", "log-normal", "beta")
"""Forms of a prior; the two numbers are bounds, bounds, mean;sd, mean;sd of ln x, and the exponents a;b."""

BSV_DISTRIBUTIONS = ("log-normal", "normal", "log-normal-mean")
"""Spread between subjects: median-true log-normal (default), normal, log-normal whose mean is the typical value."""

COLUMNS = (
    *("parameterId", "name", "nominalValue", "unit", "estimate", "priorDistribution", "priorParameters"),
    *("bsv", "bsvDistribution", "grade", "source", "note"),
)
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Prior:
    """Distribution of a parameter over draws, in the parameter's own unit, as PEtab v2 defines them.

        uniform a;b         log-uniform a;b (bounds of x, not of its logarithm)
        normal mean;sd      log-normal mean;sd of ln x       beta a;b on [0, 1]

    Raises ParameterError when lower >= upper, a bound of a log-uniform is not positive, or a spread is not positive.
    """

    distribution: str
    parameters: tuple[float, float]

    def __post_init__(self) -> None:
        """Refuse a prior that is none."""
        first, second = self.parameters
        if self.distribution not in DISTRIBUTIONS:
            raise ParameterError(
                f'unknown prior distribution "{self.distribution}"{near_miss(self.distribution, DISTRIBUTIONS)}'
            )
        if not (math.isfinite(first) and math.isfinite(second)):
            raise ParameterError(f"prior {self.text}: both numbers must be finite")
        if self.distribution in ("uniform", "log-uniform") and first >= second:
            raise ParameterError(f"prior {self.text}: the lower bound must be below the upper")
        if self.distribution == "log-uniform" and first <= 0:
            raise ParameterError(f"prior {self.text}: bounds of a log-uniform must be above 0")
        if self.distribution in ("normal", "log-normal") and second <= 0:
            raise ParameterError(f"prior {self.text}: the standard deviation must be above 0")
        if self.distribution == "beta" and min(first, second) <= 0:
            raise ParameterError(f"prior {self.text}: both exponents must be above 0")

    @property
    def text(self) -> str:
        """Name and numbers as the table writes them.

        >>> Prior("log-uniform", (0.5, 8)).text
        'log-uniform 0.5;8'
        """
        return f"{self.distribution} {self.parameters[0]:.12g};{self.parameters[1]:.12g}"

    @property
    def support(self) -> tuple[float, float]:
        """Smallest and largest possible value."""
        if self.distribution in ("uniform", "log-uniform"):
            return self.parameters
        return {"normal": (-math.inf, math.inf), "log-normal": (0.0, math.inf), "beta": (0.0, 1.0)}[self.distribution]

    @property
    def median(self) -> float:
        """Value that half of the draws exceed; of a log-uniform the geometric mean of its bounds.

        >>> round(Prior("log-uniform", (0.5, 8)).median, 12)
        2.0
        """
        return float(self.quantile(0.5))

    def quantile(self, u: ArrayLike) -> NDArray[np.float64]:
        """Value below which a fraction `u` [0-1] of the draws lies; has the shape of `u`.

        Raises ParameterError outside [0, 1].
        """
        u = np.asarray(u, dtype=float)
        if not np.all((u >= 0) & (u <= 1)):
            raise ParameterError(f"prior {self.text}: a quantile needs fractions from 0 to 1")
        first, second = self.parameters
        if self.distribution == "uniform":
            return first + (second - first) * u
        if self.distribution == "log-uniform":
            return np.clip(first * (second / first) ** u, first, second)
        from scipy import special

        if self.distribution == "beta":
            return special.betaincinv(first, second, u)
        value = first + second * special.ndtri(u)
        return np.exp(value) if self.distribution == "log-normal" else value


@dataclass(frozen=True, slots=True)
class Parameter:
    """One number with unit, spread, grade and source: a row of a parameters.tsv.

    `bsv` is the between-subject coefficient of variation (0.3 = 30 %, 0 = none); its `bsv_distribution` says which law:
    log-normal: median = nominal, omega^2 = ln(1 + bsv^2); normal: SD = bsv * nominal; log-normal-mean: mean = nominal,
    sigma = bsv on the log scale. `file` and `line` say where the row stands.
    """

    id: str
    name: str
    nominal: float
    unit: str
    estimate: bool
    prior: Prior | None
    bsv: float
    bsv_distribution: str
    grade: str
    source: str
    note: str
    file: str
    line: int

    def __post_init__(self) -> None:
        """Refuse a row that contradicts itself."""
        if not _IDENTIFIER.fullmatch(self.id):
            raise ParameterError(f'"{self.id}" is no identifier: letters, digits and _, not beginning with a digit')
        if not self.unit:
            raise ParameterError(f'"{self.id}" has no unit; a plain number is "dimensionless"')
        if self.grade not in GRADES:
            raise ParameterError(f'"{self.id}" has the unknown grade "{self.grade}"{near_miss(self.grade, GRADES)}')
        if not math.isfinite(self.nominal):
            raise ParameterError(f'"{self.id}" has the nominalValue {self.nominal}; it must be finite')
        self._check_prior()
        self._check_bsv()

    def _check_prior(self) -> None:
        if self.prior is None:
            if self.estimate:
                raise ParameterError(f'"{self.id}" is to be estimated but has no prior')
            return
        lower, upper = self.prior.support
        outside = not lower <= self.nominal <= upper
        if outside or (self.prior.distribution == "log-normal" and self.nominal <= 0):
            raise ParameterError(f'"{self.id}": nominalValue {self.nominal:g} lies outside its prior {self.prior.text}')

    def _check_bsv(self) -> None:
        if self.bsv_distribution not in BSV_DISTRIBUTIONS:
            raise ParameterError(
                f'"{self.id}" has the unknown bsvDistribution "{self.bsv_distribution}"'
                f"{near_miss(self.bsv_distribution, BSV_DISTRIBUTIONS)}"
            )
        if not (self.bsv >= 0 and math.isfinite(self.bsv)):
            raise ParameterError(f'"{self.id}" has the bsv {self.bsv:g}; it must be finite and 0 or more')
        if self.bsv > 0 and self.nominal <= 0 and self.bsv_distribution != "normal":
            raise ParameterError(f'"{self.id}": a {self.bsv_distribution} bsv needs a nominalValue above 0')


def read_parameters(path: Path | str) -> dict[str, Parameter]:
    """Rows of a parameters.tsv by id, in the order of the file.

    Raises ParameterError with file and line: a missing or unknown column, an id given twice, a cell that is no number,
    an unknown grade or distribution, or a row that contradicts itself (see `Parameter` and `Prior`).
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ParameterError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    lines = [line.split("\t") for line in text.split("\n")]
    if not lines or lines[0] == [""]:
        raise ParameterError(f"{path}, line 1: the header is missing; it reads {' '.join(COLUMNS)}")
    header = [cell.strip() for cell in lines[0]]
    _check_header(header, path)
    found: dict[str, Parameter] = {}
    for line, cells in enumerate(lines[1:], start=2):
        if not any(cell.strip() for cell in cells):
            continue
        try:
            parameter = _read_row(header, cells, path, line)
            if parameter.id in found:
                raise ParameterError(f'"{parameter.id}" stands already in line {found[parameter.id].line}')
        except ParameterError as error:
            raise ParameterError(f"{path}, line {line}{_too_few(header, cells, error)}") from None
        found[parameter.id] = parameter
    return found


def _check_header(header: list[str], path: Path) -> None:
    for column in header:
        if column not in COLUMNS:
            raise ParameterError(f'{path}, line 1: unknown column "{column}"{near_miss(column, COLUMNS)}')
        if header.count(column) > 1:
            raise ParameterError(f'{path}, line 1: the column "{column}" stands there twice')
    if missing := [column for column in COLUMNS if column not in header]:
        raise ParameterError(f"{path}, line 1: missing column {', '.join(missing)}; tabs must separate the columns")


def _too_few(header: list[str], cells: list[str], error: ParameterError) -> str:
    """What is wrong with a row: that a tab was left out or is a space, where that may be why; and what else was read.

    Editors drop tabs at a line's end, so only a row that lacks its grade, which every row has, lacks a tab for certain.
    """
    if len(cells) >= len(header):
        return f": {error}"
    few = f" has {len(cells)} column{'s' * (len(cells) > 1)}, {len(header)} are needed, with tabs between"
    return few if len(cells) <= header.index("grade") else f"{few}: {error}"


def _read_row(header: list[str], cells: list[str], path: Path, line: int) -> Parameter:
    if len(cells) > len(header):
        raise ParameterError(f"{len(cells)} cells for {len(header)} columns; is there a tab inside a cell?")
    padded = [cell.strip() for cell in cells] + [""] * (len(header) - len(cells))  # editors drop tabs at a line's end
    row = dict(zip(header, padded, strict=True))
    if row["estimate"] not in ("0", "1"):
        raise ParameterError(f'column estimate: "{row["estimate"]}" is neither 0 nor 1')
    if row["bsvDistribution"] and not row["bsv"]:
        raise ParameterError(f'"{row["parameterId"]}" has a bsvDistribution but no bsv')
    return Parameter(
        id=row["parameterId"],
        name=row["name"],
        nominal=_number(row["nominalValue"], "nominalValue"),
        unit=row["unit"],
        estimate=row["estimate"] == "1",
        prior=_read_prior(row["priorDistribution"], row["priorParameters"]),
        bsv=_number(row["bsv"], "bsv") if row["bsv"] else 0.0,
        bsv_distribution=row["bsvDistribution"] or "log-normal",
        grade=row["grade"],
        source=row["source"],
        note=row["note"],
        file=str(path),
        line=line,
    )


def _read_prior(distribution: str, parameters: str) -> Prior | None:
    if not distribution and not parameters:
        return None
    if not distribution or not parameters:
        raise ParameterError("priorDistribution and priorParameters must both be given, or neither")
    numbers = [_number(part, "priorParameters") for part in parameters.split(";")]
    if len(numbers) != 2:
        raise ParameterError(f'column priorParameters: "{parameters}" must be two numbers, "a;b"')
    return Prior(distribution, (numbers[0], numbers[1]))


def _number(text: str, column: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ParameterError(f'column {column}: "{text}" is no number') from None
