"""Checking what policies answer, and blaming the right line of the right file when they fail.

The good answers leave at the first test: these functions run for every decision of a simulation.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NoReturn

from edgesim.errors import EdgesimError, PolicyError
from edgesim.policies.answers import Accept, Defer, Hedge, Reject
from edgesim.registry import place_of, raised_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgesim.policies.base import Policy
    from edgesim.policies.views import ReplicaView, RequestView


def check_route(
    policy: Policy, answer: object, candidates: Sequence[ReplicaView], request: RequestView, now: float
) -> None:
    """Refuse what a router must not answer.

    Args:
        policy: The router.
        answer: What its `route` returned.
        candidates: What it could choose from.
        request: What it decided on.
        now: Simulated time [s].
    """
    if answer in candidates:
        return
    rule = "route() must return one of the given replicas, Reject, Defer or Hedge"
    if isinstance(answer, Hedge):
        _check_hedge(policy, answer, candidates, request, now)
    elif isinstance(answer, Reject | Defer):
        _check_words(policy, answer, request, now)
    elif hasattr(answer, "outstanding_requests"):
        text = f"replica {getattr(answer, 'name', '?')!r}, which is not among the candidates,"
        _refuse(policy, f"returned {text}", rule, request, now)
    else:
        _refuse(policy, f"returned {_shown(answer)}", rule, request, now)


def check_rank(policy: Policy, answer: object, request: RequestView | None, now: float) -> None:
    """Refuse what a scheduler or a cache must not answer; the arguments are those of `check_route`."""
    if type(answer) is int or (isinstance(answer, int | float) and not math.isnan(answer)):
        return
    first = "start first" if policy.role == "scheduler" else "are forgotten first"
    rule = f"rank() must return a number; smaller ones {first}"
    _refuse(policy, f"returned {_shown(answer)}", rule, request, now)


def check_admit(policy: Policy, answer: object, request: RequestView, now: float) -> None:
    """Refuse what an admission must not answer; the arguments are those of `check_route`."""
    if answer is True or isinstance(answer, Accept):
        return
    if isinstance(answer, Reject | Defer):
        _check_words(policy, answer, request, now)
        return
    rule = "admit() must return True, Accept, Reject or Defer"
    _refuse(policy, f"returned {_shown(answer)}", rule, request, now)


def blame(
    policy: Policy, error: BaseException, request: RequestView | None, now: float, hook: str = ""
) -> PolicyError:
    """Make the error that names the line of a policy where something was raised; raise it from that one.

    Args:
        policy: The policy that was running.
        error: What came out of it.
        request: What it was deciding on, if anything.
        now: Simulated time [s].
        hook: What was called; the role's own hook if empty.
    """
    hook = hook or policy.hook
    place = raised_at(error, place_of(getattr(type(policy), hook)))
    what = "failed" if isinstance(error, EdgesimError) else f"raised {type(error).__name__}"
    return PolicyError(f"{_who(policy)} {what} in {hook}() {_when(request, now)}: {error} ({place})")


def _check_words(policy: Policy, answer: Reject | Defer, request: RequestView, now: float) -> None:
    """Want a reason in words, and no deferral that would ask again at once, for ever."""
    if isinstance(answer, Reject):
        if not (isinstance(answer.reason, str) and answer.reason):
            rule = 'Reject needs a reason in words, such as "queue-full"'
            _refuse(policy, f"returned {_shown(answer)}", rule, request, now)
    elif not isinstance(answer.until_s, int | float) or not now < answer.until_s < math.inf:
        rule = "Defer needs a later time [s], such as view.now + 0.1"
        _refuse(policy, f"returned {_shown(answer)}", rule, request, now)


def _check_hedge(
    policy: Policy, answer: Hedge, candidates: Sequence[ReplicaView], request: RequestView, now: float
) -> None:
    """Insist on a hedge over different candidates."""
    try:
        replicas: Sequence[Any] = list(answer.replicas)
    except TypeError:
        replicas = ()
    different = len({id(replica) for replica in replicas}) == len(replicas)
    if not replicas or not different or any(replica not in candidates for replica in replicas):
        names = [getattr(replica, "name", _shown(replica)) for replica in replicas]
        rule = "Hedge needs a list of one or more different replicas out of the candidates"
        _refuse(policy, f"returned Hedge({names})", rule, request, now)


def _refuse(policy: Policy, did: str, rule: str, request: RequestView | None, now: float) -> NoReturn:
    place = place_of(getattr(type(policy), policy.hook))
    raise PolicyError(f"{_who(policy)} {did} {_when(request, now)}; {rule} ({place})")


def _who(policy: Policy) -> str:
    return f"{policy.role} {policy.kind or type(policy).__name__!r}"


def _when(request: RequestView | None, now: float) -> str:
    """Say at which moment of the simulation, for whom."""
    return f"at t={now:.9g} s" + (f" for request r{request.id}" if request is not None else "")


def _shown(answer: object) -> str:
    """Print an answer in a few words."""
    text = repr(answer)
    return text if len(text) <= 60 else f"{text[:57]}..."
