"""Measured speeds of single prompts and batches, and the roofline parameters that explain them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from edgesim.calibrate import llama_bench
from edgesim.calibrate.point import DECODE, PREFILL, Point
from edgesim.calibrate.table import read_table, shortened, text_of
from edgesim.costs.roofline import Efficiency, step_cost
from edgesim.errors import Problem, ScenarioError, SimulationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from edgesim.catalog import Accelerator, Llm
    from edgesim.costs.step import StepCost

FITTED: Final = ("compute_efficiency", "memory_efficiency", "step_overhead")
"""What is fitted; the attention efficiency keeps its ratio to that of large products."""

BOUNDS: Final = {
    "compute_efficiency": (0.01, 1.0),
    "memory_efficiency": (0.01, 1.0),
    "step_overhead": (1e-7, 0.5),
}

TOO_FAR: Final = 0.5
"""A fit that leaves a larger median error has not converged."""

MOST_SEQUENCES: Final = 256
"""Sequences in the largest step, where nothing states it and no more were measured."""

AT_LIMIT: Final = 1.01
"""A parameter nearer to a bound than by this factor is at it."""


def read_points(path: Path, accelerator: str = "", llm: str = "") -> list[Point]:
    """Read points from a CSV (metric, value, batch, prompt_len, output_len) or a llama-bench JSON file.

    Args:
        path: The file.
        accelerator: Name in the catalogue of what is wanted of a llama-bench file with several accelerators.
        llm: Likewise, of several models.

    Raises:
        ScenarioError: The file has wrong columns or rows; they are told by number.
    """
    text = text_of(path)
    if text.lstrip()[:1] in {"[", "{"}:
        return llama_bench.read(text, path, accelerator, llm)
    counts = ("batch", "prompt_len", "output_len")
    table = read_table(
        path, ["value", *counts], ["metric"], key=["metric", "value", *counts], check=_complaint
    )
    columns = (table.words("metric"), *(table.numbers(name) for name in ("value", *counts)))
    return [
        Point(metric, value, int(batch), int(prompt), int(output), row)
        for row, (metric, value, batch, prompt, output) in enumerate(zip(*columns, strict=True), 1)
    ]


def _complaint(row: Mapping[str, Any]) -> str:
    """What is wrong with a row; empty for nothing."""
    metric, value, batch, prompt = row["metric"], row["value"], row["batch"], row["prompt_len"]
    if metric not in (*PREFILL, *DECODE):
        return f"metric '{metric}' is none of {', '.join((*PREFILL, *DECODE))}"
    for name in ("batch", "prompt_len", "output_len"):
        if row[name] != int(row[name]):
            return f"{name} {row[name]:g} is no whole number"
    if value <= 0 or batch < 1 or (metric in PREFILL and prompt < 1):
        return f"{metric} {value:g} at batch {batch:g} and {prompt:g} prompt tokens cannot be"
    return ""


def largest_batch(points: Sequence[Point], path: Path, stated: int | None) -> int:
    """Sequences in the largest step: as stated, or as many as were measured.

    Raises:
        ScenarioError: Larger batches were measured than what is stated lets in.
    """
    most = max((point.batch for point in points if point.metric in DECODE), default=1)
    if stated is None:
        return max(MOST_SEQUENCES, most)
    wrong = [
        Problem((), f"row {p.row}: batch {p.batch} is more than max_num_seqs {stated}", file=str(path))
        for p in points
        if p.metric in DECODE and p.batch > stated
    ]
    if wrong:
        raise ScenarioError(shortened(wrong))
    return stated


@dataclass(frozen=True)
class Fitted:
    """Roofline parameters, and what they leave.

    Attributes:
        values: Parameter -> value; efficiencies, and the step overhead [s].
        errors: Point -> relative error of its time.
        rejected: Point -> why it was left out.
        limits: Parameters that ended at a bound.
    """

    values: dict[str, float]
    errors: dict[Point, float]
    rejected: dict[Point, str]
    limits: tuple[str, ...] = ()


def fit(points: Sequence[Point], accelerator: Accelerator, llm: Llm, **given: Any) -> Fitted:
    """Fit efficiencies and step overhead to points, robustly (soft L1 of the logarithms).

    Args:
        points: Measurements of one LLM on one accelerator.
        accelerator: Its peaks, and what is not fitted.
        llm: What was run.
        **given: Number formats and parallelism, as `step_cost` takes them.

    Raises:
        SimulationError: Nothing is left to fit, or the fit does not converge.
    """
    from scipy.optimize import least_squares  # noqa: PLC0415 - only fits need it

    rejected = _beyond_the_roof(points, accelerator, llm, given)
    kept = [point for point in points if point not in rejected]
    has = {
        "compute_efficiency": any(p.metric in PREFILL for p in kept),
        "memory_efficiency": any(p.metric in DECODE for p in kept),
    }
    names = [name for name in FITTED if has.get(name, len(kept) > 2)]
    if not any(has.values()):
        raise SimulationError("no point is left to fit; " + "; ".join(sorted(set(rejected.values()))[:3]))
    ratio = accelerator.attention_efficiency / accelerator.compute_efficiency

    def at(x: Sequence[float]) -> dict[str, float]:
        return {name: math.exp(value) for name, value in zip(names, x, strict=True)}

    def errors(x: Sequence[float]) -> list[float]:
        cost = _cost(at(x), ratio, accelerator, llm, given)
        return [math.log(point.predicted(cost) / point.seconds) for point in kept]

    bounds = [(math.log(low), math.log(high)) for low, high in (BOUNDS[name] for name in names)]
    start = [
        np.clip(math.log(max(getattr(accelerator, n), 1e-6)), lo + 1e-6, hi - 1e-6)
        for n, (lo, hi) in zip(names, bounds, strict=True)
    ]
    found = least_squares(
        errors, start, loss="soft_l1", f_scale=0.1, diff_step=1e-3, bounds=tuple(zip(*bounds, strict=True))
    )
    left = dict(zip(kept, (math.exp(e) - 1 for e in errors(found.x)), strict=True))
    if not found.success or float(np.median(np.abs(list(left.values())))) > TOO_FAR:
        raise SimulationError(
            "the fit does not converge; check accelerator, LLM and number format of the points"
        )
    values = at(found.x)
    limits = tuple(n for n in names if not BOUNDS[n][0] * AT_LIMIT < values[n] < BOUNDS[n][1] / AT_LIMIT)
    return Fitted(values, left, rejected, limits)


def _cost(
    values: dict[str, float], ratio: float, accelerator: Accelerator, llm: Llm, given: dict[str, Any]
) -> StepCost:
    attention = values.get("compute_efficiency", accelerator.compute_efficiency) * ratio
    return step_cost(
        accelerator, llm, efficiency=Efficiency(**values, attention_efficiency=min(1.0, attention)), **given
    )


def _beyond_the_roof(
    points: Sequence[Point], accelerator: Accelerator, llm: Llm, given: dict[str, Any]
) -> dict[Point, str]:
    """Points that no efficiency explains: faster than the peaks allow."""
    free = replace(accelerator, quantised_efficiency=1.0, step_overhead_per_sequence=0.0)
    ideal = step_cost(free, llm, efficiency=Efficiency(1.0, 1.0, 1.0, 0.0, 0.0), **given)
    found = {}
    for point in points:
        least = point.predicted(ideal)
        if point.seconds < least:
            took, bound = (f"{seconds * 1e3:.4g} ms" for seconds in (point.seconds, least))
            found[point] = f"row {point.row}: takes {took} where the peaks allow no less than {bound}"
    return found
