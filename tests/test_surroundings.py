"""Hostile surroundings: full disks, signals, other people's folders, strange compilers, and folders full of traps."""

from __future__ import annotations

import errno
import gzip
import hashlib
import io
import itertools
import json
import os
import pickle
import shutil
import signal
import stat
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import antimony
import numpy as np
import pytest
import xarray as xr

from antagony import case as case_module
from antagony import files, interruption
from antagony.case import Case, open_case
from antagony.composition import Text, symbols_of
from antagony.errors import AntagonyError, CaseError, CompilerError, CompositionError, ReportError
from antagony.exchange.sbml import read_sbml
from antagony.files import LARGEST, reserve_room, unpack, write_text, write_whole
from antagony.kernel import build
from antagony.kernel.build import build_kernel
from antagony.posterior import storage
from antagony.posterior.bank import load_arrays, store_arrays
from antagony.printing import write_run

EXAMPLE = Path(__file__).resolve().parent.parent / "docs" / "examples" / "psilocybin"
SCRIPT = Path(sys.executable).with_name("antagony")
TINY = "x' = -k*x; x = 1; k = 0.5"
DOSE = "psilocybin 25 mg po"


def sbml(text: str = TINY) -> str:
    antimony.clearPreviousLoads()
    assert antimony.loadAntimonyString(f"model m\n{text}\nend\n") >= 0
    return str(antimony.getSBMLString("m"))


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """What is remembered of compiler and cache is forgotten, before and after."""
    remembered = (build.cache_folder, build.find_compiler, build.native_target)
    for function in remembered:
        function.cache_clear()
    yield monkeypatch
    monkeypatch.undo()
    for function in remembered:
        function.cache_clear()


@pytest.fixture
def cache(fresh: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty cache of this test's own."""
    fresh.setenv("ANTAGONY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "kernels"


def command(*words: str, cwd: Path | str | None = None, **environment: str | None) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own; None takes a variable away."""
    settings = {
        **os.environ,
        "NO_COLOR": "1",
        "COLUMNS": "120",
        **{k: v for k, v in environment.items() if v is not None},
    }
    settings = {k: v for k, v in settings.items() if environment.get(k, v) is not None}
    line = [str(SCRIPT), *words]
    return subprocess.run(
        line, capture_output=True, encoding="utf-8", errors="replace", check=False, env=settings, cwd=cwd
    )


# --- a full disk -----------------------------------------------------------------------------------------------------


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Path]:
    """A disk of 32 kB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("mount")
    line = ["mount", "-t", "tmpfs", "-o", "size=32k,mode=700", "tmpfs", str(disk)]
    if not mounted or subprocess.run(line, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a small disk")
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def run_of(size: int) -> xr.Dataset:
    """A run as `simulate` gives it, of so many moments."""
    times = np.linspace(0, 9, size)
    values = np.random.default_rng(1).normal(size=(2, 1, 1, size))
    attrs = {"units": "dimensionless", "long_name": "x"}
    coordinates = {"arm": ["a", "b"], "draw": [0], "subject": [0], "time": times}
    table = (("arm", "draw", "subject", "time"), values, attrs)
    return xr.Dataset({"x": table}, coordinates, {"mechanism": "none"})


@pytest.mark.parametrize("ending", ["csv", "nc", "svg", "json", "html", "npz"])
def test_a_full_disk_keeps_the_old_file(full: Path, ending: str, capfd: pytest.CaptureFixture[str]) -> None:
    path = full / f"old.{ending}"
    path.write_text("old")
    with pytest.raises(ReportError, match=f"old.{ending}: cannot be written \\(no space left on device\\)"):
        if ending in ("csv", "nc", "svg"):
            write_run(run_of(4000), path)
        elif ending == "npz":
            store_arrays(path, {"a": np.random.default_rng(1).normal(size=100_000)})
        else:
            write_text(path, "x" * 100_000)
    assert [p.name for p in full.iterdir()] == [path.name]
    assert path.read_text() == "old"
    assert capfd.readouterr().err == ""


def test_a_library_that_finds_out_late_is_asked_before(full: Path) -> None:
    path = full / "file"
    path.touch()
    with pytest.raises(OSError, match="No space left"):
        reserve_room(path, 100_000)
    reserve_room(path, 10_000)


def test_a_full_disk_behind_a_librarys_own_exception_is_said(tmp_path: Path) -> None:
    def write(beside: Path) -> None:
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError:
            raise ValueError("cannot close a file that is being written") from None

    with pytest.raises(ReportError, match="no space left on device"):
        write_whole(tmp_path / "a.npz", write)
    with pytest.raises(ZeroDivisionError):
        write_whole(tmp_path / "a.npz", lambda beside: 1 / 0)
    assert not list(tmp_path.iterdir())


def test_a_cache_without_room_is_said(full: Path, fresh: pytest.MonkeyPatch) -> None:
    fresh.setenv("ANTAGONY_CACHE", str(full))
    with pytest.raises(CompilerError, match=r"kernels: a kernel cannot be kept there \(no space left|refused"):
        build_kernel(sbml())
    assert not list((full / "kernels").iterdir())
    for write in (build._write_whole, _in_scratch):  # whether or not a compiler finds out before us
        with pytest.raises(CompilerError, match=r"a kernel cannot be kept there \(no space left"):
            write(full / "kernels" / "a.json", bytes(100_000))
    assert not list((full / "kernels").iterdir())


def _in_scratch(path: Path, content: bytes) -> None:
    with build.scratch_folder(path.parent) as scratch:
        (scratch / path.name).write_bytes(content)


@pytest.mark.parametrize("name", ["", ".", "/", "folder"])
def test_a_name_of_no_file_is_refused(tmp_path: Path, fresh: pytest.MonkeyPatch, name: str) -> None:
    fresh.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(ReportError, match="no name of a file"):
        write_text(name, "x")


def test_no_link_that_lies_in_wait_is_written_through(tmp_path: Path, fresh: pytest.MonkeyPatch) -> None:
    """In a folder where others write, too, who guess the name of the unfinished part."""
    fresh.setattr(files, "_COUNT", itertools.count())
    (tmp_path / "victim").write_text("old")
    (tmp_path / f".run.csv.{os.getpid()}.0.part").symlink_to(tmp_path / "victim")
    with pytest.raises(ReportError, match=r"run.csv: cannot be written \(file exists\)"):
        write_text(tmp_path / "run.csv", "new")
    assert (tmp_path / "victim").read_text() == "old"
    assert not (tmp_path / "run.csv").exists()


def test_a_long_name_has_room_for_its_part(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 250 + ".csv")
    assert write_text(path, "a").read_text() == "a"


# --- several at once, and damage -------------------------------------------------------------------------------------

BUILDING = """
import sys
from antagony.kernel.build import build_kernel
kernel = build_kernel(sys.stdin.read())
print(kernel.fingerprint, kernel.solve(kernel.defaults, [1.0, 3.0]).values.tobytes().hex())
"""


def test_processes_that_build_one_model_at_once_get_one_kernel(cache: Path) -> None:
    line = [sys.executable, "-c", BUILDING]
    text = sbml()
    settings = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    both = [subprocess.Popen(line, **settings) for _ in range(2)]  # type: ignore[call-overload]
    said = {process.communicate(text)[0] for process in both}
    assert len(said) == 1
    assert said.pop().strip()
    assert sorted(path.suffix for path in cache.iterdir()) == [".json", ".so"]
    build_kernel(text)
    assert len(list(cache.iterdir())) == 2


def test_the_compiler_gives_the_same_bytes_twice(cache: Path) -> None:
    """So a record and a library of two processes always fit."""
    build_kernel(sbml())
    (library,) = cache.glob("*.so")
    first = library.read_bytes()
    library.unlink()
    build_kernel(sbml())
    assert library.read_bytes() == first


@pytest.mark.parametrize(
    "damage", ["cut", "empty", "garbage", "record", "old record", "another", "foreign library", "foreign record"]
)
def test_a_damaged_kernel_is_built_anew(cache: Path, damage: str) -> None:
    text = sbml()
    first = build_kernel(text, optimise=0)
    want = first.solve(first.defaults, [2.0]).values
    (library,), (record,) = cache.glob("*.so"), cache.glob("*.json")
    content = library.read_bytes()
    if damage == "another":
        build_kernel(sbml("x' = -3*k*x; x = 1; k = 0.5"), optimise=0)
        (other,) = {*cache.glob("*.so")} - {library}
        shutil.copy(other, cache / "x")
    library.unlink()  # the loaded one stays as it is
    library.write_bytes({"cut": content[:5000], "empty": b"", "garbage": b"\x7fELF" + bytes(5000)}.get(damage, content))
    library.chmod(0o700)
    if damage == "record":
        record.write_text('{"states": [')
    elif damage == "old record":
        meta = json.loads(record.read_text())
        del meta["digest"]
        record.write_text(json.dumps(meta))
    elif damage == "foreign library":
        library.chmod(0o777)
    elif damage == "foreign record":
        record.chmod(0o666)
    elif damage == "another":
        os.replace(cache / "x", library)
    again = build_kernel(text, optimise=0)
    np.testing.assert_array_equal(again.solve(again.defaults, [2.0]).values, want)
    assert library.read_bytes() == content
    assert json.loads(record.read_text())["digest"] == hashlib.sha256(content).hexdigest()
    assert not [path for path in (library, record) if path.stat().st_mode & 0o077]


def test_a_kernel_that_another_process_replaced_is_built_again(cache: Path, fresh: pytest.MonkeyPatch) -> None:
    """Between our library and our record somebody put a library of his own."""
    compile_once, built = build._compile, list[Path]()

    def overtaken(*given: Any) -> str:  # noqa: ANN401
        digest = compile_once(*given)
        built.append(given[-1])
        if len(built) == 1:
            given[-1].write_bytes(b"of another process")
        return digest

    fresh.setattr(build, "_compile", overtaken)
    kernel = build_kernel(sbml())
    np.testing.assert_allclose(kernel.solve(kernel.defaults, [2.0]).values.item(), np.exp(-1), rtol=1e-5)
    assert len(built) == 2


def test_a_kernel_is_that_of_its_model_request_compiler_and_processor(fresh: pytest.MonkeyPatch) -> None:
    """Whatever could move a bit gives another name in the cache."""
    compiler, target = build.Compiler(("cc",), "cc 1"), build.Target(2, ("-O1",), False)
    first = build._key("a", {"inputs": []}, compiler, target)
    assert build._key("a", {"inputs": []}, replace(compiler, command=("elsewhere/cc",)), target) == first
    others = {
        build._key("b", {"inputs": []}, compiler, target),
        build._key("a", {"inputs": ["k"]}, compiler, target),
        build._key("a", {"inputs": []}, replace(compiler, identity="cc 2"), target),
        *(
            build._key("a", {"inputs": []}, compiler, replace(target, **changed))
            for changed in ({"lanes": 4}, {"flags": ("-O2",)}, {"portable": True})
        ),
    }
    for name, other in (("describe_processor", "another"), ("_generator", ("another",))):
        with fresh.context() as patch:
            patch.setattr(build, name, lambda other=other: other)
            others.add(build._key("a", {"inputs": []}, compiler, target))
    assert len(others - {first}) == 8


# --- folders of somebody else ----------------------------------------------------------------------------------------

needs_root = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may give files away")
STRANGER = 65534


def strange_place(kind: str, folder: Path) -> Path:
    """A cache folder (below it lies `kernels`) of which something is another's, or may be."""
    place = folder / "above" / "cache"
    kernels = place / "kernels"
    kernels.mkdir(parents=True, mode=0o700)
    if kind == "writable":
        kernels.chmod(0o777)
    elif kind == "writable by a group":
        kernels.chmod(0o770)
        os.chown(kernels, -1, STRANGER)
    elif kind == "foreign":
        os.chown(kernels, STRANGER, STRANGER)
    elif kind == "a link":
        kernels.rmdir()
        (folder / "elsewhere").mkdir(mode=0o700)
        kernels.symlink_to(folder / "elsewhere")
    elif kind == "a dead link":
        kernels.rmdir()
        kernels.symlink_to(folder / "nowhere")
    elif kind == "a file":
        kernels.rmdir()
        kernels.write_text("")
    elif kind == "writable above":
        place.parent.chmod(0o777)
    elif kind == "writable above by a group":
        os.chown(place.parent, -1, STRANGER)
        place.parent.chmod(0o770)
    elif kind == "a link of ours to where others write":
        (folder / "open").mkdir()
        (folder / "open").chmod(0o777)
        place.parent.rename(folder / "open" / "above")
        (folder / "link").symlink_to(folder / "open" / "above")
        return folder / "link" / "cache"
    elif kind == "foreign above":
        os.chown(place.parent, STRANGER, STRANGER)
    elif kind == "a foreign link above":
        (folder / "link").symlink_to(place.parent)
        os.chown(folder / "link", STRANGER, STRANGER, follow_symlinks=False)
        return folder / "link" / "cache"
    return place


@needs_root
@pytest.mark.parametrize(
    "kind",
    [
        *("writable", "writable by a group", "foreign", "a link", "a dead link", "a file", "writable above"),
        *("foreign above", "a foreign link above", "writable above by a group", "a link of ours to where others write"),
    ],
)
def test_a_cache_that_another_can_reach_is_not_used(tmp_path: Path, fresh: pytest.MonkeyPatch, kind: str) -> None:
    place = strange_place(kind, tmp_path)
    fresh.setenv("ANTAGONY_CACHE", str(place))
    with pytest.warns(RuntimeWarning, match="for this run only"):
        folder = build.cache_folder()
    assert not folder.is_relative_to(tmp_path)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert not [p for p in tmp_path.rglob("*") if p.suffix in (".so", ".json")]


@pytest.mark.parametrize("mask", [0o000, 0o002, 0o022, 0o077])
def test_a_new_cache_is_its_users_alone_whatever_the_mask(cache: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        assert build.cache_folder() == cache
        build_kernel(sbml())
    finally:
        os.umask(before)
    for path in (cache.parent, cache, *cache.iterdir()):
        assert not path.stat().st_mode & 0o077, path


def test_a_cache_that_others_may_read_is_closed(cache: Path) -> None:
    """Folders below it may be open; nobody gets to them."""
    cache.mkdir(parents=True, mode=0o755)
    (cache / "banks").mkdir()
    (cache / "banks").chmod(0o777)
    assert build.cache_folder() == cache
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700


@needs_root
def test_a_group_of_ones_own_may_write_above(tmp_path: Path, fresh: pytest.MonkeyPatch) -> None:
    """As it may where the system's mask is 002: nobody else is in it."""
    if not build._is_own_group(os.getgid()):
        pytest.skip("others are in this user's group")
    place = strange_place("none", tmp_path)
    os.chown(place.parent, -1, os.getgid())
    place.parent.chmod(0o770)
    fresh.setenv("ANTAGONY_CACHE", str(place))
    assert build.cache_folder() == place / "kernels"


def test_a_link_of_ones_own_above_is_used(tmp_path: Path, fresh: pytest.MonkeyPatch) -> None:
    """A home on another disk."""
    (tmp_path / "disk").mkdir(mode=0o700)
    (tmp_path / "home").symlink_to(tmp_path / "disk")
    fresh.setenv("ANTAGONY_CACHE", str(tmp_path / "home" / "cache"))
    assert build.cache_folder() == tmp_path / "home" / "cache" / "kernels"


def test_without_a_home_no_folder_is_made_where_we_stand(tmp_path: Path, fresh: pytest.MonkeyPatch) -> None:
    import platformdirs

    fresh.chdir(tmp_path)
    fresh.delenv("ANTAGONY_CACHE", raising=False)
    fresh.setattr(
        platformdirs, "user_cache_path", lambda name: Path("~/.cache") / name
    )  # as where nobody knows the user
    with pytest.warns(RuntimeWarning, match="there is no home folder"):
        assert build.cache_folder().is_absolute()
    assert not list(tmp_path.iterdir())


def test_a_home_that_cannot_be_written_and_no_temporary_folder(tmp_path: Path, fresh: pytest.MonkeyPatch) -> None:
    import tempfile

    fresh.setenv("ANTAGONY_CACHE", "/proc/nowhere")
    fresh.setattr(tempfile, "tempdir", "/proc/nowhere")
    with pytest.raises(CompilerError, match=r"no folder for compiled kernels: .*set ANTAGONY_CACHE"):
        build.cache_folder()


def test_a_private_folder_goes_with_its_run(tmp_path: Path) -> None:
    code = "from antagony.kernel.build import cache_folder; print(cache_folder())"
    settings = {**os.environ, "ANTAGONY_CACHE": "/proc/nowhere", "TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=settings)
    assert done.stdout.startswith(str(tmp_path))
    assert "for this run only" in done.stderr
    assert not list(tmp_path.iterdir())


# --- stored numbers --------------------------------------------------------------------------------------------------


class Trap:
    """What runs code when a pickle is read."""

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("touch canary",)


@pytest.mark.parametrize("kind", ["pickle", "objects", "text", "empty", "cut", "bomb", "header", "unknown packing"])
def test_arrays_of_a_stranger_are_no_arrays(tmp_path: Path, fresh: pytest.MonkeyPatch, kind: str) -> None:
    fresh.chdir(tmp_path)
    path, sound = tmp_path / "bank.npz", io.BytesIO()
    np.savez(sound, a=np.arange(1000.0))
    if kind == "pickle":
        path.write_bytes(pickle.dumps(Trap()))
    elif kind == "objects":
        np.savez(path, a=np.array([Trap()], dtype=object))
    elif kind in ("text", "empty"):
        path.write_text("text" * (kind == "text"))
    elif kind == "cut":
        path.write_bytes(sound.getvalue()[:900])
    else:
        head = b"\x93NUMPY\x01\x00v\x00{'descr': '<f8', 'fortran_order': False, 'shape': (%s,), }"
        shape = b"99999999999999" if kind == "bomb" else b"(" * 90
        content = (head % shape).ljust(127) + b"\n"
        with zipfile.ZipFile(path, "w") as packed:
            packed.writestr("a.npy", content)
        if kind == "unknown packing":
            path.write_bytes(
                path.read_bytes().replace(
                    b"PK\x01\x02\x14\x03\x14\x00\x00\x00\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x00\x00\x63\x00"
                )
            )
    assert load_arrays(path) is None
    assert not (tmp_path / "canary").exists()


def test_a_packed_answer_without_end_is_not_unpacked(tmp_path: Path, case: Case) -> None:
    path = tmp_path / "answer.json.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        for _ in range(LARGEST // 1_000_000 + 1):
            file.write(bytes(1_000_000))
    assert path.stat().st_size < LARGEST / 100
    with pytest.raises(ValueError, match="more than"):
        unpack(path)
    assert storage._read(case, path) is None


def test_no_more_is_unpacked_than_is_allowed(tmp_path: Path, fresh: pytest.MonkeyPatch) -> None:
    """A fault behind it is not even reached."""
    path = tmp_path / "answer.json.gz"
    packed = gzip.compress(np.random.default_rng(1).bytes(1_000_000))
    path.write_bytes(packed[:-8] + bytes(8))
    with pytest.raises(ValueError, match="no gzip file"):
        unpack(path)
    fresh.setattr(files, "LARGEST", 1000)
    with pytest.raises(ValueError, match="more than 1000 bytes"):
        unpack(path)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"mechanisms": [1]}', "[]", '"x"', "1e999", "\x00"])
def test_an_answer_that_is_none_is_left_alone(tmp_path: Path, case: Case, text: str) -> None:
    path = tmp_path / "answer.json.gz"
    path.write_bytes(gzip.compress(text.encode()))
    assert storage._read(case, path) is None
    path.write_bytes(gzip.compress(text.encode())[:-5])
    assert storage._read(case, path) is None


# --- compilers that misbehave ----------------------------------------------------------------------------------------


@pytest.fixture
def fake(cache: Path, fresh: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], Path]:
    """A `cc` of one's own: a shell script that says its name, and then does as it is told."""

    def write(script: str, greeting: str = "echo fake 1.0") -> Path:
        path = tmp_path / "my cc"
        path.write_text(f'#!/bin/sh\nif [ "$1" = --version ]; then {greeting}; exit; fi\n{script}\n')
        path.chmod(0o700)
        fresh.setenv("CC", f"'{path}'")
        return path

    return write


OUT = 'while [ "$1" != -o ]; do shift; done; '


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("kill -9 $$", "ended by signal 9; is there enough memory"),
        ("exit 3", "refused the generated text"),
        ("exit 0", "says that it built a file, and there is none"),
        (OUT + 'echo garbage > "$2"', "no library that can be loaded"),
        (OUT + 'head -c 70000 /dev/urandom > "$2"', "no library that can be loaded"),
        (OUT + ': > "$2"', "no library that can be loaded"),
        ("printf '\\377\\376 no' >&2; exit 1", "refused the generated text"),
    ],
)
def test_a_compiler_that_misbehaves_is_named(fake: Callable[[str], Path], cache: Path, script: str, said: str) -> None:
    fake(script)
    with pytest.raises(CompilerError, match=f"fake 1.0.*{said}"):
        build_kernel(sbml())
    assert not list(cache.iterdir())


def test_a_compiler_that_hangs_is_ended_with_its_children(
    fake: Callable[[str], Path], cache: Path, fresh: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fresh.setattr(build, "PATIENCE", 0.3)
    fake(f"sleep 987 & echo $! > '{tmp_path}/child'; wait")
    with pytest.raises(CompilerError, match=r"fake 1\.0 did not end within 0\.3 s"):
        build_kernel(sbml())
    assert not list(cache.iterdir())
    assert is_gone(int((tmp_path / "child").read_text()))


def is_gone(process: int, seconds: float = 5.0) -> bool:
    """Whether a process has ended, or ends soon; a dead one that nobody buried counts."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if "State:\tZ" in Path(f"/proc/{process}/status").read_text():
                return True
        except OSError:
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize("cc", ["nonsense", "'half", "/", "/dev/null", "false"])
def test_a_cc_that_is_none_is_said(fresh: pytest.MonkeyPatch, cc: str) -> None:
    fresh.setenv("CC", cc)
    with pytest.raises(CompilerError, match=f'CC="{cc}" is no C compiler'):
        build.find_compiler()


def test_a_cc_that_does_not_answer_is_said(fake: Callable[..., Path], fresh: pytest.MonkeyPatch) -> None:
    fresh.setattr(build, "GREETING", 0.2)
    fake("", greeting="sleep 987")
    with pytest.raises(CompilerError, match="is no C compiler that can be called"):
        build.find_compiler()


def test_an_empty_cc_is_none(fresh: pytest.MonkeyPatch) -> None:
    fresh.setenv("CC", "  ")
    assert build.find_compiler().command[0] != ""


def test_a_compiler_may_have_options_and_blanks(fake: Callable[..., Path]) -> None:
    path = fake('exec cc "$@"')
    compiler = build.find_compiler()
    assert compiler.command == (str(path),)
    kernel = build_kernel(sbml())
    np.testing.assert_allclose(kernel.solve(kernel.defaults, [2.0]).values.item(), np.exp(-1), rtol=1e-5)


# --- a folder full of traps ------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(EXAMPLE, tmp_path / "my case"))


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert text.count(old) >= 1
    file.write_text(text.replace(old, new, 1), encoding="utf-8")


@pytest.mark.proof
def test_opening_a_folder_runs_nothing(folder: Path, tmp_path: Path, fresh: pytest.MonkeyPatch) -> None:
    canary = tmp_path / "canary"
    code = f"open({str(canary)!r}, 'w').close()\n"
    for name in ("__init__", "__main__", "sitecustomize", "conftest", "antagony", "numpy", "plugin", "setup"):
        (folder / f"{name}.py").write_text(code)
        (folder / "mechanisms" / "trip" / f"{name}.py").write_text(code)
    (folder / "plugin.pth").write_text(f"import os; {code}")
    (folder / "pyproject.toml").write_text('[project.entry-points."antagony"]\nx = "plugin"\n')
    (folder / "state.pkl").write_bytes(pickle.dumps(Trap()))
    (folder / "answers").mkdir()
    (folder / "answers" / "x-standard.json.gz").write_bytes(pickle.dumps(Trap()))
    change(folder / "case.toml", 'title = "', "title = \"{0.__class__} __import__('os').system('touch canary') %s ")
    done = command("lint", cwd=folder)  # the folder's own modules stand where Python looks first
    fresh.chdir(folder)
    opened = open_case(folder)
    mechanism = opened.mechanism("trip", ["psilocybin"])
    assert mechanism.sbml
    assert opened.title.startswith("{0.__class__}")
    assert done.returncode in (0, 1), done.stderr
    assert not canary.exists()
    assert not (folder / "canary").exists()


@pytest.mark.parametrize(
    ("where", "target"),
    [
        ("parts/secret.ant", "/etc/passwd"),
        ("studies/secret.toml", "../../outside.toml"),
        ("mechanisms/trip/README.md", "/etc/passwd"),
        ("references.bib", "/dev/zero"),
        ("studies", "/etc"),
        ("drugs/extra", ".."),
        ("case.toml", "/etc/passwd"),
        ("parts/near.ant", "../../my case's neighbour"),
    ],
)
def test_a_link_out_of_the_folder_is_not_followed(folder: Path, where: str, target: str) -> None:
    path = folder / where
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    for name in ("outside.toml", f"{folder.name}'s neighbour"):
        (folder.parent / name).write_text("")
    path.symlink_to(Path("..") / target if target == ".." else target)
    if target == "..":
        path.unlink()
        path.symlink_to(folder.parent)
    with pytest.raises(CaseError, match="a link out of the case's folder"):
        open_case(folder)


def test_a_link_within_the_folder_is_followed(folder: Path) -> None:
    (folder / "notes.md").symlink_to("README.md")
    assert open_case(folder).title


def test_what_is_no_file_is_not_opened(folder: Path) -> None:
    os.mkfifo(folder / "parts" / "pipe.ant")
    with pytest.raises(CaseError, match="no file that can be read"):
        open_case(folder)


def test_a_file_beyond_all_use_is_not_read(folder: Path) -> None:
    with (folder / "data.bin").open("wb") as file:
        file.truncate(case_module.LARGEST + 1)
    with pytest.raises(CaseError, match="have at most 64 MB"):
        open_case(folder)


@pytest.mark.parametrize(
    "name", ["../../x", "/etc", "..", "", "a/b", "trip\\\\x", "../mechanisms/trip", "\u4f8b" * 100, "trip\\u0000"]
)
def test_a_name_is_no_path(folder: Path, name: str) -> None:
    change(folder / "case.toml", '"trip"', f'"{name}"')
    with pytest.raises(CaseError, match="is no name of one file or folder"):
        open_case(folder)


def test_a_wiring_is_a_file_of_its_mechanism(folder: Path) -> None:
    (folder.parent / "x.ant").write_text("secret = 1")
    file = folder / "mechanisms" / "trip" / "mechanism.toml"
    file.write_text(file.read_text() + '\n[variants.a.b]\nwiring = "../../../x.ant"\n')
    with pytest.raises(CaseError, match=r'key wiring: "\.\./\.\./\.\./x.ant" is no name of one file'):
        open_case(folder)


@pytest.mark.parametrize(
    "text",
    [
        'end\nimport "{0}"\nmodel z\n',
        'end;import/* */"{0}"',
        '# /*\r\nend // */\r\nimport "{0}"\r\nmodel z\r\n',
        'x = 1\nend import "{0}"',
        '/*\n*/end\nimport "{0}"',
        'end \\\nimport \\\n"{0}"\nmodel z\n',
        'x = 1; \\\n end\\\n;import /* */ \\ \n\\\n"{0}";model z',
    ],
)
def test_model_text_opens_no_other_file(folder: Path, text: str) -> None:
    pipe = folder.parent / "pipe"
    os.mkfifo(pipe)  # whoever opens it waits for ever
    file = folder / "parts" / "mood.ant"
    file.write_text(file.read_text() + "\n" + text.format(pipe))
    with pytest.raises(CompositionError, match=r'parts/mood.ant, line \d+: "(end|import)" leaves the model'):
        open_case(folder).mechanism("trip", ["psilocybin"])


@pytest.mark.parametrize(
    "text",
    [
        *("end", "x = 1;end", "x = 1\rend\r", "end # away", "end // away"),
        *("// or in a comment:\nend", "end \\\n;x = 1"),
        *('import "x"', 'import \\\n"x"', '// or in a comment: import "x"'),
    ],
)
def test_neither_way_out_of_a_model_is_open_alone(text: str) -> None:
    """The end of the model, and what opens a file behind it: one refused would hide that the other is not."""
    with pytest.raises(CompositionError, match=r'a.ant, line \d: "(end|import)" leaves the model'):
        symbols_of("", Text("a.ant", text))


def test_an_archive_is_no_model(tmp_path: Path) -> None:
    """COMBINE archives are written, never read: there is no way in for what they hold."""
    path = tmp_path / "model.omex"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("../../canary", "x")
    with pytest.raises(AntagonyError, match="no SBML"):
        read_sbml(path)
    assert "no SBML" in command("simulate", str(path)).stderr


# --- signals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_stopped_says_so_and_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    """Stopped while the compiler works: it ends with the run, and a second run has the numbers of one never stopped."""
    (tmp_path / "cc").write_text(
        f'#!/bin/sh\ncase "$*" in *--version*) exec cc --version;; esac\necho $$ > "{tmp_path}/pid"\nexec sleep 60\n'
    )
    (tmp_path / "cc").chmod(0o700)
    model, out = tmp_path / "model.xml", tmp_path / "run.csv"
    model.write_text(sbml())
    out.write_text("old")
    settings = {**os.environ, "CC": str(tmp_path / "cc"), "ANTAGONY_CACHE": str(tmp_path / "cache"), "NO_COLOR": "1"}
    line = [str(SCRIPT), "simulate", str(model), "--out", str(out)]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=settings)
    while not (tmp_path / "pid").exists():
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(number)
    told, said = process.communicate(timeout=20)
    assert (process.returncode, told, said) == (130, "", "stopped; no file was left half written\n")
    assert out.read_text() == "old"
    assert not list((tmp_path / "cache" / "kernels").iterdir())
    assert is_gone(int((tmp_path / "pid").read_text()))


WRITING = """
import sys, time
from pathlib import Path
from antagony import interruption
from antagony.files import write_whole

def slowly(beside):
    beside.write_text("half")
    (folder / "scratch").mkdir()
    (folder / "scratch" / "a").write_text("")
    (folder / "link").symlink_to(folder / "kept")
    print("writing", flush=True)
    time.sleep(60)

folder = Path(sys.argv[1])
interruption.stop_on_signals()
with interruption.unfinished(folder / "scratch"), interruption.unfinished(folder / "link"):
    write_whole(folder / "run.csv", slowly)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_file_that_is_being_written_is_removed_when_the_run_is_stopped(
    tmp_path: Path, number: signal.Signals
) -> None:
    """The part of it, that is, and folders of scratch; the file of before stays, and so does what a link leads to."""
    (tmp_path / "run.csv").write_text("old")
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "b").write_text("")
    line = [sys.executable, "-c", WRITING, str(tmp_path)]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "writing\n"
    process.send_signal(number)
    assert process.communicate(timeout=20)[1] == "stopped; no file was left half written\n"
    assert process.returncode == 130
    assert {path.name for path in tmp_path.iterdir()} == {"run.csv", "kept"}
    assert (tmp_path / "run.csv").read_text() == "old"
    assert (tmp_path / "kept" / "b").exists()


def test_what_is_unfinished_is_removed_with_its_block(tmp_path: Path) -> None:
    with interruption.unfinished(tmp_path / "a") as path:
        path.mkdir()
        (path / "b").write_text("")
        assert path in interruption._UNFINISHED
    assert not list(tmp_path.iterdir())
    assert path not in interruption._UNFINISHED
    with pytest.raises(ReportError), interruption.unfinished(tmp_path / "c") as path:
        write_text(path / "below", "")


# --- streams, letters, places ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose kernel is in the cache, in a folder with blanks and letters of several scripts."""
    place = tmp_path_factory.mktemp("a b \u00e9\u4f8b")
    (place / "my m\u00f6del.xml").write_text(sbml())
    return place / "my m\u00f6del.xml"


STRANGE: dict[str, dict[str, str | None]] = {
    "an alphabet of 128 letters": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "no home, no temporary folder": {"HOME": None, "TMPDIR": "/proc/nowhere", "XDG_CACHE_HOME": "/proc/nowhere"},
}


@pytest.mark.parametrize("name", STRANGE)
def test_strange_surroundings_change_no_number(model: Path, name: str) -> None:
    """In a folder that nobody can write, too; the cache lies in a place with letters of its own."""
    got = command(
        "simulate", str(model), "--json", cwd="/proc", ANTAGONY_CACHE=str(model.parent / "c\u00e4che"), **STRANGE[name]
    )
    assert got.returncode == 0, got.stderr
    np.testing.assert_allclose(json.loads(got.stdout)["data_vars"]["x"]["data"][20], np.exp(-10), rtol=1e-6)
    assert "Traceback" not in got.stderr


def test_letters_that_a_terminal_lacks_are_replaced(model: Path) -> None:
    done = command("simulate", str(model), "-o", "\u4f8b", **{"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 2
    assert "no quantity" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("how", ["nobody reads", "no room", "closed"])
def test_output_that_nobody_can_read_is_no_crash(model: Path, how: str) -> None:
    shell = {"nobody reads": "| true", "no room": "> /dev/full", "closed": ">&-"}[how]
    words = f"'{SCRIPT}' simulate '{model}' --points 3000 --json"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"{words} {shell}"], capture_output=True, text=True, check=False
    )
    assert done.returncode == {"nobody reads": 1, "no room": 1, "closed": 0}[how]
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert ("No space left" in done.stderr) == (how == "no room")
