"""Machine code is kept by what it was made of, and a bounds-checked kernel reads nothing out of range."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from shutil import copytree, ignore_patterns

import pytest

import edgesim
from edgesim.arena import compile as compilation
from edgesim.arena.compile import JIT, cache_folder

PACKAGE = Path(edgesim.__file__).parent


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the package whose sources count instead of ours, and an empty cache."""
    copy = tmp_path / "edgesim"
    copytree(PACKAGE, copy, ignore=ignore_patterns("__pycache__"))
    monkeypatch.setattr(compilation, "PACKAGE", copy)
    monkeypatch.setenv("EDGESIM_CACHE", str(tmp_path / "cache"))
    for flag in ("NUMBA_BOUNDSCHECK", "NUMBA_OPT"):
        monkeypatch.delenv(flag, raising=False)
    return copy


@pytest.mark.parametrize(
    "source",
    [
        "arena/calendar.py",
        "arena/compile.py",
        "arena/rows.py",
        "arena/state.py",
        "arena/tables.py",
        "network/flows.py",
        "serving/batch.py",
        "serving/compiled.py",
        "serving/legs.py",
        "serving/loop.py",
        "serving/operations.py",
        "serving/plan.py",
        "records.py",
    ],
)
def test_an_edited_source_makes_another_cache(sources: Path, source: str) -> None:
    """A changed byte in anything the kernel is made of, the rows it writes included, means another folder."""
    before = cache_folder()
    assert cache_folder() == before
    text = (sources / source).read_text(encoding="utf-8")
    (sources / source).write_text(text + "\n# edited\n", encoding="utf-8")
    edited = cache_folder()
    assert edited != before
    (sources / source).write_text(text, encoding="utf-8")
    assert cache_folder() == before


def test_every_kernel_source_counts(sources: Path) -> None:
    """Whatever file defines compiled functions is hashed, wherever it stands."""
    kernels = [
        path
        for path in sources.rglob("*.py")
        if re.search(r"^@(kernel|entry)$", path.read_text(), re.MULTILINE)
    ]
    assert len(kernels) >= 7
    for path in kernels:
        before = cache_folder()
        path.write_text(path.read_text(encoding="utf-8") + "\n# edited\n", encoding="utf-8")
        assert cache_folder() != before, path


def test_a_new_source_makes_another_cache(sources: Path) -> None:
    """So does a file more."""
    before = cache_folder()
    (sources / "serving" / "another.py").write_text("", encoding="utf-8")
    assert cache_folder() != before


@pytest.mark.parametrize("flag", ["NUMBA_BOUNDSCHECK", "NUMBA_OPT"])
def test_a_flag_makes_another_cache(sources: Path, monkeypatch: pytest.MonkeyPatch, flag: str) -> None:
    """Code compiled with other flags is other code."""
    before = cache_folder()
    monkeypatch.setenv(flag, "1")
    assert cache_folder() != before


def test_what_is_no_kernel_source_does_not_count(sources: Path) -> None:
    """Editing the report does not cost a minute of compilation."""
    before = cache_folder()
    (sources / "cli.py").write_text("# edited\n", encoding="utf-8")
    assert cache_folder() == before


def test_cache_lies_where_it_is_asked_to(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EDGESIM_CACHE names the place, then XDG_CACHE_HOME; a place that cannot be written falls back."""
    assert cache_folder().parent == tmp_path / "cache" / "edgesim"
    monkeypatch.delenv("EDGESIM_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder().parent == tmp_path / "xdg" / "edgesim"
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv("EDGESIM_CACHE", str(tmp_path / "file"))
    assert cache_folder().is_dir()


@pytest.mark.verification
@pytest.mark.skipif(not JIT, reason="without compilation every index is checked by Python")
def test_nothing_is_read_out_of_range(tmp_path: Path) -> None:
    """With bounds checks on and a fresh cache, planted strays are caught and 50 random systems make none."""
    told = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("bounds.py")), "50"],
        env={
            **os.environ, "NUMBA_BOUNDSCHECK": "1", "EDGESIM_CACHE": str(tmp_path), "PYTHONPATH": str(PACKAGE.parent),
        },
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    answer = json.loads(told.stdout)
    for access in ("read_row", "read_cell", "write_cell"):
        assert answer["planted"][f"{access} 3"] == "0"
        for index in (4, -1, 1 << 40):
            assert answer["planted"][f"{access} {index}"] == "IndexError"
    assert answer["differing"] == {}
    assert answer["systems"] == 50
