"""The files of the board and its table in the terminal: true to the byte, and escaped."""

from __future__ import annotations

import csv
import io
import json
import re
import statistics
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boards import cell, find, full_grid, write_results
from prunebench.errors import UsageError
from prunebench.leaderboard import (
    Board,
    board_files,
    build_board,
    check_board,
    load_results,
    render_terminal,
    write_board,
)


@pytest.fixture(scope="module")
def board() -> Board:
    return build_board(*full_grid())


@pytest.fixture(scope="module")
def files(board: Board) -> dict[str, str]:
    return board_files(board)


# ---------------------------------------------------------------- files


@given(st.randoms(use_true_random=False))
@settings(max_examples=8, deadline=None)
def test_the_order_of_the_records_does_not_matter(random: Any) -> None:
    cells, agreements = full_grid()
    expected = board_files(build_board(cells, agreements))
    random.shuffle(cells)
    random.shuffle(agreements)
    assert board_files(build_board(cells, agreements)) == expected


def test_records_are_left_alone() -> None:
    cells, agreements = full_grid()
    before = json.dumps([cells, agreements])
    build_board(cells, agreements)
    assert json.dumps([cells, agreements]) == before


def test_a_second_writing_gives_the_same_bytes_and_the_check_passes(tmp_path: Path) -> None:
    cells, agreements = full_grid()
    write_results(tmp_path, cells + agreements)
    paths = write_board(build_board(*load_results(tmp_path)), tmp_path / "board")
    first = {path.name: path.read_bytes() for path in paths}
    assert check_board(tmp_path) == []
    write_board(build_board(*load_results(tmp_path)), tmp_path / "board")
    assert {path.name: path.read_bytes() for path in paths} == first
    assert sorted(first) == ["accuracy.csv", "index.html", "leaderboard.md", "rank_correlation.csv"]
    assert all(b"\r" not in content and content.endswith(b"\n") for content in first.values())


def test_the_check_names_files_that_are_stale_or_absent(tmp_path: Path) -> None:
    cells, agreements = full_grid()
    write_results(tmp_path, cells + agreements)
    assert len(check_board(tmp_path)) == 4
    write_board(build_board(*load_results(tmp_path)), tmp_path / "board")
    (tmp_path / "board" / "accuracy.csv").unlink()
    with (tmp_path / "board" / "leaderboard.md").open("a") as file:
        file.write("edited by hand\n")
    assert check_board(tmp_path) == ["accuracy.csv", "leaderboard.md"]
    write_results(tmp_path, [cell("newcomer", s) for s in range(3)])
    assert "index.html" in check_board(tmp_path)


def test_an_empty_results_folder_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        load_results(tmp_path)
    assert "prunebench run" in caught.value.hint


def test_csv_numbers_have_six_decimals_and_holes_are_empty(files: dict[str, str]) -> None:
    rows = list(csv.DictReader(io.StringIO(files["accuracy.csv"])))
    numbers = [row["accuracy_mean"] for row in rows]
    assert "" in numbers
    assert all(re.fullmatch(r"0\.\d{6}", number) for number in numbers if number)
    assert {row["gain_excludes_zero"] for row in rows} == {"true", "false"}


def test_names_that_mean_something_to_csv_or_markdown_are_escaped() -> None:
    written = board_files(build_board([cell('a,"b|c"\n<i>', s) for s in range(2)]))
    rows = list(csv.DictReader(io.StringIO(written["accuracy.csv"], newline="")))
    assert rows[0]["method"] == 'a,"b|c"\n<i>'
    assert 'a,"b\\|c" &lt;i>' in written["leaderboard.md"]
    assert "<i>" not in written["index.html"]


def test_markdown_prints_gains_bold_only_where_the_interval_excludes_zero(board: Board, files: dict[str, str]) -> None:
    bold = [row for row in board.accuracy if row.gain_excludes_zero and row.is_headline]
    plain = [row for row in board.accuracy if row.gain_mean is not None and not row.gain_excludes_zero]
    assert bold
    assert plain
    assert files["leaderboard.md"].count("(**") == len(bold)


def test_the_board_names_the_command_that_computes_what_it_shows(files: dict[str, str]) -> None:
    command = "prunebench run core --seeds 3 --keep 0.5 --keep 0.1"
    assert f"Reproduce: `{command}`, then" in files["leaderboard.md"]
    assert f"<code>{command}</code>" in files["index.html"]
    of_scores_alone = board_files(build_board([], full_grid()[1]))
    assert "Reproduce: `prunebench run core --seeds 3`, then" in of_scores_alone["leaderboard.md"]


# ---------------------------------------------------------------- the terminal


@pytest.mark.parametrize("width", [24, 40, 80, 120])
def test_the_terminal_table_fits_its_width(board: Board, width: int) -> None:
    text = render_terminal(board, width)
    assert max(map(len, text.splitlines())) <= width


def test_the_terminal_table_shows_means_intervals_and_signs(board: Board) -> None:
    text = render_terminal(board)
    row = find(board, method="epsilon", score_backbone="mean", train_arch="net", keep="0.1")
    assert row.accuracy_mean is not None
    assert row.accuracy_half_width is not None
    assert f"{row.accuracy_mean * 100:.1f}±{row.accuracy_half_width * 100:.1f}+" in text
    assert "nothing pruned: 91.0±2.5" in text
    assert text.isprintable() or "\x1b" not in text


def test_the_terminal_table_can_be_held_to_one_budget(board: Board) -> None:
    text = render_terminal(board, at_keep="0.10")
    assert "90 %" in text
    assert "50 %" not in text


def test_accuracy_mean_of_the_unpruned_row_is_plain(board: Board) -> None:
    row = find(board, role="unpruned", train_arch="net")
    assert row.accuracy_mean == pytest.approx(statistics.mean([0.90, 0.91, 0.92]))
    assert (row.keep, row.pruning_rate, row.gain_mean) == ("1", "0", None)
