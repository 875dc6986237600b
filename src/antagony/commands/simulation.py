"""The command simulate: a mechanism of a case, an SBML file or a PEtab problem is run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import AntagonyError, RegimenError, SimulationError, near_miss
from ..files import check_ending
from ..printing import RUN_ENDINGS, SERIES_ENDINGS, show_run, show_series
from ..terminal import show_console, show_progress
from .delivery import say_note, say_written
from .options import CaseOption, JsonOption, SeedOption, VariantOption, is_given, parse_variants

if TYPE_CHECKING:
    from ..case import Case
    from ..mechanism import Mechanism
    from ..simulation import Arm, Array


MechanismArgument = Annotated[
    str,
    typer.Argument(
        help="Folder name of a mechanism, such as camp_crosstalk; or, without regimens, an SBML file (.xml, .sbml) "
        "or a PEtab problem (.yaml)."
    ),
]
RegimensArgument = Annotated[
    list[str] | None,
    typer.Argument(
        help='Prescription text, one arm each: "naltrexone 50 mg po at -45 min; ketamine 0.5 mg/kg iv over '
        '40 min"; or a data set (.csv) as `export --to nonmem` writes it, each ID an arm.'
    ),
]
OutputsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--output",
        "-o",
        help="Readout to show; may be repeated. Default: score; of an SBML file, all species and what else varies.",
    ),
]
UntilOption = Annotated[
    str,
    typer.Option(help="How long to watch, such as 24 h or 7 d; an SBML file: in its own unit, 100 if not given."),
]
PointsOption = Annotated[int, typer.Option(min=2, help="Moments shown; 101 of an SBML file, evenly from 0.")]
SettingsOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="SBML and PEtab only: a value such as k1=2; may be repeated."),
]
PatientsOption = Annotated[int, typer.Option(min=1, help="Virtual patients; 1 is the typical patient.")]
DrawsOption = Annotated[int, typer.Option(min=1, help="Prior draws; 1 is the nominal value of every parameter.")]
CalibratedOption = Annotated[bool, typer.Option(help="Solve the outcome scale from the case's calibrating finding.")]
RunFileOption = Annotated[
    Path | None,
    typer.Option(
        help="Write .csv, .nc (NetCDF), .svg or .zarr instead of a table. A .zarr is written block by block, for "
        "populations larger than memory; the same command takes up a run that was stopped."
    ),
]
PlotOption = Annotated[bool, typer.Option("--plot", help="Draw curves in the terminal.")]


def simulate(
    context: typer.Context,
    mechanism: MechanismArgument,
    regimen: RegimensArgument = None,
    output: OutputsOption = None,
    until: UntilOption = "7 d",
    points: PointsOption = 25,
    setting: SettingsOption = None,
    patients: PatientsOption = 1,
    draws: DrawsOption = 1,
    calibrated: CalibratedOption = True,
    variant: VariantOption = None,
    seed: SeedOption = 1,
    out: RunFileOption = None,
    plot: PlotOption = False,
    case: CaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run a mechanism on one or more regimens and show its readouts over time; or run an SBML file as it stands.

    Example: antagony simulate camp_crosstalk "ketamine 0.5 mg/kg iv over 40 min" -o mtorc1_relative -o score --plot

    Example: antagony simulate model.xml --until 200 --points 41 -o S1 --set k1=2 --out run.csv

    Example: antagony simulate problem.yaml --set k1=2 --out simulations.tsv
    """
    from ..case import open_case
    from ..simulation import simulate

    given = {name for name in context.params if is_given(context, name)}
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
    arms = read_arms(opened, regimen)
    for note in dict.fromkeys(note for arm in arms.values() for note in opened.notes(arm.regimen)):
        say_note(note)
    problem, settings = plan_simulation(
        opened, mechanism, arms, outputs=output or ["score"], until=until, points=points, patients=patients,
        draws=draws, calibrated=calibrated, variants=variants, seed=seed,
    )  # fmt: skip
    if out is not None and out.suffix == ".zarr":
        write_stream(problem, settings, out)
    else:
        show_run(simulate(*problem, **settings), out, plot=plot, as_json=as_json)


def read_arms(case: Case, texts: Iterable[str]) -> dict[str, Arm]:
    """An arm for each prescription text, and for each subject of a data set (a .csv file); by text, or file and ID."""
    from ..simulation import Arm

    arms = {}
    for text in texts:
        if text.lower().endswith(".csv"):
            arms |= _read_subjects(case, text)
        else:
            arms[text] = Arm(case.regimen(text), (), case.trial)
    return arms


def _read_subjects(case: Case, path: str) -> dict[str, Arm]:
    """The subjects of a data set, each with its own body weight; raises RegimenError for a drug the case has not."""
    from ..exchange.nonmem import read_subjects
    from ..simulation import Arm

    arms = {}
    for number, subject in read_subjects(path).items():
        for dose in subject.regimen.doses:
            if dose.drug not in case.dosable:
                raise RegimenError(f'{path}: no drug "{dose.drug}"{near_miss(dose.drug, case.dosable)}')
            case.drugs[dose.drug].route(dose.route)
        weight = {} if subject.weight is None else {"bodyweight": subject.weight}
        arms[f"{Path(path).name}, ID {number}"] = Arm(subject.regimen, (), {**case.trial, **weight})
    return arms


def plan_simulation(
    case: Case,
    slug: str,
    arms: dict[str, Arm],
    *,
    outputs: list[str],
    until: str,
    points: int,
    patients: int,
    draws: int,
    calibrated: bool,
    variants: Mapping[str, str],
    seed: int,
) -> tuple[tuple[Mechanism, dict[str, Arm], Array], dict[str, Any]]:
    """What `simulate` takes: mechanism, arms, moments denser near time 0; patients, draws and outputs."""
    import numpy as np

    from ..calibration import calibrate
    from ..population import NOMINAL, TYPICAL, draw_parameters, sample_population
    from ..units import parse_time

    drugs = {d for arm in arms.values() for d in arm.regimen.drugs}
    rows = case.parameters(slug, variants)
    sets = NOMINAL if draws == 1 else draw_parameters(rows.values(), draws, seed=seed)
    if calibrated and case.calibration:
        sets = calibrate(case, slug, sets, variants=variants).draws
    mechanism = case.mechanism(slug, drugs, variants)
    read = {*mechanism.parameters, *mechanism.dosing}
    people = TYPICAL if patients == 1 else sample_population(rows.values(), patients, seed=seed, only=read)
    first = min([0.0, *(arm.regimen.first for arm in arms.values() if arm.regimen.doses)])
    times = np.sinh(np.linspace(np.arcsinh(first), np.arcsinh(parse_time(until)), points))
    return (mechanism, arms, times), {"population": people, "draws": sets, "outputs": outputs}


def write_stream(problem: tuple[Mechanism, dict[str, Arm], Array], settings: dict[str, Any], out: Path) -> None:
    """Simulate block by block into a Zarr store; failures are said as they are for a table."""
    from ..stream import read_failures, stream_run

    with show_progress() as tell:
        stream_run(*problem, out, **settings, progress=lambda done, total: tell("patients", done, total))
    listed, failed = read_failures(out)
    console = show_console(stderr=True)
    for failure in listed[:20]:
        console.print(f"failed: {failure}", markup=False)
    if failed > 20:
        console.print(f"failed: {failed} in all; the store lists {len(listed)}", markup=False)
    say_written(out)


def _means_sbml(name: str, regimens: list[str] | None) -> bool:
    """A word with the ending of an SBML file, or any file where no regimen follows."""
    return name.lower().endswith((".xml", ".sbml")) or (not regimens and Path(name).is_file())


def _simulate_problem(
    path: Path, given: set[str], settings: list[str] | None, out: Path | None, *, as_json: bool
) -> None:
    """Run a PEtab problem; raises SimulationError for an option that has no effect on one."""
    from ..exchange.petab import open_petab
    from ..exchange.petab_report import ENDINGS, show_petab
    from ..exchange.petab_run import simulate_petab

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

    from ..exchange.sbml import open_sbml, read_sbml
    from ..exchange.sbml_run import simulate_sbml

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
    try:
        end = float(text)
    except ValueError:
        raise SimulationError(f'--until "{text}": an SBML file has its own unit; write a number alone') from None
    if not 0 < end < float("inf"):
        raise SimulationError(f"--until {text}: write a time after 0, where an SBML model begins")
    return end


def parse_changes(texts: list[str] | None) -> dict[str, float]:
    """["k1=2"] -> {"k1": 2.0}; raises SimulationError on any other form."""
    changes = {}
    for text in texts or []:
        name, _, value = (part.strip() for part in text.partition("="))
        try:
            changes[name] = float(value)
        except ValueError:
            raise SimulationError(f'--set "{text}": write NAME=VALUE, such as k1=2') from None
    return changes
