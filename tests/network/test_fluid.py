"""Fluid flows: integer water-filling against exact fractions, and the kernel's flows against water-filling."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import simpy

from edgesim.network.fluid import FluidNetwork, water_fill

if TYPE_CHECKING:
    from types import ModuleType

S = 10**12
MS = 10**9

Graph = tuple[list[int], list[tuple[tuple[int, ...], int]]]


def random_graph(seed: int) -> Graph:
    """Capacities, and paths and demands of flows that cross up to five links each."""
    random = np.random.default_rng(seed)
    count = int(random.integers(1, 12))
    capacities = [int(c) for c in random.integers(10**3, 10 ** int(random.integers(4, 10)), count)]
    flows = []
    for _ in range(int(random.integers(1, 40))):
        path = tuple(int(x) for x in random.permutation(count)[: random.integers(1, min(count, 5) + 1)])
        demand = int(10 ** random.uniform(0, np.log10(min(capacities)))) if random.random() < 0.4 else 0
        flows.append((path, demand))
    return capacities, flows


def exact_rates(graph: Graph) -> tuple[list[Fraction], list[int | None]]:
    """Max-min rates as fractions, and the link that limits each flow (None: its own demand)."""
    capacities, flows = graph
    left = [Fraction(c) for c in capacities]
    rates = [Fraction(0)] * len(flows)
    limits: list[int | None] = [None] * len(flows)
    active = set(range(len(flows)))
    while active:
        crossing = Counter(link for flow in active for link in flows[flow][0])
        level, bottleneck = min((left[link] / n, link) for link, n in crossing.items())
        wishes = [(flows[flow][1], flow) for flow in active if flows[flow][1]]
        if wishes and min(wishes)[0] <= level:
            level = Fraction(min(wishes)[0])
            done = {flow for wish, flow in wishes if wish == level}
        else:
            done = {flow for flow in active if bottleneck in flows[flow][0]}
            for flow in done:
                limits[flow] = bottleneck
        for flow in done:
            rates[flow] = level
            for link in flows[flow][0]:
                left[link] -= level
        active -= done
    return rates, limits


@pytest.mark.parametrize("first", range(0, 1000, 250))
def test_integer_rates_equal_exact_water_filling(first: int) -> None:
    """Whole rates lie within one unit a flow of the exact ones: what rounding leaves of a link never piles up."""
    limited = demanding = hops = 0
    for seed in range(first, first + 250):
        graph = random_graph(seed)
        capacities, flows = graph
        rates = water_fill(capacities, flows)
        exact, limits = exact_rates(graph)
        load = Counter[int]()
        for (path, demand), rate in zip(flows, rates, strict=True):
            assert 0 < rate <= (demand or rate)
            for link in path:
                load[link] += rate
        assert all(load[link] <= capacities[link] for link in load)
        crowd = Counter(link for path, _ in flows for link in path)
        for (path, _), rate, ideal, limit in zip(flows, rates, exact, limits, strict=True):
            bound = crowd[limit] if limit is not None else max(crowd[link] for link in path)
            assert abs(rate - ideal) < bound, (seed, path)
            limited += limit is not None
            demanding += limit is None
            hops += len(path) > 1
    assert min(limited, demanding, hops) > 500


@pytest.mark.parametrize("seed", range(100))
def test_every_flow_has_a_reason_for_its_rate(seed: int) -> None:
    """A flow has its demand, or crosses a full link on which nobody has more than one unit more."""
    capacities, flows = random_graph(seed)
    rates = water_fill(capacities, flows)
    load, crowd, most = Counter[int](), Counter[int](), Counter[int]()
    for (path, _), rate in zip(flows, rates, strict=True):
        for link in path:
            load[link] += rate
            crowd[link] += 1
            most[link] = max(most[link], rate)
    for (path, demand), rate in zip(flows, rates, strict=True):
        full = [
            link for link in path if capacities[link] - load[link] < crowd[link] and most[link] <= rate + 1
        ]
        assert rate == demand or full


def test_rates_of_a_small_network() -> None:
    """Two links, three flows, by hand: the long flow and its rival share 10; who is left takes the rest of 100."""
    # link 0: 10, shared by flows A (both links) and B -> 5 each; link 1: 100 - 5 for C; a stream asks for 3 of 95.
    assert water_fill([10, 100], [((0, 1), 0), ((0,), 0), ((1,), 0)]) == [5, 5, 95]
    assert water_fill([10, 100], [((0, 1), 0), ((0,), 0), ((1,), 0), ((1,), 3)]) == [5, 5, 92, 3]
    # 10 among three: 3 each, the odd unit stays free
    assert water_fill([10], [((0,), 0)] * 3) == [3, 3, 3]


def test_kernel_equals_water_filling(stories: ModuleType) -> None:
    """The compiled kernel's rates and arrivals are those of water-filling over all flows, on random sequences."""
    seen = Counter[str]()
    for seed in range(150):
        assert stories.differences(seed, streams=False) == [], seed
        capacities, deeds = stories.story(seed, streams=False)
        account = stories.tell_by_twin(capacities, deeds, 10**15)
        seen["transfers"] += len(account.came)
        seen["shared"] += sum(len(set(rates.values())) < len(rates) for rates in account.rates)
        seen["several hops"] += sum(len(deed.path) > 1 for deed in deeds)
    assert min(seen.values()) > 200, seen


def test_what_starts_is_delivered(stories: ModuleType) -> None:
    """Bytes are bytes: every transfer comes, and each link carried exactly what crossed it."""
    for seed in range(60):
        capacities, deeds = stories.story(seed, streams=False)
        account = stories.tell_by_kernel(capacities, deeds, 10**18)
        crossed = [0] * len(capacities)
        for deed in deeds:
            for link in deed.path:
                crossed[link] += deed.nbytes
        assert sorted(key for _, key in account.came) == sorted(deed.key for deed in deeds)
        # an end is rounded up to a picosecond, in which the fastest link (1e9 mB/s) moves a millionth of a byte
        assert account.carried == pytest.approx(crossed, rel=1e-12, abs=1e-6 * len(deeds))


@pytest.mark.parametrize("teller", ["tell_by_twin", "tell_by_kernel"])
class TestByHand:
    """Timings that can be worked out on paper, told by both engines."""

    @staticmethod
    def tell(
        stories: ModuleType, teller: str, capacities: list[int], *deeds: dict[str, Any]
    ) -> dict[int, int]:
        """When each transfer has come [ps]."""
        told = [stories.Deed(**deed) for deed in sorted(deeds, key=lambda deed: deed["at"])]
        account = getattr(stories, teller)(capacities, told, 10**16)
        return {key: when for when, key in account.came}

    def test_one_transfer(self, stories: ModuleType, teller: str) -> None:
        """Alone it takes bytes over capacity, rounded up to a picosecond, plus the propagation."""
        # 1000 B at 3,000,001 mB/s = 0.33333322222225925... s, on the narrowest of two links
        came = self.tell(
            stories,
            teller,
            [10**9, 3_000_001],
            {"at": 7, "key": 1, "path": (0, 1), "nbytes": 1000, "latency": 5 * MS},
        )
        assert came == {1: 7 + 333_333_222_223 + 5 * MS}

    def test_two_share_and_the_second_is_left_alone(self, stories: ModuleType, teller: str) -> None:
        """Each has half until the shorter ends; then the longer has all."""
        # 1 MB/s: 100 kB and 300 kB. Half each until 0.2 s (100 kB both); the other 200 kB at full rate: 0.4 s.
        came = self.tell(
            stories, teller, [10**9],
            {"at": 0, "key": 1, "path": (0,), "nbytes": 100_000},
            {"at": 0, "key": 2, "path": (0,), "nbytes": 300_000},
        )  # fmt: skip
        assert came == {1: S // 5, 2: 2 * S // 5}

    def test_newcomer_halves_the_rate(self, stories: ModuleType, teller: str) -> None:
        """One in mid-way goes on at half the rate."""
        # 1 MB/s: 500 kB, alone for 0.25 s (250 kB), then half: 250 kB at 0.5 MB/s = 0.5 s -> 0.75 s;
        # the newcomer then has sent 250 of 400 kB and finishes 150 kB alone in 0.15 s -> 0.9 s.
        came = self.tell(
            stories, teller, [10**9],
            {"at": 0, "key": 1, "path": (0,), "nbytes": 500_000},
            {"at": S // 4, "key": 2, "path": (0,), "nbytes": 400_000},
        )  # fmt: skip
        assert came == {1: 3 * S // 4, 2: 9 * S // 10}

    def test_long_path_leaves_the_rest_to_others(self, stories: ModuleType, teller: str) -> None:
        """Max-min over two links: a flow held back on one leaves its share of the other."""
        # link 0: 1 MB/s, link 1: 4 MB/s. Flow 1 crosses both, flow 2 link 0, flow 3 link 1.
        # Flows 1, 2: 0.5 MB/s each; flow 3: 3.5 MB/s. 700 kB by flow 3: 0.2 s; 100 kB each by 1 and 2: 0.2 s.
        came = self.tell(
            stories, teller, [10**9, 4 * 10**9],
            {"at": 0, "key": 1, "path": (0, 1), "nbytes": 100_000},
            {"at": 0, "key": 2, "path": (0,), "nbytes": 100_000},
            {"at": 0, "key": 3, "path": (1,), "nbytes": 700_000},
        )  # fmt: skip
        assert came == {1: S // 5, 2: S // 5, 3: S // 5}

    def test_propagation_never_blocks(self, stories: ModuleType, teller: str) -> None:
        """Ten seconds of propagation delay everybody by ten seconds and nobody by more."""
        deeds = [{"at": i * MS, "key": i, "path": (0,), "nbytes": 40_000 + i} for i in range(20)]
        near = self.tell(stories, teller, [10**9], *deeds)
        far = self.tell(stories, teller, [10**9], *({**deed, "latency": 10 * S} for deed in deeds))
        assert far == {key: when + 10 * S for key, when in near.items()}
        assert max(near.values()) < S


def test_stopped_stream_has_sent_its_demand() -> None:
    """A stream takes its small rate, no more; what it sent is rate times time, up to its size."""
    env = simpy.Environment(0)
    net = FluidNetwork(env, [10**9])
    stream = net.start((0,), 1000.0, 1, None, demand=2000)  # 2 B/s of 1 MB/s
    done: list[int] = []
    net.start((0,), 499_999.0, 2, lambda: done.append(int(env.now)))  # at 1 MB/s less 2 B/s
    env.run(until=100 * S)
    assert net.stop(stream) == 200.0
    assert abs(done[0] - -(-499_999 * 10**15 // (10**9 - 2000))) <= 1  # the last picosecond is rounded


def test_a_stream_ends_when_all_is_sent() -> None:
    """200 B at 2 B/s take 100 s, however long it lasts: then it takes nothing, and the link carried 200 B."""
    env = simpy.Environment(0)
    net = FluidNetwork(env, [10**6])
    stream = net.start((0,), 200.0, 1, None, demand=2000)
    env.run(until=250 * S)
    assert net.rates(list(net.flows)) == []
    assert net.stop(stream) == 200.0
    assert net.carried_until(250 * S) == pytest.approx([200.0], rel=1e-12)


def test_full_stream_leaves_nothing_to_take(stories: ModuleType) -> None:
    """A stream that fills its link to the last unit shares it with a transfer that comes: half each."""
    deeds = [
        stories.Deed(0, 1, (0, 1), 40_000, demand=10**6),
        stories.Deed(MS, 2, (0, 1), 1501),
        stories.Deed(10 * S, 1, stops=True),
    ]
    account = stories.tell_by_twin([10**6, 10**7], deeds, 20 * S)
    assert account.rates[:2] == [{1: 10**6}, {1: 500_000, 2: 500_000}]
