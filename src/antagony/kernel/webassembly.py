"""A model as a WebAssembly module: the C text of the portable kernel, compiled for web pages instead of this processor.

The module imports nothing and holds two subjects side by side, as wide as WebAssembly's registers. Its numbers are
those of `build_kernel(..., portable=True)`, bit for bit. It is kept in the same cache, and nothing here executes it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import CompilerError
from . import build
from .build import Compiler, cache_folder

LANES = 2
EXPORTS = ("run_task", "reserve", "mark", "release")  # and `memory`, which every module exports
HEADERS = ("math.h", "stdlib.h", "string.h")  # left empty: webassembly.h has what a kernel needs of them
FLAGS = (
    *(flag for flag in build.FLAGS if flag not in ("-shared", "-fPIC")),
    *("-O2", "-ffp-contract=off", "-msimd128", "-mbulk-memory", "-nostdlib", "-nostdinc"),
    "-ffreestanding",  # otherwise clang 14 takes the loop inside memset for a call of memset, without end
    *("-Wl,--no-entry", "-Wl,--strip-all", *(f"-Wl,--export={name}" for name in EXPORTS)),
    "-Wl,-z,stack-size=1048576",  # the linker's own 64 kB are few for the factors of a large model
)


@dataclass(frozen=True, slots=True)
class WebAssembly:
    """A compiled module and what its numbers mean; names and `defaults` as in `library.Kernel`."""

    module: bytes
    states: tuple[str, ...]
    parameters: tuple[str, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    defaults: NDArray[np.float64]
    fingerprint: str
    lanes: int
    compiler: str


def build_webassembly(sbml: str, *, inputs: Sequence[str] = (), outputs: Sequence[str] | None = None) -> WebAssembly:
    """Compile an SBML model into a WebAssembly module, or take it from the cache.

    `inputs` and `outputs` as in `build_kernel`; other outputs than the native kernel's may change their last bits.
    Raises CompilerError, UnsupportedError.
    """
    compiler = find_webassembly_compiler()
    request = {"inputs": list(inputs), "outputs": None if outputs is None else list(outputs)}
    key = _key(sbml, request, compiler)
    module, record = cache_folder() / f"{key}.wasm", cache_folder() / f"{key}.json"
    if not (build._is_mine(module) and build._is_mine(record)):
        _build(sbml, request, compiler, module, record)
    return _load(module, record)


def _build(sbml: str, request: dict, compiler: Compiler, module: Path, record: Path) -> None:
    from .c_source import write_source  # sympy and libSBML load only when something must be built
    from .symbolic import read_system

    source = write_source(read_system(sbml), inputs=request["inputs"], outputs=request["outputs"], portable=True)
    built = _compile(f"{_support()}\n#define W {LANES}\n{source.text}", compiler)
    meta = {k: v for k, v in asdict(source).items() if k not in ("text", "uses_time", "events")}
    meta |= {"fingerprint": module.stem, "lanes": LANES, "compiler": compiler.identity}
    build._write_whole(module, built)
    build._write_whole(record, json.dumps(meta).encode())


def _compile(text: str, compiler: Compiler) -> bytes:
    with build.scratch_folder(cache_folder()) as folder:
        for name in HEADERS:
            (folder / name).touch()
        source, built = folder / "kernel.c", folder / "kernel.wasm"
        source.write_text(text, encoding="utf-8")
        command = [*compiler.command, *FLAGS, "-isystem", str(folder), str(source), "-o", str(built)]
        build.compile_text(command, compiler, built)
        return built.read_bytes()


def _load(module: Path, record: Path) -> WebAssembly:
    meta = json.loads(record.read_text(encoding="utf-8"))
    names = {key: tuple(meta.pop(key)) for key in ("states", "parameters", "inputs", "outputs")}
    defaults = np.array(meta.pop("defaults"), dtype=float)
    return WebAssembly(module.read_bytes(), **names, defaults=defaults, **meta)


def _key(sbml: str, request: dict, compiler: Compiler) -> str:
    parts = [sbml, json.dumps(request), compiler.identity, *FLAGS, _support(), str(LANES), *build._generator()]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


@lru_cache(maxsize=1)
def _support() -> str:
    return Path(__file__).with_name("webassembly.h").read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def find_webassembly_compiler() -> Compiler:
    """The system's clang with its linker wasm-ld, else the compiler that the extra `compiler` brings."""
    linker = shutil.which("wasm-ld")
    if linker and shutil.which("clang") and "wasm32" in " ".join(_says("clang", "--print-targets")):
        # Debian's clang would only look for its own version's linker; zig catches an overflow of the stack by default
        clang = ("clang", "--target=wasm32", f"-fuse-ld={linker}", "-Wl,--stack-first")
        return Compiler(clang, ", ".join([*_says("clang", "--version")[:1], *_says(linker, "--version")[:1]]))
    if find_spec("ziglang"):
        zig = (sys.executable, "-P", "-m", "ziglang", "cc")
        return Compiler((*zig, "-target", "wasm32-freestanding"), " ".join(["zig", *_says(*zig, "--version")[:1]]))
    raise CompilerError(
        "no compiler for WebAssembly found, neither clang with wasm-ld on the PATH nor ziglang: "
        'bring one by pip, pip install "antagony[compiler]", or install the system\'s (Debian: apt install clang lld)'
    )


def _says(*command: str) -> list[str]:
    try:
        return build.call_program(command, build.GREETING).stdout.splitlines()
    except (OSError, subprocess.TimeoutExpired):
        return []
