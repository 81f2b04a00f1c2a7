"""The card: every check in one table, for `edgesim verify card`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from edgesim.arena.compile import is_cold
from edgesim.verify import books, queues, sharing
from edgesim.verify.check import Check, print_checks
from edgesim.verify.random_systems import differences, run_kernel, run_reference

if TYPE_CHECKING:
    from collections.abc import Iterator


def twins(systems: int) -> Iterator[Check]:
    """Kernel and twin on random systems."""
    wrong = [
        f"system {seed}: {found[0]}"
        for seed in range(systems)
        if (found := differences(run_reference(seed), run_kernel(seed)))
    ]
    measured = wrong[0] if wrong else "equal to the bit"
    yield Check(
        f"kernel = twin on {systems:,} random systems", "equal", measured, "joules, dollars 1e-12", not wrong
    )


def checks(systems: int) -> Iterator[Check]:
    """All families."""
    yield from queues.checks()
    yield from sharing.checks()
    yield from books.checks()
    yield from twins(systems)


def main(systems: int, *, as_json: bool) -> int:
    """Print the card; answers 0 if everything passed."""
    started, cold = time.perf_counter(), is_cold()
    found: list[Check] = []
    from edgesim.report import console

    errors = console.console(stderr=True)
    with errors.status("checking"):
        for check in checks(systems):
            found += [check]
            if errors.is_terminal:
                errors.log(f"{'✓' if check.passed else '✗'} {check.name}")
    return print_checks(found, started, as_json=as_json, note=", compilation included" if cold else "")
