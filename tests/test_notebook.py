"""What a notebook shows: each record, short as text, escaped, with what its numbers rest on; two whole notebooks."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import antagony
from antagony.case import Case, open_case
from antagony.curves import curves_picture
from antagony.errors import CaseError, ReportError
from antagony.matrix import fill_matrix
from antagony.notebook import MOST_LETTERS, MOST_ROWS, Card, Table
from antagony.trial import simulate_trial
from antagony.verdict import reach_verdict

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "docs" / "examples" / "notebooks").glob("*.py"))
EXAMPLE = ROOT / "docs" / "examples" / "psilocybin"
ALONE, BLOCKED = "psilocybin 25 mg po", "ketanserin 40 mg po at -60 min; psilocybin 25 mg po"
TIMES = [-1.0, 0.0, 1.0, 4.0, 24.0]


@pytest.fixture(scope="module")
def example() -> Case:
    return open_case(EXAMPLE)


@pytest.fixture(scope="module")
def run(example: Case) -> xr.Dataset:
    arms = {"alone": example.regimen(ALONE), "blocked": example.regimen(BLOCKED)}
    return antagony.simulate(example.mechanism("trip", example.dosable), arms, TIMES)


def parse(html: str) -> ElementTree.Element:
    """The card as a tree: it is well formed, so that no cell can have closed a tag."""
    return ElementTree.fromstring(html)


def words_of(html: str) -> str:
    return " ".join(" ".join(parse(html).itertext()).split())


def tags_of(html: str) -> set[str]:
    return {element.tag.rpartition("}")[2] for element in parse(html).iter()}


# --- every record ----------------------------------------------------------------------------------------------------


def records(example: Case) -> Iterator[tuple[str, Any, tuple[str, ...]]]:
    """(name, record, what its card must say)."""
    fingerprint = f"case {example.hash}"
    assumed = len(example.mechanism("trip", example.dosable).assumed)
    yield "case", example, (example.title, "Psilocybin", "numbers are assumed", fingerprint)
    yield "wiring", example.wiring("trip"), ("experience", "raises")
    yield "mechanism", example.mechanism("trip", example.dosable), (f"{assumed} of", "are assumed", fingerprint)
    matrix = fill_matrix(example, ["trip", "receptor"], draws=30, seed=3)
    largest = 100 * max(r.share_error for r in matrix.results)
    yield "matrix", matrix, (f"at most {largest:.3g} %", "seed 3", "30 draws", fingerprint, "kernels")
    verdict = reach_verdict(example, mechanisms=["trip"], draws=8, patients=4)
    own = verdict.mechanisms[0]
    counts = f"{own.explains} of {own.findings}", f"{own.assumed} of {own.numbers}"
    yield "verdict", verdict, (*counts, "seed 1", fingerprint)


def test_records_show_what_their_numbers_rest_on(example: Case) -> None:
    for name, record, said in records(example):
        shown = words_of(record._repr_html_())
        for text in said:
            assert text in shown, f"{name} does not say {text}"
        assert len(repr(record)) < 300, name
        assert not tags_of(record._repr_html_()) & {"script", "style", "link", "iframe"}


def test_the_stored_answer_shows_errors_and_assumptions(case: Case) -> None:
    answer = antagony.read_answer(case)
    assert answer is not None
    shown = words_of(answer._repr_html_())
    leader = answer.rivals[0]
    digits = max(0, -int(np.floor(np.log10(leader.partial.error))))
    assert f"{leader.partial.value:.{digits}f} ± {leader.partial.error:.{digits}f}" in shown
    assert f"{answer.assumed_rules} numbers of the rules are assumed" in shown
    assert f"seed {answer.settings.seed}" in shown
    rows = [row for row in parse(answer._repr_html_()).iter("tr")][1:]
    assert [row[1].text for row in rows if "reference" not in (row[0].text or "")] == [
        w.slug for w in answer.rivals if w.slug != "unexplained"
    ]
    assert len(repr(answer)) < 700


def test_a_ranking_shows_bits_with_errors() -> None:
    """Of a record filled by hand: making one takes minutes."""
    from antagony.planning.answer import Ranked, Ranking
    from antagony.planning.information import Evidence, Figure
    from antagony.verdict import Settings

    case = open_case(EXAMPLE)
    plan = next(iter(case.designs.values()))
    evidence = Evidence(40, Figure(0.52, 0.03), 0.0, Figure(0.3, 0.02), Figure(0.01, 0.002), Figure(0.6, 0.01), {})
    ranked = Ranked(plan, evidence, (), Figure(0.0, 0.01), None, evidence, {})
    settings = Settings(100, None, 7, 1e-6, 1e-8, "0.0", case.hash, (), "cc", 1.0)
    ranking = Ranking(
        "T", "Q", (ranked,), {"left": "no <b>endpoint</b>"}, {}, {}, False, 40, "", 10.0, 0.8, antagony_realism(), (),
        {}, 3, ("It says.",), (), {}, settings,
    )  # fmt: skip
    shown = words_of(ranking._repr_html_())
    for text in ("0.52 ± 0.03", "30 ± 2 %", "1.0 ± 0.2 %", "3 numbers of the plans are assumed", "seed 7", "It says."):
        assert text in shown, text
    assert "no <b>endpoint</b>" in shown
    assert "0.52 ± 0.03" in repr(ranking)


def antagony_realism() -> Any:  # noqa: ANN401
    from antagony.design import Realism

    return Realism()


# --- nothing that a file says acts -----------------------------------------------------------------------------------

TRAP = '</td></table><script>alert("x")</script><img src=x onerror=alert(1)>&amp;{{ 7*7 }}'


def test_what_a_file_says_is_escaped(example: Case) -> None:
    wiring = replace(example.wirings["trip"], title=TRAP, statement=TRAP)
    trapped = replace(example, title=TRAP, question=TRAP, disclaimer=TRAP, wirings={"trip": wiring})
    mechanism = replace(example.mechanism("trip", example.dosable), title=TRAP, case_hash=TRAP, variants=(TRAP,))
    for record in (trapped, wiring, mechanism):
        html = record._repr_html_()
        assert "<script" not in html and "<img" not in html
        assert TRAP in words_of(html) or TRAP.rstrip(".") in words_of(html)


def test_names_of_arms_are_escaped_in_the_picture(example: Case, run: xr.Dataset) -> None:
    named = run.assign_coords(arm=[TRAP, "<b>"])
    named.attrs["mechanism"] = TRAP
    html = antagony.draw_curves(named, outputs=["score"])._repr_html_()
    assert "<script" not in html and "<img" not in html
    assert TRAP in words_of(html)


def test_long_things_are_cut_and_counted() -> None:
    html = Card("t", tables=(Table(("a", "b"), [("x" * 10_000, str(i)) for i in range(500)]),)).html()
    assert len([*parse(html).iter("tr")]) == 1 + MOST_ROWS
    assert f"{500 - MOST_ROWS} more rows" in html and "x" * (MOST_LETTERS + 1) not in html


def test_colours_are_the_notebooks_own(example: Case) -> None:
    styles = " ".join(e.get("style", "") for e in parse(example._repr_html_()).iter())
    assert "color:inherit" in styles
    assert not re.search(r"(?<![-\w])(background|color):(?!inherit)", styles)  # a dark page stays dark


# --- curves ----------------------------------------------------------------------------------------------------------


def test_a_picture_has_a_column_for_each_run_and_a_line_for_each_arm(example: Case, run: xr.Dataset) -> None:
    other = antagony.simulate(
        example.mechanism("receptor", example.dosable), {"alone": example.regimen(ALONE)}, TIMES, outputs=["score"]
    )
    curves = antagony.draw_curves(run, other, outputs=["score"])
    shown = words_of(curves._repr_html_())
    for text in ("trip", "receptor", "alone", "blocked", f"{run.attrs['assumed_numbers']} numbers are assumed"):
        assert text in shown
    assert run.attrs["kernel"] in shown and f"case {example.hash}" in shown
    colours = {style for style in re.findall(r"stroke: ?(#\w{6})", curves.svg)}
    assert {"#0072b2", "#c44e00"} <= {c.lower() for c in colours}
    assert "background:#fff" in curves._repr_html_()  # ink on white, in a dark notebook too
    assert repr(curves) == "Curves(trip, receptor: score)"
    assert curves.svg == antagony.draw_curves(run, other, outputs=["score"]).svg


def test_a_picture_in_a_file_needs_no_font_and_no_colour(example: Case) -> None:
    mechanism = example.mechanism("trip", example.dosable)
    arms = {"alone": example.regimen(ALONE), "again": example.regimen(ALONE)}
    whole = antagony.simulate(mechanism, arms, TIMES)
    text = curves_picture(whole)
    picture = ElementTree.fromstring(text.encode())
    words = picture.get("aria-label", "")
    assert len(whole.data_vars) > 6 and all(str(name) in words for name in whole.data_vars)
    assert "<text" not in text and "stroke-dasharray" in text
    scored = antagony.draw_curves(whole, outputs=["score"]).svg
    assert all(word in scored for word in str(whole["score"].attrs["long_name"]).split())


def test_a_spread_is_said_with_its_seed(example: Case) -> None:
    draws = antagony.draw_parameters(example.parameters("trip").values(), 12, seed=5)
    mechanism = example.mechanism("trip", example.dosable)
    many = antagony.simulate(mechanism, {"alone": example.regimen(ALONE)}, TIMES, draws=draws, outputs=["score"])
    assert "12 draws, seed 5: mean, 5 to 95 % shaded" in antagony.draw_curves(many).facts


def test_what_cannot_be_drawn_is_said(run: xr.Dataset) -> None:
    with pytest.raises(ReportError, match='the run of trip has no output "scor"; did you mean "score"'):
        antagony.draw_curves(run, outputs=["scor"])
    with pytest.raises(ReportError, match="at least one run"):
        antagony.draw_curves()


# --- results have units, numbers can be held -------------------------------------------------------------------------


def test_every_variable_of_every_result_has_its_unit(example: Case, run: xr.Dataset) -> None:
    trial = simulate_trial(example, "trip", example.plan("invented_felt"), replicates=2, uncertain=False)
    verdict = reach_verdict(example, mechanisms=["trip"], draws=8, patients=4)
    own = verdict.mechanisms[0]
    results = {
        "run": run, "ratings": trial.ratings, "estimates": trial.estimates, "arms": trial.arms, "curves": own.curves,
        "bands": own.bands,
    }  # fmt: skip
    for name, result in results.items():
        assert result.data_vars
        for variable, values in result.data_vars.items():
            assert values.attrs.get("units"), f"{name}: {variable}"
        if "time" in result.coords:
            assert result["time"].attrs["units"] == "h", name


def test_a_number_is_held_in_every_draw(example: Case) -> None:
    rows = example.parameters("trip")
    name = next(p.id for p in rows.values() if p.estimate and p.prior and p.id in example.mechanism("trip").parameters)
    low, high = rows[name].prior.quantile([0.01, 0.99])  # type: ignore[union-attr]
    plain, at_low, at_high = (
        antagony.check_claims(example, "trip", example.claims, draws=24, held=held)
        for held in (None, {name: float(low)}, {name: float(high)})
    )
    assert [r.measured for r in at_low] != [r.measured for r in at_high]
    assert len(plain) == len(at_low) == len(at_high)
    with pytest.raises(CaseError, match=f'no parameter "{name}x" to hold; did you mean "{name}"'):
        antagony.check_claims(example, "trip", example.claims, draws=4, held={f"{name}x": 1.0})
    with pytest.raises(CaseError, match=f"{name} = -1e\\+09 lies outside its range"):
        antagony.check_claims(example, "trip", example.claims, draws=4, held={name: -1e9})


def test_calibrate_alone_starts_from_nominal_values(case: Case) -> None:
    """The published contrast that sizes the effect is met at nominal values."""
    rule = case.calibration
    assert rule is not None
    finding = case.studies[rule.study].finding(rule.finding)
    solved = antagony.calibrate(case, "camp_crosstalk")
    assert solved.draws.size == 1 and solved.reached.all() and solved.target == finding.value


# --- the notebooks ---------------------------------------------------------------------------------------------------


def execute(path: Path) -> list[Any]:
    """Outputs of a notebook that is kept as text, run from top to bottom."""
    import jupytext
    from nbclient import NotebookClient

    notebook = jupytext.read(path)
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(ROOT)}}).execute()
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_shows_tables(path: Path) -> None:
    outputs = execute(path)
    assert not [o for o in outputs if o["output_type"] == "error"]
    cards = [o["data"]["text/html"] for o in outputs if 'class="antagony"' in o.get("data", {}).get("text/html", "")]
    assert cards and all(words_of(card) for card in cards)
    texts = [o["data"]["text/plain"] for o in outputs if "data" in o]
    assert all(len(text) < 12_000 for text in texts)
    last = texts[-1]
    if path.stem == "one-patient":
        found = {a: float(v) for a, v in re.findall(r"'([^']+)': (-[\d.]+)", last[: last.index("gated_surge")])}
        assert found["ketamine"] < found["naltrexone, then ketamine"] < 0
        assert any("<svg" in card for card in cards)
    else:
        assert "s4_mu_activity" in last


def test_there_are_two_notebooks() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["one-patient", "question-an-assumption"]
