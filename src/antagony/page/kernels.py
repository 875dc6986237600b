"""WebAssembly modules that ship with the package, so that a page of the packaged case needs no compiler.

A module is of one state of a case and of this version's generator; of another state or version none is taken.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from ..case import Case
from ..errors import CompilerError
from ..files import write_whole
from ..kernel.webassembly import WebAssembly, build_webassembly, find_webassembly_compiler
from ..mechanism import Mechanism

PACKAGE = Path(__file__).parent.parent
FOLDER = PACKAGE / "page" / "kernels"
CODE = (
    *("composition.py", "kernel/symbolic.py", "kernel/c_source.py", "kernel/rodas5p.py"),
    *("kernel/vector.h", "kernel/solver.h", "kernel/webassembly.h", "kernel/webassembly.py"),
)
"""What turns a case into a module: a shipped module is of this very code."""

NAMES = ("states", "parameters", "inputs", "outputs")


def check_modules(
    case: Case, slugs: Sequence[str], drugs: Sequence[str], tell: Callable[[str, int, int], None]
) -> None:
    """Raise CompilerError if a module neither ships nor can be compiled: said before a page's minutes of work."""
    try:
        find_webassembly_compiler()
    except CompilerError:
        for i, slug in enumerate(slugs):
            tell(f"{slug}: WebAssembly", i, len(slugs))
            if _read(_path(case, case.mechanism(slug, drugs))) is None:
                raise


def find_modules(
    case: Case, models: Mapping[str, Mechanism], tell: Callable[[str, int, int], None]
) -> dict[str, WebAssembly]:
    """The module of every model: that of the package, or else compiled. Raises CompilerError where that cannot be."""
    found = {}
    for i, (slug, model) in enumerate(models.items()):
        tell(f"{slug}: WebAssembly", i, len(models))
        shipped = _read(_path(case, model))
        found[slug] = shipped or build_webassembly(model.sbml, inputs=model.inputs)
    return found


def keep_modules(case: Case, models: Mapping[str, Mechanism], modules: Mapping[str, WebAssembly]) -> Path:
    """Write the modules into the package, in place of older ones; returns their folder."""
    FOLDER.mkdir(exist_ok=True)
    kept = [_write(_path(case, models[slug]), module) for slug, module in modules.items()]
    for old in FOLDER.glob("*.json.gz"):
        if old not in kept:
            old.unlink()
    return FOLDER


def _path(case: Case, model: Mechanism) -> Path:
    """Named after the case, the drugs in play and the code; not after the SBML, whose writer may be a newer one."""
    parts = [*model.drugs, *model.variants, *((PACKAGE / name).read_text(encoding="utf-8") for name in CODE)]
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()
    return FOLDER / f"{case.hash}-{model.slug}-{digest[:16]}.json.gz"


def _write(path: Path, module: WebAssembly) -> Path:
    record = {name: list(getattr(module, name)) for name in NAMES}
    record |= {"defaults": module.defaults.tolist(), "module": module.module.hex()}
    record |= {"fingerprint": module.fingerprint, "lanes": module.lanes, "compiler": module.compiler}
    packed = gzip.compress(json.dumps(record).encode(), 9, mtime=0)
    return write_whole(path, lambda part: part.write_bytes(packed))


def _read(path: Path) -> WebAssembly | None:
    """A shipped module; None where there is none, or one that was damaged."""
    if not path.is_file():
        return None
    try:
        record = json.loads(gzip.decompress(path.read_bytes()))
        names: dict[str, Sequence[str]] = {name: tuple(record.pop(name)) for name in NAMES}
        defaults = np.array(record.pop("defaults"), dtype=float)
        return WebAssembly(bytes.fromhex(record.pop("module")), **names, defaults=defaults, **record)  # type: ignore[arg-type]
    except (OSError, EOFError, zlib.error, ValueError, TypeError, KeyError, AttributeError):
        return None
