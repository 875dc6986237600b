"""The whole answer over a case: which claims hold in which mechanism, how each compares with published trials."""

from __future__ import annotations

import os
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from .calibration import calibrate_prior
from .case import Case
from .claims import ClaimResult, claim_models, judge_claims
from .display import Column, read_display
from .errors import CaseError, join_words
from .notebook import Card, Table, brief, listed, percent
from .population import Draws
from .replay import REPLAY_PATIENTS, Replay, chronic_drugs, replay_studies
from .simulation import Arm, Tolerances, build_kernels, simulate
from .workers import Tell, Threads, Workers

if TYPE_CHECKING:
    import xarray as xr


@dataclass(frozen=True, slots=True)
class Settings:
    """What an answer was computed with, printed under it. `patients` of a replayed trial, where there is one."""

    draws: int
    patients: int | None
    seed: int
    relative_tolerance: float
    absolute_tolerance: float
    version: str
    case_hash: str
    kernels: tuple[str, ...]
    compiler: str
    seconds: float
    variants: Mapping[str, str] = field(default_factory=dict)

    @property
    def facts(self) -> tuple[str, ...]:
        """The settings in words, for the small print."""
        patients = () if self.patients is None else (f"{self.patients} patients in a replayed trial",)
        variants = tuple(f"variant {axis}={name}" for axis, name in self.variants.items())
        return (
            f"{self.draws} draws", *patients, f"seed {self.seed}", *variants,
            f"rtol {self.relative_tolerance:g}, atol {self.absolute_tolerance:g}", f"antagony {self.version}",
            f"case {self.case_hash}", f"kernels {listed(self.kernels)}",
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class MechanismVerdict:
    """One rival: its calibration, claims, replayed findings and curves.

    `scale` is the solved outcome scale at nominal values; `calibrated` False when no value reaches the finding;
    `outside_prior` flags a solved value beyond its prior; `calibrated_share` of draws that could be calibrated,
    `inside_prior_share` of draws where the solved value also lies inside its prior.
    `explains` of `findings`: published findings within the 95 % predictive interval, those used to calibrate and
    studies that are not weighed left out.
    `curves` over (arm = scene, draw = nominal only, subject = typical, time); `bands` the 5, 50, 95 % over prior draws
    (arm, quantile, time) for a few outputs. `assumed` numbers of `numbers` in the model.
    """

    slug: str
    title: str
    statement: str
    group: str
    reference: bool
    scale: float
    calibrated: bool
    outside_prior: bool
    calibrated_share: float
    inside_prior_share: float
    claims: tuple[ClaimResult, ...]
    own_claims: tuple[ClaimResult, ...]
    replays: tuple[Replay, ...]
    explains: int
    findings: int
    assumed: int
    numbers: int
    failures: tuple[str, ...]
    curves: xr.Dataset
    bands: xr.Dataset

    def __repr__(self) -> str:
        """The rival and what it explains."""
        return brief("MechanismVerdict", {"": self.slug, "explains": f"{self.explains} of {self.findings}"})


@dataclass(frozen=True, slots=True)
class SourceNote:
    """A bibliography key that the numbers of this verdict rest on, and how many rest on it."""

    key: str
    text: str
    numbers: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer over a case, ready to print; each sentence of `summary` and `fragile` is made from the numbers.

    `columns` of the picture of all rivals, as the case shows itself.
    """

    title: str
    question: str
    disclaimer: str
    scenes: Mapping[str, str]
    mechanisms: tuple[MechanismVerdict, ...]
    summary: tuple[str, ...]
    fragile: tuple[str, ...]
    studies: tuple[str, ...]
    sources: tuple[SourceNote, ...]
    settings: Settings
    columns: tuple[Column, ...] = ()

    def __repr__(self) -> str:
        """The rivals, and what each explains."""
        return brief("Verdict", {m.slug: f"{m.explains}/{m.findings}" for m in self.mechanisms})

    def _repr_html_(self) -> str:
        rows = [
            (
                m.title, m.slug, f"{m.explains} of {m.findings}",
                f"{sum(r.holds for r in m.claims)} of {len(m.claims)}", f"{m.assumed} of {m.numbers}",
                percent(m.calibrated_share), str(len(m.failures)),
            )
            for m in self.mechanisms
        ]  # fmt: skip
        heads = (
            "mechanism", "", "findings explained", "claims kept", "numbers assumed", "draws calibrated", "failed runs",
        )  # fmt: skip
        errors = [r.share_error for m in self.mechanisms for r in (*m.claims, *m.own_claims)]
        error = f"Monte-Carlo error of a claim's share at most {percent(max(errors, default=0.0))}"
        facts = (error, *self.settings.facts, self.disclaimer.rstrip("."))
        table = Table(heads, rows, words=2)
        return Card(self.title, self.question, (table,), sentences=(*self.summary, *self.fragile), facts=facts).html()


SCENES = 3
"""Scenes that every figure shows: the first ones of the case."""

BAND_DRAWS = 200
QUANTILES = (0.05, 0.5, 0.95)
CURVE_POINTS = 161
CLOSE = 0.05  # share of the findings within which two counts are as good as equal

Progress = Callable[[str, int, int], None]


def reach_verdict(
    case: Case,
    *,
    mechanisms: Sequence[str] | None = None,
    draws: int = 2000,
    patients: int = REPLAY_PATIENTS,
    seed: int = 1,
    workers: Workers | None = None,
    progress: Progress | None = None,
) -> Verdict:
    """Check every claim, replay every study and draw every scene, for each mechanism by the same rule.

    `workers` take a mechanism each, threads of this machine where None; `progress(text, done, total)` is told before
    each step. Raises CaseError for an unknown mechanism.
    """
    begun = time.perf_counter()
    slugs = list(mechanisms or case.wirings)
    for slug in slugs:
        case.wiring(slug)
    tell = _Teller(progress, 1 + len(slugs) * (2 + len(case.studies)))
    tell("compiling")
    if workers is None or not workers.afar:
        compile_models(case, slugs)
    many = Threads(min(len(slugs), 1 + (os.cpu_count() or 1)))  # one's Python beside the kernels of others
    asked = _Asked(case, draws, patients, seed, read_display(case).outputs)
    answers = tuple((workers or many).run(_judge, asked, slugs, tell=tell))
    kernels = [a.curves.attrs["kernel"] for a in answers]
    settings = settings_of(case, kernels, begun, draws=draws, seed=seed, patients=patients)
    return Verdict(
        title=case.title,
        question=case.question,
        disclaimer=case.disclaimer,
        scenes={name: f"{case.scenes[name].title}: {case.scenes[name].regimen.text()}" for name in _scene_names(case)},
        mechanisms=answers,
        summary=_summary(case, answers),
        fragile=_fragile(case, answers),
        studies=_studies(case),
        sources=_sources(case, slugs),
        settings=settings,
        columns=read_display(case).columns,
    )


def compile_models(case: Case, slugs: Sequence[str]) -> None:
    """Compose and compile every model that a verdict asks for."""
    families = (*case.families, *chronic_drugs(case))
    models = [case.mechanism(slug, family) for slug in slugs for family in families]
    for slug in slugs:
        models += claim_models(case, slug, (*case.claims, *case.own_claims.get(slug, ())))
    build_kernels(models)


@dataclass
class _Teller:
    progress: Progress | None
    total: int
    done: int = 0

    def __call__(self, text: str) -> None:
        if self.progress is not None:
            self.progress(text, self.done, self.total)
        self.done += 1


@dataclass(frozen=True, slots=True)
class _Asked:
    """What every mechanism is asked; `outputs` whose spread is shown."""

    case: Case
    draws: int
    patients: int
    seed: int
    outputs: Sequence[str]


def _judge(asked: _Asked, slug: str, tell: Tell) -> MechanismVerdict:
    case, patients, seed = asked.case, asked.patients, asked.seed
    wiring = case.wiring(slug)
    calibrated = calibrate_prior(case, slug, asked.draws, seed=seed)
    nominal, prior = calibrated.nominal, calibrated.sampled
    tell(f"{slug}: claims")
    own = case.own_claims.get(slug, ())
    results = judge_claims(case, slug, (*case.claims, *own), calibrated)
    ids = {claim.id for claim in own}
    replays = replay_studies(case, slug, patients=patients, seed=seed, tell=lambda study: tell(f"{slug}: {study}"))
    tell(f"{slug}: scenes")
    curves, bands, failures = _curves(asked, slug, nominal.draws, prior.draws.take(prior.reached))
    counted = [r for r in replays if r.counts and r.agrees is not None]
    mechanism = case.mechanism(slug, case.dosable)
    return MechanismVerdict(
        slug=slug,
        title=wiring.title,
        statement=wiring.statement,
        group=case.groups.get(wiring.group, wiring.group),
        reference=wiring.reference,
        scale=float(nominal.draws.values[nominal.parameter][0]),
        calibrated=bool(nominal.reached[0]),
        outside_prior=bool(nominal.outside[0]),
        calibrated_share=float(prior.reached.mean()),
        inside_prior_share=float((prior.reached & ~prior.outside).mean()),
        claims=tuple(r for r in results if r.claim.id not in ids),
        own_claims=tuple(r for r in results if r.claim.id in ids),
        replays=replays,
        explains=sum(bool(r.agrees) for r in counted),
        findings=sum(r.counts for r in replays),
        assumed=len(mechanism.assumed),
        numbers=sum(p.grade != "definition" for p in mechanism.parameters.values()),
        failures=tuple(failures),
        curves=curves,
        bands=bands,
    )


def _scene_names(case: Case) -> list[str]:
    names = list(case.scenes)[:SCENES]
    if not names:
        raise CaseError(f"{case.folder / 'case.toml'}: no scene to draw; write one below [scenes.<name>]")
    return names


def _curves(asked: _Asked, slug: str, nominal: Draws, prior: Draws) -> tuple[xr.Dataset, xr.Dataset, list[str]]:
    """Scenes at nominal values, and the 5, 50 and 95 % of a few readouts over prior draws that could be calibrated."""
    import xarray as xr

    case = asked.case
    scenes = {name: case.scenes[name] for name in _scene_names(case)}
    arms = {name: Arm(scene.regimen, (), case.trial) for name, scene in scenes.items()}
    first = min([-1.0, *(arm.regimen.first for arm in arms.values() if arm.regimen.doses)])
    last = max(scene.until for scene in scenes.values())
    times = np.sinh(np.linspace(np.arcsinh(4 * first), np.arcsinh(4 * last), CURVE_POINTS)) / 4
    mechanism = case.mechanism_for(slug, {d for arm in arms.values() for d in arm.regimen.drugs})
    curves = simulate(mechanism, arms, times, draws=nominal)
    some = prior.take(np.arange(prior.size) < BAND_DRAWS) if prior.size else nominal
    outputs = [name for name in asked.outputs if name in mechanism.outputs]
    spread = simulate(mechanism, arms, times, draws=some, outputs=outputs)
    bands = spread.isel(subject=0).quantile(QUANTILES, dim="draw", skipna=True, keep_attrs=True)
    bands = xr.Dataset({n: b.transpose("arm", "quantile", "time") for n, b in bands.data_vars.items()})
    return curves, bands, [*curves.attrs["failures"], *spread.attrs["failures"]]


# --- sentences -------------------------------------------------------------------------------------------------------


def _summary(case: Case, answers: Sequence[MechanismVerdict]) -> tuple[str, ...]:
    """What the numbers say, in plain words."""
    lines = []
    rivals = [a for a in answers if not a.reference]
    for a in sorted(answers, key=lambda a: -a.explains):
        calibrated = (
            ""
            if a.calibrated
            else "; it cannot be calibrated: at nominal values no outcome scale reaches the finding it is solved from"
        )
        kept = sum(r.holds for r in a.claims)
        lines.append(
            f"{a.title} ({a.slug}) explains {a.explains} of {a.findings} published findings and keeps {kept} of "
            f"{len(a.claims)} claims asked of all{calibrated}."
        )
    if rivals:
        best, total = max(a.explains for a in rivals), rivals[0].findings
        near = sorted((a for a in rivals if a.explains >= best - CLOSE * total), key=lambda a: -a.explains)
        leaders, least = [a.slug for a in near], near[-1].explains
        also = f"{total} finding{'s' * (total != 1)}{_shared_patients(case, rivals[0])}"
        if len(leaders) > 1:
            span = f"{best}" if least == best else f"{least} to {best}"
            lines.append(f"A count cannot tell {join_words(leaders)} apart: they explain {span} of {also}.")
        else:
            lines.append(f"Most is explained by {leaders[0]}: {best} of {also}.")
        lines.append("A count of findings is no probability, and agreement within a wide interval is no proof.")
    lines.append(f"Claims test what is said of a mechanism{_one_source(case)}; keeping them is no evidence.")
    return tuple(lines)


def _shared_patients(case: Case, answer: MechanismVerdict) -> str:
    """Says so where several of the findings that are counted are of one sample."""
    samples = [case.studies[r.study].sample for r in answer.replays if r.counts and r.study in case.studies]
    return ", of which several concern the same patients" if len(set(samples)) < len(samples) else ""


def _one_source(case: Case) -> str:
    """Says so where most claims that all mechanisms are asked come from one source."""
    ((source, most),) = Counter(claim.source for claim in case.claims).most_common(1) or [("", 0)]
    return f"; most come from one source ({source})" if 2 * most > len(case.claims) > 1 else ""


def _fragile(case: Case, answers: Sequence[MechanismVerdict]) -> tuple[str, ...]:
    """What hangs on assumptions, and how far, answers that turn first; what several mechanisms share is said once."""
    counts = []
    for a in answers:
        outside = "; the solved outcome scale lies outside its prior" if a.outside_prior else ""
        reach = "" if a.reference else (
            f"; the outcome scale can be solved in {100 * a.calibrated_share:.0f} % of prior draws, "
            f"inside its own prior in {100 * a.inside_prior_share:.0f} %"
        )  # fmt: skip
        counts.append(f"{a.slug}: {a.assumed} of {a.numbers} numbers are assumed{reach}{outside}.")
    doubtful: dict[tuple[str, bool], list[ClaimResult]] = {}
    for a in answers:
        for result in (*a.claims, *a.own_claims):
            if result.holds != (result.share > 0.5):
                doubtful.setdefault((result.claim.id, result.holds), []).append(result)
    lines = [_doubt(results, len(answers)) for results in doubtful.values()]
    if case.cutoff:
        lines.append(f"Evidence cut-off: {case.cutoff}.")
    return (*lines, *read_display(case).caveats, *counts)


def _doubt(results: Sequence[ClaimResult], everyone: int) -> str:
    """A claim whose verdict at nominal values is not that of most draws."""
    who = "every mechanism" if len(results) == everyone > 1 else join_words([r.mechanism for r in results])
    shares = sorted(round(100 * r.share) for r in results)
    span = f"{shares[0]}" if shares[0] == shares[-1] else f"{shares[0]}-{shares[-1]}"
    state = "holds at nominal values but in" if results[0].holds else "is broken at nominal values yet holds in"
    return f"{results[0].claim.id} ({who}) {state} {span} % of draws{_parted(results[0])}."


def _parted(result: ClaimResult) -> str:
    if not result.separating:
        return ""
    parts = [f"{s.parameter} {'high' if s.higher_holds else 'low'}" for s in result.separating[:2]]
    return f" (it wants {' and '.join(parts)})"


def _studies(case: Case) -> tuple[str, ...]:
    return tuple(
        f"{study.id} ({study.date}): {study.title}; {len(study.findings)} findings, {study.role}"
        for study in case.studies.values()
    )


def _sources(case: Case, slugs: Sequence[str]) -> tuple[SourceNote, ...]:
    """Bibliography entries that the mechanisms' numbers name, most used first."""
    counted: Counter[str] = Counter()
    for slug in slugs:
        for parameter in case.mechanism(slug, case.dosable).parameters.values():
            if parameter.source:
                counted[parameter.source.split(",")[0].strip()] += 1
    texts = read_bibliography(case)
    return tuple(SourceNote(key, texts.get(key, key), n) for key, n in counted.most_common())


DESCRIBED = "short description"
DESCRIBED_MARK = "description, not its title"


def is_described(fields: Mapping[str, str]) -> bool:
    """Whether a BibTeX entry says, in its note or comment, that it holds a description in place of the title.

    >>> is_described({"note": "short description; PMC3438357"}), is_described({"note": "letter, no data"})
    (True, False)
    """
    return any(DESCRIBED in fields.get(name, "").lower() for name in ("note", "comment"))


def read_bibliography(case: Case) -> dict[str, str]:
    """Key -> one line of text for each entry of the case's references.bib: author, year, title, where to find it."""
    path = case.folder / "references.bib"
    if not path.is_file():
        raise CaseError(f"{path}: no such file; every number's source stands there")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise CaseError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start})") from None
    entries = {}
    for entry in re.split(r"\n(?=@)", text):
        head = re.match(r"@\w+\{\s*([^,\s]+)\s*,", entry)
        if not head:
            continue
        fields = {k.lower(): v for k, v in re.findall(r"\b(\w+)\s*=\s*[{\"]([^{}\"]*)[}\"]", entry)}
        if fields.get("title") and is_described(fields):
            fields["title"] += f" [{DESCRIBED_MARK}]"
        shown = [fields.get(k, "") for k in ("author", "year", "title", "journal", "doi", "howpublished", "url")]
        entries[head.group(1)] = ". ".join(part.replace("\\_", "_") for part in shown if part)
    return entries


def settings_of(
    case: Case,
    kernels: Iterable[str],
    begun: float,
    *,
    draws: int,
    seed: int,
    patients: int | None = None,
    variants: Mapping[str, str] | None = None,
) -> Settings:
    """The settings of an answer whose work began at `begun` [s, perf_counter]."""
    from . import __version__
    from .kernel.build import find_compiler

    used, seconds = Tolerances(), time.perf_counter() - begun
    return Settings(
        draws, patients, seed, used.relative, used.absolute, __version__, case.hash, tuple(kernels),
        find_compiler().identity, seconds, dict(variants or {}),
    )  # fmt: skip
