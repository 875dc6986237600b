"""The commands verdict, weigh, nominal, page and report: all mechanisms of a case, judged and told."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import CaseError
from ..files import check_ending
from ..printing import print_fragile, print_question, print_verdict, verdict_table
from ..terminal import print_json, show_console, show_progress
from .delivery import ANSWERED, deliver, say_plan
from .options import AnewOption, CaseOption, ClusterOption, JsonOption, SeedOption

if TYPE_CHECKING:
    from ..case import Case
    from ..posterior.answer import Weighing
    from ..workers import Workers

MechanismOption = Annotated[
    list[str] | None, typer.Option("--mechanism", help="Only these rivals; may be repeated.")
]
DrawsOption = Annotated[int, typer.Option(min=1, help="Prior draws over which claims are checked.")]
PatientsOption = Annotated[int, typer.Option(min=2, help="Virtual patients in a replayed trial.")]


def verdict(
    out: Annotated[Path, typer.Option(help="Where the report is written (one HTML file).")] = Path("verdict.html"),
    draws: DrawsOption = 2000,
    patients: PatientsOption = 48,
    seed: SeedOption = 1,
    mechanism: MechanismOption = None,
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
    from ..case import open_case
    from ..cluster import open_workers
    from ..design_report import print_ranking_summary, read_ranking
    from ..report import write_report
    from ..verdict import reach_verdict
    from ..weighing_report import print_weighing_summary, weighing_table

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
    console = show_console()
    print_question(answer, console)
    print_weighing_summary(weighed, console, _how_to_weigh(opened, mechanism))
    print_verdict(answer, console)
    if mechanism is None:
        print_ranking_summary(ranking, console, opened.option)
    print_fragile(answer, console)
    console.print(f"report: {path}")


def weigh(
    mechanism: MechanismOption = None,
    effort: Annotated[
        str,
        typer.Option(
            help="quick (to look: base equations only, so a mechanism with alternatives is biased), standard, or "
            "thorough (several times as long, smaller errors)."
        ),
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
    anew: AnewOption = False,
    cluster: ClusterOption = None,
    case: CaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say how probable each rival is, given the published studies, what that hangs on, and what cannot be told.

    Each rival is fitted to the calibrating studies (the drug against its comparator, which all were invented to
    explain), then judged by how well it predicts the discriminating ones: their ratio is the partial Bayes factor. Its
    reference is "unexplained", no mechanism at all. Monte-Carlo errors stand beside the numbers; --effort thorough
    makes them smaller. --effort quick leaves out the alternative equations of a mechanism: such rows are biased beyond
    their errors, and marked. Runs are stored, so the second one is faster. Example:
    antagony weigh --mechanism camp_crosstalk --mechanism opioid_release --effort quick --out weigh.html
    """
    from ..case import open_case
    from ..cluster import open_workers
    from ..posterior.storage import keep_answer
    from ..posterior.weighing import weigh
    from ..weighing_report import WEIGHING_ENDINGS, plan_weighing, print_weighing, weighing_table, write_weighing

    if out is not None:
        check_ending(out, WEIGHING_ENDINGS)
    opened = open_case(case)
    plan = plan_weighing(opened, mechanism, effort, until)
    whole = mechanism is None and until is None
    answer = _answered_before(opened, effort, seed) if whole and not anew else None
    say_plan(plan if answer is None else ANSWERED)
    if answer is None:
        with open_workers(cluster) as workers, show_progress() as tell:
            answer = weigh(
                opened, mechanisms=mechanism, effort=effort, seed=seed, until=until, workers=workers, progress=tell
            )
    if whole:
        keep_answer(opened, answer)
        if keep:
            keep_answer(opened, answer, beside_case=True)
    deliver(answer, out, write=write_weighing, table=weighing_table, show=print_weighing, as_json=as_json)


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
    from ..case import open_case
    from ..posterior.nominals import write_nominals

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


def page(
    out: Annotated[Path, typer.Option("--out", "-o", help="Where the page is written (one HTML file).")] = Path(
        "page.html"
    ),
    draws: DrawsOption = 500,
    patients: PatientsOption = 48,
    seed: SeedOption = 1,
    mechanism: MechanismOption = None,
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
    from ..case import open_case
    from ..design_report import read_ranking
    from ..page.document import read_shell, write_page
    from ..page.facts import gather_facts
    from ..page.kernels import check_modules, keep_modules
    from ..page.scenes import drugs_of
    from ..verdict import reach_verdict

    check_ending(out, (".html", ".htm"))
    if keep and mechanism:
        raise CaseError("--keep stores the kernels of all mechanisms: leave out --mechanism")
    opened = open_case(case)
    shell = read_shell()
    weighed = _stored_answer(opened, mechanism, None, seed)
    with show_progress() as report_progress:
        check_modules(opened, mechanism or list(opened.wirings), drugs_of(opened), report_progress)
        answer = reach_verdict(
            opened, mechanisms=mechanism, draws=draws, patients=patients, seed=seed, progress=report_progress
        )
        ranking = read_ranking(opened) if mechanism is None else None
        facts = gather_facts(opened, answer, weighing=weighed, ranking=ranking, seed=seed, progress=report_progress)
    path = write_page(facts, out, shell)
    if keep:
        show_console().print(f"kernels: {keep_modules(opened, facts.models, facts.modules)}")
    show_console().print(f"page: {path} ({path.stat().st_size / 1000:.0f} kB)")


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
    from ..case import open_case
    from ..model_page import write_model_report
    from ..model_report import build_report

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


def _answered_before(case: Case, effort: str, seed: int) -> Weighing | None:
    """The stored answer of this effort, seed and version; None where there is none."""
    from .. import __version__
    from ..posterior.storage import read_answer

    stored = read_answer(case, [effort])
    asked = stored is not None and (stored.settings.seed, stored.settings.version) == (seed, __version__)
    return stored if asked else None


def _how_to_weigh(case: Case, mechanisms: list[str] | None) -> str:
    """What to do where no stored answer can be shown."""
    if mechanisms is not None:
        return "Some of the rivals were asked, so no stored answer is shown; add --weigh quick to weigh them."
    return f"The rivals were not weighed in this state of the case; do so with: antagony weigh{case.option}"


def _stored_answer(
    case: Case, mechanisms: list[str] | None, effort: str | None, seed: int, workers: Workers | None = None
) -> Weighing | None:
    """The weighing that a verdict shows: weighed anew where an effort is given, else the stored one; None for some."""
    from ..posterior.storage import keep_answer, read_answer
    from ..posterior.weighing import weigh
    from ..workers import HERE

    if effort is None:
        return read_answer(case) if mechanisms is None else None
    with show_progress() as tell:
        answer = weigh(
            case, mechanisms=mechanisms, effort=effort, seed=seed, workers=workers or HERE, progress=tell
        )
    if mechanisms is None:
        keep_answer(case, answer)
    return answer
