"""What leaves the house: read by libSBML, libAntimony, libCombine and libSEDML, run again by libRoadRunner."""

from __future__ import annotations

import json
import math
import shlex
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from io import StringIO
from pathlib import Path
from typing import Any

import libsbml as _libsbml
import numpy as np
import pandas as pd
import pytest
from command import Done, run_command

from antagony.calibration import calibrate
from antagony.case import Case, open_case
from antagony.composition import check_units
from antagony.errors import AntagonyError, CaseError, CompositionError, RegimenError, ReportError
from antagony.exchange import omex
from antagony.exchange.annotations import QUALIFIERS, read_annotations
from antagony.exchange.doses import lay_out_doses
from antagony.exchange.export import FORMATS, OPTIONS, Request, check_options, write_export
from antagony.exchange.model_text import ModelText, compose_file
from antagony.exchange.nonmem import Compartment, dataset_text, read_dataset, read_records
from antagony.exchange.values import model_values
from antagony.population import NOMINAL
from antagony.reference import load_roadrunner, run_roadrunner
from antagony.regimen import Regimen
from antagony.simulation import Arm, Tolerances, simulate

libsbml: Any = _libsbml
KETAMINE = "ketamine 0.5 mg/kg iv over 40 min"
BOTH = f"naltrexone 50 mg po at -45 min; {KETAMINE}"
SPRAY = "esketamine 56 mg nasal; esketamine 84 mg nasal at 3 d"  # two targets, one of them zero-order, F by dose
ORAL = "escitalopram 10 mg po every 24 h x 28"  # F below 1
LAG = "naloxone 4 mg nasal at 30 min; morphine 10 mg iv"
RESET = f"{KETAMINE}; reset at 1 h; morphine 5 mg iv at 1 h"
DEPOT = f"naltrexone 380 mg im at -7 d; {KETAMINE}"
ARMS = [
    ("camp_crosstalk", BOTH),
    ("camp_crosstalk", SPRAY),
    pytest.param("hnk", BOTH, marks=pytest.mark.slow),
    pytest.param("gated_surge", BOTH, marks=pytest.mark.slow),
    pytest.param("none", ORAL, marks=pytest.mark.slow),
    pytest.param("hnk", LAG, marks=pytest.mark.slow),
    pytest.param("direct_opioid", RESET, marks=pytest.mark.slow),
    pytest.param("camp_crosstalk", DEPOT, marks=pytest.mark.slow),
    pytest.param("camp_crosstalk+opioid_expectancy", BOTH, marks=pytest.mark.slow),
]


@lru_cache(maxsize=32)
def written(slug: str, text: str) -> ModelText:
    """The model file of the packaged case for a mechanism and a regimen ("": none)."""
    case = open_case()
    regimen = case.regimen(text) if text else None
    mechanism = case.mechanism(slug, regimen.drugs if regimen else ["ketamine"])
    return compose_file(case, mechanism, model_values(case, mechanism), regimen)


def document_of(sbml: str) -> Any:  # noqa: ANN401
    return libsbml.readSBMLFromString(sbml)


def distance(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Largest difference of any curve (last axis), relative to the largest value of that curve."""
    scale = np.abs(ours).max(axis=0)
    return float((np.abs(theirs - ours) / np.where(scale > 0, scale, 1)).max())


# --- SBML ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("slug", "text"), [*ARMS, ("camp_crosstalk", "")])
def test_libsbml_has_nothing_to_say(slug: str, text: str) -> None:
    """Every category of the full check, units and modelling practice included."""
    model = written(slug, text)
    document = document_of(model.sbml)
    assert (document.getLevel(), document.getVersion()) == (3, 2)
    found = document.checkConsistency()
    assert found == 0, document.getErrorLog().toString()
    assert check_units(model.sbml) == []
    assert model.issues == ()
    for parameter in document.getModel().getListOfParameters():
        assert parameter.isSetUnits(), parameter.getId()


def test_the_check_would_find_a_wrong_unit() -> None:
    """The planted unit is seen by the same check, so an empty answer means something."""
    broken = written("camp_crosstalk", BOTH).sbml.replace('sbml:units="nmol">', 'sbml:units="hour">', 1)
    assert document_of(broken).checkConsistency() > 0


@pytest.mark.parametrize(("slug", "text"), ARMS)
def test_roadrunner_runs_our_curves_again(case: Case, slug: str, text: str) -> None:
    regimen = case.regimen(text)
    mechanism = case.mechanism(slug, regimen.drugs)
    first = min(0.0, regimen.first)
    last = max(100.0, regimen.last + 24)
    times = np.sinh(np.linspace(np.arcsinh(first + 0.013), np.arcsinh(last), 90))  # denser where the doses are
    run = simulate(
        mechanism, {"a": Arm(regimen, (), case.trial)}, times,
        draws=calibrate(case, slug, NOMINAL).draws, tolerances=Tolerances(1e-10, 1e-13),
    )  # fmt: skip
    ours = np.stack([run[name].to_numpy().ravel() for name in mechanism.outputs], axis=1)
    theirs = run_roadrunner(written(slug, text).sbml, times - first, list(mechanism.outputs), relative=1e-10)
    assert distance(ours, theirs) < 1e-6
    assert np.abs(ours - ours[0]).max() > 0.01  # something moves


def test_the_gut_empties_in_closed_form(case: Case) -> None:
    """50 mg of 341.41 g/mol, absorbed at 1.5 per hour; the clock of the case is 45 minutes behind the file's."""
    rate = case.drugs["naltrexone"].parameters["naltrexone_absorption"].nominal
    times = np.array([0.1, 0.75, 2.0, 5.0])
    run = run_roadrunner(written("camp_crosstalk", BOTH).sbml, times, ["naltrexone_gut", "time_from_reference"])
    np.testing.assert_allclose(run[:, 0], 50e6 / 341.41 * np.exp(-rate * times), rtol=1e-7)
    np.testing.assert_allclose(run[:, 1], times - 0.75, atol=1e-12)


def events_of(sbml: str) -> list[tuple[float, dict[str, str]]]:
    """(time, formulas by symbol) of each event of a model, read by libSBML."""
    document = document_of(sbml)
    found = []
    for event in document.getModel().getListOfEvents():
        moment = event.getTrigger().getMath().getChild(1).getValue()
        acts = {a.getVariable(): libsbml.formulaToL3String(a.getMath()) for a in event.getListOfEventAssignments()}
        found.append((moment, acts))
    return found


def test_an_infusion_gives_the_whole_dose() -> None:
    """Half of 0.5 mg/kg in each isomer, for 70 kg, over 40 minutes that begin 45 minutes into the file."""
    (_, bolus), (on, rates), (off, ends) = events_of(written("camp_crosstalk", BOTH).sbml)
    assert list(bolus) == ["naltrexone_gut"]
    assert (on, off) == (0.75, pytest.approx(0.75 + 2 / 3))
    assert rates.keys() == ends.keys() == {"ketamine_s_in", "ketamine_r_in"}
    given = sum(float(formula.split()[0]) for formula in rates.values()) * (off - on)
    assert given == pytest.approx(0.5 * 70 * 1e6 / 237.73, rel=1e-9)
    assert {formula.split()[0] for formula in ends.values()} == {"0"}


@pytest.mark.slow
def test_a_lag_and_a_share_reach_the_events(case: Case) -> None:
    rows = case.drugs["naloxone"].parameters
    (moment,) = [t for t, acts in events_of(written("hnk", LAG).sbml) if "naloxone_nasal" in acts]
    assert moment == pytest.approx(0.5 + rows["naloxone_nasal_lag"].nominal)
    amount = next(acts["naloxone_nasal"] for _, acts in events_of(written("hnk", LAG).sbml) if "naloxone_nasal" in acts)
    share = rows["naloxone_nasal_first_order_share"].nominal
    drug = case.drugs["naloxone"]
    assert float(amount.split("+")[1].split()[0]) == pytest.approx(4 * drug.nmol_per_mg * share, rel=1e-9)


def test_without_a_regimen_nothing_moves_but_the_placebo_course() -> None:
    model = written("camp_crosstalk", "")
    assert events_of(model.sbml) == []
    assert not model.dosed
    names = ["mtorc1_relative", "camp_relative", "plasticity", "drug_effect", "placebo_effect"]
    early, late = run_roadrunner(model.sbml, np.array([0.0, 72.0]), names)
    np.testing.assert_allclose(early[:4], late[:4], atol=1e-9)
    assert late[4] > 0.1


def test_two_doses_at_one_time_are_one_event(case: Case) -> None:
    model = written("camp_crosstalk", "naltrexone 20 mg po; naltrexone 30 mg po")
    ((moment, acts),) = events_of(model.sbml)
    assert moment == 0
    assert float(acts["naltrexone_gut"].split("+")[1].split()[0]) == pytest.approx(50e6 / 341.41, rel=1e-9)


def test_a_periodic_state_is_refused(case: Case) -> None:
    mechanism = case.mechanism("none", ["escitalopram"])
    regimen = case.regimen("escitalopram 10 mg po ss every 24 h x 7")
    with pytest.raises(RegimenError, match="spell the doses out"):
        lay_out_doses(regimen, mechanism, model_values(case, mechanism))


@pytest.mark.parametrize("name", ["dose_1", "time_from_reference"])
def test_a_name_that_is_taken_is_refused(case: Case, name: str) -> None:
    mechanism = case.mechanism("none", ["ketamine"])
    taken = replace(mechanism, sbml=mechanism.sbml.replace('id="ketamine_eq"', f'id="{name}"'))
    assert taken.sbml != mechanism.sbml
    with pytest.raises(CompositionError, match=f'symbol "{name}"'):
        compose_file(case, taken, model_values(case, mechanism), case.regimen(KETAMINE))


def test_the_same_request_gives_the_same_bytes(case: Case, tmp_path: Path) -> None:
    request = Request(case, ("camp_crosstalk",), (KETAMINE,))
    first, second = (write_export("sbml", request, tmp_path / f"{n}.xml").files[0].read_bytes() for n in "ab")
    assert first == second


# --- what a number and a symbol mean ---------------------------------------------------------------------------------


def terms_of(element: Any) -> set[tuple[str, str]]:  # noqa: ANN401
    """(qualifier, resource) of an element's MIRIAM annotations."""
    terms = [element.getCVTerm(i) for i in range(element.getNumCVTerms())]
    return {
        (libsbml.BiolQualifierType_toString(term.getBiologicalQualifierType()), term.getResourceURI(i))
        for term in terms
        for i in range(term.getNumResources())
    }


def test_symbols_say_what_they_stand_for() -> None:
    document = document_of(written("camp_crosstalk", BOTH).sbml)
    model = document.getModel()
    expected = {
        "ketamine_plasma": ("isPropertyOf", "CHEBI:6121"),
        "naltrexone_plasma": ("isPropertyOf", "CHEBI:7465"),
        "camp": ("isPropertyOf", "CHEBI:17489"),
        "mu_activity": ("isPropertyOf", "uniprot:P35372"),
        "nmda_activity": ("isPropertyOf", "uniprot:Q05586"),
        "mtorc1": ("isPropertyOf", "GO:0031931"),
        "learning": ("isVersionOf", "GO:0007612"),
        "mu_naltrexone_ec50": ("isDescribedBy", "doi:10.1038/s41386-022-01416-z"),
        "naltrexone_depot_clearance": ("isDescribedBy", "pubmed:17960304"),
    }
    for symbol, (qualifier, resource) in expected.items():
        known = (qualifier, f"https://identifiers.org/{resource}")
        assert known in terms_of(model.getParameter(symbol)), symbol
    assert terms_of(model) == {("hasTaxon", "https://identifiers.org/taxonomy:9606")}


def test_every_annotated_symbol_exists(case: Case) -> None:
    """A slip in the table would be silent: an annotation of a symbol that no mechanism has is never written."""
    symbols = {"model"}
    for slug in ("hnk", "camp_crosstalk"):
        document = document_of(case.mechanism(slug, case.dosable).sbml)
        symbols |= {item.getId() for item in document.getModel().getListOfParameters()}
    annotations = read_annotations(case)
    assert len(annotations) > 40
    assert {a.symbol for a in annotations} <= symbols


def test_a_number_keeps_its_grade_and_says_when_it_left_its_row(case: Case) -> None:
    document = document_of(written("camp_crosstalk", BOTH).sbml)
    rows = case.parameters("camp_crosstalk")
    seen = 0
    for item in document.getModel().getListOfParameters():
        if item.getId() in rows:
            seen += 1
            assert rows[item.getId()].grade in item.getNotesString(), item.getId()
    assert seen > 60
    solved = document.getModel().getParameter("drug_effect_half")
    assert "solved from murrough_2013" in solved.getNotesString()
    assert solved.getValue() == pytest.approx(
        float(calibrate(case, "camp_crosstalk", NOMINAL).draws.values["drug_effect_half"][0]), rel=1e-12
    )
    assert "posterior median" in document.getModel().getParameter("mtorc1_rest").getNotesString()


def test_the_notes_say_the_regimen_the_clock_and_no_advice() -> None:
    notes = document_of(written("camp_crosstalk", BOTH).sbml).getModel().getNotesString()
    for said in (BOTH, "-45 min of the case", "time_from_reference", "no dosing advice", "assumed"):
        assert said in notes


@pytest.mark.parametrize("qualifier", QUALIFIERS)
def test_every_qualifier_arrives(case: Case, tmp_path: Path, qualifier: str) -> None:
    """In a case of one's own, on a symbol (through Antimony) and on the model."""
    own = with_annotations(tmp_path, f"score\t{qualifier}\tuniprot:P1\tx\nmodel\t{qualifier}\tGO:1\ty")
    mechanism = own.mechanism("none")
    document = document_of(compose_file(own, mechanism, model_values(own, mechanism)).sbml)
    assert (qualifier, "https://identifiers.org/uniprot:P1") in terms_of(document.getModel().getParameter("score"))
    assert terms_of(document.getModel()) == {(qualifier, "https://identifiers.org/GO:1")}
    assert document.checkConsistency() == 0


def with_annotations(folder: Path, rows: str) -> Case:
    """The packaged case as somebody's own, with a table of annotations."""
    copy = folder / "my-case"
    shutil.copytree(open_case().folder, copy, ignore=shutil.ignore_patterns("answers", "designs"))
    (copy / "annotations.tsv").write_text(f"symbol\tqualifier\tresource\tname\n{rows}\n", encoding="utf-8")
    return open_case(copy)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("score\tisPropertyof\tGO:1\tx", 'line 2: unknown qualifier "isPropertyof"; did you mean "isPropertyOf"'),
        ("score\tis\tP35372\tx", 'line 2: "P35372" is no compact identifier'),
        ('score\tis\tGO:1"<\tx', "is no compact identifier"),
        ("score\tis\tGO:1", "line 2: 3 columns"),
    ],
)
def test_a_wrong_annotation_is_named_with_its_line(tmp_path: Path, row: str, said: str) -> None:
    with pytest.raises(CaseError) as error:
        read_annotations(with_annotations(tmp_path, row))
    assert said in str(error.value)


def test_a_case_without_a_table_has_none_and_keeps_its_sources(tmp_path: Path) -> None:
    own = with_annotations(tmp_path, "")
    (own.folder / "annotations.tsv").unlink()
    assert read_annotations(own) == ()
    mechanism = own.mechanism("none", ["ketamine"])
    document = document_of(compose_file(own, mechanism, model_values(own, mechanism)).sbml)
    assert terms_of(document.getModel()) == set()
    assert terms_of(document.getModel().getParameter("ketamine_s_clearance"))


# --- Antimony --------------------------------------------------------------------------------------------------------


def load_antimony(text: str) -> str:
    """SBML of a text, by libAntimony in a state of its own."""
    import antimony

    antimony.clearPreviousLoads()
    assert antimony.loadAntimonyString(text) >= 0, antimony.getLastError()
    sbml = str(antimony.getSBMLString(antimony.getMainModuleName()))
    antimony.clearPreviousLoads()
    return sbml


def test_free_text_ends_where_it_ends(case: Case) -> None:
    mechanism = replace(case.mechanism("none", ["ketamine"]), title='Two roads \\ or "one" \\')
    outputs = {name: replace(output, title=f"{output.title} \\") for name, output in mechanism.outputs.items()}
    strange = replace(mechanism, outputs=outputs)
    file = compose_file(case, strange, model_values(case, strange))
    assert "Two roads / or" in file.antimony and "\\" not in file.antimony
    plain = compose_file(case, mechanism, model_values(case, mechanism))
    known = [document_of(one.sbml).getModel() for one in (file, plain)]
    assert known[0].getNumRules() == known[1].getNumRules() > 0
    assert not file.issues


def test_antimony_reads_the_same_model_back(case: Case) -> None:
    model = written("camp_crosstalk", BOTH)
    names = [*case.mechanism("camp_crosstalk", ["ketamine", "naltrexone"]).outputs]
    times = np.linspace(0.1, 60, 40)
    again = run_roadrunner(load_antimony(model.antimony), times, names)
    np.testing.assert_array_equal(again, run_roadrunner(model.sbml, times, names))
    assert "// solved from murrough_2013" in model.antimony
    assert "ketamine_s_clearance = 95.2; ketamine_s_clearance has litre_per_hour;" in model.antimony


@pytest.mark.slow
def test_antimony_survives_a_second_writing(case: Case) -> None:
    """Text -> SBML -> text -> SBML by the library alone keeps equations, units, doses and annotations."""
    import antimony

    first = load_antimony(written("camp_crosstalk", KETAMINE).antimony)
    antimony.loadSBMLString(first)
    second = load_antimony(str(antimony.getAntimonyString(antimony.getMainModuleName())))
    assert document_of(second).checkConsistency() == 0
    assert events_of(second) == events_of(first)
    before, after = document_of(first), document_of(second)
    for symbol in ("mu_activity", "mu_naltrexone_ec50", "ketamine_plasma", "ketamine_s_clearance"):
        if before.getModel().getParameter(symbol) is not None:
            assert terms_of(before.getModel().getParameter(symbol)) == terms_of(after.getModel().getParameter(symbol))
    assert terms_of(after.getModel().getParameter("mu_activity"))
    run = [run_roadrunner(sbml, np.array([1.0, 24.0]), ["score", "mtorc1"]) for sbml in (first, second)]
    np.testing.assert_allclose(run[0], run[1], rtol=1e-9)


# --- COMBINE archive -------------------------------------------------------------------------------------------------

READER = r"""
import json, re, sys
import libcombine, libsedml
archive = libcombine.CombineArchive()
assert archive.initializeFromArchive(sys.argv[1])
manifest = archive.getManifest()
entries = [manifest.getContent(i) for i in range(manifest.getNumContents())]
master = archive.getMasterFile()
text = archive.extractEntryToString(master.getLocation())
document = libsedml.readSedMLFromString(text)
models = {m.getId(): m for m in [document.getModel(i) for i in range(document.getNumModels())]}
courses = {s.getId(): s for s in [document.getSimulation(i) for i in range(document.getNumSimulations())]}
tasks = {}
for i in range(document.getNumTasks()):
    task = document.getTask(i)
    course, model = courses[task.getSimulationReference()], models[task.getModelReference()]
    algorithm = course.getAlgorithm()
    settings = [algorithm.getAlgorithmParameter(j) for j in range(algorithm.getNumAlgorithmParameters())]
    tasks[task.getId()] = {
        "sbml": archive.extractEntryToString(model.getSource()),
        "language": model.getLanguage(),
        "span": [course.getInitialTime(), course.getOutputStartTime(), course.getOutputEndTime()],
        "steps": course.getNumberOfSteps(),
        "algorithm": algorithm.getKisaoID(),
        "settings": {s.getKisaoID(): float(s.getValue()) for s in settings},
    }
generators = {}
for i in range(document.getNumDataGenerators()):
    generator = document.getDataGenerator(i)
    variable = generator.getVariable(0)
    assert libsedml.formulaToL3String(generator.getMath()) == variable.getId()
    path = r"/sbml:sbml/sbml:model/sbml:listOfParameters/sbml:parameter\[@id='(\w+)'\]"
    target = re.fullmatch(path, variable.getTarget())
    symbol = target[1] if target else {"urn:sedml:symbol:time": "time"}[variable.getSymbol()]
    generators[generator.getId()] = [variable.getTaskReference(), symbol]
outputs = [document.getOutput(i) for i in range(document.getNumOutputs())]
report = next(o for o in outputs if o.getElementName() == "report")
plots = [o for o in outputs if o.getElementName() == "plot2D"]
columns = [report.getDataSet(i) for i in range(report.getNumDataSets())]
json.dump({
    "errors": document.getErrorLog().getNumErrors(),
    "level": [document.getLevel(), document.getVersion()],
    "master": master.getLocation(),
    "files": {e.getLocation(): e.getFormat() for e in entries},
    "curves": archive.extractEntryToString("curves.csv"),
    "metadata": archive.getMetadataForLocation(".").getDescription(),
    "created": archive.getMetadataForLocation(".").getCreated().getDateAsString(),
    "tasks": tasks,
    "report": [[c.getLabel(), *generators[c.getDataReference()]] for c in columns],
    "plots": [[p.getCurve(i).getYDataReference() for i in range(p.getNumCurves())] for p in plots],
}, sys.stdout)
"""


def read_archive(path: Path) -> dict[str, Any]:
    """What libCombine and libSEDML find in an archive, in a process of their own."""
    done = subprocess.run([sys.executable, "-c", READER, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def run_task(task: Mapping[str, Any], symbols: list[str]) -> np.ndarray:
    """What a task says, done by libRoadRunner alone: (time, symbol)."""
    assert task["algorithm"] == "KISAO:0000019"  # CVODE
    runner = load_roadrunner().RoadRunner(task["sbml"])
    runner.integrator.relative_tolerance = task["settings"]["KISAO:0000209"]
    runner.integrator.absolute_tolerance = [
        task["settings"]["KISAO:0000211"]
    ] * len(runner.integrator.getAbsoluteToleranceVector())
    runner.timeCourseSelections = symbols
    begin, shown, end = task["span"]
    assert begin == shown == 0
    return np.array(runner.simulate(begin, end, task["steps"] + 1))


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    request = Request(open_case(), ("camp_crosstalk",), (BOTH, KETAMINE), until=48.0, points=97)
    (path,) = write_export("omex", request, tmp_path_factory.mktemp("omex") / "ketamine.omex").files
    return path


def test_an_archive_is_run_again_to_our_curves(case: Case, archive: Path) -> None:
    found = read_archive(archive)
    mechanism = case.mechanism("camp_crosstalk", ["ketamine", "naltrexone"])
    draws = calibrate(case, "camp_crosstalk", NOMINAL).draws
    assert found["errors"] == 0
    assert found["level"] == [1, 4]
    assert len(found["tasks"]) == 2
    curves = pd.read_csv(StringIO(found["curves"]))
    for number, (text, first) in enumerate([(BOTH, -0.75), (KETAMINE, 0.0)], 1):
        columns = [(label, symbol) for label, task, symbol in found["report"] if task == f"task_{number}"]
        names = [symbol for _, symbol in columns]
        assert set(names) == {"time_from_reference", *mechanism.outputs}
        theirs = run_task(found["tasks"][f"task_{number}"], names)
        times = np.linspace(first, 48, 97)
        run = simulate(
            mechanism, {"a": Arm(case.regimen(text), (), case.trial)}, times,
            draws=draws, tolerances=Tolerances(1e-10, 1e-13),
        )  # fmt: skip
        ours = np.stack([times, *(run[name].to_numpy().ravel() for name in names[1:])], axis=1)
        assert distance(ours, theirs) < 1e-6
        inside = curves[curves["arm"] == text].drop(columns=["mechanism", "arm"]).to_numpy()
        assert inside.shape == (97, 1 + len(mechanism.outputs))
        assert distance(ours, inside[:, [0, *(1 + [*named(curves)].index(n) for n in names[1:])]]) < 1e-6


def named(curves: pd.DataFrame) -> list[str]:
    """Outputs of a table of curves in order, their units left out."""
    return [str(column).split(" [")[0] for column in curves.columns if column not in ("mechanism", "arm", "time [h]")]


def test_an_archive_says_what_it_holds(archive: Path) -> None:
    found = read_archive(archive)
    assert found["master"].endswith("simulation.sedml")
    forms = {name.removeprefix("./"): form for name, form in found["files"].items()}
    assert forms["model_1.xml"].endswith("/sbml")
    assert forms["model_2.xml"].endswith("/sbml")
    assert forms["simulation.sedml"].endswith("/sed-ml")
    assert {task["language"] for task in found["tasks"].values()} == {"urn:sedml:language:sbml.level-3.version-2"}
    assert "no dosing advice" in found["metadata"]
    assert not found["created"].startswith("2000")  # the library's own default
    assert found["plots"] == [["data_score_1", "data_score_2"]]
    assert len({label for label, *_ in found["report"]}) == len(found["report"])
    with zipfile.ZipFile(archive) as members:
        assert members.testzip() is None


def test_an_archive_of_one_arm_without_a_dose(case: Case, tmp_path: Path) -> None:
    request = Request(case, ("none",), (), ("ketamine",), outputs=("score", "cue"), until=24.0, points=5)
    (path,) = write_export("omex", request, tmp_path / "rest.omex").files
    found = read_archive(path)
    assert [label for label, *_ in found["report"]] == ["time", "score", "cue"]
    assert [symbol for *_, symbol in found["report"]] == ["time", "score", "cue"]
    assert found["tasks"]["task_1"]["span"] == [0, 0, 24]
    run = run_task(found["tasks"]["task_1"], ["time", "score"])
    np.testing.assert_allclose(run[:, 0], [0, 6, 12, 18, 24])
    assert run[0, 1] > run[-1, 1]  # the placebo course


def test_libsbml_is_left_as_it_was(case: Case, tmp_path: Path) -> None:
    """libSEDML in this process would make the type of a formula an object that nothing here can read."""
    write_export("omex", Request(case, ("none",), (KETAMINE,), points=3, until=2.0), tmp_path / "a.omex")
    assert "libsedml" not in sys.modules
    assert isinstance(libsbml.parseL3Formula("x + 1").getType(), int)


def test_a_writer_that_fails_leaves_the_old_file(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "a.omex"
    out.write_text("old", encoding="utf-8")
    broken = tmp_path / "broken.py"
    broken.write_text("raise RuntimeError('no space left')\n", encoding="utf-8")
    monkeypatch.setattr(omex, "WRITER", broken)
    with pytest.raises(ReportError, match="no space left"):
        write_export("omex", Request(case, ("none",), (KETAMINE,), points=3, until=2.0), out)
    assert out.read_text(encoding="utf-8") == "old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.omex", "broken.py"]


def test_a_missing_library_is_named_before_the_work(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ReportError, match=r'libcombine is not installed: pip install "antagony\[exchange\]"'):
        write_export("omex", Request(case, ("no such mechanism",), (KETAMINE,)), tmp_path / "a.omex")
    assert list(tmp_path.iterdir()) == []


# --- tables ----------------------------------------------------------------------------------------------------------


def test_curves_and_parameters_as_tables(case: Case, tmp_path: Path) -> None:
    outputs = ("score", "ketamine_plasma")
    request = Request(case, ("camp_crosstalk", "none"), (BOTH, KETAMINE), outputs=outputs, points=9)
    done = write_export("csv", request, tmp_path / "tables")
    assert [file.name for file in done.files] == ["curves.csv", "parameters.csv"]
    curves = pd.read_csv(done.files[0])
    assert [*curves.columns] == ["mechanism", "arm", "time [h]", "score", "ketamine_plasma [nmol/L]"]
    assert len(curves) == 2 * 2 * 9
    mechanism = case.mechanism("camp_crosstalk", ["ketamine", "naltrexone"])
    rows = curves.query("mechanism == 'camp_crosstalk' and arm == @BOTH")
    times = np.asarray(rows["time [h]"])
    run = simulate(
        mechanism, {"a": Arm(case.regimen(BOTH), (), case.trial)}, times,
        draws=calibrate(case, "camp_crosstalk", NOMINAL).draws, tolerances=Tolerances(1e-10, 1e-13),
    )  # fmt: skip
    np.testing.assert_allclose(rows["score"], run["score"].to_numpy().ravel(), rtol=1e-7)
    np.testing.assert_allclose(rows["ketamine_plasma [nmol/L]"], run["ketamine_plasma"].to_numpy().ravel(), rtol=1e-6)
    numbers = pd.read_csv(done.files[1], keep_default_na=False)
    own = numbers[numbers["mechanism"] == "camp_crosstalk"].set_index("parameterId")
    assert set(own["grade"]) >= {"assumed", "read", "recalled"}
    assert "" not in set(own["grade"])
    clearance = own.loc["ketamine_s_clearance"]
    assert [clearance[key] for key in ("unit", "grade", "source")] == ["L/h", "secondary", "otto_2021"]
    assert float(clearance["value"]) == case.drugs["ketamine"].parameters["ketamine_s_clearance"].nominal
    assert own.loc["drug_effect_half", "origin"].startswith("solved from")


# --- NONMEM ----------------------------------------------------------------------------------------------------------

REGIMENS = [
    BOTH, SPRAY, ORAL, RESET, DEPOT,
    "escitalopram 10 mg po ss every 24 h x 7",
    "ketamine 0.5 mg/kg iv rate 0.75 mg/kg/h; repeat every 7 d x 4",
    "buprenorphine 2 mg sl; ketamine 35 mg iv over 40 min at 1 h",
]  # fmt: skip


@pytest.mark.parametrize("text", REGIMENS)
def test_a_data_set_reads_back(case: Case, tmp_path: Path, text: str) -> None:
    regimen = case.regimen(text)
    (path,) = write_export("nonmem", Request(case, regimens=(text,)), tmp_path / "doses.csv").files
    assert read_dataset(path) == {1: regimen}
    head = path.read_text(encoding="utf-8").splitlines()[0]
    assert head == "ID,TIME,AMT,RATE,DUR,CMT,EVID,II,ADDL,SS,DRUG,ROUTE,PERKG"


@pytest.mark.parametrize("text", REGIMENS)
def test_each_weight_is_a_subject_with_amounts_of_its_own(case: Case, tmp_path: Path, text: str) -> None:
    path = tmp_path / "doses.csv"
    write_export("nonmem", Request(case, regimens=(text,), weights=(50.0, 80.5)), path)
    found = read_dataset(path)
    for number, weight in ((1, 50.0), (2, 80.5)):
        scaled = [
            replace(d, amount=d.amount * weight, rate=d.rate * weight, per_kg=False) if d.per_kg else d
            for d in case.regimen(text).doses
        ]
        assert found[number] == Regimen(tuple(scaled))
    assert set(pd.read_csv(path)["WT"]) == {50.0, 80.5}


def test_a_data_set_is_dosed_as_nonmem_would(case: Case, tmp_path: Path) -> None:
    """CMT, RATE = -2 and DUR mean to a reader of NONMEM's rules what they meant here: 0.5 mg/kg of 80 kg in 40 min."""
    path = tmp_path / "doses.csv"
    write_export("nonmem", Request(case, regimens=(BOTH,), weights=(80.0,)), path)
    places = {1: Compartment("ketamine", "ketamine_in"), 2: Compartment("gut")}
    given = read_records(pd.read_csv(path).drop(columns=["DRUG", "ROUTE", "PERKG"]), places)[1]
    assert [(d.state, d.time, d.amount, d.duration) for d in given] == [
        ("gut", -0.75, 50.0, 0.0),
        ("ketamine", 0.0, 40.0, pytest.approx(2 / 3)),
    ]


def test_amounts_per_kg_come_with_a_word(case: Case, tmp_path: Path) -> None:
    done = write_export("nonmem", Request(case, regimens=(KETAMINE,)), tmp_path / "doses.csv")
    assert any("--weight" in note for note in done.notes)
    done = write_export("nonmem", Request(case, regimens=(KETAMINE,), weights=(70.0,)), tmp_path / "doses.csv")
    assert not any("--weight" in note for note in done.notes)


@pytest.mark.parametrize("weight", [0.0, -70.0, math.nan, math.inf, 70_000.0])
def test_a_weight_that_is_none_is_refused(case: Case, weight: float) -> None:
    with pytest.raises(RegimenError, match="write kilograms"):
        dataset_text(case.regimen(KETAMINE), [weight])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no table"),
        ("TIME,AMT\n0,1\n", "no column ID"),
        ("ID,TIME,AMT,DRUG,ROUTE,EVID\n1,0,5,ketamine,iv,7\n", "EVID 7"),
    ],
)
def test_a_table_that_is_no_data_set_is_refused_by_name(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "doses.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(RegimenError) as error:
        read_dataset(path)
    assert str(path) in str(error.value)
    assert said in str(error.value)


# --- the command -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("to", "asked", "out", "said"),
    [
        ("sbm", {}, "m.xml", 'did you mean "sbml"?'),
        ("sbml", {"mechanisms": ()}, "m.xml", "takes 1 --mechanism; there are 0"),
        ("sbml", {"mechanisms": ("none", "hnk")}, "m.xml", "takes 1 --mechanism; there are 2"),
        ("sbml", {"regimens": (KETAMINE, BOTH)}, "m.xml", "takes 0 to 1 --regimen; there are 2"),
        ("sbml", {"mechanisms": ("non",)}, "m.xml", 'did you mean "none"?'),
        ("sbml", {"regimens": ("ketamin 1 mg iv",)}, "m.xml", 'did you mean "ketamine"?'),
        ("sbml", {"regimens": (), "drugs": ("ketamin",)}, "m.xml", 'did you mean "ketamine"?'),
        ("sbml", {"variants": {"los": "one_sided"}}, "m.xml", "has no variant los=one_sided"),
        ("sbml", {}, "m.csv", "use .xml or .sbml"),
        ("sbml", {}, "nowhere/m.xml", "cannot be written"),
        ("antimony", {}, "m.xml", "use .ant or .txt"),
        ("omex", {"outputs": ("scor",)}, "m.omex", 'did you mean "score"?'),
        ("omex", {"until": -1.0}, "m.omex", "nothing is seen"),
        ("csv", {"until": 0.0}, "tables", "nothing is seen"),
        ("csv", {}, "a-file", "name a folder"),
        ("csv", {}, "a-file/tables", "no such folder can be made"),
        ("nonmem", {}, "m.csv", "takes no --mechanism"),
        ("nonmem", {"mechanisms": (), "regimens": ()}, "m.csv", "takes 1 --regimen; there are 0"),
        ("petab", {}, "folder", "takes no --regimen"),
    ],
)
def test_what_is_wrong_is_said(
    case: Case, tmp_path: Path, to: str, asked: dict[str, Any], out: str, said: str
) -> None:
    (tmp_path / "a-file").write_text("mine", encoding="utf-8")
    request = replace(Request(case, ("none",), (KETAMINE,)), **asked)
    with pytest.raises(AntagonyError) as error:
        write_export(to, request, tmp_path / out)
    assert said in str(error.value)
    assert [p.name for p in tmp_path.iterdir()] == ["a-file"]
    assert (tmp_path / "a-file").read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize("name", FORMATS)
def test_an_option_without_effect_is_refused(name: str) -> None:
    for option in OPTIONS:
        if option in FORMATS[name].options:
            check_options(name, [option])
        else:
            with pytest.raises(ReportError, match=f"{OPTIONS[option]} has no effect on --to {name}"):
                check_options(name, [option])


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("sbml", "drugs", ("morphine",)),
        ("sbml", "variants", {"loss": "one_sided"}),
        ("antimony", "drugs", ("morphine",)),
        ("antimony", "variants", {"loss": "one_sided"}),
        ("csv", "drugs", ("morphine",)),
        ("csv", "outputs", ("cue",)),
        ("csv", "until", 24.0),
        ("csv", "points", 4),
        ("csv", "variants", {"loss": "one_sided"}),
        ("nonmem", "weights", (60.0,)),
    ],
)
def test_an_option_that_is_read_has_an_effect(
    case: Case, tmp_path: Path, name: str, option: str, value: Any  # noqa: ANN401
) -> None:
    slugs = () if name == "nonmem" else ("camp_crosstalk",)
    request = Request(case, slugs, (KETAMINE,), points=3)
    assert option in FORMATS[name].options
    ending = (*FORMATS[name].endings, "")[0]
    plain, changed = (
        [file.read_bytes() for file in write_export(name, r, tmp_path / f"{i}{ending}").files]
        for i, r in enumerate((request, replace(request, **{option: value})))
    )
    assert plain != changed


def test_petab_gets_the_mechanisms_asked_for_or_all(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def write_petab(given: Case, slugs: tuple[str, ...], folder: Path) -> list[Path]:
        asked.append((given is case, tuple(slugs), folder))
        return [folder / "problem.yaml"]

    monkeypatch.setattr("antagony.exchange.petab_export.write_petab", write_petab)
    write_export("petab", Request(case, ("hnk",)), tmp_path)
    write_export("petab", Request(case), tmp_path)
    assert asked == [(True, ("hnk",), tmp_path), (True, tuple(case.wirings), tmp_path)]


def command(*arguments: str, cwd: Path, word: str = "export") -> Done:
    return run_command(word, *arguments, cwd=cwd)


def test_help_names_every_format(tmp_path: Path) -> None:
    done = command("--help", cwd=tmp_path)
    assert done.returncode == 0
    assert all(name in done.stdout for name in FORMATS)
    assert "--case" in done.stdout


def test_the_command_writes_and_says_so(tmp_path: Path) -> None:
    done = command("--to", "sbml", "--mechanism", "none", "--regimen", KETAMINE, "-o", "m.xml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "written: m.xml"
    request = Request(open_case(), ("none",), (KETAMINE,))
    same = write_export("sbml", request, tmp_path / "same.xml").files[0]
    assert same.read_bytes() == (tmp_path / "m.xml").read_bytes()
    done = command("--to", "nonmem", "--regimen", KETAMINE, "-o", "d.csv", "--weight", "60", "--json", cwd=tmp_path)
    assert json.loads(done.stdout) == {"to": "nonmem", "files": ["d.csv"], "notes": []}
    assert "30.0" in (tmp_path / "d.csv").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--to", "sbm", "-o", "m.xml"), 'did you mean "sbml"?'),
        (("--to", "sbml", "-o", "m.xml", "--points", "5"), "--points has no effect on --to sbml; it belongs to omex"),
        (("--to", "nonmem", "-o", "m.csv", "--regimen", KETAMINE, "--variant", "loss=x"), "--variant has no effect"),
        (("--to", "csv", "-o", "m", "--mechanism", "none", "--until", "7"), "no unit"),
    ],
)
def test_the_command_fails_in_one_sentence(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    done = command(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert said in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_exported_file_is_read_by_ourselves(tmp_path: Path) -> None:
    """`antagony simulate FILE` gives the score that the mechanism gives."""
    command("--to", "sbml", "--mechanism", "none", "--regimen", BOTH, "-o", "m.xml", cwd=tmp_path)
    asked = ("m.xml", "--until", "24.75", "--points", "4", "-o", "score", "--out", "run.csv")
    done = command(*asked, cwd=tmp_path, word="simulate")
    assert done.returncode == 0, done.stderr
    found = pd.read_csv(tmp_path / "run.csv")["score"].to_numpy()
    case = open_case()
    run = simulate(
        case.mechanism("none", ["ketamine", "naltrexone"]), {"a": case.regimen(BOTH)}, np.linspace(-0.75, 24, 4),
        draws=calibrate(case, "none", NOMINAL).draws, outputs=["score"], tolerances=Tolerances(1e-9, 1e-12),
    )  # fmt: skip
    np.testing.assert_allclose(found, run["score"].to_numpy().ravel(), rtol=1e-6)


def test_the_table_of_formats_agrees_with_the_command() -> None:
    assert {*FORMATS} == {"sbml", "antimony", "petab", "omex", "csv", "nonmem"}
    fields = {*Request.__dataclass_fields__}
    assert {*OPTIONS} <= fields
    assert {option for form in FORMATS.values() for option in form.options} == {*OPTIONS}


PAGES = Path(__file__).resolve().parent.parent / "docs" / "how-to"


def commands_of(page: str, word: str) -> list[str]:
    """Lines of a how-to's code blocks that call the program."""
    lines = (PAGES / page).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.startswith(f"antagony {word}")]


@pytest.mark.proof
def test_the_commands_of_the_how_tos_run(tmp_path: Path) -> None:
    """What goes out, as it stands there, writes what it names; what was written comes in again as it stands there."""
    lines = commands_of("take-a-model-out.md", "export")
    assert {shlex.split(line)[3] for line in lines} == {*FORMATS}
    for line in lines:
        words = shlex.split(line)
        done = command(*words[2:], cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert (tmp_path / words[words.index("-o") + 1]).exists()
    assert read_dataset(tmp_path / "weights.csv").keys() == {1, 2}
    ways = commands_of("bring-a-model-in.md", "simulate")
    assert {Path(word).suffix for line in ways for word in shlex.split(line)} >= {".xml", ".yaml", ".csv"}
    for line in ways:
        done = command(*shlex.split(line)[2:], cwd=tmp_path, word="simulate")
        assert done.returncode == 0, done.stderr


def test_each_subject_of_a_data_set_is_an_arm(tmp_path: Path) -> None:
    """A dose per kg comes back as each weight's own amount, and the weight moves the kinetics as it should."""
    one = "ketamine 0.5 mg/kg iv over 40 min"
    (tmp_path / "weights.csv").write_text(dataset_text(open_case().regimen(one), (70.0, 110.0)), encoding="utf-8")

    def plasma(regimen: str) -> np.ndarray:
        asked = ("--until", "24 h", "--points", "5", "-o", "ketamine_plasma", "--json")
        done = command("none", regimen, *asked, cwd=tmp_path, word="simulate")
        return np.array(json.loads(done.stdout)["data_vars"]["ketamine_plasma"]["data"]).reshape(-1, 5)

    typical, heavy = plasma("weights.csv")
    assert typical == pytest.approx(plasma(one)[0], rel=1e-12)
    assert heavy.max() > 1.05 * typical.max()


def test_a_data_set_is_refused_for_a_drug_a_route_or_a_weight_that_is_none(tmp_path: Path) -> None:
    text = dataset_text(open_case().regimen("ketamine 0.5 mg/kg iv over 40 min"), (70.0,))
    for old, new, said in (
        ("ketamine", "ketamin", 'did you mean "ketamine"?'),
        (",iv,", ",ivv,", 'no route "ivv"'),
        ("1,70.0,", "1,70000,", "one weight in kg"),
        ("ID,WT", "ID,W", 'unknown column "W"'),
    ):
        assert old in text
        (tmp_path / "d.csv").write_text(text.replace(old, new), encoding="utf-8")
        done = command("none", "d.csv", cwd=tmp_path, word="simulate")
        assert done.returncode != 0 and said in " ".join(done.stderr.split()), done.stderr
