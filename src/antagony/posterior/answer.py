"""The answer of a weighing: records, nothing computed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from ..notebook import Card, Table, brief, with_error
from ..study import Finding, Study
from ..verdict import Settings

LEARNED = 0.8  # a posterior variance below this share of the prior's counts as learned
SHIFTED = 0.3  # or a median moved by so many prior SDs


@dataclass(frozen=True, slots=True)
class Number:
    """A log number [nat] with its Monte-Carlo standard error."""

    value: float
    error: float


@dataclass(frozen=True, slots=True)
class Part:
    """One structure of a mechanism, or one variant of an axis: its prior share, posterior share, and partial."""

    name: str
    share: float
    posterior: float
    partial: Number


@dataclass(frozen=True, slots=True)
class Sweep:
    """The partial of a mechanism if one assumed number lies in a half of its range."""

    parameter: str
    part: str
    partial: Number


@dataclass(frozen=True, slots=True)
class Learned:
    """What the studies teach of one number, or of several together.

    `parameters` with `loadings`; `variance` of the posterior over the prior's, on the prior's normal scale; `shift` of
    the mean in prior SDs; `error` of both, roughly. `median`, `low`, `high` (5 and 95 %) of a single number.
    """

    parameters: tuple[str, ...]
    loadings: tuple[float, ...]
    variance: float
    shift: float
    error: float
    median: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def is_learned(self) -> bool:
        """Whether the studies say more than the prior, beyond Monte-Carlo error."""
        less = self.variance + 2 * math.sqrt(2) * self.error < LEARNED
        return less or abs(self.shift) > SHIFTED + 2 * self.error


@dataclass(frozen=True, slots=True)
class Findings:
    """One finding beside what a mechanism predicts, given the calibrating studies, and fits, given all.

    `observed` None for a sign. `predicted` median with the 95 % interval `low` to `high` of a result of such a trial;
    `fitted` median given all studies. `chance`: of a result as published (a sign, no difference), or at least as far
    out as the published number on either side. `error`: the published standard error, or the one to be expected.
    """

    study: str
    finding: Finding
    scored: bool
    observed: float | None
    error: float | None
    predicted: float
    low: float
    high: float
    fitted: float
    chance: float

    @property
    def covered(self) -> bool | None:
        """Whether the observed number lies in the predicted interval; None for a sign."""
        return None if self.observed is None else self.low <= self.observed <= self.high


@dataclass(frozen=True, slots=True)
class Weighed:
    """One mechanism (or `unexplained`) before the published results.

    `log_marginal` of all scored studies, `calibrating` of those alone, `partial` the difference [nat]. By study id:
    `scores`: log p(study | all others); `alone`: log p(study | calibrating studies); `in_turn`: log p(study | those
    before it); `leave_one_out`: the partial without it. `rows`: the partial under other scorings and selections.
    `draws` early draws in all, `counting` those that count, `tempered` those of SMC, `failed` runs.
    """

    slug: str
    title: str
    group: str
    reference: bool
    log_marginal: Number
    calibrating: Number
    partial: Number
    scores: Mapping[str, Number]
    in_turn: Mapping[str, Number]
    leave_one_out: Mapping[str, Number]
    alone: Mapping[str, Number] = field(default_factory=dict)
    rows: Mapping[str, Number] = field(default_factory=dict)
    structures: tuple[Part, ...] = ()
    variants: tuple[Part, ...] = ()
    sweeps: tuple[Sweep, ...] = ()
    learned: tuple[Learned, ...] = ()
    findings: tuple[Findings, ...] = ()
    draws: int = 0
    counting: float = math.inf
    tempered: int = 0
    failed: int = 0

    def __repr__(self) -> str:
        """The mechanism and its log partial [nat]."""
        return brief("Weighed", {"": self.slug, "partial": with_error(self.partial.value, self.partial.error)})


@dataclass(frozen=True, slots=True)
class Weighing:
    """The answer of `weigh`.

    `mechanisms` with `unexplained` last; `classes`: class -> its partial, mechanisms averaged; `probabilities`: stated
    prior -> mechanism -> probability given the discriminating studies; `full`: the same from the full marginals.
    `studies` that were weighed, in order of date; `skipped`: why others were not. `sentences` say what follows.
    `base_only`: mechanisms with alternative equations that this effort left out, so that their numbers are biased.
    """

    title: str
    question: str
    mechanisms: tuple[Weighed, ...]
    classes: Mapping[str, Number]
    class_titles: Mapping[str, str]
    probabilities: Mapping[str, Mapping[str, float]]
    full: Mapping[str, Mapping[str, float]]
    prior_titles: Mapping[str, str]
    studies: tuple[Study, ...]
    skipped: Mapping[str, str]
    row_titles: Mapping[str, str]
    until: str
    sentences: tuple[str, ...]
    fragile: tuple[str, ...]
    assumed_rules: int
    effort: str
    budget: str
    seconds: Mapping[str, float]
    settings: Settings
    base_only: tuple[str, ...] = ()

    def weighed(self, slug: str) -> Weighed:
        """The mechanism of that slug."""
        return next(w for w in self.mechanisms if w.slug == slug)

    @property
    def rivals(self) -> tuple[Weighed, ...]:
        """Mechanisms that are no reference, most probable by the partial first."""
        return tuple(sorted((w for w in self.mechanisms if not w.reference), key=lambda w: -w.partial.value))

    def __repr__(self) -> str:
        """The rivals, most probable first, with the range of their probability."""
        return brief("Weighing", {w.slug: self._span(w.slug) for w in self.rivals})

    def _mark(self, weighed: Weighed) -> str:
        """What sets a row apart."""
        if weighed.reference:
            return " (reference)"
        return " (base only)" if weighed.slug in self.base_only else ""

    def _span(self, slug: str) -> str:
        """The range of a probability over the stated priors."""
        shares = [prior[slug] for prior in self.probabilities.values() if slug in prior]
        if not shares:
            return ""
        low, high = (f"{100 * share:.2g} %" for share in (min(shares), max(shares)))
        return low if low == high else f"{low} to {high}"

    def _repr_html_(self) -> str:
        order = sorted(self.mechanisms, key=lambda w: math.inf if math.isnan(w.partial.value) else -w.partial.value)
        rows = [
            (
                w.title + self._mark(w), w.slug, self.class_titles.get(w.group, w.group),
                with_error(w.partial.value, w.partial.error), self._span(w.slug),
                f"{w.counting:.0f}" if math.isfinite(w.counting) else "",
            )
            for w in order
        ]  # fmt: skip
        heads = ("mechanism", "", "class", "log partial [nat]", "probability", "draws that count")
        caption = (
            "Log p(discriminating | calibrating studies) with its Monte-Carlo error; a difference of two is the log of "
            f"their Bayes factor. Probability over {len(self.probabilities)} stated priors"
        )
        scope = f"{len(self.studies)} studies{f' up to {self.until}' if self.until else ''}, effort {self.effort}"
        facts = (scope, f"{self.assumed_rules} numbers of the rules are assumed", *self.settings.facts)
        table = Table(heads, rows, caption, words=3)
        return Card(self.title, self.question, (table,), sentences=(*self.sentences, *self.fragile), facts=facts).html()
