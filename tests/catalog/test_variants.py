"""Variants: what each technique changes, how they combine, and that what is packaged holds together."""

from __future__ import annotations

import pytest

from edgesim import catalog, costs
from edgesim.catalog.variant import TECHNIQUES, Variant
from edgesim.costs import llm as work
from edgesim.registry import UnknownNameError

VARIANTS = catalog.names("variant")
LLAMA = catalog.llm("llama-3.1-8b")


def made(*names, of="llama-3.1-8b"):
    return catalog.varied(catalog.llm(of), *(catalog.variant(name, of) for name in names))


def test_there_is_every_technique_and_every_number_format():
    """Whatever number format a deployment may choose has a known effect on quality."""
    found = [catalog.variant(name) for name in VARIANTS]
    assert {one.technique for one in found} == set(TECHNIQUES)
    lighter = {name for name in work.WEIGHT_BITS if work.weight_bytes(name) < 2}
    assert {one.name: one.weights for one in found if one.name in lighter} == {name: name for name in lighter}


@pytest.mark.parametrize("name", VARIANTS)
def test_packaged_variants_do_what_their_technique_says(name):
    """Each changes something, is of an LLM that exists, and its score has a mark of its own."""
    one = catalog.variant(name)
    llm = catalog.llm(one.of or "llama-3.1-8b")
    changed = catalog.varied(llm, one)
    assert "relative_quality" in one.figures
    assert 0.5 < one.relative_quality < 1.05
    assert changed.quality == pytest.approx(llm.quality * one.relative_quality)
    size, before = costs.weights_bytes(changed), costs.weights_bytes(llm)
    assert {
        "quantised": size < before and changed.name == llm.name,
        "sparse": size < before and changed.sparse,
        "pruned": size < before and work.token_flops(changed) < work.token_flops(llm),
        "tied": changed.shared_by > 1,
        "adapter": size > before and work.token_flops(changed) > work.token_flops(llm),
    }[one.technique]
    assert (changed.name == llm.name) == (one.technique == "quantised")


def test_a_variant_of_one_llm_goes_before_the_one_for_any():
    """Measured on the LLM itself beats measured elsewhere."""
    assert catalog.variant("int4", "llama-3.2-1b").relative_quality == 0.994
    assert catalog.variant("int4", "phi-2").relative_quality == 0.981
    assert catalog.variant("int4").name == "int4"
    names = [one.name for one in catalog.variants("llama-3.2-1b")]
    assert "int4@llama-3.2-1b" in names
    assert "int4" not in names
    assert "layer-sharing@mobilellm-125m" not in names
    with pytest.raises(UnknownNameError, match="no variant named 'int-4'"):
        catalog.variant("int-4", "phi-2")


@pytest.mark.parametrize(
    ("weights", "share"), [("bf16", 9 / 16), ("fp8", 5 / 8), ("int8", 5 / 8), ("int4", 3.25 / 4.25)]
)
def test_two_of_four(weights, share):
    """Half the values and a 2-bit index each, in the layers only; scales stay."""
    sparse = made("pruned-2-4")
    layers = work.shape(LLAMA).in_layers * work.weight_bytes(weights)
    outside = costs.weights_bytes(LLAMA, weights) - layers
    assert costs.weights_bytes(sparse, weights) == pytest.approx(outside + share * layers, rel=1e-9)


def test_sparse_products_gain_only_where_the_accelerator_has_units_for_them():
    """Never more than double, nothing on most accelerators; prompts are read faster, and MFU stays below 1."""
    sparse = made("pruned-2-4")
    assert work.token_flops(sparse) == work.token_flops(LLAMA)
    assert work.token_flops(sparse, 1.6) == pytest.approx(work.token_flops(LLAMA) / 1.6)
    assert work.token_flops(LLAMA, 1.6) == work.token_flops(LLAMA)
    gains = {name: one.sparse_gain for name, one in catalog.accelerators().items()}
    assert set(gains.values()) == {1.0, 1.22, 1.6}
    assert gains["nvidia-a100-80gb-sxm"] == gains["rtx-4090"] == 1.6
    assert gains["nvidia-t4"] == gains["raspberry-pi-5"] == gains["tesla-v100-sxm2"] == 1.0

    def prefill(accelerator, llm):
        item = catalog.accelerator(accelerator)
        return costs.step_cost(item, llm, max_num_seqs=1).prefill_ps(2048)

    assert prefill("nvidia-a100-80gb-sxm", sparse) < 0.8 * prefill("nvidia-a100-80gb-sxm", LLAMA)
    assert prefill("quadro-rtx-8000", sparse) > 0.98 * prefill("quadro-rtx-8000", LLAMA)


def test_layers_left_out_take_their_cache_with_them():
    """Parameters, work and KV cache of the layers shrink; embedding and head stay."""
    shallow = made("pruned-depth-25")
    assert shallow.layers == 24
    assert work.shape(shallow).dense == 0.75 * work.shape(LLAMA).dense
    assert work.shape(shallow).head == work.shape(LLAMA).head
    assert costs.kv_bytes_per_token(shallow) == 0.75 * costs.kv_bytes_per_token(LLAMA)


def test_a_narrower_network_keeps_its_cache():
    """Only the feed-forward matrices shrink, those of experts, too."""
    narrow = made("pruned-width-25")
    assert (narrow.ffn, narrow.layers) == (10_752, 32)
    assert costs.kv_bytes_per_token(narrow) == costs.kv_bytes_per_token(LLAMA)
    mixed = made("pruned-width-25", of="mixtral-8x7b")
    assert mixed.moe.expert_ffn == 10_752
    assert costs.parameters(mixed) == pytest.approx(0.76 * 46.7e9, rel=0.01)


def test_special_layers_are_left_out_in_proportion():
    """Of dense layers of a mixture and of layers with a window, the same share stays."""
    half = Variant("half", "Half", "pruned", depth=0.5)
    assert catalog.varied(catalog.llm("gemma-2-2b"), half).window.local_layers == 6.5 // 1
    deepseek = catalog.varied(catalog.llm("deepseek-v3"), half)
    assert (deepseek.layers, deepseek.moe.dense_layers) == (30, 2)
    assert costs.parameters(deepseek) < 0.55 * costs.parameters(catalog.llm("deepseek-v3"))


def test_tied_layers_are_stored_once_and_computed_each_time():
    """Memory halves in the layers; work, traffic of a token and KV cache stay."""
    tied = made("tied-2")
    assert work.shape(tied).in_layers == work.shape(LLAMA).in_layers / 2
    assert work.token_flops(tied) == work.token_flops(LLAMA)
    assert work.token_weight_bytes(tied) == work.token_weight_bytes(LLAMA)
    assert costs.kv_bytes_per_token(tied) == costs.kv_bytes_per_token(LLAMA)
    twice = made("layer-sharing", of="mobilellm-125m")
    small = catalog.llm("mobilellm-125m")
    assert costs.weights_bytes(twice) == costs.weights_bytes(small)
    assert twice.layers == 2 * small.layers


def test_an_adapter_adds_two_matrices_beside_each():
    """Rank times the widths on both sides, in 16 bits whatever the weights are; two FLOPs each."""
    h, f, kv, r = 4096, 14_336, 1024, 16
    each = (h + h) + 2 * (h + kv) + (h + h) + 3 * (h + f)
    adapted = made("lora-16")
    assert work.shape(adapted).adapter == 32 * r * each == 41_943_040
    assert costs.weights_bytes(adapted) - costs.weights_bytes(LLAMA) == 2 * 41_943_040
    assert costs.weights_bytes(adapted, "int4") - costs.weights_bytes(LLAMA, "int4") == 2 * 41_943_040
    assert work.token_flops(adapted) - work.token_flops(LLAMA) == 2 * 41_943_040
    assert work.head_flops(adapted) == work.head_flops(LLAMA)
    queries = Variant("q", "Beside queries", "adapter", rank=8, beside=("q",))
    assert work.shape(catalog.varied(LLAMA, queries)).adapter == 32 * 8 * 2 * h


def test_an_adapter_of_a_mixture_stands_beside_every_expert():
    """All of it takes memory, a token reads that of its experts only."""
    mixtral = catalog.llm("mixtral-8x7b")
    shape = work.shape(made("lora-8", of="mixtral-8x7b"))
    expert = 8 * 3 * (mixtral.hidden + mixtral.moe.expert_ffn)
    assert shape.adapter_stored - shape.adapter == 32 * (8 - 2) * expert


@pytest.mark.parametrize("name", ["deepseek-v3", "gemma-2-2b", "bert-base", "phi-2", "llama-3.1-8b"])
def test_adapters_stand_beside_every_kind_of_attention(name):
    """Latent attention, windows, encoders, no gates: an adapter is small, and larger with its rank."""
    llm = catalog.llm(name)
    sizes = [work.shape(made(adapter, of=name)).adapter for adapter in ("lora-8", "lora-16", "lora-64")]
    assert sizes[1] == 2 * sizes[0]
    assert sizes[2] == 8 * sizes[0]
    assert 0 < sizes[0] < 0.03 * work.shape(llm).active


def test_changes_combine_in_any_order():
    """Sparse, quantised and adapted at once: bytes and FLOPs of all, scores multiply, no score exceeds 1."""
    one, other = made("pruned-2-4", "int4", "lora-16"), made("lora-16", "int4", "pruned-2-4")
    assert (
        (one.sparse, one.weights, one.rank) == (other.sparse, other.weights, other.rank) == (True, "int4", 16)
    )
    assert one.quality == pytest.approx(other.quality) == pytest.approx(0.694 * 0.606 * 0.989)
    assert costs.weights_bytes(one) == costs.weights_bytes(other)
    assert (one.name, other.name) == ("llama-3.1-8b:pruned-2-4:lora-16", "llama-3.1-8b:lora-16:pruned-2-4")
    better = Variant("better", "Better", "pruned", relative_quality=1.6)
    assert catalog.varied(LLAMA, better).quality == 1.0
    assert catalog.varied(LLAMA) == LLAMA


@pytest.mark.parametrize(
    ("figures", "complaint"),
    [
        ({"technique": "distilled"}, "technique is one of quantised, sparse"),
        ({"technique": "pruned", "depth": 0}, "depth and width"),
        ({"technique": "pruned", "width": -0.5}, "depth and width"),
        ({"technique": "pruned", "relative_quality": 0}, "relative_quality is a share"),
        ({"technique": "sparse", "sparse": "no"}, "sparse is true or false"),
        ({"technique": "tied", "shared_by": 0}, "shared_by must be at least 1"),
        ({"technique": "adapter", "rank": 8, "beside": ("query",)}, "not beside 'query'"),
    ],
)
def test_impossible_variants_are_refused(figures, complaint):
    """Before anything is computed with them."""
    with pytest.raises(ValueError, match=complaint):
        Variant("x", "X", **figures)


def test_own_variants():
    """Like a packaged one, or from a technique and figures with units."""
    mine = catalog.variant_from(
        "mine", {"like": "pruned-depth-25", "depth": "80 %", "relative_quality": 0.97}
    )
    assert (mine.technique, mine.depth, mine.relative_quality, mine.of) == ("pruned", 0.8, 0.97, "")
    assert mine.figures["depth"].confidence == catalog.GIVEN
    adapter = catalog.variant_from(
        "a", {"technique": "adapter", "rank": 4, "beside": ["q", "v"], "of": "phi-2"}
    )
    assert (adapter.rank, adapter.beside, adapter.of) == (4, ("q", "v"), "phi-2")
    assert catalog.variant_from("b", {"like": "int4@llama-3.2-1b"}).of == "llama-3.2-1b"
    with pytest.raises(catalog.MissingFiguresError, match="lacks technique"):
        catalog.variant_from("x", {"depth": "80 %"})
    with pytest.raises(catalog.MissingFiguresError, match="lacks rank"):
        catalog.variant_from("x", {"technique": "adapter"})
    with pytest.raises(ValueError, match="weights is one of bf16, fp16"):
        catalog.variant_from("x", {"technique": "quantised", "weights": "int5"})
    with pytest.raises(UnknownNameError, match="variant figure"):
        catalog.variant_from("x", {"technique": "quantised", "wieghts": "int4"})
