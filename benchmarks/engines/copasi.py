"""COPASI through its own Python bindings: SBML, LSODA, doses and divisions as events of the model."""

from __future__ import annotations

import COPASI
import numpy as np
from problem import Array, Model, Problem

from . import ABSOLUTE, Solve

PACKAGES = ("python-copasi", "copasi-basico")
ABOUT = "SBML with events, deterministic LSODA, one loaded model, by the bindings beneath basico, whose tables cost"


def build(model: Model) -> Solve:
    """A data model whose time course is asked for again and again."""
    data = COPASI.CRootContainer.addDatamodel()
    if not data.importSBMLFromString(_plain_starts(model.dosed)):
        raise RuntimeError("COPASI does not read the model")
    task = data.getTask("Time-Course")
    task.setMethodType(COPASI.CTaskEnum.Method_deterministic)
    trajectory, method = task.getProblem(), task.getMethod()
    trajectory.setUseValues(True)
    trajectory.setValues(" ".join(repr(float(t)) for t in model.times))
    trajectory.setDuration(float(model.times[-1]))
    trajectory.setTimeSeriesRequested(True)
    method.getParameter("Max Internal Steps").setIntValue(1_000_000)
    quantities = {v.getSBMLId(): v for v in data.getModel().getModelValues()}
    wanted = [quantities[name] for name in (*model.varied, *model.timed, *model.states)]
    changed = COPASI.ObjectStdVector()
    for quantity in wanted:
        changed.append(quantity.getInitialValueReference())

    def solve(problem: Problem, rtol: float) -> Array:
        method.getParameter("Relative Tolerance").setDblValue(rtol)
        method.getParameter("Absolute Tolerance").setDblValue(rtol * ABSOLUTE)
        out = np.full((len(problem.varied), model.times.size, len(model.states)), np.nan)
        for i, row in enumerate(np.concatenate([problem.varied, problem.timed, problem.start], axis=1)):
            for quantity, value in zip(wanted, row, strict=True):
                quantity.setInitialValue(float(value))
            data.getModel().updateInitialValues(changed)
            if task.process(True) and task.getTimeSeries().getRecordedSteps() == model.times.size:
                out[i] = _read(task.getTimeSeries(), data, model)
        return out

    return solve


def _read(series: COPASI.CTimeSeries, data: COPASI.CDataModel, model: Model) -> Array:
    """States (time, state) of a finished time course."""
    places = {series.getSBMLId(i, data): i for i in range(series.getNumVariables())}
    wanted = [places[name] for name in model.states]
    return np.array([[series.getConcentrationData(i, k) for k in wanted] for i in range(model.times.size)])


def _plain_starts(sbml: str) -> str:
    """The model without initial assignments to what is set by number."""
    import libsbml

    document = libsbml.readSBMLFromString(sbml)
    assignments = document.getModel().getListOfInitialAssignments()
    while assignments.size():
        assignments.remove(0)
    return str(libsbml.writeSBMLToString(document))
