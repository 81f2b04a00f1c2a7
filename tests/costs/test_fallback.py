"""Operators that run on the host: priced at its rates, handed over and back, and counted in energy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesim import catalog, costs
from edgesim.costs import llm as work
from edgesim.costs.power import power_of
from edgesim.costs.step import MIXED_FEATURES, PS

NPU = catalog.accelerator("snapdragon-8-elite")
LLM = catalog.llm("llama-3.2-3b")
HOST = catalog.Host(compute=0.4e12, memory_bandwidth=30e9, power_w=3.0, crossing=50e-6)
SHARES = st.floats(0, 1)


def cost(unsupported, host=HOST, llm=LLM, **options):
    """Step costs of a phone that leaves shares of its work to its host."""
    npu = replace(NPU, unsupported=unsupported, host=host)
    return costs.step_cost(npu, llm, weights="int4", max_num_seqs=8, max_batched_tokens=64, **options)


def same(one, other):
    """Whether all tables are equal."""
    names = ("decode_table", "decode_coef", "mixed_table", "mixed_coef")
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in names)


def test_a_host_that_gets_nothing_costs_nothing():
    """What is covered is priced as without a host, to the bit."""
    assert same(cost({}), cost({}, host=None))
    assert same(cost({"attention": 0.0, "linear": 0.0}), cost({}, host=None))


def test_attention_on_the_host():
    """Cached tokens cost what the host takes for them; every layer hands over and takes back."""
    without, left = cost({}), cost({"attention": 1.0})
    decode = LLM.layers * work.decode_pair_flops(LLM) / HOST.compute
    read = work.kv_bytes_per_token(LLM) / HOST.memory_bandwidth
    names = ("decode_context", "prefill_pairs", "prefill_read")
    context, pairs, cached = (int(left.mixed_coef[MIXED_FEATURES.index(name), 0]) for name in names)
    assert context == pytest.approx(max(decode, read) * PS, abs=1)
    assert pairs == pytest.approx(LLM.layers * work.prefill_pair_flops(LLM) / HOST.compute * PS, abs=1)
    assert cached == pytest.approx(read * PS, abs=1)
    crossings = 2 * LLM.layers * HOST.crossing * PS
    assert (left.mixed_table[1:, 0] - without.mixed_table[1:, 0]).tolist() == pytest.approx(
        [crossings] * 64, abs=2
    )
    assert not left.mixed_coef[: len(names), 6:].any()  # its work and traffic are the host's
    assert left.mixed_table[5, 6] == without.mixed_table[5, 6]


def test_the_lm_head_on_the_host():
    """Its weights once a step, its arithmetic once a sampled token, one hand-over there and one back."""
    without, left = cost({}), cost({"head": 1.0})
    head = work.shape(LLM).head * work.weight_bytes("int4")
    extra = (left.mixed_table[3, 0] - without.mixed_table[3, 0]) / PS
    own = head / (NPU.memory_efficiency * NPU.memory_bandwidth)
    assert extra == pytest.approx(head / HOST.memory_bandwidth - own + 2 * HOST.crossing, rel=1e-6)
    sampled = MIXED_FEATURES.index("sampled")
    assert left.mixed_coef[sampled, 0] / PS == pytest.approx(
        work.head_flops(LLM) / HOST.compute + NPU.step_overhead_per_sequence, rel=1e-6
    )


def test_activations_over_a_link():
    """Where they share no memory, the residual stream of all tokens travels at the link's rate, both ways."""
    shared, apart = (cost({"attention": 0.5}, replace(HOST, link=link)) for link in (0.0, 0.3e9))
    tokens = np.arange(1, 65)
    moved = 2 * LLM.layers * tokens * LLM.hidden * 2 / 0.3e9
    found = (apart.mixed_table[1:, 0] - shared.mixed_table[1:, 0]) / PS
    assert found == pytest.approx(moved, rel=1e-6)


def test_all_on_the_host_is_the_host():
    """With everything left to it, weights stream and multiply at its rates, and layers need no hand-over."""
    left = cost({"linear": 1.0, "attention": 1.0, "head": 1.0})
    flops = work.token_flops(LLM) * 16
    layers = work.shape(LLM).dense * work.weight_bytes("int4")
    head = work.shape(LLM).head * work.weight_bytes("int4")
    host = np.hypot(flops / HOST.compute, layers / HOST.memory_bandwidth) + head / HOST.memory_bandwidth
    floor = host + 2 * HOST.crossing + LLM.layers * NPU.layer_overhead + NPU.step_overhead
    seconds = left.mixed_table[16, 0] / PS
    assert floor < seconds < floor * 1.005  # what is left are activations
    assert left.mixed_table[16, 6] == 0


@given(linear=SHARES, attention=SHARES, head=SHARES, more=SHARES)
@settings(max_examples=40, deadline=None)
def test_what_is_left_to_a_slower_host_takes_longer_and_stays_below_the_peaks(linear, attention, head, more):
    """No share makes a step faster, none pushes a utilisation beyond 1, and energy adds up."""
    shares = {"linear": linear, "attention": attention, "head": head}
    grown = {key: share + (1 - share) * more for key, share in shares.items()}
    some, most = cost(shares), cost(grown)
    if max(grown.values()) < 1:  # a layer that runs on the host whole saves its hand-overs
        assert (most.mixed_table[:, 0] >= some.mixed_table[:, 0] - 1).all()
    assert (most.mixed_coef[:, 0] >= some.mixed_coef[:, 0] - 1).all()
    rows = some.mixed_table[1:].astype(float)
    seconds = rows[:, 0] / PS
    assert (rows[:, 6] * some.work_unit <= seconds * some.peak_flops).all()
    assert (rows[:, 7] * 1024 <= seconds * some.peak_bandwidth).all()


@pytest.mark.parametrize("shares", [{"attention": 1.0}, {"linear": 0.3, "head": 1.0}, {"linear": 1.0}])
def test_the_host_draws_its_power_for_its_time(shares):
    """Beyond what the accelerator draws for the time and its own work: the host's watts for its seconds, with the PUE."""
    pue = 1.4
    left = cost(shares, pue=pue)
    idle_host = cost(shares, replace(HOST, power_w=0.0), pue=pue)
    power = power_of(replace(NPU, host=HOST), "int4", pue=pue)
    assert power.beside_w == pytest.approx(pue * 3.0)
    tokens = 8
    extra = (left.mixed_table[tokens, 2] - idle_host.mixed_table[tokens, 2]) * 1e-9 / power.beside_w
    fast = replace(HOST, compute=1e30, memory_bandwidth=1e30, crossing=1e-30)
    host_seconds = (left.mixed_table[tokens, 0] - cost(shares, fast, pue=pue).mixed_table[tokens, 0]) / PS
    assert extra == pytest.approx(host_seconds, rel=1e-6)
    assert (left.mixed_table[:, 4] - idle_host.mixed_table[:, 4] >= 0).all()
    assert left.idle_mw == idle_host.idle_mw


def test_an_npu_that_leaves_attention_to_the_processor_loses_much_of_its_lead():
    """Measured on a phone: decode 1.05 to 1.2 times the processor's, prefill no faster (arXiv 2605.27435).

    With the catalogue's rough host, decode of a 3B LLM keeps a small lead and prefill falls by a quarter at 512 tokens.
    """
    npu = catalog.accelerator("snapdragon-8-elite")
    options = {"weights": "int4", "max_num_seqs": 1}
    whole = costs.step_cost(npu, LLM, **options)
    mixed = costs.step_cost(replace(npu, unsupported={"attention": 1.0, "head": 1.0}), LLM, **options)
    everything = {"linear": 1.0, "attention": 1.0, "head": 1.0}
    processor = costs.step_cost(replace(npu, unsupported=everything), LLM, **options)
    assert processor.decode_ps(1, 512) > mixed.decode_ps(1, 512) > 1.1 * whole.decode_ps(1, 512)
    assert 1.15 < mixed.prefill_ps(512) / whole.prefill_ps(512) < 2


def test_power_modes_clock_the_host():
    """A mode's processor clock is the host's, too."""
    from edgesim.costs.frequency import in_mode

    slow = in_mode(replace(NPU, host=HOST, power_modes={"eco": catalog.PowerMode(host=0.5)}), "eco")
    assert slow.host == replace(HOST, compute=HOST.compute / 2, crossing=2 * HOST.crossing)


def test_figures_of_ones_own():
    """A share may stand for all parts; what is unsupported needs a host."""
    own = {"like": "snapdragon-8-elite", "unsupported": {"attention": "100 %"}}
    assert catalog.accelerator_from("x", own).unsupported == {"attention": 1.0}
    assert catalog.accelerator_from("x", {**own, "unsupported": "5 %"}).unsupported == {
        "linear": 0.05, "attention": 0.05, "head": 0.05,
    }  # fmt: skip
    with pytest.raises(catalog.MissingFiguresError, match="'x' lacks host; give them"):
        catalog.accelerator_from("x", {"like": "nvidia-l4", "unsupported": "5 %"})
    host = {"compute": "50 GFLOP/s", "memory_bandwidth": "4 GB/s", "power_w": "3 W", "crossing": "1 ms"}
    mine = catalog.accelerator_from("x", {"like": "nvidia-l4", "unsupported": "5 %", "host": host})
    assert mine.host == catalog.Host(50e9, 4e9, 3.0, 1e-3)
    for wrong, text in (
        ({"unsupported": {"atention": "5 %"}}, "has no part 'atention'; did you mean 'attention'"),
        ({"unsupported": "120 %"}, "must be at least 0 % and at most 100 %"),
        ({"host": {"compute": "1 GFLOP/s"}}, "host lacks memory_bandwidth, power_w, crossing"),
    ):
        with pytest.raises(ValueError, match=text):
            catalog.accelerator_from("x", {"like": "nvidia-l4", **wrong})
