"""The whole answer over a case: which claims hold in which mechanism, how each compares with published trials."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .claims import ClaimResult
from .trial import Replay

if TYPE_CHECKING:
    import xarray as xr


@dataclass(frozen=True, slots=True)
class Settings:
    """What a verdict was computed with; printed under every result."""

    draws: int
    patients: int
    seed: int
    relative_tolerance: float
    absolute_tolerance: float
    version: str
    case_hash: str
    kernels: tuple[str, ...]
    compiler: str
    seconds: float


@dataclass(frozen=True, slots=True)
class MechanismVerdict:
    """One rival: its calibration, claims, replayed findings and curves.

    `scale` is the solved outcome scale at nominal values; `calibrated` False when no value reaches the finding;
    `outside_prior` flags a solved value beyond its prior; `calibrated_share` of draws that could be calibrated.
    `explains` of `findings`: published findings within the 95 % predictive interval, those used to calibrate left out.
    `curves` over (arm = scene, draw = nominal only, subject = typical, time); `bands` the 5, 50, 95 % over prior draws
    (arm, quantile, time) for a few outputs. `assumed` numbers of `numbers` in the model.
    """

    slug: str
    title: str
    statement: str
    group: str
    reference: bool
    scale: float
    calibrated: bool
    outside_prior: bool
    calibrated_share: float
    claims: tuple[ClaimResult, ...]
    own_claims: tuple[ClaimResult, ...]
    replays: tuple[Replay, ...]
    explains: int
    findings: int
    assumed: int
    numbers: int
    failures: tuple[str, ...]
    curves: xr.Dataset
    bands: xr.Dataset


@dataclass(frozen=True, slots=True)
class SourceNote:
    """A bibliography key that the numbers of this verdict rest on, and how many rest on it."""

    key: str
    text: str
    numbers: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer over a case, ready to be printed; every sentence of `summary` and `fragile` is made from the numbers."""

    title: str
    question: str
    disclaimer: str
    scenes: Mapping[str, str]
    mechanisms: tuple[MechanismVerdict, ...]
    summary: tuple[str, ...]
    fragile: tuple[str, ...]
    studies: tuple[str, ...]
    sources: tuple[SourceNote, ...]
    settings: Settings
