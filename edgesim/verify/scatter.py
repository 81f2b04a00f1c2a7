"""Scatter plots of predicted over measured values, one a quantity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from edgesim.verify.accuracy import Comparison

COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
MARKS: Final = ("o", "s", "^", "v", "D", "x")
"""Okabe and Ito's palette, with marks that tell splits apart in grey, too."""

UNITS: Final = {"energy": "J per token"}

SERVED: Final = (" mean", " p90")


def scatter(found: Sequence[Comparison], folder: Path) -> None:
    """Draw one file a quantity; statistics of served runs go together into one."""
    kinds = dict.fromkeys(_kind(one) for one in found)
    for kind in kinds:
        part = [one for one in found if _kind(one) == kind]
        _draw(part, kind, folder / f"{kind.replace(' ', '-')}.png")


def _kind(one: Comparison) -> str:
    return "served runs" if one.quantity.endswith(SERVED) else one.quantity


def _draw(part: Sequence[Comparison], kind: str, path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.5, 5.0), layout="constrained")
    ax = figure.subplots()
    for i, split in enumerate(dict.fromkeys(one.split for one in part)):
        mine = [one for one in part if one.split == split]
        ax.plot(
            [one.measured for one in mine], [one.predicted for one in mine], MARKS[i % len(MARKS)], alpha=0.5,
            markersize=4, color=COLOURS[i % len(COLOURS)], label=f"{split} ({len(mine)})",
        )  # fmt: skip
    ends = np.array([f([one.measured for one in part]) for f in (min, max)])
    for factor, style in ((1.0, "-"), (1.25, ":"), (0.8, ":")):
        ax.plot(ends, ends * factor, style, color="#555555", linewidth=1)
    unit = UNITS.get(kind, "s")
    ax.set(xscale="log", yscale="log", xlabel=f"measured [{unit}]", ylabel=f"predicted [{unit}]", title=kind)
    ax.legend(frameon=False)
    figure.savefig(path, dpi=140)
