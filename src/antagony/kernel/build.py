"""C text -> shared library, kept in a cache that only this user can write.

The key holds everything that could change the numbers: the model's SBML, what goes in and out, the generator, the
parser and algebra versions, the compiler, its flags and the processor's features. A hit runs no sympy and no compiler.
"""

from __future__ import annotations

import atexit
import ctypes
import hashlib
import itertools
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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from ..errors import CompilerError
from ..interruption import unfinished, working
from .library import Kernel, load_kernel

FLAGS = ("-std=gnu11", "-shared", "-fPIC", "-fno-math-errno", "-fno-trapping-math", "-w")
SCHEDULING = ("-fschedule-insns", "-fsched-pressure")  # gcc lays independent chains side by side
GENERATOR = (  # what turns a model into C
    *("symbolic.py", "triggers.py", "event_source.py", "c_source.py", "rodas5p.py"),
    *("vector.h", "solver.h", "events.h"),
)
ATTEMPTS = 3  # at a kernel that another process may be building
PATIENCE, GREETING = 900.0, 60.0  # s that a compiler may take, and until it says who it is
_COUNT = itertools.count()
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
    for _ in range(ATTEMPTS):  # another process may put its own there between our two files
        if (kernel := _stored(library, record)) is not None:
            return kernel
        _build(sbml, request, compiler, target, library, record)
    if (kernel := _stored(library, record)) is None:
        raise CompilerError(f"{library}: what was just built cannot be read back; set ANTAGONY_CACHE to another folder")
    return kernel


def _stored(library: Path, record: Path) -> Kernel | None:
    """The kernel of two stored files; None where one is missing, damaged, of another build or not this user's own."""
    if not (_is_mine(library) and _is_mine(record)):
        return None
    try:
        meta = json.loads(record.read_text(encoding="utf-8"))
        if meta["digest"] != _digest(library):  # a file cut short would end the process when it is loaded
            return None
        return load_kernel(library, meta)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _build(sbml: str, request: dict, compiler: Compiler, target: Target, library: Path, record: Path) -> None:
    from .c_source import write_source  # sympy and libSBML load only when something must be built
    from .symbolic import read_system

    source = write_source(
        read_system(sbml), inputs=request["inputs"], outputs=request["outputs"], portable=target.portable
    )
    level = request["optimise"] if request["optimise"] is not None else 1 if len(source.states) > LARGE else 2
    scheduling = SCHEDULING if level > 1 and "clang" not in compiler.identity.lower() else ()
    flags = (*target.flags, f"-O{level}", *scheduling)
    digest = _compile(f"#define W {target.lanes}\n{source.text}", compiler, replace(target, flags=flags), library)
    meta = {k: v for k, v in asdict(source).items() if k != "text"}
    meta |= {"fingerprint": library.stem, "compiler": compiler.identity, "flags": list(flags), "lanes": target.lanes}
    meta |= {"digest": digest}
    _write_whole(record, json.dumps(meta).encode())


def _compile(text: str, compiler: Compiler, target: Target, library: Path) -> str:
    """Compile the text into the library's place; returns the digest of what was built."""
    with scratch_folder(library.parent) as scratch:
        source, built = scratch / "kernel.c", scratch / "kernel.so"
        source.write_text(text, encoding="utf-8")
        compile_text([*compiler.command, *target.flags, str(source), "-o", str(built), "-lm"], compiler, built)
        try:
            ctypes.CDLL(str(built)).run_task  # noqa: B018 - what is no library must not get into the cache
        except (OSError, AttributeError):
            raise CompilerError(f"{compiler.identity} built no library that can be loaded; set CC to another") from None
        built.chmod(0o700)
        digest = _digest(built)
        os.replace(built, library)
    return digest


def compile_text(command: Sequence[str], compiler: Compiler, built: Path) -> None:
    """Run a compiler that is to write `built`; raises CompilerError where it refuses, dies, hangs or writes nothing."""
    try:
        run = call_program(command, PATIENCE)
    except subprocess.TimeoutExpired:
        raise CompilerError(f"{compiler.identity} did not end within {PATIENCE:g} s; set CC to another") from None
    except OSError as error:
        raise CompilerError(f"{compiler.identity} cannot be called ({error.strerror}); set CC to another") from None
    if run.returncode < 0:
        raise CompilerError(f"{compiler.identity} was ended by signal {-run.returncode}; is there enough memory?")
    if run.returncode:
        raise CompilerError(f"{compiler.identity} refused the generated text:\n{run.stderr[:2000]}")
    if not built.is_file():
        raise CompilerError(f"{compiler.identity} says that it built a file, and there is none; set CC to another")


def call_program(command: Sequence[str], seconds: float) -> subprocess.CompletedProcess[str]:
    """Run a program in a session of its own, ended with all that it started when time is up or we are stopped.

    Raises OSError, subprocess.TimeoutExpired.
    """
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8",
        errors="replace", start_new_session=True,
    )  # fmt: skip
    with process, working(process):
        told, said = process.communicate(timeout=seconds)
    return subprocess.CompletedProcess(command, process.returncode, told, said)


@contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """A folder to compile in, gone at the end of the block; raises CompilerError where there is no room."""
    with writing(parent), unfinished(parent / f"build-{os.getpid()}-{next(_COUNT)}") as folder:
        folder.mkdir(mode=0o700)
        yield folder


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """A cache that cannot be written, as one sentence."""
    try:
        yield
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise CompilerError(
            f"{folder}: a kernel cannot be kept there ({reason}); make room, or set ANTAGONY_CACHE to another folder"
        ) from None


def _write_whole(path: Path, content: bytes) -> None:
    """Write under another name, then rename: nobody ever reads half a file."""
    with writing(path.parent), unfinished(path.with_name(f".part-{os.getpid()}-{next(_COUNT)}")) as beside:
        beside.touch(mode=0o600)
        beside.write_bytes(content)
        os.replace(beside, path)


def _key(sbml: str, request: dict, compiler: Compiler, target: Target) -> str:
    parts = [sbml, json.dumps(request), compiler.identity, repr(target), describe_processor(), *_generator()]
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
    if asked := os.environ.get("CC", "").strip():
        if (compiler := _answering(_words(asked))) is None:
            raise CompilerError(f'CC="{asked}" is no C compiler that can be called; correct it, or unset CC')
        return compiler
    candidates = [["cc"], ["gcc"], ["clang"]]
    if find_spec("ziglang"):
        candidates.append([sys.executable, "-P", "-m", "ziglang", "cc"])
    for command in candidates:
        if (compiler := _answering(command)) is not None:
            return compiler
    raise CompilerError(
        "no C compiler found: install the system's own (gcc or clang, called as `cc`, or set CC), "
        'or bring one by pip: pip install "antagony[compiler]"'
    )


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:  # a quote without its other half
        return [text]


def _answering(command: Sequence[str]) -> Compiler | None:
    """The compiler behind a command, if it says who it is."""
    if not command or shutil.which(command[0]) is None:
        return None
    try:
        run = call_program([*command, "--version"], GREETING)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    said = run.stdout.strip().splitlines()
    return Compiler(tuple(command), said[0]) if run.returncode == 0 and said else None


@lru_cache(maxsize=2)
def native_target(*, portable: bool = False) -> Target:
    """Lanes as wide as this processor's registers; beyond that width the text becomes slow."""
    features = describe_processor().split()
    lanes = 8 if "avx512f" in features else 4 if "avx2" in features else 2
    arch = ("-march=native",) if platform.machine() in ("x86_64", "AMD64") else ("-mcpu=native",)
    contract = ("-ffp-contract=off",) if portable else ("-ffp-contract=fast",)
    return Target(lanes, (*FLAGS, *arch, *contract), portable)


@lru_cache(maxsize=1)
def describe_processor() -> str:
    """Features of this machine's processor, as its system names them."""
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
        if not folder.is_absolute() and not os.environ.get("ANTAGONY_CACHE"):
            raise PermissionError("there is no home folder")
        folder = folder.absolute()
        _make_private(folder)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"0" * 4096)
    except OSError as error:
        return _temporary_folder(error)
    return folder


def _make_private(folder: Path) -> None:
    """Make a folder, and what is missing above it, for this user alone; raises PermissionError where others interfere.

    Who may rename what lies above it could put another in its place.
    """
    for place in reversed([folder, *folder.parents]):
        if not place.exists():
            place.mkdir(mode=0o700, exist_ok=True)
    if not (_is_mine(folder) and folder.is_dir()):
        raise PermissionError(f"{folder} belongs to somebody else or can be written by others")
    for place in dict.fromkeys((*folder.parents, *folder.resolve().parents)):
        if hasattr(os, "getuid") and not _is_out_of_reach(place):
            raise PermissionError(f"{place}, above it, belongs to somebody else or can be written by others")
    folder.chmod(0o700)


def _is_out_of_reach(place: Path) -> bool:
    """Whether nobody but this user and root may rename what lies in a folder; a link must be theirs, too."""
    facts, link = place.stat(), place.lstat()
    owners = {facts.st_uid, link.st_uid} <= {0, os.getuid()}
    others = facts.st_mode & 0o002 or (facts.st_mode & 0o020 and not _is_own_group(facts.st_gid))
    return owners and (not others or bool(facts.st_mode & stat.S_ISVTX))


def _is_own_group(group: int) -> bool:
    """Whether a group is this user's own and nobody else's, as many systems give each user one."""
    import grp
    import pwd

    try:
        user, known = pwd.getpwuid(os.getuid()), grp.getgrgid(group)
    except KeyError:
        return False
    return user.pw_gid == group and known.gr_name == user.pw_name and not set(known.gr_mem) - {user.pw_name}


def _temporary_folder(reason: OSError) -> Path:
    """A private folder for this run alone, said in a warning and removed at its end."""
    try:
        private = Path(tempfile.mkdtemp(prefix="antagony-"))
    except OSError as error:
        raise CompilerError(
            f"no folder for compiled kernels: {reason}; nor a temporary one ({error.strerror}): set ANTAGONY_CACHE"
        ) from None
    atexit.register(shutil.rmtree, private, ignore_errors=True)
    warnings.warn(f"kernels are kept in {private} for this run only: {reason}", RuntimeWarning, stacklevel=3)
    return private


def _is_mine(path: Path) -> bool:
    try:
        facts = path.lstat()
    except OSError:
        return False
    if stat.S_ISLNK(facts.st_mode):
        return False
    return not hasattr(os, "getuid") or (facts.st_uid == os.getuid() and not facts.st_mode & 0o022)
