"""Clocks: an accelerator in one of its power modes, and at a share of its frequency.

Both answer another accelerator with other figures, so that everything that is priced follows. The nominal clocks are
1; a power mode says what it makes of those of arithmetic, memory and processor, and may say another power limit and
idle power. A share f of the frequency is the clock of arithmetic alone.

At a clock f, arithmetic takes 1/f of the time. Memory has a clock of its own: its rate stays until, below the knee,
too few requests are under way to fill it; then it falls as f/knee. Of the power, what arithmetic adds and what is drawn
beyond idle as soon as anything runs go with f^beta (voltage falls with frequency; beta is 2 to 3, less where voltage is
near its floor), and what traffic adds stays the same for each byte. So the energy of arithmetic has a minimum between
racing and crawling, and decode, which waits for memory, can be clocked down almost for free: measured, 42 % of the
energy for 1 to 6 % of latency (arXiv 2501.08219) and up to 32 % of decode energy (H200, arXiv 2605.11999).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgesim.catalog import Accelerator


def in_mode(accelerator: Accelerator, name: str) -> Accelerator:
    """Set an accelerator to one of its power modes."""
    mode, host = accelerator.power_modes[name], accelerator.host
    clocked = _clocked(accelerator, mode.compute, mode.memory, mode.idle_w or accelerator.idle_w)
    tdp = mode.tdp_w or accelerator.tdp_w
    return replace(
        clocked,
        layer_overhead=accelerator.layer_overhead / mode.host,
        launch_overhead=accelerator.launch_overhead / mode.host,
        step_overhead=accelerator.step_overhead / mode.host,
        step_overhead_per_sequence=accelerator.step_overhead_per_sequence / mode.host,
        host=host and replace(host, compute=host.compute * mode.host, crossing=host.crossing / mode.host),
        tdp_w=tdp,
        # Shares of another limit, but the same watts.
        base_power=clocked.base_power * accelerator.tdp_w / tdp,
        memory_power=clocked.memory_power * accelerator.tdp_w / tdp,
        compute_power=clocked.compute_power * accelerator.tdp_w / tdp,
        setting=_with(accelerator, name),
    )


def at_frequency(accelerator: Accelerator, share: float) -> Accelerator:
    """Clock an accelerator's arithmetic at a share of its frequency, from above 0 to 1."""
    if share == 1.0:
        return accelerator
    memory = min(1.0, share / accelerator.frequency_knee)
    clocked = _clocked(accelerator, share, memory, accelerator.idle_w)
    return replace(clocked, setting=_with(accelerator, f"{100 * share:.4g} % of its frequency"))


def _clocked(accelerator: Accelerator, compute: float, memory: float, idle_w: float) -> Accelerator:
    """Run arithmetic and memory at other clocks, drawing so much when idle [W]."""
    power = compute**accelerator.frequency_exponent
    base = max(accelerator.base_power * accelerator.tdp_w, accelerator.idle_w)
    beyond_idle = (base - accelerator.idle_w) * power
    peaks: dict[str, Any] = {name: rate * compute for name, rate in accelerator.flops.items()}
    return replace(
        accelerator,
        **peaks,
        memory_bandwidth=accelerator.memory_bandwidth * memory,
        bandwidth_ceiling=accelerator.bandwidth_ceiling * memory,
        sram_bandwidth=accelerator.sram_bandwidth * compute,
        idle_w=idle_w,
        base_power=(idle_w + beyond_idle) / accelerator.tdp_w,
        memory_power=accelerator.memory_power * memory,
        compute_power=accelerator.compute_power * power,
    )


def _with(accelerator: Accelerator, setting: str) -> str:
    return ", ".join(part for part in (accelerator.setting, setting) if part)
