"""C text -> shared library, kept in a cache that only this user can write.

The key holds everything that could change the numbers: the model's SBML, what goes in and out, the generator, the
parser and algebra versions, the compiler, its flags and the processor's features. A hit runs no sympy and no compiler.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shlex
import shutil
import stat
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from ..errors import CompilerError
from .library import Kernel, load_kernel

FLAGS = ("-std=gnu11", "-shared", "-fPIC", "-fno-math-errno", "-fno-trapping-math", "-w")
SCHEDULING = ("-fschedule-insns", "-fsched-pressure")  # gcc lays independent chains side by side
GENERATOR = (  # what turns a model into C
    *("symbolic.py", "triggers.py", "event_source.py", "c_source.py", "rodas5p.py"),
    *("vector.h", "solver.h", "events.h"),
)
LARGE = 30  # states above which -O1 is enough: seldom used models, whose compilation would outlast their use


@dataclass(frozen=True, slots=True)
class Compiler:
    """A C compiler: how to call it and who it says it is."""

    command: tuple[str, ...]
    identity: str


@dataclass(frozen=True, slots=True)
class Target:
    """What the text is compiled for: subjects side by side, flags, and whether bits must not depend on the machine."""

    lanes: int
    flags: tuple[str, ...]
    portable: bool


def build_kernel(
    sbml: str,
    *,
    inputs: Sequence[str] = (),
    outputs: Sequence[str] | None = None,
    portable: bool = False,
    optimise: int | None = None,
) -> Kernel:
    """Compile an SBML model into a kernel, or take it from the cache.

    `inputs` are parameters that doses or probes change during a run; `outputs` defaults to all that changes in time;
    `portable` gives bits that do not depend on compiler or processor, at about a third of the speed;
    `optimise` overrides the compiler's level (0 compiles fastest). Raises CompilerError, UnsupportedError.
    """
    compiler, target = find_compiler(), native_target(portable=portable)
    request = {"inputs": list(inputs), "outputs": None if outputs is None else list(outputs), "optimise": optimise}
    key = _key(sbml, request, compiler, target)
    folder = cache_folder()
    library, record = folder / f"{key}.so", folder / f"{key}.json"
    if not (_is_mine(library) and _is_mine(record)):
        _build(sbml, request, compiler, target, library, record)
    return load_kernel(library, json.loads(record.read_text(encoding="utf-8")))


def _build(sbml: str, request: dict, compiler: Compiler, target: Target, library: Path, record: Path) -> None:
    from .c_source import write_source  # sympy and libSBML load only when something must be built
    from .symbolic import read_system

    source = write_source(
        read_system(sbml), inputs=request["inputs"], outputs=request["outputs"], portable=target.portable
    )
    level = request["optimise"] if request["optimise"] is not None else 1 if len(source.states) > LARGE else 2
    scheduling = SCHEDULING if level > 1 and "clang" not in compiler.identity.lower() else ()
    flags = (*target.flags, f"-O{level}", *scheduling)
    _compile(f"#define W {target.lanes}\n{source.text}", compiler, replace(target, flags=flags), library)
    meta = {k: v for k, v in asdict(source).items() if k != "text"}
    meta |= {"fingerprint": library.stem, "compiler": compiler.identity, "flags": list(flags), "lanes": target.lanes}
    _write_whole(record, json.dumps(meta).encode())


def _compile(text: str, compiler: Compiler, target: Target, library: Path) -> None:
    with tempfile.TemporaryDirectory(dir=library.parent, prefix="build-") as scratch:
        source, built = Path(scratch) / "kernel.c", Path(scratch) / "kernel.so"
        source.write_text(text, encoding="utf-8")
        command = [*compiler.command, *target.flags, str(source), "-o", str(built), "-lm"]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        if run.returncode:
            raise CompilerError(f"{compiler.identity} refused the generated text:\n{run.stderr[:2000]}")
        built.chmod(0o700)
        os.replace(built, library)


def _write_whole(path: Path, content: bytes) -> None:
    """Write under another name, then rename: nobody ever reads half a file."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".part-")
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    os.replace(name, path)


def _key(sbml: str, request: dict, compiler: Compiler, target: Target) -> str:
    parts = [sbml, json.dumps(request), compiler.identity, repr(target), _processor(), *_generator()]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


@lru_cache(maxsize=1)
def _generator() -> tuple[str, ...]:
    """Versions and texts of what turns a model into C."""
    package = Path(__file__).parent
    return (
        *(version(name) for name in ("sympy", "python-libsbml")),
        *((package / name).read_text(encoding="utf-8") for name in GENERATOR),
    )


@lru_cache(maxsize=1)
def find_compiler() -> Compiler:
    """The C compiler in $CC, else cc, gcc or clang, else the one that the extra `compiler` brings."""
    candidates = [shlex.split(os.environ["CC"])] if os.environ.get("CC") else [["cc"], ["gcc"], ["clang"]]
    if find_spec("ziglang"):
        candidates.append([sys.executable, "-m", "ziglang", "cc"])
    for command in candidates:
        if shutil.which(command[0]) is None:
            continue
        run = subprocess.run([*command, "--version"], capture_output=True, text=True, check=False)
        if run.returncode == 0:
            return Compiler(tuple(command), run.stdout.strip().splitlines()[0])
    raise CompilerError(
        "no C compiler found: install the system's own (gcc or clang, called as `cc`, or set CC), "
        'or bring one by pip: pip install "antagony[compiler]"'
    )


@lru_cache(maxsize=2)
def native_target(*, portable: bool = False) -> Target:
    """Lanes as wide as this processor's registers; beyond that width the text becomes slow."""
    features = _processor().split()
    lanes = 8 if "avx512f" in features else 4 if "avx2" in features else 2
    arch = ("-march=native",) if platform.machine() in ("x86_64", "AMD64") else ("-mcpu=native",)
    contract = ("-ffp-contract=off",) if portable else ("-ffp-contract=fast",)
    return Target(lanes, (*FLAGS, *arch, *contract), portable)


@lru_cache(maxsize=1)
def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    return next((line.split(":", 1)[1] for line in lines if line.startswith(("flags", "Features"))), platform.machine())


@lru_cache(maxsize=1)
def cache_folder() -> Path:
    """Folder of compiled kernels: $ANTAGONY_CACHE or the user's cache; a private temporary one where that is unsafe.

    What lies in it is executed, so it must belong to this user and be writable by nobody else.
    """
    from platformdirs import user_cache_path

    folder = Path(os.environ.get("ANTAGONY_CACHE") or user_cache_path("antagony")) / "kernels"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _is_mine(folder):
            raise PermissionError(f"{folder} belongs to somebody else or can be written by others")
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"0" * 4096)
    except OSError as error:
        private = Path(tempfile.mkdtemp(prefix="antagony-"))
        warnings.warn(f"kernels are kept in {private} for this run only: {error}", RuntimeWarning, stacklevel=2)
        return private
    return folder


def _is_mine(path: Path) -> bool:
    try:
        facts = path.lstat()
    except OSError:
        return False
    if stat.S_ISLNK(facts.st_mode):
        return False
    return not hasattr(os, "getuid") or (facts.st_uid == os.getuid() and not facts.st_mode & 0o022)
