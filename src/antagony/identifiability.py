"""What published findings can tell about a mechanism's numbers, and what no study teaches.

    F = J' C^-1 J   Fisher information;   J: slope of each finding over each number, at nominal values;   C: its errors

Numbers are counted in standard deviations of their priors (on the prior's normal scale), so that an eigenvalue of F
above 1 is a combination of which the findings say more than the prior does. The expected posterior is (1 + F)^-1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import root_scalar
from scipy.special import ndtr, ndtri

from .calibration import calibrate, nominal_draws
from .case import Case
from .parameters import Parameter, Prior
from .posterior.bank import ONE, Layout, lay_out, run_courses
from .posterior.cloud import EFFORTS, read_cloud, structures_of
from .posterior.likelihood import VALUES
from .posterior.measures import Measure, mean_error, measure
from .posterior.nominals import base_structure
from .posterior.prediction import Prediction, Predictor
from .rules import Rules

Array = NDArray[np.float64]

STEP = 0.2  # prior SDs by which a number is moved to either side
EDGE = 3.0  # prior SDs from the median within which a nominal value is taken to lie
FELT = 1e-3  # eigenvalue above which findings say something of a combination; slopes are no more exact
KNOWN = 1.0  # eigenvalue above which findings say more of a combination than the prior
SLIGHT = 0.05  # share of the prior's variance that findings must take away to have taught something
LOADING = 0.3  # a number with a smaller part in a combination is not named
TIED = 0.3  # correlation from which two numbers are said to be tied


@dataclass(frozen=True, slots=True)
class Combination:
    """A direction among numbers: its eigenvalue of the Fisher information, and the numbers with their loadings."""

    information: float
    parameters: tuple[str, ...]
    loadings: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Tie:
    """Two numbers that the findings know better together than apart: their correlation in the posterior."""

    first: str
    second: str
    correlation: float


@dataclass(frozen=True, slots=True)
class Identifiability:
    """Local identifiability at nominal values.

    `findings` used and `left_out` with the reason; `rank` of F: combinations of which findings say something, FELT of
    what the prior does at least; `known`: those of which they say more than the prior; `condition`: the largest
    eigenvalue of F over the smallest within its rank. `shrinkage`: parameter -> expected posterior variance over the
    prior's. `combinations`: best known first; `ties`: in the expected posterior, strongest first. `silent` numbers move
    no finding; `untaught` ones lose less than a twentieth of their prior variance.
    """

    findings: tuple[str, ...]
    left_out: Mapping[str, str]
    parameters: tuple[str, ...]
    rank: int
    known: int
    condition: float
    shrinkage: Mapping[str, float]
    combinations: tuple[Combination, ...]
    ties: tuple[Tie, ...]
    silent: tuple[str, ...]
    untaught: tuple[str, ...]


def find_identifiability(case: Case, slug: str, *, tell: Callable[[str], None] = lambda text: None) -> Identifiability:
    """Fisher information of the scored findings of a case about a mechanism's numbers, base variants chosen.

    Findings of one sample share part of their error; signs seen in animals have no slope and are left out. Differences
    between patients in kinetics are left out too. Raises PosteriorError for a case without rules or scored findings.
    """
    layout = lay_out(case, base_structure(case, slug), kinetics={})
    layout = replace(layout, models=tuple(replace(model, points=ONE) for model in layout.models))
    rules = case.rules
    assert rules is not None  # lay_out refuses a case without rules
    columns = layout.cube.parameters
    tell(f"{slug}: identifiability, {2 * len(columns) + 1} draws of {len(layout.courses)} courses")
    predictions = _moved_predictions(case, layout, slug)
    rows, errors, used, left_out = _slopes(layout, predictions, rules)
    return judge_information([p.id for p in columns], rows, errors, findings=used, left_out=left_out)


def _moved_predictions(case: Case, layout: Layout, slug: str) -> dict[str, list[Prediction]]:
    """Predictions at nominal values (draw 0), then with each number moved up and down by STEP prior SDs."""
    start = _nominal_point(case, layout, slug)
    moves = np.vstack([np.zeros(start.size), STEP * np.eye(start.size), -STEP * np.eye(start.size)])
    draws = layout.cube.draws(np.clip(ndtr(start + moves), 1e-9, 1 - 1e-9))
    return Predictor(case, layout).predict_all(run_courses(layout, draws), draws)


def _nominal_point(case: Case, layout: Layout, slug: str) -> Array:
    """Nominal values of the cube's numbers on the normal scales of their priors; the outcome scale as it is solved."""
    values = case.nominal_values(slug)
    if case.calibration is not None and not case.wiring(slug).reference:
        solved = calibrate(case, slug, nominal_draws(case, slug))
        values = values | {solved.parameter: float(solved.draws.values[solved.parameter][0])}
    return np.array([normal_score(p, values.get(p.id, p.nominal)) for p in layout.cube.parameters])


def normal_score(parameter: Parameter, value: float) -> float:
    """Where a value lies in the prior, in SDs of a normal of the same quantile; at most EDGE from the median."""
    prior = parameter.prior
    if prior is None or value <= _at(prior, -EDGE):
        return 0.0 if prior is None else -EDGE
    if value >= _at(prior, EDGE):
        return EDGE
    return float(root_scalar(lambda z: _at(prior, z) - value, bracket=(-EDGE, EDGE)).root)


def _at(prior: Prior, z: float) -> float:
    return float(prior.quantile(ndtr(z)))


# --- slopes and errors of findings -----------------------------------------------------------------------------------


def _slopes(
    layout: Layout, predictions: Mapping[str, list[Prediction]], rules: Rules
) -> tuple[Array, Array, list[str], dict[str, str]]:
    """Slopes (finding, number), covariance (finding, finding), findings used, and why others were not."""
    slopes, blocks, used, left_out = [], [], [], {}
    studies = {s.study.id: s.study for s in layout.scored}
    for name, found in predictions.items():
        here: list[_Reading] = []
        for prediction in found:
            label = f"{name}/{prediction.finding.id}"
            if not studies[name].is_human:
                left_out[label] = "a sign seen in animals has no slope"
                continue
            m = measure(studies[name], prediction.finding, rules)
            centre = _centre(prediction)
            if not np.isfinite(centre).all():
                left_out[label] = "a run failed"
                continue
            here.append(_Reading(m, centre, 1.0 if prediction.sd is None else float(prediction.sd[0].mean())))
            used.append(label)
        if here:
            block, rows = _study_block(here, rules)
            slopes.append(rows)
            blocks.append(block)
    return *_stack(slopes, blocks, len(layout.cube.parameters)), used, left_out


def _stack(slopes: Sequence[Array], blocks: Sequence[Array], columns: int) -> tuple[Array, Array]:
    from scipy.linalg import block_diag

    if not slopes:
        return np.empty((0, columns)), np.empty((0, 0))
    return np.vstack(slopes), np.asarray(block_diag(*blocks), dtype=float)


def _centre(prediction: Prediction) -> Array:
    """What is predicted (draw), averaged over what the trial draws for itself."""
    centre = prediction.centre if prediction.sd is None else prediction.centre / prediction.sd
    return centre.mean(axis=1)


@dataclass(frozen=True, slots=True)
class _Reading:
    """A finding made ready, what is predicted of it (draw), and the SD by which a standardised one is divided."""

    measure: Measure
    centre: Array
    sd: float


def _study_block(here: Sequence[_Reading], rules: Rules) -> tuple[Array, Array]:
    """Covariance and slopes of one sample's findings; a sign counts as what a trial of its size would see of it."""
    spreads, rows, trials = [], [], []
    for reading in here:
        m, centre = reading.measure, reading.centre
        error, slope = mean_error(m), _slope(centre)
        if m.finding.kind == "responders":
            error *= np.sqrt(1 + (m.n - 1) * m.correlation)
        if m.finding.kind not in (*VALUES, "responders"):
            slope = slope * _weakened(m, float(centre[0]), error)
        spreads.append(error)
        rows.append(slope)
        trials.append(0.0 if m.finding.kind == "responders" else m.trial * rules.trial_sd / reading.sd)
    errors, shared = np.array(spreads), np.array(trials)
    alike = np.full((errors.size, errors.size), rules.correlation)
    np.fill_diagonal(alike, 1.0)
    return alike * np.outer(errors, errors) + np.outer(shared, shared), np.vstack(rows)


def _slope(centre: Array) -> Array:
    """Slope over each number, from the draws moved up and down."""
    count = (len(centre) - 1) // 2
    return (centre[1 : count + 1] - centre[count + 1 :]) / (2 * STEP)


def _weakened(m: Measure, centre: float, error: float) -> float:
    """How much of a number's information is left once only a sign, or no difference, is reported of it.

    Of an outcome of probability p(c) the information is p'^2/(p (1 - p)); the root of its share of 1/error^2.
    """
    bound = m.bound if m.finding.significant or m.finding.kind == "none_different" else 0.0
    side = 1.0 if m.finding.kind == "none_different" else float(m.finding.sign or 1)

    def chance(c: float) -> float:
        z = side * c / error
        if m.finding.kind == "none_different":
            return float(ndtr(bound - z) - ndtr(-bound - z))
        return float(ndtr(z - bound))

    step = 1e-4 * error
    p = min(max(chance(centre), 1e-12), 1 - 1e-12)
    slope = (chance(centre + step) - chance(centre - step)) / (2 * step)
    return float(min(1.0, abs(slope) * error / np.sqrt(p * (1 - p))))


# --- information -----------------------------------------------------------------------------------------------------


def judge_information(
    names: Sequence[str],
    slopes: Array,
    covariance: Array,
    *,
    findings: Sequence[str] = (),
    left_out: Mapping[str, str] | None = None,
) -> Identifiability:
    """Rank, condition, combinations, shrinkage and ties, from slopes (finding, number) and the covariance of errors."""
    size = len(names)
    information = slopes.T @ np.linalg.solve(covariance, slopes) if len(slopes) else np.zeros((size, size))
    values, directions = np.linalg.eigh(0.5 * (information + information.T))
    order = np.argsort(-values, kind="stable")
    values, directions = np.maximum(values[order], 0.0), directions[:, order]
    rank = int((values > FELT).sum())
    posterior = np.asarray(np.linalg.inv(np.eye(size) + information), dtype=float)
    shrinkage = {name: float(posterior[i, i]) for i, name in enumerate(names)}
    moved = np.abs(slopes / np.sqrt(np.diag(covariance))[:, None]).max(axis=0) if len(slopes) else np.zeros(size)
    silent = tuple(name for name, most in zip(names, moved, strict=True) if most < 1e-3)
    untaught = tuple(n for n in names if shrinkage[n] > 1 - SLIGHT and n not in silent)
    known = int((values > KNOWN).sum())
    return Identifiability(
        findings=tuple(findings),
        left_out=dict(left_out or {}),
        parameters=tuple(names),
        rank=rank,
        known=known,
        condition=float(values[0] / values[rank - 1]) if rank else float("nan"),
        shrinkage=shrinkage,
        combinations=tuple(
            _combination(names, float(values[k]), directions[:, k]) for k in range(min(size, max(known, 3)))
        ),
        ties=find_ties(names, posterior),
        silent=silent,
        untaught=untaught,
    )


def _combination(names: Sequence[str], value: float, direction: Array) -> Combination:
    strong = [int(i) for i in np.argsort(-np.abs(direction), kind="stable") if abs(direction[i]) > LOADING]
    sign = float(np.sign(direction[strong[0]])) if strong else 1.0
    return Combination(value, tuple(names[i] for i in strong), tuple(float(direction[i]) * sign for i in strong))


def find_ties(names: Sequence[str], covariance: Array) -> tuple[Tie, ...]:
    """Pairs of numbers whose correlation in a covariance is TIED or more, strongest first."""
    scale = np.sqrt(np.diag(covariance))
    correlation = covariance / np.outer(scale, scale)
    pairs = [
        Tie(names[i], names[j], float(correlation[i, j]))
        for i in range(len(names))
        for j in range(i)
        if abs(correlation[i, j]) >= TIED
    ]
    return tuple(sorted(pairs, key=lambda tie: (-abs(tie.correlation), tie.first, tie.second)))


def read_ties(case: Case, slug: str, effort: str, seed: int) -> tuple[Tie, ...] | None:
    """Ties in the stored posterior draws of a mechanism's base equations; None where none are stored."""
    if case.rules is None or effort not in EFFORTS:
        return None
    structure = structures_of(case, slug, EFFORTS[effort])[0]
    cloud = read_cloud(case, structure, EFFORTS[effort], seed)
    if cloud is None:
        return None
    weight = cloud.posterior(cloud.value(None, case.rules.trial_sd))
    columns = [cloud.cube.column(p.id) for p in cloud.cube.parameters]
    z = ndtri(np.clip(cloud.u[:, columns], 1e-9, 1 - 1e-9))
    mean = weight @ z
    covariance = ((z - mean) * weight[:, None]).T @ (z - mean)
    return find_ties([p.id for p in cloud.cube.parameters], covariance)
