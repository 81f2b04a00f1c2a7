"""Shared accelerators: several replicas in line for one, one of which runs its steps there.

A replica keeps the accelerator while it has work, and a quantum long if others wait; then the first in line has it, and
pays for the switch to its LLM with its first step. The functions are those of the twin's device.
"""

from __future__ import annotations

from edgesim.arena.compile import kernel
from edgesim.arena.rows import NONE
from edgesim.serving.legs import call_boundary
from edgesim.serving.plan import cut_at, due


@kernel
def take_turn(s, r):
    """May a replica run a step now? Who has to wait stands in line."""
    replica = s.replicas[r]
    device = s.devices[replica.accelerator - 1]
    now = s.control[0].now
    if device.holder == r:
        if device.first == NONE or now - device.since < device.quantum:
            return True
        pass_on(s, device)
    elif device.holder == NONE:
        device.holder = r
        device.since = now
        return True
    if replica.in_line == 0:
        stand_in_line(s, device, r)
        cut_at(s, device.holder, max(device.since + device.quantum, due(s, device.holder)))
    return False


@kernel
def stand_in_line(s, device, r):
    """Put a replica at the end of the line."""
    replica = s.replicas[r]
    replica.in_line = 1
    replica.next_in_line = NONE
    if device.first == NONE:
        device.first = r
    else:
        s.replicas[device.last].next_in_line = r
    device.last = r


@kernel
def load(s, r):
    """Make the accelerator ready for a replica's step; answers the time that takes [ps]."""
    replica = s.replicas[r]
    device = s.devices[replica.accelerator - 1]
    if device.loaded == r:
        return 0
    device.loaded = r
    replica.switches += 1
    return device.switch_ps


@kernel
def leave(s, r):
    """A replica has nothing to run: the next in line may."""
    replica = s.replicas[r]
    device = s.devices[replica.accelerator - 1]
    if replica.in_line:
        before = NONE
        i = device.first
        while i != r:
            before = i
            i = s.replicas[i].next_in_line
        if before == NONE:
            device.first = replica.next_in_line
        else:
            s.replicas[before].next_in_line = replica.next_in_line
        if device.last == r:
            device.last = before
        replica.in_line = 0
    if device.holder == r:
        device.holder = NONE
        if device.first != NONE:
            pass_on(s, device)


@kernel
def pass_on(s, device):
    """Let the first in line have the accelerator."""
    r = device.first
    replica = s.replicas[r]
    device.first = replica.next_in_line
    if device.first == NONE:
        device.last = NONE
    replica.in_line = 0
    device.holder = r
    device.since = s.control[0].now
    call_boundary(s, r)


@kernel
def keep_turn(s, r):
    """End the plan at the boundary at which others have to be let in."""
    device = s.devices[s.replicas[r].accelerator - 1]
    if device.first != NONE:
        cut_at(s, r, device.since + device.quantum)
