"""Whom the built-in admissions let in."""

from __future__ import annotations

from edgesim import registry
from edgesim.policies import Accept, Reject

from .fakes import Replica, Request, System, drawn


def admit(policy, now=0.0, queue=0):
    return policy.admit(Request(), Replica("edge", queue_length=queue), System(now=now))


def test_accept_all():
    """Everything gets in."""
    assert admit(registry.build("admission", "accept-all"), queue=10**6) is True


def test_queue_limit_refuses_at_the_limit():
    """With room for two, the third waiting request is refused."""
    policy = registry.build("admission", {"kind": "queue-limit", "max_queue": 2})
    assert admit(policy, queue=1) is True
    assert Reject("queue-full") == admit(policy, queue=2)


class TestTokenBucket:
    def build(self, rate="2/s", burst=2):
        policy = registry.build("admission", {"kind": "token-bucket", "rate": rate, "burst": burst})
        policy.start(System(now=0.0), drawn())
        return policy

    def test_lets_a_burst_in_and_no_more(self):
        """Two at once get in, the third does not."""
        policy = self.build()
        assert [True, True, Reject("rate-limit")] == [admit(policy) for _ in range(3)]

    def test_refills_at_its_rate(self):
        """At two a second, half a second buys one more."""
        policy = self.build()
        assert [admit(policy), admit(policy)] == [True, True]
        assert Reject("rate-limit") == admit(policy, now=0.4)
        assert admit(policy, now=0.5) is True
        assert Reject("rate-limit") == admit(policy, now=0.5)

    def test_never_holds_more_than_the_burst(self):
        """A long quiet time buys one burst, not more."""
        policy = self.build()
        assert [True, True, Reject("rate-limit")] == [admit(policy, now=1000.0) for _ in range(3)]

    def test_each_replication_starts_full(self):
        """Starting again forgets what was spent."""
        policy = self.build(burst=1)
        assert admit(policy) is True
        policy.start(System(now=0.0), drawn())
        assert admit(policy) is True


def test_an_accept_is_true():
    """An empty answer must not read as a refusal."""
    assert Accept()
