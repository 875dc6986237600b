"""Parts, drugs and a wiring -> one Antimony model -> SBML. No submodules: with units they disconnect in silence.

libAntimony accepts a symbol that is defined twice or never. So every text is loaded alone first; what it *gives* (a
rule, a reaction, a value) and what it *needs* (the rest) comes from the parsed result; two givers or none are refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from threading import RLock
from typing import Any, Literal

from .drug import Drug
from .errors import CompositionError, near_miss
from .parameters import Parameter

# The one pattern that scans model text: the left-hand side of a statement, `x :=`, `x' =` or `x =`.
LEFT_HAND_SIDE = re.compile(r"(?:^|;)\s*([A-Za-z_]\w*)\s*(:=|'\s*=|=)", re.MULTILINE)
COMPOSING = RLock()
"""libAntimony has one state for the whole process: whoever composes holds this."""

MODULES = 2  # what libAntimony counts where there is one model: its own beside it

_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)

# A statement that closes the model, behind which libAntimony opens any file that is named: refused, in comments too.
# A backslash at the end of a line goes on with the statement on the next.
_EXIT = re.compile(
    r"(?:^|;|\*/)[^\S\n]*(end)[^\S\n]*(?=$|;|//|/\*|#|\\|\b(?:import|model|module|function)\b)"
    r"|\b(import)\b(?:\s|\\|/\*.*?\*/)*\"",
    re.MULTILINE | re.DOTALL,
)

# libAntimony looks for the operator "not" in the letters of a formula and never ends where a name has them last and
# another word or number follows. A statement may begin with such a name, and some words never follow in a formula.
_SILENT = re.compile(r'"[^"\n]*"|//[^\n]*|#[^\n]*|/\*.*?\*/|\\\n', re.DOTALL)
_ENDLESS = re.compile(r'(?<![\w.])([^\W\d]\w*not)(?:[^\S\n]|\0)+(?!(?:has|is|in)\b)[\w."$]')


# Of an issue, libSBML first tells the rule of SBML, then what breaks it and in which element, which we name ourselves.
_WORDY = re.compile(
    r"^.*?Reference: L\dV\d Section [\d.]+ | \(exponent = 1, multiplier = 1, scale = 0\)"
    r"| in the math element of the <\w+>| by the <math> expression of the <\w+> with (?:variable|symbol) '\w+'"
)
_ABOUT = re.compile(r'<(?:assignmentRule|rateRule|initialAssignment|reaction)\b[^>]*\b(?:variable|symbol|id)="(\w+)"')


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of model text and the file it came from (or who wrote it)."""

    label: str
    text: str


@dataclass(frozen=True, slots=True)
class Symbols:
    """What one text defines and what it leaves to others."""

    gives: frozenset[str]
    needs: frozenset[str]


@dataclass(frozen=True, slots=True)
class Joined:
    """One model: its Antimony text, the SBML made of it, the parameters it needs, units of its states."""

    antimony: str
    sbml: str
    needed: tuple[str, ...]
    symbols: frozenset[str]
    state_units: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Hook:
    """A symbol that every wiring gives to the shared parts: its neutral value, and how two wirings' hooks combine.

    `combine`: "multiply" or "add"; "one" when only one of the two may differ from neutral.
    """

    symbol: str
    neutral: float
    combine: Literal["multiply", "add", "one"]


@dataclass(frozen=True, slots=True)
class Receptor:
    """A receptor whose loads are summed over the drugs present, and the roles it tells apart."""

    name: str
    roles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sum:
    """A sum over the drugs present that shared parts need: its symbol and unit."""

    symbol: str
    unit: str
    meaning: str = ""


def join(name: str, prelude: str, texts: Sequence[Text], parameters: Mapping[str, Parameter]) -> Joined:
    """Join texts and the parameter values they need into one model.

    Raises CompositionError for text that does not parse (file and line), a symbol with two givers or none, a symbol
    defined twice in one text, and a unit that the prelude does not define.
    """
    found = {text.label: symbols_of(prelude, text) for text in texts}
    givers = _givers(found)
    needed = []
    for label, symbols in found.items():
        for symbol in sorted(symbols.needs - givers.keys()):
            if symbol not in parameters:
                known = [*givers, *parameters]
                raise CompositionError(f'{label} needs "{symbol}", which nothing gives{near_miss(symbol, known)}')
            needed.append(symbol)
    needed = sorted(dict.fromkeys(needed))
    for symbol in givers.keys() & parameters.keys():
        raise CompositionError(
            f'"{symbol}" has a row in {parameters[symbol].file} and is given by {givers[symbol]} as well; keep one'
        )
    values = [_value_text(parameters[p]) for p in needed]
    whole = [Text("prelude", prelude), *texts, *values]
    antimony, sbml = _load(name, whole)
    return Joined(antimony, sbml, tuple(needed), frozenset(givers), _state_units(sbml))


def _value_text(row: Parameter) -> Text:
    """A parameter's value and unit as model text, labelled with the row that states them."""
    label = f'{row.file}, line {row.line}: the parameter "{row.id}"'
    return Text(label, f"{row.id} = {row.nominal!r}; {row.id} has {row.unit};")


def mix(prelude: str, hooks: Sequence[Hook], texts: Mapping[str, Text]) -> list[Text]:
    """Wirings of several mechanisms (by slug) -> one: texts whose hooks combine as the case says.

        hook = product or sum of the mechanisms' hooks that are not neutral; a formula that several share counts once

    Any other symbol that several define must be defined alike and is kept once. Raises CompositionError by name where
    two wirings contradict each other.
    """
    rules = {slug: _rules(prelude, text) for slug, text in texts.items()}
    known = {hook.symbol: hook for hook in hooks}
    mixed, first = [], {}
    for slug, text in texts.items():
        shown = text.text
        for symbol, formula in rules[slug].items():
            if symbol in known:
                shown = re.sub(rf"\b{symbol}\b", f"{symbol}_of_{slug}", shown)
            elif symbol not in first:
                first[symbol] = (slug, formula)
            elif formula != first[symbol][1]:
                raise CompositionError(
                    f'{first[symbol][0]} and {slug} cannot be mixed: both define "{symbol}", and not alike; '
                    "write a wiring that says how they combine"
                )
            else:
                shown = _without(shown, symbol)
        mixed.append(Text(text.label, shown))
    return [*mixed, Text("hooks of the mixture", "\n".join(_combined(hook, rules) for hook in hooks))]


def _combined(hook: Hook, rules: Mapping[str, Mapping[str, str]]) -> str:
    """The line that makes one hook of several; empty where no wiring has it."""
    given = {slug: own[hook.symbol] for slug, own in rules.items() if hook.symbol in own}
    if not given:
        return ""
    moving = {formula: slug for slug, formula in reversed(given.items()) if formula != f"{hook.neutral:g}"}
    if hook.combine == "one" and len(moving) > 1:
        raise CompositionError(
            f'{" and ".join(reversed(moving.values()))} cannot be mixed: each has a "{hook.symbol}" of its own; '
            "write a wiring that says how they combine"
        )
    terms = [f"{hook.symbol}_of_{slug}" for slug in reversed(moving.values())]
    joined = (" + " if hook.combine == "add" else "*").join(terms) or f"{hook.neutral:g} dimensionless"
    return f"{hook.symbol} := {joined}; {hook.symbol} has dimensionless;"


def _rules(prelude: str, text: Text) -> dict[str, str]:
    """Assignment rules of a text by symbol, as libSBML prints them, units of numbers left out."""
    import libsbml

    _, sbml = _load("part", [Text("prelude", prelude), text])
    settings = libsbml.L3ParserSettings()
    settings.setParseUnits(False)
    return {
        rule.getVariable(): libsbml.formulaToL3StringWithSettings(rule.getMath(), settings)
        for rule in _items(_model(sbml).getListOfRules())
    }


def _without(text: str, symbol: str) -> str:
    """The text without a symbol's assignment and its unit."""
    return re.sub(rf"\b{symbol}\s*(:=|has\b)[^;\n]*;?", "", text)


@lru_cache(maxsize=256)
def symbols_of(prelude: str, text: Text) -> Symbols:
    """What a text gives and needs, by loading it alone; raises CompositionError with file and line."""
    _, sbml = _load("part", [Text("prelude", prelude), text])
    gives, needs = _definitions(sbml)
    _refuse_duplicates(text)
    return Symbols(frozenset(gives), frozenset(needs))


def _givers(found: Mapping[str, Symbols]) -> dict[str, str]:
    givers: dict[str, str] = {}
    for label, symbols in found.items():
        for symbol in sorted(symbols.gives):
            if symbol in givers:
                raise CompositionError(f'"{symbol}" is given twice: by {givers[symbol]} and by {label}')
            givers[symbol] = label
    return givers


def _refuse_duplicates(text: Text) -> None:
    seen: dict[tuple[str, str], int] = {}
    bare = _COMMENT.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), text.text)
    for match in LEFT_HAND_SIDE.finditer(bare):
        key = (match.group(1), match.group(2).replace(" ", ""))
        line = bare.count("\n", 0, match.start(1)) + 1
        if key in seen:
            raise CompositionError(
                f'{text.label}, line {line}: "{key[0]}" is defined again (first on line {seen[key]}); keep one'
            )
        seen[key] = line
        if (key[0], ":=" if key[1] != ":=" else "'=") in seen:
            raise CompositionError(
                f'{text.label}, line {line}: "{key[0]}" has an assignment rule and another definition'
            )


def _load(name: str, texts: Sequence[Text]) -> tuple[str, str]:
    """Antimony and SBML text of the joined pieces; errors are mapped back to piece and line."""
    import antimony

    lines, origin = [f"model {name}"], [("model header", 1)]
    for text in texts:
        _refuse_exit(text)
        _refuse_endless(text)
        pieces = text.text.splitlines()
        lines += pieces
        origin += [(text.label, n + 1) for n in range(len(pieces))]
    joined = "\n".join([*lines, "end", ""])
    antimony.clearPreviousLoads()
    if antimony.loadAntimonyString(joined) < 0:
        raise CompositionError(_located(_last_error(), origin))
    if antimony.getNumModules() > MODULES:
        raise CompositionError(f"{texts[-1].label}: the text opens a model of its own; a part is statements alone")
    sbml = str(antimony.getSBMLString(name))
    antimony.clearPreviousLoads()
    _refuse_empty_units(sbml, texts)
    return joined, sbml


def _refuse_exit(text: Text) -> None:
    """Refuse text that leaves its model, for a stranger's text could then open other files."""
    plain = "\n".join(text.text.splitlines())
    if found := _EXIT.search(plain):
        word = found[1] or found[2]
        line = plain.count("\n", 0, found.start(1 if found[1] else 2)) + 1
        raise CompositionError(f'{text.label}, line {line}: "{word}" leaves the model; a part is statements alone')


def _refuse_endless(text: Text) -> None:
    """Refuse text over which libAntimony would hang, and no signal can end it there."""
    plain = "\n".join(text.text.splitlines())
    bare = _SILENT.sub(lambda m: ('"' if m[0][0] == '"' else "\0") + "\0" * (len(m[0]) - 1), plain)
    for found in _ENDLESS.finditer(bare):
        first = found.start()
        while first and bare[first - 1] in " \t\0":
            first -= 1
        if first and bare[first - 1] not in ";\n":
            line = plain.count("\n", 0, found.start()) + 1
            raise CompositionError(
                f'{text.label}, line {line}: "{found[1]}" ends like the operator "not" and stands before another word; '
                "set an operator or a bracket behind it, or give it another name"
            )


def _last_error() -> str:
    """libAntimony's message, which may break off within a letter."""
    import antimony

    try:
        return str(antimony.getLastError())
    except UnicodeDecodeError as error:
        return error.object.decode("utf-8", "replace")


def _located(message: str, origin: Sequence[tuple[str, int]]) -> str:
    """libAntimony's message with the line of the joined text turned into file and line."""
    match = re.search(r"line (\d+)", message)
    reason = message.split(":", 1)[-1].strip() if match else message.strip()
    if not match or not 0 < int(match.group(1)) <= len(origin):
        return f"the joined model text does not parse: {reason}"
    label, line = origin[int(match.group(1)) - 1]
    return f"{label}, line {line}: {reason}"


def _refuse_empty_units(sbml: str, texts: Iterable[Text]) -> None:
    """An unknown unit becomes an empty definition with a success code; name it instead."""
    for unit in _items(_model(sbml).getListOfUnitDefinitions()):
        if unit.getNumUnits() == 0:
            name = unit.getId()
            where = next((t.label for t in texts if re.search(rf"\bhas\s+{re.escape(name)}\b", t.text)), "the model")
            raise CompositionError(f'{where} uses the unit "{name}", which the prelude does not define')


def _definitions(sbml: str) -> tuple[set[str], set[str]]:
    model = _model(sbml)
    ruled = {rule.getVariable() for rule in _items(model.getListOfRules())}
    ruled |= {item.getSymbol() for item in _items(model.getListOfInitialAssignments())}
    gives, needs = set(ruled), set()
    for item in _items(model.getListOfParameters()):
        if item.getId() not in ruled:
            (gives if item.isSetValue() else needs).add(item.getId())
    for container in (model.getListOfSpecies(), model.getListOfCompartments(), model.getListOfReactions()):
        gives |= {item.getId() for item in _items(container) if item.getId() != "default_compartment"}
    return gives, needs


def _state_units(sbml: str) -> dict[str, str]:
    """State -> unit id, for states that are parameters with a rate rule or species in reactions."""
    model = _model(sbml)
    rated = [rule.getVariable() for rule in _items(model.getListOfRules()) if rule.isRate()]
    units = {}
    for name in rated:
        item = model.getParameter(name)
        units[name] = item.getUnits() if item is not None else ""
    return units


def check_units(sbml: str) -> list[tuple[str, str]]:
    """Every issue of libSBML's full consistency check, units included: (symbol, what is wrong); none in a sound model.

    The symbol is the one whose formula is at fault, empty where none is; of libSBML's words those on this very formula.
    """
    import libsbml

    document = libsbml.readSBMLFromString(sbml)
    document.setConsistencyChecks(libsbml.LIBSBML_CAT_MODELING_PRACTICE, False)
    document.checkConsistency()
    log, lines = document.getErrorLog(), sbml.splitlines()
    found = [log.getError(i) for i in range(log.getNumErrors())]
    said = [_WORDY.sub("", " ".join(issue.getMessage().split())) for issue in found]
    return [(_symbol_at(lines, issue.getLine()), words) for issue, words in zip(found, said, strict=True)]


def _symbol_at(lines: Sequence[str], number: int) -> str:
    """The symbol of the rule, start value or reaction that a line of SBML is part of."""
    for line in reversed(lines[:number]):
        if found := _ABOUT.search(line):
            return found[1]
    return ""


def sums_text(receptors: Sequence[Receptor], sums: Sequence[Sum], drugs: Sequence[Drug]) -> Text:
    """Receptor loads and exposures, summed over the drugs present; zero where there are none.

    <r>_load = sum of ratios, <r>_drive = sum of ratio x efficacy, <r>_<role> = sum of the ratios in that role
    """
    lines = []
    for receptor in receptors:
        loads = [load for drug in drugs for load in drug.loads if load.receptor == receptor.name]
        entries = {
            "load": [f"({load.ratio})" for load in loads],
            "drive": [f"({load.ratio})*({load.efficacy})" for load in loads if not load.efficacy.startswith("0 ")],
            **{role: [f"({load.ratio})" for load in loads if load.role == role] for role in receptor.roles},
        }
        lines += [_sum_line(f"{receptor.name}_{key}", terms, "dimensionless") for key, terms in entries.items()]
    for total in sums:
        terms = [f"({e.value})" for drug in drugs for e in drug.exposures if e.symbol == total.symbol]
        lines.append(_sum_line(total.symbol, terms, total.unit))
    return Text("sums over the drugs present", "\n".join(lines))


def _sum_line(symbol: str, terms: Sequence[str], unit: str) -> str:
    return f"{symbol} := {' + '.join(terms) or f'0 {unit}'}; {symbol} has {unit};"


def _model(sbml: str) -> Any:  # noqa: ANN401 - libSBML's classes carry no types
    import libsbml

    document = libsbml.readSBMLFromString(sbml)
    _ALIVE[:] = [*_ALIVE[-3:], document]  # a model dies with its document
    return document.getModel()


_ALIVE: list[Any] = []


def _items(container: Any) -> list[Any]:  # noqa: ANN401
    return [container.get(i) for i in range(container.size())]
