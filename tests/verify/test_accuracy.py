"""Errors are summed up group by group, and the command says what it compared."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from edgesim.cli import main
from edgesim.verify.accuracy import Comparison, groups, overall

HEAD = "source,url_or_repo_path,hardware,n_devices,model,params_b,weight_bits,batch,prompt_len,output_len,metric,value,notes"
POINTS = """\
XiongjieDai GPU-Benchmarks,x,RTX 4090 24GB,1,Llama-3-8B Q4_K_M,8.03,4.89,1,1024,1024,prefill_tok_s,6898.7,llama.cpp
XiongjieDai GPU-Benchmarks,x,RTX 4090 24GB,1,Llama-3-8B Q4_K_M,8.03,4.89,1,1024,1024,decode_tok_s,127.7,llama.cpp
XiongjieDai GPU-Benchmarks,x,RTX 3090 24GB,1,Llama-3-8B Q4_K_M,8.03,4.89,1,1024,1024,decode_tok_s,111.7,llama.cpp
XiongjieDai GPU-Benchmarks,x,RTX 4080 16GB,1,Llama-3-8B Q4_K_M,8.03,4.89,1,1024,1024,decode_tok_s,106.2,llama.cpp
XiongjieDai GPU-Benchmarks,x,A40 48GB,1,Llama-3-8B Q4_K_M,8.03,4.89,1,1024,1024,decode_tok_s,88.9,llama.cpp
XiongjieDai GPU-Benchmarks,x,A100 PCIe 80GB,1,Llama-3-70B F16,70.6,16,1,1024,1024,decode_tok_s,0,broken
"""


def one(measured, predicted, band=0.1, model="m"):
    return Comparison("decode", "h", "e", model, "s", measured, predicted, band)


def test_groups_have_medians_percentiles_and_coverage():
    """Two of three within a band of 10 %."""
    (group,) = groups([one(1.0, 1.05), one(1.0, 0.92), one(1.0, 1.5)])
    assert group.n == 3
    assert group.median_ape == pytest.approx(0.08)
    assert group.band_coverage == pytest.approx(2 / 3)
    assert group.band_halfwidth == 0.1


def test_the_whole_is_the_median_over_groups():
    """One group with a thousand rows counts as much as one with a single row."""
    found = groups([one(1.0, 1.3)] + [one(1.0, 1.1, model="n")] * 1000)
    (line,) = overall(found)
    assert (line["groups"], line["n"]) == (2, 1001)
    assert line["median_ape"] == pytest.approx(0.2)


def test_without_bands_nothing_is_covered():
    """Missing, never zero."""
    (group,) = groups([one(1.0, 1.3, band=0.0)])
    assert group.band_coverage is None
    assert group.band_halfwidth is None


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "devices"
    folder.mkdir()
    lines = POINTS.splitlines()[:-1]
    (folder / "device_points.csv").write_text("\n".join([HEAD, *lines]) + "\n", encoding="utf-8")
    return tmp_path


def run(*arguments):
    """Run `edgesim verify costs`."""
    return CliRunner().invoke(main, ["verify", "costs", *map(str, arguments)])


def test_the_command_prints_groups_as_json(data):
    """Published speeds of llama.cpp on an RTX 4090 and others, each within a quarter of what the catalogue says."""
    found = run("--data", data, "--json")
    assert found.exit_code == 0, found.output
    table = json.loads(found.stdout)
    keys = {
        "quantity",
        "hardware",
        "engine",
        "model",
        "split",
        "n",
        "median_ape",
        "p90_ape",
        "band_coverage",
        "band_halfwidth",
    }
    assert set(table[0]) == keys
    fitted = [line for line in table if line["split"] == "fitted"]
    assert {line["hardware"] for line in fitted} == {
        "RTX 4090 24GB",
        "RTX 3090 24GB",
        "RTX 4080 16GB",
        "A40 48GB",
    }
    assert all(line["median_ape"] < 0.25 for line in fitted if line["quantity"] == "decode")


def test_hardware_can_be_left_out(data):
    """Its rows alone are printed, predicted by fits without it."""
    table = json.loads(run("--data", data, "--leave-out", "RTX 4090", "--json").stdout)
    assert {(line["hardware"], line["split"]) for line in table} == {("RTX 4090 24GB", "left out")}


def test_a_folder_without_measurements_is_refused(tmp_path):
    """With the names of what it could hold."""
    empty, none = run("--data", tmp_path), run("--data", tmp_path / "none")
    assert (empty.exit_code, none.exit_code) == (2, 2)
    assert "holds nothing that could be compared" in empty.stderr
    assert "is no folder" in none.stderr


def test_only_the_parts_that_were_asked_for_are_compared(data):
    """Nothing is left of a folder of devices if kernels alone are wanted; a part that does not exist is told."""
    assert "holds nothing" in run("--data", data, "--only", "kernels").stderr
    assert "'kernels', 'parallelism'" in run("--data", data, "--only", "kernel").stderr


def test_plots_are_written(data, tmp_path, monkeypatch):
    """One picture a quantity."""
    monkeypatch.setenv("COLUMNS", "140")
    found = run("--data", data, "--plots", tmp_path / "plots")
    assert found.exit_code == 0, found.output
    assert {path.name for path in (tmp_path / "plots").iterdir()} == {"decode.png", "prefill.png"}
    assert "median of medians" in found.stdout
