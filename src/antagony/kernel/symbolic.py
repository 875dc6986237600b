# sympy and libSBML build their classes at run time, and their annotations do not follow.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportReturnType=false
# pyright: reportOperatorIssue=false, reportIncompatibleMethodOverride=false, reportCallIssue=false
# pyright: reportIndexIssue=false, reportAssignmentType=false
"""libSBML's syntax trees -> sympy: one `System` of symbols, rates, rules and initial values.

Expressions are built from the parsed tree, never from text, so reading a stranger's model runs no code of theirs.
What the kernel does not cover is refused by its SBML name.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import libsbml
import sympy as sp

from ..errors import UnsupportedError

AVOGADRO = 6.02214179e23  # the value that SBML Level 3 fixes for its csymbol


# --- functions that sympy either lacks or simplifies too slowly ---------------------------------------------------
# Truth is a number here, 0 or 1, as SBML Level 3 Version 2 allows; the C text turns it into lane masks.


class _Opaque(sp.Function):
    """A function with real values that sympy neither evaluates nor rewrites."""

    is_real = True

    @classmethod
    def eval(cls, *arguments: sp.Expr) -> None:
        """Leave the call as it stands."""


class _Flat(_Opaque):
    """An opaque function whose derivative is zero wherever it exists."""

    def _eval_derivative(self, symbol: sp.Symbol) -> sp.Expr:
        return sp.S.Zero


class _Truth(_Flat):
    """A flat function whose value is 0 or 1."""


class Less(_Truth):
    """1 where a < b, else 0."""


class LessEqual(_Truth):
    """1 where a <= b, else 0."""


class Equal(_Truth):
    """1 where a = b, else 0."""


class Both(_Truth):
    """1 where both arguments are true."""


class Either(_Truth):
    """1 where at least one argument is true."""


class Negation(_Truth):
    """1 where the argument is false."""


class Floor(_Flat):
    """Largest integer not above the argument."""


class Ceiling(_Flat):
    """Smallest integer not below the argument."""


class Select(_Opaque):
    """Second argument where the first is true, else the third; the other branch may be NaN."""

    def _eval_derivative(self, symbol: sp.Symbol) -> sp.Expr:
        condition, chosen, other = self.args
        first, second = sp.diff(chosen, symbol), sp.diff(other, symbol)
        return first if first == second else Select(condition, first, second)


class Maximum(_Opaque):
    """Larger of two arguments."""

    def _eval_derivative(self, symbol: sp.Symbol) -> sp.Expr:
        a, b = self.args
        return Select(Less(a, b), b, a)._eval_derivative(symbol)


class Minimum(_Opaque):
    """Smaller of two arguments."""

    def _eval_derivative(self, symbol: sp.Symbol) -> sp.Expr:
        a, b = self.args
        return Select(Less(b, a), b, a)._eval_derivative(symbol)


class Absolute(_Opaque):
    """Absolute value."""

    def _eval_derivative(self, symbol: sp.Symbol) -> sp.Expr:
        (a,) = self.args
        return Select(Less(a, sp.S.Zero), -a, a)._eval_derivative(symbol)


class Power(_Opaque):
    """base ** exponent where the exponent is no small integer; a negative base needs a whole exponent, else NaN."""

    def _eval_derivative(self, symbol: sp.Symbol) -> sp.Expr:
        base, exponent = self.args
        slope = exponent * PowerRatio(base, exponent) * sp.diff(base, symbol)
        bend = sp.diff(exponent, symbol)
        return slope if bend == 0 else slope + bend * self * LogAbsolute(base)


class PowerRatio(_Opaque):
    """base ** (exponent - 1), and 0 at base 0, so that a Jacobian stays finite there."""

    def _eval_derivative(self, symbol: sp.Symbol) -> sp.Expr:
        base, exponent = self.args
        return sp.diff(Power(base, exponent) / base, symbol)


class LogAbsolute(_Opaque):
    """Natural logarithm of the absolute value; very negative, but finite, at 0."""

    def _eval_derivative(self, symbol: sp.Symbol) -> sp.Expr:
        (a,) = self.args
        return sp.diff(a, symbol) / a


class Digamma(_Flat):
    """Logarithmic derivative of the gamma function; only ever part of a Jacobian."""


class Factorial(_Opaque):
    """Factorial through the gamma function."""

    def _eval_derivative(self, symbol: sp.Symbol) -> sp.Expr:
        (a,) = self.args
        return self * Digamma(a + 1) * sp.diff(a, symbol)


# --- the system ----------------------------------------------------------------------------------------------------

TIME = sp.Symbol("csymbol time", real=True)  # SBML identifiers hold no blank, so nothing can collide
START = sp.Symbol("csymbol start", real=True)


def symbol(identifier: str) -> sp.Symbol:
    """The sympy symbol of an SBML identifier."""
    return sp.Symbol(identifier, real=True)


@dataclass(frozen=True, slots=True)
class Assignment:
    """What an event gives one quantity: value, times `scale` as it is just before the execution.

    A species that is kept as an amount, while its symbol means a concentration, has its compartment's size for a scale:
    an event that sets both, a concentration and the compartment's size, changes the amount first.
    """

    target: str
    value: sp.Expr
    scale: sp.Expr = sp.S.One


@dataclass(frozen=True, slots=True)
class Event:
    """An event of the model itself: a condition that, by becoming true, sets quantities, at once or after a delay.

    initially: what the condition counts as before the start. persistent: a condition that ceases to hold during the
    delay changes nothing. early: values are those of the moment of the trigger, not of the moment of the execution.
    delay, priority: None where the model gives none.
    """

    trigger: sp.Expr
    assignments: tuple[Assignment, ...]
    initially: bool
    persistent: bool
    early: bool
    delay: sp.Expr | None
    priority: sp.Expr | None


@dataclass(frozen=True, slots=True)
class System:
    """Ordinary differential equations in symbols; every name is an SBML identifier.

    states: name -> rate, in a fixed order. rules: name -> expression, sorted so that each uses earlier ones only.
    initial: name -> expression for every quantity whose start is not a plain number. values: name -> number for the
    rest; these are the parameters that a caller may set (for a state: its start). events: in the model's order.
    switched: quantities that events set and that keep their value in between.
    """

    states: dict[str, sp.Expr]
    rules: dict[str, sp.Expr]
    initial: dict[str, sp.Expr]
    values: dict[str, float]
    events: tuple[Event, ...] = ()
    switched: tuple[str, ...] = ()

    @property
    def outputs(self) -> tuple[str, ...]:
        """Everything that can change in time: states, what events switch, then rules."""
        return (*self.states, *self.switched, *self.rules)


def read_system(text: str) -> System:
    """Read SBML text into a `System`; raises UnsupportedError that names a construct outside the kernel's range."""
    document = libsbml.readSBMLFromString(text)
    model = document.getModel()
    if model is None:
        raise UnsupportedError(f"this text is no SBML model: {document.getErrorLog().toString().strip()[:300]}")
    return _Reader(model).system()


def amount_of(species: str) -> str:
    """Name of the state that holds a species' amount (its own symbol means the concentration)."""
    return f"{species} amount"


class _Reader:
    """One pass over an SBML model; keeps the dictionaries that become a System."""

    def __init__(self, model: libsbml.Model) -> None:
        self.model = model
        self.translate = _Translator(model)
        self.states: dict[str, sp.Expr] = {}
        self.rules: dict[str, sp.Expr] = {}
        self.initial: dict[str, sp.Expr] = {}
        self.values: dict[str, float] = {}
        self.rate_rules: dict[str, sp.Expr] = {}

    def system(self) -> System:
        self._refuse()
        self._quantities()
        self._rules()
        self._initial_assignments()
        self._species()
        self._reactions()
        self.states.update({name: self.rate_rules[name] for name in self.rate_rules if name not in self.states})
        rules = _sorted_rules(self.rules)
        values = {name: value for name, value in self.values.items() if name not in rules and name not in self.initial}
        events = tuple(event for item in _items(self.model.getListOfEvents()) if (event := self._event(item)))
        targets = dict.fromkeys(a.target for event in events for a in event.assignments)
        switched = tuple(name for name in targets if name not in self.states)
        return System(self.states, rules, self.initial, values, events, switched)

    def _refuse(self) -> None:
        model = self.model
        for count, what in [
            (sum(model.getRule(i).isAlgebraic() for i in range(model.getNumRules())), "algebraic rules"),
            (sum(r.isSetFast() and r.getFast() for r in _items(model.getListOfReactions())), "fast reactions"),
        ]:
            if count:
                raise UnsupportedError(f"the kernel does not cover {what} ({count} found)")
        if (comp := model.getPlugin("comp")) is not None and comp.getNumSubmodels():
            raise UnsupportedError("the kernel does not cover hierarchical models (comp)")
        if model.getPlugin("fbc") is not None:
            raise UnsupportedError("the kernel does not cover flux balance models (fbc)")

    def _quantities(self) -> None:
        for item in _items(self.model.getListOfCompartments()):
            size = item.getSize() if item.isSetSize() else 1.0 if item.getLevel() < 3 else math.nan
            self.values[item.getId()] = size
        for item in _items(self.model.getListOfParameters()):
            self.values[item.getId()] = item.getValue() if item.isSetValue() else math.nan
        for reaction in _items(self.model.getListOfReactions()):
            for reference in (*_items(reaction.getListOfReactants()), *_items(reaction.getListOfProducts())):
                if _is_quantity(reference):
                    self.values[reference.getId()] = _stoichiometry_value(reference)

    def _rules(self) -> None:
        for rule in _items(self.model.getListOfRules()):
            if rule.getMath() is None:
                continue
            target = self.rate_rules if rule.isRate() else self.rules
            target[rule.getVariable()] = self.translate(rule.getMath())

    def _initial_assignments(self) -> None:
        for item in _items(self.model.getListOfInitialAssignments()):
            if item.getMath() is not None:
                self.initial[item.getSymbol()] = self.translate(item.getMath())

    def _species(self) -> None:
        """Species by their SBML meaning: kept as amounts unless a rule speaks of their own symbol."""
        for item in _items(self.model.getListOfSpecies()):
            name, volume = item.getId(), symbol(item.getCompartment())
            compartment = self.model.getCompartment(item.getCompartment())
            flat = compartment.isSetSpatialDimensions() and compartment.getSpatialDimensionsAsDouble() == 0
            size = sp.S.One if item.getHasOnlySubstanceUnits() or flat else volume
            if name in self.rules or name in self.rate_rules or size == 1:
                self._start(item, name, volume, amount=size == 1)
                continue
            amount = amount_of(name)
            if name in self.initial:
                self.initial[amount] = self.initial.pop(name) * volume
            else:
                self._start(item, amount, volume, amount=True)
            self.rules[name] = symbol(amount) / volume

    def _start(self, item: libsbml.Species, name: str, volume: sp.Expr, *, amount: bool) -> None:
        """Initial value of a species' symbol or amount; sizes may themselves be assigned, so stay symbolic."""
        if name in self.initial:
            return
        as_amount, as_concentration = item.isSetInitialAmount(), item.isSetInitialConcentration()
        if as_concentration and amount:
            self._computed_start(name, f"{item.getId()} concentration", item.getInitialConcentration(), volume)
        elif as_amount and not amount:
            self._computed_start(name, f"{item.getId()} start", item.getInitialAmount(), 1 / volume)
        elif as_amount or as_concentration:
            self.values[name] = item.getInitialAmount() if as_amount else item.getInitialConcentration()
        else:
            self.values[name] = math.nan

    def _computed_start(self, name: str, source: str, value: float, factor: sp.Expr) -> None:
        self.values[source] = value
        self.initial[name] = symbol(source) * factor

    def _reactions(self) -> None:
        changes: dict[str, sp.Expr] = {}
        for reaction in _items(self.model.getListOfReactions()):
            law = reaction.getKineticLaw()
            rate = sp.S.Zero
            if law is not None and law.getMath() is not None:
                local = {}
                for item in (*_items(law.getListOfParameters()), *_items(law.getListOfLocalParameters())):
                    identifier = f"{reaction.getId()} {item.getId()}"
                    self.values[identifier] = item.getValue() if item.isSetValue() else math.nan
                    local[item.getId()] = symbol(identifier)
                rate = self.translate(law.getMath(), local)
            self.rules[reaction.getId()] = rate
            for sign, references in ((-1, reaction.getListOfReactants()), (1, reaction.getListOfProducts())):
                for reference in _items(references):
                    name = reference.getSpecies()
                    change = sign * self._stoichiometry(reference) * symbol(reaction.getId())
                    changes[name] = changes.get(name, sp.S.Zero) + change
        for name, change in changes.items():
            item = self.model.getSpecies(name)
            if item.getBoundaryCondition() or item.getConstant() or name in self.rate_rules:
                continue
            factor = item.getConversionFactor() or self.model.getConversionFactor()
            state = amount_of(name) if amount_of(name) in (*self.values, *self.initial) else name
            self.states[state] = change * symbol(factor) if factor else change

    def _stoichiometry(self, reference: libsbml.SpeciesReference) -> sp.Expr:
        if reference.isSetStoichiometryMath() and reference.getStoichiometryMath().getMath() is not None:
            return self.translate(reference.getStoichiometryMath().getMath())
        return symbol(reference.getId()) if _is_quantity(reference) else _number(_stoichiometry_value(reference))

    def _event(self, item: libsbml.Event) -> Event | None:
        """An event as SBML means it; None where a formula is missing without which it changes nothing."""
        trigger = item.getTrigger()
        assignments = tuple(
            self._assignment(a.getVariable(), self.translate(a.getMath()))
            for a in _items(item.getListOfEventAssignments())
            if a.getMath() is not None
        )
        if trigger is None or trigger.getMath() is None or not assignments:
            return None
        delay, priority = (
            None if part is None or part.getMath() is None else self.translate(part.getMath())
            for part in (item.getDelay(), item.getPriority())
        )
        return Event(
            _truth(self.translate(trigger.getMath())),
            assignments,
            initially=trigger.getInitialValue(),
            persistent=trigger.getPersistent(),
            early=item.getUseValuesFromTriggerTime(),
            delay=delay,
            priority=priority,
        )

    def _assignment(self, name: str, value: sp.Expr) -> Assignment:
        known = {*self.values, *self.initial}
        if (species := self.model.getSpecies(name)) is not None and amount_of(name) in known:
            return Assignment(amount_of(name), value, symbol(species.getCompartment()))
        if name in self.rules or name not in known:
            raise UnsupportedError(f'the kernel does not cover an event that assigns "{name}", which a rule computes')
        for item in _items(self.model.getListOfSpecies()):
            kept = item.getId() in self.rate_rules and not item.getHasOnlySubstanceUnits()
            if kept and item.getCompartment() == name:
                raise UnsupportedError(
                    f'the kernel does not cover an event that assigns the compartment "{name}" of "{item.getId()}", '
                    "whose concentration has a rate rule"
                )
        return Assignment(name, value)


def _is_quantity(reference: libsbml.SpeciesReference) -> bool:
    """Whether a stoichiometry has a symbol of its own; in Level 2 the identifier means nothing to a formula."""
    return reference.isSetId() and reference.getLevel() > 2


def _stoichiometry_value(reference: libsbml.SpeciesReference) -> float:
    if reference.getLevel() < 3 or reference.isSetStoichiometry():
        return reference.getStoichiometry() / (reference.getDenominator() if reference.getLevel() == 1 else 1)
    return math.nan


def _items(container: Any) -> Iterable[Any]:  # noqa: ANN401 - libSBML's lists have no common Python type
    return [container.get(i) for i in range(container.size())]


def _sorted_rules(rules: Mapping[str, sp.Expr]) -> dict[str, sp.Expr]:
    """Rules in an order in which each uses only earlier ones; raises UnsupportedError on a circle."""
    names, done, path = set(rules), {}, []

    def visit(name: str) -> None:
        if name in done:
            return
        if name in path:
            raise UnsupportedError(f"assignment rules run in a circle: {' -> '.join([*path, name])}")
        path.append(name)
        for needed in sorted(s.name for s in rules[name].free_symbols if s.name in names):
            visit(needed)
        path.pop()
        done[name] = rules[name]

    for name in rules:
        visit(name)
    return done


# --- trees -----------------------------------------------------------------------------------------------------------


def _number(value: float) -> sp.Expr:
    """A number as sympy holds it: exact when whole, else the double itself."""
    if math.isnan(value):
        return sp.nan
    if math.isinf(value):
        return sp.oo if value > 0 else -sp.oo
    return sp.Integer(int(value)) if value == int(value) and abs(value) < 2**53 else sp.Float(value)


def power(base: sp.Expr, exponent: sp.Expr) -> sp.Expr:
    """base ** exponent: products for small whole exponents, a square root, else `Power`."""
    if exponent.is_Float and exponent == int(exponent):
        exponent = sp.Integer(int(exponent))
    if exponent.is_Integer and abs(int(exponent)) <= 16:
        return sp.Pow(base, exponent)
    if exponent in (sp.Rational(1, 2), sp.Float(0.5)):
        return sp.sqrt(base)
    return Power(base, exponent)


def _truth(expression: sp.Expr) -> sp.Expr:
    """Read any number as truth: everything but 0 is true."""
    return expression if isinstance(expression, _Truth) else Negation(Equal(expression, sp.S.Zero))


def _fold(combine: Callable[..., sp.Expr], empty: sp.Expr) -> Callable[..., sp.Expr]:
    def folded(*arguments: sp.Expr) -> sp.Expr:
        arguments = tuple(_truth(a) for a in arguments)
        if not arguments:
            return empty
        result = arguments[0]
        for argument in arguments[1:]:
            result = combine(result, argument)
        return result

    return folded


def _exclusive(a: sp.Expr, b: sp.Expr) -> sp.Expr:
    return Either(Both(a, Negation(b)), Both(Negation(a), b))


def _chain(relation: Callable[[sp.Expr, sp.Expr], sp.Expr]) -> Callable[..., sp.Expr]:
    """a < b < c means each neighbouring pair."""

    def chained(*arguments: sp.Expr) -> sp.Expr:
        return _fold(Both, sp.S.One)(*(relation(a, b) for a, b in pairwise(arguments)))

    return chained


def _piecewise(*arguments: sp.Expr) -> sp.Expr:
    pairs, rest = arguments[: len(arguments) // 2 * 2], arguments[len(arguments) // 2 * 2 :]
    result = rest[0] if rest else sp.nan
    for value, condition in reversed(list(zip(pairs[::2], pairs[1::2], strict=True))):
        result = Select(_truth(condition), value, result)
    return result


def _quotient(a: sp.Expr, b: sp.Expr) -> sp.Expr:
    ratio = a / b
    return Select(Less(ratio, sp.S.Zero), Ceiling(ratio), Floor(ratio))


def _extreme(pair: Callable[[sp.Expr, sp.Expr], sp.Expr]) -> Callable[..., sp.Expr]:
    def extreme(first: sp.Expr, *others: sp.Expr) -> sp.Expr:
        result = first
        for other in others:
            result = pair(result, other)
        return result

    return extreme


def _minus(a: sp.Expr, b: sp.Expr | None = None) -> sp.Expr:
    return -a if b is None else a - b


def _log(*arguments: sp.Expr) -> sp.Expr:
    base, value = arguments if len(arguments) == 2 else (sp.Integer(10), arguments[0])
    return sp.log(value) / sp.log(base)


def _root(*arguments: sp.Expr) -> sp.Expr:
    degree, value = arguments if len(arguments) == 2 else (sp.Integer(2), arguments[0])
    return sp.sqrt(value) if degree == 2 else power(value, 1 / degree)


@lru_cache(maxsize=1)
def _operators() -> dict[int, Callable[..., sp.Expr]]:
    """libSBML node type -> function of the translated children."""
    one = sp.S.One
    return {
        libsbml.AST_PLUS: lambda *a: sp.Add(*a),
        libsbml.AST_TIMES: lambda *a: sp.Mul(*a),
        libsbml.AST_MINUS: _minus,
        libsbml.AST_DIVIDE: lambda a, b: a / b,
        libsbml.AST_POWER: power,
        libsbml.AST_FUNCTION_POWER: power,
        libsbml.AST_FUNCTION_ROOT: _root,
        libsbml.AST_FUNCTION_EXP: sp.exp,
        libsbml.AST_FUNCTION_LN: sp.log,
        libsbml.AST_FUNCTION_LOG: _log,
        libsbml.AST_FUNCTION_ABS: Absolute,
        libsbml.AST_FUNCTION_FLOOR: Floor,
        libsbml.AST_FUNCTION_CEILING: Ceiling,
        libsbml.AST_FUNCTION_FACTORIAL: Factorial,
        libsbml.AST_FUNCTION_PIECEWISE: _piecewise,
        libsbml.AST_FUNCTION_MAX: _extreme(Maximum),
        libsbml.AST_FUNCTION_MIN: _extreme(Minimum),
        libsbml.AST_FUNCTION_QUOTIENT: _quotient,
        libsbml.AST_FUNCTION_REM: lambda a, b: a - b * _quotient(a, b),
        libsbml.AST_RELATIONAL_LT: _chain(Less),
        libsbml.AST_RELATIONAL_LEQ: _chain(LessEqual),
        libsbml.AST_RELATIONAL_GT: _chain(lambda a, b: Less(b, a)),
        libsbml.AST_RELATIONAL_GEQ: _chain(lambda a, b: LessEqual(b, a)),
        libsbml.AST_RELATIONAL_EQ: _chain(Equal),
        libsbml.AST_RELATIONAL_NEQ: lambda a, b: Negation(Equal(a, b)),
        libsbml.AST_LOGICAL_AND: _fold(Both, one),
        libsbml.AST_LOGICAL_OR: _fold(Either, sp.S.Zero),
        libsbml.AST_LOGICAL_XOR: _fold(_exclusive, sp.S.Zero),
        libsbml.AST_LOGICAL_NOT: lambda a: Negation(_truth(a)),
        libsbml.AST_LOGICAL_IMPLIES: lambda a, b: Either(Negation(_truth(a)), _truth(b)),
        libsbml.AST_FUNCTION_SIN: sp.sin,
        libsbml.AST_FUNCTION_COS: sp.cos,
        libsbml.AST_FUNCTION_TAN: sp.tan,
        libsbml.AST_FUNCTION_SEC: lambda a: one / sp.cos(a),
        libsbml.AST_FUNCTION_CSC: lambda a: one / sp.sin(a),
        libsbml.AST_FUNCTION_COT: lambda a: one / sp.tan(a),
        libsbml.AST_FUNCTION_SINH: sp.sinh,
        libsbml.AST_FUNCTION_COSH: sp.cosh,
        libsbml.AST_FUNCTION_TANH: sp.tanh,
        libsbml.AST_FUNCTION_SECH: lambda a: one / sp.cosh(a),
        libsbml.AST_FUNCTION_CSCH: lambda a: one / sp.sinh(a),
        libsbml.AST_FUNCTION_COTH: lambda a: one / sp.tanh(a),
        libsbml.AST_FUNCTION_ARCSIN: sp.asin,
        libsbml.AST_FUNCTION_ARCCOS: sp.acos,
        libsbml.AST_FUNCTION_ARCTAN: sp.atan,
        libsbml.AST_FUNCTION_ARCSEC: lambda a: sp.acos(one / a),
        libsbml.AST_FUNCTION_ARCCSC: lambda a: sp.asin(one / a),
        libsbml.AST_FUNCTION_ARCCOT: lambda a: sp.atan(one / a),
        libsbml.AST_FUNCTION_ARCSINH: sp.asinh,
        libsbml.AST_FUNCTION_ARCCOSH: sp.acosh,
        libsbml.AST_FUNCTION_ARCTANH: sp.atanh,
        libsbml.AST_FUNCTION_ARCSECH: lambda a: sp.acosh(one / a),
        libsbml.AST_FUNCTION_ARCCSCH: lambda a: sp.asinh(one / a),
        libsbml.AST_FUNCTION_ARCCOTH: lambda a: sp.atanh(one / a),
    }


@lru_cache(maxsize=1)
def _leaves() -> dict[int, Callable[[libsbml.ASTNode], sp.Expr]]:
    """libSBML leaf type -> expression."""
    return {
        libsbml.AST_INTEGER: lambda node: sp.Integer(node.getInteger()),
        libsbml.AST_REAL: lambda node: _number(node.getReal()),
        libsbml.AST_REAL_E: lambda node: _number(node.getReal()),
        libsbml.AST_RATIONAL: lambda node: sp.Rational(node.getNumerator(), node.getDenominator()),
        libsbml.AST_NAME_TIME: lambda node: TIME,
        libsbml.AST_NAME_AVOGADRO: lambda node: sp.Float(AVOGADRO),
        libsbml.AST_CONSTANT_PI: lambda node: sp.Float(math.pi),
        libsbml.AST_CONSTANT_E: lambda node: sp.Float(math.e),
        libsbml.AST_CONSTANT_TRUE: lambda node: sp.S.One,
        libsbml.AST_CONSTANT_FALSE: lambda node: sp.S.Zero,
    }


class _Translator:
    """Turns one libSBML tree into sympy; knows the model's function definitions."""

    def __init__(self, model: libsbml.Model) -> None:
        self.functions = {
            f.getId(): f.getMath() for f in _items(model.getListOfFunctionDefinitions()) if f.getMath() is not None
        }

    def __call__(self, node: libsbml.ASTNode, bound: Mapping[str, sp.Expr] | None = None) -> sp.Expr:
        kind = node.getType()
        if leaf := _leaves().get(kind):
            return leaf(node)
        if kind == libsbml.AST_NAME:
            if not (name := node.getName()):
                raise UnsupportedError("a name is empty: a <ci> of this model holds none, or holds another element")
            return bound[name] if bound and name in bound else symbol(name)
        children = [self(node.getChild(i), bound) for i in range(node.getNumChildren())]
        if kind == libsbml.AST_FUNCTION:
            return self._call(node.getName(), children)
        if (operator := _operators().get(kind)) is None:
            raise UnsupportedError(f"the kernel does not cover {_describe(node)}")
        try:
            return operator(*children)
        except TypeError:  # as Python says that a function takes more or fewer
            raise UnsupportedError(f"{len(children)} arguments are too few or too many in {_describe(node)}") from None

    def _call(self, name: str, arguments: list[sp.Expr]) -> sp.Expr:
        if (definition := self.functions.get(name)) is None:
            raise UnsupportedError(f'the model calls the function "{name}", which it does not define')
        count = definition.getNumChildren() - 1
        if len(arguments) != count:
            raise UnsupportedError(f'the function "{name}" takes {count} arguments and is called with {len(arguments)}')
        names = [definition.getChild(i).getName() for i in range(count)]
        return self(definition.getChild(count), dict(zip(names, arguments, strict=True)))


def _describe(node: libsbml.ASTNode) -> str:
    """A node by the name its author used."""
    names = {
        libsbml.AST_FUNCTION_DELAY: "delay",
        libsbml.AST_FUNCTION_RATE_OF: "rateOf",
        libsbml.AST_LAMBDA: "lambda outside a function definition",
    }
    written = libsbml.formulaToL3String(node) or "?"
    return f"{names.get(node.getType(), node.getName() or 'this construct')} in {written[:120]}"
