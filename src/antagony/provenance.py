"""What a stored answer follows from: the text of the modules behind it, so that one made by other code is not read."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parent


def fingerprint_code(module: str, beside: Iterable[str] = (), without: Iterable[str] = ()) -> str:
    """Fingerprint of the text of a module, of all that it imports, and so on.

    `module` is its file (a module's own `__file__`). `beside` and `without` are files of the package by their path
    within it: those that are read and not imported, and those that cannot move the answer.
    """
    left_out = {ROOT / name for name in without}
    found, waiting = set(left_out), [Path(module)]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += _imported(path)
    digest = hashlib.sha256()
    for path in sorted((found - left_out) | {ROOT / name for name in beside}):
        digest.update(path.relative_to(ROOT).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()


def _imported(path: Path) -> list[Path]:
    """Modules of this package that a module imports anywhere in its text."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ImportFrom) or not node.level:
            continue
        folder = path.parents[node.level - 1].joinpath(*(node.module or "").split("."))
        places = [folder, *(folder / name.name for name in node.names)]
        found += [p.with_suffix(".py") for p in places if p != ROOT and p.with_suffix(".py").is_file()]
    return found
