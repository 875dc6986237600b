"""What to cite of a result: the program, the case, the methods, and every published source its numbers rest on.

A result file says itself what it was made from, and one that does not is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from .case import Case
from .errors import AntagonyError, CaseError, near_miss
from .origin import OF_KIND, Used, read_result
from .verdict import DESCRIBED, is_described

if TYPE_CHECKING:
    from bibtexparser.library import Library
    from bibtexparser.model import Entry

TITLE = "Antagony: put rival drug mechanisms on trial"
AUTHOR = "The Antagony project"
LICENCE = "Apache-2.0"
METHODS = Path(__file__).with_name("methods.bib")

# --- what is cited ---------------------------------------------------------------------------------------------------


def cite_results(case: Case, words: Sequence[str] = ()) -> str:
    """BibTeX of what results or mechanisms rest on; of the whole case where none is named.

    Each word is a mechanism of the case or a file that the program wrote. Program first, then the case, the methods,
    and the case's sources in the order and under the keys of its references.bib. Raises CaseError for a result of
    another case or an unknown word, ReportError for a file that does not say what it was made from. A comment at the
    head names the entries that hold a description in place of the paper's title.
    """
    results = [_read_word(case, word) for word in words] or [_whole(case)]
    wanted = frozenset[str]().union(*(used.parts for used in results))
    keys = {key for used in results for key in _source_keys(case, used)}
    methods = [_without(e, "keywords") for e in _parse(METHODS).entries if e["keywords"] in wanted]
    sources = [_noted(entry) for entry in _chosen(case, keys)]
    versions = sorted({used.version for used in results})
    return _printable(_head(sources) + _write([*map(_program, versions), _case_entry(case), *methods, *sources]))


def _read_word(case: Case, word: str) -> Used:
    if all(name in case.wirings for name in word.split("+")):
        return _of_mechanisms(case, (word,))
    path = Path(word)
    if not path.exists():
        raise CaseError(
            f'"{word}" is no file, and {case.folder.name} has no such mechanism{near_miss(word, case.wirings)}'
        )
    used = read_result(path)
    if used.case_hash != case.hash:
        raise CaseError(
            f"{word}: made from the case {used.case_hash}, and {case.folder} is now {case.hash}: its sources may be "
            "others; name the folder that it was made from by --case, or run it again"
        )
    return replace(used, mechanisms=tuple(s for s in used.mechanisms if {*s.split("+")} <= {*case.wirings}))


def _whole(case: Case) -> Used:
    return _of_mechanisms(case, (), OF_KIND["verdict"] | (OF_KIND["weigh"] if case.rules else frozenset()))


def _of_mechanisms(case: Case, slugs: tuple[str, ...], parts: frozenset[str] = OF_KIND["claims"]) -> Used:
    from . import __version__

    return Used(case.hash, __version__, slugs, parts=parts)


def _source_keys(case: Case, used: Used) -> Iterator[str]:
    """Keys of every source that the numbers of a result name."""
    drugs = case.dosable if used.doses is None else _drugs_of(case, used.doses)
    slugs = used.mechanisms or tuple(case.wirings)
    for slug in slugs:
        mechanism = case.mechanism(slug, drugs, used.variants)
        rows = (*mechanism.parameters.values(), *mechanism.dosing.values())
        yield from (_key(row.source) for row in rows)
        for drug in mechanism.drugs.values():
            yield from (_key(target.source) for route in drug.routes.values() for target in route.targets)
    if "claims" in used.parts:
        asked = (*case.claims, *(claim for slug in slugs for claim in case.own_claims.get(slug, ())))
        yield from (_key(claim.source) for claim in asked)
    studies = set(case.studies) if "studies" in used.parts else {used.plan} & set(case.studies)
    if case.calibration and not all(case.wiring(slug).reference for slug in slugs):
        studies.add(case.calibration.study)
    for study in (case.studies[name] for name in sorted(studies) if name in case.studies):
        yield _key(study.reference)
        yield from (_key(finding.source) for finding in study.findings)


def _key(source: str) -> str:
    """The key of a source, its locator left out."""
    return source.split(",")[0].strip()


def _drugs_of(case: Case, doses: Iterable[str]) -> tuple[str, ...]:
    """Drugs of prescriptions; all of the case where an arm bears another name."""
    try:
        return tuple({drug for text in doses for drug in case.regimen(text).drugs})
    except AntagonyError:
        return case.dosable


def _chosen(case: Case, keys: Iterable[str]) -> list[Entry]:
    """The case's entries under these keys, in its order. Raises CaseError for one that it lacks."""
    path = case.folder / "references.bib"
    entries = {entry.key: entry for entry in _parse(path).entries}
    wanted = {key for key in keys if key}
    for key in sorted(wanted):
        if key not in entries:
            raise CaseError(f'{path}: no source "{key}", which a number names{near_miss(key, entries)}')
    return [entry for key, entry in entries.items() if key in wanted]


# --- BibTeX ----------------------------------------------------------------------------------------------------------


def _parse(path: Path) -> Library:
    """Entries of a BibTeX file; raises CaseError naming the line of one that cannot be read."""
    from bibtexparser.entrypoint import parse_string

    try:
        library = parse_string(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CaseError(f"{path}: no such file; every number's source stands there") from None
    except UnicodeDecodeError as error:
        raise CaseError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start})") from None
    except RecursionError:
        raise CaseError(f"{path}: braces inside one another without end") from None
    for block in library.failed_blocks:
        raise CaseError(f"{path}, line {block.start_line + 1 if block.start_line is not None else '?'}: no entry of "
                        "BibTeX; check its braces, commas and that its key stands there once")  # fmt: skip
    return library


def _program(version: str) -> Entry:
    fields = {
        "author": f"{{{AUTHOR}}}", "title": f"{{{TITLE}}}", "version": version,
        "note": f"Software, version {version}, licence {LICENCE}",
    }  # fmt: skip
    return _entry(f"antagony_{re.sub(r'[^0-9A-Za-z.]', '_', version)}", fields)


def _case_entry(case: Case) -> Entry:
    name = re.sub(r"\W", "_", case.folder.resolve().name)
    title = re.sub(r"[{}\\]", "", case.title)
    return _entry(f"case_{name}", {"title": f"{{{title}}}", "note": f"Case for Antagony, fingerprint {case.hash}"})


def _entry(key: str, fields: Mapping[str, str]) -> Entry:
    from bibtexparser.model import Entry, Field

    return Entry("misc", key, [Field(name, value) for name, value in fields.items()])


def _fields(entry: Entry) -> dict[str, str]:
    return {field.key.lower(): str(field.value) for field in entry.fields}


def _noted(entry: Entry) -> Entry:
    """The entry, with a note where only a comment says that its title is a description."""
    from bibtexparser.model import Entry, Field

    fields = _fields(entry)
    if not is_described(fields) or DESCRIBED in fields.get("note", "").lower():
        return entry
    note = "; ".join(part for part in (DESCRIBED, fields.get("note", "")) if part)
    kept = [field for field in entry.fields if field.key.lower() != "note"]
    return Entry(entry.entry_type, entry.key, [*kept, Field("note", note)])


def _head(entries: Sequence[Entry]) -> str:
    """One line of comment: whose titles are descriptions; nothing where none is."""
    described = [entry.key for entry in entries if is_described(_fields(entry))]
    if not described:
        return ""
    return (
        f"% {len(described)} of {len(entries)} sources hold a description in place of the paper's title, and authors "
        f'may be cut to "and others"; complete them from the DOI before you print: {", ".join(described)}\n\n'
    )


def _without(entry: Entry, field: str) -> Entry:
    from bibtexparser.model import Entry

    return Entry(entry.entry_type, entry.key, [f for f in entry.fields if f.key != field])


def _write(entries: Iterable[Entry]) -> str:
    from bibtexparser.entrypoint import write_string
    from bibtexparser.library import Library

    return write_string(Library([*entries]))


def _printable(text: str) -> str:
    """The text without what steers a terminal; a case may be a stranger's."""
    return "".join(letter for letter in text if letter.isprintable() or letter in "\n\t")
