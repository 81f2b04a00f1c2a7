"""From one link of the scenario between two groups to the connections and media of all their nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgesim.topology.links import LinkSpec
    from edgesim.topology.nodes import Group

    Ints = NDArray[np.int64]


class Block(NamedTuple):
    """What one link of the scenario stands for.

    Its media are numbered from 0; a medium is one link where it is half-duplex, else two: up, then down.
    """

    spec: LinkSpec
    first: Ints
    """Of each connection: the node on the side that the scenario names first."""
    second: Ints
    """Of each connection: the node on the other side."""
    medium: Ints
    """Of each connection: the medium it uses."""
    ends: Ints
    """Of each medium: its two nodes; -1 where all nodes of a side share it."""

    @property
    def ways(self) -> int:
        """Links of a medium."""
        return 1 if self.spec.half_duplex else 2

    @property
    def link_count(self) -> int:
        """Links of all its media."""
        return len(self.ends) * self.ways

    def links(self) -> Ints:
        """Number the links of each connection within the block: the one up and the one down."""
        up = self.medium * self.ways
        return np.stack((up, up + self.ways - 1))

    def capacity(self) -> NDArray[np.float64]:
        """Capacity of each link [B/s]; a half-duplex medium has that of its slower direction."""
        up, down = self.spec.bandwidth
        return (
            np.full(self.link_count, min(up, down)) if self.ways == 1 else np.tile([up, down], len(self.ends))
        )

    def link_ends(self) -> Ints:
        """Answer of each link its two ends, in the direction of its messages."""
        ends = np.repeat(self.ends, self.ways, axis=0)
        if self.ways == 2:
            ends[1::2] = ends[1::2, ::-1]
        return ends


def expand(spec: LinkSpec, first: Group, second: Group) -> Block:
    """Join the nodes of two groups as the pattern of their link says."""
    a, b = _pairs(spec.pattern, first, second)
    if not spec.shared:
        medium, ends = np.arange(len(a)), np.stack((a, b), axis=1)
    elif first.name == second.name:  # all of a group on one medium, such as a radio channel
        medium, ends = np.zeros(len(a), np.int64), np.full((min(1, len(a)), 2), -1)
    else:
        hub_first = first.count < second.count
        hubs, medium = np.unique(a if hub_first else b, return_inverse=True)
        everybody = np.full(len(hubs), -1)
        ends = np.stack((hubs, everybody) if hub_first else (everybody, hubs), axis=1)
    return Block(spec, a, b, medium, ends)


def _pairs(pattern: str, first: Group, second: Group) -> tuple[Ints, Ints]:
    """List the connections: of each the node of the first group and that of the second."""
    if first.name == second.name:
        a, b = _within(pattern, first.count)
    elif pattern == "mesh":
        a = np.repeat(np.arange(first.count), second.count)
        b = np.tile(np.arange(second.count), first.count)
    elif pattern == "ring" and first.count > 1:
        a = np.arange(2 * first.count) // 2
        b = (np.arange(2 * first.count) + 1) // 2 % second.count
    else:
        longer = np.arange(max(first.count, second.count))
        a, b = longer * first.count // len(longer), longer * second.count // len(longer)
    return first.first + a, second.first + b


def _within(pattern: str, count: int) -> tuple[Ints, Ints]:
    """List the connections inside a group of so many nodes."""
    if pattern == "mesh":
        a, b = np.triu_indices(count, 1)
        return a.astype(np.int64), b.astype(np.int64)
    if pattern == "ring":
        last = 1 if count == 2 else count  # two nodes make a line, not two parallel links
        a = np.arange(last if count > 1 else 0)
        return a, (a + 1) % count
    raise ValueError(f"nodes of one group cannot be joined by pattern {pattern!r}")
