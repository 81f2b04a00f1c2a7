"""What users read when a policy answers nonsense or fails in mid-run."""

from __future__ import annotations

import math
from textwrap import dedent

import numpy as np
import pytest

from edgesim import registry
from edgesim.errors import PolicyError
from edgesim.policies import Accept, Defer, Hedge, Plan, Reject
from edgesim.policies.checks import blame, check_admit, check_plan, check_rank, check_route

from .fakes import Batch, Leg, Replica, Request, System, drawn

NEAR, FAR, STRANGER = Replica("near"), Replica("far"), Replica("cloud/0")
CANDIDATES = [NEAR, FAR]
REQUEST = Request(id=12)
AT = "at t=3.2 s for request r12"
HEDGE_RULE = "Hedge needs a list of one or more different replicas out of the candidates (my_router.py:7)"
DEFER_RULE = "Defer needs a later time [s], such as view.now + 0.1 (my_router.py:7)"
REJECT_RULE = 'Reject needs a reason in words, such as "queue-full" (my_router.py:7)'
RULE = "route() must return one of the given replicas, Reject, Defer or Hedge (my_router.py:7)"


@pytest.fixture
def my_router(tmp_path, monkeypatch):
    """A router of a user who works in the folder of its file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_router.py").write_text(
        dedent(
            '''\
            from edgesim.policies import Router, register

            @register("my-router")
            class MyRouter(Router):
                """Fail."""

                def route(self, request, candidates, view):
                    self.turns = {}
                    return self.pick(candidates)

                def pick(self, candidates):
                    return self.turns[candidates[0].name]
            '''
        )
    )
    registry.load_plugin("my_router.py")
    yield registry.build("router", "my-router")
    registry.registries["router"].forget(registry.lookup("router", "my-router").__module__)


@pytest.mark.parametrize(
    "answer", [NEAR, FAR, Reject("full"), Defer(3.3), Hedge([NEAR]), Hedge((FAR, NEAR))], ids=str
)
def test_good_routes_pass(my_router, answer):
    """Every answer that the contract names is taken."""
    check_route(my_router, answer, CANDIDATES, REQUEST, 3.2)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (None, f"returned None {AT}; {RULE}"),
        ("edge", f"returned 'edge' {AT}; {RULE}"),
        (STRANGER, f"returned replica 'cloud/0', which is not among the candidates, {AT}; {RULE}"),
        (Hedge([NEAR, NEAR]), f"returned Hedge(['near', 'near']) {AT}; {HEDGE_RULE}"),
        (Hedge([]), f"returned Hedge([]) {AT}; {HEDGE_RULE}"),
        (Defer(3.2), f"returned Defer(until_s=3.2) {AT}; {DEFER_RULE}"),
        (Reject(""), f"returned Reject(reason='') {AT}; {REJECT_RULE}"),
    ],
    ids=str,
)
def test_bad_routes_are_refused(my_router, answer, message):
    """The message names policy, answer, moment, request, rule and line."""
    with pytest.raises(PolicyError) as caught:
        check_route(my_router, answer, CANDIDATES, REQUEST, 3.2)
    assert f"router 'my-router' {message}" == str(caught.value)


@pytest.mark.parametrize("until", [math.inf, math.nan, "later", None, 1e12, 3.2 + 1e-12])
def test_deferral_needs_a_finite_time(my_router, until):
    """A deferral for ever would lose the request, one without end or step would stop the clock."""
    with pytest.raises(PolicyError, match="Defer needs a later time"):
        check_route(my_router, Defer(until), CANDIDATES, REQUEST, 3.2)


def test_hedge_over_strangers_is_refused(my_router):
    """Every copy must go to a candidate."""
    with pytest.raises(PolicyError, match=r"returned Hedge\(\['near', 'cloud/0'\]\)"):
        check_route(my_router, Hedge([NEAR, STRANGER]), CANDIDATES, REQUEST, 3.2)


def test_an_exception_is_blamed_on_the_users_line(my_router):
    """The line is that of the user's file where it went wrong, not that of the hook."""
    my_router.start(System(), drawn())
    try:
        my_router.route(REQUEST, CANDIDATES, System())
    except KeyError as error:
        blamed = blame(my_router, error, REQUEST, 3.2)
    expected = (
        "router 'my-router' raised KeyError in route() at t=3.2 s for request r12: 'near' (my_router.py:12)"
    )
    assert expected == str(blamed)


def test_our_own_errors_keep_their_words(my_router):
    """A view that refuses is quoted, without the name of our exception."""
    blamed = blame(my_router, PolicyError("output_tokens needs oracle = True"), REQUEST, 0.5)
    expected = (
        "router 'my-router' failed in route() at t=0.5 s for request r12: "
        "output_tokens needs oracle = True (my_router.py:7)"
    )
    assert expected == str(blamed)


def test_other_hooks_are_named(my_router):
    """Setting up happens before there is any request."""
    blamed = blame(my_router, ValueError("no"), None, 0.0, "setup")
    assert str(blamed).startswith("router 'my-router' raised ValueError in setup() at t=0 s: no (")


@pytest.mark.parametrize("answer", [0, -3, 2.5, math.inf, -math.inf, np.float32(1.5), np.int64(7)])
def test_good_ranks_pass(answer):
    """Any number orders the queue."""
    check_rank(registry.build("scheduler", "fcfs"), answer, REQUEST, 3.2)


@pytest.mark.parametrize("answer", [None, "high", math.nan, 10**400, 1e305, 1j])
def test_bad_ranks_are_refused(answer):
    """What cannot be ordered is no rank."""
    with pytest.raises(
        PolicyError, match=r"^scheduler 'fcfs' returned .* at t=3.2 s for request r12; rank\(\) must"
    ):
        check_rank(registry.build("scheduler", "fcfs"), answer, REQUEST, 3.2)


@pytest.mark.parametrize("answer", [True, Accept(), Reject("full"), Defer(4.0)])
def test_good_admissions_pass(answer):
    """Every answer that the contract names is taken."""
    check_admit(registry.build("admission", "accept-all"), answer, REQUEST, 3.2)


@pytest.mark.parametrize("answer", [None, False, 1, Hedge([NEAR])])
def test_bad_admissions_are_refused(answer):
    """A plain no says too little: results count refusals by reason."""
    with pytest.raises(PolicyError, match=r"admit\(\) must return True or Accept, Reject"):
        check_admit(registry.build("admission", "accept-all"), answer, REQUEST, 3.2)


D = [Leg(id=i) for i in range(4)]
READER = Leg(id=4, state="prefilling", unread_tokens=7, blocks_needed=0)
NEW = Leg(id=5, state="waiting", unread_tokens=7, blocks_needed=3)
AWAY = Leg(id=6, state="swapped", blocks_needed=2)
BATCH = Batch(waiting=[NEW], swapped=[AWAY], running=[*D, READER])


@pytest.mark.parametrize(
    "plan",
    [
        Plan(D[:2], [(READER, 7)]),
        Plan([AWAY]),
        Plan([D[0]], [(NEW, 3)], recompute=[D[1]]),
        Plan([D[0], AWAY], swap=[D[1]]),
        Plan(recompute=D),
        Plan(until_s=3.3),
        Plan([D[0]], steps=1, until_s=5),
    ],
)
def test_good_plans_pass(plan):
    """Every step that fits is taken."""
    check_plan(registry.build("scheduler", "multilevel-feedback"), plan, BATCH)


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (Plan(D), "formed a step of 4 requests {at}; at most 3 take part, its max_num_seqs ("),
        (Plan(D[:2], [(READER, 9)]), "let r4 read 9 tokens {at}; it can read 1 to 7 tokens, its unread_tokens ("),
        (Plan([D[0]], [(READER, 7), (NEW, 3)]), "formed a step of 11 tokens {at}; its token_budget is 10 ("),
        (Plan([D[0], AWAY]), "formed a step that lacks 1 KV blocks {at}; preempt more, or let fewer take part; "),
        (Plan([D[0]], swap=D[1:3]), "swapped out 4 blocks {at}; host memory has room for 3 ("),
        (Plan([D[0]], swap=[READER]), "swapped out r4, which is prefilling {at}; only decoding requests are "),
        (Plan([D[0]], recompute=[AWAY]), "preempted r6, which is swapped {at}; only running requests are "),
        (Plan([READER]), "let r4 decode, which is prefilling {at}; only decoding and swapped requests decode ("),
        (Plan(chunks=[(D[0], 1)]), "let r0 read, which is decoding {at}; only waiting and prefilling requests read ("),
        (Plan([D[0]], recompute=[D[0]]), "named r0, which is not at this replica or was named before, {at}; a Plan "),
        (Plan([Leg(id=77)]), "named r77, which is not at this replica or was named before, {at}; a Plan names "),
        (Plan([D[0]], until_s=math.inf), "wanted to be asked at inf {at}; until_s is a later time [s], such as "),
    ],
)  # fmt: skip
def test_bad_plans_are_refused(plan, message):
    """The message names policy, step, moment, replica, rule and line."""
    with pytest.raises(PolicyError) as caught:
        check_plan(registry.build("scheduler", "multilevel-feedback"), plan, BATCH)
    expected = message.format(at="at t=3.2 s for replica 'edge/llama'")
    assert str(caught.value).startswith(f"scheduler 'multilevel-feedback' {expected}")


def test_whole_prompts_are_not_cut():
    """An encoder reads a prompt in one step."""
    batch = Batch(running=[READER], whole_prompts=True)
    with pytest.raises(PolicyError, match="this replica reads whole prompts: all 7 tokens at once"):
        check_plan(registry.build("scheduler", "multilevel-feedback"), Plan(chunks=[(READER, 6)]), batch)
