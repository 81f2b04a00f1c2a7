"""The twin's prefix cache: which KV blocks of ended requests a replica still holds, and whom they serve.

A prompt is a chain of segments: blocks that a trace names by hash, or the workload's shared beginning, then what
belongs to the session, or to the request alone. A node holds the computed blocks of one segment, in a tree that
follows the chains. The blocks that somebody uses are pinned; those behind them, or of nodes nobody uses, are idle,
count as free memory, and are given up, from the end of the chain, when memory is wanted. What two requests compute at
the same time is kept once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgesim.serving.system import FIFO, GDSF, LFU, NEVER_AGAIN, OFFLINE

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable

    from edgesim.serving.reference_replica import Leg, TwinReplica


@dataclass(eq=False)
class Node:
    """Computed blocks of one segment.

    So many from its beginning are pinned: what its users ever wanted, until all of them have gone. Were a pin each
    user's own, what a node still needs would have to be found anew whenever one goes. Its children begin where it ends
    or where a user's part of it did; those count that have idle blocks.
    """

    key: int
    parent: Node | None
    created: int
    length: int = 0
    pinned: int = 0
    users: int = 0
    children: int = 0
    hits: int = 1
    rank: float = 0
    next_use: int = NEVER_AGAIN
    last_used_at: float = 0.0
    depth: int = 0
    clock: float = 0

    @property
    def blocks(self) -> int:
        """How many there are."""
        return self.length


class PrefixCache:
    """The cached blocks of one replica.

    Args:
        replica: Whose memory it is.
        order: How nodes with idle blocks are ranked; the smallest goes first.
        rank: A policy's own rank of a node, where no built-in order is meant.
    """

    def __init__(self, replica: TwinReplica, order: int, rank: Callable[[Node, int], float] | None) -> None:
        self.replica, self.order, self.own_rank = replica, order, rank
        self.nodes: dict[int, Node] = {}
        self.idle: list[Node] = []
        self.clock: float = 0
        self.created = 0

    @property
    def cached(self) -> int:
        """Idle blocks: free memory that still remembers something."""
        return sum(node.length - node.pinned for node in self.idle)

    def segment(self, leg: Leg, i: int) -> tuple[int, float, int]:
        """Key of a leg's i-th segment, the block of the prompt where it ends, and when it is next asked for."""
        ask, system = leg.ask, self.replica.engine.system
        workload = system.workloads[ask.workload]
        size = self.replica.block_size
        if i < ask.hash_count:
            at = ask.hashes + i
            end = min((i + 1) * int(workload["hash_tokens"]), leg.prompt) // size
            return ((int(system.hashes[at]) << 10) | ask.workload) << 2 | 3, end, int(system.next_uses[at])
        if i == 0 and int(workload["shared"]):
            return ask.workload << 2 | 2, min(int(workload["shared"]), leg.prompt) // size, 0
        if workload["carries"] and not ask.hash_count and leg.prompt >= int(workload["shared"]):
            return ((ask.workload << 30) | (ask.session + 1)) << 12 | 1, float("inf"), NEVER_AGAIN
        return ask.request << 12, float("inf"), NEVER_AGAIN

    def match(self, leg: Leg) -> tuple[int, list[Node | None]]:
        """Cached blocks at the beginning of a leg's prompt, and the nodes that hold them, segment by segment.

        The last token is always computed, so that there is a next one to choose.
        """
        most, hit, held = (leg.target - 1) // self.replica.block_size, 0, list[Node | None]()
        while hit < most:
            key, end, _ = self.segment(leg, len(held))
            if end == hit:
                held.append(None)
                continue
            node = self.nodes.get(key)
            if node is None:
                break
            held.append(node)
            whole = hit + node.length >= end
            hit = int(min(hit + node.length, end, most))
            if not whole:
                break
        return hit, held

    def parts(self, leg: Leg, hit: int, held: list[Node | None]) -> list[tuple[Node, int, int]]:
        """Nodes that serve a leg, how many of their blocks do, and when each is next asked for."""
        parts, start = list[tuple[Node, int, int]](), 0
        for i, node in enumerate(held):
            _, end, next_use = self.segment(leg, i)
            if node is not None:
                parts.append((node, int(min(end, hit)) - start, next_use))
                start = int(min(end, hit))
        return parts

    def pinned(self, leg: Leg, hit: int, held: list[Node | None]) -> int:
        """Blocks that stop being free when a leg begins with these."""
        return sum(max(0, blocks - node.pinned) for node, blocks, _ in self.parts(leg, hit, held))

    def use(self, leg: Leg, hit: int, held: list[Node | None]) -> None:
        """Let a leg begin with cached blocks."""
        for node, blocks, next_use in self.parts(leg, hit, held):
            node.users += 1
            node.hits += 1
            node.next_use = next_use
            self._pin(node, blocks)
        leg.held, leg.covered = held, hit

    def _pin(self, node: Node, blocks: int) -> None:
        """Pin so many blocks of a node, no fewer than before; what is behind them stays as idle as it was."""
        if blocks > node.pinned:
            self.replica.free_blocks -= blocks - node.pinned
            node.pinned = blocks
            if blocks == node.length:
                self._leave_idle(node)

    def _enter_idle(self, node: Node) -> None:
        at = len(self.idle)
        while at and self.idle[at - 1].rank > node.rank:
            at -= 1
        self.idle.insert(at, node)
        if node.parent is not None:
            node.parent.children += 1

    def _leave_idle(self, node: Node) -> None:
        self.idle.remove(node)
        if node.parent is not None:
            node.parent.children -= 1

    def register(self, leg: Leg, upto: int) -> None:
        """Put the computed blocks of a leg, up to a number, into the tree; what is there already is kept once."""
        while leg.covered < upto:
            start, i = 0, len(leg.held) - 1
            if i >= 0 and leg.covered < self.segment(leg, i)[1]:
                node = leg.held[i]
                assert node is not None
            else:
                i += 1
                key, end, next_use = self.segment(leg, i)
                if end == leg.covered:
                    leg.held.append(None)
                    continue
                node = self._found_or_made(leg, key, next_use)
            start = int(self.segment(leg, i - 1)[1]) if i else 0
            want = int(min(upto, self.segment(leg, i)[1]))
            there = min(start + node.length, want) - leg.covered
            self._pin(node, leg.covered + there - start)
            self.replica.free_blocks += there
            new = max(0, want - start - node.length)
            node.length += new
            node.pinned += new
            leg.blocks -= there + new
            leg.covered = want

    def _found_or_made(self, leg: Leg, key: int, next_use: int) -> Node:
        node = self.nodes.get(key)
        if node is None:
            parent = next((held for held in reversed(leg.held) if held is not None), None)
            depth = 0 if parent is None else parent.depth + 1
            node = self.nodes[key] = Node(key, parent, self.created, depth=depth)
            self.created += 1
        node.users += 1
        node.next_use = next_use
        leg.held.append(node)
        return node

    def release(self, leg: Leg) -> None:
        """A leg has gone: nodes that nobody else uses become idle, the deepest first."""
        for node in reversed(leg.held):
            if node is None:
                continue
            node.users -= 1
            node.last_used_at = self.replica.engine.now * 1e-12
            if not node.users:
                if node.length > node.pinned:
                    self._leave_idle(node)
                self.replica.free_blocks += node.pinned
                node.pinned = 0
                node.rank = self._rank(node)
                self._enter_idle(node)
        leg.held, leg.covered = [], 0

    def left_behind(self, leg: Leg, upto: int, leaving: Counter[Node]) -> int:
        """Blocks that stay pinned when a leg leaves: in nodes that others use, too.

        Args:
            leg: Who leaves.
            upto: Its computed blocks.
            leaving: How many of those who leave with it use each node.
        """
        covered, kept = leg.covered, 0
        i = max(0, len(leg.held) - 1)
        while covered < upto:
            key, end, _ = self.segment(leg, i)
            if end > covered:
                node = leg.held[i] if i < len(leg.held) else self.nodes.get(key)
                start = int(self.segment(leg, i - 1)[1]) if i else 0
                covered = int(min(upto, end))
                if node is not None and node.users > leaving[node]:
                    kept += max(0, covered - start - node.pinned)
            i += 1
        return kept

    def _rank(self, node: Node) -> float:
        if self.own_rank is not None:
            node.clock = self.clock
            return self.own_rank(node, self.replica.engine.now)
        ranks = {FIFO: node.created, LFU: node.hits, GDSF: self.clock + node.hits, OFFLINE: -node.next_use}
        return ranks.get(self.order, 0)

    def evict(self) -> None:
        """Forget blocks until no more are remembered than are free."""
        while (over := self.cached - self.replica.free_blocks) > 0:
            node = next(node for node in self.idle if not node.children)
            node.length -= min(over, node.length - node.pinned)
            self.clock = node.rank
            if node.length == node.pinned:
                self._leave_idle(node)
            if not node.length:
                del self.nodes[node.key]

    def clear(self) -> None:
        """Forget everything: the memory is lost."""
        self.nodes.clear()
        self.idle.clear()
