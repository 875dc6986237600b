"""A case: one folder of drugs, parts, mechanisms, claims, studies and designs around one question.

Opening a folder reads text and runs none of it. Adding a drug, a mechanism or a study adds a folder or a file.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .composition import Receptor, Sum, Text, join, sums_text
from .drug import Drug, read_drug
from .errors import CaseError, near_miss
from .mechanism import Edge, Mechanism, Output, Variant, Wiring
from .parameters import Parameter, Prior, read_parameters
from .regimen import Regimen, parse_regimen
from .study import Claim, Study, read_claims, read_study

PACKAGED = "ketamine"
WEEK = 168.0  # h


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


class _Group(_Strict):
    title: str
    statement: str = ""


class _Scene(_Strict):
    title: str
    regimen: str
    until: str = "7 d"
    note: str = ""


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
    mechanisms: tuple[str, ...]
    cutoff: str = ""
    classes: dict[str, _Group] = Field(default_factory=dict)
    receptors: dict[str, _Receptor] = Field(default_factory=dict)
    exposures: dict[str, _Sum] = Field(default_factory=dict)
    outputs: dict[str, _Output] = Field(default_factory=dict)
    scenes: dict[str, _Scene] = Field(default_factory=dict)
    trial: dict[str, Any] = Field(default_factory=dict)
    calibration: _Calibration | None = None


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


class _WiringFile(_Strict):
    title: str
    statement: str
    group: Annotated[str, Field(alias="class")] = ""
    reference: bool = False
    parts: tuple[str, ...]
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
class Calibration:
    """The one number that every mechanism may solve for, and the finding that it is solved from."""

    parameter: str
    study: str
    finding: str
    note: str = ""


@dataclass(frozen=True)
class Case:
    """Everything a folder holds. Mechanisms are composed on demand, for the drugs in play."""

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
    outputs: Mapping[str, Output]
    scenes: Mapping[str, Scene]
    claims: tuple[Claim, ...]
    own_claims: Mapping[str, tuple[Claim, ...]]
    studies: Mapping[str, Study]
    trial: Mapping[str, float]
    calibration: Calibration | None
    _composed: dict[Any, Mechanism] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def dosable(self) -> tuple[str, ...]:
        """Drugs that a regimen may name."""
        return tuple(name for name, drug in self.drugs.items() if drug.routes)

    def wiring(self, slug: str) -> Wiring:
        """A rival by its folder name; raises CaseError with the near miss."""
        if slug not in self.wirings:
            raise CaseError(f'{self.folder.name} has no mechanism "{slug}"{near_miss(slug, self.wirings)}')
        return self.wirings[slug]

    def regimen(self, text: str) -> Regimen:
        """Prescription text -> regimen, its drugs and routes checked against the case."""
        return parse_regimen(text, drugs={name: tuple(self.drugs[name].routes) for name in self.dosable})

    def notes(self, regimen: Regimen) -> tuple[str, ...]:
        """Sentences on doses outside what labels or trials usually give; such a regimen runs all the same."""
        return tuple(
            note for name in regimen.drugs if name in self.drugs for note in _label_notes(self.drugs[name], regimen)
        )

    def parameters(self, slug: str, variants: Mapping[str, str] | None = None) -> dict[str, Parameter]:
        """Every row in scope of a mechanism: shared parts, all drugs, its own; variants applied."""
        wiring = self.wiring(slug)
        rows = dict(self.shared)
        for source in (*(drug.parameters for drug in self.drugs.values()), wiring.parameters):
            rows |= source
        for variant in self._variants(wiring, variants):
            rows |= _varied(rows, variant, wiring)
        return rows

    def mechanism(self, slug: str, drugs: Iterable[str] = (), variants: Mapping[str, str] | None = None) -> Mechanism:
        """Compose a mechanism for a set of drugs and a choice of variants ({axis: name}; none: the base)."""
        present = self.with_required(drugs)
        key = (slug, present, tuple(sorted((variants or {}).items())))
        if key not in self._composed:
            self._composed[key] = self._compose(slug, present, variants)
        return self._composed[key]

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
        holders = [family for family in self.families if wanted <= family]
        return self.mechanism(slug, min(holders, key=len) if holders else wanted, variants)

    def with_required(self, drugs: Iterable[str]) -> tuple[str, ...]:
        """The drugs and the shared sites that they require, in the case's order."""
        wanted, stack = set(), list(drugs)
        while stack:
            name = stack.pop()
            if name not in self.drugs:
                raise CaseError(f'{self.folder.name} has no drug "{name}"{near_miss(name, self.drugs)}')
            if name not in wanted:
                wanted.add(name)
                stack += self.drugs[name].requires
        return tuple(name for name in self.drugs if name in wanted)

    def _variants(self, wiring: Wiring, chosen: Mapping[str, str] | None) -> list[Variant]:
        found = []
        for axis, name in sorted((chosen or {}).items()):
            variant = wiring.variant(axis, name)
            if variant is None:
                known = [f"{v.axis}={v.name}" for v in wiring.variants]
                raise CaseError(f"{wiring.slug} has no variant {axis}={name}{near_miss(f'{axis}={name}', known)}")
            found.append(variant)
        return found

    def _compose(self, slug: str, present: tuple[str, ...], variants: Mapping[str, str] | None) -> Mechanism:
        wiring = self.wiring(slug)
        chosen = self._variants(wiring, variants)
        drugs = {name: self.drugs[name] for name in present}
        wiring_text = next((v.wiring for v in chosen if v.wiring is not None), wiring.text)
        texts = [
            sums_text(self.receptors, self.sums, list(drugs.values())),
            *(Text(f"drugs/{name}/model.ant", drug.model) for name, drug in drugs.items()),
            *(Text(f"parts/{part}.ant", self.parts[part]) for part in wiring.parts),
            Text(f"mechanisms/{slug}/wiring.ant", wiring_text),
        ]
        rows = self.parameters(slug, variants)
        joined = join(slug, self.prelude, texts, rows)
        outputs = {s: o for s, o in self.outputs.items() if s in joined.symbols}
        for drug in drugs.values():
            outputs |= {o.symbol: Output(o.symbol, o.title, o.unit) for o in drug.outputs}
        targets = [t for d in drugs.values() for r in d.routes.values() for t in r.targets]
        dosing = {a for t in targets for a in t.amounts.values() if isinstance(a, str)} | {"bodyweight"}
        return Mechanism(
            slug=slug,
            title=wiring.title,
            drugs=drugs,
            variants=tuple(f"{v.axis}={v.name}" for v in chosen),
            antimony=joined.antimony,
            sbml=joined.sbml,
            parameters={name: rows[name] for name in joined.needed},
            dosing={name: rows[name] for name in sorted(dosing & rows.keys())},
            inputs=tuple(sorted({t.input for t in targets})),
            outputs=outputs,
            state_units=joined.state_units,
            case_hash=self.hash,
        )


def _label_notes(drug: Drug, regimen: Regimen) -> Iterator[str]:
    """How the doses of one drug differ from its label."""
    from .units import parse_dose

    label = drug.label
    if label is None:
        return
    usual = {parse_dose(text) for text in label.doses}
    given = [dose for dose in regimen.doses if dose.drug == drug.name]
    for amount, per_kg in sorted({(dose.amount, dose.per_kg) for dose in given} - usual):
        unit = "mg/kg" if per_kg else "mg"
        yield f"{drug.name} {amount:g} {unit} is not one of the usual doses ({', '.join(label.doses)})"
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


def open_case(folder: Path | str | None = None) -> Case:
    """Open a case folder, or the packaged case when none is named. Raises CaseError naming file, line or key."""
    path = Path(str(files("antagony") / "cases" / PACKAGED)) if folder is None else Path(folder)
    if not (path / "case.toml").is_file():
        raise CaseError(f"{path}: no case.toml here; a case is a folder that holds one")
    head = _validated(_CaseFile, path / "case.toml")
    drugs = {name: read_drug(path / "drugs" / name) for name in _drug_order(path, head.drugs)}
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
        outputs={name: Output(name, o.title, o.unit, o.short) for name, o in head.outputs.items()},
        scenes={},
        claims=read_claims(path / "claims.toml"),
        own_claims={
            slug: read_claims(file) if (file := path / "mechanisms" / slug / "claims.toml").is_file() else ()
            for slug in wirings
        },
        studies={file.stem: read_study(file) for file in sorted((path / "studies").glob("*.toml"))},
        trial={},
        calibration=Calibration(**head.calibration.model_dump()) if head.calibration else None,
    )
    return replace(case, scenes=_scenes(case, head), trial=_trial_values(head))


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
    for part in head.parts:
        if part not in parts:
            raise CaseError(f'{folder / "mechanism.toml"}, key parts: no part "{part}"{near_miss(part, parts)}')
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
            )
            for axis, names in head.variants.items()
            for name, v in names.items()
        ),
        edges=tuple(Edge(e.source, e.target, e.sign, e.parameter, e.note) for e in head.chain),
        readme=_text(readme) if readme.is_file() else "",
    )


def _scenes(case: Case, head: _CaseFile) -> dict[str, Scene]:
    from .units import parse_time

    scenes = {}
    for name, scene in head.scenes.items():
        scenes[name] = Scene(name, scene.title, case.regimen(scene.regimen), parse_time(scene.until), scene.note)
    return scenes


def _validated(model: type[BaseModel], path: Path) -> Any:  # noqa: ANN401 - the model's own type
    """Read TOML into a pydantic model; errors name file and line, or file and key path with the near miss."""
    try:
        tables = tomllib.loads(_text(path))
    except tomllib.TOMLDecodeError as error:
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
    except UnicodeDecodeError as error:
        raise CaseError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start})") from None


def _hash(folder: Path) -> str:
    """Fingerprint of every file of the folder, independent of where it lies."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def _trial_values(head: _CaseFile) -> dict[str, float]:
    return {name: float(value) for name, value in head.trial.items() if isinstance(value, int | float)}
