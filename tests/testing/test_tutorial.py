"""What the page on policies says works, from its first block to its last, in one folder, as a reader would do it."""

from __future__ import annotations

import inspect
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pydantic
import pytest
import yaml

from edgesim import registry, units
from edgesim.policies import Decision, Estimate, Outcome
from edgesim.policies.compiled import READABLE
from edgesim.policies.contract import ORACLE_ONLY, VIEWS, members
from edgesim.serving import compiled
from edgesim.testing import Finding, trial
from edgesim.testing import check as checks
from edgesim.testing.trial import HOOKS

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "policies.md").read_text()
PARTS = re.split(r"^```(\w+)\n(.*?)^```\n", TEXT, flags=re.MULTILINE | re.DOTALL)
BLOCKS = [
    (kind, code, before) for before, kind, code in zip(PARTS[::3], PARTS[1::3], PARTS[2::3], strict=False)
]

RUNNER = """
import runpy, shlex, sys
from click.testing import CliRunner
from edgesim.cli import main
import json
for line in json.load(sys.stdin):
    done = CliRunner().invoke(main, shlex.split(line)[1:])
    sys.stdout.write(f"$ {line}\\n{done.output}\\n")
    if done.exit_code:
        sys.exit(f"{line}\\n{done.output}")
"""


def python(code: str, folder: Path, told: str = "") -> str:
    """Run Python in a process of its own, in the reader's folder."""
    path = os.pathsep.join([str(folder), *(entry for entry in sys.path if entry)])
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        input=told,
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reader's folder, with the files that the page says to save."""
    place = tmp_path_factory.mktemp("tutorial")
    for kind, code, before in BLOCKS:
        named = re.findall(r"`(\w+\.(?:py|yaml))`", before.rsplit("\n\n", 2)[-2] if before.strip() else "")
        if (kind == "python" and "@register" in code) or (kind == "yaml" and "extends:" in code):
            (place / named[-1]).write_text(code)
    assert {path.name for path in place.iterdir()} == {
        "cheap_first.py", "learner.py", "short_first.py", "decodes_first.py", "not_too_much.py", "keep_the_used.py",
        "shortest_here.py", "chats.yaml",
    }  # fmt: skip
    return place


def test_the_page_s_commands_and_code_run(folder: Path) -> None:
    """Every shell line ends well, in order, and the Python between them sees what they left."""
    lines = [line for kind, code, _ in BLOCKS if kind == "bash" for line in code.splitlines()]
    assert len(lines) == 15
    assert all(shlex.split(line)[0] == "edgesim" for line in lines)
    shown = python(RUNNER, folder, json.dumps(lines))
    for name in (
        "cheap-first",
        "short-first",
        "decodes-first",
        "not-too-much",
        "keep-the-used",
        "shortest-here",
    ):
        assert re.search(rf"'{name}': fine \(8 scenarios", shown), shown
    (told,) = [code for kind, code, _ in BLOCKS if kind == "text"]
    assert told.rpartition(", ")[0] in shown, "the output that the page quotes"
    reads = [code for kind, code, _ in BLOCKS if kind == "python" and "edgesim.load" in code]
    for code in reads:
        assert "router" in python(code, folder)
    table = "import edgesim; print(edgesim.load('compared').table.set_index('quantity').query('real')['difference'].to_json())"
    worse = json.loads(python(table, folder))
    assert worse["ttft_mean"] > 0, "the page says that greedy-latency is better"
    assert worse["energy_j"] > 0, "in energy, too"
    same = [(folder / run / "requests.parquet").read_bytes() for run in ("recorded", "replayed", "changed")]
    assert same[0] == same[1] != same[2]


def test_the_page_s_unit_tests_pass(folder: Path) -> None:
    """The tests that it shows are collected by pytest as they stand."""
    (code,) = [code for kind, code, _ in BLOCKS if kind == "python" and "assert_policy" in code]
    calls = "test_it_keeps_to_the_contract()\ntest_it_takes_the_cheaper_of_two()\n"
    assert code.count("def test_") == 2
    learner = "from learner import Learner\nassert_policy(Learner, processes=False)\n"
    python(code + learner + calls, folder)


def test_the_package_that_the_page_shows_adds_its_policy(folder: Path) -> None:
    """Laid out as an installer lays out what `pyproject.toml` says, it is listed and run by its name."""
    (project,) = [tomllib.loads(code) for kind, code, _ in BLOCKS if kind == "toml"]
    (lines,) = [code.splitlines() for kind, code, _ in BLOCKS if kind == "sh"]
    assert lines[0] == "pip install ."
    ((name, module),) = project["project"]["entry-points"]["edgesim.policies"].items()
    package, _, part = module.partition(".")
    assert project["tool"]["setuptools"]["packages"] == [package]
    site = folder / "site"
    (site / package).mkdir(parents=True)
    (site / package / "__init__.py").touch()
    (site / package / f"{part}.py").write_text((folder / f"{part}.py").read_text())
    info = site / "my_package-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text(f"[edgesim.policies]\n{name} = {module}\n")
    short = " --set 'scenario.duration=10 s' --set 'scenario.warmup=0 s'"
    asked = [line + short * (" run " in line) for line in lines[1:]]
    shown = python(f"import sys; sys.path.append({str(site)!r})\n{RUNNER}", folder, json.dumps(asked))
    assert "cheap-first" in shown.partition("$ edgesim run")[0]


def test_the_page_s_snippets_are_what_they_seem() -> None:
    """YAML is YAML, TOML is TOML."""
    scenario, _ = [yaml.safe_load(code) for kind, code, _ in BLOCKS if kind == "yaml"]
    assert scenario["policies"]["router"]["kind"] == "cheap-first"
    (project,) = [tomllib.loads(code) for kind, code, _ in BLOCKS if kind == "toml"]
    assert "edgesim.policies" in project["project"]["entry-points"]


@pytest.mark.parametrize("view", list(VIEWS))
def test_the_tables_of_views_say_what_the_views_say(view: str) -> None:
    """Each attribute stands there with its sentence, in order, and none besides."""
    rows = []
    for member in members(VIEWS[view]):
        secret = member.name in ORACLE_ONLY and "oracle" not in member.text
        rows.append(
            f"| `{view}.{member.name}{member.call}` | {member.text}{' Only with `oracle = True`.' * secret} |"
        )
    assert [line for line in TEXT.splitlines() if line.startswith(f"| `{view}.")] == rows


def test_the_tables_of_compiled_forms_say_what_there_is() -> None:
    """Functions with the sentences of their docstrings, and every field that may be read."""
    functions = (
        compiled.queue_length, compiled.running, compiled.outstanding_requests, compiled.outstanding_tokens,
        compiled.free_kv_tokens, compiled.draw,
    )  # fmt: skip
    rows = []
    for function in functions:
        plain = getattr(function, "py_func", function)
        arguments = ", ".join(inspect.signature(plain).parameters)
        rows.append(f"| `{plain.__name__}({arguments})` | {inspect.getdoc(plain)} |")
    assert [line for line in TEXT.splitlines() if re.match(r"\| `\w+\((view|key), ", line)] == rows
    fields = re.findall(r"^\| (?:request|candidate) \| `(\w+)` \| (.*) \|$", TEXT, re.MULTILINE)
    assert dict(fields) == READABLE


@pytest.mark.parametrize("kind", [Estimate, Decision, Outcome])
def test_the_table_of_answers_has_every_field(kind: type) -> None:
    """What `estimate` and `on_outcome` give, in order."""
    name = kind.__name__.lower()
    assert re.findall(rf"^\| `{name}\.(\w+)` \|", TEXT, re.MULTILINE) == list(kind._fields)


def test_the_types_of_parameters_are_there() -> None:
    """Quantities that the page names are quantities of `edgesim.units`, and pydantic's are pydantic's."""
    told = TEXT.partition("Their types")[2].partition("The policy sees")[0]
    names = re.findall(r"`(\w+)`", told.partition("quantities of `edgesim.units`:")[2])
    assert len(names) == 8
    assert all(hasattr(units, name) for name in names)
    assert all(hasattr(pydantic, name) for name in ("PositiveInt", "NonNegativeFloat") if f"`{name}`" in told)


def test_the_signatures_of_hooks_are_theirs() -> None:
    """The table of roles names every hook with its arguments."""
    table = TEXT.partition("## What policies may read")[2].partition("\n### ")[0]
    told = set(re.findall(r"^\| (\w+) \| `(\w+)\((.*?)\)`", table, flags=re.MULTILINE))
    hooks = {
        (role, hook, ", ".join(inspect.signature(getattr(each.base, hook)).parameters))
        for role, each in registry.registries.items()
        for hook in HOOKS[role]
        if hook != "decision_cost"
    }
    assert told == hooks


def test_the_table_names_every_finding() -> None:
    """No code is left out, and none is made up."""
    found = TEXT.partition("## What the check finds")[2].partition("\n## ")[0]
    table = set(
        re.findall(
            r"`([a-z-]+)`",
            "\n".join(line.split("|")[1] for line in found.splitlines() if line.startswith("| `")),
        )
    )
    sources = "".join(
        Path(module.__file__).read_text()
        for module in (
            checks,
            trial,
            sys.modules["edgesim.testing.guards"],
            sys.modules["edgesim.testing.sources"],
            sys.modules["edgesim.testing.tiers"],
        )
    )
    raised = (
        set(re.findall(r'(?:Finding\(|tell\(|"code":)\s*"([a-z-]+)"', sources))
        | set(re.findall(r'code = "([a-z-]+)" if', sources))
        | {"wrong-answer"}
    )
    assert raised - {"stops-the-run"} == table
    assert Finding
