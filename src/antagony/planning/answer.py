"""What a ranking of trials says: records, nothing computed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..design import Plan, Realism
from ..notebook import Card, Table, brief, percent, with_error
from ..verdict import Settings
from .information import Evidence, Figure


@dataclass(frozen=True, slots=True)
class Outcome:
    """One contrast of a plan under one mechanism: median and 95 % interval, of the mean, and of a result of `n`.

    `low` to `high` holds what is not known of the mechanism; `result_low` to `result_high` the trial's own scatter too.
    Of a study in animals `median` is the probability that the first arm reads lower.
    """

    median: float
    low: float
    high: float
    result_low: float
    result_high: float


@dataclass(frozen=True, slots=True)
class Ranked:
    """One plan among the others.

    `evidence` at the asked number of patients; `curve` over other numbers; `control`: bits of two identical rivals (0
    but for Monte-Carlo error); `advised`: the least number of patients whose decisive evidence reaches the aim, None
    where no number does, then `best` is the number beyond which hardly anything is gained; `outcomes`: estimand id ->
    mechanism -> outcome; `ignoring`: evidence where the analysis ignores what it was told to, None without.
    """

    plan: Plan
    evidence: Evidence
    curve: tuple[Evidence, ...]
    control: Figure
    advised: Evidence | None
    best: Evidence
    outcomes: Mapping[str, Mapping[str, Outcome]]
    ignoring: Evidence | None = None

    @property
    def name(self) -> str:
        """The plan's id."""
        return self.plan.id

    @property
    def per_patient(self) -> float:
        """Bits for each patient at the asked number; NaN for animals."""
        return self.evidence.bits.value / self.evidence.n

    @property
    def cost(self) -> float:
        """Visits of all patients at the asked number."""
        return self.plan.cost * self.evidence.n


@dataclass(frozen=True, slots=True)
class Ranking:
    """Plans in order of expected information, and how that was asked.

    `rivals`: name -> its mechanisms and their shares; `pair` whether two were named (else classes); `n` patients asked
    (or what `budget` [visits] buys); `bound` of decisive Bayes factors, `aim` of their probability. `refused`: plan ->
    why. `counting`: posterior draws that count, by mechanism. `assumed`: numbers of the plans that are assumed.
    """

    title: str
    question: str
    ranked: tuple[Ranked, ...]
    refused: Mapping[str, str]
    rivals: Mapping[str, Mapping[str, float]]
    titles: Mapping[str, str]
    pair: bool
    n: float
    budget: str
    bound: float
    aim: float
    realism: Realism
    ignored: tuple[str, ...]
    counting: Mapping[str, float]
    assumed: int
    sentences: tuple[str, ...]
    caveats: tuple[str, ...]
    seconds: Mapping[str, float]
    settings: Settings
    measurements: tuple[Measurement, ...] = field(default=())

    def __repr__(self) -> str:
        """The first plans and their bits."""
        bits = {r.name: with_error(r.evidence.bits.value, r.evidence.bits.error) for r in self.ranked[:3]}
        return brief("Ranking", {"plans": len(self.ranked), **bits})

    def _repr_html_(self) -> str:
        rows = [
            (
                r.plan.title, r.name, with_error(r.evidence.bits.value, r.evidence.bits.error),
                percent(r.evidence.decisive.value, r.evidence.decisive.error),
                percent(r.evidence.misleading.value, r.evidence.misleading.error),
                f"{r.evidence.n:.0f}", "" if r.advised is None else f"{r.advised.n:.0f}",
            )
            for r in self.ranked
        ]  # fmt: skip
        heads = ("design", "", "information [bits]", "decisive", "misleading", "patients", "advised")
        caption = (
            f"Decisive: the Bayes factor of the true rival passes {self.bound:g}; misleading: that of another. Each "
            f"with its Monte-Carlo error. Advised: the least number with decisive evidence at {self.aim:g}"
        )
        refused = tuple(f"Not ranked: {name}: {why}" for name, why in self.refused.items())
        facts = (f"{self.assumed} numbers of the plans are assumed", *self.settings.facts)
        sentences = (*self.sentences, *self.caveats, *refused)
        return Card(self.title, self.question, (Table(heads, rows, caption, words=2),), "", sentences, facts).html()


@dataclass(frozen=True, slots=True)
class Measurement:
    """One measurement by itself: what every mechanism expects of it, and how well it would tell the rivals apart.

    `plan`, `estimand` and what they say in words; `bits` of this contrast alone at the asked number of patients.
    """

    plan: str
    estimand: str
    text: str
    unit: str
    bits: Figure
    outcomes: Mapping[str, Outcome]
