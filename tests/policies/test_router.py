"""Where the built-in routers send requests."""

from __future__ import annotations

import pytest

from edgesim import registry
from edgesim.policies import Estimate, Reject

from .fakes import Replica, Request, System, drawn

SYSTEM = System()


def route(spec, candidates, request=None, draws=(0.0, 0.0)):
    policy = registry.build("router", spec)
    policy.start(SYSTEM, drawn(*draws))
    answer = policy.route(request or Request(), candidates, SYSTEM)
    return getattr(answer, "name", answer)


PHONE = Replica("phone", "device", local=True, running=3, latency=0.0)
PEER = Replica("peer", "device", running=0, latency=0.004)
EDGE = Replica("edge", "edge", running=2, latency=0.005)
OTHER = Replica("other", "edge", running=1, latency=0.006)
CLOUD = Replica("cloud", "cloud", running=9, latency=0.03)
EVERYBODY = [PHONE, PEER, EDGE, OTHER, CLOUD]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("local-only", "phone"),
        ("edge-only", "other"),
        ("cloud-only", "cloud"),
        ("nearest", "phone"),
        ("join-shortest-queue", "peer"),
    ],
)
def test_each_picks_its_place(spec, expected):
    """Each router of fixed taste picks its place among all tiers."""
    assert route(spec, EVERYBODY) == expected


@pytest.mark.parametrize("spec", ["local-only", "edge-only", "cloud-only"])
def test_tier_routers_never_fall_back(spec):
    """A router bound to a tier refuses when nobody is there."""
    assert route(spec, [PEER]) == Reject("no-replica")


def test_equally_loaded_replicas_go_to_the_nearest():
    """Candidates come nearest first, and the first of equals wins."""
    assert route("join-shortest-queue", [Replica("near"), Replica("far")]) == "near"


@pytest.mark.parametrize(("draw", "expected"), [(0.0, "phone"), (0.2, "peer"), (0.999999, "cloud")])
def test_random_spreads_over_all_candidates(draw, expected):
    """A uniform number picks the candidate in its fifth of the interval."""
    assert route("random", EVERYBODY, draws=(draw,)) == expected


def test_round_robin_takes_turns_and_starts_anew_each_replication():
    """Three candidates are asked in turn; another start begins with the first."""
    policy = registry.build("router", "round-robin")
    candidates = [Replica("a"), Replica("b"), Replica("c")]
    for _ in range(2):
        policy.start(SYSTEM, drawn())
        assert "".join(policy.route(Request(), candidates, SYSTEM).name for _ in range(5)) == "abcab"


@pytest.mark.parametrize(
    ("draws", "expected"),
    [
        ((0.0, 0.0), "b"),  # a and b
        ((0.4, 0.6), "b"),  # b and c
        ((0.9, 0.1), "c"),  # c and a
        ((0.0, 0.6), "c"),  # a and c
    ],
)
def test_power_of_two_compares_two_different_replicas(draws, expected):
    """The less loaded one of the two drawn wins, and the two always differ."""
    candidates = [Replica("a", running=3), Replica("b", running=1), Replica("c", running=2)]
    assert route("power-of-two", candidates, draws=draws) == expected


def test_power_of_two_takes_an_only_candidate():
    """With one candidate there is nothing to compare."""
    assert route("power-of-two", [CLOUD], draws=(0.5, 0.5)) == "cloud"


def test_power_of_two_draws_each_pair_equally_often():
    """Over a grid of draws every ordered pair of four candidates comes up equally often."""
    seen = {}
    candidates = [Replica(str(i), running=i) for i in range(4)]
    for i in range(4):
        for j in range(3):
            name = route("power-of-two", candidates, draws=((i + 0.5) / 4, (j + 0.5) / 3))
            seen[name] = seen.get(name, 0) + 1
    assert seen == {"0": 6, "1": 4, "2": 2}


def test_least_outstanding_tokens_looks_at_tokens_not_requests():
    """Few long requests weigh more than many short ones."""
    long = Replica("long", running=1, outstanding_tokens=9000)
    short = Replica("short", running=5, outstanding_tokens=500)
    assert route("least-outstanding-tokens", [long, short]) == "short"


@pytest.mark.parametrize(
    ("spec", "expected"), [("greedy-latency", "fast"), ("greedy-energy", "lean"), ("oracle", "fast")]
)
def test_greedy_routers_follow_the_estimate(spec, expected):
    """Each greedy router minimises its own term of the estimate."""
    fast = Replica("fast", estimate=Estimate(1.0, 0.5, 9.0, 0.1))
    lean = Replica("lean", estimate=Estimate(2.0, 0.1, 3.0, 0.2))
    assert route(spec, [lean, fast]) == expected


def test_only_the_oracle_knows_the_truth():
    """Of the built-in routers exactly one is marked as clairvoyant."""
    assert [
        row.name for row in registry.describe("router") if registry.lookup("router", row.name).oracle
    ] == ["oracle"]


class TestThresholdOffload:
    def test_stays_local_below_the_threshold(self):
        """Three waiting requests are fewer than four, however idle the others are."""
        local = Replica("local", "device", queue_length=3, local=True)
        assert route("threshold-offload", [local, EDGE, CLOUD]) == "local"

    def test_leaves_at_the_threshold(self):
        """Four waiting requests send the fifth to the next tier."""
        local = Replica("local", "device", queue_length=4, local=True)
        assert route("threshold-offload", [local, CLOUD, EDGE]) == "edge"

    def test_prefers_a_peer_to_the_next_tier(self):
        """A free neighbour of the same tier comes before a higher tier."""
        local = Replica("local", "edge", queue_length=4, local=True)
        request = Request(origin="edge[0]", origin_tier="edge")
        assert route("threshold-offload", [local, CLOUD, OTHER], request) == "other"

    def test_goes_to_the_least_loaded_when_all_are_full(self):
        """With every queue at the threshold, load decides over distance."""
        full = [Replica(name, queue_length=4, running=n) for name, n in (("a", 3), ("b", 1), ("c", 2))]
        assert route("threshold-offload", full) == "b"

    def test_threshold_is_a_parameter(self):
        """With a threshold of one, a single waiting request is enough to leave."""
        local = Replica("local", "device", queue_length=1, local=True)
        assert route({"kind": "threshold-offload", "max_queue": 1}, [local, CLOUD]) == "cloud"


def test_a_retried_request_draws_new_numbers():
    """The same request and index draw the same number, another attempt another one."""
    policy = registry.build("router", "random")
    policy.start(SYSTEM, lambda request, index: float(request * 1000 + index))
    assert policy.random(Request(id=7), 3) == policy.random(7, 3) == 7003
    assert policy.random(Request(id=7, attempts=1), 3) != 7003
