"""The command line: what it prints, what it writes, how it fails."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from command import run_command as run

from antagony import terminal
from antagony.case import Case
from antagony.errors import ReportError
from antagony.matrix import fill_matrix
from antagony.printing import matrix_cell, write_matrix
from antagony.terminal import Line, print_grid

KETAMINE = "ketamine 0.5 mg/kg iv over 40 min"


def test_a_process_of_its_own_prints_and_ends_the_same(tmp_path: Path) -> None:
    """The other tests call the command inside their own process: these two end as real ones do, to the letter."""
    for arguments, code in ((("diff", "camp_crosstalk", "none"), 0), (("simulate", "none", "ketamine 5 kg iv"), 2)):
        line = [sys.executable, "-m", "antagony.cli", *arguments]
        environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "160"}
        apart = subprocess.run(line, capture_output=True, text=True, check=False, env=environment, cwd=tmp_path)
        within = run(*arguments, cwd=tmp_path)
        assert (within.returncode, within.stdout, within.stderr) == (apart.returncode, apart.stdout, apart.stderr)
        assert within.returncode == code


@pytest.mark.parametrize("command", ["verdict", "simulate", "claims", "trial", "diff", "lint", "weigh", "design"])
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
        (("simulate", "none", KETAMINE, "--out", "run.docx"), "use .csv, .nc, .svg or .zarr"),
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
        (("wiliams_2018",), 'no design or study "wiliams_2018"; did you mean'),
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


def test_simulate_says_what_the_case_lacks_and_what_it_has() -> None:
    """The nearest name first, then readouts: no alphabetical list that is cut."""
    given = "ketamine 0.5 mg/kg iv over 40 min"
    wrong = run("simulate", "gatedsurge", given)
    assert 'the case ketamine has no mechanism "gatedsurge"; did you mean "gated_surge"?' in wrong.stderr
    near = run("simulate", "none", given, "-o", "mtor1").stderr.replace("\n", " ")
    assert 'none has no output "mtor1"; did you mean "mtorc1"? Its readouts: ketamine_eq' in near
    far = run("simulate", "none", given, "-o", "quux").stderr.replace("\n", " ")
    assert 'none has no output "quux". Its readouts:' in far and "score" in far and "..." not in far


def test_simulate_names_the_statistic_of_many_patients_and_shows_their_spread(tmp_path: Path) -> None:
    """Mean and 5 to 95 % as the file of the same run gives them."""
    asked = ("simulate", "none", KETAMINE, "--points", "3", "--patients", "20", "--seed", "4")
    shown = run(*asked).stdout
    assert "Mean over 20 patients (seed 4); in brackets 5 to 95 % of the patients." in " ".join(shown.split())
    assert run(*asked, "--out", str(tmp_path / "run.csv")).returncode == 0
    with (tmp_path / "run.csv").open(encoding="utf-8", newline="") as file:
        rows = [(float(row["time"]), float(row["score"])) for row in csv.DictReader(file)]
    last = np.array([score for time, score in rows if time == max(time for time, _ in rows)])
    low, high = np.quantile(last, [0.05, 0.95])
    assert last.size == 20 and low < high
    assert f"{last.mean():.4g} ({low:.4g} to {high:.4g})" in shown
    alone = run(*asked[:5]).stdout
    assert "Mean over" not in alone and " to " not in alone
    plotted = run(*asked, "--plot").stdout
    assert "Mean over 20 patients (seed 4)." in plotted
    drawn = " ".join(run(*asked, "--draws", "5").stdout.split())
    assert "Mean over 20 patients (seed 4) and 5 draws (seed 4); in brackets 5 to 95 % of the draws" in drawn


# --- claims as one matrix --------------------------------------------------------------------------------------------


def test_claims_print_one_matrix_with_own_claims_below_their_mechanism() -> None:
    done = run("claims", "none", "nmda_rest", "--draws", "8")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    (common,) = (line.split() for line in lines if line.strip().startswith("s5_gain_lost"))
    assert common == ["s5_gain_lost", "-0", "-0", "williams_2018"]
    own = next(i for i, line in enumerate(lines) if line.strip() == "own of nmda_rest")
    assert next(line.split() for line in lines[own:] if "bdnf_rises" in line)[-1] == "autry_2011"
    assert "Monte-Carlo error of a percentage" in done.stdout
    assert "8 draws" in done.stdout


def test_the_long_list_stays() -> None:
    done = run("claims", "none", "--draws", "8", "--long")
    assert "parted most by" in done.stdout
    assert "s5_gain_lost" in done.stdout


def test_narrow_terminals_get_some_mechanisms_at_a_time() -> None:
    """Every claim and every head is there whole, in as many parts as it takes."""
    done = run("claims", "none", "camp_crosstalk", "nmda_rest", "--draws", "4", columns=56)
    lines = [line.split() for line in done.stdout.splitlines()]
    shared = [line for line in lines if line[:1] == ["s5_gain_lost"]]
    assert len(shared) > 1
    assert sum(len(line) - 1 for line in shared) == 3
    assert "williams_2018: s5_gain_lost" in " ".join(done.stdout.split())
    assert max(map(len, done.stdout.splitlines())) <= 56
    assert "camp" in done.stdout


def test_claims_are_written_in_three_forms_with_the_same_answers(tmp_path: Path) -> None:
    table = {}
    for ending in ("json", "csv", "html"):
        target = tmp_path / f"claims.{ending}"
        done = run("claims", "none", "nmda_rest", "--draws", "8", "--seed", "3", "--out", str(target))
        assert done.returncode == 0, done.stderr
        table[ending] = target.read_text(encoding="utf-8")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["claims.csv", "claims.html", "claims.json"]
    stored = json.loads(table["json"])
    assert (stored["settings"]["seed"], stored["settings"]["draws"]) == (3, 8)
    lines = {(r["claim"], r["mechanism"]): r for r in csv.DictReader(table["csv"].splitlines())}
    assert len(lines) == len(stored["claims"]) > 60
    for row in stored["claims"]:
        line = lines[row["claim"], row["mechanism"]]
        assert (line["holds"], line["asked_of"]) == (str(row["holds"]), row["asked_of"])
        assert float(line["share_of_draws"]) == row["share_of_draws"]


def test_the_page_is_whole_and_asks_no_host(tmp_path: Path) -> None:
    """One cell for each answer with its word, not its colour alone; every source that a row names is spelled out."""
    target = tmp_path / "claims.html"
    assert run("claims", "none", "--draws", "8", "--out", str(target)).returncode == 0
    page = target.read_text(encoding="utf-8")
    rows = [r.partition("</tr>")[0] for r in page.split("<tr>") if r.strip().startswith('<th scope="row">')]
    answers = [r for r in rows if 'class="holds"' in r or 'class="broken"' in r]
    assert len(answers) == 34
    assert all(("✓" in r) == ("</span> holds<" in r) == ('class="holds"' in r) for r in answers)
    keys = set(re.findall(r'href="#source-([^"]+)"', page))
    assert {"hopkins_2019", "williams_2018"} <= keys
    assert keys == set(re.findall(r'id="source-([^"]+)"', page))
    assert not re.search(r'(src|href)="(?!#|https://doi|https?://)', page)
    assert "<script" not in page
    assert "@import" not in page


@pytest.mark.parametrize("ending", ["docx", "nc"])
def test_an_unknown_ending_is_refused_before_the_work(tmp_path: Path, ending: str) -> None:
    done = run("claims", "none", "--draws", "100000", "--out", f"claims.{ending}", cwd=tmp_path)
    assert done.returncode == 2
    assert "use .html, .csv or .json" in " ".join(done.stderr.split())
    assert list(tmp_path.iterdir()) == []


def test_a_mechanism_without_a_scale_is_marked(case: Case) -> None:
    """`n/c` where the claim needs the scale; its other claims are answered."""
    study = case.studies["murrough_2013"]
    wild = replace(study, findings=tuple(replace(f, value=-40.0) if f.calibrates else f for f in study.findings))
    asked = tuple(c for c in case.claims if c.id in ("s2_score", "s2_block"))
    other = replace(case, studies={**case.studies, "murrough_2013": wild}, claims=asked, own_claims={}, nominals={})
    matrix = fill_matrix(other, ["camp_crosstalk"], draws=4)
    cells = {row.claim.id: matrix_cell(row.results[0]) for row in matrix.rows}
    assert cells["s2_score"] == "n/c0"
    assert cells["s2_block"].startswith("+")
    assert not matrix.columns[0].calibrated
    with pytest.raises(ReportError, match="cannot be written"):
        write_matrix(matrix, Path("/nowhere/claims.html"))


# --- bars ------------------------------------------------------------------------------------------------------------


def test_the_time_left_is_shown_once_work_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five steps at two seconds each are done and five are left: ten seconds. A short piece of work keeps quiet."""
    from rich.console import Console
    from rich.progress import Progress

    now = [0.0]
    seen = StringIO()
    screen = Console(file=seen, force_terminal=True, color_system=None, width=100, get_time=lambda: now[0])
    monkeypatch.setattr(terminal, "show_console", lambda **_: screen)
    monkeypatch.setattr(Progress, "start", lambda self: None)
    bars: list[Progress] = []
    enter = Progress.__enter__
    monkeypatch.setattr(Progress, "__enter__", lambda self: bars.append(self) or enter(self))
    with terminal.show_progress() as tell:
        for done in range(4):
            tell("compiling", done, 4)
            now[0] += 0.3
        screen.print(bars[0].get_renderable())
        assert "left" not in seen.getvalue()
        for done in range(6):
            tell("claims", done, 10)
            now[0] += 2.0
        screen.print(bars[0].get_renderable())
    assert "left 0:00:10" in seen.getvalue()


def test_a_log_hears_of_long_work_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.console import Console

    now, log = [0.0], StringIO()
    monkeypatch.setattr(terminal, "show_console", lambda **_: Console(file=log, width=40))
    monkeypatch.setattr("antagony.terminal.time.monotonic", lambda: now[0])
    with terminal.show_progress() as tell:
        for done in range(100):
            tell("claims of a mechanism with a long name [bold]", done, 100)
            now[0] += 1.0
    said = "claims of a mechanism with a long name [bold]: {0} of 100 done, {0} s"
    assert log.getvalue().splitlines() == [said.format(done) for done in (30, 60, 90)]


@pytest.mark.parametrize("width", [80, 104, 240])
def test_what_was_published_stands_beside_what_is_predicted(width: int) -> None:
    from types import SimpleNamespace

    from rich.console import Console

    from antagony.printing import print_verdict
    from antagony.replay import Replay

    def a_replay(slug: str, name: str, **changes: Any) -> Replay:  # noqa: ANN401
        finding = SimpleNamespace(id=name, kind="contrast", output="score", sign=None)
        for key in ("kind", "output", "sign"):
            setattr(finding, key, changes.pop(key, getattr(finding, key)))
        settings = {
            "study": "trial_2018", "mechanism": slug, "text": name, "unit": "", "predicted": -8.0, "low": -9.0,
            "high": -7.0, "observed": None, "observed_low": None, "observed_high": None, "agrees": True,
            "calibrates": False, "note": "",
        }  # fmt: skip
        return Replay(finding=finding, **(settings | changes))  # type: ignore[arg-type]

    rivals = [
        SimpleNamespace(
            slug=f"rival_number{i:02d}", claims=(), explains=3, findings=3,
            replays=(
                a_replay(f"rival_number{i:02d}", "difference_esketamine_24h", observed=-4.2, unit="points"),
                a_replay(f"rival_number{i:02d}", "hamd", kind="direction", sign=1),
                a_replay(f"rival_number{i:02d}", "occupancy", kind="direction", output="mu", sign=-1),
            ),
        )
        for i in range(12)
    ]  # fmt: skip
    screen = StringIO()
    print_verdict(
        SimpleNamespace(mechanisms=rivals, summary=()),  # type: ignore[arg-type]
        Console(file=screen, width=width, color_system=None),
    )
    shown = screen.getvalue()
    parts = shown.count("explains")
    assert parts == shown.count(" published") and (parts == 1) == (width == 240)
    lines = [" ".join(line.split()[-2:]) for line in shown.splitlines()]
    assert sum("-4.2" in line for line in lines) == shown.count("points") == parts
    assert shown.count("lower") == shown.count("falls") == shown.count("less") == parts
    assert max(map(len, shown.splitlines())) <= width


@pytest.mark.parametrize("width", [*range(50, 200, 7), 80, 100, 120, 132])
def test_no_column_of_a_grid_is_lost_at_any_width(width: int) -> None:
    from rich.console import Console

    heads = [f"rival_number{i:02d}" for i in range(12)]
    lines = [Line("heading"), Line("a_claim_with_a_long_name", tuple(f"+{i + 100}" for i in range(12)), "source_2020")]
    screen = StringIO()
    print_grid("title", heads, lines, Console(file=screen, width=width, color_system=None))
    shown = screen.getvalue()
    assert [shown.count(f"+{i + 100}") for i in range(12)] == [1] * 12
    assert max(map(len, shown.splitlines())) <= width
