"""The Pareto front: points that no other point beats in one objective without losing in another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def dominators(points: ArrayLike) -> NDArray[np.intp]:
    """Answer for each point one that dominates it, -1 for those on the front.

    A point dominates another one if it is at least as good everywhere and better somewhere. A point that lacks an
    objective (NaN) neither dominates nor lies on the front: it is its own dominator.

    Args:
        points: A row per point, a column per objective; smaller is better.
    """
    table = np.asarray(points, float)
    found = np.full(len(table), -1, np.intp)
    for place, row in enumerate(table):
        if np.isnan(row).any():
            found[place] = place
            continue
        slack = 1e-12 * np.abs(row)  # what is lost in adding floats up makes nobody better
        better = (table <= row + slack).all(axis=1) & (table < row - slack).any(axis=1)
        if better.any():
            candidates = np.flatnonzero(better)
            first = np.lexsort(table[candidates].T[::-1])[0]  # one that is on the front itself
            found[place] = candidates[first]
    return found
