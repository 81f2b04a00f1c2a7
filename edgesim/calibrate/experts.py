"""Time of the routed experts of one layer, from measured grouped products, or from plain ones.

Measured times count all tokens of all accelerators that share the experts, whether each holds a part of every expert
(tensor parallelism) or whole experts (expert parallelism: then the busiest one counts). How evenly tokens spread over
experts is a column of the tables; taken is a power law with exponent 1.01, which is what keeps some experts idle
in small batches and overloads one accelerator in large ones.

Where nothing like it was measured, E experts of which each token visits k are

    sqrt(weights^2 + arithmetic^2)

weights: those of the E (1 - (1 - k/E)^tokens) experts that the tokens touch on average, streamed as large matrices
are; arithmetic: that of one product of all visits, at the rate that grouped products reach of it; divided among
accelerators, of which the busiest has `IMBALANCE` times its share where experts are whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from edgesim.costs.roofline import IMBALANCE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgesim.calibrate.database import Columns, Database
    from edgesim.calibrate.products import Products
    from edgesim.catalog import Llm

    Floats = NDArray[np.float64]

SPREADS: Final = ("power_law_1.01", "power_law_1.2", "balanced")
"""How tokens spread over experts, by preference."""

GROUPED: Final = 0.6
"""Rate of grouped products over that of plain ones of all visits at once: measured experts of Qwen3-30B-A3B and Mixtral
8x7B on H100 and RTX PRO 6000, 1,024 tokens and more."""


class Experts:
    """Routed experts of one layer on one of the accelerators that share them.

    Args:
        database: Measured kernels.
        llm: A mixture of experts.
        accelerators: How many share the experts, those of all replicas together.
        whole: Whether each holds whole experts, instead of a part of every one.
        replicas: How many bring their tokens.
        formats: The database's names of the weights' format, and what stands for them.
        products: Plain products of that format.

    Attributes:
        notes: What was not measured, and what stands for it.
    """

    def __init__(
        self,
        database: Database,
        llm: Llm,
        accelerators: int,
        whole: bool,
        replicas: int,
        formats: tuple[tuple[str, ...], str],
        products: Products,
    ) -> None:
        assert llm.moe is not None
        self.llm, self.moe, self.products = llm, llm.moe, products
        self.replicas = replicas
        self.tensor, self.ranks = (1, accelerators) if whole else (accelerators, 1)
        self.notes: list[str] = []
        self._rows: Columns | None = None
        measured = database.rows(
            "moe",
            hidden=llm.hidden,
            inner=self.moe.expert_ffn,
            per_token=self.moe.per_token,
            experts=self.moe.experts,
            tensor=self.tensor,
            expert=self.ranks,
        )
        for dtype in (*formats[0], formats[1]):
            for spread in SPREADS:
                chosen = (measured["dtype"] == dtype) & (measured["distribution"] == spread)
                if chosen.any():
                    self._rows = {name: column[chosen] for name, column in measured.items()}
                    self.notes.append(f"experts measured in {dtype}, tokens spread as {spread}")
                    return
        self.notes.append("experts of this shape were not measured; plain products stand for them")

    def seconds(self, tokens: Floats) -> Floats:
        """Time for so many tokens of each replica [s]."""
        everywhere = tokens * self.replicas
        if self._rows is None:
            return self._estimated(everywhere)
        order = np.argsort(self._rows["tokens"], kind="stable")
        sizes, first = np.unique(self._rows["tokens"][order], return_index=True)
        seconds = np.minimum.reduceat(self._rows["seconds"][order], first)
        found = np.exp(np.interp(np.log(everywhere), np.log(sizes), np.log(seconds)))
        return np.where(everywhere > sizes[-1], seconds[-1] * everywhere / sizes[-1], found)

    def _estimated(self, tokens: Floats) -> Floats:
        """Time from plain products."""
        moe, llm = self.moe, self.llm
        matrices = 3 if llm.gated else 2
        inner = moe.expert_ffn / self.tensor
        distinct = moe.experts * (1.0 - np.power(1.0 - moe.per_token / moe.experts, tokens))
        busiest = IMBALANCE if self.ranks > 1 else 1.0
        weights = matrices * llm.hidden * inner * self.products.weight_bytes
        streaming = distinct / self.ranks * weights / self.products.streamed
        visits = tokens * moe.per_token
        product = self.products.seconds(visits, (matrices - 1) * inner, llm.hidden)
        product = product + self.products.seconds(visits, llm.hidden, inner)
        result: Floats = busiest * np.hypot(streaming, product / GROUPED / self.ranks)
        return result
