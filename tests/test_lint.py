"""Lint: the packaged case has no errors, and each check fires on a fault planted in a small case."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

import antagony
from antagony import lint
from antagony.case import open_case
from antagony.cli import app
from antagony.lint import CHECKS, Check, Issue, lint_case
from antagony.parameters import COLUMNS

PACKAGED = Path(antagony.__file__).parent / "cases" / "ketamine"
HEADER = "\t".join(COLUMNS) + "\n"

CASE = """
title = "A blocker and its site"
question = "Does the blocker act through its site?"
disclaimer = "No dosing advice."
drugs = ["blocker", "other"]
mechanisms = ["direct", "absent"]
[receptors.site]
roles = ["antagonist"]
[outputs.signal]
title = "signal"
unit = "dimensionless"
[outputs.score]
title = "score"
unit = "dimensionless"
[scenes.blocked]
title = "blocked"
regimen = "blocker 10 mg iv"
[trial]
score_max = 50
score_baseline = 25
[calibration]
parameter = "gain"
study = "smith_2000"
finding = "fall"
"""
DRUG = """
title = "{0}"
molar_mass = 300.0
[[routes.iv.targets]]
state = "{0}_amount"
input = "{0}_in"
[[loads]]
receptor = "site"
ratio = "{0}_plasma/{0}_half"
efficacy = "0 dimensionless"
role = "antagonist"
"""
DRUG_MODEL = """
{0}_plasma := {0}_amount/{0}_volume; {0}_plasma has nM;
{0}_amount' = {0}_in - {0}_clearance*{0}_plasma; {0}_amount = 0 nmol; {0}_amount has nmol;
"""
DRUG_ROWS = """
{0}_in	infusion	0	nmol_per_hour	0					definition
{0}_volume	volume	50	litre	0					read	smith_2000, table 1
{0}_clearance	clearance	10	litre_per_hour	0					read	smith_2000
{0}_half	half occupancy	100	nM	1	log-uniform	10;1000			assumed
"""
SHARED_ROWS = """
gain	gain	1	dimensionless	1	uniform	0;2			assumed
score_max	largest score	50	dimensionless	0					definition
score_baseline	score at baseline	25	dimensionless	0					definition
site_probe	probe of the site	1	dimensionless	0					definition
residual	residual SD	1	dimensionless	0					assumed		used by trials
"""
MECHANISM = """
title = "direct"
statement = "The site lowers the score."
parts = ["site"]
chain = [{ from = "signal", to = "score", sign = -1, parameter = "gain" }]
[variants.size.small]
set = { gain = 0.5 }
"""
CLAIMS = """
[[claims]]
id = "falls"
statement = "The score falls."
source = "smith_2000"
given = { regimen = "blocker 10 mg iv", probes = [{ parameter = "site_probe", set = 2.0 }] }
output = "score"
at = "2 h"
relation = "falls"
"""
STUDY = """
title = "A trial"
reference = "smith_2000"
date = "2000"
sample = "smith"
role = "calibrating"
[design]
kind = "parallel"
population = "volunteers"
blinding = "double"
[[arms]]
id = "drug"
regimen = "blocker 10 mg iv"
n = 10
[[arms]]
id = "placebo"
n = 10
[trial]
scale = "SCALE"
score_max = { value = 40.0, grade = "read", prior = ["uniform", 30, 50] }
[[findings]]
id = "fall"
kind = "contrast"
arms = ["drug", "placebo"]
time = "24 h"
value = -3.0
grade = "read"
source = "smith_2000"
primary = true
"""
FILES = {
    "case.toml": CASE,
    "references.bib": "@article{smith_2000, title = {A trial}}\n",
    "claims.toml": CLAIMS,
    "studies/smith_2000.toml": STUDY,
    "parts/site.ant": "signal := gain*site_probe*site_load; signal has dimensionless;\n",
    "parts/parameters.tsv": SHARED_ROWS,
    "mechanisms/direct/mechanism.toml": MECHANISM,
    "mechanisms/direct/wiring.ant": "score := score_max - signal; score has dimensionless;\n",
    "mechanisms/direct/parameters.tsv": "",
    "mechanisms/absent/mechanism.toml": 'title = "absent"\nstatement = "Nothing happens."\nparts = ["site"]\n',
    "mechanisms/absent/wiring.ant": "score := score_max; score has dimensionless;\n",
    **{f"drugs/{name}/drug.toml": DRUG.format(name) for name in ("blocker", "other")},
    **{f"drugs/{name}/model.ant": DRUG_MODEL.format(name) for name in ("blocker", "other")},
    **{f"drugs/{name}/parameters.tsv": DRUG_ROWS.format(name) for name in ("blocker", "other")},
}


def write_case(folder: Path, **replaced: tuple[str, str] | str) -> Path:
    """The small case with faults planted: {file: (old, new)}, or {file: text added}."""
    files = {**FILES, "prelude.ant": (PACKAGED / "prelude.ant").read_text(encoding="utf-8")}
    for name, change in replaced.items():
        text = files.get(name, "")
        if isinstance(change, tuple):
            assert change[0] in text, f"{name} does not hold {change[0]!r}"
            files[name] = text.replace(*change, 1)
        else:
            files[name] = text + change
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        header = HEADER if name.endswith(".tsv") else ""
        path.write_text(header + text.removeprefix("\n"), encoding="utf-8")
    return folder


def issues_of(check: Check, folder: Path) -> list[Issue]:
    return list(check(open_case(folder)))


@pytest.mark.proof
def test_the_packaged_case_has_no_error() -> None:
    assert [issue for issue in lint_case(open_case()) if issue.level == "error"] == []


def test_the_small_case_is_sound(tmp_path: Path) -> None:
    assert lint_case(open_case(write_case(tmp_path))) == []


def test_every_check_is_listed_and_is_one_sentence() -> None:
    written = {name: value for name, value in vars(lint).items() if name.startswith("check_")}
    written.pop("check_units")  # the composer's, which check_models asks
    assert set(written.values()) == set(CHECKS)
    for check in CHECKS:
        assert check.__doc__
        assert check.__doc__.count(".") - check.__doc__.count("case.toml") - check.__doc__.count(".bib") == 1


DESIGN = """
title = "the next trial"
[design]
kind = "parallel"
population = "people"
blinding = "double"
[[arms]]
id = "drug"
regimen = "blocker 10 mg iv"
n = 10
[[arms]]
id = "placebo"
n = 10
[trial]
scale = "points"
score_max = { value = 50, grade = "assumed" }
[[estimands]]
id = "fall"
arms = ["drug", "placebo"]
time = "24 h"
"""
CROSSED = DESIGN.replace('"parallel"', '"crossover"\nwashout = "30 d"')
SCENE = '[scenes.blocked]\ntitle = "blocked"\nregimen = "blocker 10 mg iv"\n'
MODEL, WIRING = "parts/site.ant", "mechanisms/direct/wiring.ant"
ROWS = "drugs/other/parameters.tsv"
TOML, STUDY_FILE = "mechanisms/direct/mechanism.toml", "studies/smith_2000.toml"
SECOND = STUDY.replace('"fall"', '"again"')
OVERLAP = SECOND.replace('sample = "smith"', 'sample = "zweig"\noverlaps = ["smith"]')
OTHER = SECOND.replace('sample = "smith"', 'sample = "zweig"')
UNWEIGHED = OTHER.replace("primary = true", "").replace('role = "c', 'weighed = false\nrole = "c')
HAZARD = OTHER.replace('"contrast"', '"hazard_ratio"').replace("-3.0", "3.0")
ANIMALS = (
    OTHER.replace('role = "c', 'species = "rat"\nrole = "c')
    .replace('"contrast"', '"direction"\nsign = -1')
    .replace("value = -3.0", "")
)
BLOCKER = "drugs/blocker/model.ant"
FAULTS: list[tuple[Callable, str, tuple[str, str] | str, str, str]] = [
    (lint.check_models, WIRING, ("score_max -", "score_mx -"), "error", 'needs "score_mx", which nothing gives; did'),
    (lint.check_models, MODEL, "signal := gain; signal has dimensionless;", "error", "line 2: .*signal"),
    (lint.check_models, BLOCKER, ("_plasma has nM", "_plasma has nmol"), "error", r'line \d+: ".*_plasma": Expected'),
    (lint.check_variants, TOML, ("set = { gain", "set = { gian"), "error", 'no parameter "gian"; did you mean "gain"'),
    (lint.check_edges, TOML, ('to = "score"', 'to = "scores"'), "error", 'no readout or state "scores"; did you'),
    (lint.check_edges, TOML, ('parameter = "gain"', 'parameter = "gian"'), "error", 'no parameter "gian"'),
    (lint.check_listing, "mechanisms/third/mechanism.toml", "", "warning", "not among the mechanisms of case.toml"),
    (lint.check_units_known, "parts/parameters.tsv", ("50\tdim", "50\tdym"), "error", 'unit "dymensionless"; did'),
    (lint.check_sources, ROWS, ("smith_2000, t", "smth_2000, t"), "error", 'source "smth_2000"'),
    (lint.check_sources, ROWS, ("\tsmith_2000, table 1", ""), "error", "is graded read"),
    (lint.check_sources, "claims.toml", ("smith_2000", "smth_2000"), "error", 'no source "smth_2000"'),
    (lint.check_sources, STUDY_FILE, ('e = "smith_2000"\np', 'e = "smth_2000"\np'), "error", '"fall": .*source "smth'),
    (lint.check_references, "references.bib", "@book{smith_2000, title = {B}}\n", "error", "stands there twice"),
    (
        lint.check_one_row,
        "mechanisms/direct/parameters.tsv",
        "gain\tgain\t1\tdimensionless\t0\t\t\t\t\tassumed\n",
        "error",
        '"gain" has a row already: parts/parameters.tsv, line 2',
    ),
    (lint.check_routes, "drugs/blocker/drug.toml", ("r_amount", "r_amunt"), "error", 'no state "blocker_amunt"; did'),
    (lint.check_unused, "parts/parameters.tsv", ("used by trials", ""), "warning", '"residual" is used by nothing'),
    (lint.check_claims_asked, "claims.toml", 'only_for = ["drect"]\n', "error", 'no mechanism "drect"; did you mean'),
    (lint.check_claims_asked, "mechanisms/direct/claims.toml", CLAIMS, "error", 'a claim "falls" already'),
    (lint.check_claims_readable, "claims.toml", ('"score"', '"scre"'), "error", 'absent has no output "scre"; did you'),
    (lint.check_claims_readable, "claims.toml", ("blocker 10", "blcker 10"), "error", "blcker"),
    (lint.check_claims_readable, "claims.toml", ("site_probe", "site_prob"), "error", 'no parameter "site_prob"; did'),
    (lint.check_studies, STUDY_FILE, ("10 mg iv", "10 mg po"), "error", 'arm "drug", regimen: .*po'),
    (lint.check_studies, STUDY_FILE, ("score_max =", "score_mx ="), "error", 'key trial: no parameter "score_mx"'),
    (lint.check_studies, STUDY_FILE, ("value = -3", 'output = "scre"\nvalue = -3'), "error", 'no output "scre"'),
    (
        lint.check_studies,
        STUDY_FILE,
        ('id = "placebo"', 'id = "placebo"\nprobes = [{ parameter = "x", set = 1.0 }]'),
        "error",
        'no parameter "x"',
    ),
    (
        lint.check_designs,
        "designs/next_trial.toml",
        DESIGN.replace("10 mg iv", "10 mg po"),
        "error",
        'arm "drug", regimen: .*po',
    ),
    (
        lint.check_designs,
        "designs/next_trial.toml",
        DESIGN.replace("score_max", "score_mx"),
        "error",
        '"score_mx"; did',
    ),
    (lint.check_designs, "designs/smith_2000.toml", DESIGN, "error", "studies/smith_2000.toml has the name already"),
    (lint.check_trial_numbers, STUDY_FILE, ("value = 40", "value = 60"), "error", "60 lies outside its prior"),
    (lint.check_samples, STUDY_FILE, ('role = "c', 'overlaps = ["smyth"]\nrole = "c'), "error", 'the sample "smyth"'),
    (lint.check_samples, "studies/zweig_2001.toml", SECOND, "error", '"again" scores the people of smith_2000 again'),
    (lint.check_samples, "studies/zweig_2001.toml", OVERLAP, "error", '"again" scores some people of smith_2000 again'),
    (lint.check_weighing, STUDY_FILE, ("primary = true", ""), "error", "none is primary, so nothing"),
    (lint.check_weighing, STUDY_FILE, ('role = "c', 'reason = "x"\nrole = "c'), "error", "it tells why a study is not"),
    (lint.check_weighing, "studies/zweig_2001.toml", UNWEIGHED, "error", "a study that is not weighed says why"),
    (
        lint.check_weighing,
        STUDY_FILE,
        ('role = "c', 'weighed = false\nreason = "x"\nrole = "c'),
        "error",
        "is primary, but",
    ),
    (lint.check_weighing, "studies/zweig_2001.toml", HAZARD, "error", "hazard ratio, which is never"),
    (lint.check_paradigms, STUDY_FILE, ('role = "c', 'paradigm = "x"\nrole = "c'), "error", "people have none"),
    (lint.check_paradigms, "studies/zweig_2001.toml", ANIMALS, "error", "missing; in which test was the rat"),
    (
        lint.check_paradigms,
        STUDY_FILE,
        ('role = "c', 'species = "rat"\nparadigm = "x"\nrole = "c'),
        "error",
        "only a sign",
    ),
    (lint.check_calibration, "case.toml", ('parameter = "gain"', 'parameter = "gan"'), "error", 'parameter "gan"; did'),
    (lint.check_calibration, "case.toml", ("smith_2000", "smth_2000"), "error", 'no study "smth_2000"; did you mean'),
    (lint.check_calibration, "case.toml", ('"fall"', '"fal"'), "error", 'no finding "fal"; did you mean "fall"'),
    (lint.check_calibration, STUDY_FILE, ('"contrast"', '"standardised"'), "error", "is no contrast with a value"),
    (
        lint.check_probes,
        "case.toml",
        '[probes.p]\ntitle = "p"\nacts = [{ parameter = "gain", by = "gin" }]\n',
        "error",
        'no shared parameter "gin"; did you mean "gain"',
    ),
    (lint.check_trial, "case.toml", ("score_max = 50", "score_mx = 50"), "error", 'did you mean "score_max"'),
    (lint.check_classes, "case.toml", '[classes.one]\ntitle = "one"\n', "error", "missing; name a class of case.toml"),
    (
        lint.check_classes,
        "mechanisms/direct/mechanism.toml",
        ('parts = ["s', 'class = "one"\nparts = ["s'),
        "error",
        'no class "one"',
    ),
    (lint.check_display, "report.toml", 'outputs = ["scre"]\n', "error", 'no output "scre"; did you mean "score"'),
    (lint.check_display, "case.toml", (SCENE, ""), "warning", "no verdict and no page"),
    (lint.check_ratings, "case.toml", ("score_baseline = 25", ""), "error", 'no "score_baseline", and'),
    (lint.check_cues, STUDY_FILE, ('id = "placebo"', 'id = "placebo"\ncomparator_cue = 0.5'), "error", "would be felt"),
    (lint.check_cues, "designs/next_trial.toml", CROSSED, "warning", "no .periods.: no placebo"),
]


@pytest.mark.parametrize(("check", "file", "change", "level", "message"), FAULTS)
def test_a_planted_fault_is_found(
    tmp_path: Path, check: Check, file: str, change: tuple[str, str] | str, level: str, message: str
) -> None:
    found = issues_of(check, write_case(tmp_path, **{file: change}))
    assert found
    assert {issue.level for issue in found} == {level}
    told = [f"{issue.where}: {issue.message}" for issue in found]
    assert any(re.search(message, text) for text in told), told


def test_every_check_has_a_planted_fault() -> None:
    assert {check for check, *_ in FAULTS} == set(CHECKS)


def test_lint_puts_errors_first(tmp_path: Path) -> None:
    faults = {"parts/parameters.tsv": ("used by trials", ""), "case.toml": ('"fall"', '"fal"')}
    assert [issue.level for issue in lint_case(open_case(write_case(tmp_path, **faults)))] == ["error", "warning"]


def test_lint_tells_what_it_is_at_before_each_check(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    lint_case(open_case(write_case(tmp_path)), progress=lambda *step: told.append(step))
    texts, done, totals = zip(*told, strict=True)
    assert len(told) == len(CHECKS) and texts[0] == "models" and "claims readable" in texts
    assert done[0] == 0 and sorted({*done}) == [*done] and {done[-1] + 1} == {*totals}


@pytest.mark.parametrize(
    ("fault", "said"),
    [({}, "0 errors, 0 warnings"), ({"parts/parameters.tsv": ("used by trials", "")}, "0 errors, 1 warning\n"),
     ({"case.toml": ('"fall"', '"fal"')}, "1 error, 0 warnings")],
)  # fmt: skip
def test_lint_counts_as_people_do(fault: dict[str, tuple[str, str]], said: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["lint", "--case", str(write_case(tmp_path, **fault))])
    assert said in done.stdout


def test_the_numbers_of_a_case_are_counted_by_grade(tmp_path: Path) -> None:
    small = open_case(write_case(tmp_path))
    counted = lint.count_grades(small)
    assert counted["parameters"]["read"] == 4  # volume and clearance of two drugs
    assert counted["parameters"]["assumed"] == 4  # two half occupancies, gain and residual
    assert counted["studies"]["read"] == 4  # the largest score, two arms' n and the contrast
    assert "definition" not in counted["parameters"]
    assert lint.describe_grades(small).startswith("Numbers: parameters 4 read, 0 secondary")
