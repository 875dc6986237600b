"""What every engine solves: one model, many subjects with their own parameters and dose times, fifty output times."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

VARIED = "CLk V1k Q2k Q3k CLm ke0k ka CLn Vn CLb konN kAC kmA kG kout".split()
SPREAD = 0.3  # coefficient of variation of the varied parameters, log-normal
END = 336.0  # h
INFUSED, LENGTH, SWALLOWED = 35.0, 2 / 3, 50.0  # mg, h, mg
_EARLY = [0, 0.5, 1, 1.5, 1.75, 2, 2.25, 2.5, 3, 4, 6, 8, 12, 18]
_AROUND_THE_SECOND_DOSE = [160, 164, 166, 168, 169, 170, 172, 174, 176, 180, 186]
TIMES = np.unique([*_EARLY, *range(24, 157, 12), *_AROUND_THE_SECOND_DOSE, *range(192, 337, 12)]).astype(float)


@dataclass(frozen=True)
class Problem:
    """Parameters (subject, varied), and events (subject, event): time, kind (0 bolus, 1 set the infusion), value."""

    doses: int
    varied: Array
    time: Array
    kind: NDArray[np.int32]
    value: Array

    def take(self, subjects: int) -> Problem:
        """The first subjects only."""
        return Problem(self.doses, *(a[:subjects] for a in (self.varied, self.time, self.kind, self.value)))


def make_problem(subjects: int, doses: int = 2, *, seed: int = 1) -> Problem:
    """Subjects with log-normal parameters; `doses` infusions, each 45 min after a tablet, spread over two weeks."""
    rng = np.random.default_rng(seed)
    sigma = np.sqrt(np.log1p(SPREAD**2))
    factors = np.exp(sigma * rng.standard_normal((subjects, len(VARIED))) - sigma**2 / 2)
    start = 1 + rng.uniform(0, 1, (subjects, doses)) + np.arange(doses) * (END / doses)
    if doses == 2:
        start[:, 1] = 168 + rng.uniform(-12, 12, subjects)
    time = np.concatenate([start - 0.75, start, start + LENGTH], axis=1)
    kind = np.broadcast_to(np.repeat([0, 1, 1], doses).astype(np.int32), time.shape)
    value = np.broadcast_to(np.repeat([SWALLOWED, INFUSED / LENGTH, 0.0], doses), time.shape)
    order = np.argsort(time, axis=1, kind="stable")
    events = [np.ascontiguousarray(np.take_along_axis(a, order, axis=1)) for a in (time, kind, value)]
    return Problem(doses, factors * np.array([nominal()[name] for name in VARIED]), *events)


@lru_cache(maxsize=1)
def model_text() -> str:
    """The model's statements."""
    return (Path(__file__).parent / "bench_model.ant").read_text(encoding="utf-8")


@lru_cache(maxsize=8)
def model_sbml(dosing: str = "") -> str:
    """SBML of the model, with further statements where an engine keeps doses inside the model."""
    import antimony

    antimony.clearPreviousLoads()
    if antimony.loadAntimonyString(f"model bench\n{model_text()}\n{dosing}\nvar Rinf;\nend\n") < 0:
        raise RuntimeError(antimony.getLastError())
    return str(antimony.getSBMLString("bench"))


@lru_cache(maxsize=1)
def nominal() -> dict[str, float]:
    """Values of the model's parameters and starts of its states."""
    from antagony.kernel.symbolic import read_system

    return read_system(model_sbml()).values


def states() -> list[str]:
    """The model's states in one order for all engines."""
    from antagony.kernel.symbolic import read_system

    return list(read_system(model_sbml()).states)


def error(values: Array, reference: Array) -> tuple[float, float]:
    """Median and 99th percentile over subjects of max over time and state of |y - ref| / max over time |ref|."""
    scale = np.abs(reference).max(axis=1, keepdims=True) + 1e-12
    worst = (np.abs(values - reference) / scale).max(axis=(1, 2))
    return float(np.median(worst)), float(np.quantile(worst, 0.99))
