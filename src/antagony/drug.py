"""A drug: how it is given, which model text moves it, and which receptors it loads. Read from one folder of a case.

drugs/<name>/ holds `drug.toml` (routes, loads, exposures, outputs), `model.ant` (states) and `parameters.tsv` (values).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, PlainValidator, TypeAdapter, ValidationError

from .errors import CaseError, RegimenError, near_miss
from .files import parse_toml
from .parameters import Parameter, read_parameters

INPUT_UNIT = "nmol_per_hour"
FRACTION_TOLERANCE = 1e-6
_STRICT = ConfigDict(extra="forbid")  # an unknown key of drug.toml is an error


@dataclass(frozen=True, slots=True)
class ByDose:
    """A quantity tabulated by dose [mg], linear between the doses, unknown outside them.

    >>> ByDose((28.0, 56.0), (0.5, 0.25)).value_at(42.0)
    0.375
    """

    doses: tuple[float, ...]
    values: tuple[float, ...]

    def value_at(self, milligrams: float) -> float:
        """Value at a dose [mg]; raises RegimenError outside the table, for nothing is known there."""
        if not self.doses[0] <= milligrams <= self.doses[-1]:
            raise RegimenError(
                f"a dose of {milligrams:g} mg lies outside the known doses {self.doses[0]:g} to {self.doses[-1]:g} mg; "
                "give a dose within them"
            )
        for (low, start), (high, end) in pairwise(zip(self.doses, self.values, strict=True)):
            if milligrams <= high:
                return start + (end - start) * (milligrams - low) / (high - low)
        return self.values[-1]


def _read_amount(raw: object) -> float | str | ByDose:
    """Number, parameter id, or `{ by_dose_mg = { "28" = 0.54, ... } }` as written in drug.toml."""
    match raw:
        case ByDose() | str():
            return raw
        case bool():
            raise ValueError("a number, a parameter id or a table by dose is expected, not true or false")
        case int() | float() if math.isfinite(raw) and raw >= 0:
            return float(raw)
        case {"by_dose_mg": dict() as table, **rest} if table and not rest:
            return _read_table(table)
    raise ValueError(
        f"{raw!r} is none of: a number of at least 0, a parameter id, or a table such as "
        '{ by_dose_mg = { "28" = 0.54, "56" = 0.44 } }'
    )


def _read_table(table: Mapping[str, object]) -> ByDose:
    known: dict[float, float] = {}
    for dose, raw in table.items():
        value = _read_amount(raw)
        try:
            milligrams = float(dose)
        except ValueError:
            raise ValueError(f'"{dose}" in a table by dose is no dose in milligrams') from None
        if not (math.isfinite(milligrams) and milligrams > 0) or milligrams in known:
            raise ValueError(f'"{dose}" in a table by dose must be above 0 mg and stand there once')
        if not isinstance(value, float):
            raise ValueError(f'the value at "{dose}" in a table by dose must be a number')
        known[milligrams] = value
    doses = tuple(sorted(known))
    return ByDose(doses, tuple(known[dose] for dose in doses))


Amount = Annotated[float | str | ByDose, PlainValidator(_read_amount)]
"""A number, the id of a parameter of the same drug, or a table by dose."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a share of a dose arrives, how much of it, when and for how long.

    An instantaneous share enters `state` [nmol]; an infusion, or a share with `duration` [h] above 0, runs through the
    parameter `input` [nmol/h] of that state's rate. `grade` and `source` belong to the numbers written here.
    """

    __pydantic_config__ = _STRICT

    state: str
    input: str
    fraction: Amount = 1.0
    F: Amount = 1.0
    lag: Amount = 0.0
    duration: Amount = 0.0
    grade: str = ""
    source: str = ""
    note: str = ""

    @property
    def amounts(self) -> dict[str, Amount]:
        """The four quantities that may be numbers, parameter ids or tables, by key."""
        return {"fraction": self.fraction, "F": self.F, "lag": self.lag, "duration": self.duration}


@dataclass(frozen=True, slots=True)
class Route:
    """A way of giving a drug: the targets among which a dose is split."""

    __pydantic_config__ = _STRICT

    targets: tuple[Target, ...]


@dataclass(frozen=True, slots=True)
class Load:
    """What the drug does to a receptor: concentration over constant, efficacy, and the role in which it competes."""

    __pydantic_config__ = _STRICT

    receptor: str
    ratio: str
    efficacy: str
    role: str


@dataclass(frozen=True, slots=True)
class Exposure:
    """The drug's term in a sum that shared parts need, as an Antimony expression."""

    __pydantic_config__ = _STRICT

    symbol: str
    value: str


@dataclass(frozen=True, slots=True)
class DrugOutput:
    """A symbol of the drug part that is worth reading."""

    __pydantic_config__ = _STRICT

    symbol: str
    title: str
    unit: str


@dataclass(frozen=True, slots=True)
class Label:
    """Usual doses of one route, spacing and observation: a regimen outside them runs, with a note."""

    __pydantic_config__ = _STRICT

    doses: tuple[str, ...]
    route: str
    over: str = ""
    max_per_week: int | None = None
    observe: str = ""
    note: str = ""
    source: str = ""


RouteName = Literal["iv", "po", "nasal", "sl", "im", "sc"]


@dataclass(frozen=True, slots=True)
class _DrugFile:
    """The tables of drug.toml."""

    __pydantic_config__ = _STRICT

    title: str
    molar_mass: float | None = None
    molar_mass_source: str = ""
    base_per_salt: float = 1.0
    caveat: str = ""
    requires: tuple[str, ...] = ()
    labels: tuple[Label, ...] = ()
    routes: dict[RouteName, Route] = field(default_factory=dict)
    loads: tuple[Load, ...] = ()
    exposures: tuple[Exposure, ...] = ()
    outputs: tuple[DrugOutput, ...] = ()


@dataclass(frozen=True, slots=True)
class Drug:
    """A drug of a case. One without routes is a shared site of action, present when another drug requires it.

    A route's targets may be states, inputs and parameters of a drug that this one requires.
    """

    name: str
    title: str
    molar_mass: float | None  # [g/mol]
    molar_mass_source: str
    base_per_salt: float
    caveat: str  # said with every regimen that gives the drug
    requires: tuple[str, ...]
    labels: tuple[Label, ...]
    routes: Mapping[str, Route]
    loads: tuple[Load, ...]
    exposures: tuple[Exposure, ...]
    outputs: tuple[DrugOutput, ...]
    model: str
    parameters: Mapping[str, Parameter]

    @property
    def nmol_per_mg(self) -> float:
        """Base [nmol] in one milligram of the drug as dosed: base_per_salt * 1e6 / molar_mass."""
        if self.molar_mass is None:
            raise RegimenError(
                f"{self.name} has no molar mass and cannot be dosed; it is a site that other drugs share"
            )
        return self.base_per_salt * 1e6 / self.molar_mass

    def route(self, name: str) -> Route:
        """The route of that name; raises RegimenError with the routes there are."""
        if name not in self.routes:
            raise RegimenError(f'{self.name} has no route "{name}"{near_miss(name, self.routes)}')
        return self.routes[name]


def resolve(amount: Amount, milligrams: float, values: Mapping[str, float]) -> float:
    """Number behind a target's quantity for a dose [mg], given the values of parameters by id.

    >>> resolve("gut_availability", 28.0, {"gut_availability": 0.64})
    0.64
    """
    match amount:
        case ByDose():
            return amount.value_at(milligrams)
        case str():
            if amount not in values:
                raise RegimenError(f'no value for the parameter "{amount}"{near_miss(amount, values)}')
            return values[amount]
    return amount


def read_drug(folder: Path) -> Drug:
    """The drug of a folder, checked within itself. Raises CaseError naming file and key.

    Its targets may belong to drugs that it requires: `check_targets` checks them once all drugs are read.
    """
    tables = _read_tables(folder / "drug.toml")
    drug = Drug(
        name=folder.name,
        model=_read_text(folder / "model.ant"),
        parameters=read_parameters(folder / "parameters.tsv"),
        **{entry.name: getattr(tables, entry.name) for entry in fields(tables)},
    )
    for fault in _faults(drug):
        raise CaseError(f"{folder / 'drug.toml'}: {fault}")
    return drug


def check_targets(drug: Drug, drugs: Mapping[str, Drug]) -> None:
    """Refuse inputs, amounts and shares that neither the drug nor the drugs it requires define.

    `drugs`: all drugs of the case by name. Raises CaseError naming file and key.
    """
    required = [drugs[name] for name in drug.requires if name in drugs]
    parameters = {row.id: row for owner in (*required, drug) for row in owner.parameters.values()}
    place = " or ".join(["parameters.tsv", *(f"in that of {owner.name}" for owner in required)])
    for name, route in drug.routes.items():
        for index, target in enumerate(route.targets):
            for fault in _target_faults(target, parameters, place):
                raise CaseError(f"drugs/{drug.name}/drug.toml: key routes.{name}.targets.{index}.{fault}")
        for fault in _split_faults(route, parameters):
            raise CaseError(f"drugs/{drug.name}/drug.toml: key routes.{name}.targets: {fault}")


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise CaseError(f"{path}: no such file; a drug needs drug.toml, model.ant and parameters.tsv") from None
    except OSError as error:
        raise CaseError(f"{path}: cannot be read ({(error.strerror or '').lower()})") from None
    except UnicodeDecodeError as error:
        raise CaseError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start})") from None


@cache
def _validator() -> TypeAdapter[_DrugFile]:
    """Made once: making it takes longer than reading a file."""
    return TypeAdapter(_DrugFile)


def _read_tables(path: Path) -> _DrugFile:
    try:
        return _validator().validate_python(parse_toml(_read_text(path)))
    except ValidationError as error:
        raise CaseError("\n".join(f"{path}: {_explain(detail)}" for detail in error.errors())) from None
    except ValueError as error:
        raise CaseError(f"{path}: not valid TOML: {error}") from None


_TABLES = {"labels": Label, "targets": Target, "loads": Load, "exposures": Exposure, "outputs": DrugOutput}


def _explain(detail: Mapping[str, Any]) -> str:
    """One sentence for one pydantic error: key path, what is wrong, and the nearest known key."""
    *above, last = detail["loc"] or ("",)
    path = ".".join(str(key) for key in (*above, last) if key != "[key]")
    if detail["type"] == "unexpected_keyword_argument":
        return f"unknown key {path}{near_miss(str(last), _known_keys(above))}"
    if detail["type"] == "missing":
        return f"key {path} is missing"
    message = detail["msg"].removeprefix("Value error, ")
    return f"key {path}: {message[0].lower()}{message[1:]}"


def _known_keys(above: Iterable[int | str]) -> list[str]:
    """Keys of the table at a path of drug.toml, found by the innermost name that stands for a kind of table."""
    names = [key for key in above if isinstance(key, str)]
    record = next((_TABLES[name] for name in reversed(names) if name in _TABLES), Route if names else _DrugFile)
    return [entry.name for entry in fields(record)]


def _faults(drug: Drug) -> Iterator[str]:
    """What contradicts itself in a drug whose tables are well formed."""
    if drug.routes and not (drug.molar_mass and drug.molar_mass > 0):
        yield "key molar_mass: a drug with routes needs a molar mass [g/mol] above 0"
    if not drug.base_per_salt > 0:
        yield f"key base_per_salt: {drug.base_per_salt:g} is not above 0"
    for index, label in enumerate(drug.labels):
        if label.route not in drug.routes:
            yield f'key labels.{index}.route: no route "{label.route}"{near_miss(label.route, drug.routes)}'


def _target_faults(target: Target, parameters: Mapping[str, Parameter], place: str) -> Iterator[str]:
    if target.input not in parameters:
        yield f'input: no parameter "{target.input}" in {place}{near_miss(target.input, parameters)}'
    elif parameters[target.input].unit != INPUT_UNIT:
        yield f'input: parameter "{target.input}" has unit {parameters[target.input].unit}, not {INPUT_UNIT}'
    for key, amount in target.amounts.items():
        if isinstance(amount, str) and amount not in parameters:
            yield f'{key}: no parameter "{amount}" in {place}{near_miss(amount, parameters)}'


def _split_faults(route: Route, parameters: Mapping[str, Parameter]) -> Iterator[str]:
    """The fractions of a route sum to 1 at nominal values and at every tabulated dose."""
    if not route.targets:
        yield "a route needs at least one target"
        return
    values = {name: parameter.nominal for name, parameter in parameters.items()}
    fractions = [target.fraction for target in route.targets]
    tabulated = sorted({dose for amount in fractions if isinstance(amount, ByDose) for dose in amount.doses})
    for dose in tabulated or [1.0]:
        try:
            total = sum(resolve(amount, dose, values) for amount in fractions)
        except RegimenError as error:
            yield f"fractions: {error}"
            return
        if abs(total - 1) > FRACTION_TOLERANCE:
            where = f" at {dose:g} mg" if tabulated else ""
            yield f"fractions sum to {total:g}{where}, not to 1"
