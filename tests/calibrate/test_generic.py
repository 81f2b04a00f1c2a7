"""A stand-in has the size it was asked for."""

from __future__ import annotations

import pytest

from edgesim.calibrate.generic import generic_llm
from edgesim.costs import parameters


@pytest.mark.parametrize("params", [0.5e9, 1.1e9, 4e9, 9e9, 24e9, 32e9, 123e9])
def test_a_generic_llm_has_the_asked_size(params):
    """Within ten per cent, head and embedding included."""
    assert parameters(generic_llm(params)) == pytest.approx(params, rel=0.1)
