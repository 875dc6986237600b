"""An SBML model over time: by the kernel, or by libRoadRunner where the kernel does not cover it, and it says which."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import libsbml
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import SimulationError, UnsupportedError
from ..kernel.build import build_kernel
from ..kernel.library import Status
from ..reference import load_roadrunner, run_roadrunner
from .sbml import SbmlModel, open_sbml
from .sbml_tree import items, local_parameters

if TYPE_CHECKING:
    import xarray as xr

    from ..kernel.library import Kernel

Array = NDArray[np.float64]
DIMENSION = "time"
SAME = 1e-6  # relative; two orders of events that agree to this give one answer
UNSAID, NOTHING = 1e9, 1e-9  # priorities: beyond all that a model states, and less than parts two of them


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Tolerances of a run and the level at which the compiler works (None: by the model's size)."""

    relative: float = 1e-9
    absolute: float = 1e-15
    optimise: int | None = None


@dataclass(frozen=True)
class _Question:
    """What is asked of either engine."""

    source: SbmlModel
    outputs: tuple[str, ...]
    times: Array
    changes: Mapping[str, float]
    accuracy: Accuracy

    @cached_property
    def changed(self) -> SbmlModel:
        return self.source.changed(self.changes) if self.changes else self.source


def simulate_sbml(
    text: str | SbmlModel,
    times: ArrayLike,
    *,
    outputs: Iterable[str] | None = None,
    changes: Mapping[str, float] | None = None,
    accuracy: Accuracy = Accuracy(),
) -> xr.Dataset:
    """Simulate an SBML model from its time 0 and show `outputs` (default: all species, and whatever else varies).

    A species is a concentration unless the model says hasOnlySubstanceUnits. `changes` are values by identifier, a
    species in the unit in which it is shown. The attributes `engine` and `engine_reason` say who solved it and why.
    Raises SimulationError for text that is no valid SBML, UnsupportedError that names what neither engine covers.
    """
    model = open_sbml(text) if isinstance(text, str) else text
    moments = np.atleast_1d(np.asarray(times, dtype=float))
    if not (moments.size and np.isfinite(moments).all() and moments.min() >= 0 and (np.diff(moments) >= 0).all()):
        raise SimulationError("times must be finite, ascending and not before 0, where an SBML model begins")
    question = _Question(model, model.chosen(outputs), moments, dict(changes or {}), accuracy)
    try:
        values, engine = _by_kernel(question), "kernel"
        reason = "the model lies in the kernel's range"
    except UnsupportedError as refusal:
        reason = str(refusal)
        values, engine = _by_roadrunner(question, reason)
    return _dataset(question, values, engine, reason)


def _by_kernel(question: _Question) -> Array:
    """Values (time, output); raises UnsupportedError for constructs and for runs that the kernel cannot finish."""
    known = {*question.source.quantities}
    try:
        kernel, row = _kernel_row(question, known)
    except RecursionError:
        raise UnsupportedError("the kernel does not cover formulas nested this deep") from None
    solution = kernel.solve(
        row, question.times, start=0.0, rtol=question.accuracy.relative, atol=question.accuracy.absolute, threads=1
    )
    if solution.status[0]:
        status, when = Status(int(solution.status[0])), float(solution.fail_time[0])
        if status == Status.NOT_A_NUMBER and (absent := question.changed.missing):
            raise _missing(absent)
        if status == Status.CHATTERING:  # no solver gets past it, and libRoadRunner may not say so
            raise SimulationError(f"stopped at time {when:g}: {status.advice}")
        raise UnsupportedError(f"the kernel stopped at time {when:g}: {status.advice}")
    return solution.values[0]


def _kernel_row(question: _Question, known: set[str]) -> tuple[Kernel, Array]:
    """Kernel and its row of numbers: parameters are set in the row, so that a changed model needs no compiler."""
    asked = {"outputs": list(question.outputs), "optimise": question.accuracy.optimise}
    source, plain = question.source, {}
    if question.changes:
        source.changed(question.changes)  # refuses what cannot be set
        settable = {p.getId() for p in source.model.getListOfParameters()}
        plain = {name: value for name, value in question.changes.items() if name in settable & known}
        if plain.keys() != question.changes.keys():
            return (kernel := build_kernel(question.changed.text, **asked)), kernel.defaults
    kernel = build_kernel(source.text, **asked)
    if not plain.keys() <= set(kernel.parameters):  # an initial assignment computes one of them
        return (kernel := build_kernel(question.changed.text, **asked)), kernel.defaults
    return kernel, kernel.row(**plain)


def _by_roadrunner(question: _Question, reason: str) -> tuple[Array, str]:
    """Values (time, output) and the solver's name; raises UnsupportedError for what it is known to get wrong."""
    model = question.changed
    try:
        library = load_roadrunner()
    except SimulationError as absent:
        raise UnsupportedError(f"{reason}; libRoadRunner may: {absent}") from None
    local = (p.getId() for r in items(model.model.getListOfReactions()) for p in local_parameters(r))
    if model.model.getElementBySId("time") is not None or "time" in local:
        raise UnsupportedError(f'{reason}, and libRoadRunner takes the quantity called "time" for time itself')
    if model.missing:
        raise _missing(model.missing)  # libRoadRunner would take 0 for a species and 1 for a compartment
    selections = []
    for name in question.outputs:
        species = model.model.getSpecies(name)
        selections.append(name if species is None or model.is_amount(name) else f"[{name}]")
    relative = question.accuracy.relative
    try:
        values, *ordered = (
            run_roadrunner(text, question.times, selections, relative=relative, absolute=1e-12)
            for text in (model.text, *_ordered_events(model))
        )
    except RuntimeError as error:
        said = " ".join(str(error).split())[:300]
        raise UnsupportedError(f"{reason}; libRoadRunner could not run it either: {said}") from None
    if ordered and not _agree(*ordered):
        raise UnsupportedError(
            "several events of the model happen at one moment, and the answer hangs on which comes first; "
            "give each a priority (SBML level 3)"
        )
    return values, f"libRoadRunner {library.__version__}"


def _ordered_events(model: SbmlModel) -> tuple[str, ...]:
    """The model with its events in order, and in reverse, wherever they tie; none where there is nothing to order.

    libRoadRunner takes either at random, and another the next time. A priority stays what it is but for a nothing that
    breaks ties; an event without one comes first, or last.
    """
    if model.model.getNumEvents() < 2:
        return ()
    texts = []
    for sign in (1.0, -1.0):
        document = model.document.clone()
        if document.getLevel() < 3 and not document.setLevelAndVersion(3, 1, False):
            return ()
        for place, event in enumerate(items(document.getModel().getListOfEvents())):
            own = event.getPriority()
            if own is None or own.getMath() is None:
                (own or event.createPriority()).setMath(_number(sign * (UNSAID - place)))
                continue
            total = libsbml.ASTNode(libsbml.AST_PLUS)
            total.addChild(own.getMath().deepCopy())
            total.addChild(_number(-sign * place * NOTHING))
            own.setMath(total)
        texts.append(libsbml.writeSBMLToString(document))
    return tuple(texts)


def _agree(one: Array, other: Array) -> bool:
    """Whether two runs (time, output) are one answer."""
    scale = np.nanmax(np.abs(one), axis=0, initial=0.0)
    return bool(np.allclose(one, other, rtol=SAME, atol=SAME * scale, equal_nan=True))


def _number(value: float) -> libsbml.ASTNode:
    node = libsbml.ASTNode(libsbml.AST_REAL)
    node.setValue(value)
    return node


def _missing(names: tuple[str, ...]) -> SimulationError:
    return SimulationError(f"the model gives no value for {', '.join(names[:8])}; set {names[0]}=VALUE")


def _dataset(question: _Question, values: Array, engine: str, reason: str) -> xr.Dataset:
    import xarray as xr

    from .. import __version__

    model = question.source
    variables = {}
    for i, name in enumerate(question.outputs):
        item = model.model.getElementBySId(name)
        label = f"{item.getElementName()} {name}" if name == DIMENSION else name  # no identifier holds a blank
        species = model.model.getSpecies(name)
        kind = item.getElementName() if species is None else "amount" if model.is_amount(name) else "concentration"
        title = item.getName() or name
        attrs = {"units": model.unit(name), "long_name": title, "kind": kind}
        variables[label] = ((DIMENSION,), np.ascontiguousarray(values[:, i]), attrs)
    coordinates = {DIMENSION: (DIMENSION, question.times, {"units": model.time_unit})}
    attrs = {
        "model": model.title,
        "engine": engine,
        "engine_reason": reason,
        "read_as": list(model.read_as),
        "changes": ", ".join(f"{name}={value:g}" for name, value in question.changes.items()),
        "rtol": question.accuracy.relative,
        "antagony_version": __version__,
    }
    return xr.Dataset(variables, coordinates, attrs)
