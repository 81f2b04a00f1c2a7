"""The prefix cache: which KV blocks of ended requests a replica still holds, in the kernel.

`reference_cache.py` defines it. A node holds the computed blocks of one segment of prompts; nodes of all replicas lie
in one pool, found by key through buckets. Free memory counts idle blocks, those that nobody uses; `idle.py` tells from
which node they are taken when memory is wanted, never from one whose children have idle blocks. A node's parent is
there as long as the node: who uses a node uses its parent, too, and idle children keep it.
"""

from __future__ import annotations

from edgesim.arena.compile import kernel
from edgesim.arena.rows import NONE
from edgesim.serving.idle import enter_idle, leave_idle
from edgesim.serving.system import FIFO, GDSF, LFU, NEVER_AGAIN, OFFLINE

ENDLESS = 1 << 50


@kernel
def bucket_of(s, r, key):
    """Bucket of a key at a replica."""
    return ((key >> 12) * 5 + ((key >> 2) & 1023) * 17 + r * 7919) & (len(s.buckets) - 1)


@kernel
def find(s, r, key):
    """Node of a key at a replica, or NONE."""
    i = s.buckets[bucket_of(s, r, key)]
    while i != NONE and (s.nodes[i].key != key or s.nodes[i].replica != r):
        i = s.nodes[i].link
    return i


@kernel
def key_of(s, leg, i):
    """Key of a leg's i-th segment."""
    request = s.requests[leg.request]
    workload = s.workloads[request.workload]
    if i < request.hash_count:
        return ((s.hashes[request.hashes + i] << 10) | request.workload) << 2 | 3
    if i == 0 and workload.shared > 0:
        return request.workload << 2 | 2
    if workload.carries and request.hash_count == 0 and leg.prompt >= workload.shared:
        return ((request.workload << 30) | (request.session + 1)) << 12 | 1
    return request.request << 12


@kernel
def end_of(s, leg, i, size):
    """Block of the prompt where a leg's i-th segment ends; 0 before the first."""
    if i < 0:
        return 0
    request = s.requests[leg.request]
    workload = s.workloads[request.workload]
    if i < request.hash_count:
        return min((i + 1) * workload.hash_tokens, leg.prompt) // size
    if i == 0 and workload.shared > 0:
        return min(workload.shared, leg.prompt) // size
    return ENDLESS


@kernel
def next_use_of(s, leg, i):
    """Number of the request that next asks for a leg's i-th segment, as far as a trace tells."""
    request = s.requests[leg.request]
    if i < request.hash_count:
        return s.next_uses[request.hashes + i]
    if i == 0 and s.workloads[request.workload].shared > 0:
        return 0
    return NEVER_AGAIN


@kernel
def match(s, r, leg):
    """Cached blocks at the beginning of a leg's prompt, who holds them, and blocks that use would pin."""
    size = s.replicas[r].block_size
    most = (leg.target - 1) // size
    hit = 0
    held = 0
    last = NONE
    pinned = 0
    while hit < most:
        end = end_of(s, leg, held, size)
        if end == hit:
            held += 1
            continue
        i = find(s, r, key_of(s, leg, held))
        if i == NONE:
            break
        node = s.nodes[i]
        held += 1
        last = i
        whole = hit + node.length >= end
        blocks = min(node.length, end - hit, most - hit)
        pinned += max(0, blocks - node.pinned)
        hit += blocks
        if not whole:
            break
    return hit, held, last, pinned


@kernel
def use(s, r, leg, hit, held, last):
    """Let a leg begin with cached blocks, those of a node and of all before it."""
    size = s.replicas[r].block_size
    leg.held = held
    leg.covered = hit
    leg.node = last
    while last != NONE:
        held -= 1
        start = end_of(s, leg, held - 1, size)
        if hit > start:
            node = s.nodes[last]
            node.users += 1
            node.hits += 1
            node.next_use = next_use_of(s, leg, held)
            pin(s, r, last, hit - start)
            hit = start
            last = node.parent


@kernel
def pin(s, r, i, blocks):
    """Pin so many blocks of a node, no fewer than before; what is behind them stays as idle as it was."""
    replica = s.replicas[r]
    node = s.nodes[i]
    if blocks > node.pinned:
        replica.free_blocks -= blocks - node.pinned
        replica.cached -= blocks - node.pinned
        node.pinned = blocks
        if blocks == node.length:
            leave_idle(s, r, i)


@kernel
def register(s, r, i, upto):
    """Put the computed blocks of a leg, up to a number, into the tree; what is there already is kept once."""
    replica = s.replicas[r]
    leg = s.legs[i]
    size = replica.block_size
    if leg.covered >= upto:
        return
    start = end_of(s, leg, leg.held - 2, size)
    end = end_of(s, leg, leg.held - 1, size)
    while leg.covered < upto:
        if leg.covered >= end:
            leg.held += 1
            start = end
            end = end_of(s, leg, leg.held - 1, size)
            if end == start:
                continue
            join(s, r, leg)
        node = s.nodes[leg.node]
        want = min(upto, end)
        there = min(start + node.length, want) - leg.covered
        pin(s, r, leg.node, leg.covered + there - start)
        replica.free_blocks += there
        new = max(0, want - start - node.length)
        node.length += new
        node.pinned += new
        leg.blocks -= there + new
        leg.covered = want


@kernel
def join(s, r, leg):
    """Use the node of a leg's next segment, made now if nobody has computed it."""
    key = key_of(s, leg, leg.held - 1)
    i = find(s, r, key)
    if i == NONE:
        control = s.control[0]
        replica = s.replicas[r]
        i = control.free_node
        node = s.nodes[i]
        control.free_node = node.next_free
        control.active_nodes += 1
        node.used = 1
        node.key = key
        node.replica = r
        node.length = 0
        node.pinned = 0
        node.users = 0
        node.children = 0
        node.hits = 1
        node.created = replica.made
        replica.made += 1
        node.parent = leg.node
        bucket = bucket_of(s, r, key)
        node.link = s.buckets[bucket]
        s.buckets[bucket] = i
    leg.node = i
    s.nodes[i].users += 1
    s.nodes[i].next_use = next_use_of(s, leg, leg.held - 1)


@kernel
def release(s, r, leg):
    """A leg has gone: nodes that nobody else uses become idle, the deepest first."""
    replica = s.replicas[r]
    i = leg.node
    while i != NONE:
        node = s.nodes[i]
        node.users -= 1
        if node.users == 0:
            if node.length > node.pinned:
                leave_idle(s, r, i)
            replica.free_blocks += node.pinned
            replica.cached += node.pinned
            node.pinned = 0
            node.rank = rank_of(replica, node)
            enter_idle(s, r, i)
        i = node.parent
    leg.node = NONE
    leg.held = 0
    leg.covered = 0


@kernel
def rank_of(replica, node):
    """Rank of a node that nobody uses any more; the smallest goes first, the earliest of equals."""
    order = replica.cache_order
    if order == FIFO:
        return node.created
    if order == LFU:
        return node.hits
    if order == GDSF:
        return replica.cache_clock + node.hits
    if order == OFFLINE:
        return -node.next_use
    return 0


@kernel
def take(s, r, blocks):
    """Take free blocks; cached ones are forgotten if need be."""
    replica = s.replicas[r]
    replica.free_blocks -= blocks
    while replica.cached > replica.free_blocks:
        i = replica.idle
        node = s.nodes[i]
        over = min(replica.cached - replica.free_blocks, node.length - node.pinned)
        node.length -= over
        replica.cached -= over
        replica.cache_clock = node.rank
        if node.length == node.pinned:
            leave_idle(s, r, i)
        if node.length == 0:
            drop(s, r, i)


@kernel
def drop(s, r, i):
    """Remove an empty node from its bucket, and free its row."""
    node = s.nodes[i]
    bucket = bucket_of(s, r, node.key)
    if s.buckets[bucket] == i:
        s.buckets[bucket] = node.link
    else:
        at = s.buckets[bucket]
        while s.nodes[at].link != i:
            at = s.nodes[at].link
        s.nodes[at].link = node.link
    free_row(s, i)


@kernel
def free_row(s, i):
    """Give a node's row back to the pool."""
    control = s.control[0]
    s.nodes[i].used = 0
    s.nodes[i].next_free = control.free_node
    control.free_node = i
    control.active_nodes -= 1


@kernel
def clear(s, r):
    """Forget all that is cached: the memory is lost, and nobody uses any of it."""
    replica = s.replicas[r]
    while replica.idle != NONE:
        i = replica.idle
        leave_idle(s, r, i)
        drop(s, r, i)
    replica.cached = 0


@kernel
def rehash(s):
    """Fill new, empty buckets."""
    for i in range(len(s.nodes)):
        node = s.nodes[i]
        if node.used:
            bucket = bucket_of(s, node.replica, node.key)
            node.link = s.buckets[bucket]
            s.buckets[bucket] = i
