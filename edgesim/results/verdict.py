"""The verdict on an objective in words: what was demanded, and what came out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgesim.units import format_percent, format_quantity

if TYPE_CHECKING:
    from collections.abc import Mapping


def demanded(row: Mapping[str, Any]) -> str:
    """Write what an objective demands, given its verdict: "ttft p95 <= 1 s"."""
    match row["statistic"]:
        case "attainment":
            return f"{row['metric']} attainment >= {format_percent(row['target'])}"
        case "within":
            return f"{row['metric']} within {format_quantity(row['limit'], unit_of(row))}"
    return f"{row['metric']} {row['statistic']} <= {format_quantity(row['target'], row['unit'])}"


def reached(row: Mapping[str, Any]) -> str:
    """Write what came out, given a verdict that has a value."""
    share = row["statistic"] in ("attainment", "within")
    return format_percent(row["value"]) if share else format_quantity(row["value"], row["unit"])


def unit_of(row: Mapping[str, Any]) -> str:
    """Unit of the limit; shares have none of their own."""
    return {"energy": "J", "cost": "USD"}.get(row["metric"], "s")
