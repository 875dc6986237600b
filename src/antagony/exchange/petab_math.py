"""PEtab's mathematical expressions: read by libpetab's grammar, evaluated here in plain floating point.

libpetab itself hands a parsed expression to sympy, which may compute a stranger's 9^9^9^9 for ever, and which refuses a
comparison inside a sum. Truth is a number here, 0 or 1, and whatever is not 0 is true, as the standard says.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from ..errors import SimulationError, near_miss

Value = Callable[[Mapping[str, float]], float]

LONGEST = 20_000  # characters of one expression
DEEPEST = 100  # brackets inside one another


@dataclass(frozen=True, slots=True)
class Formula:
    """An expression and the identifiers in it; called with their values it gives its own."""

    text: str
    names: frozenset[str]
    value: Value = field(compare=False, repr=False)

    def __call__(self, values: Mapping[str, float]) -> float:
        """The number, infinite or NaN where the mathematics says so; raises SimulationError for an unknown name."""
        for name in sorted(self.names - values.keys()):
            raise SimulationError(f'"{self.text}": nothing is called "{name}"{near_miss(name, values)}')
        with np.errstate(all="ignore"):
            return float(self.value(values))


@lru_cache(maxsize=4096)
def parse_formula(text: str) -> Formula:
    """Read an expression of PEtab v2; raises SimulationError that quotes what is none, or too tangled to be read.

    >>> parse_formula("piecewise(0, true || false && false, a^2)")({"a": 3.0})
    9.0
    """
    depth = deepest = 0
    for letter in text:
        depth += (letter == "(") - (letter == ")")
        deepest = max(deepest, depth)
    if len(text) > LONGEST or deepest > DEEPEST:
        raise SimulationError(f'"{text[:40]}...": {len(text)} characters, {deepest} brackets inside one another')
    names: set[str] = set()
    try:
        value = _value(_parse(text), names)
    except ValueError as error:
        raise SimulationError(f'"{text[:200]}" is no PEtab expression: {error}') from None
    except RecursionError:
        raise SimulationError(f'"{text[:40]}...": too many operators in one expression') from None
    return Formula(text, frozenset(names), value)


def _parse(text: str) -> Any:  # noqa: ANN401 - a tree of ANTLR
    """Parse tree by libpetab's generated grammar; raises ValueError with line and column."""
    from antlr4 import CommonTokenStream, InputStream
    from petab.v1.math._generated.PetabMathExprLexer import PetabMathExprLexer
    from petab.v1.math._generated.PetabMathExprParser import PetabMathExprParser
    from petab.v1.math.sympify import MathErrorListener

    lexer = PetabMathExprLexer(InputStream(text))
    parser = PetabMathExprParser(CommonTokenStream(lexer))
    for part in (lexer, parser):
        part.removeErrorListeners()
        part.addErrorListener(MathErrorListener())
    return parser.petabExpression()


# --- what the words of the grammar mean ------------------------------------------------------------------------------


def _inverse(function: Callable[[Any], Any]) -> Callable[[float], float]:
    """The inverse of a reciprocal: arcsec(x) = arccos(1/x)."""
    return lambda x: function(np.divide(1.0, x))


def _reciprocal(function: Callable[[Any], Any]) -> Callable[[float], float]:
    return lambda x: np.divide(1.0, function(x))


def _log(x: float, base: float) -> float:
    return np.divide(np.log(x), np.log(base))


_ONE = ("sin", "cos", "tan", "sinh", "cosh", "tanh", "arcsin", "arccos", "arctan", "arcsinh", "arccosh", "arctanh")
_RECIPROCALS = {"cos": "sec", "sin": "csc", "tan": "cot"}  # so are their hyperbolic and inverse relatives called
_FUNCTIONS: dict[tuple[str, int], Callable[..., float]] = {
    **{(name, 1): getattr(np, name) for name in (*_ONE, "exp", "log", "log2", "log10", "sqrt", "abs", "sign")},
    **{(new, 1): _reciprocal(getattr(np, old)) for old, new in _RECIPROCALS.items()},
    **{(f"{new}h", 1): _reciprocal(getattr(np, f"{old}h")) for old, new in _RECIPROCALS.items()},
    **{(f"arc{new}", 1): _inverse(getattr(np, f"arc{old}")) for old, new in _RECIPROCALS.items()},
    **{(f"arc{new}h", 1): _inverse(getattr(np, f"arc{old}h")) for old, new in _RECIPROCALS.items()},
    ("ln", 1): np.log,
    ("log", 2): _log,
    ("pow", 2): np.power,
    ("min", 2): np.minimum,
    ("max", 2): np.maximum,
}
_OPERATORS: dict[str, Callable[[float, float], float]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "^": np.power,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
    "&&": lambda a, b: a != 0 and b != 0,
    "||": lambda a, b: a != 0 or b != 0,
}
_PREFIXES: dict[str, Callable[[float], float]] = {
    "-": operator.neg,
    "+": operator.pos,
    "!": lambda a: a == 0,
}
_CONSTANTS = {"true": 1.0, "false": 0.0}


def _value(node: Any, names: set[str]) -> Value:  # noqa: ANN401
    """The function of a parse tree's node; what it reads is added to `names`."""
    kind = type(node).__name__.removesuffix("Context").rstrip("_")
    parts = [node.getChild(i) for i in range(node.getChildCount())]
    if kind == "Number":
        number = float(node.getText())
        return lambda values: number
    if kind == "BooleanLiteral":
        truth = _CONSTANTS[node.getText()]
        return lambda values: truth
    if kind == "Var":
        return _symbol(node.getText(), names)
    if kind == "FunctionCall" and len(parts) > 1:
        return _call(parts[0].getText(), [_value(part, names) for part in parts[2].children[::2]])
    if kind == "ParenExpr":
        return _value(parts[1], names)
    if kind in ("UnaryExpr", "BooleanNotExpr") and len(parts) == 2:
        prefix, inner = _PREFIXES[parts[0].getText()], _value(parts[1], names)
        return lambda values: float(prefix(inner(values)))
    if len(parts) == 3:
        apply, left, right = _OPERATORS[parts[1].getText()], _value(parts[0], names), _value(parts[2], names)
        return lambda values: float(apply(left(values), right(values)))
    return _value(parts[0], names)  # a rule of the grammar that only names another, or the root before the end


def _symbol(name: str, names: set[str]) -> Value:
    if name.lower() in ("inf", "nan", "true", "false"):
        raise ValueError(f'"{name}" is a reserved word')
    names.add(name)
    return lambda values: float(values[name])


def _call(name: str, arguments: list[Value]) -> Value:
    if name == "piecewise" and len(arguments) % 2:
        return _piecewise(arguments)
    if (function := _FUNCTIONS.get((name, len(arguments)))) is None:
        known = sorted({known for known, _ in _FUNCTIONS} | {"piecewise"})
        if name in known:
            raise ValueError(f"{name} does not take {len(arguments)} arguments")
        raise ValueError(f'there is no function "{name}"{near_miss(name, known)}')
    return lambda values: float(function(*(argument(values) for argument in arguments)))


def _piecewise(arguments: list[Value]) -> Value:
    """The first value whose condition is true, else the last; no other is computed."""
    pairs = list(zip(arguments[:-1:2], arguments[1::2], strict=True))

    def chosen(values: Mapping[str, float]) -> float:
        for value, condition in pairs:
            if condition(values) != 0:
                return value(values)
        return arguments[-1](values)

    return chosen
