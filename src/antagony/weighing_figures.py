"""Figures of a weighing, and the readings of its record that they share with its tables.

Every number is a natural logarithm [nat] with its Monte-Carlo error; a Bayes factor of two is exp(difference). Marks
differ in shape and lines in dashes, so that all reads as well in black and white. Nothing here touches a file.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from .figures import GREY, INK, LINES, figure_style, svg_text
from .posterior.answer import Findings, Number, Sweep, Weighed, Weighing
from .study import RATIOS, Study
from .units import format_time

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

UNEXPLAINED = "unexplained"
CALIBRATING = "calibrating"
TOP = 6  # rivals that tables show
FOREST = 4  # rivals that the figure of findings shows
TORNADO = 16  # studies that the figure of studies left out shows
WIDE = 1.96  # standard errors on either side of a 95 % interval
NBSP = "\N{NO-BREAK SPACE}"
MARKS = ("o", "s", "^", "v", "P", "X")  # a class each

# --- readings --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Gap:
    """The leader's lead over the second without one study, and how far it moved."""

    study: str
    gap: Number
    change: float


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure as an SVG element, and the caption below it."""

    name: str
    svg: str
    caption: str


def ranked(weighing: Weighing) -> tuple[Weighed, ...]:
    """All that were weighed, references too, highest partial first; without a number last."""
    return tuple(sorted(weighing.mechanisms, key=lambda w: -w.partial.value if _known(w.partial) else math.inf))


def _known(number: Number) -> bool:
    return number.value == number.value


def less(one: Number, other: Number) -> Number:
    """Difference of two logs of independent draws [nat]; nan where both are infinite.

    >>> less(Number(-3.0, 0.3), Number(-5.0, 0.4))
    Number(value=2.0, error=0.5)
    """
    if one is other:
        return Number(0.0, 0.0)
    both = math.isinf(one.value) and one.value == other.value
    return Number(math.nan if both else one.value - other.value, math.hypot(one.error, other.error))


def over_unexplained(weighing: Weighing, weighed: Weighed) -> Number:
    """Log of the partial Bayes factor over the reference in which every contrast is free [nat]."""
    return less(weighed.partial, weighing.weighed(UNEXPLAINED).partial)


def over_best(weighing: Weighing, weighed: Weighed) -> Number:
    """Log of the partial Bayes factor over the leading rival [nat]; of the leader itself 0."""
    rivals = weighing.rivals
    return less(weighed.partial, rivals[0].partial) if rivals else Number(math.nan, math.nan)


def leader_gap(weighing: Weighing) -> Number | None:
    """Log of the leader's partial Bayes factor over the second [nat]; None with fewer than two rivals."""
    rivals = weighing.rivals
    return less(rivals[0].partial, rivals[1].partial) if len(rivals) > 1 else None


def gaps_without(weighing: Weighing) -> tuple[Gap, ...]:
    """The leader's lead without each study, what moves it most first."""
    gap, rivals = leader_gap(weighing), weighing.rivals
    if gap is None:
        return ()
    best, second = rivals[0].leave_one_out, rivals[1].leave_one_out
    found = []
    for study in best:
        if study in second:
            left = less(best[study], second[study])
            found.append(Gap(study, left, left.value - gap.value))
    return tuple(sorted(found, key=lambda g: -abs(g.change) if g.change == g.change else 0.0))


def running(weighing: Weighing, weighed: Weighed) -> list[float]:
    """Log Bayes factor over `unexplained` after each study in order of date [nat]; calibrating ones count too."""
    free = weighing.weighed(UNEXPLAINED).in_turn
    return list(accumulate(less(weighed.in_turn[s.id], free[s.id]).value for s in weighing.studies))


def relative_scores(weighing: Weighing, weighed: Weighed) -> dict[str, Number]:
    """Study -> log score given all other studies, less that of `unexplained` [nat]."""
    free = weighing.weighed(UNEXPLAINED).scores
    return {s.id: less(weighed.scores[s.id], free[s.id]) for s in weighing.studies if s.id in weighed.scores}


def alone_scores(weighing: Weighing, weighed: Weighed) -> dict[str, Number]:
    """Study -> its log score given the calibrating studies alone, less that of `unexplained` [nat].

    That is the log Bayes factor which this study by itself adds to what calibrates.
    """
    free = weighing.weighed(UNEXPLAINED)
    found = {s.id: weighed.alone[s.id] for s in weighing.studies if s.id in weighed.alone}
    return {name: less(number, free.alone.get(name, free.scores[name])) for name, number in found.items()}


def compared(weighing: Weighing) -> tuple[Weighed, ...]:
    """What tables of fragility set side by side: the first rivals, then the references."""
    return (*weighing.rivals[:TOP], *(w for w in ranked(weighing) if w.reference))


def rows_over_leader(weighing: Weighing) -> dict[str, dict[str, Number]]:
    """Row -> mechanism -> its partial less the leader's in the same row [nat], the base row first.

    Rows hold other data or score them otherwise, so only numbers of one row may be compared. A row that `unexplained`
    alone has (its prior is wider there) stands against the leader's base.
    """
    if not weighing.rivals:
        return {}
    best, shown = weighing.rivals[0], compared(weighing)
    found = {"base": {w.slug: less(w.partial, best.partial) for w in shown}}
    for name in dict.fromkeys(n for w in shown for n in w.rows):
        base = best.rows.get(name, best.partial)
        found[name] = {w.slug: less(w.rows[name], base) for w in shown if name in w.rows}
    return found


def moving_sweeps(weighed: Weighed) -> tuple[tuple[Sweep, float], ...]:
    """Halves of assumed ranges with the change of the partial in each [nat], the greatest change first."""
    changes = [(sweep, less(sweep.partial, weighed.partial).value) for sweep in weighed.sweeps]
    return tuple(sorted(changes, key=lambda item: -abs(item[1]) if item[1] == item[1] else 0.0))


def row_title(weighing: Weighing, name: str) -> str:
    """What a row changes, in words."""
    wider = name.removeprefix(f"{UNEXPLAINED}_")
    plain = f"the prior of {UNEXPLAINED} {wider} times as wide" if wider != name else name.replace("_", " ")
    return weighing.row_titles.get(name, plain)


def probability_errors(weighing: Weighing, prior: str) -> dict[str, float]:
    """Monte-Carlo standard error of each mechanism's probability under a stated prior (delta method) [0-1].

        var(p_i) = p_i^2 sum_j ((i = j) - p_j)^2 var(log_j)
    """
    shares = weighing.probabilities[prior]
    errors = {slug: weighing.weighed(slug).partial.error for slug in shares}
    errors = {slug: error for slug, error in errors.items() if shares[slug] > 0}
    return {
        slug: p * math.sqrt(sum(((slug == other) - shares[other]) ** 2 * e**2 for other, e in errors.items()))
        for slug, p in shares.items()
    }


def observed_interval(found: Findings) -> tuple[float, float] | None:
    """95 % interval of what was published: from its standard error; of a share of responders wilson_1927's."""
    if found.observed is None:
        return None
    if found.error is not None:
        return found.observed - WIDE * found.error, found.observed + WIDE * found.error
    if not found.finding.n:
        return None
    n, p = found.finding.n[0], found.observed
    middle, half = p + WIDE**2 / (2 * n), WIDE * math.sqrt(p * (1 - p) / n + (WIDE / (2 * n)) ** 2)
    return (middle - half) / (1 + WIDE**2 / n), (middle + half) / (1 + WIDE**2 / n)


def factor_text(log: float) -> str:
    """A Bayes factor in few letters, below 1 as a fraction; a small one is read faster so than in decimals.

    >>> factor_text(math.log(45.2)), factor_text(-math.log(7234)), factor_text(math.log(3e7)), factor_text(-math.inf)
    ('45', '1/7200', '3e7', '0')
    """
    if not math.isfinite(log):
        return "unknown" if log != log else "0" if log < 0 else "infinite"
    size, power = abs(log), math.floor(abs(log) / math.log(10))
    if power < 4:
        text = f"{float(f'{math.exp(size):.2g}'):g}"
    else:
        text = f"{math.exp(size - power * math.log(10)):.0f}e{power}"
    return text if log >= 0 or text == "1" else f"1/{text}"


def error_factor(error: float) -> str:
    """The error of a log as a factor of the Bayes factor, up or down.

    >>> error_factor(0.7), error_factor(0.02), error_factor(9.0)
    ('2', '1.02', '>99')
    """
    factor = math.exp(error) if error < math.log(99) else math.inf
    return ">99" if not math.isfinite(factor) else f"{factor:.2f}" if factor < 1.1 else f"{factor:.2g}"


def study_label(study: Study) -> str:
    """Its id, with the year where the id does not tell it; * of a calibrating study, + of one in animals or cells."""
    year = "" if study.date[:4] in study.id else f" {study.date[:4]}"
    return f"{study.id}{year}{' *' if study.role == CALIBRATING else ''}{'' if study.is_human else ' +'}"


# --- partial Bayes factors -------------------------------------------------------------------------------------------


def plot_partials(weighing: Weighing) -> Figure:
    """Log partial Bayes factors over `unexplained` with two errors: classes, their mechanisms, references."""
    from matplotlib.figure import Figure

    free = weighing.weighed(UNEXPLAINED).partial
    lines: list[tuple[str, Number, str, str]] = []  # label, number, mark, colour
    for i, group in enumerate(_classes(weighing)):
        colour = LINES[i % len(LINES)][0]
        if group in weighing.classes:
            title = weighing.class_titles.get(group, group)
            lines.append((f"class {group}: {title}", less(weighing.classes[group], free), "D", colour))
        members = [w for w in weighing.rivals if w.group == group]
        lines += [(w.slug, over_unexplained(weighing, w), MARKS[i % len(MARKS)], colour) for w in members]
    references = [w for w in ranked(weighing) if w.reference]
    lines += [(w.slug, over_unexplained(weighing, w), "*" if w.slug == UNEXPLAINED else "x", INK) for w in references]
    with figure_style():
        height = 0.9 + 0.235 * len(lines)
        figure = Figure(figsize=(6.6, height))
        panel = figure.add_axes((2.05 / 6.6, 0.42 / height, 3.45 / 6.6, 1 - 0.9 / height))
        low, high = _span([n for _, n, _, _ in lines])
        panel.set_xlim(low, high)
        panel.set_ylim(len(lines) - 0.4, -0.6)
        _factor_axis(panel)
        for row, (label, number, mark, colour) in enumerate(lines):
            _draw_number(panel, row, label, number, mark, colour)
        panel.set_yticks(range(len(lines)), ["\n".join(wrap(label, 34)) for label, *_ in lines])
        for tick, (label, *_) in zip(panel.get_yticklabels(), lines, strict=True):
            tick.set_fontweight("bold" if label.startswith("class ") else "normal")
            tick.set_fontstyle("italic" if label in {w.slug for w in references} else "normal")
        panel.tick_params(axis="y", length=0)
        panel.spines["left"].set_visible(False)
        panel.set_xlabel("log partial Bayes factor over unexplained [nat]")
    return figure


def _classes(weighing: Weighing) -> list[str]:
    """Classes, the one with the highest partial first; without any the one of the best mechanism."""
    groups = dict.fromkeys(w.group for w in weighing.rivals)
    return sorted(groups, key=lambda g: -weighing.classes[g].value if g in weighing.classes else 0.0)


def _span(numbers: Sequence[Number]) -> tuple[float, float]:
    """Range of everything finite with its errors, zero included and with room at both ends."""
    ends = [0.0]
    for n in numbers:
        reach = 2 * n.error if math.isfinite(n.error) else 0.0
        ends += [n.value - reach, n.value + reach] if math.isfinite(n.value) else []
    width = max(max(ends) - min(ends), 1.0)
    return min(ends) - 0.07 * width, max(ends) + 0.07 * width


def _factor_axis(panel: Axes) -> None:
    """Bayes factors along the top and as thin lines through the panel, the one of 1 full."""
    low, high = panel.get_xlim()
    tens = [k for k in range(math.ceil(low / math.log(10)), math.floor(high / math.log(10)) + 1)]
    step = max(1, -(-len(tens) // 7))
    shown = [k for k in tens if k % step == 0]
    for k in shown:
        panel.axvline(k * math.log(10), color=INK if k == 0 else "#C3CAD2", linewidth=0.9 if k == 0 else 0.6, zorder=0)
    top = panel.secondary_xaxis("top")
    top.set_xticks([k * math.log(10) for k in shown], [_ten(k) for k in shown])
    top.set_xlabel("Bayes factor")


def _ten(power: int) -> str:
    size = f"{10 ** abs(power)}" if abs(power) <= 3 else f"1e{abs(power)}"
    return size if power >= 0 else f"1/{size}"


def _draw_number(panel: Axes, row: float, label: str, number: Number, mark: str, colour: str) -> None:
    """A mark with its error, and the number at the right; at the panel's edge where it is not finite."""
    low, high = panel.get_xlim()
    if not math.isfinite(number.value):
        at = high if number.value > 0 else low
        panel.plot([at], [row], marker=">" if number.value > 0 else "<", color=colour, label=label, clip_on=False)
    else:
        reach = 2 * number.error if math.isfinite(number.error) else high - low
        dashes: Any = "-" if math.isfinite(number.error) else (0, (1, 2))
        ends = [max(low, number.value - reach), min(high, number.value + reach)]
        panel.plot(ends, [row, row], color=colour, linewidth=1.4, linestyle=dashes, solid_capstyle="butt")
        size = 8 if mark == "*" else 5.5
        panel.plot([number.value], [row], marker=mark, color=colour, markersize=size, linestyle="none", label=label)
    panel.annotate(
        nat_text(number), (1.03, row), xycoords=panel.get_yaxis_transform(), va="center", fontsize=7.5,
        annotation_clip=False,
    )  # fmt: skip


def nat_text(number: Number, *, signed: bool = True) -> str:
    """A log with its error, one digit of which is shown; exact where there is none.

    >>> nat_text(Number(-44.958, 0.58)), nat_text(Number(2.0, 0.0)), nat_text(Number(-math.inf, math.inf))
    ('-45.0 ±0.6', '+2.00', '-inf')
    """
    if not math.isfinite(number.value):
        return "unknown" if number.value != number.value else "-inf" if number.value < 0 else "+inf"
    sign = "+" if signed else ""
    if number.error == 0:
        return f"{number.value:{sign}.2f}"
    if not math.isfinite(number.error):
        return f"{number.value:{sign}.1f} ±inf"
    digits = 0 if number.error >= 9.5 else 1 if number.error >= 0.095 else 2
    return f"{number.value:{sign}.{digits}f} ±{max(number.error, 0.01):.{digits}f}"


# --- study by study --------------------------------------------------------------------------------------------------


def plot_over_time(weighing: Weighing) -> Figure:
    """Log Bayes factor over `unexplained` as studies come in, in order of date, a line for each mechanism."""
    from matplotlib.figure import Figure

    shown = [w for w in ranked(weighing) if w.slug != UNEXPLAINED]
    curves = {w.slug: running(weighing, w) for w in shown}
    count = len(weighing.studies)
    with figure_style():
        width = 2.3 + max(3.0, 0.185 * count)
        figure = Figure(figsize=(width, 4.9))
        panel = figure.add_axes((0.55 / width, 1.35 / 4.9, (width - 2.3) / width, 3.4 / 4.9))
        panel.axhline(0, color=INK, linewidth=0.9)
        for index, study in enumerate(weighing.studies):
            if study.role == CALIBRATING:
                panel.axvspan(index - 0.5, index + 0.5, color="#E4E9EE", linewidth=0, zorder=0)
        for w in shown:
            colour, dashes = _line_of(weighing, w)
            values = [v if math.isfinite(v) else math.nan for v in curves[w.slug]]
            end = max((i for i, v in enumerate(values) if v == v), default=0)
            panel.plot(
                range(count), values, color=colour, linestyle=dashes, label=w.slug, linewidth=1.3,
                marker=_mark_of(weighing, w), markevery=[end], markersize=4.5,
            )  # fmt: skip
        panel.set_xlim(-0.5, count - 0.5)
        panel.set_xticks(range(count), [study_label(s) for s in weighing.studies], rotation=90, fontsize=7)
        panel.set_ylabel("log Bayes factor over unexplained [nat]")
        _label_ends(panel, weighing, curves, 3.4 * 72)
    return figure


def _line_of(weighing: Weighing, weighed: Weighed) -> tuple[str, Any]:
    """Colour by class; dashes by place within it, begun elsewhere in each class, so that leaders of classes differ."""
    if weighed.reference:
        return GREY, (0, (1, 1.2))
    place = _classes(weighing).index(weighed.group)
    members = [w.slug for w in weighing.rivals if w.group == weighed.group]
    return LINES[place % len(LINES)][0], LINES[(place + members.index(weighed.slug)) % len(LINES)][1]


def _mark_of(weighing: Weighing, weighed: Weighed) -> str:
    return "x" if weighed.reference else MARKS[_classes(weighing).index(weighed.group) % len(MARKS)]


def _label_ends(panel: Axes, weighing: Weighing, curves: dict[str, list[float]], height: float) -> None:
    """Names right of where the lines end, moved apart so that none hides another; `height` of the panel [pt]."""
    ends = {slug: [v for v in values if math.isfinite(v)] for slug, values in curves.items()}
    low, high = panel.get_ylim()
    finite = {slug: values[-1] for slug, values in ends.items() if values}
    at = dict(finite) | {slug: low for slug in curves if slug not in finite}
    at[UNEXPLAINED] = 0.0
    places = spread_apart(list(at.values()), 9.2 / height * (high - low))
    last = len(weighing.studies) - 1
    for (slug, value), place in zip(at.items(), places, strict=True):
        colour = INK if slug == UNEXPLAINED else _line_of(weighing, weighing.weighed(slug))[0]
        lost = "" if slug == UNEXPLAINED or math.isfinite(curves[slug][-1]) else ", then -inf"
        panel.annotate(
            f"{slug}{lost}", (last + 0.5, value), (last + 1.6, place), "data", "data", va="center", fontsize=7.5,
            color=colour, annotation_clip=False,
            arrowprops={
                "arrowstyle": "-", "color": colour, "linewidth": 0.5, "shrinkA": 0, "shrinkB": 0, "relpos": (0, 0.5),
            },
        )  # fmt: skip


def spread_apart(values: Sequence[float], gap: float) -> list[float]:
    """Places in the order of the values, as near to them as a gap between neighbours allows.

    >>> spread_apart([0.0, 0.1, 5.0], 1.0)
    [-0.45, 0.55, 5.0]
    """
    order = sorted(range(len(values)), key=lambda i: values[i])
    blocks: list[list[int]] = []
    starts: list[float] = []
    for i in order:
        blocks.append([i])
        starts.append(values[i])
        while len(blocks) > 1 and starts[-2] + gap * len(blocks[-2]) > starts[-1] + 1e-12:
            merged = blocks[-2] + blocks[-1]
            blocks[-2:] = [merged]
            starts[-2:] = [sum(values[m] - gap * k for k, m in enumerate(merged)) / len(merged)]
    places = [0.0] * len(values)
    for block, start in zip(blocks, starts, strict=True):
        for k, i in enumerate(block):
            places[i] = round(start + gap * k, 12)
    return places


# --- observed and predicted ------------------------------------------------------------------------------------------


def scored_numbers(weighing: Weighing) -> list[tuple[Study, Findings]]:
    """Scored findings with a published number, in order of date."""
    studies = {s.id: s for s in weighing.studies}
    found: dict[tuple[str, str], Findings] = {}
    for w in (*weighing.rivals, *weighing.mechanisms):
        for f in w.findings:
            if f.scored and f.observed is not None:
                found.setdefault((f.study, f.finding.id), f)
    order = list(studies)
    return [(studies[s], f) for (s, _), f in sorted(found.items(), key=lambda item: order.index(item[0][0]))]


def plot_forest(weighing: Weighing) -> Figure:
    """A panel for each scored finding with a number: published, and as mechanisms predict and fit it."""
    from matplotlib.figure import Figure

    scored = scored_numbers(weighing)
    shown = [w for w in (*weighing.rivals[:FOREST], *weighing.mechanisms) if w.findings]
    shown = list({w.slug: w for w in shown if w in weighing.rivals[:FOREST] or w.reference}.values())
    columns = min(3, max(1, len(scored)))
    rows = max(1, -(-len(scored) // columns))
    inner, gap, left = 0.3 + 0.165 * (len(shown) + 1), 0.85, 1.4
    width, height = left + 2.15 * columns + 0.15, 0.42 + rows * (inner + gap) - gap + 0.4
    with figure_style(**{"axes.titlesize": 7.5}):
        figure = Figure(figsize=(width, height))
        for i, (study, finding) in enumerate(scored):
            row, column = divmod(i, columns)
            bottom = height - 0.42 - row * (inner + gap) - inner
            panel = figure.add_axes(((left + 2.15 * column) / width, bottom / height, 1.95 / width, inner / height))
            _draw_finding(panel, study, finding, shown, named=column == 0)
    return figure


def _draw_finding(panel: Axes, study: Study, published: Findings, shown: Sequence[Weighed], *, named: bool) -> None:
    """One finding on its own scale: the published row first, then one a mechanism."""
    panel.set_ylim(len(shown) + 0.6, -0.6)
    observed = published.observed or 0.0
    panel.axvline(0, color="#C3CAD2", linewidth=0.6, zorder=0)
    panel.axvline(observed, color=INK, linewidth=0.7, linestyle=(0, (4, 2)), zorder=1)
    panel.plot([observed], [0], marker="D", color=INK, markersize=4.5, linestyle="none", label="published")
    if interval := observed_interval(published):
        panel.plot(interval, [0, 0], color=INK, linewidth=1.4)
    for row, w in enumerate(shown, 1):
        found = next((f for f in w.findings if _same(f, published)), None)
        if found is None:
            continue
        colour = GREY if w.reference else LINES[0][0] if found.covered else LINES[1][0]
        panel.plot([found.low, found.high], [row, row], color=colour, linewidth=1.4)
        filled = colour if found.covered else "white"
        panel.plot([found.predicted], [row], "o", color=colour, markerfacecolor=filled, markersize=4.5, label=w.slug)
        panel.plot([found.fitted], [row], "|", color=INK, markersize=8, label=f"{w.slug} fitted")
    names = ["published", *(w.slug for w in shown)]
    panel.set_yticks(range(len(names)), names if named else [""] * len(names), fontsize=7)
    panel.tick_params(axis="y", length=0)
    panel.spines["left"].set_visible(False)
    panel.locator_params(axis="x", nbins=5)
    panel.set_xlabel(_unit(study, published), fontsize=7, labelpad=1)
    time = published.finding.time
    moment = "" if time is None else f", {format_time(time).replace(' ', NBSP)}"
    marked = " *" if study.role == CALIBRATING else ""
    panel.set_title("\n".join(wrap(f"{study.id}{marked}: {published.finding.id}{moment}", 34)), loc="left", pad=3)


def _same(one: Findings, other: Findings) -> bool:
    return (one.study, one.finding.id) == (other.study, other.finding.id)


def _unit(study: Study, found: Findings) -> str:
    """What the axis of a finding counts."""
    finding = found.finding
    if finding.kind == "responders":
        return "share of responders"
    what = f"{finding.scale or study.trial.scale}" if finding.output == "score" else finding.output
    if finding.kind == "standardised":
        return f"{what} [SD]"
    if finding.kind in RATIOS:
        return f"log {finding.kind.replace('_', ' ')}"
    return f"{what} [points]" if finding.output == "score" else what


# --- studies left out ------------------------------------------------------------------------------------------------


def plot_leave_one_out(weighing: Weighing) -> Figure | None:
    """The leader's lead over the second without each study, the most moving ones first; None with fewer than two."""
    from matplotlib.figure import Figure

    gap, gaps = leader_gap(weighing), gaps_without(weighing)
    if gap is None or not gaps or not math.isfinite(gap.value):
        return None
    shown, labels = gaps[:TORNADO], {s.id: study_label(s) for s in weighing.studies}
    with figure_style():
        height = 0.95 + 0.2 * len(shown)
        figure = Figure(figsize=(6.6, height))
        panel = figure.add_axes((1.65 / 6.6, 0.42 / height, 3.9 / 6.6, 1 - 0.9 / height))
        panel.set_xlim(*_span([gap, *(g.gap for g in shown)]))
        panel.set_ylim(len(shown) - 0.4, -0.6)
        _factor_axis(panel)
        panel.axvline(gap.value, color=INK, linewidth=0.9, linestyle=(0, (4, 2)))
        low, high = panel.get_xlim()
        for row, g in enumerate(shown):
            gain = g.change > 0
            end = g.gap.value if math.isfinite(g.gap.value) else high if g.gap.value > 0 else low
            panel.barh(
                row, end - gap.value, left=gap.value, height=0.62, color=LINES[0][0] if gain else "white",
                edgecolor=LINES[0][0] if gain else LINES[1][0], hatch="" if gain else "/////", linewidth=0.9,
                label=g.study,
            )  # fmt: skip
            if math.isfinite(g.gap.error):
                panel.plot([end - 2 * g.gap.error, end + 2 * g.gap.error], [row, row], color=INK, linewidth=0.8)
            panel.annotate(
                nat_text(g.gap), (1.03, row), xycoords=panel.get_yaxis_transform(), va="center", fontsize=7.5,
                annotation_clip=False,
            )  # fmt: skip
        panel.set_yticks(range(len(shown)), [labels.get(g.study, g.study) for g in shown])
        panel.tick_params(axis="y", length=0)
        best, second = weighing.rivals[:2]
        panel.set_xlabel(f"log partial Bayes factor of {best.slug} over {second.slug} [nat]")
    return figure


# --- captions --------------------------------------------------------------------------------------------------------


def draw_weighing(weighing: Weighing) -> tuple[Picture, ...]:
    """Every figure that the record has numbers for, with a label that tells it in words and a caption."""
    if not weighing.rivals:
        return ()
    best = weighing.rivals[0].slug
    pictures = [
        Picture("partials", svg_text(plot_partials(weighing), "weighing-partials", partials_label(weighing)), PARTIALS),
        Picture("over-time", svg_text(plot_over_time(weighing), "weighing-time", _time_label(weighing)), OVER_TIME),
    ]
    if scored_numbers(weighing):
        label = f"Published and predicted numbers of {len(scored_numbers(weighing))} findings; {best} leads"
        pictures.append(Picture("forest", svg_text(plot_forest(weighing), "weighing-forest", label), FOREST_CAPTION))
    if (figure := plot_leave_one_out(weighing)) is not None:
        pictures.append(_tornado(weighing, figure))
    return tuple(pictures)


PARTIALS = (
    "How much better than no mechanism each rival predicts the discriminating studies, once it has been fitted to the "
    "calibrating ones: log partial Bayes factor over the reference unexplained, in "
    "which every contrast is free. Right of the full line a rival does better than no "
    "mechanism. Diamonds: a class, its mechanisms averaged. Bars: two Monte-Carlo standard errors. Italic: references. "
    "An arrow at the edge stands for a number that is not finite."
)
OVER_TIME = (
    "What could be known when: log Bayes factor over unexplained after each study in order of date, each predicted "
    "from those before it. Colours and the marks at the ends stand for classes, dashes tell the mechanisms of one "
    "apart. Grey columns and * are calibrating studies, + studies in animals or cells. Calibrating studies count here, "
    "so a line ends at the full Bayes factor and not at the partial one."
)
FOREST_CAPTION = (
    "Published numbers (diamond, dashed line; bar: 95 % interval from the published standard error, or from the one to "
    "be expected) beside what the first rivals and the reference predict, given the calibrating studies alone: median "
    "and 95 % interval of the result of such a trial, full where it holds the published number, hollow where not, grey "
    "for a reference. Tick: median given all studies. * is a calibrating study, which the prediction has seen. Each "
    "panel has a scale of its own; of contrasts a benefit is negative. Only findings that are scored and have a number."
)


def partials_label(weighing: Weighing) -> str:
    """The main figure told in words."""
    shown = ", ".join(f"{w.slug} {nat_text(over_unexplained(weighing, w))}" for w in ranked(weighing))
    return f"Log partial Bayes factors over unexplained, in nat: {shown}"


def _time_label(weighing: Weighing) -> str:
    ends = {w.slug: running(weighing, w)[-1] for w in ranked(weighing) if w.slug != UNEXPLAINED}
    shown = ", ".join(f"{slug} {value:+.1f}" for slug, value in ends.items())
    return f"Log Bayes factors over unexplained after each of {len(weighing.studies)} studies; at the end {shown} nat"


def _tornado(weighing: Weighing, figure: Figure) -> Picture:
    best, second = (w.slug for w in weighing.rivals[:2])
    gaps, gap = gaps_without(weighing), leader_gap(weighing) or Number(math.nan, math.nan)
    others = len(gaps) - TORNADO
    rest = f" {others} further studies move it less." if others > 0 else ""
    caption = (
        f"How the lead of {best} over {second} hangs on single studies: log partial Bayes factor without each one, "
        f"the most moving first. Dashed: with all ({nat_text(gap)}). Hatched bars: the lead shrinks without the study; "
        "beyond the full line the order turns. Thin lines: two Monte-Carlo standard errors of the shortened number, "
        f"not of the change, which is known better because both are read from the same draws.{rest}"
    )
    label = f"Lead of {best} over {second} without each study; most moving: " + ", ".join(
        f"{g.study} {nat_text(g.gap)}" for g in gaps[:4]
    )
    return Picture("leave-one-out", svg_text(figure, "weighing-left-out", label), caption)
