"""The compiled tier: one function, as plain Python and as machine code."""

from __future__ import annotations

from edgesim.policies import compiled


@compiled
def second(view, request, candidates, parameters, key):
    """Always take the second candidate."""
    return 1


def test_runs_as_plain_python():
    """A marked function stays callable without numba."""
    assert second(None, None, None, None, 0) == 1


def test_compiles_once_to_the_same_answer():
    """Machine code answers as the function does, and is kept for the next call."""
    signature = "int64(int64, int64, int64, int64, uint64)"
    machine = second.compile(signature)
    assert machine(0, 0, 0, 0, 0) == 1
    assert second.compile(signature) is machine
