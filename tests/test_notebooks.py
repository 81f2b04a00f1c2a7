"""The notebooks run from top to bottom, and answer their questions; they are kept without output."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")
nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
pytest.importorskip("ipykernel", reason="ipykernel is not installed")

FOLDER = Path(__file__).parent.parent / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def read(path):
    """Open a notebook."""
    return nbformat.read(path, as_version=4)


def test_there_are_five():
    """None is lost, and they have an order."""
    assert [path.name[:2] for path in NOTEBOOKS] == ["1_", "2_", "3_", "4_", "5_"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_kept_without_output(path):
    """Outputs belong to who runs it; in the repository they would only age."""
    cells = read(path).cells
    assert all(
        not cell.outputs and cell.execution_count is None for cell in cells if cell.cell_type == "code"
    )


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs(path, tmp_path, monkeypatch):
    """In a folder of its own, shorter than for a reader; no cell fails, warns or is left without what it promises."""
    root = str(FOLDER.parent)
    monkeypatch.setenv("EDGESIM_QUICK", "1")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")])))
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    monkeypatch.delenv("MPLBACKEND", raising=False)
    notebook = read(path)
    client = nbclient.NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    said = [output.text for output in outputs if output.output_type == "stream" and output.name == "stderr"]
    assert not said, said
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    assert pictures, "a notebook without a picture"
    last = next(cell for cell in reversed(notebook.cells) if cell.cell_type == "code")
    assert last.outputs, "the last cell answers nothing"
    if kept := os.environ.get("EDGESIM_KEEP_NOTEBOOKS"):  # to look at them
        nbformat.write(notebook, Path(kept) / path.name)
