"""A ranking of trials shown: tables for the terminal, plain values for JSON, rows for CSV, the page; one plan told.

    question -> Ranking -> tables | JSON | CSV | page | picture;    kept as plain values for the verdict

Every chance is a probability [0-1], every number of a simulation stands with its Monte-Carlo error.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import __version__
from .case import Case
from .design import Plan, Realism
from .design_figures import (
    chance_text,
    control_faults,
    control_range,
    draw_ranking,
    evidence_at,
    figure_text,
    information_label,
    outcome_text,
    plot_information,
    rival_of,
    span_text,
)
from .errors import StudyError, near_miss
from .figures import write_picture
from .files import check_ending, unpack, write_text, write_whole
from .kernel.build import cache_folder
from .planning.answer import Measurement, Ranked, Ranking
from .planning.information import Evidence, Figure
from .planning.ranking import Ask, Ranker, filter_plans, patients_for, rank_plans
from .posterior import storage
from .posterior.cloud import EFFORTS
from .printing import plain_values, write_rows
from .protocol import describe_plan, protocol_lines
from .report import page_environment
from .terminal import Line, number_table, print_grid, print_lines, print_table

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    Progress = Callable[[str, int, int], None]

DESIGN_ENDINGS = (".html", ".json", ".csv", ".svg")
SHOW_ENDINGS = (".html", ".json")
BESIDE = 65  # letters that the other columns of a ranking take
MEASURED = 12  # measurements that the terminal shows
TOP = 5  # plans that a verdict shows
KEPT = ".ranking.gz"  # ending of a kept ranking's file
NO_ADVICE = "No number here is advice for a patient."
APPROVALS = {"licensed": "lic", "off_label": "off", "investigational": "inv", "animal": "ani"}
BURDENS = (
    "burden 1 ratings alone, 2 an infusion or a drug with a known label, 3 several periods or a long stay, 4 a scan or "
    "a lumbar puncture, 5 more than one such"
)

# --- asking ----------------------------------------------------------------------------------------------------------


def choose_plans(case: Case, names: Sequence[str], *, only: bool = False) -> list[Plan]:
    """The case's designs and those that are named besides (designs, studies, TOML files); or these alone.

    A named plan takes the place of a design that bears its id. Raises CaseError and StudyError.
    """
    named = {plan.id: plan for plan in map(case.plan, names)}
    if only and not named:
        raise StudyError("--only: name the designs to rank, each with --plan")
    return [*((named if only else {**case.designs, **named}).values())]


def announce_ranking(case: Case, ask: Ask, plans: Sequence[Plan]) -> str:
    """What a ranking will do, in one line; raises before the work what would otherwise be raised within it.

    StudyError for words that --exclude, --ignore or --budget do not know, and for an unknown effort.
    """
    if ask.effort not in EFFORTS:
        raise StudyError(f'unknown effort "{ask.effort}"{near_miss(ask.effort, EFFORTS)}')
    known = [f.name for f in fields(Realism)]
    for name in ask.ignored:
        if name not in known:
            raise StudyError(f'--ignore "{name}": an analysis cannot ignore that{near_miss(name, known)}')
    slugs = [slug for slug in case.wirings if not case.wiring(slug).reference]
    groups = {case.wiring(slug).group for slug in slugs}
    for name in ask.rivals:
        if name not in {*slugs, *groups}:
            raise StudyError(f'--rivals "{name}": no mechanism or class{near_miss(name, [*slugs, *groups])}')
    kept = filter_plans(plans, ask.exclude)
    if ask.budget and kept:
        try:
            patients_for(kept[0], ask.n, ask.budget)
        except StudyError as error:
            if str(error).startswith("--budget"):
                raise
    size = f"a budget of {ask.budget}" if ask.budget else f"{ask.n} patients"
    between = " and ".join(ask.rivals) if ask.rivals else f"{len(groups)} classes of {len(slugs)} mechanisms"
    return f"{len(kept)} designs at {size} between {between}, effort {ask.effort}; what was asked before is only read"


def measure_ranking(case: Case, ask: Ask, ranking: Ranking, progress: Progress | None = None) -> Ranking:
    """The ranking with every contrast of its plans by itself."""
    ranker, plans = Ranker(case, ask, progress), [r.plan for r in ranking.ranked]
    return replace(ranking, measurements=ranker.measure(plans, ranker.expect(plans, ask.realism)))


@dataclass(frozen=True, slots=True)
class Shown:
    """One plan told: what it is, and what it would show; `ranking` holds it alone, or `refused` says why not."""

    plan: Plan
    ranking: Ranking | None
    refused: str = ""

    @property
    def ranked(self) -> Ranked | None:
        """What the plan is expected to show."""
        return self.ranking.ranked[0] if self.ranking and self.ranking.ranked else None


def tell_plan(case: Case, ask: Ask, plan: Plan, progress: Progress | None = None) -> Shown:
    """A plan with its evidence and measurements, or with the reason why the mechanisms cannot be asked."""
    ranker = Ranker(case, ask, progress)
    fit, refused = ranker.refuse([plan])
    if not fit:
        return Shown(plan, None, refused[plan.id])
    ranking = rank_plans(case, ask, plans=fit, progress=progress)
    measured = ranker.measure(fit, ranker.expect(fit, ask.realism))
    order = [e.id for e in plan.estimands]
    return Shown(plan, replace(ranking, measurements=tuple(sorted(measured, key=lambda m: order.index(m.estimand)))))


# --- plain values ----------------------------------------------------------------------------------------------------


def ranking_table(ranking: Ranking, numbers: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Everything of the record as plain values; a number that is not finite is None. `numbers`: of `count_numbers`."""
    control = control_range(ranking)
    table = {
        "title": ranking.title,
        "question": ranking.question,
        "designs": [_design_row(r) for r in ranking.ranked],
        "refused": ranking.refused,
        "rivals": {n: {"title": ranking.titles.get(n, n), "mechanisms": m} for n, m in ranking.rivals.items()},
        "named": ranking.pair,
        "n": ranking.n,
        "budget": ranking.budget,
        "bound": ranking.bound,
        "aim": ranking.aim,
        "realism": asdict(ranking.realism),
        "ignored": ranking.ignored,
        "control": None
        if control is None
        else dict(zip(("low", "high", "error"), control, strict=True)) | {"faults": control_faults(ranking)},
        "counting": ranking.counting,
        "assumed": ranking.assumed,
        "sentences": ranking.sentences,
        "caveats": ranking.caveats,
        "measurements": [_measurement_row(m) for m in ranking.measurements],
        "numbers": numbers or {},
        "seconds": ranking.seconds,
        "settings": asdict(ranking.settings),
        "advice": NO_ADVICE,
    }
    return plain_values(table)


def shown_table(shown: Shown, numbers: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """One plan as plain values: the keys of a ranking that holds it alone, and its protocol."""
    told = plain_values({"protocol": describe_plan(shown.plan)})
    if shown.ranking is not None:
        return told | ranking_table(shown.ranking, numbers)
    return told | {
        "designs": [], "refused": {shown.plan.id: shown.refused}, "sentences": [], "caveats": [], "measurements": [],
        "control": None, "rivals": {}, "settings": None, "advice": NO_ADVICE,
    }  # fmt: skip


def _design_row(ranked: Ranked) -> dict[str, Any]:
    """A plan of the ranking; the first keys are those that every reader of `designs` counts on."""
    known = ranked.plan.feasibility
    return _evidence_row(ranked.evidence, name=ranked.name) | {
        "bits_per_patient": ranked.per_patient,
        "visits": ranked.cost,
        "visits_per_patient": ranked.plan.cost if ranked.plan.is_human else None,
        "burden": None if known is None else known.burden,
        "approval": None if known is None else known.approval,
        "in_man": None if known is None else known.in_man,
        "species": ranked.plan.species,
        "advised_n": None if ranked.advised is None else ranked.advised.n,
        "advised": None if ranked.advised is None else _evidence_row(ranked.advised),
        "best": _evidence_row(ranked.best),
        "curve": [_evidence_row(e) for e in ranked.curve],
        "control": ranked.control.value,
        "control_error": ranked.control.error,
        "pairs": _pair_rows(ranked.evidence),
        "ignoring": None if ranked.ignoring is None else _evidence_row(ranked.ignoring),
        "outcomes": {e: {slug: asdict(o) for slug, o in found.items()} for e, found in ranked.outcomes.items()},
        "protocol": describe_plan(ranked.plan),
        "title": ranked.plan.title,
    }


def _evidence_row(evidence: Evidence, **head: str) -> dict[str, Any]:
    row: dict[str, Any] = dict(head)
    for name in ("bits", "decisive", "misleading", "posterior"):
        figure: Figure = getattr(evidence, name)
        row |= {name: figure.value, f"{name}_error": figure.error}
    return row | {"n": evidence.n, "bias": evidence.bias}


def _pair_rows(evidence: Evidence) -> list[dict[str, Any]]:
    return [
        {"truth": truth, "other": other, "decisive": decisive, "misleading": misleading}
        for (truth, other), (decisive, misleading) in evidence.pairs.items()
    ]


def _measurement_row(measurement: Measurement) -> dict[str, Any]:
    outcomes = {slug: asdict(outcome) for slug, outcome in measurement.outcomes.items()}
    return {
        "plan": measurement.plan, "estimand": measurement.estimand, "text": measurement.text,
        "unit": measurement.unit, "bits": measurement.bits.value, "bits_error": measurement.bits.error,
        "outcomes": outcomes,
    }  # fmt: skip


def count_numbers(case: Case, ranking: Ranking) -> dict[str, Any]:
    """The sources that the mechanisms' numbers name, most used first, and how many of them are assumed."""
    from .verdict import read_bibliography

    regimens = [arm.condition.regimen for r in ranking.ranked for arm in r.plan.design.arms]
    drugs = sorted({drug for text in regimens for drug in case.regimen(text).drugs})
    counted: Counter[str] = Counter()
    assumed = {}
    for slug in rival_of(ranking):
        mechanism = case.mechanism(slug, drugs)
        counted.update(p.source.split(",")[0].strip() for p in mechanism.parameters.values() if p.source)
        assumed[slug] = {"assumed": len(mechanism.assumed), "numbers": len(mechanism.parameters)}
    texts = read_bibliography(case)
    sources = [{"key": key, "text": texts.get(key, key), "numbers": n} for key, n in counted.most_common()]
    return {"sources": sources, "mechanisms": assumed}


# --- terminal --------------------------------------------------------------------------------------------------------


def print_ranking(ranking: Ranking, console: Console) -> None:
    """The ranking, what was refused, the control, what it says and what that hangs on."""
    console.rule(ranking.title)
    console.print(ranking.question, markup=False, highlight=False)
    if ranking.ranked:
        _print_main(ranking, console)
    if ranking.ignored:
        _print_ignoring(ranking, console)
    if ranking.refused:
        print_lines(console, (f"{name}: {why}" for name, why in ranking.refused.items()), "-", "Not ranked:")
    _print_control(ranking, console)
    if ranking.measurements:
        _print_measurements(ranking, console)
    print_lines(console, ranking.sentences, "*", "What the numbers say:")
    print_lines(console, ranking.caveats, "-", "What that hangs on:")
    _print_settings(ranking, console)


def print_ranking_summary(kept: Mapping[str, Any] | None, console: Console, option: str = "") -> None:
    """The first designs of a kept ranking and what it says; where there is none, the command that makes it.

    `option`: what that command needs behind it to ask this very case.
    """
    if kept is None:
        said = f"No ranking of designs is kept for this case; make one with: antagony design{option}"
        console.print(said, markup=False, highlight=False, soft_wrap=True)
        return
    console.print()
    table = number_table("design", "bits (error)", "deci-\nsive", "mis-\nleading", "n", "advised\nn")
    for row in kept["designs"][:TOP]:
        bits = figure_text(Figure(_nan(row["bits"]), _nan(row["bits_error"])))
        chances = chance_text(row["decisive"]), chance_text(row["misleading"])
        table.add_row(row["name"], bits, *chances, _count(row["n"]), _count(row["advised_n"]))
    print_table("Which study next", table, console)
    print_lines(console, kept["sentences"], "*")


def print_shown(shown: Shown, console: Console) -> None:
    """A plan as a protocol, and what it would show under each rival."""
    plan, told = shown.plan, describe_plan(shown.plan)
    console.rule(plan.id)
    console.print(plan.title, style="bold", markup=False, highlight=False)
    console.print(told["question"], markup=False, highlight=False)
    for name, text in protocol_lines(told):
        console.print(f"{name}: {text}", markup=False, highlight=False)
    table = number_table("arm", "n", "doses", left=3)
    for arm in told["arms"]:
        table.add_row(arm["title"], _count(arm["n"]), arm["doses"])
    print_table("Arms", table, console)
    print_lines(console, told["estimands"][:1], "*", "Primary contrast")
    if told["estimands"][1:]:
        print_lines(console, told["estimands"][1:], "*", "Further contrasts")
    if told["variables"]:
        print_lines(console, told["variables"], "*", "Left open, to be optimised")
    if shown.ranking is None or shown.ranked is None:
        console.print(f"Not to be asked of the mechanisms: {shown.refused}", markup=False, highlight=False)
        console.print("No dosing advice.", style="dim", markup=False)
        return
    _print_evidence(shown.ranking, shown.ranked, console)
    _print_outcomes(shown.ranking, plan, console)
    _print_pairs(shown.ranking, shown.ranked, console)
    print_lines(console, shown.ranking.sentences, "*", "What the numbers say:")
    print_lines(console, told["assumed"] or ["none"], "-", f"Numbers assumed ({len(told['assumed'])}):")
    print_lines(console, shown.ranking.caveats, "-", "What that hangs on:")
    _print_settings(shown.ranking, console)


def _print_main(ranking: Ranking, console: Console) -> None:
    table = number_table(
        "design", "bits\n(error)", "deci-\nsive", "mis-\nlead", "true\nrival", "n", "bits/\npat.", "visits",
        "burden", "ad-\nvised",
    )  # fmt: skip
    for r in ranking.ranked:
        e = r.evidence
        chances = (chance_text(f.value) for f in (e.decisive, e.misleading, e.posterior))
        table.add_row(
            fold_name(r.name, console.width - BESIDE), figure_text(e.bits), *chances,
            _count(e.n), f"{r.per_patient:.4f}" if math.isfinite(r.per_patient) else "-", _count(r.cost),
            burden_text(r.plan), "-" if r.advised is None else _count(r.advised.n),
        )  # fmt: skip
    size = f"a budget of {ranking.budget}" if ranking.budget else f"{ranking.n:g} patients"
    names = ", ".join(f"{name} {ranking.titles.get(name, '')}".strip() for name in ranking.rivals)
    note = (
        f"Rivals: {names}. Decisive, misleading: probability that the Bayes factor of the true rival over another, or "
        f"of the other over the true, passes {ranking.bound:g}. True rival: its expected probability after the trial. "
        f"Bits/pat.: for each patient. Visits: of all patients. {BURDENS.capitalize()}; "
        f"lic licensed, off off label, inv investigational, ani animals; ! not yet given to people so. "
        f"Advised: least n with decisive evidence at {ranking.aim:g}."
    )
    print_table(f"Designs at {size}, the most informative first", table, console, note)


def burden_text(plan: Plan) -> str:
    """Burden and approval in few letters, such as `2 off`; ! where it was not yet given to people so."""
    known = plan.feasibility
    if known is None:
        return "?"
    return f"{known.burden} {APPROVALS[known.approval]}{'' if known.in_man or not plan.is_human else '!'}"


def fold_name(name: str, width: int) -> str:
    """A name in lines of some width, broken behind its underscores where one fits.

    >>> fold_name("rodent_naltrexone_ketamine", 12).split()
    ['rodent_', 'naltrexone_', 'ketamine']
    """
    lines = [""]
    for piece in name.replace("_", "_ ").split():
        if lines[-1] and len(lines[-1]) + len(piece) > width:
            lines.append("")
        lines[-1] += piece
    return "\n".join(lines)


def _count(number: float | None) -> str:
    return "-" if number is None or not math.isfinite(number) else f"{number:.0f}"


def _nan(number: float | None) -> float:
    return math.nan if number is None else float(number)


def _print_ignoring(ranking: Ranking, console: Console) -> None:
    named = [f"{name}{which}" for which in ("", "\nignoring") for name in ("bits", "decisive", "misleading")]
    table = number_table("design", *named)
    for r in ranking.ranked:
        if r.ignoring is not None:
            some = [
                text
                for e in (r.evidence, r.ignoring)
                for text in (figure_text(e.bits), chance_text(e.decisive.value), chance_text(e.misleading.value))
            ]
            table.add_row(r.name, *some)
    print_table(f"The same trials, analysed as if there were no {', no '.join(ranking.ignored)}", table, console)


def _print_control(ranking: Ranking, console: Console) -> None:
    found = control_range(ranking)
    if found is not None:
        console.print(control_text(*found, control_faults(ranking)), markup=False, highlight=False)


def control_text(low: float, high: float, error: float, faults: Sequence[str] = ()) -> str:
    """The identical-rivals control in a sentence, which names designs that fail it.

    >>> control_text(-0.013, 0.021, 0.01)
    'Control: two identical rivals score -0.013 to 0.021 bits (greatest error 0.010); that is 0 within error.'
    """
    said = f"not within three errors of 0: {', '.join(faults)}" if faults else "that is 0 within error"
    return f"Control: two identical rivals score {low:.3f} to {high:.3f} bits (greatest error {error:.3f}); {said}."


def _print_measurements(ranking: Ranking, console: Console) -> None:
    """The first measurements, each rival by the mechanism that has the greatest share of it."""
    first = {rival: slug for slug, rival in reversed(rival_of(ranking).items())}
    heads = {rival: first[rival] if first[rival] == rival else f"{rival}_{first[rival]}" for rival in ranking.rivals}
    shown = ranking.measurements[:MEASURED]
    lines = [
        Line(
            f"{figure_text(m.bits)} {m.plan} {m.estimand}",
            tuple(outcome_text(m.outcomes[first[rival]]) for rival in heads),
        )
        for m in shown
    ]
    title = "What would change our mind: bits (error) of one measurement, and 95 % of its results under each rival"
    print_grid(title, [*heads.values()], lines, console)
    rest = len(ranking.measurements) - len(shown)
    note = f"{rest} further measurements say less. " if rest else ""
    console.print(
        f"{note}Of each class the mechanism with the greatest share; --out and --json have all. In points of the scale "
        "or the unit of what is read; of animals, the probability of the sign.",
        style="dim", markup=False, highlight=False,
    )  # fmt: skip


def _print_evidence(ranking: Ranking, ranked: Ranked, console: Console) -> None:
    table = number_table("n", "bits (error)", "decisive", "misleading", "true rival", left=0)
    for e in evidence_at(ranked):
        mark = "*" if e.n == ranked.evidence.n else "+" if e.n == ranked.best.n else ""
        some = (chance_text(f.value) for f in (e.decisive, e.misleading, e.posterior))
        table.add_row(f"{mark} {_count(e.n)}".strip(), figure_text(e.bits), *some)
    note = (
        f"* as asked; + {'least that reaches' if ranked.advised else 'beyond which little is gained, short of'} "
        f"{ranking.aim:g} of decisive evidence. Bayes factor {ranking.bound:g}."
        if ranked.plan.is_human else f"Of animals signs alone are counted, whatever n. Bayes factor {ranking.bound:g}."
    )  # fmt: skip
    print_table("How many patients, and what they decide", table, console, note)


def _print_outcomes(ranking: Ranking, plan: Plan, console: Console) -> None:
    owner = rival_of(ranking)
    for m in ranking.measurements:
        unit = f" [{m.unit}]" if m.unit else ""
        if plan.is_human:
            table = number_table("mechanism", "rival", "median", "95 % of the mean", "95 % of a result", left=2)
        else:
            table = number_table("mechanism", "rival", "sign in its draws", "sign to be seen", left=2)
        for slug, rival in owner.items():
            if (o := m.outcomes.get(slug)) is not None:
                cells = (outcome_text(o, of_mean=True), outcome_text(o))
                table.add_row(slug, rival, *(cells if not plan.is_human else (span_text(o.median, o.median), *cells)))
        note = "" if plan.is_human else "Probability that the first arm reads lower; seen: as far as signs carry over."
        print_table(f"Expected: {m.text}{unit}; alone {figure_text(m.bits)} bits", table, console, note)


def _print_pairs(ranking: Ranking, ranked: Ranked, console: Console) -> None:
    names = [*ranking.rivals]
    lines = [Line(truth, tuple(pair_text(ranked.evidence, truth, other) for other in names)) for truth in names]
    title = "Decisive / misleading evidence: the true rival (row) against another (column)"
    print_grid(title, names, lines, console)


def pair_text(evidence: Evidence, truth: str, other: str) -> str:
    """Decisive and misleading evidence of the truth against another; empty against itself."""
    found = evidence.pairs.get((truth, other))
    return "" if found is None else f"{chance_text(found[0])} / {chance_text(found[1])}"


def _print_settings(ranking: Ranking, console: Console) -> None:
    s = ranking.settings
    spent = ", ".join(f"{stage} {seconds:.0f} s" for stage, seconds in ranking.seconds.items())
    off = [f.name for f in fields(Realism) if getattr(ranking.realism, f.name) is False]
    parts = [
        f"designs: {len(ranking.ranked)} ranked, {len(ranking.refused)} refused",
        f"dropout {ranking.realism.dropout.replace('_', ' ')}",
        *([f"without {', '.join(off)}"] if off else []),
        f"seed {s.seed}",
        f"rtol {s.relative_tolerance:g}, atol {s.absolute_tolerance:g}",
        f"case {s.case_hash}",
        f"{s.seconds:.0f} s" + (f" ({spent})" if spent else ""),
    ]
    console.print(f"{'; '.join(parts)}. No dosing advice.", markup=False, highlight=False, style="dim")


# --- files -----------------------------------------------------------------------------------------------------------


def write_ranking(ranking: Ranking, out: Path, numbers: Mapping[str, Any] | None = None) -> Path:
    """Write .html (page), .json, .csv (a row a design and number of patients) or .svg, whole or not at all."""
    check_ending(out, DESIGN_ENDINGS)
    if out.suffix == ".html":
        return _write_page(out, ranking_table(ranking, numbers), ranking)
    if out.suffix == ".json":
        return _write_json(out, ranking_table(ranking, numbers))
    return _write_csv(ranking, out) if out.suffix == ".csv" else _write_svg(ranking, out)


def write_shown(shown: Shown, out: Path, numbers: Mapping[str, Any] | None = None) -> Path:
    """Write one plan as .html or .json, whole or not at all."""
    check_ending(out, SHOW_ENDINGS)
    table = shown_table(shown, numbers)
    return _write_json(out, table) if out.suffix == ".json" else _write_page(out, table, shown.ranking)


def _write_json(out: Path, table: Mapping[str, Any]) -> Path:
    return write_text(out, json.dumps(table, indent=1, allow_nan=False) + "\n")


def _write_page(out: Path, table: Mapping[str, Any], ranking: Ranking | None) -> Path:
    """The page of a ranking, or of one plan where the table holds its protocol."""
    from markupsafe import Markup

    environment = page_environment()
    environment.filters |= {
        "lines": protocol_lines, "count": _count, "span": lambda low, high: span_text(_nan(low), _nan(high)),
    }  # fmt: skip
    pictures = {} if ranking is None else {p.name: p for p in draw_ranking(ranking)}
    owner = {} if ranking is None else rival_of(ranking)
    text = environment.get_template("design.html.j2").render(
        table=table,
        one=table.get("protocol"),
        owner=owner,
        drawings={name: (Markup(p.svg), p.caption) for name, p in pictures.items()},
        control=None if not table.get("control") else control_text(**table["control"]),
        burdens=BURDENS,
    )
    return write_text(out, text)


def evidence_rows(ranking: Ranking) -> list[dict[str, Any]]:
    """A row a design and number of patients: bits, decisive and misleading evidence, each with its error."""
    rows = []
    for place, ranked in enumerate(ranking.ranked, 1):
        for evidence in evidence_at(ranked):
            asked = evidence.n == ranked.evidence.n or not ranked.plan.is_human
            row = {"rank": place, **_evidence_row(evidence, name=ranked.name), "asked": asked}
            known = ranked.plan.feasibility
            row |= {"burden": known.burden, "approval": known.approval} if known else {"burden": "", "approval": ""}
            rows.append({key: "" if isinstance(v, float) and not math.isfinite(v) else v for key, v in row.items()})
    return rows


def _write_csv(ranking: Ranking, out: Path) -> Path:
    return write_rows(evidence_rows(ranking), out)


def _write_svg(ranking: Ranking, out: Path) -> Path:
    return write_picture(plot_information(ranking), "design", information_label(ranking), out)


# --- kept ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _KeptDesign:
    """What a verdict reads of a kept design."""

    name: str
    title: str
    bits: float | None
    bits_error: float | None
    decisive: float | None
    misleading: float | None
    n: float | None
    advised_n: float | None


@dataclass(frozen=True, slots=True)
class _Kept:
    """What a verdict reads of a kept ranking; whatever else is there stays as it is."""

    sentences: list[str]
    caveats: list[str]
    designs: list[_KeptDesign]
    n: float
    budget: str
    bound: float
    aim: float


def is_whole(ask: Ask, plans: Sequence[Plan], case: Case) -> bool:
    """Whether a question is about all of a case's designs and classes in a realistic world, as a verdict asks it."""
    usual = Ask(n=ask.n, budget=ask.budget, bound=ask.bound, aim=ask.aim, effort=ask.effort, seed=ask.seed)
    return ask == usual and [*plans] == [*case.designs.values()]


def keep_ranking(case: Case, table: Mapping[str, Any], effort: str, *, beside_case: bool = False) -> Path:
    """Write a ranking's plain values to the user's cache, or beside the case in place of older ones."""
    folder = _beside(case) if beside_case else cache_folder() / "rankings"
    folder.mkdir(parents=True, exist_ok=True, mode=0o755 if beside_case else 0o700)
    path = folder / _kept_name(case, effort)
    text = json.dumps(table, allow_nan=False).encode()
    write_whole(path, lambda part: part.write_bytes(gzip.compress(text, 9, mtime=0)))
    if beside_case:
        for old in folder.glob(f"*{KEPT}"):
            if old != path:
                old.unlink()
    return path


def read_ranking(case: Case) -> dict[str, Any] | None:
    """The plain values of the best kept ranking of this very case, its designs and this version; None without.

    The user's own before the one that ships beside the case. Text alone is read, and what does not look like a ranking
    is left alone.
    """
    return next(_kept_tables(case, storage.EFFORTS), None)


def read_answered(case: Case, ask: Ask, *, measured: bool = False) -> Ranking | None:
    """The kept ranking of this very question over all designs and classes, as `rank_plans` gave it; None without.

    Pairs of rivals are kept for the asked number of patients alone; `measured`: only one that holds every contrast.
    """
    from pydantic import ValidationError

    for table in _kept_tables(case, [ask.effort]):
        try:
            kept = _record_of(case, table)
        except (KeyError, TypeError, AttributeError, ValueError, OverflowError, ValidationError):
            continue
        asked = (kept.n, kept.budget, kept.bound, kept.aim, kept.settings.seed)
        same = asked == (ask.n, ask.budget, ask.bound, ask.aim, ask.seed) and (kept.measurements or not measured)
        if same and _can_be_drawn(kept):
            return kept
    return None


def _can_be_drawn(ranking: Ranking) -> bool:
    """Whether curves are there, of a size that information has: a stranger's file may hold any number."""
    return all(
        (ranked.curve or not ranked.plan.is_human)
        and all(abs(evidence.bits.value) < 1e3 for evidence in (ranked.evidence, *ranked.curve))
        for ranked in ranking.ranked
    )


def _kept_tables(case: Case, efforts: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Kept rankings of this very case as plain values, best first."""
    from pydantic import TypeAdapter, ValidationError

    folders = (cache_folder() / "rankings", _beside(case))
    for path in (folder / _kept_name(case, effort) for folder in folders for effort in efforts):
        try:
            table = json.loads(unpack(path))
            TypeAdapter(_Kept).validate_python(table)
        except (OSError, ValueError, RecursionError, ValidationError):
            continue
        yield table


def _record_of(case: Case, table: Mapping[str, Any]) -> Ranking:
    """The record behind plain values; raises what a table of other keys or types makes Python and pydantic raise."""
    from pydantic import TypeAdapter

    straight = (
        "title question refused n budget bound aim realism ignored assumed sentences caveats seconds settings"
    ).split()
    record = {name: table[name] for name in straight} | {
        "ranked": [_ranked_of(case, row) for row in table["designs"]],
        "rivals": {name: row["mechanisms"] for name, row in table["rivals"].items()},
        "titles": {name: row["title"] for name, row in table["rivals"].items()},
        "pair": table["named"],
        "counting": {slug: _nan(count) for slug, count in table["counting"].items()},
        "measurements": [
            {name: row[name] for name in ("plan", "estimand", "text", "unit")}
            | {"bits": _figure_of(row, "bits"), "outcomes": _outcomes_of(row["outcomes"])}
            for row in table["measurements"]
        ],
    }
    return TypeAdapter(Ranking).validate_python(record)


def _ranked_of(case: Case, row: Mapping[str, Any]) -> dict[str, Any]:
    pairs = {(p["truth"], p["other"]): (_nan(p["decisive"]), _nan(p["misleading"])) for p in row["pairs"]}
    return {
        "plan": case.designs[row["name"]],
        "evidence": _evidence_of(row) | {"pairs": pairs},
        "curve": [_evidence_of(e) for e in row["curve"]],
        "control": {"value": _nan(row["control"]), "error": _nan(row["control_error"])},
        "advised": None if row["advised"] is None else _evidence_of(row["advised"]),
        "best": _evidence_of(row["best"]),
        "outcomes": {estimand: _outcomes_of(found) for estimand, found in row["outcomes"].items()},
        "ignoring": None if row["ignoring"] is None else _evidence_of(row["ignoring"]),
    }


def _evidence_of(row: Mapping[str, Any]) -> dict[str, Any]:
    figures = {name: _figure_of(row, name) for name in ("bits", "decisive", "misleading", "posterior")}
    return figures | {"n": _nan(row["n"]), "bias": _nan(row["bias"]), "pairs": {}}


def _figure_of(row: Mapping[str, Any], name: str) -> dict[str, float]:
    return {"value": _nan(row[name]), "error": _nan(row[f"{name}_error"])}


def _outcomes_of(found: Mapping[str, Mapping[str, float | None]]) -> dict[str, dict[str, float]]:
    return {slug: {name: _nan(value) for name, value in outcome.items()} for slug, outcome in found.items()}


def _beside(case: Case) -> Path:
    return case.folder / "answers"


def _kept_name(case: Case, effort: str) -> str:
    """A file's name: the case's fingerprint, that of its designs' files, the version and the effort."""
    digest = hashlib.sha256()
    for path in sorted((case.folder / "designs").glob("*.toml")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return f"{case.hash}-{digest.hexdigest()[:16]}-{__version__}-{effort}{KEPT}"
