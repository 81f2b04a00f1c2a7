"""Sweeps that are killed and resumed give the same table as unbroken ones, byte for byte."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import edgesim
from edgesim.errors import EdgesimError, MissingExtraError

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


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A sweep of 40 points."""
    return written(tmp_path, 40)


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
    environment = os.environ | {"PYTHONWARNINGS": "ignore", "DASK_DISTRIBUTED__ADMIN__LOW_LEVEL_LOG_LENGTH": "0"}

    def started(stack: ExitStack, *arguments: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        stack.callback(process.wait, 20)
        stack.callback(process.kill)
        return process

    with ExitStack() as stack:
        port = free_port()
        address = f"tcp://127.0.0.1:{port}"
        started(
            stack, "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"
        )
        running = [
            started(
                stack, "distributed.cli.dask_worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard"
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


def test_a_killed_sweep_resumes_to_the_same_bytes(tiny: Path, tmp_path: Path) -> None:
    """Serial, killed twice at random moments."""
    chance = random.Random(5)
    whole = unbroken(tiny, tmp_path / "whole")
    broken = tmp_path / "broken"
    for points in (chance.randrange(1, 20), chance.randrange(20, 36)):
        assert killed_at(points, tiny, broken) == -signal.SIGKILL
        assert not (broken / "points.parquet").exists()
    assert resumed(tiny, broken) == whole


def test_processes_killed_and_resumed_give_the_same_bytes(tiny: Path, tmp_path: Path) -> None:
    """Two processes; when their leader is killed they end by themselves."""
    chance = random.Random(7)
    whole = unbroken(tiny, tmp_path / "whole")
    broken = tmp_path / "broken"
    assert killed_at(chance.randrange(1, 25), tiny, broken, "-j", "2") == -signal.SIGKILL
    assert resumed(tiny, broken, "-j", "2") == whole


def test_dask_with_a_lost_worker_gives_the_same_bytes(tiny: Path, tmp_path: Path) -> None:
    """One of two workers is killed in mid-sweep; the other one does its points, too."""
    whole = unbroken(tiny, tmp_path / "whole")
    out = tmp_path / "dask"
    with cluster() as (address, workers):
        process = subprocess.Popen(
            command(tiny, out, "-q", "--backend", "dask", "--scheduler", address), stderr=subprocess.PIPE
        )
        until(out, 5, process)
        workers[0].kill()
        _, told = process.communicate(timeout=WAIT_S)
        assert process.returncode == 2, told.decode()
    assert (out / "points.parquet").read_bytes() == whole
