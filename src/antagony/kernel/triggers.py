# sympy builds its classes at run time, and its annotations do not follow.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportReturnType=false
# pyright: reportOperatorIssue=false, reportCallIssue=false, reportAssignmentType=false
"""When a trigger can change: at known times, when an event executes, or where a smooth gap between two sides is zero.

Conditions inside a side of a relation (piecewise, absolute values) are drawn out of it, so that every gap that is left
is smooth within a step and its zeros are those of a polynomial through a few of its values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sympy as sp

from ..errors import UnsupportedError
from . import symbolic
from .symbolic import (
    TIME,
    Absolute,
    Both,
    Either,
    Equal,
    Less,
    LessEqual,
    Maximum,
    Minimum,
    Negation,
    Select,
    System,
    symbol,
)

RELATIONS = (Less, LessEqual, Equal)
BENT = (Select, Maximum, Minimum, Absolute, symbolic.Floor, symbolic.Ceiling, symbolic._Truth)
MOST_RELATIONS = 200  # of one trigger, once its conditions are drawn out
LARGEST = 20_000  # nodes of one trigger


@dataclass(frozen=True, slots=True)
class Watch:
    """What a kernel must look at to know its triggers.

    conditions: the trigger of each event over relations that hold still between stops and over signs of gaps, which
    are named by `gap_symbol`. gaps: differences that move with states or time. sizes: the same with every term in
    absolute value, beside which rounding must be judged; rule_sizes: those of the rules that they need, in order.
    curved: places of the gaps that are no plain sum of states and time, so that a step's polynomial only approximates
    them.
    """

    conditions: tuple[sp.Expr, ...]
    gaps: tuple[sp.Expr, ...]
    sizes: tuple[sp.Expr, ...]
    rule_sizes: dict[sp.Symbol, sp.Expr]
    curved: tuple[int, ...]


def gap_symbol(index: int) -> sp.Symbol:
    """Symbol of a gap's value in the conditions."""
    return sp.Symbol(f"gap {index}", real=True)


def watch_triggers(system: System, inputs: Sequence[str]) -> Watch:
    """Sort the relations of every trigger; `inputs` change only at known times.

    Raises UnsupportedError for a trigger whose changes cannot be located: an equality of moving quantities, a rounding.
    """
    return _Sorter(system, inputs).watch()


class _Sorter:
    """One pass over the triggers of a system."""

    def __init__(self, system: System, inputs: Sequence[str]) -> None:
        self.system = system
        self.moving = {TIME, *map(symbol, system.states)}  # within a step
        self.held = {*map(symbol, inputs), *map(symbol, system.switched)}  # between executions
        self.bent: dict[sp.Symbol, sp.Expr] = {}  # rules with a kink or a jump inside, written out
        self.straight = {TIME, *map(symbol, system.states)}
        for name, e in system.rules.items():
            self._sort_rule(symbol(name), e)
        self.gaps: dict[sp.Expr, int] = {}
        self.relations = 0

    def _sort_rule(self, name: sp.Symbol, e: sp.Expr) -> None:
        if e.free_symbols & self.held:
            self.held.add(name)
        if not self._moves(e):
            return
        self.moving.add(name)
        if e.free_symbols & self.bent.keys() or any(self._is_bend(part) for part in sp.preorder_traversal(e)):
            self.bent[name] = e.xreplace(self.bent)
        elif self._is_straight(e):
            self.straight.add(name)

    def _moves(self, e: sp.Expr) -> bool:
        return bool(e.free_symbols & self.moving)

    def _is_bend(self, e: sp.Expr) -> bool:
        """Whether an expression jumps or bends where something moving crosses something."""
        return isinstance(e, BENT) and self._moves(e.args[0] if isinstance(e, Select) else e)

    def _is_straight(self, e: sp.Expr) -> bool:
        """Whether an expression is a sum of moving quantities with factors that hold still within a step."""
        if not self._moves(e) or e in self.straight:
            return True
        if e.is_Add:
            return all(map(self._is_straight, e.args))
        moving = [a for a in e.args if self._moves(a)] if e.is_Mul else []
        return len(moving) == 1 and self._is_straight(moving[0])

    def watch(self) -> Watch:
        conditions = []
        for event in self.system.events:
            self.relations = 0
            conditions.append(self._condition(event.trigger))
        gaps = tuple(self.gaps)
        rule_sizes: dict[sp.Symbol, sp.Expr] = {}
        sizes = tuple(self._size(e, rule_sizes) for e in gaps)
        curved = tuple(i for i, e in enumerate(gaps) if not self._is_straight(e))
        return Watch(tuple(conditions), gaps, sizes, rule_sizes, curved)

    # -- conditions

    def _condition(self, e: sp.Expr) -> sp.Expr:
        """A truth as an expression over relations of smooth sides."""
        if e.is_number and not e.has(symbolic._Opaque):
            return sp.Integer(int(e not in (sp.S.Zero, sp.nan)))
        if isinstance(e, Both | Either | Negation):
            return e.func(*map(self._condition, e.args))
        if isinstance(e, RELATIONS):
            return self._relation(e)
        if isinstance(e, Select):
            return self._either_case(e.args[0], *e.args[1:])
        if e in self.bent:
            return self._condition(self.bent[e])
        return self._relation(Equal(e, sp.S.Zero), negated=True)

    def _either_case(self, condition: sp.Expr, chosen: sp.Expr, other: sp.Expr) -> sp.Expr:
        case = self._condition(condition)
        return Either(Both(case, self._condition(chosen)), Both(Negation(case), self._condition(other)))

    def _relation(self, e: sp.Expr, *, negated: bool = False) -> sp.Expr:
        self.relations += 1
        e = e.xreplace(self.bent)
        if self.relations > MOST_RELATIONS or sum(1 for _ in sp.preorder_traversal(e)) > LARGEST:
            raise UnsupportedError("the kernel does not cover a trigger with this many cases")
        if negated or _compares_truth(e):
            return self._truth_of_number(e, negated)
        bend = next((part for a in e.args for part in sp.preorder_traversal(a) if self._is_bend(part)), None)
        if bend is None:
            return self._smooth(e)
        condition, chosen, other = _cases(bend)
        return self._either_case(condition, e.xreplace({bend: chosen}), e.xreplace({bend: other}))

    def _truth_of_number(self, e: sp.Expr, negated: bool) -> sp.Expr:
        """x = 0 and its opposite, where x may be a truth itself."""
        (value,) = (a for a in e.args if a != 0)
        if isinstance(value, symbolic._Truth | Select):
            truth = self._condition(value)
            return truth if negated else Negation(truth)
        return Negation(self._smooth(e)) if negated else self._smooth(e)

    def _smooth(self, e: sp.Expr) -> sp.Expr:
        """A relation of smooth sides: as it stands where it holds still, with its time known, or by its gap's sign."""
        gap = e.args[0] - e.args[1]
        if not self._moves(gap):
            return e
        if timed := self._timed(e, gap):
            return timed
        if isinstance(e, Equal):
            raise UnsupportedError(
                "the kernel does not cover a trigger that asks whether moving quantities are equal or unequal"
            )
        index = self.gaps.setdefault(gap, len(self.gaps))
        return e.func(gap_symbol(index), sp.S.Zero)

    def _timed(self, e: sp.Expr, gap: sp.Expr) -> sp.Expr | None:
        """The relation solved for time, where it is linear in time and all else is fixed for the whole run."""
        slope = sp.diff(gap, TIME)
        rest = (gap.free_symbols - {TIME}) | slope.free_symbols
        if slope == 0 or rest & (self.moving | self.held) or gap.has(symbolic._Opaque):
            return None
        if not slope.is_number:
            return None if isinstance(e, Equal) else e
        moment = -gap.xreplace({TIME: sp.S.Zero}) / slope
        return e.func(TIME, moment) if slope.is_positive else e.func(moment, TIME)

    # -- sizes

    def _size(self, e: sp.Expr, sizes: dict[sp.Symbol, sp.Expr]) -> sp.Expr:
        """An expression with every term in absolute value."""
        if e.is_number and not e.has(symbolic._Opaque):
            return abs(e)
        if e.is_Symbol:
            return self._size_of_symbol(e, sizes)
        if e.is_Add or e.is_Mul or (e.is_Pow and e.exp.is_Integer and e.exp.is_positive):
            return e.func(*(a if e.is_Pow and a is e.exp else self._size(a, sizes) for a in e.args))
        return Absolute(e)

    def _size_of_symbol(self, s: sp.Symbol, sizes: dict[sp.Symbol, sp.Expr]) -> sp.Expr:
        rule = self.system.rules.get(s.name)
        if rule is None or not self._moves(rule):
            return Absolute(s)
        size = sp.Symbol(f"size {s.name}", real=True)
        if size not in sizes:
            sizes[size] = self._size(rule, sizes)
        return size


def _compares_truth(e: sp.Expr) -> bool:
    """Whether a relation says x = 0 of a truth or a choice x."""
    return isinstance(e, Equal) and any(
        a == 0 and isinstance(b, symbolic._Truth | Select) for a, b in (e.args, e.args[::-1])
    )


def _cases(bend: sp.Expr) -> tuple[sp.Expr, sp.Expr, sp.Expr]:
    """(condition, value where it holds, value elsewhere) of an expression with a kink or a jump."""
    if isinstance(bend, Select):
        return bend.args
    if isinstance(bend, Maximum):
        a, b = bend.args
        return Less(a, b), b, a
    if isinstance(bend, Minimum):
        a, b = bend.args
        return Less(b, a), b, a
    if isinstance(bend, Absolute):
        (a,) = bend.args
        return Less(a, sp.S.Zero), -a, a
    if isinstance(bend, symbolic._Truth):
        return bend, sp.S.One, sp.S.Zero
    raise UnsupportedError(f"the kernel does not cover a trigger that rounds a moving quantity ({bend.func.__name__})")
