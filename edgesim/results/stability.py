"""Whether a run keeps up with what is asked of it, judged from arrivals and ends alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from edgesim.units import format_seconds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgesim.results.source import Source

BINS: Final = 1000
FEW: Final = 40
"""Fewer arrivals than this show no trend."""
GROWTH: Final = 0.02
"""The backlog counts as growing when more than this share of the arrivals stays behind."""
RISE: Final = 5.0
"""... and by at least this many requests from the second quarter to the last."""


def backlog(
    source: Source, duration_s: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Answer times, and arrivals and ends up to each of them; a request that never ended has no end."""
    edges = np.linspace(0.0, duration_s, BINS + 1)
    arrived, ended = np.zeros(BINS + 1), np.zeros(BINS + 1)
    for columns in source.numbers(["arrived_at", "finished_at"]):
        for name, counts in (("arrived_at", arrived), ("finished_at", ended)):
            times = columns[name]
            places = np.searchsorted(edges, times[~np.isnan(times)], side="left")
            np.add(counts, np.bincount(np.minimum(places, BINS), minlength=BINS + 1), out=counts)
    return edges, np.cumsum(arrived), np.cumsum(ended)


def verdict(source: Source, duration_s: float, warmup_s: float = 0.0) -> str:
    """Say why a run is unstable: "" if it is not, or if there is too little to tell.

    Only the time while requests still arrive is looked at. A backlog that has settled differs little between
    the quarters of that time; one that grows without end rises from each to the next, by a share of the
    arrivals that does not shrink with the length of the run.
    """
    if source.rows < FEW or duration_s <= 0:
        return ""
    times, arrived, ended = backlog(source, duration_s)
    last = int(np.searchsorted(arrived, arrived[-1]))  # the last arrival; what follows is draining
    first = int(np.searchsorted(times, warmup_s))
    if last - first < 8 or arrived[last] - arrived[first] < FEW:
        return ""
    waiting = arrived - ended
    quarters = [float(part.mean()) for part in np.array_split(waiting[first : last + 1], 4)]
    half = np.searchsorted(times, (times[first] + times[last]) / 2)
    rise = quarters[3] - quarters[1]
    offered = float(arrived[last] - arrived[half])
    if not (quarters[0] < quarters[1] < quarters[2] < quarters[3]):
        return ""
    if rise < RISE or rise < GROWTH * offered:
        return ""
    span = float(times[last] - times[half])
    served = float(ended[last] - ended[half])
    return (
        f"the backlog grows without end: {offered / span:.4g} requests/s arrive, {served / span:.4g}/s leave,"
        f" {waiting[last]:,.0f} are waiting or running at {format_seconds(float(times[last]))}"
    )
