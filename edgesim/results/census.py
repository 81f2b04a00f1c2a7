"""What one pass over the requests finds out about each: how it ended, what it counts for, its groups."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from edgesim.metrics import METRICS
from edgesim.records import STATUS
from edgesim.results.groups import Grouping, Layout
from edgesim.results.slo import SLACK, limits

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgesim.outcome import RunInfo
    from edgesim.results.source import Source

COMPLETED: Final = STATUS.index("completed")
UNFINISHED: Final = STATUS.index("unfinished")
SUMS: Final = ("prompt_tokens", "output_tokens", "energy_j", "cost_usd", "carbon_g")
"""Columns that are added up for rates and totals."""

MOST_REPLICAS: Final = 100
"""Replicas that a summary lists, the busiest ones; requests.parquet knows all."""

Sums = dict[str, list[float]]


@dataclass
class Census:
    """What decides for what a request counts.

    Attributes:
        status: How each request ended.
        measured: Whether it arrived after the warm-up.
        in_window: Whether it was completed, and after the warm-up.
        good: Whether it kept all limits of the scenario's `slo:`; None without limits.
        by: Ways to group requests: by tier, workload, replica, and "", all in one group.
    """

    status: NDArray[np.int8]
    measured: NDArray[np.bool_]
    in_window: NDArray[np.bool_]
    good: NDArray[np.bool_] | None
    by: dict[str, Grouping] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """How many requests there are."""
        return len(self.status)

    @property
    def completed(self) -> NDArray[np.bool_]:
        """Which requests were completed."""
        return np.equal(self.status, COMPLETED)

    @property
    def turned_away(self) -> NDArray[np.bool_]:
        """Which requests were rejected, failed or abandoned: they ended without an answer."""
        return np.not_equal(self.status, COMPLETED) & np.not_equal(self.status, UNFINISHED)

    @property
    def selected(self) -> NDArray[np.bool_]:
        """Requests that metrics are about: completed, and arrived after the warm-up."""
        return self.measured & self.completed

    def shown(self, by: str) -> list[int]:
        """Groups that a summary lists: all tiers, workloads that asked, the busiest replicas."""
        grouping = self.by[by]
        if by == "tier":
            return list(range(len(grouping.names)))
        count = grouping.tally(self.status, len(STATUS)).sum(axis=1)
        busiest = np.argsort(-count, kind="stable").tolist()
        return [group for group in busiest if count[group]][: MOST_REPLICAS if by == "replica" else None]


def census(source: Source, info: RunInfo) -> Census:
    """Pass once over what decides which requests count for what."""
    codes, names = source.codes("status")
    status = np.array([*(STATUS.index(name) for name in names), -1], np.int8)[codes]
    found = Census(status, np.zeros(source.rows, bool), np.zeros(source.rows, bool), None)
    bounds = limits(info.slo)
    if bounds:
        found.good = np.ones(source.rows, bool)
    columns = {"arrived_at", "finished_at"}.union(*(METRICS[name].columns for name in bounds))
    row = 0
    for values in source.numbers(sorted(columns)):
        rows = slice(row, row + len(values["arrived_at"]))
        found.measured[rows] = values["arrived_at"] >= info.warmup_s
        found.in_window[rows] = (status[rows] == COMPLETED) & (values["finished_at"] >= info.warmup_s)
        for name, limit in bounds.items():
            assert found.good is not None
            violated = METRICS[name].formula(values) > limit * SLACK  # not so where the metric is missing
            found.good[rows] &= ~violated
        row = rows.stop
    found.by = _groupings(source, info, status)
    return found


def _groupings(source: Source, info: RunInfo, status: NDArray[np.int8]) -> dict[str, Grouping]:
    """Find the groups of all requests; tiers follow from replicas."""
    workloads, workload_names = source.codes("workload")
    replicas, replica_names = source.codes("replica")
    tier_names = list(dict.fromkeys(info.replica_tiers))
    tier_of = {
        name: tier_names.index(tier)
        for name, tier in zip(info.replica_names, info.replica_tiers, strict=True)
    }
    tiers = np.array([*(tier_of[name] for name in replica_names), -1], np.int32)
    return {
        "": Grouping([""], status, np.zeros(len(STATUS) + 1, np.int32)),
        "tier": Grouping(tier_names, replicas, tiers),
        "workload": Grouping(workload_names, workloads, _same(workload_names)),
        "replica": Grouping(replica_names, replicas, _same(replica_names)),
    }


def _same(names: list[str]) -> NDArray[np.int32]:
    return np.array([*range(len(names)), -1], np.int32)


def layouts(requests: Census) -> list[Layout]:
    """Order the selected requests by tier and replica, and, if there are several, by workload."""
    selected, replicas, tiers = requests.selected, requests.by["replica"], requests.by["tier"]
    order = sorted(range(len(replicas.names)), key=lambda code: (tiers.table[code], code))
    rank = np.full(len(order) + 1, -1, np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    places = Layout(Grouping(replicas.names, replicas.codes, rank), selected)
    shown = set(requests.shown("replica"))
    for position, code in enumerate(order):
        if code in shown:
            places.add("replica", replicas.names[code], position, position + 1)
    tiers_in_order = tiers.table[order]
    for code, name in enumerate(tiers.names):
        first, last = np.searchsorted(tiers_in_order, [code, code + 1])
        places.add("tier", name, int(first), int(last))
    places.add_all("", "")
    workloads, asking = requests.by["workload"], requests.shown("workload")
    if len(asking) == 1:  # no need to put the values in another order
        places.add_all("workload", workloads.names[asking[0]])
        return [places]
    kinds = Layout(workloads, selected)
    for code in asking:
        kinds.add("workload", workloads.names[code], code, code + 1)
    return [places, kinds]


def counts(requests: Census, by: str) -> list[dict[str, int]]:
    """Count the requests of each group by how they ended."""
    rows = requests.by[by].tally(requests.status, len(STATUS)).tolist()
    return [{"arrived": sum(row), **dict(zip(STATUS, row, strict=True))} for row in rows]


def reasons(source: Source, requests: Census) -> dict[str, int]:
    """Count the requests that were turned away by the reason, the most frequent first."""
    if not requests.turned_away.any():
        return {}
    codes, names = source.codes("reason")
    number = np.bincount(codes[requests.turned_away & (codes >= 0)], minlength=len(names)).tolist()
    found = {name or "unknown": count for name, count in zip(names, number, strict=True) if count}
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def sums(source: Source, requests: Census) -> dict[str, Sums]:
    """Add up energy, cost and carbon of each group's requests, tokens of those completed in the window."""
    groupings = requests.by
    found = {by: {name: np.zeros(len(g.names) + 1) for name in SUMS} for by, g in groupings.items()}
    row = 0
    for columns in source.numbers(SUMS):
        rows = slice(row, row + len(columns[SUMS[0]]))
        codes = {by: grouping.of(rows) + 1 for by, grouping in groupings.items()}
        for name, values in columns.items():
            weights = values * requests.in_window[rows] if name.endswith("tokens") else values
            for by, part in found.items():
                part[name] += np.bincount(codes[by], weights, len(part[name]))
        row = rows.stop
    return {by: {name: values[1:].tolist() for name, values in part.items()} for by, part in found.items()}


def rates(requests: Census, totals: Sums, by: str, window_s: float) -> list[dict[str, Any]]:
    """Answer what each group completes per second of the time after the warm-up."""
    grouping = requests.by[by]
    done = grouping.tally(requests.in_window, 2)[:, 1].tolist()
    well: list[int] | None = None
    if requests.good is not None:
        well = grouping.tally(requests.in_window & requests.good, 2)[:, 1].tolist()

    def rate(amount: float) -> float | None:
        return amount / window_s if window_s > 0 else None

    return [
        {
            "throughput_rps": rate(done[group]),
            "goodput_rps": None if well is None else rate(well[group]),
            "input_tokens_per_s": rate(totals["prompt_tokens"][group]),
            "output_tokens_per_s": rate(totals["output_tokens"][group]),
        }
        for group in range(len(grouping.names))
    ]
