"""Where time, joules and dollars go: by tier and phase."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from edgesim.studies.explanation.part import Part
from edgesim.studies.explanation.subject import SEQUENCE
from edgesim.units import format_joules, format_percent, format_seconds, format_usd

if TYPE_CHECKING:
    from edgesim.studies.explanation.subject import Subject

WORTH_TELLING: Final = 5e-4
"""Smaller shares are left to the table."""


def time(subject: Subject) -> Part:
    """Answer the mean seconds in each phase, over all completed requests and by tier."""
    done = subject.completed
    title = "Where time goes"
    if not len(done):
        return Part(
            title, ["No request was completed after the warm-up, so there are no latencies to divide."]
        )
    rows: list[dict[str, Any]] = []
    groups = [("all", done), *((str(tier), part) for tier, part in done.groupby("tier", observed=True))]
    groups = groups if len(groups) > 2 else groups[:1]
    for tier, part in groups:
        means = {phase: float(part[phase].mean()) for phase in SEQUENCE}
        whole = sum(means.values())
        rows += [
            {"tier": tier, "phase": phase, "requests": len(part), "mean_s": mean, "share": mean / whole}
            for phase, mean in means.items()
            if mean > 0
        ]
    table = pd.DataFrame(rows, columns=["tier", "phase", "requests", "mean_s", "share"])
    sentences = [_time_sentence(tier, table[table["tier"] == tier]) for tier, _ in groups]
    return Part(title, sentences, {"time": table})


def _time_sentence(tier: str, rows: pd.DataFrame) -> str:
    top = rows.nlargest(3, "mean_s")
    told = ", ".join(
        f"{format_seconds(row['mean_s'])} {row['phase']} ({format_percent(row['share'])})"
        for row in top.to_dict(orient="records")
    )
    whole = format_seconds(float(rows["mean_s"].sum()))
    who = "A completed request" if tier == "all" else f"On tier {tier} it"
    return f"{who} takes {whole} on average: {told}."


def energy(subject: Subject) -> Part:
    """Answer the joules of each tier: of requests, standing by, on the network."""
    summary = subject.summary
    joules, tiers = summary["energy_j"], summary["by"]["tier"]
    network: dict[str, float] = {}
    if subject.legs is not None:
        sums = subject.legs.groupby("tier", observed=True)["network_energy_j"].sum()
        network = {str(tier): float(value) for tier, value in sums.items()}
    rows = [
        {
            "tier": tier,
            "dynamic_j": group["energy_j"].get("dynamic", 0.0),
            "idle_j": group["energy_j"].get("idle", 0.0),
            "network_j": network.get(tier, 0.0),
        }
        for tier, group in tiers.items()
    ]
    # what no tier is charged with: transfers without recorded legs, decisions, works beside the LLMs
    rest = (joules["network"] or 0.0) - sum(row["network_j"] for row in rows)
    if rest > 1e-9 * max(joules["total"], 1.0):
        rows.append({"tier": "network", "dynamic_j": 0.0, "idle_j": 0.0, "network_j": rest})
    rows += [
        {"tier": name, "dynamic_j": joules[name], "idle_j": 0.0, "network_j": 0.0}
        for name in ("decisions", "works")
        if joules.get(name)
    ]
    table = pd.DataFrame(rows, columns=["tier", "dynamic_j", "idle_j", "network_j"])
    table["total_j"] = table[["dynamic_j", "idle_j", "network_j"]].sum(axis=1)
    table["share"] = table["total_j"] / joules["total"] if joules["total"] else 0.0
    return Part("Where joules go", _energy_sentences(subject, table), {"energy": table})


def _energy_sentences(subject: Subject, table: pd.DataFrame) -> list[str]:
    joules = subject.summary["energy_j"]
    if not joules["total"]:
        return ["No energy was counted: the scenario states no power."]
    parts = [
        f"{format_percent((joules[name] or 0.0) / joules['total'])} {word}"
        for name, word in (("dynamic", "computing"), ("idle", "idle"), ("network", "on the network"))
        if (joules[name] or 0.0) >= WORTH_TELLING * joules["total"]
    ]
    each = " per replication" if subject.replications > 1 else ""
    sentences = [f"The system used {format_joules(joules['total'])}{each}: {', '.join(parts)}."]
    top = table.nlargest(1, "total_j").iloc[0]
    sentences.append(
        f"Tier {top['tier']} used most, {format_joules(top['total_j'])} ({format_percent(top['share'])})."
        if len(table) > 1
        else f"All of it on tier {top['tier']}."
    )
    if joules["idle"] > joules["total"] / 2:
        sentences.append("More than half of the energy was drawn by accelerators that stood idle.")
    return sentences


def cost(subject: Subject) -> Part:
    """Answer the dollars of each tier's requests, and what nobody's requests pay for."""
    summary = subject.summary
    total = summary["cost_usd"]
    rows = [
        {"tier": tier, "completed": group["requests"]["completed"], "cost_usd": group["cost_usd"]}
        for tier, group in summary["by"]["tier"].items()
    ]
    of_requests = summary["of_requests"]["cost_usd"]
    placed = sum(row["cost_usd"] for row in rows)
    for name, amount in (("(no tier)", of_requests - placed), ("(idle)", total - of_requests)):
        if amount > 1e-9 * max(total, 1e-9):
            rows.append({"tier": name, "completed": 0, "cost_usd": amount})
    table = pd.DataFrame(rows, columns=["tier", "completed", "cost_usd"])
    table["share"] = table["cost_usd"] / total if total else 0.0
    runs = subject.replications
    means = {tier: group["metrics"]["cost"]["mean"] for tier, group in summary["by"]["tier"].items()}
    table["usd_per_1000"] = [
        float("nan") if means.get(row["tier"]) is None else means[row["tier"]] * 1e3 for row in rows
    ]
    title = "Where dollars go"
    if not total:
        return Part(title, ["Nothing costs anything here: the scenario states no prices."], {"cost": table})
    top = table.nlargest(1, "cost_usd").iloc[0]
    where = "idle accelerators" if top["tier"] == "(idle)" else f"tier {top['tier']}"
    done = summary["requests"]["completed"]
    each = f", {format_usd(total * runs / done * 1e3)} per 1,000 completed requests" if done else ""
    part = "all of it" if top["share"] > 0.9995 else f"the largest part, {format_percent(top['share'])},"
    of = " per replication" if runs > 1 else ""
    sentences = [f"The system cost {format_usd(total)}{of}{each}; {part} went to {where}."]
    if top["tier"] != "(idle)" and total > of_requests * 1.01:
        sentences.append(
            f"{format_percent(1 - of_requests / total)} was paid for accelerators that stood idle."
        )
    return Part(title, sentences, {"cost": table})
