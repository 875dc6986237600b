"""A model report holds every equation and number, computes what it says, and is one whole page that names its gaps."""

from __future__ import annotations

import gzip
import math
import re
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import antimony
import libsbml as _libsbml
import numpy as np
import pytest
from html_page import Page
from typer.testing import CliRunner

import antagony
from antagony.cli import app
from antagony.diagram import layer_nodes, place_nodes, plot_diagram
from antagony.errors import CaseError, ReportError
from antagony.figures import svg_text
from antagony.identifiability import find_identifiability, find_ties, judge_information, normal_score
from antagony.mechanism import Edge
from antagony.model_equations import Part, _equations, list_equations, read_comments
from antagony.model_page import Citations, render_report, write_model_report
from antagony.model_report import ModelReport, build_report
from antagony.parameters import Parameter, Prior
from antagony.population import draw_parameters
from antagony.posterior import storage
from antagony.report import show_number
from antagony.sensitivity import ask_question, decompose, find_sensitivity, saltelli_points, through_priors
from antagony.simulation import Arm, simulate
from antagony.verification import find_reports, read_proofs, refine

libsbml: Any = _libsbml
PSILOCYBIN = Path(__file__).parents[1] / "docs" / "examples" / "psilocybin"
HOSTILE = "<script>alert('x')</script> & \"quoted\""
PACKAGED = ("camp_crosstalk", "gated_surge", "direct_opioid")


@pytest.fixture(scope="module", autouse=True)
def _no_answers_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Only answers beside a case are seen, whatever was weighed on this machine."""
    nowhere = tmp_path_factory.mktemp("answers")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(storage, "_cached", lambda: nowhere)
        yield


@pytest.fixture(scope="module")
def packaged() -> antagony.Case:
    return antagony.open_case()


@pytest.fixture(scope="module")
def example() -> antagony.Case:
    return antagony.open_case(PSILOCYBIN)


@pytest.fixture(scope="module")
def report(example: antagony.Case) -> ModelReport:
    return build_report(example, ["trip", "receptor"], draws=40, seed=3, quick=True)


@pytest.fixture(scope="module")
def page(report: ModelReport) -> str:
    return render_report(report)


# --- equations -------------------------------------------------------------------------------------------------------


def model_of(sbml: str) -> tuple[Any, Any]:
    document = libsbml.readSBMLFromString(sbml)
    return document, document.getModel()


def expected_lines(model: Any) -> Counter[tuple[str, str]]:  # noqa: ANN401 - libSBML's classes carry no types
    """What libSBML itself lists: every rule, start, reaction, and number that the text states."""
    lines: Counter[tuple[str, str]] = Counter()
    started = {model.getInitialAssignment(i).getSymbol() for i in range(model.getNumInitialAssignments())}
    lines.update(("start", name) for name in started)
    for i in range(model.getNumRules()):
        rule = model.getRule(i)
        lines["rate" if rule.isRate() else "rule", rule.getVariable()] += 1
        if rule.isRate() and rule.getVariable() not in started:
            lines["start", rule.getVariable()] += 1
    lines.update(("reaction", model.getReaction(i).getId()) for i in range(model.getNumReactions()))
    return lines


@pytest.mark.parametrize("slug", PACKAGED)
def test_every_equation_of_the_composed_model_occurs(packaged: antagony.Case, slug: str) -> None:
    mechanism = packaged.mechanism(slug, packaged.dosable)
    parts = list_equations(packaged, mechanism)
    _, model = model_of(mechanism.sbml)
    expected = expected_lines(model)
    assert len(expected) > 200
    assert Counter((e.kind, e.symbol) for part in parts for e in part.equations) == expected
    units = {e.symbol: e.unit for part in parts for e in part.equations}
    assert units == {name: model.getParameter(name).getUnits() for name in units}
    assert f"mechanisms/{slug}/wiring.ant" in {part.label for part in parts}


@pytest.mark.parametrize("slug", PACKAGED[:1])
def test_what_is_shown_has_the_value_that_libsbml_reads(packaged: antagony.Case, slug: str) -> None:
    mechanism = packaged.mechanism(slug, packaged.dosable)
    _, model = model_of(mechanism.sbml)
    check_values(model, frozenset(mechanism.parameters), least=200)


ODD = """model odd
  a = 2; b = 3; c = 5; k = 0.5; A = 1; y = 0;
  r1 := a - (b - c); r2 := a - (b + c) - c; r3 := a/(b*c); r4 := (a/b)*c; r5 := a/b/c;
  r6 := -(a + b)^2; r7 := (a^b)^0.5; r8 := a^(b^0.5); r9 := -a^2; r10 := a*(-b); r11 := (a + b)*(c - a);
  r12 := piecewise(a, a > b, b, c > b, c); r13 := abs(a - b*c); r14 := sqrt(a + b); r15 := root(3, a + b);
  r16 := log10(a*c); r17 := ln(a + b); r18 := exp(-(a - c)); r19 := max(a, b) - min(b, c); r20 := 1e-12*a + 2.5e8;
  r21 := a - (-b); r22 := time + a; r23 := (a - b)/(b - c); r24 := a + b + c + a*b + a*c + b*c + a*b*c + a*a*b*b*c*c;
  r25 := (a + b + c)*(a*b*c + a*b + b*c)*(a + a + a + a)*(b + b + b + b + b + b)*(c + c + c + c + c + c + c + c);
  r26 := a - (b - (c - a)) + (b - c) - (a*b - c); r27 := ((a + b)^2)/((a - c)^2);
  y' = k*(a - y); J0: A -> ; k*A;
end
"""


def test_odd_forms_keep_their_brackets() -> None:
    """Against the text as it was written: libSBML prints a power of a power without its brackets."""
    antimony.clearPreviousLoads()
    assert antimony.loadAntimonyString(ODD) >= 0, antimony.getLastError()
    _, model = model_of(str(antimony.getSBMLString("odd")))
    shown = {e.symbol: e for e in _equations(model, frozenset())}
    values = {"a": 2.0, "b": 3.0, "c": 5.0}
    written = re.findall(r"(r\d+) := (.*?);", ODD)
    assert len(written) == 27
    for name, text in written:
        found = evaluate(right_side(shown[name].mathml), values)
        assert found == pytest.approx(evaluate(as_python(text), values), rel=1e-12), (name, text)
    assert sum(e.mathml.count("<mtr>") > 1 and "mtable class" not in e.mathml for e in shown.values()) >= 1  # broken
    kinds = Counter(e.kind for e in _equations(model, frozenset()))
    assert (kinds["reaction"], kinds["rate"], kinds["rule"]) == (1, 1, 27)
    assert {"constant", "start"} < kinds.keys()


def as_python(text: str) -> str:
    return re.sub(r"\btime\b", "t", text.replace("^", "**").replace("&&", " and "))


def check_values(model: Any, parameters: frozenset[str], *, least: int) -> None:  # noqa: ANN401
    """Evaluate each right side twice, at random values: from the MathML that is shown, and from libSBML's text."""
    rng = np.random.default_rng(5)
    names = [model.getParameter(i).getId() for i in range(model.getNumParameters())]
    values = {name: float(v) for name, v in zip(names, rng.uniform(0.3, 0.9, len(names)), strict=True)}
    settings = libsbml.L3ParserSettings()
    settings.setParseUnits(False)
    shown = {(e.kind, e.symbol): e.mathml for e in _equations(model, parameters)}
    items = [
        *(("rate" if r.isRate() else "rule", r.getVariable(), r) for r in model.getListOfRules()),
        *(("start", s.getSymbol(), s) for s in model.getListOfInitialAssignments()),
    ]
    for kind, name, item in items:
        text = libsbml.formulaToL3StringWithSettings(item.getMath(), settings)
        found = evaluate(right_side(shown[kind, name]), values)
        assert found == pytest.approx(evaluate(as_python(text), values), rel=1e-12), (name, text)
    assert len(items) >= least


def evaluate(text: str, values: dict[str, float]) -> float:
    def piecewise(*arguments: float) -> float:
        pairs = zip(arguments[::2], arguments[1::2], strict=False)
        return next((value for value, holds in pairs if holds), arguments[-1])

    known = {
        "piecewise": piecewise, "ln": math.log, "exp": math.exp, "sqrt": math.sqrt, "max": max, "min": min, "abs": abs,
        "log10": math.log10, "root": lambda n, x: x ** (1 / n), "t": 0.7, "log": lambda x: math.log10(x),
    }  # fmt: skip
    return float(eval(text, {"__builtins__": {}}, known | values))


def right_side(mathml: str) -> str:
    """What stands behind the equals sign of a formula as shown, as Python text."""
    root = ElementTree.fromstring(mathml.replace("&#160;", " "))
    body = root[0]
    rows = [row[1][0] for row in body] if body.tag == "mtable" else [body]
    text = "".join(as_text(row) for row in rows)
    return text.split("=", 1)[1]


def as_text(node: ElementTree.Element) -> str:
    children = list(node)
    marks = {"\N{DOT OPERATOR}": "*", "\N{MINUS SIGN}": "-", "\u2264": "<=", "\u2265": ">=", "\u2227": " and "}
    if node.tag == "mo":
        return marks.get(node.text or "", node.text or "")
    if node.tag == "msub" and as_text(children[0]) == "log":
        return "log"
    if node.tag == "msub":
        return f"{as_text(children[0])}_{(children[1].text or '').replace(' ', '_')}"
    if node.tag == "mfrac":
        return f"(({as_text(children[0])})/({as_text(children[1])}))"
    if node.tag == "msup":
        base = as_text(children[0])
        return f"(({base})**({as_text(children[1])}))"
    if node.tag == "msqrt":
        return f"sqrt({''.join(map(as_text, children))})"
    if node.tag == "mroot":
        return f"root({as_text(children[1])},{as_text(children[0])})"
    if node.tag == "mrow" and children and children[0].text == "|":
        return f"abs({''.join(map(as_text, children[1:-1]))})"
    if node.tag == "mrow" and children and children[0].text == "{":
        cases = []
        for value, condition in children[1]:
            cases.append(as_text(value[0]))
            if condition[0][0].text != "otherwise":
                cases.append("".join(map(as_text, condition[0][1:])))
        return f"piecewise({','.join(cases)})"
    return "".join(map(as_text, children)) if children else node.text or ""


def test_every_line_of_a_broken_equation_keeps_fractions_at_full_size(packaged: antagony.Case) -> None:
    parts = list_equations(packaged, packaged.mechanism("camp_crosstalk", packaged.dosable))
    tables = [tag for part in parts for e in part.equations for tag in re.findall("<mtable[^>]*>", e.mathml)]
    assert len(tables) > 3 and all('displaystyle="true"' in tag for tag in tables)


def test_comments_become_rationale_and_notes() -> None:
    alone, behind = read_comments("// Two meet.\n//   x = y\nx := y; x has nM // a note\nplain := 1\n")
    assert alone == ("Two meet.", "  x = y")
    assert behind == {"x": "a note"}


def test_what_all_mechanisms_share_stands_once(report: ModelReport) -> None:
    own = [part for chapter in report.chapters for part in chapter.parts]
    assert report.parts
    assert not {p.label for p in report.parts} & {p.label for p in own}
    for chapter in report.chapters:
        whole = list_equations(report.case, chapter.mechanism)
        assert sorted(p.label for p in (*report.parts, *chapter.parts)) == sorted(p.label for p in whole)
        assert lines_of((*report.parts, *chapter.parts)) == lines_of(whole)


def lines_of(parts: tuple[Part, ...]) -> Counter[str]:
    return Counter(e.mathml for part in parts for e in part.equations)


# --- numbers ---------------------------------------------------------------------------------------------------------


def rows_of(page: str) -> dict[str, str]:
    """Rows of the tables of numbers by parameter id."""
    tables = re.findall(r'<table class="numbers">(.*?)</table>', page, re.DOTALL)
    rows = [row for table in tables for row in re.findall(r"<tr>(.*?)</tr>", table, re.DOTALL)]
    found = {}
    for row in rows:
        if name := re.search(r"</math> <code>(\w+)</code>", row):
            found[name[1]] = re.sub(r"<[^>]+>", " ", row)
    return found


def test_every_number_occurs_with_value_grade_and_source(report: ModelReport, page: str) -> None:
    rows = rows_of(page)
    for chapter in report.chapters:
        numbers = {**chapter.mechanism.parameters, **chapter.mechanism.dosing}
        assert len(numbers) > 5
        for p in numbers.values():
            row = " ".join(rows[p.id].split())
            assert p.grade in row and p.unit in row and p.name in row
            assert f"{p.nominal:.12g}".replace("-", "\N{MINUS SIGN}") in row
            assert p.source.split(",")[0].split(";")[0].strip() in row
            assert (p.prior.distribution if p.estimate and p.prior else "fixed") in row


def test_assumed_numbers_are_counted_and_come_first(report: ModelReport, page: str) -> None:
    for rows in (report.rows, *(chapter.rows for chapter in report.chapters)):
        assert all(p.grade == "assumed" for p in rows.assumed)
        assert all(p.grade != "assumed" for p in rows.others)
    text = Page(page).text
    assert f"not on a measurement of what they stand for. {len(report.rows.assumed)} of {report.rows.count}." in text


def test_claims_and_scale_agree_with_runs_made_here(report: ModelReport) -> None:
    case, chapter = report.case, report.chapters[0]
    question = ask_question(case)
    assert case.calibration is not None and chapter.calibrated is not None
    study = case.studies[case.calibration.study]
    finding = study.finding(case.calibration.finding)
    scale = float(chapter.calibrated.draws.values[chapter.calibrated.parameter][0])
    mechanism = case.mechanism(chapter.slug, case.dosable)
    scores = []
    for name in finding.arms:
        arm = study.design.arm(name)
        values = {**case.trial, **study.trial.values, chapter.calibrated.parameter: scale}
        if arm.comparator_cue is not None:
            values[case.cue] = arm.comparator_cue
        given = Arm(case.regimen(arm.condition.regimen), (), values)
        run = simulate(mechanism, {name: given}, [-2.0, finding.time or 0.0])
        scores.append(float(run["score"].to_numpy().ravel()[-1]))
    assert scores[0] - scores[1] == pytest.approx(finding.value, abs=1e-3)
    assert question.time == finding.time
    lines = [result for result in chapter.claims if result.claim.measure == "difference" and result.claim.at]
    for result in lines:
        values = {**case.trial, chapter.calibrated.parameter: scale}
        arms = {
            key: Arm(case.regimen(c.regimen), case.spell_out(c.probes), values)
            for key, c in (("given", result.claim.given), ("versus", result.claim.versus))
        }
        run = simulate(mechanism, arms, [-2.0, result.claim.at or 0.0], outputs=[result.claim.output])
        ends = run[result.claim.output].to_numpy()[:, 0, 0, -1]
        assert result.measured == pytest.approx(ends[0] - ends[1], rel=1e-3, abs=1e-4)


# --- sensitivity -----------------------------------------------------------------------------------------------------


def uncertain(name: str, prior: Prior) -> Parameter:
    return Parameter(name, name, prior.median, "nM", True, prior, 0.0, "log-normal", "assumed", "", "", "x.tsv", 2)


def test_indices_of_the_ishigami_function_through_priors() -> None:
    numbers = [uncertain(f"x{i}", Prior("uniform", (-math.pi, math.pi))) for i in (1, 2, 3)]
    draws = through_priors(numbers, saltelli_points(3, 2048, seed=7))
    x1, x2, x3 = (draws.values[f"x{i}"] for i in (1, 2, 3))
    found = decompose(["x1", "x2", "x3"], np.sin(x1) + 7 * np.sin(x2) ** 2 + 0.1 * x3**4 * np.sin(x1), 2048, seed=7)
    v1, v2, v13 = 0.5 * (1 + 0.1 * math.pi**4 / 5) ** 2, 7**2 / 8, 0.1**2 * math.pi**8 * 8 / 225
    whole = v1 + v2 + v13
    exact = {"x1": (v1 / whole, (v1 + v13) / whole), "x2": (v2 / whole, v2 / whole), "x3": (0.0, v13 / whole)}
    assert [i.parameter for i in found.indices] == ["x1", "x2", "x3"]
    for index in found.indices:
        first, total = exact[index.parameter]
        assert abs(index.first - first) < 2 * index.first_error < 0.2
        assert abs(index.total - total) < 2 * index.total_error < 0.2
    assert found.sd == pytest.approx(math.sqrt(whole), rel=0.02)


def test_indices_of_a_sum_of_logarithms_are_the_variances_of_the_priors() -> None:
    spreads = {"a": 0.2, "b": 0.5, "c": 1.0}
    numbers = [uncertain(name, Prior("log-normal", (0.3, sd))) for name, sd in spreads.items()]
    draws = through_priors(numbers, saltelli_points(3, 1024, seed=2))
    values = sum(np.log(draws.values[name]) for name in spreads)
    found = decompose(list(spreads), np.asarray(values), 1024, seed=2)
    whole = sum(sd**2 for sd in spreads.values())
    for index in found.indices:
        assert index.first == pytest.approx(spreads[index.parameter] ** 2 / whole, abs=2 * index.first_error)
        assert index.total == pytest.approx(spreads[index.parameter] ** 2 / whole, abs=2 * index.total_error)
    assert found.first_sum == pytest.approx(1.0, abs=0.05)


def test_failed_runs_take_their_base_point_with_them_and_are_counted() -> None:
    points = saltelli_points(2, 256, seed=1)
    values = points[:, 0] + 3 * points[:, 1]
    values[[4, 5, 40]] = np.nan  # two of the second base point's runs, one of the eleventh's
    found = decompose(["a", "b"], values, 256, seed=1)
    assert (found.failed, found.dropped, found.runs) == (3, 2, 256 * 4)
    sound = np.delete(values.reshape(256, 4), [1, 10], axis=0).ravel()
    assert found.indices == decompose(["a", "b"], sound, 254, seed=1).indices
    assert found.indices[0].first == pytest.approx(0.9, abs=2 * found.indices[0].first_error)


def test_what_varies_by_no_more_than_the_solver_errs_has_no_indices() -> None:
    points = saltelli_points(2, 64, seed=1)
    values = 1e-3 * points[:, 0]
    assert decompose(["a", "b"], values, 64, seed=1).indices
    assert decompose(["a", "b"], values, 64, seed=1, noise=1e-2).indices == ()
    assert decompose(["a", "b"], np.full(256, 2.0), 64, seed=1).indices == ()


def test_the_endpoint_has_the_mean_of_plain_random_draws(example: antagony.Case) -> None:
    found = find_sensitivity(example, "trip", samples=64, seed=1)
    question = ask_question(example)
    assert question.antagonist is not None and len(found) == 2
    mechanism = example.mechanism("trip", question.antagonist.regimen.drugs)
    draws = draw_parameters(mechanism.parameters.values(), 512, seed=9)
    arms = {s.name: Arm(s.regimen, (), example.trial) for s in (question.main, question.antagonist)}
    run = simulate(mechanism, arms, [-3.0, question.time], draws=draws, outputs=["score"])
    main, both = np.diff(run["score"].to_numpy()[:, :, 0], axis=-1)[..., 0]
    for one, values in zip(found, (main, both - main), strict=True):
        assert one.mean == pytest.approx(values.mean(), abs=4 * values.std() / math.sqrt(128))
        assert one.sd == pytest.approx(values.std(), rel=0.3)
    assert found[0].mean < 0 < found[1].mean  # the dose helps, the antagonist takes some of it
    assert found[1].title.startswith("score at 7 d, psilocybin after ketanserin minus")


def test_the_same_seed_gives_the_same_indices(example: antagony.Case) -> None:
    first, second = (find_sensitivity(example, "trip", samples=16, seed=0) for _ in range(2))
    other = find_sensitivity(example, "trip", samples=16, seed=1)
    assert first == second != other


def test_without_the_library_it_says_how_to_get_it(example: antagony.Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "SALib.analyze", None)
    monkeypatch.setitem(sys.modules, "SALib", None)
    steps: list[str] = []
    with pytest.raises(ReportError, match="sensitivity needs the library SALib"):
        build_report(example, ["trip"], progress=lambda text, done, total: steps.append(text))
    assert steps == []
    with pytest.raises(ReportError, match=r'pip install "antagony\[report\]"'):
        saltelli_points(2, 4, seed=1)


# --- identifiability -------------------------------------------------------------------------------------------------


def test_only_a_sum_is_known_where_only_a_sum_was_measured() -> None:
    found = judge_information(["a", "b", "c"], np.array([[2.0, 2.0, 0.0]]), np.array([[0.25]]))
    # F = 16 [[1, 1], [1, 1]]; eigenvalue 32 along (1, 1)/sqrt 2; posterior variance of each 1/2 + 1/(2 (1 + 32))
    assert (found.rank, found.known, found.condition) == (1, 1, 1.0)
    best = found.combinations[0]
    assert best.information == pytest.approx(32.0)
    assert sorted(best.parameters) == ["a", "b"]
    assert best.loadings == pytest.approx((math.sqrt(0.5), math.sqrt(0.5)))
    assert found.shrinkage == pytest.approx({"a": 0.5 + 0.5 / 33, "b": 0.5 + 0.5 / 33, "c": 1.0})
    assert len(found.ties) == 1 and {found.ties[0].first, found.ties[0].second} == {"a", "b"}
    covariance, variance = 0.5 / 33 - 0.5, 0.5 + 0.5 / 33
    assert found.ties[0].correlation == pytest.approx(covariance / variance)
    assert (found.silent, found.untaught) == (("c",), ())


def test_information_of_a_line_is_that_of_least_squares() -> None:
    x = np.linspace(-1, 2, 7)
    slopes, covariance = np.column_stack([np.ones(7), x]), 0.3**2 * np.eye(7)
    found = judge_information(["level", "slope"], slopes, covariance)
    exact = np.linalg.inv(np.eye(2) + slopes.T @ slopes / 0.09)
    assert list(found.shrinkage.values()) == pytest.approx([exact[0, 0], exact[1, 1]])
    values = np.linalg.eigvalsh(slopes.T @ slopes / 0.09)
    assert found.condition == pytest.approx(values[1] / values[0])
    assert found.rank == found.known == 2


def test_errors_that_findings_share_are_no_double_evidence() -> None:
    slopes = np.array([[1.0], [1.0]])
    shared = judge_information(["a"], slopes, np.array([[1.0, 1.0 - 1e-9], [1.0 - 1e-9, 1.0]]))
    apart = judge_information(["a"], slopes, np.eye(2))
    assert shared.shrinkage["a"] == pytest.approx(0.5, abs=1e-6)
    assert apart.shrinkage["a"] == pytest.approx(1 / 3)


def test_no_finding_teaches_nothing() -> None:
    found = judge_information(["a", "b"], np.empty((0, 2)), np.empty((0, 0)))
    assert (found.rank, found.known, found.silent) == (0, 0, ("a", "b"))
    assert found.shrinkage == {"a": 1.0, "b": 1.0}


@pytest.mark.parametrize(
    "prior",
    [
        Prior("uniform", (1, 3)), Prior("log-uniform", (0.5, 8)), Prior("normal", (1, 2)),
        Prior("log-normal", (0.1, 0.4)), Prior("beta", (2, 3)),
    ],
    ids=lambda prior: prior.distribution,
)  # fmt: skip
@pytest.mark.parametrize("z", [-1.5, 0.0, 0.7])
def test_a_value_lies_where_its_quantile_says(prior: Prior, z: float) -> None:
    from statistics import NormalDist

    p = uncertain("a", prior)
    assert normal_score(p, float(prior.quantile(NormalDist().cdf(z)))) == pytest.approx(z, abs=1e-6)


def test_ties_are_correlations() -> None:
    ties = find_ties(["a", "b", "c"], np.array([[4.0, -1.2, 0.0], [-1.2, 1.0, 0.1], [0.0, 0.1, 1.0]]))
    assert [(t.first, t.second) for t in ties] == [("b", "a")]
    assert ties[0].correlation == pytest.approx(-0.6)


def test_the_outcome_scale_is_what_a_trial_of_the_example_teaches(example: antagony.Case) -> None:
    """The invented trial's contrast grows with the scale, so of all numbers it teaches that one most."""
    found = find_identifiability(example, "trip")
    assert min(found.shrinkage, key=lambda name: found.shrinkage[name]) == "effect_scale"
    assert set(found.findings) == {"invented_felt/week", "invented_placebo/week"}
    assert all(0 < left <= 1 + 1e-9 for left in found.shrinkage.values())


# --- verification ----------------------------------------------------------------------------------------------------


def test_tighter_tolerances_move_little(example: antagony.Case) -> None:
    found = refine(example, "trip")
    assert "score" in {r.output for r in found}
    assert all(0 <= r.difference < 1e-3 * max(r.size, 1e-3) for r in found)
    assert any(r.difference > 0 for r in found)


def test_stored_proofs_are_read_with_their_dates() -> None:
    folder = find_reports()
    assert folder is not None
    proofs = {proof.name: proof for proof in read_proofs(folder)}
    for name, proof in proofs.items():
        lines = (folder / f"{name}.md").read_text(encoding="utf-8").splitlines()
        rows = [line for line in lines if line.startswith("| ") and not line.startswith("| promise")]
        assert len(proof.promises) == sum("| exit code |" not in row for row in rows)
        assert proof.made.split(",")[0] in "\n".join(lines)
    assert {"agreement", "conformance", "calibration"} <= proofs.keys()
    assert any(p.target == "|z| < 3" for p in proofs["calibration"].promises)
    assert read_proofs(None) == ()


# --- diagram ---------------------------------------------------------------------------------------------------------


def test_effects_stand_below_their_causes(packaged: antagony.Case) -> None:
    for wiring in packaged.wirings.values():
        layers = layer_nodes(wiring.edges)
        assert all(layers[e.source] < layers[e.target] for e in wiring.edges)
        layout = place_nodes(wiring.edges)
        rows: dict[float, list[float]] = {}
        for x, y in layout.nodes.values():
            rows.setdefault(y, []).append(x)
        assert all(b - a > 0.99 for row in rows.values() for a, b in pairwise(sorted(row)))


def test_circles_are_drawn_too() -> None:
    edges = (Edge("a", "b", 1), Edge("b", "c", -1), Edge("c", "a", 1), Edge("c", "c", -1))
    assert layer_nodes(edges) == {"a": 0, "b": 1, "c": 2}
    svg = svg_text(plot_diagram(edges, {"a": HOSTILE}), "circle", "circle")
    assert "<script" not in svg
    ElementTree.fromstring(svg)


# --- the page --------------------------------------------------------------------------------------------------------


def test_the_page_asks_no_host_for_anything(page: str) -> None:
    parsed = Page(page)
    assert not {tag for tag, _ in parsed.tags} & {"script", "link", "img", "iframe", "object", "video"}
    loads = {"src", "srcset", "data", "poster", "action"}
    assert not [(tag, name) for tag, attributes in parsed.tags for name in attributes if name in loads]
    assert "url(" not in page.replace("url(#", "") and "@import" not in page
    for tag, attributes in parsed.tags:
        target = attributes.get("href", attributes.get("xlink:href", "#"))
        assert target.startswith(("#", "https://", "http://")), (tag, target)


def test_the_page_is_whole_and_its_headings_are_in_order(page: str) -> None:
    parsed = Page(page)
    assert parsed.open == []
    counted = Counter(tag for tag, _ in parsed.tags)
    assert counted["h1"] == counted["main"] == counted["nav"] == counted["title"] == 1
    levels = [int(tag[1]) for tag, _ in parsed.tags if re.fullmatch(r"h[1-6]", tag)]
    assert all(deeper - level <= 1 for level, deeper in pairwise(levels))
    ids = [attributes["id"] for _, attributes in parsed.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    inside = {a["href"][1:] for tag, a in parsed.tags if tag == "a" and a["href"].startswith("#")}
    assert inside <= set(ids) and len(inside) > 20
    regions = [a["aria-label"] for _, a in parsed.tags if a.get("role") == "region"]
    assert len(regions) == len(set(regions)) > 10
    labels = {a["aria-labelledby"] for _, a in parsed.tags if "aria-labelledby" in a}
    assert labels <= set(ids)


def test_captions_are_numbered_without_gaps(page: str) -> None:
    for kind, element in (("Table", "caption"), ("Figure", "figcaption")):
        captions = re.findall(rf"<{element}[^>]*>(?:<span>)?<strong>{kind}\s(\d+)\.</strong> ([^<]+)", page)
        assert [int(number) for number, _ in captions] == list(range(1, len(captions) + 1))
        assert len(captions) > 2 and all(len(text) > 30 for _, text in captions)
    assert page.count("<caption") == page.count("<table")
    assert page.count("<figcaption") == page.count("<figure")


def test_every_cited_source_is_in_the_list(page: str, report: ModelReport) -> None:
    cited = set(re.findall(r'href="#ref-([^"]+)"', page))
    assert cited == set(re.findall(r'<div id="ref-([^"]+)"', page))
    assert cited <= report.bibliography.keys()


def test_what_is_missing_is_named_with_its_reason(page: str) -> None:
    text = Page(page).text
    assert "no answer of antagony weigh is stored for this case" in text
    assert "a quick report leaves it out" in text
    assert "The studies were replayed instead" in text


def test_the_same_seed_gives_the_same_bytes(example: antagony.Case, page: str) -> None:
    again = build_report(antagony.open_case(PSILOCYBIN), ["trip", "receptor"], draws=40, seed=3, quick=True)
    assert render_report(again) == page
    assert "Computed in" not in page


def test_keys_become_links_and_nothing_else_does() -> None:
    cite = Citations({"li_2010": "Li", "li_2010b": "Li again"})
    link = '<a href="#ref-li_2010b">li_2010b</a>'
    assert cite("see li_2010b, my_li_2010 & <b>") == f"see {link}, my_li_2010 &amp; &lt;b&gt;"
    assert cite.entries == [("li_2010b", "Li again")]
    assert Citations({})("a < b") == "a &lt; b"


# --- other cases -----------------------------------------------------------------------------------------------------


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    return Path(shutil.copytree(PSILOCYBIN, tmp_path / "case"))


def edit(path: Path, *pairs: tuple[str, str]) -> None:
    text = path.read_text(encoding="utf-8")
    for old, new in pairs:
        assert old in text, old
        text = text.replace(old, new, 1)
    path.write_text(text, encoding="utf-8")


def quick_page(folder: Path, slug: str = "trip") -> str:
    return render_report(build_report(antagony.open_case(folder), [slug], draws=10, quick=True))


def test_texts_of_a_stranger_are_shown_and_do_nothing(copied: Path) -> None:
    single = HOSTILE.replace('"', "'")
    head = (copied / "case.toml").read_text(encoding="utf-8")
    for key in ("title", "question", "disclaimer"):
        head = re.sub(rf'(?m)^{key} = "', f'{key} = "{single} ', head, count=1)
    (copied / "case.toml").write_text(head, encoding="utf-8")
    mechanism = copied / "mechanisms" / "trip" / "mechanism.toml"
    edit(mechanism, ('title = "', f'title = "{single} '), ('statement = "', f'statement = "{single} '))
    wiring = copied / "mechanisms" / "trip" / "wiring.ant"
    wiring.write_text(f"// {HOSTILE}\n//   {HOSTILE}\n" + wiring.read_text(encoding="utf-8"), encoding="utf-8")
    readme = copied / "mechanisms" / "trip" / "README.md"
    readme.write_text(f"**{HOSTILE}** `{HOSTILE}` {HOSTILE}\n", encoding="utf-8")
    table = copied / "parts" / "parameters.tsv"
    rows = table.read_text(encoding="utf-8").splitlines()
    cells = rows[1].split("\t")
    cells[1], cells[11:] = HOSTILE, [HOSTILE]
    table.write_text("\n".join([rows[0], "\t".join(cells), *rows[2:]]), encoding="utf-8")
    page = quick_page(copied)
    assert "<script" not in page
    assert page.count("&lt;script&gt;") > 8
    assert Page(page).open == []


def test_a_case_without_studies_rules_edges_or_references(copied: Path) -> None:
    shutil.rmtree(copied / "studies")
    (copied / "weighing.toml").unlink()
    (copied / "references.bib").unlink()
    edit(copied / "mechanisms" / "trip" / "mechanism.toml", ("chain = [", "unused = ["))
    text = (copied / "mechanisms" / "trip" / "mechanism.toml").read_text(encoding="utf-8")
    (copied / "mechanisms" / "trip" / "mechanism.toml").write_text(
        re.sub(r"unused = \[.*?\n\]\n", "", text, flags=re.DOTALL), encoding="utf-8"
    )
    told = Page(quick_page(copied)).text
    for reason in (
        "the mechanism lists no arrows",
        "the case has no weighing.toml",
        "the case holds no study",
        "no study",
        "the case has no references.bib",
    ):
        assert reason in told, reason
    assert ("Sensitivity" in told and "first and total order" not in told) or "Saltelli design" in told


def test_an_answer_of_another_state_is_not_shown(copied: Path) -> None:
    (copied / "answers").mkdir()
    (copied / "answers" / "0123456789abcdef-standard.json.gz").write_bytes(gzip.compress(b"{}"))
    assert "the answer stored beside the case belongs to another state of it" in Page(quick_page(copied)).text


def test_nominal_values_of_another_state_are_not_used(copied: Path) -> None:
    (copied / "nominal").mkdir()
    (copied / "nominal" / "trip-0123456789abcdef.tsv").write_text(
        "parameterId\tnominalValue\nbenefit_half\t0.5\n", encoding="utf-8"
    )
    told = Page(quick_page(copied)).text
    assert "computed from other numbers than the case now holds" in told


def test_the_command_writes_the_page(tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    command = ["report", "trip", "--case", str(PSILOCYBIN), "--out", str(out), "--draws", "10", "--quick"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert "1 mechanism," in done.output
    text = Page(out.read_text(encoding="utf-8")).text
    assert "antagony report trip --draws 10 --seed 1 --quick --case FOLDER" in text
    assert "antagony claims trip --draws 10 --seed 1 --long --case FOLDER" in text
    assert str(PSILOCYBIN) not in out.read_text(encoding="utf-8")
    assert "not of the models of this case" in text


def test_what_cannot_be_reported_is_refused(example: antagony.Case, report: ModelReport, tmp_path: Path) -> None:
    with pytest.raises(CaseError, match='no mechanism "tripp"; did you mean "trip"'):
        build_report(example, ["tripp"])
    with pytest.raises(ReportError, match="cannot be written"):
        write_model_report(report, tmp_path / "nowhere" / "report.html")
    assert not list(tmp_path.iterdir())
    refused = CliRunner().invoke(app, ["report", "--out", "report.pdf"])
    assert isinstance(refused.exception, ReportError)


@pytest.mark.slow
def test_the_stored_answer_of_the_packaged_case_is_shown_as_it_is(packaged: antagony.Case) -> None:
    answer = storage.read_answer(packaged)
    assert answer is not None
    found = build_report(packaged, ["camp_crosstalk"], draws=60, quick=True)
    text = Page(render_report(found)).text
    weighed = answer.weighed("camp_crosstalk")
    taught = [one for one in weighed.learned if len(one.parameters) == 1 and one.is_learned]
    assert taught and f"the {len(taught)} numbers of which the studies say more than the prior" in text
    over = weighed.partial.value - answer.weighed("unexplained").partial.value
    assert f"every contrast is free {over:.3g} nat" in text
    for one in taught:
        assert f"{show_number(one.low)} to {show_number(one.high)}" in text
    inside = [f.covered for f in weighed.findings if f.observed is not None and f.high > f.low]
    roles = [packaged.studies[f.study].role for f in weighed.findings if f.observed is not None and f.high > f.low]
    held = [covered for covered, role in zip(inside, roles, strict=True) if role != "calibrating"]
    assert f"had no part in the prediction, {sum(map(bool, held))} of {len(held)} lie within" in text
