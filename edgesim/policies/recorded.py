"""The recorded router: decides as an earlier run did."""

# ruff: noqa: ARG002, D102 - a hook has one signature and one contract, both stated by the base class

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from edgesim.errors import PolicyError, ResultsError
from edgesim.policies.answers import DecisionCost, Defer, Hedge, Reject
from edgesim.policies.router import NO_REPLICA, Router
from edgesim.registry import build, register

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgesim.policies.router import Route
    from edgesim.policies.views import Draw, ReplicaView, RequestView, SystemView

COLUMNS = (
    "request", "attempt", "copy", "role", "answer", "replica", "reason", "until", "decision_time", "decision_energy_j",
)  # fmt: skip
"""Columns of decisions.parquet that are read."""


class Recorded(NamedTuple):
    """One decision of the earlier run."""

    answer: str
    replicas: tuple[str | None, ...]
    reason: str
    until_s: float
    cost: DecisionCost


@register("recorded")
class RecordedRouter(Router):
    """Decide as an earlier run did, request by request and attempt by attempt.

    The earlier run must have kept its decisions: `output: {tables: [requests, decisions]}`. On the same scenario with
    the same seed the requests are the same, too; with another scheduler, other costs or other hardware one sees what
    these alone change. Of several replications each replays its own. What deciding took is replayed with it.

    A request or attempt that the recording does not know, or one that went to a replica that is not among the
    candidates now, ends the run with an error, unless `otherwise` names the router that decides then.

    Attributes:
        path: Folder of the earlier run, relative to the working directory.
        otherwise: Router (a name, without parameters) that decides about what was not recorded.
    """

    path: str
    otherwise: str | None = None

    def setup(self, system: SystemView, random: Draw) -> None:
        self._answers = read(Path(self.path), self.replication)
        self._cost = DecisionCost(0.0)
        self._fallback: Router | None = None
        if self.otherwise is not None:
            self._fallback = build("router", self.otherwise)
            self._fallback.key, self._fallback.replication = self.key, self.replication
            self._fallback.start(system, self._draw)

    def route(self, request: RequestView, candidates: Sequence[ReplicaView], view: SystemView) -> Route:
        left = self._answers.get((request.id, request.attempts))
        if not left:
            return self._unknown("is not in it", request, candidates, view)
        known = left.popleft()
        self._cost = known.cost
        if known.answer == "defer":
            return Defer(known.until_s)
        if known.answer == "reject" or known.replicas == (
            None,
        ):  # who went nowhere was turned away, or had left
            return Reject(known.reason or NO_REPLICA)
        here = {replica.name: replica for replica in candidates}
        chosen = [here[name] for name in known.replicas if name in here]
        if len(chosen) < len(known.replicas):
            names = ", ".join(f"'{name}'" for name in known.replicas)
            return self._unknown(f"went to {names}, now no candidate", request, candidates, view)
        return chosen[0] if known.answer == "send" else Hedge(chosen)

    def _unknown(
        self, what: str, request: RequestView, candidates: Sequence[ReplicaView], view: SystemView
    ) -> Route:
        """Have another router decide, or end the run."""
        if self._fallback is None:
            raise PolicyError(
                f"the run diverges from the recording '{self.path}': attempt {request.attempts} of the request {what}; "
                "replay the same scenario with the same seed, or say who decides then: `otherwise: nearest`"
            )
        self._cost = self._fallback.decision_cost(request, candidates, view)
        return self._fallback.route(request, candidates, view)

    def decision_cost(
        self, request: RequestView, candidates: Sequence[ReplicaView], view: SystemView
    ) -> DecisionCost:
        return self._cost


def read(folder: Path, replication: int) -> dict[tuple[int, int], deque[Recorded]]:
    """Read the routers' decisions of a run; of each request and attempt in the order in which they were taken.

    Raises:
        ResultsError: There are none, or they cannot be read.
    """
    several = sorted(folder.glob("rep-*"))
    place = folder / f"rep-{replication:03d}" if several else folder
    path = place / "decisions.parquet"
    if not path.is_file():
        raise ResultsError(_missing(folder, place, replication))
    import pyarrow as pa  # noqa: PLC0415 - only who replays needs arrow
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        rows: list[dict[str, Any]] = pq.read_table(path, columns=list(COLUMNS)).to_pylist()
    except (OSError, pa.ArrowException, KeyError) as error:
        raise ResultsError(f"cannot read '{path}': {error}") from error
    found: dict[tuple[int, int], deque[Recorded]] = {}
    for row in rows:
        if row["role"] != "router":
            continue
        asked = found.setdefault((row["request"], row["attempt"]), deque())
        cost = DecisionCost(row["decision_time"] or 0.0, row["decision_energy_j"])
        replicas = () if row["answer"] in {"reject", "defer"} else (row["replica"],)
        if row["answer"] == "hedge" and row["copy"]:
            replicas = (*asked.pop().replicas, *replicas)
        asked.append(Recorded(row["answer"], replicas, row["reason"] or "", row["until"] or 0.0, cost))
    return found


def _missing(folder: Path, place: Path, replication: int) -> str:
    """Say why there are no decisions to read."""
    if not folder.is_dir():
        return f"'{folder}' is no folder; give `path` the folder of a run that kept its decisions"
    if not place.is_dir():
        return f"'{folder}' has no replication {replication} to replay; record as many as you replay"
    if not (folder / "manifest.json").is_file():
        return f"'{folder}' holds no run; give `path` the folder that `edgesim run` named at its end"
    return (
        f"'{place}' has no decisions; run it again with `--set 'output.tables=[requests, legs, decisions]'`"
    )
