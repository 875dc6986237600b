"""All that a page is told, as plain values: mechanisms with their kernels' names, scenes, claims, studies, results.

The keys are those of page/src/data.ts, which says what each one means.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np

from .. import __version__
from ..calibration import calibrate
from ..case import Case
from ..display import RELATIVE, SCORE, read_display, shown_output
from ..kernel.webassembly import WebAssembly
from ..mechanism import Mechanism
from ..parameters import Parameter
from ..population import NOMINAL, sample_population
from ..posterior.answer import Weighing
from ..replay import Replay
from ..report import describe_observed
from ..simulation import UNIT_SCALE, Tolerances
from ..verdict import MechanismVerdict, Progress, Verdict, read_bibliography
from .kernels import find_modules
from .scenes import describe_drug, describe_scenes, drugs_of
from .still import draw_still

FORMAT = 1
PATIENTS = 32  # of the bands, a power of two for the points they come from
SHARES = re.compile(r"\b(blocked|block|held|share)\b")  # titles of outputs that are shares between 0 and 1
RESTING = 1e-6
WEIGHT = 70.0  # kg of the typical patient, where no row says


@dataclass(frozen=True, slots=True)
class Facts:
    """The plain values of a page, by mechanism its model and WebAssembly module, and a picture where none can run."""

    values: Mapping[str, Any]
    models: Mapping[str, Mechanism]
    modules: Mapping[str, WebAssembly]
    still: str = ""


def gather_facts(
    case: Case,
    verdict: Verdict,
    *,
    weighing: Weighing | None = None,
    ranking: Mapping[str, Any] | None = None,
    seed: int = 1,
    progress: Progress | None = None,
) -> Facts:
    """Everything that the page of a case shows. Raises CompilerError where no module can be made."""
    slugs = [answer.slug for answer in verdict.mechanisms]
    drugs = drugs_of(case)
    models = {slug: case.mechanism(slug, drugs) for slug in slugs}
    modules = find_modules(case, models, progress or (lambda text, done, total: None))
    rows = {slug: _nominal_row(case, slug, modules[slug]) for slug in slugs}
    numbers = _parameters(models, rows, modules)
    probabilities = _probabilities(weighing)
    dosing = {p.id: p.nominal for model in models.values() for p in model.dosing.values()}
    values = _head(case, next(iter(modules.values())).compiler, seed) | {
        "trial": _trial(case, dosing.get("bodyweight", WEIGHT)),
        "outputs": _outputs(models.values()),
        "nodes": _nodes(case, verdict),
        "tracks": _tracks(case, verdict),
        "drugs": {name: describe_drug(case.drugs[name]) for name in drugs},
        "dosing": dosing,
        "scenes": describe_scenes(case),
        "mechanisms": [
            _mechanism(case, answer, models[answer.slug], modules[answer.slug], rows[answer.slug])
            | {
                "probability": probabilities.get(answer.slug),
                "partial": _partial(weighing, answer.slug),
                "parameters": numbers.of[answer.slug],
            }
            for answer in verdict.mechanisms
        ],
        "patients": _patients(models.values(), seed),
        "parameters": numbers.rows,
        "texts": fold_texts(
            {"antimony": {s: m.antimony for s, m in models.items()}, "sbml": {s: m.sbml for s, m in models.items()}}
        ),
        "claims": _claims(verdict),
        "findings": _findings(case, verdict),
        "weighing": _weighing(weighing),
        "designs": _designs(ranking),
        "sources": _sources(case),
        "caveats": [name_by_title(line, {a.slug: a.title for a in verdict.mechanisms}) for line in verdict.fragile],
    }
    return Facts(values, models, modules, draw_still(verdict.mechanisms[0], values["tracks"]))


def _head(case: Case, compiler: str, seed: int) -> dict[str, Any]:
    """What the page is about, and how its numbers came about."""
    tolerances = Tolerances()
    return {
        "format": FORMAT,
        "title": case.title,
        "question": case.question,
        "disclaimer": case.disclaimer,
        "cutoff": case.cutoff,
        "version": __version__,
        "caseHash": case.hash,
        "made": date.today().isoformat(),
        "compiler": compiler,
        "seed": seed,
        "tolerances": {"relative": tolerances.relative, "absolute": tolerances.absolute},
    }


# --- numbers ---------------------------------------------------------------------------------------------------------


def _nominal_row(case: Case, slug: str, module: WebAssembly) -> np.ndarray:
    """Nominal parameters in the kernel's order: calibrated, under the case's default trial."""
    row = module.defaults.copy()
    drawn = calibrate(case, slug, NOMINAL).draws.values
    given = {name: float(values[0]) for name, values in drawn.items()} | dict(case.trial)
    for i, name in enumerate(module.parameters):
        row[i] = given.get(name, row[i])
    return row


def _trial(case: Case, weight: float) -> dict[str, Any]:
    scale = next((s.name for s in case.scales.values() if s.top == case.trial.get("score_max")), "score")
    return {
        "scale": scale,
        "max": case.trial.get("score_max", 1.0),
        "baseline": case.trial.get("score_baseline", 0.0),
        "bodyweight": weight,
    }


def _patients(models: Iterable[Mechanism], seed: int) -> dict[str, Any]:
    """The same virtual patients for every mechanism."""
    rows = {p.id: p for model in models for p in (*model.parameters.values(), *model.dosing.values())}
    people = sample_population(rows.values(), PATIENTS, seed=seed)
    factors = {name: factor.tolist() for name, factor in people.factors.items()}
    return {"size": people.size, "seed": seed, "factors": factors}


@dataclass(frozen=True, slots=True)
class _Numbers:
    """Rows of the table of parameters, and which of them each mechanism has."""

    rows: list[dict[str, Any]]
    of: dict[str, list[int]]


def _parameters(
    models: Mapping[str, Mechanism], rows: Mapping[str, np.ndarray], modules: Mapping[str, WebAssembly]
) -> _Numbers:
    """Every number once where mechanisms agree on it, else once for each value."""
    table: list[dict[str, Any]] = []
    places: dict[tuple[str, float, str], int] = {}
    of: dict[str, list[int]] = {}
    for slug, model in models.items():
        used = dict(zip(modules[slug].parameters, rows[slug].tolist(), strict=True))
        of[slug] = []
        for p in {**model.parameters, **model.dosing}.values():
            value = used.get(p.id, p.nominal)
            key = (p.id, value, p.grade)
            if key not in places:
                places[key] = len(table)
                table.append(_parameter(p, value) | {"mechanisms": []})
            table[places[key]]["mechanisms"].append(slug)
            of[slug].append(places[key])
    for row in table:
        if len(row["mechanisms"]) == len(models):
            row["mechanisms"] = None
    return _Numbers(table, of)


def _parameter(p: Parameter, value: float) -> dict[str, Any]:
    return {
        "id": p.id,
        "value": value,
        "unit": p.unit,
        "meaning": p.name,
        "grade": p.grade,
        "source": p.source,
        "prior": p.prior.text if p.prior else "",
    }


# --- what is shown ---------------------------------------------------------------------------------------------------


def _mechanism(
    case: Case, answer: MechanismVerdict, model: Mechanism, module: WebAssembly, row: np.ndarray
) -> dict[str, Any]:
    wiring = case.wiring(answer.slug)
    return {
        "id": answer.slug,
        "title": answer.title,
        "group": answer.group,
        "groupId": wiring.group,
        "statement": answer.statement,
        "reference": answer.reference,
        "edges": [
            {"from": e.source, "to": e.target, "sign": e.sign, "parameter": e.parameter, "note": e.note}
            for e in wiring.edges
        ],
        "explains": answer.explains,
        "findings": answer.findings,
        "claimsKept": sum(r.holds for r in answer.claims),
        "calibrated": answer.calibrated,
        "assumed": answer.assumed,
        "numbers": answer.numbers,
        "kernel": {
            "fingerprint": module.fingerprint,
            "lanes": module.lanes,
            "states": list(module.states),
            "parameters": list(module.parameters),
            "inputs": list(module.inputs),
            "outputs": list(module.outputs),
            "atol": [Tolerances().absolute * UNIT_SCALE.get(model.state_units.get(s, ""), 1.0) for s in module.states],
        },
        "row": row.tolist(),
        "outputs": list(model.outputs),
    }


def _outputs(models: Iterable[Mechanism]) -> dict[str, Any]:
    return {
        symbol: {"title": o.title, "short": o.short or o.title, "unit": "" if o.unit == "dimensionless" else o.unit}
        for model in models
        for symbol, o in model.outputs.items()
    }


def _nodes(case: Case, verdict: Verdict) -> dict[str, Any]:
    """How each symbol of the causal graphs is read and written."""
    named = {
        symbol: answer
        for answer in verdict.mechanisms
        for edge in case.wiring(answer.slug).edges
        for symbol in (edge.source, edge.target)
    }
    return {symbol: _node(case, answer, symbol) for symbol, answer in named.items()}


def _node(case: Case, answer: MechanismVerdict, symbol: str) -> dict[str, Any]:
    output = shown_output(case, symbol)
    known = case.outputs[output]
    return {"output": output, "label": known.short or known.title, "kind": _kind(answer, output, known.title)}


def _kind(answer: MechanismVerdict, output: str, title: str) -> str:
    """How an output is written, by its value at rest: before the first dose of the scenes."""
    if output == SCORE:
        return "points"
    rest = float(answer.curves[output].isel(arm=0, draw=0, subject=0, time=0))
    if abs(rest) < RESTING and SHARES.search(title):
        return "share"
    return "relative" if output.endswith(RELATIVE) or abs(rest - 1) < RESTING else "plain"


def _tracks(case: Case, verdict: Verdict) -> list[dict[str, Any]]:
    """The stacked charts: shares in one, named as the column that holds them, then each further output by itself."""
    answer = verdict.mechanisms[0]
    display = read_display(case)
    kinds = {n: _kind(answer, n, case.outputs[n].title) for n in display.outputs if n in answer.curves}
    shares = [name for name, kind in kinds.items() if kind == "share"]
    title = next((c.title for c in display.columns if {*shares} == {*c.outputs}), "shares")
    title = title[:1].upper() + title[1:]
    tracks = [{"id": "receptors", "title": title, "outputs": shares, "kind": "share"}] if shares else []
    for name, kind in kinds.items():
        if kind != "share":
            title = case.outputs[name].short or case.outputs[name].title
            tracks.append({"id": name, "title": title, "outputs": [name], "kind": kind})
    return tracks


def _claims(verdict: Verdict) -> list[dict[str, Any]]:
    claims: dict[str, dict[str, Any]] = {}
    for answer in verdict.mechanisms:
        for result, own in ((r, own) for own, rs in ((False, answer.claims), (True, answer.own_claims)) for r in rs):
            key = f"{answer.slug}/{result.claim.id}" if own else result.claim.id
            claim = claims.setdefault(
                key,
                {
                    "id": result.claim.id,
                    "statement": result.claim.statement,
                    "source": result.claim.source,
                    "own": answer.slug if own else "",
                    "results": {},
                },
            )
            share, error = _shown(result.share), _shown(result.share_error)
            claim["results"][answer.slug] = {"holds": result.holds, "share": share, "error": error}
    return list(claims.values())


def _findings(case: Case, verdict: Verdict) -> list[dict[str, Any]]:
    """Findings that count, with what each mechanism predicts."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for answer in verdict.mechanisms:
        for replay in answer.replays:
            if replay.counts:
                study = case.studies[replay.study]
                row = found.setdefault(
                    (replay.study, replay.finding.id),
                    {
                        "id": f"{replay.study}/{replay.finding.id}",
                        "study": study.title,
                        "year": study.date[:4],
                        "text": replay.text,
                        "observed": describe_observed(replay),
                        "source": replay.finding.source or study.reference,
                        "animals": not study.is_human,
                        "results": {},
                    },
                )
                row["results"][answer.slug] = _prediction(replay)
    return list(found.values())


def _prediction(replay: Replay) -> dict[str, Any]:
    numbers = {name: getattr(replay, name) for name in ("predicted", "low", "high")}
    return {"agrees": replay.agrees} | {k: _shown(v) if np.isfinite(v) else None for k, v in numbers.items()}


def _shown(value: float) -> float:
    """Four digits: what is read, not computed with."""
    return float(f"{value:.4g}")


# --- results of other questions --------------------------------------------------------------------------------------


def _probabilities(weighing: Weighing | None) -> dict[str, dict[str, float]]:
    """The lowest and the highest probability of each rival over the stated priors: never one number."""
    found: dict[str, list[float]] = {}
    for shares in weighing.probabilities.values() if weighing else ():
        for slug, share in shares.items():
            found.setdefault(slug, []).append(share)
    return {slug: {"low": min(shares), "high": max(shares)} for slug, shares in found.items()}


def _partial(weighing: Weighing | None, slug: str) -> dict[str, float] | None:
    """Log partial Bayes factor of a mechanism over `unexplained`."""
    if weighing is None:
        return None
    ours, reference = weighing.weighed(slug).partial, weighing.mechanisms[-1].partial
    return {"value": ours.value - reference.value, "error": float(np.hypot(ours.error, reference.error))}


def _weighing(weighing: Weighing | None) -> dict[str, Any] | None:
    if weighing is None:
        return None
    titles = {w.slug: w.title for w in weighing.mechanisms}
    return {
        "priors": [weighing.prior_titles.get(prior, prior) for prior in weighing.probabilities],
        "sentences": [name_by_title(line, titles) for line in weighing.sentences],
        "fragile": [name_by_title(line, titles) for line in weighing.fragile],
    }


def name_by_title(line: str, titles: Mapping[str, str]) -> str:
    """A sentence with titles in place of ids; an id that is an ordinary word too stays as it is."""
    ids = [name for name in titles if "_" in name]
    return re.sub(rf"\b({'|'.join(ids)})\b", lambda found: titles[found[1]], line) if ids else line


def _designs(ranking: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """A kept ranking, which is plain values already."""
    if ranking is None:
        return None
    kept = [
        {
            "id": d["name"],
            "title": d.get("title", d["name"]),
            "note": d.get("note", ""),
            "n": d["n"],
            "bits": d["bits"],
            "bitsError": d["bits_error"],
            "decisive": d["decisive"],
            "misleading": d["misleading"],
            "burden": d.get("burden"),
        }
        for d in ranking["designs"]
    ]
    titles = {d["id"]: f"“{d['title']}”" for d in kept}
    told = {key: [name_by_title(line, titles) for line in ranking[key]] for key in ("sentences", "caveats")}
    return told | {"ranked": kept}


def _sources(case: Case) -> dict[str, Any]:
    return {key: {"text": text, "url": _address(text)} for key, text in read_bibliography(case).items()}


def _address(text: str) -> str:
    """The address of a source, where its entry holds a DOI or a web address."""
    if found := re.search(r"\b10\.\d{4,9}/\S+", text):
        return f"https://doi.org/{found[0].rstrip('.,;)')}"
    if found := re.search(r"https?://\S+|\b[\w-]+(\.[\w-]+)+/\S*", text):
        address = found[0].rstrip(".,;)")
        return address if address.startswith("http") else f"https://{address}"
    return ""


# --- texts -----------------------------------------------------------------------------------------------------------


def fold_texts(kinds: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    """Texts as runs of lines that are kept once: a dozen models share nearly all of theirs.

    A text is [first line, how many] by turns.
    """
    lines: list[str] = []
    places: dict[str, int] = {}
    folded: dict[str, dict[str, list[int]]] = {}
    for kind, texts in kinds.items():
        folded[kind] = {}
        for name, text in texts.items():
            numbers = []
            for line in text.split("\n"):
                if line not in places:
                    places[line] = len(lines)
                    lines.append(line)
                numbers.append(places[line])
            folded[kind][name] = _runs(numbers)
    return {"lines": lines, **folded}


def unfold_text(lines: Sequence[str], runs: Sequence[int]) -> str:
    """A folded text."""
    pairs = zip(runs[::2], runs[1::2], strict=True)
    return "\n".join(line for first, count in pairs for line in lines[first : first + count])


def _runs(numbers: Sequence[int]) -> list[int]:
    runs: list[int] = []
    for number in numbers:
        if runs and runs[-2] + runs[-1] == number:
            runs[-1] += 1
        else:
            runs += [number, 1]
    return runs
