"""Every mechanism of the packaged case against libRoadRunner, on every state, for every scene.

    difference = max over time |kernel - reference| / max over time |reference|      per state; at most 1e-6

The reference runs at rtol 1e-9, atol 1e-12 and is begun anew at every dose; where CVODE stops twice, scipy's Radau on
the same SBML answers, counted here. Exits 1 on a difference above the target.
"""

from __future__ import annotations

import sys
from collections import Counter

import numpy as np

from antagony.case import open_case
from antagony.population import NOMINAL, TYPICAL
from antagony.reference import solve_reference
from antagony.schedule import Events
from antagony.simulation import Arm, Tolerances, _Run, run_phases

TARGET = 1e-6
LONGEST = 168.0  # h watched of each scene; doses beyond are left out with it


def main() -> int:
    """Compare and print one line a mechanism."""
    case = open_case()
    solvers: Counter[str] = Counter()
    worst_of_all = 0.0
    print(f"kernel at rtol 1e-10 against libRoadRunner at rtol 1e-9, atol 1e-12; target {TARGET:g}")
    for slug in case.wirings:
        worst, where = 0.0, ""
        for name, scene in case.scenes.items():
            mechanism = case.mechanism(slug, scene.regimen.drugs)
            run = _Run(mechanism, TYPICAL, NOMINAL, Tolerances(1e-10, 1e-12), False, 1)
            arm = Arm(scene.regimen, (), case.trial)
            kernel = run.kernel([arm])
            until = min(scene.until, LONGEST)
            times = np.unique(np.r_[-1.0, 0.0, np.geomspace(0.05, until, 40)])
            parameters, phases = run.prepare(kernel, arm, times)
            settings = {"rtol": 1e-10, "atol": run.atol(kernel), "threads": 1}
            got = run_phases(kernel, parameters, phases, times, kernel.states, settings)[0][0]
            start = min(float(times[0]), phases[0].start)
            events = _joined([phase.events for phase in phases], until)
            reference = solve_reference(mechanism, kernel, parameters[0], events, times, start)
            solvers[reference.solver] += 1
            size = np.abs(reference.values).max(axis=0)
            gap = np.abs(got - reference.values).max(axis=0) / np.where(size > 0, size, 1.0)
            if gap.max() > worst:
                worst, where = float(gap.max()), f"{kernel.states[int(gap.argmax())]} in {name}"
        worst_of_all = max(worst_of_all, worst)
        print(f"  {slug:20s} {worst:.1e}  ({where})", flush=True)
    print("reference solver: " + ", ".join(f"{name} {count}" for name, count in sorted(solvers.items())))
    print(f"largest difference {worst_of_all:.1e}, target {TARGET:g}: {'met' if worst_of_all <= TARGET else 'MISSED'}")
    return 0 if worst_of_all <= TARGET else 1


def _joined(pieces: list[Events], last: float) -> Events:
    """Events of all phases up to a time; the padding beyond is +inf. Scenes hold no steady states."""
    time = np.column_stack([e.time for e in pieces])
    order = np.argsort(time, axis=1, kind="stable")
    fields = [np.column_stack([getattr(e, name) for e in pieces]) for name in ("time", "action", "target", "value")]
    time, action, target, value = (np.take_along_axis(f, order, axis=1) for f in fields)
    return Events(np.where(time <= last, time, np.inf), action, target, value)


if __name__ == "__main__":
    sys.exit(main())
