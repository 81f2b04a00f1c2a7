"""Shortest paths: by latency, then hops, then the order in which the scenario names the links."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]

HOP_BITS: Final = 16
"""Distances are latency [ps] in the high bits and hops in the low ones: one integer orders by both."""

UNREACHABLE: Final = 1 << 62


class Path(NamedTuple):
    """The way from one node to another ("up"), and back over the same nodes ("down")."""

    up: tuple[int, ...]
    """Links to take."""
    down: tuple[int, ...]
    """Links of the way back."""
    latency_ps: int
    """One way [ps]."""
    overhead: int
    """Added to each message [B]."""
    energy_pj_up: int
    """[pJ/B]"""
    energy_pj_down: int
    egress_usd_up: float
    """[USD/B]"""
    egress_usd_down: float


class PathTable(NamedTuple):
    """Many paths as arrays, a row each.

    The links of row k are `pool[offset[k] : offset[k] + length[k]]`; `reverse_pool` holds the way back at the
    same place. Where there is no way, length and latency are -1.
    """

    offset: Ints
    length: Ints
    pool: Ints
    reverse_pool: Ints
    latency_ps: Ints
    """One way [ps]."""
    overhead: Ints
    """Added to each message [B]: that of the link with the largest, since headers replace one another."""
    energy_pj_up: Ints
    """Sum over the links [pJ/B]."""
    energy_pj_down: Ints
    egress_usd_up: Floats
    """Sum over the links [USD/B]."""
    egress_usd_down: Floats

    def row(self, k: int) -> Path:
        """Answer one path as plain numbers."""
        part = slice(self.offset[k], self.offset[k] + self.length[k])
        return Path(
            tuple(self.pool[part].tolist()),
            tuple(self.reverse_pool[part].tolist()),
            *(int(column[k]) for column in self[4:8]),
            *(float(column[k]) for column in self[8:10]),
        )


class Tree(NamedTuple):
    """Shortest ways from everywhere to one node."""

    distance: Ints
    """Of each node: latency [ps] << HOP_BITS | hops."""
    next_edge: Ints
    """Of each node: the edge to take first; -1 at the target and where there is no way."""


class Edges(NamedTuple):
    """Both directions of every connection, sorted by their source node, then as the scenario names them."""

    source: Ints
    target: Ints
    link: Ints
    twin: Ints
    """The edge of the other direction."""
    weight: Ints
    """Latency [ps] << HOP_BITS | 1."""
    energy_pj: Ints
    """[pJ/B]"""
    egress_usd: Floats
    """[USD/B]"""

    def tree(self, target: int, node_count: int) -> Tree:
        """Relax all edges at once until nothing gets shorter: as many rounds as the longest way has hops."""
        distance = np.full(node_count, UNREACHABLE, dtype=np.int64)
        next_edge = np.full(node_count, -1, dtype=np.int64)
        distance[target] = 0
        if not len(self.source):
            return Tree(distance, next_edge)
        starts = np.flatnonzero(np.diff(self.source, prepend=-1))
        sources = self.source[starts]
        while True:
            over = distance[self.target] + self.weight
            best = np.minimum(np.minimum.reduceat(over, starts), distance[sources])
            if np.array_equal(best, distance[sources]):
                break
            distance[sources] = best
        taken = np.flatnonzero((over == distance[self.source]) & (over < UNREACHABLE))[::-1]
        next_edge[self.source[taken]] = (
            taken  # of several equal ones the last assignment, the first edge, stays
        )
        next_edge[target] = -1
        return Tree(distance, next_edge)
