"""Posterior draws looked at anew: every finding predicted beside what was observed, and other ways to score them.

    log ratio of a row = log E[likelihood under the row's scoring / under the base's],   draws from the posterior

Draws come from an equal mixture of what the calibrating studies leave and what all leave, so both ratios are read from
one set. Findings that are not scored by default are run for these few draws alone.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..case import Case
from ..population import Draws
from ..rules import Rules
from ..study import Finding, Study
from .answer import Findings
from .bank import SIGNS, Layout, lay_out, load_arrays, run_courses, scored_findings, store_arrays
from .cloud import TRANSLATION, Cloud, Effort, cloud_path, resample_cloud, spread_trials
from .fragility import weighted_quantile
from .likelihood import TRIAL_SDS, log_likelihoods, sign_hits, trial_sd_weights
from .measures import BASE, Measure, Scoring, measure
from .prediction import Prediction, Predictor

Array = NDArray[np.float64]

NOISE_DRAWS = 4000  # of a predictive distribution
INTERVAL = (0.025, 0.975)


@dataclass(frozen=True, slots=True)
class Ratio:
    """Log of a row's marginal likelihood over the base's, for all studies and for the calibrating ones [nat]."""

    everything: float
    calibrating: float
    error: float


@dataclass(frozen=True, slots=True)
class Rows:
    """What looking anew gave: log ratios by row, and the findings."""

    ratios: Mapping[str, Ratio]
    findings: tuple[Findings, ...]


def look_again(case: Case, cloud: Cloud, kept: Sequence[Study], rules: Rules, effort: Effort, seed: int) -> Rows:
    """Run every finding for some posterior draws of a structure, and score them as each row says.

    What was run and what came of it is stored beside the cloud.
    """
    ids = [s.id for s in kept]
    first = [s.id for s in kept if s.role == "calibrating"]
    everything, calibrating = (cloud.posterior(cloud.value(names, rules.trial_sd)) for names in (ids, first))
    mixture = 0.5 * (everything + calibrating)
    chosen = resample_cloud(mixture, effort.again, seed=seed)
    weights = [posterior[chosen] / mixture[chosen] for posterior in (everything, calibrating)]
    weights = [weight / weight.sum() for weight in weights]
    digest = hashlib.sha256(repr((ids, effort, seed)).encode() + cloud.u[chosen].tobytes() + _own_code()).hexdigest()[
        :16
    ]
    path = cloud_path(case, cloud.structure, effort, seed)
    path = path.with_name(f"{path.stem}-rows-{digest}.npz")
    order = [(study, f) for study, f in scored_findings(case, primary=False) if study.id in set(ids)]
    names = list(row_scorings(rules))
    kept_numbers = load_arrays(path)
    if kept_numbers is None:
        rows, back = np.unique(chosen, return_inverse=True)
        found = _predictions(case, cloud, rows, effort, seed)
        predictions = {
            study: [Prediction(p.finding, p.centre[back], None if p.sd is None else p.sd[back]) for p in some]
            for study, some in found.items()
            if study in set(ids)
        }
        ratios = _ratios(case, predictions, kept, rules, weights)
        findings = _findings(predictions, kept, rules, weights, seed)
        table = np.array([[f.predicted, f.low, f.high, f.fitted, f.chance] for f in findings])
        listed = np.array([[r.everything, r.calibrating, r.error] for r in ratios.values()]).reshape(-1, 3)
        kept_numbers = {"ratios": listed, "findings": table}
        store_arrays(path, kept_numbers)
    listed, table = kept_numbers["ratios"], kept_numbers["findings"]
    ratios = {name: Ratio(*map(float, row)) for name, row in zip(names, listed, strict=True)}
    return Rows(ratios, tuple(_found(s, f, rules, row) for (s, f), row in zip(order, table, strict=True)))


def _own_code() -> bytes:
    """Source of this module: what it stores follows from it."""
    return Path(__file__).read_bytes()


def _found(study: Study, finding: Finding, rules: Rules, numbers: Array) -> Findings:
    """A finding with what was predicted of it."""
    predicted, low, high, fitted, chance = map(float, numbers)
    observed = error = None
    if study.is_human:
        m = measure(study, finding, rules)
        observed = m.k / m.n if finding.kind == "responders" else m.value
        observed = None if finding.kind in SIGNS else observed
        error = None if finding.kind == "responders" else float(m.errors @ m.error_weights)
    return Findings(study.id, finding, finding.primary, observed, error, predicted, low, high, fitted, chance)


def _predictions(case: Case, cloud: Cloud, rows: NDArray, effort: Effort, seed: int) -> dict[str, list[Prediction]]:
    """Every finding that can be scored, for some draws of a cloud; read where it is stored."""
    u = cloud.u[rows]
    digest = hashlib.sha256(u.tobytes())
    digest.update(repr((case.hash, case.rules, seed)).encode())
    path = cloud_path(case, cloud.structure, effort, seed)
    path = path.with_name(f"{path.stem}-again-{digest.hexdigest()[:16]}.npz")
    arrays = load_arrays(path)
    if arrays is None:
        layout = lay_out(case, cloud.structure, primary=False, kinetics=cloud.kinetics)
        draws = match_draws(cloud, layout, u, seed)
        predictor = Predictor(case, layout)
        carried = run_courses(layout, draws)
        arrays = {}
        for i, scored in enumerate(layout.scored):
            prediction = predictor.predict(scored, carried, draws.values, draws.size)
            arrays[f"centre{i}"] = prediction.centre
            if prediction.sd is not None:
                arrays[f"sd{i}"] = prediction.sd
        store_arrays(path, arrays)
    found: dict[str, list[Prediction]] = {}
    for i, (study, finding) in enumerate(scored_findings(case, primary=False)):
        found.setdefault(study.id, []).append(Prediction(finding, arrays[f"centre{i}"], arrays.get(f"sd{i}")))
    return found


def match_draws(cloud: Cloud, layout: Layout, u: Array, seed: int) -> Draws:
    """Draws of a cloud in the columns of another layout of its structure; what is new there comes from its prior."""
    own = cloud.cube
    rng = np.random.default_rng([seed, 43])
    columns = [u[:, own.column(n)] if n in own.names else rng.random(len(u)) for n in layout.cube.names]
    return layout.cube.draws(np.column_stack(columns))


# --- rows ----------------------------------------------------------------------------------------------------------


def row_scorings(rules: Rules) -> dict[str, tuple[Scoring, bool]]:
    """Row -> how it scores, and whether every outcome counts."""
    rows = {
        "equal": (Scoring(equal=True), False),
        "halted": (Scoring(halted=True), False),
        "selected": (Scoring(selected=True), False),
        "all_outcomes": (Scoring(correlation=rules.correlation), True),
    }
    return rows | {f"all_outcomes_{r:g}": (Scoring(correlation=r), True) for r in rules.correlation_sweep}


def _ratios(
    case: Case,
    predictions: Mapping[str, Sequence[Prediction]],
    kept: Sequence[Study],
    rules: Rules,
    weights: Sequence[Array],
) -> dict[str, Ratio]:
    translation = case.shared[TRANSLATION].prior if TRANSLATION in case.shared else None
    first = [s.id for s in kept if s.role == "calibrating"]
    primary = {study: [p for p in some if p.finding.primary] for study, some in predictions.items()}

    def logs(some: Mapping[str, Sequence[Prediction]], scoring: Scoring) -> tuple[Array, Array]:
        likelihood = log_likelihoods(some, kept, rules, translation, scoring)
        return tuple(spread_trials(likelihood.total(n), rules.trial_sd) for n in (None, first))  # type: ignore[return-value]

    base = logs(primary, BASE)
    found = {}
    for name, (scoring, every) in row_scorings(rules).items():
        row = logs(predictions if every else primary, scoring)
        pairs = [_log_ratio(r - b, w) for r, b, w in zip(row, base, weights, strict=True)]
        found[name] = Ratio(pairs[0][0], pairs[1][0], math.hypot(pairs[0][1], pairs[1][1]))
    return found


def _log_ratio(difference: Array, weight: Array) -> tuple[float, float]:
    """log sum w exp(difference), and its Monte-Carlo error (delta method)."""
    difference = np.where(np.isfinite(difference), difference, -np.inf)
    peak = difference.max()
    terms = np.exp(difference - peak)
    mean = float((weight * terms).sum())
    error = math.sqrt(float((weight**2 * (terms - mean) ** 2).sum())) / mean
    return float(peak + math.log(mean)), error


# --- findings ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Predicted:
    """What is predicted of one finding; see `Findings`."""

    predicted: float
    low: float
    high: float
    fitted: float
    chance: float


def _findings(
    predictions: Mapping[str, Sequence[Prediction]],
    kept: Sequence[Study],
    rules: Rules,
    weights: Sequence[Array],
    seed: int,
) -> list[_Predicted]:
    """Every finding, in the order in which studies and findings stand in the case."""
    by_id = {s.id: s for s in kept}
    rng = np.random.default_rng([seed, 47])
    return [_finding(by_id[study], p, rules, weights, rng) for study, some in predictions.items() for p in some]


def _finding(
    study: Study, prediction: Prediction, rules: Rules, weights: Sequence[Array], rng: np.random.Generator
) -> _Predicted:
    finding = prediction.finding
    centre = prediction.centre if prediction.sd is None else prediction.centre / prediction.sd
    nodes = centre.shape[1]
    everything, calibrating = (np.repeat(w / nodes, nodes) for w in weights)
    flat = centre.ravel()
    known = np.isfinite(flat)
    flat = np.where(known, flat, 0.0)
    everything, calibrating = everything * known, calibrating * known
    fitted = weighted_quantile(flat, everything, 0.5)
    if not study.is_human:
        hits = np.repeat(sign_hits(prediction).astype(float), nodes)
        chance = float((calibrating * hits).sum() / calibrating.sum())
        low, middle, high = (weighted_quantile(flat, calibrating, q) for q in (INTERVAL[0], 0.5, INTERVAL[1]))
        return _Predicted(middle, low, high, fitted, chance)
    m = measure(study, finding, rules)
    edges = np.cumsum(calibrating / calibrating.sum())
    draws = flat[np.minimum(np.searchsorted(edges, rng.random(NOISE_DRAWS)), flat.size - 1)]
    noisy = _with_noise(m, draws, 1.0 if prediction.sd is None else float(np.median(prediction.sd)), rules, rng)
    low, high = (float(q) for q in np.quantile(noisy, INTERVAL))
    return _Predicted(float(np.median(draws)), low, high, fitted, _chance(m, noisy))


def _with_noise(m: Measure, draws: Array, spread: float, rules: Rules, rng: np.random.Generator) -> Array:
    """Results of such a trial around predicted means: its own effect and sampling error added."""
    if m.finding.kind == "responders":
        total, size = 1 / m.correlation - 1, max(1, round(m.n))
        share = np.clip(draws, 1e-4, 1 - 1e-4)
        return rng.binomial(size, rng.beta(share * total, (1 - share) * total)) / size
    sd = rng.choice(TRIAL_SDS, NOISE_DRAWS, p=trial_sd_weights(rules.trial_sd))
    errors = rng.choice(m.errors, NOISE_DRAWS, p=m.error_weights)
    return draws + np.hypot(errors, m.trial * sd / spread) * rng.standard_normal(NOISE_DRAWS)


def _chance(m: Measure, noisy: Array) -> float:
    """Share of predicted results like the published one."""
    finding, reach = m.finding, m.bound * float(m.errors @ m.error_weights)
    if finding.kind == "none_different":
        return float((np.abs(noisy) < reach).mean())
    if finding.kind == "direction":
        return float(((finding.sign or 1) * noisy > (reach if finding.significant else 0.0)).mean())
    observed = m.k / m.n if finding.kind == "responders" else m.value
    return float(min(1.0, 2 * min((noisy <= observed).mean(), (noisy >= observed).mean())))
