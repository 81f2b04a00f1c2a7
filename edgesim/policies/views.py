"""What a policy may read: the request, the replicas that could serve it, and the system around them.

Views are read-only windows on the running simulation: they answer for the present moment, from completed
engine steps only, and cost nothing until they are read. Keep numbers, not views: a view kept beyond the call
it came with shows a later time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgesim.policies.answers import Estimate


class RequestView(Protocol):
    """One request, as whoever routes it can know it."""

    @property
    def id(self) -> int:
        """Number of the request, in order of arrival over the whole run."""

    @property
    def workload(self) -> str:
        """Name of the workload it belongs to."""

    @property
    def session(self) -> int:
        """Number of the session, whose requests share their history; one that stands alone has its own."""

    @property
    def origin(self) -> str:
        """Name of the node where it was asked, such as "phone[17]"."""

    @property
    def origin_tier(self) -> str:
        """Tier of that node."""

    @property
    def tenant(self) -> str:
        """Whom it is served for."""

    @property
    def privacy(self) -> str:
        """Class of its data: "public", "personal" or "regulated"."""

    @property
    def priority(self) -> int:
        """Urgency; smaller is more urgent."""

    @property
    def prompt_tokens(self) -> int:
        """Length of its input [tokens]."""

    @property
    def predicted_output_tokens(self) -> int:
        """Length of the reply that the workload's predictor expects [tokens]."""

    @property
    def images(self) -> int:
        """How many images come with the prompt."""

    @property
    def arrived_at(self) -> float:
        """When it was asked [s]."""

    @property
    def deadline_at(self) -> float | None:
        """When the reply must be complete [s]; None if any time will do."""

    @property
    def attempts(self) -> int:
        """How many times it was sent to a replica before."""

    @property
    def output_tokens(self) -> int:
        """True length of the reply [tokens].

        Raises:
            PolicyError: The policy does not say `oracle = True`; no real controller knows this.
        """


class ReplicaView(Protocol):
    """One replica, seen from the request that is being decided."""

    @property
    def index(self) -> int:
        """Number of the replica in the fleet; stays the same for the whole run."""

    @property
    def name(self) -> str:
        """Name of the replica, such as "cloud/llama-3.1-70b[0]"."""

    @property
    def node(self) -> str:
        """Name of the node it runs on."""

    @property
    def tier(self) -> str:
        """Tier of that node."""

    @property
    def llm(self) -> str:
        """Name of the LLM it serves."""

    @property
    def quality(self) -> float:
        """Score of its answers: of its LLM as it is deployed, 0 to 1; 1 if nothing is known."""

    @property
    def local(self) -> bool:
        """Whether it runs on the node where the request was asked."""

    @property
    def queue_length(self) -> int:
        """Requests that have not started there: waiting, or still on their way to it."""

    @property
    def running(self) -> int:
        """Requests in its batch."""

    @property
    def outstanding_requests(self) -> int:
        """Requests sent to it and not finished: `queue_length` plus `running`."""

    @property
    def outstanding_tokens(self) -> int:
        """Work left in those requests: prompt tokens to prefill plus predicted tokens to decode."""

    @property
    def free_kv_tokens(self) -> int:
        """Room left in its KV cache [tokens]."""

    @property
    def kv_capacity_tokens(self) -> int:
        """Size of its KV cache [tokens]."""

    @property
    def max_num_seqs(self) -> int:
        """Largest batch it runs."""

    @property
    def latency(self) -> float:
        """One-way propagation delay from the request's origin [s]."""

    @property
    def price(self) -> float:
        """Price of the accelerators it holds [USD/h]."""


class PrefixView(Protocol):
    """Computed blocks that begin prompts, at one replica: a workload's shared beginning, a session, a trace's block."""

    @property
    def blocks(self) -> int:
        """KV blocks it holds."""

    @property
    def hits(self) -> int:
        """How many requests it served, the one that computed it included."""

    @property
    def created(self) -> int:
        """How many were made at this replica before it."""

    @property
    def last_used_at(self) -> float:
        """When the last request that used it left [s]."""

    @property
    def depth(self) -> int:
        """How many others it continues."""

    @property
    def clock(self) -> float:
        """Rank of what this replica forgot last; 0 before."""

    @property
    def next_use(self) -> int:
        """Number of the request that next asks for it; very large if none does. Only for policies with `oracle`."""


class SystemView(Protocol):
    """Everything around the decision that is neither the request nor one replica."""

    @property
    def now(self) -> float:
        """Simulated time [s]."""

    @property
    def tiers(self) -> Sequence[str]:
        """Names of the tiers, from the devices upward."""

    def estimate(self, request: RequestView, replica: ReplicaView) -> Estimate:
        """Predict what serving the request there would take, by the simulator's own cost model.

        It counts the transfer of the prompt over idle links, the work queued at the replica now, and the
        request's predicted output length (the true one for a policy with `oracle = True`).
        """


class Draw(Protocol):
    """Uniform numbers in [0, 1) as a pure function of (request number, index): no hidden state."""

    def __call__(self, request: int, index: int, /) -> float:
        """Answer the same number whenever asked the same."""
