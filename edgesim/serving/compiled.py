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

import re
from inspect import signature
from typing import TYPE_CHECKING, Any

import numpy as np

from edgesim.arena.compile import JIT, kernel
from edgesim.arena.tables import unpack
from edgesim.errors import PolicyError
from edgesim.policies.compiled import ARGUMENTS, READABLE, CompiledFunction
from edgesim.policies.router import (
    JoinShortestQueue,
    LeastOutstandingTokens,
    Nearest,
    PowerOfTwo,
    Random,
    Router,
)
from edgesim.registry import place_of
from edgesim.serving.decision import NO_REPLICA
from edgesim.serving.plan import blocks_wanted, steps_past

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from edgesim.policies.base import Policy

PARAMETERS = 8
"""Most parameters of a compiled policy."""
ROLES = ("router", "admission", "scheduler")
HOOKS = {"router": "compiled_route", "scheduler": "compiled_rank", "admission": "compiled_admit"}

FAULT = 4
"""Where in `keys` stands what a compiled policy did wrong: role + 1 (0: nothing), how, its answer, the request."""

FAULTS = 4
RAISED, NONSENSE = 1, 2

MISCHIEF = 99
"""Why the kernel returned then."""

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
        tokens -= steps_past(view, candidate.replica) * replica.decoding
    return max(tokens, 0)


@kernel
def free_kv_tokens(view, candidate):
    """Room left in its KV cache [tokens]."""
    replica = view.replicas[candidate.replica]
    free = replica.free_blocks
    if replica.planned and replica.plan_mixed == 0:
        free -= blocks_wanted(view, replica, 1, steps_past(view, candidate.replica))
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
    """The compiled form of a policy, if it has one and code can be compiled.

    Raises:
        PolicyError: It has something else there.
    """
    if not JIT:
        return None
    hook = HOOKS[policy.role]
    form = getattr(policy, hook, None) or BUILT_IN.get(type(policy))
    if form is None or isinstance(form, CompiledFunction):
        return form
    where = place_of(type(policy))
    raise PolicyError(
        f"{policy.role} {policy.kind!r} has a {hook} that is not compiled; mark it with @edgesim.compiled ({where})"
    )


def address_of(policy: Policy) -> int:
    """Address of a compiled policy, for the kernel; compiled once a process.

    Raises:
        PolicyError: It does not compile, or answers no whole number.
    """
    form = compiled_form(policy)
    if form is None:
        return 0
    known = _doors.get(form.function)
    if known is None:
        from numba.core.errors import NumbaError

        try:
            _check_form(policy, form.function)
            known = _door(form.function, ROLES.index(policy.role), checked=type(policy) not in BUILT_IN)
        except NumbaError as error:
            raise PolicyError(
                f"{_who(policy)} does not compile: {_told(error)} ({place_of(form.function)})"
            ) from None
        except KeyError as error:
            what = f"does not compile: rows of requests and candidates have no {error}; they have {', '.join(READABLE)}"
            raise PolicyError(f"{_who(policy)} {what} ({place_of(form.function)})") from None
        except TypeError as error:
            raise PolicyError(f"{_who(policy)} {error} ({place_of(form.function)})") from None
        _doors[form.function] = known
    return int(known.address)


def _check_form(policy: Policy, function: Any) -> None:
    """Refuse a compiled form that cannot be called, or whose policy has more numbers than it can be given.

    Raises:
        TypeError: What is wrong with it.
    """
    wanted = [*ARGUMENTS] if policy.role == "router" else [*ARGUMENTS[:2], "candidate", *ARGUMENTS[3:]]
    taken = list(signature(function).parameters)
    if len(taken) != len(wanted):
        raise TypeError(f"takes ({', '.join(taken)}); it must be ({', '.join(wanted)})")
    names = _parameters(policy)
    if len(names) > PARAMETERS:
        raise TypeError(
            f"is given {PARAMETERS} parameters at most; the policy has {len(names)}: {', '.join(names)}"
        )


def blame_compiled(policies: Sequence[Policy], faults: NDArray[np.int64], now: float) -> PolicyError:
    """The error that says what a compiled policy did wrong, from what its door wrote down."""
    role, kind, answer, request = (int(cell) for cell in faults)
    policy = policies[role - 1]
    form = compiled_form(policy)
    assert form is not None
    when = f"for request r{request} at t={now:.6g} s"
    place = place_of(form.function)
    if kind == RAISED:
        help_ = "NUMBA_DISABLE_JIT=1 runs its Python tier instead, where a debugger can look"
        return PolicyError(f"{_who(policy)} raised an exception {when}; {help_} ({place})")
    rule = "it must answer the position of one of the candidates, or -1 for none"
    return PolicyError(f"{_who(policy)} returned {answer} {when}; {rule} ({place})")


def _who(policy: Policy) -> str:
    return f"the compiled form of {policy.role} {policy.kind!r}"


def _told(error: Exception) -> str:
    """The line of a compiler's message that says what is wrong."""
    text = re.sub(r"(unaligned )?array\(Record\([^()]*\)[^()]*\)", "an array of rows", str(error))
    lines = [line.strip() for line in re.sub(r"Record\([^()]*\)", "a row", text).splitlines() if line.strip()]
    words = r"unify|no conversion|unknown attribute|not defined|unsupported|missing|too many|positional|cannot|invalid"
    telling = re.compile(words, re.IGNORECASE)
    return next((line for line in lines if telling.search(line)), lines[0])


def _door(function: Any, role: int, *, checked: bool) -> Any:
    """A C function of four integers around a compiled policy; what it does wrong is written down, and stops the run.

    Args:
        function: The policy.
        role: Position of its role.
        checked: Whether indices are held within arrays; built-in policies are known to be right.

    Raises:
        TypeError: It answers no whole number.
    """
    from numba import cfunc, njit, types

    policy = njit(error_model="numpy" if not checked else "python", boundscheck=checked)(function)
    first = role * PARAMETERS

    @njit(error_model="numpy")
    def guarded(s, slot, what, parameters, key):
        try:
            return policy(s, s.requests[slot], what, parameters, key), 0
        except Exception:  # noqa: BLE001 - whatever it is, it must not get into C
            return 0, 1

    @njit(error_model="numpy")
    def note(s, slot, kind, answer):
        s.keys[FAULT] = role + 1
        s.keys[FAULT + 1] = kind
        s.keys[FAULT + 2] = answer
        s.keys[FAULT + 3] = s.requests[slot].request
        s.control[0].stop = MISCHIEF

    if role == 0:

        def door(address, slot, offset, length):
            s = unpack(address)
            if length == 0:
                return -1 - NO_REPLICA
            candidates = s.candidates[offset : offset + length]
            parameters = s.parameters[first : first + PARAMETERS]
            place, raised = guarded(s, slot, candidates, parameters, s.keys[role])
            if raised or place < -1 or place >= length:
                note(s, slot, RAISED if raised else NONSENSE, place)
                return -1 - NO_REPLICA
            return place if place >= 0 else -1 - NO_REPLICA

    else:

        def door(address, slot, place, _unused):
            s = unpack(address)
            parameters = s.parameters[first : first + PARAMETERS]
            answer, raised = guarded(s, slot, s.candidates[place], parameters, s.keys[role])
            if raised:
                note(s, slot, RAISED, answer)
                answer = 0
            if role == 1:
                return 0 if answer > 0 else -1 - s.keys[3]
            return answer

    built = cfunc("int64(int64,int64,int64,int64)", error_model="numpy")(door)
    answers = policy.nopython_signatures[0].return_type
    if not isinstance(answers, types.Integer | types.Boolean | types.IntegerLiteral):
        raise TypeError(f"answers {answers}, not a whole number")
    return built


def numbers_of(policy: Policy) -> list[float]:
    """A policy's parameters as floats, in the order of their declaration; others than numbers count as 0.

    What a decision costs is not among them.
    """
    values = [getattr(policy, name) for name in _parameters(policy)]
    numbers = [float(value) if isinstance(value, int | float) else 0.0 for value in values]
    return (numbers + [0.0] * PARAMETERS)[:PARAMETERS]


def _parameters(policy: Policy) -> list[str]:
    """Names of a policy's own parameters, in the order of their declaration."""
    from dataclasses import fields

    common = {field.name for field in fields(Router)}
    return [field.name for field in fields(policy) if field.name not in common]  # type: ignore[arg-type]
