"""Nominal values by one rule for every mechanism: posterior medians given the calibrating studies (medians of the
priors until those were computed), and one outcome scale solved from one finding.

Whoever cannot reach the finding is reported as such and never forced.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .case import Case
from .errors import CaseError, near_miss
from .parameters import Parameter
from .population import NOMINAL, TYPICAL, Draws, Population, draw_parameters, sample_population
from .readout import late_parameters
from .simulation import Arm, Snapshot, snapshot
from .study import Study, trial_values

Array = NDArray[np.float64]
PATIENTS = 32  # over whom `calibrate_over_patients` averages
DECADES = (-6.0, 4.0)  # powers of ten searched for the outcome scale; its prior is far narrower and is checked after


@dataclass(frozen=True, slots=True)
class Calibrated:
    """Draws whose outcome scale was solved, and which of them could reach the finding.

    `reached` (draw); where False the parameter keeps its drawn value. `outside` (draw): solved, but beyond its prior.
    `target` is the contrast matched [points of the study's scale]; `best` (draw) the nearest value within reach.
    """

    draws: Draws
    parameter: str
    target: float
    reached: NDArray[np.bool_]
    outside: NDArray[np.bool_]
    best: Array

    @property
    def kept(self) -> Calibrated:
        """Only the draws that reached the finding."""
        return self.take(self.reached)

    def take(self, some: NDArray) -> Calibrated:
        """The draws at the given positions (or where a mask is true), in order."""
        return Calibrated(
            self.draws.take(some),
            self.parameter,
            self.target,
            self.reached[some],
            self.outside[some],
            self.best[some],
        )


@dataclass(frozen=True, slots=True)
class CalibratedPrior:
    """Nominal values and prior draws, calibrated together: the first draw of `joined` is the nominal one."""

    joined: Calibrated

    @property
    def nominal(self) -> Calibrated:
        """The nominal values alone."""
        only = self.joined.take(np.arange(1))
        return replace(only, draws=replace(only.draws, seed=None))

    @property
    def sampled(self) -> Calibrated:
        """The prior draws alone."""
        return self.joined.take(np.arange(1, self.joined.draws.size))


def calibrate_prior(
    case: Case,
    slug: str,
    draws: int,
    *,
    seed: int,
    variants: Mapping[str, str] | None = None,
    held: Mapping[str, float] | None = None,
) -> CalibratedPrior:
    """Calibrate nominal values and `draws` prior draws of a mechanism for the typical patient, in one go.

    `held`: numbers that have one value in all of them. Raises CaseError for one that is unknown or outside its prior.
    """
    rows = case.parameters(slug, variants)
    sampled = draw_parameters(rows.values(), draws, seed=seed)
    known = case.nominal_values(slug, variants)
    joined = {
        name: np.concatenate([[known.get(name, rows[name].nominal)], values]) for name, values in sampled.values.items()
    }
    for name, value in (held or {}).items():
        _check_held(slug, name, value, rows)
        joined[name] = np.full(draws + 1, float(value))
    return CalibratedPrior(calibrate(case, slug, Draws(draws + 1, seed, joined), variants=variants))


def _check_held(slug: str, name: str, value: float, rows: Mapping[str, Parameter]) -> None:
    if name not in rows:
        raise CaseError(f'{slug} has no parameter "{name}" to hold{near_miss(name, rows)}')
    prior = rows[name].prior
    low, high = (-np.inf, np.inf) if prior is None else prior.support
    if not (np.isfinite(value) and low <= value <= high):
        raise CaseError(f"{slug}: {name} = {value:g} lies outside its range, {low:g} to {high:g}; hold it within")


def calibrate(
    case: Case,
    slug: str,
    draws: Draws = NOMINAL,
    *,
    population: Population = TYPICAL,
    variants: Mapping[str, str] | None = None,
) -> Calibrated:
    """Solve the case's outcome scale for each draw, for the typical patient or the mean over a population.

        find x:  mean score(treated, x) - mean score(comparator, x) at the finding's time = the published difference

    A reference (`none`) has no effect to scale: its draws are kept as they are and count as reached. The score responds
    to x without integrating anew, so the root is found by bisection on log x over many decades.
    """
    if draws is NOMINAL:
        draws = nominal_draws(case, slug, variants)
    rule = case.calibration
    if rule is None:
        raise CaseError(
            f"{case.folder / 'case.toml'}: no [calibration]; name the parameter that sizes the effect, and the study "
            "and finding that it is solved from"
        )
    if rule.study not in case.studies:
        miss = near_miss(rule.study, case.studies)
        raise CaseError(f'{case.folder / "case.toml"}, key calibration.study: no study "{rule.study}"{miss}')
    study = case.studies[rule.study]
    finding = study.finding(rule.finding)
    if finding.kind != "contrast" or finding.value is None or finding.time is None:
        raise CaseError(f'case.toml, key calibration.finding: "{rule.finding}" is no contrast with a value and a time')
    arms = [study_arm(case, study, name) for name in finding.arms]
    mechanism = case.mechanism_for(slug, {d for arm in arms for d in arm.regimen.drugs}, variants)
    rows = case.parameters(slug, variants)
    if rule.parameter not in late_parameters(mechanism):
        raise CaseError(f'calibration needs a parameter that acts on outputs only; "{rule.parameter}" moves a state')
    drawn = draws.values.get(rule.parameter, np.full(draws.size, rows[rule.parameter].nominal))
    target, everywhere = float(finding.value), np.ones(draws.size, dtype=bool)
    if case.wiring(slug).reference:
        kept = draws.replace(**{rule.parameter: drawn})
        return Calibrated(kept, rule.parameter, target, everywhere, ~everywhere, np.zeros(draws.size))
    first, second = (snapshot(mechanism, arm, finding.time, draws=draws, population=population) for arm in arms)
    solved, reached, best = _solve(first, second, rule.parameter, target, draws.size)
    values = np.where(reached, solved, drawn)
    prior = rows[rule.parameter].prior
    low, high = prior.support if prior else (0.0, np.inf)
    outside = reached & ((values < low) | (values > high))
    return Calibrated(draws.replace(**{rule.parameter: values}), rule.parameter, target, reached, outside, best)


def nominal_draws(case: Case, slug: str, variants: Mapping[str, str] | None = None) -> Draws:
    """One draw of nominal values: posterior medians given the calibrating studies, where they were computed.

    Medians of numbers that the studies know only together need not meet a finding together, so `calibrate` still
    solves the outcome scale at them.
    """
    values = case.nominal_values(slug, variants)
    return Draws(1, None, {name: np.array([value]) for name, value in values.items()})


def calibrate_over_patients(
    case: Case, slug: str, draws: Draws, *, seed: int, variants: Mapping[str, str] | None = None
) -> Calibrated:
    """As `calibrate`, the contrast averaged over patients: for whoever asks what a trial finds."""
    few = sample_population(case.parameters(slug, variants).values(), PATIENTS, seed=seed)
    return calibrate(case, slug, draws, population=few, variants=variants)


def study_arm(case: Case, study: Study, name: str) -> Arm:
    """An arm of a study as a simulation takes it: its regimen and probes under the study's own trial table."""
    arm = study.design.arm(name)
    values = trial_values(study.trial, case.trial)
    if arm.comparator_cue is not None:
        values[case.cue] = arm.comparator_cue
    return Arm(case.regimen(arm.condition.regimen), case.spell_out(arm.condition.probes), values)


def _solve(first: Snapshot, second: Snapshot, parameter: str, target: float, size: int) -> tuple[Array, NDArray, Array]:
    """Bisection on log10 x, all draws at once: (root, whether there is one, contrast nearest to the target)."""

    def miss(log_x: Array) -> Array:
        x = 10.0**log_x
        contrast = first.read("score", **{parameter: x}) - second.read("score", **{parameter: x})
        return contrast.mean(axis=1) - target

    low, high = np.full(size, DECADES[0]), np.full(size, DECADES[1])
    at_low, at_high = miss(low), miss(high)
    reached = np.sign(at_low) * np.sign(at_high) < 0
    for _ in range(36):
        middle = 0.5 * (low + high)
        same = np.sign(miss(middle)) == np.sign(at_low)
        low, high = np.where(same, middle, low), np.where(same, high, middle)
    nearest = np.where(np.abs(at_low) < np.abs(at_high), at_low, at_high) + target
    return 10.0 ** (0.5 * (low + high)), reached, np.where(reached, target, nearest)
