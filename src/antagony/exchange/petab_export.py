"""A mechanism and the published contrasts that weigh it, as a PEtab v2 problem for other people's programs.

PEtab weighs one measurement of one run at a time, and a contrast needs two arms. So both arms of a finding are one
experiment, one after the other: what the comparator's output hangs on is remembered when it is read, everything goes
back to its start, and the other arm follows.

    begin            comparator's doses          T: remember, start anew       other arm's doses          read
    |--- at rest ----|---------------------------|--- at rest ----|----------------------------|
    -lead            0                           T                T + lead                     T + lead + T
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from io import StringIO
from pathlib import Path
from typing import Any

import libsbml as _libsbml

from ..calibration import study_arm
from ..case import Case
from ..condition import Probe
from ..errors import ReportError, UnsupportedError
from ..files import write_text
from ..mechanism import Mechanism
from ..parameters import Parameter, Prior
from ..posterior.bank import scored_findings
from ..posterior.measures import Measure, measure
from ..posterior.prediction import trial_priors
from ..simulation import Arm
from ..study import Finding, Study
from .doses import lay_out_doses
from .model_text import compose_file
from .petab_memory import TIME, Memory, add_memory, plan_memory, reference_to, start_of
from .petab_switch import remove_switches
from .values import Value, model_values

libsbml: Any = _libsbml  # it builds its classes at run time, where no type checker sees them

Changes = dict[str, str]  # target -> expression

LEAD = 1.0  # [h] at rest before an arm's first dose, for a first period knows no state to add a dose to
TRIAL_SD = "trial_sd"
DISTRIBUTIONS = ("uniform", "log-uniform", "normal", "log-normal")  # of the case's priors, those that PEtab has
FILES = ("model.xml", "parameters.tsv", "conditions.tsv", "experiments.tsv", "observables.tsv", "measurements.tsv")


@dataclass(frozen=True, slots=True)
class Choice:
    """Findings that a problem holds, and why the others that are weighed are not in it."""

    kept: tuple[Measure, ...]
    left: tuple[tuple[Study, Finding, str], ...]


def choose_findings(case: Case) -> Choice:
    """Of what is weighed, the contrasts in people whose value and standard error were published: independent normals.

    One finding speaks for each sample, so none is correlated with another.
    """
    kept, left = [], []
    for study, finding in scored_findings(case):
        if why := _reason_against(case, study, finding):
            left.append((study, finding, why))
        else:
            kept.append(measure(study, finding, case.rules))  # pyright: ignore[reportArgumentType]
    samples = [m.study.sample for m in kept]
    if len({*samples}) < len(samples):
        raise UnsupportedError(f"{case.folder.name}: two primary contrasts of one sample are no independent numbers")
    return Choice(tuple(kept), tuple(left))


def _reason_against(case: Case, study: Study, finding: Finding) -> str:
    """Why a finding cannot be one normal measurement; empty where it can."""
    if not study.is_human:
        return "a sign in animals, weighed by paradigm"
    if finding.kind != "contrast":
        return {
            "direction": "only its direction was published",
            "none_different": "only that no difference was found was published",
            "responders": "counts of responders are beta-binomial",
            "odds_ratio": "odds of responders between patients",
            "standardised": "over the spread between patients, which one typical patient does not have",
        }.get(finding.kind, f"a finding of the kind {finding.kind}")
    if case.rules is None or measure(study, finding, case.rules).errors.size != 1:
        return "its standard error was not published"
    if finding.statistic != "last" or finding.time is None:
        return "read over a span of time"
    if finding.score_max is not None:
        return "on another scale than its trial's"
    arms = [study_arm(case, study, name) for name in finding.arms]
    if any(dose.steady_state or dose.reset for arm in arms for dose in arm.regimen.doses):
        return "an arm begins in a periodic state"
    return ""


def write_petab(case: Case, mechanism_ids: Sequence[str], folder: Path) -> list[Path]:
    """Write a PEtab v2 problem for each mechanism into a folder of its name; returns all files written.

    The YAML file comes last, so that a problem without one was not finished. Raises ReportError where a file cannot be
    written, and UnsupportedError for a case that PEtab cannot hold: no rules of weighing, no contrast with an error.
    """
    if case.rules is None or not (choice := choose_findings(case)).kept:
        raise UnsupportedError(f"{case.folder.name}: no finding is a contrast in people with a standard error")
    written = []
    for slug in mechanism_ids:
        problem = _Problem(case, slug, choice)
        texts = problem.texts()
        place = Path(folder) / slug
        try:
            place.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ReportError(f"{place}: cannot be made ({(error.strerror or '').lower()})") from None
        written += [write_text(place / name, text) for name, text in texts.items()]
    return written


# --- one problem -----------------------------------------------------------------------------------------------------


@dataclass
class _Tables:
    """Conditions and experiments as they are laid out; equal conditions are one."""

    conditions: dict[str, Changes] = field(default_factory=dict)
    experiments: list[tuple[str, float, str]] = field(default_factory=list)

    def period(self, experiment: str, time: float, changes: Changes, name: str) -> None:
        """Begin a period of an experiment with some changes; a condition is called `name`, or numbered as such."""
        known = next((known for known, old in self.conditions.items() if old == changes), None)
        if known is None:
            known = name if name not in self.conditions else f"{name}_{len(self.conditions)}"
            self.conditions[known] = changes
        self.experiments.append((experiment, time, known))


@dataclass(frozen=True)
class _Problem:
    """One mechanism's problem, its texts by file name."""

    case: Case
    slug: str
    choice: Choice

    def texts(self) -> dict[str, str]:
        tables = _Tables()
        measurements = [self._lay_out(m, tables) for m in self.choice.kept]
        parameters = self._parameter_rows({t for changes in tables.conditions.values() for t in changes})
        bodies = (
            self._model(),
            _tsv(PARAMETER_COLUMNS, parameters),
            _tsv(("conditionId", "targetId", "targetValue"), _condition_rows(tables)),
            _tsv(("experimentId", "time", "conditionId"), ((e, repr(t), c) for e, t, c in tables.experiments)),
            _tsv(OBSERVABLE_COLUMNS, (_observable_row(output) for output in self.outputs)),
            _tsv(MEASUREMENT_COLUMNS, measurements),
        )
        texts = dict(zip(FILES, bodies, strict=True))
        return {**texts, "README.md": self._readme(parameters), "problem.yaml": _yaml(self.slug)}

    @cached_property
    def outputs(self) -> tuple[str, ...]:
        """Outputs that some contrast reads."""
        return tuple(dict.fromkeys(m.finding.output for m in self.choice.kept))

    @cached_property
    def mechanism(self) -> Mechanism:
        """The smallest model that holds the drugs of all arms."""
        arms = (study_arm(self.case, m.study, name) for m in self.choice.kept for name in m.finding.arms)
        return self.case.mechanism(self.slug, {drug for arm in arms for drug in arm.regimen.drugs})

    @cached_property
    def values(self) -> dict[str, Value]:
        return model_values(self.case, self.mechanism)

    @cached_property
    def rows(self) -> dict[str, Parameter]:
        return self.case.parameters(self.slug)

    @cached_property
    def clock(self) -> str:
        """The parameter that says when a trial begins."""
        if self.case.periods is None:
            raise UnsupportedError(f"{self.case.folder.name}: case.toml has no [periods], so no arm can follow another")
        return self.case.periods.start

    @cached_property
    def memory(self) -> Memory:
        """What the model remembers of a comparator."""
        settings = {self.clock, *self._probed}
        for m in self.choice.kept:
            first, second = (self._given(m.study, study_arm(self.case, m.study, arm)) for arm in m.finding.arms)
            settings |= {name for name, text in first.items() if second[name] != text}
        return plan_memory(self.mechanism.sbml, self.outputs, settings, self.clock)

    # -- one finding

    def _lay_out(self, m: Measure, tables: _Tables) -> tuple[str, ...]:
        """Add a finding's experiment to the tables; returns its row of the measurement table."""
        study, finding, experiment = m.study, m.finding, f"{m.study.id}__{m.finding.id}"
        last = float(finding.time or 0.0)
        first, second = (study_arm(self.case, study, name) for name in finding.arms)
        leads = [LEAD - min(0.0, arm.regimen.first if arm.regimen.doses else 0.0) for arm in (first, second)]
        before, after = self._given(study, second), self._given(study, first)
        tables.period(experiment, -leads[1], {**before, self.clock: "0.0"}, f"trial_{study.id}")
        self._doses(tables, experiment, second, 0.0, last)
        shift = last + leads[0]
        given = {**before, self.clock: "0.0"}
        anew = {reference_to(state): state for state in self.memory.states}
        anew |= {reference_to(name): given[name] for name in self.memory.settings} | {TIME: repr(last)}
        anew |= {state: self._start(state) for state in self.mechanism.state_units}
        anew |= {name: self._rest(name) for name in sorted(self._moved(second))}
        anew |= {name: text for name, text in after.items() if before[name] != text}
        tables.period(experiment, last, {**anew, self.clock: repr(shift)}, f"anew_{study.id}")
        self._doses(tables, experiment, first, shift, last)
        noise = f"{float(m.errors[0])!r};{float(m.trial)!r}"
        return f"{finding.output}_contrast", experiment, repr(shift + last), repr(float(m.value)), noise

    def _start(self, state: str) -> str:
        return start_of(state) if self._computed(state) else repr(self._plain(state))

    @cached_property
    def _document(self) -> Any:  # noqa: ANN401 - libSBML's classes have no static type
        text = compose_file(self.case, self.mechanism, self.values).sbml
        return libsbml.readSBMLFromString(text)

    def _computed(self, name: str) -> bool:
        return self._document.getModel().getInitialAssignmentBySymbol(name) is not None

    def _plain(self, name: str) -> float:
        return float(self._document.getModel().getParameter(name).getValue())

    def _given(self, study: Study, arm: Arm) -> Changes:
        """What an arm's trial sets, and probed parameters at rest: the same targets in every experiment."""
        own = trial_priors(self.case, study.trial, self.rows)
        given = {}
        for name in self._set_by_trials:
            number = arm.values.get(name, self.values[name].number)
            given[name] = f"{name}_{study.id}" if name in own else repr(float(number))
        return given | {name: self._rest(name) for name in self._probed}

    @cached_property
    def _arms(self) -> tuple[tuple[Study, Arm], ...]:
        kept = self.choice.kept
        return tuple((m.study, study_arm(self.case, m.study, name)) for m in kept for name in m.finding.arms)

    @cached_property
    def _set_by_trials(self) -> tuple[str, ...]:
        """Parameters of the model that some trial states or draws for itself."""
        names = {name for _, arm in self._arms for name in arm.values}
        names |= {name for study, _ in self._arms for name in trial_priors(self.case, study.trial, self.rows)}
        return tuple(sorted(names & self.mechanism.parameters.keys()))

    @cached_property
    def _probed(self) -> tuple[str, ...]:
        return tuple(sorted({p.parameter for _, arm in self._arms for p in arm.probes}))

    def _imposed(self, probe: Probe) -> str:
        """The value that a probe gives its parameter, as an expression."""
        if probe.by:
            return probe.by if probe.scale is None else f"{probe.scale!r} * {probe.by}"
        return repr(float(probe.applied(self.values[probe.parameter].number)))

    def _rest(self, name: str) -> str:
        return repr(float(self.values[name].number))

    def _moved(self, arm: Arm) -> set[str]:
        """Inputs and probed parameters that an arm moves during its run."""
        moments = lay_out_doses(arm.regimen, self.mechanism, self.values).moments
        return {name for moment in moments for name in moment.inputs} | {p.parameter for p in arm.probes}

    def _doses(self, tables: _Tables, experiment: str, arm: Arm, shift: float, last: float) -> None:
        """Periods of an arm's doses and probes before its last visit; the arm's time 0 lies at `shift` [h]."""
        timetable = lay_out_doses(arm.regimen, self.mechanism, self.values)
        changes: dict[float, Changes] = {}
        for probe in arm.probes:  # one of the whole run begins with the run, not with the rest before it
            begin = -timetable.reference if probe.start is None else probe.start
            changes.setdefault(begin, {})[probe.parameter] = self._imposed(probe)
            if probe.until is not None:
                changes.setdefault(probe.until, {})[probe.parameter] = self._rest(probe.parameter)
        for moment in timetable.moments:
            here = changes.setdefault(moment.time - timetable.reference, {})
            here |= {state: f"{state} + {amount!r}" for state, amount in moment.added.items()}
            here |= {name: repr(rate) for name, rate in moment.inputs.items()}
        for time in sorted(changes):
            if time < last:
                tables.period(experiment, shift + time, changes[time], f"given_{len(tables.conditions)}")

    # -- the files

    def _model(self) -> str:
        """SBML with the values in it, what is remembered of a comparator, and the starts that are computed."""
        document = self._document.clone()
        remove_switches(document.getModel())
        add_memory(document.getModel(), self.memory, filter(self._computed, self.mechanism.state_units))
        return libsbml.writeSBMLToString(document)

    def _parameter_rows(self, targets: set[str]) -> list[tuple[str, ...]]:
        """What is estimated, each by its prior; parameters that conditions set are estimated trial by trial."""
        rows = [self._row(p, p.id, self.values[p.id].number, p.prior) for p in self._estimated if p.id not in targets]
        imposed = [self.rows[name] for name in sorted({p.by for _, arm in self._arms for p in arm.probes if p.by})]
        rows += [self._row(p, p.id, self.values[p.id].number, p.prior) for p in imposed]
        for study in {m.study.id: m.study for m in self.choice.kept}.values():
            values = study_arm(self.case, study, study.design.arms[0].id).values
            for name, prior in sorted(trial_priors(self.case, study.trial, self.rows).items()):
                if name in self._set_by_trials:
                    number = values.get(name, self.values[name].number)
                    rows.append(self._row(self.rows[name], f"{name}_{study.id}", number, prior))
        sd = self.case.rules.trial_sd if self.case.rules else 0.0
        title = "SD between trials, points of the reference scale"
        half_normal = ("0.0", "inf", repr(0.67448975 * sd), "true", "normal", f"0.0;{sd!r}")
        return [*rows, (TRIAL_SD, title, *half_normal, "dimensionless", "assumed", "")]

    @property
    def _estimated(self) -> Iterator[Parameter]:
        return (p for p in self.mechanism.uncertain if p.prior and p.prior.distribution in DISTRIBUTIONS)

    def _row(self, p: Parameter, name: str, number: float, prior: Prior | None) -> tuple[str, ...]:
        """A row of the parameter table; one whose prior PEtab does not have stands fixed."""
        if prior is None or prior.distribution not in DISTRIBUTIONS:
            return name, p.name, "", "", repr(float(number)), "false", "", "", p.unit, p.grade, p.source
        low, high = prior.support
        numbers = ";".join(repr(float(x)) for x in prior.parameters)
        law = (repr(float(low)), repr(float(high)), repr(float(number)), "true", prior.distribution, numbers)
        return name, p.name, *law, p.unit, p.grade, p.source

    def _readme(self, parameters: Sequence[tuple[str, ...]]) -> str:
        from .. import __version__

        case, kept, left = self.case, self.choice.kept, self.choice.left
        fixed = [p.id for p in self.mechanism.uncertain if p.prior and p.prior.distribution not in DISTRIBUTIONS]
        estimated = sum(row[5] == "true" for row in parameters)
        assumed = sum(row[5] == "true" and row[9] == "assumed" for row in parameters)
        lines = [
            f"# {self.mechanism.title}",
            f"One rival mechanism of the case \"{case.title}\" as a PEtab v2 problem: `problem.yaml`.",
            case.disclaimer,
            "## How a contrast is one measurement",
            *_HOW,
            "## What is in it",
            f"{len(kept)} contrasts in people, one of each sample, with their published standard errors (multiplied "
            "where the number's grade is doubted):",
            "\n".join(f"- `{m.study.id}`, {m.finding.id}: {m.value:g} (SE {m.errors[0]:.3g})" for m in kept),
            f"{estimated} parameters are estimated; the ranges of {assumed} of them are assumed. `{TRIAL_SD}` is the "
            "spread between trials, with the half-normal prior of the case's rules.",
            "## What is not",
            f"{len(left)} findings that the case weighs besides, for PEtab's measurements are independent and of one "
            "run each:",
            "\n".join(f"- `{study.id}`, {finding.id}: {why}" for study, finding, why in left),
            "Everything is computed for the typical patient. The case's own weighing averages over patients who "
            "differ, so its numbers are others; rivals are compared there and not by these few contrasts.",
            "Doses are numbers of the typical patient: body weight, lags and bioavailability are in them, and no dose "
            "follows when such a parameter is changed.",
        ]
        if fixed:
            lines.append(f"Fixed at their nominal value, for PEtab has no such prior: {', '.join(fixed)}.")
        lines.append(f"Written by antagony {__version__} from the case {case.hash}.")
        return "\n\n".join(lines) + "\n"


_HOW = (
    "Both arms of a contrast are one experiment, one after the other. The comparator comes first; when it is read, "
    "what its output hangs on is kept in `reference_...`, every state goes back to its start, and the other arm "
    "follows. The observable is the difference of the two outputs, the first arm of the study minus the second.",
    "Switches of the model that jump nowhere are written with max and min: it rests exactly where they would switch, "
    "which a solver that looks for the moment of switching may pass by.",
    "A trial's own numbers (scale, baseline, size and speed of the placebo effect) are set when its experiment begins. "
    "Those that nobody published are parameters named after the study, each with its prior.",
)
PARAMETER_COLUMNS = (
    *("parameterId", "parameterName", "lowerBound", "upperBound", "nominalValue", "estimate"),
    *("priorDistribution", "priorParameters", "unit", "grade", "source"),
)
OBSERVABLE_COLUMNS = (
    *("observableId", "observableName", "observableFormula", "noiseFormula", "noiseDistribution", "noisePlaceholders"),
)
MEASUREMENT_COLUMNS = ("observableId", "experimentId", "time", "measurement", "noiseParameters")


def _observable_row(output: str) -> tuple[str, ...]:
    """The difference between two arms; its error, and the spread between trials in points of the trial's scale."""
    name = f"{output}_contrast"
    error, points = f"noiseParameter1_{name}", f"noiseParameter2_{name}"
    noise = f"sqrt({error}^2 + ({points} * {TRIAL_SD})^2)"
    title = f"{output}: first arm minus second"
    return name, title, f"{output} - {reference_to(output)}", noise, "normal", f"{error};{points}"


def _condition_rows(tables: _Tables) -> Iterator[tuple[str, ...]]:
    for name, changes in tables.conditions.items():
        yield from ((name, target, text) for target, text in changes.items())


def _tsv(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    text = StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_MINIMAL)
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()


def _yaml(slug: str) -> str:
    files = "".join(f"{name[:-5]}_files:\n- {name}\n" for name in FILES[1:])
    model = f"model_files:\n  {slug}:\n    language: sbml\n    location: {FILES[0]}\n"
    return f"format_version: 2.0.0\nid: {slug}\n{model}{files}"
