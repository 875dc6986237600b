"""What a page leaves to the program: a line `<!-- word: name -->` is replaced by what the code itself says.

    fields: case._CaseFile     the keys that a table of a file may hold, from the model that validates it
    columns: parameters        the columns of a tab-separated file
    commands: antagony         the help of every command, each below a heading
    names: antagony            every public name of a module, from its docstring
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import typer
from spelling import Field, fields_of, model_named
from typer.main import get_command

from antagony.cli import app

MARK = re.compile(r"^<!-- (fields|columns|commands|names): ([\w. ]+) -->$", re.MULTILINE)
MEANINGS = Path(__file__).with_name("fields.toml")
COMMON = "common"  # the table of meanings that a key has wherever it stands
WIDTH = 92  # letters in a line of help


def fill(text: str, page: Path) -> str:
    """The page with each mark replaced. Raises ValueError naming the page and the mark where it means nothing."""
    makers = {"fields": fields_table, "columns": columns_table, "commands": command_pages, "names": public_names}

    def made(match: re.Match[str]) -> str:
        try:
            return makers[match[1]](match[2])
        except (AttributeError, KeyError, ModuleNotFoundError, ValueError) as error:
            raise ValueError(f"{page.name}, {match[0]}: {error}") from error

    return MARK.sub(made, text)


def meanings() -> dict[str, dict[str, str]]:
    """Meaning by key, by table of a file; `common` holds those of keys that mean the same wherever they stand."""
    return tomllib.loads(MEANINGS.read_text(encoding="utf-8"))


def fields_table(name: str) -> str:
    """The keys of one table of a file: what each holds, what stands for it when it is left out, what it means.

    Raises ValueError where a key has no meaning in fields.toml, or a meaning no key.
    """
    known = meanings()
    own, common = known.get(name, {}), known[COMMON]
    fields = list(fields_of(model_named(name)))
    keys = {field.key for field in fields}
    if unknown := sorted(own.keys() - keys):
        raise ValueError(f"fields.toml says what {unknown[0]} means, but {name} has no such key")
    if missing := sorted(keys - own.keys() - common.keys()):
        raise ValueError(f"fields.toml does not say what {missing[0]} of {name} means")
    rows = [f"| `{f.key}` | {f.holds} | {_default(f)} | {own.get(f.key, common.get(f.key))} |" for f in fields]
    return "\n".join([f"({anchor(name)})=", "", "| key | holds | if left out | meaning |", "|---|---|---|---|", *rows])


def anchor(name: str) -> str:
    """The label of a table of keys, by the name of its model."""
    return "fields-" + name.lower().replace("_", "").replace(".", "-")


def _default(field: Field) -> str:
    return "*needed*" if field.needed else field.default


def columns_table(name: str) -> str:
    """The columns of a tab-separated file, from the module that reads it."""
    columns, known = import_module(f"antagony.{name}").COLUMNS, meanings()[f"{name}.COLUMNS"]
    if set(columns) != set(known):
        raise ValueError(f"fields.toml knows other columns: {sorted(set(columns) ^ set(known))}")
    rows = [f"| `{column}` | {known[column]} |" for column in columns]
    return "\n".join(["| column | meaning |", "|---|---|", *rows])


def command_pages(program: str) -> str:
    """What every command prints when it is asked for help, in the order of the program's own list."""
    shown = [f"## {program} {' '.join(words)}\n\n```text\n{help_of(words)}\n```" for words in commands()]
    return "\n\n".join(shown)


def help_of(words: tuple[str, ...]) -> str:
    """The help of a command by its words, those of a group before it; raises KeyError for one that is unknown."""
    command = get_command(app)
    context = typer.Context(command, info_name="antagony", terminal_width=WIDTH, max_content_width=WIDTH)
    for word in words:
        command = command.commands[word]  # type: ignore[attr-defined] - a group's
        context = typer.Context(command, info_name=word, parent=context, terminal_width=WIDTH, max_content_width=WIDTH)
    return "\n".join(line.rstrip() for line in command.get_help(context).strip().splitlines())


def commands() -> Iterator[tuple[str, ...]]:
    """Every command by its words, those of a group after it."""
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined] - a group's
        yield (name,)
        yield from ((name, inner) for inner in getattr(command, "commands", {}))


def public_names(name: str) -> str:
    """Every public name of a module, as autodoc writes it."""
    module = import_module(name)
    blocks = [_directive(f"{name}.{public}", getattr(module, public)) for public in module.__all__ if public[0] != "_"]
    return "\n\n".join(f"```{{eval-rst}}\n{block}\n```" for block in blocks)


def _directive(path: str, found: object) -> str:
    if not isinstance(found, type):
        return f".. autofunction:: {path}"
    return f".. autoclass:: {path}\n   :members:\n   :undoc-members:\n   :exclude-members: __init__, __new__"
