"""The card: every check in one table, for `edgesim verify card`."""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import TYPE_CHECKING

from edgesim.arena.compile import is_cold
from edgesim.verify import books, queues, sharing
from edgesim.verify.check import Check
from edgesim.verify.random_systems import differences, run_kernel, run_reference

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


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


def main(arguments: Sequence[str] = ()) -> int:
    """Print the card; answers 0 if everything passed."""
    parser = argparse.ArgumentParser(prog="edgesim verify card", description=__doc__)
    parser.add_argument("--systems", type=int, default=50, help="random systems for kernel = twin [50]")
    parser.add_argument("--json", action="store_true", help="print a list of checks as JSON")
    given = parser.parse_args(list(arguments))
    started, cold = time.perf_counter(), is_cold()
    found: list[Check] = []
    from edgesim.report import console

    errors = console.console(stderr=True)
    with errors.status("checking"):
        for check in checks(given.systems):
            found += [check]
            if errors.is_terminal:
                errors.log(f"{'✓' if check.passed else '✗'} {check.name}")
    if given.json:
        sys.stdout.write(json.dumps([check._asdict() for check in found], indent=1) + "\n")
    else:
        print_table(found)
        note = ", compilation included" if cold else ""
        sys.stdout.write(
            f"{sum(check.passed for check in found)} of {len(found)} passed in "
            f"{time.perf_counter() - started:.0f} s{note}\n"
        )
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
