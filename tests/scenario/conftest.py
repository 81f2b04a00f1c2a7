"""Fixtures: the example scenario, changed here and there, and what loading says about it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from edgesim import registry
from edgesim.errors import ScenarioError
from edgesim.scenario import load

EXAMPLE = Path(__file__).parent / "data" / "example.yaml"


@pytest.fixture(autouse=True)
def _forget_plugins():
    """Leave no policy of a test's plugin behind."""
    yield
    for module in [name for name in sys.modules if name.startswith("edgesim_plugin_")]:
        for one in registry.registries.values():
            one.forget(module)
        del sys.modules[module]


@pytest.fixture
def example():
    """The text of the example scenario."""
    return EXAMPLE.read_text(encoding="utf-8")


@pytest.fixture
def changed(example, tmp_path, monkeypatch):
    """Write the example, with some texts replaced, to `s.yaml` in an empty working directory."""
    monkeypatch.chdir(tmp_path)

    def change(*replacements):
        text = example
        for old, new in replacements:
            assert old in text
            text = text.replace(old, new)
        path = Path("s.yaml")
        path.write_text(text, encoding="utf-8")
        return path

    return change


@pytest.fixture
def complaint():
    """Load a scenario that must be refused; answer the whole report."""

    def complain(source, sets=(), plugins=()):
        with pytest.raises(ScenarioError) as caught:
            load(source, sets, plugins)
        return str(caught.value)

    return complain


@pytest.fixture
def complaints(complaint):
    """Load a scenario that must be refused; answer "line:column path: text" for each problem."""

    def complain(source, sets=(), plugins=()):
        with pytest.raises(ScenarioError) as caught:
            load(source, sets, plugins)
        return [_line(problem) for problem in caught.value.problems]

    return complain


def _line(problem):
    heading = str(problem).splitlines()[0].removeprefix("s.yaml:")
    return f"{heading}: {problem.text}"
