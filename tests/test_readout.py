"""Outputs read without integrating are those of a run; what counts as late moves no state; names are never executed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from antagony.case import Case, open_case
from antagony.errors import SimulationError
from antagony.kernel.build import build_kernel
from antagony.mechanism import Mechanism
from antagony.population import Draws, spread_parameters
from antagony.readout import Readout, build_readout, late_parameters, split_readout
from antagony.simulation import Arm, simulate

Array = NDArray[np.float64]

KETAMINE = "ketamine 0.5 mg/kg iv over 40 min"
BOTH = f"naltrexone 50 mg po at -45 min; {KETAMINE}"
TIMES = [0.0, 0.5, 1.0, 24.0, 168.0]
MODELS = {
    "none": ("none", ("ketamine",), {}, KETAMINE),
    "camp_crosstalk": ("camp_crosstalk", ("ketamine", "naltrexone"), {}, BOTH),
    "gated_surge": ("gated_surge", ("ketamine", "naltrexone"), {}, BOTH),
    "hnk": ("hnk", ("ketamine",), {}, KETAMINE),
    "opioid_expectancy": ("opioid_expectancy", ("ketamine", "naltrexone"), {"base": "nmda_rest"}, BOTH),
}
OUTPUTS = ("score", "drug_effect", "symptom_logit", "mtorc1_relative", "plasticity", "dissociation", "mu_relative")
MOVED = (
    "drug_effect_half",
    "drug_effect_max",
    "drug_effect_max_loss",
    "placebo_size",
    "placebo_time",
    "score_baseline",
)


@cache
def model(name: str) -> tuple[Mechanism, Arm]:
    """Composed from a case of its own, so that it can be cached."""
    slug, drugs, variants, regimen = MODELS[name]
    case = _case()
    return case.mechanism(slug, drugs, variants), Arm(case.regimen(regimen))


@cache
def _case() -> Case:
    return open_case()


def values_of(mechanism: Mechanism, names: list[str], size: int, seed: int) -> dict[str, Array]:
    """Random values about the nominal ones; a baseline stays inside its scale."""
    rng = np.random.default_rng(seed)
    found = {}
    for name in sorted(names):
        nominal = mechanism.parameters[name].nominal
        low = 1.0 if name == "score_max" else 0.6
        found[name] = nominal * rng.uniform(low, 1.6, size) if nominal else rng.uniform(0, 0.3, size)
    return found


def run(mechanism: Mechanism, arm: Arm, draws: Draws, outputs: tuple[str, ...]) -> dict[str, Array]:
    found = simulate(mechanism, {"arm": arm}, TIMES, draws=draws, outputs=outputs)
    return {name: found[name].to_numpy()[0, :, 0] for name in outputs}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("seed", [1, 2])
def test_a_readout_equals_the_run_under_changed_late_parameters(name: str, seed: int) -> None:
    """Carried from a run at nominal late values, read under others, against a run under those: early ones vary too."""
    mechanism, arm = model(name)
    late = late_parameters(mechanism)
    assert late >= {*MOVED, "unblinding_gain", "score_max", "placebo_effect_scale"}
    outputs = tuple(o for o in OUTPUTS if o in build_kernel(mechanism.sbml, inputs=mechanism.inputs).outputs)
    assert {"score", "drug_effect", "mtorc1_relative"} <= {*outputs}
    early = values_of(mechanism, [p.id for p in mechanism.uncertain if p.id not in late], 3, seed)
    changed = values_of(mechanism, sorted(late), 3, seed + 10)
    readout = build_readout(mechanism, outputs, late)
    assert {*MOVED} <= {*readout.parameters}
    carried = run(mechanism, arm, Draws(3, None, early), readout.carried)
    read = readout.read(TIMES, carried, {k: v[:, None] for k, v in changed.items()})
    wanted = run(mechanism, arm, Draws(3, None, {**early, **changed}), outputs)
    nominal = run(mechanism, arm, Draws(3, None, early), outputs)
    for output in outputs:
        np.testing.assert_allclose(np.broadcast_to(read[output], (3, len(TIMES))), wanted[output], rtol=1e-9)
    assert np.abs(nominal["score"] - wanted["score"]).max() > 1  # else nothing was shown


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("few", [MOVED, ("placebo_size",), ("score_baseline", "drug_effect_half"), ()])
def test_any_part_of_the_late_parameters_may_be_read(name: str, few: tuple[str, ...]) -> None:
    """What is not named keeps the run's values: rules that only those touch are carried."""
    mechanism, arm = model(name)
    readout = build_readout(mechanism, ["score"], few)
    assert {*readout.parameters} & late_parameters(mechanism) >= {*few}
    changed = values_of(mechanism, list(few), 3, 4)
    carried = run(mechanism, arm, Draws(3, None), readout.carried)
    read = readout.read(TIMES, carried, {k: v[:, None] for k, v in changed.items()})["score"]
    wanted = run(mechanism, arm, Draws(3, None, changed), ("score",))["score"]
    np.testing.assert_allclose(np.broadcast_to(read, wanted.shape), wanted, rtol=1e-9)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("output", ["score", "drug_effect", "mtorc1_relative"])
def test_a_readout_in_two_is_the_readout(name: str, output: str) -> None:
    """What patients share, then what each makes of it: own effects and baseline of four patients, three draws."""
    mechanism, arm = model(name)
    late = late_parameters(mechanism)
    personal = [p.id for p in spread_parameters(mechanism.parameters.values()) if p.id in late] + ["score_baseline"]
    assert {"drug_effect_scale", "placebo_effect_scale"} <= {*personal}
    shared, own = split_readout(mechanism, output, late, personal)
    assert not {*shared.parameters} & {*personal}
    whole = build_readout(mechanism, [output], late)
    needed = tuple(sorted({*whole.carried, *shared.carried}))
    ran = run(mechanism, arm, Draws(3, None, values_of(mechanism, ["drug_effect_half"], 3, 1)), needed)
    carried = {k: v[:, None] for k, v in ran.items()}  # (draw, patient, time)
    values = {k: v[:, None, None] for k, v in values_of(mechanism, sorted(late - {*personal}), 3, 5).items()}
    values |= {k: v[:, None] for k, v in values_of(mechanism, personal, 4, 6).items()}
    first = shared.read(TIMES, carried, {k: v for k, v in values.items() if k not in personal})
    second = own.read(TIMES, first, values)[output]
    wanted = whole.read(TIMES, carried, values)[output]
    shape = (3, 4, len(TIMES)) if output != "mtorc1_relative" else (3, 1, len(TIMES))
    np.testing.assert_allclose(np.broadcast_to(second, shape), np.broadcast_to(wanted, shape), rtol=1e-9)


@pytest.mark.parametrize("name", MODELS)
def test_a_score_is_shared_through_few_numbers(name: str) -> None:
    """Else patients could not be tabulated; and a drug effect stands apart from a placebo effect."""
    mechanism, _ = model(name)
    late = late_parameters(mechanism)
    shared, own = split_readout(
        mechanism, "score", late, ["drug_effect_scale", "placebo_effect_scale", "score_baseline"]
    )
    assert len(own.carried) == len(shared.outputs) == 2
    assert own.outputs == ("score",)


# --- late and early ------------------------------------------------------------------------------------------------


def states_when(mechanism: Mechanism, arm: Arm, names: list[str]) -> tuple[Array, Array]:
    """States (time, state) at nominal values, and (parameter, time, state) with one parameter changed in each draw."""
    states = tuple(build_kernel(mechanism.sbml, inputs=mechanism.inputs).states)
    values = {}
    for i, name in enumerate(names):
        nominal = mechanism.parameters[name].nominal
        column = np.full(len(names) + 1, nominal)
        column[i + 1] = 1.3 * nominal + 0.07 * (nominal == 0)
        values[name] = column
    found = simulate(mechanism, {"arm": arm}, TIMES, draws=Draws(len(names) + 1, None, values), outputs=states)
    table = np.stack([found[s].to_numpy()[0, :, 0] for s in states], axis=-1)
    return table[0], table[1:]


@pytest.mark.parametrize("name", MODELS)
def test_a_late_parameter_moves_no_bit_of_any_state(name: str) -> None:
    mechanism, arm = model(name)
    late = sorted(late_parameters(mechanism) & mechanism.parameters.keys())
    assert len(late) > 10
    rest, moved = states_when(mechanism, arm, late)
    for i, parameter in enumerate(late):
        np.testing.assert_array_equal(moved[i], rest, err_msg=parameter)


DEPOT = {"naltrexone_depot_clearance", "naltrexone_depot_volume"}
SILENT = {
    "none": {"mu_inverse_efficacy", "mtorc1_clamp", "mtorc1_time", "plasticity_time"},
    "hnk": {"mu_inverse_efficacy"},
    "opioid_expectancy": {"mtorc1_clamp", "mtorc1_time", *DEPOT},
    "camp_crosstalk": DEPOT,
    "gated_surge": DEPOT,
}
"""No antagonist, no depot: their numbers do nothing; where nothing moves mTORC1, its times do nothing either."""


@pytest.mark.parametrize("name", MODELS)
def test_an_early_parameter_moves_a_state(name: str) -> None:
    """Apart from inputs, which the doses set, and numbers of what this run does not hold."""
    mechanism, arm = model(name)
    early = sorted(mechanism.parameters.keys() - late_parameters(mechanism) - {*mechanism.inputs})
    assert len(early) > 40
    rest, moved = states_when(mechanism, arm, early)
    assert {p for i, p in enumerate(early) if np.array_equal(moved[i], rest)} == SILENT[name]


def test_a_parameter_that_moves_a_state_is_refused(case: Case) -> None:
    mechanism, _ = model("camp_crosstalk")
    early = sorted(mechanism.parameters.keys() - late_parameters(mechanism))
    assert early
    for name in early:
        with pytest.raises(SimulationError, match=rf'camp_crosstalk: "{name}" moves a state'):
            build_readout(mechanism, ["score"], ["score_baseline", name])


def test_an_unknown_output_is_refused_with_a_near_miss() -> None:
    mechanism, _ = model("none")
    with pytest.raises(SimulationError, match=r'none has no output "scor".*did you mean "score"'):
        build_readout(mechanism, ["scor"], [])


# --- names ---------------------------------------------------------------------------------------------------------

HOSTILE = ["lambda", "None", "import_os", "__import__", "exec", "x0", "x1", "E", "I", "pi", "Select", "numpy", "True"]


def sbml(parameters: Mapping[str, float], rules: Mapping[str, str], rates: Mapping[str, str]) -> str:
    """An SBML model from MathML; a rate makes a state of its parameter."""
    listed = "".join(
        f'<parameter id="{p}" value="{v}" constant="{str(p not in rates).lower()}"/>' for p, v in parameters.items()
    )
    listed += "".join(f'<parameter id="{p}" constant="false"/>' for p in rules)
    math_of = '<math xmlns="http://www.w3.org/1998/Math/MathML">{}</math>'
    both = [("rate", rates), ("assignment", rules)]
    ruled = "".join(
        f'<{kind}Rule variable="{p}">{math_of.format(m)}</{kind}Rule>' for kind, some in both for p, m in some.items()
    )
    return (
        '<sbml xmlns="http://www.sbml.org/sbml/level3/version2/core" level="3" version="2"><model id="m">'
        f"<listOfParameters>{listed}</listOfParameters><listOfRules>{ruled}</listOfRules></model></sbml>"
    )


def call(name: str, *arguments: str) -> str:
    return f"<apply><{name}/>{''.join(arguments)}</apply>"


def ci(name: str) -> str:
    return f"<ci>{name}</ci>"


def bare(text: str) -> Mechanism:
    return replace(model("none")[0], slug="bare", sbml=text)


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("role", ["state", "late", "early_rule", "output"])
def test_no_name_of_a_model_is_executed(name: str, role: str) -> None:
    """A word of Python, of sympy or of the generated text is an identifier like any other; the numbers stay right."""
    names = {"state": "level", "late": "size", "early_rule": "shifted", "output": "seen"} | {role: name}
    state, late, rule, output = names.values()
    text = sbml(
        {state: 2.0, late: 3.0, "speed": 0.5},
        {
            rule: call("plus", ci(state), "<cn>1</cn>"),
            output: call("divide", call("times", ci(late), ci(rule)), call("plus", ci(state), ci(late))),
        },
        {state: call("times", ci("speed"), ci(state))},
    )
    mechanism = bare(text)
    assert late_parameters(mechanism) == {late}
    readout = build_readout(mechanism, [output], [late])
    level, size = np.array([2.0, 5.0]), np.array([[0.5], [4.0], [7.0]])
    carried = {state: level, rule: level + 1}
    assert {*readout.carried} == {state, rule}
    read = readout.read(0.0, carried, {late: size})[output]
    np.testing.assert_allclose(read, size * (level + 1) / (level + size), rtol=1e-15)
    np.testing.assert_allclose(readout.read(0.0, carried, {})[output], 3 * (level + 1) / (level + 3), rtol=1e-15)
    assert readout.steps
    for step in readout.steps:
        code = step.function.__code__
        counted = {f"x{i}" for i in range(len(step.symbols))}
        assert {*code.co_names, *code.co_varnames} <= counted


def test_a_split_readout_executes_no_name_either() -> None:
    text = sbml(
        {"lambda": 2.0, "None": 3.0, "import_os": 0.5, "speed": 0.1},
        {
            "exec": call("times", ci("None"), ci("lambda")),
            "pi": call("plus", ci("exec"), call("times", ci("import_os"), ci("lambda"))),
        },
        {"lambda": call("times", ci("speed"), ci("lambda"))},
    )
    shared, own = split_readout(bare(text), "pi", ["None", "import_os"], ["import_os"])
    level, size, mine = np.array([[2.0], [5.0]]), np.array([[0.5], [4.0]]), np.array([1.0, 2.0, 3.0])
    first = shared.read(0.0, {"lambda": level}, {"None": size})
    np.testing.assert_allclose(own.read(0.0, first, {"import_os": mine})["pi"], level * (size + mine), rtol=1e-15)
    for readout in (shared, own):
        assert all({*s.function.__code__.co_varnames} <= {f"x{i}" for i in range(9)} for s in readout.steps)


FUNCTIONS = {
    "lt": (lambda a, b: float(a < b), 2), "leq": (lambda a, b: float(a <= b), 2), "eq": (lambda a, b: float(a == b), 2),
    "gt": (lambda a, b: float(a > b), 2), "neq": (lambda a, b: float(a != b), 2),
    "power": (math.pow, 2), "max": (max, 2), "min": (min, 2), "abs": (abs, 1), "floor": (math.floor, 1),
    "ceiling": (math.ceil, 1), "exp": (math.exp, 1), "ln": (math.log, 1), "tanh": (math.tanh, 1),
    "sin": (math.sin, 1), "arctan": (math.atan, 1), "root": (math.sqrt, 1), "minus": (lambda a, b: a - b, 2),
    "divide": (lambda a, b: a / b, 2), "quotient": (lambda a, b: float(a // b), 2), "rem": (math.fmod, 2),
}  # fmt: skip
TRUTHS = {"lt", "leq", "eq", "gt", "neq"}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_of_a_late_rule_means_what_python_means(name: str) -> None:
    function, count = FUNCTIONS[name]
    arguments = [ci("size"), ci("other")][:count]
    seen = call(name, *arguments)
    if name in TRUTHS:
        seen = f"<piecewise><piece><cn>1</cn>{seen}</piece><otherwise><cn>0</cn></otherwise></piecewise>"
    text = sbml({"size": 1.0, "other": 1.0, "state": 1.0}, {"seen": seen}, {"state": call("minus", ci("state"))})
    readout = build_readout(bare(text), ["seen"], ["size", "other"])
    a, b = np.array([0.3, 1.0, 2.5, 2.5, 4.0]), np.array([1.7, 1.0, 2.5, 0.5, 1.2])
    wanted = [function(*pair[:count]) for pair in zip(a.tolist(), b.tolist(), strict=True)]
    np.testing.assert_allclose(readout.read(0.0, {}, {"size": a, "other": b})["seen"], wanted, rtol=1e-14)


def test_a_factorial_can_be_read_late() -> None:
    text = sbml({"size": 3.0, "s": 1.0}, {"seen": call("factorial", ci("size"))}, {"s": call("minus", ci("s"))})
    readout = build_readout(bare(text), ["seen"], ["size"])
    np.testing.assert_allclose(readout.read(0.0, {}, {"size": [0.0, 1.0, 4.0]})["seen"], [1.0, 1.0, 24.0])


def test_time_is_read_too() -> None:
    now = '<csymbol definitionURL="http://www.sbml.org/sbml/symbols/time">t</csymbol>'
    text = sbml({"size": 2.0, "s": 1.0}, {"seen": call("times", ci("size"), now)}, {"s": call("minus", ci("s"))})
    readout = build_readout(bare(text), ["seen"], ["size"])
    np.testing.assert_allclose(readout.read([0.0, 3.0], {}, {"size": 5.0})["seen"], [0.0, 15.0])


def test_readouts_with_the_same_equations_have_the_same_text() -> None:
    mechanism, _ = model("none")
    one, two = (build_readout(mechanism, ["score"], MOVED) for _ in range(2))
    other = build_readout(mechanism, ["score"], late_parameters(mechanism))
    assert isinstance(one, Readout)
    assert one.text == two.text != other.text
