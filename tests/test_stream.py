"""Streamed runs: the bits of one whole run for any block size, taken up where they stopped, whole or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from antagony.case import Case
from antagony.errors import ReportError
from antagony.population import Population, draw_parameters, sample_population
from antagony.simulation import simulate

zarr = pytest.importorskip("zarr", reason='Zarr is not installed: pip install "antagony[stream]"')

from antagony import stream  # noqa: E402
from antagony.stream import read_failures, stream_run  # noqa: E402

KETAMINE = "ketamine 0.5 mg/kg iv over 40 min"
TIMES = [0.0, 1.0, 24.0]
SLUG = "camp_crosstalk"


def problem(case: Case) -> tuple[Any, Any, Any]:
    arms = {"ketamine": case.regimen(KETAMINE), "both": case.regimen(f"naltrexone 50 mg po at -45 min; {KETAMINE}")}
    return case.mechanism(SLUG, ["ketamine", "naltrexone"]), arms, TIMES


def patients(case: Case, size: int, seed: int = 4) -> Population:
    return sample_population(case.parameters(SLUG).values(), size, seed=seed)


def same(first: xr.Dataset, second: xr.Dataset) -> None:
    for name, values in first.variables.items():
        np.testing.assert_array_equal(values.to_numpy(), second[name].to_numpy(), err_msg=str(name))
    changed = {"failures", "failed"}
    assert {k: v for k, v in first.attrs.items() if k not in changed} == {
        k: v for k, v in second.attrs.items() if k not in changed
    }


@pytest.mark.parametrize("block", [700, 999, 3000, 5000])
def test_any_block_gives_the_bits_of_one_whole_run(case: Case, tmp_path: Path, block: int) -> None:
    people, outputs = patients(case, 3000), ["score", "mtorc1_relative"]
    whole = simulate(*problem(case), population=people, outputs=outputs)
    target = tmp_path / "run.zarr"
    assert stream_run(*problem(case), target, population=people, outputs=outputs, block=block) == target
    assert [p.name for p in tmp_path.iterdir()] == ["run.zarr"]
    with xr.open_zarr(target) as stored:
        same(whole, stored)
        assert stored["score"].attrs["units"] == whole["score"].attrs["units"]
    assert read_failures(target) == ([], 0)


def test_draws_run_with_every_block(case: Case, tmp_path: Path) -> None:
    people, draws = patients(case, 60), draw_parameters(case.parameters(SLUG).values(), 5, seed=2)
    whole = simulate(*problem(case), population=people, draws=draws, outputs=["score"])
    stream_run(*problem(case), tmp_path / "run.zarr", population=people, draws=draws, outputs=["score"], block=17)
    with xr.open_zarr(tmp_path / "run.zarr") as stored:
        assert dict(stored.sizes) == {"arm": 2, "draw": 5, "subject": 60, "time": 3}
        same(whole, stored)


def test_patients_taken_from_a_population_keep_their_factors_and_numbers(case: Case) -> None:
    whole = patients(case, 500)
    some = whole.take(np.arange(500) % 7 == 3)
    assert some.subjects.tolist() == list(range(3, 500, 7))
    assert some.take(np.array([2, 0])).subjects.tolist() == [17, 3]
    for name, factors in whole.factors.items():
        np.testing.assert_array_equal(some.factors[name], factors[3::7])


def test_quasi_random_patients_do_not_depend_on_how_many_are_drawn_at_once(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = patients(case, 3000)
    monkeypatch.setattr("antagony.population.SOBOL_BLOCK", 256)
    blocks = patients(case, 3000)
    for name, factors in whole.factors.items():
        np.testing.assert_array_equal(blocks.factors[name], factors)


def stop_after(count: int) -> Any:  # noqa: ANN401
    def tell(done: int, total: int) -> None:
        if done >= count:
            raise KeyboardInterrupt

    return tell


def test_a_stopped_run_goes_on_after_its_last_whole_block(case: Case, tmp_path: Path) -> None:
    people, target = patients(case, 900), tmp_path / "run.zarr"
    settings = {"population": people, "outputs": ["score"], "block": 200}
    with pytest.raises(KeyboardInterrupt):
        stream_run(*problem(case), target, **settings, progress=stop_after(400))
    assert not target.exists()
    begun: list[int] = []
    stream_run(*problem(case), target, **settings, progress=lambda done, total: begun.append(done))
    assert begun == [400, 600, 800]
    with xr.open_zarr(target) as stored:
        same(simulate(*problem(case), population=people, outputs=["score"]), stored)
    assert [p.name for p in tmp_path.iterdir()] == ["run.zarr"]


@pytest.mark.parametrize("other", ["population", "outputs", "block", "draws", "times"])
def test_an_unfinished_run_with_other_settings_is_not_continued(case: Case, tmp_path: Path, other: str) -> None:
    settings: dict[str, Any] = {"population": patients(case, 300), "outputs": ["score"], "block": 100}
    with pytest.raises(KeyboardInterrupt):
        stream_run(*problem(case), tmp_path / "run.zarr", **settings, progress=stop_after(100))
    mechanism, arms, times = problem(case)
    rows = case.parameters(SLUG).values()
    changed: dict[str, Any] = {
        "population": patients(case, 300, seed=5),
        "outputs": ["mtorc1_relative"],
        "block": 150,
        "draws": draw_parameters(rows, 1, seed=9),
    }
    if other == "times":
        times = [*times, 48.0]
    else:
        settings[other] = changed[other]
    with pytest.raises(ReportError, match=f"other settings.*{other}"):
        stream_run(mechanism, arms, times, tmp_path / "run.zarr", **settings)


def test_a_finished_store_is_not_overwritten(case: Case, tmp_path: Path) -> None:
    settings = {"population": patients(case, 10), "outputs": ["score"]}
    stream_run(*problem(case), tmp_path / "run.zarr", **settings)
    with pytest.raises(ReportError, match="exists"):
        stream_run(*problem(case), tmp_path / "run.zarr", **settings)
    with pytest.raises(ReportError, match="cannot be written"):
        stream_run(*problem(case), tmp_path / "missing" / "run.zarr", **settings)


def test_failures_of_all_blocks_are_counted_with_their_patient(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A patient whose clearance is no number fails; the others, its own block's too, are untouched, bit for bit."""
    people = patients(case, 90)
    name = next(n for n in people.factors if n.startswith("ketamine"))
    ill = people.factors[name].copy()
    ill[[7, 50, 51]] = np.nan
    sick = Population(90, 4, {**people.factors, name: ill})
    monkeypatch.setattr(stream, "LISTED", 4)
    stream_run(*problem(case), tmp_path / "run.zarr", population=sick, outputs=["score"], block=30)
    listed, failed = read_failures(tmp_path / "run.zarr")
    assert (len(listed), failed) == (4, 6)  # three patients in two arms
    assert {int(text.split("subject ")[1].split(",")[0]) for text in listed} == {7, 50, 51}
    well = ~np.isnan(ill)
    whole = simulate(*problem(case), population=people, outputs=["score"])
    with xr.open_zarr(tmp_path / "run.zarr") as stored:
        np.testing.assert_array_equal(stored["score"][:, :, well], whole["score"][:, :, well])


def test_without_zarr_the_extra_is_named(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "find_spec", lambda name: None)
    with pytest.raises(ReportError, match=r"antagony\[stream\]"):
        stream_run(*problem(case), tmp_path / "run.zarr")


# --- the command line ------------------------------------------------------------------------------------------------


def command(target: Path, seed: int = 1, size: int = 120_000) -> list[str]:
    return [
        *(sys.executable, "-m", "antagony.cli", "simulate", "none", KETAMINE, "--points", "5"),
        *("--patients", str(size), "--seed", str(seed), "--out", str(target)),
    ]


def test_the_command_line_streams_what_it_would_print(tmp_path: Path) -> None:
    for ending in ("nc", "zarr"):
        done = subprocess.run(
            command(tmp_path / f"run.{ending}", size=500), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    with xr.open_dataset(tmp_path / "run.nc", engine="h5netcdf") as whole, xr.open_zarr(tmp_path / "run.zarr") as some:
        same(whole, some)


@pytest.mark.proof
def test_a_killed_run_continues_and_other_settings_are_refused(tmp_path: Path) -> None:
    """Killed without a word after its first block; the same command finishes it, another seed does not."""
    target, record = tmp_path / "run.zarr", tmp_path / ".run.zarr.part" / "progress.json"
    with subprocess.Popen(command(target), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None and not record.is_file():
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
    assert record.is_file()
    assert not target.exists()
    other = subprocess.run(command(target, seed=2), capture_output=True, text=True, check=False)
    assert other.returncode == 2
    assert "other settings (population)" in " ".join(other.stderr.split())
    done = subprocess.run(command(target), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with xr.open_zarr(target) as stored:
        assert stored.subject.to_numpy().tolist() == list(range(120_000))
        assert np.isfinite(stored["score"].to_numpy()).all()
    assert [p.name for p in tmp_path.iterdir()] == ["run.zarr"]
