"""Kernel profiles, reproduced: at their measured points, and between points that are taken away."""

from __future__ import annotations

import csv
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from edgesim import catalog
from edgesim.calibrate.kernels import profile_of_kernels
from edgesim.calibrate.table import Table, read_table
from edgesim.costs.profile import profile_step_cost
from edgesim.costs.step import PS
from edgesim.verify.accuracy import Comparison

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgesim.catalog import Llm
    from edgesim.costs.measured import Measured
    from edgesim.costs.profile import Profile

AXES: Final = ("prefill_chunk", "kv_prefill", "n_decode", "kv_decode")
KINDS: Final = {
    "dense": (("tokens",), ("layer",)),
    "per_sequence": (("sequences",), ("layer",)),
    "attention": (AXES, ()),
}
ENGINE: Final = "kernel profile"

MOST_SEQUENCES, MOST_TOKENS = 512, 4096
"""Largest steps that the tables are built for."""

BAND: Final = 0.05
"""What is promised between measured points."""


def found(folder: Path) -> Iterator[tuple[str, str, Llm, int]]:
    """Prefix, hardware, LLM and tensor parallelism of the profiles of a data folder."""
    for path in sorted((folder / "kernels").glob("profile_*_dense.csv*")):
        named = re.fullmatch(r"profile_([^_]+)_(.+)_tp(\d+)_dense\.csv(?:\.gz)?", path.name)
        llm = catalog.named("llm", named[2].replace("_", "/")) if named else None
        if named and llm:
            prefix = str(path.with_name(path.name.partition("dense.csv")[0]))
            yield prefix, named[1], catalog.llm(llm), int(named[3])


def profile(prefix: str, hardware: str, llm: Llm, parallel: int) -> Profile | None:
    """One of them as a profile; None if the catalogue does not have its hardware."""
    name = catalog.named("accelerator", hardware)
    if name is None:
        return None
    return profile_of_kernels(
        prefix, llm, name, weights="bf16", tensor_parallel=parallel, engine=ENGINE, source=Path(prefix).name
    )


def compared(folder: Path) -> Iterator[Comparison]:
    """Steps by profiles beside the sums of their kernels: at measured points, and at points taken away."""
    for prefix, hardware, llm, parallel in found(folder):
        yield from _steps(prefix, prefix, hardware, llm, parallel, "at points")
        with tempfile.TemporaryDirectory() as scratch:
            thinned = f"{scratch}/thin_"
            for kind, (numbers, words) in KINDS.items():
                _thin(_table(prefix, kind), Path(f"{thinned}{kind}.csv"), numbers, words)
            yield from _steps(prefix, thinned, hardware, llm, parallel, "between points")


def _table(prefix: str, kind: str) -> Table:
    numbers, words = KINDS[kind]
    path = next(
        Path(f"{prefix}{kind}{end}") for end in (".csv", ".csv.gz") if Path(f"{prefix}{kind}{end}").is_file()
    )
    return read_table(path, [*numbers, "time_us"], words)


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
    """Every second entry and the ends; an axis of less than five stays."""
    return axis if len(axis) < 5 else np.union1d(axis[::2], axis[[0, -1]])


def _steps(
    prefix: str, source: str, hardware: str, llm: Llm, parallel: int, split: str
) -> Iterator[Comparison]:
    """Steps at all measured points of `prefix`, by the profile of `source`; points that it holds are left out."""
    built = profile(source, hardware, llm, parallel)
    if built is None:
        return
    cost = profile_step_cost(
        catalog.accelerator(built.accelerator), llm, built, weights="bf16", tensor_parallel=parallel,
        max_num_seqs=MOST_SEQUENCES, max_batched_tokens=MOST_TOKENS, step_overhead=0.0, sequence_overhead=0.0,
    )  # fmt: skip
    assert cost.measured is not None
    truth, table = Kernels(prefix, llm), _table(prefix, "attention")
    seen = set(zip(*(map(int, _table(source, "attention").numbers(name)) for name in AXES), strict=True))
    for point in zip(*(map(int, table.numbers(name)) for name in AXES), strict=True):
        chunk, past, sequences, context = point
        large = sequences > MOST_SEQUENCES or chunk + sequences > MOST_TOKENS
        if large or (split != "at points" and point in seen):
            continue
        measured = truth.step(chunk, past, sequences, context)
        if measured is not None:
            what = "decode step" if chunk == 0 else "step with a prompt"
            predicted = _step_ps(cost.measured, chunk, past, sequences, context) / PS
            yield Comparison(what, built.accelerator, ENGINE, llm.name, split, measured, predicted, BAND)


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
        from edgesim.calibrate.kernels import summed

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
