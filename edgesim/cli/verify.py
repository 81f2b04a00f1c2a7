"""`edgesim verify`: against theory, the readable twin, and measurements."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from edgesim.cli.base import PATH, Command, debug_option, jobs_option, json_option

if TYPE_CHECKING:
    from pathlib import Path

PARTS: Final = ("devices", "kernels", "parallelism", "replays")
"""What a folder of measurements may hold."""
SEVERAL: Final = click.IntRange(min=1)


@click.group()
def verify() -> None:
    """Check edgesim against theory, its twin and measurements."""


def _checks(command: Command) -> Command:
    """Add what all commands take that print a list of checks."""
    return json_option("the checks")(debug_option(command))


@verify.command("card")
@click.option(
    "--systems", type=SEVERAL, default=50, metavar="N", help="Random systems to run on both engines."
)
@_checks
@click.pass_context
def verify_card(ctx: click.Context, systems: int, *, as_json: bool) -> None:
    """Check engine and books against theory and the readable twin.

    The twin does the same with one SimPy event a step; both must be equal to the bit.

    Exit code 1 if a check fails.
    """
    from edgesim.verify import card  # noqa: PLC0415 - brings the engine

    ctx.exit(card.main(systems, as_json=as_json))


@verify.command("costs")
@click.option("--data", type=PATH, required=True, metavar="DIR", help="Folder of measurements.")
@click.option("--leave-out", metavar="HARDWARE", help="Fit again without this hardware, and predict it.")
@click.option(
    "--only", type=click.Choice(PARTS), multiple=True, help="Only this part of the folder; repeatable."
)
@click.option("--plots", type=PATH, metavar="DIR", help="Draw predicted over measured, and served runs.")
@json_option("all groups")
@debug_option
def verify_costs(
    data: Path, leave_out: str | None, only: tuple[str, ...], plots: Path | None, *, as_json: bool
) -> None:
    """Compare cost models with a folder of measurements.

    It may hold devices/device_points.csv (speeds and joules of many machines), kernels/profile_* (kernel times),
    kernels/splitwise_a100.csv (one machine at several degrees of parallelism) and replays/ (runs as they were
    served); what is missing is left out.
    """
    from edgesim.verify import costs  # noqa: PLC0415 - brings the engine

    costs.main(data, only or PARTS, leave_out=leave_out, plots=plots, as_json=as_json)


@verify.command("intervals")
@click.option("--runs", type=click.IntRange(min=5), default=1000, metavar="N", help="Runs of each queue.")
@click.option("--pairs", type=SEVERAL, default=300, metavar="N", help="Comparisons of equal systems.")
@_checks
@click.pass_context
def verify_intervals(ctx: click.Context, runs: int, pairs: int, *, as_json: bool) -> None:
    """Count how often intervals hold the truth.

    And how often comparisons of equals find no difference. The queues are M/M/1 and M/D/1 of edgesim itself, whose
    means and percentiles are known exactly.

    Exit code 1 if a check fails.
    """
    from edgesim.verify import intervals  # noqa: PLC0415 - brings the engine

    ctx.exit(intervals.main(runs, pairs, as_json=as_json))


@verify.command("capacity")
@click.option("--requests", type=SEVERAL, default=20_000, metavar="N", help="Requests of a replication.")
@jobs_option
@_checks
@click.pass_context
def verify_capacity(ctx: click.Context, requests: int, jobs: int, *, as_json: bool) -> None:
    """Compare capacity searches with the limits of M/D/1.

    Exit code 1 if a check fails.
    """
    from edgesim.verify import capacity  # noqa: PLC0415 - brings the engine

    ctx.exit(capacity.main(requests, jobs, as_json=as_json))
