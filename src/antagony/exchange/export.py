"""What can be taken out of a case, and in which form: one request, one table of formats."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..case import Case
from ..errors import ReportError, SimulationError, near_miss
from ..files import check_ending, write_text
from ..mechanism import Mechanism
from ..population import Draws
from ..regimen import Regimen
from ..simulation import Arm, Tolerances, simulate
from .model_text import ModelText, compose_file
from .values import Value, model_values

if TYPE_CHECKING:
    import xarray as xr

TIGHT = Tolerances(1e-9, 1e-12)
"""Accuracy of the curves that go out: a peer compares with them."""

MANY = 1000

OPTIONS = {
    "drugs": "--drug",
    "outputs": "--output",
    "until": "--until",
    "points": "--points",
    "weights": "--weight",
    "variants": "--variant",
}
"""What a person writes for those fields of `Request` that only some formats read."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is taken out: mechanisms by slug, regimens as prescription text, and what else a format asks.

    `until` [h after the reference dose], `weights` [kg]. Without a regimen a model gets no dose and holds `drugs`, or
    all of the case if none is named.
    """

    case: Case
    mechanisms: tuple[str, ...] = ()
    regimens: tuple[str, ...] = ()
    drugs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    until: float = 168.0
    points: int = 201
    weights: tuple[float, ...] = ()
    variants: Mapping[str, str] = field(default_factory=dict)

    @property
    def arms(self) -> dict[str, Regimen | None]:
        """The regimen of each arm by its title; one arm without a regimen where none is asked for."""
        return {text: self.case.regimen(text) for text in self.regimens} or {"no drug": None}

    def mechanism(self, slug: str) -> Mechanism:
        """A mechanism composed for the drugs that are given and named."""
        given = {drug for regimen in self.arms.values() if regimen is not None for drug in regimen.drugs}
        present = given | {*self.drugs}
        return self.case.mechanism(slug, present if present or self.regimens else self.case.dosable, self.variants)

    def values(self, mechanism: Mechanism) -> dict[str, Value]:
        """The numbers of the typical patient."""
        return model_values(self.case, mechanism, self.variants)


@dataclass(frozen=True, slots=True)
class Exported:
    """The files that were written, and what is worth knowing of them, a sentence each."""

    files: tuple[Path, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Format:
    """A form in which things leave: what it is, its endings (none: a folder), and how it is written.

    `mechanisms` and `regimens` are the least and the most that it takes, `options` the other fields of `Request` that
    it reads.
    """

    meaning: str
    endings: tuple[str, ...]
    mechanisms: tuple[int, int]
    regimens: tuple[int, int]
    options: frozenset[str]
    write: Callable[[Request, Path], Exported]


def write_export(name: str, request: Request, out: Path) -> Exported:
    """Write what is asked for in the format of that name; each file whole or not at all.

    Raises ReportError for an unknown format or ending, for a number of mechanisms or regimens that the format does not
    take, and for a place that cannot be written; the case's own errors for what it does not have.
    """
    form = choose_format(name)
    _check_count(name, "mechanism", len(request.mechanisms), form.mechanisms)
    _check_count(name, "regimen", len(request.regimens), form.regimens)
    if form.endings:
        check_ending(out, form.endings)
    elif out.exists() and not out.is_dir():
        raise ReportError(f"{out}: --to {name} writes a folder, and this is a file; name a folder")
    regimens = [regimen for regimen in request.arms.values() if regimen is not None]
    caveats = [note for regimen in regimens for note in request.case.notes(regimen)]
    done = form.write(request, out)
    return Exported(done.files, tuple(dict.fromkeys((*caveats, *done.notes))))


def choose_format(name: str) -> Format:
    """The format of that name; raises ReportError with the near miss."""
    if name not in FORMATS:
        raise ReportError(f'--to "{name}": no such format{near_miss(name, FORMATS)}')
    return FORMATS[name]


def check_options(name: str, given: Iterable[str]) -> None:
    """Raise ReportError for an option, by its field of `Request`, that would have no effect on this format."""
    form = choose_format(name)
    useless = sorted({*given} - form.options)
    if useless:
        readers = [other for other, known in FORMATS.items() if useless[0] in known.options]
        option = OPTIONS[useless[0]]
        raise ReportError(f"{option} has no effect on --to {name}; it belongs to {' and '.join(readers)}")


def _check_count(name: str, what: str, count: int, bounds: tuple[int, int]) -> None:
    least, most = bounds
    if least <= count <= most:
        return
    if not most:
        raise ReportError(f"--to {name} takes no --{what}; leave it out")
    wanted = f"{least}" if least == most else f"{least} or more" if most == MANY else f"{least} to {most}"
    raise ReportError(f"--to {name} takes {wanted} --{what}; there {'is' if count == 1 else 'are'} {count}")


def _check_outputs(mechanism: Mechanism, asked: Sequence[str]) -> tuple[str, ...]:
    """The outputs asked for, or all of the mechanism with its score first; raises SimulationError with the near miss.

    A file's readers see outputs by title and unit, so states and rules without them are not offered.
    """
    for name in asked:
        if name not in mechanism.outputs:
            miss = near_miss(name, mechanism.outputs)
            raise SimulationError(f'{mechanism.slug} has no output "{name}"{miss}')
    return tuple(dict.fromkeys(asked)) or tuple(sorted(mechanism.outputs, key=lambda name: name != "score"))


# --- writers ---------------------------------------------------------------------------------------------------------


def _only_model(request: Request) -> ModelText:
    mechanism = request.mechanism(request.mechanisms[0])
    (regimen,) = request.arms.values()
    return compose_file(request.case, mechanism, request.values(mechanism), regimen)


def _write_sbml(request: Request, out: Path) -> Exported:
    model = _only_model(request)
    return Exported((write_text(out, model.sbml),), model.issues)


def _write_antimony(request: Request, out: Path) -> Exported:
    model = _only_model(request)
    return Exported((write_text(out, model.antimony),), model.issues)


def _write_omex(request: Request, out: Path) -> Exported:
    from .omex import Course, check_libraries, write_archive
    from .tables import curves_text, head_of

    check_libraries()
    mechanism = request.mechanism(request.mechanisms[0])
    outputs = _check_outputs(mechanism, request.outputs)
    values = request.values(mechanism)
    arms, runs = [], []
    for title, regimen in request.arms.items():
        arms.append((title, compose_file(request.case, mechanism, values, regimen)))
        first = _first([regimen])
        _check_end(request, first)
        times = np.linspace(first, request.until, request.points)
        runs.append((mechanism.slug, _simulate(mechanism, values, {title: regimen}, outputs, times)))
    heads = tuple((name, head_of(mechanism.outputs[name].title, mechanism.outputs[name].unit)) for name in outputs)
    about = f"{mechanism.title}. {request.case.question} {request.case.disclaimer}"
    course = Course(heads, request.until, request.points, TIGHT)
    written = write_archive(arms, course, curves_text(runs), about, out)
    return Exported((written,), tuple(issue for _, model in arms for issue in model.issues))


def _write_csv(request: Request, out: Path) -> Exported:
    from .tables import curves_text, parameters_text

    first = _first(request.arms.values())
    _check_end(request, first)
    times = np.sinh(np.linspace(np.arcsinh(first), np.arcsinh(request.until), request.points))  # denser near time 0
    mechanisms = [request.mechanism(slug) for slug in dict.fromkeys(request.mechanisms)]
    outputs = [_check_outputs(mechanism, request.outputs) for mechanism in mechanisms]
    values = {m.slug: request.values(m) for m in mechanisms}
    runs = [
        (m.slug, _simulate(m, values[m.slug], request.arms, names, times))
        for m, names in zip(mechanisms, outputs, strict=True)
    ]
    return _write_folder(out, {"curves.csv": curves_text(runs), "parameters.csv": parameters_text(values)})


def _write_nonmem(request: Request, out: Path) -> Exported:
    from .nonmem import dataset_text

    (regimen,) = [regimen for regimen in request.arms.values() if regimen is not None]
    text = dataset_text(regimen, request.weights)
    per_kg = [dose for dose in regimen.doses if dose.per_kg]
    note = "AMT is per kg where PERKG is 1; give --weight 70 for amounts of a patient"
    return Exported((write_text(out, text),), (note,) if per_kg and not request.weights else ())


def _write_petab(request: Request, out: Path) -> Exported:
    from .petab_export import write_petab

    slugs = request.mechanisms or tuple(request.case.wirings)
    return Exported(tuple(write_petab(request.case, slugs, out)))


def _first(regimens: Iterable[Regimen | None]) -> float:
    """When a run begins [h]: at time 0, or at the first dose where one comes before."""
    return min([0.0, *(r.first for r in regimens if r is not None)])


def _simulate(
    mechanism: Mechanism,
    values: Mapping[str, Value],
    arms: Mapping[str, Regimen | None],
    outputs: Sequence[str],
    times: NDArray[np.float64],
) -> xr.Dataset:
    """The typical patient's curves with the very numbers that a model file holds."""
    numbers = {name: np.array([value.number]) for name, value in values.items()}
    given = {title: Arm(regimen or Regimen()) for title, regimen in arms.items()}
    return simulate(mechanism, given, times, draws=Draws(1, None, numbers), outputs=outputs, tolerances=TIGHT)


def _check_end(request: Request, first: float) -> None:
    if request.until <= first:
        raise SimulationError(f"--until {request.until:g} h: nothing is seen, for the run begins at {first:g} h")


def _write_folder(folder: Path, texts: Mapping[str, str]) -> Exported:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise ReportError(f"{folder}: no such folder can be made ({reason}); name one that you may write to") from None
    return Exported(tuple(write_text(folder / name, text) for name, text in texts.items()))


FORMATS = {
    "sbml": Format(
        "one model with its doses, SBML Level 3 Version 2",
        (".xml", ".sbml"), (1, 1), (0, 1), frozenset({"drugs", "variants"}), _write_sbml,
    ),
    "antimony": Format(
        "the same model as text",
        (".ant", ".txt"), (1, 1), (0, 1), frozenset({"drugs", "variants"}), _write_antimony,
    ),
    "petab": Format(
        "a folder to fit the mechanisms with",
        (), (0, MANY), (0, 0), frozenset(), _write_petab,
    ),
    "omex": Format(
        "an archive of models, SED-ML and curves",
        (".omex",), (1, 1), (0, MANY), frozenset({"drugs", "outputs", "until", "points", "variants"}), _write_omex,
    ),
    "csv": Format(
        "a folder of curves and parameters",
        (), (1, MANY), (0, MANY), frozenset({"drugs", "outputs", "until", "points", "variants"}), _write_csv,
    ),
    "nonmem": Format(
        "a regimen as a NONMEM data set",
        (".csv",), (0, 0), (1, 1), frozenset({"weights"}), _write_nonmem,
    ),
}  # fmt: skip
