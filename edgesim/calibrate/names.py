"""Names: what benchmarks, drivers and hubs call hardware and models, found in the catalogue."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Final

from edgesim import catalog

if TYPE_CHECKING:
    from edgesim.catalog import Llm

_NOISES: Final = (
    "nvidia geforce rtx gtx rx amd radeon intel qualcomm apple rockchip raspberry gpu gpus core generation "
    "edition workstation graphics with design series one of the a npu tesla quadro instinct google pcie "
    "sxm sxm2 sxm4 sxm5 nvl mac studio mini macbook qrd crd adp platform single superchip blackwell"
)
"""Words that say nothing about which one it is."""

_SAME: Final = {"al": "ai", "mobile": "laptop", "4b": "4", "3b": "3", "cm5": "5", "hopper": ""}

_OTHERWISE: Final = (
    (r"gb10|dgx spark", "nvidia-gb10"),
    (r"framework .*(395|128gb)|a[il] max.* 395", "ryzen-ai-max-395"),
    (r"ai 5 340", "ryzen-ai-5-340"),
    (r"n150", "intel-n150"),
    (r"q8400", "core-2-quad-q8400"),
    (r"dc-roma", "dc-roma-mainboard-ii"),
    (r"p550(?!.*amd)", "hifive-premier-p550"),
    (r"rk3588.*npu|npu.*rk3588", "rockchip-rk3588-npu"),
    (r"ms-r1(?!.*nvidia)", "minisforum-ms-r1"),
    (r"orion o6(?!.*nvidia)", "radxa-orion-o6"),
    (r"8592", "intel-xeon-8592"),
    (r"(core )?ultra 100", "intel-core-ultra-100"),
    (r"(core )?ultra 200", "intel-core-ultra-200"),
)
"""Computers that are called by their box: patterns, and what is inside."""

_FORMS: Final = ("pcie", "sxm", "nvl")
_WORD: Final = re.compile(r"[a-z]+\d*[a-z]*|\d+[a-z]*")


def accelerator_named(said: str) -> str | None:
    """Name in the catalogue of an accelerator that somebody calls otherwise; None if it has none.

    All words that tell accelerators apart must be the same; memory size, form and number of cores decide between
    those that are left, the largest being taken where nothing is said.
    """
    if said in catalog.names("accelerator"):
        return said
    text = said.lower()
    for pattern, name in _OTHERWISE:
        if re.search(pattern, text):
            return name
    inside = re.search(r"\(([^)]*)\)", text)
    outside = re.sub(r"\([^)]*\)", " ", text)
    card = inside is not None and any(word in inside[1] for word in ("nvidia", "amd", "radeon"))
    bracketed = inside[1] if inside else ""
    tries = [bracketed, outside] if card else [outside, bracketed, text]
    return next((found for part in tries if part and (found := _alike(part, text))), None)


def _alike(part: str, text: str) -> str | None:
    """The catalogue's accelerator whose telling words are those of a part of a text."""
    words, (_, sizes, form, cores) = _parts(part)[0], _parts(text)
    found: list[tuple[tuple[bool, bool, bool, float], str]] = []
    for name, (theirs, their_sizes, their_form, their_cores) in _catalogued().items():
        if not words or theirs != words or (cores and their_cores and cores != their_cores):
            continue
        peak = catalog.accelerator(name).memory_bandwidth
        close = not sizes or bool(sizes & their_sizes), (form or "sxm") == their_form, cores == their_cores
        found.append(((*close, peak), name))
    return max(found)[1] if found else None


@cache
def _catalogued() -> dict[str, tuple[frozenset[str], frozenset[int], str, int]]:
    return {name: _parts(catalog.accelerator(name).title) for name in catalog.names("accelerator")}


def _parts(text: str) -> tuple[frozenset[str], frozenset[int], str, int]:
    """Words that tell accelerators apart, memory sizes [GB], form, number of GPU cores."""
    text = re.sub(r"\brtx ?(?=pro|\d)", "rtx ", text.lower().replace("max-q", "maxq"))
    text = re.sub(r"\bpro(?=\d)", "pro ", text)
    cores = re.search(r"(\d+)[ -](?:gpu core|core gpu)", text) or re.search(r"\+(\d+)gpu", text)
    text = re.sub(r"\d+p\+\d+e\+\d+gpu|\d+[ -](?:core gpu|gpu core)", " ", text)
    sizes = frozenset(int(number) for number in re.findall(r"(\d+) ?gb\b", text))
    form = next((form for form in _FORMS if form in text), "")
    text = re.sub(r"\([^)]*\)|hbm\d?e?\b|model [ab]\b", " ", text)
    text = re.sub(r"\d+ ?gb\b|\d+ ?w\b|\d+[ -]cores?\b", " ", text)
    found = {_SAME.get(word, word) for word in _WORD.findall(text)}
    return frozenset(found - frozenset(_NOISES.split()) - {""}), sizes, form, int(cores[1]) if cores else 0


_SUFFIX: Final = re.compile(
    r"[- ](instruct|chat|it|hf|base|fp8|awq|gptq|bf16|gguf|f16|q\d.*|mxfp4|v0 3|v0 2|v0 1|\d+k)\b.*"
)
"""What hubs put behind a model's name and that changes nothing about its architecture."""

_ALIKE: Final = (
    (r"codellama-(7|13)b", r"llama-2-\1b"),
    (r"codellama-34b", "codellama-34b"),
    (r"codellama-70b", "llama-2-70b"),
    (r"llama-?2-(7|13|70)b", r"llama-2-\1b"),
    (r"llama-v2-7b", "llama-2-7b"),
    (r"(meta-)?llama-(v?)3[- ]1-(8|70|405)b.*", r"llama-3.1-\3b"),
    (r"llama-(v?)3[- ]2-(1|3)b", r"llama-3.2-\2b"),
    (r"llama-3[- ]3-70b", "llama-3.1-70b"),
    (r"llama-(v?)3-(8|70)b", r"llama-3-\2b"),
    (r"llama-v3-.*8b.*|deepseek-r1-distill-llama-8b", "llama-3.1-8b"),
    (r"deepseek-r1-distill-llama-70b", "llama-3.1-70b"),
    (r"deepseek-r1-distill-qwen-1 5b", "qwen2.5-1.5b"),
    (r"deepseek-r1-distill-qwen-(7|14|32)b", r"qwen2.5-\1b"),
    (r"deepseek-r1-671b", "deepseek-v3"),
    (r"qwen2[- ]5-coder-(.*)b", r"qwen2.5-\1b"),
    (r"qwen2[- ]5[- ]vl-(\d+)b", r"qwen2.5-vl-\1b"),
    (r"qwen2[- ]5[- ](\d+ \d+|\d+)b", r"qwen2.5-\1b"),
    (r"qwen2[- ](\d+ \d+|\d+)b", r"qwen2.5-\1b"),
    (r"qwq-32b", "qwen2.5-32b"),
    (r"qwen3[- ](.*)", r"qwen3-\1"),
    (r"gemma-?(\d)[- ](\d+)b", r"gemma-\1-\2b"),
    (r"codegemma-(1 1-)?(\d)b", r"gemma-\2b"),
    (r"phi-?3[- ](5-)?mini|phi-3-8b|phi3 3 8b", "phi-3.5-mini"),
    (r"mistral-7b.*", "mistral-7b-v0.1"),
    (r"tinyllama[- ].*", "tinyllama-1.1b"),
)
"""Models that share an architecture, as patterns on plain names."""


def llm_named(said: str) -> str | None:
    """Name in the catalogue of a model that somebody calls otherwise; None if it has none."""
    known = catalog.names("llm")
    plain = said.rpartition("/")[2].lower().replace("_", "-").replace("meta-", "")
    tried = [plain, _SUFFIX.sub("", plain.replace(".", " "))]
    tried.append(re.sub(r"[- ]instruct.*", "", tried[1]))
    for name in list(tried):
        for pattern, target in _ALIKE:
            if re.fullmatch(pattern, name):
                tried.append(re.sub(pattern, target, name))
    return next((n for name in tried if (n := _dotted(name)) in known), None)


def _dotted(name: str) -> str:
    """Put the points of numbers back, and hyphens between words."""
    return re.sub(r"(?<=\d) (?=\d)", ".", name).replace(" ", "-")


def generic_llm(params: float) -> Llm:
    """A dense LLM of so many parameters, shaped as those of the Llama family between 0.5 and 400 billion are.

    For measurements of models whose architecture is not known: what a step costs depends on the parameters first.
    """
    like = min(
        ("qwen2.5-0.5b", "llama-3.2-1b", "llama-3.2-3b", "llama-3.1-8b", "llama-2-13b", "llama-3.1-70b"),
        key=lambda name: abs(_ratio(catalog.llm(name).params, params)),
    )
    model = catalog.llm(like)
    width = (params / model.params) ** 0.5
    hidden, ffn = round(model.hidden * width / 64) * 64, round(model.ffn * width / 64) * 64
    heads = max(1, round(hidden / model.head_dim))
    kv_heads = max(1, round(heads * model.kv_heads / model.heads))
    shaped = replace(
        model, name=f"dense-{params / 1e9:.3g}b", hidden=hidden, ffn=ffn, heads=heads, kv_heads=kv_heads
    )
    return replace(shaped, params=round(params))


def _ratio(a: float, b: float) -> float:
    return a / b - 1 if a > b else b / a - 1
