"""`edgesim compare`: how runs or scenarios differ, and which differences are real."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager, nullcontext
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgesim.cli.base import announce_compilation, debug_option
from edgesim.errors import ResultsError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edgesim.results.comparison import Comparison

MOST: int = 4
"""Candidates up to which every pair is printed; of more, each one against the first."""


@click.command()
@click.argument("candidates", nargs=-1, required=True, metavar="[NAME=]RUN_OR_SCENARIO...")
@click.option(
    "--vary",
    "varied",
    multiple=True,
    metavar="KEY=VALUE,VALUE,...",
    help="Compare one scenario with these values of a key, e.g. policies.router=nearest,round-robin; repeatable.",
)
@click.option("-s", "--set", "sets", multiple=True, metavar="KEY=VALUE", help="Override in all scenarios.")
@click.option(
    "--plugin", "plugins", multiple=True, metavar="FILE", help="Python file with policies; repeatable."
)
@click.option("-n", "--replications", type=click.IntRange(min=1), help="Repetitions of each scenario [10].")
@click.option("-j", "--jobs", type=click.IntRange(min=1), default=1, help="Processes, one a scenario [1].")
@click.option("--seed", type=click.IntRange(min=0), help="Seed of all scenarios.")
@click.option(
    "-m", "--metric", "metrics", multiple=True, metavar="NAME", help="Quantity, e.g. ttft_p95; repeatable."
)
@click.option("--pareto", metavar="X,Y[,Z]", help="Show the Pareto front over these, e.g. ttft_p95,cost_usd.")
@click.option("--confidence", metavar="SHARE", default="95 %", help="Of intervals and verdicts [95 %].")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Folder that keeps the comparison.")
@click.option("--force", is_flag=True, help="Replace an earlier comparison in the folder.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")
@click.option("--json", "as_json", is_flag=True, help="Print the comparison as JSON.")
@debug_option
def compare(
    candidates: tuple[str, ...],
    varied: tuple[str, ...],
    sets: tuple[str, ...],
    plugins: tuple[str, ...],
    replications: int | None,
    jobs: int,
    seed: int | None,
    metrics: tuple[str, ...],
    pareto: str | None,
    confidence: str,
    out: Path | None,
    force: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Compare runs (folders) or scenarios (files, packaged names), each with a NAME of your choice.

    Scenarios are run for the purpose with common random numbers. Differences are shown with their intervals; those
    that hold up after correction for many comparisons (Holm) are called real.
    """
    from edgesim.studies import comparison  # noqa: PLC0415 - numpy is not for --help
    from edgesim.units import parse_share  # noqa: PLC0415

    share = parse_share(confidence)
    if not 0.5 <= share < 1:
        raise ResultsError(f"a confidence of {confidence} makes no interval; write e.g. '95 %'")
    objectives = _objectives(pareto)
    overrides = [*sets, *([] if seed is None else [f"scenario.seed={seed}"])]
    chosen = _chosen(candidates, varied, overrides, plugins)
    if all(isinstance(each, Path) for each in chosen.values()):
        _refuse_idle({"--set": sets, "--seed": seed, "-n": replications, "--plugin": plugins})
    if not quiet and not all(isinstance(each, Path) for each in chosen.values()):
        announce_compilation()
    found = comparison.compare(
        chosen,
        metrics or None,
        share,
        replications=replications,
        jobs=jobs,
        out=out,
        force=force,
        watch=lambda name, number: _progress(chosen[name], name, number, quiet=quiet),
    )
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
    candidates: Sequence[str], varied: Sequence[str], sets: Sequence[str], plugins: Sequence[str]
) -> dict[str, Any]:
    """Name the candidates, and load those that are scenarios."""
    from edgesim.scenario import load  # noqa: PLC0415 - pydantic and yaml are not for --help

    if varied:
        if len(candidates) != 1:
            raise ResultsError("--vary makes the candidates out of one scenario; give a single one")
        return {
            name: load(candidates[0], [*sets, *assigned], plugins)
            for name, assigned in _variants(varied).items()
        }
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
    plain = path.with_suffix("") if path.suffix in (".yaml", ".yml") else path
    for length in range(1, len(plain.parts) + 1):
        end = plain.parts[-length:]
        if all(
            other.with_suffix("").parts[-length:] != end and other.parts[-length:] != end for other in others
        ):
            return "/".join(end)
    return str(path)


def _variants(varied: Sequence[str]) -> dict[str, list[str]]:
    """Name every combination of the values, with the overrides that make it."""
    from edgesim.scenario.text import read  # noqa: PLC0415 - see above

    axes = []
    for text in varied:
        key, equals, values = text.partition("=")
        name = f"--vary {text}"
        listed = read(f"[{values}]", name, Path.cwd(), argument=True).plain() if key and equals else None
        if not listed:
            raise ResultsError(f"cannot read '--vary {text}'; write e.g. policies.router=nearest,round-robin")
        axes.append([(key, value) for value in listed])
    found: dict[str, list[str]] = {}
    for combination in product(*axes):
        name = ", ".join(_value(value) for _, value in combination)
        if name in found:
            raise ResultsError(f"--vary says {name} twice")
        found[name] = [f"{key}={_flow(value)}" for key, value in combination]
    if len(found) < 2:
        raise ResultsError("--vary names one value; a comparison needs at least two: KEY=VALUE,VALUE")
    return found


def _flow(value: Any) -> str:
    """Write a value as YAML in one line."""
    return json.dumps(value, ensure_ascii=False)  # YAML 1.2 holds JSON


def _value(value: Any) -> str:
    """Write a value as the name of a candidate: a policy by its kind and parameters."""
    if isinstance(value, dict):
        rest = [f"{key} {each}" for key, each in value.items() if key != "kind"]
        return " ".join(part for part in (str(value.get("kind", "")), ", ".join(rest)) if part)
    return str(value)


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
