"""Runs too large for memory: patients simulated block by block and written into one Zarr store as they come.

The store grows in a folder beside the target and is renamed when it is whole. A run that was stopped goes on after its
last whole block, if everything that decides its numbers is the same. The bits are those of one run over all patients.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from .errors import ReportError
from .mechanism import Mechanism
from .population import NOMINAL, TYPICAL, Draws, Population
from .regimen import Regimen
from .simulation import Arm, Tolerances, simulate

if TYPE_CHECKING:
    import xarray as xr

ROWS = 32_768  # patients x draws simulated at once, where the block is not named
USUAL = Tolerances()
LISTED = 1000  # failures spelled out in the store; the others are counted

Progress = Callable[[int, int], None]


def stream_run(
    mechanism: Mechanism,
    arms: Mapping[str, Arm | Regimen],
    times: ArrayLike,
    path: Path,
    *,
    population: Population = TYPICAL,
    draws: Draws = NOMINAL,
    outputs: Sequence[str] | None = None,
    tolerances: Tolerances = USUAL,
    block: int | None = None,
    progress: Progress | None = None,
) -> Path:
    """Simulate as `simulate` does and write the dataset to a Zarr store, `block` patients at a time.

    Needs the extra `stream`. `progress(done, total)` is told the patients before each block. The store bears
    `failures` (the first LISTED) and `failed` (how many) among its attributes. Raises ReportError where the target
    exists, cannot be written, or an unfinished run with other settings lies beside it.
    """
    path = Path(path)
    size = block or max(1, ROWS // draws.size)
    moments = np.ascontiguousarray(times, dtype=float)

    def simulate_block(begin: int, end: int) -> xr.Dataset:
        some = population.take(np.arange(begin, end))
        return simulate(mechanism, arms, moments, population=some, draws=draws, outputs=outputs, tolerances=tolerances)

    settings = {
        "mechanism": hashlib.sha256(mechanism.sbml.encode()).hexdigest(),
        "arms": {name: repr(arm) for name, arm in arms.items()},
        "times": moments.tolist(),
        "outputs": list(mechanism.outputs if outputs is None else outputs),
        "patients": population.size,
        "population": _digest(population.factors, population.values, {"numbers": population.subjects}),
        "draws": _digest(draws.values),
        "tolerances": repr(tolerances),
        "block": size,
    }
    with _writing(path):
        store = _Store(path, settings, population)
        for begin in range(store.done, population.size, size):
            if progress is not None:
                progress(begin, population.size)
            end = min(begin + size, population.size)
            store.write(simulate_block(begin, end), begin, end)
        store.finish()
    return path


def read_failures(path: Path) -> tuple[list[str], int]:
    """The failures that a finished store lists, and how many there were."""
    import zarr

    attrs: Any = zarr.open_group(str(path), mode="r").attrs
    return list(attrs["failures"]), int(attrs["failed"])


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Every way in which a store cannot be written, as one sentence."""
    if find_spec("zarr") is None:
        raise ReportError(f'{path}: Zarr is not installed; pip install "antagony[stream]"')
    if path.exists():
        raise ReportError(f"{path} exists; remove it or name another: a streamed run is not overwritten")
    try:
        with warnings.catch_warnings():  # text and attributes are not in Zarr's frozen specification yet
            warnings.filterwarnings("ignore", module="zarr")
            warnings.filterwarnings("ignore", message=".*(V3 specification|Zarr format 3).*")
            yield
    except OSError as error:
        raise ReportError(f"{path} cannot be written: {error}; what is done is kept beside it") from None


class _Store:
    """A growing store beside its target: `.<name>.part/` holds `run.zarr` and how far it has come."""

    def __init__(self, path: Path, settings: Mapping[str, Any], population: Population) -> None:
        self.path, self.settings, self.population = path, settings, population
        self.folder = path.with_name(f".{path.name}.part")
        self.store, self.record = self.folder / "run.zarr", self.folder / "progress.json"
        self.done, self.failed, self.failures, self.kernel = 0, 0, list[str](), ""
        if self.record.is_file() and self.store.is_dir():
            self._resume(json.loads(self.record.read_text(encoding="utf-8")))
        else:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir()

    def _resume(self, known: dict[str, Any]) -> None:
        """Take up an unfinished run; raises ReportError where what decides its numbers differs."""
        other = sorted(name for name, value in self.settings.items() if known["settings"].get(name) != value)
        if other:
            raise ReportError(
                f"{self.folder} holds an unfinished run with other settings ({', '.join(other)}); "
                "finish it with its own settings, remove that folder, or name another file"
            )
        self.kernel = known["settings"]["kernel"]
        self.done, self.failed, self.failures = known["done"], known["failed"], known["failures"]

    def write(self, run: xr.Dataset, begin: int, end: int) -> None:
        """Add one block of patients."""
        if begin == 0:
            self._create(run)
        elif run.attrs["kernel"] != self.kernel:
            raise ReportError(f"{self.folder} was begun with another kernel (compiler or processor); remove it")
        else:
            fixed = [name for name in run.variables if name == "subject" or "subject" not in run[name].dims]
            region = {"subject": slice(begin, end)}
            run.drop_vars(fixed).drop_attrs(deep=False).to_zarr(self.store, region=region, consolidated=False)
        self.done = end
        self.failed += len(run.attrs["failures"])
        self.failures += run.attrs["failures"][: LISTED - len(self.failures)]
        self._note()

    def _create(self, run: xr.Dataset) -> None:
        """The store with its first block, every array already as long as it will be."""
        import zarr

        self.kernel = run.attrs["kernel"]
        length = run.sizes["subject"]
        chunks = {"arm": 1, "draw": run.sizes["draw"], "subject": length, "time": run.sizes["time"]}
        encoding = {
            str(name): {"chunks": tuple(chunks[str(d)] for d in values.dims)}
            for name, values in run.variables.items()
            if "subject" in values.dims
        }
        run.to_zarr(self.store, mode="w", encoding=encoding, consolidated=False)
        group = zarr.open_group(str(self.store), mode="r+")
        for name in encoding:
            dims = run[name].dims
            array: Any = group[name]
            array.resize(tuple(self.population.size if d == "subject" else run.sizes[d] for d in dims))
        subjects: Any = group["subject"]
        subjects[:] = self.population.subjects  # an index, which writing a region leaves out

    def _note(self) -> None:
        """Write down how far it has come, under another name first."""
        settings = {**self.settings, "kernel": self.kernel}
        known = {"settings": settings, "done": self.done, "failed": self.failed, "failures": self.failures}
        beside = self.record.with_suffix(".new")
        beside.write_text(json.dumps(known), encoding="utf-8")
        os.replace(beside, self.record)

    def finish(self) -> None:
        """State the failures of all blocks and give the store its name."""
        import zarr

        group = zarr.open_group(str(self.store), mode="r+")
        group.attrs["failures"] = self.failures
        group.attrs["failed"] = self.failed
        zarr.consolidate_metadata(str(self.store))
        os.replace(self.store, self.path)
        shutil.rmtree(self.folder)


def _digest(*tables: Mapping[str, ArrayLike]) -> str:
    """Fingerprint of named columns."""
    digest = hashlib.sha256()
    for table in tables:
        for name in sorted(table):
            digest.update(name.encode() + b"\0" + np.ascontiguousarray(table[name], dtype=float).tobytes())
        digest.update(b"\1")
    return digest.hexdigest()
