"""Claims over draws: shared work changes no answer, chronic regimens say their draws, parting is the textbook's."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import ks_2samp

from antagony.calibration import Calibrated, calibrate, calibrate_prior
from antagony.case import Case
from antagony.claim import Claim
from antagony.claims import CHRONIC_DRAWS, _Separator, check_claims, claim_models, is_chronic
from antagony.condition import Condition, Probe
from antagony.population import NOMINAL, Draws, draw_parameters

KETAMINE = Condition("ketamine 0.5 mg/kg iv over 40 min")


def claim(**changes: object) -> Claim:
    plain = Claim(
        id="falls", statement="The score falls by three points or more.", source="assumed", given=KETAMINE,
        versus=Condition(), reference=None, output="score", at=24.0, within=None, statistic="last",
        measure="difference", relation="falls", margin=3.0, value=None,
    )  # fmt: skip
    return replace(plain, **changes)


def timed(parameter: str, until: float) -> Condition:
    return Condition(KETAMINE.regimen, (Probe(parameter, set=0.2, start=0.0, until=until),))


def test_nominal_values_and_draws_are_calibrated_together_as_they_are_apart(case: Case) -> None:
    together = calibrate_prior(case, "camp_crosstalk", 40, seed=5)
    nominal = calibrate(case, "camp_crosstalk", NOMINAL)
    sampled = calibrate(case, "camp_crosstalk", draw_parameters(case.parameters("camp_crosstalk").values(), 40, seed=5))
    name = nominal.parameter
    assert together.nominal.draws.values[name].tolist() == nominal.draws.values[name].tolist()
    assert together.sampled.draws.values[name].tolist() == sampled.draws.values[name].tolist()
    assert together.sampled.reached.tolist() == sampled.reached.tolist()
    assert (together.nominal.draws.seed, together.sampled.draws.seed) == (None, 5)


def test_a_claim_asked_alone_gets_the_answer_it_gets_among_all(case: Case) -> None:
    asked = (*case.claims, *case.own_claims["opioid_release"])
    among = {r.claim.id: r for r in check_claims(case, "opioid_release", asked, draws=60)}
    for one in asked[::7]:
        if not one.only_for:
            assert check_claims(case, "opioid_release", [one], draws=60) == (among[one.id],)


@pytest.mark.parametrize("cores", [1, 3])
def test_the_number_of_threads_changes_no_bit(case: Case, cores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = case.claims[:8]
    usual = check_claims(case, "camp_crosstalk", asked, draws=600)
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    assert check_claims(case, "camp_crosstalk", asked, draws=600) == usual


def test_a_chronic_regimen_is_judged_over_fewer_draws_and_says_so(case: Case) -> None:
    """The draws are the first ones, so a run over just as many gives the same share."""
    daily, week = (Condition(f"escitalopram 10 mg po every 24 h x {n}") for n in (9, 7))
    chronic, short = claim(id="chronic", given=daily, margin=0.5, at=216.0), claim(id="short", given=week, at=168.0)
    assert (is_chronic(case, chronic), is_chronic(case, short)) == (True, False)
    many = {r.claim.id: r for r in check_claims(case, "none", [chronic, short], draws=CHRONIC_DRAWS + 50)}
    assert (many["chronic"].draws, many["short"].draws) == (CHRONIC_DRAWS, CHRONIC_DRAWS + 50)
    (few,) = check_claims(case, "none", [chronic], draws=CHRONIC_DRAWS)
    assert (few.share, few.measured) == (many["chronic"].share, many["chronic"].measured)
    assert 0 < few.share < 1


def test_timed_probes_need_no_kernel_of_their_own(case: Case) -> None:
    """Whatever any claim, arm or period changes for a while is an input of every model of the case."""
    first = claim(id="first", given=timed("nmda_imposed_block", 1.0))
    second = claim(id="second", given=timed("opioid_tone", 2.0))
    probed = replace(case, claims=(first, second), _composed={})
    assert probed.timed >= {"nmda_imposed_block", "opioid_tone", "trial_start", "comparator_cue"}
    (model,) = claim_models(probed, "camp_crosstalk", (first, second, claim(id="plain")))
    assert set(model.inputs) >= probed.timed
    shared, own = (check_claims(some, "camp_crosstalk", [first], draws=16)[0] for some in (probed, case))
    assert shared.measured == pytest.approx(own.measured, rel=1e-6)


def test_what_parts_draws_is_the_kolmogorov_smirnov_distance() -> None:
    """Ties included; the same parameters, order and distances as scipy's test one by one."""
    rng = np.random.default_rng(1)
    values = {name: rng.normal(size=400) for name in "abcd"} | {"tied": rng.integers(0, 4, 400).astype(float)}
    values["scale"] = values["a"].copy()  # the solved parameter is left out
    holding = values["a"] + 0.7 * values["tied"] + rng.normal(size=400) > 1
    draws = Draws(400, 1, values)
    everywhere = np.ones(400, dtype=bool)
    found = _Separator(Calibrated(draws, "scale", 0.0, everywhere, ~everywhere, np.zeros(400))).separate(holding)
    tests: dict[str, Any] = {
        n: ks_2samp(v[holding], v[~holding], method="asymp") for n, v in values.items() if n != "scale"
    }
    wanted = sorted((n for n, t in tests.items() if t.pvalue < 1e-3), key=lambda n: -tests[n].statistic)[:3]
    assert len(wanted) == 2
    assert [s.parameter for s in found] == wanted
    assert [s.distance for s in found] == [tests[n].statistic for n in wanted]
    assert all(s.higher_holds for s in found)


def test_a_mechanism_that_cannot_be_calibrated_says_so_where_it_matters(case: Case) -> None:
    study = case.studies["murrough_2013"]
    wild = replace(study, findings=tuple(replace(f, value=-40.0) if f.calibrates else f for f in study.findings))
    other = replace(case, studies={**case.studies, "murrough_2013": wild}, _composed=case._composed, nominals={})
    asked = [claim(), claim(id="block", output="nmda_block", relation="rises", margin=0.01, at=1.0)]
    score, block = check_claims(other, "camp_crosstalk", asked, draws=8)
    assert (score.uncalibrated, score.holds, score.share) == (True, False, 0.0)
    assert (block.uncalibrated, block.holds) == (False, True)
