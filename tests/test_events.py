"""Events of a model itself in the kernel: closed forms, ties and delays, batches, ends that are said, libRoadRunner."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import antimony
import numpy as np
import pytest
from scipy.optimize import root_scalar

from antagony.errors import KernelError, UnsupportedError
from antagony.kernel import build, event_source
from antagony.kernel.build import build_kernel
from antagony.kernel.c_source import write_source
from antagony.kernel.library import Kernel, Solution, Status
from antagony.kernel.symbolic import read_system

FINE: dict[str, Any] = {"rtol": 1e-10, "atol": 1e-13}
BALL = "h' = v; v' = -2; h = 1; v = 0; n = 0; hit = 0; e = 0.8; at h < 0: v = -e*v, n = n + 1, hit = time"
REFILL = "x' = -k*x; x = 1; k = 1; n = 0; last = 0; at x < 0.5: x = 1, n = n + 1, last = time"
OSCILLATOR = "x' = v; v' = -x; x = 0; v = 1"


def sbml(text: str) -> str:
    antimony.clearPreviousLoads()
    assert antimony.loadAntimonyString(f"model m\n{text}\nend\n") >= 0, antimony.getLastError()
    return str(antimony.getSBMLString("m"))


@dataclass
class Doses:
    """Doses of one subject from (time, action, target, value)."""

    time: np.ndarray
    action: np.ndarray
    target: np.ndarray
    value: np.ndarray


def doses(*rows: tuple[float, int, int, float]) -> Doses:
    return Doses(*(np.array([column]) for column in zip(*rows, strict=True)))


def run(text: str, times: list[float], *outputs: str, **settings: Any) -> np.ndarray:  # noqa: ANN401 - of many types
    """Values (time, output) of one run that must end well."""
    solution = solve(text, times, *outputs, **settings)
    assert solution.status[0] == Status.DONE
    return solution.values[0]


def solve(text: str, times: list[float], *outputs: str, **settings: Any) -> Solution:  # noqa: ANN401
    kernel = build_kernel(sbml(text), optimise=0)
    return kernel.solve(kernel.defaults, times, outputs=outputs or None, **{**FINE, **settings})


# --- where an event lies ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("floor", ["h < 0", "h <= 0", "!(h > 0)", "-h >= 0 && time > 0.1"])
def test_a_ball_bounces_at_the_times_of_the_closed_form(floor: str) -> None:
    hits = 1 + np.concatenate([[0], np.cumsum(2 * 0.8 ** np.arange(1, 11))])
    got = run(BALL.replace("h < 0", floor), [*(hits + 1e-8)], "hit", "n", "v")
    np.testing.assert_allclose(got[:, 0], hits, atol=1e-10)
    np.testing.assert_array_equal(got[:, 1], np.arange(1, 12))
    np.testing.assert_allclose(got[:, 2], 2 * 0.8 ** np.arange(1, 12), atol=1e-7)


def test_a_decay_that_is_refilled_has_its_period() -> None:
    times = np.array([0.3, 0.69, 0.7, 5.0, 9.9])
    got = run(REFILL, [*times], "x", "n")
    np.testing.assert_allclose(got[:, 0], np.exp(-(times % math.log(2))), rtol=1e-8)
    np.testing.assert_array_equal(got[:, 1], times // math.log(2))


def test_the_time_of_an_event_is_as_good_as_the_steps() -> None:
    """Fixed steps, so that nothing else sets the error: it falls at least with the fourth power, the dense output's."""
    text = f"{OSCILLATOR}; hit = 0; n = 0; at x > 0.5: hit = time, n = n + 1"
    exact = math.asin(0.5) + 2 * math.pi
    steps = 8 / np.array([40, 57, 80, 113, 160])
    errors = [abs(run(text, [8.0], "hit", rtol=1e6, atol=1e6, first_step=h, max_step=h)[0, 0] - exact) for h in steps]
    assert np.polyfit(np.log(steps), np.log(errors), 1)[0] > 4
    assert errors[-1] < 1e-6


def test_ten_times_tighter_means_an_event_nearer_to_its_time() -> None:
    text = f"{OSCILLATOR}; hit = 0; at x*v > 0.3: hit = time"
    exact = math.asin(0.6) / 2 + 3 * math.pi
    errors = [abs(run(text, [11.0], "hit", rtol=r, atol=r)[0, 0] - exact) for r in (1e-4, 1e-6, 1e-8, 1e-10)]
    assert all(later < 0.2 * earlier for earlier, later in pairwise(errors))
    assert errors[-1] < 1e-9


def test_a_condition_that_holds_for_a_moment_inside_a_step_is_seen() -> None:
    """The only step is far longer than the condition holds; a parabola's top, a hair above or below, is told apart."""
    moment = "x' = 0.4; x = 0; seen = 0; at x > 0.18 && x < 0.18000001: seen = 1"
    assert run(moment, [5.0], "seen").tolist() == [[1]]
    arch = "x' = 2*(1 - time); x = 0; seen = 0; at x > {}: seen = 1"
    assert run(arch.format(0.99999999), [5.0], "seen").tolist() == [[1]]
    assert run(arch.format(1.00000001), [5.0], "seen").tolist() == [[0]]


@pytest.mark.parametrize(
    ("trigger", "crossings"),
    [
        ("sin(50*time) > 0.99", [(math.asin(0.99) + 2 * math.pi * k) / 50 for k in range(80)]),
        ("abs(x) > 0.5", [math.asin(0.5) + math.pi * k for k in range(4)]),
        ("max(x, v) > 0.9", [math.asin(0.9), 2 * math.pi - math.acos(0.9), 2 * math.pi + math.asin(0.9)]),
        ("piecewise(x, time < 4, v) > 0.5", [math.asin(0.5), 2 * math.pi - math.acos(0.5)]),
        ("piecewise(true, x > 0.5, false)", [math.asin(0.5), math.asin(0.5) + 2 * math.pi]),
        ("x > 0.5 || v < -0.5", [math.asin(0.5), math.asin(0.5) + 2 * math.pi]),
        ("x > 0.5 && v < 0", [math.pi / 2, 2.5 * math.pi]),
        ("2*time > limit", [1.5]),
        ("x > limit - time^2", [root_scalar(lambda t: math.sin(t) - 3 + t**2, bracket=(0, 3), xtol=1e-14).root]),
    ],
)
def test_triggers_of_every_kind_are_located(trigger: str, crossings: list[float]) -> None:
    text = f"{OSCILLATOR}; half = 1.5; limit := 2*half; n = 0; sum = 0; at {trigger}: n = n + 1, sum = sum + time"
    n, total = run(text, [10.0], "n", "sum")[0]
    crossings = [t for t in crossings if t < 10]
    assert n == len(crossings)
    assert total == pytest.approx(sum(crossings), abs=1e-7)


@pytest.mark.parametrize(
    ("trigger", "count", "last"),
    [
        ("sin(50*time) > 0.99", 80, (math.asin(0.99) + 158 * math.pi) / 50),
        ("1/(1 + 1000*(time - 3.3)^2) > 0.5", 1, 3.3 - math.sqrt(1e-3)),
        ("time*exp(-50*(time - 7.1)^2) >= 7.1", 1, None),
    ],
)
def test_a_condition_on_time_alone_is_followed_where_nothing_else_moves(
    trigger: str, count: int, last: float | None
) -> None:
    """No state asks for short steps; the condition itself must."""
    got = run(f"x' = 0; x = 0; n = 0; hit = 0; at {trigger}: n = n + 1, hit = time", [10.0], "n", "hit")[0]
    assert got[0] == count
    assert got[1] == pytest.approx(7.1 if last is None else last, abs=1e-9)


@pytest.mark.parametrize(
    ("bent", "straight"),
    [
        ("abs(x) > 0.5", "x > 0.5 || x < -0.5"),
        ("max(x, v) > 0.9", "x > 0.9 || v > 0.9"),
        ("piecewise(x, v > 0, -x) > 0.5", "(v > 0 && x > 0.5) || (v <= 0 && x < -0.5)"),
        ("wave > 0.5", "x > 0.5 || x < -0.5"),
    ],
)
def test_a_bend_inside_a_condition_costs_no_steps(bent: str, straight: str) -> None:
    text = f"{OSCILLATOR}; wave := abs(x); n = 0; sum = 0; at {{}}: n = n + 1, sum = sum + time"
    first, second = (solve(text.format(trigger), [20.0], "n", "sum", "x") for trigger in (bent, straight))
    assert first.values[0, 0, 0] > 5
    np.testing.assert_allclose(first.values, second.values, rtol=1e-9)
    assert first.steps[0] == pytest.approx(second.steps[0], abs=2)


@pytest.mark.parametrize("trigger", ["x >= goal", "x > goal", "x < goal", "x*y > 0.7*goal", "x - y > goal - 0.7"])
def test_a_quantity_that_comes_to_rest_on_its_threshold_does_not_flicker(trigger: str) -> None:
    """In exact numbers it never gets there; rounding may take it across a few times, and no more."""
    motion = "x' = 3*(goal - x); y' = 2.7*(0.7 - y); goal = 1.1; y = 0.2; n = 0"
    for begin in ("0", "3*goal", "goal"):
        solution = solve(f"{motion}; x = {begin}; at {trigger}: n = n + 1", [1000.0], "n", rtol=1e-7, atol=1e-10)
        assert solution.status[0] == Status.DONE and solution.values[0, 0, 0] < 10 and solution.steps[0] < 200


def test_nodes_follow_from_cosines_and_coefficients_from_polynomials() -> None:
    rng = np.random.default_rng(4)
    for degree, nodes in event_source.NODES.items():
        np.testing.assert_allclose(nodes, (1 - np.cos(np.pi * np.arange(degree + 1) / degree)) / 2, atol=1e-15)
        weights = rng.normal(size=degree + 1)
        basis = [[math.comb(degree, i) * s**i * (1 - s) ** (degree - i) for i in range(degree + 1)] for s in nodes]
        found = np.array(event_source.bernstein_rows(degree)) @ np.array(basis) @ weights
        np.testing.assert_allclose(found, weights, atol=1e-12)
        series = np.polynomial.chebyshev.chebval(2 * np.array(nodes) - 1, weights)
        found = np.abs(np.array(event_source.last_rows(degree)) @ series)
        np.testing.assert_allclose(found, np.abs(weights[-2:]), atol=1e-12)


# --- what an event does ----------------------------------------------------------------------------------------------


def test_a_delay_is_kept_and_values_are_of_the_moment_that_the_model_names() -> None:
    """x = exp(-t) falls below 0.5 at ln 2; executed 1.5 later, with the value of the trigger or of that moment."""
    times = [2.19, 2.2]
    for early, value in (("true", 0.5), ("false", 0.5 * math.exp(-1.5))):
        text = f"x' = -x; x = 1; y = 0; d = 1; at d + 0.5 after x < 0.5, fromTrigger={early}: y = x"
        np.testing.assert_allclose(run(text, times, "y")[:, 0], [0, value], rtol=1e-8)


def test_a_computed_delay_is_that_of_the_trigger() -> None:
    text = f"{OSCILLATOR}; hit = 0; at 2*v after x > 0.5, fromTrigger=false: hit = time"
    assert run(text, [5.0], "hit")[0, 0] == pytest.approx(math.asin(0.5) + 2 * math.sqrt(0.75), abs=1e-9)


def test_an_event_waits_more_than_once_at_a_time() -> None:
    text = f"{REFILL}; late = 0; at 2 after x < 0.5, fromTrigger=false: late = late + 1"
    fired = np.arange(1, 12) * math.log(2) + 2
    times = [3.0, 4.5, 9.0]
    assert run(text, times, "late")[:, 0].tolist() == [float((fired < t).sum()) for t in times]


@pytest.mark.parametrize(("persistent", "want"), [("true", [0, 1, 1]), ("false", [0, 0, 1])])
def test_a_condition_that_ceases_during_the_delay(persistent: str, want: list[float]) -> None:
    """sin t is above 0.9 for less than the delay, below -0.5 for longer."""
    text = f"{OSCILLATOR}; n = 0; at 1.2 after x > 0.9 || x < -0.5, persistent={persistent}: n = 1"
    assert run(text, [1.5, 3.0, 6.0], "n")[:, 0].tolist() == want


@pytest.mark.parametrize(("first", "want"), [("true", [0, 0, 1]), ("false", [1, 1, 2])])
def test_a_trigger_that_is_true_at_the_start(first: str, want: list[float]) -> None:
    text = f"{OSCILLATOR}; n = 0; at x < 0.5, t0={first}: n = n + 1"
    assert run(text, [0.0, 2.0, 3.0], "n")[:, 0].tolist() == want


@pytest.mark.parametrize(
    ("one", "other", "want"),
    [
        ("priority=2, fromTrigger=false", "priority=1, fromTrigger=false", [12, 10]),
        ("priority=1, fromTrigger=false", "priority=2, fromTrigger=false", [3, 30]),
        ("priority=p, fromTrigger=false", "priority=-p, fromTrigger=false", [12, 10]),
        ("priority=1", "priority=2", [3, 10]),
        ("priority=1", "priority=1", [3, 10]),
        ("priority=1", "", [3, 10]),
    ],
    ids=["first before", "second before", "computed", "values of the trigger", "equal and of the trigger", "one alone"],
)
def test_events_at_one_moment_follow_their_priorities(one: str, other: str, want: list[float]) -> None:
    """From a = b = 1: the first says b = 10 a, the second a = b + 2, each of what it finds."""
    one, other = (f", {options}" if options else "" for options in (one, other))
    text = f"x' = 1; x = 0; a = 1; b = 1; p = 3; at x > 1{one}: b = a*10; at x > 1{other}: a = b + 2"
    assert run(text, [2.0], "a", "b").tolist() == [want]


def test_an_event_sees_what_the_one_before_it_changed() -> None:
    """The first takes the second's condition away; that matters only where the second does not persist."""
    for persistent, want in (("true", 1), ("false", 0)):
        text = f"""
          x' = 1; x = 0; on = 1; hit = 0
          at x > 1, priority=2: on = 0
          at x > 1 && on > 0, priority=1, persistent={persistent}: hit = 1
        """
        assert run(text, [2.0], "hit").tolist() == [[want]]


def test_one_event_sets_off_another_at_the_same_moment() -> None:
    text = "x' = 1; x = 0; a = 0; b = 0; c = 0; at x > 1: a = 1; at a > 0: b = time; at 0.5 after b > 0: c = b"
    np.testing.assert_allclose(run(text, [1.2, 1.6], "b", "c"), [[1, 0], [1, 1]], atol=1e-12)


@pytest.mark.parametrize(
    ("events", "ends"),
    [
        ("at x > 1, priority=1: a = 1; at x > 1, priority=1: a = 2", Status.TIED),
        ("at x > 1: a = 1; at x > 1: a = 2", Status.TIED),
        ("at x > 1, priority=1: a = 1; at x > 1: a = 2", Status.TIED),
        ("at x > 1: a = 1; at x > 1, fromTrigger=false: b = a", Status.TIED),
        ("at x > 1: a = 1; at x > 1 && a < 1, persistent=false: b = 1", Status.TIED),
        ("at x > 1: a = 1; at x > 1: b = 1; at 1 after a > b: c = 1", Status.TIED),
        ("at x > 1: a = 1; at x > 1: b = 2; at 1 after a + b > 0.5: c = a + 10*b", Status.TIED),
        ("at x > 1: a = 2; at x > 1: a = 2", Status.DONE),
        ("at x > 1, priority=1: a = 2; at x > 1, priority=1: b = a + 1; at a + b > 1: c = 1", Status.DONE),
        ("at x > 1: a = 2; at x > 1: b = a + 1; at x > 1.5: a = 3; at 0.5 after x > 1: a = 3", Status.DONE),
    ],
)
def test_an_order_that_is_open_is_refused_where_the_answer_hangs_on_it(events: str, ends: Status) -> None:
    solution = solve(f"x' = 1; x = 0; a = 0; b = 0; c = 0; {events}", [0.5, 2.0], "a")
    assert solution.status[0] == ends
    assert solution.values[0, 0, 0] == 0
    if ends == Status.TIED:
        assert solution.fail_time[0] == pytest.approx(1) and np.isnan(solution.values[0, 1, 0])
    else:
        assert solution.values[0, 1, 0] > 1


def test_species_are_set_as_their_symbols_mean() -> None:
    """A concentration in a compartment of 4, an amount beside it; then the compartment itself, which dilutes."""
    text = """
      compartment C = 4; species S in C = 3; substanceOnly species A in C = 3; C = 4
      J: S -> ; 0*S
      at time >= 1: S = 5, A = 7
      at time >= 2: C = 8
    """
    got = run(text, [0.5, 1.5, 2.5], "S", "A", "C", "S amount")
    np.testing.assert_allclose(got, [[3, 3, 4, 12], [5, 7, 4, 20], [2.5, 7, 8, 20]], rtol=1e-12)


# --- events, outputs, doses ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trigger", "want"),
    [("time >= 1", [0, 1, 1]), ("time > 1", [0, 0, 1]), ("x >= 1", [0, 1, 1]), ("time == 1", [0, 1, 1])],
)
def test_a_value_at_the_time_of_an_event_is_the_one_after_it(trigger: str, want: list[float]) -> None:
    """time > 1 is false at 1, so its event comes after that moment."""
    text = f"x' = 1; x = 0; n = 0; hit = 0; at {trigger}: n = n + 1, hit = time"
    got = run(text, [0.9999, 1.0, 5.0], "n", "hit")
    assert got[:, 0].tolist() == want
    assert got[2, 1] == pytest.approx(1, abs=1e-14)


def test_a_delay_that_ends_at_an_output_up_to_rounding_comes_before_it() -> None:
    assert 0.1 + 0.2 > 0.3
    text = "x' = 1; x = 0; n = 0; at 0.2 after time >= 0.1: n = 1"
    assert run(text, [0.3], "n").tolist() == [[1]]


def test_a_clock_that_is_wound_up_by_its_own_event_keeps_time() -> None:
    text = "x' = 1; x = 0; n = 0; last = 0; period = 0.1; at time - last >= period: n = n + 1, last = time"
    assert run(text, [1.0, 10.0, 50.05], "n")[:, 0].tolist() == [10, 100, 500]


def test_a_dose_that_crosses_a_threshold_sets_off_the_event_and_both_are_shown() -> None:
    kernel = build_kernel(sbml("x' = -x; x = 0; n = 0; seen = 0; at x > 1: n = n + 1, seen = x"))
    table = doses((1.0, 0, 0, 2.0), (2.0, 0, 0, 5.0))
    got = kernel.solve(kernel.defaults, [0.5, 1.0, 2.0], events=table, outputs=["n", "seen"], **FINE).values[0]
    before = 2 * math.exp(-1)
    np.testing.assert_allclose(got, [[0, 0], [1, 2], [2, before + 5]], rtol=1e-9)


def test_a_dose_comes_before_an_event_of_the_same_time() -> None:
    kernel = build_kernel(sbml("x' = 0; x = 1; at time >= 1: x = 10*x"))
    got = kernel.solve(kernel.defaults, [1.0], events=doses((1.0, 0, 0, 2.0)), outputs=["x"]).values
    assert got.tolist() == [[[30]]]


def test_a_reset_forgets_what_waits_and_what_was_switched() -> None:
    kernel = build_kernel(sbml("x' = 0; x = 1; n = 0; late = 0; at time >= 1: n = 1; at 2 after time >= 1: late = 1"))
    got = kernel.solve(kernel.defaults, [1.5, 2, 4], events=doses((2.0, 2, 0, 0.0)), outputs=["n", "late"]).values
    assert got[0].tolist() == [[1, 0], [0, 0], [0, 0]]


def test_a_model_with_events_is_not_begun_in_the_middle() -> None:
    kernel = build_kernel(sbml(REFILL))
    with pytest.raises(KernelError, match="events of its own"):
        kernel.solve(kernel.defaults, [1.0], initial=[0.7])


# --- batches ---------------------------------------------------------------------------------------------------------


def rates(kernel: Kernel, subjects: int) -> np.ndarray:
    rows = np.tile(kernel.defaults, (subjects, 1))
    rows[:, kernel.index("k")] = np.geomspace(0.05, 20, subjects)
    return rows


def test_subjects_with_few_and_many_events_have_the_bits_that_each_has_alone() -> None:
    kernel = build_kernel(sbml(f"{REFILL}; late = 0; at 0.3 after x < 0.6, persistent=false: late = late + x"))
    rows, times = rates(kernel, 41), np.linspace(0, 10, 21)
    together = kernel.solve(rows, times, threads=1).values
    counts = together[:, -1, kernel.outputs.index("n")]
    np.testing.assert_array_equal(counts, 10 * rows[:, kernel.index("k")] // math.log(2))
    assert counts.min() == 0 and counts.max() > 200
    alone = np.concatenate([kernel.solve(row, times).values for row in rows])
    np.testing.assert_array_equal(alone, together)
    order = np.random.default_rng(2).permutation(np.arange(533) % 41)
    np.testing.assert_array_equal(kernel.solve(rows[order], times, threads=2).values, together[order])


def test_portable_bits_of_events_match_another_compiler_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    text = sbml(f"{REFILL.replace('k*x', 'k*x^1.3')}; y = 0; at 0.2 after x*exp(-x) < 0.33: y = y + x/3")

    def solved(lanes: int, level: int) -> np.ndarray:
        target = build.Target(lanes, build.native_target(portable=True).flags, True)
        with monkeypatch.context() as patch:
            patch.setattr(build, "native_target", lambda portable=False: target)
            kernel = build_kernel(text, portable=True, optimise=level)
        return kernel.solve(rates(kernel, 9), np.linspace(0, 7, 15)).values

    first = solved(4, 2)
    assert np.isfinite(first).all() and np.ptp(first[:, -1], axis=0).all()
    for lanes, level in [(1, 3), (2, 0), (8, 2)]:
        np.testing.assert_array_equal(solved(lanes, level), first)


# --- ends that are said ----------------------------------------------------------------------------------------------

ENDLESS = {
    "to and fro": ("x' = r; r = 1; x = -1; at x > 0: r = -1; at x < 0: r = 1", Status.CHATTERING, 1.0),
    "at once": ("x' = 1; x = 0; y = 0; at x > 1: y = 1; at y > 0: y = -1; at y < 0: y = 1", Status.CHATTERING, 1.0),
    "at the start": ("y = 0; at y > 0.5: y = 0; at y < 0.5, t0=false: y = 1", Status.CHATTERING, 0.0),
    "ball": (BALL, Status.ACCUMULATING, 9.0),
    "into the past": ("x' = 1; x = 0; n = 0; at -x after x > 1: n = 1", Status.NO_DELAY, 1.0),
    "crowd": (REFILL.replace("k = 1", "k = 100; y = 0; at 50 after x < 0.5: y = 1"), Status.QUEUE_FULL, None),
    "too fast": ("x' = 1; x = 0; n = 0; at sin(1e9*time) > 0.9: n = n + 1", Status.TOO_MANY_STEPS, None),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_events_without_end_are_said_and_cost_the_others_nothing(name: str) -> None:
    text, status, when = ENDLESS[name]
    kernel = build_kernel(sbml(f"{text}; idle = 0"))
    solution = kernel.solve(np.tile(kernel.defaults, (3, 1)), [0.5, 12.0], max_steps=20_000, **FINE)
    assert (solution.status == status).all() and np.isnan(solution.values[:, 1]).all()
    assert status.advice
    if when is not None:
        np.testing.assert_allclose(solution.fail_time, when, atol=1e-4)


@pytest.mark.parametrize(
    ("trigger", "named"),
    [
        ("x == 0.5", "equal or unequal"),
        ("x != 0.5", "equal or unequal"),
        ("x", "equal or unequal"),
        ("floor(x) > 1", "rounds a moving quantity"),
        ("x > 2 && ceil(time) < 3", "rounds a moving quantity"),
    ],
)
def test_a_trigger_that_cannot_be_followed_is_refused_by_name(trigger: str, named: str) -> None:
    with pytest.raises(UnsupportedError, match=named):
        write_source(read_system(sbml(f"x' = -x; x = 1; n = 0; at {trigger}: n = 1")))


def test_what_is_counted_may_be_asked_for_equality() -> None:
    text = f"{REFILL}; third = 0; at n == 3: third = time"
    assert run(text, [9.0], "third")[0, 0] == pytest.approx(3 * math.log(2), abs=1e-8)


def test_a_model_without_events_has_no_text_of_them() -> None:
    plain, eventful = (write_source(read_system(sbml(text))) for text in (OSCILLATOR, REFILL))
    assert "define NEVENT" not in plain.text and "define NEVENT 1" in eventful.text
    assert "static int choose" not in plain.text and plain.events == 0


# --- another solver --------------------------------------------------------------------------------------------------

PEERS = {
    "reactions": """
      compartment C = 2; species S1 in C = 1, S2 in C = 0; k1 = 1.3; k2 = 0.4
      J1: S1 -> S2; C*k1*S1; J2: S2 -> ; C*k2*S2
      at S1 < 0.1: S1 = 1, k2 = k2 + 0.1
    """,
    "delays": f"{OSCILLATOR}; p = 0; q = 0; at 0.7 after x > v: p = x, x = x/2; at time > 2.345: q = p",
    "repressilator": """
      a' = 10/(1 + c^3) - a; b' = 10/(1 + a^3) - b; c' = 10/(1 + b^3) - c; a = 1; b = 2; c = 3
      n = 0; at a > 2.5: n = n + 1, b = b/2; at a*b < c, t0=false: c = 0.9*c
    """,
}


@pytest.mark.parametrize("name", PEERS)
def test_events_agree_with_roadrunner(name: str) -> None:
    roadrunner = pytest.importorskip("roadrunner")
    text, times = sbml(PEERS[name]), np.sort(np.random.default_rng(11).uniform(0, 12, 40))
    kernel = build_kernel(text, optimise=0)
    shown = [n for n in kernel.outputs if " " not in n and n not in ("J1", "J2")]
    reference = roadrunner.RoadRunner(text)
    reference.integrator.relative_tolerance, reference.integrator.absolute_tolerance = 1e-11, 1e-13
    reference.integrator.maximum_time_step = 0.01  # it looks for events at the ends of its steps
    reference.timeCourseSelections = [f"[{n}]" if n in ("S1", "S2") else n for n in shown]
    want = np.array(reference.simulate(times=[0.0, *times]))[1:]
    got = kernel.solve(kernel.defaults, times, outputs=shown, **FINE)
    assert got.status[0] == Status.DONE
    np.testing.assert_allclose(got.values[0], want, rtol=2e-6, atol=1e-6)


def test_subjects_without_a_table_of_doses_and_with_an_empty_one_are_the_same() -> None:
    kernel = build_kernel(sbml(REFILL))
    none = np.zeros((1, 0))
    table = Doses(none, none.astype(int), none.astype(int), none)
    first, second = (kernel.solve(kernel.defaults, [3.0], events=e).values for e in (None, table))
    np.testing.assert_array_equal(first, second)
