"""The readable twin: the whole engine as plain SimPy events, one a step, written to be read.

It defines what the compiled kernel must do, to the bit. It imports nothing of the kernel. Semantics are those of
vLLM's v1 engine: a waiting and a running queue, decodes first and then prefill chunks within a token budget, paged
KV memory whose blocks for a whole prompt are taken at admission, the youngest running request preempted when a
decode finds no block.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from edgesim.arena import rows
from edgesim.network.fluid import FluidNetwork, happen, priority
from edgesim.records import REQUEST_RECORD
from edgesim.serving import decision
from edgesim.serving.reference_device import TwinDevice
from edgesim.serving.reference_replica import Leg, TwinReplica
from edgesim.serving.reference_steps import FormedReplica
from edgesim.serving.system import System, message_delay

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import simpy
    from numpy.typing import NDArray

    from edgesim.serving.reference_cache import Node

ASK_FIELDS = rows.REQUEST.names or ()
CHUNK_KEY = 1 << 40
"""Arrivals of open workloads come before those that were submitted one by one, at the same instant."""


class Ask:
    """A request on its way: the fields of a REQUEST row as attributes."""

    request: int
    workload: int
    origin: int
    prompt: int
    output: int
    predicted: int
    images: int
    bytes_up: int
    priority: int
    patience: int
    arrived: int
    since: int
    status: int
    reason: int
    attempts: int
    live: int
    legs: int
    finished: int
    replica: int
    hops: int
    generated: int
    preemptions: int
    first_scheduled: int
    first_token_server: int
    first_token: int
    backoff: int
    sent_up: int
    sent_down: int
    compute_nj: int
    network_nj: int
    share_ps: int
    session: int
    turn: int
    hashes: int
    hash_count: int
    cached: int
    decision: int
    deciding: int
    deciding_nj: int

    def __init__(self, arrival: NDArray[np.void], request: int) -> None:
        for name in ASK_FIELDS:
            setattr(self, name, 0)
        for name in rows.ARRIVAL.names or ():
            if name != "at":
                setattr(self, name, int(arrival[name]))
        self.request = request
        self.arrived = self.since = int(arrival["at"])
        self.first_scheduled = self.first_token_server = self.first_token = self.replica = rows.NONE
        self.cost_usd = self.carbon_g = 0.0
        self.quality = 1.0
        self.open: list[Leg] = []
        self.status = self.finished = rows.NONE

    def cells(self) -> list[int]:
        """The integer fields in the row's order."""
        return [int(getattr(self, name)) for name in ASK_FIELDS]


class ReferenceEngine:
    """Runs a system under a SimPy clock whose unit is the picosecond.

    Args:
        env: The clock; integers only.
        system: Static rows.
        front: Who decides and listens.
        emit_request: Takes finished REQUEST_RECORD rows.
        emit_leg: Takes finished LEG_RECORD rows.
        cache_rank: A cache policy's own rank of idle nodes, at a time; None for a built-in order.
        form: Forms the steps of replicas; None for the built-in way.
        emit_step: Takes STEP_RECORD rows as steps end.
    """

    def __init__(
        self,
        env: simpy.Environment,
        system: System,
        front: decision.Front,
        emit_request: Callable[[NDArray[np.void]], None],
        emit_leg: Callable[[NDArray[np.void]], None] | None = None,
        cache_rank: Callable[[Node, int], float] | None = None,
        form: Callable[[FormedReplica], decision.Formation] | None = None,
        emit_step: Callable[[NDArray[np.void]], None] | None = None,
    ) -> None:
        self.env, self.system, self.front = env, system, front
        self.emit_request, self.emit_leg, self.emit_step = emit_request, emit_leg, emit_step
        links = system.links
        self.network = FluidNetwork(env, links["capacity"].tolist(), links["sharing"].tolist())
        self.cache_rank = cache_rank
        self.devices = [TwinDevice(self, row) for row in system.devices]
        self.replicas: Sequence[TwinReplica] = [
            TwinReplica(self, i) if form is None else FormedReplica(self, i, form)
            for i in range(len(system.replicas))
        ]
        self.asks: dict[int, Ask] = {}
        self.submitted = self.sequence = self.events = 0
        self.closing = False
        self._rested: int | None = None
        self.transfers = self.last = self.arrived_requests = self.decided_nj = 0
        self.arrived: Callable[[int], None] = lambda _: None
        self._chunks: Iterator[NDArray[np.void]] = iter(())

    # -- the clock ----------------------------------------------------------------------------------------------

    def at(self, when: int, klass: int, key: int, action: Callable[[], None]) -> None:
        """Do something at a time, in its place among what happens at that instant."""
        happen(self.env, when - int(self.env.now), priority(klass, key), lambda: self._count(action))

    def _count(self, action: Callable[[], None]) -> None:
        self.events += 1
        action()

    @property
    def now(self) -> int:
        """Simulated time [ps]."""
        return int(self.env.now) if self._rested is None else self._rested

    def rest(self, least: int) -> None:
        """Nothing is left to happen: go back to the time of the last request's end, but no further than that."""
        self._rested = max(self.last, least)

    # -- arrivals -----------------------------------------------------------------------------------------------

    def feed(self, chunks: Iterator[NDArray[np.void]]) -> None:
        """Take the open workloads' arrivals, sorted by time."""
        self._chunks = chunks
        self._arrivals = (row for chunk in self._chunks for row in chunk)
        self._next_arrival()

    def _next_arrival(self) -> None:
        row = next(self._arrivals, None)
        if row is not None and int(row["at"]) < self.system.end:
            self.at(int(row["at"]), rows.ARRIVE, 0, lambda: self._arrive_and_go_on(row))

    def _arrive_and_go_on(self, row: NDArray[np.void]) -> None:
        self._arrive(row)
        self._next_arrival()

    def submit(self, arrival: NDArray[np.void]) -> None:
        """Enter one arrival at its time, which must not have passed."""
        self.submitted += 1
        self.at(int(arrival["at"]), rows.ARRIVE, CHUNK_KEY + self.submitted, lambda: self._arrive(arrival))

    def _arrive(self, arrival: NDArray[np.void]) -> None:
        limited = self.system.workloads[int(arrival["workload"])]["limited"]
        if limited and self.arrived_requests >= self.system.limit:
            return
        ask = Ask(arrival, self.arrived_requests)
        self.arrived_requests += 1
        self.asks[ask.request] = ask
        if ask.patience:
            self.at(self.now + ask.patience, rows.TIMER, 2 * ask.request, lambda: self._lose_patience(ask))
        self._decide(ask)

    # -- decisions ----------------------------------------------------------------------------------------------

    def _decide(self, ask: Ask) -> None:
        offset, length = self.system.candidate_range(ask.origin, ask.workload)
        board: list[int] = []
        for candidate in self.system.candidates[offset : offset + length]:
            board.extend(self.replicas[int(candidate["replica"])].board())
        answer = self.front.decide(ask.cells(), 0, board, self.now)
        if isinstance(answer, decision.Costly):
            self._deliberate(ask, answer)
        else:
            self._carry_out(ask, answer)

    def _deliberate(self, ask: Ask, costly: decision.Costly) -> None:
        """Carry an answer out when the decision has taken its time."""
        ask.since, ask.deciding, ask.deciding_nj = self.now, costly.ps, costly.nj
        if costly.ps:
            when = self.now + costly.ps
            self.at(when, rows.TIMER, 2 * ask.request + 1, lambda: self._decided(ask, costly.answer))
        else:
            self._decided(ask, costly.answer)

    def _decided(self, ask: Ask, answer: decision.Plain) -> None:
        if ask.status < 0:
            self._book_decision(ask, ask.deciding_nj)
            self._carry_out(ask, answer)

    def _break_off(self, ask: Ask) -> None:
        """Nobody waits for a decision any more: the part that has passed is booked."""
        part = float(self.now - ask.since) / float(ask.deciding)
        self._book_decision(ask, math.floor(float(ask.deciding_nj) * part))

    def _book_decision(self, ask: Ask, nj: int) -> None:
        ask.decision += self.now - ask.since
        ask.compute_nj += nj
        self.decided_nj += nj
        ask.deciding = 0

    def _carry_out(self, ask: Ask, answer: decision.Plain) -> None:
        offset, _ = self.system.candidate_range(ask.origin, ask.workload)
        if isinstance(answer, int):
            answer = decision.Dispatch((answer,))
        if isinstance(answer, decision.Refuse):
            self._end(ask, rows.R_REJECTED, answer.reason)
        elif isinstance(answer, decision.Wait):
            self._wait(ask, answer.until)
        else:
            kind = rows.RETRY if ask.attempts else rows.FIRST
            ask.attempts += 1
            sent = False
            for place in answer.places:
                if sent and all(leg.cancelled for leg in ask.open):
                    break  # lost at once, at a replica that was down: it has failed, or waits to be tried again
                sent |= self._dispatch(ask, offset + place, kind, answer.rank)
                kind = rows.HEDGE
            if not sent:
                self._end(ask, rows.R_REJECTED, decision.TOO_LONG)

    def _wait(self, ask: Ask, until: int) -> None:
        asked = ask.since = self.now

        def again() -> None:
            if ask.status < 0:
                ask.backoff += self.now - asked
                self._decide(ask)

        self.at(max(until, asked), rows.TIMER, 2 * ask.request + 1, again)

    def _dispatch(self, ask: Ask, candidate: int, kind: int, rank: int) -> bool:
        place = self.system.candidates[candidate]
        replica = self.replicas[int(place["replica"])]
        prompt = ask.prompt + ask.images * replica.cost.tokens_per_image
        if not replica.can_ever_hold(prompt, ask.output):
            return False
        leg = Leg(
            ask=ask, number=ask.legs, kind=kind, replica=replica, place=place, rank=rank, since=self.now
        )
        leg.sequence, self.sequence = self.sequence, self.sequence + 1
        leg.dispatched = self.now
        leg.prompt, leg.output, leg.images, leg.target = prompt, ask.output, ask.images, prompt
        ask.legs += 1
        ask.live += 1
        ask.open.append(leg)
        replica.transit += 1
        replica.assigned += prompt + ask.predicted
        if not place["up_hops"]:
            replica.deliver(leg)
            return True
        leg.bytes_up = ask.bytes_up + int(place["up_overhead"])
        leg.flow = self.network.start(
            self._path(place, "up"),
            float(leg.bytes_up),
            leg.sequence,
            lambda: self._prompt_sent(leg, int(place["up_latency"])),
            priority=ask.priority,
        )
        return True

    def _path(self, place: NDArray[np.void], way: str) -> list[int]:
        start = int(place[way])
        return [int(link) for link in self.system.paths[start : start + int(place[way + "_hops"])]]

    def _prompt_sent(self, leg: Leg, latency: int) -> None:
        leg.flow = None
        self._deliver_at(leg, self.now + latency)

    def _deliver_at(self, leg: Leg, when: int) -> None:
        def deliver() -> None:
            if leg.state == rows.TRANSIT:
                leg.replica.deliver(leg)

        self.at(when, rows.DELIVER, leg.sequence, deliver)

    # -- replies ------------------------------------------------------------------------------------------------

    def _message(self, leg: Leg) -> int:
        """Bytes of a token's message, or of a whole reply's frame."""
        workload = self.system.workloads[leg.ask.workload]
        return int(workload["bytes_per_token"]) + int(leg.place["down_overhead"])

    def _reply_bytes(self, leg: Leg) -> int:
        """Bytes of a whole reply: a message for each token if it is streamed, else one for all."""
        workload, message = self.system.workloads[leg.ask.workload], self._message(leg)
        if workload["streams"]:
            return leg.output * message
        return message + (leg.output - 1) * int(workload["bytes_per_token"])

    def _cut_off(self, leg: Leg) -> None:
        """Stop what a leg sends or is sent; what has crossed the links was sent."""
        if leg.flow is None:
            return
        sent = math.floor(self.network.stop(leg.flow))
        leg.flow = None
        if leg.state == rows.TRANSIT:
            leg.bytes_up = sent
        else:
            leg.bytes_down += sent

    def first_token(self, leg: Leg) -> None:
        """A leg has its first token: if it streams, the client sees it after the way back."""
        ask, place = leg.ask, leg.place
        leg.first_token = seen = self.now
        if leg.streams_down(self.system):
            leg.bytes_down = self._message(leg)
            self.network.carry(self._path(place, "down"), float(leg.bytes_down))
            seen += int(place["down_latency"]) + message_delay(leg.bytes_down, int(place["down_narrow"]))
        if not self.system.workloads[ask.workload]["streams"]:
            return
        if seen > self.now and any(not other.cancelled for other in ask.open if other is not leg):
            self.at(seen, rows.DELIVER, leg.sequence, lambda: self._seen(leg))
        else:
            ask.first_token = seen
            self._cancel_others(leg)

    def _seen(self, leg: Leg) -> None:
        """The client sees the first token of a leg that had rivals: this one won, unless it was cancelled itself."""
        if leg.state != rows.DONE and not leg.cancelled:
            leg.ask.first_token = self.now
            self._cancel_others(leg)

    def _cancel_others(self, leg: Leg) -> None:
        """The client has what it waited for: its request's other legs are cancelled, everywhere at once."""
        for other in list(leg.ask.open):
            if other is not leg:
                self.cancel(other, rows.CANCELLED)

    def open_stream(self, leg: Leg) -> None:
        """Let the rest of a streamed reply take its small rate, until all is sent or the last token is out."""
        place = leg.place
        if not leg.streams_down(self.system) or leg.output == 1:
            return
        message = self._message(leg)
        leg.flow = self.network.start(
            self._path(place, "down"),
            float((leg.output - 1) * message),
            leg.sequence,
            lambda: self._stream_sent(leg),
            demand=leg.replica.cost.stream_rate * message,
            priority=leg.ask.priority,
        )

    def _stream_sent(self, leg: Leg) -> None:
        leg.flow = None
        leg.bytes_down = self._reply_bytes(leg)

    def reply(self, leg: Leg) -> None:
        """The last token is out: what of the reply is still unsent follows, and the client has it all.

        The last token of a streamed reply is a message like the first, unless a link held back more than that.
        """
        place, ask = leg.place, leg.ask
        leg.state, leg.since = rows.REPLY, self.now
        if not place["down_hops"]:
            self._replied(leg)
            return
        streams, message = leg.streams_down(self.system), self._message(leg)
        unsent = 0.0 if streams else float(self._reply_bytes(leg))
        if leg.flow is not None:
            sent = self.network.stop(leg.flow)
            leg.flow = None
            leg.bytes_down += math.floor(sent)
            unsent = float((leg.output - 1) * message) - sent
        if streams and unsent <= float(message):
            self.network.carry(self._path(place, "down"), unsent)
            leg.bytes_down = self._reply_bytes(leg)
            delay = int(place["down_latency"]) + message_delay(message, int(place["down_narrow"]))
            self._replied_at(leg, self.now + delay)
        else:
            leg.flow = self.network.start(
                self._path(place, "down"),
                unsent,
                leg.sequence,
                lambda: self._reply_sent(leg, int(place["down_latency"])),
                priority=ask.priority,
            )

    def _reply_sent(self, leg: Leg, latency: int) -> None:
        leg.flow = None
        leg.bytes_down = self._reply_bytes(leg)
        self._replied_at(leg, self.now + latency)

    def _replied_at(self, leg: Leg, when: int) -> None:
        def done() -> None:
            if leg.state == rows.REPLY:
                self._replied(leg)

        self.at(when, rows.DELIVER, leg.sequence, done)

    def _replied(self, leg: Leg) -> None:
        ask = leg.ask
        leg.downlink += self.now - leg.since
        if not self.system.workloads[ask.workload]["streams"] or ask.first_token < 0:
            ask.first_token = self.now
        self._cancel_others(leg)
        self._close(leg, rows.COMPLETED)
        self._adopt(ask, leg)
        ask.generated = leg.output
        ask.quality = float(self.system.replicas[leg.replica.index]["quality"])
        self._end(ask, rows.R_COMPLETED, 0)

    # -- ends ---------------------------------------------------------------------------------------------------

    def _adopt(self, ask: Ask, leg: Leg) -> None:
        """Let a leg's phases, first token and place count as the request's."""
        for phase in ("uplink", "queue", "prefill", "decode", "stall", "downlink"):
            setattr(ask, phase, getattr(ask, phase) + getattr(leg, phase))
        ask.replica = leg.replica.index
        ask.hops = int(leg.place["up_hops"])
        ask.cached = leg.cached
        ask.first_token_server = leg.first_token
        if ask.first_scheduled < 0:
            ask.first_scheduled = leg.first_scheduled

    def lost(self, leg: Leg) -> None:
        """A leg's replica failed: try again, or give up."""
        ask = leg.ask
        self._cut_off(leg)
        self._close(leg, rows.LOST)
        if ask.status >= 0 or any(not other.cancelled for other in ask.open):
            self._flush(ask)
            return
        self._adopt(ask, leg)
        workload = self.system.workloads[ask.workload]
        if ask.attempts <= int(workload["retries"]):
            ask.replica = ask.first_token_server = ask.first_token = rows.NONE  # it begins anew
            self._wait(ask, self.now + (int(workload["backoff"]) << min(ask.attempts - 1, 16)))
        else:
            self._end(ask, rows.R_FAILED, decision.REPLICA_FAILED)

    def _lose_patience(self, ask: Ask) -> None:
        if ask.status >= 0 or 0 <= ask.first_token <= self.now:
            return
        ask.status = rows.R_ABANDONED  # so that nothing is tried again for it
        deciding = ask.deciding
        if deciding:
            self._break_off(ask)
        answering = next((leg for leg in ask.open if not leg.cancelled), None)
        for leg in list(ask.open):
            self.cancel(leg, rows.CANCELLED)
        if answering is not None:
            self._adopt(ask, answering)
        elif not deciding:
            ask.backoff += self.now - ask.since
        self._end(ask, rows.R_ABANDONED, decision.PATIENCE)

    def cancel(self, leg: Leg, outcome: int) -> None:
        """Nobody waits for a leg any more: take it away, from a running batch at its next boundary."""
        if leg.cancelled:
            return
        leg.note_phase(self.now)
        leg.cancelled = True
        self._cut_off(leg)
        if leg.state in (rows.PREFILL, rows.DECODE):
            leg.replica.call()
            return  # the boundary removes it
        leg.replica.withdraw(leg)
        self._close(leg, outcome)

    def close_cancelled(self, leg: Leg) -> None:
        """A cancelled leg has left the batch."""
        self._close(leg, rows.CANCELLED)
        self._flush(leg.ask)

    def _close(self, leg: Leg, outcome: int) -> None:
        """Book what a leg cost to its request and record it."""
        ask, replica = leg.ask, leg.replica
        row = self.system.replicas[replica.index]
        leg.state = rows.DONE
        leg.network_nj = (
            leg.bytes_up * int(leg.place["up_pj"]) // 1000
            + leg.bytes_down * int(leg.place["down_pj"]) // 1000
        )
        ask.compute_nj += leg.compute_nj
        ask.network_nj += leg.network_nj
        ask.share_ps += leg.share_ps
        ask.preemptions += leg.preemptions
        ask.sent_up += leg.bytes_up
        ask.sent_down += leg.bytes_down
        ask.cost_usd += (
            float(leg.share_ps) * float(row["usd_per_ps"])
            + float(leg.compute_nj) * float(row["usd_per_nj"])
            + float(leg.bytes_up) * float(leg.place["up_egress"])
            + float(leg.bytes_down) * float(leg.place["down_egress"])
        )
        ask.carbon_g += float(leg.compute_nj + leg.network_nj) * float(row["gram_per_nj"])
        ask.live -= 1
        ask.open.remove(leg)
        if self.emit_leg is not None:
            self.emit_leg(leg.record(outcome, self.now))

    def _end(self, ask: Ask, status: int, reason: int) -> None:
        """A request has ended for its client, who is told; its record waits for legs still in a batch."""
        ask.status, ask.reason = status, reason
        ask.finished = self.now if status != rows.R_UNFINISHED else rows.NONE
        if ask.first_token > self.now:
            ask.first_token = rows.NONE  # it is on its way to a client who is gone
        if self.system.workloads[ask.workload]["notify"] and not self.closing:
            self.front.ended(self._record(ask))
        self._flush(ask)

    def _record(self, ask: Ask) -> NDArray[np.void]:
        """Its REQUEST_RECORD row, as things stand."""
        record: NDArray[np.void] = np.zeros(1, REQUEST_RECORD)[0]
        renamed = {"output": "generated", "bytes_up": "sent_up", "bytes_down": "sent_down"}
        for name in REQUEST_RECORD.names or ():
            record[name] = getattr(ask, renamed.get(name, name))
        return record

    def _flush(self, ask: Ask) -> None:
        """Record a request that has ended and has no leg left."""
        if ask.live or ask.status < 0 or ask.request not in self.asks:
            return
        del self.asks[ask.request]
        self.last = self.now
        self.emit_request(self._record(ask))

    # -- what SimPy processes may do ----------------------------------------------------------------------------

    def transfer(self, owner: int, link: int, latency: int, nbytes: int, priority: int = 0) -> None:
        """Start a transfer over one link; `arrived(owner)` is called when its last byte is there."""
        self.transfers += 1
        key = (1 << 50) + self.transfers

        def sent() -> None:
            self.at(self.now + latency, rows.DELIVER, key, lambda: self.arrived(owner))

        self.network.start([link], float(nbytes), key, sent, priority=priority)

    def fail(self, replica: int) -> None:
        """Crash a replica now: its legs are lost, its unfinished step is waste."""
        self.replicas[replica].abort(rows.FAILED)

    def load(self, replica: int) -> tuple[int, int, int]:
        """Running and waiting legs of a replica, and its free KV blocks."""
        twin = self.replicas[replica]
        return len(twin.running), len(twin.waiting) + len(twin.swapped), twin.free_blocks

    def loads(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """What `load` answers, of all replicas."""
        found = [self.load(replica) for replica in range(len(self.replicas))]
        running, waiting, free = np.array(found, np.int64).reshape(-1, 3).T
        return running, waiting, free

    def set_state(self, replica: int, state: int) -> None:
        """Let a replica start, serve, drain or stop."""
        self.replicas[replica].state = state

    def set_speed(self, replica: int, speed: int, saved_mw: int = 0) -> None:
        """Run a replica at this many thousandths of its nominal speed from now on, saving so much base power."""
        self.replicas[replica].stretch(speed, saved_mw)

    def drawn(self, replicas: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Energy [nJ] and time [ps] of some replicas' steps so far."""
        both = np.array([self.replicas[r].drawn() for r in replicas.tolist()], np.int64).reshape(-1, 2)
        return both[:, 0], both[:, 1]

    def finish(self) -> None:
        """Close the books at the end of the run."""
        self.closing = True
        for replica in self.replicas:
            replica.settle_partial()
        for ask in list(self.asks.values()):
            ended = ask.status >= 0
            deciding = ask.deciding
            if deciding:
                self._break_off(ask)
            answering = next((leg for leg in ask.open if not leg.cancelled), None)
            for leg in list(ask.open):
                if not leg.cancelled:
                    leg.note_phase(self.now)
                self._cut_off(leg)
                self._close(leg, rows.UNFINISHED)
                if leg is answering and not ended:
                    self._adopt(ask, leg)
                    ask.generated = leg.generated
            if ended:
                self._flush(ask)
            else:
                if answering is None and not deciding:
                    ask.backoff += self.now - ask.since
                self._end(ask, rows.R_UNFINISHED, 0)
