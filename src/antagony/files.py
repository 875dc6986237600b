"""Files written whole or not at all."""

from __future__ import annotations

import errno
import gzip
import itertools
import os
import tomllib
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .errors import ReportError
from .interruption import unfinished

LARGEST = 256_000_000  # [byte] of a packed file once it is unpacked
HEADS = 100_000  # [byte] that a NetCDF file has beside its numbers
DEEPEST = 100  # tables and lists inside one another, which readers follow by calling themselves
LONGEST = 200  # letters of a name, whose part beside it has more
_COUNT = itertools.count()


def write_whole(path: Path | str, write: Callable[[Path], object]) -> Path:
    """Let `write` fill a file beside the target, then rename it; returns the target. Raises ReportError.

    Whatever stood at `path` stays until the new file is complete.
    """
    path = Path(path)
    if not path.name or path.is_dir():
        raise ReportError(f'"{path}": no name of a file, or that of a folder; name a file in a folder you may write to')
    with unfinished(path.with_name(f".{path.name[:LONGEST]}.{os.getpid()}.{next(_COUNT)}.part")) as beside:
        try:
            with open(beside, "x", encoding="utf-8"):
                pass
            write(beside)
            os.replace(beside, path)
        except OSError as error:
            raise _refused(path, error) from None
        except Exception as error:
            if (cause := _behind(error)) is not None:
                raise _refused(path, cause) from None
            raise
    return path


def reserve_room(path: Path, size: int) -> None:
    """Raise OSError where a disk has no room for so many bytes; for libraries that find out late, and badly."""
    with path.open("r+b") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, size)
        except AttributeError:
            pass  # a system without it
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise


def unpack(path: Path) -> bytes:
    """Content of a gzip file, at most LARGEST bytes; raises ValueError for more, or for what is no such file.

    A few kilobytes may unpack to more than a machine's memory holds.
    """
    try:
        with gzip.open(path, "rb") as file:
            content = file.read(LARGEST + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path}: no gzip file ({error})") from None
    if len(content) > LARGEST:
        raise ValueError(f"{path}: more than {LARGEST} bytes")
    return content


def parse_toml(text: str) -> dict[str, Any]:
    """The tables of a TOML text; raises ValueError, with line and column where the parser knows them.

    The parser itself raises others for numbers of thousands of digits and for brackets thousands deep.
    """
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise
    except ValueError:
        raise ValueError("a whole number with thousands of digits") from None
    except RecursionError:
        raise ValueError("lists or tables inside one another without end") from None
    level: list[Any] = [tables]
    for _ in range(DEEPEST):
        inner = (branch.values() if isinstance(branch, dict) else branch for branch in level)
        level = [item for items in inner for item in items if isinstance(item, dict | list)]
        if not level:
            return tables
    raise ValueError(f"lists or tables more than {DEEPEST} deep")


def check_ending(out: Path, endings: Sequence[str]) -> None:
    """Raise ReportError for a file whose ending is not among these; asked before the work, not after it."""
    if out.suffix not in endings:
        known = " or ".join(filter(None, (", ".join(endings[:-1]), endings[-1])))
        raise ReportError(f'{out}: unknown ending "{out.suffix}"; use {known}')


def write_text(path: Path | str, text: str) -> Path:
    """Write text, in UTF-8 with plain line ends, whole or not at all; returns the path. Raises ReportError."""
    return write_whole(path, lambda beside: beside.write_text(text, encoding="utf-8", newline="\n"))


def _behind(error: BaseException) -> OSError | None:
    """The refusal of the system behind a library's own exception; closing a file on a full disk often raises both."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError):
            return seen
        seen = seen.__cause__ or seen.__context__
    return None


def _refused(path: Path, error: OSError) -> ReportError:
    reason = (error.strerror or str(error) or type(error).__name__).lower()
    return ReportError(f"{path}: cannot be written ({reason}); name a file in a folder you may write to")
