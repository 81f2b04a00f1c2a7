"""Scenarios to start from: those that ship with the package."""

from __future__ import annotations

from pathlib import Path

from edgesim.registry import UnknownNameError

_PACKAGE = Path(__file__).parents[1]


def _folder() -> Path:
    """Find the shipped scenarios: inside the package once installed, beside it in a checkout."""
    inside = _PACKAGE / "scenarios"
    return inside if inside.is_dir() else _PACKAGE.parent / "scenarios"


def packaged() -> list[str]:
    """List the names of the shipped scenarios."""
    return sorted(file.stem for file in _folder().glob("*.yaml"))


def path(name: str) -> Path:
    """Find the file of a shipped scenario."""
    if name not in packaged():
        raise UnknownNameError("packaged scenario", name, packaged())
    return _folder() / f"{name}.yaml"


def text(name: str) -> str:
    """Answer the text of a shipped scenario."""
    return path(name).read_text(encoding="utf-8")


def data(name: str) -> dict[str, bytes]:
    """Answer the files that a shipped scenario reads, by the paths that it gives them."""
    from edgesim.scenario.text import read, walk  # noqa: PLC0415 - not needed to list names

    folder = _folder()
    entries = walk(read(text(name), name, folder))
    paths = [str(entry.value) for place, entry in entries if place[-1:] == ("path",)]
    return {each: (folder / each).read_bytes() for each in dict.fromkeys(paths) if (folder / each).is_file()}


def commented() -> str:
    """Answer a complete template in which every key is explained."""
    from edgesim.scenario.commented import commented as write  # noqa: PLC0415 - that file needs this one's neighbours

    return write()
