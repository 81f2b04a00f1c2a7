"""Pieces of HTML: escaped text, sections, tables that can be sorted, numbers as people write them."""

from __future__ import annotations

import html
import json
import math
from typing import TYPE_CHECKING, Any, Final

from edgesim.units import format_bytes, format_joules, format_percent, format_seconds, format_usd

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pandas as pd

Cell = str | tuple[str, float | None]
"""Text of a cell, and for a number what it sorts by."""

IDS: Final = frozenset({"request", "replication"})
"""Columns of whole numbers that are names."""

LONG: Final = 40
"""Text with more letters than this gets room to break into lines of some length; shorter text is never broken."""


class Fixed(str):
    """Text whose letters must stand below each other."""

    __slots__ = ()


def text(value: object) -> str:
    """Escape text for use between tags and in attributes."""
    return html.escape(str(value), quote=True)


def section(name: str, title: str, *content: str, level: int = 2) -> str:
    """A part of the page with its heading."""
    return (
        f'<section id="{name}" aria-labelledby="{name}-title">'
        f'<h{level} id="{name}-title">{text(title)}</h{level}>{"".join(content)}</section>'
    )


def paragraphs(sentences: Iterable[str]) -> str:
    """Sentences as a list."""
    items = "".join(f"<li>{text(sentence)}</li>" for sentence in sentences)
    return f"<ul class=said>{items}</ul>" if items else ""


def details(title: str, content: str, *, opened: bool = False) -> str:
    """Content that can be folded away."""
    return f"<details{' open' if opened else ''}><summary>{text(title)}</summary>{content}</details>"


def table(head: Sequence[str], rows: Iterable[Sequence[Cell]], caption: str, *, hidden: bool = True) -> str:
    """A table whose columns sort on click; the caption is for screen readers unless it shall be seen."""
    listed = list(rows)
    numeric = [isinstance(each, tuple) for each in listed[0]] if listed else [False] * len(head)
    columns = "".join(
        f'<th scope="col" aria-sort="none"{" class=number" if counts else ""}>'
        f'<button type="button">{text(name)}</button></th>'
        for name, counts in zip(head, numeric, strict=True)
    )
    body = "".join(f"<tr>{''.join(_cells(row))}</tr>" for row in listed)
    kind = " class=unseen" if hidden else ""
    return (
        f'<div class=wide role="region" tabindex="0" aria-label="{text(caption)}"><table class=sortable>'
        f"<caption{kind}>{text(caption)}</caption><thead><tr>{columns}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _cells(row: Sequence[Cell]) -> Iterable[str]:
    for position, cell in enumerate(row):
        shown, value = cell if isinstance(cell, tuple) else (cell, None)
        counts = isinstance(cell, tuple)
        attributes = f' data-value="{"" if value is None else repr(float(value))}"' if counts else ""
        kind = "long" if len(shown) > LONG else "name" if shown else ""
        if counts or isinstance(cell, Fixed):
            kind = "number" if counts else "fixed"
        kind = f" class={kind}" if kind else ""
        name = 'th scope="row"' if position == 0 else "td"
        yield f"<{name}{kind}{attributes}>{text(shown)}</{name[:2]}>"


def frame(data: pd.DataFrame, caption: str) -> str:
    """A DataFrame as a table; quantities by the unit at the end of their column's name."""
    kept = [name for name in data.columns if data[name].notna().any()]
    rows = [
        [cell(str(name), value) for name, value in zip(kept, row, strict=True)]
        for row in data[kept].itertuples(index=False)
    ]
    return table([heading(str(name)) for name in kept], rows, caption)


def heading(column: str) -> str:
    """The name of a column without its unit, which the cells carry."""
    column = column.replace("usd_per_1000", "cost per 1,000")
    for unit in ("_s", "_j", "_usd", "_rps"):
        column = column.removesuffix(unit)
    return column.replace("_", " ")


def cell(column: str, value: Any) -> Cell:
    """Write one value of a column."""
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or isinstance(value, str):
        return Fixed(value) if column == "timeline" else value or ""
    if not isinstance(value, int | float):
        return str(value)
    if not math.isfinite(value):
        return "-", None
    return quantity(column, value), float(value)


def quantity(column: str, value: float) -> str:
    """Write a number by the unit that its column's name ends with."""
    if column in IDS:
        return f"{value:.0f}"
    if column.endswith("_rps"):
        return f"{number(value)}/s"
    if column.endswith("_at_s"):
        return f"{value:.6g} s"
    if column == "bytes":
        return format_bytes(value)
    if column.endswith("_s") and not column.endswith("per_s"):
        return format_seconds(value)
    if column.endswith("_j"):
        return format_joules(value)
    if "usd" in column:
        return format_usd(value)
    if column.endswith("share") or column in ("utilisation", "relative"):
        return format_percent(value)
    return number(value)


def number(value: float) -> str:
    """Write a plain number: large ones in full, small ones with four digits."""
    return f"{value:,.0f}" if isinstance(value, int) or abs(value) >= 1000 else f"{value:.4g}"


def embedded(name: str, content: object) -> str:
    """Data for the page's script, which nothing in it can end early."""
    plain = json.dumps(content, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    safe = plain.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    return f'<script type="application/json" id="{name}">{safe}</script>'
