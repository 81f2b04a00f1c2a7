"""The forest of a comparison: relative differences with their intervals, a line each, as a drawing."""

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
WIDE: Final = 1000
NAMED: Final = 380
"""Where the axis begins, right of the names."""
LINE: Final = 24


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
    scale = (WIDE - NAMED - 20) / (end - start)

    def x(share: float) -> float:
        return NAMED + (min(max(share, start), end) - start) * scale

    high = LINE * (len(drawn) + 1) + 8
    parts = [f'<line class=zero x1="{x(0):.1f}" x2="{x(0):.1f}" y1="0" y2="{high - LINE}"/>']
    parts += [
        f'<text class=tick x="{x(share):.1f}" y="{high - 6}">{format_percent(share)}</text>'
        for share in _ticks(start, end)
    ]
    for number, (row, pair) in enumerate(zip(drawn, ends, strict=True)):
        y = LINE * number + LINE / 2
        name = f"{row['metric']} {row['statistic'] or ''}".strip()
        name += f": {row['b']} to {row['a']}" if several else ""
        shown = name if len(name) <= 50 else f"{name[:49]}…"
        told = f"{name}: {format_percent(row['relative'])} ({' to '.join(map(format_percent, sorted(pair)))})"
        left, right = sorted(map(x, pair))
        parts.append(
            f"<g class={'real' if row['real'] else 'chance'}><title>{text(told)}</title>"
            f'<text x="{NAMED - 12}" y="{y + 5:g}">{text(shown)}</text>'
            f'<line x1="{left:.1f}" x2="{right:.1f}" y1="{y:g}" y2="{y:g}"/>'
            f'<circle cx="{x(row["relative"]):.1f}" cy="{y:g}" r="5"/></g>'
        )
    label = f"Relative differences of {len(drawn)} quantities with their intervals; the table has the numbers"
    return (
        f'<div class=wide><svg class=forest role="img" aria-label="{text(label)}" viewBox="0 0 {WIDE} {high}"'
        f' width="{WIDE}" height="{high}">{"".join(parts)}</svg></div>'
    )


def _known(*values: Any) -> bool:
    return all(value is not None and math.isfinite(value) for value in values)


def _share(row: Mapping[Any, Any], name: str) -> float:
    return float(row[name]) / abs(float(row["mean_a"]))


def _ticks(start: float, end: float) -> list[float]:
    """Round shares between two others, zero among them."""
    step = next(each for each in (0.05, 0.1, 0.25, 0.5, 1.0) if (end - start) / each <= 8)
    return [number * step for number in range(math.ceil(start / step), math.floor(end / step) + 1)]
