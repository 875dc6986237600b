"""Nominal values by one rule for every mechanism: the posterior median given the calibrating studies.

    base variants;   prior draws weighed by what the calibrating studies found;   weighted median of each number taught

A number of which those studies teach nothing keeps the value of its row, which may be a source's own. So does the
outcome scale, which is solved at the others. They are written beside the case, one file a mechanism, named after all
that they follow from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from scipy.special import ndtri

from ..case import Case
from ..files import write_text
from .bank import lay_out
from .cloud import Effort, fill_cloud
from .cube import Structure
from .fragility import weighted_quantile
from .prediction import keep_needed_points

NOMINAL_EFFORT = Effort("nominal", 1024, 4, 8, 32, 0.05, 500.0, 0, 0, 0)
DIGITS = 5
TAUGHT = 0.1  # prior SDs by which a median must have moved; Monte-Carlo error is a fifth of it


@dataclass(frozen=True, slots=True)
class Nominals:
    """Posterior medians of one mechanism's numbers, and how many draws count behind them."""

    slug: str
    values: dict[str, float]
    counting: float


def base_structure(case: Case, slug: str) -> Structure:
    """The mechanism with the base of every axis, those of what it is composed with included."""
    chosen: dict[str, str] = {}
    while free := case.free_axes(slug, chosen):
        chosen |= {axis: variants[0].name for axis, variants in free.items()}
    return Structure(slug, chosen, 1.0)


def find_nominals(case: Case, slug: str, *, seed: int = 1, effort: Effort = NOMINAL_EFFORT) -> Nominals:
    """Medians of the base variants of a mechanism, given the calibrating studies, where these moved them."""
    layout = keep_needed_points(case, lay_out(case, base_structure(case, slug), role="calibrating"))
    cloud = fill_cloud(case, layout, effort, seed=seed)
    logs = cloud.value(None, case.rules.trial_sd if case.rules else 1.0)
    weight = cloud.posterior(logs)
    drawn = cloud.cube.draws(cloud.u).values
    solved = case.calibration.parameter if case.calibration else ""
    values = {}
    for p in cloud.cube.parameters:
        median = weighted_quantile(cloud.u[:, cloud.cube.column(p.id)], weight, 0.5)
        if p.id != solved and abs(float(ndtri(median))) > TAUGHT:
            values[p.id] = weighted_quantile(drawn[p.id], weight, 0.5)
    return Nominals(slug, values, cloud.effective_draws(logs))


def write_nominals(
    case: Case, slugs: Sequence[str], *, seed: int = 1, tell: Callable[[str, int, int], None] = lambda *a: None
) -> list[tuple[Path, Nominals]]:
    """Find and write the nominal values of some mechanisms beside the case; older files of theirs go."""
    folder = case.folder / "nominal"
    folder.mkdir(exist_ok=True)
    written = []
    for i, slug in enumerate(slugs):
        tell(slug, i, len(slugs))
        found = find_nominals(case, slug, seed=seed)
        rows = [f"{name}\t{value:.{DIGITS}g}" for name, value in sorted(found.values.items())]
        path = folder / f"{slug}-{case.nominal_key(slug)}.tsv"
        for old in folder.glob(f"{slug}-*.tsv"):
            if old != path:
                old.unlink()
        write_text(path, "\n".join(["parameterId\tnominalValue", *rows]) + "\n")
        written.append((path, found))
    return written


