"""Ordered links: the kernel's rates where links serve flows first come, first served or by priority.

The rules are those of the readable twin (`edgesim.network.fluid.share`). A link that all its flows together cannot
fill limits nobody; the solution covers the flows reached from the changed links through all the others. Systems whose
links are all fair never come here.
"""

from __future__ import annotations

from edgesim.arena.compile import kernel
from edgesim.arena.rows import FAIR, NONE, PRIORITY
from edgesim.network.flows import CORE, RIM, apply_rates, solve, touch
from edgesim.network.links import tight

# What a flow does in a round: it takes part; it waits for others. Then, what is known of it: it gave way once;
# somebody waits for it; it must wait for somebody; its rate is final; it has nothing to wait for.
OPEN, WAITS, GAVE_WAY, AHEAD, HELD, FINAL, IN_VAIN = 1, 2, 4, 8, 16, 32, 64


@kernel
def set_rates(s):
    """Give every flow that this instant's changes concern its rate."""
    if s.control[0].ordered:
        share(s)
    else:
        solve(s)


@kernel
def share(s):
    """Rates where links serve in order: what a round leaves over goes round again."""
    links, moved = gather_tight(s)
    while go_round(s, links, moved):
        pass
    for i in range(moved):
        flow = s.flows[s.moved[i]]
        flow.frozen = flow.given if flow.turn & GAVE_WAY else max(flow.given, 1)
        if flow.fresh == 1 or flow.frozen != flow.rate:
            flow.home = first_tight(s, flow) if flow.frozen > 0 else NONE
    apply_rates(s, links, moved)


@kernel
def gather_tight(s):
    """Collect the flows reached from the changed links; answers the numbers of links and of flows."""
    control = s.control[0]
    control.scan += 1
    links = 0
    moved = 0
    for i in range(control.dirty_count):
        s.links[s.dirty[i]].mark = 0
        links = touch(s, s.dirty[i], CORE, links)
    control.dirty_count = 0
    i = 0
    while i < links:
        row = s.links[s.touched[i]]
        i += 1
        if row.mark != CORE:
            continue
        for kind in range(2):
            here = row.flows if kind == 0 else row.streams
            while here != NONE:
                f = here // control.longest_path
                flow = s.flows[f]
                here = s.hops[here].next
                if flow.mark == control.scan:
                    continue
                flow.mark = control.scan
                flow.given = 0
                flow.turn = 0
                s.moved[moved] = f
                moved += 1
                for hop in range(flow.hops):
                    link = s.paths[flow.path + hop]
                    links = touch(s, link, CORE if tight(s.links[link]) else RIM, links)
    for i in range(links):
        row = s.links[s.touched[i]]
        row.mark = CORE if tight(row) else RIM  # a link may have been changed and no longer be tight
    return links, moved


@kernel
def first_tight(s, flow):
    """The link that shall watch over a flow's end."""
    for hop in range(flow.hops):
        link = s.paths[flow.path + hop]
        if s.links[link].mark == CORE:
            return link
    return NONE


@kernel
def stands(row, flow):
    """Does a flow stand in a link's line? On FIFO links those that demand little need not queue."""
    return row.sharing == PRIORITY or flow.demand == 0


@kernel
def precedes(row, one, other):
    """Is one of two flows that stand in a link's line ahead of the other?"""
    if row.sharing == PRIORITY:
        return one.priority < other.priority
    return one.began < other.began or (one.began == other.began and one.key < other.key)


@kernel
def go_round(s, links, moved):
    """Share what is left, those who wait after those for whom they wait; answers whether another round may help.

    It may if rates were final while others, which do not stand in line with them, still shared the same links.
    """
    left = 0
    for i in range(moved):
        flow = s.flows[s.moved[i]]
        flow.turn &= GAVE_WAY
        if flow.demand == 0 or flow.given < flow.demand:
            flow.turn |= OPEN
            left += 1
    got = False
    loose = False
    while left > 0:
        waiting = give_way(s, links, moved)
        if waiting > 0:
            find_order(s, links, moved)
        mark_final(s, moved, waiting)
        if waiting > 0:
            mark_vain(s, links)
        settled, some, others = settle(s, moved)
        left -= settled
        got = got or some
        loose = loose or others
    return got and loose


@kernel
def give_way(s, links, moved):
    """Fill what is left; who would take from one ahead of it waits. Answers how many wait."""
    for i in range(moved):
        s.flows[s.moved[i]].turn &= OPEN | GAVE_WAY
    waiting = 0
    while True:
        more, again = fill_open(s, links, moved)
        waiting += more
        if not again:
            return waiting


@kernel
def fill_open(s, links, moved):
    """Water-fill; answers how many more wait, and whether one of them had found its rate already."""
    left = find_rest(s, links, moved)
    waiting = 0
    while left > 0:
        level = find_level(s, links, moved)
        if level > 0:
            link, first = find_line(s, links, level)
            if link != NONE:
                active, found = send_behind(s, link, first)
                waiting += active + found
                left -= active
                if found > 0:
                    return waiting, True
                continue
        for i in range(moved):
            flow = s.flows[s.moved[i]]
            if takes(flow) and flow.frozen == NONE and content(flow, level):
                fix(s, flow, level)
                left -= 1
        for i in range(links):
            row = s.links[s.touched[i]]
            if row.full != level or row.active == 0:
                continue
            for kind in range(2):
                here = row.flows if kind == 0 else row.streams
                while here != NONE:
                    flow = s.flows[here // s.control[0].longest_path]
                    here = s.hops[here].next
                    if takes(flow) and flow.frozen == NONE:
                        fix(s, flow, level)
                        left -= 1
    return waiting, False


@kernel
def takes(flow):
    """Does a flow take part, and need not wait?"""
    return flow.turn & (OPEN | WAITS) == OPEN


@kernel
def content(flow, level):
    """Does a flow ask for no more than the level?"""
    return flow.demand > 0 and flow.demand - flow.given <= level


@kernel
def fix(s, flow, level):
    """A flow has found its rate for this round."""
    flow.frozen = level
    for hop in range(flow.hops):
        row = s.links[s.paths[flow.path + hop]]
        row.active -= 1
        row.residual -= level


@kernel
def find_rest(s, links, moved):
    """Note what is left of every link, nothing if it is less than a unit a flow; answers how many flows take part."""
    for i in range(links):
        row = s.links[s.touched[i]]
        row.active = 0
        row.full = NONE
        row.residual = row.capacity
    left = 0
    for i in range(moved):
        flow = s.flows[s.moved[i]]
        flow.frozen = NONE
        taking = 1 if takes(flow) else 0
        left += taking
        for hop in range(flow.hops):
            row = s.links[s.paths[flow.path + hop]]
            row.active += taking
            row.residual -= flow.given
    for i in range(links):
        row = s.links[s.touched[i]]
        if row.residual < row.flow_count + row.stream_count:
            row.residual = 0
    return left


@kernel
def find_level(s, links, moved):
    """The largest level that every flow can have that has no rate yet; links that it fills remember it."""
    level = NONE
    for i in range(links):
        row = s.links[s.touched[i]]
        if row.mark == CORE and row.active > 0 and (level == NONE or row.residual < level * row.active):
            level = row.residual // row.active
    for i in range(moved):
        flow = s.flows[s.moved[i]]
        if flow.demand > 0 and flow.frozen == NONE and takes(flow):
            wish = flow.demand - flow.given
            if level == NONE or wish < level:
                level = wish
    for i in range(links):
        row = s.links[s.touched[i]]
        if row.mark == CORE and row.active > 0:
            row.full = level if row.residual < (level + 1) * row.active else NONE
    return level


@kernel
def find_line(s, links, level):
    """The first full link on which someone takes capacity behind one whom it limits, and the first of these."""
    found = NONE
    lead = NONE
    for i in range(links):
        link = s.touched[i]
        row = s.links[link]
        if row.full != level or row.active == 0 or row.sharing == FAIR or (found != NONE and link > found):
            continue
        first = first_limited(s, row, level)
        if first != NONE and has_behind(s, row, first):
            found = link
            lead = first
    return found, lead


@kernel
def first_limited(s, row, level):
    """The first in a full link's line whom it limits."""
    first = NONE
    for kind in range(2):
        here = row.flows if kind == 0 else row.streams
        while here != NONE:
            f = here // s.control[0].longest_path
            flow = s.flows[f]
            here = s.hops[here].next
            if stands(row, flow) and takes(flow) and flow.frozen == NONE and not content(flow, level):
                if first == NONE or precedes(row, flow, s.flows[first]):
                    first = f
    return first


@kernel
def is_behind(row, flow, first):
    """Does a flow take capacity behind another in a link's line?"""
    return stands(row, flow) and takes(flow) and flow.frozen != 0 and precedes(row, first, flow)


@kernel
def has_behind(s, row, first):
    """Does anybody take capacity behind a flow in a link's line?"""
    for kind in range(2):
        here = row.flows if kind == 0 else row.streams
        while here != NONE:
            if is_behind(row, s.flows[here // s.control[0].longest_path], s.flows[first]):
                return True
            here = s.hops[here].next
    return False


@kernel
def send_behind(s, link, first):
    """Let those wait who are behind a flow; answers how many had no rate yet, and how many had one."""
    row = s.links[link]
    active = 0
    found = 0
    for kind in range(2):
        here = row.flows if kind == 0 else row.streams
        while here != NONE:
            flow = s.flows[here // s.control[0].longest_path]
            here = s.hops[here].next
            if not is_behind(row, flow, s.flows[first]):
                continue
            flow.turn |= WAITS | GAVE_WAY
            if flow.frozen != NONE:
                found += 1
                continue
            active += 1
            for hop in range(flow.hops):
                s.links[s.paths[flow.path + hop]].active -= 1
    return active, found


@kernel
def find_order(s, links, moved):
    """Find who is ahead of one who waits, and who is held up by one, directly or over others."""
    for i in range(moved):
        flow = s.flows[s.moved[i]]
        if flow.turn & WAITS:
            flow.turn |= AHEAD | HELD
    changed = True
    while changed:
        changed = False
        for i in range(links):
            row = s.links[s.touched[i]]
            if row.mark == CORE and row.sharing != FAIR:
                changed = spread_signs(s, row) or changed


@kernel
def spread_signs(s, row):
    """Pass on along a link's line who is ahead and who is held up; answers whether that was news to anybody."""
    last = NONE
    first = NONE
    for kind in range(2):
        here = row.flows if kind == 0 else row.streams
        while here != NONE:
            f = here // s.control[0].longest_path
            flow = s.flows[f]
            here = s.hops[here].next
            if flow.turn & OPEN == 0 or not stands(row, flow):
                continue
            if flow.turn & AHEAD and (last == NONE or precedes(row, s.flows[last], flow)):
                last = f
            if flow.turn & HELD and (first == NONE or precedes(row, flow, s.flows[first])):
                first = f
    changed = False
    for kind in range(2):
        here = row.flows if kind == 0 else row.streams
        while here != NONE:
            flow = s.flows[here // s.control[0].longest_path]
            here = s.hops[here].next
            if flow.turn & OPEN == 0 or not stands(row, flow):
                continue
            before = flow.turn
            if last != NONE and precedes(row, flow, s.flows[last]):
                flow.turn |= AHEAD
            if first != NONE and not precedes(row, flow, s.flows[first]):
                flow.turn |= HELD
            changed = changed or flow.turn != before
    return changed


@kernel
def mark_final(s, moved, waiting):
    """Mark whose rates are final: all, if none waits, else those ahead of one who waits and not held up by one.

    Lines of several kinds may hold each other up; then all who are ahead.
    """
    wanted = AHEAD if waiting > 0 else 0
    refused = 0
    for i in range(moved):
        flow = s.flows[s.moved[i]]
        if takes(flow) and flow.turn & (AHEAD | HELD) == AHEAD:
            refused = HELD
    for i in range(moved):
        flow = s.flows[s.moved[i]]
        if takes(flow) and flow.turn & wanted == wanted and flow.turn & refused == 0:
            flow.turn |= FINAL


@kernel
def mark_vain(s, links):
    """Mark who is behind one that has its rate, and of which a link has not even enough for that one."""
    for i in range(links):
        row = s.links[s.touched[i]]
        if row.full == NONE or row.sharing == FAIR:
            continue
        first = NONE
        for kind in range(2):
            here = row.flows if kind == 0 else row.streams
            while here != NONE:
                f = here // s.control[0].longest_path
                flow = s.flows[f]
                here = s.hops[here].next
                if flow.turn & FINAL and stands(row, flow) and flow.frozen == row.full:
                    if not content(flow, row.full) and (first == NONE or precedes(row, flow, s.flows[first])):
                        first = f
        if first == NONE:
            continue
        for kind in range(2):
            here = row.flows if kind == 0 else row.streams
            while here != NONE:
                flow = s.flows[here // s.control[0].longest_path]
                here = s.hops[here].next
                if flow.turn & OPEN and stands(row, flow) and precedes(row, s.flows[first], flow):
                    flow.turn |= IN_VAIN


@kernel
def settle(s, moved):
    """Give flows their final rates, or none.

    Returns:
        How many flows, whether one of them got anything, and whether others shared links with them.
    """
    settled = 0
    got = False
    loose = False
    for i in range(moved):
        flow = s.flows[s.moved[i]]
        if flow.turn & FINAL:
            flow.given += flow.frozen
            got = got or flow.frozen > 0
        if flow.turn & (FINAL | IN_VAIN):
            flow.turn &= GAVE_WAY
            settled += 1
        elif takes(flow):
            loose = True
    return settled, got, loose
