"""`edgesim calibrate costs`: reads measurements, fits, tells what is left, and writes what scenarios can name."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from edgesim import catalog
from edgesim.calibrate import entry, kernels, left_out, pictures, points
from edgesim.calibrate.settings import Settings, fill, read_settings
from edgesim.costs.llm import BITS, WEIGHT_BITS
from edgesim.errors import EdgesimError

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgesim.calibrate.point import Point
    from edgesim.costs.profile import Profile


@dataclass(frozen=True)
class Subject:
    """What was measured.

    Attributes:
        accelerator: Name in the catalogue.
        llm: Name in the catalogue.
        settings: Engine settings, as keys of a deployment.
        engine: Engine and version; empty if nothing says it.
        whole_experts: Whether experts were spread whole over accelerators.
        notes: What a simulation knows less about than the engine did.
    """

    accelerator: str
    llm: str
    settings: dict[str, Any]
    engine: str = ""
    whole_experts: bool = False
    notes: tuple[str, ...] = ()

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
    found = Settings() if settings is None else read_settings(settings)
    experts = given.pop("expert_parallel", None)
    found.keys |= {key: value for key, value in given.items() if value is not None}
    llm = llm or catalog.named("llm", found.model.rstrip("/"))
    accelerator = accelerator or catalog.named("accelerator", found.device)
    for what, name, said in (("llm", llm, found.model), ("accelerator", accelerator, found.device)):
        if name is None:
            known = (
                f"the settings say {said!r}, which the catalogue does not have" if said else "nothing says it"
            )
            raise EdgesimError(
                f"which {what} was measured? {known}; name it with --{what} (`edgesim catalog list {what}`)"
            )
    assert llm is not None
    assert accelerator is not None
    moe = catalog.llm(llm).moe
    _check_formats(found.keys)
    used = catalog.accelerator(accelerator)
    if settings is not None:
        fill(found, used)
    whole = found.whole_experts if experts is None else experts
    spread = int(found.keys.get("tensor_parallel", 1)) * int(found.keys.get("replicas", 1))
    if (
        moe and spread > 1 and (whole or "replicas" in found.keys)
    ):  # replicas beside each other share the experts
        found.keys["expert_parallel"] = spread
    return Subject(accelerator, llm, found.keys, found.engine, whole, tuple(found.notes))


def _check_formats(keys: dict[str, Any]) -> None:
    """Refuse number formats that do not exist.

    Raises:
        EdgesimError: There is one.
    """
    for key, known in (("weights", WEIGHT_BITS), ("kv", BITS)):
        if key in keys and keys[key] not in known:
            raise EdgesimError(f"no number format '{keys[key]}' for {key}; known are {', '.join(known)}")


def check_out(out: Path, *, folder: bool) -> None:
    """Refuse a place that cannot be written, before anything takes time.

    Raises:
        EdgesimError: It is no folder where one is wanted, is one where none is, or lies in none.
    """
    if folder and out.exists() and not out.is_dir():
        raise EdgesimError(f"'{out}' is a file; with --log, -o names a folder")
    if not folder and out.is_dir():
        raise EdgesimError(f"'{out}' is a folder; -o names the file to write")
    if not folder and not out.parent.is_dir():
        raise EdgesimError(f"there is no folder '{out.parent}' to write {out.name} into")


def from_kernels(prefix: str, about: Subject, engine: str, out: Path, table: Callable[..., None]) -> str:
    """Write a profile of measured kernel times, and tell how it does between its points."""
    llm, picture = catalog.llm(about.llm), out.with_suffix(".png")
    if picture == out:
        raise EdgesimError(f"'{out}' would be overwritten by the picture; name the profile {out.stem}.json")

    def build(tables: str) -> Profile:
        return kernels.profile_of_kernels(
            tables,
            llm,
            about.accelerator,
            weights=about.weights,
            tensor_parallel=about.tensor_parallel,
            engine=engine or about.engine or "unnamed engine",
            source=f"kernel times in {Path(prefix).name}*",
        )

    profile = build(prefix)
    steps: dict[str, list[left_out.Step]] = {}
    for step in left_out.between(prefix, llm, build):
        steps.setdefault(step.what, []).append(step)
    if not steps:
        out.write_text(profile.text(), encoding="utf-8")
        return _told(profile, out)
    errors = {
        what: np.array([abs(step.predicted / step.measured - 1) for step in part])
        for what, part in steps.items()
    }
    rows = [
        (what, str(len(e)), f"{np.median(e):.1%}", f"{np.percentile(e, 90):.1%}", f"{e.max():.1%}")
        for what, e in errors.items()
    ]
    table(("left-out steps", "n", "median error", "p90", "largest"), rows)
    band = max(profile.error_band, *(float(np.percentile(e, 90)) for e in errors.values()))
    profile = replace(profile, error_band=band)
    out.write_text(profile.text(), encoding="utf-8")
    pictures.scatter(
        {what: [(s.measured, s.predicted) for s in part] for what, part in steps.items()}, picture
    )
    return _told(profile, out)


def from_database(where: str, system: str | None, about: Subject, engine: str, out: Path) -> str:
    """Write a profile put together from a database of kernels."""
    profile = profile_of(where, system, about, engine)
    out.write_text(profile.text(), encoding="utf-8")
    return _told(profile, out)


def profile_of(where: str, system: str | None, about: Subject, engine: str) -> Profile:
    """Put a profile together from a database of kernels.

    Raises:
        EdgesimError: The database has nothing of the accelerator or the LLM.
    """
    from edgesim.calibrate.assemble import Layout, profile_of_database  # noqa: PLC0415 - heavy, and only here
    from edgesim.calibrate.database import CHIPS, open_database, system_of  # noqa: PLC0415

    system = system or system_of(about.accelerator)
    if system is None:
        raise EdgesimError(
            f"which system of the database is like {about.accelerator}? name it with --system ({', '.join(CHIPS)})"
        )
    llm = catalog.llm(about.llm)
    data = int(about.settings.get("replicas", 1)) if llm.moe else 1
    return profile_of_database(
        open_database(where, system),
        llm,
        catalog.accelerator(about.accelerator),
        weights=about.weights,
        kv=str(about.settings.get("kv", "fp16")),
        layout=Layout(about.tensor_parallel, data, about.whole_experts and llm.moe is not None),
        engine=engine,
    )


def _told(profile: Profile, out: Path) -> str:
    """What a profile holds, and how a scenario names it."""
    return (
        f"wrote {out}: {len(profile.tokens)} sizes of linear layers, "
        f"{len(profile.decode_sequences)} x {len(profile.decode_contexts)} decodes, "
        f"{np.array(profile.mixed).size:,} steps with prompts, expected within {profile.error_band:.0%}\n"
        f"  from {profile.source}\n"
        f"  costs: {{kind: profile, path: {out.name}}}"
    )


def from_points(path: Path, about: Subject, out: Path, table: Callable[..., None]) -> str:
    """Fit roofline parameters to measured speeds, and write them as an accelerator of a scenario's own."""
    picture = out.with_suffix(".png")
    if picture == out:
        raise EdgesimError(f"'{out}' would be overwritten by the picture; name the entry {out.stem}.yaml")
    measured = points.read_points(path, about.accelerator, about.llm)
    machine = catalog.accelerator(about.accelerator)
    found = points.fit(
        measured,
        machine,
        catalog.llm(about.llm),
        weights=about.weights,
        tensor_parallel=about.tensor_parallel,
        max_num_seqs=points.largest_batch(measured, path, about.settings.get("max_num_seqs")),
    )
    table(
        ("row", "metric", "batch", "prompt", "output", "measured", "fitted", "error"),
        [_row(point, found.errors.get(point)) for point in measured],
    )
    for reason in found.rejected.values():
        click.echo(f"rejected {reason}", err=True)
    for name in found.limits:
        click.echo(f"note: {name} ended at its limit; the points do not tell it", err=True)
    source = f"{path.name}, {about.llm} ({about.weights}) on {about.accelerator}"
    out.write_text(entry.text(found, machine, source, out.name), encoding="utf-8")
    pictures.residuals(found, picture)
    told = ", ".join(
        f"{name.removesuffix('_band')} within {band:.0%}" for name, band in entry.bands(found).items()
    )
    left = (
        f"median error {np.median(np.abs(list(found.errors.values()))):.1%} over {len(found.errors)} points"
    )
    return f"wrote {out} and {picture.name}: {left}; expected of others: {told}"


def _row(point: Point, error: float | None) -> tuple[str, ...]:
    """A line of the residual table; a point without an error was rejected."""
    fitted = (
        ("", "rejected") if error is None else (milliseconds(point.seconds * (1 + error)), f"{error:+.1%}")
    )
    sizes = (point.depth + point.prompt, point.output)
    return (
        str(point.row),
        point.metric,
        str(point.batch),
        *map(str, sizes),
        milliseconds(point.seconds),
        *fitted,
    )


def milliseconds(seconds: float) -> str:
    """A time for people."""
    return f"{seconds * 1e3:.4g} ms"
