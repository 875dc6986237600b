"""Build the site: stage the pages, run Sphinx on them with warnings as errors, check what came out.

    python docs/site/build.py build/docs
"""

from __future__ import annotations

import sys
from pathlib import Path

from checking import faults_of_site
from sphinx.cmd.build import build_main
from staging import SITE, stage


def build(folder: Path) -> int:
    """Build the site into a folder, its pages beside it in `<folder>-source`; 0 where nothing is wrong."""
    source = folder.with_name(f"{folder.name}-source")
    try:
        stage(source)
    except ValueError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    options = ["-q", "-E", "-W", "--keep-going", "-b", "html", "-d", str(folder.with_name(f"{folder.name}-trees"))]
    if failed := build_main([*options, "-c", str(SITE), str(source), str(folder)]):
        return failed
    faults = faults_of_site(folder)
    for fault in faults:
        sys.stderr.write(f"error: {fault}\n")
    sys.stdout.write(f"site: {folder / 'index.html'}\n" * (not faults))
    return min(len(faults), 1)


if __name__ == "__main__":
    sys.exit(build(Path(sys.argv[1])))
