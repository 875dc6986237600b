"""A PEtab problem's run as the command line shows it: a table of measurements and what they add up to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import SimulationError
from ..files import check_ending, write_text
from ..terminal import print_json, show_console
from .petab_run import PetabRun

ENDINGS = (".tsv",)


def sums_of(run: PetabRun) -> dict[str, float | str]:
    """Log likelihood, chi squared, log prior and log posterior; a sentence where the priors have no density."""
    sums: dict[str, float | str] = {"log_likelihood": run.log_likelihood, "chi2": run.chi2}
    try:
        sums |= {"log_prior": sum(run.log_priors.values()), "log_posterior": run.log_posterior}
    except SimulationError as error:
        sums["log_prior"] = f"none: {error}"
    return sums


def show_petab(run: PetabRun, out: Path | None, *, as_json: bool) -> None:
    """Show a run, or write its simulation table (PEtab's own, .tsv) whole or not at all."""
    sums = sums_of(run)
    if out is not None:
        check_ending(out, ENDINGS)
        write_text(out, run.table.to_csv(sep="\t", index=False, lineterminator="\n"))
        show_console().print(f"written: {out}", markup=False, soft_wrap=True)
    elif as_json:
        rows = run.table.to_dict("records")
        print_json({"problem": str(run.problem.path), "engines": run.engines, **sums, "simulations": rows})
        return
    else:
        _print_table(run)
    _print_sums(run, sums)


def _print_table(run: PetabRun) -> None:
    from rich.table import Table

    table = Table(title=None)
    for head, justify in (("observable", "left"), ("experiment", "left"), ("time", "right")):
        table.add_column(head, justify=justify, overflow="fold")  # pyright: ignore[reportArgumentType]
    for head in ("measured", "simulated", "spread", "log density"):
        table.add_column(head, justify="right")
    rows = zip(run.problem.measurements, run.simulations, run.noise, run.log_likelihoods, strict=True)
    for measurement, simulated, spread, density in rows:
        numbers = (f"{x:.6g}" for x in (measurement.time, measurement.value, simulated, spread, density))
        table.add_row(measurement.observable, measurement.experiment, *numbers)
    show_console().print(table)


def _print_sums(run: PetabRun, sums: Mapping[str, Any]) -> None:
    console = show_console()
    for name, number in sums.items():
        said = number if isinstance(number, str) else f"{number:.10g}"
        console.print(f"{name.replace('_', ' ')}: {said}", markup=False, highlight=False, soft_wrap=True)
    for line in (*run.problem.notes, f"engine: {', '.join(run.engines)}"):
        console.print(line, markup=False, highlight=False, soft_wrap=True, style="dim")
