"""What one mechanism, as the published studies leave it, expects of a trial: means and covariance of its contrasts.

    posterior draw -> courses of all sequences (bank) -> ratings of the same patients in every sequence -> contrasts

    contrast = sum of +-means over arms of z,   z = rating - slope * baseline (baselines adjusted for);  within patients
    where they cross over;   covariance/n from the patients' own scatter, shared arms shared;  weights = still there

Estimates of real trials scatter about these means with this covariance (tested against trials that are simulated and
analysed in full). A draw brings its own trial: size and speed of the placebo course, mean baseline.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ..case import Case
from ..condition import Probe
from ..design import IDEAL, SCORE, Estimand, Plan, Reading, Realism
from ..errors import SimulationError, StudyError
from ..parameters import Parameter
from ..population import Draws, factors_of, spread_parameters
from ..posterior.bank import Carried, Course, Layout
from ..posterior.prediction import trial_priors
from ..readout import Readout, build_readout, late_parameters
from ..replay import NO_DIFFERENCE
from ..study import trial_values
from ..trial import join_periods, period_begins
from .information import Expected

Array = NDArray[np.float64]

PATIENTS = 48  # who stand for all: quasi-random, the same for every draw, mechanism and arm
SCREENED = 16  # baselines looked at to fill a place
BETWEEN_LABS = 0.25
"""Assumed: how far readings stray from trial to trial, in SDs of one reading for each point of SD between trials."""
NO_READING = Reading(0.0, "definition")
STEP = 2.0  # points by which ratings are moved to see what a trial's own effect does to a share of responders


# --- courses of a plan -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Path:
    """Patients of one sequence as courses: where each of a patient's ratings is read.

    `reads`: (number of the course, position of its moment, hours on that course's clock) of each rating in turn;
    `late` parameters that the sequence itself sets at that rating (comparator, begin of its period).
    """

    reads: tuple[tuple[int, int, float], ...]
    late: tuple[Mapping[str, float], ...]


@dataclass(frozen=True, slots=True)
class Outline:
    """Plans as courses: what is run, and the paths of each plan (by id) through it, one a sequence."""

    courses: tuple[Course, ...]
    paths: Mapping[str, tuple[Path, ...]]


def outline_plans(case: Case, plans: Sequence[Plan], *, carry_over: bool = True) -> Outline:
    """Courses of some plans, arms with the same doses and probes run once; without carry-over each period from rest.

    Probes on what is read late (what a patient notices of the comparator, when a period's placebo course began) need no
    course of their own.
    """
    late = {case.cue, *([case.periods.start] if case.periods else [])}
    asked: list[tuple[Course, float]] = []
    routes: dict[str, list[list[tuple[int, float, Mapping[str, float]]]]] = {}
    for plan in plans:
        begins, routes[plan.id] = period_begins(case, plan), []
        for sequence in plan.sequences:
            whole = carry_over or len(sequence) == 1
            reads = []
            for period, time in plan.ratings:
                clock = begins[period] if time is None else period * plan.step + time
                shift = 0.0 if whole else period * plan.step
                arm = join_periods(case, plan, sequence if whole else (sequence[period],), {})
                probes = tuple(p for p in arm.probes if p.parameter not in late)
                restarts = tuple(sorted((k, tuple(v)) for k, v in arm.restarts.items()))
                course = Course(arm.regimen, probes, (), restarts)
                own = {k: float(v) for k, v in arm.values.items() if k in late}
                own |= _held(case, arm.probes, late, clock - shift)
                key = next((i for i, (known, _) in enumerate(asked) if known == course), len(asked))
                if key == len(asked):
                    asked.append((course, 0.0))
                reads.append((key, clock - shift, own))
            routes[plan.id].append(reads)
    moments = [
        sorted({t for reads in routes.values() for path in reads for i, t, _ in path if i == k})
        for k in range(len(asked))
    ]
    courses = tuple(replace(course, times=tuple(moments[k])) for k, (course, _) in enumerate(asked))
    paths = {
        name: tuple(
            Path(tuple((i, moments[i].index(t), t) for i, t, _ in path), tuple(own for *_, own in path))
            for path in some
        )
        for name, some in routes.items()
    }
    return Outline(courses, paths)


def _held(case: Case, probes: Sequence[Probe], late: set[str], time: float) -> dict[str, float]:
    """Values that probes on late parameters give at a time."""
    held = {}
    for p in probes:
        if p.parameter in late and (p.start is None or p.start <= time) and (p.until is None or time < p.until):
            size = case.shared[p.by].nominal if p.by else case.shared[p.parameter].nominal
            held[p.parameter] = float(p.set if p.set is not None else size * (1.0 if p.scale is None else p.scale))
    return held


# --- patients --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Cohort:
    """Standard deviates of the patients who stand for all.

    `own` (patient, parameter) of effects that differ between patients; `screened` (patient, candidate, 2) true baseline
    and rating error of those looked at to fill each place; `residual` (patient, rating). Half mirror the other half.
    """

    own: Array
    screened: Array
    residual: Array


def sample_cohort(parameters: int, ratings: int, *, patients: int = PATIENTS, seed: int) -> Cohort:
    """Patients of a trial; the first two moments of every deviate are those of a normal distribution."""
    from scipy.special import ndtri
    from scipy.stats import qmc

    half = max(1, patients // 2)
    columns = parameters + 2 * SCREENED + ratings
    engine = qmc.Sobol(columns, scramble=True, rng=np.random.default_rng([seed, 59]))
    points = engine.random_base2(max(1, int(np.ceil(np.log2(half)))))[:half]
    half_normal = ndtri(np.clip(points, 1e-9, 1 - 1e-9))
    normal = np.vstack([half_normal, -half_normal])
    normal /= np.sqrt((normal**2).mean(axis=0))
    own, screened, residual = np.split(normal, [parameters, parameters + 2 * SCREENED], axis=1)
    first = _uncorrelated(np.hstack([own, screened[:, :2], residual]))  # a few patients correlate by chance
    own, screened[:, :2], residual = np.split(first, [parameters, parameters + 2], axis=1)
    return Cohort(own, screened.reshape(len(normal), SCREENED, 2), residual)


def _uncorrelated(columns: Array) -> Array:
    """Columns of mean 0 turned so that their covariance is the identity; as many as the patients allow."""
    held = min(columns.shape[1], len(columns) // 2 - 1)
    some = columns[:, :held]
    factor = np.linalg.cholesky(some.T @ some / len(some))
    turned = np.asarray(np.linalg.solve(factor, some.T).T, dtype=float)
    return np.concatenate([turned, columns[:, held:]], axis=1)


# --- one structure ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Posterior:
    """Posterior draws of one structure of a mechanism.

    `draws` of every number, `early` (draw): the run that serves each; `weight` (draw), `group` (draw) as in `Expected`.
    `trial`: what each draw's trial draws for itself, by parameter id (draw); drawn from its prior where not given.
    """

    draws: Draws
    early: NDArray[np.int64]
    weight: Array
    group: NDArray[np.int64]
    trial: Mapping[str, Array] = field(default_factory=dict)


class Forecaster:
    """Reads what plans would show out of the courses of one structure, for the posterior draws that were run."""

    def __init__(  # noqa: D107 - the class says it
        self, case: Case, layout: Layout, outline: Outline, carried: Carried, posterior: Posterior, seed: int
    ) -> None:
        self.case, self.layout, self.outline = case, layout, outline
        self.carried, self.posterior, self.seed = carried, posterior, seed
        structure = layout.structure
        self.rows = case.parameters(structure.slug, structure.variants)
        self.late = frozenset().union(*(late_parameters(m.mechanism) & {*m.readout.parameters} for m in layout.models))
        self.spread: tuple[Parameter, ...] = tuple(
            p for p in spread_parameters(self.rows.values()) if p.id in self.late
        )

    def expect(self, plan: Plan, realism: Realism) -> Expected:
        """Means, covariance and loads of a plan's estimands, for every draw that could be solved."""
        trial = _Trial(self, plan, realism)
        columns = [trial.contrast(estimand) for estimand in plan.estimands]
        mean = np.stack([c.value for c in columns], axis=1)
        covariance = np.stack([np.stack([_covariance(a, b, plan) for b in columns], axis=1) for a in columns], axis=1)
        load = np.stack([c.load for c in columns], axis=1)
        parts = (mean, covariance, load)
        known = np.all([np.isfinite(part).reshape(len(mean), -1).all(axis=1) for part in parts], axis=0)
        weight = self._weight(plan, known)
        mean, covariance, load = (_filled(part, known) for part in parts)
        return Expected(mean, covariance, load, weight, self.posterior.group)

    def _weight(self, plan: Plan, known: NDArray[np.bool_]) -> Array:
        """Weights (draw) of the draws that could be solved; the rest have none, and keep their places."""
        if not known.any():
            raise SimulationError(f"{self.layout.structure.name}: no draw of {plan.id} could be solved")
        weight = np.where(known, self.posterior.weight, 0.0)
        return weight / weight.sum()

    def signs(self, plan: Plan) -> tuple[NDArray[np.bool_], Array]:
        """Whether the first arm of each estimand reads lower than the second in a typical subject (draw, estimand), and
        the weight of each draw."""
        trial = _Trial(self, plan, IDEAL)
        values = np.stack([trial.contrast(e).value for e in plan.estimands], axis=1)
        return values < -NO_DIFFERENCE, self._weight(plan, np.asarray(np.isfinite(values).all(axis=1)))

    def read(
        self, path: Path, rating: int, output: str, values: Mapping[str, Array], points: NDArray[np.int64]
    ) -> Array:
        """An output (draw, patient) at one rating of one sequence; `values` (draw or 1, patient or 1) by parameter.

        `points` (patient): the kinetic point that each takes in turn; -1 is the typical patient.
        """
        number, position, time = path.reads[rating]
        model = self.layout.models[number]
        readout = self._readout(number, output)
        order = model.readout.carried
        block = self.carried.values[number][:, :, position]
        place = np.where(points < 0, 0, points % max(1, block.shape[1] - 1) + (block.shape[1] > 1))
        chosen = block[self.posterior.early][:, place]
        given = {name: chosen[..., order.index(name)] for name in readout.carried}
        own = {name: np.asarray(v) for name, v in path.late[rating].items() if name in readout.parameters}
        known = {name: v for name, v in values.items() if name in readout.parameters} | own
        found = readout.read(time, given, known)[output]
        return np.broadcast_to(found, np.broadcast_shapes(found.shape, (self.posterior.draws.size, points.size)))

    def _readout(self, number: int, output: str) -> Readout:
        mechanism = self.layout.models[number].mechanism
        return build_readout(mechanism, [output], self.late & {*mechanism.parameters})


def _filled(part: Array, known: NDArray[np.bool_]) -> Array:
    """Rows that are no number replaced by the first that is: they have no weight, but keep their places."""
    return np.where(known.reshape(-1, *(1,) * (part.ndim - 1)), part, part[known][:1])


@dataclass(frozen=True, slots=True)
class _Piece:
    """What the patients of one sequence add to a contrast: `share` of the mean of `values` (draw, patient).

    `present` (draw, patient): probability that a patient is still there; `lost` (draw): variance of being there or not,
    where whoever left counts. `readings`: what an instrument reads -> how often it enters, each with an error of SD
    `reading`. `arms`: arm -> what one point there moves the values by (draw).
    """

    sequence: int
    share: float
    values: Array
    present: Array
    arms: Mapping[str, Array]
    lost: Array | float = 0.0
    reading: float = 0.0
    readings: Mapping[tuple[object, ...], float] = field(default_factory=dict)

    @property
    def mean(self) -> Array:
        return (self.present * self.values).sum(axis=1) / self.present.sum(axis=1)


@dataclass(frozen=True, slots=True)
class _Contrast:
    """One estimand: its pieces, its value (draw), and what one point of SD between trials is there (draw, effect)."""

    pieces: tuple[_Piece, ...]
    value: Array
    load: Array


def _covariance(first: _Contrast, second: _Contrast, plan: Plan) -> Array:
    """Covariance (draw) of two contrasts times the number of patients: sequences are independent, patients are not."""
    total = np.zeros(len(first.value))
    for a in first.pieces:
        for b in second.pieces:
            if a.sequence != b.sequence:
                continue
            both = np.sqrt(a.present * b.present)
            gap = (a.values - a.mean[:, None]) * (b.values - b.mean[:, None])
            scatter = (both * gap).sum(axis=1) / both.sum(axis=1) * (len(gap[0]) / (len(gap[0]) - 1))
            scatter = scatter + a.reading**2 * sum(w * b.readings.get(k, 0.0) for k, w in a.readings.items())
            if first is second:
                scatter = scatter + a.lost
            share = plan.sizes[a.sequence] / plan.patients
            total += a.share * b.share * scatter / (share * both.mean(axis=1))
    return total


@dataclass(frozen=True, slots=True)
class _Measured:
    """What patients add to a contrast: `values` and `present` as in `_Piece`; `moved` by one point, `lost` (draw)."""

    values: Array
    present: Array
    moved: Array
    lost: Array


class _Trial:
    """The ratings that all draws of a structure give the patients of one plan, and its contrasts."""

    def __init__(self, of: Forecaster, plan: Plan, realism: Realism) -> None:
        self.of, self.plan, self.realism = of, plan, realism
        self.paths = of.outline.paths[plan.id]
        self.values = trial_values(plan.trial, of.case.trial)
        self.top = self.values["score_max"]
        spread = of.spread if realism.heterogeneity and plan.is_human else ()
        self.cohort = sample_cohort(len(spread), len(plan.ratings), seed=of.seed)
        size = len(self.cohort.own)
        self.points = np.arange(size) if realism.heterogeneity and plan.is_human else np.full(size, -1)
        self.factors = factors_of(spread, self.cohort.own)
        self.numbers = self._numbers()
        self.scores: dict[tuple[int, int], Array] = {}

    def _numbers(self) -> dict[str, Array]:
        """Numbers by parameter id (draw or 1, patient or 1): drawn, of the trial, and the patient's factor on them."""
        of, draws = self.of, self.of.posterior.draws
        rng = np.random.default_rng([of.seed, 61])
        known = {name: np.asarray(v, dtype=float)[:, None] for name, v in draws.values.items()}
        known |= {name: np.full((1, 1), float(v)) for name, v in self.values.items()}
        for name, prior in sorted(trial_priors(of.case, self.plan.trial, of.rows).items()):
            drawn = np.asarray(prior.quantile(rng.random(draws.size)))
            known[name] = np.asarray(of.posterior.trial.get(name, drawn))[:, None]
        if not self.realism.placebo:
            known["placebo_size"] = np.zeros((1, 1))
        if not self.realism.unblinding:
            known["unblinding_gain"] = np.zeros((1, 1))
        known["score_baseline"], self.enrolled = self._enrol(known["score_baseline"])
        for name, factor in self.factors.items():
            typical = known.get(name, np.full((1, 1), of.rows[name].nominal))
            known[name] = typical * factor[None, :]
        return known

    def _row(self, name: str) -> float:
        return self.of.rows[name].nominal if name in self.of.rows else 0.0

    @property
    def error(self) -> float:
        """SD of one rating on the logit of the scale, as in a simulated trial."""
        return self._row("score_residual") / np.sqrt(2) * self.realism.residual

    def _enrol(self, mean: Array) -> tuple[Array, Array]:
        """True and rated baselines (draw or 1, patient): of the patients looked at the first who may enter."""
        plan = self.plan
        own = plan.trial.baseline_sd
        spread = (own.value if own is not None else self._row("baseline_cv") * mean) * self.realism.heterogeneity
        screened = self.cohort.screened
        true = np.clip(mean[..., None] + np.asarray(spread)[..., None] * screened[None, ..., 0],
                       0.02 * self.top, 0.98 * self.top)  # fmt: skip
        rated = self._rate(true, self.error * screened[None, ..., 1])
        least = -np.inf if plan.enrolment.least is None else plan.enrolment.least
        most = np.inf if plan.enrolment.most is None else plan.enrolment.most
        outside = np.maximum(least - rated, 0.0) + np.maximum(rated - most, 0.0)
        chosen = outside.argmin(axis=-1)[..., None]  # nobody fits: the nearest
        return tuple(np.take_along_axis(a, chosen, axis=-1)[..., 0] for a in (true, rated))  # type: ignore[return-value]

    def _rate(self, score: Array, residual: Array) -> Array:
        share = np.clip(score / self.top, 1e-6, 1 - 1e-6)
        return self.top / (1 + (1 - share) / share * np.exp(-residual))

    def _true(self, sequence: int, rating: int) -> Array:
        """Severity (draw, patient) without rating error."""
        key = (sequence, rating)
        if key not in self.scores:
            self.scores[key] = self.of.read(self.paths[sequence], rating, SCORE, self.numbers, self.points)
        return self.scores[key]

    def _rated(self, sequence: int, rating: int) -> Array:
        if rating == 0:
            return np.broadcast_to(self.enrolled, self._true(sequence, 0).shape)
        return self._rate(self._true(sequence, rating), self.error * self.cohort.residual[None, :, rating])

    def _present(self, sequence: int, rating: int) -> Array:
        """Probability (draw, patient) of being there still at a rating; see `trial`."""
        shape = (self.of.posterior.draws.size, len(self.cohort.own))
        rate, slope = self._row("dropout_rate"), self._row("dropout_slope")
        if self.realism.dropout == "none" or rate == 0 or not self.plan.is_human:
            return np.ones(shape)
        hazard = np.zeros(shape)
        reads, step = self.plan.ratings, self.plan.step
        begins = period_begins(self.of.case, self.plan)
        clock = [begins[k] if t is None else k * step + t for k, t in reads]
        for j in range(1, rating + 1):
            if self.realism.dropout == "at_random":
                worse = _latent(self._rated(sequence, j - 1) / self.top) - _latent(self._rated(sequence, 0) / self.top)
            else:
                worse = _latent(self._true(sequence, j) / self.top) - _latent(self._true(sequence, 0) / self.top)
            hazard = hazard + rate * np.exp(slope * worse) * (clock[j] - clock[j - 1])
        return np.exp(-hazard)

    def contrast(self, estimand: Estimand) -> _Contrast:
        """An estimand by the analysis that its design asks for."""
        plan = self.plan
        if plan.design.kind == "sequential":
            raise StudyError(
                f"{plan.origin or plan.id}, key design.kind: stages that choose their patients are simulated by "
                "antagony trial, not forecast; ask for a parallel design or a crossover"
            )
        signs = (1.0, -1.0, -1.0, 1.0)[: len(estimand.arms)]
        crossed = plan.design.kind == "crossover" and len(estimand.arms) > 1
        pieces = self._within(estimand, signs) if crossed else self._between(estimand, signs)
        value = np.sum([piece.share * piece.mean for piece in pieces], axis=0)
        return _Contrast(tuple(pieces), value, self._loads(estimand, pieces) * self.realism.heterogeneity)

    def _loads(self, estimand: Estimand, pieces: Sequence[_Piece]) -> Array:
        """What one point of SD between trials is in a contrast (draw, effect); an effect is an arm's, output by output.

        Arms stray independently, so that a difference of two strays by one point: 1/sqrt(2) each. Contrasts that share
        arms share their effects, and one that follows from others is told nothing more of the trial.
        """
        arms = [arm.id for arm in self.plan.design.arms]
        outputs = [*dict.fromkeys(e.output for e in self.plan.estimands)]
        point = self._unit if estimand.output == SCORE else BETWEEN_LABS * (estimand.reading or NO_READING).value
        found = np.zeros((self.of.posterior.draws.size, len(arms) * len(outputs)))
        for piece in pieces:
            for name, moved in piece.arms.items():
                found[:, outputs.index(estimand.output) * len(arms) + arms.index(name)] += piece.share * moved
        return found * point / np.sqrt(2)

    @property
    def _unit(self) -> float:
        """Points of this scale in one of the reference scale."""
        return self.top / self.of.case.rules.reference_top if self.of.case.rules else 1.0

    def _between(self, estimand: Estimand, signs: Sequence[float]) -> list[_Piece]:
        """Arms against one another, pair by pair: each arm's patients, in whichever sequence they have it."""
        plan, pieces = self.plan, []
        pairs = [estimand.arms[i : i + 2] for i in range(0, len(estimand.arms), 2)]
        for i, (name, sign) in enumerate(zip(estimand.arms, signs, strict=True)):
            slope = self._slope(estimand, pairs[i // 2])
            places = plan.periods_of(name)
            arm = sum(plan.sizes[s] for s, _ in places)
            for sequence, period in places:
                share = sign * plan.sizes[sequence] / arm
                pieces.append(self._piece(estimand, sequence, share, {name: (period, 1.0)}, slope))
        return pieces

    def _within(self, estimand: Estimand, signs: Sequence[float]) -> list[_Piece]:
        """Arms within the same patients; sequences count alike, so that what a period does cancels where balanced."""
        plan = self.plan
        holding = [s for s, sequence in enumerate(plan.sequences) if {*estimand.arms} <= {*sequence}]
        if not holding:
            raise StudyError(
                f'{plan.origin or plan.id}, estimands "{estimand.id}": no sequence has all of its arms, so nothing is '
                "compared within patients"
            )
        return [
            self._piece(
                estimand, s, 1 / len(holding),
                {name: (plan.sequences[s].index(name), sign) for name, sign in zip(estimand.arms, signs, strict=True)},
                np.zeros((1, 1)),
            )
            for s in holding
        ]  # fmt: skip

    def _piece(
        self, estimand: Estimand, sequence: int, share: float, arms: Mapping[str, tuple[int, float]], slope: Array
    ) -> _Piece:
        """The arms (name -> period and sign) that one sequence adds to a contrast."""
        shape = (self.of.posterior.draws.size, len(self.cohort.own))
        values, present, lost = np.zeros(shape), np.ones(shape), np.zeros(shape[0])
        moved, readings = {}, {}
        for name, (period, sign) in arms.items():
            own = self._measured(estimand, sequence, period, slope)
            values = values + sign * own.values
            present, lost = np.minimum(present, own.present), lost + own.lost
            moved[name] = sign * own.moved
            readings[estimand.output, estimand.time, name] = sign
        if estimand.output == SCORE or estimand.reading is None:
            return _Piece(sequence, share, values, present, moved, lost)
        error = estimand.reading.value * self.realism.residual
        return _Piece(sequence, share, values, present, moved, lost, float(error), readings)

    def _measured(self, estimand: Estimand, sequence: int, period: int, slope: Array) -> _Measured:
        """What each patient of a sequence adds in one period."""
        plan = self.plan
        rating = plan.column(period, estimand.time)
        present = self._present(sequence, rating)
        draws = len(present)
        if estimand.output != SCORE:
            read = self.of.read(self.paths[sequence], rating, estimand.output, self.numbers, self.points)
            return _Measured(np.broadcast_to(read, present.shape), present, np.ones(draws), np.zeros(draws))
        first = self._rated(sequence, plan.ratings.index((period, None)))
        rated = self._rated(sequence, rating)
        if estimand.measure != "responders":
            return _Measured(rated - slope * first, present, np.ones(draws), np.zeros(draws))
        limit = (1 - estimand.threshold) * first  # whoever left counts as none
        lower, higher = (((rated + by <= limit) * present).mean(axis=1) for by in (-STEP, STEP))
        responded = rated <= limit
        lost = (present * (1 - present) * responded).mean(axis=1)
        return _Measured(responded * present, np.ones_like(present), (higher - lower) / (2 * STEP), lost)

    def _slope(self, estimand: Estimand, arms: Sequence[str]) -> Array:
        """Slope (draw, 1) of a rating on its baseline within the arms that are compared; 1 for an arm by itself."""
        if estimand.output != SCORE or estimand.measure == "responders":
            return np.zeros((1, 1))
        if len(arms) == 1:
            return np.ones((1, 1))
        above, below = 0.0, 0.0
        for name in arms:
            for sequence, period in self.plan.periods_of(name):
                rating = self.plan.column(period, estimand.time)
                present = self._present(sequence, rating)
                x, y = self._rated(sequence, self.plan.ratings.index((period, None))), self._rated(sequence, rating)
                gaps = [v - ((present * v).sum(axis=1) / present.sum(axis=1))[:, None] for v in (x, y)]
                share = self.plan.sizes[sequence]
                above = above + share * (present * gaps[0] * gaps[1]).sum(axis=1)
                below = below + share * (present * gaps[0] ** 2).sum(axis=1)
        return (np.asarray(above) / np.maximum(below, 1e-9))[:, None]


def _latent(share: Array) -> Array:
    share = np.clip(share, 1e-6, 1 - 1e-6)
    return np.log(share / (1 - share))
