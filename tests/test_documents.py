"""What the README and the documentation say works: every block of code runs, a document from top to bottom.

Blocks ``bash`` are commands of edgesim (others are left out), ``python`` is executed, ``yaml`` must be what the
quickstart could say, and a block with a file's name behind its language is written into that file. ``text`` is what the
commands before it print. ``sh`` is for what needs a test of its own. What would take long is shortened, unless its output
is quoted.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from click.testing import CliRunner

import edgesim
from edgesim import catalog
from edgesim.cli import main

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
WRITTEN = ("reference", "_build")
"""Folders below docs/ that are made from the code."""
ELSEWHERE = {"how-to/served-run.md": "test_served_run.py", "policies.md": "testing/test_tutorial.py"}
"""Documents with a test of their own: one starts from files that a reader brings, one is all about policies."""
DOCUMENTS = [README] + [
    path
    for path in sorted((ROOT / "docs").rglob("*.md"))
    if path.relative_to(ROOT / "docs").parts[0] not in WRITTEN
    and path.relative_to(ROOT / "docs").as_posix() not in ELSEWHERE
]
SHORT = {
    "run": ("scenario.duration=30 s", "scenario.warmup=5 s"),
    "sweep": ("scenario.duration=30 s", "scenario.warmup=5 s"),
    "compare": ("scenario.duration=30 s", "scenario.warmup=5 s"),
}
"""What is appended to commands that do not say themselves how long to simulate."""
APART = ("--plugin", "policies new", "policies check")
"""Commands with policies of the reader's run in a process of their own: here they would stay for all other tests."""


class Block(NamedTuple):
    """A block of code."""

    kind: str
    file: str
    text: str


def blocks(document: Path) -> list[Block]:
    """All blocks of a document, in order."""
    text = document.read_text(encoding="utf-8")
    found = re.findall(r"^```(\w+)[ \t]*([^\n]*)\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    return [Block(kind, file.strip(), body) for kind, file, body in found]


def commands(block: Block) -> list[str]:
    """The commands of edgesim in a block, continuation lines joined."""
    lines = block.text.replace("\\\n", " ").splitlines()
    return [line.rpartition(".venv/bin/")[2] for line in lines if re.match(r"(.*\.venv/bin/)?edgesim ", line)]


def shortened(command: str) -> list[str]:
    """The arguments of a command, with what makes it short."""
    arguments = shlex.split(command, comments=True)[1:]
    told = any(part.partition("=")[0] in ("scenario.duration", "scenario.requests") for part in arguments)
    made = arguments[0] == "compare" and Path(arguments[1].rpartition("=")[2]).is_dir()  # nothing runs
    sets = () if told or made else SHORT.get(arguments[0], ())
    return [*arguments, *(part for one in sets for part in ("--set", one))]


def run_command(command: str, name: str, *, whole: bool) -> str:
    """Run a command, as long as it says or shortened; it must end well. Answers what it prints."""
    arguments = shlex.split(command, comments=True)[1:] if whole else shortened(command)
    if any(word in command for word in APART):
        done = subprocess.run(
            [sys.executable, "-m", "edgesim", *arguments],
            capture_output=True, text=True, check=False, timeout=300, env={**os.environ, "COLUMNS": "100"},
        )  # fmt: skip
        assert done.returncode == 0, f"{name}: {command}\n{done.stdout}{done.stderr}"
        return done.stdout
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, f"{name}: {command}\n{done.output}"
    return done.stdout


@pytest.fixture(autouse=True)
def at_home(monkeypatch, tmp_path):
    """Run in an empty folder that has the scenarios; pictures are drawn, and shown to nobody."""
    (tmp_path / "scenarios").symlink_to(ROOT / "scenarios")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.setenv("COLUMNS", "100")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_blocks_run(document, tmp_path):
    """In order, in one folder; the Python of a document shares its names."""
    names = {"__name__": document.stem}
    shown = blocks(document)
    printed = ""
    for number, block in enumerate(shown):
        where = f"{document.relative_to(ROOT)}, block {number}"
        if block.file:
            (tmp_path / block.file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / block.file).write_text(block.text, encoding="utf-8")
        elif block.kind == "bash":
            whole = [later.kind for later in shown[number + 1 : number + 2]] == ["text"]
            printed = "\n".join(run_command(command, where, whole=whole) for command in commands(block))
        elif block.kind == "text":
            for line in filter(str.strip, block.text.splitlines()):
                assert plain(line) in plain(printed), f"{where}: {line!r} is not what is printed:\n{printed}"
        elif block.kind == "python":
            exec(compile(block.text, where, "exec"), names)
        elif block.kind == "yaml":
            edgesim.load_scenario({"extends": "quickstart", **yaml.safe_load(block.text)})
    close_figures()


def plain(text: str) -> str:
    """Text without the width of columns and lines."""
    return " ".join(text.split())


def close_figures():
    """Forget the figures that a document drew."""
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


def figures(text: str, pattern: str) -> list[float]:
    """The numbers that a sentence quotes; it must be there."""
    found = re.search(pattern.replace(" ", r"\s+"), text)
    assert found, pattern
    return [float(number) for number in found.groups()]


def test_the_tutorial_s_sentences_quote_its_runs():
    """Figures in its prose, each beside the run that it is about."""
    text = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    routers = {"before": [], "after": ["policies.router=greedy-latency"]}
    runs = {
        name: edgesim.simulate("quickstart", sets=sets, replications=10) for name, sets in routers.items()
    }
    before, after = (edgesim.simulate("quickstart", sets=sets).summary for sets in routers.values())
    (median,) = figures(text, r"request \(p50\) begins after (\d+) ms")
    assert round(before["metrics"]["ttft"]["p50"] * 1000) == median
    assert "One in ten waits over three seconds" in text
    assert 3.0 < before["metrics"]["queue_time"]["p90"] < 3.5
    high, low = figures(text, r"p95 of TTFT falls from ([\d.]+) s to ([\d.]+) s")
    assert round(before["metrics"]["ttft"]["p95"], 1) == high
    assert round(after["metrics"]["ttft"]["p95"], 2) == low
    assert all(row["met"] for row in after["slo"]), "both objectives are met"
    assert "the cloud takes four times as many requests" in text
    taken = [summary["by"]["tier"]["cloud"]["requests"]["completed"] for summary in (before, after)]
    assert 3.5 < taken[1] / taken[0] < 4.5
    gain, cost = figures(text, r"over (\d+) % lower, and energy (\d+) % higher")
    table = edgesim.compare(runs).table.set_index("quantity")
    assert -1 < table.loc["ttft_p95", "relative"] < -gain / 100
    assert round(table.loc["energy_j", "relative"] * 100) == cost
    assert table.loc[["ttft_p95", "energy_j"], "real"].all()


def test_the_readme_s_sentences_count_what_there_is():
    """How many entries, measurements and late answers there are."""
    text = README.read_text(encoding="utf-8")
    for kind, told in zip(
        ("accelerator", "llm"), figures(text, r"some (\d+) accelerators and (\d+) LLMs"), strict=True
    ):
        assert 0.9 < len(catalog.names(kind)) / told < 1.1, kind
    (machines,) = figures(text, r"measurements of some (\d+) public machines")
    assert f"of some {machines:.0f} machines" in (ROOT / "docs" / "explanation" / "accuracy.md").read_text(
        encoding="utf-8"
    )
    table = (ROOT / "docs" / "explanation" / "accuracy.md").read_text(encoding="utf-8")
    median, tenth = figures(
        text, r"they are (\d+) % off in the median, and more than (\d+) % in one case of ten"
    )
    for kind in ("decode step", "prompt"):
        middle, high = figures(table, rf"\| {kind} \| left out .*?\| ([\d.]+) % \| (\d+) % \|")
        assert (round(middle), high > tenth) == (median, True), kind
    assert "one in four begins late" in text
    run = edgesim.simulate("quickstart")
    late = (run.requests["first_token_at"] - run.requests["arrived_at"] > 1.0).mean()
    assert 0.22 < late < 0.28
    assert "take about a second" in text
    assert run.summary["engine"]["cpu_s"] < 3.0


def test_two_lines_set_everything_up():
    """One installs and runs the quickstart, one installs and runs the tests."""
    shell = [line for block in blocks(README) if block.kind == "bash" for line in block.text.splitlines()]
    setup = [line for line in shell if "venv" in line]
    assert len(setup) == 2
    assert "edgesim run scenarios/quickstart.yaml" in setup[0]
    assert "pytest" in setup[1]


def test_the_ci_runs_the_readme_s_test_line():
    """It takes the line from the README itself."""
    text = (ROOT / ".ci" / "run").read_text()
    assert "grep 'pytest' README.md" in text
    assert len([line for line in README.read_text().splitlines() if "pytest" in line]) == 1


def test_documents_left_out_have_their_own_test():
    """Nobody's blocks are forgotten."""
    for name, test in ELSEWHERE.items():
        assert (ROOT / "docs" / name).is_file()
        assert Path(name).name in (ROOT / "tests" / test).read_text(encoding="utf-8")


RUN_ELSEWHERE = {
    "docs/how-to/sweep.md": "studies/test_sweep_resume.py",
    "docs/policies.md": "testing/test_tutorial.py",
    "docs/how-to/served-run.md": "test_served_run.py",
}
"""Documents with a block ``sh``, and the test that does what it says."""


def test_what_cannot_run_as_it_stands_has_a_test_of_its_own():
    """A block ``sh`` in another document is one that nobody runs."""
    found = {
        path.relative_to(ROOT).as_posix()
        for path in (README, *(ROOT / "docs").rglob("*.md"))
        if any(block.kind == "sh" for block in blocks(path))
    }
    assert found == set(RUN_ELSEWHERE)
    assert all((ROOT / "tests" / test).is_file() for test in RUN_ELSEWHERE.values())
    known = {"bash", "python", "yaml", "text", "sh", "json", "toml"}
    shown = {block.kind for path in (README, *(ROOT / "docs").rglob("*.md")) for block in blocks(path)}
    assert shown <= known, "a kind of block that no test looks at"


def test_every_block_says_what_it_is():
    """A block without a language would never be run, nor looked at."""
    for document in DOCUMENTS:
        fences = re.findall(r"^```(.*)$", document.read_text(encoding="utf-8"), flags=re.MULTILINE)
        assert all(fences[::2]), f"{document}: a block without a language"


def test_links_between_documents_lead_somewhere():
    """The README's are followed on the web, where Sphinx does not check them; picture and notebooks are there, too."""
    for document in [README, *(ROOT / "docs").glob("*.md"), *(ROOT / "docs").glob("*/*.md")]:
        if document.parent.name in WRITTEN:
            continue
        for target in re.findall(r"\]\(([^)#:]+)(?:#[\w-]+)?\)", document.read_text(encoding="utf-8")):
            if not target.startswith(("reference/", "../reference/")):  # made when the documentation is built
                assert (document.parent / target).exists(), f"{document.relative_to(ROOT)}: {target}"


def test_the_map_of_rooms_is_the_order_of_imports() -> None:
    """CONTRIBUTING lists every room, from top to bottom as `lint-imports` holds it."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rooms = re.findall(
        r"^\| (`.+?) \| ", text.partition("| room |")[2].partition("\n\n")[0], flags=re.MULTILINE
    )
    listed = [{name.strip("`/").removesuffix(".py") for name in room.split(", ")} for room in rooms]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (contract,) = project["tool"]["importlinter"]["contracts"]
    assert listed == [
        {name.strip().removeprefix("edgesim.") for name in layer.split("|")} for layer in contract["layers"]
    ]
    inside = {path.stem for path in (ROOT / "edgesim").iterdir() if not path.name.startswith("__")}
    assert set().union(*listed) == inside


def test_the_changelog_has_each_heading_once() -> None:
    """A reader of a version finds all that was added in one place."""
    for version in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").split("\n## ")[1:]:
        headings = re.findall(r"^### (.+)$", version, flags=re.MULTILINE)
        assert headings == [
            kind for kind in ("Added", "Changed", "Deprecated", "Removed", "Fixed") if kind in headings
        ]
