"""Service-level objectives: what they demand of a single request, and whether a run kept them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from edgesim.metrics import METRICS

if TYPE_CHECKING:
    from edgesim.results.census import Census
    from edgesim.results.source import Source

Slo = Mapping[str, Mapping[str, float]]

SLACK: Final = 1 + 1e-9
"""Bounds are kept up to equality: the difference of two times as floats may miss it in its last digits."""

MOST_TURNED_AWAY: Final = 0.5
"""Share of requests that may be turned away before a mean or a maximum of the others means nothing."""

_SPREAD: Final = ("p50", "p90", "p95", "p99", "max")


def limits(slo: Slo) -> dict[str, float]:
    """Answer the limit for a single request by metric: `within`, or else the widest bound of a percentile.

    An objective on the mean alone sets no limit for a single request.
    """
    found = {}
    for name, bounds in slo.items():
        percentiles = [bounds[statistic] for statistic in _SPREAD if statistic in bounds]
        if name in METRICS and ("within" in bounds or percentiles):
            found[name] = bounds.get("within", max(percentiles, default=0.0))
    return found


def verdicts(
    slo: Slo, metrics: Mapping[str, Mapping[str, Any]], source: Source, requests: Census
) -> list[dict[str, Any]]:
    """Judge every objective.

    `attainment` is the share of the requests that arrived after the warm-up, however they ended, which were
    completed within the limit. An objective that cannot be judged, for want of requests, is not met.

    Values are those of completed requests, but a request that was turned away (rejected, failed, abandoned)
    does not help to meet an objective: `is_met` says how it counts.

    Args:
        slo: Metric -> statistic -> bound.
        metrics: Metrics of the summary.
        source: Requests.
        requests: What decides for what each of them counts.
    """
    bounds = limits(slo)
    away = int((requests.turned_away & requests.measured).sum())
    ended = away + int(requests.selected.sum())
    turned_away = away / ended if ended else None
    rows = []
    for name, statistics in slo.items():
        everyone = int(requests.measured.sum())
        good = _within(name, bounds[name], source, requests) if name in bounds else 0
        share = good / everyone if everyone and name in bounds else None
        demanded = {
            key: bound
            for key, bound in statistics.items()
            if key != "within" or "attainment" not in statistics
        }
        for statistic, bound in demanded.items():
            of_requests = statistic in ("within", "attainment")
            within = None
            if statistic.startswith("p") and ended:
                below = good if bound == bounds[name] else _within(name, bound, source, requests)
                within = below / ended
            row = {
                "metric": name,
                "statistic": statistic,
                "target": None if statistic == "within" else bound,
                "value": share if of_requests else metrics.get(name, {}).get(statistic),
                "met": None,
                "unit": "" if of_requests else _unit(name),
                "limit": bounds.get(name),
                "attainment": share,
                "within_target": within,
                "turned_away": turned_away,
            }
            rows.append(row | {"met": is_met(row)})
    return rows


def is_met(row: Mapping[str, Any]) -> bool | None:
    """Whether an objective was met; None if it demands nothing.

    A percentile is met if its value is within the target, and stays so when every request that was turned away
    counts as one that took for ever: of p95, 95 % of the completed and turned-away requests must be within the
    target. A mean or maximum would be infinite then; it is not met if more than half were turned away.
    """
    value, target, statistic = row["value"], row["target"], row["statistic"]
    if target is None:
        return None
    if value is None:
        return False
    if statistic == "attainment":
        return bool(value >= target)
    away = row["turned_away"] or 0.0
    if away and row["within_target"] is not None and row["within_target"] < float(statistic[1:]) / 100:
        return False
    return bool(value <= target * SLACK) and away <= MOST_TURNED_AWAY


def kept(slo_rows: list[dict[str, Any]]) -> bool:
    """Whether no objective was missed."""
    return all(row["met"] is not False for row in slo_rows)


def _within(name: str, limit: float, source: Source, requests: Census) -> int:
    """Count the measured requests that were completed and do not exceed a limit."""
    metric, selected = METRICS[name], requests.selected
    within = row = 0
    for columns in source.numbers(metric.columns):
        values = metric.formula(columns)
        rows = slice(row, row + len(values))
        within += int(np.count_nonzero(~(values > limit * SLACK) & selected[rows]))
        row = rows.stop
    return within


def _unit(name: str) -> str:
    return METRICS[name].unit if name in METRICS else ""
