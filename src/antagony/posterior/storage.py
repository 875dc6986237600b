"""Answers of a weighing kept as text: in the user's cache, and one that ships beside a packaged case.

An answer is of one state of a case: its name holds the case's fingerprint, and another is never shown for it.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from ..case import Case
from ..errors import AntagonyError
from ..files import unpack, write_whole
from ..kernel.build import cache_folder
from ..study import Finding, Study
from .answer import Weighing

EFFORTS = ("thorough", "standard", "quick")
"""Best first."""


def keep_answer(case: Case, weighing: Weighing, *, beside_case: bool = False) -> Path:
    """Write an answer over all rivals and studies to the cache, or beside the case in place of older ones."""
    folder = _beside(case) if beside_case else _cached()
    folder.mkdir(parents=True, exist_ok=True, mode=0o755 if beside_case else 0o700)
    path = folder / _name(case, weighing.effort)
    text = json.dumps(_plain(weighing))

    def save(part: Path) -> None:
        with part.open("wb") as file, gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed:
            packed.write(text.encode())

    write_whole(path, save)
    if beside_case:
        for old in folder.glob("*.json.gz"):
            if old != path:
                old.unlink()
    return path


def read_answer(case: Case, efforts: Sequence[str] = EFFORTS) -> Weighing | None:
    """The best stored answer for this very case, the user's own before the packaged one; None where there is none.

    `efforts`: which may be shown, best first.
    """
    for folder in (_cached(), _beside(case)):
        for effort in efforts:
            path = folder / _name(case, effort)
            if path.is_file() and (found := _read(case, path)) is not None:
                return found
    return None


def has_stale_answer(case: Case) -> bool:
    """Whether an answer lies beside the case that is of another state of it."""
    kept = list(_beside(case).glob("*.json.gz"))
    return bool(kept) and not any(path.name.startswith(case.hash) for path in kept)


def _read(case: Case, path: Path) -> Weighing | None:
    try:
        record = json.loads(unpack(path))
        record["studies"] = [case.studies[name] for name in record["studies"]]
        for found in (f for mechanism in record["mechanisms"] for f in mechanism["findings"]):
            found["finding"] = case.studies[found["study"]].finding(found["finding"])
        return TypeAdapter(Weighing).validate_python(record)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, ValidationError, AntagonyError):
        return None


def _plain(value: object) -> object:
    """Records as tables, studies and findings as their ids; floats of any library as plain ones."""
    if isinstance(value, Study | Finding):
        return value.id
    if is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return float(value) if isinstance(value, float) else value


def _name(case: Case, effort: str) -> str:
    return f"{case.hash}-{effort}.json.gz"


def _cached() -> Path:
    return cache_folder() / "answers"


def _beside(case: Case) -> Path:
    return case.folder / "answers"
