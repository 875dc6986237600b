"""The command line: antagony verdict | weigh | design | simulate | claims | trial | diff | export | cite | lint."""

from __future__ import annotations

import gc
import io
import os
import sys
from contextlib import suppress

import typer

from .commands import answers, checks, designs, exports, simulation, trials
from .errors import AntagonyError
from .interruption import heed_signals_no_more, stop_on_signals
from .terminal import show_console

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help=(
        "Put rival drug mechanisms on trial: simulate each on real doses, check what it claims, compare it with "
        "published trials, weigh the rivals, find the trial that would tell them apart. No dosing advice. Start with: "
        "antagony verdict; then: antagony weigh; antagony design"
    ),
)

# --help lists them in this order, groups last
app.command("verdict")(answers.verdict)
app.command("page")(answers.page)
app.command("report")(answers.report)
app.command("simulate")(simulation.simulate)
app.command("claims")(checks.claims)
app.command("trial")(trials.trial)
app.command("weigh")(answers.weigh)
app.command("nominal")(answers.nominal)
app.command("diff")(checks.diff)
app.command("export")(exports.take_out)
app.command("cite")(exports.cite)
app.command("lint")(checks.lint)
design_app = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode=None)
app.add_typer(design_app, name="design")
design_app.callback(invoke_without_command=True)(designs.rank_designs)
design_app.command("show")(designs.show_design)
design_app.command("optimise")(designs.optimise_design)


def main() -> None:
    """Entry point: errors that a user can mend are printed as one sentence, exit code 2; 130 when stopped."""
    stop_on_signals()
    gc.set_threshold(100_000, 50, 50)  # symbols are many and hold few cycles: a cold verdict takes 82 s, not 87
    sys.stdout = sys.stdout or open(os.devnull, "w")  # closed by whoever called us
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # letters that a terminal's own alphabet lacks
    try:
        code = app(standalone_mode=False)  # an exit code where a command asked for one
        sys.stdout.flush()
    except typer.Abort:
        code = 130
    except BrokenPipeError:
        code = _leave_unread()
    except AntagonyError as error:
        _say(error)
        code = 2
    except OSError as error:
        _say(f"{error.filename or 'output'}: {error.strerror or error}")
        code = 2 if error.filename else _leave_unread()
    except Exception as error:
        if not (type(error).__module__.startswith(("typer", "click")) and hasattr(error, "show")):
            raise
        error.show()  # type: ignore[attr-defined] - usage errors know how to print themselves
        code = getattr(error, "exit_code", 2)
    heed_signals_no_more()
    sys.exit(code if isinstance(code, int) else 0)


def _say(error: object) -> None:
    show_console(stderr=True).print(f"error: {error}", markup=False, highlight=False, soft_wrap=True)


def _leave_unread() -> int:
    """Drop what nobody can read any more, or what there is no room for, so that Python's end does not try again."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1


if __name__ == "__main__":
    main()
