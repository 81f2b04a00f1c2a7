"""What is about over time: queues, batches, KV caches, watts, temperatures, traffic; needs `resources`."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from edgesim.errors import ResultsError
from edgesim.report import style
from edgesim.report.axis import measure
from edgesim.report.plots.base import caption, one_run, picture, tier_style, tiers_of, told
from edgesim.results import needed
from edgesim.results.series import series
from edgesim.units import format_percent, format_watts

if TYPE_CHECKING:
    from typing import Any

    import pandas as pd
    from matplotlib.axes import Axes

    from edgesim.results import Run, RunSet

MOST_ROWS = 20
"""Replicas or links that a heat map shows: as many as can be read."""
HALF = 0.5
"""Colours of a heat map end at 100 %, or where nothing reaches this share, at a round one above the largest."""
RESOURCES = ("resources",)
PLACES = ("t", "kind", "name")
"""Columns that say what a row is about."""
TALL = (6.6, 4.6)


def _by_tier(run: Run, column: str) -> dict[str, pd.DataFrame]:
    """One column of replicas over time, for each tier."""
    resources = needed.table(run, "resources", (*PLACES, "tier", column))
    replicas = resources[resources["kind"] == "replica"]
    tier_of = replicas.drop_duplicates("name").set_index("name")["tier"].astype(str)
    wide = series(resources, column)
    tiers = style.tiers_in_order(tier_of.unique(), tiers_of(run))
    return {tier: wide[[name for name in wide if tier_of[str(name)] == tier]] for tier in tiers}


def _look(run: Run, tier: str, points: int) -> dict[str, Any]:
    """How the line of a tier is drawn: solid, since dashes would be longer than the steps between samples."""
    place = (tiers_of(run).index(tier) if tier in tiers_of(run) else 3) % 4
    every = max(1, points // 7)
    return {
        "color": tier_style(run, tier)["color"],
        "linewidth": 1.3,
        "marker": style.TIER_MARKERS[place],
        "markevery": (place * every // 3, every),
        "clip_on": False,  # markers on the axis stay whole
    }


def _named(tier: str, frame: pd.DataFrame) -> str:
    many = frame.shape[1]
    return f"{tier} ({many:,} replicas)" if many > 1 else tier


def _sums(result: Run | RunSet, ax: Axes, column: str, what: str, heading: str) -> str:
    """Draw a line a tier: the sum over its replicas."""
    run, told_of = one_run(result), {}
    for tier, frame in _by_tier(run, column).items():
        total = frame.sum(axis=1)
        ax.plot(total.index, total, label=_named(tier, frame), **_look(run, tier, len(total)))
        told_of[tier] = f"{total.mean():.3g} on average, at most {total.max():,.0f}"
    _finish(result, ax, heading)
    if not ax.dataLim.ymax > 0:
        nothing = f"no {what} in any sample"
        ax.text(0.5, 0.5, nothing, transform=ax.transAxes, ha="center", va="center", color=style.FAINT)
        ax.set_ylim(0.0, 1.0)  # not a scale of hundredths
    measure(ax.yaxis, what, whole=True)
    return f"{heading}: {what}. {told(told_of)}."


def _finish(result: Run | RunSet, ax: Axes, heading: str, **legend: Any) -> None:
    """Set what all pictures over time have: an axis of time from 0 to the last sample, legend and title."""
    ax.set_xlim(0.0, ax.dataLim.xmax)
    ax.set_ylim(0.0, None if ax.dataLim.ymax > 0 else 1.0)
    measure(ax.xaxis, "simulated time", "s")
    style.legend(ax, **legend)
    beside = "first replication" if one_run(result) is not result else ""
    style.title(ax, heading, caption(result, beside))


@picture("queue", "requests that wait at replicas over time, by tier", tables=RESOURCES)
def queue(result: Run | RunSet, ax: Axes) -> str:
    """Draw how many requests wait at the replicas of each tier."""
    return _sums(result, ax, "waiting", "waiting requests", "Queues")


@picture("running", "requests in batches over time, by tier", tables=RESOURCES)
def running(result: Run | RunSet, ax: Axes) -> str:
    """Draw how many requests are in the batches of each tier."""
    return _sums(result, ax, "running", "requests in batches", "Batches")


@picture("kv", "share of the KV caches in use over time, by tier", tables=RESOURCES)
def kv(result: Run | RunSet, ax: Axes) -> str:
    """Draw how full KV caches are: the mean of each tier, and up to its fullest replica as a band."""
    run, told_of = one_run(result), {}
    for tier, frame in _by_tier(run, "kv_share").items():
        look, mean = _look(run, tier, len(frame)), frame.mean(axis=1)
        ax.plot(frame.index, mean, label=_named(tier, frame), **look)
        if frame.shape[1] > 1:
            _band(ax, mean, frame.max(axis=1), look, f"{tier}, up to the fullest")
        told_of[tier] = (
            f"{format_percent(mean.mean())} on average, at most {format_percent(frame.max().max())}"
        )
    _finish(result, ax, "KV caches")
    measure(ax.yaxis, "KV cache in use", "share")
    return f"Share of the KV caches in use. {told(told_of)}."


def _band(ax: Axes, low: Any, high: Any, look: dict[str, Any], label: str) -> None:
    """Shade what lies between two series."""
    ax.fill_between(low.index, low, high, color=look["color"], alpha=0.18, linewidth=0, label=label)


@picture("power", "power over time, stacked by tier", tables=RESOURCES)
def power(result: Run | RunSet, ax: Axes) -> str:
    """Draw what the replicas of each tier draw, one on the other; a sample is the mean since the one before."""
    run, told_of = one_run(result), {}
    base: Any = 0.0
    tiers = _by_tier(run, "power_w")
    for tier, frame in tiers.items():
        watts = frame.sum(axis=1).to_numpy()
        top = base + np.append(watts[:1], watts)
        look = tier_style(run, tier)
        ax.fill_between(
            np.append(0.0, frame.index), base, top, step="pre", label=_named(tier, frame), facecolor=look["color"],
            hatch=look["hatch"] if len(tiers) > 1 else "", edgecolor="white", linewidth=0.0,
        )  # fmt: skip
        base = top
        spans = np.diff(frame.index, prepend=0.0)
        told_of[tier] = f"{format_watts(float((watts * spans).sum() / spans.sum()))} on average"
    _finish(result, ax, "Power", reverse=True)
    measure(ax.yaxis, "power", "W")
    return f"Power. {told(told_of)}; {format_watts(float(np.max(base)))} together at most."


@picture("temperature", "temperatures of what warms up over time, by tier", tables=RESOURCES)
def temperature(result: Run | RunSet, ax: Axes) -> str:
    """Draw how warm accelerators are: the median of each tier, and coolest to hottest as a band."""
    run, told_of = one_run(result), {}
    for tier, frame in _by_tier(run, "temperature_c").items():
        known = frame.dropna(axis=1, how="all")
        if not known.shape[1]:
            continue
        look, median = _look(run, tier, len(known)), known.median(axis=1)
        ax.plot(known.index, median, label=_named(tier, known), **look)
        if known.shape[1] > 1:
            _band(ax, known.min(axis=1), known.max(axis=1), look, f"{tier}, coolest to hottest")
        ends = f"{median.iloc[0]:.3g} to {median.iloc[-1]:.3g} \N{DEGREE SIGN}C in the median"
        told_of[tier] = f"{ends}, {known.max().max():.3g} \N{DEGREE SIGN}C at most"
    if not ax.lines:
        raise ResultsError("nothing warms up in this run; give a node `thermal: true`")
    _finish(result, ax, "Temperatures")
    ax.set_ylim(auto=True)
    ax.autoscale(axis="y")
    measure(ax.yaxis, "temperature", "\N{DEGREE SIGN}C")
    return f"Temperatures from start to end. {told(told_of)}."


@picture("utilisation", "heat map: how busy each replica is over time", tables=RESOURCES, size=TALL)
def utilisation(result: Run | RunSet, ax: Axes) -> str:
    """Draw the busy share of the busiest replicas, a row each."""
    return _heat_map(result, ax, "replica", "busy share of the time", "How busy replicas are")


@picture("links", "heat map: how full each link is over time", tables=RESOURCES, size=TALL)
def links(result: Run | RunSet, ax: Axes) -> str:
    """Draw the utilisation of the fullest links, a row each."""
    return _heat_map(result, ax, "link", "share of the bandwidth in use", "How full links are")


def _heat_map(result: Run | RunSet, ax: Axes, kind: Any, label: str, heading: str) -> str:
    """Draw a share over time: the busiest replicas or links with their means, the busiest of them on top."""
    run = one_run(result)
    wide = series(needed.table(run, "resources", (*PLACES, "utilisation")), "utilisation", kind)
    if not wide.shape[1]:
        raise ResultsError(f"this run has no {kind}s, so there is no heat map of them")
    spans = np.diff(wide.index, prepend=0.0)
    mean = wide.mul(spans, axis=0).sum() / spans.sum()
    order = mean.sort_values(ascending=False, kind="stable").index[:MOST_ROWS]
    shown = wide[order]
    end = _end(float(shown.max().max()))
    mesh = ax.pcolormesh(
        np.concatenate([[0.0], shown.index.to_numpy(float)]), np.arange(shown.shape[1] + 1) - 0.5,
        shown.to_numpy().T, cmap=style.HEAT, vmin=0.0, vmax=end, rasterized=True,
    )  # fmt: skip
    letters = 8 if shown.shape[1] > MOST_ROWS / 2 else 9
    names = [style.shortened(name) for name in _names(list(map(str, order)), list(map(str, wide)))]
    ax.set_yticks(np.arange(shown.shape[1]), names, size=letters)
    for row, name in enumerate(order):
        ax.text(
            1.01,
            row,
            _share(mean[name]),
            transform=ax.get_yaxis_transform(),
            va="center",
            size=letters,
        )
    ax.invert_yaxis()
    ax.grid(visible=False)
    measure(ax.xaxis, "simulated time", "s")
    assert ax.figure is not None
    bar = ax.figure.colorbar(mesh, ax=ax, location="bottom", pad=0.02, aspect=40, fraction=0.05)
    measure(bar.ax.xaxis, label, "share")
    said = (
        [f"the busiest {shown.shape[1]} of {wide.shape[1]:,} {kind}s"]
        if wide.shape[1] > shown.shape[1]
        else []
    )
    said += ["right: means over time", *([f"colours end at {format_percent(end)}"] if end < 1.0 else [])]
    style.title(
        ax, heading, caption(result, "; ".join(said)), aside=50 + 0.6 * letters * max(map(len, names))
    )
    first = ", ".join(f"{name} {_share(mean[name])}" for name in order[:3])
    together = f"; of all {wide.shape[1]:,} {kind}s {_share(mean.mean())}" if wide.shape[1] > 3 else ""
    return f"{heading}, on average over time: {first}{together}."


def _share(share: float) -> str:
    return format_percent(share) if share >= 1e-4 or not share else "< 0.01 %"


def _end(most: float) -> float:
    """Where the colours of a heat map end: where all shares are small, they are told apart on a scale of their own."""
    if most >= HALF or not most > 0:
        return 1.0
    size = 10 ** np.floor(np.log10(most))
    return float(next(step * size for step in (1, 2, 5, 10) if step * size >= most * (1 - 1e-9)))


def _names(shown: list[str], everyone: list[str]) -> list[str]:
    """Names of replicas without what serves there, where a node has one replica alone."""
    nodes = Counter(name.partition("/")[0] for name in everyone)
    return [node if nodes[node := name.partition("/")[0]] == 1 else name for name in shown]


@picture("cache", "share of prompt tokens found in prefix caches over time, by tier")
def cache(result: Run | RunSet, ax: Axes, bins: int = 20) -> str:
    """Draw which part of the prompts was found in caches instead of being computed."""
    columns = ("tier", "first_scheduled_at", "cached_tokens", "prompt_tokens")
    requests = needed.table(result, "requests", columns)
    started = requests[requests["first_scheduled_at"].notna()]
    if not len(started) or not started["cached_tokens"].sum():
        raise ResultsError(
            "no prompt was found in a cache; prompts must begin alike, and a deployment needs `prefix_cache: true`"
        )
    run, told_of = one_run(result), {}
    edges = np.linspace(0.0, float(started["first_scheduled_at"].max()) * (1 + 1e-9), bins + 1)
    for tier in style.tiers_in_order(started["tier"].dropna().unique(), tiers_of(result)):
        rows = started[started["tier"] == tier]
        found, asked = (
            np.histogram(rows["first_scheduled_at"], edges, weights=rows[name])[0]
            for name in ("cached_tokens", "prompt_tokens")
        )
        if not found.sum():
            continue
        with np.errstate(invalid="ignore"):
            share = found / asked
        overall = found.sum() / asked.sum()
        ax.plot(
            (edges[1:] + edges[:-1]) / 2,
            share,
            label=f"{tier} ({overall:.0%} overall)",
            **_look(run, tier, bins),
        )
        told_of[tier] = format_percent(overall)
    _finish(result, ax, "Found in prefix caches")
    ax.set_ylim(0.0, 1.0)
    measure(ax.yaxis, "prompt tokens found", "share")
    return f"Share of the prompt tokens found in prefix caches. {told(told_of)}."
