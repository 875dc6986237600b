"""A plan of a trial: a design with visits, a question and the way it is run. A study's own design is such a plan too.

    period k of a sequence starts at k * washout; every time of a plan counts from its period's reference dose

What a plan leaves out (dropout, spread of baselines, residual of a visit) the case's rows for trials give.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import Field

from .condition import Entry, Hours, read_tables, validated, words
from .errors import StudyError, UnitError, near_miss
from .study import ArmEntry, Design, DesignEntry, Finding, Study, Trial, read_trial
from .units import parse_time

Dropout = Literal["none", "at_random", "not_at_random"]
Measure = Literal["difference", "responders"]

PATIENTS = 20
"""Patients of an arm whose number was not published."""


@dataclass(frozen=True, slots=True)
class Estimand:
    """What a trial is to estimate at a time [h]: first arm minus second; of four arms, (1 - 2) - (3 - 4); of one, its
    change from baseline.

    `difference`: of ratings [points]; `responders`: of the shares whose rating fell by `threshold` of baseline.
    """

    id: str
    arms: tuple[str, ...]
    time: float
    measure: Measure = "difference"
    threshold: float = 0.5


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

    `sizes`: patients by sequence, in the order of `sequences`.
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

    def __post_init__(self) -> None:
        """Refuse what cannot be run, with the file and the key."""
        for key, fault in _faults(self):
            raise StudyError(f"{self.origin or self.id}, key {key}: {fault}")

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


class _EstimandEntry(Entry):
    id: str
    arms: tuple[str, ...]
    time: Hours
    measure: Annotated[str, words(Measure)] = "difference"
    threshold: float = Field(default=0.5, gt=0, lt=1)

    def record(self) -> Estimand:
        measure: Any = self.measure
        return Estimand(self.id, self.arms, self.time, measure, self.threshold)


class _EnrolmentEntry(Entry):
    least: float | None = None
    most: float | None = None


class _PlanFile(Entry):
    title: str
    note: str = ""
    design: DesignEntry
    arms: tuple[ArmEntry, ...] = Field(min_length=1)
    trial: dict[str, Any]
    estimands: tuple[_EstimandEntry, ...] = Field(min_length=1)
    enrolment: _EnrolmentEntry = _EnrolmentEntry()
    stage_weights: tuple[float, ...] = (0.6, 0.4)


def read_plan(path: Path | str) -> Plan:
    """The plan of a designs/*.toml; its id is the file's name. Raises StudyError naming file, arm and key."""
    path = Path(path)
    head = validated(_PlanFile, read_tables(path, StudyError), str(path), StudyError)
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
        notes=(head.note,) if head.note else (), origin=str(path),
    )  # fmt: skip


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
    estimands = tuple(
        Estimand(f.id, f.arms, float(f.time or 0.0), "responders" if _is_share(f) else "difference", f.threshold or 0.5)
        for f in sorted(rated, key=lambda f: (not f.primary, len(f.arms) < 2))
    )
    visits = tuple(sorted({e.time for e in estimands}))
    origin = f"studies/{study.id}.toml"
    return Plan(
        study.id, study.title, design, study.trial, visits, estimands, sizes, notes=tuple(notes), origin=origin,
        findings=tuple(rated),
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
    yield from _estimand_faults(plan, known)


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
