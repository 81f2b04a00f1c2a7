"""The documentation builds without a warning, and its pages lead where they say."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("sphinx", reason="the extra `docs` is not installed")
pytest.importorskip("furo", reason="the extra `docs` is not installed")
pytest.importorskip("myst_parser", reason="the extra `docs` is not installed")

DOCS = Path(__file__).parent.parent / "docs"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The pages, built from a copy: nothing is written into the repository."""
    folder = tmp_path_factory.mktemp("docs")
    source = folder / "docs"
    shutil.copytree(DOCS, source, ignore=shutil.ignore_patterns("_build", "reference", "__pycache__"))
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-q",
        "-W",
        "--keep-going",
        "-b",
        "html",
        source,
        folder / "html",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "html"


def page(built, name):
    """The text of a page."""
    return (built / f"{name}.html").read_text(encoding="utf-8")


def test_the_reference_names_everything(built):
    """Keys, metrics, policies, entries of the catalogue and commands, read from the code."""
    from edgesim import catalog, registry
    from edgesim.cli import main
    from edgesim.metrics import METRICS
    from edgesim.scenario.schema import Scenario

    keys, policies, commands = (
        page(built, f"reference/{name}") for name in ("scenario", "policies", "commands")
    )
    assert all(f">{key}<" in keys for key in Scenario.model_json_schema(by_alias=True)["properties"])
    assert all(f">{name}<" in page(built, "reference/metrics") for name in METRICS)
    assert all(f'edgesim</span> <span class="pre">{name}' in commands for name in main.commands)
    assert "Requests of a replication. [default: 20000" in commands, "as --help has it"
    assert "Requests let in at once after a quiet time." in policies, "what a parameter means"
    for role in registry.registries:
        built_in = [row.name for row in registry.describe(role) if row.source == "built-in"]
        assert built_in, role
        assert all(f">{name}<" in policies for name in built_in)
    assert all(name in page(built, "reference/catalogue") for name in catalog.names("accelerator"))


def test_links_to_sections_of_the_scenario_have_a_target(built):
    """Every key that holds a section leads to its table."""
    keys = page(built, "reference/scenario")
    targets = set(re.findall(r'href="#(key-[\w-]+)"', keys))
    assert len(targets) > 30
    assert all(f'id="{target}"' in keys for target in targets)
