"""Speed beside other solvers, as ratios from one interleaved run; error against a tight reference beside every speed.

    ratio = speed of the fastest antagony setting whose median error is no larger than the engine's / the engine's speed

Every engine lives in a process of its own, pinned to one core, and is asked in turn, round after round; speeds are
medians with quartiles. Writes build/bench.json and prints target against measured; exits 1 on a miss.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import pickle
import platform
import shlex
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
import peak
import speed_page
from engines.antagony import follow
from problem import MODELS, Model, Problem, bench_model, error, make_problem
from worker import Order, Worker

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "build" / "bench.json"
SUBJECTS = 2048  # of ours a round; peers take as many as they do in about a second
PAIRED = 8192  # of ours on one core and on two: about as long as the 32 of a peer take
OUR_TOLERANCES = (1e-3, 5e-4, 2e-4, 1e-4, 5e-5, 2e-5, 1e-5, 5e-6, 2e-6, 1e-6, 5e-7, 2e-7, 1e-7, 2e-8, 1e-8)
THEIR_TOLERANCES = (1e-4, 1e-6, 1e-8)
HEADLINE = 1e-6  # the tolerance of a peer at which targets are judged; the others stand beside it
PEERS = ("libroadrunner", "amici", "copasi", "numbalsoda", "diffsol", "diffrax")
MOST, FEWEST = 128, 8  # subjects of a peer a round
TARGETS = {"over_libroadrunner": 75.0, "over_best_other": 40.0, "two_threads": 1.9, "many_doses": 3.0}
ONCE = 2373.0  # trajectories/s a core that 28 daily doses ran at, rtol 1e-4, when the target was set
KEYS = ("trajectories_per_s", "quartiles", "error_median", "error_p99", "failed", "subjects")


@dataclass(frozen=True)
class Plan:
    """What a run asks: rounds, models, engines, tolerances of ours and theirs, subjects, whether starts are doubled."""

    rounds: int
    models: tuple[str, ...]
    engines: tuple[str, ...]
    ours: tuple[float, ...] = OUR_TOLERANCES
    theirs: tuple[float, ...] = THEIR_TOLERANCES
    subjects: int = SUBJECTS
    quick: bool = False


def say(text: str) -> None:
    """Progress, apart from the results."""
    print(text, file=sys.stderr, flush=True)


def compare(model: Model, problem: Problem, plan: Plan, scratch: Path) -> dict[str, Any]:
    """All engines over one model: starts, speeds, errors, failures, memory; {"engines", "skipped"}."""
    reference = follow(model, problem, 1e-11, threads=os.cpu_count() or 1).values
    file = scratch / f"{model.name}.pickle"
    file.write_bytes(pickle.dumps((model, problem, reference)))
    workers, engines, skipped = {}, {}, {}
    for name in plan.engines:
        say(f"{model.name}: starting {name}")
        worker, begun = _start(name, file, scratch, plan)
        if worker is None:
            skipped[name] = begun["skipped"]
            continue
        workers[name] = worker
        engines[name] = {**begun, "settings": _accuracy(worker, name, plan)}
    _time_rounds(workers, engines, plan, model.name)
    for name, worker in workers.items():
        engines[name]["memory_mb"] = worker.ask("memory")
        worker.close()
    return {"title": model.title, "source": model.source, "engines": engines, "skipped": skipped}


def _start(name: str, file: Path, scratch: Path, plan: Plan) -> tuple[Worker | None, dict[str, Any]]:
    """An engine's process, and how long it took to its first result, with its caches empty and full."""
    if importlib.util.find_spec(f"engines.{name}") is None:
        raise SystemExit(f"no engine named {name}; there are antagony, {', '.join(PEERS)}")
    order = Order(name, 1, (first_core(),), str(file), str(scratch / "built"))
    worker = Worker(order)
    begun = {"cold_seconds": worker.begun.get("start_seconds"), "skipped": worker.begun.get("skipped")}
    if begun["skipped"]:
        worker.close()
        return None, begun
    if not plan.quick:
        worker.close()
        worker = Worker(order)
    again = worker.begun.get("start_seconds")
    return worker, {"cold_seconds": begun["cold_seconds"], "again_seconds": again}


def _accuracy(worker: Worker, name: str, plan: Plan) -> dict[str, Any]:
    """Errors of each tolerance, from as many subjects as will be timed."""
    settings = {}
    for rtol in plan.ours if name == "antagony" else plan.theirs:
        subjects = plan.subjects
        if name != "antagony":
            few = worker.ask("error", rtol, FEWEST)
            subjects = int(np.clip(FEWEST / max(few["seconds"], 1e-9), FEWEST, min(MOST, plan.subjects)))
        said = worker.ask("error", rtol, subjects)
        said.pop("seconds")
        settings[f"{rtol:g}"] = {**said, "subjects": subjects, "speeds": []}
    return settings


def _time_rounds(workers: dict[str, Worker], engines: dict[str, Any], plan: Plan, title: str) -> None:
    for i in range(plan.rounds):
        say(f"{title}: round {i + 1} of {plan.rounds}")
        for name, worker in workers.items():
            for rtol, entry in engines[name]["settings"].items():
                seconds = worker.ask("seconds", float(rtol), entry["subjects"])
                entry["speeds"].append(entry["subjects"] / seconds)
    for engine in engines.values():
        for entry in engine["settings"].values():
            summarise(entry)


def summarise(entry: dict[str, Any]) -> None:
    """Median and quartiles of an entry's speeds."""
    entry["trajectories_per_s"] = float(np.median(entry["speeds"]))
    entry["quartiles"] = [float(q) for q in np.quantile(entry["speeds"], (0.25, 0.75))]


def comparable(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Each peer's ratio at each of its tolerances at comparable error, and the setting of ours it is measured against.

    Where no setting of ours is as accurate, or the peer failed for more than one subject in a hundred, the ratio is
    absent, never guessed.
    """
    ours = {rtol: entry for rtol, entry in found["antagony"]["settings"].items() if sound(entry)}
    table: dict[str, dict[str, Any]] = {}
    for name, engine in found.items():
        for rtol, entry in engine["settings"].items() if name != "antagony" else ():
            fits = [o for o in ours if ours[o]["error_median"] <= entry["error_median"]]
            row = {key: entry[key] for key in KEYS if key in entry}
            if fits and sound(entry):
                mine = max(fits, key=lambda o: ours[o]["trajectories_per_s"])
                row |= {"against": mine, "ratio": ours[mine]["trajectories_per_s"] / entry["trajectories_per_s"]}
            table.setdefault(name, {})[rtol] = row
    return table


def sound(entry: dict[str, Any]) -> bool:
    """Whether at most one subject in a hundred failed, so that speed and error speak of the same answer."""
    return bool(np.isfinite(entry["error_median"])) and entry["failed"] <= entry["subjects"] / 100


def first_core() -> int:
    """The core that all single-core engines share, one after another."""
    return min(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0


def time_pairs(names: list[str], plan: Plan, scratch: Path) -> dict[str, float]:
    """Speed on two cores over that on one, interleaved: two threads of ours, two processes of each peer."""
    cores = sorted(os.sched_getaffinity(0))[:2] if hasattr(os, "sched_getaffinity") else []
    if len(cores) < 2:
        return {}
    most = min(PAIRED, 4 * plan.subjects)
    file = scratch / "pairs.pickle"
    file.write_bytes(pickle.dumps((bench_model(), make_problem(most), None)))
    gains = {}
    for name in names:
        say(f"two cores: {name}")
        order = [Order(name, 1, (core,), str(file), str(scratch / "built")) for core in cores]
        pair = [Worker(order[0]), Worker(order[1])]
        both = Worker(Order(name, 2, tuple(cores), str(file), str(scratch / "built"))) if name == "antagony" else None
        count = most if both else 32
        ratios = []
        for _ in range(plan.rounds + 1):
            one = pair[0].ask("seconds", HEADLINE, count)
            if both:
                ratios.append(one / both.ask("seconds", HEADLINE, count))
                continue
            for worker in pair:
                worker.send("seconds", HEADLINE, count)
            ratios.append(2 * one / max(worker.answer() for worker in pair))
        gains[name] = float(np.median(ratios[1:]))
        for worker in [*pair, *([both] if both else [])]:
            worker.close()
    return gains


def many_doses(plan: Plan) -> dict[str, float]:
    """28 doses of each drug at rtol 1e-4 on one core: trajectories/s, and over what the target counts from."""
    say("28 doses")
    model, problem = bench_model(28), make_problem(min(512, plan.subjects), 28)
    speeds = []
    for _ in range(plan.rounds + 1):
        begun = time.perf_counter()
        follow(model, problem, 1e-4)
        speeds.append(len(problem.varied) / (time.perf_counter() - begun))
    speed = float(np.median(speeds[1:]))
    return {"trajectories_per_s": speed, "over_once": speed / ONCE}


def check_reference(model: Model, problem: Problem) -> float | None:
    """The kernel at rtol 1e-11 against libRoadRunner at 1e-10 on a few subjects: median difference."""
    try:
        from engines.libroadrunner import build
    except ImportError:
        return None
    few = problem.take(4)
    theirs, ours = build(model)(few, 1e-10), follow(model, few, 1e-11).values
    sound = np.isfinite(theirs).all(axis=(1, 2))
    return error(theirs[sound], ours[sound])[0] if sound.any() else None


def share_of_peak(model: Model, problem: Problem, speed: float, rtol: float) -> dict[str, float]:
    """Operations a second of the kernel over the processor's multiply-add peak; the rule stands in peak.py."""
    steps = peak.steps_of(model, problem.take(256), rtol)
    per_step, per_output = peak.operations_of_step(model), peak.operations_of_output(model)
    highest = peak.measure_peak()
    done = (steps * per_step + per_output) * speed
    return {
        "fraction_of_fma_peak": done / highest,
        "peak_flops": highest,
        "operations_per_step": per_step,
        "operations_of_output": per_output,
        "steps": steps,
        "rtol": rtol,
    }


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
    say("start-up of the packaged case")
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
    names = ("antagony", "numpy", "libroadrunner", "amici", "python-copasi", "numba", "numbalsoda", "pydiffsol")
    for name in (*names, "diffrax", "jax"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    from antagony.kernel.build import find_compiler

    return found | {"compiler": find_compiler().identity}


def machine() -> str:
    """Processor, cores, system."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        text = ""
    model = next((line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith("model name")), "")
    return f"{model or platform.machine()}, {os.cpu_count()} cores, {platform.system()}"


def about() -> dict[str, str]:
    """How each engine that is installed is configured."""
    said = {}
    for name in ("antagony", *PEERS):
        try:
            said[name] = importlib.import_module(f"engines.{name}").ABOUT
        except ImportError:
            continue
    return said


def judge(result: dict[str, Any]) -> dict[str, Any]:
    """The four promises: target and measured; absent where they were not asked."""
    table = result["models"].get("bench", {}).get("comparable_error", {})
    head = {name: rows.get(f"{HEADLINE:g}", {}).get("ratio") for name, rows in table.items()}
    others = {name: ratio for name, ratio in head.items() if ratio is not None and name != "libroadrunner"}
    best = min(others, key=others.__getitem__, default="none")
    measured = {
        "over_libroadrunner": head.get("libroadrunner"),
        "over_best_other": others.get(best),
        "two_threads": result.get("two_cores", {}).get("antagony"),
        "many_doses": result.get("many_doses", {}).get("over_once"),
    }
    return {"best_other": best, **{k: {"target": TARGETS[k], "measured": v} for k, v in measured.items()}}


def show_model(found: dict[str, Any]) -> None:
    """Print one model: every engine and tolerance, then the ratios."""
    print(f"\n{found['title']}")
    for name, engine in found["engines"].items():
        print(
            f"  {name}: start {engine['cold_seconds']:.2f} s, again {engine['again_seconds']:.2f} s, "
            f"memory above its imports {engine['memory_mb']:.0f} MB"
        )
        for rtol, e in engine["settings"].items():
            low, high = e["quartiles"]
            row = found["comparable_error"].get(name, {}).get(rtol, {})
            ratio = f", {row['ratio']:.1f} x slower than ours at {row['against']}" if "ratio" in row else ""
            print(
                f"    {rtol:6s} {e['trajectories_per_s']:9.1f}/s [{low:.1f}..{high:.1f}] of {e['subjects']}, error "
                f"{e['error_median']:.1e} (p99 {e['error_p99']:.1e}), {e['failed']} failed{ratio}"
            )
    for name, reason in found["skipped"].items():
        print(f"  {name}: skipped, {reason}")


def show_targets(judged: dict[str, Any]) -> bool:
    """Print target against measured; whether all that were asked are met."""
    names = {
        "over_libroadrunner": "times libRoadRunner at comparable error, bench model",
        "over_best_other": f"times the best other ({judged['best_other']}) at comparable error, bench model",
        "two_threads": "two threads over one",
        "many_doses": f"28 doses over {ONCE:.0f} trajectories/s a core",
    }
    met = True
    for key, what in names.items():
        target, value = judged[key]["target"], judged[key]["measured"]
        met &= value is None or value >= target
        shown = "not asked" if value is None else f"{value:.2f}, {'met' if value >= target else 'MISSED'}"
        print(f"target {what}: >= {target:g}, measured {shown}")
    return met


def measure(plan: Plan) -> dict[str, Any]:
    """All that a plan asks for."""
    result: dict[str, Any] = {"models": {}}
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        (scratch / "built").mkdir(mode=0o700)
        for name in plan.models:
            say(f"{name}: model and subjects")
            make_model, make = MODELS[name]
            model, problem = make_model(), make(plan.subjects)
            found = compare(model, problem, plan, scratch)
            found["reference_gap"] = check_reference(model, problem)
            if "antagony" in found["engines"]:
                found["comparable_error"] = comparable(found["engines"])
                speed = found["engines"]["antagony"]["settings"].get("1e-06")
                if speed:
                    found["peak"] = share_of_peak(model, problem, speed["trajectories_per_s"], 1e-6)
            result["models"][name] = found
        if "bench" in plan.models and "antagony" in plan.engines:
            running = list(result["models"]["bench"]["engines"])
            names = ["antagony"] if plan.quick else running
            result["two_cores"] = time_pairs(names, plan, scratch)
            result["many_doses"] = many_doses(plan)
    if not plan.quick:
        result |= start_up()
    return result


def write_whole(path: Path, text: str) -> None:
    """Write under another name, then rename."""
    path.parent.mkdir(exist_ok=True)
    part = path.with_suffix(path.suffix + ".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def parse(arguments: list[str] | None = None) -> tuple[Plan, bool]:
    """The plan of a command line, and whether the page is to be written."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="timed rounds over all engines")
    names = ", ".join(PEERS)
    parser.add_argument("--only", nargs="*", default=[], metavar="ENGINE", help=f"of {names}; ours is always in")
    parser.add_argument("--model", nargs="*", default=[], help=f"of {', '.join(MODELS)}")
    parser.add_argument("--quick", action="store_true", help="a look: the bench model, few subjects, one tolerance")
    parser.add_argument("--write-docs", action="store_true", help="only render docs/reference/speed.md from the JSON")
    asked = parser.parse_args(arguments)
    if unknown := [name for name in asked.only if name not in (*PEERS, "antagony")]:
        parser.error(f"no engine named {', '.join(unknown)}; there are {', '.join(PEERS)}")
    engines = ("antagony", *(name for name in PEERS if not asked.only or name in asked.only))
    models = tuple(asked.model) or tuple(MODELS)
    if asked.quick:
        peers = engines if asked.only else ("antagony", "libroadrunner", "diffsol")
        return Plan(2, tuple(asked.model) or ("bench",), peers, (1e-4, 1e-5, 1e-6), (1e-6,), 256, True), False
    return Plan(asked.rounds, models, engines), asked.write_docs


def main() -> int:
    """Measure, print, write build/bench.json, and judge the targets; or render the page from what was written."""
    plan, page = parse()
    if page:
        found = json.loads(OUT.read_text(encoding="utf-8"))
        write_whole(ROOT / "docs" / "reference" / "speed.md", speed_page.render(found))
        return 0
    print(f"{machine()}; {date.today().isoformat()}")
    result = measure(plan)
    judged = judge(result)
    whole = {
        "date": date.today().isoformat(),
        "machine": machine(),
        "command": shlex.join(["python", "benchmarks/bench.py", *sys.argv[1:]]),
        "rounds": plan.rounds,
        "versions": versions(),
        "configured": about(),
        "targets": judged,
        **result,
    }
    for found in result["models"].values():
        show_model(found)
        if "peak" in found:
            print(f"  of the multiply-add peak: {found['peak']['fraction_of_fma_peak']:.2f} (by the count in peak.py)")
    print()
    if result.get("two_cores"):
        print("two cores over one: " + ", ".join(f"{n} {g:.2f}" for n, g in result["two_cores"].items()))
    if "cold_seconds" in result:
        print(", ".join(f"{k.removesuffix('_seconds')} {result[k]:.2f} s" for k in result if k.endswith("_seconds")))
    write_whole(OUT.with_name("bench_quick.json") if plan.quick else OUT, json.dumps(whole, indent=1))
    return 0 if show_targets(judged) else 1


if __name__ == "__main__":
    sys.exit(main())
