"""From kernel times, measured one by one, to a profile of whole steps."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from edgesim import catalog
from edgesim.calibrate import kernel_check as check
from edgesim.calibrate.table import Table, read_table
from edgesim.costs.profile import Profile
from edgesim.errors import Problem, ScenarioError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgesim.catalog import Llm

ONCE: Final = frozenset({"embedding", "final_layernorm"})
"""Kernels that a step runs once; all others run in every layer."""

TWICE: Final = frozenset({"layernorm"})
"""Kernels that run twice in a layer: before attention and before the feed-forward part."""

US: Final = 1e-6
COMPLETE: Final = 0.999


def profile_of_kernels(
    prefix: str, llm: Llm, accelerator: str, *, weights: str, tensor_parallel: int, engine: str, source: str
) -> Profile:
    """Build a profile from three tables of kernel times [us].

    Args:
        prefix: Path and beginning of the names: `<prefix>dense.csv`, `<prefix>per_sequence.csv` and
            `<prefix>attention.csv`, each possibly gzipped. Dense: layer, tokens, time_us (of one kernel).
            Per sequence: layer, sequences, time_us (LM head, sampler). Attention: prefill_chunk, kv_prefill,
            n_decode, kv_decode, time_us (of one layer).
        llm: What was run.
        accelerator: Name in the catalogue of what it ran on.
        weights: Number format of the weights.
        tensor_parallel: Accelerators that shared it.
        engine: Engine and version.
        source: Where the times come from.

    Raises:
        ScenarioError: A table is missing or wrong.
    """
    dense = read_table(path_of(prefix, "dense"), ["tokens", "time_us"], ["layer"], key=["layer", "tokens"])
    heads = read_table(
        path_of(prefix, "per_sequence"), ["sequences", "time_us"], ["layer"], key=["layer", "sequences"]
    )
    axes = ["prefill_chunk", "kv_prefill", "n_decode", "kv_decode"]
    attention = read_table(path_of(prefix, "attention"), [*axes, "time_us"], key=axes)
    machine = catalog.accelerator(accelerator)
    check.check_set(dense, heads, llm)
    check.check_axes(dense, "tokens")
    check.check_axes(heads, "sequences")
    check.check_parts(attention)
    roof = check.roof_of(machine, weights, tensor_parallel)
    check.check_roof(dense, heads, attention, llm, roof)
    check.check_shares(dense, heads, llm, machine, roof)
    tokens, linear = summed(dense, "tokens", llm.layers)
    sequences, head = summed(heads, "sequences", 0)
    points = np.array([attention.numbers(name) for name in axes]).T
    times = np.array(attention.numbers("time_us")) * US * llm.layers
    decoding = points[:, 0] == 0
    decode = _grid(points[decoding][:, 2:], times[decoding])
    mixed = _mixed(points[~decoding], times[~decoding])
    profile = Profile(
        accelerator=accelerator,
        llm=llm.name,
        weights=weights,
        tensor_parallel=tensor_parallel,
        engine=engine,
        source=source,
        tokens=tokens,
        linear=linear,
        sequences=sequences,
        head=head,
        decode_sequences=_whole(decode.axes[0]),
        decode_contexts=_whole(decode.axes[1]),
        decode=_listed(decode.values),
        chunks=_whole(mixed.axes[0]),
        pasts=_whole(mixed.axes[1]),
        mixed_sequences=_whole(mixed.axes[2]),
        mixed_contexts=_whole(mixed.axes[3]),
        mixed=_listed(mixed.values),
    )
    if problems := profile.problems():
        raise ScenarioError(
            [Problem((), f"the tables make no profile: {text}", file=f"{prefix}*") for text in problems]
        )
    return profile


def path_of(prefix: str, kind: str) -> Path:
    """One of the tables, plain or gzipped.

    Raises:
        ScenarioError: It is not there.
    """
    for suffix in (".csv", ".csv.gz"):
        path = Path(f"{prefix}{kind}{suffix}")
        if path.is_file():
            return path
    text = f"no file '{prefix}{kind}.csv' or '{prefix}{kind}.csv.gz'"
    help_ = "give the part of the names that the three tables share, with its last underscore if there is one"
    raise ScenarioError([Problem((), text, help_)])


def summed(table: Table, axis: str, layers: int) -> tuple[list[int], list[float]]:
    """Time of all kernels together by size of the step [s]; kernels count once, or in every layer."""
    sizes, times, kernels = table.numbers(axis), table.numbers("time_us"), table.words("layer")
    at = sorted(set(sizes))
    total = np.zeros(len(at))
    for kernel in sorted(set(kernels)):
        pairs = sorted(
            (size, time) for size, time, name in zip(sizes, times, kernels, strict=True) if name == kernel
        )
        often = 1 if not layers or kernel in ONCE else layers * (2 if kernel in TWICE else 1)
        total += often * US * np.interp(at, *np.array(pairs).T)
    return _whole(np.array(at)), [float(f"{value:.6g}") for value in total]


class Grid:
    """Values on a grid: ascending axes, and one value a crossing."""

    def __init__(self, axes: list[NDArray[np.float64]], values: NDArray[np.float64]) -> None:
        self.axes, self.values = axes, values


def _grid(points: NDArray[np.float64], times: NDArray[np.float64]) -> Grid:
    """Put scattered points on the grid of all their coordinates; NaN where nothing was measured."""
    axes = [np.unique(column) for column in points.T]
    values = np.full([len(axis) for axis in axes], np.nan)
    values[tuple(np.searchsorted(axis, column) for axis, column in zip(axes, points.T, strict=True))] = times
    return _filled(Grid(axes, values))


def _filled(grid: Grid) -> Grid:
    """Fill crossings without a measurement along the dimension that says most about them, the last one first."""
    values = grid.values
    for dimension in reversed(range(values.ndim)):
        if not np.isnan(values).any():
            break
        values = np.apply_along_axis(_mend, dimension, values, grid.axes[dimension])
    return Grid(grid.axes, values)


def _mend(line: NDArray[np.float64], axis: NDArray[np.float64]) -> NDArray[np.float64]:
    """Interpolate the gaps of a line; beyond its measured ends it goes on as between the last two."""
    known = ~np.isnan(line)
    if known.all() or known.sum() < 2:
        return line
    x, y = axis[known], line[known]
    i = np.clip(np.searchsorted(x, axis, side="right") - 1, 0, len(x) - 2)
    slope = (y[i + 1] - y[i]) / (x[i + 1] - x[i])
    mended = np.maximum(y[i] + slope * (axis - x[i]), y.min() * 0.5)
    return np.where(known, line, mended)


def _mixed(points: NDArray[np.float64], times: NDArray[np.float64]) -> Grid:
    """Attention of steps with prompts on a grid.

    A step without decodes was measured at no context; it stands for every context here. Sizes that were crossed
    with few others, as in profiles made of two interlocking grids, are laid over a grid of the others, so that
    every measured point keeps its own value and the space between is interpolated.
    """
    alone = points[:, 2] == 0
    contexts = np.unique(points[~alone][:, 3])
    repeated = np.repeat(points[alone], len(contexts), axis=0)
    repeated[:, 3] = np.tile(contexts, int(alone.sum()))
    points = np.concatenate([points[~alone], repeated])
    times = np.concatenate([times[~alone], np.repeat(times[alone], len(contexts))])
    axes = [np.unique(column) for column in points.T]
    core = _core(points, axes)
    inside = np.ones(len(points), bool)
    for column, axis in zip(points.T, core, strict=True):
        inside &= np.isin(column, axis)
    coarse = _grid(points[inside], times[inside])
    from scipy.interpolate import RegularGridInterpolator  # noqa: PLC0415 - only calibration needs it

    between: Any = RegularGridInterpolator(
        coarse.axes,
        coarse.values,
        bounds_error=False,
        fill_value=None,
    )
    values = between(np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1))
    values[tuple(np.searchsorted(axis, column) for axis, column in zip(axes, points.T, strict=True))] = times
    return Grid(axes, np.maximum(values, times.min() * 0.5))


def _core(points: NDArray[np.float64], axes: list[NDArray[np.float64]]) -> list[NDArray[np.float64]]:
    """Coordinates that were crossed with more than half as many points as the most crossed one, by dimension."""
    kept = []
    for column, axis in zip(points.T, axes, strict=True):
        counts = np.bincount(np.searchsorted(axis, column))
        often = axis[counts > counts.max() / 2]
        kept.append(often if len(often) > 1 else axis)
    return kept


def _whole(values: NDArray[np.float64]) -> list[int]:
    return [round(float(value)) for value in values]


def _listed(values: NDArray[np.float64]) -> Any:
    return np.vectorize(lambda value: float(f"{value:.5g}"))(values).tolist()
