"""Summaries of replications as one: sums, means, extremes, with confidence intervals."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from edgesim.results.certainty import CONFIDENCE, DOUBTS
from edgesim.results.slo import is_met
from edgesim.stats import t_interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgesim.results.slo import Slo

Json = dict[str, Any]

_EXTREME: Final = {"min": min, "max": max, "peak_kv_share": max}
"""Keys whose number is the least or the greatest of all replications instead of a mean."""

_ADDED: Final = frozenset({"requests", "reasons", "count", "events", "wall_s", "cpu_s", "steps"})
"""Keys whose numbers, and all numbers below them, are added up over the replications instead of averaged."""


_OF_ONE: Final = frozenset({"slo", "notes", "intervals"})
"""What is not averaged: verdicts and notes are merged by their own rules, intervals come from the replications."""


def combine(summaries: Sequence[Json], slo: Slo, planned: int | None = None) -> Json:
    """Combine the summaries of replications.

    Counts are added up. Of each metric, `min` and `max` are the least and the greatest of all replications, and
    `std` is that of their requests taken together, so that it holds what differs between replications, too.
    Everything else is the mean over the replications. Under "replications" stand the intervals: for each
    statistic of a replication, its mean over the replications and how far the true one may lie from it.
    Objectives are judged by the combined numbers.

    Args:
        summaries: Of the replications that were finished.
        slo: Objectives.
        planned: How many replications there should have been; by default as many as there are.
    """
    last = summaries[-1]
    combined: Json = _merge([{k: v for k, v in s.items() if k not in _OF_ONE} for s in summaries])
    combined["stable"] = all(summary["stable"] for summary in summaries)
    combined["stability"] = next((s["stability"] for s in summaries if not s["stable"]), "stable")
    combined["slo"] = [_judge(row, summaries, index, slo) for index, row in enumerate(last["slo"])]
    combined["notes"] = _notes(summaries)
    combined["listed"] = last["listed"] | {
        "replicas": len(combined["by"]["replica"]),
        "links": len(combined["links"]),
    }
    engine = combined["engine"]
    engine["peak_rss_mib"] = max(s["engine"]["peak_rss_mib"] for s in summaries)
    done = sum(s["requests"]["arrived"] for s in summaries)
    engine["requests_per_s"] = done / engine["cpu_s"] if engine["cpu_s"] else None
    combined["replications"] = {
        "count": len(summaries),
        "planned": planned or len(summaries),
        "confidence": CONFIDENCE,
        "metrics": {
            name: {
                statistic: _interval([s["metrics"][name][statistic] for s in summaries])
                for statistic in last["metrics"][name]
                if statistic not in ("unit", "count")
            }
            for name in last["metrics"]
        },
        "rates": {name: _interval([s["rates"][name] for s in summaries]) for name in last["rates"]},
        "energy_j": {name: _interval([s["energy_j"][name] for s in summaries]) for name in last["energy_j"]},
        "cost_usd": _interval([s["cost_usd"] for s in summaries]),
        "carbon_g": _interval([s["carbon_g"] for s in summaries]),
    }
    return combined


def _notes(summaries: Sequence[Json]) -> list[str]:
    """Notes of all replications; a doubt that only a minority raises is chance."""
    raised = Counter(note for summary in summaries for note in dict.fromkeys(summary["notes"]))
    return [note for note, times in raised.items() if note not in DOUBTS or 2 * times >= len(summaries)]


def _merge(values: Sequence[Any], name: str = "", *, added: bool = False) -> Any:
    """Merge equal places of several summaries; a group or number that some lack counts where it exists."""
    known = [value for value in values if value is not None]
    first = known[0] if known else None
    if isinstance(first, dict):
        keys = dict.fromkeys(key for value in known for key in value)
        merged = {
            key: _merge([value[key] for value in known if key in value], key, added=added or key in _ADDED)
            for key in keys
        }
        return merged | {"std": _pooled(known)} if "std" in merged else merged
    if first is None or isinstance(first, bool | str | list):
        return first
    if name in _EXTREME:
        return _EXTREME[name](known)
    if added:
        return sum(known)
    return (
        first if known.count(first) == len(known) else sum(known) / len(known)
    )  # 2 replicas stay 2, not 2.0


def _pooled(parts: Sequence[Json]) -> float | None:
    """Standard deviation of all values together, from count, mean and deviation of each part."""
    known = [(part["count"], part["mean"], part["std"] or 0.0) for part in parts if part["count"]]
    total = sum(count for count, _, _ in known)
    if total < 2:  # one value has no spread
        return None
    mean = sum(count * each for count, each, _ in known) / total
    squares = sum((count - 1) * std * std + count * (each - mean) ** 2 for count, each, std in known)
    return math.sqrt(squares / (total - 1))


def _interval(values: Sequence[float | None]) -> Json | None:
    """The mean with its interval; replications that lack the number are left out."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    found = t_interval(known, CONFIDENCE)
    if found.count == 1:
        return {"mean": found.mean, "half_width": None, "low": None, "high": None, "count": 1}
    return {
        "mean": found.mean,
        "half_width": found.half_width,
        "low": found.low,
        "high": found.high,
        "count": found.count,
    }


def _judge(row: Json, summaries: Sequence[Json], index: int, slo: Slo) -> Json:
    """Judge one objective by the combined number: the mean over the replications, of a maximum the greatest."""
    assert row["metric"] in slo
    rows = [summary["slo"][index] for summary in summaries]
    values = [r["value"] for r in rows]
    value = None
    if None not in values:
        value = max(values) if row["statistic"] == "max" else sum(values) / len(values)
    means = {key: _merge([r[key] for r in rows]) for key in ("attainment", "within_target", "turned_away")}
    judged = {**row, **means, "value": value}
    return judged | {"met": is_met(judged)}
