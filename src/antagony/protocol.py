"""A plan of a trial as its protocol says it: who receives what, when it is read, what is asked, what is assumed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .design import Enrolment, Plan
from .planning.ranking import describe_estimand
from .report import describe_condition
from .units import format_number, format_time


def describe_plan(plan: Plan) -> dict[str, Any]:
    """A plan as a protocol says it, in plain values: who receives what, when it is read, what is asked."""
    design = plan.design
    return {
        "name": plan.id,
        "title": plan.title,
        "question": " ".join(plan.notes),
        "kind": design.kind.replace("_", " "),
        "species": plan.species,
        "population": design.population,
        "blinding": design.blinding,
        "feasibility": _feasibility(plan),
        "enrolment": _enrolment(plan.enrolment, plan.trial.scale),
        "groups": [
            {"sequence": [design.arm(name).title for name in sequence], "n": n if plan.is_human else None}
            for sequence, n in zip(plan.sequences, plan.sizes, strict=True)
        ],
        "patients": plan.patients if plan.is_human else None,
        "washout": format_time(plan.step) if plan.step else "",
        "arms": [
            {
                "id": arm.id,
                "title": arm.title,
                "n": _arm_size(plan, arm.id),
                "doses": describe_condition(arm.condition).replace("no drug; ", ""),
                "note": arm.note,
            }
            for arm in design.arms
        ],
        "visits": [format_time(visit) for visit in plan.visits],
        "visits_per_patient": plan.cost,
        "scale": plan.trial.scale,
        "estimands": [describe_estimand(plan, j) for j in range(len(plan.estimands))],
        "variables": [_variable(plan, v.id) for v in plan.variables],
        "assumed": assumed_numbers(plan),
        "origin": Path(plan.origin).name,
    }


def _feasibility(plan: Plan) -> str:
    known = plan.feasibility
    if known is None:
        return "not stated"
    given = "" if not plan.is_human else ", given to people so" if known.in_man else ", not yet given to people so"
    words = "in animals" if not plan.is_human else known.approval.replace("_", " ")
    note = f"; {known.note}" if known.note else ""
    return f"{words}{given}; burden {known.burden} of 5; {format_number(known.visits)} visits besides ratings{note}"


def _enrolment(enrolment: Enrolment, scale: str) -> str:
    bounds = [
        f"{word} {format_number(bound)}"
        for word, bound in (("at least", enrolment.least), ("at most", enrolment.most))
        if bound is not None
    ]
    return f"{scale} {' and '.join(bounds)} at screening" if bounds else "no bound of the rating"


def _variable(plan: Plan, name: str) -> str:
    variable = next(v for v in plan.variables if v.id == name)
    value = format_number(plan.values.get(name, variable.nominal))
    step = "" if variable.step is None else f" in steps of {format_number(variable.step)}"
    low, high = format_number(variable.low), format_number(variable.high)
    note = f": {variable.note}" if variable.note else ""
    return f"{name} {value} {variable.unit} (may be {low} to {high}{step}){note}"


def assumed_numbers(plan: Plan) -> list[str]:
    """Every number of a plan that is assumed, by name."""
    numbers = {**plan.trial.numbers, **({"baseline_sd": plan.trial.baseline_sd} if plan.trial.baseline_sd else {})}
    found = [f"{name} {format_number(n.value)}" for name, n in numbers.items() if n.grade == "assumed"]
    for arm in plan.design.arms:
        if arm.cue_grade == "assumed" and arm.comparator_cue is not None:
            found.append(f"cue of the comparator in {arm.id} {format_number(arm.comparator_cue)}")
    readings = {(e.output, e.reading): None for e in plan.estimands if e.reading and e.reading.grade == "assumed"}
    found += [f"SD of one reading of {output} {format_number(r.value)}" for output, r in readings if r is not None]
    if plan.feasibility is not None and plan.feasibility.grade == "assumed":
        found.append(f"visits besides ratings {format_number(plan.feasibility.visits)}")
    return found


def _arm_size(plan: Plan, name: str) -> int | None:
    """Patients of an arm, those of all its periods; None for animals."""
    if not plan.is_human:
        return None
    return sum(n for sequence, n in zip(plan.sequences, plan.sizes, strict=True) if name in sequence)


def protocol_lines(told: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(name, text) of what a protocol of `describe_plan` states in one line each; what it lacks is left out."""
    people = told["patients"] is not None
    crossed = [f"{g['n']} patients {' > '.join(g['sequence'])}" for g in told["groups"] if len(g["sequence"]) > 1]
    lines = [
        ("Design", f"{told['kind']}, {told['blinding']}"),
        ("Species", "" if people else told["species"]),
        ("Population", told["population"]),
        ("Enrolled", told["enrolment"] if people else ""),
        ("Feasibility", told["feasibility"]),
        ("Sequences", "; ".join(crossed)),
        ("From one period to the next", told["washout"]),
        ("Patients in its file", str(told["patients"]) if people else ""),
        ("Visits", f"baseline, {', '.join(told['visits'])}; {told['scale']}"),
        ("Cost", f"{format_number(told['visits_per_patient'])} visits a patient" if people else ""),
    ]
    return [(name, text) for name, text in lines if text]
