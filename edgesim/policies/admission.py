"""Admission: whether a request may go where the router wants it to go."""

# ruff: noqa: ARG002, D102 - a hook has one signature and one contract, both stated by the base class

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from pydantic import NonNegativeInt, PositiveInt  # noqa: TC002 - read when parameters are validated

from edgesim.policies.answers import Accept, Defer, Reject
from edgesim.policies.base import Policy
from edgesim.registry import register
from edgesim.units import Rate  # noqa: TC001

if TYPE_CHECKING:
    from edgesim.policies.views import Draw, ReplicaView, RequestView, SystemView

    Admit: TypeAlias = bool | Accept | Reject | Defer


class Admission(Policy):
    """Lets requests in, refuses them, or makes them wait.

    Asked after the router chose a replica and before anything is sent to it; for a hedged request once for
    each copy.
    """

    role = "admission"
    hook = "admit"

    def admit(self, request: RequestView, replica: ReplicaView, view: SystemView) -> Admit:
        """Answer `True` (or `Accept()`), `Reject(reason)` or `Defer(until_s)`.

        Args:
            request: The request to let in.
            replica: Where the router wants to send it.
            view: The system, at this moment.
        """
        raise NotImplementedError


@register("accept-all")
class AcceptAll(Admission):
    """Let everything in."""

    def admit(self, request: RequestView, replica: ReplicaView, view: SystemView) -> Admit:
        return True


@register("queue-limit")
class QueueLimit(Admission):
    """Refuse requests for a replica whose queue is full.

    Attributes:
        max_queue: Requests that may wait at a replica, or be on their way to it.
    """

    max_queue: NonNegativeInt

    def admit(self, request: RequestView, replica: ReplicaView, view: SystemView) -> Admit:
        return True if replica.queue_length < self.max_queue else Reject("queue-full")


@register("token-bucket")
class TokenBucket(Admission):
    """Refuse requests beyond a rate, with room for bursts; one bucket for the whole system.

    Attributes:
        rate: Requests let in per second in the long run.
        burst: Requests let in at once after a quiet time.
    """

    rate: Rate
    burst: PositiveInt = 1

    def setup(self, system: SystemView, random: Draw) -> None:
        self._filled_at = system.now
        self._level = float(self.burst)

    def admit(self, request: RequestView, replica: ReplicaView, view: SystemView) -> Admit:
        self._level = min(self.burst, self._level + (view.now - self._filled_at) * self.rate)
        self._filled_at = view.now
        if self._level < 1:
            return Reject("rate-limit")
        self._level -= 1
        return True
