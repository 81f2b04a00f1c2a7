"""The twin's shared accelerator: several replicas in line for it, one of which runs its steps there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgesim.arena import rows

if TYPE_CHECKING:
    import numpy as np

    from edgesim.serving.reference import ReferenceEngine
    from edgesim.serving.reference_replica import TwinReplica


class TwinDevice:
    """An accelerator that replicas share by turns: each keeps it while it has work, and a quantum long if others wait.

    Args:
        engine: Whose clock it goes by.
        row: DEVICE row.
    """

    def __init__(self, engine: ReferenceEngine, row: np.void) -> None:
        self.engine = engine
        self.quantum, self.switch_ps = int(row["quantum"]), int(row["switch_ps"])
        self.loaded = int(row["loaded"])
        self.holder: TwinReplica | None = None
        self.line: list[TwinReplica] = []
        self.since = 0

    def take(self, replica: TwinReplica) -> bool:
        """May a replica run a step now? Who has to wait stands in line."""
        if self.holder is replica:
            if not self.line or self.engine.now - self.since < self.quantum:
                return True
            self._pass_on()
        elif self.holder is None:
            self.holder, self.since = replica, self.engine.now
            return True
        if replica not in self.line:
            self.line.append(replica)
        return False

    def load(self, replica: TwinReplica) -> int:
        """Make the accelerator ready for a replica's step; answers the time that takes [ps]."""
        if self.loaded == replica.index:
            return 0
        self.loaded = replica.index
        replica.switches += 1
        return self.switch_ps

    def leave(self, replica: TwinReplica) -> None:
        """A replica has nothing to run: the next in line may."""
        if replica in self.line:
            self.line.remove(replica)
        if self.holder is replica:
            self.holder = None
            if self.line:
                self._pass_on()

    def _pass_on(self) -> None:
        """Let the first in line have the accelerator."""
        self.holder, self.since = self.line.pop(0), self.engine.now
        self.holder.call()


def device_of(engine: ReferenceEngine, row: np.void) -> TwinDevice | None:
    """The accelerator that a replica shares; None if it has its own."""
    number = int(row["accelerator"])
    return engine.devices[number - 1] if number != rows.ALONE else None
