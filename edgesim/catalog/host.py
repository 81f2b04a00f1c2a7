"""Hosts: the processor beside an accelerator, which runs the operators that the accelerator has no arithmetic for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

PARTS: Final = ("linear", "attention", "head")
"""Parts of a step that an accelerator may leave to its host: all matrices but the LM head, attention, the LM head."""


@dataclass(frozen=True, slots=True)
class Host:
    """What a processor reaches when it runs an accelerator's operators.

    Args:
        compute: Arithmetic [FLOP/s].
        memory_bandwidth: Streaming weights or KV cache [B/s].
        power_w: What it draws on top while it works on them [W].
        crossing: Time of a hand-over, one way [s].
        link: Bandwidth at which activations are handed over [B/s]; 0 where both see one memory.
    """

    compute: float
    memory_bandwidth: float
    power_w: float
    crossing: float
    link: float = 0.0
