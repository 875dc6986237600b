"""Figures of a model report: what decides an endpoint, and published numbers against what was predicted of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import numpy as np

from .figures import GREY, INK, LINES, figure_style
from .posterior.answer import Findings
from .sensitivity import Index, Sensitivity

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TOP = 15  # numbers that are named; the rest is summed
BLUE = LINES[0][0]


def leading(found: Sensitivity) -> tuple[Index, ...]:
    """The numbers that decide most."""
    return found.indices[:TOP]


def plot_indices(found: Sensitivity) -> Figure:
    """First order (full) and total order (hatched) of the leading numbers, with 95 % intervals."""
    from matplotlib.figure import Figure

    shown = leading(found)
    height = 0.3 * len(shown) + 0.75
    rows = np.arange(len(shown))
    with figure_style():
        figure = Figure(figsize=(6.6, height))
        panel = figure.add_axes((0.34, 0.46 / height, 0.63, 1 - 0.82 / height))
        bars = {"height": 0.36, "linewidth": 0.8, "edgecolor": INK, "error_kw": {"linewidth": 0.9, "ecolor": INK}}
        first, total = [i.first for i in shown], [i.total for i in shown]
        panel.barh(
            rows - 0.19, first, xerr=[i.first_error for i in shown], color=BLUE, label="first order, alone", **bars
        )
        panel.barh(
            rows + 0.19, total, xerr=[i.total_error for i in shown], color="white", hatch="////",
            label="total order, with all interactions", **bars,
        )  # fmt: skip
        panel.axvline(0, color=GREY, linewidth=0.7)
        panel.set_yticks(rows, [i.parameter for i in shown])
        panel.set_ylim(len(shown) - 0.4, -0.6)
        panel.tick_params(axis="y", length=0)
        panel.set_xlabel("share of the variance")
        figure.legend(loc="upper right", ncols=2, bbox_to_anchor=(0.98, 1.0), borderaxespad=0.1, fontsize=7.5)
    return figure


def comparable(findings: Sequence[Findings]) -> tuple[Findings, ...]:
    """Findings with a published number and an interval in which it was expected."""
    return tuple(f for f in findings if f.observed is not None and f.high > f.low)


def plot_predictions(findings: Sequence[Findings], calibrating: Collection[str]) -> Figure:
    """Published numbers where the predictive interval runs from -1 to 1: full if the study had no part in it."""
    from matplotlib.figure import Figure

    shown = comparable(findings)
    height = 0.2 * len(shown) + 0.85
    with figure_style():
        figure = Figure(figsize=(6.6, height))
        panel = figure.add_axes((0.36, 0.44 / height, 0.61, 1 - 0.82 / height))
        panel.axvspan(-1, 1, color="#D5DCE3", linewidth=0)
        panel.axvline(0, color=GREY, linewidth=0.7)
        for row, f in enumerate(shown):
            fitted = f.study in calibrating
            panel.plot(
                [place(f)], [row], "D" if fitted else "o", color=BLUE, markersize=5,
                markerfacecolor="white" if fitted else BLUE,
            )  # fmt: skip
        panel.set_yticks(range(len(shown)), [f"{f.study}: {f.finding.id}" for f in shown])
        panel.set_ylim(len(shown) - 0.4, -0.6)
        panel.tick_params(axis="y", length=0)
        limit = max(1.3, *(abs(place(f)) * 1.1 for f in shown))
        panel.set_xlim(-limit, limit)
        panel.set_xlabel("published number; grey: its 95 % predictive interval, from -1 to 1")
        marks = (("o", BLUE, "no part in the prediction"), ("D", "white", "used to calibrate"))
        for marker, fill, label in marks:
            panel.plot([], [], marker, color=BLUE, markerfacecolor=fill, markersize=5, label=label)
        figure.legend(loc="upper right", ncols=2, bbox_to_anchor=(0.98, 1.0), borderaxespad=0.1, fontsize=7.5)
    return figure


def place(found: Findings) -> float:
    """Where a published number lies: 0 at the predicted median, -1 and 1 at the ends of the 95 % interval."""
    away = (found.observed or 0.0) - found.predicted
    half = (found.high - found.predicted) if away > 0 else (found.predicted - found.low)
    return away / half if half > 0 else 0.0
