# sympy builds its classes at run time, and its annotations do not follow.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportReturnType=false, reportOperatorIssue=false
"""A model's rates as text for engines that read no SBML: a Python function (numba, JAX) and DiffSL (diffsol).

Common sub-expressions are shared, as an engine's own compiler would.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sympy as sp

from antagony.kernel import symbolic
from antagony.kernel.symbolic import System

CALLS = {  # functions of the kernel's symbols that both texts can say, by their name in Python's text
    "Maximum": "maximum",
    "Minimum": "minimum",
    "Select": "select",
    "Less": "less",
    "LessEqual": "less_equal",
    "exp": "exp",
    "log": "log",
}


def python_text(system: System, parameters: Sequence[str]) -> str:
    """Source of `rates(t, y, p)`, which returns one expression a state; it calls the functions of `CALLS`."""
    names = {name: f"y{i}" for i, name in enumerate(system.states)} | {n: f"p{i}" for i, n in enumerate(parameters)}
    shared, reduced = _shared(system, names, (sp.Symbol(f"c{i}") for i in range(10_000)), "t")
    lines = ["def rates(t, y, p):"]
    lines += [f" y{i} = y[{i}]" for i in range(len(system.states))]
    lines += [f" p{i} = p[{i}]" for i in range(len(parameters))]
    lines += [f" {name} = {_python(e)}" for name, e in shared]
    return "\n".join([*lines, f" return ({', '.join(map(_python, reduced))},)"])


def diffsl_text(system: System, parameters: Sequence[str]) -> str:
    """The model in DiffSL; its inputs are the parameters, then the start of each state."""
    names = {name: _letters("xv", i) for i, name in enumerate(system.states)}
    names |= {name: _letters("pv", i) for i, name in enumerate(parameters)}
    shared, reduced = _shared(system, names, (sp.Symbol(_letters("tt", i)) for i in range(10_000)), "t")
    starts = [_letters("yv", i) for i in range(len(system.states))]
    inputs = ", ".join(f"{name} = 1.0" for name in [*(names[n] for n in parameters), *starts])
    states = [names[name] for name in system.states]
    text = f"in_i {{ {inputs} }}\nu_i {{\n"
    text += "".join(f"  {state} = {start},\n" for state, start in zip(states, starts, strict=True)) + "}\n"
    text += "".join(f"{name} {{ {_diffsl(e)} }}\n" for name, e in shared)
    text += "F_i {\n" + "".join(f"  {_diffsl(e)},\n" for e in reduced) + "}\n"
    return text + _diffsl_event(system, names)


def _diffsl_event(system: System, names: dict[str, str]) -> str:
    """The one event a model may have, `a < b` with plain assignments to states, as DiffSL's stop and reset.

    DiffSL stops at a root in either direction; the reset acts only where a - b falls.
    """
    if len(system.events) != 1 or not isinstance(system.events[0].trigger, symbolic.Less):
        return ""
    event = system.events[0]
    low, high = event.trigger.args
    gap = _plain(system, low - high, names, "t")
    rates = {sp.Symbol(names[n], positive=True): _plain(system, e, names, "t") for n, e in system.states.items()}
    falls = f"heaviside(-({_diffsl(sum(sp.diff(gap, y) * rate for y, rate in rates.items()))}))"
    set_to = {a.target: _plain(system, a.value, names, "t") for a in event.assignments}
    after = []
    for name in system.states:
        state = names[name]
        change = set_to.get(name, sp.Symbol(state, positive=True)) - sp.Symbol(state, positive=True)
        after.append(f"{state} + {falls} * {_diffsl(change)}" if change != 0 else state)
    return f"stop_i {{ {_diffsl(gap)} }}\nreset_i {{\n" + "".join(f"  {e},\n" for e in after) + "}\n"


def _shared(system: System, names: dict[str, str], symbols: Any, time: str) -> tuple[list[Any], list[Any]]:  # noqa: ANN401
    return sp.cse([_plain(system, e, names, time) for e in system.states.values()], symbols=symbols)


def _plain(system: System, expression: sp.Expr, names: dict[str, str], time: str) -> sp.Expr:
    """An expression over states, parameters and time alone, powers as sympy's own."""
    flat: dict[Any, Any] = {}
    for name, rule in system.rules.items():
        flat[symbolic.symbol(name)] = rule.xreplace(flat)
    plain = {symbolic.symbol(n): sp.Symbol(s, positive=True) for n, s in names.items()}
    plain[symbolic.TIME] = sp.Symbol(time, real=True)
    return expression.xreplace(flat).replace(symbolic.Power, sp.Pow).xreplace(plain)


def _python(e: Any) -> str:  # noqa: ANN401
    return _text(e, lambda base, power: f"({base})**({power})", lambda name, a: f"{CALLS[name]}({', '.join(a)})")


def _diffsl(e: Any) -> str:  # noqa: ANN401
    """DiffSL knows pow but no **, no integer literals in places, and no conditions but the step function."""

    def call(name: str, a: list[str]) -> str:
        if name == "Select":
            return f"(({a[0]}) * ({a[1]}) + (1.0 - ({a[0]})) * ({a[2]}))"
        if name in ("Less", "LessEqual"):
            return f"heaviside(({a[1]}) - ({a[0]}))"
        return f"{ {'Maximum': 'max', 'Minimum': 'min'}.get(name, name) }({', '.join(a)})"

    return _text(e, lambda base, power: f"pow({base}, {power})", call)


def _text(e: Any, power: Any, call: Any) -> str:  # noqa: ANN401
    """An expression in infix text, every number a float."""
    if e.is_Symbol:
        return str(e)
    if e.is_Number:
        return repr(float(e))
    parts = [_text(a, power, call) for a in e.args]
    if e.is_Add or e.is_Mul:
        return f"({(' + ' if e.is_Add else ' * ').join(parts)})"
    if e.is_Pow and e.exp == -1:
        return f"(1.0 / {parts[0]})"
    if e.is_Pow and e.exp.is_Integer and 2 <= e.exp <= 4:
        return f"({' * '.join([parts[0]] * int(e.exp))})" if e.base.is_Symbol else power(*parts)
    if e.is_Pow:
        return power(*parts)
    if isinstance(e, sp.exp | sp.log) or type(e).__name__ in CALLS:
        return call(type(e).__name__, parts)
    raise ValueError(f"no text for {e}")


def _letters(head: str, index: int) -> str:
    """A name without digits, which DiffSL would not take."""
    return head + "".join(chr(97 + int(digit)) for digit in str(index))
