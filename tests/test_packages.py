"""What is handed out: files of wheel and sdist, and what the repository's first pages say of themselves."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import yaml

import antagony
from antagony.case import Case
from antagony.posterior.answer import Weighed
from antagony.weighing_figures import nat_text, over_unexplained

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = Path(antagony.__file__).parent
NOT_OURS = re.compile(r"__pycache__|\.py[co]$|node_modules|\.venv|\.git/|(^|/)\.\w+_cache/|\.hypothesis|\.part$|~$")


@pytest.fixture(scope="module")
def packages() -> ModuleType:
    """proofs/packages.py, which is no part of the package."""
    spec = importlib.util.spec_from_file_location("packages", ROOT / "proofs" / "packages.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def archives(packages: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return packages.build(tmp_path_factory.mktemp("dist"))


def on_disk() -> Iterator[str]:
    for path in PACKAGE.rglob("*"):
        name = path.relative_to(PACKAGE).as_posix()
        if path.is_file() and not NOT_OURS.search(name):
            yield name


def test_the_wheel_holds_the_package_and_nothing_else(packages: ModuleType, archives: tuple[Path, Path]) -> None:
    held = packages.read_wheel(archives[0])
    assert set(held) == set(on_disk())
    needed = {"py.typed", "page/shell.html", "methods.bib", "templates/notebook.html.j2", "templates/verdict.css"}
    needed |= {f"cases/ketamine/{name}" for name in ("case.toml", "references.bib", "weighing.toml", "claims.toml")}
    assert needed <= set(held)
    assert len([name for name in held if name.startswith("cases/ketamine/studies/")]) > 40
    assert any(name.startswith("cases/ketamine/answers/") for name in held)


def test_wheel_and_sdist_hold_the_same_package(packages: ModuleType, archives: tuple[Path, Path]) -> None:
    wheel, sdist = packages.read_wheel(archives[0]), packages.read_sdist(archives[1])
    assert wheel == sdist and len(wheel) > 250


def test_the_sdist_holds_what_builds_and_proves_it_and_no_caches(archives: tuple[Path, Path]) -> None:
    import tarfile

    with tarfile.open(archives[1]) as archive:
        names = [name.partition("/")[2] for name in archive.getnames()]
    assert not [name for name in names if NOT_OURS.search(name)]
    assert not [name for name in names if name.startswith(("dist/", "build/"))]
    needed = {"pyproject.toml", "hatch_build.py", "LICENSE", "Makefile", "page/package-lock.json", "tests/conftest.py"}
    assert needed <= set(names)


def test_the_wheel_says_version_licence_and_needs(archives: tuple[Path, Path]) -> None:
    from email.parser import Parser
    from zipfile import ZipFile

    with ZipFile(archives[0]) as wheel:
        (name,) = [n for n in wheel.namelist() if n.endswith(".dist-info/METADATA")]
        said = Parser().parsestr(wheel.read(name).decode("utf-8"))
        assert any(n.endswith("/licenses/LICENSE") for n in wheel.namelist())
    assert said["Version"] == antagony.__version__
    assert said["License-Expression"] == "Apache-2.0" and said["Requires-Python"] == ">=3.11"
    needs = {re.split(r"[<>=!;\[ ]", need)[0] for need in said.get_all("Requires-Dist", []) if "extra ==" not in need}
    assert {"bibtexparser", "h5netcdf", "jinja2", "python-libsbml", "xarray"} <= needs


def test_a_claim_that_turned_would_be_seen(packages: ModuleType) -> None:
    claim = {"claim": "c", "holds": 1}
    table = {
        "settings": {"case_hash": "x"},
        "mechanisms": [{"slug": "a", "explains": 1, "findings": 2, "assumed": 3, "numbers": 4, "claims": [claim]}],
    }
    counts = packages.counts_of(table)
    claim["holds"] = 0
    assert packages.counts_of(table) != counts == {"case": "x", "a": [1, 2, ["c"], 3, 4]}


# --- the first pages -------------------------------------------------------------------------------------------------


def test_the_version_has_one_place() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == antagony.__version__
    assert re.search(r'^dynamic = \["version"\]$', (ROOT / "pyproject.toml").read_text("utf-8"), re.MULTILINE)
    assert importlib.metadata.version("antagony") == antagony.__version__


def test_the_citation_file_is_one() -> None:
    """The keys that version 1.2.0 of the format requires, and no key that it does not know."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    known = {
        "abstract", "authors", "cff-version", "commit", "contact", "date-released", "doi", "identifiers", "keywords",
        "license", "license-url", "message", "preferred-citation", "references", "repository", "repository-artifact",
        "repository-code", "title", "type", "url", "version",
    }  # fmt: skip
    assert {"authors", "cff-version", "message", "title"} <= set(citation) <= known
    assert citation["cff-version"] == "1.2.0" and citation["type"] == "software"
    assert all(set(author) <= {"name", "website", "email"} and author["name"] for author in citation["authors"])
    assert isinstance(citation["version"], str) and all(isinstance(word, str) for word in citation["keywords"])


def test_the_first_pages_are_short() -> None:
    lengths = {p.name: len(p.read_text(encoding="utf-8").splitlines()) for p in ROOT.glob("*.md")}
    assert lengths["README.md"] <= 120 and lengths["CONTRIBUTING.md"] < 60
    assert {"SECURITY.md", "SCOPE.md", "CHANGELOG.md"} <= set(lengths)


def test_the_readme_says_what_the_stored_answer_says(case: Case) -> None:
    """Each row of its table against the answer that ships: the log, its error, the class, the range."""
    answer = antagony.read_answer(case)
    assert answer is not None
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \| ([+-][^|]+) \| ([^|]+) \|$", text, re.MULTILINE)
    assert len(rows) == 5
    by_title = {w.title: w for w in answer.mechanisms}
    for title, group, log, probability in rows:
        w = by_title[title.partition(" (")[0]]
        assert log.replace("± ", "±") == nat_text(over_unexplained(answer, w))
        assert group == answer.class_titles[w.group]
        low, high = probability_range(answer.probabilities, w)
        assert probability == ("below 0.1 %" if high < 0.001 else f"{100 * low:.2g} to {100 * high:.2g} %")
    gap = answer.rivals[0].partial.value - answer.rivals[1].partial.value
    assert f"(Bayes factor {float(f'{2.718281828459045**gap:.2g}'):g})" in text


def probability_range(probabilities: object, w: Weighed) -> tuple[float, float]:
    shares = [prior[w.slug] for prior in probabilities.values()]  # type: ignore[attr-defined]
    return min(shares), max(shares)


def test_the_readme_counts_what_the_case_holds(case: Case) -> None:
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert len(case.wirings) == 12 and "Twelve mechanisms" in text
    assert f"{len(case.studies)} studies, {len(case.designs)} candidate trials" in text
    tables = (case.shared, *(owner.parameters for owner in (*case.drugs.values(), *case.wirings.values())))
    grades = [row.grade for table in tables for row in table.values() if row.grade != "definition"]
    assert f"{grades.count('assumed')} of the case's {len(grades)} numbers are assumed" in text
