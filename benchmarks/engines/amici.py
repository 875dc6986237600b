"""AMICI: SBML turned into a C++ extension with an analytic Jacobian, CVODES, doses and divisions as its events."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import amici
import numpy as np
from amici.sim import sundials
from problem import Array, Model, Problem

from . import ABSOLUTE, Solve

PACKAGES = ("amici",)
ABOUT = "C++ compiled for the model, analytic sparse Jacobian (KLU), no sensitivities, its batch call"


def build(model: Model) -> Solve:
    """The extension, built once in $BENCH_BUILD (or a temporary folder), and one solver."""
    folder = Path(os.environ.get("BENCH_BUILD") or tempfile.mkdtemp()) / f"amici_{model.name}_{len(model.timed)}"
    name = f"{model.name}_{len(model.timed)}"
    if not (folder / ".built").is_file():
        with tempfile.NamedTemporaryFile("w", suffix=".xml") as file:
            file.write(model.dosed)
            file.flush()
            importer = amici.SbmlImporter(file.name)
            importer.sbml2amici(name, str(folder), generate_sensitivity_code=False, verbose=False)
        (folder / ".built").touch()
    compiled = amici.import_model_module(name, str(folder)).get_model()
    ids, states = list(compiled.get_free_parameter_ids()), list(compiled.get_state_ids())
    base = np.array(compiled.get_free_parameters())
    columns = [ids.index(n) for n in (*model.varied, *model.timed)]
    order = [states.index(n) for n in model.states]
    compiled.set_timepoints(model.times)
    solver = compiled.create_solver()
    solver.set_max_steps(200_000)

    def solve(problem: Problem, rtol: float) -> Array:
        solver.set_relative_tolerance(rtol)
        solver.set_absolute_tolerance(rtol * ABSOLUTE)
        conditions = []
        for i, row in enumerate(np.concatenate([problem.varied, problem.timed], axis=1)):
            condition, values = sundials.ExpData(compiled), base.copy()
            values[columns] = row
            condition.set_timepoints(model.times)
            condition.free_parameters = values
            begin = np.empty(len(states))
            begin[order] = problem.start[i]
            condition.x0 = begin
            conditions.append(condition)
        results = sundials.run_simulations(compiled, solver, conditions, failfast=False, num_threads=1)
        out = np.full((len(conditions), model.times.size, len(order)), np.nan)
        for i, result in enumerate(results):
            if result.status == 0:
                out[i] = np.asarray(result.x)[:, order]
        return out

    return solve
