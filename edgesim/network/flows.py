"""Flows: the kernel's transfers, with one max-min solution per instant over the part of the network it concerns.

A flow that nothing but its own links limits touches nobody. Otherwise the solution covers the flows reached from
the changed links through saturated links, repeated until no link at its rim became saturated; it then equals the
solution over all flows (`edgesim.network.fluid`), because the integer max-min allocation is unique. Reply streams
whose whole demand fits stand outside the solution. Where some links serve in order, `edgesim.network.ordered` solves.
"""

from __future__ import annotations

import math

from edgesim.arena.calendar import push
from edgesim.arena.compile import kernel
from edgesim.arena.rows import E_FLOW_END, E_WAKE, FLOW, NONE, STREAM
from edgesim.network.links import (
    PER_RATE,
    claim,
    disclaim,
    join_links,
    leave_links,
    load_link,
    saturated,
    taint,
)

LONGEST = 4e18  # [ps] beyond every run, and still within 63 bits when added to a time of one
CORE = 1
RIM = 2


@kernel
def start_flow(s, kind, owner, key, path, hops, latency, size, demand, priority):
    """Begin a transfer; answers its row. The caller keeps room in the pool."""
    control = s.control[0]
    f = control.free_flow
    flow = s.flows[f]
    control.free_flow = flow.next_free
    control.active_flows += 1
    flow.used = 1
    flow.kind = kind
    flow.owner = owner
    flow.key = key
    flow.path = path
    flow.hops = hops
    flow.latency = latency
    flow.total = size
    flow.remaining = size
    flow.demand = demand
    flow.priority = priority
    flow.rate = 0
    flow.began = control.now
    flow.since = control.now
    flow.finish = NONE
    flow.direct = 0
    flow.home = NONE
    flow.choked = 0
    flow.fresh = 1
    flow.epoch += 1
    join_links(s, f)
    if control.ordered:
        if claim(s, f):
            take(s, f, demand)
            enter_end(s, f)
        return f
    rate = demand if kind == STREAM else ceiling(s, f)
    if fits(s, f, rate):
        take(s, f, rate)
        enter_end(s, f)
    else:
        flow.choked = 1 if kind == STREAM else 0
        for hop in range(hops):
            link = s.paths[path + hop]
            s.links[link].throttled += flow.choked
            taint(s, link)
    return f


@kernel
def ceiling(s, f):
    """Rate a flow gets from the links it has for itself; 0 if it has none."""
    flow = s.flows[f]
    rate = NONE
    for hop in range(flow.hops):
        row = s.links[s.paths[flow.path + hop]]
        if row.flow_count == 1 and row.throttled == 0:
            free = row.capacity - row.allotted
            if rate == NONE or free < rate:
                rate = free
    return rate if rate >= s.control[0].max_demand else 0


@kernel
def fits(s, f, rate):
    """Can a new flow take this rate without anybody else noticing?"""
    flow = s.flows[f]
    if rate <= 0:
        return False
    for hop in range(flow.hops):
        row = s.links[s.paths[flow.path + hop]]
        if row.throttled:
            return False
        free = row.capacity - row.allotted
        if flow.kind == STREAM:
            if free < rate + row.flow_count:
                return False
        elif row.flow_count > 1 and free - rate < row.flow_count + row.stream_count:
            return False
    return True


@kernel
def set_rate(s, f, rate):
    """Settle what a flow sent, give it another rate and find when it ends."""
    control = s.control[0]
    flow = s.flows[f]
    flow.remaining -= float(flow.rate) * float(control.now - flow.since) * PER_RATE
    flow.since = control.now
    flow.rate = rate
    flow.fresh = 0
    flow.epoch += 1
    flow.direct = 0
    if rate > 0:
        lasts = int(math.ceil(min(flow.remaining * 1e15 / float(rate), LONGEST)))
        flow.finish = control.now + max(lasts, 0)


@kernel
def take(s, f, rate):
    """Give a new flow a rate that nobody else notices."""
    flow = s.flows[f]
    set_rate(s, f, rate)
    for hop in range(flow.hops):
        load_link(s, s.paths[flow.path + hop], rate)


@kernel
def enter_end(s, f):
    """Put a flow's end into the calendar."""
    flow = s.flows[f]
    flow.direct = 1
    push(s, flow.finish, FLOW, flow.key, E_FLOW_END, f, flow.epoch)


@kernel
def stop_flow(s, f):
    """Take a flow off the network; answers the bytes it has sent."""
    flow = s.flows[f]
    flow.remaining -= float(flow.rate) * float(s.control[0].now - flow.since) * PER_RATE
    flow.since = s.control[0].now
    sent = min(flow.total, flow.total - flow.remaining)
    end_flow(s, f)
    return sent


@kernel
def end_flow(s, f):
    """Free a flow's row and its share of the links."""
    flow = s.flows[f]
    control = s.control[0]
    if control.ordered:
        disclaim(s, f)
    leave_links(s, f)
    flow.epoch += 1
    flow.used = 0
    flow.next_free = control.free_flow
    control.free_flow = f
    control.active_flows -= 1


@kernel
def wake(s, link):
    """The earliest end that a link watches over has come: let those flows end, in the order of their keys."""
    row = s.links[link]
    now = s.control[0].now
    if row.wake != now:
        return
    row.wake = NONE
    soonest = NONE
    for kind in range(2):
        here = row.flows
        if kind == 1:  # streams that have all they ask for see to their ends themselves
            here = row.streams if row.throttled > 0 or s.control[0].ordered else NONE
        while here != NONE:
            f = here // s.control[0].longest_path
            flow = s.flows[f]
            if flow.home == link and flow.direct == 0 and flow.fresh == 0:
                if flow.finish <= now:
                    enter_end(s, f)
                elif soonest == NONE or flow.finish < soonest:
                    soonest = flow.finish
            here = s.hops[here].next
    if soonest != NONE:
        watch(s, link, soonest)


@kernel
def watch(s, link, when):
    """Make sure that a link is looked at no later than `when`."""
    row = s.links[link]
    if row.wake == NONE or when < row.wake:
        row.wake = when
        push(s, when, FLOW, -1 - link, E_WAKE, link, 0)


@kernel
def touch(s, link, role, count):
    """Add a link to the solution; answers how many it has now."""
    row = s.links[link]
    if row.active == NONE:
        row.active = 0
        row.mark = role
        s.touched[count] = link
        return count + 1
    if role == CORE:
        row.mark = CORE
    return count


@kernel
def gather(s, with_streams, links, moved):
    """Close the set of flows under saturated links; answers the numbers of links and of flows in it."""
    longest = s.control[0].longest_path
    scan = s.control[0].scan
    grew = True
    while grew:
        grew = False
        i = 0
        while i < links:
            row = s.links[s.touched[i]]
            i += 1
            if row.mark != CORE or row.residual == scan:
                continue
            row.residual = scan
            grew = True
            for kind in range(2):
                here = row.flows
                if kind == 1:
                    here = row.streams if (with_streams or row.throttled) else NONE
                while here != NONE:
                    f = here // longest
                    flow = s.flows[f]
                    here = s.hops[here].next
                    if flow.mark == scan:
                        continue
                    flow.mark = scan
                    s.moved[moved] = f
                    moved += 1
                    for hop in range(flow.hops):
                        link = s.paths[flow.path + hop]
                        links = touch(s, link, CORE if saturated(s.links[link]) else RIM, links)
    return links, moved


@kernel
def fill(s, links, moved):
    """Water-fill the gathered flows over the touched links; answers the lowest level."""
    scan = s.control[0].scan
    longest = s.control[0].longest_path
    for i in range(links):
        row = s.links[s.touched[i]]
        row.active = 0
        row.residual = row.capacity - row.allotted
    for i in range(moved):
        flow = s.flows[s.moved[i]]
        flow.frozen = NONE
        for hop in range(flow.hops):
            row = s.links[s.paths[flow.path + hop]]
            row.active += 1
            row.residual += flow.rate
    left = moved
    lowest = NONE
    while left > 0:
        best = NONE
        for i in range(links):
            row = s.links[s.touched[i]]
            if row.active > 0:
                if best == NONE or row.residual * s.links[best].active < s.links[best].residual * row.active:
                    best = s.touched[i]
        level = s.links[best].residual // s.links[best].active
        for i in range(moved):
            flow = s.flows[s.moved[i]]
            if flow.demand > 0 and flow.frozen == NONE and flow.demand < level:
                level = flow.demand
        level = max(level, 1)
        if lowest == NONE:
            lowest = level
        for i in range(links):
            row = s.links[s.touched[i]]
            row.full = 1 if row.active > 0 and row.residual < (level + 1) * row.active else 0
        left -= freeze_demands(s, moved, level)
        for i in range(links):
            link = s.touched[i]
            if s.links[link].full == 0:
                continue
            for kind in range(2):
                here = s.links[link].flows if kind == 0 else s.links[link].streams
                while here != NONE:
                    f = here // longest
                    here = s.hops[here].next
                    if s.flows[f].mark == scan and s.flows[f].frozen == NONE:
                        freeze(s, f, level, link)
                        left -= 1
    return lowest


@kernel
def freeze(s, f, level, home):
    """A flow has found its rate."""
    flow = s.flows[f]
    flow.frozen = level
    flow.home = home if flow.fresh == 1 or level != flow.rate else flow.home
    for hop in range(flow.hops):
        row = s.links[s.paths[flow.path + hop]]
        row.active -= 1
        row.residual -= level


@kernel
def freeze_demands(s, moved, level):
    """Flows that ask for no more than the level have what they want; answers how many."""
    done = 0
    for i in range(moved):
        flow = s.flows[s.moved[i]]
        if flow.demand > 0 and flow.frozen == NONE and flow.demand <= level:
            freeze(s, s.moved[i], level, NONE)
            done += 1
    return done


@kernel
def spread(s, links, moved):
    """Pull in links at the rim that became saturated and carry flows outside the solution."""
    scan = s.control[0].scan
    longest = s.control[0].longest_path
    found = False
    for i in range(links):
        row = s.links[s.touched[i]]
        if row.mark != RIM or row.residual >= row.flow_count + row.stream_count:
            continue
        here = row.flows
        while here != NONE:
            if s.flows[here // longest].mark != scan:
                row.mark = CORE
                found = True
                break
            here = s.hops[here].next
    return found


@kernel
def outside_streams(s, links):
    """Does a link of the solution's core carry streams that stand outside?"""
    for i in range(links):
        row = s.links[s.touched[i]]
        if row.stream_count > 0:
            return True
    return False


@kernel
def solve(s):
    """Give every flow that this instant's changes concern its max-min rate."""
    control = s.control[0]
    control.scan += 1
    links = 0
    moved = 0
    for i in range(control.dirty_count):
        s.links[s.dirty[i]].mark = 0
        links = touch(s, s.dirty[i], CORE, links)
    control.dirty_count = 0
    with_streams = False
    while True:
        for i in range(links):
            s.links[s.touched[i]].residual = NONE
        links, moved = gather(s, with_streams, links, moved)
        lowest = fill(s, links, moved)
        if not with_streams and lowest < control.max_demand and outside_streams(s, links):
            with_streams = True
            for i in range(links):
                s.links[s.touched[i]].mark = CORE
            continue
        if not spread(s, links, moved):
            break
    apply_rates(s, links, moved)


@kernel
def apply_rates(s, links, moved):
    """Settle the flows whose rate changed, load the links, and see that every end will be noticed."""
    changed = 0
    for i in range(moved):
        flow = s.flows[s.moved[i]]
        if flow.fresh == 1 or flow.frozen != flow.rate:
            changed += 1
    for i in range(moved):
        f = s.moved[i]
        flow = s.flows[f]
        if flow.fresh == 0 and flow.frozen == flow.rate:
            continue
        difference = flow.frozen - flow.rate
        for hop in range(flow.hops):
            load_link(s, s.paths[flow.path + hop], difference)
        set_rate(s, f, flow.frozen)
        if flow.kind == STREAM:
            choked = 1 if flow.rate < flow.demand else 0
            for hop in range(flow.hops):
                s.links[s.paths[flow.path + hop]].throttled += choked - flow.choked
            flow.choked = choked
        if flow.rate > 0 and (changed <= 2 or flow.home == NONE):
            enter_end(s, f)
    for i in range(links):
        s.links[s.touched[i]].residual = NONE
    if changed > 2:
        for i in range(moved):
            flow = s.flows[s.moved[i]]
            if flow.direct == 0 and flow.home != NONE:
                row = s.links[flow.home]
                if row.residual == NONE or flow.finish < row.residual:
                    row.residual = flow.finish
    for i in range(links):
        row = s.links[s.touched[i]]
        if row.residual != NONE:
            watch(s, s.touched[i], row.residual)
        row.active = NONE
        row.mark = 0
