"""The answer of a weighing: records, nothing computed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

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


@dataclass(frozen=True, slots=True)
class Weighing:
    """The answer of `weigh`.

    `mechanisms` with `unexplained` last; `classes`: class -> its partial, mechanisms averaged; `probabilities`: stated
    prior -> mechanism -> probability given the discriminating studies; `full`: the same from the full marginals.
    `studies` that were weighed, in order of date; `skipped`: why others were not. `sentences` say what follows.
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

    def weighed(self, slug: str) -> Weighed:
        """The mechanism of that slug."""
        return next(w for w in self.mechanisms if w.slug == slug)

    @property
    def rivals(self) -> tuple[Weighed, ...]:
        """Mechanisms that are no reference, most probable by the partial first."""
        return tuple(sorted((w for w in self.mechanisms if not w.reference), key=lambda w: -w.partial.value))
