"""A mechanism as one model file that stands alone: Antimony text, and the SBML (Level 3 Version 2) made of it.

Values, units, names, grades, annotations and the doses of one regimen are in it. Doses are events: an amount added to a
state, an input (infusion) set and put back to 0. The file's time begins at 0 where the run begins; with a regimen,
`time_from_reference` is the case's own time, and every formula that speaks of time takes that.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..case import Case
from ..composition import COMPOSING
from ..errors import CompositionError
from ..mechanism import Mechanism
from ..parameters import Parameter
from ..regimen import Regimen
from ..units import format_time
from .annotations import MODEL, Annotation, read_annotations, source_annotations
from .doses import Moment, Timetable, lay_out_doses
from .values import Value

CLOCK = "time_from_reference"
REFERENCE = "reference_time"
_TIME = re.compile(r"//[^\n]*|/\*.*?\*/|\"[^\"\n]*\"|\btime\b", re.DOTALL)


@dataclass(frozen=True, slots=True)
class ModelText:
    """One model as Antimony and as SBML, with the same equations, values, doses and annotations.

    A `dosed` one has the clock of the case, whose time 0 lies `reference` [h] after the file's. `issues`: what
    libSBML's full check says, a sentence each.
    """

    antimony: str
    sbml: str
    dosed: bool
    reference: float
    issues: tuple[str, ...]


def compose_file(
    case: Case, mechanism: Mechanism, values: Mapping[str, Value], regimen: Regimen | None = None
) -> ModelText:
    """The model of a mechanism with given values and, where there is one, a regimen's doses; without, it is at rest.

    Raises RegimenError for doses that a model file cannot hold, CompositionError for a name of the case that is taken.
    """
    doses = None if regimen is None else lay_out_doses(regimen, mechanism, values)
    sources = source_annotations(case, mechanism.parameters.values())
    annotations = (*read_annotations(case), *sources)
    about = _describe(case, mechanism, values, regimen, doses)
    names = _names(mechanism)
    antimony = _join(mechanism, values, doses, names, annotations, about)
    sbml, issues = _complete(_load(mechanism, antimony), mechanism, values, annotations, about)
    return ModelText(antimony, sbml, doses is not None, doses.reference if doses else 0.0, issues)


def _describe(
    case: Case,
    mechanism: Mechanism,
    values: Mapping[str, Value],
    regimen: Regimen | None,
    doses: Timetable | None,
) -> tuple[str, ...]:
    """What a reader must know of the file, a sentence each; for comments and notes alike."""
    from .. import __version__

    numbers = [values[p.id] for p in mechanism.parameters.values() if p.grade != "definition"]
    assumed = sum(value.parameter.grade == "assumed" for value in numbers)
    variants = f", variants {', '.join(mechanism.variants)}" if mechanism.variants else ""
    lines = [
        f"{mechanism.title} ({mechanism.slug}{variants}): one of the rival mechanisms of the case \"{case.title}\".",
        case.question,
        f"Of {len(numbers)} numbers {assumed} are assumed; each parameter says how it is known.",
    ]
    if regimen is None or doses is None:
        lines.append("No drug is given. Time counts hours from the reference dose.")
    else:
        lines += [
            f"Doses: {regimen.text()}. They are events, computed for the typical patient, body weight and "
            "bioavailability counted: a dose does not follow when such a parameter is changed.",
            f"Time 0 of this file is {format_time(-doses.reference)} of the case; {CLOCK} is the case's time, "
            "hours from the reference dose.",
        ]
    return (*lines, case.disclaimer, f"Written by antagony {__version__} from the case {case.hash}.")


def _names(mechanism: Mechanism) -> dict[str, str]:
    """Title of every symbol that has one."""
    titles = {name: output.title for name, output in mechanism.outputs.items()}
    return titles | {p.id: p.name for p in mechanism.parameters.values() if p.name}


# --- Antimony --------------------------------------------------------------------------------------------------------


def _join(
    mechanism: Mechanism,
    values: Mapping[str, Value],
    doses: Timetable | None,
    names: Mapping[str, str],
    annotations: Sequence[Annotation],
    about: Sequence[str],
) -> str:
    """The composed text with these values, and what else the file holds before its end."""
    text = mechanism.antimony
    for p in mechanism.parameters.values():
        text = _with_value(text, p, values[p.id])
    added = ["// --- names and annotations"]
    added += [f'{symbol} is "{_quoted(title)}";' for symbol, title in sorted(names.items())]
    known = _symbols(mechanism)
    for a in dict.fromkeys(annotations):
        if a.symbol in known:
            added.append(f'{a.symbol} {"identity" if a.qualifier == "is" else a.qualifier} "{_quoted(a.uri)}"')
    if doses is not None:
        text = _TIME.sub(lambda found: CLOCK if found.group() == "time" else found.group(), text)
        added += ["// --- the file's clock and the doses", *_dose_lines(mechanism, doses, known)]
    body, end, rest = text.rpartition("\nend\n")
    if not end or rest:
        raise CompositionError(f"the model text of {mechanism.slug} does not end with its own line; report it")
    head = [f"// {_on_one_line(line)}" for line in about]
    return "\n".join([*head, body, *added, "end", ""])


def _with_value(text: str, parameter: Parameter, value: Value) -> str:
    """The text with one parameter's value in place of that of its row, and how it is known behind it."""
    written = f"\n{parameter.id} = {parameter.nominal!r}; {parameter.id} has {parameter.unit};\n"
    if text.count(written) != 1:
        raise CompositionError(f'the value of "{parameter.id}" does not stand in the model text once; report it')
    known = f"  // {_on_one_line(value.known)}" if value.known else ""
    return text.replace(written, f"\n{parameter.id} = {value.number!r}; {parameter.id} has {parameter.unit};{known}\n")


def _quoted(text: str) -> str:
    return _on_one_line(text).replace('"', "'")


def _on_one_line(text: str) -> str:
    """Free text as model text may hold it: a backslash would go on with a comment, or end no string."""
    return " ".join(text.replace("\\", "/").split())


def _symbols(mechanism: Mechanism) -> frozenset[str]:
    """Every identifier of the model."""
    import libsbml

    document = libsbml.readSBMLFromString(mechanism.sbml)
    elements = document.getModel().getListOfAllElements()
    return frozenset(elements.get(i).getIdAttribute() for i in range(elements.getSize())) - {""}


def _dose_lines(mechanism: Mechanism, doses: Timetable, known: frozenset[str]) -> Iterator[str]:
    events = [f"dose_{n}" for n in range(1, len(doses.moments) + 1)]
    for name in (CLOCK, REFERENCE, *events):
        if name in known:
            raise CompositionError(f'the case has a symbol "{name}", which files with doses use; give it another name')
    yield f'{REFERENCE} = {doses.reference!r}; {REFERENCE} has hour; {REFERENCE} is "time of the reference dose";'
    yield f'{CLOCK} := time - {REFERENCE}; {CLOCK} has hour; {CLOCK} is "time since the reference dose";'
    starts = _starts(mechanism) if any(moment.resets for moment in doses.moments) else {}
    for event, moment in zip(events, doses.moments, strict=True):
        acts = ", ".join(f"{symbol} = {formula}" for symbol, formula in _assignments(mechanism, moment, starts))
        yield f"{event}: at (time >= {moment.time!r} hour), t0=false: {acts};"
        yield f'{event} is "{_quoted(moment.title)}";'


def _assignments(mechanism: Mechanism, moment: Moment, starts: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """(symbol, formula) of everything that one moment sets."""
    for state in starts if moment.resets else moment.added:
        before = f"({starts[state]})" if moment.resets else state
        amount = moment.added.get(state, 0.0)
        yield state, f"{before} + {amount!r} {mechanism.state_units[state]}" if amount else before
    for symbol, rate in moment.inputs.items():
        yield symbol, f"{rate!r} {mechanism.parameters[symbol].unit}"


def _starts(mechanism: Mechanism) -> dict[str, str]:
    """Formula of every state at rest, with units."""
    import libsbml

    document = libsbml.readSBMLFromString(mechanism.sbml)
    model = document.getModel()
    starts = {}
    for state, unit in mechanism.state_units.items():
        assigned = model.getInitialAssignmentBySymbol(state)
        formula = None if assigned is None else libsbml.formulaToL3String(assigned.getMath())
        starts[state] = formula or f"{model.getParameter(state).getValue()!r} {unit}"
    return starts


# --- SBML ------------------------------------------------------------------------------------------------------------


def _load(mechanism: Mechanism, text: str) -> str:
    """SBML of a whole Antimony text; raises CompositionError with the library's message."""
    import antimony

    name = re.search(r"^model (\w+)$", text, re.MULTILINE)
    with COMPOSING:
        antimony.clearPreviousLoads()
        if name is None or antimony.loadAntimonyString(text) < 0:
            raise CompositionError(f"the text of {mechanism.slug} cannot be written: {antimony.getLastError()}")
        sbml = str(antimony.getSBMLString(name[1]))
        antimony.clearPreviousLoads()
    return sbml


def _complete(
    sbml: str,
    mechanism: Mechanism,
    values: Mapping[str, Value],
    annotations: Iterable[Annotation],
    about: Iterable[str],
) -> tuple[str, tuple[str, ...]]:
    """The SBML with what Antimony cannot say (the model's name, notes, its own annotations), and libSBML's opinion."""
    import libsbml

    document = libsbml.readSBMLFromString(sbml)
    model = document.getModel()
    model.setName(_on_one_line(mechanism.title))
    model.setNotes(_notes(about))
    for annotation in annotations:
        if annotation.symbol == MODEL:
            _annotate(model, annotation)
    for parameter in mechanism.parameters.values():
        value = values[parameter.id]
        said = [f"{word}: {text}" for word, text in (("known", value.known), ("note", parameter.note)) if text]
        if said:
            model.getParameter(parameter.id).setNotes(_notes(said))
    document.checkConsistency()
    log = document.getErrorLog()
    issues = (" ".join(log.getError(i).getMessage().split()) for i in range(log.getNumErrors()))
    return libsbml.writeSBMLToString(document), tuple(issues)


def _annotate(element: Any, annotation: Annotation) -> None:  # noqa: ANN401 - libSBML's classes carry no types
    import libsbml

    if not element.isSetMetaId():
        element.setMetaId(element.getId())
    term = libsbml.CVTerm(libsbml.BIOLOGICAL_QUALIFIER)
    term.setBiologicalQualifierType(annotation.qualifier)
    term.addResource(annotation.uri)
    element.addCVTerm(term)


def _notes(lines: Iterable[str]) -> str:
    paragraphs = "".join(f"<p>{html.escape(_on_one_line(line), quote=False)}</p>" for line in lines)
    return f'<body xmlns="http://www.w3.org/1999/xhtml">{paragraphs}</body>'
