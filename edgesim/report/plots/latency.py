"""Latencies: how they are distributed by tier, and which phases they are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from edgesim.errors import ResultsError
from edgesim.records import PHASES
from edgesim.report import style
from edgesim.report.plots.base import (
    LABELS,
    answered,
    caption,
    measured,
    metric_label,
    metric_values,
    picture,
    tier_style,
    tiers_of,
)
from edgesim.results import needed
from edgesim.units import format_seconds

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from edgesim.results import Run, RunSet

EDGE = 0.1
"""An objective so near the left edge, as a share of the axis, has its words to the right."""
POINTS = 400
"""Points of a curve: as many as a page can show, so that files stay small."""
WIDE = 30.0
"""Ratio of p99 to p5 from which on an axis is logarithmic."""
TAIL = 2.0
"""A linear axis reaches the largest value unless that lies so many times beyond where the curves are nearly done."""
FAR = 4.0
"""An objective is shown unless it lies so many times beyond what was measured."""


def _cdf(result: Run | RunSet, ax: Axes, metric: str) -> None:
    """Draw the share of requests within a time, for each tier and for all."""
    requests = measured(result)
    tiers = style.tiers_in_order(requests["tier"].dropna().unique(), tiers_of(result))
    groups = [(tier, requests[requests["tier"] == tier]) for tier in tiers]
    if len(tiers) > 1:
        groups.append(("all", requests))
    share = np.union1d(np.linspace(0.0, 1.0, POINTS), [0.5, 0.9, 0.95, 0.99])
    everything = metric_values(requests, metric, result.folder)
    if not len(everything):
        raise ResultsError(
            f"no completed request has a {LABELS.get(metric, metric)}; there is nothing to draw"
        )
    farthest = 0.0
    for name, group in groups:
        values = metric_values(group, metric)
        if not len(values):
            continue
        farthest = max(farthest, float(np.quantile(values, 0.98)))
        look: dict[str, Any] = {"color": style.FAINT, "linewidth": 3.0, "alpha": 0.55, "zorder": 1.5}
        if name != "all":
            place = tiers_of(result).index(name) % 4
            look = {
                "color": tier_style(result, name)["color"],
                "linestyle": style.TIER_DASHES[place],
                "marker": style.TIER_MARKERS[place],
                "markevery": (25 + 15 * place, POINTS // 7),
            }
        ax.plot(np.quantile(values, share), share, label=f"{name} ({len(values):,})", **look)
    ax.set(xlabel=f"{LABELS.get(metric, metric)} [s]", ylabel="share of requests", ylim=(0.0, 1.01))
    low, high = np.quantile(everything, [0.05, 0.99])
    most = float(everything.max())
    if low > 0 and high > WIDE * low:
        ax.set_xscale("log")
        ax.set_xlim(max(np.quantile(everything, 0.002), high / 1e5), most * 1.1)
    else:
        ax.set_xlim(0.0, (1.05 * most if most < TAIL * farthest else 1.1 * farthest) or 1.0)
    _objective(result, ax, metric)
    _beyond(ax, everything)
    style.legend(ax, title="answered by")
    name = LABELS.get(metric, metric)
    style.title(ax, name[0].upper() + name[1:], caption(result, answered(result)))


def _beyond(ax: Axes, values: NDArray[np.float64]) -> None:
    """Say which part lies to the right of the axis, if any does."""
    count = int((values > ax.get_xlim()[1]).sum())
    if count:
        share = count / len(values)
        ax.text(
            0.99, 0.82, f"{f'{100 * share:.2g} %' if share >= 0.001 else '< 0.1 %'} beyond \N{RIGHTWARDS ARROW}",
            transform=ax.transAxes, ha="right", va="center", size=8, bbox=style.PAPER,
        )  # fmt: skip


def _objective(result: Run | RunSet, ax: Axes, metric: str) -> None:
    """Mark what the scenario demands."""
    bounds = [
        (statistic, bound)
        for name, target in result.scenario.slo.targets()
        if name == metric
        for statistic, bound in target.bounds()
        if bound <= FAR * ax.get_xlim()[1]
    ]
    for _, bound in bounds:
        left, right = ax.get_xlim()
        log = ax.get_xscale() == "log" and bound > 0
        ax.set_xlim(min(left, 0.8 * bound) if log else left, max(right, 1.08 * bound))
    for statistic, bound in bounds:
        ax.axvline(bound, color=style.VERMILLION, linewidth=1.2, linestyle=(0, (2, 2)), zorder=1)
        across = ax.transLimits.transform(ax.transScale.transform((bound, 0.5)))[0]
        side = 1 if across < EDGE else -1
        ax.annotate(
            f"objective: {statistic} \N{LESS-THAN OR EQUAL TO} {format_seconds(bound)}",
            (bound, 0.02), xycoords=("data", "axes fraction"), xytext=(3 * side, 0),
            textcoords="offset points", rotation=90, ha="left" if side > 0 else "right", va="bottom",
            size=8, color=style.VERMILLION,
        )  # fmt: skip
        if statistic[0] == "p":
            ax.plot([bound], [float(statistic[1:]) / 100], "x", color=style.VERMILLION, markersize=7)


@picture("ttft", "time to first token: share of requests within a time, by tier")
def ttft(result: Run | RunSet, ax: Axes) -> None:
    """Draw how times to first token are distributed, by the tier that answered."""
    _cdf(result, ax, "ttft")


@picture("tpot", "time per output token: share of requests within a time, by tier")
def tpot(result: Run | RunSet, ax: Axes) -> None:
    """Draw how times per output token are distributed, by the tier that answered."""
    _cdf(result, ax, "tpot")


@picture("e2e", "end-to-end latency: share of requests within a time, by tier")
def e2e(result: Run | RunSet, ax: Axes) -> None:
    """Draw how end-to-end latencies are distributed, by the tier that answered."""
    _cdf(result, ax, "e2e")


@picture("phases", "mean time in each phase of a request, by tier", size=(6.4, 2.9))
def phases(result: Run | RunSet, ax: Axes) -> None:
    """Draw bars of the phases that make up the mean latency, a bar a tier."""
    requests = measured(result)
    tiers = style.tiers_in_order(requests["tier"].dropna().unique(), tiers_of(result))
    needed.check(requests, PHASES, "requests", result.folder)
    means = requests.groupby("tier", observed=True)[list(PHASES)].mean().reindex(tiers)
    left = np.zeros(len(tiers))
    longest = float(means.sum(axis=1).max())
    for phase in PHASES:
        widths = means[phase].to_numpy()
        if not (widths > 0.0004 * longest).any():
            continue
        colour, hatch = style.PHASE_STYLE[phase]
        ax.barh(
            np.arange(len(tiers)), widths, left=left, height=0.62, label=phase,
            color=colour, hatch=hatch, edgecolor="white", linewidth=0.6,
        )  # fmt: skip
        for row, width in enumerate(widths):
            if width > 0.09 * longest:
                ax.text(
                    left[row] + width / 2, row, format_seconds(float(width)), ha="center", va="center", size=7.5,
                    bbox=style.PAPER,
                )  # fmt: skip
        left += widths
    counts = requests["tier"].value_counts()
    for row in range(len(tiers)):
        ax.text(left[row] + 0.012 * longest, row, format_seconds(float(left[row])), va="center", size=8.5)
    ax.set_yticks(np.arange(len(tiers)), [f"{tier}\n{counts[tier]:,} requests" for tier in tiers])
    ax.set(xlabel="mean time of a request [s]", xlim=(0.0, 1.13 * longest), ylim=(-0.6, len(tiers) - 0.4))
    ax.grid(visible=False, axis="y")
    style.legend(ax)
    style.title(ax, "Where the time goes", caption(result, answered(result)))


@picture("distribution", "share of requests within a value of any metric, by tier", options=("metric",))
def distribution(result: Run | RunSet, ax: Axes, metric: str = "queue_time") -> None:
    """Draw how a metric of requests is distributed, by the tier that answered."""
    _cdf(result, ax, metric)
    ax.set_xlabel(metric_label(metric))
