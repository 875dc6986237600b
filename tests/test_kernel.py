"""The kernel against mathematics, against itself in other batches, and against libRoadRunner."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import antimony
import numpy as np
import pytest

from antagony.errors import CompilerError, KernelError, UnsupportedError
from antagony.kernel import build, rodas5p
from antagony.kernel.build import build_kernel
from antagony.kernel.library import Kernel, Status


def sbml(text: str) -> str:
    antimony.clearPreviousLoads()
    assert antimony.loadAntimonyString(f"model m\n{text}\nend\n") >= 0, antimony.getLastError()
    return str(antimony.getSBMLString("m"))


@dataclass
class Events:
    time: np.ndarray
    action: np.ndarray
    target: np.ndarray
    value: np.ndarray


def events(*rows: tuple[float, int, int, float]) -> Events:
    """Events of one subject from (time, action, target, value)."""
    columns = [np.array([column]) for column in zip(*rows, strict=True)]
    return Events(*columns)


PENDULUM = "x' = v; v' = -sin(x) - drag*v + 0.3*cos(2*time); x = 1; v = 0; drag = 0.1; energy := v^2/2 - cos(x)"
ORAL = "gut' = -ka*gut; body' = rate + ka*gut - k*body; gut = 0; body = 0; ka = 1.5; k = 0.05; rate = 0; c := body/20"
STIFF = """
  a' = -0.04*a + 1e4*b*c; b' = 0.04*a - 1e4*b*c - 3e7*b^2; c' = 3e7*b^2; a = 1; b = 0; c = 0
"""


@pytest.fixture(scope="module")
def oral() -> Kernel:
    return build_kernel(sbml(ORAL), inputs=["rate"])


def test_nodes_follow_from_the_coefficients() -> None:
    c = np.zeros((8, 8))
    a = np.zeros((8, 8))
    for i, row in enumerate(rodas5p.C):
        c[i, : len(row)] = row
    for i, row in enumerate(rodas5p.A):
        a[i, : len(row)] = row
    for i in (6, 7):
        a[i] = a[i - 1]
        a[i, i - 1] += 1
    gamma = np.linalg.inv(np.eye(8) / rodas5p.GAMMA - c)
    np.testing.assert_allclose((a @ gamma).sum(axis=1), rodas5p.ALPHA, atol=1e-13)
    np.testing.assert_allclose(gamma.sum(axis=1), rodas5p.SHARE, atol=1e-13)


def test_order_of_convergence_is_five() -> None:
    """Fixed steps on a smooth problem that depends on time: the error falls with the fifth power of the step."""
    kernel = build_kernel(sbml(PENDULUM))
    exact = kernel.solve(kernel.defaults, [2.0], rtol=1e-13, atol=1e-15).last[0]
    steps = 2.0 / np.array([20, 28, 40, 56, 80])
    errors = []
    for h in steps:
        solution = kernel.solve(kernel.defaults, [2.0], rtol=1e6, atol=1e6, first_step=h, max_step=h)
        errors.append(np.abs(solution.last[0] - exact).max())
    slope = np.polyfit(np.log(steps), np.log(errors), 1)[0]
    assert slope == pytest.approx(5, abs=0.35)


def test_dense_output_is_as_good_as_the_steps() -> None:
    kernel = build_kernel(sbml(PENDULUM))
    times = np.linspace(0, 10, 301)
    exact = kernel.solve(kernel.defaults, times, rtol=1e-12, atol=1e-14).values
    close = kernel.solve(kernel.defaults, times, rtol=1e-6, atol=1e-8).values
    assert np.abs(close - exact).max() < 2e-5


def test_ten_times_tighter_means_a_smaller_error() -> None:
    kernel = build_kernel(sbml(STIFF))
    exact = kernel.solve(kernel.defaults, [40.0], rtol=1e-13, atol=1e-18).last
    errors = [
        np.abs(kernel.solve(kernel.defaults, [40.0], rtol=r, atol=r * 1e-6).last / exact - 1).max()
        for r in (1e-4, 1e-5, 1e-6, 1e-7, 1e-8)
    ]
    assert errors[0] < 1e-2
    assert all(later < earlier for earlier, later in pairwise(errors))


def test_a_dose_is_exact_and_shown_after(oral: Kernel) -> None:
    """Bolus at 1 h, infusion from 2 to 5 h; superposed closed forms."""
    times = np.array([0.0, 1.0, 1.5, 2.0, 3.7, 5.0, 9.0])
    table = events((1.0, 0, oral.states.index("gut"), 100.0), (2.0, 1, 0, 7.0), (5.0, 1, 0, 0.0))
    got = oral.solve(oral.defaults, times, events=table, outputs=["gut", "body"], rtol=1e-9, atol=1e-12).values[0]
    ka, k = 1.5, 0.05
    since = times - 1
    gut = np.where(since >= 0, 100 * np.exp(-ka * since), 0)
    body = np.where(since >= 0, 100 * ka / (ka - k) * (np.exp(-k * since) - np.exp(-ka * since)), 0)
    on = np.clip(times - 2, 0, 3)
    body = body + 7 / k * (1 - np.exp(-k * on)) * np.exp(-k * np.clip(times - 5, 0, None))
    np.testing.assert_allclose(got[:, 0], gut, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(got[:, 1], body, rtol=1e-7, atol=1e-9)


def test_reset_returns_to_the_start_and_stops_inputs(oral: Kernel) -> None:
    table = events((0.0, 0, 0, 50.0), (0.0, 1, 0, 3.0), (4.0, 2, 0, 0.0))
    got = oral.solve(oral.defaults, [3.999, 4.0, 8.0], events=table, outputs=["gut", "body"]).values[0]
    assert got[0, 1] > 1
    np.testing.assert_array_equal(got[1:], 0)


def lognormal_rows(kernel: Kernel, subjects: int) -> np.ndarray:
    rng = np.random.default_rng(7)
    rows = np.tile(kernel.defaults, (subjects, 1))
    for name in ("ka", "k"):
        rows[:, kernel.index(name)] *= rng.lognormal(sigma=0.4, size=subjects)
    return rows


def test_bits_do_not_depend_on_threads_batches_or_order(oral: Kernel) -> None:
    rows, times = lognormal_rows(oral, 700), np.linspace(0, 48, 13)
    table = Events(
        np.tile([0.0, 6.0, 24.0], (700, 1)),
        np.tile([0, 1, 1], (700, 1)),
        np.zeros((700, 3)),
        np.tile([90.0, 4, 0], (700, 1)),
    )

    def run(take: np.ndarray, threads: int) -> np.ndarray:
        part = Events(*(getattr(table, n)[take] for n in ("time", "action", "target", "value")))
        return oral.solve(rows[take], times, events=part, threads=threads).values

    everyone = np.arange(700)
    first = run(everyone, 1)
    np.testing.assert_array_equal(run(everyone, 2), first)
    np.testing.assert_array_equal(np.concatenate([run(b, 1) for b in np.array_split(everyone, 37)]), first)
    shuffled = np.random.default_rng(3).permutation(700)
    np.testing.assert_array_equal(run(shuffled, 2), first[shuffled])
    np.testing.assert_array_equal(run(everyone, 1), first)


def test_a_lost_subject_leaves_the_others_alone() -> None:
    kernel = build_kernel(sbml("x' = x^p - y; y' = x - 2*y; x = 0.5; y = 0; p = 1"))
    rows = np.tile(kernel.defaults, (33, 1))
    rows[:, kernel.index("p")] = np.linspace(0.5, 1.5, 33)
    times = np.linspace(0, 2, 9)
    sound = kernel.solve(rows, times)
    assert (sound.status == Status.DONE).all()
    sick = rows.copy()
    sick[11, kernel.index("x")] = -1.0  # a negative base under a fractional power
    got = kernel.solve(sick, times)
    assert got.status[11] == Status.NOT_A_NUMBER
    assert np.isnan(got.values[11, 1:]).all()
    assert got.fail_time[11] == 0
    others = np.arange(33) != 11
    np.testing.assert_array_equal(got.values[others], sound.values[others])


def test_too_many_steps_is_said() -> None:
    kernel = build_kernel(sbml(STIFF))
    got = kernel.solve(kernel.defaults, [0.0, 1e4], max_steps=5)
    assert got.status[0] == Status.TOO_MANY_STEPS
    assert "max_steps" in Status(int(got.status[0])).advice


@pytest.mark.parametrize("base", [-2.5, -1.0, 0.0, 1e-9, 0.3, 1.0, 7.5, 1e8])
@pytest.mark.parametrize("exponent", [-3.0, -0.5, 0.0, 0.5, 1.0, 2.0, 2.7, 20.0, 21.0])
def test_powers_follow_ieee(base: float, exponent: float) -> None:
    kernel = build_kernel(sbml("b = 1; e = 1; p := b^e; s' = 0; s = 0"))
    got = kernel.solve(kernel.row(b=base, e=exponent), [0.0], outputs=["p"]).values[0, 0, 0]
    with np.errstate(all="ignore"):
        want = np.float64(base) ** np.float64(exponent)
    if math.isnan(want):
        assert math.isnan(got)
    else:
        assert got == pytest.approx(want, rel=3e-13 if abs(want) < 1e100 else 1e-11)


@pytest.mark.parametrize("function", ["exp", "ln", "sqrt", "floor", "ceil", "abs", "sin", "cos", "arctan", "tanh"])
def test_functions_agree_with_libm(function: str) -> None:
    kernel = build_kernel(sbml(f"x = 1; f := {function}(x); s' = 0; s = 0"))
    x = np.array([-7.3, -1.0, -0.2, 1e-8, 0.4, 1.0, 2.5, 30.0, 300.0])
    rows = np.tile(kernel.defaults, (x.size, 1))
    rows[:, kernel.index("x")] = x
    got = kernel.solve(rows, [0.0], outputs=["f"]).values[:, 0, 0]
    names = {"ln": "log", "arctan": "arctan"}
    with np.errstate(all="ignore"):
        want = getattr(np, names.get(function, function))(x)
    np.testing.assert_allclose(got, want, rtol=1e-14)


def test_a_condition_on_time_is_a_stop_and_not_stepped_across() -> None:
    """A square pulse integrates exactly whatever the tolerance, since no step crosses its edges."""
    kernel = build_kernel(sbml("x' = piecewise(5, time > on && time <= off, 0); x = 0; on = 1.3; off = 2.7"))
    got = kernel.solve(kernel.defaults, [1.3, 2.0, 2.7, 9.0], rtol=1e-2, atol=1e-2).values[0, :, 0]
    np.testing.assert_allclose(got, [0, 3.5, 7.0, 7.0], rtol=1e-12, atol=1e-12)


def test_the_time_of_a_condition_may_be_computed_by_a_rule() -> None:
    kernel = build_kernel(sbml("x' = piecewise(5, time > on, 0); x = 0; half = 0.65; on := 2*half"))
    got = kernel.solve(kernel.defaults, [1.3, 2.0], outputs=["x"], rtol=1e-2, atol=1e-2).values[0, :, 0]
    np.testing.assert_allclose(got, [0, 3.5], rtol=1e-12, atol=1e-12)


def test_portable_bits_match_another_compiler_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without contraction and libm the lanes' width and the compiler's level change no bit."""
    text, times = sbml(ORAL.replace("k*body", "k*body^p/(3^p + body^p)") + "; p = 1.7"), np.linspace(0, 30, 11)
    table = events((0.5, 0, 0, 40.0))

    def run(lanes: int, level: int) -> np.ndarray:
        original = build.native_target(portable=True)
        target = build.Target(lanes, original.flags, True)
        monkeypatch.setattr(build, "native_target", lambda portable=False: target)
        kernel = build_kernel(text, inputs=["rate"], portable=True, optimise=level)
        monkeypatch.undo()
        return kernel.solve(kernel.defaults, times, events=table).values

    first = run(8, 2)
    assert np.isfinite(first).all()
    for lanes, level in [(2, 2), (4, 0), (1, 3)]:
        np.testing.assert_array_equal(run(lanes, level), first)


def test_agrees_with_roadrunner() -> None:
    roadrunner = pytest.importorskip("roadrunner")
    text = sbml(STIFF)
    kernel, times = build_kernel(text), np.array([0.0, 1e-3, 0.1, 4.0, 40.0, 400.0])
    reference = roadrunner.RoadRunner(text)
    reference.integrator.relative_tolerance, reference.integrator.absolute_tolerance = 1e-10, 1e-14
    reference.timeCourseSelections = list(kernel.states)
    want = np.array(reference.simulate(times=list(times)))
    got = kernel.solve(kernel.defaults, times, outputs=kernel.states, rtol=1e-10, atol=1e-14).values[0]
    np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-12)


def test_a_cached_kernel_runs_no_algebra_and_no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    text = sbml(ORAL)
    first = build_kernel(text, inputs=["rate"])
    monkeypatch.setattr(build, "_build", lambda *a: pytest.fail("built again"))
    again = build_kernel(text, inputs=["rate"])
    assert again.fingerprint == first.fingerprint


def test_a_cache_that_others_can_write_is_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    shared = tmp_path / "kernels"  # type: ignore[operator]
    shared.mkdir()
    shared.chmod(0o777)
    monkeypatch.setenv("ANTAGONY_CACHE", str(tmp_path))
    build.cache_folder.cache_clear()
    try:
        with pytest.warns(RuntimeWarning, match="can be written by others"):
            folder = build.cache_folder()
        assert folder != shared
    finally:
        build.cache_folder.cache_clear()


def test_a_missing_compiler_names_both_remedies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(build, "find_spec", lambda name: None)
    build.find_compiler.cache_clear()
    try:
        with pytest.raises(CompilerError, match=r"gcc or clang(.|\n)*antagony\[compiler\]"):
            build.find_compiler()
    finally:
        build.find_compiler.cache_clear()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("x' = -x; x = 1; at (x == 0.5): x = 2", "trigger that asks whether moving quantities are equal"),
        ("x' = delay(x, 1); x = 1", "delay"),
    ],
)
def test_what_is_not_covered_is_refused_by_name(text: str, named: str) -> None:
    with pytest.raises(UnsupportedError, match=named):
        build_kernel(sbml(text))


def applied(call: str) -> str:
    """A model of one state whose rate is a call, as nobody's editor would write it."""
    math = '<math xmlns="http://www.w3.org/1998/Math/MathML">'
    function = f"{math}<lambda><bvar><ci>a</ci></bvar><ci>a</ci></lambda></math>"
    return (
        '<sbml xmlns="http://www.sbml.org/sbml/level3/version2/core" level="3" version="2"><model id="m">'
        f'<listOfFunctionDefinitions><functionDefinition id="f">{function}</functionDefinition>'
        '</listOfFunctionDefinitions><listOfParameters><parameter id="x" value="1" constant="false"/>'
        "</listOfParameters><listOfRules>"
        f'<rateRule variable="x">{math}<apply>{call}</apply></math></rateRule></listOfRules></model></sbml>'
    )


@pytest.mark.parametrize(
    "call", ["<max/>", "<sin/><ci>x</ci><ci>x</ci>", "<rem/><ci>x</ci>", "<ci>f</ci><ci>x</ci><ci>x</ci>"]
)
def test_a_function_of_too_few_or_too_many_is_refused(call: str) -> None:
    with pytest.raises(UnsupportedError, match=r"too few or too many in (max|sin|rem)|takes 1 arguments"):
        build_kernel(applied(call))


@pytest.mark.parametrize("name", ["<ci/>", "<ci> </ci>", "<ci> <ci>x</ci> x </ci>"])
def test_an_empty_name_is_refused(name: str) -> None:
    with pytest.raises(UnsupportedError, match="a name is empty"):
        build_kernel(applied(f"<times/>{name}<ci>x</ci>"))


def test_wrong_arrays_are_refused(oral: Kernel) -> None:
    with pytest.raises(KernelError, match="did you mean"):
        oral.row(kaa=1.0)
    with pytest.raises(KernelError, match="ascending"):
        oral.solve(oral.defaults, [2.0, 1.0])
    with pytest.raises(KernelError, match="before the start"):
        oral.solve(oral.defaults, [-1.0, 1.0])
    with pytest.raises(KernelError, match="no output"):
        oral.solve(oral.defaults, [1.0], outputs=["gutt"])
    with pytest.raises(KernelError, match="parameters given"):
        oral.solve([1.0], [1.0])
