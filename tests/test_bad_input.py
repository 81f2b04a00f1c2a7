"""Bad input ends with exit code 2 and a message to the letter, never with a traceback; what was computed is kept."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from textwrap import dedent

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from edgesim.cli import main
from edgesim.registry import registries

SCENARIO = """\
scenario: {name: tiny, seed: 7, duration: 60 s}
topology:
  nodes:
    phone: {tier: device, count: 3}
    edge: {tier: edge, accelerator: nvidia-l4}
  links:
    - {between: [phone, edge], latency: 3 ms, bandwidth: 50 Mbps}
deployments:
  - {llm: llama-3.1-8b, weights: int8, on: edge}
workloads:
  chat:
    from: phone
    arrivals: {kind: poisson, rate: 1/s}
    prompt_tokens: 100
    output_tokens: 10
policies:
  router: nearest
"""
REPLAY = re.sub(r"    arrivals(.|\n)*(?=policies)", "    path: trace.csv\n", SCENARIO)
HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens\n"
NOON = "2023-11-16 12:00:00.0000000"
MINE = '''\
from edgesim.policies import Router, register

@register("mine")
class Mine(Router):
    """A router with something wrong."""

    def {hook}(self, request, candidates, view):
        return {answer}
'''


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(text: str, *arguments: str) -> Result:
    """Run a scenario as a user does."""
    Path("tiny.yaml").write_text(text, encoding="utf-8")
    return CliRunner().invoke(main, ["run", "tiny.yaml", "-q", *arguments])


def complaint(text: str, *arguments: str) -> str:
    """What a run says that exits with 2 and prints nothing else."""
    found = run(text, *arguments)
    assert (found.exit_code, found.stdout) == (2, ""), found.output
    return found.stderr


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        pytest.param(
            "seed: 7",
            "seeed: 7",
            """
            tiny.yaml:1:24  scenario.seeed
               1 | scenario: {name: tiny, seeed: 7, duration: 60 s}
                 |                        ^^^^^
              unknown key; did you mean 'seed'?
            """,
            id="unknown key",
        ),
        pytest.param(
            "latency: 3 ms",
            "latency: 3",
            """
            tiny.yaml:7:41  topology.links[0].latency
               7 |     - {between: [phone, edge], latency: 3, bandwidth: 50 Mbps}
                 |                                         ^
              3 has no unit; write e.g. '10 ms'
            """,
            id="missing unit",
        ),
        pytest.param(
            "50 Mbps",
            "50 ms",
            """
            tiny.yaml:7:58  topology.links[0].bandwidth
               7 |     - {between: [phone, edge], latency: 3 ms, bandwidth: 50 ms}
                 |                                                          ^^^^^
              '50 ms' is not a bandwidth; write e.g. '100 Mbps'
            """,
            id="wrong unit",
        ),
        pytest.param(
            "rate: 1/s",
            "rate: -1/s",
            """
            tiny.yaml:13:37  workloads.chat.arrivals.rate
              13 |     arrivals: {kind: poisson, rate: -1/s}
                 |                                     ^^^^
              '-1/s' is negative, which a rate cannot be
            """,
            id="negative rate",
        ),
        pytest.param(
            "[phone, edge]",
            "[phone, egde]",
            """
            tiny.yaml:7:25  topology.links[0].between[1]
               7 |     - {between: [phone, egde], latency: 3 ms, bandwidth: 50 Mbps}
                 |                         ^^^^
              no node group named 'egde'; did you mean 'edge'?
            """,
            id="dangling link",
        ),
        pytest.param(
            "  links:\n    - {between: [phone, edge], latency: 3 ms, bandwidth: 50 Mbps}\n",
            "",
            """
            tiny.yaml:10:11  workloads.chat.from
              10 |     from: phone
                 |           ^^^^^
              requests from 'phone' reach no replica: no links lead from 'phone' to 'edge'
              help: add a link to topology.links
            """,
            id="unreachable node",
        ),
        pytest.param(
            "llama-3.1-8b, weights: int8",
            "llama-3.1-70b, weights: fp16",
            """
            tiny.yaml:9:35  deployments[0].weights
               9 |   - {llm: llama-3.1-70b, weights: fp16, on: edge}
                 |                                   ^^^^
              llama-3.1-70b (fp16) needs 141.1 GB of weights; node 'edge' offers 1 x 25.8 GB (nvidia-l4)
              help: use tensor_parallel: 8 with accelerators: 8 or an accelerator that holds it (nvidia-b200-sxm, \
nvidia-gb200, amd-mi300x)
            """,
            id="LLM that does not fit",
        ),
        pytest.param(
            "router: nearest",
            "router: nearst",
            """
            tiny.yaml:17:11  policies.router
              17 |   router: nearst
                 |           ^^^^^^
              no router named 'nearst'; did you mean 'nearest'?
              help: `edgesim policies list` lists all; add yours with --plugin FILE.py
            """,
            id="unknown policy",
        ),
        pytest.param(
            "prompt_tokens: 100",
            "prompt_tokens: 0",
            """
            tiny.yaml:14:20  workloads.chat.prompt_tokens
              14 |     prompt_tokens: 0
                 |                    ^
              0 is too small; it must be at least 1
            """,
            id="request without a prompt",
        ),
        pytest.param(
            "prompt_tokens: 100",
            "prompt_tokens: 300000",
            """
            tiny.yaml:14:20  workloads.chat.prompt_tokens
              14 |     prompt_tokens: 300000
                 |                    ^^^^^^
              requests take at least 300010 tokens, but no replica of theirs holds more than 131072
            """,
            id="request longer than any context",
        ),
    ],
)
def test_a_mistake_in_the_scenario_is_located(old: str, new: str, expected: str) -> None:
    """File, line, column and key; the line itself; what is wrong; what to do. Nothing is written."""
    assert SCENARIO.count(old) == 1
    told = complaint(SCENARIO.replace(old, new))
    assert told == "error: 1 problem in tiny.yaml\n" + dedent(expected)
    assert [path.name for path in Path().iterdir()] == ["tiny.yaml"]


def test_all_mistakes_of_a_file_are_told_at_once() -> None:
    """In the order of the file."""
    told = complaint(
        SCENARIO.replace("seed: 7", "seeed: 7").replace("rate: 1/s", "rate: -1/s").replace("3 ms", "3")
    )
    assert told.startswith("error: 3 problems in tiny.yaml\n")
    places = ["tiny.yaml:1:24  scenario.seeed", "tiny.yaml:7:41  topology.", "tiny.yaml:13:37  workloads."]
    assert [
        line.startswith(place)
        for line, place in zip(re.findall("tiny.yaml:.*", told)[0:], places, strict=True)
    ]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(
            HEADER + f"{NOON},4808,10\n{NOON},many,8\n",
            """
            {trace}:3:29  workloads.chat.path
               3 | 2023-11-16 12:00:00.0000000,many,8
                 |                             ^^^^
              row 2: ContextTokens 'many' is not a whole number
            """,
            id="no number",
        ),
        pytest.param(
            HEADER + f"{NOON},-3,10\n",
            """
            {trace}:2:29  workloads.chat.path
               2 | 2023-11-16 12:00:00.0000000,-3,10
                 |                             ^^
              row 1: ContextTokens is -3; a request has at least 1 token
            """,
            id="negative",
        ),
        pytest.param(
            HEADER + "yesterday,3,10\n",
            """
            {trace}:2:1  workloads.chat.path
               2 | yesterday,3,10
                 | ^^^^^^^^^
              row 1: TIMESTAMP 'yesterday' is not a date and time such as 2023-11-16 18:17:03.97996
            """,
            id="no time",
        ),
        pytest.param(
            "time,prompt\n1,2\n",
            """
            {trace}:1  workloads.chat.path
               1 | time,prompt
              no known trace format has the columns time, prompt
              help: azure has TIMESTAMP, ContextTokens, GeneratedTokens; mooncake has timestamp, input_length, \
output_length; csv has arrived_at, prompt_tokens, output_tokens
            """,
            id="other columns",
        ),
        pytest.param(HEADER, "\n{trace}  workloads.chat.path\n  the trace holds no request\n", id="no row"),
        pytest.param("", "\n{trace}  workloads.chat.path\n  the trace file is empty\n", id="empty"),
    ],
)
def test_a_malformed_trace_is_located(content: str, expected: str, tmp_path: Path) -> None:
    """File and row of the trace, key of the scenario; an earlier run is not replaced."""
    assert run(SCENARIO, "-o", "out").exit_code == 0
    before = Path("out/summary.json").read_bytes()
    trace = tmp_path / "trace.csv"
    trace.write_text(content, encoding="utf-8")
    told = complaint(REPLAY, "-o", "out", "--force")
    assert told == f"error: 1 problem in {trace}\n" + dedent(expected).format(trace=trace)
    assert Path("out/summary.json").read_bytes() == before


@pytest.fixture
def plugin() -> Path:
    """A file for a policy, which later tests do not see."""
    yield Path("mine.py")
    for module in [name for name in sys.modules if name.startswith("edgesim_plugin_mine")]:
        registries["router"].forget(module)
        sys.modules.pop(module, None)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        pytest.param(
            "import edgesim.policies\nclass Mine(\n",
            """
            mine.py:2:1
               2 | class Mine(
                 | ^^^^^^^^^^^
              this is not Python: '(' was never closed
            """,
            id="syntax",
        ),
        pytest.param(
            MINE.format(hook="choose", answer="candidates[0]"),
            """
            mine.py:4:1
               4 | class Mine(Router):
                 | ^^^^^^^^^^^^^^^^^^^
              router 'mine' lacks its hook route(self, request, candidates, view)
            """,
            id="hook",
        ),
    ],
)
def test_a_broken_plugin_names_file_line_and_hook(code: str, expected: str, plugin: Path) -> None:
    """Before anything runs."""
    plugin.write_text(code, encoding="utf-8")
    told = complaint(SCENARIO.replace("nearest", "mine"), "--plugin", "mine.py", "-o", "out")
    assert told == "error: 1 problem in mine.py\n" + dedent(expected)
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param(
            "candidates[7 if request.id == 5 else 0]",
            "router 'mine' raised IndexError in route() at t=8.48748612 s for request r5: list index out of range "
            "(mine.py:8)",
            id="raises",
        ),
        pytest.param(
            "'the first one' if request.id == 5 else candidates[0]",
            "router 'mine' returned 'the first one' at t=8.48748612 s for request r5; route() must return one of the "
            "given replicas, Reject, Defer or Hedge (mine.py:7)",
            id="nonsense",
        ),
        pytest.param(
            "candidates[request.output_tokens if request.id == 5 else 0]",
            "router 'mine' failed in route() at t=8.48748612 s for request r5: no controller knows the length of a "
            "reply beforehand; read predicted_output_tokens, or set `oracle = True` on the policy, which the report "
            "then says (mine.py:8)",
            id="sees the future",
        ),
    ],
)
def test_a_policy_that_fails_in_mid_run_keeps_what_was_finished(
    answer: str, expected: str, plugin: Path
) -> None:
    """It is named with file and line, time and request; requests that ended before are on disk."""
    plugin.write_text(MINE.format(hook="route", answer=answer), encoding="utf-8")
    told = complaint(SCENARIO.replace("nearest", "mine"), "--plugin", "mine.py", "-o", "out")
    assert told == f"what was finished until then is in out\nerror: {expected}\n"
    table = pq.read_table("out/requests.parquet").to_pydict()
    assert table["status"].count("completed") >= 3
    assert json.loads(Path("out/summary.json").read_text())["requests"]["completed"] >= 3
    assert json.loads(Path("out/manifest.json").read_text())["exit_state"] == "failed"


def test_replications_before_a_failure_are_whole(plugin: Path) -> None:
    """The third replication fails; the first two stay as if nothing had happened."""
    code = MINE.format(hook="route", answer="candidates[self.runs // 3]")
    code += "\n    runs = 0\n\n    def setup(self, system, random):\n        Mine.runs += 1\n        self.runs = Mine.runs\n"
    plugin.write_text(code, encoding="utf-8")
    told = complaint(SCENARIO.replace("nearest", "mine"), "--plugin", "mine.py", "-o", "out", "-n", "4")
    assert "router 'mine' raised IndexError in route() at t=" in told
    whole = run(SCENARIO, "-o", "whole", "-n", "2")
    assert whole.exit_code == 0, whole.output
    for name in ("rep-000", "rep-001"):
        assert (
            Path("out", name, "requests.parquet").read_bytes()
            == Path("whole", name, "requests.parquet").read_bytes()
        )
    assert json.loads(Path("out/manifest.json").read_text())["finished_replications"] == 2
    assert json.loads(Path("out/summary.json").read_text())["replications"]["count"] == 2


def test_an_output_path_under_a_file_is_refused_before_the_run() -> None:
    """Says which part of the path is a file."""
    Path("file").write_text("")
    told = complaint(SCENARIO, "-o", "file/run")
    assert told == "error: cannot write results to 'file/run': 'file' is a file; choose another folder\n"
