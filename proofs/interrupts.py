"""Commands stopped at random moments: one line, exit code 130, nothing half written, a second run as if undisturbed.

    moment = uniform from the handler's installation to the command's usual end; Ctrl-C and a request to terminate

A stopped command leaves its cache to the next. Before Python has read the package (some 0.3 s) its own handling holds,
so moments count from the time when ours does. Also eight processes that build one model at once. Linux alone is asked.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

COMMAND = Path(sys.executable).with_name("antagony")
DOSE = "ketamine 0.5 mg/kg iv over 40 min"
SAID = "stopped; no file was left half written"
SECRETS = re.compile(
    r'("seconds": \{[^}]*\}|"begun": "[^"]*"|\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?|\d+(\.\d+)? s\b)'
)

BUILDING = """
import sys
from antagony.case import open_case
from antagony.kernel.build import build_kernel
model = open_case().mechanism("none", ["ketamine"])
kernel = build_kernel(model.sbml, inputs=model.inputs)
print(kernel.fingerprint, kernel.solve(kernel.defaults, [1.0, 3.0]).values.tobytes().hex())
"""


@dataclass(frozen=True)
class Command:
    """A command and the file it writes."""

    name: str
    words: tuple[str, ...]
    out: str


COMMANDS = (
    Command("simulate", ("simulate", "none", DOSE, "--patients", "3000", "--draws", "4"), "run.csv"),
    Command("trial", ("trial", "williams_2018", "--mechanism", "none", "--replicates", "60"), "trial.csv"),
    Command("weigh", ("weigh", "--effort", "quick", "--mechanism", "none", "--mechanism", "hnk"), "weigh.csv"),
    Command("verdict", ("verdict", "--mechanism", "none", "--draws", "60"), "verdict.html"),
    Command("page", ("page", "--mechanism", "none", "--draws", "30"), "page.html"),
    Command(
        "design",
        (
            *("design", "--only", "--plan", "naltrexone_alone", "--rivals", "camp_crosstalk,hnk"),
            *("--effort", "quick", "--n", "40"),
        ),
        "design.csv",
    ),
)


def start(command: Command, folder: Path) -> subprocess.Popen[str]:
    """The command, its cache and its output in a folder of its own."""
    settings = {**os.environ, "ANTAGONY_CACHE": str(folder / "cache"), "NO_COLOR": "1", "COLUMNS": "120"}
    line = [str(COMMAND), *command.words, "--out", str(folder / command.out)]
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    return subprocess.Popen(line, text=True, env=settings, cwd=folder, **pipes)  # type: ignore[call-overload]


def is_ready(process: subprocess.Popen[str]) -> bool:
    """Whether a process handles a request to terminate."""
    try:
        found = re.search(r"^SigCgt:\s*(\w+)", Path(f"/proc/{process.pid}/status").read_text(), re.MULTILINE)
    except OSError:
        return False
    return bool(found and int(found[1], 16) >> (signal.SIGTERM - 1) & 1)


def stop_once(command: Command, folder: Path, wait: float, number: signal.Signals) -> str:
    """Stop the command after so many seconds; returns what is wrong, or empty, or "ended" where it was done before."""
    out = folder / command.out
    out.write_text("old")
    process = start(command, folder)
    while not is_ready(process):
        if process.poll() is not None:
            return f"it ended with {process.returncode}: {process.communicate()[1][-300:]}"
        time.sleep(0.005)
    time.sleep(wait)
    process.send_signal(number)
    begun = time.perf_counter()
    try:
        said = process.communicate(timeout=60)[1].strip().splitlines()
    except subprocess.TimeoutExpired:
        process.kill()
        return "it did not end within 60 s"
    took = time.perf_counter() - begun
    if process.returncode == 0:
        return "ended"
    faults = [
        f"exit code {process.returncode}" * (process.returncode != 130),
        f"it said {said[-3:]}" * (not said or said[-1] != SAID or any("Traceback" in line for line in said)),
        "the old file is gone" * (out.read_text() not in ("old",) and not is_whole(out)),
        f"left behind: {leftovers(folder)}" * bool(leftovers(folder)),
        f"it took {took:.0f} s to end" * (took > 15),
    ]
    return "; ".join(fault for fault in faults if fault)


def is_whole(out: Path) -> bool:
    """Whether a file is complete: stopped between the file's writing and the command's end."""
    text = out.read_text(encoding="utf-8")
    return text.rstrip().endswith("</html>") if out.suffix == ".html" else text.endswith("\n")


def leftovers(folder: Path) -> list[str]:
    """What a stopped command left half done."""
    return [p.name for p in folder.rglob("*") if p.name.startswith(("build-", ".part-")) or p.name.endswith(".part")]


def written(command: Command, folder: Path) -> tuple[str, float]:
    """What the command writes when it is left alone, times of day and durations taken out; and how long it took [s]."""
    begun = time.perf_counter()
    process = start(command, folder)
    said = process.communicate()[1]
    if process.returncode:
        raise RuntimeError(f"{command.name} ended with {process.returncode}: {said[-500:]}")
    return SECRETS.sub("", (folder / command.out).read_text(encoding="utf-8")), time.perf_counter() - begun


def try_command(command: Command, kills: int, rng: random.Random) -> int:
    """Stop a command so many times; print what was found, return how many faults there were."""
    faults, stopped = [], 0
    with tempfile.TemporaryDirectory() as calm, tempfile.TemporaryDirectory() as rough:
        want, usual = written(command, Path(calm))
        for kill in range(kills):
            number = (signal.SIGINT, signal.SIGTERM)[kill % 2]
            fault = stop_once(command, Path(rough), rng.uniform(0, usual), number)
            if fault == "ended":
                shutil.rmtree(Path(rough) / "cache")  # begin anew, or every run would be over before it is stopped
                continue
            stopped += 1
            faults += [f"{number.name}: {fault}"] * bool(fault)
        got, _ = written(command, Path(rough))
        if got != want:
            faults.append("a second run gave other numbers")
    print(
        f"stopped {command.name}: {stopped} of {kills} times before its end ({usual:.0f} s), {len(faults)} faults",
        flush=True,
    )
    for fault in faults:
        print(f"  {fault}")
    return len(faults)


def build_at_once(processes: int) -> int:
    """Several processes build one model at once: one kernel, the same bits, nothing beside it."""
    with tempfile.TemporaryDirectory() as folder:
        settings = {**os.environ, "ANTAGONY_CACHE": folder}
        line = [sys.executable, "-c", BUILDING]
        pipes = {"stdout": subprocess.PIPE, "text": True, "env": settings}
        running = [subprocess.Popen(line, **pipes) for _ in range(processes)]  # type: ignore[call-overload]
        said = {process.communicate()[0] for process in running}
        kept = sorted(path.suffix for path in (Path(folder) / "kernels").iterdir())
    faults = int(len(said) != 1 or not said.pop().strip() or kept != [".json", ".so"])
    print(f"built by {processes} processes at once: {kept}, {faults} faults", flush=True)
    return faults


def main() -> int:
    """Stop every command, and say what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(c.name for c in COMMANDS)}; default: all")
    parser.add_argument("--kills", type=int, default=10, help="of each command")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    if not Path("/proc/self/status").exists():
        print("skipped: moments are found by /proc")
        return 0
    chosen = [c for c in COMMANDS if not arguments.names or c.name in arguments.names]
    faults = sum(try_command(c, arguments.kills, random.Random(f"{arguments.seed} {c.name}")) for c in chosen)
    faults += sum(build_at_once(n) for n in (2, 8))
    print(f"interrupts: {faults} faults")
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main())
