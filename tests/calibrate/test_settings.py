"""Engine settings become keys of a deployment; what is not simulated is refused, and names are found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgesim import catalog
from edgesim.calibrate.command import subject
from edgesim.calibrate.settings import Settings, fill, read_settings
from edgesim.errors import EdgesimError, ScenarioError

COMPLETE = {"max_num_seqs": 64, "max_num_batched_tokens": 4096, "num_gpu_blocks": 1000}
"""Settings without which a note says what is taken."""


def read(path: Path, content: Any) -> Settings:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return read_settings(path)


def test_a_run_of_vllm(tmp_path: Path) -> None:
    """Arguments, what the engine made of its memory, and the hardware, each in a part of its own."""
    content = {
        "model": "meta-llama/Llama-3.1-8B",
        "vllm_version": "0.19.0",
        "engine_kwargs": {
            "model": "meta-llama/Llama-3.1-8B",
            "tensor_parallel_size": 2,
            "data_parallel_size": 4,
            "enable_expert_parallel": False,
            "max_num_seqs": 256,
            "max_num_batched_tokens": 2048,
            "max_model_len": 32768,
            "dtype": "bfloat16",
            "kv_cache_dtype": "auto",
        },
        "kv_cache": {
            "num_gpu_blocks": 2588,
            "num_cpu_blocks": None,
            "block_size": 16,
            "gpu_memory_utilization": 0.9,
            "enable_prefix_caching": True,
        },
        "hardware": {"device_name": "NVIDIA H100 80GB HBM3"},
    }
    found = read(tmp_path / "meta.json", content)
    assert found.keys == {
        "tensor_parallel": 2,
        "replicas": 4,
        "max_num_seqs": 256,
        "max_batched_tokens": 2048,
        "context": 32768,
        "memory_utilisation": 0.9,
        "block_size": 16,
        "kv_tokens": 2588 * 16,
        "weights": "bf16",
        "prefix_cache": True,
    }
    assert (found.model, found.device, found.engine) == (
        "meta-llama/Llama-3.1-8B",
        "NVIDIA H100 80GB HBM3",
        "vllm 0.19.0",
    )
    assert not found.whole_experts
    assert [note.split(",")[0] for note in found.notes] == ["prefixes were cached"]


def test_a_resolved_configuration(tmp_path: Path) -> None:
    """Whole configurations have parts in parts; those of other things are not mistaken for the engine's."""
    content = {
        "resolved_config": {
            "model_config": {
                "model": "Qwen/Qwen3-30B-A3B",
                "dtype": "torch.bfloat16",
                "max_model_len": 40960,
            },
            "parallel_config": {
                "tensor_parallel_size": 2,
                "data_parallel_size": 1,
                "pipeline_parallel_size": 1,
                "enable_expert_parallel": True,
            },
            "scheduler_config": {
                "max_num_seqs": 128,
                "max_num_batched_tokens": 8192,
                "enable_chunked_prefill": True,
            },
            "cache_config": {
                "block_size": 16,
                "num_gpu_blocks": 30000,
                "cache_dtype": "fp8_e4m3",
                "enable_prefix_caching": False,
            },
            "speculative_config": None,
            "compilation_config": {"max_num_seqs": 7, "block_size": 3},
        }
    }
    found = read(tmp_path / "meta.json", content)
    assert found.keys["max_num_seqs"] == 128
    assert found.keys["block_size"] == 16
    assert found.keys["kv_tokens"] == 480_000
    assert found.keys["kv"] == "fp8"
    assert found.keys["prefix_cache"] is False
    assert "replicas" not in found.keys
    assert found.whole_experts
    assert found.notes == []


def test_arguments_of_the_command_line(tmp_path: Path) -> None:
    """As YAML, with hyphens."""
    found = read(
        tmp_path / "serve.yaml", "model: Qwen/Qwen3-32B-FP8\ntensor-parallel-size: 2\n--max-num-seqs: 64\n"
    )
    assert found.keys == {"tensor_parallel": 2, "max_num_seqs": 64, "weights": "fp8"}
    assert found.notes == []


@pytest.mark.parametrize(
    ("accelerator", "seqs", "tokens"),
    [
        ("rtx-4090", 256, 2048),
        ("nvidia-h100-sxm", 1024, 8192),
        ("rtx-pro-6000", 1024, 8192),
        ("nvidia-a100-80gb-sxm", 256, 2048),
    ],
)
def test_settings_that_are_missing_are_the_server_s_own(accelerator, seqs, tokens) -> None:
    """Large accelerators get larger batches, but for the A100; what is stated stays."""
    found = Settings(keys={"kv_tokens": 1000})
    fill(found, catalog.accelerator(accelerator))
    assert found.keys == {"kv_tokens": 1000, "max_num_seqs": seqs, "max_batched_tokens": tokens}
    assert [note.split(";")[0] for note in found.notes] == [
        "the settings do not state max_num_seqs",
        "the settings do not state max_num_batched_tokens",
    ]
    stated = Settings(keys={"max_num_seqs": 8, "max_batched_tokens": 512})
    fill(stated, catalog.accelerator(accelerator))
    assert stated.keys == {"max_num_seqs": 8, "max_batched_tokens": 512}
    assert stated.notes == ["the settings do not state num_gpu_blocks; the KV cache gets what memory leaves"]


@pytest.mark.parametrize(
    ("content", "weights"),
    [
        ({"dtype": "bfloat16"}, "bf16"),
        ({"dtype": "torch.float16"}, "fp16"),
        ({"dtype": "auto"}, None),
        ({"dtype": "bfloat16", "quantization": "fp8"}, "fp8"),
        ({"dtype": "float16", "quantization": "awq_marlin"}, "int4"),
        ({"quantization": "gptq"}, "int4"),
        ({"quantization": "modelopt_fp4", "dtype": "bfloat16"}, "nvfp4"),
        ({"quantization": "mxfp4"}, "mxfp4"),
        ({"model": "nvidia/Llama-3.1-8B-Instruct-NVFP4", "dtype": "bfloat16"}, "nvfp4"),
        ({"model": "RedHatAI/Llama-3.1-8B-quantized.w4a16", "quantization": "compressed-tensors"}, "int4"),
    ],
)
def test_formats_of_weights(tmp_path: Path, content: dict[str, Any], weights: str | None) -> None:
    """What quantises counts before what computes, and a model's name where nothing else says it."""
    found = read(tmp_path / "s.json", content | COMPLETE)
    assert found.keys.get("weights") == weights
    assert not found.notes


def test_switches_that_are_not_simulated_are_noted(tmp_path: Path) -> None:
    """Eager mode, prompts that are not chunked, a quantisation without a name."""
    content = {
        "enforce_eager": True,
        "enable_chunked_prefill": False,
        "quantization": "compressed-tensors",
        "dtype": "bfloat16",
    }
    notes = read(tmp_path / "s.json", content | COMPLETE).notes
    assert [note.split(",")[0].split(":")[0] for note in notes] == [
        "weights are quantised",
        "enforce_eager",
        "chunked prefill was off; here",
    ]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (
            {"speculative_config": {"method": "eagle", "num_speculative_tokens": 3}},
            "speculative decoding, which is not simulated",
        ),
        (
            {"engine_kwargs": {"speculative_config": {"method": "ngram"}}},
            "speculative decoding, which is not simulated",
        ),
        ({"num_speculative_tokens": 4}, "speculative decoding, which is not simulated"),
        ({"pipeline_parallel_size": 2}, "pipeline parallelism, which is not simulated"),
    ],
)
def test_what_is_not_simulated_is_refused(tmp_path: Path, content: dict[str, Any], complaint: str) -> None:
    """Plainly, since the replay would be of another engine."""
    with pytest.raises(EdgesimError, match=complaint):
        read(tmp_path / "s.json", content)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("[1]", "engine settings are one object of keys and values"),
        ("{", "neither JSON nor YAML"),
        ({"max_num_seqs": -1, "gpu_memory_utilization": 1.5}, "max_num_seqs is -1, which cannot be"),
        ({"tensor_parallel_size": "two"}, "tensor_parallel_size is 'two', which cannot be"),
    ],
)
def test_wrong_settings_are_told(tmp_path: Path, content: Any, complaint: str) -> None:
    """By file, all of them."""
    with pytest.raises(ScenarioError) as caught:
        read(tmp_path / "s.json", content)
    assert caught.value.problems[0].text.startswith(complaint)
    assert caught.value.problems[0].file == str(tmp_path / "s.json")
    assert len(caught.value.problems) == (2 if "gpu_memory_utilization" in content else 1)


def test_what_was_measured_is_found_in_the_catalogue(tmp_path: Path) -> None:
    """Names of settings, whatever drivers and hubs call them; options win."""
    path = tmp_path / "meta.json"
    path.write_text(
        json.dumps(
            {"model": "/models/Llama-3.1-8B/", "device_name": "NVIDIA H100 80GB HBM3", "dtype": "half"}
        )
    )
    about = subject(None, None, path, {"tensor_parallel": 2, "expert_parallel": None})
    assert (about.llm, about.accelerator) == ("llama-3.1-8b", "nvidia-h100-sxm")
    assert (about.weights, about.tensor_parallel, about.whole_experts) == ("fp16", 2, False)
    about = subject("rtx-4090", None, path, {"weights": "int8", "expert_parallel": True})
    assert (about.accelerator, about.weights, about.whole_experts) == ("rtx-4090", "int8", True)
    path.write_text(json.dumps({"model": "acme/giant-9b", "device_name": "H100"}))
    with pytest.raises(EdgesimError, match=r"which llm was measured\? the settings say 'acme/giant-9b'"):
        subject(None, None, path, {})


@pytest.mark.parametrize(
    ("key", "value"), [("num_gpu_blocks", "lots"), ("pipeline_parallel_size", "two"), ("num_gpu_blocks", -1)]
)
def test_counts_that_cannot_be_are_told(tmp_path: Path, key: str, value: object) -> None:
    """With the file and the key."""
    path = tmp_path / "settings.json"
    path.write_text(json.dumps({key: value}))
    with pytest.raises(ScenarioError) as caught:
        read_settings(path)
    assert [(p.text, p.file) for p in caught.value.problems] == [
        (f"{key} is {value!r}, which cannot be", str(path))
    ]
