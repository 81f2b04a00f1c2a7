"""A database of measured kernels: where its tables are, and reading those of one system.

Two layouts are known: the optional package `aiconfigurator-core` (Parquet files `<system>/<kernel>/<engine>/<version>`
under its `systems/data`, or a copy of that folder), and a folder with CSV extracts of it, `*gemm.csv`,
`*attention.csv` and `*comm.csv`, possibly gzipped, with a column `system`. Times are in milliseconds, messages in
elements, and the context of a generation is `isl + step`.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from edgesim.calibrate.table import shortened, text_of
from edgesim.errors import EdgesimError, MissingExtraError, Problem, ScenarioError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    Columns = dict[str, NDArray[Any]]
    """Columns by name, all of one length."""

PACKAGE: Final = "package"
"""Stands for the installed package, where a folder could be given."""

MS: Final = 1e-3


@dataclass(frozen=True)
class Chip:
    """What tables do not say about a system.

    Attributes:
        accelerators: Names in the catalogue of what has this chip and memory.
        multiprocessors: How many work at once.
        cache: Second-level cache [B].
    """

    accelerators: tuple[str, ...]
    multiprocessors: int
    cache: float


CHIPS: Final = {
    "a100_sxm": Chip(("nvidia-a100-80gb-sxm",), 108, 40e6),
    "b200_sxm": Chip(("nvidia-b200-sxm",), 148, 126e6),
    "b300_sxm": Chip(("nvidia-b300-sxm",), 148, 126e6),
    "gb200": Chip(("nvidia-gb200",), 148, 126e6),
    "h100_sxm": Chip(("nvidia-h100-sxm",), 132, 50e6),
    "h200_sxm": Chip(("nvidia-h200-sxm",), 132, 50e6),
    "l40s": Chip(("nvidia-l40s",), 142, 96e6),
    "rtx_pro_6000_server": Chip(("rtx-pro-6000", "rtx-pro-6000-server"), 188, 128e6),
}
"""Systems by their name in the database; multiprocessors and caches from NVIDIA's architecture white papers,
those of B300 and GB200 (a GPU of it) from memory, unverified."""

ENGINES: Final = ("vllm", "sglang", "trtllm")
"""Whose kernels are taken: those of the first engine that has any, in its newest version."""


@dataclass(frozen=True)
class Kind:
    """A kind of table: its columns, and what they are called in the files."""

    words: dict[str, tuple[str, ...]]
    numbers: dict[str, tuple[str, ...]]


_SECONDS: Final[dict[str, tuple[str, ...]]] = {"seconds": ("latency", "latency_ms")}
_HEADS: Final[dict[str, tuple[str, ...]]] = {
    "batch": ("batch_size",),
    "tokens": ("isl",),
    "step": ("step",),
    "heads": ("num_heads",),
    "kv_heads": ("num_key_value_heads",),
    "head_dim": ("head_dim",),
}
_ATTENTION: Final = Kind({"kernel": ("kernel_source", ""), "kv": ("kv_cache_dtype", "")}, _HEADS | _SECONDS)
KINDS: Final = {
    "gemm": Kind(
        {"dtype": ("gemm_dtype",)},
        {"m": ("m",), "n": ("n",), "k": ("k",), **_SECONDS},
    ),
    "context": _ATTENTION,
    "generation": _ATTENTION,
    "all_reduce": Kind(
        {"kernel": ("kernel_source",)},
        {"gpus": ("num_gpus",), "elements": ("message_size",), **_SECONDS},
    ),
    "collective": Kind(
        {"kernel": ("op_name",), "dtype": ("nccl_dtype", "dtype", "")},
        {"gpus": ("num_gpus",), "elements": ("message_size",), **_SECONDS},
    ),
    "moe": Kind(
        {"dtype": ("moe_dtype",), "distribution": ("distribution",)},
        {
            "tokens": ("num_tokens",),
            "hidden": ("hidden_size",),
            "inner": ("inter_size",),
            "per_token": ("topk",),
            "experts": ("num_experts",),
            "tensor": ("moe_tp_size",),
            "expert": ("moe_ep_size",),
            **_SECONDS,
        },
    ),
}

FILES: Final = {
    "gemm": ("gemm", "gemm_perf"),
    "context": ("attention", "context_attention_perf"),
    "generation": ("attention", "generation_attention_perf"),
    "all_reduce": ("comm", "custom_allreduce_perf"),
    "collective": ("comm", "nccl_perf"),
    "moe": ("moe", "moe_perf"),
}
"""Folder and file of each kind in the package."""


@dataclass
class Database:
    """Measured kernels of one system; a kind without measurements is missing.

    Attributes:
        system: Its name in the database.
        chip: What else is known of it.
        tables: Columns by kind of table.
        sources: Engine and version by kind of table.
    """

    system: str
    chip: Chip
    tables: dict[str, Columns] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)

    def rows(self, kind: str, **wanted: object) -> Columns:
        """Rows of a kind whose columns have these values; empty columns where there are none."""
        table = self.tables.get(kind)
        if table is None:
            names = KINDS[kind].words | KINDS[kind].numbers
            return {name: np.zeros(0) for name in names}
        chosen = np.ones(len(table["seconds"]), bool)
        for name, value in wanted.items():
            chosen &= table[name] == value
        return {name: column[chosen] for name, column in table.items()}

    def told(self) -> str:
        """Where the times come from."""
        return f"{self.system}: " + ", ".join(f"{kind} {source}" for kind, source in self.sources.items())


def system_of(accelerator: str) -> str | None:
    """Name in the database of an accelerator of the catalogue."""
    return next((name for name, chip in CHIPS.items() if accelerator in chip.accelerators), None)


def open_database(where: str, system: str) -> Database:
    """Read the tables of one system.

    Args:
        where: "package", a copy of its folder `systems/data`, or a folder with CSV extracts.
        system: Name of the system in the database.

    Raises:
        MissingExtraError: The package is wanted and not installed.
        EdgesimError: The system is not there.
        ScenarioError: A table is wrong; rows are told by number.
    """
    if system not in CHIPS:
        known = ", ".join(CHIPS)
        raise EdgesimError(f"the multiprocessors and caches of '{system}' are not known; known are {known}")
    root = _package() if where == PACKAGE else Path(where)
    base = next(
        (path for path in (root, root / "data", root / "systems" / "data") if (path / system).is_dir()), None
    )
    found = Database(system, CHIPS[system])
    for kind in KINDS:
        if base is not None:
            _from_package(found, kind, base / system)
        else:
            _from_extract(found, kind, root)
    lacking = [kind for kind in ("gemm", "context", "generation") if kind not in found.tables]
    if lacking:
        text = f"'{where}' has no {' and no '.join(lacking)} measurements of {system}"
        raise EdgesimError(
            f"{text}; give 'package', the folder systems/data of aiconfigurator-core, or one with its tables as CSV"
        )
    return found


def _package() -> Path:
    """Folder of the installed package's tables."""
    spec = find_spec("aiconfigurator_core")
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError("aiconfigurator-core", "aiconfigurator")
    return Path(spec.submodule_search_locations[0]) / "systems" / "data"


def _from_package(found: Database, kind: str, folder: Path) -> None:
    """Read one kind of table from Parquet, of the first engine that has it, in its newest version."""
    part, name = FILES[kind]
    engines = ("nccl",) if kind == "collective" else ENGINES
    for engine in engines:
        files = sorted(
            (folder / part / engine).glob(f"*/{name}.parquet"), key=lambda path: _version(path.parent.name)
        )
        if not files:
            continue
        import pyarrow.parquet as pq  # noqa: PLC0415 - only this layout needs it

        table = pq.read_table(files[-1])
        raw = {column: table[column].to_numpy() for column in table.column_names}
        keep = np.ones(table.num_rows, bool)
        if "window_size" in raw:
            keep &= raw["window_size"] == 0
        _add(found, kind, {column: values[keep] for column, values in raw.items()}, files[-1])
        found.sources[kind] = f"{engine} {files[-1].parent.name}"
        return


def _version(text: str) -> tuple[tuple[int, str], ...]:
    """A version such that newer ones compare greater."""
    return tuple((int(part), "") if part.isdigit() else (-1, part) for part in text.split("."))


_EXTRACTS: Final[dict[str, tuple[str, dict[str, tuple[str, ...]]]]] = {
    "gemm": ("*gemm.csv*", {}),
    "context": ("*attention.csv*", {"phase": ("context",)}),
    "generation": ("*attention.csv*", {"phase": ("generation",)}),
    "all_reduce": (
        "*comm.csv*",
        {"op_name": ("all_reduce",), "kernel_source": ("vLLM_custom_graph", "vLLM_custom_eager")},
    ),
    "collective": ("*comm.csv*", {"kernel_source": ("NCCL",)}),
    "moe": ("*moe.csv*", {}),
}
"""File and rows of each kind among CSV extracts."""


def _from_extract(found: Database, kind: str, folder: Path) -> None:
    """Read one kind of table from CSV, the rows of one system."""
    pattern, wanted = _EXTRACTS[kind]
    for path in sorted(folder.glob(pattern)):
        records = list(csv.DictReader(io.StringIO(text_of(path))))
        if not records or "system" not in records[0]:
            continue  # measurements of another kind
        rows = [
            (number, record)
            for number, record in enumerate(records, 1)
            if record["system"] == found.system
            and all(record.get(column) in values for column, values in wanted.items())
        ]
        if not rows:
            continue
        raw = {column: np.array([record[column] or "" for _, record in rows]) for column in records[0]}
        _add(found, kind, raw, path, [number for number, _ in rows])
        parts = str(rows[0][1].get("source", "")).split("/")
        found.sources[kind] = " ".join(parts[2:4]) if len(parts) > 3 else path.name
        return


def _add(found: Database, kind: str, raw: Columns, path: Path, numbers: list[int] | None = None) -> None:
    """Take over the columns of a kind, checked.

    Raises:
        ScenarioError: A column is missing, or a row holds no measurement.
    """
    columns: Columns = {}
    problems: list[Problem] = []
    for name, spellings in KINDS[kind].words.items():
        there = _there(raw, name, spellings, path)
        columns[name] = np.array(raw[there] if there else [""] * len(next(iter(raw.values()))), dtype=str)
    for name, spellings in KINDS[kind].numbers.items():
        column = raw[_there(raw, name, spellings, path)]
        values = _numbers(column)
        least = 0.0 if name == "step" else np.nextafter(0.0, 1.0)
        for i in np.flatnonzero(~(np.isfinite(values) & (values >= least))):
            row = numbers[i] if numbers else int(i) + 1
            problems.append(
                Problem(
                    (), f"row {row}: {spellings[0]} is {column[i]}, which is no measurement", file=str(path)
                )
            )
        columns[name] = values
    if problems:
        raise ScenarioError(shortened(problems))
    columns["seconds"] = columns["seconds"] * MS
    found.tables[kind] = columns


def _there(raw: Columns, name: str, spellings: Iterable[str], path: Path) -> str:
    """How a file spells a column; empty if it may be missing."""
    for spelling in spellings:
        if not spelling or spelling in raw:
            return spelling
    text = f"the column '{next(iter(spellings))}' is missing; it has {', '.join(raw)}"
    raise ScenarioError([Problem((), text, f"a table of this kind needs it for: {name}", file=str(path))])


def _numbers(column: NDArray[Any]) -> NDArray[np.float64]:
    """A column as numbers; NaN where it holds none."""
    try:
        return np.asarray(column, dtype=np.float64)
    except ValueError:
        found = np.full(len(column), np.nan)
        for i, text in enumerate(column):
            try:
                found[i] = float(text)
            except ValueError:
                continue
        return found
