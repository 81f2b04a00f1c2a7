"""Measured costs in the kernel: which decode segment holds, and attention interpolated in four dimensions.

`edgesim.costs.measured` is the definition; both give the same integers.
"""

from __future__ import annotations

from edgesim.arena.compile import kernel


@kernel
def segment_of(s, cost, batch, context):
    """Number of the decode segment that holds a sum of contexts."""
    at = 0
    while at + 1 < cost.knot_count and s.tables[cost.knots + at + 1] * batch <= context:
        at += 1
    return at


@kernel
def cell_of(s, axis, count, value, scale):
    """Index of the entry at or before a value, such that there is one behind it."""
    at = 0
    while at + 2 < count and s.tables[axis + at + 1] * scale <= value:
        at += 1
    return at


@kernel
def between(a, b, num, den):
    """The integer at or below the point num / den of the way from a to b, without a large product."""
    slope = (b - a) // den
    return a + slope * num + ((b - a) - slope * den) * num // den


@kernel
def attention_of(s, cost, chunk, past, decodes, context):
    """Time of attention of one chunk beside decoding sequences [ps]."""
    t = s.tables
    scale = max(decodes, 1)
    context = max(context, t[cost.context_axis] * scale)
    chunk = max(chunk, t[cost.chunk_axis])
    i = cell_of(s, cost.chunk_axis, cost.chunk_count, chunk, 1)
    j = cell_of(s, cost.past_axis, cost.past_count, past, 1)
    k = cell_of(s, cost.sequence_axis, cost.sequence_count, decodes, 1)
    m = cell_of(s, cost.context_axis, cost.context_count, context, scale)
    context_num = context - t[cost.context_axis + m] * scale
    context_den = (t[cost.context_axis + m + 1] - t[cost.context_axis + m]) * scale
    decodes_num = decodes - t[cost.sequence_axis + k]
    decodes_den = t[cost.sequence_axis + k + 1] - t[cost.sequence_axis + k]
    past_num = past - t[cost.past_axis + j]
    past_den = t[cost.past_axis + j + 1] - t[cost.past_axis + j]
    ends_of_chunk = 0
    for di in range(2):
        ends_of_past = 0
        for dj in range(2):
            at = (((i + di) * cost.past_count + j + dj) * cost.sequence_count + k) * cost.context_count + m
            at += cost.grid
            few = between(t[at], t[at + 1], context_num, context_den)
            at += cost.context_count
            many = between(t[at], t[at + 1], context_num, context_den)
            value = between(few, many, decodes_num, decodes_den)
            if dj == 0:
                ends_of_past = value
            else:
                value = between(ends_of_past, value, past_num, past_den)
        if di == 0:
            ends_of_chunk = value
        else:
            chunk_num = chunk - t[cost.chunk_axis + i]
            chunk_den = t[cost.chunk_axis + i + 1] - t[cost.chunk_axis + i]
            value = between(ends_of_chunk, value, chunk_num, chunk_den)
    return value
