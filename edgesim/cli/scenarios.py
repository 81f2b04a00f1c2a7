"""Commands about scenarios: check, show, begin one."""

from __future__ import annotations

import json
from pathlib import Path

import click

from edgesim.cli.base import debug_option, load_scenario, out_option, print_table, scenario_options


@click.command()
@scenario_options
@debug_option
def validate(scenario: str, sets: tuple[str, ...], plugins: tuple[str, ...]) -> None:
    """Check SCENARIO and the points of its sweep; list all problems."""
    from edgesim.studies.sweep_points import check  # noqa: PLC0415 - pydantic and yaml are not for --help

    loaded = load_scenario(scenario, sets, plugins)
    points = check(scenario, sets, plugins)
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
        *([f"a sweep of {_plural(points, 'point')}"] if points else []),
    )
    click.echo(f"{scenario} is fine: {', '.join(parts)}")


def _plural(count: int, one: str, many: str = "") -> str:
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"


@click.command()
@debug_option
def schema() -> None:
    """Print the JSON schema of scenarios, for editors."""
    from edgesim.scenario import json_schema  # noqa: PLC0415 - pydantic is not for --help

    click.echo(json.dumps(json_schema(), indent=2))


@click.command()
@click.argument("file", type=click.Path(path_type=Path), default="scenario.yaml")
@click.option(
    "--from", "origin", default="quickstart", metavar="NAME", help="Packaged scenario to start from."
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


@click.command()
@scenario_options
@out_option("Draw the topology into this file (PNG, SVG, PDF).")
@debug_option
def show(scenario: str, sets: tuple[str, ...], plugins: tuple[str, ...], out: Path | None) -> None:
    """Show nodes and links of SCENARIO, as tables or as a picture."""
    loaded = load_scenario(scenario, sets, plugins)
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
        print_table(rows[0]._fields if rows else ("-",), rows, title)
