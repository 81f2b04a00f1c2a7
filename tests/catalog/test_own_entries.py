"""Accelerators and LLMs that a scenario defines itself."""

from __future__ import annotations

import pytest

from edgesim import catalog
from edgesim.errors import UnitError
from edgesim.registry import UnknownNameError


def test_an_accelerator_like_another_keeps_what_it_does_not_override():
    """`like` fills everything in; own figures are marked as given by the scenario."""
    mine = catalog.accelerator_from("my-l4", {"like": "nvidia-l4", "memory": "48 GB", "price": "0.5 $/h"})
    base = catalog.accelerator("nvidia-l4")
    assert (mine.name, mine.memory, mine.price, mine.kind) == ("my-l4", 48e9, 0.5, "gpu")
    assert mine.fp16 == base.fp16
    assert mine.figures["memory"].confidence == catalog.GIVEN
    assert base.memory != 48e9


def test_figures_may_be_written_with_units():
    """Text is read by the same readers as the rest of a scenario."""
    mine = catalog.accelerator_from(
        "x",
        {
            "like": "nvidia-l4",
            "memory": "48 GB",
            "memory_bandwidth": "600 GB/s",
            "tdp_w": "0.1 kW",
            "fp16": "200 TFLOP/s",
        },
    )
    assert (mine.memory, mine.memory_bandwidth, mine.tdp_w, mine.fp16) == (48e9, 600e9, 100.0, 200e12)
    with pytest.raises(UnitError):
        catalog.accelerator_from("x", {"like": "nvidia-l4", "memory": "48 W"})
    with pytest.raises(UnitError, match="has no unit"):
        catalog.accelerator_from("x", {"like": "nvidia-l4", "memory": 48})


def test_an_accelerator_from_figures_alone_takes_its_class_for_the_rest():
    """Efficiencies come from the class of the kind; peaks, memory and power have to be given."""
    figures = {"kind": "npu", "fp16": "10 TFLOP/s", "memory": "16 GB", "memory_bandwidth": "100 GB/s"}
    figures |= {"idle_w": "1 W", "tdp_w": "10 W"}
    mine = catalog.accelerator_from("new-npu", figures)
    assert mine.compute_efficiency == catalog.accelerator("snapdragon-8-elite").compute_efficiency
    assert mine.price == 0
    del figures["tdp_w"]
    with pytest.raises(catalog.MissingFiguresError, match="'new-npu' lacks tdp_w"):
        catalog.accelerator_from("new-npu", figures)


def test_an_llm_like_another():
    """Architecture numbers are overridden one by one, parts as a whole."""
    mine = catalog.llm_from("wide", {"like": "mixtral-8x7b", "context": 65536})
    assert (mine.context, mine.moe.experts) == (65536, 8)
    sliding = catalog.llm_from(
        "sliding", {"like": "llama-3.1-8b", "window": {"size": 1024, "local_layers": 24}}
    )
    assert sliding.window == catalog.Window(1024, 24)


def test_an_llm_from_too_few_numbers_says_which_are_missing():
    """Nothing is guessed about an architecture."""
    with pytest.raises(catalog.MissingFiguresError, match="lacks hidden, heads"):
        catalog.llm_from("mine", {"layers": 10})


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"like": "nvidia-l5"}, "no accelerator named 'nvidia-l5'; did you mean 'nvidia-l4'"),
        (
            {"like": "nvidia-l4", "memry": "1 GB"},
            "no accelerator figure named 'memry'; did you mean 'memory'",
        ),
    ],
)
def test_misspelt_keys_get_suggestions(entry, expected):
    """Both the entry it is like and its own keys are checked."""
    with pytest.raises(UnknownNameError, match=expected):
        catalog.accelerator_from("x", entry)


def test_misspelt_parts_of_an_llm_get_suggestions():
    """Nested parts are checked as well."""
    with pytest.raises(UnknownNameError, match="did you mean 'size'"):
        catalog.llm_from("x", {"like": "llama-3-8b", "window": {"sise": 4, "local_layers": 2}})


@pytest.mark.parametrize(
    ("build", "entry", "expected"),
    [
        (catalog.accelerator_from, {"like": "nvidia-l4", "memory": "0 GB"}, "memory must be more than 0"),
        (catalog.accelerator_from, {"like": "nvidia-l4", "memory_efficiency": "150 %"}, "at most 100 %"),
        (catalog.llm_from, {"like": "llama-3-8b", "layers": 2.5}, "layers must be a whole number"),
        (catalog.llm_from, {"like": "llama-3-8b", "layers": "many"}, "layers must be a whole number"),
    ],
)
def test_impossible_figures_are_refused(build, entry, expected):
    """No hardware beats its peak, and layers are counted."""
    with pytest.raises(ValueError, match=expected):
        build("x", entry)
