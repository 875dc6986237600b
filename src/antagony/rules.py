"""Rules by which published results are scored: one table for a case, applied blind to mechanism. Read from TOML."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from .condition import Entry, GradeText, read_tables, validated
from .errors import StudyError, near_miss
from .parameters import GRADES


@dataclass(frozen=True, slots=True)
class Doubt:
    """How far a number of one grade is doubted.

    Its standard error is multiplied by `error`; what it says of a direction is wrong with probability `reversal`.
    """

    error: float
    reversal: float


@dataclass(frozen=True, slots=True)
class RivalPrior:
    """A stated prior over rivals: weights by class (equal where none are given), or equal by mechanism."""

    name: str
    title: str
    by: str
    weights: Mapping[str, float]

    def shares(self, groups: Mapping[str, str]) -> dict[str, float]:
        """Mechanism -> prior probability, given the class of each.

        >>> RivalPrior("by_class", "", "class", {}).shares({"a": "i", "b": "ii", "c": "ii"})
        {'a': 0.5, 'b': 0.25, 'c': 0.25}
        """
        if self.by == "mechanism":
            return {slug: 1 / len(groups) for slug in groups}
        present = sorted(set(groups.values()))
        weights = {group: self.weights.get(group, 0.0) if self.weights else 1.0 for group in present}
        total = sum(weights.values()) or 1.0
        members = {group: sum(g == group for g in groups.values()) for group in present}
        return {slug: weights[group] / total / members[group] for slug, group in groups.items()}


@dataclass(frozen=True, slots=True)
class Rules:
    """How studies become likelihoods; every field as in the case's weighing.toml.

    `trial_sd` and `contrast_sd` [points of the reference scale, whose largest score is `reference_top`].
    """

    reference_top: float
    per_trial: tuple[str, ...]
    trial_sd: float
    trial_sweep: tuple[float, ...]
    correlation: float
    correlation_sweep: tuple[float, ...]
    patients: int
    change_sd: float
    change_log_sd: float
    crossover_correlation: float
    significance: float
    points: Mapping[str, float]
    doubts: Mapping[str, Doubt]
    responder_correlation: float
    responder_correlation_single: float
    contrast_sd: float
    logit_sd: float
    unexplained_sweep: tuple[float, ...]
    published_share: float
    priors: tuple[RivalPrior, ...]
    assumed: int

    def doubt(self, grade: str) -> Doubt:
        """The doubt that a grade deserves."""
        return self.doubts[grade]


# --- the file ------------------------------------------------------------------------------------------------------


class _Size(Entry):
    value: Annotated[float, Field(gt=0)]
    grade: GradeText
    note: str = ""


class _Share(Entry):
    value: Annotated[float, Field(gt=0, lt=1)]
    grade: GradeText
    note: str = ""


class _Count(Entry):
    value: Annotated[int, Field(ge=1)]
    grade: GradeText
    note: str = ""


class _TrialEffect(Entry):
    sd: _Size
    sweep: tuple[Annotated[float, Field(gt=0)], ...] = ()


class _Outcomes(Entry):
    correlation: _Share
    sweep: tuple[Annotated[float, Field(ge=0, lt=1)], ...] = ()


class _Unpublished(Entry):
    patients: _Count
    change_sd: _Size
    change_log_sd: _Size
    crossover_correlation: _Share
    significance: _Share


class _Points(Entry):
    points: Annotated[float, Field(gt=0)]
    grade: GradeText
    note: str = ""


class _Doubt(Entry):
    error: Annotated[float, Field(ge=1)]
    reversal: Annotated[float, Field(ge=0, lt=0.5)]


class _Responders(Entry):
    correlation: _Share
    correlation_single: _Share


class _Unexplained(Entry):
    contrast_sd: _Size
    logit_sd: _Size
    sweep: tuple[Annotated[float, Field(gt=0)], ...] = ()


class _Publication(Entry):
    share: _Share


class _RivalPrior(Entry):
    title: str
    by: Literal["class", "mechanism"] = "class"
    weights: dict[str, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)


class _Rules(Entry):
    reference_scale: str
    per_trial: tuple[str, ...] = ()
    trial_effect: _TrialEffect
    outcomes: _Outcomes
    unpublished: _Unpublished
    outputs: dict[str, _Points]
    doubt: dict[str, _Doubt]
    responders: _Responders
    unexplained: _Unexplained
    publication: _Publication
    priors: Annotated[dict[str, _RivalPrior], Field(min_length=1)]


def read_rules(
    path: Path,
    tops: Mapping[str, float],
    *,
    classes: Collection[str],
    outputs: Collection[str],
    parameters: Collection[str],
) -> Rules:
    """The rules of a weighing.toml; `tops`: the largest score of each scale, the rest: names that it may use.

    Raises StudyError naming file and key.
    """
    head = validated(_Rules, read_tables(path, StudyError), str(path), StudyError)
    if head.reference_scale not in tops:
        raise StudyError(f'{path}, key reference_scale: case.toml has no scale "{head.reference_scale}"')
    if missing := [g for g in GRADES if g != "definition" and g not in head.doubt]:
        raise StudyError(f"{path}, key doubt: nothing is said of the grade {missing[0]}")
    asked = [("per_trial", name, parameters) for name in head.per_trial]
    asked += [("outputs", name, outputs) for name in head.outputs]
    asked += [(f"priors.{key}.weights", name, classes) for key, p in head.priors.items() for name in p.weights]
    for key, name, known in asked:
        if name not in known:
            raise StudyError(f'{path}, key {key}: nothing is called "{name}"{near_miss(name, known)}')
    sizes = [
        head.trial_effect.sd, head.outcomes.correlation, *(v for _, v in head.unpublished),
        *(v for _, v in head.responders), head.unexplained.contrast_sd, head.unexplained.logit_sd,
        head.publication.share, *head.outputs.values(),
    ]  # fmt: skip
    doubts = {grade: Doubt(d.error, d.reversal) for grade, d in head.doubt.items()}
    return Rules(
        reference_top=tops[head.reference_scale],
        per_trial=head.per_trial,
        trial_sd=head.trial_effect.sd.value,
        trial_sweep=head.trial_effect.sweep,
        correlation=head.outcomes.correlation.value,
        correlation_sweep=head.outcomes.sweep,
        patients=int(head.unpublished.patients.value),
        change_sd=head.unpublished.change_sd.value,
        change_log_sd=head.unpublished.change_log_sd.value,
        crossover_correlation=head.unpublished.crossover_correlation.value,
        significance=head.unpublished.significance.value,
        points={name: output.points for name, output in head.outputs.items()},
        doubts=doubts | {"definition": Doubt(1.0, 0.0)},
        responder_correlation=head.responders.correlation.value,
        responder_correlation_single=head.responders.correlation_single.value,
        contrast_sd=head.unexplained.contrast_sd.value,
        logit_sd=head.unexplained.logit_sd.value,
        unexplained_sweep=head.unexplained.sweep,
        published_share=head.publication.share.value,
        priors=tuple(RivalPrior(name, p.title, p.by, p.weights) for name, p in head.priors.items()),
        assumed=sum(size.grade == "assumed" for size in sizes) + 2 * len(doubts),
    )
