"""Imports point one way, inside the package they are relative, and no name hides a module. Proven on planted faults."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import antagony

PACKAGE = Path(antagony.__file__).parent
ROOT = "__init__"

# From the ground up. Modules of one row do not import one another, exceptions aside.
LAYERS = (
    ("errors", "interruption"),
    ("units", "parameters", "files", "provenance", "workers", "notebook"),
    ("regimen", "drug", "origin"),
    ("mechanism", "condition", "composition", "schedule", "estimation"),
    ("claim", "study", "rules"),
    ("design",),
    ("analysis",),
    ("kernel", "kernel.rodas5p", "kernel.symbolic", "kernel.library"),
    ("kernel.triggers",),
    ("kernel.event_source",),
    ("kernel.c_source",),
    ("kernel.build",),
    ("kernel.webassembly",),
    ("cluster",),
    ("case", "population", "difference", "readout"),
    ("simulation", "reference", "display"),
    ("calibration", "stream", "model_equations"),
    ("replay", "claims", "lint", "trial"),
    ("verdict", "sensitivity", "verification"),
    ("matrix", "posterior", "posterior.cube", "posterior.measures", "posterior.tempering", "posterior.ratings"),
    ("posterior.bank", "posterior.answer"),
    ("posterior.prediction",),
    ("posterior.likelihood", "posterior.recycling"),
    ("posterior.cloud", "posterior.unexplained", "posterior.synthesis"),
    ("posterior.fragility",),
    ("posterior.again", "posterior.sentences"),
    ("posterior.weighing", "posterior.nominals", "posterior.storage"),
    ("planning", "planning.information"),
    ("planning.forecast",),
    ("planning.expectations",),
    ("planning.answer",),
    ("planning.sentences",),
    ("planning.ranking",),
    ("planning.optimisation", "planning.confirmation"),
    ("exchange", "exchange.nonmem", "exchange.sbml_tree", "figures", "exchange.petab_math"),
    ("exchange.sbml", "exchange.values", "exchange.annotations", "exchange.archive"),
    ("exchange.sbml_run", "exchange.doses", "exchange.tables", "exchange.petab"),
    ("exchange.petab_memory", "exchange.petab_switch"),
    ("exchange.petab_course", "exchange.petab_likelihood"),
    ("exchange.petab_run",),
    ("exchange.model_text",),
    ("exchange.petab_export",),
    ("exchange.omex",),
    ("exchange.export",),
    ("weighing_figures", "curves", "identifiability", "diagram", "model_figures", "terminal"),
    ("design_figures",),
    ("report", "trial_report", "cite", "model_report"),
    ("printing", "protocol", "model_page"),
    ("weighing_report", "design_report", "search_report", "exchange.petab_report"),
    ("page", "page.scenes", "page.kernels", "page.still"),
    ("page.facts",),
    ("page.document",),
    ("commands", "commands.options", "commands.delivery"),
    (
        "commands.answers", "commands.checks", "commands.designs", "commands.exports", "commands.simulation",
        "commands.trials",
    ),
    ("cli",),
    (ROOT,),
)
EXCEPTIONS: set[tuple[str, str]] = set()  # (module, module of the same row that it imports)
FROM_ROOT = {"__version__"}  # what a module may take from the package itself
FORBIDDEN = {"utils", "util", "misc", "core", "base", "common", "helpers", "tools"}
NAMESAKES = {
    "commands.answers": {"verdict", "page", "report"},
    "commands.checks": {"claims", "lint"},
    "commands.exports": {"cite"},
    "commands.trials": {"trial"},
}  # a command bears the name of what it shows; the command line alone takes it


@dataclass(frozen=True)
class Import:
    """One name that a module takes from elsewhere; `target` is the path inside the package where it is relative."""

    line: int
    target: tuple[str, ...]
    relative: bool


def sources_of(package: Path) -> dict[str, str]:
    """Module -> source text; a folder's `__init__` bears the folder's name."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == ROOT and len(parts) > 1 else parts)
        found[name] = path.read_text(encoding="utf-8")
    return found


def imports_of(module: str, source: str, modules: set[str]) -> Iterator[Import]:
    """Every import of a module wherever it hides: at the top, in a function, under TYPE_CHECKING."""
    is_folder = module == ROOT or any(name.startswith(f"{module}.") for name in modules)
    folder = [] if module == ROOT else module.split(".") if is_folder else module.split(".")[:-1]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (Import(node.lineno, tuple(alias.name.split(".")), False) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield Import(node.lineno, tuple((node.module or "").split(".")), False)
        elif isinstance(node, ast.ImportFrom):
            start = folder[: len(folder) - node.level + 1]
            path = [*start, *(node.module.split(".") if node.module else [])]
            yield from (Import(node.lineno, (*path, alias.name), True) for alias in node.names)


def faults_of_imports(
    sources: dict[str, str], layers: tuple[tuple[str, ...], ...], exceptions: set[tuple[str, str]]
) -> list[str]:
    """What breaks the order, one sentence each."""
    height = {name: row for row, names in enumerate(layers) for name in names}
    faults = [f"{module} has no layer" for module in sources if module not in height]
    faults += [f"{name} has a layer but does not exist" for name in height if name not in sources]
    for module in sources.keys() & height.keys():
        for found in imports_of(module, sources[module], set(sources)):
            where = f"{module}, line {found.line}"
            if not found.relative:
                faults += [f"{where}: imports antagony outright"] * (found.target[0] == "antagony")
                continue
            target = resolve(found.target, sources)
            if target == ROOT and found.target[-1] in FROM_ROOT:
                continue
            if height.get(target, len(layers)) >= height[module] and (module, target) not in exceptions:
                faults.append(f"{where}: imports {target}, which is not below it")
    return sorted(faults)


def resolve(target: tuple[str, ...], sources: dict[str, str]) -> str:
    """The module that a dotted path leads to: itself, or the one that holds the name."""
    whole, holder = ".".join(target), ".".join(target[:-1]) or ROOT
    return whole if whole in sources else holder


def faults_of_names(sources: dict[str, str], namesakes: dict[str, set[str]]) -> list[str]:
    """Modules named after nothing, and public names that hide a module."""
    last = {name.rsplit(".", 1)[-1] for name in sources}
    faults = [f"{name}: no module is named so" for name in sources if FORBIDDEN & set(name.split("."))]
    for module, source in sources.items():
        for node in ast.parse(source).body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                if node.name in last - namesakes.get(module, set()):
                    faults.append(f"{module}, line {node.lineno}: {node.name} hides the module of that name")
    return sorted(faults)


def test_the_package_has_modules() -> None:
    assert {"errors", "kernel.build", "cli", ROOT} <= sources_of(PACKAGE).keys()


def test_imports_point_one_way() -> None:
    assert faults_of_imports(sources_of(PACKAGE), LAYERS, EXCEPTIONS) == []


def test_names_say_what_they_hold() -> None:
    assert faults_of_names(sources_of(PACKAGE), NAMESAKES) == []


def test_no_exception_is_stale() -> None:
    """Each written exception is still needed."""
    sources = sources_of(PACKAGE)
    for exception in EXCEPTIONS:
        assert faults_of_imports(sources, LAYERS, EXCEPTIONS - {exception})
    for module, names in NAMESAKES.items():
        for name in names:
            assert faults_of_names(sources, {**NAMESAKES, module: names - {name}})


# --- planted faults ------------------------------------------------------------------------------------------------

SMALL_LAYERS = (("errors",), ("drug", "regimen"), ("kernel", "kernel.build"), ("claims",), (ROOT,))
SMALL = {
    "__init__.py": "from .claims import check\n__version__ = '1'\n",
    "errors.py": "class Error(Exception): ...\n",
    "drug.py": "from .errors import Error\n",
    "regimen.py": "from .errors import Error\n",
    "kernel/__init__.py": "",
    "kernel/build.py": "from ..errors import Error\nfrom .. import __version__, drug\n",
    "claims.py": "import math\nfrom .kernel.build import Error\ndef check(): ...\n",
}


def planted(folder: Path, **changed: str) -> dict[str, str]:
    for name, source in {**SMALL, **{f"{module}.py": text for module, text in changed.items()}}.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(source, encoding="utf-8")
    return sources_of(folder)


def test_a_sound_tree_has_no_fault(tmp_path: Path) -> None:
    sources = planted(tmp_path)
    assert sources.keys() == {name for row in SMALL_LAYERS for name in row}
    assert faults_of_imports(sources, SMALL_LAYERS, set()) == faults_of_names(sources, {}) == []


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("from .claims import check\n", "drug, line 1: imports claims, which is not below it"),
        ("from . import claims\n", "drug, line 1: imports claims, which is not below it"),
        ("def f():\n    from .claims import check\n", "drug, line 2: imports claims, which is not below it"),
        ("if TYPE_CHECKING:\n    from .claims import Claim\n", "drug, line 2: imports claims, which is not below it"),
        ("from .kernel.build import x\n", "drug, line 1: imports kernel.build, which is not below it"),
        ("from .regimen import x\n", "drug, line 1: imports regimen, which is not below it"),
        ("from . import open_case\n", "drug, line 1: imports __init__, which is not below it"),
        ("import antagony\n", "drug, line 1: imports antagony outright"),
        ("def f():\n    import antagony.claims as c\n", "drug, line 2: imports antagony outright"),
        ("from antagony.errors import Error\n", "drug, line 1: imports antagony outright"),
    ],
)
def test_a_planted_import_is_found(tmp_path: Path, source: str, fault: str) -> None:
    assert faults_of_imports(planted(tmp_path, drug=source), SMALL_LAYERS, set()) == [fault]


def test_an_exception_lets_one_import_pass(tmp_path: Path) -> None:
    sources = planted(tmp_path, drug="from .regimen import x\n")
    assert faults_of_imports(sources, SMALL_LAYERS, {("drug", "regimen")}) == []
    assert faults_of_imports(sources, SMALL_LAYERS, {("regimen", "drug")}) != []


def test_a_module_without_a_layer_and_a_layer_without_a_module_are_found(tmp_path: Path) -> None:
    faults = faults_of_imports(planted(tmp_path, stray=""), (*SMALL_LAYERS, ("gone",)), set())
    assert faults == ["gone has a layer but does not exist", "stray has no layer"]


@pytest.mark.parametrize("name", ["utils", "helpers", "kernel/misc"])
def test_a_stray_module_is_found(tmp_path: Path, name: str) -> None:
    assert faults_of_names(planted(tmp_path, **{name: ""}), {}) == [f"{name.replace('/', '.')}: no module is named so"]


def test_a_name_that_hides_a_module_is_found(tmp_path: Path) -> None:
    sources = planted(tmp_path, regimen="def claims(): ...\ndef build(): ...\ndef dose(): ...\n")
    hidden = ["build hides the module of that name", "claims hides the module of that name"]
    assert [fault.split(": ")[1] for fault in faults_of_names(sources, {})] == [hidden[1], hidden[0]]
    assert faults_of_names(sources, {"regimen": {"claims", "build"}}) == []
