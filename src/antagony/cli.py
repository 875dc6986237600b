"""The command line: antagony verdict | weigh | design | simulate | claims | trial | diff | export | cite | lint."""

from __future__ import annotations

import gc
import io
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .errors import AntagonyError, CaseError, RegimenError, StudyError, near_miss
from .files import check_ending, write_text
from .interruption import stop_on_signals
from .printing import (
    MATRIX_ENDINGS,
    RUN_ENDINGS,
    claim_row,
    print_claims,
    print_difference,
    print_json,
    print_matrix,
    print_verdict,
    show_console,
    show_progress,
    show_run,
    verdict_table,
    write_matrix,
)

if TYPE_CHECKING:
    from .case import Case
    from .mechanism import Mechanism
    from .planning.ranking import Ask
    from .posterior.answer import Weighing
    from .regimen import Regimen
    from .simulation import Arm, Array
    from .workers import Workers

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help=(
        "Put rival drug mechanisms on trial: simulate each on real doses, check what it claims, compare it with "
        "published trials, weigh the rivals, find the trial that would tell them apart. No dosing advice. Start with: "
        "antagony verdict; then: antagony weigh; antagony design"
    ),
)
design_app = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode=None)
app.add_typer(design_app, name="design")

CaseOption = Annotated[
    Path | None, typer.Option("--case", help="Folder of a case; the packaged ketamine case when left out.")
]
SeedOption = Annotated[int, typer.Option(help="Seed of every random number; the same seed gives the same bits.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]
ClusterOption = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Share the work out over the dask scheduler at this address, such as tcp://host:8786 (extra cluster).",
    ),
]
VariantOption = Annotated[
    list[str] | None, typer.Option("--variant", help="axis=name, such as loss=one_sided; may be repeated.")
]
RivalsOption = Annotated[
    str | None, typer.Option(metavar="A,B", help="Two or more classes or mechanisms to tell apart; all classes if not.")
]
BudgetOption = Annotated[
    str | None, typer.Option(help='What may be spent on each design: "80 patients" or "600 visits"; instead of --n.')
]
BoundOption = Annotated[float, typer.Option(help="Bayes factor above which evidence is decisive or misleading.")]
AimOption = Annotated[float, typer.Option(help="Probability of decisive evidence that the advised n reaches.")]
WithoutOption = Annotated[
    list[str] | None,
    typer.Option(help="Leave out placebo, unblinding, heterogeneity, residual or carry_over; may be repeated."),
]
DropoutOption = Annotated[str, typer.Option(help="none, at_random or not_at_random (by a severity nobody rated).")]
IgnoreOption = Annotated[
    list[str] | None,
    typer.Option(
        help="What the trials have and their analysis knows nothing of: a word of --without, or dropout; may be "
        "repeated. What it costs stands beside the rest."
    ),
]
EffortOption = Annotated[str, typer.Option(help="Of the weighing that is read: quick, standard or thorough.")]


@app.command()
def verdict(
    out: Annotated[Path, typer.Option(help="Where the report is written (one HTML file).")] = Path("verdict.html"),
    draws: Annotated[int, typer.Option(min=1, help="Prior draws over which claims are checked.")] = 2000,
    patients: Annotated[int, typer.Option(min=2, help="Virtual patients in a replayed trial.")] = 48,
    seed: SeedOption = 1,
    mechanism: Annotated[
        list[str] | None, typer.Option("--mechanism", help="Only these rivals; may be repeated.")
    ] = None,
    weighing: Annotated[
        str | None,
        typer.Option(
            "--weigh", metavar="EFFORT", help="Weigh the rivals anew (quick, standard, thorough) before the rest."
        ),
    ] = None,
    cluster: ClusterOption = None,
    case: CaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """The whole answer: how probable each rival is, claims x mechanisms, trials replayed, what is fragile.

    Writes verdict.html beside it. How probable each rival is comes from the stored answer of antagony weigh, and which
    study to run next from that of antagony design, where there is one for this very case. Example:
    antagony verdict --draws 500 --mechanism camp_crosstalk --mechanism none
    """
    from .case import open_case
    from .cluster import open_workers
    from .design_report import print_ranking_summary, read_ranking
    from .report import write_report
    from .verdict import reach_verdict
    from .weighing_report import print_weighing_summary, weighing_table

    opened = open_case(case)
    with open_workers(cluster) as workers:
        weighed = _stored_answer(opened, mechanism, weighing, seed, workers)
        with show_progress() as tell:
            answer = reach_verdict(
                opened, mechanisms=mechanism, draws=draws, patients=patients, seed=seed,
                workers=workers if cluster else None, progress=tell,
            )  # fmt: skip
    ranking = read_ranking(opened) if mechanism is None else None
    path = write_report(answer, out, weighing=weighed, ranking=ranking)
    if as_json:
        found = {"weighing": None if weighed is None else weighing_table(weighed), "ranking": ranking}
        print_json(verdict_table(answer) | found)
        return
    print_verdict(answer, show_console())
    print_weighing_summary(weighed, show_console())
    print_ranking_summary(ranking, show_console())
    show_console().print(f"report: {path}")


@app.command()
def page(
    out: Annotated[Path, typer.Option("--out", "-o", help="Where the page is written (one HTML file).")] = Path(
        "page.html"
    ),
    draws: Annotated[int, typer.Option(min=1, help="Prior draws over which claims are checked.")] = 500,
    patients: Annotated[int, typer.Option(min=2, help="Virtual patients in a replayed trial.")] = 48,
    seed: SeedOption = 1,
    mechanism: Annotated[
        list[str] | None, typer.Option("--mechanism", help="Only these rivals; may be repeated.")
    ] = None,
    keep: Annotated[
        bool,
        typer.Option("--keep", help="Also put the kernels into the package, as a release has them."),
    ] = False,
    case: CaseOption = None,
) -> None:
    """One page on which anybody sees the mechanisms move: the kernel runs in it, no server and no network.

    Doses on sliders, the signed diagram, curves, who explains what, what would settle it, and the methods behind it.
    It opens from disk or from any web host. The stored answers of antagony weigh and antagony design are shown where
    there are any for this very case. A kernel that is not stored needs a WebAssembly compiler: clang with lld, or
    pip install "antagony[compiler]". Example: antagony page -o page.html --draws 200
    """
    from .case import open_case
    from .design_report import read_ranking
    from .page.document import read_shell, write_page
    from .page.facts import gather_facts
    from .page.kernels import keep_modules
    from .verdict import reach_verdict

    check_ending(out, (".html", ".htm"))
    if keep and mechanism:
        raise CaseError("--keep stores the kernels of all mechanisms: leave out --mechanism")
    opened = open_case(case)
    shell = read_shell()
    weighed = _stored_answer(opened, mechanism, None, seed)
    with show_progress() as report_progress:
        answer = reach_verdict(
            opened, mechanisms=mechanism, draws=draws, patients=patients, seed=seed, progress=report_progress
        )
        ranking = read_ranking(opened) if mechanism is None else None
        facts = gather_facts(opened, answer, weighing=weighed, ranking=ranking, seed=seed, progress=report_progress)
    path = write_page(facts, out, shell)
    if keep:
        show_console().print(f"kernels: {keep_modules(opened, facts.models, facts.modules)}")
    show_console().print(f"page: {path} ({path.stat().st_size / 1000:.0f} kB)")


@app.command()
def report(
    mechanism: Annotated[
        list[str] | None, typer.Argument(help="Mechanisms, a chapter each; all that are no reference when left out.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Where the report is written (one HTML file).")] = Path(
        "report.html"
    ),
    draws: Annotated[
        int | None, typer.Option(min=1, help="Prior draws over which claims are checked: 500, or 100 with --quick.")
    ] = None,
    quick: Annotated[
        bool,
        typer.Option("--quick", help="To look: fewer draws, fewer points for sensitivity, no local identifiability."),
    ] = False,
    seed: SeedOption = 1,
    case: CaseOption = None,
) -> None:
    """A model documented as guidance asks: equations, every number, claims, calibration, sensitivity, identifiability.

    One file to read or to print from a browser. The answer of antagony weigh is shown where one is stored for this very
    case; what is missing is named with the reason. Needs pip install "antagony[report]". Example:
    antagony report camp_crosstalk gated_surge --out report.html
    """
    from .case import open_case
    from .model_page import write_model_report
    from .model_report import build_report

    check_ending(out, (".html", ".htm"))
    opened = open_case(case)
    begun = time.perf_counter()
    with show_progress() as tell:
        found = build_report(opened, mechanism, draws=draws, seed=seed, quick=quick, progress=tell)
    path = write_model_report(found, out)
    chapters = len(found.chapters)
    show_console().print(
        f"report: {path} ({chapters} mechanism{'s' * (chapters != 1)}, {found.equations} equations, "
        f"{path.stat().st_size / 1000:.0f} kB, {time.perf_counter() - begun:.0f} s)",
        markup=False, highlight=False, soft_wrap=True,
    )  # fmt: skip


@app.command()
def simulate(
    context: typer.Context,
    mechanism: Annotated[
        str,
        typer.Argument(
            help="Folder name of a mechanism, such as camp_crosstalk; or, without regimens, an SBML file (.xml, .sbml) "
            "or a PEtab problem (.yaml)."
        ),
    ],
    regimen: Annotated[
        list[str] | None,
        typer.Argument(
            help='Prescription text, one arm each: "naltrexone 50 mg po at -45 min; ketamine 0.5 mg/kg iv over '
            '40 min"; or a data set (.csv) as `export --to nonmem` writes it, each ID an arm.'
        ),
    ] = None,
    output: Annotated[
        list[str] | None,
        typer.Option(
            "--output",
            "-o",
            help="Readout to show; may be repeated. Default: score; of an SBML file, all species and what else varies.",
        ),
    ] = None,
    until: Annotated[
        str,
        typer.Option(help="How long to watch, such as 24 h or 7 d; an SBML file: in its own unit, 100 if not given."),
    ] = "7 d",
    points: Annotated[int, typer.Option(min=2, help="Moments shown; 101 of an SBML file, evenly from 0.")] = 25,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="SBML and PEtab only: a value such as k1=2; may be repeated."),
    ] = None,
    patients: Annotated[int, typer.Option(min=1, help="Virtual patients; 1 is the typical patient.")] = 1,
    draws: Annotated[int, typer.Option(min=1, help="Prior draws; 1 is the nominal value of every parameter.")] = 1,
    calibrated: Annotated[
        bool, typer.Option(help="Solve the outcome scale from the case's calibrating finding.")
    ] = True,
    variant: VariantOption = None,
    seed: SeedOption = 1,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Write .csv, .nc (NetCDF), .svg or .zarr instead of a table. A .zarr is written block by block, for "
            "populations larger than memory; the same command takes up a run that was stopped."
        ),
    ] = None,
    plot: Annotated[bool, typer.Option("--plot", help="Draw curves in the terminal.")] = False,
    case: CaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run a mechanism on one or more regimens and show its readouts over time; or run an SBML file as it stands.

    Example: antagony simulate camp_crosstalk "ketamine 0.5 mg/kg iv over 40 min" -o mtorc1_relative -o score --plot

    Example: antagony simulate model.xml --until 200 --points 41 -o S1 --set k1=2 --out run.csv

    Example: antagony simulate problem.yaml --set k1=2 --out simulations.tsv
    """
    from .case import open_case
    from .simulation import simulate

    given = {name for name in context.params if _is_given(context, name)}
    if mechanism.lower().endswith((".yaml", ".yml")):
        _simulate_problem(Path(mechanism), given, setting, out, as_json=as_json)
        return
    if _means_sbml(mechanism, regimen):
        _simulate_file(Path(mechanism), given, regimen, output, until, points, setting, out, plot=plot, as_json=as_json)
        return
    if not regimen:
        context.fail("Missing argument 'regimen'.")
    if setting:
        context.fail(f'--set changes SBML files; "{mechanism}" is a mechanism, whose numbers a case holds.')
    if out is not None:
        check_ending(out, RUN_ENDINGS)
    opened = open_case(case)
    variants = parse_variants(variant)
    problem, settings = plan_simulation(
        opened, mechanism, regimen, output or ["score"], until, points, patients, draws, calibrated, variants, seed
    )
    if out is not None and out.suffix == ".zarr":
        write_stream(problem, settings, out)
    else:
        show_run(simulate(*problem, **settings), out, plot=plot, as_json=as_json)


@app.command()
def claims(
    mechanism: Annotated[list[str] | None, typer.Argument(help="Mechanisms to ask; all when left out.")] = None,
    draws: Annotated[int, typer.Option(min=1, help="Prior draws.")] = 2000,
    variant: VariantOption = None,
    seed: SeedOption = 1,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 when a claim is broken.")] = False,
    long: Annotated[
        bool, typer.Option("--long", help="A line for each answer: measured, margin, what parts the draws.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Write .html, .csv or .json beside what is printed.")] = None,
    case: CaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check what is claimed of each mechanism: one matrix, a row for each claim, a column for each mechanism.

    Example: antagony claims camp_crosstalk direct_opioid --draws 500 --out claims.html
    """
    from .case import open_case
    from .matrix import fill_matrix

    if out is not None:
        check_ending(out, MATRIX_ENDINGS)
    opened = open_case(case)
    variants = parse_variants(variant)
    with show_progress() as tell:
        chosen = mechanism or list(opened.wirings)
        matrix = fill_matrix(opened, chosen, draws=draws, seed=seed, variants=variants, progress=tell)
    if as_json:
        print_json([claim_row(r) for r in matrix.results])
    elif long:
        print_claims(matrix.results, show_console())
    else:
        print_matrix(matrix, show_console())
    if out is not None:
        write_matrix(matrix, out)
        show_console(stderr=as_json).print(f"written: {out}", markup=False)
    if strict and not all(r.holds for r in matrix.results):
        raise typer.Exit(1)


@app.command()
def trial(
    plan: Annotated[str, typer.Argument(help="A study or design of the case, such as williams_2018; or a TOML file.")],
    mechanism: Annotated[
        list[str] | None, typer.Option("--mechanism", help="Only these rivals, or a mixture a+b; may be repeated.")
    ] = None,
    replicates: Annotated[int, typer.Option(min=1, help="How many times the trial is run.")] = 1000,
    patients: Annotated[int | None, typer.Option(help="Patients in all, shared out as the design does.")] = None,
    washout: Annotated[str | None, typer.Option(help="From one period to the next, such as 30 d.")] = None,
    nominal: Annotated[
        bool, typer.Option("--nominal", help="Every trial under nominal values, not each under its own prior draw.")
    ] = False,
    without: Annotated[
        list[str] | None,
        typer.Option(help="Leave out placebo, unblinding, heterogeneity, residual or carry_over; may be repeated."),
    ] = None,
    dropout: Annotated[str, typer.Option(help="none, at_random or not_at_random (by a severity nobody rated).")] = (
        "not_at_random"
    ),
    level: Annotated[float, typer.Option(min=0.5, max=0.999, help="Of the intervals; power is judged by it.")] = 0.95,
    variant: VariantOption = None,
    seed: SeedOption = 1,
    out: Annotated[
        Path | None, typer.Option(help="Write .csv (estimates), .nc (every rating) or .svg (figure) as well.")
    ] = None,
    cluster: ClusterOption = None,
    case: CaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run a trial many times under each mechanism: what it would find, its power, and where published results fall.

    Patients are enrolled, treated, rated with error, lost and analysed as the design asks. Example:
    antagony trial williams_2018 --mechanism camp_crosstalk --mechanism nmda_rest --patients 26
    """
    from .case import open_case
    from .cluster import open_workers
    from .design import realism_without
    from .trial import ALONE, compare_study, simulate_trials
    from .trial_report import TRIAL_ENDINGS, print_trials, trial_table, write_trials

    if out is not None:
        check_ending(out, TRIAL_ENDINGS)
    opened = open_case(case)
    chosen = opened.plan(plan)
    chosen = chosen.spaced(washout) if washout is not None else chosen
    chosen = chosen.resized(patients) if patients is not None else chosen
    realism = realism_without(without or (), dropout)
    with open_workers(cluster) as workers, show_progress() as tell:
        runs = simulate_trials(
            opened, mechanism or list(opened.wirings), chosen, replicates=replicates, seed=seed, realism=realism,
            uncertain=not nominal, level=level, variants=parse_variants(variant),
            workers=workers if cluster else ALONE, progress=tell,
        )  # fmt: skip
    answers = [(run, compare_study(opened, run)) for run in runs]
    if out is not None:
        write_trials(answers, out)
    if as_json:
        print_json(trial_table(answers))
        return
    print_trials(answers, show_console())
    if out is not None:
        show_console().print(f"written: {out}", markup=False)


@app.command()
def weigh(
    mechanism: Annotated[
        list[str] | None, typer.Option("--mechanism", help="Only these rivals; may be repeated.")
    ] = None,
    effort: Annotated[
        str,
        typer.Option(help="quick (to look), standard, or thorough (several times as long, smaller errors)."),
    ] = "standard",
    until: Annotated[
        str | None,
        typer.Option(metavar="DATE", help="Only studies up to a year, month or day, such as 2018: what was known?"),
    ] = None,
    seed: SeedOption = 1,
    out: Annotated[
        Path | None,
        typer.Option(help="Write .html (page with figures), .json, .csv (study x mechanism) or .svg as well."),
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the answer beside the case, for everyone who opens it.")
    ] = False,
    cluster: ClusterOption = None,
    case: CaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say how probable each rival is, given the published studies, what that hangs on, and what cannot be told.

    Each rival is fitted to the calibrating studies (the drug against its comparator, which all were invented to
    explain), then judged by how well it predicts the discriminating ones: their ratio is the partial Bayes factor. Its
    reference is "unexplained", no mechanism at all. Monte-Carlo errors stand beside the numbers; --effort thorough
    makes them smaller. Runs are stored, so the second one is faster. Example:
    antagony weigh --mechanism camp_crosstalk --mechanism opioid_release --effort quick --out weigh.html
    """
    from .case import open_case
    from .cluster import open_workers
    from .posterior.storage import keep_answer
    from .posterior.weighing import weigh
    from .weighing_report import WEIGHING_ENDINGS, plan_weighing, print_weighing, weighing_table, write_weighing

    if out is not None:
        check_ending(out, WEIGHING_ENDINGS)
    opened = open_case(case)
    plan = plan_weighing(opened, mechanism, effort, until)
    show_console(stderr=True).print(plan, markup=False, highlight=False, style="dim")
    with open_workers(cluster) as workers, show_progress() as tell:
        answer = weigh(
            opened, mechanisms=mechanism, effort=effort, seed=seed, until=until, workers=workers, progress=tell
        )
    if mechanism is None and until is None:
        keep_answer(opened, answer)
        if keep:
            keep_answer(opened, answer, beside_case=True)
    if out is not None:
        write_weighing(answer, out)
    if as_json:
        print_json(weighing_table(answer))
        return
    print_weighing(answer, show_console())
    if out is not None:
        show_console().print(f"written: {out}", markup=False)


@design_app.callback(invoke_without_command=True)
def rank_designs(
    context: typer.Context,
    n: Annotated[int, typer.Option(help="Patients of each design.")] = 100,
    rivals: RivalsOption = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WORD",
            help="Leave out a design, animal, unproven (not yet given to people so), licensed, off_label, "
            'investigational, or "burden>3"; may be repeated.',
        ),
    ] = None,
    budget: BudgetOption = None,
    bound: BoundOption = 10.0,
    aim: AimOption = 0.8,
    without: WithoutOption = None,
    dropout: DropoutOption = "not_at_random",
    ignore: IgnoreOption = None,
    plan: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE", help="A design file of your own, ranked beside the case's; may be repeated."),
    ] = None,
    only: Annotated[bool, typer.Option("--only", help="Rank what --plan names (also designs of the case) alone.")] = (
        False
    ),
    measurements: Annotated[
        bool, typer.Option("--measurements", help="What would change our mind: every contrast by itself.")
    ] = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="Also store the ranking beside the case, for everyone who opens it.")
    ] = False,
    effort: EffortOption = "standard",
    seed: SeedOption = 1,
    out: Annotated[
        Path | None,
        typer.Option(help="Write .html (page with figures), .json, .csv (design x patients) or .svg as well."),
    ] = None,
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
    from .case import open_case
    from .cluster import open_workers
    from .design_report import (
        DESIGN_ENDINGS,
        announce_ranking,
        choose_plans,
        count_numbers,
        is_whole,
        keep_ranking,
        measure_ranking,
        print_ranking,
        ranking_table,
        write_ranking,
    )
    from .planning.ranking import rank_plans

    if out is not None:
        check_ending(out, DESIGN_ENDINGS)
    opened = open_case(case)
    plans = choose_plans(opened, plan or (), only=only)
    ask = _ask(rivals, n, budget, exclude, bound, aim, without, dropout, ignore, effort, seed)
    if keep and not is_whole(ask, plans, opened):
        raise StudyError("--keep stores the ranking of all designs and classes: leave out what narrows the question")
    note = announce_ranking(opened, ask, plans)
    show_console(stderr=True).print(note, markup=False, highlight=False, style="dim")
    with open_workers(cluster) as workers, show_progress() as tell:
        ranking = rank_plans(opened, ask, plans=plans, workers=workers, progress=tell)
        if measurements:
            ranking = measure_ranking(opened, ask, ranking, tell)
    numbers = count_numbers(opened, ranking) if as_json or (out and out.suffix in (".html", ".json")) else None
    if is_whole(ask, plans, opened):
        keep_ranking(opened, ranking_table(ranking, numbers), effort)
        if keep:
            keep_ranking(opened, ranking_table(replace(ranking, measurements=())), effort, beside_case=True)
    if out is not None:
        write_ranking(ranking, out, numbers)
    if as_json:
        print_json(ranking_table(ranking, numbers))
        return
    print_ranking(ranking, show_console())
    if out is not None:
        show_console().print(f"written: {out}", markup=False)


@design_app.command("show")
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
    from .case import open_case
    from .design_report import SHOW_ENDINGS, announce_ranking, count_numbers, print_shown, shown_table, tell_plan
    from .design_report import write_shown as write

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
    if out is not None:
        write(shown, out, numbers)
    if as_json:
        print_json(shown_table(shown, numbers))
        return
    print_shown(shown, show_console())
    if out is not None:
        show_console().print(f"written: {out}", markup=False)


@design_app.command("optimise")
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
    from .case import open_case
    from .cluster import open_workers
    from .planning.optimisation import optimise_plan
    from .search_report import SEARCH_ENDINGS, print_search, search_table, write_search

    if out is not None:
        check_ending(out, SEARCH_ENDINGS)
    opened = open_case(case)
    ask = _ask(rivals, n, budget, None, bound, 0.8, without, dropout, None, effort, seed)
    chosen = opened.plan(name)
    with open_workers(cluster) as workers, show_progress() as tell:
        found = optimise_plan(
            opened, chosen, ask, trials=trials, allocation=allocation, workers=workers, progress=tell
        )
    if out is not None:
        write_search(found, out)
    if as_json:
        print_json(search_table(found))
        return
    print_search(found, show_console())
    if out is not None:
        show_console().print(f"written: {out}", markup=False)


@app.command()
def nominal(
    mechanism: Annotated[list[str] | None, typer.Argument(help="Mechanisms; all but references when left out.")] = None,
    seed: SeedOption = 1,
    case: CaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Renew nominal values: posterior medians given the calibrating studies, by one rule for every mechanism.

    They are written beside the case (nominal/), named after all that they follow from. Example:
    antagony nominal gated_surge --case my-case
    """
    from .case import open_case
    from .posterior.nominals import write_nominals

    opened = open_case(case)
    slugs = mechanism or [slug for slug, wiring in opened.wirings.items() if not wiring.reference]
    with show_progress() as tell:
        written = write_nominals(opened, slugs, seed=seed, tell=tell)
    if as_json:
        print_json({found.slug: {"file": str(path), "values": found.values} for path, found in written})
        return
    for path, found in written:
        show_console().print(
            f"written: {path} ({len(found.values)} numbers, {found.counting:.0f} draws count)", markup=False
        )


@app.command()
def diff(
    first: Annotated[str, typer.Argument(help="A mechanism.")],
    second: Annotated[str, typer.Argument(help="Another, or the same with --variant for the second.")],
    drug: Annotated[list[str] | None, typer.Option("--drug", help="Compose with these drugs; may be repeated.")] = None,
    variant: VariantOption = None,
    case: CaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """State in equations where two mechanisms differ; every equation that is not listed is the same in both.

    Example: antagony diff camp_crosstalk direct_opioid
    """
    from .case import open_case
    from .difference import compare_mechanisms

    opened = open_case(case)
    drugs = drug or list(opened.dosable)
    found = compare_mechanisms(opened.mechanism(first, drugs), opened.mechanism(second, drugs, parse_variants(variant)))
    if as_json:
        from dataclasses import asdict

        print_json(asdict(found))
        return
    print_difference(found, show_console())


@app.command("export")
def take_out(
    context: typer.Context,
    to: Annotated[str, typer.Option(help="sbml, antimony, petab, omex, csv or nonmem.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The file; of petab and csv the folder.")],
    mechanism: Annotated[
        list[str] | None, typer.Option("--mechanism", help="Which rival; csv and petab take several.")
    ] = None,
    regimen: Annotated[
        list[str] | None, typer.Option("--regimen", help="Prescription text; omex and csv take several arms.")
    ] = None,
    drugs: Annotated[
        list[str] | None,
        typer.Option("--drug", help="Drugs that the model holds without a dose; all if no regimen is given."),
    ] = None,
    outputs: Annotated[
        list[str] | None, typer.Option("--output", help="Readout of omex and csv; may be repeated. Default: all.")
    ] = None,
    until: Annotated[str, typer.Option(help="How long omex and csv watch, such as 24 h.")] = "7 d",
    points: Annotated[int, typer.Option(min=2, help="Moments that omex (evenly) and csv show.")] = 201,
    weights: Annotated[
        list[float] | None,
        typer.Option("--weight", metavar="KG", help="nonmem: a subject of this body weight; may be repeated."),
    ] = None,
    variants: VariantOption = None,
    case: CaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take a mechanism, its curves or a regimen out, for other programs.

    sbml, antimony: one model that stands alone, doses inside. omex: an archive that other programs re-run. petab: to
    fit the mechanisms elsewhere. csv: curves and parameters. nonmem: the regimen as a data set. Example:
    antagony export --to sbml --mechanism camp_crosstalk --regimen "ketamine 0.5 mg/kg iv over 40 min" -o model.xml
    """
    from .case import open_case
    from .exchange.export import OPTIONS, Request, check_options, write_export
    from .units import parse_time

    check_options(to, (name for name in OPTIONS if _is_given(context, name)))
    request = Request(
        open_case(case), tuple(mechanism or ()), tuple(regimen or ()), tuple(drugs or ()), tuple(outputs or ()),
        parse_time(until), points, tuple(weights or ()), parse_variants(variants),
    )  # fmt: skip
    done = write_export(to, request, out)
    for note in done.notes:
        show_console(stderr=True).print(f"note: {note}", markup=False, highlight=False)
    if as_json:
        print_json({"to": to, "files": [str(file) for file in done.files], "notes": done.notes})
        return
    for file in done.files:
        show_console().print(f"written: {file}", markup=False, soft_wrap=True)


@app.command()
def cite(
    what: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[RESULT...]",
            help="Files that this program wrote (.nc, .zarr, .json, .html, .omex, .xml, .ant, the folder of a PEtab "
            "problem) or mechanisms; the whole case when left out.",
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write a .bib file instead of printing.")] = None,
    case: CaseOption = None,
) -> None:
    """What to cite of a result, as BibTeX: the program, the case, the methods, and the sources of its numbers.

    Keys are those of the case's references.bib. Example: antagony cite run.nc verdict.html --out sources.bib
    """
    from .case import open_case
    from .cite import cite_results

    if out is not None:
        check_ending(out, (".bib",))
    text = cite_results(open_case(case), what or ())
    if out is None:
        sys.stdout.write(text)
        return
    write_text(out, text)
    show_console().print(f"written: {out}", markup=False)


@app.command()
def lint(case: CaseOption = None, as_json: JsonOption = False) -> None:
    """Check everything a case holds: models, units, numbers, sources, claims, studies. Exit code 1 on an error."""
    from .case import open_case
    from .lint import describe_grades, lint_case

    opened = open_case(case)
    issues = lint_case(opened)
    if as_json:
        print_json([{"level": i.level, "where": i.where, "message": i.message} for i in issues])
    else:
        console = show_console()
        for issue in issues:
            console.print(f"{issue.level}: {issue.where}: {issue.message}", markup=False, soft_wrap=True)
        errors = sum(issue.level == "error" for issue in issues)
        console.print(f"{opened.title}: {errors} errors, {len(issues) - errors} warnings")
        console.print(describe_grades(opened), soft_wrap=True)
    if any(issue.level == "error" for issue in issues):
        raise typer.Exit(1)


def main() -> None:
    """Entry point: errors that a user can mend are printed as one sentence, exit code 2; 130 when stopped."""
    stop_on_signals()
    gc.set_threshold(100_000, 50, 50)  # symbols are many and hold few cycles: a cold verdict takes 82 s, not 87
    sys.stdout = sys.stdout or open(os.devnull, "w")  # closed by whoever called us
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # letters that a terminal's own alphabet lacks
    try:
        code = app(standalone_mode=False)  # an exit code where a command asked for one
        sys.stdout.flush()
    except typer.Abort:
        code = 130
    except BrokenPipeError:
        code = _leave_unread()
    except AntagonyError as error:
        _say(error)
        code = 2
    except OSError as error:
        _say(f"{error.filename or 'output'}: {error.strerror or error}")
        code = 2 if error.filename else _leave_unread()
    except Exception as error:
        if not (type(error).__module__.startswith(("typer", "click")) and hasattr(error, "show")):
            raise
        error.show()  # type: ignore[attr-defined] - usage errors know how to print themselves
        code = getattr(error, "exit_code", 2)
    sys.exit(code if isinstance(code, int) else 0)


def _say(error: object) -> None:
    show_console(stderr=True).print(f"error: {error}", markup=False, highlight=False, soft_wrap=True)


def _leave_unread() -> int:
    """Drop what nobody can read any more, or what there is no room for, so that Python's end does not try again."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1


# --- doing -----------------------------------------------------------------------------------------------------------


def _stored_answer(
    case: Case, mechanisms: list[str] | None, effort: str | None, seed: int, workers: Workers | None = None
) -> Weighing | None:
    """The weighing that a verdict shows: weighed anew where an effort is given, else the stored one; None for some."""
    from .posterior.storage import keep_answer, read_answer
    from .posterior.weighing import weigh
    from .workers import HERE

    if effort is None:
        return read_answer(case) if mechanisms is None else None
    with show_progress() as tell:
        answer = weigh(
            case, mechanisms=mechanisms, effort=effort, seed=seed, workers=workers or HERE, progress=tell
        )
    if mechanisms is None:
        keep_answer(case, answer)
    return answer


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
    from .design import realism_without
    from .planning.ranking import Ask

    named = tuple(name.strip() for name in (rivals or "").split(",") if name.strip())
    return Ask(
        named, n, budget or "", tuple(exclude or ()), bound, aim, realism_without(without or (), dropout),
        tuple(ignore or ()), effort, seed,
    )  # fmt: skip


def _refuse_misplaced(context: typer.Context) -> None:
    """Options of the ranking before the name of another command would have no effect: say so."""
    from .errors import StudyError

    sources = {name: context.get_parameter_source(name) for name in context.params}
    given = [name for name, source in sources.items() if source is not None and source.name != "DEFAULT"]
    if given:
        raise StudyError(
            f"antagony design {context.invoked_subcommand}: write --{given[0].replace('_', '-')} behind "
            f'"{context.invoked_subcommand}"; before it, it has no effect'
        )


def parse_variants(texts: list[str] | None) -> dict[str, str]:
    """["loss=one_sided"] -> {"loss": "one_sided"}; raises CaseError on any other form."""
    from .errors import CaseError

    variants = {}
    for text in texts or []:
        axis, equals, name = text.partition("=")
        if not equals:
            raise CaseError(f'variant "{text}": write axis=name, such as loss=one_sided')
        variants[axis.strip()] = name.strip()
    return variants


def plan_simulation(
    case: Case,
    slug: str,
    regimens: list[str],
    outputs: list[str],
    until: str,
    points: int,
    patients: int,
    draws: int,
    calibrated: bool,
    variants: Mapping[str, str],
    seed: int,
) -> tuple[tuple[Mechanism, dict[str, Arm], Array], dict[str, Any]]:
    """What `simulate` takes: all regimens as arms, moments denser near time 0; patients, draws and outputs."""
    import numpy as np

    from .calibration import calibrate
    from .population import NOMINAL, TYPICAL, draw_parameters, sample_population
    from .simulation import Arm
    from .units import parse_time

    arms = {
        name: Arm(regimen, (), {**case.trial, **values})
        for text in regimens
        for name, regimen, values in read_arms(case, text)
    }
    for note in dict.fromkeys(note for arm in arms.values() for note in case.notes(arm.regimen)):
        show_console(stderr=True).print(f"note: {note}", markup=False, highlight=False)
    drugs = {d for arm in arms.values() for d in arm.regimen.drugs}
    rows = case.parameters(slug, variants)
    sets = NOMINAL if draws == 1 else draw_parameters(rows.values(), draws, seed=seed)
    if calibrated and case.calibration:
        sets = calibrate(case, slug, sets, variants=variants).draws
    people = TYPICAL if patients == 1 else sample_population(rows.values(), patients, seed=seed)
    first = min([0.0, *(arm.regimen.first for arm in arms.values() if arm.regimen.doses)])
    times = np.sinh(np.linspace(np.arcsinh(first), np.arcsinh(parse_time(until)), points))
    problem = case.mechanism(slug, drugs, variants), arms, times
    return problem, {"population": people, "draws": sets, "outputs": outputs}


def read_arms(case: Case, text: str) -> Iterator[tuple[str, Regimen, dict[str, float]]]:
    """Name, regimen and own numbers of each arm: prescription text, or the subjects of a data set (a .csv file)."""
    if not text.lower().endswith(".csv"):
        yield text, case.regimen(text), {}
        return
    from .exchange.nonmem import read_subjects

    for number, subject in read_subjects(text).items():
        for dose in subject.regimen.doses:
            if dose.drug not in case.dosable:
                raise RegimenError(f'{text}: no drug "{dose.drug}"{near_miss(dose.drug, case.dosable)}')
            case.drugs[dose.drug].route(dose.route)
        weight = {} if subject.weight is None else {"bodyweight": subject.weight}
        yield f"{Path(text).name}, ID {number}", subject.regimen, weight


def _is_given(context: typer.Context, name: str) -> bool:
    """Whether an option was written, not left at its default."""
    source = context.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


def _means_sbml(name: str, regimens: list[str] | None) -> bool:
    """A word with the ending of an SBML file, or any file where no regimen follows."""
    return name.lower().endswith((".xml", ".sbml")) or (not regimens and Path(name).is_file())


def _simulate_problem(
    path: Path, given: set[str], settings: list[str] | None, out: Path | None, *, as_json: bool
) -> None:
    """Run a PEtab problem; raises SimulationError for an option that has no effect on one."""
    from .errors import SimulationError
    from .exchange.petab import open_petab
    from .exchange.petab_report import ENDINGS, show_petab
    from .exchange.petab_run import simulate_petab

    if useless := given - {"mechanism", "setting", "out", "as_json"}:
        raise SimulationError(f"{path}: {min(useless)} has no effect on a PEtab problem, which says itself what is run")
    if out is not None:
        check_ending(out, ENDINGS)
    show_petab(simulate_petab(open_petab(path), parse_changes(settings)), out, as_json=as_json)


def _simulate_file(
    path: Path,
    given: set[str],
    regimens: list[str] | None,
    outputs: list[str] | None,
    until: str,
    points: int,
    settings: list[str] | None,
    out: Path | None,
    *,
    plot: bool,
    as_json: bool,
) -> None:
    """Run an SBML file; raises SimulationError for what only a mechanism of a case can be asked."""
    import numpy as np

    from .errors import SimulationError
    from .exchange.sbml import open_sbml, read_sbml
    from .exchange.sbml_run import simulate_sbml
    from .printing import SERIES_ENDINGS, show_series

    if regimens:
        raise SimulationError(f"{path}: doses need a case, which says where a drug goes; leave out {regimens[0]!r}")
    if useless := given & {"patients", "draws", "calibrated", "variant", "seed", "case"}:
        raise SimulationError(f"{path}: --{min(useless)} belongs to a case and has no effect on an SBML file")
    if out is not None:
        check_ending(out, SERIES_ENDINGS)
    end = parse_span(until) if "until" in given else 100.0
    changes = parse_changes(settings)
    text = read_sbml(path)
    try:
        model = open_sbml(text)
        times = np.linspace(0.0, end, points if "points" in given else 101)
        run = simulate_sbml(model, times, outputs=outputs, changes=changes)
    except AntagonyError as error:
        raise type(error)(f"{path}: {error}") from None
    show_series(run, out, plot=plot, as_json=as_json)


def parse_span(text: str) -> float:
    """A time after 0 in the model's own unit; raises SimulationError."""
    from .errors import SimulationError

    try:
        end = float(text)
    except ValueError:
        raise SimulationError(f'--until "{text}": an SBML file has its own unit; write a number alone') from None
    if not 0 < end < float("inf"):
        raise SimulationError(f"--until {text}: write a time after 0, where an SBML model begins")
    return end


def parse_changes(texts: list[str] | None) -> dict[str, float]:
    """["k1=2"] -> {"k1": 2.0}; raises SimulationError on any other form."""
    from .errors import SimulationError

    changes = {}
    for text in texts or []:
        name, _, value = (part.strip() for part in text.partition("="))
        try:
            changes[name] = float(value)
        except ValueError:
            raise SimulationError(f'--set "{text}": write NAME=VALUE, such as k1=2') from None
    return changes


def write_stream(problem: tuple[Mechanism, dict[str, Arm], Array], settings: dict[str, Any], out: Path) -> None:
    """Simulate block by block into a Zarr store; failures are said as they are for a table."""
    from .stream import read_failures, stream_run

    with show_progress() as tell:
        stream_run(*problem, out, **settings, progress=lambda done, total: tell("patients", done, total))
    listed, failed = read_failures(out)
    console = show_console(stderr=True)
    for failure in listed[:20]:
        console.print(f"failed: {failure}", markup=False)
    if failed > 20:
        console.print(f"failed: {failed} in all; the store lists {len(listed)}", markup=False)
    show_console().print(f"written: {out}", markup=False)


if __name__ == "__main__":
    main()
