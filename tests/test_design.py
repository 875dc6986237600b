"""Candidate designs as files: families with numbers left open, other outputs, animals, targets, cost."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from antagony import lint
from antagony.case import Case
from antagony.design import (
    Estimand,
    Feasibility,
    Plan,
    Reading,
    Variable,
    missing_targets,
    plan_study,
    read_designs,
    read_plan,
)
from antagony.errors import StudyError
from antagony.regimen import parse_regimen
from antagony.simulation import Arm, simulate

FILE = """
title = "Naltrexone {dose} mg"
note = "braces that are no placeholder: {as here}, and {elsewhere}"
targets = ["nmda", "mu"]

[design]
kind = "crossover"
population = "people"
blinding = "double-blind"
washout = "{wait} d"
visits = ["{visit} h", "3 d"]

[[arms]]
id = "both"
regimen = "naltrexone {dose} mg po at -{lead} min; ketamine 0.5 mg/kg iv over 40 min"
probes = [{ name = "nmda_blocker", from = "{lead} min", until = "{visit} h" }]
n = "{patients}"

[[arms]]
id = "ketamine"
regimen = "ketamine 0.5 mg/kg iv over 40 min"
n = 30

[trial]
scale = "MADRS"
score_max = { value = 60, grade = "recalled" }

[[estimands]]
id = "day"
arms = ["both", "ketamine"]
time = "{visit} h"

[[vary]]
id = "dose"
low = 0.0000001
high = 100
nominal = 50
unit = "mg"
log = true
note = "by mouth"
[[vary]]
id = "wait"
low = 5
high = 30
nominal = 30
unit = "d"
[[vary]]
id = "visit"
low = 2
high = 48
nominal = 24
unit = "h"
[[vary]]
id = "lead"
low = 30
high = 60
nominal = 45
unit = "min"
[[vary]]
id = "patients"
low = 10
high = 40
nominal = 30
unit = "patients"
step = 5

[feasibility]
in_man = true
approval = "off_label"
burden = 3
visits = 4.5
note = "two infusion days"
"""

ANIMAL = """
title = "An animal"
species = "mouse"
paradigm = "mouse_naive"

[design]
kind = "parallel"
population = "mice"
blinding = "blind"

[[arms]]
id = "ketamine"
regimen = "ketamine 0.5 mg/kg iv over 40 min"
n = 12

[[arms]]
id = "vehicle"
regimen = "no drug"
n = 12

[trial]
scale = "behaviour"

[[estimands]]
id = "works"
arms = ["ketamine", "vehicle"]
time = "24 h"

[feasibility]
in_man = false
approval = "animal"
burden = 1
visits = 2
"""

READING = 'reading = { value = 0.3, grade = "assumed", note = "a guess" }'


def written(folder: Path, text: str, *changes: tuple[str, str]) -> Path:
    """The file with some of its text changed; each change must find what it changes."""
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    file = folder / "made_up.toml"
    file.write_text(text, encoding="utf-8")
    return file


# --- the shipped designs --------------------------------------------------------------------------------------------


def test_the_shipped_designs_are_a_library(case: Case) -> None:
    """At least twenty, in order of name, none faulted by lint; three contrasts at most, a note, a price."""
    found = read_designs(case.folder / "designs")
    assert list(found) == sorted(found) == list(case.designs)
    assert len(found) >= 20
    faults = list(lint.check_designs(case))
    assert [(fault.level, fault.where) for fault in faults] == [("warning", "designs/kappa_antagonist_ketamine.toml")]
    for name, plan in found.items():
        assert plan.id == name
        assert 1 <= len(plan.estimands) <= 3, name
        assert plan.notes and len(plan.notes[0]) > 80, name
        assert plan.feasibility is not None and plan.feasibility.note, name
        assert plan.cost > len(plan.ratings), name
        assert plan.targets, name


def test_every_shipped_arm_and_output_is_one_of_the_case(case: Case) -> None:
    for name, plan in case.designs.items():
        for arm in plan.design.arms:
            assert case.regimen(arm.condition.regimen).text() == parse_regimen(arm.condition.regimen).text(), name
            assert all(probe.parameter for probe in case.spell_out(arm.condition.probes)), name
        for estimand in plan.estimands:
            assert estimand.output in case.outputs, f"{name}, {estimand.id}"


def test_every_shipped_family_can_be_read_at_its_bounds(case: Case) -> None:
    families = {name: plan for name, plan in case.designs.items() if plan.variables}
    assert {"two_by_two", "crossover_washout", "naltrexone_timing"} <= families.keys()
    for plan in families.values():
        assert dict(plan.values) == {variable.id: variable.nominal for variable in plan.variables}
        for variable in plan.variables:
            for bound in (variable.low, variable.nearest(variable.high)):
                other = read_plan(plan.origin, {variable.id: bound})
                assert other.values[variable.id] == bound
                assert (other.design, other.visits) != (plan.design, plan.visits) or bound == variable.nominal


def test_designs_of_known_trials_are_as_before(case: Case) -> None:
    """At its nominal values the 2 x 2 is the one of before: the regimen of williams_2018, rated after a day."""
    made = case.designs["two_by_two"]
    assert made.design.arms[0].condition.regimen == (
        "naltrexone 50 mg po at -45 min; ketamine 0.5 mg/kg iv over 40 min"
    )
    assert made.visits == (24.0, 72.0, 168.0)
    assert [estimand.time for estimand in made.estimands] == [24.0] * 3
    assert (made.sizes, made.patients) == ((65, 65, 65, 65), 260)
    assert case.designs["crossover_26"].step == 720.0
    assert case.designs["crossover_short"].step == 120.0


def test_no_shipped_design_changes_a_model(case: Case) -> None:
    """Designs are no part of the case's hash, so they may not add inputs to the models that its answers came from."""
    assert case.timed == replace(case, designs={}).timed
    probed = {p.parameter for plan in case.designs.values() for arm in plan.design.arms
              for p in case.spell_out(arm.condition.probes) if p.is_timed}  # fmt: skip
    assert probed <= case.timed


def test_only_the_kappa_antagonist_has_a_target_that_the_case_lacks(case: Case) -> None:
    known = {receptor.name for receptor in case.receptors} | case.parameters("camp_crosstalk").keys()
    missing = {name: missing_targets(plan, known) for name, plan in case.designs.items()}
    assert {name: names for name, names in missing.items() if names} == {"kappa_antagonist_ketamine": ("kappa",)}
    assert missing_targets(case.designs["two_by_two"], ["mu"]) == ("nmda",)


def test_isomers_are_given_at_equal_block(case: Case) -> None:
    """Peak block of NMDA receptors under S and R within 5 %; that of the racemate's usual dose beside them."""
    plan = case.designs["isomers_naltrexone"]
    arms = {arm.id: Arm(case.regimen(arm.condition.regimen)) for arm in plan.design.arms}
    arms["racemate"] = Arm(case.regimen("ketamine 0.5 mg/kg iv over 40 min"))
    mechanism = case.mechanism_for("none", {"ketamine", "s_ketamine", "r_ketamine", "naltrexone"})
    run = simulate(mechanism, arms, np.arange(0, 2, 1 / 60), outputs=["nmda_block"])
    peaks = {name: float(run["nmda_block"].sel(arm=name).max()) for name in arms}
    assert len(peaks) == 5 and peaks["racemate"] > 0.1
    assert max(peaks.values()) <= 1.05 * min(peaks.values())


def test_animals_are_asked_for_signs_and_are_no_patients(case: Case) -> None:
    animals = {name: plan for name, plan in case.designs.items() if not plan.is_human}
    assert animals.keys() == {
        "rodent_naltrexone_ketamine", "rodent_pde4_ketamine", "rodent_naltrexone_nmda_blocker"
    }  # fmt: skip
    known = {study.paradigm: study.species for study in case.studies.values() if not study.is_human}
    for name, plan in animals.items():
        assert known[plan.paradigm] == plan.species, name
        assert all(len(estimand.arms) == 2 and estimand.reading is None for estimand in plan.estimands)
        assert plan.feasibility is not None and plan.feasibility.approval == "animal"


# --- families -------------------------------------------------------------------------------------------------------


def test_placeholders_take_nominal_values(tmp_path: Path) -> None:
    plan = read_plan(written(tmp_path, FILE))
    both = plan.design.arm("both")
    assert plan.title == "Naltrexone 50 mg"
    assert plan.notes == ("braces that are no placeholder: {as here}, and {elsewhere}",)
    assert both.condition.regimen == "naltrexone 50 mg po at -45 min; ketamine 0.5 mg/kg iv over 40 min"
    assert (both.condition.probes[0].start, both.condition.probes[0].until) == (0.75, 24.0)
    assert (plan.step, plan.visits, plan.estimands[0].time, both.n) == (720.0, (24.0, 72.0), 24.0, 30)
    assert dict(plan.values) == {"dose": 50.0, "wait": 30.0, "visit": 24.0, "lead": 45.0, "patients": 30.0}
    assert plan.variables[0] == Variable("dose", 1e-7, 100, 50, "mg", None, True, "by mouth")


def test_placeholders_take_the_values_given(tmp_path: Path) -> None:
    plan = read_plan(written(tmp_path, FILE), {"wait": 5, "visit": 7.1, "lead": 33.3, "patients": 35})
    both = plan.design.arm("both")
    assert both.condition.regimen.startswith("naltrexone 50 mg po at -33.3 min;")
    assert both.condition.probes[0].start == pytest.approx(33.3 / 60, rel=1e-15)
    assert (plan.step, plan.visits, plan.estimands[0].time, both.n) == (120.0, (7.1, 72.0), 7.1, 35)
    assert plan.patients == 35
    assert plan.values["visit"] == 7.1
    assert plan.values["dose"] == 50.0


@pytest.mark.parametrize("dose", [1e-7, 2.5e-7, 1 / 3, 0.1 + 0.2, 20.0, 100.0, 99.99999999999999])
def test_no_digit_of_a_value_is_lost(tmp_path: Path, dose: float) -> None:
    """No exponent either, for no prescription has one; the parser gives the very number back."""
    plan = read_plan(written(tmp_path, FILE), {"dose": dose})
    text = plan.design.arm("both").condition.regimen
    assert re.match(r"naltrexone [0-9.]+ mg po", text)
    given = [one.amount for one in parse_regimen(text).doses if one.drug == "naltrexone"]
    assert given == [dose]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"dosee": 50.0}, 'vary "dosee": this design leaves no such number open; did you mean "dose"?'),
        ({"wait": 4.0}, 'vary "wait": 4 lies outside 5 to 30 d'),
        ({"wait": 30.5}, 'vary "wait": 30.5 lies outside 5 to 30 d'),
        ({"wait": float("nan")}, 'vary "wait": NaN lies outside'),
        ({"wait": float("inf")}, 'vary "wait": Infinity lies outside'),
        ({"patients": 33}, 'vary "patients": 33 is no step of 5 in 10 to 40 patients; the nearest is 35'),
    ],
)
def test_a_value_that_cannot_be_chosen_is_refused(tmp_path: Path, values: dict[str, float], said: str) -> None:
    file = written(tmp_path, FILE)
    with pytest.raises(StudyError, match=re.escape(f"{file}, {said}")):
        read_plan(file, values)


def test_a_plan_that_is_no_family_has_no_values(tmp_path: Path) -> None:
    file = written(tmp_path, ANIMAL)
    assert read_plan(file).variables == ()
    assert not read_plan(file, {}).values
    with pytest.raises(StudyError, match=re.escape('vary "dose": this design leaves no such number open; it has no')):
        read_plan(file, {"dose": 1.0})


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("naltrexone {dose} mg po", "naltrexone {dosis} mg po",
         'key arms.both.regimen: no [[vary]] has the id "dosis" of {dosis}; did you mean "dose"?'),
        ("naltrexone {dose} mg po", "naltrexone {dose mg} po",
         'key arms.both.regimen: no [[vary]] has the id "dose mg" of {dose mg}; did you mean "dose"?'),
        ('"{wait} d"', '"{wit} d"', 'key design.washout: no [[vary]] has the id "wit" of {wit}; did you mean "wait"?'),
        ('time = "{visit} h"', 'time = "{x} h"', 'key estimands.day.time: no [[vary]] has the id "x" of {x}'),
        ('n = "{patients}"', "n = 30", 'vary "patients": nothing hangs on it'),
        ("naltrexone {dose} mg po", "naltrexone 50 mg po", 'vary "dose": nothing hangs on it'),  # the title alone
        ('id = "wait"', 'id = "dose"', 'vary "dose", key id: stands there twice'),
        ("nominal = 24", "nominal = 49", 'vary "visit", key nominal: 49 lies outside 2 to 48 h'),
        ("low = 2\n", "low = 48\n", 'vary "visit", key low: 48 is not below high, 48'),
        ("low = 0.0000001", "low = 0", 'vary "dose", key low: 0; a number that is searched on its logarithm'),
        ("step = 5", "step = 0", "key vary.4.step"),
        ("step = 5", "step = 5e-324", 'key step: 4.94066e-324 makes more than 1000000 values from 10 to 40'),
        ("step = 5", "stepp = 5", 'unknown key "vary.4.stepp"'),
        ('id = "wait"', 'id = "w t"', "key vary.1.id"),
    ],
)  # fmt: skip
def test_a_family_that_does_not_hang_together_says_where(tmp_path: Path, old: str, new: str, said: str) -> None:
    file = written(tmp_path, FILE, (old, new))
    with pytest.raises(StudyError, match=re.escape(said)) as caught:
        read_plan(file)
    assert str(caught.value).startswith(str(file))


def test_a_number_of_patients_is_whole(tmp_path: Path) -> None:
    file = written(tmp_path, FILE, ("step = 5", ""))
    assert read_plan(file, {"patients": 31}).patients == 31
    with pytest.raises(StudyError, match=re.escape('arm "both", key n')):
        read_plan(file, {"patients": 31.5})


def test_the_nearest_value_is_one_that_may_be_chosen() -> None:
    """Against every step spelled out, also of a grid that binary numbers do not hit and that stops short of its end."""
    variable = Variable("dose", 0.1, 1.05, 0.1, "mg", step=0.1)
    steps = np.arange(1, 11) / 10
    for value in np.linspace(-1, 2, 301):
        found = variable.nearest(float(value))
        assert np.abs(steps - found).min() < 1e-12
        assert abs(found - value) <= np.abs(steps - value).min() + 1e-12
        assert not variable.fault(found)
    assert all(not variable.fault(float(step)) for step in steps)
    assert Variable("dose", 0.1, 1, 0.5, "mg").nearest(0.123) == 0.123
    whole = Variable("dose", 0.1, 0.3, 0.1, "mg", step=0.1)  # 0.1 + 2 * 0.1 is above 0.3 in binary numbers
    assert whole.nearest(0.3) == 0.3
    assert not whole.fault(0.3)


# --- outputs, feasibility, animals -----------------------------------------------------------------------------------


def test_an_estimand_may_read_another_output(tmp_path: Path) -> None:
    change = ('id = "day"\n', f'id = "day"\noutput = "camp_relative"\n{READING}\n')
    estimand = read_plan(written(tmp_path, FILE, change)).estimands[0]
    assert (estimand.output, estimand.reading) == ("camp_relative", Reading(0.3, "assumed", "a guess"))
    plain = read_plan(written(tmp_path, FILE)).estimands[0]
    assert (plain.output, plain.reading) == ("score", None)


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ('output = "camp_relative"', 'key estimands "day": say how well one person\'s camp_relative is read'),
        (READING, 'key estimands "day": a reading belongs to another output'),
        (f'output = "pka"\nmeasure = "responders"\n{READING}', "responders are counted on the score, not on pka"),
        ('output = "pka"\nreading = { value = 0.3 }', "key estimands.0.reading.grade is missing"),
        ('output = "pka"\nreading = { value = 0, grade = "assumed" }', "key estimands.0.reading.value"),
        ('output = "pka"\nreading = { value = 1, grade = "assume" }', 'did you mean "assumed"?'),
    ],
)
def test_an_output_that_is_not_rated_needs_its_error(tmp_path: Path, extra: str, said: str) -> None:
    file = written(tmp_path, FILE, ('id = "day"\n', f'id = "day"\n{extra}\n'))
    with pytest.raises(StudyError, match=re.escape(said)):
        read_plan(file)


def test_what_a_patient_costs(tmp_path: Path) -> None:
    """A baseline and two ratings in each of two periods, and what the file counts besides; without a table nothing."""
    plan = read_plan(written(tmp_path, FILE))
    assert plan.feasibility == Feasibility(True, "off_label", 3, 4.5, "two infusion days", "assumed")
    assert plan.cost == 2 * 3 + 4.5
    bare = read_plan(written(tmp_path, FILE[: FILE.index("[feasibility]")]))
    assert bare.feasibility is None
    assert bare.cost == 6


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("burden = 3", "burden = 6", "key feasibility.burden"),
        ("burden = 3", "burden = 0", "key feasibility.burden"),
        ("visits = 4.5", "visits = -1", "key feasibility.visits"),
        ('"off_label"', '"of_label"', 'did you mean "off_label"?'),
        ('"off_label"', '"animal"', 'key feasibility.approval: "animal" does not suit the species "human"'),
        ("in_man = true\n", "", "key feasibility.in_man is missing"),
    ],
)
def test_a_feasibility_that_cannot_be_is_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    with pytest.raises(StudyError, match=re.escape(said)):
        read_plan(written(tmp_path, FILE, (old, new)))


def test_an_animal_is_named_with_its_paradigm(tmp_path: Path) -> None:
    plan = read_plan(written(tmp_path, ANIMAL))
    assert (plan.species, plan.paradigm, plan.is_human) == ("mouse", "mouse_naive", False)
    assert read_plan(written(tmp_path, FILE)).is_human


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('paradigm = "mouse_naive"\n', "", 'key paradigm: missing; signs of the species "mouse"'),
        ('species = "mouse"\n', "", 'key paradigm: "mouse_naive" is one of animals'),
        ('species = "mouse"\nparadigm = "mouse_naive"', 'species = "humen"', 'did you mean "human"?'),
        ('"animal"', '"licensed"', 'key feasibility.approval: "licensed" does not suit the species "mouse"'),
        ('["ketamine", "vehicle"]', '["ketamine"]', "of animals a sign is asked: name two arms"),
        ('id = "works"\n', 'id = "works"\nmeasure = "responders"\n', "of animals a sign is asked: name two arms"),
        ('id = "works"\n', f'id = "works"\noutput = "pka"\n{READING}\n', "of animals a sign is asked, so no reading"),
    ],
)
def test_an_animal_is_asked_for_no_more_than_a_sign(tmp_path: Path, old: str, new: str, said: str) -> None:
    with pytest.raises(StudyError, match=re.escape(said)):
        read_plan(written(tmp_path, ANIMAL, (old, new)))
    output = written(tmp_path, ANIMAL, ('id = "works"\n', 'id = "works"\noutput = "pka"\n'))
    assert read_plan(output).estimands[0] == Estimand("works", ("ketamine", "vehicle"), 24.0, output="pka")


def test_a_folder_of_designs_is_read_in_order_and_names_the_file_at_fault(tmp_path: Path) -> None:
    for name in ("b", "a", "c"):
        written(tmp_path, ANIMAL).rename(tmp_path / f"{name}.toml")
    (tmp_path / "README.md").write_text("no design", encoding="utf-8")
    found = read_designs(tmp_path)
    assert list(found) == ["a", "b", "c"]
    assert all(isinstance(plan, Plan) for plan in found.values())
    written(tmp_path, ANIMAL, ("n = 12", "")).rename(tmp_path / "b.toml")
    with pytest.raises(StudyError, match=re.escape(str(tmp_path / "b.toml"))):
        read_designs(tmp_path)
    with pytest.raises(StudyError, match="nowhere: no such folder"):
        read_designs(tmp_path / "nowhere")


def test_a_published_design_is_a_plan_without_a_price(case: Case) -> None:
    plan = plan_study(case.studies["williams_2018"])
    assert (plan.feasibility, plan.variables, plan.targets, plan.is_human) == (None, (), (), True)
    assert {estimand.output for estimand in plan.estimands} == {"score"}
    assert plan.cost == len(plan.ratings)
