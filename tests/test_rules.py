"""The table of rules: it loads, a slip is refused by file and key, and stated priors over rivals are probabilities."""

from __future__ import annotations

import shutil
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from antagony.case import Case, open_case
from antagony.errors import CaseError, StudyError
from antagony.parameters import GRADES
from antagony.rules import RivalPrior, Rules, read_rules

TOPS = {"HAM-D17": 52.0}
NAMES: dict[str, tuple[str, ...]] = {
    "classes": ("i", "ii", "iii", "iv", "v"),
    "outputs": ("score", "drug_effect", "mtorc1"),
    "parameters": ("placebo_size", "placebo_time", "score_baseline", "mtorc1_rest"),
}


def packaged(case: Case) -> str:
    return (case.folder / "weighing.toml").read_text(encoding="utf-8")


def planted(case: Case, folder: Path, old: str, new: str) -> Path:
    """The packaged file with one fault; the text to be replaced must be there once."""
    text = packaged(case)
    assert text.count(old) == 1, old
    path = folder / "weighing.toml"
    path.write_text(text.replace(old, new), encoding="utf-8")
    return path


def rules_of(case: Case) -> Rules:
    assert case.rules is not None
    return case.rules


def rivals(case: Case) -> dict[str, str]:
    return {slug: wiring.group for slug, wiring in case.wirings.items() if not wiring.reference}


def test_the_packaged_rules_hold_what_the_file_says(case: Case) -> None:
    rules, table = rules_of(case), tomllib.loads(packaged(case))
    assert rules.reference_top == case.scales[table["reference_scale"]].top
    assert rules.trial_sd == table["trial_effect"]["sd"]["value"]
    assert rules.correlation == table["outcomes"]["correlation"]["value"]
    assert rules.patients == table["unpublished"]["patients"]["value"]
    assert rules.responder_correlation == table["responders"]["correlation"]["value"]
    assert rules.responder_correlation_single == table["responders"]["correlation_single"]["value"]
    assert rules.contrast_sd == table["unexplained"]["contrast_sd"]["value"]
    assert rules.logit_sd == table["unexplained"]["logit_sd"]["value"]
    assert rules.published_share == table["publication"]["share"]["value"]
    assert rules.points == {name: row["points"] for name, row in table["outputs"].items()}
    assert [p.name for p in rules.priors] == list(table["priors"])
    for grade in GRADES:
        stated = table["doubt"].get(grade, {"error": 1, "reversal": 0})
        assert (rules.doubt(grade).error, rules.doubt(grade).reversal) == (stated["error"], stated["reversal"])


def test_assumed_rules_are_counted_as_the_file_grades_them(case: Case) -> None:
    """Both numbers of every row of doubt are judgement; so is each size whose grade says so."""
    text = packaged(case)
    assert rules_of(case).assumed == text.count('grade = "assumed"') + 2 * text.count("[doubt.")


def test_a_worse_grade_is_never_doubted_less(case: Case) -> None:
    order = ("read", "derived", "secondary", "recalled", "constructed", "assumed")
    doubts = [rules_of(case).doubt(grade) for grade in order]
    assert [d.error for d in doubts] == sorted(d.error for d in doubts)
    assert [d.reversal for d in doubts] == sorted(d.reversal for d in doubts)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("[doubt.recalled]\nerror = 1.5\nreversal = 0.05\n", "", ["doubt", "recalled"]),
        ("correlation = { value = 0.7,", "correlation = { value = 1,", ["outcomes.correlation", "less than 1"]),
        ('reference_scale = "HAM-D17"', 'reference_scale = "HAM-D71"', ["reference_scale", "HAM-D71"]),
        ("sd = { value = 2,", "sd = { value = -2,", ["trial_effect.sd", "greater than 0"]),
        ("sd = { value = 2,", "sd = { value = inf,", ["trial_effect.sd", "finite"]),
        ("change_log_sd = {", "change_log_ds = {", ['unknown key "unpublished.change_log_ds"', "change_log_sd"]),
        ("per_trial = [", "per_trail = [", ['unknown key "per_trail"', "per_trial"]),
        ("[publication]\nshare = {", "[publication]\nshaer = {", ['unknown key "publication.shaer"', "share"]),
        ("[doubt.secondary]\nerror = 1.25\n", "[doubt.secondary]\nerror = 0.9\n", ["doubt.secondary.error"]),
        ("[doubt.recalled]\nerror = 1.5\nreversal = 0.05", "[doubt.recalled]\nerror = 1.5\nreversal = 0.5",
         ["doubt.recalled.reversal"]),
        ("sweep = [0.4, 0.9]", "sweep = [0.4, 1.0]", ["outcomes.sweep"]),
        ("sweep = [1, 4]", "sweep = [0, 4]", ["trial_effect.sweep"]),
        ('patients = { value = 30, grade = "assumed"', 'patients = { value = 30, grade = "asumed"',
         ["unpublished.patients.grade", "asumed", "assumed"]),
        ('patients = { value = 30, grade = "assumed"', "patients = { value = 30", ["unpublished.patients.grade"]),
        ("drug_effect = { points = 13,", "drug_effect = { points = 0,", ["outputs.drug_effect.points"]),
        ('by = "mechanism"', 'by = "mecanism"', ["priors.by_mechanism.by"]),
        ("i = 0.125, ii", "i = -0.125, ii", ["priors.by_need.weights.i"]),
        ("[responders]", "[responders", ["not valid TOML"]),
    ],
)  # fmt: skip
def test_a_planted_fault_is_refused_by_file_and_key(
    case: Case, tmp_path: Path, old: str, new: str, words: list[str]
) -> None:
    path = planted(case, tmp_path, old, new)
    with pytest.raises(StudyError) as told:
        read_rules(path, TOPS, **NAMES)
    for word in (str(path), *words):
        assert word in str(told.value)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("correlation = { value = 0.02,", "correlation = { value = 1.0,"),  # beta-binomial with a + b = 0
        ("crossover_correlation = { value = 0.5", "crossover_correlation = { value = 1.5"),  # root of a negative
        ("significance = { value = 0.05", "significance = { value = 2"),  # no such quantile
        ("share = { value = 0.25", "share = { value = 4"),  # null results published more often
        ("patients = { value = 30", "patients = { value = 0.4"),  # none at all
        ("weights = { i = 0.125", "weights = { vi = 0.125"),  # no such class: its share is lost in silence
        ("drug_effect = {", "drug_efect = {"),  # no such output: its findings are not scored, in silence
        ('per_trial = ["placebo_size"', 'per_trial = ["placebo_syze"'),  # no such parameter: taken as fixed, in silence
    ],
)
def test_a_size_or_a_name_that_cannot_be_is_refused(case: Case, tmp_path: Path, old: str, new: str) -> None:
    """By the rules alone or, for a name, when the case is opened."""
    folder = tmp_path / "case"
    shutil.copytree(case.folder, folder)
    planted(case, folder, old, new)
    with pytest.raises(CaseError):
        open_case(folder)


def test_a_file_without_priors_is_refused(case: Case, tmp_path: Path) -> None:
    path = tmp_path / "weighing.toml"
    path.write_text(packaged(case).split("[priors.by_class]")[0], encoding="utf-8")
    with pytest.raises(StudyError, match="priors"):
        read_rules(path, TOPS, **NAMES)


def test_an_unharmed_copy_is_read_as_the_original(case: Case, tmp_path: Path) -> None:
    """So that the planted faults fail for their fault and nothing else."""
    path = tmp_path / "weighing.toml"
    path.write_text(packaged(case), encoding="utf-8")
    assert read_rules(path, TOPS, **NAMES) == case.rules


@pytest.mark.parametrize("name", ["by_class", "by_mechanism", "by_need"])
def test_a_stated_prior_shares_out_all_of_one(case: Case, name: str) -> None:
    prior = next(p for p in rules_of(case).priors if p.name == name)
    shares = prior.shares(rivals(case))
    assert shares.keys() == rivals(case).keys()
    assert min(shares.values()) > 0
    assert sum(shares.values()) == pytest.approx(1, abs=1e-12)


def test_every_stated_prior_is_tested(case: Case) -> None:
    assert {p.name for p in rules_of(case).priors} == {"by_class", "by_mechanism", "by_need"}


@pytest.mark.parametrize("leave", ["", "ii", "iv"])
def test_classes_share_as_stated_and_mechanisms_within_a_class_equally(case: Case, leave: str) -> None:
    """Also where a class is not weighed: the others keep their proportions."""
    groups = {slug: group for slug, group in rivals(case).items() if group != leave}
    size = Counter(groups.values())
    for prior in rules_of(case).priors:
        if prior.by != "class":
            continue
        shares = prior.shares(groups)
        stated = {group: prior.weights[group] if prior.weights else 1.0 for group in size}
        for slug, group in groups.items():
            assert shares[slug] == pytest.approx(stated[group] / sum(stated.values()) / size[group], rel=1e-12)


def test_by_mechanism_is_blind_to_classes() -> None:
    shares = RivalPrior("", "", "mechanism", {}).shares({"a": "i", "b": "i", "c": "ii", "d": "iii"})
    assert set(shares.values()) == {0.25}


def test_a_class_without_a_stated_weight_has_none() -> None:
    shares = RivalPrior("", "", "class", {"i": 1.0, "ii": 3.0}).shares({"a": "i", "b": "ii", "c": "iii"})
    assert shares == {"a": 0.25, "b": 0.75, "c": 0.0}
