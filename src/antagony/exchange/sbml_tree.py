"""Walking an SBML model, and algebraic rules that say no more than an assignment rule could."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import libsbml as _libsbml

from ..errors import UnsupportedError

libsbml: Any = _libsbml  # it builds its classes at run time, where no type checker sees them


def items(container: Any) -> list[Any]:  # noqa: ANN401 - libSBML's classes have no static type
    """libSBML's list as a list."""
    return [container.get(i) for i in range(container.size())]


def participants(reaction: Any) -> list[Any]:  # noqa: ANN401
    """Reactants, then products."""
    return [*items(reaction.getListOfReactants()), *items(reaction.getListOfProducts())]


def local_parameters(reaction: Any) -> list[Any]:  # noqa: ANN401
    """Parameters that one reaction's rate law has to itself."""
    law = reaction.getKineticLaw()
    return [] if law is None else [*items(law.getListOfParameters()), *items(law.getListOfLocalParameters())]


def nodes(root: Any) -> Iterator[Any]:  # noqa: ANN401
    """Every node of a formula's tree."""
    stack = [root]
    while stack:
        node = stack.pop()
        yield node
        stack += [node.getChild(i) for i in range(node.getNumChildren())]


def formula(tree: Any) -> str:  # noqa: ANN401
    """A tree as one would write it, cut to a line."""
    return (libsbml.formulaToL3String(tree) or "?")[:100] if tree is not None else ""


def with_formulas(model: Any) -> Iterator[Any]:  # noqa: ANN401
    """Every element that holds a formula; libSBML's own list of elements leaves computed stoichiometries out."""
    found = model.getListOfAllElements()
    elements = [found.get(i) for i in range(found.getSize())]
    named = [p for r in items(model.getListOfReactions()) for p in participants(r)]
    elements += [p.getStoichiometryMath() for p in named if p.isSetStoichiometryMath()]
    return (e for e in elements if hasattr(e, "getMath") and e.getMath() is not None)


# --- algebraic rules -------------------------------------------------------------------------------------------------


def solve_algebraic(model: Any) -> list[str]:  # noqa: ANN401
    """Turn each algebraic rule into the assignment rule that says the same; returns a sentence for each.

        0 = a x + rest   ->   x := rest / (-a),    a a plain number, x the only quantity that nothing else determines

    Raises UnsupportedError that quotes a rule which is not of this form.
    """
    said = []
    rules = [rule for rule in items(model.getListOfRules()) if rule.isAlgebraic()]
    for rule in rules:
        if (tree := rule.getMath()) is None:
            rule.removeFromParentAndDelete()
            continue
        used = {node.getName() for node in nodes(tree) if node.getType() == libsbml.AST_NAME}
        unknown = sorted(used & _undetermined(model))
        slope = _slope(tree, unknown[0]) if len(unknown) == 1 else None
        if not slope:
            raise UnsupportedError(f"an algebraic rule (0 = {formula(tree)}): neither solver covers it")
        rest = tree.deepCopy()
        zero = libsbml.ASTNode(libsbml.AST_INTEGER)
        zero.setValue(0)
        rest.replaceArgument(unknown[0], zero)
        said.append(f"algebraic rule 0 = {formula(tree)} read as a rule for {unknown[0]}")
        rule.removeFromParentAndDelete()
        assignment = model.createAssignmentRule()
        assignment.setVariable(unknown[0])
        assignment.setMath(_divided(rest, -slope))
    return said


def _undetermined(model: Any) -> set[str]:  # noqa: ANN401
    """Quantities that may vary and that no rule, event, reaction or initial assignment determines."""
    lists = (model.getListOfSpecies(), model.getListOfCompartments(), model.getListOfParameters())
    free = {item.getId() for some in lists for item in items(some) if not item.getConstant()}
    free -= {rule.getVariable() for rule in items(model.getListOfRules())}
    free -= {a.getVariable() for e in items(model.getListOfEvents()) for a in items(e.getListOfEventAssignments())}
    free -= {a.getSymbol() for a in items(model.getListOfInitialAssignments())}
    moved = {p.getSpecies() for r in items(model.getListOfReactions()) for p in participants(r)}
    return free - {name for name in moved if not model.getSpecies(name).getBoundaryCondition()}


def _slope(node: Any, name: str) -> float | None:  # noqa: ANN401
    """Coefficient of `name` where a tree is linear in it with a plain number; None where it is not."""
    kind = node.getType()
    if kind == libsbml.AST_NAME:
        return float(node.getName() == name)
    children = [node.getChild(i) for i in range(node.getNumChildren())]
    found = [_slope(child, name) for child in children]
    inner = [slope for slope in found if slope is not None]
    if len(inner) < len(found):
        return None
    if not any(inner):
        return 0.0
    if kind == libsbml.AST_PLUS:
        return sum(inner)
    if kind == libsbml.AST_MINUS:
        return -inner[0] if len(inner) == 1 else inner[0] - inner[1]
    numbers = [child.getValue() for child, slope in zip(children, inner, strict=True) if slope == 0]
    plain = all(child.isNumber() for child, slope in zip(children, inner, strict=True) if slope == 0)
    if kind == libsbml.AST_TIMES and plain and len(numbers) == len(children) - 1:
        product = sum(inner)
        for number in numbers:
            product *= number
        return product
    if kind == libsbml.AST_DIVIDE and plain and inner[1] == 0:
        return inner[0] / numbers[0] if numbers[0] else None
    return None


def _divided(tree: Any, number: float) -> Any:  # noqa: ANN401
    if number == 1:
        return tree
    below = libsbml.ASTNode(libsbml.AST_REAL)
    below.setValue(number)
    quotient = libsbml.ASTNode(libsbml.AST_DIVIDE)
    quotient.addChild(tree)
    quotient.addChild(below)
    return quotient
