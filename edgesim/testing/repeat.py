"""Repeats: the same runs once more, in order and in other processes, to tell what differs that must not.

`main` repeats what another process asks for on standard input, as JSON, and answers on standard output.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from edgesim import registry
from edgesim.errors import EdgesimError
from edgesim.testing.scenarios import STORIES
from edgesim.testing.sources import seeded
from edgesim.testing.trial import Timer, run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edgesim.testing.scenarios import Story

Json = dict[str, Any]

HASH_SEEDS = ("1", "2")
"""How strings are hashed in the two other processes: sets of them have other orders there."""
ORDERS = ((1, 0, 1), (0,))
"""Which replications each of them runs, in this order."""
PLAIN = (bool, int, float, str, bytes, list, dict, set, tuple, type(None))
TIMEOUT = 300.0
"""Wall time that another process may take [s]."""


class Spec(NamedTuple):
    """A policy class with parameters, as any process can find it."""

    role: str
    name: str
    parameters: Mapping[str, Any]
    module: str
    file: str

    def policy_class(self) -> type[Any]:
        """Find the class; its module or file is run if it is not known here."""
        known = registry.registries.get(self.role)
        if known is None or self.name not in known:
            if self.module.startswith("edgesim_plugin_") or self.module == "__main__":
                registry.load_plugin(self.file)
            else:
                try:
                    importlib.import_module(self.module)
                except ImportError:
                    registry.load_plugin(self.file)
        found: type[Any] = registry.lookup(self.role, self.name)
        return found


def repeated(policy_class: type[Any], spec: Spec, stories: Sequence[Story], order: Sequence[int]) -> Json:
    """Run a policy in stories, replication after replication.

    Answers, by story, what each run gave; then the time of a decision, and which state outlived the runs.
    """
    before = _state(policy_class)
    found: Json = {}
    calls = seconds = 0.0
    for story in stories:
        found[story.name] = []
        for replication in order:
            policy = registry.build(spec.role, {"kind": spec.name, **spec.parameters})
            timer = Timer(policy)
            try:
                with seeded():
                    records = run(policy, story, replication)
                ended: Json = records.told()
            except EdgesimError as error:
                ended = {"digest": f"failed: {error}", "rows": [], "replicas": []}
            found[story.name].append(ended)
            calls, seconds = calls + timer.calls, seconds + timer.seconds
    after = _state(policy_class)
    changed = sorted(name for name in after if before.get(name) != after[name])
    return {"stories": found, "seconds": seconds / calls if calls else None, "changed": changed}


def _state(policy_class: type[Any]) -> dict[str, str]:
    """What stands in a policy's classes and in its module, as text that changes with it."""
    found = {}
    module = sys.modules.get(policy_class.__module__)
    places: list[tuple[str, Mapping[str, Any]]] = [
        (base.__name__, vars(base))
        for base in policy_class.__mro__
        if base.__module__ == policy_class.__module__
    ]
    places.append(("", vars(module) if module is not None else {}))
    for owner, items in places:
        for name, value in list(items.items()):
            if not name.startswith("__") and isinstance(value, PLAIN):
                found[f"{owner}.{name}" if owner else name] = repr(value)[:100_000]
    return found


def elsewhere(specs: Sequence[Spec], stories: Mapping[str, Sequence[str]]) -> list[dict[str, Json]]:
    """Have two other processes repeat runs, at once; answers for each what it found by "role name".

    Args:
        specs: Policies.
        stories: "role name" of each -> names of the stories in which it may be run.
    """
    started = []
    for seed, order in zip(HASH_SEEDS, ORDERS, strict=True):
        asked = {"specs": [[*spec] for spec in specs], "stories": stories, "order": order}
        child = another("from edgesim.testing.repeat import main; main()", seed)
        assert child.stdin is not None
        child.stdin.write(json.dumps(asked))
        child.stdin.close()
        child.stdin = None
        started.append(child)
    answers = []
    for child in started:
        try:
            out, err = child.communicate(timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            child.kill()
            child.communicate()
            answers.append({key: {"error": f"no end after {TIMEOUT:.0f} s"} for key in stories})
            continue
        if child.returncode:
            last = (err.strip().splitlines() or ["no reason given"])[-1]
            answers.append({key: {"error": last} for key in stories})
        else:
            answers.append(json.loads(out.splitlines()[-1]))
    return answers


def another(code: str, hash_seed: str = "0") -> subprocess.Popen[str]:
    """Start another Python process that finds what this one finds."""
    return subprocess.Popen(  # noqa: S603 - our own code
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": _path()},
    )


def _path() -> str:
    """Where another process finds this package, and what this one finds."""
    here = str(Path(__file__).parents[2])
    return os.pathsep.join([here, *(entry for entry in sys.path if entry and entry != here)])


def main() -> None:
    """Repeat what standard input asks for."""
    asked = json.load(sys.stdin)
    found: dict[str, Json] = {}
    for parts in asked["specs"]:
        spec = Spec(*parts)
        key = f"{spec.role} {spec.name}"
        wanted = [story for story in STORIES if story.name in asked["stories"][key]]
        try:
            found[key] = repeated(spec.policy_class(), spec, wanted, asked["order"])
        except Exception as error:  # noqa: BLE001 - told by who asked
            found[key] = {"error": f"{type(error).__name__}: {error}"}
    sys.stdout.write("\n" + json.dumps(found) + "\n")
