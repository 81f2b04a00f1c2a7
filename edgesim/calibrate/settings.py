"""Engine settings of a serving run, in the words of a deployment."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from edgesim.calibrate.table import text_of
from edgesim.errors import Problem, ScenarioError

if TYPE_CHECKING:
    from pathlib import Path

_RENAMED = {
    "tensor_parallel_size": "tensor_parallel",
    "max_num_seqs": "max_num_seqs",
    "max_num_batched_tokens": "max_batched_tokens",
    "max_model_len": "context",
    "gpu_memory_utilization": "memory_utilisation",
    "block_size": "block_size",
    "enable_prefix_caching": "prefix_cache",
    "num_kv_tokens": "kv_tokens",
}
_FORMATS = {
    "bfloat16": "bf16",
    "float16": "fp16",
    "half": "fp16",
    "fp8": "fp8",
    "awq": "int4",
    "gptq": "int4",
}


def read_settings(path: Path) -> tuple[dict[str, Any], str, str]:
    """Read a file of engine settings, such as vLLM's arguments as JSON.

    Returns:
        Keys of a deployment, and the names of the model and of the hardware (empty where the file is silent).

    Raises:
        ScenarioError: The file is no JSON object.
    """
    try:
        content = json.loads(text_of(path))
    except ValueError as error:
        raise ScenarioError([Problem((), f"not valid JSON: {error}", file=str(path))]) from None
    if not isinstance(content, dict):
        raise ScenarioError([Problem((), "engine settings are a JSON object", file=str(path))])
    flat: dict[str, Any] = {}
    for part in (content, content.get("engine_kwargs"), content.get("kv_cache"), content.get("hardware")):
        if isinstance(part, dict):
            flat |= {key: value for key, value in part.items() if value is not None}
    keys = {new: flat[old] for old, new in _RENAMED.items() if old in flat}
    weights = _FORMATS.get(str(flat.get("quantization", flat.get("dtype", ""))).lower())
    if weights:
        keys["weights"] = weights
    if str(flat.get("kv_cache_dtype", "")).startswith("fp8"):
        keys["kv"] = "fp8"
    if "kv_tokens" not in keys and "num_gpu_blocks" in flat:
        keys["kv_tokens"] = int(flat["num_gpu_blocks"]) * int(flat.get("block_size", 16))
    return keys, str(flat.get("model", "")), str(flat.get("device_name", ""))
