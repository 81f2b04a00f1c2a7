"""The whole scenario: all sections of the YAML file as one frozen object, in SI units."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final, Literal

from pydantic import Field, model_validator

from edgesim.scenario.base import Name, Section
from edgesim.scenario.capacity import CapacitySection
from edgesim.scenario.deployment import Deployment
from edgesim.scenario.settings import Energy, Output, Policies, Settings, Slo
from edgesim.scenario.topology import Topology
from edgesim.scenario.workload import Workload

if TYPE_CHECKING:
    from edgesim.catalog import Accelerator, Llm, Variant


ROLES: Final = ("router", "scheduler", "admission", "cache")
"""Keys of the section `policies` that the registry knows as roles."""


class Scenario(Section):
    """A system, what it is asked, who decides, and how it is judged."""

    scenario: Settings = Field(description="What is run: name, seed, length, repetitions.")
    topology: Topology = Field(description="Tiers, nodes and links.")
    accelerators: dict[Name, dict[str, Any]] = Field(
        default={},
        description="Accelerators of your own: `like` one of the catalogue, with other figures.",
        examples=[{"my-gpu": {"like": "nvidia-l4", "memory": "48 GB", "price": "0.5 $/h"}}],
    )
    llms: dict[Name, dict[str, Any]] = Field(
        default={},
        description="LLMs of your own: `like` one of the catalogue, with other figures.",
        examples=[{"my-llm": {"like": "llama-3.1-8b", "context": 32768}}],
    )
    variants: dict[Name, dict[str, Any]] = Field(
        default={},
        description="Variants of your own: `like` one of the catalogue, or by technique and figures.",
        examples=[{"my-pruned": {"technique": "pruned", "depth": "80 %", "relative_quality": "94 %"}}],
    )
    deployments: tuple[Deployment, ...] = Field(description="Which LLM runs where.", min_length=1)
    workloads: dict[Name, Workload] = Field(description="Streams of requests by name.", min_length=1)
    policies: Policies = Field(default=Policies(), description="Who decides.")
    plugins: tuple[str, ...] = Field(
        default=(),
        description="Python files with policies of your own, relative to this file.",
        examples=[["my_router.py"]],
    )
    slo: Slo = Field(default=Slo(), description="Service-level objectives by metric.")
    capacity: CapacitySection | None = Field(
        default=None, description="What `edgesim capacity` looks for, unless the command line says it."
    )
    energy: Energy = Field(default=Energy(), description="How energy is accounted.")
    output: Output = Field(default=Output(), description="What is written, and where.")
    engine: Literal["auto", "kernel", "reference"] = Field(
        default="auto",
        description="What simulates: the compiled kernel, its readable twin, or the faster that can.",
    )

    @model_validator(mode="before")
    @classmethod
    def _with_defaults_by_tier(cls, value: Any) -> Any:
        """Fill in what depends on more than one section: batches of one on devices, names of deployments."""
        if not isinstance(value, dict) or not isinstance(value.get("deployments"), list | tuple):
            return value
        taken = {
            (str(one.get("on")), str(one["name"]))
            for one in value["deployments"]
            if isinstance(one, dict) and "name" in one
        }
        deployments = [
            _filled(one, _tier(value, one), taken) if isinstance(one, dict) else one
            for one in value["deployments"]
        ]
        return value | {"deployments": deployments}

    @classmethod
    def keys(cls) -> dict[str, str]:
        """Answer the keys that may be written; two of them are read before the scenario itself is."""
        return super().keys() | {"extends": "extends", "sweep": "sweep"}

    @property
    def name(self) -> str:
        """Name of the scenario."""
        return self.scenario.name

    @property
    def reads_requests(self) -> bool:
        """Whether requests, or their lengths, come from files."""
        parts = [part for load in self.workloads.values() for part in (load, *vars(load).values())]
        return any(getattr(part, "path", None) is not None for part in parts)

    def accelerator(self, name: str) -> Accelerator:
        """Look up an accelerator, the scenario's own first.

        Raises:
            UnknownNameError: Neither the scenario nor the catalogue has it.
        """
        from edgesim import catalog  # noqa: PLC0415 - reading it takes time that not every command has
        from edgesim.registry import UnknownNameError  # noqa: PLC0415

        if name in self.accelerators:
            return catalog.accelerator_from(name, self.accelerators[name])
        try:
            return catalog.accelerator(name)
        except UnknownNameError as error:
            raise UnknownNameError(error.kind, name, (*self.accelerators, *error.known)) from None

    def machine(self, deployment: Deployment) -> Accelerator | None:
        """The accelerator of a deployment, as its engine uses it and its node sets it; None where there is none.

        Raises:
            ValueError: The engine does not run there.
        """
        from edgesim import catalog  # noqa: PLC0415 - reading it takes time that not every command has
        from edgesim.costs.setting import as_set  # noqa: PLC0415

        node = self.topology.nodes[deployment.on]
        if node.accelerator is None:
            return None
        found = self.accelerator(node.accelerator)
        if deployment.engine is not None:
            found = catalog.engine(deployment.engine).under(found)
        return as_set(found, node)

    def takes_turns(self, group: str) -> bool:
        """Whether the replicas on each node of a group need more accelerators than it has."""
        deployed = [one for one in self.deployments if one.on == group]
        taken = sum(one.replicas * one.tensor_parallel for one in deployed)
        return taken > self.topology.nodes[group].accelerators

    def llm(self, name: str) -> Llm:
        """Look up an LLM, the scenario's own first.

        Raises:
            UnknownNameError: Neither the scenario nor the catalogue has it.
        """
        from edgesim import catalog  # noqa: PLC0415 - reading it takes time that not every command has
        from edgesim.registry import UnknownNameError  # noqa: PLC0415

        if name in self.llms:
            return catalog.llm_from(name, self.llms[name])
        try:
            return catalog.llm(name)
        except UnknownNameError as error:
            raise UnknownNameError(error.kind, name, (*self.llms, *error.known)) from None

    def variant(self, name: str, of: str) -> Variant:
        """Look up a variant or adapter of an LLM, the scenario's own first.

        Raises:
            UnknownNameError: Neither the scenario nor the catalogue has it.
        """
        from edgesim import catalog  # noqa: PLC0415 - reading it takes time that not every command has

        return (
            catalog.variant_from(name, self.variants[name])
            if name in self.variants
            else catalog.variant(name, of)
        )

    def deployed(self, deployment: Deployment) -> Llm:
        """The LLM of a deployment as it runs there: its variant, with its number format and adapter.

        A number format with fewer bits than the LLM's own counts as the variant of that name.
        """
        from edgesim import catalog  # noqa: PLC0415 - reading it takes time that not every command has
        from edgesim.costs.llm import weight_bytes  # noqa: PLC0415

        llm, weights = self.llm(deployment.llm), deployment.weights
        names = [name for name in (deployment.variant, deployment.adapter) if name is not None]
        changes = [self.variant(name, deployment.llm) for name in names]
        known = weights is None or any(change.weights for change in changes)
        if weights is not None and not known and weight_bytes(weights) < weight_bytes(llm.weights):
            changes.append(catalog.variant(weights, deployment.llm))
        return catalog.varied(llm, *changes)

    def resolved_yaml(self) -> str:
        """Write the scenario with everything spelled out; loading that gives an equal scenario."""
        from edgesim.scenario.text import dump  # noqa: PLC0415 - Python users may never write YAML

        return dump(self.model_dump(mode="json", exclude_none=True))

    def _repr_html_(self) -> str:
        """Show the system as tables in a notebook."""
        from edgesim.scenario.card import card  # noqa: PLC0415 - only notebooks ask

        return card(self)

    def digest(self) -> str:
        """Answer the SHA-256 of the resolved text: equal for scenarios that mean the same."""
        return hashlib.sha256(self.resolved_yaml().encode()).hexdigest()


def _tier(scenario: dict[str, Any], deployment: dict[str, Any]) -> object:
    """Find the tier of a deployment in data that may be wrong in any way."""
    found: Any = scenario
    for key in ("topology", "nodes", deployment.get("on"), "tier"):
        found = found.get(key) if isinstance(found, dict) and isinstance(key, str) else None
    return found


def _filled(deployment: dict[str, Any], tier: object, taken: set[tuple[str, str]]) -> dict[str, Any]:
    filled = dict(deployment)
    if tier == "device":
        filled.setdefault("max_num_seqs", 1)
        filled.setdefault("serves", "own")
    if "name" not in filled:
        parts = (filled.get("llm"), filled.get("variant"), filled.get("adapter"))
        on, name = str(filled.get("on")), ":".join(str(part) for part in parts if part)
        counted = (name, *(f"{name}#{number}" for number in range(2, len(taken) + 3)))
        filled["name"] = next(each for each in counted if (on, each) not in taken)
        taken.add((on, filled["name"]))
    return filled
