"""What a scenario says about its devices: clocks, memory, heat; and what is refused, with its place."""

from __future__ import annotations

import json

import pytest

from edgesim import catalog
from edgesim.scenario import load

EDGE = "edge:  {tier: edge, accelerator: nvidia-l4"


def test_a_node_names_a_power_mode_and_a_frequency(changed):
    """What the node's accelerator is set to reaches whoever asks for it, and survives being written out."""
    found = load(
        changed((EDGE, "edge: {tier: edge, accelerator: jetson-agx-orin, power_mode: 30W, frequency: 80 %"))
    )
    assert found.machine(found.deployments[1]).setting == "30W, 80 % of its frequency"
    assert found.machine(found.deployments[1]).fp16 == pytest.approx(43e12 * 0.24 * 0.8)
    assert found.machine(found.deployments[2]) == catalog.accelerator("nvidia-h100-sxm")
    assert "power_mode: 30W" in found.resolved_yaml()
    again = changed(("", ""))
    again.write_text(found.resolved_yaml(), encoding="utf-8")
    assert load(again) == found


def test_power_modes_of_ones_own(changed, example):
    """An accelerator of a scenario lists its modes with units."""
    own = (
        "accelerators:\n  mine:\n    like: nvidia-l4\n    frequency_exponent: 2\n"
        "    power_modes: {eco: {compute: 60 %, memory: 120 %, tdp_w: 40 W, idle_w: 9 W}}\n"
    )
    found = load(
        changed(
            (EDGE, "edge: {tier: edge, accelerator: mine, power_mode: eco"),
            ("deployments:", own + "deployments:"),
        )
    )
    eco = found.machine(found.deployments[1])
    assert (eco.tdp_w, eco.idle_w, eco.setting) == (40.0, 9.0, "eco")
    assert eco.int8 == pytest.approx(242e12 * 0.6)
    assert eco.memory_bandwidth == pytest.approx(300e9 * 1.2)


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        ("power_mode: 15W", "topology.nodes.edge.power_mode: nvidia-l4 has no power mode '15W'"),
        (
            "frequency: 0 %",
            "topology.nodes.edge.frequency: 'frequency' must be more than 0 % and at most 100 %",
        ),
        (
            "frequency: 130 %",
            "topology.nodes.edge.frequency: 'frequency' must be more than 0 % and at most 100 %",
        ),
        ("frequency: 1.2 GHz", "topology.nodes.edge.frequency: '1.2 GHz' is not a share; write e.g. '90 %'"),
    ],
)
def test_settings_that_cannot_be(changed, complaints, node, expected):
    (found,) = complaints(changed((EDGE, f"{EDGE}, {node}")))
    assert found.split("  ", 1)[1] == expected


def test_a_power_mode_is_guessed(changed, complaint):
    """A near miss is suggested; where there is none, what there is."""
    nano = "edge: {tier: edge, accelerator: jetson-orin-nano, power_mode: 'W'"
    assert "help: it has 7W, 15W, 25W, MAXN" in complaint(changed((EDGE, nano.replace("'W'", "x"))))
    assert "did you mean '25W'?" in complaint(changed((EDGE, nano.replace("'W'", "25 W"))))


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (
            "{eco: {compte: 60 %}}",
            "cannot be used: power_modes.eco has no key 'compte'; did you mean 'compute'?",
        ),
        ("{eco: {tdp_w: 40}}", "cannot be used: power_modes.eco.tdp_w: 40 has no unit; write e.g. '65 W'"),
        ("{eco: {memory: 0 %}}", "cannot be used: power_modes.eco.memory must be more than 0"),
        ("fast", "cannot be used: power_modes must be a mapping of names to figures"),
        ("{eco: fast}", "cannot be used: power_modes.eco must be a mapping of names to figures"),
    ],
)
def test_power_modes_that_cannot_be(changed, complaints, entry, expected):
    own = f"accelerators:\n  mine: {{like: nvidia-l4, power_modes: {entry}}}\n"
    (found,) = complaints(
        changed(
            (EDGE, "edge: {tier: edge, accelerator: mine, power_mode: eco"),
            ("deployments:", own + "deployments:"),
        )
    )
    assert found.split("  ", 1)[1] == f"accelerators.mine.power_modes: {expected}"


def test_measured_times_hold_at_nominal_clocks(changed, complaints, tmp_path):
    """A profile was measured at one clock; another is refused where it is set."""
    profile = {
        "format": "edgesim profile 1", "accelerator": "nvidia-l4", "llm": "llama-3.1-8b", "weights": "int8",
        "engine": "x", "source": "made up", "tokens": [1, 2], "linear": [1e-3, 1e-3], "sequences": [1, 2],
        "head": [0.0, 0.0], "decode_sequences": [1, 2], "decode_contexts": [1, 2], "decode": [[0.0, 0.0]] * 2,
        "chunks": [1, 2], "pasts": [0, 1], "mixed_sequences": [0, 1], "mixed_contexts": [1, 2],
        "mixed": [[[[0.0, 0.0]] * 2] * 2] * 2,
    }  # fmt: skip
    path = changed(
        (EDGE, f"{EDGE}, frequency: 80 %"), ("on: edge}", "on: edge, costs: {kind: profile, path: p.json}}")
    )
    (tmp_path / "p.json").write_text(json.dumps(profile), encoding="utf-8")
    (found,) = complaints(path)
    assert found.endswith(
        "topology.nodes.edge.frequency: 'edge' runs a deployment with measured times, which hold at nominal clocks"
    )


def test_heat_is_off_unless_a_node_says_so(changed):
    """`true` takes the catalogue's figures, `false` is as good as nothing, a mapping lays its own over them."""
    phone = "accelerator: snapdragon-8-gen3"
    assert load(changed(("", ""))).topology.nodes["phone"].thermal is None
    assert load(changed((phone, f"{phone}, thermal: false"))).topology.nodes["phone"].thermal is None
    on = load(changed((phone, f"{phone}, thermal: true")))
    gen3 = catalog.accelerator("snapdragon-8-gen3")
    assert on.topology.nodes["phone"].thermal.figures(gen3) == gen3.thermal
    again = changed(("", ""))
    again.write_text(on.resolved_yaml(), encoding="utf-8")
    assert load(again) == on
    own = load(
        changed((phone, f"{phone}, thermal: {{ambient: -5 degC, throttle_at: 50 degC, resistance: 4 K/W}}"))
    )
    thermal = own.topology.nodes["phone"].thermal
    assert thermal.ambient == -5
    assert thermal.figures(gen3) == catalog.Thermal(4.0, 40.0, 50.0, 80.0, 0.3)


def test_heat_from_figures_alone(changed):
    """Three figures are enough where the catalogue has none; the slowest clock is 30 %, 10 K further."""
    own = "thermal: {resistance: 0.1 K/W, capacity: 1.5 kJ/K, throttle_at: 83 °C}"
    found = load(changed((EDGE, f"{EDGE}, {own}")))
    figures = found.topology.nodes["edge"].thermal.figures(catalog.accelerator("nvidia-l4"))
    assert figures == catalog.Thermal(0.1, 1500.0, 83.0, 93.0, 0.3)


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        ("thermal: true", "thermal: the catalogue does not know how nvidia-l4 warms up"),
        ("thermal: hot", "thermal: 'hot' is not a mapping of keys to values"),
        ("thermal: {resistence: 1 K/W}", "thermal.resistence: unknown key; did you mean 'resistance'?"),
        ("thermal: {resistance: 1}", "thermal.resistance: 1 has no unit; write e.g. '8 K/W'"),
        ("thermal: {resistance: 0 K/W}", "thermal.resistance: '0 K/W' is too small; a thermal resistance must be more than 0 here"),
        ("thermal: {ambient: 300 K}", "thermal.ambient: '300 K' is not a temperature; write e.g. '25 degC'"),
        ("thermal: {ambient: -280 degC}", "thermal.ambient: '-280 degC' is too small; a temperature must be more than -273.15 here"),
        ("thermal: {slowest: 0 %}", "thermal.slowest: 'slowest' must be more than 0 % and at most 100 %"),
        (
            "thermal: {resistance: 1 K/W, capacity: 1 J/K, throttle_at: 80 degC, slowest_at: 70 degC}",
            "thermal.slowest_at: 'slowest_at' must be above 'throttle_at', which is 80 degC",
        ),
    ],
)  # fmt: skip
def test_heat_that_cannot_be(changed, complaints, node, expected):
    (found,) = complaints(changed((EDGE, f"{EDGE}, {node}")))
    assert found.split("  ", 1)[1] == f"topology.nodes.edge.{expected}"


def test_heat_says_what_it_needs(changed, complaint):
    """The next step is written out."""
    report = complaint(changed((EDGE, f"{EDGE}, thermal: {{capacity: 60 J/K}}")))
    assert "help: write e.g. thermal: {resistance: 8 K/W, throttle_at: 45 degC}" in report
    report = complaint(
        changed(
            ("accelerator: snapdragon-8-gen3", "thermal: true"),
            ("  - {llm: llama-3.2-1b, weights: int4, on: phone}\n", ""),
        )
    )
    assert "node 'phone' has no accelerator that could warm up" in report


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("{resistance: 1 K/W}", "cannot be used: thermal lacks capacity, throttle_at, slowest_at, slowest"),
        (
            "{resistance: 1 K/W, capacity: 1, throttle_at: 1 degC, slowest_at: 2 degC, slowest: 30 %}",
            "cannot be used: thermal.capacity: 1 has no unit; write e.g. '60 J/K'",
        ),
    ],
)
def test_thermal_figures_of_ones_own_are_complete(changed, complaints, entry, expected):
    own = f"accelerators:\n  mine: {{like: nvidia-l4, thermal: {entry}}}\n"
    (found,) = complaints(
        changed((EDGE, "edge:  {tier: edge, accelerator: mine"), ("deployments:", own + "deployments:"))
    )
    assert found.split("  ", 1)[1] == f"accelerators.mine.thermal: {expected}"


BIG = ("{llm: llama-3.2-1b, weights: int4, on: phone}", "{llm: llama-3.1-8b, on: phone%s}")


def test_weights_may_be_paged(changed, complaint):
    """What does not fit is refused, and paging offered; a deployment that says so is taken."""
    refused = complaint(changed((BIG[0], BIG[1] % "")))
    assert "or paging: true (the rest is then read from storage in each step)" in refused
    found = load(changed((BIG[0], BIG[1] % ", paging: true")))
    assert found.deployments[0].paging
    assert found.machine(found.deployments[0]).storage_bandwidth == 2e9
    phone = "accelerator: snapdragon-8-gen3"
    found = load(
        changed((BIG[0], BIG[1] % ", paging: true"), (phone, f"{phone}, storage_bandwidth: 500 MB/s"))
    )
    assert found.machine(found.deployments[0]).storage_bandwidth == 5e8


def test_paging_that_cannot_be(changed, complaints, tmp_path):
    """It needs the rate of storage, a switch, and costs that can follow."""
    seventy = ("llama-3.1-8b, weights: int8, on: edge", "llama-3.1-70b, on: edge, paging: true")
    (found,) = complaints(changed(seventy))
    assert found.endswith("deployments[1].paging: it is not known how fast 'edge' reads its storage")
    (found,) = complaints(changed((BIG[0], BIG[1] % ", paging: 3")))
    assert ".paging: " in found
    profile = ("on: edge}", "on: edge, paging: true, costs: {kind: profile, path: p.json}}")
    (tmp_path / "p.json").write_text("{}", encoding="utf-8")
    found = complaints(changed(profile, (EDGE, f"{EDGE}, storage_bandwidth: 2 GB/s")))
    assert any(
        text.endswith("deployments[1].paging: measured times know nothing of paging") for text in found
    )


def test_memory_that_is_shared_with_others(changed, complaint):
    """A node says how much of the memory there is for LLMs, and what the system keeps of that."""
    phone = "accelerator: snapdragon-8-gen3"
    shared = (phone, f"{phone}, available_memory: 8 GB, reserved_memory: 2.5 GB")
    found = load(changed(shared))
    device = found.machine(found.deployments[0])
    assert (device.memory, device.runtime_memory) == (8e9, 2.5e9)
    report = complaint(changed(shared, (BIG[0], BIG[1] % ", weights: int8")))
    assert "node 'phone' offers 1 x 8.0 GB (snapdragon-8-gen3)" in report


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        ("available_memory: 2 GB, reserved_memory: 3 GB", "reserved_memory: 'reserved_memory' leaves nothing of 'available_memory'"),
        ("available_memory: 2 GHz", "available_memory: '2 GHz' is not a size; write e.g. '16 GiB'"),
    ],
)  # fmt: skip
def test_memory_that_cannot_be(changed, complaints, node, expected):
    (found,) = complaints(changed((EDGE, f"{EDGE}, {node}")))
    assert found.split("  ", 1)[1] == f"topology.nodes.edge.{expected}"
