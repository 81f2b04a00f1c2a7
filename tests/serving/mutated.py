"""Run random systems on a kernel of which one line was replaced in memory; a script, since imports are patched.

Reads a JSON list of mutants (module, line, instead, seeds as pairs of a kind and a number) from standard input and
writes, as JSON, for each of them what told the kernel from its twin (an empty list: nothing did). A mutant without a line leaves all as it is.
Needs NUMBA_DISABLE_JIT=1, so that the kernel is plain Python.
"""

from __future__ import annotations

import importlib
import json
import signal
import sys
from contextlib import nullcontext
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

ROOMS = ("edgesim.arena", "edgesim.network", "edgesim.serving", "edgesim.verify", "stories", "storms")
"""Imported afresh for every mutant."""

PATIENCE = 20
"""A mutant that hangs for so long is caught [s]."""


class Surgeon(MetaPathFinder):
    """Finds one module as everybody does, but hands out another text of it."""

    def __init__(self, module: str, line: str, instead: str) -> None:
        self.module, self.line, self.instead = module, line, instead
        self.operated = False

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if fullname != self.module:
            return None
        spec = PathFinder.find_spec(fullname, path)
        assert spec is not None
        assert spec.origin is not None
        spec.loader = Patient(fullname, spec.origin, self)
        return spec


class Patient(SourceFileLoader):
    """Loads a module with one line replaced."""

    def __init__(self, fullname: str, path: str, surgeon: Surgeon) -> None:
        super().__init__(fullname, path)
        self.surgeon = surgeon

    def get_code(self, fullname: str) -> CodeType:
        lines = Path(self.path).read_text().splitlines()
        found = [i for i, line in enumerate(lines) if line.strip() == self.surgeon.line]
        if len(found) != 1:
            sys.exit(
                f"{self.path} has the line {self.surgeon.line!r} {len(found)} times; a mutant needs it once"
            )
        self.surgeon.operated = True
        margin = lines[found[0]][: -len(self.surgeon.line)]
        lines[found[0]] = margin + self.surgeon.instead
        return compile("\n".join(lines) + "\n", self.path, "exec")


def hang(_number: int, _frame: FrameType | None) -> None:
    """Give up on a run."""
    raise TimeoutError


def differences(kind: str, seed: int) -> list[str]:
    """What tells kernel and twin apart on one random system, storm, crowd or network, or with formed steps."""
    if kind in ("network", "ordered"):
        stories = importlib.import_module("stories")
        found: list[str] = stories.differences(seed, streams=True, ordered=kind == "ordered")
        return found
    systems = importlib.import_module("edgesim.verify.random_systems")
    storms = importlib.import_module("storms")
    if kind.startswith("formed"):
        dice = importlib.import_module("whimsical")
        change = storms.crowded if kind == "formed crowd" else storms.harsher
        with storms.brewing(systems, change), dice.forgetting(systems):
            twin = systems.run_reference(seed, dice.Whimsical(seed))
            found = systems.differences(twin, systems.run_kernel(seed, dice.Whimsical(seed)))
        return found
    changes = {"storm": storms.harsher, "crowd": storms.crowded}
    with storms.brewing(systems, changes[kind]) if kind in changes else nullcontext():
        found = systems.differences(systems.run_reference(seed), systems.run_kernel(seed))
    return found


def tell_apart(mutant: dict[str, Any]) -> list[str]:
    """What a mutant's seeds show, up to the first `enough` that show something."""
    for name in list(sys.modules):
        if name.startswith(ROOMS):
            del sys.modules[name]
    surgeon = Surgeon(mutant["module"], mutant["line"], mutant["instead"]) if mutant.get("line") else None
    if surgeon:
        sys.meta_path.insert(0, surgeon)
    told: list[str] = []
    for kind, seed in mutant["seeds"]:
        signal.alarm(PATIENCE)
        try:
            found = differences(kind, seed)
        except Exception as error:  # noqa: BLE001 - a kernel that falls over is told apart, too
            found = [f"{type(error).__name__}: {error}"]
        signal.alarm(0)
        if found:
            told.append(f"{kind} {seed}: {found[0]}")
        if len(told) == mutant.get("enough", 1):
            break
    if surgeon:
        sys.meta_path.remove(surgeon)
        if not surgeon.operated:
            sys.exit(f"the kernel never imported {surgeon.module}")
    return told


if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "network")]
    signal.signal(signal.SIGALRM, hang)
    json.dump([tell_apart(mutant) for mutant in json.load(sys.stdin)], sys.stdout)
