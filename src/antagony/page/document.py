"""One HTML file: the built front end with a case's facts and kernels in it.

Everything that the case says is packed, so nothing of it can close a tag or run as a script.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import ReportError
from ..files import write_text
from .facts import Facts

SHELL = Path(__file__).parent / "shell.html"
STILL = '<div id="still" hidden></div>'  # shown where a browser cannot run the kernel
MARKER = "<!-- antagony: facts and kernels -->"


def write_page(facts: Facts, path: Path, shell: str | None = None) -> Path:
    """Write the page as one file and return its path. Raises ReportError and leaves nothing half-written."""
    return write_text(path, fill_shell(read_shell() if shell is None else shell, facts))


def read_shell() -> str:
    """The built front end. Raises ReportError where it was not built."""
    try:
        return SHELL.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ReportError("the page's front end is not built; in a clone of the project run: make page") from None


def fill_shell(shell: str, facts: Facts) -> str:
    """The front end with data in place of its marker."""
    if shell.count(MARKER) != 1:
        raise ReportError(f"the page's front end has no marker {MARKER}; build it again: make page")
    parts = [f'<script type="text/plain" id="facts">{pack(_json(facts.values))}</script>']
    parts += [
        f'<script type="text/plain" class="kernel" data-mechanism="{slug}">{pack(module.module)}</script>'
        for slug, module in facts.modules.items()
    ]
    return shell.replace(STILL, STILL.replace("></", f">{facts.still}</")).replace(MARKER, "\n".join(parts))


def pack(content: bytes) -> str:
    """Gzip in base64, the same text each time."""
    return base64.b64encode(gzip.compress(content, 9, mtime=0)).decode("ascii")


def _json(values: Mapping[str, Any]) -> bytes:
    """Numbers come back bit for bit; what is no number is refused here, not in the page."""
    return json.dumps(values, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()
