"""Run random systems on a kernel that checks every index; a script, for a process with NUMBA_BOUNDSCHECK=1.

First it proves that it would notice: it reads and writes rows that do not exist, as the kernel would. Writes a JSON
object to standard output: what the planted accesses raised, and what differed between kernel and twin.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from edgesim.arena import rows
from edgesim.arena.compile import entry, kernel
from edgesim.arena.state import Arena
from edgesim.arena.tables import unpack


@kernel
def stray(s, index):
    """A helper of the kernel that takes a wrong turn."""
    return s.arrivals[index].at


@entry
def read_row(address, index):
    """Read a row of a table of rows."""
    return stray(unpack(address), index)


@entry
def read_cell(address, index):
    """Read a cell of a table of integers."""
    return unpack(address).dirty[index]


@entry
def write_cell(address, index):
    """Write a cell of a table of integers."""
    unpack(address).dirty[index] = 1
    return 0


def planted() -> dict[str, str]:
    """What accesses in and out of range answer or raise."""
    arena = Arena()
    arena.put("arrivals", np.zeros(4, rows.ARRIVAL))
    arena.put("dirty", np.zeros(4, np.int64))
    told = {}
    for access in (read_row, read_cell, write_cell):
        for index in (3, 4, -1, 1 << 40):
            try:
                told[f"{access.__name__} {index}"] = str(access(arena.address, index))
            except IndexError:
                told[f"{access.__name__} {index}"] = "IndexError"
    return told


def main(seeds: int) -> dict[str, Any]:
    """Accesses that were planted, then random systems."""
    told = planted()
    if "IndexError" not in told.values():
        return {"planted": told}
    from edgesim.verify import random_systems

    sys.path.append(str(Path(__file__).parents[1] / "serving"))
    from whimsical import Whimsical, forgetting

    differing = {}
    for seed in range(seeds):
        found = random_systems.differences(
            random_systems.run_reference(seed), random_systems.run_kernel(seed)
        )
        with forgetting(random_systems):
            twin = random_systems.run_reference(seed, Whimsical(seed))
            found += random_systems.differences(twin, random_systems.run_kernel(seed, Whimsical(seed)))
        if found:
            differing[seed] = found
    return {"planted": told, "differing": differing, "systems": seeds}


if __name__ == "__main__":
    json.dump(main(int(sys.argv[1])), sys.stdout)
