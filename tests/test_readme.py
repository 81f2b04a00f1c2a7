"""What the README says works."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from edgesim.cli import main

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", TEXT, flags=re.MULTILINE | re.DOTALL)
SHELL = [line for kind, text in BLOCKS if kind == "bash" for line in text.splitlines() if line]
COMMANDS = [
    [line for line in text.splitlines() if line.startswith("edgesim ")]
    for kind, text in BLOCKS
    if kind == "bash" and text.startswith("edgesim ")
]
PYTHON = [text for kind, text in BLOCKS if kind == "python"]


@pytest.fixture(autouse=True)
def at_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Run in an empty folder that has the scenarios."""
    (tmp_path / "scenarios").symlink_to(ROOT / "scenarios")
    monkeypatch.chdir(tmp_path)


def test_two_lines_set_everything_up() -> None:
    """One installs and runs the quickstart, one installs and runs the tests."""
    setup = [line for line in SHELL if "venv" in line]
    assert len(setup) == 2
    assert "edgesim run scenarios/quickstart.yaml" in setup[0]
    assert "pytest" in setup[1]


def test_the_ci_runs_the_readme_s_test_line() -> None:
    """It takes the line from the README itself."""
    text = (ROOT / ".ci" / "run").read_text()
    assert "grep 'pytest' README.md" in text
    assert len([line for line in TEXT.splitlines() if "pytest" in line]) == 1


@pytest.mark.parametrize("commands", COMMANDS, ids=lambda commands: commands[0])
def test_commands_run(commands: list[str]) -> None:
    """Every command of the README ends well, after those before it in its block."""
    for command in commands:
        done = CliRunner().invoke(main, shlex.split(command)[1:])
        assert done.exit_code == 0, done.output


@pytest.mark.parametrize("number", range(len(PYTHON)))
def test_python_blocks_run(number: int, tmp_path: Path) -> None:
    """Every Python block runs; the policy is used as the text below it says."""
    if "@register" in PYTHON[number]:
        (tmp_path / "my_router.py").write_text(PYTHON[number])
        short = ["-s", "scenario.duration=20 s", "-s", "scenario.warmup=0 s"]
        arguments = ["--plugin", "my_router.py", "--set", "policies.router=least-loaded", *short]
        command = [sys.executable, "-m", "edgesim", "run", "scenarios/quickstart.yaml", *arguments]
        # in a process of its own: a registered policy would stay for all other tests
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stderr
        return
    exec(compile(PYTHON[number], f"README block {number}", "exec"), {"__name__": "readme"})
