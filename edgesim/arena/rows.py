"""The rows of the arena: one structured type for each noun the engines keep state of.

Times are integer picoseconds, energies integer nanojoules, link rates integer millibytes per second, so that
closed forms and step-by-step loops agree to the bit. Every table is a plain structured numpy array: a snapshot is
a copy, and a compiled function reads ``replica.free_blocks``, never an offset.
"""

from __future__ import annotations

from typing import Final

import numpy as np

PS: Final = 10**12
"""Picoseconds in a second."""

NONE: Final = -1
"""No row: the end of a list, a place that does not exist, a time that has not come."""


def _row(integers: str, floats: str = "") -> np.dtype:
    """A structured type of 64-bit integers, then 64-bit floats, by name."""
    return np.dtype([(n, np.int64) for n in integers.split()] + [(n, np.float64) for n in floats.split()])


ARRIVAL: Final = np.dtype(
    [
        (name, np.int64)
        for name in (
            "at",  # [ps]
            "origin",  # node id
            "workload",  # index in the scenario's order
            "session",
            "turn",
            "prompt",  # [tokens]
            "output",  # [tokens]
            "predicted",  # output length the predictor answers [tokens]
            "images",
            "bytes_up",  # payload of the prompt [B]
            "priority",  # smaller is more urgent
            "deadline",  # after arrival [ps]; 0: none
            "patience",  # for the first token [ps]; 0: endless
            "hashes",  # where the names of its prompt's blocks begin in the pool
            "hash_count",  # how many a trace gives; 0: its prompt is its own
        )
    ]
)
"""One request as a workload asks it, before any decision was taken."""

# Replica states. A replica serves only while it is ON; DRAINING ones finish what they hold.
OFF, STARTING, ON, DRAINING, FAILED = range(5)

# Leg states. A leg is one attempt of one request at one place.
TRANSIT, WAITING, PREFILL, DECODE, SWAPPED, REPLY, DONE = range(7)

# Leg outcomes and kinds: positions in records.OUTCOME and records.LEG_KIND.
COMPLETED, LOST, CANCELLED, REFUSED, UNFINISHED = range(5)
FIRST, RETRY, HEDGE = range(3)

# Request statuses: positions in records.STATUS.
R_COMPLETED, R_REJECTED, R_FAILED, R_ABANDONED, R_UNFINISHED = range(5)

# Calendar classes: the order of what happens at one instant.
ARRIVE, DELIVER, FLOW, TIMER, BOUNDARY = range(5)

# Calendar kinds.
E_ARRIVAL, E_DELIVERY, E_DONE, E_WAKE, E_FLOW_END, E_RETRY, E_PATIENCE, E_SEEN, E_BOUNDARY, E_TRANSFER = (
    range(10)
)
E_DECIDED: Final = 10

# Flow kinds: what a transfer carries.
PROMPT, STREAM, REMAINDER, USER = range(4)

# How flows share a link: max-min fairly, one after the other, or urgent ones first.
FAIR, FIFO, PRIORITY = range(3)

# Columns of a step's cost (see edgesim.costs.step).
T_COMPUTE, T_MEMORY, E_COMPUTE, E_MEMORY, C_COMPUTE, C_MEMORY, WORK, TRAFFIC = range(8)
COST_COLUMNS: Final = 8
DECODE_FEATURES: Final = 2
MIXED_FEATURES: Final = 8

FULL_SPEED: Final = 1000
"""A device's speed is in thousandths of its nominal speed."""

LINK: Final = _row(
    # capacity and what is allotted of it [mB/s]; intrusive lists of flows and of reply streams
    "capacity allotted flows streams flow_count stream_count throttled"
    # the time of the earliest flow end that a wake-up covers; scratch of the solver
    " wake residual active mark full settled_at"
    # how flows share it, and what they could take of it together [mB/s]
    " sharing wanted",
    # bytes carried, and bytes that would have filled it
    "carried",
)

FLOW_ROW: Final = _row(
    # path in the pool of paths, propagation after the last byte, rate and demand [mB/s] (demand 0: elastic)
    "kind owner key path hops latency rate demand since finish epoch direct home mark frozen choked fresh"
    " used next_free"
    # its place in the lines of ordered links, and scratch of their solver
    " began priority given turn",
    # bytes still to send, bytes at the start
    "remaining total",
)

HOP: Final = _row("next prev")
"""Membership of a flow in a link's list: row = flow * longest path + position on the path."""

CANDIDATE: Final = _row(
    "replica up up_hops up_latency up_narrow up_overhead up_pj"
    " down down_hops down_latency down_narrow down_overhead down_pj",
    "up_egress down_egress",
)
"""A replica as seen from one origin: paths both ways, narrowest capacity [mB/s], overhead [B], energy [pJ/B]."""

WORKLOAD: Final = _row(
    "streams bytes_per_token retries backoff notify llm limited shared hash_tokens carries"
)

COST: Final = _row(
    "decode mixed max_seqs max_tokens stream_rate swap_ps_per_block base_mw window kv image_tokens"
    # measured costs: knots of the decode segments (0: costs are not measured), tables by tokens and by sampled tokens,
    # attention of the smallest chunk
    " knots knot_count linear head image cap_mw smallest"
    # the grid of attention, and the axes of its four dimensions
    " grid chunk_axis past_axis sequence_axis context_axis chunk_count past_count sequence_count context_count"
)
"""Where a step cost's tables lie in the pools, and its scalars."""

REPLICA: Final = _row(
    # what it is
    "node tier llm cost max_num_seqs max_tokens block_size total_blocks watermark swaps swap_blocks context_limit"
    " slots residues start_ps encoder caching cache_order accelerator"
    # how it is
    " state speed saved_mw free_blocks free_swap waiting transit running decoding swapped partial counter context"
    " ghosts wait_head wait_tail run_head run_tail swap_head swap_tail assigned progress"
    " cached idle idlings cache_clock made hit_tokens in_line next_in_line"
    # its plan: steps of the batch that runs, each `base + slope * j` long
    " planned plan_start plan_steps plan_base plan_slope plan_mixed plan_tokens plan_extra boundary epoch stormed"
    " plan_nj plan_nj_slope plan_below"
    # what it did
    " cum_nj cum_share busy_ps steps tokens compute_nj unattributed_ps wasted_nj peak_blocks preemptions served"
    # the scheduler's answer that stands: has the batch changed since, for how many steps and until when it holds, the
    # time of swaps since it was asked
    " changed steps_left until swaps_ps switches",
    # mflop and kib of the plan (first step, slope), totals, price and carbon, score of what it answers
    "plan_mflop plan_mflop_slope plan_kib plan_kib_slope mflop kib usd_per_ps usd_per_nj gram_per_nj quality",
)

ALONE: Final = 0
"""The accelerator of a replica that shares none; shared ones are numbered from 1."""

DEVICE: Final = _row("quantum switch_ps loaded holder first last since")
"""An accelerator that replicas share: who is loaded, who has it since when, and the line of those who wait."""

LEG: Final = _row(
    # A line of eight fields is a cache line, and what is used together stands together.
    # where it is
    "request replica candidate state next prev flow sequence"
    # its prompt and progress
    " rank prompt output target prefilled chunk generated cancelled"
    # its place in the batch, and what the batch counted when it joined
    " offset finish nj0 share0 compute_nj share_ps blocks since"
    # times
    " dispatched delivered first_scheduled first_token number kind sibling used"
    # phases
    " uplink queue prefill decode stall downlink preemptions swap_blocks"
    # the rest
    " predicted images bytes_up bytes_down network_nj granted next_free held"
    # what the prefix cache lends it, the last node of it
    " covered cached node"
    # steps that a scheduler forms: does it hold blocks without a part in the step, has it a part in the next one
    " paused part spare4 spare5 spare6",
)

REQUEST: Final = _row(
    # what was asked
    "request workload session turn origin prompt output predicted"
    " images bytes_up priority deadline patience arrived since status"
    # its legs
    " reason attempts live legs first_leg used epoch next_free"
    # what came of it
    " first_scheduled first_token_server first_token finished replica hops generated preemptions"
    " decision backoff uplink queue prefill decode stall downlink"
    " sent_up sent_down compute_nj network_nj share_ps hashes hash_count cached"
    # a decision under way: how long it takes (0: none is), its energy, and what it will be
    " deciding deciding_nj chosen chosen_rank",
    "cost_usd carbon_g quality",
)

NODE: Final = _row(
    "key replica link next_use length pinned users hits"
    # what is idle, and who goes first: its rank, then who came first
    " parent children rank entered below prev next created"
    " used next_free"
)
"""Cached blocks of one segment of prompts, so many of them pinned; `link` chains a bucket, `below`, `prev` and `next`
are its neighbours in the heap of `serving/idle.py`."""

SLOT: Final = _row("finish sequence leg")
"""A place in a replica's heap of decoding legs, the first to finish on top."""

BOOKED: Final = _row("replica start base slope count tokens decodes nj nj_slope whole")
"""Steps of a replica that were booked together: so many, `base + slope * j` long, and what each of them held."""

EVENT: Final = _row("when order kind arg epoch")

CONTROL: Final = _row(
    "now horizon end limit stop stop_arg arrivals arrival_next exhausted requests legs sequence transfers heap"
    " free_request free_leg free_flow active_requests active_legs active_flows"
    " request_rows leg_rows dirty_count events longest_path ranked router admitter ranker classes"
    " keep_legs scan parameters key submitted max_demand absent notify told batch_limit last"
    " free_node active_nodes node_room caching ordered"
    # do schedulers form steps, and the replica whose next one is to be formed, counted from 1
    " forms forming"
    # what each decision of a compiled router takes, and the energy of all decisions
    " decision_ps decision_nj decided_nj"
    # how far the boundaries of an instant have come, and of which: those of the replicas up to this one are past
    " reached reached_at"
    # are steps told, and how many rows of them are held
    " keep_steps booked"
)
"""The one row of scalars: the clock, the stop, pool heads and counters."""
