"""Outside suites against the kernel: the SBML semantic cases and the NONMEM dosing scenarios.

Prints by tier: passed / refused by name / wrong. Exits 1 when a core case or a dosing scenario is not passed, or
anything is wrong. The suites are read from $SUITES (default ../shared/suites) and never copied into the project.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
import tarfile
import tempfile
from collections import Counter, defaultdict
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

SUITES = Path(os.environ.get("SUITES") or Path(__file__).resolve().parents[2] / "shared" / "suites")


def read_settings(path: Path) -> dict[str, str]:
    """The `key: value` lines of a case's settings file."""
    pairs = (line.split(":", 1) for line in path.read_text().splitlines() if ":" in line)
    return {key.strip(): value.strip() for key, value in pairs}


def names(text: str) -> list[str]:
    """A comma-separated list, blanks dropped."""
    return [part.strip() for part in text.split(",") if part.strip()]


def run_case(folder: Path) -> tuple[str, str]:
    """One SBML case: ('passed' | 'refused' | 'wrong' | 'failed', what was seen)."""
    from antagony.errors import UnsupportedError

    case = folder.name
    settings = read_settings(folder / f"{case}-settings.txt")
    model = next(folder.glob(f"{case}-sbml-*.xml")).read_text()
    results = folder / f"{case}-results.csv"
    expected = pd.read_csv(results, skiprows=1, header=None)
    expected.columns = names(results.read_text().splitlines()[0])
    expected = expected.iloc[:, 1:]  # the first column is time, whatever else may bear that name
    try:
        got = simulate_case(model, settings)
    except UnsupportedError as refusal:
        return "refused", str(refusal)[:100]
    except Exception as error:
        return "failed", f"{type(error).__name__}: {str(error)[:200]}"
    absolute, relative = float(settings["absolute"]), float(settings["relative"])
    for name in names(settings["variables"]):
        want = expected[name].to_numpy(float)
        have = got[name]
        with np.errstate(invalid="ignore"):
            same = (np.abs(want - have) <= absolute + relative * np.abs(want)) | (want == have)
        same |= np.isnan(want) & np.isnan(have)
        if not same.all():
            row = int(np.argmin(same))
            return "wrong", f"{name}[{row}]: expected {want[row]:g}, got {have[row]:g}"
    return "passed", ""


def simulate_case(sbml: str, settings: dict[str, str]) -> dict[str, np.ndarray]:
    """Every requested variable of a case at the requested times, in amounts or concentrations as asked."""
    import libsbml

    from antagony.kernel.build import build_kernel

    model = libsbml.readSBMLFromString(sbml).getModel()
    wanted = names(settings["variables"])
    volumes = {n: s.getCompartment() for n in wanted if (s := model.getSpecies(n)) is not None}
    outputs = list(dict.fromkeys([*wanted, *volumes.values()]))
    kernel = build_kernel(sbml, outputs=outputs, optimise=0)
    start, span, steps = (float(settings[key]) for key in ("start", "duration", "steps"))
    times = start + span * np.arange(int(steps) + 1) / steps
    solution = kernel.solve(kernel.defaults, times, start=min(start, 0.0), rtol=1e-9, atol=1e-15, threads=1)
    if solution.status[0]:
        raise RuntimeError(f"solver status {solution.status[0]} at {solution.fail_time[0]:g}")
    got = {name: solution.values[0, :, i] for i, name in enumerate(outputs)}
    for name, compartment in volumes.items():
        held_as_amount = model.getSpecies(name).getHasOnlySubstanceUnits()
        space = model.getCompartment(compartment)
        held_as_amount |= space.isSetSpatialDimensions() and space.getSpatialDimensionsAsDouble() == 0
        if name in names(settings["amount"]) and not held_as_amount:
            got[name] = got[name] * got[compartment]
        if name in names(settings["concentration"]) and held_as_amount:
            got[name] = got[name] / got[compartment]
    return {name: got[name] for name in wanted}


def run_sbml(tiers: set[str], only: set[str], workers: int) -> bool:
    """Run the chosen tiers; returns whether all core cases passed and nothing was wrong."""
    with (SUITES / "sbml-semantic-tiers.csv").open() as file:
        tier_of = {row["case"]: row["tier"] for row in csv.DictReader(file)}
    chosen = sorted(c for c, tier in tier_of.items() if tier in tiers and (not only or c in only))
    counts: dict[str, Counter] = defaultdict(Counter)
    with tempfile.TemporaryDirectory() as scratch:
        with tarfile.open(SUITES / "sbml-semantic-dev.tar.xz") as archive:
            archive.extractall(scratch, filter="data")
        folders = [Path(scratch) / "sbml-semantic" / case for case in chosen]
        with ProcessPoolExecutor(workers) as pool:
            for folder, (verdict, what) in zip(folders, pool.map(run_case, folders, chunksize=4), strict=True):
                counts[tier_of[folder.name]][verdict] += 1
                if verdict in ("wrong", "failed") or (verdict == "refused" and tier_of[folder.name] == "core"):
                    print(f"  {folder.name} {verdict}: {what}", flush=True)
    print("SBML semantic cases, run by the kernel")
    for tier, count in sorted(counts.items()):
        print(f"  {tier:9s} {dict(sorted(count.items()))}")
    wrong = sum(count["wrong"] + count["failed"] for count in counts.values())
    return wrong == 0 and counts["core"]["passed"] == sum(counts["core"].values())


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
    parser.add_argument("--tiers", default="core", help="comma-separated; default: core")
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
