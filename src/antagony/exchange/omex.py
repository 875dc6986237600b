"""A COMBINE archive: the model of each arm (SBML), how to run and show it (SED-ML), our own curves to compare with."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import ReportError
from ..files import write_whole
from ..simulation import Tolerances
from .model_text import CLOCK, ModelText

LIBRARIES = ("libcombine", "libsedml")
WRITER = Path(__file__).with_name("archive.py")


@dataclass(frozen=True, slots=True)
class Course:
    """What is watched: outputs (symbol, title with unit), until when [h after the reference dose], how many points."""

    outputs: tuple[tuple[str, str], ...]
    until: float
    points: int
    tolerances: Tolerances


def check_libraries() -> None:
    """Raise ReportError that says how to install what is missing; asked before the work, not after it."""
    for library in LIBRARIES:
        if importlib.util.find_spec(library) is None:
            raise ReportError(f'{library} is not installed: pip install "antagony[exchange]"')


def write_archive(
    arms: Sequence[tuple[str, ModelText]], course: Course, curves: str, about: str, path: Path
) -> Path:
    """Write arms (title, model) and curves (CSV text) as one archive, whole or not at all; returns the path.

    A process of its own does it, for libSEDML must not be loaded beside libSBML. Raises ReportError.
    """
    models = {f"model_{number}.xml": model for number, (_, model) in enumerate(arms, 1)}
    plan = {
        "about": about,
        "files": {name: model.sbml for name, model in models.items()} | {"curves.csv": curves},
        "arms": [
            {
                "title": title,
                "model": name,
                "end": course.until + model.reference,
                "clock": CLOCK if model.dosed else "",
            }
            for name, (title, model) in zip(models, arms, strict=True)
        ],
        "points": course.points,
        "outputs": course.outputs,
        "tolerances": {"relative": course.tolerances.relative, "absolute": course.tolerances.absolute},
    }

    def write(beside: Path) -> None:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "archive.omex"
            command = [sys.executable, "-P", str(WRITER)]
            text = json.dumps(plan | {"path": str(file)})
            done = subprocess.run(command, input=text, capture_output=True, encoding="utf-8", check=False)
            if done.returncode or not file.is_file():
                said = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
                raise ReportError(f"{path}: the archive could not be written: {said}")
            beside.write_bytes(file.read_bytes())

    return write_whole(path, write)
