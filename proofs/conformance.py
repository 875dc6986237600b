"""Outside suites against the kernel: the SBML semantic cases and the NONMEM dosing scenarios.

Prints by tier and tag: passed in the kernel / through libRoadRunner / refused by name / wrong, every case as a
user runs it. Exits 1 when anything is wrong, when fewer than 1,055 cases pass, or when a core case does not pass in the
kernel or a dosing scenario does not pass. The suites are read from $SUITES (default ../shared/suites) and never copied
into the project.
"""

from __future__ import annotations

import argparse
import csv
import os
import re
import sys
import tarfile
import tempfile
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from antagony.errors import UnsupportedError

SUITES = Path(os.environ.get("SUITES") or Path(__file__).resolve().parents[2] / "shared" / "suites")
TIERS = ("core", "events", "extras", "comp", "fallback", "none")
REFUSED_TIERS = ("fallback", "none")
PASSED = ("kernel", "roadrunner")
ENOUGH = 1055  # of the 1,214 development cases


def read_settings(path: Path) -> dict[str, str]:
    """The `key: value` lines of a case's settings file."""
    pairs = (line.split(":", 1) for line in path.read_text().splitlines() if ":" in line)
    return {key.strip(): value.strip() for key, value in pairs}


def names(text: str) -> list[str]:
    """A comma-separated list, blanks dropped."""
    return [part.strip() for part in text.split(",") if part.strip()]


@dataclass(frozen=True)
class Outcome:
    """How one SBML case ended: `kernel`, `roadrunner`, `refused` or `wrong`; what was said; tags of the case."""

    case: str
    tier: str
    verdict: str
    said: str
    tags: tuple[str, ...]


def run_case(folder: Path, tier: str) -> Outcome:
    """One SBML case as a user runs it: by simulate_sbml, engine and refusal included; a crash counts as wrong."""
    case = folder.name
    tags = read_tags((folder / f"{case}-model.m").read_text())
    try:
        verdict, said = judge_case(folder, read_settings(folder / f"{case}-settings.txt"))
    except UnsupportedError as refusal:
        verdict, said = "refused", str(refusal)
    except Exception as error:
        verdict, said = "wrong", f"{type(error).__name__}: {str(error)[:200]}"
    return Outcome(case, tier, verdict, said, tags)


def read_tags(text: str) -> tuple[str, ...]:
    """Component and test tags from the head of a case's description."""
    lines = re.findall(r"^(?:componentTags|testTags):(.*)$", text, re.MULTILINE)
    return tuple(tag for line in lines for tag in names(line))


def judge_case(folder: Path, settings: dict[str, str]) -> tuple[str, str]:
    """Who passed a case, or the first value that is wrong."""
    case = folder.name
    results = folder / f"{case}-results.csv"
    expected = pd.read_csv(results, skiprows=1, header=None)
    expected.columns = names(results.read_text().splitlines()[0])
    expected = expected.iloc[:, 1:]  # the first column is time, whatever else may bear that name
    got, engine = simulate_case(next(folder.glob(f"{case}-sbml-*.xml")).read_text(), settings)
    absolute, relative = float(settings["absolute"]), float(settings["relative"])
    for name in names(settings["variables"]):
        want = expected[name].to_numpy(float)
        have = got[name]
        with np.errstate(invalid="ignore"):
            same = (np.abs(want - have) <= absolute + relative * np.abs(want)) | (want == have)
        same |= np.isnan(want) & np.isnan(have)
        if not same.all():
            row = int(np.argmin(same))
            return "wrong", f"{name}[{row}]: expected {want[row]:g}, got {have[row]:g} by the {engine}"
    return ("kernel" if engine == "kernel" else "roadrunner"), ""


def simulate_case(sbml: str, settings: dict[str, str]) -> tuple[dict[str, np.ndarray], str]:
    """Every requested variable at the requested times, in amounts or concentrations as asked; and the engine."""
    from antagony.exchange.sbml import open_sbml
    from antagony.exchange.sbml_run import Accuracy, simulate_sbml

    model = open_sbml(sbml)
    wanted = names(settings["variables"])
    volumes = {n: s.getCompartment() for n in wanted if (s := model.model.getSpecies(n)) is not None}
    start, span, steps = (float(settings[key]) for key in ("start", "duration", "steps"))
    times = start + span * np.arange(int(steps) + 1) / steps
    run = simulate_sbml(model, times, outputs=[*wanted, *volumes.values()], accuracy=Accuracy(optimise=0))
    got = {str(name).rpartition(" ")[2]: values.to_numpy() for name, values in run.data_vars.items()}
    for name, compartment in volumes.items():
        if name in names(settings["amount"]) and not model.is_amount(name):
            got[name] = got[name] * got[compartment]
        if name in names(settings["concentration"]) and model.is_amount(name):
            got[name] = got[name] / got[compartment]
    return {name: got[name] for name in wanted}, run.attrs["engine"]


def run_sbml(tiers: set[str], only: set[str], workers: int) -> bool:
    """Run the chosen tiers; returns whether nothing was wrong and, where all were run, enough passed."""
    with (SUITES / "sbml-semantic-tiers.csv").open() as file:
        tier_of = {row["case"]: row["tier"] for row in csv.DictReader(file)}
    chosen = sorted(c for c, tier in tier_of.items() if (not tiers or tier in tiers) and (not only or c in only))
    with tempfile.TemporaryDirectory() as scratch:
        with tarfile.open(SUITES / "sbml-semantic-dev.tar.xz") as archive:
            archive.extractall(scratch, filter="data")
        folders = [Path(scratch) / "sbml-semantic" / case for case in chosen]
        with ProcessPoolExecutor(workers) as pool:
            outcomes = list(pool.map(run_case, folders, [tier_of[c] for c in chosen], chunksize=4))
    print_outcomes(outcomes)
    whole = len(chosen) == len(tier_of)
    passed = sum(o.verdict in PASSED for o in outcomes)
    by_kernel = sum(o.verdict == "kernel" for o in outcomes if o.tier == "core")
    core = sum(tier == "core" for tier in tier_of.values())
    print(f"SBML cases passed: {passed} of {len(outcomes)} (wanted: {ENOUGH} of all)")
    print(f"core cases passed in the kernel: {by_kernel} (wanted: {core})")
    wrong = any(o.verdict == "wrong" for o in outcomes)
    return not wrong and (not whole or (passed >= ENOUGH and by_kernel == core))


def print_outcomes(outcomes: Sequence[Outcome]) -> None:
    """What was wrong; counts by tier and by tag; the ten most frequent reasons of a refusal."""
    for o in outcomes:
        if o.verdict == "wrong" or (o.verdict == "refused" and o.tier not in REFUSED_TIERS):
            print(f"  {o.case} ({o.tier}) {o.verdict}: {o.said[:150]}")
    print_counts("SBML cases by tier", {tier: [o for o in outcomes if o.tier == tier] for tier in TIERS})
    tags = sorted({tag for o in outcomes for tag in o.tags})
    print_counts("SBML cases by tag", {tag: [o for o in outcomes if tag in o.tags] for tag in tags})
    reasons = Counter(construct(o.said) for o in outcomes if o.verdict == "refused")
    print("Refused, most frequent first")
    for reason, count in reasons.most_common(10):
        print(f"  {count:5d}  {reason}")


def construct(said: str) -> str:
    """A refusal without what is particular to one model: numbers and whatever stands in brackets."""
    return re.sub(r"\s*\(.*\)", "", said)[:100]


def print_counts(title: str, groups: dict[str, list[Outcome]]) -> None:
    """A row for each group: passed in the kernel, through libRoadRunner, refused, wrong, all."""
    print(f"{title:32s}{'kernel':>8s}{'libRoadRunner':>15s}{'refused':>9s}{'wrong':>7s}{'all':>7s}")
    for name, group in groups.items():
        if group:
            count = Counter(o.verdict for o in group)
            cells = (count["kernel"], count["roadrunner"], count["refused"], count["wrong"], len(group))
            print("  {:30s}{:8d}{:15d}{:9d}{:7d}{:7d}".format(name, *cells))


ORAL = """
  depot' = depot_in - ka*depot; central' = central_in + ka*depot - clearance/size*central
  depot = 0; central = 0; depot_in = 0; central_in = 0
  ka = 1.5; clearance = 1.1; size = 20
  plasma := central/(size/1000)
"""


def oral_model() -> str:
    """SBML of the one-compartment oral model that the NONMEM scenarios use."""
    import antimony

    antimony.clearPreviousLoads()
    if antimony.loadAntimonyString(f"model oral\n{ORAL}\nend\n") < 0:
        raise RuntimeError(antimony.getLastError())
    return antimony.getSBMLString("oral")


def run_dosing() -> bool:
    """The 29 NONMEM dosing scenarios through the kernel, at 1e-3 relative."""
    from antagony.exchange.nonmem import Compartment, read_records
    from antagony.kernel.build import build_kernel
    from antagony.schedule import lower_doses
    from antagony.simulation import run_phases

    frame = pd.read_csv(SUITES / "nonmem-dosing.csv", na_values=".")
    titles = pd.read_csv(SUITES / "nonmem-dosing-key.csv").set_index("ID")["descr"]
    kernel = build_kernel(oral_model(), inputs=["depot_in", "central_in"])
    settings = {"rtol": 1e-8, "atol": 1e-10, "threads": 1}
    central = {"bioavailability": "BIOAV", "lag": "LAGT", "duration": "DUR2", "rate": "RAT2"}
    places = {1: Compartment("depot", "depot_in"), 2: Compartment("central", "central_in", **central)}
    passed, worst = 0, 0.0
    doses = read_records(frame.drop(columns=["C", "DV", "CP"], errors="ignore"), places)
    for subject, rows in frame.groupby("ID"):
        phases = lower_doses(doses[subject], states=kernel.states, inputs=kernel.inputs, subjects=1)
        seen = rows[rows["evid"] == 0]
        times, want = seen["time"].to_numpy(float), seen["CP"].to_numpy(float)
        got = run_phases(kernel, kernel.defaults[None], phases, times, ["plasma"], settings)[0][0, :, 0]
        gap = float((np.abs(got - want) / np.maximum(np.abs(want), 1e-3)).max())
        worst = max(worst, gap if gap == gap else np.inf)
        if gap <= 1e-3:
            passed += 1
        else:
            row = int(np.argmax(np.abs(got - want)))
            print(f"  {subject} {titles[subject]}: at {times[row]:g} h expected {want[row]:g}, got {got[row]:g}")
    print(f"NONMEM dosing scenarios: {passed}/{frame['ID'].nunique()} passed, largest relative difference {worst:.1e}")
    return passed == frame["ID"].nunique()


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiers", default="", help="comma-separated; default: all")
    parser.add_argument("--only", default="", help="comma-separated case numbers")
    parser.add_argument("--dosing-only", action="store_true", help="leave the SBML cases out")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    if not SUITES.is_dir():
        print(f"skipped: no suites at {SUITES} (set SUITES)")
        return 0
    with tempfile.TemporaryDirectory() as cache:
        os.environ["ANTAGONY_CACHE"] = cache  # hundreds of kernels that nobody will ask for again
        good = run_dosing()
        if not arguments.dosing_only:
            good &= run_sbml(set(names(arguments.tiers)), set(names(arguments.only)), arguments.workers)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
