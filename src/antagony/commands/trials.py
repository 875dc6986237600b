"""The command trial: a study or design run many times under each mechanism."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..files import check_ending
from ..terminal import show_progress
from .delivery import deliver
from .options import (
    CaseOption,
    ClusterOption,
    DropoutOption,
    JsonOption,
    SeedOption,
    VariantOption,
    WithoutOption,
    parse_variants,
)


def trial(
    plan: Annotated[str, typer.Argument(help="A study or design of the case, such as williams_2018; or a TOML file.")],
    mechanism: Annotated[
        list[str] | None, typer.Option("--mechanism", help="Only these rivals, or a mixture a+b; may be repeated.")
    ] = None,
    replicates: Annotated[int, typer.Option(min=1, help="How many times the trial is run.")] = 1000,
    patients: Annotated[int | None, typer.Option(help="Patients in all, shared out as the design does.")] = None,
    washout: Annotated[str | None, typer.Option(help="From one period to the next, such as 30 d.")] = None,
    nominal: Annotated[
        bool, typer.Option("--nominal", help="Every trial under nominal values, not each under its own prior draw.")
    ] = False,
    without: WithoutOption = None,
    dropout: DropoutOption = "not_at_random",
    level: Annotated[float, typer.Option(min=0.5, max=0.999, help="Of the intervals; power is judged by it.")] = 0.95,
    variant: VariantOption = None,
    seed: SeedOption = 1,
    out: Annotated[
        Path | None, typer.Option(help="Write .csv (estimates), .nc (every rating) or .svg (figure) as well.")
    ] = None,
    cluster: ClusterOption = None,
    case: CaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run a trial many times under each mechanism: what it would find, its power, and where published results fall.

    Patients are enrolled, treated, rated with error, lost and analysed as the design asks. Example:
    antagony trial williams_2018 --mechanism camp_crosstalk --mechanism nmda_rest --patients 26
    """
    from ..case import open_case
    from ..cluster import open_workers
    from ..design import realism_without
    from ..trial import ALONE, compare_study, simulate_trials
    from ..trial_report import TRIAL_ENDINGS, print_trials, trial_table, write_trials

    if out is not None:
        check_ending(out, TRIAL_ENDINGS)
    opened = open_case(case)
    chosen = opened.plan(plan)
    chosen = chosen.spaced(washout) if washout is not None else chosen
    chosen = chosen.resized(patients) if patients is not None else chosen
    realism = realism_without(without or (), dropout)
    with open_workers(cluster) as workers, show_progress() as tell:
        runs = simulate_trials(
            opened, mechanism or list(opened.wirings), chosen, replicates=replicates, seed=seed, realism=realism,
            uncertain=not nominal, level=level, variants=parse_variants(variant),
            workers=workers if cluster else ALONE, progress=tell,
        )  # fmt: skip
    answers = [(run, compare_study(opened, run)) for run in runs]
    deliver(answers, out, write=write_trials, table=trial_table, show=print_trials, as_json=as_json)
