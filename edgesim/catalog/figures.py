"""Figures: numbers that know where they come from and how far they can be trusted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from edgesim.errors import EdgesimError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CONFIDENCE: Final = ("measured", "fitted", "datasheet", "unverified")
"""How far a packaged figure can be trusted; `accelerators/classes.yaml` explains each word at its top."""

GIVEN: Final = "given"
"""The confidence of a figure that a scenario states itself."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One number, or one small group of numbers, of a catalogue entry.

    Attributes:
        value: In SI units.
        source: Where it was read, or how it was found.
        confidence: One of CONFIDENCE, or GIVEN.
        entry: Name of the entry that states it: that itself, or what it is `like`.
    """

    value: Any
    source: str
    confidence: str
    entry: str = ""


class UnsourcedFigureError(EdgesimError):
    """A group of figures in a catalogue file that does not say where its figures come from."""

    def __init__(self, entry: str, text: str) -> None:
        self.entry = entry
        self.text = text
        super().__init__(entry, text)

    def __str__(self) -> str:
        return f"catalogue entry {self.entry!r}: {self.text}"


def figures_of(groups: Sequence[Mapping[str, Any]], entry: str) -> dict[str, Figure]:
    """Spread the groups of a catalogue entry into one figure a name; later groups win.

    Raises:
        UnsourcedFigureError: A group without source, mark or values.
    """
    figures: dict[str, Figure] = {}
    for group in groups:
        fault = _fault(group)
        if fault:
            raise UnsourcedFigureError(entry, fault)
        source, confidence = group["source"], group["confidence"]
        figures.update(
            {name: Figure(value, source, confidence, entry) for name, value in group["values"].items()}
        )
    return figures


def _fault(group: Mapping[str, Any]) -> str:
    values = group.get("values")
    if not isinstance(values, dict) or not values or set(group) - {"source", "confidence", "values"}:
        return "a group of figures has 'source', 'confidence' and 'values'"
    which = ", ".join(values)
    if not isinstance(group.get("source"), str) or len(group["source"]) < 8:
        return f"{which}: no source"
    if group.get("confidence") not in CONFIDENCE:
        return f"{which}: confidence is one of {', '.join(CONFIDENCE)}"
    return ""
