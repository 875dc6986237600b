"""Whether a built site holds together by itself: links and anchors lead somewhere, nothing is fetched from afar."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup
from bs4.element import Tag

FETCHED = ("script[src]", "img[src]", "iframe[src]", "source[src]", "link[rel=stylesheet]", "link[rel=icon]", "object")
"""What a browser loads without being asked."""


def faults_of_site(folder: Path) -> list[str]:
    """One sentence for each dead link, missing anchor, missing file or address outside the site that a page loads."""
    faults = [fault for page in sorted(folder.rglob("*.html")) for fault in _faults_of_page(page, folder)]
    for sheet in sorted(folder.rglob("*.css")):
        text = sheet.read_text(encoding="utf-8", errors="replace").replace(" ", "").replace('"', "").replace("'", "")
        if any(word in text for word in ("url(http", "url(//", "@importhttp", "@importurl(http", "@import//")):
            faults.append(f"{sheet.relative_to(folder)}: it loads from another host")
    return faults


def _faults_of_page(page: Path, folder: Path) -> Iterator[str]:
    where = page.relative_to(folder)
    soup = _read(page)
    loaded = {id(tag) for selector in FETCHED for tag in soup.select(selector)}
    for tag in soup.select("[href], [src], [data]"):
        address = str(tag.get("href") or tag.get("src") or tag.get("data") or "")
        parts = urlsplit(address)
        if parts.scheme == "data":
            continue
        if parts.scheme or parts.netloc:
            if id(tag) in loaded:
                yield f"{where}: {tag.name} loads {address} from another host"
            continue
        target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
        if not target.is_file():
            yield f"{where}: {address} leads nowhere"
        elif parts.fragment and target.suffix == ".html" and unquote(parts.fragment) not in _ids(target):
            yield f"{where}: {address} names no place of that page"


@cache
def _read(page: Path) -> BeautifulSoup:
    return BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")


@cache
def _ids(page: Path) -> frozenset[str]:
    return frozenset(str(tag["id"]) for tag in _read(page).select("[id]") if isinstance(tag, Tag))
