"""What others call hardware and models is found in the catalogue, or not at all."""

from __future__ import annotations

import pytest

from edgesim import catalog
from edgesim.calibrate.names import accelerator_named, generic_llm, llm_named
from edgesim.costs import parameters


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("NVIDIA GeForce RTX 4090", "rtx-4090"),
        ("RTX4090", "rtx-4090"),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", "rtx-4090-laptop"),
        ("NVIDIA RTX 4000 Ada Generation", "rtx-4000-ada"),
        ("Quadro RTX 4000", "quadro-rtx-4000"),
        ("RTX 3080 10GB", "rtx-3080"),
        ("NVIDIA A100-SXM4-80GB", "nvidia-a100-80gb-sxm"),
        ("A100 SXM4 40GB", "nvidia-a100-40gb-sxm"),
        ("A100 PCIe 80GB", "nvidia-a100-80gb-pcie"),
        ("NVIDIA H100 80GB HBM3", "nvidia-h100-sxm"),
        ("H100", "nvidia-h100-sxm"),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", "rtx-pro-6000-server"),
        ("RTXPRO6000", "rtx-pro-6000"),
        ("Apple M1 Max 8P+2E+24GPU", "apple-m1-max-24core"),
        ("Apple M2 (10-core GPU)", "apple-m2"),
        ("M2 Ultra 76-Core GPU 192GB", "apple-m2-ultra"),
        ("Mac Studio (M3 Ultra 512GB)", "apple-m3-ultra-80core"),
        ("Pi CM5 - 16GB (Nvidia RTX 3060)", "rtx-3060"),
        ("Raspberry Pi 4B 8GB", "raspberry-pi-4"),
        ("Ryzen 9 7900X (Nvidia 4090)", "rtx-4090"),
        ("Snapdragon 8 Elite QRD (Hexagon NPU)", "snapdragon-8-elite"),
        ("RK3588 NPU", "rockchip-rk3588-npu"),
        ("Radeon RX 7900 XTX", "radeon-rx-7900-xtx"),
        ("rtx-3090", "rtx-3090"),
    ],
)
def test_hardware_is_found_under_other_names(said, name):
    """Vendors, memory sizes, editions and boxes do not matter, what tells parts apart does."""
    assert accelerator_named(said) == name


@pytest.mark.parametrize("said", ["RTX 9090", "A100X", "NVIDIA L40S-8Q", "", "GPU", "Radeon RX 7900"])
def test_hardware_that_is_not_there_is_not_guessed(said):
    """Similar is not the same."""
    assert accelerator_named(said) is None


def test_every_title_leads_back_to_its_accelerator():
    """The words of two entries never coincide."""
    lost = {name: accelerator_named(catalog.accelerator(name).title) for name in catalog.names("accelerator")}
    twins = {name: found for name, found in lost.items() if found != name.removesuffix("-cpu")}
    assert all(found is not None for found in twins.values()), twins
    same = [(catalog.accelerator(a), catalog.accelerator(str(b))) for a, b in twins.items()]
    assert all(a.memory == b.memory or a.memory_bandwidth == b.memory_bandwidth for a, b in same), twins


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("meta-llama/Llama-3.1-8B", "llama-3.1-8b"),
        ("Meta-Llama-3.1-70B-Instruct", "llama-3.1-70b"),
        ("llama_v3_2_3b_instruct", "llama-3.2-3b"),
        ("Llama-2-7B GGUF Q4_0", "llama-2-7b"),
        ("CodeLlama-13b-hf", "llama-2-13b"),
        ("DeepSeek-R1-Distill-Qwen-14B Q4_K_M", "qwen2.5-14b"),
        ("qwen2_5_7b_instruct", "qwen2.5-7b"),
        ("Qwen2.5-Coder-7B", "qwen2.5-7b"),
        ("Mistral-7B-Instruct-v0.3", "mistral-7b-v0.1"),
        ("Gemma2 2B", "gemma-2-2b"),
        ("no-such-model-9b", None),
    ],
)
def test_models_are_found_under_other_names(said, name):
    """Hubs, formats and fine-tunes do not matter where the architecture is the same."""
    assert llm_named(said) == name


@pytest.mark.parametrize("params", [0.5e9, 1.1e9, 4e9, 9e9, 24e9, 32e9, 123e9])
def test_a_generic_llm_has_the_asked_size(params):
    """Within ten per cent, head and embedding included."""
    assert parameters(generic_llm(params)) == pytest.approx(params, rel=0.1)
