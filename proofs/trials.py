"""Virtual trials over many replicates: do intervals cover, does carry-over show when it should, how long does it take?

Coverage is asked where dropout is at random (93 to 97 % of 2,000 trials); where it is not at random it is reported.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace

import numpy as np

from antagony.case import Case, open_case
from antagony.condition import Condition
from antagony.design import REALISTIC, Dropout, Estimand, Plan, Realism, plan_study
from antagony.study import Arm, Design
from antagony.trial import simulate_trial, true_effects

TRIALS = 2000
KETAMINE = "ketamine 0.5 mg/kg iv over 40 min"
LOW, HIGH = 0.93, 0.97


def parallel(case: Case) -> Plan:
    """40 patients on ketamine, 40 on nothing that can be felt; rated after a day, three days and a week."""
    arms = tuple(
        Arm(n, n, Condition(r), None, "", None, "", "") for n, r in (("ketamine", KETAMINE), ("placebo", "no drug"))
    )
    design = Design("parallel", "made up", "double-blind", arms)
    estimands = (Estimand("week", ("ketamine", "placebo"), 168.0),)
    return Plan(
        "parallel_40", "40 v 40", design, case.studies["williams_2018"].trial, (24.0, 72.0, 168.0), estimands, (40, 40)
    )


def crossover(case: Case, washout: float = 720.0) -> Plan:
    """The published crossover with 26 patients."""
    plan = plan_study(case.studies["williams_2018"])
    first = next(e for e in plan.estimands if e.id == "hamd17_24h")
    design = replace(plan.design, washout=washout)
    return replace(plan, design=design, estimands=(first,), visits=(24.0, 72.0)).resized(26)


def cover(case: Case, slug: str, plan: Plan, dropout: Dropout) -> float:
    """Share of trials whose interval holds the truth, printed with bias and its standard error."""
    realism: Realism = replace(REALISTIC, dropout=dropout)
    name = plan.estimands[0].id
    truth = true_effects(case, slug, plan, patients=65536)[name]
    run = simulate_trial(case, slug, plan, replicates=TRIALS, uncertain=False, realism=realism)
    values = run.estimates["value"].sel(estimand=name).to_numpy()
    share = run.coverage(truth.value, name)
    error = float(np.hypot(values.std() / TRIALS**0.5, truth.error))
    print(
        f"coverage {plan.id} {slug} {dropout}: {100 * share:.1f} % of {TRIALS}, truth {truth.value:+.2f}, "
        f"bias {values.mean() - truth.value:+.3f} (SE {error:.3f}), power {100 * run.power()[0]:.0f} %",
        flush=True,
    )
    return share


def main() -> int:
    """Ask and print everything; 1 when an interval covers too seldom or too often, or carry-over is not as expected."""
    case, sound = open_case(), True
    for slug in ("none", "camp_crosstalk", "nmda_rest"):
        for plan in (parallel(case), crossover(case)):
            share = cover(case, slug, plan, "at_random")
            sound &= LOW <= share <= HIGH
            cover(case, slug, plan, "not_at_random")
    truth = true_effects(case, "camp_crosstalk", crossover(case), patients=65536)["hamd17_24h"]
    for days in (5, 14, 30):
        plan = crossover(case, 24.0 * days)
        plan = replace(plan, visits=(24.0,))
        stay = replace(REALISTIC, dropout="none")
        run = simulate_trial(case, "camp_crosstalk", plan, replicates=TRIALS, uncertain=False, realism=stay)
        values = run.estimates["value"][0]
        bias = float(values.mean()) - truth.value
        error = float(np.hypot(values.std() / TRIALS**0.5, truth.error))
        print(f"carry-over after {days} d: bias {bias:+.3f} (SE {error:.3f}) of {truth.value:+.2f}", flush=True)
        sound &= bias < -10 * error if days == 5 else days == 14 or abs(bias) < 4 * error
    simulate_trial(case, "camp_crosstalk", crossover(case), replicates=1)  # the kernel; its time is the bench's
    start = time.perf_counter()
    run = simulate_trial(case, "camp_crosstalk", crossover(case), replicates=1000)
    print(
        f"1000 replicates of a 26-patient crossover: {time.perf_counter() - start:.2f} s, failures {len(run.failures)}"
    )
    return int(not sound)


if __name__ == "__main__":
    sys.exit(main())
