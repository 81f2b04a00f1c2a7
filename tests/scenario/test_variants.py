"""Deployments of variants and adapters: what is deployed, and what is refused, where."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgesim import costs
from edgesim.scenario import Scenario, load

EDGE = "- {llm: llama-3.1-8b, weights: int8, on: edge}"


def edge(text):
    """What to write in place of the example's deployment at the edge."""
    return EDGE, EDGE.replace("weights: int8", text)


def test_what_is_deployed(changed):
    """Variant, number format and adapter; each changes the score."""
    scenario = load(changed(edge("variant: pruned-2-4-tuned, weights: int8, adapter: lora-16")))
    phone, box, cloud = map(scenario.deployed, scenario.deployments)
    assert box.name == "llama-3.1-8b:pruned-2-4-tuned:lora-16"
    assert (box.sparse, box.weights, box.rank) == (True, "int8", 16)
    assert box.quality == pytest.approx(0.694 * 0.927)
    assert (phone.name, phone.quality) == ("llama-3.2-1b", pytest.approx(0.493 * 0.994))
    assert cloud.quality == pytest.approx(0.836 * 0.995)
    plain = scenario.llm("llama-3.1-8b")
    assert (plain.sparse, plain.quality) == (False, 0.694)


@pytest.mark.parametrize(
    ("llm", "keys", "quality"),
    [
        ("llama-3.1-8b", {}, 0.694),
        ("llama-3.1-8b", {"weights": "fp16"}, 0.694),
        ("llama-3.1-8b", {"weights": "int4"}, 0.694 * 0.989),
        ("llama-3.1-8b", {"variant": "int4"}, 0.694 * 0.989),
        ("llama-3.1-8b", {"variant": "int4", "weights": "int4"}, 0.694 * 0.989),
        ("llama-3.2-1b", {"variant": "int4-rounded", "weights": "int4"}, 0.493 * 0.878),
        ("gpt-oss-20b", {"weights": "mxfp4"}, 0.853),
        ("gpt-oss-20b", {"weights": "bf16"}, 0.853),
        ("deepseek-v3", {"weights": "fp8"}, None),
        ("bert-base", {}, 1.0),
    ],
)
def test_a_number_format_costs_quality_only_where_it_has_fewer_bits(llm, keys, quality):
    """As published, nothing is lost; the variant of a format counts once."""
    deployment = {"llm": llm, "on": "box", **keys}
    scenario = Scenario.model_validate(
        {
            "scenario": {"name": "one", "duration": "1 s"},
            "topology": {"nodes": {"box": {"tier": "edge", "accelerator": "nvidia-l4"}}},
            "deployments": [deployment],
            "workloads": {"w": {"from": "box", "path": "t.csv"}},
        }
    )
    found = scenario.deployed(scenario.deployments[0])
    assert found.quality == pytest.approx(scenario.llm(llm).quality if quality is None else quality)
    assert found.weights == ("int4" if keys.get("weights") == "int4" or "variant" in keys else found.weights)


def test_own_variants_and_the_resolved_scenario(changed):
    """The section `variants`; what is written out again deploys the same."""
    own = (
        "deployments:\n",
        "variants:\n  mine: {like: pruned-depth-25, depth: 50 %, relative_quality: 80 %}\ndeployments:\n",
    )
    scenario = load(changed(edge("variant: mine"), own))
    box = scenario.deployed(scenario.deployments[1])
    assert (box.name, box.layers) == ("llama-3.1-8b:mine", 16)
    assert box.quality == pytest.approx(0.694 * 0.8)
    Path("resolved.yaml").write_text(scenario.resolved_yaml(), encoding="utf-8")
    again = load("resolved.yaml")
    assert again == scenario
    assert again.deployed(again.deployments[1]) == box


def test_memory_is_checked_for_the_variant(changed, complaint):
    """What does not fit as it is may fit pruned or tied; an adapter takes room, too."""
    small = ("nvidia-l4}", "rtx-3060}")
    report = complaint(changed(edge("weights: bf16"), small))
    assert "llama-3.1-8b (bf16) needs 16.1 GB of weights; node 'edge' offers 1 x 12.9 GB" in report
    scenario = load(changed(edge("variant: tied-2"), small))
    assert costs.weights_bytes(scenario.deployed(scenario.deployments[1])) == pytest.approx(9.08e9, rel=0.001)
    huge = ("deployments:\n", "variants:\n  huge: {technique: adapter, rank: 1024}\ndeployments:\n")
    report = complaint(changed(edge("variant: tied-2, adapter: huge"), small, huge))
    assert "llama-3.1-8b:tied-2:huge (bf16) needs 14.4 GB of weights" in report


@pytest.mark.parametrize(
    ("text", "key", "complaint"),
    [
        ("variant: pruned-24", "variant", "no variant named 'pruned-24'; did you mean 'pruned-2-4'?"),
        ("adapter: lora-99", "adapter", "no variant named 'lora-99'; did you mean 'lora-8'?"),
        ("adapter: int4", "adapter", "'int4' is no adapter"),
        ("variant: lora-8", "variant", "'lora-8' is an adapter"),
        ("variant: layer-sharing", "variant", "'layer-sharing' is of mobilellm-125m only"),
        ("variant: int4-rounded", "variant", "'int4-rounded' is of llama-3.2-1b or llama-3.2-3b only"),
        ("variant: int8@qwen2-7b", "variant", "'int8@qwen2-7b' is of qwen2-7b, not of llama-3.1-8b"),
        ("weights: int8, variant: int4", "weights", "the weights of 'int4' are int4, not int8"),
        ("variant: 5", "variant", "5 is not text"),
    ],
)
def test_wrong_variants_are_located(changed, complaints, text, key, complaint):
    """Misspelt, of another LLM, of the wrong kind, or at odds with the number format."""
    path = changed(edge(text))
    lines = path.read_text(encoding="utf-8").splitlines()
    row = next(i for i, line in enumerate(lines) if text in line)
    column = lines[row].index(f"{key}: ") + len(key) + 3
    assert complaints(path) == [f"{row + 1}:{column}  deployments[1].{key}: {complaint}"]


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("{technique: prune}", "variants.x.technique: cannot be used: technique is one of quantised, sparse"),
        ("{technique: pruned, dept: 80 %}", "variants.x.dept: unknown key; did you mean 'depth'?"),
        ("{technique: pruned, depth: 3 GB}", "variants.x.depth: '3 GB' is not a share"),
        ("{technique: quantised, weights: int5}", "variants.x.weights: cannot be used: weights is one of"),
        (
            "{technique: tied, shared_by: 1.5}",
            "variants.x.shared_by: cannot be used: shared_by must be a whole number",
        ),
        ("{technique: sparse, sparse: 'no'}", "variants.x.sparse: cannot be used: sparse is true or false"),
        ("{depth: 80 %}", "variants.x: variant 'x' lacks technique"),
        ("{technique: adapter}", "variants.x: variant 'x' lacks rank"),
        ("{like: int5}", "variants.x.like: no variant named 'int5'; did you mean 'int8'?"),
        ("{like: fp8, of: llama}", "variants.x.of: no LLM named 'llama'"),
    ],
)
def test_wrong_own_variants_are_located(changed, complaints, entry, expected):
    """Like own accelerators and LLMs: the key that is to blame, once."""
    own = ("deployments:\n", f"variants:\n  x: {entry}\ndeployments:\n")
    found = complaints(changed(own))
    assert len(found) == 1
    assert expected in found[0]
