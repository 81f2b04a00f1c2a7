"""The compiled tier of policies decides as their Python tier does."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from edgesim import simulation
from edgesim.arena.compile import JIT
from edgesim.errors import PolicyError
from edgesim.policies import Router, compiled, register
from edgesim.registry import registries
from edgesim.scenario import load
from edgesim.streams import uniform
from edgesim.verify.check import Kept

pytestmark = pytest.mark.skipif(not JIT, reason="the compiled tier needs the compiler")

SCENARIO = {
    "scenario": {"name": "tiers", "seed": 3, "requests": 400},
    "topology": {
        "nodes": {
            "users": {"tier": "device", "count": 5},
            "servers": {"tier": "cloud", "accelerator": "nvidia-a100-80gb-sxm", "accelerators": 4},
            "box": {"tier": "edge", "accelerator": "nvidia-l4"},
        },
        "links": [
            {"between": ["users", "box"], "latency": "3 ms", "bandwidth": "50 Mbps", "shared": True},
            {"between": ["box", "servers"], "latency": "10 ms", "bandwidth": "1 Gbps"},
        ],
    },
    "deployments": [
        {"llm": "llama-3.1-8b", "on": "servers", "replicas": 4},
        {"llm": "llama-3.1-8b", "weights": "int4", "on": "box"},
    ],
    "workloads": {
        "chat": {
            "from": "users",
            "arrivals": {"kind": "poisson", "rate": "40/s"},
            "prompt_tokens": {"kind": "exponential", "mean": 600, "max": 4000},
            "output_tokens": {"kind": "exponential", "mean": 80, "max": 600},
        }
    },
}


def records(router: object, worth: int, monkeypatch: pytest.MonkeyPatch, story: object = None) -> np.ndarray:
    """Records of a run whose router is compiled from `worth` requests on."""
    monkeypatch.setattr(simulation, "WORTH_COMPILING", worth)
    kept = Kept()
    run = simulation.Simulation(load(SCENARIO | {"policies": {"router": router}}))
    if story is not None:
        story(run)
    run.run(kept)
    assert bool(run.engine.control["router"]) == (worth == 0)
    return kept.records


@pytest.mark.parametrize(
    "router", ["nearest", "random", "join-shortest-queue", "least-outstanding-tokens", "power-of-two"]
)
def test_compiled_built_ins_decide_as_their_python_tier(router: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both tiers give the same records, to the bit."""
    assert np.array_equal(records(router, 0, monkeypatch), records(router, 10**9, monkeypatch))


def test_replicas_that_are_not_up_are_left_to_the_python_tier(monkeypatch: pytest.MonkeyPatch) -> None:
    """Failing and starting replicas changes nothing about the agreement."""

    def story(run: simulation.Simulation) -> None:
        run.fail_replica(1, at=2)
        run.start_replica(1, at="4 s")

    compiled_tier = records("power-of-two", 0, monkeypatch, story)
    assert np.array_equal(compiled_tier, records("power-of-two", 10**9, monkeypatch, story))
    assert (compiled_tier["status"] == 2).any()


def _last(view, request, candidates, parameters, key):
    return len(candidates) - 1 if parameters[0] > 0.5 else 0


@pytest.fixture
def forget() -> Iterator[None]:
    """Leave no policy of this file behind for other tests."""
    yield
    registries["router"].forget(__name__)


def test_a_plugin_may_bring_its_compiled_form(monkeypatch: pytest.MonkeyPatch, forget: None) -> None:
    """A router of one's own with `compiled_route` is called by the kernel, with its parameters."""

    @register("farthest-for-tests")
    class Farthest(Router):
        """Send each request to the farthest replica."""

        far: bool = True
        compiled_route = compiled(_last)

        def route(self, request, candidates, view):
            return candidates[-1 if self.far else 0]

    kept = Kept()
    run = simulation.Simulation(load(SCENARIO | {"policies": {"router": "farthest-for-tests"}}))
    run.run(kept)
    assert run.engine.control["router"]
    monkeypatch.setattr(Farthest, "compiled_route", None)
    assert np.array_equal(
        kept.records,
        records("farthest-for-tests", 10**9, monkeypatch),
    )


def test_the_kernel_draws_what_streams_draw() -> None:
    """`uniform` is the same pure function in both languages."""
    from numba import njit

    from edgesim.serving.compiled import uniform as compiled_uniform

    @njit
    def ask(key, request, index):
        return compiled_uniform(key, request, index)

    for key, request, index in [(1, 2, 3), (2**63 + 5, 10**9, 65537), (2**64 - 1, 0, 0)]:
        assert ask(np.uint64(key), request, index) == uniform(key, request, index)


@compiled
def _raises(view, request, candidates, parameters, key):
    if request.request > 20:
        raise ValueError("no")
    return 0


@compiled
def _points_outside(view, request, candidates, parameters, key):
    return len(candidates) + 5


@compiled
def _reads_outside(view, request, candidates, parameters, key):
    return candidates[100_000_000].replica * 0


@compiled
def _answers_shares(view, request, candidates, parameters, key):
    return 0.5


@compiled
def _does_not_compile(view, request, candidates, parameters, key):
    return candidates.nosuch


@compiled
def _misreads(view, request, candidates, parameters, key):
    return request.prompt_tokens


@compiled
def _answers_words(view, request, candidates, parameters, key):
    return 0 if request.prompt else "none"


@compiled
def _takes_all(view, request, candidates, parameters, key):
    return 0


@compiled
def _takes_too_little(view, request, candidates):
    return 0


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (_misreads, "rows of requests and candidates have no 'prompt_tokens'; they have request, workload, "),
        (_answers_words, "does not compile: Cannot unify"),
        (
            _takes_too_little,
            "takes (view, request, candidates); it must be (view, request, candidates, parameters",
        ),
        (_raises, "raised an exception for request r21 at t="),
        (_points_outside, "returned 10 for request r0 at t="),
        (_reads_outside, "raised an exception for request r0 at t="),
        (_answers_shares, "answers float64, not a whole number"),
        (_does_not_compile, "does not compile: "),
        (lambda view, request, candidates, parameters, key: 0, "mark it with @edgesim.compiled"),
    ],
)
def test_compiled_policies_are_held_to_the_contract(function, told, monkeypatch, forget) -> None:
    """What they do wrong stops the run with the policy, the request and the line, as in Python."""

    @register("compiled-mischief")
    class Mischief(Router):
        """Does something wrong in its compiled form."""

        compiled_route = function

        def route(self, request, candidates, view):
            return candidates[0]

    with pytest.raises(PolicyError, match="compiled-mischief") as caught:
        records("compiled-mischief", 0, monkeypatch)
    assert told in str(caught.value)
    assert len(str(caught.value)) < 500
    assert "test_compiled.py:" in str(caught.value)


def test_a_compiled_policy_has_so_many_parameters_and_no_more(monkeypatch, forget) -> None:
    """Those beyond would be lost without a word."""

    @register("compiled-mischief")
    class Mischief(Router):
        """Has nine parameters."""

        __annotations__ = dict.fromkeys("abcdefghi", int)
        a = b = c = d = e = f = g = h = i = 1
        compiled_route = _takes_all

        def route(self, request, candidates, view):
            return candidates[0]

    with pytest.raises(PolicyError, match="is given 8 parameters at most; the policy has 9: a, b, c"):
        records("compiled-mischief", 0, monkeypatch)
