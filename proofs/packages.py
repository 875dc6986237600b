"""What a user installs: wheel and sdist hold the same package, and each answers as the repository does.

Each is installed into an environment that holds nothing else, outside the repository, and asked with an empty cache.

Prints `package files: ...` and `verdict of the <what>: ...` lines that proofs/prove.py reads.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
import venv
from pathlib import Path
from typing import Any
from zipfile import ZipFile

ROOT = Path(__file__).resolve().parent.parent
PLACE = "src/antagony/"  # of the package in an sdist
SETTINGS = ("--draws", "200", "--patients", "8")  # counts are compared, not errors


def build(folder: Path) -> tuple[Path, Path]:
    """The wheel and the sdist of the tree as it stands."""
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-d", str(folder)], cwd=ROOT, check=True)
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return wheel, sdist


def read_wheel(path: Path) -> dict[str, bytes]:
    """Files of the package in a wheel, by their path within it."""
    with ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.startswith("antagony/") and not name.endswith("/")]
        return {name.removeprefix("antagony/"): archive.read(name) for name in names}


def read_sdist(path: Path) -> dict[str, bytes]:
    """Files of the package in an sdist, by their path within it."""
    found = {}
    with tarfile.open(path) as archive:
        for member in archive.getmembers():
            name = member.name.partition("/")[2]
            if member.isfile() and name.startswith(PLACE):
                file = archive.extractfile(member)
                found[name.removeprefix(PLACE)] = file.read() if file else b""
    return found


def ask(python: str, folder: Path) -> dict[str, Any]:
    """The counts of a verdict that a Python gives outside the repository, kernels built anew."""
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}
    environment |= {"ANTAGONY_CACHE": str(folder / "cache"), "NO_COLOR": "1"}
    command = [python, "-m", "antagony.cli", "verdict", *SETTINGS, "--json", "--out", str(folder / "verdict.html")]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"the verdict failed: {done.stderr.strip()[-800:]}")
    return counts_of(json.loads(done.stdout))


def counts_of(table: dict[str, Any]) -> dict[str, Any]:
    """Of each mechanism: findings explained, claims that hold, numbers and those assumed; and the case."""
    found: dict[str, Any] = {"case": table["settings"]["case_hash"]}
    for m in table["mechanisms"]:
        held = [claim["claim"] for claim in m["claims"] if claim["holds"]]
        found[m["slug"]] = [m["explains"], m["findings"], held, m["assumed"], m["numbers"]]
    return found


def install(archive: Path, folder: Path) -> str:
    """The Python of a new environment that holds the archive and what it needs."""
    venv.create(folder, with_pip=True)
    python = str(folder / "bin" / "python")
    command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", str(archive)]
    subprocess.run(command, cwd=folder, check=True)
    return python


def main() -> int:
    """Build, compare, install and ask."""
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        wheel, sdist = build(place / "dist")
        ours, theirs = read_wheel(wheel), read_sdist(sdist)
        differing = sorted(name for name in {*ours, *theirs} if ours.get(name) != theirs.get(name))
        counts = f"{len(ours)} in the wheel, {len(theirs)} in the sdist, {len(differing)} differ"
        print(f"package files: {counts}", flush=True)
        (place / "repository").mkdir()
        wanted = ask(sys.executable, place / "repository")
        wrong = len(differing)
        for what, archive in (("wheel", wheel), ("sdist", sdist)):
            begun = time.perf_counter()
            found = ask(install(archive, place / what), place / what)
            apart = [name for name in {*wanted, *found} if wanted.get(name) != found.get(name)]
            wrong += len(apart)
            spent = time.perf_counter() - begun
            print(f"verdict of the {what}: {len(found) - 1} mechanisms, {len(apart)} differ, {spent:.0f} s", flush=True)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
