"""What is free in a replica's KV cache as of its last step boundary, read from the arena between kernel calls."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def free_blocks(tables: Mapping[str, Any], index: int, now: int) -> int:
    """KV blocks that are free; the steps of a plan that have passed took theirs, one by one.

    Args:
        tables: The arena's.
        index: Which replica.
        now: Simulated time [ps]; a boundary at this very time has not been reached.
    """
    replica = tables["replicas"][index]
    free = int(replica["free_blocks"])
    if not replica["planned"] or replica["plan_mixed"] or not tables["costs"][int(replica["cost"])]["kv"]:
        return free
    first, slope, steps = (int(replica[name]) for name in ("plan_base", "plan_slope", "plan_steps"))

    def ends(step: int) -> int:
        return step * first + slope * (step * (step - 1) // 2)

    done = bisect_left(range(1, steps + 1), now - int(replica["plan_start"]), key=ends)
    size, counter, offset = (int(replica[name]) for name in ("block_size", "counter", "residues"))
    cycles, rest = divmod(done, size)
    residues = tables["residues"]
    part = sum(int(residues[offset + -(counter + 1 + step) % size]) for step in range(rest))
    return free - cycles * int(replica["decoding"]) - part
