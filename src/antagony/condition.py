"""What is done to a group of people: a regimen and imposed probes; and how TOML tables become checked records.

Regimens stay prescription text, as they were written; times are hours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from .errors import CaseError, RegimenError, UnitError, near_miss
from .files import parse_toml
from .parameters import GRADES
from .regimen import parse_regimen
from .units import parse_time

Array = NDArray[np.float64]

Statistic = Literal["last", "max", "min", "mean"]


@dataclass(frozen=True, slots=True)
class Probe:
    """A parameter set to a value, scaled, or given the value of the parameter `by`, from `start` to `until` [h].

    With `by` and `scale` it is given that multiple of the other's value. No start or end is the whole run. One with a
    `name` stands for what the case says of that probe; `Case.spell_out` resolves it.
    """

    parameter: str = ""
    set: float | None = None
    scale: float | None = None
    start: float | None = None
    until: float | None = None
    by: str = ""
    name: str = ""

    @property
    def is_timed(self) -> bool:
        """Whether it acts during a part of the run only."""
        return self.start is not None or self.until is not None

    def applied(self, rest: ArrayLike) -> Array:
        """The parameter's value under the probe, given its value without; has the shape of `rest`.

        >>> Probe("pde_activity", scale=0.5).applied([1.0, 4.0]).tolist()
        [0.5, 2.0]
        """
        values = np.asarray(rest, dtype=float)
        return np.full_like(values, self.set) if self.set is not None else values * float(self.scale or 0.0)


@dataclass(frozen=True, slots=True)
class Condition:
    """What is done: a regimen as prescription text, and probes. The empty text is no drug."""

    regimen: str = ""
    probes: tuple[Probe, ...] = ()


# --- the files -----------------------------------------------------------------------------------------------------


def _time(raw: object) -> object:
    if not isinstance(raw, str):
        raise ValueError('a time is text with a unit, such as "24 h"')
    try:
        return parse_time(raw)
    except UnitError as error:
        raise ValueError(str(error)) from None


def _regimen(text: str) -> str:
    try:
        parse_regimen(text)
    except (RegimenError, UnitError) as error:
        raise ValueError(str(error)) from None
    return text


def _word(known: Iterable[str]) -> Callable[[str], str]:
    """Validator that accepts known words and offers the nearest for another."""
    words = tuple(known)

    def check(word: str) -> str:
        if word not in words:
            raise ValueError(f'unknown word "{word}"{near_miss(word, words)}')
        return word

    return check


def words(kind: Any) -> AfterValidator:  # noqa: ANN401 - a Literal
    """A check that a text is one of the words of a Literal; offers the nearest for another."""
    return AfterValidator(_word(get_args(kind)))


Hours = Annotated[float, BeforeValidator(_time)]
RegimenText = Annotated[str, AfterValidator(_regimen)]
GradeText = Annotated[str, AfterValidator(_word(GRADES))]


Model = TypeVar("Model", bound=BaseModel)


class Entry(BaseModel):
    """A table of a file: unknown keys and infinite numbers are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ProbeEntry(Entry):
    """A probe as TOML writes it: `parameter` with set, scale, by, or by and scale; or a name of the case."""

    name: str = ""
    parameter: str = ""
    set: float | None = None
    scale: float | None = None
    by: str = ""
    start: Annotated[Hours | None, Field(alias="from")] = None
    until: Hours | None = None

    def record(self) -> Probe:
        """The probe."""
        return Probe(self.parameter, self.set, self.scale, self.start, self.until, self.by, self.name)

    def faults(self) -> Iterator[tuple[str, str]]:
        """(key, what is wrong) of a probe whose keys are well formed."""
        actions = (self.set is not None) + (self.scale is not None or bool(self.by))
        shown = self.name or self.parameter
        if bool(self.name) == bool(self.parameter):
            yield "probes", "a probe has either a parameter or the name of a probe of case.toml"
        elif self.name and actions:
            yield "probes", f'the probe "{self.name}" is spelled out in case.toml; here it takes from and until alone'
        elif self.parameter and actions != 1:
            yield "probes", f'the probe of "{shown}" needs one of set, scale and by (by may have a scale)'
        if self.start is not None and self.until is not None and self.start >= self.until:
            yield "probes", f'the probe of "{shown}" ends before it begins'


class ConditionEntry(Entry):
    """A condition as TOML writes it: a regimen, probes, or both; a bare text is a regimen."""

    regimen: RegimenText = ""
    probes: tuple[ProbeEntry, ...] = ()

    def record(self) -> Condition:
        """The condition."""
        return Condition(self.regimen, tuple(probe.record() for probe in self.probes))


def _condition(raw: object) -> object:
    return {"regimen": raw} if isinstance(raw, str) else raw


ConditionText = Annotated[ConditionEntry, BeforeValidator(_condition)]


def read_tables(path: Path, error: type[CaseError]) -> dict[str, Any]:
    """The tables of a TOML file; raises `error` naming the file."""
    try:
        return parse_toml(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as cause:
        raise error(f"{path}: cannot be read ({getattr(cause, 'strerror', None) or cause})") from None
    except ValueError as cause:
        raise error(f"{path}: not valid TOML: {cause}") from None


def validated(model: type[Model], raw: object, where: str, error: type[CaseError]) -> Model:
    """The table as a model; the first fault becomes one sentence with key and near miss."""
    try:
        return model.model_validate(raw)
    except ValidationError as cause:
        raise error(_sentence(cause, raw, where)) from None


def _sentence(cause: ValidationError, raw: object, where: str) -> str:
    """One sentence for the first fault: where it stands, the key, what is wrong, the near miss."""
    details = cause.errors()
    detail = next((d for d in details if d["type"] == "extra_forbidden"), details[0])  # a slip explains what is missing
    location = list(detail["loc"])
    for kind in ("arms", "findings"):  # name the arm or finding rather than count it
        if len(location) > 1 and location[0] == kind and isinstance(raw, Mapping):
            entry = raw[kind][location[1]]
            where += f', {kind[:-1]} "{entry.get("id", location[1]) if isinstance(entry, Mapping) else location[1]}"'
            location = location[2:]
    key = ".".join(str(part) for part in location)
    if detail["type"] == "extra_forbidden":
        return f'{where}: unknown key "{key}"{near_miss(str(location[-1]), _keys())}'
    if detail["type"] == "missing":
        return f"{where}: key {key} is missing"
    message = detail["msg"].removeprefix("Value error, ")
    return f"{where}{', key ' * bool(key)}{key}: {message[0].lower()}{message[1:]}"


def _keys() -> list[str]:
    """Every key that some table may have."""
    tables = Entry.__subclasses__()
    return sorted({info.alias or name for table in tables for name, info in table.model_fields.items()})
