"""What a model must remember of one arm, so that a second arm in the same run can be compared with it.

An output is remembered by the states, the time and the settings behind it, and computed from them once more:

    score = f(plasticity, cue, time, comparator_cue)
    reference_score = f(reference_plasticity, reference_cue, reference_time, reference_comparator_cue)

Keeping `score` itself would be simpler, but AMICI compiles no change that uses a rule or a computed start.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

import libsbml as _libsbml

from ..errors import UnsupportedError

libsbml: Any = _libsbml  # it builds its classes at run time, where no type checker sees them

TIME = "reference_time"


def reference_to(name: str) -> str:
    """Name of what is remembered of a quantity."""
    return f"reference_{name}"


def start_of(state: str) -> str:
    """Name of a state's computed start."""
    return f"start_of_{state}"


@dataclass(frozen=True, slots=True)
class Memory:
    """Behind some outputs: `rules` in order, and the `states` and `settings` that they follow."""

    rules: tuple[str, ...]
    states: tuple[str, ...]
    settings: tuple[str, ...]


def plan_memory(sbml: str, outputs: Iterable[str], settings: Collection[str], clock: str) -> Memory:
    """What must be remembered for outputs of a model in which `settings` differ between arms.

    `clock` is the setting that says when an arm begins. Raises UnsupportedError where anything else follows the time.
    """
    from ..kernel.symbolic import TIME as NOW
    from ..kernel.symbolic import read_system, symbol

    system = read_system(sbml)
    for name, e in {**system.states, **system.rules}.items():
        if NOW in e.free_symbols and symbol(clock) not in e.free_symbols:
            raise UnsupportedError(f'"{name}" follows the time itself, so that no arm can follow another in one run')
    needed = {symbol(name) for name in outputs}
    for name in reversed(system.rules):
        if symbol(name) in needed:
            needed |= system.rules[name].free_symbols
    differs = {NOW, *(symbol(name) for name in (*system.states, *settings))} & needed
    rules = []
    for name, e in system.rules.items():
        if symbol(name) in needed and e.free_symbols & differs:
            rules.append(name)
            differs.add(symbol(name))
    known = {s.name for s in differs}
    return Memory(
        tuple(rules),
        tuple(name for name in system.states if name in known),
        tuple(sorted(name for name in settings if name in known)),
    )


def add_memory(model: Any, memory: Memory, computed: Iterable[str]) -> None:  # noqa: ANN401 - libSBML's classes
    """Add to an SBML model what it remembers, and the starts of states that an initial assignment computes."""
    _add_parameter(model, TIME, model.getTimeUnits(), 0.0)
    for name in (*memory.states, *memory.settings):
        item = model.getParameter(name)
        _add_parameter(model, reference_to(name), item.getUnits(), item.getValue() if item.isSetValue() else 0.0)
    for name in memory.rules:
        _add_parameter(model, reference_to(name), model.getParameter(name).getUnits(), None)
        rule = model.createAssignmentRule()
        rule.setVariable(reference_to(name))
        rule.setMath(_remembered(model.getRule(name).getMath(), memory))
    for name in computed:
        # a state that does not move: AMICI lets a change use states and parameters, but no computed parameter
        _add_parameter(model, start_of(name), model.getParameter(name).getUnits(), None)
        assignment = model.createInitialAssignment()
        assignment.setSymbol(start_of(name))
        assignment.setMath(model.getInitialAssignmentBySymbol(name).getMath().deepCopy())
        rule = model.createRateRule()
        rule.setVariable(start_of(name))
        still = libsbml.ASTNode(libsbml.AST_REAL)
        still.setValue(0.0)
        rule.setMath(still)


def _remembered(tree: Any, memory: Memory) -> Any:  # noqa: ANN401
    """A formula in which everything that differs between arms is the remembered one."""
    name = TIME if tree.getType() == libsbml.AST_NAME_TIME else tree.getName()
    if tree.getType() == libsbml.AST_NAME_TIME or name in {*memory.rules, *memory.states, *memory.settings}:
        leaf = libsbml.ASTNode(libsbml.AST_NAME)  # a renamed symbol of time would keep its definition's address
        leaf.setName(name if name == TIME else reference_to(name))
        return leaf
    copy = tree.deepCopy()
    for i in range(tree.getNumChildren()):
        copy.replaceChild(i, _remembered(tree.getChild(i), memory))
    return copy


def _add_parameter(model: Any, name: str, unit: str, value: float | None) -> None:  # noqa: ANN401
    parameter = model.createParameter()
    parameter.setId(name)
    parameter.setUnits(unit)
    parameter.setConstant(False)
    if value is not None:
        parameter.setValue(value)
