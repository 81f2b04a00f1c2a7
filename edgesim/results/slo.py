"""Service-level objectives: what they demand of a single request, and whether a run kept them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from edgesim.metrics import METRICS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgesim.results.source import Source

Slo = Mapping[str, Mapping[str, float]]

SLACK: Final = 1 + 1e-9
"""Bounds are kept up to equality: the difference of two times as floats may miss it in its last digits."""

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
    slo: Slo,
    metrics: Mapping[str, Mapping[str, Any]],
    source: Source,
    measured: NDArray[np.bool_],
    completed: NDArray[np.bool_],
) -> list[dict[str, Any]]:
    """Judge every objective.

    `attainment` is the share of the requests that arrived after the warm-up, however they ended, which were
    completed within the limit. An objective that cannot be judged, for want of requests, is not met.

    Args:
        slo: Metric -> statistic -> bound.
        metrics: Metrics of the summary.
        source: Requests.
        measured: Which requests arrived after the warm-up.
        completed: Which ones were completed.
    """
    bounds = limits(slo)
    rows = []
    for name, statistics in slo.items():
        share = _attainment(name, bounds[name], source, measured, completed) if name in bounds else None
        demanded = {
            key: bound
            for key, bound in statistics.items()
            if key != "within" or "attainment" not in statistics
        }
        for statistic, bound in demanded.items():
            if statistic in ("within", "attainment"):
                value, target = share, bound if statistic == "attainment" else None
                met = None if target is None else value is not None and value >= target
            else:
                value, target = metrics.get(name, {}).get(statistic), bound
                met = value is not None and value <= bound * SLACK
            rows.append(
                {
                    "metric": name,
                    "statistic": statistic,
                    "target": target,
                    "value": value,
                    "met": met,
                    "unit": "" if statistic in ("within", "attainment") else _unit(name),
                    "limit": bounds.get(name),
                    "attainment": share,
                }
            )
    return rows


def kept(slo_rows: list[dict[str, Any]]) -> bool:
    """Whether no objective was missed."""
    return all(row["met"] is not False for row in slo_rows)


def _attainment(
    name: str, limit: float, source: Source, measured: NDArray[np.bool_], completed: NDArray[np.bool_]
) -> float | None:
    """Share of the measured requests that were completed within the limit of a metric."""
    metric = METRICS[name]
    within = row = 0
    for columns in source.numbers(metric.columns):
        values = metric.formula(columns)
        rows = slice(row, row + len(values))
        within += int(np.count_nonzero(~(values > limit * SLACK) & measured[rows] & completed[rows]))
        row = rows.stop
    total = int(measured.sum())
    return within / total if total else None


def _unit(name: str) -> str:
    return METRICS[name].unit if name in METRICS else ""
