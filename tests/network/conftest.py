"""The stories of networks, found by their path so that scripts can use them, too."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from types import ModuleType

_NAME = "edgesim_test_stories"


@pytest.fixture(scope="session")
def stories() -> ModuleType:
    """Random networks, and what both engines tell of them."""
    if _NAME not in sys.modules:
        spec = spec_from_file_location(_NAME, Path(__file__).with_name("stories.py"))
        assert spec is not None
        assert spec.loader is not None
        sys.modules[_NAME] = module_from_spec(spec)
        spec.loader.exec_module(sys.modules[_NAME])
    return sys.modules[_NAME]
