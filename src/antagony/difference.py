"""Where two mechanisms differ, in equations; all the rest is shown to be the same, symbol by symbol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .mechanism import Mechanism


@dataclass(frozen=True, slots=True)
class Equation:
    """One definition of a model: `x :=`, `x' =`, `x(0) =` or a number, with its right-hand side."""

    left: str
    right: str


@dataclass(frozen=True, slots=True)
class Difference:
    """Two mechanisms compared: equations that differ, that only one has, and how many are the same in both."""

    first: str
    second: str
    changed: tuple[tuple[Equation, Equation], ...]
    only_first: tuple[Equation, ...]
    only_second: tuple[Equation, ...]
    same: int

    @property
    def identical(self) -> bool:
        """Whether nothing at all differs."""
        return not (self.changed or self.only_first or self.only_second)


def compare_mechanisms(first: Mechanism, second: Mechanism) -> Difference:
    """Compare two composed mechanisms by the equations that libSBML holds of them, numbers included.

    An equation counts as the same only when its left side, its right side and its unit are equal to the letter in
    libSBML's own form, so whatever is not listed is identical.
    """
    a, b = equations(first.sbml), equations(second.sbml)
    shared = sorted(a.keys() & b.keys())
    changed = tuple((Equation(k, a[k]), Equation(k, b[k])) for k in shared if a[k] != b[k])
    return Difference(
        _name(first),
        _name(second),
        changed,
        tuple(Equation(k, a[k]) for k in sorted(a.keys() - b.keys())),
        tuple(Equation(k, b[k]) for k in sorted(b.keys() - a.keys())),
        len(shared) - len(changed),
    )


def _name(mechanism: Mechanism) -> str:
    return f"{mechanism.slug} ({', '.join(mechanism.variants)})" if mechanism.variants else mechanism.slug


def equations(sbml: str) -> Mapping[str, str]:
    """Every definition of an SBML model: left side -> right side with its unit."""
    import libsbml

    document = libsbml.readSBMLFromString(sbml)
    model = document.getModel()
    units = {p.getId(): p.getUnits() for p in (model.getParameter(i) for i in range(model.getNumParameters()))}
    found: dict[str, str] = {}
    for rule in (model.getRule(i) for i in range(model.getNumRules())):
        left = f"{rule.getVariable()}'" if rule.isRate() else f"{rule.getVariable()} :"
        found[f"{left} ="] = f"{libsbml.formulaToL3String(rule.getMath())}  [{units.get(rule.getVariable(), '')}]"
    for item in (model.getInitialAssignment(i) for i in range(model.getNumInitialAssignments())):
        found[f"{item.getSymbol()}(0) ="] = libsbml.formulaToL3String(item.getMath())
    for parameter in (model.getParameter(i) for i in range(model.getNumParameters())):
        if parameter.isSetValue():
            found[f"{parameter.getId()} ="] = f"{parameter.getValue()!r}  [{parameter.getUnits()}]"
    return {left.replace(" : =", " :="): right for left, right in found.items()}
