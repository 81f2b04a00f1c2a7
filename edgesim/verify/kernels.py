"""Kernel profiles, reproduced: at their measured points, and between points that are taken away."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from edgesim import catalog
from edgesim.calibrate.kernels import profile_of_kernels
from edgesim.calibrate.left_out import between, steps
from edgesim.verify.accuracy import Comparison

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgesim.catalog import Llm
    from edgesim.costs.profile import Profile

ENGINE: Final = "kernel profile"


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
        built = profile(prefix, hardware, llm, parallel)
        if built is None:
            continue
        name = built.accelerator

        def build(source: str, name: str = name, llm: Llm = llm, parallel: int = parallel) -> Profile:
            made = profile(source, name, llm, parallel)
            assert made is not None
            return made

        parts = {"at points": steps(prefix, llm, built), "between points": between(prefix, llm, build)}
        for split, part in parts.items():
            for step in part:
                sides = step.measured, step.predicted
                yield Comparison(step.what, name, ENGINE, llm.name, split, *sides, built.error_band)
