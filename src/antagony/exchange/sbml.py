"""SBML files: read with care, checked, made flat, and refused by name where nothing here can simulate them.

A file is a stranger's: it is scanned before libSBML sees it (no document types or entities, no bottomless nesting, no
other file is opened), its formulas are trees and never text, and none of it is run.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from xml.parsers import expat

import libsbml as _libsbml

from ..errors import SimulationError, UnsupportedError, near_miss
from .sbml_tree import formula, items, nodes, participants, solve_algebraic, with_formulas

libsbml: Any = _libsbml  # it builds its classes at run time, where no type checker sees them

LARGEST = 64_000_000  # [byte]; genome-scale models have some 20 million
DEEPEST = 400  # elements, or brackets of a formula, inside one another; libSBML's own stack ends at some thousands
LONGEST = 20_000  # operators of one formula written as text (SBML Level 1)
HARMLESS = {"comp", "fbc", "groups", "layout", "render", "l3v2extendedmath"}  # packages whose meaning is known here
CONSISTENCY = ("UNITS_CONSISTENCY", "MODELING_PRACTICE", "SBO_CONSISTENCY")  # checks that do not change a number
EXTREMES = (_libsbml.AST_FUNCTION_MAX, _libsbml.AST_FUNCTION_MIN)
UNITS_ONLY = {10311, 10313}  # dangling references to units


def read_sbml(path: Path | str) -> str:
    """Text of an SBML file; raises SimulationError where there is none, or one that is too large or not UTF-8."""
    path = Path(path)
    try:
        if not path.is_file():
            raise SimulationError(f"{path}: {'this is a folder' if path.is_dir() else 'there is no such file'}")
        if (size := path.stat().st_size) > LARGEST:
            raise SimulationError(f"{path}: {size / 1e6:.0f} MB; SBML of at most {LARGEST / 1e6:.0f} MB is read")
        content = path.read_bytes()
    except OSError as error:
        raise SimulationError(f"{path}: cannot be read ({(error.strerror or '').lower()})") from None
    if not content.strip():
        raise SimulationError(f"{path}: the file is empty")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SimulationError(f"{path}: no SBML: byte {error.start} is not UTF-8 text") from None
    if not text.lstrip().startswith("<"):
        raise SimulationError(f"{path}: no SBML: it does not begin with <, as every XML file does")
    return text


@dataclass(frozen=True)
class SbmlModel:
    """A model that passed all checks: hierarchy flattened, SBML core only, everything in it simulable by somebody."""

    text: str
    document: Any
    read_as: tuple[str, ...] = ()  # what was written in another form, a sentence each

    @property
    def model(self) -> Any:  # noqa: ANN401 - libSBML's classes have no static type
        """libSBML's model."""
        return self.document.getModel()

    @property
    def title(self) -> str:
        """Name or identifier, as the author gave it."""
        return self.model.getName() or self.model.getId() or "model without a name"

    @cached_property
    def quantities(self) -> tuple[str, ...]:
        """Every identifier that can be shown: species, compartments, parameters, reactions, named stoichiometries."""
        m = self.model
        lists = (m.getListOfSpecies(), m.getListOfCompartments(), m.getListOfParameters(), m.getListOfReactions())
        return (*(item.getId() for some in lists for item in items(some)), *(r.getId() for r in self.references))

    @cached_property
    def references(self) -> tuple[Any, ...]:
        """Species references that have an identifier: from Level 3 on their stoichiometry is a quantity."""
        reactions = items(self.model.getListOfReactions()) if self.model.getLevel() > 2 else []
        return tuple(reference for r in reactions for reference in participants(r) if reference.isSetId())

    @cached_property
    def varying(self) -> frozenset[str]:
        """Identifiers that a rule or an event moves."""
        rules = (rule.getVariable() for rule in items(self.model.getListOfRules()))
        events = items(self.model.getListOfEvents())
        assigned = (a.getVariable() for event in events for a in items(event.getListOfEventAssignments()))
        return frozenset((*rules, *assigned))

    @property
    def shown(self) -> tuple[str, ...]:
        """What is shown unasked: every species, then whatever else varies."""
        species = tuple(s.getId() for s in items(self.model.getListOfSpecies()))
        return tuple(dict.fromkeys((*species, *(n for n in self.quantities if n in self.varying))))

    def is_amount(self, species: str) -> bool:
        """Whether a species' symbol means its amount; else it means the concentration."""
        item = self.model.getSpecies(species)
        space = self.model.getCompartment(item.getCompartment())
        return item.getHasOnlySubstanceUnits() or (
            space.isSetSpatialDimensions() and space.getSpatialDimensionsAsDouble() == 0
        )

    def chosen(self, outputs: Iterable[str] | None) -> tuple[str, ...]:
        """Outputs as asked or by default; raises SimulationError with the near miss."""
        wanted = tuple(dict.fromkeys(outputs)) if outputs is not None else self.shown
        for name in wanted:
            if name not in self.quantities:
                raise SimulationError(f'the model has no quantity "{name}"{near_miss(name, self.quantities)}')
        if not wanted:
            raise SimulationError("nothing in this model can change: it has no species, no rules and no events")
        return wanted

    def unit(self, name: str) -> str:
        """Unit of a quantity as the model states it; empty where it states none."""
        item = self.model.getElementBySId(name)
        if item is None or item.getTypeCode() in (libsbml.SBML_SPECIES_REFERENCE, libsbml.SBML_REACTION):
            return ""
        definition = item.getDerivedUnitDefinition()
        if item.getTypeCode() == libsbml.SBML_SPECIES and self.is_amount(name) and not item.getHasOnlySubstanceUnits():
            return ""
        return write_unit(definition)

    @property
    def time_unit(self) -> str:
        """Unit of time as the model states it: Level 2 has seconds unless told otherwise, Level 3 may have none."""
        m = self.model
        name = m.getTimeUnits() if m.getLevel() > 2 else "time" if m.getUnitDefinition("time") else "second"
        definition = m.getUnitDefinition(name)
        return write_unit(definition) if definition is not None else name

    @cached_property
    def missing(self) -> tuple[str, ...]:
        """Quantities without a value at the start: none given, and no rule or initial assignment that computes one."""
        m = self.model
        computed = {a.getSymbol() for a in items(m.getListOfInitialAssignments())}
        computed |= {rule.getVariable() for rule in items(m.getListOfRules()) if rule.isAssignment()}
        absent = [p.getId() for p in items(m.getListOfParameters()) if not p.isSetValue()]
        absent += [c.getId() for c in items(m.getListOfCompartments()) if not c.isSetSize() and c.getLevel() > 2]
        species = items(m.getListOfSpecies())
        absent += [s.getId() for s in species if not (s.isSetInitialAmount() or s.isSetInitialConcentration())]
        return tuple(name for name in absent if name not in computed and name not in self._unused_spaces)

    @cached_property
    def _unused_spaces(self) -> frozenset[str]:
        """Compartments whose size no number hangs on: all species in them are amounts, and no formula uses them."""
        m = self.model
        spaces = {c.getId() for c in items(m.getListOfCompartments())}
        spaces -= {node.getName() for e in with_formulas(m) for node in nodes(e.getMath())}
        species = items(m.getListOfSpecies())
        return frozenset(
            spaces
            - {s.getCompartment() for s in species if not self.is_amount(s.getId()) or s.isSetInitialConcentration()}
        )

    def changed(self, changes: Mapping[str, float]) -> SbmlModel:
        """The model with other starting values or parameters; a species in the unit in which it is shown.

        A parameter of one reaction alone is called reaction.parameter. Raises SimulationError for what is no quantity
        and for what a rule computes at every moment.
        """
        document = self.document.clone()
        model = document.getModel()
        assigned = {rule.getVariable() for rule in items(model.getListOfRules()) if rule.isAssignment()}
        for name, value in changes.items():
            if name in assigned:
                raise SimulationError(f'"{name}" cannot be set: a rule of the model computes it at every moment')
            if not math.isfinite(value):
                raise SimulationError(f'"{name}" cannot be set to {value:g}: give a finite number')
            self._change(model, name, float(value))
        return SbmlModel(libsbml.writeSBMLToString(document), document, self.read_as)

    def _change(self, model: Any, name: str, value: float) -> None:  # noqa: ANN401
        reaction, _, own = name.partition(".")
        item = model.getElementBySId(name)
        if own and (found := model.getReaction(reaction)) is not None and found.getKineticLaw() is not None:
            law = found.getKineticLaw()
            item = law.getLocalParameter(own) or law.getParameter(own)
        setters = {
            libsbml.SBML_SPECIES: "setInitialAmount" if item and self._has_amount(name) else "setInitialConcentration",
            libsbml.SBML_COMPARTMENT: "setSize",
            libsbml.SBML_PARAMETER: "setValue",
            libsbml.SBML_LOCAL_PARAMETER: "setValue",
            libsbml.SBML_SPECIES_REFERENCE: "setStoichiometry",
        }
        label = item is not None and item.getTypeCode() == libsbml.SBML_SPECIES_REFERENCE and model.getLevel() < 3
        if item is None or label or item.getTypeCode() not in setters:
            known = [n for n in self.quantities if model.getReaction(n) is None]
            raise SimulationError(f'the model has nothing called "{name}" to set{near_miss(name, known)}')
        model.removeInitialAssignment(name)
        getattr(item, setters[item.getTypeCode()])(value)

    def _has_amount(self, name: str) -> bool:
        return self.model.getSpecies(name) is not None and self.is_amount(name)


def open_sbml(text: str) -> SbmlModel:
    """Check SBML text and make it flat.

    Raises SimulationError with libSBML's own words and line where the text is not valid SBML, and UnsupportedError that
    names the construct where it is valid but neither the kernel nor libRoadRunner can be trusted with it.
    """
    scan = _scan(text)
    for package in sorted(scan.required - HARMLESS):
        raise UnsupportedError(f'the model needs the SBML package "{package}", which nothing here can simulate')
    document = libsbml.readSBMLFromString(text)
    _refuse_errors(document)
    if (model := document.getModel()) is None:
        raise SimulationError("this SBML file holds no model")
    _refuse_fbc(model)
    if document.getPlugin("comp") is not None and (comp := model.getPlugin("comp")) is not None:
        _refuse_external(document)
        _validate(document)
        if comp.getNumSubmodels():
            _flatten(document)
        document.disablePackage(document.getPlugin("comp").getURI(), "comp") if document.getPlugin("comp") else None
        text = libsbml.writeSBMLToString(document)
    else:
        _validate(document)
    model = document.getModel()
    _refuse_constructs(model)
    read_as = tuple(solve_algebraic(model))
    if read_as:
        text = libsbml.writeSBMLToString(document)
    return SbmlModel(text, document, read_as)


def write_unit(definition: Any) -> str:  # noqa: ANN401
    """A unit in letters: 0.001 mole / litre; empty where libSBML could not derive it."""
    if definition is None or definition.getNumUnits() == 0:
        return ""
    units = [definition.getUnit(i) for i in range(definition.getNumUnits())]
    factor, above, below = 1.0, [], []
    for u in units:
        power, kind = u.getExponentAsDouble(), libsbml.UnitKind_toString(u.getKind())
        if kind == "(Invalid UnitKind)" or math.isnan(power):
            return ""
        factor *= (u.getMultiplier() * 10.0 ** u.getScale()) ** power
        if kind != "dimensionless" and power:
            (above if power > 0 else below).append(kind if abs(power) == 1 else f"{kind}^{abs(power):g}")
    number = "" if math.isclose(factor, 1) else f"{factor:g}"
    top = " ".join(part for part in (number, *above) if part) or ("1" if below else "dimensionless")
    return " / ".join((top, *below))


# --- before libSBML --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Scan:
    """What the head of the file says of itself."""

    required: frozenset[str]


def _scan(text: str) -> _Scan:
    """Walk the tags without building a tree; raises SimulationError for what a parser of trees must not be given."""
    parser = expat.ParserCreate(namespace_separator=" ")
    depth, required = 0, set()

    def where() -> str:
        return f"line {parser.CurrentLineNumber}"

    def refuse_doctype(*_: object) -> None:
        raise SimulationError(f"{where()}: a document type or an entity, which SBML has none of; it is not read")

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth == 1:
            if name.rpartition(" ")[2] != "sbml":
                raise SimulationError(f"{where()}: no SBML: the outermost element is <{name.rpartition(' ')[2][:60]}>")
            for key, value in attributes.items():
                uri, _, attribute = key.rpartition(" ")
                if attribute == "required" and value in ("true", "1"):
                    required.add(package_of(uri))
        if depth > DEEPEST:
            raise SimulationError(f"{where()}: elements lie more than {DEEPEST} deep; such a file is not read")
        for key in ("formula", "math"):
            if key in attributes:
                _refuse_tangle(attributes[key], where())

    def end(_: str) -> None:
        nonlocal depth
        depth -= 1

    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = refuse_doctype
    parser.StartElementHandler, parser.EndElementHandler = start, end
    try:
        parser.Parse(text.encode(), True)
    except expat.ExpatError as error:
        raise SimulationError(f"line {error.lineno}: no XML: {expat.ErrorString(error.code)}") from None
    except UnicodeEncodeError:
        raise SimulationError("no SBML: characters that UTF-8 does not have") from None
    except (LookupError, ValueError):  # what the library says of an encoding that it lacks, or cannot read
        raise SimulationError("line 1: no XML: an encoding that cannot be read; write it in UTF-8") from None
    return _Scan(frozenset(required))


def package_of(uri: str) -> str:
    """Short name of a package by its namespace."""
    found = re.search(r"/level3/version\d+/([A-Za-z0-9_]+)", uri)
    return found[1] if found else uri


def _refuse_tangle(formula: str, where: str) -> None:
    depth = deepest = 0
    for letter in formula:
        depth += (letter == "(") - (letter == ")")
        deepest = max(deepest, depth)
    operators = sum(formula.count(letter) for letter in "+-*/^")
    if deepest > DEEPEST or operators > LONGEST:
        raise SimulationError(f"{where}: a formula with {deepest} brackets inside one another, {operators} operators")


# --- what libSBML says -----------------------------------------------------------------------------------------------


def _refuse_errors(document: Any) -> None:  # noqa: ANN401
    """Raise SimulationError with the first complaint of libSBML that is an error, its line, and how many follow."""
    log = [document.getError(i) for i in range(document.getNumErrors())]
    errors = [e for e in log if e.getSeverity() >= libsbml.LIBSBML_SEV_ERROR and e.getErrorId() not in UNITS_ONLY]
    if not errors:
        return
    first = errors[0]
    said = " ".join(first.getMessage().split())[:400]
    more = f" ({len(errors) - 1} more)" if len(errors) > 1 else ""
    raise SimulationError(f"line {first.getLine()}: no valid SBML: {first.getShortMessage()}: {said}{more}")


def _validate(document: Any) -> None:  # noqa: ANN401
    for name in CONSISTENCY:
        document.setConsistencyChecks(getattr(libsbml, f"LIBSBML_CAT_{name}"), False)
    document.getErrorLog().clearLog()
    document.checkConsistency()
    _refuse_errors(document)


def _flatten(document: Any) -> None:  # noqa: ANN401
    """Submodels written out into one model, by libSBML."""
    how = libsbml.ConversionProperties()
    for name, value in (("flatten comp", True), ("performValidation", False), ("leavePorts", False)):
        how.addOption(name, value)
    if document.convert(how) != libsbml.LIBSBML_OPERATION_SUCCESS:
        log = document.getErrorLog().toString().strip()
        raise UnsupportedError(f"libSBML cannot flatten this hierarchical model (comp): {' '.join(log.split())[:300]}")


# --- what neither engine covers --------------------------------------------------------------------------------------


def _refuse_external(document: Any) -> None:  # noqa: ANN401
    plugin = document.getPlugin("comp")
    for i in range(plugin.getNumExternalModelDefinitions()):
        item = plugin.getExternalModelDefinition(i)
        raise UnsupportedError(
            f'a submodel from another file (comp:externalModelDefinition "{item.getId()}", source '
            f'"{item.getSource()[:100]}"): no other file is opened; put its definition into this one'
        )


def _refuse_fbc(model: Any) -> None:  # noqa: ANN401
    fbc = model.getPlugin("fbc")
    if fbc is not None and fbc.getNumObjectives():
        raise UnsupportedError("flux balance (fbc objective): an optimum and no course in time; nothing here solves it")


def _refuse_constructs(model: Any) -> None:  # noqa: ANN401
    """Raise UnsupportedError for a fast reaction, a delay or an extreme of nothing: libRoadRunner gets them wrong."""
    for reaction in items(model.getListOfReactions()):
        if reaction.isSetFast() and reaction.getFast():
            raise UnsupportedError(f'a fast reaction ("{reaction.getId()}"): neither solver covers it')
    for element in with_formulas(model):
        for node in nodes(element.getMath()):
            if node.getType() == libsbml.AST_FUNCTION_DELAY:
                raise UnsupportedError(f"a delay ({formula(node)}): neither solver covers it")
            if node.getType() in EXTREMES and not node.getNumChildren():
                raise UnsupportedError(f"the largest or smallest of nothing ({formula(node)}): it has no value")
