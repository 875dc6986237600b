"""Shared parts and wirings: units, rest, signs, and values worked out by hand. Joined here without the composer."""

from __future__ import annotations

import math
import re
from functools import cache
from pathlib import Path

import antimony
import libsbml
import numpy as np
import pytest
import roadrunner

import antagony
from antagony.parameters import read_parameters

CASE = Path(antagony.__file__).parent / "cases" / "ketamine"
SHARED = read_parameters(CASE / "parts" / "parameters.tsv")
PARTS = ("nmda", "mu", "camp", "bdnf", "mtorc1", "plasticity", "placebo", "symptoms")
IMPOSED = {  # the sums over drugs, as constants that a test may set
    **dict.fromkeys(("nmda_load", "nmda_driven_load", "latent_effect"), "dimensionless"),
    **dict.fromkeys(("mu_load", "mu_drive", "mu_antagonist", "mu_opioid", "mu_ketamine"), "dimensionless"),
    **dict.fromkeys(("ketamine_eq", "hnk_eq"), "nM"),
}
HOOKS = {"endogenous_gain", "mtorc1_brake", "mtorc1_activation", "plasticity_drive", "glutamate_gain", "placebo_gain"}
WIRINGS = sorted(path.relative_to(CASE / "mechanisms").as_posix() for path in CASE.glob("mechanisms/*/*.ant"))
BLOCK = {"nmda_load": 0.2}
ANTAGONIST = {"mu_load": 8.0, "mu_antagonist": 8.0}
OPIOID = {"mu_load": 2.0, "mu_drive": 1.5, "mu_opioid": 2.0}


def without_comments(path: Path) -> str:
    return re.sub(r"//[^\n]*", "", path.read_text(encoding="utf-8"))


def parts_of(wiring: str) -> list[Path]:
    gives_bdnf = "bdnf_drive :=" in (CASE / "mechanisms" / wiring).read_text(encoding="utf-8")
    return [CASE / "parts" / f"{part}.ant" for part in PARTS if part != "bdnf" or gives_bdnf]


def joined_text(wiring: str) -> str:
    """Prelude, sums as constants, parts, wiring and the values that they name, as one Antimony model."""
    files = [CASE / "prelude.ant", *parts_of(wiring), CASE / "mechanisms" / wiring]
    text = "\n".join(without_comments(path) for path in files)
    own = (CASE / "mechanisms" / wiring).parent / "parameters.tsv"
    rows = SHARED | (read_parameters(own) if own.is_file() else {})
    used = set(re.findall(r"[A-Za-z_]\w*", text))
    values = [f"{row.id} = {row.nominal!r}; {row.id} has {row.unit};" for row in rows.values() if row.id in used]
    sums = [f"{symbol} = 0; {symbol} has {unit};" for symbol, unit in IMPOSED.items()]
    return "\n".join(["model joined", text, *sums, *values, "end"])


def to_sbml(wiring: str) -> str:
    antimony.clearPreviousLoads()
    assert antimony.loadAntimonyString(joined_text(wiring)) >= 0, antimony.getLastError()
    return str(antimony.getSBMLString("joined"))


def states_of(sbml: str) -> list[str]:
    model = libsbml.readSBMLFromString(sbml).getModel()
    return [rule.getVariable() for rule in (model.getRule(i) for i in range(model.getNumRules())) if rule.isRate()]


@cache
def runner_of(wiring: str) -> roadrunner.RoadRunner:
    """Compiled once for each wiring; every use begins by a reset to the values of the text."""
    sbml = to_sbml(wiring)
    roadrunner.Logger.setLevel(roadrunner.Logger.LOG_ERROR)
    runner = roadrunner.RoadRunner(sbml)
    runner.integrator.relative_tolerance = 1e-9
    runner.integrator.absolute_tolerance = [1e-11] * len(states_of(sbml))  # a single number is scaled by states at 0
    runner.timeCourseSelections = list(runner.model.getGlobalParameterIds())
    return runner


def run(wiring: str, hours: float, **values: float) -> dict[str, np.ndarray]:
    """Every symbol on a grid of 201 times from rest, with some values set."""
    runner = runner_of(wiring)
    runner.resetToOrigin()
    for symbol, value in values.items():
        runner[symbol] = value
    curves = np.array(runner.simulate(0, hours, 201))
    return {symbol: curves[:, i] for i, symbol in enumerate(runner.timeCourseSelections)}


def after(wiring: str, hours: float, **values: float) -> dict[str, float]:
    return {symbol: float(curve[-1]) for symbol, curve in run(wiring, hours, **values).items()}


@pytest.mark.parametrize("wiring", WIRINGS)
def test_units_agree_everywhere(wiring: str) -> None:
    document = libsbml.readSBMLFromString(to_sbml(wiring))
    document.checkConsistency()
    assert [document.getError(i).getMessage() for i in range(document.getNumErrors())] == []


def test_a_wrong_unit_would_be_seen() -> None:
    text = joined_text("camp_crosstalk/wiring.ant").replace("plasticity_time has hour", "plasticity_time has nM")
    antimony.clearPreviousLoads()
    assert antimony.loadAntimonyString(text) >= 0
    document = libsbml.readSBMLFromString(antimony.getSBMLString("joined"))
    assert document.checkConsistency() > 0


@pytest.mark.parametrize("wiring", WIRINGS)
def test_at_rest_nothing_moves(wiring: str) -> None:
    states = states_of(to_sbml(wiring))
    assert len(states) >= 7
    curves = run(wiring, 200.0)
    moved = {state: float(np.abs(curves[state] - curves[state][0]).max()) for state in states}
    assert max(moved.values()) < 1e-10, moved
    for symbol in ("mu_relative", "camp_relative", "mtorc1_relative", "nmda_activity", "glutamate_signal"):
        np.testing.assert_allclose(curves[symbol], 1, atol=1e-10)
    np.testing.assert_allclose(curves["drug_effect"], 0, atol=1e-9)


@pytest.mark.parametrize("wiring", WIRINGS)
def test_every_wiring_gives_all_hooks(wiring: str) -> None:
    given = set(re.findall(r"^(\w+) :=", without_comments(CASE / "mechanisms" / wiring), flags=re.MULTILINE))
    assert given >= HOOKS


@pytest.mark.parametrize("path", sorted(CASE.glob("parts/*.ant")) + sorted(CASE.glob("mechanisms/*/*.ant")), ids=str)
def test_values_stand_in_tables_only(path: Path) -> None:
    numbers = re.findall(r"(?<![\w.])\d+(?:\.\d*)?(?:[eE][+-]?\d+)?", without_comments(path))
    assert numbers
    assert set(numbers) <= {"0", "1", "2"}


@pytest.mark.parametrize("wiring", WIRINGS)
@pytest.mark.parametrize("imposed", [BLOCK, ANTAGONIST, BLOCK | ANTAGONIST, OPIOID], ids=str)
def test_fractions_stay_fractions(wiring: str, imposed: dict[str, float]) -> None:
    curves = run(wiring, 72.0, ketamine_eq=450.0 if "nmda_load" in imposed else 0.0, **imposed)
    for symbol in ("nmda_block", "learning", "mu_activity", "mu_occupancy_antagonist", "pka", "mtorc1", "dissociation"):
        assert curves[symbol].min() >= 0, symbol
        assert curves[symbol].max() <= 1, symbol
    assert curves["score"].min() > 0
    assert curves["score"].max() < curves["score_max"][0]


OWN_ROAD = {"mtorc1": 0, "plasticity": -1, "camp": 1}
SIGNS = [  # wiring, what is imposed, sign of the change of each read-out after an hour
    ("camp_crosstalk/wiring.ant", BLOCK, {"mtorc1": 1, "plasticity": 1, "camp": 0, "glutamate_signal": 0}),
    ("camp_crosstalk/wiring.ant", ANTAGONIST, {"camp": 1, "pka": 1, "mtorc1": -1, "plasticity": -1}),
    ("camp_crosstalk/wiring.ant", OPIOID, {"camp": -1, "mtorc1": 1, "plasticity": 1}),
    ("camp_crosstalk/wiring.ant", {"pde_activity": 0.5}, {"camp": 1, "mtorc1": -1}),
    ("direct_opioid/wiring.ant", BLOCK, {"mtorc1": 0, "plasticity": 0}),
    ("direct_opioid/wiring.ant", ANTAGONIST, OWN_ROAD),
    ("direct_opioid/wiring.ant", OPIOID, {"mtorc1": 0, "plasticity": 1}),
    ("direct_opioid/wiring_camp.ant", BLOCK, {"mtorc1": 0, "plasticity": 0}),
    ("direct_opioid/wiring_camp.ant", ANTAGONIST, {"mtorc1": -1, "plasticity": -1}),
    ("direct_opioid/wiring_pi3k.ant", {"pde_activity": 0.5}, {"camp": 1, "mtorc1": 0, "plasticity": 0}),
    ("direct_opioid/wiring_pi3k.ant", OPIOID, {"mtorc1": 1, "plasticity": 1}),
    ("opioid_release/wiring.ant", BLOCK, {"mu_relative": 1, "mtorc1": 0, "plasticity": 1}),
    ("opioid_release/wiring.ant", ANTAGONIST, OWN_ROAD),
    ("opioid_release/wiring_ketamine_only.ant", BLOCK, {"mu_relative": 0, "plasticity": 0}),
    ("opioid_release/wiring_ketamine_only.ant", {"ketamine_eq": 450.0}, {"mu_relative": 1, "plasticity": 1}),
    ("opioid_release/wiring_camp.ant", BLOCK, {"camp": -1, "mtorc1": 1}),
    ("opioid_release/wiring_pi3k.ant", BLOCK, {"camp": -1, "mtorc1": 1}),
    ("nmda_rest/wiring.ant", BLOCK, {"bdnf": 1, "plasticity": 1, "mtorc1": 0}),
    ("nmda_rest/wiring.ant", {"nmda_driven_load": 0.2}, {"nmda_block": 1, "bdnf": 0, "plasticity": 0}),
    ("nmda_rest/wiring.ant", ANTAGONIST, {"bdnf": 0, "plasticity": 0}),
    ("nmda_rest/wiring_mtorc1.ant", BLOCK, {"bdnf": 1, "mtorc1": 1, "plasticity": 1}),
    ("gated_surge/wiring.ant", BLOCK, {"glutamate_signal": 1, "bdnf": 1, "mtorc1": 1, "plasticity": 1}),
    ("gated_surge/wiring.ant", BLOCK | {"ampa_block": 1.0}, {"glutamate_signal": 1, "bdnf": 0, "mtorc1": 0}),
    ("gated_surge/wiring.ant", ANTAGONIST, {"glutamate_signal": 0, "mtorc1": 0, "plasticity": 0}),
    ("pi3k_crosstalk/wiring.ant", BLOCK, {"mtorc1": 1, "plasticity": 1, "camp": 0, "glutamate_signal": 0}),
    ("pi3k_crosstalk/wiring.ant", ANTAGONIST, {"camp": 1, "mtorc1": -1, "plasticity": -1}),
    ("pi3k_crosstalk/wiring.ant", OPIOID, {"camp": -1, "mtorc1": 1, "plasticity": 1}),
    ("pi3k_crosstalk/wiring.ant", {"pde_activity": 0.5}, {"camp": 1, "mtorc1": 0, "plasticity": 0}),
    ("camp_flipped/wiring.ant", BLOCK, {"mtorc1": 1, "plasticity": 1, "camp": 0, "glutamate_signal": 0}),
    ("camp_flipped/wiring.ant", ANTAGONIST, {"camp": 1, "pka": 1, "mtorc1": 1, "plasticity": 1}),
    ("camp_flipped/wiring.ant", OPIOID, {"camp": -1, "mtorc1": -1, "plasticity": -1}),
    ("camp_flipped/wiring.ant", {"pde_activity": 0.5}, {"camp": 1, "mtorc1": 1, "plasticity": 1}),
    ("opioid_potentiation/wiring.ant", BLOCK, {"mu_relative": 0, "plasticity": 0}),
    ("opioid_potentiation/wiring.ant", {"ketamine_eq": 450.0}, {"mu_relative": 1, "mtorc1": 0, "plasticity": 1}),
    ("opioid_potentiation/wiring.ant", ANTAGONIST, OWN_ROAD),
    ("opioid_potentiation/wiring_camp.ant", {"ketamine_eq": 450.0}, {"camp": -1, "mtorc1": 1, "plasticity": 1}),
    ("opioid_potentiation/wiring_pi3k.ant", {"ketamine_eq": 450.0}, {"camp": -1, "mtorc1": 1, "plasticity": 1}),
    ("opioid_potentiation/wiring_pi3k.ant", {"pde_activity": 0.5}, {"camp": 1, "mtorc1": 0, "plasticity": 0}),
    ("glutamate_surge/wiring.ant", BLOCK, {"glutamate_signal": 1, "bdnf": 1, "mtorc1": 1, "plasticity": 1}),
    ("glutamate_surge/wiring.ant", BLOCK | {"ampa_block": 1.0}, {"glutamate_signal": 1, "bdnf": 0, "mtorc1": 0}),
    ("glutamate_surge/wiring.ant", ANTAGONIST, {"glutamate_signal": 0, "mtorc1": 0, "plasticity": 0}),
    ("hnk/wiring.ant", {"hnk_eq": 100.0}, {"bdnf": 1, "mtorc1": 1, "plasticity": 1, "glutamate_signal": 0}),
    ("hnk/wiring.ant", {"hnk_eq": 100.0, "ampa_block": 1.0}, {"bdnf": 0, "mtorc1": 0, "plasticity": 0}),
    ("hnk/wiring.ant", BLOCK | ANTAGONIST, {"bdnf": 0, "mtorc1": 0, "plasticity": 0}),
    ("opioid_expectancy/wiring.ant", BLOCK, {"mtorc1": 0, "plasticity": 0, "glutamate_signal": 0}),
    ("opioid_expectancy/wiring.ant", ANTAGONIST, {"placebo_effect": -1, "mtorc1": 0, "plasticity": 0}),
    ("opioid_expectancy/wiring.ant", OPIOID, {"placebo_effect": 0, "plasticity": 0}),
    ("none/wiring.ant", BLOCK | ANTAGONIST, {"mtorc1": 0, "plasticity": 0, "glutamate_signal": 0}),
    ("none/wiring.ant", OPIOID, {"mtorc1": 0, "plasticity": 0}),
]


@pytest.mark.parametrize(("wiring", "imposed", "signs"), SIGNS, ids=str)
def test_signs_are_those_of_the_wiring(wiring: str, imposed: dict[str, float], signs: dict[str, int]) -> None:
    rest, moved = after(wiring, 1.0), after(wiring, 1.0, **imposed)
    change = {symbol: moved[symbol] - rest[symbol] for symbol in signs}
    assert {symbol: int(np.sign(d)) if abs(d) > 1e-8 else 0 for symbol, d in change.items()} == signs, change


SPARED = ("nmda_rest", "glutamate_surge", "hnk", "opioid_expectancy", "none")  # an antagonist does not touch plasticity
ADDING = ("camp_flipped",)  # or adds to it


@pytest.mark.parametrize("wiring", [name for name in WIRINGS if not name.startswith((*SPARED, *ADDING))])
def test_an_antagonist_takes_from_a_block_where_opioids_matter(wiring: str) -> None:
    by_ketamine_itself = "ketamine_only" in wiring or wiring.startswith("opioid_potentiation")
    block = {**BLOCK, "ketamine_eq": 450.0} if by_ketamine_itself else BLOCK
    assert after(wiring, 1.0, **block | ANTAGONIST)["plasticity"] < after(wiring, 1.0, **block)["plasticity"] - 1e-6


@pytest.mark.parametrize("wiring", [name for name in WIRINGS if name.startswith(SPARED)])
def test_an_antagonist_leaves_plasticity_alone_where_opioids_do_not_matter(wiring: str) -> None:
    driven = {**BLOCK, "hnk_eq": 100.0}
    alone, both = after(wiring, 1.0, **driven), after(wiring, 1.0, **driven | ANTAGONIST)
    assert both["plasticity"] == pytest.approx(alone["plasticity"], rel=1e-7, abs=1e-10)  # the solver keeps 1e-9 a step
    assert alone["plasticity"] > 1e-4 or wiring.startswith(("none", "opioid_expectancy"))


def test_the_surge_is_the_gated_surge_without_its_gate() -> None:
    for imposed in (BLOCK, BLOCK | ANTAGONIST):
        free = after("glutamate_surge/wiring.ant", 1.0, **imposed)
        open_gate = after("gated_surge/wiring.ant", 1.0, surge_opioid_share=0.0, **imposed)
        for symbol in ("glutamate_signal", "bdnf", "mtorc1", "plasticity"):
            np.testing.assert_allclose(free[symbol], open_gate[symbol], rtol=1e-7)


def test_potentiation_by_hand() -> None:
    """Ketamine at twice its half level multiplies the endogenous ligand by 1 + 2/3 of the gain."""
    got = after("opioid_potentiation/wiring.ant", 1e-6, ketamine_eq=1000.0, opioid_potentiation_half=500.0)
    ligand = got["opioid_ligand_rest"] * (1 + got["opioid_potentiation_gain"] * 2 / 3)
    activity = (got["mu_constitutive_activity"] + got["opioid_ligand_efficacy"] * ligand) / (1 + ligand)
    assert got["mu_activity"] == pytest.approx(activity, rel=1e-9)


def test_the_flipped_brake_falls_as_pka_rises() -> None:
    """With PDE halved the flipped brake is the mirror of the source's: (PKA/KP)^-h against (PKA/KP)^h."""
    source, flipped = (
        after(f"{slug}/wiring.ant", 1e-6, pde_activity=0.5) for slug in ("camp_crosstalk", "camp_flipped")
    )
    assert source["pka"] == flipped["pka"]
    assert source["pka_brake"] * flipped["pka_brake"] == pytest.approx(1, rel=1e-9)


def test_expectancy_takes_its_share_of_the_placebo_effect() -> None:
    wiring = "opioid_expectancy/wiring.ant"
    alone, with_antagonist = after(wiring, 24.0), after(wiring, 24.0, **ANTAGONIST)
    left = 1 - with_antagonist["placebo_opioid_share"] * with_antagonist["mu_occupancy_antagonist"]
    assert with_antagonist["placebo_effect"] == pytest.approx(left * alone["placebo_effect"], rel=1e-9)
    assert 0.4 < left < 0.7


def test_the_gate_lowers_the_surge_upstream() -> None:
    block, both = (after("gated_surge/wiring.ant", 0.1, **imposed) for imposed in (BLOCK, BLOCK | ANTAGONIST))
    assert 1 < both["glutamate_signal"] < block["glutamate_signal"]
    phasic, share = block["nmda_phasic_block"], block["surge_opioid_share"]
    np.testing.assert_allclose(block["glutamate_signal"], 1 + 4 * phasic * (1 - phasic), rtol=1e-12)
    permission = 1 - share * (1 - both["mu_relative"])
    np.testing.assert_allclose(both["glutamate_signal"], 1 + permission * 4 * phasic * (1 - phasic), rtol=1e-9)


@pytest.mark.parametrize(
    ("ligand", "constitutive", "inverse"), [(0.1225, 0.01, 0.5), (0.12, 0.0, 0.0), (0.01, 0.1, 0.0), (0.01, 0.1, 1.0)]
)
def test_what_naltrexone_leaves_of_mu_activity(ligand: float, constitutive: float, inverse: float) -> None:
    """50 mg: concentration over constant 8.1, which is 89 % without a rival; efficacy of the ligand 0.75."""
    n, efficacy = 8.1, 0.75
    left = (constitutive + efficacy * ligand + constitutive * (1 - inverse) * n) / (1 + ligand + n)
    rest = (constitutive + efficacy * ligand) / (1 + ligand)
    values = {"opioid_ligand_rest": ligand, "mu_constitutive_activity": constitutive, "mu_inverse_efficacy": inverse}
    model = after("none/wiring.ant", 0.1, mu_load=n, mu_antagonist=n, **values)
    np.testing.assert_allclose(model["mu_relative"], left / rest, rtol=1e-12)
    np.testing.assert_allclose(model["mu_occupancy_antagonist"], n / (1 + ligand + n), rtol=1e-12)


def test_fully_off_needs_ligand_tone_or_an_inverse_agonist() -> None:
    def left(**values: float) -> float:
        return after("none/wiring.ant", 0.1, mu_load=8.1, mu_antagonist=8.1, **values)["mu_relative"]

    assert left() == pytest.approx(0.17, abs=0.01)  # signalling medians: about 16 %
    assert left(mu_constitutive_activity=0.0) < 0.15
    assert left(mu_inverse_efficacy=1.0) < 0.15
    neutral = {"mu_inverse_efficacy": 0.0, "mu_constitutive_activity": 0.1, "opioid_ligand_rest": 1e-6}
    assert left(**neutral) == pytest.approx(1, abs=1e-4)


def test_published_medians_of_the_chain() -> None:
    """Naltrexone alone: cAMP 1.21 times rest, mTORC1 0.85; glutamate doubled: mTORC1 0.24 (three hours from rest)."""
    naltrexone = after("camp_crosstalk/wiring.ant", 2.75, mu_load=8.5, mu_antagonist=8.5)
    assert naltrexone["camp_relative"] == pytest.approx(1.21, abs=0.01)
    assert naltrexone["mtorc1_relative"] == pytest.approx(0.85, abs=0.01)
    assert after("camp_crosstalk/wiring.ant", 3.0, glutamate_drive=2.0)["mtorc1_relative"] == pytest.approx(
        0.24, abs=0.005
    )
    learning = after("none/wiring.ant", 3.0, glutamate_drive=2.0)["learning"]
    assert learning == pytest.approx(2 / 3, abs=1e-4)


def test_probes_act_and_clamps_hold() -> None:
    wiring = "camp_crosstalk/wiring.ant"
    assert after(wiring, 1.0, opioid_tone=2.0)["mu_relative"] > 1.5
    assert after(wiring, 1.0, opioid_tone=0.0)["mu_relative"] == 0
    assert after(wiring, 1e-6, pde_activity=0.5)["camp_relative"] == pytest.approx(2, rel=1e-9)
    held = after(wiring, 2.0, camp_clamp=1.0, pde_activity=0.5, **ANTAGONIST)
    assert (held["camp_relative"], held["mtorc1_relative"]) == (pytest.approx(1), pytest.approx(1))
    assert after(wiring, 2.0, mtorc1_clamp=1.0, **BLOCK)["mtorc1_relative"] == 1
    rapamycin = after(wiring, 10.0, mtorc1_inhibition=20.0)
    rest = SHARED["mtorc1_rest"].nominal
    assert rapamycin["mtorc1"] == pytest.approx(1 / (1 + 20 * (1 / rest - 1)), rel=1e-6)


def test_a_repeated_run_equals_the_first() -> None:
    first, _, third = (after("camp_crosstalk/wiring.ant", 5.0, **imposed) for imposed in (BLOCK, ANTAGONIST, BLOCK))
    assert first == third


def test_adaptation_wears_a_lasting_block_out() -> None:
    curves = run("none/wiring.ant", 40 * SHARED["nmda_adaptation_time"].nominal, **BLOCK)
    assert curves["nmda_effective_block"][0] == pytest.approx(0.2 / 1.2)
    assert curves["nmda_effective_block"][-1] == pytest.approx(0, abs=1e-9)
    assert (np.diff(curves["nmda_effective_block"]) <= 1e-9).all()


def test_resting_receptors_adapt_to_their_own_block_alone() -> None:
    driven = after("nmda_rest/wiring.ant", 48.0, nmda_driven_load=0.5)
    assert driven["nmda_adaptation"] > 0.1
    assert driven["nmda_rest_adaptation"] == 0
    both = after("nmda_rest/wiring.ant", 48.0, **BLOCK, nmda_driven_load=0.5)
    gone = math.exp(-48 / both["nmda_adaptation_time"])
    assert both["nmda_rest_phasic_block"] == pytest.approx(0.2 / 1.2 * gone, rel=1e-6)


def test_blocks_combine_as_independent_sites() -> None:
    got = after("none/wiring.ant", 1e-6, nmda_load=0.25, nmda_driven_load=1.0, nmda_imposed_driven_block=0.5)
    assert got["nmda_rest_block"] == pytest.approx(0.2)
    assert 1 - got["nmda_block"] == pytest.approx((1 - 0.2) * (1 - 0.5) * (1 - 0.5))
    assert after("none/wiring.ant", 1e-6, nmda_imposed_block=0.3)["nmda_rest_block"] == pytest.approx(0.3)


def test_half_dissociation_at_the_reference_level_follows_the_constant() -> None:
    level = SHARED["dissociation_reference_level"].nominal
    for ic50 in (500.0, 2000.0, 8000.0):
        got = after("none/wiring.ant", 1e-9, nmda_load=level / ic50, nmda_ketamine_ic50=ic50, dissociation_half=1.0)
        assert got["dissociation"] == pytest.approx(0.5, abs=1e-6)


def test_the_score_by_hand() -> None:
    values = {"latent_effect": 0.7, "drug_effect_scale": 2.0, "effect_interaction": 0.3, "trial_start": -1.0}
    got = after("none/wiring.ant", 24.0, score_baseline=25.0, **values)
    placebo = 0.5 * (1 - math.exp(-25 / SHARED["placebo_time"].nominal))
    logit = math.log(25 / 27) - 1.4 - placebo - 0.3 * 1.4 * placebo
    assert got["score"] == pytest.approx(52 / (1 + math.exp(-logit)), rel=1e-9)
    cued = after("none/wiring.ant", 24.0, comparator_cue=0.5)
    plain = after("none/wiring.ant", 24.0)
    assert cued["placebo_effect"] == pytest.approx(plain["placebo_effect"] * 1.25, rel=1e-9)


def test_plasticity_is_lost_or_not_below_rest() -> None:
    wiring = "camp_crosstalk/wiring.ant"
    assert after(wiring, 24.0, plasticity_loss=0.0, **ANTAGONIST)["plasticity"] == 0
    assert after(wiring, 24.0, **ANTAGONIST)["drug_effect"] < 0
    small = after(wiring, 2.0, plasticity_threshold=1.0, nmda_load=0.05)
    assert small["mtorc1_relative"] > 1
    assert small["plasticity"] == pytest.approx(0, abs=1e-12)


def test_nominal_values_are_prior_medians_unless_a_source_says_otherwise() -> None:
    named = {"mu_ketamine_ki", "mu_naltrexone_ec50", "mu_naloxone_c50", "mu_morphine_k", "pde4_inhibitor_activity"}
    tables = [CASE / "parts/parameters.tsv", *sorted(CASE.glob("mechanisms/*/parameters.tsv"))]
    rows = [row for table in tables for row in read_parameters(table).values() if row.prior]
    assert len(rows) > 40
    for row in rows:
        if row.prior and row.id not in named:
            assert row.nominal == pytest.approx(row.prior.median, rel=1e-5), row.id
