"""The page of the board: well formed, self-contained, its numbers those of the csv files."""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boards import cell, full_grid
from prunebench.leaderboard import (
    AccuracyRow,
    Board,
    CorrelationRow,
    board_files,
    build_board,
    render_terminal,
)
from prunebench.leaderboard.charts.svg import ticks
from prunebench.leaderboard.tables import cell_text

VOID = {"meta", "link", "br", "hr", "img", "input"}


@pytest.fixture(scope="module")
def board() -> Board:
    return build_board(*full_grid())


@pytest.fixture(scope="module")
def files(board: Board) -> dict[str, str]:
    return board_files(board)


class Page(HTMLParser):
    """Walks a page and keeps what the tests ask for."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.problems: list[str] = []
        self.tables: list[dict[str, int]] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.values: list[str] = []
        self.data = ""
        self.feed(text)
        self.close()

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append({"caption": 0, "th": 0, "scoped": 0})
        if tag in ("caption", "th"):
            self.tables[-1][tag] += 1
            self.tables[-1]["scoped"] += tag == "th" and given.get("scope") in ("row", "col")
        if given.get("id"):
            self.ids.append(str(given["id"]))
        self.links += [str(given[name]) for name in ("href", "src") if name in given]
        if tag == "td":
            self.values.append(str(given.get("data-value")))

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        if not self.open or self.open.pop() != tag:
            self.problems.append(f"{tag} at {self.getpos()}")

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script" and not self.data:
            self.data = data


@pytest.fixture(scope="module")
def page(files: dict[str, str]) -> Page:
    return Page(files["index.html"])


def test_the_page_is_well_formed(page: Page) -> None:
    assert (page.problems, page.open) == ([], [])
    assert len(page.ids) == len(set(page.ids))


def test_every_table_has_a_caption_and_scoped_headers(page: Page) -> None:
    assert len(page.tables) >= 6
    for table in page.tables:
        assert table["caption"] == 1
        assert table["scoped"] == table["th"] > 0


def test_the_page_needs_no_network_and_carries_no_timestamp(files: dict[str, str], page: Page) -> None:
    allowed = {"accuracy.csv", "rank_correlation.csv", "data:,"}
    assert {link for link in page.links if not link.startswith("#")} <= allowed
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)
    assert not re.search(r"https?://|@import|url\(", files["index.html"])
    assert not re.search(r"20\d\d-\d\d-\d\d", files["index.html"])


def test_the_numbers_of_the_page_are_those_of_the_csv_files(page: Page, files: dict[str, str]) -> None:
    accuracies = [row["accuracy_mean"] for row in csv.DictReader(io.StringIO(files["accuracy.csv"]))]
    agreements = list(csv.DictReader(io.StringIO(files["rank_correlation.csv"])))
    known = {row[name] for row in agreements for name in ("value", "ceiling", "ratio", "pruning_rate")}
    decimals = [value for value in page.values if re.fullmatch(r"-?\d\.\d{6}", value)]
    rates = {cell_text(float(rate)) for rate in known if rate and len(rate) < 8}
    assert set(decimals) <= set(accuracies) | known | rates
    full = [row["accuracy_mean"] for row in csv.DictReader(io.StringIO(files["accuracy.csv"])) if row["keep"] == "1"]
    assert set(accuracies) - {""} <= set(decimals) | set(full)


def test_the_shown_percentages_are_the_rounded_csv_numbers(files: dict[str, str]) -> None:
    pattern = r'<td data-value="(0\.\d{6})"[^>]*>(\d+\.\d) <span class="half">'
    shown = re.findall(pattern, files["index.html"])
    assert shown
    assert all(f"{float(value) * 100:.1f}" == text for value, text in shown)


def test_the_embedded_json_is_the_board(page: Page, board: Board) -> None:
    data = json.loads(page.data)
    table = data["accuracy"]
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]
    assert [AccuracyRow(**row) for row in rows] == list(board.accuracy)
    assert [CorrelationRow(**dict(zip(data["rank_correlation"]["columns"], row, strict=True)))
            for row in data["rank_correlation"]["rows"]] == list(board.correlation)  # fmt: skip


def test_holes_say_why_on_the_page(files: dict[str, str]) -> None:
    assert re.search(r'<td data-value="" class="hole" title="not run \(6\)">not run</td>', files["index.html"])
    assert "2 of 3 seeds" in files["index.html"]


def test_a_method_looks_alike_in_every_chart_of_a_section(files: dict[str, str]) -> None:
    swatches = re.findall(r'<g class="series ([^"]+)">.{0,200}?</g></svg>([^<]+)</button>', files["index.html"])
    looks: dict[str, set[str]] = {}
    for css, label in swatches:
        looks.setdefault(label, set()).add(css)
    assert set(looks) == {"random", "alpha + umap", "beta", "gamma", "delta", "epsilon"}
    assert all(len(css) == 1 for css in looks.values())
    assert len(set.union(*looks.values())) == len(looks)


def at_one_rate() -> list[dict]:
    return [record for record in full_grid()[0] if record["keep"] in ("0.5", "1")]


def test_charts_stay_inside_their_view(files: dict[str, str]) -> None:
    rows = board_files(build_board(at_one_rate()))
    charts = re.findall(
        r'<svg class="chart[^"]*" viewBox="0 0 (\d+) ([\d.]+)"(.*?)</svg>', files["index.html"] + rows["index.html"]
    )
    assert len(charts) == 9, "accuracy and gain of two architectures, twice, and the agreement"
    for width, height, inside in charts:
        corners = [pair.split(",") for text in re.findall(r'points="([^"]+)"', inside) for pair in text.split()]
        assert all(0 <= float(x) <= float(width) and 0 <= float(y) <= float(height) for x, y in corners)
        for axis, value in re.findall(r' ([xy])[12]?="([^"]+)"', inside):
            assert 0 <= float(value) <= float(width if axis == "x" else height)


def test_at_one_pruning_rate_every_method_has_a_row_with_its_interval_in_the_order_of_the_table() -> None:
    page = board_files(build_board(at_one_rate()))["index.html"]
    accuracy, gain = re.findall(r"<svg[^>]*><title[^>]*>(?:Accuracy|Gain) .*?, net</title>(.*?)</svg>", page)
    (table,) = re.findall(r"Trained: net .*?<tbody>(.*?)</tbody>", page)
    in_table = re.findall(r'<th scope="row" data-value="([^"]+)"', table)
    assert re.findall(r'<text class="name"[^>]*>([^<]+)<', accuracy) == in_table
    assert re.findall(r'<text class="name"[^>]*>([^<]+)<', gain) == [name for name in in_table if name != "random"]
    assert "polyline" not in accuracy + gain
    assert 'aria-pressed="false"' not in page, "names are in the rows, so there is no legend"
    for chart in (accuracy, gain):
        groups = re.findall(r'<g class="series.*?</g>', chart)
        assert len(groups) == chart.count('class="name"') > 4
        for group in groups:
            (low, high), place = re.findall(r'whisker" x1="([\d.]+)" x2="([\d.]+)"', group)[0], _place(group)
            assert float(low) <= place <= float(high)


def _place(group: str) -> float:
    """The horizontal middle of the mark of a row."""
    if circle := re.search(r'cx="([\d.]+)"', group):
        return float(circle[1])
    corners = re.findall(r"[M ]?(-?[\d.]+)[, ]-?[\d.]+", re.search(r'(?:points|d)="([^"]+)"', group)[1])
    return (min(map(float, corners)) + max(map(float, corners))) / 2


def test_two_rates_are_drawn_as_lines_until_lines_are_too_many_to_tell() -> None:
    def page(methods: int) -> str:
        names = ["random", *(f"m{index}" for index in range(1, methods))]
        records = [
            cell(
                name,
                seed,
                0.7 + index / 1000 + seed / 100,
                keep=keep,
                role="baseline" if name == "random" else "method",
            )
            for index, name in enumerate(names)
            for keep in ("0.5", "0.1")
            for seed in range(2)
        ]
        return board_files(build_board(records))["index.html"]

    assert "polyline" in page(16)
    assert "polyline" not in page(17)
    assert page(17).count('<text class="name"') == 17 + 16


def test_a_method_that_warns_of_its_own_scores_is_marked_wherever_it_is_listed() -> None:
    doubt = "ranks <nothing>"
    cells, agreements = full_grid()
    cells = [c | {"caveat": doubt} if c["method"] == "beta" and c["seed"] == 1 else c for c in cells]
    agreements = [a | {"caveat": doubt} if a["method"] == "beta" else a for a in agreements]
    board = build_board(cells, agreements)
    files = board_files(board)
    rows = list(csv.DictReader(io.StringIO(files["accuracy.csv"])))
    assert {row["caveat"] for row in rows if row["method"] == "beta"} == {doubt}
    assert {row["caveat"] for row in rows if row["method"] != "beta"} == {""}
    tables, text = files["leaderboard.md"], render_terminal(board)
    assert tables.count("| beta \N{DAGGER} |") == 3, "two architectures and the agreement"
    assert "\N{DAGGER} beta: ranks &lt;nothing>" in tables
    assert "\nbeta \N{DAGGER} " in text
    assert "\N{DAGGER} beta: ranks <nothing>" in text
    assert files["index.html"].count("\N{DAGGER} beta: ranks &lt;nothing&gt;") == 3
    assert "alpha + umap \N{DAGGER}" not in tables + text + files["index.html"]


def test_one_budget_one_seed_and_all_holes_still_make_a_board() -> None:
    for records in (
        [cell()],
        [cell(status="failed", accuracy=None, status_reason="x")],
        [cell("full", role="unpruned", keep="1")],
        [cell(accuracy=0.0), cell("beta", accuracy=0.0)],
    ):
        written = board_files(build_board(records))
        assert Page(written["index.html"]).problems == []
        assert render_terminal(build_board(records))


@given(st.floats(-1, 1), st.floats(1e-7, 2))
@settings(deadline=None)
def test_ticks_cover_the_range_with_few_even_steps(low: float, spread: float) -> None:
    found = ticks(low, low + spread)
    assert found[0] <= low + 1e-6
    assert found[-1] >= low + spread - 1e-6
    assert 2 <= len(found) <= 8
    steps = {round(b - a, 7) for a, b in itertools.pairwise(found)}
    assert max(steps) - min(steps) < 1e-6
