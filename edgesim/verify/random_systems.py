"""Random small systems and stories, to hold the kernel against its twin."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import simpy

from edgesim.arena import rows
from edgesim.costs.measured import Measured
from edgesim.costs.step import StepCost
from edgesim.records import PHASES, STEP_RECORD
from edgesim.serving import decision
from edgesim.serving.reference import ReferenceEngine
from edgesim.serving.steps import StepFront
from edgesim.serving.system import System
from edgesim.serving.views import CostLook, RequestLook, WorkloadFacts

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from numpy.typing import NDArray

    from edgesim.policies import Scheduler

MS = 10**9


def step_cost(random: np.random.Generator, max_seqs: int, max_tokens: int, style: int) -> StepCost:
    """A made-up cost with ties, branch changes and power caps in reach; style 0 has round numbers."""

    def numbers(*shape: int, low: int, high: int) -> np.ndarray:
        return random.integers(low, high, shape).astype(np.int64)

    unit = MS if style == 0 else 1
    scale = 1 if style == 0 else MS
    decode = np.zeros((max_seqs + 1, 8), np.int64)
    mixed = np.zeros((max_tokens + 1, 8), np.int64)
    for table, per in ((decode, 3), (mixed, 2)):
        count = np.arange(len(table))
        for column in range(2):
            base = int(random.integers(1, 8 * scale)) * unit
            table[:, column] = base + count * int(random.integers(0, per * scale)) * unit
        for column in range(2, 6):
            table[:, column] = int(random.integers(1, 10**6)) + count * int(random.integers(0, 10**5))
        table[:, 6:] = count[:, None] * 3 + 1
        table[0] = 0
    big = 1 if style == 0 else 1000
    decode_coef = numbers(2, 8, low=0, high=3 * big) * (unit // 10 if style == 0 else 1)
    mixed_coef = numbers(8, 8, low=0, high=2 * big) * (unit // 100 if style == 0 else 1)
    return StepCost(
        decode_table=decode,
        decode_coef=decode_coef,
        mixed_table=mixed,
        mixed_coef=mixed_coef,
        stream_rate=int(random.integers(1000, 500_000)),
        kv_block_bytes=int(random.random() > 0.1),
        kv_blocks=0,
        swap_ps_per_block=int(random.integers(0, 3)) * unit,
        base_mw=int(random.integers(1, 10**5)),
        idle_mw=1000,
        calibration="made up",
        error_band=0.0,
    )


@dataclass
class Story:
    """What happens besides the arrivals."""

    failures: list[tuple[int, int]] = field(default_factory=list)
    repairs: list[tuple[int, int]] = field(default_factory=list)
    speeds: list[tuple[int, int, int]] = field(default_factory=list)
    readings: list[int] = field(default_factory=list)
    ticks: int = 0
    drains: list[tuple[int, int]] = field(default_factory=list)
    transfers: list[tuple[int, int, int, int]] = field(default_factory=list)
    """When, over which link, bytes, priority."""


def random_system(seed: int) -> tuple[System, np.ndarray, Story]:
    """A system, its arrivals and a story."""
    random = np.random.default_rng(seed)
    style = int(random.integers(0, 2))
    count = int(random.integers(1, 5))
    costs, replicas, windows = [], np.zeros(count, rows.REPLICA), []
    for i, replica in enumerate(replicas):
        seqs = int(random.choice([1, 2, 3, 4, 8]))
        tokens = seqs + int(random.choice([0, 1, 5, 16, 64]))
        cost = step_cost(random, seqs, tokens, style)
        costs.append(cost)
        windows.append(int(random.choice([0, 0, 5, 12])))
        replica["cost"] = i
        replica["node"] = i
        replica["max_num_seqs"], replica["max_tokens"] = seqs, tokens
        replica["block_size"] = int(random.choice([1, 2, 4, 16]))
        replica["total_blocks"] = (
            int(random.integers(20, 60)) if replica["block_size"] < 16 else int(random.integers(3, 9))
        )
        replica["watermark"] = int(random.integers(0, 3))
        replica["swaps"] = int(random.random() < 0.4)
        replica["swap_blocks"] = int(random.integers(0, 40))
        replica["context_limit"] = 64
        replica["state"], replica["speed"] = rows.ON, int(random.choice([1000, 1000, 700, 1300]))
        replica["encoder"] = int(random.random() < 0.05)
        replica["usd_per_ps"], replica["usd_per_nj"], replica["gram_per_nj"] = 1e-15, 1e-14, 1e-13
        replica["quality"] = 1.0 - i / 16
    origins = int(random.integers(1, 4))
    link_count = int(random.integers(1, 6))
    links = np.zeros(link_count, rows.LINK)
    links["capacity"] = random.choice([10**6, 2 * 10**6, 3 * 10**6, 10**7, 10**8], link_count)
    pool: list[int] = []
    candidates: list[np.void] = []
    places = np.zeros((origins, 2), np.int64)
    for origin in range(origins):
        places[origin, 0] = len(candidates)
        for r in range(count):
            place = np.zeros(1, rows.CANDIDATE)[0]
            place["replica"] = r
            for way in ("up", "down"):
                hops = int(random.integers(0, min(4, link_count + 1)))
                if way == "down" and int(place["up_hops"]) == 0:
                    hops = 0
                elif way == "down":
                    hops = max(hops, 1)
                path = random.permutation(link_count)[:hops]
                place[way] = len(pool)
                pool += [int(link) for link in path]
                place[f"{way}_hops"] = hops
                place[f"{way}_latency"] = int(random.integers(0, 3)) * MS * 5 if hops else 0
                place[f"{way}_narrow"] = int(min(links["capacity"][path], default=1))
                place[f"{way}_overhead"] = int(random.choice([0, 40, 100]))
                place[f"{way}_pj"] = int(random.integers(0, 10**6))
                place[f"{way}_egress"] = 1e-9
            candidates.append(place)
        places[origin, 1] = len(candidates) - places[origin, 0]
    flows = int(random.integers(1, 4))
    workloads = np.zeros(flows, rows.WORKLOAD)
    workloads["streams"] = random.integers(0, 2, flows)
    workloads["bytes_per_token"] = random.choice([4, 50, 400], flows)
    workloads["retries"] = random.integers(0, 3, flows)
    workloads["backoff"] = random.integers(0, 3, flows) * 10 * MS
    workloads["notify"] = random.integers(0, 2, flows)
    end = int(random.choice([10**14, 10**12, 2 * 10**11]))
    system = System(
        links=links, replicas=replicas, costs=costs, candidates=np.array(candidates), places=places, classes=1,
        paths=np.array([*pool, *range(link_count)], np.int64), workloads=workloads, end=end, windows=windows,
    )  # fmt: skip
    if seed % 5 == 4:
        workloads["limited"][0], system.limit = 1, 2 + seed % 41
    arrivals, story = random_arrivals(random, origins, flows, style), random_story(random, count, end)
    if seed % 16 == 15:
        system.costs = [with_measured(random, cost) for cost in costs]
        system.windows = [0] * count
        system.replicas["encoder"] = 0
    if seed % 4 == 2:
        with_cache(random, system, arrivals)
    if seed % 8 == 1:
        with_rivals(random, system, arrivals)
    if seed % 4 == 3:
        with_order(random, system, story)
    if seed > 40 and seed % 5 == 1:
        with_shared_devices(random, system)
    if seed % 11 == 10:
        tick = int(random.choice([3 * MS, 20 * MS, 10**10 + 7]))
        story.readings = [tick * (i + 1) for i in range(40)]
    return system, arrivals, story


def with_rivals(random: np.random.Generator, system: System, arrivals: NDArray[np.void]) -> None:
    """Let clients that are sent to several places stream, and lose patience, or the run end, or a replica fail."""
    system.workloads["streams"] = random.integers(0, 4, len(system.workloads)) > 0
    arrivals["patience"] = random.choice([0, 0, 0, 1000 * MS], len(arrivals))
    far = system.candidates["down_hops"] > 0
    system.candidates["down_latency"][far] += random.integers(0, 200, far.sum()) * MS
    if random.random() < 0.3:
        system.end = int(random.integers(20, 1000)) * MS


def with_order(random: np.random.Generator, system: System, story: Story) -> None:
    """Let links serve in order, and processes send over them, too."""
    kinds = [[rows.FIFO], [rows.PRIORITY], [rows.FAIR, rows.FIFO, rows.PRIORITY]][int(random.integers(0, 3))]
    system.links["sharing"] = random.choice(kinds, len(system.links))
    system.links["sharing"][0] = kinds[-1]
    system.workloads["streams"][0], system.workloads["bytes_per_token"][0] = 1, 2000  # takes long to send
    for _ in range(int(random.integers(0, 12))):
        at, link = int(random.integers(0, 5000)) * MS, int(random.integers(0, len(system.links)))
        story.transfers.append((at, link, int(random.integers(1, 20_000)), int(random.integers(0, 3))))


def with_cache(random: np.random.Generator, system: System, arrivals: NDArray[np.void]) -> None:
    """Let replicas keep prefixes, and prompts share some: by session, by workload, or as a trace names them."""
    n = len(arrivals)
    system.replicas["caching"] = random.integers(0, 4, len(system.replicas)) > 0
    system.replicas["cache_order"] = random.integers(0, 5, len(system.replicas))
    system.workloads["shared"] = random.integers(0, 2, len(system.workloads)) * random.integers(1, 20)
    system.workloads["carries"] = random.integers(0, 2, len(system.workloads))
    system.workloads["hash_tokens"] = int(random.integers(1, 17))
    arrivals["session"] = random.integers(0, 1 + n // 3, n)
    arrivals["turn"] = random.integers(0, 3, n)
    size = int(system.workloads["hash_tokens"][0])
    named = random.random(n) < 0.4
    arrivals["hash_count"] = np.where(named, -(-arrivals["prompt"] // size), 0)
    arrivals["hashes"] = np.cumsum(arrivals["hash_count"]) - arrivals["hash_count"]
    total = int(arrivals["hash_count"].sum())
    # A name stands for all before it, too: prompts begin alike and then part.
    system.hashes = np.zeros(max(total, 1), np.int64)
    for row in arrivals:
        path = 0
        for i in range(int(row["hash_count"])):
            path = 3 * path + int(random.integers(0, 2)) + 1 if i < 6 else path
            system.hashes[int(row["hashes"]) + i] = (i << 12) | path
    system.next_uses = random.integers(0, n, max(total, 1))


def with_shared_devices(random: np.random.Generator, system: System) -> None:
    """Let replicas share accelerators by turns, up to all of them one."""
    count = len(system.replicas)
    number = random.integers(0, 1 + count // 2, count) if random.random() < 0.7 else np.zeros(count, np.int64)
    system.replicas["accelerator"] = number + 1
    system.devices = np.zeros(int(number.max()) + 1, rows.DEVICE)
    for i, device in enumerate(system.devices):
        device["quantum"] = int(random.choice([1, 5 * MS, 30 * MS, 10**10 + 3, 2 * 10**11]))
        device["switch_ps"] = int(random.choice([0, 1, 7 * MS, 50 * MS]))
        device["loaded"] = int(random.choice(np.append(np.flatnonzero(number == i), rows.NONE)))


def with_measured(random: np.random.Generator, cost: StepCost) -> StepCost:
    """The same cost with made-up measured times, above its tables and below them."""

    def axis(first: int, longest: int) -> NDArray[np.int64]:
        steps = random.integers(1, longest, int(random.integers(1, 4)))
        return np.concatenate([[first], first + np.cumsum(steps)])

    def times(*shape: int) -> NDArray[np.int64]:
        return random.integers(0, 60 * MS, shape) // 7

    seqs, tokens = cost.max_num_seqs, cost.max_batched_tokens
    axes = [axis(int(random.integers(1, 4)), 9), axis(0, 9), axis(0, 4), axis(int(random.integers(1, 9)), 12)]
    knots = axis(0, 12)
    segments = times(seqs + 1, len(knots), 2, 8)
    segments[:, :, 1] //= 40
    measured = Measured(
        knots=knots,
        segments=segments,
        linear=times(tokens + 1),
        head=times(seqs + 1),
        image=int(random.integers(0, 9 * MS)),
        chunks=axes[0],
        pasts=axes[1],
        sequences=axes[2],
        contexts=axes[3],
        attention=times(*map(len, axes)),
    )
    return replace(cost, measured=measured, cap_mw=int(random.integers(1, 10**6)))


def random_arrivals(random: np.random.Generator, origins: int, workloads: int, style: int) -> np.ndarray:
    """Arrivals with many ties and bursts."""
    n = int(random.integers(1, 50))
    arrivals = np.zeros(n, rows.ARRIVAL)
    gap = int(random.choice([0, 1, 5, 50])) * MS
    if style == 0:
        arrivals["at"] = np.sort(random.integers(0, 1 + n, n)) * gap
    else:
        arrivals["at"] = np.sort(random.integers(0, 1 + n * gap, n))
    arrivals["origin"] = random.integers(0, origins, n)
    arrivals["workload"] = random.integers(0, workloads, n)
    arrivals["session"] = -1
    arrivals["prompt"] = random.integers(1, int(random.choice([4, 20, 40])), n)
    arrivals["output"] = random.integers(1, int(random.choice([2, 8, 30])), n)
    arrivals["predicted"] = random.integers(1, 20, n)
    arrivals["bytes_up"] = random.choice([10, 1400, 5000, 20_000], n)
    arrivals["images"] = random.integers(0, 2, n)
    arrivals["priority"] = random.integers(0, 3, n)
    if random.random() < 0.3:
        arrivals["patience"] = random.integers(0, 3, n) * 20 * MS
    return arrivals


def random_story(random: np.random.Generator, replicas: int, end: int) -> Story:
    """Crashes, repairs, speeds and idle ticks."""
    story = Story()
    span = min(end, 2 * 10**12)

    def moment() -> int:
        return (
            int(random.integers(0, max(1, span // MS))) * MS
            if random.random() < 0.5
            else int(random.integers(0, span))
        )

    for r in range(replicas):
        if random.random() < 0.3:
            at = moment()
            story.failures.append((at, r))
            if random.random() < 0.5:
                story.repairs.append((at + int(random.integers(1, 100)) * MS, r))
        for _ in range(int(random.integers(0, 3))):
            story.speeds.append((moment(), r, int(random.choice([500, 900, 1000, 1500]))))
        if random.random() < 0.1:
            story.drains.append((moment(), r))
    story.ticks = int(random.choice([0, 0, 3, 17])) * MS
    return story


class MadeUpFront:
    """Decides by a pure function of the request and of what the board shows, so that views are compared, too."""

    def __init__(self, system: System, seed: int, *, ranked: bool) -> None:
        self.system, self.seed, self.ranked = system, seed, ranked
        self.engine: Any = None
        self.costly = seed % 8 == 3
        self.ended_requests: list[int] = []
        self.seen: list[tuple[int, ...]] = []
        names = rows.REQUEST.names or ()
        self.fields = {name: names.index(name) for name in names}

    def decide(self, cells: Sequence[int], base: int, board: Sequence[int], now: int) -> decision.Answer:
        answer = self.choose(cells, base, board, now)
        draw = (cells[base + self.fields["request"]] * 6151 + self.seed * 7) % 12
        if not self.costly or draw < 3:
            return answer
        # round times meet other happenings at the same instant; some decisions take energy alone
        ps = (0, 3 * MS, 10 * MS, 7_777_777_777, 150 * MS)[draw % 5]
        return decision.Costly(answer, ps, draw * 1_234_567)

    def choose(self, cells: Sequence[int], base: int, board: Sequence[int], now: int) -> decision.Plain:
        """Answer, whatever it takes."""

        def get(name: str) -> int:
            return cells[base + self.fields[name]]

        _, length = self.system.candidate_range(get("origin"), get("workload"))
        view = tuple(board[i] for i in range(length * decision.BOARD_COLUMNS))
        self.seen.append((now, get("request"), *view))
        on = [i for i in range(length) if view[6 * i + decision.STATE] == rows.ON]
        draw = (get("request") * 7919 + self.seed * 104729 + get("attempts")) % 100
        if draw < 3:
            return decision.Refuse(decision.NO_REPLICA)
        if draw < 6 and get("backoff") == 0:
            return decision.Wait(now + 3 * MS)
        if not on:
            if draw % 2:
                return decision.Refuse(decision.NO_REPLICA)
            on = list(range(length))
        best = min(
            on, key=lambda i: (view[6 * i + 3], view[6 * i + 2] - view[6 * i + 4], (i + draw) % length)
        )
        rank = get("priority") if self.ranked else 0
        if draw > (50 if self.seed % 8 == 1 else 90) and len(on) > 1:
            return decision.Dispatch(tuple(dict.fromkeys([best, on[draw % len(on)]])), rank)
        return decision.Dispatch((best,), rank)

    def ended(self, record: NDArray[np.void]) -> None:
        self.ended_requests.append(int(record["request"]))
        if int(record["request"]) % 4 == 0 and len(self.ended_requests) < 30:
            arrival = np.zeros(1, rows.ARRIVAL)[0]
            for name in ("origin", "workload", "session", "prompt"):
                arrival[name] = record[name]
            arrival["output"], arrival["predicted"], arrival["bytes_up"] = 3, 5, 300
            finished = max(int(record["finished"]), self.engine.now)
            arrival["at"] = finished + (int(record["request"]) % 3) * MS
            self.engine.submit(arrival)


def tell(
    env: simpy.Environment, story: Story, engine: Any, until: int, readings: list[tuple[int, ...]]
) -> None:
    """Enter a story's happenings into a SimPy clock; meters are read into a list."""

    def at(when: int, action: Callable[..., None], *arguments: Any) -> None:
        if when < until:
            event = env.timeout(when)
            event.callbacks.append(lambda _: action(*arguments))

    for when, r in story.failures:
        at(when, engine.fail, r)
    for when, r in story.repairs:
        at(when, engine.set_state, r, rows.ON)
    for when, r in story.drains:
        at(when, engine.set_state, r, rows.DRAINING)
    for when, r, speed in story.speeds:
        at(when, engine.set_speed, r, speed)
    for owner, (when, link, nbytes, priority) in enumerate(story.transfers):
        at(when, engine.transfer, owner, link, 3 * MS, nbytes, priority)
    for when in story.readings:
        at(when, read_meters, engine, readings)


def read_meters(engine: Any, readings: list[tuple[int, ...]]) -> None:
    """Read what all replicas have drawn, and set their speed and base power by it, as heat would."""
    system = engine.system
    nj, ps = engine.drawn(np.arange(len(system.replicas)))
    readings.append((engine.now, *nj.tolist(), *ps.tolist()))
    for r, (energy, time) in enumerate(zip(nj.tolist(), ps.tolist(), strict=True)):
        speed = (400, 1000, 700, 1000)[(energy + time // 1000) % 4]
        engine.set_speed(r, speed, system.costs[r].base_mw * (energy % 4) // 4)


@dataclass
class Result:
    """Everything that is compared."""

    requests: np.ndarray
    legs: np.ndarray
    steps: np.ndarray
    seen: list[tuple[int, ...]]
    ended: list[int]
    totals: dict[str, list[float]]
    carried: list[float]
    came: list[tuple[int, int]]
    """When transfers of processes came, and which."""
    decided_nj: int
    readings: list[tuple[int, ...]] = field(default_factory=list)


TOTALS = (
    "busy_ps", "steps", "tokens", "compute_nj", "unattributed_ps", "wasted_nj", "peak_blocks", "preemptions",
    "served", "hit_tokens", "switches", "mflop", "kib",
)  # fmt: skip


def run_reference(seed: int, scheduler: Scheduler | None = None) -> Result:
    """The twin's account of a random system; a scheduler may form the steps."""
    system, arrivals, story = random_system(seed)
    env = simpy.Environment(0)
    front = MadeUpFront(system, seed, ranked=bool(seed % 2))
    requests: list[np.ndarray] = []
    legs: list[np.ndarray] = []
    steps: list[np.ndarray] = []
    engine = front.engine = ReferenceEngine(
        env,
        system,
        front,
        requests.append,
        legs.append,
        form=step_front(system, scheduler).form if scheduler else None,
        emit_step=steps.append,
    )
    came: list[tuple[int, int]] = []
    engine.arrived = lambda owner: came.append((engine.now, owner))
    readings: list[tuple[int, ...]] = []
    tell(env, story, engine, system.end, readings)
    engine.feed(iter([arrivals]))
    env.run(until=system.end)
    engine.finish()
    totals = {name: [getattr(r, name) for r in engine.replicas] for name in TOTALS}
    return Result(
        np.array(requests), np.array(legs), np.array(steps, STEP_RECORD), front.seen, front.ended_requests, totals,
        engine.network.carried_until(engine.now), came, engine.decided_nj, readings,
    )  # fmt: skip


def step_front(system: System, scheduler: Scheduler) -> StepFront:
    """Who asks a scheduler to form the steps of a random system."""
    facts = [WorkloadFacts(f"w{i}", "default", "public") for i in range(len(system.workloads))]
    like = RequestLook(facts, lambda node: f"n{node}", lambda _: "edge")
    names = [f"r{i}" for i in range(len(system.replicas))]
    costs = [CostLook(system.costs[int(i)]) for i in system.replicas["cost"]]
    return StepFront(scheduler, names, costs, like, {"scheduler": 0.0})


def run_kernel(seed: int, scheduler: Scheduler | None = None) -> Result:
    """The kernel's account of the same; where a scheduler forms the steps, without prefix caches."""
    from edgesim.serving.engine import KernelEngine

    system, arrivals, story = random_system(seed)
    env = simpy.Environment(0)
    front = MadeUpFront(system, seed, ranked=bool(seed % 2))
    requests: list[np.ndarray] = []
    legs: list[np.ndarray] = []
    steps: list[np.ndarray] = [np.zeros(0, STEP_RECORD)]
    engine = front.engine = KernelEngine(
        system,
        front,
        lambda r: requests.append(r.copy()),
        lambda r: legs.append(r.copy()),
        ranked=bool(seed % 2),
        form=step_front(system, scheduler).form if scheduler else None,
        emit_steps=steps.append,
    )
    came: list[tuple[int, int]] = []
    engine.arrived = lambda owner: came.append((engine.now, owner))
    readings: list[tuple[int, ...]] = []
    tell(env, story, engine, system.end, readings)
    if story.ticks:

        def tick() -> Generator[Any, Any, Any]:
            while env.now < 10**12:
                yield env.timeout(story.ticks)

        env.process(tick())
    cut = len(arrivals) // 2
    engine.feed(iter([arrivals[:cut], arrivals[cut:]] if cut else [arrivals]))
    from edgesim.serving.loop import NEVER

    while True:
        following = env.peek()
        horizon = min(int(following) if following != float("inf") else NEVER, system.end)
        engine.advance(horizon)
        if horizon == system.end:
            break
        while env.peek() == horizon:
            env.step()
    engine.finish()
    table = engine.arena.tables["replicas"]
    links = engine.arena.tables["links"]
    carried = [
        float(link["carried"]) + float(link["allotted"]) * float(engine.now - link["settled_at"]) * 1e-15
        for link in links
    ]
    empty = np.zeros(0, requests[0].dtype) if requests else np.zeros(0)
    return Result(
        np.concatenate(requests) if requests else empty, np.concatenate(legs) if legs else empty, np.concatenate(steps),
        front.seen,
        front.ended_requests, {name: [x.item() for x in table[name]] for name in TOTALS}, carried, came,
        engine.decided_nj, readings,
    )  # fmt: skip


def unbalanced(account: Result) -> list[str]:
    """What does not add up in an account by itself, in words."""
    found: list[str] = []
    if not len(account.requests):
        return found
    ended = account.requests[account.requests["finished"] >= 0]
    phases = np.array(sum(ended[phase] for phase in PHASES))
    off = ended[phases != ended["finished"] - ended["arrived"]]
    found += [f"the phases of {row['request']} do not add up to its time" for row in off]
    told = account.requests[account.requests["first_token_server"] >= 0]
    away = told["decision"] + told["uplink"] + told["backoff"]
    early = told[told["first_token_server"] - told["arrived"] - away < 0]
    found += [f"the first token of {row['request']} was made before it was there" for row in early]
    seen = account.requests[account.requests["first_token"] >= 0]
    early = seen[(seen["first_token_server"] < 0) | (seen["first_token_server"] > seen["first_token"])]
    found += [f"the client of {row['request']} saw a token before it was made" for row in early]
    late = ended[ended["first_token"] > ended["finished"]]
    found += [f"the first token of {row['request']} came after its end" for row in late]
    return found + _unbalanced_steps(account)


def _unbalanced_steps(account: Result) -> list[str]:
    """Where the steps that were told do not add up to what replicas counted, in words."""
    found = []
    whole = account.steps[account.steps["whole"] == 1]
    for replica in range(len(account.totals["steps"])):
        told = account.steps[account.steps["replica"] == replica]
        done = whole[whole["replica"] == replica]
        sums = {
            "busy_ps": (told["ended"] - told["began"]).sum(),
            "compute_nj": told["compute_nj"].sum(),
            "steps": len(done),
            "tokens": (done["prefill"] + done["decodes"]).sum(),
        }
        for name, value in sums.items():
            if value != account.totals[name][replica]:
                found.append(
                    f"{name} of the steps of replica {replica}: {value} != {account.totals[name][replica]}"
                )
        if (told["began"][1:] < told["ended"][:-1]).any():
            found.append(f"steps of replica {replica} overlap")
    return found


def differences(a: Result, b: Result) -> list[str]:
    """What differs between two accounts, in words."""
    found: list[str] = []
    for x, y in zip(a.readings, b.readings, strict=True):
        if x != y:
            found.append(f"meters differ first at {x} != {y}")
            break
    if a.seen != b.seen:
        for x, y in zip(a.seen, b.seen, strict=False):
            if x != y:
                found.append(f"views differ first at {x} != {y}")
                break
        else:
            found.append(f"decisions: {len(a.seen)} != {len(b.seen)}")
    if a.came != b.came:
        found.append(f"transfers came: {a.came} != {b.came}")
    if a.decided_nj != b.decided_nj:
        found.append(f"energy of decisions: {a.decided_nj} != {b.decided_nj}")
    if a.ended != b.ended:
        found.append(f"ends in another order: {a.ended} != {b.ended}")
    for what, keys in (
        ("requests", ["request"]),
        ("legs", ["request", "leg"]),
        ("steps", ["replica", "began"]),
    ):
        left, right = getattr(a, what), getattr(b, what)
        if len(left) != len(right):
            found.append(f"{what}: {len(left)} != {len(right)} rows")
            continue
        if not len(left):
            continue
        left, right = np.sort(left, order=keys), np.sort(right, order=keys)
        for name in left.dtype.names or ():
            same = left[name] == right[name]
            if left.dtype[name].kind == "f":
                same = np.abs(left[name] - right[name]) <= 1e-12 * np.maximum(1e-30, np.abs(left[name]))
            if not same.all():
                i = int(np.flatnonzero(~same)[0])
                found.append(f"{what}.{name}[{left[keys[0]][i]}]: {left[name][i]} != {right[name][i]}")
    for name in TOTALS:
        for one, other in zip(a.totals[name], b.totals[name], strict=True):
            if abs(one - other) > (1e-9 * abs(one) if name in ("mflop", "kib") else 0):
                found.append(f"total {name}: {a.totals[name]} != {b.totals[name]}")
                break
    for one, other in zip(a.carried, b.carried, strict=True):
        if abs(one - other) > 1e-9 * max(1.0, abs(one)):
            found.append(f"carried: {a.carried} != {b.carried}")
            break
    return found
