"""What policies see, read straight from what the engine wrote: requests, candidates, the system."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from edgesim.arena import rows
from edgesim.errors import PolicyError
from edgesim.policies.answers import Estimate
from edgesim.serving.decision import BOARD_COLUMNS, FREE_BLOCKS, OUTSTANDING, QUEUE, RUNNING, STATE, TOKENS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edgesim.costs.step import StepCost
    from edgesim.policies.views import ReplicaView, RequestView

_NAMES = rows.REQUEST.names or ()
(ID, WORKLOAD, SESSION, ORIGIN, PROMPT, OUTPUT, PREDICTED, IMAGES, BYTES_UP, PRIORITY, DEADLINE, ARRIVED, ATTEMPTS) = (
    _NAMES.index(name)
    for name in (
        "request", "workload", "session", "origin", "prompt", "output", "predicted", "images", "bytes_up",
        "priority", "deadline", "arrived", "attempts",
    )
)  # fmt: skip
S = 1e-12
"""Seconds in a picosecond."""


class WorkloadFacts:
    """What all requests of a workload have in common."""

    __slots__ = ("name", "privacy", "tenant")

    def __init__(self, name: str, tenant: str, privacy: str) -> None:
        self.name, self.tenant, self.privacy = name, tenant, privacy


class RequestLook:
    """The request being decided; one object that is pointed at each request in turn."""

    __slots__ = ("_base", "_cells", "_node_name", "_node_tier", "_oracle", "_workloads")

    def __init__(
        self,
        workloads: Sequence[WorkloadFacts],
        node_name: Callable[[int], str],
        node_tier: Callable[[int], str],
    ) -> None:
        self._workloads, self._node_name, self._node_tier = workloads, node_name, node_tier
        self._cells: Sequence[int] = ()
        self._base = 0
        self._oracle = False

    def point(self, cells: Sequence[int], base: int) -> None:
        """Look at the request whose row begins at `base`."""
        self._cells, self._base = cells, base

    @property
    def id(self) -> int:
        return self._cells[self._base + ID]

    @property
    def workload(self) -> str:
        return self._workloads[self._cells[self._base + WORKLOAD]].name

    @property
    def session(self) -> int:
        return self._cells[self._base + SESSION]

    @property
    def origin(self) -> str:
        return self._node_name(self._cells[self._base + ORIGIN])

    @property
    def origin_tier(self) -> str:
        return self._node_tier(self._cells[self._base + ORIGIN])

    @property
    def tenant(self) -> str:
        return self._workloads[self._cells[self._base + WORKLOAD]].tenant

    @property
    def privacy(self) -> str:
        return self._workloads[self._cells[self._base + WORKLOAD]].privacy

    @property
    def priority(self) -> int:
        return self._cells[self._base + PRIORITY]

    @property
    def prompt_tokens(self) -> int:
        return self._cells[self._base + PROMPT]

    @property
    def predicted_output_tokens(self) -> int:
        return self._cells[self._base + PREDICTED]

    @property
    def images(self) -> int:
        return self._cells[self._base + IMAGES]

    @property
    def bytes_up(self) -> int:
        """Size of its prompt and images on the network [B]."""
        return self._cells[self._base + BYTES_UP]

    @property
    def arrived_at(self) -> float:
        return self._cells[self._base + ARRIVED] * S

    @property
    def deadline_at(self) -> float | None:
        span = self._cells[self._base + DEADLINE]
        return (self._cells[self._base + ARRIVED] + span) * S if span else None

    @property
    def attempts(self) -> int:
        return self._cells[self._base + ATTEMPTS]

    @property
    def output_tokens(self) -> int:
        if not self._oracle:
            raise PolicyError(
                "no controller knows the length of a reply beforehand; read predicted_output_tokens, or set "
                "`oracle = True` on the policy, which the report then says"
            )
        return self._cells[self._base + OUTPUT]


class ReplicaLook:
    """One candidate of one origin."""

    __slots__ = (
        "_board", "_free_blocks", "_outstanding", "_queue", "_running", "_state", "_tokens", "block_size",
        "bytes_per_ps", "cost", "down_pj", "index", "kv_capacity_tokens", "latency", "llm", "local",
        "max_num_seqs", "name", "node", "place", "price", "quality", "row", "tier", "up_pj",
    )  # fmt: skip

    def __init__(self, board: Sequence[int], place: int) -> None:
        self._board, self.place = board, place
        row = (
            place * BOARD_COLUMNS
        )  # where its numbers stand, computed once: these are read a million times a second
        self._queue, self._running, self._outstanding = row + QUEUE, row + RUNNING, row + OUTSTANDING
        self._tokens, self._free_blocks, self._state = row + TOKENS, row + FREE_BLOCKS, row + STATE

    index: int
    name: str
    node: str
    tier: str
    llm: str
    quality: float
    local: bool
    latency: float
    price: float
    max_num_seqs: int
    kv_capacity_tokens: int
    block_size: int
    cost: CostLook
    bytes_per_ps: float
    up_pj: int
    down_pj: int

    @property
    def queue_length(self) -> int:
        return self._board[self._queue]

    @property
    def running(self) -> int:
        return self._board[self._running]

    @property
    def is_on(self) -> bool:
        """Does it serve?"""
        return self._board[self._state] == rows.ON

    @property
    def outstanding_requests(self) -> int:
        return self._board[self._outstanding]

    @property
    def outstanding_tokens(self) -> int:
        return self._board[self._tokens]

    @property
    def free_kv_tokens(self) -> int:
        return self._board[self._free_blocks] * self.block_size


class Looks(list[ReplicaLook]):
    """The candidates of an origin, nearest first: a list that also answers whole columns."""

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise TypeError(
            "the list of candidates cannot be changed; make one of your own, such as list(candidates)"
        )

    append = clear = extend = insert = pop = remove = reverse = sort = _refuse
    __delitem__ = __iadd__ = __imul__ = __setitem__ = _refuse

    def column(self, name: str) -> list[int]:
        """One number of every candidate at once, several times faster than reading view by view.

        Args:
            name: "queue_length", "running", "outstanding_requests" or "outstanding_tokens".
        """
        board: Any = self[0]._board
        column: list[int] = board[COLUMNS[name] : len(self) * BOARD_COLUMNS : BOARD_COLUMNS].tolist()
        return column


COLUMNS = {
    "queue_length": QUEUE,
    "running": RUNNING,
    "outstanding_requests": OUTSTANDING,
    "outstanding_tokens": TOKENS,
}


class CostLook:
    """A step cost for quick estimates: the same integers as plain lists."""

    def __init__(self, cost: StepCost) -> None:
        self._decode = cost.decode_table[:, :6].tolist()
        self._decode_context = cost.decode_coef[0, :6].tolist()
        self._cost = cost
        self._prefills: dict[tuple[int, int], tuple[int, int]] = {}
        self._tokens_per_image = cost.tokens_per_image
        self.max_num_seqs = len(self._decode) - 1

    def decode(self, batch: int, context: int) -> tuple[int, int]:
        """Time [ps] and energy [nJ] of a decode step."""
        row = self._decode[min(batch, self.max_num_seqs)]
        per = self._decode_context
        if self._cost.measured is not None:
            step = self._cost.decode(min(batch, self.max_num_seqs), context)
            return step.ps, step.nj
        branch = int(row[1] + per[1] * context > row[0] + per[0] * context)
        ps = row[branch] + per[branch] * context
        nj = min(row[2 + branch] + per[2 + branch] * context, row[4 + branch] + per[4 + branch] * context)
        return ps, nj

    def prefill(self, tokens: int, images: int = 0) -> tuple[int, int]:
        """Time [ps] and energy [nJ] of a prompt read alone; lengths are rounded up to 2 % to be remembered."""
        tokens += images * self._tokens_per_image
        if tokens > 64 and not self._cost.encoder_only:
            grain = 1 << (tokens.bit_length() - 6)
            tokens = -(-tokens // grain) * grain
        known = self._prefills.get((tokens, images))
        if known is None:
            ps = nj = done = 0
            while done < tokens:
                chunk = min(tokens - done, self._cost.max_batched_tokens)
                last = done + chunk == tokens
                step = self._cost.prefill(chunk, done, images if done == 0 else 0, last=last)
                ps, nj, done = ps + step.ps, nj + step.nj, done + chunk
            known = self._prefills[tokens, images] = ps, nj
        return known

    def length(self, tokens: int, images: int) -> int:
        """Prompt tokens, with those that images become."""
        return tokens + images * self._tokens_per_image


class SystemLook:
    """The system around a decision."""

    __slots__ = ("_oracle", "now_ps", "tiers")

    def __init__(self, tiers: Sequence[str]) -> None:
        self.tiers = tiers
        self.now_ps = 0
        self._oracle = False

    @property
    def now(self) -> float:
        """Simulated time [s]."""
        return self.now_ps * S

    def estimate(self, request: RequestView, replica: ReplicaView) -> Estimate:
        """Predict what serving the request there would take, by the simulator's own cost model.

        The prompt crosses idle links. What waits before it is prefilled first, at this request's prompt length
        each; requests that find no place in the batch wait for the share of it that must finish. It then decodes
        in a batch of those running and queued, at twice its own mean context each.
        """
        assert isinstance(request, RequestLook)
        assert isinstance(replica, ReplicaLook)
        images = request.images
        prompt = replica.cost.length(request.prompt_tokens, images)
        output = request.output_tokens if self._oracle else request.predicted_output_tokens
        cost = replica.cost
        batch = min(replica.outstanding_requests + 1, replica.max_num_seqs)
        step_ps, step_nj = cost.decode(batch, batch * (prompt + output // 2))
        prefill_ps, prefill_nj = cost.prefill(request.prompt_tokens, images)
        steps = output - 1  # the prompt's last step emits the first token
        crowd = max(0, replica.outstanding_requests + 1 - replica.max_num_seqs)
        wait_ps = replica.queue_length * prefill_ps + crowd * output * step_ps // replica.max_num_seqs
        if replica.running and replica.max_num_seqs == 1:
            wait_ps += replica.outstanding_tokens * step_ps
        way = 0.0 if replica.local else 2 * replica.latency + request.bytes_up / replica.bytes_per_ps * S
        ttft = (wait_ps + prefill_ps) * S + way
        latency = ttft + steps * step_ps * S
        network_nj = 0 if replica.local else request.bytes_up * replica.up_pj // 1000
        energy = (prefill_nj + steps * step_nj / batch + network_nj) * 1e-9
        cost_usd = (prefill_ps + steps * step_ps / batch) * S / 3600 * replica.price
        return Estimate(latency, ttft, energy, cost_usd)
