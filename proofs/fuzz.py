"""Every reader of files and texts against hostile input: a result, or an error that says what and where.

Inputs are sound files that were changed, and texts by a grammar; each is read in a child process.
Exits 1 on a fault: another exception, a hang, a crash, a file written, another place opened, a process started. What is
done is kept below build/fuzz for this very code, so that a run that was stopped goes on; faults keep their input there.
"""

from __future__ import annotations

import argparse
import collections
import hashlib
import json
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import hostile  # noqa: E402

BATCH = 10_000  # inputs a process reads before a new one takes its place


def kept_folder() -> Path:
    """Where the batches of this very code are kept."""
    digest = hashlib.sha256()
    for path in (*sorted((ROOT / "src").rglob("*.py")), ROOT / "tests" / "hostile.py"):
        digest.update(path.read_bytes())
    folder = ROOT / "build" / "fuzz" / digest.hexdigest()[:12]
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def read_batches(folder: Path) -> dict[tuple[str, int, int], dict[str, Any]]:
    """Batches done by reader, seed and size."""
    file = folder / "batches.jsonl"
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    batches = [json.loads(line) for line in lines]
    return {(b["reader"], b["seed"], b["size"]): b for b in batches}


def run_missing(names: list[str], examples: int, folder: Path, processes: int) -> None:
    """Run the batches that are not kept yet, a few at a time."""
    known = read_batches(folder)
    wanted = [(name, seed, size) for seed, size in split(examples) for name in names]  # all readers come equally far
    missing = [batch for batch in wanted if batch not in known]
    begun = time.perf_counter()

    def run(batch: tuple[str, int, int]) -> list[dict[str, Any]]:
        name, seed, size = batch
        return [found | {"size": size} for found in hostile.run_apart([f"{name}:{size}"], seed, folder)]

    with (folder / "batches.jsonl").open("a", encoding="utf-8") as file, ThreadPoolExecutor(processes) as pool:
        for done, ended in enumerate(as_completed([pool.submit(run, batch) for batch in missing]), 1):
            for batch in ended.result():
                file.write(json.dumps(batch) + "\n")
            file.flush()
            if done % 20 == 0:
                print(f"  {done} of {len(missing)} batches, {time.perf_counter() - begun:.0f} s", flush=True)


def split(examples: int) -> Iterator[tuple[int, int]]:
    """(seed, size) of the batches that make so many inputs."""
    for number, start in enumerate(range(0, examples, BATCH), 1):
        yield number, min(BATCH, examples - start)


def tell(names: list[str], examples: int, folder: Path) -> int:
    """One line a reader, each fault with the file that holds its input; returns how many faults there are."""
    known, total = read_batches(folder), 0
    for name in names:
        batches = [known[name, seed, size] for seed, size in split(examples)]
        ended: collections.Counter[str] = collections.Counter()
        for batch in batches:
            ended.update(batch["ended"])
        faults = {what: content for batch in batches for what, content in batch["faults"].items()}
        total += len(faults)
        slowest = max(batch["slowest"] for batch in batches)
        counted = f"{ended['read']} read, {ended['refused']} refused, slowest {slowest:.2f} s"
        print(f"fuzz {name}: {sum(ended.values())} inputs, {len(faults)} faults ({counted})", flush=True)
        for number, (what, content) in enumerate(faults.items()):
            path = folder / f"{name.replace(' ', '-')}-{number}.input"
            path.write_bytes(bytes.fromhex(content))
            print(f"  {what}\n    input: {path.relative_to(ROOT)}")
    return total


def main() -> int:
    """Read as many inputs as asked, and say what was found."""
    known = list(hostile.make_readers())
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("readers", nargs="*", help=f"of {', '.join(known)}; default: all")
    parser.add_argument("--examples", type=int, default=100_000, help="inputs a reader")
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    names = arguments.readers or known
    if unknown := set(names) - set(known):
        parser.error(f"no reader {', '.join(sorted(unknown))}; known: {', '.join(known)}")
    begun, folder = time.perf_counter(), kept_folder()
    run_missing(names, arguments.examples, folder, arguments.processes)
    faults = tell(names, arguments.examples, folder)
    print(f"fuzz: {len(names)} readers, {faults} faults, {time.perf_counter() - begun:.0f} s")
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main())
