"""Operations on running replicas from outside the loop: crash, change of speed, end of the run."""

from __future__ import annotations

from edgesim.arena.compile import kernel
from edgesim.arena.rows import (
    ALONE,
    DECODE,
    NONE,
    PREFILL,
    R_UNFINISHED,
    SWAPPED,
    UNFINISHED,
    WAITING,
)
from edgesim.network.ordered import set_rates
from edgesim.serving.batch import close_ghost, remove_decoding, remove_prefill
from edgesim.serving.device import leave
from edgesim.serving.legs import (
    adopt,
    answering,
    break_off,
    close,
    cut_off,
    end,
    flush,
    forget,
    leave_swapped,
    leave_waiting,
    lost,
    note_phase,
)
from edgesim.serving.plan import (
    advance,
    blocks_wanted,
    book,
    book_part,
    drawn,
    elapsed,
    enter_boundary,
    steps_past,
)
from edgesim.serving.prefix import clear, take


@kernel
def book_part_of_chunks(s, r):
    """Account for a plan up to now, prefill chunks included."""
    replica = s.replicas[r]
    nj = replica.cum_nj
    ps = replica.cum_share
    planned = replica.planned
    mixed = replica.plan_mixed
    book_part(s, r)
    if planned == 0 or mixed == 0:
        return
    i = replica.partial
    while i != NONE:
        leg = s.legs[i]
        if leg.state == PREFILL:
            leg.compute_nj += (replica.cum_nj - nj) * leg.chunk
            leg.share_ps += (replica.cum_share - ps) * leg.chunk
        i = leg.next


@kernel
def abort(s, r, state, count):
    """Crash a replica: its step is waste; its legs, listed by sequence, are lost."""
    replica = s.replicas[r]
    book_part_of_chunks(s, r)
    replica.epoch += 1
    replica.boundary = NONE
    replica.changed = 1
    replica.state = state
    now = s.control[0].now
    for j in range(count):
        i = s.listed[j]
        leg = s.legs[i]
        state_of_leg = leg.state
        if state_of_leg == DECODE:
            remove_decoding(s, replica, i)
        elif state_of_leg == PREFILL:
            remove_prefill(s, replica, i)
        elif state_of_leg == SWAPPED:
            leave_swapped(s, replica, i)
            replica.free_swap += leg.swap_blocks
        elif state_of_leg == WAITING:
            leave_waiting(s, replica, i)
        forget(replica, leg)
        if leg.cancelled:
            replica.ghosts -= 1
            close_ghost(s, i)
        else:
            note_phase(leg, now)
            lost(s, i)
    replica.free_blocks = replica.total_blocks
    clear(s, r)
    replica.partial = NONE
    if replica.accelerator != ALONE:
        leave(s, r)


@kernel
def stretch(s, r, speed, saved_mw):
    """Change a replica's speed and base power: the rest of the step in progress lasts longer or shorter."""
    replica = s.replicas[r]
    if replica.planned:
        now = s.control[0].now
        done = steps_past(s, r)
        if replica.plan_mixed == 0:
            take(s, r, blocks_wanted(s, replica, 1, done))
        started = replica.plan_start + elapsed(replica, done)
        ends = started + replica.plan_base + replica.plan_slope * done
        if done > 0:
            book(s, r, done)
            advance(s, r, done)
            replica.steps_left -= done
        rest = (ends - now) * replica.speed // speed
        replica.plan_start = started
        replica.plan_base = now - started + rest
        replica.plan_slope = 0
        replica.plan_nj += replica.plan_nj_slope * done
        replica.plan_nj_slope = 0
        replica.plan_mflop += replica.plan_mflop_slope * done
        replica.plan_mflop_slope = 0.0
        replica.plan_kib += replica.plan_kib_slope * done
        replica.plan_kib_slope = 0.0
        replica.plan_steps = 1
        enter_boundary(s, r)
    replica.speed = speed
    replica.saved_mw = saved_mw


@kernel
def meter(s, count):
    """Read energy and time of the listed replicas' steps so far; times are written behind the energies."""
    for j in range(count):
        nj, ps = drawn(s, s.listed[j])
        s.listed[j] = nj
        s.listed[count + j] = ps


@kernel
def finish(s, count):
    """Close the books at the end of the run; the open requests are listed by id."""
    control = s.control[0]
    now = control.now
    if control.dirty_count > 0:
        set_rates(s)
    for r in range(len(s.replicas)):
        if s.replicas[r].max_num_seqs > 0:
            book_part_of_chunks(s, r)
    for j in range(count):
        slot = s.listed[j]
        request = s.requests[slot]
        ended = request.status >= 0
        deciding = request.deciding > 0
        if deciding:
            break_off(s, request)
        counts = answering(s, request)
        i = request.first_leg
        while i != NONE:
            leg = s.legs[i]
            after = leg.sibling
            close_unfinished(s, i, now)
            if i == counts and not ended:
                adopt(s, request, leg)
                request.generated = leg.generated
            i = after
        if ended:
            flush(s, slot)
        else:
            if counts == NONE and not deciding:
                request.backoff += now - request.since
            end(s, slot, R_UNFINISHED, 0)


@kernel
def close_unfinished(s, i, now):
    """The run ends while a leg is on its way."""
    leg = s.legs[i]
    replica = s.replicas[leg.replica]
    if leg.state == DECODE:
        remove_decoding(s, replica, i)
    if not leg.cancelled:
        note_phase(leg, now)
    cut_off(s, leg)
    close(s, i, UNFINISHED, now)
