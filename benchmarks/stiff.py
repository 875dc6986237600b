"""What the stiff model costs: seconds a trajectory with kinetics=full over those of the quasi-steady base.

Both models take turns, so that a busy machine slows both; medians over the rounds. One thread, default tolerances,
ketamine after naltrexone for a week, prior draws. Usage: python benchmarks/stiff.py [rounds]
"""

from __future__ import annotations

import statistics
import sys
import time

import numpy as np

from antagony.case import Case, open_case
from antagony.population import Draws, draw_parameters
from antagony.simulation import Arm, simulate

SCENE = "ketamine_naltrexone"
DRAWS = 2000
TIMES = np.r_[-1.0, 0.0, 1.0, 2.0, 24.0, 72.0, 168.0]
MODELS = {"quasi-steady": {}, "full": {"kinetics": "full"}}


def main(rounds: int) -> int:
    """Time every mechanism and print a line each."""
    case = open_case()
    print(f"{'mechanism':22s} {'quasi-steady':>14s} {'full':>14s} {'ratio':>7s}   seconds a trajectory")
    ratios = []
    for slug in case.wirings:
        rows = case.mechanism(slug, case.scenes[SCENE].regimen.drugs).parameters.values()
        drawn = draw_parameters(rows, DRAWS, seed=1)
        spent: dict[str, list[float]] = {name: [] for name in MODELS}
        for _ in range(rounds + 1):
            for name, variants in MODELS.items():
                spent[name].append(_timed(case, slug, variants, drawn) / DRAWS)
        plain, full = (statistics.median(spent[name][1:]) for name in MODELS)  # the first round builds the kernels
        ratios.append(full / plain)
        print(f"{slug:22s} {plain:14.2e} {full:14.2e} {ratios[-1]:7.2f}", flush=True)
    print(f"median ratio {statistics.median(ratios):.2f}, from {min(ratios):.2f} to {max(ratios):.2f}")
    return 0


def _timed(case: Case, slug: str, variants: dict[str, str], drawn: Draws) -> float:
    """Seconds of one batch of draws; a lost trajectory would make it look quick, so none may be."""
    regimen = case.scenes[SCENE].regimen
    mechanism = case.mechanism(slug, regimen.drugs, variants)
    begin = time.perf_counter()
    run = simulate(mechanism, {"a": Arm(regimen, (), case.trial)}, TIMES, draws=drawn, outputs=["score"], threads=1)
    seconds = time.perf_counter() - begin
    assert run.attrs["failures"] == []
    return seconds


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 15))
