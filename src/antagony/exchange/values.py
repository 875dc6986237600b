"""The numbers that a model leaves the house with: those with which `antagony simulate` runs the typical patient."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..calibration import calibrate
from ..case import Case
from ..mechanism import Mechanism
from ..parameters import Parameter
from ..population import NOMINAL

ROW = ""
TRIAL = "set by the case's trial"
POSTERIOR = "posterior median given the calibrating studies"
UNSOLVED = "kept: no value meets the calibrating finding"


@dataclass(frozen=True, slots=True)
class Value:
    """A parameter with the value it has in the model, and where that came from when not from its own row."""

    parameter: Parameter
    number: float
    origin: str = ROW

    @property
    def known(self) -> str:
        """How the number is known, in one line: grade, source, and its origin where that is another."""
        said = ", ".join(part for part in (self.parameter.grade, self.parameter.source) if part)
        return f"{self.origin}; prior {said}" if self.origin else said


def model_values(case: Case, mechanism: Mechanism, variants: Mapping[str, str] | None = None) -> dict[str, Value]:
    """Value of every parameter of a mechanism, and of those that only its doses need, by id.

    Computed nominal values and the solved outcome scale where the case has them, the case's trial over both.
    """
    rows = {**mechanism.dosing, **mechanism.parameters}
    values = {name: Value(row, row.nominal) for name, row in rows.items()}
    if case.calibration:
        solved = calibrate(case, mechanism.slug, NOMINAL, variants=variants)
        for name, drawn in solved.draws.values.items():
            if name in rows:
                values[name] = Value(rows[name], float(drawn[0]), POSTERIOR)
        if (scale := solved.parameter) in rows and not case.wiring(mechanism.slug).reference:
            found = f"solved from {case.calibration.study}, finding {case.calibration.finding}"
            values[scale] = Value(rows[scale], values[scale].number, found if solved.reached[0] else UNSOLVED)
    return values | {name: Value(rows[name], x, TRIAL) for name, x in case.trial.items() if name in rows}
