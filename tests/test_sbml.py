"""SBML files: answers against closed forms, who answered, what is refused and by what name, files that mean harm."""

from __future__ import annotations

import json
import sys
import time
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from command import Done, run_command

from antagony.errors import SimulationError, UnsupportedError
from antagony.exchange.sbml import LARGEST, open_sbml, read_sbml
from antagony.exchange.sbml_run import simulate_sbml
from antagony.kernel.symbolic import read_system

TIMES = np.linspace(0, 4, 9)
HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'
CORE = 'xmlns="http://www.sbml.org/sbml/level3/version1/core" level="3" version="1"'
COMP = 'xmlns:comp="http://www.sbml.org/sbml/level3/version1/comp/version1"'
DECAY = "model decay\n  compartment C = {size}; {kind} species S in C = {start}; k = 0.5\n  J: S -> ; k * {amount}\nend"


@lru_cache(maxsize=32)
def antimony(text: str, *, nested: bool = False) -> str:
    """SBML of Antimony text, its submodels kept or written out."""
    import antimony as library

    library.clearPreviousLoads()
    assert library.loadAntimonyString(text) >= 0, library.getLastError()
    write = library.getCompSBMLString if nested else library.getSBMLString
    return str(write(library.getMainModuleName()))


def maths(text: str) -> str:
    return f'<math xmlns="http://www.w3.org/1998/Math/MathML">{text}</math>'


def document(body: str, head: str = CORE) -> str:
    return f"{HEAD}<sbml {head}>{body}</sbml>"


def level3(rules: str = "", *, more: str = "", reaction: str = 'reversible="false" fast="false"') -> str:
    """S decays at rate k S, beside whatever else a test puts in."""
    law = maths("<apply><times/><ci>k</ci><ci>S</ci></apply>")
    return document(
        '<model id="m"><listOfCompartments><compartment id="C" size="1" constant="true" spatialDimensions="3"/>'
        '</listOfCompartments><listOfSpecies><species id="S" compartment="C" initialConcentration="6" '
        'hasOnlySubstanceUnits="false" boundaryCondition="false" constant="false"/></listOfSpecies><listOfParameters>'
        '<parameter id="k" value="0.5" constant="true"/><parameter id="x" value="0" constant="false"/>'
        f'</listOfParameters><listOfRules>{rules}</listOfRules><listOfReactions><reaction id="J" {reaction}>'
        '<listOfReactants><speciesReference species="S" stoichiometry="1" constant="true"/></listOfReactants>'
        f"<kineticLaw>{law}</kineticLaw></reaction></listOfReactions>{more}</model>"
    ).replace("<listOfRules></listOfRules>", "")


# --- answers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "amount"),
    [("", "S * C"), ("substanceOnly", "S")],
    ids=["concentration", "hasOnlySubstanceUnits"],
)
def test_a_species_is_shown_as_its_symbol_means(kind: str, amount: str) -> None:
    run = simulate_sbml(antimony(DECAY.format(size=4, kind=kind, amount=amount, start=6)), TIMES)
    assert run.attrs["engine"] == "kernel"
    assert run["S"].attrs["kind"] == ("amount" if kind else "concentration")
    np.testing.assert_allclose(run["S"], 6 * np.exp(-0.5 * TIMES), rtol=1e-7)


def test_a_growing_compartment_dilutes() -> None:
    """Amount stays, volume = 2 exp(0.3 t): concentration 3 exp(-0.3 t) while nothing reacts."""
    text = "model m\n  compartment C = 2; species S in C = 3; species A in C = 0; C' = 0.3 * C\n  J: -> A; 0 * C\nend"
    run = simulate_sbml(antimony(text), TIMES)
    assert list(run.data_vars) == ["S", "A", "C"]
    np.testing.assert_allclose(run["C"], 2 * np.exp(0.3 * TIMES), rtol=1e-7)
    np.testing.assert_allclose(run["S"], 3 * np.exp(-0.3 * TIMES), rtol=1e-7)


def test_a_conversion_factor_scales_a_species() -> None:
    text = level3().replace('<model id="m">', '<model id="m" conversionFactor="f">')
    text = text.replace("<parameter id=", '<parameter id="f" value="2" constant="true"/><parameter id=', 1)
    np.testing.assert_allclose(simulate_sbml(text, TIMES)["S"], 6 * np.exp(-2 * 0.5 * TIMES), rtol=1e-7)


def test_piecewise_of_time_switches_at_its_time() -> None:
    text = "model m\n  x = 0; x' = piecewise(2, time < 1.25, 0)\nend"
    run = simulate_sbml(antimony(text), TIMES)
    assert run.attrs["engine"] == "kernel"
    np.testing.assert_allclose(run["x"], 2 * np.minimum(TIMES, 1.25), atol=1e-8)


def test_an_event_is_the_kernels() -> None:
    text = "model m\n  compartment C = 1; species S in C = 6; k = 0.5\n  J: S -> ; k * S\n  at time >= 1.5: S = 6\nend"
    run = simulate_sbml(antimony(text), TIMES)
    assert run.attrs["engine"] == "kernel"
    want = np.where(TIMES < 1.5, 6 * np.exp(-0.5 * TIMES), 6 * np.exp(-0.5 * (TIMES - 1.5)))
    np.testing.assert_allclose(run["S"], want, rtol=1e-7)


def test_what_the_kernel_cannot_follow_goes_to_libroadrunner_and_one_line_says_so() -> None:
    text = "model m\n  y = 0; y' = 1; a = 0\n  at y > 1.5: a = 1\n  at y == 100: a = 2\nend"
    run = simulate_sbml(antimony(text), TIMES, outputs=["y", "a"])
    assert run.attrs["engine"].startswith("libRoadRunner 2.")
    assert "a trigger that asks whether moving quantities are equal or unequal" in run.attrs["engine_reason"]
    np.testing.assert_allclose(run["y"], TIMES, atol=1e-6)
    assert run["a"].to_numpy()[TIMES != 1.5].tolist() == [0] * 3 + [1] * 5


@pytest.mark.parametrize("rank", ["", ", priority=1"])
def test_an_answer_that_hangs_on_an_open_order_is_refused(rank: str) -> None:
    text = f"model m\n  y = 0; y' = 1; a = 0\n  at y > 1.5{rank}: a = 1\n  at y > 1.5{rank}: a = 2\nend"
    with pytest.raises(UnsupportedError, match="the answer hangs on which comes first"):
        simulate_sbml(antimony(text), TIMES, outputs=["a"])


def test_events_without_end_are_given_to_nobody() -> None:
    text = "model m\n  x = -1; x' = r; r = 1\n  at x > 0: r = -1\n  at x < 0: r = 1\nend"
    with pytest.raises(SimulationError, match="stopped at time 1: events of the model follow one another without end"):
        simulate_sbml(antimony(text), TIMES)


def test_a_condition_that_holds_for_a_moment_only_is_seen() -> None:
    """libRoadRunner looks at the ends of its steps; a step of the length it likes flies past this one."""
    text = "model m\n  x = 0; x' = 0.4; seen = 0\n  at x > 0.18 && x < 0.19: seen = 1\nend"
    assert simulate_sbml(antimony(text), [0, 5], outputs=["seen"])["seen"].to_numpy().tolist() == [0, 1]


def test_a_level_2_stoichiometry_that_is_computed_is_used() -> None:
    """The reference has an identifier, which in Level 2 means nothing: its formula counts, and no 1 beside it."""
    text = document(
        '<model id="m"><listOfCompartments><compartment id="C"/></listOfCompartments><listOfSpecies>'
        '<species id="S" compartment="C" initialAmount="0"/></listOfSpecies><listOfReactions>'
        '<reaction id="J" reversible="false"><listOfProducts><speciesReference id="p" species="S"><stoichiometryMath>'
        f"{maths('<cn>3</cn>')}</stoichiometryMath></speciesReference></listOfProducts><kineticLaw>"
        f"{maths('<cn>2</cn>')}</kineticLaw></reaction></listOfReactions></model>",
        'xmlns="http://www.sbml.org/sbml/level2/version4" level="2" version="4"',
    )
    run = simulate_sbml(text, TIMES)
    np.testing.assert_allclose(run["S"], 6 * TIMES, rtol=1e-7)
    assert run.time.attrs["units"] == "second"
    assert "p" not in read_system(text).values
    with pytest.raises(SimulationError, match='no quantity "p"'):
        simulate_sbml(text, TIMES, outputs=["p"])
    with pytest.raises(SimulationError, match='nothing called "p" to set'):
        simulate_sbml(text, TIMES, changes={"p": 2})


def test_a_quantity_called_time_is_told_from_time() -> None:
    text = level3(more="").replace('id="x"', 'id="time"')
    rule = f'<listOfRules><rateRule variable="time">{maths("<cn>3</cn>")}</rateRule></listOfRules>'
    run = simulate_sbml(text.replace("<listOfReactions>", f"{rule}<listOfReactions>"), TIMES, outputs=["time", "S"])
    assert run.attrs["engine"] == "kernel"
    np.testing.assert_allclose(run["parameter time"], 3 * TIMES, rtol=1e-7)


def test_an_algebraic_rule_of_one_unknown_is_solved_and_it_says_so() -> None:
    tree = "<apply><plus/><ci>S</ci><apply><times/><cn>2</cn><ci>x</ci></apply><cn>-6</cn></apply>"
    run = simulate_sbml(level3(f"<algebraicRule>{maths(tree)}</algebraicRule>"), TIMES)
    np.testing.assert_allclose(run["x"], 3 - 3 * np.exp(-0.5 * TIMES), atol=1e-7)
    assert run.attrs["read_as"] == ["algebraic rule 0 = S + 2 * x + -6 read as a rule for x"]


def test_submodels_are_flattened() -> None:
    inner = "model inner\n  compartment C = 1; species S in C = 6; k = 0.5\n  J: S -> ; k * S\nend\n"
    text = antimony(f"{inner}model outer\n  A: inner(); B: inner(); B.k is quick; quick = 1\nend", nested=True)
    assert "comp:submodel" in text
    run = simulate_sbml(text, TIMES)
    assert run.attrs["engine"] == "kernel"
    np.testing.assert_allclose(run["A__S"], 6 * np.exp(-0.5 * TIMES), rtol=1e-7)
    np.testing.assert_allclose(run["B__S"], 6 * np.exp(-1.0 * TIMES), rtol=1e-7)


def test_changes_are_used_by_either_engine() -> None:
    decay = "model m\n  compartment C = 4; species S in C = 6; k = 0.5\n  J: S -> ; k * S * C\n"
    event = f"{decay}  e = 0; at S == 100: e = 1\n"
    for text, engine in ((decay, "kernel"), (event, "libRoadRunner")):
        run = simulate_sbml(antimony(f"{text}end"), TIMES, outputs=["S"], changes={"k": 1, "S": 3, "C": 2})
        assert run.attrs["engine"].startswith(engine)
        np.testing.assert_allclose(run["S"], 3 * np.exp(-TIMES), rtol=1e-6)


@pytest.mark.parametrize("given", ["k = 0.5", "k = 2 * a; a = 0.25"], ids=["a number", "an initial assignment"])
def test_one_parameter_is_changed_however_it_was_given(given: str) -> None:
    text = antimony(f"model m\n  compartment C = 4; species S in C = 6; {given}\n  J: S -> ; k * S * C\nend")
    for value in (0.5, 1.0):
        run = simulate_sbml(text, TIMES, changes={"k": value})
        np.testing.assert_allclose(run["S"], 6 * np.exp(-value * TIMES), rtol=1e-7)
    np.testing.assert_allclose(simulate_sbml(text, TIMES)["S"], 6 * np.exp(-0.5 * TIMES), rtol=1e-7)


# --- refusals --------------------------------------------------------------------------------------------------------

DELAY = (
    '<apply><csymbol encoding="text" definitionURL="http://www.sbml.org/sbml/symbols/delay">delay</csymbol>'
    "<ci>S</ci><cn>1</cn></apply>"
)
EXTERNAL = (
    '<model id="m"/><comp:listOfExternalModelDefinitions><comp:externalModelDefinition comp:id="E" '
    'comp:source="file:///etc/passwd"/></comp:listOfExternalModelDefinitions>'
)
FBC = "http://www.sbml.org/sbml/level3/version1/fbc/version2"
FLUX = (
    f'<model id="m" xmlns:fbc="{FBC}" fbc:strict="false"><listOfCompartments>'
    '<compartment id="C" size="1" constant="true"/></listOfCompartments><listOfReactions>'
    '<reaction id="J" reversible="false" fast="false"/></listOfReactions>'
    '<fbc:listOfObjectives fbc:activeObjective="o"><fbc:objective fbc:id="o" fbc:type="maximize">'
    '<fbc:listOfFluxObjectives><fbc:fluxObjective fbc:reaction="J" fbc:coefficient="1"/></fbc:listOfFluxObjectives>'
    "</fbc:objective></fbc:listOfObjectives></model>"
)
UNKNOWN = 'xmlns:q="http://www.sbml.org/sbml/level3/version1/x/version1" q:required="true"'
REFUSED = {
    "delay": (level3(f'<assignmentRule variable="x">{maths(DELAY)}</assignmentRule>'), r"a delay \(delay\(S, 1\)\)"),
    "algebraic": (
        level3(f"<algebraicRule>{maths('<apply><times/><ci>x</ci><ci>x</ci></apply>')}</algebraicRule>"),
        r"an algebraic rule \(0 = x \* x\)",
    ),
    "fast": (level3(reaction='reversible="false" fast="true"'), r'a fast reaction \("J"\)'),
    "external": (document(EXTERNAL, f'{CORE} {COMP} comp:required="true"'), "comp:externalModelDefinition"),
    "flux": (document(FLUX, f'{CORE} xmlns:fbc="{FBC}" fbc:required="false"'), "flux balance"),
    "package": (
        document('<model id="m"/>', f"{CORE} {UNKNOWN}"),
        'package "x"',
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_neither_engine_covers_is_refused_by_name(name: str) -> None:
    text, said = REFUSED[name]
    with pytest.raises(UnsupportedError, match=said):
        simulate_sbml(text, TIMES)


def test_time_as_a_name_is_not_given_to_libroadrunner() -> None:
    text = antimony("model m\n  y = 0; y' = 1; clock = 0; at y == 1: clock = 1\nend").replace('"clock"', '"time"')
    with pytest.raises(UnsupportedError, match='quantity called "time"'):
        simulate_sbml(text, TIMES, outputs=["y"])


def test_without_libroadrunner_the_error_says_what_and_how(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "roadrunner", None)
    text = antimony("model m\n  y = 0; y' = 1; at y == 1: y = 0\nend")
    with pytest.raises(UnsupportedError, match=r'equal or unequal.*pip install "antagony\[reference\]"'):
        simulate_sbml(text, TIMES)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kk": 1.0}, 'nothing called "kk" to set; did you mean "k"'),
        ({"J": 1.0}, 'nothing called "J"'),
        ({"x": 1.0}, "a rule of the model computes it"),
        ({"k": np.inf}, "finite"),
    ],
)
def test_a_change_that_has_no_effect_is_refused(changes: dict[str, float], said: str) -> None:
    text = level3(f'<assignmentRule variable="x">{maths("<ci>S</ci>")}</assignmentRule>')
    with pytest.raises(SimulationError, match=said):
        simulate_sbml(text, TIMES, changes=changes)


def test_a_missing_value_is_named() -> None:
    with pytest.raises(SimulationError, match="no value for k; set k=VALUE"):
        simulate_sbml(level3().replace('id="k" value="0.5"', 'id="k"'), TIMES)


def test_libroadrunner_is_not_let_to_make_up_a_missing_start() -> None:
    """It would begin at 0 without a word."""
    text = antimony("model m\n  compartment C = 1; species S in C; k = 1\n  J: -> S; k * C\n  at time > 1: k = 2\nend")
    assert "initialConcentration" not in text
    with pytest.raises(SimulationError, match="no value for S; set S=VALUE"):
        simulate_sbml(text, TIMES)
    assert simulate_sbml(text, TIMES, changes={"S": 3})["S"][0] == 3


@pytest.mark.parametrize("times", [[], [-1, 0], [1, 0], [0, np.nan]])
def test_times_that_mean_nothing_are_refused(times: list[float]) -> None:
    with pytest.raises(SimulationError, match="ascending and not before 0"):
        simulate_sbml(level3(), times)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (level3().replace("<ci>k</ci>", "<ci>absent</ci>"), r"line \d+: no valid SBML"),
        (document(""), "no model|no valid SBML"),
        (document('<model id="m"/>'), "nothing in this model can change"),
        (level3()[:-20], r"line \d+: no XML"),
        *((level3().replace("UTF-8", name, 1), "line 1: no XML: an encoding that") for name in ("x", "utf-32", "hex")),
        ("<html><body/></html>", "outermost element is <html>"),
    ],
)
def test_text_that_is_no_model_is_refused_with_its_line(text: str, said: str) -> None:
    with pytest.raises(SimulationError, match=said):
        simulate_sbml(text, TIMES)


# --- hostile files ---------------------------------------------------------------------------------------------------


def hostile() -> dict[str, tuple[bytes, str]]:
    laughs = '<!DOCTYPE sbml [<!ENTITY a "ha">' + "".join(
        f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefghi", "bcdefghij", strict=True)
    )
    outside = '<!DOCTYPE sbml [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
    nested = maths("<apply><minus/>" * 50_000 + "<cn>1</cn>" + "</apply>" * 50_000)
    return {
        "billion laughs": (f"{HEAD}{laughs}]><sbml {CORE}>&j;</sbml>".encode(), "a document type or an entity"),
        "outside": (f"{HEAD}{outside}<sbml {CORE}>&x;</sbml>".encode(), "a document type or an entity"),
        "nested": (
            level3(f'<assignmentRule variable="x">{nested}</assignmentRule>').encode(),
            "lie more than 400 deep",
        ),
        "nothing": (b"", "the file is empty"),
        "binary": (bytes(range(256)) * 64, "is not UTF-8 text"),
        "zeros": (b"\0" * 4096, "does not begin with <"),
        "prose": (b"S1 -> S2; k1*S1", "does not begin with <"),
    }


@pytest.mark.parametrize("name", hostile())
def test_a_hostile_file_is_refused_at_once(tmp_path: Path, name: str) -> None:
    content, said = hostile()[name]
    path = tmp_path / "model.xml"
    path.write_bytes(content)
    began = time.perf_counter()
    with pytest.raises(SimulationError, match=said):
        open_sbml(read_sbml(path))
    assert time.perf_counter() - began < 2


def test_a_file_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "model.xml"
    with path.open("wb") as file:
        file.truncate(LARGEST + 1)
    with pytest.raises(SimulationError, match="64 MB"):
        read_sbml(path)


def test_brackets_in_a_formula_of_level_1_are_counted() -> None:
    deep = "(" * 5000 + "1" + ")" * 5000
    text = document(
        f'<model name="m"><listOfRules><parameterRule name="x" formula="{deep}"/></listOfRules></model>',
        'xmlns="http://www.sbml.org/sbml/level1" level="1" version="2"',
    )
    with pytest.raises(SimulationError, match="5000 brackets"):
        open_sbml(text)


# --- the command line ------------------------------------------------------------------------------------------------


def command(*arguments: str) -> Done:
    return run_command("simulate", *arguments)


@pytest.fixture
def decay_file(tmp_path: Path) -> Path:
    path = tmp_path / "decay.xml"
    path.write_text(level3(), encoding="utf-8")
    return path


def test_the_command_shows_a_model(decay_file: Path) -> None:
    done = command(str(decay_file))
    assert done.returncode == 0, done.stderr
    assert "101 moments from 0 to 100 units of time" in done.stdout
    assert "engine: kernel" in done.stdout


def test_the_command_writes_every_form(decay_file: Path, tmp_path: Path) -> None:
    asked = (str(decay_file), "--until", "4", "--points", "9", "-o", "S", "--set", "k=1")
    want = 6 * np.exp(-TIMES)
    for ending in ("csv", "nc", "svg"):
        done = command(*asked, "--out", str(tmp_path / f"run.{ending}"))
        assert done.returncode == 0, done.stderr
    table = np.loadtxt(tmp_path / "run.csv", delimiter=",", skiprows=1)
    np.testing.assert_allclose(table, np.column_stack([TIMES, want]), rtol=1e-7)
    with xr.open_dataset(tmp_path / "run.nc", engine="h5netcdf") as stored:
        np.testing.assert_allclose(stored["S"], want, rtol=1e-7)
        assert stored.attrs["engine"] == "kernel"
    assert (tmp_path / "run.svg").read_text().count("<svg") == 1
    rows = json.loads(command(*asked, "--json").stdout)
    np.testing.assert_allclose(rows["data_vars"]["S"]["data"], want, rtol=1e-7)
    drawn = command(*asked, "--plot")
    assert drawn.returncode == 0, drawn.stderr
    assert drawn.stdout.count("\n") > 20


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("ketamine 0.5 mg/kg iv",), "doses need a case"),
        (("--draws", "5"), "--draws belongs to a case"),
        (("--until", "7 d"), "write a number alone"),
        (("--until", "-1"), "a time after 0"),
        (("--set", "k"), "write NAME=VALUE"),
        (("--set", "kk=1"), 'did you mean "k"?'),
        (("-o", "SS"), 'no quantity "SS"'),
        (("--out", "run.zarr"), "use .csv, .nc or .svg"),
    ],
)
def test_the_command_says_what_is_wrong(decay_file: Path, more: tuple[str, ...], said: str) -> None:
    done = command(str(decay_file), *more)
    assert done.returncode == 2
    assert said in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_a_file_that_is_not_there_and_a_mechanism_without_a_regimen(tmp_path: Path) -> None:
    assert "there is no such file" in " ".join(command(str(tmp_path / "none.sbml")).stderr.split())
    assert "Missing argument 'regimen'" in command("none").stderr
    assert "--set changes SBML files" in " ".join(command("none", "ketamine 35 mg iv", "--set", "k=1").stderr.split())


@pytest.mark.slow
def test_two_hundred_species() -> None:
    """A chain of 200 species keeps its mass, and its first link decays in closed form."""
    links = "\n".join(f"  J{i}: S{i} -> S{i + 1}; k * S{i} * C" for i in range(199))
    starts = "\n".join(f"  species S{i} in C = {5 * (i == 0)}" for i in range(200))
    text = antimony(f"model chain\n  compartment C = 1; k = 0.7\n{links}\n{starts}\nend")
    run = simulate_sbml(text, np.linspace(0, 50, 11))
    assert len(run.data_vars) == 200
    np.testing.assert_allclose(run["S0"], 5 * np.exp(-0.7 * run.time), rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(sum(run[name] for name in run.data_vars), 5, rtol=1e-6)
