"""YAML 1.2 scalars, places, and what is more than data."""

# Messages stand whole beside what causes them.
# ruff: noqa: ISC004

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesim.errors import ScenarioError
from edgesim.scenario.text import dump, read

HERE = Path()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"),
        ("no", "no"),
        ("yes", "yes"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("12:30:45", "12:30:45"),
        ("2026-11-22", "2026-11-22"),
        ("010", 10),
        ("0o10", 8),
        ("0x10", 16),
        ("-3", -3),
        ("1_000", "1_000"),
        ("1e9", 1e9),
        ("1.5e-3", 1.5e-3),
        (".5", 0.5),
        (".inf", float("inf")),
        ("6/s", "6/s"),
        ("10 ms", "10 ms"),
        ("'5'", "5"),
        ("=", "="),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text, value):
    """What looks like text is text; what looks like a number is a number."""
    found = read(f"key: {text}", "f", HERE).plain()["key"]
    assert value == found
    assert type(value) is type(found)


def test_keys_are_text_as_written():
    """`on` is a key of deployments, not a truth value, and node 5 may be called so."""
    assert read("{on: 1, 5: 2, true: 3}", "f", HERE).plain() == {"on": 1, "5": 2, "true": 3}


def test_places_cover_the_value():
    """Every scalar knows line, column and length; every key, too."""
    entry = read("a: 1\nb:\n  c: 'two words'  # here\n", "f", HERE).child("b").child("c")
    assert (entry.place.line, entry.place.column, entry.place.length) == (3, 6, 11)
    assert (entry.key.line, entry.key.column, entry.key.length) == (3, 3, 1)


@pytest.mark.parametrize(
    ("text", "place", "sentence"),
    [
        ("a: 1\nb: {c: 2, c: 3}\na: 4", (2, 11), "duplicate key; it stands already in line 2"),
        ("a: !!python/object:os.system x", (1, 4), "the tag '!!python/object:os.system' is not allowed; "
         "a scenario is data only"),
        ("a: !mine x", (1, 4), "the tag '!mine' is not allowed; a scenario is data only"),
        ("? [a]\n: 2", (1, 3), "a key is a word, not a list or a mapping"),
        ("a: &x [*x]", (1, 4), "this alias contains itself, or multiplies without end"),
        ("a: *nope", (1, 4), "undefined alias 'nope'"),
        ("a: 1\n---\nb: 2", (2, 1), "a second YAML document"),
        ("a:\n\t- b", (2, 1), "a tab cannot indent YAML"),
        ("a: b: c", (1, 5), "a colon where no key can stand"),
        ("a: 'x\n", (1, 6), "not valid YAML: while scanning a quoted scalar, found unexpected end of stream"),
        ("a: @x", (1, 4), "not valid YAML: while scanning for the next token, "
         "found character '@' that cannot start any token"),
        ("a: \x01", (1, 4), "the character '\\x01' is not allowed in YAML"),
    ],
)  # fmt: skip
def test_what_is_no_data_is_located(text, place, sentence):
    """The first problem stands where the text goes wrong."""
    with pytest.raises(ScenarioError) as caught:
        read(text, "f", HERE)
    problem = caught.value.problems[0]
    assert (place, sentence) == ((problem.line, problem.column), problem.text)


def test_multiplying_aliases_end():
    """Ten levels of ten aliases are refused in no time instead of filling the memory."""
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    with pytest.raises(ScenarioError, match="multiplies without end"):
        read("\n".join(levels), "f", HERE)


def test_deep_nesting_is_refused():
    """A thousand brackets are a problem, not a crash."""
    with pytest.raises(ScenarioError, match="nested too deeply"):
        read("[" * 5000, "f", HERE)


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec="utf-8"))
)


@given(
    st.recursive(
        scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text("abc-.", min_size=1), inner)
    )
)
def test_dumped_data_reads_back_equal(data):
    """What is written is read as it was."""
    assert {"key": data} == read(dump({"key": data}), "f", HERE).plain()


@pytest.mark.parametrize(
    "text", ["1e9", "on", "010", "10", "true", "~", ".5", "1_0", "0x1", "x: y", "- a", ""]
)
def test_text_that_looks_like_something_else_stays_text(text):
    """The dumper quotes by the same rules by which the reader resolves."""
    assert [text] == read(dump([text]), "f", HERE).plain()
