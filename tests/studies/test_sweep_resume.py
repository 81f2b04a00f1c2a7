"""Sweeps that are killed and resumed give the same table as unbroken ones, byte for byte."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

import edgesim

if TYPE_CHECKING:
    from collections.abc import Iterator

SCENARIO = """\
scenario: {{name: tiny, seed: 3, duration: 3 s}}
topology:
  nodes:
    edge: {{tier: edge, count: 2, accelerator: nvidia-l4}}
deployments:
  - {{llm: llama-3.2-1b, on: edge, max_num_seqs: 4}}
workloads:
  chat: {{from: edge, arrivals: {{kind: poisson, rate: 1/s}}, prompt_tokens: 50, output_tokens: 5}}
sweep:
  latin_hypercube:
    points: {points}
    over:
      workloads.chat.arrivals.rate: {{from: 2/s, to: 40/s, scale: log}}
      workloads.chat.output_tokens: {{from: 1, to: 40}}
      deployments.0.llm: [llama-3.2-1b, llama-3.1-8b, llama-3.1-70b]
"""
"""A third of the points fail: the largest LLM does not fit."""

WAIT_S = 90.0


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    """A sweep of 40 points, and the table that it gives when nothing comes between."""
    folder = tmp_path_factory.mktemp("tiny")
    scenario = written(folder, 40)
    return scenario, unbroken(scenario, folder / "whole")


def written(folder: Path, points: int) -> Path:
    path = folder / "tiny.yaml"
    path.write_text(SCENARIO.format(points=points), encoding="utf-8")
    return path


def command(scenario: Path, out: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "edgesim", "sweep", str(scenario), "-o", str(out), *more]


def finished(out: Path) -> int:
    return len(list((out / "points").glob("*"))) if (out / "points").is_dir() else 0


def until(out: Path, points: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until so many points are finished."""
    deadline = time.monotonic() + WAIT_S
    while finished(out) < points and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.002)
    assert finished(out) >= points, "the sweep does not come forward"


def killed_at(points: int, scenario: Path, out: Path, *more: str, with_signal: int = signal.SIGKILL) -> int:
    """Start (or resume) a sweep and end it as soon as so many points are finished; answers its exit code."""
    process = subprocess.Popen(
        command(scenario, out, "--resume", *more), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    until(out, points, process)
    process.send_signal(with_signal)
    return process.wait(WAIT_S)


def stamps(out: Path) -> dict[str, int]:
    """When each finished point was written [ns]."""
    return {p.parent.name: p.stat().st_mtime_ns for p in (out / "points").glob("*/manifest.json")}


def resumed(scenario: Path, out: Path, *more: str) -> bytes:
    """Finish a sweep; nothing that was finished is written again."""
    before = stamps(out)
    done = subprocess.run(command(scenario, out, "--resume", "-q", *more), capture_output=True, check=False)
    assert done.returncode == 2, done.stderr.decode()  # some points do not fit
    after = stamps(out)
    assert {name: after[name] for name in before} == before
    assert not (out / "scratch").exists()
    return (out / "points.parquet").read_bytes()


def unbroken(scenario: Path, out: Path) -> bytes:
    found = edgesim.sweep(scenario, out=out)
    assert 0 < len(found.failed) < len(found)
    return (out / "points.parquet").read_bytes()


@contextmanager
def cluster(workers: int = 2) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """A real scheduler and real workers, as processes of their own; answers the address and the workers."""
    pytest.importorskip("distributed", reason="the extra 'dask' is not installed")
    environment = os.environ | {
        "PYTHONWARNINGS": "ignore",
        "DASK_DISTRIBUTED__ADMIN__LOW_LEVEL_LOG_LENGTH": "0",
    }

    def started(stack: ExitStack, *arguments: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        stack.callback(process.wait, 20)
        stack.callback(process.kill)
        return process

    with ExitStack() as stack:
        port = free_port()
        address = f"tcp://127.0.0.1:{port}"
        started(
            stack,
            "distributed.cli.dask_scheduler",
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
            "--no-dashboard",
        )
        running = [
            started(
                stack,
                "distributed.cli.dask_worker",
                address,
                "--nthreads",
                "1",
                "--no-nanny",
                "--no-dashboard",
            )
            for _ in range(workers)
        ]
        from distributed import Client

        with Client(address, timeout="30 s", set_as_default=False) as client:
            client.wait_for_workers(workers, timeout=60)
        yield address, running


def free_port() -> int:
    import socket

    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def interrupted(scenario: Path, out: Path, rng: np.random.Generator, points: int, *more: str) -> None:
    """Kill a sweep of so many points at a random moment."""
    already = finished(out)
    assert (
        killed_at(int(rng.integers(already + 1, already + points // 3)), scenario, out, *more)
        == -signal.SIGKILL
    )
    assert not (out / "points.parquet").exists()


def children(process: int) -> list[int]:
    """The processes that a process has started."""
    listed = Path(f"/proc/{process}/task/{process}/children")
    if not listed.exists():
        pytest.skip("this system does not list child processes")
    return [int(child) for child in listed.read_text().split()]


def is_worker(process: int) -> bool:
    return b"popen_loky_posix" in Path(f"/proc/{process}/cmdline").read_bytes()


def lose_dask_worker(scenario: Path, out: Path, points: int, *more: str) -> None:
    """Sweep on a Dask cluster, one of whose two workers is killed after so many points."""
    with cluster() as (address, workers):
        process = subprocess.Popen(
            command(scenario, out, "-q", "--backend", "dask", "--scheduler", address, *more),
            stderr=subprocess.PIPE,
        )
        until(out, points, process)
        workers[0].kill()
        _, told = process.communicate(timeout=WAIT_S)
        assert process.returncode == 2, told.decode()


def test_a_killed_sweep_resumes_to_the_same_bytes(tiny: tuple[Path, bytes], tmp_path: Path) -> None:
    """Serial, killed twice at random moments."""
    rng = np.random.default_rng(5)
    for _ in range(2):
        interrupted(tiny[0], tmp_path / "broken", rng, 40)
    assert resumed(tiny[0], tmp_path / "broken") == tiny[1]


def test_processes_killed_and_resumed_give_the_same_bytes(tiny: tuple[Path, bytes], tmp_path: Path) -> None:
    """First one of two workers is killed, which stops nothing, then their leader, and the workers end by themselves."""
    out = tmp_path / "broken"
    process = subprocess.Popen(command(tiny[0], out, "-q", "-j", "2"), stderr=subprocess.PIPE)
    until(out, 2, process)
    workers = [child for child in children(process.pid) if is_worker(child)]
    os.kill(workers[0], signal.SIGKILL)
    until(out, 12, process)
    workers = [child for child in children(process.pid) if is_worker(child)]
    assert workers
    process.kill()
    process.communicate(timeout=WAIT_S)
    deadline = time.monotonic() + WAIT_S
    while any(Path(f"/proc/{worker}").exists() for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers)
    assert resumed(tiny[0], out, "-j", "2") == tiny[1]


def test_dask_with_a_lost_worker_gives_the_same_bytes(tiny: tuple[Path, bytes], tmp_path: Path) -> None:
    """One of two workers is killed in mid-sweep; the other one does its points, too."""
    lose_dask_worker(tiny[0], tmp_path / "dask", 4)
    assert (tmp_path / "dask" / "points.parquet").read_bytes() == tiny[1]


@pytest.mark.verification
@pytest.mark.parametrize("backend", ["serial", "processes", "dask"])
def test_two_hundred_points_survive(backend: str, tmp_path: Path) -> None:
    """Killed three times at random moments; on Dask, a worker is lost and the leader killed as well."""
    scenario, out = written(tmp_path, 200), tmp_path / "broken"
    whole = unbroken(scenario, tmp_path / "whole")
    rng = np.random.default_rng()
    if backend == "dask":
        with cluster() as (address, _):
            interrupted(scenario, out, rng, 200, "--backend", "dask", "--scheduler", address)
        before = stamps(out)
        lose_dask_worker(scenario, out, finished(out) + 20, "--resume")
        assert {name: stamp for name, stamp in stamps(out).items() if name in before} == before
        assert (out / "points.parquet").read_bytes() == whole
        return
    more = ("-j", "2") if backend == "processes" else ()
    for _ in range(3):
        interrupted(scenario, out, rng, 200, *more)
    assert resumed(scenario, out, *more) == whole


def test_the_commands_of_the_how_to_sweep_on_a_cluster(tmp_path: Path) -> None:
    """The scheduler, the worker and the sweep start as the page writes it; only host, port and lengths are ours."""
    pytest.importorskip("distributed", reason="the extra 'dask' is not installed")
    root = Path(__file__).parents[2]
    page = (root / "docs" / "how-to" / "sweep.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```sh\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    port = free_port()
    text = block.replace("HOST:8786", f"127.0.0.1:{port}").replace("scenarios/", f"{root}/scenarios/")
    serve, work, sweep = (shlex.split(line, comments=True) for line in text.splitlines())
    programs = [shutil.which(line[0], path=str(Path(sys.executable).parent)) for line in (serve, work)]
    assert all(programs), "the extra brings the program dask"
    environment = os.environ | {"PYTHONWARNINGS": "ignore"}
    serve += ["--host", "127.0.0.1", "--port", str(port), "--no-dashboard"]
    work += ["--no-dashboard"]
    with ExitStack() as stack:
        for program, line in zip(programs, (serve, work), strict=True):
            process = subprocess.Popen(
                [str(program), *line[1:]],
                env=environment,
                cwd=tmp_path,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            stack.callback(process.wait, 20)
            stack.callback(process.terminate)
        from distributed import Client

        with Client(f"tcp://127.0.0.1:{port}", timeout="30 s", set_as_default=False) as client:
            client.wait_for_workers(1, timeout=60)
        short = ["-s", "scenario.duration=20 s", "-s", "scenario.warmup=2 s"]
        done = subprocess.run(
            [sys.executable, "-m", "edgesim", *sweep[1:], *short],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    found = edgesim.load(tmp_path / "far")
    assert len(found) == 12
    assert not found.failed
