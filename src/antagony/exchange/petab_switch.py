"""Switches on a state that jump nowhere, written without a switch, for programs that look for the moment of switching.

    piecewise(u(x), x > y, v(x))  =  u(max(x, y)) + v(min(x, y)) - u(y)      where u(y) = v(y)

A model that rests exactly where it would switch (x = y) leaves that point without a change of sign: CVODES reports no
root, and AMICI 1.1 stays on the wrong branch without a word.
"""

from __future__ import annotations

import math
from typing import Any

import libsbml as _libsbml

from .sbml_tree import items, nodes

libsbml: Any = _libsbml  # it builds its classes at run time, where no type checker sees them

ABOVE = (libsbml.AST_RELATIONAL_GT, libsbml.AST_RELATIONAL_GEQ)
BELOW = (libsbml.AST_RELATIONAL_LT, libsbml.AST_RELATIONAL_LEQ)
GAP = 1e-12  # between the branches where they meet


def remove_switches(model: Any) -> int:  # noqa: ANN401 - libSBML's classes have no static type
    """Rewrite the continuous switches in a model's rules; returns how many. Others stay as they are."""
    found = 0
    for rule in items(model.getListOfRules()):
        tree, count = _rewritten(rule.getMath(), model)
        if count:
            rule.setMath(tree)
            found += count
    return found


def _rewritten(tree: Any, model: Any) -> tuple[Any, int]:  # noqa: ANN401
    copy, count = tree.deepCopy(), 0
    for i in range(tree.getNumChildren()):
        child, inner = _rewritten(tree.getChild(i), model)
        copy.replaceChild(i, child)
        count += inner
    smooth = _without_switch(copy, model)
    return (copy, count) if smooth is None else (smooth, count + 1)


def _without_switch(tree: Any, model: Any) -> Any:  # noqa: ANN401
    """The same function without a switch; None for what is no switch, or jumps."""
    if tree.getType() != libsbml.AST_FUNCTION_PIECEWISE or tree.getNumChildren() != 3:
        return None
    upper, condition, lower = (tree.getChild(i) for i in range(3))
    if condition.getType() in BELOW:
        upper, lower = lower, upper
    elif condition.getType() not in ABOVE:
        return None
    x, y = condition.getChild(0), condition.getChild(1)
    if x.getType() != libsbml.AST_NAME or any(node.getName() == x.getName() for node in nodes(y)):
        return None
    meeting = _put(upper, x.getName(), y)
    gap = (libsbml.SBMLTransforms.evaluateASTNode(n, model) for n in (meeting, _put(lower, x.getName(), y)))
    if not math.isclose(*gap, rel_tol=GAP, abs_tol=GAP):  # NaN where a branch needs more than plain numbers
        return None
    above = _put(upper, x.getName(), _call(libsbml.AST_FUNCTION_MAX, x, y))
    below = _put(lower, x.getName(), _call(libsbml.AST_FUNCTION_MIN, x, y))
    return _call(libsbml.AST_MINUS, _call(libsbml.AST_PLUS, above, below), meeting)


def _put(tree: Any, name: str, value: Any) -> Any:  # noqa: ANN401
    """A formula with another in the place of a name."""
    if tree.getType() == libsbml.AST_NAME and tree.getName() == name:
        return value.deepCopy()
    copy = tree.deepCopy()
    for i in range(tree.getNumChildren()):
        copy.replaceChild(i, _put(tree.getChild(i), name, value))
    return copy


def _call(kind: int, *arguments: Any) -> Any:  # noqa: ANN401
    node = libsbml.ASTNode(kind)
    for argument in arguments:
        node.addChild(argument.deepCopy())
    return node
