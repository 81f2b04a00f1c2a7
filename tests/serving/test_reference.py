"""Small systems worked out on paper, told by both engines.

A step that only decodes takes 10 ms and 1 ms a sequence and draws 0.5 mJ a sequence; a step with prompt tokens
takes 20 ms and 2 ms a token and draws 1 mJ a token. So 10 prompt tokens take 40 ms, and a lone decode 11 ms.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from edgesim.arena import rows
from edgesim.costs.step import StepCost
from edgesim.records import PHASES
from edgesim.serving import decision
from edgesim.serving.clock import Clock
from edgesim.serving.engine import KernelEngine
from edgesim.serving.reference import ReferenceEngine
from edgesim.serving.system import System

if TYPE_CHECKING:
    from collections.abc import Callable

MS = 10**9
MJ = 10**6
END = 10**13


def step_cost(sequences: int, tokens: int, **more: int) -> StepCost:
    """The cost that this file's docstring states."""
    decode = np.zeros((sequences + 1, 8), np.int64)
    mixed = np.zeros((tokens + 1, 8), np.int64)
    decode[1:, 0] = [10 * MS + n * MS for n in range(1, sequences + 1)]
    decode[1:, 2] = [n * MJ // 2 for n in range(1, sequences + 1)]
    mixed[1:, 0] = [20 * MS + 2 * n * MS for n in range(1, tokens + 1)]
    mixed[1:, 2] = [n * MJ for n in range(1, tokens + 1)]
    decode[:, 4] = mixed[:, 4] = 10**15
    facts = {
        "kv_blocks": 0,
        "swap_ps_per_block": 0,
        "base_mw": 0,
        "idle_mw": 0,
        "stream_rate": 90_000,
        **more,
    }
    return StepCost(
        decode_table=decode, decode_coef=np.zeros((2, 8), np.int64), mixed_table=mixed,
        mixed_coef=np.zeros((8, 8), np.int64), kv_block_bytes=1, calibration="by hand", error_band=0.0, **facts,
    )  # fmt: skip


def system(
    replicas: int = 1, *, far: bool = False, cost: dict[str, int] | None = None, **settings: int
) -> System:
    """Some equal replicas; far ones lie behind a link of 1 MB/s and 5 ms with 40 B overhead a message."""
    facts = {
        "max_num_seqs": 4,
        "max_tokens": 16,
        "block_size": 4,
        "total_blocks": 100,
        "context_limit": 64,
        **settings,
    }
    table = np.zeros(replicas, rows.REPLICA)
    for name, value in facts.items():
        if name in (rows.REPLICA.names or ()):
            table[name] = value
    table["state"], table["speed"], table["swap_blocks"] = rows.ON, rows.FULL_SPEED, 8
    links = np.zeros(1, rows.LINK)
    links["capacity"] = 10**9
    places = np.zeros(replicas, rows.CANDIDATE)
    places["replica"] = range(replicas)
    for way in ("up", "down"):
        places[way + "_narrow"] = 10**9
        if far:
            places[way + "_hops"], places[way + "_latency"], places[way + "_overhead"] = 1, 5 * MS, 40
    workloads = np.zeros(1, rows.WORKLOAD)
    workloads["bytes_per_token"] = 4
    for name in ("streams", "retries", "backoff", "notify"):
        workloads[name] = settings.get(name, 0)
    costs = [step_cost(facts["max_num_seqs"], facts["max_tokens"], **(cost or {}))]
    return System(
        links=links, replicas=table, costs=costs, candidates=places, places=np.array([[0, replicas]]), classes=1,
        paths=np.zeros(2, np.int64), workloads=workloads, end=END, windows=[0],
    )  # fmt: skip


def asks(*requests: dict[str, int]) -> np.ndarray:
    """Arrivals; times in milliseconds."""
    table = np.zeros(len(requests), rows.ARRIVAL)
    for row, request in zip(table, requests, strict=True):
        row["session"], row["bytes_up"] = -1, 100
        for name, value in request.items():
            row[name] = value * MS if name in ("at", "patience") else value
        row["predicted"] = row["output"]
    return table


Deeds = list[tuple[int, str, tuple[int, ...]]]
Tell = Any


@pytest.fixture(params=["twin", "kernel"])
def tell(request: pytest.FixtureRequest) -> Tell:
    """Runs a system to its end and answers its requests, legs and replicas."""

    def run(
        built: System,
        arrivals: np.ndarray,
        decide: Callable[[int], decision.Answer] = lambda attempts: 0,
        deeds: Deeds | None = None,
        end: int = END,
    ) -> SimpleNamespace:
        built.end = end
        attempts = (rows.REQUEST.names or ()).index("attempts")
        front: Any = SimpleNamespace(
            decide=lambda cells, base, board, now: decide(cells[base + attempts]),
            ended=lambda record: told.append((engine.now / MS, int(record["request"]))),
        )
        told: list[tuple[float, int]] = []
        requests: list[Any] = []
        legs: list[Any] = []
        clock = Clock()
        engine: Any
        if request.param == "twin":
            engine = ReferenceEngine(clock, built, front, requests.append, legs.append)
        else:
            engine = KernelEngine(
                built,
                front,
                lambda r: requests.extend(r.copy()),
                lambda r: legs.extend(r.copy()),
                ranked=False,
            )
        for at, name, arguments in deeds or []:
            event = clock.timeout(at * MS)
            event.callbacks.append(
                lambda _, name=name, arguments=arguments: getattr(engine, name)(*arguments)
            )
        engine.feed(iter([arrivals]))
        if request.param == "twin":
            clock.run(until=end)
        else:
            while True:
                horizon = engine.advance(min(clock.peek(), end))
                if horizon == end:
                    break
                while clock.peek() == horizon:
                    clock.step()
        engine.finish()
        replicas = (
            engine.replicas if request.param == "twin" else engine.arena.tables["replicas"].view(np.recarray)
        )
        requests.sort(key=lambda row: row["request"])
        legs.sort(key=lambda row: (row["request"], row["leg"]))
        for row in requests:
            if row["finished"] >= 0:
                assert sum(int(row[phase]) for phase in PHASES) == row["finished"] - row["arrived"]
        return SimpleNamespace(requests=requests, legs=legs, replicas=replicas, told=told)

    return run


def ms(row: Any, *names: str) -> list[float]:
    """Some times of a record [ms]."""
    return [int(row[name]) / MS for name in names]


def test_one_request(tell: Tell) -> None:
    """10 prompt tokens take 40 ms, of which the first output token comes, two more decodes take 22 ms."""
    told = tell(system(), asks({"at": 3, "prompt": 10, "output": 3}))
    (row,) = told.requests
    assert row["status"] == rows.R_COMPLETED
    assert ms(row, "arrived", "first_scheduled", "first_token_server", "first_token", "finished") == [
        3,
        3,
        43,
        65,
        65,
    ]
    assert ms(row, "queue", "prefill", "decode", "stall") == [0, 40, 22, 0]
    # 10 prompt tokens at 1 mJ, two decodes at 0.5 mJ; it had the replica for itself all the time
    assert row["compute_nj"] == 11 * MJ
    assert row["share_ps"] == 62 * MS
    replica = told.replicas[0]
    # three steps; the last one brings the context to 12 tokens, in 3 blocks of 4
    assert (replica.busy_ps, replica.steps, replica.tokens, replica.peak_blocks) == (62 * MS, 3, 12, 3)


def test_streamed_reply_at_the_client(tell: Tell) -> None:
    """Over 1 MB/s and 5 ms: the prompt's message, then each token's message of 44 B, 0.044 ms, and 5 ms."""
    told = tell(system(far=True, streams=1), asks({"at": 0, "prompt": 10, "output": 3, "bytes_up": 1000}))
    (row,) = told.requests
    # up: 1000 B + 40 B = 1.04 ms, and 5 ms: 6.04. First token: 46.04 at the server, 51.084 at the client.
    # Two decodes: 68.04; its message again takes 5.044: 73.084
    assert ms(row, "uplink", "prefill", "decode", "downlink") == [6.04, 40, 22, 5.044]
    assert ms(row, "first_token_server", "first_token", "finished") == [46.04, 51.084, 73.084]
    assert (row["bytes_up"], row["bytes_down"], row["hops"]) == (1040, 3 * 44, 1)


def test_reply_in_one_message(tell: Tell) -> None:
    """Without streaming, the client sees the first token with the last: one message of 40 B + 3 x 4 B."""
    told = tell(system(far=True), asks({"at": 0, "prompt": 10, "output": 3, "bytes_up": 1000}))
    (row,) = told.requests
    # 68.04 at the server (as above), 52 B: 0.052 ms, and 5 ms: 73.092
    assert ms(row, "first_token_server", "first_token", "finished") == [46.04, 73.092, 73.092]
    assert row["bytes_down"] == 52


def test_long_prompt_is_a_flow(tell: Tell) -> None:
    """More than a packet shares the link: two prompts of 20,000 B at once take 40.08 ms, not 20.04."""
    two = [{"at": 0, "prompt": 1, "output": 1, "bytes_up": 20_000}] * 2
    alone = tell(system(far=True), asks(two[0])).requests[0]
    both = tell(system(far=True), asks(*two)).requests
    assert ms(alone, "uplink") == [20.04 + 5]
    assert [ms(row, "uplink") for row in both] == [[2 * 20.04 + 5]] * 2


def test_chunked_prefill(tell: Tell) -> None:
    """A budget of 8 tokens: 8 of the first prompt's 10, then its last 2 with the second prompt's 4."""
    told = tell(
        system(max_tokens=8), asks({"at": 0, "prompt": 10, "output": 1}, {"at": 0, "prompt": 4, "output": 1})
    )
    one, two = told.requests
    # 20 + 16 = 36 ms, then 20 + 12 = 32 ms
    assert ms(one, "queue", "prefill", "finished") == [0, 68, 68]
    assert ms(two, "queue", "prefill", "finished") == [36, 32, 68]
    # a sixth of the second step for each of its tokens
    assert [int(row["share_ps"]) for row in (one, two)] == [36 * MS + 2 * (32 * MS // 6), 4 * (32 * MS // 6)]
    assert told.replicas[0].unattributed_ps == 32 * MS - 6 * (32 * MS // 6)
    assert [int(row["compute_nj"]) for row in (one, two)] == [10 * MJ, 4 * MJ]


def test_batch_of_two(tell: Tell) -> None:
    """Two decode together at 12 ms a step until the shorter is done."""
    told = tell(system(), asks({"at": 0, "prompt": 4, "output": 3}, {"at": 0, "prompt": 4, "output": 5}))
    one, two = told.requests
    # 8 prompt tokens: 36 ms; two steps of 12 ms: 60; two of 11 ms: 82
    assert ms(one, "first_token", "prefill", "decode", "finished") == [60, 36, 24, 60]
    assert ms(two, "first_token", "prefill", "decode", "finished") == [82, 36, 46, 82]
    assert [int(row["share_ps"]) // MS for row in (one, two)] == [18 + 12, 18 + 12 + 22]
    assert told.replicas[0].steps == 5


def test_arrival_joins_at_the_next_boundary(tell: Tell) -> None:
    """One that comes in mid-step waits for the step's end; one that comes at a boundary joins it."""
    # prompt of 4: 28 ms, then decodes of 11 ms end at 39, 50, 61 ...; 4 prompt tokens beside a decode: 30 ms
    for at, starts in ((29, 39), (38, 39), (39, 39), (40, 50)):
        told = tell(system(), asks({"at": 0, "prompt": 4, "output": 9}, {"at": at, "prompt": 4, "output": 1}))
        assert ms(told.requests[1], "first_scheduled", "finished") == [starts, starts + 30]


def two_that_do_not_fit() -> np.ndarray:
    """Each ends with 9 tokens in 3 blocks of 4; there are 4 blocks."""
    return asks(*[{"at": 0, "prompt": 4, "output": 6}] * 2)


def test_preemption_by_recomputation(tell: Tell) -> None:
    """The younger gives up its blocks when the elder finds none, and reads its prompt and its own tokens again."""
    told = tell(system(total_blocks=4), two_that_do_not_fit())
    one, two = told.requests
    # 8 prompt tokens: 36 ms. Four decodes of 12 ms: 84 ms, both hold 8 tokens in 2 blocks. The elder takes a third
    # from the younger and ends alone: 95 ms. The younger reads 4 + 5 tokens, 38 ms, which yields its sixth: 133 ms.
    assert ms(one, "decode", "stall", "finished") == [59, 0, 95]
    assert ms(two, "prefill", "decode", "stall", "finished") == [36, 48, 49, 133]
    assert [int(row["preemptions"]) for row in (one, two)] == [0, 1]
    assert (told.replicas[0].preemptions, told.replicas[0].peak_blocks) == (1, 4)
    # tokens read twice are paid twice: 4 + 4 x 0.5 + 9 mJ
    assert two["compute_nj"] == 15 * MJ


def test_preemption_by_swap(tell: Tell) -> None:
    """Its two blocks go out and come back at 1 ms each; nothing is read again."""
    told = tell(system(total_blocks=4, swaps=1, cost={"swap_ps_per_block": MS}), two_that_do_not_fit())
    one, two = told.requests
    # As before until 84 ms. A step that swaps is priced as a mixed one: 22 ms for one token, and 2 ms: 108 ms.
    # Then the younger comes back: 22 + 2 ms: 132 ms.
    assert ms(one, "decode", "stall", "finished") == [72, 0, 108]
    assert ms(two, "prefill", "decode", "stall", "finished") == [36, 48 + 24, 24, 132]
    # 4 prompt tokens and 4 decodes; then one token of a mixed step each
    assert [int(row["compute_nj"]) for row in (one, two)] == [7 * MJ, 7 * MJ]


@pytest.mark.parametrize(("patience", "leaves"), [(30, True), (40, True), (41, False)])
def test_patience(tell: Tell, patience: int, leaves: bool) -> None:
    """A client leaves that has no token in time; its leg stays in the batch until the step ends."""
    told = tell(
        system(streams=1, notify=1),
        asks({"at": 0, "prompt": 10, "output": 3, "patience": patience}),
        end=45 * MS,
    )
    (row,) = told.requests
    # who listens hears of it when the client leaves, not when the step ends
    assert told.told == ([(patience, 0)] if leaves else [])
    if leaves:
        assert row["status"] == rows.R_ABANDONED
        assert ms(row, "prefill", "finished") == [patience, patience]
        # the prompt is read to its end nevertheless, and paid
        assert (row["compute_nj"], told.replicas[0].busy_ps) == (10 * MJ, 40 * MS)
        assert told.legs[0]["outcome"] == rows.CANCELLED
    else:
        assert row["status"] == rows.R_UNFINISHED


def test_retry_after_failure(tell: Tell) -> None:
    """A crash at 50 ms loses the leg; after 7 ms the other replica starts from nothing."""
    told = tell(
        system(2, streams=1, retries=1, backoff=7 * MS),
        asks({"at": 0, "prompt": 10, "output": 3}),
        decide=lambda attempts: attempts,
        deeds=[(50, "fail", (0,))],
    )
    (row,) = told.requests
    # first token at 40, in mid-decode at 50; again at 57: 97 and 119
    assert row["status"] == rows.R_COMPLETED
    # what came of the first leg is void: the reply that the client has began at 97
    assert ms(row, "first_token_server", "first_token", "finished") == [97, 97, 119]
    assert ms(row, "prefill", "decode", "backoff") == [80, 10 + 22, 7]
    assert [(int(leg["kind"]), int(leg["outcome"])) for leg in told.legs] == [
        (rows.FIRST, rows.LOST),
        (rows.RETRY, rows.COMPLETED),
    ]
    # 10 of 11 ms of a decode's 0.5 mJ are waste, and somebody's: the lost leg's
    assert told.replicas[0].wasted_nj == 454_545
    assert row["compute_nj"] == 10 * MJ + 454_545 + 11 * MJ


def test_failure_without_retry(tell: Tell) -> None:
    """Who may not try again has failed, and says why."""
    told = tell(system(), asks({"at": 0, "prompt": 10, "output": 3}), deeds=[(15, "fail", (0,))])
    (row,) = told.requests
    assert (row["status"], row["reason"]) == (rows.R_FAILED, decision.REPLICA_FAILED)
    assert ms(row, "prefill", "finished") == [15, 15]


def test_hedge(tell: Tell) -> None:
    """Two legs run; the first token of the fast one cancels the slow one, which leaves at its step's end."""
    built = system(2)
    built.replicas["speed"][1] = 2 * rows.FULL_SPEED
    told = tell(
        built, asks({"at": 0, "prompt": 10, "output": 3}), decide=lambda attempts: decision.Dispatch((0, 1))
    )
    (row,) = told.requests
    # at double speed: 20 ms and twice 5.5 ms; the slow one is in its 40 ms
    assert ms(row, "prefill", "decode", "finished") == [20, 11, 31]
    assert row["replica"] == 1
    assert [ms(leg, "finished") for leg in told.legs] == [[40], [31]]
    assert [int(leg["kind"]) for leg in told.legs] == [rows.FIRST, rows.HEDGE]
    assert [int(leg["outcome"]) for leg in told.legs] == [rows.CANCELLED, rows.COMPLETED]
    # both are paid: 10 mJ, and 11 mJ
    assert row["compute_nj"] == 21 * MJ


def rivals(far_latency: int = 0, **settings: int) -> System:
    """Two replicas of which the second is twice as fast, and its replies come later if they come from far."""
    built = system(2, far=far_latency > 0, **settings)
    built.replicas["speed"][1] = 2 * rows.FULL_SPEED
    if far_latency:
        built.candidates["down_latency"][1] = far_latency * MS
    return built


@pytest.mark.parametrize(("streams", "first", "last"), [(1, 50.324, 72.324), (0, 72.332, 72.332)])
def test_a_hedge_is_decided_at_the_client(tell: Tell, streams: int, first: float, last: float) -> None:
    """The far copy makes its first token at 25.28 ms, but the client sees the near one's first, as if it were alone."""
    told = tell(
        rivals(100, streams=streams),
        asks({"at": 0, "prompt": 10, "output": 3}),
        decide=lambda attempts: decision.Dispatch((0, 1)),
    )
    (row,) = told.requests
    # two prompts of 140 B at once: 0.28 ms and 5 ms; 40 ms; a message of 44 B: 0.044 ms and 5 ms
    assert row["replica"] == 0
    assert ms(row, "first_token_server", "first_token", "finished") == [45.28, first, last]
    # the far one's reply was on its way when the client saw the near one's
    assert ms(told.legs[1], "first_token", "finished") == [25.28, first]
    assert told.legs[1]["outcome"] == rows.CANCELLED


def test_the_leg_that_answers_counts_at_the_end(tell: Tell) -> None:
    """At 25 ms the slow leg is cancelled but still in its step; time and tokens are those of the fast one."""
    told = tell(
        rivals(streams=1),
        asks({"at": 0, "prompt": 10, "output": 3}),
        decide=lambda attempts: decision.Dispatch((0, 1)),
        end=25 * MS,
    )
    (row,) = told.requests
    assert (row["status"], row["replica"], row["output"]) == (rows.R_UNFINISHED, 1, 1)
    assert ms(row, "prefill", "decode", "first_token_server") == [20, 5, 20]


def test_patience_ends_while_nothing_but_a_cancelled_leg_is_left(tell: Tell) -> None:
    """The fast leg is lost at 25 ms, the slow one was cancelled at 20; the client leaves at 30, waiting to try again."""
    told = tell(
        rivals(streams=1, retries=1, backoff=7 * MS),
        asks({"at": 0, "prompt": 10, "output": 3, "patience": 30}),
        decide=lambda attempts: decision.Dispatch((0, 1)),
        deeds=[(25, "fail", (1,))],
    )
    (row,) = told.requests
    assert row["status"] == rows.R_ABANDONED
    assert ms(row, "prefill", "decode", "backoff", "finished") == [20, 5, 5, 30]
    assert [ms(leg, "finished") for leg in told.legs] == [[40], [25]]


def test_stretch(tell: Tell) -> None:
    """At half speed from 10 ms on, the 30 ms that are left of a prefill take 60; its energy stays as planned."""
    told = tell(system(), asks({"at": 0, "prompt": 10, "output": 2}), deeds=[(10, "set_speed", (0, 500))])
    (row,) = told.requests
    assert ms(row, "prefill", "decode") == [70, 22]
    assert row["compute_nj"] == 10 * MJ + MJ // 2


def test_horizon_cuts_a_step(tell: Tell) -> None:
    """At the end of the run, the part of the step that has passed is booked, to whom it served."""
    told = tell(system(), asks({"at": 0, "prompt": 10, "output": 3}), end=10 * MS)
    (row,) = told.requests
    assert (row["status"], row["finished"]) == (rows.R_UNFINISHED, -1)
    assert ms(row, "prefill") == [10]
    # a quarter of 1 mJ a token
    assert (row["compute_nj"], told.replicas[0].busy_ps) == (10 * MJ // 4, 10 * MS)
