"""A weighing shown: tables for the terminal, plain values for JSON, rows for CSV, the page and the picture.

Logarithms are natural [nat]; each stands with its Monte-Carlo error. A Bayes factor is exp(difference of two partials).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import PosteriorError, near_miss
from .figures import write_picture
from .files import check_ending, write_text
from .posterior.answer import Learned, Number, Part, Weighed, Weighing
from .posterior.bank import plan_courses
from .posterior.cloud import EFFORTS, left_at_base, structures_of
from .posterior.sentences import base_only_sentence
from .posterior.weighing import check_classes
from .printing import plain_values, write_rows
from .report import write_weighing_page
from .terminal import Line, number_table, print_grid, print_lines, print_table
from .weighing_figures import (
    CALIBRATING,
    TOP,
    UNEXPLAINED,
    alone_scores,
    compared,
    error_factor,
    factor_text,
    gaps_without,
    leader_gap,
    less,
    moving_sweeps,
    nat_text,
    observed_interval,
    over_best,
    over_unexplained,
    partials_label,
    plot_partials,
    probability_errors,
    ranked,
    relative_scores,
    row_title,
    rows_over_leader,
    running,
    study_label,
)

if TYPE_CHECKING:
    from rich.console import Console

    from .case import Case

WEIGHING_ENDINGS = (".html", ".json", ".csv", ".svg")
MOVING = 8  # studies and sweeps that the terminal shows
TELLING = 12  # studies whose log scores the terminal shows
PARTING = 5  # studies that the terminal shows alone
TAUGHT = 8  # learned numbers of the leader that the terminal shows

# --- before the run --------------------------------------------------------------------------------------------------


def plan_weighing(case: Case, mechanisms: Sequence[str] | None, effort: str, until: str | None) -> str:
    """What a weighing will run, in one line; raises before the work what would otherwise be raised within it.

    PosteriorError for an unknown effort, class or a date that is none, CaseError for an unknown mechanism.
    """
    spent = EFFORTS.get(effort)
    if spent is None:
        raise PosteriorError(f'unknown effort "{effort}"{near_miss(effort, EFFORTS)}')
    if until is not None and not re.fullmatch(r"\d{4}(-\d{2}(-\d{2})?)?", until):
        raise PosteriorError(f'--until "{until}": write a year, month or day, such as 2018, 2018-05 or 2018-05-03')
    slugs = [case.wiring(slug).slug for slug in mechanisms or case.wirings]
    check_classes(case, slugs)
    structures = sum(len(structures_of(case, slug, spent)) for slug in slugs)
    courses, _ = plan_courses(case)
    first, most = (spent.size * blocks for blocks in (spent.blocks, spent.most))
    draws = f"{first}" if first == most else f"{first} to {most}"
    left = left_at_base(case, slugs, spent)
    return (
        f"{len(slugs)} mechanisms in {structures} structures, {len(courses)} courses of doses each, effort {effort}: "
        f"{draws} draws a structure" + (f". {base_only_sentence(effort, left)}" if left else "")
    )


# --- plain values ----------------------------------------------------------------------------------------------------


def weighing_table(weighing: Weighing) -> dict[str, Any]:
    """Everything of the record as plain values; a number that is not finite is None."""
    everyone = weighing.mechanisms
    best = weighing.rivals[0].slug if weighing.rivals else None
    table = {
        "title": weighing.title,
        "question": weighing.question,
        "reference": UNEXPLAINED,
        "leader": best,
        "probability": weighing.probabilities,
        "probability_error": {prior: probability_errors(weighing, prior) for prior in weighing.probabilities},
        "full_probability": weighing.full,
        "prior_titles": weighing.prior_titles,
        "bayes_factor": {w.slug: _factor(over_unexplained(weighing, w)) for w in everyone},
        "classes": _class_table(weighing),
        "log_marginal": {w.slug: w.log_marginal.value for w in everyone},
        "log_marginal_error": {w.slug: w.log_marginal.error for w in everyone},
        "calibrating": {w.slug: _number(w.calibrating) for w in everyone},
        "partial": {w.slug: w.partial.value for w in everyone},
        "partial_error": {w.slug: w.partial.error for w in everyone},
        "mechanisms": {
            w.slug: {
                "title": w.title, "class": w.group, "reference": w.reference, "draws": w.draws,
                "counting": w.counting, "tempered": w.tempered, "failed": w.failed,
            }
            for w in everyone
        },
        "prior_sweep": {w.slug: _sweep_rows(w) for w in everyone},
        "leave_one_out": _by_study(weighing, "leave_one_out"),
        "leader_without": [{"study": g.study, **_number(g.gap), "change": g.change} for g in gaps_without(weighing)],
        "studies": [_study_row(weighing, i) for i in range(len(weighing.studies))],
        "in_turn": {w.slug: running(weighing, w) for w in everyone},
        "rows": _row_table(weighing),
        "row_titles": {name: row_title(weighing, name) for name in ("base", *_row_names(weighing))},
        "findings": _finding_rows(weighing),
        "learned": {w.slug: [_learned_row(item) for item in w.learned] for w in everyone},
        "structures": {w.slug: [_part_row(part) for part in w.structures] for w in everyone},
        "variants": {w.slug: [_part_row(part) for part in w.variants] for w in everyone},
        "base_only": weighing.base_only,
        "sentences": weighing.sentences,
        "fragile": weighing.fragile,
        "skipped": weighing.skipped,
        "assumed_rules": weighing.assumed_rules,
        "effort": weighing.effort,
        "settings": asdict(weighing.settings),
        "seconds": weighing.seconds,
        "budget": weighing.budget,
        "until": weighing.until,
    }  # fmt: skip
    return plain_values(table)


def _number(number: Number) -> dict[str, float]:
    return {"value": number.value, "error": number.error}


def _factor(log: Number) -> dict[str, float]:
    """A Bayes factor beside its log [nat] and the error of the log."""
    value = math.exp(log.value) if log.value < math.log(1e300) else math.inf
    return {"value": value, "log": log.value, "error": log.error}


def _class_table(weighing: Weighing) -> dict[str, Any]:
    free = weighing.weighed(UNEXPLAINED).partial
    return {
        group: {
            "title": weighing.class_titles.get(group, group),
            "partial": number.value,
            "partial_error": number.error,
            "bayes_factor": _factor(less(number, free)),
            "mechanisms": [w.slug for w in weighing.rivals if w.group == group],
        }
        for group, number in weighing.classes.items()
    }


def _sweep_rows(weighed: Weighed) -> list[dict[str, Any]]:
    return [
        {"parameter": s.parameter, "part": s.part, "partial": s.partial.value, "error": s.partial.error, "change": c}
        for s, c in moving_sweeps(weighed)
    ]


def _by_study(weighing: Weighing, name: str) -> dict[str, Any]:
    """Study -> mechanism -> number of one of its mappings."""
    return {
        s.id: {w.slug: _number(getattr(w, name)[s.id]) for w in weighing.mechanisms if s.id in getattr(w, name)}
        for s in weighing.studies
    }


def _study_row(weighing: Weighing, index: int) -> dict[str, Any]:
    study = weighing.studies[index]
    everyone = weighing.mechanisms
    return {
        "id": study.id,
        "date": study.date,
        "title": study.title,
        "role": study.role,
        "species": study.species,
        "log_score": {w.slug: _number(w.scores[study.id]) for w in everyone if study.id in w.scores},
        "log_score_alone": {w.slug: _number(w.alone[study.id]) for w in everyone if study.id in w.alone},
        "log_score_in_turn": {w.slug: _number(w.in_turn[study.id]) for w in everyone if study.id in w.in_turn},
    }


def _row_names(weighing: Weighing) -> list[str]:
    return list(dict.fromkeys(name for w in weighing.mechanisms for name in w.rows))


def _row_table(weighing: Weighing) -> dict[str, Any]:
    rows = {"base": {w.slug: _number(w.partial) for w in weighing.mechanisms}}
    for name in _row_names(weighing):
        rows[name] = {w.slug: _number(w.rows[name]) for w in weighing.mechanisms if name in w.rows}
    return rows


def _finding_rows(weighing: Weighing) -> list[dict[str, Any]]:
    """A row a finding: what was published, and what each mechanism predicts and fits."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for w in weighing.mechanisms:
        for f in w.findings:
            row = rows.setdefault(
                (f.study, f.finding.id),
                {
                    "study": f.study, "finding": f.finding.id, "kind": f.finding.kind, "output": f.finding.output,
                    "time_h": f.finding.time, "scored": f.scored, "sign": f.finding.sign, "observed": f.observed,
                    "error": f.error, "interval": observed_interval(f), "mechanisms": {},
                },
            )  # fmt: skip
            row["mechanisms"][w.slug] = {
                "predicted": f.predicted, "low": f.low, "high": f.high, "fitted": f.fitted, "chance": f.chance,
                "covered": f.covered,
            }  # fmt: skip
    return list(rows.values())


def _learned_row(learned: Learned) -> dict[str, Any]:
    return asdict(learned) | {"is_learned": bool(learned.is_learned)}


def _part_row(part: Part) -> dict[str, Any]:
    return {"name": part.name, "share": part.share, "posterior": part.posterior, "partial": _number(part.partial)}


# --- terminal --------------------------------------------------------------------------------------------------------


def print_weighing(weighing: Weighing, console: Console) -> None:
    """What follows, the rivals, what it hangs on, study by study, what is learned, and the settings."""
    console.rule(weighing.title)
    console.print(weighing.question, markup=False, highlight=False)
    print_lines(console, weighing.sentences, "*")
    _print_main(weighing, console)
    if weighing.classes:
        _print_classes(weighing, console)
    print_lines(console, weighing.fragile, "-", "Fragile:")
    if weighing.rivals:
        _print_rows(weighing, console)
        _print_left_out(weighing, console)
        _print_sweeps(weighing.rivals[0], console)
        _print_scores(weighing, console)
        _print_learned(weighing, console)
    _print_settings(weighing, console)


def print_weighing_summary(weighing: Weighing | None, console: Console, missing: str) -> None:
    """The rivals and what follows, in short; where nothing was weighed, what is missing."""
    if weighing is None:
        console.print(missing, markup=False, highlight=False, soft_wrap=True)
        return
    console.print()
    console.print("How probable each rival is, given what was published", style="bold", markup=False)
    print_lines(console, weighing.sentences, "*")
    _print_main(weighing, console)
    print_lines(console, weighing.fragile, "-", "What that hangs on:")


def factor_span(log: Number) -> str:
    """A Bayes factor with its error as a factor on either side.

    >>> factor_span(Number(-3.81, 0.7)), factor_span(Number(0.0, 0.0))
    ('1/45 */2', '1')
    """
    exact = log.error == 0 or not math.isfinite(log.value)
    return factor_text(log.value) + ("" if exact else f" */{error_factor(log.error)}")


def percent_span(shares: Sequence[float], error: float) -> str:
    """The range of a probability with the greatest Monte-Carlo error, both in whole per cent, the error at least 1.

    >>> percent_span([0.123, 0.31], 0.021), percent_span([0.0001, 0.0002], 1e-5), percent_span([1.0], 0.0)
    ('12-31 ±2', '<1', '100')
    """
    if not shares:
        return ""
    if max(shares) < 0.0095:
        return "<1"
    low, high = (f"{100 * share:.0f}" for share in (min(shares), max(shares)))
    reach = f" ±{max(100 * error, 1):.0f}" if math.isfinite(error) else " ±inf"
    return (low if low == high else f"{low}-{high}") + (reach if error else "")


def _print_main(weighing: Weighing, console: Console) -> None:
    table = number_table(
        "mechanism", "class", "log BF over\nunexplained", "BF over\nthe best", "proba-\nbility %", "full log\nmarginal",
        "draws\ncount",
    )  # fmt: skip
    errors = {prior: probability_errors(weighing, prior) for prior in weighing.probabilities}
    for w in ranked(weighing):
        shares = [p[w.slug] for p in weighing.probabilities.values() if w.slug in p]
        error = max((e[w.slug] for e in errors.values() if w.slug in e), default=0.0)
        table.add_row(
            _marked(weighing, w), w.group, nat_text(over_unexplained(weighing, w)),
            factor_span(over_best(weighing, w)), percent_span(shares, error), _tenths(w.log_marginal),
            f"{w.counting:.0f}" if math.isfinite(w.counting) else "", style="italic" if w.reference else None,
        )  # fmt: skip
    priors = "; ".join(f"{name}: {title}" for name, title in weighing.prior_titles.items())
    note = (
        "log BF: log of the partial Bayes factor, p(discriminating | calibrating studies), in nat, ± its Monte-Carlo "
        "standard error; */ the same error as a factor up or down. Probability: range over the stated priors "
        f"({priors}). References have none. Full: of all studies."
    )
    print_table("Rivals, most probable first", table, console, note)


def _marked(weighing: Weighing, weighed: Weighed) -> str:
    """The slug, with what sets its row apart."""
    if weighed.reference:
        return f"{weighed.slug} (ref.)"
    return f"{weighed.slug}\n(base only)" if weighed.slug in weighing.base_only else weighed.slug


def _tenths(number: Number) -> str:
    """A log to a tenth, its error rounded up to one where it is less."""
    return nat_text(Number(number.value, max(number.error, 0.1) if number.error else 0.0), signed=False)


def _print_classes(weighing: Weighing, console: Console) -> None:
    free = weighing.weighed(UNEXPLAINED).partial
    order = sorted(weighing.classes.items(), key=lambda item: -item[1].value)
    table = number_table("class", "", "log BF over\nunexplained", "BF over the\nbest class", left=2, wide=True)
    for group, number in order:
        title = weighing.class_titles.get(group, group)
        if any(w.group == group and w.slug in weighing.base_only for w in weighing.rivals):
            title += " (base only)"
        table.add_row(group, title, nat_text(less(number, free)), factor_span(less(number, order[0][1])))
    print_table("Classes, their mechanisms averaged", table, console)


def _print_rows(weighing: Weighing, console: Console) -> None:
    rows = rows_over_leader(weighing)
    heads = [w.slug for w in compared(weighing)]
    best = heads[0]
    lines = [
        Line(name, tuple(_relative(cells.get(slug), slug == best) for slug in heads)) for name, cells in rows.items()
    ]
    print_grid(f"Scored otherwise: log BF over {best} within the same row [nat]", heads, lines, console)
    named = "; ".join(f"{name}: {row_title(weighing, name)}" for name in rows if name != "base")
    console.print(f"{named}." if named else "", style="dim", markup=False, highlight=False)


def _relative(number: Number | None, leader: bool) -> str:
    return "" if number is None else "0" if leader else nat_text(number)


def _print_left_out(weighing: Weighing, console: Console) -> None:
    gap, gaps = leader_gap(weighing), gaps_without(weighing)
    if gap is None or not gaps:
        return
    best, second = weighing.rivals[:2]
    labels = {s.id: study_label(s) for s in weighing.studies}
    table = number_table("without", "log BF", "BF", "change", "", wide=True)
    table.add_row("none left out", nat_text(gap), factor_span(gap), "", "")
    for g in gaps[:MOVING]:
        turned = "turns the order" if g.gap.value < 0 <= gap.value else ""
        table.add_row(labels.get(g.study, g.study), nat_text(g.gap), factor_span(g.gap), f"{g.change:+.1f}", turned)
    rest = gaps[MOVING:]
    note = f"{len(rest)} other studies move it by {abs(rest[0].change):.1f} nat or less. " if rest else ""
    note += "* calibrating, + animals or cells."
    print_table(f"One study left out: {best.slug} over {second.slug}", table, console, note)


def _print_sweeps(best: Weighed, console: Console) -> None:
    swept = moving_sweeps(best)
    if not swept:
        return
    table = number_table("assumed number", "half of its range", "partial", "change", left=2, wide=True)
    for sweep, change in swept[:MOVING]:
        table.add_row(sweep.parameter, sweep.part, nat_text(sweep.partial, signed=False), f"{change:+.1f}")
    others = len(swept) - MOVING
    note = f"{others} other halves move it less." if others > 0 else ""
    base = nat_text(best.partial, signed=False)
    print_table(f"Assumed ranges that move the log partial of {best.slug} most ({base})", table, console, note)


def _print_scores(weighing: Weighing, console: Console) -> None:
    shown = [*weighing.rivals[:TOP], *(w for w in ranked(weighing) if w.reference and w.slug != UNEXPLAINED)]
    relative = {w.slug: relative_scores(weighing, w) for w in shown}
    size = {
        s.id: max((abs(found[s.id].value) for found in relative.values() if s.id in found), default=0.0)
        for s in weighing.studies
    }
    chosen = sorted(size, key=lambda name: -size[name] if size[name] == size[name] else 0.0)[:TELLING]
    lines = [
        Line(study_label(s), tuple(_cell(relative[w.slug].get(s.id)) for w in shown))
        for s in weighing.studies
        if s.id in chosen
    ]
    if lines:
        title = "Log score of each study given all others, less that of unexplained [nat]"
        print_grid(title, [w.slug for w in shown], lines, console)
    rest = [size[name] for name in size if name not in chosen]
    if rest:
        console.print(
            f"{len(rest)} other studies: within ±{max(rest):.1f} of unexplained for all of these.",
            style="dim", markup=False, highlight=False,
        )  # fmt: skip
    for w in shown:
        console.print(f"{w.slug}: {_gains(relative[w.slug])}", markup=False, highlight=False)
    _print_alone(weighing, shown, console)


def _print_alone(weighing: Weighing, shown: Sequence[Weighed], console: Console) -> None:
    """What single discriminating studies say by themselves: those that part these mechanisms most."""
    found = {w.slug: alone_scores(weighing, w) for w in shown}
    spread: dict[str, float] = {}
    for s in weighing.studies:
        values = [some[s.id].value for some in found.values() if s.id in some and math.isfinite(some[s.id].value)]
        if values and s.role != CALIBRATING:
            spread[s.id] = max(values) - min(values)
    chosen = sorted(spread, key=lambda name: -spread[name])[:PARTING]
    lines = [
        Line(study_label(s), tuple(_cell(found[w.slug].get(s.id)) for w in shown))
        for s in weighing.studies
        if s.id in chosen
    ]
    if lines:
        few = f", the {len(lines)} that part these most" if len(lines) > 1 else ""
        title = f"One study alone: log BF over unexplained [nat]{few}"
        print_grid(title, [w.slug for w in shown], lines, console)


def _cell(number: Number | None) -> str:
    return "" if number is None else nat_text(number)


def _gains(relative: Mapping[str, Number]) -> str:
    """Where a mechanism gains and loses most against `unexplained`, in words."""
    order = sorted((n.value, name) for name, n in relative.items() if n.value == n.value)
    gains = [f"{name} {nat_text(relative[name])}" for value, name in reversed(order[-2:]) if value > 0]
    losses = [f"{name} {nat_text(relative[name])}" for value, name in order[:2] if value < 0]
    parts = [f"{word} most by {', '.join(some)}" for word, some in (("gains", gains), ("loses", losses)) if some]
    return "; ".join(parts) or "neither gains nor loses"


def _print_learned(weighing: Weighing, console: Console) -> None:
    best = weighing.rivals[0]
    taught = [item for item in best.learned if item.is_learned]
    if taught:
        table = number_table("number", "variance left", "shift [SD]", "median (5 to 95 %)", wide=True)
        for item in taught[:TAUGHT]:
            variance, shift = f"{item.variance:.2f} ±{item.error:.2f}", f"{item.shift:+.2f} ±{item.error:.2f}"
            table.add_row(combination_text(item), variance, shift, spread_text(item))
        more = len(taught) - TAUGHT
        note = "Variance: of the posterior over the prior's; shift: in prior SDs." + (f" {more} more." * (more > 0))
        print_table(f"What the studies teach of {best.slug}", table, console, note)
    for w in weighing.rivals[0 if not taught else 1 : TOP]:
        names = [combination_text(item) for item in w.learned if item.is_learned]
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        shown = f"{', '.join(names[:5])}{more}" if names else "nothing beyond error"
        console.print(f"The studies teach of {w.slug}: {shown}", markup=False, highlight=False)
    for title, parts in (("Structures", best.structures), ("Variants", best.variants)):
        if len(parts) > 1:
            listed = ", ".join(f"{p.name} {100 * p.share:.0f}->{100 * p.posterior:.0f} %" for p in parts)
            console.print(f"{title} of {best.slug}, prior -> posterior share: {listed}", markup=False, highlight=False)


def combination_text(learned: Learned) -> str:
    """One number by its name, several with their loadings."""
    if len(learned.parameters) == 1:
        return learned.parameters[0]
    pairs = zip(learned.loadings, learned.parameters, strict=True)
    return " ".join(f"{loading:+.2f} {name}" for loading, name in pairs)


def spread_text(learned: Learned) -> str:
    """Median with the 5 and 95 % of a single number."""
    if learned.median is None or learned.low is None or learned.high is None:
        return ""
    return f"{learned.median:.3g} ({learned.low:.3g} to {learned.high:.3g})"


def _print_settings(weighing: Weighing, console: Console) -> None:
    s = weighing.settings
    spent = ", ".join(f"{stage} {seconds:.0f} s" for stage, seconds in weighing.seconds.items())
    tempered, failed = (sum(getattr(w, name) for w in weighing.mechanisms) for name in ("tempered", "failed"))
    calibrating = sum(study.role == CALIBRATING for study in weighing.studies)
    parts = [
        f"{len(weighing.studies)} studies, {calibrating} of them calibrating"
        + (f", up to {weighing.until}" if weighing.until else ""),
        f"{len(weighing.skipped)} not weighed",
        f"effort {weighing.effort}: {weighing.budget}" + (f", {tempered} tempered" if tempered else ""),
        f"{failed} failed",
        f"seed {s.seed}",
        f"rtol {s.relative_tolerance:g}, atol {s.absolute_tolerance:g}",
        f"case {s.case_hash}",
        f"{s.seconds:.0f} s" + (f" ({spent})" if spent else ""),
    ]
    console.print(f"{'; '.join(parts)}. No dosing advice.", markup=False, highlight=False, style="dim")


# --- files -----------------------------------------------------------------------------------------------------------


def write_weighing(weighing: Weighing, out: Path) -> Path:
    """Write .html (page), .json, .csv (a row a study and mechanism) or .svg (main figure), whole or not at all."""
    writers = {".html": write_weighing_page, ".json": _write_json, ".csv": _write_csv, ".svg": _write_svg}
    check_ending(out, WEIGHING_ENDINGS)
    return writers[out.suffix](weighing, out)


def _write_json(weighing: Weighing, out: Path) -> Path:
    return write_text(out, json.dumps(weighing_table(weighing), indent=1, allow_nan=False) + "\n")


def score_rows(weighing: Weighing) -> list[dict[str, Any]]:
    """A row a study and mechanism: log scores, the same over `unexplained`, and the partial without the study [nat]."""
    rows = []
    for w in weighing.mechanisms:
        relative = relative_scores(weighing, w)
        for s in weighing.studies:
            numbers = {
                "log_score": w.scores.get(s.id), "over_unexplained": relative.get(s.id),
                "alone": w.alone.get(s.id), "in_turn": w.in_turn.get(s.id),
                "partial_without": w.leave_one_out.get(s.id),
            }  # fmt: skip
            row: dict[str, Any] = {
                "study": s.id, "date": s.date, "role": s.role, "species": s.species, "mechanism": w.slug,
                "class": w.group,
            }  # fmt: skip
            for name, number in numbers.items():
                row[name] = "" if number is None else number.value
                row[f"{name}_error"] = "" if number is None else number.error
            rows.append(row)
    return rows


def _write_csv(weighing: Weighing, out: Path) -> Path:
    return write_rows(score_rows(weighing), out)


def _write_svg(weighing: Weighing, out: Path) -> Path:
    return write_picture(plot_partials(weighing), "weighing", partials_label(weighing), out)
