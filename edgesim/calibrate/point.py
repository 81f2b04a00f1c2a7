"""A measured speed of one prompt or batch, and the same time by a cost model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from edgesim.costs.step import PS

if TYPE_CHECKING:
    from edgesim.costs.step import StepCost

PREFILL: Final = ("prefill_tok_s", "ttft_ms")
DECODE: Final = ("decode_tok_s", "tpot_ms")

MEASURED_CONTEXT: Final = 64
"""Context of a decode whose lengths were not stated [tokens]."""


@dataclass(frozen=True)
class Point:
    """One measurement.

    Attributes:
        metric: prefill_tok_s, ttft_ms, decode_tok_s or tpot_ms.
        value: In the metric's unit.
        batch: Sequences at once.
        prompt: Length of each prompt [tokens].
        output: Length of each reply [tokens].
        row: Where it stands in its file.
        depth: Tokens that are in the KV cache before the prompt.
    """

    metric: str
    value: float
    batch: int
    prompt: int
    output: int
    row: int
    depth: int = 0

    @property
    def seconds(self) -> float:
        """Time of the prompts, or of a decode step, as measured."""
        match self.metric:
            case "prefill_tok_s":
                return self.batch * self.prompt / self.value
            case "decode_tok_s":
                return self.batch / self.value
            case _:
                return self.value / 1000

    def predicted(self, cost: StepCost) -> float:
        """The same time by a cost model [s]."""
        if self.metric in PREFILL:
            alone = self.batch == 1
            return cost.prefill_ps(self.prompt, self.depth) / PS if alone else _prompts(cost, self)
        context = self.depth + self.prompt + self.output // 2 or MEASURED_CONTEXT
        return cost.decode_ps(min(self.batch, cost.max_num_seqs), self.batch * context) / PS


def _prompts(cost: StepCost, point: Point) -> float:
    """Time of several prompts, one after the other in steps of the token budget [s]."""
    pairs, read = cost.pairs(point.prompt)
    whole = point.batch * point.prompt
    steps = -(-whole // cost.max_batched_tokens)
    tokens = -(-whole // steps)
    part = point.batch / steps
    features = {
        "prefill_pairs": round(pairs * part),
        "prefill_read": round(read * part),
        "sampled": max(1, round(part)),
    }
    return steps * cost.mixed(tokens, chunks=((tokens, 0),), **features).ps / PS
