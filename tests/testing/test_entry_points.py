"""Packages that are installed add policies, through the entry-point group `edgesim.policies`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

MODULE = '''
from edgesim.policies import Router, register

@register("from-a-package")
class FromAPackage(Router):
    """Send each request to the farthest replica."""

    def route(self, request, candidates, view):
        return candidates[-1]
'''
METADATA = "Metadata-Version: 2.1\nName: far-away\nVersion: 1.0\n"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """What an installer leaves behind: a package, and the folder that describes it."""
    folder = tmp_path / "site"
    info = folder / "far_away-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / "far_away").mkdir()
    (folder / "far_away" / "__init__.py").write_text(MODULE)
    (info / "METADATA").write_text(METADATA)
    (info / "entry_points.txt").write_text("[edgesim.policies]\nfar = far_away\n")
    return folder


def edgesim(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line with the package installed."""
    path = os.pathsep.join([str(site), *(entry for entry in sys.path if entry)])
    return subprocess.run(
        [sys.executable, "-m", "edgesim", *arguments],
        env={**os.environ, "PYTHONPATH": path, "COLUMNS": "300"},
        cwd=site.parent,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_an_installed_package_adds_policies(site: Path) -> None:
    """Its policies are listed with their place, and scenarios run with them by name alone."""
    listed = edgesim(site, "policies", "list", "router")
    assert "from-a-package" in listed.stdout
    assert "far_away" in listed.stdout
    short = [
        "--set",
        "scenario.duration=10 s",
        "--set",
        "scenario.warmup=0 s",
        "--set",
        "policies.router=from-a-package",
    ]
    done = edgesim(site, "run", "quickstart", *short, "-o", "run", "-q")
    assert done.returncode == 0, done.stderr


def test_an_installed_policy_is_checked_in_other_processes(site: Path) -> None:
    """`assert_policy` finds it by name, and so do the processes that repeat its runs."""
    code = (
        "from edgesim.testing import report_on; (one,) = report_on(['from-a-package']); "
        "assert one.fine and not one.notes and one.decisions > 100, one"
    )
    path = os.pathsep.join([str(site), *(entry for entry in sys.path if entry)])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr


def test_a_package_that_fails_is_named_and_stops_nobody_else(site: Path) -> None:
    """A warning says which package is broken; asking for a policy that may be its own is an error that says so."""
    (site / "far_away" / "__init__.py").write_text("1 / 0\n")
    told = "the policies of package 'far-away' cannot be loaded: division by zero"
    listed = edgesim(site, "policies", "list", "router")
    assert listed.returncode == 0, listed.stderr
    assert "power-of-two" in listed.stdout
    assert told in listed.stderr
    asked = edgesim(site, "validate", "quickstart", "--set", "policies.router=from-a-package")
    assert asked.returncode == 2
    assert "no router named 'from-a-package'" in asked.stderr
    assert f"help: {told}" in asked.stderr
    assert "mend or uninstall that package" in asked.stderr
