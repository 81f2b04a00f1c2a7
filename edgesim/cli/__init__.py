"""The command line: parse, call, print. Everything heavy is imported inside the commands."""

from __future__ import annotations

import click

from edgesim import __version__
from edgesim.cli.base import Commands, debug_option
from edgesim.cli.calibrate import calibrate
from edgesim.cli.capacity import capacity
from edgesim.cli.catalog import catalog, metrics
from edgesim.cli.compare import compare
from edgesim.cli.explain import explain
from edgesim.cli.plot import plot, trace
from edgesim.cli.policies import policies
from edgesim.cli.report import report
from edgesim.cli.run import run
from edgesim.cli.scenarios import init, schema, show, validate
from edgesim.cli.sweep import sweep
from edgesim.cli.verify import verify


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@debug_option
@click.version_option(__version__, prog_name="edgesim", message="%(prog)s %(version)s")
def main() -> None:
    """Simulate LLM serving across devices, edge servers and clouds."""


for command in (
    run,
    explain,
    compare,
    sweep,
    capacity,
    plot,
    report,
    trace,
    init,
    validate,
    show,
    schema,
    policies,
    catalog,
    metrics,
    calibrate,
    verify,
):
    main.add_command(command)
