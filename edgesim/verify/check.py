"""A check: what was expected, what was measured, and whether that will do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from edgesim.scenario import load
from edgesim.simulation import Simulation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from edgesim.outcome import Outcome

PS = 1e12


class Check(NamedTuple):
    """One line of the card."""

    name: str
    expected: str
    measured: str
    tolerance: str
    passed: bool


class Kept:
    """A sink that keeps the records of requests."""

    def __init__(self) -> None:
        self.chunks: list[NDArray[np.void]] = []

    def requests(self, chunk: NDArray[np.void]) -> None:
        """Take rows of REQUEST_RECORD."""
        self.chunks.append(chunk.copy())

    def legs(self, chunk: NDArray[np.void]) -> None:
        """Take rows of LEG_RECORD."""

    def resources(self, chunk: NDArray[np.void]) -> None:
        """Take rows of RESOURCE_RECORD."""

    def decisions(self, chunk: NDArray[np.void]) -> None:
        """Take rows of DECISION_RECORD."""

    @property
    def records(self) -> NDArray[np.void]:
        """All of them, by request."""
        return np.sort(np.concatenate(self.chunks), order="request")


def run(
    scenario: Mapping[str, Any],
    processes: Sequence[Callable[[Simulation], Any]] = (),
    *,
    engine: str = "auto",
) -> tuple[NDArray[np.void], Outcome]:
    """Run a scenario through the engine users run; answers its records and totals."""
    kept = Kept()
    outcome = Simulation(load({**scenario, "engine": engine}), processes=processes).run(kept)
    return kept.records, outcome


def close(name: str, expected: float, measured: float, allowed: float, unit: str, how: str) -> Check:
    """A check that two figures agree within an allowed distance."""
    passed = abs(measured - expected) <= allowed
    return Check(
        name, f"{expected:.6g} {unit}", f"{measured:.6g} {unit}", f"±{allowed:.2g} {unit} ({how})", passed
    )


def exact(name: str, expected: object, measured: object) -> Check:
    """A check that two things are the same."""
    return Check(name, str(expected), str(measured), "exact", expected == measured)
