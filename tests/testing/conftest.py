"""What the tests of the authoring kit share: plugins that are gone afterwards."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgesim import registry

HERE = Path(__file__).parent


@pytest.fixture(scope="session", autouse=True)
def no_traces() -> Iterator[None]:
    """Leave no policy of these tests behind for others."""
    yield
    for each in registry.registries.values():
        for name in each.names():
            module = each[name].__module__ if name in each else ""
            if module.startswith("edgesim_plugin_") or "test_" in module:
                each.forget(module)


@pytest.fixture(scope="session")
def bad_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plugin in which every policy does something wrong; under another name, so that nobody collects it."""
    path = tmp_path_factory.mktemp("bad") / "bad_policies.py"
    shutil.copy(HERE / "bad_policies.py.txt", path)
    return path


@pytest.fixture
def plugin(tmp_path: Path) -> Callable[[str], Path]:
    """Write a plugin."""

    def write(source: str, name: str = "mine.py") -> Path:
        path = tmp_path / name
        path.write_text(source)
        return path

    return write
