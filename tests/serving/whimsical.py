"""Steps by the throw of a die: everything that a scheduler may answer occurs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import numpy as np

from edgesim.policies import Plan, Scheduler


@contextmanager
def forgetting(random_systems: ModuleType) -> Iterator[None]:
    """Let no replica of a module's random systems keep prefixes for a while."""
    remembering = random_systems.random_system

    def without_caches(seed: int) -> Any:
        system, arrivals, story = remembering(seed)
        system.replicas["caching"] = 0
        return system, arrivals, story

    random_systems.random_system = without_caches
    try:
        yield
    finally:
        random_systems.random_system = remembering


class Whimsical(Scheduler):
    """Form any steps that are allowed, by the throw of a die."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.sights: Counter[str] = Counter()

    def schedule(self, view: Any) -> Plan:
        dice = self.random
        gone = [leg for leg in view.running if dice.random() < 0.08]
        room, swap = view.free_swap_blocks, []
        for leg in gone:
            if leg.state == "decoding" and leg.swap_blocks <= room and dice.random() < 0.7:
                room -= leg.swap_blocks
                swap.append(leg)
        decodes, chunks, budget = [], [], view.token_budget
        for leg in dice.permutation(np.array([*view.running, *view.swapped, *view.waiting, None]))[:-1]:
            taking_part = [*decodes, *(other for other, _ in chunks), leg]
            if leg is None or leg in gone or budget == 0 or dice.random() < 0.3:
                continue
            if view.free_blocks_after(gone, taking_part) < 0 or len(taking_part) > view.max_num_seqs:
                continue
            if leg.state in {"decoding", "swapped"}:
                decodes.append(leg)
                budget -= 1
            elif not view.whole_prompts or leg.unread_tokens <= budget:
                most = min(leg.unread_tokens, budget)
                chunks.append((leg, most if view.whole_prompts else int(dice.integers(1, most + 1))))
                budget -= chunks[-1][1]
        idle = not (decodes or chunks or gone)
        until = view.now + int(dice.integers(1, 50)) / 1000 if idle or dice.random() < 0.2 else None
        steps = int(dice.integers(1, 6)) if dice.random() < 0.3 else None
        recompute = [leg for leg in gone if leg not in swap]
        for what, some in (("swapped out", swap), ("recomputed", recompute), ("idle", [idle] * idle)):
            self.sights[what] += len(some)
        self.sights["brought back"] += sum(leg.state == "swapped" for leg in decodes)
        self.sights["paused"] += len(view.running) - len(gone) > len(decodes) + len(chunks)
        return Plan(decodes, chunks, recompute, swap, steps, until)
