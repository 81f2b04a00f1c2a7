"""Records in memory as DataFrames, with the same columns and values as the Parquet tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from edgesim.results.columns import RECORDS, ColumnBlock

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgesim.outcome import RunInfo


def frame(table: str, records: NDArray[np.void], info: RunInfo) -> pd.DataFrame:
    """Turn records into a table; columns of names become categorical."""
    columns = RECORDS[table][0]
    block = ColumnBlock(columns, info, len(records))
    block.fill(records)
    values: dict[str, Any] = {}
    for column in columns:
        if column.kind == "name":
            codes, names = block.names(column)
            values[column.name] = pd.Categorical.from_codes(codes, pd.Index(names, dtype="str"))
        else:
            values[column.name] = block[column.name]
    return pd.DataFrame(values, copy=False)
