"""Views that say what a test wants them to say: those of `edgesim.testing`, small and nearly full."""

from __future__ import annotations

from dataclasses import dataclass

from edgesim.testing.fakes import FakeBatch, FakeLeg, FakeReplica, FakeRequest
from edgesim.testing.fakes import FakeSystem as System

__all__ = ["Batch", "Leg", "Replica", "Request", "System", "drawn"]


@dataclass(eq=False)
class Request(FakeRequest):
    true_output_tokens: int | None = 60


@dataclass(eq=False)
class Replica(FakeReplica):
    node: str = "edge"
    llm: str = "llama"
    free_kv_tokens: int = 1000
    kv_capacity_tokens: int = 1000


@dataclass(eq=False)
class Leg(FakeLeg):
    true_output_tokens: int | None = 60


@dataclass(eq=False)
class Batch(FakeBatch):
    name: str = "edge/llama"
    token_budget: int = 10
    max_num_seqs: int = 3
    free_blocks: int = 2
    free_swap_blocks: int = 3


def drawn(*numbers: float):
    """Answer a stream whose index-th draw is the index-th of these numbers, whatever the attempt."""
    return lambda _request, index: numbers[index & 0xFFFF]
