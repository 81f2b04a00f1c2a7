"""Harsher random systems: full KV memory, swaps, and a clock on which everything meets at the same instants."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np

from edgesim.arena import rows

MS = 10**9


def harsher(calm: Any, seed: int) -> Any:
    """The random system of a seed with memory for little more than its longest request, and round times."""
    system, arrivals, story = calm(seed)
    random = np.random.default_rng(seed + 10**6)
    n = len(arrivals)
    arrivals["at"] = np.sort(random.integers(0, 1 + n // 2, n)) * MS * int(random.integers(0, 6))
    arrivals["prompt"] = random.integers(1, 9, n)
    arrivals["output"] = random.integers(1, int(random.integers(4, 40)), n)
    arrivals["images"] = 0
    if random.random() < 0.5:
        arrivals["patience"] = random.integers(0, 9, n) * 15 * MS
    longest = int((arrivals["prompt"] + arrivals["output"]).max())
    for replica in system.replicas:
        replica["total_blocks"] = -(-longest // int(replica["block_size"])) + int(random.integers(0, 3))
        replica["watermark"] = int(random.integers(0, 2))
        replica["swaps"], replica["swap_blocks"] = int(random.random() < 0.6), int(random.integers(1, 12))
        replica["encoder"] = 0
        if random.random() < 0.7:
            replica["speed"] = 1000
    at_home = random.random(len(system.candidates)) < 0.6
    for name in ("up_hops", "down_hops", "up_latency", "down_latency"):
        system.candidates[name][at_home] = 0
    for cost in system.costs:
        for table in (cost.decode_table, cost.mixed_table, cost.decode_coef, cost.mixed_coef):
            table[:, :2] = np.minimum(-(-table[:, :2] // MS), 4) * MS
        for table in (cost.decode_coef, cost.mixed_coef):
            table[:, :2] *= random.random((len(table), 2)) < 0.3
    system.costs[:] = [replace(cost, kv_block_bytes=1) for cost in system.costs]
    return system, arrivals, story


def crowded(calm: Any, seed: int) -> Any:
    """The random system of a seed with one accelerator for all, impatient clients and replicas that crash."""
    system, arrivals, story = harsher(calm, seed) if seed % 2 else calm(seed)
    random = np.random.default_rng(seed + 10**7)
    system.replicas["accelerator"] = 1
    system.devices = np.zeros(1, rows.DEVICE)
    system.devices["quantum"] = int(random.choice([1, 2, 5, 20])) * MS
    system.devices["switch_ps"] = int(random.integers(0, 9)) * MS
    arrivals["patience"] = random.integers(0, 4, len(arrivals)) * 60 * MS
    story.failures += [(int(random.integers(0, 200)) * MS, r) for r in range(len(system.replicas))]
    story.repairs += [(at + int(random.integers(1, 60)) * MS, r) for at, r in story.failures]
    return system, arrivals, story


@contextmanager
def brewing(random_systems: ModuleType, change: Any = harsher) -> Iterator[None]:
    """Let the random systems of a module be harsher for a while, or changed in another way."""
    calm = random_systems.random_system
    random_systems.random_system = lambda seed: change(calm, seed)
    try:
        yield
    finally:
        random_systems.random_system = calm
