"""Checks that a scenario makes sense as a whole: everything fits, is reachable, and comes to an end."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from edgesim.errors import Problem, ScenarioError
from edgesim.scenario.suits import brings_images, suits, wants_reply
from edgesim.scenario.topology import MOST_NODES
from edgesim.units import format_gigabytes, format_percent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgesim.catalog import Accelerator, Llm
    from edgesim.scenario.deployment import Deployment
    from edgesim.scenario.schema import Scenario
    from edgesim.scenario.topology import Node
    from edgesim.scenario.workload import Workload

_LENGTHS: Final = ("value", "low", "min")
"""Where a distribution says how short its draws can be."""


def check(scenario: Scenario) -> list[Problem]:
    """List what does not make sense in a scenario whose values and names are fine, with paths."""
    return [
        *_size(scenario),
        *_end(scenario),
        *_patterns(scenario),
        *_placement(scenario),
        *_engines(scenario),
        *_memory(scenario),
        *_profiles(scenario),
        *_abilities(scenario),
        *_clocks(scenario),
        *_heat(scenario),
        *_reachability(scenario),
        *_lengths(scenario),
    ]


def _size(scenario: Scenario) -> Iterator[Problem]:
    """All nodes, and all replicas, must fit into memory."""
    groups = scenario.topology.nodes
    replicas = sum(groups[one.on].count * one.replicas for one in scenario.deployments)
    for path, number, what in (
        (("topology", "nodes"), sum(group.count for group in groups.values()), "nodes"),
        (("deployments",), replicas, "replicas"),
    ):
        if number > MOST_NODES:
            yield Problem(path, f"{number:,} {what} are too many; a scenario holds up to {MOST_NODES:,}")


def _end(scenario: Scenario) -> Iterator[Problem]:
    """A run needs an end: a time, a number of requests, or traces that run out."""
    settings = scenario.scenario
    if settings.duration is None and settings.requests is None:
        endless = [name for name, workload in scenario.workloads.items() if not workload.is_trace]
        if endless:
            text = f"the run never ends: workload {endless[0]!r} asks for ever"
            yield Problem(("scenario",), text, "give a 'duration: 10 min' or a number of 'requests: 10000'")


def _patterns(scenario: Scenario) -> Iterator[Problem]:
    """Rings and meshes join nodes with their like, so both groups must be equally large."""
    for index, link in enumerate(scenario.topology.links):
        first, second = (scenario.topology.nodes[name].count for name in link.between)
        if link.pattern != "spread" and first != second:
            text = f"a {link.pattern} joins groups of the same size, not {first} and {second} nodes"
            yield Problem(("topology", "links", index, "pattern"), text)


def _placement(scenario: Scenario) -> Iterator[Problem]:
    """An accelerator belongs to one replica, unless it can switch between LLMs: then deployments take turns."""
    used: dict[str, int] = {}
    for index, deployment in enumerate(scenario.deployments):
        path, node = ("deployments", index), scenario.topology.nodes[deployment.on]
        if node.accelerator is None:
            help_ = f"give {deployment.on!r} an 'accelerator', or deploy elsewhere"
            yield Problem((*path, "on"), f"node {deployment.on!r} has no accelerator", help_)
            continue
        if deployment.tensor_parallel > node.accelerators:
            have = f"node {deployment.on!r} has {_accelerators(node)}"
            yield Problem(
                (*path, "tensor_parallel"), f"tensor_parallel is {deployment.tensor_parallel}, but {have}"
            )
            continue
        before = used.get(deployment.on, 0)
        used[deployment.on] = before + deployment.replicas * deployment.tensor_parallel
        if used[deployment.on] > node.accelerators:
            if scenario.accelerator(node.accelerator).switch_time is not None:
                yield from _turns(scenario, deployment.on, index)
                continue
            yield Problem(
                (*path, "replicas" if deployment.replicas > 1 else "on"),
                f"two replicas cannot share an accelerator; the replicas on node {deployment.on!r} take "
                f"{used[deployment.on]}, it has {node.accelerators}",
                f"give {deployment.on!r} 'accelerators: {used[deployment.on]}', or deploy fewer replicas",
            )


def _turns(scenario: Scenario, group: str, index: int) -> Iterator[Problem]:
    """Deployments that take turns need the whole node for a turn, and room in its memory beside each other."""
    node = scenario.topology.nodes[group]
    sharing = [one for one in scenario.deployments if one.on == group]
    if any((one.replicas, one.tensor_parallel) != (1, node.accelerators) for one in sharing):
        text = f"deployments that take turns on {group!r} need all of its accelerators, and one replica each"
        help_ = f"write tensor_parallel: {node.accelerators} and replicas: 1 for each, or deploy fewer"
        yield Problem(("deployments", index, "on"), text, help_)
    together = sum(one.memory_utilisation for one in sharing)
    if together > 1 + 1e-9:
        text = f"deployments that take turns on {group!r} may use {format_percent(together)} of its memory"
        help_ = f"give each a share, such as memory_utilisation: {90 // len(sharing)} %"
        yield Problem(("deployments", index, "memory_utilisation"), text, help_)


def _accelerators(node: Node) -> str:
    return f"{node.accelerators} accelerator{'' if node.accelerators == 1 else 's'}"


def _engines(scenario: Scenario) -> Iterator[Problem]:
    """An engine runs only where its efficiencies are known."""
    for index, deployment in enumerate(scenario.deployments):
        try:
            scenario.machine(deployment)
        except ValueError as error:
            from edgesim import catalog  # noqa: PLC0415 - only for the message

            known = ", ".join(sorted(catalog.engine(str(deployment.engine)).reaches))
            help_ = f"it is known on: {known}; leave 'engine' out, or give 'costs' of your own"
            yield Problem(("deployments", index, "engine"), str(error), help_)


def _memory(scenario: Scenario) -> Iterator[Problem]:
    """Weights, working memory and at least one sequence must fit into the accelerators of a replica."""
    from edgesim.costs.memory import fit  # noqa: PLC0415 - a layer above that needs nothing of this one
    from edgesim.costs.setting import as_set  # noqa: PLC0415
    from edgesim.costs.stated import stated_by  # noqa: PLC0415

    for index, deployment in enumerate(scenario.deployments):
        node = scenario.topology.nodes[deployment.on]
        if node.accelerator is None or deployment.tensor_parallel > node.accelerators:
            continue
        accelerator = as_set(scenario.accelerator(node.accelerator), node)
        llm = scenario.deployed(deployment)
        if deployment.paging and not accelerator.storage_bandwidth:
            text = f"it is not known how fast {deployment.on!r} reads its storage"
            help_ = f"give {deployment.on!r} e.g. 'storage_bandwidth: 2 GB/s'"
            yield Problem(("deployments", index, "paging"), text, help_)
            continue
        if deployment.context is not None and deployment.context > llm.context:
            text = f"{deployment.llm} sees at most {llm.context} tokens, not {deployment.context}"
            yield Problem(("deployments", index, "context"), text)
        wrong = _experts(deployment, llm)
        if wrong:
            yield Problem(("deployments", index, "expert_parallel"), *wrong)
            continue
        result = fit(accelerator, llm, accelerators=node.accelerators, **stated_by(deployment))
        if not result.fits:
            key = "weights" if "weights" in deployment.model_fields_set else "llm"
            text, help_ = _misfit(scenario, deployment, accelerator, result)
            yield Problem(("deployments", index, key), text, help_)


def _experts(deployment: Deployment, llm: Llm) -> tuple[str, str] | None:
    """Say why experts cannot be spread so, and what to do."""
    spread, tensor = deployment.expert_parallel, deployment.tensor_parallel
    if spread == 1:
        return None
    if llm.moe is None:
        return f"{llm.name} has no experts to spread over accelerators", "leave 'expert_parallel' out"
    if spread % tensor or spread > tensor * deployment.replicas or llm.moe.experts % spread:
        there, most = f"{deployment.replicas} x {tensor} accelerators", tensor * deployment.replicas
        text = f"{llm.moe.experts} experts cannot be spread over {spread} of {there}"
        return text, f"use a multiple of tensor_parallel ({tensor}) up to {most} that divides the experts"
    return None


def _misfit(
    scenario: Scenario, deployment: Deployment, accelerator: Accelerator, result: Any
) -> tuple[str, str]:
    """Say how much is missing, and what would fit."""
    llm = scenario.deployed(deployment)
    weights = format_gigabytes(result.weights)
    offer = f"{deployment.tensor_parallel} x {format_gigabytes(accelerator.memory)} ({accelerator.name})"
    text = f"{llm.name} ({deployment.weights or llm.weights}) needs {weights} of weights; "
    text += f"node {deployment.on!r} offers {offer}"
    if result.weights < accelerator.memory * deployment.tensor_parallel:  # close: say what else takes room
        whole = format_gigabytes(result.needed)
        usable = format_gigabytes(result.available)
        text += f", {usable} of it usable, and {whole} are needed with working memory and one sequence"
    return text, f"use {result.suggestion}" if result.suggestion else ""


def _profiles(scenario: Scenario) -> Iterator[Problem]:
    """Measured costs must be there, and of what is deployed."""
    for index, deployment in enumerate(scenario.deployments):
        accelerator = scenario.topology.nodes[deployment.on].accelerator
        if deployment.costs.kind != "profile" or accelerator is None:
            continue
        if deployment.paging:
            text = "measured times know nothing of paging"
            yield Problem(("deployments", index, "paging"), text, "use kind: roofline")
        from edgesim.costs import profile  # noqa: PLC0415 - brings numpy, which few scenarios need to be checked

        llm = scenario.deployed(deployment)
        try:
            found = profile.read(deployment.costs.path)
            profile.check(found, accelerator, llm, deployment.weights or llm.weights)
        except ScenarioError as error:
            for problem in error.problems:
                yield replace(problem, path=("deployments", index, *problem.path))


def _abilities(scenario: Scenario) -> Iterator[Problem]:
    """Images need an LLM that sees, replies one that writes."""
    for name, workload in scenario.workloads.items():
        path, able = ("workloads", name), _able(scenario, workload)
        if not able and brings_images(workload):
            from edgesim import catalog  # noqa: PLC0415 - only for the message

            seeing = [llm.name for llm in catalog.llms().values() if llm.vision]
            key, why = "images", "no LLM that is deployed sees any"
            help_ = f"deploy one of {', '.join(seeing)}"
            if workload.llm is not None:
                key, why, help_ = "llm", f"{workload.llm} reads text only", f"{help_}, and name it in 'llm'"
            yield Problem((*path, key), f"its requests bring images, but {why}", help_)
        elif not able:
            encoders = " and ".join(dict.fromkeys(one.llm for one in scenario.deployments))
            text = f"its requests want replies, but nothing is deployed that writes any ({encoders})"
            key = "from" if workload.is_trace else "output_tokens"
            yield Problem((*path, key), text, "deploy an LLM that writes, or ask for 'output_tokens: 1'")
        elif (
            workload.llm is not None
            and not workload.is_trace
            and scenario.llm(workload.llm).encoder_only
            and wants_reply(workload)
        ):
            text = f"{workload.llm} is an encoder: it answers with one token and writes no replies"
            yield Problem(
                (*path, "output_tokens"), text, "ask for 'output_tokens: 1', or for an LLM that writes"
            )


def _able(scenario: Scenario, workload: Workload) -> list[Deployment]:
    """The deployments that a workload's requests may be sent to."""
    return [one for one in scenario.deployments if suits(scenario, workload, one)]


def _clocks(scenario: Scenario) -> Iterator[Problem]:
    """Measured times hold at the clocks they were measured at."""
    measured = {one.on for one in scenario.deployments if one.costs.kind == "profile"}
    for name, node in scenario.topology.nodes.items():
        if name not in measured:
            continue
        for key, changed in (("power_mode", node.power_mode is not None), ("frequency", node.frequency != 1)):
            if changed:
                text = f"{name!r} runs a deployment with measured times, which hold at nominal clocks"
                yield Problem(("topology", "nodes", name, key), text, "use kind: roofline there")


def _heat(scenario: Scenario) -> Iterator[Problem]:
    """What warms up needs figures, and thresholds in order."""
    for name, node in scenario.topology.nodes.items():
        if node.thermal is None:
            continue
        path = ("topology", "nodes", name, "thermal")
        if node.accelerator is None:
            help_ = f"give {name!r} an 'accelerator', or leave 'thermal' out"
            yield Problem(path, f"node {name!r} has no accelerator that could warm up", help_)
            continue
        found = node.thermal.merged(scenario.accelerator(node.accelerator))
        missing = [key for key in ("resistance", "capacity", "throttle_at") if found[key] is None]
        if missing:
            text = f"the catalogue does not know how {node.accelerator} warms up"
            given = {"resistance": "8 K/W", "capacity": "60 J/K", "throttle_at": "45 degC"}
            help_ = ", ".join(f"{key}: {given[key]}" for key in missing)
            yield Problem(path, text, f"write e.g. thermal: {{{help_}}}")
        elif (found["slowest_at"] or 0.0) <= (found["throttle_at"] or 0.0):
            text = f"'slowest_at' must be above 'throttle_at', which is {found['throttle_at']:g} degC"
            yield Problem((*path, "slowest_at"), text)


def _reachability(scenario: Scenario) -> Iterator[Problem]:
    """Every workload needs a replica that may serve it and that links lead to."""
    part = _parts(scenario)
    for name, workload in scenario.workloads.items():
        origin = workload.from_
        able = _able(scenario, workload)
        if not able or any(
            one.on == origin or (one.serves == "all" and part[one.on] == part[origin]) for one in able
        ):
            continue
        open_to_all = list(dict.fromkeys(one.on for one in able if one.serves == "all"))
        if open_to_all:
            reach = " or ".join(repr(group) for group in open_to_all)
            text, help_ = f"no links lead from {origin!r} to {reach}", "add a link to topology.links"
        else:
            text = f"the replicas of {' and '.join(repr(one.on) for one in able)} serve only their own node"
            help_ = "deploy on the origin, or set 'serves: all'"
        yield Problem(
            ("workloads", name, "from"), f"requests from {origin!r} reach no replica: {text}", help_
        )


def _parts(scenario: Scenario) -> dict[str, str]:
    """Name the connected part that each group belongs to; a link joins groups as a whole (union-find)."""
    parent = {name: name for name in scenario.topology.nodes}

    def root(name: str) -> str:
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for link in scenario.topology.links:
        first, second = link.between
        parent[root(first)] = root(second)
    return {name: root(name) for name in parent}


def _lengths(scenario: Scenario) -> Iterator[Problem]:
    """Some request of a workload must fit into the context of some replica that may serve it."""
    for name, workload in scenario.workloads.items():
        if workload.is_trace or workload.prompt_tokens is None or workload.output_tokens is None:
            continue
        longest = max([0, *(_context(scenario, one) for one in _able(scenario, workload))])
        least = _least(workload.prompt_tokens) + _least(workload.output_tokens)
        if least > longest > 0:
            text = (
                f"requests take at least {least} tokens, but no replica of theirs holds more than {longest}"
            )
            yield Problem(("workloads", name, _longer(workload)), text)


def _context(scenario: Scenario, deployment: Deployment) -> int:
    """Answer the longest sequence that a replica can ever hold, in context and KV cache."""
    llm = scenario.llm(deployment.llm)
    context = deployment.context or llm.context
    if deployment.kv_tokens is None or llm.encoder_only:
        return context
    cached = deployment.kv_tokens // deployment.block_size * deployment.block_size
    return min(context, cached + 1)  # the last token of a reply is never read again


def _longer(workload: Workload) -> str:
    return max(("prompt_tokens", "output_tokens"), key=lambda key: _least(getattr(workload, key)))


def _least(distribution: Any) -> int:
    """Answer the shortest length that a distribution can draw."""
    known = [getattr(distribution, key) for key in _LENGTHS if getattr(distribution, key, None) is not None]
    if distribution.kind == "empirical" and distribution.values:
        known = [min(distribution.values)]
    return max([1, *map(int, known)])
