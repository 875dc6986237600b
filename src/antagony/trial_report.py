"""Virtual trials shown: tables for the terminal, rows for JSON and CSV, one figure of what each mechanism predicts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .analysis import Comparison, scale_name
from .design import Estimand
from .errors import join_words
from .figures import INK, LINES, figure_style
from .files import HEADS, check_ending, reserve_room, write_whole
from .trial import TOLERANCES, TrialRun
from .units import format_time

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure
    from rich.console import Console

POINTS_OF = "points of\n(or unit)"
TRIAL_ENDINGS = (".csv", ".nc", ".svg")

Answer = tuple[TrialRun, tuple[Comparison, ...]]
"""A plan under one mechanism, and the published findings inside what it predicts."""


def trial_rows(answers: Sequence[Answer]) -> list[dict[str, Any]]:
    """Every estimand under every mechanism as plain values: mean estimate, interval over trials, SE, power."""
    rows = []
    for run, _ in answers:
        for estimand in run.plan.estimands:
            chosen = run.estimates.sel(estimand=estimand.id)
            value = chosen["value"]
            power, error = run.power(estimand.id)
            rows.append(
                {
                    "mechanism": run.mechanism,
                    "estimand": estimand.id,
                    "arms": " v ".join(estimand.arms),
                    "time_h": estimand.time,
                    "measure": estimand.measure,
                    "scale": scale_name(run.plan, estimand),
                    "unit": _unit(estimand),
                    "score_max": _top(run, estimand),
                    "mean": float(value.mean()),
                    "low": float(value.quantile(0.025)),
                    "high": float(value.quantile(0.975)),
                    "se": float(chosen["se"].mean()),
                    "used": float(chosen["used"].mean()),
                    "power": power,
                    "power_error": error,
                    "unanalysed": float(value.isnull().mean()),
                    "replicates": run.replicates,
                    "draws": run.draws,
                    "asked": run.asked,
                }
            )
    return rows


def _unit(estimand: Estimand) -> str:
    return "1" if estimand.measure == "responders" else "points"


def _top(run: TrialRun, estimand: Estimand) -> float:
    return estimand.score_max or float(run.ratings.attrs["score_max"])


def _scale_text(run: TrialRun, estimand: Estimand) -> str:
    """Scale and unit of an estimate, such as `HAM-D6 points`."""
    name = scale_name(run.plan, estimand)
    return name if estimand.measure == "responders" else f"{name} {_unit(estimand)}"


def _finding_unit(run: TrialRun, comparison: Comparison) -> str:
    """In what a published finding and its prediction are counted."""
    ratios = {"standardised": "SD", "odds_ratio": "log odds ratio"}
    asked = next(e for e in run.plan.estimands if e.id == comparison.finding.id)
    return ratios.get(comparison.finding.kind, _scale_text(run, asked))


def scale_note(run: TrialRun) -> str:
    """Which scales of a trial are two readings of one latent severity; empty where there is one."""
    tops = {
        scale_name(run.plan, e): _top(run, e) for e in run.plan.estimands if e.measure == "difference"
    } | {run.plan.trial.scale: float(run.ratings.attrs["score_max"])}
    if len(tops) < 2:
        return ""
    named = join_words([f"{name} (0 to {top:g})" for name, top in sorted(tops.items(), key=lambda item: item[1])])
    return (
        f"{named} share one latent score: each shows it as the same share of its largest score. They differ here by "
        "that factor alone, so one is no evidence beside the other."
    )


def comparison_rows(answers: Sequence[Answer]) -> list[dict[str, Any]]:
    """Every published finding under every mechanism as plain values."""
    return [
        {
            "mechanism": run.mechanism,
            "finding": c.finding.id,
            "kind": c.finding.kind,
            "unit": _finding_unit(run, c),
            "observed": c.observed,
            "predicted": c.predicted,
            "low": c.low,
            "high": c.high,
            "probability": c.probability,
            "probability_error": c.error,
        }
        for run, comparisons in answers
        for c in comparisons
    ]


def trial_table(answers: Sequence[Answer]) -> dict[str, Any]:
    """Plain values of everything that the terminal shows, and of what it was computed with."""
    run = answers[0][0]
    realism = {name: getattr(run.realism, name) for name in run.realism.__slots__}
    arms = {other.mechanism: other.arms.to_dataframe().reset_index().to_dict("records") for other, _ in answers}
    return {
        "plan": run.plan.id,
        "title": run.plan.title,
        "design": run.plan.design.kind,
        "sequences": {" > ".join(s): n for s, n in zip(run.plan.sequences, run.plan.sizes, strict=True)},
        "notes": run.plan.notes,
        "realism": realism,
        "seed": run.seed,
        "level": run.level,
        "case_hash": run.ratings.attrs["case_hash"],
        "tolerances": {"relative": TOLERANCES.relative, "absolute": TOLERANCES.absolute},
        "scales": scale_note(run),
        "estimates": trial_rows(answers),
        "findings": comparison_rows(answers),
        "arms": arms,
        "failures": {other.mechanism: other.failures for other, _ in answers if other.failures},
    }


def print_trials(answers: Sequence[Answer], console: Console) -> None:
    """The plan, what it would find under each mechanism, and how probable the published results are."""
    run = answers[0][0]
    plan = run.plan
    console.print(f"{plan.title} ({plan.design.kind}, {plan.patients} patients)", style="bold", markup=False)
    for sequence, n in zip(plan.sequences, plan.sizes, strict=True):
        console.print(f"  {n} patients: {' > '.join(plan.design.arm(a).title for a in sequence)}", markup=False)
    if plan.step:
        console.print(f"  from one period to the next: {format_time(plan.step)}", markup=False)
    console.print(_estimates(answers))
    if note := scale_note(run):
        console.print(note, markup=False, style="dim")
    if any(comparisons for _, comparisons in answers):
        console.print(_findings(answers))
        console.print(
            "p: probability of a result at least as far out as the published one, on both sides; of a direction, the "
            "share of trials that show it as published (* significantly); of no difference, the share that find none. "
            "A high p is agreement within this design's noise, no proof.",
            markup=False,
            style="dim",
        )
    if len(answers) == 1:
        console.print(_arms(run))
    console.print(_settings(answers), markup=False, style="dim")
    for note in plan.notes:
        console.print(f"note: {note}", markup=False, style="dim")


def _estimates(answers: Sequence[Answer]) -> Any:  # noqa: ANN401 - a rich table
    """Every estimand of one mechanism; with several a row a mechanism, a column an estimand that compares arms."""
    from rich.table import Table

    rows = trial_rows(answers)
    if len(answers) > 1:
        table = Table(title="What such trials find: mean estimate and power")
        table.add_column("mechanism", no_wrap=True)
        compared = [e for e in answers[0][0].plan.estimands if len(e.arms) > 1]
        for estimand in compared:
            head = [*estimand.id.split("_"), format_time(estimand.time), *_scale_text(answers[0][0], estimand).split()]
            table.add_column("\n".join(head), justify="right")
        found = {(row["mechanism"], row["estimand"]): row for row in rows}
        for run, _ in answers:
            here = [found[run.mechanism, estimand.id] for estimand in compared]
            table.add_row(run.mechanism, *(f"{row['mean']:+.2f}\n{100 * row['power']:.0f} %" for row in here))
        return table
    table = Table(title=f"What such trials find: under {rows[0]['mechanism']}")
    for name in ("estimand", POINTS_OF, "mean\nestimate", "95 % of trials", "SE", "power"):
        table.add_column(name, justify="left" if name in ("estimand", POINTS_OF) else "right", no_wrap=True)
    for row in rows:
        power = f"{100 * row['power']:.0f} +- {100 * row['power_error']:.0f} %" if " v " in row["arms"] else ""
        spread = f"{row['low']:+.2f} to {row['high']:+.2f}"
        table.add_row(row["estimand"], row["scale"], f"{row['mean']:+.2f}", spread, f"{row['se']:.2f}", power)
    return table


def _findings(answers: Sequence[Answer]) -> Any:  # noqa: ANN401
    """With one mechanism a row a finding and what is predicted; with several a row a mechanism, a column a finding."""
    from rich.table import Table

    by_id = [{c.finding.id: c for c in comparisons} for _, comparisons in answers]
    first = {name: found[name] for found in reversed(by_id) for name in found}
    table = Table(title="Published results inside the predicted distribution: p")
    if len(answers) > 1:
        table.add_column("mechanism", no_wrap=True)
        for name in first:
            table.add_column(name.replace("_", "\n"), justify="right")
        table.add_row("observed", *(_observed(c) for c in first.values()), end_section=True)
        for (run, _), found in zip(answers, by_id, strict=True):
            table.add_row(run.mechanism, *(_probability(found[n], run.replicates) if n in found else "" for n in first))
        return table
    for name in ("finding", POINTS_OF, "observed", "p", "predicted, 95 %"):
        table.add_column(name, justify="left" if name in ("finding", POINTS_OF) else "right", no_wrap=True)
    for name, c in first.items():
        predicted = f"{c.predicted:+.2f} [{c.low:+.2f}, {c.high:+.2f}]"
        unit = _finding_unit(answers[0][0], c).removesuffix(" points")
        table.add_row(name, unit, _observed(c), _probability(c, answers[0][0].replicates), predicted)
    return table


def _probability(comparison: Comparison, replicates: int) -> str:
    """A probability as so many trials can tell it."""
    least = 1 / replicates
    return f"<{least:.2g}" if comparison.probability < least else f"{comparison.probability:.2g}"


def _observed(comparison: Comparison) -> str:
    finding = comparison.finding
    if finding.kind == "direction":
        shown = "falls less" if finding.sign == 1 else "falls more"
        return f"{shown} *" if finding.significant else shown
    if finding.kind == "none_different":
        return "same"
    return "" if comparison.observed is None else f"{comparison.observed:.3g}"


def _arms(run: TrialRun) -> Any:  # noqa: ANN401
    from rich.table import Table

    scale = run.plan.trial.scale
    table = Table(title=f"Arms under {run.mechanism}: change from baseline in points of {scale}, all replicates")
    for name in ("arm", "at", "change", "SD", "responders", "remitters", "lost"):
        table.add_column(name, justify="left" if name == "arm" else "right")
    for row in run.arms.to_dataframe().reset_index().to_dict("records"):
        shares = [
            f"{100 * row[key]:.0f} %" if row[key] == row[key] else "" for key in ("responders", "remitters", "lost")
        ]
        title = run.plan.design.arm(row["arm"]).title
        table.add_row(title, format_time(row["time"]), f"{row['mean']:+.2f}", f"{row['sd']:.2f}", *shares)
    return table


def _settings(answers: Sequence[Answer]) -> str:
    run = answers[0][0]
    off = [name for name in run.realism.__slots__ if getattr(run.realism, name) is False]
    truth = "calibrated prior draws, one a trial" if run.uncertain else "nominal values"
    kept = ", ".join(f"{r.mechanism} {r.draws} of {r.asked}" for r, _ in answers if r.uncertain and r.draws < r.asked)
    failed = sum(len(r.failures) for r, _ in answers)
    parts = [
        f"{run.replicates} trials, seed {run.seed}",
        f"{truth}{f' (could be calibrated: {kept})' if kept else ''}",
        f"dropout {run.realism.dropout.replace('_', ' ')}",
        *([f"without {', '.join(off)}"] if off else []),
        f"{failed} patients failed",
        f"rtol {TOLERANCES.relative:g}, atol {TOLERANCES.absolute:g}",
        f"case {run.ratings.attrs['case_hash']}",
    ]
    return f"{'; '.join(parts)}. No dosing advice."


def write_trials(answers: Sequence[Answer], out: Path) -> None:
    """Write .csv (one row a mechanism, estimand and replicate), .nc (all ratings) or .svg, whole or not at all."""
    writers = {".csv": _write_csv, ".nc": _write_netcdf, ".svg": _write_svg}
    check_ending(out, TRIAL_ENDINGS)
    write_whole(out, lambda path: writers[out.suffix](answers, path))


def estimates_frame(answers: Sequence[Answer]) -> pd.DataFrame:
    """One row a mechanism, estimand and replicate, labels first."""
    import pandas as pd

    frames = []
    for run, _ in answers:
        frame = run.estimates.to_dataframe().reset_index()
        frame.insert(0, "mechanism", run.mechanism)
        frame.insert(0, "plan", run.plan.id)
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def _write_csv(answers: Sequence[Answer], path: Path) -> None:
    estimates_frame(answers).to_csv(path, index=False)


def _write_netcdf(answers: Sequence[Answer], path: Path) -> None:
    import xarray as xr

    names = [run.mechanism for run, _ in answers]
    whole = xr.concat([run.ratings for run, _ in answers], xr.IndexVariable("mechanism", names), data_vars="all")
    whole.attrs |= {"mechanism": ", ".join(names), "rtol": TOLERANCES.relative, "atol": TOLERANCES.absolute}
    reserve_room(path, whole.nbytes + HEADS)
    whole.to_netcdf(path, engine="h5netcdf")


def _write_svg(answers: Sequence[Answer], path: Path) -> None:
    from .figures import svg_text

    picture = svg_text(plot_trials(answers), "trial", "Estimates of simulated trials under each mechanism")
    path.write_text(picture, encoding="utf-8")


def plot_trials(answers: Sequence[Answer]) -> Figure:
    """One panel an estimand: under each mechanism the range of 95 % and 50 % of the trials' estimates, the median, the
    published value where there is one."""
    from matplotlib.figure import Figure

    plan = answers[0][0].plan
    published = {c.finding.id: c.observed for _, comparisons in answers for c in comparisons}
    with figure_style():
        height = 0.5 + len(plan.estimands) * (0.55 + 0.2 * len(answers))
        figure = Figure(figsize=(6.6, height), layout="constrained")
        panels = figure.subplots(len(plan.estimands), 1, squeeze=False)[:, 0]
        for panel, estimand in zip(panels, plan.estimands, strict=True):
            for row, (run, _) in enumerate(answers):
                values = run.estimates["value"].sel(estimand=estimand.id)
                low, first, middle, third, high = (float(values.quantile(q)) for q in (0.025, 0.25, 0.5, 0.75, 0.975))
                colour = LINES[row % len(LINES)][0]
                panel.plot([low, high], [row, row], color=colour, linewidth=1)
                panel.plot([first, third], [row, row], color=colour, linewidth=4, solid_capstyle="butt")
                panel.plot([middle], [row], marker="|", markersize=9, color=INK)
            panel.axvline(0, color=INK, linewidth=0.6, linestyle=(0, (2, 2)))
            if published.get(estimand.id) is not None:
                panel.axvline(published[estimand.id], color=INK, linewidth=1.2)
            panel.set_yticks(range(len(answers)), [run.mechanism for run, _ in answers])
            panel.invert_yaxis()
            unit = _scale_text(answers[0][0], estimand)
            names = " v ".join(plan.design.arm(a).title for a in estimand.arms)
            panel.set_title(f"{names}, {format_time(estimand.time)} [{unit}]", loc="left")
        figure.supxlabel(
            "estimates: 95 % of trials (thin), 50 % (thick), median (tick); published result (tall line)", fontsize=7
        )
    return figure
