"""A comparison as tables and sentences in a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.text import Text

from edgesim.report.console import console, plain_table
from edgesim.results.quantity import quantity, written
from edgesim.units import format_percent, percents

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console
    from rich.table import Table

    from edgesim.results.comparison import Comparison, Row

MOST_SENTENCES: Final = 12
"""Real differences that are said in words; the table has all."""


def show(
    found: Comparison, objectives: Sequence[str] = (), *, most: int = 4, out: Console | None = None
) -> None:
    """Print a comparison.

    Args:
        found: What to print.
        objectives: Quantities of the Pareto front; none for no front.
        most: Candidates up to which all pairs are printed; of more, each one against the first.
        out: Where to.
    """
    target = out or console()
    replications = {each.replications for each in found.candidates}
    number = (
        str(min(replications)) if len(replications) == 1 else f"{min(replications)} to {max(replications)}"
    )
    kinds = " · ".join([", ".join(found.names), f"{number} replication{'' if number == '1' else 's'} each"])
    target.print(Text(kinds, style="bold"))
    pairs = list(dict.fromkeys((row.a, row.b) for row in found.rows))
    if len(found.names) > most:
        pairs = [pair for pair in pairs if pair[0] == found.names[0]]
    for a, b in pairs:
        target.print()
        target.print(_table(found, a, b))
    real = [row for row in found.rows if row.real and (row.a, row.b) in pairs]
    for row in real[:MOST_SENTENCES]:
        target.print(Text(row.sentence()))
    if real:
        target.print()
    known = sum(row.p is not None for row in found.rows)
    target.print(
        Text(
            f"{sum(row.real for row in found.rows)} of {known} differences are real: at"
            f" {format_percent(found.confidence)} for all of them together (Holm); intervals are"
            f" {format_percent(found.confidence)} each",
            "dim",
        )
    )
    if objectives:
        target.print()
        target.print(_front(found, objectives))
    for note in found.notes:
        target.print(Text(f"note  {note}", "yellow"))


def _table(found: Comparison, a: str, b: str) -> Table:
    """The differences of a pair."""
    rows = [row for row in found.rows if (row.a, row.b) == (a, b)]
    head = ("", a, b, "difference", f"{format_percent(found.confidence)} interval", "real")
    lines = [
        [
            Text(row.label),
            Text(written(row.mean_a, row.unit)),
            Text(written(row.mean_b, row.unit)),
            *_cells(row),
        ]
        for row in rows
    ]
    kinds = ", ".join(dict.fromkeys(row.kind for row in rows if row.p is not None))
    return plain_table(head, lines, f"{b} against {a}" + (f" ({kinds})" if kinds else ""))


def _cells(row: Row) -> list[Text]:
    size = row.mean_a
    if row.relative is None:
        change = written(row.difference, row.unit)
        span = (
            ""
            if row.low is None or row.high is None
            else f"{written(row.low, row.unit)} to {written(row.high, row.unit)}"
        )
    else:
        change = f"{percents(row.relative, '+')} %"
        span = (
            ""
            if row.low is None or row.high is None
            else f"{percents(row.low / abs(size), '+')} to {percents(row.high / abs(size), '+')} %"
        )
    if row.p is None:
        return [Text(change), Text("-", "dim"), Text("unknown", "dim")]
    verdict = "yes" if row.real else "perhaps" if row.perhaps else "no"
    if row.better:
        verdict += ", better" if row.better == row.b else ", worse"
    return [Text(change), Text(span), Text(verdict, "bold green" if row.real else "dim")]


def _front(found: Comparison, objectives: Sequence[str]) -> Table:
    """Who is on the Pareto front."""
    table = found.pareto(*objectives)
    kinds = [quantity(name) for name in objectives]
    lines = [
        [
            Text(str(name)),
            *(Text(written(float(row[each.name]), each.unit)) for each in kinds),
            Text("on the front", "bold green")
            if row["front"]
            else Text(f"beaten by {row['dominated_by']}", "dim"),
        ]
        for name, row in table.iterrows()
    ]
    return plain_table(("", *(each.label for each in kinds), ""), lines, "Pareto front, by the means")
