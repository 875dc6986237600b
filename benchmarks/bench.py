"""Speed beside other solvers, as ratios from one interleaved run; error against a tight reference beside every speed.

    ratio = speed of the fastest antagony setting whose median error is no larger than the engine's / the engine's speed

Every engine lives in a process of its own, pinned to one core, and is asked in turn, round after round; speeds are
medians. Writes build/bench.json. Usage: python benchmarks/bench.py [--rounds 5] [--only NAME ...]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import subprocess
import sys
import tempfile
import time
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
import engines
from problem import error, make_problem

ROOT = Path(__file__).resolve().parent.parent
SUBJECTS = 2048
OURS = ("antagony 1e-4", "antagony 1e-5", "antagony 1e-6")
ENGINES: dict[str, tuple[str, float, int]] = {  # name: adapter, rtol, subjects a round
    "antagony 1e-4": ("antagony", 1e-4, 2048),
    "antagony 1e-5": ("antagony", 1e-5, 2048),
    "antagony 1e-6": ("antagony", 1e-6, 2048),
    "libroadrunner 1e-6": ("libroadrunner", 1e-6, 128),
    "numbalsoda 1e-6": ("numbalsoda", 1e-6, 128),
    "pydiffsol BDF 1e-6": ("pydiffsol", 1e-6, 128),
    "AMICI 1e-6": ("amici", 1e-6, 128),
}


def work(adapter: str, rtol: float, subjects: int, doses: int, reference: str, pipe: Connection) -> None:
    """An engine's process: say how accurate it is, then time one batch whenever asked."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # CVODE warns by the thousand
    try:
        make = getattr(engines, adapter)
        solve = make(rtol, doses) if adapter == "libroadrunner" else make(rtol)
        problem = make_problem(SUBJECTS, doses).take(subjects)
        values = solve(problem)
    except Exception as fault:
        pipe.send({"skipped": f"{type(fault).__name__}: {str(fault).splitlines()[0][:120]}"})
        return
    sound = np.isfinite(values).all(axis=(1, 2))
    median, p99 = error(values[sound], np.load(reference)[:subjects][sound])
    pipe.send({"error_median": median, "error_p99": p99, "failed": int((~sound).sum())})
    while pipe.recv():
        begun = time.perf_counter()
        solve(problem)
        pipe.send(subjects / (time.perf_counter() - begun))


def compare(doses: int, rounds: int, only: list[str]) -> dict[str, dict[str, Any]]:
    """Interleaved rounds over all engines; speeds [trajectories/s, one core], errors, failures."""
    with tempfile.TemporaryDirectory() as scratch:
        path = str(Path(scratch) / "reference.npy")
        np.save(
            path, engines.antagony(1e-11, threads=2)(make_problem(SUBJECTS, doses).take(512 if doses > 2 else SUBJECTS))
        )
        context, workers, found = multiprocessing.get_context("spawn"), {}, {}
        for name, (adapter, rtol, subjects) in ENGINES.items():
            if only and name not in only:
                continue
            ours, theirs = context.Pipe()
            count = min(subjects, 512) if doses > 2 else subjects
            process = context.Process(target=work, args=(adapter, rtol, count, doses, path, theirs), daemon=True)
            process.start()
            said = ours.recv()
            if "skipped" in said:
                print(f"  {name}: skipped, {said['skipped']}")
                process.join()
                continue
            workers[name], found[name] = (ours, process), {**said, "speeds": []}
        for _ in range(rounds):
            for name, (pipe, _process) in workers.items():
                pipe.send(True)
                found[name]["speeds"].append(pipe.recv())
        for pipe, process in workers.values():
            pipe.send(False)
            process.join()
    for entry in found.values():
        entry["trajectories_per_s"] = float(np.median(entry["speeds"]))
    return found


def check_reference(doses: int = 2) -> float:
    """The kernel at rtol 1e-11 against libRoadRunner at 1e-10 on a few subjects: median error of either."""
    problem = make_problem(SUBJECTS, doses).take(8)
    ours, theirs = engines.antagony(1e-11)(problem), engines.libroadrunner(1e-10, doses)(problem)
    sound = np.isfinite(theirs).all(axis=(1, 2))
    return error(theirs[sound], ours[sound])[0]


def comparable(found: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Each peer's ratio at comparable error, and which setting of ours it was measured against."""
    table = {}
    for name, entry in found.items():
        if name in OURS:
            continue
        fits = [o for o in OURS if o in found and found[o]["error_median"] <= entry["error_median"]]
        mine = max(fits, key=lambda o: found[o]["trajectories_per_s"], default="")
        if not mine:
            print(f"  {name}: no setting of ours is as accurate; no ratio")
            continue
        keys = ("trajectories_per_s", "error_median", "error_p99", "failed")
        ratio = found[mine]["trajectories_per_s"] / entry["trajectories_per_s"]
        table[name] = {"ratio": ratio, "against": mine, **{k: entry[k] for k in keys}}
    return table


START_UP = """
import time
began = time.perf_counter()
import antimony, libsbml, sympy, xarray
from antagony.case import open_case
from antagony.simulation import simulate
case = open_case()
arm = {"a": case.regimen("naltrexone 50 mg po at -45 min; ketamine 0.5 mg/kg iv over 40 min")}
begun = time.perf_counter()
def once():
    case._composed.clear()
    mechanism = case.mechanism("camp_crosstalk", ["ketamine", "naltrexone"])
    simulate(mechanism, arm, [0.0, 1.0, 24.0], outputs=["score"])
once()
cold, first = time.perf_counter() - begun, time.perf_counter() - began
begun = time.perf_counter()
once()
print(cold, time.perf_counter() - begun, first)
"""


def start_up(rounds: int = 3) -> dict[str, float]:
    """Seconds from model text to first result, nothing cached (libraries loaded: joining, symbols, compiler, run); the
    same again in that process; of the import; and from the start of Python's work, all libraries and the case included.
    """
    cold, cached, imports, first = [], [], [], []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as cache:
            environment = {**os.environ, "ANTAGONY_CACHE": cache}
            run = [sys.executable, "-c", START_UP]
            printed = subprocess.run(run, env=environment, capture_output=True, text=True, check=True).stdout.split()
        cold.append(float(printed[0]))
        cached.append(float(printed[1]))
        first.append(float(printed[2]))
        timer = "import time; t = time.perf_counter(); import antagony; print(time.perf_counter() - t)"
        run = [sys.executable, "-c", timer]
        imports.append(float(subprocess.run(run, capture_output=True, text=True, check=True).stdout))
    medians = (float(np.median(x)) for x in (cold, cached, imports, first))
    return dict(zip(("cold_seconds", "cached_seconds", "import_seconds", "first_seconds"), medians, strict=True))


def versions() -> dict[str, str]:
    """Versions of everything that took part."""
    found = {"python": platform.python_version()}
    for name in ("antagony", "numpy", "libroadrunner", "numba", "numbalsoda", "pydiffsol"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def show(title: str, found: dict[str, dict[str, Any]], table: dict[str, dict[str, Any]]) -> None:
    """Print one scenario: every engine, then the ratios."""
    print(f"\n{title}")
    for name, e in found.items():
        span = f"[{min(e['speeds']):.0f}..{max(e['speeds']):.0f}]"
        lost = f", {e['failed']} failed" if e["failed"] else ""
        print(
            f"  {name:20s} {e['trajectories_per_s']:9.0f}/s {span:18s} "
            f"error {e['error_median']:.1e} (p99 {e['error_p99']:.1e}){lost}"
        )
    for name, e in table.items():
        print(f"  {name:20s} {e['ratio']:6.1f} times slower than {e['against']} at comparable error")


def main() -> int:
    """Run both scenarios, print, and write build/bench.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="*", default=[])
    arguments = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, one used; {date.today().isoformat()}")
    gap = check_reference()
    print(f"reference: kernel at 1e-11 and libRoadRunner at 1e-10 differ by {gap:.1e} (median of 8 subjects)")
    two = compare(2, arguments.rounds, arguments.only)
    table = comparable(two)
    show("2 doses of each drug, 336 h, 50 times, 23 states", two, table)
    many = compare(28, max(3, arguments.rounds // 2), [*OURS, "libroadrunner 1e-6"])
    show("28 doses of each drug, 12 h apart", many, comparable(many))
    begun = start_up()
    print("\n" + ", ".join(f"{k.removesuffix('_seconds')} {v:.2f} s" for k, v in begun.items()))
    others = {n: e["ratio"] for n, e in table.items() if not n.startswith("libroadrunner")}
    best = min(others, key=others.__getitem__, default="none")
    result = {
        "date": date.today().isoformat(),
        "machine": platform.platform(),
        "versions": versions(),
        "reference_gap": gap,
        "comparable_error": table,
        "engines": two,
        "many_doses": many,
        "over_libroadrunner": table.get("libroadrunner 1e-6", {}).get("ratio", 0.0),
        "over_best_other": others.get(best, 0.0),
        "best_other": best,
        **begun,
    }
    out = ROOT / "build" / "bench.json"
    out.parent.mkdir(exist_ok=True)
    part = out.with_suffix(".part")
    part.write_text(json.dumps(result, indent=1), encoding="utf-8")
    part.replace(out)
    print(
        f"targets: libRoadRunner {result['over_libroadrunner']:.0f}x (40), best other ({best}) "
        f"{result['over_best_other']:.0f}x (18); written to {out.relative_to(ROOT)}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
