"""Schedulers: in which order the requests that wait at a replica start, or who takes part in each of its steps."""

# ruff: noqa: ARG002, D102 - a hook has one signature and one contract, both stated by the base class

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

from edgesim.policies.base import Policy
from edgesim.registry import register

if TYPE_CHECKING:
    from edgesim.policies.steps import BatchView, Plan
    from edgesim.policies.views import ReplicaView, RequestView, SystemView


class Scheduler(Policy):
    """Ranks requests for the waiting queue of a replica, or forms its steps.

    `rank` is the simple form: it is asked once for each attempt of a request, when it is sent to the replica; the
    engine forms the steps, and what runs already keeps running. A scheduler that defines `schedule`, too, or
    instead, forms the steps itself: it is asked at a step boundary whenever the batch has changed since its last
    answer or that answer is over, and says who decodes, who reads how much of its prompt, who is preempted and who
    pauses. Its answers are checked; one that cannot be carried out ends the run.
    """

    role = "scheduler"
    hook = "rank"
    other_hooks = ("schedule",)
    either_hook = True

    every_step: ClassVar[bool] = False
    """Whether `schedule` wants to be asked at every step boundary."""

    def rank(self, request: RequestView, replica: ReplicaView, view: SystemView) -> float:
        """Answer a number: smaller ones start first, equal ones in the order in which they came.

        Args:
            request: The request that joins the queue.
            replica: The replica whose queue it joins.
            view: The system, at this moment.
        """
        raise NotImplementedError

    def schedule(self, view: BatchView) -> Plan:
        """Answer the next step of a replica.

        Args:
            view: The replica and its requests, at this moment; there is at least one.
        """
        raise NotImplementedError

    @property
    def forms_steps(self) -> bool:
        """Does it form the steps of replicas?"""
        return type(self).schedule is not Scheduler.schedule

    @property
    def ranks(self) -> bool:
        """Does it order the waiting otherwise than first come, first served?"""
        return type(self).rank not in {Scheduler.rank, FirstComeFirstServed.rank}


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
