"""`edgesim plot` and `edgesim trace`: pictures and timelines of what was recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from edgesim.cli.base import (
    PATH,
    debug_option,
    duration,
    metric_option,
    out_option,
    print_table,
    quiet_option,
)

if TYPE_CHECKING:
    from pathlib import Path

FORMATS = ("svg", "pdf", "png")


@click.command()
@click.argument("folder", metavar="DIR", type=PATH, required=False)
@click.argument("names", nargs=-1)
@metric_option("What `response`, `latency-throughput`, `distribution` and `capacity` show, e.g. e2e_p99.")
@click.option("--x", metavar="KEY", help="Swept key along the axis.")
@click.option("--format", "ending", type=click.Choice(FORMATS), default="svg", help="Of files in a folder.")
@out_option("File (.svg, .pdf, .png) for all of them, or folder.", "DIR/plots")
@click.option("--list", "listed", is_flag=True, help="List the pictures.")
@quiet_option
@debug_option
def plot(
    *, folder: Path | None, names: tuple[str, ...], metric: str | None, x: str | None, ending: str, out: Path | None,
    listed: bool, quiet: bool,
) -> None:  # fmt: skip
    """Draw pictures of the run or study in DIR.

    NAMES are those of --list; without any, all that fit the run, sweep, comparison or capacity search. Each
    picture is a file in a folder, or all stand side by side where -o names a file:

        edgesim plot results/quickstart/RUN ttft phases -o latency.svg
    """
    if listed or folder is None:
        _list(folder)
        return
    from edgesim import results  # noqa: PLC0415 - pandas and matplotlib are not for --help
    from edgesim.errors import ResultsError  # noqa: PLC0415
    from edgesim.report import plots  # noqa: PLC0415

    found = results.load(folder)
    options = {name: value for name, value in (("metric", metric), ("x", x)) if value is not None}
    plots.check_options(found, names, options)
    tell = (lambda *_, **__: None) if quiet else click.echo
    if names and out is not None and out.suffix[1:].lower() in FORMATS:
        plots.save(found, names, out, **options)
        tell(out)
        return
    if out is not None and out.suffix:
        raise ResultsError(
            f"'{out}' would hold all pictures; name some, or give a folder"
            if out.suffix[1:].lower() in FORMATS
            else f"cannot write '{out}': its name must end in .svg, .pdf or .png, or be that of a folder"
        )
    where = out or folder / "plots"
    try:
        where.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResultsError(f"cannot make the folder '{where}': {error.strerror}") from error
    drawn, left_out = 0, []
    for name in names or [one.name for one in plots.drawable(found)]:
        path = where / f"{name}.{ending}"
        try:
            plots.save(found, [name], path, **options)
        except ResultsError as error:
            if names or isinstance(error, results.DamagedError):
                raise
            left_out.append(f"{name} left out: {error}")
            continue
        tell(path)
        drawn += 1
    more = "" if names else plots.missing(found)
    if not drawn:
        raise ResultsError("\n".join(["nothing was drawn", *left_out, *filter(None, [more])]))
    for line in (*left_out, *filter(None, [more])):
        tell(line, err=True)


def _list(folder: Path | None) -> None:
    """Print every picture, and whether it can be drawn of a result."""
    from edgesim.report import plots  # noqa: PLC0415

    head = ["name", "of a", "shows"]
    ready = {}
    if folder is not None:
        from edgesim import results  # noqa: PLC0415

        found = results.load(folder)
        head.append("can be drawn")
        ready = {name: plots.obstacle(one, found) or "yes" for name, one in plots.PLOTS.items()}
    print_table(
        head,
        [
            [one.name, ", ".join(one.fits), one.text, *filter(None, [ready.get(one.name)])]
            for one in plots.PLOTS.values()
        ],
    )


@click.command()
@click.argument("folder", metavar="DIR", type=PATH)
@click.option("--from", "begin", metavar="TIME", help="Leave out requests that ended before, e.g. '2 min'.")
@click.option("--to", "end", metavar="TIME", help="Leave out requests that arrived after.")
@out_option("File to write, .json or .json.gz.", "DIR/trace.json.gz")
@quiet_option
@debug_option
def trace(*, folder: Path, begin: str | None, end: str | None, out: Path | None, quiet: bool) -> None:
    """Write the timeline of the run in DIR for Perfetto.

    It opens in ui.perfetto.dev and chrome://tracing. Processes are nodes, threads the places in a replica's
    batch. Each request is a slice of its phases where it arose, an arrow to the replica, and what the replica
    did for it. Where `legs` were recorded every attempt is shown, with its transfer; where `steps` were, what
    each engine step computed; where `resources` were, queues, batches, KV caches, watts and traffic run below
    as counters.
    """
    from edgesim import results  # noqa: PLC0415 - pandas is not for --help
    from edgesim.report import timeline  # noqa: PLC0415

    path = out or folder / "trace.json.gz"
    window = (
        duration(begin, "--from") if begin is not None else 0.0,
        duration(end, "--to") if end is not None else float("inf"),
    )
    found = results.load_run(folder)
    told = timeline.write(found, path, window)
    if quiet:
        return
    click.echo(path)
    if isinstance(found, results.RunSet) and found[0].folder is not None:
        click.echo(
            f"this is {found[0].folder.name}, one of {len(found)} replications;"
            f" for another give its folder, such as {found[-1].folder}",
            err=True,
        )
    click.echo(
        f"{told.requests:,} request{'' if told.requests == 1 else 's'}, {told.steps:,} engine steps,"
        f" {told.events:,} events; open it at https://ui.perfetto.dev",
        err=True,
    )
    if not told.recorded:
        click.echo(
            "for engine steps run again with --set 'output.tables=[requests, legs, resources, steps]'",
            err=True,
        )
