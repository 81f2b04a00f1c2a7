"""The graph of a scenario as arrays: its nodes, its links, and the paths over them.

A *link* here is one medium in one direction, the thing whose bandwidth flows share: a full-duplex cable is
two links, a half-duplex one is one link used both ways, a radio cell is one link (or two) used by all in it.
An *edge* is a step of a path: from one node to a neighbour, over a link.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import zip_longest
from typing import TYPE_CHECKING, Final

import numpy as np

from edgesim.errors import Problem, ScenarioError
from edgesim.topology.paths import HOP_BITS, UNREACHABLE, Edges, Path, PathTable, Tree

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from edgesim.topology.links import LinkSpec
    from edgesim.topology.nodes import Group

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]

KEPT_TREES: Final = 256
"""Trees of shortest paths that are kept for the next question."""


@dataclass(frozen=True, eq=False)
class Topology:
    """Nodes, links and the paths over them.

    Attributes:
        tiers: Names of the tiers, from the devices upward.
        groups: Groups of nodes, in the scenario's order.
        node_group: Group of each node.
        node_tier: Tier of each node, as position in `tiers`.
        specs: The scenario's links, resolved.
        spec_start: First link of each spec.
        capacity: Of each link [B/s].
        latency_ps: Of each link [ps].
        overhead: Of each link, added to a message [B].
        sharing: Of each link: FAIR, FIFO or PRIORITY.
        ends: Of each link its source and target node; -1 where all of a group share it.
        edges: Steps between neighbours, with what they cost.
    """

    tiers: tuple[str, ...]
    groups: tuple[Group, ...]
    node_group: Ints
    node_tier: Ints
    specs: tuple[LinkSpec, ...]
    spec_start: Ints
    capacity: Floats
    latency_ps: Ints
    overhead: Ints
    sharing: Ints
    ends: Ints
    edges: Edges
    _trees: dict[int, Tree] = field(default_factory=dict, repr=False)

    @property
    def node_count(self) -> int:
        """How many nodes there are."""
        return len(self.node_group)

    @property
    def link_count(self) -> int:
        """How many links there are."""
        return len(self.capacity)

    def node_name(self, node: int) -> str:
        """Name of a node, such as "cloud" or "phone[17]"."""
        group: Group = self.groups[self.node_group[node]]
        return group.node(node - group.first)

    def link_name(self, link: int) -> str:
        """Name of a link, such as "phone[17]->edge", or "phone<->edge[3]" for the medium of a cell."""
        entry = int(np.searchsorted(self.spec_start, link, side="right")) - 1
        spec = self.specs[entry]
        sides = [spec.first, spec.second]
        parallel = sum({other.first, other.second} == set(sides) for other in self.specs[:entry])
        if not spec.half_duplex and (link - self.spec_start[entry]) % 2:
            sides.reverse()
        names = [
            self.node_name(end) if end >= 0 else side
            for end, side in zip(self.ends[link], sides, strict=True)
        ]
        return ("<->" if spec.half_duplex else "->").join(names) + (f"#{parallel + 1}" if parallel else "")

    def group(self, name: str) -> tuple[int, int]:
        """First node and number of nodes of a group."""
        for group in self.groups:
            if group.name == name:
                return group.first, group.count
        raise KeyError(name)

    def reaches(self, origin: int, target: int) -> bool:
        """Whether there is a way from one node to the other."""
        return bool(self._tree(target).distance[origin] < UNREACHABLE)

    def path(self, origin: int, target: int) -> Path:
        """Find the way with the smallest latency, then the fewest hops, then the links named first.

        Raises:
            ScenarioError: There is no way.
        """
        if not self.reaches(origin, target):
            text = f"node {self.node_name(origin)!r} cannot reach node {self.node_name(target)!r}"
            raise ScenarioError([Problem(("topology", "links"), text, "add a link between their groups")])
        return self.path_table([origin], [target]).row(0)

    def path_table(self, origins: Sequence[int] | Ints, targets: Sequence[int] | Ints) -> PathTable:
        """Find the paths of many pairs at once; row k leads from `origins[k]` to `targets[k]`."""
        at = np.asarray(origins, dtype=np.int64)
        goal = np.asarray(targets, dtype=np.int64)
        distance = np.empty(len(at), dtype=np.int64)
        walks: list[list[tuple[Ints, Ints]]] = []
        order = np.argsort(goal, kind="stable")
        for rows in np.split(order, np.flatnonzero(np.diff(goal[order])) + 1):
            if not len(rows):
                continue
            tree = self._tree(int(goal[rows[0]]))
            distance[rows] = tree.distance[at[rows]]
            walks.append(self._walk(tree, rows, at[rows]))
        hops = [
            (np.concatenate([rows for rows, _ in parts]), np.concatenate([edges for _, edges in parts]))
            for parts in ([part for part in hop if part] for hop in zip_longest(*walks))
        ]
        return self._table(distance, hops)

    def nearest(self, origin: int, targets: Sequence[int] | Ints, limit: int = 64) -> list[int]:
        """Order the targets that a node can reach by latency, hops and number; keep the first ones."""
        row = self.nearest_table([origin], targets, limit)[0]
        return [int(node) for node in row if node >= 0]

    def nearest_table(
        self, origins: Sequence[int] | Ints, targets: Sequence[int] | Ints, limit: int = 64
    ) -> Ints:
        """Answer `nearest` for many origins: a row each, filled up with -1."""
        at = np.asarray(origins, dtype=np.int64)
        goal = np.unique(np.asarray(targets, dtype=np.int64))
        if len(at) < len(goal):  # latency is the same both ways, so that trees of either end will do
            distance = np.stack([self._tree(int(node)).distance[goal] for node in at])
        else:
            distance = np.stack([self._tree(int(node)).distance[at] for node in goal], axis=1)
        order = np.argsort(distance, axis=1, kind="stable")[:, :limit]
        known = np.take_along_axis(distance, order, axis=1) < UNREACHABLE
        return np.where(known, goal[order], -1)

    def _tree(self, target: int) -> Tree:
        tree = self._trees.get(target)
        if tree is None:
            if len(self._trees) >= KEPT_TREES:
                self._trees.clear()
            tree = self._trees[target] = self.edges.tree(target, self.node_count)
        return tree

    def _walk(self, tree: Tree, rows: Ints, nodes: Ints) -> list[tuple[Ints, Ints]]:
        """Follow a tree from many nodes at once; answer of each hop the rows still moving and their edges."""
        hops: list[tuple[Ints, Ints]] = []
        while True:
            edges = tree.next_edge[nodes]
            moving = edges >= 0
            if not moving.any():
                return hops
            rows, edges = rows[moving], edges[moving]
            hops.append((rows, edges))
            nodes = self.edges.target[edges]

    def _table(self, distance: Ints, hops: list[tuple[Ints, Ints]]) -> PathTable:
        """Lay the hops of each row out one after the other, and sum up what its edges say."""
        size = len(distance)
        length = np.zeros(size, dtype=np.int64)
        for rows, _ in hops:
            length[rows] += 1
        offset = np.cumsum(length) - length
        pool = np.empty(int(length.sum()), dtype=np.int64)
        reverse_pool = np.empty_like(pool)
        overhead = np.zeros(size, dtype=np.int64)
        energy = np.zeros((2, size), dtype=np.int64)
        egress = np.zeros((2, size))
        for hop, (rows, edges) in enumerate(hops):
            back = self.edges.twin[edges]
            links = self.edges.link[edges]
            pool[offset[rows] + hop] = links
            reverse_pool[offset[rows] + length[rows] - 1 - hop] = self.edges.link[back]
            overhead[rows] = np.maximum(overhead[rows], self.overhead[links])
            for way, taken in enumerate((edges, back)):
                energy[way, rows] += self.edges.energy_pj[taken]
                egress[way, rows] += self.edges.egress_usd[taken]
        lost = distance >= UNREACHABLE
        length[lost] = -1
        latency = np.where(lost, -1, distance >> HOP_BITS)
        return PathTable(offset, length, pool, reverse_pool, latency, overhead, *energy, *egress)
