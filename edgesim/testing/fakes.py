"""Fakes: requests, replicas and systems that say what a test wants them to say, to call hooks by hand.

    from edgesim.testing import fake_replica, fake_request, fake_system, started

    full, free = fake_replica("full", queue_length=9), fake_replica("free")
    assert started(MyRouter()).route(fake_request(), [full, free], fake_system()) is free

Every property of the contracts in `edgesim.policies` has a value that a test may leave as it is. Two fakes are equal
only if they are the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from edgesim.errors import PolicyError
from edgesim.policies import Estimate
from edgesim.streams import Streams, uniform

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgesim.policies import Policy

P = TypeVar("P", bound="Policy")
NEVER_AGAIN = 1 << 62


@dataclass(eq=False)
class FakeRequest:
    """A request; see `edgesim.policies.RequestView`. Its true length is hidden unless it is given."""

    id: int = 12
    workload: str = "chat"
    session: int = 0
    origin: str = "phone[0]"
    origin_tier: str = "device"
    tenant: str = "default"
    privacy: str = "public"
    priority: int = 0
    prompt_tokens: int = 100
    predicted_output_tokens: int = 50
    images: int = 0
    arrived_at: float = 0.0
    deadline_at: float | None = None
    attempts: int = 0
    true_output_tokens: int | None = None

    @property
    def output_tokens(self) -> int:
        """True length of the reply [tokens], for oracles: `true_output_tokens`."""
        if self.true_output_tokens is None:
            raise PolicyError(
                "no controller knows the length of a reply beforehand; read predicted_output_tokens, or give the fake "
                "its `true_output_tokens` to test an oracle"
            )
        return self.true_output_tokens


@dataclass(eq=False)
class FakeReplica:
    """A replica; see `edgesim.policies.ReplicaView`."""

    name: str = "box[0]/llama-3.1-8b"
    tier: str = "edge"
    queue_length: int = 0
    running: int = 0
    outstanding_tokens: int = 0
    latency: float = 0.01
    local: bool = False
    index: int = 0
    node: str = "box[0]"
    llm: str = "llama-3.1-8b"
    quality: float = 1.0
    free_kv_tokens: int = 100_000
    kv_capacity_tokens: int = 100_000
    max_num_seqs: int = 8
    price: float = 1.0
    estimate: Estimate = field(default_factory=lambda: Estimate(1.0, 0.1, 5.0, 0.001))
    """What `fake_system().estimate(request, this)` answers."""

    @property
    def outstanding_requests(self) -> int:
        """Requests sent to it and not finished."""
        return self.queue_length + self.running


@dataclass(eq=False)
class FakeSystem:
    """The system around a decision; see `edgesim.policies.SystemView`."""

    now: float = 3.2
    tiers: tuple[str, ...] = ("device", "edge", "metro", "cloud")

    def estimate(self, _request: Any, replica: Any) -> Estimate:
        """Answer the estimate that the fake replica was given."""
        found: Estimate = replica.estimate
        return found


@dataclass(eq=False)
class FakePrefix:
    """A cached prefix; see `edgesim.policies.PrefixView`."""

    blocks: int = 4
    hits: int = 1
    created: int = 0
    last_used_at: float = 0.0
    depth: int = 0
    clock: float = 0.0
    next_use: int = NEVER_AGAIN


@dataclass(eq=False)
class FakeLeg(FakeRequest):
    """A request at the replica whose step is formed; see `edgesim.policies.LegView`."""

    state: str = "decoding"
    unread_tokens: int = 0
    generated_tokens: int = 1
    predicted_remaining_tokens: int = 49
    kv_tokens: int = 101
    blocks: int = 2
    blocks_needed: int = 1
    swap_blocks: int = 2
    delivered_at: float = 0.1
    started_at: float | None = 0.2
    preemptions: int = 0


@dataclass(eq=False)
class FakeBatch:
    """A replica whose next step is formed; see `edgesim.policies.BatchView`."""

    waiting: Sequence[FakeLeg] = ()
    swapped: Sequence[FakeLeg] = ()
    running: Sequence[FakeLeg] = ()
    now: float = 3.2
    index: int = 0
    name: str = "box[0]/llama-3.1-8b"
    token_budget: int = 512
    max_num_seqs: int = 8
    free_blocks: int = 100
    total_blocks: int = 200
    watermark: int = 2
    free_swap_blocks: int = 0
    whole_prompts: bool = False
    seconds_per_token: float = 1e-4
    """Of reading a prompt [s]; a decode step takes 20 ms."""

    def free_blocks_after(self, preempted: Sequence[Any] = (), taking_part: Sequence[Any] = ()) -> int:
        """Count the blocks of the preempted and those that the others need."""
        freed = sum(int(leg.blocks) for leg in preempted)
        return self.free_blocks + freed - sum(int(leg.blocks_needed) for leg in taking_part)

    def prefill_time(self, tokens: int) -> float:
        """Time to read a prompt [s]."""
        return tokens * self.seconds_per_token

    def decode_time(self, requests: int, kv_tokens: int) -> float:  # noqa: ARG002 - a fake step always takes as long
        """Time of a decode step [s]."""
        return 0.02


def fake_request(**values: Any) -> FakeRequest:
    """A request with some values of your own."""
    return FakeRequest(**values)


def fake_replica(name: str = "box[0]/llama-3.1-8b", **values: Any) -> FakeReplica:
    """A replica with some values of your own."""
    return FakeReplica(name, **values)


def fake_system(**values: Any) -> FakeSystem:
    """A system with some values of your own."""
    return FakeSystem(**values)


def fake_prefix(**values: Any) -> FakePrefix:
    """A cached prefix with some values of your own."""
    return FakePrefix(**values)


def fake_leg(**values: Any) -> FakeLeg:
    """A request at a replica, with some values of your own."""
    return FakeLeg(**values)


def fake_batch(**values: Any) -> FakeBatch:
    """A replica whose step is formed, with some values of your own."""
    return FakeBatch(**values)


def started(policy: P, *, seed: int = 0, replication: int = 0, system: FakeSystem | None = None) -> P:
    """Begin a replication for a policy, as the engine does: `setup` runs, `self.random` draws."""
    key = Streams(seed, replication).key(f"policy/{policy.role}")
    policy.key, policy.replication = key, replication
    view: Any = system if system is not None else FakeSystem()
    policy.start(view, lambda request, index: uniform(key, request, index))
    return policy
