"""Latencies: how they are distributed by tier, and which phases they are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from edgesim.errors import ResultsError
from edgesim.records import PHASES
from edgesim.report import style
from edgesim.report.axis import measure
from edgesim.report.plots.base import (
    answered,
    caption,
    measured,
    metric_values,
    metric_words,
    picture,
    tier_style,
    tiers_of,
    told,
    written,
)
from edgesim.results import needed
from edgesim.units import format_seconds

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from edgesim.results import Run, RunSet

POINTS = 400
"""Points of a curve: as many as a page can show, so that files stay small."""
WIDE = 30.0
"""Ratio of p99 to p5 from which on an axis is logarithmic."""
DEEP = 3000.0
"""A logarithmic axis begins at most so many times below the largest value but 1 %."""
TAIL = 2.0
"""A linear axis reaches the largest value unless that lies so many times beyond where the curves are nearly done."""
FAR = 4.0
"""An objective is shown unless it lies so many times beyond what was measured."""


def _cdf(result: Run | RunSet, ax: Axes, metric: str) -> str:
    """Draw the share of requests within a time, for each tier and for all."""
    requests = measured(result)
    words, unit = metric_words(metric)
    everything = metric_values(requests, metric, result.folder)
    if not len(everything):
        raise ResultsError(f"no completed request has a {words}; there is nothing to draw")
    groups = _groups(requests, metric, tiers_of(result))
    share = np.union1d(np.linspace(0.0, 1.0, POINTS), [0.5, 0.9, 0.95, 0.99])
    for name, values in groups.items():
        look: dict[str, Any] = {"color": style.FAINT, "linewidth": 3.0, "alpha": 0.55, "zorder": 1.5}
        if name != "all":
            place = tiers_of(result).index(name) % 4
            look = {
                "color": tier_style(result, name)["color"],
                "linestyle": style.TIER_DASHES[place] if len(groups) > 1 else "-",
                "marker": style.TIER_MARKERS[place],
                "markevery": (25 + 15 * place, POINTS // 7),
            }
        ax.plot(np.quantile(values, share), share, label=f"{name} ({len(values):,})", **look)
    ax.set_ylim(0.0, 1.01)
    _limits(ax, everything, max(float(np.quantile(values, 0.98)) for values in groups.values()))
    demanded = _objective(result, ax, metric)
    _beyond(ax, everything)
    measure(ax.yaxis, "share of requests", "share")
    measure(ax.xaxis, words, unit)
    style.legend(ax)
    style.title(ax, f"{words[0].upper()}{words[1:]}, by tier", caption(result, answered(result)))
    return _said(words, unit, groups, demanded)


def _groups(requests: pd.DataFrame, metric: str, tiers: tuple[str, ...]) -> dict[str, NDArray[np.float64]]:
    """Values of a metric by tier, and of all where there are several."""
    found = {
        tier: metric_values(requests[requests["tier"] == tier], metric)
        for tier in style.tiers_in_order(requests["tier"].dropna().unique(), tiers)
    }
    found = {tier: values for tier, values in found.items() if len(values)}
    return found if len(found) < 2 else found | {"all": metric_values(requests, metric)}


def _limits(ax: Axes, values: NDArray[np.float64], nearly: float) -> None:
    """Choose scale and ends of the axis: logarithmic where values differ much."""
    low, high = np.quantile(values, [0.05, 0.99])
    most = float(values.max())
    if low > 0 and high > WIDE * low:
        ax.set_xscale("log")
        ax.set_xlim(max(np.quantile(values, 0.002), high / DEEP), most * 1.1)
    else:
        ax.set_xlim(0.0, (1.05 * most if most < TAIL * nearly else 1.1 * nearly) or 1.0)


def _said(words: str, unit: str, groups: dict[str, NDArray[np.float64]], demanded: list[str]) -> str:
    """Half and 95 % of each tier in words."""
    halves = {
        name: "half within {}, 95 % within {}".format(
            *(written(value, unit) for value in np.quantile(values, [0.5, 0.95]))
        )
        for name, values in groups.items()
    }
    asked = f" The objective: {', '.join(demanded)}." if demanded else ""
    return f"{words[0].upper()}{words[1:]}. {told(halves)}.{asked}"


def _beyond(ax: Axes, values: NDArray[np.float64]) -> None:
    """Say which part lies to the right of the axis, if any does: below the curves, which are high there."""
    count = int((values > ax.get_xlim()[1]).sum())
    if count:
        share = count / len(values)
        ax.text(
            0.99, 0.06, f"{f'{100 * share:.2g} %' if share >= 0.001 else '< 0.1 %'} beyond \N{RIGHTWARDS ARROW}",
            transform=ax.transAxes, ha="right", va="center", size=8, bbox=style.PAPER,
        )  # fmt: skip


def _objective(result: Run | RunSet, ax: Axes, metric: str) -> list[str]:
    """Mark what the scenario demands, each with a name in the legend; answer these."""
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
    names = [f"{statistic} \N{LESS-THAN OR EQUAL TO} {format_seconds(bound)}" for statistic, bound in bounds]
    for number, (name, (statistic, bound)) in enumerate(zip(names, bounds, strict=True)):
        look: dict[str, Any] = {
            "color": style.VERMILLION,
            "linestyle": (0, (2 + 3 * number, 2)),
            "linewidth": 1.2,
        }
        ax.axvline(bound, zorder=1, label=f"objective {name}", **look)
        if statistic[0] == "p":
            ax.plot([bound], [float(statistic[1:]) / 100], "x", color=style.VERMILLION, markersize=7)
    return names


@picture("ttft", "time to first token: share of requests within a time, by tier")
def ttft(result: Run | RunSet, ax: Axes) -> str:
    """Draw how times to first token are distributed, by the tier that answered."""
    return _cdf(result, ax, "ttft")


@picture("tpot", "time per output token: share of requests within a time, by tier")
def tpot(result: Run | RunSet, ax: Axes) -> str:
    """Draw how times per output token are distributed, by the tier that answered."""
    return _cdf(result, ax, "tpot")


@picture("e2e", "end-to-end latency: share of requests within a time, by tier")
def e2e(result: Run | RunSet, ax: Axes) -> str:
    """Draw how end-to-end latencies are distributed, by the tier that answered."""
    return _cdf(result, ax, "e2e")


@picture("phases", "mean time in each phase of a request, by tier", size=(6.4, 2.9))
def phases(result: Run | RunSet, ax: Axes) -> str:
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
            if width > 0.9 / style.width(ax) * longest:
                ax.text(
                    left[row] + width / 2, row, format_seconds(float(width)), ha="center", va="center", size=7.5,
                    bbox=style.PAPER,
                )  # fmt: skip
        left += widths
    counts = requests["tier"].value_counts()
    for row in range(len(tiers)):
        ax.text(left[row] + 0.012 * longest, row, format_seconds(float(left[row])), va="center", size=8.5)
    ax.set_yticks(np.arange(len(tiers)), [f"{tier}\n{counts[tier]:,} requests" for tier in tiers])
    ax.set(xlim=(0.0, (1.0 + 1.2 / style.width(ax)) * longest), ylim=(-0.6, len(tiers) - 0.4))
    measure(ax.xaxis, "mean time of a request", "s")
    ax.grid(visible=False, axis="y")
    style.legend(ax)
    style.title(ax, "Where the time goes", caption(result, answered(result)), aside=85.0)
    said = {str(tier): _most(row) for tier, row in means.iterrows()}
    return f"Mean time of a request. {told(said)}."


def _most(means: pd.Series[Any]) -> str:
    """Sum and largest parts in words."""
    parts = ", ".join(
        f"{format_seconds(each)} {phase}" for phase, each in means.nlargest(3).items() if each > 0
    )
    return f"{format_seconds(float(means.sum()))} ({parts})"


@picture("distribution", "share of requests within a value of any metric, by tier", options=("metric",))
def distribution(result: Run | RunSet, ax: Axes, metric: str = "queue_time") -> str:
    """Draw how a metric of requests is distributed, by the tier that answered."""
    return _cdf(result, ax, metric)
