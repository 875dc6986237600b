"""What a result file says of its own making: the case's fingerprint, version, mechanisms, variants, doses.

Every file that the program writes for others bears this, tables (.csv) and pictures (.svg) excepted.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

from .errors import ReportError
from .files import LARGEST

OF_KIND: Mapping[str, frozenset[str]] = {  # what shaped the numbers of each kind of result; keywords of methods.bib
    "run": frozenset({"solver"}),
    "sample": frozenset({"solver", "draws"}),
    "model": frozenset(),
    "claims": frozenset({"solver", "draws", "claims"}),
    "trial": frozenset({"solver", "draws", "trial"}),
    "verdict": frozenset({"solver", "draws", "claims", "studies"}),
    "weigh": frozenset({"solver", "draws", "weigh", "studies"}),
    "design": frozenset({"solver", "draws", "weigh", "studies", "trial", "design"}),
}


@dataclass(frozen=True, slots=True)
class Used:
    """What a result was made from, as it says itself.

    `mechanisms`: all of the case where empty; `doses`: prescriptions of its arms, None where any drug may be given;
    `plan` of a trial; `parts`: keywords of methods, and whether it asked `claims` and compared `studies`.
    """

    case_hash: str
    version: str
    mechanisms: tuple[str, ...] = ()
    variants: Mapping[str, str] = field(default_factory=dict)
    doses: tuple[str, ...] | None = None
    plan: str = ""
    parts: frozenset[str] = OF_KIND["verdict"]


_WRITTEN = re.compile(r"Written by antagony (\S+) from the case ([0-9a-f]{16})")
_MODEL = re.compile(r"\((\w[\w+]*)(?:, variants ([^)]*))?\): one of the rival mechanisms")
_DOSES = re.compile(r"Doses: (.{1,2000}?)\. They are events", re.DOTALL)
_PAGE_CASE = re.compile(r"<dt>Case</dt><dd><code>([0-9a-f]{16})</code>")
_PAGE_VERSION = re.compile(r'<meta name="generator" content="antagony ([^"]+)">')
_PAGE_VARIANTS = re.compile(r"<dt>Variants</dt><dd>([^<]*)</dd>")
_PAGE_SLUG = re.compile(r"<code>(\w+)</code>")
_FACTS = re.compile(r'<script type="text/plain" id="facts">([A-Za-z0-9+/=]+)</script>')


def read_result(path: Path) -> Used:
    """What a file that the program wrote says of its making. Raises ReportError where it says nothing."""
    readers: dict[str, Callable[[Path], Used | None]] = {
        ".nc": _read_netcdf, ".zarr": _read_zarr, ".json": _read_json, ".omex": _read_archive, ".html": _read_page,
        ".htm": _read_page, ".xml": _read_model, ".sbml": _read_model, ".ant": _read_model, ".md": _read_model,
        ".txt": _read_model,
    }  # fmt: skip
    if path.suffix in (".yaml", ".yml") or (path.is_dir() and path.suffix != ".zarr"):
        found = _read_petab(path if path.is_dir() else path.parent)
    elif path.suffix in readers:
        try:
            found = readers[path.suffix](path)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, BadZipFile, zlib.error):
            found = None
    else:
        found = None
    if found is None:
        raise ReportError(
            f"{path}: does not say what it was made from; .nc, .zarr, .json, .html, .omex, .xml and .ant of this "
            "program do, and a folder of a PEtab problem; of .csv and .svg name the mechanism instead"
        )
    return found


def _of_attributes(attributes: Mapping[str, Any], arms: Iterable[str], size: int) -> Used:
    """A run or the ratings of a trial, from a dataset's attributes."""
    kind = "trial" if "plan" in attributes else "sample" if size > 1 else "run"
    return Used(
        str(attributes["case_hash"]),
        str(attributes.get("antagony_version") or _version()),
        tuple(str(attributes["mechanism"]).split(", ")),
        _variants(str(attributes.get("variants", ""))),
        None if kind == "trial" else tuple(arms),
        str(attributes.get("plan", "")),
        OF_KIND[kind],
    )


def _variants(text: str) -> dict[str, str]:
    """`axis=name` separated by commas or spaces -> variants; other words are none."""
    pairs = (word.partition("=") for word in re.split(r"[,\s]+", text) if "=" in word)
    return {axis: name for axis, _, name in pairs}


def _version() -> str:
    from . import __version__

    return __version__


def _read_netcdf(path: Path) -> Used:
    import xarray as xr

    with xr.open_dataset(path, engine="h5netcdf") as run:
        return _of_dataset(run)


def _read_zarr(path: Path) -> Used:
    if find_spec("zarr") is None:
        raise ReportError(f'{path}: Zarr is not installed; pip install "antagony[stream]"')
    import xarray as xr

    with xr.open_zarr(path, consolidated=False) as run:
        return _of_dataset(run)


def _of_dataset(run: Any) -> Used:  # noqa: ANN401 - an xarray dataset
    arms = [str(name) for name in run["arm"].to_numpy().ravel()] if run["arm"].ndim == 1 else []
    return _of_attributes(run.attrs, arms, run.sizes.get("draw", 1) * run.sizes.get("subject", 1))


def _read_json(path: Path) -> Used | None:
    table = json.loads(_text(path))
    if "attrs" in table:  # a run, as `simulate --json` prints it
        sizes = table["dims"]
        return _of_attributes(table["attrs"], table["coords"]["arm"]["data"], sizes["draw"] * sizes["subject"])
    settings = table["settings"]
    kind = next((kind for key, kind in _KEYS if key in table), None)
    if kind is None:
        return None
    named = table["mechanisms"] if kind != "design" else {}
    slugs = [one["slug"] for one in named] if isinstance(named, list) else [n for n in named if n != "unexplained"]
    return Used(settings["case_hash"], settings["version"], tuple(slugs), settings["variants"], parts=OF_KIND[kind])


_KEYS = (("designs", "design"), ("partial", "weigh"), ("claims", "claims"), ("summary", "verdict"))


def _read_page(path: Path) -> Used | None:
    """A report by its settings, or the page by the facts that it holds."""
    text = _text(path)
    if packed := _FACTS.search(text):
        facts = json.loads(_unpack(packed[1]))
        slugs = tuple(one["slug"] for one in facts["mechanisms"])
        parts = OF_KIND["verdict"] | (OF_KIND["weigh"] if facts["weighing"] else frozenset())
        return Used(facts["caseHash"], facts["version"], slugs, parts=parts)
    made, version = _PAGE_CASE.search(text), _PAGE_VERSION.search(text)
    if not made or not version:
        return None
    parts = frozenset[str]().union(*(OF_KIND[kind] for mark, kind in _MARKS if mark in text))
    chosen = _PAGE_VARIANTS.search(text)
    slugs = tuple(dict.fromkeys(_PAGE_SLUG.findall(text)))  # other names in this type too: whoever knows the case tells
    return Used(made[1], version[1], slugs, _variants(chosen[1] if chosen else ""), parts=parts)


_MARKS = (
    (": verdict</title>", "verdict"), (": claims</title>", "claims"), ('aria-labelledby="weighing-rules"', "weigh"),
    ("Its analysis ignores", "design"),
)  # fmt: skip


def _unpack(packed: str) -> bytes:
    """Content of gzip in base64, at most LARGEST bytes; raises ValueError."""
    try:
        content = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(base64.b64decode(packed), LARGEST)
    except (binascii.Error, zlib.error) as error:
        raise ValueError(str(error)) from None
    return content


def _read_model(path: Path) -> Used | None:
    return _of_model(_text(path))


def _of_model(text: str, kind: str = "model") -> Used | None:
    """A model of one mechanism by the sentences of its notes."""
    made, model, doses = _WRITTEN.search(text), _MODEL.search(text), _DOSES.search(text)
    if not made or not model:
        return None
    given = (doses[1],) if doses else None
    return Used(made[2], made[1], (model[1],), _variants(model[2] or ""), given, parts=OF_KIND[kind])


def _read_archive(path: Path) -> Used | None:
    """A COMBINE archive by the notes of its models, whose arms may differ in doses."""
    with ZipFile(path) as archive:
        texts = []
        for name in sorted(n for n in archive.namelist() if n.endswith(".xml")):
            with archive.open(name) as file:
                texts.append(file.read(LARGEST).decode("utf-8"))
    found = [used for text in texts if (used := _of_model(text, "run")) is not None]
    if not found:
        return None
    doses = [used.doses for used in found]
    first = found[0]
    known = None if None in doses else tuple(text for some in doses if some for text in some)
    return Used(first.case_hash, first.version, first.mechanisms, first.variants, known, parts=first.parts)


def _read_petab(folder: Path) -> Used | None:
    """A PEtab problem by what stands in its README.md and problem.yaml."""
    readme, problem = folder / "README.md", folder / "problem.yaml"
    if not (readme.is_file() and problem.is_file()):
        return None
    made, slug = _WRITTEN.search(_text(readme)), re.search(r"^id: (\w+)$", _text(problem), re.MULTILINE)
    if not made or not slug:
        return None
    return Used(made[2], made[1], (slug[1],), parts=OF_KIND["model"] | {"studies"})


def _text(path: Path) -> str:
    """A text file of at most LARGEST bytes; raises ValueError for a larger one or one that is no text."""
    if path.stat().st_size > LARGEST:
        raise ValueError(f"{path}: larger than {LARGEST} bytes")
    return path.read_text(encoding="utf-8")
