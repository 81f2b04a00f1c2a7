"""`edgesim report`: one HTML file about a run, a comparison or a sweep."""

from __future__ import annotations

from pathlib import Path

import click

from edgesim.cli.base import debug_option


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), help="File to write [DIR/report.html].")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")
@debug_option
def report(folder: Path, *, out: Path | None, quiet: bool) -> None:
    """Write one self-contained HTML file about the run, comparison or sweep in DIR."""
    from edgesim.report.page import write  # noqa: PLC0415 - not for --help
    from edgesim.results import load  # noqa: PLC0415
    from edgesim.units import format_bytes  # noqa: PLC0415

    path = out or folder / "report.html"
    size = write(load(folder), path)
    if not quiet:
        click.echo(f"wrote {path} ({format_bytes(size)})")
