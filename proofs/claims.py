"""Every claim of every mechanism over 2,000 prior draws: seconds cold, with kernels cached, and by mechanism."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from antagony.case import open_case
from antagony.claims import check_claims

DRAWS = 2000


def whole(cache: str) -> None:
    """Time the command that a user runs, written as JSON, and check that the answers are all there."""
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch) / "claims.json"
        command = [sys.executable, "-m", "antagony.cli", "claims", "--draws", str(DRAWS), "--out", str(target)]
        begun = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - begun
        table = json.loads(target.read_text(encoding="utf-8"))
    mechanisms, answers = len(table["mechanisms"]), len(table["claims"])
    fewer = sorted({row["draws"] for row in table["claims"]} - {DRAWS})
    what = f"{mechanisms} mechanisms x {answers / mechanisms:.0f} claims x {DRAWS} draws, {cache}"
    print(f"claims: {what}: {seconds:.1f} s", flush=True)
    if cache == "kernels cached":
        print(f"{answers} answers; chronic dosing over {', '.join(map(str, fewer)) or 'no fewer'} draws")


def by_mechanism() -> None:
    """Seconds that each mechanism takes, kernels cached."""
    case = open_case()
    for slug in case.wirings:
        begun = time.perf_counter()
        check_claims(case, slug, (*case.claims, *case.own_claims.get(slug, ())), draws=DRAWS)
        print(f"  {slug}: {time.perf_counter() - begun:.1f} s", flush=True)


def main() -> int:
    """Time both, then each mechanism."""
    whole("nothing cached")
    whole("kernels cached")
    by_mechanism()
    return 0


if __name__ == "__main__":
    sys.exit(main())
