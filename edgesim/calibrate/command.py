"""`edgesim calibrate costs`: reads measurements, fits, tells what is left, and writes what scenarios can name."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import numpy as np

from edgesim import catalog
from edgesim.calibrate import kernels, logs, pictures, points, runs
from edgesim.calibrate.settings import read_settings
from edgesim.errors import EdgesimError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

START: Final = {
    "roofline": ("memory_efficiency", "compute_efficiency", "step_overhead"),
    "profile": ("step_overhead", "sequence_overhead"),
}
"""What a fit to a log changes, by kind of cost."""

BEGIN: Final = {"step_overhead": 1e-3, "sequence_overhead": 1e-5}


@dataclass(frozen=True)
class Subject:
    """What was measured: names in the catalogue, and engine settings as keys of a deployment."""

    accelerator: str
    llm: str
    settings: dict[str, Any]

    @property
    def weights(self) -> str:
        """Number format of the weights."""
        return str(self.settings.get("weights") or catalog.llm(self.llm).weights)

    @property
    def tensor_parallel(self) -> int:
        """Accelerators that shared the work."""
        return int(self.settings.get("tensor_parallel", 1))


def subject(
    accelerator: str | None, llm: str | None, settings: Path | None, given: dict[str, Any]
) -> Subject:
    """Gather what was measured from a settings file and from options, which win.

    Raises:
        EdgesimError: Accelerator or LLM is not known.
    """
    keys: dict[str, Any] = {}
    model = device = ""
    if settings is not None:
        keys, model, device = read_settings(settings)
    keys |= {key: value for key, value in given.items() if value is not None}
    llm = llm or catalog.named("llm", model)
    accelerator = accelerator or catalog.named("accelerator", device)
    for what, name, said in (("llm", llm, model), ("accelerator", accelerator, device)):
        if name is None:
            known = (
                f"the settings say {said!r}, which the catalogue does not have" if said else "nothing says it"
            )
            raise EdgesimError(
                f"which {what} was measured? {known}; name it with --{what} (`edgesim catalog list {what}`)"
            )
    assert llm is not None
    assert accelerator is not None
    catalog.llm(llm)
    catalog.accelerator(accelerator)
    return Subject(accelerator, llm, keys)


def from_kernels(prefix: str, about: Subject, engine: str, out: Path) -> str:
    """Write a profile of measured kernel times."""
    profile = kernels.profile_of_kernels(
        prefix,
        catalog.llm(about.llm),
        about.accelerator,
        weights=about.weights,
        tensor_parallel=about.tensor_parallel,
        engine=engine,
        source=f"kernel times in {Path(prefix).name}*",
    )
    out.write_text(profile.text(), encoding="utf-8")
    return (
        f"wrote {out}: {len(profile.tokens)} sizes of linear layers, "
        f"{len(profile.decode_sequences)} x {len(profile.decode_contexts)} decodes, "
        f"{np.array(profile.mixed).size:,} steps with prompts\n"
        f"  costs: {{kind: profile, path: {out.name}}}"
    )


def from_points(path: Path, about: Subject, out: Path, table: Callable[..., None]) -> str:
    """Fit roofline parameters to measured speeds, and write them as an accelerator of a scenario's own."""
    found = points.fit(
        points.read_points(path),
        catalog.accelerator(about.accelerator),
        catalog.llm(about.llm),
        weights=about.weights,
        tensor_parallel=about.tensor_parallel,
        max_num_seqs=int(about.settings.get("max_num_seqs", 256)),
    )
    table(
        ("row", "metric", "batch", "prompt", "output", "measured", "fitted", "error"),
        [
            (
                str(p.row),
                p.metric,
                str(p.batch),
                str(p.prompt),
                str(p.output),
                _ms(p.seconds),
                _ms(p.seconds * (1 + e)),
                f"{e:+.1%}",
            )
            for p, e in found.errors.items()
        ],
    )
    for reason in found.rejected.values():
        click.echo(f"rejected {reason}", err=True)
    errors = np.abs(list(found.errors.values()))
    name = f"my-{about.accelerator}"
    lines = [
        f"# Fitted to {path.name}: {about.llm} ({about.weights}) on {about.accelerator}; {len(errors)} points,",
        f"# median error {np.median(errors):.1%}, 90th percentile {np.percentile(errors, 90):.1%};",
        f"# {len(found.rejected)} rejected as faster than the peaks allow. A scenario may say `extends: {out.name}`.",
        "accelerators:",
        f"  {name}:",
        f"    like: {about.accelerator}",
    ]
    ratio = catalog.accelerator(about.accelerator)
    values = dict(found.values)
    if "compute_efficiency" in values:
        share = ratio.attention_efficiency / ratio.compute_efficiency
        values["attention_efficiency"] = min(1.0, values["compute_efficiency"] * share)
    lines += [f"    {key}: {_written(key, value)}" for key, value in values.items()]
    out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    pictures.residuals(found, out.with_suffix(".png"))
    left = f"median error {np.median(errors):.1%} over {len(errors)} points"
    return f"wrote {out} and {out.with_suffix('.png').name}: {left}"


def _written(key: str, value: float) -> str:
    return f"{value * 1e3:.5g} ms" if key.endswith("overhead") else f"{value:.5g}"


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.4g} ms"


@dataclass(frozen=True)
class Fit:
    """How a log is fitted: not at all, or on which requests."""

    wanted: bool
    train: slice


def from_log(
    path: Path, about: Subject, profile: Path | None, fit: Fit, out: Path, table: Callable[..., None]
) -> str:
    """Simulate a log again, fitted if that is asked for, and write the scenario, its trace and a picture."""
    log = logs.read_log(path)
    kind = "profile" if profile else "roofline"
    costs: dict[str, Any] = {"kind": kind} | ({"path": str(profile.resolve())} if profile else {})
    replica = runs.Replica(about.accelerator, about.llm, about.settings, costs)
    out.mkdir(parents=True, exist_ok=True)
    trace = out / "requests.csv"
    runs.write_trace(log, trace)
    if fit.wanted:
        machine = catalog.accelerator(about.accelerator)
        start = {name: BEGIN.get(name) or getattr(machine, name) for name in START[kind]}
        with click.progressbar(length=runs.MOST_RUNS, label="fitting", file=sys.stderr) as bar:
            costs = runs.fit(
                log, replica, trace.resolve(), start, fit.train, lambda done: bar.update(done - bar.pos)
            )
    simulated = runs.simulate_log(log, replica, trace.resolve(), costs)
    for title, part in _parts(log, fit):
        table(
            ("metric", "statistic", "measured", "simulated", "error"),
            [
                (x.metric, x.statistic, _ms(x.measured), _ms(x.simulated), f"{x.error:+.1%}")
                for x in runs.compare(log, simulated, part)
            ],
            title,
        )
    _write_scenario(replica, costs, path, out)
    pictures.run(log, simulated, out / "comparison.png")
    return f"wrote {out / 'scenario.yaml'}, requests.csv and comparison.png; costs: {simulated.calibration}"


def _parts(log: logs.Log, fit: Fit) -> Sequence[tuple[str, slice]]:
    """Requests that are compared, fitted ones and others apart."""
    _, last, _ = fit.train.indices(len(log))
    if not fit.wanted or last == len(log):
        return [
            (
                f"all {len(log)} requests" + (", fitted on them" if fit.wanted else ", nothing fitted"),
                slice(None),
            )
        ]
    return [
        (f"requests 1 to {last}, fitted on them", slice(last)),
        (f"requests {last + 1} to {len(log)}, held out", slice(last, None)),
    ]


def _write_scenario(replica: runs.Replica, costs: dict[str, Any], log: Path, out: Path) -> None:
    """Write the scenario that replays the log, paths relative to it."""
    import os  # noqa: PLC0415 - paths of one command

    from edgesim.scenario.text import dump  # noqa: PLC0415 - heavy, and only here

    if "path" in costs:
        costs = costs | {"path": os.path.relpath(costs["path"], out.resolve())}
    text = dump(replica.scenario("requests.csv", costs))
    (out / "scenario.yaml").write_text(f"# Replays {log.name}, as it was served.\n\n{text}", encoding="utf-8")
