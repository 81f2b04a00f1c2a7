"""What suits a workload: the deployments whose LLM can read what it asks and write what it wants."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgesim.scenario.deployment import Deployment
    from edgesim.scenario.schema import Scenario
    from edgesim.scenario.workload import Workload


def suits(scenario: Scenario, workload: Workload, deployment: Deployment) -> bool:
    """Can requests of a workload be sent to the replicas of a deployment?

    Requests that name an LLM go there. Images need an LLM that sees; a reply of more than one token needs one that
    writes, which encoders do not.
    """
    llm = scenario.llm(deployment.llm)
    if workload.llm not in (None, deployment.llm) or (brings_images(workload) and llm.vision is None):
        return False
    return not (llm.encoder_only and workload.llm is None and wants_reply(workload))


def brings_images(workload: Workload) -> bool:
    """May its requests hold images?"""
    return _most(workload.images) > 0


def wants_reply(workload: Workload) -> bool:
    """May its requests want more than one token? Nobody knows what a trace wants before it is read."""
    return workload.output_tokens is None or _most(workload.output_tokens) > 1


def _most(distribution: Any) -> float:
    """Answer the largest number that a distribution can draw; infinite if it has no bound or is not read yet."""
    if distribution.kind == "empirical" and distribution.values:
        return float(max(distribution.values))
    known = (getattr(distribution, key, None) for key in ("value", "high", "max"))
    return float(next((bound for bound in known if bound is not None), math.inf))
