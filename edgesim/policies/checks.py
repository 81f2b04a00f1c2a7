"""Checking what policies answer, and blaming the right line of the right file when they fail.

The good answers leave at the first test: these functions run for every decision of a simulation.
"""

from __future__ import annotations

import math
from numbers import Real
from typing import TYPE_CHECKING, Any, NoReturn

from edgesim.errors import EdgesimError, PolicyError
from edgesim.policies.answers import Accept, DecisionCost, Defer, Hedge, Reject
from edgesim.policies.router import DEAREST_DECISION, LONGEST_DECISION
from edgesim.policies.steps import Plan
from edgesim.registry import place_of, raised_at

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from edgesim.policies.base import Policy
    from edgesim.policies.steps import BatchView
    from edgesim.policies.views import ReplicaView, RequestView


LARGEST_RANK = 1e300
"""Ranks are ordered as floats."""

SOONEST, LATEST = 1e-9, 50 * 86400.0
"""How long a deferral lasts at least, so that time goes on, and until when at most [s]."""


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
    if type(answer) is int and -(2**53) <= answer <= 2**53:
        return
    if isinstance(answer, Real) and _orders(answer):
        return
    first = "start first" if policy.role == "scheduler" else "are forgotten first"
    rule = f"rank() must return a number; smaller ones {first}"
    _refuse(policy, f"returned {_shown(answer)}", rule, request, now)


def _orders(answer: Real) -> bool:
    try:
        size = abs(float(answer))
    except OverflowError:
        return False
    return size <= LARGEST_RANK or size == math.inf


def check_cost(policy: Policy, answer: object, request: RequestView, now: float) -> None:
    """Refuse what a decision must not cost; the arguments are those of `check_route`."""
    numbers = answer if isinstance(answer, DecisionCost) else (math.nan, math.nan)
    limits = (LONGEST_DECISION, DEAREST_DECISION)
    if all(isinstance(x, int | float) and 0 <= x <= most for x, most in zip(numbers, limits, strict=True)):
        return
    rule = "decision_cost() must return DecisionCost(time_s, energy_j), from 0 to a day and to a megajoule"
    _refuse(policy, f"returned {_shown(answer)}", rule, request, now, "decision_cost")


def check_admit(policy: Policy, answer: object, request: RequestView, now: float) -> None:
    """Refuse what an admission must not answer; the arguments are those of `check_route`."""
    if answer is True or isinstance(answer, Accept):
        return
    if isinstance(answer, Reject | Defer):
        _check_words(policy, answer, request, now)
        return
    rule = 'admit() must return True or Accept, Reject("why") or Defer(until_s)'
    _refuse(policy, f"returned {_shown(answer)}", rule, request, now)


def check_plan(policy: Policy, answer: object, view: BatchView) -> None:
    """Refuse a step that cannot be carried out.

    Args:
        policy: The scheduler.
        answer: What its `schedule` returned.
        view: The replica that it was asked about.
    """
    if not isinstance(answer, Plan):
        did, rule = f"returned {_shown(answer)}", "schedule() must return a Plan"
    else:
        did, rule = next(_faults(answer, view), ("", ""))
    if did:
        place = place_of(type(policy).schedule)  # type: ignore[attr-defined]
        at = f"at t={view.now:.9g} s for replica {view.name!r}"
        raise PolicyError(f"{_who(policy)} {did} {at}; {rule} ({place})")


def _faults(plan: Plan, view: BatchView) -> Iterator[tuple[str, str]]:
    """Say what is wrong with a plan, and the rule that it breaks."""
    yield from _strangers(plan, view)
    for leg in plan.decodes:
        if leg.state not in {"decoding", "swapped"}:
            yield f"let r{leg.id} decode, which is {leg.state}", "only decoding and swapped requests decode"
    for leg, tokens in plan.chunks:
        if leg.state not in {"waiting", "prefilling"}:
            yield f"let r{leg.id} read, which is {leg.state}", "only waiting and prefilling requests read"
        if type(tokens) is not int or not 0 < tokens <= leg.unread_tokens:
            rule = f"it can read 1 to {leg.unread_tokens} tokens, its unread_tokens"
            yield f"let r{leg.id} read {_shown(tokens)} tokens", rule
        if view.whole_prompts and tokens != leg.unread_tokens:
            rule = f"this replica reads whole prompts: all {leg.unread_tokens} tokens at once"
            yield f"let r{leg.id} read {tokens} tokens", rule
    for leg in (*plan.recompute, *plan.swap):
        if leg.state not in {"prefilling", "decoding"}:
            yield f"preempted r{leg.id}, which is {leg.state}", "only running requests are preempted"
    for leg in plan.swap:
        if leg.state != "decoding":
            yield f"swapped out r{leg.id}, which is {leg.state}", "only decoding requests are swapped out"
    yield from _shortages(plan, view)
    yield from _standstills(plan, view)


def _strangers(plan: Plan, view: BatchView) -> Iterator[tuple[str, str]]:
    """Want every request to be one of this replica's, and to be named once."""
    here = {id(leg) for leg in (*view.waiting, *view.swapped, *view.running)}
    rule = "a Plan names requests of view.waiting, view.swapped and view.running, each at most once"
    try:
        named = [*plan.decodes, *(leg for leg, _ in plan.chunks), *plan.recompute, *plan.swap]
    except (TypeError, ValueError):
        yield (
            f"returned {_shown(plan)}",
            "decodes, recompute and swap list requests, chunks (request, tokens)",
        )
        return
    for leg in named:
        if id(leg) not in here:
            text = f"r{leg.id}" if hasattr(leg, "blocks_needed") else _shown(leg)
            yield f"named {text}, which is not at this replica or was named before,", rule
        here.discard(id(leg))


def _shortages(plan: Plan, view: BatchView) -> Iterator[tuple[str, str]]:
    """Want the step to fit into seats, tokens and memory."""
    seats = len(plan.decodes) + len(plan.chunks)
    if seats > view.max_num_seqs:
        yield f"formed a step of {seats} requests", f"at most {view.max_num_seqs} take part, its max_num_seqs"
    tokens = len(plan.decodes) + sum(tokens for _, tokens in plan.chunks)
    if tokens > view.token_budget:
        yield f"formed a step of {tokens} tokens", f"its token_budget is {view.token_budget}"
    left = view.free_blocks_after(
        (*plan.recompute, *plan.swap), (*plan.decodes, *(leg for leg, _ in plan.chunks))
    )
    if left < 0:
        rule = "preempt more, or let fewer take part; view.free_blocks_after() counts"
        yield f"formed a step that lacks {-left} KV blocks", rule
    swapped = sum(leg.swap_blocks for leg in plan.swap)
    if swapped > view.free_swap_blocks:
        yield f"swapped out {swapped} blocks", f"host memory has room for {view.free_swap_blocks}"


def _standstills(plan: Plan, view: BatchView) -> Iterator[tuple[str, str]]:
    """Want time to go on."""
    until = plan.until_s
    if until is not None and (not isinstance(until, int | float) or not view.now < until < math.inf):
        yield f"wanted to be asked at {_shown(until)}", "until_s is a later time [s], such as view.now + 0.1"
    if plan.steps is not None and (type(plan.steps) is not int or plan.steps < 1):
        yield f"wanted to be asked after {_shown(plan.steps)} steps", "steps is a whole number from 1 on"
    if not (plan.decodes or plan.chunks or plan.recompute or plan.swap) and until is None:
        yield "formed an empty step", "let somebody decode or read, or say until when to wait (until_s)"


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
    elif not isinstance(answer.until_s, Real) or not now + SOONEST <= answer.until_s <= LATEST:
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


def _refuse(
    policy: Policy, did: str, rule: str, request: RequestView | None, now: float, hook: str = ""
) -> NoReturn:
    place = place_of(getattr(type(policy), hook or policy.hook))
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
