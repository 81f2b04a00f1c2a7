"""Compilation: how kernel functions become machine code, and where that code is kept.

numba's own cache notices an edit of the file a function stands in, but not of the helpers it calls, nor a changed
bounds-check flag. So the cache lives in a folder whose name is a hash of all kernel sources, the numba version, the
processor and the flags: edit anything and the next run compiles afresh.
"""

from __future__ import annotations

import hashlib
import os
import platform
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

PACKAGE = Path(__file__).resolve().parent.parent
SOURCES = ("arena", "network", "serving", "policies", "records.py")


def cache_folder() -> Path:
    """Folder of this very set of kernel sources, numba, processor and flags."""
    import llvmlite.binding
    import numba

    digest = hashlib.sha256()
    for room in SOURCES:
        for source in sorted((PACKAGE / room).glob("*.py")) or [PACKAGE / room]:
            digest.update(source.name.encode())
            digest.update(source.read_bytes())
    flags = os.environ.get("NUMBA_BOUNDSCHECK", ""), os.environ.get("NUMBA_OPT", "")
    cpu = llvmlite.binding.get_host_cpu_name()
    digest.update(repr((numba.__version__, sys.version_info[:3], cpu, platform.machine(), flags)).encode())
    home = os.environ.get("EDGESIM_CACHE") or os.environ.get("XDG_CACHE_HOME")
    base = Path(home) if home else Path.home() / ".cache"
    folder = base / "edgesim" / digest.hexdigest()[:16]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        folder = Path(tempfile.gettempdir()) / f"edgesim-{digest.hexdigest()[:16]}"
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def _configure() -> Any:
    """Import numba with its cache pointed at our folder."""
    import numba
    from numba.core import config

    settings: Any = config

    if not settings.DISABLE_JIT:
        settings.CACHE_DIR = str(cache_folder())
    return numba


_numba = _configure()
JIT: bool = not os.environ.get("NUMBA_DISABLE_JIT", "").strip("0 ")
"""False when NUMBA_DISABLE_JIT asks for plain Python: same results, slowly."""


def is_cold() -> bool:
    """Must the kernel be compiled before it can run, which takes most of a minute?"""
    return JIT and not any(cache_folder().rglob("*.nbi"))


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a helper of the kernel: no cache and no Python door of its own, errors as numpy has them."""
    helper = _numba.njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)(function)
    if JIT:
        _compile_once(helper)
    return helper  # type: ignore[no-any-return]


def _compile_once(helper: Any) -> None:
    """Compile one version for integers, not one for every constant that a caller passes: half the time in all."""
    from numba.core import types

    unliteral: Any = types.unliteral

    template = helper.get_call_template

    def plain(arguments: Any, keywords: Any) -> Any:
        plain_keywords = {name: unliteral(kind) for name, kind in keywords.items()}
        return template(tuple(unliteral(kind) for kind in arguments), plain_keywords)

    helper.get_call_template = plain


def entry(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile one of the few entry points, which are kept on disk."""
    return _numba.njit(error_model="numpy", cache=True)(function)  # type: ignore[no-any-return]
