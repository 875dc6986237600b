"""Is the model solved right: how results move under tighter tolerances, and what stored proofs of the solver say."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from .calibration import calibrate, nominal_draws
from .case import Case
from .display import read_display
from .simulation import Arm, Tolerances, simulate

PROOFS = ("agreement", "conformance", "calibration", "weighing", "trials", "petab")
"""Stored reports that tell of numbers being right; others tell of speed and size."""

TIGHTER = 100.0
POINTS = 121
LIBRARIES = ("numpy", "scipy", "sympy", "python-libsbml", "antimony", "SALib", "matplotlib", "jinja2", "xarray")


@dataclass(frozen=True, slots=True)
class Refined:
    """An output under the default tolerances against tighter ones: largest difference, and largest size [its unit]."""

    output: str
    title: str
    difference: float
    size: float


@dataclass(frozen=True, slots=True)
class Promise:
    """One line of a stored proof: what was promised, the target, what was measured, and the verdict then."""

    what: str
    target: str
    measured: str
    verdict: str


@dataclass(frozen=True, slots=True)
class Proof:
    """A stored report of a proof that was run: its title, when and on what (`made`), and its lines."""

    name: str
    title: str
    made: str
    promises: tuple[Promise, ...]


def refine(case: Case, slug: str) -> tuple[Refined, ...]:
    """Outputs that a case shows, over its scenes at nominal values, solved anew with tolerances TIGHTER times finer."""
    scenes = {name: scene for name, scene in case.scenes.items() if scene.regimen.doses}
    if not scenes:
        return ()
    arms = {name: Arm(scene.regimen, (), case.trial) for name, scene in scenes.items()}
    mechanism = case.mechanism_for(slug, {d for scene in scenes.values() for d in scene.regimen.drugs})
    first = min(-1.0, *(scene.regimen.first for scene in scenes.values()))
    last = max(scene.until for scene in scenes.values())
    times = np.sinh(np.linspace(np.arcsinh(4 * first), np.arcsinh(4 * last), POINTS)) / 4
    draws = nominal_draws(case, slug)
    draws = calibrate(case, slug, draws).draws if case.calibration else draws
    outputs = [name for name in read_display(case).outputs if name in mechanism.outputs]
    if not outputs:
        return ()
    used = Tolerances()
    finer = replace(used, relative=used.relative / TIGHTER, absolute=used.absolute / TIGHTER)
    runs = [
        simulate(mechanism, arms, times, draws=draws, outputs=outputs, tolerances=tolerances)
        for tolerances in (used, finer)
    ]
    return tuple(
        Refined(
            name,
            mechanism.outputs[name].title,
            float(np.abs(runs[0][name].to_numpy() - runs[1][name].to_numpy()).max()),
            float(np.abs(runs[1][name].to_numpy()).max()),
        )
        for name in outputs
    )


def find_reports() -> Path | None:
    """The folder of stored reports, where this program runs from its repository; None where it was installed."""
    root = Path(__file__).resolve().parents[2]
    folder = root / "reports"
    return folder if folder.is_dir() and (root / "pyproject.toml").is_file() else None


def read_proofs(folder: Path | None, names: Sequence[str] = PROOFS) -> tuple[Proof, ...]:
    """Stored reports by name, those that are there and can be read."""
    if folder is None:
        return ()
    texts = {name: folder / f"{name}.md" for name in names}
    found = (_read_proof(name, path) for name, path in texts.items() if path.is_file())
    return tuple(proof for proof in found if proof is not None)


def _read_proof(name: str, path: Path) -> Proof | None:
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    title = next((line[2:].strip() for line in lines if line.startswith("# ")), "")
    made = next((line.rstrip(".") for line in lines if re.match(r"\d{4}-\d\d-\d\d, ", line)), "")
    rows = [line.strip().removeprefix("| ").removesuffix(" |").split(" | ") for line in lines if line.startswith("| ")]
    promises = tuple(
        Promise(*(cell.strip() for cell in row)) for row in rows[1:] if len(row) == 4 and row[0].strip() != "exit code"
    )
    return Proof(name, title, made, promises) if title and made and promises else None


def list_versions() -> dict[str, str]:
    """Version of each library on which numbers or their reading rest; `not installed` where it is missing."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found
