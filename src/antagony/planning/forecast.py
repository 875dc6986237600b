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
from ..design import IDEAL, SCORE, Estimand, Plan, Realism
from ..errors import StudyError
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
"""Assumed: error that all readings of one trial share, in SDs of one reading, for each point of SD between trials."""
STEP = 1.0  # points by which ratings are moved to see what a trial's own effect does to a share of responders


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
    late = {case.periods.cue, case.periods.start} if case.periods else set[str]()
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
    return Cohort(own, screened.reshape(len(normal), SCREENED, 2), residual)


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
        known = np.isfinite(mean).all(axis=1) & np.isfinite(covariance).all(axis=(1, 2))
        weight = np.where(known, self.posterior.weight, 0.0)[known]
        return Expected(mean[known], covariance[known], load[known], weight, self.posterior.group[known])

    def signs(self, plan: Plan) -> NDArray[np.bool_]:
        """Whether the first arm of each estimand reads lower than the second in a typical subject (draw, estimand)."""
        trial = _Trial(self, plan, IDEAL)
        return np.stack([trial.contrast(e).value < -NO_DIFFERENCE for e in plan.estimands], axis=1)

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


@dataclass(frozen=True, slots=True)
class _Piece:
    """What the patients of one sequence add to a contrast: `share` of the mean of `values` (draw, patient).

    `present` (draw, patient): probability that a patient is still there; `reading`: SD of what an instrument adds, and
    `instrument` what tells one reading from another.
    """

    sequence: int
    share: float
    values: Array
    present: Array
    reading: float = 0.0
    instrument: tuple[object, ...] = ()

    @property
    def mean(self) -> Array:
        return (self.present * self.values).sum(axis=1) / self.present.sum(axis=1)


@dataclass(frozen=True, slots=True)
class _Contrast:
    """One estimand: its pieces, its value (draw), and what one point of SD between trials is there (draw)."""

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
            if a.reading and a.instrument == b.instrument:
                scatter = scatter + a.reading**2
            share = plan.sizes[a.sequence] / plan.patients
            total += a.share * b.share * scatter / (share * both.mean(axis=1))
    return total


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
        parts = self._within(estimand, signs) if crossed else self._between(estimand, signs)
        pieces, moved = tuple(piece for piece, _ in parts), parts
        value = np.sum([piece.share * piece.mean for piece in pieces], axis=0)
        if estimand.output != SCORE:
            load = np.full(len(value), BETWEEN_LABS * (estimand.reading.value if estimand.reading else 0.0))
        elif estimand.measure == "responders":
            load = np.abs(moved[0][1]) * self._unit
        else:
            load = np.full(len(value), self._unit)
        return _Contrast(pieces, value, load * self.realism.heterogeneity)

    @property
    def _unit(self) -> float:
        """Points of this scale in one of the reference scale."""
        return self.top / self.of.case.rules.reference_top if self.of.case.rules else 1.0

    def _between(self, estimand: Estimand, signs: Sequence[float]) -> list[tuple[_Piece, Array]]:
        """Arms against one another: each arm's patients, in whichever sequence and period they have it."""
        plan, parts = self.plan, []
        slope = self._slope(estimand) if len(estimand.arms) > 1 else np.ones((1, 1))
        for name, sign in zip(estimand.arms, signs, strict=True):
            places = plan.periods_of(name)
            arm = sum(plan.sizes[s] for s, _ in places)
            for sequence, period in places:
                values, present, moved = self._measured(estimand, sequence, period, slope)
                parts.append(
                    (self._piece(estimand, sequence, sign * plan.sizes[sequence] / arm, values, present), moved)
                )
        return parts

    def _within(self, estimand: Estimand, signs: Sequence[float]) -> list[tuple[_Piece, Array]]:
        """Arms within the same patients; sequences count alike, so that what a period does cancels where balanced."""
        plan, parts = self.plan, []
        holding = [s for s, sequence in enumerate(plan.sequences) if {*estimand.arms} <= {*sequence}]
        for sequence in holding:
            total, present, moved = 0.0, 1.0, 0.0
            for name, sign in zip(estimand.arms, signs, strict=True):
                period = plan.sequences[sequence].index(name)
                values, here, by = self._measured(estimand, sequence, period, np.zeros((1, 1)))
                total, present, moved = total + sign * values, np.minimum(present, here), by
            piece = self._piece(estimand, sequence, 1 / len(holding), np.asarray(total), np.asarray(present), 2.0)
            parts.append((piece, np.asarray(moved)))
        if not parts:
            raise StudyError(
                f'{plan.origin or plan.id}, estimands "{estimand.id}": no sequence has all of its arms, so nothing is '
                "compared within patients"
            )
        return parts

    def _piece(
        self, estimand: Estimand, sequence: int, share: float, values: Array, present: Array, readings: float = 1.0
    ) -> _Piece:
        """A piece; an instrument errs anew with each of its `readings`."""
        if estimand.output == SCORE or estimand.reading is None:
            return _Piece(sequence, share, values, present)
        error = estimand.reading.value * np.sqrt(readings) * self.realism.residual
        return _Piece(sequence, share, values, present, float(error), (estimand.output, estimand.time))

    def _measured(self, estimand: Estimand, sequence: int, period: int, slope: Array) -> tuple[Array, Array, Array]:
        """What each patient of a sequence adds (draw, patient), whether he is there, and a share's fall per point."""
        plan = self.plan
        rating = plan.column(period, estimand.time)
        present = self._present(sequence, rating)
        none = np.zeros(len(present))
        if estimand.output != SCORE:
            shape = present.shape
            read = self.of.read(self.paths[sequence], rating, estimand.output, self.numbers, self.points)
            return np.broadcast_to(read, shape), present, none
        first = self._rated(sequence, plan.ratings.index((period, None)))
        rated = self._rated(sequence, rating)
        if estimand.measure == "responders":
            limit = (1 - estimand.threshold) * first
            moved = [((rated + by <= limit) * present).mean(axis=1) for by in (-STEP, STEP)]
            responded = (rated <= limit) * present  # whoever left counts as none
            return responded, np.ones_like(present), (moved[0] - moved[1]) / (2 * STEP)
        return rated - slope * first, present, none

    def _slope(self, estimand: Estimand) -> Array:
        """Slope (draw, 1) of a rating on its baseline within the arms that are compared."""
        if estimand.output != SCORE or estimand.measure == "responders":
            return np.zeros((1, 1))
        above, below = 0.0, 0.0
        for name in estimand.arms:
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
