"""Claims as one matrix: a row for each claim, a column for each mechanism, with what it was computed from."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from .case import Case
from .claim import Claim
from .claims import ClaimResult, check_claims, claim_models
from .notebook import Card, Table, brief, listed, percent
from .simulation import build_kernels
from .verdict import Settings, read_bibliography, settings_of

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Column:
    """One mechanism: whether it can be calibrated at nominal values, and how many of its numbers are assumed."""

    slug: str
    title: str
    calibrated: bool
    assumed: int
    numbers: int


@dataclass(frozen=True, slots=True)
class Row:
    """One claim with the answer of each mechanism, None where it was not asked. `owner`: whose own it is, or empty."""

    claim: Claim
    owner: str
    results: tuple[ClaimResult | None, ...]


@dataclass(frozen=True, slots=True)
class Matrix:
    """Claims x mechanisms: those asked of all first, then each mechanism's own. `sources`: bibliography key -> text."""

    title: str
    question: str
    disclaimer: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    sources: Mapping[str, str]
    settings: Settings

    @property
    def results(self) -> tuple[ClaimResult, ...]:
        """Every answer, mechanism by mechanism."""
        of = [[row.results[i] for row in self.rows] for i in range(len(self.columns))]
        return tuple(result for column in of for result in column if result is not None)

    def __repr__(self) -> str:
        """The claims and mechanisms by number and name."""
        return brief("Matrix", {"claims": len(self.rows), "mechanisms": listed(c.slug for c in self.columns)})

    def _repr_html_(self) -> str:
        rows = [(r.claim.id, r.owner, *map(_cell, r.results)) for r in self.rows]
        rows.append(("numbers assumed", "", *(f"{c.assumed} of {c.numbers}" for c in self.columns)))
        caption = "Holds (+) or broken (-) at nominal values, and in % of prior draws; n/c: cannot be calibrated"
        claims = Table(("claim", "own of", *(c.slug for c in self.columns)), rows, caption, words=2)
        largest = max((r.share_error for r in self.results), default=0.0)
        errors = f"Monte-Carlo error of a percentage at most {percent(largest)}"
        facts = (errors, *self.settings.facts, self.disclaimer.rstrip("."))
        return Card(self.title, self.question, (claims,), facts=facts).html()


def fill_matrix(
    case: Case,
    slugs: Sequence[str] | None = None,
    *,
    draws: int = 2000,
    seed: int = 1,
    variants: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> Matrix:
    """Check every claim that is asked of each mechanism (all where None); `progress(text, done, total)` is told.

    Raises CaseError for an unknown mechanism.
    """
    begun = time.perf_counter()
    tell = progress or (lambda text, done, total: None)
    asked = {slug: (*case.claims, *case.own_claims.get(slug, ())) for slug in dict.fromkeys(slugs or case.wirings)}
    models = [model for slug, claims in asked.items() for model in claim_models(case, slug, claims, variants)]
    kernels = build_kernels(models, lambda done, total: tell("compiling", done, total))
    steps = {slug: len({k for c in claims for k in c.conditions}) for slug, claims in asked.items()}
    found: dict[str, dict[str, ClaimResult]] = {}
    for slug, claims in asked.items():
        before, total = sum(steps[s] for s in found), sum(steps.values())

        def tell_condition(done: int, _: int, slug: str = slug, before: int = before, total: int = total) -> None:
            tell(f"claims of {slug}", before + done, total)

        results = check_claims(case, slug, claims, draws=draws, seed=seed, variants=variants, progress=tell_condition)
        found[slug] = {r.claim.id: r for r in results}
    rows = [Row(c, "", tuple(found[s].get(c.id) for s in asked)) for c in case.claims]
    for slug in asked:
        own = case.own_claims.get(slug, ())
        rows += [Row(c, slug, tuple(found[s].get(c.id) if s == slug else None for s in asked)) for c in own]
    texts = read_bibliography(case)
    keys = dict.fromkeys(source_key(row.claim) for row in rows)
    return Matrix(
        title=case.title,
        question=case.question,
        disclaimer=case.disclaimer,
        columns=tuple(_column(case, slug, variants, tuple(found[slug].values())) for slug in asked),
        rows=tuple(row for row in rows if any(r is not None for r in row.results)),
        sources={key: texts.get(key, key) for key in keys},
        settings=settings_of(case, (k.fingerprint for k in kernels), begun, draws=draws, seed=seed, variants=variants),
    )


def _cell(result: ClaimResult | None) -> str:
    if result is None:
        return ""
    mark = "n/c" if result.uncalibrated else "+" if result.holds else "-"
    return f"{mark} {100 * result.share:.0f}"


def source_key(claim: Claim) -> str:
    """The bibliography key of a claim's source, its locator left out."""
    return claim.source.split(",")[0].strip()


def _column(case: Case, slug: str, variants: Mapping[str, str] | None, results: Sequence[ClaimResult]) -> Column:
    mechanism = case.mechanism(slug, case.dosable, variants)
    return Column(
        slug,
        mechanism.title,
        not any(r.uncalibrated for r in results),
        len(mechanism.assumed),
        sum(p.grade != "definition" for p in mechanism.parameters.values()),
    )
