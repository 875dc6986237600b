"""What every rival expects of some plans: forecasts of all its structures together, stored by what they follow from.

    stored clouds -> posterior draws of each structure of weight -> courses of all plans -> Expected of each plan

A plan that was asked before is only read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..case import Case
from ..design import SCORE, Plan, Realism
from ..errors import StudyError
from ..kernel.build import cache_folder, find_compiler
from ..population import Draws
from ..posterior.again import match_draws
from ..posterior.bank import Carried, Layout, lay_out_courses, load_arrays, run_courses, store_arrays
from ..posterior.cloud import Cloud, Effort, cloud_path, resample_cloud
from ..posterior.likelihood import LogLikelihood
from ..posterior.weighing import gather_clouds, weigh_structures
from ..provenance import fingerprint_code
from ..simulation import build_kernels
from ..workers import HERE, Tell, Workers, count_steps
from .forecast import Forecaster, Outline, Posterior, outline_plans
from .information import GROUPS, Expected

Array = NDArray[np.float64]
Progress = Callable[[str, int, int], None]

DRAWS = 192  # posterior draws of a mechanism
LEAST = 16  # of a structure that has any weight
WORTH = 0.02  # posterior share below which a structure of a mechanism is left out


@dataclass(frozen=True, slots=True)
class Signs:
    """What draws of a mechanism expect of a study in animals: `hits` (draw, estimand), `weight` and `group` (draw)."""

    hits: NDArray[np.bool_]
    weight: Array
    group: NDArray[np.int64]


Forecast = Expected | Signs


@dataclass(frozen=True, slots=True)
class Source:
    """A structure of a mechanism: its share of the mechanism's posterior, and its cloud."""

    slug: str
    share: float
    cloud: Cloud


def gather_sources(
    case: Case,
    slugs: Sequence[str],
    effort: Effort,
    seed: int,
    progress: Progress | None = None,
    workers: Workers = HERE,
) -> tuple[tuple[Source, ...], dict[str, float]]:
    """Structures of weight of some mechanisms, weighed first where that was not done; and partials [nat] by mechanism.

    The partials say how mechanisms of one class are averaged.
    """
    groups = gather_clouds(case, slugs, effort, seed, progress, workers)
    sources: list[Source] = []
    partials = {}
    for slug in slugs:
        shares, partial = weigh_structures(groups[slug], case.rules.trial_sd if case.rules else 1.0)
        kept = [(float(s), g.cloud) for s, g in zip(shares, groups[slug], strict=True) if s >= WORTH]
        total = sum(share for share, _ in kept)
        sources += [Source(slug, share / total, cloud) for share, cloud in kept]
        partials[slug] = partial.value
    return tuple(sources), partials


@dataclass(frozen=True, slots=True)
class Question:
    """How plans are forecast: everything that a stored forecast follows from, apart from case, structure and plan.

    `seed` of the clouds; `stream` of what is drawn from them, of patients and of trials.
    """

    realism: Realism
    effort: Effort
    seed: int = 1
    stream: int = 1
    draws: int = DRAWS


def expect_plans(
    case: Case,
    sources: Sequence[Source],
    plans: Sequence[Plan],
    question: Question,
    progress: Progress | None = None,
    workers: Workers = HERE,
) -> dict[str, dict[str, Forecast]]:
    """Plan id -> mechanism -> what it expects; read where it is stored, run by `workers` otherwise.

    Raises StudyError where two plans bear one name.
    """
    for name in {p.id for p in plans if sum(q.id == p.id for q in plans) > 1}:
        raise StudyError(f'two plans are called "{name}"; members of a family need names of their own')
    drugs = case.with_required(_drugs_of(case, (*case.designs.values(), *plans)))
    paths = [{p.id: _path(case, source, p, question, drugs) for p in plans} for source in sources]
    known = [{p.id: _read(some[p.id]) for p in plans} for some in paths]
    missing = [[p for p in plans if some[p.id] is None] for some in known]
    # plans that differ in size alone share one forecast: two would differ in the last bit, and one be kept
    first = [{some[p.id]: p for p in reversed(lacking)} for some, lacking in zip(paths, missing, strict=True)]
    # plan by plan, so that workers begin with models that differ
    pieces = [(i, plan) for plan in plans for i, some in enumerate(first) if some.get(paths[i][plan.id]) is plan]

    def keep(place: int, found: Forecast) -> None:
        i, plan = pieces[place]
        path = paths[i][plan.id]
        _store(path, found)
        known[i] |= {p.id: found for p in missing[i] if paths[i][p.id] == path}

    if pieces:
        busy = {i: sources[i] for i in sorted({i for i, _ in pieces})}
        asked = _Asked(case, {i: take_sample(case, s, question) for i, s in busy.items()}, question, drugs)
        if not workers.afar:
            models = [case.mechanism(s.slug, drugs, s.cloud.structure.variants) for s in busy.values()]
            build_kernels(models, None if progress is None else lambda done, of: progress("compiling", done, of))
        workers.run(_forecast, asked, pieces, tell=count_steps(progress, len(pieces)), arrived=keep)
    return {p.id: _joined([(s, some[p.id]) for s, some in zip(sources, known, strict=True)]) for p in plans}


def _drugs_of(case: Case, plans: Sequence[Plan]) -> set[str]:
    return {drug for plan in plans for arm in plan.design.arms for drug in case.regimen(arm.condition.regimen).drugs}


def _joined(parts: Sequence[tuple[Source, Forecast | None]]) -> dict[str, Forecast]:
    """Structures of each mechanism together, weighted by their shares; equal groups are one."""
    found: dict[str, Forecast] = {}
    for slug in dict.fromkeys(source.slug for source, _ in parts):
        own = [(source.share, part) for source, part in parts if source.slug == slug and part is not None]
        weight = np.concatenate([share * part.weight for share, part in own])
        weight = weight / weight.sum()
        group = np.concatenate([part.group for _, part in own])
        signs = [part for _, part in own if isinstance(part, Signs)]
        if signs:
            found[slug] = Signs(np.concatenate([s.hits for s in signs]), weight, group)
            continue
        some = [part for _, part in own if isinstance(part, Expected)]
        mean, covariance, load = (np.concatenate([getattr(s, n) for s in some]) for n in ("mean", "covariance", "load"))
        found[slug] = Expected(mean, covariance, load, weight, group)
    return found


# --- one structure ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sample:
    """Posterior draws of a source, whose cloud holds them alone, without likelihoods; the run and group of each."""

    source: Source
    early: NDArray[np.int64]
    group: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Asked:
    """What all forecasts of a question share; `samples` by the number of their source."""

    case: Case
    samples: Mapping[int, Sample]
    question: Question
    drugs: Sequence[str]


def _forecast(asked: _Asked, piece: tuple[int, Plan], tell: Tell) -> Forecast:
    """What one structure expects of one plan, alone, so that a forecast does not hang on what else was asked."""
    number, plan = piece
    case, question, sample = asked.case, asked.question, asked.samples[number]
    outline, layout = outline_and_layout(case, sample.source, [plan], question, asked.drugs)
    posterior = take_posterior(sample, layout, question)
    forecaster = Forecaster(case, layout, outline, run_early(layout, posterior), posterior, question.stream)
    tell(f"{plan.id}: {sample.source.cloud.structure.name}")
    if plan.is_human:
        return forecaster.expect(plan, question.realism)
    hits, weight = forecaster.signs(plan)
    return Signs(hits, weight, posterior.group)


def outline_and_layout(
    case: Case, source: Source, plans: Sequence[Plan], question: Question, drugs: Sequence[str] | None = None
) -> tuple[Outline, Layout]:
    """Courses of some plans, and their layout in a structure; on the model that all designs of the case share."""
    outline = outline_plans(case, plans, carry_over=question.realism.carry_over)
    outputs = {SCORE, *(e.output for plan in plans for e in plan.estimands)}
    if drugs is None:
        drugs = case.with_required(_drugs_of(case, (*case.designs.values(), *plans)))
    return outline, lay_out_courses(case, source.cloud.structure, outline.courses, outputs, drugs=drugs)


def take_sample(case: Case, source: Source, question: Question) -> Sample:
    """Draws of a structure given all studies; those that share a run share a group."""
    cloud = source.cloud
    chosen, runs = _choose_draws(case, source, question)
    early = np.searchsorted(runs, cloud.early[chosen])
    groups = group_runs(case, source, question)
    group = np.array([groups[run] for run in runs.tolist()])[early]
    nothing = LogLikelihood((), np.zeros((len(chosen), 0, 0)), np.zeros((len(chosen), 0, 0)))
    even = np.full(len(chosen), -np.log(len(chosen)))
    bare = replace(cloud, likelihood=nothing, log_importance=even, without=np.empty((0, len(chosen))))
    return Sample(replace(source, cloud=replace(bare, u=cloud.u[chosen], early=early)), early, group)


def take_posterior(sample: Sample, layout: Layout, question: Question) -> Posterior:
    """The draws of a sample in the columns of a layout."""
    cloud = sample.source.cloud
    draws = match_draws(cloud, layout, cloud.u, question.stream)
    return Posterior(draws, sample.early, np.full(len(sample.early), 1 / len(sample.early)), sample.group)


def _choose_draws(case: Case, source: Source, question: Question) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of the cloud that stand for its posterior, and the early runs that they need, in order."""
    cloud = source.cloud
    probability = cloud.posterior(cloud.value(None, case.rules.trial_sd if case.rules else 1.0))
    size = max(LEAST, round(question.draws * source.share))
    chosen = resample_cloud(probability, size, seed=question.stream)
    return chosen, np.unique(cloud.early[chosen])


def group_runs(case: Case, source: Source, question: Question) -> dict[int, int]:
    """Early run -> group of its draws: dealt out from the heaviest, each structure from another group on."""
    chosen, runs = _choose_draws(case, source, question)
    count = np.bincount(np.searchsorted(runs, source.cloud.early[chosen]))
    offset = sum(map(ord, source.cloud.structure.name)) % GROUPS
    heaviest = np.argsort(-count, kind="stable")
    return {int(runs[k]): int((offset + place) % GROUPS) for place, k in enumerate(heaviest.tolist())}


def run_early(layout: Layout, posterior: Posterior) -> Carried:
    """Every course once for each run that the draws need."""
    first = np.unique(posterior.early, return_index=True)[1]
    values = {name: column[first] for name, column in posterior.draws.values.items()}
    return run_courses(layout, Draws(first.size, None, values))


# --- stored ----------------------------------------------------------------------------------------------------------


@cache
def _code() -> str:
    """Fingerprint of the modules that a forecast follows from, beside those of a cloud."""
    return fingerprint_code(__file__, beside=["design.py"], without=["workers.py"])


def _path(case: Case, source: Source, plan: Plan, question: Question, drugs: Sequence[str]) -> Path:
    """Where a forecast is stored: named after cloud, plan, question and this code."""
    bare = replace(plan, id="", title="", notes=(), origin="", findings=(), feasibility=None, variables=(), values={})
    cloud = cloud_path(case, source.cloud.structure, question.effort, question.seed).stem
    shares = [size / plan.patients for size in plan.sizes]
    parts = (cloud, source.share, replace(bare, sizes=(1,) * len(plan.sizes)), shares, question, sorted(drugs),
             find_compiler().identity)  # fmt: skip
    digest = hashlib.sha256((_code() + repr(parts)).encode()).hexdigest()
    folder = cache_folder() / "forecasts"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder / f"{digest[:24]}.npz"


def _store(path: Path, found: Forecast) -> None:
    names = ("hits", "weight", "group") if isinstance(found, Signs) else (
        "mean", "covariance", "load", "weight", "group"
    )  # fmt: skip
    store_arrays(path, {name: getattr(found, name) for name in names})


def _read(path: Path) -> Forecast | None:
    kept = load_arrays(path)
    if kept is None:
        return None
    if "hits" in kept:
        return Signs(kept["hits"], kept["weight"], kept["group"])
    return Expected(kept["mean"], kept["covariance"], kept["load"], kept["weight"], kept["group"])
