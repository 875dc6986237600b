"""The public names: sorted, all that is public, documented, and free of charge until they are used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import antagony

HEAVY = ("sympy", "libsbml", "antimony", "scipy.stats", "matplotlib", "pandas", "xarray", "pint", "pydantic")


def in_fresh_process(code: str) -> str:
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


def test_the_names_are_sorted() -> None:
    assert antagony.__all__ == sorted(antagony.__all__)
    assert dir(antagony) == antagony.__all__


def test_nothing_else_is_public() -> None:
    code = "import antagony; print(*[n for n in vars(antagony) if not n.startswith('_')])"
    assert in_fresh_process(code).split() == ["annotations", "TYPE_CHECKING"]
    homes = [name for names in antagony._HOMES.values() for name in names]
    assert sorted([*homes, "__version__"]) == antagony.__all__


@pytest.mark.parametrize("name", [name for name in antagony.__all__ if name != "__version__"])
def test_each_name_has_a_docstring(name: str) -> None:
    text = getattr(antagony, name).__doc__
    assert text
    assert not text.startswith(f"{name}("), "a dataclass without a docstring shows its signature"


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'simulat'"):
        antagony.simulat  # type: ignore[attr-defined] # noqa: B018


@pytest.mark.parametrize("module", ["antagony", "antagony.cli"])
def test_the_import_loads_nothing_heavy(module: str) -> None:
    code = f"import sys, {module}; print(*[name for name in {HEAVY} if name in sys.modules])"
    assert in_fresh_process(code) == ""


def test_a_heavy_import_would_be_seen() -> None:
    code = f"import sys, antagony; antagony.simulate; print(*[name for name in {HEAVY} if name in sys.modules])"
    assert in_fresh_process(code) != ""
