"""The folder of a sweep: who may write it, what of it is finished, and how a point gets into it.

Inside `sweep-<digest>/`:

- `sweep.yaml`: what was asked, as a scenario that can be swept again,
- `manifest.json`: how it came about; `exit_state` is running, interrupted or finished,
- `points/0000/` ...: a run folder for each point; it appears when it is finished, as a whole,
- `points.parquet`: the table; it appears when all points are there,
- `scratch/`: what is unfinished,
- `.lock`: held by the process that runs the sweep.
"""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from edgesim.errors import ResultsError
from edgesim.results import folder as folders
from edgesim.results import points as tables
from edgesim.results.folder import FORMAT, MANIFEST
from edgesim.results.points import POINTS
from edgesim.results.sweep import FOLDERS, KIND, SWEEP, folder_name, manifest_of
from edgesim.scenario.text import read

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgesim.studies.backends import Done
    from edgesim.studies.sweep_points import Prepared

Json = dict[str, Any]

SCRATCH: Final = "scratch"
MOST_NAMED: Final = 3
"""Keys that have changed since, in a message."""
LEFTOVERS: Final = (MANIFEST, SWEEP, POINTS, FOLDERS, SCRATCH, "manifest.tmp", "points.tmp")


def default_folder(sweep: Prepared) -> Path:
    """Answer where a sweep is stored unless another folder is named: the same for the same sweep."""
    settings = sweep.scenario
    return Path(settings.output.dir) / settings.scenario.name / f"sweep-{sweep.digest[:8]}"


class SweepFolder:
    """A sweep's folder while it is written.

    Args:
        folder: Where; locked by this process.
        sweep: What is asked for.
    """

    def __init__(self, folder: Path, sweep: Prepared) -> None:
        self.folder = folder
        self.sweep = sweep
        self.scratch = folder / SCRATCH
        self.manifest: Json = {}

    def begin(self, command: str, *, resume: bool, force: bool) -> list[int]:
        """Make the folder ready, and answer the numbers of the points that are still to run.

        Raises:
            ResultsError: It holds something else, or a sweep that may not be continued or replaced.
        """
        found = folders.earlier(self.folder, KIND, LEFTOVERS)
        if found is not None and not force:
            found = manifest_of(self.folder)
        if found is not None and not (resume or force):
            state = "this sweep" if found.get("sweep_sha256") == self.sweep.digest else "another sweep"
            done = " already" if found.get("exit_state") == "finished" else ", unfinished"
            help_ = (
                "--resume continues it, --force replaces it"
                if state == "this sweep"
                else "--force replaces it"
            )
            raise ResultsError(f"'{self.folder}' holds {state}{done}; {help_}")
        if found is not None and resume:
            self._check_same(found)
            done_before = self._finished()
        else:
            self._clear()
            done_before = []
        shutil.rmtree(self.scratch, ignore_errors=True)
        self.scratch.mkdir(exist_ok=True)  # a worker whose leader was killed may be in it for another second
        (self.folder / FOLDERS).mkdir(exist_ok=True)
        (self.folder / SWEEP).write_text(self.sweep.text, encoding="utf-8")
        self.manifest = self._manifest(command)
        self._write_manifest()
        known = set(done_before)
        return [number for number in range(len(self.sweep.settings)) if number not in known]

    def _check_same(self, found: Json) -> None:
        """Refuse to continue another sweep, or one of another version."""
        ours, theirs = folders.provenance()["versions"]["edgesim"], found["versions"]["edgesim"]
        if ours != theirs:
            raise ResultsError(
                f"'{self.folder}' was begun by edgesim {theirs}, this is {ours}: points of two versions do not"
                " belong in one table; --force starts anew"
            )
        if found["sweep_sha256"] == self.sweep.digest:
            return
        before = found.get("files", {})
        files = self.sweep.files
        changed = [path for path in sorted({*before, *files}) if before.get(path) != files.get(path)]
        what = f"'{changed[0]}' has changed" if changed else self._what_changed()
        raise ResultsError(
            f"cannot resume '{self.folder}': {what} since; --force starts anew, another folder (-o) keeps both"
        )

    def _what_changed(self) -> str:
        """Name the keys of the scenario, or of its sweep, that say something else than before."""
        path = self.folder / SWEEP
        earlier = path.read_text(encoding="utf-8") if path.is_file() else ""
        asked = [read(text, SWEEP, self.folder).plain() for text in (earlier, self.sweep.text)]
        keys = [key for key in differing(*asked) if key]
        if not keys:
            return "the scenario or its sweep has changed"
        rest = len(keys) - MOST_NAMED
        more = f" and {rest} more" if rest > 0 else ""
        return f"{', '.join(keys[:MOST_NAMED])}{more} {'has' if len(keys) == 1 else 'have'} changed"

    def _clear(self) -> None:
        """Delete an earlier sweep, and nothing else."""
        for name in LEFTOVERS:
            path = self.folder / name
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def _finished(self) -> list[int]:
        """Answer the points that are there as a whole; what is left of others, or damaged, goes."""
        found = []
        for number in range(len(self.sweep.settings)):
            place = self.place(number)
            if not place.is_dir():
                continue
            if _is_whole(place):
                found.append(number)
            else:
                shutil.rmtree(place)
        return found

    def place(self, number: int) -> Path:
        """Answer the folder of a point."""
        return self.folder / FOLDERS / folder_name(number)

    def take(self, done: Done) -> None:
        """Put a finished point in its place, as a whole or not at all."""
        folder = Path(done.folder)
        if not done.folder:
            folder = self.scratch / f"{folder_name(done.point)}-sent"
            for name, content in done.files:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(content)
        folder.rename(self.place(done.point))
        if done.folder:
            folder.parent.rmdir()

    def end(self, state: str, **more: Any) -> None:
        """Write the table, if all points are there, and how it ended."""
        if state == "finished":
            places = [self.place(number) for number in range(len(self.sweep.settings))]
            tables.write(self.folder / POINTS, self.sweep.columns, self.sweep.units, places)
        shutil.rmtree(self.scratch, ignore_errors=True)
        self.manifest |= {"exit_state": state, **more}
        self._write_manifest()

    def _write_manifest(self) -> None:
        folders.write_json(self.folder / MANIFEST, self.manifest)

    def _manifest(self, command: str) -> Json:
        sweep = self.sweep
        return {
            "format": FORMAT,
            "kind": KIND,
            "scenario": sweep.scenario.scenario.name,
            "sweep_sha256": sweep.digest,
            "files": sweep.files,
            **folders.provenance(),
            "command": command,
            "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "exit_state": "running",
            "keep": sweep.keep,
            "keys": sweep.keys,
            "units": sweep.units,
            "labels": [setting.label for setting in sweep.settings],
            "values": sweep.values,
            "columns": sweep.columns,
        }


def differing(before: Any, now: Any, path: str = "") -> Iterator[str]:
    """Yield where two scenarios differ, as deep as they have the same keys."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in {**before, **now}:
            yield from differing(before.get(key), now.get(key), f"{path}.{key}" if path else str(key))
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        for place, (one, other) in enumerate(zip(before, now, strict=True)):
            yield from differing(one, other, f"{path}.{place}")
    elif before != now:
        yield path


def _is_whole(place: Path) -> bool:
    """Whether all that the table needs of a point is there, and can be read."""
    try:
        state = folders.read_json(place / MANIFEST).get("exit_state")
        return state in ("finished", "failed") and bool(tables.rows(place))
    except ResultsError:
        return False
