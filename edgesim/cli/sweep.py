"""`edgesim sweep`: one scenario at many points."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from edgesim.cli.base import (
    EXIT_INPUT,
    EXIT_INTERRUPTED,
    announce_compilation,
    debug_option,
    force_option,
    jobs_option,
    json_option,
    once,
    one_of,
    option,
    out_option,
    over_option,
    precision_option,
    quiet_option,
    replications_option,
    resume_option,
    scenario_options,
    seed_option,
)

if TYPE_CHECKING:
    from pathlib import Path

    from edgesim.studies.sweep import Sweep, SweepPlan

MOST_FAILURES = 5
"""Points whose errors are printed; the table has all."""


@click.command()
@scenario_options
@over_option
@seed_option
@replications_option("Repetitions of each point with other random numbers.", default="the scenario's")
@precision_option
@jobs_option
@option(
    "--backend",
    type=click.Choice(["serial", "processes", "dask"]),
    help="Where points run.",
    default="serial; processes with -j",
)
@click.option("--scheduler", metavar="ADDRESS", help="Dask scheduler, e.g. tcp://host:8786.")
@out_option("Folder for the results.", "results/<scenario>/sweep-<digest>")
@resume_option
@force_option("an earlier sweep in the folder")
@json_option("the table")
@quiet_option
@debug_option
@click.pass_context
def sweep(
    ctx: click.Context,
    *,
    scenario: str,
    sets: tuple[str, ...],
    plugins: tuple[str, ...],
    overs: tuple[str, ...],
    seed: int | None,
    replications: int | None,
    precision: str | None,
    jobs: int,
    backend: str | None,
    scheduler: str | None,
    out: Path | None,
    resume: bool,
    force: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Run SCENARIO at many points.

    They are those of --over, or else of its section `sweep:`. Every point is checked before the first one
    runs. One that fails is marked in the table and stops no other; the exit code is 2 then. Results are in
    points.parquet, a row per point and replication.
    """
    one_of(resume=resume, force=force)
    once(precision, replications)
    from edgesim.results.folder import is_run  # noqa: PLC0415 - pydantic and yaml are not for --help
    from edgesim.scenario import given  # noqa: PLC0415
    from edgesim.studies.sweep import SweepPlan as Plan  # noqa: PLC0415
    from edgesim.studies.sweep import prepare  # noqa: PLC0415

    more = given.overrides(seed=seed, replications=replications, precision=precision)
    prepared = prepare(scenario, over=overs, sets=[*sets, *more], plugins=plugins)
    plan = Plan(prepared, jobs=jobs, backend=backend, scheduler=scheduler)
    folder = out or plan.folder
    if resume and not quiet and not is_run(folder):
        other = "" if out else " (what asks for something else has a folder of its own)"
        click.echo(f"nothing to resume in {folder}{other}: all points run", err=True)
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
        click.echo(json.dumps(found.as_json(), indent=1, allow_nan=False))
    elif not quiet:
        from edgesim.report import console  # noqa: PLC0415 - rich is not for --help
        from edgesim.report.sweep import show  # noqa: PLC0415

        show(found, console.console())
    if not quiet:
        for note in found.notes if as_json else ():
            click.echo(f"note: {note}", err=True)
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
