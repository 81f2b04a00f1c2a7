"""Semantic checks: what is well written and still cannot work."""

# Messages stand whole beside what causes them.
# ruff: noqa: ISC004

from __future__ import annotations

from pathlib import Path

import pytest

from edgesim.scenario import load

FIBRE = "    - {between: [edge, cloud], kind: fibre, latency: 10 ms, bandwidth: 1 Gbps}\n"
WIFI = "    - {between: [phone, edge], kind: wifi-6}\n"
ON_EDGE = "  - {llm: llama-3.1-8b, weights: int8, on: edge}\n"
ON_PHONE = "  - {llm: llama-3.2-1b, weights: int4, on: phone}\n"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            [("[edge, cloud]", "[edge, clowd]")],
            "14:24  topology.links[1].between[1]: no node group named 'clowd'; did you mean 'cloud'?",
        ),
        ([("on: edge", "on: egde")], "18:44  deployments[1].on: no node group named 'egde'; did you mean 'edge'?"),
        ([("from: phone", "from: fone")], "23:11  workloads.chat.from: no node group named 'fone'; did you mean 'phone'?"),
        ([("tier: edge", "tier: egde")], "10:19  topology.nodes.edge.tier: no tier named 'egde'; did you mean 'edge'?"),
        (
            [("nvidia-l4", "nvidia-l5")],
            "10:38  topology.nodes.edge.accelerator: no accelerator named 'nvidia-l5'; did you mean 'nvidia-l4'?",
        ),
        ([("llama-3.2-1b", "llama-3.2-1")], "17:11  deployments[0].llm: no LLM named 'llama-3.2-1'; did you mean 'llama-3.2-1b'?"),
        ([("wifi-6", "wifi6")], "13:38  topology.links[0].kind: no link kind named 'wifi6'; did you mean 'wifi-6'?"),
        (
            [("tier: edge,", "tier: edge, grid: germny,")],
            "10:31  topology.nodes.edge.grid: no grid named 'germny'; did you mean 'germany'?",
        ),
        (
            [("from: phone", "from: phone\n    llm: llama-3.1-8")],
            "24:10  workloads.chat.llm: no deployment of an LLM named 'llama-3.1-8'; did you mean 'llama-3.1-8b'?",
        ),
        (
            [(", duration: 10 min, warmup: 1 min", "")],
            "5:1  scenario: the run never ends: workload 'chat' asks for ever",
        ),
        (
            [("tensor_parallel: 2", "tensor_parallel: 4")],
            "19:68  deployments[2].tensor_parallel: tensor_parallel is 4, but node 'cloud' has 2 accelerators",
        ),
        (
            [("on: edge}", "on: edge, replicas: 2}")],
            "18:60  deployments[1].replicas: two replicas cannot share an accelerator; "
            "the replicas on node 'edge' take 2, it has 1",
        ),
        (
            [("tier: edge, accelerator: nvidia-l4", "tier: edge")],
            "18:44  deployments[1].on: node 'edge' has no accelerator",
        ),
        (
            [("on: edge}", "on: edge, context: 200000}")],
            "18:59  deployments[1].context: llama-3.1-8b sees at most 131072 tokens, not 200000",
        ),
        (
            [("on: edge}", "on: edge, max_batched_tokens: 100}")],
            "18:70  deployments[1].max_batched_tokens: max_batched_tokens (100) is less than max_num_seqs (256)",
        ),
        (
            [
                ("nvidia-l4}", "nvidia-l4, accelerators: 2}"),
                ("on: edge}", "on: edge, name: a}\n  - {llm: llama-3.1-8b, weights: int4, on: edge, name: a}"),
            ],
            "19:56  deployments[2].name: two deployments on 'edge' are named 'a'",
        ),
        (
            [("kind: wifi-6}", "kind: wifi-6, pattern: ring}")],
            "13:55  topology.links[0].pattern: a ring joins groups of the same size, not 200 and 1 nodes",
        ),
        (
            [("[phone, edge], kind: wifi-6", "[phone, phone], kind: wifi-6")],
            "13:8  topology.links[0].between: a group is linked with itself; say how: 'pattern: ring' or 'pattern: mesh'",
        ),
        (
            [("p95: 500", "p95: 500, min: 200000")],
            "26:5  workloads.chat.output_tokens: "
            "requests take at least 200001 tokens, but no replica of theirs holds more than 131072",
        ),
        (
            [
                ("on: edge}", "on: edge, kv_tokens: 1000}"),
                ("from: phone", "from: phone\n    llm: llama-3.1-8b"),
                ("p95: 500", "p95: 500, min: 993"),
            ],
            "27:5  workloads.chat.output_tokens: "
            "requests take at least 994 tokens, but no replica of theirs holds more than 993",
        ),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused_at_its_place(changed, complaints, changes, expected):
    """One contradiction gives one problem."""
    assert [expected] == complaints(changed(*changes))


def test_an_llm_that_does_not_fit_says_how_much_and_what_would(changed, complaint):
    """Gigabytes on both sides, and ways out that do fit."""
    report = complaint(changed(("llama-3.1-8b, weights: int8", "llama-3.1-70b")))
    assert "s.yaml:18:11  deployments[1].llm\n" in report
    assert (
        "  llama-3.1-70b (bf16) needs 141.1 GB of weights; node 'edge' offers 1 x 25.8 GB (nvidia-l4)\n"
        in report
    )
    assert "  help: use tensor_parallel: 8 with accelerators: 8 or an accelerator that holds it (" in report


def test_every_way_out_of_a_misfit_is_a_way_out(changed, complaint):
    """The suggested weights load."""
    path = changed(("llama-3.1-8b, weights: int8", "qwen2.5-14b, weights: fp16"))
    assert "help: use weights: int8 (" in complaint(path)
    assert load(path, sets=["deployments[1].weights=int8"]).deployments[1].weights == "int8"


def test_a_near_misfit_names_what_else_takes_room(changed, complaint):
    """Weights that would fit alone still need room for work and context."""
    report = complaint(changed(("on: edge}", "on: edge, memory_utilisation: 36 %}")))
    assert "llama-3.1-8b (int8) needs 8." in report
    assert "of it usable, and" in report
    assert "are needed with working memory and one sequence" in report


def test_unreachable_nodes(changed, complaints):
    """A workload whose origin reaches no replica that may serve it is refused; the links that lack are named."""
    path = changed((ON_PHONE, ""), (WIFI, ""))
    assert complaints(path) == ["21:11  workloads.chat.from: requests from 'phone' reach no replica: "
            "no links lead from 'phone' to 'edge' or 'cloud'"]  # fmt: skip


def test_unreachable_because_private(changed, complaints):
    """Replicas that serve only their own node help nobody else."""
    path = changed(
        (ON_PHONE, ""),
        ("on: edge}", "on: edge, serves: own}"),
        ("tensor_parallel: 2}", "tensor_parallel: 2, serves: own}"),
    )
    assert complaints(path) == ["22:11  workloads.chat.from: requests from 'phone' reach no replica: "
            "the replicas of 'edge' and 'cloud' serve only their own node"]  # fmt: skip


def test_reachability_goes_over_several_hops(changed):
    """Phones reach the cloud through the edge."""
    path = changed((ON_PHONE, ""), ("  - {llm: llama-3.1-8b, weights: int8, on: edge}\n", ""))
    assert [deployment.on for deployment in load(path).deployments] == ["cloud"]


def test_reachability_heeds_the_llm(changed, complaints):
    """Only replicas of the LLM that a workload asks for count."""
    path = changed((FIBRE, ""), ("from: phone", "from: phone\n    llm: llama-3.1-70b"))
    assert complaints(path) == ["22:11  workloads.chat.from: requests from 'phone' reach no replica: "
            "no links lead from 'phone' to 'cloud'"]  # fmt: skip


def test_two_deployments_on_one_accelerator(changed, complaints):
    """Accelerators are not shared between deployments either, unless they can switch between LLMs."""
    path = changed((ON_EDGE, ON_EDGE * 2))
    assert complaints(path) == ["19:44  deployments[2].on: two replicas cannot share an accelerator; "
            "the replicas on node 'edge' take 2, it has 1"]  # fmt: skip
    path = changed((ON_PHONE, ON_PHONE * 2))
    assert complaints(path) == ["18:5  deployments[1].memory_utilisation: "
            "deployments that take turns on 'phone' may use 180 % of its memory"]  # fmt: skip
    assert load(changed((ON_PHONE, ON_PHONE.replace("}", ", memory_utilisation: 50 %}") * 2)))


def test_names_and_values_are_checked_together(changed, complaints):
    """A misspelt name does not hide a wrong value, nor the other way round."""
    path = changed(("nvidia-l4", "nvidia-l5"), ("10 ms", "10"), ("fcfs", "fcsf"), ("int8", "int9"))
    assert [line.split("  ")[0] for line in complaints(path)] == ["10:38", "14:54", "18:34", "30:14"]


def test_a_replay_ends_by_itself(changed):
    """Traces run out, so a scenario of traces needs no duration."""
    path = changed(
        (", duration: 10 min, warmup: 1 min", ""),
        ("    arrivals: {kind: poisson, rate: 6/s}\n", "    path: t.csv\n"),
    )
    Path("t.csv").touch()
    assert load(path).workloads["chat"].is_trace
