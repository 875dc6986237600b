"""PEtab v2 problems: read with care, judged by libpetab's lint, refused by name where nothing here can run them.

The files are a stranger's. Only plain files inside the problem's own folder are opened, no address and no other place;
models are SBML (others are program text, which libpetab would run); formulas are trees and never code.
"""

from __future__ import annotations

import io
import logging
import math
import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from ..errors import SimulationError, UnsupportedError
from ..files import DEEPEST
from .petab_math import Formula, parse_formula
from .sbml import SbmlModel, open_sbml, read_sbml

LARGEST = 64_000_000  # [byte] of one table
TABLES = ("parameter", "measurement", "condition", "experiment", "observable", "mapping")
NOISE = ("normal", "log-normal", "laplace", "log-laplace")
_IDENTIFIER = re.compile(r"[A-Za-z_]\w*")


@dataclass(frozen=True, slots=True)
class PetabParameter:
    """A row of the parameter table; what was left empty is None."""

    id: str
    nominal: float | None
    estimate: bool
    lower: float
    upper: float
    distribution: str
    numbers: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class PetabObservable:
    """What is measured, its noise, and the placeholders that each measurement fills."""

    id: str
    formula: Formula
    noise: Formula
    distribution: str
    placeholders: tuple[str, ...]
    noise_placeholders: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PetabMeasurement:
    """One number: of which observable, in which experiment ("" is the model as it is), when (inf: at steady state)."""

    observable: str
    experiment: str
    time: float
    value: float
    parameters: tuple[Formula, ...]
    noise_parameters: tuple[Formula, ...]


@dataclass(frozen=True, slots=True)
class PetabPeriod:
    """From `time` on (-inf: until nothing moves) the conditions hold, applied once at its start."""

    time: float
    conditions: tuple[str, ...]


@dataclass(frozen=True)
class PetabProblem:
    """A problem that passed all checks; its parts by id, in the order of the files."""

    path: Path
    model: SbmlModel
    parameters: Mapping[str, PetabParameter]
    observables: Mapping[str, PetabObservable]
    experiments: Mapping[str, tuple[PetabPeriod, ...]]
    conditions: Mapping[str, Mapping[str, Formula]]
    measurements: tuple[PetabMeasurement, ...]
    mappings: Mapping[str, str]
    notes: tuple[str, ...] = ()

    def changes(self, period: PetabPeriod) -> dict[str, Formula]:
        """All changes at a period's start, by target."""
        return {target: formula for name in period.conditions for target, formula in self.conditions[name].items()}

    @cached_property
    def nominal(self) -> dict[str, float]:
        """Nominal values by id, of those that have one."""
        return {p.id: p.nominal for p in self.parameters.values() if p.nominal is not None}

    @property
    def estimated(self) -> tuple[PetabParameter, ...]:
        """Parameters to be estimated."""
        return tuple(p for p in self.parameters.values() if p.estimate)


def open_petab(path: Path | str) -> PetabProblem:
    """Read a PEtab v2 problem from its YAML file.

    Raises SimulationError that names file, table and row where something is wrong, in libpetab's own words where its
    lint found it, and UnsupportedError for what is valid but not covered (other versions and model languages, several
    models, required extensions).
    """
    path = Path(path)
    v2 = _load_petab()
    config = _read_config(path)
    tables = {name: [_read_table(path, file) for file in config.get(f"{name}_files") or []] for name in TABLES}
    model_id, location = _model_file(path, config)
    text = read_sbml(_inside(path, location))
    try:
        model = open_sbml(text)
    except (SimulationError, UnsupportedError) as error:
        raise type(error)(f"{location}: {error}") from None
    reader = _Reader(path, tables)
    problem = PetabProblem(
        path,
        model,
        reader.parameters(),
        reader.observables(),
        reader.experiments(),
        reader.conditions(),
        reader.measurements(model_id),
        reader.mappings(),
        _notes(config),
    )
    _lint(v2, problem, tables, text, model_id)
    for name in sorted({m.experiment for m in problem.measurements} - {"", *problem.experiments}):  # lint only warns
        raise SimulationError(f'{path}: something is measured in "{name}", but there is no experiment "{name}"')
    return problem


# --- files -----------------------------------------------------------------------------------------------------------


def _load_petab() -> Any:  # noqa: ANN401
    """libpetab's v2 module, its log silenced; raises SimulationError that says how to install it."""
    try:
        from petab import v2
    except ImportError:
        raise SimulationError('libpetab is not installed: pip install "antagony[exchange]"') from None
    logging.getLogger("petab").addHandler(logging.NullHandler())
    return v2


def _read_bytes(path: Path) -> str:
    try:
        if not path.is_file():
            raise SimulationError(f"{path}: {'this is a folder' if path.is_dir() else 'there is no such file'}")
        if (size := path.stat().st_size) > LARGEST:
            raise SimulationError(f"{path}: {size / 1e6:.0f} MB; at most {LARGEST / 1e6:.0f} MB are read")
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SimulationError(f"{path}: byte {error.start} is not UTF-8 text") from None
    except OSError as error:
        raise SimulationError(f"{path}: cannot be read ({(error.strerror or '').lower()})") from None


def _read_config(path: Path) -> dict[str, Any]:
    """The YAML file, checked against libpetab's schema."""
    import jsonschema
    import yaml
    from petab.v1.yaml import validate_yaml_syntax

    text = _read_bytes(path)
    try:
        depth = 0
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):
                raise SimulationError(f"{path}: YAML aliases (*name) are not read; write the text out")
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > DEEPEST:  # whose reading takes the longer the deeper they are
                raise SimulationError(f"{path}: no YAML: lists or tables more than {DEEPEST} deep")
        config = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise SimulationError(f"{path}: no YAML: {' '.join(str(error).split())[:300]}") from None
    if not isinstance(config, dict) or "format_version" not in config:
        raise SimulationError(f"{path}: no PEtab problem: it has no format_version")
    version = str(config["format_version"])
    if version.split(".")[0] != "2":
        advice = "; libpetab's petab.v2.petab1to2 converts it" if version.split(".")[0] == "1" else ""
        raise UnsupportedError(f"{path}: PEtab {version[:20]}; version 2 is read{advice}")
    try:
        validate_yaml_syntax(config)
    except jsonschema.ValidationError as error:
        where = ".".join(str(part) for part in error.absolute_path) or "the file"
        raise SimulationError(f"{path}, {where}: {error.message[:300]}") from None
    for name, extension in (config.get("extensions") or {}).items():
        if extension["required"]:
            raise UnsupportedError(f'{path}: the problem needs the PEtab extension "{name}", which nothing here knows')
    return config


def _notes(config: Mapping[str, Any]) -> tuple[str, ...]:
    extensions = config.get("extensions") or {}
    return tuple(f'the PEtab extension "{name}" is not needed, and was left aside' for name in extensions)


def _inside(path: Path, location: str) -> Path:
    """The file that a YAML file names; raises SimulationError for an address or a place outside its folder."""
    pure = PurePosixPath(location)
    strange = "://" in location or "\\" in location or ":" in pure.parts[0] if pure.parts else True
    if strange or pure.is_absolute() or ".." in pure.parts:
        raise SimulationError(f'{path}: "{location[:200]}" does not lie in the problem\'s own folder; it is not opened')
    found = path.parent / pure
    if not found.resolve().is_relative_to(path.parent.resolve()):
        raise SimulationError(f'{path}: "{location[:200]}" leads out of the problem\'s own folder; it is not opened')
    return found


def _model_file(path: Path, config: Mapping[str, Any]) -> tuple[str, str]:
    models = config.get("model_files") or {}
    if len(models) != 1:
        what = "several models in one problem" if models else "a problem without a model"
        raise UnsupportedError(f"{path}: {what}; problems of one model are run")
    ((name, file),) = models.items()
    if file["language"] != "sbml":
        raise UnsupportedError(f'{path}: a model in the language "{file["language"][:40]}"; SBML is read')
    return name, file["location"]


@dataclass(frozen=True)
class _Table:
    """A table as text, and where it came from."""

    name: str
    frame: Any

    def rows(self, *required: str) -> Iterable[tuple[str, dict[str, str]]]:
        """(where, row) of each line; raises SimulationError for a missing column."""
        if missing := [column for column in required if column not in self.frame.columns]:
            raise SimulationError(f"{self.name}: the column {missing[0]} is missing")
        for number, row in enumerate(self.frame.to_dict("records"), start=2):
            yield f"{self.name}, line {number}", {key: str(cell).strip() for key, cell in row.items()}


def _read_table(path: Path, location: str) -> _Table:
    import pandas as pd

    text = _read_bytes(_inside(path, location))
    try:
        frame = pd.read_csv(io.StringIO(text), sep="\t", dtype=str, keep_default_na=False)
    except (ValueError, pd.errors.ParserError) as error:
        raise SimulationError(f"{location}: no table: {' '.join(str(error).split())[:200]}") from None
    return _Table(location, frame.fillna(""))


# --- rows ------------------------------------------------------------------------------------------------------------


def _number(text: str, where: str, column: str, default: float | None = None) -> float:
    if not text and default is not None:
        return default
    try:
        return float(text)
    except ValueError:
        raise SimulationError(f'{where}, column {column}: "{text[:60]}" is no number') from None


def _formula(text: str, where: str, column: str) -> Formula:
    """A formula, or a number in any spelling that tables know."""
    try:
        number = float(text)
        return parse_formula(text) if math.isnan(number) else Formula(text, frozenset(), lambda values: number)
    except ValueError:
        pass
    try:
        return parse_formula(text)
    except SimulationError as error:
        raise SimulationError(f"{where}, column {column}: {error}") from None


def _list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(";")) if text else ()


@dataclass(frozen=True)
class _Reader:
    """Records from the tables of one problem."""

    path: Path
    tables: Mapping[str, list[_Table]]

    def _rows(self, kind: str, *required: str) -> Iterable[tuple[str, dict[str, str]]]:
        for table in self.tables[kind]:
            yield from table.rows(*required)

    def parameters(self) -> dict[str, PetabParameter]:
        found: dict[str, PetabParameter] = {}
        for where, row in self._rows("parameter", "parameterId", "estimate"):
            name = row["parameterId"]
            if name in found:
                raise SimulationError(f'{where}: the parameter "{name}" stands twice in the parameter table')
            nominal = row.get("nominalValue", "")
            numbers = _list(row.get("priorParameters", ""))
            found[name] = PetabParameter(
                name,
                _number(nominal, where, "nominalValue") if nominal else None,
                row["estimate"].lower() == "true",  # lint refuses what is neither true nor false
                _number(row.get("lowerBound", ""), where, "lowerBound", -math.inf),
                _number(row.get("upperBound", ""), where, "upperBound", math.inf),
                row.get("priorDistribution", ""),
                tuple(_number(text, where, "priorParameters") for text in numbers),
            )
        return found

    def observables(self) -> dict[str, PetabObservable]:
        found = {}
        for where, row in self._rows("observable", "observableId", "observableFormula", "noiseFormula"):
            distribution = row.get("noiseDistribution", "") or "normal"
            if distribution not in NOISE:
                known = ", ".join(NOISE)
                raise SimulationError(f'{where}: unknown noiseDistribution "{distribution[:40]}"; known: {known}')
            found[row["observableId"]] = PetabObservable(
                row["observableId"],
                _formula(row["observableFormula"], where, "observableFormula"),
                _formula(row["noiseFormula"], where, "noiseFormula"),
                distribution,
                _list(row.get("observablePlaceholders", "")),
                _list(row.get("noisePlaceholders", "")),
            )
        return found

    def experiments(self) -> dict[str, tuple[PetabPeriod, ...]]:
        found: dict[str, dict[float, list[str]]] = {}
        for where, row in self._rows("experiment", "experimentId", "time", "conditionId"):
            time = _number(row["time"], where, "time")
            conditions = found.setdefault(row["experimentId"], {}).setdefault(time, [])
            conditions += [row["conditionId"]] * bool(row["conditionId"])
        return {
            name: tuple(PetabPeriod(time, tuple(periods[time])) for time in sorted(periods))
            for name, periods in found.items()
        }

    def conditions(self) -> dict[str, dict[str, Formula]]:
        found: dict[str, dict[str, Formula]] = {}
        for where, row in self._rows("condition", "conditionId", "targetId", "targetValue"):
            changes = found.setdefault(row["conditionId"], {})
            if row["targetId"] in changes:
                raise SimulationError(f'{where}: "{row["targetId"]}" is changed twice by one condition')
            changes[row["targetId"]] = _formula(row["targetValue"], where, "targetValue")
        return found

    def measurements(self, model_id: str) -> tuple[PetabMeasurement, ...]:
        found = []
        for where, row in self._rows("measurement", "observableId", "time", "measurement"):
            if row.get("modelId", "") not in ("", model_id):
                raise SimulationError(f'{where}: there is no model "{row["modelId"][:60]}"')
            overrides = []
            for column in ("observableParameters", "noiseParameters"):
                texts = _list(row.get(column, ""))
                overrides.append(tuple(_formula(text, where, column) for text in texts))
                if any(not _IDENTIFIER.fullmatch(f.text) and f.names for f in overrides[-1]):
                    raise SimulationError(f"{where}, column {column}: a number or a parameter, no expression")
            found.append(
                PetabMeasurement(
                    row["observableId"],
                    row.get("experimentId", ""),
                    _number(row["time"], where, "time"),
                    _number(row["measurement"], where, "measurement"),
                    *overrides,
                )
            )
        return tuple(found)

    def mappings(self) -> dict[str, str]:
        rows = self._rows("mapping", "petabEntityId", "modelEntityId")
        return {row["petabEntityId"]: row["modelEntityId"] for _, row in rows if row["modelEntityId"]}


# --- libpetab's judgement --------------------------------------------------------------------------------------------


def _lint(v2: Any, problem: PetabProblem, tables: Mapping[str, list[_Table]], sbml: str, model_id: str) -> None:  # noqa: ANN401
    """Raise SimulationError with the first error that libpetab's own lint finds, and how many follow."""
    import petab.v2.core as core
    from petab.v2.models.sbml_model import SbmlModel as PetabModel

    classes = {name: getattr(core, f"{name.capitalize()}Table") for name in TABLES}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the libraries below libpetab, about one another
            parts = {
                f"{name}_tables": [classes[name].from_df(_names_only(t.frame, problem)) for t in tables[name]]
                for name in TABLES
            }
            found = v2.Problem(models=[PetabModel.from_string(sbml, model_id)], **parts).validate()
    except Exception as error:  # libpetab raises whatever its parts raise; a user is owed its sentence
        raise SimulationError(f"{problem.path}: libpetab refuses it: {_sentence(error)}") from None
    errors = [issue for issue in found if issue.level >= 30]  # ERROR and CRITICAL
    if errors:
        more = f" ({len(errors) - 1} more; petablint lists them)" if len(errors) > 1 else ""
        raise SimulationError(f"{problem.path}: libpetab's lint: {_sentence(errors[0].message)}{more}")


def _sentence(said: object) -> str:
    return " ".join(str(said).split("Traceback")[0].split())[:400]


def _names_only(frame: Any, problem: PetabProblem) -> Any:  # noqa: ANN401
    """A table as libpetab reads it, each formula replaced by the sum of the names in it.

    Lint asks formulas for their names only, and nothing else of them reaches sympy. Observables may use observables,
    and targets the time, which libpetab 0.8 takes for missing parameters, so those names are left out.
    """
    import sympy as sp

    def stand_in(text: str) -> object:
        names = sorted(_formula(text.strip(), "", "").names - problem.observables.keys() - {"time"})
        return sp.Add(sp.Integer(1), *(sp.Symbol(name, real=True) for name in names))

    copy = frame.replace("", math.nan).astype(object)
    for column in ("observableFormula", "noiseFormula", "targetValue"):
        if column in copy.columns:
            copy[column] = [stand_in(str(text)) for text in frame[column]]
    for column in ("time", "measurement"):
        if column in copy.columns:
            copy[column] = [float(text) for text in frame[column]]
    return copy
