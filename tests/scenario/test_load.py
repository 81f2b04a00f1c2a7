"""Loading: every mistake is found, at its place, in one go, and in plain words."""

# Messages stand whole beside what causes them.
# ruff: noqa: ISC004

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from edgesim.errors import ScenarioError
from edgesim.scenario import Scenario, load

EXAMPLE = Path(__file__).parent / "data" / "example.yaml"


def test_the_example_means_what_it_says():
    """Values arrive in SI, with the defaults around them."""
    scenario = load(EXAMPLE)
    assert scenario.name == "example"
    assert (scenario.scenario.seed, scenario.scenario.duration, scenario.scenario.warmup) == (1, 600.0, 60.0)
    assert scenario.topology.nodes["phone"].count == 200
    assert scenario.topology.tiers == ("device", "edge", "metro", "cloud")
    wan = scenario.topology.links[1]
    assert wan.bandwidth is not None
    assert (wan.latency, wan.bandwidth.up, wan.bandwidth.down) == (0.01, 1.25e8, 1.25e8)
    chat = scenario.workloads["chat"]
    assert (chat.from_, chat.arrivals.kind, chat.arrivals.rate) == ("phone", "poisson", 6.0)
    assert (
        chat.prompt_tokens.kind,
        chat.prompt_tokens.median,
        chat.prompt_tokens.p95,
    ) == ("lognormal", 300.0, 2000.0)
    assert scenario.policies.router == {"kind": "threshold-offload", "max_queue": 4}
    assert scenario.policies.scheduler == {"kind": "fcfs"}
    assert {metric: dict(target.bounds()) for metric, target in scenario.slo.targets()} == {
        "ttft": {"p95": 1.0},
        "tpot": {"p95": 0.1},
    }


def test_devices_serve_themselves_one_at_a_time():
    """What a deployment does by default depends on its tier."""
    phone, edge, cloud = load(EXAMPLE).deployments
    assert (phone.max_num_seqs, phone.serves, phone.name) == (1, "own", "llama-3.2-1b")
    assert (edge.max_num_seqs, edge.serves, edge.name) == (256, "all", "llama-3.1-8b")
    assert cloud.name == "llama-3.1-70b"


def test_equal_deployments_get_different_names(changed):
    """Names in results are unique without the user's help."""
    path = changed(
        ("accelerator: nvidia-l4}", "accelerator: nvidia-l4, accelerators: 3}"),
        (
            "weights: int8, on: edge}",
            "weights: int8, on: edge}\n" + "  - {llm: llama-3.1-8b, weights: int8, on: edge}\n" * 2,
        ),
    )
    names = [deployment.name for deployment in load(path).deployments][1:4]
    assert names == ["llama-3.1-8b", "llama-3.1-8b#2", "llama-3.1-8b#3"]


def test_the_report_looks_like_a_compiler_s(changed, complaint):
    """Place, line, carets, text, help: for several problems of one file at once, from top to bottom."""
    path = changed(
        ("latency: 10 ms", "latncy: 20 ms"),
        ("kind: threshold-offload", "kind: threshold-ofload"),
        ("rate: 6/s", "rate: -6/s"),
        ("between: [edge, cloud]", "between: [edg, cloud]"),
        ("seed: 1", "seed: one"),
    )
    expected = """\
error: 5 problems in s.yaml

s.yaml:5:33  scenario.seed
   5 | scenario: {name: example, seed: one, duration: 10 min, warmup: 1 min}
     |                                 ^^^
  'one' is not a whole number

s.yaml:14:18  topology.links[1].between[0]
  14 |     - {between: [edg, cloud], kind: fibre, latncy: 20 ms, bandwidth: 1 Gbps}
     |                  ^^^
  no node group named 'edg'; did you mean 'edge'?

s.yaml:14:44  topology.links[1].latncy
  14 |     - {between: [edg, cloud], kind: fibre, latncy: 20 ms, bandwidth: 1 Gbps}
     |                                            ^^^^^^
  unknown key; did you mean 'latency'?

s.yaml:24:37  workloads.chat.arrivals.rate
  24 |     arrivals: {kind: poisson, rate: -6/s}
     |                                     ^^^^
  '-6/s' is negative, which a rate cannot be

s.yaml:29:18  policies.router.kind
  29 |   router: {kind: threshold-ofload, max_queue: 4}
     |                  ^^^^^^^^^^^^^^^^
  no router named 'threshold-ofload'; did you mean 'threshold-offload'?
  help: `edgesim policies list` lists all; add yours with --plugin FILE.py"""
    assert expected == complaint(path)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("count: 200", "cuont: 200", "9:27 topology.nodes.phone.cuont: unknown key; did you mean 'count'?"),
        ("latency: 10 ms", "latency: 10", "14:54 topology.links[1].latency: 10 has no unit; write e.g. '10 ms'"),
        ("10 ms,", "10 GB,", "14:54 topology.links[1].latency: '10 GB' is not a time; write e.g. '10 ms'"),
        ("1 Gbps", "1 GB", "14:72 topology.links[1].bandwidth: '1 GB' is not a bandwidth; write e.g. '100 Mbps'"),
        ("count: 200", "count: 0", "9:34 topology.nodes.phone.count: 0 is too small; it must be at least 1"),
        ("count: 200", "count: 2.5", "9:34 topology.nodes.phone.count: 2.5 is not a whole number"),
        ("count: 200", "count: '200'", "9:34 topology.nodes.phone.count: '200' is not a whole number"),
        ("count: 200", "count: true", "9:34 topology.nodes.phone.count: true is not a whole number"),
        ("name: example", "name: 5", "5:18 scenario.name: 5 is not text"),
        ("name: example", "name: a/b", "5:18 scenario.name: 'a/b' is not a name; use letters, digits, '-', '_' and '.'"),
        ("10 min", "60 d", "5:46 scenario.duration: a run lasts at most 50 days"),
        ("warmup: 1 min", "warmup: 1 h", "5:62 scenario.warmup: the warm-up is not shorter than the run"),
        ("int8", "int9", "18:34 deployments[1].weights: 'int9' is not a choice; did you mean 'int8'?"),
        ("{kind: poisson, rate: 6/s}", "{rate: 6/s}", "24:5 workloads.chat.arrivals: the key 'kind' is missing"),
        ("poisson", "poison", "24:22 workloads.chat.arrivals.kind: unknown kind 'poison'; did you mean 'poisson'?"),
        ("poisson, rate: 6/s", "poisson", "24:5 workloads.chat.arrivals: the key 'rate' is missing"),
        (
            "arrivals: {kind: poisson, rate: 6/s}",
            "arrivals: 6/s",
            "24:15 workloads.chat.arrivals: '6/s' is not a mapping of keys to values",
        ),
        (
            "    arrivals: {kind: poisson, rate: 6/s}\n",
            "",
            "22:3 workloads.chat: the key 'arrivals' is missing",
        ),
        ("p95: 2000", "p95: 200", "25:56 workloads.chat.prompt_tokens.p95: 'p95' is less than 'median'"),
        (
            "{kind: lognormal, median: 300, p95: 2000}",
            "-3",
            "25:20 workloads.chat.prompt_tokens: -3 is too small; it must be at least 1",
        ),
        (
            "{kind: lognormal, median: 300, p95: 2000}",
            "[1, 2]",
            "25:5 workloads.chat.prompt_tokens: a list is not a whole number",
        ),
        ("[phone, edge]", "[phone]", "13:8 topology.links[0].between: "
         "a list does not name two node groups; write e.g. [phone, edge]"),
        ("kind: wifi-6", "latency: 3 ms", "13:7 topology.links[0]: a link without a 'kind' needs bandwidth"),
        ("ttft:", "ttfr:", "33:3 slo.ttfr: unknown key; did you mean 'ttft'?"),
        ("{p95: 1 s}", "{attainment: 90 %}", "33:22 slo.ttft.attainment: "
         "'attainment' needs 'within', the limit for a single request"),
        ("scheduler: fcfs", "scheduler: 3", "30:14 policies.scheduler: "
         "3 is no policy; write its name, or a mapping with its name as 'kind'"),
        ("max_queue: 4", "max_queu: 4", "29:37 policies.router.max_queu: "
         "router 'threshold-offload' has no parameter 'max_queu'; did you mean 'max_queue'?"),
        ("scheduler: fcfs", "scheduler: fcsf", "30:14 policies.scheduler: "
         "no scheduler named 'fcsf'; did you mean 'fcfs'?"),
    ],
)  # fmt: skip
def test_each_mistake_is_found_at_its_place(changed, complaints, old, new, expected):
    """One mistake gives one problem."""
    assert [expected.replace(" ", "  ", 1)] == complaints(changed((old, new)))


def test_duplicate_keys_are_reported_with_everything_else(changed, complaints):
    """YAML's silent overwriting is a mistake like any other."""
    path = changed(("from: phone", "from: phone\n    from: edge"), ("seed: 1", "seed: -1"))
    assert complaints(path) == [
        "5:33  scenario.seed: -1 is too small; it must be at least 0",
        "24:5  workloads.chat.from: duplicate key; it stands already in line 23",
    ]


def test_a_missing_section_is_named(complaints, tmp_path, monkeypatch):
    """What has to be there is listed."""
    monkeypatch.chdir(tmp_path)
    Path("s.yaml").write_text("scenario: {name: x, duration: 1 s}\ndeployments:\n", encoding="utf-8")
    assert complaints("s.yaml") == [
        "1:1: the key 'topology' is missing",
        "1:1: the key 'workloads' is missing",
        "2:1  deployments: this is empty; it must be a list",
    ]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "s.yaml\n  the file is empty\n  help: `edgesim init FILE` writes a scenario to start from"),
        (
            b"# only a comment\n",
            "s.yaml\n  the file is empty\n  help: `edgesim init FILE` writes a scenario to start from",
        ),
        (
            b"- a\n",
            "s.yaml:1:1\n   1 | - a\n     | ^\n"
            "  a scenario is a mapping of sections such as 'topology:', not a list",
        ),
        (
            b"scenario:\n\tname: x\n",
            "s.yaml:2:1\n   2 |  name: x\n     | ^\n  a tab cannot indent YAML\n  help: indent with spaces",
        ),
        (
            b"scenario: {name: x\ntopology:\n",
            "s.yaml:2:9\n   2 | topology:\n     |         ^\n"
            "  not valid YAML: while parsing a flow mapping, expected ',' or '}', but got ':'",
        ),
        (
            b"scenario: name: x\n",
            "s.yaml:1:15\n   1 | scenario: name: x\n     |               ^\n  a colon where no key can stand\n"
            "  help: quote text that holds ': '; check the indentation",
        ),
        (b"a: \xff\n", "s.yaml\n  not text in UTF-8: byte 0xff at position 3"),
    ],
    ids=["empty", "comment", "list", "tab", "bracket", "colon", "latin-1"],
)
def test_files_that_are_no_scenario(tmp_path, monkeypatch, complaint, content, expected):
    """What cannot even be read is located as far as possible."""
    monkeypatch.chdir(tmp_path)
    Path("s.yaml").write_bytes(content)
    assert f"error: 1 problem in s.yaml\n\n{expected}" == complaint("s.yaml")


def test_missing_files_are_named_with_a_neighbour(changed, complaint):
    """A misspelt file name is met with the one that exists."""
    changed()
    Path("s.yaml").rename("campus.yaml")
    assert (
        complaint("campsu.yaml")
        == "error: 1 problem in campsu.yaml\n\ncampsu.yaml\n  no such file; did you mean 'campus.yaml'?"
    )
    assert "no such file\n  help: scenarios known by name: campus-2000, edge-vs-cloud" in complaint("nothing")
    assert "help:" not in complaint("nothing.yaml")


def test_a_folder_is_no_scenario(changed, complaint):
    """A run folder holds one, and the message says so."""
    path = changed()
    Path("run").mkdir()
    text = "error: 1 problem in run\n\nrun\n  this is a folder, not a scenario file"
    assert text == complaint("run")
    path.rename("run/scenario.yaml")
    assert f"{text}\n  help: give the file in it: run/scenario.yaml" == complaint("run")


def test_nothing_in_yaml_is_executed(changed, complaints):
    """Tags that would build objects are refused, not obeyed."""
    path = changed(("seed: 1", "seed: !!python/object/apply:os.system ['touch hacked']"))
    assert complaints(path) == [
        "5:33  scenario.seed: the tag '!!python/object/apply:os.system' is not allowed; a scenario is data only"
    ]
    assert not Path("hacked").exists()


def test_a_wrong_entry_is_not_a_missing_entry():
    """One problem is told once; only an empty list lacks entries."""
    with pytest.raises(ScenarioError) as caught:
        load(EXAMPLE, ["deployments=[{llm: llama-3.1-8b, on: edge, block_size: 0}]"])
    assert [problem.text for problem in caught.value.problems] == ["0 is too small; it must be at least 1"]
    with pytest.raises(ScenarioError, match="at least one entry is needed"):
        load(EXAMPLE, ["deployments=[]"])


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ("topology.nodes.phone.count=100000000000", "100000000000 is too large; it must be at most 10000000"),
        (
            "topology.nodes.phone.count=10000000",
            "10,000,002 nodes are too many; a scenario holds up to 10,000,000",
        ),
    ],
)
def test_what_no_memory_holds_is_refused(change, text):
    """Before anything is built."""
    with pytest.raises(ScenarioError) as caught:
        load(EXAMPLE, [change])
    assert text in [problem.text for problem in caught.value.problems]


def test_mappings_load_like_files(example, complaint):
    """Python users give the same structure; problems have paths only."""
    mapping = {
        "scenario": {"name": "x", "duration": "1 min"},
        "topology": {"nodes": {"edge": {"tier": "edge", "accelerator": "nvidia-l4"}}},
        "deployments": [{"llm": "llama-3.2-1b", "on": "edge"}],
        "workloads": {
            "chat": {
                "from": "edge",
                "arrivals": {"kind": "poisson", "rate": "1/s"},
                "prompt_tokens": 100,
                "output_tokens": 10,
            }
        },
    }
    assert load(mapping).workloads["chat"].prompt_tokens.value == 100
    mapping["topology"]["nodes"]["edge"]["cuont"] = 3
    assert (
        complaint(mapping)
        == "error: 1 problem\n\ntopology.nodes.edge.cuont\n  unknown key; did you mean 'count'?"
    )


def test_scenarios_are_frozen():
    """Nobody changes a scenario that others have read."""
    scenario = load(EXAMPLE)
    with pytest.raises(ValueError, match="frozen"):
        scenario.engine = "kernel"


def test_resolved_text_gives_an_equal_scenario(changed, tmp_path):
    """A run folder's scenario reproduces the run."""
    path = changed(
        (
            "arrivals: {kind: poisson, rate: 6/s}",
            "arrivals: {kind: closed-loop, users: 7, think_time: 3.3 s}",
        ),
        ("count: 200", "count: 200, price: 0.07 $/h, carbon: 123.4 g/kWh, host_power: 1.1 W"),
        ("latency: 10 ms", "latency: 0.1 ms, energy: {up: 0.3 uJ/bit, down: 0.1 uJ/bit}"),
        (
            "from: phone",
            "from: phone\n    patience: {kind: uniform, low: 1 s, high: 1 min}\n    prediction: {error: 33.3 %, bias: -10 %}",
        ),
        ("on: edge}", "on: edge, costs: {kind: linear, prefill: {per_token: 0.1 ms}, decode: {base: 7 ms}}}"),
    )
    scenario = load(path)
    Path("resolved.yaml").write_text(scenario.resolved_yaml(), encoding="utf-8")
    again = load("resolved.yaml")
    assert scenario == again
    assert scenario.resolved_yaml() == again.resolved_yaml()
    assert scenario.digest() == again.digest()
    assert again.workloads["chat"].prediction.bias == -0.1


def test_the_digest_tells_scenarios_apart(changed):
    """Any difference in meaning shows, any difference in spelling does not."""
    plain = load(changed()).digest()
    assert plain == load(changed(("10 min", "600 s"), ("fcfs", "{kind: fcfs}"))).digest()
    assert plain != load(changed(("10 min", "601 s"))).digest()


def test_traces_are_found_from_the_file_that_names_them(changed, complaints):
    """A trace path is relative to its scenario; from the command line, to the working directory."""
    path = changed(
        (
            "    arrivals: {kind: poisson, rate: 6/s}\n    prompt_tokens: {kind: lognormal, median: 300, p95: 2000}\n"
            "    output_tokens: {kind: lognormal, median: 150, p95: 500}\n",
            "    path: trace.csv\n    limit: 10\n",
        ),
        (", duration: 10 min, warmup: 1 min", ""),
    )
    Path("below").mkdir()
    path.rename("below/s.yaml")
    assert complaints("below/s.yaml") == [
        "below/s.yaml:24:11  workloads.chat.path: no such file: below/trace.csv"
    ]
    Path("below/trace.csv").touch()
    scenario = load("below/s.yaml")
    assert str(Path("below/trace.csv").absolute()) == scenario.workloads["chat"].path
    assert scenario == load("below/s.yaml", sets=["workloads.chat.path=below/trace.csv"])
    assert load({"extends": "below/s.yaml"}) == scenario
    Path("resolved.yaml").write_text(scenario.resolved_yaml(), encoding="utf-8")
    assert load("resolved.yaml") == scenario


def test_trace_keys_need_a_trace(changed, complaints):
    """A key that would be ignored is a mistake, and so is asking twice."""
    assert complaints(changed(("from: phone", "from: phone\n    time_scale: 2"))) == [
        "24:17  workloads.chat.time_scale: 'time_scale' belongs to a trace, but there is no 'path'"
    ]
    Path("t.csv").touch()
    assert complaints(changed(("from: phone", "from: phone\n    path: t.csv"))) == [
        "25:5  workloads.chat.arrivals: a trace says itself when requests come; drop either 'arrivals' or 'path'"
    ]


def test_templates_fill_what_a_workload_leaves_open(changed, complaints):
    """A workload may say only what differs from its template."""
    lengths = (
        "    prompt_tokens: {kind: lognormal, median: 300, p95: 2000}\n"
        "    output_tokens: {kind: lognormal, median: 150, p95: 500}\n"
    )
    chat = load(changed((lengths, "    template: short-chat\n    output_tokens: 7\n"))).workloads["chat"]
    assert (chat.prompt_tokens.kind, chat.output_tokens.value) == ("lognormal", 7)
    assert (complaints(changed((lengths, "    template: short-cha\n")))) == [
        "25:15  workloads.chat.template: no workload template named 'short-cha'; did you mean 'short-chat'?"
    ]


PLUGIN = '''
from edgesim.policies import Router, register

@register("{name}")
class Mine(Router):
    """Send everything to the first replica."""

    def route(self, request, candidates, view):
        return candidates[0]
'''


def test_plugins_are_loaded_before_policies_are_checked(changed, complaints):
    """A policy of one's own may be named as soon as its file is."""
    path = changed(("{kind: threshold-offload, max_queue: 4}", "mine-load"))
    assert complaints(path) == ["29:11  policies.router: no router named 'mine-load'"]
    Path("plugin.py").write_text(PLUGIN.format(name="mine-load"), encoding="utf-8")
    scenario = load(path, plugins=["plugin.py"])
    assert (str(Path("plugin.py").absolute()),) == scenario.plugins
    path.write_text(path.read_text(encoding="utf-8") + "\nplugins: [plugin.py]\n", encoding="utf-8")
    assert scenario == load(path)


def test_missing_plugins_are_located(changed, complaints):
    """Neither the file's plugins nor those of the command line may be missing."""
    path = changed(("scheduler: fcfs", "scheduler: fcfs\nplugins: [nope.py]"))
    assert complaints(path, plugins=["nada.py"]) == [
        "31:11  plugins[0]: no such file: nope.py",
        "--plugin nada.py  plugins[1]: no such file: nada.py",
    ]


def test_broken_plugins_name_their_own_line(changed, complaint):
    """What fails in a plugin is located in the plugin."""
    path = changed()
    Path("broken_here.py").write_text("x = 1\nraise RuntimeError('no')\n", encoding="utf-8")
    report = complaint(path, plugins=["broken_here.py"])
    assert "broken_here.py:2" in report
    assert "this plugin fails with RuntimeError: no" in report


def test_own_hardware_and_llms(changed, complaints):
    """A scenario may bring its own accelerators and LLMs, checked like everything else."""
    own = "accelerators:\n  npu: {like: snapdragon-8-gen3, memory: 9 GB}\nllms:\n  tiny: {like: llama-3.2-1b, context: 777}\ndeployments:\n"
    path = changed(("snapdragon-8-gen3", "npu"), ("llm: llama-3.2-1b", "llm: tiny"), ("deployments:\n", own))
    scenario = load(path)
    assert (scenario.accelerator("npu").memory, scenario.llm("tiny").context) == (9e9, 777)
    assert scenario.accelerator("nvidia-l4").name == "nvidia-l4"
    own = own.replace("memory: 9 GB", "memry: 9 GB").replace("llama-3.2-1b", "llama-3.2-1")
    found = complaints(changed(("snapdragon-8-gen3", "npu"), ("deployments:\n", own)))
    assert found == [
        "17:34  accelerators.npu.memry: unknown key; did you mean 'memory'?",
        "19:16  llms.tiny.like: no LLM named 'llama-3.2-1'; did you mean 'llama-3.2-1b'?",
    ]


def test_loading_needs_no_heavy_packages():
    """`edgesim validate` starts fast: no numpy, pandas, numba, matplotlib or networkx."""
    code = (
        "import sys\nfrom edgesim.scenario import load\n"
        f"load({str(EXAMPLE)!r})\n"
        "print([name for name in ('numpy', 'pandas', 'numba', 'matplotlib', 'networkx') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_validation_from_python_gives_the_same_defaults():
    """`Scenario.model_validate` on plain data and `load` agree."""
    scenario = load(EXAMPLE)
    assert scenario == Scenario.model_validate(scenario.model_dump(mode="json", exclude_none=True))


def test_scenarios_survive_pickling():
    """A worker process gets the same scenario."""
    scenario = load(EXAMPLE)
    assert scenario == pickle.loads(pickle.dumps(scenario))  # noqa: S301 - our own bytes


def test_errors_survive_pickling(changed):
    """A worker process can report what it found."""
    with pytest.raises(ScenarioError) as caught:
        load(changed(("count: 200", "count: 0")))
    assert str(caught.value) == str(pickle.loads(pickle.dumps(caught.value)))  # noqa: S301 - our own bytes
