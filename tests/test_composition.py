"""Joining texts: two givers, none, duplicates, unknown units and syntax errors are refused, each with its place."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from antagony.case import Case, NamedProbe
from antagony.composition import Hook, Text, check_units, join, mix, symbols_of
from antagony.condition import Probe
from antagony.difference import compare_mechanisms
from antagony.errors import CaseError, CompositionError
from antagony.population import draw_parameters
from antagony.simulation import Arm, simulate

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


@pytest.mark.parametrize(
    "text",
    [
        *("x := (knot b)^2", "x := knot and b", "x = 2*knot 3", "x := !knot\tb", "x := knot not b", "x := a*(knot _b)"),
        *(
            "x := knot/* or\ntwo */b",
            "x := knot \\\n b",
            "x := \\\n knot b",
            'x := knot "b"',
            "x := knot .5",
            "at knot b: x = 2",
        ),
        *("x := knot $b", "x has knot b", "x := 1 # knot b\ny := knot b", "x := knot t"),
        'x is "knot"; y := knot b',
    ],
)
def test_text_over_which_the_library_would_never_end_is_refused(text: str) -> None:
    """Each of them hangs libAntimony, which no signal ends: this test would not fail but stand still."""
    with pytest.raises(CompositionError, match=r'a.ant, line \d: "knot" ends like the operator "not"'):
        symbols_of("", Text("a.ant", text + "\n"))


@pytest.mark.parametrize(
    "text",
    [
        *("x := knot * b", "x := (knot )*2", "x := knot && b", "knot := 2; knot has dimensionless", "x := not b"),
        *(
            "// cannot be\nx := 1",
            "x := 1 # cannot be",
            "/* cannot\nbe */ x := 1",
            'x := 1; x is "a knot b"',
            "x := 2*not_b",
        ),
    ],
)
def test_names_that_end_like_an_operator_may_be_used(text: str) -> None:
    assert symbols_of("", Text("a.ant", text + "\n")).gives


def test_a_row_with_an_unknown_unit_is_named_with_its_file_and_line(case: Case) -> None:
    row = replace(case.shared["score_max"], unit="mg")
    text = Text("y.ant", "y := score_max; y has dimensionless;")
    with pytest.raises(CompositionError) as refused:
        join("m", PRELUDE, [text], {"score_max": row})
    said = str(refused.value)
    assert f'parameters.tsv, line {row.line}: the parameter "score_max" uses the unit "mg"' in said
    assert said.endswith("which the prelude does not define")


@pytest.mark.parametrize("drugs", [(), ("ketamine",), ("naltrexone", "morphine"), "all"])
def test_every_mechanism_composes_with_sound_units(case: Case, drugs: tuple[str, ...]) -> None:
    for slug in case.wirings:
        mechanism = case.mechanism(slug, case.dosable if drugs == "all" else drugs)
        assert check_units(mechanism.sbml) == []


def test_a_wrong_unit_is_caught(case: Case) -> None:
    sbml = case.mechanism("none").sbml
    assert check_units(sbml.replace('id="plasticity_time"', 'id="plasticity_time" units="dimensionless"', 1)) != []


def test_a_wrong_unit_is_told_by_symbol_and_formula() -> None:
    texts = ("x := 1 dimensionless; x has dimensionless;", "y := x + 1 hour; y has dimensionless;")
    joined = join("m", PRELUDE, [Text("y.ant", "\n".join(texts))], {})
    added, came = check_units(joined.sbml)
    assert added == ("y", "The formula 'x + 1' can only act on variables with the same units.")
    assert came == ("y", "Expected units are dimensionless but the units returned are indeterminable.")


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


KETAMINE = "ketamine 0.5 mg/kg iv over 40 min"
BOTH = f"naltrexone 50 mg po at -45 min; {KETAMINE}"


def curve(case: Case, slug: str, regimen: str, output: str, variants: dict[str, str] | None = None) -> np.ndarray:
    mechanism = case.mechanism(slug, ["ketamine", "naltrexone"], variants)
    run = simulate(mechanism, {"arm": case.regimen(regimen)}, [0.0, 1.0, 4.0, 24.0], outputs=[output])
    return run[output].to_numpy().ravel()


def test_a_mixture_adds_the_drives_and_keeps_every_road(case: Case) -> None:
    """Plasticity is linear in its drive; the surge leaves mu activity alone, the release mTORC1: the two roads add."""
    mixed = case.mechanism("gated_surge+opioid_release", ["ketamine", "naltrexone"])
    release = curve(case, "opioid_release", BOTH, "mu_relative")
    assert not np.allclose(release, curve(case, "gated_surge", BOTH, "mu_relative"))
    np.testing.assert_allclose(curve(case, mixed.slug, BOTH, "mu_relative"), release, rtol=1e-6)
    both = curve(case, mixed.slug, KETAMINE, "plasticity")
    parts = [curve(case, slug, KETAMINE, "plasticity") for slug in ("gated_surge", "opioid_release")]
    np.testing.assert_allclose(both, sum(parts), rtol=1e-4, atol=1e-9)  # no naltrexone: the gate stands open in both
    assert not np.allclose(both, parts[0])
    assert check_units(mixed.sbml) == []


def test_a_mixture_with_the_null_is_the_mechanism_itself(case: Case) -> None:
    for output in ("score", "mtorc1"):
        alone = curve(case, "camp_crosstalk", BOTH, output)
        np.testing.assert_allclose(curve(case, "camp_crosstalk+none", BOTH, output), alone, rtol=1e-6)


def test_a_shared_road_counts_once_and_a_variant_reaches_the_piece_that_has_it(case: Case) -> None:
    alone = curve(case, "gated_surge", KETAMINE, "plasticity")
    mixed = curve(case, "camp_crosstalk+gated_surge", KETAMINE, "plasticity")
    assert mixed[-1] > alone[-1] * 1.01  # two drives of mTORC1, one road from it to plasticity
    assert "plasticity_drive_of_gated_surge" not in combining_line(case, "camp_crosstalk+gated_surge")
    one_sided = {"loss": "one_sided"}
    assert curve(case, "camp_crosstalk+none", BOTH, "plasticity")[-1] < 0
    assert curve(case, "camp_crosstalk+none", BOTH, "plasticity", one_sided)[-1] >= 0
    with pytest.raises(CaseError, match="gate=andd"):
        case.mechanism("camp_crosstalk+none", variants={"gate": "andd"})


def combining_line(case: Case, slug: str) -> str:
    text = case.mechanism(slug).antimony
    return next(line for line in text.splitlines() if line.startswith("plasticity_drive :="))


def test_two_wirings_that_contradict_each_other_are_refused_by_name(case: Case) -> None:
    hooks = [Hook("brake", 1, "one"), Hook("drive", 0, "add")]
    a = Text("a", "brake := 2*x; brake has dimensionless; y := x; y has dimensionless;")
    b = Text("b", "brake := 3*x; brake has dimensionless;")
    with pytest.raises(CompositionError, match='first and second cannot be mixed: each has a "brake"'):
        mix(PRELUDE, hooks, {"first": a, "second": b})
    c = Text("c", "brake := 1; brake has dimensionless; y := 2*x; y has dimensionless;")
    with pytest.raises(CompositionError, match='both define "y", and not alike'):
        mix(PRELUDE, hooks, {"first": a, "third": c})
    with pytest.raises(CaseError, match="names a mechanism twice"):
        case.wiring("none+none")


def test_a_named_probe_is_what_it_spells_out(case: Case) -> None:
    acts = (Probe("nmda_imposed_block", by="midazolam_cue"), Probe("glutamate_drive", scale=2.0))
    known = {"gas": NamedProbe("gas", "gas", acts, 1.0)}
    named = replace(case, probes=known, _composed={})
    spelt = named.spell_out([Probe(name="gas", start=2.0), Probe("opioid_tone", set=0.0)])
    assert [(p.parameter, p.start, p.until) for p in spelt] == [
        ("nmda_imposed_block", 2.0, 3.0),
        ("glutamate_drive", 2.0, 3.0),
        ("opioid_tone", None, None),
    ]
    draws = draw_parameters(named.parameters("none").values(), 4, seed=1)
    run = simulate(
        named.mechanism("none"), {"a": Arm(probes=spelt)}, [0.0, 2.5, 4.0], draws=draws, outputs=["nmda_block"]
    )
    np.testing.assert_allclose(run["nmda_block"][0, :, 0, 1], draws.values["midazolam_cue"], rtol=1e-12)
    np.testing.assert_array_equal(run["nmda_block"][0, :, 0, 2], 0)
    with pytest.raises(CaseError, match='no probe "gaz"; did you mean "gas"'):
        named.spell_out([Probe(name="gaz")])
