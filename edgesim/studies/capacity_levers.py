"""What a capacity search varies: the load, the number of replicas, the mix of hardware."""

from __future__ import annotations

import itertools
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from edgesim.errors import Problem, ScenarioError
from edgesim.registry import UnknownNameError, suggestion

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from edgesim.scenario import Scenario
    from edgesim.scenario.deployment import Deployment
    from edgesim.scenario.topology import Node
    from edgesim.scenario.workload import Workload

_FASTER: Final = {
    "poisson": ("rate",),
    "gamma": ("rate",),
    "diurnal": ("rate",),
    "mmpp": ("rate_on", "rate_off"),
    "on-off": ("rate_on", "rate_off"),
}
"""Keys of arrivals that are multiplied."""
_SLOWER: Final = {"periodic": ("period", "jitter")}
"""Keys of arrivals that are divided."""


class Load:
    """The rate at which requests come: all open workloads by one factor, users who wait for answers unchanged.

    Random draws stay the same whatever the factor, only closer together or farther apart.

    Args:
        scenario: The scenario as it stands, factor 1.

    Raises:
        ScenarioError: All workloads are users who wait for answers.
    """

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        if not any(_is_open(workload) for workload in scenario.workloads.values()):
            text = "all requests come from users who wait for answers: there is no rate to vary"
            help_ = "take open arrivals such as poisson, or search with --replicas or --mix"
            raise ScenarioError([Problem(("workloads",), text, help_)])

    def at(self, factor: float) -> Scenario:
        """The scenario under that many times the load."""
        workloads = {name: _scaled(workload, factor) for name, workload in self._scenario.workloads.items()}
        return self._scenario.model_copy(update={"workloads": workloads})

    def rate(self, factor: float = 1.0) -> float | None:
        """Requests per second that are offered; None where only a run can tell (traces, sessions, users)."""
        rates = [
            _rate(workload, self._scenario.topology.nodes[workload.from_].count)
            for workload in self._scenario.workloads.values()
        ]
        return None if None in rates else factor * math.fsum(rate for rate in rates if rate is not None)


def _is_open(workload: Workload) -> bool:
    return workload.is_trace or (workload.arrivals is not None and workload.arrivals.kind != "closed-loop")


def _scaled(workload: Workload, factor: float) -> Workload:
    if workload.is_trace:
        return workload.model_copy(update={"time_scale": workload.time_scale / factor})
    arrivals: Any = workload.arrivals
    changed = {key: getattr(arrivals, key) * factor for key in _FASTER.get(arrivals.kind, ())}
    changed |= {key: getattr(arrivals, key) / factor for key in _SLOWER.get(arrivals.kind, ())}
    return workload.model_copy(update={"arrivals": arrivals.model_copy(update=changed)})


def _rate(workload: Workload, nodes: int) -> float | None:
    """Mean rate of a workload [1/s]."""
    arrivals: Any = workload.arrivals
    if arrivals is None or workload.session is not None or arrivals.kind == "closed-loop":
        return None
    many = nodes if arrivals.per == "node" else 1
    if arrivals.kind == "periodic":
        return float(many / arrivals.period)
    if "rate" in _FASTER[arrivals.kind]:
        return float(arrivals.rate * many)
    on, off = arrivals.mean_on, arrivals.mean_off
    return float(many * (arrivals.rate_on * on + arrivals.rate_off * off) / (on + off))


class Replicas:
    """How many replicas there are: nodes of a group, or replicas of a deployment on each of its nodes.

    A deployment whose replicas have accelerators of their own keeps them so: its nodes get as many as are needed.

    Args:
        scenario: The scenario as it stands.
        name: A node group, or a deployment: "node/name", its name, or its LLM.

    Raises:
        ScenarioError: There is no such thing, or several of that name.
    """

    def __init__(self, scenario: Scenario, name: str) -> None:
        self._scenario = scenario
        self.group: str | None = name if name in scenario.topology.nodes else None
        self.index = -1
        if self.group is not None:
            if not any(one.on == name for one in scenario.deployments):
                raise _unknown(f"nothing is deployed on {name!r}", name, scenario)
            self.now = scenario.topology.nodes[name].count
            return
        fitting = [i for i, one in enumerate(scenario.deployments) if name in _names(one)]
        if len(fitting) != 1:
            text = "no deployment or node group" if not fitting else "several deployments"
            raise _unknown(f"{text} named {name!r}", name, scenario)
        self.index = fitting[0]
        self.now = scenario.deployments[self.index].replicas

    def at(self, number: int) -> Scenario:
        """The scenario with that many."""
        if self.group is not None:
            return _with_node(self._scenario, self.group, {"count": number})
        deployments = list(self._scenario.deployments)
        group = deployments[self.index].on
        deployments[self.index] = deployments[self.index].model_copy(update={"replicas": number})
        changed = self._scenario.model_copy(update={"deployments": tuple(deployments)})
        if self._scenario.takes_turns(group):
            return changed
        needed = sum(one.replicas * one.tensor_parallel for one in deployments if one.on == group)
        have = self._scenario.topology.nodes[group].accelerators
        return _with_node(changed, group, {"accelerators": max(have, needed)})


def _names(deployment: Deployment) -> set[str]:
    return {deployment.name, deployment.llm, f"{deployment.on}/{deployment.name}"}


def _unknown(text: str, name: str, scenario: Scenario) -> ScenarioError:
    known = [*(f"{one.on}/{one.name}" for one in scenario.deployments)]
    known = [*dict.fromkeys(one.on for one in scenario.deployments), *known]
    return ScenarioError(
        [Problem((), f"{text}{suggestion(name, known)}", f"known: {', '.join(known)}", file="--replicas")]
    )


def _with_node(scenario: Scenario, group: str, changed: Mapping[str, Any]) -> Scenario:
    nodes = dict(scenario.topology.nodes)
    nodes[group] = nodes[group].model_copy(update=dict(changed))
    topology = scenario.topology.model_copy(update={"nodes": nodes})
    return scenario.model_copy(update={"topology": topology})


@dataclass(frozen=True)
class Choice:
    """What a node group may be made of.

    Attributes:
        group: The node group.
        accelerators: Accelerators to choose from.
        least: Fewest nodes.
        most: Most nodes.
    """

    group: str
    accelerators: tuple[str, ...]
    least: int
    most: int


_CHOICE: Final = re.compile(r"\s*([^:]+?)\s*:\s*(.+?)(?:\s+[x×]\s*(\d+)(?:\s*\.\.\s*(\d+))?)?\s*")  # noqa: RUF001


def choices(text: str, scenario: Scenario) -> tuple[Choice, ...]:
    """Read choices such as "edge: nvidia-l4|nvidia-a10 x 1..4; cloud: nvidia-h100-sxm x 1..2".

    Raises:
        ScenarioError: With everything that is wrong.
    """
    found: list[Choice] = []
    problems: list[Problem] = []
    for part in filter(str.strip, text.split(";")):
        match = _CHOICE.fullmatch(part)
        if match is None:
            help_ = "write e.g. 'edge: nvidia-l4|nvidia-a10 x 1..4'"
            problems.append(Problem((), f"{part.strip()!r} is no choice", help_, file="--mix"))
            continue
        group, listed, least, most = match.groups()
        names = tuple(name.strip() for name in listed.split("|"))
        low = int(least) if least else 1
        found.append(Choice(group, names, low, int(most) if most else (low if least else 1)))
    if not found and not problems:
        problems.append(Problem((), "no choice is given", file="--mix"))
    problems += [problem for choice in found for problem in checked(choice, scenario)]
    if problems:
        raise ScenarioError(problems)
    return tuple(found)


def checked(choice: Choice, scenario: Scenario) -> Iterator[Problem]:
    """List what is wrong with a choice."""
    nodes = scenario.topology.nodes
    if choice.group not in nodes:
        near = suggestion(choice.group, nodes)
        help_ = f"known: {', '.join(nodes)}"
        yield Problem((), f"no node group named {choice.group!r}{near}", help_, file="--mix")
    if not 1 <= choice.least <= choice.most:
        yield Problem((), f"{choice.least}..{choice.most} is no range of at least one node", file="--mix")
    for name in choice.accelerators:
        try:
            scenario.accelerator(name)
        except UnknownNameError as error:
            yield Problem((), str(error), "`edgesim catalog list accelerator` lists them", file="--mix")


class Mix:
    """Which hardware, and how much of it.

    Args:
        scenario: The scenario as it stands.
        offered: What there is to choose.
    """

    def __init__(self, scenario: Scenario, offered: tuple[Choice, ...]) -> None:
        self._scenario = scenario
        self.offered = offered

    @property
    def size(self) -> int:
        """How many mixes there are."""
        return math.prod(len(one.accelerators) * (one.most - one.least + 1) for one in self.offered)

    def all(self) -> Iterator[dict[str, str | int]]:
        """Every mix, as the key of its point."""
        each: list[list[dict[str, str | int]]] = [
            [
                {one.group: name, f"{one.group} x": count}
                for name in one.accelerators
                for count in range(one.least, one.most + 1)
            ]
            for one in self.offered
        ]
        for parts in itertools.product(*each):
            yield {key: value for part in parts for key, value in part.items()}

    def at(self, key: Mapping[str, Any]) -> Scenario:
        """The scenario with a mix.

        Raises:
            ScenarioError: It does not work, such as an LLM that does not fit.
        """
        from edgesim.scenario.check import check  # noqa: PLC0415 - reads the catalogue

        changed = self._scenario
        for one in self.offered:
            update = {"accelerator": key[one.group], "count": key[f"{one.group} x"]}
            changed = _with_node(changed, one.group, update)
        if problems := check(changed):
            raise ScenarioError(problems)
        return changed

    def price(self, scenario: Scenario) -> float:
        """What the accelerators of a scenario cost to have, busy or not, without electricity [USD/h].

        Raises:
            ScenarioError: One that can be chosen has no price, so that it would always win.
        """
        deployed = {one.on for one in scenario.deployments}
        nodes = scenario.topology.nodes
        return math.fsum(self._price(name, nodes[name]) for name in nodes if name in deployed)

    def _price(self, group: str, node: Node) -> float:
        if node.accelerator is None:
            return 0.0
        price = node.price if node.price is not None else self._scenario.accelerator(node.accelerator).price
        if not price and any(one.group == group for one in self.offered):
            text = f"{node.accelerator} has no price, so mixes cannot be compared by cost"
            help_ = f"state the 'price' of node '{group}', e.g. 0.80 $/h, or search with --objective energy"
            raise ScenarioError([Problem(("topology", "nodes", group), text, help_)])
        return float(price) * node.accelerators * node.count
