"""What is free in a replica's KV cache as of its last step boundary, read from the arena between kernel calls."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray


def free_blocks(tables: Mapping[str, Any], index: int) -> int:
    """KV blocks that are free; the steps of a plan that have passed took theirs, one by one.

    Args:
        tables: The arena's.
        index: Which replica.
    """
    replica = tables["replicas"][index]
    free = int(replica["free_blocks"])
    if not replica["planned"] or replica["plan_mixed"] or not tables["costs"][int(replica["cost"])]["kv"]:
        return free
    first, slope, steps = (int(replica[name]) for name in ("plan_base", "plan_slope", "plan_steps"))

    def ends(step: int) -> int:
        return step * first + slope * (step * (step - 1) // 2)

    done = bisect_left(range(1, steps + 1), int(_due(tables, index)) - int(replica["plan_start"]), key=ends)
    size, counter, offset = (int(replica[name]) for name in ("block_size", "counter", "residues"))
    cycles, rest = divmod(done, size)
    residues = tables["residues"]
    part = sum(int(residues[offset + -(counter + 1 + step) % size]) for step in range(rest))
    return free - cycles * int(replica["decoding"]) - part


def all_free_blocks(tables: Mapping[str, Any]) -> NDArray[np.int64]:
    """What `free_blocks` answers, of all replicas at once."""
    replicas = tables["replicas"]
    free: NDArray[np.int64] = replicas["free_blocks"].copy()
    kv = tables["costs"]["kv"][replicas["cost"]] != 0
    moving = np.flatnonzero((replicas["planned"] != 0) & (replicas["plan_mixed"] == 0) & kv)
    if not len(moving):
        return free
    plan = replicas[moving]
    span = _due(tables, moving) - plan["plan_start"]
    done = _steps_before(plan["plan_base"], plan["plan_slope"], plan["plan_steps"], span)
    cycles, rest = np.divmod(done, plan["block_size"])
    free[moving] -= cycles * plan["decoding"]
    for step in range(int(rest.max())):
        also = np.flatnonzero(rest > step)
        place = -(plan["counter"][also] + 1 + step) % plan["block_size"][also]
        free[moving[also]] -= tables["residues"][plan["residues"][also] + place]
    return free


def _due(tables: Mapping[str, Any], index: Any) -> Any:
    """Earliest time at which boundaries of some replicas may still come, as in the kernel [ps]."""
    control = tables["control"][0]
    return control["now"] + ((control["reached_at"] == control["now"]) & (index <= control["reached"]))


def _steps_before(
    first: NDArray[np.int64], slope: NDArray[np.int64], steps: NDArray[np.int64], span: NDArray[np.int64]
) -> NDArray[np.int64]:
    """How many of so many steps, each longer than the last by the slope, end before a span is over."""
    low, high = np.zeros_like(steps), steps.copy()
    while (low < high).any():
        middle = (low + high + 1) // 2
        before = middle * first + slope * (middle * (middle - 1) // 2) < span
        low, high = np.where(before, middle, low), np.where(before, high, middle - 1)
    return low
