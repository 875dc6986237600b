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

from .analysis import Comparison, compare_findings, estimate_all, scale_factor, summarise_arms
from .calibration import calibrate_over_patients
from .case import Case
from .condition import Probe
from .design import REALISTIC, SCORE, Dropout, Estimand, Plan, Realism, missing_targets
from .errors import SimulationError, StudyError, near_miss
from .mechanism import Mechanism
from .population import NOMINAL, Draws, Population, draw_parameters, factors_of, spread_parameters
from .simulation import Arm, Tolerances, simulate
from .study import trial_values
from .workers import Tell, Threads, Workers, count_steps

if TYPE_CHECKING:
    import xarray as xr

Array = NDArray[np.float64]
Progress = Callable[[str, int, int], None]

DRAWS = 200  # calibrated draws that replicates take in turn
BLOCK_ROWS = 16_384  # patients simulated at a time; the numbers do not depend on it
PIECE_ROWS = 4096  # the same, sent to a worker: a thousand trials are then several pieces
ALONE = Threads(1)  # a block fills this machine's threads by itself
SCREENED = 64  # patients screened at most to enrol one
TOLERANCES = Tolerances(1e-5, 1e-7)  # ratings carry a residual of a point or more; these err by less than 0.01 points


@dataclass(frozen=True, slots=True)
class TrialRun:
    """Many runs of one plan under one mechanism.

    `ratings` over (replicate, subject, visit): `rating` [points of the trial's scale; NaN once a patient has left] and
    `severity`, the score without rating error; coordinates `sequence` (subject), `period`, `time` [h since its
    reference dose] and `is_baseline` (visit), `arm` (subject, visit).
    `estimates` over (estimand, replicate): value, se, low, high, p, and patients used, in points of its own `scale`.
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


@dataclass(frozen=True, slots=True)
class Truth:
    """What an unbiased trial finds on average, and the Monte-Carlo error of that."""

    value: float
    error: float


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
    """Run a plan many times under one mechanism and analyse each run as its design asks; see `simulate_trials`."""
    (run,) = simulate_trials(
        case, [slug], plan, replicates=replicates, seed=seed, realism=realism, uncertain=uncertain, level=level,
        variants=variants, threads=threads, progress=progress,
    )  # fmt: skip
    return run


def simulate_trials(
    case: Case,
    slugs: Sequence[str],
    plan: Plan,
    *,
    replicates: int = 1000,
    seed: int = 1,
    realism: Realism = REALISTIC,
    uncertain: bool = True,
    level: float = 0.95,
    variants: Mapping[str, str] | None = None,
    threads: int | None = None,
    workers: Workers = ALONE,
    progress: Progress | None = None,
) -> list[TrialRun]:
    """Run a plan many times under each mechanism and analyse each run as its design asks.

    `uncertain`: each replicate has its own calibrated prior draw (the answer then carries what is not known of the
    mechanism); otherwise all have nominal values. Raises SimulationError where no draw can be calibrated, StudyError
    for a plan that cannot be run.
    """
    if replicates < 1:
        raise StudyError(f"{plan.id}: {replicates} replicates; at least one is needed")
    rated = {slug: rated_part(case, plan, slug) for slug in slugs}
    settings = (case, replicates if uncertain else 0, seed, variants)
    truths = dict(zip(rated, workers.run(_find_truths, settings, [*rated]), strict=True))
    benches = {
        slug: Bench(case, slug, part, realism, seed, threads, truths[slug].draws, variants, uncertain=uncertain)
        for slug, part in rated.items()
    }
    step = max(1, (PIECE_ROWS if workers.afar else BLOCK_ROWS) // plan.patients)
    pieces = [(slug, np.arange(i, min(i + step, replicates))) for slug in benches for i in range(0, replicates, step)]
    blocks = workers.run(_run_block, benches, pieces, tell=count_steps(progress, len(pieces)))
    runs = {}
    for slug, bench in benches.items():
        own = _Block.joined([block for block, (of, _) in zip(blocks, pieces, strict=True) if of == slug])
        runs[slug] = _analyse(bench, own, truths[slug], level)
    return [runs[slug] for slug in slugs]


def _find_truths(settings: tuple[Case, int, int, Mapping[str, str] | None], slug: str, tell: Tell) -> _Truths:
    case, replicates, seed, variants = settings
    return _truths(case, slug, replicates, seed, variants)


def _run_block(benches: Mapping[str, Bench], piece: tuple[str, NDArray[np.int64]], tell: Tell) -> _Block:
    slug, replicates = piece
    block = benches[slug].run(replicates)
    tell(f"{slug}: {benches[slug].plan.id}")
    return block


def _analyse(bench: Bench, block: _Block, truths: _Truths, level: float) -> TrialRun:
    plan = bench.plan
    scale = bench.case.scales.get(plan.trial.scale)
    return TrialRun(
        plan=plan,
        mechanism=bench.slug,
        realism=bench.realism,
        replicates=len(block.ratings),
        seed=bench.seed,
        level=level,
        uncertain=bench.uncertain,
        draws=truths.draws.size,
        asked=truths.asked,
        reached=truths.reached,
        ratings=_dataset(bench, block.ratings, block.severity),
        estimates=estimate_all(plan, block.ratings, bench.top, level),
        arms=summarise_arms(plan, block.ratings, remission=None if scale is None else scale.remission),
        failures=tuple(block.failures),
    )


def rated_part(case: Case, plan: Plan, slug: str) -> Plan:
    """The plan with the estimands that people rate; those that an instrument reads are left out, with a note.

    Raises StudyError for animals, of which signs alone are asked, for a target that the model lacks, and where nothing
    is rated: `antagony design` weighs such plans.
    """
    origin = plan.origin or plan.id
    if not plan.is_human:
        raise StudyError(f"{origin}, key species: a trial has patients; of animals signs alone are asked (design)")
    if missing := missing_targets(plan, known_targets(case, slug)):
        raise StudyError(f"{origin}, key targets: {slug} has no {', '.join(missing)}, so its arms would not differ")
    read = [e for e in plan.estimands if e.output != SCORE]
    if not read:
        return plan
    rated = tuple(e for e in plan.estimands if e.output == SCORE)
    if not rated:
        raise StudyError(f"{origin}, key estimands: nobody is rated; what an instrument reads is forecast by: design")
    note = f"not rated, so left out: {', '.join(f'{e.id} ({e.output})' for e in read)}"
    return replace(plan, estimands=rated, notes=(*plan.notes, note))


def known_targets(case: Case, slug: str) -> frozenset[str]:
    """What a plan can act on in a mechanism: the case's receptors, and parameters."""
    return frozenset({receptor.name for receptor in case.receptors} | case.parameters(slug).keys())


def compare_study(case: Case, run: TrialRun) -> tuple[Comparison, ...]:
    """Each rated finding of a study's own design inside the distribution that its simulated runs give."""
    top = trial_values(run.plan.trial, case.trial)["score_max"]
    return compare_findings(run.plan, run.ratings["rating"].to_numpy(), run.estimates, top)


def true_effects(
    case: Case,
    slug: str,
    plan: Plan,
    *,
    patients: int = 4096,
    seed: int = 1,
    realism: Realism = REALISTIC,
    variants: Mapping[str, str] | None = None,
) -> dict[str, Truth]:
    """Each estimand in a large population at nominal values: all patients in every arm, nobody lost, no carry-over.

    What an unbiased trial should find on average; ratings carry their residual, for it bends a bounded scale.
    """
    plan = rated_part(case, plan, slug)
    whole = replace(realism, dropout="none", carry_over=False)
    truths = _truths(case, slug, 0, seed, variants).draws
    arms = tuple((arm.id,) for arm in plan.design.arms)
    design = replace(plan.design, kind="parallel", sequences=(), washout=None)
    wide = replace(plan, design=design, sizes=(patients,) * len(arms), findings=())
    bench = Bench(case, slug, wide, whole, seed, None, truths, variants, shared=True)
    rated = bench.run(np.arange(1)).ratings
    effects = {}
    for estimand in plan.estimands:
        column = wide.column(0, estimand.time)
        groups = [rated[0, wide.members(arms.index((name,)))] for name in estimand.arms]
        reads = [_read(estimand, group[:, 0], group[:, column]) for group in groups]
        signs = (1, -1, -1, 1)  # of four arms (1 - 2) - (3 - 4); the same patients in each
        gap = np.sum([sign * read for sign, read in zip(signs, reads, strict=False)], axis=0)
        gap *= scale_factor(estimand, bench.top)
        effects[estimand.id] = Truth(float(gap.mean()), float(gap.std() / np.sqrt(gap.size)))
    return effects


def _read(estimand: Estimand, baseline: Array, rating: Array) -> Array:
    if estimand.measure == "responders":
        return (rating <= (1 - estimand.threshold) * baseline).astype(float)
    return rating - baseline


def _truths(
    case: Case, slug: str, replicates: int, seed: int, variants: Mapping[str, str] | None
) -> _Truths:
    """The truths of so many replicates; nominal values alone for 0."""
    if not replicates:
        found = calibrate_over_patients(case, slug, NOMINAL, seed=seed, variants=variants)
        return _Truths(found.draws, 1, bool(found.reached[0]))
    tried = min(DRAWS, replicates)
    drawn = draw_parameters(case.parameters(slug, variants).values(), tried, seed=seed)
    kept = calibrate_over_patients(case, slug, drawn, seed=seed, variants=variants).kept.draws
    if not kept.size:
        raise SimulationError(
            f"{slug}: none of {tried} prior draws gives the effect that the outcome scale is solved from, so there is "
            "nothing to put on trial; ask for nominal values, or for another variant"
        )
    return _Truths(kept, tried, True)


# --- running ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Block:
    ratings: Array  # (replicate, subject, visit)
    severity: Array
    failures: list[str]

    @staticmethod
    def joined(parts: Sequence[_Block]) -> _Block:
        """Replicates one after another."""
        failures = [failure for part in parts for failure in part.failures]
        return _Block(
            np.concatenate([p.ratings for p in parts]), np.concatenate([p.severity for p in parts]), failures
        )


@dataclass(frozen=True, slots=True)
class _Truths:
    """Calibrated draws that replicates take in turn, how many were tried, and whether the nominal one reached."""

    draws: Draws
    asked: int
    reached: bool


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


class Bench:
    """One plan under one mechanism, ready to be run for any replicates.

    `truths` are the draws that replicates take in turn; `uncertain`: each trial draws its own uncertain numbers too;
    `shared`: the same patients in every sequence.
    """

    def __init__(  # noqa: D107 - the class says it
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
        self.seed, self.threads, self.truths, self.shared, self.uncertain = seed, threads, truths, shared, uncertain
        self.rows = case.parameters(slug, variants)
        self.values = trial_values(plan.trial, case.trial)
        self.top, self.periods = self.values["score_max"], case.periods
        self.priors = plan.trial.priors if uncertain else {}
        self.varying = spread_parameters(self.rows.values()) if realism.heterogeneity else ()
        drugs = {d for arm in plan.design.arms for d in case.regimen(arm.condition.regimen).drugs}
        self.mechanism: Mechanism = case.mechanism_for(slug, drugs, variants)
        self.begins = period_begins(case, plan)
        self.visits = plan.ratings
        self.clock = np.array([self.begins[k] if t is None else k * plan.step + t for k, t in self.visits])
        self._check_arms()

    def _check_arms(self) -> None:
        """Refuse an arm or a visit that reaches into the next period, and a probe on what the mechanism lacks."""
        check_periods(self.case, self.plan)
        origin = self.plan.origin or self.plan.id
        for arm in self.plan.design.arms:
            for probe in self.case.spell_out(arm.condition.probes):
                if probe.parameter not in self.mechanism.parameters:
                    miss = near_miss(probe.parameter, self.mechanism.parameters)
                    raise StudyError(
                        f'{origin}, arm "{arm.id}", key probes: {self.slug} has no parameter "{probe.parameter}", so '
                        f"nothing can act on it{miss}"
                    )

    def row(self, name: str, otherwise: float = 0.0) -> float:
        """A number that trials read from the case, or what it means to leave it out."""
        return self.rows[name].nominal if name in self.rows else otherwise

    def run(self, replicates: NDArray[np.int64]) -> _Block:
        """True and observed ratings of some replicates."""
        size, patients = len(replicates), self.plan.patients
        recruits, people = self.recruit(replicates)
        true, failures = np.empty((size, patients, len(self.visits))), []
        for i, sequence in enumerate(self.plan.sequences):
            members = self.plan.members(i)
            rows = (np.arange(size)[:, None] * patients + np.arange(patients)[members]).ravel()
            curves = self.follow(sequence, people.take(rows), failures)
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
            return self._score(self.join(sequence), people, self.clock, failures)
        parts = []
        for k, name in enumerate(sequence):  # each period from rest, as if nothing had gone before
            here = [t for (period, _), t in zip(self.visits, self.clock, strict=True) if period == k]
            parts.append(self._score(self.join((name,)), people, np.array(here) - k * self.plan.step, failures))
        return np.concatenate(parts, axis=1)

    def _score(self, arm: Arm, people: Population, times: Array, failures: list[str]) -> Array:
        run = simulate(
            self.mechanism, {"arm": arm}, times, population=people, outputs=["score"], tolerances=TOLERANCES,
            threads=self.threads,
        )  # fmt: skip
        failures += run.attrs["failures"]
        return run["score"].to_numpy()[0, 0]

    def join(self, sequence: Sequence[str]) -> Arm:
        """The arms of a sequence one after another; see `join_periods`."""
        return join_periods(self.case, self.plan, sequence, self._trial_values())

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


def period_begins(case: Case, plan: Plan) -> list[float]:
    """Time [h] at which each period begins for everybody: with the earliest dose that any arm gives before time 0."""
    firsts = [case.regimen(arm.condition.regimen).first for arm in plan.design.arms]
    return [k * plan.step + min(0.0, *firsts) for k in range(plan.periods)]


def check_periods(case: Case, plan: Plan) -> None:
    """Raise StudyError where an arm or a visit reaches into the next period."""
    origin, begins = plan.origin or plan.id, period_begins(case, plan)
    clock = [begins[k] if t is None else k * plan.step + t for k, t in plan.ratings]
    if (np.diff(clock) < 0).any():
        raise StudyError(
            f"{origin}, key design.visits: the next period begins {-begins[0]:g} h before its reference dose, "
            "before the last visit of the one that ends: periods overlap"
        )
    for arm in plan.design.arms:
        regimen = case.regimen(arm.condition.regimen)
        if plan.periods > 1 and regimen.doses and regimen.last > plan.step + min(0.0, regimen.first):
            raise StudyError(
                f'{origin}, key design.washout: arm "{arm.id}" is given until {regimen.last:g} h, but the next '
                f"period begins after {plan.step:g} h: periods overlap"
            )


def join_periods(case: Case, plan: Plan, sequence: Sequence[str], values: Mapping[str, float]) -> Arm:
    """The arms of a sequence one after another, as one arm of a simulation under a trial's `values`.

    What a patient noticed, and the placebo course, begin anew with each period of a crossover; stages of a
    sequential design go on. Everything else (drug, receptor, plasticity) keeps what the period before left.
    """
    anew, periods, known = plan.design.kind == "crossover", case.periods, dict(values)
    begins = period_begins(case, plan)
    regimen = case.regimen("no drug")
    probes: list[Probe] = []
    for k, arm in enumerate(plan.design.arm(name) for name in sequence):
        shift, begin = k * plan.step, begins[k]
        end = begins[k + 1] if k + 1 < len(sequence) else None
        regimen += case.regimen(arm.condition.regimen).shifted(shift)
        probes += [_shifted(p, shift, begin, end, len(sequence)) for p in case.spell_out(arm.condition.probes)]
        if len(sequence) == 1:
            known |= {} if arm.comparator_cue is None else {case.cue: arm.comparator_cue}
            continue
        if arm.comparator_cue:
            probes.append(Probe(case.cue, set=arm.comparator_cue, start=begin, until=end))
        if periods is not None and anew and k:
            probes.append(Probe(periods.start, set=shift, start=begin, until=end))
    forgotten = periods.restarts if periods and anew and len(sequence) > 1 else ()
    restarts = {state: tuple(begins[1 : len(sequence)]) for state in forgotten}
    return Arm(regimen, tuple(probes), known, restarts)


def _shifted(probe: Probe, shift: float, begin: float, end: float | None, periods: int) -> Probe:
    """A probe of one period; one of the whole run lasts as long as its period."""
    if periods == 1:
        return probe
    start = begin if probe.start is None else probe.start + shift
    return replace(probe, start=start, until=end if probe.until is None else probe.until + shift)


def _dataset(bench: Bench, rated: Array, true: Array) -> xr.Dataset:
    """All ratings with every label: who was in which sequence, which arm, when."""
    import xarray as xr

    plan = bench.plan
    axes = ("replicate", "subject", "visit")
    periods = np.array([k for k, _ in bench.visits])
    name = plan.trial.scale
    return xr.Dataset(
        {
            "rating": (axes, rated, {"units": "points", "long_name": f"{name} as rated"}),
            "severity": (axes, true, {"units": "points", "long_name": f"{name} without rating error"}),
        },
        {
            "replicate": np.arange(len(rated)),
            "subject": np.arange(plan.patients),
            "sequence": ("subject", np.repeat([" > ".join(s) for s in plan.sequences], plan.sizes)),
            "period": ("visit", periods),
            "time": ("visit", bench.clock - plan.step * periods, {"units": "h"}),
            "is_baseline": ("visit", [t is None for _, t in bench.visits]),
            "arm": (
                ("subject", "visit"),
                np.repeat([[s[k] for k in periods] for s in plan.sequences], plan.sizes, axis=0),
            ),
        },
        {
            "plan": plan.id, "mechanism": bench.slug, "seed": bench.seed, "case_hash": bench.case.hash,
            "scale": name, "score_max": bench.top,
        },
    )  # fmt: skip
