"""What a ranking of designs shows: every number of the record, with its error, in each face and the same in all."""

from __future__ import annotations

import csv
import gzip
import json
import math
import pickle
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from io import StringIO
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import xarray as xr
from html_page import Page
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.lines import Line2D
from matplotlib.text import Text
from rich.console import Console
from typer.testing import CliRunner

from antagony import design_report
from antagony.case import Case
from antagony.cli import app
from antagony.design import REALISTIC, Plan, read_plan
from antagony.design_figures import control_faults, control_range, evidence_at, plot_information, plot_measurements
from antagony.design_report import (
    DESIGN_ENDINGS,
    Shown,
    announce_ranking,
    choose_plans,
    count_numbers,
    is_whole,
    keep_ranking,
    print_ranking,
    print_ranking_summary,
    print_shown,
    ranking_table,
    read_answered,
    read_ranking,
    shown_table,
    write_ranking,
    write_shown,
)
from antagony.errors import AntagonyError, ReportError, StudyError
from antagony.planning.answer import Measurement, Outcome, Ranked, Ranking
from antagony.planning.information import Evidence, Figure
from antagony.planning.ranking import Ask, count_assumed
from antagony.protocol import assumed_numbers, describe_plan
from antagony.report import write_report
from antagony.verdict import MechanismVerdict, Settings, Verdict

ROOT = Path(__file__).resolve().parent.parent
HOSTILE = "<script>alert('x')</script> & \"quoted\""
NAMES = ("two_by_two", "crossover_short", "rodent_naltrexone_nmda_blocker")
RIVALS = {"ii": {"gated_surge": 1.0}, "iii": {"opioid_release": 0.25, "direct_opioid": 0.75}, "iv": {"nmda_rest": 1.0}}
MEMBERS = ("gated_surge", "direct_opioid", "opioid_release", "nmda_rest")  # by rival, the greatest share first
GRID = (20, 80, 320)
FIRST = "name bits bits_error decisive decisive_error misleading misleading_error posterior posterior_error n"


def an_evidence(place: int, n: float, gain: float = 0.0) -> Evidence:
    """Numbers that tell which plan and which number of patients they belong to."""
    size = n if math.isfinite(n) else 50
    bits = 0.7 - 0.21 * place + size / 2000 + gain
    pairs = {
        (a, b): (0.11 + 0.1 * i + 0.01 * j, 0.001 * (1 + i + j))
        for i, a in enumerate(RIVALS)
        for j, b in enumerate(RIVALS)
        if a != b
    }
    decisive, misleading = Figure(0.31 - 0.1 * place + size / 1000, 0.012), Figure(0.012 + 0.02 * place, 0.003)
    return Evidence(n, Figure(bits, 0.031), 0.004, decisive, misleading, Figure(0.44 - 0.05 * place, 0.007), pairs)


def an_outcome(k: int, place: int) -> Outcome:
    middle = -2.25 * k + place
    return Outcome(middle, middle - 1, middle + 1.5, middle - 4, middle + 4.5)


def a_ranked(plan: Plan, place: int) -> Ranked:
    human = plan.is_human
    here = an_evidence(place, 100.0 if human else math.nan)
    advised = an_evidence(place, 212.0) if place == 0 else None
    curve = tuple(an_evidence(place, float(n)) for n in GRID) if human else ()
    outcomes = {
        e.id: {slug: an_outcome(k, place) for k, slug in enumerate(MEMBERS)} for e in plan.estimands
    }  # fmt: skip
    return Ranked(
        plan=plan, evidence=here, curve=curve, control=Figure((0.02, -0.01, -0.04)[place], 0.011), advised=advised,
        best=advised or (an_evidence(place, 320.0) if human else here), outcomes=outcomes,
        ignoring=replace(here, misleading=Figure(0.237, 0.01)) if human else None,
    )  # fmt: skip


def measurements_of(ranked: tuple[Ranked, ...]) -> tuple[Measurement, ...]:
    return tuple(
        Measurement(
            r.name, e.id, f"text of {r.name} {e.id} {HOSTILE}", "points" if r.plan.is_human else "probability",
            Figure(0.3 - 0.1 * place - 0.01 * j, 0.02), r.outcomes[e.id],
        )
        for place, r in enumerate(ranked)
        for j, e in enumerate(r.plan.estimands)
    )  # fmt: skip


@pytest.fixture(scope="module")
def ranking(case: Case) -> Ranking:
    """Three designs, one in animals, three rivals of four mechanisms, one design refused."""
    plans = [replace(case.designs[name], title=f"title of {name} {HOSTILE}") for name in NAMES]
    ranked = tuple(a_ranked(plan, i) for i, plan in enumerate(plans))
    settings = Settings(6144, None, 5, 1e-6, 1e-8, "0.1.0", "0123456789abcdef", ("k1",), "cc (GCC) 12", 61.0)
    return Ranking(
        title=f"A case {HOSTILE}", question=f"Which one? {HOSTILE}", ranked=ranked,
        refused={"kappa_antagonist_ketamine": f"no mechanism has kappa {HOSTILE}"}, rivals=RIVALS,
        titles={"ii": "upstream", "iii": "through opioid receptors", "iv": "opioid-free"}, pair=False, n=100.0,
        budget="", bound=12.0, aim=0.8, realism=REALISTIC, ignored=("carry_over",),
        counting={"gated_surge": 71.2, "direct_opioid": 93.0, "nmda_rest": 120.0}, assumed=17,
        sentences=("Run two_by_two with n = 212: it decides.", f"A second {HOSTILE}."), caveats=("It hangs on draws.",),
        seconds={"forecasts": 12.0}, settings=settings, measurements=measurements_of(ranked),
    )  # fmt: skip


def alone(ranking: Ranking, place: int) -> Shown:
    ranked = ranking.ranked[place]
    some = tuple(m for m in ranking.measurements if m.plan == ranked.name)
    return Shown(ranked.plan, replace(ranking, ranked=(ranked,), refused={}, measurements=some))


def refused(case: Case) -> Shown:
    return Shown(case.designs["kappa_antagonist_ketamine"], None, "no mechanism has kappa")


def said(show: Callable[[Console], None], width: int = 160) -> str:
    console = Console(file=StringIO(), width=width, color_system=None)
    show(console)
    return console.file.getvalue()  # type: ignore[attr-defined]


# --- plain values ----------------------------------------------------------------------------------------------------


def test_json_designs_are_a_list_in_order_with_the_promised_keys_first(ranking: Ranking) -> None:
    table = ranking_table(ranking)
    assert json.loads(json.dumps(table, allow_nan=False)) == table
    assert [row["name"] for row in table["designs"]] == [*NAMES]
    for row, ranked in zip(table["designs"], ranking.ranked, strict=True):
        assert list(row)[:10] == FIRST.split()
        e = ranked.evidence
        assert (row["bits"], row["bits_error"], row["decisive"]) == (e.bits.value, e.bits.error, e.decisive.value)
        assert (row["misleading"], row["posterior"]) == (e.misleading.value, e.posterior.value)
    assert [row["n"] for row in table["designs"]] == [100.0, 100.0, None]
    assert [row["bits_per_patient"] for row in table["designs"]][2] is None
    assert table["designs"][0]["visits"] == pytest.approx(100 * ranking.ranked[0].plan.cost)
    assert [row["advised_n"] for row in table["designs"]] == [212.0, None, None]


def test_json_keeps_curves_pairs_outcomes_and_what_was_ignored(ranking: Ranking) -> None:
    table = ranking_table(ranking, {"sources": [], "mechanisms": {}})
    first, _, animal = table["designs"]
    assert [point["n"] for point in first["curve"]] == [*GRID] and animal["curve"] == []
    assert first["curve"][2]["bits"] == pytest.approx(0.7 + 320 / 2000)
    pair = next(p for p in first["pairs"] if (p["truth"], p["other"]) == ("iii", "iv"))
    assert (pair["decisive"], pair["misleading"]) == (pytest.approx(0.23), pytest.approx(0.004))
    assert first["ignoring"]["misleading"] == 0.237 and animal["ignoring"] is None
    assert first["outcomes"]["interaction"]["opioid_release"]["median"] == pytest.approx(-4.5)
    assert table["refused"].keys() == {"kappa_antagonist_ketamine"}
    assert table["control"] == {"low": -0.04, "high": 0.02, "error": 0.011, "faults": [NAMES[2]]}
    assert table["rivals"]["iii"] == {"title": "through opioid receptors", "mechanisms": RIVALS["iii"]}
    assert len(table["measurements"]) == sum(len(r.plan.estimands) for r in ranking.ranked)
    assert table["measurements"][0]["outcomes"]["nmda_rest"]["result_high"] == pytest.approx(-6.75 + 4.5)


def test_one_plan_has_the_keys_of_a_ranking_and_its_protocol(ranking: Ranking, case: Case) -> None:
    table, bare = shown_table(alone(ranking, 0)), shown_table(refused(case))
    assert json.loads(json.dumps(table, allow_nan=False)) == table
    assert [row["name"] for row in table["designs"]] == ["two_by_two"]
    assert bare["designs"] == [] and bare["refused"] == {"kappa_antagonist_ketamine": "no mechanism has kappa"}
    assert table["protocol"]["patients"] == 260


def test_every_assumed_number_is_named_once(case: Case) -> None:
    """As many names as the engine counts, over all packaged designs."""
    counts = {name: (len(assumed_numbers(plan)), count_assumed(plan)) for name, plan in case.designs.items()}
    assert sum(named for named, _ in counts.values()) > 20
    assert {name: c for name, c in counts.items() if c[0] != c[1]} == {}


def test_a_protocol_tells_arms_doses_and_periods(case: Case) -> None:
    told = describe_plan(case.designs["crossover_short"])
    assert told["washout"] == "5 d" and told["patients"] == 26
    assert [arm["n"] for arm in told["arms"]] == [26, 26]  # each patient has both
    assert "naltrexone 50 mg po at -45 min" in told["arms"][0]["doses"]
    parallel = describe_plan(case.designs["two_by_two"])
    assert sum(arm["n"] for arm in parallel["arms"]) == parallel["patients"] == 260
    assert parallel["arms"][3]["doses"] == "no drug"
    assert any(text.startswith("dose 50 mg (may be 5 to 100 in steps of 5)") for text in parallel["variables"])
    animal = describe_plan(case.designs["rodent_pde4_ketamine"])
    assert animal["patients"] is None and animal["arms"][0]["n"] is None
    assert animal["arms"][2]["doses"] == "pde4_inhibitor"
    assert "people" not in animal["feasibility"]


def test_sources_and_assumed_numbers_are_those_of_the_composed_mechanism(ranking: Ranking, case: Case) -> None:
    small = replace(ranking, rivals={"iv": {"nmda_rest": 1.0}}, ranked=ranking.ranked[:1])
    numbers = count_numbers(case, small)
    mechanism = case.mechanism("nmda_rest", ["ketamine", "naltrexone"])
    assert numbers["mechanisms"] == {
        "nmda_rest": {"assumed": len(mechanism.assumed), "numbers": len(mechanism.parameters)}
    }
    known = sum(bool(p.source) for p in mechanism.parameters.values())
    assert sum(s["numbers"] for s in numbers["sources"]) == known > 10
    assert all(s["text"] != s["key"] for s in numbers["sources"])


# --- terminal --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [80, 120, 200])
def test_tables_fit_the_terminal_and_lose_nothing(ranking: Ranking, case: Case, width: int) -> None:
    shows: list[Callable[[Console], None]] = [
        lambda c: print_ranking(ranking, c),
        *(lambda c, i=i: print_shown(alone(ranking, i), c) for i in range(3)),
        lambda c: print_shown(refused(case), c),
        lambda c: print_ranking_summary(ranking_table(ranking), c),
    ]
    for show in shows:
        lines = said(show, width).splitlines()
        assert max(map(len, lines)) <= width
        assert not [line for line in lines if "…" in line]


def test_every_design_stands_in_the_table_with_its_numbers(ranking: Ranking) -> None:
    text = said(lambda c: print_ranking(ranking, c))
    table = text[text.index("Designs at 100 patients") : text.index("Rivals:")]
    rows = {line.split()[0]: " ".join(line.split()[1:]) for line in table.splitlines() if line.split()}
    assert rows["two_by_two"] == "0.75 (0.03) 0.41 0.012 0.44 100 0.0075 600 2 off 212"
    assert rows["crossover_short"] == "0.54 (0.03) 0.31 0.032 0.39 100 0.0054 1000 3 off -"
    assert rows["rodent_naltrexone_nmda_blocker"] == "0.30 (0.03) 0.16 0.052 0.34 - - - 1 ani -"
    narrow = [line.split() for line in said(lambda c: print_ranking(ranking, c), 80).splitlines()]
    assert ["crossover_short", "0.54", "(0.03)"] in [line[:3] for line in narrow]
    assert [line[0] for line in narrow if line and line[0] in ("rodent_", "naltrexone_", "nmda_blocker")][:3] == [
        "rodent_", "naltrexone_", "nmda_blocker",
    ]  # fmt: skip


def test_what_was_ignored_refused_and_controlled_is_said(ranking: Ranking) -> None:
    text = " ".join(said(lambda c: print_ranking(ranking, c)).split())
    for words in (
        "analysed as if there were no carry_over", "two_by_two 0.75 (0.03) 0.41 0.012 0.75 (0.03) 0.41 0.24",
        "kappa_antagonist_ketamine: no mechanism has kappa",
        "two identical rivals score -0.040 to 0.020 bits (greatest error 0.011)",
        "not within three errors of 0: rodent_naltrexone_nmda_blocker", "Bayes factor of the true rival over another",
        "passes 12", "seed 5", "case 0123456789abcdef", "forecasts 12 s", "No dosing advice",
        *ranking.sentences, *ranking.caveats,
    ):  # fmt: skip
        assert " ".join(words.split()) in text, words
    assert control_range(ranking) == (-0.04, 0.02, 0.011) and control_faults(ranking) == [NAMES[2]]
    assert text.index("Designs at 100") < text.index("Not ranked") < text.index("Control:") < text.index("What that")


def test_measurements_show_each_rival_by_its_greatest_mechanism(ranking: Ranking) -> None:
    text = said(lambda c: print_ranking(ranking, c))
    line = next(line for line in text.splitlines() if "two_by_two interaction" in line)
    assert line.split() == "0.30 (0.02) two_by_two interaction -4.0 to 4.5 -6.2 to 2.2 -10.8 to -2.2".split()
    assert "release" not in text[text.index("What would change") :].splitlines()[4]


def test_one_design_is_told_with_expected_outcomes_and_pairs(ranking: Ranking) -> None:
    text = " ".join(said(lambda c: print_shown(alone(ranking, 0), c)).split())
    for words in (
        "placebo, midazolam 65 no drug", "Patients in its file: 260", "Enrolled: MADRS at least 20 at screening",
        "* 100 0.75 (0.03) 0.41 0.012 0.44", "+ 212 0.81 (0.03) 0.52", "320 0.86 (0.03) 0.63",
        "opioid_release iii -4.5 -5.5 to -3.0 -8.5 to 0", "iii 0.21 / 0.002 0.23 / 0.004",
        "cue of the comparator in placebo_midazolam 0.5", "Numbers assumed (3)",
    ):  # fmt: skip
        assert words in text, words


def test_animals_have_signs_and_no_patients(ranking: Ranking) -> None:
    text = said(lambda c: print_shown(alone(ranking, 2), c))
    assert "signs alone are counted" in text and "sign to be seen" in text
    assert "Patients in its file" not in text and "95 % of a result" not in text


def test_a_refused_design_is_still_told(case: Case) -> None:
    text = " ".join(said(lambda c: print_shown(refused(case), c)).split())
    assert "Not to be asked of the mechanisms: no mechanism has kappa" in text
    assert "aticaprant, ketamine 40 ketamine 0.5 mg/kg iv over 40 min" in text and "bits" not in text


# --- figures ---------------------------------------------------------------------------------------------------------


def drawn(lines: list[Line2D]) -> dict[str, Line2D]:
    return {str(line.get_label()): line for line in lines if not str(line.get_label()).startswith("_")}


def along(line: Line2D) -> tuple[list[float], list[float]]:
    return [*np.asarray(line.get_xdata(), dtype=float)], [*np.asarray(line.get_ydata(), dtype=float)]


def test_curves_are_drawn_where_the_record_says(ranking: Ranking) -> None:
    above, below = plot_information(ranking).axes
    for panel, name in ((above, "bits"), (below, "misleading")):
        curves = drawn([*panel.lines])
        assert set(curves) == {*NAMES}
        for ranked in ranking.ranked[:2]:
            sizes, values = along(curves[ranked.name])
            assert sizes == [*GRID]
            assert values == pytest.approx([getattr(e, name).value for e in ranked.curve])
        animal = getattr(ranking.ranked[2].evidence, name).value
        assert set(along(curves[NAMES[2]])[1]) == {animal}
    assert above.get_xscale() == "log"
    marks = [along(line) for line in above.lines if line.get_marker() not in ("None", None, "")]
    assert ([100.0], [pytest.approx(0.75)]) in marks and ([212.0], [pytest.approx(0.806)]) in marks
    risk = [along(line) for line in below.lines]
    assert ([0.0, 1.0], [pytest.approx(1 / 12)] * 2) in risk  # the bound
    assert ([100.0], [pytest.approx(0.237)]) in risk  # the analysis that ignores
    assert below.get_ylim()[1] > 1 / 12


def test_names_of_many_curves_do_not_hide_one_another(ranking: Ranking, case: Case) -> None:
    plans = [replace(p, title="t") for p in case.designs.values() if p.is_human][:20]
    ranked = [a_ranked(plan, min(i, 1)) for i, plan in enumerate(plans)]
    small = [replace(e, bits=Figure(0.01, 0.01)) for e in ranked[1].curve]
    many = replace(ranking, ranked=(ranked[0], *(replace(r, curve=tuple(small)) for r in ranked[1:])))
    figure = plot_information(many)
    FigureCanvasAgg(figure).draw()
    names = {plan.id for plan in plans}
    boxes = [Text.get_window_extent(t) for t in figure.axes[0].texts if t.get_text() in names]  # without the arrow
    assert len(boxes) == len(plans)
    ends = sorted((box.y0, box.y1) for box in boxes)
    assert all(after[0] >= before[1] - 1 for before, after in pairwise(ends))
    assert ends[0][0] >= figure.axes[0].get_window_extent().y0 - 8


def test_an_error_that_is_huge_does_not_flatten_the_curves(ranking: Ranking) -> None:
    first = ranking.ranked[0]
    wild = replace(first, evidence=replace(first.evidence, bits=Figure(0.75, 20.0)))
    top = plot_information(replace(ranking, ranked=(wild, *ranking.ranked[1:]))).axes[0].get_ylim()[1]
    assert top < 1.5


def test_measurements_are_drawn_where_the_record_says(ranking: Ranking) -> None:
    figure = plot_measurements(ranking, ranking.measurements)
    assert len(figure.axes) == len(ranking.measurements)
    panel = figure.axes[0]
    marks = drawn([*panel.lines])
    assert list(marks) == [*MEMBERS]
    assert along(marks["opioid_release"]) == ([pytest.approx(-4.5)], [2.0])
    spans = [along(line)[0] for line in panel.lines if along(line)[1] == [2, 2]]
    assert spans == [[pytest.approx(-8.5), pytest.approx(0.0)], [pytest.approx(-5.5), pytest.approx(-3.0)]]
    assert [t.get_text() for t in panel.get_yticklabels()] == [
        "gated_surge (ii)", "direct_opioid (iii)", "opioid_release (iii)", "nmda_rest (iv)",
    ]  # fmt: skip
    assert "0.30 (0.02) bits" in panel.get_title(loc="left")


# --- pages and files -------------------------------------------------------------------------------------------------


def check_page(text: str) -> Page:
    page = Page(text)
    assert page.open == []
    assert text.lstrip().startswith("<!DOCTYPE html>") and text.count("<html") == 1
    assert "<script" not in text
    assert not {"script", "link", "img", "iframe", "object", "base"} & {tag for tag, _ in page.tags}
    assert not re.findall(r"@import|url\((?!#)", text)
    assert not [a for _, a in page.tags if a.get("src") or any(name.startswith("on") for name in a)]
    tags = [tag for tag, _ in page.tags]
    assert tags.count("figure") == tags.count("figcaption")
    assert tags.count("table") == tags.count("caption")
    levels = [int(tag[1]) for tag in tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids))
    assert {a["href"][1:] for tag, a in page.tags if tag == "a" and a["href"].startswith("#")} <= set(ids)
    assert "advises a patient" in page.text
    return page


NUMBERS = {
    "sources": [{"key": "smith_2001", "text": f"Smith 2001 10.1000/abc {HOSTILE}", "numbers": 7}],
    "mechanisms": {slug: {"assumed": 40 + i, "numbers": 130} for i, slug in enumerate(MEMBERS)},
}


def test_the_page_is_whole_and_tells_every_number(ranking: Ranking, tmp_path: Path) -> None:
    text = write_ranking(ranking, tmp_path / "d.html", NUMBERS).read_text(encoding="utf-8")
    page = check_page(text)
    assert "&lt;script&gt;" in text
    assert text.count("<figure") == 2 and text.count("<svg") == 2
    for words in (
        *ranking.sentences, *ranking.caveats, ranking.question, "0.75 (0.03)", "0.41 ± 0.01", "0.012 ± 0.003",
        "Advised", "212", "no mechanism has kappa", "not within three errors of 0", "0.24", "none to 320",
        "41 of 130", "93", "through opioid receptors", "smith_2001", "https://doi.org/10.1000/abc",
        "0.23 / 0.004", "17 numbers of these plans are assumed", "mean -5.5 to -3.0", "carry over on",
    ):  # fmt: skip
        shown = page.text + " ".join(a.get("href", "") for _, a in page.tags)
        assert " ".join(words.split()) in shown, words
    assert page.text.count("text of") == len(ranking.measurements)
    rows = Page(text[text.index('<h2 id="ranking">') : text.index('<h2 id="mind">')].partition("</section>")[0]).text
    assert "0.75 (0.03) 0.41 ± 0.01 0.012 ± 0.003 0.44 ± 0.01 100 0.0075 600 2, off label 212" in rows
    assert "0.30 (0.03) 0.16 ± 0.01 0.052 ± 0.003 0.34 ± 0.01 animals 1, animal" in rows


def test_a_page_without_measurements_numbers_or_curves_is_whole(ranking: Ranking, tmp_path: Path) -> None:
    animals = replace(ranking, ranked=ranking.ranked[2:], measurements=(), ignored=())
    page = check_page(write_ranking(animals, tmp_path / "a.html").read_text(encoding="utf-8"))
    assert "not counted" in page.text and "What would change our mind" not in page.text


@pytest.mark.parametrize("place", [0, 1, 2])
def test_the_page_of_one_plan_is_whole(ranking: Ranking, tmp_path: Path, place: int) -> None:
    shown = alone(ranking, place)
    page = check_page(write_shown(shown, tmp_path / "one.html", NUMBERS).read_text(encoding="utf-8"))
    assert f"title of {NAMES[place]}" in page.text and "Expected outcomes" in page.text
    assert ("Of studies in animals signs alone" in page.text) == (place == 2)


def test_the_page_of_a_refused_plan_says_why(case: Case, tmp_path: Path) -> None:
    page = check_page(write_shown(refused(case), tmp_path / "no.html").read_text(encoding="utf-8"))
    assert "no mechanism has kappa" in page.text and "aticaprant" in page.text


def test_the_same_record_gives_the_same_bytes(ranking: Ranking, tmp_path: Path) -> None:
    texts = {write_ranking(ranking, tmp_path / f"{i}.html").read_bytes() for i in range(2)}
    assert len(texts) == 1


def test_rows_of_the_csv_bear_names_and_numbers_of_patients(ranking: Ranking, tmp_path: Path) -> None:
    path = write_ranking(ranking, tmp_path / "d.csv")
    rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    found = {(r["name"], r["n"]): r for r in rows}
    assert len(found) == len(rows) == sum(len(evidence_at(r)) for r in ranking.ranked)
    assert [key[1] for key in found if key[0] == "two_by_two"] == ["20.0", "80.0", "100.0", "212.0", "320.0"]
    row = found["two_by_two", "320.0"]
    assert float(row["bits"]) == pytest.approx(0.86) and float(row["misleading_error"]) == 0.003
    assert [r["n"] for r in rows if r["asked"] == "True"] == ["100.0", "100.0", ""]
    assert (row["rank"], row["burden"], row["approval"]) == ("1", "2", "off_label")


def test_all_forms_are_written_and_others_refused(ranking: Ranking, case: Case, tmp_path: Path) -> None:
    for ending in DESIGN_ENDINGS:
        write_ranking(ranking, tmp_path / f"d{ending}")
    assert json.loads((tmp_path / "d.json").read_text(encoding="utf-8")) == ranking_table(ranking)
    root = ElementTree.parse(tmp_path / "d.svg").getroot()
    assert "two_by_two 0.75 (0.03) bits, misleading 0.012" in root.attrib["aria-label"]
    with pytest.raises(ReportError, match="unknown ending"):
        write_ranking(ranking, tmp_path / "d.pdf")
    with pytest.raises(ReportError, match="unknown ending"):
        write_shown(refused(case), tmp_path / "d.svg")
    assert sorted(p.suffix for p in tmp_path.iterdir()) == sorted(DESIGN_ENDINGS)


# --- kept ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of one's own, and nothing beside the case."""
    monkeypatch.setattr(design_report, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(design_report, "_beside", lambda case: tmp_path / "beside")
    return tmp_path / "cache"


def test_a_kept_ranking_comes_back_for_its_very_case(
    ranking: Ranking, case: Case, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = ranking_table(ranking)
    assert read_ranking(case) is None
    keep_ranking(case, {**table, "title": "quick"}, "quick")
    assert (read_ranking(case) or {})["title"] == "quick"
    path = keep_ranking(case, table, "standard")
    assert folder in path.parents
    assert read_ranking(case) == table  # the better effort first
    other = replace(case)
    object.__setattr__(other, "hash", "f" * 16)
    assert read_ranking(other) is None
    (tmp_path / "designs").mkdir()
    assert read_ranking(replace(case, folder=tmp_path)) is None
    monkeypatch.setattr(design_report, "__version__", "999")
    assert read_ranking(case) is None


def test_a_ranking_beside_the_case_is_read_where_the_user_has_none(
    ranking: Ranking, case: Case, folder: Path, tmp_path: Path
) -> None:
    table = ranking_table(ranking)
    older = tmp_path / "beside" / "0-older.ranking.gz"
    older.parent.mkdir()
    older.write_bytes(b"")
    other = older.with_name("0123-standard.json.gz")  # a weighing's answer lies there too
    other.write_bytes(b"")
    path = keep_ranking(case, table, "quick", beside_case=True)
    assert path.parent == older.parent and not older.exists() and other.exists()
    assert read_ranking(case) == table
    keep_ranking(case, {**table, "title": "own"}, "quick")
    assert (read_ranking(case) or {})["title"] == "own"


def asked_by(ranking: Ranking, **others: Any) -> Ask:  # noqa: ANN401
    """The question that a ranking answers, but for `others`."""
    same = {"n": int(ranking.n), "budget": ranking.budget, "bound": ranking.bound, "aim": ranking.aim}
    return replace(Ask(seed=ranking.settings.seed), **{**same, **others})


def test_a_kept_answer_is_the_record_that_was_kept(ranking: Ranking, case: Case, folder: Path, tmp_path: Path) -> None:
    """In every face; pairs of rivals for the asked number of patients alone."""
    plans = [replace(r, plan=case.designs[r.name], ignoring=r.ignoring and replace(r.ignoring, bias=math.nan))
             for r in ranking.ranked]  # fmt: skip
    record = replace(ranking, ranked=tuple(plans))
    keep_ranking(case, ranking_table(record), "standard")
    kept = read_answered(case, asked_by(record))
    assert kept is not None
    assert [r.plan for r in kept.ranked] == [*(case.designs[name] for name in NAMES)]
    assert [r.evidence.pairs for r in kept.ranked] == [r.evidence.pairs for r in record.ranked]
    assert not any(e.pairs for r in kept.ranked for e in r.curve)
    assert kept.settings == record.settings and kept.realism == record.realism
    assert kept.measurements == record.measurements and kept.ignored == record.ignored
    assert ranking_table(kept) == ranking_table(record)
    assert said(lambda c: print_ranking(kept, c)) == said(lambda c: print_ranking(record, c))
    for ending in DESIGN_ENDINGS:
        one, other = (tmp_path / f"{name}{ending}" for name in ("kept", "was"))
        write_ranking(kept, one)
        write_ranking(record, other)
        assert one.read_text(encoding="utf-8") == other.read_text(encoding="utf-8"), ending


@pytest.mark.parametrize(
    "other", [{"n": 101}, {"budget": "80 patients"}, {"bound": 13.0}, {"aim": 0.7}, {"seed": 6}, {"effort": "quick"}]
)
def test_the_answer_to_another_question_is_not_shown(
    ranking: Ranking, case: Case, folder: Path, other: dict[str, Any]
) -> None:
    """Nor does the user's own answer to another hide the one beside the case."""
    keep_ranking(case, ranking_table(ranking), "standard")
    assert read_answered(case, asked_by(ranking)) is not None
    assert read_answered(case, asked_by(ranking, **other)) is None
    if "effort" in other:
        return
    changed = {name: value for name, value in other.items() if name != "seed"}
    another = replace(ranking, **changed, settings=replace(ranking.settings, seed=other.get("seed", 5)))
    keep_ranking(case, ranking_table(another), "standard", beside_case=True)
    assert read_answered(case, asked_by(ranking)) is not None
    assert read_answered(case, asked_by(ranking, **other)) is not None


def test_an_answer_without_contrasts_answers_no_question_about_them(
    ranking: Ranking, case: Case, folder: Path
) -> None:
    keep_ranking(case, ranking_table(replace(ranking, measurements=())), "standard")
    assert read_answered(case, asked_by(ranking)) is not None
    assert read_answered(case, asked_by(ranking), measured=True) is None
    keep_ranking(case, ranking_table(ranking), "standard")
    assert read_answered(case, asked_by(ranking), measured=True) is not None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("designs", "no-such-design"), ("seconds", 3), ("settings", {}), ("rivals", []), ("realism", {"placebo": "?"}),
        ("counting", {"gated_surge": "many"}), ("counting", {"gated_surge": 10**400}),
        ("measurements", [{"plan": "two_by_two"}]), ("question", None),
    ],
)  # fmt: skip
def test_a_kept_answer_of_other_words_is_none(
    ranking: Ranking, case: Case, folder: Path, key: str, value: object
) -> None:
    table = ranking_table(ranking)
    table[key] = [{**table[key][0], "name": value}] if key == "designs" else value
    keep_ranking(case, table, "standard")
    assert read_ranking(case) is not None, "a verdict reads less of it"
    assert read_answered(case, asked_by(ranking)) is None


@pytest.mark.parametrize("change", [{"curve": []}, {"bits": None}, {"bits": 1e300}])
def test_a_kept_answer_that_no_figure_could_show_is_none(
    ranking: Ranking, case: Case, folder: Path, change: dict[str, Any]
) -> None:
    table = ranking_table(ranking)
    table["designs"] = [row | change for row in table["designs"]]
    keep_ranking(case, table, "standard")
    assert read_answered(case, asked_by(ranking)) is None


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "null", "{", '{"designs": []}', '{"sentences": "no list", "designs": 3}', "[" * 5000,
        json.dumps({"sentences": [], "caveats": [], "designs": [{"name": 3}], "n": 1, "bound": 10, "aim": 0.8}),
    ],
)  # fmt: skip
def test_what_is_no_ranking_is_left_alone(case: Case, ranking: Ranking, folder: Path, text: str) -> None:
    path = keep_ranking(case, ranking_table(ranking), "standard")
    path.write_bytes(gzip.compress(text.encode()))
    assert read_ranking(case) is None
    path.write_text(text, encoding="utf-8")
    assert read_ranking(case) is None


class Trap:
    """Unpickling it leaves a file behind."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.touch, (self.mark,)


def test_nothing_that_is_read_is_executed(case: Case, ranking: Ranking, folder: Path, tmp_path: Path) -> None:
    path = keep_ranking(case, ranking_table(ranking), "standard")
    path.write_bytes(gzip.compress(pickle.dumps(Trap(tmp_path / "sprung"))))
    assert read_ranking(case) is None
    assert not (tmp_path / "sprung").exists()


def a_verdict() -> Verdict:
    settings = Settings(10, 2, 1, 1e-6, 1e-8, "0.1.0", "0123456789abcdef", (), "cc", 1.0)
    times = {"arm": ["ketamine"], "time": [0.0, 2.0, 24.0]}
    curves = xr.Dataset({"score": (("arm", "draw", "subject", "time"), np.ones((1, 1, 1, 3)))}, times)
    bands = xr.Dataset({"score": (("arm", "quantile", "time"), np.ones((1, 2, 3)))}, times | {"quantile": [0.05, 0.95]})
    one = MechanismVerdict(
        "nmda_rest", "resting block", "A statement.", "opioid-free", False, 12.0, True, False, 1.0, 1.0, (), (), (),
        0, 0, 41, 132, (), curves, bands,
    )  # fmt: skip
    scenes = {"ketamine": "ketamine alone: ketamine 0.5 mg/kg iv"}
    return Verdict("A case", "Which?", "No dosing advice.", scenes, (one,), (), (), (), (), settings)


def test_a_verdict_shows_the_first_five_where_a_ranking_is_kept(ranking: Ranking, tmp_path: Path) -> None:
    plain = write_report(a_verdict(), tmp_path / "plain.html").read_text(encoding="utf-8")
    assert "Which study next" not in plain
    table = ranking_table(replace(ranking, ranked=ranking.ranked * 3))
    text = write_report(a_verdict(), tmp_path / "both.html", ranking=table).read_text(encoding="utf-8")
    page = check_page(text)
    section = text[text.index('<h2 id="designs">') : text.index('<h2 id="curves">')]
    assert section.count('<th scope="row">') == 5 and "&lt;script&gt;" in section
    counted = ("The 5 most informative of 9 designs", "more cannot be ranked) at 100 patients")
    for words in (*ranking.sentences, "0.75 (0.03)", "212", *counted):
        assert " ".join(words.split()) in page.text, words
    printed = said(lambda c: print_ranking_summary(table, c))
    assert printed.count("two_by_two  ") == 2 and "Which study next" in printed
    without = said(lambda c: print_ranking_summary(None, c, " --case mine"))
    assert "make one with: antagony design --case mine" in without


# --- command line ----------------------------------------------------------------------------------------------------


@pytest.fixture
def asked(ranking: Ranking, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A stand-in for the engine that writes down what it is asked."""
    heard: dict[str, Any] = {}

    def rank(
        case: Case, ask: Ask, *, plans: list[Plan], progress: object, workers: object
    ) -> Ranking:
        heard.update(ask=ask, plans=[plan.id for plan in plans], workers=workers)
        return replace(ranking, measurements=())

    def measure(case: Case, ask: Ask, found: Ranking, progress: object) -> Ranking:
        return replace(found, measurements=ranking.measurements)

    def tell(case: Case, ask: Ask, plan: Plan, progress: object) -> Shown:
        heard.update(ask=ask, plans=[plan.id])
        return alone(ranking, 0)

    def count(case: Case, found: Ranking) -> Mapping[str, Any]:
        return NUMBERS

    monkeypatch.setattr("antagony.planning.ranking.rank_plans", rank)
    monkeypatch.setattr(design_report, "measure_ranking", measure)
    monkeypatch.setattr(design_report, "tell_plan", tell)
    monkeypatch.setattr(design_report, "count_numbers", count)
    return heard


def test_every_option_reaches_the_question(asked: dict[str, Any], case: Case) -> None:
    options = [
        "--n", "60", "--rivals", "gated_surge, nmda_rest", "--exclude", "animal", "--exclude", "burden>3", "--budget",
        "600 visits", "--bound", "20", "--aim", "0.7", "--without", "placebo", "--dropout", "at_random", "--ignore",
        "carry_over", "--ignore", "dropout", "--effort", "quick", "--seed", "7",
    ]  # fmt: skip
    result = CliRunner().invoke(app, ["design", *options])
    assert result.exit_code == 0, result.output
    realism = replace(REALISTIC, placebo=False, dropout="at_random")
    assert asked["ask"] == Ask(
        ("gated_surge", "nmda_rest"), 60, "600 visits", ("animal", "burden>3"), 20.0, 0.7, realism,
        ("carry_over", "dropout"), "quick", 7,
    )  # fmt: skip
    assert asked["plans"] == [*case.designs]


def test_the_command_ranks_prints_writes_and_keeps(
    asked: dict[str, Any], ranking: Ranking, case: Case, tmp_path: Path
) -> None:
    out = tmp_path / "d.html"
    result = CliRunner().invoke(app, ["design", "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert "Designs at 100 patients" in result.output and check_page(out.read_text(encoding="utf-8"))
    assert "What would change our mind" not in result.output
    kept = read_ranking(case)
    assert kept == ranking_table(replace(ranking, measurements=()), NUMBERS)
    result = CliRunner().invoke(app, ["design", "--json", "--measurements"])
    assert json.loads(result.stdout) == ranking_table(ranking, NUMBERS)


def test_the_command_shows_a_stored_answer_and_computes_it_where_asked(
    asked: dict[str, Any], ranking: Ranking, case: Case
) -> None:
    ask = asked_by(ranking)
    words = ["design", "--bound", f"{ask.bound:g}", "--seed", f"{ask.seed}"]
    first = CliRunner().invoke(app, words)
    assert first.exit_code == 0 and asked.pop("ask") == ask
    second = CliRunner().invoke(app, words)
    assert second.exit_code == 0 and "ask" not in asked, "it was computed again"
    assert "--anew computes it again" in second.output
    assert second.stdout == first.stdout
    for more in (["--anew"], ["--measurements"], ["--exclude", "animal"], ["--n", "99"]):
        result = CliRunner().invoke(app, [*words, *more])
        assert result.exit_code == 0 and asked.pop("ask", None) is not None, more
        assert "stored answer" not in result.output


@pytest.mark.parametrize(
    "options", [["--exclude", "animal"], ["--rivals", "ii,iv"], ["--without", "placebo"], ["--plan", "williams_2018"]]
)
def test_a_narrower_question_is_not_kept_for_the_verdict(asked: dict[str, Any], case: Case, options: list[str]) -> None:
    assert CliRunner().invoke(app, ["design", *options]).exit_code == 0
    assert read_ranking(case) is None
    result = CliRunner().invoke(app, ["design", "--keep", *options])
    assert isinstance(result.exception, StudyError) and read_ranking(case) is None


def test_own_plans_stand_beside_the_case_or_alone(asked: dict[str, Any], case: Case, tmp_path: Path) -> None:
    own = tmp_path / "mine.toml"
    own.write_text((case.folder / "designs" / "two_by_two.toml").read_text(encoding="utf-8"), encoding="utf-8")
    run = CliRunner().invoke
    assert run(app, ["design", "--plan", str(own)]).exit_code == 0
    assert asked["plans"] == [*case.designs, "mine"]
    assert run(app, ["design", "--plan", str(own), "--plan", "two_by_two", "--only"]).exit_code == 0
    assert asked["plans"] == ["mine", "two_by_two"]
    with pytest.raises(StudyError, match="--only"):
        choose_plans(case, (), only=True)
    assert is_whole(Ask(n=40), choose_plans(case, ()), case) and not is_whole(
        Ask(), choose_plans(case, [str(own)]), case
    )


def test_show_asks_with_the_patients_of_the_file(asked: dict[str, Any], tmp_path: Path) -> None:
    out = tmp_path / "one.json"
    result = CliRunner().invoke(app, ["design", "show", "two_by_two", "--rivals", "ii,iv", "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert (asked["ask"].n, asked["ask"].rivals, asked["plans"]) == (260, ("ii", "iv"), ["two_by_two"])
    assert "Expected: text of two_by_two" in result.output
    CliRunner().invoke(app, ["design", "show", "two_by_two", "--n", "80"])
    assert asked["ask"].n == 80
    table = json.loads(CliRunner().invoke(app, ["design", "show", "two_by_two", "--json"]).stdout)
    assert table == json.loads(out.read_text(encoding="utf-8")) and table["protocol"]["name"] == "two_by_two"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--exclude", "animl"], 'did you mean "animal"'),
        (["--ignore", "carryover"], 'did you mean "carry_over"'),
        (["--without", "plazebo"], 'did you mean "placebo"'),
        (["--rivals", "i,gated_surg"], 'did you mean "gated_surge"'),
        (["--budget", "80 euros"], "number of patients or visits"),
        (["--effort", "thorogh"], 'did you mean "thorough"'),
        (["--plan", "two_by_too"], 'did you mean "two_by_two"'),
        (["--out", "d.pdf"], "unknown ending"),
        (["--n", "5", "show", "two_by_two"], 'write --n behind "show"'),
        (["show", "two_by_too"], 'did you mean "two_by_two"'),
        (["show", "two_by_two", "--out", "d.csv"], "unknown ending"),
    ],
)
def test_what_cannot_be_asked_is_said_before_the_work(asked: dict[str, Any], options: list[str], words: str) -> None:
    result = CliRunner().invoke(app, ["design", *options])
    assert isinstance(result.exception, AntagonyError) and words in str(result.exception)
    assert not asked


def test_the_plan_of_the_work_counts_designs_and_rivals(case: Case) -> None:
    plans = choose_plans(case, ())
    said_first = announce_ranking(case, Ask(exclude=("animal",)), plans)
    humans = sum(plan.is_human for plan in plans)
    assert said_first.startswith(
        f"{humans} designs at 100 patients between 5 classes of 11 mechanisms, effort standard"
    )


def test_the_packaged_case_holds_the_answer_to_its_own_question(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(design_report, "cache_folder", lambda: tmp_path)
    kept = read_answered(case, Ask())
    assert kept is not None and {r.name for r in kept.ranked} | {*kept.refused} == {*case.designs}
    assert read_answered(case, Ask(n=99)) is None


# --- the how-to ------------------------------------------------------------------------------------------------------


def test_the_design_of_the_how_to_can_be_ranked(case: Case, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "how-to" / "design-a-trial.md").read_text(encoding="utf-8")
    ((name, text),) = re.findall(r'^```toml title="designs/([^"]+)"\n(.*?)^```$', page, re.MULTILINE | re.DOTALL)
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    plan = read_plan(path, {"dose": 25})
    assert plan.patients == 120 and plan.feasibility is not None and len(plan.estimands) <= 3
    drugs = {drug for arm in plan.design.arms for drug in case.regimen(arm.condition.regimen).drugs}
    assert drugs == {"ketamine", "naltrexone", "memantine"}
    assert "naltrexone 25 mg po" in plan.design.arms[0].condition.regimen


def test_every_option_that_the_how_to_names_exists() -> None:
    page = (ROOT / "docs" / "how-to" / "design-a-trial.md").read_text(encoding="utf-8")
    help_text = "".join(CliRunner().invoke(app, ["design", *more, "--help"]).output for more in ([], ["show"]))
    named = set(re.findall(r"(?<![\w-])--[a-z]+", page))
    assert len(named) > 8
    assert {option for option in named if option not in help_text} == set()
