"""A PEtab problem run: every measurement simulated, weighed by its noise, and the parameters by their priors."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from ..errors import SimulationError, near_miss
from .petab import PetabMeasurement, PetabPeriod, PetabProblem
from .petab_course import ACCURATE, Course, Courses, Values, settle
from .petab_likelihood import measurement_log_density, normalised_residual, prior_log_density
from .petab_math import Formula
from .sbml_run import Accuracy

if TYPE_CHECKING:
    import pandas as pd

TIME = "time"


@dataclass(frozen=True)
class PetabRun:
    """Simulations in the order of the measurements, and what they say of the parameters' values.

    `engines`: who solved it. `noise`: the spread of each measurement. Natural logarithms; chi squared sums the squares
    of residuals over their spread.
    """

    problem: PetabProblem
    values: Mapping[str, float]
    simulations: tuple[float, ...]
    noise: tuple[float, ...]
    engines: tuple[str, ...]

    @cached_property
    def _laws(self) -> list[tuple[str, float, float, float]]:
        problem = self.problem
        laws = [problem.observables[m.observable].distribution for m in problem.measurements]
        measured = [m.value for m in problem.measurements]
        return list(zip(laws, measured, self.simulations, self.noise, strict=True))

    @cached_property
    def log_likelihoods(self) -> tuple[float, ...]:
        """Log density of each measurement."""
        return tuple(measurement_log_density(*law) for law in self._laws)

    @property
    def log_likelihood(self) -> float:
        """Log density of all measurements."""
        return math.fsum(self.log_likelihoods)

    @property
    def chi2(self) -> float:
        """Sum of squared normalised residuals."""
        return math.fsum(normalised_residual(*law) ** 2 for law in self._laws)

    @cached_property
    def log_priors(self) -> dict[str, float]:
        """Log density of each estimated parameter's prior; raises SimulationError for one without a density."""
        return {p.id: prior_log_density(p, self.values[p.id]) for p in self.problem.estimated}

    @property
    def log_posterior(self) -> float:
        """Log likelihood plus log prior: the posterior, but for its constant."""
        return self.log_likelihood + math.fsum(self.log_priors.values())

    @property
    def table(self) -> pd.DataFrame:
        """The simulation table: the measurement table's columns, with `simulation`."""
        import pandas as pd

        rows = [
            {
                "observableId": m.observable,
                "experimentId": m.experiment,
                "time": m.time,
                "simulation": value,
                "observableParameters": ";".join(f.text for f in m.parameters),
                "noiseParameters": ";".join(f.text for f in m.noise_parameters),
            }
            for m, value in zip(self.problem.measurements, self.simulations, strict=True)
        ]
        return pd.DataFrame(rows)


def simulate_petab(
    problem: PetabProblem, values: Mapping[str, float] | None = None, *, accuracy: Accuracy = ACCURATE
) -> PetabRun:
    """Simulate every measurement of a problem at its nominal values, or at others by parameter id.

    Raises SimulationError for a parameter that the problem does not know or has no value for, for a run that fails and
    for a steady state that is never reached; UnsupportedError for a model that neither engine covers.
    """
    known = {**problem.nominal, **(values or {})}
    for name in known.keys() - problem.parameters.keys():
        raise SimulationError(f'the parameter table has no "{name}"{near_miss(name, problem.parameters)}')
    for name in problem.parameters.keys() - known.keys():
        raise SimulationError(f'the parameter "{name}" has no nominal value; set {name}=VALUE')
    courses = Courses(problem.model, accuracy)
    found: dict[tuple[str, float], Values] = {}
    engines: set[str] = set()
    for experiment in dict.fromkeys(m.experiment for m in problem.measurements):
        times = sorted({m.time for m in problem.measurements if m.experiment == experiment})
        run = _Experiment(problem, known, courses, experiment)
        found |= {(experiment, time): moment for time, moment in zip(times, run.at(times), strict=True)}
        engines.add(run.engine)
    pairs = [_observed(problem, m, found[m.experiment, m.time]) for m in problem.measurements]
    return PetabRun(problem, known, tuple(p[0] for p in pairs), tuple(p[1] for p in pairs), tuple(sorted(engines)))


class _Experiment:
    """One experiment: its periods in order, and the values of everything at the times asked for."""

    def __init__(self, problem: PetabProblem, values: Mapping[str, float], courses: Courses, name: str) -> None:
        self.problem, self.values, self.courses, self.name = problem, values, courses, name
        self.periods = problem.experiments.get(name) or (PetabPeriod(0.0, ()),)
        self.outside: Values = {}  # targets of conditions that only observables know
        self.engine = ""

    def at(self, times: list[float]) -> Iterable[Values]:
        """Values at ascending times, `inf` among them; changes at a time come before what is measured then."""
        course = self._begin()
        self.engine = course.engine
        periods = self.periods
        if math.isinf(periods[0].time):
            settle(course, self.courses.moving, 0.0)
            periods = periods[1:] or (PetabPeriod(min(0.0, times[0]), ()),)
            self._change(course, periods[0])
        if times[0] < periods[0].time:
            raise SimulationError(
                f'experiment "{self.name}": something is measured at {times[0]:g}, before it begins at '
                f"{periods[0].time:g}"
            )
        for i, period in enumerate(periods):
            if i:
                self._change(course, period)
            end = periods[i + 1].time if i + 1 < len(periods) else math.inf
            yield from self._period(course, period.time, end, [t for t in times if period.time <= t < end])
        if times[-1] == math.inf:
            settle(course, self.courses.moving, max([periods[-1].time, *times[:-1]]))
            yield self._everything(course.values, math.inf)

    def _period(self, course: Course, start: float, end: float, times: list[float]) -> Iterable[Values]:
        rows = course.follow(start, times) if times else []
        yield from (self._everything(row, time) for row, time in zip(rows, times, strict=True))
        if math.isfinite(end):
            course.approach(times[-1] if times else start, end)

    def _begin(self) -> Course:
        first = self.periods[0]
        time = 0.0 if math.isinf(first.time) else first.time
        table = {**self._inside(self.values)}
        changes = self.problem.changes(first)
        known: Values = {**self.values, TIME: time}
        if any(formula.names - known.keys() for formula in changes.values()):
            known = {**self._everything(self.courses.begin(table, time).values, time), **known}
        given = {target: formula(known) for target, formula in changes.items()}
        self.outside |= {n: v for n, v in given.items() if self._model_name(n) not in self.courses.names}
        return self.courses.begin({**table, **self._inside(given)}, time)

    def _change(self, course: Course, period: PetabPeriod) -> None:
        known = self._everything(course.values, period.time)
        given = {target: formula(known) for target, formula in self.problem.changes(period).items()}
        self.outside |= {n: v for n, v in given.items() if self._model_name(n) not in self.courses.names}
        if inside := self._inside(given):
            course.change(inside)

    def _model_name(self, name: str) -> str:
        return self.problem.mappings.get(name, name)

    def _inside(self, values: Mapping[str, float]) -> Values:
        """Those of some values that the model has a place for, by the model's own names."""
        by_model = {self._model_name(name): value for name, value in values.items()}
        return {name: value for name, value in by_model.items() if name in self.courses.names}

    def _everything(self, model: Mapping[str, float], time: float) -> Values:
        aliases = {name: model[inner] for name, inner in self.problem.mappings.items() if inner in model}
        return {**self.values, **model, **aliases, **self.outside, TIME: time}


def _observed(problem: PetabProblem, measurement: PetabMeasurement, values: Values) -> tuple[float, float]:
    """What an observable shows at a moment, and the spread of its noise, its placeholders filled."""
    observable = problem.observables[measurement.observable]
    filled = dict(zip(observable.placeholders, measurement.parameters, strict=True))
    spread = {**filled, **dict(zip(observable.noise_placeholders, measurement.noise_parameters, strict=True))}
    known = {**values, **{name: formula(values) for name, formula in spread.items()}}
    known |= _observables(problem, observable.formula, known, ())
    shown = observable.formula(known)
    known[observable.id] = shown
    known |= _observables(problem, observable.noise, known, (observable.id,))
    return shown, observable.noise(known)


def _observables(problem: PetabProblem, formula: Formula, known: Values, path: tuple[str, ...]) -> Values:
    """Values of the observables that a formula uses; raises SimulationError for one that is defined by itself."""
    found: Values = {}
    for name in sorted(formula.names & problem.observables.keys() - known.keys()):
        if name in path:
            raise SimulationError(f"observables are defined in a circle: {' -> '.join([*path, name])}")
        inner = problem.observables[name].formula
        found[name] = inner({**known, **_observables(problem, inner, known, (*path, name))})
    return found
