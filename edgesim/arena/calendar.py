"""The calendar: one binary heap of (time, class, key) for everything that happens in the arena.

At one instant arrivals come first, then deliveries, flow ends, timers and step boundaries; within a class the id of
what an entry concerns decides (leg, request, replica), so that the order does not depend on how an engine got
there. Entries whose epoch has passed are skipped by whoever pops them.
"""

from __future__ import annotations

from edgesim.arena.compile import kernel

CLASS_SHIFT = 58
KEY_BIAS = 1 << 56


@kernel
def order_of(klass, key):
    """Sort order of an entry within its instant."""
    return (klass << CLASS_SHIFT) + KEY_BIAS + key


@kernel
def before(heap, i, when, order):
    """Does entry i of the heap come before (when, order)?"""
    entry = heap[i]
    return entry.when < when or (entry.when == when and entry.order < order)


@kernel
def place(heap, i, when, order, kind, arg, epoch):
    """Write one entry."""
    entry = heap[i]
    entry.when = when
    entry.order = order
    entry.kind = kind
    entry.arg = arg
    entry.epoch = epoch


@kernel
def copy(heap, i, j):
    """Move entry j to place i."""
    source = heap[j]
    place(heap, i, source.when, source.order, source.kind, source.arg, source.epoch)


@kernel
def push(s, when, klass, key, kind, arg, epoch):
    """Enter an event; the caller keeps room in the heap."""
    control = s.control[0]
    order = order_of(klass, key)
    hole = control.heap
    control.heap = hole + 1
    while hole > 0:
        parent = (hole - 1) >> 1
        if before(s.heap, parent, when, order):
            break
        copy(s.heap, hole, parent)
        hole = parent
    place(s.heap, hole, when, order, kind, arg, epoch)


@kernel
def drop_first(s):
    """Remove the first event."""
    control = s.control[0]
    size = control.heap - 1
    control.heap = size
    if size == 0:
        return
    last = s.heap[size]
    when = last.when
    order = last.order
    hole = 0
    child = 1
    while child < size:
        if child + 1 < size and before(s.heap, child + 1, s.heap[child].when, s.heap[child].order):
            child += 1
        if not before(s.heap, child, when, order):
            break
        copy(s.heap, hole, child)
        hole = child
        child = 2 * hole + 1
    copy(s.heap, hole, size)
