"""The picture that stands in for the page where a browser cannot run its kernel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..figures import figure_style, svg_text
from ..verdict import MechanismVerdict

EVERY = 6  # of the curves' moments: the picture is small, and so must be its text
STYLES = {"solid": "-", "dashed": "--", "dotted": ":"}
WIDTH, HEIGHT = 5.6, 1.15  # of a panel [inch]
HOURS = {0: "0", 1: "1 h", 4: "4 h", 24: "1 d", 72: "3 d", 168: "7 d"}
KNEE = 0.8  # h: minutes, hours and days on one axis


def draw_still(answer: MechanismVerdict, tracks: Sequence[Mapping[str, Any]]) -> str:
    """The typical patient's course in the main scenes of one mechanism, a panel for each track, as SVG text."""
    from matplotlib.figure import Figure

    curves = answer.curves.isel(draw=0, subject=0, time=slice(None, None, EVERY))
    hours = curves["time"].to_numpy()
    styles = dict(zip((str(name) for name in curves["arm"].values), STYLES, strict=False))  # arm -> word
    names = ", ".join(f"{arm.replace('_', ' and ')} {word}" for arm, word in styles.items())
    with figure_style():
        figure = Figure(figsize=(WIDTH, HEIGHT * len(tracks)))
        panels = figure.subplots(len(tracks), 1, squeeze=False, sharex=True)[:, 0]
        for panel, track in zip(panels, tracks, strict=True):
            for output in (name for name in track["outputs"] if name in curves):
                for arm, word in styles.items():
                    values = curves[output].sel(arm=arm)
                    panel.plot(np.arcsinh(hours / KNEE), values, STYLES[word], color="#1b2430", lw=1.3)
            panel.set_title(track["title"], loc="left")
        ticks = [t for t in HOURS if hours[0] <= t <= hours[-1]]
        panels[-1].set_xticks(np.arcsinh(np.array(ticks) / KNEE), [HOURS[t] for t in ticks])
        figure.suptitle(f"{answer.title}\n{names}", fontsize=9, x=0.02, ha="left")
        figure.subplots_adjust(left=0.09, right=0.98, bottom=0.05, top=0.9, hspace=0.55)
    return svg_text(figure, "still", f"{answer.title}, the typical patient over a week: {names}")
