"""The compiled tier: policies as machine code that the kernel calls without coming back to Python.

A policy class may carry, beside its Python hook, the same decision as a function marked with
`edgesim.compiled`, as the class attribute `compiled_route`, `compiled_rank` or `compiled_admit`:

    route(view, request, candidates, parameters, key) -> position of the chosen candidate, or -1 for none
    rank(view, request, candidate, parameters, key) -> integer; smaller ones run first
    admit(view, request, candidate, parameters, key) -> 1 to let the request in, 0 to reject it

`view` is handed to the functions of this module, which answer what the views of the Python tier answer;
`request` is a REQUEST row, `candidates` an array of CANDIDATE rows, `parameters` the policy's numbers in the order
of their declaration, `key` goes to `uniform`. Requests that may go to a replica that is not up are decided by the
Python tier, and so is everything where compilation is switched off.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from edgesim.arena.compile import JIT, kernel
from edgesim.arena.tables import unpack
from edgesim.policies.compiled import CompiledFunction
from edgesim.policies.router import JoinShortestQueue, LeastOutstandingTokens, Nearest, PowerOfTwo, Random
from edgesim.serving.decision import NO_REPLICA
from edgesim.serving.plan import blocks_wanted, steps_before

if TYPE_CHECKING:
    from edgesim.policies.base import Policy

PARAMETERS = 8
"""Most parameters of a compiled policy."""
ROLES = ("router", "admission", "scheduler")

# -- what compiled policies may read ------------------------------------------------------------------------------


@kernel
def uniform(key, request, index):
    """The pure uniform number of `edgesim.streams.uniform`, bit for bit."""
    z = np.uint64(key) ^ (np.uint64(request) * np.uint64(0x9E3779B97F4A7C15))
    z = z + np.uint64(index) * np.uint64(0xBF58476D1CE4E5B9)
    for _ in range(2):
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return float(z >> np.uint64(11)) * 2.0**-53


@kernel
def draw(key, request, index):
    """A uniform number of this policy and request; one that is sent again draws new ones."""
    return uniform(key, request.request, index + (request.attempts << 16))


@kernel
def queue_length(view, candidate):
    """Requests that have not started there: waiting, or still on their way."""
    replica = view.replicas[candidate.replica]
    return replica.waiting + replica.swapped + replica.transit


@kernel
def running(view, candidate):
    """Requests in its batch."""
    replica = view.replicas[candidate.replica]
    return replica.running - replica.ghosts


@kernel
def outstanding_requests(view, candidate):
    """Requests sent to it and not finished."""
    return queue_length(view, candidate) + running(view, candidate)


@kernel
def outstanding_tokens(view, candidate):
    """Prompt tokens left to prefill plus predicted tokens left to decode."""
    replica = view.replicas[candidate.replica]
    tokens = replica.assigned - replica.progress
    if replica.planned and replica.plan_mixed == 0:
        tokens -= steps_before(replica, view.control[0].now - replica.plan_start) * replica.decoding
    return max(tokens, 0)


@kernel
def free_kv_tokens(view, candidate):
    """Room left in its KV cache [tokens]."""
    replica = view.replicas[candidate.replica]
    free = replica.free_blocks
    if replica.planned and replica.plan_mixed == 0:
        free -= blocks_wanted(
            view, replica, 1, steps_before(replica, view.control[0].now - replica.plan_start)
        )
    return free * replica.block_size


# -- built-in routers, compiled ------------------------------------------------------------------------------------


def _nearest(view, request, candidates, parameters, key):
    return 0


def _random(view, request, candidates, parameters, key):
    return int(draw(key, request, 0) * len(candidates))


def _join_shortest_queue(view, request, candidates, parameters, key):
    best = 0
    least = outstanding_requests(view, candidates[0])
    for i in range(1, len(candidates)):
        load = outstanding_requests(view, candidates[i])
        if load < least:
            best = i
            least = load
    return best


def _least_outstanding_tokens(view, request, candidates, parameters, key):
    best = 0
    least = outstanding_tokens(view, candidates[0])
    for i in range(1, len(candidates)):
        load = outstanding_tokens(view, candidates[i])
        if load < least:
            best = i
            least = load
    return best


def _power_of_two(view, request, candidates, parameters, key):
    n = len(candidates)
    if n == 1:
        return 0
    i = int(draw(key, request, 0) * n)
    j = int(draw(key, request, 1) * (n - 1))
    if j >= i:
        j += 1
    return i if outstanding_requests(view, candidates[i]) <= outstanding_requests(view, candidates[j]) else j


BUILT_IN: dict[type, CompiledFunction] = {
    kind: CompiledFunction(function)
    for kind, function in (
        (Nearest, _nearest),
        (Random, _random),
        (JoinShortestQueue, _join_shortest_queue),
        (LeastOutstandingTokens, _least_outstanding_tokens),
        (PowerOfTwo, _power_of_two),
    )
}

# -- doors ---------------------------------------------------------------------------------------------------------

_doors: dict[Any, Any] = {}


def compiled_form(policy: Policy) -> CompiledFunction | None:
    """The compiled form of a policy, if it has one and code can be compiled."""
    if not JIT:
        return None
    hook = {"router": "compiled_route", "scheduler": "compiled_rank", "admission": "compiled_admit"}[
        policy.role
    ]
    return getattr(policy, hook, None) or BUILT_IN.get(type(policy))


def address_of(policy: Policy) -> int:
    """Address of a compiled policy, for the kernel; compiled once a process."""
    form = compiled_form(policy)
    if form is None:
        return 0
    known = _doors.get(form.function)
    if known is None:
        known = _doors[form.function] = _door(form.function, ROLES.index(policy.role))
    return int(known.address)


def _door(function: Any, role: int) -> Any:
    """A C function of four integers around a compiled policy."""
    from numba import cfunc, njit

    policy = njit(error_model="numpy")(function)
    first = role * PARAMETERS

    if role == 0:

        def door(address, slot, offset, length):
            s = unpack(address)
            if length == 0:
                return -1 - NO_REPLICA
            candidates = s.candidates[offset : offset + length]
            parameters = s.parameters[first : first + PARAMETERS]
            place = policy(s, s.requests[slot], candidates, parameters, s.keys[role])
            return place if 0 <= place < length else -1 - NO_REPLICA

    else:

        def door(address, slot, place, _unused):
            s = unpack(address)
            parameters = s.parameters[first : first + PARAMETERS]
            answer = policy(s, s.requests[slot], s.candidates[place], parameters, s.keys[role])
            if role == 1:
                return 0 if answer > 0 else -1 - s.keys[3]
            return answer

    return cfunc("int64(int64,int64,int64,int64)", error_model="numpy")(door)


def numbers_of(policy: Policy) -> list[float]:
    """A policy's parameters as floats, in the order of their declaration; others than numbers count as 0."""
    from dataclasses import fields

    values = [getattr(policy, field.name) for field in fields(policy)]  # type: ignore[arg-type]
    numbers = [float(value) if isinstance(value, int | float) else 0.0 for value in values]
    return (numbers + [0.0] * PARAMETERS)[:PARAMETERS]
