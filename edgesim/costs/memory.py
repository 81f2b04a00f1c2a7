"""Memory of a replica: do the weights fit, and how many KV blocks are left? Needs no numpy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Unpack

from edgesim.costs.llm import kv_bytes_per_token, kv_copies, resident_bytes, weights_bytes
from edgesim.costs.spill import spill
from edgesim.costs.stated import Keys, Stated

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Protocol

    from edgesim.catalog import Accelerator, Llm
    from edgesim.costs.spill import Spill

    class _Would(Protocol):
        def __call__(self, as_weights: str, parallel: int, on: Accelerator = ...) -> bool: ...


UNLIMITED_BLOCKS: Final = 1 << 31
"""Blocks of a replica whose KV cache needs no memory: an encoder, or a node without an accelerator."""

ROOM_FOR: Final = 1024
"""A replica must hold one sequence of this many tokens, or of the LLM's context if that is shorter."""


@dataclass(frozen=True, slots=True)
class Fit:
    """Whether an LLM fits on the accelerators of a replica.

    Args:
        needed: Bytes that weights, working memory and one sequence take on all accelerators of the replica.
        available: Bytes that may be used there.
        weights: Bytes of the weights alone.
        suggestion: What would fit instead, in words; empty if it fits or nothing is known to.
    """

    needed: int
    available: int
    weights: int
    suggestion: str = ""

    @property
    def fits(self) -> bool:
        """Whether there is room."""
        return self.needed <= self.available


def available_bytes(accelerator: Accelerator, tensor_parallel: int = 1, utilisation: float = 0.9) -> int:
    """Memory that weights, working memory and KV cache of a replica may use together."""
    return max(0, int((accelerator.memory * utilisation - accelerator.runtime_memory) * tensor_parallel))


def working_bytes(llm: Llm, max_batched_tokens: int, max_num_seqs: int) -> int:
    """Peak of the activations in a step: the widest inner tensors in fp16, and the logits in fp32.

    Of a step's tensors, about two of the residual width and two of the inner width are alive at once.
    """
    inner = llm.ffn if llm.moe is None else max(llm.ffn, llm.moe.expert_ffn * llm.moe.per_token)
    logits = 0 if llm.encoder_only else 4 * llm.vocab * min(max_num_seqs, max_batched_tokens)
    return 2 * max_batched_tokens * (2 * llm.hidden + 2 * inner) + logits


def block_bytes(llm: Llm, kv: str = "fp16", block_size: int = 16, tensor_parallel: int = 1) -> int:
    """Bytes of one KV block on all accelerators of a replica together."""
    return round(block_size * kv_bytes_per_token(llm, kv) * kv_copies(llm, tensor_parallel))


def residence(accelerator: Accelerator, llm: Llm, **stated: Unpack[Keys]) -> Spill:
    """Place the weights of a replica, and see what is left for its KV cache.

    Args:
        accelerator: What it runs on.
        llm: What it runs.
        **stated: See `edgesim.costs.stated.Stated`.
    """
    given = Stated(**stated)
    block = block_bytes(llm, given.kv, given.block_size, given.tensor_parallel)
    least = -(-min(ROOM_FOR, llm.context) // given.block_size) * block
    wanted = least * given.max_num_seqs
    return spill(
        accelerator,
        given.tensor_parallel,
        weights=resident_bytes(llm, given.weights, given.sharers),
        working=working_bytes(llm, given.max_batched_tokens, given.max_num_seqs),
        available=available_bytes(accelerator, given.tensor_parallel, given.memory_utilisation),
        kv_least=least,
        kv_wanted=-(-given.kv_tokens // given.block_size) * block if given.kv_tokens else wanted,
        paging=given.paging,
    )


def kv_blocks(accelerator: Accelerator, llm: Llm, **stated: Unpack[Keys]) -> int:
    """Count the KV blocks that fit beside the weights; 0 if not even the weights do. Arguments as of `residence`."""
    given = Stated(**stated)
    block = block_bytes(llm, given.kv, given.block_size, given.tensor_parallel)
    return residence(accelerator, llm, **stated).kv_room // block if block else UNLIMITED_BLOCKS


def fit(
    accelerator: Accelerator, llm: Llm, *, accelerators: int = 1, suggest: bool = True, **stated: Unpack[Keys]
) -> Fit:
    """Check that an LLM fits, and say what would if it does not.

    Args:
        accelerator: What the node has.
        llm: What is to be deployed.
        accelerators: Accelerators of the node: how far `tensor_parallel` could grow.
        suggest: Whether to look for what would fit.
        **stated: See `edgesim.costs.stated.Stated`.
    """
    given = Stated(**stated)
    weights = given.weights or llm.weights

    def placed(
        as_weights: str, parallel: int, on: Accelerator = accelerator, *, paged: bool | None = None
    ) -> Spill:
        changed: Keys = {"weights": as_weights, "tensor_parallel": parallel}
        if paged is not None:
            changed["paging"] = paged
        return residence(on, llm, **(stated | changed))

    def would(as_weights: str, parallel: int, on: Accelerator = accelerator) -> bool:
        return placed(as_weights, parallel, on).fits

    found = placed(weights, given.tensor_parallel)
    beside = working_bytes(llm, given.max_batched_tokens, given.max_num_seqs) + found.kv_least
    result = Fit(
        needed=found.in_memory + (0 if found.cache_on_chip else beside),
        available=available_bytes(accelerator, given.tensor_parallel, given.memory_utilisation),
        weights=found.weights,
    )
    if found.fits or not suggest:
        return result
    ways = list(_lighter(llm, weights, given.tensor_parallel, would))
    ways += list(_wider(weights, given.tensor_parallel, accelerators, would))
    ways += list(_larger(weights, given.tensor_parallel, would))
    if accelerator.storage_bandwidth and placed(weights, given.tensor_parallel, paged=True).fits:
        ways.append("paging: true (the rest is then read from storage in each step)")
    return Fit(result.needed, result.available, result.weights, " or ".join(ways))


def _lighter(llm: Llm, weights: str, parallel: int, would: _Would) -> Iterator[str]:
    """Name the most precise lighter format of the weights that fits."""
    now = weights_bytes(llm, weights)
    for other in ("int8", "int4"):
        if weights_bytes(llm, other) < now and would(other, parallel):
            yield f"weights: {other} ({weights_bytes(llm, other) / 1e9:.1f} GB)"
            return


def _wider(weights: str, parallel: int, accelerators: int, would: _Would) -> Iterator[str]:
    """Name the smallest tensor parallelism that fits, and the accelerators it would take."""
    for wider in (2, 4, 8, 16):
        if wider > parallel and would(weights, wider):
            more = f" with accelerators: {wider}" if wider > accelerators else ""
            yield f"tensor_parallel: {wider}{more}"
            return


def _larger(weights: str, parallel: int, would: _Would) -> Iterator[str]:
    """Name the smallest accelerators of the catalogue that would hold it."""
    from edgesim.catalog import accelerators  # noqa: PLC0415 - only for the message of a misfit

    known = sorted(accelerators().values(), key=lambda item: (item.memory, item.name))
    # What streams weights from its host holds them, too, but nobody should be sent there.
    fitting = [item.name for item in known if not item.sram and would(weights, parallel, item)][:3]
    if fitting:
        yield f"an accelerator that holds it ({', '.join(fitting)})"
