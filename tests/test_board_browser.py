"""The page of the board in a real browser, opened from a file: what a reader does with it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from boards import DATA, exhibit, full_grid
from browser import BROWSER, Tab, browser
from prunebench.board import board_files, make_board
from prunebench.records import CellRecord
from prunebench.stats import gains

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")
TABLE = "document.querySelector('[data-training=\"core-on-digits-2\"]')"  # trained: net
ROWS = f"[...{TABLE}.querySelectorAll('tr[data-label]')]"
CONTRASTS = """(() => {
  const parse = (text) => {
    const canvas = parse.canvas ??= new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = text; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3]));
  const light = (rgb) => rgb.map((c) => c / 255).map((c) => (c <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [.2126, .7152, .0722][i], 0);
  const ground = (element) => {
    const chain = [];
    for (let one = element; one; one = one.parentElement) chain.unshift(parse(getComputedStyle(one).backgroundColor));
    return chain.reduce((below, top) => over(top, below), [255, 255, 255]);
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.checkVisibility()) continue;
    if (element.closest("script, style, option")) continue;
    const style = getComputedStyle(element), below = ground(element);
    const colour = parse(element.closest("svg") ? style.fill : style.color);
    const [a, b] = [light(over(colour, below)), light(below)];
    found.push([(Math.max(a, b) + .05) / (Math.min(a, b) + .05), element.outerHTML.slice(0, 150)]);
  }
  return found.sort((a, b) => a[0] - b[0]).slice(0, 400).filter(([ratio], i) => i === 0 || ratio < 4.5);
})()"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("page")
    board = replace(make_board(full_grid()), exhibits=(exhibit(),))
    (folder / "index.html").write_text(board_files(board)["index.html"], encoding="utf-8")
    return (folder / "index.html").as_uri()


@pytest.fixture(scope="module")
def only_tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with browser(tmp_path_factory.mktemp("profile")) as tab:
        yield tab


@pytest.fixture
def tab(only_tab: Tab) -> Iterator[Tab]:
    """The one tab; whatever a test does, no request leaves and nothing is said on the console."""
    only_tab.requests.clear()
    yield only_tab
    left = [url for url in only_tab.requests if not url.startswith(("file:", "data:", "about:", "blob:"))]
    assert (left, only_tab.problems) == ([], [])


def labels(tab: Tab) -> list[str]:
    return list(tab.evaluate(f"{ROWS}.map((row) => row.dataset.label)"))


def test_it_opens_with_an_answer_that_follows_the_means_and_names_the_ties(tab: Tab, address: str) -> None:
    tab.open(address)
    heads = tab.evaluate("[...document.querySelectorAll('#answer h3')].map((one) => one.textContent)")
    assert [text.split(" %")[0] for text in heads] == ["Prune 90", "Prune 50"]
    places = tab.evaluate(
        f"{ROWS}.map((row) => [...row.querySelectorAll('td[data-value]')].map((cell) => +cell.dataset.value).at(-1))"
    )
    assert places == sorted(places, reverse=True), "a better mean stands above"
    groups = tab.evaluate(f"[...{TABLE}.querySelectorAll('tr.group')].map((row) => row.textContent)")
    assert groups[0].startswith("Rank 1: ")


def test_filters_and_search_narrow_tables_and_answer_and_are_in_the_address(tab: Tab, address: str) -> None:
    tab.open(address)
    tab.evaluate("document.querySelector('[data-filter=rate] [data-value=\"0.5\"]').click()")
    tab.evaluate("document.querySelector('[data-filter=arch] [data-value=net]').click()")
    search = "document.getElementById('search')"
    tab.evaluate(f"{search}.value = 'beta, gamma'; {search}.dispatchEvent(new Event('input'))")
    shown = tab.evaluate("location.hash")
    assert "rate=0.5" in shown
    assert "arch=net" in shown

    def seen() -> list[Any]:
        tab.wait(f"{ROWS}.length")
        return [
            labels(tab), tab.evaluate("document.querySelectorAll('#answer .card').length"),
            tab.evaluate("[...document.querySelectorAll('.training')].filter((one) => !one.hidden).length"),
            tab.evaluate(f"{TABLE}.querySelectorAll('tr[data-label] td[data-value]').length"),
            tab.evaluate(f"{search}.value"),
        ]  # fmt: skip

    before = seen()
    assert before == [["gamma", "beta"], 1, 1, 2, "beta, gamma"]
    tab.open(address + shown)
    assert seen() == before, "a link shows the same to somebody else"
    tab.evaluate("document.getElementById('reset').click()")
    assert tab.evaluate("location.hash") == ""
    assert len(labels(tab)) == 6


def test_sorting_moves_the_pictures_with_the_rows_and_puts_holes_last(tab: Tab, address: str) -> None:
    tab.open(address)
    marks = f"Object.fromEntries({ROWS}.map((row) => [row.dataset.label, row.querySelector('.forest').innerHTML]))"
    before, order = tab.evaluate(marks), labels(tab)
    assert tab.evaluate(f"{ROWS}.every((row) => row.querySelectorAll('.forest').length === 1)")
    tab.evaluate(f"{TABLE}.querySelector('[data-sort=method]').focus()")
    tab.evaluate("document.activeElement.click()")
    assert labels(tab) == sorted(order)
    assert tab.evaluate(marks) == before, "the mark of a method stays in its row"
    assert tab.evaluate("document.activeElement.dataset.sort") == "method", "the heading keeps the focus"
    tab.evaluate(f"{TABLE}.querySelector('[data-sort=\"0.5\"]').click()")
    assert labels(tab)[-1] == "alpha + umap", "it has a hole there"
    assert tab.evaluate(f"{TABLE}.querySelector('[aria-sort]').textContent").startswith("50 %")
    rising = "sort=0.5%3Arising"
    tab.open(f"{address}#{rising}")
    assert labels(tab)[-1] == "alpha + umap", "holes are last both ways"


def test_a_number_opens_its_records_and_how_to_compute_it_again(tab: Tab, address: str) -> None:
    tab.open(address)
    tab.evaluate(f"{ROWS}.find((row) => row.dataset.label === 'beta').querySelectorAll('td .number')[1].click()")
    text = tab.evaluate("document.getElementById('detail').innerText")
    found = [
        r
        for r in full_grid()
        if isinstance(r, CellRecord) and (r.method, r.keep, r.train_arch) == ("beta", "0.1", "net")
    ]
    assert len(found) == 6
    for record in found:
        assert record.key[:8] in text
        assert f"{record.accuracy or 0:.2%}".rstrip("%") in text
    for fact in ("0123456789ab", "prunebench 0.1.0", "core/digits/beta.jsonl", DATA, "gate=1.5", "3 of 3"):
        assert fact in text, fact
    assert "prunebench run core --scorer beta --keep 0.1 --seeds 3 --arch net" in text
    tab.press("Escape")
    tab.wait("!document.getElementById('detail').open")


def test_a_hole_says_why(tab: Tab, address: str) -> None:
    tab.open(f"{address}#rate=0.5")
    tab.evaluate(f"{ROWS}.find((row) => row.dataset.label === 'alpha + umap').querySelector('.hole .number').click()")
    assert "out of memory & <lost>" in tab.evaluate("document.getElementById('detail').innerText")


def test_paired_differences_are_those_of_the_statistics(tab: Tab, address: str) -> None:
    tab.open(address)
    rng = np.random.default_rng(0)
    for n_methods, n_seeds in ((1, 3), (3, 2), (6, 3), (12, 5), (30, 10)):
        seeds = range(n_seeds)
        reference = {seed: float(rng.normal(0.7, 0.02)) for seed in seeds}
        spread = rng.uniform(0.001, 0.03, n_methods)
        table = {
            f"m{i:02}": {seed: float(reference[seed] + rng.normal(0.01, spread[i])) for seed in seeds}
            for i in range(n_methods)
        }
        table["constant"] = {seed: reference[seed] + 0.01 for seed in seeds}
        found = tab.evaluate(f"pairedDifferences({json.dumps(table)}, {json.dumps(reference)})")
        for name, gain in gains(table, reference).items():
            expected = [gain.mean, gain.low, gain.high, gain.p]
            for key, value in zip(("mean", "low", "high", "p"), expected, strict=True):
                assert found[name][key] == (None if value is None else pytest.approx(value, rel=1e-7)), name
            assert found[name]["significant"] == gain.significant


def test_the_gain_over_the_baseline_and_over_another_method_come_from_the_same_records(tab: Tab, address: str) -> None:
    tab.open(address)
    stored, computed = tab.evaluate(
        "(() => { const net = trainings.find((one) => one.facts.train_arch === 'net'), pick = (one) => one && "
        "[one.mean, one.low, one.high, one.significant]; return ['0.5', '0.9'].flatMap((rate) => net.lines.map(line =>"
        "[pick(gainOf(net, line, rate)), pick(differencesTo(net, net.baseline, rate)[line.label])]))"
        ".filter(([stored]) => stored).reduce(([a, b], [x, y]) => [[...a, x], [...b, y]], [[], []]); })()"
    )
    assert len(stored) == 9
    assert [row[:3] for row in computed] == [pytest.approx(row[:3], abs=2e-6) for row in stored]
    assert [row[3] for row in computed] == [row[3] for row in stored]
    tab.evaluate(
        "const choice = document.getElementById('reference'); choice.value = 'beta';"
        "choice.dispatchEvent(new Event('change'))"
    )
    assert "ref=beta" in tab.evaluate("location.hash")
    assert "paired gain over beta" in tab.evaluate(f"{TABLE}.querySelector('caption').textContent")
    tab.evaluate(f"{ROWS}.find((row) => row.dataset.label === 'delta').querySelectorAll('td .number')[1].click()")
    text, select = "document.getElementById('paired').textContent", "document.querySelector('.paired select')"
    assert tab.evaluate(f"{select}.value") == "beta"
    before = tab.evaluate(text)
    assert "points 95 % interval [" in before
    tab.evaluate(f"{select}.value = 'gamma'; {select}.dispatchEvent(new Event('change'))")
    assert tab.evaluate(text) != before


def test_pointing_at_a_sample_shows_its_picture_and_dragging_lists_several(tab: Tab, address: str) -> None:
    tab.open(address, height=2000)
    tab.evaluate("document.getElementById('core-on-digits-map').scrollIntoView()")
    tab.wait("document.querySelector('.map svg circle')")
    circle = "document.querySelector('.map circle').getBoundingClientRect()"
    x, y, width = tab.evaluate(f"[{circle}.x, {circle}.y, {circle}.width]")
    tab.hover(x + width / 2, y + width / 2)
    tab.wait("document.querySelector('.float:not([hidden]) .tile')")
    style = tab.evaluate("getComputedStyle(document.querySelector('.float .tile')).backgroundImage")
    assert style.startswith('url("data:image/png;base64,')
    assert "dropped" in tab.evaluate("document.querySelector('.float').textContent")
    left, top, right, bottom = tab.evaluate(
        "(({ left, top, right, bottom }) => [left, top, right, bottom])"
        "(document.querySelector('.map svg').getBoundingClientRect())"
    )
    tab.drag((left + 2, top + 2), (right - 2, bottom - 2))
    tab.wait("document.querySelectorAll('.brushed .tile').length === 6")
    tiles = tab.evaluate("document.querySelectorAll('.tiles .tile').length")
    assert tiles == 2 * 6, "best and worst of two methods"


def test_numbers_are_reached_by_arrows_and_a_table_is_one_stop_of_the_tab_key(tab: Tab, address: str) -> None:
    tab.open(address)
    stops = f"[...{TABLE}.querySelectorAll('.results tbody button')].filter((one) => one.tabIndex === 0).length"
    assert tab.evaluate(stops) == 1
    tab.evaluate(f"{TABLE}.querySelector('tbody button').focus()")
    for key in ("ArrowRight", "ArrowRight", "ArrowDown"):
        tab.press(key)
    assert tab.evaluate("document.activeElement.className") == "number"
    second = labels(tab)[1]
    assert tab.evaluate("document.activeElement.closest('tr').dataset.label") == second
    assert tab.evaluate(stops) == 1


def test_every_table_picture_and_control_has_a_name(tab: Tab, address: str) -> None:
    tab.open(address, height=6000)
    tab.wait("document.querySelectorAll('.plot svg').length > 3")
    assert tab.evaluate("[...document.querySelectorAll('table')].filter((one) => !one.caption).length") == 0
    assert tab.evaluate("[...document.querySelectorAll('th')].filter((one) => !one.scope).length") == 0
    named = "one.getAttribute('aria-label') || one.textContent.trim() || one.labels?.length"
    assert (
        tab.evaluate(f"[...document.querySelectorAll('button, select, input')].filter((one) => !({named})).length") == 0
    )
    hidden = "one.getAttribute('aria-hidden') === 'true' || one.closest('[aria-label]')"
    pictures = f"[...document.querySelectorAll('svg')].filter((one) => !({hidden}))"
    assert tab.evaluate(f"{pictures}.map((one) => one.outerHTML.slice(0, 200))") == []


def test_nothing_is_wider_than_a_telephone(tab: Tab, address: str) -> None:
    tab.open(address, width=390, height=7000)
    tab.wait("document.querySelectorAll('.plot svg').length > 3")
    assert tab.evaluate("[innerWidth, document.documentElement.scrollWidth]") == [390, 390]
    outside = (
        "[...document.querySelectorAll('main *')].filter((one) => !one.closest('.scroll > *, svg, .float') && "
        "one.getBoundingClientRect().right > 391).map((one) => one.outerHTML.slice(0, 200))"
    )
    assert tab.evaluate(outside) == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_text_stands_out_by_four_and_a_half_to_one(tab: Tab, address: str, dark: bool) -> None:
    tab.open(f"{address}#pin=beta", height=6000, dark=dark)
    tab.wait("document.querySelectorAll('.plot svg').length > 3")
    tab.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
    found = tab.evaluate(CONTRASTS)
    assert found
    assert [pair for pair in found if pair[0] < 4.5] == []
    tab.evaluate(f"{TABLE}.querySelector('td .number').click()")
    assert [pair for pair in tab.evaluate(CONTRASTS) if pair[0] < 4.5] == []


def test_the_print_is_whole_and_nothing_lies_beyond_its_edge(tab: Tab, address: str) -> None:
    tab.open(address, width=1040)
    file = tab.pdf()
    assert file.startswith(b"%PDF")
    assert 2 <= file.count(b"/Type /Page\n") <= 12
    assert tab.evaluate("parts.filter((one) => one.dirty && one.host.offsetParent).length") == 0, "all was drawn"
    tab.call("Emulation.setEmulatedMedia", media="print")
    outside = (
        "[...document.querySelectorAll('main *')].filter((one) => one.getBoundingClientRect().right > innerWidth + 1)"
    )
    assert tab.evaluate(f"{outside}.map((one) => one.outerHTML.slice(0, 150))") == []
    hidden = "[...document.querySelectorAll('#filters, .reset, .pin')].filter((one) => one.checkVisibility()).length"
    assert tab.evaluate(hidden) == 0
