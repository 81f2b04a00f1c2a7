"""Schedulers: in which order the requests that wait at a replica start."""

# ruff: noqa: ARG002, D102 - a hook has one signature and one contract, both stated by the base class

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from edgesim.policies.base import Policy
from edgesim.registry import register

if TYPE_CHECKING:
    from edgesim.policies.views import ReplicaView, RequestView, SystemView


class Scheduler(Policy):
    """Ranks requests for the waiting queue of a replica.

    Asked once for each attempt of a request, when it joins the queue. What runs already keeps running.
    """

    role = "scheduler"
    hook = "rank"

    def rank(self, request: RequestView, replica: ReplicaView, view: SystemView) -> float:
        """Answer a number: smaller ones start first, equal ones in the order in which they came.

        Args:
            request: The request that joins the queue.
            replica: The replica whose queue it joins.
            view: The system, at this moment.
        """
        raise NotImplementedError


@register("fcfs")
class FirstComeFirstServed(Scheduler):
    """Start requests in the order in which they came."""

    def rank(self, request: RequestView, replica: ReplicaView, view: SystemView) -> float:
        return 0


@register("priority")
class Priority(Scheduler):
    """Start the most urgent requests first."""

    def rank(self, request: RequestView, replica: ReplicaView, view: SystemView) -> float:
        return request.priority


@register("shortest-predicted-first")
class ShortestPredictedFirst(Scheduler):
    """Start the requests first whose replies are predicted to be short."""

    def rank(self, request: RequestView, replica: ReplicaView, view: SystemView) -> float:
        return request.predicted_output_tokens


@register("earliest-deadline")
class EarliestDeadline(Scheduler):
    """Start the requests with the nearest deadline first, those without one last."""

    def rank(self, request: RequestView, replica: ReplicaView, view: SystemView) -> float:
        return math.inf if request.deadline_at is None else request.deadline_at
