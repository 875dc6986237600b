"""A search within a family of plans shown: what it found beside the plan as it was, and what more patients give."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .design import Plan
from .figures import figure_style, svg_text
from .files import check_ending, write_text
from .planning.optimisation import Optimised, Tried
from .terminal import Line, print_grid
from .units import format_number

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import Console

SEARCH_ENDINGS = (".json", ".csv", ".svg")


def search_table(found: Optimised) -> dict[str, Any]:
    """Everything of the record as plain values."""

    def tried(one: Tried) -> dict[str, Any]:
        return {"values": dict(one.values), "shares": list(one.shares), "n": one.n, "bits": one.bits}

    return {
        "name": found.plan.id,
        "values": dict(found.plan.values),
        "shares": _shares(found.plan),
        "bits": found.evidence.bits.value,
        "bits_error": found.evidence.bits.error,
        "decisive": found.evidence.decisive.value,
        "misleading": found.evidence.misleading.value,
        "n": found.evidence.n,
        "planned": {"bits": found.start.bits.value, "bits_error": found.start.bits.error},
        "gain": found.gain[0],
        "gain_error": found.gain[1],
        "front": [tried(one) for one in found.front],
        "planned_front": [tried(one) for one in found.planned],
        "tried": [tried(one) for one in found.tried],
        "seconds": found.seconds,
    }


def _shares(plan: Plan) -> list[float]:
    return [round(size / plan.patients, 4) for size in plan.sizes]


def search_sentence(found: Optimised) -> str:
    """What was gained, and whether that is more than Monte-Carlo error."""
    gain, error = found.gain
    first = found.tried[0]
    changed = [f"{k} {format_number(v)}" for k, v in found.plan.values.items() if v != first.values.get(k)]
    what = f" ({', '.join(changed)})" if changed else ""
    if gain > 2 * error:
        return f"{found.plan.id} gains {gain:.3f} bits (error {error:.3f}) over the plan as it was{what}."
    return (
        f"Nothing found is better than {found.plan.id} as it was beyond error: {gain:+.3f} bits (error {error:.3f})"
        f"{what}; {len(found.tried)} plans looked at."
    )


def print_search(found: Optimised, console: Console) -> None:
    """The numbers that were open, the groups, the bits, and what more patients give."""
    first, plan = found.tried[0], found.plan
    lines = [
        Line(f"{v.id} [{v.unit}]", (format_number(first.values[v.id]), format_number(plan.values[v.id])))
        for v in plan.variables
    ]
    for sequence, before, after in zip(plan.sequences, first.shares, _shares(plan), strict=True):
        lines.append(Line(f"share: {', then '.join(sequence)}", (f"{before:.0%}", f"{after:.0%}")))
    for name in ("bits", "decisive", "misleading"):
        pair = (getattr(e, name) for e in (found.start, found.evidence))
        lines.append(Line(name, tuple(f"{one.value:.3f} ({one.error:.3f})" for one in pair)))
    print_grid(f"{plan.title}, n = {found.evidence.n:g}", ("as planned", "found"), lines, console)
    known = {one.n: f"{one.bits:.3f}" for one in found.planned}
    more = [Line(f"{one.n} patients", (known.get(one.n, ""), f"{one.bits:.3f}")) for one in found.front]
    print_grid("Bits against patients", ("as planned", "found"), more, console)
    console.print(search_sentence(found), markup=False, highlight=False)


def write_search(found: Optimised, out: Path) -> None:
    """Write .json, .csv (one plan that was tried a row) or .svg; whole or not at all."""
    check_ending(out, SEARCH_ENDINGS)
    if out.suffix == ".json":
        write_text(out, json.dumps(search_table(found), indent=1) + "\n")
    elif out.suffix == ".csv":
        names = list(found.tried[0].values)
        table = io.StringIO()
        rows = csv.writer(table, lineterminator="\n")
        rows.writerow([*names, *(f"share {i + 1}" for i in range(len(found.tried[0].shares))), "n", "bits"])
        for one in (t for t in found.tried if t.n):  # without numbers that made no plan
            rows.writerow([*one.values.values(), *(f"{s:.4f}" for s in one.shares), one.n, f"{one.bits:.6f}"])
        write_text(out, table.getvalue())
    else:
        write_text(out, svg_text(plot_search(found), "search", search_sentence(found)))


def plot_search(found: Optimised) -> Figure:
    """Bits against patients of the plan found and as planned, beside every plan that was tried."""
    from matplotlib.figure import Figure as Canvas

    with figure_style():
        canvas = Canvas(figsize=(6.4, 4.0), layout="constrained")
        panel = canvas.subplots()
        tried = [one for one in found.tried if one.n]
        panel.plot([t.n for t in tried], [t.bits for t in tried], "o", ms=3, color="0.75", zorder=1, label="tried")
        for name, some, dashes in (("found", found.front, "-"), ("as planned", found.planned, "--")):
            panel.plot([t.n for t in some], [t.bits for t in some], dashes, marker="o", ms=4, label=name, zorder=2)
        panel.set(xscale="log", xlabel="patients", ylabel="expected information [bits]")
        panel.set_ylim(0, None)
        panel.set_xticks([t.n for t in found.front], [str(t.n) for t in found.front])
        panel.minorticks_off()
        panel.set_title(f"{found.plan.id}: {len(found.tried)} plans tried", fontsize=10)
        panel.legend()
    return canvas
