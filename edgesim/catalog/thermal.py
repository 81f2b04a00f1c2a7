"""Heat: how an accelerator and what cools it warm up, and what it does about it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Thermal:
    """One lump of matter that the power of one accelerator heats, and the governor of its clock.

    Args:
        resistance: From the lump to the air [K/W].
        capacity: Of the lump [J/K].
        throttle_at: Above this temperature the clock goes down in proportion [degC].
        slowest_at: At this temperature it is at its slowest [degC].
        slowest: Share of the frequency that it never goes below.
    """

    resistance: float
    capacity: float
    throttle_at: float
    slowest_at: float
    slowest: float
