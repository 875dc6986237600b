"""The command line: antagony verdict | simulate | claims | diff | lint."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .errors import AntagonyError, ReportError

if TYPE_CHECKING:
    import xarray as xr
    from rich.console import Console

    from .case import Case
    from .verdict import Verdict

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help=(
        "Put rival drug mechanisms on trial: simulate each on real doses, check what it claims, compare it with "
        "published trials. No dosing advice. Start with: antagony verdict"
    ),
)

CaseOption = Annotated[
    Path | None, typer.Option("--case", help="Folder of a case; the packaged ketamine case when left out.")
]
SeedOption = Annotated[int, typer.Option(help="Seed of every random number; the same seed gives the same bits.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]
VariantOption = Annotated[
    list[str] | None, typer.Option("--variant", help="axis=name, such as loss=one_sided; may be repeated.")
]


@app.command()
def verdict(
    out: Annotated[Path, typer.Option(help="Where the report is written (one HTML file).")] = Path("verdict.html"),
    draws: Annotated[int, typer.Option(min=1, help="Prior draws over which claims are checked.")] = 2000,
    patients: Annotated[int, typer.Option(min=2, help="Virtual patients in a replayed trial.")] = 64,
    seed: SeedOption = 1,
    mechanism: Annotated[
        list[str] | None, typer.Option("--mechanism", help="Only these rivals; may be repeated.")
    ] = None,
    case: CaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """The whole answer: claims x mechanisms, trials replayed, what is fragile; writes verdict.html beside it.

    Example: antagony verdict --draws 500 --mechanism camp_crosstalk --mechanism none
    """
    from .case import open_case
    from .report import write_report
    from .verdict import reach_verdict

    opened = open_case(case)
    with _progress() as report_progress:
        answer = reach_verdict(
            opened, mechanisms=mechanism, draws=draws, patients=patients, seed=seed, progress=report_progress
        )
    path = write_report(answer, out)
    if as_json:
        _print_json(verdict_table(answer))
        return
    print_verdict(answer, _console())
    _console().print(f"report: {path}")


@app.command()
def simulate(
    mechanism: Annotated[str, typer.Argument(help="Folder name of a mechanism, such as camp_crosstalk.")],
    regimen: Annotated[
        list[str],
        typer.Argument(
            help='Prescription text, one arm each: "naltrexone 50 mg po at -45 min; ketamine 0.5 mg/kg iv over 40 min".'
        ),
    ],
    output: Annotated[
        list[str] | None, typer.Option("--output", "-o", help="Readout to show; may be repeated. Default: score.")
    ] = None,
    until: Annotated[str, typer.Option(help="How long to watch, such as 24 h or 7 d.")] = "7 d",
    points: Annotated[int, typer.Option(min=2, help="Moments shown.")] = 25,
    patients: Annotated[int, typer.Option(min=1, help="Virtual patients; 1 is the typical patient.")] = 1,
    draws: Annotated[int, typer.Option(min=1, help="Prior draws; 1 is the nominal value of every parameter.")] = 1,
    calibrated: Annotated[
        bool, typer.Option(help="Solve the outcome scale from the case's calibrating finding.")
    ] = True,
    variant: VariantOption = None,
    seed: SeedOption = 1,
    out: Annotated[Path | None, typer.Option(help="Write .csv, .nc (NetCDF) or .svg instead of a table.")] = None,
    plot: Annotated[bool, typer.Option("--plot", help="Draw curves in the terminal.")] = False,
    case: CaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run a mechanism on one or more regimens and show its readouts over time.

    Example: antagony simulate camp_crosstalk "ketamine 0.5 mg/kg iv over 40 min" -o mtorc1_relative -o score --plot
    """
    from .case import open_case

    opened = open_case(case)
    variants = parse_variants(variant)
    run = run_simulation(
        opened, mechanism, regimen, output or ["score"], until, points, patients, draws, calibrated, variants, seed
    )
    _show_run(run, out, plot=plot, as_json=as_json)


@app.command()
def claims(
    mechanism: Annotated[list[str] | None, typer.Argument(help="Mechanisms to ask; all when left out.")] = None,
    draws: Annotated[int, typer.Option(min=1, help="Prior draws.")] = 2000,
    variant: VariantOption = None,
    seed: SeedOption = 1,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 when a claim is broken.")] = False,
    case: CaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check what is claimed of each mechanism: holds or broken, by how much, in which share of the prior draws."""
    from .case import open_case
    from .claims import check_claims

    opened = open_case(case)
    variants = parse_variants(variant)
    results = []
    with _progress() as tell:
        chosen = mechanism or list(opened.wirings)
        for i, slug in enumerate(chosen):
            tell(f"claims of {slug}", i, len(chosen))
            asked = (*opened.claims, *opened.own_claims.get(slug, ()))
            results += check_claims(opened, slug, asked, draws=draws, seed=seed, variants=variants)
    if as_json:
        _print_json([claim_row(r) for r in results])
    else:
        _print_claims(results, _console())
    if strict and not all(r.holds for r in results):
        raise typer.Exit(1)


@app.command()
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
    from .case import open_case
    from .difference import compare_mechanisms

    opened = open_case(case)
    drugs = drug or list(opened.dosable)
    found = compare_mechanisms(opened.mechanism(first, drugs), opened.mechanism(second, drugs, parse_variants(variant)))
    if as_json:
        from dataclasses import asdict

        _print_json(asdict(found))
        return
    console = _console()
    for title, pairs in (("differs", found.changed),):
        for a, b in pairs:
            console.print(f"{title}: {a.left}", style="bold", markup=False)
            console.print(f"  {found.first}: {a.right}", markup=False)
            console.print(f"  {found.second}: {b.right}", markup=False)
    for owner, only in ((found.first, found.only_first), (found.second, found.only_second)):
        for e in only:
            console.print(f"only in {owner}: {e.left} {e.right}", markup=False)
    console.print(f"{found.same} further equations and numbers are the same in both, to the letter.")


@app.command()
def lint(case: CaseOption = None, as_json: JsonOption = False) -> None:
    """Check everything a case holds: models, units, numbers, sources, claims, studies. Exit code 1 on an error."""
    from .case import open_case
    from .lint import describe_grades, lint_case

    opened = open_case(case)
    issues = lint_case(opened)
    if as_json:
        _print_json([{"level": i.level, "where": i.where, "message": i.message} for i in issues])
    else:
        console = _console()
        for issue in issues:
            console.print(f"{issue.level}: {issue.where}: {issue.message}", markup=False)
        errors = sum(issue.level == "error" for issue in issues)
        console.print(f"{opened.title}: {errors} errors, {len(issues) - errors} warnings")
        console.print(describe_grades(opened), soft_wrap=True)
    if any(issue.level == "error" for issue in issues):
        raise typer.Exit(1)


def main() -> None:
    """Entry point: errors that a user can mend are printed as one sentence, exit code 2."""
    try:
        code = app(standalone_mode=False)  # an exit code where a command asked for one
        sys.exit(code if isinstance(code, int) else 0)
    except typer.Abort:
        sys.exit(130)
    except KeyboardInterrupt:
        sys.exit(130)
    except AntagonyError as error:
        _console(stderr=True).print(f"error: {error}", markup=False, highlight=False)
        sys.exit(2)
    except Exception as error:
        if type(error).__module__.startswith(("typer", "click")) and hasattr(error, "show"):
            error.show()  # type: ignore[attr-defined] - usage errors know how to print themselves
            sys.exit(getattr(error, "exit_code", 2))
        raise


# --- doing -----------------------------------------------------------------------------------------------------------


def parse_variants(texts: list[str] | None) -> dict[str, str]:
    """["loss=one_sided"] -> {"loss": "one_sided"}; raises CaseError on any other form."""
    from .errors import CaseError

    variants = {}
    for text in texts or []:
        axis, equals, name = text.partition("=")
        if not equals:
            raise CaseError(f'variant "{text}": write axis=name, such as loss=one_sided')
        variants[axis.strip()] = name.strip()
    return variants


def run_simulation(
    case: Case,
    slug: str,
    regimens: list[str],
    outputs: list[str],
    until: str,
    points: int,
    patients: int,
    draws: int,
    calibrated: bool,
    variants: Mapping[str, str],
    seed: int,
) -> xr.Dataset:
    """One dataset over all regimens as arms, moments denser near time 0."""
    import numpy as np

    from .calibration import calibrate
    from .population import NOMINAL, TYPICAL, draw_parameters, sample_population
    from .simulation import Arm, simulate
    from .units import parse_time

    arms = {text: Arm(case.regimen(text), (), case.trial) for text in regimens}
    for note in dict.fromkeys(note for arm in arms.values() for note in case.notes(arm.regimen)):
        _console(stderr=True).print(f"note: {note}", markup=False, highlight=False)
    drugs = {d for arm in arms.values() for d in arm.regimen.drugs}
    rows = case.parameters(slug, variants)
    sets = NOMINAL if draws == 1 else draw_parameters(rows.values(), draws, seed=seed)
    if calibrated and case.calibration:
        sets = calibrate(case, slug, sets, variants=variants).draws
    people = TYPICAL if patients == 1 else sample_population(rows.values(), patients, seed=seed)
    first = min([0.0, *(arm.regimen.first for arm in arms.values() if arm.regimen.doses)])
    times = np.sinh(np.linspace(np.arcsinh(first), np.arcsinh(parse_time(until)), points))
    return simulate(case.mechanism(slug, drugs, variants), arms, times, population=people, draws=sets, outputs=outputs)


def claim_row(result: Any) -> dict[str, Any]:  # noqa: ANN401 - a ClaimResult; its import would load the numerics
    """A claim's result as plain values."""
    return {
        "claim": result.claim.id,
        "statement": result.claim.statement,
        "mechanism": result.mechanism,
        "holds": result.holds,
        "measured": result.measured,
        "margin": result.margin,
        "share_of_draws": result.share,
        "share_error": result.share_error,
        "draws": result.draws,
        "separating": [
            {"parameter": s.parameter, "distance": s.distance, "higher_holds": s.higher_holds}
            for s in result.separating
        ],
    }


def verdict_table(answer: Verdict) -> dict[str, Any]:
    """A verdict as plain values, curves left out."""
    from dataclasses import asdict

    return {
        "title": answer.title,
        "question": answer.question,
        "disclaimer": answer.disclaimer,
        "summary": answer.summary,
        "fragile": answer.fragile,
        "studies": answer.studies,
        "settings": asdict(answer.settings),
        "mechanisms": [
            {
                "slug": m.slug,
                "calibrated": m.calibrated,
                "scale": m.scale,
                "outside_prior": m.outside_prior,
                "calibrated_share": m.calibrated_share,
                "inside_prior_share": m.inside_prior_share,
                "explains": m.explains,
                "findings": m.findings,
                "assumed": m.assumed,
                "numbers": m.numbers,
                "failures": m.failures,
                "claims": [claim_row(r) for r in (*m.claims, *m.own_claims)],
                "replays": [
                    {k: v for k, v in asdict(r).items() if k != "finding"} | {"finding": r.finding.id}
                    for r in m.replays
                ],
            }
            for m in answer.mechanisms
        ],
    }


# --- printing --------------------------------------------------------------------------------------------------------


def _console(*, stderr: bool = False) -> Console:
    from rich.console import Console

    return Console(stderr=stderr, soft_wrap=False)


def _print_json(value: Any) -> None:  # noqa: ANN401
    text = json.dumps(value, indent=1, default=str, allow_nan=True)
    sys.stdout.write(text + "\n")


@contextmanager
def _progress() -> Iterator[Any]:
    """A bar on the error stream; yields tell(text, done, total)."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=_console(stderr=True), transient=True) as bar:
        task = bar.add_task("starting", total=None)

        def tell(text: str, done: int, total: int) -> None:
            bar.update(task, description=text, completed=done, total=total)

        yield tell


def print_verdict(answer: Verdict, console: Console) -> None:
    """One screen: claims x mechanisms, replays, plain sentences."""
    from rich.table import Table

    console.rule(answer.title)
    console.print(answer.question, markup=False)
    table = Table(
        title="What each mechanism claims: holds (+) or broken (-) at nominal values, and in % of prior draws"
    )
    table.add_column("claim", max_width=44)
    for m in answer.mechanisms:
        table.add_column(m.slug.replace("_", "\n"), justify="right")
    by_id = {m.slug: {r.claim.id: r for r in m.claims} for m in answer.mechanisms}
    for claim in dict.fromkeys(r.claim for m in answer.mechanisms for r in m.claims):
        cells = [_cell(by_id[m.slug].get(claim.id)) for m in answer.mechanisms]
        table.add_row(claim.id, *cells)
    console.print(table)
    console.print(_replay_table(answer))
    console.print(_legend(answer), markup=False, style="dim")
    for line in answer.summary:
        console.print(f"* {line}", markup=False, highlight=False)
    if answer.fragile:
        console.print("Fragile:", style="bold")
        for line in answer.fragile:
            console.print(f"- {line}", markup=False, highlight=False)
    s = answer.settings
    console.print(
        f"{s.draws} draws, {s.patients} patients, seed {s.seed}, rtol {s.relative_tolerance:g}, "
        f"atol {s.absolute_tolerance:g}, case {s.case_hash}, {s.seconds:.0f} s. {answer.disclaimer}",
        markup=False,
        style="dim",
    )


def _legend(answer: Verdict) -> str:
    unclear = sum(r.agrees is None for m in answer.mechanisms for r in m.replays)
    return "~ cannot be said." if unclear else ""


def _cell(result: Any) -> str:  # noqa: ANN401
    if result is None:
        return ""
    return f"{'+' if result.holds else '-'} {100 * result.share:.0f}%"


def _replay_table(answer: Verdict) -> Any:  # noqa: ANN401
    from rich.table import Table

    table = Table(
        title="Findings replayed: predicted median, + within the 95 % interval; * used to calibrate, not counted"
    )
    table.add_column("finding", no_wrap=True)
    table.add_column("observed", justify="right")
    for m in answer.mechanisms:
        table.add_column(m.slug.replace("_", "\n"), justify="right")
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for m in answer.mechanisms:
        for r in m.replays:
            rows.setdefault((r.study, r.finding.id), {})[m.slug] = r
    for (study, finding), replays in rows.items():
        any_one = next(iter(replays.values()))
        observed = _observed(any_one)
        cells = [_replay_cell(replays.get(m.slug)) for m in answer.mechanisms]
        table.add_row(f"{study} {finding}{' *' if any_one.calibrates else ''}", observed, *cells)
    explained = [f"{m.explains} of {m.findings}" for m in answer.mechanisms]
    table.add_row("explains", "", *explained, style="bold")
    return table


def _observed(replay: Any) -> str:  # noqa: ANN401
    """Published value, or in words where only a direction is known."""
    if replay.finding.kind == "direction":
        return {1: "falls less", -1: "falls more"}[replay.finding.sign]
    if replay.finding.kind == "none_different":
        return "same"
    return "" if replay.observed is None else f"{replay.observed:.3g}"


def _replay_cell(replay: Any) -> str:  # noqa: ANN401
    if replay is None or replay.predicted != replay.predicted:
        return "?"
    mark = {True: "+", False: "-", None: "~"}[replay.agrees]
    value = 0.0 if abs(replay.predicted) < 0.005 else replay.predicted
    return f"{mark} {value:.2g}"


def _print_claims(results: list[Any], console: Console) -> None:
    from rich.table import Table

    table = Table(title="Claims at nominal values, and their share of the prior draws")
    for name in ("mechanism", "claim", "", "measured", "margin", "share of draws", "parted most by"):
        table.add_column(name)
    for r in results:
        parted = ", ".join(f"{s.parameter} {'high' if s.higher_holds else 'low'}" for s in r.separating)
        share = f"{100 * r.share:.1f} +- {100 * r.share_error:.1f} %"
        table.add_row(
            r.mechanism,
            r.claim.id,
            "holds" if r.holds else "broken",
            f"{r.measured:.3g}",
            f"{r.margin:+.3g}",
            share,
            parted,
        )
    console.print(table)


def _show_run(run: xr.Dataset, out: Path | None, *, plot: bool, as_json: bool) -> None:
    """A dataset as file, JSON, terminal plot or table of means."""
    for failure in run.attrs["failures"]:
        _console(stderr=True).print(f"failed: {failure}", markup=False)
    if out is not None:
        write_run(run, out)
        _console().print(f"written: {out}", markup=False)
    elif as_json:
        _print_json(run.to_dict())
    elif plot:
        _plot_run(run)
    else:
        _print_run(run)


def write_run(run: xr.Dataset, out: Path) -> None:
    """Write a dataset whole or not at all: .csv, .nc or .svg. Raises ReportError."""
    import os
    import tempfile

    writers = {".csv": _write_csv, ".nc": _write_netcdf, ".svg": _write_svg}
    if out.suffix not in writers:
        raise ReportError(f'{out}: unknown ending "{out.suffix}"; use .csv, .nc or .svg')
    try:
        handle, name = tempfile.mkstemp(dir=out.parent, prefix=".part-", suffix=out.suffix)
        os.close(handle)
    except OSError as error:
        raise ReportError(f"{out} cannot be written: {error}") from None
    try:
        writers[out.suffix](run, Path(name))
        os.replace(name, out)
    except OSError as error:
        raise ReportError(f"{out} cannot be written: {error}") from None
    finally:
        Path(name).unlink(missing_ok=True)


def _write_csv(run: xr.Dataset, path: Path) -> None:
    run.to_dataframe().reset_index().to_csv(path, index=False)


def _write_netcdf(run: xr.Dataset, path: Path) -> None:
    run.to_netcdf(path, engine="h5netcdf")


def _write_svg(run: xr.Dataset, path: Path) -> None:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.hashsalt": "antagony"}):
        figure = Figure(figsize=(7, 2.4 * len(run.data_vars)), layout="constrained")
        axes = figure.subplots(len(run.data_vars), 1, squeeze=False, sharex=True)[:, 0]
        for axis, (name, values) in zip(axes, run.data_vars.items(), strict=True):
            for arm in run.arm.to_numpy():
                axis.plot(run.time, values.sel(arm=arm).mean(("draw", "subject")), label=str(arm))
            unit = values.attrs["units"]
            axis.set_ylabel(f"{name}{'' if unit in ('', 'dimensionless') else f' [{unit}]'}", fontsize=8)
        axes[-1].set_xlabel("time [h]")
        axes[0].legend(fontsize=7)
        figure.savefig(path, format="svg", metadata={"Date": None})


def _plot_run(run: xr.Dataset) -> None:
    import plotext as terminal

    plotext: Any = terminal  # its functions are made at import, where no type checker sees them

    for values in run.data_vars.values():
        plotext.clear_figure()
        for arm in run.arm.to_numpy():
            curve = values.sel(arm=arm).mean(("draw", "subject"))
            plotext.plot(run.time.to_numpy().tolist(), curve.to_numpy().tolist(), label=str(arm)[:60])
        plotext.title(f"{values.attrs['long_name']}")
        plotext.xlabel("h")
        plotext.plot_size(100, 24)
        plotext.show()


def _print_run(run: xr.Dataset) -> None:
    from rich.table import Table

    for name, values in run.data_vars.items():
        unit = values.attrs["units"]
        table = Table(
            title=f"{values.attrs['long_name']} ({name}){'' if unit in ('', 'dimensionless') else f' [{unit}]'}"
        )
        table.add_column("h", justify="right")
        for arm in run.arm.to_numpy():
            table.add_column(str(arm), justify="right")
        means = values.mean(("draw", "subject"))
        for i, t in enumerate(run.time.to_numpy()):
            table.add_row(f"{t:.3g}", *(f"{float(v):.4g}" for v in means[:, i]))
        _console().print(table)
    a = run.attrs
    _console().print(
        f"{a['mechanism']} ({a['variants']}), {a['assumed_numbers']} assumed numbers, "
        f"rtol {a['rtol']:g}, case {a['case_hash']}",
        style="dim",
    )


if __name__ == "__main__":
    main()
