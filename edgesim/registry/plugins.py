"""Python files of the user that bring policies."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import linecache
import os
import re
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from edgesim.errors import Problem, ScenarioError
from edgesim.registry.places import BrokenPolicyError, Place, place_of, raised_at
from edgesim.registry.register import BUILT_IN, registries
from edgesim.registry.specs import adapter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType


def load_plugin(path: str | os.PathLike[str]) -> list[str]:
    """Run a Python file of the user for the policies it registers; answer "role name" for each.

    A file that has not changed since is not run again.

    Raises:
        ScenarioError: The file is missing, fails, or registers nothing usable; names file, line and hook.
    """
    file = Path(path).resolve()
    try:
        source = file.read_bytes()
    except OSError as error:
        problem = Problem((), f"plugin {os.fspath(path)!r} cannot be read: {error.strerror}")
        raise ScenarioError([problem]) from error
    module = f"edgesim_plugin_{file.stem}_{hashlib.blake2b(bytes(file), digest_size=6).hexdigest()}"
    digest = hashlib.blake2b(source).hexdigest()
    loaded = sys.modules.get(module)
    if loaded is None or vars(loaded).get("__edgesim_digest__") != digest:
        importlib.import_module(BUILT_IN)
        _forget(module)
        linecache.checkcache(str(file))
        try:
            _execute(module, file, source, digest)
        except (Exception, SystemExit) as error:
            _forget(module)
            raise ScenarioError([_plugin_problem(file, error)]) from error
    return [
        f"{role} {name}"
        for role, registry in registries.items()
        for name in registry.names()
        if registry[name].__module__ == module
    ]


def _execute(module: str, file: Path, source: bytes, digest: str) -> None:
    """Run a plugin as a module of its own, so that pickles, annotations and tracebacks find it."""
    spec = importlib.util.spec_from_file_location(module, file)
    if spec is None:
        raise BrokenPolicyError("a plugin is a Python file; its name ends in .py", Place(str(file), 1))
    before = {role: registry.names() for role, registry in registries.items()}
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[module] = loaded
    code = compile(source, file, "exec", dont_inherit=True)
    with _neighbours(file.parent):
        exec(code, vars(loaded))  # noqa: S102 - running the user's own file is its purpose
    vars(loaded)["__edgesim_digest__"] = digest
    if before == {role: registry.names() for role, registry in registries.items()}:
        raise _nothing_registered(file, loaded)
    for registry in registries.values():
        for name in registry.names():
            if registry[name].__module__ == module:
                adapter(registry[name])


def _nothing_registered(file: Path, loaded: ModuleType) -> BrokenPolicyError:
    """Point at the first class that looks like a policy and is not decorated, or else at the file."""
    bases = {registry.base.__name__: registry.base for registry in registries.values()}
    forgotten = [
        item
        for item in vars(loaded).values()
        if isinstance(item, type)
        and issubclass(item, tuple(bases.values()))
        and item.__module__ == loaded.__name__
    ]
    text = "this plugin registers no policy"
    if forgotten:
        first, name = forgotten[0], re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", forgotten[0].__name__).lower()
        help_ = f'write @register("{name}") above the class {first.__name__}'
        return BrokenPolicyError(text, place_of(first), help_)
    *names, last = sorted(bases)
    help_ = f'decorate a class derived from {", ".join(names)} or {last} with @register("its-name")'
    return BrokenPolicyError(text, Place(str(file), 1), help_)


@contextmanager
def _neighbours(folder: Path) -> Iterator[None]:
    """Let a plugin import the modules beside it, as a script does, while it is loaded."""
    for name, owner in list(_imported.items()):
        if owner != folder:  # two folders may both have a helper.py
            sys.modules.pop(name, None)
            del _imported[name]
    known = set(sys.modules)
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        if str(folder) in sys.path:
            sys.path.remove(str(folder))
        for name in set(sys.modules) - known:
            origin = getattr(sys.modules[name], "__file__", None)
            if origin and Path(origin).parent in (folder, folder / name):
                _imported[name] = folder


_imported: dict[str, Path] = {}
"""Modules that plugins imported from their own folder, and the folder."""


def _forget(module: str) -> None:
    """Undo a plugin that is replaced or that failed half-way."""
    sys.modules.pop(module, None)
    for registry in registries.values():
        registry.forget(module)


def _plugin_problem(file: Path, error: BaseException) -> Problem:
    """Locate what went wrong while a plugin ran."""
    text, help_ = f"this plugin fails with {type(error).__name__}: {error}", ""
    line = raised_at(error, Place(str(file), 1)).line
    match error:
        case BrokenPolicyError():
            text, help_ = error.text, error.help
            line = error.place.line if error.place.file == str(file) else line
        case SyntaxError():
            text, line = f"this is not Python: {error.msg}", error.lineno or line
    source = linecache.getline(str(file), line).rstrip("\n")
    code = source.strip()
    column = source.find(code) + 1
    path = Place(str(file), line).path
    return Problem((), text, help_, path, line, column, source, len(code))
