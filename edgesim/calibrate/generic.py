"""A stand-in for models whose architecture is not known: a dense LLM of so many parameters."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from edgesim import catalog

if TYPE_CHECKING:
    from edgesim.catalog import Llm


def generic_llm(params: float) -> Llm:
    """A dense LLM of so many parameters, shaped as those of the Llama family between 0.5 and 400 billion are.

    For measurements of models whose architecture is not known: what a step costs depends on the parameters first.
    """
    like = min(
        ("qwen2.5-0.5b", "llama-3.2-1b", "llama-3.2-3b", "llama-3.1-8b", "llama-2-13b", "llama-3.1-70b"),
        key=lambda name: abs(_ratio(catalog.llm(name).params, params)),
    )
    model = catalog.llm(like)
    width = (params / model.params) ** 0.5
    hidden, ffn = round(model.hidden * width / 64) * 64, round(model.ffn * width / 64) * 64
    heads = max(1, round(hidden / model.head_dim))
    kv_heads = max(1, round(heads * model.kv_heads / model.heads))
    shaped = replace(
        model, name=f"dense-{params / 1e9:.3g}b", hidden=hidden, ffn=ffn, heads=heads, kv_heads=kv_heads
    )
    return replace(shaped, params=round(params))


def _ratio(a: float, b: float) -> float:
    return a / b - 1 if a > b else b / a - 1
