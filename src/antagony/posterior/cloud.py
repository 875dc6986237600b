"""Draws of one structure with their log likelihoods under every scored study, as one weighted sample of its prior.

    prior draws block by block  ->  too few that count?  more blocks  ->  still too few?  tempered SMC, pooled with them

Blocks are replicates: what a number would be without each of them is its Monte-Carlo error. Bank and log likelihoods
are stored by the fingerprint of all that they follow from, so that a stopped run resumes and later questions only read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from ..case import Case
from ..errors import PosteriorError
from ..kernel.build import cache_folder, find_compiler
from ..study import Study
from .bank import Carried, Layout, draw_cube, kinetics_of, run_courses, store_arrays, stored_block
from .cube import Cube, Structure, rebuild_cube
from .likelihood import TRIAL_SDS, LogLikelihood, log_likelihoods, trial_sd_weights
from .prediction import Predictor
from .recycling import Pool, jackknife_error, pool
from .tempering import Tempered, log_sum, temper

Array = NDArray[np.float64]
Tell = Callable[[str], None]

TRANSLATION = "rodent_translation"


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is spent on a structure.

    Blocks of `size` early draws with `each` late draws beside every one: `blocks` at first, up to `most` while the log
    marginal's error is above `error` [nat] or fewer than `least` draws count; then tempered SMC of `particles` on each
    of `islands`. `again`: posterior draws that are looked at anew for other scorings and predictions.
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


EFFORTS = {
    "quick": Effort("quick", 64, 4, 4, 4, np.inf, 0.0, 0, 0, 96),
    "standard": Effort("standard", 512, 4, 8, 24, 0.2, 20.0, 64, 4, 768),
    "thorough": Effort("thorough", 1024, 4, 16, 64, 0.1, 100.0, 128, 8, 2048),
}


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
    """Draw blocks until the log marginal is known well enough, temper where it is not; blocks are stored one by one."""
    studies = [s.id for s in scored_studies(layout)]
    sd = case.rules.trial_sd if case.rules else 1.0
    blocks: list[_Block] = []
    while True:
        wanted = effort.blocks if not blocks else min(effort.most, 2 * len(blocks))
        for number in range(len(blocks), wanted):
            tell(f"{layout.structure.name}: block {number + 1}")
            blocks.append(_block(case, layout, effort, seed, number))
        cloud = _join(layout, blocks)
        values = cloud.value(studies, sd)
        enough = cloud.log_mean(values).error <= effort.error and cloud.effective_draws(values) >= effort.least
        if enough or len(blocks) >= effort.most:
            break
    if not enough and effort.particles:
        cloud = _temper(case, cloud, layout, effort, seed, tell)
    _store(case, cloud, effort, seed)
    return cloud


@dataclass(frozen=True, slots=True)
class _Block:
    u: Array
    likelihood: LogLikelihood
    failed: int


def _block(case: Case, layout: Layout, effort: Effort, seed: int, number: int) -> _Block:
    """One block: run, or read where it is stored, and weighed."""
    _, late = draw_cube(layout.cube, effort.size, effort.each, seed=seed, block=number)
    early, carried = stored_block(layout, effort.size, seed=seed, block=number)
    u = np.column_stack([np.repeat(early, effort.each, axis=0), late])
    return _Block(u, score(case, layout, carried, u), int(carried.failures.sum()))


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
    """Fingerprint of the package's source, apart from what only prints or draws."""
    root = Path(__file__).parent.parent
    files = sorted([*root.glob("*.py"), *(root / "kernel").glob("*"), *(root / "posterior").glob("*.py")])
    digest = hashlib.sha256()
    for path in files:
        if path.is_file() and path.stem not in FACES:
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


FACES = {
    *("cli", "printing", "report", "figures", "trial_report", "weighing_report", "weighing_figures", "matrix"),
    *("verdict", "lint", "__init__", "answer", "sentences", "weighing", "fragility", "again", "unexplained"),
}
"""Modules of which no stored number follows."""


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
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            kept = {name: file[name] for name in file.files}
    except (OSError, ValueError, BadZipFile):
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


def score(case: Case, layout: Layout, carried: Carried, u: Array) -> LogLikelihood:
    """Log likelihoods of draws whose courses were run; a draw that failed has none."""
    if case.rules is None:
        raise PosteriorError(f"{case.folder}: no weighing.toml, so there are no rules by which to score a study")
    predictions = Predictor(case, layout).predict_all(carried, layout.cube.draws(u))
    translation = case.shared[TRANSLATION].prior if TRANSLATION in case.shared else None
    found = log_likelihoods(predictions, scored_studies(layout), case.rules, translation)
    lost = np.repeat(carried.failures, len(u) // len(carried.failures))
    found.each[lost] = -np.inf
    return LogLikelihood(found.studies, _single(found.each), _single(found.last))


def _single(values: Array) -> Array:
    """In single precision: a log likelihood needs no more, and there are hundreds of millions."""
    return values.astype(np.float32)  # type: ignore[return-value]


def _join(layout: Layout, blocks: Sequence[_Block]) -> Cloud:
    """Blocks of prior draws as one cloud: equal weights."""
    sizes = [len(b.u) for b in blocks]
    replicate = np.repeat(np.arange(len(blocks)), sizes)
    total = replicate.size
    without = np.where(replicate[None] == np.arange(len(blocks))[:, None], -np.inf, 0.0)
    without -= np.log([[total - size] for size in sizes])
    each = blocks[0].u.shape[0] // _early_rows(blocks[0].u, layout)
    studies = blocks[0].likelihood.studies
    joined = (np.concatenate([getattr(b.likelihood, name) for b in blocks]) for name in ("each", "last"))
    return Cloud(
        structure=layout.structure,
        cube=layout.cube,
        u=np.concatenate([b.u for b in blocks]),
        early=np.arange(total) // each,
        likelihood=LogLikelihood(studies, *joined),
        log_importance=np.full(total, -np.log(total)),
        without=without,
        failed=sum(b.failed for b in blocks),
        evaluations=total // each,
        kinetics=kinetics_of(layout),
    )


def _early_rows(u: Array, layout: Layout) -> int:
    """How many different early draws a block has; late draws of one stand together."""
    early = u[:, : layout.cube.early_size]
    return 1 + int((np.diff(early, axis=0) != 0).any(axis=1).sum()) if early.size else len(u)


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
    return _pooled(cloud, run, pool([run], parts_of(cloud.likelihood)), shape, failed)


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


def resample_cloud(cloud: Cloud, probability: Array, size: int, *, seed: int) -> NDArray[np.int64]:
    """Positions of draws, taken in proportion to a probability (draw) by systematic resampling; in order."""
    offset = float(np.random.default_rng([seed, 41]).random())
    edges = np.cumsum(probability / probability.sum())
    return np.minimum(np.searchsorted(edges, (np.arange(size) + offset) / size), len(probability) - 1)
