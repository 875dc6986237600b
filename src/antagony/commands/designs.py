"""The commands design, design show and design optimise: which study next."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import StudyError
from ..files import check_ending
from ..terminal import show_progress
from .delivery import ANSWERED, deliver, say_plan
from .options import (
    AimOption,
    AnewOption,
    BoundOption,
    BudgetOption,
    CaseOption,
    ClusterOption,
    DropoutOption,
    EffortOption,
    IgnoreOption,
    JsonOption,
    RivalsOption,
    SeedOption,
    WithoutOption,
    is_given,
)

if TYPE_CHECKING:
    from ..planning.ranking import Ask

ExcludeOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="WORD",
        help="Leave out a design, animal, unproven (not yet given to people so), licensed, off_label, "
        'investigational, or "burden>3"; may be repeated.',
    ),
]
PlanOption = Annotated[
    list[str] | None,
    typer.Option(metavar="FILE", help="A design file of your own, ranked beside the case's; may be repeated."),
]
OnlyOption = Annotated[bool, typer.Option("--only", help="Rank what --plan names (also designs of the case) alone.")]
MeasurementsOption = Annotated[
    bool, typer.Option("--measurements", help="What would change our mind: every contrast by itself.")
]
KeepOption = Annotated[
    bool, typer.Option("--keep", help="Also store the ranking beside the case, for everyone who opens it.")
]
RankingFileOption = Annotated[
    Path | None,
    typer.Option(help="Write .html (page with figures), .json, .csv (design x patients) or .svg as well."),
]


def rank_designs(
    context: typer.Context,
    n: Annotated[int, typer.Option(help="Patients of each design.")] = 100,
    rivals: RivalsOption = None,
    exclude: ExcludeOption = None,
    budget: BudgetOption = None,
    bound: BoundOption = 10.0,
    aim: AimOption = 0.8,
    without: WithoutOption = None,
    dropout: DropoutOption = "not_at_random",
    ignore: IgnoreOption = None,
    plan: PlanOption = None,
    only: OnlyOption = False,
    measurements: MeasurementsOption = False,
    keep: KeepOption = False,
    anew: AnewOption = False,
    effort: EffortOption = "standard",
    seed: SeedOption = 1,
    out: RankingFileOption = None,
    cluster: ClusterOption = None,
    case: CaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Which study next, how many patients, and how likely is it to mislead?

    Ranks the case's candidate designs by how much each is expected to tell about which class of mechanisms is true,
    with Monte-Carlo errors, and says how probable decisive and misleading evidence are. Trials have placebo response,
    unblinding, carry-over and dropout. What was asked before is only read. Nothing here advises a patient. Example:
    antagony design --exclude animal --exclude "burden>3" --budget "600 visits" --out design.html
    """
    if context.invoked_subcommand is not None:
        _refuse_misplaced(context)
        return
    from ..case import open_case
    from ..cluster import open_workers
    from ..design_report import (
        DESIGN_ENDINGS,
        announce_ranking,
        choose_plans,
        count_numbers,
        is_whole,
        keep_ranking,
        measure_ranking,
        print_ranking,
        ranking_table,
        read_answered,
        write_ranking,
    )
    from ..planning.ranking import rank_plans

    if out is not None:
        check_ending(out, DESIGN_ENDINGS)
    opened = open_case(case)
    plans = choose_plans(opened, plan or (), only=only)
    ask = _ask(rivals, n, budget, exclude, bound, aim, without, dropout, ignore, effort, seed)
    whole = is_whole(ask, plans, opened)
    if keep and not whole:
        raise StudyError("--keep stores the ranking of all designs and classes: leave out what narrows the question")
    plan_said = announce_ranking(opened, ask, plans)
    ranking = read_answered(opened, ask, measured=measurements) if whole and not anew else None
    answered = ranking is not None
    say_plan(ANSWERED if answered else plan_said)
    if ranking is None:
        with open_workers(cluster) as workers, show_progress() as tell:
            ranking = rank_plans(opened, ask, plans=plans, workers=workers, progress=tell)
            if measurements:
                ranking = measure_ranking(opened, ask, ranking, tell)
    numbers = count_numbers(opened, ranking) if as_json or (out and out.suffix in (".html", ".json")) else None
    if whole and (keep or not answered):
        keep_ranking(opened, ranking_table(ranking, numbers), effort)
        if keep:
            keep_ranking(opened, ranking_table(replace(ranking, measurements=())), effort, beside_case=True)
    deliver(
        ranking, out, as_json=as_json, show=print_ranking,
        write=lambda ranking, path: write_ranking(ranking, path, numbers),
        table=lambda ranking: ranking_table(ranking, numbers),
    )  # fmt: skip


def show_design(
    name: Annotated[str, typer.Argument(help="A design or study of the case, such as two_by_two; or a TOML file.")],
    n: Annotated[int | None, typer.Option(help="Patients; those of its file when left out.")] = None,
    rivals: RivalsOption = None,
    budget: BudgetOption = None,
    bound: BoundOption = 10.0,
    aim: AimOption = 0.8,
    without: WithoutOption = None,
    dropout: DropoutOption = "not_at_random",
    ignore: IgnoreOption = None,
    effort: EffortOption = "standard",
    seed: SeedOption = 1,
    out: Annotated[Path | None, typer.Option(help="Write .html (page with figures) or .json as well.")] = None,
    case: CaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """One design as a protocol: arms, doses, visits, n, contrasts, and what each rival expects of it.

    A design that the mechanisms cannot be asked is shown with the reason. Nothing here advises a patient. Example:
    antagony design show two_by_two --rivals ii,iv --out two_by_two.html
    """
    from ..case import open_case
    from ..design_report import (
        SHOW_ENDINGS,
        announce_ranking,
        count_numbers,
        print_shown,
        shown_table,
        tell_plan,
        write_shown,
    )

    if out is not None:
        check_ending(out, SHOW_ENDINGS)
    opened = open_case(case)
    plan = opened.plan(name)
    size = n if n is not None else plan.patients
    ask = _ask(rivals, size, budget, None, bound, aim, without, dropout, ignore, effort, seed)
    announce_ranking(opened, ask, [plan])
    with show_progress() as tell:
        shown = tell_plan(opened, ask, plan, tell)
    wanted = as_json or (out is not None)
    numbers = count_numbers(opened, shown.ranking) if wanted and shown.ranking is not None else None
    deliver(
        shown, out, as_json=as_json, show=print_shown,
        write=lambda shown, path: write_shown(shown, path, numbers),
        table=lambda shown: shown_table(shown, numbers),
    )  # fmt: skip


def optimise_design(
    name: Annotated[str, typer.Argument(help="A design of the case that leaves numbers open, or a TOML file.")],
    n: Annotated[int, typer.Option(help="Patients.")] = 100,
    trials: Annotated[int, typer.Option(min=2, help="Plans of the family that the search looks at.")] = 48,
    allocation: Annotated[bool, typer.Option(help="Search the shares of patients in each group too.")] = True,
    rivals: RivalsOption = None,
    budget: BudgetOption = None,
    bound: BoundOption = 10.0,
    without: WithoutOption = None,
    dropout: DropoutOption = "not_at_random",
    effort: EffortOption = "standard",
    seed: SeedOption = 1,
    out: Annotated[
        Path | None, typer.Option(help="Write .json, .csv (a plan that was tried a row) or .svg as well.")
    ] = None,
    cluster: ClusterOption = None,
    case: CaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Search a design's open numbers (doses, times, visits) and its allocation for the most expected information.

    With --budget "600 visits" plans that cost more have fewer patients. What the search finds is judged anew with other
    random results, beside the plan as it was, and then against the number of patients. Needs the extra "design"
    (Optuna). Example: antagony design optimise crossover_washout --budget "600 visits" --out washout.svg
    """
    from ..case import open_case
    from ..cluster import open_workers
    from ..planning.optimisation import optimise_plan
    from ..search_report import SEARCH_ENDINGS, print_search, search_table, write_search

    if out is not None:
        check_ending(out, SEARCH_ENDINGS)
    opened = open_case(case)
    ask = _ask(rivals, n, budget, None, bound, 0.8, without, dropout, None, effort, seed)
    chosen = opened.plan(name)
    with open_workers(cluster) as workers, show_progress() as tell:
        found = optimise_plan(
            opened, chosen, ask, trials=trials, allocation=allocation, workers=workers, progress=tell
        )
    deliver(found, out, write=write_search, table=search_table, show=print_search, as_json=as_json)


def _ask(
    rivals: str | None,
    n: int,
    budget: str | None,
    exclude: list[str] | None,
    bound: float,
    aim: float,
    without: list[str] | None,
    dropout: str,
    ignore: list[str] | None,
    effort: str,
    seed: int,
) -> Ask:
    """The question that options ask; raises StudyError for a word of --without or --dropout that means nothing."""
    from ..design import realism_without
    from ..planning.ranking import Ask

    named = tuple(name.strip() for name in (rivals or "").split(",") if name.strip())
    return Ask(
        named, n, budget or "", tuple(exclude or ()), bound, aim, realism_without(without or (), dropout),
        tuple(ignore or ()), effort, seed,
    )  # fmt: skip


def _refuse_misplaced(context: typer.Context) -> None:
    """Options of the ranking before the name of another command would have no effect: say so."""
    given = [name for name in context.params if is_given(context, name)]
    if given:
        raise StudyError(
            f"antagony design {context.invoked_subcommand}: write --{given[0].replace('_', '-')} behind "
            f'"{context.invoked_subcommand}"; before it, it has no effect'
        )
