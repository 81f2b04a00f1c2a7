"""Results of `llama-bench -o json` as measured points."""

from __future__ import annotations

import json
import math
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from edgesim import catalog
from edgesim.calibrate.point import Point
from edgesim.calibrate.table import shortened
from edgesim.errors import Problem, ScenarioError

if TYPE_CHECKING:
    from pathlib import Path


def read(text: str, path: Path, accelerator: str = "", llm: str = "") -> list[Point]:
    """Points of a file.

    Args:
        text: What it holds.
        path: Its name.
        accelerator: Name in the catalogue of what is wanted, if there are several.
        llm: Likewise.

    Raises:
        ScenarioError: It is of another kind, or entries are wrong; they are told by number.
    """
    try:
        content: Any = json.loads(text)
    except ValueError as error:
        raise ScenarioError([Problem((), f"not valid JSON: {error}", file=str(path))]) from None
    entries = list(enumerate(content if isinstance(content, list) else [], 1))
    wrong = {row: said for row, entry in entries if (said := _complaint(entry))}
    if not wrong:
        entries = _chosen(entries, "gpu_info", "accelerator", accelerator, path)
        entries = _chosen(entries, "model_filename", "llm", llm, path)
        wrong = _repeated(entries)
    if wrong:
        problems = [
            Problem((), f"entry {row}: {said}", file=str(path)) for row, said in sorted(wrong.items())
        ]
        raise ScenarioError(shortened(problems))
    # Prompt and reply timed together say nothing about either.
    points = [_point(row, entry) for row, entry in entries if not (entry["n_prompt"] and entry["n_gen"])]
    if not points:
        raise ScenarioError([Problem((), "the file holds no measurement", file=str(path))])
    return points


def _point(row: int, entry: dict[str, Any]) -> Point:
    prompt, output, depth = (int(entry.get(name, 0)) for name in ("n_prompt", "n_gen", "n_depth"))
    metric = "prefill_tok_s" if prompt else "decode_tok_s"
    return Point(metric, float(entry["avg_ts"]), 1, prompt, output, row, depth)


def _complaint(entry: Any) -> str:
    """What is wrong with an entry; empty for nothing."""
    try:
        counts = [entry["n_prompt"], entry["n_gen"], entry.get("n_depth", 0)]
        whole, speed = all(int(count) == count and count >= 0 for count in counts), float(entry["avg_ts"])
    except (AttributeError, KeyError, TypeError, ValueError):
        return "no n_prompt, n_gen and avg_ts of llama-bench"
    if not whole or not (counts[0] or counts[1]):
        return f"n_prompt {counts[0]}, n_gen {counts[1]}, n_depth {counts[2]} cannot be"
    if not math.isfinite(speed) or speed <= 0:
        return f"avg_ts is {entry['avg_ts']}, which is no speed"
    return ""


def _chosen(
    entries: list[tuple[int, dict[str, Any]]], key: str, kind: str, wanted: str, path: Path
) -> list[tuple[int, dict[str, Any]]]:
    """Entries of one model or accelerator: the only one, or the one that is wanted.

    Raises:
        ScenarioError: There are several, and none or more than one is the wanted one.
    """
    said = {row: PurePath(str(entry.get(key, ""))).name for row, entry in entries}
    names = sorted(set(said.values()))
    if len(names) < 2:
        return entries
    ours = [
        name
        for name in names
        if name and wanted and catalog.named(kind, name.removesuffix(".gguf")) == wanted
    ]
    if len(ours) != 1:
        text = (
            f"the file holds measurements of several {key}: {', '.join(name or 'unnamed' for name in names)}"
        )
        help_ = (
            f"keep the entries of one of them in the file; --{kind} {wanted} stands for {len(ours)} of them"
        )
        raise ScenarioError([Problem((), text, help_, file=str(path))])
    return [(row, entry) for row, entry in entries if said[row] == ours[0]]


def _repeated(entries: list[tuple[int, dict[str, Any]]]) -> dict[int, str]:
    """Entries that measure what one before them does."""
    seen: dict[tuple[Any, ...], int] = {}
    wrong = {}
    for row, entry in entries:
        point = entry["n_prompt"], entry["n_gen"], entry.get("n_depth", 0)
        if point in seen:
            wrong[row] = f"the same point as entry {seen[point]} (n_prompt, n_gen and n_depth are equal)"
        seen.setdefault(point, row)
    return wrong
