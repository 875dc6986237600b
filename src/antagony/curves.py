"""Curves of one or several runs side by side, as a picture for a notebook or a page.

A column for each run, a row for each output on one scale, a line for each arm. Where a run has many draws, the mean
and 90 % of the draws (of the mean over subjects); else, where it has many subjects, of the subjects.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import TYPE_CHECKING

import numpy as np

from .errors import ReportError, near_miss
from .figures import GREY, LINES, figure_style, picture_text, style_time_axis, svg_text
from .notebook import Card, brief, listed

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST = 6  # outputs that are drawn where none is named
BAND = (0.05, 0.95)
WIDTH = 21  # letters of a label beside its panel


@dataclass(frozen=True, slots=True)
class Curves:
    """A picture of runs as an SVG element, and what their numbers rest on. A notebook shows it by itself."""

    title: str
    svg: str
    facts: tuple[str, ...]

    def __repr__(self) -> str:
        """The mechanisms and outputs that are drawn."""
        return brief("Curves", {"": self.title})

    def _repr_html_(self) -> str:
        return Card(self.title, picture=self.svg, facts=self.facts).html()


def draw_curves(*runs: xr.Dataset, outputs: Sequence[str] | None = None) -> Curves:
    """Draw what `simulate` returned: runs side by side, the first six outputs where none is named.

    Raises ReportError for no run, and for an output that a run lacks.
    """
    if not runs:
        raise ReportError("draw_curves: give at least one run of simulate")
    shown = [str(name) for name in (outputs or [*runs[0].data_vars][:MOST])]
    for run in runs:
        for name in shown:
            if name not in run.data_vars:
                miss = near_miss(name, map(str, run.data_vars))
                raise ReportError(f'draw_curves: the run of {run.attrs["mechanism"]} has no output "{name}"{miss}')
    title = _title(runs, shown)
    svg = svg_text(_draw(runs, shown), "curves", title)
    return Curves(title, svg, tuple(fact for run in runs for fact in _facts(run)))


def curves_picture(run: xr.Dataset) -> str:
    """What an SVG file of every output of a run holds; see `draw_curves` and `picture_text`."""
    outputs = [str(name) for name in run.data_vars]
    return picture_text(_draw([run], outputs), "curves", _title([run], outputs))


def _title(runs: Sequence[xr.Dataset], outputs: Sequence[str]) -> str:
    return f"{listed(str(run.attrs['mechanism']) for run in runs)}: {listed(outputs)}"


def _draw(runs: Sequence[xr.Dataset], outputs: Sequence[str]) -> Figure:
    from matplotlib.figure import Figure

    with figure_style():
        figure = Figure(figsize=(max(2.6 * len(runs), 4.6) + 0.6, 1.5 * len(outputs) + 0.7), layout="constrained")
        panels = figure.subplots(len(outputs), len(runs), squeeze=False, sharey="row", sharex="col")
        for j, run in enumerate(runs):
            panels[0, j].set_title(str(run.attrs["mechanism"]), loc="left", weight="bold")
            for i, name in enumerate(outputs):
                _draw_output(panels[i, j], run[name])
                if j == 0:
                    panels[i, 0].set_ylabel("\n".join(wrap(_label(run[name]), WIDTH)))
        handles, labels = panels[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=1)
    return figure


def _draw_output(panel: Axes, values: xr.DataArray) -> None:
    times = values.time.to_numpy()
    spread = "draw" if values.sizes["draw"] > 1 else "subject"
    fixed = values.mean("subject") if spread == "draw" else values.isel(draw=0)
    for (colour, dashes), arm in zip((LINES[i % len(LINES)] for i in range(values.sizes["arm"])), fixed, strict=True):
        low, high = (arm.quantile(q, spread).to_numpy() for q in BAND)
        middle = arm.mean(spread).to_numpy()  # as the table of the run has it
        if values.sizes[spread] > 1:
            panel.fill_between(times, low, high, color=colour, alpha=0.14, linewidth=0)
        panel.plot(times, middle, color=colour, linestyle=dashes, label=str(arm.arm.item()))
    if str(values.name).endswith("_relative"):
        panel.axhline(1, color=GREY, linewidth=0.6, linestyle=(0, (1, 3)))
    if np.unique(times).size > 1:
        style_time_axis(panel, float(times[0]), float(times[-1]))


def _label(values: xr.DataArray) -> str:
    """What an output is, with its unit."""
    title, unit = values.attrs.get("long_name") or values.name, values.attrs.get("units", "")
    return f"{title}{'' if unit in ('', 'dimensionless') else f' [{unit}]'}"


def _facts(run: xr.Dataset) -> list[str]:
    """What a run rests on: numbers, draws, seeds, tolerances, fingerprints, and whatever failed."""
    a = run.attrs
    facts = [f"{a['mechanism']} ({a['variants']}): {a['assumed_numbers']} numbers are assumed"]
    for axis, seed in (("draw", a["draw_seed"]), ("subject", a["population_seed"])):
        if run.sizes[axis] > 1:
            facts.append(f"{run.sizes[axis]} {axis}s{'' if seed < 0 else f', seed {seed}'}: mean, 5 to 95 % shaded")
    facts += [f"rtol {a['rtol']:g}, atol {a['atol']:g}", f"case {a['case_hash']}", f"kernel {a['kernel']}"]
    facts.append(f"antagony {a['antagony_version']}")
    return [*facts, *(f"failed: {failure}" for failure in a["failures"][:3])]
