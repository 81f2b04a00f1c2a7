"""Links that serve in order: integer rates against exact oracles, what mixed paths promise, and kernel against twin."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from edgesim.arena.rows import FAIR, FIFO, PRIORITY
from edgesim.network.fluid import Claim, Lines, share, water_fill

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

S = 10**12
MS = 10**9
MB = 10**9  # mB/s in a MB/s

Graph = tuple[list[int], list[int], list[Claim]]


def random_graph(seed: int, kinds: Sequence[int], *, demands: bool = True, access: bool = False) -> Graph:
    """Links, how they are shared, and flows over up to five of them; with `access`, each over a fair one of its own."""
    random = np.random.default_rng(seed)
    count = int(random.integers(1, 10))
    capacities = [int(c) for c in random.integers(10**6, 10 ** int(random.integers(7, 10)), count)]
    sharing = [int(kind) for kind in random.choice(kinds, count)]
    claims = []
    for key in range(int(random.integers(1, 30))):
        path = tuple(int(x) for x in random.permutation(count)[: random.integers(1, min(count, 5) + 1)])
        demand = int(random.integers(1000, 10**6)) if demands and random.random() < 0.3 else 0
        if access:
            path = (len(capacities), *path)
            capacities.append(int(random.integers(10**5, 10**8)))
            sharing.append(FAIR)
        claims.append(Claim(path, demand, int(random.integers(0, 4)), key, int(random.integers(0, 3))))
    return capacities, sharing, claims


def one_by_one(capacities: Sequence[int], claims: Sequence[Claim]) -> list[int]:
    """In the order in which they began, each takes all that those before it leave on its links."""
    left, rates = list(capacities), [0] * len(claims)
    for flow in sorted(range(len(claims)), key=lambda flow: (claims[flow].began, claims[flow].key)):
        rates[flow] = min(left[link] for link in claims[flow].path)
        for link in claims[flow].path:
            left[link] -= rates[flow]
    return rates


def class_by_class(capacities: Sequence[int], claims: Sequence[Claim]) -> list[Fraction]:
    """Each class shares max-min, exactly, what the more urgent ones leave on its links."""
    left, rates = [Fraction(c) for c in capacities], [Fraction(0)] * len(claims)
    for klass in sorted({claim.priority for claim in claims}):
        active = {flow for flow, claim in enumerate(claims) if claim.priority == klass}
        while active:
            crossing = Counter(link for flow in active for link in claims[flow].path)
            level = min(left[link] / n for link, n in crossing.items())
            level = min([level, *(Fraction(claims[f].demand) for f in active if claims[f].demand)])
            full = {link for link, n in crossing.items() if left[link] == level * n}
            for flow in [f for f in active if 0 < claims[f].demand <= level or full & {*claims[f].path}]:
                rates[flow] = level
                active.discard(flow)
                for link in claims[flow].path:
                    left[link] -= level
    return rates


@pytest.mark.parametrize("access", [False, True])
def test_on_fifo_links_each_takes_what_the_earlier_leave(access: bool) -> None:
    """To the unit, on random multi-hop graphs; fair links that a flow has for itself change nothing."""
    waiting = several = 0
    for seed in range(500):
        capacities, sharing, claims = random_graph(seed, [FIFO], demands=False, access=access)
        rates = share(capacities, sharing, claims)
        assert rates == one_by_one(capacities, claims), seed
        waiting += rates.count(0)
        several += sum(rate > 0 for rate in rates) > 1
    assert min(waiting, several) > 300


@pytest.mark.parametrize("access", [False, True])
def test_on_priority_links_classes_share_what_the_more_urgent_leave(access: bool) -> None:
    """Within a unit a flow of each class of what fractions say; whoever gets nothing there gets nothing here."""
    nothing = partly = 0
    for seed in range(500):
        capacities, sharing, claims = random_graph(seed, [PRIORITY], access=access)
        rates, exact = share(capacities, sharing, claims), class_by_class(capacities, claims)
        for rate, ideal, claim in zip(rates, exact, claims, strict=True):
            assert abs(rate - ideal) < 3 * len(claims), seed
            assert rate == 0 or ideal > 0
            nothing += rate == 0
            partly += rate > 0 and claim.priority > 0
    assert min(nothing, partly) > 900


def test_fair_links_alone_are_shared_as_ever() -> None:
    """Neither when flows began nor their class counts where all links are fair."""
    for seed in range(300):
        capacities, sharing, claims = random_graph(seed, [FAIR])
        assert share(capacities, sharing, claims) == water_fill(
            capacities, [(claim.path, claim.demand) for claim in claims]
        )


def test_lines_matter_only_where_they_limit() -> None:
    """Links that serve in order, but wide enough for all, leave the others' max-min fairness alone."""
    for seed in range(200):
        capacities, sharing, claims = random_graph(seed, [FAIR])
        wide = len(capacities)
        longer = [claim._replace(path=(wide, *claim.path, wide + 1)) for claim in claims]
        rates = share([*capacities, 10**11, 10**11], [*sharing, FIFO, PRIORITY], longer)
        assert rates == water_fill(capacities, [(claim.path, claim.demand) for claim in claims]), seed


def test_mixed_paths_waste_nothing_and_overload_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flow has its demand, or crosses a link with less than a unit a flow left; no link has more than it carries."""
    seen = Counter[str]()
    go_round = Lines.go_round

    def watched(lines: Lines) -> bool:
        again = any(lines.rates)
        got = go_round(lines)
        seen["shared again"] += again and got
        return got

    monkeypatch.setattr(Lines, "go_round", watched)
    for seed in range(600):
        kinds = ([FAIR, FIFO], [FAIR, PRIORITY], [FIFO, PRIORITY], [FAIR, FIFO, PRIORITY])[seed % 4]
        capacities, sharing, claims = random_graph(seed, kinds)
        rates = share(capacities, sharing, claims)
        load, crowd = Counter[int](), Counter[int]()
        for claim, rate in zip(claims, rates, strict=True):
            assert 0 <= rate <= (claim.demand or rate)
            for link in claim.path:
                load[link] += rate
                crowd[link] += 1
        full = {link for link in load if capacities[link] - load[link] < crowd[link]}
        assert all(load[link] <= capacities[link] for link in load), seed
        for claim, rate in zip(claims, rates, strict=True):
            assert rate == claim.demand or full & {*claim.path}, seed
        seen["waiting"] += rates.count(0)
        seen["mixed"] += sum(len({sharing[link] for link in claim.path}) > 1 for claim in claims)
    assert min(seen["waiting"], seen["mixed"]) > 1000
    assert seen["shared again"] > 10


def test_the_listing_of_flows_and_strangers_do_not_matter() -> None:
    """Rates are the same in any listing, and beside another network that shares no link."""
    for seed in range(200):
        capacities, sharing, claims = random_graph(seed, [FAIR, FIFO, PRIORITY])
        rates = share(capacities, sharing, claims)
        order = np.random.default_rng(seed).permutation(len(claims))
        assert share(capacities, sharing, [claims[i] for i in order]) == [rates[i] for i in order]
        far_capacities, far_sharing, far = random_graph(seed + 1000, [FAIR, FIFO, PRIORITY])
        moved = [claim._replace(path=tuple(link + len(capacities) for link in claim.path)) for claim in far]
        both = share([*capacities, *far_capacities], [*sharing, *far_sharing], [*claims, *moved])
        assert both == rates + share(far_capacities, far_sharing, far)


class TestMixedPaths:
    """A fair cell (link 0) before a wider or narrower link that serves in order (link 1), by hand."""

    @staticmethod
    def share(cell: int, trunk: int, sharing: int, *claims: Claim) -> list[int]:
        return share([cell, trunk], [FAIR, sharing], claims)

    @pytest.mark.parametrize("sharing", [FIFO, PRIORITY])
    def test_the_fair_link_stays_fair_where_it_is_what_limits(self, sharing: int) -> None:
        """9 before 10: the trunk could take all, so the cell decides: half each."""
        first, second = Claim((0, 1), key=1), Claim((0, 1), key=2, priority=1)
        assert self.share(9000, 10_000, sharing, first, second) == [4500, 4500]

    @pytest.mark.parametrize("sharing", [FIFO, PRIORITY])
    def test_the_line_counts_where_the_trunk_limits(self, sharing: int) -> None:
        """10 before 9: the trunk limits the first, so the second gives way; the cell has room to spare."""
        first, second = Claim((0, 1), key=1), Claim((0, 1), key=2, priority=1)
        assert self.share(10_000, 9000, sharing, first, second) == [9000, 0]
        assert self.share(10_000, 10_000, sharing, first, second) == [10_000, 0]

    def test_many_behind_one_do_not_hold_it_back_in_the_cell(self) -> None:
        """Nine backups and a chat in a cell of 100, trunk of 50: the chat has the trunk, not a tenth of the cell."""
        backups = [Claim((0, 1), key=key, priority=1) for key in range(9)]
        assert self.share(100, 50, PRIORITY, *backups, Claim((0, 1), key=9)) == [0] * 9 + [50]

    def test_who_does_not_cross_the_trunk_shares_the_cell(self) -> None:
        """A local flow has half of the cell with the first; the second has what both leave of the trunk."""
        local, first, second = Claim((0,)), Claim((0, 1), key=1), Claim((1,), key=2, priority=1)
        assert self.share(1000, 1200, PRIORITY, local, first, second) == [500, 500, 700]
        assert self.share(1000, 1200, FIFO, local, first, second) == [500, 500, 700]

    def test_a_slow_first_one_leaves_a_fifo_link_to_the_next(self) -> None:
        """Twenty slow senders fill a FIFO link together, in their order: five of 200 each, then nothing is left."""
        capacities, sharing = [1000, *[200] * 20], [FIFO, *[FAIR] * 20]
        claims = [Claim((flow + 1, 0), key=flow) for flow in range(20)]
        assert share(capacities, sharing, claims) == [200] * 5 + [0] * 15

    def test_one_that_waits_comes_back_with_its_rights(self) -> None:
        """The second gives way on the trunk, then shares its own cell with a stranger as far as the trunk has room."""
        # Cells 0 and 2 of 80, trunk 1 of 100. First: 80 of its cell. That leaves 20 of the trunk to the second, and 60
        # of the other cell to the stranger.
        first, second, stranger = Claim((0, 1), key=1), Claim((2, 1), key=2, priority=1), Claim((2,), key=0)
        for sharing in (FIFO, PRIORITY):
            assert share([8000, 10_000, 8000], [FAIR, sharing, FAIR], [first, second, stranger]) == [
                8000,
                2000,
                6000,
            ]

    def test_streams_need_not_queue_on_fifo_links(self) -> None:
        """Those that demand little take it beside the first of the others, early or late; by priority they have a class."""
        stream, early, late = Claim((0,), demand=10, began=5), Claim((0,), began=1), Claim((0,), began=2)
        assert share([1000], [FIFO], [late, stream, early]) == [0, 10, 990]
        assert share([1000], [PRIORITY], [stream._replace(priority=1), early]) == [0, 1000]
        assert share([1000], [PRIORITY], [stream, early._replace(priority=1)]) == [10, 990]

    def test_lines_that_hold_each_other_up(self) -> None:
        """Earlier on the FIFO link, less urgent on the other: the narrower link decides, and somebody is served."""
        early, urgent = Claim((0, 1), key=1, priority=1), Claim((0, 1), key=2, priority=0)
        assert share([1000, 2000], [FIFO, PRIORITY], [early, urgent]) == [1000, 0]
        assert share([2000, 1000], [FIFO, PRIORITY], [early, urgent]) == [0, 1000]


@pytest.mark.parametrize("teller", ["tell_by_twin", "tell_by_kernel"])
class TestByHand:
    """Timings that can be worked out on paper, told by both engines."""

    @staticmethod
    def tell(
        stories: ModuleType, teller: str, sharing: list[int], capacities: list[int], *deeds: dict[str, Any]
    ) -> dict[int, int]:
        """When each transfer has come [ps]."""
        told = [stories.Deed(**deed) for deed in sorted(deeds, key=lambda deed: (deed["at"], deed["key"]))]
        account = getattr(stories, teller)(capacities, told, 10**16, sharing)
        return {key: when for when, key in account.came}

    def test_one_after_the_other(self, stories: ModuleType, teller: str) -> None:
        """Three of 100, 300 and 200 kB over 1 MB/s; the shortest, which comes last, waits for both."""
        came = self.tell(
            stories, teller, [FIFO], [MB],
            {"at": 0, "key": 2, "path": (0,), "nbytes": 300_000},
            {"at": 0, "key": 1, "path": (0,), "nbytes": 200_000},
            {"at": S // 10, "key": 0, "path": (0,), "nbytes": 100_000},
        )  # fmt: skip
        assert came == {1: S // 5, 2: S // 2, 0: 6 * S // 10}

    def test_the_urgent_interrupt(self, stories: ModuleType, teller: str) -> None:
        """500 kB are interrupted after 0.2 s by two urgent transfers that share the link, and go on afterwards."""
        # Alone until 0.2 s: 200 kB. Then 2 x 100 kB at half the rate each until 0.4 s. The other 300 kB until 0.7 s.
        came = self.tell(
            stories, teller, [PRIORITY], [MB],
            {"at": 0, "key": 1, "path": (0,), "nbytes": 500_000, "priority": 7},
            {"at": S // 5, "key": 2, "path": (0,), "nbytes": 100_000, "priority": -1},
            {"at": S // 5, "key": 3, "path": (0,), "nbytes": 100_000, "priority": -1},
        )  # fmt: skip
        assert came == {2: 2 * S // 5, 3: 2 * S // 5, 1: 7 * S // 10}

    def test_waiting_here_leaves_room_there(self, stories: ModuleType, teller: str) -> None:
        """Who waits for one link does not hold the others: the third overtakes the second."""
        # Link 0 and 1 of 1 MB/s, both FIFO. 1: link 0 until 0.4 s. 2: both links, waits for link 0. 3: link 1, free.
        came = self.tell(
            stories, teller, [FIFO, FIFO], [MB, MB],
            {"at": 0, "key": 1, "path": (0,), "nbytes": 400_000},
            {"at": 0, "key": 2, "path": (0, 1), "nbytes": 100_000},
            {"at": 0, "key": 3, "path": (1,), "nbytes": 200_000},
        )  # fmt: skip
        assert came == {1: 4 * S // 10, 3: S // 5, 2: S // 2}

    def test_propagation_never_blocks(self, stories: ModuleType, teller: str) -> None:
        """The next begins as soon as the last byte has left, not when it has come."""
        deeds = [
            {"at": i * MS, "key": i, "path": (0,), "nbytes": 40_000, "latency": 10 * S} for i in range(20)
        ]
        came = self.tell(stories, teller, [FIFO], [MB], *deeds)
        assert came == {i: 10 * S + (i + 1) * 40 * MS for i in range(20)}


def test_kernel_equals_twin(stories: ModuleType) -> None:
    """The compiled kernel's rates, arrivals and bytes are those of the twin on random sequences over mixed links."""
    seen = Counter[str]()
    for seed in range(150):
        assert stories.differences(seed, streams=False, ordered=True) == [], seed
        capacities, sharing, deeds = stories.ordered_story(seed, streams=False)
        account = stories.tell_by_twin(capacities, deeds, 10**15, sharing)
        seen["transfers"] += len(account.came)
        seen["waiting"] += sum(0 in rates.values() for rates in account.rates)
        seen["same medium twice"] += sum(len(set(deed.path)) < len(deed.path) for deed in deeds)
    assert min(seen.values()) > 100, seen


def test_what_starts_is_delivered(stories: ModuleType) -> None:
    """Nobody waits for ever, and each link carried exactly what crossed it."""
    for seed in range(60):
        capacities, sharing, deeds = stories.ordered_story(seed, streams=False)
        account = stories.tell_by_kernel(capacities, deeds, 10**18, sharing)
        crossed = [0] * len(capacities)
        for deed in deeds:
            for link in deed.path:
                crossed[link] += deed.nbytes
        assert sorted(key for _, key in account.came) == sorted(deed.key for deed in deeds)
        # each change of a rate rounds at most a picosecond, in which 1e9 mB/s move a millionth of a byte
        assert account.carried == pytest.approx(crossed, rel=1e-9, abs=1e-6 * len(deeds) ** 2)
