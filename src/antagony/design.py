"""A plan of a trial: a design with visits, a question and the way it is run. A study's own design is such a plan too.

    period k of a sequence starts at k * washout; every time of a plan counts from its period's reference dose

What a plan leaves out (dropout, spread of baselines, residual of a visit) the case's rows for trials give. A file may
hold a whole family: `{dose}` in its texts stands for the number that an entry [[vary]] with that id gives or is given.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, get_args

from pydantic import Field

from .condition import Entry, GradeText, Hours, read_tables, validated, words
from .errors import StudyError, UnitError, near_miss
from .study import HUMAN, ArmEntry, Design, DesignEntry, Finding, Study, Trial, read_trial
from .units import parse_time

Dropout = Literal["none", "at_random", "not_at_random"]
Measure = Literal["difference", "responders"]
Approval = Literal["licensed", "off_label", "investigational", "animal"]
SCORE = "score"
"""The output that people rate; any other is read by an instrument."""

PATIENTS = 20
"""Patients of an arm whose number was not published."""


@dataclass(frozen=True, slots=True)
class Reading:
    """SD of one reading of one person, in the unit of the output that is read, and how that number is known."""

    value: float
    grade: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Estimand:
    """What a trial is to estimate at a time [h]: first arm minus second; of four arms, (1 - 2) - (3 - 4); of one, its
    change from baseline.

    `difference`: of ratings [points], or of readings of another `output` of the model [its unit], each with the error
    `reading`; `responders`: of the shares whose rating fell by `threshold` of baseline. Of animals the sign alone is
    asked: whether the first arm's mean is lower than the second's. `scale` and `score_max`: of another scale than the
    trial's, on which a published finding was rated; it shows the same latent severity.
    """

    id: str
    arms: tuple[str, ...]
    time: float
    measure: Measure = "difference"
    threshold: float = 0.5
    output: str = SCORE
    reading: Reading | None = None
    scale: str = ""
    score_max: float | None = None


@dataclass(frozen=True, slots=True)
class Feasibility:
    """What a plan asks of the world and of a patient.

    `in_man`: all that it gives has been given to people so. `burden`: 1 ratings alone, 2 an infusion or a drug with a
    known label, 3 several periods or a long stay, 4 a scan or a lumbar puncture, 5 more than one such. `visits`: what a
    patient costs besides his ratings, counted in visits; `grade` says how that number is known.
    """

    in_man: bool
    approval: Approval
    burden: int
    visits: float
    note: str = ""
    grade: str = "assumed"


@dataclass(frozen=True, slots=True)
class Variable:
    """A number that a family of plans leaves open, from `low` to `high` [`unit`, a text for people].

    With a `step` it is one of low, low + step, low + 2 step and so on; `log`: it is searched on its logarithm.
    """

    id: str
    low: float
    high: float
    nominal: float
    unit: str
    step: float | None = None
    log: bool = False
    note: str = ""

    def nearest(self, value: float) -> float:
        """The value closest to it that may be chosen.

        >>> Variable("dose", 10, 50, 50, "mg", step=15).nearest(49)
        40
        """
        inside = min(max(value, self.low), self.high)
        if self.step is None:
            return inside
        steps = math.floor((self.high - self.low) / self.step * (1 + 1e-12))
        return min(self.low + self.step * min(round((inside - self.low) / self.step), steps), self.high)

    def fault(self, value: float) -> str:
        """Why a value cannot be chosen; empty where it can."""
        given, bounds = _spelt(value), f"{_spelt(self.low)} to {_spelt(self.high)} {self.unit}"
        if not self.low <= value <= self.high:
            return f"{given} lies outside {bounds}"
        if self.step is not None and not math.isclose(value, near := self.nearest(value), abs_tol=1e-9 * self.step):
            return f"{given} is no step of {_spelt(self.step)} in {bounds}; the nearest is {near:.12g}"
        return ""


@dataclass(frozen=True, slots=True)
class Enrolment:
    """Who is enrolled: screened patients whose rating [points] is at least `least` and at most `most`."""

    least: float | None = None
    most: float | None = None


@dataclass(frozen=True, slots=True)
class Realism:
    """What makes a virtual trial unlike an ideal one; each can be switched off to see what it costs.

    `carry_over`: later periods start from what earlier ones left; otherwise from rest. `heterogeneity`: patients differ
    in kinetics, drug effect, placebo effect and baseline. `residual`: every rating of every visit has its own error.
    `dropout`: not at all; at random given the ratings so far; or not at random, by the severity that nobody rated.
    """

    placebo: bool = True
    unblinding: bool = True
    heterogeneity: bool = True
    residual: bool = True
    carry_over: bool = True
    dropout: Dropout = "not_at_random"


REALISTIC = Realism()
"""A trial as trials are."""

IDEAL = Realism(False, False, False, False, False, "none")
"""No placebo response, unblinding, differences, rating error, carry-over or dropout."""


def realism_without(names: Sequence[str], dropout: str = "not_at_random") -> Realism:
    """A realistic trial without some of what makes it so; raises StudyError with the near miss.

    >>> realism_without(["placebo"]).placebo, realism_without([], "none").dropout
    (False, 'none')
    """
    known = [f.name for f in fields(Realism) if f.name != "dropout"]
    for name in names:
        if name not in known:
            raise StudyError(f'a trial cannot be run without "{name}"{near_miss(name, known)}')
    if dropout not in get_args(Dropout):
        raise StudyError(f'unknown dropout "{dropout}"{near_miss(dropout, get_args(Dropout))}')
    return replace(REALISTIC, **dict.fromkeys(names, False), dropout=dropout)


@dataclass(frozen=True, slots=True)
class Plan:
    """A trial to be run: its design, visits [h] after each period's reference dose, estimands (the first is primary).

    `sizes`: patients by sequence, in the order of `sequences`. `targets`: receptors or parameters that it acts on. Of
    another `species` than human only signs are asked, which hold in people with a probability per `paradigm`.
    `variables` of a family, and the `values` with which it was read; what `spaced` or `resized` change later is not
    written back into them. `feasibility` is None where a file says nothing of it, as of published studies.
    """

    id: str
    title: str
    design: Design
    trial: Trial
    visits: tuple[float, ...]
    estimands: tuple[Estimand, ...]
    sizes: tuple[int, ...]
    enrolment: Enrolment = Enrolment()
    stage_weights: tuple[float, ...] = (0.6, 0.4)
    notes: tuple[str, ...] = ()
    origin: str = ""
    findings: tuple[Finding, ...] = field(default=(), repr=False)
    species: str = HUMAN
    paradigm: str = ""
    targets: tuple[str, ...] = ()
    feasibility: Feasibility | None = None
    variables: tuple[Variable, ...] = ()
    values: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what cannot be run, with the file and the key."""
        for key, fault in _faults(self):
            raise StudyError(f"{self.origin or self.id}, key {key}: {fault}")

    @property
    def is_human(self) -> bool:
        """Whether its subjects are people, so that it can be run as a trial."""
        return self.species == HUMAN

    @property
    def cost(self) -> float:
        """Visits that one patient costs: each of his ratings, and what `feasibility` counts besides (None: nothing)."""
        return len(self.ratings) + (self.feasibility.visits if self.feasibility is not None else 0.0)

    @property
    def sequences(self) -> tuple[tuple[str, ...], ...]:
        """Arm ids in order of time, one sequence a group of patients; a parallel design has one period."""
        return sequences_of(self.design)

    @property
    def periods(self) -> int:
        """Periods (or stages) that a patient goes through."""
        return max(len(sequence) for sequence in self.sequences)

    @property
    def ratings(self) -> tuple[tuple[int, float | None], ...]:
        """(period, time after its reference dose) of a patient's ratings, in order; None is the period's baseline."""
        return tuple((k, time) for k in range(self.periods) for time in (None, *self.visits))

    def column(self, period: int, time: float | None) -> int:
        """Where a rating stands among a patient's."""
        return self.ratings.index((period, time))

    def columns_until(self, period: int, time: float) -> list[int]:
        """Where a period's baseline and its ratings up to a time stand."""
        return [i for i, (k, t) in enumerate(self.ratings) if k == period and (t is None or t <= time)]

    def members(self, sequence: int) -> slice:
        """The subjects of a sequence, in the order of the sizes."""
        start = sum(self.sizes[:sequence])
        return slice(start, start + self.sizes[sequence])

    def periods_of(self, arm: str) -> list[tuple[int, int]]:
        """(sequence, period) in which an arm is given."""
        return [(i, k) for i, sequence in enumerate(self.sequences) for k, name in enumerate(sequence) if name == arm]

    @property
    def step(self) -> float:
        """Time from one period's reference dose to the next [h]; 0 where there is one period."""
        return float(self.design.washout or 0.0) if self.periods > 1 else 0.0

    @property
    def patients(self) -> int:
        """Patients in all."""
        return sum(self.sizes)

    def spaced(self, washout: str) -> Plan:
        """The plan with another time from one period to the next, such as "30 d"."""
        try:
            hours = parse_time(washout)
        except UnitError as error:
            raise StudyError(f"{self.origin or self.id}, key design.washout: {error}") from None
        if self.periods == 1:
            raise StudyError(f"{self.origin or self.id}, key design.washout: this design has one period")
        return replace(self, design=replace(self.design, washout=hours))

    def resized(self, patients: int) -> Plan:
        """The plan with another number of patients in all, shared out in the same proportions."""
        if patients < 1:
            raise StudyError(f"{self.origin or self.id}, key n: {patients} patients; a trial needs at least one")
        total = sum(self.sizes)
        ends = [round(patients * sum(self.sizes[: i + 1]) / total) for i in range(len(self.sizes))]
        return replace(self, sizes=tuple(end - start for start, end in zip([0, *ends], ends, strict=False)))


def sequences_of(design: Design) -> tuple[tuple[str, ...], ...]:
    """Groups of patients: one an arm, or the design's sequences; a crossover without any has a Latin square of them."""
    if design.kind in ("parallel", "single_arm"):
        return tuple((arm.id,) for arm in design.arms)
    if design.sequences:
        return design.sequences
    names = tuple(arm.id for arm in design.arms)
    return tuple(names[i:] + names[:i] for i in range(len(names)))


def missing_targets(plan: Plan, known: Collection[str]) -> tuple[str, ...]:
    """Targets of a plan that a model lacks, in its order; `known` are the model's receptors and parameters.

    A plan with a missing target is not to be simulated: its arms would be given nothing, and differ in nothing.
    """
    return tuple(target for target in plan.targets if target not in known)


class _ReadingEntry(Entry):
    value: float = Field(gt=0)
    grade: GradeText
    note: str = ""


class _EstimandEntry(Entry):
    id: str
    arms: tuple[str, ...]
    time: Hours
    measure: Annotated[str, words(Measure)] = "difference"
    threshold: float = Field(default=0.5, gt=0, lt=1)
    output: str = Field(default=SCORE, min_length=1)
    reading: _ReadingEntry | None = None

    def record(self) -> Estimand:
        measure: Any = self.measure
        reading = Reading(**self.reading.model_dump()) if self.reading is not None else None
        return Estimand(self.id, self.arms, self.time, measure, self.threshold, self.output, reading)


class _FeasibilityEntry(Entry):
    in_man: bool
    approval: Annotated[str, words(Approval)]
    burden: int = Field(ge=1, le=5)
    visits: float = Field(ge=0)
    note: str = ""
    grade: GradeText = "assumed"

    def record(self) -> Feasibility:
        return Feasibility(**self.model_dump())


_MOST_STEPS = 1_000_000


class _VariableEntry(Entry):
    id: str = Field(pattern=r"^[A-Za-z_]\w*$")
    low: float
    high: float
    nominal: float
    unit: str
    step: float | None = Field(default=None, gt=0)
    log: bool = False
    note: str = ""

    def faults(self) -> Iterator[tuple[str, str]]:
        """(key, what is wrong) of an entry whose keys are well formed."""
        if not self.low < self.high:
            yield "low", f"{self.low:g} is not below high, {self.high:g}"
        elif self.log and self.low <= 0:
            yield "low", f"{self.low:g}; a number that is searched on its logarithm is above 0"
        elif self.step is not None and not (self.high - self.low) / self.step <= _MOST_STEPS:
            yield "step", f"{self.step:g} makes more than {_MOST_STEPS} values from {self.low:g} to {self.high:g}"
        elif fault := self.record().fault(self.nominal):
            yield "nominal", fault

    def record(self) -> Variable:
        return Variable(**self.model_dump())


class _Family(Entry):
    vary: tuple[_VariableEntry, ...] = ()


class _EnrolmentEntry(Entry):
    least: float | None = None
    most: float | None = None


class _PlanFile(Entry):
    title: str
    note: str = ""
    species: str = HUMAN
    paradigm: str = ""
    targets: tuple[str, ...] = ()
    design: DesignEntry
    arms: tuple[ArmEntry, ...] = Field(min_length=1)
    trial: dict[str, Any]
    estimands: tuple[_EstimandEntry, ...] = Field(min_length=1)
    enrolment: _EnrolmentEntry = _EnrolmentEntry()
    stage_weights: tuple[float, ...] = (0.6, 0.4)
    feasibility: _FeasibilityEntry | None = None


def read_designs(folder: Path | str) -> dict[str, Plan]:
    """The plans of all TOML files of a folder by file name, in its order, each with its nominal values.

    Raises StudyError naming the file, or the folder where there is none.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise StudyError(f"{folder}: no such folder; candidate designs are the TOML files of one folder")
    return {file.stem: read_plan(file) for file in sorted(folder.glob("*.toml"))}


def read_plan(path: Path | str, values: Mapping[str, float] | None = None) -> Plan:
    """The plan of a designs/*.toml; its id is the file's name. `values` of a family's variables replace its nominal
    ones. Raises StudyError naming file, arm and key, also for a value whose id is unknown or that is out of bounds.
    """
    path = Path(path)
    tables = read_tables(path, StudyError)
    variables = _variables(tables.pop("vary", []), path)
    chosen = _choose(variables, values or {}, path)
    _check_placeholders(tables, variables, path)
    numbers = {name: _spelt(value) for name, value in chosen.items()}
    head = validated(_PlanFile, _filled(tables, numbers), str(path), StudyError)
    names = [arm.id for arm in head.arms]
    for name in {name for name in names if names.count(name) > 1}:
        raise StudyError(f'{path}, arm "{name}", key id: stands there twice')
    for arm in head.arms:
        for probe in arm.probes:
            for key, fault in probe.faults():
                raise StudyError(f'{path}, arm "{arm.id}", key {key}: {fault}')
    for key, fault in head.design.faults(names):
        raise StudyError(f"{path}, key {key}: {fault}")
    design = head.design.record(head.arms)
    sizes, unknown = _sizes(design)
    if unknown:
        raise StudyError(f"{path}, key arms.n: a plan says how many patients each arm has")
    estimands = tuple(entry.record() for entry in head.estimands)
    visits = design.visits or tuple(sorted({e.time for e in estimands}))
    return Plan(
        path.stem, head.title, design, read_trial(head.trial, path), visits, estimands, sizes,
        Enrolment(head.enrolment.least, head.enrolment.most), head.stage_weights,
        notes=(head.note,) if head.note else (), origin=str(path), species=head.species, paradigm=head.paradigm,
        targets=head.targets, feasibility=head.feasibility.record() if head.feasibility is not None else None,
        variables=variables, values=MappingProxyType(chosen),
    )  # fmt: skip


# --- families ------------------------------------------------------------------------------------------------------

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_PROSE = ("title", "note", "population", "blinding")  # texts for people; what stands there changes nothing


def _variables(raw: object, path: Path) -> tuple[Variable, ...]:
    """The numbers that a family leaves open."""
    entries = validated(_Family, {"vary": raw}, str(path), StudyError).vary
    names = [entry.id for entry in entries]
    for entry in entries:
        if names.count(entry.id) > 1:
            raise StudyError(f'{path}, vary "{entry.id}", key id: stands there twice')
        for key, fault in entry.faults():
            raise StudyError(f'{path}, vary "{entry.id}", key {key}: {fault}')
    return tuple(entry.record() for entry in entries)


def _choose(variables: Sequence[Variable], values: Mapping[str, float], path: Path) -> dict[str, float]:
    """The value of each variable: the given one, or its nominal."""
    known = {variable.id: variable for variable in variables}
    for name, value in values.items():
        if name not in known:
            hint = near_miss(name, known) if known else "; it has no [[vary]]"
            raise StudyError(f'{path}, vary "{name}": this design leaves no such number open{hint}')
        if fault := known[name].fault(value):
            raise StudyError(f'{path}, vary "{name}": {fault}')
    return {name: float(values.get(name, variable.nominal)) for name, variable in known.items()}


def _check_placeholders(tables: Mapping[str, Any], variables: Sequence[Variable], path: Path) -> None:
    """Refuse a placeholder that no [[vary]] declares, and a [[vary]] on which nothing hangs."""
    known, used = [variable.id for variable in variables], set()
    for key, text in _texts(tables):
        if key.rpartition(".")[-1] in _PROSE:
            continue
        for name in _PLACEHOLDER.findall(text):
            if name not in known:
                hint = near_miss(name, known)
                raise StudyError(f'{path}, key {key}: no [[vary]] has the id "{name}" of {{{name}}}{hint}')
            used.add(name)
    for name in known:
        if name not in used:
            raise StudyError(f'{path}, vary "{name}": nothing hangs on it; write {{{name}}} in a text, or leave it out')


def _texts(raw: object, key: str = "") -> Iterator[tuple[str, str]]:
    """(key, text) of every text in a table, however deep; an entry with an id is named by it."""
    if isinstance(raw, str):
        yield key, raw
    elif isinstance(raw, Mapping):
        for name, item in raw.items():
            yield from _texts(item, f"{key}.{name}" if key else str(name))
    elif isinstance(raw, Sequence):
        for i, item in enumerate(raw):
            yield from _texts(item, f"{key}.{item.get('id', i) if isinstance(item, Mapping) else i}")


def _filled(raw: Any, numbers: Mapping[str, str]) -> Any:  # noqa: ANN401 - whatever TOML holds
    """The same table with every placeholder replaced by its number."""
    if isinstance(raw, str):
        return _PLACEHOLDER.sub(lambda found: numbers.get(found[1], found[0]), raw)
    if isinstance(raw, Mapping):
        return {key: _filled(item, numbers) for key, item in raw.items()}
    return [_filled(item, numbers) for item in raw] if isinstance(raw, list) else raw


def _spelt(value: float) -> str:
    """Shortest decimal text of a number that reads back as the same, never with an exponent.

    >>> _spelt(50.0), _spelt(2.5e-7), _spelt(1e16)
    ('50', '0.00000025', '10000000000000000')
    """
    return format(Decimal(repr(float(value))).normalize(), "f")


# --- published designs ---------------------------------------------------------------------------------------------


def plan_study(study: Study, *, washout: float = 720.0) -> Plan:
    """The published design of a study as a plan: visits and estimands are those of its rated findings.

    `washout` [h] stands in for one that was not published. Raises StudyError where no finding is a rating at a time,
    and for animals, of which signs alone are known.
    """
    if not study.is_human:
        raise StudyError(
            f"studies/{study.id}.toml, key species: a trial has patients; of animals the verdict asks signs alone"
        )
    design, notes = study.design, []
    ratings = [f for f in study.findings if f.output == "score" and f.time is not None and f.kind != "hazard_ratio"]
    rated = [f for f in ratings if f.cutoff is None]  # no estimand counts remission
    if not rated:
        raise StudyError(
            f"studies/{study.id}.toml: no finding is a rating of symptoms at a time, so there is no trial to run; "
            "its findings are replayed by the verdict"
        )
    if len(sequences_of(design)[0]) > 1 and design.washout is None:
        design = replace(design, washout=washout)
        notes.append(f"the wash-out is not known; {washout / 24:g} d assumed")
    sizes, unknown = _sizes(design)
    if unknown:
        notes.append(f"the number of patients is not known; {PATIENTS} a group assumed")
    own = study.trial.scale
    notes += [
        f"{f.id} was rated on {f.scale}, whose largest score is not stated: shown in points of {own}"
        for f in rated
        if f.scale not in ("", own) and f.score_max is None and not _is_share(f)
    ]
    estimands = tuple(_asked(f, own) for f in sorted(rated, key=lambda f: (not f.primary, len(f.arms) < 2)))
    visits = tuple(sorted({e.time for e in estimands}))
    origin = f"studies/{study.id}.toml"
    return Plan(
        study.id, study.title, design, study.trial, visits, estimands, sizes, notes=tuple(notes), origin=origin,
        findings=tuple(rated),
    )  # fmt: skip


def _asked(finding: Finding, own: str) -> Estimand:
    """The estimand behind a published rating, on its own scale where the study states the largest score of that."""
    measure: Measure = "responders" if _is_share(finding) else "difference"
    scale = "" if finding.score_max is None or finding.scale == own else finding.scale or f"0-{finding.score_max:g}"
    return Estimand(
        finding.id, finding.arms, float(finding.time or 0.0), measure, finding.threshold or 0.5, scale=scale,
        score_max=finding.score_max,
    )  # fmt: skip


def _is_share(finding: Finding) -> bool:
    return finding.kind in ("responders", "odds_ratio")


def _sizes(design: Design) -> tuple[tuple[int, ...], bool]:
    """Patients by sequence, and whether any number had to be made up."""
    sequences = sequences_of(design)
    numbers = {arm.id: arm.n for arm in design.arms}
    unknown = any(n is None for n in numbers.values())
    if design.kind in ("parallel", "single_arm"):
        return tuple(numbers[name] or PATIENTS for (name,) in sequences), unknown
    total = max((n for n in numbers.values() if n is not None), default=PATIENTS * len(sequences))
    ends = [round(total * (i + 1) / len(sequences)) for i in range(len(sequences))]
    return tuple(end - start for start, end in zip([0, *ends], ends, strict=False)), unknown


def _faults(plan: Plan) -> Iterator[tuple[str, str]]:
    """(key, what is wrong) of a plan that cannot be run."""
    design, known = plan.design, [arm.id for arm in plan.design.arms]
    if design.washout is not None and design.washout <= 0:
        yield "design.washout", f"{design.washout:g} h; it is the time from one period to the next and must be above 0"
    if plan.periods > 1 and not design.washout:
        yield "design.washout", "periods follow one another; say after which time"
    for sequence in plan.sequences:
        for name in sequence:
            if name not in known:
                yield "design.sequences", f'no arm "{name}"{near_miss(name, known)}'
    if len(plan.sizes) != len(plan.sequences):
        yield "arms", f"{len(plan.sizes)} numbers of patients for {len(plan.sequences)} groups"
    if any(n < 1 for n in plan.sizes):
        yield "n", "a group without a patient; each needs at least one"
    if not plan.visits:
        yield "design.visits", "a trial needs a visit after its baseline"
    for visit in plan.visits:
        if visit <= 0:
            yield "design.visits", f"{visit:g} h lies before the baseline; a visit comes after the reference dose (0 h)"
        if plan.periods > 1 and visit > plan.step:
            yield "design.visits", f"{visit:g} h lies beyond the period's {plan.step:g} h: periods overlap"
    yield from _species_faults(plan)
    yield from _estimand_faults(plan, known)


def _species_faults(plan: Plan) -> Iterator[tuple[str, str]]:
    if plan.is_human and plan.paradigm:
        yield "paradigm", f'"{plan.paradigm}" is one of animals; name their species, or leave it out'
    if not plan.is_human and not plan.paradigm:
        hint = near_miss(plan.species, [HUMAN])
        yield "paradigm", f'missing; signs of the species "{plan.species}" hold in people by paradigm{hint}'
    if plan.feasibility is not None and (plan.feasibility.approval == "animal") == plan.is_human:
        yield "feasibility.approval", f'"{plan.feasibility.approval}" does not suit the species "{plan.species}"'


def _estimand_faults(plan: Plan, known: Sequence[str]) -> Iterator[tuple[str, str]]:
    if not plan.estimands:
        yield "estimands", "nothing to estimate; name the arms and the time"
    for estimand in plan.estimands:
        where = f'estimands "{estimand.id}"'
        for name in estimand.arms:
            if name not in known:
                yield where, f'no arm "{name}"{near_miss(name, known)}'
        if estimand.time not in plan.visits:
            yield where, f"nobody is rated at {estimand.time:g} h; add a visit"
        if len(estimand.arms) not in (1, 2, 4):
            yield where, "an estimand follows one arm, compares two, or two pairs (an interaction)"
        if len(estimand.arms) == 4 and (plan.design.kind != "parallel" or estimand.measure != "difference"):
            yield where, "an interaction of four arms is the difference of ratings in a parallel design"
        yield from ((where, fault) for fault in _output_faults(plan, estimand))


def _output_faults(plan: Plan, estimand: Estimand) -> Iterator[str]:
    output, measured = estimand.output, estimand.output != SCORE
    if measured and estimand.measure == "responders":
        yield f"responders are counted on the score, not on {output}"
    if not measured and estimand.reading is not None:
        yield "a reading belongs to another output; the error of a rated score is the case's"
    if not plan.is_human and (len(estimand.arms) != 2 or estimand.measure != "difference"):
        yield "of animals a sign is asked: name two arms, of which the first is to be lower"
    if not plan.is_human and estimand.reading is not None:
        yield "of animals a sign is asked, so no reading"
    if plan.is_human and measured and estimand.reading is None:
        yield f'say how well one person\'s {output} is read: reading = {{ value = 0.1, grade = "assumed" }}, its SD'
