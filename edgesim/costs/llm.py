"""Work and size of an LLM from its architecture: parameters, FLOPs, bytes of weights and of KV cache.

The formulas are those of any transformer: a weight multiplies each token once (two FLOPs), and attention
compares each token with every token before it. Parameters are counted in whole matrices; norms and biases
included. `edgesim.catalog.variant` says what smaller and adapted builds change.
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

INDEX_BITS: Final = 2
"""Bits that say where a stored value of a 2:4 sparse matrix stands."""

ADAPTER_BYTES: Final = 2
"""Adapters are kept in 16 bits, whatever the weights they stand beside are."""


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
        in_layers: Parameters of the layers that take memory; layers that share theirs count once.
        stored: All parameters that take memory, without adapters.
        adapter: Parameters of an adapter that one token uses.
        adapter_stored: Parameters of an adapter that take memory: beside all experts.
        active: Parameters one token uses, LM head and adapter included.
    """

    embedding: int
    head: int
    dense: int
    expert: int
    expert_layers: int
    vision: int
    in_layers: int
    stored: int
    adapter: int
    adapter_stored: int
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
    in_layers = dense + experts * expert * expert_layers
    in_layers = in_layers * -(-llm.layers // llm.shared_by) // llm.layers
    beside_dense, beside_expert = _adapter(llm)
    adapter = beside_dense + per_token * beside_expert * expert_layers
    return Shape(
        embedding=embedding,
        head=head,
        dense=dense,
        expert=expert,
        expert_layers=expert_layers,
        vision=vision,
        in_layers=in_layers,
        stored=embedding + own_head + in_layers + vision,
        adapter=adapter,
        adapter_stored=beside_dense + experts * beside_expert * expert_layers,
        active=dense + head + per_token * expert * expert_layers + adapter,
    )


def _adapter(llm: Llm) -> tuple[int, int]:
    """Parameters of an adapter beside what every token uses, all layers, and beside one expert of one layer.

    Two matrices of its rank stand beside each: rank x (width in + width out) (Hu et al., LoRA, 2021).
    """
    if not llm.rank:
        return 0, 0
    moe, mla = llm.moe, llm.mla
    queries, keys = llm.heads * llm.head_dim, llm.kv_heads * llm.head_dim
    out = queries
    if mla:
        queries, keys = llm.heads * (mla.nope_dim + mla.rope_dim), mla.kv_rank + mla.rope_dim
        out = llm.heads * mla.value_dim
    widths = {"q": queries, "k": keys, "v": 0 if mla else keys, "o": out}
    attention = sum(llm.hidden + widths[name] for name in llm.beside if widths.get(name))
    products = sum(name in {"up", "down"} or (name == "gate" and llm.gated) for name in llm.beside)
    dense_layers = llm.layers if moe is None else moe.dense_layers
    beside = llm.layers * attention + dense_layers * products * (llm.hidden + llm.ffn)
    expert = 0
    if moe is not None:
        expert = products * (llm.hidden + moe.expert_ffn)
        beside += (llm.layers - dense_layers) * moe.shared * expert
    return llm.rank * beside, llm.rank * expert


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


def layer_weight_bytes(llm: Llm, weights: str) -> float:
    """Bytes one weight of a layer takes: of 2:4 sparse ones half are stored, each with an index of 2 bits."""
    if not llm.sparse:
        return weight_bytes(weights)
    scales = WEIGHT_BITS[weights] - BITS.get(weights, WEIGHT_BITS[weights])
    return ((WEIGHT_BITS[weights] - scales + INDEX_BITS) / 2 + scales) / 8


def adapter_bytes(llm: Llm) -> int:
    """Bytes of an adapter that a token's products read; those beside other experts rest."""
    return ADAPTER_BYTES * shape(llm).adapter


def token_weight_bytes(llm: Llm, weights: str | None = None) -> float:
    """Bytes of weights that the products of one token read, LM head and adapter included; shared layers each time."""
    counted, name = shape(llm), weights or llm.weights
    in_layers = counted.active - counted.head - counted.adapter
    return in_layers * layer_weight_bytes(llm, name) + counted.head * weight_bytes(name) + adapter_bytes(llm)


def weights_bytes(llm: Llm, weights: str | None = None) -> int:
    """Bytes of all weights in a number format, the LLM's own unless one is given; adapters stay in 16 bits."""
    counted, name = shape(llm), weights or llm.weights
    rest = counted.stored - counted.in_layers
    in_layers = counted.in_layers * layer_weight_bytes(llm, name)
    return round(rest * weight_bytes(name) + in_layers) + ADAPTER_BYTES * counted.adapter_stored


def resident_bytes(llm: Llm, weights: str | None = None, sharers: int = 1) -> int:
    """Bytes of weights that one of some replicas holds which divide the experts among them."""
    counted, name = shape(llm), weights or llm.weights
    experts = llm.moe.experts * counted.expert * counted.expert_layers if llm.moe else 0
    elsewhere = experts * (sharers - 1) / sharers
    return weights_bytes(llm, name) - round(elsewhere * layer_weight_bytes(llm, name))


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


def token_flops(llm: Llm, sparse_gain: float = 1.0) -> int:
    """FLOPs of all matrices but the LM head for one token.

    Args:
        llm: What is run.
        sparse_gain: How much faster the accelerator runs products with 2:4 sparse weights; what it skips is not
            counted.
    """
    counted = shape(llm)
    matrices = counted.active - counted.head - counted.adapter
    if llm.sparse:
        matrices = round(matrices / sparse_gain)
    return 2 * (matrices + counted.adapter)


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
