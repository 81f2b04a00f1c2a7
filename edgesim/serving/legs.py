"""Legs: how the kernel sends a request somewhere, brings the reply home, and closes the books on both."""

from __future__ import annotations

import math

from edgesim.arena.calendar import push
from edgesim.arena.compile import kernel
from edgesim.arena.rows import (
    BOUNDARY,
    CANCELLED,
    COMPLETED,
    DECODE,
    DELIVER,
    DONE,
    DRAINING,
    E_BOUNDARY,
    E_DONE,
    E_RETRY,
    E_SEEN,
    LOST,
    NONE,
    ON,
    PREFILL,
    PROMPT,
    R_COMPLETED,
    R_FAILED,
    R_UNFINISHED,
    REMAINDER,
    REPLY,
    STREAM,
    SWAPPED,
    TIMER,
    TRANSIT,
    UNFINISHED,
    WAITING,
)
from edgesim.network.flows import start_flow, stop_flow
from edgesim.network.links import carry
from edgesim.serving.decision import REPLICA_FAILED
from edgesim.serving.plan import cut

MB_PS = 10**15
LONGEST_DOUBLING = 16


@kernel
def message_delay(nbytes, narrowest):
    """Serialisation of a token's message on the narrowest link of its path [ps]."""
    return -(-nbytes * MB_PS // narrowest)


@kernel
def blocks_for(s, replica, tokens):
    """KV blocks that hold this many tokens."""
    if s.costs[replica.cost].kv == 0:
        return 0
    return -(-tokens // replica.block_size)


@kernel
def can_ever_hold(s, replica, prompt, output):
    """Could this request run here alone?"""
    if prompt + output > replica.context_limit:
        return False
    if replica.encoder and prompt > replica.max_tokens:
        return False
    return blocks_for(s, replica, prompt + output - 1) <= replica.total_blocks


@kernel
def note_phase(leg, now):
    """Add the time since the last change of state to the phase that the state stands for."""
    if leg.cancelled:
        return
    span = now - leg.since
    state = leg.state
    if leg.paused:
        leg.stall += span
    elif state == TRANSIT:
        leg.uplink += span
    elif state == WAITING:
        if leg.preemptions:
            leg.stall += span
        else:
            leg.queue += span
    elif state == PREFILL:
        if leg.generated > 0 or leg.preemptions:
            leg.stall += span
        else:
            leg.prefill += span
    elif state == DECODE:
        leg.decode += span
    elif state == SWAPPED:
        leg.stall += span
    elif state == REPLY:
        leg.downlink += span
    leg.since = now


@kernel
def dispatch(s, slot, place, kind, rank):
    """Send a leg of a request to a candidate; answers False if the place could never hold it."""
    request = s.requests[slot]
    candidate = s.candidates[place]
    replica = s.replicas[candidate.replica]
    prompt = request.prompt + request.images * s.costs[replica.cost].image_tokens
    if not can_ever_hold(s, replica, prompt, request.output):
        return False
    control = s.control[0]
    now = control.now
    i = control.free_leg
    leg = s.legs[i]
    control.free_leg = leg.next_free
    control.active_legs += 1
    leg.used = 1
    leg.request = slot
    leg.number = request.legs
    leg.kind = kind
    leg.replica = candidate.replica
    leg.candidate = place
    leg.state = TRANSIT
    leg.rank = rank
    leg.sequence = control.sequence
    control.sequence += 1
    leg.prompt = prompt
    leg.output = request.output
    leg.predicted = request.predicted
    leg.images = request.images
    leg.target = prompt
    leg.prefilled = 0
    leg.chunk = 0
    leg.generated = 0
    leg.blocks = 0
    leg.granted = 0
    leg.swap_blocks = 0
    leg.cancelled = 0
    leg.flow = NONE
    leg.dispatched = now
    leg.delivered = NONE
    leg.first_scheduled = NONE
    leg.first_token = NONE
    leg.since = now
    leg.uplink = 0
    leg.queue = 0
    leg.prefill = 0
    leg.decode = 0
    leg.stall = 0
    leg.downlink = 0
    leg.preemptions = 0
    leg.compute_nj = 0
    leg.share_ps = 0
    leg.bytes_up = 0
    leg.bytes_down = 0
    leg.held = 0
    leg.node = NONE
    leg.covered = 0
    leg.cached = 0
    leg.paused = 0
    request.legs += 1
    request.live += 1
    join_siblings(s, request, i)
    replica.transit += 1
    replica.assigned += prompt + request.predicted
    if candidate.up_hops == 0:
        deliver(s, i)
        return True
    leg.bytes_up = request.bytes_up + candidate.up_overhead
    leg.flow = start_flow(
        s,
        PROMPT,
        i,
        leg.sequence,
        candidate.up,
        candidate.up_hops,
        candidate.up_latency,
        float(leg.bytes_up),
        0,
        request.priority,
    )
    return True


@kernel
def join_siblings(s, request, i):
    """Enter a leg at the end of its request's list."""
    s.legs[i].sibling = NONE
    last = request.first_leg
    if last == NONE:
        request.first_leg = i
        return
    while s.legs[last].sibling != NONE:
        last = s.legs[last].sibling
    s.legs[last].sibling = i


@kernel
def leave_siblings(s, request, i):
    """Take a leg out of its request's list."""
    if request.first_leg == i:
        request.first_leg = s.legs[i].sibling
        return
    at = request.first_leg
    while s.legs[at].sibling != i:
        at = s.legs[at].sibling
    s.legs[at].sibling = s.legs[i].sibling


@kernel
def enqueue_last(s, replica, i):
    """Put a leg behind all waiting ones of no greater rank; answers whether it is now the first."""
    leg = s.legs[i]
    after = replica.wait_tail
    while after != NONE and s.legs[after].rank > leg.rank:
        after = s.legs[after].prev
    return insert_waiting(s, replica, i, after)


@kernel
def enqueue_first(s, replica, i):
    """Put a leg before all waiting ones of no smaller rank."""
    leg = s.legs[i]
    after = NONE
    ahead = replica.wait_head
    while ahead != NONE and s.legs[ahead].rank < leg.rank:
        after = ahead
        ahead = s.legs[ahead].next
    insert_waiting(s, replica, i, after)


@kernel
def insert_waiting(s, replica, i, after):
    """Link a leg into the waiting list behind `after`; answers whether it is now the first."""
    leg = s.legs[i]
    ahead = replica.wait_head if after == NONE else s.legs[after].next
    leg.prev = after
    leg.next = ahead
    if after == NONE:
        replica.wait_head = i
    else:
        s.legs[after].next = i
    if ahead == NONE:
        replica.wait_tail = i
    else:
        s.legs[ahead].prev = i
    replica.waiting += 1
    return after == NONE


@kernel
def leave_waiting(s, replica, i):
    """Unlink a leg from the waiting list."""
    leg = s.legs[i]
    if leg.prev == NONE:
        replica.wait_head = leg.next
    else:
        s.legs[leg.prev].next = leg.next
    if leg.next == NONE:
        replica.wait_tail = leg.prev
    else:
        s.legs[leg.next].prev = leg.prev
    replica.waiting -= 1


@kernel
def deliver(s, i):
    """A leg's prompt has arrived at its replica."""
    now = s.control[0].now
    leg = s.legs[i]
    r = leg.replica
    replica = s.replicas[r]
    replica.transit -= 1
    leg.delivered = now
    note_phase(leg, now)
    leg.state = WAITING
    if replica.state != ON and replica.state != DRAINING:
        forget(replica, leg)
        lost(s, i)
        return
    first = enqueue_last(s, replica, i)
    if s.control[0].forms:
        change(s, r)
    elif replica.planned == 0:
        call_boundary(s, r)
    elif first and replica.swapped == 0 and replica.running < replica.max_num_seqs:
        cut(s, r)


@kernel
def change(s, r):
    """The batch of a replica has changed, and its scheduler is asked at the next boundary."""
    s.replicas[r].changed = 1
    if s.replicas[r].planned:
        cut(s, r)
    else:
        call_boundary(s, r)


@kernel
def call_boundary(s, r):
    """See to a boundary at this instant for a replica that runs no step."""
    replica = s.replicas[r]
    now = s.control[0].now
    if replica.boundary != now:
        replica.epoch += 1
        replica.boundary = now
        push(s, now, BOUNDARY, r, E_BOUNDARY, r, replica.epoch)


@kernel
def forget(replica, leg):
    """Stop counting a leg as outstanding."""
    replica.assigned -= leg.prompt + leg.predicted
    replica.progress -= (leg.prefilled if leg.generated == 0 else leg.prompt) + leg.generated


@kernel
def streams(s, leg):
    """Does a leg's reply cross a network token by token?"""
    workload = s.workloads[s.requests[leg.request].workload]
    return workload.streams == 1 and s.candidates[leg.candidate].down_hops > 0


@kernel
def message_bytes(s, leg):
    """Bytes of a token's message, or of a whole reply's frame."""
    workload = s.workloads[s.requests[leg.request].workload]
    return workload.bytes_per_token + s.candidates[leg.candidate].down_overhead


@kernel
def reply_bytes(s, leg):
    """Bytes of a whole reply: a message for each token if it is streamed, else one for all."""
    workload = s.workloads[s.requests[leg.request].workload]
    message = message_bytes(s, leg)
    if workload.streams:
        return leg.output * message
    return message + (leg.output - 1) * workload.bytes_per_token


@kernel
def cut_off(s, leg):
    """Stop what a leg sends or is sent; what has crossed the links was sent."""
    if leg.flow == NONE:
        return
    sent = int(math.floor(stop_flow(s, leg.flow)))
    leg.flow = NONE
    if leg.state == TRANSIT:
        leg.bytes_up = sent
    else:
        leg.bytes_down += sent


@kernel
def first_token(s, i):
    """A leg has its first token: if it streams, the client sees it after the way back."""
    now = s.control[0].now
    leg = s.legs[i]
    request = s.requests[leg.request]
    leg.first_token = now
    when = now
    candidate = s.candidates[leg.candidate]
    if streams(s, leg):
        leg.bytes_down = message_bytes(s, leg)
        carry(s, candidate.down, candidate.down_hops, float(leg.bytes_down))
        when += candidate.down_latency + message_delay(leg.bytes_down, candidate.down_narrow)
    if s.workloads[request.workload].streams == 0:
        return
    if when > now and has_rivals(s, request, i):
        push(s, when, DELIVER, leg.sequence, E_SEEN, i, leg.sequence)
    else:
        seen(s, i, when)


@kernel
def has_rivals(s, request, i):
    """Is another leg of a request still wanted?"""
    other = request.first_leg
    while other != NONE:
        if other != i and s.legs[other].cancelled == 0:
            return True
        other = s.legs[other].sibling
    return False


@kernel
def seen(s, i, when):
    """The client sees the first token of a leg at `when`; if it had rivals, it won."""
    s.requests[s.legs[i].request].first_token = when
    cancel_others(s, i)


@kernel
def cancel_others(s, i):
    """The client has what it waited for: its request's other legs are cancelled, everywhere at once."""
    other = s.requests[s.legs[i].request].first_leg
    while other != NONE:
        after = s.legs[other].sibling
        if other != i:
            cancel(s, other)
        other = after


@kernel
def open_stream(s, i):
    """Let the rest of a streamed reply take its small rate, until all is sent or the last token is out."""
    leg = s.legs[i]
    if leg.output == 1 or not streams(s, leg):
        return
    candidate = s.candidates[leg.candidate]
    message = message_bytes(s, leg)
    demand = s.costs[s.replicas[leg.replica].cost].stream_rate * message
    leg.flow = start_flow(
        s,
        STREAM,
        i,
        leg.sequence,
        candidate.down,
        candidate.down_hops,
        0,
        float((leg.output - 1) * message),
        demand,
        s.requests[leg.request].priority,
    )


@kernel
def reply(s, i):
    """The last token is out: what of the reply is still unsent follows, and the client has it all.

    The last token of a streamed reply is a message like the first, unless a link held back more than that.
    """
    now = s.control[0].now
    leg = s.legs[i]
    leg.state = REPLY
    leg.since = now
    candidate = s.candidates[leg.candidate]
    if candidate.down_hops == 0:
        replied(s, i, now)
        return
    workload = s.workloads[s.requests[leg.request].workload]
    message = message_bytes(s, leg)
    unsent = 0.0 if workload.streams else float(reply_bytes(s, leg))
    if leg.flow != NONE:
        sent = stop_flow(s, leg.flow)
        leg.flow = NONE
        leg.bytes_down += int(math.floor(sent))
        unsent = float((leg.output - 1) * message) - sent
    if workload.streams and unsent <= float(message):
        carry(s, candidate.down, candidate.down_hops, unsent)
        leg.bytes_down = reply_bytes(s, leg)
        when = now + candidate.down_latency + message_delay(message, candidate.down_narrow)
        request = s.requests[leg.request]
        alone = workload.notify == 0 and request.patience == 0 and request.live == 1
        told = request.first_token >= 0  # else the first token of a leg that had rivals is still on its way
        if when < s.control[0].end and alone and told:
            replied(s, i, when)  # nobody can notice that the books are closed before the message is there
        else:
            push(s, when, DELIVER, leg.sequence, E_DONE, i, leg.sequence)
    else:
        leg.flow = start_flow(
            s,
            REMAINDER,
            i,
            leg.sequence,
            candidate.down,
            candidate.down_hops,
            candidate.down_latency,
            unsent,
            0,
            s.requests[leg.request].priority,
        )


@kernel
def replied(s, i, when):
    """The client has the whole reply at `when`."""
    leg = s.legs[i]
    slot = leg.request
    request = s.requests[slot]
    leg.downlink += when - leg.since
    if s.workloads[request.workload].streams == 0 or request.first_token < 0:
        request.first_token = when
    cancel_others(s, i)
    close(s, i, COMPLETED, when)
    adopt(s, request, leg)
    request.generated = leg.output
    request.quality = s.replicas[leg.replica].quality
    request.status = R_COMPLETED
    request.reason = 0
    request.finished = when
    tell(s, slot)
    flush(s, slot)
    s.control[0].last = max(s.control[0].last, when)


@kernel
def adopt(s, request, leg):
    """Let a leg's phases, first token and place count as the request's."""
    request.uplink += leg.uplink
    request.queue += leg.queue
    request.prefill += leg.prefill
    request.decode += leg.decode
    request.stall += leg.stall
    request.downlink += leg.downlink
    request.replica = leg.replica
    request.hops = s.candidates[leg.candidate].up_hops
    request.cached = leg.cached
    request.first_token_server = leg.first_token
    if request.first_scheduled < 0:
        request.first_scheduled = leg.first_scheduled


@kernel
def lost(s, i):
    """A leg's replica failed: try again, or give up."""
    leg = s.legs[i]
    slot = leg.request
    request = s.requests[slot]
    cut_off(s, leg)
    close(s, i, LOST, s.control[0].now)
    if request.status >= 0 or has_rivals(s, request, NONE):
        flush(s, slot)
        return
    adopt(s, request, leg)
    workload = s.workloads[request.workload]
    if request.attempts <= workload.retries:
        request.replica = NONE  # it begins anew
        request.first_token_server = NONE
        request.first_token = NONE
        wait(s, slot, s.control[0].now + (workload.backoff << min(request.attempts - 1, LONGEST_DOUBLING)))
    else:
        end(s, slot, R_FAILED, REPLICA_FAILED)


@kernel
def wait(s, slot, until):
    """Decide about a request again at a later time."""
    now = s.control[0].now
    request = s.requests[slot]
    request.since = now
    push(s, max(until, now), TIMER, 2 * request.request + 1, E_RETRY, slot, request.epoch)


@kernel
def break_off(s, request):
    """Nobody waits for a decision any more: the part that has passed is booked."""
    part = float(s.control[0].now - request.since) / float(request.deciding)
    book_decision(s, request, int(math.floor(float(request.deciding_nj) * part)))


@kernel
def book_decision(s, request, nj):
    """Book the time and energy of a decision to its request."""
    control = s.control[0]
    request.decision += control.now - request.since
    request.compute_nj += nj
    control.decided_nj += nj
    request.deciding = 0


@kernel
def cancel(s, i):
    """Nobody waits for a leg any more: take it away, from a running batch at its next boundary."""
    leg = s.legs[i]
    if leg.cancelled:
        return
    now = s.control[0].now
    note_phase(leg, now)
    leg.cancelled = 1
    cut_off(s, leg)
    replica = s.replicas[leg.replica]
    if leg.state == PREFILL or leg.state == DECODE:
        replica.ghosts += 1
        cut(s, leg.replica)
        if replica.planned == 0:
            call_boundary(s, leg.replica)
        return
    if leg.state == TRANSIT:
        replica.transit -= 1
    elif leg.state == WAITING:
        head = replica.wait_head == i
        leave_waiting(s, replica, i)
        if s.control[0].forms:
            change(s, leg.replica)
        elif head:
            cut(s, leg.replica)
    elif leg.state == SWAPPED:
        head = replica.swap_head == i
        leave_swapped(s, replica, i)
        replica.free_swap += leg.swap_blocks
        if s.control[0].forms:
            change(s, leg.replica)
        elif head:
            cut(s, leg.replica)
    if leg.state != REPLY:
        forget(replica, leg)
    close(s, i, CANCELLED, now)


@kernel
def leave_swapped(s, replica, i):
    """Unlink a leg from the list of swapped ones."""
    leg = s.legs[i]
    if leg.prev == NONE:
        replica.swap_head = leg.next
    else:
        s.legs[leg.prev].next = leg.next
    if leg.next == NONE:
        replica.swap_tail = leg.prev
    else:
        s.legs[leg.next].prev = leg.prev
    replica.swapped -= 1


@kernel
def close(s, i, outcome, when):
    """Book what a leg cost to its request, record it and free its row (whose fields stay readable for now)."""
    control = s.control[0]
    leg = s.legs[i]
    request = s.requests[leg.request]
    replica = s.replicas[leg.replica]
    candidate = s.candidates[leg.candidate]
    leg.state = DONE
    leg.network_nj = leg.bytes_up * candidate.up_pj // 1000 + leg.bytes_down * candidate.down_pj // 1000
    request.compute_nj += leg.compute_nj
    request.network_nj += leg.network_nj
    request.share_ps += leg.share_ps
    request.preemptions += leg.preemptions
    request.sent_up += leg.bytes_up
    request.sent_down += leg.bytes_down
    request.cost_usd += (
        float(leg.share_ps) * replica.usd_per_ps
        + float(leg.compute_nj) * replica.usd_per_nj
        + float(leg.bytes_up) * candidate.up_egress
        + float(leg.bytes_down) * candidate.down_egress
    )
    request.carbon_g += float(leg.compute_nj + leg.network_nj) * replica.gram_per_nj
    request.live -= 1
    leave_siblings(s, request, i)
    if control.keep_legs:
        record_leg(s, leg, request, outcome, when)
    leg.used = 0
    leg.next_free = control.free_leg
    control.free_leg = i
    control.active_legs -= 1


@kernel
def record_leg(s, leg, request, outcome, when):
    """Write a leg's LEG_RECORD row; the caller keeps room."""
    control = s.control[0]
    row = s.leg_rows[control.leg_rows]
    control.leg_rows += 1
    row.request = request.request
    row.leg = leg.number
    row.kind = leg.kind
    row.replica = leg.replica
    row.outcome = outcome
    row.dispatched = leg.dispatched
    row.delivered = leg.delivered
    row.first_scheduled = leg.first_scheduled
    row.first_token = leg.first_token
    row.finished = NONE if outcome == UNFINISHED else when
    row.prompt = leg.prompt
    row.output = leg.generated
    row.preemptions = leg.preemptions
    row.compute_nj = leg.compute_nj
    row.network_nj = leg.network_nj
    row.share_ps = leg.share_ps


@kernel
def end(s, slot, status, reason):
    """A request has ended for its client, who is told; its record waits for legs still in a batch."""
    request = s.requests[slot]
    request.status = status
    request.reason = reason
    request.finished = NONE if status == R_UNFINISHED else s.control[0].now
    if request.first_token > s.control[0].now:
        request.first_token = NONE  # it is on its way to a client who is gone
    tell(s, slot)
    flush(s, slot)


@kernel
def tell(s, slot):
    """Let Python hear how a request ended, if somebody listens; the caller keeps room."""
    control = s.control[0]
    request = s.requests[slot]
    if s.workloads[request.workload].notify:
        write_record(s.told_rows[control.told], request)
        control.told += 1
        control.notify = 1


@kernel
def answering(s, request):
    """The leg that counts if the request ends now: the first that was not cancelled."""
    i = request.first_leg
    while i != NONE and s.legs[i].cancelled:
        i = s.legs[i].sibling
    return i


@kernel
def flush(s, slot):
    """Record a request that has ended and has no leg left, and free its row."""
    control = s.control[0]
    request = s.requests[slot]
    if request.live > 0 or request.status < 0:
        return
    write_record(s.request_rows[control.request_rows], request)
    control.request_rows += 1
    control.last = max(control.last, control.now)
    request.used = 0
    request.epoch += 1
    request.next_free = control.free_request
    control.free_request = slot
    control.active_requests -= 1


@kernel
def write_record(row, request):
    """Write a request's REQUEST_RECORD row, as things stand."""
    row.request = request.request
    row.workload = request.workload
    row.session = request.session
    row.turn = request.turn
    row.origin = request.origin
    row.replica = request.replica
    row.status = request.status
    row.reason = request.reason
    row.prompt = request.prompt
    row.cached = request.cached
    row.output = request.generated
    row.arrived = request.arrived
    row.first_scheduled = request.first_scheduled
    row.first_token_server = request.first_token_server
    row.first_token = request.first_token
    row.finished = request.finished
    row.decision = request.decision
    row.uplink = request.uplink
    row.queue = request.queue
    row.prefill = request.prefill
    row.decode = request.decode
    row.stall = request.stall
    row.downlink = request.downlink
    row.backoff = request.backoff
    row.bytes_up = request.sent_up
    row.bytes_down = request.sent_down
    row.compute_nj = request.compute_nj
    row.network_nj = request.network_nj
    row.share_ps = request.share_ps
    row.legs = request.legs
    row.preemptions = request.preemptions
    row.hops = request.hops
    row.cost_usd = request.cost_usd
    row.carbon_g = request.carbon_g
    row.quality = request.quality
