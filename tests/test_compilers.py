"""One C text, several compilers, widths and processors: it compiles everywhere, and the portable bits are the same."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

import antimony
import numpy as np
import pytest

from antagony.case import Case
from antagony.kernel import build
from antagony.kernel.build import Target, build_kernel, native_target
from antagony.kernel.c_source import Source, write_source
from antagony.kernel.library import Kernel, Status
from antagony.kernel.symbolic import read_system

KERNEL = Path(build.__file__).parent
MODEL = """
  gut' = -ka*gut; body' = rate + ka*gut - vmax*body^p/(km^p + body^p); e' = kin*(1 + exp(-body/km)) - kout*e
  gut = 40; body = 0; e := kin; ka = 1.5; rate = 0; vmax = 3; km = 5; p = 1.7; kin = 1; kout = 0.5; c := ln(1 + body)/2
  at (body > 6): gut = gut + 3
""".replace("e := kin;", "e = 1;")
TIMES = np.linspace(0, 12, 7)
SUBJECTS = 11  # no multiple of any width
X86 = platform.machine() in ("x86_64", "AMD64")
PROCESSOR = set(build.describe_processor().split())
WIDTHS = {  # lanes, flags that narrow or widen the registers, a feature that the processor needs to run it
    "AVX-512": (8, ("-mavx512f", "-mavx512dq", "-mavx512vl", "-mfma"), "avx512f"),
    "AVX2": (4, ("-mno-avx512f", "-mavx2", "-mfma"), "avx2"),
    "SSE2": (2, ("-mno-avx", "-msse2"), "sse2"),
    "one lane": (1, ("-mno-avx",), "sse2"),
    "wider than the registers": (8, ("-mno-avx512f",), "sse2"),
}
PLAIN = ("-ffp-contract=off",)


def sbml(text: str = MODEL) -> str:
    antimony.clearPreviousLoads()
    assert antimony.loadAntimonyString(f"model m\n{text}\nend\n") >= 0, antimony.getLastError()
    return str(antimony.getSBMLString("m"))


def compilers() -> dict[str, tuple[str, ...]]:
    """The compilers that are here, by name."""
    found = {name: (name,) for name in ("gcc", "clang") if shutil.which(name)}
    zig = (sys.executable, "-P", "-m", "ziglang", "cc")
    return found | ({"zig": zig} if find_spec("ziglang") else {})


COMPILERS = compilers()
BASELINE = ("-mcpu=x86_64",)  # zig compiles for the machine at hand unless told otherwise


@pytest.fixture(scope="module")
def text() -> str:
    return sbml()


@pytest.fixture(scope="module")
def source(text: str) -> Source:
    return write_source(read_system(text), inputs=["rate"], portable=True)


def rows_of(defaults: Sequence[float] | np.ndarray) -> np.ndarray:
    """Parameters of several subjects, no two alike; what is 0 stays 0."""
    return np.array(defaults) * np.random.default_rng(5).lognormal(sigma=0.1, size=(SUBJECTS, len(defaults)))


def solved(kernel: Kernel) -> np.ndarray:
    found = kernel.solve(rows_of(kernel.defaults), TIMES, threads=1)
    assert (found.status == Status.DONE).all()
    return np.concatenate([found.values.ravel(), found.last.ravel(), found.steps])


@pytest.fixture
def kernel_of(monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """Builds a kernel with a compiler, lanes and flags of one's own."""

    def make(text: str, name: str, lanes: int, flags: tuple[str, ...], level: int = 1, portable: bool = True) -> Kernel:
        compiler = build._answering(COMPILERS[name])
        assert compiler is not None
        more = BASELINE if name == "zig" else ()
        target = Target(lanes, (*build.FLAGS, *more, *flags, *(PLAIN if portable else ())), portable)
        with monkeypatch.context() as patch:
            patch.setattr(build, "find_compiler", lambda: compiler)
            patch.setattr(build, "native_target", lambda portable=False: target)
            return build_kernel(text, inputs=["rate"], portable=portable, optimise=level)

    yield make


@pytest.fixture(scope="module")
def want(text: str) -> np.ndarray:
    """The portable kernel's numbers by this machine's own compiler and registers."""
    return solved(build_kernel(text, inputs=["rate"], portable=True))


@pytest.mark.skipif(not X86, reason="the flags are those of x86")
@pytest.mark.parametrize(
    ("name", "width"),
    [
        *((name, width) for name in ("gcc", "clang") for width in WIDTHS),
        ("zig", "AVX-512"),
        ("zig", "AVX2"),
        ("zig", "SSE2"),
    ],
)
def test_portable_bits_are_those_of_every_compiler_and_width(
    text: str, want: np.ndarray, kernel_of: object, name: str, width: str
) -> None:
    lanes, flags, feature = WIDTHS[width]
    if name not in COMPILERS:
        pytest.skip(f"{name} is not here")
    if feature not in PROCESSOR:
        pytest.skip(f"this processor has no {feature}; that it compiles is asked below")
    kernel = kernel_of(text, name, lanes, flags, 2 if width == "AVX2" else 1)  # type: ignore[operator]
    assert kernel.lanes == lanes
    np.testing.assert_array_equal(solved(kernel), want)


@pytest.mark.skipif(not X86, reason="the flags are those of x86")
@pytest.mark.parametrize("name", ["gcc", "clang", "zig"])
def test_the_fast_kernel_agrees_whoever_compiled_it(text: str, want: np.ndarray, kernel_of: object, name: str) -> None:
    """Contraction and libm move last bits, and no more."""
    if name not in COMPILERS:
        pytest.skip(f"{name} is not here")
    kernel = kernel_of(text, name, 2, ("-ffp-contract=fast",), portable=False)  # type: ignore[operator]
    found = kernel.solve(rows_of(kernel.defaults), TIMES, threads=1).values.ravel()
    np.testing.assert_allclose(found, want[: found.size], rtol=1e-4, atol=1e-6)


@pytest.mark.skipif(not X86, reason="the flags are those of x86")
@pytest.mark.parametrize("portable", [True, False])
@pytest.mark.parametrize("width", ["AVX-512", "one lane"])
@pytest.mark.parametrize("name", ["gcc", "clang"])
def test_every_width_compiles(text: str, tmp_path: Path, name: str, width: str, portable: bool) -> None:
    if name not in COMPILERS:
        pytest.skip(f"{name} is not here")
    lanes, flags, _ = WIDTHS[width]
    written = write_source(read_system(text), inputs=["rate"], portable=portable)
    assert compile_object((*COMPILERS[name], *flags), written, lanes, tmp_path).stat().st_size > 0


def compile_object(command: Sequence[str], source: Source, lanes: int, folder: Path) -> Path:
    """Compile the text to an object file; what the compiler warns of stays visible."""
    (folder / "kernel.c").write_text(f"#define W {lanes}\n{source.text}", encoding="utf-8")
    built = folder / "kernel.o"
    flags = [flag for flag in build.FLAGS if flag != "-shared"]
    line = [*command, *flags, *PLAIN, "-O1", "-c", str(folder / "kernel.c"), "-o", str(built)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[:2000]
    return built


# --- another processor -----------------------------------------------------------------------------------------------

needs_zig = pytest.mark.skipif("zig" not in COMPILERS, reason="ziglang compiles for other processors, and is not here")
DRIVER = """
#include <stdio.h>
int main(void) {
  static double out[ROWS * NTIMES * NOUT], last[ROWS * NS], fail[ROWS];
  static int status[ROWS * 3];
  Task task = { .subjects = ROWS, .parameter_stride = NPAR, .times = NTIMES, .outputs = NOUT, .max_steps = 200000,
    .end = times[NTIMES - 1], .rtol = 1e-6, .max_step = __builtin_inf(), .parameters = rows, .time = times,
    .atol = tolerances, .which = which, .out = out, .last = last, .fail_time = fail, .status = status };
  if (run_task(&task)) return 1;
  fwrite(out, sizeof out, 1, stdout);
  fwrite(last, sizeof last, 1, stdout);
  fwrite(status, sizeof status, 1, stdout);
  return 0;
}
"""


def numbers(values: np.ndarray, kind: str = "double", name: str = "") -> str:
    """An array in C, to the last bit."""
    shown = ", ".join(float(v).hex() if kind == "double" else str(v) for v in values.ravel())
    return f"static const {kind} {name}[] = {{ {shown} }};\n"


def program_of(source: Source, lanes: int) -> str:
    """The text with a main that solves the same subjects and writes the numbers out."""
    counts = {"ROWS": SUBJECTS, "NTIMES": len(TIMES), "NOUT": len(source.outputs), "NPAR": len(source.parameters)}
    heads = "".join(f"#define {name} {value}\n" for name, value in counts.items())
    tables = numbers(rows_of(source.defaults), name="rows") + numbers(TIMES, name="times")
    tables += numbers(np.full(len(source.states), 1e-9), name="tolerances")
    tables += numbers(np.arange(len(source.outputs)), "int", "which")
    return f"#define W {lanes}\n{source.text}\n{heads}{tables}{DRIVER}"


@needs_zig
@pytest.mark.slow
@pytest.mark.parametrize("target", ["aarch64-linux-gnu", "aarch64-macos", "riscv64-linux-gnu"])
def test_it_compiles_for_other_processors(source: Source, tmp_path: Path, target: str) -> None:
    built = compile_object((*COMPILERS["zig"], "-target", target), source, 2, tmp_path)
    assert built.stat().st_size > 10_000


@needs_zig
@pytest.mark.parametrize("lanes", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_an_arm_processor_gives_the_portable_bits(source: Source, want: np.ndarray, tmp_path: Path, lanes: int) -> None:
    emulator = next((found for name in ("qemu-aarch64-static", "qemu-aarch64") if (found := shutil.which(name))), None)
    if emulator is None and platform.machine() not in ("aarch64", "arm64"):
        pytest.skip("no aarch64 here, neither a processor nor an emulator (qemu-user)")
    path, built = tmp_path / "solve.c", tmp_path / "solve"
    path.write_text(program_of(source, lanes), encoding="utf-8")
    flags = [flag for flag in build.FLAGS if flag not in ("-shared", "-fPIC")]
    line = [*COMPILERS["zig"], "-target", "aarch64-linux-musl", "-static", *flags, *PLAIN, "-O1"]
    done = subprocess.run([*line, str(path), "-o", str(built), "-lm"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[:2000]
    said = subprocess.run([*([emulator] if emulator else []), str(built)], capture_output=True, check=True).stdout
    reals = SUBJECTS * (len(TIMES) * len(source.outputs) + len(source.states))
    got = np.frombuffer(said[: 8 * reals])
    status = np.frombuffer(said[8 * reals :], dtype=np.int32).reshape(SUBJECTS, 3)
    np.testing.assert_array_equal(np.concatenate([got, status[:, 1]]), want)


# --- the text itself -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("portable", [True, False])
def test_the_text_is_plain_c_with_vectors(case: Case, portable: bool) -> None:
    """No header of a processor, no assembly; a processor's own functions stand where the compiler says it has them."""
    model = case.mechanism("none", ["ketamine"])
    written = write_source(read_system(model.sbml), inputs=model.inputs, portable=portable).text
    written = re.sub(r"/\*.*?\*/", "", written, flags=re.DOTALL)
    assert set(re.findall(r"#\s*include\s*<([^>]*)>", written)) == {"math.h", "stdlib.h", "string.h"}
    assert not re.search(r"\basm\b|__asm|#\s*pragma|immintrin|arm_neon|_mm\d*_", written)
    own = re.findall(r"__builtin_(?:ia32|neon|altivec|msa)\w*", written)
    guarded = "".join(re.findall(r"__has_builtin\(\w+\)", written))
    assert all(f"({name})" in guarded for name in own)
    assert "ketamine" not in written


def test_no_file_of_the_kernel_asks_for_a_processor() -> None:
    for path in (*KERNEL.glob("*.h"), *KERNEL.glob("*.py")):
        code = re.sub(r"/\*.*?\*/", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        assert not re.search(r"#\s*include\s*[<\"](?:immintrin|arm_neon|x86intrin|\w*mmintrin)", code), path


def test_the_native_target_fits_the_processor() -> None:
    for portable in (False, True):
        target = native_target(portable=portable)
        assert target.lanes == (8 if "avx512f" in PROCESSOR else 4 if "avx2" in PROCESSOR else 2)
        assert ("-ffp-contract=off" in target.flags) == portable


# --- where no compiler is installed ----------------------------------------------------------------------------------


@needs_zig
def test_the_extra_compiler_is_enough(text: str, tmp_path: Path) -> None:
    """The command line with nothing on the PATH, in a folder that holds a module named as the compiler's."""
    (tmp_path / "ziglang").mkdir()
    for name in ("__init__", "__main__"):
        (tmp_path / "ziglang" / f"{name}.py").write_text("raise SystemExit('the folder we stand in is no package')")
    model = tmp_path / "model.xml"
    model.write_text(text)
    settings = {k: v for k, v in os.environ.items() if k != "CC"} | {
        "PATH": str(tmp_path),
        "ANTAGONY_CACHE": str(tmp_path / "cache"),
    }
    line = [
        str(Path(sys.executable).with_name("antagony")),
        "simulate",
        "model.xml",
        "--until",
        "12",
        "--out",
        "run.csv",
    ]
    done = subprocess.run(line, capture_output=True, text=True, check=False, env=settings, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "engine: kernel" in done.stdout
    assert len((tmp_path / "run.csv").read_text().splitlines()) == 102
