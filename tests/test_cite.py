"""What a result cites: valid BibTeX (read by pybtex), the sources that its numbers name, nothing else."""

from __future__ import annotations

import base64
import csv
import gzip
import json
import re
import shutil
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
import xarray as xr
from pybtex.database import BibliographyData, parse_string
from typer.testing import CliRunner

import antagony
from antagony.case import Case, open_case
from antagony.cite import AUTHOR, LICENCE, METHODS, TITLE, cite_results
from antagony.cli import app
from antagony.errors import CaseError, ReportError
from antagony.exchange.export import Request, write_export
from antagony.matrix import fill_matrix
from antagony.origin import read_result
from antagony.printing import write_matrix, write_run
from antagony.trial import compare_study, simulate_trial
from antagony.trial_report import write_trials
from antagony.verdict import read_bibliography

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = Path(antagony.__file__).parent
EXAMPLE = ROOT / "docs" / "examples" / "psilocybin"
ALONE, BLOCKED = "psilocybin 25 mg po", "ketanserin 40 mg po at -60 min; psilocybin 25 mg po"
SOLVER = ["steinebach_2023", "hairer_1993"]


@pytest.fixture(scope="module")
def example() -> Case:
    return open_case(EXAMPLE)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(EXAMPLE, tmp_path / "mine"))


def read(text: str) -> BibliographyData:
    """What another program reads of it; pybtex refuses an entry that is none and a key that stands there twice."""
    return parse_string(text, "bibtex")


def keys_of(text: str) -> list[str]:
    return list(read(text).entries)


def order_of(folder: Path) -> list[str]:
    return re.findall(r"^@\w+\{(\w+),", (folder / "references.bib").read_text(encoding="utf-8"), re.MULTILINE)


def rows_of(*files: Path) -> Iterator[dict[str, str]]:
    for file in files:
        with file.open(encoding="utf-8", newline="") as lines:
            yield from csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)


def named(sources: Iterable[str]) -> set[str]:
    return {source.split(",")[0].strip() for source in sources} - {""}


def run_of(case: Case, slug: str, *regimens: str) -> xr.Dataset:
    arms = {text: case.regimen(text) for text in regimens}
    drugs = {drug for arm in arms.values() for drug in arm.drugs}
    return antagony.simulate(case.mechanism(slug, drugs), arms, [-1.0, 0.0, 24.0], outputs=["score"])


# --- what is cited ---------------------------------------------------------------------------------------------------


def test_the_program_is_named_as_in_the_citation_file(example: Case) -> None:
    told = dict(re.findall(r'^([\w-]+): "?([^"\n]*)"?$', (ROOT / "CITATION.cff").read_text("utf-8"), re.MULTILINE))
    assert told["version"] == antagony.__version__
    program = read(cite_results(example, ["trip"])).entries[f"antagony_{antagony.__version__}"]
    assert str(program.persons["author"][0]).strip("{}") == AUTHOR and f"name: {AUTHOR}" in (
        ROOT / "CITATION.cff"
    ).read_text("utf-8")
    assert program.fields["title"].strip("{}") == TITLE == told["title"]
    assert LICENCE == told["license"] and LICENCE in program.fields["note"]


def test_a_case_is_cited_with_its_fingerprint(example: Case) -> None:
    entry = read(cite_results(example, ["trip"])).entries["case_psilocybin"]
    assert entry.fields["title"].strip("{}") == example.title and example.hash in entry.fields["note"]


def test_a_run_cites_the_sources_of_its_own_numbers(case: Case, tmp_path: Path) -> None:
    """Read from the tables by another way: the parameters that stand in the SBML, looked up in the TSV files."""
    target = tmp_path / "run.nc"
    write_run(run_of(case, "gated_surge", "ketamine 0.5 mg/kg iv over 40 min"), target)
    mechanism = case.mechanism("gated_surge", ["ketamine"])
    symbols = set(re.findall(r'<parameter [^>]*\bid="(\w+)"', mechanism.sbml)) | {"bodyweight"}
    files = [case.folder / "parts" / "parameters.tsv", case.folder / "mechanisms" / "gated_surge" / "parameters.tsv"]
    files += [case.folder / "drugs" / drug / "parameters.tsv" for drug in ("ketamine", "ketamine_brain")]
    sources = named(row["source"] for row in rows_of(*files) if row["parameterId"] in symbols)
    cited = keys_of(cite_results(case, [str(target)]))
    assert len(sources) > 8 and sources <= set(cited)
    assert not {"lee_1988", "sogaard_2005", "olofsen_2010", "hopkins_2019", "virtanen_2020"} & set(cited)
    calibrating = tomllib.loads((case.folder / "case.toml").read_text(encoding="utf-8"))["calibration"]["study"]
    assert {*SOLVER, calibrating} <= set(cited)
    assert [key for key in cited if key in order_of(case.folder)] == sorted(
        set(cited) & set(order_of(case.folder)), key=order_of(case.folder).index
    )


def test_a_drug_that_was_given_brings_its_sources(example: Case, tmp_path: Path) -> None:
    found = {}
    for name, regimen in (("alone", ALONE), ("blocked", BLOCKED)):
        write_run(run_of(example, "trip", regimen), tmp_path / f"{name}.nc")
        found[name] = set(keys_of(cite_results(example, [str(tmp_path / f"{name}.nc")])))
    own = named(row["source"] for row in rows_of(EXAMPLE / "drugs" / "ketanserin" / "parameters.tsv"))
    assert found["alone"] <= found["blocked"]
    assert own <= found["blocked"]
    assert "invented" in found["alone"]  # no number of the tables, but the study that sizes the score


def test_the_whole_case_cites_every_study_claim_and_number(case: Case) -> None:
    cited = set(keys_of(cite_results(case)))
    studies = [tomllib.loads(p.read_text(encoding="utf-8")) for p in (case.folder / "studies").glob("*.toml")]
    claims = [tomllib.loads(p.read_text(encoding="utf-8")) for p in case.folder.rglob("claims.toml")]
    sources = named(study["reference"] for study in studies)
    sources |= named(claim.get("source", "") for file in claims for claim in file.get("claim", file.get("claims", [])))
    sources |= named(row["source"] for row in rows_of(*(case.folder / "mechanisms").glob("*/parameters.tsv")))
    assert len(sources) > 45 and sources <= cited
    assert {"cornuet_2012", "virtanen_2020"} <= cited


def test_several_results_are_joined_without_an_entry_twice(example: Case, tmp_path: Path) -> None:
    write_run(run_of(example, "trip", BLOCKED), tmp_path / "run.nc")
    together = keys_of(cite_results(example, [str(tmp_path / "run.nc"), "receptor", "trkb"]))
    assert len(together) == len(set(together))
    each = [keys_of(cite_results(example, [word])) for word in (str(tmp_path / "run.nc"), "receptor", "trkb")]
    assert set(together) == set().union(*each)
    assert cite_results(example, ["trkb", "receptor"]) == cite_results(example, ["receptor", "trkb"])


# --- every kind of file ----------------------------------------------------------------------------------------------


def test_a_trial_cites_its_study_and_the_methods_of_analysis(example: Case, tmp_path: Path) -> None:
    run = simulate_trial(example, "trip", example.plan("invented_felt"), replicates=3, uncertain=False)
    write_trials([(run, compare_study(example, run))], tmp_path / "trial.nc")
    cited = keys_of(cite_results(example, [str(tmp_path / "trial.nc")]))
    assert {*SOLVER, "virtanen_2020", "hills_1979", "wilson_1927", "invented"} <= set(cited)
    assert "cornuet_2012" not in cited and "lindley_1956" not in cited


@pytest.mark.parametrize("ending", [".html", ".json"])
def test_a_matrix_of_claims_cites_them(example: Case, tmp_path: Path, ending: str) -> None:
    matrix = fill_matrix(example, ["trip", "receptor"], draws=8)
    path = write_matrix(matrix, tmp_path / f"claims{ending}")
    cited = keys_of(cite_results(example, [str(path)]))
    assert {"example", "virtanen_2020", *SOLVER} <= set(cited)
    used = read_result(path)
    assert {"trip", "receptor"} <= set(used.mechanisms) and "trkb" not in used.mechanisms


@pytest.mark.parametrize(("to", "name"), [("sbml", "model.xml"), ("antimony", "model.ant"), ("omex", "arms.omex")])
def test_a_model_taken_out_says_what_it_is_of(example: Case, tmp_path: Path, to: str, name: str) -> None:
    regimens = () if to == "antimony" else (ALONE,) if to == "sbml" else (ALONE, BLOCKED)
    request = Request(example, ("trip",), regimens, (), ("score",) if to == "omex" else (), 48.0, 5, (), {})
    write_export(to, request, tmp_path / name)
    used = read_result(tmp_path / name)
    assert used.mechanisms == ("trip",) and used.case_hash == example.hash
    assert used.doses == (None if to == "antimony" else regimens)
    cited = keys_of(cite_results(example, [str(tmp_path / name)]))
    assert {"brown_2017", "madsen_2019"} & set(cited)
    assert (set(SOLVER) <= set(cited)) == (to == "omex")  # a model holds no number that the solver made


def test_a_petab_problem_says_what_it_is_of(case: Case, tmp_path: Path) -> None:
    request = Request(case, ("nmda_rest",), (), (), (), 48.0, 5, (), {})
    write_export("petab", request, tmp_path / "problem")
    place = next((tmp_path / "problem").rglob("problem.yaml"))
    for named_by in (place, place.parent):
        used = read_result(named_by)
        assert (used.mechanisms, used.case_hash) == (("nmda_rest",), case.hash)
    cited = set(keys_of(cite_results(case, [str(place)])))
    assert {"williams_2018", "murrough_2013"} <= cited and not set(SOLVER) & cited


def test_printed_json_and_reports_of_all_kinds_are_read(example: Case, tmp_path: Path) -> None:
    """The forms that take minutes to make, by the keys and marks that their writers give them."""
    settings = {"case_hash": example.hash, "version": "9.9", "variants": {}}
    tables = {
        "weigh": ({"partial": {}, "mechanisms": {"trip": {}, "unexplained": {}}, "settings": settings}, "cornuet_2012"),
        "design": ({"designs": [], "partial": None, "settings": settings}, "lindley_1956"),
        "verdict": ({"summary": [], "mechanisms": [{"slug": "trip"}], "settings": settings}, "virtanen_2020"),
    }
    for kind, (table, method) in tables.items():
        path = tmp_path / f"{kind}.json"
        path.write_text(json.dumps(table), encoding="utf-8")
        cited = keys_of(cite_results(example, [str(path)]))
        assert method in cited and "antagony_9.9" in cited and "invented" in cited
    printed = json.dumps(run_of(example, "trip", ALONE).to_dict(), default=str)
    (tmp_path / "run.json").write_text(printed, encoding="utf-8")
    assert read_result(tmp_path / "run.json").doses == (ALONE,)
    facts = {"caseHash": example.hash, "version": "9.9", "mechanisms": [{"slug": "trip"}], "weighing": None}
    packed = base64.b64encode(gzip.compress(json.dumps(facts).encode())).decode()
    (tmp_path / "page.html").write_text(f'<script type="text/plain" id="facts">{packed}</script>', encoding="utf-8")
    assert "cornuet_2012" not in keys_of(cite_results(example, [str(tmp_path / "page.html")]))


def test_the_marks_of_reports_stand_in_their_templates() -> None:
    from antagony.origin import _MARKS

    templates = {p.name: p.read_text(encoding="utf-8") for p in (PACKAGE / "templates").glob("*.j2")}
    of = {"verdict": "verdict", "claims": "claims", "weigh": "weighing", "design": "design"}
    for mark, kind in _MARKS:
        assert mark in templates[f"{of[kind]}.html.j2"], mark


# --- the methods -----------------------------------------------------------------------------------------------------


def test_every_paper_that_the_program_names_can_be_cited() -> None:
    texts = [p.read_text(encoding="utf-8") for p in PACKAGE.rglob("*") if p.suffix in (".py", ".h")]
    shape = re.compile(r"\(?\b([a-z]+_(?:19|20)\d\d)\b(?=[),:]|, [IV]+)")
    cited = {key for text in texts for key in shape.findall(text)}
    known = {*order_of(PACKAGE / "cases" / "ketamine"), *keys_of(METHODS.read_text(encoding="utf-8"))}
    assert {"steinebach_2023", "hills_1979", "cornuet_2012"} <= cited
    assert cited <= known, cited - known
    assert set(keys_of(METHODS.read_text(encoding="utf-8"))) - cited == {"virtanen_2020"}  # a library, named by its use


# --- what goes wrong -------------------------------------------------------------------------------------------------


def test_a_result_of_another_state_of_the_case_is_refused(folder: Path, example: Case, tmp_path: Path) -> None:
    write_run(run_of(example, "trip", ALONE), tmp_path / "run.nc")
    claims = folder / "claims.toml"
    claims.write_text(claims.read_text(encoding="utf-8") + "\n# moved\n", encoding="utf-8")
    with pytest.raises(CaseError, match=f"made from the case {example.hash}, and .* is now .*; name the folder"):
        cite_results(open_case(folder), [str(tmp_path / "run.nc")])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("run.csv", b"time,score\n0,1\n"),
        ("page.html", b"<html></html>"),
        ("other.json", b'{"settings": 3}'),
        ("list.json", b"[1, 2]"),
        ("deep.json", b"[" * 100_000),
        ("run.nc", b"no NetCDF"),
        ("arms.omex", b"no zip"),
        ("model.xml", b"\xff\xfe"),
        ("page2.html", b'<script type="text/plain" id="facts">AAAA</script>'),
    ],
)
def test_a_file_that_says_nothing_is_refused(example: Case, tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ReportError, match="does not say what it was made from"):
        cite_results(example, [str(tmp_path / name)])


def test_an_unknown_word_gets_the_near_miss(example: Case) -> None:
    with pytest.raises(CaseError, match=r'"tripp" is no file, .* did you mean "trip"\?'):
        cite_results(example, ["tripp"])


def test_a_bibliography_that_cannot_be_read_is_named_with_its_line(folder: Path) -> None:
    path = folder / "references.bib"
    text = path.read_text(encoding="utf-8")
    path.write_text(text + "@misc{invented, title = {Again}}\n", encoding="utf-8")
    with pytest.raises(CaseError, match=rf"references.bib, line {text.count(chr(10)) + 1}: no entry"):
        cite_results(open_case(folder))
    path.write_text(text.replace("brown_2017", "brown_2018"), encoding="utf-8")
    with pytest.raises(CaseError, match=r'no source "brown_2017", which a number names; did you mean "brown_2018"'):
        cite_results(open_case(folder))


def test_a_strangers_bibliography_steers_no_terminal(folder: Path) -> None:
    path = folder / "references.bib"
    path.write_text(path.read_text(encoding="utf-8").replace("Invented for", "\x1b[2J\x07Invented for"), "utf-8")
    text = cite_results(open_case(folder))
    assert "Invented for" in text and "\x1b" not in text and "\x07" not in text
    keys_of(text)


def test_the_command_prints_and_writes(tmp_path: Path) -> None:
    runner = CliRunner()
    shown = runner.invoke(app, ["cite", "trip", "--case", str(EXAMPLE)])
    assert shown.exit_code == 0 and keys_of(shown.stdout)[0].startswith("antagony_")
    target = tmp_path / "sources.bib"
    assert runner.invoke(app, ["cite", "trip", "--case", str(EXAMPLE), "--out", str(target)]).exit_code == 0
    assert target.read_text(encoding="utf-8") == shown.stdout
    with pytest.raises(ReportError, match=r"unknown ending .*; use \.bib"):
        runner.invoke(app, ["cite", "--out", "sources.txt"], catch_exceptions=False)


# --- titles that are none --------------------------------------------------------------------------------------------


def test_entries_that_describe_a_paper_are_named_at_the_head(case: Case) -> None:
    """Counted in the file itself; a letter whose note says something else is not among them."""
    text = cite_results(case)
    head, _, rest = text.partition("\n")
    told = set(head.rpartition(": ")[2].split(", "))
    lines = (case.folder / "references.bib").read_text(encoding="utf-8").splitlines()
    wanted = {key for line in lines if "short description" in line for key in re.findall(r"^@\w+\{(\w+),", line)}
    assert head.startswith("% ") and "in place of the paper's title" in head and "DOI" in head
    assert told == wanted & set(keys_of(text)) and len(told) > 45
    assert "wang_kaplin_2019" not in told and "%" not in rest.split("@")[0]
    assert all("short description" in read(text).entries[key].fields["note"] for key in told)


def test_a_described_entry_gets_a_note_and_a_case_without_any_no_comment(folder: Path, example: Case) -> None:
    assert cite_results(example, ["trip"]).startswith("@")
    file = folder / "references.bib"
    key = order_of(folder)[0]
    text = file.read_text(encoding="utf-8")
    entry = re.search(rf"@\w+\{{{key},", text)
    assert entry is not None
    file.write_text(text.replace(entry[0], f"{entry[0]} comment = {{Short description}},", 1), encoding="utf-8")
    cited = cite_results(open_case(folder))
    assert cited.startswith("% 1 of ") and cited.partition("\n")[0].endswith(f": {key}")
    assert read(cited).entries[key].fields["note"].startswith("short description")


def test_lists_of_sources_mark_a_title_that_is_a_description(case: Case) -> None:
    told = read_bibliography(case)
    assert "a crossover trial [description, not its title]. Am J Psychiatry" in told["williams_2018"]
    assert "description" not in told["wang_kaplin_2019"]
