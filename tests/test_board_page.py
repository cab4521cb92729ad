"""The page of the board as a file: well formed, self-contained, its data those of the board."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import random
import re
from html.parser import HTMLParser
from typing import Any

import msgspec
import pytest

from boards import cell, full_grid, rows, seeds_of
from prunebench.board import Board, board_files, make_board, render_terminal
from prunebench.board.render.pages import libraries

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
        self.ids: list[str] = []
        self.links: list[str] = []
        self.scripts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag not in VOID:
            self.open.append(tag)
        if tag == "script":
            self.scripts.append("")
        self.ids += [str(given["id"])] if given.get("id") else []
        self.links += [str(given[name]) for name in ("href", "src", "srcset", "action") if name in given]

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID and (not self.open or self.open.pop() != tag):
            self.problems.append(f"{tag} at {self.getpos()}")

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts[-1] += data


@pytest.fixture(scope="module")
def page(files: dict[str, str]) -> Page:
    return Page(files["index.html"])


def unpacked(column: dict[str, Any], n: int) -> list[Any]:
    """Return the values of a column, as the script of the page unpacks them."""
    if "text" in column:
        return [column["text"][i * column["width"] : (i + 1) * column["width"]] for i in range(n)]
    values = column.get("values")
    if values is None:
        runs = column["runs"]
        values = [value for value, count in zip(runs[::2], runs[1::2], strict=True) for _ in range(count)]
    if "scale" in column:
        return [None if value is None else value / column["scale"] for value in values]
    return [column["words"][value] for value in values] if "words" in column else values


def test_the_page_is_well_formed(page: Page) -> None:
    assert (page.problems, page.open) == ([], [])
    assert len(page.ids) == len(set(page.ids))


def test_the_page_needs_no_network(files: dict[str, str], page: Page) -> None:
    allowed = {"accuracy.csv", "rank_correlation.csv", "leaderboard.md", "data:,", "#tables"}
    assert set(page.links) == allowed
    own = files["index.html"]
    for library in libraries():
        assert own.count(library.text) == 1
        own = own.replace(library.text, "")
    assert not re.search(r"https?://|@import|fetch\(|XMLHttpRequest|import\(", own)


def test_the_libraries_are_the_stated_ones_and_their_licences_go_with_them(files: dict[str, str]) -> None:
    assert [library.name for library in libraries()] == ["d3", "plot"]
    for library in libraries():
        assert hashlib.sha256(library.text.encode()).hexdigest() == library.sha256
        assert f"v{library.version} Copyright" in library.text[:100]
        assert "Permission to use, copy, modify" in library.licence
        assert library.licence.strip() in files["index.html"]


def test_the_data_of_the_page_are_the_board(page: Page, board: Board) -> None:
    data = json.loads(page.scripts[0])
    for name in ("accuracy", "rank_correlation", "failures", "tables", "sections"):
        table, expected = data[name], rows(getattr(board, name))
        found = {column: unpacked(packed, table["rows"]) for column, packed in table["columns"].items()}
        assert list(found) == list(getattr(board, name).columns)
        for i, row in enumerate(expected):
            assert {column: values[i] for column, values in found.items()} == row


def test_every_record_is_in_the_page_with_what_it_measured(page: Page, board: Board) -> None:
    data = json.loads(page.scripts[0])
    for name, frame, field in (("cells", board.cells, "accuracy"), ("comparisons", board.comparisons, "pearson")):
        columns, n = data[name]["columns"], data[name]["rows"]
        assert unpacked(columns["key"], n) == [key[:8] for key in frame.key]
        values = [None if value != value else value for value in frame[field].astype(float)]
        assert unpacked(columns[field], n) == pytest.approx(values, abs=1e-6)


def test_text_of_records_cannot_end_the_script() -> None:
    board = make_board([cell(caveat="</script><script>alert(1)</script>"), cell("beta")])
    page = Page(board_files(board)["index.html"])
    assert (page.problems, page.open) == ([], [])
    assert "</script><script>alert(1)" in json.loads(page.scripts[0])["accuracy"]["columns"]["caveat"]["words"][-1]


def test_the_order_of_the_records_changes_no_byte(files: dict[str, str]) -> None:
    records = full_grid()
    random.Random(0).shuffle(records)
    assert board_files(make_board(records)) == files


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
    assert "alpha + umap \N{DAGGER}" not in tables + text


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
    assert note in files["leaderboard.md"]
    assert all(caveat in files["accuracy.csv"] for caveat in said), "the table of numbers keeps each sentence"


def test_methods_that_cannot_be_told_apart_show_the_range_of_ranks() -> None:
    records = [r for k in range(6) for r in seeds_of(f"m{k}", (0.7 + k / 1000, 0.8, 0.75))]
    files = board_files(make_board(records))
    assert files["leaderboard.md"].count("<sup>1\N{EN DASH}6</sup>") == 6
    assert "cannot tell from the best: 6 of 6 at 90 %" in files["leaderboard.md"]
    apart = [r for k in range(6) for r in seeds_of(f"m{k}", (0.5 + k / 1000, 0.51, 0.505))]
    apart += seeds_of("best", (0.9, 0.912, 0.905))
    assert "cannot tell from the best: 1 of 7 at 90 %" in board_files(make_board(apart))["leaderboard.md"]
