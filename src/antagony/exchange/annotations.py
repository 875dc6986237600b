"""What the symbols of a model stand for in public databases, as MIRIAM annotations: (symbol, qualifier, resource).

A case says it in `annotations.tsv` (columns `symbol qualifier resource name`); sources are taken from its bibliography.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ..case import ANNOTATIONS_FILE, Case
from ..errors import CaseError, near_miss
from ..parameters import Parameter
from ..verdict import read_bibliography

COLUMNS = ["symbol", "qualifier", "resource", "name"]
MODEL = "model"
"""The symbol that stands for the model itself."""

QUALIFIERS = (
    *("is", "isVersionOf", "hasVersion", "isPartOf", "hasPart", "isHomologTo", "isDescribedBy", "isEncodedBy"),
    *("encodes", "occursIn", "hasProperty", "isPropertyOf", "hasTaxon"),
)
"""Qualifiers of bqbiol that a table may use."""

_COMPACT = re.compile(r"[A-Za-z][\w.]*:\S+")
_PUBLIC = (
    (re.compile(r"\b(10\.\d{4,9}/\S+)"), "doi:{}"),
    (re.compile(r"\bPMID (\d+)"), "pubmed:{}"),
    (re.compile(r"\b(PMC\d+)"), "pmc:{}"),
)


@dataclass(frozen=True, slots=True)
class Annotation:
    """A symbol's relation (`qualifier`) to an entry of a public database, by its compact identifier."""

    symbol: str
    qualifier: str
    resource: str

    @property
    def uri(self) -> str:
        """The address under which identifiers.org resolves the resource."""
        return f"https://identifiers.org/{self.resource}"


def read_annotations(case: Case) -> tuple[Annotation, ...]:
    """The annotations of a case's table; none where a case has no table. Raises CaseError with file and line."""
    file = case.folder / ANNOTATIONS_FILE
    if not file.is_file():
        return ()
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise CaseError(f"{file}: not UTF-8 text ({error.reason} at byte {error.start})") from None
    rows = [(n, line.split("\t")) for n, line in enumerate(lines, 1) if line.strip() and not line.startswith("#")]
    if not rows or rows[0][1] != COLUMNS:
        raise CaseError(f"{file}: the first line must name the columns {' '.join(COLUMNS)}, with tabs between")
    return tuple(_read_row(cells, f"{file}, line {number}") for number, cells in rows[1:])


def _read_row(cells: list[str], where: str) -> Annotation:
    if len(cells) != len(COLUMNS):
        raise CaseError(f"{where}: {len(cells)} columns; write {' '.join(COLUMNS)}, with tabs between")
    symbol, qualifier, resource, _ = (cell.strip() for cell in cells)
    if qualifier not in QUALIFIERS:
        raise CaseError(f'{where}: unknown qualifier "{qualifier}"{near_miss(qualifier, QUALIFIERS)}')
    if not _COMPACT.fullmatch(resource) or re.search(r"[\"'<>&\\]", resource):
        raise CaseError(f'{where}: "{resource}" is no compact identifier, such as CHEBI:6121 or uniprot:P35372')
    return Annotation(symbol, qualifier, resource)


def source_annotations(case: Case, parameters: Iterable[Parameter]) -> Iterator[Annotation]:
    """Where the number of a parameter was published: its source's DOI, else PubMed or PMC number, if it has one."""
    texts = read_bibliography(case)
    for parameter in parameters:
        text = texts.get(parameter.source.split(",")[0].strip(), "")
        found = ((pattern.search(text), form) for pattern, form in _PUBLIC)
        resource = next((form.format(match[1].rstrip(".;,")) for match, form in found if match), None)
        if resource is not None:
            yield Annotation(parameter.id, "isDescribedBy", resource)
