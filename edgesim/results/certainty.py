"""How certain the numbers of one run are: intervals of its means, and doubts about the run as a whole."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from edgesim.stats import Batches, Interval, transient
from edgesim.stats.batches import DRIFTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from edgesim.outcome import RunInfo
    from edgesim.results.source import Source

Json = dict[str, Any]

CONFIDENCE: Final = 0.95
FEW: Final = 100
"""Measured requests below which percentiles and intervals say little."""
METRICS: Final = ("ttft", "tpot", "e2e", "queue_time", "energy", "cost")
"""Metrics whose means get intervals; each one costs a pass over all requests."""
MAIN: Final = ("ttft", "e2e")
"""Metrics that decide when a run has settled."""
LATENCIES: Final = (*MAIN, "tpot")
"""Metrics that decide whether it has: the speed of a batch may follow the load where waiting does not."""
KIND: Final = "batch means"

TOO_FEW: Final = (
    f"fewer than {FEW} requests were measured: p99 and means are little more than chance; run it longer"
)
UNSETTLED: Final = (
    "no steady state: latencies drift in the course of the run, so its means hold for this stretch of time alone;"
    " run it longer, unless what is asked of it keeps changing"
)
NOTHING: Final = (
    "no request arrived after the warm-up, so nothing was measured; shorten scenario.warmup, or run longer"
)
BEYOND: Final = "none: the backlog grows without end"
DOUBTS: Final = (NOTHING, TOO_FEW, UNSETTLED)


class Series:
    """Metrics of the selected requests in the order of their arrival, as sums over short batches.

    Args:
        rows: How many requests there are; their numbers are their order.
    """

    def __init__(self, rows: int) -> None:
        self._batches = {name: Batches(rows) for name in METRICS}
        self._size = self._batches[MAIN[0]].size
        self._length = len(self._batches[MAIN[0]].sums)
        self._places: NDArray[np.intp] = np.zeros(0, np.intp)
        self._counts: NDArray[np.intp] = np.zeros(0, np.intp)

    def begin(self, requests: NDArray[np.float64]) -> None:
        """Say which requests the values that come next belong to."""
        self._places = (requests / self._size).astype(np.intp)
        self._counts = np.bincount(self._places, minlength=self._length)

    def add(self, name: str, values: NDArray[np.float64]) -> None:
        """Take the values of a metric, NaN where it is missing."""
        if name in self._batches:
            self._batches[name].put(values, self._places, self._counts)

    def intervals(self, *, stable: bool = True) -> Json:
        """Intervals of the means, for the summary; a run without a steady state has none."""
        found = {name: self._interval(each, stable=stable) for name, each in self._batches.items()}
        return {
            "confidence": CONFIDENCE,
            "kind": KIND,
            "metrics": {name: told(each) for name, each in found.items() if not math.isnan(each.mean)},
        }

    @staticmethod
    def _interval(batches: Batches, *, stable: bool) -> Interval:
        found = batches.interval(CONFIDENCE)
        if not stable:
            return Interval(found.mean, math.nan, found.count, BEYOND)
        if math.isnan(found.half_width) or batches.transient().settled:
            return found
        return Interval(found.mean, math.nan, found.count, DRIFTS)

    def doubts(self, metrics: Mapping[str, Any], *, measured: int = 1, stable: bool = True) -> list[str]:
        """Say why the run as a whole may not tell what it seems to; nothing if all is well.

        Args:
            metrics: Of all requests, described.
            measured: How many requests arrived after the warm-up.
            stable: Whether its backlog stays bounded; if not, that is said already.
        """
        count = metrics["e2e"]["count"]
        if not measured and len(self._batches[MAIN[0]].sums):
            return [NOTHING]
        if count < FEW:
            return [TOO_FEW] if count else []
        if stable and any(not self._batches[name].transient().settled for name in LATENCIES):
            return [UNSETTLED]
        return []


def warmup(source: Source, info: RunInfo) -> float:
    """Find the time before which a run is still on its way to its steady state [s], by MSER-5.

    The later of two cuts counts: that of the time to first token and that of the end-to-end latency, over
    completed requests in the order of their arrival. It is never before the warm-up that was asked for. Where
    the run never settles, the middle is the latest cut; the summary doubts such a run anyway.
    """
    rows = source.rows
    arrived = np.full(rows, np.nan)
    latency = {name: np.full(rows, np.nan) for name in MAIN}
    for block in source.numbers(("request", "arrived_at", "first_token_at", "finished_at")):
        places = block["request"].astype(np.intp)
        arrived[places] = block["arrived_at"]
        for name, end in zip(MAIN, ("first_token_at", "finished_at"), strict=True):
            latency[name][places] = block[end] - block["arrived_at"]
    known = ~np.isnan(latency[MAIN[0]]) & ~np.isnan(latency[MAIN[1]]) & (arrived >= info.warmup_s)
    times = arrived[known]
    cut = max((transient(latency[name][known]).cut for name in MAIN), default=0)
    return float(times[cut]) if 0 < cut < len(times) else info.warmup_s


def told(found: Interval) -> Json:
    """An interval as JSON; its width is None where nothing can be said about it, and its kind says why."""
    if math.isnan(found.half_width):
        return {"mean": found.mean, "half_width": None, "low": None, "high": None, "kind": found.kind}
    return {
        "mean": found.mean,
        "half_width": found.half_width,
        "low": found.low,
        "high": found.high,
        "kind": found.kind,
    }
