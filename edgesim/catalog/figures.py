"""Figures: numbers that know where they come from and how far they can be trusted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

CONFIDENCE: Final = ("measured", "datasheet", "fitted", "derived", "unverified")
"""How far a packaged figure can be trusted; catalogue files explain each word at their top."""

GIVEN: Final = "given"
"""The confidence of a figure that a scenario states itself."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One number, or one small group of numbers, of a catalogue entry."""

    value: Any
    source: str
    confidence: str


def figures_of(groups: Iterable[Mapping[str, Any]]) -> dict[str, Figure]:
    """Spread the groups of a catalogue file into one figure a name; later groups win."""
    figures: dict[str, Figure] = {}
    for group in groups:
        source, confidence = group.get("source", ""), group.get("confidence", "")
        figures.update({name: Figure(value, source, confidence) for name, value in group["values"].items()})
    return figures
