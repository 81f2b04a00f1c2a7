"""Steps: what a scheduler that forms them sees of a replica, and what it answers.

Views answer for the moment of the call, from completed steps only. Keep numbers, not views.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from edgesim.policies.views import RequestView

if TYPE_CHECKING:
    from collections.abc import Sequence

State = Literal["waiting", "swapped", "prefilling", "decoding"]
"""Where a request stands at its replica: in the queue, with its KV cache in host memory, or holding KV blocks with a
prompt that is not read yet, or that is."""


class LegView(RequestView, Protocol):
    """One request at the replica whose next step is formed."""

    @property
    def state(self) -> State:
        """Where it stands; a paused request is still "prefilling" or "decoding"."""

    @property
    def unread_tokens(self) -> int:
        """Tokens left to read before it decodes: of its prompt, and after recomputation of its reply so far."""

    @property
    def generated_tokens(self) -> int:
        """Tokens of its reply so far."""

    @property
    def predicted_remaining_tokens(self) -> int:
        """Tokens that the predictor still expects; 0 if it expected fewer than there are."""

    @property
    def kv_tokens(self) -> int:
        """Tokens whose KV is computed, in device or host memory."""

    @property
    def blocks(self) -> int:
        """KV blocks that are free again when it alone is preempted."""

    @property
    def blocks_needed(self) -> int:
        """Free KV blocks that it takes, if nobody is preempted, to take part in the next step."""

    @property
    def swap_blocks(self) -> int:
        """Blocks of host memory that it takes when it is swapped out, or has taken."""

    @property
    def delivered_at(self) -> float:
        """When its prompt was complete at the replica [s]."""

    @property
    def started_at(self) -> float | None:
        """Start of its first step here [s]; None before."""

    @property
    def preemptions(self) -> int:
        """How many times it was preempted here."""


class BatchView(Protocol):
    """A replica whose next step is formed."""

    @property
    def now(self) -> float:
        """Simulated time [s]."""

    @property
    def index(self) -> int:
        """Number of the replica in the fleet."""

    @property
    def name(self) -> str:
        """Name of the replica."""

    @property
    def waiting(self) -> Sequence[LegView]:
        """Its queue, in the order of `rank` and of coming; those preempted come before their equals."""

    @property
    def swapped(self) -> Sequence[LegView]:
        """Requests in host memory, first out first."""

    @property
    def running(self) -> Sequence[LegView]:
        """Requests that hold KV blocks, paused ones included, in the order in which they began or came back."""

    @property
    def token_budget(self) -> int:
        """Most tokens of a step: one for each decode, and those read of prompts."""

    @property
    def max_num_seqs(self) -> int:
        """Most requests that take part in a step; paused ones do not count."""

    @property
    def free_blocks(self) -> int:
        """KV blocks that are free, or hold only prefixes that nobody uses."""

    @property
    def total_blocks(self) -> int:
        """KV blocks there are."""

    @property
    def watermark(self) -> int:
        """Blocks that the built-in order keeps free when it starts a request beside others."""

    @property
    def free_swap_blocks(self) -> int:
        """Blocks of host memory left for swapping; 0 where the deployment does not swap."""

    @property
    def whole_prompts(self) -> bool:
        """Whether a prompt must be read in one step, as encoders do."""

    def free_blocks_after(
        self, preempted: Sequence[LegView] = (), taking_part: Sequence[LegView] = ()
    ) -> int:
        """Answer how many KV blocks are left, at least, in a step before which some are preempted; below 0: too few.

        Without a prefix cache these are `free_blocks`, plus the `blocks` of the preempted, less the `blocks_needed`
        of those who take part; with one, blocks that several use are counted once.
        """

    def prefill_time(self, tokens: int) -> float:
        """Predict how long reading a prompt of so many tokens alone takes at full speed [s]."""

    def decode_time(self, requests: int, kv_tokens: int) -> float:
        """Predict how long a step takes in which so many requests decode, with so many tokens of KV together [s]."""


class Plan(NamedTuple):
    """The next step of a replica, and how long its like goes on.

    Requests that hold KV blocks and are not named pause: they keep their blocks and have no part in the step. A
    plan in which requests only decode goes on, step after step, until the batch changes (a request comes, ends or
    is cancelled), a decode lacks a KV block, or `steps` or `until_s` is over; any other plan is for one step. After
    one that only preempts, the scheduler is asked again at once.
    """

    decodes: Sequence[LegView] = ()
    """Who emits a token: decoding requests, and swapped ones, which are brought back first."""
    chunks: Sequence[tuple[LegView, int]] = ()
    """Who reads how many tokens: prefilling requests, and waiting ones, which start."""
    recompute: Sequence[LegView] = ()
    """Who is preempted, gives up its KV blocks and goes back to the queue."""
    swap: Sequence[LegView] = ()
    """Who is preempted and moves its KV cache to host memory; only decoding requests."""
    steps: int | None = None
    """Ask again after so many steps."""
    until_s: float | None = None
    """Ask again at the first step boundary at or after this time [s]; a plan without work needs one, and is idle
    until then or until the batch changes."""
