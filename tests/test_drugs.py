"""Every shipped drug: it loads, its equations have units, and it gives the published plasma levels and occupancies."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import antimony
import libsbml
import numpy as np
import pytest
import roadrunner
from numpy.typing import NDArray

import antagony
from antagony.case import Case
from antagony.condition import Probe
from antagony.drug import ByDose, Drug, check_targets, read_drug, resolve
from antagony.errors import CaseError, RegimenError
from antagony.population import draw_parameters
from antagony.simulation import Arm, simulate

CASE = Path(antagony.__file__).parent / "cases" / "ketamine"
DRUGS = sorted(folder.name for folder in (CASE / "drugs").iterdir() if folder.is_dir())
DOSED = [name for name in DRUGS if read_drug(CASE / "drugs" / name).routes]
EXPOSURE_UNITS = {
    "ketamine_s_plasma": "nM",
    "ketamine_r_plasma": "nM",
    "hnk_s_formation": "nmol_per_hour",
    "hnk_r_formation": "nmol_per_hour",
    "ketamine_eq": "nM",
    "hnk_eq": "nM",
    "latent_effect": "dimensionless",
}
SHARED = {  # what drugs need from the shared table; values of the check runs
    "bodyweight": (70.0, "kg"),
    "bodyweight_reference": (70.0, "kg"),
    "nmda_weight_s": (1.52, "dimensionless"),
    "nmda_weight_r": (0.48, "dimensionless"),
    "nmda_ketamine_ic50": (710.0, "nM"),
    "mu_weight_s": (1.4, "dimensionless"),
    "mu_weight_r": (0.6, "dimensionless"),
    "mu_ketamine_ki": (42000.0, "nM"),
    "mu_ketamine_scale": (1.0, "dimensionless"),
    "mu_ketamine_efficacy": (0.6, "dimensionless"),
    "mu_naltrexone_ec50": (5.39, "nM"),
    "mu_naloxone_c50": (3.24, "nM"),
    "mu_morphine_k": (161.2, "nM"),
    "mu_morphine_efficacy": (0.75, "dimensionless"),
    "mu_buprenorphine_kd": (0.18178, "nM"),
    "mu_buprenorphine_efficacy": (0.67, "dimensionless"),
    "nmda_memantine_ratio": (1.24, "dimensionless"),
    "nmda_lanicemine_block": (0.125, "dimensionless"),
    "nmda_lanicemine_rest_share": (0.25, "dimensionless"),
    "hnk_formed_share": (0.7, "dimensionless"),
}


@dataclass(frozen=True)
class Given:
    """One administration: hour, milligrams, route, hours of infusion (0 = at once)."""

    hour: float
    milligrams: float
    route: str
    over: float = 0.0


def shipped(name: str) -> Drug:
    return read_drug(CASE / "drugs" / name)


def with_required(names: Iterable[str]) -> list[Drug]:
    """The drugs, then whatever they require, and what that requires."""
    drugs = [shipped(name) for name in names]
    for drug in drugs:  # grows as it is walked
        drugs += [shipped(name) for name in drug.requires if name not in {known.name for known in drugs}]
    return drugs


def states_of(drugs: Iterable[Drug]) -> list[str]:
    return [name for drug in drugs for name in re.findall(r"^(\w+)' =", drug.model, flags=re.MULTILINE)]


MOVED = [name for name in DRUGS if states_of([shipped(name)])]  # an isomer alone moves in the states of ketamine


def joined_text(drugs: Iterable[Drug]) -> str:
    """Prelude, sums of exposures, models, loads as rules, and every value, as one Antimony model."""
    drugs = list(drugs)
    lines = ["model drugs", (CASE / "prelude.ant").read_text(encoding="utf-8")]
    for symbol, unit in EXPOSURE_UNITS.items():
        terms = [entry.value for drug in drugs for entry in drug.exposures if entry.symbol == symbol]
        lines.append(f"{symbol} := {' + '.join(terms) or f'0 {unit}'}; {symbol} has {unit};")
    for drug in drugs:
        lines.append(drug.model)
        for load in drug.loads:
            for key, expression in (("ratio", load.ratio), ("efficacy", load.efficacy)):
                symbol = f"{drug.name}_{load.receptor}_{key}"
                lines.append(f"{symbol} := {expression}; {symbol} has dimensionless;")
    values = dict(SHARED) | {p.id: (p.nominal, p.unit) for drug in drugs for p in drug.parameters.values()}
    lines += [f"{symbol} = {value!r}; {symbol} has {unit};" for symbol, (value, unit) in values.items()]
    return "\n".join([*lines, "end"])


def to_sbml(text: str) -> str:
    antimony.clearPreviousLoads()
    assert antimony.loadAntimonyString(text) >= 0, antimony.getLastError()
    return str(antimony.getSBMLString("drugs"))


def issues(sbml: str) -> list[str]:
    document = libsbml.readSBMLFromString(sbml)
    document.checkConsistency()  # units included, as by default
    return [document.getError(index).getMessage() for index in range(document.getNumErrors())]


def actions(drug: Drug, dose: Given) -> list[tuple[float, str, float]]:
    """Jumps (hour, symbol, by how much) of states and inputs that one administration makes."""
    values = {parameter.id: parameter.nominal for parameter in drug.parameters.values()}
    jumps = []
    for target in drug.route(dose.route).targets:
        share, available, lag, duration = (resolve(a, dose.milligrams, values) for a in target.amounts.values())
        amount = dose.milligrams * drug.nmol_per_mg * share * available
        start, length = dose.hour + lag, dose.over or duration
        if length:
            jumps += [(start, target.input, amount / length), (start + length, target.input, -amount / length)]
        else:
            jumps.append((start, target.state, amount))
    return jumps


def run_drug(
    name: str, doses: Iterable[Given], times: Iterable[float], *, beside: Iterable[str] = (), **values: float
) -> dict[str, NDArray[np.float64]]:
    """Every symbol of one drug (and of what it requires, and of others `beside`) at the times [h], by libRoadRunner."""
    times = np.asarray(list(times), dtype=float)
    drugs = with_required([name, *beside])
    jumps = sorted(jump for dose in doses for jump in actions(drugs[0], dose))
    roadrunner.Logger.setLevel(roadrunner.Logger.LOG_ERROR)
    runner = roadrunner.RoadRunner(to_sbml(joined_text(drugs)))
    runner.integrator.relative_tolerance = 1e-9
    # a single number would be scaled by the initial state, which is 0
    runner.integrator.absolute_tolerance = [1e-8] * len(states_of(drugs))
    for symbol, value in values.items():
        runner[symbol] = value
    symbols = list(runner.model.getGlobalParameterIds())
    runner.timeCourseSelections = ["time", *symbols]
    found = {}
    stops = sorted({jump[0] for jump in jumps} | set(times))
    now = min(stops[0], 0.0)
    for stop in stops:
        if stop > now:
            last = runner.simulate(now, stop, 2)[-1]
            now = stop
            found[stop] = np.array(last[1:])
        else:
            found[stop] = np.array([runner[symbol] for symbol in symbols])
        for hour, symbol, change in jumps:
            if hour == stop:
                runner[symbol] = runner[symbol] + change
    columns = np.array([found[time] for time in times])  # at the very time of a dose: the level before it
    return {symbol: columns[:, index] for index, symbol in enumerate(symbols)}


def ng_per_ml(drug: str, nanomolar: NDArray[np.float64], molar_mass: float | None = None) -> NDArray[np.float64]:
    return nanomolar * (molar_mass or shipped(drug).molar_mass or np.nan) / 1000


def half_life(times: NDArray[np.float64], level: NDArray[np.float64], start: float, end: float) -> float:
    """Half-life [h] of the fall between two hours."""
    at_start, at_end = np.interp([start, end], times, level)
    return (end - start) * np.log(2) / np.log(at_start / at_end)


MINUTES = np.unique(np.concatenate([np.arange(0, 120) / 60, np.arange(20, 241) / 10, [2 / 3]]))  # a day [h]


# --- what every drug folder must be -----------------------------------------------------------------------------------


def test_the_expected_drugs_are_shipped() -> None:
    expected = {"ketamine", "ketamine_brain", "esketamine", "naltrexone", "naloxone", "morphine", "escitalopram"}
    expected |= {"s_ketamine", "r_ketamine", "hnk", "memantine", "lanicemine", "buprenorphine", "heroin", "rapamycin"}
    assert expected <= set(DRUGS)
    assert set(DRUGS) - set(DOSED) == {"ketamine_brain"}
    assert set(DRUGS) - set(MOVED) == {"s_ketamine", "r_ketamine"}


@pytest.mark.parametrize("name", DRUGS)
def test_model_has_units_and_no_consistency_issue(name: str) -> None:
    assert issues(to_sbml(joined_text([shipped(name)]))) == []


def test_all_drugs_join_into_one_model() -> None:
    assert issues(to_sbml(joined_text(shipped(name) for name in DRUGS))) == []


@pytest.mark.parametrize("name", MOVED)
def test_a_wrong_unit_would_be_caught(name: str) -> None:
    drug = shipped(name)
    state = states_of([drug])[0]
    wrong = re.sub(rf"\b{state} has \w+", f"{state} has kg", joined_text([drug]))
    assert issues(to_sbml(wrong))


@pytest.mark.parametrize("name", DRUGS)
def test_every_symbol_that_drug_toml_names_is_in_the_model(name: str) -> None:
    drug = shipped(name)
    given = set(re.findall(r"^(\w+)(?:'| :) ?=", drug.model, flags=re.MULTILINE))
    used = set(re.findall(r"\b[A-Za-z_]\w*", re.sub(r"//.*", "", drug.model)))
    together = with_required([name])
    models = "\n".join(part.model for part in together)
    rows = {row.id: row for part in together for row in part.parameters.values()}
    for target in (target for route in drug.routes.values() for target in route.targets):
        assert target.state in states_of(together)
        assert re.search(rf"^{target.state}' =.*\b{target.input}\b", models, flags=re.MULTILINE)
        assert rows[target.input].nominal == 0
    for output in drug.outputs:
        assert output.symbol in given
        assert re.search(rf"\b{output.symbol} has {output.unit};", drug.model)
    in_routes = {a for r in drug.routes.values() for t in r.targets for a in t.amounts.values() if isinstance(a, str)}
    in_expressions = set(re.findall(r"\b[A-Za-z_]\w*", " ".join(entry.value for entry in drug.exposures)))
    assert set(drug.parameters) <= used | in_routes | in_expressions, "a parameter that nothing uses"
    assert {entry.symbol for entry in drug.exposures} <= set(EXPOSURE_UNITS)
    assert set(drug.requires) <= set(DRUGS)


@pytest.mark.parametrize("name", DRUGS)
def test_symbols_carry_the_drugs_prefix_and_values_live_in_the_table(name: str) -> None:
    drug = shipped(name)
    text = re.sub(r"//.*", "", drug.model)
    prefix = name.removesuffix("_brain")
    given = re.findall(r"^(\w+)(?:'| :) ?=", text, flags=re.MULTILINE)
    assert all(symbol.startswith(f"{prefix}_") for symbol in [*given, *drug.parameters])
    numbers = re.findall(r"(?<![\w.^(])([0-9][\w.+-]*)\b", re.sub(r"\^\(-?[0-9.]+ dimensionless\)", "", text))
    assert set(numbers) <= {"0", "1", "2"}
    assert drug.model.startswith("//")


@pytest.mark.parametrize("name", DRUGS)
def test_every_source_is_in_the_bibliography(name: str) -> None:
    drug = shipped(name)
    known = set(re.findall(r"^@\w+\{(\w+),", (CASE / "references.bib").read_text(encoding="utf-8"), re.MULTILINE))
    sources = {parameter.source.split(",")[0] for parameter in drug.parameters.values()}
    sources |= {target.source for route in drug.routes.values() for target in route.targets}
    sources |= {label.source for label in drug.labels}
    assert sources - {""} <= known
    for parameter in drug.parameters.values():
        assert parameter.source or parameter.grade in ("assumed", "definition"), parameter.id


@pytest.mark.parametrize("name", DOSED)
def test_without_a_dose_nothing_moves(name: str) -> None:
    found = run_drug(name, [], [0.0, 24.0])
    for state in states_of(with_required([name])):
        np.testing.assert_array_equal(found[state], 0)


# --- against mathematics ----------------------------------------------------------------------------------------------

PARAMETERS = {p.id: p.nominal for name in DRUGS for p in shipped(name).parameters.values()}


def esketamine_exposure() -> float:
    """Share of 28 mg that is cleared, over clearance [1/(L/h)]: well-stirred liver."""
    p = PARAMETERS
    intrinsic = (p["esketamine_elimination"] + p["esketamine_metabolism"]) * p["esketamine_liver_volume"]
    passes = p["esketamine_liver_flow"] / (p["esketamine_liver_flow"] + intrinsic)
    return (0.54 + 0.46 * p["esketamine_gut_availability"] * passes) / (passes * intrinsic)


ISOMER = 0.5 / PARAMETERS["ketamine_s_clearance"]
MORPHINE = 1 / (PARAMETERS["morphine_elimination"] * PARAMETERS["morphine_central_volume"])
POOL_TIME = PARAMETERS["naltrexone_pool_half_life"] / np.log(2) * PARAMETERS["naltrexone_pool_filling"]
LEVEL = 10 / np.log(2) / PARAMETERS["lanicemine_reference_dose"]
BRAIN = 0.55 * PARAMETERS["ketamine_brain_ratio"] * PARAMETERS["ketamine_arterial_ratio"]
AREAS = [  # drug, dose, concentration, AUC per nmol of dose [h/L] = F / CL
    ("ketamine", Given(0, 35, "iv", 2 / 3), "ketamine_s_concentration", ISOMER),
    ("ketamine", Given(0, 35, "iv"), "ketamine_r_concentration", ISOMER / 0.83),
    ("ketamine", Given(0, 35, "iv"), "ketamine_norketamine_plasma", 1 / 57.7),
    ("ketamine", Given(0, 35, "iv"), "ketamine_s_brain", ISOMER * BRAIN),
    ("esketamine", Given(0, 28, "nasal"), "esketamine_plasma", esketamine_exposure()),
    ("naltrexone", Given(0, 50, "po"), "naltrexone_plasma", 1 / 1805),
    ("naltrexone", Given(0, 50, "po"), "naltrexone_pool", POOL_TIME / 1805),
    ("naloxone", Given(0, 1, "iv"), "naloxone_plasma", 1 / 91),
    ("naloxone", Given(0, 4, "nasal"), "naloxone_plasma", 1 / 396),
    ("naloxone", Given(0, 4, "nasal"), "naloxone_site", 1 / 396),
    ("morphine", Given(0, 10, "iv"), "morphine_site", MORPHINE),
    ("escitalopram", Given(0, 20, "po"), "escitalopram_plasma", 0.8 / 31),
    ("s_ketamine", Given(0, 35, "iv", 2 / 3), "ketamine_s_concentration", 2 * ISOMER),
    ("r_ketamine", Given(0, 35, "iv"), "ketamine_r_concentration", 2 * ISOMER / 0.83),
    ("hnk", Given(0, 35, "iv"), "hnk_r_concentration", 1 / 55.98),
    ("memantine", Given(0, 20, "po"), "memantine_free", 0.55 / 7),
    ("buprenorphine", Given(0, 0.3, "iv"), "buprenorphine_plasma", 1 / 58.9 / (70 / 71) ** 0.75),
    ("buprenorphine", Given(0, 8, "sl"), "buprenorphine_plasma", 0.185 / 52.2),
    ("buprenorphine", Given(0, 24, "sl"), "buprenorphine_site", 0.1415 / 52.2),
    ("heroin", Given(0, 10, "im"), "heroin_plasma", 1 / (103 * 8.21)),
    ("heroin", Given(0, 10, "im"), "heroin_acetylmorphine_plasma", 1 / (106 * 8.21)),
    ("heroin", Given(0, 10, "im"), "heroin_morphine_plasma", 1 / 132),
    ("heroin", Given(0, 10, "nasal"), "heroin_morphine_site", 0.519 / 132),
    ("rapamycin", Given(0, 6, "po"), "rapamycin_blood", 1 / 12.9),
    ("naltrexone", Given(0, 380, "im"), "naltrexone_plasma", 1 / 140),
    ("naltrexone", Given(0, 380, "im"), "naltrexone_pool", POOL_TIME / 140),
    ("lanicemine", Given(0, 150, "iv", 1.0), "lanicemine_level", LEVEL),
]
LATEST = {"memantine": 1500, "buprenorphine": 1000, "rapamycin": 1000, "naltrexone": 5000}  # h; 600 elsewhere


@pytest.mark.parametrize(("name", "dose", "symbol", "per_dose"), AREAS)
def test_area_is_available_dose_over_clearance(name: str, dose: Given, symbol: str, per_dose: float) -> None:
    times = np.unique(np.concatenate([[0.0, 1e-9, 288.0], np.geomspace(1e-5, LATEST.get(name, 600), 3000)]))
    once = run_drug(name, [dose], times)[symbol]
    expected = dose.milligrams * shipped(name).nmol_per_mg * per_dose
    assert np.trapezoid(once, times) == pytest.approx(expected, rel=1e-4)


NORKETAMINE = {"ketamine_norketamine_plasma": 57.7}
CLEARED = {  # drug and route: states that hold the dose [nmol] by pattern, and how fast it leaves them [nmol/h]
    ("ketamine", "iv"): (r"ketamine_(s|r|nork.*)_(central|slow|fast|peripheral)$", NORKETAMINE),
    ("s_ketamine", "iv"): (r"ketamine_(s|nork.*_s)_(central|slow|fast|peripheral)$", NORKETAMINE),
    ("naltrexone", "po"): (r"naltrexone_(gut|central|peripheral)$", {"naltrexone_plasma": 1805}),
    ("naloxone", "iv"): (r"naloxone_(central|slow|fast)$", {"naloxone_plasma": 91}),
    ("morphine", "iv"): (r"morphine_(central|slow|fast)$", {"morphine_plasma": 1 / MORPHINE}),
    ("escitalopram", "po"): (r"escitalopram_(gut|central)$", {"escitalopram_plasma": 31}),
    ("esketamine", "nasal"): (
        r"esketamine_(nasal|swallowed|central|slow|fast|liver|nork.*_(central|peripheral))$",
        {"esketamine_norketamine_plasma": PARAMETERS["esketamine_norketamine_clearance"], "esketamine_liver": 1.11},
    ),
    ("hnk", "iv"): (r"hnk_r_(central|peripheral)$", {"hnk_r_concentration": 55.98}),
    ("memantine", "po"): (r"memantine_(gut|central)$", {"memantine_plasma": 7}),
    ("buprenorphine", "iv"): (r"buprenorphine_(central|slow|fast)$", {"buprenorphine_plasma": 58.28}),
    ("buprenorphine", "sl"): (r"buprenorphine_sl(_central|_peripheral)?$", {"buprenorphine_plasma": 52.2}),
    ("heroin", "im"): (
        r"heroin_(depot|central|acetylmorphine|morphine_central|morphine_peripheral)$",
        {"heroin_morphine_plasma": 132},
    ),
    ("rapamycin", "po"): (r"rapamycin_(gut|central|peripheral)$", {"rapamycin_blood": 12.9}),
}
AVAILABLE = {
    "escitalopram": 0.8,
    "esketamine": 0.54 + 0.46 * PARAMETERS["esketamine_gut_availability"],
    "buprenorphine sl": 0.1415,
}


@pytest.mark.parametrize(("name", "route"), CLEARED)
def test_what_is_given_is_held_or_cleared(name: str, route: str) -> None:
    pattern, leaving = CLEARED[name, route]
    times = np.concatenate([[0.0, 1e-9], np.geomspace(1e-5, 6, 2000)])
    found = run_drug(name, [Given(0, 28, route)], times)
    held = [found[symbol][-1] for symbol in found if re.match(pattern, symbol)]
    cleared = sum(rate * np.trapezoid(found[symbol], times) for symbol, rate in leaving.items())
    assert len(held) > 1
    given = 28 * shipped(name).nmol_per_mg * AVAILABLE.get(f"{name} {route}", AVAILABLE.get(name, 1.0))
    assert 0.01 * given < cleared < 0.999 * given
    assert sum(held) + cleared == pytest.approx(given, rel=1e-4)


def test_the_depot_is_released_at_a_constant_rate_and_then_cleared() -> None:
    times = np.linspace(0, 576, 1153)  # 24 d, the release of 12 d on the grid
    found = run_drug("naltrexone", [Given(0, 380, "im")], times)
    given = 380 * shipped("naltrexone").nmol_per_mg
    level = found["naltrexone_plasma"]
    cleared = 140 * np.concatenate([[0], np.cumsum((level[1:] + level[:-1]) / 4)])  # half an hour a step
    released = given * np.minimum(times / 288, 1)
    np.testing.assert_allclose(found["naltrexone_depot_central"] + cleared, released, atol=1e-4 * given)
    assert 0.2 * given < cleared[-1] < 0.8 * given


def test_of_eliminated_norketamine_seven_tenths_become_hydroxynorketamine() -> None:
    """S and R of the racemate; of nasal esketamine the S form alone."""
    times = np.concatenate([[0.0, 1e-9], np.geomspace(1e-5, 300, 3000)])
    racemate = run_drug("ketamine", [Given(0, 35, "iv")], times, beside=["hnk"])
    for symbol in ("hnk_s_concentration", "hnk_r_concentration"):
        formed = 55.98 * np.trapezoid(racemate[symbol], times)
        assert formed == pytest.approx(0.7 * 17.5 * shipped("ketamine").nmol_per_mg, rel=1e-4)
    spray = run_drug("esketamine", [Given(0, 28, "nasal")], times, beside=["hnk"])
    area = np.trapezoid(spray["esketamine_norketamine_plasma"], times)
    eliminated = PARAMETERS["esketamine_norketamine_clearance"] * area
    assert 55.98 * np.trapezoid(spray["hnk_s_concentration"], times) == pytest.approx(0.7 * eliminated, rel=1e-4)
    np.testing.assert_array_equal(spray["hnk_r_concentration"], 0)


def test_bioavailability_varies_between_patients_through_the_uptake() -> None:
    plasma = [
        run_drug("buprenorphine", [Given(0, 2, "sl")], [1.0], buprenorphine_sl_availability_scale=factor)
        for factor in (1.0, 1.5)
    ]
    assert plasma[1]["buprenorphine_plasma"][0] == pytest.approx(1.5 * plasma[0]["buprenorphine_plasma"][0], rel=1e-6)


@pytest.mark.parametrize("bodyweight", [50.0, 70.0, 120.0])
def test_bodyweight_scales_as_the_sources_say(bodyweight: float) -> None:
    ratio = bodyweight / 70
    ketamine = run_drug("ketamine", [Given(0, 35, "iv")], [1e-9], bodyweight=bodyweight)
    bolus = 35 * shipped("ketamine").nmol_per_mg / 133
    assert ketamine["ketamine_plasma"][0] == pytest.approx(bolus / ratio, rel=1e-4)
    assert ketamine["ketamine_s_clearance_scaled"][0] == pytest.approx(95.2 * ratio**0.75)
    assert ketamine["ketamine_norketamine_volume_scaled"][0] == pytest.approx(98.6 * ratio)
    escitalopram = run_drug("escitalopram", [], [0.0], bodyweight=bodyweight)
    assert escitalopram["escitalopram_volume_scaled"][0] == pytest.approx(1100 + 12 * (bodyweight - 79), rel=1e-4)


@pytest.mark.parametrize(
    ("name", "dose", "symbol"),
    [
        ("hnk", Given(0, 35, "iv"), "hnk_plasma"),
        ("buprenorphine", Given(0, 0.3, "iv"), "buprenorphine_plasma"),
        ("buprenorphine", Given(0, 8, "sl"), "buprenorphine_plasma"),
        ("heroin", Given(0, 10, "im"), "heroin_morphine_plasma"),
    ],
)
def test_clearance_grows_with_the_three_quarters_power_of_weight(name: str, dose: Given, symbol: str) -> None:
    times = np.concatenate([[0.0, 1e-9], np.geomspace(1e-5, 1500, 2000)])
    light, heavy = (np.trapezoid(run_drug(name, [dose], times, bodyweight=kg)[symbol], times) for kg in (50.0, 100.0))
    assert light / heavy == pytest.approx(2**0.75, rel=1e-3)


# --- against published levels -----------------------------------------------------------------------------------------


def test_ketamine_infusion_gives_the_published_levels() -> None:
    found = run_drug("ketamine", [Given(0, 35, "iv", 2 / 3)], MINUTES)
    end = np.searchsorted(MINUTES, 2 / 3)
    level = ng_per_ml("ketamine", found["ketamine_plasma"])
    assert level[end] == pytest.approx(161, rel=0.01)
    assert abs(level[end] / 185 - 1) < 0.15  # 185 ng/mL in depressed patients; 13 % below was accepted
    assert ng_per_ml("ketamine", found["ketamine_s_concentration"])[end] == pytest.approx(79, rel=0.01)
    assert ng_per_ml("ketamine", found["ketamine_r_concentration"])[end] == pytest.approx(82, rel=0.01)
    half_day = MINUTES <= 12
    assert np.trapezoid(level[half_day], MINUTES[half_day]) == pytest.approx(358, rel=0.01)
    assert half_life(MINUTES, level, 4, 8) == pytest.approx(2.5, rel=0.03)
    assert half_life(MINUTES, level, 12, 24) == pytest.approx(6.8, rel=0.03)


def test_norketamine_follows_ketamine() -> None:
    found = run_drug("ketamine", [Given(0, 35, "iv", 2 / 3)], MINUTES)
    in_ketamine_mass = ng_per_ml("ketamine", found["ketamine_norketamine_plasma"])
    assert 70 <= in_ketamine_mass.max() <= 76
    assert 0.85 <= MINUTES[in_ketamine_mass.argmax()] <= 1.6


def test_brain_follows_unbound_plasma_within_minutes() -> None:
    found = run_drug("ketamine", [Given(0, 35, "iv", 2 / 3)], MINUTES, ketamine_arterial_ratio=1.0)
    assert found["ketamine_brain"].max() == pytest.approx(360, rel=0.03)  # 0.36 uM when brain follows venous plasma
    arterial = run_drug("ketamine", [Given(0, 35, "iv", 2 / 3)], MINUTES, ketamine_arterial_ratio=1.6)
    assert arterial["ketamine_brain"].max() == pytest.approx(570, rel=0.03)
    for run, occupied in ((found, 0.0075), (arterial, 0.012)):  # at an endogenous tone of 0.12 receptor constants
        load = run["ketamine_brain_mu_ratio"].max()
        assert load / (1.12 + load) == pytest.approx(occupied, rel=0.03)
    assert MINUTES[found["ketamine_brain"].argmax()] == pytest.approx(2 / 3, abs=0.05)


@pytest.mark.parametrize(
    ("milligrams", "peak", "area", "metabolite_peak", "metabolite_area"),
    [(28, 43.8, 147, 59.1, 274), (56, 72.5, 255, 119.7, 516), (84, 101.0, 362, 180.0, 758)],
)
def test_esketamine_spray_gives_the_published_levels(
    milligrams: float, peak: float, area: float, metabolite_peak: float, metabolite_area: float
) -> None:
    found = run_drug("esketamine", [Given(0, milligrams, "nasal")], MINUTES)
    level = ng_per_ml("esketamine", found["esketamine_plasma"])
    metabolite = ng_per_ml("", found["esketamine_norketamine_plasma"], 223.70)
    assert level.max() == pytest.approx(peak, rel=0.02)
    assert np.trapezoid(level, MINUTES) == pytest.approx(area, rel=0.01)
    assert 0.58 <= MINUTES[level.argmax()] <= 0.68
    assert 7 <= half_life(MINUTES, level, 12, 24) <= 12  # label
    assert metabolite.max() == pytest.approx(metabolite_peak, rel=0.01)
    # Known: peak and area of noresketamine contradict each other in the published table; the set follows the peak.
    assert np.trapezoid(metabolite, MINUTES) / metabolite_area == pytest.approx(1.43, abs=0.04)


def test_esketamine_reaches_the_shared_brain_site() -> None:
    found = run_drug("esketamine", [Given(0, 84, "nasal")], MINUTES, ketamine_arterial_ratio=1.0)
    assert found["ketamine_s_brain"].max() == pytest.approx(240, rel=0.03)
    np.testing.assert_array_equal(found["ketamine_r_brain"], 0)


def test_naltrexone_tablet_gives_the_published_levels() -> None:
    found = run_drug("naltrexone", [Given(0, 50, "po")], np.concatenate([MINUTES, [48.0, 96.0]]))
    level = ng_per_ml("naltrexone", found["naltrexone_plasma"])[:-2]
    assert level.max() == pytest.approx(8.6, rel=0.01)
    assert MINUTES[level.argmax()] == pytest.approx(0.86, abs=0.02)
    assert half_life(MINUTES, level, 12, 24) == pytest.approx(4.0, rel=0.02)
    assert np.trapezoid(level, MINUTES) == pytest.approx(27.7, rel=0.01)


def mu_occupancy(milligrams: float, hours: Iterable[float]) -> NDArray[np.float64]:
    """Share of mu receptors that naltrexone holds when nothing competes [%]."""
    load = run_drug("naltrexone", [Given(0, milligrams, "po")], hours)["naltrexone_mu_ratio"]
    return 100 * load / (1 + load)


OCCUPANCY = {0.75: 87, 1.1: 88, 1.4: 89, 4: 90, 24: 88, 48: 80, 72: 70, 120: 44, 168: 20}


def test_naltrexone_holds_the_receptor_for_days() -> None:
    np.testing.assert_allclose(mu_occupancy(50, OCCUPANCY), list(OCCUPANCY.values()), atol=0.6)


@pytest.mark.parametrize(("milligrams", "occupied"), [(2, 26), (5, 47), (15, 73), (50, 90)])
def test_naltrexone_occupancy_by_dose(milligrams: float, occupied: float) -> None:
    assert mu_occupancy(milligrams, [4.0])[0] == pytest.approx(occupied, abs=0.6)


@pytest.mark.parametrize(("milligrams", "published"), [(2, (27, 27)), (5, (43, 58)), (15, (61, 61)), (50, (92, 98))])
def test_naltrexone_occupancy_lies_near_the_scans(milligrams: float, published: tuple[float, float]) -> None:
    assert published[0] - 12 <= mu_occupancy(milligrams, [4.0])[0] <= published[1] + 12  # spread of the 5-mg scans: 15


@pytest.mark.parametrize(("hour", "published", "error"), [(48, 91, 6), (72, 80, 6), (120, 46, 7), (168, 30, 14)])
def test_naltrexone_blockade_fades_as_scanned(hour: float, published: float, error: float) -> None:
    first, later = mu_occupancy(50, [1.0, hour])
    assert abs(100 * later / first - published) < error


def test_morphine_clears_and_lags() -> None:
    found = run_drug("morphine", [Given(0, 10, "iv")], MINUTES)
    clearance = PARAMETERS["morphine_elimination"] * PARAMETERS["morphine_central_volume"]
    assert clearance == pytest.approx(94, rel=0.01)
    assert 0.2 < MINUTES[found["morphine_site"].argmax()] < 1.24  # well after plasma, whose peak is at once
    assert PARAMETERS["morphine_site_half_life"] == pytest.approx(74.4 / 60)


def test_naloxone_spray_gives_the_published_levels() -> None:
    found = run_drug("naloxone", [Given(0, 4, "nasal")], MINUTES)
    level = ng_per_ml("naloxone", found["naloxone_plasma"])
    assert level.max() == pytest.approx(6.2, rel=0.02)
    assert level.max() / 4.8 == pytest.approx(1.3, abs=0.02)  # known: the peak is 30 % above a recalled 4.8 ng/mL
    assert MINUTES[level.argmax()] == pytest.approx(0.58, abs=0.02)
    assert 0.7 <= half_life(MINUTES, level, 2, 4) <= 0.8


def test_naloxone_occupies_half_between_the_two_published_doses() -> None:
    hour = 55 / 60
    load = [run_drug("naloxone", [Given(0, dose * 70, "iv")], [hour])["naloxone_mu_ratio"][0] for dose in (1e-3, 1e-2)]
    assert load[1] / load[0] == pytest.approx(10)
    assert 0.0026 < 1e-3 / load[0] < 0.013  # ED50 [mg/kg]: pooled scans, and diprenorphine


def test_naloxone_reaches_its_site_with_the_stated_delay() -> None:
    held = run_drug("naloxone", [Given(0, 1000, "iv", 1000.0)], [11.2 / 60, 900.0, 1000.0, 1000.0 + 11.2 / 60])
    assert held["naloxone_site"][1] == pytest.approx(held["naloxone_plasma"][1], rel=1e-6)
    assert held["naloxone_site"][3] > 0.5 * held["naloxone_site"][2]
    assert held["naloxone_site"][0] < 0.5 * held["naloxone_plasma"][0]


def test_escitalopram_tablet_gives_the_published_levels() -> None:
    found = run_drug("escitalopram", [Given(0, 20, "po")], MINUTES, bodyweight=79.0)
    level = ng_per_ml("escitalopram", found["escitalopram_plasma"])
    assert level.max() == pytest.approx(12.9, rel=0.01)
    assert MINUTES[level.argmax()] == pytest.approx(4.3, abs=0.1)  # published 3-5 h
    assert half_life(MINUTES, level, 12, 24) == pytest.approx(25, rel=0.03)


@pytest.mark.parametrize("milligrams", [10.0, 20.0])
def test_daily_antidepressant_follows_the_published_course(milligrams: float) -> None:
    """35 % of the 6-week effect in week 1 and 59 % by week 2, within 2 points lost to the first days' accumulation."""
    days = [Given(24.0 * day, milligrams, "po") for day in range(42)]
    effect = run_drug("escitalopram", days, [168.0, 336.0, 1008.0], bodyweight=79.0)["escitalopram_effect"]
    np.testing.assert_allclose(effect[:2] / effect[2], [0.35, 0.59], atol=0.02)
    assert effect[2] / (1 - np.exp(-1008 / 454)) == pytest.approx(1.0, abs=0.15)


def test_descriptive_effect_says_so() -> None:
    drug = shipped("escitalopram")
    sentence = "descriptive, never counted as evidence"
    assert sentence in drug.title and sentence in drug.model
    assert sentence in drug.parameters["escitalopram_effect_size"].note
    assert drug.parameters["escitalopram_effect_size"].grade == "assumed"
    assert [entry.symbol for entry in drug.exposures] == ["latent_effect"]


def test_isomers_are_the_halves_of_the_racemate(case: Case) -> None:
    """S and R given side by side, half the dose each, are racemic ketamine, bit for bit."""
    outputs = [
        "ketamine_brain",
        "ketamine_s_brain",
        "ketamine_norketamine_plasma",
        "nmda_block",
        "mu_relative",
        "score",
    ]
    halves = "s_ketamine 0.25 mg/kg iv over 40 min; r_ketamine 0.25 mg/kg iv over 40 min"
    arms = {"whole": case.regimen("ketamine 0.5 mg/kg iv over 40 min"), "halves": case.regimen(halves)}
    mechanism = case.mechanism("camp_crosstalk", ["s_ketamine", "r_ketamine"])
    assert {"ketamine", "ketamine_brain"} <= set(mechanism.drugs)
    run = simulate(mechanism, arms, [0.0, 0.5, 2.0, 24.0], outputs=outputs)
    for name in outputs:
        np.testing.assert_array_equal(run[name].sel(arm="halves"), run[name].sel(arm="whole"))
        assert np.ptp(run[name].to_numpy()) > 0
    alone = simulate(mechanism, {"s": case.regimen("s_ketamine 0.25 mg/kg iv over 40 min")}, [2.0])
    assert float(alone["ketamine_r_brain"].max()) == 0.0
    assert float(alone["nmda_block"].max()) > 0.01


def test_hydroxynorketamine_peaks_at_the_stated_scale() -> None:
    """In brain 95 nM, the middle of 30 to 300 nM, after 0.5 mg/kg; the scale is that over this kinetics' own peak."""
    found = run_drug("ketamine", [Given(0, 35, "iv", 2 / 3)], MINUTES, beside=["hnk"])
    assert found["hnk_eq"].max() == pytest.approx(np.sqrt(30 * 300), rel=1e-3)
    scale = shipped("hnk").parameters["hnk_scale"]
    assert scale.prior and scale.prior.support == pytest.approx((30 / 138.58, 300 / 138.58), rel=1e-3)
    level = ng_per_ml("hnk", found["hnk_plasma"])
    # Known: with the source's own ketamine and norketamine 28 ng/mL from 1 h to 4 h; here it comes later and higher.
    np.testing.assert_allclose(np.interp([1, 2, 4], MINUTES, level) / 28, [0.74, 1.12, 1.20], atol=0.02)


def test_hydroxynorketamine_weighs_its_isomers() -> None:
    s, r, both = (
        run_drug(name, [Given(0, 35, "iv", 2 / 3)], [4.0], beside=["hnk"])["hnk_eq"][0]
        for name in ("s_ketamine", "r_ketamine", "ketamine")
    )
    assert both == pytest.approx((s + r) / 2, rel=1e-6)
    assert 3.5 < r / s < 1.67 / 0.33  # R-ketamine is eliminated more slowly


def test_daily_memantine_gives_the_labels_levels() -> None:
    after = 28 * 24.0
    times = np.concatenate([[after - 24 + 1e-6], after - 24 + np.arange(1, 25), after + np.arange(10, 160, 10)])
    found = run_drug("memantine", [Given(24.0 * day, 20, "po") for day in range(28)], times)
    level = ng_per_ml("memantine", found["memantine_plasma"])
    assert np.trapezoid(level[:25], times[:25]) / 24 == pytest.approx(99, rel=0.01)  # label 70-150 ng/mL
    assert np.trapezoid(found["memantine_free"][:25], times[:25]) / 24 == pytest.approx(300, rel=0.02)
    assert half_life(times, level, after + 10, after + 150) == pytest.approx(70, rel=0.01)  # label 60-100 h
    once = run_drug("memantine", [Given(0, 20, "po")], MINUTES)["memantine_plasma"]
    assert 3 <= MINUTES[once.argmax()] <= 8


@pytest.mark.parametrize(("ratio", "half"), [(0.7, 500.0), (1.24, 2000.0), (2.2, 8000.0)])
def test_memantine_blocks_driven_receptors_by_mass_action(ratio: float, half: float) -> None:
    dose = Given(0, 20, "po")
    found = run_drug("memantine", [dose], [8.0], nmda_memantine_ratio=ratio, nmda_ketamine_ic50=half)
    load, free = found["memantine_nmda_driven_ratio"][0], found["memantine_free"][0]
    assert load / (1 + load) == pytest.approx(free / (free + ratio * half), rel=1e-9)
    assert "memantine_nmda_ratio" not in found  # resting receptors are spared


def test_steady_memantine_blocks_a_tenth(case: Case) -> None:
    daily = case.regimen("memantine 20 mg po every 24 h x 28")
    block = simulate(case.mechanism("none", ["memantine"]), {"m": daily}, [28 * 24 - 12.0], outputs=["nmda_block"])
    assert float(block["nmda_block"].squeeze()) == pytest.approx(0.11, abs=0.005)


def buprenorphine_occupancy(milligrams: float, hour: float) -> float:
    load = run_drug("buprenorphine", [Given(0, milligrams, "sl")], [hour])["buprenorphine_mu_ratio"][0]
    return 100 * load / (1 + load)


def test_buprenorphine_under_the_tongue_against_the_scans(case: Case) -> None:
    """At 4 h, 16 mg: 79-95 % in scans, 95 % here. At 2 mg: 36-50 % in scans, 76 % here, which is too much (known)."""
    high, low = buprenorphine_occupancy(16, 4.0), buprenorphine_occupancy(2, 4.0)
    assert 79 <= high <= 95.5
    assert low == pytest.approx(76, abs=1)
    assert low > 50
    note = case.shared["mu_buprenorphine_kd"].note
    assert "76 %" in note and "36-50" in note


def test_buprenorphine_is_a_partial_agonist(case: Case) -> None:
    """On a receptor that it fills, the activity is its efficacy; naltrexone takes it away."""
    arms = {"b": "buprenorphine 16 mg sl", "both": "naltrexone 50 mg po; buprenorphine 16 mg sl", "none": ""}
    run = simulate(
        case.mechanism("none", ["buprenorphine", "naltrexone"]),
        {name: case.regimen(text) for name, text in arms.items()},
        [4.0],
        outputs=["mu_activity", "mu_occupancy_opioid", "mu_load", "mu_antagonist"],
    ).squeeze(drop=True)
    alone = run.sel(arm="b")
    ligand, own, constitutive = 0.122474, float(alone["mu_load"]), 0.01
    expected = (constitutive + 0.75 * ligand + 0.67 * own) / (1 + ligand + own)
    assert float(alone["mu_activity"]) == pytest.approx(expected, rel=1e-5)
    assert float(run["mu_occupancy_opioid"].sel(arm="both")) < 0.8 * float(alone["mu_occupancy_opioid"])
    assert float(run["mu_antagonist"].sel(arm="b")) == 0.0


def test_buprenorphine_lags_by_its_half_life() -> None:
    held = run_drug("buprenorphine", [Given(0, 1000, "iv", 1000.0)], [2.86, 999.0])
    assert held["buprenorphine_site"][1] == pytest.approx(held["buprenorphine_plasma"][1], rel=1e-3)
    assert 0.2 < held["buprenorphine_site"][0] / held["buprenorphine_plasma"][0] < 0.5


def test_rapamycin_gives_the_levels_of_its_set_and_touches_nothing() -> None:
    times = np.unique(np.concatenate([np.linspace(0, 48, 961), np.linspace(48, 240, 400)]))
    level = ng_per_ml("rapamycin", run_drug("rapamycin", [Given(0, 6, "po")], times)["rapamycin_blood"])
    assert level.max() == pytest.approx(21.8, rel=0.01)
    assert times[level.argmax()] == pytest.approx(2.5, abs=0.05)
    np.testing.assert_allclose(np.interp([2.0, 24.0], times, level), [21.4, 3.6], rtol=0.02)
    assert np.trapezoid(level, times) == pytest.approx(453, rel=0.01)
    assert half_life(times, level, 72, 200) == pytest.approx(49, rel=0.02)
    drug = shipped("rapamycin")
    assert not drug.loads and not drug.exposures


def test_naltrexone_depot_gives_the_published_levels() -> None:
    days = np.linspace(0, 60, 1441)
    found = run_drug("naltrexone", [Given(0, 380, "im")], 24 * days)
    level = ng_per_ml("naltrexone", found["naltrexone_plasma"])
    assert 1.4 <= np.interp(28, days, level) <= 1.7
    assert 1.05 <= np.interp(31, days, level) <= 1.3
    assert half_life(24 * days, level, 480, 960) / 24 == pytest.approx(7.9, rel=0.01)
    assert days[level.argmax()] == pytest.approx(12, abs=0.1)  # known: the early burst is not reproduced
    tablets = 28 * 50 * shipped("naltrexone").nmol_per_mg / 1805
    depot = 380 * shipped("naltrexone").nmol_per_mg / 140
    assert depot / tablets == pytest.approx(3.5, abs=0.05)  # published 3-4
    load = found["naltrexone_mu_ratio"]
    assert (load / (1 + load))[days >= 4].min() > 0.5
    assert np.interp(28, days, load / (1 + load)) > 0.9


def test_a_tablet_adds_to_the_depot() -> None:
    """Plasma and pool are linear: both together are the sum of each alone."""
    depot, tablet, both = (
        run_drug("naltrexone", doses, [200.0, 202.0])
        for doses in (
            [Given(0, 380, "im")],
            [Given(200, 50, "po")],
            [Given(0, 380, "im"), Given(200, 50, "po")],
        )
    )
    for symbol in ("naltrexone_plasma", "naltrexone_pool"):
        np.testing.assert_allclose(both[symbol], depot[symbol] + tablet[symbol], rtol=1e-6)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_lanicemine_imposes_its_block_whatever_acts_at_rest(share: float) -> None:
    """100 mg sets the level to 1 and driven receptors to b; 150 mg to 1.5; ten hours halve it."""
    for milligrams, level in ((100, 1.0), (150, 1.5)):
        found = run_drug("lanicemine", [Given(0, milligrams, "iv")], [1e-9, 10.0], nmda_lanicemine_rest_share=share)
        np.testing.assert_allclose(found["lanicemine_level"], [level, level / 2], rtol=1e-6)
        rest, driven = (found[f"lanicemine_{site}_ratio"] for site in ("nmda", "nmda_driven"))
        passes = 1 / (1 + rest) / (1 + driven)
        load = found["lanicemine_level"] * 0.125 / 0.875
        np.testing.assert_allclose(1 - passes, load / (1 + load), rtol=1e-9)
        np.testing.assert_allclose(rest, share * load, rtol=1e-9)
    if share == 0:
        np.testing.assert_allclose(1 - passes[0], 1.5 / (1.5 + 7), rtol=1e-6)


def test_heroin_becomes_morphine_within_the_hour() -> None:
    found = run_drug("heroin", [Given(0, 100, "im")], MINUTES)
    chain = ("heroin_plasma", "heroin_acetylmorphine_plasma", "heroin_morphine_plasma")
    peaks = [MINUTES[found[symbol].argmax()] for symbol in chain]
    assert peaks == sorted(peaks) and peaks[-1] < 1
    assert 0.5 < MINUTES[found["heroin_morphine_site"].argmax()] < 4
    nasal = run_drug("heroin", [Given(0, 100, "nasal")], MINUTES)
    np.testing.assert_allclose(nasal["heroin_mu_ratio"], 0.519 * found["heroin_mu_ratio"], rtol=1e-5, atol=1e-9)


def test_heroins_effect_says_that_it_is_assumed() -> None:
    drug = shipped("heroin")
    site = drug.parameters["heroin_morphine_site_half_life"]
    assert (site.grade, site.nominal) == ("assumed", shipped("morphine").parameters["morphine_site_half_life"].nominal)
    assert "assumed" in drug.caveat and "assumed" in drug.model
    assert [(load.receptor, load.ratio.split("/")[1]) for load in drug.loads] == [("mu", "mu_morphine_k")]


# --- imposed effects --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("inverse", [0.0, 0.5, 1.0])
def test_an_imposed_antagonist_acts_as_one_with_kinetics(case: Case, inverse: float) -> None:
    """A load of 8 imposed is a load of 8 of naltrexone: the same occupancy and activity, by the law of mass action."""
    arm = Arm(probes=(Probe("mu_imposed_antagonist", set=8.0), Probe("mu_inverse_efficacy", set=inverse)))
    symbols = ["mu_activity", "mu_occupancy_antagonist", "mu_antagonist"]
    run = simulate(case.mechanism("none"), {"a": arm}, [1.0], outputs=symbols).squeeze()
    ligand, constitutive = 0.122474, 0.01
    active = constitutive * (1 + (1 - inverse) * 8) + 0.75 * ligand
    assert float(run["mu_activity"]) == pytest.approx(active / (1 + ligand + 8), rel=1e-9)
    assert float(run["mu_occupancy_antagonist"]) == pytest.approx(8 / (1 + ligand + 8), rel=1e-9)
    assert float(run["mu_antagonist"]) == 0.0


NAMED = {  # probe: what it moves, one hour after its start
    "pde4_inhibitor": "camp_relative",
    "forskolin": "camp_relative",
    "glutamate_doubled": "nmda_activity",
    "rapamycin_brain": "mtorc1_relative",
    "nitrous_oxide_50": "nmda_rest_block",
    "nitrous_oxide_25": "nmda_rest_block",
    "nmda_blocker": "nmda_block",
    "mu_antagonist": "mu_relative",
    "midazolam": "placebo_effect",
    "opioid_tone_removed": "mu_relative",
}


def test_the_named_probes_of_the_case(case: Case) -> None:
    assert set(case.probes) == {*NAMED, "mtorc1_held", "ampa_blocker"}
    for probe in case.probes.values():
        for act in probe.acts:
            if act.by:
                assert case.shared[act.by].grade == "assumed"


def test_every_named_probe_moves_what_it_should_while_it_lasts(case: Case) -> None:
    arms = {name: Arm(probes=case.spell_out([Probe(name=name, start=1.0)])) for name in NAMED} | {"rest": Arm()}
    outputs = sorted(set(NAMED.values()))
    run = simulate(case.mechanism("camp_crosstalk"), arms, [0.5, 1.5, 8.0], outputs=outputs).squeeze(drop=True)
    for name, output in NAMED.items():
        moved = run[output].sel(arm=name) - run[output].sel(arm="rest")
        assert abs(float(moved[0])) < 1e-9, name
        assert abs(float(moved[1])) > 0.005, name
        if case.probes[name].lasts is not None and output.endswith("block"):
            assert abs(float(moved[2])) < 1e-9, name


def test_clamped_probes_hold_and_block(case: Case) -> None:
    ketamine = case.regimen("ketamine 0.5 mg/kg iv over 40 min")
    arms = {name: Arm(ketamine, case.spell_out([Probe(name=name)])) for name in ("mtorc1_held", "ampa_blocker")}
    arms |= {"ketamine": Arm(ketamine)}
    run = simulate(case.mechanism("gated_surge", ["ketamine"]), arms, [2.0], outputs=["mtorc1_relative"]).squeeze()
    level = {name: float(run["mtorc1_relative"].sel(arm=name)) for name in arms}
    assert level["ketamine"] > 1.05
    assert level["mtorc1_held"] == pytest.approx(1.0, abs=1e-9)
    assert level["ampa_blocker"] == pytest.approx(1.0, abs=1e-9)


def test_half_the_gas_is_half_the_block_in_every_draw(case: Case) -> None:
    mechanism = case.mechanism("none")
    draws = draw_parameters([*mechanism.parameters.values(), *mechanism.dosing.values()], 16, seed=2)
    arms = {n: Arm(probes=case.spell_out([Probe(name=f"nitrous_oxide_{n}")])) for n in ("50", "25")}
    block = simulate(mechanism, arms, [0.5], draws=draws, outputs=["nmda_rest_block"])["nmda_rest_block"].squeeze()
    full, half = (block.sel(arm=n).to_numpy() for n in ("50", "25"))
    np.testing.assert_allclose(half, full / 2, rtol=1e-12)
    assert 0.1 <= full.min() < full.max() <= 0.4


# --- the records and their reader -------------------------------------------------------------------------------------


def test_labels_of_ketamine_and_esketamine() -> None:
    (esketamine,), (ketamine,) = shipped("esketamine").labels, shipped("ketamine").labels
    assert (esketamine.doses, esketamine.max_per_week, esketamine.observe) == (("28 mg", "56 mg", "84 mg"), 2, "2 h")
    assert (ketamine.doses, ketamine.over, ketamine.route) == (("0.5 mg/kg",), "40 min", "iv")


@pytest.mark.parametrize(
    ("regimen", "says"),
    [
        ("naltrexone 50 mg po every 24 h x 28", []),
        ("naltrexone 380 mg im every 28 d x 3; naltrexone 50 mg po at -24 h", []),
        ("naltrexone 380 mg po", ["naltrexone 380 mg is not one of the usual doses (50 mg)"]),
        ("naltrexone 4999 mg po", ["naltrexone 4999 mg is not one of the usual doses (50 mg)"]),
        ("naltrexone 5000 mg po", ["naltrexone 5000 mg is far outside any dose studied here (usual: 50 mg): an"]),
        ("ketamine 50 mg/kg iv over 40 min", ["ketamine 50 mg/kg is far outside any dose studied here"]),
        ("ketamine 3500 mg iv over 40 min", ["ketamine 3500 mg is far outside any dose studied here"]),
        ("naltrexone 150 mg im", ["naltrexone 150 mg is not one of the usual doses (380 mg)"]),
        ("rapamycin 6 mg po", ["rapamycin: its effect in the brain is not known"]),
        ("heroin 10 mg im; ketamine 0.5 mg/kg iv over 40 min", ["heroin: only its morphine acts"]),
        ("memantine 20 mg po every 24 h x 14", []),
    ],
)
def test_labels_count_by_route_and_caveats_are_said(case: Case, regimen: str, says: list[str]) -> None:
    notes = case.notes(case.regimen(regimen))
    assert len(notes) == len(says)
    assert all(note.startswith(start) for note, start in zip(notes, says, strict=True))


def test_milligrams_become_moles() -> None:
    assert shipped("ketamine").nmol_per_mg == pytest.approx(1e6 / 237.73)
    assert shipped("memantine").nmol_per_mg == pytest.approx(1e6 / 215.76, rel=1e-3)  # a milligram of the hydrochloride
    with pytest.raises(RegimenError, match="ketamine_brain has no molar mass"):
        _ = shipped("ketamine_brain").nmol_per_mg


def test_a_table_by_dose_interpolates_and_refuses_to_extrapolate() -> None:
    share = shipped("esketamine").routes["nasal"].targets[0].fraction
    assert isinstance(share, ByDose)
    assert [share.value_at(dose) for dose in (28, 56, 84)] == [0.54, 0.4374, 0.4032]
    assert share.value_at(42) == pytest.approx((0.54 + 0.4374) / 2)
    for dose in (27.9, 84.1):
        with pytest.raises(RegimenError, match="28 to 84 mg"):
            share.value_at(dose)
    with pytest.raises(RegimenError, match='did you mean "share"'):
        resolve("shre", 28.0, {"share": 0.5})


def test_an_unknown_route_is_refused_with_the_known_ones() -> None:
    with pytest.raises(RegimenError, match='naltrexone has no route "iv"; known: im, po'):
        shipped("naltrexone").route("iv")


FAULTS = [  # drug, text of drug.toml, its replacement, what the error must say
    ("ketamine", "molar_mass =", "molarmass =", r'drug\.toml: unknown key molarmass; did you mean "molar_mass"\?'),
    (
        "ketamine",
        "fraction = 0.5",
        "fracton = 0.5",
        r'unknown key routes\.iv\.targets\.0\.fracton; did you mean "fraction"',
    ),
    ("ketamine", "targets]]", "target]]", r'unknown key routes\.iv\.target; did you mean "targets"'),
    ("naltrexone", 'role = "antagonist"', 'rle = "antagonist"', r'unknown key loads\.0\.rle; did you mean "role"'),
    ("naltrexone", 'role = "antagonist"', "", r"key loads\.0\.role is missing"),
    ("ketamine", "title =", "title ==", r"drug\.toml: not valid TOML: .*line 1"),
    ("ketamine", "fraction = 0.5", "fraction = 0.4", r"key routes\.iv\.targets: fractions sum to 0\.8, not to 1"),
    ("esketamine", '"56" = 0.5626', '"56" = 0.6', r"fractions sum to 1\.0374 at 56 mg"),
    ("esketamine", '"28" = 0.46, ', "", r"fractions: a dose of 28 mg lies outside"),
    ("esketamine", '"28" = 0.46', '"low" = 0.46', r'targets\.1\.fraction: "low" in a table by dose is no dose'),
    (
        "esketamine",
        '"esketamine_gut_availability"',
        '"esketamine_gut"',
        r'targets\.1\.F: no parameter "esketamine_gut"',
    ),
    (
        "naltrexone",
        '"naltrexone_gut_in"',
        '"naltrexone_gut"',
        r'input: no parameter .* did you mean "naltrexone_gut_in"',
    ),
    ("naltrexone", '"naltrexone_gut_in"', '"naltrexone_flow"', r"has unit litre_per_hour, not nmol_per_hour"),
    ("naltrexone", "F = 1.0", "F = -1.0", r"key routes\.po\.targets\.0\.F: -1\.0 is none of"),
    ("naltrexone", "F = 1.0", "F = true", r"targets\.0\.F: a number, a parameter id or a table"),
    ("naltrexone", "routes.po", "routes.oral", r"key routes\.oral: input should be 'iv', 'po', 'nasal', 'sl'"),
    ("naltrexone", "molar_mass = 341.41", "", r"key molar_mass: a drug with routes needs a molar mass"),
    ("esketamine", 'route = "nasal"', 'route = "iv"', r'key labels\.0\.route: no route "iv"; known: nasal'),
    ("esketamine", "[[labels]]", "[[label]]", r'unknown key label; did you mean "labels"'),
    ("esketamine", 'observe = "2 h"', 'observed = "2 h"', r'unknown key labels\.0\.observed; did you mean "observe"'),
    ("s_ketamine", '"ketamine_s_in"', '"ketamine_s_inn"', r'tsv or in that of ketamine; did you mean "ketamine_s_in"'),
    ("s_ketamine", 'requires = ["ketamine"]', "requires = []", r'no parameter "ketamine_s_in" in parameters\.tsv'),
]


@pytest.mark.parametrize(("name", "text", "replacement", "message"), FAULTS)
def test_a_faulty_drug_toml_is_refused(tmp_path: Path, name: str, text: str, replacement: str, message: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    for file in (CASE / "drugs" / name).iterdir():
        (folder / file.name).write_text(file.read_text(encoding="utf-8"), encoding="utf-8")
    others = {other: shipped(other) for other in DRUGS}
    check_targets(read_drug(folder), others)
    whole = (folder / "drug.toml").read_text(encoding="utf-8")
    assert text in whole
    (folder / "drug.toml").write_text(whole.replace(text, replacement), encoding="utf-8")
    with pytest.raises(CaseError, match=message):
        check_targets(read_drug(folder), others)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CaseError, match=r"drug\.toml: no such file"):
        read_drug(tmp_path)
