"""The run folder: where it lies, what may be overwritten, and the manifest that says how it came about."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from edgesim.errors import ResultsError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

Json = dict[str, Any]


class DamagedError(ResultsError):
    """A file of results is damaged: nothing that rests on it can be shown."""


MANIFEST: Final = "manifest.json"
SUMMARY: Final = "summary.json"
SCENARIO: Final = "scenario.yaml"
FORMAT: Final = 1
"""Version of the layout of run folders."""

LOCK: Final = ".lock"
"""Held by the process that writes a folder of many runs."""

_INSIDE: Final = {
    "sweep": "; give the folder of one of its points, such as points/0000 inside it",
    "comparison": "; give the folder of one of the runs that it compares",
    "capacity": ", and keeps no runs: run its scenario.yaml under the load of interest",
}
"""Where the runs are that another kind of results rests on."""

_OURS: Final = (MANIFEST, SUMMARY, SCENARIO, "report.html", "trace.json.gz")
"""Files of a run that another one replaces, with what was made from it."""

_PACKAGES: Final = ("edgesim", "numpy", "numba", "pyarrow", "simpy", "pydantic")


def default_folder(base: Path, scenario: str, digest: str) -> Path:
    """Answer a folder that does not exist yet: <base>/<scenario>/<UTC time>-<digest>."""
    name = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{digest[:8]}"
    folder = base / scenario / name
    number = 2
    while folder.exists():
        folder = base / scenario / f"{name}-{number}"
        number += 1
    return folder


def earlier(folder: Path, kind: str, leftovers: Collection[str] = ()) -> Json | None:
    """Look at what lies where results are to go, without touching anything.

    Args:
        folder: Where to.
        kind: What is to be written.
        leftovers: Files that may lie there without a manifest, since one that was killed leaves them.

    Returns:
        The manifest of earlier results of the same kind; None if the folder is free.

    Raises:
        ResultsError: Something else is in the way.
    """
    for parent in (folder, *folder.parents):
        if parent.exists() and not parent.is_dir():
            raise ResultsError(
                f"cannot write results to '{folder}': '{parent}' is a file; choose another folder"
            )
    names = {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()
    if MANIFEST not in names:
        if others := sorted(names - {LOCK, *leftovers}):
            raise ResultsError(
                f"cannot write results to '{folder}': it is not empty and holds no {name_of(kind)} ('{others[0]}');"
                " choose another folder"
            )
        return None
    found = read_json(folder / MANIFEST)
    if (there := kind_of(found)) != kind:
        raise ResultsError(
            f"'{folder}' holds a {name_of(there)}, not a {name_of(kind)}; choose another folder"
        )
    return found


def check(folder: Path, *, force: bool = False, kind: str = "run") -> None:
    """Make sure that a folder of results can be made, without touching anything.

    Args:
        folder: Where to.
        force: Earlier results of the same kind there may be replaced.
        kind: What is to be written.

    Raises:
        ResultsError: Something is in the way.
    """
    found = earlier(folder, kind)
    if found is not None and not force:
        state = found.get("exit_state", "finished")
        how = "" if state == "finished" else f" that did not finish ({state})"
        raise ResultsError(f"'{folder}' holds an earlier {name_of(kind)}{how}; --force replaces it")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes away from a folder; the system lets go when this process ends, however it ends.

    Raises:
        ResultsError: Another process holds it, or it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / LOCK).open("a+", encoding="utf-8")
    except OSError as error:
        raise ResultsError(f"cannot write results to '{folder}': {error.strerror}") from error
    with file:
        try:
            _hold(file.fileno())
        except OSError:
            file.seek(0)
            owner = file.read().strip() or "another process"
            raise ResultsError(
                f"'{folder}' is being written by {owner}; wait until it has ended, or choose another folder"
            ) from None
        file.truncate(0)
        file.write(f"process {os.getpid()}\n")
        file.flush()
        yield


def _hold(descriptor: int) -> None:
    """Lock an open file without waiting."""
    try:
        import fcntl  # noqa: PLC0415 - POSIX only
    except ImportError:
        import msvcrt  # noqa: PLC0415 - Windows only

        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]  # POSIX stubs lack it
    else:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def prepare(folder: Path, *, force: bool = False) -> None:
    """Make an empty run folder; the files of an earlier run go, if they may, and nothing else.

    Args:
        folder: Where to.
        force: An earlier run there may be replaced.

    Raises:
        ResultsError: Something else is in the way.
    """
    check(folder, force=force)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _empty(folder)
    except OSError as error:
        raise ResultsError(f"cannot write results to '{folder}': {error.strerror}") from error


def _empty(folder: Path) -> None:
    """Delete an earlier run."""
    for entry in folder.iterdir():
        if entry.name in _OURS or entry.suffix == ".parquet":
            entry.unlink()
        elif entry.is_dir() and entry.name.startswith("rep-"):
            shutil.rmtree(entry)


def is_run(folder: Path) -> bool:
    """Whether a folder holds results, finished or not."""
    return (folder / MANIFEST).is_file()


def kind_of(manifest: Mapping[str, Any]) -> str:
    """What a manifest belongs to: run, sweep, comparison, capacity."""
    return str(manifest.get("kind", "run"))


def name_of(kind: str) -> str:
    """The same in words."""
    known = {name: name for name in ("run", "sweep", "comparison", "report card")} | {
        "capacity": "capacity search"
    }
    return known.get(kind, f"result of a kind that this version does not know ({kind})")


def manifest_of(folder: Path, kind: str, needed: Collection[str] = ("exit_state",)) -> Json:
    """Read how results of a kind came about.

    Raises:
        ResultsError: There are none, or others, or those of another version, or something is missing.
    """
    if not folder.is_dir():
        raise ResultsError(f"'{folder}' is no folder; give the one that `edgesim` named at its end")
    if not is_run(folder):
        below = sorted(entry.parent.name for entry in folder.glob(f"*/{MANIFEST}"))
        hint = f"; give a folder inside it: {', '.join(below[-3:])}" if below else ""
        raise ResultsError(f"'{folder}' holds no {name_of(kind)}: {MANIFEST} is missing{hint}")
    found = read_json(folder / MANIFEST)
    if (there := kind_of(found)) != kind:
        raise ResultsError(
            f"'{folder}' holds a {name_of(there)}, not a {name_of(kind)}{_INSIDE.get(there, '')}"
        )
    if found.get("format") != FORMAT:
        raise ResultsError(
            f"'{folder}' was written in format {found.get('format')}; this version reads {FORMAT}"
        )
    if missing := [name for name in needed if found.get(name) is None]:
        raise DamagedError(f"'{folder / MANIFEST}' is damaged: it lacks '{missing[0]}'; run it again")
    return found


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON at once or not at all, so that a reader never sees half a file."""
    scratch = path.with_suffix(".tmp")
    scratch.write_text(_layout(content, "") + "\n", encoding="utf-8")
    scratch.replace(path)


def _layout(content: object, indent: str) -> str:
    """JSON with what holds nothing nested on one line, which is easier to read and faster to write."""
    if not (isinstance(content, dict) and any(isinstance(value, dict) for value in content.values())):
        return json.dumps(content, allow_nan=False)
    inner = indent + " "
    lines = (f"{inner}{json.dumps(key)}: {_layout(value, inner)}" for key, value in content.items())
    return "{\n" + ",\n".join(lines) + f"\n{indent}}}"


def read_json(path: Path) -> Json:
    """Read JSON that this package wrote.

    Raises:
        ResultsError: The file is missing or damaged.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DamagedError(f"'{path}' is missing; is '{path.parent}' the folder of a finished run?") from None
    except (OSError, ValueError) as error:
        raise DamagedError(f"cannot read '{path}': {error}") from error
    if not isinstance(content, dict):
        raise DamagedError(f"cannot read '{path}': it holds no JSON object")
    return content


def manifest(*, scenario: str, digest: str, seed: int, replications: int, command: str, engine: str) -> Json:
    """Say what is about to run, where and with what; the end of the run adds how it went."""
    return {
        "format": FORMAT,
        "kind": "run",
        "scenario": scenario,
        "scenario_sha256": digest,
        "seed": seed,
        "replications": replications,
        "engine": engine,
        **provenance(),
        "command": command,
        "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "exit_state": "running",
    }


def provenance() -> Json:
    """Say what this process runs: versions, platform, commit."""
    return {
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}},
        "platform": f"{platform.system()} {platform.machine()}",
        "git_commit": git_commit(),
    }


def mixed(made_by: Iterable[Mapping[str, Any]]) -> list[str]:
    """Say that results were made by different code; nothing where they were not, or where nobody knows.

    Args:
        made_by: Manifests of the results, or what `provenance` says.
    """
    versions, commits = set(), set()
    for each in made_by:
        versions.add((each.get("versions") or {}).get("edgesim"))
        commits.add(each.get("git_commit"))
    if len(versions) > 1:
        named = ", ".join(sorted(map(str, versions)))
        return [f"made by different versions of edgesim: {named}; what differs may be theirs"]
    if len(commits := commits - {None}) > 1:
        named = ", ".join(sorted(commit[:8] + commit[40:] for commit in map(str, commits)))
        return [
            f"made by different commits of edgesim: {named} (+: with changes); what differs may be theirs"
        ]
    return []


@cache
def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


@cache
def git_commit() -> str | None:
    """Answer the commit of the checkout that this package runs from, with "+" for local changes."""
    root = Path(__file__).resolve().parents[2]
    if not ((root / ".git").exists() and (root / "pyproject.toml").is_file()):
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--abbrev=40", "--dirty=+", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None


def command_line() -> str:
    """Answer the command that started this process, as a user would type it."""
    import shlex  # noqa: PLC0415 - only runs that are written need it

    name = Path(sys.argv[0]).name or "python"
    return shlex.join(["edgesim" if name == "__main__.py" else name, *sys.argv[1:]])


def peak_rss_mib() -> float:
    """Answer the largest resident memory of this process so far [MiB]; 0 where the system does not tell."""
    try:  # Linux: unlike getrusage, this does not count what the parent held when it started this process
        with Path("/proc/self/status").open(encoding="ascii") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) / 1024
    except (OSError, StopIteration):
        pass
    if os.name != "posix":
        return 0.0
    import resource  # noqa: PLC0415 - POSIX only

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)
