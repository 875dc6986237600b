"""Outputs read again under other values of the parameters that move no state, without integrating.

    kernel: states and early rules, carried to a moment        numpy: late rules, from what was carried and late values

A parameter is *late* where it stands in no rate, no start and no rule that a rate uses: sizes of effects on a scale,
a trial's baseline and placebo course. What weighing and designing ask of millions of draws costs no solver that way.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import SimulationError, near_miss
from .mechanism import Mechanism

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Step:
    """One late rule: its symbols in order, and the function of their values."""

    name: str
    symbols: tuple[str, ...]
    function: Callable[..., Array]
    text: str


@dataclass(frozen=True, slots=True)
class Readout:
    """How some outputs of a mechanism follow from what is carried.

    `carried`: states and early rules that a run must hand over; `parameters`: what must have a value besides.
    """

    outputs: tuple[str, ...]
    carried: tuple[str, ...]
    parameters: tuple[str, ...]
    defaults: Mapping[str, float]
    steps: tuple[_Step, ...]

    @property
    def text(self) -> tuple[str, ...]:
        """Its equations; two readouts with the same ones give the same numbers."""
        return tuple(f"{step.name} = {step.text}" for step in self.steps)

    def read(
        self, time: ArrayLike, carried: Mapping[str, ArrayLike], values: Mapping[str, ArrayLike]
    ) -> dict[str, Array]:
        """Each output in the shape to which its inputs broadcast; `values` by parameter id, else the model's own."""
        known: dict[str, Any] = {_TIME: np.asarray(time, dtype=float)}
        known |= {name: np.asarray(carried[name], dtype=float) for name in self.carried}
        known |= {name: np.asarray(values.get(name, self.defaults[name]), dtype=float) for name in self.parameters}
        for step in self.steps:
            known[step.name] = step.function(*(known[name] for name in step.symbols))
        return {name: known[name] for name in self.outputs}


_TIME = "csymbol time"  # no SBML identifier holds a blank
_SHARED = "shared "


def late_parameters(mechanism: Mechanism) -> frozenset[str]:
    """Parameters of a model that can move no state: they act on outputs only."""
    return _late(mechanism.sbml)


@lru_cache(maxsize=16)
def _system(sbml: str) -> Any:  # noqa: ANN401 - a System
    from .kernel.symbolic import read_system

    return read_system(sbml)


@cache
def _late(sbml: str) -> frozenset[str]:
    from .kernel.symbolic import symbol

    system = _system(sbml)
    reached: set[Any] = set()
    for rate in (*system.states.values(), *system.initial.values()):
        reached |= rate.free_symbols
    for name in reversed(system.rules):
        if symbol(name) in reached:
            reached |= system.rules[name].free_symbols
    return frozenset(name for name in system.values if name not in system.states and symbol(name) not in reached)


def build_readout(mechanism: Mechanism, outputs: Collection[str], late: Collection[str]) -> Readout:
    """A readout of some outputs where `late` parameters (some or all of `late_parameters`) take other values.

    Raises SimulationError for an output that the model lacks, and for a parameter that is not late.
    """
    system = _system(mechanism.sbml)
    for name in outputs:
        if name not in system.outputs:
            raise SimulationError(f'{mechanism.slug} has no output "{name}"{near_miss(name, system.outputs)}')
    if early := sorted(set(late) & system.values.keys() - late_parameters(mechanism)):
        raise SimulationError(f'{mechanism.slug}: "{early[0]}" moves a state, so it cannot be read out late')
    return _compile(system.rules, outputs, set(late), _constants(system))


def split_readout(
    mechanism: Mechanism, output: str, late: Collection[str], personal: Collection[str]
) -> tuple[Readout, Readout]:
    """A readout of one output in two: what all patients of a draw share, and what each makes of it.

    `personal` are late parameters that differ between patients. The first readout gives the largest expressions without
    them, the second takes these as its `carried`: usually a drug effect and a placebo effect, which is few enough to
    tabulate what patients make of them.
    """
    return _split(mechanism.sbml, output, frozenset(late), frozenset(personal))


@lru_cache(maxsize=1024)
def _split(sbml: str, output: str, late: frozenset[str], personal: frozenset[str]) -> tuple[Readout, Readout]:
    import sympy as sp

    from .kernel.symbolic import symbol

    system = _system(sbml)
    constants = _constants(system)
    touched = _touched(system.rules, late)
    own = _touched(system.rules, personal) & _closure(system.rules, [output], touched)
    mine = {symbol(name) for name in (*own, *personal)}
    changing = {symbol(name) for name in (*system.outputs, *late)} | {sp.Symbol(_TIME, real=True)}
    shared: dict[str, Any] = {}

    def part(expression: Any) -> Any:  # noqa: ANN401 - sympy
        free = expression.free_symbols
        if not free & mine:
            if not free & changing or (expression.is_Symbol and expression.name not in system.outputs):
                return expression
            name = expression.name if expression.is_Symbol else f"{_SHARED}{len(shared)}"
            known = next((k for k, v in shared.items() if v == expression), None)
            shared[known or name] = expression
            return sp.Symbol(known or name, real=True)
        if expression.is_Symbol:
            return expression
        if expression.is_Add or expression.is_Mul:
            apart = [a for a in expression.args if not a.free_symbols & mine and a.free_symbols & changing]
            rest = [part(a) for a in expression.args if a not in apart]
            return expression.func(*rest, *([part(expression.func(*apart))] if apart else []))
        return expression.func(*(part(a) for a in expression.args))

    rules = {name: part(system.rules[name]) for name in system.rules if name in own}
    summaries = {k: v for k, v in shared.items() if not v.is_Symbol}
    first = _compile({**system.rules, **summaries}, list(shared), late - personal, constants)
    if output not in own:
        return _compile(system.rules, [output], late, constants), _passed(output)
    steps = tuple(_step(name, rule) for name, rule in rules.items())
    used = {name for step in steps for name in step.symbols} - own - shared.keys() - {_TIME}
    parameters = tuple(sorted(used))
    return first, Readout((output,), tuple(shared), parameters, {n: constants[n] for n in parameters}, steps)


def _constants(system: Any) -> dict[str, float]:  # noqa: ANN401 - a System
    return {name: value for name, value in system.values.items() if name not in system.states}


def _passed(output: str) -> Readout:
    return Readout((output,), (output,), (), {}, ())


def _touched(rules: Mapping[str, Any], by: Collection[str]) -> set[str]:
    """Rules that use some of these symbols, themselves or through other rules."""
    touched: set[str] = set()
    for name, expression in rules.items():  # each uses earlier ones only
        if _names(expression) & (touched | set(by)):
            touched.add(name)
    return touched


def _compile(
    rules: Mapping[str, Any], outputs: Collection[str], late: Collection[str], values: Mapping[str, float]
) -> Readout:
    """Late rules as functions; what they take from earlier ones is carried."""
    touched = _touched(rules, late) | {name for name in outputs if name.startswith(_SHARED)}
    needed = _closure(rules, outputs, touched)
    steps = tuple(_step(name, rules[name]) for name in rules if name in needed)
    used = {name for step in steps for name in step.symbols} - needed - {_TIME}
    used |= {name for name in outputs if name not in needed}
    parameters = tuple(sorted(name for name in used if name in values))
    carried = tuple(sorted(used - set(parameters)))
    return Readout(tuple(outputs), carried, parameters, {name: values[name] for name in parameters}, steps)


def _names(expression: Any) -> set[str]:  # noqa: ANN401 - a sympy expression
    return {s.name for s in expression.free_symbols}


def _closure(rules: Mapping[str, Any], wanted: Collection[str], touched: Collection[str]) -> set[str]:
    """The touched rules among `wanted`, and the touched ones that they use."""
    found, waiting = set(), list(wanted)
    while waiting:
        name = waiting.pop()
        if name in touched and name not in found:
            found.add(name)
            waiting += _names(rules[name])
    return found


def _step(name: str, expression: Any) -> _Step:  # noqa: ANN401 - a sympy expression
    """A rule as a function of arrays. Its text is made of counted symbols, so no name of a model is ever executed."""
    import sympy as sp

    symbols = sorted(expression.free_symbols, key=lambda s: s.name)
    counted = [sp.Symbol(f"x{i}", real=True) for i in range(len(symbols))]
    renamed = expression.xreplace(dict(zip(symbols, counted, strict=True)))
    function = sp.lambdify(counted, renamed, modules=[_FUNCTIONS, "numpy"])
    return _Step(name, tuple(s.name for s in symbols), function, str(expression))


def _factorial(x: ArrayLike) -> Array:
    from scipy.special import gamma

    return gamma(np.asarray(x, dtype=float) + 1)


def _power(base: ArrayLike, exponent: ArrayLike) -> Array:
    with np.errstate(invalid="ignore"):
        return np.power(np.asarray(base, dtype=float), exponent)


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "Less": lambda a, b: np.less(a, b).astype(float),
    "LessEqual": lambda a, b: np.less_equal(a, b).astype(float),
    "Equal": lambda a, b: np.equal(a, b).astype(float),
    "Both": lambda *a: np.logical_and.reduce(np.broadcast_arrays(*a)).astype(float),
    "Either": lambda *a: np.logical_or.reduce(np.broadcast_arrays(*a)).astype(float),
    "Negation": lambda a: np.logical_not(a).astype(float),
    "Floor": np.floor,
    "Ceiling": np.ceil,
    "Select": lambda condition, chosen, other: np.where(condition, chosen, other),
    "Maximum": np.maximum,
    "Minimum": np.minimum,
    "Absolute": np.abs,
    "Power": _power,
    "Factorial": _factorial,
}
"""The kernel's own functions of symbols, for arrays."""
