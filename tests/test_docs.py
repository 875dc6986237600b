"""Every page keeps its word: Python blocks run, the files of a how-to make a sound case, links lead somewhere."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

import antagony
import antagony.replay
from antagony.case import Case, open_case
from antagony.lint import lint_case
from antagony.trial import simulate_trial
from antagony.verdict import reach_verdict

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
PACKAGED = Path(antagony.__file__).parent / "cases" / "ketamine"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r'^```\w+ title="([^"]+)"\n(.*?)^```$', re.MULTILINE | re.DOTALL)
ENTRY = re.compile(r"^```bibtex\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)")
BLOCKS = [(page.name, code) for page in PAGES for code in BLOCK.findall(page.read_text(encoding="utf-8"))]


def follow(page: str, folder: Path) -> Path:
    """A copy of the packaged case with the files that a how-to writes."""
    case = folder / "my-case"
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


@pytest.mark.slow
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
