"""Settings: an accelerator as the node that holds it sets it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from edgesim.costs.frequency import at_frequency, in_mode

if TYPE_CHECKING:
    from edgesim.catalog import Accelerator


class Settings(Protocol):
    """What a node says about its accelerators, as the scenario has it."""

    @property
    def power_mode(self) -> str | None: ...  # noqa: D102 - named as in the scenario
    @property
    def frequency(self) -> float: ...  # noqa: D102
    @property
    def available_memory(self) -> int | None: ...  # noqa: D102
    @property
    def reserved_memory(self) -> int | None: ...  # noqa: D102
    @property
    def storage_bandwidth(self) -> float | None: ...  # noqa: D102


def as_set(accelerator: Accelerator, node: Settings) -> Accelerator:
    """Set an accelerator as a node says."""
    if node.power_mode is not None:
        accelerator = in_mode(accelerator, node.power_mode)
    own = {
        "memory": node.available_memory,
        "runtime_memory": node.reserved_memory,
        "storage_bandwidth": node.storage_bandwidth,
    }
    stated: dict[str, Any] = {key: float(value) for key, value in own.items() if value is not None}
    accelerator = replace(accelerator, **stated)
    return at_frequency(accelerator, node.frequency)
