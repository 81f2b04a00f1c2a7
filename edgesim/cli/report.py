"""`edgesim report`: one HTML file about a run, a comparison or a sweep."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from edgesim.cli.base import PATH, debug_option, out_option, quiet_option

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@click.argument("folder", metavar="DIR", type=PATH)
@out_option("File to write.", "DIR/report.html")
@quiet_option
@debug_option
def report(folder: Path, *, out: Path | None, quiet: bool) -> None:
    """Write one HTML file about the run or study in DIR.

    It holds everything that it shows, and tells of a run, a comparison, a sweep or a capacity search.
    """
    from edgesim.report.page import write  # noqa: PLC0415 - not for --help
    from edgesim.results import load  # noqa: PLC0415
    from edgesim.units import format_bytes  # noqa: PLC0415

    path = out or folder / "report.html"
    size = write(load(folder), path)
    if not quiet:
        click.echo(f"wrote {path} ({format_bytes(size)})")
