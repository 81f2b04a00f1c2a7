"""What policies answer, and what they are told afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgesim.policies.views import ReplicaView


class Accept(NamedTuple):
    """Let the request go on; `True` says the same."""

    def __bool__(self) -> bool:
        return True


class Reject(NamedTuple):
    """Refuse the request; it ends now."""

    reason: str
    """A short fixed phrase, such as "queue-full": results count requests by it."""


class Defer(NamedTuple):
    """Ask again later; the request waits where it was asked, and nothing is sent yet."""

    until_s: float
    """When to ask again [s of simulated time]; later than now."""


class Hedge(NamedTuple):
    """Send copies to several replicas; the first that answers wins, and the others are cancelled."""

    replicas: Sequence[ReplicaView]


class Estimate(NamedTuple):
    """What serving a request at a replica would take, as predicted by the cost model."""

    latency_s: float
    """From the question to the last token, at the client [s]."""
    ttft_s: float
    """From the question to the first token, at the client [s]."""
    energy_j: float
    """Computing and network together [J]."""
    cost_usd: float


class DecisionCost(NamedTuple):
    """What it takes to decide."""

    time_s: float
    """How much later the decision takes effect [s]."""
    energy_j: float = 0.0
    """What the request pays for it [J]."""


class Decision(NamedTuple):
    """One choice that a policy took, as handed back with its outcome."""

    request: int
    """Number of the request."""
    decided_at: float
    """[s of simulated time]."""
    replica: int
    """Index of the chosen replica; -1 if there was none."""


class Outcome(NamedTuple):
    """How a request ended that a policy had decided on."""

    status: str
    """One of "completed", "rejected", "failed", "abandoned"."""
    reason: str
    """Why it did not complete; empty if it did."""
    replica: int
    """Index of the replica that answered; -1 if none did."""
    finished_at: float
    """[s of simulated time]."""
    ttft_s: float | None
    """Time to the first token at the client [s]; None if no token came."""
    latency_s: float
    """From the question to the end [s]."""
    output_tokens: int
    energy_j: float
    cost_usd: float
    quality: float
