"""Finds entries by what people and drivers call them: full names, aliases, words of a title."""

from __future__ import annotations

import re
from functools import cache
from typing import Final

from edgesim.catalog.load import described, names

_SAID_ANYWAY: Final = frozenset(
    {
        "nvidia",
        "geforce",
        "tesla",
        "amd",
        "radeon",
        "apple",
        "intel",
        "qualcomm",
        "google",
        "rtx",
        "gtx",
        "rx",
        "gpu",
        "npu",
        "hexagon",
        "blackwell",
        "workstation",
        "edition",
        "generation",
        "series",
        "the",
        "with",
        "hbm2",
        "hbm2e",
        "hbm3",
        "hbm3e",
    }
)
"""Words of hardware names that tell nothing apart."""

_BUILDS: Final = re.compile(
    r"\b(?:instruct|chat|thinking|it|hf|base|preview|dynamic|gguf|meta|q\d[a-z0-9_]*|f16|bf16|fp16|fp8|fp4|int[48]"
    r"|w\da\d+|awq|gptq|quantized|mxfp4|nvfp4|qat|2[3-9](?:0[1-9]|1[0-2]))\b"
)
"""Words that name a build of an LLM or its month (2507), not its architecture."""

_SIZE: Final = re.compile(r"\d+gb")
_CORES: Final = re.compile(r"\d+core")


Words = tuple[str, ...]
"""Words in alphabetical order, repeated ones as often as they are said."""


def _hardware(text: str) -> Words:
    plain = re.sub(r"\b(rtx|gtx)(?=\d|pro)|(?<=rtxpro)", r"\1 ", text.lower())
    plain = re.sub(r"\d+p\+\d+e\+(\d+)gpu", r"\1core", plain)
    plain = re.sub(r"(\d+)[ -]*(?:gpu[ -]*)?cores?\b", r"\1core", plain)
    plain = re.sub(r"(\d+) *gi?b\b", r"\1gb", plain)
    plain = re.sub(r"\bsxm\d\b", "sxm", plain)
    return tuple(sorted(word for word in re.findall(r"[a-z0-9]+\+?", plain) if word not in _SAID_ANYWAY))


def _llm(text: str) -> Words:
    plain = _BUILDS.sub(" ", text.lower().rpartition("/")[2])
    plain = _BUILDS.sub(" ", plain.replace("_", " "))
    return tuple(sorted(re.findall(r"[a-z]+|\d+(?:\.\d+)?", plain)))


_READERS: Final = {"accelerator": _hardware, "llm": _llm}


def called(kind: str, name: str) -> tuple[str, ...]:
    """Everything an entry is called: its name, title and aliases."""
    about = described(kind, name)
    return name, about["title"], *about.get("aliases", ())


@cache
def _known(kind: str) -> tuple[tuple[str, Words], ...]:
    """Every way to call an entry, as words, in the catalogue's order."""
    read = _READERS[kind]
    return tuple((name, read(text)) for name in names(kind) for text in called(kind, name))


def named(kind: str, text: str) -> str | None:
    """Name in the catalogue of an accelerator or LLM that somebody calls otherwise; None if there is none.

    Sizes of memory and numbers of cores decide where the catalogue tells them apart, and are passed over where
    it does not. Of "host (card)" the card is looked for first.
    """
    for part in _parts(text):
        for dropped in ((), (_SIZE,), (_SIZE, _CORES)):
            wanted = _without(_READERS[kind](part), dropped)
            if not wanted:
                continue
            for name, words in _known(kind):
                if wanted == _without(words, dropped):
                    return name
    return None


def _parts(text: str) -> list[str]:
    inside = re.findall(r"\(([^)]*)\)", text)
    return [text, *inside, re.sub(r"\([^)]*\)", " ", text)] if inside else [text]


def _without(words: Words, dropped: tuple[re.Pattern[str], ...]) -> Words:
    return tuple(word for word in words if not any(each.fullmatch(word) for each in dropped))
