"""What every engine solves: three models, and many subjects with their own parameters and dose times."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
HERE = Path(__file__).parent

VARIED = "CLk V1k Q2k Q3k CLm ke0k ka CLn Vn CLb konN kAC kmA kG kout".split()
SPREAD = 0.3  # coefficient of variation of the bench model's varied parameters, log-normal
CYCLE_SPREAD = 0.1  # of the cell cycle's: with more, some cells stop dividing
END = 336.0  # h
INFUSED, LENGTH, SWALLOWED = 35.0, 2 / 3, 50.0  # mg, h, mg
_EARLY = [0, 0.5, 1, 1.5, 1.75, 2, 2.25, 2.5, 3, 4, 6, 8, 12, 18]
_AROUND_THE_SECOND_DOSE = [160, 164, 166, 168, 169, 170, 172, 174, 176, 180, 186]
TIMES = np.unique([*_EARLY, *range(24, 157, 12), *_AROUND_THE_SECOND_DOSE, *range(192, 337, 12)]).astype(float)
CASE_TIMES = np.unique([*np.linspace(0, 4, 17), *range(5, 25), *range(28, 169, 12)]).astype(float)
CYCLE_TIMES = np.linspace(0, 600, 51)  # min, some four divisions
SLUG, VARIANTS, SCENE = "hnk", {"kinetics": "full"}, "ketamine_naltrexone"
ADD, SET_INPUT = 0, 1


@dataclass(frozen=True)
class Model:
    """One model in the forms that engines read; everything is text or numbers, so that it crosses to their processes.

    sbml: without doses, events of the model itself kept. dosed: the same with its doses as events, whose times are the
    parameters `timed`. inputs: parameters that doses set. states, parameters: names in one order for all engines;
    nominal: values of `parameters`. rates: the body of a Python function of t, y, p; diffsl: the same for diffsol;
    both None where the model has what they cannot say. division: whether the model has events of its own.
    """

    name: str
    title: str
    source: str
    sbml: str
    dosed: str
    timed: tuple[str, ...]
    inputs: tuple[str, ...]
    states: tuple[str, ...]
    parameters: tuple[str, ...]
    nominal: Array
    varied: tuple[str, ...]
    times: Array
    rates: str
    diffsl: str
    divides: bool = False


@dataclass(frozen=True)
class Problem:
    """Subjects of a model: varied (subject, varied), start (subject, state), and their doses.

    time, kind, target, value (subject, event), ascending: kind 0 adds to a state, 1 sets an input. timed (subject,
    timed): dose times as the parameters of `Model.dosed`.
    """

    varied: Array
    start: Array
    time: Array
    kind: NDArray[np.int32]
    target: NDArray[np.int32]
    value: Array
    timed: Array

    @property
    def started(self) -> Array:
        """Start of each subject once the doses of time 0 are in (subject, state)."""
        started = self.start.copy()
        for k, e in np.argwhere((self.time == 0) & (self.kind == ADD)):
            started[k, self.target[k, e]] += self.value[k, e]
        return started

    def take(self, subjects: int) -> Problem:
        """The first subjects only."""
        columns = {field.name: getattr(self, field.name)[:subjects] for field in fields(self)}
        return Problem(**columns)


def error(values: Array, reference: Array) -> tuple[float, float]:
    """Median and 99th percentile over subjects of max over time and state of |y - ref| / max over time |ref|."""
    scale = np.abs(reference).max(axis=1, keepdims=True) + 1e-12
    worst = (np.abs(values - reference) / scale).max(axis=(1, 2))
    return float(np.median(worst)), float(np.quantile(worst, 0.99))


# --- the bench model ------------------------------------------------------------------------------------------------


@lru_cache(maxsize=4)
def bench_model(doses: int = 2) -> Model:
    """The bench model; `doses` tablets and infusions, whose times are parameters of the dosed text."""
    plain = _bench_sbml("")
    names = [f"time_{kind}_{i}" for kind in ("tablet", "infusion", "end") for i in range(doses)]
    acts = [f"Dn = Dn + {SWALLOWED!r}", f"Rinf = {INFUSED / LENGTH!r}", "Rinf = 0"]
    lines = [f"{name} = {1000 + i};" for i, name in enumerate(names)]
    lines += [f"dose_{i}: at (time >= {name}), t0=false: {acts[i // doses]};" for i, name in enumerate(names)]
    return _model(
        "bench",
        f"bench model, {doses} doses of each drug over two weeks",
        "made up for this comparison: benchmarks/bench_model.ant, Apache 2.0",
        plain,
        dosed=_bench_sbml("\n".join(lines)),
        timed=tuple(names),
        inputs=("Rinf",),
        varied=tuple(VARIED),
        times=TIMES,
    )


def make_problem(subjects: int, doses: int = 2, *, seed: int = 1) -> Problem:
    """Subjects of the bench model with log-normal parameters; infusions, each 45 min after a tablet, over two weeks."""
    model, rng = bench_model(doses), np.random.default_rng(seed)
    varied = _log_normal(rng, model, subjects, SPREAD)
    begin = 1 + rng.uniform(0, 1, (subjects, doses)) + np.arange(doses) * (END / doses)
    if doses == 2:
        begin[:, 1] = 168 + rng.uniform(-12, 12, subjects)
    timed = np.concatenate([begin - 0.75, begin, begin + LENGTH], axis=1)
    gut = model.states.index("Dn")
    acts = [(ADD, gut, SWALLOWED), (SET_INPUT, 0, INFUSED / LENGTH), (SET_INPUT, 0, 0.0)]
    return _problem(model, varied, timed, [act for act in acts for _ in range(doses)], timed)


def _bench_sbml(dosing: str) -> str:
    text = (HERE / "bench_model.ant").read_text(encoding="utf-8")
    return _antimony(f"model bench\n{text}\n{dosing}\nvar Rinf;\nend\n", "bench")


# --- the packaged case ----------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def case_model() -> Model:
    """The packaged case's largest mechanism with full kinetics, as `antagony export --to sbml` writes it."""
    dosed, inputs, drawn = _exported()
    return _model(
        "case",
        f"packaged case: mechanism {SLUG}, kinetics full, {SCENE}, a week",
        "the packaged case, Apache 2.0",
        _without_events(dosed),
        dosed=dosed,
        timed=(),
        inputs=inputs,
        varied=tuple(drawn),
        times=CASE_TIMES,
    )


def make_case_problem(subjects: int, *, seed: int = 1) -> Problem:
    """Draws of the mechanism's priors; doses are the typical patient's, read back from the exported file's events."""
    from antagony.case import open_case
    from antagony.kernel.symbolic import read_system
    from antagony.population import draw_parameters

    model, case = case_model(), open_case()
    mechanism = case.mechanism(SLUG, case.scenes[SCENE].regimen.drugs, VARIANTS)
    drawn = draw_parameters(mechanism.parameters.values(), subjects, seed=seed).values
    varied = np.column_stack([drawn[name] for name in model.varied])
    times, acts = [], []
    for event in read_system(model.dosed).events:
        for change in event.assignments:
            added = change.target in model.states
            target = (model.states if added else model.inputs).index(change.target)
            times.append(float(event.trigger.args[0]))
            acts.append((ADD if added else SET_INPUT, target, float(change.value.as_coeff_Add()[0])))
    return _problem(model, varied, np.tile(times, (subjects, 1)), acts, np.empty((subjects, 0)))


@lru_cache(maxsize=1)
def _exported() -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """The exported SBML, the inputs that its doses set, and what its priors vary."""
    from antagony.case import open_case
    from antagony.exchange.model_text import compose_file
    from antagony.exchange.values import model_values
    from antagony.kernel.symbolic import read_system
    from antagony.population import draw_parameters

    case = open_case()
    scene = case.scenes[SCENE]
    mechanism = case.mechanism(SLUG, scene.regimen.drugs, VARIANTS)
    text = compose_file(case, mechanism, model_values(case, mechanism, VARIANTS), scene.regimen).sbml
    system = read_system(text)
    inputs = [a.target for event in system.events for a in event.assignments if a.target not in system.states]
    drawn = [n for n in draw_parameters(mechanism.parameters.values(), 1, seed=1).values if n in system.values]
    return text, tuple(dict.fromkeys(inputs)), tuple(drawn)


def _without_events(text: str) -> str:
    import libsbml

    document = libsbml.readSBMLFromString(text)
    events = document.getModel().getListOfEvents()
    while events.size():
        events.remove(0)
    return str(libsbml.writeSBMLToString(document))


# --- the cell cycle -------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def cycle_model() -> Model:
    """Tyson & Novak's cell cycle; its division is an event that the state triggers."""
    sbml = _antimony((HERE / "cell_cycle.ant").read_text(encoding="utf-8"), "cell_cycle")
    return _model(
        "cycle",
        "cell cycle of budding yeast with division, ten hours",
        "Tyson & Novak, J Theor Biol 210:249 (2001); BioModels BIOMD0000000195, CC0; written from the equations",
        sbml,
        dosed=sbml,
        timed=(),
        inputs=(),
        varied=("k1", "k2pp", "k3pp", "k4", "k5pp", "k6", "k9", "k10", "k12pp", "k15p", "mu"),
        times=CYCLE_TIMES,
        divides=True,
    )


def make_cycle_problem(subjects: int, *, seed: int = 1) -> Problem:
    """Cells with log-normal rate constants; no doses."""
    model = cycle_model()
    varied = _log_normal(np.random.default_rng(seed), model, subjects, CYCLE_SPREAD)
    return _problem(model, varied, np.empty((subjects, 0)), [], np.empty((subjects, 0)))


# --- what they share ------------------------------------------------------------------------------------------------

MODELS: dict[str, tuple[Callable[[], Model], Callable[[int], Problem]]] = {
    "bench": (bench_model, make_problem),
    "case": (case_model, make_case_problem),
    "cycle": (cycle_model, make_cycle_problem),
}


def _log_normal(rng: np.random.Generator, model: Model, subjects: int, spread: float) -> Array:
    """Varied parameters (subject, varied) of that coefficient of variation around the model's own as their mean."""
    sigma = np.sqrt(np.log1p(spread**2))
    factors = np.exp(sigma * rng.standard_normal((subjects, len(model.varied))) - sigma**2 / 2)
    return factors * model.nominal[[model.parameters.index(name) for name in model.varied]]


def _problem(
    model: Model, varied: Array, time: Array, acts: list[tuple[int, int, float]], timed: Array
) -> Problem:
    """Events sorted by time; starts as the model's own formulas give them."""
    from antagony.kernel.build import build_kernel

    kernel = build_kernel(model.sbml, inputs=list(model.inputs))
    rows = np.tile(kernel.defaults, (len(varied), 1))
    rows[:, [kernel.index(name) for name in model.varied]] = varied
    start = kernel.solve(rows, [0.0], outputs=list(model.states)).values[:, 0]
    columns = np.array(acts, dtype=float).reshape(-1, 3).T
    order = np.argsort(time, axis=1, kind="stable")
    kind, target, value = (np.take_along_axis(np.broadcast_to(c, time.shape), order, axis=1) for c in columns)
    time = np.take_along_axis(time, order, axis=1)
    whole = (np.ascontiguousarray(a.astype(np.int32)) for a in (kind, target))
    return Problem(varied, start, time, *whole, np.ascontiguousarray(value), timed)


def _model(name: str, title: str, source: str, sbml: str, *, inputs: tuple[str, ...], **rest: object) -> Model:
    """A model whose names, values and rates are read from its SBML."""
    from rates import diffsl_text, python_text

    from antagony.kernel.symbolic import read_system

    system = read_system(sbml)
    parameters = tuple(n for n in system.values if n not in system.states)
    return Model(
        name,
        title,
        source,
        sbml,
        inputs=inputs,
        states=tuple(system.states),
        parameters=parameters,
        nominal=np.array([system.values[n] for n in parameters]),
        rates=python_text(system, parameters),
        diffsl=diffsl_text(system, parameters),
        **rest,  # pyright: ignore[reportArgumentType]
    )


def _antimony(text: str, name: str) -> str:
    import antimony

    antimony.clearPreviousLoads()
    if antimony.loadAntimonyString(text) < 0:
        raise RuntimeError(antimony.getLastError())
    return str(antimony.getSBMLString(name))
