"""The twin's replica whose steps a scheduler forms."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from edgesim.arena import rows
from edgesim.serving.reference_replica import TwinReplica

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edgesim.serving.decision import Formation
    from edgesim.serving.reference import ReferenceEngine
    from edgesim.serving.reference_replica import Leg


class FormedReplica(TwinReplica):
    """A replica whose steps somebody else forms; an answer stands until the batch changes, or as long as it says.

    Args:
        engine: Whose replica it is.
        index: Which one.
        form: Forms the next step; asked at a boundary when the last answer is over.
    """

    def __init__(
        self, engine: ReferenceEngine, index: int, form: Callable[[FormedReplica], Formation]
    ) -> None:
        super().__init__(engine, index)
        self.form = form
        self.changed = True
        self.standing: Sequence[Leg] = ()
        self.steps_left = self.until = 0

    # -- what changes the batch ---------------------------------------------------------------------------------

    def deliver(self, leg: Leg) -> None:
        """A leg's prompt has arrived."""
        self.changed = True
        super().deliver(leg)

    def withdraw(self, leg: Leg) -> None:
        """Take away a cancelled leg that is in no batch."""
        super().withdraw(leg)
        if leg.state in {rows.WAITING, rows.SWAPPED}:
            self.changed = True
            self.call()

    def abort(self, state: int) -> None:
        """Crash: the step in progress is waste and every leg here is lost."""
        self.changed = True
        super().abort(state)

    def _end_step(self) -> None:
        before = len(self.running)
        super()._end_step()
        self.changed |= len(self.running) != before

    def _drop_cancelled(self) -> None:
        before = len(self.running)
        super()._drop_cancelled()
        self.changed |= len(self.running) != before

    # -- what the scheduler sees --------------------------------------------------------------------------------

    @property
    def now(self) -> int:
        """Simulated time [ps]."""
        return self.engine.now

    @property
    def room_to_swap(self) -> int:
        """Blocks of host memory that are free."""
        return self.free_swap if self.swaps else 0

    def queues(self) -> tuple[Sequence[Leg], Sequence[Leg], Sequence[Leg]]:
        """Waiting, swapped and running legs."""
        return self.waiting, self.swapped, self.running

    def unread(self, leg: Leg) -> int:
        """Tokens left to read."""
        if leg.state == rows.WAITING and self.cache is not None:
            return leg.target - self.cache.match(leg)[0] * self.block_size
        return leg.target - leg.prefilled if leg.state in {rows.WAITING, rows.PREFILL} else 0

    def kv_tokens(self, leg: Leg) -> int:
        """Tokens whose KV is computed."""
        return {rows.WAITING: 0, rows.PREFILL: leg.prefilled}.get(leg.state, leg.stored)

    def swap_blocks(self, leg: Leg) -> int:
        """Blocks of host memory that a leg takes."""
        return self.blocks_for(leg.stored) if leg.state in {rows.DECODE, rows.SWAPPED} else 0

    # -- a boundary ---------------------------------------------------------------------------------------------

    def _begin_step(self) -> None:
        """Go on as before, or ask how."""
        if self.device is not None and not self._may_run(self.device):
            return
        self._drop_cancelled()
        if not (self.running or self.waiting or self.swapped):
            return
        if self._stands():
            self.steps_left -= 1
            self._grant(self.standing)
            self._go(list(self.standing), [], 0, 0)
            return
        formation, extra = self.form(self), 0
        while formation.only_preempts:
            extra += self._put_out(formation)
            formation = self.form(self)
        lasting = not (formation.chunks or formation.recompute or formation.swap or extra)
        self.changed = not lasting or any(leg.state == rows.SWAPPED for leg in formation.decodes)
        self.standing, self.until = formation.decodes, formation.until
        self.steps_left = formation.steps - 1
        extra += self._put_out(formation)
        self._pause(formation)
        extra += self._decode(formation.decodes)
        images = self._read(formation.chunks)
        reading = [leg for leg in self.running if leg.chunk]
        self._go(list(formation.decodes), reading, images, extra)

    def _stands(self) -> bool:
        """Does the last answer still hold?"""
        if self.changed or not self.standing or not self.steps_left:
            return False
        need = sum(self.lacks_block(leg) for leg in self.standing)
        return self.engine.now < self.until and need <= self.free_blocks

    def lacks_block(self, leg: Leg) -> bool:
        """Does a decoding leg need another KV block for its next token?"""
        return self.needs_kv and leg.stored % self.block_size == 0

    def blocks_needed(self, leg: Leg) -> int:
        """KV blocks that a leg takes to have a part in the next step, but for those the prefix cache has."""
        if leg.state == rows.DECODE:
            return int(self.lacks_block(leg))
        return {rows.SWAPPED: self.blocks_for(leg.stored + 1), rows.WAITING: self.blocks_for(leg.target)}.get(
            leg.state, 0
        )

    def free_blocks_after(self, preempted: Sequence[Leg], taking_part: Sequence[Leg]) -> int:
        """Free KV blocks, at least, in a step before which some are preempted.

        Cached blocks that nobody keeps in use save nothing: who starts pins them, and if another who starts takes them
        first, several may have to compute what they were to share.
        """
        free = self.free_blocks + sum(leg.blocks for leg in preempted)
        free -= sum(self.blocks_needed(leg) for leg in taking_part)
        if self.cache is None:
            return free
        users = Counter(node for leg in preempted for node in leg.held if node is not None)
        free += sum(node.pinned for node, count in users.items() if count == node.users)
        for leg in preempted:
            if leg.state == rows.DECODE:
                blocks = leg.stored // self.block_size
                free -= self.cache.left_behind(leg, blocks, users)
        for leg in taking_part:
            if leg.state == rows.WAITING:
                parts = self.cache.parts(leg, *self.cache.match(leg))
                free += sum(min(part, node.pinned) for node, part, _ in parts if node.users > users[node])
        return free

    def _grant(self, legs: Sequence[Leg]) -> None:
        """Give every decode the block its next token needs."""
        for leg in legs:
            if leg.state == rows.DECODE and self.lacks_block(leg):
                self._take(1)
                leg.blocks += 1

    def _put_out(self, formation: Formation) -> int:
        """Preempt; answers the time of the swaps [ps]."""
        for leg in formation.recompute:
            self.put_out(leg, swap=False)
        return sum(self.put_out(leg, swap=True) for leg in formation.swap)

    def _pause(self, formation: Formation) -> None:
        """Let those in the batch that have no part in the step hold their blocks and wait."""
        busy = {id(leg) for leg in formation.decodes} | {id(leg) for leg, _ in formation.chunks}
        for leg in self.running:
            if leg.paused == (id(leg) in busy):
                leg.note_phase(self.engine.now)
                leg.paused = not leg.paused

    def _decode(self, legs: Sequence[Leg]) -> int:
        """Give decodes their blocks and bring swapped ones back; answers the time of the swaps [ps]."""
        self._grant(legs)
        swapped = [leg for leg in legs if leg.state == rows.SWAPPED]
        return sum(self.bring_back(leg, self.blocks_for(leg.stored + 1)) for leg in swapped)

    def _read(self, chunks: Sequence[tuple[Leg, int]]) -> int:
        """Start whoever waits and set what each one reads; answers the images they bring."""
        images = 0
        for leg, tokens in chunks:
            if leg.state == rows.WAITING:
                self.start(leg, *(self.cache.match(leg) if self.cache is not None else (0, [])))
                images += leg.images
            leg.chunk = min(tokens, leg.target - leg.prefilled)
        return images

    def _go(self, decodes: list[Leg], chunks: list[Leg], images: int, extra: int) -> None:
        """Start the step, or wait until the scheduler wants to be asked again."""
        now = self.engine.now
        self.peak_blocks = max(self.peak_blocks, self.total_blocks - self.free_blocks)
        if decodes or chunks:
            extra += self.device.load(self) if self.device is not None else 0
            self._start_step(decodes, chunks, images, extra, now)
            return
        if self.device is not None:
            self.device.leave(self)
        self.version += 1
        version = self.version
        self.engine.at(max(self.until, now + 1), rows.BOUNDARY, self.index, lambda: self._wake(version))

    def _wake(self, version: int) -> None:
        if self.step is None and self.version == version and not self.called:
            self._begin_step()
