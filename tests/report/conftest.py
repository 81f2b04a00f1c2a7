"""Pages for the tests of what is shown, and a browser to open them in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner

import edgesim
from edgesim.cli import main


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two replications of the quickstart, stored."""
    folder = tmp_path_factory.mktemp("runs") / "quickstart"
    sets = ["scenario.duration=20 s", "scenario.warmup=2 s", "workloads.chat.arrivals.rate=15/s"]
    edgesim.simulate("quickstart", sets=sets, replications=2, out=folder)
    return folder


@pytest.fixture(scope="module")
def page(stored: Path) -> Path:
    """The page of that."""
    found = CliRunner().invoke(main, ["report", str(stored)])
    assert found.exit_code == 0, found.output
    assert found.stdout.startswith(f"wrote {stored / 'report.html'} (")
    return stored / "report.html"


@pytest.fixture(scope="module")
def browser(chromium: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A headless Chromium; without one these tests are skipped."""
    path = chromium.executable()
    if path is None:
        pytest.skip(
            "no Chromium is installed; `apt-get install chromium` brings it, EDGESIM_CHROMIUM names one"
        )
    found = chromium.Browser(path, tmp_path_factory.mktemp("profile"))
    yield found
    found.close()
