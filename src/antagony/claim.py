"""Claims: what a mechanism must make true. Read from TOML."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from .condition import Condition, ConditionEntry, ConditionText, Entry, Hours, Statistic, read_tables, validated, words
from .errors import ClaimError, near_miss

Relation = Literal["rises", "falls", "stays", "at_least", "at_most"]
Measure = Literal["difference", "ratio", "value", "share"]


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


class _Claim(Entry):
    id: str
    statement: str
    source: str
    given: ConditionText
    versus: ConditionText = ConditionEntry()
    reference: ConditionText | None = None
    output: str
    moment: Annotated[Hours | None, Field(alias="at")] = None
    within: tuple[Hours, Hours] | None = None
    statistic: Annotated[str, words(Statistic)] | None = None
    measure: Annotated[str, words(Measure)] = "difference"
    relation: Annotated[str, words(Relation)]
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
        if self.measure == "value" and self.versus != ConditionEntry():
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


def read_claims(path: Path | str) -> tuple[Claim, ...]:
    """Claims of a claims.toml, in the order of the file. Raises ClaimError naming file, claim and key."""
    path = Path(path)
    tables = read_tables(path, ClaimError)
    entries = tables.pop("claims", [])
    for key in tables:
        raise ClaimError(f'{path}: unknown key "{key}"{near_miss(key, ["claims"])}')
    if not isinstance(entries, list):
        raise ClaimError(f"{path}, key claims: write each claim below [[claims]]")
    claims: dict[str, Claim] = {}
    for position, entry in enumerate(entries, start=1):
        name = entry.get("id", f"number {position}") if isinstance(entry, dict) else f"number {position}"
        where = f'{path}, claim "{name}"'
        claim = validated(_Claim, entry, where, ClaimError)
        for key, fault in claim.faults():
            raise ClaimError(f"{where}, key {key}: {fault}")
        if claim.id in claims:
            raise ClaimError(f"{where}: another claim has the same id")
        claims[claim.id] = claim.record()
    return tuple(claims.values())
