"""One replication of a scenario: built from its sections, run under one clock, totalled at the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from edgesim import topology, workload
from edgesim.arena import rows
from edgesim.errors import ScenarioError, SimulationError
from edgesim.outcome import LINK_TOTALS, REPLICA_TOTALS, Outcome, Progress, RunInfo, Sink, Totals
from edgesim.policies import Router
from edgesim.policies.checks import blame, check_rank
from edgesim.registry import build as build_policy
from edgesim.serving import fleet
from edgesim.serving.clock import Clock
from edgesim.serving.costly_front import CostlyFront, price_of
from edgesim.serving.decision_log import DecisionLog, KernelDecisions
from edgesim.serving.doors import Doors, picoseconds, speed_of
from edgesim.serving.front import Policies, PolicyFront
from edgesim.serving.heat import Heat
from edgesim.serving.reference import ReferenceEngine
from edgesim.serving.sampling import OTHERWISE_S, SAMPLES, Sampler, standing_by
from edgesim.serving.speed import Speeds
from edgesim.serving.system import FOREVER
from edgesim.serving.views import WorkloadFacts
from edgesim.streams import Streams

if TYPE_CHECKING:
    import simpy
    from numpy.typing import NDArray

    from edgesim.policies import Cache, Policy, PrefixView
    from edgesim.scenario import Scenario
    from edgesim.serving.engine import KernelEngine

Process = Callable[["Simulation"], Generator[Any, Any, Any]]
"""A SimPy process of one's own: a generator function of the simulation."""

COUNTED = (
    "hit_tokens", "switches",
    "busy_ps", "unattributed_ps", "steps", "tokens", "served", "preemptions", "wasted_nj", "compute_nj",
    "peak_blocks", "mflop", "kib",
)  # fmt: skip
"""What both engines count of each replica."""

STATES = (rows.OFF, rows.STARTING, rows.ON, rows.DRAINING, rows.FAILED)
"""States that a replica can be in."""

WORTH_COMPILING = 200_000
"""Requests from which on a built-in policy is compiled."""

BREATH = 0.1
"""Wall time between two looks at progress and at Ctrl-C [s]."""


class Simulation:
    """A replication, ready to run.

    Args:
        scenario: The validated scenario.
        replication: Which replication: another one draws other random numbers.
        processes: SimPy processes of one's own, started at time 0.
    """

    def __init__(self, scenario: Scenario, replication: int = 0, processes: Sequence[Process] = ()) -> None:
        self.scenario, self.replication = scenario, replication
        self.streams = Streams(scenario.scenario.seed, replication)
        self.topology = topology.build(scenario)
        policies = scenario.policies
        router, scheduler, admission = (
            build_policy(role, getattr(policies, role)) for role in ("router", "scheduler", "admission")
        )
        self.cache: Cache = build_policy("cache", policies.cache)
        self.policies = Policies(router, scheduler, admission, self.cache, self.streams)
        self.fleet = fleet.build(scenario, self.topology, self.cache.order)
        self.workload = workload.build(scenario, self.streams, self.topology)
        self.fleet.system.hashes, self.fleet.system.next_uses = self.workload.hashes()
        self._facts = [
            WorkloadFacts(name, load.tenant, load.privacy) for name, load in scenario.workloads.items()
        ]
        facts = [*self._facts, WorkloadFacts("by-process", "default", "public")]
        front = PolicyFront if router.decides_for_free else CostlyFront
        wanted = "decisions" in scenario.output.tables
        self._log = (
            DecisionLog(router, (admission, scheduler), partial(self._take, "decisions")) if wanted else None
        )
        self._kernel_log: KernelDecisions | None = None
        self.front = front(self.fleet, self.topology, facts, self.policies)
        if self._log is not None:
            self._log.front = self.front
        self.clock = Clock()
        self.end = self.fleet.system.end
        self._sink: Sink | None = None
        self._ended = False
        self._done = 0
        self._state_since = np.zeros(len(self.fleet.names), np.int64)
        self._on_ps = np.zeros(len(self.fleet.names), np.int64)
        self._backlog: list[tuple[float, int]] = []
        self._listen()
        self.engine: KernelEngine | ReferenceEngine = self._build_engine()
        self.speeds = Speeds(self.engine, len(self.fleet.names))
        self.doors = Doors(self)
        self.heat = self._build_heat()
        self._sampler = self._build_sampler()
        for process in processes:
            self.process(process(self))
        self._start_replicas()

    # -- building -----------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        """Arrange that the ends are heard which somebody waits for."""
        table = self.fleet.system.workloads
        for users in self.workload.users:
            table["notify"][users.workload] = 1
        if self.policies.listens:
            table["notify"] = 1
            self.front.on_end.append(self.front.tell_policies)
        if self.workload.users:
            self.front.on_end.append(self._continue)

    def _build_engine(self) -> KernelEngine | ReferenceEngine:
        system = self.fleet.system
        keep_legs = "legs" in self.scenario.output.tables
        take_steps = partial(self._take, "steps") if "steps" in self.scenario.output.tables else None
        steps = self.front.step_front()
        if self.scenario.engine == "reference" or self._forced:
            return ReferenceEngine(
                self.clock,
                system,
                self.front,
                lambda record: self._take_requests(record.reshape(1)),
                (lambda record: self._take_legs(record.reshape(1))) if keep_legs else None,
                self._rank_prefix if self.cache.order is None else None,
                steps.form if steps else None,
                (lambda record: take_steps(record.reshape(1))) if take_steps else None,
            )
        from edgesim.serving.engine import KernelEngine

        price = price_of(self.policies.router.decision_time, self.policies.router.decision_energy)
        compiled = self._compilable()
        if compiled and self._log is not None:
            self._kernel_log = KernelDecisions(self.front, price, partial(self._take, "decisions"))
        engine = KernelEngine(
            system,
            self.front,
            self._take_requests,
            self._take_legs if keep_legs or self._kernel_log is not None else None,
            compiled,
            ranked=self.policies.ranks,
            form=steps.form if steps else None,
            price=price,
            emit_steps=take_steps,
        )
        self.front.read_from(engine.board)
        return engine

    def _build_heat(self) -> Heat | None:
        """The temperatures of what warms up, read and set tick by tick; None where nothing does."""
        if all(node.thermal is None for node in self.scenario.topology.nodes.values()):
            return None
        heat = Heat(
            self.scenario,
            self.fleet,
            self.engine.drawn,
            lambda: self.time_on(self._now_ps),
            self.speeds,
            self.doors.works,
        )
        if not len(heat.replicas):
            return None
        tick = round(self.scenario.energy.tick * rows.PS)
        self.clock.every(max(1, tick), lambda: heat.advance(int(self.clock.now)))
        return heat

    def _build_sampler(self) -> Sampler | None:
        """What records the time series, if they are wanted."""
        output, duration = self.scenario.output, self.scenario.scenario.duration
        if "resources" not in output.tables:
            return None
        period = output.sample or (OTHERWISE_S if duration is None else duration / SAMPLES)
        return Sampler(self, max(1, round(period * rows.PS)), partial(self._take, "resources"))

    @property
    def _forced(self) -> str:
        """What asks for the readable engine, if anything does."""
        caching = self.fleet.system.replicas["caching"].any()
        if self.cache.order is None and caching:
            return f"the cache policy {self.cache.kind!r} is Python"
        if self.policies.scheduler.forms_steps and caching:
            return f"the scheduler {self.policies.scheduler.kind!r} forms steps beside prefix caches"
        return ""

    def _cache_notes(self) -> list[str]:
        """What a report should say of prefix caches that changed nothing."""
        caching = self.fleet.system.replicas["caching"].astype(bool)
        if not caching.any() or self._counted()["hit_tokens"][caching].any():
            return []
        return ["prefix caches are on, but no prompt was found in one"]

    def _rank_prefix(self, prefix: PrefixView, now: int) -> float:
        """Ask the cache policy."""
        seconds_now = now / rows.PS
        try:
            answer = self.cache.rank(prefix, seconds_now)
        except Exception as error:
            raise blame(self.cache, error, None, seconds_now) from error
        check_rank(self.cache, answer, None, seconds_now)
        return answer

    def _compilable(self) -> Sequence[Policy]:
        """Router, admission and scheduler if the kernel can decide by itself, and it pays to compile them."""
        from edgesim.serving.compiled import compiled_form

        policies = self.policies
        admitted = self.front.plain_admission or compiled_form(policies.admission) is not None
        plain = admitted and not policies.listens
        if not plain or compiled_form(policies.router) is None or not self._pays_to_compile():
            return ()
        if type(policies.router).decision_cost is not Router.decision_cost:
            return ()
        if policies.ranks and compiled_form(policies.scheduler) is None:
            return ()
        return (policies.router, policies.admission, policies.scheduler)

    def _pays_to_compile(self) -> bool:
        """Compiling a policy takes the time of a hundred thousand Python decisions."""
        if getattr(self.policies.router, "compiled_route", None) is not None:
            return True
        settings = self.scenario.scenario
        expected = 0.0
        for load in self.scenario.workloads.values():
            rate = getattr(load.arrivals, "rate", 0.0) * (settings.duration or 0.0)
            each = (
                self.topology.group(load.from_)[1] if getattr(load.arrivals, "per", "total") == "node" else 1
            )
            expected += rate * each
        return (settings.requests or expected) >= WORTH_COMPILING

    def _start_replicas(self) -> None:
        """Let replicas that need time to start come up."""
        for index in np.flatnonzero(self.fleet.system.replicas["state"] == rows.STARTING):
            after = int(self.fleet.system.replicas["start_ps"][index])
            self._at(after / rows.PS, self.set_state, int(index), rows.ON)

    @property
    def info(self) -> RunInfo:
        """The names behind the numbers; valid from before the run on."""
        scenario = self.scenario
        names = [facts.name for facts in self._facts]
        used = sorted(set(self.fleet.deployments))
        found = [self.fleet.system.costs[d] for d in used]
        notes = [
            f"{policy.role} {policy.kind!r} is an oracle: it sees what no real controller knows"
            for policy in self.policies.all
            if policy.oracle
        ]
        notes += [note for cost in found for note in cost.notes]
        if self.heat is not None and self._ended:
            notes += self.heat.notes(self.fleet.names)
        notes += self._cache_notes() if self._ended else []
        if self._forced:
            notes.append(f"{self._forced}: the readable engine ran")
        return RunInfo(
            workloads=[*names, "by-process"],
            tenants=[*(facts.tenant for facts in self._facts), "default"],
            privacies=[*(facts.privacy for facts in self._facts), "public"],
            node_names=self.topology.node_name,
            replica_names=self.fleet.names,
            replica_tiers=self.fleet.tiers,
            replica_llms=self.fleet.llms,
            replica_nodes=[self.topology.node_name(node) for node in self.fleet.nodes],
            reasons=self.front.reasons,
            duration_s=self.now,
            warmup_s=scenario.scenario.warmup,
            seed=scenario.scenario.seed,
            replication=self.replication,
            engine="reference" if isinstance(self.engine, ReferenceEngine) else "kernel",
            calibration="; ".join(dict.fromkeys(cost.calibration for cost in found)),
            error_band=max((cost.error_band for cost in found), default=None),
            link_names=[self.topology.link_name(link) for link in range(self.topology.link_count)],
            notes=notes,
            carbon_stated=any(
                node.grid is not None or node.carbon is not None
                for node in (scenario.topology.nodes[one.on] for one in scenario.deployments)
            ),
        )

    # -- records ------------------------------------------------------------------------------------------------

    def _take(self, table: str, chunk: NDArray[np.void]) -> None:
        """Hand rows of a table on."""
        assert self._sink is not None
        self._sink.take(table, chunk)

    def _take_requests(self, chunk: NDArray[np.void]) -> None:
        self._done += len(chunk)
        self._take("requests", chunk)
        if self._kernel_log is not None:
            self._kernel_log.requests(chunk)

    def _take_legs(self, chunk: NDArray[np.void]) -> None:
        self._take("legs", chunk)
        if self._kernel_log is not None:
            self._kernel_log.legs(chunk)

    def _continue(self, record: NDArray[np.void]) -> None:
        """Let the user of an ended request ask the next one."""
        users = self.workload.continuation(int(record["workload"]))
        if users is None:
            return
        ended = max(int(record["finished"]), self._now_ps)
        row: Any = users.after(int(record["session"]), int(record["turn"]), ended)
        if row is not None:
            self.engine.submit(row)

    # -- time ---------------------------------------------------------------------------------------------------

    @property
    def _now_ps(self) -> int:
        return self.engine.now if self._ended else max(int(self.clock.now), self.engine.now)

    @property
    def now(self) -> float:
        """Simulated time [s]."""
        return self._now_ps / rows.PS

    def after(self, delay: float | str) -> simpy.Timeout:
        """A SimPy timeout of so many seconds, or of a quantity such as "500 ms"."""
        return self.clock.timeout(picoseconds(delay))

    def process(self, generator: Generator[Any, Any, Any]) -> simpy.Process:
        """Start a SimPy process; it may wait for `after`, `transfer`, `generate`, `use` and for other processes."""
        return self.clock.process(generator)

    # -- what processes may do ----------------------------------------------------------------------------------

    def transfer(self, link: int | str, nbytes: int, priority: int = 0) -> simpy.Event:
        """Send bytes over one link, in contention with everything on it; the event comes when they are there.

        Args:
            link: Its number or name.
            nbytes: How much [B].
            priority: What counts on links that are shared by priority; the smaller the more urgent.
        """
        return self.doors.transfer(link, nbytes, priority)

    def generate(self, replica: int | str, prompt_tokens: int, output_tokens: int) -> simpy.Event:
        """Ask a replica directly; the event's value is the request's record, when its answer is complete."""
        return self.doors.generate(replica, prompt_tokens, output_tokens)

    def use(
        self,
        place: int | str,
        work: float | str,
        weight: float = 1.0,
        power: float | str | None = None,
    ) -> simpy.Event:
        """Run something else on the device of a replica, such as training; the event comes when it is done.

        Everybody on a device has a part of it by weight, used or not: the replica weighs 1, busy or idle (nothing if
        it is off or has failed). Beside n works of weight 1 it runs at 1 / (n + 1) of its speed, and so do they at
        theirs. The energy above the idle power belongs to the work, whose record (`edgesim.serving.works.Work`) is the
        event's value; the summary adds it up as `energy_j.works`. A replica that crashes loses no works.

        Args:
            place: The replica, or a node that has one.
            work: How long the device would take for it alone, at full speed [s], or as a quantity such as "30 s".
            weight: How much it weighs: 0.25 leaves 80 % to the replica.
            power: What the device draws when it runs alone [W], or as a quantity; the most it can if left out.
        """
        return self.doors.use(place, work, weight, power)

    def replica(self, name: int | str) -> int:
        """Index of a replica, by name."""
        return self.doors.replica(name)

    def load(self, replica: int | str) -> tuple[int, int, float]:
        """Running and waiting requests of a replica, and the share of its KV cache in use.

        The share is as of the last step boundary before now.
        """
        index = self.doors.replica(replica)
        total = max(1, int(self.fleet.system.replicas["total_blocks"][index]))
        running, waiting, free = self.engine.load(index)
        return running, waiting, 1 - free / total

    def set_state(self, replica: int | str, state: int) -> None:
        """Let a replica serve, drain, fail or stop (states of `edgesim.arena.rows`)."""
        replica = self.replica(replica)
        if state not in STATES:
            raise SimulationError(f"{state!r} is no state of a replica; use those of edgesim.arena.rows")
        before = int(self._states()[replica])
        if before not in {rows.OFF, rows.FAILED}:
            self._on_ps[replica] += self._now_ps - self._state_since[replica]
        self._state_since[replica] = self._now_ps
        self.front.absent += (state != rows.ON) - (before != rows.ON)
        if state == rows.FAILED:
            self.engine.fail(replica)
        else:
            self.engine.set_state(replica, state)
        self.doors.works.set_serving(replica, serving=state not in {rows.OFF, rows.FAILED})

    def _states(self) -> Any:
        if isinstance(self.engine, ReferenceEngine):
            return [replica.state for replica in self.engine.replicas]
        return self.engine.arena.tables["replicas"]["state"]

    def fail_replica(self, replica: int | str, at: float | str | None = None) -> None:
        """Crash a replica: what it holds is lost, and retried if the scenario says so.

        Args:
            replica: Its index or name.
            at: When, as a simulated time [s] or a quantity such as "5 min"; now if left out.
        """
        self._at(at, self.set_state, self.replica(replica), rows.FAILED)

    def drain_replica(self, replica: int | str, at: float | str | None = None) -> None:
        """Let a replica finish what it holds and take nothing new; the arguments are those of `fail_replica`."""
        self._at(at, self.set_state, self.replica(replica), rows.DRAINING)

    def start_replica(self, replica: int | str, at: float | str | None = None) -> None:
        """Bring a replica (back) up, after the start time of its deployment."""
        self._at(at, self._start, self.replica(replica))

    def _start(self, index: int) -> None:
        self.set_state(index, rows.STARTING)
        self._at(
            self.now + int(self.fleet.system.replicas["start_ps"][index]) / rows.PS,
            self.set_state,
            index,
            rows.ON,
        )

    def set_speed(self, replica: int | str, speed: float, at: float | str | None = None) -> None:
        """Run a replica's device at this multiple of its nominal speed, such as 0.5, from now or `at` on.

        What else runs there (`use`) slows down with it; the replica's part of the device stays the same.

        Where heat slows it down, too, the two multiply.
        """
        self._at(at, self.speeds.ask, self.replica(replica), speed_of(speed) / rows.FULL_SPEED)

    def _at(self, at: float | str | None, action: Callable[..., None], *arguments: float) -> None:
        """Do something now, or have SimPy do it at a time."""
        if at is None:
            action(*arguments)
            return
        event = self.clock.timeout(picoseconds(at) - int(self.clock.now))
        event.callbacks.append(lambda _: action(*arguments))

    # -- running ------------------------------------------------------------------------------------------------

    def run(self, sink: Sink, progress: Progress | None = None) -> Outcome:
        """Run to the end; records go to the sink as they come."""
        self._sink = sink
        for users in self.workload.users:
            for row in users.first():
                self.engine.submit(row)
        self.engine.feed(self._chunks())
        if isinstance(self.engine, ReferenceEngine):
            self._run_reference(self.engine, progress)
        else:
            self._run_kernel(self.engine, progress)
        return self._close(sink)

    def so_far(self, sink: Sink) -> Outcome:
        """After an interruption: hand over what is finished and the totals up to now."""
        return self._close(sink)

    def _close(self, sink: Sink) -> Outcome:
        self._sink = sink
        if self.heat is not None:
            self.heat.close(self._now_ps)
        if self._sampler is not None:
            self._sampler.close(self.engine.now)
        self.engine.finish()
        if self._log is not None:
            self._log.flush()
        self._ended = True
        return Outcome(self._totals(), self.info)

    def _chunks(self) -> Iterator[NDArray[np.void]]:
        for chunk in self.workload.chunks():
            self._check_lengths(chunk)
            yield chunk

    def _check_lengths(self, chunk: NDArray[np.void]) -> None:
        if len(chunk) and (chunk["prompt"].min() < 1 or chunk["output"].min() < 1):
            row = int(np.flatnonzero((chunk["prompt"] < 1) | (chunk["output"] < 1))[0])
            raise ScenarioError(f"request {row} of a workload asks for no tokens; lengths start at 1")

    def _run_kernel(self, engine: KernelEngine, progress: Progress | None) -> None:
        clock, end = self.clock, self.end
        stride = rows.PS
        while True:
            started = time.perf_counter()
            target = min(end, engine.now + stride)
            horizon = min(clock.peek(), target)
            horizon = engine.advance(horizon)
            if horizon == end:
                break
            if engine.idle and end == FOREVER and clock.resting:
                engine.rest(self.doors.works.last)
                break
            if engine.idle and clock.peek() == FOREVER:
                engine.advance(end)
                break
            clock.advance_to(horizon)
            while clock.peek() == horizon:
                clock.step()
            took = time.perf_counter() - started
            if horizon == target:
                stride = min(max(stride * 2 if took < BREATH else stride // 2, rows.PS // 100), 10**17)
            if progress is not None and took > BREATH / 4:
                progress(horizon / rows.PS, self._done + engine.unflushed)

    def _run_reference(self, engine: ReferenceEngine, progress: Progress | None) -> None:
        clock, shown = self.clock, time.perf_counter()
        while clock.peek() < min(self.end, FOREVER) and not (self.end == FOREVER and clock.resting):
            clock.step()
            if time.perf_counter() - shown > BREATH and progress is not None:
                shown = time.perf_counter()
                progress(self.now, self._done)
        if self.end < FOREVER:
            clock.advance_to(self.end)
        else:
            engine.rest(self.doors.works.last)

    # -- totals -------------------------------------------------------------------------------------------------

    def _totals(self) -> Totals:
        now = self._now_ps
        table = self._counted()
        system = self.fleet.system
        found = np.zeros(len(table["busy_ps"]), REPLICA_TOTALS)
        found["on_ps"] = self.time_on(now)
        for name in (
            "busy_ps",
            "unattributed_ps",
            "steps",
            "tokens",
            "served",
            "preemptions",
            "hit_tokens",
            "switches",
        ):
            found[name] = table[name]
        found["compute_nj"] = table["compute_nj"]
        found["peak_kv_blocks"], found["kv_blocks"] = table["peak_blocks"], system.replicas["total_blocks"]
        found["idle_ps"] = standing_by(found["on_ps"], found["busy_ps"], system.replicas["accelerator"])
        for i, row in enumerate(system.replicas):
            cost = system.costs[int(row["cost"])]
            work_nj = found["work_nj"][i] = self.doors.works.energy_nj(i, now)
            idle_nj = cost.idle_mw * int(found["idle_ps"][i]) // 10**6
            found["idle_nj"][i] = idle_nj
            owned = int(found["idle_ps"][i]) + int(found["unattributed_ps"][i])
            found["idle_cost_usd"][i] = owned * float(row["usd_per_ps"]) + float(idle_nj + work_nj) * float(
                row["usd_per_nj"]
            )
            found["idle_carbon_g"][i] = float(idle_nj + work_nj) * float(row["gram_per_nj"])
            busy = int(found["busy_ps"][i]) / rows.PS
            if busy and cost.work_unit and cost.peak_flops:
                found["mfu"][i] = table["mflop"][i] * cost.work_unit / (cost.peak_flops * busy)
                found["mbu"][i] = table["kib"][i] * 1024.0 / (cost.peak_bandwidth * busy)
        found["mflop"], found["kib"] = table["mflop"], table["kib"]
        links = np.zeros(len(system.links), LINK_TOTALS)
        links["bytes"] = self.carried(now)
        links["capacity"] = system.links["capacity"] / fleet.MILLIBYTES
        if now:
            links["utilisation"] = links["bytes"] / (links["capacity"] * (now / rows.PS))
        totals = Totals(
            replicas=found,
            links=links,
            events=self.engine.events,
            decided_nj=self.engine.decided_nj,
            policy_s=dict(self.front.seconds),
        )
        return totals if self.heat is None else replace(totals, heat=self.heat.totals)

    def time_on(self, now: int) -> NDArray[np.int64]:
        """How long each replica was switched on up to now [ps]."""
        states = np.array(self._states())
        serving = (states != rows.OFF) & (states != rows.FAILED)
        on: NDArray[np.int64] = self._on_ps + np.where(serving, now - self._state_since, 0)
        return on

    def _counted(self) -> Any:
        if isinstance(self.engine, ReferenceEngine):
            twins = self.engine.replicas
            return {name: np.array([getattr(twin, name) for twin in twins]) for name in COUNTED}
        return self.engine.arena.tables["replicas"]

    def carried(self, now: int) -> Any:
        """What each link carried up to now [B]."""
        if isinstance(self.engine, ReferenceEngine):
            return self.engine.network.carried_until(now)
        links = self.engine.arena.tables["links"][: len(self.fleet.system.links)]
        return links["carried"] + links["allotted"] * (now - links["settled_at"]).astype(float) * 1e-15
