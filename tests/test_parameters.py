from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from antagony.errors import ParameterError
from antagony.parameters import COLUMNS, GRADES, Prior, read_parameters

PRIORS = {
    "uniform": (Prior("uniform", (-2.0, 3.0)), stats.uniform(-2, 5)),
    "log-uniform": (Prior("log-uniform", (0.1, 50.0)), stats.loguniform(0.1, 50)),
    "normal": (Prior("normal", (-1.0, 2.0)), stats.norm(-1, 2)),
    "log-normal": (Prior("log-normal", (0.3, 0.8)), stats.lognorm(0.8, scale=np.exp(0.3))),
    "beta": (Prior("beta", (2.0, 5.0)), stats.beta(2, 5)),
}
ROW = {
    "parameterId": "ke0",
    "name": "loss",
    "nominalValue": "2",
    "unit": "per_hour",
    "estimate": "1",
    "priorDistribution": "log-uniform",
    "priorParameters": "0.5;8",
    "bsv": "0.3",
    "bsvDistribution": "",
    "grade": "assumed",
    "source": "otto_2021, table 2",
    "note": "half-time 20 min",
}


def table(folder: Path, *rows: dict[str, str], columns: tuple[str, ...] = COLUMNS) -> Path:
    path = folder / "parameters.tsv"
    lines = ["\t".join(columns), *("\t".join(row.get(column, "") for column in columns) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("name", PRIORS)
def test_quantiles_are_those_of_the_named_law(name: str) -> None:
    prior, law = PRIORS[name]
    u = np.linspace(0.001, 0.999, 21).reshape(3, 7)
    np.testing.assert_allclose(prior.quantile(u), law.ppf(u), rtol=1e-9)
    assert prior.quantile(u).shape == u.shape
    assert prior.median == pytest.approx(law.median(), rel=1e-12)
    assert prior.support == law.support()
    lower, upper = prior.quantile([0.0, 1.0])
    assert (lower, upper) == prior.support


def test_quantiles_outside_zero_to_one_are_refused() -> None:
    for u in (-0.1, 1.1, np.nan):
        with pytest.raises(ParameterError, match="from 0 to 1"):
            PRIORS["uniform"][0].quantile(u)


def test_a_row_is_read_whole(tmp_path: Path) -> None:
    fixed = ROW | {"parameterId": "n", "estimate": "0", "priorDistribution": "", "priorParameters": "", "bsv": ""}
    path = table(tmp_path, ROW, {}, fixed | {"grade": "definition"})
    found = read_parameters(path)
    assert list(found) == ["ke0", "n"]
    ke0 = found["ke0"]
    assert (ke0.nominal, ke0.unit, ke0.estimate, ke0.bsv, ke0.bsv_distribution) == (
        2.0,
        "per_hour",
        True,
        0.3,
        "log-normal",
    )
    assert ke0.prior == Prior("log-uniform", (0.5, 8.0))
    assert (ke0.grade, ke0.source, ke0.note) == ("assumed", "otto_2021, table 2", "half-time 20 min")
    assert (ke0.file, ke0.line, found["n"].line) == (str(path), 2, 4)
    assert (found["n"].prior, found["n"].bsv, found["n"].estimate) == (None, 0.0, False)


@pytest.mark.parametrize("grade", GRADES)
def test_every_grade_is_known(tmp_path: Path, grade: str) -> None:
    assert read_parameters(table(tmp_path, ROW | {"grade": grade}))["ke0"].grade == grade


@pytest.mark.parametrize("line_end", ["\r\n", "\n"])
def test_other_editors_files_are_read(tmp_path: Path, line_end: str) -> None:
    text = table(tmp_path, ROW | {"note": ""}).read_text(encoding="utf-8").rstrip("\t\n")  # tabs at the end dropped
    (tmp_path / "parameters.tsv").write_bytes(("\ufeff" + text.replace("\n", line_end)).encode())
    assert read_parameters(tmp_path / "parameters.tsv")["ke0"].nominal == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"nominalValue": "two"}, '"two" is no number'),
        ({"nominalValue": ""}, "is no number"),
        ({"nominalValue": "nan"}, "must be finite"),
        ({"nominalValue": "9"}, "outside its prior"),
        ({"estimate": "yes"}, "neither 0 nor 1"),
        ({"priorDistribution": "", "priorParameters": ""}, "has no prior"),
        ({"priorDistribution": "loguniform"}, 'unknown prior distribution "loguniform"; did you mean "log-uniform"'),
        ({"priorParameters": "8;0.5"}, "below the upper"),
        ({"priorParameters": "2;2"}, "below the upper"),
        ({"priorParameters": "0;8"}, "above 0"),
        ({"priorParameters": "0.5"}, "two numbers"),
        ({"priorParameters": "0.5;x"}, '"x" is no number'),
        ({"priorParameters": ""}, "both be given"),
        ({"priorDistribution": "normal", "priorParameters": "2;0"}, "standard deviation"),
        ({"priorDistribution": "beta", "priorParameters": "2;2"}, "outside its prior"),
        ({"priorDistribution": "log-normal", "priorParameters": "0;1", "nominalValue": "0"}, "outside its prior"),
        ({"priorDistribution": "beta", "priorParameters": "0;2", "nominalValue": "0.5"}, "exponents"),
        ({"bsv": "-0.3"}, "0 or more"),
        ({"bsv": "30%"}, "is no number"),
        ({"bsvDistribution": "lognormal"}, 'unknown bsvDistribution "lognormal"; did you mean "log-normal"'),
        ({"bsv": "", "bsvDistribution": "normal"}, "no bsv"),
        ({"priorDistribution": "normal", "priorParameters": "0;1", "nominalValue": "-1"}, "nominalValue above 0"),
        ({"grade": "guessed"}, 'unknown grade "guessed"'),
        ({"grade": "asumed"}, 'did you mean "assumed"'),
        ({"unit": ""}, "has no unit"),
        ({"parameterId": "1k"}, "no identifier"),
        ({"note": "a\tb"}, "13 cells for 12 columns"),
    ],
)
def test_a_row_that_is_wrong_is_refused_with_file_and_line(
    tmp_path: Path, change: dict[str, str], message: str
) -> None:
    path = table(tmp_path, ROW | {"parameterId": "fine"}, ROW | change)
    with pytest.raises(ParameterError, match=message) as caught:
        read_parameters(path)
    assert str(caught.value).startswith(f"{path}, line 3: ")


def test_an_id_stands_once(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r'line 3: "ke0" stands already in line 2'):
        read_parameters(table(tmp_path, ROW, ROW))


def test_the_header_is_checked(tmp_path: Path) -> None:
    for column in COLUMNS:
        with pytest.raises(ParameterError, match=f"line 1: missing column {column}"):
            read_parameters(table(tmp_path, ROW, columns=tuple(c for c in COLUMNS if c != column)))
    with pytest.raises(ParameterError, match='unknown column "grde"; did you mean "grade"'):
        read_parameters(table(tmp_path, ROW, columns=(*COLUMNS, "grde")))
    with pytest.raises(ParameterError, match="twice"):
        read_parameters(table(tmp_path, ROW, columns=(*COLUMNS, "note")))
    (tmp_path / "parameters.tsv").write_text("")
    with pytest.raises(ParameterError, match="header is missing"):
        read_parameters(tmp_path / "parameters.tsv")
    with pytest.raises(ParameterError, match="cannot be read"):
        read_parameters(tmp_path / "absent.tsv")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda line: line.replace("\t", " "), r"line 2 has 1 column, 12 are needed, with tabs between$"),
        (lambda line: line.replace("\t", " ", 3), r"line 2 has 9 columns, 12 are needed, with tabs between$"),
        (lambda line: line.replace("\tloss", " loss"), r"line 2 has 11 columns, 12 are needed, .* neither 0 nor 1"),
    ],
)
def test_a_row_that_lacks_tabs_is_told_how_many_columns_it_has(
    tmp_path: Path, change: Callable[[str], str], said: str
) -> None:
    path = table(tmp_path, ROW)
    head, row, *_ = path.read_text(encoding="utf-8").split("\n")
    path.write_text(f"{head}\n{change(row)}\n", encoding="utf-8")
    with pytest.raises(ParameterError, match=said):
        read_parameters(path)
