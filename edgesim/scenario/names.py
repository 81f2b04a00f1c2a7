"""Checks that every name in a scenario stands for something.

Works on plain data, so that misspelt names are reported together with wrong values and unknown keys.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgesim import catalog, registry
from edgesim.errors import EdgesimError, Problem, ScenarioError
from edgesim.registry import UnknownNameError, suggestion
from edgesim.scenario.problems import shifted
from edgesim.scenario.schema import ROLES
from edgesim.scenario.topology import TIERS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def check_names(data: Any, *, policies: bool = True) -> list[Problem]:
    """List the names that stand for nothing, with their paths.

    Args:
        data: The scenario as plain data, possibly wrong in other ways.
        policies: Whether all plugins are loaded, so that policies can be judged.
    """
    data = _mapping(data)
    problems = [*_topology(data), *_own_entries(data), *_deployments(data), *_workloads(data)]
    if policies:
        problems += _policies(_mapping(data.get("policies")))
    return problems


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []


def _unknown(path: tuple[str | int, ...], what: str, name: str, known: Iterable[str]) -> Problem:
    known = list(known)
    near = suggestion(name, known)
    return Problem(
        path, f"no {what} named {name!r}{near}", "" if near or not known else f"known: {', '.join(known)}"
    )


def _looked_up(
    path: tuple[str | int, ...], kind: str, name: Any, own: Iterable[str] = ()
) -> Iterator[Problem]:
    """Look a name up in the catalogue, and among the scenario's own entries."""
    if not isinstance(name, str) or name in (own := tuple(own)):
        return
    known = catalog.names(kind)
    if name not in known:
        near = suggestion(name, [*own, *known])
        help_ = f"`edgesim catalog` lists all{_own_section(kind)}"
        yield Problem(path, f"no {'LLM' if kind == 'llm' else kind} named {name!r}{near}", help_)


def _own_section(kind: str) -> str:
    section = {"accelerator": "accelerators", "llm": "llms", "variant": "variants"}.get(kind)
    return f"; add your own in the section '{section}'" if section else ""


def _groups(data: dict[str, Any]) -> dict[str, Any]:
    return _mapping(_mapping(data.get("topology")).get("nodes"))


def _group(path: tuple[str | int, ...], name: Any, groups: dict[str, Any]) -> Iterator[Problem]:
    """Check the name of a node group; without any groups, that is the problem, and not each name."""
    if isinstance(name, str) and groups and name not in groups:
        yield _unknown(path, "node group", name, groups)


def _topology(data: dict[str, Any]) -> Iterator[Problem]:
    topology, groups = _mapping(data.get("topology")), _groups(data)
    tiers = _listed(topology.get("tiers")) or list(TIERS)
    for name, value in groups.items():
        path, node = ("topology", "nodes", name), _mapping(value)
        yield from _looked_up(
            (*path, "accelerator"), "accelerator", node.get("accelerator"), _mapping(data.get("accelerators"))
        )
        yield from _power_mode((*path, "power_mode"), node, _mapping(data.get("accelerators")))
        yield from _looked_up((*path, "grid"), "grid", node.get("grid"))
        if isinstance(node.get("tier"), str) and node["tier"] not in tiers:
            yield _unknown((*path, "tier"), "tier", node["tier"], map(str, tiers))
    for index, value in enumerate(_listed(topology.get("links"))):
        link = _mapping(value)
        for end, name in enumerate(_listed(link.get("between"))):
            yield from _group(("topology", "links", index, "between", end), name, groups)
        yield from _looked_up(("topology", "links", index, "kind"), "link kind", link.get("kind"))


def _power_mode(path: tuple[str | int, ...], node: dict[str, Any], own: dict[str, Any]) -> Iterator[Problem]:
    """Check that a node's accelerator has the power mode that it names; problems of the accelerator are told apart."""
    mode, name = node.get("power_mode"), node.get("accelerator")
    if not isinstance(mode, str) or not isinstance(name, str):
        return
    try:
        mine = name in own
        modes = (catalog.accelerator_from(name, own[name]) if mine else catalog.accelerator(name)).power_modes
    except (EdgesimError, TypeError, ValueError, AttributeError):
        return
    if mode not in modes:
        near = suggestion(mode, modes)
        have = f"it has {', '.join(modes)}" if modes else "it has none; set its clock with 'frequency: 70 %'"
        yield Problem(path, f"{name} has no power mode {mode!r}{near}", "" if near else have)


def _own_entries(data: dict[str, Any]) -> Iterator[Problem]:
    """Build the scenario's own accelerators, LLMs and variants once, which checks all that they say."""
    builders = {
        "accelerators": catalog.accelerator_from,
        "llms": catalog.llm_from,
        "variants": catalog.variant_from,
    }
    for section, build in builders.items():
        for name, entry in _mapping(data.get(section)).items():
            if not isinstance(entry, dict):
                continue
            like = list(_looked_up((section, name, "like"), section[:-1], entry.get("like")))
            yield from like
            if section == "variants":
                yield from _looked_up(
                    (section, name, "of"), "llm", entry.get("of"), _mapping(data.get("llms"))
                )
            if not like:
                yield from _built(section, name, entry, build)


def _built(section: str, name: str, entry: dict[str, Any], build: Any) -> Iterator[Problem]:
    for (
        key,
        value,
    ) in entry.items():  # one at a time first: `build` stops at the first value that it cannot read
        try:
            build(name, {"like": catalog.names(section[:-1])[-1], key: value})
        except ScenarioError as error:
            yield from (shifted(problem, section, name, key) for problem in error.problems)
            return
        except UnknownNameError as error:
            yield Problem(
                (section, name, key), f"unknown key{suggestion(error.name, error.known)}", error.help
            )
            return
        except (TypeError, ValueError) as error:
            yield Problem((section, name, key), f"cannot be used: {error}")
            return
    try:
        build(name, entry)
    except EdgesimError as error:
        yield Problem((section, name), str(error))


def _deployments(data: dict[str, Any]) -> Iterator[Problem]:
    groups, own = _groups(data), _mapping(data.get("llms"))
    names: set[tuple[str, str]] = set()
    for index, value in enumerate(_listed(data.get("deployments"))):
        deployment = _mapping(value)
        yield from _looked_up(("deployments", index, "llm"), "llm", deployment.get("llm"), own)
        yield from _looked_up(("deployments", index, "engine"), "engine", deployment.get("engine"))
        yield from _variants(("deployments", index), deployment, _mapping(data.get("variants")))
        yield from _group(("deployments", index, "on"), deployment.get("on"), groups)
        name, on = deployment.get("name"), deployment.get("on")
        if isinstance(name, str) and isinstance(on, str):
            if (on, name) in names:
                yield Problem(("deployments", index, "name"), f"two deployments on {on!r} are named {name!r}")
            names.add((on, name))


def _variants(
    path: tuple[str | int, ...], deployment: dict[str, Any], own: dict[str, Any]
) -> Iterator[Problem]:
    """Check what a deployment makes of its LLM: variant, adapter, and number format of the weights."""
    for key in ("variant", "adapter"):
        name, llm = deployment.get(key), str(deployment.get("llm"))
        if not isinstance(name, str):
            continue
        try:
            found = catalog.variant_from(name, own[name]) if name in own else catalog.variant(name, llm)
        except UnknownNameError as error:
            if name not in own:
                yield from _no_variant((*path, key), name, own, error.known)
            continue
        except (AttributeError, EdgesimError, KeyError, TypeError, ValueError):
            continue  # a problem of the section `variants`, which is reported there
        if (found.technique == "adapter") != (key == "adapter"):
            other = "variant" if key == "adapter" else "adapter"
            text = f"{name!r} is {'an' if other == 'adapter' else 'no'} adapter"
            yield Problem((*path, key), text, f"write '{other}: {name}'")
        if found.of not in ("", llm):
            yield Problem((*path, key), f"{name!r} is of {found.of}, not of {llm}")
        weights = deployment.get("weights")
        if found.weights and weights and weights != found.weights:
            text = f"the weights of {name!r} are {found.weights}, not {weights}"
            yield Problem((*path, "weights"), text, "leave 'weights' out, or choose another variant")


def _no_variant(
    path: tuple[str | int, ...], name: str, own: Iterable[str], known: Iterable[str]
) -> Iterator[Problem]:
    """Nothing is called so, or only variants of other LLMs are."""
    of = [each.partition("@")[2] for each in known if each.partition("@")[0] == name]
    if of:
        yield Problem(path, f"{name!r} is of {' or '.join(of)} only")
        return
    near = suggestion(name, [*own, *dict.fromkeys(each.partition("@")[0] for each in known)])
    help_ = f"`edgesim catalog list variant` lists all{_own_section('variant')}"
    yield Problem(path, f"no variant named {name!r}{near}", help_)


def _workloads(data: dict[str, Any]) -> Iterator[Problem]:
    groups = _groups(data)
    deployed = [
        llm for one in _listed(data.get("deployments")) if isinstance(llm := _mapping(one).get("llm"), str)
    ]
    for name, section in _mapping(data.get("workloads")).items():
        workload = _mapping(section)
        yield from _group(("workloads", name, "from"), workload.get("from"), groups)
        llm = workload.get("llm")
        if isinstance(llm, str) and llm not in deployed:
            near = suggestion(llm, deployed)
            yield Problem(("workloads", name, "llm"), f"no deployment of an LLM named {llm!r}{near}")
        paths: dict[tuple[str, ...], Any] = {("path",): workload.get("path")}
        paths |= {(key, "path"): _mapping(value).get("path") for key, value in workload.items()}
        for where, path in paths.items():
            if isinstance(path, str) and not Path(path).is_file():
                yield Problem(("workloads", name, *where), f"no such file: {_shown(path)}")


def _shown(path: str) -> str:
    here = Path.cwd()
    return str(Path(path).relative_to(here)) if Path(path).is_relative_to(here) else path


def _policies(policies: dict[str, Any]) -> Iterator[Problem]:
    for role in ROLES:
        spec = policies.get(role)
        if isinstance(spec, str) or isinstance(
            _mapping(spec).get("kind"), str
        ):  # the schema refuses the rest
            yield from (shifted(problem, "policies", role) for problem in registry.check(role, spec))
