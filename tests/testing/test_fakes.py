"""Fakes answer everything that the contracts promise, and policies can be called by hand with them."""

from __future__ import annotations

import pytest

from edgesim.errors import PolicyError
from edgesim.policies import Estimate
from edgesim.policies.contract import ORACLE_ONLY, VIEWS, members, names
from edgesim.policies.multilevel import MultilevelFeedback
from edgesim.policies.router import GreedyLatency, PowerOfTwo, ThresholdOffload
from edgesim.serving.reference_cache import Node
from edgesim.serving.steps import BatchLook, LegLook
from edgesim.serving.views import ReplicaLook, RequestLook, SystemLook
from edgesim.testing import (
    fake_batch,
    fake_leg,
    fake_prefix,
    fake_replica,
    fake_request,
    fake_system,
    started,
)

FAKES = {
    "request": fake_request(true_output_tokens=9),
    "replica": fake_replica(),
    "view": fake_system(),
    "prefix": fake_prefix(),
    "leg": fake_leg(true_output_tokens=9),
    "batch": fake_batch(),
}
REAL = {
    "request": RequestLook,
    "replica": ReplicaLook,
    "view": SystemLook,
    "leg": LegLook,
}


@pytest.mark.parametrize("kind", VIEWS)
def test_a_fake_answers_all_of_its_contract(kind: str) -> None:
    """A policy that keeps to the contract runs with fakes; nothing is missing."""
    promised = names(VIEWS[kind])
    assert len(promised) > 1
    for name in promised:
        assert getattr(FAKES[kind], name) is not NotImplemented


@pytest.mark.parametrize("kind", REAL)
def test_the_contract_is_what_the_engine_shows(kind: str) -> None:
    """The names that are listed for authors, and guarded, are those of the real views."""
    real = REAL[kind]
    missing = {
        name for name in names(VIEWS[kind]) if not hasattr(real, name) and name not in real.__annotations__
    }
    assert not missing


def test_the_contract_has_texts_and_knows_the_oracles() -> None:
    """Every property says what it is; what only oracles read is in the contract."""
    assert all(member.text for view in VIEWS.values() for member in members(view))
    assert set(ORACLE_ONLY) <= names(VIEWS["request"]) | names(VIEWS["prefix"])
    assert {member.name for member in members(VIEWS["batch"]) if member.call} == {
        "free_blocks_after",
        "prefill_time",
        "decode_time",
    }
    assert {"next_use", "hits"} <= names(VIEWS["prefix"]) & set(dir(Node("k", None, 0, users=1)))
    assert callable(BatchLook.free_blocks_after)


def test_hooks_can_be_called_by_hand() -> None:
    """Estimates, tiers and random numbers are there."""
    slow, fast = fake_replica("slow", estimate=Estimate(2, 1, 1, 1)), fake_replica("fast")
    assert started(GreedyLatency()).route(fake_request(), [slow, fast], fake_system()) is fast
    home = fake_replica("home", tier="device", local=True)
    assert started(ThresholdOffload()).route(fake_request(), [slow, home], fake_system()) is home
    many = [fake_replica(str(i), queue_length=i) for i in range(8)]
    chosen = [
        started(PowerOfTwo(), seed=seed).route(fake_request(id=i), many, fake_system()).name
        for seed in (1, 2)
        for i in range(20)
    ]
    assert chosen[:20] != chosen[20:]
    assert len(set(chosen)) > 3
    plan = started(MultilevelFeedback()).schedule(fake_batch(running=[fake_leg()]))
    assert len(plan.decodes) == 1


def test_true_lengths_are_hidden_in_fakes_too() -> None:
    """A policy that peeks fails its unit test, unless the test gives the truth."""
    with pytest.raises(PolicyError, match="true_output_tokens"):
        _ = fake_request().output_tokens
    assert fake_request(true_output_tokens=7).output_tokens == 7
