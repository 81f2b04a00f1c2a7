"""Graphs of scenarios: who is joined to whom, over which media, and by which way."""

from __future__ import annotations

import itertools
import time
from types import SimpleNamespace
from xml.etree import ElementTree as ET

import networkx as nx
import numpy as np
import pytest

from edgesim.arena.rows import FAIR, FIFO, PRIORITY
from edgesim.errors import ScenarioError
from edgesim.topology import build
from edgesim.topology.picture import draw, table

MS = 10**9
"""Picoseconds in a millisecond."""


def link(first, second, latency=1e-3, bandwidth=1e8, **figures):
    """Write a link as a scenario holds it."""
    given = {
        "kind": None, "shared": None, "half_duplex": None, "energy": None, "overhead": None,
        "pattern": "spread", "sharing": "fair", "egress": 0.0,
    }  # fmt: skip
    between = (first, second)
    return SimpleNamespace(
        **(given | {"between": between, "latency": latency, "bandwidth": bandwidth} | figures)
    )


def scenario(nodes, links, mode="marginal", deployments=(), workloads=()):
    """Make a scenario of {"phone": ("device", 4)} and links."""
    made = {
        name: SimpleNamespace(tier=tier, count=count, accelerator=f"{name}-chip", accelerators=2)
        for name, (tier, count) in nodes.items()
    }
    levels = ("device", "edge", "metro", "cloud")
    return SimpleNamespace(
        topology=SimpleNamespace(nodes=made, tiers=levels, links=tuple(links)),
        energy=SimpleNamespace(network=mode),
        deployments=deployments,
        workloads=dict(workloads),
    )


def names(topology, links):
    return [topology.link_name(one) for one in links]


def neighbours(topology, node):
    edges = topology.edges
    return {topology.node_name(int(other)) for other in edges.target[edges.source == node]}


class TestNodes:
    def test_numbers_follow_the_scenario(self):
        """Groups are numbered one after the other, and named with an index where there are several."""
        topology = build(scenario({"phone": ("device", 3), "cloud": ("cloud", 1)}, []))
        assert [topology.node_name(i) for i in range(4)] == ["phone[0]", "phone[1]", "phone[2]", "cloud"]
        assert topology.group("cloud") == (3, 1)
        assert topology.node_tier.tolist() == [0, 0, 0, 3]
        assert topology.node_group.tolist() == [0, 0, 0, 1]
        assert (topology.node_count, topology.link_count) == (4, 0)


class TestPatterns:
    def test_spread_joins_contiguous_blocks(self):
        """Five phones over two edges: the first three at one, the last two at the other."""
        topology = build(scenario({"phone": ("device", 5), "edge": ("edge", 2)}, [link("phone", "edge")]))
        assert [{"phone[0]", "phone[1]", "phone[2]"}, {"phone[3]", "phone[4]"}] == [
            neighbours(topology, node) for node in (5, 6)
        ]

    def test_spread_works_from_the_smaller_side_too(self):
        """The order of the two names does not change who meets whom."""
        topology = build(scenario({"phone": ("device", 5), "edge": ("edge", 2)}, [link("edge", "phone")]))
        assert neighbours(topology, 6) == {"phone[3]", "phone[4]"}

    def test_spread_joins_equal_groups_one_to_one(self):
        """Three cameras and three boxes are three pairs."""
        topology = build(scenario({"camera": ("device", 3), "box": ("edge", 3)}, [link("camera", "box")]))
        assert [{f"box[{i}]"} for i in range(3)] == [neighbours(topology, i) for i in range(3)]

    @pytest.mark.parametrize(("count", "links"), [(1, 0), (2, 2), (3, 6), (5, 10)])
    def test_ring_within_a_group(self, count, links):
        """Everybody has two neighbours, two nodes share one cable, and one node has nobody."""
        topology = build(scenario({"edge": ("edge", count)}, [link("edge", "edge", pattern="ring")]))
        assert topology.link_count == links
        for i in range(count):
            assert neighbours(topology, i) == {f"edge[{j % count}]" for j in (i - 1, i + 1) if count > 1}

    def test_mesh_within_a_group(self):
        """Everybody meets everybody else once."""
        topology = build(scenario({"edge": ("edge", 4)}, [link("edge", "edge", pattern="mesh")]))
        assert topology.link_count == 12
        for i in range(4):
            assert len(neighbours(topology, i)) == 3

    def test_mesh_and_ring_between_groups(self):
        """A mesh joins all pairs; a ring visits both groups in turn."""
        nodes = {"a": ("edge", 3), "b": ("edge", 3)}
        mesh = build(scenario(nodes, [link("a", "b", pattern="mesh")]))
        assert neighbours(mesh, 0) == {"b[0]", "b[1]", "b[2]"}
        ring = build(scenario(nodes, [link("a", "b", pattern="ring")]))
        assert [{"b[0]", "b[1]"}, {"b[1]", "b[2]"}, {"b[2]", "b[0]"}] == [
            neighbours(ring, i) for i in range(3)
        ]

    def test_a_group_needs_a_pattern_with_itself(self):
        """Nobody can be spread over themselves."""
        with pytest.raises(ScenarioError, match="a link of 'edge' with itself needs a pattern"):
            build(scenario({"edge": ("edge", 2)}, [link("edge", "edge")]))


class TestMedia:
    NODES = {"phone": ("device", 4), "edge": ("edge", 2)}  # noqa: RUF012

    def media(self, **figures):
        topology = build(scenario(self.NODES, [link("phone", "edge", **figures)]))
        return topology, [topology.path(phone, 4 + phone // 2) for phone in range(4)]

    def test_full_duplex_has_two_links_a_pair(self):
        """Nobody contends with anybody, and up not with down."""
        topology, paths = self.media(bandwidth=SimpleNamespace(up=1e6, down=5e6))
        used = [one for path in paths for one in (*path.up, *path.down)]
        assert len(set(used)) == 8
        assert topology.capacity.tolist() == [1e6, 5e6] * 4
        assert names(topology, (*paths[3].up, *paths[3].down)) == ["phone[3]->edge[1]", "edge[1]->phone[3]"]

    def test_half_duplex_has_one_link_a_pair(self):
        """Up contends with down, and pairs do not contend; the slower direction sets the pace."""
        topology, paths = self.media(half_duplex=True, bandwidth=SimpleNamespace(up=1e6, down=5e6))
        assert [path.up for path in paths] == [(0,), (1,), (2,), (3,)]
        assert all(path.up == path.down for path in paths)
        assert topology.capacity.tolist() == [1e6] * 4
        assert topology.link_name(2) == "phone[2]<->edge[1]"

    def test_links_are_shared_as_their_entry_says(self):
        """Every link that an entry stands for is shared in its way."""
        links = [
            link("phone", "edge", sharing="fifo"),
            link("edge", "edge", pattern="ring", sharing="priority"),
        ]
        topology = build(scenario(self.NODES, [*links, link("edge", "phone")]))
        assert topology.sharing.tolist() == [FIFO] * 8 + [PRIORITY] * 2 + [FAIR] * 8

    def test_shared_medium_belongs_to_the_smaller_group(self):
        """All phones of an edge contend, up among themselves and down among themselves."""
        topology, paths = self.media(shared=True)
        assert [path.up for path in paths] == [(0,), (0,), (2,), (2,)]
        assert [path.down for path in paths] == [(1,), (1,), (3,), (3,)]
        assert names(topology, range(4)) == [
            "phone->edge[0]",
            "edge[0]->phone",
            "phone->edge[1]",
            "edge[1]->phone",
        ]

    def test_a_cell_is_shared_and_half_duplex(self):
        """On one radio channel everybody contends with everybody."""
        topology, paths = self.media(shared=True, half_duplex=True)
        assert [(path.up, path.down) for path in paths] == [((0,), (0,))] * 2 + [((1,), (1,))] * 2
        assert topology.link_name(1) == "phone<->edge[1]"

    def test_a_group_shares_one_medium_with_itself(self):
        """A radio mesh is one channel."""
        topology = build(
            scenario(
                {"node": ("edge", 4)}, [link("node", "node", pattern="ring", shared=True, half_duplex=True)]
            )
        )
        assert topology.link_count == 1
        assert topology.path(0, 2).up == (0, 0)
        assert topology.link_name(0) == "node<->node"

    def test_parallel_links_have_names_of_their_own(self):
        """The second link between two groups is numbered."""
        links = [link("phone", "edge"), link("edge", "phone", latency=2e-3)]
        topology = build(scenario({"phone": ("device", 1), "edge": ("edge", 1)}, links))
        assert names(topology, range(4)) == ["phone->edge", "edge->phone", "edge->phone#2", "phone->edge#2"]


class TestFigures:
    NODES = {"phone": ("device", 1), "edge": ("edge", 1), "cloud": ("cloud", 1)}  # noqa: RUF012
    ENERGY = SimpleNamespace(up=2e-6, down=1e-6)

    def test_energy_and_egress_follow_the_direction(self):
        """Sums differ up and down even over one medium; egress is paid for what leaves the second group."""
        links = [
            link("phone", "edge", energy=self.ENERGY, half_duplex=True, overhead=120),
            link("edge", "cloud", energy=SimpleNamespace(up=3e-9, down=3e-9), egress=9e-11, overhead=78),
        ]
        path = build(scenario(self.NODES, links)).path(0, 2)
        assert (path.energy_pj_up, path.energy_pj_down) == (2_003_000, 1_003_000)
        assert (path.egress_usd_up, path.egress_usd_down) == (0.0, 9e-11)
        assert (path.latency_ps, path.overhead) == (2 * MS, 120)

    @pytest.mark.parametrize(
        ("mode", "expected"),
        [("marginal", (800_000, 500_000)), ("attributional", (108_000_000,) * 2), ("off", (0, 0))],
    )
    def test_kinds_fill_in_what_the_link_leaves_out(self, mode, expected):
        """Energy comes from the catalogue in the scenario's way of counting."""
        links = [link("phone", "edge", latency=None, bandwidth=None, kind="wifi-6")]
        topology = build(scenario(self.NODES, links, mode))
        path = topology.path(0, 1)
        assert expected == (path.energy_pj_up, path.energy_pj_down)
        assert path.up == path.down  # a radio cell

    def test_a_link_overrules_its_kind(self):
        """What a scenario says itself counts, for instance that nobody shares the cell."""
        links = [
            link("phone", "edge", latency=7e-3, bandwidth=None, kind="wifi-6", half_duplex=False, overhead=0)
        ]
        topology = build(scenario(self.NODES, links))
        assert (topology.latency_ps.tolist(), topology.overhead.tolist()) == ([7 * MS] * 2, [0, 0])

    def test_latency_must_fit(self):
        """A link that would overflow the clock's integers is refused."""
        with pytest.raises(ScenarioError, match="a latency of 61 s is more than the 60 s a link may have"):
            build(scenario(self.NODES, [link("phone", "edge", latency=61.0)]))


class TestPaths:
    def test_prefers_small_latency_over_few_hops(self):
        """Two fast hops beat one slow one."""
        nodes = {"phone": ("device", 1), "edge": ("edge", 1), "cloud": ("cloud", 1)}
        links = [link("phone", "cloud", 0.05), link("phone", "edge", 0.01), link("edge", "cloud", 0.02)]
        topology = build(scenario(nodes, links))
        path = topology.path(0, 2)
        assert names(topology, path.up) == ["phone->edge", "edge->cloud"]
        assert names(topology, path.down) == ["cloud->edge", "edge->phone"]
        assert path.latency_ps == 30 * MS

    def test_prefers_few_hops_at_equal_latency(self):
        """At the same latency the direct way wins."""
        nodes = {"phone": ("device", 1), "edge": ("edge", 1), "cloud": ("cloud", 1)}
        links = [link("phone", "edge", 0.01), link("edge", "cloud", 0.02), link("phone", "cloud", 0.03)]
        topology = build(scenario(nodes, links))
        assert names(topology, topology.path(0, 2).up) == ["phone->cloud"]

    def test_prefers_the_link_named_first(self):
        """Of two equal links the first in the scenario is taken, both ways."""
        links = [link("phone", "edge"), link("phone", "edge")]
        path = build(scenario({"phone": ("device", 1), "edge": ("edge", 1)}, links)).path(0, 1)
        assert (path.up, path.down) == ((0,), (1,))

    def test_way_to_oneself_is_empty(self):
        """A local replica needs no network."""
        path = build(scenario({"phone": ("device", 2)}, [])).path(1, 1)
        assert path[:3] == ((), (), 0)

    def test_unreachable_is_an_error(self):
        """The message names both ends."""
        topology = build(scenario({"phone": ("device", 2), "cloud": ("cloud", 1)}, []))
        assert not topology.reaches(1, 2)
        with pytest.raises(ScenarioError, match=r"node 'phone\[1\]' cannot reach node 'cloud'"):
            topology.path(1, 2)

    def test_equals_dijkstra_on_random_graphs(self):
        """Latency and hops are those of networkx, and the links lead from end to end and back."""
        chance = np.random.Generator(np.random.PCG64(5))
        for _ in range(20):
            nodes = {f"g{i}": ("edge", int(chance.integers(1, 5))) for i in range(5)}
            pairs = [pair for pair in itertools.combinations(nodes, 2) if chance.random() < 0.5]
            links = [link(*pair, latency=float(chance.integers(1, 6)) * 1e-3) for pair in pairs]
            topology = build(scenario(nodes, links))
            graph = nx.Graph()
            graph.add_nodes_from(range(topology.node_count))
            edges = topology.edges
            graph.add_weighted_edges_from(
                zip(edges.source.tolist(), edges.target.tolist(), edges.weight.tolist(), strict=True)
            )
            for target in range(topology.node_count):
                truth = nx.single_source_dijkstra_path_length(graph, target)
                for origin in range(topology.node_count):
                    assert topology.reaches(origin, target) == (origin in truth)
                    if origin not in truth:
                        continue
                    path = topology.path(origin, target)
                    assert truth[origin] == (path.latency_ps << 16) + len(path.up)
                    for way, (start, end) in ((path.up, (origin, target)), (path.down, (target, origin))):
                        ends = [topology.ends[one].tolist() for one in way]
                        assert [start, *(b for _, b in ends)] == [*(a for a, _ in ends), end]


class TestTables:
    CITY = scenario(
        {"phone": ("device", 40), "edge": ("edge", 4), "cloud": ("cloud", 1), "island": ("cloud", 1)},
        [
            link(
                "phone",
                "edge",
                2e-3,
                shared=True,
                half_duplex=True,
                energy=SimpleNamespace(up=2e-6, down=1e-6),
            ),
            link("edge", "edge", 3e-3, pattern="ring"),
            link("edge", "cloud", 1e-2, egress=9e-11),
        ],
    )

    def test_rows_are_the_single_paths(self):
        """The bulk form answers for every pair what the single one does."""
        topology = build(self.CITY)
        pairs = [(origin, target) for origin in (0, 17, 39, 41, 44) for target in (44, 40, 43, 17)]
        rows = topology.path_table([a for a, _ in pairs], [b for _, b in pairs])
        assert [topology.path(*pair) for pair in pairs] == [rows.row(k) for k in range(len(pairs))]

    def test_rows_without_a_way_are_marked(self):
        """Length and latency are -1 where nobody gets, and the neighbours are not disturbed."""
        topology = build(self.CITY)
        rows = topology.path_table([0, 0, 1], [44, 45, 44])
        assert rows.length.tolist() == [2, -1, 2]
        assert rows.latency_ps.tolist() == [12 * MS, -1, 12 * MS]
        assert rows.row(2) == topology.path(1, 44)

    def test_no_pairs_at_all(self):
        """An empty question has an empty answer."""
        assert len(build(self.CITY).path_table([], []).pool) == 0

    def test_nearest_orders_by_latency_hops_and_number(self):
        """One's own edge, then its two neighbours, then what is farther; the unreachable is left out."""
        topology = build(self.CITY)
        assert topology.nearest(0, [45, 44, 43, 42, 41, 40]) == [40, 41, 43, 42, 44]
        assert topology.nearest(0, [45, 44, 43, 42, 41, 40], limit=2) == [40, 41]

    def test_nearest_table_fills_up(self):
        """Rows are equally long, with -1 behind the last target."""
        topology = build(self.CITY)
        rows = topology.nearest_table([0, 45, 1, 2, 3, 4], [44, 45], limit=5)
        assert [[44, -1], [45, -1], *[[44, -1]] * 4] == rows.tolist()

    def test_ten_thousand_devices(self, record_property):
        """A large fleet reaches all servers; the time is reported, not judged."""
        start = time.perf_counter()
        topology = build(
            scenario(
                {"phone": ("device", 10_000), "edge": ("edge", 20), "cloud": ("cloud", 1)},
                [link("phone", "edge", shared=True), link("edge", "cloud", 1e-2)],
            )
        )
        servers = topology.nearest_table(np.arange(10_000), np.arange(10_000, 10_021))
        rows = topology.path_table(np.repeat(np.arange(10_000), 21), servers.ravel())
        record_property("build_s", time.perf_counter() - start)
        assert rows.length.min() == 1
        assert rows.length.max() == 3
        assert [10_000 + phone // 500 for phone in range(10_000)] == servers[:, 0].tolist()


class TestPicture:
    def scenario(self):
        return scenario(
            {"phone": ("device", 200), "sensor": ("device", 3), "edge": ("edge", 2), "cloud": ("cloud", 1)},
            [
                link("phone", "edge", kind="wifi-6", latency=None, bandwidth=None),
                link("sensor", "edge", 0.02, SimpleNamespace(up=1e6, down=2e6)),
                link("sensor", "phone", 0.002),
                link("edge", "edge", pattern="ring"),
                link("edge", "cloud", 0.01, 1.25e8, sharing="priority"),
            ],
            deployments=[SimpleNamespace(on="edge", llm="llama-3.1-8b", weights="int8")],
            workloads={"chat": SimpleNamespace(from_="phone")},
        )

    def test_table_lists_nodes_by_tier_and_links(self):
        """Each group says what computes there, what it serves and what asks from it."""
        rows = table(self.scenario())
        assert rows.nodes[0] == (
            "device",
            "phone \N{MULTIPLICATION SIGN} 200",
            "2 \N{MULTIPLICATION SIGN} phone-chip",
            "-",
            "chat",
        )
        assert rows.nodes[2].serves == "llama-3.1-8b int8"
        assert rows.links[1] == (
            "sensor - edge",
            "-",
            "20 ms",
            "8 Mbit/s up, 16 Mbit/s down",
            "full-duplex",
            "fair",
        )
        assert rows.links[0].medium == "shared, half-duplex"
        assert [row.sharing for row in rows.links] == ["fair", "fair", "fair", "fair", "priority"]
        assert rows.links[3].between == "edge - edge (ring)"

    @pytest.mark.parametrize("ending", ["svg", "png", "pdf"])
    def test_draws_what_the_file_name_asks_for(self, tmp_path, ending):
        """Pictures are written in the format of their ending."""
        path = tmp_path / f"topology.{ending}"
        draw(self.scenario(), path)
        assert path.stat().st_size > 3000
        if ending == "svg":
            assert ET.parse(path).getroot().tag.endswith("svg")  # noqa: S314 - our own file

    def test_same_scenario_same_picture(self, tmp_path):
        """A picture that is kept under version control changes only with its scenario."""
        for name in ("a.svg", "b.svg"):
            draw(self.scenario(), tmp_path / name)
        assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
