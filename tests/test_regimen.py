from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from antagony import regimen
from antagony.errors import RegimenError
from antagony.regimen import Dose, Regimen, from_table, parse_regimen, to_table

KNOWN = {"ketamine": ("iv", "nasal"), "naltrexone": ("po",)}


def random_dose(rng: np.random.Generator) -> Dose:
    """Any dose that can be given: the forms of infusion x train x steady state x reset, in arbitrary numbers."""
    dose = Dose(
        drug=str(rng.choice(["ketamine", "naltrexone", "MAM", "r-ketamine_x"])),
        amount=float(rng.choice([50.0, 0.5, rng.lognormal(), 1 / 3])),
        per_kg=bool(rng.integers(2)),
        route=str(rng.choice(["iv", "po"])),
        time=float(rng.choice([0.0, -0.75, 168.0, rng.normal(0, 50)])),
        reset=bool(rng.integers(5) == 0),
    )
    form = rng.integers(3)
    dose = replace(dose, duration=float(rng.choice([2 / 3, rng.lognormal()])) if form == 1 else 0.0)
    dose = replace(dose, rate=float(rng.lognormal()) if form == 2 else 0.0)
    train = {"interval": float(rng.choice([24.0, 168.0, rng.lognormal() + 1])), "additional": int(rng.integers(0, 5))}
    steady = int(rng.integers(3))
    dose = replace(dose, **train, steady_state=steady) if steady or rng.integers(2) else dose
    if rng.integers(12) == 0:
        return Dose("", 0.0, False, "", time=dose.time, reset=True)
    if rng.integers(12) == 0:
        constant = {"amount": 0.0, "duration": 0.0, "rate": 3.5, "interval": 0.0, "additional": 0, "steady_state": 1}
        return replace(dose, **constant)
    return dose


DOSES = [random_dose(np.random.default_rng(seed)) for seed in range(300)]


def test_the_grid_holds_every_form() -> None:
    forms = {(d.duration > 0, d.rate > 0, d.additional > 0, d.steady_state, d.reset, d.per_kg) for d in DOSES}
    assert len(forms) > 40
    assert any(d.is_reset_only for d in DOSES)
    assert any(d.steady_state and not d.interval for d in DOSES)


def test_every_dose_survives_text_and_table() -> None:
    for dose in DOSES:
        regimen = Regimen((dose,))
        if dose.steady_state == 0 or not dose.interval or dose.length <= dose.interval:
            if dose.length <= dose.interval or not dose.additional:
                assert parse_regimen(regimen.text()) == regimen, regimen.text()
        assert from_table(to_table(regimen)) == regimen


@pytest.mark.parametrize("seed", range(40))
def test_a_table_survives_shuffling_and_a_file(seed: int) -> None:
    rng = np.random.default_rng(seed)
    regimen = Regimen(tuple(DOSES[i] for i in rng.integers(0, len(DOSES), 8)))
    frame = to_table(regimen)
    assert list(frame.columns) == "TIME AMT RATE DUR CMT EVID II ADDL SS DRUG ROUTE PERKG".split()
    shuffled = frame.sample(frac=1, random_state=seed)
    assert from_table(shuffled) == regimen
    assert Regimen(tuple(reversed(regimen.doses))) == regimen
    pd.testing.assert_frame_equal(to_table(from_table(shuffled)), frame)


def test_a_table_is_read_back_from_csv(tmp_path: object) -> None:
    regimen = parse_regimen(
        "naltrexone 50 mg po at -45 min; ketamine 0.5 mg/kg iv over 40 min; repeat every 7 d x 4; reset at 40 d"
    )
    path = f"{tmp_path}/regimen.csv"
    to_table(regimen).to_csv(path, index=False)
    assert from_table(pd.read_csv(path)) == regimen


def test_the_sources_regimen() -> None:
    regimen = parse_regimen("naltrexone 50 mg po at -45 min; ketamine 0.5 mg/kg iv over 40 min; repeat every 7 d x 4")
    naltrexone, ketamine = regimen.doses
    assert naltrexone == Dose("naltrexone", 50.0, False, "po", time=-0.75, interval=168.0, additional=3)
    assert ketamine == Dose("ketamine", 0.5, True, "iv", duration=40 / 60, interval=168.0, additional=3)
    assert regimen.drugs == ("ketamine", "naltrexone")
    assert (regimen.first, regimen.last) == (-0.75, 504 + 40 / 60)
    frame = to_table(regimen)
    assert frame["CMT"].tolist() == [2, 1]
    assert frame["RATE"].tolist() == [0.0, -2.0]


@pytest.mark.parametrize("text", ["", "  ", "no drug", "placebo", "Placebo", "placebo; no drug;"])
def test_placebo_is_an_empty_regimen(text: str) -> None:
    regimen = parse_regimen(text)
    assert regimen == Regimen()
    assert (regimen.first, regimen.last, regimen.drugs, regimen.text()) == (math.inf, -math.inf, (), "no drug")
    assert from_table(to_table(regimen)) == regimen


def administrations(regimen: Regimen) -> list[tuple[float, str, float]]:
    return sorted((float(t), d.drug, d.amount) for d in regimen.doses for t in d.times)


@pytest.mark.parametrize(
    ("short", "spelled"),
    [
        ("ketamine 5 mg iv every 24 h x 3", "ketamine 5 mg iv; ketamine 5 mg iv at 24 h; ketamine 5 mg iv at 48 h"),
        ("ketamine 5 mg iv; repeat every 2 d x 2", "ketamine 5 mg iv; ketamine 5 mg iv at 2 d"),
        ("a 5 mg iv every 1 h x 2; repeat every 1 d x 2", "a 5 mg iv every 1 h x 2; a 5 mg iv at 24 h every 1 h x 2"),
        (
            "a 5 mg iv; repeat every 1 d x 2; repeat every 7 d x 2",
            "a 5 mg iv every 1 d x 2; a 5 mg iv at 7 d every 1 d x 2",
        ),
        ("ketamine 5 mg iv; repeat every 1 d x 2; a 50 mg po", "ketamine 5 mg iv every 1 d x 2; a 50 mg po"),
        ("ketamine 5 mg iv; repeat every 1 d x 1", "ketamine 5 mg iv"),
    ],
)
def test_repeats_are_the_same_doses_spelled_out(short: str, spelled: str) -> None:
    assert administrations(parse_regimen(short)) == administrations(parse_regimen(spelled))


def test_repeating_a_reset_repeats_the_reset() -> None:
    regimen = parse_regimen("ketamine 5 mg iv after reset; repeat every 1 d x 3")
    assert [(d.time, d.reset, d.additional) for d in regimen.doses] == [(0, True, 0), (24, True, 0), (48, True, 0)]


def test_spelling_does_not_matter() -> None:
    plain = parse_regimen("ketamine 0.5 mg/kg iv at 30 min over 40 min every 7 d x 2")
    for text in (
        "ketamine 0.5mg/kg iv over 40min at 0.5h every 168 h x2",
        " ketamine  500 ug / kg iv every 1 wk x 2 over 40 min at 30 min ;",
        "ketamine 0.5 mg/kg iv every 7 d \u00d7 2 times at 1800 s over 2400 s",
    ):
        assert parse_regimen(text, KNOWN) == plain


@pytest.mark.parametrize(
    ("clause", "message"),
    [
        ("ketamin 50 mg iv", 'unknown drug "ketamin"; did you mean "ketamine"'),
        ("ketamine 50 mg nasl", 'ketamine has no route "nasl"; did you mean "nasal"'),
        ("naltrexone 50 mg oral", 'naltrexone has no route "oral"; did you mean "po"'),
        ("ketamine 50 mgg iv", 'unknown unit "mgg"; did you mean "mg"'),
        ("ketamine 50 iv", 'the unit is missing after "50", such as mg or mg/kg'),
        ("ketamine 0.5 iv over 40 min", 'the unit is missing after "0.5"'),
        ("ketamine 0.5 over 40 min", 'the unit is missing after "0.5"'),
        ("ketamine 0.5", 'the unit is missing after "0.5"'),
        ("ketamine 50 h iv", '"h" is no unit of mass'),
        ("ketamine 50 mg", "route is missing"),
        ("ketamine 50 mg over 5 min", "route is missing"),
        ("ketamine iv 50 mg", "drug amount unit route"),
        ("plcebo", 'did you mean "placebo"'),
        ("ketamine -5 mg iv", "amount -5 is below 0"),
        ("ketamine 0 mg iv", "amount is 0"),
        ("ketamine 101 g iv", "more than 100 g"),
        ("ketamine 50 Mg iv", "more than 100 g"),
        ("ketamine 2 g/kg iv", "more than 100 g"),
        ("ketamine 50 mg iv at noon", 'at: "noon" does not begin with a number'),
        ("ketamine 50 mg iv at 1", "has no unit"),
        ("ketamine 50 mg iv at 3 mg", '"mg" is no unit of time'),
        ("ketamine 50 mg iv at 200 year", "more than a century"),
        ("ketamine 50 mg iv at 1 h at 2 h", "sets the time twice"),
        ("ketamine 50 mg iv every 24 h x 2 ss every 24 h", "twice"),
        ("ketamine 50 mg iv over 0 min", "no duration above 0"),
        ("ketamine 50 mg iv over -5 min", "no duration above 0"),
        ("ketamine 50 mg iv over 5 min rate 1 mg/h", "not both"),
        ("ketamine 50 mg/kg iv rate 1 mg/h", "per kg, or neither"),
        ("ketamine 50 mg iv for 40 min", 'cannot read "for 40 min"'),
        ("ketamine 50 mg iv evry 24 h x 2", 'did you mean "every"'),
        ("ketamine 50 mg iv every 24 h", "how often"),
        ("ketamine 50 mg iv every 24 h x 0", "no count"),
        ("ketamine 50 mg iv every 24 h x 2.5", "no count"),
        ("ketamine 50 mg iv every 24 h x two", "no count"),
        ("ketamine 50 mg iv every -24 h x 2", "no interval above 0"),
        ("ketamine 50 mg iv every 24 h x 20000", "no count"),
        ("ketamine 50 mg iv ss", "needs an interval"),
        ("ketamine 50 mg iv ss every 0 h", "no interval above 0"),
        ("ketamine 50 mg iv over 25 h every 24 h x 2", "overlap at 24 h"),
        ("ketamine 50 mg iv over 25 h ss every 24 h", "does not fit"),
        ("repeat every 7 d x 4", "nothing before it"),
        ("repeat", "write it like"),
        ("reset at noon", "does not begin with a number"),
    ],
)
def test_a_clause_that_is_wrong_is_quoted(clause: str, message: str) -> None:
    with pytest.raises(RegimenError, match=message) as caught:
        parse_regimen(clause, KNOWN)
    assert str(caught.value).startswith(f'"{clause}": ')


@pytest.mark.parametrize(
    ("before", "clause", "message"),
    [
        ("ketamine 50 mg iv over 40 min", "ketamine 5 mg iv at 30 min over 5 min", "overlap at 30 min"),
        ("ketamine 50 mg iv rate 10 mg/h", "ketamine 5 mg iv at 4 h rate 5 mg/h", "overlap at 4 h"),
        ("ketamine 5 mg iv over 9 d", "repeat every 7 d x 2", "overlap at 7 d"),
        ("naltrexone 50 mg po at -1 h", "ketamine 5 mg iv ss every 24 h", "wipe out earlier doses"),
        ("naltrexone 50 mg po ss every 24 h", "ketamine 5 mg iv ss every 12 h", "different intervals"),
        ("naltrexone 50 mg po ss every 24 h", "repeat every 7 d x 4", "cannot be repeated"),
        ("naltrexone 50 mg po every 1 h x 9000", "repeat every 500 d x 2", "more than 10000 doses"),
        ("; ".join(["naltrexone 50 mg po every 1 h x 10000"] * 10), "reset", "more than 100000 doses"),
    ],
)
def test_clauses_that_do_not_fit_together_are_refused(before: str, clause: str, message: str) -> None:
    """And named, whatever follows: more clauses, or one that cannot be read."""
    parse_regimen(before, KNOWN)
    for after in ("", "; naltrexone 5 mg po at 900 h; ; reset at 40 d", "; ketamin 5 mg iv", "; repeat every 9 d x 2"):
        with pytest.raises(RegimenError, match=message) as caught:
            parse_regimen(f"{before}; {clause}{after}", KNOWN)
        assert str(caught.value).startswith(f'"{clause}": ')


def test_many_clauses_are_looked_at_together_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once where they fit, and some twenty times where the first that does not fit is sought among a thousand."""
    looked: list[int] = []
    check = regimen._check_prescription
    monkeypatch.setattr(regimen, "_check_prescription", lambda doses: looked.append(len(doses)) or check(doses))
    clauses = [f"ketamine 5 mg iv over 40 min at {k} h" for k in range(1000)]
    assert len(parse_regimen("; ".join(clauses)).doses) == 1000
    assert looked == [1000]
    clauses[300] = "ketamine 5 mg iv over 40 min at 299.5 h"
    with pytest.raises(RegimenError, match=r'^"ketamine 5 mg iv over 40 min at 299.5 h": .* overlap'):
        parse_regimen("; ".join(clauses))
    assert len(looked) < 20


def test_infusions_that_only_touch_are_no_overlap() -> None:
    assert len(parse_regimen("ketamine 5 mg iv over 24 h every 24 h x 3; ketamine 5 mg nasal over 9 h").doses) == 2
    assert len(parse_regimen("ketamine 5 mg iv over 40 min; ketamine 3 mg iv at 40 min over 1 h").doses) == 2


RECORD = {"TIME": 1.0, "AMT": 50.0, "EVID": 1, "DRUG": "ketamine", "ROUTE": "iv"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"EVID": 5}, r'EVID 5 \("replace" in other tools\)'),
        ({"EVID": 0}, "EVID 0 is no dose, yet AMT"),
        ({"RATE": -1.0}, "modelled rate"),
        ({"RATE": -2.0}, "needs a DUR"),
        ({"RATE": -3.0}, "RATE -3 is unknown"),
        ({"RATE": 5.0, "DUR": 10.0}, "both RATE and DUR"),
        ({"ADDL": 2}, "need an interval"),
        ({"SS": 1}, "needs an interval"),
        ({"SS": 3, "II": 24.0}, "unknown"),
        ({"ADDL": -1, "II": 24.0}, "ADDL"),
        ({"ADDL": 0.5, "II": 24.0}, "whole number"),
        ({"AMT": "much"}, "is no number"),
        ({"AMT": 0.0, "RATE": 5.0, "SS": 1, "II": 24.0}, "no interval"),
        ({"DRUG": "keta mine"}, "no name of a drug"),
        ({"CMT": 1, "ROUTE": "po"}, "CMT 1 is ketamine iv"),
    ],
)
def test_a_record_that_cannot_be_given_is_refused_by_number(change: dict[str, object], message: str) -> None:
    with pytest.raises(RegimenError, match=f"record 2: .*{message}"):
        from_table(pd.DataFrame([RECORD | {"CMT": 1}, RECORD | {"CMT": 2} | change]))


def test_a_table_is_checked() -> None:
    with pytest.raises(RegimenError, match='unknown column "RAET"; did you mean "RATE"'):
        from_table(pd.DataFrame([RECORD | {"RAET": 0.0}]))
    with pytest.raises(RegimenError, match="missing column ROUTE"):
        from_table(pd.DataFrame([RECORD]).drop(columns="ROUTE"))
    with pytest.raises(RegimenError, match="several subjects"):
        from_table(pd.DataFrame([RECORD | {"ID": 1}, RECORD | {"ID": 2}]))
    assert from_table(pd.DataFrame([RECORD, RECORD | {"EVID": 0, "AMT": 0.0, "TIME": 9.0}])).last == 1.0
