"""How a kernel profile does between its points: built from half of the sizes, it predicts the sums of the others."""

from __future__ import annotations

import csv
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from edgesim import catalog
from edgesim.calibrate.kernels import path_of, summed
from edgesim.calibrate.table import Table, read_table
from edgesim.costs.profile import profile_step_cost
from edgesim.costs.step import PS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from edgesim.catalog import Llm
    from edgesim.costs.measured import Measured
    from edgesim.costs.profile import Profile

AXES: Final = ("prefill_chunk", "kv_prefill", "n_decode", "kv_decode")
KINDS: Final = {
    "dense": (("tokens",), ("layer",)),
    "per_sequence": (("sequences",), ("layer",)),
    "attention": (AXES, ()),
}

MOST_SEQUENCES, MOST_TOKENS = 512, 4096
"""Largest steps that the tables are built for."""


@dataclass(frozen=True)
class Step:
    """A step as the sum of its kernels, and by a profile [s]."""

    what: str
    measured: float
    predicted: float


def between(prefix: str, llm: Llm, build: Callable[[str], Profile]) -> Iterator[Step]:
    """Steps at the points that a profile of every second size does not hold.

    Args:
        prefix: Path and beginning of the tables' names.
        llm: What was run.
        build: Makes a profile of the tables with such a prefix.
    """
    with tempfile.TemporaryDirectory() as scratch:
        thinned = f"{scratch}/thin_"
        for kind, (numbers, words) in KINDS.items():
            _thin(_table(prefix, kind), Path(f"{thinned}{kind}.csv"), numbers, words)
        table = _table(thinned, "attention")
        held = set(zip(*(map(int, table.numbers(name)) for name in AXES), strict=True))
        yield from steps(prefix, llm, build(thinned), held)


def _table(prefix: str, kind: str) -> Table:
    numbers, words = KINDS[kind]
    return read_table(path_of(prefix, kind), [*numbers, "time_us"], words)


def _thin(table: Table, out: Path, numbers: tuple[str, ...], words: tuple[str, ...]) -> None:
    """Keep every second value of each dimension, and both ends."""
    kept = np.ones(len(table.numbers("time_us")), bool)
    for name in numbers:
        column = np.array(table.numbers(name))
        kept &= np.isin(column, _second(np.unique(column)))
    columns = [table.words(name) for name in words] + [table.numbers(name) for name in (*numbers, "time_us")]
    with out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*words, *numbers, "time_us"])
        writer.writerows(row for row, keep in zip(zip(*columns, strict=True), kept, strict=True) if keep)


def _second(axis: np.ndarray) -> np.ndarray:
    """Every second size and the ends; an axis of less than five stays, and so does 0, which is no size but none."""
    sizes = axis[axis > 0]
    return axis if len(axis) < 5 else np.union1d(sizes[::2], [*axis[axis == 0], sizes[-1]])


def steps(prefix: str, llm: Llm, built: Profile, held: Collection[tuple[int, ...]] = ()) -> Iterator[Step]:
    """Steps at all measured points but those that are held, by a profile."""
    cost = profile_step_cost(
        catalog.accelerator(built.accelerator), llm, built, weights=built.weights,
        tensor_parallel=built.tensor_parallel, max_num_seqs=MOST_SEQUENCES, max_batched_tokens=MOST_TOKENS,
        step_overhead=0.0, sequence_overhead=0.0, kv_tokens=1 << 20, paging=True,
    )  # fmt: skip
    assert cost.measured is not None
    truth, table = Kernels(prefix, llm), _table(prefix, "attention")
    for point in zip(*(map(int, table.numbers(name)) for name in AXES), strict=True):
        chunk, past, sequences, context = point
        large = sequences > MOST_SEQUENCES or chunk + sequences > MOST_TOKENS
        measured = None if large or point in held else truth.step(chunk, past, sequences, context)
        if measured is not None:
            what = "decode step" if chunk == 0 else "step with a prompt"
            yield Step(what, measured, _step_ps(cost.measured, chunk, past, sequences, context) / PS)


def _step_ps(measured: Measured, chunk: int, past: int, sequences: int, context: int) -> int:
    """Time of a step by the profile, as both engines price it [ps]."""
    if chunk == 0:
        whole = sequences * context
        base, slope = measured.segments[sequences, measured.segment(sequences, whole)]
        return int(base[0]) + int(slope[0]) * whole
    return measured.mixed_ps(
        chunk + sequences, sequences + 1, 0, ((chunk, past),), sequences, sequences * context
    )


class Kernels:
    """Sums of measured kernel times, exact where they were measured, linear in the size where not [s]."""

    def __init__(self, prefix: str, llm: Llm) -> None:
        self.layers = llm.layers
        self.dense = summed(_table(prefix, "dense"), "tokens", llm.layers)
        self.heads = summed(_table(prefix, "per_sequence"), "sequences", 0)
        table = _table(prefix, "attention")
        points = zip(*(map(int, table.numbers(name)) for name in AXES), strict=True)
        self.attention = dict(zip(points, table.numbers("time_us"), strict=True))

    def step(self, chunk: int, past: int, sequences: int, context: int) -> float | None:
        """A step's kernels together; None beyond what was measured of linear layers."""
        tokens, sampled = chunk + sequences, sequences + (chunk > 0)
        if tokens > self.dense[0][-1] or sampled > self.heads[0][-1]:
            return None
        linear = float(np.interp(tokens, *self.dense)) + float(np.interp(sampled, *self.heads))
        return linear + self.layers * self.attention[chunk, past, sequences, context] * 1e-6
