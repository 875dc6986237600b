"""The command line inside the process of the tests, told apart from a command of its own by nothing but its speed.

What only a process of its own can show (start-up, signals, closed streams, letters of a terminal) is tested with one.
"""

from __future__ import annotations

import gc
import io
import os
import signal
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest

from antagony import cli


@dataclass(frozen=True)
class Done:
    """How a command ended: exit code, and what it wrote to each stream."""

    returncode: int
    stdout: str
    stderr: str


def run_command(*arguments: str, cwd: Path | None = None, columns: int = 160) -> Done:
    """Run `antagony` with these arguments on a terminal of so many columns, without colours."""
    stdout, stderr = io.StringIO(), io.StringIO()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    thresholds = gc.get_threshold()
    try:
        with (
            pytest.MonkeyPatch.context() as patch,
            chdir(cwd or os.curdir),
            redirect_stdout(stdout),
            redirect_stderr(stderr),
            pytest.raises(SystemExit) as ended,
        ):
            patch.setenv("NO_COLOR", "1")
            patch.setenv("COLUMNS", str(columns))
            patch.setattr(sys, "argv", ["antagony", *arguments])
            cli.main()
    finally:
        gc.set_threshold(*thresholds)
        for number, handler in handlers.items():
            signal.signal(number, handler)
    code = ended.value.code
    return Done(code if isinstance(code, int) else 0, stdout.getvalue(), stderr.getvalue())
