"""What must not outlive a run that is stopped: half-written files, scratch folders and compilers at work.

A signal ends the process where it stands, since threads, and libraries in the middle of a call, cannot be unwound.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

STOPPED = 130  # exit code of a run that somebody stopped
SHOW_CURSOR = b"\x1b[?25h"  # a progress bar hides it

_UNFINISHED: set[Path] = set()
_WORKING: set[subprocess.Popen[str]] = set()


@contextmanager
def unfinished(path: Path) -> Iterator[Path]:
    """A file or folder that is removed at the end of this block, and when the run is stopped within it."""
    _UNFINISHED.add(path)
    try:
        yield path
    finally:
        _remove(path)
        _UNFINISHED.discard(path)


@contextmanager
def working(process: subprocess.Popen[str]) -> Iterator[None]:
    """A process in a session of its own that is ended, with all that it started, when this block or the run is."""
    _WORKING.add(process)
    try:
        yield
    finally:
        _end(process)
        _WORKING.discard(process)


def stop_on_signals() -> None:
    """From now on Ctrl-C and a request to terminate end the process with one line, exit code 130 and nothing half done.

    For the command line alone; only the main thread may call it.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)


def heed_signals_no_more() -> None:
    """Once all is written: Python takes its handlers away as it ends, and a signal would make a failure of success."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _stop(_number: int, _frame: FrameType | None) -> NoReturn:
    for process in tuple(_WORKING):
        _end(process)
    for child in _children():  # one that was started a moment ago may not be noted yet
        with suppress(OSError):
            os.killpg(child, signal.SIGKILL)
    for path in tuple(_UNFINISHED):
        _remove(path)
    with suppress(OSError):
        os.write(2, (SHOW_CURSOR + b"\r\x1b[K" if os.isatty(2) else b"") + b"stopped; no file was left half written\n")
    os._exit(STOPPED)


def _children() -> list[int]:
    """Processes that lead a session of their own and were started here; none where the system does not tell."""
    found: list[int] = []
    for place in Path("/proc/self/task").glob("*/children"):
        with suppress(OSError, ValueError):
            found += [int(number) for number in place.read_text().split()]
    return [number for number in found if _leads(number)]


def _leads(process: int) -> bool:
    try:
        return os.getpgid(process) == process != os.getpgid(0)
    except OSError:
        return False


def _end(process: subprocess.Popen[str]) -> None:
    """A compiler is several processes."""
    if process.poll() is None and hasattr(os, "killpg"):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()
