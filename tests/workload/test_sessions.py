"""Sessions and closed-loop users: what follows a reply, when, and that it depends on nothing else."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

PS = 10**12
LOGNORMAL = {"kind": "lognormal", "median": 50, "p95": 400}
TALK = {
    "arrivals": {"kind": "poisson", "rate": "2/s"},
    "prompt_tokens": LOGNORMAL,
    "output_tokens": LOGNORMAL,
    "session": {
        "turns": {"kind": "geometric", "mean": 4},
        "think_time": {"kind": "exponential", "mean": "10 s"},
    },
}
USERS: dict[str, Any] = {
    "arrivals": {"kind": "closed-loop", "users": 25, "think_time": {"kind": "exponential", "mean": "10 s"}},
    "prompt_tokens": LOGNORMAL,
    "output_tokens": LOGNORMAL,
    "patience": {"kind": "uniform", "low": "1 s", "high": "2 s"},
    "images": {"kind": "uniform", "low": 0, "high": 3},
}


def follow(users, row, served: int = PS) -> list[np.void]:
    """Play one session, every request being served in `served` ps."""
    rows = [row]
    while (row := users.after(int(row["session"]), int(row["turn"]), int(row["at"]) + served)) is not None:
        rows.append(row)
    return rows


class TestSessions:
    def test_turns_and_thinking(self, make, everything) -> None:
        """The number of turns and the pauses have the stated means."""
        workload = make({"talk": TALK}, requests=2000)
        (users,) = workload.users
        sessions = [follow(users, row) for row in everything(workload)]
        turns = np.array([len(session) for session in sessions])
        assert turns.mean() == pytest.approx(4, rel=0.08)
        pauses = [
            (after["at"] - before["at"]) / PS - 1
            for session in sessions
            for before, after in pairwise(session)
        ]
        assert np.mean(pauses) == pytest.approx(10, rel=0.05)
        assert min(pauses) >= 0

    def test_history_is_carried(self, make, everything) -> None:
        """Every prompt holds all earlier prompts and replies, and something new."""
        workload = make({"talk": TALK}, requests=200)
        for first in everything(workload):
            session = follow(workload.users[0], first)
            assert [row["turn"] for row in session] == list(range(len(session)))
            assert {row["origin"] for row in session} == {first["origin"]}
            for before, after in pairwise(session):
                assert after["prompt"] > before["prompt"] + before["output"]
                assert after["bytes_up"] == 4 * after["prompt"]

    def test_history_may_be_left_out(self, make, everything) -> None:
        """Without history the new tokens are the same, and nothing else is sent."""
        bare = {**TALK, "session": {**TALK["session"], "carry_history": False}}
        full, cut = make({"talk": TALK}, requests=100), make({"talk": bare}, requests=100)
        for with_, without in zip(everything(full), everything(cut), strict=True):
            long, short = follow(full.users[0], with_), follow(cut.users[0], without)
            assert [row["output"] for row in long] == [row["output"] for row in short]
            said = 0
            for row, own in zip(long, short, strict=True):
                assert row["prompt"] == own["prompt"] + said
                said += own["prompt"] + own["output"]

    def test_next_turn_is_pure(self, make, everything) -> None:
        """Asked again, in any order, and of another build, the answer is the same but for the finish time."""
        workload, other = make({"talk": TALK}, requests=50), make({"talk": TALK, "more": {}}, requests=500)
        everything(workload)
        for session in (3, 1, 2, 1):
            one = workload.users[0].after(session, 0, 10 * PS)
            two = other.users[0].after(session, 0, 25 * PS)
            if one is None:
                assert two is None
                continue
            assert int(two["at"]) - int(one["at"]) == 15 * PS
            assert [one[name] for name in one.dtype.names[1:]] == [two[name] for name in one.dtype.names[1:]]

    def test_nothing_follows_after_the_end(self, make) -> None:
        """A turn that would come after the run does not come."""
        always = {**TALK, "session": {"turns": 100, "think_time": "2 s"}}
        (users,) = make({"talk": always}, duration=10.0).users
        assert users.after(0, 0, 7 * PS)["at"] == 9 * PS
        assert users.after(0, 0, 8 * PS) is None

    def test_first_turns_come_in_chunks_only(self, make) -> None:
        """`first` holds nothing that the chunks hold already."""
        workload = make({"talk": TALK}, requests=50)
        assert len(workload.users[0].first()) == 0
        assert workload.continuation(0) is workload.users[0]

    def test_single_requests_have_no_continuation(self, make) -> None:
        """Open-loop requests wait for nothing."""
        workload = make({"chat": {}}, requests=1)
        assert workload.users == ()
        assert workload.continuation(0) is None


class TestClosedLoop:
    def test_everybody_begins_once(self, make, everything) -> None:
        """Each user asks first after a think time; the nodes share the users evenly."""
        workload = make({"chat": {}, "users": USERS}, duration=10_000.0)
        (users,) = workload.users
        first = users.first()
        assert users.workload == 1
        assert set(first["workload"].tolist()) == {1}
        assert sorted(first["session"].tolist()) == list(range(25))
        assert (np.diff(first["at"]) >= 0).all()
        assert set(np.unique(first["origin"], return_counts=True)[1].tolist()) == {2, 3}
        assert set(first["origin"].tolist()) == set(range(20, 30))
        assert set(everything(workload)["workload"].tolist()) == {0}

    def test_users_per_node(self, make) -> None:
        """With `per: node` every node has that many."""
        keys = {**USERS, "arrivals": {**USERS["arrivals"], "users": 3, "per": "node"}}
        first = make({"users": keys}, duration=10_000.0).users[0].first()
        assert np.unique(first["origin"], return_counts=True)[1].tolist() == [3] * 10

    def test_users_never_stop_and_think_as_stated(self, make) -> None:
        """The same user asks turn after turn until the run ends."""
        (users,) = make({"users": USERS}, duration=20_000.0).users
        rows = follow(users, users.first()[0])
        assert len({int(row["session"]) for row in rows}) == 1
        assert [row["turn"] for row in rows] == list(range(len(rows)))
        gaps = np.diff([int(row["at"]) for row in rows]) / PS - 1
        assert gaps.mean() == pytest.approx(10, rel=0.1)
        assert rows[-1]["at"] < 20_000 * PS

    def test_contents_follow_their_distributions(self, make) -> None:
        """Single draws have the law that arrays of draws have."""
        (users,) = make({"users": USERS}, duration=1e6).users
        rows = [users.after(user, turn, 0) for user in range(25) for turn in range(100)]
        assert np.median([row["prompt"] for row in rows]) == pytest.approx(50, rel=0.08)
        assert np.percentile([row["output"] for row in rows], 95) == pytest.approx(400, rel=0.15)
        patience = np.array([row["patience"] for row in rows]) / PS
        assert patience.min() >= 1
        assert patience.max() < 2
        images = np.bincount([row["images"] for row in rows])
        assert images / 2500 == pytest.approx(np.full(4, 0.25), abs=0.04)
        assert all(row["bytes_up"] == 4 * row["prompt"] + 200_000 * row["images"] for row in rows)

    def test_next_request_is_pure(self, make) -> None:
        """Other users, other workloads and repetition change nothing."""
        (users,) = make({"users": USERS}, duration=1e5).users
        (other,) = make({"more": {}, "users": {**USERS, "priority": 3}}, duration=1e5).users
        other.first()
        one, again, two = users.after(7, 3, PS), users.after(7, 3, PS), other.after(7, 3, PS)
        assert one.tobytes() == again.tobytes()
        names = [name for name in one.dtype.names if name not in ("workload", "priority")]
        assert [one[name] for name in names] == [two[name] for name in names]

    def test_sessions_of_users_begin_anew(self, make) -> None:
        """A user's next session starts after the user's think time and without the old history."""
        keys = {
            **USERS,
            "arrivals": {"kind": "closed-loop", "users": 2, "think_time": "100 s"},
            "prompt_tokens": 10,
            "output_tokens": 5,
            "session": {"turns": 2, "think_time": "1 s"},
        }
        (users,) = make({"users": keys}, duration=400.0).users
        rows = follow(users, users.first()[1], served=PS)
        assert [(row["session"], row["turn"]) for row in rows] == [
            (1, 0),
            (1, 1),
            (3, 0),
            (3, 1),
            (5, 0),
            (5, 1),
        ]
        assert [row["at"] // PS for row in rows] == [100, 102, 203, 205, 306, 308]
        assert [row["prompt"] for row in rows] == [10, 25] * 3
        assert {row["origin"] for row in rows} == {25}

    def test_predictions_of_single_requests_err_as_stated(self, make) -> None:
        """The noisy predictor has its coefficient of variation here, too."""
        keys = {**USERS, "output_tokens": 1000, "prediction": {"error": "30 %"}}
        (users,) = make({"users": keys}, duration=1e6).users
        ratio = np.array([users.after(user, 0, 0)["predicted"] for user in range(2000)]) / 1000
        assert ratio.mean() == pytest.approx(1, rel=0.03)
        assert ratio.std() == pytest.approx(0.3, rel=0.06)
