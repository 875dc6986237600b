# sympy and libSBML build their classes at run time, and their annotations do not follow.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportReturnType=false
# pyright: reportOperatorIssue=false, reportIncompatibleMethodOverride=false, reportCallIssue=false
# pyright: reportIndexIssue=false, reportAssignmentType=false
"""A `System` in symbols -> one C text: initial values, rates, Jacobian, sparse factorisation, outputs.

Rules stay separate variables and the Jacobian is built by the chain rule over them, so the text grows with the model
and not with its nesting. Whatever depends on a subject's parameters alone is computed once per subject. C names are
made from indices; nothing of a model's own text reaches the compiler.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import sympy as sp

from ..errors import KernelError, UnsupportedError, near_miss
from . import rodas5p, symbolic
from .event_source import EventText, write_events
from .symbolic import START, TIME, LogAbsolute, Power, PowerRatio, System, symbol

MIDDLE = sp.Symbol("csymbol middle", real=True)  # the middle of a step: decides time conditions, constant in a step


class _SignOfPower(symbolic._Opaque):
    """Factor that a negative base gives to base ** exponent; depends on the exponent alone."""


class _PowerFrom(symbolic._Opaque):
    """base ** exponent from (base, exponent, log|base|, sign factor)."""


class _RatioFrom(symbolic._Opaque):
    """base ** (exponent - 1) from (base, base ** exponent)."""


class _Reciprocal(symbolic._Opaque):
    """1/x, so that all quotients with one divisor share one division."""


@dataclass(frozen=True, slots=True)
class Source:
    """C text of one kernel and the order of the numbers that go in and out."""

    text: str
    states: tuple[str, ...]
    parameters: tuple[str, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    defaults: tuple[float, ...]
    uses_time: bool
    events: int  # of the model itself


def write_source(
    system: System, *, inputs: Sequence[str] = (), outputs: Sequence[str] | None = None, portable: bool = False
) -> Source:
    """Write the C text of a system.

    `inputs` are parameters that events may change during a run; `outputs` defaults to all that can change in time.
    Raises KernelError for an unknown input or output, UnsupportedError for maths without a portable form.
    """
    return _Writer(system, tuple(inputs), outputs, portable).source()


# --- printing expressions --------------------------------------------------------------------------------------------

_LANE_BY_LANE = {
    sp.sin: "vsin",
    sp.cos: "vcos",
    sp.tan: "vtan",
    sp.asin: "vasin",
    sp.acos: "vacos",
    sp.atan: "vatan",
    sp.sinh: "vsinh",
    sp.cosh: "vcosh",
    sp.tanh: "vtanh",
    sp.asinh: "vasinh",
    sp.acosh: "vacosh",
    sp.atanh: "vatanh",
    symbolic.Factorial: "vfactorial",
    symbolic.Digamma: "vdigamma",
}
_CALLS = {
    sp.exp: "vexp",
    sp.log: "vlog",
    sp.Abs: "vabs",
    LogAbsolute: "vlogabs",
    _SignOfPower: "vsign_of_power",
    _PowerFrom: "vpower",
    _RatioFrom: "vpower_ratio",
    _Reciprocal: "vreciprocal",
    symbolic.Maximum: "vmax",
    symbolic.Minimum: "vmin",
    symbolic.Absolute: "vabs",
    symbolic.Floor: "vfloor",
    symbolic.Ceiling: "vceil",
}
_OUTLINED = {  # where a call happens once a subject, compile time counts for more than run time
    sp.exp: "outline_exp",
    sp.log: "outline_log",
    LogAbsolute: "outline_logabs",
    _SignOfPower: "outline_sign_of_power",
    _PowerFrom: "outline_power",
}
_RELATIONS = {symbolic.Less: "vless", symbolic.LessEqual: "vless_equal", symbolic.Equal: "vequal"}


class _Printer:
    """sympy -> C over lane vectors. `names` maps symbols to C identifiers."""

    def __init__(self, names: dict[sp.Symbol, str], *, portable: bool, outline: bool = False) -> None:
        self.names, self.portable, self.outline = names, portable, outline

    def __call__(self, e: sp.Expr) -> str:
        if e.is_Symbol:
            return self.names[e]
        if e.is_number and not e.has(symbolic._Opaque):
            return self._constant(e)
        if e.is_Add:
            return self._sum(e)
        if e.is_Mul:
            return self._product(e)
        if e.is_Pow:
            return self._power(e)
        if isinstance(e, symbolic.Select):
            return f"vselect({self.mask(e.args[0])}, {self(e.args[1])}, {self(e.args[2])})"
        if isinstance(e, symbolic._Truth):
            return f"vtruth({self.mask(e)})"
        return self._call(e)

    def mask(self, e: sp.Expr) -> str:
        """A condition as a lane mask."""
        if name := _RELATIONS.get(e.func):
            return f"{name}({self(e.args[0])}, {self(e.args[1])})"
        if isinstance(e, symbolic.Both):
            return f"({self.mask(e.args[0])} & {self.mask(e.args[1])})"
        if isinstance(e, symbolic.Either):
            return f"({self.mask(e.args[0])} | {self.mask(e.args[1])})"
        if isinstance(e, symbolic.Negation):
            return f"((M)~{self.mask(e.args[0])})"
        return f"((M)~vequal({self(e)}, K(0)))"

    def _constant(self, e: sp.Expr) -> str:
        value = complex(e.evalf(20))
        number = value.real
        if value.imag or number != number:
            return 'K(__builtin_nan(""))'
        if number in (float("inf"), float("-inf")):
            return f"K({'-' if number < 0 else ''}__builtin_inf())"
        return f"K({number!r})"

    def _sum(self, e: sp.Expr) -> str:
        """Terms with a minus sign are subtracted, which compilers fuse with the product."""
        plus = [a for a in e.args if not _is_negated(a)]
        minus = [-a for a in e.args if _is_negated(a)]
        if not plus:
            return f"(-{self._sum(sp.Add(*minus))})" if len(minus) > 1 else f"(-{self(minus[0])})"
        return f"({' + '.join(map(self, plus))}{''.join(f' - {self(a)}' for a in minus)})"

    def _product(self, e: sp.Expr) -> str:
        above, below = [], []
        for a in e.args:
            if a.is_Pow and a.exp.is_number and a.exp.is_negative:
                below.append(sp.Pow(a.base, -a.exp))
            else:
                above.append(a)
        if above and above[0] is sp.S.NegativeOne and len(above) > 1:
            return f"(-{self(-e)})"
        else:
            text = "*".join(self(a) for a in above) or "K(1.0)"
        return f"({text})" if not below else f"(({text})/({'*'.join(self(a) for a in below)}))"

    def _power(self, e: sp.Expr) -> str:
        base, exponent = e.args
        if exponent.is_negative:
            return f"(K(1.0)/{self(sp.Pow(base, -exponent))})"
        if exponent == sp.Rational(1, 2):
            return f"vsqrt({self(base)})"
        if exponent.is_Integer:
            return f"({'*'.join([self(base)] * int(exponent))})"
        if exponent.is_Rational and exponent.q == 2:
            return f"({self(sp.Pow(base, exponent.p // 2))}*vsqrt({self(base)}))"
        raise KernelError(f"no C form for {e}")  # symbolic.power lets nothing else through

    def _call(self, e: sp.Expr) -> str:
        if name := (self.outline and _OUTLINED.get(e.func)) or _CALLS.get(e.func):
            return f"{name}({', '.join(self(a) for a in e.args)})"
        if name := _LANE_BY_LANE.get(e.func):
            if self.portable:
                raise UnsupportedError(f"a portable kernel has no {e.func.__name__} of its own")
            return f"{name}({self(e.args[0])})"
        raise UnsupportedError(f"the kernel has no C form for {e.func.__name__}")


def _is_negated(e: sp.Expr) -> bool:
    return e.is_Mul and e.args[0].is_number and bool(e.args[0].is_negative)


# --- writing ---------------------------------------------------------------------------------------------------------


class _Writer:
    """Collects what must be computed once per subject, then prints each function of the C text."""

    def __init__(self, system: System, inputs: tuple[str, ...], outputs: Sequence[str] | None, portable: bool) -> None:
        self.system, self.inputs, self.portable = system, inputs, portable
        self.states = tuple(system.states)
        for name in inputs:
            if name not in system.values or name in system.states:
                raise KernelError(f'input "{name}" is no parameter of the model{near_miss(name, system.values)}')
        self.outputs = tuple(system.outputs if outputs is None else outputs)
        known = {*system.outputs, *system.values, *system.initial}
        for name in self.outputs:
            if name not in known:
                raise KernelError(f'output "{name}" is not in the model{near_miss(name, known)}')
        self.parameters = tuple(system.values)
        self.state_symbols = [symbol(s) for s in self.states]
        self.held = (*inputs, *system.switched)  # what doses and events set, and what keeps its value in between
        self.moving: set[sp.Symbol] = {*self.state_symbols, *map(symbol, self.held), TIME, MIDDLE}
        self.once: dict[sp.Expr, sp.Symbol] = {symbol(i): symbol(i) for i in self.held}  # they lead the vector q
        self.stops: list[sp.Expr] = []
        self._meaning: dict[sp.Expr, sp.Expr] = {}  # the way back from a number computed once to its expression

    # -- preparing expressions

    def _lower(self, e: sp.Expr) -> sp.Expr:
        """Powers through shared logarithms; time conditions through the middle of the step."""
        if e.is_Atom:
            return e
        arguments = [self._lower(a) for a in e.args]
        if isinstance(e, Power):
            base, exponent = arguments
            return _PowerFrom(base, exponent, LogAbsolute(base), _SignOfPower(exponent))
        if isinstance(e, PowerRatio):
            base, exponent = arguments
            return _RatioFrom(base, _PowerFrom(base, exponent, LogAbsolute(base), _SignOfPower(exponent)))
        if e.is_Function and type(e) in _RELATIONS and TIME in e.free_symbols:
            return self._timed(e.func(*arguments))
        return e.func(*arguments)

    def _timed(self, relation: sp.Expr) -> sp.Expr:
        """A condition linear in time switches at a time known beforehand: a stop, and no test inside a step."""
        gap = relation.args[0] - relation.args[1]
        slope = sp.diff(gap, TIME)
        others = (gap.free_symbols - {TIME}) | slope.free_symbols
        if slope == 0 or (others & self.moving) or gap.has(symbolic._Opaque):
            return relation
        self.stops.append((-gap.xreplace({TIME: sp.S.Zero}) / slope).xreplace(self._meaning))
        return relation.xreplace({TIME: MIDDLE})

    def _moves(self, e: sp.Expr) -> bool:
        return bool(e.free_symbols & self.moving)

    def _hoist(self, e: sp.Expr) -> sp.Expr:
        """Replace every largest part that depends on parameters alone by a number computed once per subject."""
        if e.is_number or e in self.moving:
            return e
        if not self._moves(e):
            return self._once(e)
        if e.is_Atom:
            return e
        if e.is_Add or e.is_Mul:
            still = [a for a in e.args if not self._moves(a)]
            moving = [self._hoist(a) for a in e.args if self._moves(a)]
            return e.func(*moving, self._hoist(e.func(*still))) if still else e.func(*moving)
        return e.func(*[self._hoist(a) for a in e.args])

    def _once(self, e: sp.Expr) -> sp.Expr:
        """The number computed once per subject for an expression of parameters."""
        if e in self._meaning:
            return e
        e = e.xreplace(self._meaning)
        if e.is_number:
            return e
        if e not in self.once:
            self.once[e] = sp.Symbol(f"once {len(self.once)}", real=True)
            self._meaning[self.once[e]] = e
        return self.once[e]

    def _needed_rules(self, roots: Iterable[sp.Expr]) -> list[str]:
        wanted: set[str] = set()
        stack = [s.name for e in roots for s in e.free_symbols]
        while stack:
            name = stack.pop()
            if name in self.system.rules and name not in wanted:
                wanted.add(name)
                stack += [s.name for s in self.system.rules[name].free_symbols]
        return [name for name in self.system.rules if name in wanted]

    def _equations(self, rules: Sequence[str], *, in_step: bool) -> dict[str, sp.Expr]:
        """Rules ready for printing, those without motion replaced by numbers computed once."""
        ready: dict[str, sp.Expr] = {}
        replaced: dict[sp.Symbol, sp.Expr] = {}
        for name in rules:
            e = self.system.rules[name].xreplace(replaced)
            e = self._hoist(self._lower(e) if in_step else _lower_powers(e))
            if self._moves(e):
                self.moving.add(symbol(name))
                ready[name] = e
            else:
                replaced[symbol(name)] = e
        self._replaced = replaced
        return ready

    # -- derivatives

    def _gradients(self, equations: dict[str, sp.Expr], rates: Sequence[sp.Expr]) -> tuple[list, dict]:
        """Chain rule: (name of a partial, expression) in order, and (row, column) -> Jacobian entry.

        d rule/dx = partial rule/partial x + sum over earlier rules (partial rule/partial earlier) (d earlier/dx)
        """
        columns = {s: i for i, s in enumerate(self.state_symbols)}
        columns[TIME] = len(columns)
        total: dict[sp.Symbol, dict[int, sp.Expr]] = {}
        partials: list[tuple[sp.Symbol, sp.Expr]] = []

        def gradient(e: sp.Expr) -> dict[int, sp.Expr]:
            row: dict[int, sp.Expr] = {}
            for s in sorted(e.free_symbols, key=str):
                if s not in columns and s not in total:
                    continue
                slope = self._hoist(_lower_powers(sp.diff(e, s)))
                if slope == 0:
                    continue
                for column, inner in [(columns[s], sp.S.One)] if s in columns else total[s].items():
                    row[column] = row.get(column, sp.S.Zero) + slope * inner
            return {c: self._hoist(v) for c, v in row.items() if v != 0}

        for name, e in equations.items():
            total[symbol(name)] = {}
            for column, value in gradient(self._raise(e)).items():
                if self._moves(value):
                    partial = sp.Symbol(f"slope {name} {column}", real=True)
                    self.moving.add(partial)
                    partials.append((partial, value))
                    value = partial
                total[symbol(name)][column] = value
        jacobian = {(i, c): v for i, e in enumerate(rates) for c, v in gradient(self._raise(e)).items()}
        return partials, jacobian

    def _raise(self, e: sp.Expr) -> sp.Expr:
        """Undo the lowering of powers, whose derivative is known in their plain form."""
        return e.replace(_PowerFrom, lambda b, x, log, sign: Power(b, x)).replace(
            _RatioFrom, lambda b, p: PowerRatio(b, p.args[1])
        )

    # -- text

    def source(self) -> Source:
        rates = [self.system.states[s] for s in self.states]
        rules = self._equations(self._needed_rules(rates), in_step=True)
        rates = [self._hoist(self._lower(e.xreplace(self._replaced))) for e in rates]
        partials, jacobian = self._gradients(rules, rates)
        uses_time = any(column == len(self.states) for _, column in jacobian) or any(
            TIME in e.free_symbols for e in (*rates, *rules.values())
        )
        step_text = [
            self._rates_text(rules, rates),
            *self._factor_text(rules, rates, partials, jacobian),
        ]
        observe = self._observe_text()
        events = write_events(self) if self.system.events else EventText({}, "", "")
        stops = list(dict.fromkeys(self.stops))
        parts = [
            self._defines(len(stops), uses_time, events),
            _packaged("vector.h"),
            self._prepare_text(stops),
            *step_text,
            observe,
            events.functions,
            _stage_macros(uses_time),
            _packaged("solver.h"),
            events.runtime,
        ]
        return Source(
            "\n".join(part for part in parts if part),
            self.states,
            self.parameters,
            self.inputs,
            self.outputs,
            defaults=tuple(self.system.values.values()),
            uses_time=uses_time,
            events=len(self.system.events),
        )

    def prepare(
        self, roots: Sequence[sp.Expr], *, in_step: bool
    ) -> tuple[list[tuple[sp.Symbol, sp.Expr]], list[sp.Expr]]:
        """Rules that the roots need, and the roots, ready for printing; a step has its own reading of time."""
        self.moving -= {symbol(n) for n in self.system.rules}
        rules = self._equations(self._needed_rules(roots), in_step=in_step)
        lower = self._lower if in_step else _lower_powers
        ready = [self._hoist(lower(e.xreplace(self._replaced))) for e in roots]
        return [(symbol(n), e) for n, e in rules.items()], ready

    def _defines(self, stops: int, uses_time: bool, events: EventText) -> str:
        entries = {
            "NS": len(self.states),
            "NQ": len(self.once),
            "NI": len(self.held),
            "NO": len(self.outputs),
            "NSTOP": stops,
            "NLU": max(1, self._factor_size),
            "USES_TIME": int(uses_time),
            "STAGES": rodas5p.STAGES,
            "ORDER": rodas5p.ORDER,
            "GAMMA": repr(rodas5p.GAMMA),
            **events.defines,
        }
        lines = [f"#define {name} {value}" for name, value in entries.items()]
        return "\n".join((["#define PORTABLE 1"] if self.portable else []) + lines)

    def _names(self, expressions: Iterable[sp.Expr], extra: dict[sp.Symbol, str]) -> tuple[dict[sp.Symbol, str], list]:
        """C names for the symbols in use and the lines that load them from the vectors y and q."""
        used = set().union(*(e.free_symbols for e in expressions)) if expressions else set()
        names, loads = dict(extra), []
        for i, s in enumerate(self.state_symbols):
            if s in used:
                names[s] = f"y{i}"
                loads.append(f"  const V y{i} = y[{i}];")
        for i, s in enumerate(self.once.values()):
            if s in used:
                names[s] = f"q{i}"
                loads.append(f"  const V q{i} = q[{i}];")
        names[TIME], names[MIDDLE] = "t", "middle"
        return names, loads

    def print_body(
        self,
        rules: list[tuple[sp.Symbol, sp.Expr]],
        results: list[sp.Expr],
        prefix: str,
        *,
        outline: bool = False,
        given: Mapping[sp.Symbol, str] = {},
    ) -> tuple[list, list]:
        """Lines that compute rules and shared parts in order, and the C text of each result.

        `given` symbols have a text already.
        """
        expressions = [*(e for _, e in rules), *results]
        local = {s: f"{prefix}{i}" for i, (s, _) in enumerate(rules)}
        shared, reduced = sp.cse(
            expressions if outline else [_share_divisions(e) for e in expressions],
            symbols=sp.numbered_symbols("shared ", real=True),
            optimizations=[],
            order="none",
        )
        names, lines = self._names([*(e for _, e in shared), *reduced], local)
        names.update({s: f"{prefix}s{i}" for i, (s, _) in enumerate(shared)})
        names.update(given)
        printer = _Printer(names, portable=self.portable, outline=outline)
        pending = [(s, e, {x for x in e.free_symbols if x in names}) for s, e in shared]
        ready: set[sp.Symbol] = set()
        shared_symbols, local_symbols = {s for s, _ in shared}, set(local)

        def waits(e: sp.Expr) -> set[sp.Symbol]:
            return {x for x in e.free_symbols if (x in shared_symbols or x in local_symbols) and x not in ready}

        def flush(target: sp.Expr) -> None:
            """Print the shared parts that `target` needs, innermost first."""
            for x in sorted(waits(target), key=str):
                if x in shared_symbols and x not in ready:
                    inner = by_symbol[x]
                    flush(inner)
                    ready.add(x)
                    lines.append(f"  const V {names[x]} = {printer(inner)};")

        by_symbol = {s: e for s, e, _ in pending}
        for (s, _), e in zip(rules, reduced[: len(rules)], strict=True):
            flush(e)
            lines.append(f"  const V {names[s]} = {printer(e)};")
            ready.add(s)
        texts = []
        for e in reduced[len(rules) :]:
            flush(e)
            texts.append(printer(e))
        return lines, texts

    def _rates_text(self, rules: dict[str, sp.Expr], rates: list[sp.Expr]) -> str:
        lines, texts = self.print_body([(symbol(n), e) for n, e in rules.items()], rates, "a")
        stores = [f"  f[{i}] = {text};" for i, text in enumerate(texts)]
        head = "static void rates(V t, V middle, const V *restrict y, const V *restrict q, V *restrict f) {"
        return "\n".join([head, "  (void)t, (void)middle, (void)q;", *lines, *stores, "}"])

    def _factor_text(
        self, rules: dict[str, sp.Expr], rates: list[sp.Expr], partials: list, jacobian: dict
    ) -> tuple[str, str]:
        """rates_and_factor: rates, df/dt and the factors of I/(h gamma) - J; solve: with those factors."""
        size = len(self.states)
        keys = [k for k in jacobian if k[1] < size]
        drift = [i for i in range(size) if (i, size) in jacobian]
        results = [*rates, *(jacobian[k] for k in keys), *(jacobian[i, size] for i in drift)]
        lines, texts = self.print_body([*((symbol(n), e) for n, e in rules.items()), *partials], results, "b")
        lines += [f"  f[{i}] = {text};" for i, text in enumerate(texts[:size])]
        entries = dict(zip(keys, texts[size : size + len(keys)], strict=True))
        slopes = dict(zip(drift, texts[size + len(keys) :], strict=True))
        lines += [
            "#if USES_TIME",
            *(f"  ft[{i}] = {slopes.get(i, 'K(0)')};" for i in range(size)),
            "#endif",
        ]
        factor, solve = _factorise(size, entries)
        self._factor_size = factor.count("lu[")
        head = (
            "static void rates_and_factor(V t, V middle, const V *restrict y, const V *restrict q, V ihg,\n"
            "                             V *restrict f, V *restrict ft, V *restrict lu) {"
        )
        voids = "  (void)t, (void)middle, (void)q, (void)ft;"
        return "\n".join([head, voids, *lines, factor, "}"]), solve

    def _observe_text(self) -> str:
        """Outputs from states, inputs and time; time conditions are read at the output's own time."""
        named = [symbol(n) for n in self.outputs]
        self.moving -= {symbol(n) for n in self.system.rules}
        rules = self._equations(self._needed_rules(named), in_step=False)
        results = [self._hoist(s.xreplace(self._replaced)) for s in named]
        lines, texts = self.print_body([(symbol(n), e) for n, e in rules.items()], results, "o", outline=True)
        stores = [f"  o[{i}] = {text};" for i, text in enumerate(texts)]
        head = "static void observe(V t, const V *restrict y, const V *restrict q, V *restrict o) {"
        return "\n".join([head, "  (void)t, (void)y, (void)q;", *lines, *stores, "}"])

    def _prepare_text(self, stops: list[sp.Expr]) -> str:
        """Once per subject: the vector q, the start of every state, the times of switches."""
        starts = _Starts(self.system)
        roots = [*self.once, *stops, *map(symbol, self.states)]
        rewritten = [starts.rewrite(e, as_start=i >= len(self.once) + len(stops)) for i, e in enumerate(roots)]
        rules = starts.ordered(rewritten)
        needed = set().union(*(e.free_symbols for e in [*rewritten, *(e for _, e in rules)]))
        names = {symbol(p): f"p{i}" for i, p in enumerate(self.parameters) if symbol(p) in needed}
        names[START] = "start"
        loads = [f"  const V p{i} = K(p[{i}]);" for i, p in enumerate(self.parameters) if symbol(p) in names]
        local = {s: f"i{i}" for i, (s, _) in enumerate(rules)}
        printer = _Printer({**names, **local}, portable=self.portable, outline=True)
        lines = [f"  const V {local[s]} = {printer(_lower_powers(e))};" for s, e in rules]
        texts = [printer(_lower_powers(e)) for e in rewritten]
        first, second = len(self.once), len(self.once) + len(stops)
        lines += [f"  q[{i}] = {text};" for i, text in enumerate(texts[:first])]
        lines += [f"  {{ const V s = {text}; stops[{i}] = LANE(s, 0); }}" for i, text in enumerate(texts[first:second])]
        lines += [f"  y[{i}] = {text};" for i, text in enumerate(texts[second:])]
        head = "static void prepare(const double *p, V start, V *restrict q, V *restrict y, double *stops) {"
        return "\n".join([head, "  (void)p, (void)start, (void)stops;", *loads, *lines, "}"])


class _Starts:
    """Values at the start: initial assignments and rules there, each computed once and in order.

    Constants with an initial assignment keep that value for the whole run; a state's own symbol means its start here.
    """

    def __init__(self, system: System) -> None:
        self.system = system
        self.assigned = {n for n in system.initial if n not in system.rules}

    def rewrite(self, e: sp.Expr, *, as_start: bool = False) -> sp.Expr:
        """Point every assigned name (and, for a start, every rule) at the value computed for it."""
        names = self.assigned | (set(self.system.rules) if as_start else set())
        constants = self.assigned - set(self.system.states)
        chosen = names if as_start else constants
        return e.xreplace({symbol(n): _start_symbol(n) for n in chosen}).xreplace({TIME: START})

    def ordered(self, roots: Sequence[sp.Expr]) -> list[tuple[sp.Symbol, sp.Expr]]:
        """Every start value that the roots need, innermost first; raises UnsupportedError on a circle."""
        table = {_start_symbol(n): e for n, e in self.system.rules.items()}
        table |= {_start_symbol(n): self.system.initial[n] for n in self.assigned}
        done: dict[sp.Symbol, sp.Expr] = {}
        path: list[sp.Symbol] = []

        def visit(s: sp.Symbol) -> None:
            if s in done or s not in table:
                return
            if s in path:
                raise UnsupportedError(f"initial assignments run in a circle through {s.name}")
            path.append(s)
            e = self.rewrite(table[s], as_start=True)
            for inner in sorted(e.free_symbols, key=str):
                visit(inner)
            path.pop()
            done[s] = e

        for root in roots:
            for s in sorted(root.free_symbols, key=str):
                visit(s)
        return list(done.items())


def _start_symbol(name: str) -> sp.Symbol:
    return sp.Symbol(f"start of {name}", real=True)


def _lower_powers(e: sp.Expr) -> sp.Expr:
    """Powers through shared logarithms, nothing else."""
    if e.is_Atom:
        return e
    arguments = [_lower_powers(a) for a in e.args]
    if isinstance(e, Power):
        base, exponent = arguments
        return _PowerFrom(base, exponent, LogAbsolute(base), _SignOfPower(exponent))
    if isinstance(e, PowerRatio):
        base, exponent = arguments
        return _RatioFrom(base, _PowerFrom(base, exponent, LogAbsolute(base), _SignOfPower(exponent)))
    return e.func(*arguments)


def _share_divisions(e: sp.Expr) -> sp.Expr:
    """Quotients as products with reciprocals: a/b and c/b^2 cost one division together."""
    if e.is_Atom:
        return e
    arguments = [_share_divisions(a) for a in e.args]
    if e.is_Pow and e.exp.is_Integer and e.exp.is_negative and not e.base.is_number:
        return sp.Pow(_Reciprocal(arguments[0]), -e.exp)
    return e.func(*arguments)


# --- linear algebra --------------------------------------------------------------------------------------------------


def _elimination_order(size: int, filled: list[set[int]]) -> list[int]:
    """Markowitz order on the diagonal: fewest (row - 1)(column - 1) first; fills `filled` as elimination will."""
    rest, order = set(range(size)), []
    while rest:

        def cost(k: int) -> tuple[int, int]:
            return (len(filled[k] & rest) - 1) * (sum(k in filled[i] for i in rest) - 1), k

        best = min(rest, key=cost)
        order.append(best)
        rest.discard(best)
        for i in rest:
            if best in filled[i]:
                filled[i] |= filled[best] & rest
    return order


def _factorise(size: int, entries: dict[tuple[int, int], str]) -> tuple[str, str]:
    """C text of an unrolled LU without pivoting, and of the solve with it.

    The matrix I/(h gamma) - J has a dominant diagonal for a small enough step; a poor pivot shows as a rejected step.
    """
    filled = [{i} | {j for (row, j) in entries if row == i} for i in range(size)]
    order = _elimination_order(size, filled)
    place = {k: n for n, k in enumerate(order)}
    have, slot, lines = set(), {}, []
    for i in range(size):
        for j in sorted({i} | {c for (r, c) in entries if r == i}):
            value = f"-({entries[i, j]})" if (i, j) in entries else ""
            lines.append(f"  V m{i}_{j} = {'ihg' if i == j else ''}{value};")
            have.add((i, j))

    def store(key: tuple[int, int], text: str) -> None:
        slot[key] = len(slot)
        lines.append(f"  lu[{slot[key]}] = {text};")

    for k in order:
        lines.append(f"  const V d{k} = vreciprocal(m{k}_{k});")
        store((k, k), f"d{k}")
        later = [i for i in order[place[k] + 1 :]]
        for i in later:
            if (i, k) not in have:
                continue
            lines.append(f"  const V l{i}_{k} = m{i}_{k}*d{k};")
            store((i, k), f"l{i}_{k}")
            for j in later:
                if (k, j) in have:
                    sign = "-=" if (i, j) in have else "= -"
                    lines.append(f"  {'' if (i, j) in have else 'V '}m{i}_{j} {sign} l{i}_{k}*m{k}_{j};")
                    have.add((i, j))
        for j in later:
            if (k, j) in have:
                store((k, j), f"m{k}_{j}")
    return "\n".join(lines), _solve_text(size, order, place, slot)


def _solve_text(size: int, order: list[int], place: dict[int, int], slot: dict[tuple[int, int], int]) -> str:
    """C text of solve: b = (L U)^-1 (f + known)."""
    lines = ["static void solve(const V *restrict lu, const V *restrict f, const V *restrict known, V *restrict b) {"]
    lines += [f"  V b{i} = f[{i}] + known[{i}];" for i in range(size)]
    for k in order:
        lines += [f"  b{i} -= lu[{slot[i, k]}]*b{k};" for i in order[place[k] + 1 :] if (i, k) in slot]
    for k in reversed(order):
        lines += [f"  b{k} -= lu[{slot[k, j]}]*b{j};" for j in order[place[k] + 1 :] if (k, j) in slot]
        lines.append(f"  b{k} *= lu[{slot[k, k]}];")
    lines += [f"  b[{i}] = b{i};" for i in range(size)]
    return "\n".join([*lines, "}"])


def _stage_macros(uses_time: bool) -> str:
    """The stages of Rodas5P as C statements, zero coefficients left out."""

    def total(row: Sequence[float], term: Callable[[int], str]) -> str:
        return " + ".join(f"K({c!r})*{term(j)}" for j, c in enumerate(row) if c)

    def drift(i: int) -> str:
        return f" + h*K({rodas5p.SHARE[i]!r})*ft[k]" if uses_time and rodas5p.SHARE[i] else ""

    lines = []
    for i in range(1, rodas5p.STAGES):
        place = (
            f"z[k] = y[k] + {total(rodas5p.A[i], lambda j: f'u[{j}][k]')}"
            if i < len(rodas5p.A)
            else f"z[k] += u[{i - 1}][k]"
        )
        known = f"known[k] = ih*({total(rodas5p.C[i], lambda j: f'u[{j}][k]')}){drift(i)}"
        lines += [
            f"for (int k = 0; k < NS; k++) {{ {place}; {known}; }}",
            f"rates(t + K({rodas5p.ALPHA[i]!r})*h, middle, z, q, f);",
            f"solve(lu, f, known, u[{i}]);",
        ]
    first = f"h*K({rodas5p.SHARE[0]!r})*ft[k]" if uses_time else "K(0)"
    columns = zip(*rodas5p.H, strict=True)
    weights = [f"weight[{j}] = K({a!r}) + s*(K({b!r}) + s*K({c!r}));" for j, (a, b, c) in enumerate(columns)]
    dense = " + ".join(f"weight[{j}]*w->u[{j}][k]" for j in range(rodas5p.STAGES))
    return "\n".join(
        [
            "#define STAGE_TEXT " + " \\\n  ".join(lines),
            f"#define FIRST_DRIFT {first}",
            "#define DENSE_WEIGHTS " + " \\\n  ".join(weights),
            f"#define DENSE_SUM {dense}",
        ]
    )


@lru_cache(maxsize=4)
def _packaged(name: str) -> str:
    return (files(__package__) / name).read_text(encoding="utf-8")
