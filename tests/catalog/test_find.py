"""Names that drivers, hubs and collections of measurements use lead to the right entry."""

from __future__ import annotations

import csv
import os
from collections import Counter
from pathlib import Path

import pytest

from edgesim import catalog

DEVICES = Path(os.environ.get("EDGESIM_DATA", "../shared/data")) / "devices"


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("NVIDIA H100 80GB HBM3", "nvidia-h100-sxm"),
        ("NVIDIA H100 PCIe", "nvidia-h100-pcie"),
        ("NVIDIA A100-SXM4-40GB", "nvidia-a100-40gb-sxm"),
        ("NVIDIA A100-SXM4-80GB", "nvidia-a100-80gb-sxm"),
        ("NVIDIA A100 80GB PCIe", "nvidia-a100-80gb-pcie"),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", "rtx-pro-6000-server"),
        ("NVIDIA RTX PRO 6000 Blackwell Workstation Edition", "rtx-pro-6000"),
        ("NVIDIA RTX 6000 Ada Generation", "rtx-6000-ada"),
        ("Quadro RTX 6000", "quadro-rtx-6000"),
        ("NVIDIA GeForce RTX 4070 Ti SUPER", "rtx-4070-ti-super"),
        ("NVIDIA GeForce RTX 4070", "rtx-4070"),
        ("NVIDIA GeForce RTX 4060 Laptop GPU", "rtx-4060-laptop"),
        ("Apple M3 Max 10P+4E+30GPU", "apple-m3-max-30core"),
        ("M3 Max 40-Core GPU 64GB", "apple-m3-max"),
        ("Apple M2 Ultra", "apple-m2-ultra"),
        ("Pi CM5 - 16GB (Nvidia RTX 3080 Ti)", "rtx-3080-ti"),
        ("Snapdragon 8 Elite QRD (Hexagon NPU)", "snapdragon-8-elite"),
    ],
)
def test_hardware_is_found_by_what_others_call_it(said, name):
    """Memory and cores decide where the catalogue tells them apart."""
    assert catalog.named("accelerator", said) == name


@pytest.mark.parametrize("said", ["NVIDIA GeForce RTX 9999", "", "NVIDIA", "Intel"])
def test_nothing_is_found_for_what_is_not_there(said):
    """A name that only shares a vendor is no match."""
    assert catalog.named("accelerator", said) is None


@pytest.mark.parametrize("name", catalog.names("accelerator"))
def test_every_accelerator_is_found_by_its_name_and_title(name):
    """No entry hides another."""
    assert catalog.named("accelerator", name) == name
    assert catalog.named("accelerator", catalog.accelerator(name).title) == name


@pytest.mark.skipif(not DEVICES.is_dir(), reason="needs the measured points in EDGESIM_DATA")
def test_measured_hardware_is_in_the_catalogue():
    """Every device of the specification table, and whatever has more than four measured points."""
    with (DEVICES / "hardware_specs.csv").open(newline="") as file:
        specified = [row["device"] for row in csv.DictReader(file)]
    with (DEVICES / "device_points.csv").open(newline="") as file:
        measured = Counter(row["hardware"] for row in csv.DictReader(file))
    assert [name for name in specified if catalog.named("accelerator", name) is None] == []
    assert [n for n, count in measured.items() if count > 4 and catalog.named("accelerator", n) is None] == []
    found = sum(count for name, count in measured.items() if catalog.named("accelerator", name))
    assert found >= 0.98 * measured.total()
