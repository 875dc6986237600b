"""Where the answer of a command goes: a file, one JSON object, tables; and the lines said beside it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ..terminal import print_json, show_console

if TYPE_CHECKING:
    from rich.console import Console

Answer = TypeVar("Answer")
ANSWERED = "The stored answer to this very question; --anew computes it again."


def deliver(
    answer: Answer,
    out: Path | None,
    *,
    write: Callable[[Answer, Path], object],
    table: Callable[[Answer], object],
    show: Callable[[Answer, Console], None],
    as_json: bool,
) -> None:
    """Write an answer to `out` where that is asked, then print it: as one JSON object and nothing else, or in tables.

    The file comes first, so that a terminal that was closed leaves it whole.
    """
    if out is not None:
        write(answer, out)
    if as_json:
        print_json(table(answer))
        return
    show(answer, show_console())
    if out is not None:
        say_written(out)


def say_written(path: Path, *, stderr: bool = False) -> None:
    """One line on standard output, or on the error stream where standard output is JSON."""
    show_console(stderr=stderr).print(f"written: {path}", markup=False)


def say_note(note: str) -> None:
    """One line on the error stream, of what a user should know about what was asked."""
    show_console(stderr=True).print(f"note: {note}", markup=False, highlight=False)


def say_plan(plan: str) -> None:
    """One line on the error stream, of what is about to be computed."""
    show_console(stderr=True).print(plan, markup=False, highlight=False, style="dim")
