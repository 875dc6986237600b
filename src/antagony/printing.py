"""What the command line shows of claims, verdicts and runs: tables, JSON rows, terminal plots; and writes as files."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .files import HEADS, check_ending, reserve_room, write_text, write_whole
from .terminal import Line, print_grid, print_json, print_lines, show_console

if TYPE_CHECKING:
    import xarray as xr
    from rich.console import Console

    from .claims import ClaimResult
    from .difference import Difference
    from .matrix import Matrix
    from .verdict import Verdict

RUN_ENDINGS = (".csv", ".nc", ".svg", ".zarr")
SERIES_ENDINGS = (".csv", ".nc", ".svg")
CELL_WIDTH = 12  # letters of a number in a table of series
MATRIX_ENDINGS = (".html", ".csv", ".json")

# --- rows ------------------------------------------------------------------------------------------------------------


def claim_row(result: ClaimResult) -> dict[str, Any]:
    """A claim's result as plain values; a number that there is not is None."""
    return {
        "claim": result.claim.id,
        "statement": result.claim.statement,
        "source": result.claim.source,
        "mechanism": result.mechanism,
        "holds": result.holds,
        "calibrated": not result.uncalibrated,
        "measured": _finite(result.measured),
        "margin": _finite(result.margin),
        "share_of_draws": result.share,
        "share_error": result.share_error,
        "draws": result.draws,
        "separating": [
            {"parameter": s.parameter, "distance": s.distance, "higher_holds": s.higher_holds}
            for s in result.separating
        ],
    }


def plain_values(value: Any) -> Any:  # noqa: ANN401
    """The same in what JSON knows: numbers that are not finite become None, tuples lists, keys text."""
    if isinstance(value, Mapping):
        return {str(key): plain_values(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_values(item) for item in value]
    if value is None or isinstance(value, (str, bool, int)):
        return value
    number = float(value)
    return number if math.isfinite(number) else None



def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def verdict_table(answer: Verdict) -> dict[str, Any]:
    """A verdict as plain values, curves left out."""
    from dataclasses import asdict, fields

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
                    {f.name: getattr(r, f.name) for f in fields(r)} | {"finding": r.finding.id}
                    for r in m.replays
                ],
            }
            for m in answer.mechanisms
        ],
    }


# --- printing --------------------------------------------------------------------------------------------------------


def write_rows(rows: Sequence[Mapping[str, Any]], out: Path) -> Path:
    """Rows as CSV under the names of the first; whole or not at all."""
    import csv
    from io import StringIO

    text = StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return write_text(out, text.getvalue())


def print_question(answer: Verdict, console: Console) -> None:
    """What was asked, as a heading."""
    console.rule(answer.title)
    console.print(answer.question, markup=False)


def print_verdict(answer: Verdict, console: Console) -> None:
    """Claims x mechanisms, replays, plain sentences."""
    heads = [m.slug for m in answer.mechanisms]
    by_id = [{r.claim.id: r for r in m.claims} for m in answer.mechanisms]
    claims = dict.fromkeys(r.claim.id for m in answer.mechanisms for r in m.claims)
    asked = [Line(name, tuple(matrix_cell(found.get(name)) for found in by_id)) for name in claims]
    if asked:
        print_grid("Claims: hold (+) or broken (-) at nominal values, and in % of prior draws", heads, asked, console)
    title = "Findings replayed: predicted, + within the 95 % interval; * not counted: set nominal values or not weighed"
    print_grid(title, heads, _replay_lines(answer), console, behind="published", beside=3)
    console.print(_legend(answer), markup=False, style="dim")
    for line in answer.summary:
        console.print(f"* {line}", markup=False, highlight=False)


def print_fragile(answer: Verdict, console: Console) -> None:
    """What hangs on assumptions, and the settings of the run."""
    if answer.fragile:
        print_lines(console, answer.fragile, "-", "Fragile:")
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


def _replay_lines(answer: Verdict) -> list[Line]:
    """A line a finding, studies as headings; the counts last."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for m in answer.mechanisms:
        for r in m.replays:
            rows.setdefault((r.study, r.finding.id), {})[m.slug] = r
    lines: list[Line] = []
    study = ""
    for (name, finding), replays in rows.items():
        any_one = next(iter(replays.values()))
        if name != study:
            study = name
            lines.append(Line(name))
        cells = tuple(_replay_cell(replays.get(m.slug)) for m in answer.mechanisms)
        lines.append(Line(f"  {finding}{'' if any_one.counts else ' *'}", cells, _observed(any_one)))
    lines.append(Line("explains", tuple(str(m.explains) for m in answer.mechanisms)))
    return [*lines, Line("of findings counted", tuple(str(m.findings) for m in answer.mechanisms))]


def _observed(replay: Any) -> str:  # noqa: ANN401
    """Published value with its unit, or in words where only a direction is known."""
    if replay.finding.kind == "none_different":
        return "same"
    if replay.observed is not None:
        return f"{replay.observed:.3g} {replay.unit}".rstrip()
    if replay.finding.output == "score":
        return {1: "falls less", -1: "falls more"}.get(replay.finding.sign, "")
    return {1: "higher", -1: "lower"}.get(replay.finding.sign, "")


def _replay_cell(replay: Any) -> str:  # noqa: ANN401
    if replay is None or replay.predicted != replay.predicted:
        return "?"
    mark = {True: "+", False: "-", None: "~"}[replay.agrees]
    value = 0.0 if abs(replay.predicted) < 0.005 else replay.predicted
    return f"{mark} {value:.2g}"


def print_matrix(matrix: Matrix, console: Console) -> None:
    """Claims x mechanisms, own claims below the name of their mechanism, each with its source."""
    from itertools import groupby

    lines: list[Line] = []
    for owner, rows in groupby(matrix.rows, key=lambda row: row.owner):
        if owner:
            lines.append(Line(f"own of {owner}"))
        lines += [Line(row.claim.id, tuple(map(matrix_cell, row.results)), row.claim.source) for row in rows]
    count = range(len(matrix.columns))
    kept = [[r.holds for row in matrix.rows if (r := row.results[i])] for i in count]
    lines.append(Line("holding", tuple(f"{sum(some)}/{len(some)}" for some in kept)))
    lines.append(Line("assumed numbers", tuple(str(c.assumed) for c in matrix.columns)))
    title = "Claims: hold (+) or broken (-) at nominal values, and in % of prior draws; n/c cannot be calibrated"
    if not print_grid(title, [column.slug for column in matrix.columns], lines, console):
        for source in dict.fromkeys(row.claim.source for row in matrix.rows):
            claims = dict.fromkeys(row.claim.id for row in matrix.rows if row.claim.source == source)
            console.print(f"{source}: {', '.join(claims)}", markup=False, highlight=False)
    console.print(matrix_notes(matrix), markup=False, highlight=False, style="dim")


def matrix_cell(result: ClaimResult | None) -> str:
    """Nominal verdict and percentage of the draws; empty where the claim was not asked."""
    if result is None:
        return ""
    mark = "n/c" if result.uncalibrated else "+" if result.holds else "-"
    return f"{mark}{100 * result.share:.0f}"


def matrix_notes(matrix: Matrix) -> str:
    """Monte-Carlo error by number of draws, and the settings."""
    errors: dict[int, float] = {}
    for r in matrix.results:
        errors[r.draws] = max(errors.get(r.draws, 0.0), r.share_error)
    largest = ", ".join(f"{100 * e:.1f} ({n} draws)" for n, e in sorted(errors.items(), reverse=True))
    s = matrix.settings
    variants = "".join(f", {axis}={name}" for axis, name in s.variants.items())
    tolerances = f"rtol {s.relative_tolerance:g}, atol {s.absolute_tolerance:g}"
    return (
        f"Monte-Carlo error of a percentage: at most {largest}. "
        f"Seed {s.seed}{variants}, {tolerances}, case {s.case_hash}, {s.seconds:.0f} s."
    )


def print_claims(results: Sequence[ClaimResult], console: Console) -> None:
    """A row for each claim and mechanism: measured, margin, share of the draws, what parts them."""
    from rich.table import Table

    table = Table(title="Claims at nominal values, and their share of the prior draws")
    for name in ("mechanism", "claim", "", "measured", "margin", "share of draws", "parted most by", "source"):
        table.add_column(name)
    for r in results:
        parted = ", ".join(f"{s.parameter} {'high' if s.higher_holds else 'low'}" for s in r.separating)
        share = f"{100 * r.share:.1f} +- {100 * r.share_error:.1f} %"
        word = "n/c" if r.uncalibrated else "holds" if r.holds else "broken"
        measured, margin = f"{r.measured:.3g}", f"{r.margin:+.3g}"
        table.add_row(r.mechanism, r.claim.id, word, measured, margin, share, parted, r.claim.source)
    console.print(table)


def matrix_table(matrix: Matrix) -> dict[str, Any]:
    """A matrix as plain values."""
    from dataclasses import asdict

    return {
        "title": matrix.title,
        "settings": asdict(matrix.settings),
        "mechanisms": [asdict(column) for column in matrix.columns],
        "sources": dict(matrix.sources),
        "claims": [
            {"asked_of": row.owner or "all", **claim_row(r)}
            for row in matrix.rows
            for r in row.results
            if r is not None
        ],
    }


def write_matrix(matrix: Matrix, out: Path) -> Path:
    """Write claims x mechanisms whole or not at all: .html, .csv (a line for each answer) or .json."""
    from .report import write_matrix_page

    check_ending(out, MATRIX_ENDINGS)
    if out.suffix == ".html":
        return write_matrix_page(matrix, out)
    table = matrix_table(matrix)
    if out.suffix == ".json":
        return write_text(out, json.dumps(table, indent=1, allow_nan=False) + "\n")
    import csv
    from io import StringIO

    text = StringIO()
    names = [name for name in table["claims"][0] if name != "separating"]
    writer = csv.DictWriter(text, names, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(table["claims"])
    return write_text(out, text.getvalue())


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
    """Write a dataset whole or not at all: .csv, .nc or .svg (.zarr is streamed). Raises ReportError."""
    writers = {".csv": _write_csv, ".nc": _write_netcdf, ".svg": _write_svg}
    check_ending(out, tuple(writers))
    write_whole(out, lambda path: writers[out.suffix](run, path))


def _write_csv(run: xr.Dataset, path: Path) -> None:
    run.to_dataframe().reset_index().to_csv(path, index=False)


def _write_netcdf(run: xr.Dataset, path: Path) -> None:
    reserve_room(path, run.nbytes + HEADS)
    run.to_netcdf(path, engine="h5netcdf")


def _write_svg(run: xr.Dataset, path: Path) -> None:
    from .curves import curves_picture

    path.write_text(curves_picture(run), encoding="utf-8")


def _plot_run(run: xr.Dataset) -> None:
    for values in run.data_vars.values():
        arms = {str(arm)[:60]: values.sel(arm=arm).mean(("draw", "subject")) for arm in run.arm.to_numpy()}
        _draw_curves(run.time.to_numpy().tolist(), arms, str(values.attrs["long_name"]), "h")
    _say_statistic(run, spread=False)


def _draw_curves(times: list[float], curves: Mapping[str, xr.DataArray], title: str, below: str) -> None:
    """Curves in the terminal, by plotext 5 or by plotext 6, which share no name; the latter writes past our stream."""
    import plotext as terminal

    plotext: Any = terminal  # its functions are made at import, where no type checker sees them
    if hasattr(plotext, "clear_figure"):
        plotext.clear_figure()
        for name, curve in curves.items():
            plotext.plot(times, curve.to_numpy().tolist(), label=name)
        plotext.title(title)
        plotext.xlabel(below)
        plotext.plot_size(100, 24)
        plotext.show()
        return
    figure = plotext.figure
    figure.clear()
    for name, curve in curves.items():
        signal = figure.signal(times, curve.to_numpy().tolist())
        signal.lines()
        signal.label(name)
        figure.draw(signal)
    figure.title(title)
    figure.label(below)
    figure.plot_size(100, 24)
    sys.stdout.write(figure.build().string(colorless=not sys.stdout.isatty()).rstrip("\n") + "\n")


def _spread_of(run: xr.Dataset | xr.DataArray) -> str | None:
    """Over what a run's 5 to 95 % is taken: its draws, else its patients; None where there is one of each."""
    return "draw" if run.sizes["draw"] > 1 else "subject" if run.sizes["subject"] > 1 else None


def _spread_text(values: xr.DataArray) -> str:
    """Mean over draws and patients, with 5 to 95 % of the draws' means over patients, or of the patients."""
    mean, spread = f"{float(values.mean()):.4g}", _spread_of(values)
    if spread is None:
        return mean
    each = values.mean("subject") if spread == "draw" else values.isel(draw=0)
    low, high = (float(each.quantile(q)) for q in (0.05, 0.95))
    return f"{mean} ({low:.4g} to {high:.4g})"


def _say_statistic(run: xr.Dataset, *, spread: bool = True) -> None:
    """What a number of many patients or draws is, how many these were, and with which seed."""
    draws, patients = run.sizes["draw"], run.sizes["subject"]
    counted = [
        f"{size} {what}" + (f" (seed {run.attrs[seed]})" if run.attrs[seed] >= 0 else "")
        for size, what, seed in ((patients, "patients", "population_seed"), (draws, "draws", "draw_seed"))
        if size > 1
    ]
    if not counted:
        return
    within = ", of the mean over patients in each" if patients > 1 else ""
    of = f"draws{within}" if draws > 1 else "patients"
    band = f"; in brackets 5 to 95 % of the {of}" if spread else ""
    show_console().print(f"Mean over {' and '.join(counted)}{band}.", markup=False, highlight=False)


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
        for i, t in enumerate(run.time.to_numpy()):
            table.add_row(f"{t:.3g}", *(_spread_text(values.isel(arm=k, time=i)) for k in range(run.arm.size)))
        show_console().print(table)
    _say_statistic(run)
    a = run.attrs
    show_console().print(
        f"{a['mechanism']} ({a['variants']}), {a['assumed_numbers']} assumed numbers, "
        f"rtol {a['rtol']:g}, case {a['case_hash']}",
        style="dim",
    )


def show_series(run: xr.Dataset, out: Path | None, *, plot: bool, as_json: bool) -> None:
    """An SBML model's run as file, JSON, terminal plot or table; who solved it, on one line."""
    if as_json and out is None:
        print_json(run.to_dict())
        return
    console = show_console()
    if out is not None:
        check_ending(out, SERIES_ENDINGS)
        writers = {".csv": _write_csv, ".nc": _write_netcdf, ".svg": _write_series_figure}
        write_whole(out, lambda path: writers[out.suffix](run, path))
        console.print(f"written: {out}", markup=False, soft_wrap=True)
    elif plot:
        _plot_series(run)
    else:
        _print_series(run, console)
    for line in series_notes(run):
        console.print(line, markup=False, highlight=False, soft_wrap=True, style="dim")


def series_notes(run: xr.Dataset) -> Iterator[str]:
    """One line on the model and the span of time, one on who solved it and why."""
    a, times = run.attrs, run.time.to_numpy()
    unit = run.time.attrs["units"] or "units of time (the model names none)"
    changed = f", {a['changes']}" if a["changes"] else ""
    yield f"{a['model']}{changed}: {times.size} moments from {times[0]:g} to {times[-1]:g} {unit}, rtol {a['rtol']:g}"
    why = "" if a["engine"] == "kernel" else f": {a['engine_reason']}"
    yield f"engine: {a['engine']}{why}"
    yield from a["read_as"]
    if lost := [str(name) for name, values in run.data_vars.items() if values.isnull().any()]:
        yield f"not a number at some moment: {', '.join(lost[:12])}{', ...' if len(lost) > 12 else ''}"


def _head(name: str, values: xr.DataArray) -> str:
    unit = values.attrs["units"]
    return f"{name} [{unit}]" if unit not in ("", "dimensionless") else name


def _print_series(run: xr.Dataset, console: Console) -> None:
    from rich.markup import escape
    from rich.table import Table

    names = list(run.data_vars)
    room = max(1, min(len(names), console.width // CELL_WIDTH - 1))
    table = Table(title=escape(run.attrs["model"]))
    table.add_column("time", justify="right")
    for name in names[:room]:
        table.add_column(escape(_head(str(name), run[name])), justify="right")
    for i, t in enumerate(run.time.to_numpy()):
        table.add_row(f"{t:.4g}", *(f"{float(run[name][i]):.5g}" for name in names[:room]))
    console.print(table)
    if len(names) > room:
        console.print(f"{len(names) - room} more: choose with -o NAME, or write all with --out run.csv", markup=False)


def _plot_series(run: xr.Dataset) -> None:
    curves = {str(name): values for name, values in run.data_vars.items()}
    _draw_curves(run.time.to_numpy().tolist(), curves, run.attrs["model"], run.time.attrs["units"] or "time")


def _write_series_figure(run: xr.Dataset, path: Path) -> None:
    from matplotlib.figure import Figure

    from .figures import LINES, figure_style, picture_text

    with figure_style():
        figure = Figure(figsize=(7, 4.5), layout="constrained")
        axis = figure.subplots()
        for i, (name, values) in enumerate(run.data_vars.items()):
            colour, dashes = LINES[i % len(LINES)]
            axis.plot(run.time, values, color=colour, linestyle=dashes, label=_head(str(name), values))
        unit = run.time.attrs["units"]
        axis.set_xlabel(f"time [{unit}]" if unit else "time")
        if len(run.data_vars) <= 20:
            figure.legend(loc="outside right upper", title=run.attrs["model"])
    path.write_text(picture_text(figure, "series", run.attrs["model"]), encoding="utf-8")


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
