"""Time of one layer's attention on one accelerator, from measured batches of equal sequences.

A database measures whole prompts and decoding batches, each alone. What an engine's step holds beyond that follows
from how the kernels divide the work:

- **A chunk behind others of its prompt** adds `4 heads head_dim chunk past` FLOPs, at the rate of the longest measured
  prompt, where its blocks of queries fill the multiprocessors; a last, half-empty round of blocks takes as long.
- **Decodes beside a prompt** take what they take alone, where the kernel splits contexts among multiprocessors in any
  case (FlashAttention 3, FlashInfer). FlashAttention 2 splits none when a prompt is there, and lets every query head
  be a block of its own that reads the whole context: then a decode takes `heads` blocks of a length of its context.
- **Caches.** Small batches are measured out of the second-level cache; in an engine the other layers have been there
  in between. No batch is faster than an empty one plus its keys and values at the rate of the largest batches.

The constants were fitted to measured steps of RTX 4090 and RTX PRO 6000 (LLMServingSim, 8B and 32B models): median
error of steps that hold both 6 to 9 %.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from edgesim.calibrate.products import filled, on_grid

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from edgesim.calibrate.database import Chip, Columns, Database

    Floats = NDArray[np.float64]

QUERIES: Final = {True: 64, False: 128}
"""Queries in a block of FlashAttention 2 over paged caches, and of others."""

LONE_BLOCK: Final = 1.2
"""How much longer a block of one decode takes for each token of its context than a block of a prompt."""

BEGINNING: Final = 128
"""Tokens of context that a block of one decode could read while it begins and ends."""

SPLIT: Final = 0.6
"""Share of the rate that kernels reach at least which split a context where blocks are few."""


class Attention:
    """Attention of one layer.

    Args:
        database: Measured kernels.
        heads: Query heads on one accelerator.
        kv_heads: Key and value heads on one accelerator.
        head_dim: Width of a head.
        kv: How the database calls the number format of the cache.
        bandwidth: Peak memory bandwidth [B/s].

    Attributes:
        notes: What was not measured, and what stands for it.
        sequences: Measured sizes of a decoding batch.
        contexts: Measured contexts of a decode.
    """

    def __init__(
        self, database: Database, heads: int, kv_heads: int, head_dim: int, kv: str, bandwidth: float
    ) -> None:
        self.notes: list[str] = []
        self.chip: Chip = database.chip
        self.heads, self.head_dim = heads, head_dim
        self.token_bytes = 2 * kv_heads * head_dim * (1 if kv == "fp8" else 2)
        prompts, often, _ = self._nearest(database, "context", heads, kv_heads, head_dim, kv)
        batches, _, scale = self._nearest(database, "generation", heads, kv_heads, head_dim, kv)
        names = set(batches["kernel"])
        older = {name for name in names if name.endswith(("fa2", "flash_attn"))}
        self.blocks_of_decodes = bool(older) if any(names) else database.system != "h100_sxm"
        self._read_prompts(prompts, often)
        self._read_batches(batches, scale, bandwidth)

    def _nearest(
        self, database: Database, kind: str, heads: int, kv_heads: int, head_dim: int, kv: str
    ) -> tuple[Columns, float, float]:
        """Rows of the measured heads that are most alike, and factors for their arithmetic and their traffic."""
        rows = database.rows(kind)
        if kv not in set(rows["kv"]):
            if kv == "fp8":
                self._note(
                    "attention over an fp8 cache was not measured; that over a 16-bit one stands for it"
                )
            kv = str(rows["kv"][0])
        rows = {name: column[rows["kv"] == kv] for name, column in rows.items()}
        shapes = np.unique(
            np.stack([rows[name] for name in ("heads", "kv_heads", "head_dim")], axis=-1), axis=0
        )
        wanted = np.array([heads, kv_heads, head_dim])
        apart = np.abs(np.log(shapes / wanted)) @ np.array([1.0, 4.0, 2.0])
        best = shapes[np.argmin(apart)]
        if apart.min() > 0:
            there = ", ".join(f"{value:g}" for value in best)
            self._note(f"heads {heads}, {kv_heads} x {head_dim} were not measured; {there} stand for them")
        chosen = (np.stack([rows[name] for name in ("heads", "kv_heads", "head_dim")], axis=-1) == best).all(
            axis=1
        )
        arithmetic = heads * head_dim / (best[0] * best[2])
        traffic = kv_heads * head_dim / (best[1] * best[2])
        return {name: column[chosen] for name, column in rows.items()}, float(arithmetic), float(traffic)

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    def _read_prompts(self, rows: Columns, scale: float) -> None:
        """Keep the times of single prompts."""
        alone = rows["batch"] == rows["batch"].min()
        (sizes,), seconds = on_grid(rows["tokens"][alone][:, None], rows["seconds"][alone])
        self._sizes, self._alone = sizes, seconds * scale
        pairs = sizes[-1] * (sizes[-1] + 1) / 2
        self.rate = float(4.0 * self.heads * self.head_dim * pairs / self._alone[-1])

    def _read_batches(self, rows: Columns, scale: float, bandwidth: float) -> None:
        """Keep the times of decoding batches, read from memory."""
        points = np.stack([rows["batch"], rows["tokens"] + rows["step"]], axis=-1)
        axes, grid = on_grid(points, rows["seconds"])
        ends = np.apply_along_axis(_continued, 1, grid, axes[1])
        seconds = np.apply_along_axis(_continued, 0, ends, axes[0])
        first = seconds[:, :1]
        seconds = first + (seconds - first) * scale
        read = axes[0][:, None] * axes[1][None, :] * float(self.token_bytes)
        known = ~np.isnan(grid) & (read > 4 * self.chip.cache)
        reached = float(np.quantile(read[known] / seconds[known], 0.9)) if known.any() else 0.8 * bandwidth
        cold = first + (read - read[:, :1]) / reached
        self.sequences, self.contexts = axes
        self._batches = np.maximum(seconds, cold)
        self.launch = float(self._batches[0, 0])

    def decode(self, sequences: Floats, contexts: Floats) -> Floats:
        """Time of decoding batches by size and mean context [s], [sequences, contexts]."""
        return bilinear((self.sequences, self.contexts), self._batches, sequences, contexts)

    def prompt(self, chunk: Floats, past: Floats) -> Floats:
        """Time of one chunk of a prompt behind so many of its tokens [s]."""
        alone = np.exp(np.interp(np.log(chunk), np.log(self._sizes), np.log(self._alone)))
        longest = self._sizes[-1]
        alone = np.where(chunk > longest, self._alone[-1] * (chunk / longest) ** 2, alone)
        blocks = self.heads * np.ceil(chunk / QUERIES[self.blocks_of_decodes])
        rounds = np.ceil(blocks / self.chip.multiprocessors)
        share = blocks / (rounds * self.chip.multiprocessors)
        if not self.blocks_of_decodes:
            share = np.maximum(share, SPLIT)
        result: Floats = alone + 4.0 * self.heads * self.head_dim * chunk * past / (self.rate * share)
        return result

    def mixed(self, chunk: Floats, past: Floats, sequences: Floats, contexts: Floats) -> Floats:
        """Time of one chunk beside decoding sequences [s], [chunks, pasts, sequences, contexts]."""
        prompts = self.prompt(chunk[:, None], past[None, :])[:, :, None, None]
        beside = np.maximum(self.decode(sequences, contexts) - self.launch, 0.0)
        if self.blocks_of_decodes:
            token = LONE_BLOCK * 4.0 * QUERIES[True] * self.head_dim / self.rate
            length = (contexts + BEGINNING) * token
            together = sequences[:, None] * self.heads * length[None, :]
            beside = np.where(sequences[:, None] > 0, np.maximum(beside, together), 0.0)
            lone = np.where(sequences[:, None] > 0, length * self.chip.multiprocessors + self.launch, 0.0)
            result: Floats = np.maximum(prompts + beside[None, None], lone[None, None])
            return result
        return np.asarray(prompts + np.where(sequences[:, None] > 0, beside, 0.0)[None, None], np.float64)


def _continued(line: Floats, axis: Floats) -> Floats:
    """Fill the gaps of a line; beyond its measured ends it goes on in proportion, as between the last two."""
    known = ~np.isnan(line)
    if known.all() or known.sum() < 2:
        return filled(line, [axis]) if known.any() else line
    x, y = axis[known], line[known]
    i = np.clip(np.searchsorted(x, axis, side="right") - 1, 0, len(x) - 2)
    slope = (y[i + 1] - y[i]) / (x[i + 1] - x[i])
    return np.where(known, line, np.maximum(y[i] + slope * (axis - x[i]), y.min()))


def bilinear(axes: tuple[Floats, Floats], grid: Floats, first: Floats, second: Floats) -> Floats:
    """Interpolate a table in both directions; beyond its ends it goes on as between the last two entries."""
    along: Callable[[Floats, Floats, Floats], Any] = _line
    rows = along(axes[0], grid, first)
    result: Floats = along(axes[1], rows.T, second).T
    return np.maximum(result, 0.0)


def _line(axis: Floats, values: Floats, at: Floats) -> Floats:
    """Interpolate the first dimension; constant below the first entry."""
    i = np.clip(np.searchsorted(axis, at, side="right") - 1, 0, len(axis) - 2)
    share = np.maximum((at - axis[i]) / (axis[i + 1] - axis[i]), 0.0)[:, None]
    result: Floats = values[i] + (values[i + 1] - values[i]) * share
    return result
