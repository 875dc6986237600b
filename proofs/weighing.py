"""How long does weighing take, from nothing and stored, how large are its errors, and what does averaging cost?

Averaging: each mean over patients (kinetic points, tables, nodes of a trial's own course) against 256 quasi-random
patients' kinetics and ten times the nodes, in standard errors of the finding, root mean square over 50 prior draws.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace

import numpy as np

from antagony.case import Case, open_case
from antagony.population import Population, sample_population
from antagony.posterior.answer import Weighing
from antagony.posterior.bank import Layout, draw_cube, lay_out, run_courses
from antagony.posterior.cube import list_structures
from antagony.posterior.measures import mean_error, measure
from antagony.posterior.prediction import NODES, Predictor, keep_needed_points
from antagony.posterior.weighing import weigh

AVERAGED = ("camp_crosstalk", "gated_surge")
DRAWS, PATIENTS = 50, 256


def clock(what: str, case: Case, effort: str, until: str | None = None) -> Weighing:
    """Weigh and print the seconds."""
    begun = time.perf_counter()
    answer = weigh(case, effort=effort, until=until)
    print(f"weigh {what}: {time.perf_counter() - begun:.1f} s", flush=True)
    stages = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in answer.seconds.items())
    print(f"  {stages}; {answer.budget}", flush=True)
    return answer


def show_errors(answer: Weighing) -> None:
    """The largest Monte-Carlo error of a log marginal, and each mechanism's."""
    worst = max((w for w in answer.mechanisms), key=lambda w: w.log_marginal.error)
    print(f"largest error, {answer.effort}: {worst.log_marginal.error:.2f} nat ({worst.slug})")
    for w in answer.mechanisms:
        print(
            f"  {w.slug}: partial {w.partial.value:.2f} (error {w.partial.error:.2f}), full {w.log_marginal.value:.2f} "
            f"(error {w.log_marginal.error:.2f}), {w.counting:.0f} of {w.draws} draws count",
            flush=True,
        )


def with_many(case: Case, layout: Layout) -> Layout:
    """The layout with quasi-random patients in every number that varies between them."""
    rows = case.parameters(layout.structure.slug, layout.structure.variants)
    models = []
    for model in layout.models:
        names = list(model.points.factors)
        many = sample_population([rows[name] for name in names], PATIENTS, seed=3)
        factors = {name: np.concatenate([[1.0], many.factors[name]]) for name in names}
        models.append(replace(model, points=Population(PATIENTS + 1, None, factors) if names else model.points))
    return replace(layout, models=tuple(models))


def show_averaging(case: Case, slug: str) -> None:
    """Error of each mean over patients [standard errors of its finding]."""
    whole = lay_out(case, list_structures(case, slug)[0])
    plain, many = keep_needed_points(case, whole), with_many(case, whole)
    early, late = draw_cube(plain.cube, DRAWS, 1, seed=5, block=0)
    draws = plain.cube.draws(np.column_stack([early, late]))
    few, full = run_courses(plain, draws), run_courses(many, draws)
    one, other = Predictor(case, plain), Predictor(case, many, nodes=10 * NODES)
    found = []
    for scored in plain.scored:
        if not scored.study.is_human or case.rules is None:
            continue
        pair = [p.predict(scored, c, draws.values, DRAWS) for p, c in ((one, few), (other, full))]
        means = [(p.centre / (1.0 if p.sd is None else p.sd)).mean(axis=1) for p in pair]
        error = mean_error(measure(scored.study, scored.finding, case.rules))
        found.append((float(np.sqrt(np.mean((means[0] - means[1]) ** 2)) / error), scored.study.id))
    found.sort()
    print(
        f"averaging {slug}: median {found[len(found) // 2][0]:.3f}, largest "
        f"{', '.join(f'{size:.2f} ({study})' for size, study in found[-3:][::-1])}",
        flush=True,
    )


def main() -> int:
    """Quick, standard, standard again, up to a year; then averaging."""
    case = open_case()
    quick = clock("quick", case, "quick")
    show_errors(quick)
    standard = clock("standard", case, "standard")
    show_errors(standard)
    clock("standard again, stored", case, "standard")
    clock("until 2016, stored", case, "standard", "2016")
    for sentence in (*standard.sentences, *standard.fragile):
        print(f"* {sentence}")
    for slug in AVERAGED:
        show_averaging(case, slug)
    return 0


if __name__ == "__main__":
    sys.exit(main())
