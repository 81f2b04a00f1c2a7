"""The check that a table of a run has the columns that are asked of it, which a file of another version may lack."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgesim.errors import ResultsError

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd


def table(run: Any, name: str, columns: Iterable[str]) -> pd.DataFrame:
    """Answer a table of a run, or of all its replications, that has at least these columns.

    Args:
        run: A run or a set of runs.
        name: Of the table, such as "requests".
        columns: That are needed.

    Raises:
        ResultsError: It was not recorded, or lacks columns.
    """
    wanted = tuple(columns)
    for each in run if hasattr(run, "__iter__") else (run,):
        check(getattr(each, name), wanted, name, each.folder)
    found: pd.DataFrame = getattr(run, name)
    return found


def check(frame: pd.DataFrame, columns: Iterable[str], name: str, folder: Any) -> None:
    """Make sure that a table has columns.

    Raises:
        ResultsError: It lacks some.
    """
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        place = f"'{folder / name}.parquet'" if folder else f"the table {name!r} of this run"
        raise ResultsError(
            f"{place} lacks {'the column' if len(missing) == 1 else 'the columns'} {', '.join(missing)}:"
            " another version wrote it; run its scenario.yaml again"
        )
