"""`edgesim explain`: why a run came out as it did."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

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

WIDEST: Final = 30
"""Least width of the column that says what held requests up [letters]."""


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
    from edgesim.results import load_run  # noqa: PLC0415 - not for --help
    from edgesim.studies.explanation import explain as explained  # noqa: PLC0415

    found = explained(load_run(run), intervals=intervals, count=worst)
    if as_json:
        click.echo(json.dumps(found.plain(), indent=1, allow_nan=False))
        return
    click.echo(found.subject)
    for part in found.parts:
        click.echo(f"\n{part.title}")
        for sentence in part.sentences:
            click.echo(click.wrap_text(sentence, 100, initial_indent="- ", subsequent_indent="  "))
        for name, table in part.tables.items():
            if len(table):
                _print(name, table)


def _print(name: str, table: pd.DataFrame) -> None:
    """Print a table for people: quantities by the unit at the end of their column's name; empty columns go."""
    from rich.text import Text  # noqa: PLC0415 - rich is not for --help

    from edgesim.report.console import console, plain_table  # noqa: PLC0415

    kept = [
        column
        for column in table.columns
        if table[column].notna().any() and column not in _LEFT_OUT.get(name, ())
    ]
    rows = [
        [Text(_cell(column, value), overflow="fold") for column, value in zip(kept, row, strict=True)]
        for row in table[kept].itertuples(index=False)
    ]
    shown = plain_table([_heading(column) for column in kept], rows)
    for column in shown.columns:
        column.no_wrap = column.header == "timeline"
        column.min_width = WIDEST if column.header == "bottleneck" else None
    console().print(shown)


def _heading(column: str) -> str:
    return column.removesuffix("_s").removesuffix("_j").replace("_", " ")


def _cell(column: str, value: Any) -> str:
    from edgesim.units import format_joules, format_percent, format_seconds, format_usd  # noqa: PLC0415 - not for --help

    if isinstance(value, str):
        return value
    if value != value:  # noqa: PLR0124 - NaN: missing
        return "-"
    if column.endswith("_s"):
        return "0" if not value else format_seconds(float(value))
    if column.endswith("_j"):
        return format_joules(float(value))
    if "usd" in column:
        return format_usd(float(value))
    if column.endswith("share") or column == "utilisation":
        return format_percent(float(value))
    return f"{value:,}" if isinstance(value, int) else f"{value:,.3g}"
