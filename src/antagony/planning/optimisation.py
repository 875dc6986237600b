"""The best member of a family of plans: doses, timing, visits and allocation that tell the rivals apart best.

    Optuna's tree-structured Parzen estimator over the numbers that a plan leaves open -> bits at the patients that the
    budget buys;   every trial looks at the same draws, results and patients, so that differences are the plans' own

What the search found is judged anew with other random numbers and more draws, beside the plan as it was: the best of
many estimates flatters itself.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..case import Case
from ..design import Plan, Variable, read_plan
from ..errors import AntagonyError, StudyError
from ..workers import HERE, Workers
from .expectations import DRAWS, Question, expect_plans
from .information import Evidence
from .ranking import ASK, GRID, Ask, Ranker, patients_for

if TYPE_CHECKING:
    import optuna

Progress = Callable[[str, int, int], None]

TRIALS = 48  # plans that a search looks at
FIRST = 12  # of them spread over the whole family before anything is learned
TOGETHER = 4  # plans that are forecast in one go
SEARCH_DRAWS = 96  # posterior draws of a mechanism while searching
SEARCH_RESULTS = 128
SPREAD = 3.0  # an arm may have up to so many times as many patients as planned, or as few
LEADERS = 3  # members of the family that the front is taken from, besides the best
FRESH = 1000  # added to the stream when the best is judged anew, and the results drawn then


@dataclass(frozen=True, slots=True)
class Tried:
    """One plan of a family: its open numbers, shares of patients by group, patients, and bits as the search saw it."""

    values: Mapping[str, float]
    shares: tuple[float, ...]
    n: int
    bits: float


UNRUN = Tried({}, (), 0, -1.0)
"""Numbers that make no plan."""


@dataclass(frozen=True, slots=True)
class Optimised:
    """What a search found.

    `plan` with its `evidence`, and the plan as it was with its own (`start`), both judged anew; `gain` in bits with its
    error; `tried` in order; `front`: for how many patients which of the leaders gives most, fewest first, where more
    patients give more; `planned`: the same of the plan as it was.
    """

    plan: Plan
    evidence: Evidence
    start: Evidence
    gain: tuple[float, float]
    tried: tuple[Tried, ...]
    front: tuple[Tried, ...]
    planned: tuple[Tried, ...]
    seconds: float


def optimise_plan(
    case: Case,
    plan: Plan,
    ask: Ask = ASK,
    *,
    trials: int = TRIALS,
    allocation: bool = True,
    workers: Workers = HERE,
    progress: Progress | None = None,
) -> Optimised:
    """Search a family for the plan with the most expected information under the asked patients or budget.

    Raises StudyError for a plan that leaves nothing open, and where Optuna is not installed.
    """
    begun = time.perf_counter()
    groups = len(plan.sequences) if allocation and plan.design.kind == "parallel" else 1
    if not plan.variables and groups == 1:
        raise StudyError(f"{plan.id}: no number is left open ([[vary]]) and no group to allocate, so nothing to search")
    if not plan.is_human:
        raise StudyError(f"{plan.id}: of animals signs alone are asked; no number of theirs moves the information")
    ranker = Ranker(case, ask, None, workers)
    fit, refused = ranker.refuse([plan])
    if not fit:
        raise StudyError(f"{plan.id}: {refused[plan.id]}")
    search = _Search(ranker, plan, groups)
    study = _study(ask.seed, search)
    tried: list[Tried] = []
    while len(tried) < trials:
        some = [study.ask() for _ in range(min(TOGETHER, trials - len(tried)))]
        members = [search.suggest(trial) for trial in some]
        found = iter(search.look_at([member for member in members if member is not None]))
        for trial, member in zip(some, members, strict=True):
            one = UNRUN if member is None else next(found)
            study.tell(trial, one.bits)
            tried.append(one)
        if progress is not None:
            best = max(tried, key=lambda t: t.bits)
            progress(f"{plan.id}: best so far {best.bits:.3f} bits", len(tried), trials)
    best = max(tried, key=lambda t: t.bits)
    return search.conclude(best, tuple(tried), begun)


def _study(seed: int, search: _Search) -> optuna.Study:
    try:
        import optuna
    except ImportError:
        raise StudyError("searching a family needs Optuna: pip install 'antagony[design]'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=FIRST, multivariate=True, constant_liar=True)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.enqueue_trial(search.nominal)  # the plan as it is comes first
    return study


class _Search:
    """The members of one family, and how they are judged."""

    def __init__(self, ranker: Ranker, plan: Plan, groups: int) -> None:
        self.ranker, self.plan, self.groups = ranker, plan, groups
        self.planned = [size / plan.patients for size in plan.sizes]

    @property
    def nominal(self) -> dict[str, float]:
        """The plan as it is."""
        values = {v.id: self.plan.values.get(v.id, v.nominal) for v in self.plan.variables}
        return values | {_place(k): 0.0 for k in range(self.groups) if self.groups > 1}

    def suggest(self, trial: optuna.Trial) -> Plan | None:
        """A member that the sampler would like to see; None where its numbers make no plan."""
        values = {v.id: _suggest(trial, v) for v in self.plan.variables}
        shares = self.planned
        if self.groups > 1:
            reach = math.log(SPREAD)
            weights = [
                share * math.exp(trial.suggest_float(_place(k), -reach, reach)) for k, share in enumerate(self.planned)
            ]
            shares = [w / sum(weights) for w in weights]
        try:
            return self.member(values, shares, f"{self.plan.id}-{trial.number}")
        except AntagonyError:  # a visit after the next, periods that overlap
            return None

    def member(self, values: Mapping[str, float], shares: Sequence[float], name: str) -> Plan:
        """The family's plan of some numbers and shares of patients."""
        made = read_plan(self.plan.origin, values) if self.plan.variables else self.plan
        sizes = tuple(max(1, round(1000 * share)) for share in shares)
        return replace(made, id=name, sizes=sizes)

    def look_at(self, plans: Sequence[Plan]) -> list[Tried]:
        """Bits of some members, as the search sees them; one that cannot be run has none."""
        ranker, found = self.ranker, {}
        for plan in plans:
            if not ranker.refuse([plan])[1]:
                found[plan.id] = plan
        question = replace(ranker.question, draws=SEARCH_DRAWS)
        forecasts = expect_plans(ranker.case, ranker.sources, [*found.values()], question, None, ranker.workers)
        tried = []
        for plan in plans:
            n = patients_for(plan, ranker.ask.n, ranker.ask.budget) if plan.id in found else 0
            bits = -1.0
            if n:
                bits = ranker.evidence(forecasts[plan.id], n, results=SEARCH_RESULTS).bits.value
            tried.append(Tried(dict(plan.values), tuple(s / plan.patients for s in plan.sizes), n, bits))
        return tried

    def conclude(self, best: Tried, tried: tuple[Tried, ...], begun: float) -> Optimised:
        """The best and the plan as it was, judged anew with other draws, patients and results; and the front."""
        ranker = self.ranker
        ask = replace(ranker.ask, stream=ranker.ask.stream + FRESH)
        leaders = sorted({_key(t): t for t in tried if t.n}.values(), key=lambda t: -t.bits)[:LEADERS]
        members = {f"{self.plan.id}, {i + 1}": one for i, one in enumerate([best, *leaders])}
        plans = [self.member(one.values, one.shares, name) for name, one in members.items()]
        first = replace(self.plan, id=f"{self.plan.id}, as it was")
        question = Question(ask.realism, ranker.effort, ask.seed, ask.stream, DRAWS)
        forecasts = expect_plans(ranker.case, ranker.sources, [*plans, first], question, None, ranker.workers)
        found, start = (
            ranker.evidence(forecasts[p.id], patients_for(p, ask.n, ask.budget), fresh=FRESH) for p in (plans[0], first)
        )
        gain = found.bits.value - start.bits.value
        error = math.hypot(found.bits.error, start.bits.error)
        front = self._front({name: (one, forecasts[name]) for name, one in members.items()})
        planned = self._front({first.id: (tried[0], forecasts[first.id])})
        plan = replace(plans[0], id=self.plan.id, notes=self.plan.notes)
        return Optimised(plan, found, start, (gain, error), tried, front, planned, time.perf_counter() - begun)

    def _front(self, members: Mapping[str, tuple[Tried, Any]]) -> tuple[Tried, ...]:
        """Patients against bits: at each number the member that gives most, where more patients give more."""
        front: list[Tried] = []
        for n in GRID:
            if n < 2 * len(self.plan.sequences):
                continue
            at = [
                replace(one, n=n, bits=self.ranker.evidence(f, n, results=SEARCH_RESULTS, fresh=FRESH).bits.value)
                for one, f in members.values()
            ]
            most = max(at, key=lambda t: t.bits)
            if not front or most.bits > front[-1].bits:
                front.append(most)
        return tuple(front)


def _key(one: Tried) -> tuple[object, ...]:
    return (*sorted(one.values.items()), one.shares)


def _place(k: int) -> str:
    """Name of the number that scales the share of a group; no [[vary]] can bear it."""
    return f"share of group {k + 1}"


def _suggest(trial: optuna.Trial, variable: Variable) -> float:
    if variable.step is not None:
        return variable.nearest(trial.suggest_float(variable.id, variable.low, variable.high, step=variable.step))
    return trial.suggest_float(variable.id, variable.low, variable.high, log=variable.log)
