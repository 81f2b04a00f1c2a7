"""Power modes: settings of a device's clocks that its vendor ships, such as the 15 W mode of a Jetson module."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PowerMode:
    """What a power mode makes of a device; its figures without a mode are the nominal ones.

    Args:
        compute: Clock of the accelerator over the nominal one.
        memory: Clock of the memory over the nominal one.
        host: Clock of the processor over the nominal one: overheads of layers and steps take so much longer or less.
        tdp_w: Sustained power limit [W]; 0 leaves the nominal one.
        idle_w: Power when nothing runs [W]; 0 leaves the nominal one.
    """

    compute: float = 1.0
    memory: float = 1.0
    host: float = 1.0
    tdp_w: float = 0.0
    idle_w: float = 0.0
