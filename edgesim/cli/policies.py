"""`edgesim policies`: what there is, and what it takes."""

from __future__ import annotations

import click

from edgesim.cli.base import debug_option, print_table


@click.group()
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
        print_table((each, "what it does", "parameters", "from"), rows)
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
