"""The pages as Sphinx reads them: copies of docs/ and of the pages at the root, with links and file titles it knows."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from filling import fill

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
ABROAD = "files"  # where files outside docs/ that a page links to are put
AT_ROOT = sorted(ROOT.glob("*.md"))
SITE = DOCS / "site"

LINK = re.compile(r"(\]\()(?!https?://|#|mailto:)([^)#\s]+)")
TITLED = re.compile(r'^```(\w+) title="([^"]+)"$', re.MULTILINE)
LEXERS = {"tsv": "text"}  # languages that Pygments does not know

SECTIONS = (
    ("Tutorial", "tutorial", ("from-clone-to-verdict",)),
    (
        "How to",
        "how-to",
        (
            *("read-a-result", "open-the-page", "weigh-the-rivals", "run-a-trial", "design-a-trial"),
            *("add-a-drug", "add-a-mechanism", "add-a-study", "bring-your-own-case"),
            *("bring-a-model-in", "take-a-model-out", "use-petab"),
        ),
    ),
    ("Reference", "reference", ("command-line", "files-of-a-case", "python")),
    ("Explanation", "explanation", ("the-case",)),
    ("The project", "", ("The README <readme>", "changelog", "scope", "contributing")),
)
"""What stands in the side bar: title, folder, and the pages that come first; the others of the folder follow."""


def stage(source: Path) -> list[Path]:
    """Write all pages anew into the folder `source`, and say which. Raises ValueError on a link that leads nowhere."""
    shutil.rmtree(source, ignore_errors=True)
    pages = [*AT_ROOT]
    pages += [page for page in sorted(DOCS.rglob("*.md")) if SITE not in page.parents]
    pages += sorted({found for page in pages for found in linked(page) if found.suffix == ".md"} - set(pages))
    for page in pages:
        text = fill(page.read_text(encoding="utf-8"), page)
        text = TITLED.sub(_captioned, relink(text, page, source))
        if page == DOCS / "index.md":
            text += _side_bar([staged(page).with_suffix("").as_posix() for page in pages])
        target = source / staged(page)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    return [source / staged(page) for page in pages]


def staged(path: Path) -> Path:
    """Where a page or a file of the repository stands below the staged folder."""
    if path.is_relative_to(DOCS):
        return path.relative_to(DOCS)
    if path in AT_ROOT:
        return Path(path.name.lower())
    return Path(ABROAD) / path.relative_to(ROOT)


def linked(page: Path) -> list[Path]:
    """The files of the repository that a page links to. Raises ValueError on a link that leads to none."""
    return [_target(page, match[2]) for match in LINK.finditer(page.read_text(encoding="utf-8"))]


def _target(page: Path, link: str) -> Path:
    found = Path(os.path.normpath(page.parent / link))
    if not found.is_file():
        raise ValueError(f"{page.relative_to(ROOT)}: the link {link} leads to no file")
    return found


def relink(text: str, page: Path, source: Path) -> str:
    """The text with its relative links as they are below `source`; files that it links to or shows are copied there."""

    def moved(match: re.Match[str]) -> str:
        found = _target(page, match[2])
        if found.suffix != ".md":
            copy = source / staged(found)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(found, copy)
        return match[1] + os.path.relpath(staged(found), staged(page).parent)

    return LINK.sub(moved, text)


def _captioned(match: re.Match[str]) -> str:
    """The first line of a block that is a file, as MyST writes it."""
    return f"```{{code-block}} {LEXERS.get(match[1], match[1])}\n:caption: {match[2]}\n"


def _side_bar(pages: list[str]) -> str:
    """All pages by section, those of no section in the last one, so that none is out of reach."""
    named = {"index", "readme"}
    named |= {f"{folder}/{name}".lstrip("/") for _, folder, first in SECTIONS for name in first}
    folders = {folder for _, folder, _ in SECTIONS if folder}
    blocks = []
    for title, folder, first in SECTIONS:
        rest = [page for page in pages if page not in named]
        own = [page for page in rest if (top := page.split("/")[0]) == folder or not (folder or top in folders)]
        blocks.append(_toctree(title, [*(f"{folder}/{name}".lstrip("/") for name in first), *own]))
    return "".join(blocks)


def _toctree(title: str, entries: Iterable[str]) -> str:
    return "\n".join(["", "```{toctree}", f":caption: {title}", ":hidden:", "", *entries, "```", ""])
