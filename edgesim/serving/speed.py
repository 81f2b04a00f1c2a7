"""Speeds: what each cause makes of a replica's speed, multiplied and handed to the engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from edgesim.arena.rows import FULL_SPEED

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


class Paced(Protocol):
    """An engine whose replicas have speeds."""

    def set_speed(self, replica: int, speed: int, saved_mw: int = 0) -> None:
        """Run a replica at so many thousandths of its nominal speed, saving so much base power [mW]."""


class Speeds:
    """Factors on the nominal speed: what processes ask for, and what heat leaves of the clock.

    Args:
        engine: Whose replicas they are.
        replicas: How many.

    Attributes:
        device: Takes the speed of a replica's device and calls `give` with the replica's part; by default all of it.
    """

    def __init__(self, engine: Paced, replicas: int) -> None:
        self._engine = engine
        self._asked = np.ones(replicas)
        self._clock = np.ones(replicas)
        self._saved = np.zeros(replicas, np.int64)
        self._given = [(FULL_SPEED, 0)] * replicas
        self.device: Callable[[int, int], None] = self.give

    def ask(self, replica: int, factor: float) -> None:
        """Let a replica run at another speed from now on, at the clock it has: a second tenant, a slow disk."""
        self._asked[replica] = factor
        self._tell(replica)

    def clock(
        self, replicas: NDArray[np.int64], factors: NDArray[np.float64], saved_mw: NDArray[np.int64]
    ) -> None:
        """Give replicas other clocks from now on, which save so much base power."""
        self._clock[replicas], self._saved[replicas] = factors, saved_mw
        for replica in replicas.tolist():
            self._tell(replica)

    def give(self, replica: int, speed: int) -> None:
        """Hand the engine a replica's part of its device's speed, in thousandths of the nominal one."""
        self._given[replica] = speed, int(self._saved[replica])
        self._engine.set_speed(replica, *self._given[replica])

    def _tell(self, replica: int) -> None:
        """Tell the device, which gives the replica its part; what is saved counts even if the part is the same."""
        product = float(self._asked[replica]) * float(self._clock[replica])
        self.device(replica, max(1, round(product * FULL_SPEED)))
        speed, saved = self._given[replica]
        if saved != self._saved[replica]:
            self.give(replica, speed)
