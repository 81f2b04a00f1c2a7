"""What is about over time: queues, batches, KV caches, watts, temperatures, traffic; needs `resources`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgesim.errors import ResultsError
from edgesim.report import style
from edgesim.report.plots.base import caption, one_run, picture, tier_style, tiers_of
from edgesim.results import needed
from edgesim.results.series import series

if TYPE_CHECKING:
    from typing import Any

    import pandas as pd
    from matplotlib.axes import Axes

    from edgesim.results import Run, RunSet

MOST_ROWS = 30
"""Replicas or links that a heat map shows: as many as can be read."""
RESOURCES = ("resources",)
PLACES = ("t", "kind", "name")
"""Columns that say what a row is about."""
SHORT = 30
"""Points of a line below which it is solid: dashes would be longer than its steps."""
TALL = (6.6, 4.2)


def _by_tier(run: Run, column: str) -> dict[str, pd.DataFrame]:
    """One column of replicas over time, for each tier."""
    resources = needed.table(run, "resources", (*PLACES, "tier", column))
    replicas = resources[resources["kind"] == "replica"]
    tier_of = replicas.drop_duplicates("name").set_index("name")["tier"].astype(str)
    wide = series(resources, column)
    tiers = style.tiers_in_order(tier_of.unique(), tiers_of(run))
    return {tier: wide[[name for name in wide if tier_of[str(name)] == tier]] for tier in tiers}


def _look(run: Run, tier: str, points: int) -> dict[str, Any]:
    """How the line of a tier is drawn."""
    place = (tiers_of(run).index(tier) if tier in tiers_of(run) else 3) % 4
    every = max(1, points // 7)
    return {
        "color": tier_style(run, tier)["color"],
        "linestyle": "-" if points < SHORT else style.TIER_DASHES[place],
        "marker": style.TIER_MARKERS[place],
        "markevery": (place * every // 3, every),
    }


def _named(tier: str, frame: pd.DataFrame) -> str:
    many = frame.shape[1]
    return f"{tier} ({many:,} replicas)" if many > 1 else tier


def _sums(result: Run | RunSet, ax: Axes, column: str, label: str, heading: str) -> None:
    """Draw a line a tier: the sum over its replicas."""
    run = one_run(result)
    for tier, frame in _by_tier(run, column).items():
        total = frame.sum(axis=1)
        ax.plot(total.index, total, label=_named(tier, frame), **_look(run, tier, len(total)))
    _finish(result, ax, label, heading)


def _finish(result: Run | RunSet, ax: Axes, label: str, heading: str, **legend: Any) -> None:
    ax.set(xlabel="simulated time [s]", ylabel=label)
    ax.set_xlim(0.0, None)
    ax.set_ylim(0.0, None if ax.dataLim.ymax > 0 else 1.0)  # nothing at all: not a scale of hundredths
    style.legend(ax, **legend)
    beside = "first replication" if one_run(result) is not result else ""
    style.title(ax, heading, caption(result, beside))


@picture("queue", "requests that wait at replicas over time, by tier", tables=RESOURCES)
def queue(result: Run | RunSet, ax: Axes) -> None:
    """Draw how many requests wait at the replicas of each tier."""
    _sums(result, ax, "waiting", "waiting requests", "Queues")


@picture("running", "requests in batches over time, by tier", tables=RESOURCES)
def running(result: Run | RunSet, ax: Axes) -> None:
    """Draw how many requests are in the batches of each tier."""
    _sums(result, ax, "running", "requests in batches", "Batches")


@picture("kv", "share of the KV caches in use over time, by tier", tables=RESOURCES)
def kv(result: Run | RunSet, ax: Axes) -> None:
    """Draw how full KV caches are: the mean of each tier, and up to its fullest replica as a band."""
    run = one_run(result)
    for tier, frame in _by_tier(run, "kv_share").items():
        look = _look(run, tier, len(frame))
        ax.plot(frame.index, frame.mean(axis=1), label=_named(tier, frame), **look)
        if frame.shape[1] > 1:
            _band(ax, frame.mean(axis=1), frame.max(axis=1), look, f"{tier}, up to the fullest")
    _finish(result, ax, "share of KV cache in use", "KV caches")


def _band(ax: Axes, low: Any, high: Any, look: dict[str, Any], label: str) -> None:
    """Shade what lies between two series."""
    ax.fill_between(low.index, low, high, color=look["color"], alpha=0.18, linewidth=0, label=label)


@picture("power", "power over time, stacked by tier", tables=RESOURCES)
def power(result: Run | RunSet, ax: Axes) -> None:
    """Draw what the replicas of each tier draw, one on the other."""
    run = one_run(result)
    base: Any = 0.0
    for tier, frame in _by_tier(run, "power_w").items():
        top = base + frame.sum(axis=1)
        look = tier_style(run, tier)
        ax.fill_between(
            frame.index, base, top, step="pre", label=_named(tier, frame),
            facecolor=look["color"], hatch=look["hatch"], edgecolor="white", linewidth=0.4,
        )  # fmt: skip
        base = top
    _finish(result, ax, "power [W]", "Power", reverse=True)


@picture("temperature", "temperatures of what warms up over time, by tier", tables=RESOURCES)
def temperature(result: Run | RunSet, ax: Axes) -> None:
    """Draw how warm accelerators are: the median of each tier, and coolest to hottest as a band."""
    run = one_run(result)
    for tier, frame in _by_tier(run, "temperature_c").items():
        known = frame.dropna(axis=1, how="all")
        if not known.shape[1]:
            continue
        look = _look(run, tier, len(known))
        ax.plot(known.index, known.median(axis=1), label=_named(tier, known), **look)
        if known.shape[1] > 1:
            _band(ax, known.min(axis=1), known.max(axis=1), look, f"{tier}, coolest to hottest")
    if not ax.lines:
        raise ResultsError("nothing warms up in this run; give a node `thermal: true`")
    _finish(result, ax, "temperature [\N{DEGREE SIGN}C]", "Temperatures")
    ax.set_ylim(auto=True)
    ax.autoscale(axis="y")


@picture("utilisation", "heat map: how busy each replica is over time", tables=RESOURCES, size=TALL)
def utilisation(result: Run | RunSet, ax: Axes) -> None:
    """Draw the busy share of the busiest replicas, a row each."""
    _heat_map(result, ax, "replica", "busy share of the time [%]", "How busy replicas are")


@picture("links", "heat map: how full each link is over time", tables=RESOURCES, size=TALL)
def links(result: Run | RunSet, ax: Axes) -> None:
    """Draw the utilisation of the fullest links, a row each."""
    _heat_map(result, ax, "link", "share of the bandwidth [%]", "How full links are")


def _heat_map(result: Run | RunSet, ax: Axes, kind: Any, label: str, heading: str) -> None:
    """Draw a share over time: the busiest replicas or links, the busiest of them on top."""
    run = one_run(result)
    wide = series(needed.table(run, "resources", (*PLACES, "utilisation")), "utilisation", kind)
    if not wide.shape[1]:
        raise ResultsError(f"this run has no {kind}s, so there is no heat map of them")
    spans = np.diff(wide.index, prepend=0.0)
    mean = wide.mul(spans, axis=0).sum() / spans.sum()
    shown = wide[mean.sort_values(ascending=False, kind="stable").index[:MOST_ROWS]]
    edges = np.concatenate([[0.0], shown.index.to_numpy(float)])
    mesh = ax.pcolormesh(
        edges, np.arange(shown.shape[1] + 1) - 0.5, 100 * shown.to_numpy().T,
        cmap=style.HEAT, vmin=0.0, vmax=100.0, rasterized=True,
    )  # fmt: skip
    ax.set_yticks(np.arange(shown.shape[1]), list(shown), size=7.5 if shown.shape[1] > 12 else 9)
    ax.invert_yaxis()
    ax.grid(visible=False)
    ax.set_xlabel("simulated time [s]")
    assert ax.figure is not None
    ax.figure.colorbar(mesh, ax=ax, label=label, pad=0.02)
    of = f"the busiest {shown.shape[1]} of {wide.shape[1]:,} {kind}s"
    style.title(ax, heading, caption(result, of if wide.shape[1] > shown.shape[1] else ""))


@picture("cache", "share of prompt tokens found in prefix caches over time, by tier")
def cache(result: Run | RunSet, ax: Axes, bins: int = 20) -> None:
    """Draw which part of the prompts was found in caches instead of being computed."""
    columns = ("tier", "first_scheduled_at", "cached_tokens", "prompt_tokens")
    requests = needed.table(result, "requests", columns)
    started = requests[requests["first_scheduled_at"].notna()]
    if not len(started) or not started["cached_tokens"].sum():
        raise ResultsError("no prompt was found in a cache; give a deployment `prefix_cache: true`")
    run = one_run(result)
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
    _finish(result, ax, "share of prompt tokens", "Found in prefix caches")
    ax.set_ylim(0.0, 1.0)
