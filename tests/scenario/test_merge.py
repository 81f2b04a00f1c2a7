"""Scenarios on top of scenarios: `extends:` and `--set`."""

# Messages stand whole beside what causes them.
# ruff: noqa: ISC004

from __future__ import annotations

from pathlib import Path

import pytest

from edgesim.errors import ScenarioError
from edgesim.scenario import load


def extend(text, name="more.yaml"):
    """Write a scenario that extends the example."""
    Path(name).write_text(f"extends: s.yaml\n{text}", encoding="utf-8")
    return name


def test_mappings_merge_and_the_rest_replaces(changed):
    """Only what is said changes; lists are replaced as a whole."""
    changed()
    scenario = load(
        extend("""\
scenario: {seed: 7}
topology: {nodes: {phone: {count: 3}}}
policies: {router: random}
slo: {tpot: null}
output: {tables: [requests]}
""")
    )
    assert (scenario.name, scenario.scenario.seed, scenario.scenario.duration) == ("example", 7, 600.0)
    assert (scenario.topology.nodes["phone"].count, scenario.topology.nodes["phone"].tier) == (3, "device")
    assert scenario.policies.router == {"kind": "random"}
    assert [metric for metric, _ in scenario.slo.targets()] == ["ttft"]
    assert scenario.output.tables == ("requests",)


def test_another_kind_starts_afresh(changed):
    """Parameters of the old kind are not left over."""
    changed()
    chat = "workloads: {chat: {prompt_tokens: {kind: constant, value: 5}, output_tokens: {p95: 999}}}"
    workload = load(extend(chat)).workloads["chat"]
    assert (workload.prompt_tokens.kind, workload.prompt_tokens.value) == ("constant", 5)
    assert (workload.output_tokens.median, workload.output_tokens.p95) == (150.0, 999.0)


def test_the_name_of_the_kind_that_is_there_keeps_its_parameters(changed):
    """In --set and `extends:`; another name starts afresh, as a mapping in full does."""
    changed(("max_queue: 4", "max_queue: 7"))
    stated = {"kind": "threshold-offload", "max_queue": 7}
    assert load("s.yaml", ["policies.router=threshold-offload"]).policies.router == stated
    assert load(extend("policies: {router: threshold-offload}\n")).policies.router == stated
    assert load("s.yaml", ["policies.router=random"]).policies.router == {"kind": "random"}
    full = load("s.yaml", ["policies.router={kind: threshold-offload}"]).policies.router
    assert full == {"kind": "threshold-offload"}


def test_a_parameter_is_set_of_a_policy_that_is_named_without_any(changed, complaint):
    """And of one that takes none such, told as one."""
    changed(("{kind: threshold-offload, max_queue: 4}", "threshold-offload"))
    found = load("s.yaml", ["policies.router.max_queue=3"]).policies.router
    assert found == {"kind": "threshold-offload", "max_queue": 3}
    assert "router 'random' has no parameter 'max_queue'" in complaint(
        "s.yaml", ["policies.router=random", "policies.router.max_queue=3"]
    )


def test_problems_point_at_the_file_that_holds_them(changed, complaint):
    """A wrong value is shown where it is written, be it in the base or in the scenario itself."""
    changed(("seed: 1", "seed: -1"))
    expected = """\
error: 2 problems in more.yaml and s.yaml

more.yaml:2:29  topology.nodes.phone.count
   2 | topology: {nodes: {phone: {count: 0}}}
     |                                   ^
  0 is too small; it must be at least 1

s.yaml:5:33  scenario.seed
   5 | scenario: {name: example, seed: -1, duration: 10 min, warmup: 1 min}
     |                                 ^^
  -1 is too small; it must be at least 0"""
    assert expected.replace("2:29", "2:35") == complaint(extend("topology: {nodes: {phone: {count: 0}}}\n"))


def test_paths_are_relative_to_the_extending_file(changed):
    """A scenario in a folder finds its base beside it."""
    base = changed()
    Path("deep").mkdir()
    base.rename("deep/s.yaml")
    extend("scenario: {seed: 3}\n", "deep/more.yaml")
    assert load("deep/more.yaml").scenario.seed == 3


@pytest.mark.parametrize(
    ("text", "report"),
    [
        ("extends: s.yml\n", "more.yaml:1:10  extends\n   1 | extends: s.yml\n     |          ^^^^^\n"
         "  no scenario file 's.yml'; did you mean 's.yaml'?\n  help: paths are relative to this file"),
        ("extends: [a]\n", "more.yaml:1:1  extends\n   1 | extends: [a]\n     | ^^^^^^^\n"
         "  a list is not a path or the name of a packaged scenario"),
        ("extends: more.yaml\n", "more.yaml:1:10  extends\n   1 | extends: more.yaml\n     |          ^^^^^^^^^\n"
         "  this goes in a circle: more.yaml -> more.yaml"),
    ],
)  # fmt: skip
def test_wrong_bases_are_located(changed, complaint, text, report):
    """What cannot be extended is said at `extends`."""
    changed()
    Path("more.yaml").write_text(text, encoding="utf-8")
    found = complaint("more.yaml")
    assert found.startswith(f"error: 1 problem in more.yaml\n\n{report}")


def test_long_circles_are_found(changed, complaint):
    """Two scenarios cannot extend each other."""
    changed()
    Path("a.yaml").write_text("extends: b.yaml\n", encoding="utf-8")
    Path("b.yaml").write_text("extends: a.yaml\n", encoding="utf-8")
    assert "this goes in a circle: b.yaml -> a.yaml -> b.yaml" in complaint("a.yaml")


def test_overrides_reach_everything(changed):
    """Keys, positions, keys with dots, new keys and whole mappings can be set; the last word counts."""
    path = changed(("deployments:\n", "llms:\n  my.llm: {like: llama-3.2-1b}\ndeployments:\n"))
    scenario = load(
        path,
        sets=[
            "scenario.seed=2",
            "scenario.seed=3",
            "topology.links[1].latency=20 ms",
            "topology.links.0.kind=lte",
            "topology.nodes.phone.price=0.1 $/h",
            'llms."my.llm".context=99',
            "llms.my.llm.quality=0.5",
            "policies.router={kind: threshold-offload, max_queue: 9}",
            "workloads.chat.output_tokens=5",
            "workloads.night={from: edge, arrivals: {kind: poisson, rate: 1/h}, prompt_tokens: 5, output_tokens: 5}",
            "energy.network=off",
        ],
    )
    assert scenario.scenario.seed == 3
    assert (scenario.topology.links[0].kind, scenario.topology.links[1].latency) == ("lte", 0.02)
    assert scenario.topology.nodes["phone"].price == 0.1
    assert scenario.llms["my.llm"] == {"like": "llama-3.2-1b", "context": 99, "quality": 0.5}
    assert scenario.policies.router["max_queue"] == 9
    assert list(scenario.workloads) == ["chat", "night"]
    assert (scenario.workloads["chat"].output_tokens.value, scenario.energy.network) == (5, "off")


def test_wrong_overrides_are_reported_by_argument(changed, complaint):
    """Each problem names the argument that made it."""
    expected = """\
error: 3 problems in --set topology.nodes.phone.cuont=3, --set workloads.chat.arrivals.rate=6 and --set \
policies.router=ranom

--set topology.nodes.phone.cuont=3  topology.nodes.phone.cuont
  unknown key; did you mean 'count'?

--set workloads.chat.arrivals.rate=6  workloads.chat.arrivals.rate
  6 has no unit; write e.g. '6/s'

--set policies.router=ranom  policies.router
  no router named 'ranom'; did you mean 'random'?
  help: `edgesim policies list` lists all; add yours with --plugin FILE.py"""
    sets = ["topology.nodes.phone.cuont=3", "workloads.chat.arrivals.rate=6", "policies.router=ranom"]
    assert expected == complaint(changed(), sets=sets)


@pytest.mark.parametrize(
    ("argument", "report"),
    [
        ("scenario.seed", "\n  this is not of the form key.path=value"),
        ("=3", "\n  this is not of the form key.path=value"),
        ("topology.links[2].latency=1 ms", "  topology.links\n  topology.links is a list of 2; there is no [2]"),
        ("topology.links.x=1 ms", "  topology.links\n"
         "  topology.links is a list of 2; give a position from 0, not 'x'"),
        ("policies.scheduler.x=1", "  policies.scheduler.x\n  scheduler 'fcfs' has no parameter 'x'\n"
         "  help: it takes no parameters"),
        ("scenario.name.x=1", "  scenario.name\n  scenario.name is 'example', which has no 'x' inside\n"
         "  help: set scenario.name as a whole, e.g. to a mapping {...}"),
        ("scenario.seed=[", "\n  not valid YAML: while parsing a flow node, "
         "expected the node content, but found '<stream end>'"),
        ("a]b=1", "\n  'a]b' is not a path of keys"),
        ("scenario.seed=", "  scenario.seed\n  nothing is not a whole number"),
        ("scnario.seed=1", "  scnario\n  unknown key; did you mean 'scenario'?"),
    ],
)  # fmt: skip
def test_malformed_overrides(changed, argument, report):
    """Paths that lead nowhere and values that are no YAML are refused one by one."""
    with pytest.raises(ScenarioError) as caught:
        load(changed(), sets=[argument])
    assert [f"--set {argument}{report}"] == [str(problem) for problem in caught.value.problems]


def test_overrides_do_not_touch_shared_values(changed):
    """An alias stands for equal values, not for the same one."""
    path = changed(
        ("accelerator: nvidia-l4}", "accelerator: nvidia-l4, host_power: &watts 10 W}"),
        ("accelerators: 2}", "accelerators: 2, host_power: *watts}"),
    )
    nodes = load(path, sets=["topology.nodes.edge.host_power=20 W"]).topology.nodes
    assert (nodes["edge"].host_power, nodes["cloud"].host_power) == (20.0, 10.0)
