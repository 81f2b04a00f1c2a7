"""`edgesim capacity`: the largest rate, the fewest replicas or the cheapest hardware that meets the objectives."""

from __future__ import annotations

import json
import math
import time
from typing import TYPE_CHECKING, Any, Final

import click

from edgesim.cli.base import (
    EXIT_INTERRUPTED,
    EXIT_SLO,
    announce_compilation,
    belong_to_out,
    debug_option,
    duration,
    force_option,
    jobs_option,
    json_option,
    option,
    out_option,
    quiet_option,
    replications_option,
    resume_option,
    scenario_options,
    seed_option,
    share,
)

if TYPE_CHECKING:
    from pathlib import Path

    from edgesim.results.capacity import Capacity

_PATIENCE: Final = 2.0
"""Nothing is shown of searches that are done within this time [s]."""
_CARD: Final = "report-card"
_PRESETS: Final = ("single-stream", "server", "offline")


@click.command()
@scenario_options
@click.option(
    "--rate", is_flag=True, help="Find the largest rate of requests: what is asked unless something else is."
)
@click.option(
    "--replicas", metavar="NAME", help="Find the fewest replicas of a deployment, or nodes of a group."
)
@click.option(
    "--mix", metavar="CHOICES", help="Find the best hardware, e.g. 'edge: nvidia-l4|nvidia-a10 x 1..4; ...'."
)
@click.option(
    "--preset",
    type=click.Choice([*_PRESETS, "all"]),
    help="Measure in the manner of MLPerf Inference instead; all: a report card.",
)
@click.option("--workload", metavar="NAME", help="Whose requests a preset asks, if there are several.")
@option("--duration", metavar="TIME", help="Length of the runs of a preset.", default="600 s")
@option(
    "--samples",
    type=click.IntRange(min=1),
    metavar="N",
    help="Requests of the preset offline.",
    default="24576",
)
@option(
    "--slo",
    multiple=True,
    metavar="KEY=VALUE",
    help="Objective, e.g. 'ttft.p95=1 s'.",
    default="the scenario's",
)
@click.option("--attainment", metavar="SHARE", help="Share of requests that must keep all limits, e.g. 99%.")
@option("--confidence", metavar="SHARE", help="With which confidence objectives must be met.", default="95 %")
@option(
    "--tolerance", metavar="SHARE", help="Relative width at which the search for a rate ends.", default="1 %"
)
@option(
    "--objective",
    type=click.Choice(["cost", "energy"]),
    help="What a mix should need least of.",
    default="cost",
)
@option(
    "--lowest",
    type=float,
    metavar="FACTOR",
    help="Lowest load to try, as a factor of the scenario's.",
    default="1/1024",
)
@option(
    "--highest",
    type=float,
    metavar="FACTOR",
    help="Highest load to try, as a factor of the scenario's.",
    default="1024",
)
@option("--most", type=click.IntRange(min=1), metavar="N", help="Most replicas to try.", default="1024")
@option(
    "--trials",
    type=click.IntRange(min=1),
    metavar="N",
    help="Mixes to try where there are too many for all.",
    default="60",
)
@seed_option
@replications_option("Most repetitions of a point; a clear verdict ends earlier.", default="32", least=2)
@jobs_option
@out_option("Folder for table, answer and picture.")
@resume_option
@force_option("an earlier search in the folder")
@json_option("the answer")
@quiet_option
@debug_option
@click.pass_context
def capacity(ctx: click.Context, /, **given: Any) -> None:
    """Find how much SCENARIO can take, or how little it needs.

    Its objectives (`slo:`) or those given are met with the answer. By default the load is varied: the
    arrivals of all open workloads by one factor. The answer is confirmed with all replications (-n).

    Exit code 0 if there is an answer, 1 if nothing that was tried meets the objectives, 2 if something given
    is wrong; a preset ends with 0 whatever it measures.
    """
    _check(given)
    if not given["quiet"]:
        announce_compilation()
    shown = _Shown(quiet=given["quiet"])
    try:
        answered = _card(given, shown) if given["preset"] else _search(given, shown)
    except KeyboardInterrupt:
        shown.close()
        kept = f": --resume -o {given['out']} goes on where it was" if given["out"] else ""
        click.echo(f"interrupted{kept}", err=True)
        ctx.exit(EXIT_INTERRUPTED)
    finally:
        shown.close()
    if not answered:
        ctx.exit(EXIT_SLO)


def _check(given: dict[str, Any]) -> None:
    """Refuse options that exclude each other."""
    asked = [f"--{name}" for name in ("rate", "replicas", "mix", "preset") if given[name]]
    if len(asked) > 1:
        raise click.UsageError(f"{' and '.join(asked)} are different questions: give one of them")
    belong_to_out(given["out"], resume=given["resume"], force=given["force"])
    for name in ("lowest", "highest"):
        if given[name] is not None and not 0 < given[name] < math.inf:
            raise click.UsageError(
                f"--{name} is a factor of the load, a positive number, not {given[name]:g}"
            )
    if given["lowest"] and given["highest"] and given["lowest"] > given["highest"]:
        raise click.UsageError("--lowest is greater than --highest")
    if not given["preset"] and (
        lost := [n for n in ("workload", "duration", "samples") if given[n] is not None]
    ):
        raise click.UsageError(f"--{lost[0]} belongs to --preset")


def _settings(given: dict[str, Any]) -> dict[str, Any]:
    """What of the options a search takes."""
    found = {name: given[name] for name in ("objective", "lowest", "highest", "most", "trials")}
    for name in ("attainment", "confidence", "tolerance"):
        found[name] = None if given[name] is None else share(given[name], f"--{name}")
    if given["replications"] is not None:
        most = given["replications"]
        found["looks"] = tuple(dict.fromkeys([*(n for n in (4, 8, 16, 32, 64, 128, 256) if n < most), most]))
    return found | {
        name: given[name] for name in ("slo", "sets", "plugins", "seed", "jobs", "resume", "force")
    }


def _search(given: dict[str, Any], shown: _Shown) -> bool:
    """Search, print, draw; answers whether there is an answer."""
    from edgesim.studies.capacity import capacity as search  # noqa: PLC0415 - numpy is not for --help

    found = search(
        given["scenario"],
        replicas=given["replicas"],
        mix=given["mix"],
        out=given["out"],
        progress=shown,
        search="rate" if given["rate"] else None,
        **_settings(given),
    )
    shown.close()
    if given["out"] is not None:
        _picture(found, given["out"])
    if given["as_json"]:
        click.echo(json.dumps(found.as_json(), indent=1, allow_nan=False))
    elif not given["quiet"]:
        from edgesim.report.capacity import show  # noqa: PLC0415 - rich is not for --help

        show(found)
    if given["out"] is not None and not given["quiet"]:
        click.echo(f"table, answer and picture in {given['out']}", err=True)
    return found.answer is not None


def _card(given: dict[str, Any], shown: _Shown) -> bool:
    """Measure presets, print; a card is an answer whatever is on it."""
    from edgesim.studies.presets import report_card  # noqa: PLC0415 - numpy is not for --help

    presets = _PRESETS if given["preset"] == "all" else (given["preset"],)
    out: Path | None = given["out"]
    if out is not None:
        _free_for_card(out, again=given["resume"] or given["force"])
    card = report_card(
        given["scenario"],
        presets,
        workload=given["workload"],
        duration=None if given["duration"] is None else duration(given["duration"], "--duration"),
        samples=given["samples"],
        progress=shown,
        out=None if out is None or "server" not in presets else out / "server",
        **_settings(given),
    )
    shown.close()
    text = json.dumps(card.as_json(), indent=1, allow_nan=False)
    if out is not None:
        (out / f"{_CARD}.json").write_text(text + "\n", encoding="utf-8")
        card.table.to_csv(out / f"{_CARD}.csv", index=False)
        if card.server is not None:
            _picture(card.server, out / "server")
    if given["as_json"]:
        click.echo(text)
    elif not given["quiet"]:
        from edgesim.report.capacity import show_card  # noqa: PLC0415 - rich is not for --help

        show_card(card)
    return True


def _free_for_card(out: Path, *, again: bool) -> None:
    """Make the folder of a report card, unless something else, or an earlier one, is in the way."""
    from edgesim.errors import ResultsError  # noqa: PLC0415 - see above
    from edgesim.results.folder import earlier  # noqa: PLC0415

    files = [f"{_CARD}.json", f"{_CARD}.csv"]
    earlier(out, "report card", [*files, "server"])
    if not again and any((out / name).exists() for name in files):
        raise ResultsError(f"'{out}' holds an earlier report card; --force replaces it")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResultsError(f"cannot write results to '{out}': {error.strerror}") from error


def _picture(found: Capacity, folder: Path) -> None:
    """Draw the curve into the folder."""
    from edgesim.report import plots  # noqa: PLC0415 - takes a second to import

    for ending in ("svg", "png"):
        plots.save(found, ["capacity"], folder / f"curve.{ending}")


class _Shown:
    """The progress of a search on a terminal; silent anywhere else, and for searches that are quickly done."""

    def __init__(self, *, quiet: bool) -> None:
        self._begun = time.perf_counter()
        self._quiet = quiet
        self._status: Any = None
        self._out: Any = None

    def __call__(self, line: str) -> None:
        """Show a line in place of the one before."""
        if self._quiet or time.perf_counter() - self._begun < _PATIENCE:
            return
        if self._out is None:
            from edgesim.report.console import console  # noqa: PLC0415 - rich is not for --help

            self._out = console(stderr=True)
        if not self._out.is_terminal:
            return
        if self._status is None:
            self._status = self._out.status(line)
            self._status.start()
        self._status.update(line)

    def close(self) -> None:
        """Take the line away."""
        if self._status is not None:
            self._status.stop()
            self._status = None
