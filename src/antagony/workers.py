"""Who does the work: threads of this machine, or the workers of a cluster. One idea: a function and its items.

    run(function, shared, items) -> what function(shared, item, tell) gives for each, in the order of the items

Which piece ends first, and how many work, moves no number.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from threading import Lock
from typing import Protocol, TypeVar

Shared = TypeVar("Shared")
Item = TypeVar("Item")
Result = TypeVar("Result")
Tell = Callable[[str], None]
Piece = Callable[[Shared, Item, Tell], Result]
Arrived = Callable[[int, Result], None]


def tell_nobody(text: str) -> None:
    """For work whose progress nobody watches."""


def keep_nothing(place: int, result: object) -> None:
    """For results that are taken together, at the end."""


class Workers(Protocol):
    """Whoever does pieces of work."""

    @property
    def afar(self) -> bool:
        """Whether they may lack the files of this machine, so that what they store must be sent back."""
        ...

    def run(
        self,
        function: Piece[Shared, Item, Result],
        shared: Shared,
        items: Sequence[Item],
        *,
        tell: Tell = tell_nobody,
        arrived: Arrived[Result] = keep_nothing,
    ) -> list[Result]:
        """Results in the order of the items; `arrived(place, result)` is told each as it comes.

        A piece may run again, or twice at once, and must give the same. An error in one ends the rest.
        """
        ...


class Threads:
    """Threads of this process, a few pieces at a time: one's Python beside another's kernel."""

    afar = False

    def __init__(self, size: int = 2) -> None:
        """Pieces at a time."""
        self.size = size

    def run(
        self,
        function: Piece[Shared, Item, Result],
        shared: Shared,
        items: Sequence[Item],
        *,
        tell: Tell = tell_nobody,
        arrived: Arrived[Result] = keep_nothing,
    ) -> list[Result]:
        """See `Workers.run`."""

        def work(place: int) -> Result:
            result = function(shared, items[place], tell)
            arrived(place, result)
            return result

        with ThreadPoolExecutor(self.size) as pool:
            return list(pool.map(work, range(len(items))))


HERE = Threads()
"""This machine."""


def count_steps(progress: Callable[[str, int, int], None] | None, total: int) -> Tell:
    """What tells `progress(text, done, total)` of one step more each time."""
    steps = count(1)

    def tell(text: str) -> None:
        if progress is not None:
            progress(text, min(next(steps), total), total)  # a piece that ran twice is told twice

    return tell


# --- threads of a kernel ---------------------------------------------------------------------------------------------


class Allowance:
    """Threads that a cluster allows this process, and how many pieces are at work in it."""

    def __init__(self) -> None:
        """No limit and no piece."""
        self.threads: int | None = None
        self.pieces = 0
        self.lock = Lock()

    @contextmanager
    def work(self, threads: int) -> Iterator[None]:
        """One more piece at work."""
        with self.lock:
            self.threads, self.pieces = threads, self.pieces + 1
        try:
            yield
        finally:
            with self.lock:
                self.pieces -= 1
                self.threads = self.threads if self.pieces else None


ALLOWANCE = Allowance()


def count_threads() -> int:
    """Threads that one simulation may use now: this piece's part of what a cluster allows, else one a processor."""
    allowed, pieces = ALLOWANCE.threads, ALLOWANCE.pieces
    return os.cpu_count() or 1 if allowed is None else max(1, allowed // max(1, pieces))
