"""The twin's replica: one batch, one step at a time, and the legs in it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from edgesim.arena import rows
from edgesim.records import LEG_RECORD, STEP_RECORD
from edgesim.serving.reference_cache import PrefixCache
from edgesim.serving.reference_device import device_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgesim.network.fluid import Flow
    from edgesim.serving.reference import Ask, ReferenceEngine
    from edgesim.serving.reference_cache import Node
    from edgesim.serving.reference_device import TwinDevice
    from edgesim.serving.system import System


SHORT = 1 << 38
"""A quarter of a second [ps]; up to 30 kW for so long are counted to the picosecond."""


@dataclass(eq=False)
class Leg:
    """One attempt of one request at one replica; times [ps], -1 where they have not come."""

    ask: Ask
    number: int
    kind: int
    replica: TwinReplica
    place: NDArray[np.void]
    rank: int
    since: int
    sequence: int = 0
    state: int = rows.TRANSIT
    prompt: int = 0
    output: int = 0
    images: int = 0
    target: int = 0
    prefilled: int = 0
    chunk: int = 0
    stored: int = 0
    generated: int = 0
    blocks: int = 0
    covered: int = 0
    cached: int = 0
    swap_blocks: int = 0
    cancelled: bool = False
    paused: bool = False
    flow: Flow | None = None
    dispatched: int = -1
    delivered: int = -1
    first_scheduled: int = -1
    first_token: int = -1
    uplink: int = 0
    queue: int = 0
    prefill: int = 0
    decode: int = 0
    stall: int = 0
    downlink: int = 0
    preemptions: int = 0
    compute_nj: int = 0
    network_nj: int = 0
    share_ps: int = 0
    bytes_up: int = 0
    bytes_down: int = 0
    held: list[Node | None] = field(default_factory=list)

    def note_phase(self, now: int) -> None:
        """Add the time since the last change of state to the phase that the state stands for."""
        if self.cancelled:
            return
        again = self.generated > 0
        phase = {
            rows.TRANSIT: "uplink",
            rows.WAITING: "stall" if self.preemptions else "queue",
            rows.PREFILL: "stall" if again or self.preemptions else "prefill",
            rows.DECODE: "decode",
            rows.SWAPPED: "stall",
            rows.REPLY: "downlink",
        }[self.state]
        phase = "stall" if self.paused else phase
        setattr(self, phase, getattr(self, phase) + now - self.since)
        self.since = now

    def enter(self, state: int, now: int) -> None:
        """Change state, booking the time spent in the old one."""
        self.note_phase(now)
        self.state = state

    def streams_down(self, system: System) -> bool:
        """Does its reply cross a network token by token?"""
        return bool(system.workloads[self.ask.workload]["streams"]) and int(self.place["down_hops"]) > 0

    def cells(self) -> list[int]:
        """Its request's row."""
        return self.ask.cells()

    def record(self, outcome: int, now: int) -> NDArray[np.void]:
        """Its LEG_RECORD row."""
        row: NDArray[np.void] = np.zeros(1, LEG_RECORD)[0]
        row["request"], row["leg"], row["kind"] = self.ask.request, self.number, self.kind
        row["replica"], row["outcome"] = self.replica.index, outcome
        row["finished"] = now if outcome != rows.UNFINISHED else rows.NONE
        row["output"] = self.generated
        for name in ("dispatched", "delivered", "first_scheduled", "first_token", "prompt"):
            row[name] = getattr(self, name)
        for name in ("preemptions", "compute_nj", "network_nj", "share_ps"):
            row[name] = getattr(self, name)
        return row


def energy_of(ps: int, mw: int) -> int:
    """Energy of so much power for so long [nJ]; of a long time in whole nanoseconds, so that 63 bits are enough."""
    return ps * mw // 10**6 if ps < SHORT else ps // 1000 * mw // 1000


@dataclass
class Step:
    """The step that runs: who takes part, how long it lasts and what it draws."""

    decodes: list[Leg]
    chunks: list[Leg]
    tokens: int
    ps: int
    nj: int
    mflop: int
    kib: int
    started: int
    version: int
    ends: int = 0


class TwinReplica:
    """One replica: waiting, swapped and running legs, KV blocks, and the step in progress."""

    def __init__(self, engine: ReferenceEngine, index: int) -> None:
        row: Any = engine.system.replicas[index]
        self.engine, self.index = engine, index
        self.device = device_of(engine, row)
        self.cost = engine.system.costs[int(row["cost"])]
        self.window = engine.system.windows[int(row["cost"])]
        for name in ("max_num_seqs", "max_tokens", "block_size", "total_blocks", "watermark", "swaps"):
            setattr(self, name, int(row[name]))
        self.context_limit, self.free_swap = int(row["context_limit"]), int(row["swap_blocks"])
        self.state, self.speed, self.saved_mw = int(row["state"]), int(row["speed"]), int(row["saved_mw"])
        self.needs_kv = self.cost.kv_block_bytes > 0
        self.encoder = bool(row["encoder"])
        self.free_blocks = int(row["total_blocks"])
        self.waiting: list[Leg] = []
        self.swapped: list[Leg] = []
        self.running: list[Leg] = []
        self.step: Step | None = None
        self.version = 0
        self.called = False
        self.transit = self.assigned = self.progress = 0
        self.busy_ps = self.steps = self.tokens = self.compute_nj = self.unattributed_ps = 0
        self.wasted_nj = self.peak_blocks = self.preemptions = self.served = self.hit_tokens = 0
        self.switches = 0
        self.cache: PrefixCache | None = None
        if row["caching"] and self.needs_kv and not self.encoder:
            self.cache = PrefixCache(self, int(row["cache_order"]), engine.cache_rank)
        self.mflop = self.kib = 0.0

    max_num_seqs: int
    max_tokens: int
    block_size: int
    total_blocks: int
    watermark: int
    swaps: int

    # -- what others ask ----------------------------------------------------------------------------------------

    def board(self) -> list[int]:
        """What policies may see of it, from completed boundaries."""
        queued = len(self.waiting) + len(self.swapped) + self.transit
        running = sum(not leg.cancelled for leg in self.running)
        tokens = max(0, self.assigned - self.progress)
        return [queued, running, queued + running, tokens, self.free_blocks, self.state]

    def can_ever_hold(self, prompt: int, output: int) -> bool:
        """Could this request run here alone?"""
        if prompt + output > self.context_limit or (self.encoder and prompt > self.max_tokens):
            return False
        return not self.needs_kv or self.blocks_for(prompt + output - 1) <= self.total_blocks

    def blocks_for(self, tokens: int) -> int:
        """KV blocks that hold this many tokens."""
        return -(-tokens // self.block_size) if self.needs_kv else 0

    # -- legs come and go ---------------------------------------------------------------------------------------

    def deliver(self, leg: Leg) -> None:
        """A leg's prompt has arrived."""
        now = self.engine.now
        self.transit -= 1
        leg.delivered = now
        leg.enter(rows.WAITING, now)
        if self.state not in (rows.ON, rows.DRAINING):
            self.forget(leg)
            self.engine.lost(leg)
            return
        position = len(self.waiting)
        while position and self.waiting[position - 1].rank > leg.rank:
            position -= 1
        self.waiting.insert(position, leg)
        self.call()

    def call(self) -> None:
        """See to a boundary at this instant if no step runs."""
        if self.step is None and not self.called:
            self.called = True
            self.engine.at(self.engine.now, rows.BOUNDARY, self.index, self._called)

    def _called(self) -> None:
        self.called = False
        if self.step is None:
            self._begin_step()

    def forget(self, leg: Leg) -> None:
        """Stop counting a leg as outstanding."""
        self.assigned -= leg.prompt + leg.ask.predicted
        self.progress -= self._progress_of(leg)

    def _progress_of(self, leg: Leg) -> int:
        first_pass = leg.generated == 0
        return (leg.prefilled if first_pass else leg.prompt) + leg.generated

    def withdraw(self, leg: Leg) -> None:
        """Take away a cancelled leg that is in no batch."""
        if leg.state == rows.TRANSIT:
            self.transit -= 1
        elif leg.state == rows.WAITING:
            self.waiting.remove(leg)
        elif leg.state == rows.SWAPPED:
            self.swapped.remove(leg)
            self.free_swap += leg.swap_blocks
        if leg.state != rows.REPLY:
            self.forget(leg)

    def _release(self, leg: Leg) -> None:
        self.running.remove(leg)
        if self.cache is not None:
            if leg.state == rows.DECODE:
                self.cache.register(leg, leg.stored // self.block_size)
            self.cache.release(leg)
        self.free_blocks += leg.blocks
        leg.blocks = 0

    def _take(self, blocks: int) -> None:
        """Take free blocks; cached ones are forgotten if need be."""
        self.free_blocks -= blocks
        if self.cache is not None:
            self.cache.evict()

    # -- a boundary ---------------------------------------------------------------------------------------------

    def _boundary(self, version: int) -> None:
        if self.step is None or self.step.version != version:
            return
        self._end_step()
        self._begin_step()

    def _end_step(self) -> None:
        """Account for the step that ends now and let its tokens out."""
        step, now = self.step, self.engine.now
        assert step is not None
        self.step = None
        self._book(step, step.ps)
        for leg in step.decodes:
            leg.stored += 1
            leg.generated += 1
            self.progress += 1
        for leg in step.chunks:
            leg.prefilled += leg.chunk
            if not leg.generated:
                self.progress += leg.chunk
            leg.chunk = 0
            if self.cache is not None:
                self.cache.register(leg, leg.prefilled // self.block_size)
            if leg.prefilled == leg.target:
                leg.enter(rows.DECODE, now)
                leg.stored = leg.target
                leg.generated += 1
                self.progress += 1
                if leg.first_token < 0 and not leg.cancelled:
                    self.engine.first_token(leg)
                    if leg.generated < leg.output:
                        self.engine.open_stream(leg)
        ended = [leg for leg in self.running if leg.state == rows.DECODE and leg.generated >= leg.output]
        for leg in sorted(ended, key=lambda leg: leg.sequence):
            self._release(leg)
            self.forget(leg)
            if leg.cancelled:
                self.engine.close_cancelled(leg)
            else:
                leg.note_phase(now)
                self.served += 1
                self.engine.reply(leg)
        self._drop_cancelled()

    def _drop_cancelled(self) -> None:
        """Let cancelled legs leave the batch."""
        for leg in sorted((leg for leg in self.running if leg.cancelled), key=lambda leg: leg.sequence):
            self._release(leg)
            self.forget(leg)
            self.engine.close_cancelled(leg)

    def _book(self, step: Step, ps: int) -> None:
        """Share a whole step's time and energy among its tokens; what does not divide has no owner."""
        each_nj, each_ps = step.nj // step.tokens, ps // step.tokens
        for leg in step.decodes:
            leg.compute_nj += each_nj
            leg.share_ps += each_ps
        for leg in step.chunks:
            leg.compute_nj += each_nj * leg.chunk
            leg.share_ps += each_ps * leg.chunk
        self.busy_ps += ps
        self.steps += 1
        self.tokens += step.tokens
        self.compute_nj += each_nj * step.tokens
        self.unattributed_ps += ps - each_ps * step.tokens
        self.mflop += float(step.mflop)
        self.kib += float(step.kib)
        self._record(step, each_nj * step.tokens, whole=True)

    def _record(self, step: Step, nj: int, *, whole: bool) -> None:
        """Hand on the STEP_RECORD row of a step that ends now, if steps are recorded."""
        if self.engine.emit_step is None:
            return
        row: NDArray[np.void] = np.zeros(1, STEP_RECORD)[0]
        row["replica"], row["began"], row["ended"] = self.index, step.started, self.engine.now
        row["prefill"], row["decodes"] = step.tokens - len(step.decodes), len(step.decodes)
        row["compute_nj"], row["whole"] = nj, whole
        self.engine.emit_step(row)

    def _begin_step(self) -> None:
        """Form the next step: blocks for the decodes, the chunk in progress, then who waits."""
        now = self.engine.now
        if self.device is not None and not self._may_run(self.device):
            return
        extra, storm = self._grant_blocks()
        decodes = [leg for leg in self.running if leg.state == rows.DECODE]
        budget = self.max_tokens - len(decodes)
        chunks: list[Leg] = []
        for leg in self.running:
            if leg.state == rows.PREFILL:
                leg.chunk = min(leg.target - leg.prefilled, budget)
                budget -= leg.chunk
                if leg.chunk:
                    chunks.append(leg)
        images = 0
        if not storm or not (decodes or chunks):
            budget, more = self._swap_in(decodes, budget)
            extra += more
            if not self.swapped:
                images = self._admit(chunks, budget)
        self.peak_blocks = max(self.peak_blocks, self.total_blocks - self.free_blocks)
        if decodes or chunks:
            extra += self.device.load(self) if self.device is not None else 0
            self._start_step(decodes, chunks, images, extra, now)
        elif self.device is not None:
            self.device.leave(self)

    def _may_run(self, device: TwinDevice) -> bool:
        """Is it this replica's turn on an accelerator that it shares? Without work it takes none."""
        self._drop_cancelled()  # of those that were cancelled while it stood in line
        if self.running or self.waiting or self.swapped:
            return device.take(self)
        device.leave(self)
        return False

    def _grant_blocks(self) -> tuple[int, bool]:
        """Give every decode the block its next token needs, preempting where none is free."""
        extra, storm = 0, False
        for leg in list(self.running):
            if leg.state != rows.DECODE or not self.needs_kv or leg.stored % self.block_size:
                continue
            while leg.state == rows.DECODE and self.free_blocks == 0:
                storm = True
                extra += self._preempt(self._victim())
            if leg.state == rows.DECODE:
                self._take(1)
                leg.blocks += 1
        return extra, storm

    def _victim(self) -> Leg:
        """The running leg that matters least: the last by rank, then the youngest."""
        worst = max(leg.rank for leg in self.running)
        return [leg for leg in self.running if leg.rank == worst][-1]

    def _preempt(self, leg: Leg) -> int:
        """Take a leg out of the batch, as the deployment says; answers the extra time of a swap [ps]."""
        fits = leg.state == rows.DECODE and self.blocks_for(leg.stored) <= self.free_swap
        return self.put_out(leg, swap=bool(self.swaps) and fits)

    def put_out(self, leg: Leg, *, swap: bool) -> int:
        """Take a leg out of the batch, to host memory or back to the queue; answers the extra time of a swap [ps]."""
        now = self.engine.now
        self.preemptions += 1
        held = self.blocks_for(leg.stored)
        if leg.state == rows.PREFILL and not leg.generated:
            self.progress -= leg.prefilled
        leg.note_phase(now)
        leg.preemptions += 1
        leg.paused = False
        self._release(leg)
        leg.prefilled = leg.chunk = 0
        if swap:
            leg.state = rows.SWAPPED
            leg.swap_blocks = held
            self.free_swap -= held
            self.swapped.append(leg)
            return held * self.cost.swap_ps_per_block
        leg.state = rows.WAITING
        leg.target = leg.prompt + leg.generated
        position = 0
        while position < len(self.waiting) and self.waiting[position].rank < leg.rank:
            position += 1
        self.waiting.insert(position, leg)
        return 0

    def _room(self, need: int) -> bool:
        """May this many blocks be taken, keeping the watermark unless nothing runs?"""
        return self.free_blocks - need >= (self.watermark if self.running else 0)

    def _swap_in(self, decodes: list[Leg], budget: int) -> tuple[int, int]:
        """Bring swapped legs back, first out first in."""
        extra = 0
        while self.swapped and budget > 0 and len(self.running) < self.max_num_seqs:
            leg = self.swapped[0]
            need = self.blocks_for(leg.stored + 1)
            if not self._room(need):
                break
            extra += self.bring_back(leg, need)
            decodes.append(leg)
            budget -= 1
        return budget, extra

    def bring_back(self, leg: Leg, need: int) -> int:
        """Let a swapped leg decode again; answers the time of the swap [ps]."""
        self.swapped.remove(leg)
        self._take(need)
        leg.blocks = need
        self.free_swap += leg.swap_blocks
        leg.enter(rows.DECODE, self.engine.now)
        self.running.append(leg)
        return leg.swap_blocks * self.cost.swap_ps_per_block

    def _admit(self, chunks: list[Leg], budget: int) -> int:
        """Start prefilling waiting legs while budget, slots and blocks last; answers the images they bring."""
        images = 0
        while self.waiting and budget > 0 and len(self.running) < self.max_num_seqs:
            leg = self.waiting[0]
            hit, held = self.cache.match(leg) if self.cache is not None else (0, [])
            need = self.blocks_for(leg.target) - hit
            pinned = self.cache.pinned(leg, hit, held) if self.cache is not None else 0
            if not self._room(need + pinned) or (self.encoder and leg.target > budget):
                break
            self.start(leg, hit, held)
            leg.chunk = min(leg.target - leg.prefilled, budget)
            budget -= leg.chunk
            images += leg.images
            chunks.append(leg)
        return images

    def start(self, leg: Leg, hit: int, held: list[Node | None]) -> None:
        """Let a waiting leg into the batch, behind what the cache has of its prompt."""
        self.waiting.remove(leg)
        if self.cache is not None:
            self._begin_with(leg, hit, held)
        leg.blocks = self.blocks_for(leg.target) - hit
        self._take(leg.blocks)
        leg.enter(rows.PREFILL, self.engine.now)
        if leg.first_scheduled < 0:
            leg.first_scheduled = self.engine.now
        self.running.append(leg)

    def _begin_with(self, leg: Leg, hit: int, held: list[Node | None]) -> None:
        """Begin a prompt behind what the cache has of it."""
        assert self.cache is not None
        self.cache.use(leg, hit, held)
        leg.prefilled = hit * self.block_size
        self.hit_tokens += leg.prefilled
        if not leg.generated:
            self.progress += leg.prefilled
        if leg.first_scheduled < 0:
            leg.cached = leg.prefilled

    def _start_step(self, decodes: list[Leg], chunks: list[Leg], images: int, extra: int, now: int) -> None:
        """Price the step and wait for its end."""
        tokens = len(decodes) + sum(leg.chunk for leg in chunks)
        if chunks or extra:
            ps, nj, mflop, kib = self._mixed_step(decodes, chunks, images)
        else:
            ps, nj, mflop, kib = self._decode_step(decodes)
        ps += extra
        nj += energy_of(extra, self.base_mw)
        self.version += 1
        self.step = Step(decodes, chunks, tokens, ps, nj, mflop, kib, now, self.version, now + ps)
        version = self.version
        self.engine.at(now + ps, rows.BOUNDARY, self.index, lambda: self._boundary(version))

    def _decode_step(self, decodes: list[Leg]) -> tuple[int, int, int, int]:
        context = sum(leg.stored + 1 for leg in decodes)
        if self.cost.measured is not None:
            measured, n = self.cost.measured, len(decodes)
            at = sum(int(knot) * n <= context for knot in measured.knots[1:])
            base, slope = ([int(cell) for cell in row] for row in measured.segments[n, at])
            return self._price(base, [slope], [context])
        windowed = sum(self._clip(leg.stored + 1) for leg in decodes)
        cells = [int(cell) for cell in self.cost.decode_table[len(decodes)]]
        return self._price(
            cells, [[int(c) for c in row] for row in self.cost.decode_coef], [context, windowed]
        )

    def _mixed_step(self, decodes: list[Leg], chunks: list[Leg], images: int) -> tuple[int, int, int, int]:
        features = [0] * rows.MIXED_FEATURES
        for leg in decodes:
            features[0] += leg.stored + 1
            features[3] += self._clip(leg.stored + 1)
        for leg in chunks:
            for i, value in zip((1, 2, 4, 5), self._chunk_features(leg), strict=True):
                features[i] += value
        features[6] = len(decodes) + sum(leg.prefilled + leg.chunk == leg.target for leg in chunks)
        features[7] = images
        tokens = len(decodes) + sum(leg.chunk for leg in chunks)
        cells = [int(cell) for cell in self.cost.mixed_table[tokens]]
        coefficients = [[int(c) for c in row] for row in self.cost.mixed_coef]
        if self.cost.measured is None:
            return self._price(cells, coefficients, features)
        return self._measured_price(cells, coefficients, features, chunks, len(decodes))

    def _measured_price(
        self,
        cells: list[int],
        coefficients: list[list[int]],
        features: list[int],
        chunks: list[Leg],
        decodes: int,
    ) -> tuple[int, int, int, int]:
        """The same where times are measured: no less than the tables' roofline, and energy on top of base power."""
        roof, _, work, traffic = self._price(cells, coefficients, features)
        beside = cells[rows.E_COMPUTE] + sum(
            row[rows.E_COMPUTE] * feature for row, feature in zip(coefficients, features, strict=True)
        )
        measured = self.cost.measured
        assert measured is not None
        tokens = decodes + sum(leg.chunk for leg in chunks)
        sizes = [(leg.chunk, leg.prefilled) for leg in chunks]
        time = measured.mixed_ps(tokens, features[6], features[7], sizes, decodes, features[0])
        ps = max(roof, time * rows.FULL_SPEED // self.speed)
        nj = beside + energy_of(ps, self.base_mw)
        return ps, min(nj, ps // 1000 * self.cost.cap_mw // 1000), work, traffic

    def _clip(self, context: int) -> int:
        return min(context, self.window) if self.window else 0

    def _chunk_features(self, leg: Leg) -> tuple[int, int, int, int]:
        """Query-key pairs and keys read of a chunk, over all layers and over windowed ones."""
        done, n = leg.prefilled, leg.chunk
        if self.encoder:
            return n * n, n, 0, 0
        pairs = n * done + n * (n + 1) // 2
        if not self.window:
            return pairs, done + n, 0, 0
        inside = min(max(self.window - done, 0), n)
        windowed = inside * done + inside * (inside + 1) // 2 + (n - inside) * self.window
        return pairs, done + n, windowed, min(done + n, self.window + n)

    def _price(
        self, cells: list[int], coefficients: list[list[int]], features: list[int]
    ) -> tuple[int, int, int, int]:
        """Time [ps], energy [nJ], work [MFLOP] and traffic [KiB] of a step at the present speed."""
        if self.speed != rows.FULL_SPEED or self.saved_mw:
            cells, coefficients = self._slow(cells), [self._slow(row) for row in coefficients]
        value = list(cells)
        for row, feature in zip(coefficients, features, strict=True):
            value = [v + c * feature for v, c in zip(value, row, strict=True)]
        if value[rows.T_COMPUTE] >= value[rows.T_MEMORY]:
            ps, nj, cap = value[rows.T_COMPUTE], value[rows.E_COMPUTE], value[rows.C_COMPUTE]
        else:
            ps, nj, cap = value[rows.T_MEMORY], value[rows.E_MEMORY], value[rows.C_MEMORY]
        return ps, min(nj, cap), value[rows.WORK], value[rows.TRAFFIC]

    def _slow(self, row: list[int]) -> list[int]:
        """A row of cost coefficients at another speed: longer, with the base power there for the longer time."""
        out = list(row)
        for time, energy, cap in (
            (rows.T_COMPUTE, rows.E_COMPUTE, rows.C_COMPUTE),
            (rows.T_MEMORY, rows.E_MEMORY, rows.C_MEMORY),
        ):
            out[time] = row[time] * rows.FULL_SPEED // self.speed
            beside = max(0, row[energy] - energy_of(row[time], self.cost.base_mw))
            out[energy] = beside + energy_of(out[time], self.base_mw)
            out[cap] = row[cap] * rows.FULL_SPEED // self.speed
        return out

    # -- operations on a running step ---------------------------------------------------------------------------

    @property
    def base_mw(self) -> int:
        """Base power while steps run, at the present speed [mW]."""
        return self.cost.base_mw - self.saved_mw

    def stretch(self, speed: int, saved_mw: int) -> None:
        """Change speed and base power: the rest of the step in progress lasts longer or shorter.

        Its energy stays as planned.
        """
        step, now = self.step, self.engine.now
        if step is not None:
            rest = (step.ends - now) * self.speed // speed
            step.ps = now - step.started + rest
            step.ends = now + rest
            self.version += 1
            version = step.version = self.version
            self.engine.at(step.ends, rows.BOUNDARY, self.index, lambda: self._boundary(version))
        self.speed, self.saved_mw = speed, saved_mw

    def drawn(self) -> tuple[int, int]:
        """Energy of its steps [nJ] and their time [ps] so far; of the one in progress the part that has passed."""
        step = self.step
        if step is None:
            return self.compute_nj, self.busy_ps
        done = self.engine.now - step.started
        part = float(done) / float(step.ps)
        each_nj = math.floor(float(step.nj // step.tokens) * part)
        return self.compute_nj + each_nj * step.tokens, self.busy_ps + done

    def settle_partial(self) -> None:
        """Book the part of the step in progress that has passed, as waste of whom it served."""
        step, now = self.step, self.engine.now
        if step is None:
            return
        self.step = None
        self.version += 1
        done = now - step.started
        part = float(done) / float(step.ps)
        each_nj, each_ps = math.floor(float(step.nj // step.tokens) * part), done // step.tokens
        for leg in step.decodes:
            leg.compute_nj += each_nj
            leg.share_ps += each_ps
        for leg in step.chunks:
            leg.compute_nj += each_nj * leg.chunk
            leg.share_ps += each_ps * leg.chunk
        self.busy_ps += done
        self.compute_nj += each_nj * step.tokens
        self.wasted_nj += each_nj * step.tokens
        self.unattributed_ps += done - each_ps * step.tokens
        self.mflop += float(step.mflop) * part
        self.kib += float(step.kib) * part
        if done:
            self._record(step, each_nj * step.tokens, whole=False)

    def abort(self, state: int) -> None:
        """Crash: the step in progress is waste and every leg here is lost."""
        self.settle_partial()
        self.state = state
        now = self.engine.now
        legs = sorted([*self.running, *self.swapped, *self.waiting], key=lambda leg: leg.sequence)
        for leg in self.swapped:
            self.free_swap += leg.swap_blocks
        for leg in list(self.running):
            self._release(leg)
        self.waiting, self.swapped = [], []
        if self.cache is not None:
            self.cache.clear()
        for leg in legs:
            self.forget(leg)
            if leg.cancelled:
                self.engine.close_cancelled(leg)
            else:
                leg.note_phase(now)
                self.engine.lost(leg)
        if self.device is not None:
            self.device.leave(self)
