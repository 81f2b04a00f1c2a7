"""Tests of the command line: what it prints where, and how it exits."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

import edgesim
from edgesim.cli import main
from edgesim.errors import PolicyError

SCENARIO = """\
scenario: {name: tiny, seed: 7, duration: 1000 s, warmup: 20 s}
topology:
  nodes:
    edge: {tier: edge, accelerator: nvidia-l4}
deployments:
  - {llm: llama-3.1-8b, weights: int8, on: edge}
workloads:
  chat:
    from: edge
    arrivals: {kind: poisson, rate: 1/s}
    prompt_tokens: 100
    output_tokens: 10
slo:
  ttft: {p90: 10 s}
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a fresh folder that holds one scenario."""
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(SCENARIO, encoding="utf-8")
    return tmp_path


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch, fakes: ModuleType) -> SimpleNamespace:
    """Replace the simulation by one that hands out records, or breaks."""
    control = SimpleNamespace(breaks=None, seen=[])

    def simulation(scenario: Any, number: int, _: Any = ()) -> Any:
        control.seen.append(scenario)
        return fakes.FakeSimulation(fakes.requests(400, number), control.breaks)

    monkeypatch.setitem(sys.modules, "edgesim.simulation", SimpleNamespace(Simulation=simulation))
    return control


def run(*arguments: str) -> Result:
    """Run the command line."""
    return CliRunner().invoke(main, list(arguments))


def test_run_prints_tables_and_names_the_folder(engine: SimpleNamespace) -> None:
    """Tables go to stdout, the folder to stderr, and the folder is named after scenario, time and digest."""
    found = run("run", "tiny.yaml")
    assert found.exit_code == 0, found.output
    assert "tiny · seed 7 · 16.7 min simulated" in found.stdout
    assert "ttft p90 <= 10 s" in found.stdout
    (folder,) = Path("results/tiny").iterdir()
    assert found.stderr == f"results in {folder}\n"


def test_the_very_first_run_says_that_its_times_are_not_the_engine_s(
    engine: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who compares them with what documents promise knows why they are longer."""
    monkeypatch.setattr("edgesim.arena.compile.is_cold", lambda: True)
    found = run("run", "tiny.yaml")
    assert found.stderr.startswith("compiling the engine for this machine")
    assert "the times above include compiling the engine" in found.stderr
    assert "compiling" not in run("run", "tiny.yaml", "--engine", "reference", "-o", "other").stderr
    assert run("run", "tiny.yaml", "-q", "-o", "quiet").stderr == ""


def test_options_of_run_reach_the_scenario(engine: SimpleNamespace) -> None:
    """Seed, replications, engine and --set override the file, and the resolved scenario has them."""
    options = "-s workloads.chat.output_tokens=20 --seed 9 -n 2 --engine reference -o out -q"
    found = run("run", "tiny.yaml", *options.split())
    assert (found.exit_code, found.stdout, found.stderr) == (0, "", "")
    scenario = engine.seen[0]
    assert (scenario.scenario.seed, scenario.scenario.replications, scenario.engine) == (9, 2, "reference")
    assert Path("out/rep-001/summary.json").exists()
    engine.seen.clear()
    assert run("run", "out/scenario.yaml", "-o", "again", "-q").exit_code == 0
    assert engine.seen[0] == scenario
    for rep in ("rep-000", "rep-001"):
        assert (
            Path("out", rep, "requests.parquet").read_bytes()
            == Path("again", rep, "requests.parquet").read_bytes()
        )


def test_json_is_the_summary(engine: SimpleNamespace) -> None:
    """--json prints what summary.json holds, and nothing else on stdout."""
    found = run("run", "tiny.yaml", "--json", "-o", "out")
    assert json.loads(found.stdout) == json.loads(Path("out/summary.json").read_text())


def test_missed_objectives_exit_with_1_only_if_asked(engine: SimpleNamespace) -> None:
    """The run itself is fine either way."""
    strict = ("run", "tiny.yaml", "-s", "slo.ttft.p90=1 ms", "-q")
    assert run(*strict).exit_code == 0
    assert run(*strict, "--check-slo").exit_code == 1
    assert run("run", "tiny.yaml", "-q", "--check-slo").exit_code == 0


def test_wrong_scenarios_exit_with_2_and_all_problems(engine: SimpleNamespace) -> None:
    """Messages go to stderr, with places, without a traceback."""
    text = SCENARIO.replace("rate: 1/s", "rate: 1").replace("output_tokens", "outptu_tokens")
    Path("bad.yaml").write_text(text, encoding="utf-8")
    for command in ("run", "validate"):
        found = run(command, "bad.yaml")
        assert found.exit_code == 2
        assert found.stdout == ""
        assert found.stderr.startswith("error: 2 problems in bad.yaml")
        assert "bad.yaml:10:" in found.stderr
        assert "Traceback" not in found.stderr
    assert not Path("results").exists()


def test_a_folder_in_the_way_exits_with_2(engine: SimpleNamespace) -> None:
    """An output path under a file, and one that holds an earlier run, are refused before anything runs."""
    Path("file").write_text("")
    found = run("run", "tiny.yaml", "--out", "file/run")
    assert found.exit_code == 2
    assert (
        found.stderr == "error: cannot write results to 'file/run': 'file' is a file; choose another folder\n"
    )
    assert engine.seen == []
    assert run("run", "tiny.yaml", "--out", "out", "-q").exit_code == 0
    found = run("run", "tiny.yaml", "--out", "out")
    assert (found.exit_code, found.stderr) == (2, "error: 'out' holds an earlier run; --force replaces it\n")
    assert run("run", "tiny.yaml", "--out", "out", "-q", "--force").exit_code == 0


def test_an_error_in_mid_run_exits_with_2_and_keeps_results(engine: SimpleNamespace) -> None:
    """The message is the policy's, and says where the finished requests are."""
    engine.breaks = PolicyError("router 'x' returned None at t=3.2 s")
    found = run("run", "tiny.yaml", "-o", "out")
    assert found.exit_code == 2
    assert (
        found.stderr == "what was finished until then is in out\nerror: router 'x' returned None at t=3.2 s\n"
    )
    assert json.loads(Path("out/manifest.json").read_text())["exit_state"] == "failed"


def test_an_internal_error_exits_with_3_and_one_line(engine: SimpleNamespace) -> None:
    """Only --debug shows a traceback."""
    engine.breaks = ZeroDivisionError("oops")
    found = run("run", "tiny.yaml", "-o", "out")
    assert found.exit_code == 3
    assert found.stderr.splitlines()[-1] == "internal error: ZeroDivisionError: oops; --debug shows where"
    assert "Traceback" not in found.stderr
    found = run("run", "tiny.yaml", "-o", "out", "--force", "--debug")
    assert found.exit_code == 3
    assert "Traceback" in found.stderr
    assert found.stderr.splitlines()[-1] == "internal error: ZeroDivisionError: oops"


def test_a_full_disk_is_no_fault_of_edgesim(engine: SimpleNamespace) -> None:
    """It is told in a sentence, with what is kept."""
    engine.breaks = OSError(errno.ENOSPC, "No space left on device", "out/requests.parquet")
    found = run("run", "tiny.yaml", "-o", "out")
    assert found.exit_code == 2
    assert found.stderr.splitlines() == [
        "what was finished until then is in out",
        "error: cannot write to 'out/requests.parquet': No space left on device",
    ]


def test_ctrl_c_exits_with_130_and_keeps_results(engine: SimpleNamespace) -> None:
    """What is finished is shown, kept, and said to be kept."""
    engine.breaks = KeyboardInterrupt()
    found = run("run", "tiny.yaml", "-o", "out", "-n", "3")
    assert found.exit_code == 130
    assert "requests  200 arrived" in found.stdout
    assert found.stderr == "interrupted: kept 200 finished requests (0 complete replications) in out\n"
    assert json.loads(Path("out/manifest.json").read_text())["exit_state"] == "interrupted"


def test_validate_says_what_it_found() -> None:
    """A good scenario is summed up in a line."""
    found = run("validate", "tiny.yaml")
    assert (found.exit_code, found.stdout) == (
        0,
        "tiny.yaml is fine: 1 node, 0 kinds of links, 1 deployment, 1 workload\n",
    )


def test_show_lists_nodes_and_draws() -> None:
    """The table names nodes and LLMs; --out writes a picture."""
    found = run("show", "tiny.yaml")
    assert found.exit_code == 0, found.output
    assert "nvidia-l4" in found.stdout
    assert "llama-3.1-8b" in found.stdout
    assert run("show", "tiny.yaml", "-o", "picture.svg").exit_code == 0
    assert Path("picture.svg").read_text(encoding="utf-8").count("<svg") == 1
    assert run("show", "tiny.yaml", "-o", "nowhere/picture.png").exit_code == 2


def test_schema_is_json() -> None:
    """Editors get a JSON schema."""
    schema = json.loads(run("schema").stdout)
    assert "topology" in schema["properties"]


def test_init_writes_a_scenario_that_validates() -> None:
    """The template is complete, and nothing is overwritten by accident."""
    found = run("init", "mine", "--commented")
    assert (found.exit_code, found.stdout) == (0, "wrote mine.yaml; now: edgesim run mine.yaml\n")
    assert run("validate", "mine.yaml").exit_code == 0
    again = run("init", "mine.yaml", "--commented")
    assert again.exit_code == 2
    assert "'mine.yaml' exists already; --force overwrites it" in again.stderr
    assert run("init", "mine.yaml", "--commented", "--force").exit_code == 0


def test_init_brings_the_data_of_a_scenario_along() -> None:
    """What was written runs; another file of that name is not overwritten by accident."""
    found = run("init", "new/mine.yaml", "--from", "trace-replay")
    assert found.exit_code == 2  # the folder is not there
    Path("new").mkdir()
    found = run("init", "new/mine.yaml", "--from", "trace-replay")
    assert found.stdout.startswith("wrote new/mine.yaml and new/data/made-up-trace.csv; now:")
    assert run("validate", "new/mine.yaml").exit_code == 0
    Path("new/data/made-up-trace.csv").write_text("mine", encoding="utf-8")
    found = run("init", "new/other.yaml", "--from", "trace-replay")
    assert found.exit_code == 2
    assert "exists already and is another file" in found.stderr
    assert not Path("new/other.yaml").exists()
    assert Path("new/data/made-up-trace.csv").read_text(encoding="utf-8") == "mine"


def test_validate_reads_traces() -> None:
    """A malformed row is found before the run."""
    text = SCENARIO[: SCENARIO.index("workloads:")] + "workloads: {chat: {from: edge, path: t.csv}}\n"
    Path("traced.yaml").write_text(text, encoding="utf-8")
    rows = "arrived_at,prompt_tokens,output_tokens\n0.5,10,3\n"
    Path("t.csv").write_text(rows, encoding="utf-8")
    assert run("validate", "traced.yaml").exit_code == 0
    Path("t.csv").write_text(rows + "0.7,-4,3\n", encoding="utf-8")
    found = run("validate", "traced.yaml")
    assert found.exit_code == 2
    assert "row 2: prompt_tokens is -4; a request has at least 1 token" in found.stderr


def _described(group: click.Group, context: click.Context) -> Iterator[str]:
    """Lines of a group's help, and of all groups within, that describe commands."""
    lines = group.get_help(context).partition("\nCommands:\n")[2].splitlines()
    yield from (f"{context.command_path}: {line}" for line in lines)
    for name in group.list_commands(context):
        inner = group.get_command(context, name)
        if isinstance(inner, click.Group):
            yield from _described(inner, click.Context(inner, context, name, terminal_width=80))


def test_every_command_is_described_in_one_line() -> None:
    """A list of commands is read before anything else: nothing of it breaks off at 80 columns."""
    lines = list(_described(main, click.Context(main, info_name="edgesim", terminal_width=80)))
    assert len(lines) > 25
    assert [line for line in lines if not re.fullmatch(r"edgesim( \w+)?:   \w+ +[A-Z][^.]*\.", line)] == []


def test_every_command_explains_its_options() -> None:
    """Also those that check the simulator itself; what they are given is checked like everywhere."""
    assert "--systems" in run("verify", "card", "--help").stdout
    found = run("verify", "card", "--systems", "many")
    assert (found.exit_code, "'many' is not a valid" in found.stderr) == (2, True)


def test_policies_are_listed_and_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each role shows its policies; an unknown name suggests a known one."""
    monkeypatch.setenv("COLUMNS", "120")
    found = run("policies", "list")
    assert found.exit_code == 0, found.output
    for name in ("threshold-offload", "fcfs", "accept-all"):
        assert name in found.stdout
    assert "fcfs" not in run("policies", "list", "router").stdout
    first = [line.split()[0] for line in found.stdout.splitlines() if "what it does" in line]
    assert first == ["router", "scheduler", "admission", "cache"]
    told = run("policies", "show", "token-bucket").stdout
    assert re.search(r"rate +quantity, such as 6/s +required +Requests let in per second", told)
    assert re.search(r"burst +whole number above 0 +1 +Requests let in at once after a quiet time", told)
    assert told.count("quiet time") == 1
    assert "policies: {admission: {kind: token-bucket, rate: ...}}" in told
    wrong = run("policies", "show", "threshold-ofload")
    assert wrong.exit_code == 2
    assert "did you mean 'threshold-offload'?" in wrong.stderr


def test_catalog_lists_and_shows_sources() -> None:
    """Every figure comes with its confidence and source."""
    assert "nvidia-l4" in run("catalog", "list", "accelerator").stdout
    assert "llama-3.1-8b" in run("catalog", "list").stdout
    found = run("catalog", "show", "nvidia-l4")
    assert found.exit_code == 0, found.output
    assert "confidence" in found.stdout
    assert "aiconfigurator" in found.stdout
    assert run("catalog", "show", "nvidia-l5").exit_code == 2
    missing = run("catalog", "show", "h100")
    assert "`edgesim catalog find h100` knows nvidia-h100-sxm, nvidia-h100-pcie" in missing.stderr
    assert len(missing.stderr) < 300


def test_catalog_is_filtered_searched_and_printed_as_json() -> None:
    """Choosing hardware and LLMs from the command line."""
    some = run("catalog", "list", "--fits", "nvidia-l4", "--family", "llama-3", "--json")
    assert some.exit_code == 0, some.output
    assert {entry["name"]: entry["fits_in"] for entry in json.loads(some.stdout)}["llama-3.1-8b"] == "bf16"
    assert "nvidia-t4" not in run("catalog", "list", "accelerator", "--memory", "20 GB").stdout
    shown = json.loads(run("catalog", "show", "nvidia-l4", "--json").stdout)
    assert shown["figures"]["tdp_w"] == {
        "value": 72.0,
        "unit": "W",
        "confidence": "datasheet",
        "source": shown["figures"]["fp16"]["source"],
        "entry": "nvidia-l4",
    }
    assert "nvidia-h100-sxm" in run("catalog", "find", "NVIDIA", "H100", "80GB", "HBM3").stdout
    wrong = run("catalog", "list", "acelerator")
    assert wrong.exit_code == 2
    assert "did you mean 'accelerator'?" in wrong.stderr
    assert run("catalog", "list", "--memory", "20 W").exit_code == 2
    assert run("catalog", "find", "nvidia-l5").exit_code == 2


def test_metrics_are_explained() -> None:
    """The reference has names and formulas."""
    found = run("metrics")
    assert found.exit_code == 0, found.output
    assert "normalized_latency" in found.stdout
    assert "goodput_rps" in found.stdout


def test_version() -> None:
    """Name and number, as packages have them."""
    assert run("--version").stdout == f"edgesim {edgesim.__version__}\n"


def test_usage_errors_exit_with_2() -> None:
    """Wrong options are wrong input."""
    assert run("run").exit_code == 2
    assert run("run", "tiny.yaml", "-n", "0").exit_code == 2
    assert run("nonsense").exit_code == 2


def python(*arguments: str) -> str:
    """What a fresh interpreter prints."""
    places = {"PYTHONPATH": str(Path(edgesim.__file__).parents[1])}
    command = [sys.executable, *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=60, env=os.environ | places
    )
    return done.stdout


def cpu_of_children() -> float:
    """Processor time of all ended child processes [s]: wall time says little on a busy machine."""
    times = os.times()
    return times.children_user + times.children_system


def test_help_is_quick() -> None:
    """The best of three takes less than 0.3 s of processor time, interpreter included."""
    took = []
    for _ in range(3):
        begun = cpu_of_children()
        text = python("-m", "edgesim", "--help")
        took.append(cpu_of_children() - begun)
        assert "Simulate LLM serving" in text
    assert min(took) < 0.3


HEAVY = ("numpy", "pandas", "numba", "pyarrow", "scipy", "matplotlib", "networkx")


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--version"], ["validate", "tiny.yaml"], ["policies", "list"], ["catalog", "list"]],
)
def test_light_commands_import_nothing_heavy(arguments: list[str]) -> None:
    """Neither help nor validation waits for numerical packages."""
    code = f"""
import sys
from edgesim.cli import main
main({arguments!r}, standalone_mode=False)
print("\\nheavy:", [name for name in {HEAVY!r} if name in sys.modules])
"""
    assert python("-c", code).splitlines()[-1] == "heavy: []"


def test_import_edgesim_imports_nothing_else() -> None:
    """Public names are imported when they are used."""
    code = "import sys, edgesim; print([m for m in sys.modules if m.startswith(('edgesim.', 'click'))])"
    assert python("-c", code).strip() == "[]"


def test_precision_decides_how_many_replications(engine: SimpleNamespace) -> None:
    """It replaces the scenario's number, is shown with what was reached, and does not go with -n."""
    found = run("run", "tiny.yaml", "-s", "scenario.replications=3", "--precision", "5 %", "-o", "out")
    assert found.exit_code == 0, found.output
    text = " ".join(found.stdout.split())
    assert "tiny · seed 7 · 10 replications" in text
    assert "10 replications, 95 % t-intervals; ttft mean within" in text
    assert "(5 % asked)" in text
    both = run("run", "tiny.yaml", "--precision", "5 %", "-n", "3")
    assert both.exit_code == 2
    assert "leave -n out" in both.stderr
    wrong = run("run", "tiny.yaml", "--precision", "5 s")
    assert wrong.exit_code == 2
    assert "'5 s' is not a share" in wrong.stderr


def test_an_option_means_the_same_in_every_command() -> None:
    """One spelling, one kind of value, and one way to say its default."""
    seen: dict[str, tuple[Any, ...]] = {}
    shared = {"run", "sweep", "compare", "capacity", "explain", "report", "plot", "trace"}
    for name in sorted(shared):
        command = main.commands[name]
        for each in command.params:
            if isinstance(each, click.Option):
                kind = (each.opts, each.metavar, type(each.type), each.is_flag)
                assert seen.setdefault(each.opts[-1], kind) == kind, f"{name} {each.opts}"
        text = run(name, "--help").stdout
        assert "[default: (" not in text
    for option in ("--seed", "-n", "-s", "--plugin", "-q", "--json", "-o", "--force"):
        assert all(option in run(name, "-h").stdout for name in ("run", "sweep", "compare", "capacity")), (
            option
        )
    for option in ("-j", "--resume"):
        assert all(option in run(name, "-h").stdout for name in ("sweep", "compare", "capacity")), option


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["run", "tiny.yaml", "--precision", "banana"], "problem in --precision"),
        (
            ["sweep", "tiny.yaml", "--over", "scenario.seed=1,2", "--precision", "5%", "-n", "2"],
            "leave -n out",
        ),
        (["compare", "tiny.yaml", "tiny.yaml", "--confidence", "much"], "problem in --confidence"),
        (["compare", "tiny.yaml", "tiny.yaml", "--resume"], "belong to -o FOLDER"),
        (["capacity", "tiny.yaml", "--tolerance", "x"], "problem in --tolerance"),
        (["capacity", "tiny.yaml", "--preset", "offline", "--duration", "10"], "problem in --duration"),
        (["trace", "out", "--from", "soon"], "problem in --from"),
        (["trace", "out", "--to", "10"], "problem in --to"),
    ],
)
def test_wrong_values_are_blamed_on_their_option(
    engine: SimpleNamespace, arguments: list[str], text: str
) -> None:
    """With exit code 2."""
    found = run(*arguments)
    assert found.exit_code == 2
    assert text in found.stderr
