"""Tensor parallelism out of sample: one LLM at one degree is predicted from all others of the same engine."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

import numpy as np

from edgesim import catalog
from edgesim.calibrate import engines
from edgesim.calibrate.campaign import CONVENTIONS, Measurement, steps_of
from edgesim.calibrate.table import read_table
from edgesim.verify.accuracy import Comparison

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ENGINE: Final = "vllm-2023"
HARDWARE: Final = "nvidia-a100-80gb-sxm"
NUMBERS: Final = ("prompt_size", "batch_size", "token_size", "prompt_time", "token_time", "tensor_parallel")

BROKEN: Final = {("llama2-70b", 2)}
"""Prompts of these were measured beyond the memory: they imply more than the peak."""


def one_by_one(folder: Path) -> Iterator[Comparison]:
    """Predict each (LLM, degree of parallelism) of a profile of DGX-A100 from the others."""
    path = folder / "kernels" / "splitwise_a100.csv"
    if not path.is_file():
        return
    rows = list(_measured(path))
    for group in sorted({one.model for one in rows}):
        values = engines.fitted([one for one in rows if one.model != group])
        used = engines.accelerator_with(HARDWARE, values)
        for one in rows:
            if one.model == group:
                yield Comparison(
                    one.quantity, one.hardware, ENGINE, group, "group left out", one.measured,
                    engines.predicted(one, used),
                )  # fmt: skip


def _measured(path: Path) -> Iterator[Measurement]:
    """Medians of repeated measurements, times of prompts and of tokens [ms]."""
    table = read_table(path, NUMBERS, ["model"])
    columns = [table.numbers(name) for name in NUMBERS]
    runs: dict[tuple[str, int, int, int, int], list[tuple[float, float]]] = defaultdict(list)
    for model, prompt, batch, output, first, each, parallel in zip(
        table.words("model"), *columns, strict=True
    ):
        runs[model, int(parallel), int(prompt), int(batch), int(output)].append((first, each))
    for (model, parallel, prompt, batch, output), times in runs.items():
        name = catalog.named("llm", model)
        if name is None:
            continue
        llm = catalog.llm(name)
        for metric, values in (
            ("ttft_ms", [pair[0] for pair in times]),
            ("tpot_ms", [pair[1] for pair in times]),
        ):
            if metric == "ttft_ms" and (model, parallel) in BROKEN:
                continue
            steps = steps_of(metric, llm, batch, [(prompt, output)], CONVENTIONS["Splitwise"])
            yield Measurement(
                0, "A100 SXM 80GB", HARDWARE, ENGINE, f"{model} TP{parallel}", llm, "fp16", parallel, metric,
                float(np.median(values)), batch, *steps,
            )  # fmt: skip
