"""The arena's rows as a scheduler that forms steps sees them: a replica at a boundary, and its legs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgesim.arena import rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgesim.serving.decision import Formation
    from edgesim.serving.engine import KernelEngine

LEG = {name: i for i, name in enumerate(rows.LEG.names or ())}
LEG_WIDTH = rows.LEG.itemsize // 8
REPLICA = {name: i for i, name in enumerate(rows.REPLICA.names or ())}
REPLICA_WIDTH = rows.REPLICA.itemsize // 8
REQUEST_WIDTH = rows.REQUEST.itemsize // 8
(
    STATE, NEXT, SEQUENCE, REQUEST, OUTPUT, TARGET, PREFILLED, GENERATED, OFFSET, FINISH, BLOCKS, PAUSED, DELIVERED,
    FIRST_SCHEDULED, PREEMPTIONS, PROMPT,
) = (
    LEG[name]
    for name in (
        "state", "next", "sequence", "request", "output", "target", "prefilled", "generated", "offset", "finish",
        "blocks", "paused", "delivered", "first_scheduled", "preemptions", "prompt",
    )
)  # fmt: skip


class RowLeg:
    """A leg, by its row."""

    __slots__ = ("_base", "batch", "slot")

    def __init__(self, batch: RowBatch, slot: int) -> None:
        self.batch, self.slot, self._base = batch, slot, slot * LEG_WIDTH

    def cell(self, field: int) -> int:
        """One number of its row."""
        return self.batch.engine.leg_words[self._base + field]

    def cells(self) -> Sequence[int]:
        """Its request's row."""
        base = self.cell(REQUEST) * REQUEST_WIDTH
        return self.batch.engine.request_words[base : base + REQUEST_WIDTH].tolist()

    @property
    def state(self) -> int:
        """Where it stands."""
        return self.cell(STATE)

    @property
    def generated(self) -> int:
        """Tokens of its reply; the batch counts those of who decodes."""
        if self.cell(STATE) == rows.DECODE and not self.cell(PAUSED):
            return self.cell(OUTPUT) - self.cell(FINISH) + self.batch.cell("counter")
        return self.cell(GENERATED)

    @property
    def stored(self) -> int:
        """Tokens of KV that it holds, or has in host memory."""
        state = self.cell(STATE)
        if state == rows.DECODE:
            return self.cell(OFFSET) + (0 if self.cell(PAUSED) else self.batch.cell("counter"))
        if state == rows.SWAPPED:
            return self.cell(PROMPT) + self.cell(GENERATED) - 1
        return self.cell(PREFILLED) if state == rows.PREFILL else 0

    @property
    def delivered(self) -> int:
        """When its prompt was there [ps]."""
        return self.cell(DELIVERED)

    @property
    def first_scheduled(self) -> int:
        """Start of its first step [ps]; -1 before."""
        return self.cell(FIRST_SCHEDULED)

    @property
    def preemptions(self) -> int:
        """How often it was preempted."""
        return self.cell(PREEMPTIONS)


class RowBatch:
    """A replica whose next step is formed, by its row.

    Args:
        engine: Whose replica it is.
        index: Which one.
    """

    def __init__(self, engine: KernelEngine, index: int) -> None:
        row = engine.system.replicas[index]
        self.engine, self.index, self._base = engine, index, index * REPLICA_WIDTH
        self.max_num_seqs, self.max_tokens = int(row["max_num_seqs"]), int(row["max_tokens"])
        self.total_blocks, self.watermark = int(row["total_blocks"]), int(row["watermark"])
        self.block_size, self.swaps = int(row["block_size"]), bool(row["swaps"])
        self.encoder = bool(row["encoder"])
        self.needs_kv = engine.system.costs[int(row["cost"])].kv_block_bytes > 0
        self._legs: dict[tuple[int, int], RowLeg] = {}

    def cell(self, field: str) -> int:
        """One number of its row."""
        return self.engine.replica_words[self._base + REPLICA[field]]

    @property
    def now(self) -> int:
        """Simulated time [ps]."""
        return self.engine.now

    @property
    def free_blocks(self) -> int:
        """Free KV blocks."""
        return self.cell("free_blocks")

    @property
    def room_to_swap(self) -> int:
        """Blocks of host memory that are free."""
        return self.cell("free_swap") if self.swaps else 0

    def queues(self) -> tuple[list[RowLeg], list[RowLeg], list[RowLeg]]:
        """Waiting, swapped and running legs."""
        known, self._legs = self._legs, {}
        waiting, swapped, running = (
            self._listed(self.cell(head), known) for head in ("wait_head", "swap_head", "run_head")
        )
        return waiting, swapped, running

    def _listed(self, slot: int, known: dict[tuple[int, int], RowLeg]) -> list[RowLeg]:
        """The legs of a list; one that was there before is the same object."""
        found, words = [], self.engine.leg_words
        while slot != rows.NONE:
            base = slot * LEG_WIDTH
            key = slot, words[base + SEQUENCE]
            leg = self._legs[key] = known.get(key) or RowLeg(self, slot)
            found.append(leg)
            slot = words[base + NEXT]
        return found

    def blocks_for(self, tokens: int) -> int:
        """KV blocks that hold this many tokens."""
        return -(-tokens // self.block_size) if self.needs_kv else 0

    def unread(self, leg: RowLeg) -> int:
        """Tokens left to read."""
        left = leg.state in {rows.WAITING, rows.PREFILL}
        return leg.cell(TARGET) - leg.cell(PREFILLED) if left else 0

    def kv_tokens(self, leg: RowLeg) -> int:
        """Tokens whose KV is computed."""
        return leg.stored

    def swap_blocks(self, leg: RowLeg) -> int:
        """Blocks of host memory that a leg takes."""
        return self.blocks_for(leg.stored) if leg.state in {rows.DECODE, rows.SWAPPED} else 0

    def blocks_needed(self, leg: RowLeg) -> int:
        """KV blocks that a leg takes to have a part in the next step."""
        state = leg.state
        if state == rows.DECODE:
            return int(self.needs_kv and leg.stored % self.block_size == 0)
        if state == rows.SWAPPED:
            return self.blocks_for(leg.stored + 1)
        return self.blocks_for(leg.cell(TARGET)) if state == rows.WAITING else 0

    def free_blocks_after(self, preempted: Sequence[RowLeg], taking_part: Sequence[RowLeg]) -> int:
        """Free KV blocks in a step before which some are preempted."""
        free = self.free_blocks - sum(map(self.blocks_needed, taking_part))
        return free + sum(
            self.blocks_for(leg.stored) if leg.state == rows.DECODE else leg.cell(BLOCKS) for leg in preempted
        )


def as_listed(formation: Formation) -> list[int]:
    """A formation as the kernel reads it: four numbers of legs, then their rows, with the tokens of those that read."""
    parts = (formation.recompute, formation.swap, formation.decodes)
    listed = [*map(len, parts), len(formation.chunks)]
    for part in parts:
        listed += [leg.slot for leg in part]
    for leg, tokens in formation.chunks:
        listed += [leg.slot, tokens]
    return listed
