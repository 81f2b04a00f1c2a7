"""Campaigns are read as steps, or their wrong rows are told."""

from __future__ import annotations

import numpy as np
import pytest

from edgesim import catalog
from edgesim.calibrate import campaign, engines
from edgesim.errors import ScenarioError

HEAD = "source,url_or_repo_path,hardware,n_devices,model,params_b,weight_bits,batch,prompt_len,output_len,metric,value,notes"
ROW = "XiongjieDai GPU-Benchmarks,x,RTX 4090 24GB,1,Llama-3-8B Q4_K_M,8.03,4.89,1,1024,1024,{metric},{value},llama.cpp"


def read(tmp_path, *rows):
    path = tmp_path / "points.csv"
    path.write_text("\n".join([HEAD, *rows]) + "\n", encoding="utf-8")
    return campaign.read_campaign(path)


def test_a_row_becomes_the_steps_that_were_run(tmp_path):
    """A prompt of 1024 is two chunks of llama.cpp's 512; a decode is one step half way through the reply."""
    found, unused = read(
        tmp_path, ROW.format(metric="prefill_tok_s", value=9000), ROW.format(metric="decode_tok_s", value=120)
    )
    assert unused == []
    prompt, decode = found
    assert prompt.tokens.tolist() == [512, 512]
    assert prompt.features[:, 1].tolist() == [512 * 513 / 2, 512 * 512 + 512 * 513 / 2]
    assert prompt.features[:, 6].tolist() == [0, 1]
    assert prompt.measured == pytest.approx(1 / 9000)
    assert (decode.tokens.tolist(), decode.features[0, 0]) == ([1], 1024 + 512)
    assert (decode.weights, decode.accelerator, decode.engine) == ("q4_k_m", "rtx-4090", "llama.cpp")


def test_speeds_of_several_tests_are_averaged_as_speeds(tmp_path):
    """LocalScore publishes the mean speed of nine tests."""
    row = "LocalScore community,x,NVIDIA L4,1,Llama-3.1-8B,8,4.85,1,,,decode_tok_s,40,"
    (one,), _ = read(tmp_path, row)
    seconds = np.linspace(0.01, 0.03, 9)
    assert 1 / one.time(seconds) == pytest.approx(np.mean(1 / seconds))


def test_rows_that_cannot_be_predicted_say_why(tmp_path):
    """Unknown hardware, unknown mixtures and derived powers are listed, not dropped."""
    rows = [
        ROW.format(metric="decode_tok_s", value=10).replace("RTX 4090 24GB", "Abacus 3000"),
        ROW.format(metric="power_w", value=10),
        ROW.format(metric="decode_tok_s", value=10).replace("Llama-3-8B Q4_K_M", "SomeMoE-A3B"),
    ]
    found, unused = read(tmp_path, *rows)
    assert found == []
    assert [row.row for row in unused] == [1, 2, 3]
    assert "no such accelerator" in unused[0].why
    assert "SomeMoE-A3B" in unused[2].why


def test_an_unknown_source_is_read_as_others_with_its_engine(tmp_path):
    """A campaign nobody has met before still says what it ran."""
    row = ROW.format(metric="decode_tok_s", value=10)
    ours = row.replace("XiongjieDai GPU-Benchmarks", "our own boards")
    found, _ = read(
        tmp_path,
        ours,
        ours.replace("llama.cpp", "runtime=genie").replace("RTX 4090 24GB", "Snapdragon X Elite"),
    )
    assert [one.engine for one in found] == ["llama.cpp", "genie"]


@pytest.mark.parametrize(
    ("value", "told"), [("NaN", "NaN"), ("-3", "-3"), ("0", "0"), ("fast", "'fast' is not a number")]
)
def test_wrong_values_are_told_by_file_and_row(tmp_path, value, told):
    """All of them at once."""
    good = ROW.format(metric="decode_tok_s", value=10)
    with pytest.raises(ScenarioError) as caught:
        read(
            tmp_path,
            good,
            ROW.format(metric="decode_tok_s", value=value),
            good,
            ROW.format(metric="tpot_ms", value=value),
        )
    lines = [problem.text for problem in caught.value.problems]
    assert [line.partition(":")[0] for line in lines] == ["row 2", "row 4"]
    assert told in lines[0]
    assert all(problem.file.endswith("points.csv") for problem in caught.value.problems)


def test_a_missing_column_is_named(tmp_path):
    """The first one, with all that are wanted."""
    path = tmp_path / "points.csv"
    path.write_text("hardware,value\nx,1\n", encoding="utf-8")
    with pytest.raises(ScenarioError, match="the column 'source' is missing"):
        campaign.read_campaign(path)


def synthetic(names, values, llms=("llama-3.1-8b", "llama-2-7b", "llama-3.2-1b")):
    """Measurements that a set of efficiencies would have given exactly."""
    convention = campaign.CONVENTIONS["XiongjieDai"]
    found = []
    for name in names:
        used = engines.accelerator_with(name, engines.BEGIN | values)
        for llm in map(catalog.llm, llms):
            for metric, tests in (
                ("ttft_ms", [(512, 128)]),
                ("ttft_ms", [(4096, 1)]),
                ("tpot_ms", [(64, 100)]),
            ):
                for weights in ("fp16", "q4_0"):
                    steps = campaign.steps_of(metric, llm, 1, tests, convention)
                    one = campaign.Measurement(
                        0, name, name, "synthetic", llm.name, llm, weights, 1, metric, 1.0, 1, *steps
                    )
                    value = 1000 * engines.predicted(one, used)
                    found.append(
                        campaign.Measurement(
                            0, name, name, "synthetic", llm.name, llm, weights, 1, metric, value, 1, *steps
                        )
                    )
    return found


TRUE = {"compute_efficiency": 0.55, "memory_efficiency": 0.8, "layer_overhead": 60e-6, "step_overhead": 1e-5,
        "step_overhead_per_sequence": 1e-6, "launch_overhead": 1e-6}  # fmt: skip


def test_a_fit_finds_the_efficiencies_that_made_the_data():
    """What speeds tell apart is recovered within a few per cent; predictions within one."""
    found = synthetic(["rtx-3090", "rtx-3060", "rtx-3080"], TRUE)
    values = engines.fitted(found)
    assert values["memory_efficiency"] == pytest.approx(0.8, rel=0.05)
    assert max(engines.off(one, values) for one in found) < 0.03


def test_machines_that_a_fit_never_saw_are_predicted_and_banded():
    """Four accelerators of one architecture: each by the others; the band is the narrowest one."""
    found = synthetic(["rtx-3090", "rtx-3060", "rtx-3080", "rtx-3070"], TRUE)
    unseen = engines.left_out(found)
    assert len(unseen) == len(found)
    assert max(engines.off(one, values) for one, values in unseen) < 0.05
    fits = engines.fit_engines(found)["synthetic"]
    bands = fits["ampere"].bands
    assert (bands["prefill"], bands["decode"]) == (engines.NARROWEST, engines.NARROWEST)
    assert fits["ampere"].accelerators == ("rtx-3060", "rtx-3070", "rtx-3080", "rtx-3090")


def test_a_single_machine_cannot_be_left_out():
    """Nothing is said of it rather than something made up."""
    assert engines.left_out(synthetic(["rtx-3090"], TRUE)) == []
