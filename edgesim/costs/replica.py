"""From a deployment of a scenario to the step costs of its replicas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from edgesim.costs.linear import Coefficients, linear_step_cost
from edgesim.costs.profile import profile_step_cost, read
from edgesim.costs.roofline import Efficiency, step_cost
from edgesim.costs.stated import stated_by
from edgesim.errors import Problem, ScenarioError

if TYPE_CHECKING:
    from edgesim.catalog import Accelerator, Llm
    from edgesim.costs.step import StepCost


class DeploymentLike(Protocol):
    """What a deployment states, as the scenario has it."""

    @property
    def weights(self) -> str | None: ...  # noqa: D102 - named as in the scenario
    @property
    def kv(self) -> str: ...  # noqa: D102
    @property
    def tensor_parallel(self) -> int: ...  # noqa: D102
    @property
    def expert_parallel(self) -> int: ...  # noqa: D102
    @property
    def max_num_seqs(self) -> int: ...  # noqa: D102
    @property
    def max_batched_tokens(self) -> int: ...  # noqa: D102
    @property
    def block_size(self) -> int: ...  # noqa: D102
    @property
    def memory_utilisation(self) -> float: ...  # noqa: D102
    @property
    def context(self) -> int | None: ...  # noqa: D102
    @property
    def paging(self) -> bool: ...  # noqa: D102
    @property
    def kv_tokens(self) -> int | None: ...  # noqa: D102
    @property
    def costs(self) -> Any: ...  # noqa: D102


class NodeLike(Protocol):
    """What a node states, as the scenario has it."""

    @property
    def accelerators(self) -> int: ...  # noqa: D102
    @property
    def pue(self) -> float: ...  # noqa: D102
    @property
    def host_power(self) -> float: ...  # noqa: D102


def build(accelerator: Accelerator | None, llm: Llm, deployment: DeploymentLike, node: NodeLike) -> StepCost:
    """Build the step costs of one replica of a deployment.

    A replica carries the share of its host's power that it has of the node's accelerators.

    Args:
        accelerator: The node's; None only with linear costs.
        llm: What is deployed.
        deployment: Number formats, parallelism, limits of the engine, and the cost model.
        node: Where it runs.
    """
    shared: dict[str, Any] = {
        **stated_by(deployment),
        "pue": node.pue,
        "host_power": node.host_power * deployment.tensor_parallel / node.accelerators,
    }
    costs = deployment.costs
    if costs.kind == "linear":
        return linear_step_cost(accelerator, llm, _coefficients(costs), power=costs.power, **shared)
    if accelerator is None:
        problem = Problem(
            ("costs",),
            f"{costs.kind} costs need an accelerator",
            "name the node's accelerator, or use kind: linear",
        )
        raise ScenarioError([problem])
    if costs.kind == "profile":
        return profile_step_cost(
            accelerator,
            llm,
            read(costs.path),
            step_overhead=costs.step_overhead,
            sequence_overhead=costs.sequence_overhead,
            time_factor=costs.time_factor,
            **shared,
        )
    given = Efficiency(
        compute_efficiency=costs.compute_efficiency,
        memory_efficiency=costs.memory_efficiency,
        attention_efficiency=costs.attention_efficiency,
        layer_overhead=costs.layer_overhead,
        step_overhead=costs.step_overhead,
    )
    return step_cost(accelerator, llm, efficiency=given, **shared)


def _coefficients(costs: Any) -> Coefficients:
    return Coefficients(
        prefill_base=costs.prefill.base,
        prefill_per_token=costs.prefill.per_token,
        prefill_per_token_squared=costs.prefill.per_token_squared,
        decode_base=costs.decode.base,
        decode_per_sequence=costs.decode.per_sequence,
        decode_per_context_token=costs.decode.per_context_token,
    )
