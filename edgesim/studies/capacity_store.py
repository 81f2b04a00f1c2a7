"""A capacity search on disk: what was asked, every replication as it ends, the table, the answer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from edgesim.errors import ResultsError
from edgesim.results import folder as folders
from edgesim.results.capacity import ANSWER, KIND, TABLE, Asked, Capacity
from edgesim.results.folder import MANIFEST, SCENARIO, read_json, write_json
from edgesim.studies.capacity_points import JOURNAL, Journal

if TYPE_CHECKING:
    from pathlib import Path

    from edgesim.scenario import Scenario
    from edgesim.studies.capacity_goal import Goal

CSV: Final = "points.csv"
OURS: Final = (ANSWER, TABLE, CSV, JOURNAL, SCENARIO)
"""What is written beside the manifest."""


def opened(
    folder: Path, scenario: Scenario, asked: Asked, goal: Goal, *, resume: bool, force: bool
) -> Journal:
    """Make a folder, locked by this process, ready for a search, or go on with the one that is there.

    Raises:
        ResultsError: Something else is there, or the search for another question.
    """
    earlier = folders.earlier(folder, KIND, OURS)
    if earlier is not None and not (resume or force):
        raise ResultsError(
            f"'{folder}' holds an earlier search ({earlier.get('exit_state')});"
            " --resume goes on with it, --force replaces it"
        )
    # how much is tried may change when a search goes on, what is measured may not
    varied = asked.of if asked.search == "replicas" else ""  # the points of other searches tell it themselves
    question = json.dumps([scenario.digest(), [vars(one) for one in goal.criteria], varied])
    journal = Journal(folder, question, resume=resume and earlier is not None)
    if earlier is not None:
        for name in (ANSWER, TABLE, CSV):
            (folder / name).unlink(missing_ok=True)
    settings = scenario.scenario
    manifest: dict[str, Any] = folders.manifest(
        scenario=settings.name,
        digest=scenario.digest(),
        seed=settings.seed,
        replications=asked.looks[-1],
        command=folders.command_line(),
        engine=scenario.engine,
    )
    (folder / SCENARIO).write_text(scenario.resolved_yaml(), encoding="utf-8")
    write_json(folder / MANIFEST, {**manifest, "kind": KIND})
    return journal


def stored(found: Capacity, folder: Path) -> None:
    """Write an answer with its table, as Parquet and CSV."""
    import pyarrow as pa  # noqa: PLC0415 - only where something is written
    import pyarrow.parquet as pq  # noqa: PLC0415

    table = pa.Table.from_pandas(found.table, preserve_index=False)
    units = {b"edgesim.units": json.dumps(found.units).encode()}
    pq.write_table(table.replace_schema_metadata((table.schema.metadata or {}) | units), folder / TABLE)
    found.table.to_csv(folder / CSV, index=False)
    write_json(folder / ANSWER, found.as_json())
    ended(folder, "finished")
    found.folder = folder


def ended(folder: Path, state: str) -> None:
    """Say in the manifest how a search ended."""
    write_json(folder / MANIFEST, {**read_json(folder / MANIFEST), "exit_state": state})
