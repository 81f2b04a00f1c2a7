"""Tests of pictures: they show the numbers that were recorded, fit their page, and leave matplotlib as it was."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text

import edgesim
from edgesim.errors import ResultsError
from edgesim.report import axis, plots, style
from edgesim.report.plots import sweeps
from edgesim.report.plots.topology_map import usage
from edgesim.results.series import series
from edgesim.units import format_percent, format_seconds

if TYPE_CHECKING:
    from matplotlib.axes import Axes

OF_RUNS = [plot.name for plot in plots.PLOTS.values() if plots.RUN in plot.fits]
OF_SWEEPS = [plot.name for plot in plots.PLOTS.values() if plots.SWEEP in plot.fits]


def line(axes: Axes, label: str) -> Any:
    """The line of a name."""
    return next(one for one in axes.lines if str(one.get_label()).startswith(label))


def clipped(figure: Figure) -> list[str]:
    """Texts that the page cuts off."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    hidden = {
        id(label)
        for axes in figure.axes
        for axis in (axes.xaxis, axes.yaxis)
        for label in out_of_sight(axes, axis)
    }
    found = []
    for text in figure.findobj(Text):
        box = text.get_window_extent(canvas.get_renderer())
        inside = all(-1 <= corner <= end + 1 for corner, end in zip(box.max, figure.bbox.max, strict=True))
        inside = inside and min(box.min) >= -1
        if text.get_visible() and text.get_text().strip() and not inside and id(text) not in hidden:
            found.append(text.get_text())
    return found


def out_of_sight(axes: Any, axis: Any) -> list[Any]:
    """Labels of ticks that are never drawn: beyond the axis, or of axes that are off."""
    low, high = sorted(axis.get_view_interval())
    ticks = [*axis.majorTicks, *axis.minorTicks]
    drawn = axes.axison
    return [
        label
        for tick in ticks
        if not (drawn and low <= tick.get_loc() <= high)
        for label in (tick.label1, tick.label2)
    ]


@pytest.mark.parametrize("name", OF_RUNS + OF_SWEEPS)
def test_every_picture_fits_its_page(name: str, recorded: ModuleType, tmp_path: Path) -> None:
    """Each has a title, labels or colours that say what is what, and no text is cut off; all formats are written."""
    result = recorded.run() if name in OF_RUNS else recorded.sweep()
    before = dict(mpl.rcParams)
    figure = plots.page(result, [name])
    assert clipped(figure) == []
    axes = figure.axes[0]
    assert axes.get_title(loc="left")
    assert name == "topology" or (
        axes.get_xlabel() and (axes.get_ylabel() or name in ("phases", "utilisation", "links"))
    )
    style.save(figure, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes()[:4] == b"\x89PNG"
    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize("name", [name for name in OF_RUNS + OF_SWEEPS if name != "topology"])
def test_pictures_fit_a_phone(name: str, recorded: ModuleType) -> None:
    """In a narrow column no text is cut off, and the legend leaves at least half of the height to the axes."""
    result = recorded.run() if name in OF_RUNS else recorded.sweep()
    with style.styled():
        figure = style.figure(style.narrow(plots.PLOTS[name].size))
        axes = plots.PLOTS[name].draw(result, figure.subplots())
        style.make_room(figure)
        assert clipped(figure) == []
    assert axes.bbox.height > 1.2 * figure.dpi
    assert axes.bbox.width > 0.5 * figure.bbox.width
    assert figure.get_figwidth() == style.NARROW


@pytest.mark.parametrize("name", OF_RUNS + OF_SWEEPS)
def test_pictures_say_what_they_show(name: str, recorded: ModuleType, tmp_path: Path) -> None:
    """In words with figures, which files carry, too."""
    result = recorded.run() if name in OF_RUNS else recorded.sweep()
    axes = plots.PLOTS[name].draw(result)
    said = style.described(axes)
    assert said.endswith(".")
    assert len(re.findall(r"\d", said)) >= 3
    path = tmp_path / "picture.svg"
    style.save(axes.get_figure(root=True), path)  # type: ignore[arg-type]
    assert escape(said) in path.read_text(encoding="utf-8")


def test_words_of_a_distribution_are_those_of_the_summary(recorded: ModuleType) -> None:
    """Half and 95 % of each tier and of all."""
    run = recorded.run()
    said = style.described(plots.e2e(run))
    for name, group in [*run.summary["by"]["tier"].items(), ("all", run.summary)]:
        found = group["metrics"]["e2e"]
        half, most = format_seconds(found["p50"]), format_seconds(found["p95"])
        assert f"{name}: half within {half}, 95 % within {most}" in said


@pytest.mark.parametrize(
    ("unit", "most", "name"),
    [
        ("s", 0.02, "ms"), ("s", 8.0, "s"), ("s", 599.0, "s"), ("s", 1200.0, "min"), ("s", 5e4, "h"), ("s", 0.0, "s"),
        ("J", 12e3, "kJ"), ("W", 1400.0, "kW"), ("share", 0.3, "%"), ("USD per request", 2e-4, "USD per 1,000"),
        ("1/s", 3.0, "1/s"), ("", 9.0, ""),
    ],
)  # fmt: skip
def test_axes_have_units_that_read_well(unit: str, most: float, name: str) -> None:
    """Data stay as they are; ticks are round numbers of the unit in the label."""
    axes = style.figure().subplots()
    axes.set_xlim(0.0, most or 1e-9)
    axes.plot([0.0, most], [0.0, 1.0])
    axis.measure(axes.xaxis, "it", unit)
    if most:
        assert axes.get_xlabel() == (f"it [{name}]" if name else "it")
        words = [text.get_text() for text in axes.get_xticklabels()]
        size = {word: size for size, word in axis.SIZES.get(unit, ((1.0, name),))}[name]
        assert [float(word.replace(",", "")) * size for word in words] == pytest.approx(
            list(axes.get_xticks())
        )
        assert max(map(len, words)) <= 5
    else:
        assert axis.size_of(unit, most)[1] == name


def test_faint_heat_maps_have_a_scale_of_their_own(recorded: ModuleType) -> None:
    """Where nothing is half full the colours end at a round share, which the picture says, with each row's mean."""
    run = recorded.run("topology.links.1.bandwidth=1 Gbps", "topology.links.2.bandwidth=1 Gbps")
    axes = plots.links(run)
    end = axes.collections[0].get_clim()[1]
    most = axes.collections[0].get_array().max()  # type: ignore[union-attr]
    assert most <= end < 2.5 * most
    assert any(f"colours end at {format_percent(end)}" in text.get_text() for text in axes.texts)
    means = [text.get_text() for text in axes.texts if text.get_position()[0] == 1.01]
    assert len(means) == len(axes.get_yticks())
    assert plots.utilisation(run).collections[0].get_clim() == (0.0, 1.0)


def test_long_and_foreign_names_leave_room_for_the_picture(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    """A label keeps the beginning and the end of a name, no text leaves the page, and no font complains."""
    long = "a-node-with-a-name-that-is-much-longer-than-anybody-would-like"
    text = {
        "scenario": {"name": "named", "seed": 1, "duration": "20 s"},
        "topology": {
            "nodes": {
                long: {"tier": "edge", "count": 3, "accelerator": "nvidia-l4"},
                "\u4e2d\u592e": {"tier": "cloud", "accelerator": "nvidia-l4"},
            },
            "links": [{"between": [long, "\u4e2d\u592e"], "kind": "fibre"}],
        },
        "deployments": [
            {"llm": "llama-3.1-8b", "weights": "int8", "on": name} for name in (long, "\u4e2d\u592e")
        ],
        "workloads": {
            "chat": {
                "from": long,
                "arrivals": {"kind": "poisson", "rate": "2/s"},
                "prompt_tokens": 100,
                "output_tokens": 50,
            }
        },
        "policies": {"router": "random"},
        "output": {"tables": ["requests", "resources"]},
    }
    run = edgesim.simulate(text)
    for name in ("utilisation", "links", "topology"):
        plots.save(run, [name], tmp_path / f"{name}.png")
        with style.styled():
            size = plots.PLOTS[name].size
            figure = style.figure(size if name == "topology" else style.narrow(size))
            axes = plots.PLOTS[name].draw(run, figure.subplots())
            style.make_room(figure)
            assert clipped(figure) == []
    names = [label.get_text() for label in plots.utilisation(run).get_yticklabels()]
    assert "a-node-with-a…d-like[2]" in [name[:13] + "…" + name[-9:] for name in names]
    assert max(map(len, names)) <= 26
    assert axes is not None
    assert not [one for one in recwarn if "Glyph" in str(one.message) or "constrained" in str(one.message)]


@pytest.mark.parametrize("ending", style.FORMATS)
def test_equal_pictures_have_equal_bytes(ending: str, recorded: ModuleType, tmp_path: Path) -> None:
    """No date, no random id."""
    for name in ("one", "two"):
        plots.save(recorded.run(), ["ttft", "phases"], tmp_path / f"{name}.{ending}")
    one, two = ((tmp_path / f"{name}.{ending}").read_bytes() for name in ("one", "two"))
    assert one == two
    assert len(one) > 5000


def test_axes_of_ones_own_are_drawn_on(recorded: ModuleType) -> None:
    """The function answers the axes that it was given, and touches no others; pyplot is never imported."""
    figure = Figure()
    left, right = figure.subplots(1, 2)
    assert plots.ttft(recorded.run(), right) is right
    assert right.lines
    assert not left.lines
    assert plots.ttft(recorded.run()).figure is not figure
    sources = Path(plots.__file__).parent.glob("*.py")
    assert not any("pyplot" in text for text in (p.read_text().partition('"""\n\nfrom')[2] for p in sources))


def test_tiers_and_lines_differ_in_grey() -> None:
    """Neighbours differ by a tenth of the way from black to white at least (luma of Rec. 709), or are hatched apart."""

    def grey(colour: str) -> float:
        return float(np.dot(to_rgb(colour), (0.2126, 0.7152, 0.0722)))

    for colours in (style.COLOURS[:6], style.TIER_LINES):
        lightness = [grey(colour) for colour in colours]
        assert min(abs(a - b) for a, b in pairwise(lightness)) > 0.1
    looks = [(style.line(n, 9)["marker"], style.line(n)["linestyle"]) for n in range(8)]
    assert len(set(looks)) == 8
    assert len({hatch for _, hatch in style.PHASE_STYLE.values()}) >= 5


@pytest.mark.parametrize("metric", ["ttft", "tpot", "e2e"])
def test_distributions_are_those_of_the_summary(metric: str, recorded: ModuleType) -> None:
    """Each tier's curve goes through its median and p95."""
    run = recorded.run()
    axes = plots.PLOTS[metric].draw(run)
    tiers = run.summary["by"]["tier"]
    assert {str(one.get_label()).partition(" ")[0] for one in axes.lines if " (" in str(one.get_label())} == {
        *tiers,
        "all",
    }
    for tier, group in [*tiers.items(), ("all", run.summary)]:
        numbers = group["metrics"][metric]
        curve = line(axes, f"{tier} ({numbers['count']:,})")
        for statistic in ("p50", "p95"):
            x = np.interp(float(statistic[1:]) / 100, curve.get_ydata(), curve.get_xdata())
            assert x == pytest.approx(numbers[statistic], rel=0.02)
    if metric == "ttft":
        assert line(axes, "objective p95 \N{LESS-THAN OR EQUAL TO} 300 ms").get_xdata() == [0.3, 0.3]


def test_phases_add_up_to_the_mean_latency(recorded: ModuleType) -> None:
    """The bars of a tier end at its mean end-to-end latency."""
    run = recorded.run()
    axes = plots.phases(run)
    ends: dict[float, float] = {}
    for bar in axes.patches:
        row = round(bar.get_y() + bar.get_height() / 2)  # type: ignore[attr-defined]
        ends[row] = max(ends.get(row, 0.0), bar.get_x() + bar.get_width())  # type: ignore[attr-defined]
    means = [
        run.summary["by"]["tier"][tier]["metrics"]["e2e"]["mean"] for tier in ("device", "edge", "cloud")
    ]
    assert [ends[row] for row in range(3)] == pytest.approx(means, rel=5e-3)


def test_curves_over_time_are_the_samples(recorded: ModuleType) -> None:
    """Queues are sums over the replicas of a tier; the area of power is the energy that was drawn."""
    run = recorded.run()
    waiting = series(run.resources, "waiting")
    cloud = line(plots.queue(run), "cloud")
    assert list(cloud.get_ydata()) == waiting.filter(like="cloud").sum(axis=1).tolist()
    axes = plots.power(run)
    top = axes.collections[-1].get_paths()[0].vertices
    watts = series(run.resources, "power_w").sum(axis=1)
    assert top[:, 1].max() == pytest.approx(watts.max())
    mesh = plots.utilisation(run).collections[0]
    assert mesh.get_clim() == (0.0, 1.0)
    assert 0.5 < mesh.get_array().max() <= 1.0  # type: ignore[union-attr]
    assert mesh.get_array().shape == (7, len(waiting))  # type: ignore[union-attr]
    warm = plots.temperature(run)
    assert [str(one.get_label()) for one in warm.lines] == ["device (4 replicas)"]


def test_cache_hits_are_those_of_the_requests(recorded: ModuleType) -> None:
    """The legend's overall share is cached over all prompt tokens of the tier that has a cache."""
    run = recorded.run()
    rows = run.requests[(run.requests.tier == "edge") & run.requests.first_scheduled_at.notna()]
    share = rows.cached_tokens.sum() / rows.prompt_tokens.sum()
    assert 0.01 < share < 1
    assert str(plots.cache(run).lines[0].get_label()) == f"edge ({share:.0%} overall)"


def test_the_map_tells_use_of_groups_and_links(recorded: ModuleType) -> None:
    """With and without time series the numbers are those of the summary, and more traffic is wider."""
    run = recorded.run()
    use = usage(run)
    replicas = run.summary["by"]["replica"]
    for group in ("phone", "edge", "cloud"):
        shares = [r["fleet"]["utilisation"] for name, r in replicas.items() if name.startswith(group)]
        if group != "edge":  # which was away for a while: the summary counts only the time that it was on
            assert use.groups[group] == pytest.approx(np.mean(shares), rel=1e-6)
    there, back = use.ways["edge", "cloud", 1, "->"], use.ways["cloud", "edge", 1, "->"]
    carried = run.summary["links"]["edge->cloud"]["bytes"]
    assert there.bytes_per_s == pytest.approx(carried / 40.0)
    assert there.fullest == pytest.approx(carried / 40.0 / 125_000.0)
    assert back.bytes_per_s == pytest.approx(run.summary["links"]["cloud->edge"]["bytes"] / 40.0)
    axes = plots.topology(run)
    words = "\n".join(text.get_text() for text in axes.texts)
    assert "phone \N{MULTIPLICATION SIGN} 4" in words
    assert words.count("full") == 3 * 2 - 1  # wifi-6 is one medium
    assert "not told" not in words
    plain = usage(recorded.run("output.tables=[requests]", "output.sample=null"))
    assert plain.ways["edge", "cloud", 1, "->"].bytes_per_s == pytest.approx(there.bytes_per_s)


# -- sweeps -----------------------------------------------------------------------------------------------------


def test_curves_of_a_sweep_are_means_with_intervals(recorded: ModuleType) -> None:
    """Throughput goes through the mean over replications, the band is Student's interval."""
    found = sweeps.means_of(
        recorded.sweep().table.query("`policies.router` == 'nearest'"), recorded.RATE, "throughput_rps"
    )
    assert found.x.tolist() == [2.0, 6.0, 10.0, 14.0, 18.0, 22.0]
    assert found.mean == pytest.approx([2.0, 6.0, 9.0, 9.0, 9.0, 9.0])
    assert found.half == pytest.approx([4.3027 * 0.1 / np.sqrt(3)] * 6, rel=1e-4)
    axes = plots.load(recorded.sweep())
    assert line(axes, "nearest: throughput").get_ydata() == pytest.approx(found.mean)
    assert line(axes, "nearest: goodput").get_ydata() == pytest.approx(0.8 * found.mean)
    assert axes.get_xlabel() == "chat rate [1/s]"
    assert len(axes.lines) == 6
    assert len(axes.collections) >= 3


def test_whole_numbers_have_whole_ticks(recorded: ModuleType) -> None:
    """There are no two and a half boxes."""
    found = recorded.sweep(rates=(2.0, 3.0, 4.0))
    found.table[recorded.RATE] = found.table[recorded.RATE].astype(int)
    found.units = {}
    axes = plots.response(found)
    axes.figure.draw_without_rendering()
    assert {text.get_text() for text in axes.get_xticklabels()} >= {"2", "3", "4"}
    assert not any("." in text.get_text() for text in axes.get_xticklabels())


def test_one_replication_has_no_band(recorded: ModuleType) -> None:
    """And the caption says so; a failed point is left out."""
    result = recorded.sweep(replications=1)
    result.table.loc[0, "status"] = "failed"
    axes = plots.response(result)
    assert not axes.collections
    assert "17 points, one replication each" in axes.texts[0].get_text()
    assert len(line(axes, "nearest").get_xdata()) == 5


def test_latency_over_throughput_follows_the_load(recorded: ModuleType) -> None:
    """Points are joined in the order of the load."""
    axes = plots.latency_throughput(recorded.sweep())
    curve = axes.containers[0].lines[0]  # type: ignore[attr-defined]
    assert curve.get_xdata()[:2] == pytest.approx([2.0, 6.0])
    assert curve.get_ydata()[0] == pytest.approx(0.2 / (1 - 2 / 9) + 0.01)


def test_options_choose_metric_and_axis(recorded: ModuleType) -> None:
    """A key that is no number gets bars; unknown names are told with what there is."""
    axes = plots.response(recorded.sweep(), metric="goodput_rps", x="policies.router")
    means = recorded.sweep().table.groupby(recorded.ROUTER).goodput_rps.mean()
    assert [bar.get_width() for bar in axes.patches] == pytest.approx(means.tolist())  # type: ignore[attr-defined]
    with pytest.raises(ResultsError, match="'ttft_p42'; did you mean 'ttft_p95'"):
        plots.response(recorded.sweep(), metric="ttft_p42")
    with pytest.raises(ResultsError, match="'speed' was not swept; swept were"):
        plots.load(recorded.sweep(), x="speed")
    routers = recorded.sweep()
    routers.keys = [recorded.ROUTER]
    with pytest.raises(ResultsError, match="no number was swept"):
        plots.load(routers)
    with pytest.raises(ResultsError, match="no metric 'speed'"):
        plots.distribution(recorded.run(), metric="speed")


def test_what_nobody_beats(recorded: ModuleType) -> None:
    """The front equals that by brute force, with ties; a comparison has one point a candidate."""
    draw = np.random.default_rng(0)
    x, y = draw.integers(0, 6, (2, 40)).astype(float)
    slow = [
        not any(a <= p and b <= q and (a, b) != (p, q) for a, b in zip(x, y, strict=True))
        for p, q in zip(x, y, strict=True)
    ]
    assert sweeps.unbeaten(x, y).tolist() == slow
    runs = {"as it is": recorded.run(), "again": recorded.run("scenario.seed=9")}
    comparison = SimpleNamespace(table=pd.DataFrame(), runs=runs, names=list(runs))
    found = sweeps.candidates(comparison)
    summary = recorded.run().summary
    assert found.energy[0] == pytest.approx(summary["energy_j"]["total"] / summary["requests"]["completed"])
    legend = plots.frontier(comparison).get_legend()
    assert legend is not None
    assert {text.get_text().partition(": ")[2] for text in legend.get_texts()} >= set(runs)


def test_hardly_any_difference_looks_like_none(recorded: ModuleType) -> None:
    """What costs the same but for a hair is not torn apart over the whole axis."""
    run = recorded.run()
    summary = run.summary
    dearer = SimpleNamespace(
        summary=summary | {"cost_usd": summary["cost_usd"] * 1.0001}, scenario=run.scenario
    )
    found = SimpleNamespace(table=pd.DataFrame(), runs={"a": run, "b": dearer}, names=["a", "b"])
    low, high = plots.frontier(found).get_ylim()
    assert high - low == pytest.approx(0.04 * (low + high) / 2)


def test_numbers_of_a_front_can_be_read(recorded: ModuleType) -> None:
    """They stand clear of points and of each other, and each is in the legend."""
    axes = plots.page(recorded.sweep(), ["frontier"]).axes[0]
    digits = [text for text in axes.texts if text.get_text().isdigit()]
    assert digits
    boxes = [text.get_window_extent() for text in digits]
    assert not any(a.overlaps(b) for number, a in enumerate(boxes) for b in boxes[:number])
    legend = axes.get_legend()
    assert legend is not None
    words = {text.get_text().partition(":")[0] for text in legend.get_texts()}
    assert {text.get_text() for text in digits} <= words


def test_options_are_checked_before_anything_is_drawn(recorded: ModuleType) -> None:
    """A slip in a metric or key, and an option that no picture takes."""
    with pytest.raises(ResultsError, match="did you mean 'ttft_p95'"):
        plots.check_options(recorded.sweep(), [], {"metric": "ttft_p59"})
    with pytest.raises(ResultsError, match="column of numbers 'status'"):
        plots.response(recorded.sweep(), x=recorded.ROUTER, metric="status")
    with pytest.raises(ResultsError, match="'rtae' was not swept"):
        plots.check_options(recorded.sweep(), [], {"x": "rtae"})
    with pytest.raises(ResultsError, match="no picture of a run takes --x"):
        plots.check_options(recorded.run(), [], {"x": "rate"})
    with pytest.raises(ResultsError, match="ttft takes no --metric"):
        plots.check_options(recorded.run(), ["ttft"], {"metric": "e2e"})
    plots.check_options(recorded.sweep(), [], {"x": "rate", "metric": "goodput_rps"})


# -- what cannot be drawn ---------------------------------------------------------------------------------------


def test_what_is_missing_is_told_in_a_sentence(recorded: ModuleType, tmp_path: Path) -> None:
    """Missing tables, kinds that do not fit, unknown names and endings, nothing to draw."""
    bare = recorded.run("output.tables=[requests]", "output.sample=null", "deployments.1.prefix_cache=false")
    with pytest.raises(ResultsError, match=r"no table 'resources'.*output.tables=\[requests, resources\]"):
        plots.queue(bare)
    with pytest.raises(ResultsError, match="prefix_cache: true"):
        plots.cache(bare)
    with pytest.raises(ResultsError, match="'load' is of a sweep; this is a run"):
        plots.load(bare)
    with pytest.raises(ResultsError, match="no pictures of a int"):
        plots.load(3)
    with pytest.raises(ResultsError, match="did you mean 'ttft'"):
        plots.save(bare, ["tttf"], tmp_path / "a.svg")
    with pytest.raises(ResultsError, match=r"must end in \.svg, \.pdf, \.png"):
        plots.save(bare, ["ttft"], tmp_path / "a.gif")
    with pytest.raises(ResultsError, match="cannot write"):
        plots.save(bare, ["ttft"], tmp_path / "no" / "a.svg")
    with pytest.raises(ResultsError, match="no request was completed after the warm-up"):
        plots.ttft(recorded.run("scenario.duration=2.2 s", "scenario.warmup=2.1 s"))
    assert {plot.name for plot in plots.drawable(bare)} == {
        "ttft",
        "tpot",
        "e2e",
        "phases",
        "distribution",
        "cache",
        "topology",
    }
    assert "queue, running, kv" in plots.missing(bare)
    assert "[requests, resources]" in plots.missing(bare)
    assert plots.missing(recorded.run()) == ""


def test_nothing_to_show_is_no_bare_frame(recorded: ModuleType) -> None:
    """Replies of one token have no time per output token; where nothing waits, the scale is not of hundredths."""
    short = recorded.run("workloads.chat.output_tokens=1", "workloads.chat.arrivals.rate=0.2/s")
    with pytest.raises(ResultsError, match="no completed request has a time per output token"):
        plots.tpot(short)
    axes = plots.queue(short)
    assert axes.get_ylim() == (0.0, 1.0)
    assert "no waiting requests in any sample" in [text.get_text() for text in axes.texts]


def test_what_lies_beyond_an_axis_is_told(recorded: ModuleType) -> None:
    """A curve ends at its largest value, or the picture says which part is not on it."""
    run = recorded.run()
    for metric in ("ttft", "tpot", "e2e"):
        axes = plots.PLOTS[metric].draw(run)
        most = max(max(curve.get_xdata()) for curve in axes.lines if " (" in str(curve.get_label()))
        told = any("beyond" in text.get_text() for text in axes.texts)
        assert told == (most > axes.get_xlim()[1])
        assert any("completed requests after 2 s warm-up" in text.get_text() for text in axes.texts)
