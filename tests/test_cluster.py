"""A cluster gives the bits of this machine, whoever is lost on the way, and says in one sentence what it cannot."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import pytest

import antagony
from antagony import cluster as clusters
from antagony import workers
from antagony.case import Case, open_case
from antagony.cluster import open_workers, tell_apart
from antagony.design import REALISTIC
from antagony.errors import ClusterError, StudyError
from antagony.planning import expectations
from antagony.planning.ranking import Ask, Ranker, rank_plans
from antagony.posterior import bank, cloud
from antagony.posterior.weighing import weigh
from antagony.trial import simulate_trials
from antagony.verdict import reach_verdict
from antagony.weighing_report import weighing_table
from antagony.workers import Tell, Threads, count_steps, count_threads

Client = pytest.importorskip("distributed", reason="the extra cluster is not installed").Client

EXAMPLE = Path(__file__).parent.parent / "docs" / "examples" / "psilocybin"
PAIR = ["receptor", "expectancy"]
ASK = Ask(rivals=tuple(PAIR), effort="quick", exclude=("asleep",))
FORECASTS = 4  # of two plans in a structure each
START = 60.0  # s for a process of dask to come up on a busy machine


class Farm:
    """A scheduler and workers on this machine, each a process with a cache folder of its own."""

    def __init__(self, folder: Path, protocol: str = "tcp", **settings: str) -> None:
        self.folder, self.processes = folder, list[subprocess.Popen[bytes]]()
        known = folder / "scheduler.json"
        words = ("--host", "127.0.0.1", "--port", "0", "--protocol", protocol, "--scheduler-file", str(known))
        self.scheduler = self._start("scheduler", *words, **settings)
        until(lambda: known.is_file() and known.read_text().rstrip().endswith("}"))
        self.address: str = json.loads(known.read_text())["address"]
        self.watch: Any = Client(self.address, set_as_default=False, timeout=START)

    def add(self, name: str, threads: int = 1, /, **settings: str) -> subprocess.Popen[bytes]:
        """One more worker, once the scheduler knows it. BLAS has one thread there, as under dask's own nanny."""
        before = self.count()
        settings = {"ANTAGONY_CACHE": str(self.folder / name), "OPENBLAS_NUM_THREADS": "1", **settings}
        worker = self._start(
            "worker", self.address, "--no-nanny", "--nthreads", str(threads), "--local-directory",
            str(self.folder / f"{name}-scratch"), **settings,
        )  # fmt: skip
        until(lambda: self.count() > before)
        return worker

    def _start(self, *words: str, **settings: str) -> subprocess.Popen[bytes]:
        paths = [settings.pop("PYTHONPATH", ""), str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
        settings["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
        with (self.folder / f"{len(self.processes)}.log").open("wb") as log:
            command = [sys.executable, "-m", "dask", *words, "--no-dashboard"]
            process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **settings})
        self.processes.append(process)
        return process

    def count(self) -> int:
        """Workers that the scheduler knows."""
        return len(self.watch.scheduler_info()["workers"])

    def remove(self, worker: subprocess.Popen[bytes]) -> None:
        """End a worker, and wait until the scheduler knows."""
        before = self.count()
        worker.kill()
        worker.wait()
        until(lambda: self.count() < before)

    def close(self) -> None:
        with suppress(TimeoutError, OSError):
            self.watch.close(timeout=1)
        for process in self.processes:
            process.kill()
            process.wait()


def until(true: Callable[[], bool], patience: float = START) -> None:
    end = time.monotonic() + patience
    while not true():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    """Two workers."""
    made = Farm(tmp_path_factory.mktemp("farm"))
    try:
        made.add("one")
        made.add("two")
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def example() -> Case:
    return open_case(EXAMPLE)


class Folders:
    """Where this process keeps clouds and forecasts."""

    def __init__(self, patch: pytest.MonkeyPatch, root: Path) -> None:
        self.patch, self.root = patch, root

    def use(self, name: str) -> Path:
        folder = self.root / name / "kernels"
        folder.mkdir(parents=True, exist_ok=True)
        for module in (bank, cloud, expectations):
            self.patch.setattr(module, "cache_folder", lambda: folder)
        return folder


@pytest.fixture
def folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Folders:
    return Folders(monkeypatch, tmp_path)


@pytest.fixture(scope="module")
def alone(example: Case, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any, dict[str, bytes]]:
    """The weighing and the ranking of this machine alone, and what they stored."""
    with pytest.MonkeyPatch.context() as patch:
        folder = Folders(patch, tmp_path_factory.mktemp("alone")).use("here")
        weighed = weigh(example, mechanisms=PAIR, effort="quick")
        ranked = rank_plans(example, ASK)
    return weighed, ranked, stored(folder)


def stored(folder: Path) -> dict[str, bytes]:
    """Clouds, rows and forecasts by name; what only helps to make rows stays where they are made."""
    names = [*folder.glob("clouds/*.npz"), *folder.glob("forecasts/*.npz")]
    return {path.name: path.read_bytes() for path in names if "-again-" not in path.name}


def timeless(value: object) -> object:
    """A table without what was measured by the clock."""
    if isinstance(value, dict):
        return {k: timeless(v) for k, v in value.items() if k != "seconds"}
    return [timeless(v) for v in value] if isinstance(value, list | tuple) else value


def same(one: object, two: object) -> bool:
    """Equal to the bit as JSON has it."""
    return json.dumps(timeless(one), default=repr) == json.dumps(timeless(two), default=repr)


class Counting:
    """Workers that count the pieces they are given, by function."""

    def __init__(self, cluster: workers.Workers) -> None:
        self.cluster, self.afar, self.counts = cluster, cluster.afar, dict[str, int]()

    def run(self, function: Any, shared: Any, items: Sequence[Any], **others: Any) -> list[Any]:  # noqa: ANN401
        self.counts[function.__name__] = self.counts.get(function.__name__, 0) + len(items)
        return self.cluster.run(function, shared, items, **others)


# --- pieces of work --------------------------------------------------------------------------------------------------


def square(shared: int, item: int, tell: Tell) -> int:
    tell(f"{item}")
    return shared + item**2


def slowly(shared: float, item: int, tell: Tell) -> int:
    time.sleep(shared)
    return item


def refuse(shared: None, item: int, tell: Tell) -> int:
    if item == 0:
        raise StudyError(f"piece {item}: nobody can do this")
    time.sleep(1)
    return item


def ask_threads(shared: None, item: int, tell: Tell) -> int:
    return count_threads()


def die(shared: None, item: int, tell: Tell) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


# --- threads of this machine -----------------------------------------------------------------------------------------


def test_threads_keep_the_order_and_tell_each_as_it_comes() -> None:
    came, told = dict[int, int](), list[tuple[str, int, int]]()
    progress = count_steps(lambda *step: told.append(step), 7)
    assert Threads(3).run(square, 1, range(7), tell=progress, arrived=came.__setitem__) == [1 + i**2 for i in range(7)]
    assert came == {i: 1 + i**2 for i in range(7)}
    assert sorted(int(text) for text, _, _ in told) == [*range(7)]
    assert sorted(done for _, done, _ in told) == [*range(1, 8)]
    assert {total for _, _, total in told} == {7}


def test_a_piece_that_ran_twice_is_counted_once() -> None:
    told = list[int]()
    tell = count_steps(lambda text, done, total: told.append(done), 3)
    for text in ("a", "b", "b", "c"):
        tell(text)
    assert told == [1, 2, 3, 3]


def test_pieces_of_one_process_share_its_threads() -> None:
    """Four threads: four for one piece, two for each of two, and one where there are more pieces than threads."""
    everyone = count_threads()
    assert everyone == os.cpu_count()
    for pieces, expected in ((1, 4), (2, 2), (3, 1), (6, 1)):
        meet = Barrier(pieces)

        def piece(_: int, meet: Barrier = meet) -> int:
            with workers.ALLOWANCE.work(4):
                meet.wait(10)
                found = count_threads()
                meet.wait(10)
                return found

        with ThreadPoolExecutor(pieces) as pool:
            assert set(pool.map(piece, range(pieces))) == {expected}
    assert count_threads() == everyone


def test_a_machine_is_told_apart_by_the_first_difference() -> None:
    here = clusters.describe_machine()
    assert {"antagony", "Python", *clusters.LIBRARIES, "compiler", "compiler's target", "processor", "C library"} == {
        *here
    }
    assert {"numpy", "scipy", "sympy", "python-libsbml", "antimony"} == {*clusters.LIBRARIES}
    assert all(here.values())
    assert tell_apart(here, dict(here)) == ""
    assert tell_apart(here, here | {"numpy": "1.0"}) == f'its numpy is "1.0", here it is "{here["numpy"]}"'
    assert tell_apart({"processor": "x86 sse avx512f fma"}, {"processor": "x86 sse fma sve"}) == (
        "its processor lacks avx512f and has beside sve"
    )
    assert "compiler" in tell_apart(here, {k: v for k, v in here.items() if k != "compiler"})


def test_another_text_of_the_package_is_another_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python and C alike, by place and by content; what is no text of it does not count."""
    monkeypatch.setattr(clusters, "ROOT", tmp_path)
    (tmp_path / "kernel").mkdir()
    found = [clusters._fingerprint()]
    for name, text in (("a.py", ""), ("a.py", "x"), ("kernel/a.h", ""), ("kernel/a.h", "x"), ("kernel/b.py", "x")):
        (tmp_path / name).write_text(text)
        found.append(clusters._fingerprint())
    assert len({*found}) == 6
    (tmp_path / "a.pyc").write_text("")
    assert clusters._fingerprint() == found[-1]


# --- the same bits ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_cluster_weighs_and_ranks_to_the_same_bits(
    farm: Farm, example: Case, alone: tuple[Any, Any, dict[str, bytes]], folders: Folders
) -> None:
    folder, told = folders.use("cluster"), list[str]()
    with open_workers(farm.address) as cluster:
        counting = Counting(cluster)
        weighed = weigh(example, mechanisms=PAIR, effort="quick", workers=counting,
                        progress=lambda text, done, total: told.append(text))  # fmt: skip
        assert counting.counts == {"_fill_and_send": len(PAIR)}
        ranked = rank_plans(example, ASK, workers=counting)
    assert counting.counts == {"_fill_and_send": 2, "_forecast": FORECASTS, "_rank_one": 2}
    assert any("block 1" in text for text in told), "progress of the workers is heard"
    assert same(weighing_table(weighed), weighing_table(alone[0]))
    assert ranked.ranked == alone[1].ranked
    assert stored(folder) == alone[2]
    assert len(alone[2]) == 2 + 2 + FORECASTS


@pytest.mark.slow
def test_a_cluster_runs_trials_and_verdicts_to_the_same_bits(
    farm: Farm, example: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("antagony.trial.PIECE_ROWS", 900)
    plan = example.plan("antagonist")
    with open_workers(farm.address) as cluster:
        counting = Counting(cluster)
        far = simulate_trials(example, PAIR, plan, replicates=70, workers=counting)
        judged = reach_verdict(example, mechanisms=PAIR, draws=20, patients=4, workers=cluster)
    assert counting.counts["_run_block"] > 2 * len(PAIR)
    for ours, theirs in zip(simulate_trials(example, PAIR, plan, replicates=70), far, strict=True):
        assert ours.ratings.identical(theirs.ratings)
        assert ours.estimates.identical(theirs.estimates)
        assert np.isfinite(ours.estimates["value"]).all()
        assert (ours.draws, ours.asked, ours.reached) == (theirs.draws, theirs.asked, theirs.reached)
    here = reach_verdict(example, mechanisms=PAIR, draws=20, patients=4)
    assert (judged.summary, judged.fragile, judged.settings.kernels) == (
        here.summary, here.fragile, here.settings.kernels
    )  # fmt: skip
    for ours, theirs in zip(here.mechanisms, judged.mechanisms, strict=True):
        assert repr((ours.claims, ours.own_claims, ours.replays)) == repr(
            (theirs.claims, theirs.own_claims, theirs.replays)
        )
        assert ours.curves.identical(theirs.curves) and ours.bands.identical(theirs.bands)


@pytest.mark.slow
def test_a_worker_uses_the_threads_that_dask_gives_it(farm: Farm) -> None:
    with open_workers(farm.address) as cluster:
        assert set(cluster.run(ask_threads, None, range(4))) == {1}


# --- whoever is lost -------------------------------------------------------------------------------------------------


@pytest.fixture
def fragile(tmp_path: Path) -> Iterator[Callable[..., Farm]]:
    """Makes a farm that a test may ruin."""
    made: list[Farm] = []

    def make(**settings: str) -> Farm:
        folder = tmp_path / f"fragile{len(made)}"
        folder.mkdir()
        made.append(Farm(folder, **settings))
        return made[-1]

    yield make
    for farm in made:
        farm.close()


@pytest.mark.proof
def test_a_worker_killed_at_work_changes_nothing(
    fragile: Callable[..., Farm], example: Case, alone: tuple[Any, Any, dict[str, bytes]], folders: Folders
) -> None:
    """Of two workers with a piece each, one is killed when the first block is told; the other does both."""
    farm, folder, told = fragile(), folders.use("killed"), list[str]()
    victim, _ = farm.add("victim"), farm.add("helper")

    def kill(text: str, done: int, total: int) -> None:
        told.append(text)
        if "block 1" in text:
            victim.kill()

    with open_workers(farm.address) as cluster:
        weighed = weigh(example, mechanisms=PAIR, effort="quick", workers=cluster, progress=kill)
    assert victim.wait() == -signal.SIGKILL
    assert sum(text.startswith("composing") for text in told) == len(PAIR) + 1, "its piece was begun again"
    assert same(weighing_table(weighed), weighing_table(alone[0]))
    found = stored(folder)
    assert len(found) == 4
    assert found == {name: alone[2][name] for name in found}


@pytest.mark.slow
def test_a_client_killed_at_work_goes_on_where_it_was(
    farm: Farm, example: Case, alone: tuple[Any, Any, dict[str, bytes]], folders: Folders
) -> None:
    folder = folders.use("stopped")
    words = ("design", "--rivals", ",".join(PAIR), "--effort", "quick", "--exclude", "asleep")
    client = run_antagony(folder.parent, *words, farm=farm)
    until(lambda: any(folder.glob("forecasts/*.npz")))
    client.kill()
    client.wait()
    done = len([*folder.glob("forecasts/*.npz")])
    assert 1 <= done < FORECASTS
    with open_workers(farm.address) as cluster:
        counting = Counting(cluster)
        Ranker(example, ASK, None, counting).expect([example.designs[n] for n in ("antagonist", "dose")], REALISTIC)
    assert counting.counts == {"_forecast": FORECASTS - done}
    found = stored(folder)
    assert {name for name in alone[2] if "-rows-" not in name} <= found.keys()
    assert found == {name: alone[2][name] for name in found}


@pytest.mark.slow
def test_an_interrupted_client_cancels_its_work(farm: Farm, tmp_path: Path) -> None:
    words = ("trial", "antagonist", "--mechanism", "receptor", "--replicates", "20000")
    client = run_antagony(tmp_path, *words, farm=farm)
    until(lambda: any("antagony-" in key for key in tasks(farm)))
    client.send_signal(signal.SIGINT)
    assert client.wait(START) == 130
    until(lambda: not tasks(farm))
    assert b"Traceback" not in (tmp_path / "client.log").read_bytes()


def tasks(farm: Farm) -> list[str]:
    return [str(key) for keys in farm.watch.processing().values() for key in keys]


def run_antagony(folder: Path, *words: str, farm: Farm) -> subprocess.Popen[bytes]:
    """The command line in a process of its own, which keeps its cache in a folder."""
    command = [sys.executable, "-m", "antagony.cli", *words, "--cluster", farm.address, "--case", str(EXAMPLE)]
    with (folder / "client.log").open("wb") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "ANTAGONY_CACHE": str(folder)})


@pytest.mark.proof
def test_what_is_lost_is_said(fragile: Callable[..., Farm], monkeypatch: pytest.MonkeyPatch) -> None:
    """A piece that kills its worker, no worker left, and a scheduler that ends: one sentence each, results kept."""
    farm = fragile(DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES="0")
    with pytest.raises(ClusterError, match=r"no worker joined .* dask worker tcp://"):
        monkeypatch.setattr(clusters, "PATIENCE", 1.0)
        with open_workers(farm.address):
            pass
    monkeypatch.undo()
    farm.add("first")
    with open_workers(farm.address) as cluster:
        with pytest.raises(StudyError, match="piece 0: nobody can do this") as caught:
            cluster.run(refuse, None, range(60))
        until(lambda: not tasks(farm), 10)  # the rest is cancelled, though the traceback still holds it
        del caught
        with pytest.raises(ClusterError, match=r"died of one piece of work.*memory"):
            cluster.run(die, None, [0])
        monkeypatch.setattr(clusters, "ABSENCE", 2.0)
        with pytest.raises(ClusterError, match="no worker has been left for 2 s"):
            cluster.run(slowly, 0.0, [0])
    farm.add("second")
    came = list[int]()

    def end_the_scheduler(place: int, result: int) -> None:
        came.append(result)
        if place == 2:
            farm.scheduler.kill()

    begun = time.monotonic()
    with open_workers(farm.address) as cluster, pytest.raises(ClusterError, match=r"cluster was lost.*stored"):
        cluster.run(slowly, 0.2, range(40), arrived=end_the_scheduler)
    assert time.monotonic() - begun < 20
    assert came[:3] == [0, 1, 2] and len(came) < 40


# --- encrypted -------------------------------------------------------------------------------------------------------


def certificates(folder: Path, name: str) -> dict[str, str]:
    """The settings of dask, as the how-to page gives them, with an authority and a certificate made for them."""
    trustme = pytest.importorskip("trustme")
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    ca, certificate, key = (folder / f"{name}-{what}.pem" for what in ("ca", "certificate", "key"))
    authority.cert_pem.write_to_path(ca)
    issued.cert_chain_pems[0].write_to_path(certificate)
    issued.private_key_pem.write_to_path(key)
    paths = {"CA_FILE": ca}
    for role in ("CLIENT", "SCHEDULER", "WORKER"):
        paths |= {f"{role}__CERT": certificate, f"{role}__KEY": key}
    settings = {f"DASK_DISTRIBUTED__COMM__TLS__{what}": str(path) for what, path in paths.items()}
    return {"DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION": "true", **settings}


def use_settings(settings: Mapping[str, str]) -> Any:  # noqa: ANN401 - dask's own
    """What dask reads from its environment when a process begins, in this one."""
    from dask import config

    flat = {name.removeprefix("DASK_").lower().replace("__", "."): value for name, value in settings.items()}
    return config.set(flat)


@pytest.mark.slow
def test_an_encrypted_cluster_gives_the_same_bits_to_those_whom_it_knows(
    fragile: Callable[..., Farm], example: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker and a client with certificates of one authority; without one, or of another, nobody gets in."""
    known, stranger = certificates(tmp_path, "known"), certificates(tmp_path, "stranger")
    with use_settings(known):
        farm = fragile(protocol="tls", **known)
        farm.add("one", **known)
        assert farm.address.startswith("tls://")
        plan = example.plan("antagonist")
        with open_workers(farm.address) as cluster:
            (far,) = simulate_trials(example, ["receptor"], plan, replicates=20, workers=cluster)
        (here,) = simulate_trials(example, ["receptor"], plan, replicates=20)
        assert here.ratings.identical(far.ratings)
    monkeypatch.setattr(clusters, "PATIENCE", 2.0)
    for settings, why in ((stranger, "could be reached"), ({}, "TLS")):
        with use_settings(settings), pytest.raises(ClusterError, match=why) as caught:
            with open_workers(farm.address):
                pytest.fail("it was let in")
        assert str(caught.value).startswith(f"{farm.address}: ") and "\n" not in str(caught.value)
    unencrypted = farm.address.replace("tls:", "tcp:")
    with use_settings(known), pytest.raises(ClusterError, match="encryption"):
        with open_workers(unencrypted):
            pytest.fail("it spoke in the clear")


# --- who is refused --------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_worker_of_other_bits_is_refused_before_any_work(farm: Farm, tmp_path: Path) -> None:
    """Another compiler, or another state of the package; also where such a worker joins later."""
    other = tmp_path / "package" / "antagony"
    shutil.copytree(Path(antagony.__file__).parent, other, ignore=shutil.ignore_patterns("cases", "__pycache__"))
    with (other / "verdict.py").open("a") as file:
        file.write("# another state\n")
    compiler = tmp_path / "cc"
    compiler.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "some cc 1.0" || exec cc "$@"\n')
    compiler.chmod(0o700)
    with open_workers(farm.address) as cluster:
        stranger = farm.add("stranger", CC=str(compiler))
        with pytest.raises(ClusterError, match=r"some cc 1\.0"):
            cluster.run(slowly, 0.3, range(30))
    try:
        with pytest.raises(ClusterError, match=r'its compiler is "some cc 1\.0", here it is .* the same packages'):
            with open_workers(farm.address):
                pytest.fail("it was let in")
    finally:
        farm.remove(stranger)
    stranger = farm.add("older", PYTHONPATH=str(other.parent))
    try:
        with pytest.raises(ClusterError, match=r'its antagony is "\S+ \(\w+\)", here it is'):
            with open_workers(farm.address):
                pytest.fail("it was let in")
    finally:
        farm.remove(stranger)
    with open_workers(farm.address) as cluster:
        assert cluster.run(square, 0, range(5)) == [0, 1, 4, 9, 16]


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "nonsense://127.0.0.1:8786", "127.0.0.1:what", "tcp://"])
def test_an_address_where_nobody_answers_is_said(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "PATIENCE", 1.0)
    begun = time.monotonic()
    with pytest.raises(ClusterError, match=r"no dask scheduler could be reached .*tcp://host:8786") as caught:
        with open_workers(address):
            pytest.fail("nobody is there")
    assert str(caught.value).startswith(f"{address}: ")
    assert "\n" not in str(caught.value)
    assert time.monotonic() - begun < 10


def test_without_the_extra_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "find_spec", lambda name: None)
    with pytest.raises(ClusterError, match=r'pip install "antagony\[cluster\]"'):
        with open_workers("tcp://127.0.0.1:8786"):
            pytest.fail("it is not installed")


def test_no_address_is_this_machine() -> None:
    with open_workers(None) as here:
        assert here.run(square, 0, range(3)) == [0, 1, 4]
        assert not here.afar
