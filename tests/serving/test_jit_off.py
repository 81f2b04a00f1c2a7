"""The kernel gives the same records compiled and as plain Python."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import edgesim
from edgesim.arena.compile import JIT
from edgesim.verify import random_systems

SEEDS = range(3, 400, 20)

SCRIPT = """
import json, sys
from edgesim.arena.compile import JIT
from edgesim.verify import random_systems
assert not JIT
sys.path.insert(0, sys.argv[1])
from test_jit_off import digest
json.dump({seed: digest(seed) for seed in json.loads(sys.argv[2])}, sys.stdout)
"""


def digest(seed: int) -> str:
    """A hash of everything that the kernel tells of a random system, floats to the last bit."""
    told = random_systems.run_kernel(seed)
    kept = hashlib.sha256()
    for table in (told.requests, told.legs):
        kept.update(np.ascontiguousarray(table).tobytes())
    kept.update(repr((told.seen, told.ended, told.totals, told.carried)).encode())
    return kept.hexdigest()


@pytest.mark.skipif(not JIT, reason="compilation is switched off anyway")
def test_jit_on_and_off_agree() -> None:
    """Twenty random systems: the same bytes with and without NUMBA_DISABLE_JIT."""
    root = Path(edgesim.__file__).parents[1]
    plain = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(Path(__file__).parent), json.dumps(list(SEEDS))],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(root)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert plain.returncode == 0, plain.stderr
    assert json.loads(plain.stdout) == {str(seed): digest(seed) for seed in SEEDS}
