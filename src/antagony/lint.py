"""Everything that a case holds, checked by small functions of one sentence each.

What a single file can say about itself is refused when it is read; here stand the checks that need the whole case.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .case import REPORT_FILE, Case
from .claim import Claim
from .composition import LEFT_HAND_SIDE, check_units
from .condition import Condition
from .design import SCORE, missing_targets
from .display import read_display
from .errors import AntagonyError, CaseError, near_miss
from .mechanism import Mechanism
from .parameters import GRADES, Parameter
from .study import Design, Finding, Study, Trial, trial_values

SOURCELESS = ("assumed", "definition")
"""Grades of numbers that nobody need have published."""

SIGNS = ("direction", "none_different")
"""Kinds of findings that a study in animals may have."""

USED_ELSEWHERE = "used by trials"
"""In a row's note: the number is read outside the models, so that no equation needs it."""

BUILT_IN_UNITS = ("dimensionless", "litre", "second", "mole", "metre", "kilogram", "gram", "item")
"""Units that model text knows without the prelude."""

_BIB_KEY = re.compile(r"^\s*@\w+\s*\{\s*([^,\s]+)\s*,", re.MULTILINE)
_UNIT_NAME = re.compile(r"\bunit\s+([A-Za-z_]\w*)\s*=")


@dataclass(frozen=True, slots=True)
class Issue:
    """One thing that is wrong ("error") or worth a look ("warning") in a case, and where it stands."""

    level: Literal["error", "warning"]
    where: str
    message: str


Check = Callable[[Case], Iterator[Issue]]
Progress = Callable[[str, int, int], None]


def lint_case(case: Case, *, progress: Progress | None = None) -> list[Issue]:
    """Issues of all checks, errors first; an empty list means a sound case. `progress` is told before each check."""
    tell = progress or (lambda text, done, total: None)
    efforts = [COMPOSING.get(check, 1) for check in CHECKS]
    found: list[Issue] = []
    for i, check in enumerate(CHECKS):
        tell(check.__name__.removeprefix("check_").replace("_", " "), sum(efforts[:i]), sum(efforts))
        found += check(case)
    return sorted(dict.fromkeys(found), key=lambda issue: issue.level)


def count_grades(case: Case) -> dict[str, dict[str, int]]:
    """How many numbers of each grade a case holds: {"parameters": {grade: count}, "studies": .., "designs": ..}.

    Definitions (units, probes at rest) are no numbers of anybody's and are not counted.
    """
    parameters = [row.grade for row in _rows(case)]
    studies: list[str] = []
    for study in case.studies.values():
        trial = study.trial
        studies += [number.grade for number in (*trial.numbers.values(), trial.baseline_sd) if number is not None]
        studies += [grade for arm in study.design.arms for grade in (arm.n_grade, arm.cue_grade) if grade]
        studies += [grade for finding in study.findings for grade in finding.grades.values()]
    designs: list[str] = []
    for plan in case.designs.values():
        designs += [number.grade for number in (*plan.trial.numbers.values(), plan.trial.baseline_sd) if number]
        designs += [grade for arm in plan.design.arms for grade in (arm.cue_grade,) if grade]
        designs += [e.reading.grade for e in plan.estimands if e.reading]
        designs += [plan.feasibility.grade] if plan.feasibility else []
    counted = {"parameters": Counter(parameters), "studies": Counter(studies)}
    if designs:
        counted["designs"] = Counter(designs)
    return {kind: {g: counts[g] for g in GRADES if g != "definition"} for kind, counts in counted.items()}


def describe_grades(case: Case) -> str:
    """The grades of a case's numbers in one line."""
    parts = [
        f"{kind} {', '.join(f'{count} {grade}' for grade, count in counts.items())}"
        for kind, counts in count_grades(case).items()
    ]
    return f"Numbers: {'; '.join(parts)}."


# --- models --------------------------------------------------------------------------------------------------------


def check_models(case: Case) -> Iterator[Issue]:
    """Every mechanism composes without drugs and with all, one with each drug alone, and all units agree."""
    alone: list[tuple[str, ...]] = [(name,) for name in case.dosable]
    for i, slug in enumerate(case.wirings):  # a drug's text meets the wiring only through sums that all share
        sets: list[tuple[str, ...]] = [(), case.dosable, *([] if i else alone)]
        found = (issue for drugs in dict.fromkeys(sets) for issue in _model_issues(case, slug, drugs, {}))
        yield from dict.fromkeys(found)  # a formula is at fault once, whichever drugs are there


def check_variants(case: Case) -> Iterator[Issue]:
    """Every variant names parameters in its mechanism's scope, and one with a wiring of its own composes."""
    for slug, wiring in case.wirings.items():
        for variant in wiring.variants:
            chosen = {variant.axis: variant.name}
            try:
                case.parameters(slug, chosen)
            except CaseError as error:
                yield Issue("error", f"mechanisms/{slug}/mechanism.toml", str(error))
                continue
            if variant.changes_equations:
                yield from _model_issues(case, slug, case.dosable, chosen)


def check_edges(case: Case) -> Iterator[Issue]:
    """Every arrow of a mechanism's graph joins readouts or states, and its parameter has a row."""
    for slug, wiring in case.wirings.items():
        where = f"mechanisms/{slug}/mechanism.toml, key chain"
        symbols, rows = _readable(case, slug, case.dosable), case.parameters(slug)
        for edge in wiring.edges:
            for name in (edge.source, edge.target):
                if symbols and name not in symbols:
                    yield Issue("error", where, f'no readout or state "{name}"{near_miss(name, symbols)}')
            if edge.parameter and edge.parameter not in rows:
                yield Issue("error", where, f'no parameter "{edge.parameter}"{near_miss(edge.parameter, rows)}')


def check_routes(case: Case) -> Iterator[Issue]:
    """Every dose arrives in a state that the drug, or one that it requires, brings along."""
    for name in case.dosable:
        for slug in list(case.wirings)[:1]:  # a drug's states are the same in all
            mechanism = _composed(case, slug, [name])
            states = set(mechanism.state_units) if mechanism else set()
            for route, way in case.drugs[name].routes.items():
                for target in way.targets:
                    if states and target.state not in states:
                        message = f'key routes.{route}: no state "{target.state}"{near_miss(target.state, states)}'
                        yield Issue("error", f"drugs/{name}/drug.toml", message)


def check_listing(case: Case) -> Iterator[Issue]:
    """Every folder of a mechanism is named in case.toml, or nobody will ever ask it."""
    for file in sorted(case.folder.glob("mechanisms/*/mechanism.toml")):
        if file.parent.name not in case.wirings:
            yield Issue("warning", f"mechanisms/{file.parent.name}", "not among the mechanisms of case.toml")


def check_classes(case: Case) -> Iterator[Issue]:
    """Where case.toml has classes, every mechanism but a reference is of one of them: weighing compares classes."""
    for where, what in case.class_faults():
        yield Issue("error", where, what)


def check_display(case: Case) -> Iterator[Issue]:
    """What the display file of a case shows exists, and there is a scene to draw."""
    try:
        read_display(case)
    except CaseError as error:
        yield Issue("error", REPORT_FILE, str(error))
    if not case.scenes:
        yield Issue("warning", "case.toml, key scenes", "none, so there is no verdict and no page: [scenes.<name>]")


def _model_issues(case: Case, slug: str, drugs: tuple[str, ...], variants: Mapping[str, str]) -> Iterator[Issue]:
    chosen = "".join(f", {axis}={name}" for axis, name in variants.items())
    where = f"{slug} with {' + '.join(drugs) or 'no drug'}{chosen}"
    try:
        mechanism = case.mechanism(slug, drugs, variants)
    except CaseError as error:
        yield Issue("error", where, str(error))
        return
    for symbol, message in check_units(mechanism.sbml):
        about = f'"{symbol}": {message}' if symbol else message
        yield Issue("error", _formula_place(case, slug, drugs, symbol) or where, about)


def _formula_place(case: Case, slug: str, drugs: tuple[str, ...], symbol: str) -> str:
    """File and line where a symbol is defined; empty where a text of the case does not hold it."""
    files = [f"mechanisms/{slug}/wiring.ant", *(f"drugs/{name}/model.ant" for name in drugs)]
    for name in [*files, *(f"parts/{part}.ant" for part in case.parts)]:
        path = case.folder / name
        for match in LEFT_HAND_SIDE.finditer(path.read_text(encoding="utf-8") if path.is_file() else ""):
            if match[1] == symbol:
                return f"{name}, line {match.string.count(chr(10), 0, match.start(1)) + 1}"
    return ""


def _composed(
    case: Case, slug: str, drugs: Iterable[str], variants: Mapping[str, str] | None = None
) -> Mechanism | None:
    """The mechanism, or None where it does not compose, which `check_models` and `check_variants` say."""
    try:
        return case.mechanism(slug, drugs, variants)
    except CaseError:
        return None


def _readable(case: Case, slug: str, drugs: Iterable[str]) -> set[str]:
    """Readouts and states of a mechanism with these drugs; empty where it does not compose."""
    mechanism = _composed(case, slug, drugs)
    return {*mechanism.outputs, *mechanism.state_units} if mechanism else set()


# --- numbers -------------------------------------------------------------------------------------------------------


def check_units_known(case: Case) -> Iterator[Issue]:
    """Every parameter's unit is one that the prelude defines."""
    known = {*_UNIT_NAME.findall(case.prelude), *BUILT_IN_UNITS}
    for row in _rows(case):
        if row.unit not in known:
            miss = near_miss(row.unit, known)
            yield Issue("error", _place(case, row), f'"{row.id}": unknown unit "{row.unit}"{miss}')


def check_sources(case: Case) -> Iterator[Issue]:
    """Every number's source is in references.bib; only an assumed number or a definition may have none."""
    known = set(_bibliography(case))
    for row in _rows(case):
        if row.source:
            yield from _source_issues(row.source, known, _place(case, row), row.id)
        elif row.grade not in SOURCELESS:
            yield Issue("error", _place(case, row), f'"{row.id}" is graded {row.grade} but names no source')
    for where, source, name in _other_sources(case):
        yield from _source_issues(source, known, where, name)


def check_references(case: Case) -> Iterator[Issue]:
    """Every key stands in references.bib once."""
    keys = _bibliography(case)
    for key in sorted({key for key in keys if keys.count(key) > 1}):
        yield Issue("error", "references.bib", f'the key "{key}" stands there twice')


def check_one_row(case: Case) -> Iterator[Issue]:
    """A parameter has one row in all the tables of a case."""
    first: dict[str, Parameter] = {}
    for row in _rows(case):
        other = first.setdefault(row.id, row)
        if other is not row:
            yield Issue("error", _place(case, row), f'"{row.id}" has a row already: {_place(case, other)}')


def check_unused(case: Case) -> Iterator[Issue]:
    """Every row is needed by a model, a dose, a variant or a trial."""
    used: set[str] = set(case.trial)
    for slug, wiring in case.wirings.items():
        rewired = [{v.axis: v.name} for v in wiring.variants if v.changes_equations]
        for chosen in [{}, *rewired]:
            mechanism = _composed(case, slug, case.dosable, chosen)
            if mechanism is None:
                return  # what it would have needed is unknown
            used |= {*mechanism.parameters, *mechanism.dosing}
        used |= {name for variant in wiring.variants for name in (*variant.values, *variant.priors)}
    used |= {name for study in case.studies.values() for name in study.trial.numbers}
    used |= {act.by for probe in case.probes.values() for act in probe.acts}
    for row in _rows(case):
        if row.id not in used and USED_ELSEWHERE not in row.note:
            message = f'"{row.id}" is used by nothing (if trials read it, note "{USED_ELSEWHERE}")'
            yield Issue("warning", _place(case, row), message)


def _rows(case: Case) -> Iterator[Parameter]:
    yield from case.shared.values()
    for owner in (*case.drugs.values(), *case.wirings.values()):
        yield from owner.parameters.values()


def _place(case: Case, row: Parameter) -> str:
    """File, relative to the case, and line of a row."""
    file = Path(row.file)
    shown = file.relative_to(case.folder).as_posix() if file.is_relative_to(case.folder) else row.file
    return f"{shown}, line {row.line}"


def _bibliography(case: Case) -> list[str]:
    file = case.folder / "references.bib"
    return _BIB_KEY.findall(file.read_text(encoding="utf-8")) if file.is_file() else []


def _source_issues(source: str, known: Iterable[str], where: str, name: str) -> Iterator[Issue]:
    key = source.split(",", 1)[0].strip()
    if key not in known:
        yield Issue("error", where, f'"{name}": references.bib has no source "{key}"{near_miss(key, known)}')


def _other_sources(case: Case) -> Iterator[tuple[str, str, str]]:
    """(where, source, name) of every source outside the parameter tables."""
    for name, drug in case.drugs.items():
        targets = [target for route in drug.routes.values() for target in route.targets]
        for source in [*(label.source for label in drug.labels), *(target.source for target in targets)]:
            if source:
                yield f"drugs/{name}/drug.toml", source, name
    for where, claim, _ in _claims(case):
        yield where, claim.source, claim.id
    for study in case.studies.values():
        yield f"studies/{study.id}.toml, key reference", study.reference, study.id
        for finding in study.findings:
            yield f"studies/{study.id}.toml", finding.source, finding.id


# --- claims --------------------------------------------------------------------------------------------------------


def check_claims_asked(case: Case) -> Iterator[Issue]:
    """A claim names mechanisms that exist, and ids are given once for each of them."""
    for where, claim, _ in _claims(case):
        for slug in claim.only_for:
            if slug not in case.wirings:
                yield Issue("error", where, f'key only_for: no mechanism "{slug}"{near_miss(slug, case.wirings)}')
    shared = {claim.id for claim in case.claims}
    for slug, claims in case.own_claims.items():
        for claim in claims:
            if claim.id in shared:
                yield Issue("error", f"mechanisms/{slug}/claims.toml", f'claims.toml has a claim "{claim.id}" already')


def check_claims_readable(case: Case) -> Iterator[Issue]:
    """A claim's output exists in every mechanism that is asked, and so does every parameter that it probes."""
    for where, claim, asked in _claims(case):
        faults = list(_condition_faults(case, claim.conditions))
        yield from (Issue("error", where, fault) for fault in faults)
        if faults:
            continue
        drugs = {drug for condition in claim.conditions for drug in case.regimen(condition.regimen).drugs}
        for slug in asked:
            known, rows = _readable(case, slug, drugs), case.parameters(slug)
            if known and claim.output not in known:
                miss = near_miss(claim.output, known)
                yield Issue("error", where, f'key output: {slug} has no output "{claim.output}"{miss}')
            for name in _probed(case, claim.conditions):
                if name not in rows:
                    yield Issue("error", where, f'key probes: {slug} has no parameter "{name}"{near_miss(name, rows)}')


def _claims(case: Case) -> Iterator[tuple[str, Claim, tuple[str, ...]]]:
    """(where, claim, mechanisms that are asked) of the shared claims and of each mechanism's own."""
    for claim in case.claims:
        asked = tuple(slug for slug in case.wirings if not claim.only_for or slug in claim.only_for)
        yield f'claims.toml, claim "{claim.id}"', claim, asked
    for slug, claims in case.own_claims.items():
        for claim in claims:
            yield f'mechanisms/{slug}/claims.toml, claim "{claim.id}"', claim, (slug,)


def _condition_faults(case: Case, conditions: Iterable[Condition]) -> Iterator[str]:
    """What is wrong with the drugs, routes and probes of conditions; their grammar was checked when they were read."""
    for condition in conditions:
        try:
            case.regimen(condition.regimen)
        except AntagonyError as error:
            yield f"regimen: {error}"
        try:
            case.spell_out(condition.probes)
        except AntagonyError as error:
            yield f"probes: {error}"


def _probed(case: Case, conditions: Iterable[Condition]) -> list[str]:
    """Every parameter that the probes of some conditions act on or take their value from."""
    spelt = [probe for condition in conditions for probe in case.spell_out(condition.probes)]
    return [name for probe in spelt for name in (probe.parameter, probe.by) if name]


# --- studies -------------------------------------------------------------------------------------------------------


def check_studies(case: Case) -> Iterator[Issue]:
    """A study gives the case's drugs by their routes, sets parameters that exist and reads outputs that exist."""
    rows = {row.id for row in _rows(case)}
    outputs = {*case.outputs, *(output.symbol for drug in case.drugs.values() for output in drug.outputs)}
    for study in case.studies.values():
        for fault in _study_faults(case, study, rows, outputs):
            yield Issue("error", f"studies/{study.id}.toml", fault)


def check_designs(case: Case) -> Iterator[Issue]:
    """A design gives the case's drugs by their routes; what it sets, reads and acts on exists."""
    rows = {row.id for row in _rows(case)}
    outputs = {*case.outputs, *(output.symbol for drug in case.drugs.values() for output in drug.outputs)}
    targets = rows | {receptor.name for receptor in case.receptors}
    for name, plan in case.designs.items():
        where = f"designs/{name}.toml"
        if name in case.studies:
            yield Issue("error", where, f"studies/{name}.toml has the name already")
        for arm in plan.design.arms:
            for fault in _condition_faults(case, [arm.condition]):
                yield Issue("error", where, f'arm "{arm.id}", {fault}')
        for number in plan.trial.numbers:
            if number not in rows:
                yield Issue("error", where, f'key trial: no parameter "{number}"{near_miss(number, rows)}')
        for estimand in plan.estimands:
            if estimand.output not in outputs:
                miss = near_miss(estimand.output, outputs)
                yield Issue("error", where, f'estimands "{estimand.id}", key output: no "{estimand.output}"{miss}')
        for target in missing_targets(plan, targets):  # such a design is shown, and refused by name
            yield Issue("warning", where, f'key targets: no mechanism has "{target}"{near_miss(target, targets)}')


def check_trial_numbers(case: Case) -> Iterator[Issue]:
    """A number of a trial lies inside its own prior."""
    for study in case.studies.values():
        for name, number in study.trial.numbers.items():
            lower, upper = number.prior.support if number.prior else (number.value, number.value)
            if number.prior and not lower <= number.value <= upper:
                message = f"{number.value:g} lies outside its prior {number.prior.text}"
                yield Issue("error", f"studies/{study.id}.toml, key trial.{name}", message)


def check_ratings(case: Case) -> Iterator[Issue]:
    """Where a score is rated, its output, its scale and its baseline are known."""
    for where, trial, outputs in _trials(case):
        if SCORE not in outputs:
            continue
        for name in ("score_max", "score_baseline"):
            if name not in trial_values(trial, case.trial):
                yield Issue("error", f"{where}, key trial", f'no "{name}", and [trial] of case.toml has none either')


def check_cues(case: Case) -> Iterator[Issue]:
    """A comparator that can be felt sets a parameter that exists, and periods begin anew where the case says how."""
    rows = {row.id for row in _rows(case)}
    for where, design in _designs(case):
        for arm in design.arms:
            if arm.comparator_cue and case.cue not in rows:
                message = f'no parameter "{case.cue}", so nothing would be felt{near_miss(case.cue, rows)}'
                yield Issue("error", f'{where}, arm "{arm.id}", key comparator_cue', message)
        if design.kind == "crossover" and case.periods is None:
            message = "a crossover, but case.toml has no [periods]: no placebo course begins anew in the second"
            yield Issue("warning", f"{where}, key design.kind", message)


def _designs(case: Case) -> Iterator[tuple[str, Design]]:
    yield from ((f"studies/{study.id}.toml", study.design) for study in case.studies.values())
    yield from ((f"designs/{name}.toml", plan.design) for name, plan in case.designs.items())


def _trials(case: Case) -> Iterator[tuple[str, Trial, set[str]]]:
    """(where, trial, outputs that are read) of every study and design."""
    for study in case.studies.values():
        yield f"studies/{study.id}.toml", study.trial, {finding.output for finding in study.findings}
    for name, plan in case.designs.items():
        yield f"designs/{name}.toml", plan.trial, {estimand.output for estimand in plan.estimands}


def check_samples(case: Case) -> Iterator[Issue]:
    """An overlap names the sample of another study, and no two studies score the same people on the same outcome."""
    samples = {study.sample for study in case.studies.values()}
    scored: dict[tuple[str, str], str] = {}
    for study in case.studies.values():
        where = f"studies/{study.id}.toml"
        for name in study.overlaps:
            if name not in samples:
                yield Issue("error", where, f'key overlaps: no study has the sample "{name}"{near_miss(name, samples)}')
        for finding in _scored(study):
            other = scored.setdefault((study.sample, finding.output), study.id)
            if other != study.id:
                yield Issue("error", where, f'"{finding.id}" scores the people of {other} again ({study.sample})')
    for study in case.studies.values():
        for finding in _scored(study):
            for other in filter(None, (scored.get((name, finding.output)) for name in study.overlaps)):
                message = f'"{finding.id}" scores some people of {other} again; one of the two is weighed = false'
                yield Issue("error", f"studies/{study.id}.toml", message)


def check_weighing(case: Case) -> Iterator[Issue]:
    """A study that is weighed has a primary finding, and one that is not has its reason and no primary finding."""
    for study in case.studies.values():
        where, primary = f"studies/{study.id}.toml", [f.id for f in study.findings if f.primary]
        if study.weighed and not primary:
            yield Issue("error", where, "key findings: none is primary, so nothing of a weighed study would be scored")
        if study.weighed and study.reason:
            yield Issue("error", where, "key reason: it tells why a study is not weighed, and this one is")
        if not study.weighed and not study.reason:
            yield Issue("error", where, "key reason: a study that is not weighed says why")
        if not study.weighed and primary:
            yield Issue("error", where, f'"{primary[0]}" is primary, but the study is not weighed')
        for finding in study.findings:
            if finding.kind == "hazard_ratio" and finding.primary:
                yield Issue("error", where, f'"{finding.id}" is a hazard ratio, which is never weighed')


def check_paradigms(case: Case) -> Iterator[Issue]:
    """A study in animals or cells names its paradigm and has signs for findings; one in people has no paradigm."""
    for study in case.studies.values():
        where = f"studies/{study.id}.toml"
        if study.is_human == bool(study.paradigm):
            message = "people have none" if study.is_human else f"missing; in which test was the {study.species}?"
            yield Issue("error", where, f"key paradigm: {message}")
        for finding in study.findings:
            if not study.is_human and finding.kind not in SIGNS:
                message = (
                    f'"{finding.id}" is of kind {finding.kind}; of animals only a sign counts ({", ".join(SIGNS)})'
                )
                yield Issue("error", where, message)


def _scored(study: Study) -> list[Finding]:
    return [finding for finding in study.findings if finding.primary and study.weighed]


def check_calibration(case: Case) -> Iterator[Issue]:
    """The outcome scale is a known parameter, solved from a contrast with a value, a time and two arms."""
    rule = case.calibration
    if rule is None:
        return
    if rule.parameter not in case.shared:
        miss = near_miss(rule.parameter, case.shared)
        yield Issue("error", "case.toml, key calibration.parameter", f'no shared parameter "{rule.parameter}"{miss}')
    if rule.study not in case.studies:
        miss = near_miss(rule.study, case.studies)
        yield Issue("error", "case.toml, key calibration.study", f'no study "{rule.study}"{miss}')
        return
    findings = {finding.id: finding for finding in case.studies[rule.study].findings}
    where = "case.toml, key calibration.finding"
    if rule.finding not in findings:
        yield Issue("error", where, f'{rule.study} has no finding "{rule.finding}"{near_miss(rule.finding, findings)}')
    elif not _can_calibrate(findings[rule.finding]):
        yield Issue("error", where, f'"{rule.finding}" is no contrast with a value at a time')


def check_probes(case: Case) -> Iterator[Issue]:
    """A named probe acts on a shared parameter, and takes its size from one."""
    for name, probe in case.probes.items():
        for act in probe.acts:
            for row in filter(None, (act.parameter, act.by)):
                if row not in case.shared:
                    miss = near_miss(row, case.shared)
                    yield Issue("error", f"case.toml, key probes.{name}", f'no shared parameter "{row}"{miss}')


def check_trial(case: Case) -> Iterator[Issue]:
    """The default trial sets parameters that exist."""
    for name in case.trial:
        if name not in case.shared:
            yield Issue("error", f"case.toml, key trial.{name}", f"no shared parameter{near_miss(name, case.shared)}")


def _study_faults(case: Case, study: Study, rows: set[str], outputs: set[str]) -> Iterator[str]:
    for arm in study.design.arms:
        faults = list(_condition_faults(case, [arm.condition]))
        yield from (f'arm "{arm.id}", {fault}' for fault in faults)
        for name in [] if faults else _probed(case, [arm.condition]):
            if name not in rows:
                yield f'arm "{arm.id}", key probes: no parameter "{name}"{near_miss(name, rows)}'
    for name in study.trial.numbers:
        if name not in rows:
            yield f'key trial: no parameter "{name}"{near_miss(name, rows)}'
    for finding in study.findings:
        if finding.output not in outputs:
            miss = near_miss(finding.output, outputs)
            yield f'finding "{finding.id}", key output: no output "{finding.output}"{miss}'


def _can_calibrate(finding: Finding) -> bool:
    return finding.kind == "contrast" and finding.value is not None and finding.time is not None


CHECKS: tuple[Check, ...] = (
    check_models,
    check_variants,
    check_edges,
    check_routes,
    check_listing,
    check_classes,
    check_display,
    check_units_known,
    check_sources,
    check_references,
    check_one_row,
    check_unused,
    check_claims_asked,
    check_claims_readable,
    check_studies,
    check_designs,
    check_trial_numbers,
    check_ratings,
    check_cues,
    check_samples,
    check_weighing,
    check_paradigms,
    check_calibration,
    check_probes,
    check_trial,
)

COMPOSING: Mapping[Check, int] = {check_models: 50, check_variants: 50, check_claims_readable: 50}
"""Checks that compose many models, and how many of the others' steps such a one counts for in a bar of progress."""
