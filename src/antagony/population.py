"""Virtual patients and parameter draws: quasi-random, seeded, one column of numbers a parameter.

A *draw* is one set of uncertain parameters (prior or posterior); a *subject* is one virtual patient within a draw.
The two never merge into one axis.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .errors import SimulationError
from .parameters import Parameter

Array = NDArray[np.float64]
SOBOL_BLOCK = 2**16  # points drawn at once; a power of two, and nothing depends on it


@dataclass(frozen=True, slots=True)
class Population:
    """N virtual patients: for each varying parameter the factor by which a patient differs from the typical value.

    `factors`: id -> (subject). Every draw sees the same patients. `seed` is None for the typical patient alone.
    `values`: id -> (subject), typical values that patients bring with them (a baseline score, the truth of their
    trial) in place of the nominal or drawn ones; factors apply to them too. `numbers` (subject): the number of each
    patient where these are some of a larger population.
    """

    size: int
    seed: int | None
    factors: Mapping[str, Array] = field(default_factory=dict)
    values: Mapping[str, Array] = field(default_factory=dict)
    numbers: NDArray[np.int64] | None = None

    @property
    def subjects(self) -> NDArray[np.int64]:
        """The number that each patient bears in results (subject)."""
        return np.arange(self.size) if self.numbers is None else self.numbers

    def take(self, keep: NDArray) -> Population:
        """The patients at the given positions (or where a mask is true), in order; each keeps its number."""
        numbers = self.subjects[keep]
        factors, values = (
            {name: np.broadcast_to(column, (self.size,))[keep] for name, column in columns.items()}
            for columns in (self.factors, self.values)
        )
        return Population(numbers.size, self.seed, factors, values, numbers)


@dataclass(frozen=True, slots=True)
class Draws:
    """Sets of uncertain parameters. `values`: id -> (draw). `seed` is None for nominal values alone."""

    size: int
    seed: int | None
    values: Mapping[str, Array] = field(default_factory=dict)

    def take(self, keep: NDArray) -> Draws:
        """The draws at the given positions (or where a mask is true), in order."""
        values = {name: value[keep] for name, value in self.values.items()}
        return Draws(len(np.arange(self.size)[keep]), self.seed, values)

    def replace(self, **values: Array) -> Draws:
        """The same draws with some parameters set anew; each array has one number a draw."""
        for name, value in values.items():
            if np.shape(value) != (self.size,):
                raise SimulationError(f'"{name}" needs {self.size} numbers, one a draw; got shape {np.shape(value)}')
        return Draws(self.size, self.seed, {**self.values, **values})


TYPICAL = Population(1, None)
"""The typical patient: every factor is 1."""

NOMINAL = Draws(1, None)
"""One draw at nominal values."""


def sample_population(
    parameters: Iterable[Parameter], size: int, *, seed: int, only: Container[str] | None = None
) -> Population:
    """Draw virtual patients from the between-subject spread of the given parameters.

        log-normal:      factor = exp(omega z),           omega^2 = ln(1 + bsv^2)   (the typical value is the median)
        log-normal-mean: factor = exp(bsv z - bsv^2 / 2)                            (the typical value is the mean)
        normal:          factor = 1 + bsv z

    Scrambled Sobol points, so a few hundred patients already average well; the order of `parameters` does not matter.
    `only`: ids whose factors are kept, where a million patients would fill memory with what a mechanism does not read;
    the patients are the same.
    """
    varying = spread_parameters(parameters)
    kept = [(i, p) for i, p in enumerate(varying) if only is None or p.id in only]
    factors = {p.id: np.empty(size) for _, p in kept}
    for begin, points in _sobol_blocks(len(varying), size, seed):
        for i, p in kept:
            factors[p.id][begin : begin + len(points)] = _factor(p, _normal(points[:, i]))
    return Population(size, seed, factors)


def spread_parameters(parameters: Iterable[Parameter]) -> tuple[Parameter, ...]:
    """Parameters that differ between patients, in the order in which their deviates are drawn."""
    return tuple(sorted((p for p in parameters if p.bsv > 0), key=lambda p: p.id))


def factors_of(varying: Sequence[Parameter], deviates: Array) -> dict[str, Array]:
    """Standard normal deviates (subject, parameter) -> factor of each patient by parameter id."""
    return {p.id: _factor(p, deviates[:, i]) for i, p in enumerate(varying)}


def draw_parameters(parameters: Iterable[Parameter], size: int, *, seed: int) -> Draws:
    """Draw uncertain parameters from their priors, quasi-randomly (scrambled Sobol); order of rows does not matter."""
    uncertain = sorted((p for p in parameters if p.estimate and p.prior is not None), key=lambda p: p.id)
    points = _sobol(len(uncertain), size, seed)
    values = {p.id: p.prior.quantile(points[:, i]) for i, p in enumerate(uncertain) if p.prior is not None}
    return Draws(size, seed, values)


def _factor(parameter: Parameter, z: Array) -> Array:
    if parameter.bsv_distribution == "normal":
        return 1 + parameter.bsv * z
    if parameter.bsv_distribution == "log-normal-mean":
        return np.exp(parameter.bsv * z - parameter.bsv**2 / 2)
    return np.exp(math.sqrt(math.log1p(parameter.bsv**2)) * z)


def _sobol(dimensions: int, size: int, seed: int) -> Array:
    """Points (size, dimensions) strictly inside the unit cube; the first `size` of the sequence."""
    blocks = [points for _, points in _sobol_blocks(dimensions, size, seed)]
    return np.concatenate(blocks) if blocks else np.empty((size, dimensions))


def _sobol_blocks(dimensions: int, size: int, seed: int) -> Iterator[tuple[int, Array]]:
    """The same points a block at a time, each with the position of its first: a million patients need little memory."""
    if dimensions == 0 or size == 0:
        return
    from scipy.stats import qmc

    engine = qmc.Sobol(dimensions, scramble=True, rng=seed)
    block = min(SOBOL_BLOCK, 2 ** math.ceil(math.log2(size)))
    for begin in range(0, size, block):
        yield begin, np.clip(engine.random(block)[: size - begin], 1e-12, 1 - 1e-12)


def _normal(points: Array) -> Array:
    from scipy.special import ndtri

    return ndtri(points)
