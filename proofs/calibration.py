"""Is a weighing calibrated? Simulation-based calibration, recovery of the truth, and the sampler on Gaussians.

    rank    of each true number among its posterior draws, data simulated from prior draws: uniform
    recover results simulated from a mechanism fitted to the calibrating studies: stated probability = frequency

All from the prediction banks, by the same likelihoods run forwards and back. `--quick` for a look.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from antagony.case import Case, open_case
from antagony.posterior.bank import draw_cube, lay_out, stored_block
from antagony.posterior.cloud import TRANSLATION, scored_studies, spread_trials
from antagony.posterior.cube import Cube, Structure, list_structures
from antagony.posterior.likelihood import log_likelihoods
from antagony.posterior.prediction import Prediction, Predictor, keep_needed_points
from antagony.posterior.synthesis import simulate_results, with_findings, without_reversals
from antagony.posterior.tempering import log_sum, temper
from antagony.rules import Rules
from antagony.study import Study

Array = NDArray[np.float64]

SIZE, EACH = 512, 2  # early draws of a block, late draws beside each
NODES = 2  # of a trial's own course: truth and weighing share them, so calibration needs no more
RANKED = ("gated_surge", "glutamate_surge")
TRUE = ("camp_crosstalk", "gated_surge", "opioid_release", "glutamate_surge")
SHARPER = ("gated_surge", "glutamate_surge")
BINS = 8
INFORMATIVE = 10.0
RESULT = Path(__file__).resolve().parent.parent / "build" / "calibration.json"


@dataclass(frozen=True)
class Bank:
    """Draws of one structure with what they predict of every scored finding."""

    structure: Structure
    cube: Cube
    u: Array
    predictions: dict[str, list[Prediction]]


CASE: Case = open_case()
STUDIES: tuple[Study, ...] = ()
BANKS: dict[str, list[Bank]] = {}
RULES: Rules | None = None
KNOWN: dict[str, list[Array]] = {}


def read_bank(case: Case, structure: Structure, blocks: int) -> Bank:
    """Blocks of a structure, run where they are not stored, and their predictions."""
    layout = keep_needed_points(case, lay_out(case, structure))
    predictor, parts, points = Predictor(case, layout, nodes=NODES), [], []
    for block in range(blocks):
        early, carried = stored_block(layout, SIZE, seed=1, block=block)
        _, late = draw_cube(layout.cube, SIZE, EACH, seed=1, block=block)
        u = np.column_stack([np.repeat(early, EACH, axis=0), late])
        parts.append(predictor.predict_all(carried, layout.cube.draws(u)))
        points.append(u)
    joined = {
        study: [
            Prediction(p.finding, *(_joined([part[study][i] for part in parts], name) for name in ("centre", "sd")))
            for i, p in enumerate(some)
        ]
        for study, some in parts[0].items()
    }
    global STUDIES
    STUDIES = scored_studies(layout)
    return Bank(structure, layout.cube, np.concatenate(points), joined)


def _joined(parts: Sequence[Prediction], name: str) -> Array | None:
    values = [getattr(p, name) for p in parts]
    return None if values[0] is None else np.concatenate(values)


def log_data(bank: Bank, results: object, rules: Rules, studies: Sequence[Study]) -> Array:
    """Log likelihood (draw) of simulated results of some studies."""
    some = {s.id: bank.predictions[s.id] for s in studies}
    beside = with_findings(some, results)  # type: ignore[arg-type]
    translation = CASE.shared[TRANSLATION].prior
    found = log_likelihoods(beside, results.studies, rules, translation, opposite=results.opposite)  # type: ignore[attr-defined]
    return spread_trials(found.total(), rules.trial_sd)


# --- ranks ---------------------------------------------------------------------------------------------------------


def rank_one(task: tuple[str, int]) -> tuple[list[float], float]:
    """Ranks of the true numbers of one simulated data set, and the effective number of draws."""
    slug, number = task
    bank, rules = BANKS[slug][0], RULES
    assert rules is not None
    rng = np.random.default_rng([71, number])
    truth = int(rng.integers(len(bank.u) // EACH)) * EACH + int(rng.integers(EACH))
    results = simulate_results(bank.predictions, truth, STUDIES, rules, CASE.shared[TRANSLATION].prior, rng)
    logs = log_data(bank, results, rules, STUDIES)
    twin = truth // EACH * EACH
    logs[twin : twin + EACH] = -np.inf  # the truth, and what shares its run, are no draws of the posterior
    weight = np.exp(logs - logs.max())
    weight /= weight.sum()
    columns = [bank.cube.column(p.id) for p in bank.cube.parameters]
    below = (bank.u[:, columns] < bank.u[truth, columns]).astype(float)
    return (weight @ below).tolist(), float(1 / (weight**2).sum())


def check_ranks(slug: str, sets: int, pool: multiprocessing.pool.Pool) -> dict[str, object]:
    """Uniformity of the ranks of every number of a mechanism (chi-square, Holm over the numbers)."""
    found = pool.map(rank_one, [(slug, k) for k in range(sets)], chunksize=4)
    names = [p.id for p in BANKS[slug][0].cube.parameters]
    ranks = np.array([ranks for ranks, _ in found])
    counts = np.array([np.histogram(column, BINS, (0, 1))[0] for column in ranks.T])
    p = stats.chisquare(counts, axis=1).pvalue
    order = np.argsort(p)
    holm = [min(1.0, float(p[i]) * (len(p) - k)) for k, i in enumerate(order)]
    pooled = float(stats.kstest(p, "uniform").pvalue)
    worst = names[int(order[0])]
    size = float(np.median([n for _, n in found]))
    print(
        f"ranks {slug}: {sets} data sets, {len(names)} numbers, smallest adjusted p {holm[0]:.3f} ({worst}), "
        f"p values uniform with p {pooled:.3f}, median effective draws {size:.0f}",
        flush=True,
    )
    return {"mechanism": slug, "sets": sets, "p": holm[0], "pooled": pooled, "worst": worst, "effective": size,
            "histogram": counts.sum(axis=0).tolist()}  # fmt: skip


# --- recovery ------------------------------------------------------------------------------------------------------


def known_logs(bank: Bank, rules: Rules) -> Array:
    """Log likelihood (draw) of the real calibrating studies."""
    first = [s for s in STUDIES if s.role == "calibrating"]
    found = log_likelihoods({s.id: bank.predictions[s.id] for s in first}, first, rules, None)
    return spread_trials(found.total(), rules.trial_sd)


def recover_one(task: tuple[str, int, tuple[str, ...], float]) -> tuple[str, dict[str, float], float]:
    """Discriminating results simulated from a mechanism fitted to the calibrating ones; all rivals weighed by them."""
    truth, number, rivals, information = task
    base = RULES
    assert base is not None
    rules = without_reversals(base, information)
    rng = np.random.default_rng([73, number, int(information)])
    studies = [s for s in STUDIES if s.role != "calibrating"]
    banks = BANKS[truth]
    known = KNOWN[truth]
    shares = np.array([b.structure.share * np.exp(k).mean() for b, k in zip(banks, known, strict=True)])
    which = int(rng.choice(len(banks), p=shares / shares.sum()))
    weight = np.exp(known[which] - known[which].max())
    draw = int(rng.choice(len(weight), p=weight / weight.sum()))
    chosen = {s.id: banks[which].predictions[s.id] for s in studies}
    results = simulate_results(chosen, draw, studies, rules, CASE.shared[TRANSLATION].prior, rng)
    logs, least = {}, np.inf
    for slug in rivals:
        tops, downs = [], []
        for k, bank in enumerate(BANKS[slug]):
            data = log_data(bank, results, rules, studies)
            before = KNOWN[slug][k].copy()
            if slug == truth and k == which:
                twin = draw // EACH * EACH
                data[twin : twin + EACH] = before[twin : twin + EACH] = -np.inf
            tops.append(np.log(bank.structure.share) + log_sum(data + before))
            downs.append(np.log(bank.structure.share) + log_sum(before))
            joint = np.exp(data + before - (data + before).max())
            least = min(least, float(joint.sum() ** 2 / (joint**2).sum())) if slug == truth else least
        logs[slug] = float(log_sum(np.array(tops)) - log_sum(np.array(downs)))
    peak = max(logs.values())
    total = sum(np.exp(v - peak) for v in logs.values())
    return truth, {slug: float(np.exp(v - peak) / total) for slug, v in logs.items()}, least


def check_recovery(
    truths: Sequence[str], rivals: tuple[str, ...], replicates: int, information: float, pool: multiprocessing.pool.Pool
) -> dict[str, object]:
    """Stated probability against frequency: a reliability curve, Brier score and its expectation under calibration."""
    tasks = [(t, 1000 * i + k, rivals, information) for i, t in enumerate(truths) for k in range(replicates)]
    found = pool.map(recover_one, tasks, chunksize=2)
    stated = np.array([[p[r] for r in rivals] for _, p, _ in found])
    true = np.array([[float(t == r) for r in rivals] for t, _, _ in found])
    curve = _reliability(stated.ravel(), true.ravel())
    brier = ((stated - true) ** 2).sum(axis=1)
    expected = 1 - (stated**2).sum(axis=1)
    z = float((brier - expected).sum() / np.sqrt(max(_brier_variance(stated), 1e-12)))
    best = np.array(rivals)[stated.argmax(axis=1)]
    hits = {t: float(np.mean([b == t for b, (u, _, _) in zip(best, found, strict=True) if u == t])) for t in truths}
    of_truth = {t: float(np.mean([p[t] for u, p, _ in found if u == t])) for t in truths}
    size = float(np.median([n for *_, n in found]))
    print(
        f"recovery x{information:g}: {len(tasks)} data sets from {len(truths)} mechanisms, Brier {brier.mean():.3f} "
        f"(calibrated: {expected.mean():.3f}, z {z:+.2f}), most probable is true in {np.mean([*hits.values()]):.0%}, "
        f"median effective draws {size:.0f}"
    )
    for low, high, n, said, seen in curve:
        print(f"  stated {low:.1f}-{high:.1f}: {n} statements, mean {said:.2f}, true {seen:.2f}")
    for t in truths:
        print(f"  {t}: most probable in {hits[t]:.0%}, mean probability {of_truth[t]:.2f}", flush=True)
    return {"information": information, "sets": len(tasks), "brier": float(brier.mean()), "z": z, "effective": size,
            "expected": float(expected.mean()), "curve": curve, "hits": hits, "probability": of_truth}  # fmt: skip


def _reliability(stated: Array, true: Array) -> list[tuple[float, float, int, float, float]]:
    edges = np.array([0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0])
    found = []
    for low, high in pairwise(edges):
        here = (stated >= low) & ((stated < high) | (high == 1.0))
        if here.any():
            means = float(stated[here].mean()), float(true[here].mean())
            found.append((float(low), float(high), int(here.sum()), *means))
    return found


def _brier_variance(stated: Array) -> float:
    """Variance of the summed Brier scores if each truth is drawn with its stated probabilities."""
    scores = ((stated[:, None, :] - np.eye(stated.shape[1])[None]) ** 2).sum(axis=2)  # (set, truth)
    mean = (stated * scores).sum(axis=1)
    return float((stated * (scores - mean[:, None]) ** 2).sum())


# --- the sampler ---------------------------------------------------------------------------------------------------


def check_gaussian(dimensions: int, data: int, particles: int, seed: int) -> float:
    """Error of the tempered sampler's log marginal on a Gaussian of known answer [nat]."""
    rng = np.random.default_rng([79, dimensions, seed])
    rotation = np.linalg.qr(rng.standard_normal((dimensions, dimensions)))[0][:data]
    noise = np.geomspace(0.1, 0.3, data)
    seen = rng.standard_normal(data) * np.sqrt(1 + noise**2)

    def evaluate(z: Array) -> tuple[Array, Array]:
        logs = stats.norm.logpdf(seen, z @ rotation.T, noise)
        half = data // 2
        return np.column_stack([logs[:, :half].sum(axis=1), logs[:, half:].sum(axis=1)]), np.zeros((len(z), 1))

    exact = stats.norm.logpdf(seen, 0, np.sqrt(1 + noise**2)).sum()
    return float(temper(evaluate, dimensions, parts=2, particles=particles, seed=[79, seed]).log_marginal[-1] - exact)


def main() -> int:
    """Run all three, print and leave build/calibration.json."""
    global RULES
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few data sets")
    arguments = parser.parse_args()
    blocks, sets, replicates, sharp = (2, 32, 4, 2) if arguments.quick else (2, 160, 40, 10)
    begun = time.perf_counter()
    assert CASE.rules is not None
    RULES = without_reversals(CASE.rules)
    for slug in dict.fromkeys((*RANKED, *TRUE)):
        BANKS[slug] = [read_bank(CASE, s, blocks) for s in list_structures(CASE, slug)]
        KNOWN[slug] = [known_logs(bank, RULES) for bank in BANKS[slug]]
        print(f"bank of {slug}: {len(BANKS[slug])} structures, {time.perf_counter() - begun:.0f} s", flush=True)
    report: dict[str, object] = {}
    with multiprocessing.get_context("fork").Pool(2) as pool:
        report["ranks"] = [check_ranks(slug, sets, pool) for slug in RANKED]
        report["recovery"] = check_recovery(TRUE, TRUE, replicates, 1.0, pool)
        report["sharper"] = check_recovery(SHARPER, TRUE, sharp, INFORMATIVE, pool)
    report["gaussian"] = _gaussians()
    report["seconds"] = time.perf_counter() - begun
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(report), encoding="utf-8")
    print(f"{report['seconds']:.0f} s")
    return 0


def _gaussians() -> Mapping[str, float]:
    found = {}
    for dimensions, data, particles in ((1, 1, 256), (5, 4, 256), (20, 10, 1024)):
        errors = [check_gaussian(dimensions, data, particles, seed) for seed in range(4)]
        found[str(dimensions)] = float(np.mean(errors))
        print(
            f"gaussian in {dimensions} dimensions, {data} data, {particles} particles an island: mean error "
            f"{np.mean(errors):+.3f} nat, largest {max(map(abs, errors)):.3f}, 4 seeds",
            flush=True,
        )
    return found


if __name__ == "__main__":
    sys.exit(main())
