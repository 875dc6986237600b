"""Studies, which are designs with results. Read from TOML.

A number that nobody published is absent, never guessed. Times are hours. Contrasts count first arm minus second:
scores fall when patients improve, so a benefit is negative.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import NormalDist
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import Field

from .condition import (
    Condition,
    Entry,
    GradeText,
    Hours,
    ProbeEntry,
    RegimenText,
    Statistic,
    read_tables,
    validated,
    words,
)
from .errors import ParameterError, StudyError, near_miss
from .parameters import Prior

FindingKind = Literal[
    "contrast",
    "change",
    "responders",
    "odds_ratio",
    "hazard_ratio",
    "standardised",
    "value",
    "direction",
    "none_different",
]
DesignKind = Literal["parallel", "crossover", "sequential", "single_arm"]
Role = Literal["calibrating", "discriminating"]
HUMAN = "human"
COMPARATOR_CUE = "comparator_cue"
"""The parameter that an arm's key of that name sets, unless the case names another for its periods."""


@dataclass(frozen=True, slots=True)
class Arm:
    """One group of a design: what it receives, how many were analysed, and how much of a cue its comparator gives."""

    id: str
    title: str
    condition: Condition
    n: int | None
    n_grade: str
    comparator_cue: float | None
    cue_grade: str
    note: str


@dataclass(frozen=True, slots=True)
class TrialNumber:
    """A number that belongs to one trial, with its grade and, where it is uncertain, its prior."""

    value: float
    grade: str
    prior: Prior | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Trial:
    """Scale, baseline and placebo course of one trial. `numbers`: by id of the parameter that each overrides.

    `baseline_sd` is the spread between patients [points]; None where it was not published.
    """

    scale: str
    numbers: Mapping[str, TrialNumber] = field(default_factory=dict)
    baseline_sd: TrialNumber | None = None
    note: str = ""

    @property
    def values(self) -> dict[str, float]:
        """Values by parameter id."""
        return {name: number.value for name, number in self.numbers.items()}

    @property
    def priors(self) -> dict[str, Prior]:
        """Priors by parameter id, for the numbers that have one."""
        return {name: number.prior for name, number in self.numbers.items() if number.prior is not None}


class TrialValues(dict[str, float]):
    """Numbers of a trial by parameter id; one that nobody states raises StudyError when it is asked for."""

    def __missing__(self, name: str) -> float:
        """Refuse to guess."""
        raise StudyError(f'a trial needs "{name}": state it below [trial] of the study or design, or of case.toml')


def trial_values(trial: Trial, default: Mapping[str, float]) -> TrialValues:
    """The numbers of a trial by parameter id, the case's default trial where it states none.

    A trial that names its scale's largest score but no baseline has the default trial's, as a share of the scale.
    """
    values = TrialValues({**default, **trial.values})
    if "score_baseline" not in trial.values and {"score_max", "score_baseline"} <= default.keys():
        values["score_baseline"] = default["score_baseline"] / default["score_max"] * values["score_max"]
    return values


@dataclass(frozen=True, slots=True)
class Design:
    """Who receives what in which order, and when scores are taken (`visits` [h]; empty where not stated).

    `washout` [h] and `sequences` (arm ids in order) belong to designs with several periods: a crossover, or a
    sequential parallel comparison, whose second stage randomises again whoever did not respond to placebo.
    """

    kind: DesignKind
    population: str
    blinding: str
    arms: tuple[Arm, ...]
    washout: float | None = None
    sequences: tuple[tuple[str, ...], ...] = ()
    visits: tuple[float, ...] = ()
    note: str = ""

    def arm(self, name: str) -> Arm:
        """The arm of that id; raises StudyError with the near miss."""
        for arm in self.arms:
            if arm.id == name:
                return arm
        raise StudyError(f'no arm "{name}"{near_miss(name, [arm.id for arm in self.arms])}')


@dataclass(frozen=True, slots=True)
class Finding:
    """One published result. What was not published is None.

        contrast        value: change of the first arm minus change of the second [points], with se, or sd and n by arm
        change          value: mean change of one arm [points], with sd
        responders      k of n (or only `share`) fell by at least `threshold` of their baseline, or to `cutoff` points
        odds_ratio      value: odds of such responders in the first arm over those in the second, se on the log
        hazard_ratio    value: hazard of the first arm over the second's, se on the log; kept, never weighed or replayed
        standardised    value: the contrast over the SD (Cohen d)
        value           value: mean of the output in one arm [its unit], with se, or sd and n
        direction       sign of the contrast; `significant` where that is known, `p_below` the reported bound
        none_different  no difference on the output; up to `margin` [its unit] counts as none

    `output` is read at `time` [h], or as `statistic` over `within` [h, h]. `scale` and `score_max` differ from the
    trial's where another scale was used. An `interval` of coverage `level` or an exact `p` that was published gives
    the se that was not (`standard_error`). `grades` by number; `primary` is the one scored when outcomes of one sample
    overlap; `calibrates` marks what outcome scales, or the numbers behind the output, were solved from.
    """

    id: str
    kind: FindingKind
    arms: tuple[str, ...]
    output: str
    scale: str
    score_max: float | None
    time: float | None
    within: tuple[float, float] | None
    statistic: Statistic
    value: float | None
    se: float | None
    sd: tuple[float, ...]
    n: tuple[int, ...]
    k: int | None
    share: float | None
    threshold: float | None
    sign: int | None
    significant: bool | None
    p_below: float | None
    grades: Mapping[str, str]
    source: str
    primary: bool
    calibrates: bool
    note: str
    interval: tuple[float, float] | None = None
    level: float = 0.95
    p: float | None = None
    cutoff: float | None = None
    margin: float | None = None


RATIOS = ("odds_ratio", "hazard_ratio")
"""Kinds of findings whose value is a ratio and whose standard error is one of its logarithm."""


def standard_error(
    kind: FindingKind,
    value: float | None,
    interval: tuple[float, float] | None = None,
    level: float = 0.95,
    p: float | None = None,
) -> float | None:
    """Standard error behind a published interval, or else behind an exact two-sided p; None where there is neither.

        (upper - lower) / (2 z((1 + level)/2))        |value| / z(1 - p/2)        (ratios: on the log)

    >>> round(standard_error("odds_ratio", 9.87, (4.37, 22.29)), 2), round(standard_error("contrast", -1.5, p=0.018), 2)
    (0.42, 0.63)
    """
    scale = math.log if kind in RATIOS else float
    if interval is not None:
        return (scale(interval[1]) - scale(interval[0])) / (2 * NormalDist().inv_cdf((1 + level) / 2))
    if p is not None and value is not None:
        return abs(scale(value)) / NormalDist().inv_cdf(1 - p / 2)
    return None


@dataclass(frozen=True, slots=True)
class Study:
    """A design with results. `date` is ISO text (a year, month or day), so that dates sort; `sample` names the people.

    `overlaps` names samples that hold some of the same people. `role`: calibrating (the drug against its comparator,
    which every mechanism was invented to explain) or discriminating. Of another `species` than human only signs count,
    and findings of one `paradigm` share the probability that they hold in people. What is not `weighed` has a `reason`.
    `halted`: stopped early at an interim look, so its effect is biased upward.
    """

    id: str
    title: str
    reference: str
    date: str
    sample: str
    overlaps: tuple[str, ...]
    role: Role
    design: Design
    trial: Trial
    findings: tuple[Finding, ...]
    note: str
    species: str = HUMAN
    paradigm: str = ""
    weighed: bool = True
    reason: str = ""
    halted: bool = False

    @property
    def is_human(self) -> bool:
        """Whether its subjects are people."""
        return self.species == HUMAN

    def finding(self, name: str) -> Finding:
        """The finding of that id; raises StudyError with the near miss."""
        for finding in self.findings:
            if finding.id == name:
                return finding
        raise StudyError(f'{self.id} has no finding "{name}"{near_miss(name, [f.id for f in self.findings])}')


# --- the files -----------------------------------------------------------------------------------------------------


class _Number(Entry):
    value: float
    grade: GradeText
    prior: tuple[str, float, float] | None = None
    note: str = ""

    def record(self) -> TrialNumber:
        prior = Prior(self.prior[0], (self.prior[1], self.prior[2])) if self.prior else None
        return TrialNumber(self.value, self.grade, prior, self.note)


class ArmEntry(Entry):
    """An arm as TOML writes it."""

    id: str
    title: str = ""
    regimen: RegimenText = ""
    probes: tuple[ProbeEntry, ...] = ()
    n: int | None = Field(default=None, ge=1)
    n_grade: GradeText = "read"
    comparator_cue: float | None = Field(default=None, ge=0, le=1)
    cue_grade: GradeText = "assumed"
    note: str = ""

    def record(self) -> Arm:
        """The arm."""
        condition = Condition(self.regimen, tuple(probe.record() for probe in self.probes))
        cue = (self.comparator_cue, self.cue_grade if self.comparator_cue is not None else "")
        return Arm(self.id, self.title or self.id, condition, self.n, self.n_grade if self.n else "", *cue, self.note)


class DesignEntry(Entry):
    """The [design] table as TOML writes it."""

    kind: Annotated[str, words(DesignKind)]
    population: str
    blinding: str
    washout: Hours | None = None
    sequences: tuple[tuple[str, ...], ...] = ()
    visits: tuple[Hours, ...] = ()
    note: str = ""

    def faults(self, arms: Iterable[str]) -> Iterator[tuple[str, str]]:
        """(key, what is wrong) of a design whose keys are well formed."""
        known = tuple(arms)
        for name in (name for sequence in self.sequences for name in sequence if name not in known):
            yield "design.sequences", f'no arm "{name}"{near_miss(name, known)}'
        if self.kind not in ("crossover", "sequential") and (self.sequences or self.washout is not None):
            yield "design", "sequences and washout belong to a crossover or a sequential design"
        if self.kind == "sequential" and (not self.sequences or min(map(len, self.sequences)) < 2):
            yield (
                "design.sequences",
                "a sequential design names its stages: the arms of each path, two or more in order",
            )
        if any(a >= b for a, b in pairwise(self.visits)):
            yield "design.visits", "each visit is later than the one before"

    def record(self, arms: Iterable[ArmEntry]) -> Design:
        """The design with its arms."""
        kind: Any = self.kind  # one of DesignKind, checked by `words`
        records = tuple(arm.record() for arm in arms)
        shown = (self.washout, self.sequences, self.visits, self.note)
        return Design(kind, self.population, self.blinding, records, *shown)


class _Finding(Entry):
    id: str
    kind: Annotated[str, words(FindingKind)]
    arms: tuple[str, ...]
    output: str = "score"
    scale: str = ""
    score_max: float | None = None
    time: Hours | None = None
    within: tuple[Hours, Hours] | None = None
    statistic: Annotated[str, words(Statistic)] = "last"
    value: float | None = None
    se: float | None = Field(default=None, gt=0)
    interval: tuple[float, float] | None = None
    level: float = Field(default=0.95, gt=0, lt=1)
    p: float | None = Field(default=None, gt=0, lt=1)
    sd: tuple[Annotated[float, Field(gt=0)], ...] = ()
    n: tuple[Annotated[int, Field(ge=1)], ...] = ()
    k: int | None = Field(default=None, ge=0)
    share: float | None = Field(default=None, ge=0, le=1)
    threshold: float | None = Field(default=None, gt=0, lt=1)
    cutoff: float | None = Field(default=None, ge=0)
    sign: Literal[-1, 1] | None = None
    significant: bool | None = None
    p_below: float | None = Field(default=None, gt=0, lt=1)
    margin: float | None = Field(default=None, gt=0)
    grade: GradeText
    grades: dict[str, GradeText] = Field(default_factory=dict)
    source: str
    primary: bool = False
    calibrates: bool = False
    note: str = ""

    def faults(self, arms: Iterable[str]) -> Iterator[tuple[str, str]]:
        """(key, what is wrong) of a finding whose keys are well formed."""
        known = tuple(arms)
        for name in self.arms:
            if name not in known:
                yield "arms", f'no arm "{name}"{near_miss(name, known)}'
        wanted = 1 if self.kind in ("change", "responders", "value") else 2
        if len(self.arms) != wanted:
            yield "arms", f"a finding of kind {self.kind} concerns {wanted} arm{'s' if wanted > 1 else ''}"
        if (self.time is None) == (self.within is None) and not (self.kind == "hazard_ratio" and self.within is None):
            yield "time", 'a finding is read either at a time (time = "24 h") or within = ["0 h", "24 h"]'
        yield from self._number_faults()

    def _number_faults(self) -> Iterator[tuple[str, str]]:
        if self.kind in _VALUED and self.value is None:
            yield "value", f"a finding of kind {self.kind} without a value says nothing; write it as a direction"
        if self.kind == "direction" and self.sign is None:
            yield "sign", "a direction needs its sign: -1 where the first arm falls more, 1 where it falls less"
        if self.kind == "none_different" and self.output == "score" and self.margin is None:
            yield "margin", "no difference in a score needs the points that count as none, such as 3"
        if self.margin is not None and self.kind != "none_different":
            yield "margin", "only no difference (none_different) has one"
        yield from self._responder_faults()
        yield from self._error_faults()
        for key in ("sd", "n"):
            if (given := getattr(self, key)) and len(given) != len(self.arms):
                yield key, f"{len(given)} numbers for {len(self.arms)} arms"
        numbers = {key for key in (*_NUMBERS, *_TIMES) if getattr(self, key) not in (None, ())}
        for key in self.grades:
            if key not in numbers:
                yield "grades", f'there is no number "{key}" to grade{near_miss(key, numbers)}'

    def _responder_faults(self) -> Iterator[tuple[str, str]]:
        counted = self.kind in ("responders", "odds_ratio")
        if counted and (self.threshold is None) == (self.cutoff is None):
            yield (
                "threshold",
                "responders need the fall that counts (threshold = 0.5) or the score reached (cutoff = 10)",
            )
        if counted and self.output != "score":
            yield "output", "responders are counted on the score"
        if not counted and not (self.threshold is None and self.cutoff is None):
            yield "threshold", "threshold and cutoff belong to responders and their odds_ratio"
        if self.kind == "responders" and self.share is None and (self.k is None or len(self.n) != 1):
            yield "k", "responders need k and n = [n], or at least a share"
        if self.k is not None and self.n and self.k > self.n[0]:
            yield "k", f"{self.k} of {self.n[0]} responded"

    def _error_faults(self) -> Iterator[tuple[str, str]]:
        """Faults of what says how sure a value is: an interval, a p, a standard error."""
        if self.kind in RATIOS and (self.value or 1) <= 0:
            yield "value", "a ratio is above 0"
        if self.interval is not None:
            low, high = self.interval
            if not low < high or (self.kind in RATIOS and low <= 0):
                yield "interval", "it has a lower, then an upper end (of a ratio both above 0)"
                return
            if self.value is None or not low <= self.value <= high:
                yield "interval", "it must hold the value"
        if self.p is not None and (self.value is None or self.interval is not None):
            yield "p", "an exact p stands in for an interval beside a value; a mere bound is p_below"
        derived = standard_error(self.kind, self.value, self.interval, self.level, self.p)  # type: ignore[arg-type]
        if self.se is not None and derived is not None and abs(self.se / derived - 1) > SAME_ERROR:
            yield "se", f"the interval or p beside it gives {derived:.3g}"

    def record(self) -> Finding:
        plain = self.model_dump(exclude={"grade", "grades"})
        given = {key for key in _NUMBERS if getattr(self, key) not in (None, ())}
        grades = {key: self.grades.get(key, self.grade) for key in _NUMBERS if key in given} | self.grades
        derived = standard_error(self.kind, self.value, self.interval, self.level, self.p)  # type: ignore[arg-type]
        if self.se is None and derived is not None:
            plain["se"], grades["se"] = derived, "derived"
        return Finding(**plain, grades=MappingProxyType(grades))


_NUMBERS = (
    "value", "se", "interval", "p", "sd", "n", "k", "share", "threshold", "cutoff", "sign", "p_below", "margin",
    "score_max",
)  # fmt: skip
_TIMES = ("time", "within")  # graded only where they are no plain fact of the publication
_VALUED = ("contrast", "change", "standardised", "value", *RATIOS)
SAME_ERROR = 0.05  # a printed standard error may differ so much from the one behind its interval


class _Study(Entry):
    title: str
    reference: str
    date: Annotated[str, Field(pattern=r"^\d{4}(-\d{2}(-\d{2})?)?$")]
    sample: str
    overlaps: tuple[str, ...] = ()
    role: Annotated[str, words(Role)]
    species: str = HUMAN
    paradigm: str = ""
    weighed: bool = True
    reason: str = ""
    halted: bool = False
    note: str = ""
    design: DesignEntry
    arms: tuple[ArmEntry, ...] = Field(min_length=1)
    trial: dict[str, Any]
    findings: tuple[_Finding, ...] = ()


def read_study(path: Path | str) -> Study:
    """The study of a TOML file; its id is the file's name. Raises StudyError naming file, finding or arm, and key."""
    path = Path(path)
    head = validated(_Study, read_tables(path, StudyError), str(path), StudyError)
    for where, key, fault in _study_faults(head):
        raise StudyError(f"{path}{where}, key {key}: {fault}")
    return Study(
        id=path.stem,
        title=head.title,
        reference=head.reference,
        date=head.date,
        sample=head.sample,
        overlaps=head.overlaps,
        role=head.role,  # type: ignore[arg-type]
        design=head.design.record(head.arms),
        trial=read_trial(head.trial, path),
        findings=tuple(finding.record() for finding in head.findings),
        note=head.note,
        species=head.species,
        paradigm=head.paradigm,
        weighed=head.weighed,
        reason=head.reason,
        halted=head.halted,
    )


def _study_faults(head: _Study) -> Iterator[tuple[str, str, str]]:
    """(where, key, what is wrong) of a study whose keys are well formed."""
    arms = [arm.id for arm in head.arms]
    for kind, names in (("arm", arms), ("finding", [finding.id for finding in head.findings])):
        for name in {name for name in names if names.count(name) > 1}:
            yield f', {kind} "{name}"', "id", "stands there twice"
    for arm in head.arms:
        for probe in arm.probes:
            for key, fault in probe.faults():
                yield f', arm "{arm.id}"', key, fault
    for finding in head.findings:
        for key, fault in finding.faults(arms):
            yield f', finding "{finding.id}"', key, fault
    for key, fault in head.design.faults(arms):
        yield "", key, fault
    if head.weighed and not head.findings:
        yield "", "findings", "a study without findings cannot be weighed: weighed = false, and the reason"
    if head.sample in head.overlaps:
        yield "", "overlaps", "a sample does not overlap with itself"


def read_trial(table: Mapping[str, Any], path: Path) -> Trial:
    """The [trial] table: `scale`, `note`, and numbers with a grade by parameter id (`baseline_sd` beside them)."""
    plain, numbers = {"scale": "", "note": ""}, {}
    for key, raw in table.items():
        where = f"{path}, key trial.{key}"
        if key in plain:
            if not isinstance(raw, str):
                raise StudyError(f"{where}: it is text")
            plain[key] = raw
            continue
        if not isinstance(raw, dict):
            raise StudyError(f'{where}: a number of a trial carries its grade: {{ value = 32, grade = "recalled" }}')
        try:
            numbers[key] = validated(_Number, raw, f"{path}, trial number {key}", StudyError).record()
        except ParameterError as error:
            raise StudyError(f"{where}.prior: {error}") from None
    if not plain["scale"]:
        raise StudyError(f"{path}, key trial.scale: missing; name the rating scale")
    spread = numbers.pop("baseline_sd", None)
    return Trial(plain["scale"], MappingProxyType(numbers), spread, plain["note"])
