"""What the variants of an LLM come to: bytes, work, how much faster they can be, and quality."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from edgesim import catalog, units
from edgesim.costs import llm as work

if TYPE_CHECKING:
    from edgesim.catalog import Llm, Variant

EXAMPLE: Final = "llama-3.1-8b"
"""LLM on which variants that any LLM may have are shown."""

HEAD: Final = (
    "variant", "technique", "weights", "FLOPs", "decode by bytes", "prefill by FLOPs", "quality", "trust",
)  # fmt: skip


@dataclass(frozen=True)
class Effect:
    """An LLM and what a variant makes of it.

    Attributes:
        variant: Its name; empty for the LLM itself.
        technique: How it is made.
        weights_bytes: Bytes of all weights.
        flops: FLOPs of a token.
        decode: How much faster decode is where reading the weights of one token is all that takes time.
        prefill: How much faster prefill is where only its FLOPs take time; number formats and 2:4 sparsity gain more
            on accelerators whose peaks and `sparse_gain` say so.
        quality: Score; None if nothing is known of the LLM's own.
        trust: How far the relative quality can be trusted; what was measured on other LLMs says so.
    """

    variant: str
    technique: str
    weights_bytes: int
    flops: int
    decode: float
    prefill: float
    quality: float | None
    trust: str


def effect(llm: Llm, variant: Variant) -> Effect:
    """What a variant makes of an LLM."""
    made = catalog.varied(llm, variant)
    known = "quality" in llm.figures
    mark = variant.figures["relative_quality"].confidence
    return Effect(
        variant=variant.name,
        technique=variant.technique,
        weights_bytes=work.weights_bytes(made),
        flops=_flops(made),
        decode=work.token_weight_bytes(llm) / work.token_weight_bytes(made),
        prefill=work.token_flops(llm) / work.token_flops(made),
        quality=made.quality if known else None,
        trust=f"{mark} on others" if mark == "measured" and variant.of != llm.name else mark,
    )


def _flops(llm: Llm) -> int:
    return work.token_flops(llm) + work.head_flops(llm)


def example(variant: Variant) -> Effect:
    """What a variant makes of the LLM that it is of, or of an example."""
    return effect(catalog.llm(variant.of or EXAMPLE), variant)


def effects(llm: Llm) -> list[Effect]:
    """What each variant that fewer bits or another shape sets apart makes of an LLM."""
    found = [effect(llm, variant) for variant in catalog.variants(llm.name)]
    own = work.weight_bytes(llm.weights)
    return [one for one in found if not _heavier(one, llm.name, own)]


def _heavier(one: Effect, llm: str, own: float) -> bool:
    """Whether it is a number format with no fewer bits than the LLM has as it is published."""
    weights = catalog.variant(one.variant, llm).weights
    return bool(weights) and work.weight_bytes(weights) >= own


def row(one: Effect) -> tuple[str, ...]:
    """A row under `HEAD`."""
    return (
        one.variant.partition("@")[0],
        one.technique,
        units.format_bytes(one.weights_bytes),
        f"{one.flops / 1e9:.3g} G",
        f"{one.decode:.2f} x",
        f"{one.prefill:.2f} x",
        "-" if one.quality is None else f"{one.quality:.3f}",
        one.trust,
    )


def plain(one: Effect) -> dict[str, Any]:
    """The same as plain numbers."""
    return asdict(one)
