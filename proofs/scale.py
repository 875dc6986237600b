"""A million virtual patients on this machine: is throughput flat, is memory flat, and do the bits stay?

Each size runs in a process of its own. `simulate`: whole runs of 10^3 to 10^6 patients block by block, kept nowhere but
in a running hash; the process of 10^3 pays for start-up, which is reported apart. Then the same patients with 1 and 2
threads and with several sizes of block: one hash. Last, 10^6 patients written to a Zarr store, and 10^5 for its memory.
"""

from __future__ import annotations

import hashlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np

SIZES = (1_000, 10_000, 100_000, 1_000_000)
BLOCK = 32_768
BITS = 20_000  # patients whose bits are compared over threads and blocks
WAYS = ((1, BLOCK), (2, BLOCK), (2, 1_000), (2, 4_097), (1, 20_000))  # threads, patients a block
MOMENTS = 25
BOTH = "naltrexone 50 mg po at -45 min; ketamine 0.5 mg/kg iv over 40 min"


def run_alone(size: int, threads: int, block: int) -> dict[str, float | str]:
    """Simulate block by block and keep a hash; seconds with and without start-up, peak memory [MB], failures."""
    from antagony.case import open_case
    from antagony.population import sample_population
    from antagony.simulation import Arm, simulate

    begun = time.perf_counter()
    case = open_case()
    regimen = case.regimen(BOTH)
    mechanism = case.mechanism("camp_crosstalk", regimen.drugs)
    population = sample_population([*mechanism.parameters.values(), *mechanism.dosing.values()], size, seed=1)
    arms, times = {"both": Arm(regimen, (), case.trial)}, np.linspace(-1.0, 168.0, MOMENTS)
    simulate(mechanism, arms, times, population=population.take(np.arange(8)), outputs=["score"], threads=threads)
    ready = time.perf_counter()
    digest, failed = hashlib.sha256(), 0
    for first in range(0, size, block):
        some = population.take(np.arange(first, min(first + block, size)))
        run = simulate(mechanism, arms, times, population=some, outputs=["score", "mtorc1_relative"], threads=threads)
        failed += len(run.attrs["failures"])
        digest.update(np.stack([run[name].to_numpy()[0, 0] for name in run.data_vars], axis=-1).tobytes())
    ended = time.perf_counter()
    return {
        "seconds": ended - ready,
        "start_seconds": ready - begun,
        "memory": megabytes(resource.RUSAGE_SELF),
        "failed": failed,
        "hash": digest.hexdigest(),
    }


def store(size: int) -> dict[str, float]:
    """The same through the command, into a Zarr store: seconds, peak memory [MB], failed patients, missing values."""
    import xarray as xr

    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch) / "run.zarr"
        command = [sys.executable, "-m", "antagony.cli", "simulate", "camp_crosstalk", BOTH]
        options = ["--patients", str(size), "--points", str(MOMENTS), "--out", str(target)]
        begun = time.perf_counter()
        subprocess.run([*command, *options], check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - begun
        with xr.open_zarr(target) as stored:
            missing = int(np.isnan(stored["score"].to_numpy()).sum())
            whole = stored.sizes["subject"] == size and stored.sizes["time"] == MOMENTS
            failed = float(stored.attrs["failed"])
    return {
        "seconds": seconds,
        "memory": megabytes(resource.RUSAGE_CHILDREN),
        "failed": failed,
        "missing": missing if whole else size,
    }


def megabytes(who: int) -> float:
    """Highest memory of this process or of its children [MB]."""
    return resource.getrusage(who).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def ask(*what: object) -> dict[str, float]:
    """The answer of a fresh process of this script, so that memory and start-up are its own."""
    command = [sys.executable, __file__, *map(str, what)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def prove() -> int:
    """All of it, a line each; 1 where patients failed, are missing or have other bits."""
    bad = 0
    for size in SIZES:
        said = ask("run", size, 2, BLOCK)
        bad += int(said["failed"])
        print(
            f"patients {size}: {size / said['seconds']:.0f}/s, start-up {said['start_seconds']:.2f} s, "
            f"peak {said['memory']:.0f} MB, {said['failed']:.0f} failed",
            flush=True,
        )
    hashes = {ask("run", BITS, threads, block)["hash"] for threads, block in WAYS}
    print(f"bits of {BITS} patients in {len(WAYS)} ways (threads, block): {len(hashes)} different", flush=True)
    bad += len(hashes) - 1
    if find_spec("zarr") is None:
        print("store skipped: Zarr is not installed")
        return int(bad > 0)
    for size in SIZES[-2:]:
        said = ask("store", size)
        bad += int(said["failed"] + said["missing"])
        print(
            f"stored {size}: {size / said['seconds']:.0f}/s, peak {said['memory']:.0f} MB, "
            f"{said['failed']:.0f} failed, {said['missing']:.0f} missing",
            flush=True,
        )
    return int(bad > 0)


def main() -> int:
    """The proof, or one of its runs: `run SIZE THREADS BLOCK`, `store SIZE`."""
    if len(sys.argv) == 1:
        return prove()
    what, *numbers = sys.argv[1:]
    print(json.dumps({"run": run_alone, "store": store}[what](*map(int, numbers))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
