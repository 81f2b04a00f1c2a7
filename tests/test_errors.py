"""What errors carry, how they read, and that they survive SimPy and process pools."""

from __future__ import annotations

import pickle

import pytest

from edgesim.errors import (
    EdgesimError,
    MissingExtraError,
    PolicyError,
    Problem,
    ResultsError,
    ScenarioError,
    SimulationError,
    UnitError,
    path_text,
)

LATENCY = Problem(
    ("links", 0, "latncy"),
    "unknown key; did you mean 'latency'?",
    file="scenarios/campus.yaml",
    line=5,
    column=5,
    source="    latncy: 20 ms",
    length=6,
)
ROUTER = Problem(
    ("router", "kind"),
    "no router named 'least-loded'; did you mean 'least-loaded'?",
    "`edgesim policies list` lists all; add yours with --plugin FILE.py",
    file="scenarios/campus.yaml",
    line=7,
    column=15,
    source="router: {kind: least-loded}",
    length=11,
)


def test_report_shows_place_line_carets_text_and_help():
    """All problems of a file appear at once, each with its line, carets and a next step."""
    expected = """\
error: 2 problems in scenarios/campus.yaml

scenarios/campus.yaml:5:5  links[0].latncy
   5 |     latncy: 20 ms
     |     ^^^^^^
  unknown key; did you mean 'latency'?

scenarios/campus.yaml:7:15  router.kind
   7 | router: {kind: least-loded}
     |               ^^^^^^^^^^^
  no router named 'least-loded'; did you mean 'least-loaded'?
  help: `edgesim policies list` lists all; add yours with --plugin FILE.py"""
    assert expected == str(ScenarioError([LATENCY, ROUTER]))


def test_report_without_a_file_names_the_path():
    """A scenario from Python has no file; the path alone says where."""
    problem = Problem(("topology", "nodes", "edge", "count"), "0 is too small; it must be at least 1")
    expected = """\
error: 1 problem

topology.nodes.edge.count
  0 is too small; it must be at least 1"""
    assert expected == str(ScenarioError([problem]))


def test_report_names_every_file():
    """Problems of several files are announced together."""
    problems = [Problem((), "x", file=name) for name in ("a.yaml", "b.yaml", "a.yaml", "c.yaml")]
    assert str(ScenarioError(problems)).startswith("error: 4 problems in a.yaml, b.yaml and c.yaml\n")


def test_a_sentence_is_a_problem():
    """A scenario error may be raised with a plain sentence."""
    error = ScenarioError("the trace is empty")
    assert [Problem((), "the trace is empty")] == error.problems
    assert str(error) == "error: 1 problem\n\n  the trace is empty"


def test_carets_stay_within_the_line():
    """An underlined stretch that is longer than its line is cut."""
    problem = Problem((), "x", file="f", line=1, column=3, source="abcd", length=9)
    assert "     |   ^^" in str(problem).splitlines()


def test_control_characters_do_not_reach_the_terminal():
    """A source line is shown without characters that could move the cursor."""
    problem = Problem((), "x", file="f", line=1, column=2, source="a\x1b[2Jb\tc")
    assert "   1 | a [2Jb c" in str(problem).splitlines()


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ((), ""),
        (("topology",), "topology"),
        (("topology", "links", 2, "between", 0), "topology.links[2].between[0]"),
        ((0, 1), "[0][1]"),
    ],
)
def test_paths_read_as_people_write_them(path, text):
    """Keys are joined by dots, positions stand in brackets."""
    assert text == path_text(path)


@pytest.mark.parametrize(
    "error",
    [
        EdgesimError("x"),
        ScenarioError([LATENCY, ROUTER]),
        ScenarioError("a sentence"),
        UnitError([LATENCY]),
        PolicyError("x"),
        SimulationError("x"),
        ResultsError("x"),
        MissingExtraError("gymnasium", "rl"),
    ],
)
def test_errors_rebuild_from_their_args(error):
    """SimPy re-raises `type(e)(*e.args)`, process pools pickle: neither may lose anything."""
    for again in (type(error)(*error.args), pickle.loads(pickle.dumps(error))):  # noqa: S301 - our own bytes
        assert type(error) is type(again)
        assert str(error) == str(again)
        assert error.args == again.args


def test_missing_extra_says_how_to_install_it():
    """The message holds the command."""
    assert str(MissingExtraError("gymnasium", "rl")) == "needs gymnasium: pip install 'edgesim[rl]'"


def test_the_tree_has_one_root():
    """Everything that edgesim raises on purpose can be caught at once."""
    for kind in (ScenarioError, UnitError, PolicyError, SimulationError, ResultsError, MissingExtraError):
        assert issubclass(kind, EdgesimError)
    assert issubclass(UnitError, ScenarioError)
