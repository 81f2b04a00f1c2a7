"""`edgesim verify`: against theory, the readable twin, and measurements."""

from __future__ import annotations

import sys

import click

from edgesim.cli.base import debug_option


@click.group()
def verify() -> None:
    """Check the simulator against theory and against its readable twin."""


@verify.command("card", context_settings={"ignore_unknown_options": True}, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@debug_option
def verify_card(arguments: tuple[str, ...]) -> None:
    """Print the verification card."""
    from edgesim.verify import card  # noqa: PLC0415 - not for --help

    sys.exit(card.main(list(arguments)))


@verify.command("costs", context_settings={"ignore_unknown_options": True}, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@debug_option
def verify_costs(arguments: tuple[str, ...]) -> None:
    """Compare cost models with a folder of measurements."""
    from edgesim.verify import costs  # noqa: PLC0415 - not for --help

    sys.exit(costs.main(list(arguments)))


@verify.command("intervals", context_settings={"ignore_unknown_options": True}, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@debug_option
def verify_intervals(arguments: tuple[str, ...]) -> None:
    """Count how often intervals contain the true mean, and how often equals are called equal."""
    from edgesim.verify import intervals  # noqa: PLC0415 - not for --help

    sys.exit(intervals.main(list(arguments)))


@verify.command("capacity", context_settings={"ignore_unknown_options": True}, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@debug_option
def verify_capacity(arguments: tuple[str, ...]) -> None:
    """Compare capacity searches with queueing theory."""
    from edgesim.verify import capacity  # noqa: PLC0415 - not for --help

    sys.exit(capacity.main(list(arguments)))
