"""Costs against measurements: what `edgesim verify costs --data DIR` prints.

The folder may hold devices/device_points.csv (speeds and joules of many machines), kernels/profile_* (kernel times),
kernels/splitwise_a100.csv (one machine at several degrees of parallelism) and replays/ (runs as they were served);
what is missing is left out.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING

from edgesim.errors import EdgesimError
from edgesim.verify import kernels, machines, parallelism, served
from edgesim.verify.accuracy import Comparison, Group, groups, overall

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path


def main(
    data: Path, only: Sequence[str], *, leave_out: str | None, plots: Path | None, as_json: bool
) -> None:
    """Compare, and print.

    Args:
        data: Folder of measurements.
        only: Parts of it to compare: "devices", "kernels", "parallelism", "replays".
        leave_out: Hardware to fit without, and to predict; nothing else is compared then.
        plots: Folder for pictures.
        as_json: Print all groups as JSON.
    """
    if not data.is_dir():
        raise EdgesimError(f"'{data}' is no folder; --data names one with devices/, kernels/ or replays/")
    if plots:
        plots.mkdir(parents=True, exist_ok=True)
    from edgesim.report import console

    errors = console.console(stderr=True)
    with errors.status("comparing") as status:
        found = list(
            _compared(data, leave_out, only, plots, lambda text: status.update(f"comparing: {text}"))
        )
    if not found:
        raise EdgesimError(f"'{data}' holds nothing that could be compared")
    table = groups(found)
    if plots:
        from edgesim.verify.scatter import scatter

        scatter(found, plots)
    if as_json:
        sys.stdout.write(json.dumps([asdict(group) for group in table], indent=1) + "\n")
    else:
        _print(table)


def _compared(
    data: Path,
    leave_out: str | None,
    wanted: Sequence[str],
    plots: Path | None,
    progress: Callable[[str], None],
) -> Iterator[Comparison]:
    found, unused = machines.measurements(data) if "devices" in wanted else ([], [])
    if leave_out:
        yield from machines.without(found, leave_out)
        return
    yield from machines.from_catalogue(found)
    yield from machines.one_by_one(found, progress)
    for why, rows in Counter(row.why for row in unused).most_common():
        sys.stderr.write(f"{rows} rows of measurements are not compared: {why}\n")
    if "kernels" in wanted:
        progress("kernel profiles")
        yield from kernels.compared(data)
    if "parallelism" in wanted:
        progress("tensor parallelism")
        yield from parallelism.one_by_one(data)
    if "replays" in wanted:
        yield from served.compared(data, plots, progress)


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
