"""The commands claims, diff and lint: what is claimed, where two mechanisms differ, what is wrong in a case."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from ..files import check_ending
from ..printing import MATRIX_ENDINGS, claim_row, print_claims, print_difference, print_matrix, write_matrix
from ..terminal import print_json, show_console, show_progress
from .delivery import say_written
from .options import CaseOption, JsonOption, SeedOption, VariantOption, parse_variants


def claims(
    mechanism: Annotated[list[str] | None, typer.Argument(help="Mechanisms to ask; all when left out.")] = None,
    draws: Annotated[int, typer.Option(min=1, help="Prior draws.")] = 2000,
    variant: VariantOption = None,
    seed: SeedOption = 1,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 when a claim is broken.")] = False,
    long: Annotated[
        bool, typer.Option("--long", help="A line for each answer: measured, margin, what parts the draws.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Write .html, .csv or .json beside what is printed.")] = None,
    case: CaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check what is claimed of each mechanism: one matrix, a row for each claim, a column for each mechanism.

    Example: antagony claims camp_crosstalk direct_opioid --draws 500 --out claims.html
    """
    from ..case import open_case
    from ..matrix import fill_matrix

    if out is not None:
        check_ending(out, MATRIX_ENDINGS)
    opened = open_case(case)
    variants = parse_variants(variant)
    with show_progress() as tell:
        chosen = mechanism or list(opened.wirings)
        matrix = fill_matrix(opened, chosen, draws=draws, seed=seed, variants=variants, progress=tell)
    if as_json:
        print_json([claim_row(r) for r in matrix.results])
    elif long:
        print_claims(matrix.results, show_console())
    else:
        print_matrix(matrix, show_console())
    if out is not None:
        write_matrix(matrix, out)
        say_written(out, stderr=as_json)
    if strict and not all(r.holds for r in matrix.results):
        raise typer.Exit(1)


def diff(
    first: Annotated[str, typer.Argument(help="A mechanism.")],
    second: Annotated[str, typer.Argument(help="Another, or the same with --variant for the second.")],
    drug: Annotated[list[str] | None, typer.Option("--drug", help="Compose with these drugs; may be repeated.")] = None,
    variant: VariantOption = None,
    case: CaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """State in equations where two mechanisms differ; every equation that is not listed is the same in both.

    Example: antagony diff camp_crosstalk direct_opioid
    """
    from ..case import open_case
    from ..difference import compare_mechanisms

    opened = open_case(case)
    drugs = drug or list(opened.dosable)
    found = compare_mechanisms(opened.mechanism(first, drugs), opened.mechanism(second, drugs, parse_variants(variant)))
    if as_json:
        print_json(asdict(found))
        return
    print_difference(found, show_console())


def lint(case: CaseOption = None, as_json: JsonOption = False) -> None:
    """Check everything a case holds: models, units, numbers, sources, claims, studies. Exit code 1 on an error."""
    from ..case import open_case
    from ..lint import describe_grades, lint_case

    opened = open_case(case)
    with show_progress() as tell:
        issues = lint_case(opened, progress=tell)
    if as_json:
        print_json([{"level": i.level, "where": i.where, "message": i.message} for i in issues])
    else:
        console = show_console()
        for issue in issues:
            console.print(f"{issue.level}: {issue.where}: {issue.message}", markup=False, soft_wrap=True)
        errors = sum(issue.level == "error" for issue in issues)
        console.print(f"{opened.title}: {_count(errors, 'error')}, {_count(len(issues) - errors, 'warning')}")
        console.print(describe_grades(opened), soft_wrap=True)
    if any(issue.level == "error" for issue in issues):
        raise typer.Exit(1)


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'s' * (number != 1)}"
