"""libRoadRunner: SBML compiled by LLVM, CVODE, doses and divisions as events of the model."""

from __future__ import annotations

import numpy as np
import roadrunner
from problem import Array, Model, Problem

from . import ABSOLUTE, Solve

PACKAGES = ("libroadrunner",)
ABOUT = "SBML with events, CVODE (BDF, difference Jacobian: it offers no other), one loaded model, set and reset"


def build(model: Model) -> Solve:
    """A runner that holds the loaded model."""
    roadrunner.Logger.setLevel(roadrunner.Logger.LOG_FATAL)
    runner = roadrunner.RoadRunner(model.dosed)
    runner.integrator.maximum_num_steps = 200_000
    runner.timeCourseSelections = list(model.states)
    ids = list(runner.model.getGlobalParameterIds())
    index = [ids.index(name) for name in (*model.varied, *model.timed, *model.states)]

    def solve(problem: Problem, rtol: float) -> Array:
        runner.integrator.relative_tolerance = rtol
        # one number would be scaled by each start, and a start of 0 then asks for the impossible
        runner.integrator.absolute_tolerance = [rtol * ABSOLUTE] * len(model.states)
        out = np.full((len(problem.varied), model.times.size, len(model.states)), np.nan)
        # events at time 0 fire within its reset, before the starts are set
        rows = np.concatenate([problem.varied, problem.timed, problem.started], axis=1)
        for i, row in enumerate(rows):
            runner.reset()
            runner.model.setGlobalParameterValues(index, list(row))
            try:
                out[i] = runner.simulate(times=list(model.times))
            except RuntimeError:  # seen: CVODE stops at the restart after an infusion starts; counted as NaN
                continue
        return out

    return solve
