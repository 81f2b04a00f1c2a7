"""What a summary says of the spread of its means: their intervals, and where these come from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from edgesim.units import format_percent

Json = Mapping[str, Any]

UNEVEN: Final = 0.1
"""Difference of the distances of a mean from the ends of its interval, in half-widths, from which on both are told."""
MAIN: Final = ("ttft", "tpot", "e2e")
"""Metrics of which it is said why they have no interval."""


def interval(summary: Json, metric: str) -> Json:
    """Interval of a metric's mean: of replications, or else of the one run; empty if there is none."""
    several = summary.get("replications")
    found = (several or summary.get("intervals") or {}).get("metrics", {}).get(metric) or {}
    if several:
        found = found.get("mean") or {}
    return {} if found.get("half_width") is None else found


def known(summary: Json) -> bool:
    """Whether any metric's mean has an interval."""
    return any(interval(summary, metric) for metric in summary["metrics"])


def even(interval: Json) -> bool:
    """Whether a mean lies in the middle of its interval, so that the half-width tells it."""
    off = interval["low"] + interval["high"] - 2 * interval["mean"]
    return bool(abs(off) < UNEVEN * interval["half_width"])


def around(interval: Json, write: Callable[[float], str]) -> str:
    """Write a mean with its interval in one unit: "1.14 ± 0.038 s", or with both ends where they lie unevenly."""
    mean = interval["mean"]
    number, _, unit = write(mean).partition(" ")
    if not even(interval):
        return f"{write(mean)} ({write(interval['low'])} to {write(interval['high'])})"
    if not unit or not mean:
        return f"{write(mean)} ± {write(interval['half_width'])}"
    size = mean / float(number.replace(",", ""))
    return f"{number} ± {interval['half_width'] / size:.2g} {unit}"


def origin(summary: Json) -> str:
    """Say what the intervals are; "" if there is nothing to say."""
    if spread := summary.get("replications"):
        count, planned = spread["count"], spread["planned"]
        of = "" if count == planned else f" of {planned}"
        return f"{count}{of} replications, 95 % t-intervals" + _reached(spread.get("precision"))
    return _single(summary)


def _single(summary: Json) -> str:
    """Say what the intervals of a single run are."""
    found = {
        name: each["kind"]
        for name, each in summary.get("intervals", {}).get("metrics", {}).items()
        if name in MAIN
    }
    if not found:
        return ""
    lacking = [name for name, kind in found.items() if kind.startswith("none")]
    text = "" if len(lacking) == len(found) else "one run, 95 % intervals of the means by batch means"
    if lacking:
        reason = found[lacking[0]].removeprefix("none: ")
        text = f"{text}; none of {', '.join(lacking)} ({reason})".removeprefix("; ")
    return text


def _reached(precision: Json | None) -> str:
    """Say how near the truth replications came that were added for that purpose."""
    if not precision:
        return ""
    parts = [
        f"{name} {'unknown' if each is None else f'within {format_percent(each)}'}"
        for name, each in precision["reached"].items()
    ]
    asked = f"{format_percent(precision['within'])} asked"
    return f"; {', '.join(parts)} ({asked}{'' if precision['enough'] else ', not reached'})"
