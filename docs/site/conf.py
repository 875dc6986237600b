"""How Sphinx builds the site: Markdown by MyST, the theme Furo, and nothing that is fetched from the net."""

from __future__ import annotations

from sphinx.application import Sphinx

import antagony

project = "Antagony"
author = "the Antagony project"
version = release = antagony.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
myst_heading_anchors = 4
highlight_language = "text"
default_role = "code"  # docstrings write `name`, as Markdown does
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"

html_theme = "furo"
html_title = f"Antagony {release}"
html_copy_source = False
html_show_copyright = html_show_sphinx = False
html_theme_options = {"footer_icons": [], "top_of_page_buttons": []}


def mark_equations(app: Sphinx, what: str, name: str, found: object, options: object, lines: list[str]) -> None:
    """Let an indented block of a docstring stand as it is written: equations and truth tables are set by hand."""
    marked: list[str] = []
    inside = False
    for number, line in enumerate(lines):
        indented = line.startswith("    ")
        starts = indented and not inside and number > 0 and not lines[number - 1].strip()
        if starts:
            marked += ["::", ""]
        inside = indented or (inside and not line.strip())
        marked.append(line)
    lines[:] = marked


def setup(app: Sphinx) -> None:
    """Called by Sphinx when it reads this file."""
    app.connect("autodoc-process-docstring", mark_equations)
