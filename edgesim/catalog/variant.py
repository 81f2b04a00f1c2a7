"""Variants: smaller or adapted builds of an LLM, and how their effects combine.

`varied` is the one place where they do. It answers an LLM with other architecture numbers, number format and score,
so that memory, traffic, work and quality follow as they do for any LLM:

    quantised   another number format of the weights
    sparse      two of four neighbouring weights of the layers are zero (2:4): half of the values are stored, each with
                a 2-bit index; products are faster only where the accelerator has units for it (`sparse_gain`)
    pruned      layers left out (`depth`), or narrower feed-forward networks (`width`)
    tied        `shared_by` successive layers share one set of weights: stored once, read and computed each time
    adapter     low-rank matrices beside those of the layers (LoRA), unmerged: more bytes and FLOPs, in 16 bits

A variant, a number format and an adapter may come together. Their bytes and FLOPs follow from all of their changes;
their scores multiply: of an LLM that scores 0.70, a pruned build that keeps 90 % of it and a number format that
keeps 98 % leave 0.62. No score exceeds 1; those near guessing (0.25 on MMLU) say little.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgesim.catalog.figures import Figure
    from edgesim.catalog.llm import Llm

TECHNIQUES: Final = ("quantised", "sparse", "pruned", "tied", "adapter")

MATRICES: Final = ("q", "k", "v", "o", "gate", "up", "down")
"""Matrices of a layer that an adapter may stand beside."""


@dataclass(frozen=True)
class Variant:
    """A way to build an LLM otherwise.

    Args:
        name: Key in the catalogue or the scenario; after an @, the LLM that it is of.
        title: Full name for people.
        technique: One of TECHNIQUES.
        of: The only LLM that it is of; empty if any will do.
        weights: Number format of the weights; empty for the LLM's own.
        sparse: Whether the layers' weights are 2:4 sparse.
        depth: Layers that are computed, as a share of the LLM's.
        width: Inner width of the feed-forward networks, as a share of the LLM's.
        shared_by: Successive layers that share one set of weights.
        rank: Rank of an adapter's matrices; 0 without one.
        beside: Matrices that the adapter stands beside.
        relative_quality: Score of the variant over the score of the LLM.
        figures: Source and confidence by field name.
    """

    name: str
    title: str
    technique: str
    of: str = ""
    weights: str = ""
    sparse: bool = False
    depth: float = 1.0
    width: float = 1.0
    shared_by: int = 1
    rank: int = 0
    beside: tuple[str, ...] = MATRICES
    relative_quality: float = 1.0
    figures: Mapping[str, Figure] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.technique not in TECHNIQUES:
            raise ValueError(f"technique is one of {', '.join(TECHNIQUES)}, not {self.technique!r}")
        if not 0 < self.depth <= 8 or not 0 < self.width <= 8:
            raise ValueError("depth and width are shares of the LLM's, more than 0 %")
        if not 0 < self.relative_quality <= 2:
            raise ValueError("relative_quality is a share of the LLM's, more than 0 %")
        if self.sparse not in (True, False):
            raise ValueError("sparse is true or false")
        if self.shared_by < 1:
            raise ValueError("shared_by must be at least 1")
        wrong = [matrix for matrix in self.beside if matrix not in MATRICES]
        if wrong:
            raise ValueError(
                f"an adapter stands beside some of {', '.join(MATRICES)}, not beside {wrong[0]!r}"
            )

    @property
    def called(self) -> str:
        """Its name in a deployment, where the LLM is known."""
        return self.name.partition("@")[0]

    @property
    def reshapes(self) -> bool:
        """Whether it changes more than number format and score."""
        return self.sparse or bool(self.rank) or (self.depth, self.width, self.shared_by) != (1.0, 1.0, 1)


def varied(llm: Llm, *changes: Variant) -> Llm:
    """The LLM with all changes: a variant, a number format, an adapter, in any order."""
    for change in changes:
        llm = _changed(llm, change)
    return llm


def _changed(llm: Llm, change: Variant) -> Llm:
    layers = max(1, round(llm.layers * change.depth))
    moe, window = llm.moe, llm.window
    if moe is not None:
        dense = min(layers, round(moe.dense_layers * change.depth))
        moe = replace(moe, expert_ffn=_narrower(moe.expert_ffn, change.width), dense_layers=dense)
    if window is not None:
        window = replace(window, local_layers=round(window.local_layers * layers / llm.layers))
    return replace(
        llm,
        name=f"{llm.name}:{change.called}" if change.reshapes else llm.name,
        layers=layers,
        ffn=_narrower(llm.ffn, change.width),
        moe=moe,
        window=window,
        weights=change.weights or llm.weights,
        sparse=llm.sparse or change.sparse,
        shared_by=llm.shared_by * change.shared_by,
        rank=llm.rank + change.rank,
        beside=change.beside if change.rank else llm.beside,
        quality=min(1.0, llm.quality * change.relative_quality),
    )


def _narrower(width: int, share: float) -> int:
    """A share of an inner width, in the multiples of 64 that engines compute in."""
    return width if share == 1.0 else max(64, round(width * share / 64) * 64)
