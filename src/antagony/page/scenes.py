"""Scenes of a case as the page plays them: doses with their sliders, moments, and published numbers on the curves."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from ..case import Case, Scene
from ..drug import ByDose, Drug
from ..regimen import Dose, Regimen
from ..study import Finding, Study
from ..units import format_time

BEFORE = 1.0  # hours shown before the reference dose
MOMENTS = 160  # of a curve, besides the marks
MARKS = (0.0, 1.0, 24.0)  # moments that sentences speak of
KNEE = 0.25  # hours around the reference dose that are shown widest (asinh axis)
STEPS = 20  # of a slider, up to twice the scene's dose
FIRST_LOOK = 1.0  # hours after the last single dose at which a scene opens, when most drugs act
ROUTES = {
    "iv": "into a vein",
    "po": "by mouth",
    "nasal": "nasal spray",
    "sl": "under the tongue",
    "im": "into a muscle",
    "sc": "under the skin",
}
ANTAGONIST = "antagonist"  # the role, in a receptor's sum, of a drug that blocks it


def describe_scenes(case: Case) -> list[dict[str, Any]]:
    """Every scene of the case; those that differ in doses alone become one with a slider."""
    groups: dict[tuple[Any, ...], list[Scene]] = {}
    for scene in case.scenes.values():
        groups.setdefault(_likeness(scene), []).append(scene)
    return [_scene(case, group) for group in groups.values()]


def drugs_of(case: Case) -> tuple[str, ...]:
    """Drugs that the scenes give, in the case's order."""
    given = {drug for scene in case.scenes.values() for drug in scene.regimen.drugs}
    return tuple(name for name in case.drugs if name in given)


def describe_drug(drug: Drug) -> dict[str, Any]:
    """What the page needs to give a drug."""
    return {
        "title": drug.title,
        "nmolPerMg": drug.nmol_per_mg,
        "caveat": drug.caveat,
        "antagonist": is_antagonist(drug),
        "routes": {
            name: [
                {"state": t.state, "input": t.input} | {key: _amount(value) for key, value in t.amounts.items()}
                for t in route.targets
            ]
            for name, route in drug.routes.items()
        },
    }


def is_antagonist(drug: Drug) -> bool:
    """Whether a drug blocks a receptor that others excite."""
    return any(load.role == ANTAGONIST for load in drug.loads)


def scene_times(scene: Scene) -> np.ndarray:
    """Moments of a scene [h], dense around the reference dose, the marks among them."""
    first = min(-BEFORE, scene.regimen.first)
    grid = np.sinh(np.linspace(np.arcsinh(first / KNEE), np.arcsinh(scene.until / KNEE), MOMENTS)) * KNEE
    marks = [first, *(t for t in MARKS if t < scene.until), scene.until]
    inside = grid[(grid > first) & (grid < scene.until)]
    apart = inside[np.abs(inside[:, None] - np.array(marks)).min(axis=1) > 1e-6]
    return np.sort(np.concatenate([apart, marks]))


def _likeness(scene: Scene) -> tuple[Any, ...]:
    """The same for scenes that differ in amounts alone."""
    doses = tuple(replace(dose, amount=1.0) for dose in scene.regimen.doses)
    return (doses, scene.until, scene.note)


def _scene(case: Case, group: list[Scene]) -> dict[str, Any]:
    scene = group[len(group) // 2]
    title = scene.title if len(group) == 1 else _without_amounts(scene.title)
    times = scene_times(scene)
    return {
        "id": scene.name,
        "title": title,
        "short": title[:1].upper() + title[1:],
        "note": scene.note,
        "regimen": scene.regimen.text(),
        "until": scene.until,
        "opens": _opening(scene, times),
        "times": times.tolist(),
        "doses": [_dose(dose) for dose in scene.regimen.doses],
        "controls": [_control(case, i, dose) for i, dose in enumerate(scene.regimen.doses)],
        "observed": list(_observed(case, scene)),
    }


def _without_amounts(title: str) -> str:
    return re.sub(r"\s*\d+(\.\d+)? (mg/kg|mg)\b", "", title).strip()


def _opening(scene: Scene, times: np.ndarray) -> float:
    """Soon after the last single dose; in the middle of a course."""
    doses = scene.regimen.doses
    wanted = scene.until / 2 if any(d.additional for d in doses) else max(d.time for d in doses) + FIRST_LOOK
    wanted = max(wanted, FIRST_LOOK)
    return float(times[np.argmin(np.abs(times - wanted))])


def _dose(dose: Dose) -> dict[str, Any]:
    kept = asdict(dose)
    return {
        "drug": dose.drug,
        "amount": dose.amount,
        "perKg": dose.per_kg,
        **{key: kept[key] for key in ("route", "time", "duration", "rate", "interval", "additional")},
    }


def _control(case: Case, index: int, dose: Dose) -> dict[str, Any]:
    targets = case.drugs[dose.drug].route(dose.route).targets
    tables = [a for t in targets for a in t.amounts.values() if isinstance(a, ByDose)]
    known = sorted({amount for table in tables for amount in table.doses})
    high = known[-1] if known else 2 * dose.amount
    return {
        "dose": index,
        "label": f"{dose.drug} {_how(dose)}",
        "unit": "mg/kg" if dose.per_kg else "mg",
        "low": 0.0,
        "high": high,
        "step": high / STEPS,
        "allowed": [0.0, *known] if known else None,
    }


def _how(dose: Dose) -> str:
    """Route and timing in words: "by mouth, 45 min before"."""
    words = ROUTES.get(dose.route, dose.route)
    words += f" over {format_time(dose.duration)}" if dose.duration else ""
    words += f" every {format_time(dose.interval)}, {dose.additional + 1} times" if dose.additional else ""
    if dose.time:
        words += f", {format_time(abs(dose.time))} {'before' if dose.time < 0 else 'after'}"
    return words


def _amount(value: float | str | ByDose) -> Any:  # noqa: ANN401 - a number, an id or a table
    return {"doses": list(value.doses), "values": list(value.values)} if isinstance(value, ByDose) else value


# --- published numbers -----------------------------------------------------------------------------------------------


def _observed(case: Case, scene: Scene) -> Iterable[dict[str, Any]]:
    """Findings with a number, of people who were given this very regimen, on the scene's clock."""
    for study in case.studies.values():
        if not study.is_human:
            continue
        for finding in study.findings:
            arms = [study.design.arm(name).condition for name in finding.arms]
            if finding.value is None or finding.time is None or any(arm.probes for arm in arms):
                continue
            regimens = [case.regimen(arm.regimen) for arm in arms]
            if finding.kind == "contrast" and (len(regimens) != 2 or regimens[1].doses):
                continue
            shift = _same(regimens[0], scene.regimen)
            if finding.kind in ("contrast", "change", "value") and shift is not None:
                yield _point(case, study, finding, shift)


def _same(given: Regimen, scene: Regimen) -> float | None:
    """By how much [h] the scene's clock runs ahead of the trial's, where both give the same; None where not."""
    if not given.doses or len(given.doses) != len(scene.doses):
        return None
    shift = scene.first - given.first
    moved = tuple(replace(dose, time=dose.time + shift) for dose in given.doses)
    return shift if moved == tuple(scene.doses) else None


def _point(case: Case, study: Study, finding: Finding, shift: float) -> dict[str, Any]:
    top = finding.score_max or study.trial.values.get("score_max")
    scale = finding.scale or study.trial.scale
    factor = case.trial["score_max"] / top if finding.output == "score" and top and "score_max" in case.trial else 1.0
    half = 1.96 * (_standard_error(finding) or 0.0)
    of = f"{scale}, " if finding.output == "score" else ""
    return {
        "output": finding.output,
        "kind": finding.kind,
        "time": float(finding.time or 0.0) + shift,
        "value": finding.value,
        "low": finding.value - half if half and finding.value is not None else None,
        "high": finding.value + half if half and finding.value is not None else None,
        "factor": factor,
        "study": study.title,
        "text": f"{study.id}: {finding.value:g} ({of}{finding.kind} at {finding.time:g} h)",
        "source": finding.source or study.reference,
    }


def _standard_error(finding: Finding) -> float | None:
    """Published, or from the SD and number of each arm."""
    if finding.se is not None:
        return finding.se
    if finding.sd and len(finding.sd) == len(finding.n):
        return sum(sd**2 / n for sd, n in zip(finding.sd, finding.n, strict=True)) ** 0.5
    return None
