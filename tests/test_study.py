"""Claims and studies: every shipped file loads, and each way to get one wrong is told with its place and remedy."""

from __future__ import annotations

import math
import re
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest

import antagony
from antagony.claim import Claim, read_claims
from antagony.condition import Condition, Probe
from antagony.errors import ClaimError, StudyError
from antagony.parameters import Prior
from antagony.study import Study, read_study, standard_error

CASE = Path(antagony.__file__).parent / "cases" / "ketamine"
CLAIM_FILES = [CASE / "claims.toml", *sorted(CASE.glob("mechanisms/*/claims.toml"))]
STUDY_FILES = sorted(CASE.glob("studies/*.toml"))
LISTED = """
williams_2018 williams_2019 yoon_2019 marton_2019 krystal_2006 bobon_1988 fujita_2012 forward_45_2018 forward_3_2019
fava_2016 yovell_2016 pecina_2021 eikemo_2017 ntx_alone_1987 dean_2006 ntx_alone_1985 rabiner_2011 lee_1988
cfn_pet_2005 hirota_1999 bonaventura_2021 levinstein_2023 bonaventura_2022 wray_2018 li_2010 li_2011 autry_2011
gideons_2014 yang_2018 klein_2020 zhang_2019 zhang_f_2021 zarate_2006 murrough_2013 newport_2015 fava_2018
transform_2_2019 sustain_1_2019 memantine_2006 lanicemine_2014 lanicemine_2017 preskorn_2008 nagele_2015 nagele_2021
taylor_2006 posternak_2005
""".split()

CLAIM = """
[[claims]]
id = "s4_mtorc1"
statement = "Naltrexone lowers mTORC1."
source = "jewell_2019"
given = "naltrexone 50 mg po at -45 min"
output = "mtorc1_relative"
at = "2 h"
measure = "ratio"
relation = "falls"
margin = 0.1
tags = ["S4"]
"""
STUDY = """
title = "A trial"
reference = "someone_2020"
date = "2020-05"
sample = "someone_2020"
role = "discriminating"

[design]
kind = "crossover"
population = "people"
blinding = "double-blind"
washout = "14 d"
sequences = [["drug", "placebo"], ["placebo", "drug"]]

[[arms]]
id = "drug"
regimen = "ketamine 0.5 mg/kg iv over 40 min"
n = 20

[[arms]]
id = "placebo"
regimen = "no drug"
n = 18
comparator_cue = 0.25

[trial]
scale = "MADRS"
score_max = { value = 60, grade = "recalled" }
placebo_size = { value = 0.5, grade = "derived", prior = ["uniform", 0.1, 0.9] }
baseline_sd = { value = 6, grade = "recalled" }

[[findings]]
id = "contrast"
kind = "contrast"
arms = ["drug", "placebo"]
time = "24 h"
value = -7.7
se = 2.5
n = [20, 18]
grade = "derived"
grades = { n = "read" }
source = "someone_2020"
"""


def claims_of(folder: Path, text: str) -> tuple[Claim, ...]:
    path = folder / "claims.toml"
    path.write_text(text, encoding="utf-8")
    return read_claims(path)


def study_of(folder: Path, text: str) -> Study:
    path = folder / "someone_2020.toml"
    path.write_text(text, encoding="utf-8")
    return read_study(path)


@pytest.mark.parametrize("path", CLAIM_FILES, ids=lambda p: p.parent.name)
def test_every_shipped_claim_loads(path: Path) -> None:
    claims = read_claims(path)
    assert claims
    for claim in claims:
        assert claim.statement.endswith(".")
        assert len(claim.conditions) == (3 if claim.measure == "share" else 2)
        assert (claim.at is None) != (claim.within is None)


def test_every_statement_of_the_source_that_a_claim_can_hold_has_one() -> None:
    tags = {tag for path in CLAIM_FILES for claim in read_claims(path) for tag in claim.tags}
    assert tags >= {f"S{i}" for i in range(1, 11)}
    shared = {tag for claim in read_claims(CASE / "claims.toml") for tag in claim.tags}
    assert shared >= {f"S{i}" for i in range(1, 9)}


@pytest.mark.parametrize("path", STUDY_FILES, ids=lambda p: p.stem)
def test_every_shipped_study_loads(path: Path) -> None:
    study = read_study(path)
    assert study.findings or not study.weighed
    for finding in study.findings:
        assert finding.grades or finding.kind == "none_different", finding.id
        assert all(study.design.arm(name) for name in finding.arms)
    assert any(finding.primary for finding in study.findings) == study.weighed
    if study.weighed and study.is_human:  # outcomes of the same people: one is scored, unless the arms differ
        arms = [finding.arms for finding in study.findings if finding.primary]
        assert len(set(arms)) == len(arms)


def test_sources_of_claims_and_studies_stand_in_the_bibliography() -> None:
    known = set(re.findall(r"^@\w+\{(\w+),", (CASE / "references.bib").read_text(encoding="utf-8"), re.MULTILINE))
    used = {claim.source for path in CLAIM_FILES for claim in read_claims(path)}
    for study in map(read_study, STUDY_FILES):
        used |= {study.reference, *(finding.source for finding in study.findings)}
    assert used
    assert used <= known


def test_the_hypothesis_is_never_a_study() -> None:
    references = {study.reference for study in map(read_study, STUDY_FILES)}
    assert references
    assert not references & {"hopkins_2019", "wang_kaplin_2019", "sanacora_2019"}


def test_every_listed_study_has_a_file_and_no_other_has() -> None:
    assert sorted(LISTED) == [path.stem for path in STUDY_FILES]


# Standard errors as the evidence derives them, from a 95 % interval, an 80 % interval or an exact p.
DERIVED = [
    ("forward_45_2018", "forward_5_madrs6", 0.63),
    ("forward_45_2018", "forward_5_madrs10", 0.85),
    ("forward_45_2018", "forward_4", 1.12),
    ("forward_45_2018", "pooled", 0.70),
    ("fava_2016", "hamd_4wk", 1.15),
    ("fava_2016", "madrs_4wk", 1.68),
    ("yovell_2016", "ssi_2wk", 2.12),
    ("yovell_2016", "ssi_4wk", 2.47),
    ("newport_2015", "response_24h", 0.42),
    ("newport_2015", "remission_24h", 0.86),
    ("transform_2_2019", "difference_28d", 1.69),
    ("transform_2_2019", "difference_24h", 1.25),
    ("sustain_1_2019", "relapse_remitters", 0.27),
    ("sustain_1_2019", "relapse_responders", 0.315),
    ("preskorn_2008", "difference_5d", 3.04),
    ("nagele_2015", "difference_2h", 1.53),
    ("nagele_2015", "difference_24h", 1.53),
]


@pytest.mark.parametrize(("study", "finding", "error"), DERIVED)
def test_a_standard_error_is_the_one_derived_by_hand(study: str, finding: str, error: float) -> None:
    found = read_study(CASE / "studies" / f"{study}.toml").finding(finding)
    assert found.se == pytest.approx(error, abs=0.007)
    assert found.interval is not None or found.p is not None
    assert found.grades["se"] == ("read" if finding == "difference_28d" else "derived")


def test_a_standard_error_gives_back_its_interval_and_its_p() -> None:
    normal = NormalDist()
    for level in (0.8, 0.95):
        half = normal.inv_cdf((1 + level) / 2) * 1.3
        assert standard_error("contrast", 2.0, (2 - half, 2 + half), level) == pytest.approx(1.3)
        ends = (4 * math.exp(-half), 4 * math.exp(half))
        assert standard_error("odds_ratio", 4.0, ends, level) == pytest.approx(1.3)
    p = 2 * (1 - normal.cdf(1.8 / 0.7))
    assert standard_error("contrast", -1.8, p=p) == pytest.approx(0.7)
    assert standard_error("contrast", -1.8) is None


def test_animals_are_asked_for_signs_and_what_is_not_weighed_says_why() -> None:
    studies = [read_study(path) for path in STUDY_FILES]
    animals = [study for study in studies if not study.is_human]
    assert {study.species for study in animals} == {"rat", "mouse", "rat cells"}
    assert all(f.value is None and f.sign != 0 for study in animals for f in study.findings)
    assert {study.id for study in studies if not study.weighed} == {
        "williams_2019", "fujita_2012", "rabiner_2011", "lee_1988", "cfn_pet_2005", "hirota_1999", "levinstein_2023",
        "bonaventura_2022", "newport_2015", "sustain_1_2019", "taylor_2006", "posternak_2005",
    }  # fmt: skip
    assert all(study.reason for study in studies if not study.weighed)


def test_murrough_agrees_with_its_own_statistics() -> None:
    study = read_study(CASE / "studies" / "murrough_2013.toml")
    contrast = study.finding("change_24h")
    assert contrast.calibrates
    ketamine, midazolam = study.finding("change_ketamine_24h"), study.finding("change_midazolam_24h")
    assert (ketamine.value, midazolam.value) == (-16.5, -8.8)
    assert contrast.value == pytest.approx(-16.5 + 8.8)
    assert contrast.sd == pytest.approx((16.5 * 47**0.5 / 10.31, 8.8 * 25**0.5 / 4.63), abs=0.01)
    assert contrast.se == pytest.approx((contrast.sd[0] ** 2 / 47 + contrast.sd[1] ** 2 / 25) ** 0.5, abs=0.01)
    assert contrast.se == pytest.approx(7.7 / 9.62**0.5, abs=0.01)
    assert contrast.grades["value"] == "derived"
    assert contrast.grades["n"] == "read"


def test_williams_holds_no_invented_number() -> None:
    study = read_study(CASE / "studies" / "williams_2018.toml")
    assert study.design.washout == 720
    assert all(f.value is None and f.se is None and not f.sd for f in study.findings)
    responders = study.finding("responders_24h")
    assert (responders.k, responders.n, responders.arms) == (7, (12,), ("placebo_ketamine",))
    assert {f.sign for f in study.findings if f.kind == "direction"} == {1}
    assert "score_baseline" not in study.trial.values


def test_a_claim_becomes_a_record(tmp_path: Path) -> None:
    (claim,) = claims_of(tmp_path, CLAIM)
    assert claim.given == Condition("naltrexone 50 mg po at -45 min")
    assert claim.conditions == (claim.given, Condition())
    assert (claim.at, claim.within, claim.measure, claim.relation, claim.margin) == (2.0, None, "ratio", "falls", 0.1)
    assert len({claim.given, Condition("naltrexone 50 mg po at -45 min")}) == 1  # conditions serve as keys


def test_a_window_and_probes_become_a_record(tmp_path: Path) -> None:
    given = '{ probes = [{ parameter = "opioid_tone", scale = 0.5, from = "-1 h", until = "30 min" }] }'
    text = CLAIM.replace('"naltrexone 50 mg po at -45 min"', given)
    text = text.replace('at = "2 h"', 'within = ["0 h", "1 d"]\nstatistic = "max"')
    (claim,) = claims_of(tmp_path, text)
    assert (claim.at, claim.within, claim.statistic) == (None, (0.0, 24.0), "max")
    assert claim.given.probes == (Probe("opioid_tone", scale=0.5, start=-1.0, until=0.5),)
    assert claim.given.probes[0].is_timed


def test_probes_set_or_scale() -> None:
    rest = np.array([[1.0, 2.0], [3.0, 4.0]])
    np.testing.assert_array_equal(Probe("x", set=0.0).applied(rest), np.zeros((2, 2)))
    np.testing.assert_array_equal(Probe("x", scale=0.0).applied(rest), np.zeros((2, 2)))
    np.testing.assert_array_equal(Probe("x", scale=3.0).applied(rest), 3 * rest)
    assert not Probe("x", set=1.0).is_timed
    assert Probe("x", set=1.0, until=2.0).is_timed


CLAIM_FAULTS = [  # what is written instead of what, and what the message must say
    ('output = "mtorc1_relative"', 'outptu = "mtorc1_relative"', 'unknown key "outptu"; did you mean "output"?'),
    ('output = "mtorc1_relative"\n', "", "key output is missing"),
    ('relation = "falls"', 'relation = "fals"', 'key relation: unknown word "fals"; did you mean "falls"?'),
    ('measure = "ratio"', 'measure = "ration"', 'key measure: unknown word "ration"; did you mean "ratio"?'),
    ('at = "2 h"', 'at = "2 hurs"', "key at: "),
    ('at = "2 h"', "at = 2", 'key at: a time is text with a unit, such as "24 h"'),
    ('at = "2 h"\n', "", "key at: a claim is read either at a moment"),
    ('at = "2 h"', 'within = ["0 h", "2 h"]', "key statistic: within needs a statistic"),
    ('at = "2 h"', 'at = "2 h"\nstatistic = "max"', "key statistic: "),
    ('at = "2 h"', 'within = ["2 h", "0 h"]\nstatistic = "max"', "key within: "),
    ('measure = "ratio"', 'measure = "share"', "key reference: "),
    ('relation = "falls"', 'relation = "at_most"', "key value: at_least and at_most need a value"),
    ("margin = 0.1", "margin = -0.1", "key margin: "),
    ('relation = "falls"\nmargin = 0.1', 'relation = "stays"', "key margin: "),
    ("naltrexone 50 mg po at -45 min", "naltrexone 50 mg", "key given.regimen: "),
    ('"naltrexone 50 mg po at -45 min"', '{ probes = [{ parameter = "x" }] }', "needs one of set, scale and by"),
    ('"naltrexone 50 mg po at -45 min"', "{ probes = [{ set = 1.0 }] }", "either a parameter or the name"),
    ('"naltrexone 50 mg po at -45 min"', '{ probes = [{ name = "x", set = 1.0 }] }', "spelled out in case.toml"),
    (
        '"naltrexone 50 mg po at -45 min"',
        '{ probes = [{ parameter = "x", set = 1, from = "2 h", until = "1 h" }] }',
        "ends before it begins",
    ),
    ('"naltrexone 50 mg po at -45 min"', '{ regimne = "no drug" }', 'did you mean "regimen"?'),
]


@pytest.mark.parametrize(("right", "wrong", "message"), CLAIM_FAULTS, ids=lambda text: text[:30])
def test_a_wrong_claim_says_where_and_what(tmp_path: Path, right: str, wrong: str, message: str) -> None:
    assert right in CLAIM
    with pytest.raises(ClaimError) as caught:
        claims_of(tmp_path, CLAIM.replace(right, wrong))
    assert str(caught.value).startswith(f'{tmp_path / "claims.toml"}, claim "s4_mtorc1"')
    assert message in str(caught.value)


def test_faults_of_a_whole_claims_file(tmp_path: Path) -> None:
    with pytest.raises(ClaimError, match="another claim has the same id"):
        claims_of(tmp_path, CLAIM + CLAIM)
    with pytest.raises(ClaimError, match=r"not valid TOML: .*line 3"):
        claims_of(tmp_path, "\n[[claims]]\nid = oops\n")
    with pytest.raises(ClaimError, match='unknown key "claim"; did you mean "claims"'):
        claims_of(tmp_path, CLAIM.replace("[[claims]]", "[[claim]]"))
    with pytest.raises(ClaimError, match="cannot be read"):
        read_claims(tmp_path / "nowhere.toml")


def test_a_study_becomes_a_record(tmp_path: Path) -> None:
    study = study_of(tmp_path, STUDY)
    assert (study.id, study.date, study.design.kind, study.design.washout) == (
        "someone_2020",
        "2020-05",
        "crossover",
        336,
    )
    assert study.design.sequences == (("drug", "placebo"), ("placebo", "drug"))
    placebo = study.design.arm("placebo")
    assert (placebo.n, placebo.comparator_cue, placebo.cue_grade) == (18, 0.25, "assumed")
    assert study.trial.values == {"score_max": 60, "placebo_size": 0.5}
    assert study.trial.priors == {"placebo_size": Prior("uniform", (0.1, 0.9))}
    assert study.trial.baseline_sd is not None
    assert study.trial.baseline_sd.value == 6
    finding = study.finding("contrast")
    assert (finding.time, finding.value, finding.se, finding.sd, finding.k) == (24.0, -7.7, 2.5, (), None)
    assert dict(finding.grades) == {"value": "derived", "se": "derived", "n": "read"}


def test_a_near_miss_of_an_arm_or_a_finding(tmp_path: Path) -> None:
    study = study_of(tmp_path, STUDY)
    with pytest.raises(StudyError, match='no arm "placbo"; did you mean "placebo"'):
        study.design.arm("placbo")
    with pytest.raises(StudyError, match='no finding "contrst"; did you mean "contrast"'):
        study.finding("contrst")


STUDY_FAULTS = [
    ('role = "discriminating"', 'role = "discriminate"', 'key role: unknown word "discriminate"; did you mean'),
    ('date = "2020-05"', 'date = "May 2020"', "key date: "),
    ('kind = "crossover"', 'kind = "paralel"', 'key design.kind: unknown word "paralel"; did you mean "parallel"?'),
    ('kind = "crossover"', 'kind = "parallel"', "key design: sequences and washout belong to a crossover"),
    ('[["drug", "placebo"]', '[["drug", "plcebo"]', 'key design.sequences: no arm "plcebo"; did you mean "placebo"?'),
    ('id = "placebo"', 'id = "drug"', ', arm "drug", key id: stands there twice'),
    ("n = 18", "m = 18", ', arm "placebo": unknown key "m"'),
    ("n = 18", "n = 0", ', arm "placebo", key n: '),
    ("comparator_cue = 0.25", "comparator_cue = 2", ', arm "placebo", key comparator_cue: '),
    ("iv over 40 min", "iv ovr 40 min", ', arm "drug", key regimen: '),
    ('scale = "MADRS"\n', "", "key trial.scale: missing"),
    ('{ value = 60, grade = "recalled" }', "60", "key trial.score_max: a number of a trial carries its grade"),
    ('{ value = 60, grade = "recalled" }', '{ value = 60, grade = "recaled" }', 'did you mean "recalled"?'),
    ('["uniform", 0.1, 0.9]', '["uniform", 0.9, 0.1]', "key trial.placebo_size.prior: "),
    ('arms = ["drug", "placebo"]', 'arms = ["drug", "placeb"]', 'key arms: no arm "placeb"; did you mean "placebo"?'),
    ('arms = ["drug", "placebo"]', 'arms = ["drug"]', ', finding "contrast", key arms: '),
    ("value = -7.7\n", "", ', finding "contrast", key value: '),
    ("se = 2.5", "se = -2.5", ', finding "contrast", key se: '),
    ('grade = "derived"\ngrades', 'grade = "guessed"\ngrades', 'unknown word "guessed"'),
    ('grades = { n = "read" }', 'grades = { sd = "read" }', 'there is no number "sd" to grade'),
    ("n = [20, 18]", "n = [20]", ', finding "contrast", key n: 1 numbers for 2 arms'),
    ('time = "24 h"\n', "", ', finding "contrast", key time: '),
    ('kind = "contrast"', 'kind = "direction"', ', finding "contrast", key sign: '),
    ("se = 2.5", "se = 2.5\ninterval = [-9, -6]", ", key se: the interval or p beside it gives 0.765"),
    ("se = 2.5", "interval = [-6, -9]", ", key interval: it has a lower, then an upper end"),
    ("se = 2.5", "interval = [-6, -5]", ", key interval: it must hold the value"),
    ("se = 2.5", "interval = [-9, -6]\np = 0.03", ", key p: an exact p stands in for an interval"),
    ("se = 2.5", "margin = 3", ", key margin: only no difference"),
    ("se = 2.5", "cutoff = 10", ", key threshold: threshold and cutoff belong to responders"),
    ('kind = "contrast"', 'kind = "none_different"', ", key margin: no difference in a score needs the points"),
    ('kind = "contrast"', 'kind = "value"', ", key arms: a finding of kind value concerns 1 arm"),
    ('kind = "contrast"', 'kind = "odds_ratio"', ", key threshold: responders need the fall that counts"),
    (
        'kind = "contrast"',
        'kind = "odds_ratio"\ncutoff = 10\noutput = "camp"',
        ", key output: responders are counted on",
    ),
    ('kind = "contrast"', 'kind = "odds_ratio"\ncutoff = 10', ", key value: a ratio is above 0"),
    ('kind = "crossover"', 'kind = "sequential"\nvisits = ["7 d", "24 h"]', "key design.visits: each visit is later"),
    ('role = "discriminating"', 'role = "discriminating"\nspecies = 3', "key species: "),
    ('grades = { n = "read" }', 'grades = { within = "assumed" }', 'there is no number "within" to grade'),
    ('kind = "contrast"', 'kind = "contrasts"', 'unknown word "contrasts"; did you mean "contrast"?'),
]


@pytest.mark.parametrize(("right", "wrong", "message"), STUDY_FAULTS, ids=lambda text: text[:30])
def test_a_wrong_study_says_where_and_what(tmp_path: Path, right: str, wrong: str, message: str) -> None:
    assert right in STUDY
    with pytest.raises(StudyError) as caught:
        study_of(tmp_path, STUDY.replace(right, wrong))
    assert str(caught.value).startswith(str(tmp_path / "someone_2020.toml"))
    assert message in str(caught.value)


def test_a_responder_count_needs_its_people(tmp_path: Path) -> None:
    finding = 'id = "responders"\nkind = "responders"\narms = ["drug"]\ntime = "24 h"\ngrade = "read"\nsource = "x"\n'
    head = STUDY[: STUDY.index("[[findings]]")] + "[[findings]]\n" + finding
    assert study_of(tmp_path, head + "k = 7\nn = [12]\nthreshold = 0.5\n").findings[0].k == 7
    assert study_of(tmp_path, head + "share = 0.7\nthreshold = 0.5\n").findings[0].k is None
    for numbers, message in (
        ("k = 7\nn = [12]\n", "key threshold"),
        ("k = 7\nthreshold = 0.5\n", "key k: responders need"),
        ("k = 13\nn = [12]\nthreshold = 0.5\n", "13 of 12 responded"),
    ):
        with pytest.raises(StudyError, match=message):
            study_of(tmp_path, head + numbers)


def test_remission_is_a_cutoff_and_a_ratio_of_hazards_needs_no_time(tmp_path: Path) -> None:
    head = STUDY[: STUDY.index("[[findings]]")]
    body = '[[findings]]\nid = "a"\narms = {}\ngrade = "read"\nsource = "x"\n'
    remission = body.format('["drug"]') + 'kind = "responders"\ntime = "24 h"\ncutoff = 10\nshare = 0.3\n'
    assert study_of(tmp_path, head + remission).findings[0].cutoff == 10
    with pytest.raises(StudyError, match="cutoff = 10"):
        study_of(tmp_path, head + remission + "threshold = 0.5\n")
    hazard = body.format('["drug", "placebo"]') + 'kind = "hazard_ratio"\nvalue = 0.49\ninterval = [0.29, 0.84]\n'
    found = study_of(tmp_path, head + hazard).findings[0]
    assert found.time is None
    assert found.se == pytest.approx(0.271, abs=5e-4)


def test_a_time_is_graded_where_the_file_says_so(tmp_path: Path) -> None:
    text = STUDY.replace('grades = { n = "read" }', 'grades = { time = "assumed" }')
    assert study_of(tmp_path, text).findings[0].grades["time"] == "assumed"
    assert "time" not in study_of(tmp_path, STUDY).findings[0].grades


def test_a_sequential_design_has_stages_and_visits(tmp_path: Path) -> None:
    text = STUDY.replace('kind = "crossover"', 'kind = "sequential"\nvisits = ["7 d", "28 d"]')
    design = study_of(tmp_path, text).design
    assert design.visits == (168.0, 672.0)
    assert design.washout == 336
    with pytest.raises(StudyError, match="a sequential design names its stages"):
        study_of(tmp_path, text.replace('[["drug", "placebo"], ["placebo", "drug"]]', '[["drug"], ["placebo"]]'))


def test_only_what_is_not_weighed_may_have_no_findings(tmp_path: Path) -> None:
    head = STUDY[: STUDY.index("[[findings]]")]
    with pytest.raises(StudyError, match="key findings: a study without findings cannot be weighed"):
        study_of(tmp_path, head)
    text = head.replace('role = "disc', 'weighed = false\nreason = "background"\nrole = "disc')
    assert study_of(tmp_path, text).findings == ()
