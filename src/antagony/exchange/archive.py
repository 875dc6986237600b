"""The child process that writes a COMBINE archive: `omex.py` hands it a plan (JSON) on its input.

libSEDML loaded beside libSBML changes what libSBML's formulas return, for the rest of the process; so the two never
meet. Hence this file imports nothing of the package, and the libraries only where it runs as a process.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

SBML_SPACE = "http://www.sbml.org/sbml/level3/version2/core"
LANGUAGE = "urn:sedml:language:sbml.level-3.version-2"
CVODE = "KISAO:0000019"
TOLERANCES = {"relative": "KISAO:0000209", "absolute": "KISAO:0000211"}


def write_archive(plan: Mapping[str, Any]) -> None:
    """Write the archive of a plan; raises RuntimeError when libCombine cannot.

    Keys: `path`, `about`, `files` (name -> text), and of the experiment `arms` (title, model, end, clock), `points`,
    `outputs` (symbol, title), `tolerances`.
    """
    import libcombine as library

    libcombine: Any = library  # it builds its classes at run time, where no type checker sees them
    archive = libcombine.CombineArchive()
    form = libcombine.KnownFormats.lookupFormat
    for name, text in plan["files"].items():
        archive.addFileFromString(text, name, form("sbml" if name.endswith(".xml") else "csv"), False)
    archive.addFileFromString(experiment_text(plan), "simulation.sedml", form("sedml"), True)
    description = libcombine.OmexDescription()
    description.setAbout(".")
    description.setDescription(plan["about"])
    description.setCreated(libcombine.OmexDescription.getCurrentDateAndTime())
    archive.addMetadata(".", description)
    written = archive.writeToFile(plan["path"])
    archive.cleanUp()
    if not written:
        raise RuntimeError("libCombine could not write the archive")


def experiment_text(plan: Mapping[str, Any]) -> str:
    """The SED-ML (Level 1 Version 4) that runs every arm, reports all outputs and plots the first."""
    import libsedml as library

    libsedml: Any = library
    document = libsedml.SedDocument(1, 4)
    document.getNamespaces().add(SBML_SPACE, "sbml")
    first, title = plan["outputs"][0]
    report = document.createReport()
    report.setId("report")
    report.setName("all outputs of all arms")
    plot = _plot(document, title)
    for number, arm in enumerate(plan["arms"], 1):
        _add_task(document, number, arm, plan)
        end = f"_{number}" if len(plan["arms"]) > 1 else ""
        shown = [("time", arm["clock"], "time since the reference dose [h]")]
        for name, symbol, meaning in (*shown, *((symbol, symbol, meaning) for symbol, meaning in plan["outputs"])):
            generator = _add_generator(document, f"{name}{end}", symbol, number, meaning)
            generator.setMath(libsedml.parseL3Formula(generator.getVariable(0).getId()))
            data = report.createDataSet()
            data.setId(f"column_{name}{end}")
            data.setLabel(f"{name}{end}")
            data.setDataReference(f"data_{name}{end}")
        curve = plot.createCurve()
        curve.setId(f"curve_{number}")
        curve.setName(arm["title"])
        curve.setXDataReference(f"data_time{end}")
        curve.setYDataReference(f"data_{first}{end}")
    return libsedml.writeSedMLToString(document)


def _plot(document: Any, title: str) -> Any:  # noqa: ANN401
    plot = document.createPlot2D()
    plot.setId("plot")
    plot.setName(title)
    for axis, name in ((plot.createXAxis(), "time since the reference dose [h]"), (plot.createYAxis(), title)):
        axis.setType("linear")
        axis.setName(name)
    return plot


def _add_task(document: Any, number: int, arm: Mapping[str, Any], plan: Mapping[str, Any]) -> None:  # noqa: ANN401
    """The arm's model, its time course in the model's own unit, and the task that joins the two."""
    model = document.createModel()
    model.setId(f"model_{number}")
    model.setName(arm["title"])
    model.setSource(arm["model"])
    model.setLanguage(LANGUAGE)
    course = document.createUniformTimeCourse()
    course.setId(f"course_{number}")
    course.setInitialTime(0.0)
    course.setOutputStartTime(0.0)
    course.setOutputEndTime(arm["end"])
    course.setNumberOfSteps(plan["points"] - 1)
    algorithm = course.createAlgorithm()
    algorithm.setKisaoID(CVODE)
    for name, identifier in TOLERANCES.items():
        setting = algorithm.createAlgorithmParameter()
        setting.setKisaoID(identifier)
        setting.setValue(repr(plan["tolerances"][name]))
    task = document.createTask()
    task.setId(f"task_{number}")
    task.setName(arm["title"])
    task.setModelReference(model.getId())
    task.setSimulationReference(course.getId())


def _add_generator(document: Any, name: str, symbol: str, number: int, title: str) -> Any:  # noqa: ANN401
    """A data generator that reads one symbol of an arm's model; without one it reads the time."""
    generator = document.createDataGenerator()
    generator.setId(f"data_{name}")
    generator.setName(title)
    variable = generator.createVariable()
    variable.setId(f"of_{name}")
    variable.setTaskReference(f"task_{number}")
    if symbol:
        variable.setTarget(f"/sbml:sbml/sbml:model/sbml:listOfParameters/sbml:parameter[@id='{symbol}']")
    else:
        variable.setSymbol("urn:sedml:symbol:time")
    return generator


if __name__ == "__main__":
    write_archive(json.load(sys.stdin))
