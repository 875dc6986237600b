"""Draws of one structure with their log likelihoods under every scored study, as one weighted sample of its prior.

    prior draws block by block  ->  too few that count?  blocks from normals fitted to the posterior so far
                                ->  still too few?  tempered SMC, pooled with the draws of the prior

Blocks are replicates: what a number would be without each of them is its Monte-Carlo error. Bank and log likelihoods
are stored by the fingerprint of all that they follow from, so that a stopped run resumes and later questions only read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import root_scalar
from scipy.special import ndtr, ndtri

from ..case import Case
from ..errors import PosteriorError
from ..kernel.build import GENERATOR, cache_folder, find_compiler
from ..provenance import fingerprint_code
from ..study import Study
from .bank import (
    Carried,
    Layout,
    draw_cube,
    kinetics_of,
    load_arrays,
    run_courses,
    store_arrays,
    stored_blocks,
    stored_runs,
)
from .cube import Cube, Structure, list_structures, rebuild_cube
from .likelihood import TRIAL_SDS, LogLikelihood, log_likelihoods, trial_sd_weights
from .prediction import Predictor
from .recycling import Pool, jackknife_error, pool
from .tempering import Reference, Tempered, fit_reference, log_sum, normal_prior, temper

Array = NDArray[np.float64]
Tell = Callable[[str], None]

TRANSLATION = "rodent_translation"
BATCH = 256  # early draws run and scored together where blocks are smaller


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is spent on a structure.

    `blocks` of `size` early draws of the prior, each with `each` late draws beside it; then blocks from fitted normals,
    up to `most` in all, while the log marginal's error is above `error` [nat] or fewer than `least` draws count; then
    tempered SMC of `particles` on each of `islands`. `again`: posterior draws that are looked at anew for other
    scorings and predictions. `alternatives`: whether alternative equations of a mechanism are weighed beside its base.
    """

    name: str
    size: int
    each: int
    blocks: int
    most: int
    error: float
    least: float
    particles: int
    islands: int
    again: int
    alternatives: bool = True


EFFORTS = {
    "quick": Effort("quick", 48, 4, 4, 6, 0.3, 20.0, 0, 0, 96, alternatives=False),
    "standard": Effort("standard", 256, 4, 8, 24, 0.12, 60.0, 64, 4, 512),
    "thorough": Effort("thorough", 512, 4, 16, 64, 0.06, 300.0, 128, 8, 2048),
}


def structures_of(case: Case, slug: str, effort: Effort) -> tuple[Structure, ...]:
    """The structures of a mechanism that an effort weighs: all, or that of its base equations for the whole."""
    structures = list_structures(case, slug)
    return structures if effort.alternatives else (replace(structures[0], share=1.0),)


def left_at_base(case: Case, slugs: Iterable[str], effort: Effort) -> tuple[str, ...]:
    """Mechanisms with alternative equations, where an effort weighs their base equations for the whole."""
    return tuple(s for s in slugs if not effort.alternatives and len(list_structures(case, s)) > 1)


@dataclass(frozen=True)
class Cloud:
    """Weighted draws of one structure.

    `u` (draw, column) points of its `cube`; `early` (draw) number of the early draw that each shares with others;
    `log_importance` (draw) of the prior, logs of weights that sum to 1, and the same `without` each replicate
    (replicate, draw). `failed` early draws have zero likelihood. `evaluations` of early draws, `tempered` those of SMC.
    `kinetics`: numbers that differ between patients, by what a course gives.
    """

    structure: Structure
    cube: Cube
    u: Array
    early: NDArray[np.int64]
    likelihood: LogLikelihood
    log_importance: Array
    without: Array
    failed: int
    evaluations: int
    tempered: int = 0
    kinetics: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def take_prior(self, count: int) -> Cloud:
        """The first draws alone, which came from the prior."""
        likelihood = LogLikelihood(self.likelihood.studies, self.likelihood.each[:count], self.likelihood.last[:count])
        return replace(self, u=self.u[:count], early=self.early[:count], likelihood=likelihood)

    @cached_property
    def _importance(self) -> Array:
        """Weights (1 + replicate, draw): the whole, then without each replicate."""
        return np.exp(np.vstack([self.log_importance[None], self.without]))

    def value(self, keep: Iterable[str] | None, trial_sd: float) -> Array:
        """Log likelihood (draw) of some studies (all where None), the SD between trials integrated over its prior."""
        return spread_trials(self.likelihood.total(keep), trial_sd)

    def log_mean(self, values: Array, within: NDArray[np.bool_] | None = None) -> LogMean:
        """Log of the prior mean of exp(values), over draws `within` a region of the prior where one is given."""
        peak = values.max()
        if not np.isfinite(peak):
            return LogMean(-np.inf, np.full(len(self.without), -np.inf))
        weight = np.exp(values - peak)
        table = self._importance if within is None else self._importance * within
        sums, norm = (table * weight).sum(axis=1), table.sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = np.log(sums / norm) + peak
        return LogMean(float(logs[0]), logs[1:])

    def posterior(self, values: Array) -> Array:
        """Posterior weights (draw) that sum to 1, for log likelihoods (draw)."""
        logs = self.log_importance + values
        weight = np.exp(logs - logs.max())
        return weight / weight.sum()

    def effective_draws(self, values: Array) -> float:
        """Early draws that count under log likelihoods (draw): draws that share one count once."""
        weight = self.posterior(values)
        per_early = np.bincount(self.early, weights=weight)
        return float(per_early.sum() ** 2 / (per_early**2).sum())


@dataclass(frozen=True, slots=True)
class LogMean:
    """A log mean [nat] and what it is without each replicate (replicate); sums and differences keep the pairing."""

    value: float
    without: Array

    @property
    def error(self) -> float:
        """Monte-Carlo standard error by the jackknife [nat]."""
        return jackknife_error(self.without)

    def __sub__(self, other: LogMean) -> LogMean:
        """Difference of two numbers from the same draws: their errors largely cancel."""
        return LogMean(self.value - other.value, self.without - other.without)


def spread_trials(total: Array, trial_sd: float) -> Array:
    """Log likelihood (draw, trial SD) -> (draw), the SD between trials integrated over a half-normal of that scale."""
    return log_sum(total + np.log(trial_sd_weights(trial_sd)))


# --- filling -------------------------------------------------------------------------------------------------------


def scored_studies(layout: Layout) -> tuple[Study, ...]:
    """Studies of which something is scored, in order of date."""
    once = {s.study.id: s.study for s in layout.scored}
    return tuple(sorted(once.values(), key=lambda s: (s.date, s.id)))


def fill_cloud(case: Case, layout: Layout, effort: Effort, *, seed: int, tell: Tell = lambda text: None) -> Cloud:
    """Draw blocks from the prior; where too few count, from normals fitted to the posterior so far; then temper.

    Every block is stored as it comes, so that a run that was stopped goes on.
    """
    sd = case.rules.trial_sd if case.rules else 1.0
    filling = _Filling(case, layout, effort, seed, tell)
    blocks = filling.draw_prior(range(effort.blocks))
    proposals: list[Proposal] = []
    cloud = _join(layout, blocks, proposals, effort.blocks)
    while not _is_enough(cloud, effort, sd) and len(blocks) < effort.most:
        proposals.append(fit_proposal(cloud, cloud.value(None, sd)))
        more = range(len(blocks), min(effort.most, len(blocks) + effort.blocks // 2))
        blocks += filling.draw_fitted(more, len(proposals), proposals[-1])
        cloud = _join(layout, blocks, proposals, effort.blocks)
    if effort.particles and not _is_enough(cloud, effort, sd):
        cloud = _temper(case, cloud, layout, effort, seed, tell)
    _store(case, cloud, effort, seed)
    return cloud


def _is_enough(cloud: Cloud, effort: Effort, sd: float) -> bool:
    values = cloud.value(None, sd)
    return cloud.log_mean(values).error <= effort.error and cloud.effective_draws(values) >= effort.least


@dataclass(frozen=True, slots=True)
class _Block:
    """Draws of one distribution: 0 the prior, k the k-th proposal."""

    u: Array
    each: int
    source: int
    likelihood: LogLikelihood
    failed: int


class _Filling:
    """Draws blocks of one structure and scores them, small ones together."""

    def __init__(self, case: Case, layout: Layout, effort: Effort, seed: int, tell: Tell) -> None:
        self.case, self.layout, self.effort, self.seed, self.tell = case, layout, effort, seed, tell
        self.predictor = Predictor(case, layout)

    def _batches(self, numbers: range, kind: str) -> Iterator[range]:
        """Blocks that are run together; said one by one."""
        step = max(1, BATCH // self.effort.size)
        for first in range(numbers.start, numbers.stop, step):
            some = range(first, min(first + step, numbers.stop))
            for number in some:
                self.tell(f"{self.layout.structure.name}: block {number + 1}{kind}")
            yield some

    def draw_prior(self, numbers: range) -> list[_Block]:
        """Blocks of the prior."""
        size, each = self.effort.size, self.effort.each
        blocks = []
        for some in self._batches(numbers, ""):
            points, parts = [], []
            for number, (early, carried) in zip(
                some, stored_blocks(self.layout, size, seed=self.seed, blocks=some), strict=True
            ):
                _, late = draw_cube(self.layout.cube, size, each, seed=self.seed, block=number)
                points.append(np.column_stack([np.repeat(early, each, axis=0), late]))
                parts.append(carried)
            blocks += self._scored(points, parts, each, 0)
        return blocks

    def draw_fitted(self, numbers: range, source: int, proposal: Proposal) -> list[_Block]:
        """Blocks of the `source`-th proposal."""
        blocks = []
        for some in self._batches(numbers, ", fitted"):
            streams = [np.random.default_rng([self.seed, number, 3]) for number in some]
            points = [proposal.draw(self.effort.size, rng) for rng in streams]
            blocks += self._scored(points, stored_runs(self.layout, points), 1, source)
        return blocks

    def _scored(self, points: Sequence[Array], parts: Sequence[Carried], each: int, source: int) -> list[_Block]:
        whole = score(self.case, self.layout, Carried.joined(parts), np.concatenate(points), self.predictor)
        ends = np.cumsum([len(u) for u in points]).tolist()
        blocks = []
        for u, carried, end in zip(points, parts, ends, strict=True):
            here = slice(end - len(u), end)
            likelihood = LogLikelihood(whole.studies, whole.each[here], whole.last[here])
            blocks.append(_Block(u, each, source, likelihood, int(carried.failures.sum())))
        return blocks


@dataclass(frozen=True, slots=True)
class Proposal:
    """A normal distribution of z, where u = Phi(z) is a point of the cube."""

    reference: Reference

    def draw(self, size: int, rng: np.random.Generator) -> Array:
        """Points of the cube (draw, column)."""
        white = rng.standard_normal((size, len(self.reference.centre)))
        z = self.reference.centre + np.einsum("nj,ij->ni", white, self.reference.factor)
        return np.clip(ndtr(z), 1e-9, 1 - 1e-9)

    def log_ratio(self, z: Array) -> Array:
        """Log of its density over the prior's (draw)."""
        white = self.reference.whiten(z)
        _, log_scale = np.linalg.slogdet(self.reference.factor)
        return 0.5 * (z**2).sum(axis=1) - 0.5 * (white**2).sum(axis=1) - log_scale


def fit_proposal(cloud: Cloud, values: Array, *, least: float = 80.0) -> Proposal:
    """A normal about the posterior so far, tempered until `least` draws count; the prior in columns that teach nothing.

    Adaptive multiple importance sampling (cornuet_2012): draws of all proposals and of the prior are weighed together
    by their mixture, so that a bad fit costs draws, never the answer. A column is fitted where its shift and narrowing
    are beyond what so few draws show by chance: half (m^2 + v - 1 - ln v) > 3/draws.
    """
    if not np.isfinite(values).any():
        raise PosteriorError(
            f"{cloud.structure.name}: every draw failed or has zero likelihood; simulate one of its studies to see why"
        )
    values = np.where(np.isfinite(values), values, values[np.isfinite(values)].min() - 100.0)

    def spare(power: float) -> float:
        return cloud.effective_draws(power * values) - least

    power = 1.0
    if spare(1.0) < 0:
        power = float(root_scalar(spare, bracket=(0.0, 1.0), xtol=1e-3).root) if spare(0.0) > 0 else 0.0
    z = ndtri(np.clip(cloud.u, 1e-9, 1 - 1e-9))
    weight = cloud.posterior(power * values)
    mean = (weight[:, None] * z).sum(axis=0)
    variance = np.maximum((weight[:, None] * (z - mean) ** 2).sum(axis=0), 1e-3)
    gain = 0.5 * (mean**2 + variance - 1 - np.log(variance))
    taught = np.flatnonzero(gain > 3 / cloud.effective_draws(power * values))
    if not taught.size:
        return Proposal(normal_prior(z.shape[1]))
    fitted = fit_reference(z[:, taught], weight)
    centre, factor, inverse = np.zeros(z.shape[1]), np.eye(z.shape[1]), np.eye(z.shape[1])
    centre[taught] = fitted.centre
    factor[np.ix_(taught, taught)], inverse[np.ix_(taught, taught)] = fitted.factor, fitted.inverse
    return Proposal(Reference(centre, factor, inverse, np.inf))


# --- stored clouds -------------------------------------------------------------------------------------------------


def cloud_path(case: Case, structure: Structure, effort: Effort, seed: int) -> Path:
    """Where the cloud of a structure is stored: named after the case, this code, the compiler, effort and seed."""
    digest = hashlib.sha256(_code().encode())
    parts = (case.hash, structure.slug, sorted(structure.variants.items()), effort, seed, find_compiler().identity)
    digest.update(repr(parts).encode())
    folder = cache_folder() / "clouds"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder / f"{digest.hexdigest()[:24]}.npz"


@cache
def _code() -> str:
    """Fingerprint of what a cloud's numbers can follow from: not trials that might be run, nor who does the work."""
    beside = (f"kernel/{name}" for name in GENERATOR)
    return fingerprint_code(__file__, beside=beside, without=["design.py", "workers.py"])


def _store(case: Case, cloud: Cloud, effort: Effort, seed: int) -> None:
    numbers = np.array([cloud.failed, cloud.evaluations, cloud.tempered])
    columns = {"early_ids": [p.id for p in cloud.cube.early], "late_ids": [p.id for p in cloud.cube.late]}
    axes = np.array([axis[0].axis for axis in cloud.cube.axes], dtype=str)
    store_arrays(
        cloud_path(case, cloud.structure, effort, seed),
        {
            "u": cloud.u, "early": cloud.early, "each": cloud.likelihood.each, "last": cloud.likelihood.last,
            "log_importance": cloud.log_importance, "without": cloud.without, "numbers": numbers, "axes": axes,
            "kinetics": np.array([f"{given}|{' '.join(names)}" for given, names in cloud.kinetics.items()], dtype=str),
            "studies": np.array([s.id for s in cloud.likelihood.studies], dtype=str),
            **{name: np.array(ids, dtype=str) for name, ids in columns.items()},
        },
    )  # fmt: skip


def read_cloud(case: Case, structure: Structure, effort: Effort, seed: int) -> Cloud | None:
    """The stored cloud of a structure; None where there is none, or it cannot be read."""
    path = cloud_path(case, structure, effort, seed)
    kept = load_arrays(path)
    if kept is None:
        return None
    studies = tuple(case.studies[name] for name in kept["studies"].tolist())
    failed, evaluations, tempered = kept["numbers"].tolist()
    return Cloud(
        structure=structure,
        cube=rebuild_cube(case, structure, *(kept[name].tolist() for name in ("early_ids", "axes", "late_ids"))),
        u=kept["u"],
        early=kept["early"],
        likelihood=LogLikelihood(studies, kept["each"], kept["last"]),
        log_importance=kept["log_importance"],
        without=kept["without"],
        failed=failed,
        evaluations=evaluations,
        tempered=tempered,
        kinetics={given: names.split() for given, names in (line.split("|") for line in kept["kinetics"].tolist())},
    )


# --- one batch of draws --------------------------------------------------------------------------------------------


def score(case: Case, layout: Layout, carried: Carried, u: Array, predictor: Predictor | None = None) -> LogLikelihood:
    """Log likelihoods of draws whose courses were run; a draw that failed has none."""
    if case.rules is None:
        raise PosteriorError(f"{case.folder}: no weighing.toml, so there are no rules by which to score a study")
    predictions = (predictor or Predictor(case, layout)).predict_all(carried, layout.cube.draws(u))
    translation = case.shared[TRANSLATION].prior if TRANSLATION in case.shared else None
    found = log_likelihoods(predictions, scored_studies(layout), case.rules, translation)
    lost = np.repeat(carried.failures, len(u) // len(carried.failures))
    found.each[lost] = -np.inf
    return LogLikelihood(found.studies, _single(found.each), _single(found.last))


def _single(values: Array) -> Array:
    """In single precision: a log likelihood needs no more, and there are hundreds of millions."""
    return values.astype(np.float32)  # type: ignore[return-value]


def _join(layout: Layout, blocks: Sequence[_Block], proposals: Sequence[Proposal], replicates: int) -> Cloud:
    """Blocks as one cloud, weighed by the mixture of what they were drawn from (veach_1995).

        w_n ~ prior(z_n) / sum_k n_k density_k(z_n)

    Blocks are dealt out to replicates in turn.
    """
    u = np.concatenate([b.u for b in blocks])
    z = ndtri(np.clip(u, 1e-9, 1 - 1e-9))
    ratios = np.vstack([np.zeros(len(u)), *(proposal.log_ratio(z) for proposal in proposals)])
    replicate = np.concatenate([np.full(len(b.u), i % replicates) for i, b in enumerate(blocks)])
    source = np.concatenate([np.full(len(b.u), b.source) for b in blocks])
    edges = np.cumsum([0, *(len(b.u) // b.each for b in blocks)])
    early = [first + np.arange(len(b.u)) // b.each for first, b in zip(edges, blocks, strict=False)]
    importance = _mixture(ratios, source, np.ones(len(u), dtype=bool))
    without = np.array([_mixture(ratios, source, replicate != r) for r in range(replicates)])
    likelihood = LogLikelihood(
        blocks[0].likelihood.studies,
        np.concatenate([b.likelihood.each for b in blocks]),
        np.concatenate([b.likelihood.last for b in blocks]),
    )
    return Cloud(
        structure=layout.structure,
        cube=layout.cube,
        u=u,
        early=np.concatenate(early),
        likelihood=likelihood,
        log_importance=importance,
        without=without,
        failed=sum(b.failed for b in blocks),
        evaluations=int(edges[-1]),
        kinetics=kinetics_of(layout),
    )


def _mixture(ratios: Array, source: NDArray[np.int64], here: NDArray[np.bool_]) -> Array:
    """Log weights (draw) that sum to 1 over the draws `here`, -inf elsewhere; `ratios` (distribution, draw)."""
    counts = np.bincount(source[here], minlength=len(ratios))
    with np.errstate(divide="ignore"):
        logs = -log_sum((np.log(counts)[:, None] + ratios).T)
    logs = np.where(here, logs, -np.inf)
    return logs - log_sum(logs)


def _temper(case: Case, cloud: Cloud, layout: Layout, effort: Effort, seed: int, tell: Tell) -> Cloud:
    """Tempered SMC, calibrating studies first, pooled with the prior draws that are there."""
    sd = case.rules.trial_sd if case.rules else 1.0
    studies = scored_studies(layout)
    first = [s.id for s in studies if s.role == "calibrating"]
    shape = (len(studies), TRIAL_SDS.size)
    width = shape[0] * shape[1]
    failed = 0

    def parts_of(likelihood: LogLikelihood) -> Array:
        known = spread_trials(likelihood.total(first), sd)
        return np.column_stack([known, spread_trials(likelihood.total(), sd) - known])

    def evaluate(z: Array) -> tuple[Array, Array]:
        nonlocal failed
        u = np.clip(ndtr(z), 1e-9, 1 - 1e-9)
        carried = run_courses(layout, layout.cube.draws(u))
        failed += int(carried.failures.sum())
        likelihood = score(case, layout, carried, u)
        flat = likelihood.each.reshape(len(u), width)
        with np.errstate(invalid="ignore"):
            parts = parts_of(likelihood)
        return parts, np.concatenate([flat, likelihood.last.reshape(len(u), width)], axis=1)

    def progress(powers: Array, log_normaliser: float) -> None:
        tell(f"{layout.structure.name}: tempering, powers {', '.join(f'{p:.2g}' for p in powers)}")

    run = temper(
        evaluate, layout.cube.size, parts=2, particles=effort.particles, islands=effort.islands, seed=[seed, 7],
        progress=progress,
    )  # fmt: skip
    first_draws = cloud.take_prior(effort.blocks * effort.size * effort.each)
    return _pooled(first_draws, run, pool([run], parts_of(first_draws.likelihood)), shape, failed)


def _pooled(cloud: Cloud, run: Tempered, found: Pool, shape: tuple[int, int], failed: int) -> Cloud:
    """The particles of a run before the draws of a cloud, weighted together."""
    width = shape[0] * shape[1]
    each, last = (run.payload[:, k * width : (k + 1) * width].reshape(-1, *shape) for k in (0, 1))
    own = cloud.likelihood
    likelihood = LogLikelihood(own.studies, np.concatenate([each, own.each]), np.concatenate([last, own.last]))
    return replace(
        cloud,
        u=np.concatenate([ndtr(run.z), cloud.u]),
        early=np.concatenate([np.arange(len(run.z)), len(run.z) + cloud.early]),
        likelihood=likelihood,
        log_importance=found.log_importance,
        without=found.without,
        failed=cloud.failed + failed,
        evaluations=cloud.evaluations + run.evaluations,
        tempered=run.evaluations,
    )


def resample_cloud(probability: Array, size: int, *, seed: int) -> NDArray[np.int64]:
    """Positions of draws, taken in proportion to a probability (draw) by systematic resampling; in order."""
    offset = float(np.random.default_rng([seed, 41]).random())
    edges = np.cumsum(probability / probability.sum())
    return np.minimum(np.searchsorted(edges, (np.arange(size) + offset) / size), len(probability) - 1)
