"""Campaigns: published measurements of many machines, as steps that a cost model can price.

The table has a row a measurement: source, hardware, n_devices, model, params_b, weight_bits, batch, prompt_len,
output_len, metric, value, notes. Each source measured in its own way and with its own engine; `CONVENTIONS` says how.
"""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np

from edgesim import catalog
from edgesim.calibrate.generic import generic_llm
from edgesim.calibrate.table import shortened, text_of
from edgesim.costs.memory import kv_blocks
from edgesim.errors import Problem, ScenarioError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from edgesim.catalog import Accelerator, Llm

QUANTITIES: Final = {
    "prefill_tok_s": "prefill",
    "ttft_ms": "prefill",
    "decode_tok_s": "decode",
    "tpot_ms": "decode",
    "throughput_tok_s": "throughput",
    "energy_j_per_token": "energy",
}
"""What a metric is about; others are not predicted."""

COLUMNS: Final = (
    "source", "hardware", "n_devices", "model", "params_b", "weight_bits", "batch", "prompt_len", "output_len",
    "metric", "value", "notes",
)  # fmt: skip

LOCALSCORE: Final = (
    (1024, 16), (4096, 256), (2048, 256), (2048, 768), (1024, 1024), (1280, 3072), (384, 1152), (64, 1024), (16, 1536),
)  # fmt: skip
"""Prompt and reply of the nine tests that LocalScore averages (its documentation)."""


@dataclass(frozen=True)
class Convention:
    """How a source measured.

    Attributes:
        engine: The catalogue's name of what it ran.
        tests: Prompt and reply where the rows do not say [tokens]; speeds are the mean over them.
        chunk: Tokens of a prompt that the engine reads at once.
        formats: Weight format by bits.
        wall: Whether power was read at the wall, host included.
    """

    engine: str
    tests: tuple[tuple[int, int], ...] = ((512, 128),)
    chunk: int = 1 << 30
    formats: tuple[tuple[float, str], ...] = ((16, "fp16"), (8.5, "q8_0"), (4.85, "q4_k_m"), (4.5, "q4_0"))
    wall: bool = False


ALIKE: Final = {
    "vllm": "ML.ENERGY",
    "tensorrt": "TensorRT-LLM",
    "trt-llm": "TensorRT-LLM",
    "genie": "Qualcomm",
    "qnn": "Qualcomm",
    "rknn": "Rockchip",
}
"""Conventions of sources that are not known, by the engines they name."""

_PLAIN: Final = ((16.0, "fp16"), (8.0, "int8"), (4.0, "int4"))

CONVENTIONS: Final = {
    "LocalScore": Convention("llamafile", LOCALSCORE, 512),
    "llama.cpp scoreboards": Convention("llama.cpp", ((512, 128),), 512),
    "XiongjieDai": Convention("llama.cpp", ((1024, 1024),), 512),
    "mac-llm-bench": Convention("llama.cpp", ((512, 128),), 512),
    "geerlingguy": Convention("llama.cpp", ((64, 400),), 512, wall=True),
    "ML.ENERGY": Convention("vllm-2024", ((180, 400),), formats=_PLAIN),
    "Splitwise": Convention("vllm-2023", formats=_PLAIN),
    "TensorRT-LLM": Convention("tensorrt-llm", formats=((8.0, "fp8"), (4.5, "nvfp4"))),
    "Qualcomm": Convention("genie", ((512, 128),), 128, _PLAIN),
    "Rockchip": Convention("rknn-llm", ((128, 64),), 128, _PLAIN),
}
"""By the beginning of the column `source`. Prompt lengths that nobody published are typical of the tasks."""

SERVING: Final = frozenset({"vllm-2024", "tensorrt-llm"})
"""Engines measured while new prompts kept coming, so that steps hold their share of them."""

BLOCK: Final = 16

KINDS: Final = {"backend=Vulkan": "-vulkan", ";w4;": "-w4"}
"""Marks in the notes of kinds of an engine that are as different as engines: back ends, precision of activations."""

HOSTS: Final = {"pi cm5": 8.0, "265k": 75.0, "orion o6": 16.0, "thelio": 110.0, "ms-r1": 20.0, "p550": 14.0}
"""What computers draw beside their card [W]: idle readings of the same collection, rounded; not in the catalogue."""


@dataclass(frozen=True, eq=False)
class Measurement:
    """One measured value, and the steps that were run for it.

    Attributes:
        row: Of the table.
        hardware: As the source calls it.
        accelerator: As the catalogue does.
        engine: The catalogue's name.
        model: As the source calls it.
        llm: What it is in the catalogue, or a dense one of its size.
        weights: Number format.
        parallel: Accelerators that shared it by tensor parallelism.
        metric: The source's metric.
        value: In its unit.
        batch: Sequences at once.
        tokens: Tokens of each step.
        features: MIXED_FEATURES of each step.
        test: Which test each step belongs to.
        units: Tokens that count of each test: tokens read or written.
        host_w: What was drawn beside the accelerator [W].
        wall: Whether power is the highest reading at the wall.
    """

    row: int
    hardware: str
    accelerator: str
    engine: str
    model: str
    llm: Llm
    weights: str
    parallel: int
    metric: str
    value: float
    batch: float
    tokens: NDArray[np.float64]
    features: NDArray[np.float64]
    test: NDArray[np.int64]
    units: NDArray[np.float64]
    host_w: float = 0.0
    wall: bool = False

    @property
    def quantity(self) -> str:
        """Prefill, decode, throughput or energy."""
        return QUANTITIES[self.metric]

    @property
    def measured(self) -> float:
        """What was measured: the time of a token or of a whole prompt [s], or joules per token."""
        if self.quantity == "energy":
            return self.value
        return 1.0 / self.value if self.metric.endswith("tok_s") else self.value / 1000

    def time(self, steps: NDArray[np.float64]) -> float:
        """The same from times (or joules) of the steps: the inverse of the mean speed, as benchmarks average."""
        whole = np.bincount(self.test, steps)
        if self.metric == "ttft_ms":
            return float(whole.mean())
        if self.metric == "tpot_ms":
            return float(np.mean(whole * self.batch / self.units))
        return float(1.0 / np.mean(self.units / whole))


@dataclass(frozen=True)
class Unused:
    """A row that says nothing that could be predicted, and why."""

    row: int
    hardware: str
    why: str


def read_campaign(path: Path) -> tuple[list[Measurement], list[Unused]]:
    """Read a table of measurements.

    Raises:
        ScenarioError: It has wrong columns or rows; they are told by number.
    """
    reader = csv.DictReader(io.StringIO(text_of(path)))
    missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
    if missing:
        text = f"the column '{missing[0]}' is missing"
        raise ScenarioError([Problem((), text, f"a campaign has {', '.join(COLUMNS)}", str(path), 1)])
    found: list[Measurement] = []
    unused: list[Unused] = []
    problems: list[Problem] = []
    for row, record in enumerate(reader, 1):
        try:
            one = _measurement(row, record)
        except ValueError as error:
            problems.append(Problem((), f"row {row}: {error}", file=str(path), line=row + 1))
            continue
        if isinstance(one, Measurement):
            found.append(one)
        else:
            unused.append(one)
    if problems:
        raise ScenarioError(shortened(problems))
    return found, unused


def _measurement(row: int, record: dict[str, str]) -> Measurement | Unused:
    """Understand one row.

    Raises:
        ValueError: A number is none, or cannot be.
    """
    hardware, notes, metric = record["hardware"], record["notes"] or "", record["metric"]
    value = _number(record, "value", float("nan"))
    if not value > 0:
        raise ValueError(f"{metric} is {record['value'] or 'missing'}, which is no measurement")
    if metric not in QUANTITIES:
        return Unused(row, hardware, f"{metric} follows from the others")
    convention = _convention(record["source"], notes)
    name = _accelerator(hardware, notes)
    if name is None:
        return Unused(row, hardware, "the catalogue has no such accelerator")
    engine = convention.engine + next((end for mark, end in KINDS.items() if mark in f";{notes};"), "")
    if not catalog.engine(engine).key(catalog.accelerator(name)):
        return Unused(row, hardware, f"engine {engine!r} is not known there")
    llm = _llm(record["model"], _number(record, "params_b", float("nan")))
    if llm is None:
        return Unused(row, hardware, f"the architecture of {record['model']!r} is not known")
    bits = _number(record, "weight_bits", 16)
    weights = min(convention.formats, key=lambda pair: abs(pair[0] - bits))[1]
    tests, parallel = _tests(record, convention), _parallel(record, notes, convention)
    batch = _batch(record["batch"], notes) or _largest(
        catalog.accelerator(name), llm, weights, parallel, tests[0]
    )
    if not batch:
        return Unused(row, hardware, "it does not fit by the catalogue's figures")
    tokens, features, test, units = steps_of(metric, llm, batch, tests, convention)
    return Measurement(
        row, hardware, name, engine, record["model"], llm, weights, parallel, metric,
        value, batch, tokens, features, test, units, _host(hardware, convention), convention.wall,
    )  # fmt: skip


def _convention(source: str, notes: str) -> Convention:
    """How a source measured; of one that is not known, as others with the engine that it names, else llama.cpp."""
    known = next((convention for start, convention in CONVENTIONS.items() if source.startswith(start)), None)
    said = f"{source} {notes}".lower()
    return (
        known
        or CONVENTIONS[next((like for word, like in ALIKE.items() if word in said), "llama.cpp scoreboards")]
    )


def _number(record: dict[str, str], name: str, default: float) -> float:
    text = (record[name] or "").strip()
    if not text:
        return default
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{name} {text!r} is not a number") from None


@cache
def _accelerator(hardware: str, notes: str) -> str | None:
    name = catalog.named("accelerator", hardware)
    if name is not None and "backend=CPU" in notes and f"{name}-cpu" in catalog.names("accelerator"):
        return f"{name}-cpu"
    return name


@cache
def _llm(model: str, params_b: float) -> Llm | None:
    """The catalogue's LLM; else, unless it is a mixture of experts, a dense one of that size."""
    name = catalog.named("llm", model)
    if name is not None:
        return catalog.llm(name)
    mixture = re.search(r"\d+x\d+b|a\d+(\.\d+)?[bm]|moe|gpt-oss|-e\db|3n|rwkv|ocr", model.lower())
    if mixture or not params_b > 0:
        return None
    return generic_llm(params_b * 1e9)


def _batch(text: str, notes: str) -> float | None:
    stated = re.search(r"avg_batch=([\d.]+)", notes)
    if stated:
        return float(stated[1])
    try:
        return float(text)
    except ValueError:
        return None


def _largest(accelerator: Accelerator, llm: Llm, weights: str, parallel: int, test: tuple[int, int]) -> float:
    """Sequences at saturation: what the KV cache in 8 bits holds of requests half way through, at most 1024."""
    blocks = kv_blocks(
        accelerator, llm, weights=weights, kv="fp8", tensor_parallel=parallel, max_batched_tokens=8192
    )
    return float(min(1024, blocks * BLOCK // max(1, test[0] + test[1] // 2)))


def _parallel(record: dict[str, str], notes: str, convention: Convention) -> int:
    """Accelerators that shared each layer; llama.cpp gives each one layers of its own, one after the other."""
    stated = re.search(r"\btp=?(\d+)", notes.lower())
    if stated:
        return int(stated[1])
    return int(_number(record, "n_devices", 1)) if convention.engine.startswith("vllm") else 1


def _host(hardware: str, convention: Convention) -> float:
    if not convention.wall:
        return 0.0
    return next((watts for name, watts in HOSTS.items() if name in hardware.lower()), 0.0)


def _tests(record: dict[str, str], convention: Convention) -> list[tuple[int, int]]:
    nan = float("nan")
    prompt, output = _number(record, "prompt_len", nan), _number(record, "output_len", nan)
    return [(int(_stated(prompt, p)), int(_stated(output, o))) for p, o in convention.tests]


def _stated(value: float, default: int) -> float:
    return default if np.isnan(value) else value


def steps_of(
    metric: str, llm: Llm, batch: float, tests: Sequence[tuple[int, int]], convention: Convention
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
    """Steps of all tests: their tokens, features, tests, and the tokens that count."""
    rows: list[tuple[float, list[float], int]] = []
    units = []
    for test, (prompt, output) in enumerate(tests):
        serving = convention.engine in SERVING
        if QUANTITIES[metric] == "prefill":
            rows += [(*step, test) for step in _prompt(llm, batch, max(1, prompt), convention.chunk)]
            units.append(batch * max(1, prompt))
        else:
            mean = batch * (prompt + output / 2)
            fresh = batch * prompt / max(output, 1) if serving else 0.0
            rows.append((batch + fresh, _features(llm, batch, mean, fresh, prompt), test))
            units.append(batch)
    return (
        np.array([row[0] for row in rows], float),
        np.array([row[1] for row in rows], float),
        np.array([row[2] for row in rows], np.int64),
        np.array(units, float),
    )


def _prompt(llm: Llm, batch: float, prompt: int, chunk: int) -> Iterator[tuple[float, list[float]]]:
    """Steps that read a batch of prompts, each in chunks."""
    window = llm.window.size if llm.window else 0
    done = 0
    while done < prompt:
        n = min(chunk, prompt - done)
        pairs = n * done + n * (n + 1) / 2
        near = min(pairs, n * window) if window else 0.0
        last = float(done + n == prompt)
        counted = [0, pairs, done + n, 0, near, min(done + n, window), last, 0]
        yield batch * n, [batch * value for value in counted]
        done += n


def _features(llm: Llm, batch: float, context: float, fresh: float, prompt: int) -> list[float]:
    """Features of a step of a decoding batch, with the prompt tokens that come along in a running service."""
    near = min(context, batch * llm.window.size) if llm.window else 0.0
    pairs = fresh * (prompt + 1) / 2
    return [context, pairs, fresh, near, pairs if llm.window else 0.0, fresh if llm.window else 0.0, batch, 0]
