"""The page of the board: well formed, self-contained, its numbers those of the CSV files."""

from __future__ import annotations

import csv
import io
import json
import re
from html import unescape
from html.parser import HTMLParser

import msgspec
import pytest

from boards import cell, full_grid, rows, seeds_of
from prunebench.board import Board, board_files, make_board, render_terminal
from prunebench.records import CellRecord, Record

VOID = {"meta", "link", "br", "hr", "img", "input"}


@pytest.fixture(scope="module")
def board() -> Board:
    return make_board(full_grid())


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
    found = list(csv.DictReader(io.StringIO(files["accuracy.csv"])))
    compared = list(csv.DictReader(io.StringIO(files["rank_correlation.csv"])))
    accuracies = {row["accuracy_mean"] for row in found} - {""}
    known = {row[name] for row in compared for name in ("value", "ceiling", "ratio")}
    decimals = {value for value in page.values if re.fullmatch(r"-?\d\.\d{6}", value)}
    assert decimals <= accuracies | known
    assert accuracies <= decimals | {row["accuracy_mean"] for row in found if row["keep"] == "1"}


def test_the_shown_percentages_are_the_rounded_csv_numbers(files: dict[str, str]) -> None:
    pattern = r'<td data-value="(0\.\d{6})"[^>]*>(\d+\.\d) <span class="half">'
    shown = re.findall(pattern, files["index.html"])
    assert shown
    assert all(f"{float(value) * 100:.1f}" == text for value, text in shown)


def test_the_embedded_json_is_the_board(page: Page, board: Board) -> None:
    data = json.loads(page.data)
    for name in ("accuracy", "rank_correlation", "failures", "tables", "sections"):
        table = data[name]
        assert [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]] == rows(getattr(board, name))


def test_holes_say_why_on_the_page(files: dict[str, str]) -> None:
    assert re.search(
        r'<td data-value="" class="hole" title="not run with bb1 \(3\); not run with bb2 \(3\)">not run</td>',
        files["index.html"],
    )
    assert re.search(
        r'class="hole" title="oom: out of memory &amp; &lt;lost&gt; \(1\)">2 of 3 seeds</td>', files["index.html"]
    )


def test_a_method_looks_alike_in_every_chart_of_a_section(files: dict[str, str]) -> None:
    swatches = re.findall(r'<g class="series ([^"]+)">.{0,200}?</g></svg>([^<]+)</button>', files["index.html"])
    looks: dict[str, set[str]] = {}
    for css, label in swatches:
        looks.setdefault(label, set()).add(css)
    assert set(looks) == {"random", "alpha + umap", "beta", "gamma", "delta", "epsilon"}
    assert all(len(css) == 1 for css in looks.values())
    assert len(set.union(*looks.values())) == len(looks)


def at_one_rate() -> list[Record]:
    return [r for r in full_grid() if not isinstance(r, CellRecord) or r.keep in ("0.5", "1")]


def test_charts_stay_inside_their_view(files: dict[str, str]) -> None:
    in_rows = board_files(make_board(at_one_rate()))
    charts = re.findall(
        r'<svg class="chart[^"]*" viewBox="0 0 (\d+) ([\d.]+)"(.*?)</svg>',
        (files["index.html"] + in_rows["index.html"]).replace("\n", " "),
    )
    assert len(charts) == 10, "accuracy and gain of two architectures and the agreement, twice"
    for width, height, inside in charts:
        corners = [pair.split(",") for text in re.findall(r'points="([^"]+)"', inside) for pair in text.split()]
        assert all(0 <= float(x) <= float(width) and 0 <= float(y) <= float(height) for x, y in corners)
        for axis, value in re.findall(r' ([xy])[12]?="([^"]+)"', inside):
            assert 0 <= float(value) <= float(width if axis == "x" else height)


def test_at_one_pruning_rate_every_method_has_a_row_with_its_interval_in_the_order_of_the_table() -> None:
    page = board_files(make_board(at_one_rate()))["index.html"].replace("\n", " ")
    accuracy, gain = re.findall(r"<svg[^>]*><title[^>]*>(?:Accuracy|Gain) [^<]*?, net</title>(.*?)</svg>", page)
    (table,) = re.findall(r"Trained: net,.*?<tbody>(.*?)</tbody>", page)
    in_table = re.findall(r'<th scope="row" data-value="([^"]+)"', table)
    whole = [name for name in in_table if name != "alpha + umap"]  # alpha has a hole
    assert re.findall(r'<text class="name"[^>]*>([^<]+)<', accuracy) == whole
    assert re.findall(r'<text class="name"[^>]*>([^<]+)<', gain) == [name for name in whole if name != "random"]
    assert "polyline" not in accuracy + gain
    assert 'aria-pressed="false"' not in page, "names are in the rows, so there is no legend"
    for chart in (accuracy, gain):
        groups = re.findall(r'<g class="series.*?</g>', chart)
        assert len(groups) == chart.count('class="name"') >= 4
        for group in groups:
            (low, high), place = re.findall(r'whisker" x1="([\d.]+)" x2="([\d.]+)"', group)[0], _place(group)
            assert float(low) <= place <= float(high)


def _place(group: str) -> float:
    """The horizontal middle of the mark of a row."""
    if circle := re.search(r'cx="([\d.]+)"', group):
        return float(circle[1])
    shape = re.search(r'(?:points|d)="([^"]+)"', group)
    assert shape is not None
    corners = re.findall(r"[M ]?(-?[\d.]+)[, ]-?[\d.]+", shape[1])
    return (min(map(float, corners)) + max(map(float, corners))) / 2


def test_two_rates_are_drawn_as_lines_until_lines_are_too_many_to_tell() -> None:
    def page(methods: int) -> str:
        names = ["random", *(f"m{index}" for index in range(1, methods))]
        records = [
            cell(name, seed, 0.7 + index / 1000 + seed / 100, keep=keep, role="method" if index else "baseline")
            for index, name in enumerate(names)
            for keep in ("0.5", "0.1")
            for seed in range(2)
        ]
        return board_files(make_board(records))["index.html"]

    assert "polyline" in page(16)
    assert "polyline" not in page(17)
    assert page(17).count('<text class="name"') == 17 + 16


def test_a_method_that_warns_of_its_own_scores_is_marked_wherever_it_is_listed() -> None:
    doubt = "ranks <nothing>"
    records = [msgspec.structs.replace(r, caveat=doubt) if r.method == "beta" else r for r in full_grid()]
    board = make_board(records)
    files = board_files(board)
    found = list(csv.DictReader(io.StringIO(files["accuracy.csv"])))
    assert {row["caveat"] for row in found if row["method"] == "beta"} == {doubt}
    assert {row["caveat"] for row in found if row["method"] != "beta"} == {""}
    tables, text = files["leaderboard.md"], render_terminal(board)
    assert tables.count("| beta \N{DAGGER} |") == 3, "two architectures and the agreement"
    assert "\N{DAGGER} beta: ranks &lt;nothing>" in tables
    assert "\nbeta \N{DAGGER} " in text
    assert text.count("\N{DAGGER} beta: ranks <nothing>") == 1
    assert unescape(files["index.html"]).count("\N{DAGGER} beta: ranks <nothing>") == 3
    assert "alpha + umap \N{DAGGER}" not in tables + text + files["index.html"]


def test_one_budget_one_seed_and_all_holes_still_make_a_board() -> None:
    for records in (
        [cell()],
        [cell(accuracy=None, status_reason="x")],
        seeds_of("full", [0.9], role="unpruned", keep="1"),
        [cell(accuracy=0.0), cell("beta", accuracy=0.0)],
    ):
        written = board_files(make_board(records))
        assert Page(written["index.html"]).problems == []
        assert render_terminal(make_board(records))


def test_warnings_that_differ_in_their_numbers_alone_are_one_line() -> None:
    said = ("trains on 1,434 images, on a budget of 144", "trains on 850 images, on a budget of 719",
            "trains on 849 images, on a budget of 719", "mis_ratio 0.0 at every rate")  # fmt: skip
    records = [cell("beta", seed, 0.7, caveat=caveat) for seed, caveat in enumerate(said)]
    note = "\N{DAGGER} beta: mis_ratio 0.0 at every rate; trains on 849 to 1,434 images, on a budget of 144 and 719"
    files = board_files(make_board(records))
    assert all(note in files[name] for name in ("leaderboard.md", "index.html"))
    assert all(caveat in files["accuracy.csv"] for caveat in said), "the table of numbers keeps each sentence"


def test_methods_that_cannot_be_told_apart_show_the_range_of_ranks_and_no_first_place() -> None:
    records = [r for k in range(6) for r in seeds_of(f"m{k}", (0.7 + k / 1000, 0.8, 0.75))]
    files = board_files(make_board(records))
    assert files["leaderboard.md"].count("<sup>1\N{EN DASH}6</sup>") == 6
    assert all("cannot tell from the best: 6 of 6 at 90 %" in files[name] for name in ("leaderboard.md", "index.html"))
    assert 'class="lead"' not in files["index.html"]
    apart = [r for k in range(6) for r in seeds_of(f"m{k}", (0.5 + k / 1000, 0.51, 0.505))]
    apart += seeds_of("best", (0.9, 0.912, 0.905))
    page = board_files(make_board(apart))["index.html"]
    assert page.count('class="lead"') == 1
    assert "cannot tell from the best: 1 of 7 at 90 %" in page
