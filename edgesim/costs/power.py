"""Power and energy of a replica: a base while steps run, plus what arithmetic and traffic add, under a cap.

Measured servers draw a constant share of their TDP as soon as they compute, and beyond it an amount
proportional to the used memory bandwidth and arithmetic rate (A100 in the Splitwise measurements: 0.304 +
0.719 MBU in decode, and about 0.30 + 1.5 MFU in prefill until the limit). Because utilisation times time is
work over peak, the energy of a step is the base times its time plus a constant for each byte and each FLOP,
and so stays affine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgesim.costs.step import down, up

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgesim.catalog import Accelerator


@dataclass(frozen=True, slots=True)
class Power:
    """Power coefficients of a whole replica, its share of the host and the PUE included.

    Args:
        base_w: While a step runs.
        idle_w: While nothing runs.
        cap_w: Never exceeded.
        joules_per_byte: Added by memory traffic.
        joules_per_flop: Added by arithmetic.
        beside_w: Added, on top of the cap, while a processor beside the accelerators works for them.
    """

    base_w: float
    idle_w: float
    cap_w: float
    joules_per_byte: float = 0.0
    joules_per_flop: float = 0.0
    beside_w: float = 0.0

    @property
    def base_mw(self) -> int:
        """Power while a step runs, to the nearest milliwatt."""
        return round(self.base_w * 1e3)

    @property
    def idle_mw(self) -> int:
        """Power while nothing runs, to the nearest milliwatt."""
        return round(self.idle_w * 1e3)

    def energy(
        self,
        ps: NDArray[np.int64],
        flops: NDArray[np.float64],
        traffic: NDArray[np.float64],
        beside: NDArray[np.float64] | float = 0.0,
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Answer energy and the most energy the cap allows [nJ] for steps of such times, FLOPs and bytes.

        Args:
            ps: Times of the steps [ps].
            flops: Of the accelerators.
            traffic: Of the accelerators [B].
            beside: Times of the processor beside them [s].
        """
        dynamic = 1e9 * (self.joules_per_byte * traffic + self.joules_per_flop * flops)
        other = 1e9 * self.beside_w * beside
        # 1 mW for 1 ps is 1e-6 nJ; the same rounded milliwatts are used for stretched and idle time.
        return up(ps * (self.base_mw * 1e-6) + dynamic + other), down(ps * (self.cap_w * 1e-3) + other)


def power_of(
    accelerator: Accelerator,
    weights: str,
    tensor_parallel: int = 1,
    pue: float = 1.0,
    host_power: float = 0.0,
) -> Power:
    """Take the power of a replica from its accelerators.

    Args:
        accelerator: What it runs on.
        weights: Number format of the weights, which decides the peak rate that utilisation refers to.
        tensor_parallel: Accelerators of the replica.
        pue: Power usage effectiveness of the place.
        host_power: Its share of what the host draws [W].
    """
    tdp = accelerator.tdp_w
    base = max(accelerator.base_power * tdp, accelerator.idle_w)
    return Power(
        base_w=pue * (tensor_parallel * base + host_power),
        idle_w=pue * (tensor_parallel * accelerator.idle_w + host_power),
        cap_w=pue * (tensor_parallel * max(accelerator.power_cap * tdp, base) + host_power),
        joules_per_byte=pue * accelerator.memory_power * tdp / accelerator.memory_bandwidth,
        joules_per_flop=pue * accelerator.compute_power * tdp / accelerator.peak(weights),
        beside_w=pue * accelerator.host.power_w if accelerator.host else 0.0,
    )


def columns(
    ps: NDArray[np.int64],
    flops: NDArray[np.float64],
    traffic: NDArray[np.float64],
    power: Power,
    unit: int,
    beside: NDArray[np.float64] | float = 0.0,
) -> NDArray[np.int64]:
    """Lay out the eight columns of table rows or coefficients whose two branches take the same time."""
    energy, cap = power.energy(ps, flops, traffic, beside)
    work = down(flops / unit) if unit else np.zeros_like(ps)
    kib = down(traffic / 1024) if unit else np.zeros_like(ps)
    return np.stack([ps, ps, energy, energy, cap, cap, work, kib], axis=-1)
