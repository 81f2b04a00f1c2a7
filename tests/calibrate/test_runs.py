"""Runs simulated again: a fit finds the parameters a made-up run was simulated with, or says that it does not."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from click.testing import CliRunner, Result

import edgesim
from edgesim import catalog
from edgesim.calibrate import replay, runs
from edgesim.calibrate.database import CHIPS
from edgesim.calibrate.logs import Log, read_log
from edgesim.calibrate.runs import Line, Replica, distances, fit, simulate_log, write_trace
from edgesim.cli import main
from edgesim.costs.profile import SAME_CHIP, profile_step_cost, read
from edgesim.errors import ScenarioError, SimulationError
from edgesim.scenario import load

A100 = "nvidia-a100-80gb-sxm"
LLAMA = "llama-3.1-8b"


def asked(count: int = 120, rate: float = 4.0, seed: int = 5) -> Log:
    """Requests of a made-up run, not served yet."""
    draw = np.random.default_rng(seed)
    arrived = np.cumsum(draw.exponential(1 / rate, count))
    prompt, output = draw.integers(50, 2500, count), draw.integers(1, 400, count)
    return Log(arrived - arrived[0], prompt, output, arrived, arrived + 60)


def served(replica: Replica, folder: Path, wanted: Log | None = None) -> Log:
    """The log of a made-up run that the replica served."""
    log = wanted or asked()
    write_trace(log, folder / "asked.csv")
    metrics = simulate_log(log, replica, folder / "asked.csv").metrics
    first, last = log.arrived + metrics["ttft"], log.arrived + metrics["e2e"]
    return replace(log, first=first, last=last)


def refit(
    truth: Replica, blank: Replica, start: dict[str, float], folder: Path, rate: float = 4.0, **given: Any
) -> runs.Fit:
    """What a fit makes of a run with known parameters."""
    log = served(truth, folder, asked(rate=rate))
    write_trace(log, folder / "trace.csv")
    return fit(log, blank, folder / "trace.csv", start, **given)


def number(value: object) -> float:
    return float(str(value).removesuffix(" s"))


def test_parameters_of_a_roofline_are_found(tmp_path: Path) -> None:
    """Efficiencies and overhead with which a made-up run was simulated."""
    known = {"memory_efficiency": 0.6, "compute_efficiency": 0.45, "step_overhead": "6 ms"}
    truth = Replica(A100, LLAMA, costs={"kind": "roofline"} | known)
    start = {"memory_efficiency": 0.775, "compute_efficiency": 0.62, "step_overhead": 2e-3}
    steps: list[int] = []
    found = refit(truth, Replica(A100, LLAMA), start, tmp_path, progress=steps.append)
    assert found.left < 0.01
    assert found.runs == steps[-1] <= runs.MOST_RUNS + 5
    assert number(found.fitted["compute_efficiency"]) == pytest.approx(0.45, rel=0.1)
    assert number(found.fitted["memory_efficiency"]) == pytest.approx(0.6, rel=0.1)
    assert number(found.fitted["step_overhead"]) == pytest.approx(6e-3, abs=1.5e-3)
    assert found.replica.costs == {"kind": "roofline"} | found.fitted
    assert not found.limits


@pytest.fixture
def profile(package: Path, tmp_path: Path) -> Path:
    """A profile of Llama-3.1-8B on an H100, from made-up kernels."""
    out = tmp_path / "h100.json"
    result = invoke(
        "--database", str(package), "--accelerator", "nvidia-h100-sxm", "--llm", LLAMA, "-o", str(out)
    )
    assert result.exit_code == 0, result.output
    return out


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["calibrate", "costs", *arguments])


def test_host_overhead_beside_a_profile_is_found(tmp_path: Path, profile: Path) -> None:
    """What the host adds, and by what factor kernels were slower than measured."""
    costs = {"kind": "profile", "path": str(profile)}
    truth = Replica("nvidia-h100-sxm", LLAMA, costs=costs | {"step_overhead": "3 ms", "time_factor": 1.0})
    start = {"time_factor": 1.0, "step_overhead": 1e-4}
    found = refit(truth, Replica("nvidia-h100-sxm", LLAMA, costs=costs), start, tmp_path, 20.0)
    assert number(found.fitted["step_overhead"]) == pytest.approx(3e-3, abs=1e-3)
    assert found.fitted["time_factor"] == pytest.approx(1.0, abs=0.07)
    slower = replace(truth, costs=truth.costs | {"time_factor": 1.3})
    found = refit(slower, Replica("nvidia-h100-sxm", LLAMA, costs=costs), start, tmp_path, 20.0)
    assert found.fitted["time_factor"] == pytest.approx(1.3, abs=0.07)


def test_a_beginning_that_prompts_share_is_found(tmp_path: Path) -> None:
    """A full cache lets in more requests if all begin alike; without a cache of prefixes it is not even tried."""
    settings = {"prefix_cache": True, "kv_tokens": 12_000}
    truth = Replica(A100, LLAMA, settings, shared_prefix=32)
    start = {"step_overhead": 2e-3}
    log = served(truth, tmp_path, asked(150, 8.0))
    write_trace(log, tmp_path / "trace.csv")
    found = fit(log, Replica(A100, LLAMA, settings), tmp_path / "trace.csv", start)
    assert found.replica.shared_prefix == 32
    assert found.fitted["shared_prefix"] == 32
    alone = served(replace(truth, shared_prefix=0), tmp_path, asked(150, 8.0))
    assert (
        fit(alone, Replica(A100, LLAMA, settings), tmp_path / "trace.csv", start).replica.shared_prefix == 0
    )
    uncached = Replica(A100, LLAMA, {"kv_tokens": 12_000})
    assert "shared_prefix" not in fit(log, uncached, tmp_path / "trace.csv", start).fitted


def test_only_chosen_requests_count(tmp_path: Path) -> None:
    """A run that slows down after its first half is fitted on that half."""
    log = served(Replica(A100, LLAMA, costs={"kind": "roofline", "step_overhead": "8 ms"}), tmp_path)
    late = np.arange(len(log)) >= 60
    spoilt = replace(log, last=np.where(late, log.last + 100, log.last))
    write_trace(log, tmp_path / "trace.csv")
    found = fit(spoilt, Replica(A100, LLAMA), tmp_path / "trace.csv", {"step_overhead": 2e-3}, slice(60))
    assert number(found.fitted["step_overhead"]) == pytest.approx(8e-3, rel=0.05)


def test_a_fit_that_cannot_be_says_so(tmp_path: Path) -> None:
    """Tokens a hundred times as fast as any parameters explain."""
    log = served(Replica(A100, LLAMA), tmp_path)
    wrong = replace(log, last=log.first + (log.last - log.first) / 100)
    write_trace(log, tmp_path / "trace.csv")
    with pytest.raises(SimulationError, match=r"the fit does not converge: after .* are still a factor of"):
        fit(wrong, Replica(A100, LLAMA), tmp_path / "trace.csv", {"step_overhead": 2e-3})


def test_a_parameter_at_its_limit_is_named(tmp_path: Path) -> None:
    """A run that was a little faster than the roofline at full bandwidth."""
    truth = Replica(
        A100, LLAMA, costs={"kind": "roofline", "memory_efficiency": 1.0, "step_overhead": "0 ms"}
    )
    log = served(truth, tmp_path)
    quick = replace(log, last=log.first + (log.last - log.first) * 0.9)
    write_trace(log, tmp_path / "trace.csv")
    blank = Replica(A100, LLAMA, costs={"kind": "roofline", "step_overhead": "0 ms"})
    found = fit(quick, blank, tmp_path / "trace.csv", {"memory_efficiency": 0.8})
    assert found.limits == ("memory_efficiency",)


def test_short_times_to_the_first_token_count_less() -> None:
    """A front end that doubles a short one is worth a twentieth of what a doubled whole is."""
    lines = [Line("ttft", "mean", 0.05, 0.1), Line("e2e", "mean", 10.0, 20.0), Line("tpot", "mean", 0.0, 1.0)]
    short, whole = distances(lines)
    assert whole == pytest.approx(np.log(2))
    assert short == pytest.approx(np.log(1.05))


def test_replicas_share_the_requests(tmp_path: Path) -> None:
    """Data parallelism: each replica has accelerators of its own, and half of the load."""
    log = asked(200, 10.0)
    write_trace(log, tmp_path / "trace.csv")
    one, two = (
        simulate_log(
            log,
            Replica(A100, LLAMA, {"replicas": n, "tensor_parallel": 2}),
            tmp_path / "trace.csv",
            watched=True,
        )
        for n in (1, 2)
    )
    assert np.nanmean(two.metrics["tpot"]) < 0.9 * np.nanmean(one.metrics["tpot"])
    assert 0 < two.load[20, 1] <= one.load[20, 1]
    assert two.load[20, 3] < one.load[20, 3]
    content = Replica(A100, LLAMA, {"replicas": 2, "tensor_parallel": 2}).scenario("trace.csv")
    assert content["topology"]["nodes"]["server"]["accelerators"] == 4
    assert content["policies"] == {"router": "join-shortest-queue"}


def test_a_request_that_does_not_fit_is_told(tmp_path: Path) -> None:
    """The settings are wrong if the engine served what the replica cannot."""
    log = asked(20)
    write_trace(log, tmp_path / "trace.csv")
    with pytest.raises(SimulationError, match=r"of the log is rejected .*; check the engine settings"):
        simulate_log(log, Replica(A100, LLAMA, {"kv_tokens": 512}), tmp_path / "trace.csv")


def write_log(log: Log, path: Path) -> None:
    """Write a log as an engine does."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["arrived_at", "input_toks", "output_toks", "first_token_at", "finished_at"])
        writer.writerows(zip(log.arrived, log.prompt, log.output, log.first, log.last, strict=True))


def test_the_command_writes_a_scenario_that_reproduces_the_run(tmp_path: Path, profile: Path) -> None:
    """With a database: profile, trace, picture and scenario; running the scenario gives the simulated run again."""
    costs = {"kind": "profile", "path": str(profile), "step_overhead": "2 ms"}
    log = served(Replica("nvidia-h100-sxm", LLAMA, {"max_num_seqs": 64}, costs), tmp_path)
    write_log(log, tmp_path / "log.csv")
    settings = {
        "model": "meta-llama/Llama-3.1-8B",
        "max_num_seqs": 64,
        "device_name": "NVIDIA H100 80GB HBM3",
        "dtype": "bfloat16",
    }
    (tmp_path / "meta.json").write_text(json.dumps(settings))
    out = tmp_path / "replay"
    result = invoke(
        "--log",
        str(tmp_path / "log.csv"),
        "--settings",
        str(tmp_path / "meta.json"),
        "--profile",
        str(profile),
        "--train",
        "80",
        "-o",
        str(out),
    )
    assert result.exit_code == 0, result.output
    assert "requests 1 to 80, fitted on them" in result.output
    assert "requests 81 to 120, held out" in result.output
    assert sorted(path.name for path in out.iterdir()) == ["comparison.png", "requests.csv", "scenario.yaml"]
    text = (out / "scenario.yaml").read_text()
    assert text.startswith(
        "# Replays log.csv, as it was served.\n# Fitted to requests 1 to 80: time_factor, step_overhead"
    )
    content = yaml.safe_load(text)
    assert number(content["deployments"][0]["costs"]["step_overhead"]) == pytest.approx(2e-3, abs=5e-4)
    again = edgesim.simulate(str(out / "scenario.yaml"))
    e2e = (again.requests["finished_at"] - again.requests["arrived_at"]).mean()
    assert e2e == pytest.approx(log.metrics["e2e"].mean(), rel=0.02)
    assert load(str(out / "scenario.yaml"))


def test_the_command_with_a_database(tmp_path: Path, package: Path, profile: Path) -> None:
    """The profile it puts together is written beside the scenario that names it."""
    log = served(Replica("nvidia-h100-sxm", LLAMA, {}, {"kind": "profile", "path": str(profile)}), tmp_path)
    write_log(log, tmp_path / "log.csv")
    out = tmp_path / "replay"
    result = invoke(
        "--log",
        str(tmp_path / "log.csv"),
        "--database",
        str(package),
        "--accelerator",
        "nvidia-h100-sxm",
        "--llm",
        LLAMA,
        "--no-fit",
        "-o",
        str(out),
    )
    assert result.exit_code == 0, result.output
    assert yaml.safe_load((out / "scenario.yaml").read_text())["deployments"][0]["costs"] == {
        "kind": "profile",
        "path": "profile.json",
    }
    errors = [
        float(line.split()[-1].rstrip("%"))
        for line in result.output.splitlines()
        if line.strip().startswith(("ttft", "tpot", "e2e"))
    ]
    assert len(errors) == 9
    assert max(map(abs, errors)) <= 0.1


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (
            lambda log: replace(log, last=log.first + (log.last - log.first) * 300),
            "the fit does not converge",
        ),
        (lambda log: replace(log, prompt=log.prompt * 100), "of the log is rejected"),
        (
            lambda log: replace(log, first=log.last + 1),
            "row 1: arrival, first and last token are not in this order",
        ),
    ],
)
def test_nothing_is_written_when_something_fails(tmp_path: Path, spoil: Any, complaint: str) -> None:
    """Neither folder nor file, and the message says why."""
    log = spoil(served(Replica(A100, LLAMA), tmp_path, asked(30)))
    write_log(log, tmp_path / "log.csv")
    out = tmp_path / "replay"
    arguments = ("--log", str(tmp_path / "log.csv"), "--accelerator", A100, "--llm", LLAMA, "-o", str(out))
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert complaint in result.output
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--kernels", "x", "--database", "y"), "give one of --kernels, --database, --points and --log"),
        ((), "give one of --kernels, --database, --points and --log"),
        (("--database", "y", "--profile", __file__), "give --profile or --database, not both"),
        (("--database", "y"), "which llm was measured? nothing says it"),
        (("--database", "y", "--llm", LLAMA), "which accelerator was measured? nothing says it"),
        (
            ("--database", "y", "--llm", LLAMA, "--accelerator", "raspberry-pi-5"),
            "which system of the database is like raspberry-pi-5?",
        ),
    ],
)
def test_wrong_arguments_are_told(tmp_path: Path, arguments: tuple[str, ...], complaint: str) -> None:
    """With what to give instead."""
    result = invoke(*arguments, "-o", str(tmp_path / "out"))
    assert result.exit_code == 2
    assert complaint in " ".join(result.output.split())


def test_the_measured_run_of_the_reference_data(tmp_path: Path, reference_data: Path) -> None:
    """An RTX 4090 under vLLM 0.19: nothing fitted, then fitted on half of it and held against the other half."""
    name = str(reference_data / "replays/vllm_replay_RTX4090_Llama-3.1-8B")
    given = ("--log", f"{name}.jsonl", "--settings", f"{name}_meta.json")
    made = tmp_path / "4090.json"
    prefix = str(reference_data / "kernels/profile_RTX4090_meta-llama_Llama-3.1-8B_tp1_")
    assert invoke("--kernels", prefix, "--settings", f"{name}_meta.json", "-o", str(made)).exit_code == 0
    profiled = ("--profile", str(made))
    for costs, most in ((profiled, 8.0), ((), 20.0)):
        result = invoke(
            *given, *costs, "--no-fit", "--curves", f"{name}_timeseries.csv", "-o", str(tmp_path / "a")
        )
        assert result.exit_code == 0, result.output
        assert max(map(abs, _errors(result.output, "mean", "p90"))) < most
    result = invoke(*given, *profiled, "--train", "150", "-o", str(tmp_path / "b"))
    held_out = result.output[result.output.index("held out") :]
    assert max(map(abs, _errors(held_out, "mean", "p90"))) < 4
    assert read_log(Path(f"{name}.jsonl")).notes


def _errors(output: str, *statistics: str) -> list[float]:
    """The errors of some statistics in per cent."""
    rows = [line.split() for line in output.splitlines() if line.strip().startswith(("ttft", "tpot", "e2e"))]
    found = [float(row[-1].rstrip("%")) for row in rows if row[1] in statistics]
    assert len(found) == 3 * len(statistics)
    return found


@pytest.mark.parametrize(
    ("scale", "complaint"),
    [
        (1e3, "times what llama-3.1-8b in bf16 takes at least on nvidia-a100-80gb-sxm (7.361 ms)"),
        (0.05, "or less a token, 0.06"),
    ],
)
def test_times_in_another_unit_are_doubted(tmp_path: Path, scale: float, complaint: str) -> None:
    """Replies far slower than any, and faster than the weights are read."""
    path = tmp_path / "log.csv"
    rows = [f"{scale * i},100,10,{scale * (i + 0.1)},{scale * (i + 0.1 + 9 * 0.0095)}" for i in range(30)]
    path.write_text("arrival_time,input_toks,output_toks,first_token_ts,last_token_ts\n" + "\n".join(rows))
    given = ("--accelerator", A100, "--llm", LLAMA, "--no-fit", "-o", str(tmp_path / "out"))
    result = invoke("--log", str(path), *given)
    assert result.exit_code == 2
    assert complaint in result.output
    assert "in which unit are these times?" in result.output
    assert not (tmp_path / "out").exists()


def test_a_few_requests_are_not_fitted(tmp_path: Path) -> None:
    """One request agrees with any parameters; comparing it needs none."""
    log = served(Replica(A100, LLAMA), tmp_path, asked(30))
    write_trace(log, tmp_path / "trace.csv")
    with pytest.raises(SimulationError, match=r"too few requests \(19\) to fit parameters to"):
        fit(log, Replica(A100, LLAMA), tmp_path / "trace.csv", {"step_overhead": 2e-3}, slice(19))


def test_a_poor_fit_is_told_and_its_band_is_what_it_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Costs that are off by half are not expected within a quarter, neither here nor in the scenario."""
    log = served(Replica(A100, LLAMA), tmp_path, asked(30))
    write_log(log, tmp_path / "log.csv")

    def poor(log: Log, replica: Replica, *_: Any) -> runs.Fit:
        costs = {"kind": "roofline", "memory_efficiency": 0.5}
        return runs.Fit(
            replace(replica, costs=costs), {"memory_efficiency": 0.5}, 0.16, 9, ("step_overhead",)
        )

    monkeypatch.setattr(runs, "fit", poor)
    out = tmp_path / "replay"
    arguments = ("--log", str(tmp_path / "log.csv"), "--accelerator", A100, "--llm", LLAMA, "-o", str(out))
    result = invoke(*arguments)
    assert result.exit_code == 0, result.output
    assert "these costs do not explain the run: 16.0% is left after the fit" in result.output
    assert "step_overhead ended at or near its limit" in result.output
    assert "memory_efficiency fitted to this log), expected within" in result.output
    band = int(result.output.rpartition("expected within ")[2].split("%")[0])
    write_trace(log, tmp_path / "trace.csv")
    simulated = simulate_log(log, poor(log, Replica(A100, LLAMA)).replica, tmp_path / "trace.csv")
    assert 25 < band == math.ceil(100 * runs.apart(log, simulated))
    text = (out / "scenario.yaml").read_text()
    assert "# step_overhead ended at or near its limit.\n# These costs do not explain the run.\n" in text
    assert "(confidence: fitted, source: log.csv, 16.0% is left)" in text
    info = edgesim.simulate(str(out / "scenario.yaml")).summary
    assert f"{band / 100}" in json.dumps(info)


def test_what_a_database_substituted_is_told(tmp_path: Path, package: Path) -> None:
    """With a log as without one: where its profile comes from, and what stands for what was not measured."""
    log = served(Replica("nvidia-h100-sxm", LLAMA), tmp_path, asked(30))
    write_log(log, tmp_path / "log.csv")
    given = ("--accelerator", "nvidia-h100-sxm", "--llm", LLAMA, "--no-fit", "-o", str(tmp_path / "out"))
    result = invoke("--log", str(tmp_path / "log.csv"), "--database", str(package), *given)
    assert result.exit_code == 0, result.output
    source = json.loads((tmp_path / "out/profile.json").read_text())["source"]
    assert f"note: profile from {source}" in result.output


def test_odd_factors_are_told() -> None:
    """Kernels that would have been twice as fast as measured were measured elsewhere."""
    text = replay._of_fit(runs.Fit(Replica(A100, LLAMA), {"time_factor": 0.42}, 0.05, 9, ()))
    assert "kernels of the run took 0.42 times what the profile says" in text[1]
    assert len(replay._of_fit(runs.Fit(Replica(A100, LLAMA), {"time_factor": 1.1}, 0.05, 9, ()))) == 1


def test_a_profile_serves_the_same_chip(tmp_path: Path, profile: Path) -> None:
    """Whichever the database and cost models hold to be one, with a word about it; and no other."""
    pairs = {chip.accelerators for chip in CHIPS.values() if len(chip.accelerators) > 1}
    assert pairs == set(SAME_CHIP)
    made = replace(read(str(profile)), accelerator="rtx-pro-6000")
    llm = catalog.llm(LLAMA)
    cost = profile_step_cost(catalog.accelerator("rtx-pro-6000-server"), llm, made)
    assert any("which has the chip and memory of rtx-pro-6000-server" in note for note in cost.notes)
    with pytest.raises(ScenarioError, match="measured with accelerator 'rtx-pro-6000'"):
        profile_step_cost(catalog.accelerator("rtx-5090"), llm, made)
