"""Booked steps: what the kernel tells of steps that it took together, as a row for each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from edgesim.records import STEP_RECORD

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

AT_ONCE: Final = 1 << 16
"""Steps that are told in one array, unless more were booked together."""


def single_steps(booked: NDArray[np.void]) -> Iterator[NDArray[np.void]]:
    """Tell steps one by one.

    Args:
        booked: Rows of BOOKED.

    Returns:
        Arrays of STEP_RECORD rows, in the same order.
    """
    share = np.cumsum(booked["count"]) // AT_ONCE
    for part in np.split(booked, np.flatnonzero(np.diff(share)) + 1):
        if len(part):
            yield _told(part)


def _told(booked: NDArray[np.void]) -> NDArray[np.void]:
    """One row a step: each begins where the one before ends; energies are shared out in whole nanojoules a token."""
    counts = booked["count"]
    rows = np.repeat(booked, counts)
    j = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    steps = np.zeros(len(rows), STEP_RECORD)
    steps["replica"], steps["decodes"], steps["whole"] = rows["replica"], rows["decodes"], rows["whole"]
    steps["began"] = rows["start"] + j * rows["base"] + rows["slope"] * (j * (j - 1) // 2)
    steps["ended"] = steps["began"] + rows["base"] + rows["slope"] * j
    steps["prefill"] = rows["tokens"] - rows["decodes"]
    steps["compute_nj"] = (rows["nj"] + rows["nj_slope"] * j) // rows["tokens"] * rows["tokens"]
    return steps
