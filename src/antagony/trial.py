"""Published findings replayed: what each mechanism predicts for the arms of a study, beside what was observed."""

from __future__ import annotations

from dataclasses import dataclass

from .case import Case
from .simulation import Arm
from .study import Finding, Study


@dataclass(frozen=True, slots=True)
class Replay:
    """One published finding against one mechanism.

    `predicted` with its 95 % predictive interval `low` to `high` (patients drawn, uncertain parameters drawn, outcome
    scale calibrated); `observed` with `observed_low` to `observed_high` where published. `agrees`: the observation lies
    within the interval, or the sign is predicted in more than half of the draws; None where it cannot be said.
    `calibrates`: the finding set the outcome scale, so agreement is no success. `text` tells the finding in one line.
    """

    study: str
    finding: Finding
    mechanism: str
    text: str
    unit: str
    predicted: float
    low: float
    high: float
    observed: float | None
    observed_low: float | None
    observed_high: float | None
    agrees: bool | None
    calibrates: bool
    note: str


def arm_of(case: Case, study: Study, name: str) -> Arm:
    """An arm of a study under the study's own trial table."""
    raise LookupError(name)
