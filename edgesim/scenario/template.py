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


def commented() -> str:
    """Answer a complete template in which every key is explained."""
    from edgesim.scenario.commented import commented as write  # noqa: PLC0415 - that file needs this one's neighbours

    return write()
