"""One call, many arms: the same numbers whatever the batch; doses, probes and steady states as written."""

from __future__ import annotations

import numpy as np
import pytest

from antagony.case import Case
from antagony.condition import Probe
from antagony.errors import SimulationError
from antagony.population import Population, draw_parameters, sample_population
from antagony.readout import late_parameters
from antagony.simulation import Arm, Tolerances, simulate, snapshot

KETAMINE = "ketamine 0.5 mg/kg iv over 40 min"
BOTH = f"naltrexone 50 mg po at -45 min; {KETAMINE}"
TIMES = [0.0, 0.5, 1.0, 2.0, 24.0]


def test_an_absent_drug_is_the_same_as_dose_zero(case: Case) -> None:
    """A model composed with every drug answers for ketamine alone as the smaller model does."""
    arm = {"arm": Arm(case.regimen(KETAMINE))}
    small = simulate(case.mechanism("camp_crosstalk", ["ketamine"]), arm, TIMES, outputs=["mtorc1", "score"])
    large = simulate(case.mechanism("camp_crosstalk", case.dosable), arm, TIMES, outputs=["mtorc1", "score"])
    for name in small:
        np.testing.assert_allclose(large[name], small[name], rtol=1e-5)


def test_bits_do_not_depend_on_threads_or_on_which_arms_run_together(case: Case) -> None:
    mechanism = case.mechanism("camp_crosstalk", ["ketamine", "naltrexone"])
    people = sample_population(mechanism.parameters.values(), 40, seed=3)
    draws = draw_parameters(mechanism.parameters.values(), 9, seed=4)
    arms = {"alone": Arm(case.regimen(KETAMINE)), "both": Arm(case.regimen(BOTH))}
    settings = {"population": people, "draws": draws, "outputs": ["score"]}
    one = simulate(mechanism, arms, TIMES, threads=1, **settings)
    two = simulate(mechanism, arms, TIMES, threads=2, **settings)
    np.testing.assert_array_equal(one["score"], two["score"])
    single = simulate(mechanism, {"both": arms["both"]}, TIMES, **settings)
    np.testing.assert_array_equal(single["score"].sel(arm="both"), one["score"].sel(arm="both"))
    again = simulate(mechanism, arms, TIMES, threads=1, **settings)
    np.testing.assert_array_equal(one["score"], again["score"])


def test_axes_are_named_and_units_attached(case: Case) -> None:
    mechanism = case.mechanism("none", ["ketamine"])
    draws = draw_parameters(mechanism.parameters.values(), 3, seed=1)
    people = sample_population(mechanism.parameters.values(), 5, seed=1)
    run = simulate(mechanism, {"k": case.regimen(KETAMINE)}, TIMES, draws=draws, population=people)
    assert dict(run.sizes) == {"arm": 1, "draw": 3, "subject": 5, "time": 5}
    assert run["ketamine_plasma"].attrs["units"] == "nM"
    assert run.attrs["rtol"] == Tolerances().relative
    assert run.attrs["failures"] == []
    level = run["ketamine_plasma"].sel(arm="k", time=1.0).to_numpy()
    np.testing.assert_allclose(
        level, np.broadcast_to(level[0], level.shape), rtol=1e-6
    )  # plasma has no prior: same draws
    assert len(np.unique(level[0])) == 5  # but every patient differs


def test_a_probe_can_act_for_a_while(case: Case) -> None:
    mechanism = case.mechanism("camp_crosstalk")
    timed = Arm(probes=(Probe("glutamate_drive", set=2.0, start=1.0, until=3.0),))
    run = simulate(mechanism, {"arm": timed}, [0.0, 0.99, 1.5, 3.0, 30.0], outputs=["nmda_activity", "mtorc1_relative"])
    np.testing.assert_allclose(run["nmda_activity"][0, 0, 0], [1, 1, 2, 1, 1], atol=1e-9)
    mtorc1 = run["mtorc1_relative"][0, 0, 0].to_numpy()
    assert mtorc1[2] < 0.8
    assert mtorc1[4] == pytest.approx(1, abs=1e-4)


def test_a_steady_state_equals_a_long_train(case: Case) -> None:
    """Naltrexone leaves its receptor over days, so 50 daily doses are needed to see what SS = 1 solves for."""
    mechanism = case.mechanism("none", ["naltrexone"])
    times = [0.0, 6.0, 23.9]
    ss = simulate(
        mechanism, {"ss": case.regimen("naltrexone 50 mg po ss every 24 h")}, times, outputs=["naltrexone_pool"]
    )
    train = case.regimen("naltrexone 50 mg po at -60 d every 24 h x 61")
    long = simulate(mechanism, {"train": train}, times, outputs=["naltrexone_pool"])
    np.testing.assert_allclose(ss["naltrexone_pool"][0], long["naltrexone_pool"][0], rtol=1e-4)


def test_a_probe_on_an_unknown_parameter_is_refused_with_the_near_miss(case: Case) -> None:
    with pytest.raises(SimulationError, match="glutamate_drive"):
        simulate(case.mechanism("none"), {"a": Arm(probes=(Probe("glutamate_drve", set=2.0),))}, [0.0])


@pytest.mark.parametrize("times", [[], [1.0, 0.0], [0.0, np.nan]])
def test_times_must_be_finite_and_ascending(case: Case, times: list[float]) -> None:
    with pytest.raises(SimulationError, match="ascending"):
        simulate(case.mechanism("none"), {"a": Arm()}, times)


def test_a_snapshot_reads_what_a_run_would_show(case: Case) -> None:
    mechanism = case.mechanism("camp_crosstalk", ["ketamine"])
    arm = Arm(case.regimen(KETAMINE), (), case.trial)
    kept = snapshot(mechanism, arm, 24.0)
    changed = Arm(arm.regimen, (), {**case.trial, "drug_effect_half": 0.05})
    run = simulate(mechanism, {"arm": changed}, [0.0, 24.0], outputs=["score"])
    assert kept.read("score", drug_effect_half=0.05)[0, 0] == pytest.approx(float(run["score"][0, 0, 0, 1]), rel=1e-6)


def test_what_acts_on_rates_is_known(case: Case) -> None:
    mechanism = case.mechanism("camp_crosstalk", ["ketamine"])
    assert "nmda_ketamine_ic50" not in late_parameters(mechanism)
    assert "drug_effect_half" in late_parameters(mechanism)


def test_a_state_can_begin_anew_while_the_others_go_on(case: Case) -> None:
    """A second dose right after the restart is felt again; without the restart the largest experience so far stays."""
    mechanism = case.mechanism("none", ["ketamine"])
    regimen = case.regimen(f"{KETAMINE}; ketamine 0.25 mg/kg iv over 40 min at 100 h")
    moments = [0.0, 2.0, 99.9, 100.0, 101.0]
    arms = {"kept": Arm(regimen), "anew": Arm(regimen, restarts={"cue": (100.0,)})}
    run = simulate(mechanism, arms, moments, outputs=["cue", "nmda_adaptation"])
    kept, anew = run["cue"][:, 0, 0].to_numpy()
    np.testing.assert_array_equal(kept[:3], anew[:3])
    assert anew[3] == 0
    assert 0 < anew[4] < kept[4]
    np.testing.assert_allclose(run["nmda_adaptation"][0], run["nmda_adaptation"][1], rtol=1e-5)
    with pytest.raises(SimulationError, match='no such state; did you mean "cue"'):
        simulate(mechanism, {"a": Arm(restarts={"cu": (1.0,)})}, [0.0, 2.0])


def test_patients_may_bring_their_own_values(case: Case) -> None:
    mechanism = case.mechanism("none", ["ketamine"])
    people = Population(
        3, 1, {"score_baseline": np.array([1.0, 1.0, 2.0])}, {"score_baseline": np.array([20.0, 21, 11])}
    )
    run = simulate(mechanism, {"a": Arm()}, [0.0], population=people, draws=draw_parameters([], 2, seed=1))
    np.testing.assert_allclose(run["score"][0, :, :, 0], [[20, 21, 22], [20, 21, 22]], rtol=1e-12)
