"""Time of a matrix product of any shape, from those that were measured: what they reach of the peaks, interpolated.

A database measures a coarse grid of shapes (m tokens, n outputs, k inputs). What changes smoothly between them is not
the time but its ratio to

    ideal = sqrt((2 m n k / peak)^2 + ((weights + inputs + outputs) / bandwidth)^2)

so the logarithm of that ratio is interpolated linearly in the logarithms of m, n and k, and is constant beyond the
grid. Small matrices are measured out of the second-level cache, where no engine finds them between other layers:
no product is faster than its weights stream from memory, at the rate that the largest measured ones reach.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgesim.calibrate.database import Columns

    Floats = NDArray[np.float64]

STREAMING: Final = 16
"""Products of at most so many tokens are bound by the weights' traffic."""

LARGEST: Final = 0.9
"""Which of the sizes count as largest, and which of the rates reached there as the rate: a quantile."""


class Products:
    """Measured products of one number format.

    Args:
        rows: Columns m, n, k and seconds.
        peak: Peak arithmetic rate of the format [FLOP/s].
        bandwidth: Peak memory bandwidth [B/s].
        weight_bytes: Bytes of a weight.
        input_bytes: Bytes of an input; outputs have two.
    """

    def __init__(
        self, rows: Columns, peak: float, bandwidth: float, weight_bytes: float, input_bytes: float = 2.0
    ) -> None:
        from scipy.interpolate import RegularGridInterpolator  # noqa: PLC0415 - only calibration needs it

        self.peak, self.bandwidth = peak, bandwidth
        self.weight_bytes, self.input_bytes = weight_bytes, input_bytes
        shape = tuple(rows[name] for name in ("m", "n", "k"))
        axes, seconds = on_grid(np.stack(shape, axis=-1), rows["seconds"])
        m, n, k = np.meshgrid(*axes, indexing="ij")
        share = filled(np.log(self.ideal(m, n, k, weight_bytes) / seconds), [np.log(axis) for axis in axes])
        self.axes = axes
        self._share: Any = RegularGridInterpolator([np.log(axis) for axis in axes], share)
        self.streamed = self._streamed(rows)

    def ideal(self, m: Floats, n: Floats | float, k: Floats | float, weight_bytes: float) -> Floats:
        """What the peaks allow [s]."""
        traffic = weight_bytes * n * k + m * (self.input_bytes * k + 2.0 * n)
        result: Floats = np.hypot(2.0 * m * n * k / self.peak, traffic / self.bandwidth)
        return result

    def _streamed(self, rows: Columns) -> float:
        """Rate at which the weights of the largest measured matrices stream [B/s]."""
        few = rows["m"] <= max(STREAMING, rows["m"].min())
        size = self.weight_bytes * rows["n"][few] * rows["k"][few]
        large = size >= np.quantile(size, LARGEST)
        return float(np.quantile(size[large] / rows["seconds"][few][large], LARGEST))

    def seconds(self, m: Floats, n: float, k: float, weight_bytes: float | None = None) -> Floats:
        """Time of products of so many tokens with one matrix [s].

        Args:
            m: Tokens.
            n: Outputs.
            k: Inputs.
            weight_bytes: Bytes of a weight, where it is stored in another format than the measured ones.
        """
        each = self.weight_bytes if weight_bytes is None else weight_bytes
        places = np.broadcast_arrays(m, n, k)
        inside = [
            np.log(np.clip(place, axis[0], axis[-1])) for place, axis in zip(places, self.axes, strict=True)
        ]
        reached = np.exp(self._share(np.stack(inside, axis=-1)))
        measured: Floats = self.ideal(m, n, k, each) / reached
        return np.maximum(measured, each * n * k / self.streamed)


def on_grid(points: Floats, values: Floats) -> tuple[list[Floats], Floats]:
    """Put scattered points on the grid of all their coordinates: NaN where nothing was measured.

    A point that was measured more than once, with other kernels, keeps its best time, as an engine would choose.
    """
    axes = [np.unique(column) for column in points.T]
    grid = np.full([len(axis) for axis in axes], np.inf)
    at = tuple(np.searchsorted(axis, column) for axis, column in zip(axes, points.T, strict=True))
    np.minimum.at(grid, at, values)
    return axes, np.where(np.isinf(grid), np.nan, grid)


def filled(grid: Floats, axes: list[Floats]) -> Floats:
    """Fill gaps of a grid along one dimension after the other, the last first; constant beyond what is known."""
    for dimension in reversed(range(grid.ndim)):
        if not np.isnan(grid).any():
            break
        grid = np.apply_along_axis(_mended, dimension, grid, axes[dimension])
    return grid


def _mended(line: Floats, axis: Floats) -> Floats:
    known = ~np.isnan(line)
    if known.all() or not known.any():
        return line
    return np.where(known, line, np.interp(axis, axis[known], line[known]))
