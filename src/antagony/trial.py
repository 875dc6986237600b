"""A virtual trial: patients are enrolled, treated in sequences of arms, rated at visits, lost, analysed; many times.

    rating = max * expit(logit(true score / max) + residual of the visit)
    hazard of leaving = rate * exp(slope * change of latent severity since baseline)

Each replicate is one whole trial with patients of its own and, unless the nominal truth is asked for, a calibrated draw
of the mechanism's uncertain parameters. Every random number of a replicate comes from its own stream, so results do not
depend on how replicates are shared out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .calibration import calibrate
from .case import Case
from .design import REALISTIC, Dropout, Estimand, Plan, Realism, trial_values
from .errors import SimulationError, StudyError
from .estimation import Estimate, combine_stages, crossover_contrast, mean_change, parallel_contrast, share_difference
from .mechanism import Mechanism
from .population import NOMINAL, Draws, Population, draw_parameters, factors_of, sample_population, spread_parameters
from .simulation import Arm, Tolerances, simulate
from .study import Probe

if TYPE_CHECKING:
    import xarray as xr

Array = NDArray[np.float64]
Progress = Callable[[str, int, int], None]

DRAWS = 200  # calibrated draws that replicates take in turn
CALIBRATION_PATIENTS = 32  # over whom a draw's outcome scale is averaged
BLOCK_ROWS = 16_384  # patients simulated at a time; the numbers do not depend on it
SCREENED = 64  # patients screened at most to enrol one
WEEK = 168.0  # h
TOLERANCES = Tolerances(1e-5, 1e-7)  # ratings carry a residual of a point or more; these err by less than 0.01 points

# What the case's parts call the quantities that a trial sets for each period, and what a patient forgets between them.
PERIOD_START, COMPARATOR_CUE, EXPERIENCE = "trial_start", "comparator_cue", "cue"


@dataclass(frozen=True, slots=True)
class TrialRun:
    """Many runs of one plan under one mechanism.

    `ratings` over (replicate, subject, visit): `rating` [points; NaN once a patient has left] and `severity`, the
    score without rating error; coordinates `sequence` (subject), `period`, `time` [h since its reference dose] and
    `is_baseline` (visit), `arm` (subject, visit). `estimates` over (estimand, replicate): value, se, low, high, p, and
    patients used.
    `arms` over (arm, time): n, mean and SD of change, shares of responders, remitters and patients lost.
    `draws` that could be calibrated, of `asked`; `reached` False where the nominal truth cannot be calibrated.
    """

    plan: Plan
    mechanism: str
    realism: Realism
    replicates: int
    seed: int
    level: float
    uncertain: bool
    draws: int
    asked: int
    reached: bool
    ratings: xr.Dataset
    estimates: xr.Dataset
    arms: xr.Dataset
    failures: tuple[str, ...]

    def power(self, estimand: str | None = None) -> tuple[float, float]:
        """Share of trials whose interval leaves out no difference, and its Monte-Carlo error."""
        p = self.estimates["p"].sel(estimand=estimand or self.plan.estimands[0].id).to_numpy()
        share = float(np.mean(p < 1 - self.level))
        return share, float(np.sqrt(share * (1 - share) / p.size))

    def coverage(self, truth: float, estimand: str | None = None) -> float:
        """Share of trials whose interval holds the truth."""
        chosen = self.estimates.sel(estimand=estimand or self.plan.estimands[0].id)
        return float(np.mean((chosen["low"].to_numpy() <= truth) & (truth <= chosen["high"].to_numpy())))


def simulate_trial(
    case: Case,
    slug: str,
    plan: Plan,
    *,
    replicates: int = 1000,
    seed: int = 1,
    realism: Realism = REALISTIC,
    uncertain: bool = True,
    level: float = 0.95,
    variants: Mapping[str, str] | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> TrialRun:
    """Run a plan many times under one mechanism and analyse each run as its design asks.

    `uncertain`: each replicate has its own calibrated prior draw (the answer then carries what is not known of the
    mechanism); otherwise all have nominal values. Raises SimulationError where no draw can be calibrated, StudyError
    for a plan that cannot be run.
    """
    if replicates < 1:
        raise StudyError(f"{plan.id}: {replicates} replicates; at least one is needed")
    truths, asked, reached = _truths(case, slug, replicates if uncertain else 0, seed, variants)
    bench = _Bench(case, slug, plan, realism, seed, threads, truths, variants, uncertain=uncertain)
    ratings, severity, failures = [], [], []
    step = max(1, BLOCK_ROWS // plan.patients)
    for first in range(0, replicates, step):
        if progress is not None:
            progress(f"{slug}: {plan.id}", first, replicates)
        block = bench.run(np.arange(first, min(first + step, replicates)))
        ratings.append(block.ratings)
        severity.append(block.severity)
        failures += block.failures
    rated, true = np.concatenate(ratings), np.concatenate(severity)
    dataset = _dataset(bench, rated, true)
    return TrialRun(
        plan=plan,
        mechanism=slug,
        realism=realism,
        replicates=replicates,
        seed=seed,
        level=level,
        uncertain=uncertain,
        draws=truths.size,
        asked=asked,
        reached=reached,
        ratings=dataset,
        estimates=_estimates(bench, rated, level),
        arms=_summaries(bench, rated),
        failures=tuple(failures),
    )


def true_effects(
    case: Case,
    slug: str,
    plan: Plan,
    *,
    patients: int = 4096,
    seed: int = 1,
    realism: Realism = REALISTIC,
    variants: Mapping[str, str] | None = None,
) -> dict[str, float]:
    """Each estimand in a large population at nominal values: all patients in every arm, nobody lost, no carry-over.

    What an unbiased trial should find on average; ratings carry their residual, for it bends a bounded scale.
    """
    whole = replace(realism, dropout="none", carry_over=False)
    truths, _, _ = _truths(case, slug, 0, seed, variants)
    arms = tuple((arm.id,) for arm in plan.design.arms)
    design = replace(plan.design, kind="parallel", sequences=(), washout=None)
    wide = replace(plan, design=design, sizes=(patients,) * len(arms), findings=())
    bench = _Bench(case, slug, wide, whole, seed, None, truths, variants, shared=True)
    rated = bench.run(np.arange(1)).ratings
    effects = {}
    for estimand in plan.estimands:
        column = bench.visit_column(0, estimand.time)
        groups = [rated[0, bench.members(arms.index((name,)))] for name in estimand.arms]
        reads = [_read(estimand, group[:, 0], group[:, column]) for group in groups]
        effects[estimand.id] = float(reads[0].mean() - (reads[1].mean() if len(reads) > 1 else 0.0))
    return effects


def _read(estimand: Estimand, baseline: Array, rating: Array) -> Array:
    if estimand.measure == "responders":
        return (rating <= (1 - estimand.threshold) * baseline).astype(float)
    return rating - baseline


def _truths(
    case: Case, slug: str, replicates: int, seed: int, variants: Mapping[str, str] | None
) -> tuple[Draws, int, bool]:
    """Calibrated draws that replicates take in turn (nominal alone for 0), how many were tried, whether any reached."""
    rows = case.parameters(slug, variants)
    few = sample_population(rows.values(), CALIBRATION_PATIENTS, seed=seed)
    if not replicates:
        found = calibrate(case, slug, NOMINAL, population=few, variants=variants)
        return found.draws, 1, bool(found.reached[0])
    tried = min(DRAWS, replicates)
    kept = calibrate(
        case, slug, draw_parameters(rows.values(), tried, seed=seed), population=few, variants=variants
    ).kept.draws
    if not kept.size:
        raise SimulationError(
            f"{slug}: none of {tried} prior draws gives the effect that the outcome scale is solved from, so there is "
            "nothing to put on trial; ask for nominal values, or for another variant"
        )
    return kept, tried, True


# --- running ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Block:
    ratings: Array  # (replicate, subject, visit)
    severity: Array
    failures: list[str]


@dataclass(frozen=True, slots=True)
class _Recruits:
    """Everybody of one replicate (subject, ...), or of several one after another.

    Standard normal `deviates` (subject, parameter); `true` and `rated` baseline (subject); `residual` and `chance`
    (subject, visit); `trial`: the trial's own uncertain numbers (subject).
    """

    deviates: Array
    true: Array
    rated: Array
    residual: Array
    chance: Array
    trial: Mapping[str, Array]

    @staticmethod
    def joined(parts: Sequence[_Recruits]) -> _Recruits:
        """Recruits one after another."""

        def stack(name: str) -> Array:
            return np.concatenate([getattr(part, name) for part in parts])

        trial = {name: np.concatenate([part.trial[name] for part in parts]) for name in parts[0].trial}
        return _Recruits(stack("deviates"), stack("true"), stack("rated"), stack("residual"), stack("chance"), trial)


class _Bench:
    """One plan under one mechanism, ready to be run for any replicates."""

    def __init__(
        self,
        case: Case,
        slug: str,
        plan: Plan,
        realism: Realism,
        seed: int,
        threads: int | None,
        truths: Draws,
        variants: Mapping[str, str] | None,
        *,
        uncertain: bool = False,
        shared: bool = False,
    ) -> None:
        self.case, self.slug, self.plan, self.realism = case, slug, plan, realism
        self.seed, self.threads, self.truths, self.shared = seed, threads, truths, shared
        self.rows = case.parameters(slug, variants)
        self.values = trial_values(plan.trial, case.trial)
        self.top = self.values["score_max"]
        self.priors = plan.trial.priors if uncertain else {}
        self.varying = spread_parameters(self.rows.values()) if realism.heterogeneity else ()
        drugs = {d for arm in plan.design.arms for d in case.regimen(arm.condition.regimen).drugs}
        self.mechanism: Mechanism = case.mechanism_for(slug, drugs, variants)
        self.begins = [self._begin(k) for k in range(plan.periods)]
        self.visits = [(k, time) for k in range(plan.periods) for time in (None, *plan.visits)]
        self.clock = np.array([self.begins[k] if t is None else k * plan.step + t for k, t in self.visits])
        self._check_periods()

    def _begin(self, period: int) -> float:
        """Time [h] at which a period begins for everybody: with the earliest dose that any arm gives before time 0."""
        firsts = [self.case.regimen(arm.condition.regimen).first for arm in self.plan.design.arms]
        return period * self.plan.step + min(0.0, *firsts)

    def _check_periods(self) -> None:
        for arm in self.plan.design.arms if self.plan.periods > 1 else ():
            regimen = self.case.regimen(arm.condition.regimen)
            if regimen.doses and regimen.last > self.plan.step + min(0.0, regimen.first):
                raise StudyError(
                    f'{self.plan.origin or self.plan.id}, key design.washout: arm "{arm.id}" is given until '
                    f"{regimen.last:g} h, but the next period begins after {self.plan.step:g} h: periods overlap"
                )

    def row(self, name: str, otherwise: float = 0.0) -> float:
        """A number that trials read from the case, or what it means to leave it out."""
        return self.rows[name].nominal if name in self.rows else otherwise

    def members(self, sequence: int) -> slice:
        """The subjects of a sequence, in the order of the plan's sizes."""
        start = sum(self.plan.sizes[:sequence])
        return slice(start, start + self.plan.sizes[sequence])

    def visit_column(self, period: int, time: float | None) -> int:
        """Where the ratings of a visit stand; None is the period's baseline."""
        return self.visits.index((period, time))

    def run(self, replicates: NDArray[np.int64]) -> _Block:
        """True and observed ratings of some replicates."""
        size, patients = len(replicates), self.plan.patients
        recruits, people = self.recruit(replicates)
        true, failures = np.empty((size, patients, len(self.visits))), []
        for i, sequence in enumerate(self.plan.sequences):
            members = self.members(i)
            rows = (np.arange(size)[:, None] * patients + np.arange(patients)[members]).ravel()
            curves = self.follow(sequence, _take(people, rows), failures)
            true[:, members] = curves.reshape(size, -1, len(self.visits))
        rated = self.rate(true, recruits.residual.reshape(true.shape))
        if self.plan.enrolment.least is not None or self.plan.enrolment.most is not None:
            rated[:, :, 0] = recruits.rated.reshape(size, patients)
        self.lose(rated, true, recruits.chance.reshape(true.shape))
        return _Block(rated, true, failures)

    def recruit(self, replicates: NDArray[np.int64]) -> tuple[_Recruits, Population]:
        """Patients of each replicate from its own stream, and the people they are, with the truth of their trial."""
        patients = self.plan.sizes[0] if self.shared else self.plan.patients
        copies = self.plan.patients // patients
        recruits = _Recruits.joined([self._recruit(int(r), patients) for r in replicates for _ in range(copies)])
        values = {**recruits.trial, "score_baseline": recruits.true}
        for name, drawn in self.truths.values.items():
            if name not in self.values:
                values[name] = np.repeat(np.asarray(drawn)[replicates % self.truths.size], self.plan.patients)
        return recruits, Population(len(recruits.true), self.seed, factors_of(self.varying, recruits.deviates), values)

    def _recruit(self, replicate: int, patients: int) -> _Recruits:
        """The patients of one replicate; screening goes on until each place is filled."""
        rng = np.random.default_rng([self.seed, 29, replicate])
        error = self.error
        deviates = rng.standard_normal((patients, len(self.varying)))
        residual = rng.standard_normal((patients, len(self.visits))) * error
        chance = rng.random((patients, len(self.visits)))
        trial = {name: np.full(patients, prior.quantile(rng.random(1))[0]) for name, prior in self.priors.items()}
        screened = rng.standard_normal((patients, SCREENED if self._selects else 1, 2))
        spread, mean = self.spread if self.realism.heterogeneity else 0.0, self.values["score_baseline"]
        true = np.clip(mean + spread * screened[..., 0], 0.02 * self.top, 0.98 * self.top)
        rated = self.rate(true, screened[..., 1] * error)
        least, most = self.plan.enrolment.least, self.plan.enrolment.most
        fits = (rated >= (-np.inf if least is None else least)) & (rated <= (np.inf if most is None else most))
        if not fits.any(axis=1).all():
            raise StudyError(
                f"{self.plan.origin or self.plan.id}, key enrolment: of {SCREENED} patients screened for a place none "
                f"fits; mean {mean:g}, SD {spread:g} points"
            )
        chosen = fits.argmax(axis=1)[:, None]
        true, rated = (np.take_along_axis(a, chosen, axis=1)[:, 0] for a in (true, rated))
        return _Recruits(deviates, true, rated, residual, chance, trial)

    @property
    def _selects(self) -> bool:
        return self.plan.enrolment.least is not None or self.plan.enrolment.most is not None

    @property
    def spread(self) -> float:
        """SD of true baselines [points]: the trial's own, or the case's share of the mean."""
        own = self.plan.trial.baseline_sd
        return own.value if own is not None else self.row("baseline_cv") * self.values["score_baseline"]

    @property
    def error(self) -> float:
        """SD of one rating on the logit scale.

        The case's residual comes from published SDs of change, a difference of two ratings: half its variance each.
        """
        return self.row("score_residual") / np.sqrt(2) * self.realism.residual

    def rate(self, score: Array, residual: Array) -> Array:
        """What a rater writes down: the residual of the visit on the logit of the scale."""
        share = np.clip(score / self.top, 1e-6, 1 - 1e-6)
        return self.top / (1 + np.exp(-(np.log(share / (1 - share)) + residual)))

    def follow(self, sequence: Sequence[str], people: Population, failures: list[str]) -> Array:
        """True scores (row, visit) of patients who go through a sequence of arms."""
        if self.realism.carry_over or len(sequence) == 1:
            return self._score(self._arm(sequence), people, self.clock, failures)
        parts = []
        for k, name in enumerate(sequence):  # each period from rest, as if nothing had gone before
            here = [t for (period, _), t in zip(self.visits, self.clock, strict=True) if period == k]
            parts.append(self._score(self._arm((name,)), people, np.array(here) - k * self.plan.step, failures))
        return np.concatenate(parts, axis=1)

    def _score(self, arm: Arm, people: Population, times: Array, failures: list[str]) -> Array:
        run = simulate(
            self.mechanism, {"arm": arm}, times, population=people, outputs=["score"], tolerances=TOLERANCES,
            threads=self.threads,
        )  # fmt: skip
        failures += run.attrs["failures"]
        return run["score"].to_numpy()[0, 0]

    def _arm(self, sequence: Sequence[str]) -> Arm:
        """The arms of a sequence one after another, as one arm of a simulation.

        What a patient noticed, and the placebo course, begin anew with each period of a crossover; stages of a
        sequential design go on. Everything else (drug, receptor, plasticity) keeps what the period before left.
        """
        plan, values = self.plan, self._trial_values()
        anew = plan.design.kind == "crossover"
        arms = [plan.design.arm(name) for name in sequence]
        regimen = self.case.regimen("no drug")
        probes: list[Probe] = []
        for k, arm in enumerate(arms):
            shift, begin = k * plan.step, self.begins[k]
            end = self.begins[k + 1] if k + 1 < len(sequence) else None
            regimen += self.case.regimen(arm.condition.regimen).shifted(shift)
            probes += [_shifted(p, shift, begin, end, len(sequence)) for p in self.case.spell_out(arm.condition.probes)]
            if len(sequence) == 1:
                values |= {} if arm.comparator_cue is None else {COMPARATOR_CUE: arm.comparator_cue}
                continue
            if arm.comparator_cue:
                probes.append(Probe(COMPARATOR_CUE, set=arm.comparator_cue, start=begin, until=end))
            if anew and k:
                probes.append(Probe(PERIOD_START, set=shift, start=begin, until=end))
        restarts = {EXPERIENCE: tuple(self.begins[1 : len(sequence)])} if anew and len(sequence) > 1 else {}
        return Arm(regimen, tuple(probes), values, restarts)

    def _trial_values(self) -> dict[str, float]:
        """Numbers of the trial that all its patients share; what is switched off is 0."""
        drawn = {"score_baseline", *self.priors}
        values = {name: value for name, value in self.values.items() if name not in drawn}
        if not self.realism.placebo:
            values["placebo_size"] = 0.0
        if not self.realism.unblinding:
            values["unblinding_gain"] = 0.0
        return values

    def lose(self, rated: Array, true: Array, chance: Array) -> None:
        """Take away the ratings of patients after they have left, in place."""
        kind: Dropout = self.realism.dropout
        rate, slope = self.row("dropout_rate"), self.row("dropout_slope")
        if kind == "none" or rate == 0:
            return
        present = np.ones(rated.shape[:2], dtype=bool)
        seen = rated.copy()
        for j in range(1, len(self.visits)):
            worse = self._latent(true[:, :, j]) - self._latent(true[:, :, 0])  # what nobody has rated yet
            if kind == "at_random":
                worse = self._latent(seen[:, :, j - 1]) - self._latent(seen[:, :, 0])
            hazard = rate * np.exp(slope * worse) * (self.clock[j] - self.clock[j - 1])
            present &= chance[:, :, j] > -np.expm1(-hazard)
            rated[:, :, j][~present] = np.nan

    def _latent(self, score: Array) -> Array:
        share = np.clip(score / self.top, 1e-6, 1 - 1e-6)
        return np.log(share / (1 - share))


def _take(people: Population, rows: NDArray[np.int64]) -> Population:
    factors = {name: values[rows] for name, values in people.factors.items()}
    return Population(len(rows), people.seed, factors, {name: values[rows] for name, values in people.values.items()})


def _shifted(probe: Probe, shift: float, begin: float, end: float | None, periods: int) -> Probe:
    """A probe of one period; one of the whole run lasts as long as its period."""
    if periods == 1:
        return probe
    start = begin if probe.start is None else probe.start + shift
    return replace(probe, start=start, until=end if probe.until is None else probe.until + shift)


# --- analysing -------------------------------------------------------------------------------------------------------


def _estimates(bench: _Bench, rated: Array, level: float) -> xr.Dataset:
    import xarray as xr

    found = [_estimate(bench, estimand, rated) for estimand in bench.plan.estimands]
    intervals = [estimate.interval(level) for estimate in found]
    columns = {
        "value": [e.value for e in found],
        "se": [e.se for e in found],
        "low": [low for low, _ in intervals],
        "high": [high for _, high in intervals],
        "p": [e.p_value() for e in found],
        "used": [e.used for e in found],
    }
    coordinates = {"estimand": [e.id for e in bench.plan.estimands], "replicate": np.arange(len(rated))}
    return xr.Dataset({name: (("estimand", "replicate"), np.array(v)) for name, v in columns.items()}, coordinates)


def _estimate(bench: _Bench, estimand: Estimand, rated: Array) -> Estimate:
    """The analysis that a design asks for."""
    kind = bench.plan.design.kind
    if estimand.measure == "responders":
        return _share_estimate(bench, estimand, rated)
    if len(estimand.arms) == 1:
        return mean_change(_stack(bench, estimand, estimand.arms[0], rated))
    if kind == "crossover":
        return _crossover(bench, estimand, rated)
    if kind == "sequential":
        return _staged(bench, estimand, rated)
    first, second = (_stack(bench, estimand, name, rated) for name in estimand.arms)
    return parallel_contrast(first, second)


def _columns(bench: _Bench, period: int, time: float) -> list[int]:
    """Columns of a period's baseline and of its visits up to a time."""
    return [i for i, (k, t) in enumerate(bench.visits) if k == period and (t is None or t <= time)]


def _stack(bench: _Bench, estimand: Estimand, name: str, rated: Array) -> Array:
    """Ratings (replicate, patient, 1 + visits) of everybody who has an arm, in whichever period."""
    parts = [
        rated[:, bench.members(i)][:, :, _columns(bench, k, estimand.time)]
        for i, sequence in enumerate(bench.plan.sequences)
        for k, arm in enumerate(sequence)
        if arm == name
    ]
    return np.concatenate(parts, axis=1)


def _crossover(bench: _Bench, estimand: Estimand, rated: Array) -> Estimate:
    plan = bench.plan
    names = [arm.id for arm in plan.design.arms]
    columns = [bench.visit_column(k, estimand.time) for k in range(plan.periods)]
    order = np.array([[names.index(name) for name in sequence] for sequence in plan.sequences])
    treatments = np.repeat(order, plan.sizes, axis=0)
    first, second = (names.index(name) for name in estimand.arms)
    return crossover_contrast(rated[:, :, columns], treatments, (first, second))


def _staged(bench: _Bench, estimand: Estimand, rated: Array) -> Estimate:
    """Sequential parallel comparison: all patients in stage 1, then those on the comparator who did not respond."""
    plan = bench.plan
    stages = []
    for k in range(plan.periods):
        columns, groups = _columns(bench, k, estimand.time), []
        for name in estimand.arms:
            parts = []
            for i, sequence in enumerate(plan.sequences):
                if sequence[k] == name and (k == 0 or sequence[0] == estimand.arms[1]):
                    own = rated[:, bench.members(i)]
                    chosen = own[:, :, columns].copy()
                    if k:
                        end = bench.visit_column(0, plan.visits[-1])
                        chosen[own[:, :, end] <= 0.5 * own[:, :, 0]] = np.nan
                    parts.append(chosen)
            if not parts:
                raise StudyError(
                    f'{plan.origin or plan.id}, key design.sequences: stage {k + 1} has no patients on "{name}" whose '
                    f'first stage was "{estimand.arms[1]}"'
                )
            groups.append(np.concatenate(parts, axis=1))
        stages.append(parallel_contrast(*groups))
    weights = list(plan.stage_weights[: len(stages)])
    return combine_stages(stages, [w / sum(weights) for w in weights])


def _share_estimate(bench: _Bench, estimand: Estimand, rated: Array) -> Estimate:
    """Responders: whoever left before the visit did not respond."""
    shares = []
    for name in estimand.arms:
        ratings = _stack(bench, estimand, name, rated)
        with np.errstate(invalid="ignore"):
            shares.append(ratings[:, :, -1] <= (1 - estimand.threshold) * ratings[:, :, 0])
    if len(shares) == 2:
        return share_difference(*shares)
    value, n = shares[0].mean(axis=1), float(shares[0].shape[1])
    adjusted = (value * n + 2) / (n + 4)
    se = np.sqrt(adjusted * (1 - adjusted) / (n + 4))
    return Estimate(value, se, np.full(len(value), np.inf), np.full(len(value), n))


def _summaries(bench: _Bench, rated: Array) -> xr.Dataset:
    """Per arm and visit, over all patients of all replicates."""
    import xarray as xr

    plan = bench.plan
    names = [arm.id for arm in plan.design.arms]
    remission = bench.case.scales.get(plan.trial.scale)
    fields = {
        key: np.full((len(names), len(plan.visits)), np.nan)
        for key in ("n", "mean", "sd", "responders", "remitters", "lost")
    }
    for a, name in enumerate(names):
        for v, time in enumerate(plan.visits):
            given = [(i, k) for i, s in enumerate(plan.sequences) for k, arm in enumerate(s) if arm == name]
            pairs = [
                rated[:, bench.members(i)][:, :, [bench.visit_column(k, None), bench.visit_column(k, time)]]
                for i, k in given
            ]
            if not pairs:
                continue
            base, now = np.moveaxis(np.concatenate(pairs, axis=1), 2, 0)
            change = now - base
            fields["n"][a, v] = change.shape[1]
            fields["mean"][a, v], fields["sd"][a, v] = np.nanmean(change), np.nanstd(change)
            fields["lost"][a, v] = np.isnan(change).mean()
            with np.errstate(invalid="ignore"):
                fields["responders"][a, v] = (now <= 0.5 * base).mean()
                if remission is not None and remission.remission is not None:
                    fields["remitters"][a, v] = (now <= remission.remission).mean()
    coordinates = {"arm": names, "time": ("time", list(plan.visits), {"units": "h"})}
    return xr.Dataset({key: (("arm", "time"), value) for key, value in fields.items()}, coordinates)


def _dataset(bench: _Bench, rated: Array, true: Array) -> xr.Dataset:
    import xarray as xr

    plan = bench.plan
    sequences = np.repeat([" > ".join(s) for s in plan.sequences], plan.sizes)
    arms = np.repeat([[s[k] for k, _ in bench.visits] for s in plan.sequences], plan.sizes, axis=0)
    axes = ("replicate", "subject", "visit")
    return xr.Dataset(
        {
            "rating": (axes, rated, {"units": "points", "long_name": f"{plan.trial.scale} as rated"}),
            "severity": (axes, true, {"units": "points", "long_name": f"{plan.trial.scale} without rating error"}),
        },
        {
            "replicate": np.arange(len(rated)),
            "subject": np.arange(plan.patients),
            "sequence": ("subject", sequences),
            "period": ("visit", [k for k, _ in bench.visits]),
            "time": ("visit", bench.clock - plan.step * np.array([k for k, _ in bench.visits]), {"units": "h"}),
            "is_baseline": ("visit", [t is None for _, t in bench.visits]),
            "arm": (("subject", "visit"), arms),
        },
        {
            "plan": plan.id,
            "mechanism": bench.slug,
            "seed": bench.seed,
            "case_hash": bench.case.hash,
            "scale": plan.trial.scale,
        },
    )
