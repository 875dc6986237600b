"""A million virtual patients streamed into a Zarr store: seconds, and the peak memory of the process that did it."""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import xarray as xr

PATIENTS, MOMENTS = 1_000_000, 25
BOTH = "naltrexone 50 mg po at -45 min; ketamine 0.5 mg/kg iv over 40 min"


def main() -> int:
    """Run the command in a child of its own and read what it wrote."""
    if find_spec("zarr") is None:
        print("skipped: Zarr is not installed")
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch) / "run.zarr"
        command = [sys.executable, "-m", "antagony.cli", "simulate", "camp_crosstalk", BOTH]
        options = ["--patients", str(PATIENTS), "--points", str(MOMENTS), "--out", str(target)]
        begun = time.perf_counter()
        subprocess.run([*command, *options], check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - begun
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / (1e9 if sys.platform == "darwin" else 1e6)
        with xr.open_zarr(target) as stored:
            shape = dict(stored.sizes)
            missing = int(np.isnan(stored["score"].to_numpy()).sum())
            failed = stored.attrs["failed"]
    print(f"streamed: {shape['subject']} patients x {shape['time']} moments in {seconds:.1f} s, peak {peak:.2f} GB")
    print(f"missing values: {missing}, failed patients: {failed}")
    return int(shape["subject"] != PATIENTS or shape["time"] != MOMENTS or missing > 0)


if __name__ == "__main__":
    sys.exit(main())
