"""Files written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from .errors import ReportError


def write_whole(path: Path | str, write: Callable[[Path], object]) -> Path:
    """Let `write` fill a file beside the target, then rename it; returns the target. Raises ReportError.

    Whatever stood at `path` stays until the new file is complete.
    """
    path = Path(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(beside, "x", encoding="utf-8"):
            pass
    except OSError as error:
        raise _refused(path, error) from None
    try:
        write(beside)
        os.replace(beside, path)
    except OSError as error:
        raise _refused(path, error) from None
    finally:
        beside.unlink(missing_ok=True)
    return path


def check_ending(out: Path, endings: Sequence[str]) -> None:
    """Raise ReportError for a file whose ending is not among these; asked before the work, not after it."""
    if out.suffix not in endings:
        known = f"{', '.join(endings[:-1])} or {endings[-1]}"
        raise ReportError(f'{out}: unknown ending "{out.suffix}"; use {known}')


def write_text(path: Path | str, text: str) -> Path:
    """Write text, in UTF-8 with plain line ends, whole or not at all; returns the path. Raises ReportError."""
    return write_whole(path, lambda beside: beside.write_text(text, encoding="utf-8", newline="\n"))


def _refused(path: Path, error: OSError) -> ReportError:
    reason = (error.strerror or type(error).__name__).lower()
    return ReportError(f"{path}: cannot be written ({reason}); name a file in a folder you may write to")
