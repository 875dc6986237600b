"""Hostile input for every reader: sound files, what may be done to them, and a process in which they are read.

A reader may answer or raise one of the package's errors with a message that says where. Anything else is a fault: other
exceptions, a hang, a crash, a file written, another place opened, a process started.
"""

from __future__ import annotations

import collections
import faulthandler
import functools
import gzip
import itertools
import json
import math
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from antagony.errors import AntagonyError
from antagony.units import parse_time

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "docs" / "examples" / "psilocybin"
LONGEST = float(os.environ.get("LONGEST") or 10.0)  # s of the processor that one input may take
PATIENCE = 20  # times as long by the clock: a busy machine is no hang, a reader that waits for something is
MEMORY = 4 << 30  # byte of address space of the reading process
LINE = 4000  # characters of a message that a person can still read

HOSTILE = (
    *("nan", "inf", "-inf", "1e999", "-1e999", "1e-400", "-0", "-0.0", "0", "5e-324", "1.7976931348623157e308"),
    *(
        "9" * 400,
        "9" * 5000,
        "-" + "9" * 40,
        "1_000",
        "0x10",
        "0o7",
        "0b1",
        "\u0663",
        "\uff11",
        "\u00bd",
        "1,5",
        "1e",
        "+-1",
    ),
    *("\ud800", "\udfff", "\0", "\ufeff", "\r\n", "\r", "\x85", "\u2028", "\x0b", "\x1a", "\x7f", "\u202e", "\u200f"),
    *("\u00b5", "\u03bc", "\u212b", "e\u0301", "\U0001f480", "\U000e0041", "x" * 5000, "a." * 3000 + "b"),
    *(
        "[" * 3000,
        "{" * 3000,
        "(" * 3000,
        "((((",
        "))))",
        "[[",
        "]]",
        "'''",
        '"""',
        '"',
        "'",
        "\\",
        "\t",
        ";",
        "=",
        "#",
        "|",
    ),
    *(
        "{a = " * 1200,
        "-" * 3000 + "1",
        "9^9^9^9",
        "1/0",
        "0^-1",
        "not ",
        "a[0]",
        "{0.__class__}",
        "{}",
        "%s%n",
        "${HOME}",
    ),
    *("../../x", "/etc/passwd", "file:///etc/passwd", "~", ".", "..", "a/b", "con", "*", "?", "-rf", "--help"),
    *(
        "__import__('os').system('touch canary')",
        "import os",
        "lambda: 0",
        "exec('1')",
        "!!python/object/apply:os.getcwd []",
    ),
    *("&a", "*a", "<!ENTITY a 'b'>", "<![CDATA[", "]]>", "<!--", "-->", "&#0;", "&x;", "<a/>", "</sbml>"),
    *("true", "false", "null", "None", "1979-05-27T07:32:00Z", "07:32:00", "[]", "{ }", "[1, [2, [3]]]"),
)
"""What may stand in the place of anything: numbers at the edge, letters that mislead, endless brackets, paths, code."""


@dataclass(frozen=True)
class Reader:
    """One way in: how its inputs are made, and what reads them from a folder of its own."""

    name: str
    inputs: st.SearchStrategy[bytes]
    read: Callable[[bytes, Path], object]
    located: str = ""  # what every message must name; empty where the text itself is quoted


# --- what may be done to a text -------------------------------------------------------------------------------------

_TOKEN = re.compile(r"\w+|\s+|.", re.DOTALL)


def encoded(text: str) -> bytes:
    """UTF-8, lone surrogates included as a careless writer would."""
    return text.encode("utf-8", "surrogatepass")


@st.composite
def mutated(draw: st.DrawFn, texts: Sequence[str], separator: str = "\n") -> bytes:
    """One of the texts with a few tokens, pieces or bytes replaced, dropped, doubled, swapped or cut off."""
    rng = random.Random(draw(SEEDS))  # many draws of hypothesis' own would take longer than most readers
    text = rng.choice(texts)
    for _ in range(rng.randint(1, 4)):
        text = _edited(rng, text, separator)
    content = encoded(text)
    if rng.random() < 0.12 and content:
        place = rng.randrange(len(content))
        content = content[:place] + bytes([rng.randrange(256)]) + content[place + 1 :]
    return content


def _edited(rng: random.Random, text: str, separator: str) -> str:
    """One edit: of a token, or of a piece between separators."""
    kind = rng.choice(("token", "token", "token", "insert", "drop", "double", "swap", "cut"))
    if kind in ("token", "insert"):
        start = rng.randint(0, len(text))
        found = _TOKEN.match(text, start)
        end = found.end() if found and kind == "token" else start
        while kind == "token" and 0 < start < len(text) and text[start - 1].isalnum() and text[start].isalnum():
            start -= 1
        return text[:start] + rng.choice(HOSTILE) + text[end:]
    if kind == "cut":
        return text[: rng.randint(0, len(text))]
    pieces = text.split(separator)
    at, other = rng.randrange(len(pieces)), rng.randrange(len(pieces))
    if kind == "drop":
        return separator.join(pieces[:at] + pieces[at + 1 :])
    if kind == "double":
        return separator.join([*pieces[: at + 1], *pieces[at:]])
    pieces[at], pieces[other] = pieces[other], pieces[at]
    return separator.join(pieces)


# --- tables of TOML and JSON: their tree is changed, then written anew ------------------------------------------------

SEEDS = st.integers(0, 2**32 - 1)


def any_value(rng: random.Random) -> Any:  # noqa: ANN401
    """A value of any kind, most often of the wrong one."""
    return rng.choice(
        (
            *(
                rng.choice(HOSTILE),
                rng.choice(HOSTILE),
                rng.gauss(0, 1),
                rng.choice(EDGES),
                rng.randint(-(2**70), 2**70),
            ),
            *(
                rng.random() < 0.5,
                [],
                {},
                [rng.choice((0, 1, -1, 1e308, "1 h", "x", True)) for _ in range(rng.randint(1, 3))],
            ),
            {rng.choice(("id", "value", "grade", "x", "")): rng.choice((0, "read", -1.0, []))},
        )
    )


EDGES = (0, -0.0, math.nan, math.inf, -math.inf, 5e-324, 1.7976931348623157e308, -1e300, 1e-300, 2**63, -(2**63) - 1)


def places(tree: object, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value of a tree."""
    branches = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, branch in branches:
        yield (*path, key)
        yield from places(branch, (*path, key))


def regrow(rng: random.Random, tree: Any) -> None:  # noqa: ANN401
    """A few values become others, of another kind too; keys are renamed, dropped or new."""
    for _ in range(rng.randint(1, 3)):
        if not (known := list(places(tree))):
            return
        *above, key = rng.choice(known)
        branch = tree
        for step in above:
            branch = branch[step]
        what = rng.choice(("value", "value", "value", "drop", "rename", "grow"))
        if what == "value":
            branch[key] = any_value(rng)
        elif what == "drop":
            del branch[key]
        elif isinstance(branch, dict):
            value = branch.pop(key) if what == "rename" else any_value(rng)
            branch[rng.choice((f"{key}s", f"{key}x", "", "a.b", "note", "\u202e", "id"))] = value
        else:
            branch.insert(0, any_value(rng))


@st.composite
def regrown(draw: st.DrawFn, texts: Sequence[str]) -> bytes:
    """Tables of TOML with another tree."""
    rng = random.Random(draw(SEEDS))
    tree = tomllib.loads(rng.choice(texts))
    regrow(rng, tree)
    return encoded("\n".join(f"{_key(key)} = {_toml(value)}" for key, value in tree.items()) + "\n")


@st.composite
def regrown_json(draw: st.DrawFn, texts: Sequence[str]) -> bytes:
    """JSON with another tree."""
    rng = random.Random(draw(SEEDS))
    tree = json.loads(rng.choice(texts))
    regrow(rng, tree)
    return json.dumps(tree).encode()


def _key(text: object) -> str:
    return json.dumps(str(text), ensure_ascii=True)


def _toml(value: object) -> str:
    """A value as TOML writes it; tables within one line."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_key(k)} = {_toml(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
    return (
        repr(value) if isinstance(value, int | float) else json.dumps(value if isinstance(value, str) else str(value))
    )


# --- grammars --------------------------------------------------------------------------------------------------------

_NUMBERS = st.one_of(
    st.sampled_from(("0", "1", "-1", "50", "0.5", "1e5", "1e-300", "1e300", "-0", ".5", "5.", "007")),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
)
_SPANS = st.builds(
    "{} {}".format,
    _NUMBERS,
    st.sampled_from(("h", "min", "d", "wk", "s", "month", "year", "mg", "h^2", "/h", "1/h", "kh", "degC")),
)


def regimens() -> st.SearchStrategy[bytes]:
    """Prescriptions by their grammar, with numbers and units that need not make sense."""
    counts = st.sampled_from(("1", "2", "7", "10000", "10001", "0", "-1", "1.5", "x", "9" * 40))
    modifier = st.one_of(
        st.builds("at {}".format, _SPANS),
        st.builds("over {}".format, _SPANS),
        st.builds("rate {} {}".format, _NUMBERS, st.sampled_from(("mg/h", "mg/kg/h", "ug/kg/min", "mg", "mg/d"))),
        st.builds("{} {} x {}".format, st.sampled_from(("every", "ss every", "ss added every")), _SPANS, counts),
        st.sampled_from(("ss", "after reset", "ss every 24 h")),
    )
    dose = st.builds(
        "{} {} {} {} {}".format,
        st.sampled_from(("ketamine", "naltrexone", "nothing", "")),
        _NUMBERS,
        st.sampled_from(("mg", "mg/kg", "ug", "g", "kg", "mg/m^2", "mmol", "mg / kg", "")),
        st.sampled_from(("iv", "po", "nasal", "at", "")),
        st.lists(modifier, max_size=4).map(" ".join),
    )
    repeat = st.builds("repeat every {} x {}".format, _SPANS, counts)
    clause = st.one_of(
        dose, dose, dose, repeat, st.builds("reset at {}".format, _SPANS), st.sampled_from(("placebo", "", "reset"))
    )
    return st.lists(clause, min_size=1, max_size=5).map("; ".join).map(encoded)


def formulas(leaves: Sequence[str], functions: Sequence[str]) -> st.SearchStrategy[str]:
    """Expressions of arithmetic and calls, nested."""
    leaf = st.one_of(
        st.sampled_from(tuple(leaves)), st.sampled_from(("0", "1", "2", "-1", "1e999", "1e-400", "9" * 40, "0.5"))
    )

    def grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        return st.one_of(
            st.builds(
                "({} {} {})".format,
                inner,
                st.sampled_from(("+", "-", "*", "/", "^", "<", ">=", "==", "&&", "||", "%")),
                inner,
            ),
            st.builds("{}({})".format, st.sampled_from(tuple(functions)), st.lists(inner, max_size=4).map(", ".join)),
            st.builds("-{}".format, inner),
            st.builds("!{}".format, inner),
        )

    return st.recursive(leaf, grown, max_leaves=12)


_FUNCTIONS = (
    "exp",
    "ln",
    "log",
    "sqrt",
    "abs",
    "piecewise",
    "max",
    "min",
    "sin",
    "floor",
    "delay",
    "rateOf",
    "factorial",
    "f",
)


def model_texts() -> st.SearchStrategy[bytes]:
    """Statements of Antimony that need not fit together."""
    names = ("x", "y", "k", "time", "part", "S1", "e")
    formula = formulas(names, _FUNCTIONS)
    name = st.sampled_from(names)
    statement = st.one_of(
        st.builds("{} := {}".format, name, formula),
        st.builds("{}' = {}".format, name, formula),
        st.builds("{} = {}".format, name, formula),
        st.builds("{} has {}".format, name, st.sampled_from(("hour", "nothing", "1", "dimensionless"))),
        st.builds("{}: {} -> {}; {}".format, name, name, name, formula),
        st.builds("at ({}): {} = {}".format, formula, name, formula),
        st.builds("species {} in {}".format, name, name),
        st.builds("const {}".format, name),
        st.builds('{} is "{}"'.format, name, st.sampled_from(HOSTILE)),
        st.sampled_from(
            (
                "end",
                "model z()",
                'import "other.ant"',
                "unit hour = 3600 second",
                "function f(a) a end",
                "// x",
                "/*",
                "delete x",
            )
        ),
    )
    return st.lists(statement, min_size=1, max_size=8).map("; ".join).map(encoded)


def sbml_models() -> st.SearchStrategy[bytes]:
    """SBML with rules, events and reactions over random formulas."""
    formula = formulas(("x", "y", "k", "C", "time"), _FUNCTIONS)
    return st.builds(
        _sbml_text,
        st.lists(st.tuples(st.sampled_from(("assignment", "rate", "start", "event", "reaction")), formula), max_size=4),
    )


def _sbml_text(parts: Sequence[tuple[str, str]]) -> bytes:
    """An SBML document, its formulas written by libSBML; those that it cannot read are left out."""
    import libsbml as library

    libsbml: Any = library
    document = libsbml.SBMLDocument(3, 2)
    model = document.createModel()
    for name in ("x", "y", "k"):
        item = model.createParameter()
        item.setId(name)
        item.setValue(1.0)
        item.setConstant(False)
    space = model.createCompartment()
    space.setId("C")
    space.setConstant(True)
    space.setSize(1.0)
    for number, (kind, text) in enumerate(parts):
        if (tree := libsbml.parseL3Formula(text)) is None:
            continue
        if kind == "event":
            item = model.createEvent()
            item.setUseValuesFromTriggerTime(True)
            trigger = item.createTrigger()
            trigger.setInitialValue(True)
            trigger.setPersistent(True)
            trigger.setMath(tree)
            target = item.createEventAssignment()
            target.setVariable("k")
            target.setMath(tree)
        elif kind == "reaction":
            item = model.createReaction()
            item.setId(f"r{number}")
            item.setReversible(False)
            item.createKineticLaw().setMath(tree)
        elif kind == "start":
            item = model.createInitialAssignment()
            item.setSymbol("k")
            item.setMath(tree)
        else:
            item = model.createAssignmentRule() if kind == "assignment" else model.createRateRule()
            item.setVariable("xy"[number % 2])
            item.setMath(tree)
    return str(libsbml.writeSBMLToString(document)).encode()


@st.composite
def cells(draw: st.DrawFn, texts: Sequence[str], separator: str) -> bytes:
    """A table with a few cells replaced, columns renamed or dropped, rows doubled."""
    rng = random.Random(draw(SEEDS))
    rows = [line.split(separator) for line in rng.choice(texts).splitlines()]
    for _ in range(rng.randint(1, 4)):
        row = rng.randrange(len(rows))
        if not rows[row]:
            continue
        at, what = rng.randrange(len(rows[row])), rng.randrange(10)
        if what == 0:
            del rows[row][at]
        elif what == 1:
            rows.insert(row, list(rows[row]))
        else:
            rows[row][at] = rng.choice((rng.choice(HOSTILE), repr(rng.choice(EDGES)), repr(rng.gauss(0, 100))))
    return encoded("\n".join(separator.join(row) for row in rows) + "\n")


# --- the readers -----------------------------------------------------------------------------------------------------


def _text(content: bytes) -> str:
    """What a shell hands over for these bytes: Python turns what is no UTF-8 into lone surrogates."""
    return content.decode("utf-8", "surrogateescape")


def _in_file(name: str, read: Callable[[Path], object]) -> Callable[[bytes, Path], object]:
    """A reader of one file: the content is put there first."""

    def run(content: bytes, folder: Path) -> object:
        path = folder / name
        _put(path, content)
        return read(path)

    return run


def _put(path: Path, content: bytes) -> None:
    WATCH.armed = False
    path.write_bytes(content)
    WATCH.armed = True


def _files(pattern: str, limit: int = 6) -> list[str]:
    """Sound files of the example, then of the packaged case."""
    packaged = ROOT / "src" / "antagony" / "cases" / "ketamine"
    found = [*sorted(EXAMPLE.glob(pattern)), *sorted(packaged.glob(pattern))]
    return [path.read_text(encoding="utf-8") for path in found[:limit]]


def _tables(pattern: str) -> st.SearchStrategy[bytes]:
    texts = _files(pattern)
    return st.one_of(mutated(texts), regrown(texts))


REGIMENS = (
    "naltrexone 50 mg po at -45 min; ketamine 0.5 mg/kg iv over 40 min; repeat every 7 d x 4",
    "ketamine 10 mg iv rate 5 mg/h ss every 24 h x 3; reset at 3 d; ketamine 1 mg/kg im after reset",
    "placebo; naltrexone 25 mg po ss added every 12 h at 2 h; esketamine 56 mg nasal every 3.5 d x 8",
)
DOSABLE = {"ketamine": ("iv", "im"), "naltrexone": ("po",), "esketamine": ("nasal",)}


def _read_regimen(content: bytes, _: Path) -> None:
    """A regimen that is read must be the one that its own text says."""
    from antagony.regimen import parse_regimen

    for drugs in (DOSABLE, None):
        found = parse_regimen(_text(content), drugs)
        assert parse_regimen(found.text()) == found, f"another regimen comes back from {found.text()!r}"


def _read_options(content: bytes, _: Path) -> None:
    """The small texts of the command line: quantities, times, settings, variants."""
    from antagony import units
    from antagony.commands.options import parse_variants
    from antagony.commands.simulation import parse_changes, parse_span

    text = _text(content)
    readers: list[Callable[[str], object]] = [
        *(functools.partial(units.parse_quantity, dimension=d) for d in units._INTERNAL),
        *(units.parse_dose, units.parse_rate, parse_span),
        *(lambda t: parse_changes([t]), lambda t: parse_variants([t])),
    ]
    found: list[AntagonyError] = []
    for read in readers:
        try:
            read(text)
        except AntagonyError as error:
            assert len(str(error)) > 10, "a message without a sentence"
            found.append(error)
    if len(found) == len(readers):
        raise found[0]


def _read_case(path: Path) -> None:
    from antagony.case import open_case

    case = open_case(path.parent)
    _ = case.timed, case.families, case.dosable  # what is read on demand is read too
    for slug in case.wirings:
        case.parameters(slug)
        case.free_axes(slug)


def _read_rules(path: Path) -> None:
    from antagony.parameters import read_parameters
    from antagony.rules import read_rules

    head = tomllib.loads((EXAMPLE / "case.toml").read_text())
    known = {name: head.get(name, {}) for name in ("classes", "outputs")}
    tops = {name: 52.0 for name in head["scales"]} | {"hamd17": 52.0, "madrs": 60.0}
    read_rules(path, tops, **known, parameters=read_parameters(EXAMPLE / "parts" / "parameters.tsv"))


@functools.cache
def _example() -> Any:  # noqa: ANN401
    from antagony.case import open_case

    return open_case(EXAMPLE)


def _read_beside(module: str, function: str) -> Callable[[Path], object]:
    """A reader that takes an open case and reads one more file of its folder."""

    def run(path: Path) -> object:
        from dataclasses import replace
        from importlib import import_module

        case = _packaged() if module == "display" else _example()  # whose outputs the texts name
        return getattr(import_module(f"antagony.{module}"), function)(replace(case, folder=path.parent))

    return run


def _read_answer(path: Path) -> object:
    from antagony.posterior import storage

    return storage._read(_packaged(), path)


def _read_wiring(path: Path) -> object:
    from antagony.case import _read_wiring

    return _read_wiring(path.parent, _example().parts)


def _read_model_text(content: bytes, folder: Path) -> object:
    """A part of a case, loaded alone and joined with one value."""
    from antagony.composition import Text, join, symbols_of

    case = _example()
    text = Text("part.ant", content.decode("utf-8", "replace"))
    symbols_of.cache_clear()
    symbols_of(case.prelude, text)
    return join("whole", case.prelude, [text], case.shared)


def _read_sbml(path: Path) -> None:
    from antagony.exchange.sbml import open_sbml, read_sbml
    from antagony.kernel.c_source import write_source
    from antagony.kernel.symbolic import read_system

    text = read_sbml(path)
    try:
        model = open_sbml(text)
        for name in model.quantities:
            model.unit(name)
        _ = model.time_unit, model.missing, model.shown
        write_source(read_system(model.text), inputs=[], outputs=None, portable=False)
    except AntagonyError as error:
        raise type(error)(f"{path}: {error}") from None


def _read_records(content: bytes, _: Path) -> object:
    """Records for a compartmental model; the frame is what pandas makes of the text."""
    import io

    import pandas as pd

    from antagony.exchange.nonmem import Compartment, read_records

    try:
        frame = pd.read_csv(io.BytesIO(content), dtype=object)
    except Exception:
        return None
    return read_records(frame, {1: Compartment("gut", "rate", "F1", "ALAG1", "D1", "R1"), 2: Compartment("body")})


def _problem_files() -> dict[str, str]:
    """A small PEtab problem by file name."""
    import antimony

    antimony.clearPreviousLoads()
    parts = "compartment c = 1; species S in c, P in c; k1 = 0.8; k2 = 0.6; S = 1; P = 0; f: S -> P; c*k1*S"
    model = f"model m\n {parts}\nend\n"
    assert antimony.loadAntimonyString(model) >= 0
    return {
        "model.xml": str(antimony.getSBMLString("m")),
        "problem.yaml": "format_version: 2.0.0\nmodel_files:\n  m: {language: sbml, location: model.xml}\n"
        + "".join(
            f"{n}_files: [{n}.tsv]\n" for n in ("parameter", "observable", "measurement", "condition", "experiment")
        ),
        "parameter.tsv": "parameterId\tlowerBound\tupperBound\tnominalValue\testimate\t"
        "priorDistribution\tpriorParameters\n"
        "k2\t0\t10\t0.6\ttrue\tnormal\t1;2\n",
        "observable.tsv": "observableId\tobservableFormula\tnoiseFormula\tnoiseDistribution\n"
        "os\tS^2 + k1\t0.5\tnormal\n",
        "measurement.tsv": "observableId\texperimentId\ttime\tmeasurement\nos\te\t1\t0.4\nos\te\tinf\t0.2\n",
        "condition.tsv": "conditionId\ttargetId\ttargetValue\nc1\tk1\t2*k2\n",
        "experiment.tsv": "experimentId\ttime\tconditionId\ne\t-inf\tc1\ne\t0\tc1\n",
    }


@st.composite
def problems(draw: st.DrawFn, files: Mapping[str, str]) -> bytes:
    """A file of a PEtab problem by name, a NUL, and its new content."""
    name = draw(st.sampled_from(sorted(files)))
    text, how = files[name], draw(st.integers(0, 2))
    if name.endswith(".tsv") and how == 0:
        content = draw(cells([text], "\t"))
    elif name in ("observable.tsv", "condition.tsv") and how == 1:
        content = encoded(text.replace("S^2 + k1" if name.startswith("o") else "2*k2", draw(PETAB_FORMULAS)))
    else:
        content = draw(mutated([text]))
    return name.encode() + b"\0" + content


PETAB_FORMULAS = formulas(
    ("S", "k1", "k2", "time", "os", "nothing"), ("exp", "ln", "piecewise", "max", "pow", "sec", "log")
)


def _read_problem(content: bytes, folder: Path) -> object:
    from antagony.exchange.petab import open_petab

    _load_schemas()
    name, _, changed = content.partition(b"\0")
    files = {**{n: t.encode() for n, t in _problem_files_once().items()}, name.decode(): changed}
    for file, text in files.items():
        _put(folder / file, text)
    return open_petab(folder / "problem.yaml")


_problem_files_once = functools.cache(_problem_files)


@functools.cache
def _load_schemas() -> None:
    """Keep the library's schemas, which it would read anew for every problem: most of the time that one takes."""
    from petab.v1 import yaml

    schemas: dict[Any, Any] = yaml.SCHEMAS
    schemas.update({version: yaml.load_yaml(file) for version, file in schemas.items()})


def _read_formula(content: bytes, _: Path) -> object:
    from antagony.exchange.petab_math import parse_formula

    parse_formula.cache_clear()
    found = parse_formula(_text(content))
    return found(dict.fromkeys(found.names, 0.5))


def _packed(texts: Sequence[str]) -> st.SearchStrategy[bytes]:
    """Packed answers: changed before packing, or their bytes after it."""
    inner = st.one_of(mutated(texts, ","), regrown_json(texts)).map(lambda content: gzip.compress(content, 1))
    return st.one_of(inner, mutated([gzip.compress(text.encode(), 1).decode("latin-1") for text in texts]))


@functools.cache
def _packaged() -> Any:  # noqa: ANN401
    from antagony.case import open_case

    return open_case()


def _small_answer() -> str:
    """The packaged case's stored answer with few mechanisms, studies and findings."""
    path = next(iter(sorted(_packaged().folder.glob("answers/*-standard.json.gz"))))
    record = json.loads(gzip.decompress(path.read_bytes()))
    record = {key: value[:1] if isinstance(value, list) else value for key, value in record.items()}
    for mechanism in record["mechanisms"]:
        mechanism |= {key: value[:1] for key, value in mechanism.items() if isinstance(value, list)}
        for key in ("scores", "in_turn", "leave_one_out", "alone", "sweeps", "learned"):
            if isinstance(mechanism[key], dict):
                mechanism[key] = dict(list(mechanism[key].items())[:1])
    return json.dumps(record)


DATASETS = (
    "ID,TIME,AMT,RATE,DUR,CMT,EVID,II,ADDL,SS,DRUG,ROUTE,PERKG\n1,0,50,0,0,1,1,24,3,0,naltrexone,po,0\n"
    "1,0.75,0.5,-2,0.66,2,1,0,0,0,ketamine,iv,1\n2,0,35,10,0,2,4,0,0,0,ketamine,iv,0\n",
    "ID,WT,TIME,AMT,RATE,DUR,CMT,EVID,II,ADDL,SS,DRUG,ROUTE,PERKG\n1,70,0,50,0,0,1,1,24,0,1,naltrexone,po,0\n",
)
RECORDS = (
    "ID,TIME,AMT,RATE,CMT,EVID,II,ADDL,SS,F1,ALAG1,D1,R1,DV\n1,0,100,0,1,1,12,3,0,0.5,1,2,3,.\n1,6,0,0,1,0,0,0,0,1,0,2,3,4\n"
    "2,0,50,-2,1,4,0,0,0,1,0,2,3,.\n2,1,50,-1,1,1,24,0,1,1,0,2,3,.\n",
)


def make_readers() -> dict[str, Reader]:
    """All readers by name."""
    from antagony.claim import read_claims
    from antagony.condition import ConditionEntry, read_tables, validated
    from antagony.design import read_plan
    from antagony.drug import read_drug
    from antagony.errors import ClaimError
    from antagony.exchange import nonmem
    from antagony.parameters import read_parameters
    from antagony.study import read_study

    probes = (
        'regimen = "ketamine 35 mg iv"\nprobes = [{ parameter = "k", set = 2.0, from = "-1 h", until = "2 d" }]\n',
    )
    answers = [_small_answer()]
    models = [_problem_files()["model.xml"]]

    def beside(name: str, module: str, function: str) -> Callable[[bytes, Path], object]:
        return _in_file(name, _read_beside(module, function))

    def read_condition(path: Path) -> None:
        entry = validated(ConditionEntry, read_tables(path, ClaimError), str(path), ClaimError)
        for probe in entry.probes:
            list(probe.faults())
        entry.record()

    readers = (
        Reader("regimen", st.one_of(mutated(REGIMENS, ";"), regimens()), _read_regimen),
        Reader(
            "options",
            st.one_of(
                mutated(("0.5 mg/kg", "-45 min", "k1=2.5", "loss=one_sided", "5 ug/kg/min"), " "), _SPANS.map(encoded)
            ),
            _read_options,
        ),
        Reader(
            "condition",
            st.one_of(mutated(probes), regrown(probes)),
            _in_file("condition.toml", read_condition),
            "condition.toml",
        ),
        Reader(
            "parameters",
            st.one_of(mutated(_files("*/*/parameters.tsv")), cells(_files("*/parameters.tsv"), "\t")),
            _in_file("parameters.tsv", read_parameters),
            "parameters.tsv",
        ),
        Reader("claims", _tables("**/claims.toml"), _in_file("claims.toml", read_claims), "claims.toml"),
        Reader("study", _tables("studies/*.toml"), _in_file("study.toml", read_study), "study.toml"),
        Reader("design", _tables("designs/*.toml"), _in_file("design.toml", read_plan), "design.toml"),
        Reader("rules", _tables("weighing.toml"), _in_file("weighing.toml", _read_rules), "weighing.toml"),
        Reader(
            "case",
            st.one_of(mutated(_files("case.toml", 1)), regrown(_files("case.toml", 1))),
            _in_file("case.toml", _read_case),
            "",
        ),
        Reader(
            "drug",
            _tables("drugs/*/drug.toml"),
            _in_file("drug.toml", lambda path: read_drug(path.parent)),
            "drug.toml",
        ),
        Reader("mechanism", _tables("mechanisms/*/mechanism.toml"), _in_file("mechanism.toml", _read_wiring), "m"),
        Reader("display", _tables("report.toml"), beside("report.toml", "display", "read_display"), "report.toml"),
        Reader(
            "annotations",
            st.one_of(mutated(_files("annotations.tsv")), cells(_files("annotations.tsv"), "\t")),
            beside("annotations.tsv", "exchange.annotations", "read_annotations"),
            "annotations.tsv",
        ),
        Reader(
            "bibliography",
            mutated([text[:3000] for text in _files("references.bib")]),
            beside("references.bib", "verdict", "read_bibliography"),
            "references.bib",
        ),
        Reader("answer", _packed(answers), _in_file("answer.json.gz", _read_answer)),
        Reader(
            "model text",
            st.one_of(mutated(_files("parts/*.ant") + _files("mechanisms/*/wiring.ant")), model_texts()),
            _read_model_text,
        ),
        Reader("sbml", st.one_of(mutated(models, ">"), sbml_models()), _in_file("model.xml", _read_sbml), "model.xml"),
        Reader(
            "data set",
            st.one_of(mutated(DATASETS), cells(DATASETS, ",")),
            _in_file("doses.csv", nonmem.read_subjects),
            "doses.csv",
        ),
        Reader("records", st.one_of(mutated(RECORDS), cells(RECORDS, ",")), _read_records, ""),
        Reader(
            "formula",
            st.one_of(
                mutated(("piecewise(1, a > b, 2) + ln(a)^-2", "!true || a <= 3"), " "),
                formulas(("a", "b", "inf"), ("exp", "piecewise", "log", "f", "pow")).map(encoded),
            ),
            _read_formula,
        ),
        Reader("petab", problems(_problem_files()), _read_problem),
    )
    return {reader.name: reader for reader in readers}


def _misbehave(content: bytes, folder: Path) -> None:
    """What no reader may do, for the test of these very checks."""
    how = content.decode()
    if how == "raise":
        raise ValueError("an exception of nobody's")
    if how == "mumble":
        raise AntagonyError("something is wrong")
    if how == "write":
        (folder / "written").write_text("")
    if how == "open":
        Path("/etc/hostname").read_bytes()
    if how == "start":
        os.system("true")
    if how == "hang":
        while True:
            time.sleep(0.01)
    if how == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if how == "spin":
        collections.deque(itertools.repeat(None), maxlen=0)  # for ever, and without a look at signals


PLANTED = {how: Reader(how, st.just(how.encode()), _misbehave, "a file") for how in (
    "raise", "mumble", "write", "open", "start", "hang", "crash", "spin",
)}  # fmt: skip


# --- the reading process ---------------------------------------------------------------------------------------------


@dataclass
class Watch:
    """What the process does while a reader reads: other places opened, anything written or started."""

    armed: bool = False
    limit: float = LONGEST  # s of the processor that one input may take
    folder: str = ""
    seen: list[str] = field(default_factory=list)

    def hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        """An audit hook of Python."""
        if not self.armed:
            return
        if event in STARTED:
            self.seen.append(f"{event} {str(arguments)[:200]}")
        elif event == "open":
            path, mode, flags = arguments
            if isinstance(path, int) or path is None:
                return
            place = os.path.abspath(os.fsdecode(path))
            writes = (
                bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)) if isinstance(flags, int) else "r" not in str(mode)
            )
            if writes or not place.startswith((self.folder, *KNOWN)):
                self.seen.append(f"open {place} {mode} {flags}")


STARTED = (
    *("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.remove", "os.rename", "os.mkdir"),
    *(
        "os.rmdir",
        "os.link",
        "os.symlink",
        "os.truncate",
        "shutil.rmtree",
        "socket.connect",
        "socket.getaddrinfo",
        "urllib.Request",
    ),
)
KNOWN = (sys.prefix, sys.base_prefix, str(ROOT / "src"), str(EXAMPLE), "/proc", "/usr/share/zoneinfo")
WATCH = Watch()


@dataclass
class Found:
    """What a batch found: how inputs ended by kind, the slowest [s], and faults with the input that shows each."""

    ended: collections.Counter[str] = field(default_factory=collections.Counter)
    slowest: float = 0.0
    faults: dict[str, str] = field(default_factory=dict)


def judge(reader: Reader, content: bytes, folder: Path, found: Found) -> None:
    """Read one input and note how it ended."""
    WATCH.seen.clear()
    begun = time.process_time()
    signal.setitimer(signal.ITIMER_PROF, WATCH.limit)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE * WATCH.limit)
    faulthandler.dump_traceback_later(2 * PATIENCE * WATCH.limit, exit=True)  # a library that waits hears no signal
    most = math.ceil(begun + 2 * WATCH.limit) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (most, resource.RLIM_INFINITY))  # nor does one that runs for ever
    fault = ""
    try:
        WATCH.armed = True
        reader.read(content, folder)
        kind = "read"
    except AntagonyError as error:
        kind = "refused"
        said = str(error)
        if not said.strip() or len(said) > LINE or (reader.located and reader.located not in said):
            fault = (
                f"a message that does not say where: {type(error).__name__}: {said[:300]!r} ({len(said)} characters)"
            )
    except BaseException as error:
        kind, fault = "fault", _where(error)
    finally:
        WATCH.armed = False
        for timer in (signal.ITIMER_PROF, signal.ITIMER_REAL):
            signal.setitimer(timer, 0)
        faulthandler.cancel_dump_traceback_later()
    if WATCH.seen:
        fault = f"did what no reader may: {WATCH.seen[0]}"
    found.ended[kind] += 1
    found.slowest = max(found.slowest, time.process_time() - begun)
    if fault and fault not in found.faults and len(found.faults) < 200:
        found.faults[fault] = content.hex()


def _where(error: BaseException) -> str:
    """An exception by kind, sentence and the package's innermost line."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "antagony" in f.filename]
    place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "outside the package"
    return f"{type(error).__name__} at {place}: {re.sub(r'[0-9]+', '#', str(error))[:120]}"


def run_batch(reader: Reader, examples: int, number: int, folder: Path, last: Path) -> Found:
    """Read inputs drawn from a seed; the last one stands in a file, in case the process dies of it."""
    found = Found()

    @seed(number)
    @settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=[HealthCheck(check) for check in HealthCheck],
    )
    @given(reader.inputs)
    def probe(content: bytes) -> None:
        last.write_bytes(content)
        judge(reader, content, folder, found)

    probe()
    return found


class Hang(BaseException):
    """An input that takes too long; no reader may catch it."""


def _too_long(_: int, __: object) -> NoReturn:
    raise Hang(f"more than {LONGEST:g} s")


def serve(jobs: Sequence[str], number: int, answer: Path) -> None:
    """Run a batch for each job (reader:size) in this process; the answer grows by a line of JSON for each."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    for alarm in (signal.SIGPROF, signal.SIGALRM):
        signal.signal(alarm, _too_long)
    sys.addaudithook(WATCH.hear)
    names = [job.rpartition(":")[0] for job in jobs]
    readers = PLANTED if PLANTED.keys() >= {*names} else make_readers()
    for name, size in zip(names, (int(job.rpartition(":")[2]) for job in jobs), strict=True):
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(shutil.copytree(EXAMPLE, Path(scratch) / "case"))
            os.chdir(folder)
            WATCH.folder = str(folder)
            if name not in PLANTED:
                _warm_up(readers[name], folder)
            before = {*folder.rglob("*")}
            found = run_batch(readers[name], size, number, folder, answer.with_suffix(".input"))
            if strange := {*folder.rglob("*")} - before - _own_files(folder):
                found.faults = found.faults or {f"files appeared: {sorted(map(str, strange))[:3]}": ""}
            with answer.open("a", encoding="utf-8") as file:
                line = {"reader": name, "seed": number, "ended": found.ended, "slowest": found.slowest}
                file.write(json.dumps(line | {"faults": found.faults}) + "\n")
        os.chdir("/")


def _own_files(folder: Path) -> set[Path]:
    """Files that the readers are given."""
    names = (
        "condition.toml",
        "study.toml",
        "design.toml",
        "weighing.toml",
        "drug.toml",
        "mechanism.toml",
        "report.toml",
    )
    names += ("parameters.tsv", "annotations.tsv", "answer.json.gz", "model.xml", "doses.csv", *_problem_files_once())
    return {folder / name for name in names}


def _warm_up(reader: Reader, folder: Path) -> None:
    """Read a few inputs unwatched, so that libraries are loaded before anything is watched."""
    for name in ("model.ant", "parameters.tsv", "wiring.ant"):  # a drug and a mechanism lie in a folder of their own
        source = next(EXAMPLE.glob(f"*/*/{name}"))
        shutil.copy(source, folder / name)
    _problem_files_once()
    WATCH.limit = 600.0  # libraries are loaded here, which may take long; one that is loaded by half stays so
    parse_time("1 month")  # which few inputs ask of pint, and pint looks at what else is installed
    run_batch(reader, 8, 0, folder, folder / "..last")
    (folder / "..last").unlink()
    WATCH.limit = LONGEST


def run_apart(jobs: Sequence[str], number: int, folder: Path) -> list[dict[str, Any]]:
    """Batches (reader:size) from a seed, in a process of their own.

    One that dies, or hangs in a library, leaves its last input as a fault, and a new process takes up the rest.
    """
    answer = folder / f"answer-{os.getpid()}-{next(_COUNT)}.jsonl"
    left, found = list(jobs), list[dict[str, Any]]()
    while left:
        answer.write_text("")
        command = [sys.executable, str(Path(__file__)), str(number), str(answer), *left]
        done = subprocess.run(command, capture_output=True, check=False)
        lines = [json.loads(line) for line in answer.read_text(encoding="utf-8").splitlines()]
        found += lines
        left = left[len(lines) :]
        if left:
            said = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
            last = answer.with_suffix(".input")
            fault = {f"the process died ({done.returncode}): {''.join(said)[:300]}": last.read_bytes().hex()}
            name = left.pop(0).rpartition(":")[0]
            found.append({"reader": name, "seed": number, "ended": {}, "slowest": 0.0, "faults": fault})
    for ending in (".jsonl", ".input"):
        answer.with_suffix(ending).unlink(missing_ok=True)
    return found


_COUNT = itertools.count()

if __name__ == "__main__":
    serve(sys.argv[3:], int(sys.argv[1]), Path(sys.argv[2]))
