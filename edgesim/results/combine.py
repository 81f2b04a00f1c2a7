"""Summaries of replications as one: means over them, with confidence intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from edgesim.results.slo import SLACK
from edgesim.stats import t_interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgesim.results.slo import Slo

Json = dict[str, Any]

CONFIDENCE: Final = 0.95

_ADDED: Final = frozenset({"requests", "count", "events", "wall_s", "cpu_s", "steps"})
"""Keys whose numbers, and all numbers below them, are added up over the replications instead of averaged."""


def combine(summaries: Sequence[Json], slo: Slo) -> Json:
    """Combine the summaries of replications.

    Counts are added up, everything else is the mean over the replications; under "replications" stand the
    intervals. Objectives are judged by those means.
    """
    last = summaries[-1]
    combined: Json = _merge([{k: v for k, v in s.items() if k not in ("slo", "notes")} for s in summaries])
    combined["stable"] = all(summary["stable"] for summary in summaries)
    combined["stability"] = next((s["stability"] for s in summaries if not s["stable"]), "stable")
    combined["slo"] = [_judge(row, summaries, index, slo) for index, row in enumerate(last["slo"])]
    combined["notes"] = list(dict.fromkeys(note for summary in summaries for note in summary["notes"]))
    engine = combined["engine"]
    engine["peak_rss_mib"] = max(s["engine"]["peak_rss_mib"] for s in summaries)
    done = sum(s["requests"]["arrived"] for s in summaries)
    engine["requests_per_s"] = done / engine["cpu_s"] if engine["cpu_s"] else None
    combined["replications"] = {
        "count": len(summaries),
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


def _merge(values: Sequence[Any], *, added: bool = False) -> Any:
    """Merge equal places of several summaries; a group or number that some lack counts where it exists."""
    known = [value for value in values if value is not None]
    first = known[0] if known else None
    if isinstance(first, dict):
        keys = dict.fromkeys(key for value in known for key in value)
        return {
            key: _merge([value[key] for value in known if key in value], added=added or key in _ADDED)
            for key in keys
        }
    if first is None or isinstance(first, bool | str | list):
        return first
    return sum(known) if added else sum(known) / len(known)


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
    """Judge one objective by the means over the replications."""
    assert row["metric"] in slo
    rows = [summary["slo"][index] for summary in summaries]
    values = [r["value"] for r in rows]
    value = sum(values) / len(values) if None not in values else None
    shares = [r["attainment"] for r in rows if r["attainment"] is not None]
    met: bool | None = None
    if row["target"] is not None:
        least = row["statistic"] == "attainment"
        met = value is not None and (value >= row["target"] if least else value <= row["target"] * SLACK)
    return {**row, "value": value, "met": met, "attainment": sum(shares) / len(shares) if shares else None}
