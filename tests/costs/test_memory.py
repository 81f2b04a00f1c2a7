"""What fits, what is left for the KV cache, and what would fit instead."""

from __future__ import annotations

import subprocess
import sys

import pytest

from edgesim import catalog, costs
from edgesim.costs import memory

L4, H100 = catalog.accelerator("nvidia-l4"), catalog.accelerator("nvidia-h100-sxm")


def test_a_misfit_says_how_much_and_what_would():
    """70B in bf16 on an L4: 141 GB against 22 GB; eight cards or a larger one would do."""
    result = costs.fit(L4, catalog.llm("llama-3.1-70b"))
    assert not result.fits
    assert result.weights == pytest.approx(141.1e9, rel=0.01)
    assert result.needed > result.weights
    assert result.available == pytest.approx(0.9 * 25.77e9 - 1.4e9, rel=0.01)
    assert "tensor_parallel: 8 with accelerators: 8" in result.suggestion
    assert "amd-mi300x" in result.suggestion


def test_lighter_weights_are_suggested_first():
    """8B in bf16 does not fit on an 8 GB board, in int4 it does."""
    board = catalog.accelerator("jetson-orin-nano")
    result = costs.fit(board, catalog.llm("llama-3.1-8b"), max_num_seqs=1)
    assert result.suggestion.startswith("weights: int4 (4.3 GB)")
    assert costs.fit(board, catalog.llm("llama-3.1-8b"), weights="int4", max_num_seqs=1).fits


def test_suggestions_fit():
    """Whatever is suggested passes the same check."""
    llm = catalog.llm("llama-3.1-70b")
    result = costs.fit(H100, llm)
    assert "tensor_parallel: 4" in result.suggestion or "tensor_parallel: 2" in result.suggestion
    for parallel in (2, 4):
        if f"tensor_parallel: {parallel}" in result.suggestion:
            assert costs.fit(H100, llm, tensor_parallel=parallel).fits
    assert "weights: int8" in result.suggestion
    assert costs.fit(H100, llm, weights="int8").fits


def test_nothing_fits_on_a_coral():
    """The on-chip memory of an edge TPU holds no LLM; the message still names what would."""
    result = costs.fit(catalog.accelerator("coral-edge-tpu"), catalog.llm("qwen2.5-0.5b"), max_num_seqs=1)
    assert not result.fits
    assert result.suggestion


def test_kv_blocks_of_a_measured_engine():
    """An engine (vLLM 0.19) found 2588 blocks for Llama 3.1 8B on an RTX 4090; the estimate is within 5 %."""
    blocks = costs.kv_blocks(catalog.accelerator("rtx-4090"), catalog.llm("llama-3.1-8b"))
    assert blocks == pytest.approx(2588, rel=0.05)


def test_blocks_and_weights_stay_within_the_memory():
    """Weights plus all blocks never exceed what is available."""
    llm = catalog.llm("llama-3.1-70b")
    blocks = costs.kv_blocks(H100, llm, weights="fp8", tensor_parallel=2)
    used = costs.weights_bytes(llm, "fp8") + blocks * memory.block_bytes(llm, tensor_parallel=2)
    assert 0.95 * memory.available_bytes(H100, 2) < used <= memory.available_bytes(H100, 2)


def test_copied_kv_heads_cost_memory():
    """Four KV heads on eight accelerators are stored twice."""
    llm = catalog.llm("qwen2.5-7b")
    assert memory.block_bytes(llm, tensor_parallel=8) == 2 * memory.block_bytes(llm, tensor_parallel=4)


def test_an_encoder_needs_no_cache():
    """Its blocks take nothing and are never short."""
    encoder = catalog.llm("bert-base")
    assert memory.block_bytes(encoder) == 0
    assert costs.kv_blocks(L4, encoder) == memory.UNLIMITED_BLOCKS


def test_checking_memory_does_not_load_numpy():
    """`edgesim validate` stays light."""
    code = (
        "import sys; from edgesim import catalog, costs;"
        "costs.fit(catalog.accelerator('nvidia-l4'), catalog.llm('llama-3.1-70b'));"
        "print('numpy' in sys.modules)"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "False\n"
    )
