"""`edgesim plot` and `edgesim trace`: pictures and timelines of what was recorded."""

from __future__ import annotations

from pathlib import Path

import click

from edgesim.cli.base import debug_option, print_table

FOLDER = click.Path(path_type=Path)
FORMATS = ("svg", "pdf", "png")


@click.command()
@click.argument("folder", metavar="DIR", type=FOLDER, required=False)
@click.argument("names", nargs=-1)
@click.option(
    "-o", "--out", type=FOLDER, help="File (.svg, .pdf, .png) for all of them, or folder [DIR/plots]."
)
@click.option("--format", "ending", type=click.Choice(FORMATS), default="svg", help="Of files in a folder.")
@click.option("--metric", help="What `response`, `latency-throughput` and `distribution` show, e.g. e2e_p99.")
@click.option("--x", help="Swept key along the axis.")
@click.option("--list", "listed", is_flag=True, help="List the pictures.")
@debug_option
def plot(
    *, folder: Path | None, names: tuple[str, ...], out: Path | None, ending: str, metric: str | None, x: str | None,
    listed: bool,
) -> None:  # fmt: skip
    """Draw NAMES of the run, sweep or comparison in DIR; without NAMES all that fit it.

    Each picture is a file in a folder, or all stand side by side where -o names a file:

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
    if names and out is not None and out.suffix[1:].lower() in FORMATS:
        plots.save(found, names, out, **options)
        click.echo(out)
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
    for name in names or [one.name for one in plots.drawable(found)]:
        path = where / f"{name}.{ending}"
        try:
            plots.save(found, [name], path, **options)
        except ResultsError as error:
            if names or isinstance(error, results.DamagedError):
                raise
            click.echo(f"{name} left out: {error}", err=True)
            continue
        click.echo(path)
    if not names and (more := plots.missing(found)):
        click.echo(f"{more}", err=True)


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
@click.argument("folder", metavar="DIR", type=FOLDER)
@click.option("-o", "--out", type=FOLDER, help="File to write, .json or .json.gz [DIR/trace.json.gz].")
@click.option("--from", "begin", metavar="TIME", help="Leave out requests that ended before, e.g. '2 min'.")
@click.option("--to", "end", metavar="TIME", help="Leave out requests that arrived after.")
@debug_option
def trace(*, folder: Path, out: Path | None, begin: str | None, end: str | None) -> None:
    """Write the timeline of the run in DIR, for ui.perfetto.dev or chrome://tracing.

    Processes are nodes, threads the places in a replica's batch. Each request is a slice of its phases where it arose,
    an arrow to the replica, and what the replica did for it. Where `legs` were recorded every attempt is shown, with
    its transfer; where `steps` were, what each engine step computed; where `resources` were, queues, batches, KV
    caches, watts and traffic run below as counters.
    """
    from edgesim import results  # noqa: PLC0415 - pandas is not for --help
    from edgesim.report import timeline  # noqa: PLC0415
    from edgesim.units import seconds  # noqa: PLC0415

    path = out or folder / "trace.json.gz"
    window = (seconds(begin) if begin else 0.0, seconds(end) if end else float("inf"))
    found = results.load_run(folder)
    told = timeline.write(found, path, window)
    click.echo(path)
    if isinstance(found, results.RunSet) and found[0].folder is not None:
        click.echo(
            f"this is {found[0].folder.name}, one of {len(found)} replications;"
            f" for another give its folder, such as {found[-1].folder}",
            err=True,
        )
    click.echo(
        f"{told.requests:,} requests, {told.steps:,} engine steps, {told.events:,} events;"
        " open it at https://ui.perfetto.dev",
        err=True,
    )
    if not told.steps:
        click.echo(
            "for engine steps run again with --set 'output.tables=[requests, legs, resources, steps]'",
            err=True,
        )
