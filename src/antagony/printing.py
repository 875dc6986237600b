"""What the command line shows: tables, JSON rows, bars, terminal plots, and runs written as files."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import ReportError
from .files import write_whole

if TYPE_CHECKING:
    import xarray as xr
    from rich.console import Console

    from .difference import Difference
    from .verdict import Verdict

# --- rows ------------------------------------------------------------------------------------------------------------


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


def show_console(*, stderr: bool = False) -> Console:
    """The terminal, or the error stream beside it."""
    from rich.console import Console

    return Console(stderr=stderr, soft_wrap=False)


def print_json(value: Any) -> None:  # noqa: ANN401
    """One JSON object on standard output."""
    text = json.dumps(value, indent=1, default=str, allow_nan=True)
    sys.stdout.write(text + "\n")


@contextmanager
def show_progress() -> Iterator[Any]:
    """A bar on the error stream; yields tell(text, done, total)."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=show_console(stderr=True), transient=True) as bar:
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
        words = {1: "falls less", -1: "falls more"} if replay.finding.output == "score" else {1: "higher", -1: "lower"}
        return words[replay.finding.sign]
    if replay.finding.kind == "none_different":
        return "same"
    return "" if replay.observed is None else f"{replay.observed:.3g}"


def _replay_cell(replay: Any) -> str:  # noqa: ANN401
    if replay is None or replay.predicted != replay.predicted:
        return "?"
    mark = {True: "+", False: "-", None: "~"}[replay.agrees]
    value = 0.0 if abs(replay.predicted) < 0.005 else replay.predicted
    return f"{mark} {value:.2g}"


def print_claims(results: list[Any], console: Console) -> None:
    """A row for each claim and mechanism: measured, margin, share of the draws, what parts them."""
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


def show_run(run: xr.Dataset, out: Path | None, *, plot: bool, as_json: bool) -> None:
    """A dataset as file, JSON, terminal plot or table of means."""
    for failure in run.attrs["failures"]:
        show_console(stderr=True).print(f"failed: {failure}", markup=False)
    if out is not None:
        write_run(run, out)
        show_console().print(f"written: {out}", markup=False)
    elif as_json:
        print_json(run.to_dict())
    elif plot:
        _plot_run(run)
    else:
        _print_run(run)


def write_run(run: xr.Dataset, out: Path) -> None:
    """Write a dataset whole or not at all: .csv, .nc or .svg. Raises ReportError."""
    writers = {".csv": _write_csv, ".nc": _write_netcdf, ".svg": _write_svg}
    if out.suffix not in writers:
        raise ReportError(f'{out}: unknown ending "{out.suffix}"; use .csv, .nc or .svg')
    write_whole(out, lambda path: writers[out.suffix](run, path))


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
        show_console().print(table)
    a = run.attrs
    show_console().print(
        f"{a['mechanism']} ({a['variants']}), {a['assumed_numbers']} assumed numbers, "
        f"rtol {a['rtol']:g}, case {a['case_hash']}",
        style="dim",
    )


def print_difference(found: Difference, console: Console) -> None:
    """Where two mechanisms differ, in equations."""
    for a, b in found.changed:
        console.print(f"differs: {a.left}", style="bold", markup=False)
        console.print(f"  {found.first}: {a.right}", markup=False)
        console.print(f"  {found.second}: {b.right}", markup=False)
    for owner, only in ((found.first, found.only_first), (found.second, found.only_second)):
        for e in only:
            console.print(f"only in {owner}: {e.left} {e.right}", markup=False)
    console.print(f"{found.same} further equations and numbers are the same in both, to the letter.")
