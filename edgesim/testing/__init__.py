"""For authors of policies: tiny scenarios, a check that says what a policy does wrong, and fakes to call hooks by hand.

from edgesim.testing import assert_policy, fake_replica, fake_request, fake_system, started

def test_it_keeps_to_the_contract():
    assert_policy(MyRouter)

def test_it_avoids_what_is_full():
    full, free = fake_replica("full", queue_length=9), fake_replica("free")
    assert started(MyRouter()).route(fake_request(), [full, free], fake_system()) is free
"""

from edgesim.testing.check import assert_policy, check_policy, report_on
from edgesim.testing.fakes import (
    fake_batch,
    fake_leg,
    fake_prefix,
    fake_replica,
    fake_request,
    fake_system,
    started,
)
from edgesim.testing.finding import Finding, Report
from edgesim.testing.scenarios import STORIES, Story, tiny_scenario

__all__ = [
    "STORIES",
    "Finding",
    "Report",
    "Story",
    "assert_policy",
    "check_policy",
    "fake_batch",
    "fake_leg",
    "fake_prefix",
    "fake_replica",
    "fake_request",
    "fake_system",
    "report_on",
    "started",
    "tiny_scenario",
]
