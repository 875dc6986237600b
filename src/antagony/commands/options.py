"""Options that several commands share, and what they mean."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import CaseError

CaseOption = Annotated[
    Path | None, typer.Option("--case", help="Folder of a case; the packaged ketamine case when left out.")
]
SeedOption = Annotated[int, typer.Option(help="Seed of every random number; the same seed gives the same bits.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]
AnewOption = Annotated[
    bool, typer.Option("--anew", help="Compute it even where the answer to this very question is stored.")
]
ClusterOption = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Share the work out over the dask scheduler at this address, such as tcp://host:8786 (extra cluster).",
    ),
]
VariantOption = Annotated[
    list[str] | None, typer.Option("--variant", help="axis=name, such as loss=one_sided; may be repeated.")
]
RivalsOption = Annotated[
    str | None, typer.Option(metavar="A,B", help="Two or more classes or mechanisms to tell apart; all classes if not.")
]
BudgetOption = Annotated[
    str | None, typer.Option(help='What may be spent on each design: "80 patients" or "600 visits"; instead of --n.')
]
BoundOption = Annotated[float, typer.Option(help="Bayes factor above which evidence is decisive or misleading.")]
AimOption = Annotated[float, typer.Option(help="Probability of decisive evidence that the advised n reaches.")]
WithoutOption = Annotated[
    list[str] | None,
    typer.Option(help="Leave out placebo, unblinding, heterogeneity, residual or carry_over; may be repeated."),
]
DropoutOption = Annotated[str, typer.Option(help="none, at_random or not_at_random (by a severity nobody rated).")]
IgnoreOption = Annotated[
    list[str] | None,
    typer.Option(
        help="What the trials have and their analysis knows nothing of: a word of --without, or dropout; may be "
        "repeated. What it costs stands beside the rest."
    ),
]
EffortOption = Annotated[str, typer.Option(help="Of the weighing that is read: quick, standard or thorough.")]


def parse_variants(texts: list[str] | None) -> dict[str, str]:
    """["loss=one_sided"] -> {"loss": "one_sided"}; raises CaseError on any other form."""
    variants = {}
    for text in texts or []:
        axis, equals, name = text.partition("=")
        if not equals:
            raise CaseError(f'variant "{text}": write axis=name, such as loss=one_sided')
        variants[axis.strip()] = name.strip()
    return variants


def is_given(context: typer.Context, name: str) -> bool:
    """Whether an option was written, not left at its default."""
    source = context.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"
