"""What a weighing says, in sentences made from its numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..case import Case
from ..display import read_display
from ..errors import join_words
from .answer import Number, Weighed, Weighing

DECISIVE = math.log(10)  # Bayes factor of 10: below it the studies do not tell two apart
STRONG = math.log(3)
FEW = 20  # draws that count, below which a jackknife is blind to what no draw has found


def main_sentences(weighing: Weighing) -> tuple[str, ...]:
    """The result: which class and mechanism lead, by how much, and whether the studies can tell."""
    rivals = weighing.rivals
    if not rivals:
        return ("No rival was weighed.",)
    lines = [base_only_sentence(weighing.effort, weighing.base_only)] if weighing.base_only else []
    if len(weighing.classes) > 1:
        lines.append(_classes(weighing))
    lines.append(_leaders(rivals))
    lines.append(_against_nothing(weighing, rivals))
    lines.append(_probabilities(weighing, rivals))
    return tuple(lines)


def base_only_sentence(effort: str, slugs: Sequence[str]) -> str:
    """That an effort left out alternative equations, whose numbers that biases, and how to have them weighed."""
    verb, rows = ("has", "Its row is") if len(slugs) == 1 else ("have", "Their rows are")
    return (
        f"The effort {effort} weighs base equations only: {join_words(slugs)} {verb} alternatives, which it leaves "
        f'out. {rows} therefore biased (marked "base only"), beyond the Monte-Carlo errors; '
        "--effort standard weighs them."
    )


def bayes_factor(log: float) -> str:
    """A Bayes factor to two digits, powers of ten where large.

    >>> bayes_factor(math.log(1.84)), bayes_factor(math.log(254)), bayes_factor(math.log(3e5))
    ('1.8', '250', '3e+05')
    """
    if not math.isfinite(log):
        return "0" if log < 0 else "infinite"
    value = math.exp(min(log, 700.0))
    if value >= 1e4:
        return f"{value:.0e}"
    return f"{value:.2g}" if value < 10 else f"{float(f'{value:.2g}'):.0f}"


def _tells(log: float, error: float) -> str:
    """Whether a Bayes factor parts two rivals: it stays decisive within two Monte-Carlo errors."""
    if abs(log) < STRONG:
        return "cannot tell"
    return "tell" if abs(log) - 2 * error >= DECISIVE else "hardly tell"


def _few(*weighed: Weighed) -> str:
    """How many draws count, where they are too few for a Bayes factor to be trusted; empty otherwise."""
    low = [w for w in weighed if w.counting < FEW]
    return join_words([f"{w.counting:.0f} for {w.slug}" for w in low])


def _classes(weighing: Weighing) -> str:
    ranked = sorted(weighing.classes.items(), key=lambda item: -item[1].value)
    (first, a), (second, b) = ranked[:2]
    titles = weighing.class_titles
    gap, error = a.value - b.value, math.hypot(a.error, b.error)
    leaders = [next(w for w in weighing.rivals if w.group == group) for group in (first, second)]
    few = _few(*leaders)
    said = f"too few draws count to tell ({few})" if few else f"the studies {_tells(gap, error)} the two apart"
    return (
        f'Of the classes, "{titles.get(first, first)}" leads: Bayes factor {bayes_factor(gap)} '
        f'(error {error:.2g} nat) over "{titles.get(second, second)}", given the studies that calibrate; {said}.'
    )


def _leaders(rivals: Sequence[Weighed]) -> str:
    best = rivals[0]
    if len(rivals) == 1:
        return f"{best.title} ({best.slug}) was weighed alone."
    second = rivals[1]
    gap, error = best.partial.value - second.partial.value, math.hypot(best.partial.error, second.partial.error)
    few = _few(best, second)
    verdict = f"Too few draws count ({few}) to tell" if few else f"The studies {_tells(gap, error)}"
    said = f"{verdict} {best.slug} from {second.slug}: Bayes factor {bayes_factor(gap)}"
    turned = _reversal(best, second)
    return f"{said} (error {error:.2g} nat){turned}."


def _reversal(best: Weighed, second: Weighed) -> str:
    """The study whose loss would turn the order, most telling first."""
    gaps = {
        study: best.leave_one_out[study].value - second.leave_one_out[study].value
        for study in best.leave_one_out
        if study in second.leave_one_out
    }
    turned = sorted((gap, study) for study, gap in gaps.items() if gap < 0)
    if turned:
        return f", and leaving out {turned[0][1]} reverses it"
    if gaps:
        study, gap = min(gaps.items(), key=lambda item: item[1])
        return f"; no single study reverses it, without {study} it is {bayes_factor(gap)}"
    return ""


def _against_nothing(weighing: Weighing, rivals: Sequence[Weighed]) -> str:
    free = weighing.weighed("unexplained").partial.value
    worse = [w.slug for w in rivals if w.partial.value < free]
    if len(worse) == len(rivals):
        gap = free - rivals[0].partial.value
        return (
            f"None beats the reference in which every contrast is free: the best is behind it by a Bayes factor of "
            f"{bayes_factor(gap)}, so each fits no better than no mechanism."
        )
    gap = rivals[0].partial.value - free
    verb = "fits" if len(worse) == 1 else "fit"
    lost = f" {join_words(worse)} {verb} no better than no mechanism." if worse else " Every rival does."
    error = rivals[0].partial.error
    return (
        f"{rivals[0].slug} beats the reference in which every contrast is free: Bayes factor {bayes_factor(gap)} "
        f"(error {error:.2g} nat).{lost}"
    )


def _probabilities(weighing: Weighing, rivals: Sequence[Weighed]) -> str:
    shown = []
    for w in rivals[:4]:
        values = [p[w.slug] for p in weighing.probabilities.values()]
        ends = list(dict.fromkeys(_percent(v) for v in (min(values), max(values))))
        shown.append(f"{w.slug} {' to '.join(ends)} %")
    count = len(weighing.probabilities)
    return f"Over {f'{count} stated priors' if count > 1 else 'one stated prior'} over the rivals: {', '.join(shown)}."


def _percent(share: float) -> str:
    """A probability in per cent, to the digits that three priors deserve.

    >>> [_percent(x) for x in (0.5012, 0.997, 0.0123, 4e-5)]
    ['50', '99.7', '1.2', '<0.1']
    """
    percent = 100 * share
    if percent < 0.1:
        return "<0.1"
    return f"{percent:.3g}" if percent > 99 else f"{percent:.2g}"


def fragile_sentences(case: Case, weighing: Weighing) -> tuple[str, ...]:
    """What the order of the leaders hangs on."""
    rivals = weighing.rivals
    lines = []
    if len(rivals) > 1:
        best, second = rivals[0], rivals[1]
        gap = best.partial.value - second.partial.value
        lines += _turning_rows(weighing, best, second)
        lines += _turning_sweeps(best, second, gap)
    few = [w.slug for w in rivals if w.counting < FEW]
    if few:
        lines.append(
            f"Fewer than {FEW} draws count for {join_words(few)}: errors may be understated, the order may move."
        )
    unsure = [w.slug for w in rivals if w.partial.error > 0.3]
    if unsure:
        lines.append(
            f"The Monte-Carlo error of {join_words(unsure)} is above 0.3 nat; a greater --effort makes it smaller."
        )
    if failed := sum(w.failed for w in weighing.mechanisms):
        lines.append(f"{failed} draws could not be solved and count as zero likelihood.")
    lines.append(
        f"{weighing.assumed_rules} numbers of the rules by which studies are scored are assumed (weighing.toml)."
    )
    if case.cutoff:
        lines.append(f"Evidence cut-off: {case.cutoff}.")
    return (*lines, *read_display(case).caveats)


def _turning_rows(weighing: Weighing, best: Weighed, second: Weighed) -> list[str]:
    """Other scorings under which the leader falls behind, those within their own Monte-Carlo error apart."""
    sure, unsure = list[str](), list[str]()
    for name in best.rows:
        if name not in second.rows:
            continue
        gap = best.rows[name].value - second.rows[name].value
        error = math.hypot(best.rows[name].error, second.rows[name].error)
        if gap < 0:
            text = f"{weighing.row_titles.get(name, name)} ({bayes_factor(gap)}, error {error:.2f} nat)"
            (sure if -gap > 2 * error else unsure).append(text)
    behind = f"{best.slug} falls behind {second.slug}"
    lines = [f"{behind} when scored so: {'; '.join(sure)}."] if sure else []
    if unsure:
        lines.append(f"{behind}, by less than twice the Monte-Carlo error, when scored so: {'; '.join(unsure)}.")
    return lines


def _turning_sweeps(best: Weighed, second: Weighed, gap: float) -> list[str]:
    """Assumed numbers of the leader whose range decides."""
    worst: dict[str, tuple[float, str]] = {}
    for sweep in best.sweeps:
        number: Number = sweep.partial
        change = number.value - best.partial.value
        if change < -gap and abs(change) > 2 * number.error:
            worst[sweep.parameter] = min(worst.get(sweep.parameter, (0.0, "")), (change, sweep.part))
    shown = [f"{name} in the {part} half of its range" for name, (_, part) in sorted(worst.items(), key=lambda i: i[1])]
    return [f"{best.slug} loses its lead over {second.slug} if {', or '.join(shown[:5])}."] if shown else []
