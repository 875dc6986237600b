"""What a draw predicts of a published finding: a mean over patients who differ, under the unknown course of its trial.

    rating = top/(1 + exp(-(logit(score/max) + residual)));   contrast = mean over patients of (first arm - second arm)

Patients differ in kinetics (points of the bank) and in baseline, effects and residual (tables). What a trial draws for
itself (size and speed of its placebo course, mean baseline) is a quadrature of a few nodes, the same for every draw and
mechanism.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..calibration import study_arm
from ..case import Case
from ..parameters import Parameter, Prior
from ..population import Draws, spread_parameters
from ..readout import Readout, split_readout
from ..study import Finding, Study, Trial
from .bank import ONE, Carried, Layout, Model, Scored, Visit, draw_cube, run_courses
from .measures import mean_error, measure
from .ratings import TYPICAL, average_patients, raters_of, sample_patients

Array = NDArray[np.float64]

NODES = 8  # of the quadrature over what a trial draws for itself
PILOT = 16  # prior draws over which it is asked whether differences in kinetics matter
PILOT_BLOCK = 999
NEGLIGIBLE = 0.1  # of a standard error
CHUNK = 512  # draws read at once, so that arrays stay in the processor's cache
BASELINE, TOP, RESIDUAL, SPREAD = "score_baseline", "score_max", "score_residual", "baseline_cv"


@dataclass(frozen=True, slots=True)
class Prediction:
    """What draws predict of one finding, on the finding's own scale.

    `centre` (draw, node): contrast, share of responders, or log odds ratio; `sd` (draw, node): SD of one rating between
    patients, for standardised contrasts. Of animals, and wherever nothing is drawn for a trial, there is one node.
    """

    finding: Finding
    centre: Array
    sd: Array | None = None


@dataclass(frozen=True)
class Predictor:
    """Reads findings out of the bank of one structure; `nodes`: how finely a trial's course is integrated."""

    case: Case
    layout: Layout
    nodes: int = NODES

    @cached_property
    def rows(self) -> dict[str, Parameter]:
        """Every number in scope of the structure."""
        return self.case.parameters(self.layout.structure.slug, self.layout.structure.variants)

    @cached_property
    def late(self) -> frozenset[str]:
        """Parameters that are read out late."""
        return frozenset().union(*(m.readout.parameters for m in self.layout.models))

    @cached_property
    def spread(self) -> tuple[Parameter, ...]:
        """Late parameters that differ between patients."""
        return tuple(p for p in spread_parameters(self.rows.values()) if p.id in self.late)

    @cached_property
    def _arms(self) -> dict[tuple[str, str, int], _Arm]:
        """Arms of findings, as they were asked for."""
        return {}

    def _arm(self, scored: Scored, i: int) -> _Arm:
        key = (scored.study.id, scored.finding.id, i)
        if key not in self._arms:
            self._arms[key] = _Arm(self, scored.study, scored.finding, scored.finding.arms[i], scored.visits[i])
        return self._arms[key]

    def split(self, model: Model, output: str) -> tuple[Readout, Readout]:
        """The readout of an output, parted into what patients share and what each makes of it."""
        personal = [p.id for p in self.spread] + [BASELINE] * (BASELINE in self.late)
        return split_readout(model.mechanism, output, self.late, personal)

    def predict_all(self, carried: Carried, draws: Draws) -> dict[str, list[Prediction]]:
        """Every scored finding, by study id, for some draws; see `predict`."""
        found: dict[str, list[Prediction]] = {}
        for scored in self.layout.scored:
            found.setdefault(scored.study.id, []).append(self.predict(scored, carried, draws.values, draws.size))
        return found

    def predict(self, scored: Scored, carried: Carried, drawn: Mapping[str, Array], rows: int) -> Prediction:
        """One finding for draws of values by parameter id; `carried` holds fewer draws where late columns differ.

        The k-th early draw serves `rows / early draws` consecutive rows.
        """
        finding = scored.finding
        arms = [self._arm(scored, i) for i in range(len(finding.arms))]
        averages = [arm.average(carried, drawn, rows) for arm in arms]
        means = [mean for mean, _ in averages]
        if finding.kind == "responders":
            return Prediction(finding, means[0])
        if finding.kind == "odds_ratio":
            shares = [np.clip(m, 1e-4, 1 - 1e-4) for m in means]
            odds = [np.log(p / (1 - p)) for p in shares]
            return Prediction(finding, odds[0] - odds[1])
        if finding.kind != "standardised":
            return Prediction(finding, means[0] - means[1])
        variances = [np.maximum(square - mean**2, 1e-12) for mean, square in averages]
        return Prediction(finding, means[0] - means[1], np.sqrt(0.5 * (variances[0] + variances[1])))


class _Arm:
    """One arm of a finding: its trial's fixed numbers, the nodes of what the trial draws, and its patients."""

    def __init__(self, of: Predictor, study: Study, finding: Finding, name: str, visit: Visit) -> None:
        self.finding, self.visit = finding, visit
        self.model = of.layout.models[visit.course]
        self.shared, self.personal = of.split(self.model, finding.output)
        rows = of.rows
        self.fixed = study_arm(of.case, study, name).values
        self.people = sample_patients(of.spread) if study.is_human else TYPICAL
        self.nodes = trial_nodes(of.case, study, rows, of.nodes) if study.is_human else {}
        own_top = float(self.fixed.get(TOP, rows[TOP].nominal if TOP in rows else 1.0))
        mean = self.fixed.get(BASELINE, rows[BASELINE].nominal if BASELINE in rows else 0.0)
        means = np.atleast_1d(self.nodes.get(BASELINE, np.array(mean)))
        known, share = study.trial.baseline_sd, rows[SPREAD].nominal if SPREAD in rows else 0.0
        constants = {k: float(v) for k, v in self.fixed.items() if k in self.personal.parameters and k != BASELINE}
        self.raters = [
            raters_of(
                finding, constants=tuple(sorted(constants.items())), baseline_name=BASELINE, baseline=float(m),
                baseline_sd=(known.value if known is not None else share * float(m)) * study.is_human,
                own_top=own_top, top=float(finding.score_max or own_top),
                residual=rows[RESIDUAL].nominal if RESIDUAL in rows and study.is_human else 0.0,
            )
            for m in means
        ]  # fmt: skip

    @property
    def size(self) -> int:
        """Nodes of the trial's own quadrature."""
        return max((len(v) for v in self.nodes.values()), default=1)

    def average(self, carried: Carried, drawn: Mapping[str, Array], rows: int) -> tuple[Array, Array]:
        """Mean (draw, node) of a rating, and of its square, over patients; extremes over a window where it has one."""
        moments = []
        for position, time in zip(self.visit.positions, self.visit.times, strict=True):
            shared = self._shared(carried, drawn, rows, position, time)
            per_node = []
            for k in range(self.size):
                raters = self.raters[k if len(self.raters) > 1 else 0]
                here = {name: v[:, k if v.shape[1] > 1 else 0] for name, v in shared.items()}
                powers = (1, 2) if self.finding.kind == "standardised" else (1,)
                averages = average_patients(self.personal, raters, self.people, here, powers)
                per_node.append([a.mean(axis=-1) for a in averages])  # over kinetic points
            moments.append([np.stack(column, axis=1) for column in zip(*per_node, strict=True)])
        if self.finding.time is not None:
            return moments[-1][0], moments[-1][-1]
        means = np.stack([m[0] for m in moments], axis=-1)
        pick = {"max": means.max, "min": means.min, "mean": means.mean}.get(self.finding.statistic, means.max)
        return pick(axis=-1), moments[-1][-1]

    def _shared(
        self, carried: Carried, drawn: Mapping[str, Array], rows: int, position: int, time: float
    ) -> dict[str, Array]:
        """What all patients of a draw share (draw, node, kinetic point)."""
        block = carried.values[self.visit.course][:, :, position]
        points = slice(1, None) if block.shape[1] > 1 and self.people is not TYPICAL else slice(0, 1)
        each = rows // len(block)
        readout = self.shared
        order = self.model.readout.carried
        parts: dict[str, list[Array]] = {name: [] for name in readout.outputs}
        for begin in range(0, rows, CHUNK):
            some = np.arange(begin, min(begin + CHUNK, rows))
            here = block[some // each][:, points]
            given = {name: here[:, None, :, order.index(name)] for name in readout.carried}
            values = {name: drawn[name][some][:, None, None] for name in readout.parameters if name in drawn}
            values |= {name: np.asarray(self.fixed[name]) for name in readout.parameters if name in self.fixed}
            values |= {name: v[:, None] for name, v in self.nodes.items() if name in readout.parameters}
            read = readout.read(time, given, values)
            shape = (some.size, 1, here.shape[1])
            for name, value in read.items():
                parts[name].append(np.broadcast_to(value, np.broadcast_shapes(value.shape, shape)))
        return {name: np.concatenate(pieces) for name, pieces in parts.items()}


def keep_needed_points(case: Case, layout: Layout) -> Layout:
    """The layout with the typical patient alone in every course where differences in kinetics hardly matter.

    They matter where, over PILOT prior draws, they move a mean by more than a tenth of its finding's standard error
    (root mean square). The rest of a patient's differences is always averaged.
    """
    early, late = draw_cube(layout.cube, PILOT, 1, seed=1, block=PILOT_BLOCK)
    u = np.column_stack([early, late])
    draws = layout.cube.draws(u)
    carried = run_courses(layout, draws)
    typical = Carried(tuple(v[:, :1] for v in carried.values), carried.failures)
    predictor, drawn = Predictor(case, layout, nodes=2), draws.values
    needed: set[int] = set()
    for scored in layout.scored:
        if not scored.study.is_human or case.rules is None:
            continue
        full, plain = (predictor.predict(scored, c, drawn, PILOT) for c in (carried, typical))
        moved = full.centre - plain.centre
        error = mean_error(measure(scored.study, scored.finding, case.rules))
        if full.sd is not None:
            moved = moved / full.sd
        if np.sqrt(np.nanmean(moved**2)) > NEGLIGIBLE * error:
            needed |= {visit.course for visit in scored.visits}
    models = tuple(m if i in needed else replace(m, points=ONE) for i, m in enumerate(layout.models))
    return replace(layout, models=models)


def trial_priors(case: Case, trial: Trial, rows: Mapping[str, Parameter]) -> dict[str, Prior]:
    """What a trial draws for itself: parameters of `per_trial` that it does not state, or states with a prior.

    A baseline that is not known is the case's, as a share of the scale.
    """
    priors: dict[str, Prior] = {}
    for name in case.rules.per_trial if case.rules else ():
        own = trial.numbers.get(name)
        if own is not None:
            if own.prior is not None:
                priors[name] = own.prior
            continue
        prior = rows[name].prior if name in rows else None
        if prior is None:
            continue
        ratio = trial.values.get(TOP, case.trial.get(TOP, 1.0)) / case.trial.get(TOP, 1.0)
        if name == BASELINE and prior.distribution in ("uniform", "log-uniform"):
            prior = replace(prior, parameters=(ratio * prior.parameters[0], ratio * prior.parameters[1]))
        priors[name] = prior
    return priors


def trial_nodes(case: Case, study: Study, rows: Mapping[str, Parameter], nodes: int) -> dict[str, Array]:
    """Quadrature of a trial's own numbers: parameter -> values (node), points of an additive recurrence."""
    priors = sorted(trial_priors(case, study.trial, rows).items())
    if not priors:
        return {}
    golden = _generalised_golden(len(priors))
    points = (0.5 + np.arange(1, nodes + 1)[:, None] / golden ** np.arange(1, len(priors) + 1)) % 1.0
    return {name: prior.quantile(points[:, i]) for i, (name, prior) in enumerate(priors)}


def _generalised_golden(dimensions: int) -> float:
    """Root above 1 of x^(d+1) = x + 1: the least clumped additive recurrence in d dimensions (roberts_2018)."""
    x = 2.0
    for _ in range(60):
        x = (1 + x) ** (1 / (dimensions + 1))
    return x
