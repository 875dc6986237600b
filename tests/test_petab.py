# sympy, scipy and libpetab build their classes at run time, and their annotations do not follow.
# pyright: reportAttributeAccessIssue=false, reportCallIssue=false, reportArgumentType=false
"""PEtab v2 against closed forms and libpetab: expressions, periods, noise, priors; what is refused; what is written."""

from __future__ import annotations

import csv
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad
from typer.testing import CliRunner

import antagony
from antagony.calibration import calibrate, study_arm
from antagony.case import Case
from antagony.cli import app
from antagony.errors import SimulationError, UnsupportedError
from antagony.exchange.petab import PetabParameter, PetabProblem, open_petab
from antagony.exchange.petab_export import choose_findings, write_petab
from antagony.exchange.petab_likelihood import measurement_log_density, prior_log_density
from antagony.exchange.petab_math import parse_formula
from antagony.exchange.petab_run import simulate_petab
from antagony.exchange.petab_switch import remove_switches
from antagony.population import NOMINAL
from antagony.reference import load_roadrunner
from antagony.simulation import Tolerances, simulate

# --- expressions -----------------------------------------------------------------------------------------------------

A, B = 0.7, -3.0
EXPRESSIONS = [
    ("a*b - b/a", A * B - B / A),
    ("-2^2", -4.0),
    ("2^3^2", 512.0),
    ("9*3^-2", 1.0),
    ("pow(a, 2) + sqrt(4*a)", A**2 + math.sqrt(4 * A)),
    ("exp(a) + ln(a) + log(a, 3) + log2(a) + log10(a)",
     math.exp(A) + math.log(A) + math.log(A, 3) + math.log2(A) + math.log10(A)),
    ("sin(a) + cos(a) + tan(a)", math.sin(A) + math.cos(A) + math.tan(A)),
    ("sec(a) + csc(a) + cot(a)", 1 / math.cos(A) + 1 / math.sin(A) + 1 / math.tan(A)),
    ("sinh(a) + cosh(a) + tanh(a)", math.sinh(A) + math.cosh(A) + math.tanh(A)),
    ("sech(a) + csch(a) + coth(a)", 1 / math.cosh(A) + 1 / math.sinh(A) + 1 / math.tanh(A)),
    ("arcsin(a) + arccos(a) + arctan(a)", math.asin(A) + math.acos(A) + math.atan(A)),
    ("arcsec(b) + arccsc(b) + arccot(b)", math.acos(1 / B) + math.asin(1 / B) + math.atan(1 / B)),
    ("arcsinh(b) + arccosh(-b) + arctanh(a)", math.asinh(B) + math.acosh(-B) + math.atanh(A)),
    ("arcsech(a) + arccsch(b) + arccoth(b)", math.acosh(1 / A) + math.asinh(1 / B) + math.atanh(1 / B)),
    ("abs(b) + sign(b) + min(a, b) + max(a, b)", 3.0 - 1.0 + B + A),
    ("piecewise(1, a > b, 2)", 1.0),
    ("piecewise(1, a < b, 2, a == 0.7, 3)", 2.0),
    ("piecewise(0, a > 0 || a > 0 && a < 0, 1)", 1.0),  # && and || bind alike, from the left
    ("3 + (a > b) - (a <= b)", 4.0),
    ("(a != b) * 5 + !a + !!a", 6.0),
    ("a && 0", 0.0),
    ("(a || 0) + (0 || 0) + (a < 0 || b < 0)", 2.0),
    ("log(0)", -math.inf),
    ("1/0", math.inf),
    ("-inf + a", -math.inf),
]  # fmt: skip


@pytest.mark.parametrize(("text", "value"), EXPRESSIONS, ids=[text for text, _ in EXPRESSIONS])
def test_an_expression_has_its_value(text: str, value: float) -> None:
    assert parse_formula(text)({"a": A, "b": B}) == pytest.approx(value, rel=1e-14)


def test_expressions_agree_with_libpetab_and_sympy() -> None:
    """libpetab's own road by sympy, at values put in afterwards; comparisons in a sum and `!a` it cannot read."""
    from petab.v2.math import sympify_petab

    asked = [text for text, value in EXPRESSIONS if math.isfinite(value) and "!" not in text and "(a >" not in text]
    asked = [text for text in asked if "&&" not in text and "||" not in text]
    assert len(asked) > 15
    for text in asked:
        tree = sympify_petab(text)
        symbols = {s: {"a": A, "b": B}[s.name] for s in tree.free_symbols}
        assert parse_formula(text)({"a": A, "b": B}) == pytest.approx(float(tree.subs(symbols)), rel=1e-12), text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1 +", "no PEtab expression"),
        ("a b", "extraneous input"),
        ("sqt(2)", 'did you mean "sqrt"'),
        ("sin(1, 2)", "sin does not take 2 arguments"),
        ("piecewise(1, 2)", "piecewise does not take 2"),
        ("nan", "reserved word"),
        ("__import__('os')", "no PEtab expression"),
        ("(" * 300 + "1" + ")" * 300, "300 brackets"),
        ("+".join(["a"] * 5000), "too many operators"),
        ("a" * 30_000, "30000 characters"),
    ],
)
def test_what_is_no_expression_is_quoted(text: str, said: str) -> None:
    with pytest.raises(SimulationError, match=said.replace("(", r"\(")):
        parse_formula(text)({"a": A, "b": B})


def test_an_unknown_name_is_said_with_its_neighbour() -> None:
    with pytest.raises(SimulationError, match='nothing is called "scroe"; did you mean "score"'):
        parse_formula("2*scroe")({"score": 1.0})


def test_a_tower_of_powers_is_infinite_at_once() -> None:
    begin = time.monotonic()
    assert parse_formula("3*9^9^9^9 + 2")({}) == math.inf
    assert time.monotonic() - begin < 2


# --- problems --------------------------------------------------------------------------------------------------------

CONVERSION = """
model conversion
  compartment c = 1
  species S in c, P in c
  a0 = 1; k1 = 0.8; k2 = 0.6; offset = 0
  S = a0; P = 0
  forward: S -> P; c*k1*S
  back: P -> S; c*k2*P
end
"""
HEADS = {
    "parameters": "parameterId lowerBound upperBound nominalValue estimate priorDistribution priorParameters",
    "observables": "observableId observableFormula noiseFormula noiseDistribution "
    "observablePlaceholders noisePlaceholders",
    "measurements": "observableId experimentId time measurement observableParameters noiseParameters",
    "conditions": "conditionId targetId targetValue",
    "experiments": "experimentId time conditionId",
    "mappings": "petabEntityId modelEntityId",
}
SPECIES = [("s", "S", "0.5"), ("p", "P", "0.5")]


def sbml_of(text: str) -> str:
    import antimony

    antimony.clearPreviousLoads()
    assert antimony.loadAntimonyString(text) >= 0, antimony.getLastError()
    return str(antimony.getSBMLString(antimony.getMainModuleName()))


@pytest.fixture
def problem(tmp_path: Path) -> Callable[..., Path]:
    """Writes a problem: rows by table, short rows filled up with empty cells."""

    def write(model: str = CONVERSION, config: str = "", **tables: Sequence[tuple[Any, ...]]) -> Path:
        (tmp_path / "model.xml").write_text(sbml_of(model))
        lines = ["format_version: 2.0.0", "model_files:", "  m: {language: sbml, location: model.xml}"]
        rows = {"parameters": [("k2", 0, 10, 0.6, "true")], "observables": SPECIES, **tables}
        for name, some in rows.items():
            head = HEADS[name].split()
            body = ["\t".join([*map(str, row), *[""] * (len(head) - len(row))]) for row in some]
            (tmp_path / f"{name}.tsv").write_text("\n".join(["\t".join(head), *body]) + "\n")
            lines.append(f"{name.removesuffix('s')}_files: [{name}.tsv]")
        path = tmp_path / "problem.yaml"
        path.write_text("\n".join(lines) + "\n" + config)
        return path

    return write


def shown(path: Path, **values: float) -> list[float]:
    return list(simulate_petab(open_petab(path), values).simulations)


def converted(start: tuple[float, float], k1: float, k2: float, span: float) -> tuple[float, float]:
    """S <-> P after a span, in closed form."""
    total, rate = sum(start), k1 + k2
    rest = total * k2 / rate
    s = rest + (start[0] - rest) * math.exp(-rate * span)
    return s, total - s


def test_without_an_experiment_the_model_is_run_as_it_is(problem: Callable[..., Path]) -> None:
    path = problem(measurements=[("s", "", 0, 1), ("s", "", 2, 1), ("p", "", 2, 1)])
    assert shown(path) == pytest.approx([1.0, *converted((1, 0), 0.8, 0.6, 2)], rel=1e-8)
    assert shown(path, k2=1.5)[1:] == pytest.approx(converted((1, 0), 0.8, 1.5, 2), rel=1e-8)
    assert shown(path)[1:] == pytest.approx(converted((1, 0), 0.8, 0.6, 2), rel=1e-8)  # and back


def test_periods_add_set_and_stay(problem: Callable[..., Path]) -> None:
    """A dose, then two conditions at once, the second of which uses a value as it was before; what is set stays."""
    path = problem(
        conditions=[
            ("dose", "S", "S + 3"), ("swap", "S", "P"), ("other", "P", "S"), ("slow", "k1", "k1/4 + 0*time"),
        ],
        experiments=[("e", -1, ""), ("e", 1, "dose"), ("e", 2, "swap"), ("e", 2, "other"), ("e", 3, "slow")],
        measurements=[("s", "e", 1, 1), ("s", "e", 2, 1), ("p", "e", 2, 1), ("p", "e", 5, 1), ("s", "e", 0, 1)],
    )  # fmt: skip
    first = converted((1, 0), 0.8, 0.6, 2)
    dosed = (first[0] + 3, first[1])
    second = converted(dosed, 0.8, 0.6, 1)
    swapped = (second[1], second[0])
    last = converted(converted(swapped, 0.8, 0.6, 1), 0.2, 0.6, 2)
    wanted = [dosed[0], *swapped, last[1], converted((1, 0), 0.8, 0.6, 1)[0]]
    assert shown(path) == pytest.approx(wanted, rel=1e-8)


def test_initial_assignments_follow_the_first_period_and_no_later_one(problem: Callable[..., Path]) -> None:
    path = problem(
        parameters=[("k2", 0, 10, 0.6, "true"), ("dose", 0, 10, 4, "true")],
        conditions=[("begin", "a0", "2*dose"), ("later", "a0", "99"), ("set", "S", "dose")],
        experiments=[("e", 0, "begin"), ("e", 1, "later"), ("f", 0, "set")],
        measurements=[("s", "e", 0, 1), ("s", "e", 2, 1), ("s", "f", 0, 1), ("s", "f", 1, 1)],
    )
    wanted = [8, converted((8, 0), 0.8, 0.6, 2)[0], 4, converted((4, 0), 0.8, 0.6, 1)[0]]
    assert shown(path) == pytest.approx(wanted, rel=1e-8)
    assert shown(path, dose=1.0)[:3] == pytest.approx([2, converted((2, 0), 0.8, 0.6, 2)[0], 1], rel=1e-8)


def test_before_and_after_is_steady(problem: Callable[..., Path]) -> None:
    """Pre-equilibrated with another rate, P then set while S stays; and a measurement at steady state."""
    path = problem(
        conditions=[("pre", "k1", "0.3"), ("main", "k1", "0.8"), ("main", "P", "5")],
        experiments=[("e", "-inf", "pre"), ("e", 0, "main")],
        measurements=[("s", "e", 0, 1), ("p", "e", 0, 1), ("s", "e", 1, 1), ("s", "e", "inf", 1)],
    )
    s = 0.6 / 0.9
    wanted = [s, 5, converted((s, 5), 0.8, 0.6, 1)[0], (s + 5) * 0.6 / 1.4]
    assert shown(path) == pytest.approx(wanted, rel=1e-7)


@pytest.mark.parametrize("rate", ["1", "sin(time)", "-x^2*x + x + sin(time)"])
def test_what_never_settles_is_said(problem: Callable[..., Path], rate: str) -> None:
    path = problem(
        f"model m; x = 1; x' = {rate}; k2 = 1; end",
        observables=[("x_seen", "x", "1")],
        measurements=[("x_seen", "", "inf", 1)],
    )
    with pytest.raises(SimulationError, match=r'no steady state: "x"|could not be followed'):
        shown(path)


def test_a_size_that_changes_keeps_amounts(problem: Callable[..., Path]) -> None:
    """SBML keeps amounts; a concentration set with its size is an amount in the size before."""
    path = problem(
        "model m; compartment c = 2; species S in c, P in c; S = 6; P = 4; k2 = 1\n"
        "substanceOnly species A in c; A = 5; end",
        observables=[("s", "S", "1"), ("p", "P", "1"), ("a", "A", "1"), ("size", "c", "1")],
        conditions=[("grow", "c", "8"), ("grow", "P", "10"), ("begin", "c", "4")],
        experiments=[("e", 0, ""), ("e", 1, "grow"), ("f", 0, "begin")],
        measurements=[*((o, "e", 1, 1) for o in ("s", "p", "a", "size")), ("s", "f", 0, 1), ("a", "f", 0, 1)],
    )
    assert shown(path) == pytest.approx([6 * 2 / 8, 10 * 2 / 8, 5, 8, 6, 5], rel=1e-12)


def test_placeholders_other_observables_and_names_of_one_reaction(problem: Callable[..., Path]) -> None:
    model = """
    model m; compartment c = 1; species S in c; S = 2; k2 = 1; scale = 7; unset = 0
      out: S -> ; c*k*S
      k = 1
    end"""
    path = problem(
        model,
        parameters=[("k2", 0, 10, 0.6, "true"), ("sd", 0, 9, 0.25, "true"), ("shift", 0, 9, 3, "false")],
        observables=[
            ("plain", "m1*S + m2", "n1*plain", "normal", "m1;m2", "n1"),
            ("double", "2*single + time", "single"),
            ("single", "S + shift", "sd"),
        ],
        measurements=[("plain", "", 0, 1, "2;sd", "0.5"), ("plain", "", 0, 1, "1;0", "sd"), ("double", "", 1, 1)],
    )
    run = simulate_petab(open_petab(path))
    left = 2 * math.exp(-1) + 3
    assert run.simulations == pytest.approx((4.25, 2.0, 2 * left + 1), rel=1e-8)
    assert run.noise == pytest.approx((2.125, 0.5, left), rel=1e-8)


def test_a_mapping_names_what_only_one_reaction_knows(problem: Callable[..., Path], tmp_path: Path) -> None:
    path = problem(
        parameters=[("rate_out", 0, 10, 2.0, "true")],
        observables=[("s", "S*rate_out", "1")],
        measurements=[("s", "", 1, 1)],
        mappings=[("rate_out", "out.k")],
    )
    (tmp_path / "model.xml").write_text(LOCAL)
    assert shown(path) == pytest.approx([2 * math.exp(-2)], rel=1e-8)
    assert shown(path, rate_out=0.5) == pytest.approx([0.5 * math.exp(-0.5)], rel=1e-8)


LOCAL = """<sbml xmlns="http://www.sbml.org/sbml/level3/version1/core" level="3" version="1"><model id="m">
<listOfCompartments><compartment id="c" size="1" constant="true" spatialDimensions="3"/></listOfCompartments>
<listOfSpecies><species id="S" compartment="c" initialConcentration="1" hasOnlySubstanceUnits="false"
 boundaryCondition="false" constant="false"/></listOfSpecies>
<listOfReactions><reaction id="out" reversible="false" fast="false">
<listOfReactants><speciesReference species="S" stoichiometry="1" constant="true"/></listOfReactants>
<kineticLaw><math xmlns="http://www.w3.org/1998/Math/MathML"><apply><times/><ci>k</ci><ci>S</ci></apply></math>
<listOfLocalParameters><localParameter id="k" value="1"/></listOfLocalParameters></kineticLaw>
</reaction></listOfReactions></model></sbml>"""

PULSE = """
model pulse
  x = 0; rate = 1; gate = 0; n = 0; k2 = 1
  x' = rate
  bump: at (x > 3), t0=true: x = x + 10
  count: at (gate > 1), t0=true: n = n + 1
end
"""
SEEN = [("x_seen", "x", "1"), ("n_seen", "n", "1")]


def test_events_of_the_model_run_by_libroadrunner(problem: Callable[..., Path]) -> None:
    path = problem(
        PULSE,
        observables=SEEN,
        conditions=[("faster", "rate", "2"), ("back", "x", "x - 1")],
        experiments=[("e", 0, ""), ("e", 5, "faster"), ("e", 6, "back")],
        measurements=[("x_seen", "e", t, 1) for t in (2, 4, 5, 6, 7)],
    )
    run = simulate_petab(open_petab(path))
    assert run.engines[0].startswith("libRoadRunner")
    assert run.simulations == pytest.approx((2, 14, 15, 16, 18), rel=1e-6)


def test_an_event_at_the_start_of_a_period_is_refused(problem: Callable[..., Path]) -> None:
    """libRoadRunner would pass it by, and the number would be wrong without a word."""
    path = problem(
        PULSE,
        observables=SEEN,
        conditions=[("open", "gate", "2")],
        experiments=[("e", 0, ""), ("e", 1, "open")],
        measurements=[("n_seen", "e", 2, 1)],
    )
    with pytest.raises(UnsupportedError, match='the event "count" happens at the very start of a period'):
        shown(path)


def test_an_event_due_at_a_change_comes_after_it(problem: Callable[..., Path]) -> None:
    """The change first, then the event, then the measurement."""
    for shift in (0, 3):
        path = problem(
            f"model m; x = 1; k2 = 1; x' = 0; up: at (time >= {10 + shift}), t0=false: x = 2*x + 1; end",
            observables=[("x_seen", "x", "1")],
            conditions=[("set", "x", "x + 5")],
            experiments=[("e", shift, ""), ("e", 10 + shift, "set")],
            measurements=[("x_seen", "e", t + shift, 1) for t in (0, 9, 10, 11)],
        )
        assert shown(path) == pytest.approx([1, 1, 13, 13], rel=1e-9)


@pytest.mark.parametrize("begin", [-10, 5])
def test_an_event_due_before_the_beginning_is_refused(problem: Callable[..., Path], begin: float) -> None:
    path = problem(
        "model m; x = 1; k2 = 1; x' = 0; up: at (time >= 3), t0=false: x = x + 1; end",
        observables=[("x_seen", "x", "1")],
        experiments=[("e", begin, "")],
        measurements=[("x_seen", "e", 6, 1)],
    )
    with pytest.raises(UnsupportedError, match=r"happens at the very start|cannot begin .* before time 0"):
        shown(path)


def test_an_event_does_not_happen_again_after_the_steady_state(problem: Callable[..., Path]) -> None:
    path = problem(
        "model m; x = 1; k2 = 1; x' = piecewise(1, x <= 500, 0); up: at (x >= 500), t0=false: x = x + 1000; end",
        observables=[("x_seen", "x", "1")],
        experiments=[("e", "-inf", "")],
        measurements=[("x_seen", "e", 0, 1), ("x_seen", "e", "inf", 1)],
    )
    assert shown(path) == pytest.approx([1500, 1500], rel=1e-6)


def test_measured_before_it_begins_is_said(problem: Callable[..., Path]) -> None:
    path = problem(experiments=[("e", 5, "")], measurements=[("s", "e", 4, 1)])
    with pytest.raises(SimulationError, match='experiment "e": something is measured at 4, before it begins at 5'):
        shown(path)


def test_values_and_parameters_must_exist(problem: Callable[..., Path]) -> None:
    path = problem(parameters=[("k1", 0, 10, "", "true")], measurements=[("s", "", 1, 1)])
    with pytest.raises(SimulationError, match='"k1" has no nominal value; set k1=VALUE'):
        shown(path)
    with pytest.raises(SimulationError, match='no "k3"; known: k1'):
        shown(path, k3=1.0)
    assert shown(path, k1=0.8) == pytest.approx([converted((1, 0), 0.8, 0.6, 1)[0]], rel=1e-8)


# --- noise and priors ------------------------------------------------------------------------------------------------


def test_noise_is_scipys(problem: Callable[..., Path]) -> None:
    y, s = 2.0, 0.7
    laws = {
        "normal": stats.norm(y, s),
        "laplace": stats.laplace(y, s),
        "log-normal": stats.lognorm(s, scale=y),
        "log-laplace": stats.loglaplace(1 / s, scale=y),
    }
    for name, law in laws.items():
        for measured in (0.3, 2.0, 5.0):
            got = measurement_log_density(name, measured, y, s)
            assert got == pytest.approx(float(law.logpdf(measured)), rel=1e-12), name


def test_likelihood_and_chi2_sum_over_measurements(problem: Callable[..., Path]) -> None:
    path = problem(
        observables=[("s", "S", "0.5", "log-normal"), ("p", "P + 1", "2", "laplace")],
        measurements=[("s", "", 1, 0.3), ("p", "", 1, 3), ("s", "", 0, 2)],
    )
    run = simulate_petab(open_petab(path))
    s, p = converted((1, 0), 0.8, 0.6, 1)
    terms = [
        stats.lognorm(0.5, scale=s).logpdf(0.3),
        stats.laplace(p + 1, 2).logpdf(3),
        stats.lognorm(0.5, scale=1).logpdf(2),
    ]
    assert run.log_likelihood == pytest.approx(sum(map(float, terms)), rel=1e-8)
    chi2 = (math.log(0.3 / s) / 0.5) ** 2 + ((3 - p - 1) / 2) ** 2 + (math.log(2) / 0.5) ** 2
    assert run.chi2 == pytest.approx(chi2, rel=1e-8)


def test_a_spread_that_is_none_is_said(problem: Callable[..., Path]) -> None:
    path = problem(observables=[("s", "S", "S - 1")], measurements=[("s", "", 0, 1)])
    with pytest.raises(SimulationError, match="the noise formula gives 0"):
        _ = simulate_petab(open_petab(path)).log_likelihood


PRIORS = {
    "cauchy": (3.0, 5.0),
    "chisquare": (4.0,),
    "exponential": (3.0,),
    "gamma": (3.0, 5.0),
    "laplace": (3.0, 5.0),
    "log-laplace": (0.5, 0.7),
    "log-normal": (0.5, 0.7),
    "log-uniform": (0.5, 9.0),
    "normal": (4.0, 2.0),
    "rayleigh": (3.0,),
    "uniform": (1.0, 8.0),
}


@pytest.mark.parametrize("bounds", [(-math.inf, math.inf), (0.0, math.inf), (1.5, 6.0)])
@pytest.mark.parametrize("kind", PRIORS)
def test_a_prior_is_libpetabs_and_has_mass_one(kind: str, bounds: tuple[float, float]) -> None:
    from petab.v2 import Parameter

    law = PetabParameter("p", 2.0, True, *bounds, kind, PRIORS[kind])
    theirs = Parameter(
        id="p", lb=bounds[0], ub=bounds[1], estimate=True, prior_distribution=kind, prior_parameters=[*PRIORS[kind]]
    ).prior_dist
    assert theirs is not None
    for value in (0.3, 2.0, 5.5, 7.0):
        density = float(theirs.pdf(value))
        got = prior_log_density(law, value)
        assert math.exp(got) == pytest.approx(density, rel=1e-10), value
    points = [x for x in (0.0, 0.01, 0.1, 0.5, 1.0, 1.5, 3.0, 6.0, 8.0, 9.0, 30.0, 300.0) if bounds[0] < x < bounds[1]]
    edges = [max(bounds[0], -4000.0), *points, min(bounds[1], 4000.0)]
    mass = sum(
        quad(lambda x: math.exp(prior_log_density(law, x)), a, b, epsabs=1e-10, limit=200)[0]
        for a, b in pairwise(edges)
    )
    assert mass == pytest.approx(1.0, abs=2e-3)  # a Cauchy law leaves 8e-4 beyond 4000


def test_a_far_tail_keeps_its_density() -> None:
    law = PetabParameter("p", 20.0, True, 20.0, math.inf, "normal", (0.0, 1.0))
    exact = stats.norm.logpdf(20.5) - stats.norm.logsf(20)
    assert prior_log_density(law, 20.5) == pytest.approx(float(exact), rel=1e-10)
    assert prior_log_density(law, 19.0) == -math.inf


def test_no_prior_is_uniform_on_finite_bounds_or_none() -> None:
    assert prior_log_density(PetabParameter("p", 1, True, 1.0, 5.0, "", ()), 2.0) == pytest.approx(-math.log(4))
    with pytest.raises(SimulationError, match='"p" has no prior with a density: none is stated, its bounds not finite'):
        prior_log_density(PetabParameter("p", 1, True, 0.0, math.inf, "", ()), 2.0)
    with pytest.raises(SimulationError, match="has no prior with a density: log-uniform"):
        prior_log_density(PetabParameter("p", 1, True, 0.0, 9.0, "log-uniform", (-1.0, 3.0)), 2.0)


# --- a stranger's files ----------------------------------------------------------------------------------------------


def test_no_other_place_is_opened(problem: Callable[..., Path], tmp_path: Path) -> None:
    path = problem(measurements=[("s", "", 1, 1)])
    whole = path.read_text()
    outside = tmp_path.parent / "secret.tsv"
    outside.write_text("secret\n")
    (tmp_path / "link.tsv").symlink_to(outside)
    places = ("/etc/passwd", "../secret.tsv", "https://example.org/m.tsv", "file:///etc/passwd", "link.tsv", "C:/x")
    for place in places:
        path.write_text(whole.replace("measurements.tsv", place))
        with pytest.raises(SimulationError, match="own folder") as refusal:
            open_petab(path)
        assert "secret\n" not in str(refusal.value)


def test_no_code_is_run(problem: Callable[..., Path], tmp_path: Path) -> None:
    path = problem(measurements=[("s", "", 1, 1)])
    whole, marker = path.read_text(), tmp_path / "ran"
    (tmp_path / "model.py").write_text(f"open({str(marker)!r}, 'w').close()\n")
    path.write_text(whole.replace("language: sbml, location: model.xml", "language: pysb, location: model.py"))
    with pytest.raises(UnsupportedError, match='a model in the language "pysb"; SBML is read'):
        open_petab(path)
    path.write_text(whole + f'id: !!python/object/apply:os.system ["touch {marker}"]\n')
    with pytest.raises(SimulationError, match="no YAML"):
        open_petab(path)
    assert not marker.exists()


@pytest.mark.parametrize(
    ("old", "new", "error", "said"),
    [
        ("2.0.0", "1", UnsupportedError, "PEtab 1; version 2 is read; .*petab1to2"),
        ("2.0.0", "3.0.0", UnsupportedError, "PEtab 3.0.0"),
        ("format_version: 2.0.0\n", "", SimulationError, "no format_version"),
        ("{language", "&x {language", SimulationError, None),
        ("  m: {", "  m: *x\n  n: {", SimulationError, "no YAML|aliases"),
        ("2.0.0", f"2.0.0\nid: {'[' * 90}{']' * 90}", SimulationError, "id: .* is not of type|is not valid"),
        ("2.0.0", f"2.0.0\nid: {'[' * 20_000}", SimulationError, "lists or tables more than 100 deep"),  # minutes
        ("measurement_files", "measurments_files", SimulationError, "measur"),
        ("}", "}\n  n: {language: sbml, location: model.xml}", UnsupportedError, "several models"),
        ("measurements.tsv", "nothing.tsv", SimulationError, "there is no such file"),
    ],
)
def test_a_yaml_file_that_is_not_covered_is_refused(
    problem: Callable[..., Path], old: str, new: str, error: type[Exception], said: str | None
) -> None:
    path = problem(measurements=[("s", "", 1, 1)])
    path.write_text(path.read_text().replace(old, new, 1))
    if said is None:
        assert open_petab(path).measurements
        return
    with pytest.raises(error, match=said):
        open_petab(path)


def test_extensions(problem: Callable[..., Path]) -> None:
    config = "extensions:\n  sciml: {version: 0.1.0, required: %s}\n"
    path = problem(measurements=[("s", "", 1, 1)], config=config % "true")
    with pytest.raises(UnsupportedError, match='needs the PEtab extension "sciml"'):
        open_petab(path)
    path.write_text(path.read_text().replace("required: true", "required: false"))
    assert open_petab(path).notes == ('the PEtab extension "sciml" is not needed, and was left aside',)


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ({"measurements": [("q", "", 1, 1)]}, "libpetab's lint: .*'q'.* not defined in the observable"),
        ({"measurements": [("s", "", "soon", 1)]}, 'measurements.tsv, line 2, column time: "soon" is no number'),
        ({"measurements": [("s", "f", 1, 1)]}, 'there is no experiment "f"'),
        ({"measurements": [("s", "", 1, 1, "k2+1")]}, "observableParameters: a number or a parameter"),
        ({"observables": [("s", "S +", "1")]}, 'observables.tsv, line 2, column observableFormula: "S [+]" is no'),
        ({"observables": [("s", "S", "1", "gauss")]}, 'unknown noiseDistribution "gauss"; known: normal'),
        ({"observables": [("s", "S*q", "1")]}, "Missing parameter"),
        ({"parameters": [("k2", 0, 1, 1, "1")]}, "Must be `true` or `false`"),
        ({"parameters": [("k2", 0, 9, 1, "true", "normal", "1")]}, "requires 2 parameters"),
        ({"parameters": [("k2", 0, 9, 1, "true"), ("k2", 0, 9, 1, "true")]}, '"k2" stands twice'),
        ({"conditions": [("c", "S", "1"), ("c", "S", "2")]}, '"S" is changed twice by one condition'),
        ({"conditions": [("c", "k2", "1")], "experiments": [("e", 0, "c")]}, "Extraneous parameter.*k2"),
        ({"conditions": [("c", "nobody", "1")], "experiments": [("e", 0, "c")]}, "invalid targets"),
    ],
)
def test_a_wrong_row_is_said(problem: Callable[..., Path], tables: dict[str, Any], said: str) -> None:
    path = problem(**{"measurements": [("s", "", 1, 1)], **tables})
    with pytest.raises(SimulationError, match=said):
        open_petab(path)


# --- the command line ------------------------------------------------------------------------------------------------


def test_the_command_line_runs_a_problem(problem: Callable[..., Path], tmp_path: Path) -> None:
    path = problem(measurements=[("s", "", 1, 0.4), ("p", "", 1, 1)])
    run = simulate_petab(open_petab(path))
    result = CliRunner().invoke(app, ["simulate", str(path)])
    assert result.exit_code == 0 and f"log likelihood: {run.log_likelihood:.10g}" in result.output
    told = json.loads(CliRunner().invoke(app, ["simulate", str(path), "--json", "--set", "k2=0.1"]).output)
    again = simulate_petab(open_petab(path), {"k2": 0.1})
    assert told["log_likelihood"] == again.log_likelihood != run.log_likelihood
    assert told["log_posterior"] == pytest.approx(again.log_likelihood - math.log(10), rel=1e-12)
    out = tmp_path / "simulations.tsv"
    assert CliRunner().invoke(app, ["simulate", str(path), "--out", str(out)]).exit_code == 0
    assert [float(row["simulation"]) for row in rows_of(out)] == [*run.simulations]
    refused = CliRunner().invoke(app, ["simulate", str(path), "--points", "3"])
    assert isinstance(refused.exception, SimulationError) and "points has no effect" in str(refused.exception)


@pytest.mark.parametrize(
    "text",
    [
        "piecewise(max(0, m - 1.2*r), m > r, 0.4*(m - r))",
        "piecewise(0.4*(m - r), m < r, 3*m - 3*r)",
        "1 + piecewise(s*2/(s + 3), s >= 0, s/(3 - s))",
        "piecewise(m^2, m >= 2*r, 4*r*m - 4*r^2)",
    ],
)
def test_a_continuous_switch_is_the_same_function_without_one(text: str) -> None:
    import libsbml

    model = f"model switching; r = 0.3; m = 0; s = 0; m' = 1; s' = 1; y := {text}; end"
    document = libsbml.readSBMLFromString(sbml_of(model))
    before = [evaluated(document, m) for m in np.linspace(-2, 2, 41)]
    assert remove_switches(document.getModel()) == 1
    assert "piecewise" not in libsbml.writeSBMLToString(document)
    assert [evaluated(document, m) for m in np.linspace(-2, 2, 41)] == pytest.approx(before, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize(
    "text", ["piecewise(1, m > r, 0)", "piecewise(m, m > m*r, r)", "piecewise(m, r < 1 && m > r, r)"]
)
def test_a_switch_that_jumps_stays(text: str) -> None:
    import libsbml

    document = libsbml.readSBMLFromString(sbml_of(f"model switching; r = 0.3; m = 0; m' = 1; y := {text}; end"))
    assert remove_switches(document.getModel()) == 0 and "piecewise" in libsbml.writeSBMLToString(document)


def evaluated(document: Any, x: float) -> float:  # noqa: ANN401
    """The rule for y at m = s = x, by libSBML's own arithmetic."""
    import libsbml

    model = document.getModel()
    for name in ("m", "s"):
        if (item := model.getParameter(name)) is not None:
            item.setValue(float(x))
    return float(libsbml.SBMLTransforms.evaluateASTNode(model.getRule("y").getMath(), model))


# --- out -------------------------------------------------------------------------------------------------------------

WRITTEN = ("camp_crosstalk", "hnk")


@pytest.fixture(scope="module")
def case() -> Case:
    return antagony.open_case()


@pytest.fixture(scope="module")
def written(case: Case, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("petab")
    write_petab(case, WRITTEN, folder)
    return folder


def test_every_weighed_finding_is_in_or_left_out_with_a_reason(case: Case, written: Path) -> None:
    from antagony.posterior.bank import scored_findings

    choice = choose_findings(case)
    asked = {(s.id, f.id) for s, f in scored_findings(case)}
    kept = {(m.study.id, m.finding.id) for m in choice.kept}
    left = {(s.id, f.id) for s, f, why in choice.left if why}
    assert kept | left == asked and not kept & left and len(kept) >= 5
    assert all(m.finding.kind == "contrast" and m.errors.size == 1 for m in choice.kept)
    text = (written / "hnk" / "README.md").read_text()
    assert f"{len(kept)} contrasts in people" in text and f"{len(left)} findings that the case weighs" in text
    assert all(f"`{s.id}`, {f.id}: {why}" in text for s, f, why in choice.left)
    assert case.disclaimer in text


def test_files_are_whole_and_the_same_again(case: Case, written: Path, tmp_path: Path) -> None:
    files = write_petab(case, ["hnk"], tmp_path)
    assert files[-1].name == "problem.yaml" and len(files) == 8
    assert {f.name for f in (tmp_path / "hnk").iterdir()} == {f.name for f in files}
    for file in files:
        assert file.read_bytes() == (written / "hnk" / file.name).read_bytes(), file.name


@pytest.mark.parametrize("slug", WRITTEN)
def test_petablint_accepts_what_is_written(written: Path, slug: str) -> None:
    import warnings

    from petab.v2.lint import lint_problem

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert [*lint_problem(written / slug / "problem.yaml")] == []


def ours(case: Case, slug: str) -> tuple[list[float], float]:
    """Contrasts and log likelihood of the kept findings by `simulate`, without any of the files."""
    drawn = calibrate(case, slug, NOMINAL).draws
    contrasts, total = [], 0.0
    for m in choose_findings(case).kept:
        arms = {name: study_arm(case, m.study, name) for name in m.finding.arms}
        mechanism = case.mechanism(slug, {d for arm in arms.values() for d in arm.regimen.drugs})
        when = float(m.finding.time or 0)
        run = simulate(
            mechanism, arms, [0.0, when], draws=drawn, outputs=["score"], tolerances=Tolerances(1e-10, 1e-12)
        )
        first, second = run["score"].sel(time=when).to_numpy().ravel()
        sd = math.hypot(float(m.errors[0]), m.trial * 0.67448975 * case.rules.trial_sd)  # pyright: ignore
        contrasts.append(float(first - second))
        total += float(stats.norm(first - second, sd).logpdf(m.value))
    return contrasts, total


@pytest.mark.slow
@pytest.mark.parametrize("slug", WRITTEN)
def test_what_is_written_has_our_own_likelihood(case: Case, written: Path, slug: str) -> None:
    contrasts, likelihood = ours(case, slug)
    run = simulate_petab(open_petab(written / slug / "problem.yaml"))
    assert run.simulations == pytest.approx(contrasts, abs=1e-6)
    assert run.log_likelihood == pytest.approx(likelihood, abs=1e-6)
    assert max(map(abs, contrasts)) > 5
    assert math.isfinite(run.log_posterior)


@pytest.mark.slow
def test_what_a_comparator_had_imposed_ends_with_it(case: Case, tmp_path: Path) -> None:
    """Arms turned round: the comparator has a probe for the whole run, which the other arm must not inherit."""
    study = case.studies["fava_2016"]
    turned = [replace(f, arms=f.arms[::-1], value=-(f.value or 0)) for f in study.findings]
    other = replace(case, studies={**case.studies, study.id: replace(study, findings=tuple(turned))})
    contrasts, likelihood = ours(other, "camp_crosstalk")
    write_petab(other, ["camp_crosstalk"], tmp_path)
    run = simulate_petab(open_petab(tmp_path / "camp_crosstalk" / "problem.yaml"))
    assert run.simulations == pytest.approx(contrasts, abs=1e-6) and contrasts[0] > 5
    assert run.log_likelihood == pytest.approx(likelihood, abs=1e-6)


@pytest.mark.slow
def test_libroadrunner_reads_the_same_from_the_files(case: Case, written: Path) -> None:
    """A short reader of the tables, with sympy for formulas and CVODE for the model, shares nothing with ours."""
    for slug in WRITTEN:
        total = by_roadrunner(written / slug)
        assert total == pytest.approx(ours(case, slug)[1], abs=1e-5)


def rows_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines(), delimiter="\t"))


def by_roadrunner(folder: Path) -> float:
    from petab.v2.math import sympify_petab

    roadrunner = load_roadrunner()
    names = ("parameters", "conditions", "experiments", "measurements")
    tables = {name: rows_of(folder / f"{name}.tsv") for name in names}
    known = {row["parameterId"]: float(row["nominalValue"]) for row in tables["parameters"]}
    total = 0.0
    for row in tables["measurements"]:
        runner = roadrunner.RoadRunner(str(folder / "model.xml"))
        runner.integrator.relative_tolerance = 1e-11
        runner.integrator.absolute_tolerance = [1e-13] * len(runner.integrator.getAbsoluteToleranceVector())
        runner.integrator.maximum_num_steps = 1_000_000
        for name, value in known.items():
            if name in runner.model.getGlobalParameterIds():
                runner[name] = value
        runner.reset(roadrunner.SelectionRecord.DEPENDENT_INITIAL_GLOBAL_PARAMETER)
        own = [p for p in tables["experiments"] if p["experimentId"] == row["experimentId"]]
        periods = [(float(p["time"]), p["conditionId"]) for p in own]
        ends = [*(time for time, _ in periods[1:]), float(row["time"])]
        for (begin, condition), end in zip(periods, ends, strict=True):
            changes = {}
            for change in tables["conditions"]:
                if change["conditionId"] == condition:
                    tree = sympify_petab(change["targetValue"])
                    values = {s: known[s.name] if s.name in known else runner[s.name] for s in tree.free_symbols}
                    changes[change["targetId"]] = float(tree.subs(values))
            for target, value in changes.items():
                runner[target] = value
            runner.integrator.restart(begin)
            runner.simulate(begin, end, 2)
        error, points = map(float, row["noiseParameters"].split(";"))
        sd = math.hypot(error, points * known["trial_sd"])
        seen = runner["score"] - runner["reference_score"]
        total += float(stats.norm(seen, sd).logpdf(float(row["measurement"])))
    return total


def test_other_values_move_what_is_written(written: Path) -> None:
    """Parameters of the table reach the model: more drug effect, a larger contrast; another trial's number, none."""
    problem = open_petab(written / "hnk" / "problem.yaml")
    names = [m.experiment for m in problem.measurements]
    i = names.index("murrough_2013__change_24h")
    plain = simulate_petab(problem).simulations
    more = simulate_petab(problem, {"drug_effect_max": 2.8}).simulations
    other = simulate_petab(problem, {"placebo_size_preskorn_2008": 0.8}).simulations
    assert more[i] < plain[i] - 0.5
    assert other[i] == plain[i] and other[names.index("preskorn_2008__difference_5d")] != plain[0]
    wide = simulate_petab(problem, {"trial_sd": 4.0})
    assert wide.noise[i] == pytest.approx(math.hypot(2.48, 4 * 60 / 52), rel=1e-12)


def test_a_case_without_contrasts_is_refused(case: Case, tmp_path: Path) -> None:
    bare = replace(case, studies={"williams_2018": case.studies["williams_2018"]})
    with pytest.raises(UnsupportedError, match="no finding is a contrast"):
        write_petab(bare, ["hnk"], tmp_path)
    assert [*tmp_path.iterdir()] == []


def test_the_record_is_a_problem(written: Path) -> None:
    problem = open_petab(written / "camp_crosstalk" / "problem.yaml")
    assert isinstance(problem, PetabProblem) and len(problem.estimated) > 30
    priors = [prior_log_density(p, problem.nominal[p.id]) for p in problem.estimated]
    assert np.isfinite(priors).all()
