"""Runs and sweeps as a notebook shows them: verdicts, and numbers with units that read well, in its own colours."""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from edgesim.metrics import SHOWN
from edgesim.results import spread
from edgesim.results.quantity import written
from edgesim.results.verdict import demanded, reached
from edgesim.units import format_joules, format_seconds, format_usd

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edgesim.results.run import Result
    from edgesim.results.sweep import Sweep

MOST: Final = 20
"""Points of a sweep that are listed."""
_MARKS: Final = {True: "\N{CHECK MARK}", False: "\N{BALLOT X}", None: "\N{EN DASH}"}
_WORDS: Final = {True: "met", False: "missed", None: "not judged"}


def run_card(run: Result, replications: int = 1) -> str:
    """Describe a run in HTML: how requests ended, which objectives are met, the metrics."""
    found = run.summary
    counts = found["requests"]
    simulated = format_seconds(found["engine"]["simulated_s"])
    about = [f"{counts['completed']:,} of {counts['arrived']:,} requests completed in {simulated}"]
    about += [f"{replications} replications"] if replications > 1 else []
    each = " per replication" if replications > 1 else ""
    about += [
        format_joules(found["energy_j"]["total"]) + each,
        format_usd(found["cost_usd"]) + each,
        str(found["stability"]),
    ]
    about += [f"in {run.folder}"] if run.folder else []
    judged = counts["arrived"] > found["warmup"]["requests"] and all(
        each.finished for each in (run if isinstance(run, Iterable) else [run])
    )
    verdicts = "".join(
        f"<li>{_MARKS[row['met'] if judged else None]} {html.escape(demanded(row))}:"
        f" {_WORDS[row['met'] if judged else None]}{'' if row['value'] is None else f', {reached(row)}'}</li>"
        for row in found["slo"]
    )
    rows = [
        [name, *(_statistic(values, each, spread.interval(found, name)) for each in SHOWN)]
        for name, values in found["metrics"].items()
        if values["count"] and values["max"]
    ]
    head = ["metric", "mean \N{PLUS-MINUS SIGN} 95 %" if spread.known(found) else "mean", *SHOWN[1:]]
    listed = f'<ul style="list-style: none; padding-left: 0">{verdicts}</ul>' if verdicts else ""
    title = f"<b>{html.escape(run.scenario.scenario.name)}</b>: {html.escape('; '.join(about))}"
    return f"<div>{title}{listed}{_table(head, rows)}</div>"


def _statistic(values: dict[str, Any], name: str, known: Mapping[str, Any]) -> str:
    """One number of a metric, the mean with its interval if that is known; dollars are those of 1,000 requests."""
    many, value = (1000 if values["unit"] == "USD" else 1), values[name]
    if value is None:
        return ""
    if name == "mean" and known:
        shown = spread.around(known, lambda each: written(many * each, values["unit"]))
    else:
        shown = written(many * value, values["unit"])
    return f"{shown}{' per 1,000' if many > 1 else ''}"


def sweep_card(sweep: Sweep, columns: Sequence[str]) -> str:
    """Describe a sweep in HTML: its points, means of their replications."""
    table, keys = sweep.table, list(sweep.keys)
    shown = [name for name in columns if table[name].notna().any()]
    numbers = [name for name in shown if table[name].dtype.kind in "iufb"]
    groups = table.groupby("point", sort=True)
    points = groups[[*keys, *shown]].first()
    points[numbers] = groups[numbers].mean()
    rows = [
        [str(point), *(_value(row[name], sweep.units.get(name, "")) for name in [*keys, *shown])]
        for point, row in points.head(MOST).to_dict(orient="index").items()
    ]
    hint = f"<p>The first {MOST} of {len(points):,}; <code>.table</code> has all.</p>"
    more = hint if len(points) > MOST else ""
    notes = "".join(f"<p>{html.escape(note)}</p>" for note in sweep.notes)
    return f"<p>{html.escape(repr(sweep))}</p>{_table(['point', *keys, *shown], rows)}{more}{notes}"


def _value(value: Any, unit: str) -> str:
    value = value.item() if hasattr(value, "item") else value
    if value is None or value != value:  # noqa: PLR0124 - NaN: missing
        return ""
    if isinstance(value, int | float) and unit:
        return written(float(value), unit)
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    columns = "".join(f"<th>{html.escape(name)}</th>" for name in head)
    body = "".join(
        f"<tr><th>{html.escape(first)}</th>{''.join(f'<td>{html.escape(cell)}</td>' for cell in rest)}</tr>"
        for first, *rest in rows
    )
    return f"<table><thead><tr>{columns}</tr></thead><tbody>{body}</tbody></table>"
