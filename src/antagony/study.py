"""Claims, which a mechanism must make true, and studies, which are designs with results. Read from TOML.

A number that nobody published is absent, never guessed. Regimens stay prescription text, as they were written;
times are hours. Contrasts count first arm minus second: scores fall when patients improve, so a benefit is negative.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, TypeVar, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from .errors import CaseError, ClaimError, ParameterError, RegimenError, StudyError, UnitError, near_miss
from .parameters import GRADES, Prior
from .regimen import parse_regimen
from .units import parse_time

Array = NDArray[np.float64]

Relation = Literal["rises", "falls", "stays", "at_least", "at_most"]
Measure = Literal["difference", "ratio", "value", "share"]
Statistic = Literal["last", "max", "min", "mean"]
FindingKind = Literal["contrast", "change", "responders", "standardised", "direction", "none_different"]
DesignKind = Literal["parallel", "crossover", "single_arm"]
Role = Literal["calibrating", "discriminating"]


@dataclass(frozen=True, slots=True)
class Probe:
    """A parameter set to a value, scaled, or given the value of the parameter `by`, from `start` to `until` [h].

    With `by` and `scale` it is given that multiple of the other's value. No start or end is the whole run. One with a
    `name` stands for what the case says of that probe; `Case.spell_out` resolves it.
    """

    parameter: str = ""
    set: float | None = None
    scale: float | None = None
    start: float | None = None
    until: float | None = None
    by: str = ""
    name: str = ""

    @property
    def is_timed(self) -> bool:
        """Whether it acts during a part of the run only."""
        return self.start is not None or self.until is not None

    def applied(self, rest: ArrayLike) -> Array:
        """The parameter's value under the probe, given its value without; has the shape of `rest`.

        >>> Probe("pde_activity", scale=0.5).applied([1.0, 4.0]).tolist()
        [0.5, 2.0]
        """
        values = np.asarray(rest, dtype=float)
        return np.full_like(values, self.set) if self.set is not None else values * float(self.scale or 0.0)


@dataclass(frozen=True, slots=True)
class Condition:
    """What is done: a regimen as prescription text, and probes. The empty text is no drug."""

    regimen: str = ""
    probes: tuple[Probe, ...] = ()


@dataclass(frozen=True, slots=True)
class Claim:
    """A statement that a mechanism must make true, with the margin by which.

        measured = given - versus | given / versus | given | (given - versus) / (reference - versus)
        rises: >= margin    falls: <= -margin    stays: |.| <= margin    (a ratio counts from 1)
        at_least: >= value  at_most: <= value

    `given`, `versus`, `reference` stand for `output` at the time `at` [h], or for its `statistic` over `within` [h, h].
    `only_for` names the mechanisms that are asked; empty asks all.
    """

    id: str
    statement: str
    source: str
    given: Condition
    versus: Condition
    reference: Condition | None
    output: str
    at: float | None
    within: tuple[float, float] | None
    statistic: Statistic
    measure: Measure
    relation: Relation
    margin: float
    value: float | None
    tags: tuple[str, ...] = ()
    only_for: tuple[str, ...] = ()
    note: str = ""

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """Given, versus, and the reference where there is one."""
        return (self.given, self.versus, *(() if self.reference is None else (self.reference,)))


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


@dataclass(frozen=True, slots=True)
class Design:
    """Who receives what in which order. `washout` [h] and `sequences` (arm ids in order) belong to a crossover."""

    kind: DesignKind
    population: str
    blinding: str
    arms: tuple[Arm, ...]
    washout: float | None = None
    sequences: tuple[tuple[str, ...], ...] = ()
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
        responders      k of n (or only `share`) fell by at least `threshold` of their baseline
        standardised    value: the contrast over the SD (Cohen d)
        direction       sign of the contrast; `significant` where that is known, `p_below` the reported bound
        none_different  no difference on the output

    `output` is read at `time` [h], or as `statistic` over `within` [h, h]. `scale` and `score_max` differ from the
    trial's where another scale was used. `grades` by number; `primary` is the one scored when outcomes of one sample
    overlap; `calibrates` marks what outcome scales are solved from.
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


@dataclass(frozen=True, slots=True)
class Study:
    """A design with results. `date` is ISO text (a year, month or day), so that dates sort; `sample` names the people.

    `overlaps` names samples that hold some of the same people. `role`: calibrating (the drug against its comparator,
    which every mechanism was invented to explain) or discriminating.
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

    def finding(self, name: str) -> Finding:
        """The finding of that id; raises StudyError with the near miss."""
        for finding in self.findings:
            if finding.id == name:
                return finding
        raise StudyError(f'{self.id} has no finding "{name}"{near_miss(name, [f.id for f in self.findings])}')


# --- the files -----------------------------------------------------------------------------------------------------


def _time(raw: object) -> object:
    if not isinstance(raw, str):
        raise ValueError('a time is text with a unit, such as "24 h"')
    try:
        return parse_time(raw)
    except UnitError as error:
        raise ValueError(str(error)) from None


def _regimen(text: str) -> str:
    try:
        parse_regimen(text)
    except (RegimenError, UnitError) as error:
        raise ValueError(str(error)) from None
    return text


def _word(known: Iterable[str]) -> Callable[[str], str]:
    """Validator that accepts known words and offers the nearest for another."""
    words = tuple(known)

    def check(word: str) -> str:
        if word not in words:
            raise ValueError(f'unknown word "{word}"{near_miss(word, words)}')
        return word

    return check


def _words(kind: Any) -> AfterValidator:  # noqa: ANN401 - a Literal
    return AfterValidator(_word(get_args(kind)))


Hours = Annotated[float, BeforeValidator(_time)]
RegimenText = Annotated[str, AfterValidator(_regimen)]
Grade = Annotated[str, AfterValidator(_word(GRADES))]


Model = TypeVar("Model", bound=BaseModel)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ProbeEntry(_Strict):
    """A probe as TOML writes it: `parameter` with set, scale, by, or by and scale; or the name of one of the case."""

    name: str = ""
    parameter: str = ""
    set: float | None = None
    scale: float | None = None
    by: str = ""
    start: Annotated[Hours | None, Field(alias="from")] = None
    until: Hours | None = None

    def record(self) -> Probe:
        """The probe."""
        return Probe(self.parameter, self.set, self.scale, self.start, self.until, self.by, self.name)

    def faults(self) -> Iterator[tuple[str, str]]:
        """(key, what is wrong) of a probe whose keys are well formed."""
        actions = (self.set is not None) + (self.scale is not None or bool(self.by))
        shown = self.name or self.parameter
        if bool(self.name) == bool(self.parameter):
            yield "probes", "a probe has either a parameter or the name of a probe of case.toml"
        elif self.name and actions:
            yield "probes", f'the probe "{self.name}" is spelled out in case.toml; here it takes from and until alone'
        elif self.parameter and actions != 1:
            yield "probes", f'the probe of "{shown}" needs one of set, scale and by (by may have a scale)'
        if self.start is not None and self.until is not None and self.start >= self.until:
            yield "probes", f'the probe of "{shown}" ends before it begins'


class _Condition(_Strict):
    regimen: RegimenText = ""
    probes: tuple[ProbeEntry, ...] = ()

    def record(self) -> Condition:
        return Condition(self.regimen, tuple(probe.record() for probe in self.probes))


def _condition(raw: object) -> object:
    return {"regimen": raw} if isinstance(raw, str) else raw


ConditionText = Annotated[_Condition, BeforeValidator(_condition)]


class _Claim(_Strict):
    id: str
    statement: str
    source: str
    given: ConditionText
    versus: ConditionText = _Condition()
    reference: ConditionText | None = None
    output: str
    moment: Annotated[Hours | None, Field(alias="at")] = None
    within: tuple[Hours, Hours] | None = None
    statistic: Annotated[str, _words(Statistic)] | None = None
    measure: Annotated[str, _words(Measure)] = "difference"
    relation: Annotated[str, _words(Relation)]
    margin: float = 0.0
    value: float | None = None
    tags: tuple[str, ...] = ()
    only_for: tuple[str, ...] = ()
    note: str = ""

    def faults(self) -> Iterator[tuple[str, str]]:
        """(key, what is wrong) of a claim whose keys are well formed."""
        if (self.moment is None) == (self.within is None):
            yield "at", 'a claim is read either at a moment (at = "24 h") or within = ["0 h", "24 h"]'
        if self.within is not None and self.within[0] >= self.within[1]:
            yield "within", "the first time must be before the second"
        if (self.within is None) != (self.statistic is None):
            yield "statistic", "within needs a statistic (max, min, mean or last); at has none"
        if (self.measure == "share") != (self.reference is not None):
            yield "reference", 'measure = "share" needs a reference, and only it has one'
        if self.measure == "value" and self.versus != _Condition():
            yield "versus", 'measure = "value" reads given alone'
        if (self.relation in ("at_least", "at_most")) != (self.value is not None):
            yield "value", "at_least and at_most need a value, and only they have one"
        if self.margin < 0 or (self.relation == "stays" and self.margin == 0):
            yield "margin", "it must be 0 or more, and above 0 for stays"
        for condition in (self.given, self.versus, self.reference):
            for probe in condition.probes if condition else ():
                yield from probe.faults()

    def record(self) -> Claim:
        return Claim(
            id=self.id,
            statement=self.statement,
            source=self.source,
            given=self.given.record(),
            versus=self.versus.record(),
            reference=self.reference.record() if self.reference else None,
            output=self.output,
            at=self.moment,
            within=self.within,
            statistic=self.statistic or "last",  # type: ignore[arg-type] - checked by _words
            measure=self.measure,  # type: ignore[arg-type]
            relation=self.relation,  # type: ignore[arg-type]
            margin=self.margin,
            value=self.value,
            tags=self.tags,
            only_for=self.only_for,
            note=self.note,
        )


class _Number(_Strict):
    value: float
    grade: Grade
    prior: tuple[str, float, float] | None = None
    note: str = ""

    def record(self) -> TrialNumber:
        prior = Prior(self.prior[0], (self.prior[1], self.prior[2])) if self.prior else None
        return TrialNumber(self.value, self.grade, prior, self.note)


class _Arm(_Strict):
    id: str
    title: str = ""
    regimen: RegimenText = ""
    probes: tuple[ProbeEntry, ...] = ()
    n: int | None = Field(default=None, ge=1)
    n_grade: Grade = "read"
    comparator_cue: float | None = Field(default=None, ge=0, le=1)
    cue_grade: Grade = "assumed"
    note: str = ""

    def record(self) -> Arm:
        condition = Condition(self.regimen, tuple(probe.record() for probe in self.probes))
        cue = (self.comparator_cue, self.cue_grade if self.comparator_cue is not None else "")
        return Arm(self.id, self.title or self.id, condition, self.n, self.n_grade if self.n else "", *cue, self.note)


class _Design(_Strict):
    kind: Annotated[str, _words(DesignKind)]
    population: str
    blinding: str
    washout: Hours | None = None
    sequences: tuple[tuple[str, ...], ...] = ()
    note: str = ""


class _Finding(_Strict):
    id: str
    kind: Annotated[str, _words(FindingKind)]
    arms: tuple[str, ...]
    output: str = "score"
    scale: str = ""
    score_max: float | None = None
    time: Hours | None = None
    within: tuple[Hours, Hours] | None = None
    statistic: Annotated[str, _words(Statistic)] = "last"
    value: float | None = None
    se: float | None = Field(default=None, gt=0)
    sd: tuple[Annotated[float, Field(gt=0)], ...] = ()
    n: tuple[Annotated[int, Field(ge=1)], ...] = ()
    k: int | None = Field(default=None, ge=0)
    share: float | None = Field(default=None, ge=0, le=1)
    threshold: float | None = Field(default=None, gt=0, lt=1)
    sign: Literal[-1, 1] | None = None
    significant: bool | None = None
    p_below: float | None = Field(default=None, gt=0, lt=1)
    grade: Grade
    grades: dict[str, Grade] = Field(default_factory=dict)
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
        wanted = 1 if self.kind in ("change", "responders") else 2
        if len(self.arms) != wanted:
            yield "arms", f"a finding of kind {self.kind} concerns {wanted} arm{'s' if wanted > 1 else ''}"
        if (self.time is None) == (self.within is None):
            yield "time", 'a finding is read either at a time (time = "24 h") or within = ["0 h", "24 h"]'
        yield from self._number_faults()

    def _number_faults(self) -> Iterator[tuple[str, str]]:
        if self.kind in ("contrast", "change", "standardised") and self.value is None:
            yield "value", f"a finding of kind {self.kind} without a value says nothing; write it as a direction"
        if self.kind == "direction" and self.sign is None:
            yield "sign", "a direction needs its sign: -1 where the first arm falls more, 1 where it falls less"
        if self.kind == "responders":
            if self.threshold is None:
                yield "threshold", "responders need the fall that counts, such as 0.5"
            if self.share is None and (self.k is None or len(self.n) != 1):
                yield "k", "responders need k and n = [n], or at least a share"
            if self.k is not None and self.n and self.k > self.n[0]:
                yield "k", f"{self.k} of {self.n[0]} responded"
        for key in ("sd", "n"):
            if (given := getattr(self, key)) and len(given) != len(self.arms):
                yield key, f"{len(given)} numbers for {len(self.arms)} arms"
        numbers = {key for key in _NUMBERS if getattr(self, key) not in (None, ())}
        for key in self.grades:
            if key not in numbers:
                yield "grades", f'there is no number "{key}" to grade{near_miss(key, numbers)}'

    def record(self) -> Finding:
        plain = self.model_dump(exclude={"grade", "grades"})
        grades = {key: self.grades.get(key, self.grade) for key in _NUMBERS if getattr(self, key) not in (None, ())}
        return Finding(**plain, grades=MappingProxyType(grades))


_NUMBERS = ("value", "se", "sd", "n", "k", "share", "threshold", "sign", "p_below", "score_max")


class _Study(_Strict):
    title: str
    reference: str
    date: Annotated[str, Field(pattern=r"^\d{4}(-\d{2}(-\d{2})?)?$")]
    sample: str
    overlaps: tuple[str, ...] = ()
    role: Annotated[str, _words(Role)]
    note: str = ""
    design: _Design
    arms: tuple[_Arm, ...] = Field(min_length=1)
    trial: dict[str, Any]
    findings: tuple[_Finding, ...] = Field(min_length=1)


def read_claims(path: Path | str) -> tuple[Claim, ...]:
    """Claims of a claims.toml, in the order of the file. Raises ClaimError naming file, claim and key."""
    path = Path(path)
    tables = _tables(path, ClaimError)
    entries = tables.pop("claims", [])
    for key in tables:
        raise ClaimError(f'{path}: unknown key "{key}"{near_miss(key, ["claims"])}')
    if not isinstance(entries, list):
        raise ClaimError(f"{path}, key claims: write each claim below [[claims]]")
    claims: dict[str, Claim] = {}
    for position, entry in enumerate(entries, start=1):
        name = entry.get("id", f"number {position}") if isinstance(entry, dict) else f"number {position}"
        where = f'{path}, claim "{name}"'
        claim = _validated(_Claim, entry, where, ClaimError)
        for key, fault in claim.faults():
            raise ClaimError(f"{where}, key {key}: {fault}")
        if claim.id in claims:
            raise ClaimError(f"{where}: another claim has the same id")
        claims[claim.id] = claim.record()
    return tuple(claims.values())


def read_study(path: Path | str) -> Study:
    """The study of a TOML file; its id is the file's name. Raises StudyError naming file, finding or arm, and key."""
    path = Path(path)
    head = _validated(_Study, _tables(path, StudyError), str(path), StudyError)
    for where, key, fault in _study_faults(head):
        raise StudyError(f"{path}{where}, key {key}: {fault}")
    design = Design(
        kind=head.design.kind,  # type: ignore[arg-type] - checked by _words
        population=head.design.population,
        blinding=head.design.blinding,
        arms=tuple(arm.record() for arm in head.arms),
        washout=head.design.washout,
        sequences=head.design.sequences,
        note=head.design.note,
    )
    return Study(
        id=path.stem,
        title=head.title,
        reference=head.reference,
        date=head.date,
        sample=head.sample,
        overlaps=head.overlaps,
        role=head.role,  # type: ignore[arg-type]
        design=design,
        trial=_read_trial(head.trial, path),
        findings=tuple(finding.record() for finding in head.findings),
        note=head.note,
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
    for name in (name for sequence in head.design.sequences for name in sequence if name not in arms):
        yield "", "design.sequences", f'no arm "{name}"{near_miss(name, arms)}'
    if head.design.kind != "crossover" and (head.design.sequences or head.design.washout is not None):
        yield "", "design", "sequences and washout belong to a crossover"
    if head.sample in head.overlaps:
        yield "", "overlaps", "a sample does not overlap with itself"


def _read_trial(table: Mapping[str, Any], path: Path) -> Trial:
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
            numbers[key] = _validated(_Number, raw, f"{path}, trial number {key}", StudyError).record()
        except ParameterError as error:
            raise StudyError(f"{where}.prior: {error}") from None
    if not plain["scale"]:
        raise StudyError(f"{path}, key trial.scale: missing; name the rating scale")
    spread = numbers.pop("baseline_sd", None)
    return Trial(plain["scale"], MappingProxyType(numbers), spread, plain["note"])


def _tables(path: Path, error: type[CaseError]) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as cause:
        raise error(f"{path}: cannot be read ({cause})") from None
    except tomllib.TOMLDecodeError as cause:
        raise error(f"{path}: not valid TOML: {cause}") from None


def _validated(model: type[Model], raw: object, where: str, error: type[CaseError]) -> Model:
    """The table as a model; the first fault becomes one sentence with key and near miss."""
    try:
        return model.model_validate(raw)
    except ValidationError as cause:
        raise error(_sentence(cause, raw, where)) from None


def _sentence(cause: ValidationError, raw: object, where: str) -> str:
    """One sentence for the first fault: where it stands, the key, what is wrong, the near miss."""
    details = cause.errors()
    detail = next((d for d in details if d["type"] == "extra_forbidden"), details[0])  # a slip explains what is missing
    location = list(detail["loc"])
    for kind in ("arms", "findings"):  # name the arm or finding rather than count it
        if len(location) > 1 and location[0] == kind and isinstance(raw, Mapping):
            entry = raw[kind][location[1]]
            where += f', {kind[:-1]} "{entry.get("id", location[1]) if isinstance(entry, Mapping) else location[1]}"'
            location = location[2:]
    key = ".".join(str(part) for part in location)
    if detail["type"] == "extra_forbidden":
        return f'{where}: unknown key "{key}"{near_miss(str(location[-1]), _KEYS)}'
    if detail["type"] == "missing":
        return f"{where}: key {key} is missing"
    message = detail["msg"].removeprefix("Value error, ")
    return f"{where}{', key ' * bool(key)}{key}: {message[0].lower()}{message[1:]}"


_KEYS = sorted(
    {
        info.alias or name
        for model in (ProbeEntry, _Condition, _Claim, _Number, _Arm, _Design, _Finding, _Study)
        for name, info in model.model_fields.items()
    }
)
