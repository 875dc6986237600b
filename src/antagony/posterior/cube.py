"""The prior of a mechanism as a unit cube: one column a parameter, one a free choice between variants.

    u in [0, 1]^D  ->  variant of each axis: k-th of n where k <= n u < k + 1;   parameter: quantile of its prior

Variants that change numbers only are such choices, so they are integrated over like any number. Variants that change
equations make structures of their own.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from ..case import Case
from ..mechanism import Mechanism, Variant
from ..parameters import Parameter
from ..population import Draws

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Structure:
    """One set of equations of a mechanism: a variant chosen on every axis that changes equations.

    `share` of the mechanism's prior probability: structures of one mechanism share it equally.
    """

    slug: str
    variants: Mapping[str, str]
    share: float

    @property
    def name(self) -> str:
        """Mechanism and, where there is a choice, the variants."""
        chosen = ", ".join(f"{axis}={name}" for axis, name in sorted(self.variants.items()))
        return f"{self.slug} ({chosen})" if chosen else self.slug


def list_structures(case: Case, slug: str, chosen: Mapping[str, str] | None = None) -> tuple[Structure, ...]:
    """Every structure of a mechanism, variants that are `chosen` held fixed."""
    held = dict(chosen or {})
    free = {axis: names for axis, names in case.free_axes(slug, held).items() if _changes_equations(names)}
    combinations = [
        dict(zip(free, names, strict=True)) for names in product(*([v.name for v in n] for n in free.values()))
    ]
    return tuple(Structure(slug, held | some, 1 / len(combinations)) for some in combinations)


def _changes_equations(variants: Collection[Variant]) -> bool:
    return any(variant.changes_equations for variant in variants)


@dataclass(frozen=True, slots=True)
class Cube:
    """Columns of the cube: early parameters, axes, late parameters (those that move no state), in this order."""

    early: tuple[Parameter, ...]
    axes: tuple[tuple[Variant, ...], ...]
    late: tuple[Parameter, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """What each column stands for."""
        return (*(p.id for p in self.early), *(axis[0].axis for axis in self.axes), *(p.id for p in self.late))

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Early, then late parameters."""
        return (*self.early, *self.late)

    @property
    def early_size(self) -> int:
        """Columns that move a state: early parameters and axes."""
        return len(self.early) + len(self.axes)

    @property
    def size(self) -> int:
        """Columns in all."""
        return self.early_size + len(self.late)

    def column(self, name: str) -> int:
        """Where a parameter or axis stands."""
        return self.names.index(name)

    def choices(self, u: Array) -> dict[str, NDArray[np.int64]]:
        """Axis -> number of the variant that each draw has; `u` (draw, column)."""
        first = len(self.early)
        return {
            axis[0].axis: np.minimum((u[:, first + i] * len(axis)).astype(int), len(axis) - 1)
            for i, axis in enumerate(self.axes)
        }

    def draws(self, u: Array) -> Draws:
        """Points of the cube (draw, column) -> values of every parameter that is drawn or set by a variant."""
        rows = {p.id: (p, u[:, self.column(p.id)]) for p in self.parameters}
        values = {name: _quantile(p, column) for name, (p, column) in rows.items()}
        for axis, chosen in zip(self.axes, self.choices(u).values(), strict=True):
            for k, variant in enumerate(axis):
                here = chosen == k
                for name, prior in variant.priors.items():
                    values[name] = np.where(here, prior.quantile(rows[name][1]), values[name])
                for name, value in variant.values.items():
                    values[name] = np.where(here, value, values[name])
        return Draws(len(u), None, values)


def _quantile(parameter: Parameter, u: Array) -> Array:
    return parameter.prior.quantile(u) if parameter.prior is not None else np.full(len(u), parameter.nominal)


def build_cube(
    case: Case, structure: Structure, models: Collection[Mechanism], *, late: Collection[str], apart: Collection[str]
) -> Cube:
    """The cube of a structure: every uncertain number that its models use, and every free axis of numbers.

    `apart` are parameters that each trial draws for itself; they have no column.
    """
    rows = case.parameters(structure.slug, structure.variants)
    used = {name for model in models for name in (*model.parameters, *model.dosing)}
    axes = tuple(variants for _, variants in sorted(case.free_axes(structure.slug, structure.variants).items()))
    moved = {name for axis in axes for v in axis for name in (*v.values, *v.priors)}
    drawn = {name for name in used if rows[name].estimate and rows[name].prior is not None}
    columns = [_row(rows[name], axes) for name in sorted(drawn | (moved & used)) if name not in apart]
    kept = tuple(axis for axis in axes if any(name in used for v in axis for name in (*v.values, *v.priors)))
    split = {is_late: tuple(p for p in columns if (p.id in late) == is_late) for is_late in (False, True)}
    return Cube(split[False], kept, split[True])


def rebuild_cube(
    case: Case, structure: Structure, early: Collection[str], axes: Collection[str], late: Collection[str]
) -> Cube:
    """A cube from the names of its columns."""
    rows = case.parameters(structure.slug, structure.variants)
    free = case.free_axes(structure.slug, structure.variants)
    chosen = tuple(free[name] for name in axes)
    columns = (tuple(_row(rows[name], chosen) for name in names) for names in (early, late))
    return Cube(next(columns), chosen, next(columns))


def _row(row: Parameter, axes: Collection[tuple[Variant, ...]]) -> Parameter:
    """The row of a parameter; one that only a variant draws keeps its nominal value otherwise."""
    priors = [v.priors[row.id] for axis in axes for v in axis if row.id in v.priors]
    return row if row.estimate or not priors else replace(row, prior=None)
