"""Which study next: plans ranked by expected information about which rival is true.

    bits at n patients -> rank;   decisive and misleading evidence against n -> how many patients, and the risk

Rivals are the case's classes, each the mixture of its mechanisms as far as published results bear them out, or two that
are named. Priors over rivals are equal: a trial is judged before anybody's leaning.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from ..case import Case
from ..design import REALISTIC, SCORE, Plan, Realism, missing_targets
from ..errors import PosteriorError, StudyError, near_miss
from ..posterior.cloud import EFFORTS, TRANSLATION, Effort
from ..posterior.fragility import weighted_quantile
from ..posterior.likelihood import TRANSLATION_NODES, TRIAL_SDS, trial_sd_weights
from ..trial import check_periods, known_targets
from ..verdict import settings_of
from ..workers import HERE, Tell, Workers, count_steps
from .answer import Measurement, Outcome, Ranked, Ranking
from .expectations import Forecast, Question, Signs, Source, expect_plans, gather_sources
from .information import (
    NO_EFFECTS,
    Effects,
    Evidence,
    Expected,
    Figure,
    Rival,
    judge,
    judge_signs,
    summarise,
)

Array = NDArray[np.float64]
Progress = Callable[[str, int, int], None]

RESULTS = 256  # drawn from each mechanism to rank
GRID = (20, 40, 80, 160, 320, 640)  # patients
GRID_RESULTS = 128  # drawn from each mechanism at each number of the grid
STRIDE = 1.1  # by which a number of patients grows until it reaches the aim
NEARLY = 0.9  # of what the largest trial reaches counts as hardly less
NOISE = 2000  # results of which an interval is told
INTERVAL = (0.025, 0.975)


@dataclass(frozen=True, slots=True)
class Ask:
    """What is asked of plans.

    `rivals`: two mechanisms or classes (all classes where empty); `n` patients, or a `budget` such as "80 patients" or
    "600 visits"; `exclude`: plans, "animal", "unproven" (not yet given to people so), an approval, "burden>3". `bound`
    of a decisive Bayes factor; `aim` of its probability. The trial is `realism`; its analysis leaves out what
    `ignored` names. `seed` of the weighing that is read; another `stream` draws other posterior draws, patients, trials
    and results from it.
    """

    rivals: tuple[str, ...] = ()
    n: int = 100
    budget: str = ""
    exclude: tuple[str, ...] = ()
    bound: float = 10.0
    aim: float = 0.8
    realism: Realism = REALISTIC
    ignored: tuple[str, ...] = ()
    effort: str = "standard"
    seed: int = 1
    stream: int = 1


ASK = Ask()
"""All classes, 100 patients, a realistic trial."""


def rank_plans(
    case: Case,
    ask: Ask = ASK,
    *,
    plans: Sequence[Plan] | None = None,
    workers: Workers = HERE,
    progress: Progress | None = None,
) -> Ranking:
    """Rank plans (those of the case where none are given) by expected information.

    Reads stored clouds of the posterior, and weighs first where there are none; `workers` do what is not stored. Raises
    PosteriorError and StudyError for what cannot be asked, in one sentence.
    """
    begun = time.perf_counter()
    chosen = filter_plans(list(case.designs.values()) if plans is None else plans, ask.exclude)
    if not chosen:
        raise StudyError("no plan is left to rank; write designs/<name>.toml, name a file by --plan, or exclude less")
    ranker = Ranker(case, ask, progress, workers)
    fit, refused = ranker.refuse(chosen)
    if not fit:
        raise StudyError("no plan is left to rank: " + "; ".join(f"{k}: {v}" for k, v in refused.items()))
    ranked = ranker.rank(fit)
    return ranker.answer(ranked, refused, begun)


def filter_plans(plans: Sequence[Plan], exclude: Collection[str]) -> list[Plan]:
    """Plans that no word of `exclude` names; raises StudyError with the near miss for a word that names nothing."""
    names = {plan.id for plan in plans}
    words = {"animal", "unproven", "licensed", "off_label", "investigational"}
    kept = list(plans)
    for word in exclude:
        burden = re.fullmatch(r"burden\s*>\s*([1-5])", word)
        if burden:
            kept = [p for p in kept if p.feasibility is None or p.feasibility.burden <= int(burden[1])]
        elif word == "animal":
            kept = [p for p in kept if p.is_human]
        elif word == "unproven":
            kept = [p for p in kept if p.feasibility is None or p.feasibility.in_man]
        elif word in words:
            kept = [p for p in kept if p.feasibility is None or p.feasibility.approval != word]
        elif word in names:
            kept = [p for p in kept if p.id != word]
        else:
            known = [*words, "burden>3", *names]
            raise StudyError(
                f'--exclude "{word}": neither a design nor a reason to leave one out{near_miss(word, known)}'
            )
    return kept


def patients_for(plan: Plan, n: int, budget: str) -> int:
    """Patients of a plan under a budget in patients or visits; `n` where there is none.

    Raises StudyError for a budget that is neither, and for one that buys fewer patients than the plan has groups.
    """
    if not budget:
        size = n
    else:
        found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(patients?|visits?)?\s*", budget)
        if not found:
            raise StudyError(f'--budget "{budget}": write a number of patients or visits, such as "80" or "600 visits"')
        size = math.floor(float(found[1]) / (plan.cost if (found[2] or "").startswith("visit") else 1.0))
    if size < 2 * len(plan.sequences):
        raise StudyError(
            f"{plan.id}: {size} patients for {len(plan.sequences)} groups; two in each are the least to be analysed"
        )
    return size


class Ranker:
    """Everything that one question shares over its plans."""

    def __init__(
        self, case: Case, ask: Ask, progress: Progress | None = None, workers: Workers = HERE
    ) -> None:
        """Read the posterior of every mechanism; raises PosteriorError and StudyError for what cannot be asked."""
        if case.rules is None:
            raise PosteriorError(f"{case.folder}: no weighing.toml, so nothing says how results are judged")
        if ask.effort not in EFFORTS:
            raise PosteriorError(f'unknown effort "{ask.effort}"{near_miss(ask.effort, EFFORTS)}')
        if ask.bound <= 1 or not 0 < ask.aim < 1:
            raise StudyError("a bound is a Bayes factor above 1, and an aim a probability between 0 and 1")
        self.case, self.ask, self.progress, self.workers = case, ask, progress, workers
        self.effort: Effort = EFFORTS[ask.effort]
        begun = time.perf_counter()
        named = self._named()
        slugs = [slug for members in named.values() for slug in members]
        self.sources, self.partials = gather_sources(
            case, slugs, self.effort, ask.seed, progress, workers
        )
        self.rivals = tuple(Rival(name, 1 / len(named), self._shares(members)) for name, members in named.items())
        self.effects = Effects(TRIAL_SDS, trial_sd_weights(case.rules.trial_sd))
        self.seconds = {"posterior": time.perf_counter() - begun}

    def __getstate__(self) -> dict[str, object]:
        """What a worker needs to judge forecasts: not the clouds behind them, nor whom to tell."""
        return {**self.__dict__, "sources": (), "progress": None, "workers": HERE}

    def _named(self) -> dict[str, list[str]]:
        """Rival -> its mechanisms: those that are named, or all classes; references are no rivals."""
        slugs = [slug for slug in self.case.wirings if not self.case.wiring(slug).reference]
        classes: dict[str, list[str]] = {}
        for slug in slugs:
            classes.setdefault(self.case.wiring(slug).group, []).append(slug)
        named = self.ask.rivals or tuple(sorted(classes))
        known = {**{slug: [slug] for slug in slugs}, **classes}
        for name in named:
            if name not in known:
                raise StudyError(f'--rivals "{name}": no mechanism or class{near_miss(name, known)}')
        if len(named) < 2 or len({*named}) < len(named):
            raise StudyError(f"--rivals: name two or more that differ, such as {','.join(slugs[:2])}")
        if len({slug for name in named for slug in known[name]}) < sum(len(known[name]) for name in named):
            raise StudyError(f"--rivals {','.join(named)}: one holds the other; rivals exclude each other")
        return {name: known[name] for name in named}

    def _shares(self, slugs: Sequence[str]) -> dict[str, float]:
        top = max(self.partials[slug] for slug in slugs)
        weights = {slug: math.exp(self.partials[slug] - top) for slug in slugs}
        total = sum(weights.values())
        return {slug: weight / total for slug, weight in weights.items()}

    @property
    def members(self) -> list[str]:
        """Mechanisms that some rival holds."""
        return [slug for rival in self.rivals for slug in rival.members]

    def refuse(self, plans: Sequence[Plan]) -> tuple[list[Plan], dict[str, str]]:
        """Plans that every rival can be asked, and why each of the others cannot."""
        fit, refused = [], {}
        for plan in plans:
            why = self._fault(plan)
            if why:
                refused[plan.id] = why
            else:
                fit.append(plan)
        return fit, refused

    def _fault(self, plan: Plan) -> str:
        """Why the rivals cannot be asked; empty where they can."""
        if plan.design.kind == "sequential":
            return "stages choose their patients: run it with antagony trial, it is not forecast"
        if len(plan.estimands) > 3:
            return f"{len(plan.estimands)} contrasts; state at most three before (information in many is biased)"
        lacking = {slug: missing_targets(plan, known_targets(self.case, slug)) for slug in self.members}
        if any(lacking.values()):
            whose = "no mechanism" if all(lacking.values()) else ", ".join(s for s, some in lacking.items() if some)
            return (
                f"{whose} has {', '.join(next(some for some in lacking.values() if some))}: its arms would not differ"
            )
        for slug in self.members:
            if fault := self._lacks(plan, slug):
                return fault
        try:
            if plan.is_human:
                patients_for(plan, self.ask.n, self.ask.budget)
            check_periods(self.case, plan)
        except StudyError as error:
            return str(error).partition(": ")[2] or str(error)
        return ""

    def _lacks(self, plan: Plan, slug: str) -> str:
        """What a plan imposes or reads that a mechanism does not have."""
        rows = self.case.parameters(slug)
        for arm in plan.design.arms:
            for probe in self.case.spell_out(arm.condition.probes):
                if probe.parameter not in rows:
                    return f'{slug} has no parameter "{probe.parameter}", so nothing can act on it'
        drugs = {d for arm in plan.design.arms for d in self.case.regimen(arm.condition.regimen).drugs}
        known = self.case.mechanism_for(slug, drugs).outputs
        for estimand in plan.estimands:
            if estimand.output not in known:
                return f'{slug} has no output "{estimand.output}"{near_miss(estimand.output, known)}'
        return ""

    # --- numbers -----------------------------------------------------------------------------------------------------

    def expect(self, plans: Sequence[Plan], realism: Realism) -> dict[str, dict[str, Forecast]]:
        """Plan id -> mechanism -> forecast."""
        question = replace(self.question, realism=realism)
        return expect_plans(self.case, self.sources, plans, question, self.progress, self.workers)

    @property
    def question(self) -> Question:
        """How plans are forecast."""
        return Question(self.ask.realism, self.effort, self.ask.seed, self.ask.stream)

    def expect_of(self, sources: Sequence[Source], plan: Plan) -> Expected:
        """What some structures of one mechanism expect of a plan that people are in."""
        (found,) = expect_plans(self.case, sources, [plan], self.question)[plan.id].values()
        if not isinstance(found, Expected):
            raise StudyError(f"{plan.id}: of animals signs alone are expected")
        return found

    def rank(self, plans: Sequence[Plan]) -> list[Ranked]:
        """Every plan's evidence, the most informative first."""
        begun = time.perf_counter()
        forecasts = self.expect(plans, self.ask.realism)
        naive = self.expect(plans, self.analysed) if self.ask.ignored else {}
        self.seconds["forecasts"] = time.perf_counter() - begun
        begun = time.perf_counter()
        pieces = [(plan, forecasts[plan.id], naive.get(plan.id)) for plan in plans]
        ranked = self.workers.run(_rank_one, self, pieces, tell=count_steps(self.progress, len(plans)))
        self.seconds["evidence"] = time.perf_counter() - begun
        return sorted(ranked, key=lambda r: (-r.evidence.bits.value, r.name))

    @property
    def analysed(self) -> Realism:
        """The world as the analysis takes it to be."""
        known = {f.name for f in fields(Realism)}
        for name in self.ask.ignored:
            if name not in known:
                raise StudyError(f'an analysis cannot ignore "{name}"{near_miss(name, known)}')
        switched = {name: False for name in self.ask.ignored if name != "dropout"}
        if "dropout" in self.ask.ignored:
            switched["dropout"] = "none"  # type: ignore[assignment]
        return replace(self.ask.realism, **switched)  # type: ignore[arg-type]

    def rank_one(
        self, plan: Plan, forecasts: Mapping[str, Forecast], naive: Mapping[str, Forecast] | None = None
    ) -> Ranked:
        """One plan's evidence at the asked number of patients and at others."""
        if not plan.is_human:
            evidence = self.evidence(forecasts, math.nan)
            control = self.control(forecasts, math.nan)
            return Ranked(plan, evidence, (), control, None, evidence, self.outcomes(plan, forecasts, math.nan))
        n = patients_for(plan, self.ask.n, self.ask.budget)
        evidence = self.evidence(forecasts, n)
        least = 2 * len(plan.sequences)
        sizes = [size for size in GRID if least <= size <= (n if self.ask.budget else math.inf)] or [n]
        curve = tuple(self.evidence(forecasts, size, results=GRID_RESULTS) for size in sizes)
        advised = self._advise(plan, forecasts, curve)
        return Ranked(
            plan=plan,
            evidence=evidence,
            curve=curve,
            control=self.control(forecasts, n),
            advised=advised,
            best=advised or self._best(forecasts, curve),
            outcomes=self.outcomes(plan, forecasts, n),
            ignoring=self.evidence(forecasts, n, naive=naive) if naive else None,
        )

    def evidence(
        self,
        forecasts: Mapping[str, Forecast],
        n: float,
        *,
        rivals: Sequence[Rival] | None = None,
        naive: Mapping[str, Forecast] | None = None,
        results: int = RESULTS,
        fresh: int = 0,
    ) -> Evidence:
        """What a trial of `n` patients is expected to show.

        `naive`: forecasts by which its results are analysed; another number for `fresh` draws other results.
        """
        rivals = self.rivals if rivals is None else rivals
        signs = {name: f for name, f in forecasts.items() if isinstance(f, Signs)}
        if signs:
            hits, weights, groups = ({name: getattr(f, part) for name, f in signs.items()} for part in Signs.__slots__)
            return judge_signs(rivals, hits, weights, groups, self._translation(), bound=self.ask.bound)
        world = {name: f for name, f in forecasts.items() if isinstance(f, Expected)}
        analysis, effects = world, self._effects(self.ask.realism)
        taken = effects
        if naive is not None:
            analysis = {name: _believed(world[name], f) for name, f in naive.items() if isinstance(f, Expected)}
            taken = self._effects(self.analysed)
        seed = [self.ask.seed, self.ask.stream, fresh, 67]
        judged = judge(rivals, world, analysis, effects, taken, n, size=results, seed=seed)
        return summarise(judged, n, bound=self.ask.bound)

    def _effects(self, realism: Realism) -> Effects:
        return self.effects if realism.heterogeneity else NO_EFFECTS

    def _translation(self) -> Array:
        middles = (np.arange(TRANSLATION_NODES) + 0.5) / TRANSLATION_NODES
        row = self.case.shared.get(TRANSLATION)
        return middles if row is None or row.prior is None else np.asarray(row.prior.quantile(middles))

    def control(self, forecasts: Mapping[str, Forecast], n: float) -> Figure:
        """Bits of two identical rivals: the draws of one mechanism in two halves."""
        rival = self.rivals[0]
        whole = forecasts[max(rival.members, key=lambda slug: rival.members[slug])]
        halves = {str(k): _half(whole, k) for k in (0, 1)}
        twins = [Rival(name, 0.5, {name: 1.0}) for name in halves]
        return self.evidence(halves, n, rivals=twins, results=GRID_RESULTS).bits

    def _advise(self, plan: Plan, forecasts: Mapping[str, Forecast], curve: Sequence[Evidence]) -> Evidence | None:
        """The least number of patients, interpolated on its logarithm, whose decisive evidence reaches the aim."""
        chances = np.maximum.accumulate([e.decisive.value for e in curve])
        if not curve or chances[-1] < self.ask.aim:
            return None
        k = int(np.argmax(chances >= self.ask.aim))
        if k == 0:
            return curve[0]
        share = (self.ask.aim - chances[k - 1]) / max(chances[k] - chances[k - 1], 1e-9)
        n = math.exp(math.log(curve[k - 1].n) + share * math.log(curve[k].n / curve[k - 1].n))
        groups = len(plan.sequences)
        size = groups * math.ceil(n / groups)
        while size < curve[k].n:  # the curve is read between its points: go on until the number itself reaches the aim
            found = self.evidence(forecasts, size)
            if found.decisive.value >= self.ask.aim:
                return found
            size = max(size + groups, groups * math.ceil(STRIDE * size / groups))
        return self.evidence(forecasts, curve[k].n)

    def _best(self, forecasts: Mapping[str, Forecast], curve: Sequence[Evidence]) -> Evidence:
        """The least number of the grid that decides nearly as often as the largest."""
        top = max(e.decisive.value for e in curve)
        n = next(e.n for e in curve if e.decisive.value >= NEARLY * top)
        return self.evidence(forecasts, n)

    # --- outcomes ----------------------------------------------------------------------------------------------------

    def outcomes(self, plan: Plan, forecasts: Mapping[str, Forecast], n: float) -> dict[str, dict[str, Outcome]]:
        """Estimand id -> mechanism -> what it expects."""
        return {
            estimand.id: {slug: self._outcome(forecasts[slug], j, n) for slug in self.members}
            for j, estimand in enumerate(plan.estimands)
        }

    def _outcome(self, forecast: Forecast, j: int, n: float) -> Outcome:
        if isinstance(forecast, Signs):
            chance = float(forecast.weight @ forecast.hits[:, j])
            nodes = self._translation()
            seen = float((nodes * chance + (1 - nodes) / 2).mean())
            return Outcome(chance, chance, chance, seen, seen)
        mean, weight = forecast.mean[:, j], forecast.weight
        low, middle, high = (weighted_quantile(mean, weight, q) for q in (INTERVAL[0], 0.5, INTERVAL[1]))
        rng = np.random.default_rng([self.ask.seed, 71, j])
        draw = rng.choice(len(mean), NOISE, p=weight / weight.sum())
        effects = self._effects(self.ask.realism)
        sd = rng.choice(effects.sds, NOISE, p=effects.weights)
        shared = (forecast.loads[draw, j] ** 2).sum(axis=1)
        scatter = np.sqrt(forecast.covariance[draw, j, j] / n + sd**2 * shared)
        results = mean[draw] + scatter * rng.standard_normal(NOISE)
        return Outcome(middle, low, high, *(float(q) for q in np.quantile(results, INTERVAL)))

    def measure(
        self, plans: Sequence[Plan], forecasts: Mapping[str, Mapping[str, Forecast]]
    ) -> tuple[Measurement, ...]:
        """Every contrast by itself, the one that separates best first."""
        found = []
        for plan in plans:
            n = patients_for(plan, self.ask.n, self.ask.budget) if plan.is_human else math.nan
            for j, estimand in enumerate(plan.estimands):
                alone = {slug: _only(f, j) for slug, f in forecasts[plan.id].items()}
                bits = self.evidence(alone, n, results=GRID_RESULTS).bits
                outcomes = {slug: self._outcome(alone[slug], 0, n) for slug in self.members}
                text = describe_estimand(plan, j)
                unit = "points" if estimand.output == SCORE else self._unit_of(estimand.output)
                unit = "probability" if not plan.is_human else "share" if estimand.measure == "responders" else unit
                found.append(Measurement(plan.id, estimand.id, text, unit, bits, outcomes))
        return tuple(sorted(found, key=lambda m: (-m.bits.value, m.plan, m.estimand)))

    def _unit_of(self, output: str) -> str:
        known = self.case.outputs.get(output)
        return "" if known is None or known.unit == "dimensionless" else known.unit

    # --- the answer --------------------------------------------------------------------------------------------------

    def answer(self, ranked: Sequence[Ranked], refused: Mapping[str, str], begun: float) -> Ranking:
        """The record, with what it says in words."""
        from .sentences import ranking_caveats, ranking_sentences

        case, ask = self.case, self.ask
        counting = {
            source.slug: source.cloud.effective_draws(source.cloud.value(None, case.rules.trial_sd))
            for source in self.sources
            if case.rules and source.share >= 0.5
        }
        titles = {rival.name: case.groups.get(rival.name) or case.wiring(rival.name).title for rival in self.rivals}
        ranking = Ranking(
            title=case.title,
            question=case.question,
            ranked=tuple(ranked),
            refused=dict(refused),
            rivals={rival.name: dict(rival.members) for rival in self.rivals},
            titles=titles,
            pair=bool(ask.rivals),
            n=ask.n,
            budget=ask.budget,
            bound=ask.bound,
            aim=ask.aim,
            realism=ask.realism,
            ignored=ask.ignored,
            counting=counting,
            assumed=sum(count_assumed(r.plan) for r in ranked),
            sentences=(),
            caveats=(),
            seconds=self.seconds,
            settings=settings_of(case, [], begun, draws=sum(s.cloud.evaluations for s in self.sources), seed=ask.seed),
        )
        return replace(ranking, sentences=ranking_sentences(ranking), caveats=ranking_caveats(case, ranking))


def _rank_one(
    ranker: Ranker, piece: tuple[Plan, Mapping[str, Forecast], Mapping[str, Forecast] | None], tell: Tell
) -> Ranked:
    plan, forecasts, naive = piece
    ranked = ranker.rank_one(plan, forecasts, naive)
    tell(f"judging {plan.id}")
    return ranked


def describe_estimand(plan: Plan, j: int) -> str:
    """A contrast in words: what is compared, of what, and when."""
    estimand = plan.estimands[j]
    titles = [plan.design.arm(name).title for name in estimand.arms]
    what = "rating" if estimand.output == SCORE else estimand.output
    if estimand.measure == "responders":
        what = f"share of ratings that fell by {estimand.threshold:.0%}"
    if len(titles) == 4:
        compared = f"({titles[0]} - {titles[1]}) - ({titles[2]} - {titles[3]})"
    else:
        compared = " - ".join(titles)
    return f"{what} at {estimand.time:g} h: {compared}"


def count_assumed(plan: Plan) -> int:
    """Numbers of a plan that are assumed; a reading that several contrasts use counts once."""
    grades = [number.grade for number in (*plan.trial.numbers.values(), plan.trial.baseline_sd) if number]
    grades += [arm.cue_grade for arm in plan.design.arms if arm.cue_grade]
    grades += [
        reading.grade for reading in {(e.output, e.reading): e.reading for e in plan.estimands}.values() if reading
    ]
    grades += [plan.feasibility.grade] if plan.feasibility else []
    return grades.count("assumed")


def _believed(world: Expected, analysis: Expected) -> Expected:
    """What an analysis takes for true: its own means, and the scatter that the data show."""
    weight = world.weight * (analysis.weight > 0)
    return replace(analysis, covariance=world.covariance, load=world.load, weight=weight / weight.sum())


def _half(forecast: Forecast, k: int) -> Forecast:
    """Every second group of the draws."""
    keep = forecast.group % 2 == k
    if not keep.any():
        return forecast
    weight = forecast.weight[keep] / forecast.weight[keep].sum()
    group = forecast.group[keep] // 2  # the halves' groups bear the same numbers, as those of two rivals do
    if isinstance(forecast, Signs):
        return Signs(forecast.hits[keep], weight, group)
    return Expected(forecast.mean[keep], forecast.covariance[keep], forecast.load[keep], weight, group)


def _only(forecast: Forecast, j: int) -> Forecast:
    """One contrast of a forecast."""
    some = slice(j, j + 1)
    if isinstance(forecast, Signs):
        return replace(forecast, hits=forecast.hits[:, some])
    return replace(
        forecast,
        mean=forecast.mean[:, some],
        covariance=forecast.covariance[:, some, some],
        load=forecast.load[:, some],
    )
