"""What one pass over the requests finds out about each: how it ended, what it counts for, its groups."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from edgesim.metrics import METRICS
from edgesim.records import STATUS
from edgesim.results.groups import Layout
from edgesim.results.slo import SLACK, limits

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgesim.outcome import RunInfo
    from edgesim.results.source import Source

COMPLETED: Final = STATUS.index("completed")
SUMS: Final = ("prompt_tokens", "output_tokens", "energy_j", "cost_usd", "carbon_g")
"""Columns that are added up for rates and totals."""

MOST_REPLICAS: Final = 100
"""Replicas that a summary lists, the busiest ones; requests.parquet knows all."""

Codes = NDArray[np.int32]
Sums = dict[str, list[float]]


@dataclass
class Census:
    """What decides for what a request counts.

    Attributes:
        status: How each request ended.
        measured: Whether it arrived after the warm-up.
        in_window: Whether it was completed, and after the warm-up.
        good: Whether it kept all limits of the scenario's `slo:`; None without limits.
        codes: Columns of names by which requests are grouped.
    """

    status: Codes
    measured: NDArray[np.bool_]
    in_window: NDArray[np.bool_]
    good: NDArray[np.bool_] | None
    codes: dict[str, tuple[Codes, list[str]]] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """How many requests there are."""
        return len(self.status)

    @property
    def completed(self) -> NDArray[np.bool_]:
        """Which requests were completed."""
        return np.equal(self.status, COMPLETED)

    @property
    def selected(self) -> NDArray[np.bool_]:
        """Requests that metrics are about: completed, and arrived after the warm-up."""
        return self.measured & self.completed

    def shown(self, by: str) -> list[int]:
        """Codes of the groups that a summary lists: all tiers and workloads, and the busiest replicas."""
        codes, names = self.codes[by]
        if by != "replica":
            return list(range(len(names)))
        count = np.bincount(codes + 1, minlength=len(names) + 1)[1:]
        busiest = np.argsort(-count, kind="stable")[:MOST_REPLICAS]
        return [int(code) for code in busiest if count[code]]


def census(source: Source, info: RunInfo) -> Census:
    """Pass once over what decides which requests count for what."""
    codes, names = source.codes("status")
    status = np.array([*(STATUS.index(name) for name in names), -1], np.int32)[codes]
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
            found.good[rows] &= ~(
                METRICS[name].formula(values) > limit * SLACK
            )  # a missing metric violates nothing
        row = rows.stop
    for name, known in (("workload", info.workloads), ("replica", ()), ("tier", info.replica_tiers)):
        codes, names = source.codes(name)
        found.codes[name] = codes, list(dict.fromkeys([*names, *known]))
    return found


def layouts(requests: Census) -> list[Layout]:
    """Order the selected requests by tier and replica, and, if there are several, by workload."""
    selected = requests.selected
    replicas, replica_names = requests.codes["replica"]
    tiers, tier_names = requests.codes["tier"]
    tier_of = np.full(len(replica_names) + 1, -1, np.int32)
    tier_of[replicas] = tiers
    order = sorted(range(len(replica_names)), key=lambda code: (tier_of[code], code))
    rank = np.full(len(replica_names) + 1, -1, np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    places = Layout(rank[replicas[selected]], len(order))
    shown = set(requests.shown("replica"))
    for position, code in enumerate(order):
        if code in shown:
            places.add("replica", replica_names[code], position, position + 1)
    tiers_in_order = tier_of[order]
    for code, name in enumerate(tier_names):
        first, last = np.searchsorted(tiers_in_order, [code, code + 1])
        places.add("tier", name, int(first), int(last))
    places.add_all("", "")
    workloads, workload_names = requests.codes["workload"]
    if len(workload_names) == 1:  # no need to put the values in another order
        places.add_all("workload", workload_names[0])
        return [places]
    kinds = Layout(workloads[selected], len(workload_names))
    for code, name in enumerate(workload_names):
        kinds.add("workload", name, code, code + 1)
    return [places, kinds]


def counts(requests: Census, codes: Codes, groups: int) -> list[dict[str, int]]:
    """Count the requests of each group by how they ended."""
    kinds = len(STATUS)
    known = codes >= 0
    table = np.bincount(codes[known] * kinds + requests.status[known], minlength=groups * kinds)
    rows = table.reshape(groups, kinds).tolist()
    return [{"arrived": sum(row), **dict(zip(STATUS, row, strict=True))} for row in rows]


def sums(source: Source, requests: Census, groupings: Mapping[str, tuple[Codes, int]]) -> dict[str, Sums]:
    """Add up energy, cost and carbon of all requests of each group, tokens of those completed in the window.

    Args:
        source: Requests.
        requests: What counts.
        groupings: Group of each request (-1: none) and number of groups, for each way of grouping.
    """
    found = {by: {name: np.zeros(groups + 1) for name in SUMS} for by, (_, groups) in groupings.items()}
    row = 0
    for columns in source.numbers(SUMS):
        rows = slice(row, row + len(columns[SUMS[0]]))
        for name, values in columns.items():
            weights = values * requests.in_window[rows] if name.endswith("tokens") else values
            for by, (codes, groups) in groupings.items():
                found[by][name] += np.bincount(codes[rows] + 1, weights, groups + 1)
        row = rows.stop
    return {by: {name: values[1:].tolist() for name, values in part.items()} for by, part in found.items()}


def rates(requests: Census, totals: Sums, codes: Codes, groups: int, window_s: float) -> list[dict[str, Any]]:
    """Answer what each group completes per second of the time after the warm-up."""
    done = _count(codes, groups, requests.in_window)
    well = None if requests.good is None else _count(codes, groups, requests.in_window & requests.good)

    def rate(amount: float) -> float | None:
        return amount / window_s if window_s > 0 else None

    return [
        {
            "throughput_rps": rate(done[group]),
            "goodput_rps": None if well is None else rate(well[group]),
            "input_tokens_per_s": rate(totals["prompt_tokens"][group]),
            "output_tokens_per_s": rate(totals["output_tokens"][group]),
        }
        for group in range(groups)
    ]


def _count(codes: Codes, groups: int, selected: NDArray[np.bool_]) -> list[int]:
    found: list[int] = np.bincount(codes[selected] + 1, minlength=groups + 1)[1:].tolist()
    return found
