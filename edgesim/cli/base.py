"""What all commands share: exit codes, errors as messages, common options, tables."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from edgesim.errors import EdgesimError

if TYPE_CHECKING:
    from edgesim.scenario import Scenario

EXIT_SLO: Final = 1
"""An objective was missed, and --check-slo or a search for a capacity asked."""
EXIT_INPUT: Final = 2
"""Something the user gave is wrong."""
EXIT_INTERNAL: Final = 3
"""A fault of edgesim."""
EXIT_INTERRUPTED: Final = 130

_DEBUG: Final = "edgesim.debug"
FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)


class Commands(click.Group):
    """Commands whose errors end as messages and exit codes."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            ctx.exit(EXIT_INTERRUPTED)
        except EdgesimError as error:
            _trace(ctx)
            click.echo(error_text(error), err=True)
            ctx.exit(EXIT_INPUT)
        except Exception as error:  # noqa: BLE001 - the last resort: no traceback in a user's face
            _trace(ctx)
            advice = "" if _debugging(ctx) else "; --debug shows where"
            click.echo(f"internal error: {type(error).__name__}: {error}{advice}", err=True)
            ctx.exit(EXIT_INTERNAL)


def _debugging(ctx: click.Context) -> bool:
    return bool(ctx.meta.get(_DEBUG) or os.environ.get("EDGESIM_DEBUG", "") not in ("", "0"))


def _trace(ctx: click.Context) -> None:
    """Print where the current exception came from, if that was asked for."""
    if _debugging(ctx):
        import traceback  # noqa: PLC0415 - only when something broke

        traceback.print_exc()


def error_text(error: EdgesimError) -> str:
    """Write an error for the terminal."""
    text = str(error)
    text = text if text.startswith("error:") else f"error: {text}"
    hint = getattr(error, "help", "")
    return f"{text}\n  help: {hint}" if hint else text


def _debug(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        ctx.meta[_DEBUG] = True


Command = Callable[..., Any]
debug_option = click.option(
    "--debug", is_flag=True, expose_value=False, is_eager=True, callback=_debug, help="Show tracebacks."
)


def scenario_options(command: Command) -> Command:
    """Add what all commands that load a scenario take."""
    for option in (
        click.option(
            "--plugin",
            "plugins",
            multiple=True,
            metavar="FILE",
            help="Python file with policies; repeatable.",
        ),
        click.option(
            "-s", "--set", "sets", multiple=True, metavar="KEY=VALUE", help="Override, e.g. scenario.seed=2."
        ),
        click.argument("scenario"),
        debug_option,
    ):
        command = option(command)
    return command


def load_scenario(scenario: str, sets: Sequence[str], plugins: Sequence[str]) -> Scenario:
    """Load what a command was given."""
    from edgesim.scenario import load  # noqa: PLC0415 - pydantic and yaml are not for --help

    return load(scenario, sets, plugins)


def announce_compilation() -> None:
    """Say why the very first run takes longer."""
    from edgesim.arena.compile import is_cold  # noqa: PLC0415 - brings numba

    if is_cold():
        click.echo("compiling the engine for this machine: about a minute, once", err=True)


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]], title: str = "") -> None:
    """Print rows of plain text as a table."""
    from rich.text import Text  # noqa: PLC0415 - rich is not for --help

    from edgesim.report.console import console, plain_table  # noqa: PLC0415

    table = plain_table(head, [[Text(cell) for cell in row] for row in rows], title)
    console().print(table)
