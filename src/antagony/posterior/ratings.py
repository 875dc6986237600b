"""What the patients of a trial make of what they share: mean and SD of a rating, share of responders, as tables.

    table(drug effect, placebo effect) = mean over baseline, own effects and residual of a patient

Millions of draws meet few trials, and a draw enters a rating through one to three numbers that all of its patients
share. So a trial's patients are averaged once, at the nodes of a grid, and every draw is interpolated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ..errors import PosteriorError
from ..parameters import Parameter
from ..population import factors_of
from ..readout import Readout
from ..study import Finding

Array = NDArray[np.float64]

PATIENTS = 512  # averaged at each node; half of them mirror the other half
CELLS = 12  # of the grid along each shared number
MARGIN = 4  # cells beyond either end, for a spline bends wrongly at the rim of its grid
MOST_SHARED = 3  # numbers that a table may have


@dataclass(frozen=True, slots=True)
class Patients:
    """People averaged together: standard deviates (patient) of baseline and residual, and factors by parameter id."""

    baseline: Array
    residual: Array
    factors: Mapping[str, Array]


@lru_cache(maxsize=32)
def sample_patients(spread: tuple[Parameter, ...], size: int = PATIENTS) -> Patients:
    """Patients of the given spread: scrambled Sobol deviates and their mirror images, scaled to unit variance."""
    from scipy.special import ndtri
    from scipy.stats import qmc

    half = max(1, size // 2)
    engine = qmc.Sobol(len(spread) + 2, scramble=True, rng=np.random.default_rng(17))
    points = np.clip(engine.random_base2(int(np.ceil(np.log2(half))))[:half], 1e-9, 1 - 1e-9)
    deviates = np.vstack([ndtri(points), -ndtri(points)])
    deviates /= np.sqrt((deviates**2).mean(axis=0))
    return Patients(deviates[:, 0], deviates[:, 1], factors_of(spread, deviates[:, 2:]))


TYPICAL = Patients(np.zeros(1), np.zeros(1), {})
"""The typical subject, who stands for animals."""


@dataclass(frozen=True, slots=True)
class Raters:
    """How an output of one arm becomes what is written down.

    `constants` of the trial by parameter id; `baseline` its mean and `baseline_sd` [points of the trial's scale, whose
    largest score is `own_top`]; ratings are given on a scale up to `top` with a `residual` on its logit.
    `baseline_name` is the parameter that differs between patients by it, where the case has one.
    """

    output: str
    constants: tuple[tuple[str, float], ...]
    baseline_name: str
    baseline: float
    baseline_sd: float
    own_top: float
    top: float
    residual: float
    threshold: float | None
    cutoff: float | None

    @property
    def counts_responders(self) -> bool:
        """Whether a share is asked for, not a mean."""
        return self.threshold is not None or self.cutoff is not None

    def baselines(self, people: Patients) -> Array:
        """True baselines (patient), inside the scale."""
        values = self.baseline + self.baseline_sd * people.baseline
        return np.clip(values, 0.02 * self.own_top, 0.98 * self.own_top)

    def read(self, personal: Readout, people: Patients, shared: Mapping[str, Array]) -> Array:
        """The output (..., patient) for shared numbers (..., 1)."""
        values: dict[str, Array] = {k: np.asarray(v) for k, v in self.constants if k in personal.parameters}
        if self.baseline_name in personal.parameters:
            values[self.baseline_name] = self.baselines(people)
        for name, factor in people.factors.items():
            if name in personal.parameters:
                values[name] = np.asarray(values.get(name, personal.defaults[name])) * factor
        return np.asarray(personal.read(0.0, shared, values)[self.output])

    def average(self, personal: Readout, people: Patients, shared: Mapping[str, Array]) -> tuple[Array, Array]:
        """Mean of a rating, or share of responders, and the mean of its square, for shared numbers (..., 1)."""
        values = self.read(personal, people, shared)
        if self.counts_responders:
            rated = self._responds(values, people)
        elif self.output == SCORE:
            rated = self._rated(values, people)
        else:
            rated = values
        rated = np.broadcast_to(rated, (*rated.shape[:-1], people.baseline.size))
        return rated.mean(axis=-1), (rated**2).mean(axis=-1)

    def _rated(self, score: Array, people: Patients) -> Array:
        share = np.clip(score / self.own_top, 1e-9, 1 - 1e-9)
        if self.residual == 0:
            return self.top * share
        return self.top / (1 + (1 - share) / share * np.exp(-self.residual * people.residual))

    def _responds(self, score: Array, people: Patients) -> Array:
        """Probability that a patient responds, the residual of the visit integrated out."""
        from scipy.special import ndtr

        if self.cutoff is not None:
            limit = np.full(people.baseline.size, self.cutoff / self.top)
        else:
            limit = (1 - (self.threshold or 0.5)) * self.baselines(people) / self.own_top
        return ndtr((_logit(limit) - _logit(score / self.own_top)) / max(self.residual, 1e-9))


SCORE = "score"


def _logit(share: Array) -> Array:
    share = np.clip(share, 1e-9, 1 - 1e-9)
    return np.log(share / (1 - share))


def average_patients(
    personal: Readout, raters: Raters, people: Patients, shared: Mapping[str, Array], powers: Sequence[int] = (1,)
) -> tuple[Array, ...]:
    """Mean over patients of a rating (or share of responders) raised to each power, 1 or 2, by table.

    `shared` numbers are of any one shape, and so is each result.
    Raises PosteriorError where patients share more than three numbers with a draw.
    """
    names = [name for name in personal.carried if name in shared]
    if people.baseline.size == 1:
        both = raters.average(personal, people, {n: np.asarray(shared[n])[..., None] for n in names})
        return tuple(both[power - 1] for power in powers)
    if len(names) > MOST_SHARED:
        raise PosteriorError(f"{raters.output}: a draw enters it through {len(names)} numbers ({', '.join(names)})")
    values = np.broadcast_arrays(*(np.asarray(shared[n], dtype=float) for n in names))
    axes = tuple(_axis(v) for v in values)
    tables = _tables(_Key(personal, raters, people), tuple(names), axes)
    places = [MARGIN + (v - low) * (CELLS / (high - low)) for v, (low, high) in zip(values, axes, strict=True)]
    return tuple(_interpolate(tables[power - 1], places) for power in powers)


def _axis(values: Array) -> tuple[float, float]:
    """Ends of a grid that holds the values: powers of two, so that like sets of draws share a table."""
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    return (-_power(-low) if low < 0 else 0.0), (_power(high) if high > 0 else _power(0.0))


def _power(size: float) -> float:
    return float(2.0 ** np.ceil(np.log2(max(size, 1 / 16))))


@dataclass(frozen=True, slots=True)
class _Key:
    """A table's inputs; readouts with the same equations are the same."""

    personal: Readout
    raters: Raters
    people: Patients

    def __hash__(self) -> int:
        return hash((self.personal.text, self.raters))

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, _Key)
            and (self.personal.text, self.raters) == (other.personal.text, other.raters)
            and self.people is other.people
        )


@lru_cache(maxsize=4096)
def _tables(key: _Key, names: tuple[str, ...], axes: tuple[tuple[float, float], ...]) -> tuple[Array, Array]:
    """Spline coefficients of mean and mean square over the grid."""
    from scipy.ndimage import spline_filter

    steps = np.arange(-MARGIN, CELLS + MARGIN + 1) / CELLS
    grid = np.meshgrid(*(low + (high - low) * steps for low, high in axes), indexing="ij")
    shared = {name: values[..., None] for name, values in zip(names, grid, strict=True)}
    mean, square = key.raters.average(key.personal, key.people, shared)
    return tuple(spline_filter(t, order=3, mode="mirror") for t in (mean, square))  # type: ignore[return-value]


def _interpolate(table: Array, places: Sequence[Array]) -> Array:
    from scipy.ndimage import map_coordinates

    shape = places[0].shape
    flat = np.stack([p.ravel() for p in places])
    known = np.isfinite(flat).all(axis=0)
    result = map_coordinates(table, np.where(known, flat, 0.0), order=3, mode="mirror", prefilter=False)
    return np.where(known, result, np.nan).reshape(shape)


def raters_of(finding: Finding, **numbers: object) -> Raters:
    """Raters of a finding: what it counts, the rest as named."""
    counted = finding.kind in ("responders", "odds_ratio")
    threshold = finding.threshold if counted else None
    cutoff = finding.cutoff if counted else None
    return Raters(output=finding.output, threshold=threshold, cutoff=cutoff, **numbers)  # type: ignore[arg-type]
