"""Fixtures for results: a module of fakes, found by its path so that other folders can use it, too."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from types import ModuleType

_NAME = "edgesim_test_fakes"


@pytest.fixture(scope="session")
def fakes() -> ModuleType:
    """Records with known answers, and a simulation that hands them out."""
    if _NAME not in sys.modules:
        spec = spec_from_file_location(_NAME, Path(__file__).parents[1] / "results" / "fakes.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules[_NAME] = module_from_spec(spec)
        spec.loader.exec_module(sys.modules[_NAME])
    return sys.modules[_NAME]
