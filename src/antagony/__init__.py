"""Antagony: put rival drug mechanisms on trial.

    case = antagony.open_case()
    mechanism = case.mechanism("camp_crosstalk", ["ketamine"])
    run = antagony.simulate(mechanism, {"ketamine": case.regimen("ketamine 0.5 mg/kg iv over 40 min")}, [0, 2, 24])

A public name is imported from its module when it is first used, so that `import antagony` costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .calibration import calibrate
    from .case import Case, open_case
    from .claims import check_claims
    from .curves import draw_curves
    from .errors import AntagonyError
    from .matrix import fill_matrix
    from .planning.ranking import rank_plans
    from .population import Draws, Population, draw_parameters, sample_population
    from .posterior.storage import read_answer
    from .posterior.weighing import weigh
    from .regimen import Regimen, parse_regimen
    from .report import write_report
    from .simulation import Arm, Tolerances, simulate
    from .verdict import reach_verdict

__version__ = "0.1.0"
__all__ = [
    "AntagonyError",
    "Arm",
    "Case",
    "Draws",
    "Population",
    "Regimen",
    "Tolerances",
    "__version__",
    "calibrate",
    "check_claims",
    "draw_curves",
    "draw_parameters",
    "fill_matrix",
    "open_case",
    "parse_regimen",
    "rank_plans",
    "reach_verdict",
    "read_answer",
    "sample_population",
    "simulate",
    "weigh",
    "write_report",
]

_HOMES = {
    "errors": ("AntagonyError",),
    "regimen": ("Regimen", "parse_regimen"),
    "case": ("Case", "open_case"),
    "population": ("Draws", "Population", "draw_parameters", "sample_population"),
    "simulation": ("Arm", "Tolerances", "simulate"),
    "calibration": ("calibrate",),
    "claims": ("check_claims",),
    "matrix": ("fill_matrix",),
    "curves": ("draw_curves",),
    "verdict": ("reach_verdict",),
    "posterior.storage": ("read_answer",),
    "posterior.weighing": ("weigh",),
    "planning.ranking": ("rank_plans",),
    "report": ("write_report",),
}


def __getattr__(name: str) -> object:
    """Import a public name from its module (PEP 562)."""
    from importlib import import_module

    for module, names in _HOMES.items():
        if name in names:
            globals()[name] = found = getattr(import_module(f".{module}", __name__), name)
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """The public names, imported or not."""
    return sorted(__all__)
