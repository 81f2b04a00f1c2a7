"""Names that drivers, hubs and collections of measurements use lead to the right entry."""

from __future__ import annotations

import csv
from collections import Counter

import pytest

from edgesim import catalog


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("NVIDIA H100 80GB HBM3", "nvidia-h100-sxm"),
        ("NVIDIA H100 PCIe", "nvidia-h100-pcie"),
        ("NVIDIA A100-SXM4-40GB", "nvidia-a100-40gb-sxm"),
        ("NVIDIA A100-SXM4-80GB", "nvidia-a100-80gb-sxm"),
        ("NVIDIA A100 80GB PCIe", "nvidia-a100-80gb-pcie"),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", "rtx-pro-6000-server"),
        ("NVIDIA RTX PRO 6000 Blackwell Workstation Edition", "rtx-pro-6000"),
        ("NVIDIA RTX 6000 Ada Generation", "rtx-6000-ada"),
        ("Quadro RTX 6000", "quadro-rtx-6000"),
        ("NVIDIA GeForce RTX 4070 Ti SUPER", "rtx-4070-ti-super"),
        ("NVIDIA GeForce RTX 4070", "rtx-4070"),
        ("NVIDIA GeForce RTX 4060 Laptop GPU", "rtx-4060-laptop"),
        ("Apple M3 Max 10P+4E+30GPU", "apple-m3-max-30core"),
        ("M3 Max 40-Core GPU 64GB", "apple-m3-max"),
        ("Apple M2 Ultra", "apple-m2-ultra"),
        ("RTX4090", "rtx-4090"),
        ("RTXPRO6000", "rtx-pro-6000"),
        ("H100", "nvidia-h100-sxm"),
        ("Ryzen 9 7900X (Nvidia 4090)", "rtx-4090"),
        ("Raspberry Pi 4B 8GB", "raspberry-pi-4"),
        ("Mac Studio (M3 Ultra 512GB)", "apple-m3-ultra-80core"),
        ("Pi CM5 - 16GB (Nvidia RTX 3080 Ti)", "rtx-3080-ti"),
        ("Snapdragon 8 Elite QRD (Hexagon NPU)", "snapdragon-8-elite"),
    ],
)
def test_hardware_is_found_by_what_others_call_it(said, name):
    """Memory and cores decide where the catalogue tells them apart."""
    assert catalog.named("accelerator", said) == name


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("meta-llama/Llama-3.1-8B-Instruct", "llama-3.1-8b"),
        ("meta-llama/Meta-Llama-3-8B", "llama-3-8b"),
        ("meta-llama/Llama-2-70b-hf", "llama-2-70b"),
        ("Qwen/Qwen3-32B-FP8", "qwen3-32b"),
        ("Qwen/Qwen2.5-7B-Instruct-AWQ", "qwen2.5-7b"),
        ("Llama-3.2-3B Q4_K_M", "llama-3.2-3b"),
        ("Llama-2-7B GGUF Q4_0", "llama-2-7b"),
        ("mistralai/Mixtral-8x7B-Instruct-v0.1", "mixtral-8x7b"),
        ("mistralai/Mistral-7B-Instruct-v0.3", "mistral-7b-v0.3"),
        ("llama_v3_2_1b_instruct", "llama-3.2-1b"),
        ("deepseek-ai/DeepSeek-R1-Distill-Qwen-14B", "deepseek-r1-distill-qwen-14b"),
        ("openai/gpt-oss-20b MXFP4", "gpt-oss-20b"),
        ("TinyLlama/TinyLlama-1.1B-Chat-v1.0", "tinyllama-1.1b"),
        ("facebook/opt-13b", "opt-13b"),
        ("Qwen/Qwen3-30B-A3B-Instruct-2507", "qwen3-30b-a3b"),
        ("neuralmagic/Meta-Llama-3.1-8B-Instruct-quantized.w4a16", "llama-3.1-8b"),
    ],
)
def test_llms_are_found_by_what_hubs_call_them(said, name):
    """Owner, instruction tuning and quantisation change no architecture; sizes and versions do."""
    assert catalog.named("llm", said) == name


@pytest.mark.parametrize("name", catalog.names("llm"))
def test_every_llm_is_found_by_its_name(name):
    """No entry hides another."""
    assert catalog.named("llm", name) == name


@pytest.mark.parametrize("said", ["NVIDIA GeForce RTX 9999", "", "NVIDIA", "Intel"])
def test_nothing_is_found_for_what_is_not_there(said):
    """A name that only shares a vendor is no match."""
    assert catalog.named("accelerator", said) is None


@pytest.mark.parametrize("name", catalog.names("accelerator"))
def test_every_accelerator_is_found_by_its_name_and_title(name):
    """No entry hides another."""
    assert catalog.named("accelerator", name) == name
    assert catalog.named("accelerator", catalog.accelerator(name).title) == name


def test_measured_hardware_is_in_the_catalogue(reference_data):
    """Every device of the specification table, and whatever has more than four measured points."""
    with (reference_data / "devices" / "hardware_specs.csv").open(newline="") as file:
        specified = [row["device"] for row in csv.DictReader(file)]
    with (reference_data / "devices" / "device_points.csv").open(newline="") as file:
        measured = Counter(row["hardware"] for row in csv.DictReader(file))
    assert [name for name in specified if catalog.named("accelerator", name) is None] == []
    assert [n for n, count in measured.items() if count > 4 and catalog.named("accelerator", n) is None] == []
    found = sum(count for name, count in measured.items() if catalog.named("accelerator", name))
    assert found >= 0.98 * measured.total()


def test_measured_llms_are_in_the_catalogue(reference_data):
    """Whatever was measured more than eight times, except for an architecture without attention in every layer."""
    with (reference_data / "devices" / "device_points.csv").open(newline="") as file:
        measured = Counter(row["model"] for row in csv.DictReader(file))
    missing = {n for n, count in measured.items() if count > 8 and catalog.named("llm", n) is None}
    assert missing == {"Qwen3.5 0.8B"}
    found = sum(count for name, count in measured.items() if catalog.named("llm", name))
    assert found >= 0.95 * measured.total()
