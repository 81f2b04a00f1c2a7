"""The Pareto front over quantities of a table, such as that of a sweep: which settings are not beaten."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgesim.errors import ResultsError
from edgesim.results.quantity import quantity
from edgesim.stats.pareto import dominators

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd


def pareto(table: pd.DataFrame, objectives: Sequence[str], by: str | Sequence[str] = ()) -> pd.DataFrame:
    """Find the rows of a table that no other row beats.

    Args:
        table: A column per quantity, such as `Sweep.table`.
        objectives: Quantities, two or more, such as "ttft_p95" and "cost_usd"; each has its better side.
        by: Columns that name a setting, such as "point": rows that agree in them are averaged first.

    Returns:
        A row per setting: the objectives, `front`, and `dominated_by` (the index of a row that beats it).
    """
    found = [quantity(name) for name in objectives]
    if missing := [each.name for each in found if each.name not in table.columns]:
        raise ResultsError(
            f"the table has no column {missing[0]!r}; it has {', '.join(map(str, table.columns))}"
        )
    names = [each.name for each in found]
    keys = [by] if isinstance(by, str) else list(by)
    settings = table.groupby(keys, sort=False)[names].mean().reset_index() if keys else table[names].copy()
    signs = [-1.0 if each.better == "higher" else 1.0 for each in found]
    beaten = dominators(settings[names].to_numpy(float) * signs)
    settings["front"] = beaten < 0
    settings["dominated_by"] = [None if place < 0 else settings.index[place] for place in beaten]
    return settings
