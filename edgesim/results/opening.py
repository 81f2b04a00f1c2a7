"""Opening a folder of results, whatever it holds: a run, a sweep, a comparison, a capacity search."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgesim.results.folder import MANIFEST, is_run, kind_of, read_json
from edgesim.results.run import load_run

if TYPE_CHECKING:
    from edgesim.results.capacity import Capacity
    from edgesim.results.comparison import Comparison
    from edgesim.results.run import Run, RunSet
    from edgesim.results.sweep import Sweep


def load(folder: str | Path) -> Run | RunSet | Sweep | Comparison | Capacity:
    """Open the folder of a run, a sweep, a comparison or a capacity search; tables are read when first asked for.

    Raises:
        ResultsError: There is none of them, or one of another version, or an unfinished one.
    """
    path = Path(folder)
    kind = kind_of(read_json(path / MANIFEST)) if is_run(path) else "run"
    if kind == "comparison":
        from edgesim.results.comparison import Comparison as Compared  # noqa: PLC0415 - most folders are runs

        return Compared.open(path)
    if kind == "sweep":
        from edgesim.results.sweep import Sweep as Swept  # noqa: PLC0415 - most folders are runs

        return Swept(path)
    if kind == "capacity":
        from edgesim.results.capacity import Capacity as Searched  # noqa: PLC0415 - most folders are runs

        return Searched.load(path)
    return load_run(path)
