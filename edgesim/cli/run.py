"""`edgesim run`: one scenario, its progress and its results."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from edgesim.cli.base import (
    EXIT_INTERRUPTED,
    EXIT_SLO,
    announce_compilation,
    debug_option,
    force_option,
    json_option,
    load_scenario,
    once,
    option,
    out_option,
    precision_option,
    quiet_option,
    replications_option,
    scenario_options,
    seed_option,
)

if TYPE_CHECKING:
    from pathlib import Path

    from edgesim.report.progress import ProgressBar
    from edgesim.results import Run, RunSet
    from edgesim.scenario import Scenario


@click.command()
@scenario_options
@seed_option
@replications_option("Repetitions with other random numbers.", default="the scenario's")
@precision_option
@option(
    "--engine",
    type=click.Choice(["auto", "kernel", "reference"]),
    help="What simulates.",
    default="the scenario's",
)
@out_option("Folder for the results.", "results/<scenario>/<run>")
@force_option("an earlier run in the folder")
@click.option("--check-slo", is_flag=True, help="Exit with 1 if an objective is missed.")
@json_option("the summary")
@quiet_option
@debug_option
@click.pass_context
def run(
    ctx: click.Context,
    *,
    scenario: str,
    sets: tuple[str, ...],
    plugins: tuple[str, ...],
    out: Path | None,
    seed: int | None,
    replications: int | None,
    precision: str | None,
    engine: str | None,
    quiet: bool,
    as_json: bool,
    check_slo: bool,
    force: bool,
) -> None:
    """Run SCENARIO and show its results.

    SCENARIO is a YAML file, or the name of a packaged one.
    """
    once(precision, replications)
    from edgesim.scenario import given  # noqa: PLC0415 - pydantic and yaml are not for --help

    more = given.overrides(seed=seed, replications=replications, precision=precision, engine=engine)
    loaded = load_scenario(scenario, [*sets, *more], plugins)
    from edgesim import experiment  # noqa: PLC0415 - numpy and pyarrow, once the scenario is known to be good
    from edgesim.report import console  # noqa: PLC0415
    from edgesim.results.slo import kept  # noqa: PLC0415

    folder = out or experiment.default_folder(loaded)
    plan = experiment.Plan(loaded, folder, force=force)
    cold = loaded.engine != "reference" and not quiet and announce_compilation()
    try:
        found = plan.run(lambda number: _progress(loaded, number, quiet=quiet))
    except (Exception, KeyboardInterrupt):
        if plan.begun:
            click.echo(f"what was finished until then is in {folder}", err=True)
        raise
    if as_json:
        click.echo(json.dumps(found.summary, indent=1, allow_nan=False))
    elif not quiet:
        runs = list(found) if hasattr(found, "__iter__") else [found]
        console.show(found.summary, _title(loaded, found), judged=all(each.finished for each in runs))
    interrupted = found.manifest["exit_state"] == "interrupted"
    if interrupted:
        click.echo(f"interrupted: kept {_kept(found)} in {folder}", err=True)
        ctx.exit(EXIT_INTERRUPTED)
    if cold:
        click.echo("the times above include compiling the engine; from now on it starts at once", err=True)
    if not quiet:
        click.echo(f"results in {folder}", err=True)
    if check_slo and not kept(found.summary["slo"]):
        ctx.exit(EXIT_SLO)


def _progress(scenario: Scenario, number: int, *, quiet: bool) -> ProgressBar:
    """Make the progress bar of a replication."""
    from edgesim.report import console  # noqa: PLC0415 - rich is not for --help
    from edgesim.report.progress import ProgressBar as Bar  # noqa: PLC0415

    settings = scenario.scenario
    label = (
        settings.name
        if settings.most_replications == 1
        else f"{settings.name} {number + 1}/{settings.most_replications}"
    )
    out = console.console(stderr=True)
    out.quiet = quiet
    return Bar(out, label, duration_s=settings.duration, requests=settings.requests)


def _title(scenario: Scenario, found: Run | RunSet) -> str:
    from edgesim.units import format_seconds  # noqa: PLC0415 - quantiphy is not for --help

    settings = scenario.scenario
    parts = [settings.name, f"seed {settings.seed}"]
    if settings.most_replications > 1:
        spread = found.summary["replications"]
        of = "" if spread["count"] == spread["planned"] else f"{spread['count']} of "
        parts.append(f"{of}{spread['planned']} replications")
    parts.append(f"{format_seconds(found.summary['engine']['simulated_s'])} simulated")
    if warm := found.summary["warmup"]["seconds"]:
        parts.append(
            f"the first {format_seconds(warm)}{' (MSER-5)' if settings.find_warmup else ''} not measured"
        )
    return " · ".join(parts)


def _kept(found: Run | RunSet) -> str:
    counts = found.summary["requests"]
    ended = counts["arrived"] - counts["unfinished"]
    return f"{ended:,} finished requests ({found.manifest['finished_replications']} complete replications)"
