"""`edgesim sweep`: one scenario at many points."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgesim.cli.base import EXIT_INPUT, EXIT_INTERRUPTED, announce_compilation, scenario_options

if TYPE_CHECKING:
    from edgesim.studies.sweep import Sweep, SweepPlan

MOST_FAILURES = 5
"""Points whose errors are printed; the table has all."""


@click.command()
@scenario_options
@click.option(
    "--over",
    "overs",
    multiple=True,
    metavar="KEY=V1,V2,...",
    help="Sweep over these values instead of the scenario's `sweep:`; repeatable, all combinations run.",
)
@click.option(
    "-j",
    "--jobs",
    type=click.IntRange(min=0),
    default=1,
    show_default=True,
    help="Processes; 0 for all processors.",
)
@click.option("-n", "--replications", type=click.IntRange(min=1), help="Repetitions of each point.")
@click.option("--resume", is_flag=True, help="Continue in the folder; finished points are not run again.")
@click.option("--force", is_flag=True, help="Replace an earlier sweep in the folder.")
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    help="Folder for the results [results/<scenario>/sweep-<digest>].",
)
@click.option(
    "--backend",
    type=click.Choice(["serial", "processes", "dask"]),
    help="Where points run [serial; processes with -j].",
)
@click.option("--scheduler", metavar="ADDRESS", help="Dask scheduler, e.g. tcp://host:8786.")
@click.option("--json", "as_json", is_flag=True, help="Print the table as JSON.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")
@click.pass_context
def sweep(
    ctx: click.Context,
    *,
    scenario: str,
    sets: tuple[str, ...],
    plugins: tuple[str, ...],
    overs: tuple[str, ...],
    jobs: int,
    replications: int | None,
    resume: bool,
    force: bool,
    out: Path | None,
    backend: str | None,
    scheduler: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Run SCENARIO at many points: those of its section `sweep:`, or of --over.

    Every point is checked before the first one runs. One that fails is marked in the table and stops no other;
    the exit code is 2 then. Results are in points.parquet, a row per point and replication.
    """
    if resume and force:
        raise click.UsageError("--resume continues a sweep, --force replaces it; give one of them")
    from edgesim.studies.sweep import SweepPlan as Plan  # noqa: PLC0415 - pydantic and yaml are not for --help
    from edgesim.studies.sweep import prepare  # noqa: PLC0415

    counted = [] if replications is None else [f"scenario.replications={replications}"]
    prepared = prepare(scenario, over=overs, sets=[*sets, *counted], plugins=plugins)
    plan = Plan(prepared, jobs=jobs, backend=backend, scheduler=scheduler)
    folder = out or plan.folder
    if plan.backend != "dask" and not quiet:  # workers elsewhere compile on their own machines
        announce_compilation()
    try:
        found = _run(plan, folder, resume=resume, force=force, quiet=quiet)
    except KeyboardInterrupt:
        click.echo(f"interrupted: finished points are kept in {folder}; --resume continues", err=True)
        ctx.exit(EXIT_INTERRUPTED)
    except Exception:
        if plan.kept:
            click.echo(f"finished points are kept in {folder}; --resume continues", err=True)
        raise
    if as_json:
        click.echo(found.table.to_json(orient="records", indent=1))
    elif not quiet:
        from edgesim.report import console  # noqa: PLC0415 - rich is not for --help
        from edgesim.report.sweep import show  # noqa: PLC0415

        show(found, console.console())
    if not quiet:
        click.echo(f"results in {folder}", err=True)
    if found.failed:
        _tell_failures(found)
        ctx.exit(EXIT_INPUT)


def _run(plan: SweepPlan, folder: Path, *, resume: bool, force: bool, quiet: bool) -> Sweep:
    """Run with a progress bar, or a line per point."""
    from edgesim.report import console  # noqa: PLC0415 - rich is not for --help
    from edgesim.report.sweep import SweepProgress  # noqa: PLC0415

    out = console.console(stderr=True)
    out.quiet = quiet
    with SweepProgress(out, plan.sweep.scenario.scenario.name) as progress:
        return plan.run(folder, resume=resume, force=force, progress=progress)


def _tell_failures(found: Sweep) -> None:
    """Say which points failed, and why."""
    failed = found.failed
    click.echo(f"error: {len(failed)} of {len(found)} points failed", err=True)
    for point in failed[:MOST_FAILURES]:
        click.echo(f"  point {point.number} ({point.label}): {point.error}", err=True)
    if (rest := len(failed) - MOST_FAILURES) > 0:
        click.echo(f"  and {rest} more: see the column 'error' of points.parquet", err=True)
