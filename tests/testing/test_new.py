"""`edgesim policies new` writes files that run at once, for every role."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import edgesim.policies
from edgesim import registry
from edgesim.cli import main
from edgesim.policies import template
from edgesim.policies.contract import VIEWS, names
from edgesim.testing import report_on

STARTS = [(role, compiled) for compiled in (False, True) for role in template.roles(compiled=compiled)]


def new(*arguments: object) -> tuple[int, str]:
    """Run the command."""
    done = CliRunner().invoke(main, ["policies", "new", *map(str, arguments)])
    return done.exit_code, done.output


def test_every_role_has_a_start() -> None:
    """A role that is added brings its template; all but caches have a compiled form."""
    assert edgesim.policies
    assert set(template.roles()) == set(registry.registries)
    assert set(template.roles(compiled=True)) == set(registry.registries) - {"cache"}


def test_starts_pass_the_check_and_list_the_views(tmp_path: Path) -> None:
    """What is written is all right as it stands, parameter included, and names all that may be read."""
    classes = []
    for role, compiled in STARTS:
        file = tmp_path / f"{'fast' if compiled else 'my'}_{role}.py"
        code, output = new(role, file, *(["--compiled"] if compiled else []))
        assert code == 0, output
        assert f"edgesim policies check {file}" in output
        text = file.read_text()
        for view in template.READS[role]:
            assert all(f"{view}.{name}" in text for name in names(VIEWS[view]))
        assert max(map(len, text.splitlines())) <= 120
        (loaded,) = registry.load_plugin(file)
        assert loaded == f"{role} {file.stem.replace('_', '-')}"
        classes.append(registry.lookup(*loaded.split(" ", 1)))
        (row,) = [row for row in registry.describe(role) if row.name == loaded.split(" ", 1)[1]]
        assert len(row.parameters) == 1
    for report in report_on(classes, processes=False):
        assert report.findings == []
        assert report.decisions > 50


def test_a_start_runs_and_its_test_passes(tmp_path: Path) -> None:
    """The commands in its docstring work in a process of their own, and so does the test that it shows."""
    assert new("router", tmp_path / "my_router.py")[0] == 0
    short = ["--set", "scenario.duration=20 s", "--set", "scenario.warmup=0 s"]
    policy = "policies.router={kind: my-router, most_waiting: 4}"
    command = [
        sys.executable,
        "-m",
        "edgesim",
        "run",
        "quickstart",
        "--plugin",
        "my_router.py",
        "--set",
        policy,
        *short,
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "my_router.py").read_text()
    shown = text.split("for pytest:\n", 1)[1].split('"""', 1)[0]
    code = "\n".join(line.removeprefix("    ") for line in shown.splitlines())
    assert code.count("def test_") == 2
    runner = f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\n{code}\n"
    calls = "test_it_keeps_to_the_contract()\ntest_it_avoids_what_is_full()\n"
    done = subprocess.run(
        [sys.executable, "-c", runner + calls],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("role", ["admission", "scheduler", "cache"])
def test_the_tests_that_starts_show_pass(role: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The unit tests by hand, without the check, which has run above."""
    file = tmp_path / f"shown_{role}.py"
    assert new(role, file)[0] == 0
    monkeypatch.syspath_prepend(str(tmp_path))
    shown = file.read_text().split("for pytest:\n", 1)[1].split('"""', 1)[0]
    code = "\n".join(line.removeprefix("    ") for line in shown.splitlines())
    found: dict[str, object] = {}
    exec(code, found)
    tests = [each for name, each in found.items() if name.startswith("test_") and "contract" not in name]
    assert len(tests) == 1
    try:
        tests[0]()  # type: ignore[operator]
    finally:
        registry.registries[role].forget(f"shown_{role}")
        sys.modules.pop(f"shown_{role}", None)


def test_bad_input(tmp_path: Path) -> None:
    """Each mistake is told with what could be done, and nothing is overwritten."""
    file = tmp_path / "my_router.py"
    file.write_text("mine")
    for arguments, told in (
        (("router", file), "exists already; --force replaces it"),
        (("rooter", tmp_path / "x.py"), "did you mean 'router'"),
        (("cache", tmp_path / "x.py", "--compiled"), "has no compiled form"),
        (("router", tmp_path / "my-router.py"), "no name of a Python module"),
        (("router", tmp_path / "class.py"), "no name of a Python module"),
        (("router", tmp_path / "nowhere" / "x.py"), "cannot write"),
    ):
        code, output = new(*arguments)
        assert code == 2, output
        assert told in output
    assert file.read_text() == "mine"
    assert new("router", file, "--force")[0] == 0
    assert "my-router" in file.read_text()
