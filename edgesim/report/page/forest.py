"""The forest of a comparison: relative differences with their intervals, a line each, as wide as the page."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from edgesim.report.page.markup import text
from edgesim.units import format_percent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MOST: Final = 40
"""Rows that are drawn."""
FURTHEST: Final = (-1.5, 3.0)
"""Shares at which the axis ends at the latest; what lies beyond is cut off there."""


def forest(rows: Sequence[Mapping[Any, Any]], *, several: bool) -> str:
    """Draw relative differences; those without a share or an interval are left out.

    Args:
        rows: Rows of the comparison's table.
        several: Whether there is more than one pair, so that each line must name its own.
    """
    drawn = [row for row in rows if _known(row["relative"], row["low"], row["high"]) and row["mean_a"]][:MOST]
    if not drawn:
        return ""
    ends = [(_share(row, "low"), _share(row, "high")) for row in drawn]
    start = max(min(-0.1, *(min(pair) for pair in ends)), FURTHEST[0])
    end = min(max(0.1, *(max(pair) for pair in ends)), FURTHEST[1])
    parts = [_row(row, pair, start, end, several=several) for row, pair in zip(drawn, ends, strict=True)]
    ticks = "".join(
        f'<b style="left:{_place(at, start, end)}">{format_percent(at)}</b>' for at in _ticks(start, end)
    )
    label = f"Relative differences of {len(drawn)} quantities with their intervals; the table has the numbers"
    return (
        f'<div class=forest role="img" aria-label="{text(label)}">{"".join(parts)}'
        f"<div class=line><span></span><i class=field>{ticks}</i></div></div>"
    )


def _row(
    row: Mapping[Any, Any], pair: tuple[float, float], start: float, end: float, *, several: bool
) -> str:
    """A line: name, interval, and a dot at the difference, in percent of the width, whatever that is."""
    name = f"{row['metric']} {row['statistic'] or ''}".strip()
    name += f": {row['b']} to {row['a']}" if several else ""
    told = f"{name}: {format_percent(row['relative'])} ({' to '.join(map(format_percent, sorted(pair)))})"
    left, right = (_place(share, start, end) for share in sorted(pair))
    return (
        f'<div class="line {"real" if row["real"] else "chance"}" title="{text(told)}"><span>{text(name)}</span>'
        f'<i class=field><i class=zero style="left:{_place(0.0, start, end)}"></i>'
        f'<i class=span style="left:{left};width:calc({right} - {left})"></i>'
        f'<i class=dot style="left:{_place(row["relative"], start, end)}"></i></i></div>'
    )


def _place(share: float, start: float, end: float) -> str:
    """Where a share lies between the ends, cut off there."""
    return f"{100 * (min(max(share, start), end) - start) / (end - start):.2f}%"


def _known(*values: Any) -> bool:
    return all(value is not None and math.isfinite(value) for value in values)


def _share(row: Mapping[Any, Any], name: str) -> float:
    return float(row[name]) / abs(float(row["mean_a"]))


def _ticks(start: float, end: float) -> list[float]:
    """Round shares between two others, zero among them."""
    step = next(each for each in (0.05, 0.1, 0.25, 0.5, 1.0) if (end - start) / each <= 6)
    return [number * step for number in range(math.ceil(start / step), math.floor(end / step) + 1)]
