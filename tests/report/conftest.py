"""Pages for the tests of what is shown, and a browser to open them in."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner

import edgesim
from edgesim.cli import main


def loaded(name: str, path: Path) -> ModuleType:
    """A module of the tests, which are no package."""
    if name not in sys.modules:
        spec = spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


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
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A headless Chromium; without one these tests are skipped."""
    module = loaded("edgesim_test_browser", Path(__file__).with_name("browser.py"))
    path = module.executable()
    if path is None:
        pytest.skip(
            "no Chromium is installed; `apt-get install chromium` brings it, EDGESIM_CHROMIUM names one"
        )
    found = module.Browser(path, tmp_path_factory.mktemp("profile"))
    yield found
    found.close()
