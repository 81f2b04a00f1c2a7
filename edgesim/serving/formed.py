"""Boundaries, and steps that a scheduler forms, in the order of the twin.

A scheduler's answer stands, and its decodes go on in closed form, until the batch changes, a block is lacking, or it is
over; the kernel then stops for the next one. A paused decode has left the batch's counters: its offset is its context.
"""

from __future__ import annotations

from edgesim.arena.calendar import push
from edgesim.arena.compile import kernel
from edgesim.arena.rows import ALONE, BOUNDARY, DECODE, E_BOUNDARY, NONE, SWAPPED, WAITING
from edgesim.serving.batch import (
    attach,
    begin_step,
    bring_back,
    detach,
    drop_ghosts,
    end_steps,
    may_run,
    price_mixed,
    put_out,
    start,
)
from edgesim.serving.device import keep_turn, leave, load
from edgesim.serving.legs import note_phase
from edgesim.serving.plan import cut_at, plan_decode, reach
from edgesim.serving.prefix import take


@kernel
def boundary(s, r):
    """A step boundary of a replica, or its call out of idleness."""
    replica = s.replicas[r]
    replica.boundary = NONE
    reach(s, r)
    if s.control[0].forms:
        formed_boundary(s, r)
        return
    if replica.planned:
        end_steps(s, r)
    begin_step(s, r)


@kernel
def formed_boundary(s, r):
    """Go on as before, or ask how."""
    replica = s.replicas[r]
    before = replica.running
    if replica.planned:
        replica.steps_left -= replica.plan_steps
        end_steps(s, r)
    if replica.ghosts > 0:
        drop_ghosts(s, r)
    if replica.running != before:
        replica.changed = 1
    if replica.accelerator != ALONE and not may_run(s, r):
        return
    if replica.running + replica.waiting + replica.swapped == 0:
        return
    if stands(s, replica):
        take(s, r, lacking(s, replica))
        go(s, r, 0, 0, 0)
    else:
        s.control[0].forming = r + 1


@kernel
def lacking(s, replica):
    """KV blocks that the decodes need for their next tokens."""
    if s.costs[replica.cost].kv == 0:
        return 0
    return s.residues[replica.residues + (-replica.counter) % replica.block_size]


@kernel
def stands(s, replica):
    """Does the last answer still hold?"""
    if replica.changed or replica.decoding == 0 or replica.steps_left <= 0:
        return False
    return s.control[0].now < replica.until and lacking(s, replica) <= replica.free_blocks


@kernel
def go(s, r, chunks, images, extra):
    """Plan a step, or steps of the decodes as far as the answer reaches; or wait."""
    replica = s.replicas[r]
    replica.peak_blocks = max(replica.peak_blocks, replica.total_blocks - replica.free_blocks)
    alone = replica.accelerator == ALONE
    if chunks == 0 and replica.decoding == 0:
        if not alone:
            leave(s, r)
        idle(s, r)
        return
    if not alone:
        extra += load(s, r)
    if chunks > 0 or extra > 0:
        price_mixed(s, r, images, extra)
    else:
        plan_decode(s, r, min(s.running[replica.slots].finish - replica.counter, replica.steps_left))
        cut_at(s, r, replica.until)
    if not alone:
        keep_turn(s, r)


@kernel
def form(s, r, steps, until):
    """Carry a scheduler's answer out: numbers of legs, then who goes to the queue, to host memory, decodes, reads."""
    replica = s.replicas[r]
    recomputed = s.listed[0]
    swapped = s.listed[1]
    decodes = s.listed[2]
    chunks = s.listed[3]
    at = 4
    extra = replica.swaps_ps
    for j in range(recomputed + swapped):
        extra += put_out(s, r, s.listed[at + j], j >= recomputed)
    at += recomputed + swapped
    replica.swaps_ps = 0
    if decodes + chunks == 0 and recomputed + swapped > 0:
        replica.swaps_ps = extra
        s.control[0].forming = r + 1
        return
    replica.steps_left = steps
    replica.until = until
    replica.changed = int(chunks + recomputed + swapped > 0 or extra > 0)
    pause(s, r, at, decodes, chunks)
    take(s, r, lacking(s, replica))
    for j in range(decodes):
        if s.legs[s.listed[at + j]].state == SWAPPED:
            extra += bring_back(s, r, s.listed[at + j])
            replica.changed = 1
    images = read(s, r, at + decodes, chunks)
    if replica.changed:
        replica.steps_left = 1  # who was put out or brought back makes it a step of its own
    go(s, r, chunks, images, extra)


@kernel
def pause(s, r, at, decodes, chunks):
    """Let those in the batch that have no part in the step hold their blocks and wait; they make room first."""
    replica = s.replicas[r]
    mark(s, at, decodes, chunks, 1)
    for part in range(2):
        i = replica.run_head
        while i != NONE:
            leg = s.legs[i]
            if leg.part == part and leg.paused == part:
                toggle(s, replica, i)
            i = leg.next
    mark(s, at, decodes, chunks, 0)


@kernel
def toggle(s, replica, i):
    """Take a leg out of the steps, where it stays in the batch, or back in."""
    leg = s.legs[i]
    note_phase(leg, s.control[0].now)
    if leg.state == DECODE and leg.paused:
        attach(s, replica, i, leg.offset)
    elif leg.state == DECODE:
        leg.offset = detach(s, replica, i)
    leg.paused = 1 - leg.paused


@kernel
def mark(s, at, decodes, chunks, part):
    """Mark the listed legs that have a part in the step, or wipe the marks out."""
    for j in range(decodes):
        s.legs[s.listed[at + j]].part = part
    for j in range(chunks):
        s.legs[s.listed[at + decodes + 2 * j]].part = part


@kernel
def read(s, r, at, chunks):
    """Start whoever waits and set what each one reads; answers the images they bring."""
    replica = s.replicas[r]
    images = 0
    for j in range(chunks):
        i = s.listed[at + 2 * j]
        leg = s.legs[i]
        if leg.state == WAITING:
            start(s, r, i, 0, 0, NONE)
            images += leg.images
        leg.chunk = min(s.listed[at + 2 * j + 1], leg.target - leg.prefilled)
    replica.partial = replica.run_head if chunks > 0 else NONE
    return images


@kernel
def idle(s, r):
    """Wait until the scheduler wants to be asked again, or the batch changes."""
    replica = s.replicas[r]
    replica.epoch += 1
    replica.boundary = max(replica.until, s.control[0].now + 1)
    push(s, replica.boundary, BOUNDARY, r, E_BOUNDARY, r, replica.epoch)
