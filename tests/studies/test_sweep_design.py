"""The points of a sweep: what is written, what is meant, and what is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgesim.errors import ScenarioError
from edgesim.scenario import json_schema, load
from edgesim.studies.design import column, label, short_names
from edgesim.studies.sweep_points import Prepared, check, prepare

RATE = "workloads.chat.arrivals.rate"
BASE: dict[str, Any] = {
    "scenario": {"name": "tiny", "seed": 3, "duration": "3 s"},
    "topology": {"nodes": {"edge": {"tier": "edge", "count": 2, "accelerator": "nvidia-l4"}}},
    "deployments": [{"llm": "llama-3.2-1b", "on": "edge"}],
    "workloads": {
        "chat": {
            "from": "edge",
            "arrivals": {"kind": "poisson", "rate": "1/s"},
            "prompt_tokens": 50,
            "output_tokens": 5,
        }
    },
}


def of(sweep: Any, **more: Any) -> Prepared:
    return prepare({**BASE, "sweep": sweep}, **more)


def told(sweep: Any, folder: Path, **more: Any) -> str:
    """What is wrong with a sweep in a file."""
    import yaml

    path = folder / "bad.yaml"
    text = yaml.safe_dump(BASE) + f"sweep: {sweep}\n"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ScenarioError) as caught:
        prepare(str(path), **more)
    return str(caught.value)


def test_a_grid_is_every_combination() -> None:
    """The last key changes fastest."""
    found = of({"grid": {"policies.router": ["random", "nearest"], RATE: ["1/s", "2/s", "30/min"]}})
    assert found.keys == ["policies.router", RATE]
    assert [row[0] for row in found.values] == ["random"] * 3 + ["nearest"] * 3
    assert found.columns[RATE] == [1.0, 2.0, 0.5] * 2
    assert found.units == {"policies.router": "", RATE: "1/s"}
    assert found.settings[4].label == "router=nearest, rate=2/s"


def test_lists_that_go_together_and_points_one_by_one() -> None:
    """Every point of one way meets every point of the others; a key that a point leaves alone is the scenario's."""
    found = of(
        {
            "zip": {RATE: ["1/s", "2/s"], "topology.nodes.edge.count": [1, 3]},
            "list": [
                {"scenario.seed": 7},
                {"policies.router": {"kind": "threshold-offload", "max_queue": 2}},
            ],
        }
    )
    assert list(zip(found.columns[RATE], found.columns["topology.nodes.edge.count"], strict=True)) == [
        (1.0, 1), (1.0, 1), (2.0, 3), (2.0, 3),
    ]  # fmt: skip
    assert found.columns["scenario.seed"] == [7, 3, 7, 3]
    assert found.columns["policies.router"] == [None, "threshold-offload (max_queue: 2)"] * 2


def test_samples_fill_the_space() -> None:
    """Each of ten slices of a Latin hypercube has one point; whole numbers reach both ends; seeds matter."""
    over = {
        RATE: {"from": "1/s", "to": "100/s", "scale": "log"},
        "workloads.chat.output_tokens": {"from": 1, "to": 10},
    }
    found = of({"latin_hypercube": {"points": 10, "over": over}})
    slices = np.floor(np.log10(found.columns[RATE]) / 2 * 10).astype(int)
    assert sorted(slices) == list(range(10))
    assert sorted(found.columns["workloads.chat.output_tokens"]) == list(range(1, 11))
    again = of({"latin_hypercube": {"points": 10, "over": over}})
    other = of({"latin_hypercube": {"points": 10, "seed": 1, "over": over}})
    assert again.columns == found.columns != other.columns


def test_sobol_points_are_even_and_may_choose() -> None:
    """Of sixteen points each quarter of a range, and each of four choices, has four."""
    over = {
        "scenario.duration": {"from": "2 s", "to": "6 s"},
        "policies.router": ["random", "nearest", "oracle", "round-robin"],
    }
    found = of({"sobol": {"points": 16, "over": over}})
    durations = np.array(found.columns["scenario.duration"])
    assert np.histogram(durations, bins=[2, 3, 4, 5, 6])[0].tolist() == [4, 4, 4, 4]
    assert {found.columns["policies.router"].count(name) for name in over["policies.router"]} == {4}
    assert found.units["scenario.duration"] == "s"


def test_over_stands_for_the_section() -> None:
    """From Python as a mapping, from the command line as text, where values may be mappings, too."""
    sweep = {"grid": {RATE: ["9/s"]}, "keep": "requests"}
    plain = of(sweep, over={RATE: ["1/s", "2/s"]})
    written = of(sweep, over=[f"{RATE}=1/s,2/s"])
    assert plain.columns == written.columns
    assert plain.keep == written.keep == "requests"
    chosen = of(sweep, over=["policies.router=nearest,{kind: threshold-offload, max_queue: 2}"])
    assert chosen.columns["policies.router"] == ["nearest", "threshold-offload (max_queue: 2)"]
    assert of(sweep, over={RATE: ["1/s"]}, keep="summary").keep == "summary"


@pytest.mark.parametrize(
    ("sweep", "expected"),
    [
        ("{grd: {}}", "unknown key; did you mean 'grid'?"),
        ("{}", "this sweeps over nothing"),
        ("{grid: {scenario.seed: []}}", "no values; write a list of at least one"),
        ("{grid: {scenario.seed: 1}}", "1 is not a list"),
        ("{grid: {plugins: [[a.py]]}}", "'plugins' cannot be swept; all points share it"),
        ("{zip: {scenario.seed: [1, 2], scenario.duration: [1 s]}}", "equally long, not 2 and 1"),
        ("{grid: {scenario.seed: [1]}, list: [{scenario.seed: 2}]}", "'scenario.seed' is swept twice"),
        ("{list: [{}]}", "this point sets nothing"),
        ("{sobol: {points: 6, over: {scenario.seed: {from: 1, to: 2}}}}", "power of two, not 6"),
        ("{sobol: {points: 4, over: {scenario.duration: {from: 1 s, to: 1 min}}}}", "in the same unit"),
        ("{sobol: {points: 4, over: {scenario.duration: {from: 9 s, to: 1 s}}}}", "'9 s' is not less than '1 s'"),
        ("{sobol: {points: 4, over: {scenario.seed: {from: 0, to: 4, scale: log}}}}", "needs a range above 0"),
        ("{sobol: {points: 4, over: {policies.router: {from: a, to: b}}}}", "'a' is no number"),
        ("{sobol: {points: 4, over: {scenario.seed: {from: 0}}}}", "the key 'to' is missing"),
        ("{latin_hypercube: {points: 200000, over: {scenario.seed: {from: 0, to: 4}}}}", "200,000 points are too many"),
        ("{grid: {deployments.4.llm: [x]}}", "deployments is a list of 1; there is no [4]"),
        ("{grid: {topolgy.tiers: [[edge]]}}", "unknown key; did you mean 'topology'?"),
    ],
)  # fmt: skip
def test_a_wrong_section_is_told_with_its_place(sweep: str, expected: str, tmp_path: Path) -> None:
    """With file and line."""
    text = told(sweep, tmp_path)
    assert expected in text
    assert "bad.yaml:" in text
    assert " | sweep: " in text


def test_all_wrong_points_are_told_at_once_by_name(tmp_path: Path) -> None:
    """Where each wrong value stands, and in which points."""
    text = told(f"{{grid: {{policies.router: [randm, nearest], {RATE}: [1/s, 2 m]}}}}", tmp_path)
    assert "2 problems" in text
    assert (
        "no router named 'randm'; did you mean 'random'?\n  in point 0 (router=randm, rate=1/s) and 1 more"
        in text
    )
    assert "'2 m' is not a rate; write e.g. '6/s'\n  in point 1 (router=randm, rate=2 m) and 1 more" in text
    assert "^^^" in text


def test_wrong_arguments_are_told() -> None:
    """All of them."""
    with pytest.raises(ScenarioError) as caught:
        prepare(BASE, over=["scenario.seed", "scenario.duration=[1 s"])
    assert "2 problems" in str(caught.value)
    assert "--over scenario.seed\n  this is not of the form key.path=value,value,..." in str(caught.value)
    with pytest.raises(ScenarioError, match="nothing to sweep over"):
        prepare(BASE)


def test_a_point_that_makes_no_sense_is_kept_unless_none_does() -> None:
    """An LLM that does not fit is a result; a scenario that never fits is a mistake."""
    found = of({"grid": {"deployments.0.llm": ["llama-3.2-1b", "llama-3.1-70b"]}})
    assert found.settings[0].fault == ""
    assert "llama-3.1-70b (bf16) needs 141" in found.settings[1].fault
    with pytest.raises(ScenarioError, match="needs 141"):
        of({"grid": {"deployments.0.llm": ["llama-3.1-70b"], "scenario.seed": [1, 2]}})


def test_policies_keep_their_parameters_and_parameters_are_swept() -> None:
    """The order of the keys does not matter."""
    source = {**BASE, "policies": {"router": {"kind": "threshold-offload", "max_queue": 7}}}
    made = prepare(source, over=["policies.router=threshold-offload,random"])
    assert [one.loaded.policies.router for one in made.settings] == [
        {"kind": "threshold-offload", "max_queue": 7}, {"kind": "random"},
    ]  # fmt: skip
    overs = ("policies.router=threshold-offload", "policies.router.max_queue=2,3")
    for over in (overs, overs[::-1]):
        source["policies"] = {"router": "random"}
        made = prepare(source, over=over)
        assert {one.loaded.policies.router["max_queue"] for one in made.settings} == {2, 3}


def test_a_scenario_with_a_sweep_runs_without_it() -> None:
    """`load` gives the base scenario; a wrong section is told there, too, wrong points only by `validate`."""
    plain = load({**BASE, "sweep": {"grid": {RATE: ["1/s", "2 m"]}}})
    assert plain == load(BASE)
    with pytest.raises(ScenarioError, match="unknown key"):
        load({**BASE, "sweep": {"grd": {}}})
    with pytest.raises(ScenarioError, match="'2 m' is not a rate"):
        check({**BASE, "sweep": {"grid": {RATE: ["1/s", "2 m"]}}})
    assert check(BASE) == 0
    assert "grid" in json_schema()["$defs"]["Sweep"]["properties"]


def test_names_that_look_like_quantities_stay_names() -> None:
    """A link of the kind "5g" is no mass."""
    base = BASE["topology"]["nodes"] | {"user": {"tier": "device"}}
    topology = {"nodes": base, "links": [{"between": ["user", "edge"], "kind": "5g"}]}
    found = prepare(
        {**BASE, "topology": topology}, over={"topology.links.0.kind": ["5g"], "scenario.seed": [1, 2]}
    )
    assert found.columns["topology.links.0.kind"] == ["5g", "5g"]


def test_columns_have_one_type() -> None:
    """Numbers, quantities in SI units, truth values, or text."""
    assert column([1, None, 2], names=False) == ([1, None, 2], "")
    assert column([1, 2.5], names=False) == ([1.0, 2.5], "")
    assert column(["1 Gbps", "80 Mbps"], names=False) == ([1.25e8, 1e7], "B/s")
    assert column(["90 %", 0.5], names=False) == ([0.9, 0.5], "")
    assert column([True, False], names=False) == ([True, False], "")
    assert column(["1 s", "fast"], names=False) == (["1 s", "fast"], "")


def test_keys_are_shortened_as_long_as_they_differ() -> None:
    """By their last parts."""
    assert short_names(["a.rate", "b.rate", "c.d"]) == {"a.rate": "a.rate", "b.rate": "b.rate", "c.d": "d"}
    assert label({"a.x": "1/s", "b.y": None, "c.z": {"kind": "q"}}) == "x=1/s, z={kind: q}"
