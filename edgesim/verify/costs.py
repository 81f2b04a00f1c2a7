"""Costs against measurements: what `edgesim verify costs --data DIR` prints.

The folder may hold devices/device_points.csv (speeds and joules of many machines), kernels/profile_* (kernel times),
kernels/splitwise_a100.csv (one machine at several degrees of parallelism) and replays/ (runs as they were served);
what is missing is left out.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from edgesim.errors import EdgesimError
from edgesim.verify import kernels, machines, parallelism, served
from edgesim.verify.accuracy import Comparison, Group, groups, overall

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

PARTS: Final = ("devices", "kernels", "parallelism", "replays")


def main(arguments: Sequence[str] = ()) -> int:
    """Compare, and print."""
    parser = argparse.ArgumentParser(
        prog="edgesim verify costs", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of measurements")
    parser.add_argument(
        "--leave-out", metavar="HARDWARE", help="fit again without this hardware, and predict it"
    )
    parser.add_argument(
        "--only", choices=PARTS, action="append", help="only this part; may be given several times"
    )
    parser.add_argument("--json", action="store_true", help="print all groups as JSON")
    parser.add_argument(
        "--plots", type=Path, metavar="DIR", help="draw predicted over measured, and served runs"
    )
    given = parser.parse_args(list(arguments))
    if not given.data.is_dir():
        raise EdgesimError(
            f"'{given.data}' is no folder; --data names one with devices/, kernels/ or replays/"
        )
    if given.plots:
        given.plots.mkdir(parents=True, exist_ok=True)
    from edgesim.report import console

    errors = console.console(stderr=True)
    with errors.status("comparing") as status:
        found = list(_compared(given, lambda text: status.update(f"comparing: {text}")))
    if not found:
        raise EdgesimError(f"'{given.data}' holds nothing that could be compared")
    table = groups(found)
    if given.plots:
        from edgesim.verify.scatter import scatter

        scatter(found, given.plots)
    if given.json:
        sys.stdout.write(json.dumps([asdict(group) for group in table], indent=1) + "\n")
        return 0
    _print(table)
    return 0


def _compared(given: Any, progress: Callable[[str], None]) -> Iterator[Comparison]:
    wanted = given.only or PARTS
    found, unused = machines.measurements(given.data) if "devices" in wanted else ([], [])
    if given.leave_out:
        yield from machines.without(found, given.leave_out)
        return
    yield from machines.from_catalogue(found)
    yield from machines.one_by_one(found, progress)
    for why, rows in Counter(row.why for row in unused).most_common():
        sys.stderr.write(f"{rows} rows of measurements are not compared: {why}\n")
    if "kernels" in wanted:
        progress("kernel profiles")
        yield from kernels.compared(given.data)
    if "parallelism" in wanted:
        progress("tensor parallelism")
        yield from parallelism.one_by_one(given.data)
    if "replays" in wanted:
        yield from served.compared(given.data, given.plots, progress)


def _print(table: Sequence[Group]) -> None:
    """Groups where they are few, and then what they come to."""
    from rich.text import Text

    from edgesim.report.console import console, plain_table

    def shown(head: Sequence[str], rows: Sequence[Sequence[str]], title: str) -> None:
        console().print(plain_table(head, [[Text(cell) for cell in row] for row in rows], title))

    head = ("quantity", "hardware", "engine", "model", "split", "n", "median", "p90", "in band", "band")
    shown(
        head,
        [
            (g.quantity, g.hardware, g.engine, g.model, g.split, str(g.n), f"{g.median_ape:.1%}", f"{g.p90_ape:.1%}",
             _share(g.band_coverage), _share(g.band_halfwidth))
            for g in sorted(table, key=lambda g: (g.split, g.quantity, g.engine, g.hardware, g.model))
        ],
        "Absolute error by group",
    )  # fmt: skip
    whole = ("quantity", "split", "groups", "n", "median of medians", "p90 of medians", "in band", "band")
    shown(
        whole,
        [
            (line["quantity"], line["split"], str(line["groups"]), str(line["n"]), f"{line['median_ape']:.1%}",
             f"{line['p90_ape']:.1%}", _share(line["band_coverage"]), _share(line["band_halfwidth"]))
            for line in overall(table)
        ],
        "All groups together",
    )  # fmt: skip


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.0%}"
