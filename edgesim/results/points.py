"""The table of a sweep: a row per point and replication, what was set in front, what came out behind.

It holds what the simulation says and nothing of how the run went (no wall times, no paths, no versions), so that
a sweep that was interrupted and resumed gives the same bytes as one that was not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from edgesim.errors import ResultsError
from edgesim.metrics import METRICS, RATES, STATISTICS
from edgesim.results.folder import MANIFEST, SUMMARY, read_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

Json = dict[str, Any]

POINTS: Final = "points.parquet"
FIRST: Final = ("point",)
LEADING: Final = ("replication", "status", "error")
"""Columns between the swept keys and the numbers."""

_COUNTS: Final = ("arrived", "completed", "rejected", "failed", "abandoned", "unfinished")
_ENERGY: Final = ("idle", "dynamic", "network")


def units() -> dict[str, str]:
    """Answer the unit of every column that all sweeps have; "" for plain numbers and text."""
    found = dict.fromkeys((*FIRST, *LEADING, "stable", "slo_met", *_COUNTS), "")
    found |= {"simulated_s": "s"}
    for name, metric in METRICS.items():
        found |= {
            f"{name}_{statistic}": "" if statistic == "count" else metric.unit for statistic in STATISTICS
        }
    found |= {name: unit for name, (unit, _) in RATES.items()}
    found |= {"energy_j": "J", **{f"energy_{name}_j": "J" for name in _ENERGY}}
    return found | {"cost_usd": "USD", "carbon_g": "gCO2"}


def rows(folder: Path) -> list[Json]:
    """Read a finished point: a row for each replication, and one with the error if it failed.

    Raises:
        ResultsError: A file of the point is missing or damaged.
    """
    manifest = read_json(folder / MANIFEST)
    planned, done = manifest.get("replications", 1), manifest.get("finished_replications", 0)
    places = [folder] if planned == 1 else [folder / f"rep-{number:03d}" for number in range(planned)]
    found = [
        {"replication": number, "status": "finished", "error": None, **numbers(read_json(place / SUMMARY))}
        for number, place in enumerate(places[:done])
    ]
    if manifest.get("exit_state") != "finished":
        found.append({"replication": done, "status": "failed", "error": manifest.get("error")})
    return found


def numbers(summary: Json) -> Json:
    """Take the columns of one replication from its summary."""
    try:
        return dict(_numbers(summary))
    except (KeyError, TypeError) as error:
        raise ResultsError(
            f"a summary lacks {error}; it was written by another version of edgesim"
        ) from error


def _numbers(summary: Json) -> Iterator[tuple[str, Any]]:
    """Yield columns with their values, in the order of `units`."""
    met = [row["met"] for row in summary["slo"]]
    yield "stable", summary["stable"]
    yield "slo_met", None if not met or None in met else all(met)
    yield from ((name, summary["requests"][name]) for name in _COUNTS)
    yield "simulated_s", summary["engine"]["simulated_s"]
    for metric in METRICS:
        values = summary["metrics"].get(metric, {})
        yield from ((f"{metric}_{statistic}", values.get(statistic)) for statistic in STATISTICS)
    yield from ((name, summary["rates"][name]) for name in RATES)
    yield "energy_j", summary["energy_j"]["total"]
    yield from ((f"energy_{name}_j", summary["energy_j"][name]) for name in _ENERGY)
    yield "cost_usd", summary["cost_usd"]
    yield "carbon_g", summary["carbon_g"]
    for tier, group in sorted(summary["by"]["tier"].items()):
        if "fleet" in group:
            yield f"utilisation_{tier}", group["fleet"]["utilisation"]


def write(
    path: Path,
    values: Mapping[str, Sequence[Any]],
    key_units: Mapping[str, str],
    folders: Sequence[Path],
) -> None:
    """Write the table at once or not at all.

    Args:
        path: The file.
        values: Swept key -> its value at each point: numbers in SI units, or texts.
        key_units: Units of the swept keys.
        folders: The finished points, in order.
    """
    import pyarrow as pa  # noqa: PLC0415 - takes half a second to import
    import pyarrow.parquet as pq  # noqa: PLC0415

    found = [
        {"point": point, **{key: column[point] for key, column in values.items()}, **row}
        for point, folder in enumerate(folders)
        for row in rows(folder)
    ]
    known = units()
    late = sorted({name for row in found for name in row} - set(known) - set(values))
    names = [*FIRST, *values, *(name for name in known if name not in FIRST), *late]
    fields = [
        pa.field(name, _type(pa, name, values), metadata={"unit": key_units.get(name, known.get(name, ""))})
        for name in names
    ]
    columns = [
        pa.array([row.get(field.name) for row in found], field.type, from_pandas=True) for field in fields
    ]
    scratch = path.with_suffix(".tmp")
    pq.write_table(pa.Table.from_arrays(columns, schema=pa.schema(fields)), scratch, compression="zstd")
    scratch.replace(path)


def _type(pa: Any, name: str, values: Mapping[str, Sequence[Any]]) -> Any:
    """Choose the type of a column by its name alone, or by all values of a swept key."""
    if name in values:
        kinds = {type(value) for value in values[name] if value is not None}
        for kind, found in ((bool, pa.bool_()), (int, pa.int64()), (float, pa.float64())):
            if kinds <= {kind}:
                return found
        return pa.string()
    if name in ("status", "error"):
        return pa.string()
    if name in ("stable", "slo_met"):
        return pa.bool_()
    whole = name in (*FIRST, "replication", *_COUNTS) or name.endswith("_count")
    return pa.int64() if whole else pa.float64()
