"""The command line: what it prints, what it writes, how it fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import xarray as xr

KETAMINE = "ketamine 0.5 mg/kg iv over 40 min"


def run(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "antagony.cli", *arguments]
    environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "160"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=cwd)


@pytest.mark.parametrize("command", ["verdict", "simulate", "claims", "trial", "diff", "lint"])
def test_help_teaches(command: str) -> None:
    done = run(command, "--help")
    assert done.returncode == 0
    assert "--case" in done.stdout


def test_simulate_prints_a_table_and_writes_the_same_numbers(tmp_path: Path) -> None:
    target = tmp_path / "run.nc"
    arguments = ("simulate", "camp_crosstalk", KETAMINE, "-o", "mtorc1_relative", "--until", "24 h", "--points", "5")
    table, written = run(*arguments), run(*arguments, "--out", str(target))
    assert (table.returncode, written.returncode) == (0, 0), table.stderr + written.stderr
    assert "mtorc1_relative" in table.stdout
    with xr.open_dataset(target, engine="h5netcdf") as stored:
        peak = float(stored["mtorc1_relative"].max())
        assert stored.attrs["mechanism"] == "camp_crosstalk"
    assert f"{peak:.4g}" in table.stdout
    assert [p.name for p in tmp_path.iterdir()] == ["run.nc"]


@pytest.mark.parametrize("ending", [".csv", ".svg"])
def test_simulate_writes_other_forms(tmp_path: Path, ending: str) -> None:
    target = tmp_path / f"run{ending}"
    done = run("simulate", "none", KETAMINE, "--points", "4", "--out", str(target))
    assert done.returncode == 0, done.stderr
    assert target.stat().st_size > 100


def test_diff_states_the_wiring_and_counts_the_rest() -> None:
    done = run("diff", "camp_crosstalk", "none", "--drug", "ketamine")
    assert done.returncode == 0, done.stderr
    assert "mtorc1_brake" in done.stdout
    assert "the same in both" in done.stdout


def test_claims_as_json_and_strict(tmp_path: Path) -> None:
    done = run("claims", "nmda_rest", "--draws", "8", "--json", "--strict")
    rows = {row["claim"]: row for row in json.loads(done.stdout)}
    assert rows["s2_score"]["holds"]
    assert not rows["s5_gain_lost"]["holds"]
    assert done.returncode == 1  # broken claims, and --strict


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("simulate", "camp_crostalk", KETAMINE), 'did you mean "camp_crosstalk"?'),
        (("simulate", "none", "ketamin 0.5 mg/kg iv"), 'did you mean "ketamine"?'),
        (("simulate", "none", "ketamine 0.5 mg/kg po"), "no route|route"),
        (("simulate", "none", "ketamine -5 mg iv"), "-5"),
        (("simulate", "none", "ketamine 5 kg iv"), "kg"),
        (("simulate", "none", "ketamine 5 mmg iv"), "mmg"),
        (("simulate", "none", KETAMINE, "-o", "mtorc"), "no output"),
        (("simulate", "none", KETAMINE, "--until", "soon"), "soon"),
        (("simulate", "none", KETAMINE, "--variant", "loss"), "axis=name"),
        (("simulate", "none", "ketamine 35 mg iv over 2 h; ketamine 35 mg iv at 1 h over 2 h"), "overlap"),
        (("simulate", "none", KETAMINE, "--out", "run.docx"), "use .csv, .nc or .svg"),
        (("lint", "--case", "/nowhere"), "no case.toml"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert any(word in " ".join(done.stderr.split()) for word in said.split("|"))
    assert list(tmp_path.iterdir()) == []


def test_a_report_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    target = tmp_path / "missing" / "run.csv"
    done = run("simulate", "none", KETAMINE, "--points", "3", "--out", str(target))
    assert done.returncode == 2
    assert "cannot be written" in done.stderr


def test_trial_shows_power_and_published_results_and_writes_every_rating(tmp_path: Path) -> None:
    target = tmp_path / "trial.nc"
    arguments = ("trial", "williams_2018", "--mechanism", "nmda_rest", "--replicates", "40", "--patients", "26")
    done = run(*arguments, "--out", str(target))
    assert done.returncode == 0, done.stderr
    assert "26 patients" in done.stdout
    assert "responders_24h" in done.stdout
    with xr.open_dataset(target, engine="h5netcdf") as stored:
        assert stored.sizes == {"mechanism": 1, "replicate": 40, "subject": 26, "visit": 6}
        assert set(stored.sequence.to_numpy()[[0, -1]].tolist()) == {
            "placebo_ketamine > naltrexone_ketamine",
            "naltrexone_ketamine > placebo_ketamine",
        }
    answer = json.loads(run(*arguments, "--json").stdout)
    found = {row["finding"]: row for row in answer["findings"]}
    assert found["responders_24h"]["observed"] == pytest.approx(7 / 12)
    assert 0 <= found["hamd17_24h"]["probability"] <= 1


@pytest.mark.parametrize("ending", [".csv", ".svg"])
def test_trial_writes_other_forms(tmp_path: Path, ending: str) -> None:
    target = tmp_path / f"trial{ending}"
    done = run("trial", "murrough_2013", "--mechanism", "none", "--replicates", "10", "--out", str(target))
    assert done.returncode == 0, done.stderr
    assert target.stat().st_size > 500


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("wiliams_2018",), 'no study "wiliams_2018"; did you mean "williams_2018"'),
        (("williams_2018", "--washout", "-5 d"), "key design.washout: -120 h"),
        (("williams_2018", "--patients", "0"), "key n: 0 patients"),
        (("williams_2018", "--without", "plazebo"), 'did you mean "placebo"'),
        (("williams_2018", "--dropout", "random"), 'unknown dropout "random"'),
        (("murrough_2013", "--washout", "5 d"), "this design has one period"),
        (("williams_2018", "--mechanism", "camp"), 'no mechanism "camp"'),
    ],
)
def test_trial_says_what_cannot_be_run(arguments: tuple[str, ...], said: str) -> None:
    done = run("trial", *arguments)
    assert done.returncode == 2
    assert said in done.stderr
