"""Views that say what a test wants them to say."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgesim.policies import Estimate


@dataclass(eq=False)
class Request:
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
    output_tokens: int = 60


@dataclass(eq=False)
class Replica:
    name: str
    tier: str = "edge"
    queue_length: int = 0
    running: int = 0
    outstanding_tokens: int = 0
    latency: float = 0.01
    local: bool = False
    index: int = 0
    node: str = "edge"
    llm: str = "llama"
    free_kv_tokens: int = 1000
    kv_capacity_tokens: int = 1000
    max_num_seqs: int = 8
    price: float = 1.0
    estimate: Estimate = field(default_factory=lambda: Estimate(1.0, 0.1, 5.0, 0.001))

    @property
    def outstanding_requests(self) -> int:
        return self.queue_length + self.running


@dataclass
class System:
    now: float = 3.2
    tiers: tuple[str, ...] = ("device", "edge", "metro", "cloud")

    def estimate(self, _request: Request, replica: Replica) -> Estimate:
        return replica.estimate


@dataclass(eq=False)
class Leg(Request):
    state: str = "decoding"
    unread_tokens: int = 0
    generated_tokens: int = 1
    blocks: int = 2
    blocks_needed: int = 1
    swap_blocks: int = 2


@dataclass
class Batch:
    waiting: list[Leg] = field(default_factory=list)
    swapped: list[Leg] = field(default_factory=list)
    running: list[Leg] = field(default_factory=list)
    now: float = 3.2
    name: str = "edge/llama"
    token_budget: int = 10
    max_num_seqs: int = 3
    free_blocks: int = 2
    free_swap_blocks: int = 3
    whole_prompts: bool = False

    def free_blocks_after(self, preempted, taking_part) -> int:
        freed, taken = sum(leg.blocks for leg in preempted), sum(leg.blocks_needed for leg in taking_part)
        return self.free_blocks + freed - taken


def drawn(*numbers: float):
    """Answer a stream whose index-th draw is the index-th of these numbers, whatever the attempt."""
    return lambda _request, index: numbers[index & 0xFFFF]
