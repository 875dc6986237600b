"""Does a plan keep what its ranking promised? Whole trials, patient by patient, weighed by what the rivals expected.

    posterior draw of a rival -> patients enrolled, treated, rated, lost, read -> estimates (antagony trial's analysis)
    -> p(estimates | rival) for every rival -> decisive? misleading?

Forecasts stand on one side only: the results come from trials that know nothing of them. A few results are weighed
again by tempered sampling of everything at once, published studies and the new trial.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from ..analysis import estimate
from ..case import Case
from ..design import SCORE, Plan
from ..errors import SimulationError, StudyError
from ..parameters import Parameter, Prior
from ..population import Draws
from ..posterior.bank import lay_out, run_courses
from ..posterior.cloud import fit_proposal, resample_cloud, score, spread_trials
from ..posterior.prediction import keep_needed_points, trial_priors
from ..posterior.tempering import log_sum, temper
from ..simulation import simulate
from ..trial import TOLERANCES, Bench
from .expectations import Source, group_runs, outline_and_layout, run_early
from .forecast import Forecaster, Posterior
from .information import Effects, Expected, Figure, log_density_by_group
from .ranking import Ranker

Array = NDArray[np.float64]
Progress = Callable[[str, int, int], None]

TRIALS = 200  # simulated from each rival
PARTICLES, ISLANDS, MOVES = 48, 2, 8  # of the tempered sampler, which begins near the posterior


@dataclass(frozen=True, slots=True)
class Confirmed:
    """Promised and found, over trials simulated from every rival.

    `decisive` and `misleading`: (promised, found) with errors; `pairs`: (true, other) -> shares found. `results`
    (trial, contrast) of `truth` (trial, rival's number) and `factors` (trial, rival): log density under each;
    `counting`: median posterior draws of the true mechanism that still count once the new result is known.
    """

    plan: Plan
    n: int
    rivals: tuple[str, ...]
    decisive: tuple[Figure, Figure]
    misleading: tuple[Figure, Figure]
    pairs: Mapping[tuple[str, str], tuple[float, float]]
    results: Array
    truth: NDArray[np.int64]
    factors: Array
    counting: float


def confirm_plan(
    ranker: Ranker, plan: Plan, n: int, *, trials: int = TRIALS, progress: Progress | None = None
) -> Confirmed:
    """Simulate `trials` of a plan of `n` patients from every rival, and weigh each by all of them."""
    forecasts = {k: f for k, f in ranker.expect([plan], ranker.ask.realism)[plan.id].items() if isinstance(f, Expected)}
    if not forecasts:
        raise StudyError(f"{plan.id}: of animals signs alone are asked; there is no trial to simulate")
    if plan.periods > 1 and any(e.output != SCORE for e in plan.estimands):
        raise StudyError(f"{plan.id}: readings of a crossover are not simulated; confirm a parallel design")
    if plan.periods > 1 and not ranker.ask.realism.carry_over:
        raise StudyError(f"{plan.id}: whole trials have carry-over; confirm it with carry-over on")
    promised = ranker.evidence(forecasts, n)
    loads = {slug: np.einsum("d,die->ie", f.weight, f.loads) for slug, f in forecasts.items()}
    results, truth, members, groups = [], [], [], []
    for r, rival in enumerate(ranker.rivals):
        for source, count in _deal(ranker, rival.members, trials):
            seed, load = 1000 * r + len(results), loads[source.slug]
            found, runs = simulate_results(ranker, source, plan.resized(n), count, load, seed=seed)
            known = group_runs(ranker.case, source, ranker.question)
            results.append(found)
            truth += [r] * count
            members += [source.slug] * count
            groups += [known.get(int(run), -1) for run in runs]
        if progress is not None:
            progress(f"{plan.id}: trials from {rival.name}", r + 1, len(ranker.rivals))
    joined, labels = np.concatenate(results), np.array(truth)
    whole = {slug: _judge_apart(joined, f, ranker.effects, n, np.array(groups)) for slug, f in forecasts.items()}
    columns = [
        log_sum(np.stack([whole[slug] + math.log(w) for slug, w in rival.members.items() if w > 0], axis=1))
        for rival in ranker.rivals
    ]
    factors = np.stack(columns, axis=1)
    pairs, decisive, misleading = _count(factors, labels, [r.name for r in ranker.rivals], ranker.ask.bound)
    counting = [_still_counting(joined[i], forecasts[slug], ranker.effects, n) for i, slug in enumerate(members)]
    return Confirmed(
        plan, n, tuple(r.name for r in ranker.rivals), (promised.decisive, decisive),
        (promised.misleading, misleading), pairs, joined, labels, factors, float(np.median(counting)),
    )  # fmt: skip


def _judge_apart(results: Array, model: Expected, effects: Effects, n: float, groups: NDArray[np.int64]) -> Array:
    """Log density (trial) without the group of draws that holds the run behind each trial; -1 where none does."""
    logs, mass = log_density_by_group(results, model, effects, n)
    own = groups[:, None] == np.arange(len(mass))
    rest = np.where(own, 0.0, mass).sum(axis=1)
    return log_sum(np.where(own & (rest[:, None] > 0), -np.inf, logs)) - np.log(np.where(rest > 0, rest, 1.0))


def _deal(ranker: Ranker, members: Mapping[str, float], trials: int) -> list[tuple[Source, int]]:
    """Trials shared out to the structures of a rival's mechanisms, in proportion to their weight."""
    sources = [s for s in ranker.sources if members.get(s.slug, 0) > 0]
    edges = np.cumsum([members[s.slug] * s.share for s in sources])
    ends = np.round(trials * edges / edges[-1]).astype(int)
    counts = np.diff([0, *ends]).tolist()
    return [(source, count) for source, count in zip(sources, counts, strict=True) if count]


def simulate_results(
    ranker: Ranker, source: Source, plan: Plan, count: int, loads: Array, *, seed: int
) -> tuple[Array, NDArray[np.int64]]:
    """Estimates (trial, contrast) of whole trials, each with a posterior draw, patients and losses of its own.

    The trial's own shifts, of `loads` (contrast, effect) for each point of SD between trials, are added as forecasts
    have them. Also the early run of the draw behind each (trial).
    """
    case, cloud, realism = ranker.case, source.cloud, ranker.ask.realism
    probability = cloud.posterior(cloud.value(None, case.rules.trial_sd if case.rules else 1.0))
    chosen = resample_cloud(probability, count, seed=seed + 11)
    rng = np.random.default_rng([ranker.ask.seed, seed, 83])
    rng.shuffle(chosen)
    drawn = cloud.cube.draws(cloud.u[chosen]).values
    rows = case.parameters(source.slug, cloud.structure.variants)
    own = {
        name: np.asarray(prior.quantile(rng.random(count))) for name, prior in _free_priors(case, plan, rows).items()
    }
    truths = Draws(count, None, {**drawn, **own})
    bench = Bench(case, source.slug, plan, realism, ranker.ask.seed + seed, None, truths, cloud.structure.variants,
                  uncertain=True)  # fmt: skip
    rated, read = run_trials(bench, plan, np.arange(count))
    columns = [
        estimate(plan, e, rated).value if e.output == SCORE else _read_contrast(plan, e.arms, read[e.output, e.time])
        for e in plan.estimands
    ]
    sd = rng.choice(ranker.effects.sds, count, p=ranker.effects.weights) * float(realism.heterogeneity)
    shift = sd[:, None] * (rng.standard_normal((count, loads.shape[1])) @ loads.T)
    return np.stack(columns, axis=1) + shift, cloud.early[chosen]


def _free_priors(case: Case, plan: Plan, rows: Mapping[str, Parameter]) -> dict[str, Prior]:
    """What a trial draws for itself and its plan does not state."""
    known = {*plan.trial.numbers, *case.trial}
    return {k: p for k, p in trial_priors(case, plan.trial, rows).items() if k not in known}


def run_trials(bench: Bench, plan: Plan, replicates: NDArray[np.int64]) -> tuple[Array, dict[tuple[str, float], Array]]:
    """Ratings (trial, patient, rating), and what an instrument reads by output and time (trial, patient)."""
    size, patients = len(replicates), plan.patients
    recruits, people = bench.recruit(replicates)
    outputs = [SCORE, *dict.fromkeys(e.output for e in plan.estimands if e.output != SCORE)]
    true = np.empty((size, patients, len(bench.visits)))
    asked = {(e.output, e.time): e.reading for e in plan.estimands if e.output != SCORE}
    read = {key: np.empty((size, patients)) for key in asked}
    rng = np.random.default_rng([bench.seed, 89])
    for i, sequence in enumerate(plan.sequences):
        members = plan.members(i)
        rows = (np.arange(size)[:, None] * patients + np.arange(patients)[members]).ravel()
        run = simulate(
            bench.mechanism, {"arm": bench.join(sequence)}, bench.clock, population=people.take(rows), outputs=outputs,
            tolerances=TOLERANCES,
        )  # fmt: skip
        if failures := run.attrs["failures"]:
            raise SimulationError(f"{plan.id}: a patient could not be simulated: {failures[0]}")
        true[:, members] = run[SCORE].to_numpy()[0, 0].reshape(size, -1, len(bench.visits))
        for (output, time), reading in asked.items():
            values = run[output].to_numpy()[0, 0].reshape(size, -1, len(bench.visits))[:, :, plan.column(0, time)]
            error = (reading.value if reading else 0.0) * bench.realism.residual
            read[output, time][:, members] = values + error * rng.standard_normal(values.shape)
    rated = bench.rate(true, recruits.residual.reshape(true.shape))
    if bench.plan.enrolment.least is not None or bench.plan.enrolment.most is not None:
        rated[:, :, 0] = recruits.rated.reshape(size, patients)
    bench.lose(rated, true, recruits.chance.reshape(true.shape))
    for (_, time), values in read.items():
        values[~np.isfinite(rated[:, :, plan.column(0, time)])] = np.nan
    return rated, read


def _read_contrast(plan: Plan, arms: tuple[str, ...], read: Array) -> Array:
    """First arm minus second, or of four the difference of two such, among those read (trial)."""
    names = [sequence[0] for sequence in plan.sequences]
    total = np.zeros(len(read))
    for sign, name in zip((1.0, -1.0, -1.0, 1.0), arms, strict=False):
        total += sign * np.nanmean(read[:, plan.members(names.index(name))], axis=1)
    return total


def _count(
    factors: Array, truth: NDArray[np.int64], names: list[str], bound: float
) -> tuple[dict[tuple[str, str], tuple[float, float]], Figure, Figure]:
    """Shares of decisive and misleading evidence by pair and on average, with binomial errors."""
    reach, pairs, variances = math.log(bound), {}, []
    for i, true in enumerate(names):
        here = factors[truth == i]
        for j, other in enumerate(names):
            if i != j:
                gap = here[:, i] - here[:, j]
                pairs[true, other] = float(np.mean(gap > reach)), float(np.mean(gap < -reach))
        # results of one truth enter all of its pairs: their mean over the others, trial by trial
        others = [j for j in range(len(names)) if j != i]
        gaps = here[:, [i]] - here[:, others]
        variances.append([np.var((s * gaps > reach).mean(axis=1)) / len(here) for s in (1, -1)])
    errors = np.sqrt(np.sum(variances, axis=0)) / len(names)
    means = np.mean([*pairs.values()], axis=0)
    return pairs, Figure(float(means[0]), float(errors[0])), Figure(float(means[1]), float(errors[1]))


def log_densities(result: Array, model: Expected, effects: Effects, n: float) -> Array:
    """Log density (draw) of one result (contrast) under each draw by itself."""
    covariance = model.covariance / n
    square = effects.sds[:, None, None, None] ** 2 * (model.loads @ model.loads.transpose(0, 2, 1))
    whole = covariance[None] + square + 1e-12 * np.eye(covariance.shape[-1])
    gap = result - model.mean
    solved = np.linalg.solve(whole, np.broadcast_to(gap[None, :, :, None], (*whole.shape[:3], 1)))[..., 0]
    _, determinant = np.linalg.slogdet(whole)
    logs = -0.5 * ((gap * solved).sum(axis=-1) + determinant + len(result) * math.log(2 * math.pi))
    return log_sum(logs.T + np.log(effects.weights))


def _still_counting(result: Array, model: Expected, effects: Effects, n: float) -> float:
    """Effective number of posterior draws once a result is known."""
    logs = log_densities(result, model, effects, n) + np.log(model.weight)
    weight = np.exp(logs - logs.max())
    return float(weight.sum() ** 2 / (weight**2).sum())


# --- the whole posterior again ---------------------------------------------------------------------------------------


def temper_result(
    ranker: Ranker, source: Source, plan: Plan, n: int, result: Array, *, seed: int, tell: Callable[[str], None]
) -> tuple[float, float]:
    """log p(result | published studies) of one structure by tempered sampling of both, and its error [nat].

    part 1: published studies * prior / normal fitted to the stored cloud;      part 2: the new result
    """
    case, cloud = ranker.case, source.cloud
    if case.rules is None:
        raise StudyError(f"{case.folder}: no weighing.toml, so nothing says how results are judged")
    sd = case.rules.trial_sd
    studies = keep_needed_points(case, lay_out(case, cloud.structure, kinetics=None))
    question = ranker.question
    outline, layout = outline_and_layout(case, source, [plan], question)
    priors = sorted(trial_priors(case, plan.trial, case.parameters(source.slug, cloud.structure.variants)).items())
    proposal = fit_proposal(cloud, cloud.value(None, sd))
    own, extra = studies.cube.size, [n for n in layout.cube.names if n not in studies.cube.names]
    width = own + len(extra) + len(priors)

    def evaluate(white: Array) -> tuple[Array, Array]:
        z = proposal.reference.centre + np.einsum("nj,ij->ni", white[:, :own], proposal.reference.factor)
        u = np.clip(ndtr(z), 1e-9, 1 - 1e-9)
        rest = np.clip(ndtr(white[:, own:]), 1e-9, 1 - 1e-9)
        carried = run_courses(studies, studies.cube.draws(u))
        published = spread_trials(score(case, studies, carried, u).total(), sd) - proposal.log_ratio(z)
        columns = [
            u[:, studies.cube.column(name)] if name in studies.cube.names else rest[:, extra.index(name)]
            for name in layout.cube.names
        ]
        draws = layout.cube.draws(np.column_stack(columns))
        trial = {name: np.asarray(p.quantile(rest[:, len(extra) + k])) for k, (name, p) in enumerate(priors)}
        each = np.arange(len(white))
        posterior = Posterior(draws, each, np.full(len(white), 1 / len(white)), each % 8, trial)
        forecaster = Forecaster(case, layout, outline, run_early(layout, posterior), posterior, question.stream)
        expected = forecaster.expect(plan, ranker.ask.realism)
        logs = np.where(expected.weight > 0, log_densities(result, expected, ranker.effects, n), -np.inf)
        return np.column_stack([published, logs]), np.zeros((len(white), 1))

    def progress(powers: Array, log_normaliser: float) -> None:
        tell(f"{source.cloud.structure.name}: {', '.join(f'{p:.2g}' for p in powers)}")

    run = temper(
        evaluate, width, parts=2, particles=PARTICLES, islands=ISLANDS, moves=MOVES, seed=[seed, 97], progress=progress
    )
    ends = np.argmax(run.powers == 1.0, axis=0)
    gain = run.log_normaliser[ends[1]] - run.log_normaliser[ends[0]]
    value = float(run.log_marginal[1] - run.log_marginal[0])
    return value, float(np.std(gain, ddof=1) / math.sqrt(len(gain)))


def importance_result(ranker: Ranker, source: Source, plan: Plan, n: int, result: Array) -> tuple[float, float]:
    """The same number from the stored draws: log mean of the result's density over the posterior, and its error."""
    alone = replace(source, share=1.0)
    found = ranker.expect_of([alone], plan)
    logs = log_densities(result, found, ranker.effects, n) + np.log(found.weight)
    without = [found.group != g for g in np.unique(found.group)]
    by_group = np.array([float(log_sum(logs[keep])) - math.log(found.weight[keep].sum()) for keep in without])
    size = len(by_group)
    error = math.sqrt((size - 1) / size * float(((by_group - by_group.mean()) ** 2).sum()))
    return float(log_sum(logs)), error
