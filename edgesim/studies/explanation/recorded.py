"""What was recorded of replicas and links over time, by interval."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from edgesim.results.series import series

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal["replica", "link"]


class Recorded:
    """The table `resources`, with the rows that it leaves out because they repeat the ones before.

    Args:
        resources: The table.
    """

    def __init__(self, resources: pd.DataFrame) -> None:
        self._resources = resources
        self._wide: dict[tuple[Kind, str], pd.DataFrame] = {}

    def within(
        self, kind: Kind, column: str, start: float, end: float, names: set[str] | None = None
    ) -> pd.DataFrame | None:
        """Answer a column within an interval: a row per sample, a column per replica or link.

        Args:
            kind: "replica" or "link".
            column: Such as "utilisation".
            start: Start of the interval [s].
            end: End of the interval [s].
            names: Only these; by default all.

        Returns:
            The samples; None if there are none.
        """
        if column not in self._resources.columns:
            return None
        wide = self._over_time(kind, column)
        found = wide[(wide.index >= start) & (wide.index < end)]
        if names is not None:
            found = found[[name for name in found.columns if name in names]]
        return found if found.size and bool(found.notna().to_numpy().any()) else None

    def of_tier(self, tier: str) -> set[str]:
        """Names of the replicas of a tier."""
        rows = self._resources[self._resources["kind"] == "replica"]
        if "tier" not in rows.columns:
            return set()
        return set(rows.loc[rows["tier"].astype(object) == tier, "name"].astype(str))

    def _over_time(self, kind: Kind, column: str) -> pd.DataFrame:
        if (kind, column) not in self._wide:
            self._wide[kind, column] = series(self._resources, column, kind)
        return self._wide[kind, column]
