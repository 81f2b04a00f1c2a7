"""Measured speeds of single prompts and batches, and the roofline parameters that explain them."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from edgesim.calibrate.table import read_table, text_of
from edgesim.costs.roofline import Efficiency, step_cost
from edgesim.costs.step import PS
from edgesim.errors import Problem, ScenarioError, SimulationError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from edgesim.catalog import Accelerator, Llm
    from edgesim.costs.step import StepCost

PREFILL: Final = ("prefill_tok_s", "ttft_ms")
DECODE: Final = ("decode_tok_s", "tpot_ms")

FITTED: Final = ("compute_efficiency", "memory_efficiency", "step_overhead")
"""What is fitted; the attention efficiency keeps its ratio to that of large products."""

BOUNDS: Final = {
    "compute_efficiency": (0.01, 1.0),
    "memory_efficiency": (0.01, 1.0),
    "step_overhead": (1e-7, 0.5),
}

TOO_FAR: Final = 0.5
"""A fit that leaves a larger median error has not converged."""

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
    """

    metric: str
    value: float
    batch: int
    prompt: int
    output: int
    row: int

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
            return cost.prefill_ps(self.batch * self.prompt) / PS if self.batch == 1 else _prompts(cost, self)
        context = self.prompt + self.output // 2 or MEASURED_CONTEXT
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


def read_points(path: Path) -> list[Point]:
    """Read points from a CSV (metric, value, batch, prompt_len, output_len) or a llama-bench JSON file.

    Raises:
        ScenarioError: The file has wrong columns or rows; they are told by number.
    """
    text = text_of(path)
    if text.lstrip()[:1] in {"[", "{"}:
        return _llama_bench(text, path)
    table = read_table(path, ["value", "batch", "prompt_len", "output_len"], ["metric"])
    points = []
    columns = (table.numbers(name) for name in ("value", "batch", "prompt_len", "output_len"))
    for row, (metric, value, batch, prompt, output) in enumerate(
        zip(table.words("metric"), *columns, strict=True), 1
    ):
        complaint = ""
        if metric not in (*PREFILL, *DECODE):
            complaint = f"metric '{metric}' is none of {', '.join((*PREFILL, *DECODE))}"
        elif value <= 0 or batch < 1 or (metric in PREFILL and prompt < 1):
            complaint = f"{metric} {value:g} at batch {batch:g} and {prompt:g} prompt tokens cannot be"
        if complaint:
            raise ScenarioError([Problem((), f"row {row}: {complaint}", file=str(path), line=row + 1)])
        points.append(Point(metric, value, round(batch), round(prompt), round(output), row))
    return points


def _llama_bench(text: str, path: Path) -> list[Point]:
    """Points of `llama-bench -o json`."""
    try:
        entries: Any = json.loads(text)
    except ValueError as error:
        raise ScenarioError([Problem((), f"not valid JSON: {error}", file=str(path))]) from None
    points = []
    for row, entry in enumerate(entries if isinstance(entries, list) else [], 1):
        try:
            prompt, output, speed = int(entry["n_prompt"]), int(entry["n_gen"]), float(entry["avg_ts"])
        except (KeyError, TypeError, ValueError):
            problem = Problem(
                (), f"entry {row}: no n_prompt, n_gen and avg_ts of llama-bench", file=str(path)
            )
            raise ScenarioError([problem]) from None
        if prompt and output:
            continue  # prompt and reply timed together say nothing about either
        depth = int(entry.get("n_depth", 0))
        points.append(
            Point("prefill_tok_s" if prompt else "decode_tok_s", speed, 1, prompt or depth, output, row)
        )
    if not points:
        raise ScenarioError([Problem((), "the file holds no measurement", file=str(path))])
    return points


@dataclass(frozen=True)
class Fitted:
    """Roofline parameters, and what they leave.

    Attributes:
        values: Parameter -> value; efficiencies, and the step overhead [s].
        errors: Point -> relative error of its time.
        rejected: Point -> why it was left out.
    """

    values: dict[str, float]
    errors: dict[Point, float]
    rejected: dict[Point, str]


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
    return Fitted(at(found.x), left, rejected)


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
