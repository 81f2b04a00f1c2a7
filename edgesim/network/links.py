"""Links: what is allotted of them, which flows cross them, and when their changes call for a new solution."""

from __future__ import annotations

from edgesim.arena.compile import kernel
from edgesim.arena.rows import NONE, STREAM

PER_RATE = 1e-15
"""Bytes that one millibyte per second moves in one picosecond."""


@kernel
def load_link(s, link, rate):
    """Change what is allotted of a link, integrating what it carried so far."""
    now = s.control[0].now
    row = s.links[link]
    row.carried += float(row.allotted) * float(now - row.settled_at) * PER_RATE
    row.settled_at = now
    row.allotted += rate


@kernel
def carry(s, path, hops, nbytes):
    """Count a message that crosses links without holding bandwidth."""
    for hop in range(hops):
        s.links[s.paths[path + hop]].carried += nbytes


@kernel
def saturated(row):
    """Tell whether less than one rate unit a flow is left; cautiously, more links count as full than must."""
    return row.capacity - row.allotted < row.flow_count + row.stream_count


@kernel
def taint(s, link):
    """Ask for a new solution around a link at the end of this instant."""
    row = s.links[link]
    control = s.control[0]
    if row.mark != NONE:
        row.mark = NONE
        s.dirty[control.dirty_count] = link
        control.dirty_count += 1


@kernel
def join_links(s, f):
    """Enter a flow into the lists of its links."""
    flow = s.flows[f]
    for hop in range(flow.hops):
        row = s.links[s.paths[flow.path + hop]]
        here = f * s.control[0].longest_path + hop
        head = row.streams if flow.kind == STREAM else row.flows
        s.hops[here].next = head
        s.hops[here].prev = NONE
        if head != NONE:
            s.hops[head].prev = here
        if flow.kind == STREAM:
            row.streams = here
            row.stream_count += 1
        else:
            row.flows = here
            row.flow_count += 1


@kernel
def leave_links(s, f):
    """Take a flow out of its links' lists, freeing its rate; full links call for a new solution."""
    flow = s.flows[f]
    for hop in range(flow.hops):
        link = s.paths[flow.path + hop]
        row = s.links[link]
        full = saturated(row)
        here = f * s.control[0].longest_path + hop
        after = s.hops[here].next
        prior = s.hops[here].prev
        if after != NONE:
            s.hops[after].prev = prior
        if prior != NONE:
            s.hops[prior].next = after
        elif flow.kind == STREAM:
            row.streams = after
        else:
            row.flows = after
        if flow.kind == STREAM:
            row.stream_count -= 1
            row.throttled -= flow.choked
        else:
            row.flow_count -= 1
        load_link(s, link, -flow.rate)
        if full and row.flow_count + row.throttled > 0:
            taint(s, link)


@kernel
def tight(row):
    """Could the flows of a link fill it? Only kept where links serve in order."""
    return row.wanted + row.flow_count + row.stream_count > row.capacity


@kernel
def most(s, flow):
    """The most that a flow can take."""
    rate = flow.demand
    if rate == 0:
        rate = s.links[s.paths[flow.path]].capacity
        for hop in range(1, flow.hops):
            rate = min(rate, s.links[s.paths[flow.path + hop]].capacity)
    return rate


@kernel
def claim(s, f):
    """Note what a new flow may want of its links; answers whether none of them can fill up, as others must be asked."""
    flow = s.flows[f]
    rate = most(s, flow)
    free = True
    for hop in range(flow.hops):
        link = s.paths[flow.path + hop]
        row = s.links[link]
        row.wanted += rate
        if tight(row):
            free = False
            taint(s, link)
    return free


@kernel
def disclaim(s, f):
    """A flow that leaves wants nothing any more; links that could fill up call for a solution."""
    flow = s.flows[f]
    rate = most(s, flow)
    for hop in range(flow.hops):
        link = s.paths[flow.path + hop]
        row = s.links[link]
        if tight(row) and row.flow_count + row.stream_count > 1:
            taint(s, link)
        row.wanted -= rate
