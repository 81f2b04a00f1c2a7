"""Architecture numbers against what publishers state and what the literature checks."""

from __future__ import annotations

import pytest

from edgesim import catalog, costs
from edgesim.costs import llm as work

LLMS = catalog.names("llm")


@pytest.mark.parametrize("name", LLMS)
def test_parameters_follow_from_the_architecture(name):
    """The computed count is within 1 % of the stated one."""
    llm = catalog.llm(name)
    assert costs.parameters(llm) == pytest.approx(llm.params, rel=0.01)


@pytest.mark.parametrize("name", [name for name in LLMS if catalog.llm(name).active_params])
def test_active_parameters_of_mixtures(name):
    """What one token uses agrees with the stated count, in which publishers include the embedding or not."""
    llm = catalog.llm(name)
    assert costs.active_parameters(llm) == pytest.approx(llm.active_params, rel=0.1)
    assert costs.active_parameters(llm) < 0.35 * costs.parameters(llm)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("llama-2-7b", 524_288),
        ("llama-3-8b", 131_072),
        ("llama-2-70b", 327_680),
        ("opt-13b", 819_200),
        ("qwen2.5-7b", 57_344),
        ("deepseek-v3", 70_272),
        ("bert-base", 0),
    ],
)
def test_kv_bytes_per_token(name, expected):
    """KV cache of one token in fp16; halved in fp8 and quartered in int4."""
    llm = catalog.llm(name)
    assert costs.kv_bytes_per_token(llm) == expected
    assert costs.kv_bytes_per_token(llm, "fp8") == expected // 2
    assert costs.kv_bytes_per_token(llm, "int4") == expected // 4


def test_weights_shrink_with_their_format():
    """Llama 3.1 70B takes 141 GB in bf16, half in fp8, a little over a quarter in int4 (scales)."""
    llm = catalog.llm("llama-3.1-70b")
    assert costs.weights_bytes(llm) == 2 * costs.parameters(llm)
    assert costs.weights_bytes(llm, "fp8") == costs.parameters(llm)
    assert 0.25 < costs.weights_bytes(llm, "int4") / costs.weights_bytes(llm, "fp16") < 0.27


def test_flops_of_a_token():
    """Two FLOPs a weight of Llama 3 8B, the embedding not counted and the LM head apart."""
    llm = catalog.llm("llama-3-8b")
    assert work.token_flops(llm) + work.head_flops(llm) == 2 * (
        costs.parameters(llm) - llm.vocab * llm.hidden
    )
    assert work.prefill_pair_flops(llm) * llm.layers == 4 * 32 * 32 * 128


def test_latent_attention_computes_more_and_reads_less():
    """Decode on compressed vectors: more FLOPs a pair than prefill, and a copy on every rank."""
    llm = catalog.llm("deepseek-v3")
    assert work.decode_pair_flops(llm) > 3 * work.prefill_pair_flops(llm)
    assert work.kv_copies(llm, 8) == 8
    assert work.kv_copies(catalog.llm("llama-3-8b"), 8) == 1
    assert work.kv_copies(catalog.llm("qwen2.5-7b"), 8) == 2


def test_images_cost_their_encoder():
    """577 patches through 0.3 billion weights."""
    llm = catalog.llm("llava-1.5-7b")
    assert work.image_flops(llm) == pytest.approx(2 * 577 * 325e6, rel=0.1)
    assert work.image_flops(catalog.llm("llama-2-7b")) == 0
