"""Densities of PEtab v2: of a measurement given its simulation, and of a parameter before any.

    log-X:      ln x is distributed as X, so the density of x is that of ln x over x
    truncated:  a prior is cut at the parameter's bounds, and its density divided by the mass between them
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import SimulationError
from .petab import PetabParameter


def measurement_log_density(distribution: str, measured: float, simulated: float, spread: float) -> float:
    """Log density of one measurement; `spread` is the noise formula's value (SD of normal, scale of Laplace noise).

    NaN or -inf where the simulation is no number or has no logarithm. Raises SimulationError for a spread not above 0.
    """
    residual = normalised_residual(distribution, measured, simulated, spread)
    jacobian = math.log(measured) if distribution.startswith("log-") else 0.0
    if distribution.endswith("laplace"):
        return -abs(residual) - math.log(2 * spread) - jacobian
    return -0.5 * residual**2 - math.log(math.sqrt(2 * math.pi) * spread) - jacobian


def normalised_residual(distribution: str, measured: float, simulated: float, spread: float) -> float:
    """(measured - simulated)/spread, on the logarithm where the noise has one; its square sums to chi squared."""
    if not spread > 0:
        raise SimulationError(f"the noise formula gives {spread:g}; a spread of measurements must be above 0")
    if distribution.startswith("log-"):
        with np.errstate(all="ignore"):
            return float(np.log(measured) - np.log(simulated)) / spread
    return (measured - simulated) / spread


def _laws() -> dict[str, Callable[..., Any]]:
    from scipy import stats

    return {
        "cauchy": stats.cauchy,
        "chisquare": stats.chi2,
        "exponential": lambda scale: stats.expon(scale=scale),
        "gamma": lambda shape, scale: stats.gamma(shape, scale=scale),
        "laplace": stats.laplace,
        "normal": stats.norm,
        "rayleigh": lambda scale: stats.rayleigh(scale=scale),
        "uniform": lambda low, high: stats.uniform(low, high - low),
    }


def prior_log_density(parameter: PetabParameter, value: float) -> float:
    """Log density of an estimated parameter's prior at a value; without a stated prior it is uniform on its bounds.

    Raises SimulationError where that has no density (bounds that are infinite, or numbers that make no distribution).
    """
    kind = parameter.distribution or "uniform"
    logarithmic = kind.startswith("log-")
    law = _law(parameter, kind)
    if not parameter.lower <= value <= parameter.upper or (logarithmic and value <= 0):
        return -math.inf
    if not logarithmic:
        return float(law.logpdf(value)) - _log(_mass(law, parameter.lower, parameter.upper))
    x = math.log(value)
    return float(law.logpdf(x)) - x - _log(_mass(law, _log(parameter.lower), _log(parameter.upper)))


def _law(parameter: PetabParameter, kind: str) -> Any:  # noqa: ANN401 - a distribution of scipy
    """The distribution of a parameter, or of its logarithm; the numbers of a log-uniform one bound the parameter."""
    numbers = parameter.numbers if parameter.distribution else (parameter.lower, parameter.upper)
    if kind == "log-uniform":
        numbers = tuple(_log(number) for number in numbers)
    what = f"{kind} of {parameter.numbers}" if parameter.distribution else "none is stated, its bounds not finite"
    law = None
    if all(math.isfinite(number) for number in numbers) and kind.removeprefix("log-") in _laws():
        with contextlib.suppress(TypeError):  # too few numbers, or too many
            law = _laws()[kind.removeprefix("log-")](*numbers)
    if law is None or math.isnan(law.median()):
        raise SimulationError(f'the parameter "{parameter.id}" has no prior with a density: {what}')
    return law


def _mass(law: Any, low: float, high: float) -> float:  # noqa: ANN401 - a distribution of scipy
    """Probability between two bounds, from the nearer tail, so that a far one is not lost by subtraction."""
    if low > law.median():
        return float(law.sf(low) - law.sf(high))
    return float(law.cdf(high) - law.cdf(low))


def _log(number: float) -> float:
    return -math.inf if number <= 0 else math.log(number)
