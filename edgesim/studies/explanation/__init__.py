"""Explanations: why a run came out as it did, in sentences that tables back."""

from __future__ import annotations

from edgesim.studies.explanation.explain import explain
from edgesim.studies.explanation.part import Explanation, Part

__all__ = ["Explanation", "Part", "explain"]
