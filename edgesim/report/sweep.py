"""A sweep on a terminal: how far it is while it runs, and its points as a table when it has ended."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from rich import box
from rich.table import Table
from rich.text import Text

from edgesim.report.console import scale
from edgesim.report.progress import Bar
from edgesim.studies.design import short_names, text
from edgesim.units import format_seconds

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from edgesim.studies.sweep import Step, Sweep

MOST_ROWS: Final = 60
"""Points that the table on a terminal shows."""
WIDEST: Final = 34
"""Widest column of a swept key."""
WIDTH: Final = 11
"""Room that a column of numbers takes."""
LEAST: Final = 3
"""Columns of numbers that are shown in any case."""
COLUMNS: Final = (
    "ttft_p50", "ttft_p95", "tpot_p50", "throughput_rps", "goodput_rps", "energy_j", "e2e_p95", "cost_usd",
)  # fmt: skip
"""Columns of numbers, the most asked-for first; as many are shown as there is room for."""


class SweepProgress(Bar):
    """The progress of a sweep: a bar on a terminal, a line per finished point anywhere else."""

    def __call__(self, step: Step) -> None:
        """Take note of how far the sweep is."""
        if self._out.is_terminal:
            self._draw(step)
            if step.error:
                self._out.print(Text(f"point {step.point} ({step.label}) failed: {step.error}", "yellow"))
        elif step.point < 0:
            if step.done:
                self._out.print(
                    Text(f"{step.done} of {step.total} points are finished already"), soft_wrap=True
                )
        else:
            self._out.print(Text(self.line(step)), soft_wrap=True)

    def _draw(self, step: Step) -> None:
        left = "" if step.left_s is None else f", {format_seconds(step.left_s)} left"
        text = f"{step.done:,} of {step.total:,} points{left}"
        self.draw(step.done, step.total, text)

    def line(self, step: Step) -> str:
        """Write how far the sweep is in one line."""
        ended = f"failed: {step.error}" if step.error else format_seconds(step.wall_s)
        left = f", {format_seconds(step.left_s)} left" if step.left_s else ""
        return f"point {step.point} ({step.label}): {ended}; {step.done} of {step.total}{left}"


def show(sweep: Sweep, out: Console) -> None:
    """Print a sweep: what was swept, what came out, means over the replications."""
    frame = sweep.table
    means = _means(frame, sweep.keys)
    points = sweep.points[:MOST_ROWS]
    settings = [point.values for point in points]  # noqa: PD011 - no DataFrame
    given = {key: [_text(setting[key]) for setting in settings] for key in sweep.keys}
    names = short_names(sweep.keys)
    widths = {key: min(max(map(len, [names[key], *cells])), WIDEST) for key, cells in given.items()}
    room = (out.width - 8 - sum(widths.values()) - len(widths)) // WIDTH
    shown = [name for name in COLUMNS if means[name].notna().any()][: max(room, LEAST)]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(Text("\npoint"), justify="right")
    for key, short in names.items():
        table.add_column(
            Text(f"\n{short}"), min_width=widths[key] if room >= LEAST else None, overflow="fold"
        )
    scales = {name: _scale(means[name], sweep.units[name]) for name in shown}
    for name in shown:
        stem = name.removesuffix("_rps").removesuffix("_j").removesuffix("_usd").replace("_", " ")
        table.add_column(Text(f"{stem}\n[{scales[name][1]}]"), justify="right", no_wrap=True)
    numbers: dict[str, dict[int, float]] = {name: means[name].to_dict() for name in shown}  # type: ignore[misc]
    for row, point in enumerate(points):
        cells = [_cell(numbers[name][point.number], scales[name][0]) for name in shown]
        if point.status != "finished" and cells:
            cells[0] = Text("failed", "yellow")
        table.add_row(str(point.number), *(Text(given[key][row]) for key in sweep.keys), *cells)
    out.print(Text(_title(sweep, frame), style="bold"))
    out.print(table)
    if (rest := len(sweep) - MOST_ROWS) > 0:
        out.print(Text(f"and {rest:,} more points: all of them are in points.parquet", style="dim"))
    for line in sweep.notes:
        out.print(Text(f"note  {line}", style="yellow"))


def _means(frame: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Average the replications of each point."""
    return frame.drop(columns=keys).groupby("point").mean(numeric_only=True)


def _title(sweep: Sweep, frame: pd.DataFrame) -> str:
    parts = [str(sweep.manifest["scenario"]), f"{len(sweep):,} points"]
    if (most := int(frame["replication"].max()) + 1) > 1:
        parts.append(f"means of {most} replications")
    return " · ".join(parts)


def _scale(values: Any, unit: str) -> tuple[float, str]:
    """Choose the unit in which the median of a column reads best."""
    known = values.dropna()
    if unit in ("s", "J") and len(known):
        return scale({"unit": unit, "p50": float(known.median()), "max": float(known.max())})
    return 1.0, unit


def _cell(value: float, size: float) -> Text:
    """Write a number with four significant digits or all before the point; a missing one is a dash."""
    if math.isnan(value):
        return Text("-")
    number = value / size
    return Text(f"{number:,.0f}" if 1000 <= abs(number) < 10**9 else f"{number:.4g}")


def _text(value: Any) -> str:
    return "-" if value is None else text(value)
