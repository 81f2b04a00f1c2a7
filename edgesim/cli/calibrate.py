"""`edgesim calibrate`: fit cost models to measurements."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edgesim.cli.base import FILE, debug_option, print_table


@click.group()
def calibrate() -> None:
    """Fit cost models to measurements."""


@calibrate.command("costs")
@click.option(
    "--kernels",
    metavar="PREFIX",
    help="Kernel times: PREFIXdense.csv, PREFIXper_sequence.csv, PREFIXattention.csv, maybe with .gz; PREFIX ends "
    "with an underscore if the names have one there, as in gpu_dense.csv.",
)
@click.option(
    "--database",
    metavar="WHERE",
    help="A database of kernels: 'package' (aiconfigurator-core), or a folder. With --log: price steps by it.",
)
@click.option("--points", type=FILE, help="Measured speeds: CSV, or llama-bench JSON.")
@click.option(
    "--log", type=FILE, help="A serving run's requests: CSV, JSON lines, or a benchmark's result file."
)
@click.option(
    "--settings", type=FILE, help="The engine's settings as JSON or YAML, such as vLLM's arguments."
)
@click.option("--system", metavar="NAME", help="With --database: its name of the accelerator.")
@click.option("--accelerator", metavar="NAME", help="What it ran on, as the catalogue calls it.")
@click.option("--llm", metavar="NAME", help="What was run, as the catalogue calls it.")
@click.option("--weights", metavar="FORMAT", help="fp16, bf16, fp8, int8, int4, nvfp4, ...")
@click.option("--kv", metavar="FORMAT", help="Number format of the KV cache.")
@click.option("--tensor-parallel", type=click.IntRange(1), metavar="N", help="Accelerators that shared it.")
@click.option("--data-parallel", type=click.IntRange(1), metavar="N", help="Replicas beside each other.")
@click.option(
    "--expert-parallel/--no-expert-parallel", default=None, help="Whether accelerators held whole experts."
)
@click.option("--kv-tokens", type=int, metavar="N", help="Size of the KV cache, as the engine reports it.")
@click.option("--prefix-cache/--no-prefix-cache", default=None, help="Whether the engine cached prefixes.")
@click.option("--profile", type=FILE, help="With --log: price steps by this profile, not by the roofline.")
@click.option("--fit/--no-fit", default=True, help="With --log: fit what costs leave open, or only compare.")
@click.option(
    "--train",
    type=click.IntRange(1),
    metavar="N",
    help="With --log: fit on the first N requests, compare on the rest.",
)
@click.option(
    "--shared-prefix",
    type=click.IntRange(0),
    default=0,
    metavar="N",
    help="With --log: tokens that all prompts begin with.",
)
@click.option(
    "--curves", type=FILE, help="With --log: measured load, a CSV of t, running, waiting, kv_cache_pct."
)
@click.option(
    "--engine", default="", show_default=False, help="With --kernels or --database: engine and version."
)
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), required=True, help="File to write; with --log: a folder."
)
@debug_option
def calibrate_costs(
    kernels: str | None, database: str | None, points: Path | None, log: Path | None, out: Path, **given: Any
) -> None:
    """Fit step costs to measurements; write what scenarios name.

    They are of one kind: kernel times, speeds of single prompts and batches, or a serving run's log. The error that
    the fit leaves is told.
    """
    if sum(source is not None for source in (kernels, points, log or database)) != 1:
        raise click.UsageError(
            "give one of --kernels, --database, --points and --log (a log may use a database)"
        )
    if database is not None and given["profile"] is not None:
        raise click.UsageError("give --profile or --database, not both")
    from edgesim.calibrate import command, replay  # noqa: PLC0415 - not for --help

    command.check_out(out, folder=log is not None)
    names = ("weights", "kv", "tensor_parallel", "kv_tokens", "prefix_cache", "expert_parallel")
    keys = {name: given[name] for name in names} | {"replicas": given["data_parallel"]}
    about = command.subject(given["accelerator"], given["llm"], given["settings"], keys)
    if kernels is not None:
        told = command.from_kernels(kernels, about, given["engine"], out, print_table)
    elif points is not None:
        told = command.from_points(points, about, out, print_table)
    elif log is not None:
        names = ("fit", "train", "profile", "system", "curves", "shared_prefix")
        wish = replay.Wish(database=database, **{name: given[name] for name in names})
        told = replay.from_log(log, about, wish, out, print_table)
    else:
        assert database is not None
        told = command.from_database(database, given["system"], about, given["engine"], out)
    click.echo(told)


@calibrate.command("engines")
@click.option("--points", type=FILE, required=True, help="Campaign of measured speeds (CSV).")
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="File of engines to write.")
@debug_option
def calibrate_engines(points: Path, out: Path) -> None:
    """Fit what engines reach to the speeds of many machines.

    One set of efficiencies for each architecture of accelerators. It takes minutes.
    """
    from edgesim.calibrate import engine_file, engines  # noqa: PLC0415 - not for --help
    from edgesim.calibrate.campaign import read_campaign  # noqa: PLC0415

    found, unused = read_campaign(points)
    fits = engines.fit_engines(found)
    out.write_text(engine_file.text(fits), encoding="utf-8")
    click.echo(
        f"wrote {out}: {len(fits)} engines from {len(found)} of {len(found) + len(unused)} measurements"
    )
