"""The accelerator that a fit to measured points writes: a scenario's own, each of its figures marked as fitted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from edgesim.calibrate.point import DECODE, PREFILL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgesim.calibrate.points import Fitted
    from edgesim.catalog import Accelerator

LEAST_BAND: Final = 0.1
"""Relative error to expect of other prompts and batches, however well the measured ones are explained."""

FEW_BAND: Final = 0.25
"""The same where points are no more than what was fitted to them, so that nothing is left to judge by."""


def text(found: Fitted, machine: Accelerator, source: str, out: str) -> str:
    """A file of one accelerator that scenarios may extend.

    Args:
        found: What was fitted.
        machine: What the entry is like.
        source: Where the points come from, and what was run.
        out: Name of the file.
    """
    errors = np.abs(list(found.errors.values()))
    values = dict(found.values)
    if "compute_efficiency" in values:
        share = machine.attention_efficiency / machine.compute_efficiency
        values["attention_efficiency"] = min(1.0, values["compute_efficiency"] * share)
    lines = [
        f"# Fitted to {source}: {len(errors)} points, median error {np.median(errors):.1%},",
        f"# 90th percentile {np.percentile(errors, 90):.1%}. A scenario may say `extends: {out}`.",
        *(f"# {name} ended at its limit: the points do not tell it." for name in found.limits),
        *(f"# Rejected: {reason}" for reason in found.rejected.values()),
        "accelerators:",
        f"  my-{machine.name}:",
        f"    like: {machine.name}",
        "    figures:",
        "      - confidence: fitted",
        f"        source: {_quoted(source)}",
        "        values:",
        *(f"          {key}: {_written(key, value)}" for key, value in (values | bands(found)).items()),
    ]
    return "\n".join(lines) + "\n"


def bands(found: Fitted) -> dict[str, float]:
    """Relative errors to expect: what the fit leaves of nine in ten points, and never less than the constants above."""
    least = LEAST_BAND if len(found.errors) > len(found.values) else FEW_BAND
    kinds: dict[str, Sequence[str]] = {"prefill_band": PREFILL, "decode_band": DECODE}
    result = {}
    for name, metrics in kinds.items():
        left = [abs(error) for point, error in found.errors.items() if point.metric in metrics]
        if left:
            result[name] = max(least, float(np.percentile(left, 90)))
    return result


def _quoted(source: str) -> str:
    return "'" + source.replace("'", "''") + "'"


def _written(key: str, value: Any) -> str:
    return f"{value * 1e3:.5g} ms" if key.endswith("overhead") else f"{value:.5g}"
