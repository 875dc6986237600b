"""Work shared out over a cluster (dask.distributed), to the bits of one machine.

    every worker's machine told apart from this one's -> what all pieces share, to every worker -> a task for each piece

Functions, and what they take and give, are pickled between processes of one user; scheduling, retries and moving data
are dask's. What a lost worker had in hand is done by another, so a piece may run again, or twice at once.
"""

from __future__ import annotations

import hashlib
import logging
import pickle
import platform
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from queue import Empty, SimpleQueue
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from .errors import AntagonyError, ClusterError
from .kernel.build import describe_processor, find_compiler, native_target
from .provenance import ROOT
from .workers import ALLOWANCE, HERE, Arrived, Item, Piece, Result, Shared, Tell, Workers, keep_nothing, tell_nobody

if TYPE_CHECKING:
    from distributed import Client, Future

PATIENCE = 10.0  # s to reach a scheduler, and then for its first worker
ABSENCE = 30.0  # s that a cluster at work may be without any worker
GLANCE = 2.0  # s between looks at whether it still has one
LIBRARIES = ("numpy", "scipy", "sympy", "python-libsbml", "antimony")  # numbers and compiled text come from these


@contextmanager
def open_workers(address: str | None) -> Iterator[Workers]:
    """The workers of the dask scheduler at an address such as tcp://host:8786; this machine where it is None.

    Raises ClusterError, within seconds, where nobody answers and where a worker's numbers would differ in bits.
    """
    if address is None:
        yield HERE
        return
    if find_spec("distributed") is None:
        raise ClusterError(f'{address}: a cluster needs dask.distributed; pip install "antagony[cluster]"')
    with _silence(), _connect(address) as client:
        yield Cluster(client)


# --- machines that give the same bits --------------------------------------------------------------------------------


@cache
def describe_machine() -> dict[str, str]:
    """What an answer's bits follow from beside the question: packages, compiler, processor. Raises CompilerError."""
    return {
        "antagony": f"{_version('antagony')} ({_fingerprint()})",
        "Python": ".".join(platform.python_version_tuple()[:2]),
        **{name: _version(name) for name in LIBRARIES},
        "C library": " ".join(platform.libc_ver()).strip() or platform.platform(),
        "compiler": find_compiler().identity,
        "compiler's target": repr(native_target()),
        "processor": f"{platform.machine()} {describe_processor()}",
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _fingerprint() -> str:
    """Of the text of the whole package."""
    digest = hashlib.sha256()
    for path in sorted(p for p in ROOT.rglob("*") if p.suffix in {".py", ".h"}):
        digest.update(path.relative_to(ROOT).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def tell_apart(here: Mapping[str, str], there: Mapping[str, str]) -> str:
    """The first thing in which another machine differs, in words; empty where nothing does."""
    for name, own in here.items():
        other = there.get(name, "unknown")
        if own != other:
            return _features(own, other) if name == "processor" else f'its {name} is "{other}", here it is "{own}"'
    return ""


def _features(own: str, other: str) -> str:
    mine, its = set(own.split()), set(other.split())
    pairs = (("lacks", mine - its), ("has beside", its - mine))
    said = [f"{verb} {', '.join(sorted(some)[:4])}" for verb, some in pairs if some]
    return f"its processor {' and '.join(said) or 'is another'}"


def _refuse_others(worker: str, here: Mapping[str, str], there: Mapping[str, str]) -> None:
    """Raise ClusterError for a worker whose bits would differ."""
    if why := tell_apart(here, there):
        raise ClusterError(
            f"worker {worker}: {why}; its numbers would differ in bits, so give every machine of a cluster the same "
            "packages and compiler, on one type of processor"
        )


# --- a cluster -------------------------------------------------------------------------------------------------------


class Cluster:
    """The workers that a dask client reaches."""

    afar = True

    def __init__(self, client: Client) -> None:
        """Look at every worker. Raises ClusterError where there is none, or one whose numbers would differ in bits."""
        self.client, self.machine = client, describe_machine()
        self.address = client.scheduler.address if client.scheduler else "the cluster"
        self._look_at_workers()

    def _look_at_workers(self) -> None:
        try:
            self.client.run_on_scheduler(tell_nobody, "")  # which reads every piece too
            self.client.wait_for_workers(1, timeout=PATIENCE)
            found: Any = self.client.run(describe_machine, on_error="return")
        except TimeoutError:
            raise ClusterError(
                f"{self.address}: no worker joined the scheduler within {PATIENCE:g} s; start some with: "
                f"dask worker {self.address}"
            ) from None
        except (ImportError, RuntimeError, OSError, CancelledError) as error:
            raise self._strange(error) from None
        for worker, there in sorted(found.items()):
            if isinstance(there, AntagonyError):
                raise ClusterError(f"worker {worker}: {there}")
            if not isinstance(there, dict):
                raise ClusterError(f"worker {worker}: it cannot say what it runs ({there}); install antagony there")
            _refuse_others(worker, self.machine, there)

    def _strange(self, error: Exception) -> ClusterError:
        return ClusterError(
            f"{self.address}: its scheduler or workers lack antagony ({_first_line(error)}); install it for all of them"
        )

    def run(
        self,
        function: Piece[Shared, Item, Result],
        shared: Shared,
        items: Sequence[Item],
        *,
        tell: Tell = tell_nobody,
        arrived: Arrived[Result] = keep_nothing,
    ) -> list[Result]:
        """See `Workers.run`; what a lost worker had in hand is done by another."""
        import cloudpickle  # read-only tables too

        name = f"antagony-{uuid4().hex}"
        ended: SimpleQueue[Future] = SimpleQueue()
        waiting: dict[Future, int] = {}
        results: dict[int, Result] = {}
        try:
            self._share(name, cloudpickle.dumps(shared), tell)
            for place, item in enumerate(items):
                future = self._submit((name, place), function, cloudpickle.dumps(item), self.machine)
                waiting[future] = place
                future.add_done_callback(ended.put)
            while waiting:
                future = self._next(ended)
                place = waiting.pop(future)
                results[place] = self._take(future)
                arrived(place, results[place])
        finally:
            self._forget([*waiting], name)
        return [results[place] for place in range(len(items))]

    def _share(self, name: str, packed: bytes, tell: Tell) -> None:
        """Give every worker what the pieces of a run share, and hear what they tell."""
        try:
            self.client.subscribe_topic(name, lambda event: tell(event[1]))
            self.client.register_plugin(_sharing(name, packed), name)
        except (OSError, CancelledError):
            raise self._lost() from None

    def _submit(self, key: tuple[str, int], function: Piece, *arguments: object) -> Future:
        """A task; those of one name are a group, of which the first begin first."""
        return self.client.submit(_work, key[0], function, *arguments, key=key, pure=False, priority=-key[1])

    def _next(self, ended: SimpleQueue[Future]) -> Future:
        """A piece that ended, once one has. Raises ClusterError where nobody is left to work."""
        since = monotonic()
        while True:
            with suppress(Empty):
                return ended.get(timeout=GLANCE)
            if self._count_workers():
                since = monotonic()
            elif monotonic() - since > ABSENCE:
                raise ClusterError(
                    f"{self.address}: no worker has been left for {ABSENCE:g} s; start some and give the same command "
                    "again, which goes on where this one stopped"
                )

    def _count_workers(self) -> int:
        """Workers that the scheduler knows. Raises ClusterError where it cannot be asked."""
        try:
            return len(self.client.scheduler_info()["workers"])
        except (OSError, RuntimeError, CancelledError, AttributeError):  # as the connection happens to break
            raise self._lost() from None

    def _take(self, future: Future) -> Any:  # noqa: ANN401 - whatever the function gives
        """The result of a piece, or its error as its own function raised it."""
        from distributed import KilledWorker
        from distributed.comm.core import CommClosedError

        try:
            return future.result()
        except KilledWorker as error:
            raise ClusterError(
                f"{error.last_worker.address}: this worker and others before it died of one piece of work; most often "
                "memory ran out, so start fewer workers a machine, or raise their --memory-limit"
            ) from None
        except (CancelledError, CommClosedError):
            raise self._lost() from None

    def _lost(self) -> ClusterError:
        return ClusterError(
            "the cluster was lost (its scheduler ended or cannot be reached); what came back is stored: start it anew "
            "and give the same command again, which goes on where this one stopped"
        )

    def _forget(self, futures: list[Future], topic: str) -> None:
        """Cancel what nobody waits for any more; a piece at work ends unheard."""
        if self.client.status == "running":
            self.client.unsubscribe_topic(topic)
            self.client.cancel(futures)
            self.client.unregister_worker_plugin(topic)


def _work(name: str, function: Piece, packed: bytes, machine: Mapping[str, str]) -> Any:  # noqa: ANN401
    """One piece, on a worker; one that joined since the start is looked at first."""
    from distributed import get_worker

    worker = get_worker()
    _refuse_others(worker.address, machine, describe_machine())
    with ALLOWANCE.work(worker.state.nthreads):
        return function(_unpack(name), pickle.loads(packed), lambda text: worker.log_event(name, text))


# --- what pieces share, on a worker ----------------------------------------------------------------------------------

_PACKED: dict[str, bytes] = {}
_UNPACKED: dict[str, Any] = {}
_UNPACKING = Lock()


def hold(name: str, packed: bytes) -> None:
    """Keep what the pieces of a run share, until it is dropped."""
    _PACKED[name] = packed


def drop(name: str) -> None:
    """The run is over."""
    _PACKED.pop(name, None)
    _UNPACKED.pop(name, None)


def _unpack(name: str) -> Any:  # noqa: ANN401
    """What the pieces of a run share, unpacked once in a process."""
    with _UNPACKING:
        if name not in _UNPACKED:
            _UNPACKED[name] = pickle.loads(_PACKED[name])
        return _UNPACKED[name]


def _sharing(name: str, packed: bytes) -> Any:  # noqa: ANN401
    """What dask hands to every worker, also one that joins later; a task's result would draw pieces to where it is."""
    from distributed import WorkerPlugin

    class Sharing(WorkerPlugin):
        def setup(self, worker: object) -> None:
            hold(name, packed)

        def teardown(self, worker: object) -> None:
            drop(name)

    return Sharing()


# --- connection ------------------------------------------------------------------------------------------------------


@contextmanager
def _connect(address: str) -> Iterator[Client]:
    """A client of a scheduler; dask's own configuration gives certificates for tls://."""
    from distributed import Client

    try:
        client = Client(address, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError, TypeError, RuntimeError, OverflowError) as error:
        raise ClusterError(
            f"{address}: no dask scheduler could be reached there within {PATIENCE:g} s ({_first_line(error)}); write "
            "the address that `dask scheduler` prints, such as tcp://host:8786"
        ) from None
    try:
        yield client
    finally:
        with suppress(TimeoutError, OSError):  # of a cluster that is gone
            client.close(timeout=PATIENCE)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


@contextmanager
def _silence() -> Iterator[None]:
    """Keep dask's own account of a lost connection from the screen: it is told as an error, in one sentence."""
    import distributed  # which sets levels of its own first

    levels = {name: logging.getLogger(name).level for name in (distributed.__name__, distributed.Client.__module__)}
    for name in levels:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
