"""What the terminal shows, whatever it is about: tables, grids, marked lines, one JSON object, a bar of progress."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from textwrap import wrap
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

QUIET = 2.0  # [s] of work before the time left is shown
LOGGED = 30.0  # [s] between lines of a log
HEAD_WIDTH = 7  # letters of a column's head in one line
TAIL_WIDTH = 9  # letters that what stands behind a line needs at least


def show_console(*, stderr: bool = False) -> Console:
    """The terminal, or the error stream beside it."""
    from rich.console import Console

    return Console(stderr=stderr, soft_wrap=False)


def print_json(value: Any) -> None:  # noqa: ANN401
    """One JSON object on standard output."""
    text = json.dumps(value, indent=1, default=str, allow_nan=True)
    sys.stdout.write(text + "\n")


@contextmanager
def show_progress() -> Iterator[Callable[[str, int, int], None]]:
    """A bar on the error stream; yields tell(text, done, total). Work that takes over two seconds shows its time left.

    Another total, or a smaller count, begins the next piece of work, timed anew. Where the error stream is no terminal,
    a line now and then says how far the work has come.
    """
    console = show_console(stderr=True)
    if not console.is_terminal:
        yield _tell_log(console)
        return
    from rich.progress import BarColumn, Progress, Task, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.text import Text

    class TimeLeftColumn(TimeRemainingColumn):
        def render(self, task: Task) -> Text:
            return Text() if (task.elapsed or 0) < QUIET else Text("left ").append_text(super().render(task))

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        TimeLeftColumn(elapsed_when_finished=False),
    )
    # steps may take minutes, so the pace is that of the whole piece of work
    with Progress(*columns, console=console, transient=True, speed_estimate_period=1e6) as bar:
        task = bar.add_task("starting", total=None)

        def tell(text: str, done: int, total: int) -> None:
            current = bar.tasks[0]
            if current.total != total or done < current.completed:
                bar.reset(task, total=total, completed=done, description=text)
            else:
                bar.update(task, description=text, completed=done)

        yield tell


def _tell_log(console: Console) -> Callable[[str, int, int], None]:
    """tell(text, done, total) for a log: a line each LOGGED seconds, none where work ends sooner."""
    begun = last = time.monotonic()

    def tell(text: str, done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= LOGGED:
            last = now
            said = f"{text}: {done} of {total} done, {now - begun:.0f} s"
            console.print(said, markup=False, highlight=False, soft_wrap=True)

    return tell


def print_lines(console: Console, lines: Iterable[str], mark: str, title: str = "") -> None:
    """Lines behind a mark, below their title."""
    if title:
        console.print(title, style="bold", markup=False, highlight=False)
    for line in lines:
        console.print(f"{mark} {line}", markup=False, highlight=False)


def number_table(*heads: str, left: int = 1, wide: bool = False) -> Any:  # noqa: ANN401 - a rich table
    """A table whose first columns fold and whose columns from `left` on hold numbers; `wide`: two spaces between."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0) if wide else 0, pad_edge=False)
    for i, head in enumerate(heads):
        if i < left:
            table.add_column(head, overflow="fold", min_width=min(12, max(len(head), 5)))
        else:
            table.add_column(head, justify="right", no_wrap=True)
    return table


def print_table(title: str, table: Any, console: Console, note: str = "") -> None:  # noqa: ANN401
    """A table below its title, a note below it."""
    console.print(title, style="bold", markup=False, highlight=False)
    console.print(table, markup=False)
    if note:
        console.print(note, style="dim", markup=False, highlight=False)


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a grid: its label, a cell a mechanism, what stands behind them; without cells it is a heading."""

    label: str
    cells: tuple[str, ...] = ()
    tail: str = ""


def print_grid(
    title: str, heads: Sequence[str], lines: Sequence[Line], console: Console, *, behind: str = "", beside: int = 4
) -> bool:
    """Lines x mechanisms; where the terminal is too narrow for all, some mechanisms at a time, one below the other.

    What stands behind the lines has the head `behind`; it is shown, folded where it must be, where `beside` mechanisms
    leave room for it. Returns whether there was room.
    """
    from rich import box
    from rich.table import Table

    label = min(max(len(line.label) for line in lines), 34)
    tail = max(len(line.tail) for line in lines)
    tail = tail and max(tail, len(behind))
    widest = max(len(c) for line in lines for c in ("", *line.cells))
    names, cell = _heads(heads, widest, console.width - label - 4)
    room = console.width - label - 6 - beside * cell
    tail = tail if tail <= room else room if behind and room >= TAIL_WIDTH else 0
    count = max(1, min(len(heads), (console.width - label - tail - 4) // cell))
    parts = -(-len(heads) // count)
    count = -(-len(heads) // parts)
    console.print(title, style="bold", markup=False, highlight=False)
    for first in range(0, len(heads), count):
        here = slice(first, first + count)
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
        table.add_column("", min_width=label, overflow="fold")
        for name in names[here]:
            table.add_column("\n".join(name), justify="right", no_wrap=True, min_width=cell - 2)
        if tail:
            table.add_column(behind, style="dim", overflow="fold", max_width=tail)
        for line in _with_something(lines, here):
            rest = [line.tail] if tail else []
            table.add_row(line.label, *line.cells[here], *rest, style=None if line.cells else "bold")
        console.print(table, markup=False)
    return bool(tail)


def _heads(heads: Sequence[str], least: int, room: int) -> tuple[list[list[str]], int]:
    """Heads in lines, and the width of a column with its margin; words are parted where else not all fit abreast."""
    longest = max(len(word) for head in heads for word in head.split("_"))
    width = max(longest, HEAD_WIDTH)
    while width > HEAD_WIDTH and (2 + max(least, width)) * len(heads) > room:
        width -= 1
    names = [[piece for word in head.split("_") for piece in wrap(word, width)] for head in heads]
    return names, 2 + max(least, *(len(part) for name in names for part in name))


def _with_something(lines: Sequence[Line], here: slice) -> Iterator[Line]:
    """Lines that say something of these mechanisms, and the headings of such lines."""
    heading: Line | None = None
    for line in lines:
        if not line.cells:
            heading = line
        elif any(line.cells[here]):
            if heading is not None:
                yield heading
            heading = None
            yield line
