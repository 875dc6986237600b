"""Does a ranking of trials keep its promises? Whole trials from every class, weighed by what the rivals expected.

The leading design that people are in, as small as advised and larger, and the 2 x 2; a few results are weighed again
by tempered sampling of the published studies and the new trial at once. Banks as in designing.py.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from designing import FAMILY, link_banks

from antagony.case import open_case
from antagony.design import Plan
from antagony.planning.confirmation import Confirmed, confirm_plan, importance_result, temper_result
from antagony.planning.ranking import Ask, Ranker

LEADING = ("glutamate_mrs", 20)  # as ranked by antagony design, with the patients that it advises
LARGER = (("glutamate_mrs", 160), (FAMILY, 320))
REPEATED = 5  # results that are weighed again


def confirm(ranker: Ranker, plan: Plan, n: int, trials: int) -> Confirmed:
    """Whole trials from every rival, beside what was promised."""
    begun = time.perf_counter()
    found = confirm_plan(ranker, plan, n, trials=trials)
    for name, (promised, seen) in (("decisive", found.decisive), ("misleading", found.misleading)):
        print(f"confirmed {plan.id}, n = {n}, {trials} trials a rival, {name}: promised {promised.value:.4f} "
              f"(SE {promised.error:.4f}), found {seen.value:.4f} (SE {seen.error:.4f})")  # fmt: skip
    print(f"  median posterior draws that still count {found.counting:.0f}, {time.perf_counter() - begun:.0f} s")
    for (true, other), (decisive, misleading) in found.pairs.items():
        print(f"  {true} against {other}: decisive {decisive:.3f}, misleading {misleading:.3f}")
    return found


def temper_some(ranker: Ranker, plan: Plan, n: int, found: Confirmed, repeated: int) -> None:
    """A few results by tempered sampling of the published studies and the new trial at once."""
    for k in range(repeated):
        row = k * len(found.results) // repeated
        source = next(s for s in ranker.sources if s.slug in ranker.rivals[k % len(ranker.rivals)].members)
        begun = time.perf_counter()
        known, error = importance_result(ranker, source, plan, n, found.results[row])
        value, own = temper_result(ranker, source, plan, n, found.results[row], seed=k, tell=lambda text: None)
        print(f"tempered, result {row}, {source.cloud.structure.name}: {value:.2f} (SE {own:.2f}), from stored draws "
              f"{known:.2f} (SE {error:.2f}), {time.perf_counter() - begun:.0f} s", flush=True)  # fmt: skip


def main() -> int:
    """Two designs, with --quick a tenth of the trials and no tempered sampling."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few trials, no tempered sampling")
    quick = parser.parse_args().quick
    with tempfile.TemporaryDirectory() as scratch:
        link_banks(Path(scratch))
        os.environ["ANTAGONY_CACHE"] = scratch
        case = open_case()
        ranker = Ranker(case, Ask())
        name, n = LEADING
        trials = 20 if quick else 200
        found = confirm(ranker, case.designs[name], n, trials)
        for other, size in LARGER:
            confirm(ranker, case.designs[other], size, trials)
        temper_some(ranker, case.designs[name], n, found, 0 if quick else REPEATED)
    return 0


if __name__ == "__main__":
    sys.exit(main())
