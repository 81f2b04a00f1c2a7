"""What all commands share: exit codes, errors as messages, common options, tables."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from edgesim.errors import EdgesimError, ScenarioError

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
_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
"""What a file system says that takes no more: nothing that edgesim could do about it."""
FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)


class Commands(click.Group):
    """Commands whose errors end as messages and exit codes, listed in the order in which they were added."""

    def list_commands(self, _: click.Context) -> list[str]:
        """Answer all names: what newcomers want comes first."""
        return list(self.commands)

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
            if isinstance(error, OSError) and error.errno in _FULL:
                place = f" to '{error.filename}'" if error.filename else ""
                click.echo(f"error: cannot write{place}: {os.strerror(error.errno)}", err=True)
                ctx.exit(EXIT_INPUT)
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


class Option(click.Option):
    """An option whose default may be shown in words, written like all others."""

    def get_help_extra(self, ctx: click.Context) -> Any:
        """Answer what stands in brackets behind the help."""
        found = super().get_help_extra(ctx)
        if isinstance(self.show_default, str):
            found["default"] = self.show_default
        return found


Command = Callable[..., Any]
Decorator = Callable[[Command], Command]
PATH: Final = click.Path(path_type=Path)

debug_option = click.option(
    "--debug", is_flag=True, expose_value=False, is_eager=True, callback=_debug, help="Show tracebacks."
)
sets_option = click.option(
    "-s",
    "--set",
    "sets",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override, e.g. scenario.seed=2; repeatable.",
)
plugins_option = click.option(
    "--plugin", "plugins", multiple=True, metavar="FILE", help="Python file with policies; repeatable."
)
over_option = click.option(
    "--over",
    "overs",
    multiple=True,
    metavar="KEY=V1,V2,...",
    help="Values of a key, e.g. policies.router=nearest,random; repeatable, all combinations run.",
)
seed_option = click.option(
    "--seed", cls=Option, type=click.IntRange(min=0), metavar="N", help="Seed.", show_default="the scenario's"
)
precision_option = click.option(
    "--precision",
    cls=Option,
    metavar="SHARE",
    help='Add replications until intervals are so narrow, e.g. "2 %"; instead of -n.',
    show_default="the scenario's",
)
jobs_option = click.option(
    "-j", "--jobs", type=click.IntRange(min=0), default=1, metavar="N", help="Processes; 0: one a processor."
)
resume_option = click.option(
    "--resume", is_flag=True, help="Go on with what was interrupted in the folder; nothing is run twice."
)
quiet_option = click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")


def option(*names: str, default: str, **settings: Any) -> Decorator:
    """An option whose default is worked out later; help shows `default` for it."""
    return click.option(*names, cls=Option, show_default=default or False, **settings)


def replications_option(what: str, *, default: str, least: int = 1) -> Decorator:
    """Add -n, and say what is repeated."""
    kind = click.IntRange(min=least)
    return option("-n", "--replications", type=kind, metavar="N", help=what, default=default)


def out_option(what: str, default: str = "") -> Decorator:
    """Add -o, and say what is written there, and where unless it is given."""
    return option("-o", "--out", type=PATH, metavar="PATH", help=what, default=default)


def force_option(what: str) -> Decorator:
    """Add --force, and say what it replaces."""
    return click.option("--force", is_flag=True, help=f"Replace {what}.")


def json_option(what: str) -> Decorator:
    """Add --json, and say what it prints."""
    return click.option("--json", "as_json", is_flag=True, help=f"Print {what} as JSON, in SI units.")


def metric_option(what: str, *, multiple: bool = False) -> Decorator:
    """Add -m, and say what it chooses."""
    return click.option(
        "-m", "--metric", "metrics" if multiple else "metric", multiple=multiple, metavar="NAME", help=what
    )


def scenario_options(command: Command) -> Command:
    """Add what all commands that load a scenario take."""
    for each in (plugins_option, sets_option, click.argument("scenario")):
        command = each(command)
    return command


@contextmanager
def blaming(option: str) -> Iterator[None]:
    """Say in errors that it is an option whose value is wrong."""
    try:
        yield
    except ScenarioError as error:
        raise ScenarioError([replace(each, file=each.file or option) for each in error.problems]) from None


def share(text: str, option: str) -> float:
    """Read a share that was given, such as "95 %"."""
    from edgesim.units import parse_share  # noqa: PLC0415 - not for --help

    with blaming(option):
        return parse_share(text)


def duration(text: str, option: str) -> float:
    """Read a time that was given [s]."""
    from edgesim.units import seconds  # noqa: PLC0415 - not for --help

    with blaming(option):
        return seconds(text)


def once(precision: str | None, replications: int | None) -> None:
    """Make sure that it is said once how often to run, and that it can be read."""
    if precision is None:
        return
    if replications is not None:
        raise click.UsageError("--precision decides how many replications there are; leave -n out")
    share(precision, "--precision")


def belong_to_out(out: Path | None, *, resume: bool, force: bool) -> None:
    """Make sure that there is a folder to go on with or to replace."""
    if (resume or force) and out is None:
        raise click.UsageError("--resume and --force belong to -o FOLDER")
    one_of(resume=resume, force=force)


def one_of(*, resume: bool, force: bool) -> None:
    """Make sure that a folder is not to be kept and replaced."""
    if resume and force:
        raise click.UsageError("--resume keeps what --force would replace: give one of them")


def load_scenario(scenario: str, sets: Sequence[str], plugins: Sequence[str]) -> Scenario:
    """Load what a command was given."""
    from edgesim.scenario import load  # noqa: PLC0415 - pydantic and yaml are not for --help

    return load(scenario, sets, plugins)


def announce_compilation() -> bool:
    """Say why the very first run takes longer, if this is one; answer whether it is."""
    from edgesim.arena.compile import is_cold  # noqa: PLC0415 - brings numba

    cold = is_cold()
    if cold:
        click.echo("compiling the engine for this machine: about a minute, once", err=True)
    return cold


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]], title: str = "") -> None:
    """Print rows of plain text as a table."""
    from rich.text import Text  # noqa: PLC0415 - rich is not for --help

    from edgesim.report.console import console, plain_table  # noqa: PLC0415

    table = plain_table(head, [[Text(cell) for cell in row] for row in rows], title)
    console().print(table)
