"""How probable each rival is, given what was published: partial Bayes factors, and what they hang on.

    partial = log p(discriminating | calibrating, mechanism) = log p(all | mechanism) - log p(calibrating | mechanism)

Every rival was invented to explain that the drug works, so how widely its numbers may range must not decide: only what
it predicts once it has been fitted to that. Structures of a mechanism, and mechanisms of a class, are averaged under
stated priors. `unexplained` is no mechanism: every contrast free under a weak prior.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..case import Case
from ..errors import PosteriorError
from ..files import write_whole
from ..rules import Rules
from ..simulation import build_kernels
from ..study import Study
from ..verdict import settings_of
from ..workers import HERE, Tell, Workers
from .again import Rows, look_again
from .answer import Findings, Number, Part, Weighed, Weighing
from .bank import Course, Scored, compose_models, lay_out, plan_courses
from .cloud import (
    EFFORTS,
    Cloud,
    Effort,
    LogMean,
    cloud_path,
    fill_cloud,
    left_at_base,
    read_cloud,
    spread_trials,
    structures_of,
)
from .cube import Structure
from .fragility import learn_parameters, sweep_priors
from .likelihood import TRIAL_SDS
from .prediction import keep_needed_points
from .sentences import fragile_sentences, main_sentences
from .unexplained import log_unexplained

Array = NDArray[np.float64]
Progress = Callable[[str, int, int], None]

STEPS = 2  # told of a structure before its blocks
UNEXPLAINED = "unexplained"
CALIBRATING = "calibrating"


@dataclass(frozen=True, slots=True)
class Share:
    """The cloud of a structure, and the structure's prior share of its mechanism."""

    share: float
    cloud: Cloud


def weigh(
    case: Case,
    *,
    mechanisms: Sequence[str] | None = None,
    effort: str = "standard",
    seed: int = 1,
    until: str | None = None,
    workers: Workers = HERE,
    progress: Progress | None = None,
) -> Weighing:
    """Weigh the rivals of a case by its studies (those dated up to `until`, where given).

    `workers` draw and score structures; `progress(text, done, total)` is told as work ends. Raises PosteriorError for a
    case without rules or studies, ClusterError where workers are lost.
    """
    begun = time.perf_counter()
    spent = EFFORTS.get(effort)
    if spent is None:
        raise PosteriorError(f'unknown effort "{effort}"; choose one of {", ".join(EFFORTS)}')
    rules = _rules(case)
    _check_date(until)
    slugs = list(mechanisms or case.wirings)
    check_classes(case, slugs)
    teller = _Teller(progress)
    wanted = _Wanted(case, spent, seed, look=until is None)
    groups, seconds = _grouped_clouds(wanted, slugs, workers, teller)
    filled = time.perf_counter()
    kept = _dated(groups[slugs[0]][0].cloud.likelihood.studies, until)
    teller.expect(len(slugs))

    def weigh_one(_: None, slug: str, tell: Tell) -> Weighed:
        return _weigh_one(case, slug, groups[slug], kept, rules, spent, seed, tell)

    answers = HERE.run(weigh_one, None, slugs, tell=teller.step)  # clouds are large, and what is left is little
    answers.append(_reference(case, kept, rules))
    seconds["answers"] = time.perf_counter() - filled
    return _answer(case, answers, groups, kept, rules, until, spent, seconds, begun, seed)


def check_classes(case: Case, slugs: Sequence[str]) -> None:
    """Raise PosteriorError for a mechanism of a class that the case lacks."""
    for where, what in case.class_faults(slugs):
        raise PosteriorError(f"{where}: {what}; probabilities are shared out by class")


def gather_clouds(
    case: Case,
    slugs: Sequence[str],
    effort: Effort,
    seed: int,
    progress: Progress | None = None,
    workers: Workers = HERE,
) -> dict[str, list[Share]]:
    """The clouds of some mechanisms, read where they are stored, filled otherwise."""
    _rules(case)
    return _grouped_clouds(_Wanted(case, effort, seed), slugs, workers, _Teller(progress))[0]


def weigh_structures(group: Sequence[Share], sd: float) -> tuple[Array, Number]:
    """Posterior shares of the structures of one mechanism, and its partial, all studies and their trial SD given."""
    studies = group[0].cloud.likelihood.studies
    first = [s.id for s in studies if s.role == CALIBRATING]
    all_of = [g.cloud.log_mean(g.cloud.value(None, sd)) for g in group]
    cal_of = [g.cloud.log_mean(g.cloud.value(first, sd)) for g in group]
    shares = [g.share for g in group]
    return _weights(shares, all_of), mix(shares, all_of, cal_of)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Clouds of a case; `look`: whether workers afar also look at posterior draws anew, as a whole answer does."""

    case: Case
    effort: Effort
    seed: int
    look: bool = False

    def read(self, structure: Structure) -> Cloud | None:
        """The stored cloud."""
        return read_cloud(self.case, structure, self.effort, self.seed)

    def path(self, structure: Structure) -> Path:
        """Where the cloud is stored."""
        return cloud_path(self.case, structure, self.effort, self.seed)


def _grouped_clouds(
    wanted: _Wanted, slugs: Sequence[str], workers: Workers, teller: _Teller
) -> tuple[dict[str, list[Share]], dict[str, float]]:
    structures = [structure for slug in slugs for structure in structures_of(wanted.case, slug, wanted.effort)]
    clouds, seconds = _clouds(wanted, structures, workers, teller)
    groups: dict[str, list[Share]] = {}
    for structure, cloud in zip(structures, clouds, strict=True):
        groups.setdefault(structure.slug, []).append(Share(structure.share, cloud))
    return groups, seconds


def _clouds(
    wanted: _Wanted, structures: Sequence[Structure], workers: Workers, teller: _Teller
) -> tuple[list[Cloud], dict[str, float]]:
    """The cloud of every structure, read where it is stored; and the seconds that reading and drawing took."""
    begun = time.perf_counter()
    known = [wanted.read(structure) for structure in structures]
    missing = [structure for structure, cloud in zip(structures, known, strict=True) if cloud is None]
    read = time.perf_counter()
    if not missing:
        return [cloud for cloud in known if cloud is not None], {"stored": read - begun}
    teller.expect((STEPS + wanted.effort.blocks) * len(missing))
    filled = iter(_fill_all(wanted, missing, workers, teller))
    clouds = [next(filled) if cloud is None else cloud for cloud in known]
    return clouds, {"stored": read - begun, "bank": time.perf_counter() - read}


class _Teller:
    """Tells a progress callback; the total grows as work becomes known."""

    def __init__(self, progress: Progress | None) -> None:
        self.progress, self.done, self.total = progress, 0, 1

    def expect(self, steps: int) -> None:
        self.total += steps

    def step(self, text: str) -> None:
        self.done += 1
        self.say(text)

    def say(self, text: str) -> None:
        if self.progress is not None:
            self.progress(text, min(self.done, self.total), self.total)


def _rules(case: Case) -> Rules:
    if case.rules is None:
        raise PosteriorError(f"{case.folder}: no weighing.toml, so there are no rules by which to score a study")
    if not any(study.weighed for study in case.studies.values()):
        raise PosteriorError(f"{case.folder}: no study is weighed, so nothing tells the rivals apart")
    return case.rules


def _fill_all(
    wanted: _Wanted, structures: Sequence[Structure], workers: Workers, teller: _Teller
) -> Sequence[Cloud]:
    """Structures that are not stored yet, a piece of work each: what one block teaches decides on the next."""
    if not workers.afar:
        return workers.run(_fill, wanted, structures, tell=teller.step)

    def keep(place: int, files: dict[str, bytes]) -> None:
        for name, content in files.items():
            write_whole(wanted.path(structures[place]).with_name(name), partial(Path.write_bytes, data=content))
        files.clear()  # a gigabyte in all

    workers.run(_fill_and_send, wanted, structures, tell=teller.step, arrived=keep)
    return HERE.run(_fill, wanted, structures)  # which reads what was sent


def _fill(wanted: _Wanted, structure: Structure, tell: Tell) -> Cloud:
    """The cloud of one structure, which is stored."""
    if (known := wanted.read(structure)) is not None:
        return known
    case = wanted.case
    tell(f"composing {structure.name}")
    build_kernels(compose_models(case, structure, plan_courses(case)[0]))
    tell(f"laying out {structure.name}")
    layout = keep_needed_points(case, lay_out(case, structure))
    return fill_cloud(case, layout, wanted.effort, seed=wanted.seed, tell=tell)


def _fill_and_send(wanted: _Wanted, structure: Structure, tell: Tell) -> dict[str, bytes]:
    """The stored files of one structure, by name: its cloud, and its rows where draws are looked at anew."""
    cloud, rules, path = _fill(wanted, structure, tell), wanted.case.rules, wanted.path(structure)
    if wanted.look and rules is not None:
        look_again(wanted.case, cloud, cloud.likelihood.studies, rules, wanted.effort, wanted.seed)
    files = [path, *sorted(path.parent.glob(f"{path.stem}-rows-*.npz"))]
    return {file.name: file.read_bytes() for file in files}


def _check_date(until: str | None) -> None:
    if until is not None and not re.fullmatch(r"\d{4}(-\d{2}(-\d{2})?)?", until):
        raise PosteriorError(f'until "{until}": write a year, month or day, such as 2018, 2018-07 or 2018-07-31')


def _dated(studies: Sequence[Study], until: str | None) -> tuple[Study, ...]:
    """Studies dated up to a year, month or day; a coarser date counts when it has begun."""
    _check_date(until)
    kept = tuple(s for s in studies if until is None or s.date <= until or s.date.startswith(until))
    if not kept:
        raise PosteriorError(f"--until {until}: no weighed study is that old; the first is of {studies[0].date}")
    return kept


# --- one mechanism -------------------------------------------------------------------------------------------------


def mix(shares: Sequence[float], logs: Sequence[LogMean], less: Sequence[LogMean] | None = None) -> Number:
    """log sum_s share_s exp(log_s), less the same of others where given, with its error by the delta method.

    Clouds of different structures are independent; numbers of one cloud keep their pairing.
    """
    top = _mixed(shares, logs)
    weights = _weights(shares, logs)
    parts = [_pull(w, m) for w, m in zip(weights, logs, strict=True)]
    value = top
    if less is not None:
        value = top - _mixed(shares, less)
        below = _weights(shares, less)
        parts = [p - _pull(w, m) for p, w, m in zip(parts, below, less, strict=True)]
    variance = sum((len(p) - 1) / len(p) * float(((p - p.mean()) ** 2).sum()) for p in parts if len(p) > 1)
    return Number(value, math.sqrt(variance) if math.isfinite(variance) else math.inf)


def _pull(weight: float, log: LogMean) -> Array:
    """How far each replicate moves a mixture (replicate); nothing where the part has no weight."""
    return weight * (log.without - log.value) if weight > 0 else np.zeros(len(log.without))


def _mixed(shares: Sequence[float], logs: Sequence[LogMean]) -> float:
    values = np.array([m.value + math.log(s) for s, m in zip(shares, logs, strict=True)])
    peak = values.max()
    return float(peak + np.log(np.exp(values - peak).sum())) if np.isfinite(peak) else -math.inf


def _weights(shares: Sequence[float], logs: Sequence[LogMean]) -> Array:
    values = np.array([m.value + math.log(s) for s, m in zip(shares, logs, strict=True)])
    weights = np.exp(values - values.max()) if np.isfinite(values.max()) else np.zeros(len(values))
    return weights / max(weights.sum(), 1e-300)


def _weigh_one(
    case: Case,
    slug: str,
    group: Sequence[Share],
    kept: Sequence[Study],
    rules: Rules,
    effort: Effort,
    seed: int,
    tell: Tell,
) -> Weighed:
    """Everything that is said of one mechanism."""
    wiring = case.wiring(slug)
    shares = [g.share for g in group]
    ids = [s.id for s in kept]
    first = [s.id for s in kept if s.role == CALIBRATING]
    sd = rules.trial_sd
    all_of = [g.cloud.log_mean(g.cloud.value(ids, sd)) for g in group]
    cal_of = [g.cloud.log_mean(g.cloud.value(first, sd)) for g in group]
    weights = _weights(shares, all_of)
    whole = len(kept) == len(group[0].cloud.likelihood.studies)
    worth = [g for g, w in zip(group, weights, strict=True) if w >= WORTH]
    without = _leave_out(group, kept, sd)
    rows = _plain_rows(case, group, kept, rules)
    again = [look_again(case, g.cloud, kept, rules, effort, seed) for g in worth] if whole else []
    rows |= _again_rows(worth, all_of, cal_of, group, again)
    tell(f"{slug}: weighed")
    main = group[int(np.argmax(weights))].cloud
    return Weighed(
        slug=slug,
        title=wiring.title,
        group=wiring.group,
        reference=wiring.reference,
        log_marginal=mix(shares, all_of),
        calibrating=mix(shares, cal_of),
        partial=mix(shares, all_of, cal_of),
        scores={s.id: mix(shares, all_of, without.everything[s.id]) for s in kept},
        in_turn=_in_turn(group, kept, sd),
        leave_one_out=_leave_one_out(group, kept, without, cal_of),
        alone=_alone(group, kept, sd, cal_of),
        rows=rows,
        structures=tuple(
            Part(g.cloud.structure.name, g.share, float(w), mix([1.0], [a], [c]))
            for g, w, a, c in zip(group, weights, all_of, cal_of, strict=True)
        ),
        variants=_variants(group, ids, first, sd, weights),
        sweeps=sweep_priors(shares, [g.cloud for g in group], ids, first, sd, mix),
        learned=learn_parameters(main, main.value(ids, sd)),
        findings=_pooled_findings(again, [w for w in weights if w >= WORTH]),
        draws=sum(g.cloud.evaluations for g in group),
        counting=min(g.cloud.effective_draws(g.cloud.value(ids, sd)) for g in worth),
        tempered=sum(g.cloud.tempered for g in group),
        failed=sum(g.cloud.failed for g in group),
    )


WORTH = 0.02  # posterior share below which a structure of a mechanism is not looked at anew


@dataclass(frozen=True, slots=True)
class _LeftOut:
    """Log means of some studies without each of them, structure by structure: study id -> one a structure."""

    everything: Mapping[str, Sequence[LogMean]]
    calibrating: Mapping[str, Sequence[LogMean]]


def _leave_out(group: Sequence[Share], kept: Sequence[Study], sd: float) -> _LeftOut:
    """Leave out each study once; of the calibrating ones also among themselves."""
    ids, first = [s.id for s in kept], [s.id for s in kept if s.role == CALIBRATING]
    found = []
    for names in (ids, first):
        rest: dict[str, list[LogMean]] = {name: [] for name in names}
        for g in group:
            total = g.cloud.likelihood.total(names)
            for name in names:
                rest[name].append(g.cloud.log_mean(_value_without(g.cloud, total, names, name, sd)))
        found.append(rest)
    return _LeftOut(*found)


def _value_without(cloud: Cloud, total: Array, ids: Sequence[str], left_out: str, sd: float) -> Array:
    """Log likelihood (draw) of the named studies, whose `total` (draw, trial SD) is given, without one of them.

    Given all others of its paradigm where all studies are named. Of a stretch of them the terms are summed that are
    left, each given the studies before it: a sign in animals that came later stays given the one left out.
    """
    likelihood = cloud.likelihood
    studies = [s.id for s in likelihood.studies]
    terms = likelihood.last if len(ids) == len(studies) else likelihood.each
    with np.errstate(invalid="ignore"):
        rest = total - terms[:, studies.index(left_out)]
    return spread_trials(np.where(np.isfinite(total), rest, -np.inf), sd)  # a failed draw stays one


def _leave_one_out(
    group: Sequence[Share], kept: Sequence[Study], without: _LeftOut, cal_of: Sequence[LogMean]
) -> dict[str, Number]:
    """The partial without each study."""
    shares = [g.share for g in group]
    return {
        s.id: mix(shares, without.everything[s.id], without.calibrating[s.id] if s.role == CALIBRATING else cal_of)
        for s in kept
    }


def _alone(group: Sequence[Share], kept: Sequence[Study], sd: float, cal_of: Sequence[LogMean]) -> dict[str, Number]:
    """log p(study | calibrating studies); of a calibrating one log p(study)."""
    shares, first = [g.share for g in group], [s.id for s in kept if s.role == CALIBRATING]
    before = [g.cloud.likelihood.total(first) for g in group]
    found = {}
    for study in kept:
        known = study.role == CALIBRATING
        totals = [
            g.cloud.likelihood.total([study.id]) + (0.0 if known else total)
            for g, total in zip(group, before, strict=True)
        ]
        now = [g.cloud.log_mean(spread_trials(total, sd)) for g, total in zip(group, totals, strict=True)]
        found[study.id] = mix(shares, now, None if known else cal_of)
    return found


def _in_turn(group: Sequence[Share], kept: Sequence[Study], sd: float) -> dict[str, Number]:
    """log p(study | those before it), study by study in order of date."""
    shares = [g.share for g in group]
    before = [LogMean(0.0, np.zeros(len(g.cloud.without))) for g in group]
    totals = [np.zeros((len(g.cloud.u), TRIAL_SDS.size)) for g in group]
    found = {}
    for study in kept:
        totals = [total + g.cloud.likelihood.total([study.id]) for g, total in zip(group, totals, strict=True)]
        now = [g.cloud.log_mean(spread_trials(total, sd)) for g, total in zip(group, totals, strict=True)]
        found[study.id] = mix(shares, now, before)
        before = now
    return found


def _variants(
    group: Sequence[Share], ids: Sequence[str], first: Sequence[str], sd: float, weights: Array
) -> tuple[Part, ...]:
    """Each variant of each axis of numbers: posterior share, and the partial given it, over all structures."""
    found: dict[str, list[tuple[float, float, float, LogMean, LogMean]]] = {}
    holding: dict[str, float] = {}  # posterior weight of the structures that have the axis
    for g, weight in zip(group, weights, strict=True):
        values, known = g.cloud.value(ids, sd), g.cloud.value(first, sd)
        posterior = g.cloud.posterior(values)
        for axis in g.cloud.cube.axes:
            chosen = g.cloud.cube.choices(g.cloud.u)[axis[0].axis]
            holding[axis[0].axis] = holding.get(axis[0].axis, 0.0) + float(weight)
            for k, variant in enumerate(axis):
                here = chosen == k
                pair = g.cloud.log_mean(values, here), g.cloud.log_mean(known, here)
                entry = (g.share, weight * float(posterior[here].sum()), 1 / len(axis), *pair)
                found.setdefault(f"{variant.axis}={variant.name}", []).append(entry)
    return tuple(
        Part(
            name,
            entries[0][2],
            sum(e[1] for e in entries) / max(holding[name.partition("=")[0]], 1e-300),
            mix([e[0] for e in entries], [e[3] for e in entries], [e[4] for e in entries]),
        )
        for name, entries in found.items()
    )


# --- other rows ----------------------------------------------------------------------------------------------------


def _is_chronic(case: Case, study: Study) -> bool:
    return study.is_human and any(case.regimen(arm.condition.regimen).is_chronic for arm in study.design.arms)


def row_titles(rules: Rules) -> dict[str, str]:
    """What each row changes, in words."""
    titles = {
        f"trial_sd_{sd:g}": f"SD between trials {sd:g}, not {rules.trial_sd:g} points" for sd in rules.trial_sweep
    }
    titles |= {
        "no_chronic": "without studies of chronic dosing",
        "no_animals": "without signs in animals",
        "equal": "no grade is doubted more than another",
        "halted": "halted trials taken as having crossed their bound",
        "selected": f"a null result is published {rules.published_share:g} times as often",
        "all_outcomes": f"every outcome, not the primary ones alone, correlation {rules.correlation:g}",
    }
    titles |= {f"all_outcomes_{r:g}": f"every outcome, correlation {r:g}" for r in rules.correlation_sweep}
    titles |= {f"unexplained_{k:g}": f"the reference's prior {k:g} times as wide" for k in rules.unexplained_sweep}
    return titles


def _plain_rows(case: Case, group: Sequence[Share], kept: Sequence[Study], rules: Rules) -> dict[str, Number]:
    """Rows that select studies or change the SD between trials: read from the clouds."""
    shares = [g.share for g in group]
    selections = {
        "no_chronic": [s for s in kept if not _is_chronic(case, s)],
        "no_animals": [s for s in kept if s.is_human],
    }

    def partial(studies: Sequence[Study], sd: float) -> Number:
        ids, first = [s.id for s in studies], [s.id for s in studies if s.role == CALIBRATING]
        both = ([g.cloud.log_mean(g.cloud.value(names, sd)) for g in group] for names in (ids, first))
        return mix(shares, *both)

    rows = {f"trial_sd_{sd:g}": partial(kept, sd) for sd in rules.trial_sweep}
    return rows | {name: partial(studies, rules.trial_sd) for name, studies in selections.items()}


def _again_rows(
    worth: Sequence[Share],
    all_of: Sequence[LogMean],
    cal_of: Sequence[LogMean],
    group: Sequence[Share],
    again: Sequence[Rows],
) -> dict[str, Number]:
    """Rows that score anew: log ratios to the base over posterior draws, structures of little weight left out."""
    position = [next(i for i, g in enumerate(group) if g is w) for w in worth]
    shares = [w.share for w in worth]
    rows = {}
    for name in again[0].ratios if again else ():
        tops = [_moved(all_of[i], a.ratios[name].everything) for i, a in zip(position, again, strict=True)]
        downs = [_moved(cal_of[i], a.ratios[name].calibrating) for i, a in zip(position, again, strict=True)]
        number = mix(shares, tops, downs)
        extra = max(a.ratios[name].error for a in again)
        rows[name] = Number(number.value, math.hypot(number.error, extra))
    return rows


def _moved(log: LogMean, by: float) -> LogMean:
    return LogMean(log.value + by, log.without + by)


def _pooled_findings(again: Sequence[Rows], weights: Sequence[float]) -> tuple[Findings, ...]:
    """Predictions of each finding: those of the structure with the most weight."""
    return again[int(np.argmax(weights))].findings if again else ()


# --- the whole answer ----------------------------------------------------------------------------------------------


def _reference(case: Case, kept: Sequence[Study], rules: Rules) -> Weighed:
    """`unexplained`: no mechanism, every contrast free; its studies are independent, so all follows from their logs."""
    logs = log_unexplained(case, kept, rules)
    exact = {name: Number(value, 0.0) for name, value in logs.items()}
    chosen = [s.id for s in kept if s.role != CALIBRATING]
    partial = sum(logs[name] for name in chosen)
    rows = {
        f"unexplained_{k:g}": Number(
            sum(v for n, v in log_unexplained(case, kept, rules, k).items() if n in chosen), 0.0
        )
        for k in rules.unexplained_sweep
    }
    rows["no_animals"] = Number(sum(logs[s.id] for s in kept if s.is_human and s.id in chosen), 0.0)
    rows["no_chronic"] = Number(sum(logs[s.id] for s in kept if not _is_chronic(case, s) and s.id in chosen), 0.0)
    return Weighed(
        slug=UNEXPLAINED,
        title="no mechanism: every contrast free",
        group="",
        reference=True,
        log_marginal=Number(sum(logs.values()), 0.0),
        calibrating=Number(sum(logs[s.id] for s in kept if s.role == CALIBRATING), 0.0),
        partial=Number(partial, 0.0),
        scores=exact,
        in_turn=exact,
        alone=exact,
        leave_one_out={name: Number(partial - (logs[name] if name in chosen else 0.0), 0.0) for name in logs},
        rows=rows,
    )


def rival_probabilities(
    rules: Rules, groups: Mapping[str, str], logs: Mapping[str, float]
) -> dict[str, dict[str, float]]:
    """Stated prior -> mechanism -> probability, for log likelihoods of mechanisms that have a class."""
    found = {}
    for prior in rules.priors:
        shares = prior.shares(groups)
        peak = max(logs[slug] for slug in groups)
        if not math.isfinite(peak):
            found[prior.name] = shares
            continue
        weights = {slug: shares[slug] * math.exp(logs[slug] - peak) for slug in groups}
        total = sum(weights.values()) or 1.0
        found[prior.name] = {slug: weight / total for slug, weight in weights.items()}
    return found


def _answer(
    case: Case,
    answers: Sequence[Weighed],
    groups: Mapping[str, Sequence[Share]],
    kept: Sequence[Study],
    rules: Rules,
    until: str | None,
    effort: Effort,
    seconds: Mapping[str, float],
    begun: float,
    seed: int,
) -> Weighing:
    rivals = {w.slug: w.group for w in answers if not w.reference}
    partials, fulls = ({w.slug: getattr(w, name).value for w in answers} for name in ("partial", "log_marginal"))
    draws = sum(w.draws for w in answers)
    courses, scored = plan_courses(case)
    kernels = sorted({cloud_path(case, g.cloud.structure, effort, seed).stem for some in groups.values() for g in some})
    weighing = Weighing(
        title=case.title,
        question=case.question,
        mechanisms=tuple(answers),
        classes=_classes(groups, rivals, kept, rules),
        class_titles=case.groups,
        probabilities=rival_probabilities(rules, rivals, partials) if rivals else {},
        full=rival_probabilities(rules, rivals, fulls) if rivals else {},
        prior_titles={prior.name: prior.title for prior in rules.priors},
        studies=tuple(kept),
        skipped={s.id: s.reason for s in case.studies.values() if not s.weighed},
        row_titles=row_titles(rules),
        until=until or "",
        sentences=(),
        fragile=(),
        assumed_rules=rules.assumed,
        effort=effort.name,
        budget=_budget(groups, courses, scored, effort),
        base_only=left_at_base(case, rivals, effort),
        seconds=seconds,
        settings=settings_of(case, kernels, begun, draws=draws, seed=seed),
    )
    return replace(weighing, sentences=main_sentences(weighing), fragile=fragile_sentences(case, weighing))


def _budget(
    groups: Mapping[str, Sequence[Share]], courses: Sequence[Course], scored: Sequence[Scored], effort: Effort
) -> str:
    """What was spent: structures x courses x draws, and of each how many."""
    clouds = [g.cloud for some in groups.values() for g in some]
    early = sum(cloud.evaluations for cloud in clouds)
    chronic = sum(course.regimen.is_chronic for course in courses)
    return (
        f"{len(clouds)} structures, {len(courses)} courses ({chronic} chronic) for {len(scored)} findings, "
        f"{early} draws of the prior with {effort.each} readings each"
        + ("" if effort.alternatives else "; alternative equations of a mechanism left out")
    )


def _classes(
    groups: Mapping[str, Sequence[Share]], rivals: Mapping[str, str], kept: Sequence[Study], rules: Rules
) -> dict[str, Number]:
    """Partial of each class: its mechanisms equal, their structures as they share."""
    ids, first = [s.id for s in kept], [s.id for s in kept if s.role == CALIBRATING]
    found = {}
    for group in dict.fromkeys(rivals.values()):
        members = [slug for slug, g in rivals.items() if g == group]
        some = [(g.share / len(members), g.cloud) for slug in members for g in groups[slug]]
        both = ([c.log_mean(c.value(names, rules.trial_sd)) for _, c in some] for names in (ids, first))
        found[group] = mix([share for share, _ in some], *both)
    return found
