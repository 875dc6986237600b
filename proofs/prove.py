"""Every slow proof, one after another: target against measured, printed and written to reports/<name>.md.

Exits 1 when a target is missed. A proof is a command and a function that reads its lines from what the run left behind.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BENCH = ROOT / "build" / "bench.json"


@dataclass(frozen=True)
class Run:
    """How a command ended: exit code, all it printed, and how long it took [s]."""

    code: int
    output: str
    seconds: float


@dataclass(frozen=True)
class Line:
    """One promise: what was wanted, what was found, whether it was met (None: could not be asked here)."""

    what: str
    target: str
    measured: str
    met: bool | None


@dataclass(frozen=True)
class Proof:
    """A command, and how its lines are read from its run."""

    name: str
    title: str
    command: tuple[str, ...]
    read: Callable[[Run], Iterator[Line]]


def at_least(what: str, target: float, value: float, unit: str = "") -> Line:
    """A line that wants a number of `target` or more."""
    return Line(what, f">= {target:g}{unit}", f"{value:.3g}{unit}", value >= target)


def below(what: str, target: float, value: float, unit: str = " s") -> Line:
    """A line that wants a number below `target`."""
    return Line(what, f"< {target:g}{unit}", f"{value:.3g}{unit}", value < target)


def ended_well(run: Run) -> Line:
    """The line that every proof has: the command found nothing wrong."""
    return Line("exit code", "0", str(run.code), run.code == 0)


def read_conformance(run: Run) -> Iterator[Line]:
    """Dosing scenarios and SBML cases of each tier: passed and by whom, refused, wrong."""
    if "skipped" in run.output:
        yield Line("outside suites", "all passed", "the suites are not here (set SUITES)", None)
        return
    dosing = re.search(r"dosing scenarios: (\d+)/(\d+) passed", run.output)
    all_passed = bool(dosing and dosing[1] == dosing[2])
    yield Line("NONMEM dosing scenarios", "all passed", f"{dosing[1]} of {dosing[2]}" if dosing else "none", all_passed)
    tiers = re.search(r"^SBML cases by tier.*\n((?: +.*\n)+)", run.output, re.MULTILINE)
    for tier, *cells in re.findall(
        r"^ +(\w+) +(\d+) +(\d+) +(\d+) +(\d+) +(\d+)$", tiers[1] if tiers else "", re.MULTILINE
    ):
        kernel, other, refused, wrong, count = map(int, cells)
        target, met = ("all in the kernel", kernel == count) if tier == "core" else ("none wrong", wrong == 0)
        shown = f"{kernel} in the kernel, {other} through libRoadRunner, {refused} refused, {wrong} wrong of {count}"
        yield Line(f"SBML cases, {tier}", target, shown, met and wrong == 0)
    if passed := re.search(r"^SBML cases passed: (\d+) of \d+ \(wanted: (\d+)", run.output, re.MULTILINE):
        yield Line("SBML cases passed", f">= {passed[2]}", passed[1], int(passed[1]) >= int(passed[2]))
    yield ended_well(run)


def read_petab(run: Run) -> Iterator[Line]:
    """Expressions and cases of the PEtab suite: passed and by whom, refused, wrong."""
    if "skipped" in run.output:
        yield Line("PEtab suite", "all passed", "the suites are not here (set SUITES)", None)
        return
    for what, passed, count, more in re.findall(r"^PEtab (.*): (\d+)/(\d+) passed(.*)$", run.output, re.MULTILINE):
        yield Line(f"PEtab {what}", "all passed", f"{passed} of {count}{more}", passed == count)
    yield ended_well(run)


def read_agreement(run: Run) -> Iterator[Line]:
    """Largest relative difference between the kernel and the reference solver, over mechanisms and scenes."""
    found = re.search(r"largest difference (\S+), target (\S+):", run.output)
    if found:
        met = float(found[1]) <= float(found[2])
        yield Line("largest difference to the reference solver", f"<= {found[2]}", found[1], met)
    yield ended_well(run)


def read_bench(run: Run) -> Iterator[Line]:
    """The promises and times that the benchmark left in build/bench.json, whether or not it kept them."""
    if run.code in (0, 1) and "target " in run.output:
        found = json.loads(BENCH.read_text(encoding="utf-8"))
        names = {
            "over_libroadrunner": "faster than libRoadRunner at comparable error",
            "over_best_other": f"faster than the best other ({found['targets']['best_other']}) at comparable error",
            "two_threads": "two threads over one",
            "many_doses": "28 doses, over 2373 trajectories/s a core",
        }
        for key, what in names.items():
            target, measured = found["targets"][key]["target"], found["targets"][key]["measured"]
            asked = measured is not None
            yield at_least(what, target, measured, " x") if asked else Line(what, f">= {target:g} x", "not asked", None)
        yield below("first run of a mechanism, nothing cached", 2, found["cold_seconds"])
        yield below("run of a cached mechanism", 0.3, found["cached_seconds"])
        yield below("import antagony", 1, found["import_seconds"])
    yield ended_well(run)


def read_claims(run: Run) -> Iterator[Line]:
    """All claims of all mechanisms over prior draws, cold and with kernels cached."""
    for what, seconds in re.findall(r"^(claims: .*): (\S+) s$", run.output, re.MULTILINE):
        yield below(what, 90, float(seconds))
    yield ended_well(run)


def read_scale(run: Run) -> Iterator[Line]:
    """A million patients: flat throughput, flat memory, the same bits, nothing lost, kept nowhere or in a store."""
    sizes = re.findall(r"^patients (\d+): (\S+)/s, .*, peak (\S+) MB, (\d+) failed$", run.output, re.MULTILINE)
    stored = re.findall(r"^stored (\d+): \S+/s, peak (\S+) MB, (\d+) failed, (\d+) missing$", run.output, re.MULTILINE)
    speeds = [float(speed) for size, speed, *_ in sizes if int(size) >= 10_000]
    if speeds:
        yield at_least("slowest over fastest throughput, 10^4 to 10^6 patients", 0.8, min(speeds) / max(speeds))
        shown = f"{speeds[-1] / float(sizes[0][1]):.2f}"
        yield Line("throughput of 10^6 patients over that of 10^3", "reported", shown, None)
    peaks = {"kept nowhere": [float(row[2]) for row in sizes], "stored": [float(row[1]) for row in stored]}
    for how, peak in peaks.items():
        if len(peak) > 1:
            what = f"peak memory of 10^6 patients over that of 10^5, {how}"
            yield Line(what, "<= 1.3", f"{peak[-1] / peak[-2]:.2f}", peak[-1] <= 1.3 * peak[-2])
    if stored:
        yield below(f"peak memory of {stored[-1][0]} patients in a store", 2, float(stored[-1][1]) / 1000, " GB")
    lost = sum(int(row[3]) for row in sizes) + sum(int(row[2]) + int(row[3]) for row in stored)
    yield Line("failed patients and missing values", "0", str(lost), lost == 0)
    if found := re.search(r"^bits of (\d+) patients in (\d+) ways .*: (\d+) different$", run.output, re.MULTILINE):
        what = f"bits of {found[1]} patients, {found[2]} choices of threads and block"
        yield Line(what, "1 hash", f"{found[3]} hash", found[3] == "1")
    yield ended_well(run)


def read_trials(run: Run) -> Iterator[Line]:
    """Coverage where dropout is at random, carry-over, and the time of a thousand trials."""
    shares = [float(x) for x in re.findall(r"^ *coverage \S+ \S+ at_random: (\S+) %", run.output, re.MULTILINE)]
    if shares:
        span = f"{min(shares):.1f} to {max(shares):.1f} %, {len(shares)} designs and mechanisms"
        met = min(shares) >= 93 and max(shares) <= 97
        yield Line("95 % intervals cover, dropout at random", "93 to 97 % of 2000 trials", span, met)
    for share in (re.findall(r"coverage \S+ \S+ not_at_random: (\S+) %", run.output),):
        yield Line("the same, dropout not at random", "reported", ", ".join(f"{x} %" for x in share), None)
    for days, bias, error, truth in re.findall(r"after (\d+) d: bias (\S+) \(SE (\S+)\) of (\S+)", run.output):
        shown, size = f"bias {bias} (SE {error}) of {truth} points", abs(float(bias)) / float(error)
        met = {"5": size > 10, "30": size < 4}.get(days)
        yield Line(
            f"carry-over, {days} d between periods", {"5": "shows", "30": "none"}.get(days, "reported"), shown, met
        )
    if found := re.search(r"26-patient crossover: (\S+) s", run.output):
        yield below("1000 replicates of a 26-patient crossover", 15, float(found[1]))
    yield ended_well(run)


def read_calibration(run: Run) -> Iterator[Line]:
    """Ranks of true numbers, stated probability against frequency, and the sampler on Gaussians."""
    ranks = r"^ *ranks (\S+): (\d+) data sets, (\d+) numbers, smallest adjusted p (\S+) .* with p (\S+), median"
    for slug, sets, numbers, p, pooled in re.findall(ranks, run.output, re.MULTILINE):
        what = f"ranks of {numbers} true numbers uniform, {slug}, {sets} data sets"
        met = float(p) > 0.01 and float(pooled) > 0.001
        yield Line(what, "adjusted p > 0.01, p values uniform (p > 0.001)", f"p {p}, {pooled}", met)
    found = r"^ *recovery x(\S+): (\d+) data sets .* Brier (\S+) \(calibrated: (\S+), z (\S+)\), .* true in (\S+),"
    for information, sets, brier, expected, z, share in re.findall(found, run.output, re.MULTILINE):
        what = f"stated probability = frequency, information x{information}, {sets} data sets"
        shown = f"Brier {brier}, {expected} if calibrated (z {z}); the most probable is true in {share}"
        yield Line(what, "|z| < 3", shown, abs(float(z)) < 3)
    gaussian = r"^ *gaussian in (\d+) dimensions.*mean error (\S+) nat, largest (\S+),"
    for dimensions, mean, largest in re.findall(gaussian, run.output, re.MULTILINE):
        shown = f"mean {mean}, largest {largest}"
        met = abs(float(mean)) <= 0.2
        yield Line(f"log marginal of a Gaussian in {dimensions} dimensions", "within 0.2 nat", shown, met)
    yield ended_well(run)


def read_weighing(run: Run) -> Iterator[Line]:
    """How long weighing takes, nothing cached and stored; its errors; what averaging over patients costs."""
    limits = {"quick": 120, "standard": 1800, "standard again, stored": 20, "until 2016, stored": 20}
    for what, seconds in re.findall(r"^(weigh .*): (\S+) s$", run.output, re.MULTILINE):
        yield below(what, limits[what.removeprefix("weigh ")], float(seconds))
    for effort, error, slug in re.findall(r"^largest error, (\w+): (\S+) nat \((\S+)\)", run.output, re.MULTILINE):
        met = float(error) <= 0.3 if effort == "standard" else None
        target = "<= 0.3 nat" if effort == "standard" else "shown"
        yield Line(f"largest error of a log marginal, {effort}", target, f"{error} nat ({slug})", met)
    for slug, median, worst in re.findall(r"^averaging (\S+): median (\S+), largest (.*)$", run.output, re.MULTILINE):
        yield Line(f"averaging over patients, {slug}", "shown", f"median {median}, largest {worst}", None)
    yield ended_well(run)


def read_designing(run: Run) -> Iterator[Line]:
    """Ranking and searching in time, errors, order over seeds, and what ignoring realism costs."""
    for what, seconds in re.findall(
        r"^(ranking \d+ designs|optimising \S+, \d+ plans): (\S+) s$", run.output, re.MULTILINE
    ):
        yield below(what, 600 if what.startswith("optimising") else 300, float(seconds))
    if found := re.search(r"^errors below 0.05 bits: (\d+) of (\d+), largest (.*)$", run.output, re.MULTILINE):
        met = int(found[1]) >= 20
        yield Line("designs ranked with an error below 0.05 bits", ">= 20", f"{found[1]} of {found[2]}", met)
        yield Line("largest error", "shown", f"{found[3]}", None)
    if found := re.search(r"^order: (\d+) of (\d+) pairs apart, (\d+) turned in (\d+) seeds", run.output, re.MULTILINE):
        what = "pairs of designs more than 3 errors apart keep their order"
        yield Line(what, "none turned", f"{found[3]} of {found[1]} turned in {found[4]} seeds", found[3] == "0")
    for name, n, rest in re.findall(r"^ignoring (\w+), n = (\d+), worst (.*)$", run.output, re.MULTILINE):
        yield Line(f"what ignoring {name} costs {n} patients", "shown", rest, None)
    pairs = re.findall(r"; known .* most (\S+) \(.*; ignored .* most (\S+) \(", run.output)
    known, ignored = (max((float(pair[k]) for pair in pairs), default=math.nan) for k in (0, 1))
    yield Line("a pair misled, realism known", "<= 1/10", f"{known:.3f}", known <= 0.1)
    yield Line("a pair misled, something ignored: one fails", "> 1/10", f"{ignored:.3f}", ignored > 0.1)
    yield ended_well(run)


def read_confirming(run: Run) -> Iterator[Line]:
    """Whole trials that keep what was promised; results weighed again by tempered sampling."""
    number = r"(\S+) \(SE (\S+)\)"
    kept = rf"^confirmed (\S+), n = (\d+), (\d+) trials a rival, (\w+): promised {number}, found {number}$"
    for name, n, trials, what, promised, own, seen, error in re.findall(kept, run.output, re.MULTILINE):
        gap = abs(float(promised) - float(seen))
        allowed = 3 * (float(own) ** 2 + float(error) ** 2) ** 0.5 + 1.5 / float(trials)
        shown = f"promised {promised} ({own}), found {seen} ({error})"
        yield Line(
            f"{what} evidence, {name}, n = {n}, {trials} trials a rival", "within 3 errors", shown, gap < allowed
        )
    again = rf"^tempered, result (\d+), (.*): {number}, from stored draws {number}"
    for row, name, value, own, known, error in re.findall(again, run.output, re.MULTILINE):
        gap, allowed = abs(float(value) - float(known)), 3 * (float(own) ** 2 + float(error) ** 2) ** 0.5 + 0.1
        shown = f"{value} ({own}), stored {known} ({error})"
        yield Line(f"log p(result {row} | {name}), tempered", "within 3 errors", shown, gap < allowed)
    if found := re.search(r"median posterior draws that still count (\d+)", run.output):
        yield Line("posterior draws that still count, median", "shown", found[1], None)
    yield ended_well(run)


def read_page(run: Run) -> Iterator[Line]:
    """What the page's own measurement says, and the bits of its curves."""
    told = r"^(?:kept|MISSED)\s+(.*): target < (\S+) (\S+), measured (\S+) \S+(.*)$"
    for what, target, unit, value, more in re.findall(told, run.output, re.MULTILINE):
        yield Line(what, f"< {target} {unit}", f"{value} {unit}{more}", float(value) < float(target))
    if found := re.search(r"^(\d+) files, (\d+) values: (\d+) differ.*, (\d+) no numbers$", run.output, re.MULTILINE):
        shown = f"{found[3]} of {found[2]} values differ, {found[1]} curves of a mechanism in a scene"
        what = "curves, bit for bit the portable native kernel's"
        yield Line(what, "none differs", shown, found[3] == found[4] == "0")
    yield ended_well(run)


def read_packages(run: Run) -> Iterator[Line]:
    """Wheel and sdist: the same package, and the repository's counts in an empty environment."""
    files = r"^package files: (\d+) in the wheel, (\d+) in the sdist, (\d+) differ$"
    if found := re.search(files, run.output, re.MULTILINE):
        shown = f"{found[1]} in the wheel, {found[2]} in the sdist, {found[3]} differ"
        yield Line("files of the package", "the same", shown, found[3] == "0" and int(found[1]) > 0)
    told = re.findall(r"^verdict of the (\w+): (\d+) mechanisms, (\d+) differ, (\S+) s$", run.output, re.MULTILINE)
    for what, count, apart, seconds in told:
        shown = f"{apart} of {count} mechanisms differ, {seconds} s to install and answer"
        yield Line(f"counts of a verdict from the {what}", "those of the repository", shown, apart == "0")
    yield Line("packages that answered", "2", str(len(told)), len(told) == 2)
    yield ended_well(run)


def read_tests(run: Run) -> Iterator[Line]:
    """Tests that `make test` leaves out."""
    count = {word: int(number) for number, word in re.findall(r"(\d+) (passed|failed|errors?|skipped)", run.output)}
    broken = sum(number for word, number in count.items() if word not in ("passed", "skipped"))
    shown = f"{count.get('passed', 0)} passed, {broken} failed, {count.get('skipped', 0)} skipped"
    yield Line("tests marked as proofs", "no failure", shown, broken == 0 and count.get("passed", 0) > 0)
    yield ended_well(run)


def read_fuzz(run: Run) -> Iterator[Line]:
    """Inputs of each reader, and what went wrong with any."""
    found = r"^fuzz (.*): (\d+) inputs, (\d+) faults (.*)$"
    for name, inputs, faults, more in re.findall(found, run.output, re.MULTILINE):
        yield Line(f"hostile input: {name}", "no fault", f"{faults} faults in {inputs} inputs {more}", faults == "0")
    yield ended_well(run)


def read_interrupts(run: Run) -> Iterator[Line]:
    """Stopped commands, and processes that build one model at once."""
    if "skipped" in run.output:
        yield Line("stopped commands", "nothing half done", "moments are found by /proc, which is not here", None)
    found = r"^(stopped \w+|built by \d+ processes at once): (.*), (\d+) faults$"
    for what, shown, faults in re.findall(found, run.output, re.MULTILINE):
        yield Line(what, "no fault", f"{shown}, {faults} faults", faults == "0")
    yield ended_well(run)


def read_verdict(run: Run) -> Iterator[Line]:
    """The whole answer, kernels built anew."""
    yield below("whole verdict, nothing cached", 90, run.seconds)
    yield ended_well(run)


PYTHON = sys.executable
WHOLE = (PYTHON, "-m", "antagony.cli", "verdict", "--out", "{scratch}/verdict.html")
PROOFS = (
    Proof("tests", "Tests that take minutes", (PYTHON, "-m", "pytest", "-q", "-n", "auto", "-m", "proof"), read_tests),
    Proof("conformance", "Outside suites", (PYTHON, "proofs/conformance.py"), read_conformance),
    Proof("petab", "PEtab problems and expressions", (PYTHON, "proofs/conformance_petab.py"), read_petab),
    Proof("agreement", "Agreement with the reference solver", (PYTHON, "proofs/agreement.py"), read_agreement),
    Proof("bench", "Speed", (PYTHON, "benchmarks/bench.py"), read_bench),
    Proof("claims", "Every claim over prior draws", (PYTHON, "proofs/claims.py"), read_claims),
    Proof("scale", "A million virtual patients", (PYTHON, "proofs/scale.py"), read_scale),
    Proof("trials", "Virtual trials", (PYTHON, "proofs/trials.py"), read_trials),
    Proof("calibration", "Is a weighing calibrated?", (PYTHON, "proofs/calibration.py"), read_calibration),
    Proof("weighing", "Weighing: time and errors", (PYTHON, "proofs/weighing.py"), read_weighing),
    Proof("designing", "Which study next", (PYTHON, "proofs/designing.py"), read_designing),
    Proof("confirming", "Does a ranking keep its promises?", (PYTHON, "proofs/confirming.py"), read_confirming),
    Proof("fuzz", "Hostile files and texts", (PYTHON, "proofs/fuzz.py"), read_fuzz),
    Proof("interrupts", "Stopped at random moments", (PYTHON, "proofs/interrupts.py"), read_interrupts),
    Proof("page", "The page", (PYTHON, "proofs/page.py"), read_page),
    Proof("packages", "Wheel and sdist", (PYTHON, "proofs/packages.py"), read_packages),
    Proof("verdict", "The whole verdict", WHOLE, read_verdict),
)


def run_proof(proof: Proof) -> Run:
    """Run the command with an empty kernel cache; what it prints is shown as it comes."""
    lines = []
    with tempfile.TemporaryDirectory() as scratch:
        command = [part.format(scratch=scratch) for part in proof.command]
        environment = {**os.environ, "ANTAGONY_CACHE": f"{scratch}/cache", "NO_COLOR": "1", "COLUMNS": "160"}
        start = time.perf_counter()
        with subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            for line in process.stdout or ():
                print(f"  {line}", end="", flush=True)
                lines.append(line.replace(f"{scratch}/", ""))
        return Run(process.returncode, "".join(lines), time.perf_counter() - start)


def read_lines(proof: Proof, run: Run) -> list[Line]:
    """The proof's lines; output that cannot be read is a miss, not a crash."""
    try:
        return list(proof.read(run))
    except (OSError, KeyError, ValueError) as error:
        return [Line("result", "readable", f"{type(error).__name__}: {error}", False)]


def write_report(proof: Proof, run: Run, lines: list[Line], folder: Path) -> None:
    """Target against measured as a page: date, machine, command, table, and what was printed."""
    rows = [f"| {line.what} | {line.target} | {line.measured} | {VERDICTS[line.met]} |" for line in lines]
    command = " ".join(("python", *proof.command[1:])).replace("{scratch}/", "")
    text = [
        f"# {proof.title}",
        "",
        f"{date.today().isoformat()}, commit {commit()}, {run.seconds:.0f} s, {machine()}.",
        f"Command: `{command}`, with an empty `ANTAGONY_CACHE`; `make prove` runs them all.",
        "",
        "| promise | target | measured | |",
        "|---|---|---|---|",
        *rows,
        "",
        "```",
        *run.output.rstrip().splitlines()[-60:],
        "```",
        "",
    ]
    folder.mkdir(exist_ok=True)
    (folder / f"{proof.name}.md").write_text("\n".join(text), encoding="utf-8")


VERDICTS = {True: "met", False: "missed", None: "not asked"}


def commit() -> str:
    """Short name of the commit, marked when the tree differs from it."""
    command = ["git", "describe", "--always", "--dirty"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return run.stdout.strip() or "unknown"


def machine() -> str:
    """Processor, cores and Python, for speed means nothing without them."""
    try:
        processor = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    except OSError:
        processor = None
    name = processor[1] if processor else platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores, Python {platform.python_version()}"


def main() -> int:
    """Run the proofs named on the command line, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(proof.name for proof in PROOFS)}; default: all")
    parser.add_argument("--reports", type=Path, default=ROOT / "reports", help="folder for the reports")
    arguments = parser.parse_args()
    chosen = [proof for proof in PROOFS if not arguments.names or proof.name in arguments.names]
    if unknown := set(arguments.names) - {proof.name for proof in PROOFS}:
        parser.error(f"no proof named {', '.join(sorted(unknown))}")
    found: list[Line] = []
    for proof in chosen:
        print(f"{proof.title}: {' '.join(proof.command[1:])}", flush=True)
        run = run_proof(proof)
        lines = read_lines(proof, run)
        write_report(proof, run, lines, arguments.reports)
        found += lines
    print()
    for line in found:
        print(f"{VERDICTS[line.met]:9s} {line.what}: {line.measured} (target {line.target})")
    return int(any(line.met is False for line in found))


if __name__ == "__main__":
    sys.exit(main())
