"""`edgesim verify`: against theory, the readable twin, and measurements."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Final

import click

from edgesim.cli.base import debug_option

CHECKS: Final = {
    "card": "Print the verification card.",
    "costs": "Compare cost models with a folder of measurements.",
    "intervals": "Count how often intervals contain the true mean, and how often equals are called equal.",
    "capacity": "Compare capacity searches with queueing theory.",
}
"""Modules of `edgesim.verify`, which read their own arguments."""


@click.group()
def verify() -> None:
    """Check the simulator against theory and against its readable twin."""


def _command(name: str, text: str) -> click.Command:
    """Hand all arguments on to a module."""

    @click.command(name, help=text, context_settings={"ignore_unknown_options": True}, add_help_option=False)
    @click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
    @debug_option
    def handed_on(arguments: tuple[str, ...]) -> None:
        sys.exit(import_module(f"edgesim.verify.{name}").main(list(arguments)))

    return handed_on


for _name, _text in CHECKS.items():
    verify.add_command(_command(_name, _text))
