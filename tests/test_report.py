"""The report is one whole file that asks nobody for anything, tells everything in words, and is the same each time."""

from __future__ import annotations

import math
import re
import shutil
import subprocess
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import xarray as xr
from html_page import Page

from antagony.claim import Claim
from antagony.claims import ClaimResult, Separation
from antagony.condition import Condition, Probe
from antagony.display import Column
from antagony.errors import ReportError
from antagony.figures import plot_overview, plot_scenes, scene_doses, svg_text
from antagony.replay import Replay
from antagony.report import describe_test, save_picture, write_report
from antagony.study import Finding
from antagony.verdict import MechanismVerdict, Settings, SourceNote, Verdict

MINUS = "\N{MINUS SIGN}"
HOSTILE = "<script>alert('x')</script> & \"quoted\""
SCENES = {
    "ketamine": "ketamine alone: ketamine 0.5 mg/kg iv over 40 min",
    "ketamine_naltrexone": "ketamine after naltrexone: naltrexone 50 mg po at -45 min; ketamine 0.5 mg/kg iv",
    "naltrexone": "naltrexone alone: naltrexone 50 mg po at -45 min",
    "morphine": f"morphine {HOSTILE}: morphine 30 mg iv",
}
TITLES = {"nmda_block": "NMDA receptors blocked", "mu_occupancy_antagonist": "mu receptors held by an antagonist"} | {
    "camp_relative": "cAMP, relative to rest",
    "mtorc1_relative": "mTORC1 activity, relative to rest",
    "score": "symptom score; falls when patients improve",
}
COLUMNS = (
    Column("receptors held", {"nmda_block": "NMDA", "mu_occupancy_antagonist": "mu"}),
    *(Column(name, {name: ""}) for name in ("camp_relative", "mtorc1_relative", "score")),
)
TIMES = np.sinh(np.linspace(np.arcsinh(-4.0), np.arcsinh(672.0), 61)) / 4


def a_claim(name: str, **changes: object) -> Claim:
    given = Condition("ketamine 0.5 mg/kg iv over 40 min", (Probe("pde_activity", scale=0.5, start=0.0),))
    base = Claim(
        id=name, statement=f"Statement of {name} {HOSTILE}.", source="hopkins_2019", given=given, versus=Condition(),
        reference=None, output="mtorc1_relative", at=None, within=(0.0, 24.0), statistic="max", measure="ratio",
        relation="rises", margin=0.1, value=None, tags=("S2",), note="a note",
    )  # fmt: skip
    return replace(base, **changes)  # type: ignore[arg-type]


def a_result(claim: Claim, slug: str, margin: float, share: float) -> ClaimResult:
    separating = (
        () if margin >= 0 else (Separation("pka_brake_hill", 0.41, True), Separation("opioid_tone", 0.2, False))
    )
    error = math.sqrt(share * (1 - share) / 2000)
    return ClaimResult(claim, slug, 1.1 + margin, margin, margin >= 0, share, error, 2000, separating)


def a_replay(name: str, slug: str, predicted: float, *, kind: str = "contrast", **changes: object) -> Replay:
    calibrates = bool(changes.pop("calibrates", False))
    sign = 1 if kind == "direction" else None
    finding = Finding(
        id=name, kind=kind, arms=("a", "b"), output="score", scale="MADRS", score_max=60, time=24.0, within=None,  # type: ignore[arg-type]
        statistic="last", value=None, se=None, sd=(), n=(), k=None, share=None, threshold=None, sign=sign,
        significant=None, p_below=None, grades={}, source="murrough_2013", primary=True, calibrates=calibrates, note="",
    )  # fmt: skip
    observed = None if kind == "direction" else -7.7
    text = f"murrough_2013: {name}, ketamine v midazolam, 24 h"
    agrees = predicted > 0 if kind == "direction" else abs(predicted + 7.7) < 4
    base = Replay(
        study="murrough_2013", finding=finding, mechanism=slug, text=text,
        unit="points", predicted=predicted, low=predicted - 4, high=predicted + 4, observed=observed,
        observed_low=None if observed is None else -12.0, observed_high=None if observed is None else -3.4,
        agrees=None if math.isnan(predicted) else agrees, calibrates=calibrates, note="64 calibrated draws",
    )  # fmt: skip
    return replace(base, **changes)  # type: ignore[arg-type]


def curves(lift: float, blocked: float) -> tuple[xr.Dataset, xr.Dataset]:
    """Plausible shapes: `lift` of mTORC1 under ketamine, the share of it that naltrexone leaves is 1 - `blocked`."""
    after = np.clip(TIMES, 0, None)
    ketamine = {"ketamine": 1.0, "ketamine_naltrexone": 1.0}
    naltrexone = {"ketamine_naltrexone": 1.0, "naltrexone": 1.0}
    since = np.clip(TIMES + 0.75, 0, None)
    shapes = {name: [] for name in TITLES}
    for arm in SCENES:
        k, n = ketamine.get(arm, 0.0), naltrexone.get(arm, 0.0)
        block = 0.22 * k * (np.exp(-after / 3) - np.exp(-after / 0.4))
        held = 0.93 * n * (1 - np.exp(-since / 0.4)) * np.exp(-since / 90)
        drive = k * lift * (1 - blocked * n)
        shapes["nmda_block"].append(block)
        shapes["mu_occupancy_antagonist"].append(held)
        shapes["camp_relative"].append(1 + 0.35 * held)
        shapes["mtorc1_relative"].append(1 + drive * after / 3 * np.exp(1 - after / 3) * 0.6)
        shapes["score"].append(
            25 - 5 * (1 - np.exp(-after / 14)) - 9 * drive * (np.exp(-after / 120) - np.exp(-after / 5))
        )
    axes = ("arm", "draw", "subject", "time")
    coordinates = {"arm": list(SCENES), "time": TIMES}
    run = xr.Dataset(
        {n: (axes, np.array(v)[:, None, None, :], {"long_name": TITLES[n]}) for n, v in shapes.items()}, coordinates
    )
    spread = np.array([0.7, 1.0, 1.3])[None, :, None]
    rest = {n: np.array(v)[:, :1] for n, v in shapes.items()}
    bands = {n: (("arm", "quantile", "time"), rest[n][:, None] + (np.array(v) - rest[n])[:, None] * spread)
             for n, v in shapes.items()}  # fmt: skip
    return run, xr.Dataset(bands, {"arm": list(SCENES), "quantile": [0.05, 0.5, 0.95], "time": TIMES})


def a_mechanism(
    slug: str, lift: float, blocked: float, *, claims: tuple[Claim, ...], **changes: object
) -> MechanismVerdict:
    run, bands = curves(lift, blocked)
    replays = (
        a_replay("contrast_24h", slug, -7.0 * lift, calibrates=True),
        a_replay("contrast_72h", slug, -6.0 * lift if lift else math.nan),
        a_replay("naltrexone_24h", slug, 6 * blocked * lift - 0.1, kind="direction"),
        a_replay("contrast_1_week", slug, -5.0 * lift, weighed=False),
    )
    base = MechanismVerdict(
        slug=slug, title=slug.replace("_", " "), statement=f"What {slug} says {HOSTILE}.", group="class of " + slug,
        reference=slug == "none", scale=12.3, calibrated=lift > 0, outside_prior=slug == "nmda_rest",
        calibrated_share=0.9 * (lift > 0),
        inside_prior_share=0.5 * (lift > 0),
        claims=tuple(
            a_result(c, slug, 0.2 if lift and i % 3 else -0.1, 0.8 if lift else 0.0) for i, c in enumerate(claims)
        ),
        own_claims=(a_result(a_claim(f"own_{slug}"), slug, 0.1, 0.7),), replays=replays,
        explains=2 if lift else 0, findings=2,
        assumed=41, numbers=132, failures=(), curves=run, bands=bands,
    )  # fmt: skip
    return replace(base, **changes)  # type: ignore[arg-type]


def a_verdict() -> Verdict:
    claims = (
        a_claim("s2_mtorc1"),
        a_claim(
            "s4_camp",
            relation="at_least",
            measure="value",
            value=1.05,
            margin=0.0,
            at=2.0,
            within=None,
            statistic="last",
        ),
    )
    mechanisms = (
        a_mechanism("camp_crosstalk", 1.0, 0.9, claims=claims),
        a_mechanism("nmda_rest", 1.0, 0.0, claims=claims[:1], failures=("naltrexone, draw 3: <stopped>",)),
        a_mechanism("none", 0.0, 0.0, claims=claims),
    )
    settings = Settings(2000, 500, 1, 1e-6, 1e-8, "0.1.0", "0123456789abcdef", ("k1", "k2"), "cc (GCC) 12", 81.2)
    sources = (SourceNote("otto_2021", f"Otto {HOSTILE}. 2021. 10.1007/s00228-021-03104-1.", 12),)
    return Verdict(
        title=f"Title {HOSTILE}",
        question=f"Question {HOSTILE}?",
        disclaimer=f"Disclaimer {HOSTILE}.",
        scenes=SCENES,
        mechanisms=mechanisms,
        summary=(f"Summary {HOSTILE}.",),
        fragile=tuple(f"Fragile {i} {HOSTILE}." for i in range(14)),
        studies=(f"murrough_2013 (2013): {HOSTILE}", "williams_2018 (2018)"),
        sources=sources,
        settings=settings,
        columns=COLUMNS,
    )


def a_small_verdict() -> Verdict:
    """One mechanism, one scene: quick to draw."""
    verdict = a_verdict()
    return replace(verdict, mechanisms=verdict.mechanisms[:1], scenes={"ketamine": SCENES["ketamine"]})


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(a_verdict(), tmp_path_factory.mktemp("report") / "verdict.html")


@pytest.fixture(scope="module")
def page(written: Path) -> Page:
    return Page(written.read_text(encoding="utf-8"))


def test_the_file_is_whole_and_alone(written: Path, page: Page) -> None:
    assert written.read_text(encoding="utf-8").rstrip().endswith("</html>")
    assert page.open == []
    assert [p.name for p in written.parent.iterdir()] == ["verdict.html"]


def test_nothing_is_requested_from_any_host(written: Path, page: Page) -> None:
    assert not {"script", "link", "img", "iframe", "object", "base"} & {tag for tag, _ in page.tags}
    text = written.read_text(encoding="utf-8")
    assert not re.findall(r"@import|url\((?!#)", text)
    assert not [a for _, a in page.tags if a.get("src") or any(name.startswith("on") for name in a)]
    outside = {a["href"] for tag, a in page.tags if not a.get("href", "#").startswith("#") if tag == "a"}
    assert outside == {"https://doi.org/10.1007/s00228-021-03104-1"}
    assert all(a.get(n, "#").startswith("#") for tag, a in page.tags if tag != "a" for n in ("href", "xlink:href"))


def test_every_mechanism_claim_finding_study_and_source_appears(page: Page) -> None:
    verdict = a_verdict()
    wanted = [m.slug for m in verdict.mechanisms] + [m.group for m in verdict.mechanisms]
    wanted += [r.claim.id for m in verdict.mechanisms for r in (*m.claims, *m.own_claims)]
    wanted += [r.text for m in verdict.mechanisms for r in m.replays]
    wanted += [*verdict.studies, *verdict.summary, *verdict.fragile, verdict.question, verdict.disclaimer]
    wanted += [s.key for s in verdict.sources]
    wanted += ["0123456789abcdef", "k1", "k2", "cc (GCC) 12", "naltrexone, draw 3: <stopped>"]
    assert len(wanted) > 40
    assert [words for words in wanted if " ".join(words.split()) not in page.text] == []


def test_answers_are_told_in_words_and_numbers(page: Page) -> None:
    for words in (
        "✓ holds margin 0.2 80.0 ± 0.9 %",
        f"✗ broken margin {MINUS}0.1",
        "not asked",
        "cannot be calibrated",
        "outside its prior",
        "explains 2 of 2",
        "41 of 132",
        "contrast_1_week not weighed, not counted",
        "contrast_24h nominal values solved from it, not counted",
        "no prediction",
        "more than 0, size not published",
        "pka_brake_hill high (0.41), opioid_tone low (0.20)",
        "pde_activity x 0.5 from 0 h",
    ):
        assert words in page.text, words


def test_hostile_text_is_escaped_everywhere(written: Path, page: Page) -> None:
    text = written.read_text(encoding="utf-8")
    assert "<script" not in text
    assert text.count("&lt;script&gt;") > 20
    assert HOSTILE in page.text


def test_the_page_can_be_read_aloud(page: Page) -> None:
    tags = [tag for tag, _ in page.tags]
    levels = [int(tag[1]) for tag in tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert dict(page.tags)["html"]["lang"] == "en"
    assert tags.count("table") == tags.count("caption") > 3
    assert tags.count("figure") == tags.count("figcaption") > 3
    assert all(a.get("scope") in ("col", "row") for tag, a in page.tags if tag == "th")
    drawings = [a for tag, a in page.tags if tag == "svg"]
    assert len(drawings) == 1 + 3 * 2 + 4  # overview; main and further scenes; findings
    assert all(a["role"] == "img" and a["aria-label"] for a in drawings)


def test_ids_are_unique_and_every_reference_has_one(written: Path, page: Page) -> None:
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids)) > 20
    used = set(re.findall(r"url\(#([^)]+)\)|href=\"#([^\"]+)\"", written.read_text(encoding="utf-8")))
    assert {a or b for a, b in used} <= set(ids)


def test_the_same_verdict_gives_the_same_bytes(written: Path, tmp_path: Path) -> None:
    again = write_report(a_verdict(), tmp_path / "again.html")
    assert again.read_bytes() == written.read_bytes()
    first, second = (save_picture(a_small_verdict(), tmp_path / name).read_bytes() for name in ("a.svg", "b.svg"))
    assert first == second
    assert b"<dc:date>" not in first


@pytest.mark.parametrize("write", [write_report, save_picture])
def test_an_unwritable_target_leaves_nothing(write: object, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for target in (tmp_path / "missing" / "verdict.html", tmp_path / "folder"):
        with pytest.raises(ReportError, match=r"cannot be written|no name of a file"):
            write(a_small_verdict(), target)  # type: ignore[operator]
    assert [p.name for p in tmp_path.rglob("*")] == ["folder"]


def test_a_failing_write_keeps_the_older_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "verdict.html"
    target.write_text("older")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(ReportError, match="no space left"):
        write_report(a_small_verdict(), target)
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("verdict.html", "older")]


def test_the_picture_is_well_formed_and_needs_no_font(tmp_path: Path) -> None:
    root = ElementTree.parse(save_picture(a_small_verdict(), tmp_path / "overview.svg")).getroot()
    assert root.tag.endswith("svg") and root.get("role") == "img"
    assert not list(root.iter("{http://www.w3.org/2000/svg}text"))


def test_figures_hold_a_line_for_each_scene() -> None:
    verdict = a_verdict()
    answer = verdict.mechanisms[0]
    figure = plot_scenes(answer, {name: SCENES[name] for name in ("ketamine", "naltrexone")})
    panel = figure.axes[3]
    np.testing.assert_array_equal(
        np.array([line.get_ydata() for line in panel.lines[:2]]),
        answer.curves["mtorc1_relative"].sel(arm=["ketamine", "naltrexone"]).to_numpy()[:, 0, 0],
    )
    assert len({(line.get_color(), line.is_dashed()) for line in panel.lines[:2]}) == 2
    overview = plot_overview(verdict, SCENES)
    assert len(overview.axes) == len(verdict.mechanisms) * len(COLUMNS)
    assert {text.get_text() for text in overview.axes[0].texts} >= {"receptors held", "NMDA", "mu"}
    plain = plot_overview(replace(verdict, columns=()), SCENES)  # a case that names no columns
    assert len(plain.axes) == len(verdict.mechanisms) * len(answer.bands.data_vars)


def test_a_mechanism_without_known_outputs_is_drawn_all_the_same() -> None:
    answer = a_verdict().mechanisms[0]
    renamed = answer.curves[["score"]].rename(score="weight")
    renamed["weight"].attrs.clear()
    other = replace(answer, curves=renamed, bands=xr.Dataset())
    assert ">weight</text>" in svg_text(plot_scenes(other, SCENES), "other", "label")


def test_user_settings_of_matplotlib_change_nothing() -> None:
    import matplotlib

    answer = a_small_verdict().mechanisms[0]
    plain = svg_text(plot_scenes(answer, SCENES), "name", "label")
    with matplotlib.rc_context(
        {"font.size": 30, "font.family": "monospace", "axes.grid": True, "svg.fonttype": "path"}
    ):
        before = dict(matplotlib.rcParams)
        assert svg_text(plot_scenes(answer, SCENES), "name", "label") == plain
        assert dict(matplotlib.rcParams) == before


def test_a_reference_has_no_scale_to_solve(tmp_path: Path) -> None:
    verdict = a_small_verdict()
    answer = replace(verdict.mechanisms[0], reference=True)
    text = write_report(replace(verdict, mechanisms=(answer,)), tmp_path / "verdict.html").read_text(encoding="utf-8")
    assert "no effect to scale" in text and "does not apply" in text
    assert "solved:" not in text


def test_doses_of_a_scene_are_read_from_its_prescription() -> None:
    assert [(d.drug, d.time) for d in scene_doses(SCENES["ketamine_naltrexone"])] == [
        ("naltrexone", -0.75),
        ("ketamine", 0),
    ]
    assert scene_doses("a title without a prescription") == ()


def test_a_claim_is_described_by_what_it_demands() -> None:
    assert describe_test(a_claim("x")) == "mtorc1_relative rises by 0.1 or more (relative), largest from 0 h to 24 h"
    at_most = a_claim("x", relation="at_most", measure="value", value=0.2, at=0.75, within=None)
    assert describe_test(at_most) == "mtorc1_relative is at most 0.2, at 45 min"


BROWSER = next((found for name in ("chromium", "google-chrome", "chrome") if (found := shutil.which(name))), None)
PAPER = 1016  # width of A4 across within its margins [CSS pixels]
MEASURE = """<script>addEventListener("load", () => {
  const edge = document.documentElement.clientWidth;
  const wide = [...document.querySelectorAll("table, svg")].filter(e => e.getBoundingClientRect().right > edge + 1);
  const high = [...document.querySelectorAll("svg")].filter(e => e.getBoundingClientRect().height > 96 / 2.54 * 22.1);
  const cells = document.querySelectorAll(".replayed thead th").length;
  document.body.textContent = `wide ${wide.length} high ${high.length} cells ${cells} edge ${edge}`;
});</script></body>"""


@pytest.mark.skipif(BROWSER is None, reason="no browser that lays the page out: chromium or google-chrome")
def test_what_is_printed_of_twelve_rivals_fits_its_paper(tmp_path: Path) -> None:
    verdict = a_small_verdict()
    claims = tuple(result.claim for result in verdict.mechanisms[0].claims)
    rivals = tuple(a_mechanism(f"opioid_potentiation_{i}", 1.0, 0.9, claims=claims) for i in range(12))
    text = write_report(replace(verdict, mechanisms=rivals), tmp_path / "v.html").read_text(encoding="utf-8")
    printed = text.replace("@media print", "@media all").replace("</body>", MEASURE)
    (tmp_path / "p.html").write_text(printed, encoding="utf-8")
    command = [
        str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}",
        "--hide-scrollbars", f"--window-size={PAPER},900", "--dump-dom", (tmp_path / "p.html").as_uri(),
    ]  # fmt: skip
    shown = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if shown.returncode:
        pytest.skip(f"the browser does not start: {shown.stderr[-200:]}")
    assert f"wide 0 high 0 cells 14 edge {PAPER}" in shown.stdout


def test_in_print_headings_stay_with_what_they_head(written: Path) -> None:
    text = written.read_text(encoding="utf-8")
    kept = re.findall(r'<details class="rival"[^>]*>\s*<summary>.*?</figure>', text, re.DOTALL)
    assert len(kept) == len(a_verdict().mechanisms)
    assert re.search(r'<div class="tall">\s*<h2 id="curves">Curves</h2>\s*<figure', text)
    rules = text[text.index("@media print") :]
    for selector in (r"\.rival", "tr", "figure"):
        assert re.search(rf"{selector}\b[^{{}}]*{{ break-inside: avoid; }}", rules), selector
    assert "summary { break-after: avoid; }" in rules and "thead { display: table-header-group" in rules
