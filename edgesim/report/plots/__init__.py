"""Pictures: functions `f(result, ax=None) -> Axes` that draw on given axes or on a new figure, and never show it.

    axes = edgesim.report.plots.ttft(run)
    axes.figure.savefig("ttft.pdf")

or, beside others of your own: `figure, axes = plt.subplots(1, 2)`, then `plots.ttft(run, axes[0])`. `PLOTS` lists them
by name with the kinds of results that they fit; `page` and `save` put several side by side. matplotlib's global
settings stay as they are.
"""

from __future__ import annotations

from edgesim.report.plots.base import CAPACITY, COMPARISON, PLOTS, RUN, SWEEP, Plot, kind_of
from edgesim.report.plots.capacity import capacity_curve
from edgesim.report.plots.latency import distribution, e2e, phases, tpot, ttft
from edgesim.report.plots.page import check_options, drawable, missing, obstacle, page, save
from edgesim.report.plots.sweeps import frontier, latency_throughput, load, response
from edgesim.report.plots.time import cache, kv, links, power, queue, running, temperature, utilisation
from edgesim.report.plots.topology_map import topology

__all__ = [
    "CAPACITY", "COMPARISON", "PLOTS", "RUN", "SWEEP", "Plot", "cache", "capacity_curve", "check_options",
    "distribution", "drawable", "e2e", "frontier", "kind_of", "kv", "latency_throughput", "links", "load", "missing",
    "obstacle", "page", "phases", "power", "queue", "response", "running", "save", "temperature", "topology", "tpot",
    "ttft", "utilisation",
]  # fmt: skip
