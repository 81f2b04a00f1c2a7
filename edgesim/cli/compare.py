"""`edgesim compare`: how runs or scenarios differ, and which differences are real."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgesim.cli.base import (
    announce_compilation,
    belong_to_out,
    debug_option,
    force_option,
    jobs_option,
    json_option,
    metric_option,
    once,
    out_option,
    over_option,
    plugins_option,
    precision_option,
    quiet_option,
    replications_option,
    resume_option,
    seed_option,
    sets_option,
    share,
)
from edgesim.errors import ResultsError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edgesim.results.comparison import Comparison

MOST: int = 4
"""Candidates up to which every pair is printed; of more, each one against the first."""


@click.command()
@click.argument("candidates", nargs=-1, required=True, metavar="[NAME=]RUN_OR_SCENARIO...")
@sets_option
@plugins_option
@over_option
@seed_option
@replications_option(
    "Repetitions of each scenario with other random numbers.", default="the scenario's, or 10"
)
@precision_option
@jobs_option
@metric_option("Quantity, e.g. ttft_p95; repeatable.", multiple=True)
@click.option("--pareto", metavar="X,Y[,Z]", help="Show the Pareto front over these, e.g. ttft_p95,cost_usd.")
@click.option("--confidence", metavar="SHARE", default="95 %", help="Of intervals and verdicts.")
@out_option("Folder that keeps the comparison.")
@resume_option
@force_option("an earlier comparison in the folder")
@json_option("the comparison")
@quiet_option
@debug_option
def compare(
    candidates: tuple[str, ...],
    sets: tuple[str, ...],
    plugins: tuple[str, ...],
    overs: tuple[str, ...],
    seed: int | None,
    replications: int | None,
    precision: str | None,
    jobs: int,
    metrics: tuple[str, ...],
    pareto: str | None,
    confidence: str,
    out: Path | None,
    resume: bool,
    force: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Compare runs or scenarios: which differences are real.

    Runs are folders, scenarios files or packaged names; NAME is what tables shall call one. Scenarios are run
    for the purpose with common random numbers. Differences are shown with their intervals; those that hold up
    after correction for many comparisons (Holm) are called real.
    """
    once(precision, replications)
    belong_to_out(out, resume=resume, force=force)
    from edgesim.studies import comparison  # noqa: PLC0415 - numpy is not for --help

    level = share(confidence, "--confidence")
    if not 0.5 <= level < 1:
        raise ResultsError(f"a confidence of {confidence} makes no interval; write e.g. '95 %'")
    objectives = _objectives(pareto)
    chosen = _chosen(candidates, overs, sets, plugins)
    if idle := all(isinstance(each, Path) for each in chosen.values()):
        _refuse_idle(
            {"--set": sets, "--plugin": plugins, "--seed": seed, "-n": replications, "--precision": precision}
        )
    if not quiet and not idle:
        announce_compilation()
    ran: list[str] = []

    def told(name: str) -> None:
        ran.append(name)
        if not quiet:
            click.echo(f"{name} has been run", err=True)

    try:
        found = comparison.compare(
            chosen,
            metrics or None,
            level,
            seed=seed,
            replications=replications,
            precision=precision,
            jobs=jobs,
            out=out,
            resume=resume,
            force=force,
            watch=lambda name, number: _progress(chosen[name], name, number, quiet=quiet),
            progress=told,
        )
    except (Exception, KeyboardInterrupt):
        if out is not None and ran:
            click.echo(f"candidates that were run are kept in {out}; --resume goes on", err=True)
        raise
    if as_json:
        content = found.as_json()
        if objectives:
            content["pareto"] = found.pareto(*objectives).reset_index().to_dict("records")
        click.echo(json.dumps(content, indent=1, allow_nan=False))
    elif not quiet:
        _show(found, objectives)
    if out is not None and not quiet:
        click.echo(f"comparison in {out}", err=True)


def _refuse_idle(options: Mapping[str, Any]) -> None:
    """Refuse options that change how scenarios are run, where none is."""
    idle = [name for name, value in options.items() if value not in (None, ())]
    if idle:
        raise click.UsageError(
            f"{', '.join(idle)} would change nothing: all candidates are runs that exist already;"
            " give scenarios, or leave it out"
        )


def _objectives(text: str | None) -> list[str]:
    """Read what the front is over."""
    from edgesim.results.quantity import quantity  # noqa: PLC0415 - see above

    names = [quantity(name).name for name in text.split(",")] if text else []
    if names and not 2 <= len(names) <= 3:
        raise ResultsError("a front is over two or three quantities; write e.g. --pareto ttft_p95,cost_usd")
    return names


def _chosen(
    candidates: Sequence[str], overs: Sequence[str], sets: Sequence[str], plugins: Sequence[str]
) -> dict[str, Any]:
    """Name the candidates, and load those that are scenarios."""
    from edgesim.scenario import load  # noqa: PLC0415 - pydantic and yaml are not for --help

    if overs:
        if len(candidates) != 1:
            raise ResultsError("--over makes the candidates out of one scenario; give a single one")
        from edgesim.studies.comparison import variants  # noqa: PLC0415 - see above

        return dict(variants(candidates[0], overs, sets, plugins))
    named = _names(candidates)
    return {
        name: Path(place) if Path(place).is_dir() else load(place, sets, plugins)
        for name, place in named.items()
    }


def _names(candidates: Sequence[str]) -> dict[str, str]:
    """Name each candidate: as it was given, or by the last parts of its path that tell it from the others."""
    given = [
        text.partition("=") if "=" in text and not Path(text).exists() else ("", "", text)
        for text in candidates
    ]
    places = [Path(place) for _, _, place in given]
    found: dict[str, str] = {}
    for (name, _, place), path in zip(given, places, strict=True):
        own = name or _short(path, [other for other in places if other is not path])
        if own in found:
            raise ResultsError(f"two candidates are called {own!r}; name them: NAME={place}")
        found[own] = place
    return found


def _short(path: Path, others: Sequence[Path]) -> str:
    """The shortest end of a path that no other one shares."""
    parts = _parts(path)
    for length in range(1, len(parts) + 1):
        end = parts[-length:]
        if all(_parts(other)[-length:] != end for other in others):
            return "/".join(end)
    return str(path)


def _parts(path: Path) -> tuple[str, ...]:
    """What a path consists of, without the ending of a scenario; of one such as "..", the folder that it means."""
    if path.name in ("", ".."):
        path = path.resolve()
    return (path.with_suffix("") if path.suffix in (".yaml", ".yml") else path).parts


def _progress(scenario: Any, name: str, number: int, *, quiet: bool) -> AbstractContextManager[Any]:
    """Make the progress bar of a replication."""
    from edgesim.report import console  # noqa: PLC0415 - rich is not for --help
    from edgesim.report.progress import ProgressBar  # noqa: PLC0415

    if quiet or isinstance(scenario, Path):
        return nullcontext()
    settings = scenario.scenario
    out = console.console(stderr=True)
    return ProgressBar(out, f"{name} {number + 1}", duration_s=settings.duration, requests=settings.requests)


def _show(found: Comparison, objectives: Sequence[str]) -> None:
    """Print tables, sentences and notes."""
    from edgesim.report import comparison as report  # noqa: PLC0415 - rich is not for --help

    report.show(found, objectives, most=MOST)
