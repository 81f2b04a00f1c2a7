"""The summary of a replication: counts, metrics, rates, energy, money, verdicts, overall and by group."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from edgesim.metrics import METRICS
from edgesim.results.census import (
    MOST_REPLICAS,
    Census,
    Sums,
    census,
    counts,
    layouts,
    rates,
    reasons,
    sums,
)
from edgesim.results.certainty import Series
from edgesim.results.columns import NJ_PER_J, PS_PER_S
from edgesim.results.groups import describe_groups
from edgesim.results.slo import verdicts
from edgesim.results.stability import verdict
from edgesim.stats import Distribution, numbers_of

if TYPE_CHECKING:
    from edgesim.outcome import RunInfo, Totals
    from edgesim.results.source import Source

Json = dict[str, Any]
Distributions = Mapping[str, Mapping[tuple[str, str], Distribution]]

BUSIEST: Final = 20
"""Links that a summary lists."""


@dataclass(frozen=True)
class Effort:
    """What a replication took on this machine.

    Attributes:
        wall_s: Wall time of the simulation, recording included [s].
        cpu_s: Processor time of the same [s].
        peak_rss_mib: Largest resident memory of the process so far [MiB].
    """

    wall_s: float = 0.0
    cpu_s: float = 0.0
    peak_rss_mib: float = 0.0


def summarise(source: Source, info: RunInfo, totals: Totals, effort: Effort | None = None) -> Json:
    """Summarise a replication; missing numbers are None."""
    requests = census(source, info)
    orders = layouts(requests)
    selected = requests.selected
    series = Series(requests.rows)
    found = describe_groups(source, METRICS, selected, orders, series)
    if not info.carbon_stated:
        found["carbon"] = {}
    metrics = _metrics(found, "", "")
    added = sums(source, requests)
    window = info.duration_s - info.warmup_s
    reason = verdict(source, info.duration_s, info.warmup_s)
    if not totals.stable:
        reason = totals.backlog or reason or "the engine saw its backlog grow without end"
    by = {
        by: _groups(by, requests, added[by], found, window=window, info=info, totals=totals)
        for by in ("tier", "workload", "replica")
    }
    links = _links(info, totals)
    doubts = series.doubts(metrics, measured=int(requests.measured.sum()), stable=not reason)
    return {
        "requests": counts(requests, "")[0],
        "reasons": reasons(source, requests),
        "warmup": {"seconds": info.warmup_s, "requests": int(requests.rows - requests.measured.sum())},
        "stable": not reason,
        "stability": f"unstable: {reason}" if reason else "stable",
        "metrics": metrics,
        "intervals": series.intervals(stable=not reason),
        "rates": rates(requests, added[""], "", window)[0],
        **_fleet(totals, added[""], carbon_stated=info.carbon_stated),
        "by": by,
        "slo": verdicts(info.slo, metrics, source, requests),
        "links": links,
        "listed": {
            "replicas": len(by["replica"]),
            "of_replicas": len(info.replica_names),
            "links": len(links),
            "of_links": len(info.link_names),
        },
        **_heat(info, totals),
        "notes": [*info.notes, *doubts],
        "engine": _engine(info, totals, effort or Effort(), requests.rows),
    }


def _metrics(found: Distributions, by: str, name: str) -> Json:
    """All metrics of one group."""
    nothing = Distribution(0)
    return {
        metric: {"unit": METRICS[metric].unit} | numbers_of(groups.get((by, name), nothing))
        for metric, groups in found.items()
    }


def _fleet(totals: Totals, added: Sums, *, carbon_stated: bool) -> Json:
    """Energy, money and carbon of everything, idle included."""
    idle, dynamic = _joules(totals, range(len(totals.replicas)))
    network = None if totals.network_nj is None else totals.network_nj / NJ_PER_J
    decisions = totals.decided_nj / NJ_PER_J
    works = math.fsum(totals.replica("work_nj")) / NJ_PER_J
    idle_usd, idle_g = math.fsum(totals.replica("idle_cost_usd")), math.fsum(totals.replica("idle_carbon_g"))
    energy, cost, carbon = (added[name][0] for name in ("energy_j", "cost_usd", "carbon_g"))
    return {
        "energy_j": {
            "total": idle + dynamic + decisions + works + (network or 0.0),
            "idle": idle,
            "dynamic": dynamic,
            "decisions": decisions,
            "works": works,
            "network": network,
        },
        "cost_usd": cost + idle_usd,
        "carbon_g": carbon + idle_g if carbon_stated else None,
        "of_requests": {
            "energy_j": energy,
            "cost_usd": cost,
            "carbon_g": carbon if carbon_stated else None,
        },
    }


def _joules(totals: Totals, members: Sequence[int]) -> tuple[float, float]:
    """Idle and dynamic energy of some replicas [J]."""
    idle = math.fsum(totals.replica("idle_nj")[list(members)])
    dynamic = math.fsum(
        [*totals.replica("compute_nj")[list(members)], *totals.replica("wasted_nj")[list(members)]]
    )
    return idle / NJ_PER_J, dynamic / NJ_PER_J


def _groups(
    by: str,
    requests: Census,
    added: Sums,
    found: Distributions,
    *,
    window: float,
    info: RunInfo,
    totals: Totals,
) -> Json:
    """The same as for the whole run, for each tier, workload or replica that something happened at."""
    names = requests.by[by].names
    rate, count = rates(requests, added, by, window), counts(requests, by)
    members = _members(by, info, totals)
    groups: Json = {}
    for code in sorted(requests.shown(by), key=names.__getitem__):
        name = names[code]
        idle, dynamic = _joules(totals, members.get(name, []))
        groups[name] = {
            "requests": count[code],
            "metrics": _metrics(found, by, name),
            "rates": rate[code],
            "energy_j": {"of_requests": added["energy_j"][code]},
            "cost_usd": added["cost_usd"][code],
            "carbon_g": added["carbon_g"][code] if info.carbon_stated else None,
        }
        if name in members:
            groups[name]["energy_j"] |= {"idle": idle, "dynamic": dynamic}
            groups[name]["fleet"] = _work(totals, members[name])
    return groups


def _members(by: str, info: RunInfo, totals: Totals) -> dict[str, list[int]]:
    """Replicas that make up each tier, or each replica; workloads have none."""
    names = {"tier": info.replica_tiers, "replica": info.replica_names}.get(by, ())
    members: dict[str, list[int]] = {}
    for replica, name in enumerate(names[: len(totals.replicas)]):
        members.setdefault(name, []).append(replica)
    return members


def _work(totals: Totals, members: Sequence[int]) -> Json:
    """What some replicas did."""
    rows = list(members)
    on, busy = (math.fsum(totals.replica(name)[rows]) for name in ("on_ps", "busy_ps"))
    blocks, peak = totals.replica("kv_blocks")[rows], totals.replica("peak_kv_blocks")[rows]
    return {
        "replicas": len(rows),
        "utilisation": busy / on if on else None,
        "busy_s": busy / PS_PER_S,
        "steps": int(totals.replica("steps")[rows].sum()),
        "tokens": int(totals.replica("tokens")[rows].sum()),
        "cached_tokens": int(totals.replica("hit_tokens")[rows].sum()),
        "preemptions": int(totals.replica("preemptions")[rows].sum()),
        "switches": int(totals.replica("switches")[rows].sum()),
        "peak_kv_share": float(max(p / b for p, b in zip(peak, blocks, strict=True)))
        if blocks.all()
        else None,
        "mfu": float(totals.replica("mfu")[rows].mean()),
        "mbu": float(totals.replica("mbu")[rows].mean()),
    }


def _links(info: RunInfo, totals: Totals) -> Json:
    """The busiest links."""
    use, carried = totals.link("utilisation"), totals.link("bytes")
    order = np.argsort(-use, kind="stable")[:BUSIEST].tolist()
    return {
        info.link_names[link]: {"utilisation": float(use[link]), "bytes": float(carried[link])}
        for link in order
        if link < len(info.link_names)
    }


def _heat(info: RunInfo, totals: Totals) -> Json:
    """How hot what warms up became, the longest throttled first; nothing where nothing does."""
    heat = totals.heat
    if not len(heat) or info.duration_s <= 0:
        return {}
    share = heat["throttled_ps"] / (info.duration_s * PS_PER_S)
    order = np.lexsort((-heat["hottest_c"], -share))[:MOST_REPLICAS].tolist()
    return {
        "thermal": {
            "replicas": len(heat),
            "throttled": int(np.count_nonzero(heat["throttled_ps"])),
            "throttled_share": float(share.mean()),
            "mean_clock": float(heat["mean_clock"].mean()),
            "hottest_c": float(heat["hottest_c"].max()),
            "by": {
                info.replica_names[int(heat["replica"][row])]: {
                    "hottest_c": float(heat["hottest_c"][row]),
                    "final_c": float(heat["final_c"][row]),
                    "throttled_s": float(heat["throttled_ps"][row] / PS_PER_S),
                    "slowest_clock": float(heat["slowest"][row]),
                    "mean_clock": float(heat["mean_clock"][row]),
                }
                for row in order
            },
        }
    }


def _engine(info: RunInfo, totals: Totals, effort: Effort, requests: int) -> Json:
    """How the result came about, and what it took; all that may differ between two equal runs."""
    return {
        "engine": info.engine,
        "calibration": info.calibration,
        "error_band": info.error_band,
        "simulated_s": info.duration_s,
        "wall_s": effort.wall_s,
        "cpu_s": effort.cpu_s,
        "requests_per_s": requests / effort.cpu_s if effort.cpu_s else None,
        "events": totals.events,
        "peak_rss_mib": effort.peak_rss_mib,
        "policy_s": dict(totals.policy_s),
    }
