"""What all tests share: the kernel is compiled once, before workers start to race for it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import HealthCheck, settings

# A busy machine makes slow inputs, not wrong ones.
settings.register_profile("edgesim", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("edgesim")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Compile the kernel in the process that hands out the tests; its workers then find it in the cache."""
    if hasattr(session.config, "workerinput") or not getattr(session.config.option, "numprocesses", None):
        return
    from edgesim.arena.compile import is_cold

    if is_cold():
        import edgesim

        edgesim.simulate("quickstart", sets=["scenario.duration=1 s", "scenario.warmup=0 s"])


DATA = Path(os.environ.get("EDGESIM_DATA") or Path(__file__).parents[1] / "../shared/data")
"""Reference data, which only some tests want."""


def pytest_report_header() -> str:
    """Say where reference data are, since without them tests skip."""
    return f"reference data: {DATA if DATA.is_dir() else 'none; EDGESIM_DATA says where they are'}"


@pytest.fixture(scope="session")
def reference_data() -> Path:
    """The folder of reference data, or a skipped test."""
    if not DATA.is_dir():
        pytest.skip(f"wants reference data, and there are none in {DATA}; EDGESIM_DATA says where they are")
    return DATA


@pytest.fixture(autouse=True)
def policies_stay_in_their_tests() -> Iterator[None]:
    """Forget the policies that a test registers; another test may list them all."""
    from edgesim.registry import registries

    before = {role: dict(registry._classes) for role, registry in registries.items()}
    yield
    for role, registry in registries.items():
        kept = before.get(role, registry._classes)
        for name, policy in registry._classes.items():
            if name not in kept and policy.__module__.startswith("edgesim_plugin_"):
                sys.modules.pop(policy.__module__, None)  # a plugin registers anew when it is loaded again
        registry._classes = kept


def loaded(name: str, path: Path) -> ModuleType:
    """A module by its path, loaded once."""
    if name not in sys.modules:
        spec = spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@pytest.fixture(scope="session")
def fakes() -> ModuleType:
    """Records with known answers, and a simulation that hands them out."""
    return loaded("edgesim_test_fakes", Path(__file__).parent / "results" / "fakes.py")


@pytest.fixture(scope="session")
def recorded() -> ModuleType:
    """Runs and sweeps to draw and to trace."""
    return loaded("edgesim_test_recorded", Path(__file__).parent / "report" / "recorded.py")


@pytest.fixture(scope="session")
def chromium() -> ModuleType:
    """How a headless Chromium is driven."""
    return loaded("edgesim_test_browser", Path(__file__).parent / "report" / "browser.py")
