"""What a point of a sweep costs: CPU seconds with several processes against one, and how much sooner they end.

    python -m benchmarks.sweep [--study sweep|compare|capacity] [--json] [--jobs N] [--points N] [--requests N]

Each row is `edgesim sweep` (or a comparison of so many candidates, or a search of so many replications) on
`benchmarks/scenarios/sixteen.yaml` in a process of its own, start, validation and table included; its CPU seconds are
those of the process and of all its children. The medians of the runs count, serial and parallel ones by turns.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SCENARIO = Path(__file__).parent / "scenarios" / "sixteen.yaml"


def asked(study: str, points: int) -> list[str]:
    """What a study of so many points is asked for."""
    seeds = f"scenario.seed={','.join(map(str, range(points)))}"
    once = ["--lowest", "1", "--highest", "1", "--slo", "e2e.mean=1 d"]  # met at once, and confirmed
    return {
        "sweep": ["--over", seeds],
        "compare": ["--over", seeds, "-n", "1", "-m", "ttft"],
        "capacity": ["-n", str(points), *once],
    }[study]


def measured(study: str, jobs: int, points: int, requests: int) -> tuple[float, float]:
    """CPU and wall seconds of a study, all processes together."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "edgesim", study, str(SCENARIO), "-q", "-j", str(jobs)]
        command += ["-s", f"scenario.requests={requests}", *asked(study, points)]
        started = time.perf_counter()
        process = subprocess.Popen([*command, "-o", f"{folder}/{study}"])  # noqa: S603 - this package's command
        _, status, used = os.wait4(process.pid, 0)  # children that it waited for are in `used`
        wall = time.perf_counter() - started
    if status:
        raise SystemExit(f"the {study} failed: {status}")
    return used.ru_utime + used.ru_stime, wall


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--study", choices=("sweep", "compare", "capacity"), default="sweep")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--points", type=int, default=48)
    parser.add_argument("--requests", type=int, default=300_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    measured("sweep", 1, 1, 1000)  # compiles the engine, if it is not
    rows: dict[int, list[tuple[float, float]]] = {1: [], given.jobs: []}
    for _ in range(given.repeat):
        for jobs, found in rows.items():
            found.append(measured(given.study, jobs, given.points, given.requests))
    cpu = {jobs: statistics.median(each[0] for each in found) / given.points for jobs, found in rows.items()}
    wall = {jobs: statistics.median(each[1] for each in found) for jobs, found in rows.items()}
    ratios = {"cpu": cpu[given.jobs] / cpu[1], "wall": wall[given.jobs] / wall[1]}
    if given.json:
        print(
            json.dumps(
                {"jobs": given.jobs, "cpu_s_per_point": cpu, "wall_s": wall, "ratios": ratios}, indent=1
            )
        )
        return
    for jobs in rows:
        print(f"-j {jobs}: {cpu[jobs]:.3f} CPU s per point, {wall[jobs]:.2f} s of wall time")
    print(
        f"-j {given.jobs} against serial: {ratios['cpu']:.3f} x CPU per point, {ratios['wall']:.3f} x wall time"
    )


if __name__ == "__main__":
    main()
