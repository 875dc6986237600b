# sympy builds its classes at run time, and its annotations do not follow.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportOperatorIssue=false
"""The events of a `System` -> C text: triggers with their gaps, values to assign, and tables of what each event is.

A step's gaps become polynomials in Bernstein's form, whose coefficients change sign at least as often as they do: no
change, no zero. The coefficients come from values at the Chebyshev-Lobatto nodes by a fixed matrix.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from importlib.resources import files
from math import comb
from typing import Protocol

import sympy as sp

from .symbolic import System
from .triggers import Watch, gap_symbol, watch_triggers

# (1 - cos(k pi/degree))/2: literals, so that every machine has the same bits; a test derives them.
NODES = {
    4: (0.0, 0.1464466094067262, 0.5, 0.8535533905932737, 1.0),
    8: (
        0.0,
        0.03806023374435663,
        0.1464466094067262,
        0.3086582838174551,
        0.5,
        0.6913417161825448,
        0.8535533905932737,
        0.9619397662556434,
        1.0,
    ),
}
DENSE_DEGREE = 4  # of the method's dense output: gaps that are sums of states have this degree and no more
CURVED_DEGREE = 8


class Writer(Protocol):
    """What the writer of the C text does for its events."""

    system: System
    inputs: tuple[str, ...]
    states: tuple[str, ...]
    held: tuple[str, ...]
    moving: set[sp.Symbol]

    def prepare(
        self, roots: Sequence[sp.Expr], *, in_step: bool
    ) -> tuple[list[tuple[sp.Symbol, sp.Expr]], list[sp.Expr]]:
        """Rules that the roots need, and the roots, ready for printing."""
        ...

    def print_body(
        self,
        rules: list[tuple[sp.Symbol, sp.Expr]],
        results: list[sp.Expr],
        prefix: str,
        *,
        outline: bool = False,
        given: Mapping[sp.Symbol, str] = {},
    ) -> tuple[list[str], list[str]]:
        """Lines that compute rules in order, and the C text of each result; `given` symbols have a text already."""
        ...


@dataclass(frozen=True, slots=True)
class EventText:
    """C text of a model's events: definitions of sizes, functions and tables, and the code that uses them."""

    defines: dict[str, int]
    functions: str
    runtime: str


def write_events(writer: Writer) -> EventText:
    """Write the events of the writer's system; raises UnsupportedError for a trigger that cannot be followed."""
    watch, events = watch_triggers(writer.system, writer.inputs), writer.system.events
    degree = CURVED_DEGREE if watch.curved else DENSE_DEGREE
    scales = [a.scale for e in events for a in e.assignments if a.scale != 1]
    defines = {
        "NEVENT": len(events),
        "NGAP": len(watch.gaps),
        "NCURVED": len(watch.curved),
        "NASSIGNED": sum(len(e.assignments) for e in events),
        "NVALUE": max(len(e.assignments) for e in events),
        "NSCALE": len(scales),
        "DEGREE": degree,
    }
    functions = [_conditions_text(writer, watch), _values_text(writer), _scales_text(writer, scales), _tables(writer)]
    if watch.gaps:
        functions += [_gaps_text(writer, watch), _polynomial_tables(degree)]
    runtime = (files(__package__) / "events.h").read_text(encoding="utf-8")
    return EventText(defines, "\n".join(functions), runtime)


def _gaps_text(writer: Writer, watch: Watch) -> str:
    """gaps: the gaps, curved ones first, and their sizes."""
    order = [*watch.curved, *(i for i in range(len(watch.gaps)) if i not in watch.curved)]
    sizes = watch.rule_sizes
    writer.moving |= sizes.keys()  # values of this function, not numbers computed once
    gaps = [watch.gaps[i] for i in order]
    rules, ready = writer.prepare([*sizes.values(), *gaps, *(watch.sizes[i] for i in order)], in_step=True)
    own = [*zip(sizes, ready[: len(sizes)], strict=True)]
    lines, texts = writer.print_body([*rules, *own], ready[len(sizes) :], "g")
    writer.moving -= sizes.keys()
    places = [f"{name}[{i}]" for name in ("gap", "size") for i in range(len(order))]
    stores = [f"  {place} = {text};" for place, text in zip(places, texts, strict=True)]
    given = "V t, V middle, const V *restrict y, const V *restrict q"
    head = f"OUTLINE void gaps({given}, V *restrict gap, V *restrict size) {{"
    return "\n".join([head, "  (void)t, (void)middle, (void)y, (void)q;", *lines, *stores, "}"])


def _conditions_text(writer: Writer, watch: Watch) -> str:
    """conditions: the truth of every trigger, given the gaps."""
    order = [*watch.curved, *(i for i in range(len(watch.gaps)) if i not in watch.curved)]
    given = {gap_symbol(i): f"gap[{place}]" for place, i in enumerate(order)}
    writer.moving |= given.keys()
    rules, ready = writer.prepare(watch.conditions, in_step=True)
    lines, texts = writer.print_body(rules, ready, "k", given=given)
    writer.moving -= given.keys()
    stores = [f"  truth[{i}] = {text};" for i, text in enumerate(texts)]
    head = "OUTLINE void conditions(V t, V middle, const V *y, const V *q, const V *gap, V *restrict truth) {"
    return "\n".join([head, "  (void)t, (void)middle, (void)y, (void)q, (void)gap;", *lines, *stores, "}"])


def _values_text(writer: Writer) -> str:
    """event_values: delay and priority of every event, and the values that it would assign now."""
    events = writer.system.events
    delays = [sp.S.Zero if e.delay is None else e.delay for e in events]
    priorities = [-sp.oo if e.priority is None else e.priority for e in events]
    values = [a.value for e in events for a in e.assignments]
    groups = (("delay", delays), ("priority", priorities), ("value", values))
    head = "OUTLINE void event_values(V t, const V *restrict y, const V *restrict q, V *delay, V *priority, V *value) {"
    return _function(writer, head, groups, "e")


def _scales_text(writer: Writer, scales: list[sp.Expr]) -> str:
    """event_scales: what the values of scaled assignments are multiplied by."""
    head = "OUTLINE void event_scales(V t, const V *restrict y, const V *restrict q, V *scale) {"
    return _function(writer, head, (("scale", scales),), "c") if scales else ""


def _function(writer: Writer, head: str, groups: Sequence[tuple[str, list[sp.Expr]]], prefix: str) -> str:
    rules, ready = writer.prepare([e for _, group in groups for e in group], in_step=False)
    lines, texts = writer.print_body(rules, ready, prefix, outline=True)
    places = [f"{name}[{i}]" for name, group in groups for i in range(len(group))]
    stores = [f"  {place} = {text};" for place, text in zip(places, texts, strict=True)]
    return "\n".join([head, "  (void)t, (void)y, (void)q;", *lines, *stores, "}"])


def _tables(writer: Writer) -> str:
    """What each event is and what it assigns: the place of a target is a state's, or NS more than that in q."""
    events = writer.system.events
    places = {name: i for i, name in enumerate((*writer.states, *writer.held))}
    firsts, scaled = [0], 0
    targets: list[int] = []
    factors: list[int] = []
    for event in events:
        for a in event.assignments:
            targets.append(places[a.target])
            factors.append(scaled if a.scale != 1 else -1)
            scaled += a.scale != 1
        firsts.append(len(targets))
    return "\n".join(
        [
            _table("int", "FIRST_VALUE", firsts),
            _table("int", "TARGET", targets),
            _table("int", "SCALE", factors),
            _table("char", "INITIALLY", (int(e.initially) for e in events)),
            _table("char", "PERSISTENT", (int(e.persistent) for e in events)),
            _table("char", "EARLY", (int(e.early) for e in events)),
            _table("char", "RANKED", (int(e.priority is not None) for e in events)),
        ]
    )


def _table(kind: str, name: str, numbers: Iterable[int | float]) -> str:
    return f"static const {kind} {name}[] = {{{', '.join(map(repr, numbers))}}};"


# --- polynomials -----------------------------------------------------------------------------------------------------


def _polynomial_tables(degree: int) -> str:
    rows = ",\n  ".join(f"{{{', '.join(map(repr, row))}}}" for row in bernstein_rows(degree))
    last = ",\n  ".join(f"{{{', '.join(map(repr, row))}}}" for row in last_rows(degree))
    return "\n".join(
        [
            _table("double", "NODE", NODES[degree]),
            f"static const double BERNSTEIN[DEGREE + 1][DEGREE + 1] = {{\n  {rows}}};",
            f"static const double LAST[2][DEGREE + 1] = {{\n  {last}}};",
        ]
    )


def bernstein_rows(degree: int) -> list[list[float]]:
    """Matrix (coefficient, node) from a polynomial's values at the nodes to its Bernstein coefficients on [0, 1]."""
    nodes = [sp.Rational(s) for s in NODES[degree]]  # exact, so that no machine's rounding enters the text
    values = [[comb(degree, i) * s**i * (1 - s) ** (degree - i) for i in range(degree + 1)] for s in nodes]
    return [[float(Fraction(int(x.p), int(x.q))) for x in row] for row in sp.Matrix(values).inv().tolist()]


def last_rows(degree: int) -> list[list[float]]:
    """Matrix (2, node) to the last two Chebyshev coefficients: how far the nodes are from telling the whole course."""

    def row(factor: Callable[[int], float], end: float) -> list[float]:
        inner = [2 * factor(k) / degree for k in range(1, degree)]
        return [factor(0) * end / degree, *inner, factor(degree) * end / degree]

    cosines = [1 - 2 * s for s in NODES[degree]]  # cos(k pi/degree)
    # cos(k pi (n-1)/n) = (-1)^k cos(k pi/n), and cos(k pi) = (-1)^k with half its weight
    return [row(lambda k: (-1) ** k * cosines[k], 1.0), [x / 2 for x in row(lambda k: (-1.0) ** k, 1.0)]]
