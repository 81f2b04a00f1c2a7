"""Scenarios show themselves in notebooks."""

from __future__ import annotations

import re

import pytest

import edgesim
from edgesim.scenario.card import TIMES
from edgesim.scenario.template import packaged


def rows(page):
    """The cells of every row of every table."""
    return [re.findall("<t[hd][^>]*>(.*?)</t[hd]>", row) for row in re.findall("<tr>(.*?)</tr>", page)]


def test_the_quickstart_is_told_by_its_parts():
    """Nodes with what they serve and ask, links, workloads, policies, objectives."""
    found = rows(edgesim.load_scenario("quickstart")._repr_html_())
    assert [
        "device",
        f"phone {TIMES} 200",
        "snapdragon-8-gen3",
        "llama-3.2-1b int4, max num seqs 1, serves own",
        "chat",
        "",
    ] in found
    assert [
        "cloud",
        "cloud",
        f"2 {TIMES} nvidia-h100-sxm",
        "llama-3.1-70b fp8, tensor parallel 2",
        "",
        "",
    ] in found
    assert ["edge \N{EN DASH} cloud", "fibre", "10 ms", "1 Gbit/s", ""] in found
    assert ["router", "threshold-offload", "max queue 1"] in [row[:3] for row in found]
    assert ["ttft", "p95 1 s"] in found


@pytest.mark.parametrize("name", packaged())
def test_every_shipped_scenario_names_all_its_groups(name):
    """Nothing of a scenario is left out."""
    scenario = edgesim.load_scenario(name)
    page = scenario._repr_html_()
    first = {cell.split(f" {TIMES} ")[0] for row in rows(page) for cell in row}
    assert {*scenario.topology.nodes, *scenario.workloads} <= first


def test_text_cannot_break_the_page(tmp_path):
    """What is written in a scenario is shown, not obeyed."""
    file = tmp_path / "<b>.csv"
    file.write_text("1,1\n2,1\n")
    law = f"workloads.chat.prompt_tokens={{kind: empirical, path: '{file}'}}"
    page = edgesim.load_scenario("quickstart", [law])._repr_html_()
    assert "&lt;b&gt;.csv" in page
    assert "<b>.csv" not in page
