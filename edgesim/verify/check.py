"""A check: what was expected, what was measured, and whether that will do."""

from __future__ import annotations

import json
import sys
import time
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


def print_checks(found: Sequence[Check], started: float, *, as_json: bool, note: str = "") -> int:
    """Print checks as a table, or as JSON; answers the exit code: 0 if all passed.

    Args:
        found: The checks.
        started: When they began, by `time.perf_counter` [s].
        as_json: Print a list of them as JSON.
        note: Said of the time that they took.
    """
    if as_json:
        sys.stdout.write(json.dumps([check._asdict() for check in found], indent=1) + "\n")
    else:
        print_table(found)
        passed, took = sum(check.passed for check in found), time.perf_counter() - started
        sys.stdout.write(f"{passed} of {len(found)} passed in {took:.0f} s{note}\n")
    return 0 if all(check.passed for check in found) else 1


def print_table(found: Sequence[Check]) -> None:
    """A table of plain text."""
    head = ("", "check", "expected", "measured", "tolerance")
    lines = [
        head,
        *(("ok" if c.passed else "FAILED", c.name, c.expected, c.measured, c.tolerance) for c in found),
    ]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        sys.stdout.write("  ".join(cells).rstrip() + "\n")


class Kept:
    """A sink that keeps the records of requests."""

    def __init__(self) -> None:
        self.chunks: list[NDArray[np.void]] = []

    def take(self, table: str, chunk: NDArray[np.void]) -> None:
        """Take rows of a table."""
        if table == "requests":
            self.chunks.append(chunk.copy())

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
