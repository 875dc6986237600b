"""The page docs/reference/speed.md, rendered from build/bench.json."""

from __future__ import annotations

from typing import Any

NAMES = {
    "over_libroadrunner": "times libRoadRunner at comparable error, bench model",
    "over_best_other": "times the best other engine at comparable error, bench model",
    "two_threads": "two threads over one",
    "many_doses": "28 doses of each drug, over 2,373 trajectories/s a core",
}
HEAD = """# Speed beside other solvers

Rendered from `build/bench.json` by `python benchmarks/bench.py --write-docs`; edit nothing here.

{date}, {machine}, {rounds} rounds. Command: `{command}` (`make bench`). Versions: {versions}.

## How to read it

Every engine solves the same subjects for all states at the same times, in a process of its own, pinned to one core; the
engines take turns, and a speed is the median over the rounds, with quartiles. *Error*: for each subject the largest
|y - reference| over times and states, each state over its own largest value; then the median and the 99th percentile
over subjects. The reference is the kernel at rtol 1e-11, which libRoadRunner at 1e-10 confirms. Absolute tolerances are
a thousandth of the relative ones, for all engines and states alike.

Equal tolerances do not mean equal errors. A *ratio* is therefore the speed of our fastest setting whose median error is
no larger than the engine's, over the engine's speed: how much longer the engine takes for an answer no better. Failed
subjects are counted, and count in the speed, not in the error; above one in a hundred there is no ratio. *Start*:
imports, loading or compiling the model, and the first subject, with the engine's caches empty, then full. *Memory*: the
highest of the process above what it held once the engine was imported, for its own batch. A ratio moves by a tenth or
so from run to run, more on a busy machine.
"""

BOUNDS = """## What bounds it

- **Vectors.** The promises were set for a processor whose vectors hold eight numbers. The table above is of one whose
  vectors hold four. A first version of the kernel, measured with both on one processor, reached 0.68 of its speed with
  four; no processor with eight was at hand to measure this one.
- **Where the time goes**, bench model, measured apart: rates and their powers 43 to 46 %, Jacobian's factors, stages
  and step control 36 %, triangular solves 17 %. Some 10,000 operations a step reach about a third of the multiply-add
  peak.
- **Instructions, not waiting.** The rates of four subjects are 762 instructions and take 107 ns, 2.2 a cycle; without
  their exponentials 545 and 68 ns, without their logarithms 508 and 59 ns: the time goes with the count, and divisions
  are not what holds it up (without them 813 and 101 ns). Two such groups, statement by statement side by side, took
  107 ns each, so no chain waits for itself. Of the 762, 440 read memory, as a processor with 16 registers must: 238 for
  constants, most of them of the powers' polynomials, 56 for what was put aside. These are pieces of the kernel on their
  own, measured beside other work, best of many, by programs that were not kept.
- **Tried without gain:** powers side by side by twos, threes, fours and sevens, so that they share constants (0.93 to
  1.00); eight subjects, two registers each (clang, 0.80 to 0.90 of gcc's speed; with four, on an earlier day, 0.96);
  some twenty settings of gcc for registers and order, -O3; other step control (Gustafsson, other safety factors), other
  first steps, solves written out in line.
- **Two threads** share out blocks that shrink towards the end. At 2,048 subjects, a tenth of a second of work, the last
  blocks and the start of the threads are felt (1.7 to 1.8, measured apart); at 8,192 they are not.
- **28 doses of each drug** are 84 discontinuities in two weeks, each with a first step of its own. What the promise
  counts from ran on the processor with eight. Measured apart and earlier, side by side on this one at rtol 1e-4: the
  first version of the kernel 1,094 trajectories/s, this kernel 1.7 times as many.
- **The first run** of a mechanism is spent on its symbols and in the C compiler; the kernel is then kept.
"""


def render(found: dict[str, Any]) -> str:
    """The whole page."""
    versions = ", ".join(f"{name} {value}" for name, value in found["versions"].items())
    facts = {key: found[key] for key in ("date", "machine", "rounds", "command")}
    parts = [HEAD.format(versions=versions, **facts), _targets(found)]
    parts += [_model(model) for model in found["models"].values()]
    parts += [_cores(found), BOUNDS, _configured(found)]
    return "\n".join(parts)


def _targets(found: dict[str, Any]) -> str:
    rows = ["## Promises", "", "| promise | target | measured |", "|---|---|---|"]
    for key, name in NAMES.items():
        measured = found["targets"][key]["measured"]
        shown = "not asked" if measured is None else f"{measured:.3g}"
        rows.append(f"| {name} | >= {found['targets'][key]['target']:g} | {shown} |")
    return "\n".join([*rows, "", f"Best other engine: {found['targets']['best_other']}, at its rtol 1e-6.", ""])


def _model(model: dict[str, Any]) -> str:
    rows = [f"## {model['title'][:1].upper()}{model['title'][1:]}", "", f"Source: {model['source']}."]
    if model.get("reference_gap") is not None:
        rows.append(f"The reference and libRoadRunner at 1e-10 differ by {model['reference_gap']:.1e} (median of 4).")
    rows += ["", "| engine | rtol | trajectories/s [quartiles] | error (p99) | failed | ratio (our rtol) |"]
    rows.append("|---|---|---|---|---|---|")
    for name, engine in model["engines"].items():
        for rtol, entry in engine["settings"].items():
            rows.append(f"| {name} | {rtol} | {_entry(entry)} | {_ratio(model, name, rtol)} |")
    rows += ["", "| engine | start, caches empty | again | memory |", "|---|---|---|---|"]
    for name, e in model["engines"].items():
        rows.append(f"| {name} | {e['cold_seconds']:.2f} s | {e['again_seconds']:.2f} s | {e['memory_mb']:.0f} MB |")
    rows += ["", *(f"- {name}: skipped, {reason}" for name, reason in model["skipped"].items())]
    if peak := model.get("peak"):
        rows.append(
            f"\nOurs at rtol 1e-6 does {100 * peak['fraction_of_fma_peak']:.0f} % of the core's multiply-add peak "
            f"({peak['peak_flops'] / 1e9:.0f} GFLOP/s measured): {peak['steps']:.0f} steps of "
            f"{peak['operations_per_step']:.0f} operations, counted by the rule in `benchmarks/peak.py`."
        )
    return "\n".join([*rows, ""])


def _entry(entry: dict[str, Any]) -> str:
    low, high = entry["quartiles"]
    speed = f"{entry['trajectories_per_s']:.1f} [{low:.1f}..{high:.1f}]"
    errors = f"{entry['error_median']:.1e} ({entry['error_p99']:.1e})"
    return f"{speed} | {errors} | {entry['failed']} of {entry['subjects']}"


def _ratio(model: dict[str, Any], name: str, rtol: str) -> str:
    if name == "antagony":
        return ""
    row = model["comparable_error"][name][rtol]
    if "ratio" in row:
        return f"{row['ratio']:.1f} ({row['against']})"
    return "no answer" if row["failed"] > row["subjects"] / 100 else "none of ours is as accurate"


def _cores(found: dict[str, Any]) -> str:
    if not (gains := found.get("two_cores")):
        return ""
    said = ", ".join(f"{name} {gain:.2f}" for name, gain in gains.items())
    return f"## Two cores over one\n\nTwo threads of ours, two processes of the others: {said}.\n"


def _configured(found: dict[str, Any]) -> str:
    rows = [f"- **{name}**: {text}." for name, text in found["configured"].items()]
    run = (
        "`make bench` measures everything (some 25 minutes with all engines) and exits 1 on a missed promise; "
        '`ARGS="--quick"` looks at the bench model in under a minute; `--only ENGINE`, `--model NAME` and `--rounds N` '
        "choose. "
        "Engines that are not installed are skipped by name. AMICI and numbalsoda are built from source "
        "(`pip install amici numbalsoda`) and need a C++ and a Fortran compiler, swig, cmake, a BLAS and HDF5; with "
        "the system's cmake, `pip install scikit-build; pip install --no-build-isolation numbalsoda` takes seconds."
    )
    return "\n".join(["## How each engine is configured", "", *rows, "", "## How to run it", "", run, ""])
