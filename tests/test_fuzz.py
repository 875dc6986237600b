"""Every reader against hostile input, and what readers once did wrong. The slow version is proofs/fuzz.py."""

from __future__ import annotations

import math
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hostile
import numpy as np
import pytest
from hostile import EXAMPLE, PLANTED, run_apart

from antagony.case import Case, open_case
from antagony.claim import read_claims
from antagony.composition import Text, symbols_of
from antagony.drug import read_drug
from antagony.errors import AntagonyError, CaseError, CompositionError, RegimenError, near_miss
from antagony.exchange.nonmem import read_subjects
from antagony.kernel.build import build_kernel
from antagony.kernel.library import Status
from antagony.regimen import parse_regimen
from antagony.study import read_study
from antagony.verdict import read_bibliography

USUAL = 120  # inputs; fewer where one takes longer
SLOW = {"petab": 10, "case": 60, **dict.fromkeys(("answer", "model text", "sbml"), 30)}
SLOW |= dict.fromkeys(("claims", "rules", "drug", "data set", "records", "formula"), 60)
READERS = tuple(hostile.make_readers())
UNREFUSED = ("answer",)  # what is no stored answer counts as none, and is no error


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What a few hundred inputs of each reader found; always the same ones."""
    folder = tmp_path_factory.mktemp("fuzz")
    batches = run_apart([f"{name}:{SLOW.get(name, USUAL)}" for name in READERS], 1, folder)
    return {batch["reader"]: batch for batch in batches}


@pytest.mark.parametrize("name", READERS)
def test_a_reader_answers_or_says_what_is_wrong(found: dict[str, dict[str, Any]], name: str) -> None:
    batch = found[name]
    assert not batch["faults"], [(what, bytes.fromhex(content)[:300]) for what, content in batch["faults"].items()]
    assert batch["ended"]["read"] > 0
    assert batch["ended"].get("refused", 0) > 0 or name in UNREFUSED
    assert sum(batch["ended"].values()) >= SLOW.get(name, USUAL) / 2


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("raise", "ValueError at outside the package"),
        ("mumble", "a message that does not say where: AntagonyError"),
        ("write", "did what no reader may: open"),
        ("open", "did what no reader may: open /etc/hostname"),
        ("start", "did what no reader may: os.system"),
        ("hang", "Hang"),
        ("crash", "the process died (-11)"),
        ("spin", f"the process died ({-signal.SIGXCPU})"),
    ],
)
def test_the_watch_sees_what_no_reader_may_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, said: str
) -> None:
    assert how in PLANTED
    monkeypatch.setenv("LONGEST", "0.2")
    (batch,) = run_apart([f"{how}:1"], 1, tmp_path)
    ((fault, content),) = batch["faults"].items()
    assert fault.startswith(said)
    assert bytes.fromhex(content) == how.encode()


# --- what was wrong once ---------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(EXAMPLE, tmp_path / "case"))


def put(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


ENDLESS = {
    "a number of 5000 digits": "9" * 5000,
    "lists without end": "[" * 5000,
    "lists 300 deep": "[" * 300 + "]" * 300,  # the parser reads them; who follows them must not fall
}


@pytest.mark.parametrize("value", ENDLESS.values(), ids=ENDLESS)
@pytest.mark.parametrize(
    ("file", "read"),
    [
        ("claims.toml", read_claims),
        ("studies/invented_felt.toml", read_study),
        ("drugs/psilocybin/drug.toml", lambda path: read_drug(path.parent)),
        ("case.toml", lambda path: open_case(path.parent)),
        ("mechanisms/trip/mechanism.toml", lambda path: open_case(path.parents[2])),
    ],
)
def test_toml_that_its_parser_chokes_on_is_said(
    folder: Path, file: str, read: Callable[[Path], object], value: str
) -> None:
    path = folder / file
    put(path, f"title = {value}\n{path.read_text()}")
    with pytest.raises(CaseError, match=f"{path.name}: not valid TOML: "):
        read(path)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("-9223372036854775809,0,50", "column ID: .* a subject's number is a whole number"),
        ("1.5.2,0,50", "column ID: .* a subject's number is a whole number"),
        (f"1,0,{'9' * 400}", "record 1: AMT is larger than any number here"),
    ],
)
def test_a_number_in_a_data_set_that_no_computer_holds_is_said(tmp_path: Path, row: str, said: str) -> None:
    put(tmp_path / "doses.csv", f"ID,TIME,AMT,EVID,CMT,DRUG,ROUTE\n{row},1,1,naltrexone,po\n")
    with pytest.raises(RegimenError, match=rf"doses.csv: {said}"):
        read_subjects(tmp_path / "doses.csv")


@pytest.mark.parametrize("weight", ["9" * 400, "heavy", "nan", "-1", "70,80"])
def test_a_weight_in_a_data_set_that_is_none_is_said(tmp_path: Path, weight: str) -> None:
    rows = [f"1,{w},{k},50,1,1,naltrexone,po" for k, w in enumerate(weight.split(","))]
    put(tmp_path / "doses.csv", "\n".join(["ID,WT,TIME,AMT,EVID,CMT,DRUG,ROUTE", *rows, ""]))
    with pytest.raises(RegimenError, match=r"doses.csv: ID 1: WT must be one weight in kg"):
        read_subjects(tmp_path / "doses.csv")


def test_a_name_too_long_for_a_file_is_said(folder: Path) -> None:
    path = folder / "case.toml"
    put(path, path.read_text().replace('"trip"', f'"{"a" * 5000}"', 1))
    with pytest.raises(CaseError, match="is no name of one file or folder"):
        open_case(folder)


def test_a_folder_in_the_place_of_a_text_is_said(folder: Path) -> None:
    path = folder / "prelude.ant"
    path.unlink()
    path.mkdir()
    with pytest.raises(CaseError, match=r"prelude.ant: cannot be read \(is a directory\)"):
        open_case(folder)


def test_a_bibliography_that_is_no_text_is_said(folder: Path) -> None:
    put(folder / "references.bib", b"@misc{a, title = {\xa5}}\n")
    with pytest.raises(CaseError, match=r"references.bib: not UTF-8 text \(invalid start byte at byte 18"):
        read_bibliography(open_case(folder))


def test_a_long_word_costs_no_time() -> None:
    """Looking for a near miss takes the product of two lengths."""
    begun = time.process_time()
    assert near_miss("x" * 100_000, ["y" * 100_000, "abc"]).startswith("; known: ")
    assert time.process_time() - begun < 0.5


def test_a_library_whose_message_breaks_off_within_a_letter_is_heard() -> None:
    for extra in range(8):
        text = f"x = 1\n{'y' * extra}\u4f8b\u4f8b = 2"
        with pytest.raises(CompositionError, match=r"part.ant, line \d"):
            symbols_of("", Text("part.ant", text))


@pytest.mark.parametrize("letter", ["\x1b[2J", "\u202e", "\ud800", "\0", "\x7f"])
def test_no_message_steers_a_terminal(letter: str) -> None:
    with pytest.raises(AntagonyError) as caught:
        parse_regimen(f"ketamine {letter} 50 mg iv")
    said = str(caught.value)
    assert letter[0] not in said
    assert said.encode()


def test_no_message_is_longer_than_a_person_reads() -> None:
    with pytest.raises(AntagonyError) as caught:
        parse_regimen("ketamine 50 mg iv " + "x" * 100_000)
    assert len(str(caught.value)) < 4000
    assert str(caught.value).startswith('"ketamine 50 mg iv xxx')


# --- numbers that make no sense, beside some that do -----------------------------------------------------------------

ABSURD = (
    math.nan,
    math.inf,
    -math.inf,
    1e300,
    -1e300,
    0.0,
    -0.0,
    5e-324,
    -5e-324,
    1e-310,
    1.7976931348623157e308,
    -1.0,
)
SLUGS = tuple(open_case().wirings)


@pytest.mark.parametrize("slug", SLUGS)
def test_absurd_patients_fail_alone(case: Case, slug: str) -> None:
    """A thousand rows with absurd numbers among 56 sound ones, which keep their bits; who fails has a reason."""
    model = case.mechanism_for(slug, ["ketamine"])
    kernel = build_kernel(model.sbml, inputs=model.inputs)
    rng = np.random.default_rng(SLUGS.index(slug))
    rows = np.tile(kernel.defaults, (1056, 1))
    sound = np.sort(rng.choice(len(rows), 56, replace=False))
    rows[sound] *= rng.lognormal(sigma=0.02, size=(56, rows.shape[1]))
    absurd = np.setdiff1d(np.arange(len(rows)), sound)
    for row in absurd:
        columns = rng.choice(rows.shape[1], rng.integers(1, 6), replace=False)
        rows[row, columns] = rng.choice(ABSURD, len(columns))
    times = np.array([0.0, 0.5, 24.0])
    settings = {"start": -1.0, "max_steps": 500}
    alone = kernel.solve(rows[sound], times, **settings)
    among = kernel.solve(rows, times, **settings)
    assert (alone.status == Status.DONE).all()
    for name in ("values", "last", "status", "steps"):
        np.testing.assert_array_equal(getattr(among, name)[sound], getattr(alone, name))
    failed = absurd[among.status[absurd] != Status.DONE]
    assert len(failed) > 100
    for row in failed:
        assert Status(int(among.status[row])).advice
        assert np.isnan(among.values[row, times > among.fail_time[row]]).all()
    done = absurd[among.status[absurd] == Status.DONE]
    assert not np.isnan(among.last[done]).any()
