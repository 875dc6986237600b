"""The site of these pages: it builds without a warning, holds together by itself, tells what the code takes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from html_page import Page
from pydantic import TypeAdapter, ValidationError
from typer.main import get_command
from typer.testing import CliRunner

import antagony
from antagony.cli import app

pytest.importorskip("sphinx", reason='the site needs the extra: pip install "antagony[docs]"')
pytest.importorskip("myst_parser", reason='the site needs the extra: pip install "antagony[docs]"')
pytest.importorskip("furo", reason='the site needs the extra: pip install "antagony[docs]"')

ROOT = Path(__file__).resolve().parent.parent
SITE = ROOT / "docs" / "site"
FORMATS = (ROOT / "docs" / "reference" / "files-of-a-case.md").read_text(encoding="utf-8")
TABLES = re.findall(r"^<!-- fields: ([\w.]+) -->$", FORMATS, re.MULTILINE)
REFUSED = {"extra_forbidden", "unexpected_keyword_argument"}
ABSENT = "a_key_that_nobody_takes"

sys.path.insert(0, str(SITE))
checking, filling, spelling, staging = map(import_module, ("checking", "filling", "spelling", "staging"))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "docs"
    command = [sys.executable, str(SITE / "build.py"), str(folder)]
    offline = {**os.environ, "http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=offline)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


# --- the site --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_every_page_is_in_the_side_bar(site: Path) -> None:
    bar = {tag["href"] for name, tag in Page((site / "index.html").read_text(encoding="utf-8")).tags if name == "a"}
    pages = [page for page in (ROOT / "docs").rglob("*.md") if SITE not in page.parents and page.name != "index.md"]
    assert len(pages) > 20
    for page in pages:
        assert page.relative_to(ROOT / "docs").with_suffix(".html").as_posix() in bar
    assert {"readme.html", "changelog.html", "scope.html"} <= bar


@pytest.mark.slow
def test_nothing_is_loaded_from_another_host(site: Path) -> None:
    loaded = []
    for page in site.rglob("*.html"):
        for name, tag in Page(page.read_text(encoding="utf-8")).tags:
            fetched = name in ("script", "img", "iframe") or tag.get("rel") in ("stylesheet", "icon", "preload")
            if fetched and (address := tag.get("src") or tag.get("href")):
                loaded.append(address)
                assert not urlsplit(address).netloc and not address.startswith("//"), (page, address)
                assert address.startswith("data:") or (page.parent / urlsplit(address).path).is_file(), (page, address)
    assert len(loaded) > 100
    for text in [*site.rglob("*.css"), *site.rglob("*.js")]:
        found = text.read_text(encoding="utf-8")
        assert not re.search(r"@import|url\(\s*['\"]?(https?:)?//|cdn\.|fonts\.googleapis", found), text


@pytest.mark.slow
def test_the_site_tells_what_the_program_says(site: Path) -> None:
    shown = words((site / "reference" / "command-line.html").read_text(encoding="utf-8"))
    commands = get_command(app).commands  # type: ignore[attr-defined] - a group's
    for name, command in commands.items():
        for path in ((name,), *((name, inner) for inner in getattr(command, "commands", ()))):
            done = CliRunner().invoke(app, [*path, "--help"], env={"NO_COLOR": "1", "COLUMNS": "400"})
            assert done.exit_code == 0
            options = set(re.findall(r"--[a-z][a-z-]+", done.stdout.split("Options:")[1]))
            section = shown.split(f"Usage: antagony {' '.join(path)} ")[1].split("Usage: antagony ")[0]
            assert options and options <= set(re.findall(r"--[a-z][a-z-]+", section)), path
    names = words((site / "reference" / "python.html").read_text(encoding="utf-8"))
    for name in antagony.__all__:
        assert name.startswith("_") or f"antagony. {name}" in names, name


def words(html: str) -> str:
    return Page(html).text


@pytest.mark.slow
@pytest.mark.parametrize("name", TABLES)
def test_a_table_lists_the_keys_that_the_code_accepts(name: str, site: Path) -> None:
    html = (site / "reference" / "files-of-a-case.html").read_text(encoding="utf-8")
    table = html.split(f'id="{filling.anchor(name)}"', 1)[1].split("</table>", 1)[0]
    listed = set(re.findall(r'<tr class="row-\w+"><td><p><code[^>]*><span class="pre">([\w]+)</span>', table))
    everything = {key for keys in filling.meanings().values() for key in keys}
    assert listed and listed < everything
    assert listed == accepted(spelling.model_named(name), everything | {ABSENT})


def accepted(model: Any, keys: set[str]) -> set[str]:  # noqa: ANN401 - any class that pydantic validates
    """The keys that a model does not refuse as unknown: found by asking it, one by one."""
    return {key for key in keys if not REFUSED & set(complaints(model, key))}


def complaints(model: Any, key: str) -> Iterator[str]:  # noqa: ANN401 - any class that pydantic validates
    """What validation says of a key that holds nothing useful."""
    try:
        TypeAdapter(model).validate_python({key: object()})
    except ValidationError as error:
        yield from (fault["type"] for fault in error.errors(include_context=False) if fault["loc"][:1] == (key,))


# --- what the pages leave to the code --------------------------------------------------------------------------------


def test_every_model_has_a_table() -> None:
    known = {name for name, _ in spelling.models()}
    assert len(known) > 40
    assert sorted(TABLES) == sorted(known)


def test_keys_of_the_packaged_case_are_told() -> None:
    case = Path(antagony.__file__).parent / "cases" / "ketamine"
    told = {key for keys in filling.meanings().values() for key in keys}
    plans = [("designs/*.toml", ("design._PlanFile", "design._Family")), ("studies/*.toml", ("study._Study",))]
    for pattern, models in [*plans, ("drugs/*/drug.toml", ("drug._DrugFile",))]:
        keys = {f.key for name in models for f in spelling.fields_of(spelling.model_named(name))}
        for file in case.glob(pattern):
            assert tomllib.loads(file.read_text(encoding="utf-8")).keys() <= keys <= told


def test_a_key_without_a_meaning_stops_the_build(monkeypatch: pytest.MonkeyPatch) -> None:
    known = filling.meanings()
    del known["case._Scene"]["regimen"]
    monkeypatch.setattr(filling, "meanings", lambda: known)
    with pytest.raises(ValueError, match=r"what regimen of case\._Scene means"):
        filling.fields_table("case._Scene")
    known["case._Scene"] |= {"regimen": "what is given", "dose": "no such key"}
    with pytest.raises(ValueError, match=r"dose means, but case\._Scene has no such key"):
        filling.fields_table("case._Scene")


def test_words_and_bounds_are_the_code_s() -> None:
    fields = {f.key: f for f in spelling.fields_of(spelling.model_named("study._Finding"))}
    assert fields["kind"].needed and "`odds_ratio`" in fields["kind"].holds
    assert fields["level"].holds == "number, above 0, below 1" and fields["level"].default == "`0.95`"
    assert fields["time"].holds.startswith("time") and not fields["time"].needed
    assert "grade" in fields["grade"].holds


# --- what the checks find --------------------------------------------------------------------------------------------

SOUND = '<h1 id="top">a</h1><a href="b.html#there">b</a><a href="#top">top</a><a href="https://example.org">far</a>'


@pytest.mark.parametrize(
    ("page", "fault"),
    [
        (SOUND, ""),
        (SOUND.replace("b.html", "c.html"), "a.html: c.html#there leads nowhere"),
        (SOUND.replace("#there", "#gone"), "a.html: b.html#gone names no place of that page"),
        (SOUND.replace("#top", "#bottom"), "a.html: #bottom names no place of that page"),
        (SOUND + '<img src="gone.svg">', "a.html: gone.svg leads nowhere"),
        (SOUND + '<script src="https://cdn.example.org/x.js"></script>', "a.html: script loads https://cdn"),
        (SOUND + '<link rel="stylesheet" href="//fonts.example.org/x.css">', "a.html: link loads //fonts"),
    ],
)
def test_a_fault_of_a_site_is_found(page: str, fault: str, tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(page, encoding="utf-8")
    (tmp_path / "b.html").write_text('<p id="there"></p>', encoding="utf-8")
    found = checking.faults_of_site(tmp_path)
    assert len(found) == bool(fault)
    assert not fault or found[0].startswith(fault)


def test_a_sheet_that_loads_from_afar_is_found(tmp_path: Path) -> None:
    (tmp_path / "x.css").write_text('@import url("https://fonts.example.org/x.css");', encoding="utf-8")
    assert checking.faults_of_site(tmp_path) == ["x.css: it loads from another host"]


def test_a_link_that_leads_nowhere_stops_the_build(tmp_path: Path) -> None:
    page = ROOT / "docs" / "index.md"
    with pytest.raises(ValueError, match=r"docs/index\.md: the link how-to/fly\.md leads to no file"):
        staging.relink("[fly](how-to/fly.md)", page, tmp_path)
    assert staging.relink("[r](../README.md) [s](../src/antagony/py.typed)", page, tmp_path) == (
        "[r](readme.md) [s](files/src/antagony/py.typed)"
    )
    assert (tmp_path / "files" / "src" / "antagony" / "py.typed").is_file()
