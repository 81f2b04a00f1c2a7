"""The loop: the kernel's entry points, which move the arena from event to event and stop where Python must see."""

from __future__ import annotations

from typing import Any

from edgesim.arena.calendar import drop_first, order_of, push
from edgesim.arena.compile import JIT, entry, kernel
from edgesim.arena.rows import (
    ARRIVE,
    DELIVER,
    E_ARRIVAL,
    E_BOUNDARY,
    E_DECIDED,
    E_DELIVERY,
    E_DONE,
    E_FLOW_END,
    E_PATIENCE,
    E_RETRY,
    E_SEEN,
    E_TRANSFER,
    E_WAKE,
    FIRST,
    HEDGE,
    NONE,
    PROMPT,
    R_ABANDONED,
    R_REJECTED,
    REMAINDER,
    REPLY,
    RETRY,
    STREAM,
    TIMER,
    TRANSIT,
    USER,
)
from edgesim.arena.tables import prefetch, unpack
from edgesim.network.flows import end_flow, start_flow, wake
from edgesim.network.ordered import set_rates
from edgesim.serving.decision import HELD, PATIENCE, TOO_LONG
from edgesim.serving.formed import boundary, form
from edgesim.serving.legs import (
    adopt,
    answering,
    book_decision,
    break_off,
    cancel,
    deliver,
    dispatch,
    end,
    has_rivals,
    replied,
    reply_bytes,
    seen,
    wait,
)
from edgesim.serving.operations import abort, finish, meter, stretch
from edgesim.serving.plan import blocks_wanted, steps_past
from edgesim.serving.prefix import rehash

# Why the kernel returned.
HORIZON, DRAINED, DECIDE, ENDED, REFILL, FLUSH, GROW, TRANSFERRED, DECIDED, FORM = range(10)

# What the kernel is asked to do.
(
    GO, SEND, SEND_ONE, TURN_AWAY, ASK_AGAIN, SUBMIT, TRANSFER, ABORT, STRETCH, FINISH, REHASH, DELIBERATE, STEP,
    METER,
) = range(14)  # fmt: skip

E_CHUNK = 100
"""The next arrival of the open workloads: not in the heap, but an event like the others."""

SENT, SENT_AND_LOST = 1, 2
"""What becomes of one leg; a request that was lost with it has failed, or waits to be tried again."""

MARGIN = 8
"""Rows of each pool that must be free before an event is taken."""

NEVER = (1 << 62) - 1

FEW = 64
"""Events in a calendar so small that the cache holds all they touch."""

CHUNK_KEY = 1 << 40

if JIT:
    from llvmlite import ir
    from numba import types
    from numba.extending import intrinsic

    @intrinsic  # type: ignore[misc]
    def call_policy(_typing: Any, function: Any, address: Any, a: Any, b: Any, c: Any) -> Any:
        """Call a compiled policy by its address."""

        def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            word = ir.IntType(64)
            kind = ir.FunctionType(word, [word] * 4)
            pointer = builder.inttoptr(arguments[0], kind.as_pointer())
            return builder.call(pointer, list(arguments[1:]))

        return types.int64(types.int64, types.int64, types.int64, types.int64, types.int64), code

else:

    def call_policy(function: int, address: int, a: int, b: int, c: int) -> int:
        """Compiled policies need the compiler; without it their Python tier answers."""
        raise NotImplementedError


@kernel
def fill_board(s, offset, length):
    """Write what policies may see of the candidates, from completed boundaries."""
    for i in range(length):
        r = s.candidates[offset + i].replica
        replica = s.replicas[r]
        tokens = replica.assigned - replica.progress
        free = replica.free_blocks
        if replica.planned and replica.plan_mixed == 0:
            done = steps_past(s, r)
            tokens -= done * replica.decoding
            free -= blocks_wanted(s, replica, 1, done)
        queued = replica.waiting + replica.swapped + replica.transit
        running = replica.running - replica.ghosts
        cell = 6 * i
        s.board[cell] = queued
        s.board[cell + 1] = running
        s.board[cell + 2] = queued + running
        s.board[cell + 3] = max(tokens, 0)
        s.board[cell + 4] = free
        s.board[cell + 5] = replica.state


@kernel
def decide(s, address, slot):
    """Ask where a request goes; a Python policy is asked by stopping."""
    control = s.control[0]
    request = s.requests[slot]
    here = 2 * (request.origin * control.classes + s.workloads[request.workload].llm)
    offset = s.places[here]
    length = s.places[here + 1]
    if control.router == 0 or control.absent > 0:
        fill_board(s, offset, length)
        control.stop = DECIDE
        control.stop_arg = slot
        return
    place = call_policy(control.router, address, slot, offset, length)
    if place >= 0 and control.admitter != 0:
        verdict = call_policy(control.admitter, address, slot, offset + place, 0)
        if verdict < 0:
            place = verdict
    rank = 0
    if place >= 0:
        place += offset
        if control.ranker != 0:
            rank = call_policy(control.ranker, address, slot, place, 0)
    if control.decision_ps > 0 or control.decision_nj > 0:
        request.chosen_rank = rank
        deliberate(s, slot, place, control.decision_ps, control.decision_nj)
    else:
        carry_out(s, slot, place, rank)


@kernel
def carry_out(s, slot, choice, rank):
    """Send a request to a place, or turn it away for a reason."""
    if choice < 0:
        end(s, slot, R_REJECTED, -1 - choice)
    else:
        send(s, slot, choice, rank)


@kernel
def deliberate(s, slot, choice, ps, nj):
    """Carry a choice out when the decision has taken its time."""
    request = s.requests[slot]
    now = s.control[0].now
    request.since = now
    request.deciding = ps
    request.deciding_nj = nj
    request.chosen = choice
    if ps > 0:
        push(s, now + ps, TIMER, 2 * request.request + 1, E_DECIDED, slot, request.epoch)
    else:
        decided(s, slot)


@kernel
def decided(s, slot):
    """A decision has taken its time; one that Python holds is asked for by stopping."""
    control = s.control[0]
    request = s.requests[slot]
    book_decision(s, request, request.deciding_nj)
    if request.chosen == HELD:
        control.stop = DECIDED
        control.stop_arg = slot
    else:
        carry_out(s, slot, request.chosen, request.chosen_rank)


@kernel
def send(s, slot, place, rank):
    """Dispatch a request's leg, or turn the request away because the place could never hold it."""
    request = s.requests[slot]
    kind = RETRY if request.attempts else FIRST
    request.attempts += 1
    if not dispatch(s, slot, place, kind, rank):
        end(s, slot, R_REJECTED, TOO_LONG)


@kernel
def arrive(s, address, arrival):
    """A request is asked: give it a row and decide."""
    control = s.control[0]
    if control.requests >= control.limit and s.workloads[arrival.workload].limited:
        return
    slot = control.free_request
    request = s.requests[slot]
    control.free_request = request.next_free
    control.active_requests += 1
    request.used = 1
    request.request = control.requests
    control.requests += 1
    request.workload = arrival.workload
    request.session = arrival.session
    request.turn = arrival.turn
    request.origin = arrival.origin
    request.prompt = arrival.prompt
    request.output = arrival.output
    request.predicted = arrival.predicted
    request.images = arrival.images
    request.bytes_up = arrival.bytes_up
    request.priority = arrival.priority
    request.deadline = arrival.deadline
    request.patience = arrival.patience
    request.hashes = arrival.hashes
    request.hash_count = arrival.hash_count
    request.cached = 0
    request.arrived = arrival.at
    request.since = arrival.at
    request.status = NONE
    request.reason = 0
    request.attempts = 0
    request.live = 0
    request.legs = 0
    request.first_leg = NONE
    request.first_scheduled = NONE
    request.first_token_server = NONE
    request.first_token = NONE
    request.decision = 0
    request.deciding = 0
    request.backoff = 0
    request.uplink = 0
    request.queue = 0
    request.prefill = 0
    request.decode = 0
    request.stall = 0
    request.downlink = 0
    request.sent_up = 0
    request.sent_down = 0
    request.compute_nj = 0
    request.network_nj = 0
    request.share_ps = 0
    request.preemptions = 0
    request.hops = 0
    request.replica = NONE
    request.generated = 0
    request.cost_usd = 0.0
    request.carbon_g = 0.0
    request.quality = 1.0
    if request.patience > 0:
        push(s, control.now + request.patience, TIMER, 2 * request.request, E_PATIENCE, slot, request.epoch)
    decide(s, address, slot)


@kernel
def lose_patience(s, slot):
    """A client that has seen no token leaves."""
    control = s.control[0]
    request = s.requests[slot]
    if request.status >= 0 or 0 <= request.first_token <= control.now:
        return
    request.status = R_ABANDONED
    deciding = request.deciding > 0
    if deciding:
        break_off(s, request)
    counts = answering(s, request)
    i = request.first_leg
    while i != NONE:
        after = s.legs[i].sibling
        cancel(s, i)
        i = after
    if counts != NONE:
        adopt(s, request, s.legs[counts])
    elif not deciding:
        request.backoff += control.now - request.since
    end(s, slot, R_ABANDONED, PATIENCE)


@kernel
def flow_ended(s, f, epoch):
    """The last byte of a flow has left its last link."""
    flow = s.flows[f]
    if flow.used == 0 or flow.epoch != epoch:
        return
    kind = flow.kind
    owner = flow.owner
    when = s.control[0].now + flow.latency
    key = flow.key
    end_flow(s, f)
    if kind == PROMPT:
        s.legs[owner].flow = NONE
        push(s, when, DELIVER, key, E_DELIVERY, owner, key)
    elif kind == STREAM:
        s.legs[owner].flow = NONE
        s.legs[owner].bytes_down = reply_bytes(s, s.legs[owner])
    elif kind == REMAINDER:
        s.legs[owner].flow = NONE
        s.legs[owner].bytes_down = reply_bytes(s, s.legs[owner])
        push(s, when, DELIVER, key, E_DONE, owner, key)
    else:
        push(s, when, DELIVER, key, E_TRANSFER, owner, key)


@kernel
def happen(s, address, kind, arg, epoch):
    """Let one calendar entry happen, unless it is void."""
    control = s.control[0]
    if kind == E_BOUNDARY:
        if s.replicas[arg].epoch == epoch:
            boundary(s, arg)
    elif kind == E_DELIVERY:
        leg = s.legs[arg]
        if leg.used and leg.sequence == epoch and leg.state == TRANSIT:
            deliver(s, arg)
    elif kind == E_DONE:
        leg = s.legs[arg]
        if leg.used and leg.sequence == epoch and leg.state == REPLY:
            replied(s, arg, control.now)
    elif kind == E_SEEN:
        leg = s.legs[arg]
        if leg.used and leg.sequence == epoch and leg.cancelled == 0:
            seen(s, arg, control.now)
    elif kind == E_FLOW_END:
        flow_ended(s, arg, epoch)
    elif kind == E_WAKE:
        wake(s, arg)
    elif kind == E_PATIENCE:
        if s.requests[arg].used and s.requests[arg].epoch == epoch:
            lose_patience(s, arg)
    elif kind == E_RETRY:
        request = s.requests[arg]
        if request.used and request.epoch == epoch and request.status < 0:
            request.backoff += control.now - request.since
            decide(s, address, arg)
    elif kind == E_DECIDED:
        request = s.requests[arg]
        if request.used and request.epoch == epoch and request.status < 0:
            decided(s, arg)
    elif kind == E_CHUNK:
        arrive(s, address, s.arrivals[arg])
    elif kind == E_ARRIVAL:
        arrive(s, address, s.asked[arg])
        s.asked[arg].at = NONE
    elif kind == E_TRANSFER:
        control.stop = TRANSFERRED
        control.stop_arg = arg


@kernel
def lacks_room(s):
    """Must Python flush records or grow a pool before the next event?"""
    control = s.control[0]
    if control.request_rows + MARGIN + control.batch_limit > len(s.request_rows):
        return FLUSH
    if control.keep_legs and control.leg_rows + MARGIN + control.batch_limit > len(s.leg_rows):
        return FLUSH
    if control.keep_steps and control.booked + MARGIN > len(s.booked):
        return FLUSH
    if (
        control.active_requests + MARGIN > len(s.requests)
        or control.active_legs + MARGIN > len(s.legs)
        or control.active_flows + MARGIN + control.batch_limit > len(s.flows)
        or (control.caching and control.active_nodes + control.node_room > len(s.nodes))
        or control.heap + MARGIN + len(s.flows) + len(s.links) + 2 * control.batch_limit > len(s.heap)
    ):
        return GROW
    return NONE


@kernel
def foresee(s):
    """Fetch what the coming step boundaries will touch; with many replicas it has long left the cache.

    The next event's replica came in while it was second or third in line, so that its first leg is within reach.
    """
    top = s.heap[0]
    if top.kind == E_BOUNDARY:
        prefetch(s.legs, s.running[s.replicas[top.arg].slots].leg)
    for i in range(1, 3):
        entry = s.heap[i]
        if entry.kind == E_BOUNDARY:
            prefetch(s.replicas, entry.arg)


@kernel
def loop(s, address, horizon):
    """Let the arena run up to, and without, the horizon; answers why it stopped."""
    control = s.control[0]
    control.stop = NONE
    while True:
        if control.notify:
            control.notify = 0
            control.stop = ENDED
        if control.stop != NONE:
            return control.stop
        if control.forming > 0:
            control.stop_arg = control.forming - 1
            control.forming = 0
            return FORM
        shortage = lacks_room(s)
        if shortage != NONE:
            return shortage
        if control.arrival_next == control.arrivals and control.exhausted == 0:
            return REFILL
        when = NEVER
        from_chunk = False
        if control.heap > 0:
            when = s.heap[0].when
        if control.arrival_next < control.arrivals:
            at = s.arrivals[control.arrival_next].at
            if at < when or (at == when and s.heap[0].order > order_of(ARRIVE, CHUNK_KEY - 1)):
                when = at
                from_chunk = True
        if control.dirty_count > 0 and when > control.now and horizon > control.now:
            set_rates(s)
            continue
        if when >= horizon:
            if when == NEVER and horizon == NEVER:
                return DRAINED
            control.now = horizon
            return HORIZON
        control.now = when
        control.events += 1
        kind = E_CHUNK
        arg = control.arrival_next
        epoch = 0
        if from_chunk:
            control.arrival_next += 1
        else:
            top = s.heap[0]
            kind = top.kind
            arg = top.arg
            epoch = top.epoch
            drop_first(s)
            if control.heap > FEW:
                foresee(s)
        happen(s, address, kind, arg, epoch)


@kernel
def send_one(s, slot, place, rank, first):
    """Send one of several legs of a request; answers 0 if the place could never hold it."""
    request = s.requests[slot]
    kind = HEDGE
    if first:
        kind = RETRY if request.attempts else FIRST
        request.attempts += 1
    if not dispatch(s, slot, place, kind, rank):
        return 0
    return SENT if request.used and has_rivals(s, request, NONE) else SENT_AND_LOST


@entry
def run(address, horizon, verb, a, b, c, d):
    """The kernel's one door, since compiling is dear: do what the verb says; GO and SEND then let the arena run.

    Args:
        address: Of the address list.
        horizon: For GO and SEND: run up to, and without, this time [ps].
        verb: GO, SEND, SEND_ONE ... below.
        a, b, c, d: What the verb needs.

    Returns:
        Why the loop stopped, or what the verb answers.
    """
    s = unpack(address)
    if verb == SEND:  # slot, place, rank
        send(s, a, b, c)
    elif verb == SEND_ONE:  # slot, place, rank, is it the first
        return send_one(s, a, b, c, d)
    elif verb == TURN_AWAY:  # slot, reason
        end(s, a, R_REJECTED, b)
    elif verb == ASK_AGAIN:  # slot, time
        wait(s, a, b)
    elif verb == DELIBERATE:  # slot, choice, time, energy; its rank is in the row
        s.control[0].stop = NONE
        deliberate(s, a, b, c, d)
        if s.control[0].stop == DECIDED:
            return DECIDED
    elif verb == STEP:  # replica, steps, until; who does what is listed
        form(s, a, b, c)
    elif verb == SUBMIT:  # row of the asked, order of submission
        push(s, s.asked[a].at, ARRIVE, CHUNK_KEY + b, E_ARRIVAL, a, 0)
        return 0
    elif verb == TRANSFER:  # owner, path, hops, latency; size in horizon; its priority is listed
        control = s.control[0]
        control.transfers += 1
        start_flow(s, USER, a, (1 << 50) + control.transfers, b, c, d, float(horizon), 0, s.listed[0])
        return 0
    elif verb == ABORT:  # replica, new state, number of listed legs
        abort(s, a, b, c)
        return 0
    elif verb == STRETCH:  # replica, speed, base power saved
        stretch(s, a, b, c)
        return 0
    elif verb == METER:  # number of listed replicas
        meter(s, a)
        return 0
    elif verb == REHASH:
        rehash(s)
        return 0
    elif verb == FINISH:  # number of listed requests
        finish(s, a)
        return 0
    return loop(s, address, horizon)
