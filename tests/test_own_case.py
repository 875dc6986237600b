"""A case that is not the packaged one: the how-to's example from lint to page, and what a wrong file of it says."""

from __future__ import annotations

import json
import re
import shutil
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import run_command
from typer.testing import CliRunner

from antagony.case import Case, open_case
from antagony.cli import app
from antagony.display import read_display
from antagony.errors import AntagonyError, CaseError, CompilerError
from antagony.kernel import webassembly
from antagony.lint import lint_case
from antagony.study import Trial, trial_values
from antagony.trial import simulate_trial

DOCS = Path(__file__).resolve().parent.parent / "docs"
EXAMPLE = DOCS / "examples" / "psilocybin"
FILE = re.compile(r'^```\w+ title="([^"]+)"\n(.*?)^```$', re.MULTILINE | re.DOTALL)
SHOWN = FILE.findall((DOCS / "how-to" / "bring-your-own-case.md").read_text(encoding="utf-8"))
RIVALS = ("trip", "receptor", "trkb", "expectancy")
ALONE, BLOCKED = "psilocybin 25 mg po", "ketanserin 40 mg po at -60 min; psilocybin 25 mg po"
INVENTED = "invented for this example"
STRANGE = re.compile(r"ketamine|naltrexone|opioid|NMDA|mTORC1|cAMP|HAM-D", re.IGNORECASE)


def copy_example(folder: Path) -> Path:
    return Path(shutil.copytree(EXAMPLE, folder / "my-case"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return copy_example(tmp_path)


@pytest.fixture(scope="module")
def example() -> Case:
    return open_case(EXAMPLE)


def ask(*words: str, case: Path) -> str:
    """What the command line prints, which must succeed."""
    done = CliRunner().invoke(app, [*words, "--case", str(case)], env={"NO_COLOR": "1", "COLUMNS": "120"})
    assert done.exit_code == 0, (done.output, done.exception)
    return done.stdout


def ask_json(*words: str, case: Path) -> Any:  # noqa: ANN401 - whatever JSON holds
    return json.loads(ask(*words, "--json", case=case))


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert text.count(old) >= 1
    file.write_text(text.replace(old, new, 1), encoding="utf-8")


# --- the page and the folder -----------------------------------------------------------------------------------------


def test_the_page_shows_every_file_as_it_is() -> None:
    found = [path for path in EXAMPLE.rglob("*") if path.is_file()]
    files = {path.relative_to(EXAMPLE).as_posix(): path.read_text(encoding="utf-8") for path in found}
    assert files.pop("README.md")
    assert len(SHOWN) == len(dict(SHOWN)) > 25
    assert dict(SHOWN) == files


def test_it_lints_as_soon_as_the_page_says_so(tmp_path: Path) -> None:
    for name, text in SHOWN[: [name for name, _ in SHOWN].index("references.bib") + 1]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert not (tmp_path / "claims.toml").exists() and not (tmp_path / "weighing.toml").exists()
    assert "0 errors, 0 warnings" in ask("lint", case=tmp_path)


def test_every_result_is_said_to_be_invented(example: Case) -> None:
    assert len(example.studies) == 2
    for study in example.studies.values():
        text = (EXAMPLE / "studies" / f"{study.id}.toml").read_text(encoding="utf-8")
        assert INVENTED in text.splitlines()[0].lower() and INVENTED in study.title
        grades = {grade for f in study.findings for grade in f.grades.values()}
        grades |= {number.grade for number in study.trial.numbers.values()} | {a.n_grade for a in study.design.arms}
        assert study.reference == "invented" and grades <= {"assumed", "definition"}
        assert {f.source for f in study.findings} == {"invented"}
    assert "invented" in example.disclaimer.lower()
    for page in (EXAMPLE / "README.md", DOCS / "how-to" / "bring-your-own-case.md"):
        assert "invented" in page.read_text(encoding="utf-8")[:700]


# --- what must be true -----------------------------------------------------------------------------------------------


def bateman(time: np.ndarray, start: float, amount: float, absorption: float, elimination: float) -> np.ndarray:
    """Amount in one compartment after a dose by mouth [nmol]."""
    since = np.maximum(time - start, 0)
    factor = amount * absorption / (absorption - elimination)
    return factor * (np.exp(-elimination * since) - np.exp(-absorption * since))


@pytest.mark.parametrize("blocker", [False, True])
def test_the_receptor_follows_its_closed_form(blocker: bool) -> None:
    outputs = [word for name in ("ht2a_activity", "experience", "benefit") for word in ("-o", name)]
    regimen = BLOCKED if blocker else ALONE
    run = ask_json("simulate", "trip", regimen, *outputs, "--until", "3 d", "--points", "41", case=EXAMPLE)
    times = np.array(run["coords"]["time"]["data"])
    fine = np.linspace(times[0], times[-1], 40_001)
    psilocin = bateman(fine, 0.0, 25e6 / 284.25, 0.9, 0.23) / 650 / 10
    ketanserin = bateman(fine, -1.0, 40e6 / 395.4, 1.5, 0.05) / 500 / 2 * blocker
    activity = psilocin / (1 + psilocin + ketanserin)
    experience = activity**4 / (activity**4 + 0.6**4)
    grown = np.exp(fine / 720) * experience
    benefit = np.exp(-fine / 720) * np.concatenate(
        [[0], np.cumsum((grown[1:] + grown[:-1]) / 2 * np.diff(fine))]
    )  # d b/dt = e - b/720
    for name, exact in (("ht2a_activity", activity), ("experience", experience), ("benefit", benefit)):
        found = np.array(run["data_vars"][name]["data"]).ravel()
        np.testing.assert_allclose(found, np.interp(times, fine, exact), rtol=2e-4, atol=2e-5, err_msg=name)


def test_the_antagonist_stops_the_trip_in_all_and_the_effect_in_three() -> None:
    found = {(r["claim"], r["mechanism"]): r for r in ask_json("claims", "--draws", "40", case=EXAMPLE)}
    assert {mechanism for _, mechanism in found} == set(RIVALS)
    assert all(found["trip_blocked", slug]["measured"] < 0.01 for slug in RIVALS)
    assert {slug for slug in RIVALS if found["effect_blocked", slug]["holds"]} == {"trip", "receptor", "expectancy"}
    assert {slug for slug in RIVALS if found["effect_needs_waking", slug]["holds"]} == {"trip", "expectancy"}
    assert all(result["calibrated"] for result in found.values())


def test_a_felt_comparator_counts_without_periods(example: Case) -> None:
    plan = example.plan("invented_felt").resized(400)
    assert example.periods is None
    gain = {
        slug: float(simulate_trial(example, slug, plan, replicates=2, uncertain=False).estimates["value"].mean())
        for slug in ("trip", "expectancy")
    }
    assert gain["trip"] < -3 and gain["expectancy"] > -1.5  # both groups expect the same


def test_figures_show_the_outputs_that_mechanisms_join(example: Case) -> None:
    shown = read_display(example)
    assert shown.outputs == ("psilocin_level", "ht2a_activity", "experience", "benefit", "drug_effect", "score")
    assert [column.title for column in shown.columns] == ["5-HT2A activity", "trip", "benefit", "MADRS"]
    assert shown.caveats == ()


def test_the_packaged_case_is_shown_as_its_file_says(case: Case) -> None:
    shown = read_display(case)
    assert shown.outputs[0] == "nmda_block" and shown.outputs[-1] == "score"
    assert list(shown.columns[0].outputs) == ["nmda_block", "mu_occupancy_antagonist"]
    assert len(shown.caveats) == 1


def test_how_a_case_is_shown_is_no_part_of_its_fingerprint(folder: Path) -> None:
    before = open_case(folder).hash
    (folder / "report.toml").write_text('outputs = ["score"]\ncaveats = ["Mind."]\n', encoding="utf-8")
    after = open_case(folder)
    assert after.hash == before
    assert read_display(after).outputs == ("score",) and read_display(after).caveats == ("Mind.",)
    (folder / "claims.toml").unlink()
    assert open_case(folder).hash != before and open_case(folder).claims == ()


# --- wrong files -----------------------------------------------------------------------------------------------------

WRONG = (
    ("drugs/ketanserin/parameters.tsv", "\t2\tnM", "\ttwo\tnM", "drugs/ketanserin/parameters.tsv, line 6", '"two"'),
    ("studies/invented_felt.toml", "se = 2.0", "see = 2.0", 'studies/invented_felt.toml, finding "week"', '"se"'),
    ("case.toml", 'finding = "week"', "finding = week", "case.toml: not valid TOML", "line"),
    ("case.toml", '["trip", "receptor", "trkb", "expectancy"]', "[]", "case.toml, key mechanisms", "at least 1"),
)


@pytest.mark.parametrize(("file", "old", "new", "where", "what"), WRONG, ids=[w[3] for w in WRONG])
def test_a_wrong_file_is_named_in_one_sentence(
    folder: Path, file: str, old: str, new: str, where: str, what: str
) -> None:
    change(folder / file, old, new)
    done = run_command("lint", "--case", str(folder))
    assert done.returncode == 2 and done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert where in done.stderr and what in done.stderr


LINTED = (
    ("mechanisms/trip/wiring.ant", "experience;", "experiense;", "mechanisms/trip/wiring.ant", '"experience"'),
    ("mechanisms/trip/mechanism.toml", 'class = "a"', 'class = "z"', "mechanisms/trip/mechanism.toml", '"z"'),
    ("mechanisms/trip/mechanism.toml", 'class = "a"\n', "", "mechanisms/trip/mechanism.toml, key class", "missing"),
    ("case.toml", "score_max = 60\n", "", "studies/invented_felt.toml, key trial", '"score_max"'),
    ("parts/parameters.tsv", "comparator_cue\t", "comparator_clue\t", "studies/invented_felt.toml", "comparator_clue"),
    ("designs/dose.toml", '"parallel"', '"crossover"\nwashout = "60 d"', "designs/dose.toml, key design", "[periods]"),
    ("drugs/psilocybin/parameters.tsv", "madsen_2019", "madson_2019", "parameters.tsv, line 6", '"madsen_2019"'),
)


@pytest.mark.parametrize(("file", "old", "new", "where", "what"), LINTED, ids=[f"{w[3]} {w[4]}" for w in LINTED])
def test_lint_names_what_only_the_whole_case_shows(
    folder: Path, file: str, old: str, new: str, where: str, what: str
) -> None:
    if file == "case.toml":  # a study that leaves it to the case
        change(folder / "studies" / "invented_felt.toml", 'score_max = { value = 60, grade = "definition" }\n', "")
    change(folder / file, old, new)
    found = [f"{issue.where}: {issue.message}" for issue in lint_case(open_case(folder))]
    assert any(where in line and what in line for line in found), found


def test_lint_says_what_a_report_cannot_show(folder: Path) -> None:
    (folder / "report.toml").write_text('outputs = ["experiense"]\n', encoding="utf-8")
    text = (folder / "case.toml").read_text(encoding="utf-8")
    (folder / "case.toml").write_text(re.sub(r"\[scenes\].*?\n\n", "", text, flags=re.DOTALL), encoding="utf-8")
    found = {issue.where: issue.message for issue in lint_case(open_case(folder))}
    assert 'did you mean "experience"?' in found["report.toml"]
    assert "no verdict" in found["case.toml, key scenes"]


def test_commands_say_what_they_miss(folder: Path) -> None:
    asked = {
        ("design", "--effort", "quick"): "designs/<name>.toml",
        ("verdict", "--draws", "2", "--out", str(folder / "v.html")): "key calibration.study",
        ("nominal", "trip"): "no finding can be scored",
    }
    shutil.rmtree(folder / "designs")
    for i, (words, said) in enumerate(asked.items()):
        if i == 1:
            shutil.rmtree(folder / "studies")
        done = CliRunner().invoke(app, [*words, "--case", str(folder)])
        assert isinstance(done.exception, AntagonyError) and said in str(done.exception), (words, done.exception)


def test_a_number_that_no_trial_states_is_asked_for_by_name() -> None:
    values = trial_values(Trial("MADRS"), {"score_max": 60.0})
    assert values["score_max"] == 60 and values.get("score_baseline") is None
    with pytest.raises(CaseError, match='"score_baseline": state it below'):
        values["score_baseline"]


# --- weighing and designing ------------------------------------------------------------------------------------------


def log_partials(weighing: dict[str, Any]) -> dict[str, float]:
    return {name: weighing["partial"][name] for name in RIVALS}


@pytest.mark.proof
def test_weighing_tells_only_what_the_results_can_tell() -> None:
    weighing = ask_json("weigh", "--effort", "quick", case=EXAMPLE)
    found, error = log_partials(weighing), max(weighing["partial_error"].values())
    alike = [found[name] for name in ("trip", "receptor", "trkb")]
    assert max(alike) - min(alike) < 0.1 + 4 * error  # all three predict the same of both trials
    assert min(alike) - found["expectancy"] > 1.5 > 10 * error


@pytest.mark.proof
def test_each_design_parts_the_rivals_that_it_should() -> None:
    def bits(rivals: str) -> dict[str, tuple[float, float]]:
        ranking = ask_json("design", "--effort", "quick", "--rivals", rivals, case=EXAMPLE)
        return {design["name"]: (design["bits"], design["bits_error"]) for design in ranking["designs"]}

    other, same = bits("trip,trkb"), bits("trip,receptor")
    assert other["antagonist"][0] > other["dose"][0] + 4 * other["antagonist"][1]
    assert same["antagonist"][0] < 4 * same["antagonist"][1] + 0.02  # it takes the trip and the receptor alike
    assert same["asleep"][0] > same["antagonist"][0] + 4 * same["asleep"][1]


def run_as_study(folder: Path, design: str, truth: str) -> None:
    """Run a design once under a truth, and write what it found as a study of the case."""
    words = ("trial", design, "--mechanism", truth, "--nominal", "--replicates", "1", "--patients", "600")
    (estimate,) = ask_json(*words, "--seed", "7", case=folder)["estimates"]
    text = (folder / "designs" / f"{design}.toml").read_text(encoding="utf-8")
    head, _ = text.split("[[estimands]]")
    arms = tomllib.loads(text)["estimands"][0]["arms"]
    head = re.sub(r'title = "(.*)"', rf'title = "\1 ({INVENTED})"', head, count=1).replace(
        "\n[design]",
        f'reference = "invented"\ndate = "2022"\nsample = "run_{design}"\nrole = "discriminating"\n\n[design]',
        1,
    )
    finding = (
        f'[[findings]]\nid = "week"\nkind = "contrast"\narms = {json.dumps(arms)}\ntime = "7 d"\nprimary = true\n'
        f'value = {estimate["mean"]}\nse = {estimate["se"]}\ngrade = "assumed"\nsource = "invented"\n'
    )
    (folder / "studies" / f"run_{design}.toml").write_text(head + finding, encoding="utf-8")


@pytest.mark.proof
@pytest.mark.parametrize("truth", ["trip", "receptor", "trkb"])
def test_the_truth_behind_simulated_results_comes_out_first(folder: Path, truth: str) -> None:
    for design in ("antagonist", "asleep"):
        run_as_study(folder, design, truth)
    assert "0 errors" in ask("lint", case=folder)
    found = log_partials(ask_json("weigh", "--effort", "quick", case=folder))
    others = [value for name, value in found.items() if name != truth]
    assert found[truth] > max(others) + 0.5, found


def has_compiler() -> bool:
    try:
        webassembly.find_webassembly_compiler()
    except CompilerError:
        return False
    return True


def words_of(file: Path) -> Sequence[str]:
    """Words of the packaged case that stand in a report."""
    text = file.read_text(encoding="utf-8")
    return STRANGE.findall(re.sub(r"<style.*?</style>", "", text, flags=re.DOTALL))


@pytest.mark.proof
def test_the_report_speaks_of_its_own_case_alone(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "verdict.html"
    printed = ask("verdict", "--draws", "20", "--patients", "8", "--out", str(out), case=folder)
    assert not STRANGE.search(printed) and "explains 1 of 1" in printed
    assert words_of(out) == []
    assert "strength of the experience" in out.read_text(encoding="utf-8")


@pytest.mark.proof
@pytest.mark.skipif(not has_compiler(), reason="no WebAssembly compiler: clang with lld, or ziglang")
def test_the_page_speaks_of_its_own_case_alone(folder: Path, tmp_path: Path) -> None:
    import base64
    import gzip

    out = tmp_path / "page.html"
    ask("page", "--draws", "8", "--patients", "4", "--out", str(out), case=folder)
    packed = re.search(r'id="facts">([^<]+)<', out.read_text(encoding="utf-8"))
    assert packed is not None
    text = gzip.decompress(base64.b64decode(packed[1])).decode()
    facts = json.loads(text)
    assert [m["id"] for m in facts["mechanisms"]] == list(RIVALS)
    assert STRANGE.findall(text) == []
    assert {name for track in facts["tracks"] for name in track["outputs"]} >= {"experience", "benefit", "score"}
    assert facts["trial"]["bodyweight"] == 70


# --- what a command says to do next ----------------------------------------------------------------------------------


def test_the_next_command_asks_the_same_case(folder: Path) -> None:
    """Nothing is stored for a case that was just changed: the commands that make it name its folder."""
    change(folder / "case.toml", 'title = "', 'title = "Changed: ')
    asked = ("--case", str(folder), "--draws", "4", "--patients", "4", "--out", str(folder.parent / "verdict.html"))
    done = run_command("verdict", *asked)
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert sum(line.endswith(f": antagony weigh --case {folder}") for line in said) == 1
    assert sum(line.endswith(f": antagony design --case {folder}") for line in said) == 1
    some = run_command("verdict", "--mechanism", "trip", *asked).stdout
    assert "add --weigh quick to weigh them" in some and "antagony design" not in some


def test_a_mechanism_that_is_there_but_not_listed_is_told(folder: Path) -> None:
    shutil.copytree(folder / "mechanisms" / "trip", folder / "mechanisms" / "trop")
    done = run_command("claims", "trop", "--case", str(folder))
    assert 'no mechanism "trop"; it has the folder: add it to `mechanisms` in case.toml' in done.stderr


def test_a_class_that_the_case_lacks_is_refused_before_the_work(folder: Path) -> None:
    file = folder / "mechanisms" / "trip" / "mechanism.toml"
    change(file, 'class = "a"', 'class = "elsewhere"')
    done = run_command("weigh", "--case", str(folder))
    assert done.returncode == 2
    assert 'mechanisms/trip/mechanism.toml, key class: case.toml has no class "elsewhere"' in done.stderr
