"""Work and size of an LLM from its architecture: parameters, FLOPs, bytes of weights and of KV cache.

The formulas are those of any transformer: a weight multiplies each token once (two FLOPs), and attention
compares each token with every token before it. Parameters are counted in whole matrices; norms and biases
included.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from edgesim.catalog import Llm

BITS: Final = {"fp16": 16.0, "bf16": 16.0, "fp8": 8.0, "int8": 8.0, "int4": 4.0}
"""Bits of one stored number."""

WEIGHT_BITS: Final = BITS | {
    "int4": 4.25,
    "q8_0": 8.5,
    "q4_k_m": 4.85,
    "q4_0": 4.5,
    "nvfp4": 4.5,
    "mxfp4": 4.25,
}
"""Bits of one weight, scales included: int4 has a 16-bit scale and zero point a group of 128, the formats of llama.cpp
and the 4-bit floats a scale a block of 16 or 32 (q4_k_m mixes blocks; its files average 4.85 bits)."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Parameters of an LLM, split by when they are read.

    Args:
        embedding: Looked up, never multiplied.
        head: Multiplied once for each token that is chosen; may share the embedding's storage.
        dense: Multiplied for every token: attention, feed-forward, shared experts, routers.
        expert: One routed expert of one layer.
        expert_layers: Layers that have routed experts.
        vision: Image encoder and projector.
        stored: All parameters that take memory.
        active: Parameters one token uses, LM head included.
    """

    embedding: int
    head: int
    dense: int
    expert: int
    expert_layers: int
    vision: int
    stored: int
    active: int


def shape(llm: Llm) -> Shape:
    """Count the parameters of an architecture."""
    matrices = 3 if llm.gated else 2
    moe = llm.moe
    dense_layers = llm.layers if moe is None else moe.dense_layers
    norms = 2 * llm.hidden
    dense = llm.layers * (_attention(llm) + norms) + dense_layers * matrices * llm.hidden * llm.ffn
    expert = expert_layers = 0
    if moe is not None:
        expert_layers = llm.layers - dense_layers
        expert = matrices * llm.hidden * moe.expert_ffn
        dense += expert_layers * (moe.shared * expert + llm.hidden * moe.experts)
    embedding = (llm.vocab + llm.positions) * llm.hidden
    # An encoder ends in a pooler instead of an LM head; it is as wide as the residual stream.
    head = llm.hidden * (llm.hidden if llm.encoder_only else llm.vocab)
    own_head = head if llm.encoder_only or not llm.tied_embeddings else 0
    vision = llm.vision.params if llm.vision else 0
    experts = moe.experts if moe else 0
    per_token = moe.per_token if moe else 0
    return Shape(
        embedding=embedding,
        head=head,
        dense=dense,
        expert=expert,
        expert_layers=expert_layers,
        vision=vision,
        stored=embedding + own_head + dense + experts * expert * expert_layers + vision,
        active=dense + head + per_token * expert * expert_layers,
    )


def _attention(llm: Llm) -> int:
    """Parameters of one layer's attention."""
    mla = llm.mla
    if mla is None:
        queries, keys = llm.heads * llm.head_dim, llm.kv_heads * llm.head_dim
        bias = queries + 2 * keys if llm.qkv_bias else 0
        return llm.hidden * (queries + 2 * keys) + queries * llm.hidden + bias
    width = llm.heads * (mla.nope_dim + mla.rope_dim)
    rank = mla.query_rank
    query = llm.hidden * rank + rank * width if rank else llm.hidden * width
    compress = llm.hidden * (mla.kv_rank + mla.rope_dim)
    expand = mla.kv_rank * llm.heads * (mla.nope_dim + mla.value_dim)
    return query + compress + expand + llm.heads * mla.value_dim * llm.hidden


def parameters(llm: Llm) -> int:
    """Count all stored parameters."""
    return shape(llm).stored


def active_parameters(llm: Llm) -> int:
    """Count the parameters one token is multiplied with: LM head included, embedding look-up excluded."""
    return shape(llm).active


def weight_bytes(weights: str) -> float:
    """Bytes one weight takes, scales included."""
    return WEIGHT_BITS[weights] / 8


def weights_bytes(llm: Llm, weights: str | None = None) -> int:
    """Bytes of all weights in a number format, the LLM's own unless one is given."""
    return round(shape(llm).stored * weight_bytes(weights or llm.weights))


def kv_bytes_per_token(llm: Llm, kv: str = "fp16") -> int:
    """Bytes of KV cache one token takes in all layers; 0 for an encoder."""
    return _layer_kv_values(llm) * llm.layers * round(BITS[kv]) // 8


def _layer_kv_values(llm: Llm) -> int:
    if llm.encoder_only:
        return 0
    return llm.mla.kv_rank + llm.mla.rope_dim if llm.mla else 2 * llm.kv_heads * llm.head_dim


def kv_copies(llm: Llm, tensor_parallel: int) -> float:
    """How often the KV cache is stored when it cannot be split over all accelerators of a replica.

    Heads are split; with fewer KV heads than accelerators they are copied, and a latent vector has no heads
    at all.
    """
    return float(tensor_parallel) if llm.mla else max(1.0, tensor_parallel / llm.kv_heads)


def layers_by_reach(llm: Llm) -> tuple[int, int]:
    """Answer how many layers see the whole context and how many only a sliding window."""
    local = llm.window.local_layers if llm.window else 0
    return llm.layers - local, local


def prefill_pair_flops(llm: Llm) -> int:
    """FLOPs of one layer's attention for one pair of tokens in a prompt."""
    if llm.mla:
        return llm.heads * 2 * (llm.mla.nope_dim + llm.mla.rope_dim + llm.mla.value_dim)
    return 4 * llm.heads * llm.head_dim


def decode_pair_flops(llm: Llm) -> int:
    """FLOPs of one layer's attention of a new token with one cached token.

    Latent attention works on the compressed vectors directly, which is more arithmetic for far less traffic.
    """
    if llm.mla:
        return llm.heads * (4 * llm.mla.kv_rank + 2 * llm.mla.rope_dim)
    return 4 * llm.heads * llm.head_dim


def token_flops(llm: Llm) -> int:
    """FLOPs of all matrices but the LM head for one token."""
    counted = shape(llm)
    return 2 * (counted.active - counted.head)


def head_flops(llm: Llm) -> int:
    """FLOPs of the LM head, or an encoder's pooler, for one sequence."""
    return 2 * shape(llm).head


def image_flops(llm: Llm) -> int:
    """FLOPs of encoding one image: every weight once a patch, and attention between all patches."""
    vision = llm.vision
    if vision is None:
        return 0
    return vision.patches * 2 * vision.params + 4 * vision.layers * vision.hidden * vision.patches**2


def activation_bytes(llm: Llm) -> int:
    """Bytes that the small operations between the matrices move for one token, in fp16.

    Each layer reads and writes the residual stream about four times (two norms, two additions) and touches
    projections and the inner feed-forward width once each way.
    """
    moe = llm.moe
    inner = llm.ffn if moe is None else moe.expert_ffn * (moe.per_token + moe.shared)
    projections = (llm.heads + 2 * llm.kv_heads) * llm.head_dim
    return 2 * llm.layers * (8 * llm.hidden + 2 * projections + 3 * inner)
