"""A ranking in plain sentences: which trial, how large, how likely it is to mislead, and what the answer hangs on."""

from __future__ import annotations

from ..case import Case
from .answer import Ranked, Ranking

FEW = 60  # posterior draws that count: below, errors may be understated
SURE = 3.0  # Monte-Carlo errors that part two designs
SMALL = 0.05  # bits: an error above this is said


def ranking_sentences(ranking: Ranking) -> tuple[str, ...]:
    """What to run, how it compares with the next, and what the bits mean."""
    people = [r for r in ranking.ranked if r.plan.is_human]
    human = [r for r in people if not _is_unsure(r)] or people
    lines = []
    if people and people[0] is not human[0]:
        lines.append(f"{people[0].name} stands first, but its bits are too uncertain to advise it (see below).")
    if human:
        lines.append(_advice(ranking, human[0]))
        if others := [r for r in people if r is not human[0]]:
            lines.append(_beside(human[0], others[0]))
    animals = [r for r in ranking.ranked if not r.plan.is_human]
    if animals and human and animals[0].evidence.bits.value > human[0].evidence.bits.value:
        lines.append(
            f"{animals[0].name} says more ({_bits(animals[0])}), as far as its signs hold in people, which is assumed."
        )
    return tuple(lines)


def _advice(ranking: Ranking, first: Ranked) -> str:
    best, between = first.best, _between(ranking)
    chances = (
        f"it decides {between} with probability {best.decisive.value:.2f} (Bayes factor above {ranking.bound:g}), "
        f"misleads with {_small(best.misleading.value)}"
    )
    if first.advised is not None:
        return f"Run {first.name} with n = {best.n:g}: {chances}."
    most = first.curve[-1].n
    rest = "would decide more often" if best.n == most else "decides hardly more often"
    return (
        f"Run {first.name} with n = {best.n:g}: {chances}; no number of patients up to {most:g} reaches "
        f"{ranking.aim:g}, and a larger trial {rest}."
    )


def _between(ranking: Ranking) -> str:
    names = [*ranking.rivals]
    return (
        f"between {names[0]} and {names[1]}" if len(names) == 2 else "between two classes, on average over all pairs,"
    )


def _beside(first: Ranked, other: Ranked) -> str:
    """The design advised and the best of all others, whichever is said to give more."""
    gap = abs(first.evidence.bits.value - other.evidence.bits.value)
    error = (first.evidence.bits.error**2 + other.evidence.bits.error**2) ** 0.5
    apart = f"{'more' if gap > SURE * error else 'less'} than {SURE:g} Monte-Carlo errors apart"
    if _is_unsure(other):
        apart = f"too uncertain ({_doubt(other)}) to part the two"
    return (
        f"With {first.evidence.n:g} patients {first.name} is expected to give {_bits(first)}; the best of the others, "
        f"{other.name} with {other.evidence.n:g}, {_bits(other)}: {apart}."
    )


def _doubt(ranked: Ranked) -> str:
    """What makes a design's bits uncertain, the larger of the two."""
    error, bias = ranked.evidence.bits.error, abs(ranked.evidence.bias)
    return f"Monte-Carlo error {error:.2f}" if error >= bias else f"bias up to {bias:.2f}"


def _bits(ranked: Ranked) -> str:
    return f"{ranked.evidence.bits.value:.2f} bits ({ranked.evidence.bits.error:.2f})"


def _small(chance: float) -> str:
    return "less than 0.001" if chance < 0.001 else f"{chance:.2g}"


def ranking_caveats(case: Case, ranking: Ranking) -> tuple[str, ...]:
    """What the ranking hangs on."""
    lines = []
    few = [slug for slug, count in ranking.counting.items() if count < FEW]
    if few:
        lines.append(f"Fewer than {FEW} posterior draws count for {', '.join(few)}: errors may be understated.")
    if unsure := [f"{r.name} ({_doubt(r)})" for r in ranking.ranked if _is_unsure(r)]:
        lines.append(
            f"The bits of {', '.join(unsure)} are uncertain by more than {SMALL:g}: posterior draws are too few for so "
            "precise a trial; antagony weigh --effort thorough, then --effort thorough here, gives more."
        )
    bound = 1 / ranking.bound
    if over := [r.name for r in ranking.ranked if _misled(r) > bound]:
        lines.append(f"Above the bound of {bound:g} that holds where the analysis knows the world: {', '.join(over)}.")
    if ranking.ignored:
        lines.append(f"The second evidence ignores {', '.join(ranking.ignored)}, which the trials have.")
        lines += [line for r in ranking.ranked if (line := _fooled(r, bound))]
    lines.append(
        f"{ranking.assumed} numbers of these plans are assumed (readings, comparators' cues, costs), and so is how "
        "laboratories differ; the numbers of the mechanisms are counted by antagony lint."
    )
    lines.append(
        "Rivals are equally probable before the trial; within a class mechanisms count as published results bear them "
        "out. None of them need be true."
    )
    if case.cutoff:
        lines.append(f"Evidence cut-off: {case.cutoff}.")
    lines.append(case.disclaimer)
    return tuple(lines)


def _fooled(ranked: Ranked, bound: float) -> str:
    """The pair that an analysis which ignores something takes for each other more often than it could if it did not."""
    if ranked.ignoring is None:
        return ""
    (true, other), (_, misled) = max(ranked.ignoring.pairs.items(), key=lambda pair: pair[1][1])
    known = ranked.evidence.pairs[true, other][1]
    if misled <= bound or known > bound:
        return ""
    return (
        f"{ranked.name} fails there: {true} is taken for {other} in {misled:.0%} of results, which the bound of "
        f"{bound:.0%} rules out for an analysis that knows the world ({known:.1%})."
    )


def _is_unsure(ranked: Ranked) -> bool:
    """Whether draws are too few for so precise a trial: its place in the ranking is open."""
    return max(ranked.evidence.bits.error, abs(ranked.evidence.bias)) > SMALL


def _misled(ranked: Ranked) -> float:
    """Misleading evidence beyond three Monte-Carlo errors."""
    return ranked.evidence.misleading.value - SURE * ranked.evidence.misleading.error
