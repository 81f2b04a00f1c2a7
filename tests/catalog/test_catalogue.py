"""The packaged catalogue: complete, sourced, quick to read, and kind to misspellers."""

from __future__ import annotations

import math
import subprocess
import sys
import time

import pytest

from edgesim import catalog
from edgesim.catalog import load
from edgesim.catalog.figures import UnsourcedFigureError, figures_of
from edgesim.registry import UnknownNameError

FIND = {
    "accelerator": catalog.accelerator,
    "engine": catalog.engine,
    "llm": catalog.llm,
    "link kind": catalog.link,
    "grid": catalog.grid,
    "workload template": catalog.template,
}
KINDS = tuple(FIND)
KEYS = {
    "title",
    "kind",
    "architecture",
    "aliases",
    "family",
    "teacher",
    "like",
    "figures",
    "workload",
    "reaches",
}
ENTRIES = [(kind, name) for kind in KINDS for name in catalog.names(kind)]


@pytest.mark.parametrize("kind", KINDS)
def test_every_group_of_figures_states_source_and_confidence(kind):
    """Each figure of each entry, classes included, says where it comes from and how far it can be trusted."""
    for name, entry in load._entries(kind).items():
        assert entry["title"], name
        assert set(entry) <= KEYS, name
        own = figures_of(entry.get("figures", ()), name)
        for field, figure in own.items():
            assert figure.entry == name
            assert len(figure.source) >= 8, (name, field)
            assert figure.confidence in {"measured", "fitted", "datasheet", "unverified"}, (name, field)


@pytest.mark.parametrize(
    ("group", "complaint"),
    [
        ({"confidence": "datasheet", "values": {"fp16": 1.0}}, "fp16: no source"),
        ({"source": "", "confidence": "datasheet", "values": {"fp16": 1.0}}, "fp16: no source"),
        (
            {"source": "a data sheet", "values": {"fp16": 1.0, "int8": 2.0}},
            "fp16, int8: confidence is one of",
        ),
        (
            {"source": "a data sheet", "confidence": "certain", "values": {"fp16": 1.0}},
            "confidence is one of",
        ),
        (
            {"source": "a data sheet", "confidence": "datasheet", "fp16": 1.0},
            "'source', 'confidence' and 'values'",
        ),
        (
            {"source": "a data sheet", "confidence": "datasheet", "values": {}},
            "'source', 'confidence' and 'values'",
        ),
    ],
)
def test_a_figure_without_source_or_mark_is_refused(group, complaint):
    """The catalogue cannot be read with a figure of unknown origin."""
    with pytest.raises(UnsourcedFigureError, match=f"entry 'new'.*{complaint}"):
        figures_of([group], "new")


@pytest.mark.parametrize("kind", KINDS)
def test_memory_is_not_called_knowledge(kind):
    """A source that is somebody's memory or a guess is marked unverified."""
    for name, entry in load._entries(kind).items():
        for group in entry["figures"]:
            if any(
                word in group["source"]
                for word in ("from memory", "no published", "plausible", "typical", "guess")
            ):
                assert group["confidence"] == "unverified", (name, group["source"])


@pytest.mark.parametrize(("kind", "name"), ENTRIES)
def test_every_entry_loads_with_a_figure_for_each_number(kind, name):
    """Nothing is missing, nothing unknown, and every number of an entry has its figure."""
    entry = FIND[kind](name)
    assert entry.name == name
    assert entry.figures
    if kind == "accelerator":
        numbers = {key for key, value in vars(entry).items() if isinstance(value, (int, float)) and value}
        assert numbers <= set(entry.figures)


def test_the_catalogue_is_broad():
    """Phones to data centres, dense to latent attention."""
    assert len(catalog.accelerators()) >= 250
    assert len(catalog.llms()) >= 90
    assert {"gpu", "npu", "tpu", "cpu", "soc", "fpga", "asic"} <= {
        item.kind for item in catalog.accelerators().values()
    }
    llms = catalog.llms().values()
    assert all(
        any(getattr(item, part) for item in llms)
        for part in ("moe", "mla", "window", "vision", "encoder_only")
    )
    assert {"ethernet-lan", "wifi-5", "wifi-6", "lte", "5g", "fibre"} <= set(catalog.names("link kind"))


def test_families_have_members_and_teachers_exist():
    """Every LLM has siblings or stands alone by name; what it was made from is in the catalogue, and no smaller."""
    for llm in catalog.llms().values():
        assert llm.family, llm.name
        if llm.teacher:
            assert catalog.llm(llm.teacher).params > llm.params


def test_quality_is_a_share_of_right_answers():
    """All LLMs that answer at all have a score, between guessing and perfection, each with its source."""
    for llm in catalog.llms().values():
        if llm.encoder_only:
            assert llm.quality == 1.0
            continue
        assert 0.24 < llm.quality < 0.95, llm.name
        assert "MMLU" in llm.figures["quality"].source


@pytest.mark.parametrize("name", catalog.names("accelerator"))
def test_accelerators_are_physical(name):
    """Efficiencies are shares, idle power is below the limit, lower precision is never slower."""
    item = catalog.accelerator(name)
    for key in ("compute_efficiency", "memory_efficiency", "attention_efficiency", "quantised_efficiency"):
        assert 0 < getattr(item, key) <= 1
    assert 0 < item.idle_w <= item.base_power * item.tdp_w + 1e-9 or item.idle_w <= item.tdp_w
    assert item.idle_w < item.tdp_w
    assert item.memory > item.runtime_memory >= 0
    for dtype in ("fp8", "int8", "int4"):
        assert not getattr(item, dtype) or getattr(item, dtype) >= item.fp16


@pytest.mark.parametrize("name", catalog.names("link kind"))
def test_links_are_physical(name):
    """Nothing is free or instant, and averages are not below margins."""
    link = catalog.link(name)
    assert min(link.latency, link.bandwidth_up, link.bandwidth_down, link.overhead) > 0
    assert link.attributional >= 0.5 * max(link.energy_up, link.energy_down) > 0
    assert link.half_duplex <= link.shared


def test_the_conversation_template_meets_its_stated_statistics():
    """The lognormal of the template has the trace's mean and standard deviation, before it is cut."""
    found = catalog.template("azure-2023-conversation")
    for word in ("prompt", "output"):
        length = found.workload[f"{word}_tokens"]
        sigma = math.log(length["p95"] / length["median"]) / 1.6448536
        mean = length["median"] * math.exp(sigma**2 / 2)
        deviation = mean * math.sqrt(math.exp(sigma**2) - 1)
        assert mean == pytest.approx(found.figures[f"{word}_mean"].value, rel=0.01)
        assert deviation == pytest.approx(found.figures[f"{word}_std"].value, rel=0.01)


@pytest.mark.parametrize("kind", KINDS)
def test_a_misspelt_name_gets_a_suggestion(kind):
    """The error names the kind and the nearest entry."""
    name = catalog.names(kind)[0]
    with pytest.raises(UnknownNameError, match=f"no {kind} named .*; did you mean"):
        FIND[kind](name[:-1] + "_" if len(name) < 3 else name[:-1])


def test_classes_cannot_be_deployed():
    """Underscored entries are building blocks only."""
    with pytest.raises(UnknownNameError):
        catalog.accelerator("_jetson")
    assert not [name for name in catalog.names("accelerator") if name.startswith("_")]


def test_unknown_sections_are_named():
    """A kind that the catalogue does not have is refused."""
    with pytest.raises(UnknownNameError, match="catalogue section"):
        catalog.names("accelerators")


def test_the_whole_catalogue_loads_within_its_budget():
    """All files are read and built in under a tenth of a second of CPU, without numpy or pydantic."""
    code = (
        "import sys, time; from edgesim import catalog as c; t = time.process_time();"
        "c.accelerators(); c.llms();"
        "rest = {'link kind': c.link, 'grid': c.grid, 'workload template': c.template};"
        "[find(name) for kind, find in rest.items() for name in c.names(kind)];"
        "print(time.process_time() - t, 'numpy' in sys.modules, 'pydantic' in sys.modules)"
    )
    best = 1.0
    for _ in range(3):
        spent, *heavy = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.split()
        assert heavy == ["False", "False"]
        best = min(best, float(spent))
        time.sleep(0.01)
    assert best < 0.1
