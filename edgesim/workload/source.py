"""From the `workloads` section of a scenario to requests."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

import numpy as np

from edgesim.errors import Problem, ScenarioError
from edgesim.workload.arrivals import arrivals
from edgesim.workload.asked import Nodes
from edgesim.workload.closed import ClosedLoop
from edgesim.workload.distributions import FOREVER, PS
from edgesim.workload.merge import cut_to, merged
from edgesim.workload.open_loop import OpenLoop, Replay, Source, anywhere, evenly, in_turn
from edgesim.workload.sessions import Continuation, Conversation, Sessions
from edgesim.workload.shape import Shape
from edgesim.workload.table import arrivals_of
from edgesim.workload.traces import Trace, read_trace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from edgesim.scenario.schema import Scenario
    from edgesim.scenario.workload import Workload as Section
    from edgesim.streams import Streams
    from edgesim.workload.open_loop import Places

CHUNK: Final = 65_536
"""Requests in a chunk, unless another number is asked for."""


class NodeTable(Protocol):
    """Where the nodes of a group are found."""

    def group(self, name: str) -> tuple[int, int]:
        """Return the id of the group's first node and how many nodes it has."""
        ...


class ConsecutiveNodes:
    """Node ids in the scenario's order, group after group."""

    def __init__(self, scenario: Scenario) -> None:
        """Count through the groups."""
        self._groups: dict[str, tuple[int, int]] = {}
        first = 0
        for name, node in scenario.topology.nodes.items():
            self._groups[name] = (first, node.count)
            first += node.count

    def group(self, name: str) -> tuple[int, int]:
        """Return the id of the group's first node and how many nodes it has."""
        return self._groups[name]


@dataclass(frozen=True)
class Workload:
    """All requests of one replication.

    Attributes:
        names: Names of the scenario's workloads; a request's `workload` is a position in it.
        users: Those whose requests wait for earlier ones: closed-loop users and later turns of sessions.
        until: No request arrives at or after this time [ps].
        limit: At most this many requests arrive in all, None for no limit. Chunks alone keep to it; where users
            ask, too, the engine counts.
    """

    names: tuple[str, ...]
    users: tuple[Continuation, ...]
    until: int
    limit: int | None
    _open: tuple[Callable[[], Source], ...]
    _traces: tuple[Trace, ...] = ()

    def chunks(self, size: int = CHUNK) -> Iterator[NDArray[np.void]]:
        """Yield the open-loop requests by (time, workload, order) as ARRIVAL arrays of `size` rows.

        The requests are the same whatever the size, and each call starts a new pass over them.
        """
        return map(arrivals_of, cut_to(size, merged([start() for start in self._open]), self.limit))

    def hashes(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the names of all traces' prompt blocks, and the number of the request that next asks for each."""
        named = [trace for trace in self._traces if trace.names is not None]
        if not named:
            return np.zeros(1, np.int64), np.zeros(1, np.int64)
        names = [trace.names for trace in named if trace.names is not None]
        return np.concatenate(names), np.concatenate([trace.next_uses() for trace in named])

    def continuation(self, workload: int) -> Continuation | None:
        """Return the users or sessions of a workload; None if its requests wait for nothing."""
        return next((users for users in self.users if users.workload == workload), None)


class _Part(NamedTuple):
    """What one workload contributes: open-loop requests, users, or both."""

    start: Callable[[], Source] | None = None
    users: Continuation | None = None
    trace: Trace | None = None


@dataclass(frozen=True, slots=True)
class _Frame:
    """What surrounds a workload: its place, who asks, randomness, the end [ps], and its place in the pool of names."""

    index: int
    name: str
    nodes: Nodes
    streams: Streams
    until: int
    first_name: int = 0


def build(scenario: Scenario, streams: Streams, nodes: NodeTable | None = None) -> Workload:
    """Prepare the workloads of a scenario for one replication; traces are read here.

    Args:
        scenario: The validated scenario.
        streams: The random streams of the replication.
        nodes: Where node ids come from; by default the scenario's order.

    Raises:
        ScenarioError: A trace or a file of values is missing or malformed.
    """
    nodes = nodes or ConsecutiveNodes(scenario)
    duration = scenario.scenario.duration
    until = FOREVER if duration is None else min(round(duration * PS), FOREVER)
    parts: list[_Part] = []
    problems: list[Problem] = []
    for index, (name, workload) in enumerate(scenario.workloads.items()):
        named = sum(len(part.trace.names) for part in parts if part.trace and part.trace.names is not None)
        frame = _Frame(index, name, Nodes(*nodes.group(workload.from_)), streams, until, named)
        try:
            parts.append(_part(workload, frame))
        except ScenarioError as error:
            problems += [
                replace(problem, path=("workloads", name, *problem.path)) for problem in error.problems
            ]
    if problems:
        raise ScenarioError(problems)
    return Workload(
        names=tuple(scenario.workloads),
        users=tuple(part.users for part in parts if part.users is not None),
        until=until,
        limit=scenario.scenario.requests,
        _open=tuple(part.start for part in parts if part.start is not None),
        _traces=tuple(part.trace for part in parts if part.trace is not None),
    )


def _part(workload: Section, frame: _Frame) -> _Part:
    """Prepare one workload; what it returns starts a new pass at each call."""
    name, nodes, streams, until = frame.name, frame.nodes, frame.streams, frame.until
    _refuse_mixtures(workload)
    if workload.path is not None:
        trace = _trace(workload.path, workload)
        shape = Shape(workload, frame.index, name, streams, mean_output=float(trace.output.mean()))
        places = _places(workload.origins or "spread", frame)

        def replay() -> OpenLoop:
            return OpenLoop(Replay(trace, until, frame.first_name), shape, places(), nodes.first)

        return _Part(replay, trace=trace)
    spec = workload.arrivals
    assert spec is not None, "a workload has arrivals or a trace"
    shape = Shape(workload, frame.index, name, streams)
    conversation = None if workload.session is None else Conversation(shape, workload.session)
    if spec.kind == "closed-loop":
        return _Part(None, ClosedLoop(spec, shape, conversation, nodes, until))
    sessions = None if conversation is None else Sessions(conversation, nodes, until)
    places = _places("random", frame)

    def start() -> OpenLoop:
        process = arrivals(spec, name, nodes.count, streams, until)
        return OpenLoop(process, shape, places(), nodes.first, sessions)

    return _Part(start, sessions)


def _refuse_mixtures(workload: Section) -> None:
    """Refuse sessions where no arrival can open one."""
    if workload.session is None:
        return
    if workload.path is not None:
        text = "a trace says itself what is asked when; drop either 'session' or 'path'"
        raise ScenarioError([Problem(("session",), text)])
    if workload.arrivals is not None and workload.arrivals.kind == "periodic":
        text = "sensors ask single requests; drop 'session', or take arrivals other than periodic"
        raise ScenarioError([Problem(("session",), text)])


def _trace(path: str, workload: Section) -> Trace:
    """Read the trace of a workload and keep the part that it asks for."""
    try:
        whole = read_trace(path, workload.format or "auto")
        scale = 1.0 if workload.time_scale is None else workload.time_scale
        return whole.cut(start=workload.start, stop=workload.stop, limit=workload.limit, time_scale=scale)
    except ScenarioError as error:
        raise ScenarioError([replace(problem, path=("path",)) for problem in error.problems]) from None


def _places(origins: str, frame: _Frame) -> Callable[[], Places]:
    """Return what starts the choice of origins anew."""
    count, name, streams = frame.nodes.count, frame.name, frame.streams
    if origins == "random":
        return lambda: anywhere(count, streams.generator(f"origin/{name}"))
    return lambda: in_turn(count) if origins == "round-robin" else evenly(count)
