"""Measured step times as integer tables: what the linear layers, the head and attention of a step take.

A step that only decodes takes `segments[n, j]`: with n sequences whose mean context lies between the knots j and
j + 1, a base plus a slope for each token of the contexts' sum. A step that holds prompts takes

    linear[tokens] + head[sampled tokens] + attention

where attention is interpolated in four dimensions: tokens of the longest chunk, tokens of its prompt before it,
decoding sequences, their mean context. Every other chunk adds what it takes alone beyond a chunk of the smallest
size. All arithmetic is in integers: between two neighbours a and b, at num / den of the way, lies
a + floor((b - a) num / den); dimensions are resolved from the last to the first. Beyond its ends a table goes on as
between its last two entries; below its smallest entry it is constant, except that a context goes on as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Measured:
    """Integer tables of measured times [ps]; rows of eight columns are those of `edgesim.costs.step`.

    Attributes:
        knots: Mean contexts at which a segment begins, [K], ascending from 0.
        segments: Base and slope a token of context, [sequences + 1, K, 2, 8]; column 1 is the roofline.
        linear: Everything but head and attention by tokens of a step, [tokens + 1].
        head: LM head, sampling and the host's work by sampled tokens, [sequences + 1].
        image: Time of an image.
        chunks: Sizes of a chunk, ascending, at least two; so are the others.
        pasts: Tokens before a chunk.
        sequences: Decoding sequences beside it, from 0.
        contexts: Their mean context.
        attention: Time of all layers, [chunks, pasts, sequences, contexts].
    """

    knots: NDArray[np.int64]
    segments: NDArray[np.int64]
    linear: NDArray[np.int64]
    head: NDArray[np.int64]
    image: int
    chunks: NDArray[np.int64]
    pasts: NDArray[np.int64]
    sequences: NDArray[np.int64]
    contexts: NDArray[np.int64]
    attention: NDArray[np.int64]

    def segment(self, sequences: int, context: int) -> int:
        """Number of the segment that holds a sum of contexts."""
        last = len(self.knots) - 1
        return max(j for j in range(last + 1) if j == 0 or int(self.knots[j]) * sequences <= context)

    def mixed_ps(
        self,
        tokens: int,
        sampled: int,
        images: int,
        chunks: Sequence[tuple[int, int]],
        decodes: int,
        context: int,
    ) -> int:
        """Time of a step that holds chunks (their tokens, tokens before them) beside decoding sequences [ps]."""
        time = int(self.linear[tokens]) + int(self.head[sampled]) + images * self.image
        return time + self.attention_ps(chunks, decodes, context)

    def attention_ps(self, chunks: Sequence[tuple[int, int]], decodes: int, context: int) -> int:
        """Time of attention alone [ps]."""
        smallest = (int(self.chunks[0]), 0)
        longest = max(chunks, key=lambda chunk: chunk[0], default=smallest)  # the first of equals
        time = self.interpolated(*longest, decodes, context)
        alone = [max(0, self.interpolated(*c, 0, 0) - self.interpolated(*smallest, 0, 0)) for c in chunks]
        if chunks:
            time += sum(alone) - alone[[*chunks].index(longest)]
        return time

    def interpolated(self, chunk: int, past: int, decodes: int, context: int) -> int:
        """Time of attention of one chunk beside decoding sequences [ps]."""
        scale = max(decodes, 1)
        context = max(context, int(self.contexts[0]) * scale)
        chunk = max(chunk, int(self.chunks[0]))
        places = [
            _cell(self.chunks, chunk, 1),
            _cell(self.pasts, past, 1),
            _cell(self.sequences, decodes, 1),
            _cell(self.contexts, context, scale),
        ]
        values = (chunk, past, decodes, context)
        scales = (1, 1, 1, scale)
        axes = (self.chunks, self.pasts, self.sequences, self.contexts)

        def resolve(dimension: int, at: tuple[int, ...]) -> int:
            if dimension == len(axes):
                return int(self.attention[at])
            i, axis, by = places[dimension], axes[dimension], scales[dimension]
            a, b = (resolve(dimension + 1, (*at, i + step)) for step in (0, 1))
            num = values[dimension] - int(axis[i]) * by
            return a + (b - a) * num // ((int(axis[i + 1]) - int(axis[i])) * by)

        return resolve(0, ())


def _cell(axis: NDArray[np.int64], value: int, scale: int) -> int:
    """Index of the entry at or before a value, such that there is one behind it."""
    return max(i for i in range(len(axis) - 1) if i == 0 or int(axis[i]) * scale <= value)
