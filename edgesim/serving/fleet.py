"""The fleet: from a scenario and its topology to the system an engine runs, with the names behind the numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from edgesim import costs
from edgesim.arena import rows
from edgesim.arena.state import blank
from edgesim.scenario.suits import suits
from edgesim.serving.system import FOREVER, System

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from edgesim.catalog import Llm
    from edgesim.costs.step import StepCost
    from edgesim.scenario import Scenario
    from edgesim.scenario.deployment import Deployment
    from edgesim.topology import Topology

MILLIBYTES = 1000
J_PER_KWH = 3.6e6
HASH_TOKENS = 512
"""Tokens of a prompt block that a trace names by hash (Mooncake, FAST '25)."""

HOURS_PS = 3600 * rows.PS
AT_ONCE = 1_000_000
"""Pairs of an origin and a replica that are sorted together."""

UNREACHABLE = 1 << 62
"""Farther than any replica that links lead to."""

SERVED_AT_HOME = 0
"""LLM class of requests that a SimPy process hands to a replica of its own node."""


@dataclass(frozen=True)
class Fleet:
    """A system and its names.

    Attributes:
        system: What an engine runs.
        names: Of the replicas, each its own: node/deployment, numbered where a deployment has several there.
        deployments: Of each replica, the position in the scenario's deployments.
        nodes: Of each replica, the node's id.
        tiers: Of each replica, the tier's name.
        llms: Of each replica, the LLM's name.
        prices: Of each replica [USD/h].
        latency_ps: Of each candidate row, one way [ps].
    """

    system: System
    names: Sequence[str]
    deployments: Sequence[int]
    nodes: Sequence[int]
    tiers: Sequence[str]
    llms: Sequence[str]
    prices: Sequence[float]


def build(scenario: Scenario, topology: Topology, cache_order: int | None = 0) -> Fleet:
    """Build the fleet of one replication.

    Args:
        scenario: The validated scenario.
        topology: Its nodes and links.
        cache_order: Built-in order in which idle prefixes are forgotten; None for a policy's own.
    """
    llms = [scenario.deployed(deployment) for deployment in scenario.deployments]
    step_costs = [_step_cost(scenario, *each) for each in zip(scenario.deployments, llms, strict=True)]
    table, deployment_of, names = _replicas(scenario, topology, llms, step_costs, cache_order)
    devices = _devices(scenario, topology, table)
    classes, llm_class = _llm_classes(scenario)
    places, candidates, pool = _places(scenario, topology, table, deployment_of, classes)
    workloads = np.zeros(len(scenario.workloads) + 1, rows.WORKLOAD)
    for row, (name, workload) in zip(workloads, scenario.workloads.items(), strict=False):
        row["streams"] = int(workload.stream)
        row["bytes_per_token"] = workload.bytes_per_token
        row["retries"] = scenario.policies.retry.attempts
        row["backoff"] = round(scenario.policies.retry.backoff * rows.PS)
        row["llm"] = llm_class[name]
        row["limited"] = 1
        row["shared"] = workload.shared_prefix
        row["carries"] = int(workload.session is not None and workload.session.carry_history)
        row["hash_tokens"] = HASH_TOKENS
    workloads[-1]["notify"] = 1
    workloads[-1]["llm"] = SERVED_AT_HOME
    links = np.zeros(topology.link_count, rows.LINK)
    links["capacity"] = np.maximum(1, np.rint(topology.capacity * MILLIBYTES)).astype(np.int64)
    links["sharing"] = topology.sharing
    duration = scenario.scenario.duration
    system = System(
        links=links,
        replicas=table,
        costs=step_costs,
        candidates=candidates,
        places=places,
        classes=len(classes),
        paths=pool,
        workloads=workloads,
        end=FOREVER if duration is None else round(duration * rows.PS),
        limit=scenario.scenario.requests or FOREVER,
        windows=[cost.window for cost in step_costs],
        devices=devices,
    )
    return Fleet(
        system=system,
        names=names,
        deployments=deployment_of,
        nodes=table["node"].tolist(),
        tiers=[topology.tiers[level] for level in topology.node_tier[table["node"]]],
        llms=[scenario.deployments[d].llm for d in deployment_of],
        prices=(table["usd_per_ps"] * HOURS_PS).tolist(),
    )


def _step_cost(scenario: Scenario, deployment: Deployment, llm: Llm) -> StepCost:
    node = scenario.topology.nodes[deployment.on]
    return costs.build(scenario.machine(deployment), llm, deployment, node)


def _replicas(
    scenario: Scenario,
    topology: Topology,
    llms: Sequence[Llm],
    step_costs: Sequence[StepCost],
    cache_order: int | None,
) -> tuple[NDArray[np.void], list[int], list[str]]:
    """Rows, deployments and names of all replicas: deployment by deployment, node by node."""
    sizes = [topology.group(one.on)[1] * one.replicas for one in scenario.deployments]
    table = blank(sum(sizes), rows.REPLICA)
    deployment_of: list[int] = []
    names: list[str] = []
    for d, (deployment, llm, cost) in enumerate(zip(scenario.deployments, llms, step_costs, strict=True)):
        first, nodes = topology.group(deployment.on)
        part = table[len(names) : len(names) + sizes[d]]
        part["node"] = np.repeat(np.arange(first, first + nodes), deployment.replicas)
        part["tier"] = topology.node_tier[part["node"]]
        part["cost"] = d
        part["quality"] = llm.quality
        part["context_limit"] = deployment.context or llm.context
        _fill(part, scenario, deployment, cost, cache_order)
        deployment_of += [d] * len(part)
        numbered = deployment.replicas > 1
        for i, node in enumerate(part["node"].tolist()):
            number = f"[{i % deployment.replicas}]" if numbered else ""
            names.append(f"{topology.node_name(node)}/{deployment.name}{number}")
    return table, deployment_of, names


def _fill(
    part: NDArray[np.void],
    scenario: Scenario,
    deployment: Deployment,
    cost: StepCost,
    cache_order: int | None,
) -> None:
    """Set what the replicas of a deployment have in common."""
    node = scenario.topology.nodes[deployment.on]
    part["max_num_seqs"], part["max_tokens"] = deployment.max_num_seqs, deployment.max_batched_tokens
    blocks = cost.kv_blocks
    if deployment.kv_tokens is not None and cost.kv_block_bytes:
        blocks = deployment.kv_tokens // deployment.block_size
    part["block_size"], part["total_blocks"] = deployment.block_size, blocks
    part["watermark"] = int(blocks * deployment.watermark)
    if deployment.preemption == "swap" and cost.kv_block_bytes:
        part["swaps"] = 1
        part["swap_blocks"] = int(deployment.swap_space) // cost.kv_block_bytes
    part["encoder"] = int(cost.encoder_only)
    part["caching"] = int(deployment.prefix_cache)
    part["cache_order"] = cache_order or 0
    part["start_ps"] = round(deployment.start_time * rows.PS)
    part["state"] = rows.STARTING if deployment.start_time else rows.ON
    part["speed"] = rows.FULL_SPEED
    price = node.price
    if price is None:
        price = scenario.accelerator(node.accelerator).price if node.accelerator else 0.0
    part["usd_per_ps"] = price * deployment.tensor_parallel / HOURS_PS
    part["usd_per_nj"] = node.electricity / J_PER_KWH * 1e-9
    part["gram_per_nj"] = _carbon(scenario, deployment.on) / J_PER_KWH * 1e-9


def _devices(scenario: Scenario, topology: Topology, table: NDArray[np.void]) -> NDArray[np.void]:
    """Accelerators on which replicas take turns; the first replica of each is loaded at the start."""
    parts = [np.zeros(0, rows.DEVICE)]
    number = 0
    for name, node in scenario.topology.nodes.items():
        if node.accelerator is None or not scenario.takes_turns(name):
            continue
        switch = scenario.accelerator(node.accelerator).switch_time
        assert switch is not None
        first, count = topology.group(name)
        part = np.zeros(count, rows.DEVICE)
        part["quantum"], part["switch_ps"] = round(node.quantum * rows.PS), round(switch * rows.PS)
        there = np.flatnonzero((table["node"] >= first) & (table["node"] < first + count))
        table["accelerator"][there] = number + 1 + table["node"][there] - first
        part["loaded"] = there[:count]  # deployment by deployment, node by node
        parts.append(part)
        number += count
    return np.concatenate(parts)


def _carbon(scenario: Scenario, group: str) -> float:
    """Carbon intensity of a node group's electricity [g/kWh]."""
    from edgesim import catalog

    node = scenario.topology.nodes[group]
    if node.carbon is not None:
        return node.carbon
    return catalog.grid(node.grid).carbon if node.grid else 0.0


def _llm_classes(scenario: Scenario) -> tuple[list[tuple[int, ...]], dict[str, int]]:
    """Which deployments requests may use: class 0 those at home, then each set that suits a workload."""
    classes: list[tuple[int, ...]] = [()]
    class_of: dict[str, int] = {}
    for name, workload in scenario.workloads.items():
        able = tuple(d for d, one in enumerate(scenario.deployments) if suits(scenario, workload, one))
        if able not in classes[1:]:
            classes.append(able)
        class_of[name] = classes.index(able, 1)
    return classes, class_of


def _places(
    scenario: Scenario,
    topology: Topology,
    table: NDArray[np.void],
    deployment_of: Sequence[int],
    classes: Sequence[tuple[int, ...]],
) -> tuple[NDArray[np.int64], NDArray[np.void], NDArray[np.int64]]:
    """Candidates of every origin: for each LLM class the replicas it may use, nearest first."""
    deployments = scenario.deployments
    for_all = np.array([deployments[d].serves == "all" for d in deployment_of])
    groups = dict.fromkeys(workload.from_ for workload in scenario.workloads.values())
    origins = np.concatenate(
        [np.arange(first, first + count) for first, count in map(topology.group, groups)]
    )
    ways = _Ways(topology, origins, np.unique(table["node"][for_all]))
    places = np.zeros((topology.node_count, len(classes), 2), np.int64)
    at_home = np.argsort(table["node"], kind="stable")
    parts: list[NDArray[np.void]] = []
    length = 0
    for klass, able in enumerate(classes[1:], start=1):
        wanted = np.isin(deployment_of, able)
        own = at_home[(~for_all & wanted)[at_home]]
        first = np.searchsorted(table["node"][own], origins)
        count = np.searchsorted(table["node"][own], origins, "right") - first
        near = ways.nearest(
            table["node"], np.flatnonzero(for_all & wanted), scenario.policies.candidates - count
        )
        size = count + near.many
        begin = np.cumsum(size) - size
        part = _local(np.zeros(int(size.sum()), np.int64))
        part["replica"][_runs(begin, count)] = own[_runs(first, count)]
        theirs = _runs(begin + count, near.many)
        _words(part)[theirs] = _words(ways.rows)[near.way]
        part["replica"][theirs] = near.replica
        places[origins, klass, 0], places[origins, klass, 1] = length + begin, size
        parts.append(part)
        length += len(part)
    nodes, first, count = np.unique(table["node"][at_home], return_index=True, return_counts=True)
    places[nodes, SERVED_AT_HOME, 0] = length + np.cumsum(count) - count
    places[nodes, SERVED_AT_HOME, 1] = count
    parts.append(_local(at_home[_runs(first, count)]))
    candidates = blank(sum(map(len, parts)), rows.CANDIDATE)
    np.concatenate([_words(part) for part in parts], out=_words(candidates))
    pool = np.concatenate([ways.pool, np.arange(topology.link_count, dtype=np.int64)])
    return places.reshape(-1, 2), candidates, pool


def _runs(first: NDArray[np.int64], count: NDArray[np.int64]) -> NDArray[np.int64]:
    """Runs of consecutive numbers, one after the other: so many from each first one on."""
    ends = np.cumsum(count)
    return np.repeat(first - ends + count, count) + np.arange(int(ends[-1]) if len(ends) else 0)


def _words(part: NDArray[np.void]) -> NDArray[np.int64]:
    """Candidate rows as words, which numpy copies many times as fast as fields."""
    return part.view(np.int64).reshape(len(part), rows.CANDIDATE.itemsize // 8)  # also of no rows


def _local(replicas: NDArray[np.int64]) -> NDArray[np.void]:
    """Candidates on the node itself."""
    part = np.zeros(len(replicas), rows.CANDIDATE)
    part["replica"] = replicas
    part["up_narrow"] = part["down_narrow"] = 1
    return part


class _Near(NamedTuple):
    """Of each origin the number of replicas nearby; then all of these, origin by origin, with the way to each."""

    many: NDArray[np.int64]
    replica: NDArray[np.int64]
    way: NDArray[np.int64]


class _Ways:
    """Paths from every origin to every node that serves others, as one table of candidate rows."""

    def __init__(self, topology: Topology, origins: NDArray[np.int64], servers: NDArray[np.int64]) -> None:
        self.servers, self.width = servers, len(servers)
        table = topology.path_table(np.repeat(origins, self.width), np.tile(servers, len(origins)))
        self.reachable = table.length >= 0
        self.order = table.latency_ps * 256 + np.minimum(np.maximum(table.length, 0), 255)
        self.pool = np.concatenate([table.pool, table.reverse_pool]).astype(np.int64)
        self.rows = np.zeros(len(table.length), rows.CANDIDATE)
        capacity = np.maximum(1, np.rint(topology.capacity * MILLIBYTES)).astype(np.int64)
        for way, shift, energy, egress in (
            ("up", 0, table.energy_pj_up, table.egress_usd_up),
            ("down", len(table.pool), table.energy_pj_down, table.egress_usd_down),
        ):
            self.rows[way] = table.offset + shift
            self.rows[f"{way}_hops"] = np.maximum(table.length, 0)
            self.rows[f"{way}_latency"] = np.maximum(table.latency_ps, 0)
            self.rows[f"{way}_overhead"] = np.maximum(table.overhead, 0)
            self.rows[f"{way}_pj"] = energy
            self.rows[f"{way}_egress"] = egress
            self.rows[f"{way}_narrow"] = self._narrowest(table.offset + shift, table.length, capacity)

    def _narrowest(
        self, offset: NDArray[np.int64], length: NDArray[np.int64], capacity: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        narrow = np.ones(len(length), np.int64)
        travels = length > 0
        if travels.any():
            along = capacity[self.pool]
            bounds = np.stack([offset[travels], offset[travels] + length[travels]], axis=1).ravel()
            padded = np.append(along, np.iinfo(np.int64).max)
            narrow[travels] = np.minimum.reduceat(padded, bounds)[::2]
        return narrow

    def nearest(
        self, nodes: NDArray[np.int64], replicas: NDArray[np.int64], limits: NDArray[np.int64]
    ) -> _Near:
        """Of each origin the replicas in order of latency, hops and index: the limit, and those as near as its last.

        Args:
            nodes: Of each replica, its node.
            replicas: Those that serve others.
            limits: Of each origin, how many are enough.
        """
        if not len(replicas):
            nothing = np.zeros(0, np.int64)
            return _Near(np.zeros(len(limits), np.int64), nothing, nothing)
        column = np.searchsorted(self.servers, nodes[replicas])
        step = max(1, AT_ONCE // len(replicas))
        found = [
            self._nearest(
                column, np.arange(start, min(start + step, len(limits))), limits[start : start + step]
            )
            for start in range(0, len(limits), step)
        ]
        count, place, way = (np.concatenate(part) for part in zip(*found, strict=True))
        return _Near(count, replicas[place], way)

    def _nearest(
        self, column: NDArray[np.int64], origins: NDArray[np.int64], limits: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """The same for some origins at once, with places in the list of replicas instead of replicas."""
        way = origins[:, None] * self.width + column
        distance = np.where(self.reachable[way], self.order[way], UNREACHABLE)
        place = np.argsort(distance, axis=1, kind="stable")
        distance = np.take_along_axis(distance, place, axis=1)
        last = np.clip(limits, 1, len(column)) - 1
        farthest = np.take_along_axis(
            distance, last[:, None], axis=1
        )  # those as near as the last one stay, too
        kept = (distance <= farthest) & (distance < UNREACHABLE) & (limits[:, None] > 0)
        return kept.sum(axis=1), place[kept], np.take_along_axis(way, place, axis=1)[kept]
