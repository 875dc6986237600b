"""The report of a model as guidance on quantitative systems pharmacology asks for it: one HTML file, fit to print.

A shared part (purpose, equations, numbers, method) and a chapter for each mechanism. What is stored is read, what can
be computed in seconds is computed, and what is missing is named with the reason. The clock is left out: the same case,
seed and stored answers give the same bytes.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .calibration import Calibrated, calibrate, nominal_draws
from .case import Case
from .claims import ClaimResult, check_claims
from .composition import check_units
from .display import read_display, shown_output
from .errors import CaseError, PosteriorError, ReportError
from .identifiability import Identifiability, Tie, find_identifiability, read_ties
from .kernel.build import build_kernel
from .mechanism import Mechanism, Wiring
from .model_equations import Part, count_equations, list_equations
from .parameters import Parameter
from .posterior.answer import Weighed, Weighing
from .posterior.storage import has_stale_answer, read_answer
from .replay import Replay, replay_studies
from .sensitivity import Question, Sensitivity, ask_question, check_library, find_sensitivity
from .verdict import Settings, read_bibliography, settings_of
from .verification import Proof, Refined, find_reports, list_versions, read_proofs, refine

if TYPE_CHECKING:
    from .claim import Claim

Progress = Callable[[str, int, int], None]

DRAWS, QUICK_DRAWS = 500, 100  # prior draws over which claims are checked
SAMPLES, QUICK_SAMPLES = 512, 64  # base points of the sensitivity analysis
REPLAYED = 24  # prior draws and patients of a replay where no weighing is stored
STEPS = 5  # that a mechanism's chapter takes


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is computed: prior draws, base points for sensitivity, and whether local slopes are taken."""

    draws: int
    samples: int
    slopes: bool


@dataclass(frozen=True, slots=True)
class Rows:
    """Numbers of a model: those assumed, and the others, in the order of their files."""

    assumed: tuple[Parameter, ...]
    others: tuple[Parameter, ...]

    @property
    def count(self) -> int:
        """All of them."""
        return len(self.assumed) + len(self.others)


@dataclass(frozen=True, slots=True)
class Chapter:
    """One mechanism: its text and model, and each answer or, in `missing`, by section, why there is none.

    `parts` and `rows` are its own, less what all mechanisms of the report share; `nominal`: computed nominal values by
    parameter id; `unit_issues` of libSBML's check. `weighed`: the stored answer; `replays` where there is none.
    """

    wiring: Wiring
    group: str
    mechanism: Mechanism
    kernel: str
    labels: Mapping[str, str]
    parts: tuple[Part, ...]
    rows: Rows
    totals: Mapping[str, int]
    nominal: Mapping[str, float]
    unit_issues: tuple[str, ...]
    refined: tuple[Refined, ...]
    claims: tuple[ClaimResult, ...]
    calibrated: Calibrated | None
    weighed: Weighed | None
    replays: tuple[Replay, ...]
    sensitivity: tuple[Sensitivity, ...]
    identifiability: Identifiability | None
    ties: tuple[Tie, ...] | None
    missing: Mapping[str, str]

    @property
    def slug(self) -> str:
        """The mechanism's name on the command line."""
        return self.wiring.slug


@dataclass(frozen=True, slots=True)
class ModelReport:
    """Everything that a report shows. `parts` and `rows` are what all chapters share, empty where there is one only."""

    case: Case
    effort: Effort
    settings: Settings
    question: Question | None
    chapters: tuple[Chapter, ...]
    parts: tuple[Part, ...]
    rows: Rows
    weighing: Weighing | None
    proofs: tuple[Proof, ...]
    versions: Mapping[str, str]
    bibliography: Mapping[str, str]
    caveats: tuple[str, ...]

    @property
    def equations(self) -> int:
        """Equations shown, each once."""
        return count_equations(self.parts) + sum(count_equations(c.parts) for c in self.chapters)


def build_report(
    case: Case,
    mechanisms: Sequence[str] | None = None,
    *,
    draws: int | None = None,
    seed: int = 1,
    quick: bool = False,
    progress: Progress | None = None,
) -> ModelReport:
    """Gather a report on some mechanisms (all that are no reference) of a case.

    `draws` over which claims are checked (DRAWS; QUICK_DRAWS for a `quick` report, which also takes fewer points for
    sensitivity and leaves local identifiability out). `progress(text, done, total)` is told before each step.
    Raises CaseError for an unknown mechanism, ReportError without the library for sensitivity.
    """
    begun = time.perf_counter()
    check_library()  # before minutes of work, not after them
    slugs = _choose(case, mechanisms)
    usual, samples = (QUICK_DRAWS, QUICK_SAMPLES) if quick else (DRAWS, SAMPLES)
    effort = Effort(draws or usual, samples, slopes=not quick)
    tell = _Teller(progress, len(slugs) * (STEPS + 1))
    models = {}
    for slug in slugs:
        tell(f"{slug}: equations")
        models[slug] = case.mechanism(slug, case.dosable)
    parts = {slug: list_equations(case, model) for slug, model in models.items()}
    rows = {slug: {**m.parameters, **m.dosing} for slug, m in models.items()}
    shared_parts = _shared(parts.values())
    shared_rows = _shared(tuple(r.values()) for r in rows.values())
    weighing = read_answer(case)
    gatherer = _Gatherer(case, effort, seed, weighing, tell)
    chapters = tuple(
        gatherer.chapter(
            models[slug],
            tuple(p for p in parts[slug] if p not in shared_parts),
            _rows(p for p in rows[slug].values() if p not in shared_rows),
        )
        for slug in slugs
    )
    return ModelReport(
        case=case,
        effort=effort,
        settings=settings_of(case, [c.kernel for c in chapters], begun, draws=effort.draws, seed=seed),
        question=_question(case),
        chapters=chapters,
        parts=shared_parts,
        rows=_rows(shared_rows),
        weighing=weighing,
        proofs=read_proofs(find_reports()),
        versions=list_versions(),
        bibliography=read_bibliography(case) if (case.folder / "references.bib").is_file() else {},
        caveats=read_display(case).caveats,
    )


def _choose(case: Case, mechanisms: Sequence[str] | None) -> list[str]:
    """The mechanisms that are asked for, each once, or all that are no reference."""
    slugs = list(dict.fromkeys(mechanisms or [s for s, wiring in case.wirings.items() if not wiring.reference]))
    for slug in slugs:
        case.wiring(slug)
    if not slugs:
        raise CaseError(f"{case.folder.name}: every mechanism is a reference; name the ones that the report is about")
    return slugs


def _shared(groups: Iterable[Sequence]) -> tuple:
    """What every group holds, in the order of the first; nothing where there is one group only."""
    first, *others = list(groups)
    return tuple(thing for thing in first if all(thing in other for other in others)) if others else ()


def _rows(parameters: Iterable[Parameter]) -> Rows:
    listed = sorted(parameters, key=lambda p: (_place(p.file), p.line))
    return Rows(
        tuple(p for p in listed if p.grade == "assumed"),
        tuple(p for p in listed if p.grade != "assumed"),
    )


def _place(file: str) -> str:
    """The folder of a table within its case."""
    return "/".join(Path(file).parts[-3:-1])


def _question(case: Case) -> Question | None:
    try:
        return ask_question(case)
    except ReportError:  # each chapter says why
        return None


@dataclass
class _Teller:
    progress: Progress | None
    total: int
    done: int = 0

    def __call__(self, text: str) -> None:
        if self.progress is not None:
            self.progress(text, self.done, self.total)
        self.done += 1


class _Gatherer:
    """Fills chapters, one mechanism after another, and notes why an answer is missing."""

    def __init__(
        self, case: Case, effort: Effort, seed: int, weighing: Weighing | None, tell: Callable[[str], None]
    ) -> None:
        self.case, self.effort, self.seed, self.weighing, self.tell = case, effort, seed, weighing, tell

    def chapter(self, mechanism: Mechanism, parts: tuple[Part, ...], rows: Rows) -> Chapter:
        case, slug, missing = self.case, mechanism.slug, {}
        wiring = case.wiring(slug)
        self.tell(f"{slug}: compiling and solving")
        family = case.mechanism_for(slug, {d for scene in case.scenes.values() for d in scene.regimen.drugs})
        kernel = build_kernel(family.sbml, inputs=family.inputs).fingerprint
        calibrated = self._calibrate(slug, missing)
        refined = refine(case, slug) if calibrated is not None or case.calibration is None else ()
        self.tell(f"{slug}: claims")
        claims = self._claims(slug, missing)
        weighed, replays = self._findings(slug, missing)
        sensitivity = self._sensitivity(slug, missing)
        identifiability, ties = self._identify(slug, missing)
        return Chapter(
            wiring=wiring,
            group=case.groups.get(wiring.group, wiring.group),
            mechanism=mechanism,
            kernel=kernel,
            labels=_labels(case, wiring),
            parts=parts,
            rows=rows,
            totals=dict(Counter(p.grade for p in {**mechanism.parameters, **mechanism.dosing}.values())),
            nominal={} if "calibration" in missing else case.nominal_values(slug),
            unit_issues=tuple(f"{symbol}: {issue}".removeprefix(": ") for symbol, issue in check_units(mechanism.sbml)),
            refined=refined,
            claims=claims,
            calibrated=calibrated,
            weighed=weighed,
            replays=replays,
            sensitivity=sensitivity,
            identifiability=identifiability,
            ties=ties,
            missing=missing,
        )

    def _calibrate(self, slug: str, missing: dict[str, str]) -> Calibrated | None:
        if self.case.calibration is None:
            missing["calibration"] = "the case names no finding from which the outcome scale is solved"
            return None
        try:
            return calibrate(self.case, slug, nominal_draws(self.case, slug))
        except CaseError as error:
            missing["calibration"] = str(error)
            return None

    def _claims(self, slug: str, missing: dict[str, str]) -> tuple[ClaimResult, ...]:
        asked: tuple[Claim, ...] = (*self.case.claims, *self.case.own_claims.get(slug, ()))
        if not asked:
            missing["claims"] = "the case makes no claim about this mechanism"
            return ()
        if "calibration" in missing:
            missing["claims"] = f"claims are judged at the solved outcome scale, and {missing['calibration']}"
            return ()
        return check_claims(self.case, slug, asked, draws=self.effort.draws, seed=self.seed)

    def _findings(self, slug: str, missing: dict[str, str]) -> tuple[Weighed | None, tuple[Replay, ...]]:
        """The stored answer on a mechanism, or a replay of the studies."""
        case = self.case
        known = None if self.weighing is None else [w.slug for w in self.weighing.mechanisms]
        if self.weighing is not None and known and slug in known:
            self.tell(f"{slug}: stored answer")
            return self.weighing.weighed(slug), ()
        if known is not None:
            missing["weighing"] = f"the stored answer of antagony weigh does not hold {slug}"
        elif has_stale_answer(case):
            missing["weighing"] = (
                "the answer stored beside the case belongs to another state of it; renew it with: antagony weigh"
            )
        elif case.rules is None:
            missing["weighing"] = "the case has no weighing.toml, so there are no rules by which to score a study"
        else:
            missing["weighing"] = "no answer of antagony weigh is stored for this case; make one with: antagony weigh"
        self.tell(f"{slug}: studies replayed")
        if not case.studies:
            missing["findings"] = "the case holds no study, so nothing published is compared with the model"
            return None, ()
        if "calibration" in missing:
            missing["findings"] = f"studies are replayed at the solved outcome scale, and {missing['calibration']}"
            return None, ()
        return None, replay_studies(case, slug, patients=REPLAYED, draws=REPLAYED, seed=self.seed)

    def _sensitivity(self, slug: str, missing: dict[str, str]) -> tuple[Sensitivity, ...]:
        try:
            ask_question(self.case)
        except ReportError as error:
            missing["sensitivity"] = str(error)
            self.tell(f"{slug}: nothing to ask")
            return ()
        found = find_sensitivity(self.case, slug, samples=self.effort.samples, seed=self.seed, tell=self.tell)
        if not found:
            missing["sensitivity"] = "no number of this model has a prior"
        return found

    def _identify(self, slug: str, missing: dict[str, str]) -> tuple[Identifiability | None, tuple[Tie, ...] | None]:
        ties = None
        if self.weighing is not None and "weighing" not in missing:
            ties = read_ties(self.case, slug, self.weighing.effort, self.weighing.settings.seed)
        if ties is None:
            missing["ties"] = "no posterior draws of antagony weigh are stored on this machine for this state"
        if not self.effort.slopes:
            self.tell(f"{slug}: identifiability left out")
            missing["identifiability"] = "a quick report leaves it out; run antagony report without --quick"
            return None, ties
        try:
            return find_identifiability(self.case, slug, tell=self.tell), ties
        except (PosteriorError, CaseError) as error:
            missing["identifiability"] = str(error)
            return None, ties


def _labels(case: Case, wiring: Wiring) -> dict[str, str]:
    """What the nodes of a diagram are called."""
    names = dict.fromkeys(name for e in wiring.edges for name in (e.source, e.target))
    outputs = {name: case.outputs.get(shown_output(case, name)) for name in names}
    return {name: name if o is None else o.short or o.title for name, o in outputs.items()}
