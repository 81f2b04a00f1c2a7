"""`edgesim policies`: what there is and what it takes, a start for one's own, and what is wrong with it."""

from __future__ import annotations

import json
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from edgesim.cli.base import announce_compilation, debug_option, plugins_option, print_table

if TYPE_CHECKING:
    from edgesim.testing import Report

EXIT_FINDINGS: Final = 1
"""A policy does something wrong."""


@click.group()
def policies() -> None:
    """List policies, start one of your own, check it."""


@policies.command("list")
@click.argument("role", required=False)
@plugins_option
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
@plugins_option
@debug_option
def show_policy(name: str, plugins: tuple[str, ...]) -> None:
    """Explain the policy NAME."""
    from edgesim import registry  # noqa: PLC0415 - not for --help

    for plugin in plugins:
        registry.load_plugin(plugin)
    found = [(role, row) for role in _roles() for row in registry.describe(role) if row.name == name]
    if not found:
        raise registry.UnknownNameError(
            "policy", name, [row.name for role in _roles() for row in registry.describe(role)]
        )
    for role, row in found:
        click.echo(f"{role} {row.name} ({row.source})\n")
        click.echo(registry.prose_of(registry.lookup(role, name)))
        parameters = [
            (each.name, each.kind, each.default or "required", each.meaning)
            for each in (*row.parameters, *registry.common_parameters(role))
        ]
        if parameters:
            print_table(("parameter", "is a", "default", "meaning"), parameters)
        needed = "".join(f", {each.name}: ..." for each in row.parameters if not each.default)
        click.echo(f"\n  policies: {{{role}: {f'{{kind: {name}{needed}}}' if needed else name}}}")


def _roles() -> list[str]:
    import edgesim.policies  # noqa: F401, PLC0415 - fills the registry
    from edgesim import registry  # noqa: PLC0415 - not for --help

    return registry.roles()


@policies.command("new")
@click.argument("role")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--compiled", is_flag=True, help="With a compiled form, for runs of millions of requests.")
@click.option("--force", is_flag=True, help="Replace an existing file.")
@debug_option
def new_policy(role: str, file: Path, *, compiled: bool, force: bool) -> None:
    """Write FILE, the commented start of a policy, ready to run.

    ROLE is router, scheduler, admission or cache.
    """
    import edgesim.policies  # noqa: F401, PLC0415 - fills the registry
    from edgesim.errors import EdgesimError  # noqa: PLC0415 - not for --help
    from edgesim.policies import template  # noqa: PLC0415

    text = template.start(role, file, compiled=compiled)
    if file.exists() and not force:
        raise EdgesimError(f"'{file}' exists already; --force replaces it")
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise EdgesimError(f"cannot write '{file}': {error.strerror}") from error
    name = template.name_of(file)
    click.echo(f"wrote {file}: the {role} {name!r}; next:\n")
    click.echo(f"  edgesim policies check {file}")
    if role == "cache":
        click.echo(f"  edgesim run MINE.yaml --plugin {file} --set policies.{role}={name}\n")
        click.echo(
            "It is asked where a deployment of MINE.yaml says `prefix_cache: true`, and prompts share beginnings."
        )
        return
    click.echo(f"  edgesim run quickstart --plugin {file} --set policies.{role}={name}")


@policies.command("check")
@click.argument("file")
@click.argument("name", required=False)
@click.option(
    "-s", "--set", "sets", multiple=True, metavar="KEY=VALUE", help="Parameter of the policy; repeatable."
)
@click.option("--quick", is_flag=True, help="Repeat no runs in other processes; finds no order of sets.")
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
@debug_option
@click.pass_context
def check_policies(
    ctx: click.Context, *, file: str, name: str | None, sets: tuple[str, ...], quick: bool, as_json: bool
) -> None:
    """Say what the policies of FILE do wrong, or the one called NAME.

    They run in tiny scenarios. In place of FILE, the name of a built-in or installed policy will do.

    Exit code 1 if something is wrong; warnings alone leave it at 0.
    """
    from edgesim import registry  # noqa: PLC0415 - not for --help
    from edgesim.testing import check  # noqa: PLC0415 - brings the engine

    wanted = _wanted(file, name)
    announce_compilation()
    with redirect_stdout(sys.stderr):  # what policies print is no part of the answer
        reports = check.report_on(
            [registry.lookup(role, each) for role, each in wanted],
            processes=not quick,
            parameters=_parameters(sets),
        )
    if as_json:
        click.echo(json.dumps([report.as_json() for report in reports], indent=1))
    else:
        for report in reports:
            _show_report(report)
    if not all(report.fine for report in reports):
        ctx.exit(EXIT_FINDINGS)


def _wanted(file: str, name: str | None) -> list[tuple[str, str]]:
    """Find role and name of what is to be checked: policies of a file, or else one that is known by name."""
    from edgesim import registry  # noqa: PLC0415 - not for --help
    from edgesim.errors import EdgesimError  # noqa: PLC0415

    if Path(file).is_file() or Path(file).suffix:
        loaded = [each.partition(" ") for each in registry.load_plugin(file)]
        found = [(role, each) for role, _, each in loaded]
        wanted = [(role, each) for role, each in found if name in (None, each)]
        if not wanted:
            raise registry.UnknownNameError("policy", name or "", [each for _, each in found])
        return wanted
    found = [(role, row.name) for role in _roles() for row in registry.describe(role)]
    wanted = [(role, each) for role, each in found if each == file]
    if not wanted:
        help_ = "give a Python file, such as my_router.py, or a policy that `edgesim policies list` lists"
        raise registry.UnknownNameError("policy or file", file, [each for _, each in found], help_)
    if name is not None:
        raise EdgesimError(f"{file!r} is a policy, no file; leave out {name!r}, or check it by itself")
    return wanted


def _parameters(sets: tuple[str, ...]) -> dict[str, Any]:
    """Read parameters as a scenario would."""
    import yaml  # noqa: PLC0415 - not for --help

    from edgesim.errors import EdgesimError  # noqa: PLC0415

    found = {}
    for each in sets:
        key, sign, value = each.partition("=")
        if not sign or not key.strip():
            raise EdgesimError(f"--set wants KEY=VALUE, such as max_queue=4; not {each!r}")
        try:
            found[key.strip()] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise EdgesimError(f"--set {each!r}: the value cannot be read: {error}") from error
    return found


def _show_report(report: Report) -> None:
    """Print what was found about one policy."""
    errors = sum(finding.severity == "error" for finding in report.findings)
    warnings = len(report.findings) - errors
    said = [
        f"{count} {word}{'' if count == 1 else 's'}"
        for count, word in ((errors, "error"), (warnings, "warning"))
    ]
    verdict = ", ".join(text for text in said if not text.startswith("0 ")) or "fine"
    taken = report.seconds_per_decision
    speed = "" if taken is None else f", {taken * 1e6:.1f} us each"
    counts = ((len(report.scenarios), "scenario"), (report.decisions, "decision"))
    done = ", ".join(f"{count:,} {word}{'' if count == 1 else 's'}" for count, word in counts) + speed
    click.echo(f"{report.role} {report.name!r}: {verdict} ({done})")
    for finding in report.findings:
        click.echo(f"\n{finding}")
    for note in report.notes:
        click.echo(f"  note: {note}")
    if report.findings:
        click.echo()
