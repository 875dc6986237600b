"""Joining texts: two givers, none, duplicates, unknown units and syntax errors are refused, each with its place."""

from __future__ import annotations

import pytest

from antagony.case import Case
from antagony.composition import Text, check_units, join, symbols_of
from antagony.difference import compare_mechanisms
from antagony.errors import CaseError, CompositionError

PRELUDE = "unit hour = 3600 second; unit time_unit = 3600 second;\n"
GIVES_X = Text("x.ant", "x' = -k*x; x = 1 dimensionless; x has dimensionless;")


def test_gives_and_needs_come_from_the_parsed_text() -> None:
    found = symbols_of(PRELUDE, Text("a.ant", "y := x*z; y has dimensionless; // w := 3\n"))
    assert (found.gives, found.needs) == ({"y"}, {"x", "z"})


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ([GIVES_X, Text("y.ant", "x := 2 dimensionless; x has dimensionless;")], '"x" is given twice'),
        ([Text("y.ant", "y := hour_rate*2 dimensionless; y has dimensionless;")], "which nothing gives"),
        ([Text("y.ant", "a := 1 dimensionless;\nb := 2 dimensionless;\na := 3 dimensionless;")], "y.ant, line 3"),
        ([Text("y.ant", "a := 1 dimensionless;\n\nb := := 2;")], "y.ant, line 3"),
        ([Text("y.ant", "a := 1 dimensionless; a has parsec;")], "parsec"),
    ],
)
def test_parts_that_do_not_join_are_refused_with_their_place(texts: list[Text], said: str) -> None:
    with pytest.raises(CompositionError, match=said):
        join("m", PRELUDE, texts, {})


@pytest.mark.parametrize("drugs", [(), ("ketamine",), ("naltrexone", "morphine"), "all"])
def test_every_mechanism_composes_with_sound_units(case: Case, drugs: tuple[str, ...]) -> None:
    for slug in case.wirings:
        mechanism = case.mechanism(slug, case.dosable if drugs == "all" else drugs)
        assert check_units(mechanism.sbml) == []


def test_a_wrong_unit_is_caught(case: Case) -> None:
    sbml = case.mechanism("none").sbml
    assert check_units(sbml.replace('id="plasticity_time"', 'id="plasticity_time" units="dimensionless"', 1)) != []


def test_a_mechanism_differs_from_itself_in_nothing_and_from_a_rival_in_its_wiring_only(case: Case) -> None:
    one, other = case.mechanism("camp_crosstalk", ["ketamine"]), case.mechanism("none", ["ketamine"])
    assert compare_mechanisms(one, one).identical
    found = compare_mechanisms(one, other)
    shared = {symbol for part in ("nmda", "mu", "mtorc1", "symptoms") for symbol in part_symbols(case, part)}
    changed = {a.left.split()[0].rstrip("':") for a, _ in found.changed}
    assert "mtorc1_brake" in changed
    assert not changed & shared
    assert found.same > 100


def part_symbols(case: Case, part: str) -> frozenset[str]:
    return symbols_of(case.prelude, Text(part, case.parts[part])).gives


def test_variants_change_what_they_name(case: Case) -> None:
    base = case.mechanism("camp_crosstalk")
    one_sided = case.mechanism("camp_crosstalk", variants={"loss": "one_sided"})
    found = compare_mechanisms(base, one_sided)
    assert [a.left for a, _ in found.changed] == ["plasticity_loss ="]
    with pytest.raises(CaseError, match="loss=one_sided"):
        case.mechanism("camp_crosstalk", variants={"loss": "onesided"})
