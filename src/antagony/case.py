"""A case: one folder of drugs, parts, mechanisms, claims, studies and designs around one question.

Opening a folder reads text and runs none of it. Adding a drug, a mechanism or a study adds a folder or a file.
"""

from __future__ import annotations

import hashlib
import os
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .claim import Claim, read_claims
from .composition import COMPOSING, Hook, Receptor, Sum, Text, join, mix, sums_text
from .condition import Probe, ProbeEntry
from .design import Plan, plan_study, read_plan
from .drug import Drug, Label, check_targets, read_drug
from .errors import CaseError, near_miss
from .files import parse_toml
from .mechanism import Edge, Mechanism, Output, Variant, Wiring
from .notebook import Card, Table, assumed_of, brief, listed
from .parameters import Parameter, Prior, read_parameters
from .regimen import Regimen, parse_regimen
from .rules import Rules, read_rules
from .study import COMPARATOR_CUE, Study, read_study

PACKAGED = "ketamine"
LARGEST = 64_000_000  # [byte] of one file of a case
LONGEST = 200  # [byte] of a file's name
REPORT_FILE = "report.toml"  # what figures and reports show
ANNOTATIONS_FILE = "annotations.tsv"  # what symbols stand for in public databases
WEEK = 168.0  # h
FAR = 100.0  # times the largest usual dose: nobody has studied the like


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Output(_Strict):
    title: str
    unit: str
    short: str = ""


class _Receptor(_Strict):
    roles: tuple[str, ...] = ()
    title: str = ""


class _Sum(_Strict):
    unit: str
    meaning: str = ""


class _Scale(_Strict):
    top: Annotated[float, Field(alias="max", gt=0)]
    remission: float | None = None
    grade: str
    note: str = ""


class _Hook(_Strict):
    neutral: float
    combine: Literal["multiply", "add", "one"]


class _NamedProbe(_Strict):
    title: str
    acts: Annotated[tuple[ProbeEntry, ...], Field(min_length=1)]
    until: str = ""
    note: str = ""


class _Group(_Strict):
    title: str
    statement: str = ""


class _Scene(_Strict):
    title: str
    regimen: str
    until: str = "7 d"
    note: str = ""


class _Periods(_Strict):
    start: str
    cue: str
    restarts: tuple[str, ...] = ()


class _Calibration(_Strict):
    parameter: str
    study: str
    finding: str
    note: str = ""


class _CaseFile(_Strict):
    title: str
    question: str
    disclaimer: str
    drugs: tuple[str, ...]
    mechanisms: Annotated[tuple[str, ...], Field(min_length=1)]
    cutoff: str = ""
    classes: dict[str, _Group] = Field(default_factory=dict)
    receptors: dict[str, _Receptor] = Field(default_factory=dict)
    exposures: dict[str, _Sum] = Field(default_factory=dict)
    scales: dict[str, _Scale] = Field(default_factory=dict)
    hooks: dict[str, _Hook] = Field(default_factory=dict)
    probes: dict[str, _NamedProbe] = Field(default_factory=dict)
    outputs: dict[str, _Output] = Field(default_factory=dict)
    scenes: dict[str, _Scene] = Field(default_factory=dict)
    trial: dict[str, Any] = Field(default_factory=dict)
    calibration: _Calibration | None = None
    periods: _Periods | None = None


class _Edge(_Strict):
    source: Annotated[str, Field(alias="from")]
    target: Annotated[str, Field(alias="to")]
    sign: Literal[-1, 1]
    parameter: str = ""
    note: str = ""


class _Prior(_Strict):
    distribution: str
    parameters: tuple[float, float]


class _Variant(_Strict):
    title: str = ""
    set: dict[str, float] = Field(default_factory=dict)
    prior: dict[str, _Prior] = Field(default_factory=dict)
    wiring: str | None = None
    parts: dict[str, str] = Field(default_factory=dict)
    partner: Annotated[str, Field(alias="with")] = ""
    proof: bool = False


class _WiringFile(_Strict):
    title: str
    statement: str
    group: Annotated[str, Field(alias="class")] = ""
    reference: bool = False
    parts: tuple[str, ...]
    requires: tuple[str, ...] = ()
    chain: tuple[_Edge, ...] = ()
    variants: dict[str, dict[str, _Variant]] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Scene:
    """A situation worth looking at: a regimen with a title and how long to watch."""

    name: str
    title: str
    regimen: Regimen
    until: float
    note: str = ""


@dataclass(frozen=True, slots=True)
class Scale:
    """A rating scale: its largest score, and the largest that still counts as remission [points]."""

    name: str
    top: float
    remission: float | None
    grade: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class NamedProbe:
    """An imposed effect: what it acts on, and how long it lasts after its start [h; None is the whole run]."""

    name: str
    title: str
    acts: tuple[Probe, ...]
    lasts: float | None
    note: str = ""


@dataclass(frozen=True, slots=True)
class _Piece:
    """One mechanism's contribution to a model: its wiring with the variants chosen for it."""

    wiring: Wiring
    chosen: tuple[Variant, ...]

    @property
    def text(self) -> str:
        return next((v.wiring for v in self.chosen if v.wiring is not None), self.wiring.text)


@dataclass(frozen=True, slots=True)
class Periods:
    """What changes from one period of a crossover to the next, by the case's own names.

    Parameters: `start`, the time of the period's reference dose, and `cue`, what its comparator can be felt by. States
    that begin anew: `restarts`.
    """

    start: str
    cue: str
    restarts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Calibration:
    """The one number that every mechanism may solve for, and the finding that it is solved from."""

    parameter: str
    study: str
    finding: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Nominal:
    """Nominal values that were computed for a mechanism: its file, the key in the file's name, and the values."""

    path: Path
    key: str
    values: Mapping[str, float]


@dataclass(frozen=True)
class Case:
    """Everything a folder holds. Mechanisms are composed on demand, for the drugs in play.

    A mechanism's slug is its folder's name; `a+b` is the mixture of two.
    """

    folder: Path
    hash: str
    title: str
    question: str
    disclaimer: str
    cutoff: str
    prelude: str
    parts: Mapping[str, str]
    shared: Mapping[str, Parameter]
    drugs: Mapping[str, Drug]
    wirings: Mapping[str, Wiring]
    groups: Mapping[str, str]
    receptors: tuple[Receptor, ...]
    sums: tuple[Sum, ...]
    scales: Mapping[str, Scale]
    hooks: tuple[Hook, ...]
    probes: Mapping[str, NamedProbe]
    outputs: Mapping[str, Output]
    scenes: Mapping[str, Scene]
    claims: tuple[Claim, ...]
    own_claims: Mapping[str, tuple[Claim, ...]]
    studies: Mapping[str, Study]
    designs: Mapping[str, Plan]
    trial: Mapping[str, float]
    calibration: Calibration | None
    periods: Periods | None = None
    rules: Rules | None = None
    nominals: Mapping[str, Nominal] = field(default_factory=dict)
    _composed: dict[Any, Mechanism] = field(default_factory=dict, repr=False, compare=False)

    def __repr__(self) -> str:
        """The case by its folder and what it holds."""
        return brief("Case", {"": self.folder.name, "mechanisms": listed(self.wirings), "hash": self.hash})

    def _repr_html_(self) -> str:
        tables = (self.shared, *(owner.parameters for owner in (*self.drugs.values(), *self.wirings.values())))
        grades = [row.grade for table in tables for row in table.values() if row.grade != "definition"]
        rivals = [
            (slug, w.title, "reference" if w.reference else self.groups.get(w.group, w.group),
             str(len(self.own_claims[slug])), ", ".join(w.axes))
            for slug, w in self.wirings.items()
        ]  # fmt: skip
        held = (
            f"{len(self.claims)} claims asked of all, {len(self.studies)} studies, {len(self.designs)} designs, "
            f"{len(self.outputs)} outputs",
            f"drugs that a regimen may name: {listed(self.dosable)}",
            assumed_of(grades.count("assumed"), len(grades)),
            f"case {self.hash}",
        )
        heads = ("mechanism", "title", "class", "own claims", "variants")
        return Card(
            self.title, self.question, (Table(heads, rivals, words=5),), facts=(*held, self.disclaimer.rstrip("."))
        ).html()

    @property
    def packaged(self) -> bool:
        """Whether this is the case that comes with the package."""
        return self.folder == _packaged_folder()

    @property
    def option(self) -> str:
        """What a command needs behind it to ask this very case; empty for the packaged one."""
        return "" if self.packaged else f" --case {shlex.quote(str(self.folder))}"

    def class_faults(self, slugs: Iterable[str] | None = None) -> Iterator[tuple[str, str]]:
        """Where a mechanism has no class, or one that the case does not know, and what is wrong with it."""
        for slug, wiring in self.wirings.items():
            where = f"mechanisms/{slug}/mechanism.toml, key class"
            if slugs is not None and slug not in slugs:
                continue
            if wiring.group and wiring.group not in self.groups:
                yield where, f'case.toml has no class "{wiring.group}"{near_miss(wiring.group, self.groups)}'
            if self.groups and not wiring.group and not wiring.reference:
                yield where, "missing; name a class of case.toml, or say reference = true"

    @cached_property
    def dosable(self) -> tuple[str, ...]:
        """Drugs that a regimen may name."""
        return tuple(name for name, drug in self.drugs.items() if drug.routes)

    @cached_property
    def cue(self) -> str:
        """The parameter that an arm's comparator_cue sets."""
        return self.periods.cue if self.periods else COMPARATOR_CUE

    def wiring(self, slug: str) -> Wiring:
        """A rival by its folder name, or the mixture of several (`a+b`); raises CaseError with the near miss."""
        names = slug.split("+")
        for name in names:
            if name not in self.wirings:
                lies_there = name.isidentifier() and (self.folder / "mechanisms" / name).is_dir()
                hint = "; it has the folder: add it to `mechanisms` in case.toml" if lies_there else ""
                hint = hint or near_miss(name, self.wirings)
                raise CaseError(f'the case {self.folder.name} has no mechanism "{name}"{hint}')
        if len(set(names)) < len(names):
            raise CaseError(f'"{slug}" names a mechanism twice; a mixture is of different ones')
        return self.wirings[slug] if len(names) == 1 else _mixture(slug, [self.wirings[name] for name in names])

    def plan(self, name: str) -> Plan:
        """The trial of a design or study of the case, or of a TOML file; raises CaseError with the near miss."""
        if name in self.designs:
            return self.designs[name]
        if name in self.studies:
            return plan_study(self.studies[name])
        if name.endswith(".toml"):
            return read_plan(name)
        known = (*self.designs, *self.studies)
        raise CaseError(f'the case {self.folder.name} has no design or study "{name}"{near_miss(name, known)}')

    def regimen(self, text: str) -> Regimen:
        """Prescription text -> regimen, its drugs and routes checked against the case."""
        return parse_regimen(text, drugs={name: tuple(self.drugs[name].routes) for name in self.dosable})

    def notes(self, regimen: Regimen) -> tuple[str, ...]:
        """Caveats of the drugs given, and doses outside what labels or trials usually give; all of it runs the same."""
        given = [self.drugs[name] for name in regimen.drugs if name in self.drugs]
        notes = [f"{drug.name}: {drug.caveat}" for drug in given if drug.caveat]
        notes += [note for drug in given for label in drug.labels for note in _label_notes(drug, label, regimen)]
        return tuple(notes)

    def spell_out(self, probes: Iterable[Probe]) -> tuple[Probe, ...]:
        """Probes with every name of the case replaced by what it acts on; raises CaseError with the near miss."""
        spelt: list[Probe] = []
        for probe in probes:
            if not probe.name:
                spelt.append(probe)
                continue
            if probe.name not in self.probes:
                miss = near_miss(probe.name, self.probes)
                raise CaseError(f'the case {self.folder.name} has no probe "{probe.name}"{miss}')
            known = self.probes[probe.name]
            start, until = probe.start, probe.until
            if until is None and known.lasts is not None:
                start = 0.0 if start is None else start
                until = start + known.lasts
            spelt += [replace(act, start=start, until=until) for act in known.acts]
        return tuple(spelt)

    def parameters(self, slug: str, variants: Mapping[str, str] | None = None) -> dict[str, Parameter]:
        """Every row in scope of a mechanism: shared parts, all drugs, its own; variants applied."""
        pieces = self._pieces(slug, variants)
        rows = dict(self.shared)
        for source in (*(drug.parameters for drug in self.drugs.values()), *(p.wiring.parameters for p in pieces)):
            rows |= source
        for piece in pieces:
            for variant in piece.chosen:
                rows |= _varied(rows, variant, piece.wiring)
        return rows

    def mechanism(self, slug: str, drugs: Iterable[str] = (), variants: Mapping[str, str] | None = None) -> Mechanism:
        """Compose a mechanism for a set of drugs and a choice of variants ({axis: name}; none: the base)."""
        pieces = self._pieces(slug, variants)
        present = self.with_required([*drugs, *(name for piece in pieces for name in piece.wiring.requires)])
        key = (slug, present, tuple(sorted((variants or {}).items())))
        with COMPOSING:
            if key not in self._composed:
                self._composed[key] = self._compose(slug, present, pieces, variants)
            return self._composed[key]

    @cached_property
    def timed(self) -> frozenset[str]:
        """Parameters that a claim, an arm or a period changes for a while: every model takes them as inputs."""
        claims = (*self.claims, *(c for own in self.own_claims.values() for c in own))
        conditions = [condition for claim in claims for condition in claim.conditions]
        conditions += [arm.condition for study in self.studies.values() for arm in study.design.arms]
        spelt = (probe for condition in conditions for probe in self._spelt(condition.probes))
        periods = {self.periods.start} if self.periods else set()
        return frozenset(periods | {self.cue} | {probe.parameter for probe in spelt if probe.is_timed})

    def _spelt(self, probes: Iterable[Probe]) -> tuple[Probe, ...]:
        """Probes spelled out, those with an unknown name left out; lint and whoever runs them says so."""
        return self.spell_out(probe for probe in probes if not probe.name or probe.name in self.probes)

    @cached_property
    def families(self) -> tuple[frozenset[str], ...]:
        """Sets of drugs that share a composed model: the set most often asked for has its own, the others share one.

        An absent drug is the same as dose 0 (tested), so a larger model answers for a smaller set; fewer models mean
        fewer compilations.
        """
        asked = Counter(self._asked())
        largest = [s for s in asked if not any(s < other for other in asked)]
        if len(largest) < 3:
            return tuple(sorted(largest, key=sorted))
        weight = {s: sum(n for other, n in asked.items() if other <= s) for s in largest}
        first = max(largest, key=lambda s: (weight[s], sorted(s)))
        return (first, frozenset().union(*(s for s in largest if s != first)))

    def _asked(self) -> Iterator[frozenset[str]]:
        """The drugs of every scene, claim and arm of the case."""
        claims = (*self.claims, *(c for own in self.own_claims.values() for c in own))
        texts = [condition.regimen for claim in claims for condition in claim.conditions]
        texts += [arm.condition.regimen for study in self.studies.values() for arm in study.design.arms]
        yield from (frozenset(scene.regimen.drugs) for scene in self.scenes.values())
        yield from (frozenset(self.regimen(text).drugs) for text in texts)

    def mechanism_for(self, slug: str, drugs: Iterable[str], variants: Mapping[str, str] | None = None) -> Mechanism:
        """A composed mechanism that holds at least these drugs: that of the smallest family, or of just these drugs."""
        wanted = frozenset(drugs)
        holders = [family for family in self.families if wanted <= {*self.with_required(family)}]
        return self.mechanism(slug, min(holders, key=len) if holders else wanted, variants)

    def with_required(self, drugs: Iterable[str]) -> tuple[str, ...]:
        """The drugs and the shared sites that they require, in the case's order."""
        wanted, stack = set(), list(drugs)
        while stack:
            name = stack.pop()
            if name not in self.drugs:
                raise CaseError(f'the case {self.folder.name} has no drug "{name}"{near_miss(name, self.drugs)}')
            if name not in wanted:
                wanted.add(name)
                stack += self.drugs[name].requires
        return tuple(name for name in self.drugs if name in wanted)

    def _pieces(self, slug: str, variants: Mapping[str, str] | None) -> tuple[_Piece, ...]:
        """The mechanisms that a model is made of, each with the variants chosen for it, partners of variants included.

        A chosen axis holds for every piece that has it. Raises CaseError for one that none has.
        """
        self.wiring(slug)
        chosen, pieces, waiting = dict(variants or {}), [], slug.split("+")
        while waiting:
            wiring = self.wiring(waiting.pop(0))
            own = [v for axis, name in sorted(chosen.items()) if (v := wiring.variant(axis, name)) is not None]
            pieces.append(_Piece(wiring, tuple(own)))
            bases = [base for axis, base in wiring.axes.items() if axis not in chosen]
            partners = [v.partner for v in (*own, *bases) if v.partner]
            waiting += [p for p in partners if p not in waiting and all(p != q.wiring.slug for q in pieces)]
        for axis, name in chosen.items():
            if not any(piece.wiring.variant(axis, name) for piece in pieces):
                known = [f"{v.axis}={v.name}" for piece in pieces for v in piece.wiring.variants]
                raise CaseError(f"{slug} has no variant {axis}={name}{near_miss(f'{axis}={name}', known)}")
        return tuple(pieces)

    def nominal_values(self, slug: str, variants: Mapping[str, str] | None = None) -> dict[str, float]:
        """Nominal values that were computed for a mechanism, by parameter id; what a variant changes is left to it.

        Empty where none were computed: medians of the priors hold. Raises CaseError for values whose model, priors,
        calibrating studies or rules have changed since.
        """
        known = self.nominals.get(slug)
        if known is None:
            return {}
        if known.key != self.nominal_key(slug):
            raise CaseError(
                f"{known.path}: computed from other numbers than the case now holds; renew it with: antagony nominal "
                f"{slug} --case {self.folder}"
            )
        changed = {
            name
            for piece in self._pieces(slug, variants)
            for v in piece.chosen
            for name in (*v.values, *v.priors)
            if variants
        }
        return {name: value for name, value in known.values.items() if name not in changed}

    def nominal_key(self, slug: str) -> str:
        """Fingerprint of all that nominal values of a mechanism follow from: equations, priors, calibrating studies."""
        pieces = self._pieces(slug, None)
        studies = [s for s in self.studies.values() if s.role == "calibrating" and s.weighed]
        given = {drug for s in studies for arm in s.design.arms for drug in self.regimen(arm.condition.regimen).drugs}
        drugs = self.with_required([*given, *(name for piece in pieces for name in piece.wiring.requires)])
        tables = [self.shared, *(self.drugs[d].parameters for d in drugs), *(p.wiring.parameters for p in pieces)]
        rows = [(r.id, r.nominal, r.estimate, r.prior, r.bsv, r.bsv_distribution) for t in tables for r in t.values()]
        texts = [self.parts[part] for piece in pieces for part in piece.wiring.parts] + [p.text for p in pieces]
        texts += [self.drugs[d].model for d in drugs]
        axes = [(v.axis, v.name, v.values, v.priors) for piece in pieces for v in piece.wiring.variants]
        parts = (self.prelude, texts, rows, axes, studies, self.rules, sorted(self.trial.items()))
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]

    def free_axes(self, slug: str, variants: Mapping[str, str] | None = None) -> dict[str, tuple[Variant, ...]]:
        """Axes of a mechanism, and of whatever it is composed with, that are not chosen yet; axes of proof left out.

        A partner's axis that changes equations keeps its base: the mechanism states its own structures.
        """
        free: dict[str, tuple[Variant, ...]] = {}
        own = set(slug.split("+"))
        for piece in self._pieces(slug, variants):
            for axis in piece.wiring.axes:
                found = tuple(v for v in piece.wiring.variants if v.axis == axis)
                bound = piece.wiring.slug not in own and any(v.changes_equations for v in found)
                if axis not in (variants or {}) and not bound and not any(v.proof for v in found):
                    free.setdefault(axis, found)
        return free

    def _compose(
        self, slug: str, present: tuple[str, ...], pieces: Sequence[_Piece], variants: Mapping[str, str] | None
    ) -> Mechanism:
        drugs = {name: self.drugs[name] for name in present}
        swapped = {old: new for piece in pieces for v in piece.chosen for old, new in v.parts.items()}
        parts = dict.fromkeys(swapped.get(part, part) for piece in pieces for part in piece.wiring.parts)
        wirings = {p.wiring.slug: Text(f"mechanisms/{p.wiring.slug}/wiring.ant", p.text) for p in pieces}
        texts = [
            sums_text(self.receptors, self.sums, list(drugs.values())),
            *(Text(f"drugs/{name}/model.ant", drug.model) for name, drug in drugs.items()),
            *(Text(f"parts/{part}.ant", self.parts[part]) for part in parts),
            *(wirings.values() if len(wirings) == 1 else mix(self.prelude, self.hooks, wirings)),
        ]
        rows = self.parameters(slug, variants)
        name = f"{slug.replace('+', '_and_')}_mechanism"  # models and symbols share one namespace
        joined = join(name, self.prelude, texts, rows)
        outputs = {s: o for s, o in self.outputs.items() if s in joined.symbols}
        for drug in drugs.values():
            outputs |= {o.symbol: Output(o.symbol, o.title, o.unit) for o in drug.outputs}
        targets = [t for d in drugs.values() for r in d.routes.values() for t in r.targets]
        dosing = {a for t in targets for a in t.amounts.values() if isinstance(a, str)} | {"bodyweight"}
        dosing |= {act.by for probe in self.probes.values() for act in probe.acts if act.by}
        return Mechanism(
            slug=slug,
            title=self.wiring(slug).title,
            drugs=drugs,
            variants=tuple(f"{axis}={name}" for axis, name in sorted((variants or {}).items())),
            antimony=joined.antimony,
            sbml=joined.sbml,
            parameters={name: rows[name] for name in joined.needed},
            dosing={name: rows[name] for name in sorted(dosing & rows.keys())},
            inputs=tuple(sorted({t.input for t in targets} | (self.timed & {*joined.needed}))),
            outputs=outputs,
            state_units=joined.state_units,
            case_hash=self.hash,
        )


def _mixture(slug: str, wirings: Sequence[Wiring]) -> Wiring:
    """What a mixture says of itself: parts, numbers, arrows and variants of all its mechanisms."""
    variants = {(v.axis, v.name): v for wiring in reversed(wirings) for v in wiring.variants}
    groups = {wiring.group for wiring in wirings}
    return Wiring(
        slug=slug,
        title=" and ".join(wiring.title for wiring in wirings),
        statement=" ".join(wiring.statement for wiring in wirings),
        group=groups.pop() if len(groups) == 1 else "",
        reference=all(wiring.reference for wiring in wirings),
        parts=tuple(dict.fromkeys(part for wiring in wirings for part in wiring.parts)),
        text="",
        parameters={name: row for wiring in wirings for name, row in wiring.parameters.items()},
        variants=tuple(variants.values()),
        edges=tuple(dict.fromkeys(edge for wiring in wirings for edge in wiring.edges)),
        readme="\n\n".join(wiring.readme for wiring in wirings),
        requires=tuple(dict.fromkeys(name for wiring in wirings for name in wiring.requires)),
    )


def _full_amount(amount: float, per_kg: bool) -> float:
    """A dose [mg] for a patient of 70 kg."""
    return amount * 70 if per_kg else amount


def _label_notes(drug: Drug, label: Label, regimen: Regimen) -> Iterator[str]:
    """How the doses of one drug by a label's route differ from the label."""
    from .units import parse_dose

    usual = {parse_dose(text) for text in label.doses}
    given = [dose for dose in regimen.doses if (dose.drug, dose.route) == (drug.name, label.route)]
    for amount, per_kg in sorted({(dose.amount, dose.per_kg) for dose in given} - usual):
        unit = "mg/kg" if per_kg else "mg"
        told, known = f"{drug.name} {amount:g} {unit}", ", ".join(label.doses)
        if usual and _full_amount(amount, per_kg) >= FAR * max(_full_amount(*dose) for dose in usual):
            yield f"{told} is far outside any dose studied here (usual: {known}): an extrapolation"
        else:
            yield f"{told} is not one of the usual doses ({known})"
    times = sorted(float(t) for dose in given for t in dose.times)
    if label.max_per_week and any(b - a < WEEK for a, b in zip(times, times[label.max_per_week :], strict=False)):
        yield f"{drug.name} is given more than {label.max_per_week} times within a week"


def _varied(rows: Mapping[str, Parameter], variant: Variant, wiring: Wiring) -> dict[str, Parameter]:
    """Rows changed by a variant; a value set by it is fixed, a prior given by it is drawn."""
    changed: dict[str, Parameter] = {}
    for name in (*variant.values, *variant.priors):
        if name not in rows:
            raise CaseError(
                f"mechanisms/{wiring.slug}/mechanism.toml, variant {variant.axis}={variant.name}: "
                f'no parameter "{name}"{near_miss(name, rows)}'
            )
    for name, value in variant.values.items():
        changed[name] = replace(rows[name], nominal=value, estimate=False, prior=None)
    for name, prior in variant.priors.items():
        changed[name] = replace(rows[name], nominal=prior.median, estimate=True, prior=prior)
    return changed


# --- reading -------------------------------------------------------------------------------------------------------


def _packaged_folder() -> Path:
    return Path(str(files("antagony") / "cases" / PACKAGED))


def open_case(folder: Path | str | None = None) -> Case:
    """Open a case folder, or the packaged case when none is named. Raises CaseError naming file, line or key."""
    path = _packaged_folder() if folder is None else Path(folder)
    if not (path / "case.toml").is_file():
        raise CaseError(f"{path}: no case.toml here; a case is a folder that holds one")
    _refuse_traps(path)
    head = _validated(_CaseFile, path / "case.toml")
    for name in head.mechanisms:
        _refuse_place(name, f"{path / 'case.toml'}, key mechanisms")
    drugs = {name: read_drug(path / "drugs" / name) for name in _drug_order(path, head.drugs)}
    for drug in drugs.values():
        check_targets(drug, drugs)
    parts = {p.stem: _text(p) for p in sorted((path / "parts").glob("*.ant"))}
    wirings = {slug: _read_wiring(path / "mechanisms" / slug, parts) for slug in head.mechanisms}
    case = Case(
        folder=path,
        hash=_hash(path),
        title=head.title,
        question=head.question,
        disclaimer=head.disclaimer,
        cutoff=head.cutoff,
        prelude=_text(path / "prelude.ant"),
        parts=parts,
        shared=read_parameters(path / "parts" / "parameters.tsv"),
        drugs=drugs,
        wirings=wirings,
        groups={name: group.title for name, group in head.classes.items()},
        receptors=tuple(Receptor(name, r.roles) for name, r in head.receptors.items()),
        sums=tuple(Sum(name, s.unit, s.meaning) for name, s in head.exposures.items()),
        scales={name: Scale(name, s.top, s.remission, s.grade, s.note) for name, s in head.scales.items()},
        hooks=tuple(Hook(name, hook.neutral, hook.combine) for name, hook in head.hooks.items()),
        probes={name: _named_probe(path, name, entry) for name, entry in head.probes.items()},
        outputs={name: Output(name, o.title, o.unit, o.short) for name, o in head.outputs.items()},
        scenes={},
        claims=_claims(path),
        own_claims={slug: _claims(path / "mechanisms" / slug) for slug in wirings},
        studies={file.stem: read_study(file) for file in sorted((path / "studies").glob("*.toml"))},
        designs={file.stem: read_plan(file) for file in sorted((path / "designs").glob("*.toml"))},
        trial={},
        calibration=Calibration(**head.calibration.model_dump()) if head.calibration else None,
        periods=Periods(**head.periods.model_dump()) if head.periods else None,
        rules=_rules(path, head),
        nominals=_nominals(path),
    )
    return replace(case, scenes=_scenes(case, head), trial=_trial_values(head))


def _refuse_traps(folder: Path) -> None:
    """Refuse what may not be opened: a link that leads out of the folder, what is no file, a file beyond all use."""
    home = folder.resolve()
    for place, folders, names in os.walk(folder):
        for name in (*folders, *names):
            path = Path(place, name)
            if path.is_symlink() and not path.resolve().is_relative_to(home):
                raise CaseError(f"{path}: a link out of the case's folder; it is not opened, put the file itself there")
        for name in names:
            path = Path(place, name)
            if path.exists() and not path.is_file():
                raise CaseError(f"{path}: no file that can be read; a case holds files of text")
            if path.is_file() and (size := path.stat().st_size) > LARGEST:
                raise CaseError(f"{path}: {size / 1e6:.0f} MB; files of a case have at most {LARGEST / 1e6:.0f} MB")


def _refuse_place(name: str, where: str) -> None:
    """Refuse a name that leads to another folder."""
    if not name.isprintable() or name in ("", ".", "..") or {*name} & {*"/\\"} or len(name.encode()) > LONGEST:
        raise CaseError(f'{where}: "{name}" is no name of one file or folder there')


def _drug_order(path: Path, named: Sequence[str]) -> list[str]:
    """Named drugs first, in order, then the shared sites that stand in folders of their own."""
    found = sorted(p.parent.name for p in (path / "drugs").glob("*/drug.toml"))
    for name in named:
        if name not in found:
            raise CaseError(f"{path / 'case.toml'}, key drugs: no folder drugs/{name}{near_miss(name, found)}")
    return [*named, *(name for name in found if name not in named)]


def _read_wiring(folder: Path, parts: Mapping[str, str]) -> Wiring:
    if not folder.is_dir():
        raise CaseError(f"{folder}: no such folder, though case.toml names this mechanism")
    head = _validated(_WiringFile, folder / "mechanism.toml")
    replaced = [p for names in head.variants.values() for v in names.values() for p in (*v.parts, *v.parts.values())]
    for part in (*head.parts, *replaced):
        if part not in parts:
            raise CaseError(f'{folder / "mechanism.toml"}, key parts: no part "{part}"{near_miss(part, parts)}')
    for name in (v.wiring for names in head.variants.values() for v in names.values() if v.wiring is not None):
        _refuse_place(name, f"{folder / 'mechanism.toml'}, key wiring")
    own = folder / "parameters.tsv"
    readme = folder / "README.md"
    return Wiring(
        slug=folder.name,
        title=head.title,
        statement=head.statement,
        group=head.group,
        reference=head.reference,
        parts=head.parts,
        text=_text(folder / "wiring.ant"),
        parameters=read_parameters(own) if own.is_file() else {},
        variants=tuple(
            Variant(
                axis,
                name,
                v.title,
                v.set,
                {p: Prior(prior.distribution, prior.parameters) for p, prior in v.prior.items()},
                None if v.wiring is None else _text(folder / v.wiring),
                v.parts,
                v.partner,
                v.proof,
            )
            for axis, names in head.variants.items()
            for name, v in names.items()
        ),
        edges=tuple(Edge(e.source, e.target, e.sign, e.parameter, e.note) for e in head.chain),
        readme=_text(readme) if readme.is_file() else "",
        requires=head.requires,
    )


def _named_probe(path: Path, name: str, entry: _NamedProbe) -> NamedProbe:
    from .units import parse_time

    where = f'{path / "case.toml"}, probe "{name}"'
    for act in entry.acts:
        for key, fault in act.faults():
            raise CaseError(f"{where}, key {key}: {fault}")
        if act.name or act.start is not None or act.until is not None:
            raise CaseError(f"{where}, key acts: it takes a parameter with set, scale or by")
    lasts = parse_time(entry.until) if entry.until else None
    return NamedProbe(name, entry.title, tuple(act.record() for act in entry.acts), lasts, entry.note)


def _scenes(case: Case, head: _CaseFile) -> dict[str, Scene]:
    from .units import parse_time

    scenes = {}
    for name, scene in head.scenes.items():
        scenes[name] = Scene(name, scene.title, case.regimen(scene.regimen), parse_time(scene.until), scene.note)
    return scenes


def _validated(model: type[BaseModel], path: Path) -> Any:  # noqa: ANN401 - the model's own type
    """Read TOML into a pydantic model; errors name file and line, or file and key path with the near miss."""
    try:
        tables = parse_toml(_text(path))
    except ValueError as error:
        raise CaseError(f"{path}: not valid TOML: {error}") from None
    try:
        return model.model_validate(tables)
    except ValidationError as error:
        detail = error.errors()[0]
        where = ".".join(map(str, detail["loc"]))
        known = [f.alias or n for n, f in model.model_fields.items()]
        hint = near_miss(str(detail["loc"][-1]), known) if detail["type"] == "extra_forbidden" else ""
        raise CaseError(f"{path}, key {where}: {detail['msg'].lower()}{hint}") from None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise CaseError(f"{path}: no such file") from None
    except OSError as error:
        raise CaseError(f"{path}: cannot be read ({(error.strerror or '').lower()})") from None
    except UnicodeDecodeError as error:
        raise CaseError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start})") from None


def _hash(folder: Path) -> str:
    """Fingerprint of every file of the folder that its answers follow from, independent of where it lies."""
    digest = hashlib.sha256()
    computed = {"__pycache__", "nominal", "answers"}
    # a trial that might be run, a picture, a public name: none of them moves a mechanism
    apart = computed | {"designs", REPORT_FILE, ANNOTATIONS_FILE}
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and not apart & {*p.relative_to(folder).parts}):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def _nominals(path: Path) -> dict[str, Nominal]:
    """Files nominal/<mechanism>-<key>.tsv: parameterId, nominalValue."""
    found = {}
    for file in sorted((path / "nominal").glob("*-*.tsv")):
        slug, _, key = file.stem.rpartition("-")
        values = {}
        for number, line in enumerate(_text(file).splitlines()[1:], 2):
            name, _, value = line.partition("\t")
            try:
                values[name] = float(value)
            except ValueError:
                raise CaseError(f'{file}, line {number}: "{value}" is no number') from None
        found[slug] = Nominal(file, key, values)
    return found


def _claims(folder: Path) -> tuple[Claim, ...]:
    file = folder / "claims.toml"
    return read_claims(file) if file.is_file() else ()


def _rules(path: Path, head: _CaseFile) -> Rules | None:
    file = path / "weighing.toml"
    if not file.is_file():
        return None
    return read_rules(
        file,
        {name: scale.top for name, scale in head.scales.items()},
        classes=head.classes,
        outputs=head.outputs,
        parameters=read_parameters(path / "parts" / "parameters.tsv"),
    )


def _trial_values(head: _CaseFile) -> dict[str, float]:
    return {name: float(value) for name, value in head.trial.items() if isinstance(value, int | float)}
