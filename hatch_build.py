"""What a wheel or sdist must hold: the page's front end, built; an editable install may do without."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SHELL = Path("src/antagony/page/shell.html")
MARKER = "<!-- antagony: facts and kernels -->"


class PageHook(BuildHookInterface):
    """Refuses to build a distribution without the front end."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Look before anything is packed."""
        if version == "editable":
            return
        shell = Path(self.root) / SHELL
        if not shell.is_file() or MARKER not in shell.read_text(encoding="utf-8"):
            raise FileNotFoundError(f"{shell}: the page's front end is not built; run: make shell")
