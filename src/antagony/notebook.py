"""Records as a notebook shows them: a title, small tables, and what the numbers rest on. Everything is escaped.

A record's `_repr_html_` fills a card. Colours are the notebook's own, so that a card reads on a dark page too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Template

TEMPLATES = Path(__file__).parent / "templates"
MOST_ROWS = 60  # of a table; the rest is counted
MOST_LETTERS = 400  # of a cell or sentence; a file may hold anything
NAMED = 12  # names that a list shows; the rest is counted


@dataclass(frozen=True, slots=True)
class Table:
    """Heads and rows of text; the first `words` columns are words, the rest numbers."""

    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    words: int = 1


@dataclass(frozen=True, slots=True)
class Card:
    """What is shown of a record; `picture` is an SVG element that the program drew, the one thing not escaped.

    `facts` stand below in small print: assumed numbers, seed, fingerprint, Monte-Carlo errors.
    """

    title: str
    text: str = ""
    tables: tuple[Table, ...] = ()
    picture: str = ""
    sentences: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()

    def html(self) -> str:
        """The card as one HTML element without scripts and style sheets."""
        return _template().render(card=self, most=MOST_ROWS, cut=cut)


@cache
def _template() -> Template:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("notebook.html.j2")


def cut(text: str) -> str:
    """A text of at most MOST_LETTERS letters."""
    return text if len(text) <= MOST_LETTERS else f"{text[:MOST_LETTERS]} [...]"


def with_error(value: float, error: float) -> str:
    """A number and its Monte-Carlo error, to the first digit of the error; without an error to three digits.

    >>> with_error(-5.612, 0.123), with_error(0.75, 0.012), with_error(250.0, 0.0), with_error(1.0, math.inf)
    ('-5.6 ± 0.1', '0.75 ± 0.01', '250', '1 ± inf')
    """
    if not math.isfinite(value):
        return "unknown" if value != value else str(value)
    if error == 0:
        return f"{value:.3g}"
    if not math.isfinite(error):
        return f"{value:.3g} ± inf"
    digits = max(0, -math.floor(math.log10(error)))
    return f"{value:.{digits}f} ± {error:.{digits}f}"


def percent(share: float, error: float | None = None) -> str:
    """A share in per cent, with its Monte-Carlo error where there is one.

    >>> percent(0.8749, 0.0074), percent(0.4), percent(0.0003), percent(1.0, 0.0)
    ('87.5 ± 0.7 %', '40 %', '0.03 %', '100 %')
    """
    if not math.isfinite(share):
        return "unknown"
    if not error:
        return f"{100 * share:.3g} %" if share else "0 %"
    return f"{with_error(100 * share, 100 * error)} %"


def assumed_of(assumed: int, numbers: int) -> str:
    """How many numbers rest on judgement alone, in words.

    >>> assumed_of(21, 60)
    '21 of 60 numbers are assumed'
    """
    return f"{assumed} of {numbers} numbers {'is' if assumed == 1 else 'are'} assumed"


def listed(names: Iterable[str]) -> str:
    """Names with commas, the first of many.

    >>> listed(["a", "b"]), listed(str(i) for i in range(14))
    ('a, b', '0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 2 more')
    """
    some = [*names]
    more = f" and {len(some) - NAMED} more" if len(some) > NAMED else ""
    return ", ".join(some[:NAMED]) + more


def brief(name: str, facts: Mapping[str, object]) -> str:
    """The short text of a record: its class and a few facts.

    >>> brief("Case", {"": "ketamine", "mechanisms": 12})
    'Case(ketamine, mechanisms=12)'
    """
    return f"{name}({', '.join(f'{key}={value}' if key else str(value) for key, value in facts.items())})"
