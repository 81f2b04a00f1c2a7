"""What a deployment states about its replicas that decides costs: number formats, parallelism, limits of the engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict


class Keys(TypedDict, total=False):
    """Keyword arguments of `Stated`, which all cost models take."""

    weights: str | None
    kv: str
    tensor_parallel: int
    expert_parallel: int
    max_num_seqs: int
    max_batched_tokens: int
    block_size: int
    memory_utilisation: float
    context: int | None
    paging: bool
    kv_tokens: int | None


def stated_by(deployment: object) -> Keys:
    """What a deployment states that decides costs."""
    return {name: getattr(deployment, name) for name in Keys.__annotations__}  # type: ignore[return-value]


@dataclass(frozen=True, slots=True)
class Stated:
    """How an engine runs a replica.

    Args:
        weights: Number format of the weights; the LLM's own by default.
        kv: Number format of the KV cache.
        tensor_parallel: Accelerators of the replica, which share its layers.
        expert_parallel: Accelerators, of all replicas together, that whole experts are spread over; 1 leaves them
            with the layers they belong to.
        max_num_seqs: Most sequences in a step.
        max_batched_tokens: Most tokens in a step.
        block_size: Tokens in a KV block.
        memory_utilisation: Share of the memory that the engine may take.
        context: Longest sequence; the LLM's own by default.
        paging: Whether weights that do not fit are read from storage.
        kv_tokens: Tokens that the KV cache is stated to hold.
    """

    weights: str | None = None
    kv: str = "fp16"
    tensor_parallel: int = 1
    expert_parallel: int = 1
    max_num_seqs: int = 256
    max_batched_tokens: int = 2048
    block_size: int = 16
    memory_utilisation: float = 0.9
    context: int | None = None
    paging: bool = False
    kv_tokens: int | None = None

    @property
    def sharers(self) -> int:
        """Replicas among which the experts are divided."""
        return max(1, self.expert_parallel // self.tensor_parallel)
