"""A composed model as mathematics to read: every rule, rate, start and reaction as MathML, by the file it stands in.

Formulas keep the form in which they were written. A browser shows MathML by itself; no script is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from xml.sax.saxutils import escape

import libsbml as _libsbml

from .case import Case
from .composition import LEFT_HAND_SIDE, Text, sums_text, symbols_of
from .mechanism import Mechanism

libsbml: Any = _libsbml  # it builds its classes at run time, where no type checker sees them

SUMS = "sums over the drugs present"
HOOKS = "joined for this mechanism"
WIDE = 88.0  # letters of a formula that fit one line of a printed page
SMALL = 0.72  # width of a letter in a subscript over one in the line


@dataclass(frozen=True, slots=True)
class Equation:
    """One line of a model: what it determines, how (`kind`), its unit, the mathematics, and what the text says of it.

    `kind`: rate, rule, start, constant, reaction, event or function.
    """

    symbol: str
    kind: str
    unit: str
    mathml: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """The equations of one file of a case, and the comments that stand above them, line by line."""

    label: str
    rationale: tuple[str, ...]
    equations: tuple[Equation, ...]


def list_equations(case: Case, mechanism: Mechanism) -> tuple[Part, ...]:
    """Every equation of a composed model, grouped by file in the order in which the files were joined."""
    texts = _texts(case, mechanism)
    owner = {symbol: text.label for text in texts for symbol in sorted(symbols_of(case.prelude, text).gives)}
    document = libsbml.readSBMLFromString(mechanism.sbml)
    found: dict[str, list[Equation]] = {}
    for equation in _equations(document.getModel(), frozenset(mechanism.parameters)):
        found.setdefault(owner.get(equation.symbol, HOOKS), []).append(equation)
    parts = []
    for text in (*texts, Text(HOOKS, "")):
        if text.label in found:
            rationale, notes = read_comments(text.text)
            lines = tuple(replace(e, note=notes.get(e.symbol, "")) for e in found[text.label])
            parts.append(Part(text.label, rationale, lines))
    return tuple(parts)


def _texts(case: Case, mechanism: Mechanism) -> list[Text]:
    """The texts of which a mechanism was joined, its base variants chosen."""
    wiring = case.wiring(mechanism.slug)
    drugs = list(mechanism.drugs.values())
    return [
        *(Text(f"mechanisms/{slug}/wiring.ant", case.wiring(slug).text) for slug in mechanism.slug.split("+")),
        *(Text(f"parts/{part}.ant", case.parts[part]) for part in wiring.parts),
        Text(SUMS, sums_text(case.receptors, case.sums, drugs).text),
        *(Text(f"drugs/{drug.name}/model.ant", drug.model) for drug in drugs),
    ]


def read_comments(text: str) -> tuple[tuple[str, ...], dict[str, str]]:
    """Comments of a model text: lines that stand alone, and those behind a statement by the symbol it defines."""
    alone: list[str] = []
    behind: dict[str, str] = {}
    for line in text.splitlines():
        statement, mark, comment = line.partition("//")
        if not mark:
            continue
        if not statement.strip():
            alone.append(comment.rstrip().removeprefix(" "))
        elif defined := LEFT_HAND_SIDE.search(statement):
            behind[defined[1]] = comment.strip()
    return tuple(alone), behind


# --- a model's equations ---------------------------------------------------------------------------------------------


def _equations(model: Any, parameters: frozenset[str]) -> Iterator[Equation]:  # noqa: ANN401
    """Everything that determines a quantity: functions, rules, starts, constants, reactions, events."""
    for function in _items(model.getListOfFunctionDefinitions()):
        yield Equation(function.getId(), "function", "", _block(_left_function(function), function.getBody()))
    ruled = set()
    for rule in _items(model.getListOfRules()):
        name = rule.getVariable()
        ruled.add(name)
        left = _derivative(name) if rule.isRate() else show_symbol(name)
        yield Equation(name, "rate" if rule.isRate() else "rule", _unit(model, name), _block(left, rule.getMath()))
    begun = set()
    for start in _items(model.getListOfInitialAssignments()):
        name = start.getSymbol()
        begun.add(name)
        yield Equation(name, "start", _unit(model, name), _block(_at_start(name), start.getMath()))
    yield from _values(model, ruled, begun | parameters)
    for reaction in _items(model.getListOfReactions()):
        law = reaction.getKineticLaw()
        right = None if law is None else law.getMath()
        yield Equation(reaction.getId(), "reaction", "", _block(_scheme(reaction), right))
    for event in _items(model.getListOfEvents()):
        yield from _event(event)


def _values(model: Any, ruled: set[str], known: set[str] | frozenset[str]) -> Iterator[Equation]:  # noqa: ANN401
    """Starts of states and constants that the text itself states as numbers."""
    rated = {r.getVariable() for r in _items(model.getListOfRules()) if r.isRate()}
    for item in _items(model.getListOfParameters()):
        name = item.getId()
        if name in known or not item.isSetValue() or (name in ruled and name not in rated):
            continue
        kind, left = ("start", _at_start(name)) if name in rated else ("constant", show_symbol(name))
        yield Equation(name, kind, item.getUnits(), _line(left, _number(item.getValue())))
    for item in _items(model.getListOfSpecies()):
        value = item.getInitialAmount() if item.isSetInitialAmount() else item.getInitialConcentration()
        if item.getId() not in known and (item.isSetInitialAmount() or item.isSetInitialConcentration()):
            yield Equation(item.getId(), "start", item.getUnits(), _line(_at_start(item.getId()), _number(value)))


def _event(event: Any) -> Iterator[Equation]:  # noqa: ANN401
    trigger = event.getTrigger()
    when = "" if trigger is None or trigger.getMath() is None else _show(trigger.getMath())
    for act in _items(event.getListOfEventAssignments()):
        condition = f"<mtext>when&#160;</mtext><mrow>{when}</mrow><mo>:</mo><mspace width='0.6em'/>"
        left = f"<mrow>{condition}{show_symbol(act.getVariable())}</mrow>"
        yield Equation(act.getVariable(), "event", "", _block(left, act.getMath(), sign="\N{LEFTWARDS ARROW}"))


def _unit(model: Any, name: str) -> str:  # noqa: ANN401
    item = model.getParameter(name) or model.getSpecies(name)
    return item.getUnits() if item is not None else ""


def _left_function(function: Any) -> str:  # noqa: ANN401
    arguments = "<mo>,</mo>".join(
        show_symbol(function.getArgument(i).getName()) for i in range(function.getNumArguments())
    )
    return f"<mrow>{show_symbol(function.getId())}<mo>(</mo>{arguments}<mo>)</mo></mrow>"


def _derivative(name: str) -> str:
    top, below = f"<mrow><mi>d</mi>{show_symbol(name)}</mrow>", "<mrow><mi>d</mi><mi>t</mi></mrow>"
    return f"<mfrac>{top}{below}</mfrac>"


def _at_start(name: str) -> str:
    return f"<mrow>{show_symbol(name)}<mo>(</mo><mn>0</mn><mo>)</mo></mrow>"


def _scheme(reaction: Any) -> str:  # noqa: ANN401
    """Reactants, an arrow, products."""
    sides = []
    for side in (reaction.getListOfReactants(), reaction.getListOfProducts()):
        terms = [
            ("" if r.getStoichiometry() == 1 else _number(r.getStoichiometry())) + show_symbol(r.getSpecies())
            for r in _items(side)
        ]
        sides.append("<mo>+</mo>".join(terms) or "<mi>&#8709;</mi>")
    arrow = "&#8644;" if reaction.getReversible() else "&#8594;"
    return f"<mrow>{sides[0]}<mo>{arrow}</mo>{sides[1]}<mo>,</mo><mspace width='0.8em'/><mi>v</mi></mrow>"


def _items(container: Any) -> list[Any]:  # noqa: ANN401
    return [container.get(i) for i in range(container.size())]


# --- formulas --------------------------------------------------------------------------------------------------------


def show_symbol(name: str) -> str:
    """An identifier as MathML: its first word, the others as a subscript.

    >>> show_symbol("mtorc1_brake_rest")
    '<msub><mi mathvariant="normal">mtorc1</mi><mtext>brake rest</mtext></msub>'
    """
    first, _, rest = name.strip("_").partition("_")
    head = f'<mi mathvariant="normal">{escape(first or name)}</mi>'
    return f"<msub>{head}<mtext>{escape(rest.replace('_', ' '))}</mtext></msub>" if rest else head


def math_symbol(name: str) -> str:
    """An identifier as one `<math>` element."""
    return f"<math>{show_symbol(name)}</math>"


def _math(inside: str) -> str:
    return f'<math displaystyle="true">{inside}</math>'


def _line(left: str, right: str) -> str:
    return _math(f"<mrow>{left}<mo>=</mo>{right}</mrow>")


def _block(left: str, tree: Any, sign: str = "=") -> str:  # noqa: ANN401
    """`left = formula`; a formula too wide for a line is broken at its outermost sums or products."""
    if tree is None:
        return _math(f"<mrow>{left}</mrow>")
    rows = _rows(tree)
    if len(rows) == 1:
        return _math(f"<mrow>{left}<mo>{sign}</mo>{rows[0]}</mrow>")
    first = f"<mtr><mtd>{left}</mtd><mtd><mrow><mo>{sign}</mo>{rows[0]}</mrow></mtd></mtr>"
    others = "".join(f"<mtr><mtd></mtd><mtd><mrow>{row}</mrow></mtd></mtr>" for row in rows[1:])
    return _math(f'<mtable displaystyle="true">{first}{others}</mtable>')


def _rows(tree: Any) -> list[str]:  # noqa: ANN401
    """The lines of a formula."""
    if _width(tree) <= WIDE or tree.getType() not in _BROKEN:
        return [f"<mrow>{_show(tree)}</mrow>"]
    rows, used = [""], 0.0
    for mark, child in _pieces(tree):
        wide = _width(child) + 2
        if rows[-1] and used + wide > WIDE:
            rows.append("")
            used = 0.0
        rows[-1] += (f'<mo form="infix">{mark}</mo>' if mark else "") + _inside(child, _level(tree), bool(mark))
        used += wide
    return [f"<mrow>{row}</mrow>" for row in rows]


def _pieces(tree: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401
    """Outermost terms or factors, each with the sign before it; sums of sums are laid flat."""
    kind = tree.getType()
    for i, child in enumerate(_children(tree)):
        mark = "" if i == 0 else _SIGNS[kind]
        if i == 0 and kind in (libsbml.AST_PLUS, libsbml.AST_MINUS) and child.getType() in _BROKEN[:2]:
            yield from _pieces(child)
        elif i > 0 and kind == libsbml.AST_PLUS and child.getType() == libsbml.AST_PLUS:
            for k, (inner, part) in enumerate(_pieces(child)):
                yield (mark if k == 0 else inner), part
        else:
            yield mark, child


def _children(tree: Any) -> list[Any]:  # noqa: ANN401
    return [tree.getChild(i) for i in range(tree.getNumChildren())]


_BROKEN: tuple[Any, ...] = (libsbml.AST_PLUS, libsbml.AST_MINUS, libsbml.AST_TIMES)
_SIGNS: Mapping[Any, str] = {
    libsbml.AST_PLUS: "+",
    libsbml.AST_MINUS: "&#8722;",
    libsbml.AST_TIMES: "&#8901;",
}
_RELATIONS: Mapping[Any, str] = {
    libsbml.AST_RELATIONAL_EQ: "=",
    libsbml.AST_RELATIONAL_NEQ: "&#8800;",
    libsbml.AST_RELATIONAL_LT: "&lt;",
    libsbml.AST_RELATIONAL_LEQ: "&#8804;",
    libsbml.AST_RELATIONAL_GT: "&gt;",
    libsbml.AST_RELATIONAL_GEQ: "&#8805;",
    libsbml.AST_LOGICAL_AND: "&#8743;",
    libsbml.AST_LOGICAL_OR: "&#8744;",
    libsbml.AST_LOGICAL_XOR: "&#8891;",
}
_CONSTANTS: Mapping[Any, str] = {
    libsbml.AST_CONSTANT_PI: "<mi>&#960;</mi>",
    libsbml.AST_CONSTANT_E: "<mi>e</mi>",
    libsbml.AST_CONSTANT_TRUE: "<mtext>true</mtext>",
    libsbml.AST_CONSTANT_FALSE: "<mtext>false</mtext>",
    libsbml.AST_NAME_TIME: "<mi>t</mi>",
    libsbml.AST_NAME_AVOGADRO: '<msub><mi>N</mi><mtext>A</mtext></msub>',
}
_TIGHT = 4  # binds closer than any operator


def _level(tree: Any) -> int:  # noqa: ANN401
    """How closely the outermost operator of a formula binds."""
    kind = tree.getType()
    if kind in (libsbml.AST_PLUS, libsbml.AST_MINUS):
        return 1
    if kind == libsbml.AST_TIMES:
        return 2
    return 0 if kind in _RELATIONS else _TIGHT


def _inside(tree: Any, level: int, behind: bool) -> str:  # noqa: ANN401
    """A formula as a part of another, in brackets where it binds less closely.

    `behind` an operator a sum, or anything that begins with a minus, needs brackets too.
    """
    own = _level(tree)
    signed = tree.getType() == libsbml.AST_MINUS and tree.getNumChildren() == 1
    if own < level or (behind and (own == level == 1 or signed or _is_negative(tree))):
        return f"<mrow><mo>(</mo>{_show(tree)}<mo>)</mo></mrow>"
    return _show(tree)


def _is_negative(tree: Any) -> bool:  # noqa: ANN401
    return bool(tree.isNumber() and tree.getValue() < 0)


def _show(tree: Any) -> str:  # noqa: ANN401
    """A formula as the inside of a row."""
    kind = tree.getType()
    if tree.isNumber():
        return _number(tree.getValue())
    if kind in _CONSTANTS:
        return _CONSTANTS[kind]
    if kind == libsbml.AST_NAME:
        return show_symbol(tree.getName())
    if kind in _DRAWN:
        return _DRAWN[kind](tree)
    if kind in _SIGNS or kind in _RELATIONS:
        return _infix(tree)
    return _function(tree)


def _infix(tree: Any) -> str:  # noqa: ANN401
    kind, children = tree.getType(), _children(tree)
    mark = _SIGNS.get(kind) or _RELATIONS[kind]
    if kind == libsbml.AST_MINUS and len(children) == 1:
        return f'<mrow><mo form="prefix">{mark}</mo>{_inside(children[0], 2, True)}</mrow>'
    level = _level(tree)
    shown = [_inside(child, level + (kind in _RELATIONS), i > 0) for i, child in enumerate(children)]
    return f"<mrow>{f'<mo>{mark}</mo>'.join(shown)}</mrow>" if shown else "<mn>0</mn>"


def _fraction(tree: Any) -> str:  # noqa: ANN401
    top, below = (f"<mrow>{_show(child)}</mrow>" for child in _children(tree))
    return f"<mfrac>{top}{below}</mfrac>"


def _power(tree: Any) -> str:  # noqa: ANN401
    base, exponent = _children(tree)
    name = base.getType() == libsbml.AST_NAME or (base.isNumber() and not _is_negative(base))
    shown = _show(base) if name else f"<mrow><mo>(</mo>{_show(base)}<mo>)</mo></mrow>"
    return f"<msup>{shown}<mrow>{_show(exponent)}</mrow></msup>"


def _root(tree: Any) -> str:  # noqa: ANN401
    children = _children(tree)
    if len(children) == 1 or (children[0].isNumber() and children[0].getValue() == 2):
        return f"<msqrt>{_show(children[-1])}</msqrt>"
    return f"<mroot><mrow>{_show(children[1])}</mrow><mrow>{_show(children[0])}</mrow></mroot>"


def _cases(tree: Any) -> str:  # noqa: ANN401
    """Value, condition, value, condition, ..., value otherwise."""
    children, rows = _children(tree), []
    for value, condition in zip(children[::2], [*children[1::2], None], strict=False):
        when = "<mtext>otherwise</mtext>" if condition is None else f"<mtext>if&#160;</mtext>{_show(condition)}"
        rows.append(f"<mtr><mtd><mrow>{_show(value)}</mrow></mtd><mtd><mrow>{when}</mrow></mtd></mtr>")
    return f'<mrow><mo>{{</mo><mtable class="cases" displaystyle="true">{"".join(rows)}</mtable></mrow>'


def _absolute(tree: Any) -> str:  # noqa: ANN401
    return f"<mrow><mo>|</mo>{_show(tree.getChild(0))}<mo>|</mo></mrow>"


def _logarithm(tree: Any) -> str:  # noqa: ANN401
    children = _children(tree)
    base = _number(10) if len(children) == 1 else _show(children[0])
    return f"<mrow><msub><mi>log</mi><mrow>{base}</mrow></msub><mo>(</mo>{_show(children[-1])}<mo>)</mo></mrow>"


def _function(tree: Any) -> str:  # noqa: ANN401
    name = tree.getName() or tree.getOperatorName() or libsbml.formulaToL3String(tree).partition("(")[0]
    arguments = "<mo>,</mo>".join(f"<mrow>{_show(child)}</mrow>" for child in _children(tree))
    return f"<mrow>{show_symbol(name)}<mo>(</mo>{arguments}<mo>)</mo></mrow>"


_DRAWN: Mapping[Any, Callable[[Any], str]] = {
    libsbml.AST_DIVIDE: _fraction,
    libsbml.AST_POWER: _power,
    libsbml.AST_FUNCTION_POWER: _power,
    libsbml.AST_FUNCTION_ROOT: _root,
    libsbml.AST_FUNCTION_PIECEWISE: _cases,
    libsbml.AST_FUNCTION_ABS: _absolute,
    libsbml.AST_FUNCTION_LOG: _logarithm,
}


def _number(value: float) -> str:
    mantissa, e, exponent = f"{value:.12g}".partition("e")
    sign, size = ("&#8722;", mantissa[1:]) if mantissa.startswith("-") else ("", mantissa)
    shown = f"<mn>{size}</mn>"
    if e:
        shown += f"<mo>&#8901;</mo><msup><mn>10</mn>{_number(float(exponent))}</msup>"
    prefix = f'<mo form="prefix">{sign}</mo>' if sign else ""
    return f"<mrow>{prefix}{shown}</mrow>" if sign or e else shown


def _width(tree: Any) -> float:  # noqa: ANN401
    """Letters of a formula on one line, roughly; of a fraction its wider half."""
    children = _children(tree)
    if tree.getType() == libsbml.AST_NAME:
        first, _, rest = tree.getName().partition("_")
        return len(first) + SMALL * len(rest)
    if not children:
        return 4.0
    widths = [_width(child) for child in children]
    if tree.getType() == libsbml.AST_DIVIDE:
        return max(widths) + 1
    brackets = sum(2 for child in children if _level(child) < _level(tree))
    return sum(widths) + 2 * (len(widths) - 1) + brackets


def count_equations(parts: Sequence[Part]) -> int:
    """Lines over all parts."""
    return sum(len(part.equations) for part in parts)
