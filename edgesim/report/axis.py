"""Axes in units that read well: data stay in SI units, ticks and labels are in milliseconds, minutes or percent."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axis import Axis

SIZES: Final = {
    "s": ((1e-6, "\N{MICRO SIGN}s"), (1e-3, "ms"), (1.0, "s"), (60.0, "min"), (3600.0, "h")),
    "J": ((1e-3, "mJ"), (1.0, "J"), (1e3, "kJ"), (1e6, "MJ"), (1e9, "GJ")),
    "W": ((1e-3, "mW"), (1.0, "W"), (1e3, "kW"), (1e6, "MW")),
    "gCO2": ((1e-3, "mgCO2"), (1.0, "gCO2"), (1e3, "kgCO2"), (1e6, "tCO2")),
    "USD per request": ((1e-3, "USD per 1,000"), (1.0, "USD")),
    "share": ((0.01, "%"),),
}
"""Unit of the data -> sizes and names of those that an axis may have."""
FROM: Final = {"min": 600.0, "h": 36_000.0, "USD": 0.5}
"""Where a unit begins to read well, if not at its size."""
DECADES: Final = 2.2
"""A logarithmic axis over more decades has ticks at powers of ten alone."""


def size_of(unit: str, most: float) -> tuple[float, str]:
    """Answer size and name of the unit in which values up to `most` read well.

    Args:
        unit: Of the data, such as "s"; "share" for percent.
        most: The largest of them.
    """
    sizes = SIZES.get(unit, ((1.0, unit),))
    fit = [each for each in sizes if FROM.get(each[1], each[0]) <= most * (1 + 1e-9)]
    return fit[-1] if fit and most > 0 else sizes[0] if most > 0 or len(sizes) == 1 else (1.0, unit)


def measure(axis: Axis, words: str, unit: str = "", *, whole: bool = False) -> None:
    """Label an axis whose limits are set, in the unit that suits them.

    Args:
        axis: `ax.xaxis` or `ax.yaxis`.
        words: What it shows.
        unit: Of the data; "share" for percent, "" for plain numbers.
        whole: Whether only whole numbers occur.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter  # noqa: PLC0415 - a slow import

    low, high = sorted(axis.get_view_interval())
    logarithmic = axis.get_scale() == "log"
    size, name = size_of(unit, high / 10 if logarithmic else max(abs(low), abs(high)))
    axis.set_label_text(f"{words} [{name}]" if name else words)
    if logarithmic:
        narrow = math.log10(high / low) < DECADES
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if narrow else (1.0,)))
        axis.set_minor_formatter(NullFormatter())
    else:
        axis.set_major_locator(_steps(size, whole=whole))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / size:,.6g}"))


def _steps(size: float, *, whole: bool) -> Any:
    """Round ticks in units of a size."""
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415

    class Steps(MaxNLocator):
        """Ticks that are round in another unit than the data's."""

        def tick_values(self, vmin: float, vmax: float) -> Any:
            return size * np.asarray(super().tick_values(vmin / size, vmax / size))

    return Steps(
        nbins="auto", steps=[1, 2, 5, 10] if whole else [1, 2, 2.5, 5, 10], integer=whole, min_n_ticks=2
    )
