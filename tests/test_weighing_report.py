"""What a weighing shows: every number of the record, with its error, in each face and the same in all."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import xarray as xr
from command import run_command
from html_page import Page
from matplotlib.axes import Axes
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from rich.console import Console
from typer.testing import CliRunner

from antagony.case import Case, open_case
from antagony.cli import app
from antagony.condition import Condition
from antagony.errors import CaseError, PosteriorError, ReportError
from antagony.posterior.answer import Findings, Learned, Number, Part, Sweep, Weighed, Weighing
from antagony.posterior.sentences import main_sentences
from antagony.posterior.storage import read_answer
from antagony.report import write_report
from antagony.study import Arm, Design, Finding, Study, Trial
from antagony.verdict import MechanismVerdict, Settings, Verdict
from antagony.weighing_figures import (
    gaps_without,
    observed_interval,
    plot_forest,
    plot_leave_one_out,
    plot_over_time,
    plot_partials,
    probability_errors,
    running,
    spread_apart,
)
from antagony.weighing_report import WEIGHING_ENDINGS, plan_weighing, print_weighing, weighing_table, write_weighing

HOSTILE = "<script>alert('x')</script> & \"quoted\""
RIVALS = {"opioid_potentiation": "iii", "gated_surge": "ii", "nmda_rest": "iv"}
PARTIALS = {"opioid_potentiation": (-41.3, 0.21), "gated_surge": (-43.9, 0.47), "nmda_rest": (-math.inf, math.inf)}
FREE = -45.5
STUDIES = ("zarate_2006", "li_2010", "williams_2018", "bobon")
WEIGHTS = {"zarate_2006": 0.25, "li_2010": 0.125, "williams_2018": 0.5, "bobon": 0.125}
WANTED = (
    "probability bayes_factor full_probability log_marginal log_marginal_error calibrating partial partial_error "
    "classes prior_sweep leave_one_out studies in_turn rows row_titles findings learned structures variants sentences "
    "fragile skipped settings seconds budget until"
)


def a_finding(name: str, kind: str = "contrast", **changes: object) -> Finding:
    base = Finding(
        id=name, kind=kind, arms=("a", "b"), output="score", scale="MADRS", score_max=60, time=24.0, within=None,  # type: ignore[arg-type]
        statistic="last", value=None, se=None, sd=(), n=(), k=None, share=None, threshold=None, sign=None,
        significant=None, p_below=None, grades={}, source="s", primary=True, calibrates=False, note="",
    )  # fmt: skip
    return replace(base, **changes)  # type: ignore[arg-type]


FINDINGS = {
    ("zarate_2006", "change_24h"): a_finding("change_24h"),
    ("li_2010", "rapamycin_blocks"): a_finding("rapamycin_blocks", "direction", sign=1),
    ("williams_2018", "responders_24h"): a_finding("responders_24h", "responders", k=7, n=(12,)),
    ("williams_2018", "hamd_24h"): a_finding("hamd_24h"),
    ("bobon", "efficacy_4wk"): a_finding("efficacy_4wk", "none_different", margin=3.0),
}


def a_study(name: str, date: str, role: str = "discriminating", species: str = "human") -> Study:
    arms = tuple(Arm(i, i, Condition(), 12, "read", None, "", "") for i in ("a", "b"))
    design = Design("parallel", "adults", "double", arms)
    found = tuple(f for (study, _), f in FINDINGS.items() if study == name)
    title = f"Study {name} {HOSTILE}"
    return Study(name, title, "10.1/x", date, name, (), role, design, Trial("MADRS"), found, "", species)  # type: ignore[arg-type]


def predictions(shift: float) -> tuple[Findings, ...]:
    def one(study: str, name: str, observed: float | None, error: float | None, scored: bool = True) -> Findings:
        middle = (observed or 0.0) + shift
        finding = FINDINGS[study, name]
        return Findings(study, finding, scored, observed, error, middle, middle - 2.5, middle + 2.5, middle + 0.3, 0.21)

    return (
        one("zarate_2006", "change_24h", -7.7, 2.2),
        one("li_2010", "rapamycin_blocks", None, None),
        one("williams_2018", "responders_24h", 7 / 12, None),
        one("williams_2018", "hamd_24h", 1.5, 3.1, scored=False),
        one("bobon", "efficacy_4wk", None, 4.0),
    )


def a_weighed(slug: str, order: int) -> Weighed:
    """Numbers that tell which mechanism, study and row they belong to."""
    value, error = PARTIALS.get(slug, (FREE, 0.0) if slug == "unexplained" else (-47.2, 0.03))
    reference = slug not in RIVALS
    unlike = 0.37 * order
    number = Number(value, error)
    each = {s: Number(value * w - unlike if math.isfinite(value) else value, error) for s, w in WEIGHTS.items()}
    known = not reference
    return Weighed(
        slug=slug, title=f"title of {slug} {HOSTILE}", group=RIVALS.get(slug, ""), reference=reference,
        log_marginal=Number(value - 8.25, error), calibrating=Number(-8.25, 0.05), partial=number,
        scores=each, in_turn=each,
        leave_one_out={s: Number(value - n.value if math.isfinite(value) else value, error) for s, n in each.items()},
        alone={s: Number(n.value + 0.21 * order, error) for s, n in each.items()},
        rows={"no_animals": Number(value + 1 + unlike, error), "unexplained_2": Number(value - 3, error)}
        if slug == "unexplained" else {"no_animals": Number(value + 1 + unlike, error), "equal": number},
        structures=(Part(slug, 1.0, 1.0, number),) if known else (),
        variants=(Part("tone=mixed", 0.5, 0.8, number), Part("tone=ligand", 0.5, 0.2, number)) if known else (),
        sweeps=tuple(Sweep("opioid_tone", p, Number(value + d, error)) for p, d in (("lower", -1.9), ("upper", 0.8)))
        if known else (),
        learned=(Learned(("opioid_tone",), (1.0,), 0.31, 1.4, 0.07, 0.52, 0.21, 0.93),
                 Learned(("pka_brake_half",), (1.0,), 0.99, 0.02, 0.07, 1.0, 0.5, 2.0),
                 Learned(("opioid_tone", "pka_brake_half"), (0.8, -0.6), 0.12, 0.4, 0.07)) if known else (),
        findings=predictions(3.1 * order) if slug != "unexplained" else (),
        draws=0 if slug == "unexplained" else 2048, counting=math.inf if slug == "unexplained" else 97.4,
        tempered=640 if known else 0, failed=3 if slug == "gated_surge" else 0,
    )  # fmt: skip


@pytest.fixture(scope="module")
def weighing() -> Weighing:
    """Three rivals in three classes, one of them impossible; none and unexplained; four studies, one in animals."""
    order = {slug: i for i, slug in enumerate((*RIVALS, "none", "unexplained"))}
    shares = {"opioid_potentiation": 0.93, "gated_surge": 0.07, "nmda_rest": 0.0}
    settings = Settings(6144, None, 5, 1e-6, 1e-8, "0.1.0", "0123456789abcdef", ("k1",), "cc (GCC) 12", 61.0)
    return Weighing(
        title=f"A case {HOSTILE}", question=f"Which one? {HOSTILE}",
        mechanisms=tuple(a_weighed(slug, i) for slug, i in order.items()),
        classes={group: Number(*PARTIALS[slug]) for slug, group in RIVALS.items()},
        class_titles={"ii": "upstream", "iii": "through opioid receptors", "iv": "opioid-free"},
        probabilities={"by_class": shares, "by_need": shares | {"opioid_potentiation": 0.88, "gated_surge": 0.12}},
        full={"by_class": shares, "by_need": shares}, prior_titles={"by_class": "equal by class", "by_need": "half"},
        studies=(a_study("bobon", "1988"), a_study("zarate_2006", "2006", "calibrating"),
                 a_study("li_2010", "2010", species="rat"), a_study("williams_2018", "2018-12")),
        skipped={"newport_2015": f"the same people {HOSTILE}"},
        row_titles={"base": "as the rules say", "no_animals": "without signs in animals", "equal": "no grade doubted"},
        until="2018", sentences=(f"A sentence that leads {HOSTILE}.", "The studies hardly tell."),
        fragile=("Leaving out bobon matters.",), assumed_rules=23, effort="quick", budget="5 structures, 27 courses",
        seconds={"models": 12.0, "answers": 7.0}, settings=settings,
    )  # fmt: skip


def without_rivals(weighing: Weighing) -> Weighing:
    references = tuple(w for w in weighing.mechanisms if w.reference)
    return replace(weighing, mechanisms=references, classes={}, probabilities={}, full={})


def shown(weighing: Weighing, width: int) -> str:
    console = Console(file=StringIO(), width=width, color_system=None)
    print_weighing(weighing, console)
    return console.file.getvalue()  # type: ignore[attr-defined]


# --- plain values ----------------------------------------------------------------------------------------------------


def test_json_holds_every_key_and_no_number_that_json_lacks(weighing: Weighing) -> None:
    table = weighing_table(weighing)
    assert set(WANTED.split()) <= set(table)
    assert json.loads(json.dumps(table, allow_nan=False)) == table
    assert table["partial"]["nmda_rest"] is None and table["partial_error"]["nmda_rest"] is None
    assert table["mechanisms"]["unexplained"]["counting"] is None


def test_json_bayes_factors_are_those_of_the_partials(weighing: Weighing) -> None:
    table = weighing_table(weighing)
    factor = table["bayes_factor"]["gated_surge"]
    assert factor == {"value": pytest.approx(math.exp(-43.9 + 45.5)), "log": pytest.approx(1.6), "error": 0.47}
    assert table["bayes_factor"]["nmda_rest"] == {"value": 0.0, "log": None, "error": None}
    assert table["classes"]["iii"]["bayes_factor"]["log"] == pytest.approx(4.2)
    assert table["probability"]["by_need"] == {"opioid_potentiation": 0.88, "gated_surge": 0.12, "nmda_rest": 0.0}


def test_json_keeps_studies_rows_sweeps_and_findings_apart(weighing: Weighing) -> None:
    table = weighing_table(weighing)
    assert [s["id"] for s in table["studies"]] == ["bobon", "zarate_2006", "li_2010", "williams_2018"]
    assert table["studies"][2]["species"] == "rat" and table["studies"][1]["role"] == "calibrating"
    score = table["studies"][3]["log_score"]["gated_surge"]
    assert score == {"value": pytest.approx(-43.9 * 0.5 - 0.37), "error": 0.47}
    alone = table["studies"][3]["log_score_alone"]["gated_surge"]
    assert alone == {"value": pytest.approx(-43.9 * 0.5 - 0.37 + 0.21), "error": 0.47}
    assert table["leave_one_out"]["williams_2018"]["gated_surge"]["value"] == pytest.approx(-43.9 + 43.9 * 0.5 + 0.37)
    steps = [(-43.9 + 45.5) * WEIGHTS[s["id"]] + 0.37 * 3 for s in table["studies"]]
    assert table["in_turn"]["gated_surge"] == pytest.approx(np.cumsum(steps).tolist())
    assert table["in_turn"]["nmda_rest"] == [None] * 4
    sweep = table["prior_sweep"]["gated_surge"][0]
    assert sweep == {"parameter": "opioid_tone", "part": "lower", "partial": pytest.approx(-45.8), "error": 0.47} | {
        "change": pytest.approx(-1.9)
    }
    assert set(table["rows"]) == set(table["row_titles"]) == {"base", "no_animals", "equal", "unexplained_2"}
    assert table["rows"]["no_animals"]["opioid_potentiation"]["value"] == pytest.approx(-40.3)
    found = {(f["study"], f["finding"]): f for f in table["findings"]}
    assert len(found) == len(FINDINGS)
    responders = found["williams_2018", "responders_24h"]
    assert responders["observed"] == pytest.approx(7 / 12)
    assert responders["mechanisms"]["gated_surge"]["covered"] is False
    assert found["li_2010", "rapamycin_blocks"]["observed"] is None
    assert [item["is_learned"] for item in table["learned"]["gated_surge"]] == [True, False, True]


def test_errors_of_probabilities_are_those_of_simulated_partials() -> None:
    settings = Settings(1, None, 1, 1e-6, 1e-8, "", "", (), "", 0.0)
    logs, errors = np.array([0.0, -0.7, -1.9]), np.array([0.05, 0.08, 0.03])
    noisy = np.exp(logs + errors * np.random.default_rng(7).standard_normal((20_000, 3)))
    wanted = (noisy / noisy.sum(axis=1, keepdims=True)).std(axis=0)
    shares = np.exp(logs) / np.exp(logs).sum()
    made = tuple(
        replace(a_weighed(slug, 0), partial=Number(float(v), float(e)))
        for slug, v, e in zip(RIVALS, logs, errors, strict=True)
    )
    record = Weighing(
        title="", question="", mechanisms=made, classes={}, class_titles={}, full={}, prior_titles={}, studies=(),
        probabilities={"flat": dict(zip(RIVALS, shares.tolist(), strict=True))}, skipped={}, row_titles={}, until="",
        sentences=(), fragile=(), assumed_rules=0, effort="", budget="", seconds={}, settings=settings,
    )  # fmt: skip
    found = probability_errors(record, "flat")
    np.testing.assert_allclose([found[s] for s in RIVALS], wanted, rtol=0.05)  # SE of an SD from 20,000 is 0.5 %


# --- terminal --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [80, 120, 200])
def test_tables_fit_the_terminal_and_lose_nothing(weighing: Weighing, width: int) -> None:
    lines = shown(weighing, width).splitlines()
    assert max(map(len, lines)) <= width
    assert not [line for line in lines if "…" in line]


def test_every_mechanism_stands_in_the_main_table_with_its_errors(weighing: Weighing) -> None:
    text = shown(weighing, 80)
    table = text[text.index("Rivals, most probable") : text.index("Classes")]
    rows = {line.split()[0]: " ".join(line.split()) for line in table.splitlines() if line.split()}
    assert rows["opioid_potentiation"] == "opioid_potentiation iii +4.2 ±0.2 1 88-93 ±5 -49.5 ±0.2 97"
    assert rows["gated_surge"] == "gated_surge ii +1.6 ±0.5 1/13 */1.7 7-12 ±5 -52.1 ±0.5 97"
    assert rows["nmda_rest"] == "nmda_rest iv -inf 0 <1 -inf 97"
    assert rows["unexplained"].startswith("unexplained (ref.) +0.00 1/67 */1.2")
    order = [line.split()[0] for line in table.splitlines() if re.match(r" [a-z_]+ ", line)][1:]
    assert order[:3] == ["opioid_potentiation", "gated_surge", "unexplained"] and order[-1] == "nmda_rest"


def test_sentences_settings_and_fragility_are_printed(weighing: Weighing) -> None:
    text = " ".join(shown(weighing, 100).split())
    for sentence in (*weighing.sentences, *weighing.fragile):
        assert " ".join(sentence.split()) in text
    assert text.index("A sentence that leads") < text.index("Rivals, most probable first")
    for words in (
        "effort quick: 5 structures, 27 courses", "seed 5", "case 0123456789abcdef", "models 12 s", "No dosing advice",
        "4 studies, 1 of them calibrating, up to 2018", "1 not weighed", "3 failed", "1920 tempered",
        "without signs in animals", "0.31 ±0.07", "0.52 (0.21 to 0.93)", "+0.80 opioid_tone -0.60 pka_brake_half",
        "tone=mixed 50->80 %", "li_2010 +",
        "One study alone: log BF over unexplained [nat], the 3 that part these most",
        "williams_2018 +2.7 ±0.2 +1.3 ±0.5 -inf -0.69 ±0.03",
    ):  # fmt: skip
        assert words in text, words


def test_studies_that_move_the_lead_most_come_first(weighing: Weighing) -> None:
    gaps = gaps_without(weighing)
    lead = PARTIALS["opioid_potentiation"][0] - PARTIALS["gated_surge"][0]
    wanted = {s: -(lead * w + 0.37) for s, w in WEIGHTS.items()}
    assert {g.study: pytest.approx(g.change) for g in gaps} == wanted
    assert [g.study for g in gaps][:2] == ["williams_2018", "zarate_2006"]
    assert gaps[0].gap.error == pytest.approx(math.hypot(0.21, 0.47))


@pytest.mark.parametrize("width", [80, 140])
def test_references_alone_are_shown_without_a_leader(weighing: Weighing, width: int) -> None:
    alone = without_rivals(weighing)
    text = shown(alone, width)
    assert "unexplained (ref.)" in text and "none (ref.)" in text
    assert json.dumps(weighing_table(alone), allow_nan=False)


def test_no_colour_leaves_plain_text(weighing: Weighing, monkeypatch: pytest.MonkeyPatch) -> None:
    def coloured() -> bool:
        console = Console(file=StringIO(), width=80, force_terminal=True)
        print_weighing(weighing, console)
        return re.search(r"\x1b\[[0-9;]*3[0-9]", console.file.getvalue()) is not None  # type: ignore[attr-defined]

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    assert not coloured()


# --- figures ---------------------------------------------------------------------------------------------------------


def drawn(figure: Figure) -> dict[str, Line2D]:
    """Marks of a figure by name."""
    lines = [line for panel in figure.axes for line in panel.lines]
    return {str(line.get_label()): line for line in lines if not str(line.get_label()).startswith("_")}


def first(line: Line2D) -> float:
    return float(np.asarray(line.get_xdata(), dtype=float)[0])


def test_partials_are_drawn_where_the_record_says(weighing: Weighing) -> None:
    marks = drawn(plot_partials(weighing))
    assert first(marks["opioid_potentiation"]) == pytest.approx(4.2)
    assert first(marks["gated_surge"]) == pytest.approx(1.6)
    assert first(marks["none"]) == pytest.approx(-1.7) and first(marks["unexplained"]) == 0
    assert first(marks["class ii: upstream"]) == pytest.approx(1.6)
    panel = plot_partials(weighing).axes[0]
    lost = marks["nmda_rest"]
    assert lost.get_marker() == "<" and first(lost) == pytest.approx(panel.get_xlim()[0])
    assert len(marks) == len(weighing.mechanisms) + len(weighing.classes)
    ends = [np.asarray(line.get_xdata(), dtype=float) for line in panel.lines]
    spans = sorted(float(np.ptp(x)) for x in ends if x.size == 2)
    assert spans[-1] == pytest.approx(4 * 0.47) and spans[-3] == pytest.approx(4 * 0.21)
    assert panel.child_axes[0].get_xticklabels()[0].get_text() in ("1/10", "1/100", "1")


def test_lines_over_time_add_up_the_studies_in_order(weighing: Weighing) -> None:
    figure = plot_over_time(weighing)
    lines = drawn(figure)
    assert set(lines) == {*RIVALS, "none"}
    for slug in ("opioid_potentiation", "gated_surge", "none"):
        values = np.asarray(lines[slug].get_ydata(), dtype=float)
        assert values.tolist() == pytest.approx(running(weighing, weighing.weighed(slug)))
    assert np.isnan(np.asarray(lines["nmda_rest"].get_ydata(), dtype=float)).all()
    ticks = [t.get_text() for t in figure.axes[0].get_xticklabels()]
    assert ticks == ["bobon 1988", "zarate_2006 *", "li_2010 +", "williams_2018"]
    ends = {t.get_text().partition(",")[0]: t.get_position()[1] for t in figure.axes[0].texts}
    assert set(ends) == {*RIVALS, "none", "unexplained"}
    places = sorted(ends.values())
    low, high = figure.axes[0].get_ylim()
    least = min(b - a for a, b in pairwise(places)) / (high - low) * 3.4 * 72
    assert least > 9  # [pt] between names of 7.5 pt


def test_labels_keep_their_order_and_their_distance() -> None:
    rng = np.random.default_rng(3)
    values = rng.normal(size=30).tolist()
    places = spread_apart(values, 0.2)
    assert np.argsort(places, kind="stable").tolist() == np.argsort(values, kind="stable").tolist()
    assert np.diff(np.sort(places)).min() >= 0.2 - 1e-9
    assert spread_apart([0.0, 3.0, 9.0], 1.0) == [0.0, 3.0, 9.0]


def panels_of(figure: Figure) -> dict[str, Axes]:
    return {" ".join(panel.get_title(loc="left").split()): panel for panel in figure.axes}


def test_findings_are_drawn_as_published_and_predicted(weighing: Weighing) -> None:
    panels = panels_of(plot_forest(weighing))
    assert list(panels) == ["zarate_2006 *: change_24h, 24 h", "williams_2018: responders_24h, 24 h"]
    for panel, observed in zip(panels.values(), (-7.7, 7 / 12), strict=True):
        lines = {str(x.get_label()): x for x in panel.lines}
        assert first(lines["published"]) == pytest.approx(observed)
        for order, slug in enumerate((*RIVALS, "none")):
            assert first(lines[slug]) == pytest.approx(observed + 3.1 * order)
            assert first(lines[f"{slug} fitted"]) == pytest.approx(observed + 3.1 * order + 0.3)
        assert lines["gated_surge"].get_markerfacecolor() == "white"
        assert lines["opioid_potentiation"].get_markerfacecolor() != "white"


def test_intervals_of_published_numbers() -> None:
    contrast, _, responders, *_ = predictions(0.0)
    assert observed_interval(contrast) == pytest.approx((-7.7 - 1.96 * 2.2, -7.7 + 1.96 * 2.2))
    assert observed_interval(responders) == pytest.approx((0.3195, 0.8067), abs=1e-3)  # wilson_1927, 7 of 12
    assert observed_interval(predictions(0.0)[1]) is None


def test_a_bar_for_each_study_left_out(weighing: Weighing) -> None:
    figure = plot_leave_one_out(weighing)
    assert figure is not None
    panel = figure.axes[0]
    bars = {str(c.get_label()): c.patches[0] for c in panel.containers if isinstance(c, BarContainer)}
    assert list(bars) == [g.study for g in gaps_without(weighing)] and len(bars) == 4
    for gap in gaps_without(weighing):
        bar = bars[gap.study]
        assert isinstance(bar, Rectangle)
        assert bar.get_x() == pytest.approx(2.6) and bar.get_width() == pytest.approx(gap.change)
        assert bar.get_hatch() == ("/////" if gap.change < 0 else "")
    labels = [t.get_text() for t in panel.get_yticklabels()]
    assert labels[:2] == ["williams_2018", "zarate_2006 *"] and set(labels[2:]) == {"li_2010 +", "bobon 1988"}


def test_no_figure_of_a_lead_where_nobody_leads(weighing: Weighing) -> None:
    assert plot_leave_one_out(without_rivals(weighing)) is None


# --- files -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def written(weighing: Weighing, tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_weighing(weighing, tmp_path_factory.mktemp("weigh") / "weigh.html").read_text(encoding="utf-8")


def a_verdict() -> Verdict:
    settings = Settings(10, 2, 1, 1e-6, 1e-8, "0.1.0", "0123456789abcdef", (), "cc", 1.0)
    times = {"arm": ["ketamine"], "time": [0.0, 2.0, 24.0]}
    curves = xr.Dataset({"score": (("arm", "draw", "subject", "time"), np.ones((1, 1, 1, 3)))}, times)
    bands = xr.Dataset(
        {"score": (("arm", "quantile", "time"), np.ones((1, 2, 3)))}, times | {"quantile": [0.05, 0.95]}
    )
    one = MechanismVerdict(
        "nmda_rest", "resting block", "A statement.", "opioid-free", False, 12.0, True, False, 1.0, 1.0, (), (), (),
        0, 0, 41, 132, (), curves, bands,
    )  # fmt: skip
    scenes = {"ketamine": "ketamine alone: ketamine 0.5 mg/kg iv"}
    return Verdict("A case", "Which?", "No dosing advice.", scenes, (one,), (), (), (), (), settings)


def check_page(text: str) -> Page:
    """What holds for a page on its own and for a verdict that includes it."""
    page = Page(text)
    assert page.open == []
    assert text.lstrip().startswith("<!DOCTYPE html>") and text.count("<html") == 1
    assert "<script" not in text and "&lt;script&gt;" in text
    assert not {"script", "link", "img", "iframe", "object", "base"} & {tag for tag, _ in page.tags}
    assert not re.findall(r"@import|url\((?!#)", text)
    assert not [a for _, a in page.tags if a.get("src") or any(name.startswith("on") for name in a)]
    tags = [tag for tag, _ in page.tags]
    assert tags.count("figure") == tags.count("figcaption") >= 4
    assert tags.count("table") == tags.count("caption") > 5
    levels = [int(tag[1]) for tag in tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids))
    assert {a["href"][1:] for tag, a in page.tags if tag == "a" and a["href"].startswith("#")} <= set(ids)
    return page


def test_the_page_is_whole_alone_and_escaped(weighing: Weighing, written: str) -> None:
    page = check_page(written)
    captions = re.findall(r"</svg></div>\s*<figcaption>([^<]+)</figcaption>", written)
    assert len(captions) == written.count("<figure") == 4 and min(map(len, captions)) > 150
    assert {a["id"] for tag, a in page.tags if tag == "h2"} >= {"weighing-answer", "weighing-rules"}


def test_the_page_tells_every_number_with_its_error(weighing: Weighing, written: str) -> None:
    text = Page(written).text
    for words in (
        *weighing.sentences, *weighing.fragile, weighing.question, "the same people", "5 structures, 27 courses",
        "gated_surge ii +1.6 ±0.5 1/13 (×÷ 1.7) 7 to 12 % ± 5.4 −52.1 ±0.5",  # noqa: RUF001
        "+4.2 ±0.2", "88 to 93 %", "23 of its numbers are assumed", "0.31 ± 0.07",
        "variance", "97 of 2048 and 640 tempered; 3 failed", "chance 0.21", "no dosing advice",
        "through opioid receptors", "Study li_2010", "tone=mixed", "without signs in animals", "−∞", "alone +1.3 ±0.5",  # noqa: RUF001
    ):  # fmt: skip
        assert " ".join(words.split()) in text.replace("\N{NO-BREAK SPACE}", " "), words


def test_a_verdict_includes_the_weighing_where_there_is_one(weighing: Weighing, tmp_path: Path) -> None:
    plain = write_report(a_verdict(), tmp_path / "plain.html").read_text(encoding="utf-8")
    assert "weighing-" not in plain
    text = write_report(a_verdict(), tmp_path / "both.html", weighing=weighing).read_text(encoding="utf-8")
    page = check_page(text)
    assert "How probable each rival is" in page.text and text.count("<style>") == 1
    assert {"scoreboard", "weighing-answer", "weighing-rivals", "curves"} <= {a.get("id") for _, a in page.tags}


def test_a_verdict_says_first_how_probable_each_rival_is(weighing: Weighing, tmp_path: Path) -> None:
    text = write_report(a_verdict(), tmp_path / "both.html", weighing=weighing).read_text(encoding="utf-8")
    page = check_page(text)
    heads = [a["id"] for tag, a in page.tags if tag in ("h2", "h3") and "id" in a]
    wanted = [
        "weighing-answer", "weighing-fragile", "weighing-rivals", "answer", "scoreboard", "fragile", "curves", "claims",
        "findings", "weighing-hangs", "weighing-studies", "weighing-rules", "studies",
    ]  # fmt: skip
    assert [name for name in heads if name in wanted] == wanted
    assert next(a["href"] for tag, a in page.tags if tag == "a") == "#weighing-answer"
    alone = Page(write_report(a_verdict(), tmp_path / "plain.html").read_text(encoding="utf-8"))
    heads = [a["id"] for tag, a in alone.tags if tag == "h2" and "id" in a]
    assert heads[:4] == ["answer", "scoreboard", "fragile", "curves"]


def test_the_terminal_says_first_how_probable_each_rival_is(
    weighing: Weighing, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    answer = replace(a_verdict(), fragile=("A claim turns.",))
    monkeypatch.setattr("antagony.verdict.reach_verdict", lambda *_, **__: answer)
    monkeypatch.setattr("antagony.posterior.storage.read_answer", lambda *_, **__: weighing)
    monkeypatch.setattr("antagony.design_report.read_ranking", lambda *_, **__: None)
    done = CliRunner().invoke(app, ["verdict", "--out", str(tmp_path / "v.html")])
    assert done.exit_code == 0, done.output
    wanted = (
        answer.question, "How probable each rival is", "What that hangs on:", "Findings replayed", "antagony design",
        "Fragile:", "report: ",
    )  # fmt: skip
    places = [done.output.index(words) for words in wanted]
    assert places == sorted(places)


def test_what_rounding_leaves_is_shown_as_nothing(weighing: Weighing, tmp_path: Path) -> None:
    first, *others = weighing.mechanisms
    dusty = replace(first.findings[0], fitted=-2.2e-15, predicted=4.7e-17, low=-0.9, high=0.4)
    molar = replace(first.findings[1].finding, output="plasma")  # a case may count in what it likes
    small = replace(first.findings[1], finding=molar, observed=None, fitted=3e-12, low=-5e-12, high=5e-12)
    none = replace(first.findings[2], observed=None, predicted=-3.6e-12, low=-4e-11, high=2.6e-11)
    changed = replace(first, findings=(dusty, small, none, *first.findings[3:]))
    path = write_weighing(replace(weighing, mechanisms=(changed, *others)), tmp_path / "w.html")
    text = Page(path.read_text(encoding="utf-8")).text
    assert re.search(r"e.1[57]\b", text) is None
    assert "0 (\N{MINUS SIGN}0.9 to 0.4)" in text and "fitted 0" in text and "fitted 3e\N{MINUS SIGN}12" in text
    assert "0 (0 to 0)" in text


def test_references_alone_have_a_page(weighing: Weighing, tmp_path: Path) -> None:
    text = write_weighing(without_rivals(weighing), tmp_path / "alone.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.open == [] and "unexplained" in page.text
    ids = {a["id"] for _, a in page.tags if "id" in a}
    assert {a["href"][1:] for tag, a in page.tags if tag == "a" and a["href"].startswith("#")} <= ids


def test_the_same_record_gives_the_same_bytes(weighing: Weighing, written: str, tmp_path: Path) -> None:
    assert write_weighing(weighing, tmp_path / "again.html").read_text(encoding="utf-8") == written


def test_rows_of_the_csv_bear_names(weighing: Weighing, tmp_path: Path) -> None:
    path = write_weighing(weighing, tmp_path / "weigh.csv")
    rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    assert len(rows) == 5 * 4
    found = {(r["study"], r["mechanism"]): r for r in rows}
    row = found["williams_2018", "gated_surge"]
    assert (row["date"], row["role"], row["species"], row["class"]) == ("2018-12", "discriminating", "human", "ii")
    assert float(row["log_score"]) == pytest.approx(-43.9 * 0.5 - 0.37) and float(row["log_score_error"]) == 0.47
    assert float(row["over_unexplained"]) == pytest.approx(1.6 * 0.5 + 0.37 * 3)
    assert float(row["alone"]) == pytest.approx(-43.9 * 0.5 - 0.37 + 0.21)
    assert float(row["partial_without"]) == pytest.approx(-43.9 * 0.5 + 0.37)
    assert float(found["li_2010", "nmda_rest"]["in_turn"]) == -math.inf


def test_json_and_picture_are_written(weighing: Weighing, tmp_path: Path) -> None:
    for ending in WEIGHING_ENDINGS:
        write_weighing(weighing, tmp_path / f"weigh{ending}")
    table = json.loads((tmp_path / "weigh.json").read_text(encoding="utf-8"))
    assert table == weighing_table(weighing)
    root = ElementTree.parse(tmp_path / "weigh.svg").getroot()
    assert "gated_surge +1.6 ±0.5" in root.attrib["aria-label"] and root.tag.endswith("svg")
    assert sorted(p.suffix for p in tmp_path.iterdir()) == sorted(WEIGHING_ENDINGS)


def test_an_unknown_ending_is_refused(weighing: Weighing, tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="unknown ending"):
        write_weighing(weighing, tmp_path / "weigh.pdf")
    assert list(tmp_path.iterdir()) == []


# --- command line ----------------------------------------------------------------------------------------------------


def test_the_command_explains_itself() -> None:
    result = CliRunner().invoke(app, ["weigh", "--help"])
    assert result.exit_code == 0
    for words in ("--effort", "--until", "--mechanism", "--seed", "--case", "--out", "--json", "antagony weigh"):
        assert words in result.output, words


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"effort": "thorogh"}, PosteriorError, 'did you mean "thorough"'),
        ({"until": "May 2018"}, PosteriorError, "year, month or day"),
        ({"mechanisms": ["camp_crostalk"]}, CaseError, 'did you mean "camp_crosstalk"'),
    ],
)
def test_what_cannot_be_run_is_said_before_the_work(
    case: Case, given: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=re.escape(words)):
        plan_weighing(case, **{"mechanisms": None, "effort": "quick", "until": None} | given)


def test_the_plan_counts_what_will_run(case: Case) -> None:
    plan = plan_weighing(case, ["camp_crosstalk", "none"], "quick", "2018")
    said = r"2 mechanisms in \d+ structures, \d+ courses of doses each, effort quick: \d+ (to \d+ )?draws"
    assert re.match(said, plan)


def test_the_command_weighs_prints_and_writes(
    weighing: Weighing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}

    def stand_in(case: Case, **given: Any) -> Weighing:  # noqa: ANN401
        asked.update(given)
        return weighing

    monkeypatch.setattr("antagony.posterior.weighing.weigh", stand_in)
    run: Callable[..., Any] = CliRunner().invoke
    out = tmp_path / "w.json"
    options = ["--mechanism", "none", "--effort", "quick", "--until", "2018", "--seed", "4", "--out", str(out)]
    result = run(app, ["weigh", *options])
    assert result.exit_code == 0, result.output
    assert "Rivals, most probable first" in result.output and out.is_file()
    assert {k: asked[k] for k in ("mechanisms", "effort", "until", "seed")} == {
        "mechanisms": ["none"], "effort": "quick", "until": "2018", "seed": 4,
    }  # fmt: skip
    result = run(app, ["weigh", "--mechanism", "none", "--json"])
    assert json.loads(result.stdout) == weighing_table(weighing)


def test_a_stored_answer_to_the_very_question_is_shown(monkeypatch: pytest.MonkeyPatch, weighing: Weighing) -> None:
    """Of this effort, seed, version and all rivals; anything else is computed, and so is the same with --anew."""
    computed: list[str] = []

    def stand_in(case: Case, **given: Any) -> Weighing:  # noqa: ANN401
        computed.append(given["effort"])
        return weighing

    monkeypatch.setattr("antagony.posterior.weighing.weigh", stand_in)
    monkeypatch.setattr("antagony.posterior.storage.keep_answer", lambda *_, **__: None)
    stored = run_command("weigh", "--json")
    assert stored.returncode == 0 and "--anew computes it again" in stored.stderr
    answer = read_answer(open_case(), ["standard"])
    assert answer is not None and json.loads(stored.stdout) == weighing_table(answer)
    assert not computed
    for more in (["--anew"], ["--seed", "2"], ["--until", "2018"], ["--mechanism", "none"], ["--effort", "thorough"]):
        computed.clear()
        assert "--anew" not in run_command("weigh", "--json", *more).stderr
        assert computed
    older = replace(answer, settings=replace(answer.settings, version="0.0.1"))
    monkeypatch.setattr("antagony.posterior.storage.read_answer", lambda *_: older)
    computed.clear()
    run_command("weigh", "--json")
    assert computed


# --- what an effort leaves out, and what too few draws can tell ------------------------------------------------------


def test_an_effort_without_alternatives_says_so_first_and_marks_the_rows(case: Case, tmp_path: Path) -> None:
    """nmda_rest has alternative equations, camp_crosstalk has none; standard leaves out nothing."""
    quick = plan_weighing(case, ["camp_crosstalk", "nmda_rest"], "quick", None)
    assert "quick weighs base equations only: nmda_rest has alternatives" in quick
    assert "base equations" not in plan_weighing(case, ["camp_crosstalk", "nmda_rest"], "standard", None)
    assert "base equations" not in plan_weighing(case, ["camp_crosstalk"], "quick", None)


def test_rows_without_their_alternatives_are_marked_in_every_face(weighing: Weighing, tmp_path: Path) -> None:
    left = replace(weighing, base_only=("gated_surge",))
    left = replace(left, sentences=main_sentences(left))
    assert left.sentences[0].startswith("The effort quick weighs base equations only: gated_surge has alternatives")
    text = shown(left, 100)
    assert text.index("weighs base equations only") < text.index("Rivals, most probable first")
    row = text[text.index("Rivals, most probable first") :]
    assert re.search(r"gated_surge[^\n]*\n\W*\(base only\)", row) and row.count("(base only)") == 2  # its class too
    assert "base only" not in shown(weighing, 100)
    page = write_weighing(left, tmp_path / "left.html").read_text(encoding="utf-8")
    assert re.search(r'<code>gated_surge</code> <span class="tag">base only</span>', page)
    assert "base only" not in write_weighing(weighing, tmp_path / "whole.html").read_text(encoding="utf-8")
    assert "gated_surge" in weighing_table(left)["base_only"] and "(base only)" in left._repr_html_()


@pytest.mark.parametrize(
    ("gap", "error", "counting", "said"),
    [
        (math.log(13), 0.05, 97.0, "The studies tell opioid_potentiation from gated_surge"),
        (math.log(13), 0.2, 97.0, "The studies hardly tell"),  # 13/exp(0.4) is 8.7
        (math.log(13), 0.05, 19.0, "Too few draws count (19 for gated_surge) to tell opioid_potentiation from gated_"),
        (math.log(2), 0.05, 97.0, "The studies cannot tell"),
    ],
)
def test_rivals_are_told_apart_only_by_enough_draws_and_beyond_the_error(
    weighing: Weighing, gap: float, error: float, counting: float, said: str
) -> None:
    first, second, *others = weighing.mechanisms
    partial = Number(first.partial.value - gap, error)
    first = replace(first, partial=Number(first.partial.value, 0.0))
    changed = replace(weighing, mechanisms=(first, replace(second, partial=partial, counting=counting), *others))
    (sentence,) = (s for s in main_sentences(changed) if "opioid_potentiation from gated_surge" in s)
    assert sentence.startswith(said), sentence
