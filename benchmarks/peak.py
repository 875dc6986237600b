"""Share of the processor's multiply-add peak that the kernel reaches, by a count of its generated text.

Rule. One operation is one `+`, `-`, `*` or `/` between values in the generated C of a step; a sum and a product that
the compiler joins count as two. A step is, a lane: 1 x `rates_and_factor`, 7 x `rates`, 8 x `solve`, the stage sums
(2 x 28 pairs of stages, a state each); a trajectory adds 8 operations a state and time shown for the dense output. A
call of another function (powers, reciprocals) counts as the operations of its own text. Peak: a loop of independent
multiply-adds over the same vectors, same compiler, counted as two operations each. Not counted: step control, masks.
"""

from __future__ import annotations

import ctypes
import re
import subprocess
import tempfile
from pathlib import Path

from problem import Model

STAGES = 8
LOOP = """
#include <time.h>
typedef double V __attribute__((vector_size(8 * W)));
#define EACH(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11)
#define BEGIN(i) V a##i = (V){0} + i;
#define MULTIPLY_ADD(i) a##i = a##i * m + c;
#define SUM(i) sum += a##i;
double peak(long rounds) {
  V m = (V){0} + 0.999999, c = (V){0} + 1e-6, sum = (V){0};
  EACH(BEGIN)
  struct timespec s, e;
  clock_gettime(CLOCK_MONOTONIC, &s);
  for (long r = 0; r < rounds; r++) { EACH(MULTIPLY_ADD) }
  clock_gettime(CLOCK_MONOTONIC, &e);
  EACH(SUM)
  volatile double sink = sum[0];
  (void)sink;
  return 12.0 * W * 2 * rounds / ((e.tv_sec - s.tv_sec) + 1e-9 * (e.tv_nsec - s.tv_nsec));
}
"""


def measure_peak() -> float:
    """Multiply-add operations a second on one core, the best of five."""
    from antagony.kernel.build import find_compiler, native_target

    target, compiler = native_target(), find_compiler()
    with tempfile.TemporaryDirectory() as scratch:
        source, library = Path(scratch) / "peak.c", Path(scratch) / "peak.so"
        source.write_text(f"#define W {target.lanes}\n{LOOP}", encoding="utf-8")
        command = [*compiler.command, *target.flags, "-O2", str(source), "-o", str(library)]
        subprocess.run(command, check=True, capture_output=True)
        loaded = ctypes.CDLL(str(library))
        loaded.peak.restype, loaded.peak.argtypes = ctypes.c_double, [ctypes.c_long]
        return max(loaded.peak(10_000_000) for _ in range(5))


def operations_of_step(model: Model) -> float:
    """Operations of one step of one subject by the rule above, dense output apart."""
    text = _generated(model)
    pieces = {name: _operations(text, name) for name in ("rates", "rates_and_factor", "solve")}
    states = len(model.states)
    return (
        pieces["rates_and_factor"]
        + (STAGES - 1) * pieces["rates"]
        + STAGES * pieces["solve"]
        + 2 * 2 * states * STAGES * (STAGES - 1) / 2
    )


def operations_of_output(model: Model) -> float:
    """Operations of the dense output of one subject: 8 a state and time."""
    return 8.0 * len(model.states) * model.times.size


def steps_of(model: Model, problem: object, rtol: float) -> float:
    """Mean number of steps that a subject takes, rejected ones included."""
    from engines.antagony import follow

    solution = follow(model, problem, rtol)  # pyright: ignore[reportArgumentType]
    return float((solution.steps + solution.rejected).mean())


def _generated(model: Model) -> str:
    from antagony.kernel.c_source import write_source
    from antagony.kernel.symbolic import read_system

    return write_source(read_system(model.sbml), inputs=list(model.inputs), outputs=None, portable=False).text


def _operations(text: str, name: str) -> float:
    """Operators between values in a function's body, with those of every function of the text that it calls."""
    body = re.sub(r"/\*.*?\*/|K\([^()]*\)", "k", _body(text, name), flags=re.DOTALL)
    called = [c for c in re.findall(r"\b([a-z_]+)\(", body) if c != name and _defined(text, c)]
    own = len(re.findall(r"(?<=[\w)\]])\s*[-+*/]=?\s*(?=[\w(-])", body))
    return own + sum(_operations(text, c) for c in called)


def _defined(text: str, name: str) -> re.Match[str] | None:
    return re.search(rf"^(?:static|INLINE|OUTLINE)[^\n;=]*\b{name}\([^;{{]*\) \{{", text, re.MULTILINE)


def _body(text: str, name: str) -> str:
    """Text of a function between its braces; raises ValueError where there is none."""
    if not (found := _defined(text, name)):
        raise ValueError(f"the generated text has no function {name}")
    depth, at = 1, found.end()
    while depth:
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        at += 1
    return text[found.end() : at]
