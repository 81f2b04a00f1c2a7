"""Accuracy: predicted beside measured, group by group, and what is said of many groups."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@dataclass(frozen=True)
class Comparison:
    """One measured value beside the predicted one.

    Attributes:
        quantity: What was measured: prefill, decode, throughput, energy ...
        hardware: On what, as the source calls it.
        engine: By what.
        model: Of what.
        split: What the prediction knew: fitted hardware, never fitted, left out ...
        measured: In the quantity's unit.
        predicted: In the same.
        band: Relative error that was promised; 0 if none was.
    """

    quantity: str
    hardware: str
    engine: str
    model: str
    split: str
    measured: float
    predicted: float
    band: float = 0.0

    @property
    def error(self) -> float:
        """Relative error."""
        return self.predicted / self.measured - 1


@dataclass(frozen=True)
class Group:
    """All comparisons of one quantity, hardware, engine, model and split.

    Attributes:
        n: How many there are.
        median_ape: Median absolute error, as a share.
        p90_ape: 90th percentile of the same.
        band_coverage: Share of them within their band; None without bands.
        band_halfwidth: Median of the bands; None without.
    """

    quantity: str
    hardware: str
    engine: str
    model: str
    split: str
    n: int
    median_ape: float
    p90_ape: float
    band_coverage: float | None
    band_halfwidth: float | None


def groups(found: Iterable[Comparison]) -> list[Group]:
    """Sum up comparisons by quantity, hardware, engine, model and split."""
    parts: dict[tuple[str, ...], list[Comparison]] = defaultdict(list)
    for one in found:
        parts[one.quantity, one.hardware, one.engine, one.model, one.split].append(one)
    return [_group(key, part) for key, part in parts.items()]


def _group(key: tuple[str, ...], part: Sequence[Comparison]) -> Group:
    errors = np.array([abs(one.error) for one in part])
    bands = np.array([one.band for one in part])
    quantity, hardware, engine, model, split = key
    return Group(
        quantity, hardware, engine, model, split, len(part), float(np.median(errors)),
        float(np.quantile(errors, 0.9)),
        float(np.mean(errors <= bands)) if bands.all() else None,
        float(np.median(bands)) if bands.all() else None,
    )  # fmt: skip


def overall(found: Sequence[Group]) -> list[dict[str, Any]]:
    """By quantity and split: medians over the groups' medians, and what their bands are worth."""
    parts: dict[tuple[str, str], list[Group]] = defaultdict(list)
    for group in found:
        parts[group.quantity, group.split].append(group)
    lines = []
    for (quantity, split), part in sorted(parts.items()):
        banded = [
            group for group in part if group.band_coverage is not None and group.band_halfwidth is not None
        ]
        points = sum(group.n for group in banded)
        lines.append(
            {
                "quantity": quantity,
                "split": split,
                "groups": len(part),
                "n": sum(group.n for group in part),
                "median_ape": float(np.median([group.median_ape for group in part])),
                "p90_ape": float(np.quantile([group.median_ape for group in part], 0.9)),
                "band_coverage": sum((g.band_coverage or 0.0) * g.n for g in banded) / points
                if points
                else None,
                "band_halfwidth": float(np.median([g.band_halfwidth for g in banded])) if banded else None,
            }
        )
    return lines
