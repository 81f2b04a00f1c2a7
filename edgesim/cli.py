"""The command line: parse, call, print. Everything heavy is imported inside the commands."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from edgesim import __version__
from edgesim.errors import EdgesimError

if TYPE_CHECKING:
    from edgesim.report.progress import ProgressBar
    from edgesim.results import Run, RunSet
    from edgesim.scenario import Scenario

EXIT_SLO: Final = 1
"""An objective was missed, and --check-slo asked."""
EXIT_INPUT: Final = 2
"""Something the user gave is wrong."""
EXIT_INTERNAL: Final = 3
"""A fault of edgesim."""
EXIT_INTERRUPTED: Final = 130

_DEBUG: Final = "edgesim.debug"
_FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)


class Commands(click.Group):
    """Commands whose errors end as messages and exit codes."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            ctx.exit(EXIT_INTERRUPTED)
        except EdgesimError as error:
            _trace(ctx)
            click.echo(error_text(error), err=True)
            ctx.exit(EXIT_INPUT)
        except Exception as error:  # noqa: BLE001 - the last resort: no traceback in a user's face
            _trace(ctx)
            advice = "" if _debugging(ctx) else "; --debug shows where"
            click.echo(f"internal error: {type(error).__name__}: {error}{advice}", err=True)
            ctx.exit(EXIT_INTERNAL)


def _debugging(ctx: click.Context) -> bool:
    return bool(ctx.meta.get(_DEBUG) or os.environ.get("EDGESIM_DEBUG", "") not in ("", "0"))


def _trace(ctx: click.Context) -> None:
    """Print where the current exception came from, if that was asked for."""
    if _debugging(ctx):
        import traceback  # noqa: PLC0415 - only when something broke

        traceback.print_exc()


def error_text(error: EdgesimError) -> str:
    """Write an error for the terminal."""
    text = str(error)
    text = text if text.startswith("error:") else f"error: {text}"
    hint = getattr(error, "help", "")
    return f"{text}\n  help: {hint}" if hint else text


def _debug(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        ctx.meta[_DEBUG] = True


Command = Callable[..., Any]
debug_option = click.option(
    "--debug", is_flag=True, expose_value=False, is_eager=True, callback=_debug, help="Show tracebacks."
)


def scenario_options(command: Command) -> Command:
    """Add what all commands that load a scenario take."""
    for option in (
        click.option(
            "--plugin",
            "plugins",
            multiple=True,
            metavar="FILE",
            help="Python file with policies; repeatable.",
        ),
        click.option(
            "-s", "--set", "sets", multiple=True, metavar="KEY=VALUE", help="Override, e.g. scenario.seed=2."
        ),
        click.argument("scenario"),
        debug_option,
    ):
        command = option(command)
    return command


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@debug_option
@click.version_option(__version__, prog_name="edgesim", message="%(prog)s %(version)s")
def main() -> None:
    """Simulate LLM serving across devices, edge servers and clouds."""


@main.command()
@scenario_options
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), help="Folder for the results [results/<scenario>/<run>]."
)
@click.option("--seed", type=click.IntRange(min=0), help="Seed, instead of the scenario's.")
@click.option(
    "-n", "--replications", type=click.IntRange(min=1), help="Repetitions with other random numbers."
)
@click.option("--engine", type=click.Choice(["auto", "kernel", "reference"]), help="What simulates.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
@click.option("--check-slo", is_flag=True, help="Exit with 1 if an objective is missed.")
@click.option("--force", is_flag=True, help="Replace an earlier run in the folder.")
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
    engine: str | None,
    quiet: bool,
    as_json: bool,
    check_slo: bool,
    force: bool,
) -> None:
    """Run SCENARIO (a YAML file or the name of a packaged one) and show its results."""
    given = {"scenario.seed": seed, "scenario.replications": replications, "engine": engine}
    loaded = _load(
        scenario, [*sets, *(f"{key}={value}" for key, value in given.items() if value is not None)], plugins
    )
    from edgesim import experiment  # noqa: PLC0415 - numpy and pyarrow, once the scenario is known to be good
    from edgesim.report import console  # noqa: PLC0415
    from edgesim.results.slo import kept  # noqa: PLC0415

    folder = out or experiment.default_folder(loaded)
    plan = experiment.Plan(loaded, folder, force=force)
    if loaded.engine != "reference" and not quiet:
        _announce_compilation()
    try:
        found = plan.run(lambda number: _progress(loaded, number, quiet=quiet))
    except (Exception, KeyboardInterrupt):
        if plan.begun:
            click.echo(f"what was finished until then is in {folder}", err=True)
        raise
    if as_json:
        click.echo(json.dumps(found.summary, indent=1, allow_nan=False))
    elif not quiet:
        console.show(found.summary, _title(loaded, found))
    interrupted = found.manifest["exit_state"] == "interrupted"
    if interrupted:
        click.echo(f"interrupted: kept {_kept(found)} in {folder}", err=True)
        ctx.exit(EXIT_INTERRUPTED)
    if not quiet:
        click.echo(f"results in {folder}", err=True)
    if check_slo and not kept(found.summary["slo"]):
        ctx.exit(EXIT_SLO)


def _announce_compilation() -> None:
    """Say why the very first run takes longer."""
    from edgesim.arena.compile import is_cold  # noqa: PLC0415 - brings numba

    if is_cold():
        click.echo("compiling the engine for this machine: about a minute, once", err=True)


def _load(scenario: str, sets: Sequence[str], plugins: Sequence[str]) -> Scenario:
    from edgesim.scenario import load  # noqa: PLC0415 - pydantic and yaml are not for --help

    return load(scenario, sets, plugins)


def _progress(scenario: Scenario, number: int, *, quiet: bool) -> ProgressBar:
    """Make the progress bar of a replication."""
    from edgesim.report import console  # noqa: PLC0415 - rich is not for --help
    from edgesim.report.progress import ProgressBar as Bar  # noqa: PLC0415

    settings = scenario.scenario
    label = (
        settings.name
        if settings.replications == 1
        else f"{settings.name} {number + 1}/{settings.replications}"
    )
    out = console.console(stderr=True)
    out.quiet = quiet
    return Bar(out, label, duration_s=settings.duration, requests=settings.requests)


def _title(scenario: Scenario, found: Run | RunSet) -> str:
    from edgesim.units import format_seconds  # noqa: PLC0415 - quantiphy is not for --help

    settings = scenario.scenario
    parts = [settings.name, f"seed {settings.seed}"]
    if settings.replications > 1:
        done = found.summary["replications"]["count"]
        of = "" if done == settings.replications else f"{done} of "
        parts.append(f"{of}{settings.replications} replications")
    parts.append(f"{format_seconds(found.summary['engine']['simulated_s'])} simulated")
    if settings.warmup:
        parts.append(f"the first {format_seconds(settings.warmup)} not measured")
    return " · ".join(parts)


def _kept(found: Run | RunSet) -> str:
    counts = found.summary["requests"]
    ended = counts["arrived"] - counts["unfinished"]
    return f"{ended:,} finished requests ({found.manifest['finished_replications']} complete replications)"


@main.command()
@scenario_options
def validate(scenario: str, sets: tuple[str, ...], plugins: tuple[str, ...]) -> None:
    """Check SCENARIO and list all its problems."""
    loaded = _load(scenario, sets, plugins)
    if loaded.reads_requests:
        from edgesim import workload  # noqa: PLC0415 - brings numpy, which other scenarios can be checked without
        from edgesim.streams import Streams  # noqa: PLC0415
        from edgesim.workload.source import ConsecutiveNodes  # noqa: PLC0415

        workload.build(loaded, Streams(loaded.scenario.seed, 0), ConsecutiveNodes(loaded))
    nodes = sum(node.count for node in loaded.topology.nodes.values())
    parts = (
        _plural(nodes, "node"),
        _plural(len(loaded.topology.links), "kind of link", "kinds of links"),
        _plural(len(loaded.deployments), "deployment"),
        _plural(len(loaded.workloads), "workload"),
    )
    click.echo(f"{scenario} is fine: {', '.join(parts)}")


def _plural(count: int, one: str, many: str = "") -> str:
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"


@main.command()
@debug_option
def schema() -> None:
    """Print the JSON schema of scenarios, for editors."""
    from edgesim.scenario import json_schema  # noqa: PLC0415 - pydantic is not for --help

    click.echo(json.dumps(json_schema(), indent=2))


@main.command()
@click.argument("file", type=click.Path(path_type=Path), default="scenario.yaml")
@click.option(
    "--from", "origin", default="quickstart", show_default=True, help="Packaged scenario to start from."
)
@click.option("--commented", is_flag=True, help="Write every key with its default and meaning instead.")
@click.option("--force", is_flag=True, help="Overwrite FILE.")
@debug_option
def init(file: Path, origin: str, *, commented: bool, force: bool) -> None:
    """Write a scenario to start from to FILE."""
    from edgesim.scenario import template  # noqa: PLC0415 - yaml is not for --help

    path = file if file.suffix else file.with_suffix(".yaml")
    if path.exists() and not force:
        raise click.UsageError(f"'{path}' exists already; --force overwrites it")
    text = template.commented() if commented else template.text(origin)
    files = {path: text.encode()}
    if not commented:
        files |= {path.parent / name: content for name, content in template.data(origin).items()}
    for each, content in files.items():
        if each != path and each.exists() and each.read_bytes() != content and not force:
            raise click.UsageError(f"'{each}' exists already and is another file; --force overwrites it")
    try:
        for each, content in files.items():
            if each != path:
                each.parent.mkdir(parents=True, exist_ok=True)
            each.write_bytes(content)
    except OSError as error:
        raise click.UsageError(f"cannot write '{each}': {error.strerror}") from error
    click.echo(f"wrote {' and '.join(map(str, files))}; now: edgesim run {path}")


@main.command()
@scenario_options
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), help="Draw the topology into this file (PNG, SVG, PDF)."
)
def show(scenario: str, sets: tuple[str, ...], plugins: tuple[str, ...], out: Path | None) -> None:
    """Show the nodes and links of SCENARIO, as tables or as a picture."""
    loaded = _load(scenario, sets, plugins)
    from edgesim.topology import picture  # noqa: PLC0415 - not for --help

    if out is not None:
        try:
            picture.draw(loaded, out)
        except (OSError, ValueError) as error:
            raise click.UsageError(f"cannot draw '{out}': {error}") from error
        click.echo(f"drew {out}")
        return
    tables = picture.table(loaded)
    for title, rows in (("nodes", tables.nodes), ("links", tables.links)):
        _print_table(rows[0]._fields if rows else ("-",), rows, title)


@main.group()
def policies() -> None:
    """Policies: what is there, and what it takes."""


@policies.command("list")
@click.argument("role", required=False)
@click.option(
    "--plugin", "plugins", multiple=True, metavar="FILE", help="Python file with policies; repeatable."
)
@debug_option
def list_policies(role: str | None, plugins: tuple[str, ...]) -> None:
    """List the policies of ROLE, or of all roles."""
    from edgesim import registry  # noqa: PLC0415 - not for --help

    for plugin in plugins:
        registry.load_plugin(plugin)
    for each in (role,) if role else _roles():
        rows = [
            (row.name, row.summary, ", ".join(map(str, row.parameters)), row.source)
            for row in registry.describe(each)
        ]
        _print_table((each, "what it does", "parameters", "from"), rows)
        common = registry.common_parameters(each)
        if common:
            click.echo(f"every {each} takes, too: {', '.join(map(str, common))}\n")


@policies.command("show")
@click.argument("name")
@click.option(
    "--plugin", "plugins", multiple=True, metavar="FILE", help="Python file with policies; repeatable."
)
@debug_option
def show_policy(name: str, plugins: tuple[str, ...]) -> None:
    """Explain the policy NAME."""
    import inspect  # noqa: PLC0415 - not for --help

    from edgesim import registry  # noqa: PLC0415

    for plugin in plugins:
        registry.load_plugin(plugin)
    found = [(role, row) for role in _roles() for row in registry.describe(role) if row.name == name]
    if not found:
        raise registry.UnknownNameError(
            "policy", name, [row.name for role in _roles() for row in registry.describe(role)]
        )
    for role, row in found:
        click.echo(f"{role} {row.name} ({row.source})\n")
        click.echo(inspect.cleandoc(registry.lookup(role, name).__doc__ or row.summary))
        for parameter in (*row.parameters, *registry.common_parameters(role)):
            click.echo(f"  {parameter}")
        click.echo(f"\n  policies: {{{role}: {name}}}")


def _roles() -> list[str]:
    import edgesim.policies  # noqa: F401, PLC0415 - fills the registry
    from edgesim import registry  # noqa: PLC0415 - not for --help

    return list(registry.registries)


@main.command()
@debug_option
def metrics() -> None:
    """Explain the metrics: names, units, formulas."""
    from edgesim.metrics import METRICS, OBJECTIVES, RATES  # noqa: PLC0415 - not for --help

    rows = [(m.name, m.unit, m.text, m.written) for m in METRICS.values()]
    _print_table(("metric", "unit", "what it means", "formula over requests.parquet"), rows)
    _print_table(
        ("rate", "unit", "what it means"), [(name, unit, text) for name, (unit, text) in RATES.items()]
    )
    click.echo(
        "Metrics are those of completed requests that arrived after the warm-up; one that does not exist"
    )
    click.echo("for a request is missing, never 0. Percentiles are exact, interpolated linearly.")
    click.echo(click.wrap_text(OBJECTIVES, 100))


@main.group()
def catalog() -> None:
    """The catalogue: accelerators, LLMs, variants, links, grids, workload templates."""


@catalog.command("list")
@click.argument("kind", required=False)
@click.option(
    "--memory", metavar="SIZE", help="Accelerators with at least, LLMs with weights of at most so much."
)
@click.option(
    "--type", "type_", metavar="TYPE", help="Accelerators of a type: gpu, npu, soc, tpu, cpu, asic, fpga."
)
@click.option("--family", metavar="NAME", help="LLMs of a family.")
@click.option(
    "--confidence", metavar="MARK", help="Entries that can be trusted so far, as the last column says."
)
@click.option(
    "--fits", metavar="NAME", help="LLMs that fit on an accelerator, or accelerators that hold an LLM."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, in SI units.")
@debug_option
def list_catalog(
    kind: str | None, memory: str | None, type_: str | None, *, as_json: bool, **given: Any
) -> None:
    """List the entries of KIND, or of all kinds, with what helps to choose."""
    from edgesim import units  # noqa: PLC0415 - not for --help
    from edgesim.report import catalogue  # noqa: PLC0415

    filters = catalogue.Filters(units.bytes_(memory) if memory else None, type_, **given)
    kinds = catalogue.kinds(kind, filters)
    if as_json:
        found = [plain for each in kinds for plain in catalogue.listed_plain(each, filters)]
        click.echo(json.dumps(found, indent=1))
        return
    for each in kinds:
        _print_table(*catalogue.listed(each, filters))


@catalog.command("show")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, in SI units.")
@debug_option
def show_entry(name: str, *, as_json: bool) -> None:
    """Show every figure of entry NAME with unit, mark and source, and what they come to."""
    from edgesim.report import catalogue  # noqa: PLC0415 - not for --help
    from edgesim.report.variants import HEAD  # noqa: PLC0415

    if as_json:
        click.echo(json.dumps(catalogue.shown_plain(name), indent=1))
        return
    kind = catalogue.kind_of(name)
    rows, sources = catalogue.figures(name)
    title = f"{kind} {name}: {catalogue.entry(kind, name).title}"
    _print_table(("figure", "value", "confidence", "source"), rows, title)
    _print_table(("", "source", "stated for"), sources)
    _print_table(("", "what it comes to"), catalogue.about(name))
    if varied := catalogue.varied(name):
        _print_table(HEAD, varied)


@catalog.command("find")
@click.argument("text", nargs=-1, required=True)
@debug_option
def find_entry(text: tuple[str, ...]) -> None:
    """Find entries by name, title, or what drivers, hubs and collections of measurements call them."""
    from edgesim.report import catalogue  # noqa: PLC0415 - not for --help

    _print_table(("kind", "name", "title"), catalogue.found(" ".join(text)))


@main.group()
def calibrate() -> None:
    """Fit cost models to measurements."""


@calibrate.command("costs")
@click.option(
    "--kernels",
    metavar="PREFIX",
    help="Kernel times: PREFIXdense.csv, PREFIXper_sequence.csv, PREFIXattention.csv.",
)
@click.option(
    "--database",
    metavar="WHERE",
    help="A database of kernels: 'package' (aiconfigurator-core), or a folder. With --log: price steps by it.",
)
@click.option("--points", type=_FILE, help="Measured speeds: CSV, or llama-bench JSON.")
@click.option(
    "--log", type=_FILE, help="A serving run's requests: CSV, JSON lines, or a benchmark's result file."
)
@click.option(
    "--settings", type=_FILE, help="The engine's settings as JSON or YAML, such as vLLM's arguments."
)
@click.option("--system", metavar="NAME", help="With --database: its name of the accelerator.")
@click.option("--accelerator", metavar="NAME", help="What it ran on, as the catalogue calls it.")
@click.option("--llm", metavar="NAME", help="What was run, as the catalogue calls it.")
@click.option("--weights", metavar="FORMAT", help="fp16, bf16, fp8, int8, int4, nvfp4, ...")
@click.option("--kv", metavar="FORMAT", help="Number format of the KV cache.")
@click.option("--tensor-parallel", type=click.IntRange(1), metavar="N", help="Accelerators that shared it.")
@click.option("--data-parallel", type=click.IntRange(1), metavar="N", help="Replicas beside each other.")
@click.option(
    "--expert-parallel/--no-expert-parallel", default=None, help="Whether accelerators held whole experts."
)
@click.option("--kv-tokens", type=int, metavar="N", help="Size of the KV cache, as the engine reports it.")
@click.option("--prefix-cache/--no-prefix-cache", default=None, help="Whether the engine cached prefixes.")
@click.option("--profile", type=_FILE, help="With --log: price steps by this profile, not by the roofline.")
@click.option("--fit/--no-fit", default=True, help="With --log: fit what costs leave open, or only compare.")
@click.option(
    "--train",
    type=click.IntRange(1),
    metavar="N",
    help="With --log: fit on the first N requests, compare on the rest.",
)
@click.option(
    "--shared-prefix",
    type=click.IntRange(0),
    default=0,
    metavar="N",
    help="With --log: tokens that all prompts begin with.",
)
@click.option(
    "--curves", type=_FILE, help="With --log: measured load, a CSV of t, running, waiting, kv_cache_pct."
)
@click.option("--engine", default="", help="With --kernels or --database: engine and version.")
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), required=True, help="File to write; with --log: a folder."
)
@debug_option
def calibrate_costs(
    kernels: str | None, database: str | None, points: Path | None, log: Path | None, out: Path, **given: Any
) -> None:
    """Fit step costs to one kind of measurements, tell what is left, and write what a scenario can name."""
    if sum(source is not None for source in (kernels, points, log or database)) != 1:
        raise click.UsageError(
            "give one of --kernels, --database, --points and --log (a log may use a database)"
        )
    if database is not None and given["profile"] is not None:
        raise click.UsageError("give --profile or --database, not both")
    from edgesim.calibrate import command, replay  # noqa: PLC0415 - not for --help

    names = ("weights", "kv", "tensor_parallel", "kv_tokens", "prefix_cache", "expert_parallel")
    keys = {name: given[name] for name in names} | {"replicas": given["data_parallel"]}
    about = command.subject(given["accelerator"], given["llm"], given["settings"], keys)
    if kernels is not None:
        told = command.from_kernels(kernels, about, given["engine"], out)
    elif points is not None:
        told = command.from_points(points, about, out, _print_table)
    elif log is not None:
        names = ("fit", "train", "profile", "system", "curves", "shared_prefix")
        wish = replay.Wish(database=database, **{name: given[name] for name in names})
        told = replay.from_log(log, about, wish, out, _print_table)
    else:
        assert database is not None
        told = command.from_database(database, given["system"], about, given["engine"], out)
    click.echo(told)


@calibrate.command("engines")
@click.option("--points", type=_FILE, required=True, help="Campaign of measured speeds (CSV).")
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="File of engines to write.")
@debug_option
def calibrate_engines(points: Path, out: Path) -> None:
    """Fit what engines reach by architecture to a campaign of many machines; takes minutes."""
    from edgesim.calibrate import engine_file, engines  # noqa: PLC0415 - not for --help
    from edgesim.calibrate.campaign import read_campaign  # noqa: PLC0415

    found, unused = read_campaign(points)
    fits = engines.fit_engines(found)
    out.write_text(engine_file.text(fits), encoding="utf-8")
    click.echo(
        f"wrote {out}: {len(fits)} engines from {len(found)} of {len(found) + len(unused)} measurements"
    )


@main.group()
def verify() -> None:
    """Check the simulator against theory and against its readable twin."""


@verify.command("card", context_settings={"ignore_unknown_options": True}, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@debug_option
def verify_card(arguments: tuple[str, ...]) -> None:
    """Print the verification card."""
    from edgesim.verify import card  # noqa: PLC0415 - not for --help

    sys.exit(card.main(list(arguments)))


@verify.command("costs", context_settings={"ignore_unknown_options": True}, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@debug_option
def verify_costs(arguments: tuple[str, ...]) -> None:
    """Compare cost models with a folder of measurements."""
    from edgesim.verify import costs  # noqa: PLC0415 - not for --help

    sys.exit(costs.main(list(arguments)))


@main.command("version")
def show_version() -> None:
    """Print the version."""
    click.echo(f"edgesim {__version__}")


def _print_table(head: Sequence[str], rows: Sequence[Sequence[str]], title: str = "") -> None:
    """Print rows of plain text as a table."""
    from rich.text import Text  # noqa: PLC0415 - rich is not for --help

    from edgesim.report.console import console, plain_table  # noqa: PLC0415

    table = plain_table(head, [[Text(cell) for cell in row] for row in rows], title)
    console().print(table)
