"""`edgesim explain`: why a run came out as it did."""

from __future__ import annotations

import json
import re
import textwrap
from typing import TYPE_CHECKING, Final

import click

from edgesim.cli.base import PATH, debug_option, json_option, option

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

_LEFT_OUT: Final = {
    "bottlenecks": (
        "phase",
        "tier",
        "place",
        "busiest_link",
        "arrived",
        "utilisation",
        "queue_length",
        "peak_kv_share",
    ),
    "queues": ("queueing_share", "preemptions", "peers"),
    "worst": (
        "workload",
        "status",
        "arrived_at_s",
        *(
            f"{phase}_s"
            for phase in ("decision", "backoff", "uplink", "queue", "prefill", "decode", "stall", "downlink")
        ),
    ),
}
"""Columns that a terminal has no room for; --json has all."""

WIDTH: Final = 100
"""Longest line of a sentence [letters]."""
_UNIT: Final = re.compile(r"(?<=\d) (?=(?:%|[mun]?s|min|h|[kM]?J)(?![a-z]))")
"""The space before a unit, where no line ends."""


@click.command()
@click.argument("run", metavar="DIR", type=PATH)
@option(
    "--intervals",
    type=click.IntRange(1, 1000),
    metavar="N",
    help="Intervals to look for bottlenecks in.",
    default="10 to 20",
)
@click.option("--worst", type=click.IntRange(1), default=10, metavar="N", help="Worst requests to list.")
@json_option("sentences and tables")
@debug_option
def explain(run: Path, *, intervals: int | None, worst: int, as_json: bool) -> None:
    """Explain the run in DIR: missed objectives, bottlenecks, costs.

    Sentences, with a table behind each: what happened, why objectives were missed, what held requests up and when,
    where time, joules and dollars went, and the worst requests.
    """
    from edgesim.report.console import console  # noqa: PLC0415 - not for --help
    from edgesim.results import load_run  # noqa: PLC0415
    from edgesim.studies.explanation import explain as explained  # noqa: PLC0415

    found = explained(load_run(run), intervals=intervals, count=worst)
    if as_json:
        click.echo(json.dumps(found.plain(), indent=1, allow_nan=False))
        return
    width = min(console().width, WIDTH)
    click.echo(found.subject)
    for part in found.parts:
        click.echo(f"\n{part.title}")
        for sentence in part.sentences:
            joined = _UNIT.sub("\N{NO-BREAK SPACE}", sentence)
            lines = click.wrap_text(joined, width, initial_indent="- ", subsequent_indent="  ")
            click.echo(lines.replace("\N{NO-BREAK SPACE}", " "))
        for name, table in part.tables.items():
            if len(table):
                _print(name, table)


def _print(name: str, table: pd.DataFrame) -> None:
    """Print a table for people: numbers to the right, below headings no wider than they are; empty columns go."""
    from rich.text import Text  # noqa: PLC0415 - rich is not for --help

    from edgesim.report.console import console, plain_table  # noqa: PLC0415
    from edgesim.report.page.markup import cell, heading  # noqa: PLC0415

    kept = [
        column
        for column in table.columns
        if table[column].notna().any() and column not in _LEFT_OUT.get(name, ())
    ]
    columns = [[cell(column, value) for value in table[column]] for column in kept]
    texts = [[each if isinstance(each, str) else each[0] for each in cells] for cells in columns]
    heads = [
        _broken(heading(column), max(map(len, cells))) for column, cells in zip(kept, texts, strict=True)
    ]
    shown = plain_table(heads, [[Text(text) for text in row] for row in zip(*texts, strict=True)])
    shown.padding = (0, 1, 0, 0)
    for column, cells in zip(shown.columns, columns, strict=True):
        number = isinstance(cells[0], tuple)
        column.justify = "right" if number else "left"
        column.no_wrap = number or column.header == "timeline"
        column.overflow = "fold"
    console().print(shown)


def _broken(words: str, width: int) -> str:
    """Break a heading into lines that are no wider than its column, between words."""
    return "\n".join(textwrap.wrap(words, max(width, *map(len, words.split())), break_long_words=False))
