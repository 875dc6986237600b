"""Which uncertain numbers decide what a mechanism predicts: Sobol indices over the priors (sobol_2001, saltelli_2010).

    first order  S_i = Var(E[y | x_i]) / Var(y)            what is gained by knowing x_i alone
    total order  T_i = 1 - Var(E[y | all but x_i]) / Var(y)  what is left when all but x_i are known

Points of a scrambled Saltelli design in the unit cube go through the quantiles of the priors, so each number moves as
far as its prior says. The outcome scale is one of the numbers: it is drawn, not solved, for indices need independence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .case import Case, Scene
from .display import read_display
from .errors import ReportError, SimulationError
from .mechanism import Mechanism
from .parameters import Parameter
from .population import Draws
from .replay import REPLAY_TOLERANCES
from .simulation import Arm, simulate

Array = NDArray[np.float64]

SAMPLES = 512  # base points; a power of two
RESAMPLES = 200  # of the bootstrap behind each interval
LEVEL = 0.95
DAY = 24.0  # h: when a case names no finding to calibrate on
NOISE = 10.0  # errors of the solver: what varies by less does not vary


@dataclass(frozen=True, slots=True)
class Index:
    """First and total order of one number, half-widths of their 95 % intervals, and the total from half the points."""

    parameter: str
    first: float
    first_error: float
    total: float
    total_error: float
    total_half: float


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """What decides one endpoint. `indices`: most influential first; empty where it varies no more than `noise`.

    `runs` of the model behind it, `failed` of them; `dropped` base points because of those. `mean`, `sd` and `low` to
    `high` (5 and 95 %) of the endpoint over the priors.
    """

    title: str
    unit: str
    samples: int
    runs: int
    failed: int
    dropped: int
    mean: float
    sd: float
    low: float
    high: float
    noise: float
    indices: tuple[Index, ...]

    @property
    def first_sum(self) -> float:
        """First orders together: what is missing to 1 is interaction."""
        return float(sum(i.first for i in self.indices))


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: an output at a time [h] under the main scene, and, where there is one, under an antagonist too."""

    output: str
    unit: str
    time: float
    main: Scene
    antagonist: Scene | None


def find_sensitivity(
    case: Case, slug: str, *, samples: int = SAMPLES, seed: int, tell: Callable[[str], None] = lambda text: None
) -> tuple[Sensitivity, ...]:
    """Sobol indices of the change of the outcome under the main scene, and of what an antagonist takes from it.

    `samples` is the number of base points, a power of two; the model runs samples x (numbers + 2) times for each scene.
    Raises ReportError without the library SALib, or for a case that `ask_question` refuses.
    """
    question = ask_question(case)
    scenes = [s for s in (question.main, question.antagonist) if s is not None]
    mechanism = case.mechanism_for(slug, {d for scene in scenes for d in scene.regimen.drugs})
    varied = varied_parameters(mechanism, case.trial)
    if not varied:
        return ()
    tell(f"{slug}: sensitivity, {samples * (len(varied) + 2) * len(scenes)} runs")
    points = saltelli_points(len(varied), samples, seed=seed)
    changes = [_change(mechanism, scene, question, case.trial, through_priors(varied, points)) for scene in scenes]
    names = [p.id for p in varied]
    noise = NOISE * REPLAY_TOLERANCES.relative * float(np.sqrt(np.nanmean(changes[0] ** 2)))
    asked = {_title(question): changes[0]}
    if question.antagonist is not None:
        asked[_title(question, taken=True)] = changes[1] - changes[0]
    return tuple(
        decompose(names, values, samples, seed=seed, title=title, unit=question.unit, noise=noise)
        for title, values in asked.items()
    )


def ask_question(case: Case) -> Question:
    """The endpoint of a case: its outcome at the time of the finding that calibrates, else a day after the dose.

    The main scene is the first that doses; the antagonist's the first that gives the same drugs and others besides.
    Raises ReportError for a case without such a scene or without outputs.
    """
    dosed = [scene for scene in case.scenes.values() if scene.regimen.doses]
    if not dosed:
        raise ReportError(f"{case.folder / 'case.toml'}: no scene with a dose; write one below [scenes.<name>]")
    main = dosed[0]
    more = [s for s in dosed[1:] if {*s.regimen.drugs} > {*main.regimen.drugs}]
    outputs = read_display(case).outputs
    if not outputs:
        raise ReportError(f"{case.folder / 'case.toml'}: no output to ask for; write one below [outputs.<name>]")
    output = outputs[-1]
    unit = "points" if output == "score" else case.outputs[output].unit
    return Question(output, unit, _primary_time(case), main, more[0] if more else None)


def _primary_time(case: Case) -> float:
    rule = case.calibration
    if rule is not None and rule.study in case.studies:
        time = case.studies[rule.study].finding(rule.finding).time
        if time is not None:
            return time
    return DAY


def _title(question: Question, *, taken: bool = False) -> str:
    from .units import format_time

    when = format_time(question.time)
    if not taken or question.antagonist is None:
        return f"change of the {question.output} from before the dose to {when}, {question.main.title}"
    return f"{question.output} at {when}, {question.antagonist.title} minus {question.main.title}"


def varied_parameters(mechanism: Mechanism, fixed: Mapping[str, float]) -> tuple[Parameter, ...]:
    """Uncertain numbers of a model and of its doses that a trial does not state, in order of their ids."""
    rows = {**mechanism.parameters, **mechanism.dosing}
    return tuple(p for _, p in sorted(rows.items()) if p.estimate and p.prior is not None and p.id not in fixed)


def through_priors(parameters: Iterable[Parameter], points: Array) -> Draws:
    """Points of the unit cube (draw, parameter) -> values by the quantiles of the priors."""
    values = {p.id: p.prior.quantile(points[:, i]) for i, p in enumerate(parameters) if p.prior is not None}
    return Draws(len(points), None, values)


def _change(
    mechanism: Mechanism, scene: Scene, question: Question, trial: Mapping[str, float], draws: Draws
) -> Array:
    """Change of the output (draw) from just before anything is given to the time asked for; NaN where a run failed."""
    begin = min(0.0, scene.regimen.first) - 1.0
    if question.time <= begin:
        raise SimulationError(f"scene {scene.name}: nothing is given before {question.time:g} h")
    run = simulate(
        mechanism, {"scene": Arm(scene.regimen, (), trial)}, [begin, question.time], draws=draws,
        outputs=[question.output], tolerances=REPLAY_TOLERANCES,
    )  # fmt: skip
    values = run[question.output].to_numpy()[0, :, 0]
    return values[:, 1] - values[:, 0]


# --- indices ---------------------------------------------------------------------------------------------------------


def saltelli_points(dimensions: int, samples: int, *, seed: int) -> Array:
    """Points (samples x (dimensions + 2), dimensions) of a scrambled Saltelli design, strictly inside the unit cube."""
    sampler, _ = _library()
    points = sampler.sample(_problem(dimensions), samples, calc_second_order=False, scramble=True, seed=seed)
    return np.clip(points, 1e-9, 1 - 1e-9)


def decompose(
    names: Sequence[str],
    values: Array,
    samples: int,
    *,
    seed: int,
    title: str = "",
    unit: str = "",
    noise: float = 0.0,
) -> Sensitivity:
    """Indices of values (one for each point of `saltelli_points`), most influential first.

    A base point with a run that failed is left out with all that belongs to it, and counted. Values that spread by no
    more than `noise` have no indices: they would be those of the solver's errors.
    """
    blocks = values.reshape(samples, len(names) + 2)
    whole = np.isfinite(blocks).all(axis=1)
    kept = blocks[whole]
    failed, dropped = int((~np.isfinite(values)).sum()), int(samples - whole.sum())
    seen = kept[:, [0, -1]].ravel() if len(kept) else np.full(2, np.nan)  # the two independent samples of the design
    mean, sd = float(seen.mean()), float(seen.std())
    low, high = (float(q) for q in np.quantile(seen, [0.05, 0.95]))
    moves = len(kept) > 3 and float(kept.std()) > max(noise, 1e-12)
    indices = _indices(names, kept, seed) if moves else ()
    return Sensitivity(title, unit, samples, values.size, failed, dropped, mean, sd, low, high, noise, indices)


def _indices(names: Sequence[str], blocks: Array, seed: int) -> tuple[Index, ...]:
    whole, half = _analyse(len(names), blocks, seed), _analyse(len(names), blocks[: len(blocks) // 2], seed)
    columns = (whole["S1"], whole["S1_conf"], whole["ST"], whole["ST_conf"], half["ST"])
    found = [Index(name, *(float(column[i]) for column in columns)) for i, name in enumerate(names)]
    return tuple(sorted(found, key=lambda one: (-one.total, one.parameter)))


def _analyse(dimensions: int, blocks: Array, seed: int) -> Mapping[str, Any]:
    _, analyser = _library()
    return analyser.analyze(
        _problem(dimensions), blocks.ravel(), calc_second_order=False, num_resamples=RESAMPLES, conf_level=LEVEL,
        seed=np.random.default_rng([seed, 17]),  # a bare 0 would count as no seed
    )  # fmt: skip


def _problem(dimensions: int) -> dict[str, Any]:
    names = [f"x{i}" for i in range(dimensions)]
    return {"num_vars": dimensions, "names": names, "bounds": [[0.0, 1.0]] * dimensions}


def check_library() -> None:
    """Raise ReportError, with what to do, where the library behind the indices is missing."""
    _library()


def _library() -> tuple[Any, Any]:
    try:
        from SALib.analyze import sobol as analyser
        from SALib.sample import sobol as sampler
    except ImportError:
        raise ReportError('sensitivity needs the library SALib: pip install "antagony[report]"') from None
    return sampler, analyser
