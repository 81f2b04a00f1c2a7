"""Engine settings of a serving run, in the words of a deployment."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import yaml

from edgesim.calibrate.table import text_of
from edgesim.errors import EdgesimError, Problem, ScenarioError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edgesim.catalog import Accelerator

_NUMBERS: Final = {
    "tensor_parallel": ("tensor_parallel_size", "tensor_parallel", "tp_size", "tp"),
    "replicas": ("data_parallel_size", "data_parallel", "dp_size", "dp"),
    "max_num_seqs": ("max_num_seqs", "max_running_requests"),
    "max_batched_tokens": ("max_num_batched_tokens", "max_batched_tokens"),
    "context": ("max_model_len", "context_length"),
    "memory_utilisation": ("gpu_memory_utilization", "mem_fraction_static"),
    "block_size": ("block_size", "page_size"),
    "kv_tokens": ("num_kv_tokens", "kv_tokens", "max_total_num_tokens"),
}
"""Keys of a deployment, and what engines call them."""

_MODEL: Final = ("model", "model_path", "model_id", "model_name", "served_model_name")
_DEVICE: Final = ("device_name", "gpu_name", "gpu", "accelerator", "hardware")
_ENGINE: Final = {"vllm_version": "vllm", "sglang_version": "sglang", "engine_version": ""}

LARGE_MEMORY: Final = 70 * 1024**3
"""From this memory on, vLLM's server takes larger batches where nobody tells it otherwise; not on A100."""

_TAKEN: Final = (
    ("max_num_seqs", "max_num_seqs", 256, 1024),
    ("max_batched_tokens", "max_num_batched_tokens", 2048, 8192),
)
"""Keys of a deployment, what engines call them, and what vLLM's server takes on smaller and on large accelerators
(get_batch_defaults of version 0.10 and later, from memory)."""

_ELSEWHERE: Final = frozenset(
    {
        "speculative_config",
        "compilation_config",
        "lora_config",
        "observability_config",
        "multimodal_config",
        "draft_model_config",
        "kv_transfer_config",
        "pooler_config",
        "hf_config",
        "hf_text_config",
    }
)
"""Parts of an engine's configuration whose keys mean something else."""

_WEIGHTS: Final = (
    (r"nv_?fp4|modelopt_fp4", "nvfp4"),
    (r"mx_?fp4", "mxfp4"),
    (r"awq|gptq|w4a16|int4|4bit|bitsandbytes|marlin", "int4"),
    (r"w8a8-?int8|int8|w8a16", "int8"),
    (r"fp8|w8a8|modelopt", "fp8"),
    (r"bfloat16|bf16", "bf16"),
    (r"float16|fp16|half", "fp16"),
)
"""How formats of weights are recognised in the names of quantisations, number formats and models; the first counts."""


@dataclass
class Settings:
    """What a file of settings says.

    Attributes:
        keys: Keys of a deployment.
        model: Name of the model; empty where the file is silent.
        device: Name of the hardware; likewise.
        engine: Engine and version; likewise.
        whole_experts: Whether experts are spread whole over accelerators.
        notes: What a simulation knows less about than the engine did.
    """

    keys: dict[str, Any] = field(default_factory=dict)
    model: str = ""
    device: str = ""
    engine: str = ""
    whole_experts: bool = False
    notes: list[str] = field(default_factory=list)


def read_settings(path: Path) -> Settings:
    """Read a file of engine settings: arguments of vLLM or its resolved configuration, as JSON or YAML.

    Raises:
        ScenarioError: The file holds no such object, or values that cannot be.
        EdgesimError: The engine did what no simulation here does.
    """
    text = text_of(path)
    try:
        content = json.loads(text) if text.lstrip()[:1] in {"{", "["} else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError) as error:
        first = str(error).splitlines()[0]
        raise ScenarioError([Problem((), f"neither JSON nor YAML: {first}", file=str(path))]) from None
    if not isinstance(content, dict):
        raise ScenarioError(
            [Problem((), "engine settings are one object of keys and values", file=str(path))]
        )
    flat = _flat(content)
    _refuse(content, flat, path)
    found = Settings(
        model=_word(flat, _MODEL),
        device=_word(flat, _DEVICE),
        whole_experts=_yes(flat.get("enable_expert_parallel")),
    )
    found.engine = next(
        (f"{name} {flat[key]}".strip() for key, name in _ENGINE.items() if isinstance(flat.get(key), str)), ""
    )
    _numbers(flat, found.keys, path)
    _formats(flat, found)
    _behaviour(flat, found)
    return found


def fill(found: Settings, accelerator: Accelerator) -> None:
    """Take an engine's defaults for settings that matter and are not stated, and note it."""
    large = accelerator.memory >= LARGE_MEMORY and "a100" not in accelerator.name
    for key, name, smaller, larger in _TAKEN:
        if key not in found.keys:
            found.keys[key] = larger if large else smaller
            found.notes.append(
                f"the settings do not state {name}; {found.keys[key]} is taken, as vLLM's server does"
            )
    if "kv_tokens" not in found.keys:
        found.notes.append("the settings do not state num_gpu_blocks; the KV cache gets what memory leaves")


def _flat(content: dict[str, Any]) -> dict[str, Any]:
    """Values of all levels by name, those of upper levels first; names of the command line count as well."""
    flat: dict[str, Any] = {}
    level = [content]
    while level:
        below: list[dict[str, Any]] = []
        for part in level:
            for key, value in part.items():
                name = str(key).lstrip("-").replace("-", "_").lower()
                if isinstance(value, dict):
                    if name not in _ELSEWHERE:
                        below.append(value)
                elif value is not None and value not in ("", "None", "auto"):
                    flat.setdefault(name, value)
        level = below
    return flat


def _refuse(content: dict[str, Any], flat: dict[str, Any], path: Path) -> None:
    """Say plainly what is not simulated.

    Raises:
        EdgesimError: It was used in the run.
    """
    speculative = flat.get("speculative_model") or flat.get("num_speculative_tokens")
    if speculative or any(_holds(part) for part in _named(content, "speculative_config")):
        raise EdgesimError(
            "the run used speculative decoding, which is not simulated: a step would emit a number of tokens that "
            "the log does not tell; use a run without it"
        )
    if _count(flat, "pipeline_parallel_size", path) > 1:
        raise EdgesimError("the run used pipeline parallelism, which is not simulated; use a run without it")


def _named(content: object, name: str) -> Iterator[Any]:
    """Values of a key at any level."""
    if isinstance(content, dict):
        for key, value in content.items():
            if str(key).lstrip("-").replace("-", "_") == name:
                yield value
            yield from _named(value, name)


def _holds(value: object) -> bool:
    return bool(value) and value not in ("None", "null", "{}")


def _numbers(flat: dict[str, Any], keys: dict[str, Any], path: Path) -> None:
    """Take over counts and shares."""
    problems = []
    for key, names in _NUMBERS.items():
        name = next((name for name in names if name in flat), None)
        if name is None:
            continue
        try:
            value = float(flat[name])
        except (TypeError, ValueError):
            value = -1.0
        whole = key != "memory_utilisation"
        if value <= 0 or (whole and value != int(value)) or (not whole and value > 1):
            problems.append(Problem((), f"{name} is {flat[name]!r}, which cannot be", file=str(path)))
        else:
            keys[key] = int(value) if whole else value
    if problems:
        raise ScenarioError(problems)
    blocks = _count(flat, "num_gpu_blocks", path)
    if "kv_tokens" not in keys and blocks > 0:
        keys["kv_tokens"] = blocks * int(keys.get("block_size", 16))
    if keys.get("replicas") == 1:
        del keys["replicas"]
    if "max_batched_tokens" in keys:
        keys["max_batched_tokens"] = max(keys["max_batched_tokens"], keys.get("max_num_seqs", 0))


def _count(flat: dict[str, Any], name: str, path: Path) -> int:
    """A count that may be missing, then 0.

    Raises:
        ScenarioError: It is no whole number.
    """
    said = flat.get(name) or 0
    try:
        value = float(said)
    except (TypeError, ValueError):
        value = -1.0
    if value < 0 or value != int(value):
        raise ScenarioError([Problem((), f"{name} is {said!r}, which cannot be", file=str(path))])
    return int(value)


def _formats(flat: dict[str, Any], found: Settings) -> None:
    """Number formats of weights and KV cache; what quantises counts before what computes."""
    quantised = str(flat.get("quantization", "")).lower()
    sources = [quantised] if quantised and quantised != "compressed-tensors" else []
    sources += [found.model.lower(), str(flat.get("torch_dtype", flat.get("dtype", ""))).lower()]
    for text in sources:
        weights = next((name for pattern, name in _WEIGHTS if re.search(pattern, text)), None)
        if weights:
            found.keys["weights"] = weights
            break
    cache = str(flat.get("kv_cache_dtype", flat.get("cache_dtype", ""))).lower()
    if cache.startswith(("fp8", "float8")):
        found.keys["kv"] = "fp8"
    if quantised == "compressed-tensors" and found.keys.get("weights") in {None, "bf16", "fp16"}:
        found.notes.append(
            "weights are quantised, in a format the settings do not name; say which with --weights"
        )


def _behaviour(flat: dict[str, Any], found: Settings) -> None:
    """Switches of the engine."""
    for name in ("enable_prefix_caching", "prefix_caching"):
        if name in flat:
            found.keys["prefix_cache"] = _yes(flat[name])
    if found.keys.get("prefix_cache"):
        found.notes.append(
            "prefixes were cached, but a log does not tell which prompts begin alike; give --shared-prefix if all do"
        )
    if _yes(flat.get("enforce_eager")):
        found.notes.append(
            "enforce_eager: the host launches every kernel of a step; without a fit, small batches come out too fast"
        )
    if "enable_chunked_prefill" in flat and not _yes(flat["enable_chunked_prefill"]):
        found.notes.append(
            "chunked prefill was off; here, prompts beyond the token budget are read in chunks"
        )


def _word(flat: dict[str, Any], names: tuple[str, ...]) -> str:
    """The first of some names that says a word."""
    for name in names:
        value = flat.get(name)
        if isinstance(value, list) and value:
            value = value[0]
        if isinstance(value, str):
            return value
    return ""


def _yes(value: object) -> bool:
    return str(value).lower() in {"true", "1", "yes", "on"}
