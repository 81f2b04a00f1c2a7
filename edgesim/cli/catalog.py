"""`edgesim catalog` and `edgesim metrics`: what is known, and what is measured."""

from __future__ import annotations

import json
from typing import Any

import click

from edgesim.cli.base import debug_option, print_table


@click.command()
@debug_option
def metrics() -> None:
    """Explain the metrics: names, units, formulas."""
    from edgesim.metrics import METRICS, OBJECTIVES, RATES  # noqa: PLC0415 - not for --help

    rows = [(m.name, m.unit, m.text, m.written) for m in METRICS.values()]
    print_table(("metric", "unit", "what it means", "formula over requests.parquet"), rows)
    print_table(
        ("rate", "unit", "what it means"), [(name, unit, text) for name, (unit, text) in RATES.items()]
    )
    click.echo(
        "Metrics are those of completed requests that arrived after the warm-up; one that does not exist"
    )
    click.echo("for a request is missing, never 0. Percentiles are exact, interpolated linearly.")
    click.echo(click.wrap_text(OBJECTIVES, 100))


@click.group()
def catalog() -> None:
    """Look things up: accelerators, LLMs, links, grids and more."""


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
    """List entries of KIND, or of all, with what helps to choose."""
    from edgesim import units  # noqa: PLC0415 - not for --help
    from edgesim.report import catalogue  # noqa: PLC0415

    filters = catalogue.Filters(units.bytes_(memory) if memory else None, type_, **given)
    kinds = catalogue.kinds(kind, filters)
    if as_json:
        found = [plain for each in kinds for plain in catalogue.listed_plain(each, filters)]
        click.echo(json.dumps(found, indent=1))
        return
    for each in kinds:
        print_table(*catalogue.listed(each, filters))


@catalog.command("show")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, in SI units.")
@debug_option
def show_entry(name: str, *, as_json: bool) -> None:
    """Show every figure of entry NAME with unit, mark and source."""
    from edgesim.report import catalogue  # noqa: PLC0415 - not for --help
    from edgesim.report.variants import HEAD  # noqa: PLC0415

    if as_json:
        click.echo(json.dumps(catalogue.shown_plain(name), indent=1))
        return
    kind = catalogue.kind_of(name)
    rows, sources = catalogue.figures(name)
    title = f"{kind} {name}: {catalogue.entry(kind, name).title}"
    print_table(("figure", "value", "confidence", "source"), rows, title)
    print_table(("", "source", "stated for"), sources)
    print_table(("", "what it comes to"), catalogue.about(name))
    if varied := catalogue.varied(name):
        print_table(HEAD, varied)


@catalog.command("find")
@click.argument("text", nargs=-1, required=True)
@debug_option
def find_entry(text: tuple[str, ...]) -> None:
    """Find entries by what people, drivers and hubs call them."""
    from edgesim.report import catalogue  # noqa: PLC0415 - not for --help

    print_table(("kind", "name", "title"), catalogue.found(" ".join(text)))
