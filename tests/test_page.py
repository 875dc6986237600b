"""The page as a file: its facts are the case's own numbers, nothing in it runs but its front end, kernels are found."""

from __future__ import annotations

import base64
import gzip
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from antagony.calibration import calibrate
from antagony.case import Case
from antagony.cli import app
from antagony.errors import AntagonyError, CompilerError, ReportError
from antagony.kernel import webassembly
from antagony.kernel.build import build_kernel
from antagony.page import document, kernels
from antagony.page.document import MARKER, STILL, fill_shell, pack, read_shell, write_page
from antagony.page.facts import Facts, fold_texts, gather_facts, name_by_title, unfold_text
from antagony.page.scenes import describe_scenes, drugs_of, is_antagonist, scene_times
from antagony.population import NOMINAL
from antagony.posterior.storage import read_answer
from antagony.regimen import parse_regimen
from antagony.simulation import Arm, simulate
from antagony.verdict import Verdict, reach_verdict

RIVALS = ("camp_crosstalk", "nmda_rest")
SHELL = f"<!doctype html><html><body>{STILL}{MARKER}<script>front()</script></body></html>"


def has_compiler() -> bool:
    try:
        webassembly.find_webassembly_compiler()
    except CompilerError:
        return False
    return True


needs_compiler = pytest.mark.skipif(not has_compiler(), reason="no WebAssembly compiler: clang with lld, or ziglang")


@pytest.fixture(scope="module")
def verdict(case: Case) -> Verdict:
    return reach_verdict(case, mechanisms=RIVALS, draws=8, patients=2)


@pytest.fixture(scope="module")
def facts(case: Case, verdict: Verdict) -> Facts:
    ranking = {
        "sentences": ["Run it."], "caveats": ["It hangs on draws."],
        "designs": [{"name": "d", "title": "D", "n": None, "bits": 0.2, "bits_error": 0.01, "decisive": 0.1,
                     "misleading": 0.01}],
    }  # fmt: skip
    return gather_facts(case, verdict, weighing=read_answer(case), ranking=ranking)


def unpacked(text: str, pattern: str) -> bytes:
    found = re.search(pattern, text)
    assert found is not None
    return gzip.decompress(base64.b64decode(found[1]))


# --- scenes ----------------------------------------------------------------------------------------------------------


def test_scenes_that_differ_in_dose_alone_become_one_with_a_slider(case: Case) -> None:
    scenes = {scene["id"]: scene for scene in describe_scenes(case)}
    assert len(scenes) == len(case.scenes) - 2
    (nasal,) = (scene for scene in scenes.values() if "esketamine" in scene["regimen"])
    assert nasal["title"] == "nasal esketamine"
    assert nasal["controls"][0]["allowed"] == [0.0, 28.0, 56.0, 84.0] and nasal["controls"][0]["high"] == 84.0
    free = scenes["ketamine_naltrexone"]["controls"]
    assert [(c["unit"], c["high"], c["allowed"]) for c in free] == [("mg", 100.0, None), ("mg/kg", 1.0, None)]
    assert [c["label"] for c in free] == ["naltrexone by mouth, 45 min before", "ketamine into a vein over 40 min"]
    assert scenes["oral_antidepressant"]["controls"][0]["label"] == "escitalopram by mouth every 24 h, 42 times"


@pytest.mark.parametrize("name", ["ketamine", "ketamine_naltrexone", "morphine_naltrexone", "oral_antidepressant"])
def test_moments_hold_the_marks_and_every_scene_opens_at_one(case: Case, name: str) -> None:
    scene = case.scenes[name]
    times = scene_times(scene)
    assert (np.diff(times) > 1e-6).all()
    assert times[0] <= min(-1.0, scene.regimen.first) and times[-1] == scene.until
    assert {0.0, 1.0} <= {*times} and (24.0 in times)
    told = next(s for s in describe_scenes(case) if s["id"] == name)
    assert told["opens"] in times and told["times"] == times.tolist()
    wanted = {"ketamine": 1.0, "ketamine_naltrexone": 1.0, "morphine_naltrexone": 2.0, "oral_antidepressant": 504.0}
    assert told["opens"] == pytest.approx(wanted[name], rel=0.03)


def test_published_numbers_lie_on_the_scene_s_clock_and_scale(case: Case) -> None:
    scenes = {scene["id"]: scene for scene in describe_scenes(case)}
    found = {(p["kind"], p["source"]): p for p in scenes["ketamine"]["observed"] if p["output"] == "score"}
    contrast = found["contrast", "murrough_2013"]
    assert (contrast["time"], contrast["value"], contrast["factor"]) == (24.0, -7.7, pytest.approx(52 / 60))
    assert contrast["low"] == pytest.approx(-7.7 - 1.96 * 2.48)
    change = found["change", "murrough_2013"]
    assert change["high"] - change["value"] == pytest.approx(1.96 * 10.97 / 47**0.5)
    (scan,) = (p for p in scenes["naltrexone"]["observed"] if p["text"].startswith("rabiner_2011"))
    assert (scan["time"], scan["value"]) == (4 - 0.75, 0.95)  # the scan was 4 h after a tablet that is taken at -45 min
    assert all(
        not p["output"].startswith("mu") for p in scenes["ketamine"]["observed"] if p["source"] == "williams_2018"
    )


def test_an_antagonist_is_known_by_what_it_does(case: Case) -> None:
    assert {name for name in drugs_of(case) if is_antagonist(case.drugs[name])} == {"naltrexone", "naloxone"}


# --- facts -----------------------------------------------------------------------------------------------------------


@needs_compiler
def test_rows_are_the_numbers_that_a_simulation_takes(case: Case, facts: Facts) -> None:
    """Read out of the native kernel's own table: calibrated nominal values under the case's trial."""
    from antagony.simulation import _Run

    for told in facts.values["mechanisms"]:
        model = facts.models[told["id"]]
        draws = calibrate(case, told["id"], NOMINAL).draws
        arm = Arm(parse_regimen("no drug"), (), case.trial)
        run = simulate(model, {"arm": arm}, [0.0], draws=draws, outputs=["score"])
        kernel = build_kernel(model.sbml, inputs=model.inputs)
        from antagony.population import TYPICAL
        from antagony.simulation import Tolerances

        runner = _Run(model, TYPICAL, draws, Tolerances(), False, 1)
        known = dict(zip(kernel.parameters, runner.parameters(kernel, arm)[0], strict=True))
        assert {*known} == {*told["kernel"]["parameters"]}
        assert [known[name] for name in told["kernel"]["parameters"]] == told["row"]
        atol = dict(zip(kernel.states, runner.atol(kernel), strict=True))
        assert [atol[name] for name in told["kernel"]["states"]] == told["kernel"]["atol"]
        assert run["score"].item() == pytest.approx(case.trial["score_baseline"])


@needs_compiler
def test_facts_hold_what_the_verdict_and_the_weighing_say(case: Case, verdict: Verdict, facts: Facts) -> None:
    values = facts.values
    weighing = read_answer(case)
    assert weighing is not None
    for answer, told in zip(verdict.mechanisms, values["mechanisms"], strict=True):
        assert (told["explains"], told["findings"], told["assumed"]) == (
            answer.explains,
            answer.findings,
            answer.assumed,
        )
        shares = [prior[answer.slug] for prior in weighing.probabilities.values()]
        assert told["probability"] == {"low": min(shares), "high": max(shares)} and min(shares) < max(shares)
        ours, reference = (weighing.weighed(slug).partial.value for slug in (answer.slug, "unexplained"))
        assert told["partial"]["value"] == pytest.approx(ours - reference)
        agreed = [f["results"][answer.slug]["agrees"] for f in values["findings"]]
        assert sum(bool(a) for a in agreed) == answer.explains and len(agreed) == answer.findings
        held = [c["results"][answer.slug]["holds"] for c in values["claims"] if not c["own"]]
        assert sum(held) == told["claimsKept"] and len(held) == len(answer.claims)
    assert {c["own"] for c in values["claims"]} == {"", *RIVALS}
    assert values["designs"]["ranked"][0] | {"note": "", "burden": None} == {
        "id": "d", "title": "D", "note": "", "n": None, "bits": 0.2, "bitsError": 0.01, "decisive": 0.1,
        "misleading": 0.01, "burden": None,
    }  # fmt: skip
    assert values["sources"]["williams_2018"]["url"] == "https://doi.org/10.1176/appi.ajp.2018.18020138"
    assert not any(s["url"] and not s["url"].startswith("https://") for s in values["sources"].values())


@needs_compiler
def test_every_symbol_of_a_graph_can_be_read_and_is_written_by_its_rest(facts: Facts) -> None:
    values = facts.values
    for told in values["mechanisms"]:
        for edge in told["edges"]:
            for symbol in (edge["from"], edge["to"]):
                assert values["nodes"][symbol]["output"] in told["kernel"]["outputs"]
    kinds = {symbol: node["kind"] for symbol, node in values["nodes"].items()}
    assert kinds["nmda_block"] == kinds["mu_occupancy_antagonist"] == "share"
    assert kinds["camp"] == kinds["mtorc1"] == "relative" and kinds["mu_activity"] == "plain"
    assert values["nodes"]["camp"]["output"] == "camp_relative"
    assert kinds["score"] == "points" and kinds["placebo_effect"] == kinds["bdnf"] == "plain"
    assert values["tracks"][0]["id"] == "receptors" and values["tracks"][-1]["outputs"] == ["score"]


@needs_compiler
def test_a_parameter_stands_once_where_rivals_agree_on_it(facts: Facts) -> None:
    rows = facts.values["parameters"]
    seen = [(r["id"], r["value"], r["grade"]) for r in rows]
    assert len(seen) == len({*seen})
    by_mechanism = {m["id"]: [rows[i] for i in m["parameters"]] for m in facts.values["mechanisms"]}
    for slug, own in by_mechanism.items():
        assert len({r["id"] for r in own}) == len(own)
        assert all(r["mechanisms"] is None or slug in r["mechanisms"] for r in own)
    halves = [r for r in rows if r["id"] == "drug_effect_half"]
    assert [r["mechanisms"] for r in halves] == [["camp_crosstalk"], ["nmda_rest"]]  # each solved for itself


@needs_compiler
def test_patients_are_drawn_as_a_simulation_draws_them(case: Case, facts: Facts) -> None:
    from antagony.population import sample_population

    rows = {p.id: p for m in facts.models.values() for p in (*m.parameters.values(), *m.dosing.values())}
    people = sample_population(rows.values(), 32, seed=1)
    told = facts.values["patients"]
    assert told["size"] == 32 and {*told["factors"]} == {*people.factors}
    for name, factors in people.factors.items():
        assert told["factors"][name] == factors.tolist()


def test_sentences_name_things_by_title() -> None:
    titles = {"hnk": "hydroxynorketamine", "gated_surge": "gated glutamate surge", "none": "no drug effect"}
    line = "gated_surge leads; none of hnk, gated_surges and not_gated_surge."
    assert name_by_title(line, titles) == "gated glutamate surge leads; none of hnk, gated_surges and not_gated_surge."
    assert name_by_title(line, {"none": "x"}) == line


def test_folded_texts_come_back() -> None:
    texts = {"a": "x\ny\nx\n\nz", "b": "y\nx\n\nz\nnew", "c": ""}
    folded = fold_texts({"antimony": texts})
    assert len(folded["lines"]) == len({*folded["lines"]}) == 5
    assert {name: unfold_text(folded["lines"], runs) for name, runs in folded["antimony"].items()} == texts
    assert folded["antimony"]["a"] == [0, 2, 0, 1, 2, 2]


# --- the file --------------------------------------------------------------------------------------------------------


@needs_compiler
def test_a_page_holds_its_facts_and_kernels_bit_for_bit(facts: Facts, tmp_path: Path) -> None:
    path = write_page(facts, tmp_path / "page.html", SHELL)
    text = path.read_text(encoding="utf-8")
    assert "<svg" in text and text.count('id="still"') == 1
    assert MARKER not in text and [p.name for p in tmp_path.iterdir()] == ["page.html"]
    told = json.loads(unpacked(text, r'id="facts">([^<]*)</script>'))
    assert told == json.loads(json.dumps(facts.values))
    for told_mechanism in told["mechanisms"]:
        slug = told_mechanism["id"]
        assert told_mechanism["row"] == facts.values["mechanisms"][RIVALS.index(slug)]["row"]
        code = unpacked(text, rf'data-mechanism="{slug}">([^<]*)</script>')
        assert code == facts.modules[slug].module and code[:4] == b"\0asm"
    assert fill_shell(SHELL, facts) == text


@needs_compiler
def test_hostile_words_cannot_leave_their_place(facts: Facts) -> None:
    hostile = "</script><img src=x onerror=alert(1)><!--"
    values = dict(facts.values) | {"title": hostile, "question": hostile}
    text = fill_shell(SHELL, replace(facts, values=values))
    assert "onerror" not in text and text.count("<script") == text.count("</script>") == 2 + len(RIVALS)
    assert json.loads(unpacked(text, r'id="facts">([^<]*)</script>'))["title"] == hostile


def test_what_is_no_number_is_refused() -> None:
    facts = Facts({"x": float("nan")}, {}, {})
    with pytest.raises(ValueError, match="not JSON compliant"):
        fill_shell(SHELL, facts)


@pytest.mark.parametrize("shell", ["<html></html>", MARKER * 2])
def test_a_shell_without_its_place_is_refused(shell: str) -> None:
    with pytest.raises(ReportError, match="make page"):
        fill_shell(shell, Facts({}, {}, {}))


def test_a_front_end_that_was_not_built_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(document, "SHELL", tmp_path / "shell.html")
    with pytest.raises(ReportError, match="not built"):
        read_shell()


def test_the_committed_shell_asks_no_host_for_anything() -> None:
    text = read_shell()
    assert text.count(MARKER) == 1
    policy = re.search(r'http-equiv="Content-Security-Policy"\s+content="([^"]*)"', text)
    assert policy is not None and "default-src 'none'" in policy[1]
    assert "http:" not in policy[1] and "https:" not in policy[1] and "*" not in policy[1]
    assert not re.search(r'<(script|link|img|iframe)[^>]+(src|href)="(?!data:)', text)


def test_packing_gives_the_same_text_each_time() -> None:
    assert pack(b"abc" * 100) == pack(b"abc" * 100)


# --- kernels of a release --------------------------------------------------------------------------------------------


@needs_compiler
def test_kernels_of_a_release_are_found_without_a_compiler(
    case: Case, facts: Facts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernels, "FOLDER", tmp_path / "kernels")
    kernels.keep_modules(case, facts.models, facts.modules)
    stale = tmp_path / "kernels" / "0123-old-0000.json.gz"
    stale.write_bytes(b"")

    def refuse(*given: object, **more: object) -> Any:  # noqa: ANN401
        raise CompilerError("none here")

    monkeypatch.setattr(kernels, "build_webassembly", refuse)
    told: list[str] = []
    found = kernels.find_modules(case, facts.models, lambda text, done, total: told.append(text))
    for slug, module in facts.modules.items():
        assert found[slug].module == module.module and found[slug].parameters == module.parameters
        assert (found[slug].defaults == module.defaults).all() and found[slug].fingerprint == module.fingerprint
    assert told == [f"{slug}: WebAssembly" for slug in RIVALS]
    changed = replace(case)
    object.__setattr__(changed, "hash", "f" * 16)
    with pytest.raises(CompilerError, match="none here"):
        kernels.find_modules(changed, facts.models, lambda *given: None)
    kernels.keep_modules(case, facts.models, facts.modules)
    assert not stale.exists()
    for file in (tmp_path / "kernels").iterdir():
        file.write_bytes(file.read_bytes()[:-200])  # damaged: it counts as absent
    with pytest.raises(CompilerError, match="none here"):
        kernels.find_modules(case, facts.models, lambda *given: None)


def hide_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine with a C compiler only."""

    def refuse() -> Any:  # noqa: ANN401
        raise CompilerError("none here")

    monkeypatch.setattr(kernels, "find_webassembly_compiler", refuse)
    monkeypatch.setattr(webassembly, "find_webassembly_compiler", refuse)


def test_a_missing_compiler_is_said_before_any_work(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(kernels, "FOLDER", tmp_path / "none")
    hide_compiler(monkeypatch)

    def work(*given: object, **more: object) -> Any:  # noqa: ANN401
        raise AssertionError("the work began")

    monkeypatch.setattr("antagony.verdict.reach_verdict", work)
    done = CliRunner().invoke(app, ["page", "-o", str(tmp_path / "page.html"), "--mechanism", "none"])
    assert isinstance(done.exception, CompilerError), done.exception
    assert not (tmp_path / "page.html").exists()


@needs_compiler
def test_without_a_compiler_the_kernels_of_a_release_are_enough(
    case: Case, facts: Facts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernels, "FOLDER", tmp_path / "kernels")
    kernels.keep_modules(case, facts.models, facts.modules)
    hide_compiler(monkeypatch)
    kernels.check_modules(case, RIVALS, drugs_of(case), lambda *given: None)
    with pytest.raises(CompilerError, match="none here"):
        kernels.check_modules(case, [*RIVALS, "none"], drugs_of(case), lambda *given: None)


def test_other_code_takes_no_shipped_kernel(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    model = case.mechanism("none", drugs_of(case))
    known = kernels._path(case, model)
    monkeypatch.setattr(kernels, "CODE", kernels.CODE[:-1])
    assert kernels._path(case, model) != known


@pytest.mark.parametrize(
    ("options", "said"),
    [(["-o", "page.pdf"], "unknown ending"), (["--keep", "--mechanism", "none"], "leave out --mechanism")],
)
def test_what_cannot_be_written_is_refused_before_the_work(options: list[str], said: str) -> None:
    done = CliRunner().invoke(app, ["page", *options])
    assert isinstance(done.exception, AntagonyError) and said in str(done.exception)


@needs_compiler
@pytest.mark.slow
def test_the_command_writes_one_page(tmp_path: Path) -> None:
    out = tmp_path / "p.html"
    done = CliRunner().invoke(app, ["page", "-o", str(out), "--mechanism", "none", "--draws", "4", "--patients", "2"])
    assert done.exit_code == 0, done.output
    assert f"page: {out}" in done.output.replace("\n", "") and out.stat().st_size > 50_000
    told = json.loads(unpacked(out.read_text(encoding="utf-8"), r'id="facts">([^<]*)</script>'))
    assert [m["id"] for m in told["mechanisms"]] == ["none"] and told["designs"] is None
