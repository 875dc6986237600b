"""An engine's process: started for one model, pinned to one core, asked for accuracy and speed over a pipe."""

from __future__ import annotations

import importlib
import os
import pickle
import re
import time
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from problem import error


@dataclass(frozen=True)
class Order:
    """What a process is started for: engine, threads, cores, and a file that holds model, problem and reference."""

    engine: str
    threads: int
    cores: tuple[int, ...]
    file: str
    folder: str  # for what an engine builds


class Worker:
    """The parent's end of an engine's process."""

    def __init__(self, order: Order) -> None:
        """Start the process; `begun` says how long that took, or why it is skipped."""
        context = get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(order, theirs), daemon=True)
        self.process.start()
        theirs.close()
        self.begun: dict[str, Any] = self._receive()

    def ask(self, *question: Any) -> Any:  # noqa: ANN401
        """An answer, waited for."""
        self.send(*question)
        return self._receive()

    def send(self, *question: Any) -> None:  # noqa: ANN401
        """A question whose answer `answer` will fetch."""
        self.pipe.send(question)

    def answer(self) -> Any:  # noqa: ANN401
        """The answer to the oldest question."""
        return self._receive()

    def close(self) -> None:
        """End the process."""
        if self.process.is_alive():
            self.pipe.send(None)
        self.process.join()

    def _receive(self) -> Any:  # noqa: ANN401
        try:
            return self.pipe.recv()
        except EOFError:
            return {"skipped": f"its process ended with code {self.process.exitcode}"}


def _serve(order: Order, pipe: Connection) -> None:
    """Say how the start went, then answer until told to end."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, order.cores)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # CVODE warns by the thousand
    os.environ |= {"ANTAGONY_CACHE": order.folder, "BENCH_BUILD": order.folder}
    for library in ("OMP", "OPENBLAS", "MKL"):
        os.environ[f"{library}_NUM_THREADS"] = "1"
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    with open(order.file, "rb") as file:
        model, problem, reference = pickle.load(file)
    try:
        begun = time.perf_counter()
        module = importlib.import_module(f"engines.{order.engine}")
        imported, before = time.perf_counter() - begun, resident("VmRSS")
        solve = module.build(model, threads=order.threads) if order.threads > 1 else module.build(model)
        solve(problem.take(1), 1e-6)
    except Exception as fault:
        lines = str(fault).splitlines() or [""]
        pipe.send({"skipped": f"{type(fault).__name__}: {lines[0][:160]}"})
        return
    pipe.send({"import_seconds": imported, "start_seconds": time.perf_counter() - begun})
    while (question := pipe.recv()) is not None:
        pipe.send(_answer(question, solve, problem, reference, before))


def _answer(question: tuple[Any, ...], solve: Any, problem: Any, reference: Any, before: float) -> Any:  # noqa: ANN401
    """("error", rtol, subjects), ("seconds", rtol, subjects) or ("memory",)."""
    if question[0] == "memory":
        return resident("VmHWM") - before
    what, rtol, subjects = question
    some = problem.take(subjects)
    begun = time.perf_counter()
    values = solve(some, rtol)
    seconds = time.perf_counter() - begun
    if what == "seconds":
        return seconds
    sound = np.isfinite(values).all(axis=(1, 2))
    failed = int((~sound).sum())
    if not sound.any():
        return {"failed": failed, "error_median": float("inf"), "error_p99": float("inf"), "seconds": seconds}
    median, high = error(values[sound], reference[:subjects][sound])
    return {"failed": failed, "error_median": median, "error_p99": high, "seconds": seconds}


def resident(what: str) -> float:
    """Memory of this process [MB]: VmRSS now, VmHWM at its highest; NaN where the system does not say."""
    try:
        found = re.search(rf"^{what}:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        return float("nan")
    return int(found[1]) / 1024 if found else float("nan")

