"""Scenarios to start from, and the schema for editors."""

from __future__ import annotations

import re

import pytest

from edgesim.registry import UnknownNameError
from edgesim.scenario import json_schema, load, template
from edgesim.scenario.outline import plain_schema


def test_the_commented_template_is_a_scenario(tmp_path):
    """`edgesim init --commented` gives a file that loads."""
    path = tmp_path / "mine.yaml"
    path.write_text(template.commented(), encoding="utf-8")
    assert load(path).name == "my-scenario"


def test_the_commented_template_shows_every_key():
    """No key is forgotten when the schema grows."""
    schema = plain_schema()
    text = template.commented()
    parts = [schema, *schema["$defs"].values()]
    keys = {key for part in parts for key in part.get("properties", {})}
    shown = set(re.findall(r"[A-Za-z_][A-Za-z_0-9]*", text))
    inside_objectives = {"per_token", "per_token_squared", "base", "per_sequence", "per_context_token"}
    assert set() == keys - shown - inside_objectives


def test_the_commented_template_explains_every_line():
    """Every key that is shown has its description, at its end or above it."""
    lines = template.commented().splitlines()
    keys = [index for index, line in enumerate(lines) if re.match(r"\s*(- |# )?[a-z_0-9]+:( |$)", line)]
    named = ("phone:", "edge:", "chat:")
    bare = [
        lines[index]
        for index in keys
        if "  # " not in lines[index]
        and not lines[index - 1].strip().startswith("##")
        and not lines[index].strip().startswith((*named, "- llm:"))
    ]
    assert bare == []


def test_the_commented_template_gives_an_example_of_every_value():
    """A key without a default shows what could stand there, at a temperature that makes sense."""
    text = template.commented()
    assert re.findall(r"^ *# \w+: '?\.\.\.'?.*", text, flags=re.MULTILINE) == []
    assert "throttle_at: 75 degC" in text
    assert "1, 2, 3 ..." in text


def test_commented_defaults_are_what_they_say(tmp_path):
    """Removing the comment sign before a default changes nothing."""
    text = template.commented()
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    plain = load(path)
    for key in (
        "replications: 1",
        "pue: 1.0",
        "electricity: 0 USD/kWh",
        "watermark: 1 %",
        "kv: fp16",
        "engine: auto",
    ):
        assert f"# {key}" in text
        path.write_text(text.replace(f"# {key}", key), encoding="utf-8")
        assert plain == load(path)


def test_unknown_packaged_scenarios_are_refused():
    """A misspelt name is an error of ours."""
    with pytest.raises(UnknownNameError, match="no packaged scenario named 'nope'"):
        template.text("nope")


def test_packaged_scenarios_have_texts():
    """Every shipped scenario can be read by its name."""
    for name in template.packaged():
        assert "topology:" in template.text(name) or "extends:" in template.text(name)


def test_the_schema_knows_policies_units_and_short_forms():
    """Editors complete policies, and accept plain values where mappings have a short form."""
    schema = json_schema()
    definitions = schema["$defs"]
    router = definitions["Policies"]["properties"]["router"]
    assert "threshold-offload" in str(router)
    assert {"type": "integer", "minimum": 1} in definitions["Workload"]["properties"]["prompt_tokens"][
        "anyOf"
    ]
    assert "LognormalTokens" in definitions
    assert "extends" in schema["properties"]
    assert definitions["Node"]["properties"]["electricity"]["default"] == "0 USD/kWh"
    for reference in re.findall(r"'\$ref': '([^']*)'", str(schema)):
        assert reference.removeprefix("#/$defs/") in definitions


def test_every_key_has_a_description():
    """The schema feeds help and templates, so nothing may stay unexplained."""
    schema = plain_schema()
    bare = [
        f"{name}.{key}"
        for name, part in {"Scenario": schema, **schema["$defs"]}.items()
        for key, field in part.get("properties", {}).items()
        if not (field | schema["$defs"].get(field.get("$ref", "").removeprefix("#/$defs/"), {})).get(
            "description"
        )
    ]
    assert bare == []
