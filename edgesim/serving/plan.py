"""Plans: what the kernel's next steps of a batch cost, and how far they reach in closed form.

While nobody joins or leaves, each decode adds one token to its context, so step time and energy are affine in the
step's number and k steps are an arithmetic series. A plan ends where that stops: at the next completion, when KV
blocks run out, where time or energy change their binding branch, where a context outgrows a sliding window.
"""

from __future__ import annotations

import math

from edgesim.arena.calendar import push
from edgesim.arena.compile import kernel
from edgesim.arena.rows import (
    BOUNDARY,
    C_COMPUTE,
    C_MEMORY,
    COST_COLUMNS,
    E_BOUNDARY,
    E_COMPUTE,
    E_MEMORY,
    FULL_SPEED,
    MIXED_FEATURES,
    T_COMPUTE,
    T_MEMORY,
    TRAFFIC,
    WORK,
)
from edgesim.serving.measured import segment_of
from edgesim.serving.prefix import take

SHORT = 1 << 38
"""A quarter of a second [ps]; up to 30 kW for so long are counted to the picosecond."""


@kernel
def series(first, slope, k):
    """Sum of k terms first, first + slope, ..."""
    return k * first + slope * (k * (k - 1) // 2)


@kernel
def floor_series(n, m, a, b):
    """Sum of (a * i + b) // m over i = 0 .. n-1, for a, b >= 0."""
    total = 0
    while True:
        total += n * (n - 1) // 2 * (a // m) + n * (b // m)
        a %= m
        b %= m
        top = a * n + b
        if top < m:
            return total
        n = top // m
        b = top % m
        a, m = m, a


@kernel
def energy_of(ps, mw):
    """Energy of so much power for so long [nJ]; of a long time in whole nanoseconds, so that 63 bits are enough."""
    if ps < SHORT:
        return ps * mw // 1_000_000
    return ps // 1000 * mw // 1000


@kernel
def slowed_energy(energy, time, slow_time, base_mw, saved_mw):
    """Energy coefficient at another speed: the base power there for the longer time."""
    return max(0, energy - energy_of(time, base_mw)) + energy_of(slow_time, base_mw - saved_mw)


@kernel
def steps_while(value, slope):
    """Number of steps j = 0, 1, ... for which value + j * slope keeps the sign class (>= 0 or < 0) of value."""
    if value >= 0:
        return 1 << 60 if slope >= 0 else value // -slope + 1
    return 1 << 60 if slope <= 0 else (-value + slope - 1) // slope


@kernel
def elapsed(replica, j):
    """Time from a plan's start to its j-th boundary."""
    return series(replica.plan_base, replica.plan_slope, j)


@kernel
def steps_before(replica, span):
    """Number of a plan's boundaries that lie strictly before `span` after its start."""
    if span <= 0:
        return 0
    base = replica.plan_base
    slope = replica.plan_slope
    if slope == 0:
        j = (span - 1) // base
    else:
        half = float(slope) * 0.5
        b = float(base) - half
        j = int((math.sqrt(b * b + 4.0 * half * float(span)) - b) / (2.0 * half))
        j = max(j, 0)
        while elapsed(replica, j) >= span:
            j -= 1
        while elapsed(replica, j + 1) < span:
            j += 1
    return min(j, replica.plan_steps)


@kernel
def reach(s, r):
    """The boundaries of this instant have come to a replica; a call from one that comes later takes none back."""
    control = s.control[0]
    if control.reached_at != control.now or control.reached < r:
        control.reached_at = control.now
        control.reached = r


@kernel
def due(s, r):
    """Earliest time at which a boundary of a replica may still come: now, unless its turn at this instant is past.

    Boundaries of an instant come in the order of the replicas, also those that a plan runs through.
    """
    control = s.control[0]
    return control.now + int(control.reached_at == control.now and r <= control.reached)


@kernel
def steps_past(s, r):
    """Number of a plan's boundaries that are past."""
    replica = s.replicas[r]
    return steps_before(replica, due(s, r) - replica.plan_start)


@kernel
def blocks_wanted(s, replica, first, last):
    """KV blocks that steps first .. last of a plan take (step 0's are taken at its start)."""
    size = replica.block_size
    n = last - first + 1
    if n <= 0 or s.costs[replica.cost].kv == 0:
        return 0
    cycles = n // size
    total = cycles * replica.decoding
    residue = (-(replica.counter + first)) % size
    for _ in range(n - cycles * size):
        total += s.residues[replica.residues + residue]
        residue = residue - 1 if residue > 0 else size - 1
    return total


@kernel
def reach_of_blocks(s, replica, k):
    """How many of k steps the free blocks allow."""
    if s.costs[replica.cost].kv == 0 or replica.free_blocks >= replica.decoding * (
        (k - 1) // replica.block_size + 1
    ):
        return k
    left = replica.free_blocks
    residue = (-(replica.counter + 1)) % replica.block_size
    for j in range(1, k):
        left -= s.residues[replica.residues + residue]
        if left < 0:
            return j
        residue = residue - 1 if residue > 0 else replica.block_size - 1
    return k


@kernel
def window_state(s, replica, window):
    """Sum of windowed contexts, sequences still inside their window, and steps until the first outgrows it."""
    total = 0
    inside = 0
    reach = 1 << 60
    for i in range(replica.decoding):
        context = replica.counter + s.legs[s.running[replica.slots + i].leg].offset
        total += min(context + 1, window)
        if context + 1 < window:
            inside += 1
            reach = min(reach, window - context)
    return total, inside, reach


@kernel
def plan_decode(s, r, k):
    """Plan at most k steps of the decoding batch."""
    replica = s.replicas[r]
    cost = s.costs[replica.cost]
    batch = replica.decoding
    context = replica.context + batch
    windowed = 0
    inside = 0
    if cost.window > 0:
        windowed, inside, reach = window_state(s, replica, cost.window)
        k = min(k, reach)
    row = cost.decode + batch * COST_COLUMNS
    coefficients = cost.decode + (cost.max_seqs + 1) * COST_COLUMNS
    if cost.knot_count > 0:
        at = segment_of(s, cost, batch, context)
        row = cost.decode + 2 * (batch * cost.knot_count + at) * COST_COLUMNS
        coefficients = row + COST_COLUMNS
        if at + 1 < cost.knot_count:
            k = min(k, s.tables[cost.knots + at + 1] - context // batch)
    fast = nominal(replica)
    time0, time_slope = affine(
        s, row, coefficients, T_COMPUTE, context, windowed, batch, inside, replica, cost, fast
    )
    time1, slope1 = affine(
        s, row, coefficients, T_MEMORY, context, windowed, batch, inside, replica, cost, fast
    )
    k = min(k, steps_while(time0 - time1, time_slope - slope1))
    branch = 0
    if time0 < time1:
        branch = 1
        time0 = time1
        time_slope = slope1
    nj, nj_slope = affine(
        s, row, coefficients, E_COMPUTE + branch, context, windowed, batch, inside, replica, cost, fast
    )
    cap, cap_slope = affine(
        s, row, coefficients, C_COMPUTE + branch, context, windowed, batch, inside, replica, cost, fast
    )
    k = min(k, steps_while(cap - nj, cap_slope - nj_slope))
    if cap < nj:
        nj = cap
        nj_slope = cap_slope
    work, work_slope = affine(
        s, row, coefficients, WORK, context, windowed, batch, inside, replica, cost, fast
    )
    kib, kib_slope = affine(
        s, row, coefficients, TRAFFIC, context, windowed, batch, inside, replica, cost, fast
    )
    replica.plan_mixed = 0
    replica.plan_tokens = batch
    replica.plan_base = time0
    replica.plan_slope = time_slope
    replica.plan_nj = nj
    replica.plan_nj_slope = nj_slope
    replica.plan_below = inside
    replica.plan_mflop = float(work)
    replica.plan_mflop_slope = float(work_slope)
    replica.plan_kib = float(kib)
    replica.plan_kib_slope = float(kib_slope)
    start_plan(s, r, reach_of_blocks(s, replica, k))


@kernel
def nominal(replica):
    """Does a replica run as its tables say?"""
    return replica.speed == FULL_SPEED and replica.saved_mw == 0


@kernel
def affine(s, row, coefficients, column, context, windowed, batch, inside, replica, cost, fast):
    """First value and slope per step of one cost column over a decoding batch."""
    first = s.tables[row + column]
    per_context = s.tables[coefficients + column]
    per_window = s.tables[coefficients + COST_COLUMNS + column]
    if not fast:
        first = at_speed(s, row, column, replica, cost)
        per_context = at_speed(s, coefficients, column, replica, cost)
        per_window = at_speed(s, coefficients + COST_COLUMNS, column, replica, cost)
    return first + per_context * context + per_window * windowed, per_context * batch + per_window * inside


@kernel
def at_speed(s, base, column, replica, cost):
    """A cell of a row of eight cost columns at another speed."""
    value = s.tables[base + column]
    speed = replica.speed
    if column in (T_COMPUTE, T_MEMORY, C_COMPUTE, C_MEMORY):
        return value * FULL_SPEED // speed
    if column in (E_COMPUTE, E_MEMORY):
        time = s.tables[base + column - E_COMPUTE]
        return slowed_energy(value, time, time * FULL_SPEED // speed, cost.base_mw, replica.saved_mw)
    return value


@kernel
def mixed_value(s, row, coefficients, column, features, replica, cost, fast):
    """One cost column of a step that holds prefill chunks."""
    context, pairs, read, window_context, window_pairs, window_read, sampled, images = features
    at = coefficients + column
    if fast:
        total = (
            s.tables[row + column]
            + s.tables[at] * context
            + s.tables[at + COST_COLUMNS] * pairs
            + s.tables[at + 2 * COST_COLUMNS] * read
            + s.tables[at + 6 * COST_COLUMNS] * sampled
        )
        if cost.window > 0:
            total += (
                s.tables[at + 3 * COST_COLUMNS] * window_context
                + s.tables[at + 4 * COST_COLUMNS] * window_pairs
                + s.tables[at + 5 * COST_COLUMNS] * window_read
            )
        if images > 0:
            total += s.tables[at + 7 * COST_COLUMNS] * images
        return total
    total = at_speed(s, row, column, replica, cost)
    for i in range(MIXED_FEATURES):
        total += at_speed(s, coefficients + i * COST_COLUMNS, column, replica, cost) * features[i]
    return total


@kernel
def plan_mixed(s, r, tokens, features, extra, attention):
    """Plan one step with prefill chunks or swaps.

    `extra` is the time of the swaps; `attention`, where costs are measured, that of attention.
    """
    replica = s.replicas[r]
    cost = s.costs[replica.cost]
    row = cost.mixed + tokens * COST_COLUMNS
    coefficients = cost.mixed + (cost.max_tokens + 1) * COST_COLUMNS
    fast = nominal(replica)
    ps = mixed_value(s, row, coefficients, T_COMPUTE, features, replica, cost, fast)
    other = mixed_value(s, row, coefficients, T_MEMORY, features, replica, cost, fast)
    branch = 0
    if ps < other:
        branch = 1
        ps = other
    nj = mixed_value(s, row, coefficients, E_COMPUTE + branch, features, replica, cost, fast)
    cap = mixed_value(s, row, coefficients, C_COMPUTE + branch, features, replica, cost, fast)
    if cost.knot_count > 0:
        sampled, images = features[6], features[7]
        time = (
            s.tables[cost.linear + tokens] + s.tables[cost.head + sampled] + images * cost.image + attention
        )
        ps = max(ps, time * FULL_SPEED // replica.speed)
        nj = mixed_value(s, row, coefficients, E_COMPUTE, features, replica, cost, True)
        nj += energy_of(ps, cost.base_mw - replica.saved_mw)
        cap = ps // 1000 * cost.cap_mw // 1000
    replica.plan_mixed = 1
    replica.plan_tokens = tokens
    replica.plan_base = ps + extra
    replica.plan_slope = 0
    replica.plan_nj = min(nj, cap) + energy_of(extra, cost.base_mw - replica.saved_mw)
    replica.plan_nj_slope = 0
    replica.plan_below = 0
    replica.plan_mflop = float(mixed_value(s, row, coefficients, WORK, features, replica, cost, fast))
    replica.plan_mflop_slope = 0.0
    replica.plan_kib = float(mixed_value(s, row, coefficients, TRAFFIC, features, replica, cost, fast))
    replica.plan_kib_slope = 0.0
    start_plan(s, r, 1)


@kernel
def start_plan(s, r, steps):
    """Let the planned steps begin now."""
    replica = s.replicas[r]
    replica.planned = 1
    replica.plan_start = s.control[0].now
    replica.plan_steps = steps
    enter_boundary(s, r)


@kernel
def enter_boundary(s, r):
    """Put the plan's last boundary into the calendar; an earlier entry is void."""
    replica = s.replicas[r]
    replica.epoch += 1
    replica.boundary = replica.plan_start + elapsed(replica, replica.plan_steps)
    push(s, replica.boundary, BOUNDARY, r, E_BOUNDARY, r, replica.epoch)


@kernel
def cut(s, r):
    """End the plan at its first boundary that is not yet past."""
    cut_at(s, r, due(s, r))


@kernel
def cut_at(s, r, when):
    """End the plan at its first boundary at or after a time."""
    replica = s.replicas[r]
    if replica.planned == 0 or replica.plan_steps <= 1:
        return
    steps = steps_before(replica, when - replica.plan_start) + 1
    if steps < replica.plan_steps:
        replica.plan_steps = steps
        enter_boundary(s, r)


@kernel
def note_steps(s, r):
    """A row that tells steps of a replica which are booked now, filled with what they hold; the caller keeps room."""
    control = s.control[0]
    replica = s.replicas[r]
    row = s.booked[control.booked]
    control.booked += 1
    row.replica = r
    row.tokens = replica.plan_tokens
    row.decodes = replica.decoding
    return row


@kernel
def book(s, r, k):
    """Share the time and energy of the plan's next k steps among their tokens, and advance the batch."""
    replica = s.replicas[r]
    tokens = replica.plan_tokens
    span = series(replica.plan_base, replica.plan_slope, k)
    if s.control[0].keep_steps:
        row = note_steps(s, r)
        row.start = replica.plan_start
        row.base = replica.plan_base
        row.slope = replica.plan_slope
        row.count = k
        row.nj = replica.plan_nj
        row.nj_slope = replica.plan_nj_slope
        row.whole = 1
    if replica.plan_below == 0:
        each_nj = series(replica.plan_nj // tokens, replica.plan_nj_slope // tokens, k)
        each_ps = series(replica.plan_base // tokens, replica.plan_slope // tokens, k)
    else:
        each_nj = floor_series(k, tokens, replica.plan_nj_slope, replica.plan_nj)
        each_ps = floor_series(k, tokens, replica.plan_slope, replica.plan_base)
    replica.cum_nj += each_nj
    replica.cum_share += each_ps
    replica.compute_nj += each_nj * tokens
    replica.unattributed_ps += span - each_ps * tokens
    replica.busy_ps += span
    replica.steps += k
    replica.tokens += k * tokens
    replica.mflop += k * replica.plan_mflop + replica.plan_mflop_slope * float(k * (k - 1) // 2)
    replica.kib += k * replica.plan_kib + replica.plan_kib_slope * float(k * (k - 1) // 2)


@kernel
def advance(s, r, k):
    """Every decode of the batch has k more tokens."""
    replica = s.replicas[r]
    replica.counter += k
    replica.context += k * replica.decoding
    replica.progress += k * replica.decoding


@kernel
def drawn(s, r):
    """Energy of a replica's steps [nJ] and their time [ps] so far; of the one in progress the part that has passed."""
    replica = s.replicas[r]
    if replica.planned == 0:
        return replica.compute_nj, replica.busy_ps
    tokens = replica.plan_tokens
    span = s.control[0].now - replica.plan_start
    done = steps_before(replica, span)
    if replica.plan_below == 0:
        each_nj = series(replica.plan_nj // tokens, replica.plan_nj_slope // tokens, done)
    else:
        each_nj = floor_series(done, tokens, replica.plan_nj_slope, replica.plan_nj)
    duration = replica.plan_base + replica.plan_slope * done
    part = float(span - elapsed(replica, done)) / float(duration)
    each_nj += int(math.floor(float((replica.plan_nj + replica.plan_nj_slope * done) // tokens) * part))
    return replica.compute_nj + each_nj * tokens, replica.busy_ps + span


@kernel
def book_part(s, r):
    """Account for a plan up to now: whole steps in full, the one in progress as waste. No step runs afterwards."""
    replica = s.replicas[r]
    if replica.planned == 0:
        return
    now = s.control[0].now
    done = steps_past(s, r)
    if replica.plan_mixed == 0:
        take(s, r, blocks_wanted(s, replica, 1, done))
        use = replica.total_blocks - replica.free_blocks
        replica.peak_blocks = max(replica.peak_blocks, use)
    if done > 0:
        book(s, r, done)
        advance(s, r, done)
    span = now - replica.plan_start - elapsed(replica, done)
    duration = replica.plan_base + replica.plan_slope * done
    tokens = replica.plan_tokens
    part = float(span) / float(duration)
    each_nj = int(math.floor(float((replica.plan_nj + replica.plan_nj_slope * done) // tokens) * part))
    each_ps = span // tokens
    replica.cum_nj += each_nj
    replica.cum_share += each_ps
    replica.busy_ps += span
    replica.compute_nj += each_nj * tokens
    replica.wasted_nj += each_nj * tokens
    replica.unattributed_ps += span - each_ps * tokens
    if s.control[0].keep_steps and span > 0:
        row = note_steps(s, r)
        row.start = now - span
        row.base = span
        row.slope = 0
        row.count = 1
        row.nj = each_nj * tokens
        row.nj_slope = 0
        row.whole = 0
    replica.mflop += (replica.plan_mflop + replica.plan_mflop_slope * float(done)) * part
    replica.kib += (replica.plan_kib + replica.plan_kib_slope * float(done)) * part
    replica.planned = 0
    replica.epoch += 1
