"""Figures of a verdict: scenes over time, one picture of all rivals, published findings against predictions.

Every figure reads as well in black and white: lines differ in dashes, verdicts in marker and word. Hours and days share
one time axis, stretched near the dose. Nothing here touches matplotlib's global state or a file.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import quoteattr

import numpy as np
from numpy.typing import NDArray

from .errors import AntagonyError
from .files import write_text
from .regimen import Dose, parse_regimen

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .replay import Replay
    from .verdict import MechanismVerdict, Verdict

Array = NDArray[np.float64]

MOST_PANELS = 6  # of one mechanism's figure
LINES: tuple[tuple[str, Any], ...] = (  # colour (Okabe-Ito and Tol) and dashes
    ("#0072B2", "-"),
    ("#C44E00", (0, (5, 1.6))),
    ("#117733", (0, (1.2, 1.3))),
    ("#9A3D8C", (0, (5, 1.3, 1.2, 1.3))),
    ("#222222", (0, (9, 2))),
    ("#8A6100", (0, (3, 1, 1, 1, 1, 1))),
)
GREY, INK = "#5A6470", "#1D2329"
HALF_HOUR = 0.5  # [h]; below it the time axis is nearly even, above it nearly logarithmic
TICKS = {0: "0", 1: "1 h", 4: "4 h", 24: "1 d", 72: "3 d", 168: "7 d", 336: "14 d", 672: "28 d", 1344: "56 d"}  # [h]
LETTERED = 3  # administrations of one drug that bear its letter; the rest of a long train are strokes

_STYLE = {
    "font.size": 8.0,
    "axes.titlesize": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "text.color": INK,
    "text.parse_math": False,
    "lines.linewidth": 1.6,
    "legend.frameon": False,
    "path.simplify_threshold": 0.2,
    "svg.fonttype": "none",
}


@contextmanager
def figure_style(**more: object) -> Iterator[None]:
    """Matplotlib's own defaults and ours, whatever the user's settings; as they were afterwards."""
    from matplotlib import style

    with style.context(["default", _STYLE | more]):
        yield


# --- scenes over time ------------------------------------------------------------------------------------------------


def plot_scenes(answer: MechanismVerdict, scenes: Mapping[str, str]) -> Figure:
    """One mechanism: the outputs that the case shows over time, a line for each scene, 5-95 % of draws shaded.

    `scenes`: title, colon, prescription text by name; those that the curves lack are left out.
    """
    shown = {name: text for name, text in scenes.items() if name in answer.curves.arm}
    outputs = _outputs(answer)
    columns = min(len(outputs), 3)
    with figure_style():
        handles = _legend(shown)
        figure, panels = _grid(-(-len(outputs) // columns), columns, panel=(2.45, 1.3), gaps=(0.5, 0.72), above=0.52)
        for panel, output in zip(panels.ravel(), outputs, strict=False):
            _draw(panel, answer, output, shown)
            title = str(answer.curves[output].attrs.get("long_name", output))
            panel.set_title("\n".join(wrap(title, 38)), loc="left", pad=13)
            panel.set_ylim(*_limits([answer], [output], shown))
            _mark(panel, answer, shown)
        for panel in panels.ravel()[len(outputs) :]:
            panel.set_axis_off()
        _explain(figure, handles, columns)
    return figure


def plot_overview(verdict: Verdict, scenes: Mapping[str, str]) -> Figure:
    """All mechanisms in one picture: a row each, the columns that the case shows on common scales."""
    answers = verdict.mechanisms
    known = {str(name) for answer in answers for name in answer.curves.arm.values}
    shown = {name: text for name, text in scenes.items() if name in known}
    wanted = [(c.title, c.outputs) for c in verdict.columns] or [(n, {n: ""}) for n in _outputs(answers[0])]
    held = [(title, {n: short for n, short in outputs.items() if _has(answers, n)}) for title, outputs in wanted]
    columns = [(title, outputs) for title, outputs in held if outputs]
    with figure_style():
        figure, panels = _grid(len(answers), len(columns), panel=(2.15, 1.1), gaps=(0.42, 0.3), above=0.6)
        for j, (title, outputs) in enumerate(columns):
            limits = _limits(answers, list(outputs), shown)
            for i, answer in enumerate(answers):
                for output, short in outputs.items():
                    _draw(panels[i, j], answer, output, shown, short=short)
                panels[i, j].set_ylim(*limits)
                _mark(panels[i, j], answer, shown, letters=i == 0)
                panels[i, j].tick_params(labelbottom=i == len(answers) - 1)
            panels[0, j].annotate(
                title, (0, 1), (0, 30), "axes fraction", "offset points", weight="bold", fontsize=9.5, color=INK
            )
        for i, answer in enumerate(answers):
            panels[i, 0].set_title(_row_title(answer), loc="left", pad=13 if i == 0 else 4, weight="bold")
        _explain(figure, _legend(shown), 4)
    return figure


def _outputs(answer: MechanismVerdict) -> list[str]:
    """Outputs that the case shows of a mechanism: those with a band, else the first."""
    return [str(name) for name in (answer.bands.data_vars or answer.curves.data_vars)][:MOST_PANELS]


def _grid(
    rows: int, columns: int, *, panel: tuple[float, float], gaps: tuple[float, float], above: float
) -> tuple[Figure, NDArray[Any]]:
    """Figure and panels (row, column) of one size [inch]; `above` is room for titles below two rows of legend."""
    from matplotlib.figure import Figure

    left, right, below, top = 0.42, 0.14, 0.27, above + 0.45
    width = left + columns * panel[0] + (columns - 1) * gaps[0] + right
    height = top + rows * panel[1] + (rows - 1) * gaps[1] + below
    figure = Figure(figsize=(width, height))
    edges = {"left": left / width, "right": 1 - right / width, "bottom": below / height, "top": 1 - top / height}
    spaces = {"wspace": gaps[0] / panel[0], "hspace": gaps[1] / panel[1]}
    return figure, figure.subplots(rows, columns, squeeze=False, gridspec_kw=edges | spaces)


def _has(answers: Sequence[MechanismVerdict], output: str) -> bool:
    return any(output in answer.curves for answer in answers)


def _row_title(answer: MechanismVerdict) -> str:
    lost = "" if answer.calibrated else ", cannot be calibrated"
    return f"{answer.slug}: explains {answer.explains} of {answer.findings}{lost}"


def _draw(panel: Axes, answer: MechanismVerdict, output: str, scenes: Mapping[str, str], *, short: str = "") -> None:
    """Curves of the typical patient and bands over draws of one output; `short` labels the highest curve directly."""
    if output not in answer.curves:
        return
    curves = answer.curves[output].isel(draw=0, subject=0)
    times = curves.time.to_numpy()
    highest = (-math.inf, 0.0)
    for (colour, dashes), name in zip(_lines(len(scenes)), scenes, strict=True):
        if name not in curves.arm:
            continue
        if output in answer.bands and name in answer.bands.arm:
            band = answer.bands[output].sel(arm=name)
            low, high = (band.sel(quantile=q, method="nearest").to_numpy() for q in (0.05, 0.95))
            panel.fill_between(band.time.to_numpy(), low, high, color=colour, alpha=0.14, linewidth=0)
        values = curves.sel(arm=name).to_numpy()
        # the first line is broad, so that a later one that runs along it does not hide it
        panel.plot(times, values, color=colour, linestyle=dashes, linewidth=1.5 if panel.lines else 2.3)
        if np.isfinite(values).any():
            top = int(np.nanargmax(values))
            highest = max(highest, (float(values[top]), float(times[top])))
    if short and math.isfinite(highest[0]):
        panel.annotate(short, (highest[1], highest[0]), (4, 1), textcoords="offset points", fontsize=7.5, color=INK)
    if output.endswith("_relative"):
        panel.axhline(1, color=GREY, linewidth=0.6, linestyle=(0, (1, 3)))
    style_time_axis(panel, float(times[0]), float(times[-1]))


def _lines(count: int) -> list[tuple[str, Any]]:
    return [LINES[i % len(LINES)] for i in range(count)]


def style_time_axis(panel: Axes, first: float, last: float) -> None:
    """Time [h] as asinh(time / half an hour): the first hours get as much room as the days after them."""
    panel.set_xscale("function", functions=(lambda t: np.arcsinh(t / HALF_HOUR), lambda x: HALF_HOUR * np.sinh(x)))
    shown = [hours for hours in TICKS if first <= hours <= last + 1e-6]  # a computed end may fall short
    panel.set_xlim(first, max([last, *shown[-1:]]))
    panel.set_xticks(shown, [TICKS[hours] for hours in shown])
    panel.set_xticks([], minor=True)


def _limits(
    answers: Sequence[MechanismVerdict], outputs: Sequence[str], scenes: Mapping[str, str]
) -> tuple[float, float]:
    """Range that holds every curve and band; at least a tenth of the level wide, so that rest looks like rest."""
    seen = [np.zeros(0)]
    for answer in answers:
        for data in (answer.curves, answer.bands):
            for output in (o for o in outputs if o in data):
                some = data[output].sel(arm=[name for name in scenes if name in data.arm])
                seen.append(some.to_numpy()[np.isfinite(some.to_numpy())])
    values = np.concatenate(seen)
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
    if all("occupancy" in o or o.endswith("_block") for o in outputs):
        return -0.01, max(1.1 * high, 0.2)
    middle, half = (low + high) / 2, max((high - low) / 2, 0.1 * abs(low + high) / 2, 1e-3) * 1.08
    return middle - half, middle + half


# --- doses and legend ------------------------------------------------------------------------------------------------


def scene_title(text: str) -> str:
    """Title of a scene from `title: prescription text`."""
    return text.partition(": ")[0]


def scene_doses(text: str) -> tuple[Dose, ...]:
    """Doses of a scene from `title: prescription text`; none where the text is no prescription."""
    try:
        return parse_regimen(text.partition(": ")[2] or text).doses
    except AntagonyError:
        return ()


def _letters(scenes: Mapping[str, str]) -> dict[str, str]:
    """Drug -> the shortest capitalised beginning of its name that no other drug of these scenes shares."""
    drugs = sorted({dose.drug for text in scenes.values() for dose in scene_doses(text) if dose.drug})
    return {
        drug: next(
            (drug[:n] for n in range(1, len(drug)) if not any(d != drug and d.startswith(drug[:n]) for d in drugs)),
            drug,
        ).capitalize()
        for drug in drugs
    }


def _mark(panel: Axes, answer: MechanismVerdict, scenes: Mapping[str, str], *, letters: bool = True) -> None:
    """A stroke at each time of dosing, with the drug's letter above the panel."""
    names = _letters(scenes)
    given = {(d.drug, float(t)) for text in scenes.values() for d in scene_doses(text) if d.drug for t in d.times}
    end = float(answer.curves.time[-1])
    for drug in names:
        times = sorted(t for d, t in given if d == drug and t <= end)
        for i, time in enumerate(times):
            panel.axvline(time, color=GREY, linewidth=0.6, alpha=0.7 if i < LETTERED else 0.25, zorder=0)
            if letters and i < LETTERED:
                panel.annotate(
                    names[drug], (time, 1), (0, 2), panel.get_xaxis_transform(), "offset points",
                    ha="center", fontsize=7.5, color=GREY, weight="bold",
                )  # fmt: skip


def _legend(scenes: Mapping[str, str]) -> list[Any]:
    """Legend entries: scenes, band, and what the letters of the doses stand for."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = [
        Line2D([], [], color=colour, linestyle=dashes, label=scene_title(text))
        for (colour, dashes), text in zip(_lines(len(scenes)), scenes.values(), strict=True)
    ]
    handles.append(Patch(color=GREY, alpha=0.25, linewidth=0, label="5-95 % of prior draws"))
    for drug, letter in _letters(scenes).items():
        texts = {dose.text() for text in scenes.values() for dose in scene_doses(text) if dose.drug == drug}
        handles.append(Patch(color="none", label=f"{letter}: {f'{drug} given' if len(texts) > 1 else texts.pop()}"))
    return handles


def _explain(figure: Figure, handles: Sequence[Any], columns: int) -> None:
    """One legend along the top, whatever lies below."""
    figure.legend(
        handles=handles, loc="upper left", bbox_to_anchor=(0, 1), borderaxespad=0.2, ncols=columns, fontsize=8,
        handlelength=2.8, columnspacing=1.4,
    )  # fmt: skip


# --- findings --------------------------------------------------------------------------------------------------------


def plot_finding(replays: Sequence[Replay]) -> Figure:
    """One published finding: what was observed, as a band or a side, against every mechanism's predictive interval."""
    from matplotlib.figure import Figure

    first = replays[0]
    width, height = 4.4, 0.24 * (len(replays) + 1) + 0.6
    with figure_style():
        figure = Figure(figsize=(width, height))
        panel = figure.add_axes((1.15 / width, 0.43 / height, (width - 2.1) / width, 1 - 0.53 / height))
        ends = _span(replays)
        panel.set_xlim(*ends)
        panel.set_ylim(len(replays) - 0.4, -1.6)
        panel.axvline(0, color=GREY, linewidth=0.7)
        _draw_observed(panel, first, ends)
        for row, replay in enumerate(replays):
            _draw_prediction(panel, row, replay)
        panel.set_yticks([-1, *range(len(replays))], ["published", *(r.mechanism for r in replays)])
        panel.get_yticklabels()[0].set_fontweight("bold")
        panel.tick_params(axis="y", length=0)
        panel.locator_params(axis="x", nbins=6)
        panel.spines["left"].set_visible(False)
        panel.set_xlabel(_measured(first))
    return figure


def _measured(replay: Replay) -> str:
    """What the axis of a finding counts, with its unit."""
    finding = replay.finding
    if finding.kind == "responders":
        return "share of responders"
    what = finding.scale if finding.output == "score" and finding.scale else finding.output
    return f"{what} [{replay.unit}]" if replay.unit else what


def _span(replays: Sequence[Replay]) -> tuple[float, float]:
    """Range of everything finite, zero included, with room for the published sign."""
    given = [0.0]
    for r in replays:
        given += [v for v in (r.low, r.high, r.predicted, r.observed, r.observed_low, r.observed_high) if v is not None]
    values = np.array(given)[np.isfinite(given)]
    width = max(float(np.ptp(values)), 0.1)
    return float(values.min()) - 0.08 * width, float(values.max()) + 0.08 * width


def _draw_observed(panel: Axes, replay: Replay, ends: tuple[float, float]) -> None:
    """The published value with its interval as a band through all rows; a bare sign as a shaded side."""
    low, high, value = replay.observed_low, replay.observed_high, replay.observed
    if value is None and not replay.in_animals and (sign := replay.finding.sign):
        low, high = (0.0, ends[1]) if sign > 0 else (ends[0], 0.0)
        panel.annotate("this side; size not published", ((low + high) / 2, -1), ha="center", va="center", fontsize=7.5)
    if low is not None and high is not None:
        panel.axvspan(low, high, color="#C9D2DB", alpha=0.55, linewidth=0, zorder=0)
    if value is not None:
        panel.axvline(value, color=INK, linewidth=0.8, linestyle=(0, (4, 2)), zorder=1)
        panel.plot([value], [-1], marker="D", color=INK, markersize=5)
        if low is not None and high is not None:
            panel.plot([low, high], [-1, -1], color=INK, linewidth=1.6)


def _draw_prediction(panel: Axes, row: int, replay: Replay) -> None:
    """Median and 95 % predictive interval: full where it agrees, hollow where not, grey where it sets the scale."""
    colour = GREY if replay.calibrates or replay.agrees is None else LINES[0][0] if replay.agrees else LINES[1][0]
    filled = colour if replay.agrees or replay.calibrates else "white"
    panel.plot([replay.low, replay.high], [row, row], color=colour, linewidth=1.8)
    panel.plot([replay.predicted], [row], "o", color=colour, markerfacecolor=filled, markersize=6, markeredgewidth=1.5)
    word = agreement(replay) if math.isfinite(replay.predicted) else "no prediction"
    panel.annotate(
        word, (1.02, row), xycoords=panel.get_yaxis_transform(), va="center", fontsize=7.5, annotation_clip=False
    )


def agreement(replay: Replay) -> str:
    """How a prediction stands to what was published, in a word or two."""
    if replay.calibrates:
        return "calibrates"
    if replay.agrees is None:
        return "cannot be said"
    words = {"direction": ("same side", "not this side"), "none_different": ("no difference", "a difference")}
    agrees, not_ = words.get(replay.finding.kind, ("within", "outside"))
    return agrees if replay.agrees else not_


# --- SVG text --------------------------------------------------------------------------------------------------------


def svg_text(figure: Figure, name: str, label: str, *, outlines: bool = False) -> str:
    """The figure as one `<svg>` element for a page, the same bytes each time; `label` tells what it shows.

    Text stays text, so that it can be searched and read aloud; `outlines` turns it into shapes that need no font.
    Ids are salted with `name`, so that several figures share one page.
    """
    buffer = StringIO()
    with figure_style(**{"svg.hashsalt": name, "svg.fonttype": "path" if outlines else "none"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    body = text[text.index("<svg") :].strip()
    head, _, body = body.partition(">")
    box = re.search(r'viewBox="[^"]*"', head)
    body = re.sub(r"<metadata>.*?</metadata>\s*|<style[^>]*>.*?</style>|<!--.*?-->\s*", "", body, flags=re.DOTALL)
    body = re.sub(r"<[a-zA-Z][^>]*>", lambda tag: _lean(tag[0]), body)
    root = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" {box[0] if box else ""} '
        f'role="img" aria-label={quoteattr(label)} stroke-linejoin="round" stroke-linecap="butt">'
    )
    return root + re.sub(r">\s*\n\s*<", ">\n<", body)


def picture_text(figure: Figure, name: str, label: str) -> str:
    """What an SVG file of the figure holds, text as shapes that need no font; see `svg_text`."""
    return f'<?xml version="1.0" encoding="utf-8"?>\n{svg_text(figure, name, label, outlines=True)}\n'


def write_picture(figure: Figure, name: str, label: str, out: Path) -> Path:
    """The figure as a file of its own; see `picture_text`."""
    return write_text(out, picture_text(figure, name, label))


def _lean(tag: str) -> str:
    """A tag without the ids of groups, which nothing refers to; coordinates to a hundredth of a point."""
    if tag.startswith("<g"):
        tag = re.sub(r' id="[^"]*"', "", tag)
    return re.sub(r' d="[^"]*"', lambda path: re.sub(r"-?\d+\.\d+", lambda n: f"{float(n[0]):.2f}", path[0]), tag)
