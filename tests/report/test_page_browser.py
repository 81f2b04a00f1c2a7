"""Tests of the report page in a browser: by mouse, finger and keyboard, on a phone, in the dark, on paper."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from edgesim.report.page import write
from edgesim.units import format_joules, format_seconds


@pytest.fixture
def opened(browser: Any, page: Path) -> Any:
    """The page of the quickstart in a window of a desktop."""
    browser.look(width=1280)
    browser.open(page)
    return browser


ORDER = "[...document.querySelectorAll('#requests-table tbody tr')].map(r => r.cells[0].textContent)"
ROWS = ORDER.replace("r.cells[0].textContent", "r.textContent")
SORTED = "[...document.querySelectorAll('#requests-table th[aria-sort]')].filter(h => h.ariaSort != 'none')"


def test_it_opens_from_disk_without_a_request_or_a_complaint(opened: Any, page: Path) -> None:
    """The file itself is all that is asked for, and the console stays empty."""
    assert [each for each in opened.requested if not each.startswith("data:")] == [page.resolve().as_uri()]
    assert opened.complaints == []
    assert opened.ask("document.querySelectorAll('#requests-table tbody tr').length") == 50


def test_the_table_sorts_on_click_and_on_enter(opened: Any) -> None:
    """A click sorts upward, Enter on the same button downward, and `aria-sort` says so."""
    opened.click("#requests-table thead th:nth-child(1) button")
    numbers = [int(each) for each in opened.ask(ORDER)]
    assert numbers == sorted(numbers)
    assert opened.ask(f"{SORTED}.map(h => [h.cellIndex, h.ariaSort])") == [[0, "ascending"]]
    opened.press("Enter", "\r")
    numbers = [int(each) for each in opened.ask(ORDER)]
    assert numbers == sorted(numbers, reverse=True)
    assert numbers[0] > numbers[-1]
    assert opened.ask(f"{SORTED}.map(h => h.ariaSort)") == ["descending"]


def test_numbers_are_written_as_elsewhere(opened: Any) -> None:
    """Three digits and the units of the tables above: the script and Python write the same."""
    cells = opened.ask(
        "[...document.querySelectorAll('#requests-table tbody tr')].slice(0, 20).map(row => {"
        " const heads = [...document.querySelectorAll('#requests-table thead th')].map(h => h.textContent);"
        " const data = JSON.parse(document.getElementById('requests-data').textContent).columns;"
        " const [request, replication] = [0, 1].map(i => Number(row.cells[i].textContent));"
        " const at = data.request.findIndex((n, i) => n === request && data.replication[i] === replication);"
        " return [['e2e', 'end to end'], ['energy', 'energy']].map("
        "([name, head]) => [name, data[name][at], row.cells[heads.indexOf(head)].textContent]); }).flat()"
    )
    write = {"e2e": format_seconds, "energy": format_joules}
    assert len(cells) == 40
    assert [shown for *_, shown in cells] == [write[name](value) for name, value, _ in cells]


def test_tables_in_the_page_sort_by_number_not_by_text(opened: Any) -> None:
    """The metrics by their mean: 900 us come before 1 s."""
    opened.click("#summary table.sortable thead th:nth-child(2) button")
    values = opened.ask(
        "[...document.querySelector('#summary table.sortable').tBodies[0].rows].map(r => Number(r.cells[1].dataset.value))"
    )
    assert values == sorted(values)
    assert len(values) > 5


def test_filters_choose_rows_and_pages_turn(opened: Any) -> None:
    """What is typed, and the tier, decide which rows match; the next page has others."""
    before = set(opened.ask(ROWS))
    opened.click("#requests-next")
    assert len(before) == len(set(opened.ask(ROWS)) - before) == 50
    opened.ask(
        "(() => { const s = document.getElementById('requests-tier'); s.value = 'edge'; s.dispatchEvent(new Event('change')); })()"
    )
    tiers = opened.ask(
        "[...document.querySelectorAll('#requests-table tbody tr')].map(r => r.cells[4].textContent)"
    )
    assert set(tiers) == {"edge"}
    opened.ask(
        "(() => { const f = document.getElementById('requests-filter'); f.value = 'nothing like it'; f.dispatchEvent(new Event('input')); })()"
    )
    assert opened.ask(ORDER) == []
    assert opened.ask("document.getElementById('requests-count').textContent").startswith("0 of ")


def test_topology_tells_what_has_the_focus(opened: Any) -> None:
    """Focus on a box by keyboard shows its figures."""
    opened.ask("document.querySelector('#topology-drawing .node').focus()")
    told = opened.ask("document.getElementById('topology-told').textContent")
    assert told.startswith("phone \N{MULTIPLICATION SIGN} 200, tier device")
    assert "% busy" in told


def test_the_timeline_zooms_and_shows_a_request(opened: Any) -> None:
    """Keys zoom and move; the number of a request leads to its bar, in the replication where it is."""
    span = "document.getElementById('timeline-span').textContent"
    everything = opened.ask(span)
    assert everything == "0 s to 20 s"
    opened.ask("document.getElementById('timeline-canvas').focus()")
    opened.press("+", "+")
    assert opened.ask(span) == "5 s to 15 s"
    opened.press("ArrowRight")
    assert opened.ask(span) == "7.5 s to 17.5 s"
    opened.press("0", "0")
    assert opened.ask(span) == everything
    opened.click("#requests-table tbody tr:nth-child(3) button")
    number = opened.ask("document.querySelectorAll('#requests-table tbody tr')[2].cells[0].textContent")
    assert opened.ask("document.getElementById('timeline-told').textContent").startswith(
        f"Request {number} ("
    )
    assert opened.ask(span) != everything
    painted = opened.ask(
        "(() => { const c = document.getElementById('timeline-canvas'); const d = c.getContext('2d')"
        ".getImageData(0, 0, c.width, c.height).data; let n = 0; for (let i = 3; i < d.length; i += 4) n += d[i] > 0; return n; })()"
    )
    assert painted > 100


def test_a_finger_finds_requests_and_groups(browser: Any, page: Path) -> None:
    """A tap beside a bar, as near as a finger is, tells its request; a tap on a box its figures."""
    browser.look(width=390)
    browser.call("Emulation.setTouchEmulationEnabled", enabled=True)
    browser.open(page)
    browser.tap("#topology-drawing .node")
    assert "tier device" in browser.ask("document.getElementById('topology-told').textContent")
    browser.click("[data-does=in]")
    browser.tap("#timeline-canvas")
    told = browser.ask("document.getElementById('timeline-told').textContent")
    browser.call("Emulation.setTouchEmulationEnabled", enabled=False)
    assert re.match(r"Request \d+ \(chat, ", told)


@pytest.mark.parametrize("dark", [False, True])
def test_paper_is_white(browser: Any, page: Path, dark: bool) -> None:
    """Printed from a dark screen, too; nothing is wider than the sheet."""
    browser.look(width=850)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    browser.call("Emulation.setEmulatedMedia", media="print", features=[scheme])
    browser.open(page)
    assert browser.ask("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert browser.ask("getComputedStyle(document.querySelector('figure svg')).filter") == "none"
    assert browser.ask("document.documentElement.scrollWidth") <= 850
    browser.call("Emulation.setEmulatedMedia", media="", features=[])


@pytest.mark.parametrize("width", [390, 1280])
def test_a_comparison_keeps_its_names_whole(browser: Any, tmp_path: Path, width: int) -> None:
    """No row of its table is higher than its words, and the forest is as wide as the page."""
    names = ["threshold-offload-eagerly", "join-the-shortest-queue"]
    row = {
        "a": names[0], "b": names[1], "metric": "ttft", "statistic": "p95", "unit": "s", "mean_a": 2.0, "mean_b": 1.0,
        "difference": -1.0, "low": -1.2, "high": -0.8, "relative": -0.5, "p": 0.001, "p_adjusted": 0.002, "real": True,
        "better": names[1],
    }  # fmt: skip
    rows = [row, row | {"metric": "energy_j", "relative": 1.5, "low": 2.0, "high": 4.0, "real": False}]
    table = pd.DataFrame(rows * 3)
    found = SimpleNamespace(table=table, names=names, runs={}, sentences=["so"], notes=[], confidence=0.95)
    write(found, tmp_path / "both.html")
    browser.look(width=width)
    browser.open(tmp_path / "both.html")
    assert browser.ask("document.documentElement.scrollWidth") <= width
    assert (
        browser.ask(
            "Math.max(...[...document.querySelectorAll('#numbers tbody tr')].map(r => r.offsetHeight))"
        )
        < 40
    )
    inside = "[...document.querySelectorAll('.forest .dot')].every(d => d.getBoundingClientRect().right <= innerWidth)"
    assert browser.ask(inside)
    assert browser.ask("document.querySelectorAll('.forest .dot').length") > 3


@pytest.mark.parametrize(("width", "dark"), [(390, False), (390, True), (1280, False), (1280, True)])
def test_it_fits_phone_and_desktop_in_light_and_dark(
    browser: Any, page: Path, width: int, dark: bool, tmp_path: Path
) -> None:
    """Nothing makes the page wider than the screen, text stands out, and the toggle changes the colours."""
    browser.look(width=width, dark=dark)
    browser.open(page)
    assert browser.ask("document.documentElement.scrollWidth") <= width
    colours = "[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]"
    ink, paper = (_luminance(each) for each in browser.ask(colours))
    assert (max(ink, paper) + 0.05) / (min(ink, paper) + 0.05) > 7  # WCAG 2.2, 1.4.6
    assert (ink > paper) == dark
    browser.shoot(tmp_path / "page.png")
    assert (tmp_path / "page.png").stat().st_size > 20_000
    browser.click("#theme")
    ink, paper = (_luminance(each) for each in browser.ask(colours))
    assert (ink > paper) != dark
    small = browser.ask(
        "[...document.querySelectorAll('button, select, input')].filter(e => e.offsetHeight && e.offsetHeight < 24).length"
    )
    assert small == 0  # WCAG 2.2, 2.5.8: targets of at least 24 px


def _luminance(colour: str) -> float:
    """Relative luminance of a colour (WCAG 2.2)."""
    parts = [int(each) / 255 for each in re.findall(r"\d+", colour)[:3]]
    linear = [each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_names_for_screen_readers(opened: Any) -> None:
    """Every control and every drawing has a name, every table a caption, headings do not skip a level."""
    unnamed = opened.ask(
        "[...document.querySelectorAll('button, select, input, canvas, svg, img, [role=region], [role=img]')].filter(e =>"
        " !(e.textContent.trim() || e.ariaLabel || e.getAttribute('aria-label') || e.alt || (e.labels && e.labels.length)))"
        ".map(e => e.outerHTML.slice(0, 80))"
    )
    assert unnamed == []
    assert opened.ask("[...document.querySelectorAll('table')].filter(t => !t.caption).length") == 0
    levels = opened.ask("[...document.querySelectorAll('h1, h2, h3, h4')].map(h => Number(h.tagName[1]))")
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert opened.ask("document.documentElement.lang") == "en"
    opened.ask("document.activeElement.blur()")
    opened.press("Tab")
    assert opened.ask("document.activeElement.className") == "skip"


def test_without_script_the_text_is_there(browser: Any, page: Path) -> None:
    """Verdicts, numbers and explanation need no script."""
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open_plain(page)
        text = browser.call("DOM.getDocument", depth=-1)
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", value=False)
    assert "objectives are" in json.dumps(text)
    assert "This table needs the script" in json.dumps(text)
