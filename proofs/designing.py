"""Which study next: time and errors of a ranking, its order over seeds, a search, and what realism costs.

Banks are read where they are stored (the folder $ANTAGONY_BANKS, or this user's cache) and filled first where they are
not; what is timed begins after that, with no forecast stored.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import fields, replace
from itertools import combinations
from pathlib import Path

from platformdirs import user_cache_path

from antagony.case import Case, open_case
from antagony.design import REALISTIC, Realism, realism_without
from antagony.planning.answer import Ranking
from antagony.planning.information import Evidence
from antagony.planning.optimisation import optimise_plan
from antagony.planning.ranking import Ask, Ranker, rank_plans

SEEDS = (1, 2, 3, 4, 5)
FAMILY = "two_by_two"
SUFFERING = ("two_by_two", "crossover_short", "dissociation_naltrexone", "nitrous_oxide_naltrexone", "morphine_alone",
             "memantine_first_week", "mu_pet_ketamine", "ketamine_saline")  # fmt: skip
"""Designs in which unblinding, carry-over, placebo response or dropout may matter."""
SIZES = (100, 600)
"""Patients of such a trial: what an analysis gets wrong grows with how sure it is."""
APART = 3.0  # Monte-Carlo errors that part two designs


def link_banks(folder: Path) -> None:
    """Banks and clouds of this user beside an empty store of forecasts."""
    known = Path(os.environ.get("ANTAGONY_BANKS") or user_cache_path("antagony")) / "kernels"
    (folder / "kernels").mkdir(mode=0o700, parents=True)
    for name in ("banks", "clouds"):
        if (known / name).is_dir():
            shutil.copytree(known / name, folder / "kernels" / name, copy_function=os.link)


def show_ranking(ranking: Ranking) -> None:
    """Every design in a line."""
    for r in ranking.ranked:
        e = r.evidence
        print(
            f"  {r.name}: {e.bits.value:.3f} bits (SE {e.bits.error:.3f}, bias {e.bias:.3f}), decisive "
            f"{e.decisive.value:.3f}, misleading {e.misleading.value:.4f}, control {r.control.value:.3f} "
            f"(SE {r.control.error:.3f})"
        )


def check_order(case: Case, first: Ranking, seeds: Sequence[int]) -> None:
    """Pairs more than 3 errors apart in the first ranking keep their order with other draws, patients and results."""
    known = {r.name: r.evidence.bits for r in first.ranked}
    apart = [
        (a, b) for a, b in combinations(known, 2)
        if abs(known[a].value - known[b].value) > APART * (known[a].error ** 2 + known[b].error ** 2) ** 0.5
    ]  # fmt: skip
    turned = set()
    for seed in seeds:
        ranker = Ranker(case, Ask(stream=seed))
        forecasts = ranker.expect([r.plan for r in first.ranked], REALISTIC)
        bits = {r.name: ranker.evidence(forecasts[r.name], r.evidence.n).bits.value for r in first.ranked}
        turned |= {(a, b) for a, b in apart if (known[a].value - known[b].value) * (bits[a] - bits[b]) < 0}
    print(f"order: {len(apart)} of {len(known) * (len(known) - 1) // 2} pairs apart, {len(turned)} turned in "
          f"{len(seeds) + 1} seeds {sorted(turned)}", flush=True)  # fmt: skip


def show_realism(case: Case, ranker: Ranker, n: int) -> None:
    """What each part of a real trial does where the analysis ignores it: the design that suffers most, its promise.

    A pair of rivals that is misled more often than 1/bound is proof of a wrong analysis: a right one cannot do that.
    """
    plans = [case.designs[name] for name in SUFFERING]
    real = ranker.expect(plans, REALISTIC)
    for name in (f.name for f in fields(Realism)):
        if name in ("residual", "heterogeneity"):
            continue
        ideal = realism_without([], "none") if name == "dropout" else realism_without([name])
        changed = [p for p in plans if name != "carry_over" or p.periods > 1]
        without = Ranker(case, replace(ranker.ask, realism=ideal)).expect(changed, ideal)
        asked = Ranker(case, replace(ranker.ask, ignored=(name,)))
        rows = []
        for plan in changed:
            promised = asked.evidence(without[plan.id], n)
            matched = asked.evidence(real[plan.id], n)
            fooled = asked.evidence(real[plan.id], n, naive=without[plan.id])
            rows.append((fooled.misleading.value, plan.id, promised, matched, fooled))
        _, worst, *three = max(rows, key=lambda row: row[0])
        texts = [f"{label} {_describe(e)}" for label, e in zip(("promised", "known", "ignored"), three, strict=True)]
        print(f"ignoring {name}, n = {n}, worst {worst}: {'; '.join(texts)}", flush=True)


def _describe(evidence: Evidence) -> str:
    """Bits and rates, and the ordered pair that is misled most."""
    misled = evidence.misleading
    (true, other), (_, most) = max(evidence.pairs.items(), key=lambda pair: pair[1][1])
    return (
        f"{evidence.bits.value:.2f} bits, decisive {evidence.decisive.value:.3f}, misleading {misled.value:.4f} "
        f"(SE {misled.error:.4f}), most {most:.3f} ({true} taken for {other})"
    )


def main() -> int:
    """Everything, or with --quick a look."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one seed, a short search")
    quick = parser.parse_args().quick
    with tempfile.TemporaryDirectory() as scratch:
        link_banks(Path(scratch))
        os.environ["ANTAGONY_CACHE"] = scratch
        case = open_case()
        begun = time.perf_counter()
        Ranker(case, Ask())
        print(f"posterior read, or filled: {time.perf_counter() - begun:.0f} s", flush=True)
        begun = time.perf_counter()
        ranking = rank_plans(case, Ask())
        print(f"ranking {len(ranking.ranked)} designs: {time.perf_counter() - begun:.1f} s", flush=True)
        show_ranking(ranking)
        errors = [(r.evidence.bits.error, r.name) for r in ranking.ranked]
        under = sum(error < 0.05 for error, _ in errors)
        print(f"errors below 0.05 bits: {under} of {len(errors)}, largest {max(errors)[0]:.3f} ({max(errors)[1]})")
        begun = time.perf_counter()
        rank_plans(case, Ask())
        print(f"ranking again, stored: {time.perf_counter() - begun:.1f} s", flush=True)
        print(*(f"* {line}" for line in (*ranking.sentences, *ranking.caveats)), sep="\n")
        check_order(case, ranking, () if quick else SEEDS[1:])
        for n in SIZES:
            show_realism(case, Ranker(case, Ask()), n)
        begun = time.perf_counter()
        found = optimise_plan(case, case.designs[FAMILY], Ask(), trials=8 if quick else 48)
        print(f"optimising {FAMILY}, {len(found.tried)} plans: {time.perf_counter() - begun:.1f} s")
        print(f"  {found.plan.values}, shares {[size / found.plan.patients for size in found.plan.sizes]}: "
              f"{found.evidence.bits.value:.3f} bits, as planned {found.start.bits.value:.3f}")  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
