"""Figures of a ranking of trials, and the readings of its record that they share with its tables.

Curves differ in dashes and marks, so that all reads as well in black and white. Nothing here touches a file.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from .figures import GREY, INK, LINES, figure_style, svg_text
from .planning.answer import Measurement, Outcome, Ranked, Ranking
from .planning.information import Evidence, Figure
from .weighing_figures import MARKS, NBSP, Picture, spread_apart

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

LEAD = 6  # plans with a colour of their own
FOREST = 18  # measurements that the figure shows; a table has them all
SURE = 3.0  # Monte-Carlo errors
PALE = "#B4BCC5"
TICKS = (20, 40, 80, 160, 320, 640)  # patients
PANEL_WIDTH, ROW_HEIGHT = 2.35, 0.125  # of a measurement [in]

# --- readings --------------------------------------------------------------------------------------------------------


def figure_text(figure: Figure) -> str:
    """A number with its Monte-Carlo error in brackets, which is shown as 0.01 at least unless it is exactly 0.

    >>> figure_text(Figure(0.523, 0.031)), figure_text(Figure(0.5, 0.001)), figure_text(Figure(-0.0004, 0.0))
    ('0.52 (0.03)', '0.50 (0.01)', '0.00 (0.00)')
    """
    if not math.isfinite(figure.value):
        return "unknown"
    error = max(figure.error, 0.01) if figure.error else 0.0
    return f"{figure.value + 0.0 if abs(figure.value) >= 0.005 else 0.0:.2f} ({error:.2f})"


def chance_text(chance: float | None) -> str:
    """A probability in few letters; one that no simulated trial showed is still not 0.

    >>> chance_text(0.314), chance_text(0.0123), chance_text(0.0), chance_text(None)
    ('0.31', '0.012', '<0.001', 'unknown')
    """
    if chance is None or not math.isfinite(chance):
        return "unknown"
    return "<0.001" if chance < 0.001 else f"{chance:.3f}" if chance < 0.0995 else f"{chance:.2f}"


def chance_span(chance: float | None, error: float | None) -> str:
    """A probability with its Monte-Carlo error, shown as one of its last digit at least; lines never break inside.

    >>> [chance_span(*given).replace(NBSP, " ") for given in ((0.4234, 0.0123), (0.0002, 0.0001), (0.02, 0.0))]
    ['0.42 \N{PLUS-MINUS SIGN} 0.01', '<0.001', '0.020 \N{PLUS-MINUS SIGN} 0.001']
    """
    text = chance_text(chance)
    if error is None or not math.isfinite(error) or not text[0].isdigit():
        return text
    decimals = len(text.partition(".")[2])
    return f"{text}{NBSP}\N{PLUS-MINUS SIGN}{NBSP}{max(error, 10**-decimals):.{decimals}f}"


def rival_of(ranking: Ranking) -> dict[str, str]:
    """Mechanism -> the rival that holds it, mechanisms of a rival with the greatest share first."""
    return {
        slug: name
        for name, members in ranking.rivals.items()
        for slug, _ in sorted(members.items(), key=lambda item: -item[1])
    }


def outcome_text(outcome: Outcome, *, of_mean: bool = False) -> str:
    """95 % interval of the result of a trial, or of the mean alone.

    >>> outcome_text(Outcome(-2.0, -3.04, -1.0, -5.5, 1.26)), outcome_text(Outcome(0.7, 0.7, 0.7, 0.62, 0.62))
    ('-5.5 to 1.3', '0.62')
    """
    low, high = (outcome.low, outcome.high) if of_mean else (outcome.result_low, outcome.result_high)
    return span_text(low, high)


def span_text(low: float, high: float) -> str:
    """An interval with as many decimals as its greater end asks for; one number where both ends are the same.

    >>> span_text(0.00038, 1.2), span_text(-0.044, 19.1), span_text(-0.012, 0.0041), span_text(1.0, 1.0)
    ('0 to 1.20', '0.0 to 19.1', '-0.012 to 0.004', '1.00')
    """
    if not (math.isfinite(low) and math.isfinite(high)):
        return "unknown"
    size = max(abs(low), abs(high))
    decimals = 0 if size >= 100 else 1 if size >= 3 else 2 if size >= 0.1 else 3
    texts = [f"{round(value, decimals) + 0.0:.{decimals}f}" if abs(value) >= 5e-4 else "0" for value in (low, high)]
    return texts[0] if low == high else " to ".join(texts)


def control_faults(ranking: Ranking) -> list[str]:
    """Plans whose two identical rivals score more than three Monte-Carlo errors away from 0."""
    return [r.name for r in ranking.ranked if abs(r.control.value) > SURE * r.control.error]


def control_range(ranking: Ranking) -> tuple[float, float, float] | None:
    """Least and greatest bits of two identical rivals over the plans, and the greatest error; None without plans."""
    controls = [r.control for r in ranking.ranked if math.isfinite(r.control.value)]
    if not controls:
        return None
    values = [c.value for c in controls]
    return min(values), max(values), max(c.error for c in controls)


# --- bits against patients -------------------------------------------------------------------------------------------


def plot_information(ranking: Ranking) -> Canvas:
    """Bits against patients, a curve a plan, and below it the risk: misleading evidence against patients.

    Plans that lead in the ranking have colours; an animal's line is level, for it knows no patients.
    """
    from matplotlib.figure import Figure as Canvas

    room = 0.14 * len(ranking.ranked)
    upper, lower = max(3.0, room), 1.7
    width, height = 8.4, upper + lower + 1.05
    with figure_style():
        canvas = Canvas(figsize=(width, height))
        left, span = 0.75 / width, (width - 0.75 - 2.6) / width
        top = canvas.add_axes((left, (lower + 0.85) / height, span, upper / height))
        below = canvas.add_axes((left, 0.45 / height, span, lower / height), sharex=top)
        top.set_xscale("log")
        sizes = [e.n for r in ranking.ranked for e in (*r.curve, r.evidence) if math.isfinite(e.n)] or [*TICKS]
        top.set_xlim(0.9 * min(sizes), 1.1 * max(sizes))
        for place, ranked in reversed([*enumerate(ranking.ranked)]):
            _draw_plan(top, below, ranked, place)
        _bits_axis(top, ranking)
        _risk_axis(below, ranking)
        _label_plans(top, ranking, upper * 72)
    return canvas


def _line_of(place: int) -> dict[str, Any]:
    """Colour, dashes and mark by the place in the ranking; the same pale line below the leaders."""
    if place >= LEAD:
        return {"color": PALE, "linestyle": "-", "linewidth": 0.8, "zorder": 1}
    colour, dashes = LINES[place % len(LINES)]
    return {"color": colour, "linestyle": dashes, "linewidth": 1.5, "zorder": 3}


def _draw_plan(top: Axes, below: Axes, ranked: Ranked, place: int) -> None:
    """One plan's bits and risk; a mark where it was ranked, a tall stroke where it reaches the aim."""
    line, mark = _line_of(place), MARKS[place % len(MARKS)]
    leads = place < LEAD
    if not ranked.plan.is_human:
        for panel, value in ((top, ranked.evidence.bits.value), (below, ranked.evidence.misleading.value)):
            drawn = panel.axhline(value, label=ranked.name, color=line["color"], linewidth=line["linewidth"])
            drawn.set_linestyle((0, (1, 1.6)))
        return
    sizes = [e.n for e in ranked.curve]
    top.plot(sizes, [e.bits.value for e in ranked.curve], label=ranked.name, **line)
    below.plot(sizes, [e.misleading.value for e in ranked.curve], label=ranked.name, **line)
    if not leads:
        return
    here, colour = ranked.evidence, line["color"]
    for panel, figure in ((top, here.bits), (below, here.misleading)):
        panel.errorbar(
            [here.n], [figure.value], yerr=[2 * figure.error], fmt=mark, color=colour, markersize=4.5, linewidth=1,
            zorder=4,
        )  # fmt: skip
    if ranked.advised is not None:
        top.plot([ranked.advised.n], [ranked.advised.bits.value], "|", color=colour, markersize=15, markeredgewidth=1.6)
    if ranked.ignoring is not None:
        below.plot(
            [here.n], [ranked.ignoring.misleading.value], mark, color=colour, markerfacecolor="white", markersize=5.5,
            zorder=4,
        )  # fmt: skip


def _bits_axis(panel: Axes, ranking: Ranking) -> None:
    """As far as the curves reach: an error bar may run out of the panel."""
    rivals = len(ranking.rivals)
    values = [e.bits.value for r in ranking.ranked for e in evidence_at(r)]
    low, high = min([0.0, *values]), max([0.1, *values])
    panel.set_ylim(low - 0.04 * (high - low), high + 0.06 * (high - low))
    panel.set_ylabel(f"expected information [bits of {math.log2(rivals):.2f}]" if rivals else "bits")
    panel.axhline(0, color=GREY, linewidth=0.6, zorder=0)
    panel.tick_params(labelbottom=False)


def _risk_axis(panel: Axes, ranking: Ranking) -> None:
    """Misleading evidence, and the bound that holds where the analysis knows the world."""
    bound = 1 / ranking.bound
    panel.axhline(bound, color=INK, linewidth=0.8, linestyle=(0, (4, 2)), zorder=0)
    panel.annotate(
        f"1/{ranking.bound:g}", (1.01, bound), xycoords=panel.get_yaxis_transform(), va="center", fontsize=7.5,
        annotation_clip=False,
    )  # fmt: skip
    panel.set_ylim(0, max(panel.get_ylim()[1], 1.12 * bound))
    panel.set_ylabel("misleading evidence\n[probability]")
    panel.set_xlabel("patients")
    low, high = panel.get_xlim()
    ticks = [t for t in TICKS if low <= t <= high]
    panel.set_xticks(ticks, [str(t) for t in ticks])
    panel.set_xticks([], minor=True)


def _label_plans(panel: Axes, ranking: Ranking, height: float) -> None:
    """Names right of the ends of the curves, moved apart so that none hides another; `height` of the panel [pt]."""
    low, high = panel.get_ylim()
    ends = [(r.curve[-1] if r.curve else r.evidence).bits.value for r in ranking.ranked]
    gap = 9.4 / height * (high - low)
    places = keep_above(spread_apart(ends, gap), gap, low)
    right = panel.get_xlim()[1]
    for place, (ranked, end, at) in enumerate(zip(ranking.ranked, ends, places, strict=True)):
        leads = place < LEAD
        colour = LINES[place % len(LINES)][0] if leads else GREY
        kind = "" if ranked.plan.is_human else " (animals)"
        panel.annotate(
            f"{ranked.name}{kind}", (right, end), (1.05, at), "data", panel.get_yaxis_transform(),
            va="center", fontsize=7.5 if leads else 6.8, color=colour, fontweight="bold" if leads else "normal",
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-", "color": colour, "linewidth": 0.5, "shrinkA": 0, "shrinkB": 0, "relpos": (0, 0.5),
            },
        )  # fmt: skip


def keep_above(places: Sequence[float], gap: float, low: float) -> list[float]:
    """Places moved up as far as it takes to lie at or above `low`, neighbours still a gap apart.

    >>> keep_above([-1.5, 3.0, -0.5], 1.0, 0.0)
    [0.0, 3.0, 1.0]
    """
    found, least = list(places), low
    for i in sorted(range(len(found)), key=lambda i: found[i]):
        found[i] = max(found[i], least)
        least = found[i] + gap
    return found


# --- what would change our mind --------------------------------------------------------------------------------------


def plot_measurements(ranking: Ranking, measurements: Sequence[Measurement]) -> Canvas:
    """A panel for each measurement, the one that tells the rivals apart best first: what every mechanism expects.

    Thick: 95 % of the mean (what is not known of the mechanism); thin: 95 % of the result of a trial.
    """
    from matplotlib.figure import Figure as Canvas

    owner = rival_of(ranking)
    columns = min(3, max(1, len(measurements)))
    rows = -(-len(measurements) // columns) or 1
    inner, gap, left = 0.12 + ROW_HEIGHT * len(owner), 1.02, 1.6
    width, height = left + PANEL_WIDTH * columns, rows * (inner + gap) + 0.1
    with figure_style(**{"axes.titlesize": 7.5}):
        canvas = Canvas(figsize=(width, height))
        for i, measurement in enumerate(measurements):
            row, column = divmod(i, columns)
            bottom = height - row * (inner + gap) - inner - 0.5
            box = ((left + PANEL_WIDTH * column) / width, bottom / height, (PANEL_WIDTH - 0.2) / width, inner / height)
            _draw_measurement(canvas.add_axes(box), measurement, owner, named=column == 0)
    return canvas


def _draw_measurement(panel: Axes, measurement: Measurement, owner: dict[str, str], *, named: bool) -> None:
    """One measurement on its own scale, a row a mechanism, colour and mark of its rival."""
    rivals = [*dict.fromkeys(owner.values())]
    panel.axvline(0, color="#C3CAD2", linewidth=0.6, zorder=0)
    for row, (slug, rival) in enumerate(owner.items()):
        place = rivals.index(rival)
        if row % 2 == 0:
            panel.axhspan(row - 0.5, row + 0.5, color="#F4F6F8", linewidth=0, zorder=0)
        outcome = measurement.outcomes.get(slug)
        if outcome is None:
            continue
        colour = LINES[place % len(LINES)][0]
        if outcome.result_low == outcome.result_high:
            panel.plot([outcome.result_low], [row], "|", color=colour, markersize=7, markeredgewidth=1.4)
        panel.plot([outcome.result_low, outcome.result_high], [row, row], color=colour, linewidth=0.8)
        panel.plot([outcome.low, outcome.high], [row, row], color=colour, linewidth=2.6, solid_capstyle="butt")
        mark = MARKS[place % len(MARKS)]
        panel.plot(
            [outcome.median], [row], mark, color=colour, markerfacecolor="white", markersize=4.2, markeredgewidth=1,
            label=slug,
        )  # fmt: skip
    panel.set_ylim(len(owner) - 0.5, -0.5)
    panel.set_yticks(range(len(owner)), [f"{s} ({r})" if s != r else s for s, r in owner.items()] if named else [])
    panel.tick_params(axis="y", length=0, labelsize=7)
    panel.spines["left"].set_visible(False)
    panel.locator_params(axis="x", nbins=5)
    head = wrap(f"{measurement.plan}: {measurement.estimand}", 36, break_long_words=False)
    panel.set_title("\n".join([*head, f"{figure_text(measurement.bits)} bits"]), loc="left", pad=3)
    unit = f" [{measurement.unit}]" if measurement.unit else ""
    panel.set_xlabel("\n".join(wrap(f"{measurement.text}{unit}", 52)[:3]), fontsize=6.2, labelpad=1, linespacing=1.1)


# --- captions --------------------------------------------------------------------------------------------------------

INFORMATION = (
    "Expected information about which rival is true against the number of patients (above), and the probability that "
    "the evidence misleads (below; dashed: the bound that holds where the analysis knows the world). A curve a design; "
    "in colour the first of the ranking, with a mark and two Monte-Carlo errors at the number at which they were "
    "ranked, and a tall stroke where decisive evidence reaches the aim. Dotted level lines: studies in animals, whose "
    "signs alone count, whatever their number."
)
HOLLOW = " Hollow marks below: the same trial analysed as if what was ignored were not there."
FOREST_CAPTION = (
    "What would change our mind: one measurement a panel, the one that tells the rivals apart best first, each by "
    "itself. Under every mechanism the median (mark), 95 % of the mean as far as the mechanism is known (thick) and "
    "95 % of the result of a trial of the asked size (thin). Colours and marks stand for rivals. Of contrasts on a "
    "symptom scale below 0 means that the first arm does better. In animals: the probability that the first arm reads "
    "lower (mark), and that a study finds so (stroke). Each panel has a scale of its own."
)


def information_label(ranking: Ranking) -> str:
    """The main figure told in words."""
    shown = ", ".join(
        f"{r.name} {figure_text(r.evidence.bits)} bits, misleading {chance_text(r.evidence.misleading.value)}"
        for r in ranking.ranked
    )
    return f"Expected information and misleading evidence against patients: {shown}"


def draw_ranking(ranking: Ranking) -> tuple[Picture, ...]:
    """Every figure that the record has numbers for, with a label that tells it in words and a caption."""
    pictures = []
    if ranking.ranked:
        caption = INFORMATION + (HOLLOW if any(r.ignoring for r in ranking.ranked) else "")
        svg = svg_text(plot_information(ranking), "design-information", information_label(ranking))
        pictures.append(Picture("information", svg, caption))
    if ranking.measurements:
        shown = ranking.measurements[:FOREST]
        label = f"What every mechanism expects of {len(shown)} measurements, {shown[0].plan} {shown[0].estimand} first"
        svg = svg_text(plot_measurements(ranking, shown), "design-forest", label)
        rest = len(ranking.measurements) - len(shown)
        more = f" {rest} further measurements stand in the table." if rest else ""
        pictures.append(Picture("forest", svg, FOREST_CAPTION + more))
    return tuple(pictures)


def evidence_at(ranked: Ranked) -> tuple[Evidence, ...]:
    """Evidence at every number of patients that was asked, least first, none twice."""
    known = {e.n: e for e in (*ranked.curve, ranked.best, ranked.evidence) if math.isfinite(e.n)}
    return tuple(known[n] for n in sorted(known)) or (ranked.evidence,)
