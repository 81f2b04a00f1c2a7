"""Every small mistake in the kernel is noticed: one line of it is replaced, and random systems tell it from its twin."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from runpy import run_path
from typing import NamedTuple

import pytest

import edgesim

CALENDAR = "edgesim.arena.calendar"
LINKS = "edgesim.network.links"
FLOWS = "edgesim.network.flows"
ORDERED = "edgesim.network.ordered"
BATCH = "edgesim.serving.batch"
FORMED = "edgesim.serving.formed"
LEGS = "edgesim.serving.legs"
LOOP = "edgesim.serving.loop"
DEVICE = "edgesim.serving.device"
OPERATIONS = "edgesim.serving.operations"
PLAN = "edgesim.serving.plan"
PREFIX = "edgesim.serving.prefix"
IDLE = "edgesim.serving.idle"


SHARED = (66, 76, 81, 86)
"""Seeds of systems in which replicas share accelerators."""

CROWDS = (21, 5, 10, 16, 1)
"""Seeds of systems in which all share one."""


class Mutant(NamedTuple):
    """A line of the kernel, what stands there instead, and seeds of a kind of story that notice it."""

    mistake: str
    module: str
    line: str
    instead: str
    kind: str
    seeds: tuple[int, ...]


MUTANTS = (
    Mutant(
        "equal times come in any order",
        CALENDAR,
        "return entry.when < when or (entry.when == when and entry.order < order)",
        "return entry.when < when",
        "storm",
        (1,),
    ),
    Mutant(
        "the later child moves up",
        CALENDAR,
        "if child + 1 < size and before(s.heap, child + 1, s.heap[child].when, s.heap[child].order):",
        "if child + 1 < size and not before(s.heap, child + 1, s.heap[child].when, s.heap[child].order):",
        "storm",
        (0,),
    ),
    Mutant(
        "classes weigh nothing within an instant",
        CALENDAR,
        "return (klass << CLASS_SHIFT) + KEY_BIAS + key",
        "return KEY_BIAS + key",
        "storm",
        (0,),
    ),
    Mutant(
        "the last entry is dropped with the first",
        CALENDAR,
        "copy(s.heap, hole, size)",
        "copy(s.heap, hole, hole)",
        "storm",
        (0,),
    ),
    Mutant(
        "a link carries at its new rate before it has it",
        LINKS,
        "row.settled_at = now",
        "row.settled_at = now + 1",
        "system",
        (1,),
    ),
    Mutant(
        "a leaving flow keeps its rate",
        LINKS,
        "load_link(s, link, -flow.rate)",
        "load_link(s, link, 0)",
        "network",
        (0,),
    ),
    Mutant(
        "a finished flow leaves no room to others",
        LINKS,
        "if full and row.flow_count + row.throttled > 0:",
        "if False:",
        "network",
        (1,),
    ),
    Mutant(
        "a level is rounded up",
        FLOWS,
        "level = s.links[best].residual // s.links[best].active",
        "level = s.links[best].residual // s.links[best].active + 1",
        "network",
        (0,),
    ),
    Mutant(
        "a link that a stream fills to the last unit is overlooked",
        FLOWS,
        "if rate == NONE or free < rate:",
        "if rate <= 0 or free < rate:",
        "network",
        (32,),
    ),
    Mutant(
        "bytes sent are counted twice",
        FLOWS,
        "flow.remaining -= float(flow.rate) * float(control.now - flow.since) * PER_RATE",
        "flow.remaining -= 2.0 * float(flow.rate) * float(control.now - flow.since) * PER_RATE",
        "network",
        (1,),
    ),
    Mutant(
        "the youngest finishes first",
        BATCH,
        "return slot.finish < finish or (slot.finish == finish and slot.sequence < sequence)",
        "return slot.finish < finish or (slot.finish == finish and slot.sequence > sequence)",
        "storm",
        (5,),
    ),
    Mutant(
        "the token budget ignores the decodes",
        BATCH,
        "budget = replica.max_tokens - replica.decoding",
        "budget = replica.max_tokens",
        "storm",
        (0,),
    ),
    Mutant(
        "the watermark is kept for nobody",
        BATCH,
        "return replica.free_blocks - need >= (replica.watermark if replica.running > 0 else 0)",
        "return replica.free_blocks - need >= 0",
        "storm",
        (0,),
    ),
    Mutant(
        "the first by rank is preempted",
        BATCH,
        "if s.legs[i].rank > s.legs[worst].rank:",
        "if s.legs[i].rank < s.legs[worst].rank:",
        "storm",
        (5,),
    ),
    Mutant(
        "a preempted leg forgets its tokens",
        BATCH,
        "leg.target = leg.prompt + leg.generated",
        "leg.target = leg.prompt",
        "storm",
        (4,),
    ),
    Mutant(
        "swapping in is free",
        BATCH,
        "return leg.swap_blocks * s.costs[replica.cost].swap_ps_per_block",
        "return 0",
        "storm",
        (6,),
    ),
    Mutant(
        "a prefill in the batch counts itself once more",
        BATCH,
        "pairs += n * done + n * (n + 1) // 2",
        "pairs += n * done + n * (n - 1) // 2",
        "storm",
        (0,),
    ),
    Mutant(
        "swapped legs get only one block back",
        BATCH,
        "replica.free_swap += leg.swap_blocks",
        "replica.free_swap += 1",
        "storm",
        (6,),
    ),
    Mutant(
        "the last token of a long prompt is sampled twice",
        BATCH,
        "sampled += 1 if done + n == leg.target else 0",
        "sampled += 1",
        "storm",
        (0,),
    ),
    Mutant(
        "blocks are rounded down",
        LEGS,
        "return -(-tokens // replica.block_size)",
        "return tokens // replica.block_size",
        "storm",
        (0,),
    ),
    Mutant(
        "a message takes no time", LEGS, "return -(-nbytes * MB_PS // narrowest)", "return 0", "storm", (2,)
    ),
    Mutant(
        "equal ranks overtake",
        LEGS,
        "while after != NONE and s.legs[after].rank > leg.rank:",
        "while after != NONE and s.legs[after].rank >= leg.rank:",
        "storm",
        (0,),
    ),
    Mutant(
        "an arriving leg waits for the whole plan",
        LEGS,
        "elif first and replica.swapped == 0 and replica.running < replica.max_num_seqs:",
        "elif False:",
        "storm",
        (1,),
    ),
    Mutant("hedges are kept after a first token", LEGS, "if other != i:", "if False:", "storm", (0,)),
    Mutant("a cancelled leg remains outstanding", LEGS, "if leg.state != REPLY:", "if False:", "storm", (1,)),
    Mutant(
        "a cancelled upload counts all its bytes",
        LEGS,
        "leg.bytes_up = sent",
        "pass",
        "storm",
        (2,),
    ),
    Mutant(
        "one retry less",
        LEGS,
        "if request.attempts <= workload.retries:",
        "if request.attempts < workload.retries:",
        "storm",
        (1,),
    ),
    Mutant(
        "a reply's remainder is the whole reply",
        LEGS,
        "unsent = float((leg.output - 1) * message) - sent",
        "unsent = float((leg.output - 1) * message)",
        "system",
        (26,),
    ),
    Mutant(
        "token messages are carried by no link",
        LEGS,
        "carry(s, candidate.down, candidate.down_hops, float(leg.bytes_down))",
        "pass",
        "system",
        (2,),
    ),
    Mutant(
        "the first copy to make a token wins",
        LEGS,
        "if when > now and has_rivals(s, request, i):",
        "if False:",
        "system",
        (2,),
    ),
    Mutant(
        "the first leg counts, even if it was cancelled",
        LEGS,
        "while i != NONE and s.legs[i].cancelled:",
        "while False:",
        "storm",
        (305,),
    ),
    Mutant(
        "a retry keeps the first token of the leg that was lost",
        LEGS,
        "request.first_token = NONE",
        "pass",
        "system",
        (1,),
    ),
    Mutant(
        "ends are told to nobody",
        LEGS,
        "control.told += 1",
        "pass",
        "system",
        (1,),
    ),
    Mutant(
        "streams never end",
        FLOWS,
        "if rate > 0:",
        "if rate > 0 and flow.kind != STREAM:",
        "network",
        (0,),
    ),
    Mutant(
        "nobody sees to the ends of streams that were held back",
        FLOWS,
        "here = row.streams if row.throttled > 0 or s.control[0].ordered else NONE",
        "here = NONE",
        "network",
        (1,),
    ),
    Mutant(
        "transfers of processes have no class",
        LOOP,
        "start_flow(s, USER, a, (1 << 50) + control.transfers, b, c, d, float(horizon), 0, s.listed[0])",
        "start_flow(s, USER, a, (1 << 50) + control.transfers, b, c, d, float(horizon), 0, 0)",
        "system",
        (19,),
    ),
    Mutant(
        "every answer is as good as the first replica's",
        LEGS,
        "request.quality = s.replicas[leg.replica].quality",
        "request.quality = s.replicas[0].quality",
        "system",
        (4,),
    ),
    Mutant(
        "patience outlasts a first token",
        LOOP,
        "if request.status >= 0 or 0 <= request.first_token <= control.now:",
        "if request.status >= 0:",
        "storm",
        (1,),
    ),
    Mutant("stale boundaries happen", LOOP, "if s.replicas[arg].epoch == epoch:", "if True:", "storm", (0,)),
    Mutant(
        "a flow's latency is forgotten",
        LOOP,
        "when = s.control[0].now + flow.latency",
        "when = s.control[0].now",
        "storm",
        (7,),
    ),
    Mutant(
        "arrivals come behind what happens at their time",
        LOOP,
        "if at < when or (at == when and s.heap[0].order > order_of(ARRIVE, CHUNK_KEY - 1)):",
        "if at < when:",
        "storm",
        (0,),
    ),
    Mutant(
        "what is queued is not seen by policies",
        LOOP,
        "queued = replica.waiting + replica.swapped + replica.transit",
        "queued = replica.waiting + replica.swapped",
        "storm",
        (0,),
    ),
    Mutant(
        "ghosts are seen in the batch",
        LOOP,
        "running = replica.running - replica.ghosts",
        "running = replica.running",
        "storm",
        (5,),
    ),
    Mutant(
        "the tokens of a plan are not seen while it runs",
        LOOP,
        "tokens -= done * replica.decoding",
        "tokens -= 0",
        "storm",
        (0,),
    ),
    Mutant(
        "the sum of a series misses a term",
        PLAN,
        "return k * first + slope * (k * (k - 1) // 2)",
        "return k * first + slope * ((k - 1) * (k - 2) // 2)",
        "storm",
        (0,),
    ),
    Mutant(
        "a plan outlives its branch",
        PLAN,
        "k = min(k, steps_while(time0 - time1, time_slope - slope1))",
        "pass",
        "system",
        (6,),
    ),
    Mutant(
        "a plan outlives its cap",
        PLAN,
        "k = min(k, steps_while(cap - nj, cap_slope - nj_slope))",
        "pass",
        "system",
        (31,),
    ),
    Mutant(
        "a plan takes blocks that are not there",
        PLAN,
        "start_plan(s, r, reach_of_blocks(s, replica, k))",
        "start_plan(s, r, k)",
        "storm",
        (1,),
    ),
    Mutant(
        "a cut ends one step late",
        PLAN,
        "steps = steps_before(replica, when - replica.plan_start) + 1",
        "steps = steps_before(replica, when - replica.plan_start) + 2",
        "storm",
        (1,),
    ),
    Mutant(
        "a boundary within a plan is never past at its instant",
        PLAN,
        "return control.now + int(control.reached_at == control.now and r <= control.reached)",
        "return control.now",
        "storm",
        (345, 1789),
    ),
    Mutant(
        "boundaries of an earlier instant count for this one",
        PLAN,
        "return control.now + int(control.reached_at == control.now and r <= control.reached)",
        "return control.now + int(r <= control.reached)",
        "storm",
        (0, 3),
    ),
    Mutant(
        "all boundaries of an instant are past with the first",
        PLAN,
        "return control.now + int(control.reached_at == control.now and r <= control.reached)",
        "return control.now + int(control.reached_at == control.now)",
        "storm",
        (39,),
    ),
    Mutant(
        "who is lost at once is sent elsewhere, too",
        LOOP,
        "return SENT if request.used and has_rivals(s, request, NONE) else SENT_AND_LOST",
        "return SENT",
        "crowd",
        (10_418,),
    ),
    Mutant(
        "a reply overtakes its first token once its rivals are lost",
        LEGS,
        "if when < s.control[0].end and alone and told:",
        "if when < s.control[0].end and alone:",
        "crowd",
        (1793,),
    ),
    Mutant(
        "a window is one wider",
        PLAN,
        "total += min(context + 1, window)",
        "total += min(context + 1, window + 1)",
        "storm",
        (1,),
    ),
    Mutant(
        "energy is not capped",
        PLAN,
        "replica.plan_nj = min(nj, cap) + energy_of(extra, cost.base_mw - replica.saved_mw)",
        "replica.plan_nj = nj + energy_of(extra, cost.base_mw - replica.saved_mw)",
        "storm",
        (0,),
    ),
    Mutant(
        "swap time is not booked",
        PLAN,
        "replica.plan_base = ps + extra",
        "replica.plan_base = ps",
        "storm",
        (6,),
    ),
    Mutant(
        "a slow replica is as fast as ever",
        PLAN,
        "return value * FULL_SPEED // speed",
        "return value",
        "storm",
        (0,),
    ),
    Mutant(
        "a slow replica saves base power",
        PLAN,
        "return max(0, energy - energy_of(time, base_mw)) + energy_of(slow_time, base_mw - saved_mw)",
        "return energy",
        "storm",
        (0,),
    ),
    Mutant(
        "base power is the same at every clock",
        PLAN,
        "return max(0, energy - energy_of(time, base_mw)) + energy_of(slow_time, base_mw - saved_mw)",
        "return max(0, energy - energy_of(time, base_mw)) + energy_of(slow_time, base_mw)",
        "system",
        (10, 21, 32),
    ),
    Mutant(
        "a clock that saves power at full speed is overlooked",
        PLAN,
        "return replica.speed == FULL_SPEED and replica.saved_mw == 0",
        "return replica.speed == FULL_SPEED",
        "system",
        (10, 21, 32),
    ),
    Mutant(
        "long times lose their nanoseconds early",
        PLAN,
        "if ps < SHORT:",
        "if ps < SHORT // 1000:",
        "system",
        (9, 14),
    ),
    Mutant(
        "a meter leaves out the step in progress",
        PLAN,
        "part = float(span - elapsed(replica, done)) / float(duration)",
        "part = 0.0",
        "system",
        (10, 21, 32),
    ),
    Mutant(
        "a meter counts a step too many",
        PLAN,
        "done = steps_before(replica, span)",
        "done = min(steps_before(replica, span) + 1, replica.plan_steps)",
        "system",
        (10, 21, 32),
    ),
    Mutant(
        "a meter reads the time of the last booking",
        PLAN,
        "return replica.compute_nj + each_nj * tokens, replica.busy_ps + span",
        "return replica.compute_nj + each_nj * tokens, replica.busy_ps",
        "system",
        (10, 21, 32),
    ),
    Mutant(
        "a change of clock forgets what it saves",
        OPERATIONS,
        "replica.saved_mw = saved_mw",
        "pass",
        "system",
        (10, 21, 32),
    ),
    Mutant(
        "an unfinished step is no waste", PLAN, "replica.wasted_nj += each_nj * tokens", "pass", "storm", (0,)
    ),
    Mutant(
        "a crash's unfinished chunks cost nothing",
        OPERATIONS,
        "leg.compute_nj += (replica.cum_nj - nj) * leg.chunk",
        "leg.compute_nj += 0",
        "storm",
        (0,),
    ),
    Mutant(
        "a crashed replica's blocks stay taken",
        OPERATIONS,
        "replica.free_blocks = replica.total_blocks",
        "replica.free_blocks = replica.free_blocks // 2",
        "storm",
        (0,),
    ),
    Mutant(
        "a slow-down starts the step again",
        OPERATIONS,
        "rest = (ends - now) * replica.speed // speed",
        "rest = (ends - started) * replica.speed // speed",
        "storm",
        (0,),
    ),
    Mutant(
        "a slow-down forgets the energy of the steps before",
        OPERATIONS,
        "replica.plan_nj += replica.plan_nj_slope * done",
        "pass",
        "storm",
        (4,),
    ),
    Mutant("a ghost is reported as lost", OPERATIONS, "if leg.cancelled:", "if False:", "storm", (52,)),
    Mutant(
        "unfinished uploads count all their bytes",
        OPERATIONS,
        "cut_off(s, leg)",
        "pass",
        "storm",
        (0,),
    ),
    Mutant(
        "the time of a decision is lost",
        LEGS,
        "request.decision += control.now - request.since",
        "request.decision += 0",
        "system",
        (3,),
    ),
    Mutant(
        "a decision broken off is paid in full",
        LEGS,
        "book_decision(s, request, int(math.floor(float(request.deciding_nj) * part)))",
        "book_decision(s, request, request.deciding_nj)",
        "system",
        (3,),
    ),
    Mutant(
        "decisions take effect at once",
        LOOP,
        "push(s, now + ps, TIMER, 2 * request.request + 1, E_DECIDED, slot, request.epoch)",
        "push(s, now, TIMER, 2 * request.request + 1, E_DECIDED, slot, request.epoch)",
        "system",
        (3,),
    ),
    Mutant(
        "who leaves while a decision is under way had waited for a retry",
        LOOP,
        "elif not deciding:",
        "else:",
        "system",
        (3,),
    ),
    Mutant(
        "a decision under way at the end counts as waiting, too",
        OPERATIONS,
        "if counts == NONE and not deciding:",
        "if counts == NONE:",
        "system",
        (3,),
    ),
    Mutant(
        "a late decision forgets its rank",
        LOOP,
        "carry_out(s, slot, request.chosen, request.chosen_rank)",
        "carry_out(s, slot, request.chosen, 0)",
        "storm",
        (3,),
    ),
    Mutant(
        "steps of an answer are not counted",
        FORMED,
        "replica.steps_left -= replica.plan_steps",
        "pass",
        "formed",
        (1, 2),
    ),
    Mutant(
        "a scheduler does not hear who has left",
        FORMED,
        "if replica.running != before:",
        "if False:",
        "formed",
        (0,),
    ),
    Mutant(
        "an answer holds at its very end",
        FORMED,
        "return s.control[0].now < replica.until and lacking(s, replica) <= replica.free_blocks",
        "return s.control[0].now <= replica.until and lacking(s, replica) <= replica.free_blocks",
        "formed",
        (42,),
    ),
    Mutant(
        "an answer holds without memory",
        FORMED,
        "return s.control[0].now < replica.until and lacking(s, replica) <= replica.free_blocks",
        "return s.control[0].now < replica.until",
        "formed",
        (2,),
    ),
    Mutant(
        "steps go on past the time of an answer",
        FORMED,
        "cut_at(s, r, replica.until)",
        "pass",
        "formed",
        (2,),
    ),
    Mutant(
        "who shall be swapped out is recomputed",
        FORMED,
        "extra += put_out(s, r, s.listed[at + j], j >= recomputed)",
        "extra += put_out(s, r, s.listed[at + j], False)",
        "formed",
        (1,),
    ),
    Mutant(
        "making room by swaps takes no time",
        FORMED,
        "replica.swaps_ps = extra",
        "pass",
        "formed",
        (7,),
    ),
    Mutant(
        "a step with a preemption goes on",
        FORMED,
        "replica.steps_left = 1  # who was put out or brought back makes it a step of its own",
        "pass",
        "formed",
        (2,),
    ),
    Mutant(
        "who joins the steps joins before others make room",
        FORMED,
        "if leg.part == part and leg.paused == part:",
        "if leg.paused == leg.part:",
        "formed",
        (1,),
    ),
    Mutant(
        "idling lasts a moment longer",
        FORMED,
        "replica.boundary = max(replica.until, s.control[0].now + 1)",
        "replica.boundary = replica.until + 1",
        "formed",
        (2, 4),
    ),
    Mutant(
        "a pause is no stall",
        LEGS,
        "if leg.paused:",
        "if False:",
        "formed",
        (0,),
    ),
    Mutant(
        "a scheduler does not hear who has come",
        LEGS,
        "s.replicas[r].changed = 1",
        "pass",
        "formed",
        (0,),
    ),
    Mutant(
        "an idle scheduler does not hear who has left",
        LEGS,
        "call_boundary(s, leg.replica)",
        "pass",
        "formed",
        (1, 7),
    ),
    Mutant(
        "steps before a change of speed are not counted",
        OPERATIONS,
        "replica.steps_left -= done",
        "pass",
        "formed",
        (39,),
    ),
    Mutant(
        "a turn never ends",
        DEVICE,
        "if device.first == NONE or now - device.since < device.quantum:",
        "if device.first == NONE or now - device.since < 10**15:",
        "system",
        (66,),
    ),
    Mutant(
        "who is cancelled in line stays in the batch",
        LEGS,
        "if replica.planned == 0:",
        "if s.control[0].forms and replica.planned == 0:",
        "crowd",
        (9, 6),
    ),
    Mutant(
        "formed steps do not wait for their turn",
        FORMED,
        "if replica.accelerator != ALONE and not may_run(s, r):",
        "if False:",
        "formed crowd",
        (1,),
    ),
    Mutant(
        "a switch before formed steps takes no time",
        FORMED,
        "extra += load(s, r)",
        "load(s, r)",
        "formed crowd",
        (0,),
    ),
    Mutant(
        "who forms no step keeps the accelerator",
        FORMED,
        "leave(s, r)",
        "pass",
        "formed crowd",
        (0,),
    ),
    Mutant(
        "formed steps let nobody in",
        FORMED,
        "keep_turn(s, r)",
        "pass",
        "formed crowd",
        (6, 9),
    ),
    Mutant(
        "an answer holds although its requests were cancelled in line",
        FORMED,
        "if replica.ghosts > 0:",
        "if replica.ghosts > 0 and replica.in_line == 0:",
        "formed crowd",
        (186,),
    ),
    Mutant(
        "a turn ends a picosecond late",
        DEVICE,
        "if device.first == NONE or now - device.since < device.quantum:",
        "if device.first == NONE or now - device.since <= device.quantum:",
        "crowd",
        CROWDS,
    ),
    Mutant(
        "a running plan is not cut for who waits",
        DEVICE,
        "cut_at(s, device.holder, max(device.since + device.quantum, due(s, device.holder)))",
        "pass",
        "crowd",
        CROWDS,
    ),
    Mutant(
        "a new plan is not cut for who waits",
        DEVICE,
        "cut_at(s, r, device.since + device.quantum)",
        "pass",
        "crowd",
        CROWDS,
    ),
    Mutant(
        "switching is free",
        DEVICE,
        "return device.switch_ps",
        "return 0",
        "system",
        SHARED,
    ),
    Mutant(
        "who leaves takes the line along",
        DEVICE,
        "device.last = before",
        "pass",
        "crowd",
        CROWDS,
    ),
    Mutant(
        "who leaves the middle leaves all behind it",
        DEVICE,
        "s.replicas[before].next_in_line = replica.next_in_line",
        "s.replicas[before].next_in_line = NONE",
        "crowd",
        (41,),
    ),
    Mutant(
        "a turn begins when the last one did",
        DEVICE,
        "device.since = s.control[0].now",
        "pass",
        "system",
        (66,),
    ),
    Mutant(
        "a crash keeps the accelerator",
        OPERATIONS,
        "leave(s, r)",
        "pass",
        "crowd",
        CROWDS,
    ),
    Mutant(
        "cancelled legs stay while their replica stands in line",
        BATCH,
        "if replica.ghosts > 0:  # of those that were cancelled while it stood in line",
        "if False:",
        "crowd",
        CROWDS,
    ),
    Mutant(
        "what follows the part of a prefix in use is pinned with it",
        PREFIX,
        "blocks = min(node.length, end - hit, most - hit)",
        "blocks = min(node.length, end - hit)",
        "storm",
        (6, 22),
    ),
    Mutant(
        "a shorter part of a prefix lets go of a longer one",
        PREFIX,
        "if blocks > node.pinned:",
        "if blocks != node.pinned:",
        "storm",
        (74,),
    ),
    Mutant(
        "a prefix that nobody uses any more stays pinned",
        PREFIX,
        "replica.cached += node.pinned",
        "pass",
        "storm",
        (6, 30),
    ),
    Mutant(
        "blocks are forgotten before those that continue them",
        IDLE,
        "parent.children += 1",
        "parent.children += 0",
        "system",
        (134,),
    ),
    Mutant(
        "of prefixes of equal rank the last is forgotten first",
        IDLE,
        "if second.rank < first.rank or (second.rank == first.rank and second.entered < first.entered):",
        "if second.rank < first.rank or (second.rank == first.rank and second.entered > first.entered):",
        "storm",
        (30, 82),
    ),
    Mutant(
        "prefixes of high rank are forgotten first",
        IDLE,
        "if second.rank < first.rank or (second.rank == first.rank and second.entered < first.entered):",
        "if second.rank > first.rank or (second.rank == first.rank and second.entered < first.entered):",
        "storm",
        (46, 82),
    ),
    Mutant(
        "who was made first is idle first",
        IDLE,
        "node.entered = replica.idlings",
        "node.entered = node.created",
        "storm",
        (30, 82),
    ),
    Mutant(
        "what is computed by two is kept twice",
        PREFIX,
        "pin(s, r, leg.node, leg.covered + there - start)",
        "pass",
        "system",
        (30, 74),
    ),
    Mutant(
        "steps that are told hold everybody who runs",
        PLAN,
        "row.decodes = replica.decoding",
        "row.decodes = replica.running",
        "storm",
        (0, 1),
    ),
    Mutant(
        "the part of a step that breaks off is told at its end",
        PLAN,
        "row.start = now - span",
        "row.start = now",
        "storm",
        (0, 1),
    ),
    Mutant(
        "steps that are told draw what the first one draws",
        PLAN,
        "row.nj_slope = replica.plan_nj_slope",
        "row.nj_slope = 0",
        "storm",
        (0, 1),
    ),
    Mutant(
        "of steps that are booked together one is told",
        PLAN,
        "row.count = k",
        "row.count = 1",
        "storm",
        (0, 1),
    ),
)

MUTANTS += tuple(
    Mutant(*row) for row in run_path(str(Path(__file__).parents[1] / "network" / "mutants.py"))["MUTANTS"]
)
GROUP = 9
SCRIPT = Path(__file__).with_name("mutated.py")


def operate(patients: list[dict[str, object]]) -> list[list[str]]:
    """What tells each mutated kernel from its twin, in a process of its own where the kernel is plain Python."""
    told = subprocess.run(
        [sys.executable, str(SCRIPT)],
        input=json.dumps(patients),
        env={**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(Path(edgesim.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    answer: list[list[str]] = json.loads(told.stdout)
    return answer


@pytest.mark.parametrize("first", range(0, len(MUTANTS), GROUP))
def test_mutants_are_caught(first: int) -> None:
    """A kernel with one wrong line differs from the twin on a story known to notice; survivors are named."""
    group = MUTANTS[first : first + GROUP]
    answers = operate(
        [
            {
                "module": m.module,
                "line": m.line,
                "instead": m.instead,
                "seeds": [(m.kind, seed) for seed in m.seeds],
            }
            for m in group
        ]
    )
    assert [m.mistake for m, told in zip(group, answers, strict=True) if not told] == []


def test_the_kernel_itself_passes() -> None:
    """The same stories, in the same harness, find nothing wrong with the kernel as it is."""
    seeds = sorted({(m.kind, seed) for m in MUTANTS for seed in m.seeds})
    assert operate([{"seeds": seeds}]) == [[]]


def test_there_are_many_mutants_of_every_part() -> None:
    """At least twenty, none of them twice, and some in each file of the kernel."""
    assert len({(m.module, m.line, m.instead) for m in MUTANTS}) == len(MUTANTS) >= 20
    parts = [
        CALENDAR,
        LINKS,
        FLOWS,
        ORDERED,
        BATCH,
        FORMED,
        DEVICE,
        LEGS,
        LOOP,
        OPERATIONS,
        PLAN,
        PREFIX,
        IDLE,
    ]
    assert min(sum(m.module == part for m in MUTANTS) for part in parts) >= 3


def test_a_line_that_is_gone_is_noticed() -> None:
    """A mutant whose line the kernel no longer has, or has twice, is an error, not a pass."""
    with pytest.raises(AssertionError, match="0 times; a mutant needs it once"):
        operate([{"module": PLAN, "line": "no such line", "instead": "pass", "seeds": [("storm", 0)]}])
