"""What one engine step of a replica costs: integer tables, exactly affine in the features of the step.

Time, energy and work of a step are a table row (chosen by the number of sequences or tokens in the step)
plus a coefficient for each feature (context read, prompt pairs ...), in eight integer columns:

    0 time if bound by arithmetic [ps]   2 energy [nJ]   4 most energy, by the power cap [nJ]  6 work
    1 time if bound by memory [ps]       3 energy [nJ]   5 most energy, by the power cap [nJ]  7 traffic [KiB]

The step takes the larger of columns 0 and 1, and the smaller of energy and cap of that branch (2 and 4, or
3 and 5; at a tie the first). One count of column 6 is `work_unit` FLOP, a power of two small enough to see
attention and large enough that 50 days at the peak rate fit into 62 bits.

Rounding: times and energies go up, caps, work and traffic go down, each table cell and each coefficient by
itself, so that no step is faster than its roofline and no utilisation exceeds 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from edgesim.errors import SimulationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from edgesim.costs.measured import Measured

PS: Final = 10**12
"""Picoseconds in a second."""

COLUMNS: Final = 8
DECODE_FEATURES: Final = ("context", "window_context")
MIXED_FEATURES: Final = (
    "decode_context",
    "prefill_pairs",
    "prefill_read",
    "window_decode_context",
    "window_prefill_pairs",
    "window_prefill_read",
    "sampled",
    "images",
)

LONGEST_RUN: Final = 50 * 86400
"""The longest scenario [s]; counters of work must not overflow within it."""

LARGEST: Final = 1 << 62
"""Bound for every quantity of a step, so that a sum of a few never overflows."""


class Step(NamedTuple):
    """Cost of one step: time [ps], energy [nJ], work [counts], traffic [KiB]."""

    ps: int
    nj: int
    work: int
    kib: int


@dataclass(frozen=True, eq=False)
class StepCost:
    """Integer coefficients of one engine step of a replica.

    Args:
        decode_table: Row = sequences in a step that only decodes.
        decode_coef: A row a feature of DECODE_FEATURES: sums over the sequences, this step's token included.
        mixed_table: Row = tokens in a step that holds a prompt or a chunk of one.
        mixed_coef: A row a feature of MIXED_FEATURES.
        stream_rate: Tokens per 1000 s that one lone sequence emits.
        kv_block_bytes: On all accelerators of the replica together; 0 if no KV cache is needed.
        kv_blocks: Blocks that fit beside the weights.
        swap_ps_per_block: Time to move a block to or from host memory.
        base_mw: Power while a step runs, before arithmetic and traffic [mW], PUE included.
        idle_mw: Power while nothing runs [mW], PUE included.
        calibration: Which cost model and coefficients these are.
        error_band: Relative error to expect.
        window: Tokens that layers with a sliding window see; 0 without one.
        encoder_only: Prompts are read whole, each token attending to all.
        tokens_per_image: Prompt tokens that an image becomes.
        work_unit: FLOP in a count of work; 0 if work and traffic are unknown.
        peak_flops: Of all accelerators of the replica together [FLOP/s].
        peak_bandwidth: Of all accelerators of the replica together [B/s].
        weights_bytes: Bytes of the weights.
        cap_mw: Most power [mW]; 0 if unknown.
        measured: Measured times; the tables then hold what the peaks allow, and the energy beside the base power.
        notes: What a report should say about these costs.
    """

    decode_table: NDArray[np.int64]
    decode_coef: NDArray[np.int64]
    mixed_table: NDArray[np.int64]
    mixed_coef: NDArray[np.int64]
    stream_rate: int
    kv_block_bytes: int
    kv_blocks: int
    swap_ps_per_block: int
    base_mw: int
    idle_mw: int
    calibration: str
    error_band: float
    window: int = 0
    encoder_only: bool = False
    tokens_per_image: int = 0
    work_unit: int = 1 << 20
    peak_flops: float = 0.0
    peak_bandwidth: float = 0.0
    weights_bytes: int = 0
    cap_mw: int = 0
    measured: Measured | None = None
    notes: tuple[str, ...] = ()

    @property
    def max_num_seqs(self) -> int:
        """Most sequences in a step."""
        return len(self.decode_table) - 1

    @property
    def max_batched_tokens(self) -> int:
        """Most tokens in a step."""
        return len(self.mixed_table) - 1

    def decode(self, sequences: int, context: int, window_context: int | None = None) -> Step:
        """Cost a step that only decodes; contexts are sums, this step's token included."""
        if self.measured is not None:
            base, slope = self.measured.segments[sequences, self.measured.segment(sequences, context)]
            return _step(base, slope[None, :], (context,))
        local = context if window_context is None else window_context
        return _step(self.decode_table[sequences], self.decode_coef, (context, local))

    def mixed(
        self,
        tokens: int,
        *,
        decode_context: int = 0,
        prefill_pairs: int = 0,
        prefill_read: int = 0,
        window_decode_context: int = 0,
        window_prefill_pairs: int = 0,
        window_prefill_read: int = 0,
        sampled: int = 0,
        images: int = 0,
        chunks: Sequence[tuple[int, int]] = (),
    ) -> Step:
        """Cost a step that holds a prompt or a chunk of one; `tokens` counts decoding sequences, too.

        Measured costs want to know each of the chunks: its tokens, and those of its prompt before it.
        """
        features = (
            decode_context,
            prefill_pairs,
            prefill_read,
            window_decode_context,
            window_prefill_pairs,
            window_prefill_read,
            sampled,
            images,
        )
        step = _step(self.mixed_table[tokens], self.mixed_coef, features, capped=self.measured is None)
        if self.measured is None:
            return step
        decodes = tokens - sum(size for size, _ in chunks)
        ps = max(step.ps, self.measured.mixed_ps(tokens, sampled, images, chunks, decodes, decode_context))
        nj = min(step.nj + ps // 1000 * self.base_mw // 1000, ps // 1000 * self.cap_mw // 1000)
        return step._replace(ps=ps, nj=nj)

    def prefill(self, tokens: int, cached: int = 0, images: int = 0, *, last: bool = True) -> Step:
        """Cost a step that reads one chunk of a prompt alone.

        Args:
            tokens: Tokens of the chunk.
            cached: Tokens before it that are in the KV cache already.
            images: Images that start with it.
            last: Whether it ends the prompt, so that a token is sampled.
        """
        pairs, read = self.pairs(tokens, cached)
        local_pairs, local_read = self.window_pairs(tokens, cached)
        return self.mixed(
            tokens,
            prefill_pairs=pairs,
            prefill_read=read,
            window_prefill_pairs=local_pairs,
            window_prefill_read=local_read,
            sampled=int(last),
            images=images,
            chunks=((tokens, cached),),
        )

    def pairs(self, tokens: int, cached: int = 0) -> tuple[int, int]:
        """Count the token pairs that attention compares, and the cache entries it reads, in a chunk."""
        if self.encoder_only:
            return tokens * tokens, tokens
        return tokens * cached + tokens * (tokens + 1) // 2, cached + tokens

    def window_pairs(self, tokens: int, cached: int = 0) -> tuple[int, int]:
        """Count the same for layers with a sliding window."""
        window, end = self.window, cached + tokens
        if not window:
            return 0, 0
        growing = max(0, min(end, window) - cached)
        pairs = growing * cached + growing * (growing + 1) // 2 + (tokens - growing) * window
        return pairs, min(end, window + tokens)

    def decode_ps(self, batch: int, context_sum: int) -> int:
        """Time of a step that only decodes, contexts spread evenly [ps]."""
        local = min(context_sum, batch * self.window)
        return self.decode(batch, context_sum, local).ps

    def prefill_ps(self, tokens: int, cached: int = 0, images: int = 0) -> int:
        """Time to read a whole prompt alone, in as many chunks as the step's token budget asks for [ps]."""
        total, done = 0, 0
        while done < tokens:
            chunk = min(tokens - done, self.max_batched_tokens)
            step = self.prefill(chunk, cached + done, images if done == 0 else 0, last=done + chunk == tokens)
            total += step.ps
            done += chunk
        return total


def _step(
    row: NDArray[np.int64], coef: NDArray[np.int64], features: Sequence[int], *, capped: bool = True
) -> Step:
    """Evaluate one step in plain integers."""
    columns = [int(value) for value in row]
    for feature, rates in zip(features, coef, strict=True):
        if feature:
            for column, rate in enumerate(rates):
                columns[column] += feature * int(rate)
    bound_by_memory = columns[1] > columns[0]
    branch = int(bound_by_memory)
    nj = min(columns[2 + branch], columns[4 + branch]) if capped else columns[2]
    return Step(columns[branch], nj, columns[6], columns[7])


def work_unit(peak_flops: float) -> int:
    """Choose the FLOP in a count of work: the smallest power of two whose counters last the longest run."""
    counts = peak_flops * LONGEST_RUN / LARGEST
    return 1 << max(0, math.ceil(math.log2(counts))) if counts > 0 else 1


def check_range(cost: StepCost, context: int) -> None:
    """Refuse coefficients with which the largest possible step would not fit into 62 bits.

    Args:
        cost: What to check.
        context: The longest sequence [tokens].
    """
    tokens, sequences = cost.max_batched_tokens, cost.max_num_seqs
    read = sequences * (context + 1)
    most = (read, tokens * (context + 1), read, read, tokens * (context + 1), read, sequences, sequences)
    largest = [
        max(float(table[:, column].max()) for table in (cost.decode_table, cost.mixed_table))
        + sum(feature * float(rate) for feature, rate in zip(most, cost.mixed_coef[:, column], strict=True))
        for column in range(COLUMNS)
    ]
    if max(largest) >= LARGEST:
        raise SimulationError(
            f"a step of {tokens} tokens over contexts of {context} costs more than the engine can count"
        )


def up(values: object) -> NDArray[np.int64]:
    """Round up to integers."""
    return np.ceil(np.asarray(values, dtype=np.float64)).astype(np.int64)


def down(values: object) -> NDArray[np.int64]:
    """Round down to integers."""
    return np.floor(np.asarray(values, dtype=np.float64)).astype(np.int64)
