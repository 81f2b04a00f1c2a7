"""Idle nodes of a prefix cache that nothing continues: whose blocks go first, found without a walk, in the kernel.

The twin keeps all nodes with idle blocks in one list, by rank and then by who came first, and takes from the first
that no other one continues. Here only those that nothing continues are kept, in a pairing heap (Fredman, Sedgewick,
Sleator, Tarjan: The pairing heap: a new form of self-adjusting heap, Algorithmica 1, 1986) of the same order: `below`
is a node's first child, `next` and `prev` are its neighbours among its siblings, a first child's `prev` its parent.
Adding takes constant time, leaving logarithmic time on average.
"""

from __future__ import annotations

from edgesim.arena.compile import kernel
from edgesim.arena.rows import NONE


@kernel
def enter_idle(s, r, i):
    """Count a node among those that have idle blocks, behind all of no greater rank."""
    replica = s.replicas[r]
    node = s.nodes[i]
    node.entered = replica.idlings
    replica.idlings += 1
    if node.children == 0:
        push(s, r, i)
    if node.parent != NONE:
        parent = s.nodes[node.parent]
        if parent.children == 0 and parent.length > parent.pinned:
            remove(s, r, node.parent)
        parent.children += 1


@kernel
def leave_idle(s, r, i):
    """Count a node no longer among those that have idle blocks."""
    node = s.nodes[i]
    if node.children == 0:
        remove(s, r, i)
    if node.parent != NONE:
        parent = s.nodes[node.parent]
        parent.children -= 1
        if parent.children == 0 and parent.length > parent.pinned:
            push(s, r, node.parent)


@kernel
def push(s, r, i):
    """Add a node to a replica's heap."""
    replica = s.replicas[r]
    node = s.nodes[i]
    node.below = NONE
    node.next = NONE
    node.prev = NONE
    replica.idle = i if replica.idle == NONE else joined(s, replica.idle, i)


@kernel
def remove(s, r, i):
    """Take a node out of a replica's heap."""
    replica = s.replicas[r]
    node = s.nodes[i]
    rest = paired(s, node.below)
    if replica.idle == i:
        replica.idle = rest
        return
    if s.nodes[node.prev].below == i:
        s.nodes[node.prev].below = node.next
    else:
        s.nodes[node.prev].next = node.next
    if node.next != NONE:
        s.nodes[node.next].prev = node.prev
    if rest != NONE:
        replica.idle = joined(s, replica.idle, rest)


@kernel
def joined(s, i, j):
    """Make one tree of two; answers its root."""
    first = s.nodes[i]
    second = s.nodes[j]
    if second.rank < first.rank or (second.rank == first.rank and second.entered < first.entered):
        i, j = j, i
    below = s.nodes[i].below
    s.nodes[j].next = below
    s.nodes[j].prev = i
    if below != NONE:
        s.nodes[below].prev = j
    s.nodes[i].below = j
    return i


@kernel
def paired(s, i):
    """Make one tree of siblings, two by two and then from the last pair back; answers its root, NONE without any."""
    pairs = NONE
    while i != NONE:
        other = s.nodes[i].next
        after = NONE if other == NONE else s.nodes[other].next
        tree = i if other == NONE else joined(s, i, other)
        s.nodes[tree].next = pairs
        pairs = tree
        i = after
    root = pairs
    i = NONE if root == NONE else s.nodes[root].next
    while i != NONE:
        after = s.nodes[i].next
        root = joined(s, root, i)
        i = after
    if root != NONE:
        s.nodes[root].next = NONE
        s.nodes[root].prev = NONE
    return root
