"""Every page keeps its word: blocks and commands run, files of a how-to make a sound case, links lead somewhere."""

from __future__ import annotations

import ast
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from test_architecture import LAYERS
from test_architecture import ROOT as PACKAGE_ITSELF
from typer.main import get_command

import antagony
import antagony.replay
from antagony.case import Case, open_case
from antagony.cli import app
from antagony.lint import lint_case
from antagony.trial import simulate_trial
from antagony.verdict import reach_verdict

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.glob("**/*.md")])
PACKAGED = Path(antagony.__file__).parent / "cases" / "ketamine"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r'^```\w+ title="([^"]+)"\n(.*?)^```$', re.MULTILINE | re.DOTALL)
MADE = re.compile(r"(?:mkdir|cp -r src/antagony/cases/ketamine) ([\w-]+)$")
ENTRY = re.compile(r"^```bibtex\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)")
IMAGE = re.compile(r"!\[[^\]]*\]\(([^)]+)\)")
ANCHOR = re.compile(r"\]\((?!https?://)([^)#]*)#([^)]+)\)")
FENCE = re.compile(r'^```(\w*)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
PROGRAMS = ("antagony", "cp", "mkdir", "touch", "make", "pip", "git", "cd", "petablint", "dask", "export")
BLOCKS = [(page.name, code) for page in PAGES for code in BLOCK.findall(page.read_text(encoding="utf-8"))]


def follow(page: str, folder: Path) -> Path:
    """A copy of the packaged case with the files that a how-to writes."""
    case = folder / "case"
    shutil.copytree(PACKAGED, case)
    files = FILE.findall((ROOT / "docs" / "how-to" / page).read_text(encoding="utf-8"))
    assert files
    for name, text in files:
        (case / name).parent.mkdir(parents=True, exist_ok=True)
        (case / name).write_text(text, encoding="utf-8")
    return case


def only(case: Case, slug: str) -> Case:
    """The case with one rival, so that lint is quick."""
    own = {slug: case.own_claims[slug]}
    shared = tuple(claim for claim in case.claims if not claim.only_for)
    return replace(case, wirings={slug: case.wirings[slug]}, own_claims=own, claims=shared)


def errors(case: Case) -> list[str]:
    return [f"{issue.where}: {issue.message}" for issue in lint_case(case) if issue.level == "error"]


@pytest.mark.slow
@pytest.mark.parametrize(("page", "code"), BLOCKS)
def test_a_python_block_runs(page: str, code: str, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(code, page, "exec"), {})
    assert capsys.readouterr().out


def test_the_readme_has_a_python_block() -> None:
    assert "README.md" in [page for page, _ in BLOCKS]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_a_drug_added_as_told_has_no_error(tmp_path: Path) -> None:
    case = open_case(follow("add-a-drug.md", tmp_path))
    assert "exampline" in case.dosable
    assert errors(only(case, "none")) == []
    run = antagony.simulate(case.mechanism("none", ["exampline"]), {"dose": case.regimen("exampline 20 mg po")}, [0, 2])
    occupancy = run["mu_occupancy_antagonist"].to_numpy().ravel()
    assert occupancy[0] == 0 < occupancy[1] < 1


def test_a_trial_run_as_told_answers(tmp_path: Path) -> None:
    folder = follow("run-a-trial.md", tmp_path)
    plan = antagony.open_case(folder).plan("wait_a_fortnight")
    assert plan.patients == 30
    assert plan.step == 14 * 24
    run = simulate_trial(antagony.open_case(folder), "none", plan, replicates=5, uncertain=False)
    assert run.estimates["value"].notnull().all()


@pytest.mark.proof
def test_a_mechanism_added_as_told_has_no_error(tmp_path: Path) -> None:
    folder = follow("add-a-mechanism.md", tmp_path)
    head = folder / "case.toml"
    listed = head.read_text(encoding="utf-8").replace("mechanisms = [", 'mechanisms = ["direct_block", ', 1)
    head.write_text(listed, encoding="utf-8")
    case = open_case(folder)
    assert errors(only(case, "direct_block")) == []
    dose = {"dose": case.regimen("ketamine 0.5 mg/kg iv over 40 min")}
    run = antagony.simulate(case.mechanism("direct_block", ["ketamine"]), dose, [0, 2])
    (own,) = reach_verdict(case, mechanisms=["direct_block"], draws=8, patients=4).mechanisms
    assert own.findings > 80  # the thirteenth is asked everything, and no Python was written
    assert {r.claim.id for r in own.own_claims} == {"direct_block_ignores_naltrexone"}
    assert own.calibrated
    raised = run["mtorc1_relative"].to_numpy().ravel()
    assert raised[1] > 1.1 * raised[0]


def test_a_study_added_as_told_has_no_error(tmp_path: Path) -> None:
    folder = follow("add-a-study.md", tmp_path)
    (entry,) = ENTRY.findall((ROOT / "docs" / "how-to" / "add-a-study.md").read_text(encoding="utf-8"))
    with (folder / "references.bib").open("a", encoding="utf-8") as file:
        file.write(entry)
    case = open_case(folder)
    assert errors(only(case, "none")) == []
    people, mice = case.studies["example_2021"], case.studies["example_2022"]
    assert people.finding("difference_24h").se == pytest.approx(5.8 / (2 * 1.96), rel=1e-3)
    replays = antagony.replay.replay_studies(case, "none", [people, mice], patients=8, draws=4)
    assert [r.finding.id for r in replays] == ["difference_24h", "responders_24h", "later", "blocked"]
    assert replays[-1].agrees is False  # nothing acts, so nothing can be blocked


# --- commands --------------------------------------------------------------------------------------------------------

MINUTES = "minutes over all mechanisms and full effort"
OUTSIDE = "not a question to the program: it installs, fetches or steers what is outside"
ELSEWHERE = "a file or machine of the reader's own"
NOT_RUN = {
    ("README.md", "make test"): "it would run these very tests",
    ("README.md", "make verdict"): "run in the tutorial",
    ("index.md", "make"): "run in the tutorial",
    ("from-clone-to-verdict.md", "git"): OUTSIDE,
    ("from-clone-to-verdict.md", "cd"): OUTSIDE,
    ("add-a-mechanism.md", "antagony verdict"): f"{MINUTES}; of the new one alone below",
    ("add-a-study.md", "antagony verdict"): f"{MINUTES}; its findings are replayed below",
    ("bring-your-own-case.md", "antagony weigh"): "minutes; at less effort in tests/test_own_case.py",
    ("bring-your-own-case.md", "antagony design"): "minutes; at less effort in tests/test_own_case.py",
    ("bring-your-own-case.md", "antagony verdict"): "minutes; at less effort in tests/test_own_case.py",
    ("bring-your-own-case.md", "antagony page"): "needs a WebAssembly compiler; in tests/test_own_case.py",
    ("bring-your-own-case.md", "antagony trial"): "a thousand trials; fewer in tests/test_own_case.py",
    ("design-a-trial.md", "antagony design"): f"{MINUTES}; smaller in tests/test_planning.py and test_design.py",
    ("open-the-page.md", "pip"): OUTSIDE,
    ("open-the-page.md", "antagony page"): f"{MINUTES}, and a WebAssembly compiler; in tests/test_page.py",
    ("run-a-trial.md", "antagony trial"): f"{MINUTES}; few replicates below and in tests/test_trial.py",
    ("run-on-a-cluster.md", "pip"): OUTSIDE,
    ("run-on-a-cluster.md", "dask"): OUTSIDE,
    ("run-on-a-cluster.md", "export"): OUTSIDE,
    ("run-on-a-cluster.md", "antagony"): f"needs a scheduler, {MINUTES}; in tests/test_cluster.py",
    ("use-petab.md", "antagony simulate problem/"): f"{ELSEWHERE}; the same on a written one in bring-a-model-in.md",
    ("use-petab.md", "petablint"): "libpetab's own; its lint is asked in tests/test_petab.py",
    ("weigh-the-rivals.md", "antagony weigh"): f"{MINUTES}; in the tutorial of three rivals",
    ("weigh-the-rivals.md", "antagony nominal"): f"{MINUTES}; in the tutorial of one rival",
    ("write-a-model-report.md", "pip"): OUTSIDE,
    ("write-a-model-report.md", "antagony report"): f"{MINUTES}; of an example in tests/test_model_report.py",
}
"""Commands that no sitting runs, by page and how they begin, and why. They are still read by the real command line."""


def commands_of(page: Path) -> list[str]:
    """The command lines of a page, in order."""
    blocks = [text for language, title, text in FENCE.findall(page.read_text(encoding="utf-8")) if not language + title]
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.split(" ")[0] in PROGRAMS]


COMMANDS = [(page, line) for page in PAGES for line in commands_of(page)]


def reason_not_to_run(page: Path, line: str) -> str:
    """Why a command is not run; empty where it is."""
    return next((why for (name, start), why in NOT_RUN.items() if name == page.name and line.startswith(start)), "")


def test_what_is_not_run_is_there_and_the_rest_is_run() -> None:
    for name, start in NOT_RUN:
        assert any(page.name == name and line.startswith(start) for page, line in COMMANDS), (name, start)
    assert {"from-clone-to-verdict.md", "dosing.md", "add-a-drug.md"} <= set(RUN) == {n for s in SITTINGS for n in s}


@pytest.mark.parametrize(("page", "line"), COMMANDS, ids=lambda value: value.name if isinstance(value, Path) else value)
def test_a_command_can_be_read(page: Path, line: str) -> None:
    words = shlex.split(line, comments=True)
    words = words[: words.index("|")] if "|" in words else words
    if words[0] == "make":
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    if words[0] != "antagony":
        return
    command, name, rest = get_command(app), "antagony", words[1:]
    while rest and rest[0] in getattr(command, "commands", {}):
        command, name, rest = command.commands[rest[0]], rest[0], rest[1:]  # type: ignore[attr-defined] - a group's
    assert name != "antagony"
    command.make_context(name, list(rest))  # raises on an option or an argument that there is not


GOES_ON = {"bring-a-model-in.md": "take-a-model-out.md"}  # a page that reads what another's commands wrote
RUN = list(dict.fromkeys(page.name for page, line in COMMANDS if not reason_not_to_run(page, line)))
SITTINGS = [(*([GOES_ON[name]] if name in GOES_ON else []), name) for name in RUN if name not in GOES_ON.values()]
"""Pages whose commands are run, in order and in one folder."""


def test_make_verdict_asks_for_the_verdict() -> None:
    assert "--out verdict.html" in recipe("verdict")


def recipe(target: str) -> str:
    """The command that a target of the Makefile ends with."""
    done = subprocess.run(["make", "-n", "-s", target], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip().splitlines()[-1].replace(".venv/bin/", "")


def test_no_page_makes_a_case_where_another_did() -> None:
    made = [found[1] for _, line in COMMANDS if (found := MADE.match(line))]
    assert len(made) == len(set(made)) > 4  # cp would nest the second in the first, and say nothing
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert {f"/{name}/" for name in made} <= set(ignored)


ASKED = re.findall(r"^\| .* \| `(antagony [^`]+)`", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)


def test_what_the_readme_asks_can_be_read() -> None:
    assert len(ASKED) > 6
    for line in ASKED:
        test_a_command_can_be_read(ROOT / "README.md", line)
        for file in (word for word in shlex.split(line)[2:] if re.search(r"\.\w{2,}$", word)):
            assert f"--out {file}" in recipe("verdict"), f"nothing wrote {file}"


@pytest.mark.proof
@pytest.mark.parametrize("names", SITTINGS, ids="+".join)
def test_the_commands_of_a_page_run(names: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "src").symlink_to(ROOT / "src")
    environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "150"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    if not any(line.startswith(("cp ", "mkdir ")) for line in lines_of(names)):
        shutil.copytree(PACKAGED, tmp_path / "my-case")  # where a page speaks of a case of your own, any will do
    ran = 0
    for page, language, title, text in fences(names):
        if title or language == "bibtex":
            place(tmp_path / case_of(names), title, text)
            continue
        for line in text.splitlines():
            if (line := line.strip()).split(" ")[0] not in PROGRAMS or language or reason_not_to_run(page, line):
                continue
            asked = recipe(line.split()[1]) if line.startswith("make ") else line
            done = subprocess.run(["bash", "-c", f"set -o pipefail; {asked}"], cwd=tmp_path, env=environment,
                                  capture_output=True, text=True, check=False)  # fmt: skip
            assert done.returncode == 0, f"{page.name}: {line}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
            ran += 1
    assert ran


def lines_of(names: tuple[str, ...]) -> list[str]:
    """The commands of some pages."""
    return [line for page, line in COMMANDS if page.name in names]


def case_of(names: tuple[str, ...]) -> str:
    """The folder of the case that some pages write into."""
    return next((found[1] for line in lines_of(names) if (found := MADE.match(line))), "my-case")


def fences(names: tuple[str, ...]) -> Iterator[tuple[Path, str, str, str]]:
    """Page, language, title and text of every block of some pages."""
    for page in (page for name in names for page in PAGES if page.name == name):
        yield from ((page, *found) for found in FENCE.findall(page.read_text(encoding="utf-8")))


def place(case: Path, title: str, text: str) -> None:
    """Write a file of a page where the page says: into the case, beside it if it is a design; name a new mechanism."""
    if not title:
        with (case / "references.bib").open("a", encoding="utf-8") as file:
            file.write(text)
        return
    for root in [case] * case.is_dir() + [case.parent] * title.startswith("designs/"):
        (root / title).parent.mkdir(parents=True, exist_ok=True)
        (root / title).write_text(text, encoding="utf-8")
    head = case / "case.toml"
    if title == "mechanisms/direct_block/mechanism.toml":
        listed = head.read_text(encoding="utf-8").replace("mechanisms = [", 'mechanisms = ["direct_block", ', 1)
        head.write_text(listed, encoding="utf-8")


# --- the map ---------------------------------------------------------------------------------------------------------

CELL = re.compile(r"`([\w/]+)`")


def rows_of_the_map(heading: str) -> list[tuple[str, ...]]:
    """The modules that each row of a table of the architecture names."""
    text = (DOCS / "explanation" / "architecture.md").read_text(encoding="utf-8")
    table = text.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    cells = [line.split("|")[2] for line in table.splitlines() if line.startswith("| ")]  # the first is the head
    return [tuple(CELL.findall(cell)) for cell in cells[1:]]


def test_the_map_shows_every_module_and_nothing_else() -> None:
    modules = {name for row in LAYERS for name in row} - {PACKAGE_ITSELF}
    folders = {name.split(".")[0] for name in modules if "." in name}
    shown = [name for row in rows_of_the_map("The layers") for name in row]
    assert len(shown) == len(set(shown)) > 30
    assert set(shown) == {name for name in modules if "." not in name and name not in folders} | {
        f"{name}/" for name in folders
    }
    inside = [name for row in rows_of_the_map("Inside the folders") for name in row]
    assert sorted(inside) == sorted(name.split(".")[1] for name in modules if "." in name)


def test_imports_go_upwards_in_the_map() -> None:
    height = {name.rstrip("/"): n for n, row in enumerate(rows_of_the_map("The layers")) for name in row}
    package = Path(antagony.__file__).parent
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        if parts[0] == PACKAGE_ITSELF:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level == len(parts) and node.module:
                target = node.module.split(".")[0]
                if {target, parts[0]} <= height.keys():  # a module that is not on the map is found above
                    assert height[target] <= height[parts[0]], f"{parts[0]} imports {target}, which is below it"


# --- anchors, images -------------------------------------------------------------------------------------------------


def anchors_of(page: Path) -> set[str]:
    """The anchors of a page's headings, as the web hosts of Markdown and the site make them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_anchors_and_images_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in IMAGE.findall(text):
        assert (page.parent / target).is_file(), f"{page.name} shows {target}"
    for target, anchor in ANCHOR.findall(text):
        found = page.parent / target if target else page
        assert found.suffix != ".md" or anchor in anchors_of(found), f"{page.name} links to {target}#{anchor}"
