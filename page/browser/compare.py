"""The page's curves against the portable native kernel, bit for bit.

    node browser/curves.mjs <folder>
    ../.venv/bin/python browser/compare.py <folder>

Each file `<mechanism>-<scene>.csv` is simulated anew at the times and outputs that it names, at nominal values under
the case's default trial. Prints the number of values compared and of those that differ; exits with 1 on any
difference, on a value that is no number, and where a mechanism or a scene is missing.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from antagony.calibration import calibrate
from antagony.case import Case, open_case
from antagony.page.scenes import describe_scenes, drugs_of, is_antagonist
from antagony.population import NOMINAL
from antagony.regimen import Regimen
from antagony.simulation import Arm, simulate

Curves = dict[str, np.ndarray]  # by arm, (time, output)


def read_curves(path: Path) -> tuple[list[float], list[str], Curves]:
    """Times [h], outputs and the curves of each arm."""
    with path.open(newline="") as file:
        (_, _, *outputs), *rows = csv.reader(file)
    arms: dict[str, list[list[float]]] = {}
    times: dict[str, list[float]] = {}
    for time, arm, *values in rows:
        times.setdefault(arm, []).append(float(time))
        arms.setdefault(arm, []).append([float(value) for value in values])
    first = times["scene"]
    if any(moments != first for moments in times.values()):
        raise SystemExit(f"{path.name}: the arms have different times")
    return first, outputs, {name: np.array(values) for name, values in arms.items()}


def arms_of(case: Case, regimen: Regimen) -> dict[str, Regimen]:
    """The arms of a page's scene: as it is, without its antagonist where others are given too, and no drug."""
    blockers = {name for name in regimen.drugs if is_antagonist(case.drugs[name])}
    arms = {"scene": regimen}
    if blockers and blockers != set(regimen.drugs):
        arms["without"] = Regimen(tuple(dose for dose in regimen.doses if dose.drug not in blockers))
    return arms | {"no_drug": Regimen()}


def native_curves(
    case: Case, slug: str, regimens: Mapping[str, Regimen], times: list[float], outputs: list[str]
) -> Curves:
    """The same of the portable native kernel."""
    arms = {name: Arm(regimen, (), case.trial) for name, regimen in regimens.items()}
    draws = calibrate(case, slug, NOMINAL).draws
    mechanism = case.mechanism(slug, drugs_of(case))
    run = simulate(mechanism, arms, np.array(times), draws=draws, outputs=outputs, portable=True)
    return {
        name: np.stack([run[output].sel(arm=name).isel(draw=0, subject=0).to_numpy() for output in outputs], axis=-1)
        for name in arms
    }


def different(page: np.ndarray, native: np.ndarray) -> int:
    """How many values differ in any bit."""
    same = page.astype("<f8").view("<u8") == np.ascontiguousarray(native, "<f8").view("<u8")
    return int((~same).sum())


def say(text: str) -> None:
    """One line of the report."""
    sys.stdout.write(f"{text}\n")


def main(folder: Path) -> int:
    """Compare every file of the folder; the code to exit with."""
    case = open_case()
    scenes = [scene["id"] for scene in describe_scenes(case)]
    compared = differing = broken = files = 0
    missing = []
    for slug in case.wirings:
        for scene in scenes:
            path = folder / f"{slug}-{scene}.csv"
            if not path.exists():
                missing.append(path.name)
                continue
            times, outputs, page = read_curves(path)
            regimens = arms_of(case, case.scenes[scene].regimen)
            if list(page) != list(regimens):
                raise SystemExit(f"{path.name} has the arms {list(page)}, not {list(regimens)}")
            native = native_curves(case, slug, regimens, times, outputs)
            wrong = sum(different(page[arm], native[arm]) for arm in regimens)
            if wrong:
                say(f"{path.name}: {wrong} of {sum(values.size for values in page.values())} values differ")
            files += 1
            differing += wrong
            compared += sum(values.size for values in page.values())
            broken += sum(int((~np.isfinite(values)).sum()) for values in page.values())
    say(f"{files} files, {compared} values: {differing} differ from the portable native kernel, {broken} no numbers")
    if missing:
        say(f"missing: {', '.join(missing)}")
    return 1 if differing or broken or missing or not compared else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: compare.py <folder of curves.mjs>")
    sys.exit(main(Path(sys.argv[1])))
