"""Time series out of the table `resources`: a row per sample, a column per replica or link, nothing left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Literal

    import pandas as pd


def series(
    resources: pd.DataFrame, column: str, kind: Literal["replica", "link"] = "replica"
) -> pd.DataFrame:
    """Lay one column out over time; rows that were left out repeat the ones before.

    Args:
        resources: The table.
        column: Such as "running" or "power_w".
        kind: Of replicas or of links.

    Returns:
        A row per sample, by its time [s]; a column per replica or link.
    """
    import numpy as np  # noqa: PLC0415 - pandas takes a second to import
    import pandas as pd  # noqa: PLC0415

    rows = resources[resources["kind"] == kind]
    times, row = np.unique(resources["t"].to_numpy(), return_inverse=True)
    names, place = np.unique(rows["name"].astype(str).to_numpy(), return_inverse=True)
    values = rows[column].to_numpy(float)
    said = np.zeros((len(times), len(names)), np.int64)
    at = row[(resources["kind"] == kind).to_numpy()]
    said[at, place] = np.arange(1, len(rows) + 1)
    newest = np.maximum.accumulate(said, axis=0)  # rows come in the order of time
    return pd.DataFrame(
        np.append(np.nan, values)[newest], pd.Index(times, name="t"), pd.Index(names, name="name")
    )
