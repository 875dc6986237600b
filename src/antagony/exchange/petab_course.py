"""An SBML model through the periods of an experiment: begun, followed, changed, settled; by whichever engine covers it.

A course is known by the values of everything in the model, by identifier, a species in the unit in which it is shown.
Initial assignments hold once, at the beginning; afterwards a value stays until a rate, a rule or a change moves it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import libsbml as _libsbml
import numpy as np
from numpy.typing import NDArray

from ..errors import SimulationError, UnsupportedError
from ..kernel.build import build_kernel
from ..kernel.library import Kernel, Status
from ..reference import load_roadrunner
from .sbml import SbmlModel
from .sbml_run import Accuracy
from .sbml_tree import items, local_parameters

libsbml: Any = _libsbml  # it builds its classes at run time, where no type checker sees them

Array = NDArray[np.float64]
Values = dict[str, float]

FIRST_HORIZON = 1024.0  # [time of the model]; what stands still for less may only be waiting
HORIZONS = 42  # doublings before a model is said not to settle
SETTLED = 1e-7  # relative change over a doubled time; what decays exponentially is then at its square
NOTHING = 1e-12  # below this a value has settled at 0
AFTER_ZERO = 1e-9  # where libRoadRunner is taken up again at time 0
EARLY = 1e-9  # relative to the time: how long before a change libRoadRunner stops, for the model's events come after it


ACCURATE = Accuracy()


class Course(Protocol):
    """One experiment's run of a model."""

    engine: str
    values: Values

    def change(self, values: Mapping[str, float]) -> None:
        """Give some quantities new values, all at once."""

    def follow(self, start: float, times: Sequence[float]) -> list[Values]:
        """Values at ascending times, from those at `start`; the last of them become the course's own."""
        ...

    def approach(self, start: float, end: float) -> None:
        """Go on to the end of a period, up to what happens at that very moment."""


@dataclass(frozen=True)
class Courses:
    """Hands out courses of one model. The kernel takes those that it covers."""

    model: SbmlModel
    accuracy: Accuracy = ACCURATE

    def begin(self, values: Mapping[str, float], time: float) -> Course:
        """A course whose start is the model's own but for some `values`, before initial assignments are computed.

        Raises SimulationError for what cannot be set, UnsupportedError for a model that neither engine covers.
        """
        self.model.changed(values)  # refuses what cannot be set
        if (refusal := self._refusal) is None:
            return _KernelCourse(self, values, time)
        return _RoadRunnerCourse(self, values, time, refusal)

    @cached_property
    def _refusal(self) -> str | None:
        """Why the kernel does not take the model; None where it does."""
        if count := self.model.model.getNumEvents():
            return f"a course begun anew at each period does not remember events ({count} found)"
        try:
            _ = self.carried
        except UnsupportedError as error:
            return str(error).replace(" (doses come from a regimen)", "")
        except RecursionError:
            return "the kernel does not cover formulas nested this deep"
        return None

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Every quantity, and what only one reaction knows, as reaction.parameter."""
        reactions = items(self.model.model.getListOfReactions())
        return (*self.model.quantities, *(f"{r.getId()}.{p.getId()}" for r in reactions for p in local_parameters(r)))

    @cached_property
    def moving(self) -> frozenset[str]:
        """Quantities with a rate, or that an event moves: what must stand still in a steady state."""
        m = self.model.model
        species = {s.getId() for s in items(m.getListOfSpecies())}
        assigned = {rule.getVariable() for rule in items(m.getListOfRules()) if rule.isAssignment()}
        return frozenset((species | self.model.varying) - assigned)

    @cached_property
    def carried(self) -> Kernel:
        """The model with every start a plain number, for the periods after the beginning."""
        document = self.model.document.clone()
        model = document.getModel()
        while model.getNumInitialAssignments():
            model.removeInitialAssignment(0)
        for species in items(model.getListOfSpecies()):
            amount = self.model.is_amount(species.getId())
            (species.setInitialAmount if amount else species.setInitialConcentration)(0.0)
        return self.build(libsbml.writeSBMLToString(document))

    def build(self, text: str) -> Kernel:
        """A kernel that shows every quantity."""
        shown = [_kernel_name(name) for name in self.names]
        return build_kernel(text, outputs=shown, optimise=self.accuracy.optimise)

    def solve(self, kernel: Kernel, values: Mapping[str, float], start: float, times: Sequence[float]) -> list[Values]:
        """Values of everything at some times, given those at the start; raises SimulationError where it fails."""
        row = kernel.defaults.copy()
        for name, value in values.items():
            if (place := _place(kernel, name)) is not None:
                row[place] = value
        solution = kernel.solve(
            row, times, start=start, rtol=self.accuracy.relative, atol=self.accuracy.absolute, threads=1
        )
        if solution.status[0]:
            status, when = Status(int(solution.status[0])), float(solution.fail_time[0])
            absent = f" (it gives no value for {', '.join(self.model.missing[:8])})" if self.model.missing else ""
            raise SimulationError(f"the model could not be followed beyond time {when:g}: {status.advice}{absent}")
        return [dict(zip(self.names, map(float, moment), strict=True)) for moment in solution.values[0]]


def _kernel_name(name: str) -> str:
    return name.replace(".", " ")  # as the kernel calls a parameter of one reaction


def _place(kernel: Kernel, name: str) -> int | None:
    """Where a quantity's start stands in the kernel's row; None for what the kernel computes."""
    for known in (f"{name} concentration", _kernel_name(name)):
        if known in kernel.parameters:
            return kernel.parameters.index(known)
    return None


class _KernelCourse:
    """A course by the kernel, begun anew at each period from plain numbers."""

    engine = "kernel"

    def __init__(self, of: Courses, values: Mapping[str, float], time: float) -> None:
        self.of = of
        computed = {a.getSymbol() for a in items(of.model.model.getListOfInitialAssignments())}
        set_outright = {n: 1.0 for n in values if n in computed or of.model.model.getSpecies(n) is not None}
        # the text depends on which starts are given, not on their values, so that other values need no compiler
        kernel = of.build(of.model.changed(set_outright).text)
        self.values = of.solve(kernel, values, time, [time])[0]

    def change(self, values: Mapping[str, float]) -> None:
        """Give some quantities new values; what the rules make of them shows when the course is followed on."""
        self.values = {**self.values, **_with_amounts_kept(self.of.model, self.values, values)}

    def follow(self, start: float, times: Sequence[float]) -> list[Values]:
        """Values at ascending times."""
        rows = self.of.solve(self.of.carried, self.values, start, times)
        if rows:
            self.values = rows[-1]
        return rows

    def approach(self, start: float, end: float) -> None:
        """Go on to the end of a period; nothing else happens there."""
        self.follow(start, [end])


class _RoadRunnerCourse:
    """A course by libRoadRunner, one instance from beginning to end: it remembers which events have happened.

    At a time of 0 or before, a restart would fire events anew; and an event whose condition a change from outside makes
    true passes it by. The first is avoided, the second found by reading the conditions before and after, and refused.
    """

    def __init__(self, of: Courses, values: Mapping[str, float], time: float, refusal: str) -> None:
        self.of = of
        try:
            library = load_roadrunner()
        except SimulationError as absent:
            raise UnsupportedError(f"{refusal}; libRoadRunner may: {absent}") from None
        model = of.model.changed(values)
        if model.model.getElementBySId("time") is not None:
            raise UnsupportedError(f'{refusal}, and libRoadRunner takes the quantity called "time" for time itself')
        if model.missing:
            raise SimulationError(f"the model gives no value for {', '.join(model.missing[:8])}")
        self.engine = f"libRoadRunner {library.__version__}"
        self.names = tuple(n for n in of.model.quantities if n not in {r.getId() for r in of.model.references})
        self.at = math.nan  # where the solver stands; NaN before it began
        self.changed = False
        document = model.document.clone()
        self.conditions = _shown_conditions(document.getModel())
        self.runner = library.RoadRunner(libsbml.writeSBMLToString(document))
        self.runner.timeCourseSelections = [self._selection(n) for n in self.names]
        integrator = self.runner.integrator
        integrator.relative_tolerance = of.accuracy.relative
        integrator.absolute_tolerance = [1e-12] * len(integrator.getAbsoluteToleranceVector())
        integrator.maximum_num_steps = 1_000_000
        if time < 0:
            raise UnsupportedError(f"{refusal}, and libRoadRunner cannot begin with events before time 0")
        self.runner.model.setTime(time)
        self.values = self._now()
        if time > 0:
            self._refuse_firing([event for event in self.conditions if not _holds_at_first(model, event)], {})

    def _selection(self, name: str) -> str:
        species = self.of.model.model.getSpecies(name)
        return name if species is None or self.of.model.is_amount(name) else f"[{name}]"

    def _now(self) -> Values:
        return {name: float(self.runner[self._selection(name)]) for name in self.names}

    def _true_conditions(self) -> dict[str, bool]:
        return {event: bool(self.runner[name]) for event, name in self.conditions.items()}

    def _refuse_firing(self, events: Sequence[str], before: Mapping[str, bool]) -> None:
        after = self._true_conditions()
        if fired := [event for event in events if after[event] and not before.get(event)]:
            raise UnsupportedError(
                f'the event "{fired[0]}" happens at the very start of a period; the kernel covers no events, and '
                "libRoadRunner would pass it by"
            )

    def change(self, values: Mapping[str, float]) -> None:
        """Give some quantities new values; sizes first, for a concentration is an amount in one."""
        model, before = self.of.model, self._true_conditions()
        changed = _with_amounts_kept(model, self.values, values)
        for name in sorted(changed, key=lambda name: model.model.getCompartment(name) is None):
            if "." in name:
                raise UnsupportedError(f'"{name}" belongs to one reaction: libRoadRunner cannot change it during a run')
            self.runner[self._selection(name)] = changed[name]
        self._refuse_firing(list(self.conditions), before)
        self.values, self.changed = self._now(), True

    def follow(self, start: float, times: Sequence[float]) -> list[Values]:
        """Values at ascending times."""
        rows: list[Values] = []
        here = self._restarted(start)
        for time in times:
            if time > here:
                # CVODE looks for events at the ends of its steps: a condition that holds for a moment would pass unseen
                self.runner.integrator.maximum_time_step = (time - here) / 1000
                try:
                    self.runner.simulate(here, time, 2)
                except RuntimeError as error:
                    said = " ".join(str(error).split())[:200]
                    raise SimulationError(f"libRoadRunner stopped between {here:g} and {time:g}: {said}") from None
                here = self.at = time
            self.values = self._now()
            rows.append(self.values)
        return rows

    def _restarted(self, start: float) -> float:
        """Where the solver goes on from: restarted after a change or a leap, but once, for twice fires events anew."""
        goes_on = abs(start - self.at) <= 2 * _early(start)
        here = self.at if goes_on else start
        if goes_on and not self.changed:
            return here
        if not math.isnan(self.at) and here <= 0:
            if start < 0:
                raise UnsupportedError("libRoadRunner cannot begin a further period before time 0")
            here = AFTER_ZERO
        self.runner.integrator.restart(here)
        self.at, self.changed = here, False
        return here

    def approach(self, start: float, end: float) -> None:
        """Go on until shortly before the end of a period, so that an event due then follows the change."""
        if end - _early(end) > start:
            self.follow(start, [end - _early(end)])


def _early(time: float) -> float:
    return EARLY * max(1.0, abs(time))


def _shown_conditions(model: Any) -> dict[str, str]:  # noqa: ANN401 - libSBML's classes have no static type
    """Add to a model a parameter for each event that is 1 while its condition holds; returns event -> parameter."""
    shown = {}
    for i, event in enumerate(items(model.getListOfEvents())):
        name = f"antagony_condition_{i}"
        parameter = model.createParameter()
        parameter.setId(name)
        parameter.setConstant(False)
        holds = libsbml.ASTNode(libsbml.AST_FUNCTION_PIECEWISE)
        for child in (_whole(1), event.getTrigger().getMath().deepCopy(), _whole(0)):
            holds.addChild(child)
        rule = model.createAssignmentRule()
        rule.setVariable(name)
        rule.setMath(holds)
        shown[event.getId() or f"number {i + 1}"] = name
    return shown


def _whole(number: int) -> Any:  # noqa: ANN401
    node = libsbml.ASTNode(libsbml.AST_INTEGER)
    node.setValue(number)
    return node


def _holds_at_first(model: SbmlModel, event: str) -> bool:
    """Whether an event counts as having happened where its condition holds at the beginning."""
    found = model.model.getEvent(event)
    return found is None or model.model.getLevel() < 3 or found.getTrigger().getInitialValue()


def _with_amounts_kept(model: SbmlModel, before: Mapping[str, float], values: Mapping[str, float]) -> Values:
    """Changes, and what a changed size makes of the concentrations in it: amounts are what SBML keeps.

    A concentration that is changed together with its size is an amount in the size before.
    """
    changed = dict(values)
    for space in [name for name in values if model.model.getCompartment(name) is not None]:
        for species in items(model.model.getListOfSpecies()):
            name = species.getId()
            if species.getCompartment() == space and not model.is_amount(name):
                changed[name] = changed.get(name, before[name]) * before[space] / values[space]
    return changed


def settle(course: Course, moving: frozenset[str], start: float) -> float:
    """Follow a course until nothing moves, and return how long that took; raises SimulationError where it never does.

    Steady: over a doubled time no moving quantity changed by more than a ten-millionth of itself.
    """
    before, here, reach = course.values, start, FIRST_HORIZON
    restless = ""
    for _ in range(HORIZONS):
        (now,) = course.follow(here, [start + reach])
        restless = next((n for n in sorted(moving & now.keys()) if not _is_still(before.get(n, math.nan), now[n])), "")
        if not restless:
            return reach
        before, here, reach = now, start + reach, 2 * reach
    raise SimulationError(f'no steady state: "{restless}" still moves after {reach / 2:g} units of time')


def _is_still(before: float, now: float) -> bool:
    return abs(now - before) <= NOTHING + SETTLED * abs(now)
