"""LLMs: the architecture numbers from which work, traffic and memory follow."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgesim.catalog.figures import Figure


@dataclass(frozen=True, slots=True)
class Moe:
    """Mixture of experts: most layers route every token to a few of many feed-forward networks."""

    experts: int
    per_token: int
    shared: int
    expert_ffn: int
    dense_layers: int = 0


@dataclass(frozen=True, slots=True)
class Mla:
    """Latent attention: one compressed vector a token and layer is cached instead of keys and values."""

    kv_rank: int
    rope_dim: int
    nope_dim: int
    value_dim: int
    query_rank: int = 0


@dataclass(frozen=True, slots=True)
class Window:
    """Sliding window: `local_layers` of the layers attend to the last `size` tokens only."""

    size: int
    local_layers: int


@dataclass(frozen=True, slots=True)
class Vision:
    """Image encoder of a vision-language LLM, projector included in its parameters."""

    params: int
    layers: int
    hidden: int
    patches: int
    tokens_per_image: int


@dataclass(frozen=True)
class Llm:
    """One LLM architecture.

    Args:
        name: Key in the catalogue or the scenario.
        title: Full name for people.
        layers: Transformer blocks.
        hidden: Width of the residual stream.
        heads: Query heads.
        kv_heads: Key and value heads.
        head_dim: Width of a head.
        ffn: Inner width of a dense feed-forward network.
        vocab: Tokens the LM head chooses from.
        params: Parameters the publisher states.
        context: Longest sequence [tokens].
        active_params: Parameters one token uses; 0 means all.
        gated: Whether feed-forward networks have a gate (three matrices instead of two).
        qkv_bias: Whether the projections have biases.
        tied_embeddings: Whether the LM head shares the embedding's weights.
        positions: Learned position (and segment) embeddings, 0 for rotary ones.
        encoder_only: One forward pass over the whole input; no decode, no KV cache.
        weights: Number format in which it is published.
        quality: Score of an answer, for policies that trade it: the share of right answers on MMLU; 1 if unknown.
        sparse: Whether two of four neighbouring weights of the layers are zero (2:4 sparsity).
        shared_by: Successive layers that share one set of weights.
        rank: Rank of the adapter that stands beside some matrices of each layer; 0 without one.
        beside: Those matrices: q, k, v, o, gate, up, down.
        family: Siblings to choose from share it.
        teacher: LLM that it was pruned or distilled from.
        figures: Source and confidence by field name.
    """

    name: str
    title: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn: int
    vocab: int
    params: int
    context: int
    active_params: int = 0
    gated: bool = True
    qkv_bias: bool = False
    tied_embeddings: bool = False
    positions: int = 0
    encoder_only: bool = False
    weights: str = "bf16"
    quality: float = 1.0
    sparse: bool = False
    shared_by: int = 1
    rank: int = 0
    beside: tuple[str, ...] = ()
    family: str = ""
    teacher: str = ""
    moe: Moe | None = None
    mla: Mla | None = None
    window: Window | None = None
    vision: Vision | None = None
    figures: Mapping[str, Figure] = field(default_factory=dict, compare=False, repr=False)
