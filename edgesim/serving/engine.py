"""The kernel engine: the compiled arena behind the same doors as the readable twin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from edgesim.arena import rows
from edgesim.arena.state import Arena, blank, longer
from edgesim.records import LEG_RECORD, REQUEST_RECORD
from edgesim.serving import decision, loop
from edgesim.serving.booked import single_steps
from edgesim.serving.compiled import FAULT, FAULTS, PARAMETERS, address_of, blame_compiled, numbers_of
from edgesim.serving.formed_rows import RowBatch, as_listed
from edgesim.serving.occupancy import all_free_blocks, free_blocks
from edgesim.serving.system import FOREVER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from edgesim.policies import Policy
    from edgesim.serving.system import System

RECORD_ROWS = 1 << 15
POOL = 1 << 10


class KernelEngine:
    """Runs a system in the compiled arena.

    Args:
        system: Static rows.
        front: Who decides (unless `router` is compiled) and listens.
        emit_request: Takes arrays of finished REQUEST_RECORD rows; they are overwritten afterwards.
        emit_leg: Takes arrays of finished LEG_RECORD rows, or None.
        policies: Router, admission and scheduler in their compiled form, if the kernel shall decide by itself.
        ranked: Does the scheduler give ranks other than 0?
        price: Time [ps] and energy [nJ] of each decision that the kernel takes by itself.
        form: Forms the steps of replicas; None for the built-in way. No replica may then cache prefixes.
        emit_steps: Takes arrays of STEP_RECORD rows, or None; those of a replica in the order of time.
    """

    def __init__(
        self,
        system: System,
        front: decision.Front,
        emit_request: Callable[[NDArray[np.void]], None],
        emit_leg: Callable[[NDArray[np.void]], None] | None = None,
        policies: Sequence[Policy] = (),
        *,
        ranked: bool = True,
        price: tuple[int, int] = (0, 0),
        form: Callable[[RowBatch], decision.Formation] | None = None,
        emit_steps: Callable[[NDArray[np.void]], None] | None = None,
    ) -> None:
        self.system, self.front = system, front
        self.emit_request, self.emit_leg, self.emit_steps = emit_request, emit_leg, emit_steps
        self.arena = Arena()
        self.next_event: Callable[[], int] = lambda: FOREVER
        self.arrived: Callable[[int], None] = lambda _: None
        self._chunks: Iterator[NDArray[np.void]] = iter(())
        self._submitted = 0
        self._spare_asked: list[int] = []
        self._held: dict[int, decision.Plain] = {}
        self._form = form
        self._batches: dict[int, RowBatch] = {}
        self._lay_out()
        control = self.control
        control["forms"] = int(form is not None)
        self._compile(policies)
        control["ranked"] = int(ranked)
        control["decision_ps"], control["decision_nj"] = price
        control["keep_legs"] = int(emit_leg is not None)
        control["keep_steps"] = int(emit_steps is not None)
        self._offsets: list[int] = system.places[:, 0].tolist()
        self._classes: list[int] = system.workloads["llm"].tolist()
        self._renew_views()
        self._count_absent()

    def _compile(self, policies: Sequence[Policy]) -> None:
        """Hand the kernel the addresses, parameters and random keys of compiled policies."""
        parameters, keys = np.zeros(3 * PARAMETERS), np.zeros(FAULT + FAULTS, np.int64)
        for role, policy in enumerate(policies):
            field = ("router", "admitter", "ranker")[role]
            self.control[field] = address_of(policy)
            parameters[role * PARAMETERS : (role + 1) * PARAMETERS] = numbers_of(policy)
            keys[role] = np.uint64(policy.key).astype(np.int64)
        keys[3] = decision.NOT_ADMITTED
        self.arena.put("parameters", parameters)
        self.arena.put("keys", keys)
        self._compiled, self._faults = policies, self.arena.tables["keys"][FAULT:]

    # -- memory -------------------------------------------------------------------------------------------------

    def _lay_out(self) -> None:
        """Allocate every table from the system's rows."""
        system, put = self.system, self.arena.put
        control = blank(1, rows.CONTROL)
        replicas = longer(system.replicas, len(system.replicas), rows.REPLICA)
        links = longer(system.links, len(system.links), rows.LINK)
        for name in ("flows", "streams", "wake", "residual", "active"):
            links[name] = rows.NONE
        self._prepare_replicas(replicas)
        tables, costs = _flatten(system)
        limit = int(replicas["max_num_seqs"].max(initial=1))
        longest = max(int(system.candidates[name].max(initial=1)) for name in ("up_hops", "down_hops"))
        control["classes"], control["reached_at"] = system.classes, rows.NONE
        control["longest_path"] = max(longest, 8)
        control["batch_limit"] = limit
        control["end"], control["limit"] = system.end, system.limit
        control["max_demand"] = _largest_demand(system)
        control["ordered"] = int((links["sharing"] != rows.FAIR).any())
        put("control", control)
        put("links", links)
        put("candidates", system.candidates)
        put("places", system.places.reshape(-1))
        put("paths", system.paths)
        put("workloads", system.workloads)
        put("costs", costs)
        put("tables", tables)
        put("replicas", replicas)
        put("running", blank(int(replicas["max_num_seqs"].sum()) + 1, rows.SLOT))
        put("residues", np.zeros(int(replicas["block_size"].sum()) + 1, np.int64))
        put("request_rows", blank(RECORD_ROWS + 2 * limit, REQUEST_RECORD))
        put("told_rows", blank(2 * limit + 4 * loop.MARGIN, REQUEST_RECORD))
        put("leg_rows", blank((RECORD_ROWS if self.emit_leg else 0) + 2 * limit, LEG_RECORD))
        told = RECORD_ROWS + 2 * len(replicas) + loop.MARGIN  # every replica may break off at once
        put("booked", blank(told if self.emit_steps else 0, rows.BOOKED))
        widest = int(system.places[:, 1].max()) if len(system.places) else 1
        put("board", np.zeros(max(widest, 1) * decision.BOARD_COLUMNS, np.int64))
        put("listed", np.zeros(64, np.int64))
        put("arrivals", blank(1, rows.ARRIVAL))
        put("asked", blank(1, rows.ARRIVAL))
        put("dirty", np.zeros(len(links) + 1, np.int64))
        put("touched", np.zeros(len(links) + 1, np.int64))
        devices = longer(system.devices, max(1, len(system.devices)), rows.DEVICE)
        for name in ("holder", "first", "last"):
            devices[name] = rows.NONE
        put("devices", devices)
        put("hashes", system.hashes)
        put("next_uses", system.next_uses)
        for name, kind in (("legs", rows.LEG), ("requests", rows.REQUEST), ("flows", rows.FLOW_ROW)):
            put(name, np.zeros(0, kind))
            self._grow_pool(name, POOL + 2 * limit)
        control["caching"] = int(replicas["caching"].any())
        control["node_room"] = 2 * limit + int((replicas["max_tokens"] // replicas["block_size"]).max()) + 16
        put("nodes", np.zeros(0, rows.NODE))
        put("buckets", np.full(1, rows.NONE))
        self._grow_nodes(POOL + int(control["node_room"][0]) if control["caching"][0] else 1)
        self._size_heap()
        self._renew_views()

    def _prepare_replicas(self, replicas: NDArray[np.void]) -> None:
        for name, length in (("slots", "max_num_seqs"), ("residues", "block_size")):
            replicas[name] = np.cumsum(replicas[length]) - replicas[length]
        replicas["free_blocks"] = replicas["total_blocks"]
        replicas["free_swap"] = replicas["swap_blocks"]
        for name in (
            "partial",
            "wait_head",
            "wait_tail",
            "run_head",
            "run_tail",
            "swap_head",
            "swap_tail",
            "boundary",
            "idle",
        ):
            replicas[name] = rows.NONE
        keeps = np.array([cost.kv_block_bytes > 0 for cost in self.system.costs])
        replicas["caching"] &= (replicas["encoder"] == 0) & keeps[replicas["cost"]]

    def _grow_pool(self, name: str, length: int) -> None:
        """Give a pool more rows and chain the new ones into its free list."""
        old = len(self.arena.tables[name]) if self.arena.tables[name]["used"].any() else 0
        head = f"free_{name[:-1]}"
        control = self.control
        self.arena.grow(name, length)
        table = self.arena.tables[name]
        table["next_free"][old:] = np.arange(old + 1, length + 1)
        used = int(control[f"active_{name}"])
        if old and used < old:
            last = int(control[head])
            while int(table["next_free"][last]) < old:
                last = int(table["next_free"][last])
            table["next_free"][last] = old
        else:
            control[head] = old
        if name == "flows":
            self.arena.put(
                "hops", longer(self.arena.tables.get("hops"), length * int(control["longest_path"]), rows.HOP)
            )
            self.arena.put("moved", np.zeros(length, np.int64))

    def _grow_nodes(self, length: int) -> None:
        """Give the cached prefixes more rows, and twice as many buckets."""
        self._grow_pool("nodes", length)
        self.arena.put("buckets", np.full(1 << (2 * length - 1).bit_length(), rows.NONE))
        if self.control["active_nodes"]:
            loop.run(self.arena.address, 0, loop.REHASH, 0, 0, 0, 0)

    def _size_heap(self) -> None:
        control, tables = self.control, self.arena.tables
        need = (
            4 * (len(tables["requests"]) + len(tables["legs"]) + len(tables["flows"]))
            + 2 * (len(tables["links"]) + len(tables["replicas"]))
            + 8 * int(control["batch_limit"])
        )
        self.arena.put("heap", longer(tables.get("heap"), max(need, 2 * int(control["heap"])), rows.EVENT))

    def _grow(self) -> None:
        """Double what is short of room."""
        limit = int(self.control["batch_limit"])
        for name in ("requests", "legs", "flows"):
            length = len(self.arena.tables[name])
            if int(self.control[f"active_{name}"]) + loop.MARGIN + limit > length:
                self._grow_pool(name, 2 * length)
        self._make_nodes(0)
        self._size_heap()
        self._renew_views()

    def _make_nodes(self, count: int) -> None:
        """Room for so many more cached prefixes."""
        control = self.control
        need = int(control["active_nodes"]) + int(control["node_room"]) + count
        if control["caching"] and need > len(self.arena.tables["nodes"]):
            self._grow_nodes(2 * need)

    def _renew_views(self) -> None:
        """Memoryviews through which Python reads what the kernel wrote, without numpy's cost per item."""
        tables = self.arena.tables
        self.board = _words(tables["board"])
        self._control = _words(tables["control"])
        if "requests" in tables:
            self.request_words = self._requests = _words(tables["requests"])
        if self._form is not None and "legs" in tables:
            self.leg_words, self.replica_words = _words(tables["legs"]), _words(tables["replicas"])
        self._address = self.arena.address

    @property
    def control(self) -> Any:
        """The row of scalars."""
        return self.arena.tables["control"][0]

    @property
    def now(self) -> int:
        """Simulated time [ps]."""
        return int(self._control[NOW])

    @property
    def events(self) -> int:
        """Calendar entries that have happened."""
        return int(self.control["events"])

    @property
    def decided_nj(self) -> int:
        """Energy of decisions [nJ]."""
        return int(self.control["decided_nj"])

    # -- arrivals -----------------------------------------------------------------------------------------------

    def feed(self, chunks: Iterator[NDArray[np.void]]) -> None:
        """Take the open workloads' arrivals, sorted by time."""
        self._chunks = chunks

    def _refill(self) -> None:
        control = self.control
        chunk = next(self._chunks, None)
        if chunk is not None and len(chunk) and int(chunk["at"][-1]) >= self.system.end:
            chunk = chunk[chunk["at"] < self.system.end]
            self._chunks = iter(())
        control["arrival_next"] = 0
        if chunk is None:
            control["exhausted"], control["arrivals"] = 1, 0
        else:
            self.arena.put("arrivals", chunk)
            control["arrivals"] = len(chunk)

    def submit(self, arrival: NDArray[np.void]) -> None:
        """Enter one arrival at its time, which must not have passed."""
        if not self._spare_asked:
            asked = self.arena.tables["asked"]
            self._spare_asked = [int(i) for i in np.flatnonzero(asked["at"] == rows.NONE)]
            if not self._spare_asked:
                first = len(asked)
                self.arena.grow("asked", 2 * first + 64)
                self._spare_asked = list(range(first, 2 * first + 64))
            self._size_heap()
            self._renew_views()
        row = self._spare_asked.pop()
        self.arena.tables["asked"][row] = arrival
        self._submitted += 1
        self._do(loop.SUBMIT, row, self._submitted)

    # -- the clock ----------------------------------------------------------------------------------------------

    @property
    def idle(self) -> bool:
        """Is nothing left to happen?"""
        control = self.control
        more = control["arrival_next"] < control["arrivals"] or not control["exhausted"]
        return not (more or control["heap"] or control["dirty_count"])

    def rest(self, least: int) -> None:
        """Nothing is left to happen: go back to the time of the last request's end, but no further than that."""
        self.control["now"] = max(int(self.control["last"]), least)

    @property
    def unflushed(self) -> int:
        """Requests that have ended and whose records were not handed over yet."""
        return int(self.control["request_rows"])

    def advance(self, horizon: int) -> int:
        """Run up to, and without, the horizon [ps], or an earlier one that what happens calls for.

        Returns:
            The horizon reached.
        """
        run, control = loop.run, self._control
        stop = run(self._address, horizon, loop.GO, 0, 0, 0, 0)
        while True:
            if stop == loop.DECIDE:
                stop = self._decide(control[STOP_ARG], horizon)
                continue
            if self._faults[0]:
                raise blame_compiled(self._compiled, self._faults, self.now / rows.PS)
            if stop == loop.DECIDED:
                slot = control[STOP_ARG]
                stop = self._carry_out(slot, self._held.pop(slot), horizon)
                continue
            if stop == loop.FORM:
                stop = self._form_step(control[STOP_ARG], horizon)
                continue
            if stop in (loop.HORIZON, loop.DRAINED):
                return horizon
            if stop == loop.REFILL:
                self._refill()
            elif stop == loop.FLUSH:
                self.flush()
            elif stop == loop.GROW:
                self._grow()
                control = self._control
            elif stop == loop.ENDED:
                self._notify()
                horizon = min(horizon, self.next_event())
            elif stop == loop.TRANSFERRED:
                self.arrived(int(control[STOP_ARG]))
                horizon = min(horizon, self.next_event())
            stop = run(self._address, horizon, loop.GO, 0, 0, 0, 0)

    def _decide(self, slot: int, horizon: int) -> int:
        base = slot * REQUEST_WIDTH
        answer = self.front.decide(self._requests, base, self.board, self._control[NOW])
        if type(answer) is int:
            stop: int = loop.run(self._address, horizon, loop.SEND, slot, self._offset(base) + answer, 0, 0)
            return stop
        if isinstance(answer, decision.Costly):
            return self._deliberate(slot, answer, horizon)
        return self._carry_out(slot, answer, horizon)

    def _deliberate(self, slot: int, costly: decision.Costly, horizon: int) -> int:
        """Let a decision take its time; the kernel knows one place or a reason, other answers are kept here."""
        answer, base, rank = costly.answer, slot * REQUEST_WIDTH, 0
        if isinstance(answer, int):
            choice = self._offset(base) + answer
        elif isinstance(answer, decision.Dispatch) and len(answer.places) == 1:
            choice, rank = self._offset(base) + answer.places[0], answer.rank
        elif isinstance(answer, decision.Refuse):
            choice = -1 - answer.reason
        else:
            choice = decision.HELD
            self._held[slot] = answer
        self._requests[base + CHOSEN_RANK] = rank
        return int(loop.run(self._address, horizon, loop.DELIBERATE, slot, choice, costly.ps, costly.nj))

    def _carry_out(self, slot: int, answer: decision.Plain, horizon: int) -> int:
        if isinstance(answer, int):
            answer = decision.Dispatch((answer,))
        if isinstance(answer, decision.Dispatch):
            offset = self._offset(slot * REQUEST_WIDTH)
            if len(answer.places) == 1:
                return int(
                    loop.run(
                        self._address, horizon, loop.SEND, slot, offset + answer.places[0], answer.rank, 0
                    )
                )
            sent = 0
            for i, place in enumerate(answer.places):
                sent = self._do(loop.SEND_ONE, slot, offset + place, answer.rank, int(i == 0)) or sent
                if sent == loop.SENT_AND_LOST:
                    break  # at a replica that was down
            if sent:
                return int(loop.run(self._address, horizon, loop.GO, 0, 0, 0, 0))
            verb, value = loop.TURN_AWAY, decision.TOO_LONG
        elif isinstance(answer, decision.Refuse):
            verb, value = loop.TURN_AWAY, answer.reason
        else:
            assert isinstance(answer, decision.Wait)
            verb, value = loop.ASK_AGAIN, answer.until
        return int(loop.run(self._address, horizon, verb, slot, value, 0, 0))

    def _form_step(self, replica: int, horizon: int) -> int:
        """Have the next step of a replica formed."""
        batch = self._batches.get(replica)
        if batch is None:
            batch = self._batches[replica] = RowBatch(self, replica)
        assert self._form is not None
        formation = self._form(batch)
        listed = as_listed(formation)
        if len(listed) > len(self.arena.tables["listed"]):
            self.arena.put("listed", np.zeros(2 * len(listed), np.int64))
            self._renew_views()
        self.arena.tables["listed"][: len(listed)] = listed
        return int(loop.run(self._address, horizon, loop.STEP, replica, formation.steps, formation.until, 0))

    def _do(self, verb: int, a: int = 0, b: int = 0, c: int = 0, d: int = 0) -> int:
        """Have the kernel do one thing, without letting the arena run."""
        return int(loop.run(self._address, 0, verb, a, b, c, d))

    def _offset(self, base: int) -> int:
        cells = self._requests
        return self._offsets[
            cells[base + ORIGIN] * self.system.classes + self._classes[cells[base + WORKLOAD]]
        ]

    def _notify(self) -> None:
        count = int(self.control["told"])
        told = self.arena.tables["told_rows"][:count]
        records = (
            told.view(np.int64).copy().view(told.dtype)
        )  # field by field takes numpy twenty times as long
        self.control["told"] = 0
        for record in records:
            self.front.ended(record)

    def flush(self) -> None:
        """Hand over the records written so far."""
        control, tables = self.control, self.arena.tables
        count = int(control["request_rows"])
        if count:
            self.emit_request(tables["request_rows"][:count])
        if self.emit_leg is not None and int(control["leg_rows"]):
            self.emit_leg(tables["leg_rows"][: int(control["leg_rows"])])
        if self.emit_steps is not None:
            for steps in single_steps(tables["booked"][: int(control["booked"])]):
                self.emit_steps(steps)
        control["request_rows"] = control["leg_rows"] = control["booked"] = 0

    # -- what SimPy processes may do ----------------------------------------------------------------------------

    def _make_room(self, count: int) -> None:
        """Room for the records and events of `count` legs that end at once."""
        self.flush()
        self._make_nodes(3 * count)
        tables = self.arena.tables
        if len(tables["request_rows"]) < count + loop.MARGIN:
            self.arena.put("request_rows", blank(2 * count + loop.MARGIN, REQUEST_RECORD))
            self.arena.put("leg_rows", blank(2 * count + loop.MARGIN, LEG_RECORD))
        told = int(self.control["told"]) + count + int(self.control["batch_limit"]) + 4 * loop.MARGIN
        if len(tables["told_rows"]) < told:
            self.arena.put("told_rows", longer(tables["told_rows"], 2 * told, REQUEST_RECORD))
        if len(tables["listed"]) < count:
            self.arena.put("listed", np.zeros(2 * count, np.int64))
        if int(self.control["heap"]) + 4 * count + 64 > len(tables["heap"]):
            self.arena.put("heap", longer(tables["heap"], 2 * len(tables["heap"]) + 4 * count, rows.EVENT))
        self._renew_views()

    def transfer(self, owner: int, link: int, latency: int, nbytes: int, priority: int = 0) -> None:
        """Start a transfer over one link; `arrived(owner)` is called when its last byte is there."""
        if int(self.control["active_flows"]) + loop.MARGIN > len(self.arena.tables["flows"]):
            self._grow()
        path = len(self.system.paths) - len(self.system.links) + link
        self.arena.tables["listed"][0] = priority
        loop.run(self._address, nbytes, loop.TRANSFER, owner, path, 1, latency)

    def fail(self, replica: int) -> None:
        """Crash a replica now: its legs are lost, its unfinished step is waste."""
        legs = self.arena.tables["legs"]
        there = (legs["used"] == 1) & (legs["replica"] == replica)
        there &= np.isin(legs["state"], (rows.WAITING, rows.PREFILL, rows.DECODE, rows.SWAPPED))
        order = np.flatnonzero(there)
        order = order[np.argsort(legs["sequence"][order], kind="stable")]
        self._make_room(len(order))
        self.arena.tables["listed"][: len(order)] = order
        self._do(loop.ABORT, replica, rows.FAILED, len(order))
        self._count_absent()
        if self.control["notify"]:  # before another crash of this instant hands the records over
            self.control["notify"] = 0
            self._notify()

    def load(self, replica: int) -> tuple[int, int, int]:
        """Running and waiting legs of a replica, and its free KV blocks as of its last boundary."""
        row = self.arena.tables["replicas"][replica]
        waiting = int(row["waiting"] + row["swapped"])
        return int(row["running"]), waiting, free_blocks(self.arena.tables, replica)

    def loads(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """What `load` answers, of all replicas."""
        tables = self.arena.tables
        replicas = tables["replicas"]
        return (
            replicas["running"].copy(),
            replicas["waiting"] + replicas["swapped"],
            all_free_blocks(tables),
        )

    @property
    def last(self) -> int:
        """When the last request ended, as far as that is known [ps]."""
        return int(self.control["last"])

    def set_state(self, replica: int, state: int) -> None:
        """Let a replica start, serve, drain or stop."""
        self.arena.tables["replicas"]["state"][replica] = state
        self._count_absent()

    def _count_absent(self) -> None:
        self.control["absent"] = int((self.arena.tables["replicas"]["state"] != rows.ON).sum())

    def set_speed(self, replica: int, speed: int, saved_mw: int = 0) -> None:
        """Run a replica at this many thousandths of its nominal speed from now on, saving so much base power."""
        if self.emit_steps and int(self.control["booked"]) + loop.MARGIN > len(self.arena.tables["booked"]):
            self.flush()
        self._do(loop.STRETCH, replica, speed, saved_mw)

    def drawn(self, replicas: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Energy [nJ] and time [ps] of some replicas' steps so far."""
        count = len(replicas)
        if len(self.arena.tables["listed"]) < 2 * count:
            self.arena.put("listed", np.zeros(2 * count, np.int64))
            self._renew_views()
        listed = self.arena.tables["listed"]
        listed[:count] = replicas
        self._do(loop.METER, count)
        return listed[:count].copy(), listed[count : 2 * count].copy()

    def finish(self) -> None:
        """Close the books at the end of the run."""
        requests = self.arena.tables["requests"]
        order = np.flatnonzero(requests["used"] == 1)
        order = order[np.argsort(requests["request"][order], kind="stable")]
        self._make_room(2 * len(order) + int(self.control["active_legs"]))
        self.arena.tables["listed"][: len(order)] = order
        self._do(loop.FINISH, len(order))
        self.control["told"] = 0
        self.flush()


NOW = (rows.CONTROL.names or ()).index("now")
STOP_ARG = (rows.CONTROL.names or ()).index("stop_arg")
REQUEST_WIDTH = rows.REQUEST.itemsize // 8
ORIGIN = (rows.REQUEST.names or ()).index("origin")
WORKLOAD = (rows.REQUEST.names or ()).index("workload")
CHOSEN_RANK = (rows.REQUEST.names or ()).index("chosen_rank")


def _words(table: NDArray[Any]) -> memoryview:
    """A table's memory as integers, which Python reads without numpy's cost per item."""
    return memoryview(table.view(np.int64))  # type: ignore[arg-type]


def _flatten(system: System) -> tuple[NDArray[np.int64], NDArray[np.void]]:
    """All step costs' tables in one pool, and where they lie."""
    costs = blank(len(system.costs), rows.COST)
    parts: list[NDArray[np.int64]] = []
    length = 0
    for row, cost, window in zip(costs, system.costs, system.windows, strict=True):
        row["decode"], row["max_seqs"] = length, len(cost.decode_table) - 1
        length += cost.decode_table.size + cost.decode_coef.size
        row["mixed"], row["max_tokens"] = length, len(cost.mixed_table) - 1
        length += cost.mixed_table.size + cost.mixed_coef.size
        row["stream_rate"], row["swap_ps_per_block"] = cost.stream_rate, cost.swap_ps_per_block
        row["image_tokens"] = cost.tokens_per_image
        row["base_mw"], row["window"], row["kv"] = cost.base_mw, window, int(cost.kv_block_bytes > 0)
        row["cap_mw"] = cost.cap_mw
        parts += [
            np.ravel(t) for t in (cost.decode_table, cost.decode_coef, cost.mixed_table, cost.mixed_coef)
        ]
        if cost.measured is not None:
            found = cost.measured
            row["knot_count"], row["image"] = len(found.knots), found.image
            row["smallest"] = found.interpolated(int(found.chunks[0]), 0, 0, 0)
            for name, table in (
                ("decode", found.segments),
                ("knots", found.knots),
                ("linear", found.linear),
                ("head", found.head),
                ("grid", found.attention),
                ("chunk_axis", found.chunks),
                ("past_axis", found.pasts),
                ("sequence_axis", found.sequences),
                ("context_axis", found.contexts),
            ):
                row[name] = length
                parts.append(np.ravel(table))
                length += table.size
            for name, count in zip(
                ("chunk_count", "past_count", "sequence_count", "context_count"),
                found.attention.shape,
                strict=True,
            ):
                row[name] = count
    return np.concatenate(parts).astype(np.int64), costs


def _largest_demand(system: System) -> int:
    """The most that any reply stream may ask of a link [mB/s]."""
    rate = max((cost.stream_rate for cost in system.costs), default=0)
    overhead = int(system.candidates["down_overhead"].max(initial=0))
    return rate * int(max(system.workloads["bytes_per_token"], default=0) + overhead)
