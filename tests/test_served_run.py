"""The how-to on served runs works, command by command, on a run that a simulation served."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

import edgesim
from edgesim.cli import main

TEXT = (Path(__file__).parent.parent / "docs" / "how-to" / "served-run.md").read_text(encoding="utf-8")
COMMANDS = [
    line
    for block in re.findall(r"^```bash\n(.*?)^```", TEXT, flags=re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
    if line.startswith("edgesim ")
]
SETTINGS = re.search(r"^```json settings.json\n(.*?)^```", TEXT, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A log of 150 requests, of an H100 that is a little slower than the catalogue says."""
    monkeypatch.chdir(tmp_path)
    assert SETTINGS
    (tmp_path / "settings.json").write_text(SETTINGS[1], encoding="utf-8")
    run = edgesim.simulate(
        {
            "scenario": {"name": "truth", "requests": 150, "seed": 5},
            "topology": {"nodes": {"server": {"tier": "cloud", "accelerator": "nvidia-h100-sxm"}}},
            "deployments": [
                {
                    "llm": "llama-3.1-8b",
                    "on": "server",
                    "weights": "bf16",
                    "watermark": "0 %",
                    "max_batched_tokens": 8192,
                    "costs": {"kind": "roofline", "memory_efficiency": "65 %", "step_overhead": "1 ms"},
                }
            ],
            "workloads": {
                "chat": {
                    "from": "server",
                    "arrivals": {"kind": "poisson", "rate": "8/s"},
                    "prompt_tokens": {"kind": "lognormal", "median": 400, "p95": 2000},
                    "output_tokens": {"kind": "lognormal", "median": 150, "p95": 400},
                }
            },
        }
    )
    rows = run.requests.sort_values("request")
    with (tmp_path / "run.jsonl").open("w", encoding="utf-8") as file:
        for row in rows.itertuples():
            line = {
                "arrival_time": row.arrived_at,
                "input_toks": row.prompt_tokens,
                "output_toks": row.output_tokens,
                "first_token_ts": row.first_token_at,
                "last_token_ts": row.finished_at,
            }
            file.write(json.dumps(line) + "\n")
    return tmp_path


def test_the_how_to_works(served):
    """Every command ends well; the fit comes within a few per cent on the requests it has not seen."""
    assert len(COMMANDS) == 5
    for command in COMMANDS:
        done = CliRunner().invoke(main, shlex.split(command)[1:])
        assert done.exit_code == 0, (command, done.output)
        if "--train" in command:
            held_out = done.output.split("held out")[1]
            errors = {
                name: float(error)
                for name, error in re.findall(r"(ttft|tpot|e2e) +mean .*?([+-][\d.]+)%", held_out)
            }
            assert set(errors) == {"ttft", "tpot", "e2e"}
            assert all(abs(error) < 5 for error in errors.values()), errors
    assert {path.name for path in (served / "replay").iterdir()} == {
        "scenario.yaml",
        "requests.csv",
        "comparison.png",
    }
