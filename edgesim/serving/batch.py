"""The batch: what happens at a step boundary of a replica, in the order of the twin.

The step that ends lets its tokens out; finished and cancelled legs leave; every decode gets the KV block its next
token needs, preempting the least important leg where none is free; the chunk in progress, swapped legs and waiting
ones fill what is left of the token budget; and the next plan begins.
"""

from __future__ import annotations

from edgesim.arena.compile import kernel
from edgesim.arena.rows import ALONE, CANCELLED, DECODE, MIXED_FEATURES, NONE, PREFILL, SWAPPED, WAITING
from edgesim.serving.device import keep_turn, leave, load, take_turn
from edgesim.serving.legs import (
    blocks_for,
    close,
    enqueue_first,
    first_token,
    flush,
    forget,
    leave_swapped,
    leave_waiting,
    note_phase,
    open_stream,
    reply,
)
from edgesim.serving.measured import attention_of
from edgesim.serving.plan import advance, blocks_wanted, book, plan_decode, plan_mixed
from edgesim.serving.prefix import match, register, release, take, use


@kernel
def sooner(slot, finish, sequence):
    """Does a leg in the heap leave the batch before one that finishes then?"""
    return slot.finish < finish or (slot.finish == finish and slot.sequence < sequence)


@kernel
def put_slot(slot, finish, sequence, leg):
    """Write a place of the heap."""
    slot.finish = finish
    slot.sequence = sequence
    slot.leg = leg


@kernel
def sift(s, replica, hole, finish, sequence, leg):
    """Find a leg's place in the heap of finishes, from a free place on."""
    base = replica.slots
    while hole > 0:
        parent = (hole - 1) >> 1
        above = s.running[base + parent]
        if sooner(above, finish, sequence):
            break
        put_slot(s.running[base + hole], above.finish, above.sequence, above.leg)
        hole = parent
    size = replica.decoding
    child = 2 * hole + 1
    while child < size:
        below = s.running[base + child]
        if child + 1 < size and sooner(s.running[base + child + 1], below.finish, below.sequence):
            child += 1
            below = s.running[base + child]
        if not sooner(below, finish, sequence):
            break
        put_slot(s.running[base + hole], below.finish, below.sequence, below.leg)
        hole = child
        child = 2 * hole + 1
    put_slot(s.running[base + hole], finish, sequence, leg)


@kernel
def attach(s, replica, i, context):
    """Let a leg decode with the batch: it holds `context` tokens of KV."""
    leg = s.legs[i]
    leg.state = DECODE
    leg.offset = context - replica.counter
    leg.finish = replica.counter + leg.output - leg.generated
    leg.nj0 = replica.cum_nj
    leg.share0 = replica.cum_share
    s.residues[replica.residues + leg.offset % replica.block_size] += 1
    replica.context += context
    replica.decoding += 1
    sift(s, replica, replica.decoding - 1, leg.finish, leg.sequence, i)


@kernel
def detach(s, replica, i):
    """Take a decoding leg out of the batch; answers the tokens of KV it holds."""
    leg = s.legs[i]
    context = replica.counter + leg.offset
    leg.generated = leg.output - (leg.finish - replica.counter)
    leg.compute_nj += replica.cum_nj - leg.nj0
    leg.share_ps += replica.cum_share - leg.share0
    s.residues[replica.residues + leg.offset % replica.block_size] -= 1
    replica.context -= context
    replica.decoding -= 1
    hole = 0
    while s.running[replica.slots + hole].leg != i:  # the first one, unless a leg leaves before its time
        hole += 1
    last = s.running[replica.slots + replica.decoding]
    if last.leg != i:
        sift(s, replica, hole, last.finish, last.sequence, last.leg)
    return context


@kernel
def run_last(s, replica, i):
    """Put a leg at the end of the running list."""
    leg = s.legs[i]
    leg.prev = replica.run_tail
    leg.next = NONE
    if replica.run_tail == NONE:
        replica.run_head = i
    else:
        s.legs[replica.run_tail].next = i
    replica.run_tail = i
    replica.running += 1


@kernel
def leave_running(s, replica, i):
    """Unlink a leg from the running list."""
    leg = s.legs[i]
    if leg.prev == NONE:
        replica.run_head = leg.next
    else:
        s.legs[leg.prev].next = leg.next
    if leg.next == NONE:
        replica.run_tail = leg.prev
    else:
        s.legs[leg.next].prev = leg.prev
    replica.running -= 1


@kernel
def end_steps(s, r):
    """Account for the plan that ends now and let its tokens out."""
    replica = s.replicas[r]
    replica.planned = 0
    k = replica.plan_steps
    nj_before = replica.cum_nj
    share_before = replica.cum_share
    if replica.plan_mixed == 0:
        take(s, r, blocks_wanted(s, replica, 1, k - 1))
        replica.peak_blocks = max(replica.peak_blocks, replica.total_blocks - replica.free_blocks)
    book(s, r, k)
    advance(s, r, k)
    if replica.plan_mixed:
        end_chunks(s, r, replica.cum_nj - nj_before, replica.cum_share - share_before)
    while replica.decoding > 0 and s.running[replica.slots].finish <= replica.counter:
        complete(s, r, s.running[replica.slots].leg)
    if replica.ghosts > 0:
        drop_ghosts(s, r)


@kernel
def end_chunks(s, r, each_nj, each_ps):
    """The prefill chunks of the step are done; a finished prefill emits a token."""
    now = s.control[0].now
    replica = s.replicas[r]
    i = replica.partial
    replica.partial = NONE
    while i != NONE:
        leg = s.legs[i]
        after = leg.next
        if leg.state == PREFILL:
            leg.compute_nj += each_nj * leg.chunk
            leg.share_ps += each_ps * leg.chunk
            leg.prefilled += leg.chunk
            if leg.generated == 0:
                replica.progress += leg.chunk
            leg.chunk = 0
            if replica.caching:
                register(s, r, i, leg.prefilled // replica.block_size)
            if leg.prefilled == leg.target:
                note_phase(leg, now)
                leg.generated += 1
                replica.progress += 1
                attach(s, replica, i, leg.target)
                if leg.first_token < 0 and leg.cancelled == 0:
                    first_token(s, i)
                    if leg.generated < leg.output:
                        open_stream(s, i)
            else:
                replica.partial = i
        i = after


@kernel
def complete(s, r, i):
    """A leg has all its tokens."""
    replica = s.replicas[r]
    leg = s.legs[i]
    remove_decoding(s, replica, i)
    forget(replica, leg)
    if leg.cancelled:
        replica.ghosts -= 1
        close_ghost(s, i)
    else:
        note_phase(leg, s.control[0].now)
        replica.served += 1
        reply(s, i)


@kernel
def close_ghost(s, i):
    """A cancelled leg has left the batch."""
    slot = s.legs[i].request
    close(s, i, CANCELLED, s.control[0].now)
    flush(s, slot)


@kernel
def remove_decoding(s, replica, i):
    """Take a decoding leg out of everything and free its blocks (between a boundary and the grants of a step)."""
    leg = s.legs[i]
    context = leg.offset if leg.paused else detach(s, replica, i)
    own = blocks_for(s, replica, context) + leg.granted
    if replica.caching:
        register(s, leg.replica, i, context // replica.block_size)
        own -= leg.covered
        release(s, leg.replica, leg)
    replica.free_blocks += own
    leg.granted = 0
    leave_running(s, replica, i)


@kernel
def drop_ghosts(s, r):
    """Cancelled legs leave the batch, in the order of their sequence."""
    replica = s.replicas[r]
    while replica.ghosts > 0:
        oldest = NONE
        i = replica.run_head
        while i != NONE:
            leg = s.legs[i]
            if leg.cancelled and (oldest == NONE or leg.sequence < s.legs[oldest].sequence):
                oldest = i
            i = leg.next
        leg = s.legs[oldest]
        if leg.state == DECODE:
            remove_decoding(s, replica, oldest)
        else:
            remove_prefill(s, replica, oldest)
        forget(replica, leg)
        replica.ghosts -= 1
        close_ghost(s, oldest)


@kernel
def remove_prefill(s, replica, i):
    """Take a leg in mid-prefill out of the batch and free its blocks."""
    leg = s.legs[i]
    if replica.caching:
        release(s, leg.replica, leg)
    replica.free_blocks += leg.blocks
    leg.blocks = 0
    leave_running(s, replica, i)
    if replica.partial == i:
        replica.partial = NONE


@kernel
def begin_step(s, r):
    """Form the next step: blocks for the decodes, the chunk in progress, then who waits."""
    replica = s.replicas[r]
    if replica.accelerator != ALONE and not may_run(s, r):
        return
    cost = s.costs[replica.cost]
    extra = 0
    storm = False
    if cost.kv:
        need = s.residues[replica.residues + (-replica.counter) % replica.block_size]
        if need <= replica.free_blocks:
            take(s, r, need)
        else:
            extra = grant_blocks(s, r)
            storm = True
    budget = replica.max_tokens - replica.decoding
    first_chunk = replica.partial
    chunked = 0
    if first_chunk != NONE:
        leg = s.legs[first_chunk]
        leg.chunk = min(leg.target - leg.prefilled, budget)
        budget -= leg.chunk
        chunked = leg.chunk
    images = 0
    if not storm or (replica.decoding == 0 and chunked == 0):
        if replica.swapped > 0:
            budget, more = swap_in(s, r, budget)
            extra += more
        if replica.swapped == 0 and replica.waiting > 0:
            images, chunked = admit(s, r, budget, chunked)
    replica.peak_blocks = max(replica.peak_blocks, replica.total_blocks - replica.free_blocks)
    if replica.accelerator != ALONE and (chunked > 0 or replica.decoding > 0):
        extra += load(s, r)
    if chunked > 0 or extra > 0:
        price_mixed(s, r, images, extra)
    elif replica.decoding > 0:
        k = s.running[replica.slots].finish - replica.counter
        if storm and replica.waiting + replica.swapped > 0:
            k = 1
        plan_decode(s, r, k)
    if replica.accelerator != ALONE:
        if replica.planned:
            keep_turn(s, r)
        else:
            leave(s, r)


@kernel
def may_run(s, r):
    """Is it this replica's turn on an accelerator that it shares? Without work it takes none."""
    replica = s.replicas[r]
    if replica.ghosts > 0:  # of those that were cancelled while it stood in line
        drop_ghosts(s, r)
    if replica.running + replica.waiting + replica.swapped > 0:
        return take_turn(s, r)
    leave(s, r)
    return False


@kernel
def price_mixed(s, r, images, extra):
    """Sum up the features of a step that holds chunks or swaps, and plan it."""
    replica = s.replicas[r]
    window = s.costs[replica.cost].window
    decode_context = replica.context + replica.decoding
    window_decode = 0
    if window > 0:
        for j in range(replica.decoding):
            context = replica.counter + s.legs[s.running[replica.slots + j].leg].offset
            window_decode += min(context + 1, window)
    pairs = 0
    read = 0
    window_pairs = 0
    window_read = 0
    sampled = replica.decoding
    tokens = replica.decoding
    measured = s.costs[replica.cost].knot_count > 0
    longest = NONE
    chunks = 0
    i = replica.partial
    while i != NONE:
        leg = s.legs[i]
        if leg.state == PREFILL and leg.chunk > 0:
            n = leg.chunk
            done = leg.prefilled
            tokens += n
            sampled += 1 if done + n == leg.target else 0
            chunks += 1
            if longest == NONE or n > s.legs[longest].chunk:
                longest = i
            if replica.encoder:
                pairs += n * n
                read += n
            else:
                pairs += n * done + n * (n + 1) // 2
                read += done + n
                if window > 0:
                    inside = min(max(window - done, 0), n)
                    window_pairs += inside * done + inside * (inside + 1) // 2 + (n - inside) * window
                    window_read += min(done + n, window + n)
        i = leg.next
    features = (decode_context, pairs, read, window_decode, window_pairs, window_read, sampled, images)
    assert len(features) == MIXED_FEATURES
    attention = 0
    if measured:
        cost = s.costs[replica.cost]
        n = s.tables[cost.chunk_axis]
        done = 0
        if longest != NONE:
            n = s.legs[longest].chunk
            done = s.legs[longest].prefilled
        attention = attention_of(s, cost, n, done, replica.decoding, decode_context)
        i = replica.partial
        while chunks > 1 and i != NONE:
            leg = s.legs[i]
            if leg.state == PREFILL and leg.chunk > 0 and i != longest:
                attention += max(0, attention_of(s, cost, leg.chunk, leg.prefilled, 0, 0) - cost.smallest)
            i = leg.next
    plan_mixed(s, r, tokens, features, extra, attention)


@kernel
def grant_blocks(s, r):
    """Give every decode the block its next token needs, preempting where none is free; answers the swaps' time."""
    replica = s.replicas[r]
    extra = 0
    i = replica.run_head
    while i != NONE:
        leg = s.legs[i]
        after = leg.next
        if leg.state == DECODE and (replica.counter + leg.offset) % replica.block_size == 0:
            while leg.state == DECODE and replica.free_blocks == 0:
                after = leg.next
                extra += preempt(s, r, victim(s, replica))
            if leg.state == DECODE:
                take(s, r, 1)
                leg.granted = 1
                after = leg.next
        i = after
    i = replica.run_head
    while i != NONE:
        s.legs[i].granted = 0
        i = s.legs[i].next
    return extra


@kernel
def victim(s, replica):
    """The running leg that matters least: the last by rank, then the youngest."""
    worst = replica.run_tail
    if s.control[0].ranked:
        i = s.legs[worst].prev
        while i != NONE:
            if s.legs[i].rank > s.legs[worst].rank:
                worst = i
            i = s.legs[i].prev
    return worst


@kernel
def context_of(replica, leg):
    """Tokens of KV that a decoding leg holds."""
    return leg.offset if leg.paused else replica.counter + leg.offset


@kernel
def preempt(s, r, i):
    """Take a leg out of the batch, as the deployment says; answers the time of a swap [ps]."""
    replica = s.replicas[r]
    leg = s.legs[i]
    swap = False
    if replica.swaps and leg.state == DECODE:
        swap = blocks_for(s, replica, context_of(replica, leg)) <= replica.free_swap
    return put_out(s, r, i, swap)


@kernel
def put_out(s, r, i, swap):
    """Take a leg out of the batch, to host memory or back to the queue; answers the time of a swap [ps]."""
    replica = s.replicas[r]
    leg = s.legs[i]
    now = s.control[0].now
    replica.preemptions += 1
    decoding = leg.state == DECODE
    if not decoding and leg.generated == 0:
        replica.progress -= leg.prefilled
    note_phase(leg, now)
    leg.preemptions += 1
    held = 0
    if decoding:
        held = blocks_for(s, replica, context_of(replica, leg))
        remove_decoding(s, replica, i)
    else:
        remove_prefill(s, replica, i)
    leg.paused = 0
    leg.prefilled = 0
    leg.chunk = 0
    if swap:
        leg.state = SWAPPED
        leg.swap_blocks = held
        replica.free_swap -= held
        leg.prev = replica.swap_tail
        leg.next = NONE
        if replica.swap_tail == NONE:
            replica.swap_head = i
        else:
            s.legs[replica.swap_tail].next = i
        replica.swap_tail = i
        replica.swapped += 1
        return held * s.costs[replica.cost].swap_ps_per_block
    leg.state = WAITING
    leg.target = leg.prompt + leg.generated
    enqueue_first(s, replica, i)
    return 0


@kernel
def room(replica, need):
    """May this many blocks be taken, keeping the watermark unless nothing runs?"""
    return replica.free_blocks - need >= (replica.watermark if replica.running > 0 else 0)


@kernel
def swap_in(s, r, budget):
    """Bring swapped legs back, first out first in; answers the budget left and the time of the swaps."""
    replica = s.replicas[r]
    extra = 0
    while replica.swapped > 0 and budget > 0 and replica.running < replica.max_num_seqs:
        i = replica.swap_head
        if not room(replica, blocks_to_return(s, replica, s.legs[i])):
            break
        extra += bring_back(s, r, i)
        budget -= 1
    return budget, extra


@kernel
def blocks_to_return(s, replica, leg):
    """KV blocks that a swapped leg takes to decode again."""
    return blocks_for(s, replica, leg.prompt + leg.generated)


@kernel
def bring_back(s, r, i):
    """Let a swapped leg decode again; answers the time of the swap [ps]."""
    replica = s.replicas[r]
    leg = s.legs[i]
    leave_swapped(s, replica, i)
    take(s, r, blocks_to_return(s, replica, leg))
    replica.free_swap += leg.swap_blocks
    note_phase(leg, s.control[0].now)
    run_last(s, replica, i)
    attach(s, replica, i, leg.prompt + leg.generated - 1)
    return leg.swap_blocks * s.costs[replica.cost].swap_ps_per_block


@kernel
def admit(s, r, budget, chunked):
    """Start prefilling waiting legs while budget, slots and blocks last; answers images and tokens they bring."""
    replica = s.replicas[r]
    images = 0
    while replica.waiting > 0 and budget > 0 and replica.running < replica.max_num_seqs:
        i = replica.wait_head
        leg = s.legs[i]
        need = blocks_for(s, replica, leg.target)
        hit = 0
        held = 0
        last = NONE
        pinned = 0
        if replica.caching:
            hit, held, last, pinned = match(s, r, leg)
            need -= hit
        if not room(replica, need + pinned) or (replica.encoder and leg.target > budget):
            break
        start(s, r, i, hit, held, last)
        leg.chunk = min(leg.target - leg.prefilled, budget)
        budget -= leg.chunk
        chunked += leg.chunk
        images += leg.images
        if replica.partial == NONE:
            replica.partial = i
    return images, chunked


@kernel
def start(s, r, i, hit, held, last):
    """Let a waiting leg into the batch, behind what the cache has of its prompt."""
    replica = s.replicas[r]
    leg = s.legs[i]
    now = s.control[0].now
    leave_waiting(s, replica, i)
    if replica.caching:
        begin_with(s, r, leg, hit, held, last)
    leg.blocks = blocks_for(s, replica, leg.target) - hit
    take(s, r, leg.blocks)
    note_phase(leg, now)
    leg.state = PREFILL
    if leg.first_scheduled < 0:
        leg.first_scheduled = now
    run_last(s, replica, i)


@kernel
def begin_with(s, r, leg, hit, held, last):
    """Begin a prompt behind what the cache has of it."""
    replica = s.replicas[r]
    use(s, r, leg, hit, held, last)
    leg.prefilled = hit * replica.block_size
    replica.hit_tokens += leg.prefilled
    if leg.generated == 0:
        replica.progress += leg.prefilled
    if leg.first_scheduled < 0:
        leg.cached = leg.prefilled
