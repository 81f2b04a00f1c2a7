"""From a scenario to its topology."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from edgesim.arena import rows
from edgesim.errors import Problem, ScenarioError
from edgesim.topology.blocks import Block, expand
from edgesim.topology.graph import Topology
from edgesim.topology.links import link_specs
from edgesim.topology.nodes import node_groups, tiers
from edgesim.topology.paths import HOP_BITS, Edges

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from edgesim.scenario import Scenario
    from edgesim.topology.links import LinkSpec
    from edgesim.topology.nodes import Group

    Ints = NDArray[np.int64]

PS: Final = 10**12
"""Picoseconds in a second, and picojoules in a joule."""

SHARING: Final = {"fair": rows.FAIR, "fifo": rows.FIFO, "priority": rows.PRIORITY}
"""How flows share a link, as the scenario calls it."""

LONGEST_LATENCY: Final = 60.0
"""Largest latency of a link [s]: with room for the hops beside it, paths still add up in 63 bits."""


def build(scenario: Scenario) -> Topology:
    """Turn the nodes and links of a scenario into arrays."""
    groups = node_groups(scenario)
    blocks = [_block(i, spec, groups) for i, spec in enumerate(link_specs(scenario))]
    starts = np.cumsum([0, *(block.link_count for block in blocks)])
    counts = [group.count for group in groups]
    specs = tuple(block.spec for block in blocks)
    links = [block.link_count for block in blocks]
    return Topology(
        tiers=tiers(scenario),
        groups=groups,
        node_group=np.repeat(np.arange(len(groups)), counts),
        node_tier=np.repeat(_ints(group.level for group in groups), counts),
        specs=specs,
        spec_start=starts[:-1],
        capacity=np.concatenate([np.empty(0), *(block.capacity() for block in blocks)]),
        latency_ps=np.repeat(_ints(round(spec.latency * PS) for spec in specs), links),
        overhead=np.repeat(_ints(spec.overhead for spec in specs), links),
        sharing=np.repeat(_ints(SHARING[spec.sharing] for spec in specs), links),
        ends=np.concatenate([np.empty((0, 2), np.int64), *(block.link_ends() for block in blocks)]),
        edges=_edges(blocks, starts),
    )


def _block(i: int, spec: LinkSpec, groups: Sequence[Group]) -> Block:
    """Expand the i-th link, or say what is wrong with it."""
    by_name = {group.name: group for group in groups}
    first, second = by_name[spec.first], by_name[spec.second]
    at = ("topology", "links", i)
    if spec.first == spec.second and spec.pattern == "spread":
        text = f"a link of {spec.first!r} with itself needs a pattern"
        raise ScenarioError([Problem(at, text, "write pattern: ring, or pattern: mesh")])
    if spec.pattern == "ring" and first.count != second.count:
        sizes = f"{spec.first!r} has {first.count} nodes, {spec.second!r} {second.count}"
        text = f"a ring needs groups of one size; {sizes}"
        raise ScenarioError([Problem((*at, "pattern"), text)])
    if spec.latency > LONGEST_LATENCY:
        text = f"a latency of {spec.latency:g} s is more than the {LONGEST_LATENCY:g} s a link may have"
        raise ScenarioError([Problem((*at, "latency"), text)])
    return expand(spec, first, second)


def _ints(values: Iterable[int]) -> Ints:
    return np.fromiter(values, np.int64)


def _edges(blocks: Sequence[Block], starts: Ints) -> Edges:
    """Give every connection an edge in each direction, and sort them by their source."""
    parts = [
        _directed(block, start, way) for block, start in zip(blocks, starts, strict=False) for way in (0, 1)
    ]
    if not parts:
        nothing = np.empty(0, np.int64)
        return Edges(nothing, nothing, nothing, nothing, nothing, nothing, np.empty(0))
    together = Edges._make(np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((together.target, together.link, together.source))
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    twin = place[np.arange(len(order)) + together.twin]
    return Edges._make(column[order] for column in together._replace(twin=twin))


def _directed(block: Block, start: int, way: int) -> Edges:
    """List the edges up (way 0) or down (1) of a block; `twin` is the distance to the other in the list."""
    size = len(block.first)
    ends = (block.first, block.second)
    return Edges(
        source=ends[way],
        target=ends[1 - way],
        link=start + block.links()[way],
        twin=np.full(size, -size if way else size),
        weight=np.full(size, (round(block.spec.latency * PS) << HOP_BITS) + 1),
        energy_pj=np.full(size, round(block.spec.energy[way] * PS)),
        egress_usd=np.full(size, block.spec.egress if way else 0.0),
    )
