"""The commands export and cite: a mechanism, curves or a regimen for other programs; sources for a paper."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ..files import check_ending, write_text
from ..terminal import print_json, show_console
from .delivery import say_note, say_written
from .options import CaseOption, JsonOption, VariantOption, is_given, parse_variants


def take_out(
    context: typer.Context,
    to: Annotated[str, typer.Option(help="sbml, antimony, petab, omex, csv or nonmem.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The file; of petab and csv the folder.")],
    mechanism: Annotated[
        list[str] | None, typer.Option("--mechanism", help="Which rival; csv and petab take several.")
    ] = None,
    regimen: Annotated[
        list[str] | None, typer.Option("--regimen", help="Prescription text; omex and csv take several arms.")
    ] = None,
    drugs: Annotated[
        list[str] | None,
        typer.Option("--drug", help="Drugs that the model holds without a dose; all if no regimen is given."),
    ] = None,
    outputs: Annotated[
        list[str] | None, typer.Option("--output", help="Readout of omex and csv; may be repeated. Default: all.")
    ] = None,
    until: Annotated[str, typer.Option(help="How long omex and csv watch, such as 24 h.")] = "7 d",
    points: Annotated[int, typer.Option(min=2, help="Moments that omex (evenly) and csv show.")] = 201,
    weights: Annotated[
        list[float] | None,
        typer.Option("--weight", metavar="KG", help="nonmem: a subject of this body weight; may be repeated."),
    ] = None,
    variants: VariantOption = None,
    case: CaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take a mechanism, its curves or a regimen out, for other programs.

    sbml, antimony: one model that stands alone, doses inside. omex: an archive that other programs re-run. petab: to
    fit the mechanisms elsewhere. csv: curves and parameters. nonmem: the regimen as a data set. Example:
    antagony export --to sbml --mechanism camp_crosstalk --regimen "ketamine 0.5 mg/kg iv over 40 min" -o model.xml
    """
    from ..case import open_case
    from ..exchange.export import OPTIONS, Request, check_options, write_export
    from ..units import parse_time

    check_options(to, (name for name in OPTIONS if is_given(context, name)))
    request = Request(
        open_case(case), tuple(mechanism or ()), tuple(regimen or ()), tuple(drugs or ()), tuple(outputs or ()),
        parse_time(until), points, tuple(weights or ()), parse_variants(variants),
    )  # fmt: skip
    done = write_export(to, request, out)
    for note in done.notes:
        say_note(note)
    if as_json:
        print_json({"to": to, "files": [str(file) for file in done.files], "notes": done.notes})
        return
    for file in done.files:
        show_console().print(f"written: {file}", markup=False, soft_wrap=True)


def cite(
    what: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[RESULT...]",
            help="Files that this program wrote (.nc, .zarr, .json, .html, .omex, .xml, .ant, the folder of a PEtab "
            "problem) or mechanisms; the whole case when left out.",
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write a .bib file instead of printing.")] = None,
    case: CaseOption = None,
) -> None:
    """What to cite of a result, as BibTeX: the program, the case, the methods, and the sources of its numbers.

    Keys are those of the case's references.bib. A comment at the head names the entries that hold a description in
    place of the paper's title: complete those from the DOI. Example:
    antagony cite run.nc verdict.html --out sources.bib
    """
    from ..case import open_case
    from ..cite import cite_results

    if out is not None:
        check_ending(out, (".bib",))
    text = cite_results(open_case(case), what or ())
    if out is None:
        sys.stdout.write(text)
        return
    write_text(out, text)
    say_written(out)
