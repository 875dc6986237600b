"""A model report as one HTML page: numbered headings, tables and figures, citations, and what prints well."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from .diagram import plot_diagram
from .figures import svg_text
from .files import write_text
from .identifiability import FELT, KNOWN, LOADING, SLIGHT, TIED
from .kernel.rodas5p import ORDER
from .model_equations import math_symbol
from .model_figures import TOP, comparable, leading, plot_indices, plot_predictions
from .parameters import Parameter, Prior
from .replay import REPLAY_TOLERANCES, describe_finding
from .report import Drawing, page_environment, show_number
from .sensitivity import LEVEL
from .simulation import UNIT_SCALE
from .units import format_time
from .verdict import DESCRIBED_MARK
from .verification import TIGHTER

if TYPE_CHECKING:
    from markupsafe import Markup

    from .model_report import Chapter, ModelReport
    from .sensitivity import Sensitivity


@dataclass
class Numbering:
    """Counts tables and figures as they are written, so that their numbers have no gaps."""

    counts: Counter[str] = field(default_factory=Counter)

    def __call__(self, kind: str) -> str:
        """`Table 1`, `Table 2`, ..."""
        self.counts[kind] += 1
        return f"{kind}\N{NO-BREAK SPACE}{self.counts[kind]}"


@dataclass
class Outline:
    """Numbers headings as they are written, and lists them for the contents: level, number, title, anchor."""

    entries: list[tuple[int, str, str, str]] = field(default_factory=list)
    count: list[int] = field(default_factory=lambda: [0, 0])

    def __call__(self, level: int, title: str) -> Markup:
        """A heading of level 2 or 3 with its number."""
        from markupsafe import Markup

        if level == 2:
            self.count = [self.count[0] + 1, 0]
            number = f"{self.count[0]}"
        else:
            self.count[1] += 1
            number = f"{self.count[0]}.{self.count[1]}"
        anchor = f"s{number.replace('.', '-')}"
        self.entries.append((level, number, title, anchor))
        return Markup('<h{0} id="{1}"><span class="number">{2}</span> {3}</h{0}>').format(level, anchor, number, title)


@dataclass
class Citations:
    """Turns the keys of a bibliography into links, and remembers which were cited."""

    texts: Mapping[str, str]
    used: set[str] = field(default_factory=set)
    _pattern: re.Pattern[str] | None = None

    def __post_init__(self) -> None:
        """Look for long keys first."""
        keys = "|".join(re.escape(key) for key in sorted(self.texts, key=len, reverse=True))
        self._pattern = re.compile(rf"(?<![\w-])(?:{keys})(?![\w-])") if keys else None

    def __call__(self, text: str) -> Markup:
        """The text, escaped, with each key as a link to its entry."""
        from markupsafe import Markup, escape

        if self._pattern is None:
            return escape(text)
        parts, end = [], 0
        for found in self._pattern.finditer(text):
            self.used.add(found[0])
            parts += [
                escape(text[end : found.start()]),
                Markup('<a href="#ref-{0}">{0}</a>').format(found[0]),
            ]
            end = found.end()
        return Markup("").join([*parts, escape(text[end:])])

    @property
    def entries(self) -> list[tuple[str, str]]:
        """Cited keys with their texts, by key."""
        return [(key, self.texts[key]) for key in sorted(self.used)]


def write_model_report(report: ModelReport, path: Path) -> Path:
    """Write a report as one HTML file that asks no host for anything, and return its path. Raises ReportError."""
    return write_text(path, render_report(report))


def render_report(report: ModelReport) -> str:
    """The page as text."""
    environment = page_environment()
    cite = Citations(report.bibliography)
    environment.filters |= {
        "cite": cite,
        "prose": lambda text: _prose(text, cite),
        "marked": lambda text: _marked(text, cite),
        "rationale": join_comments,
        "prior": describe_prior,
        "spread": describe_spread,
        "exact": exact_number,
        "symbol": _symbol,
        "mathml": _trusted,
        "place": lambda p: _place(report, p),
        "told": describe_finding,
        "hours": format_time,
        "share": show_share,
        "capitalised": lambda text: text[:1].upper() + text[1:],
    }
    figures = {c.slug: _figures(c, report) for c in report.chapters}
    return environment.get_template("report.html.j2").render(
        report=report,
        described_mark=DESCRIBED_MARK,
        case=report.case,
        settings=report.settings,
        number=Numbering(),
        heading=Outline(),
        citations=cite,
        figures=figures,
        leading=leading,
        comparable=comparable,
        rest=sum_rest,
        constants=_CONSTANTS,
        packaged=report.case.packaged,
    )


_CONSTANTS: Mapping[str, object] = {
    "order": ORDER,
    "amounts": UNIT_SCALE["nmol"],
    "replayed": REPLAY_TOLERANCES,
    "tighter": TIGHTER,
    "felt": FELT,
    "known": KNOWN,
    "slight": SLIGHT,
    "loading": LOADING,
    "tied": TIED,
    "level": LEVEL,
}
"""What the text says of methods, as the methods have it."""


def sum_rest(found: Sensitivity) -> tuple[int, float, float]:
    """How many numbers are not named, and their first and total orders together."""
    rest = found.indices[TOP:]
    return len(rest), sum(i.first for i in rest), sum(i.total for i in rest)


# --- figures ---------------------------------------------------------------------------------------------------------


def _figures(chapter: Chapter, report: ModelReport) -> dict[str, list[Drawing]]:
    """Pictures of a chapter: its diagram, its sensitivities, its predictions; none where there is nothing to draw."""
    slug, title = chapter.slug, chapter.wiring.title
    found: dict[str, list[Drawing]] = {"diagram": [], "sensitivity": [], "predictions": []}
    if edges := chapter.wiring.edges:
        told = "; ".join(
            f"{chapter.labels[e.source]} {'raises' if e.sign > 0 else 'lowers'} {chapter.labels[e.target]}"
            for e in edges
        )
        svg = svg_text(plot_diagram(edges, chapter.labels), f"diagram-{slug}", f"{title}: {told}")
        found["diagram"].append(_drawing(svg, ""))
    for i, one in enumerate(chapter.sensitivity):
        if one.indices:
            label = "; ".join(f"{k.parameter} {k.first:.2f} and {k.total:.2f}" for k in leading(one))
            label = f"{title}, {one.title}: first and total order of {label}"
            found["sensitivity"].append(_drawing(svg_text(plot_indices(one), f"sobol-{slug}-{i}", label), one.title))
    if chapter.weighed is not None and (shown := comparable(chapter.weighed.findings)):
        calibrating = {s.id for s in report.case.studies.values() if s.role == "calibrating"}
        label = f"{title}: {sum(bool(f.covered) for f in shown)} of {len(shown)} published numbers within the interval"
        svg = svg_text(plot_predictions(chapter.weighed.findings, calibrating), f"predictions-{slug}", label)
        found["predictions"].append(_drawing(svg, ""))
    return found


def _drawing(svg: str, caption: str) -> Drawing:
    return Drawing(_trusted(svg), caption)


def _trusted(text: str) -> Markup:
    """Text that this package made and escaped itself."""
    from markupsafe import Markup

    return Markup(text)


# --- words and numbers -----------------------------------------------------------------------------------------------


def describe_prior(prior: Prior | None) -> str:
    """A prior in words; empty where a number is fixed.

    >>> describe_prior(Prior("log-uniform", (0.5, 8)))
    'log-uniform, 0.5 to 8'
    """
    if prior is None:
        return ""
    first, second = (exact_number(v) for v in prior.parameters)
    return {
        "normal": f"normal, mean {first}, SD {second}",
        "log-normal": f"log-normal, median {show_number(prior.median)}, SD of the logarithm {second}",
        "beta": f"beta, exponents {first} and {second}",
    }.get(prior.distribution, f"{prior.distribution}, {first} to {second}")


def describe_spread(parameter: Parameter) -> str:
    """Spread between subjects in words; empty where there is none."""
    if not parameter.bsv:
        return ""
    return f"{show_number(100 * parameter.bsv)}\N{NO-BREAK SPACE}%, {parameter.bsv_distribution}"


def exact_number(value: float) -> str:
    """A number with every digit that its table holds."""
    return f"{value:.12g}".replace("-", "\N{MINUS SIGN}")


def show_share(value: float, error: float | None = None) -> str:
    """A share of the variance, with the half-width of its interval.

    >>> show_share(0.1234, 0.02), show_share(-0.001)
    ('0.12 ± 0.02', '0.00')
    """
    text = f"{value + 0.0:.2f}".replace("-0.00", "0.00").replace("-", "\N{MINUS SIGN}")
    return text if error is None else f"{text} ± {error:.2f}"


def _symbol(name: str) -> Markup:
    return _trusted(math_symbol(name))


def _place(report: ModelReport, parameter: Parameter) -> str:
    """File and line of a number within its case."""
    for parent in (report.case.folder, report.case.folder.resolve()):
        if parameter.file.startswith(str(parent)):
            return f"{parameter.file.removeprefix(str(parent)).lstrip('/')}, line {parameter.line}"
    return f"line {parameter.line}"


def _prose(text: str, cite: Citations) -> Markup:
    """Paragraphs of a plain text with **strong** and `code`; its headings are left out."""
    from markupsafe import Markup

    paragraphs = []
    for block in re.split(r"\n\s*\n", text.strip()):
        lines = [line.strip() for line in block.splitlines() if not line.startswith("#")]
        if lines:
            paragraphs.append(Markup("<p>{}</p>").format(_marked(" ".join(lines), cite)))
    return Markup("\n").join(paragraphs)


def join_comments(lines: Sequence[str]) -> list[tuple[str, str]]:
    """Comments of a model text as paragraphs (`why`) and, where a line is indented, formulas as sketched (`sketch`).

    >>> join_comments(["A brake that", "meets another.", "  b = x/y", "needs: x"])
    [('why', 'A brake that meets another.'), ('sketch', 'b = x/y'), ('why', 'needs: x')]
    """
    found: list[tuple[str, str]] = []
    for line in lines:
        kind, text = ("sketch" if line.startswith("  ") else "why"), line.strip()
        begins = re.match(r"(needs|gives):", text) or not found or found[-1][0] != kind
        if kind == "sketch" or begins or found[-1][1].endswith((".", ":")):
            found.append((kind, text))
        else:
            found[-1] = (kind, f"{found[-1][1]} {text}")
    return [(kind, text) for kind, text in found if text]


def _marked(text: str, cite: Citations) -> Markup:
    from markupsafe import Markup

    parts: Sequence[str] = re.split(r"(\*\*[^*]+\*\*|`[^`]+`)", text)
    shown = []
    for part in parts:
        if part.startswith("**") and part.endswith("**") and len(part) > 4:
            shown.append(Markup("<strong>{}</strong>").format(part[2:-2]))
        elif part.startswith("`") and part.endswith("`") and len(part) > 2:
            inner = cite(part[1:-1])
            shown.append(inner if "<a " in inner else Markup("<code>{}</code>").format(inner))
        else:
            shown.append(cite(part))
    return Markup("").join(shown)
