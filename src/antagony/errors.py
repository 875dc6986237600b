"""What can go wrong, as a tree. Every message says what, where, and what to do.

AntagonyError
├── CaseError            a file of a case folder is wrong
│   ├── ParameterError   a row of a parameters.tsv
│   ├── CompositionError parts that do not join, or model text that does not parse
│   ├── ClaimError       a claim
│   └── StudyError       a study, an arm, an endpoint or a design
├── UnitError            a quantity whose unit is unknown or of the wrong dimension
├── RegimenError         a dose, a route, a regimen text or a dosing record
├── KernelError          the numerical core
│   ├── CompilerError    no C compiler, or one that refuses the generated text
│   └── UnsupportedError a construct that the kernel does not cover, by name
├── SimulationError      a run that cannot start, or subjects that failed where none may
├── PosteriorError       draws that cannot be weighed against what was published
├── ClusterError         workers that cannot be reached, were lost, or would give other bits
└── ReportError          an output that cannot be written
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

WORD = 100  # letters of a word for which a near miss is looked for
LONGEST = 3000  # characters of a message; what a file holds is quoted in it, and a file may hold anything


class AntagonyError(Exception):
    """Root of all errors that a user can cause or mend."""

    def __str__(self) -> str:
        """The message as a terminal may be shown it: cut in the middle where it is long, and nothing that steers."""
        text = super().__str__()
        if len(text) > LONGEST:
            text = f"{text[: LONGEST // 2]} [...] {text[-LONGEST // 3 :]}"
        return "".join(c if c.isprintable() or c == "\n" else _spelt(c) for c in text)


class CaseError(AntagonyError):
    """A file of a case folder is wrong; the message names file, line or key."""


class ParameterError(CaseError):
    """A parameter row that cannot be read or contradicts itself."""


class CompositionError(CaseError):
    """Parts that do not join into one model, or model text that does not parse."""


class ClaimError(CaseError):
    """A claim that cannot be evaluated."""


class StudyError(CaseError):
    """A study, arm, endpoint or design that cannot be read."""


class UnitError(AntagonyError):
    """A quantity whose unit is unknown or has the wrong dimension."""


class RegimenError(AntagonyError):
    """A dose, route, regimen text or dosing record that cannot be given."""


class KernelError(AntagonyError):
    """The numerical core cannot do what was asked."""


class CompilerError(KernelError):
    """No C compiler was found, or it refused the generated text."""


class UnsupportedError(KernelError):
    """A model construct that the kernel does not cover; the message names it."""


class SimulationError(AntagonyError):
    """A run that cannot start, or subjects that failed where none may."""


class PosteriorError(AntagonyError):
    """Draws that cannot be weighed: none has a likelihood, or one an infinite."""


class ClusterError(AntagonyError):
    """Workers beyond this machine that cannot be reached, were lost, or would give other bits."""


class ReportError(AntagonyError):
    """An output that cannot be written; nothing half-written is left behind."""


def _spelt(letter: str) -> str:
    """A letter that nobody can see, in letters that everybody can."""
    return letter.encode("unicode_escape").decode("ascii")


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word nearest to one, where any is near.

    >>> nearest("mtorc", ["mtorc1", "score"]), nearest("bdnf", ["mtorc1", "score"])
    ('mtorc1', None)
    """
    short = sorted(name for name in known if len(name) <= WORD)  # time grows with the square of their length
    close = difflib.get_close_matches(word, short, n=1, cutoff=0.6) if len(word) <= WORD else []
    return close[0] if close else None


def near_miss(word: str, known: Iterable[str]) -> str:
    """Sentence that offers the nearest known word, or lists the first few.

    >>> near_miss("mtorc", ["mtorc1", "score"])
    '; did you mean "mtorc1"?'
    """
    known = sorted(known)
    if (near := nearest(word, known)) is not None:
        return f'; did you mean "{near}"?'
    shown = ", ".join(known[:12])
    return f"; known: {shown}{', ...' if len(known) > 12 else ''}" if known else ""


def join_words(words: Iterable[str]) -> str:
    """Words as a sentence lists them.

    >>> join_words(["naltrexone", "ketamine", "lithium"])
    'naltrexone, ketamine and lithium'
    """
    words = list(words)
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else "".join(words)
