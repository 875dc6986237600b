"""The report of a verdict: one HTML file that asks no host for anything, and one picture of all rivals.

Files are written whole under another name beside the target, then renamed; the same verdict gives the same bytes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .design_figures import chance_span, chance_text, figure_text
from .errors import join_words
from .figures import agreement, plot_finding, plot_overview, plot_scenes, scene_title, svg_text
from .files import write_text
from .matrix import source_key
from .planning.information import Figure
from .units import format_number, format_time
from .verdict import SCENES
from .weighing_figures import (
    CALIBRATING,
    TOP,
    UNEXPLAINED,
    alone_scores,
    compared,
    draw_weighing,
    error_factor,
    factor_text,
    gaps_without,
    leader_gap,
    less,
    moving_sweeps,
    nat_text,
    over_best,
    over_unexplained,
    probability_errors,
    ranked,
    relative_scores,
    row_title,
    rows_over_leader,
    study_label,
)

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

    from .claim import Claim
    from .claims import ClaimResult
    from .condition import Condition, Probe
    from .matrix import Matrix
    from .posterior.answer import Findings, Learned, Number, Weighing
    from .replay import Replay
    from .study import Finding
    from .verdict import MechanismVerdict, Verdict

DUST = 1e-9  # share of its scale below which a number is what rounding leaves
SOLVED = 1e-6  # the same of a number that a solver's tolerance carries
SMALLEST = 1e-3  # points of the outcome, its share or logarithm: the least scale by which dust is told
PER_FIGURE = 4  # scenes that one figure of further scenes can hold and still be read
TEMPLATES = Path(__file__).parent / "templates"


def write_report(
    verdict: Verdict, path: Path, *, weighing: Weighing | None = None, ranking: Mapping[str, Any] | None = None
) -> Path:
    """Write the report as one HTML file and return its path. Raises ReportError and leaves nothing half-written.

    With a weighing the page also says how probable each rival is; with a kept ranking (plain values), which study next.
    """
    return write_text(path, _page(verdict, weighing, ranking))


def save_picture(verdict: Verdict, path: Path) -> Path:
    """Write the overview of all mechanisms as an SVG file, its letters drawn as shapes. Raises ReportError."""
    figure = plot_overview(verdict, _main_scenes(verdict))
    text = svg_text(figure, "overview", _overview_label(verdict), outlines=True)
    return write_text(path, f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n')


def write_matrix_page(matrix: Matrix, path: Path) -> Path:
    """Write claims x mechanisms as one HTML file and return its path. Raises ReportError."""
    template = page_environment().get_template("claims.html.j2")
    return write_text(path, template.render(matrix=matrix, settings=matrix.settings))


def write_weighing_page(weighing: Weighing, path: Path) -> Path:
    """Write how probable each rival is as one HTML file and return its path. Raises ReportError."""
    template = page_environment().get_template("weighing.html.j2")
    return write_text(path, template.render(**_weighing_parts(weighing), alone=True, settings=weighing.settings))


# --- what the page shows ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Drawing:
    """A figure as text: the SVG element and the caption below it."""

    svg: Markup
    caption: str


@dataclass(frozen=True, slots=True)
class ClaimRow:
    """One claim with the answer of every mechanism, None where it was not asked."""

    claim: Claim
    results: tuple[ClaimResult | None, ...]


@dataclass(frozen=True, slots=True)
class FindingRow:
    """One published finding with the prediction of every mechanism that replayed it, and its figure."""

    replays: tuple[Replay, ...]
    drawing: Drawing

    @property
    def first(self) -> Replay:
        """Any of them: what was published is the same in all."""
        return self.replays[0]

    def of(self, slug: str) -> Replay | None:
        """The prediction of one mechanism."""
        return next((r for r in self.replays if r.mechanism == slug), None)


def page_environment() -> Environment:
    """Templates with everything escaped, and the words and numbers that pages use."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": show_number,
        "percent": show_percent,
        "links": _links,
        "scale": _scale,
        "test": describe_test,
        "condition": describe_condition,
        "agreement": agreement,
        "interval": _interval,
        "observed": describe_observed,
        "answer": _answer,
        "separating": _separating,
        "source": source_key,
        "nat": _nat,
        "factor": _factor,
        "span": _span,
        "learned": _learned,
        "published": _published,
        "foretold": _foretold,
        "fitted": _fitted,
        "chance": chance_text,
        "chance_span": chance_span,
        "bits": lambda value, error: figure_text(Figure(_or_nan(value), _or_nan(error))),
        "groups": lambda rows: [(owner, list(some)) for owner, some in groupby(rows, key=lambda row: row.owner)],
    }
    return environment


def _page(verdict: Verdict, weighing: Weighing | None, ranking: Mapping[str, Any] | None) -> str:
    claims = _claim_rows(verdict)
    weighed = {"weighing": None} if weighing is None else _weighing_parts(weighing)
    return (
        page_environment()
        .get_template("verdict.html.j2")
        .render(
            verdict=verdict,
            mechanisms=verdict.mechanisms,
            settings=verdict.settings,
            claims=claims,
            broken=[r for row in claims for r in row.results if r is not None and not r.holds and r.separating],
            overview=_overview(verdict),
            scenes={answer.slug: _scene_drawings(verdict, answer) for answer in verdict.mechanisms},
            findings=_finding_rows(verdict),
            alone=False,
            designs=ranking,
            **weighed,
        )
    )


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _main_scenes(verdict: Verdict) -> Mapping[str, str]:
    return dict(list(verdict.scenes.items())[:SCENES])


def _overview_label(verdict: Verdict) -> str:
    names = ", ".join(answer.slug for answer in verdict.mechanisms)
    return f"Over time, one row for each of {names}: {', '.join(column.title for column in verdict.columns)}"


def _overview(verdict: Verdict) -> Drawing:
    scenes = _main_scenes(verdict)
    caption = (
        f"Every mechanism under the same doses ({join_words(map(scene_title, scenes.values()))}). "
        "Lines: the typical patient at nominal values. Shaded: 5 to 95 % of prior draws. Columns share one scale. "
        "The time axis is stretched near the dose, so that hours and days are both seen; strokes mark the times of "
        "dosing, 0 is the reference dose."
    )
    return _drawing(svg_text(plot_overview(verdict, scenes), "overview", _overview_label(verdict)), caption)


def _scene_drawings(verdict: Verdict, answer: MechanismVerdict) -> tuple[Drawing, ...]:
    """The mechanism's curves under the main scenes, then under further ones, a few at a time."""
    main = _main_scenes(verdict)
    others = [name for name in verdict.scenes if name not in main and name in answer.curves.arm]
    groups = [list(main), *(others[i : i + PER_FIGURE] for i in range(0, len(others), PER_FIGURE))]
    drawings = []
    for i, names in enumerate(groups):
        scenes = {name: verdict.scenes[name] for name in names}
        titles = join_words(map(scene_title, scenes.values()))
        label = f"{answer.title}: curves over time for {titles}"
        svg = svg_text(plot_scenes(answer, scenes), f"{answer.slug}-{i}", label)
        lost = (
            ""
            if answer.calibrated
            else " Its outcome scale cannot be calibrated, so the score shows the nearest reached."
        )
        caption = (
            f"{answer.title} ({answer.slug}): {titles}. Lines: the typical patient at nominal values. Shaded, where "
            "drawn: 5 to 95 % of prior draws. Strokes mark the times of dosing; each panel has a scale of its own."
            f"{lost}"
        )
        drawings.append(_drawing(svg, caption))
    return tuple(drawings)


def _drawing(svg: str, caption: str) -> Drawing:
    from markupsafe import Markup

    return Drawing(Markup(svg), caption)


def _claim_rows(verdict: Verdict) -> tuple[ClaimRow, ...]:
    """Claims asked of all, in the order of the case."""
    by_mechanism = [{r.claim.id: r for r in answer.claims} for answer in verdict.mechanisms]
    known = {id_: result.claim for results in by_mechanism for id_, result in results.items()}
    return tuple(ClaimRow(claim, tuple(results.get(id_) for results in by_mechanism)) for id_, claim in known.items())


def _finding_rows(verdict: Verdict) -> tuple[FindingRow, ...]:
    """Published findings, each with what every mechanism predicts."""
    grouped: dict[tuple[str, str], list[Replay]] = {}
    for replay in (r for answer in verdict.mechanisms for r in answer.replays):
        grouped.setdefault((replay.study, replay.finding.id), []).append(replay)
    rows = []
    for i, replays in enumerate(grouped.values()):
        first = replays[0]
        words = ", ".join(f"{r.mechanism} {agreement(r)}" for r in replays)
        label = f"{first.text}; published {describe_observed(first)}; {words}"
        shown = "" if first.observed is None else " (dashed; grey band: its 95 % interval where published)"
        caption = (
            f"{first.text}. Published: {describe_observed(first)}{shown}. Rows: median and 95 % predictive "
            "interval of each mechanism, "
            + (
                "grey, since nominal values were solved from it."
                if first.calibrates
                else "full where it agrees, hollow where not."
            )
        )
        rows.append(
            FindingRow(tuple(replays), _drawing(svg_text(plot_finding(replays), f"finding-{i}", label), caption))
        )
    return tuple(rows)


# --- a weighing ------------------------------------------------------------------------------------------------------


def _weighing_parts(weighing: Weighing) -> dict[str, Any]:
    """What the template of a weighing shows, read from the record as the tables and figures read it."""
    everyone, shown = ranked(weighing), compared(weighing)
    free = weighing.weighed(UNEXPLAINED).partial
    errors = {prior: probability_errors(weighing, prior) for prior in weighing.probabilities}
    classes = sorted(weighing.classes.items(), key=lambda item: -item[1].value)
    scores = {w.slug: relative_scores(weighing, w) for w in everyone if w.slug != UNEXPLAINED}
    return {
        "weighing": weighing,
        "ranked": everyone,
        "compared": shown,
        "rivals": weighing.rivals,
        "leading": weighing.rivals[:TOP],
        "calibrating": CALIBRATING,
        "over": {w.slug: over_unexplained(weighing, w) for w in everyone},
        "behind": {w.slug: over_best(weighing, w) for w in everyone},
        "full_over": {w.slug: less(w.log_marginal, weighing.weighed(UNEXPLAINED).log_marginal) for w in everyone},
        "errors": errors,
        "classes": [(group, number, less(number, free), less(number, classes[0][1])) for group, number in classes],
        "rows": {name: (row_title(weighing, name), cells) for name, cells in rows_over_leader(weighing).items()},
        "gap": leader_gap(weighing),
        "gaps": gaps_without(weighing),
        "sweeps": moving_sweeps(weighing.rivals[0]) if weighing.rivals else (),
        "scores": scores,
        "lone": {w.slug: alone_scores(weighing, w) for w in everyone if w.slug != UNEXPLAINED},
        "labels": {s.id: study_label(s) for s in weighing.studies},
        "foretellings": _foretellings(weighing),
        "pictures": {p.name: _drawing(p.svg, p.caption) for p in draw_weighing(weighing)},
    }


def _foretellings(weighing: Weighing) -> dict[tuple[str, str], dict[str, Findings]]:
    """(study, finding) -> mechanism -> what it predicts, in order of date."""
    order = [s.id for s in weighing.studies]
    found: dict[tuple[str, str], dict[str, Findings]] = {}
    for w in compared(weighing):
        for f in w.findings:
            found.setdefault((f.study, f.finding.id), {})[w.slug] = f
    return dict(sorted(found.items(), key=lambda item: order.index(item[0][0])))


def _nat(number: Number | None) -> str:
    """A log with its error, with a true minus."""
    return "" if number is None else _true_minus(nat_text(number))


def _factor(number: Number) -> str:
    """A Bayes factor with its error as a factor on either side."""
    text = _true_minus(factor_text(number.value))
    if number.error == 0 or not math.isfinite(number.value):
        return text
    return f"{text} (\N{MULTIPLICATION SIGN}\N{DIVISION SIGN}\N{NO-BREAK SPACE}{error_factor(number.error)})"


def _span(shares: Sequence[float]) -> str:
    """The range of a probability [%]."""
    low, high = (show_number(100 * share, 2) for share in (min(shares), max(shares)))
    return f"{low} %" if low == high else f"{low} to {high} %"


def _learned(learned: Learned) -> str:
    """One number by its name, several with their loadings."""
    if len(learned.parameters) == 1:
        return learned.parameters[0]
    pairs = zip(learned.loadings, learned.parameters, strict=True)
    return _true_minus(" ".join(f"{loading:+.2f} {name}" for loading, name in pairs))


def _published(found: Findings) -> str:
    """A published number with its standard error, or what was said in words."""
    finding = found.finding
    if found.observed is not None:
        error = "" if found.error is None else f" ± {show_number(found.error, 2)}"
        return f"{show_number(found.observed)}{error}"
    if finding.kind == "none_different":
        return "no difference"
    side = {1: "more than 0", -1: "less than 0"}.get(finding.sign or 0, "no number")
    return f"{side}{', significant' if finding.significant else ''}"


def _foretold(found: Findings) -> str:
    """Median and 95 % interval of what is predicted."""
    scale = _scale_of(found.finding, found.low, found.high, found.observed)
    middle, low, high = (show_number(drop_dust(v, scale, SOLVED), 2) for v in (found.predicted, found.low, found.high))
    return f"{middle} ({low} to {high})"


def _fitted(found: Findings) -> str:
    """Median given all studies; what is nothing beside the interval of such a trial is 0."""
    scale = _scale_of(found.finding, found.low, found.high, found.observed)
    return show_number(drop_dust(found.fitted, scale, SOLVED), 2)


def _scale_of(finding: Finding, low: float, high: float, observed: float | None) -> float:
    """The scale of a finding's numbers; one of another output than the outcome may be in any unit, however large."""
    return max(abs(low), abs(high), abs(observed or 0.0), SMALLEST if finding.output == "score" else 0.0)


def _true_minus(text: str) -> str:
    return text.replace("inf", "\N{INFINITY}").replace("-", "\N{MINUS SIGN}")


# --- words and numbers -----------------------------------------------------------------------------------------------


def show_number(value: float | None, digits: int = 3) -> str:
    """A number to a few digits, with a true minus; `unknown` where there is none.

    >>> show_number(0.012345), show_number(-1234.5), show_number(12.0), show_number(None)
    ('0.0123', '\N{MINUS SIGN}1234', '12', 'unknown')
    """
    if value is None or not math.isfinite(value):
        return "unknown"
    size = abs(value)
    text = f"{value:.0f}" if 10**digits <= size < 1e6 else f"{value:.{digits}g}"
    return text.replace("-", "\N{MINUS SIGN}")


def drop_dust(value: float, scale: float, share: float = DUST) -> float:
    """0 in place of what rounding leaves: a value below this share of its scale.

    >>> drop_dust(-2.2e-15, 0.91), drop_dust(4e-9, 0.91), drop_dust(3e-12, 5e-12)
    (0.0, 4e-09, 3e-12)
    """
    return 0.0 if abs(value) < share * scale else value


def show_percent(share: float, error: float | None = None) -> str:
    """A share as per cent, with its Monte-Carlo error.

    >>> show_percent(0.875, 0.0074), show_percent(0.4), show_percent(1.0, 0.0)
    ('87.5 ± 0.7 %', '40 %', '100 % (all)')
    """
    if not math.isfinite(share):
        return "unknown"
    if error is not None and share in (0, 1):  # an error of 0 would claim too much
        return "100 % (all)" if share else "0 % (none)"
    return f"{100 * share:.0f} %" if error is None else f"{100 * share:.1f} ± {100 * error:.1f} %"


def describe_condition(condition: Condition) -> str:
    """Regimen and probes of a claim's condition in words; `no drug` where there is neither."""
    return "; ".join([*([condition.regimen] if condition.regimen else []), *map(_probe, condition.probes)]) or "no drug"


def _probe(probe: Probe) -> str:
    if probe.set is not None:
        what = f"{probe.parameter} = {show_number(probe.set)}"
    elif probe.by:
        size = "" if probe.scale is None else f"{show_number(probe.scale)} x "
        what = f"{probe.parameter} = {size}{probe.by}"
    else:
        what = probe.name if probe.scale is None else f"{probe.parameter} x {show_number(probe.scale)}"
    since = "" if probe.start is None else f" from {format_time(probe.start)}"
    return what + since + ("" if probe.until is None else f" until {format_time(probe.until)}")


def describe_test(claim: Claim) -> str:
    """What a claim measures and demands, in one line."""
    if claim.at is not None:
        when = f"at {format_time(claim.at)}"
    else:
        begin, end = claim.within or (0.0, 0.0)
        word = {"max": "largest from", "min": "smallest from", "mean": "mean from"}.get(
            claim.statistic, "at the end of"
        )
        when = f"{word} {format_time(begin)} to {format_time(end)}"
    margin = format_number(claim.margin)
    demand = {
        "rises": f"rises by {margin} or more",
        "falls": f"falls by {margin} or more",
        "stays": f"stays within ±{margin}",
        "at_least": f"is at least {show_number(claim.value)}",
        "at_most": f"is at most {show_number(claim.value)}",
    }[claim.relation]
    how = {"ratio": " (relative)", "share": " (share of the reference's change)"}.get(claim.measure, "")
    return f"{claim.output} {demand}{how}, {when}"


def _answer(result: ClaimResult) -> str:
    """Holds or broken, and why where the margin alone does not tell."""
    if result.holds:
        return "holds"
    if not math.isfinite(result.measured):
        return "broken: no value"
    return "broken: not calibrated" if result.margin >= 0 else "broken"


def _separating(result: ClaimResult) -> str:
    """Parameters that most part holding from broken draws, and which way the claim wants them."""
    return ", ".join(
        f"{s.parameter} {'high' if s.higher_holds else 'low'} ({s.distance:.2f})" for s in result.separating
    )


def _scale(answer: MechanismVerdict) -> str:
    if not answer.calibrated:
        return "cannot be calibrated"
    if answer.reference:
        return "no effect to scale"
    return f"solved: {show_number(answer.scale)}" + (", outside its prior" if answer.outside_prior else "")


def _interval(replay: Replay) -> str:
    if not math.isfinite(replay.predicted):
        return "no prediction"
    scale = _scale_of(replay.finding, replay.low, replay.high, replay.observed)
    middle, low, high = (
        show_number(drop_dust(v, scale, SOLVED), 2) for v in (replay.predicted, replay.low, replay.high)
    )
    return f"{middle} ({low} to {high})"


def describe_observed(replay: Replay) -> str:
    """What was published: a value with its interval, a bare value, or a side."""
    if replay.observed is None:
        side = {1: "more than 0", -1: "less than 0"}.get(replay.finding.sign or 0)
        return f"{side}, size not published" if side else "no number"
    value = f"{show_number(replay.observed)} {replay.unit}".rstrip()
    if replay.finding.kind == "none_different":
        return "no difference"
    if replay.observed_low is None or replay.observed_high is None:
        return value
    return f"{value} ({show_number(replay.observed_low)} to {show_number(replay.observed_high)})"


def _links(text: str) -> Markup:
    """Text with its DOIs and web addresses as plain links, everything else escaped."""
    from markupsafe import Markup, escape

    parts, end = [], 0
    for found in re.finditer(r"https?://[^\s<>\"]+|\b10\.\d{4,9}/[^\s<>\"]+", text):
        shown = found[0].rstrip(".,;)")
        target = shown if shown.startswith("http") else f"https://doi.org/{shown}"
        parts += [
            escape(text[end : found.start()]),
            Markup('<a rel="noreferrer" href="{}">{}</a>').format(target, shown),
        ]
        end = found.start() + len(shown)
    return Markup("").join([*parts, escape(text[end:])])
