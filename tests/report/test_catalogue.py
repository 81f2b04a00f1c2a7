"""The catalogue for browsers: every figure with unit, mark and source; filters; search."""

from __future__ import annotations

import json

import pytest

from edgesim import catalog
from edgesim.costs import llm as work
from edgesim.registry import UnknownNameError
from edgesim.report import catalogue
from edgesim.report.catalogue import Filters

NAMES = [(kind, name) for kind in catalogue.KINDS for name in catalog.names(kind)]


def names(kind, **filters):
    return [row[0] for row in catalogue.listed(kind, Filters(**filters))[1]]


@pytest.mark.parametrize(("kind", "name"), NAMES)
def test_every_figure_is_shown_with_mark_and_source(kind, name):
    """Each row has a value, one of the marks, and the number of a source that is listed."""
    item = catalogue.entry(kind, name)
    rows, sources = catalogue.figures(name)
    assert [row[0] for row in rows] == list(item.figures)
    told = {number: (source, of) for number, source, of in sources}
    for field, value, mark, number in rows:
        figure = item.figures[field]
        assert value
        assert mark == figure.confidence
        assert told[number] == (figure.source, "" if figure.entry == name else figure.entry)
    plain = json.loads(json.dumps(catalogue.shown_plain(name)))
    assert set(plain["figures"]) == set(item.figures)
    assert all(
        {"value", "unit", "confidence", "source", "entry"} == set(f) for f in plain["figures"].values()
    )


@pytest.mark.parametrize(
    ("name", "field", "text"),
    [
        ("nvidia-l4", "memory", "25.8 GB"),
        ("nvidia-l4", "memory_bandwidth", "300 GB/s"),
        ("nvidia-l4", "fp16", "121 TFLOP/s"),
        ("nvidia-l4", "idle_w", "16 W"),
        ("nvidia-l4", "price", "0.8 USD/h"),
        ("nvidia-l4", "layer_overhead", "15 us"),
        ("nvidia-l4", "compute_efficiency", "36 %"),
        ("raspberry-pi-5", "price", "0 USD/h"),
        ("mixtral-8x7b", "moe", "experts 8, per_token 2, shared 0, expert_ffn 14336, dense_layers 0"),
        ("mistral-7b-v0.3", "window", "none"),
        ("phi-2", "gated", "no"),
        ("phi-2", "layers", "32"),
        ("phi-2", "context", "2,048 tokens"),
        ("wifi-6", "latency", "2 ms"),
        ("france", "carbon", "56 g/kWh"),
    ],
)
def test_values_have_their_unit(name, field, text):
    """Prefixes for people, SI in JSON."""
    rows, _ = catalogue.figures(name)
    assert {row[0]: row[1] for row in rows}[field] == text


def test_a_figure_of_a_class_says_so():
    """What was fitted for a class is not passed off as a fit of the part."""
    rows, sources = catalogue.figures("rtx-3070")
    number = {row[0]: row[3] for row in rows}["compute_efficiency"]
    assert {row[0]: row[2] for row in sources}[number] == "_geforce"
    assert catalogue.trust("accelerator", catalog.accelerator("rtx-3070")) == "class fit"
    assert catalogue.trust("accelerator", catalog.accelerator("nvidia-h100-sxm")) == "fitted"
    assert catalogue.trust("accelerator", catalog.accelerator("jetson-agx-orin")) == "unverified"


def test_filters_for_accelerators():
    """By memory, type and how far they can be trusted."""
    large = names("accelerator", memory=100e9, type="gpu")
    assert "nvidia-h200-sxm" in large
    assert not {"nvidia-h100-sxm", "apple-m2-ultra"} & set(large)
    assert all(catalog.accelerator(name).memory >= 100e9 for name in large)
    fitted = names("accelerator", confidence="fitted")
    assert "nvidia-a100-80gb-sxm" in fitted
    assert "jetson-agx-orin" not in fitted
    assert names("accelerator", family="llama-3") == []


def test_filters_for_llms():
    """By family, and by the memory that their weights take."""
    assert "llama-3.1-8b" in names("llm", family="llama-3")
    assert {catalog.llm(name).family for name in names("llm", family="llama-3")} == {"llama-3"}
    small = names("llm", memory=3e9)
    assert "llama-3.2-1b" in small
    assert all(work.weights_bytes(catalog.llm(name)) <= 3e9 for name in small)
    assert names("llm", type="gpu") == []


def test_what_fits_and_in_which_format():
    """LLMs for an accelerator, accelerators for an LLM; the most precise format that leaves room."""
    head, rows = catalogue.listed("llm", Filters(fits="nvidia-l4"))
    formats = {row[0]: row[-1] for row in rows}
    assert head[-1] == "in"
    assert formats["llama-3.1-8b"] == "bf16"
    assert formats["qwen2.5-14b"] == "fp8"
    assert formats["qwen2.5-32b"] == "int4"
    assert "llama-3.1-70b" not in formats
    holders = names("accelerator", fits="llama-3.1-70b")
    assert {"nvidia-h200-sxm", "nvidia-a100-80gb-sxm"} <= set(holders)
    assert "nvidia-l4" not in holders


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"type": "gppu"}, "no type named 'gppu'; did you mean 'gpu'"),
        ({"family": "lama-3"}, "no family named 'lama-3'; did you mean 'llama-3'"),
        ({"confidence": "fited"}, "no mark named 'fited'; did you mean 'fitted'"),
        ({"fits": "nvidia-l5"}, "no catalogue entry named 'nvidia-l5'; did you mean 'nvidia-l4'"),
    ],
)
def test_words_that_no_entry_bears_are_refused(filters, expected):
    """A misspelt filter is not an empty list."""
    with pytest.raises(UnknownNameError, match=expected):
        catalogue.kinds(None, Filters(**filters))
    with pytest.raises(UnknownNameError, match="no kind of entry named 'llms'; did you mean 'llm'"):
        catalogue.kinds("llms", Filters())


def test_filters_choose_the_kinds_they_are_about():
    """`--family` alone lists LLMs only."""
    assert catalogue.kinds(None, Filters()) == catalogue.KINDS
    assert catalogue.kinds(None, Filters(family="llama-3")) == ("llm",)
    assert catalogue.kinds(None, Filters(fits="nvidia-l4")) == ("llm",)
    assert catalogue.kinds(None, Filters(fits="llama-3.1-8b")) == ("accelerator",)
    assert catalogue.kinds(None, Filters(memory=1e9)) == ("accelerator", "llm")


def test_lists_as_plain_numbers():
    """SI, nothing rounded, with what the figures come to."""
    (found,) = [
        e for e in catalogue.listed_plain("llm", Filters(family="llama-3")) if e["name"] == "llama-3.1-8b"
    ]
    llm = catalog.llm("llama-3.1-8b")
    assert found["params"] == llm.params
    assert found["kv_bytes_per_token"] == 131_072
    assert found["weights_bytes"]["int4"] == work.weights_bytes(llm, "int4")
    assert found["flops_per_token"] == work.token_flops(llm) + work.head_flops(llm)
    json.dumps(found)


def test_about_an_llm():
    """Other names, siblings with their score, sizes."""
    told = dict(catalogue.about("llama-3.1-minitron-4b-width"))
    assert told["made from"] == "llama-3.1-8b"
    assert "llama-3.1-8b (0.694)" in told["family"]
    assert "int4" in told["weights"]


def test_search():
    """Exact names first, then parts of names, titles and aliases; every kind."""
    assert catalogue.found("NVIDIA H100 80GB HBM3")[0][:2] == ("accelerator", "nvidia-h100-sxm")
    assert {row[1] for row in catalogue.found("grace hopper")} == {"nvidia-gh200"}
    assert ("link kind", "wifi-6", catalog.link("wifi-6").title) in catalogue.found("wifi")
    with pytest.raises(UnknownNameError, match="did you mean 'nvidia-l4'"):
        catalogue.found("nvidia-l5")


def test_an_llm_is_shown_with_its_variants():
    """Bytes, work, how much faster at most, and quality of each; formats with no fewer bits are none."""
    rows = {row[0]: row for row in catalogue.varied("llama-3.1-8b")}
    assert rows["int4"][2:] == ("4.27 GB", "15 G", "3.76 x", "1.00 x", "0.686", "measured")
    assert rows["pruned-depth-25"][-1] == "measured on others"
    assert rows["pruned-2-4-tuned"][1:5] == ("sparse", "9.95 GB", "15 G", "1.69 x")
    assert rows["pruned-depth-25"][3:6] == ("11.5 G", "1.30 x", "1.33 x")
    assert rows["tied-2"][2:6] == ("9.08 GB", "15 G", "1.00 x", "1.00 x")
    assert not {"layer-sharing", "int4-rounded"} & set(rows)
    assert not {"fp8", "int8", "mxfp4"} & {row[0] for row in catalogue.varied("gpt-oss-20b")}
    assert {row[6] for row in catalogue.varied("bert-base")} == {"-"}
    assert catalogue.varied("nvidia-l4") == []
    assert ("students", "llama-3.1-minitron-4b-width (0.605), llama-3.1-minitron-4b-depth (0.587)") in (
        catalogue.about("llama-3.1-8b")
    )
    plain = catalogue.shown_plain("llama-3.1-8b")
    assert plain["students"] == ["llama-3.1-minitron-4b-width", "llama-3.1-minitron-4b-depth"]
    assert {one["variant"]: one["weights_bytes"] for one in plain["variants"]}[
        "int8@llama-3.1-8b"
    ] == 8_030_257_152


def test_a_variant_is_shown_on_its_llm_or_on_an_example():
    """What its figures come to."""
    assert ("llama-3.1-8b: decode by bytes", "1.69 x") in catalogue.about("pruned-2-4")
    assert ("mobilellm-125m: decode by bytes", "0.54 x") in catalogue.about("layer-sharing@mobilellm-125m")
    assert catalogue.shown_plain("layer-sharing@mobilellm-125m")["of"] == "mobilellm-125m"
    head, rows = catalogue.listed("variant", Filters(confidence="unverified"))
    assert head == ("variant", "technique", "weights", "FLOPs", "decode by bytes", "quality", "trust")
    assert {row[0] for row in rows} >= {"tied-2", "lora-8", "q4_0"}
    assert ("tied-2", "tied", "0.57 x", "1.00 x", "1.00 x", "0.850 x", "unverified") in rows
