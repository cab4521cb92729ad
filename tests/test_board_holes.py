"""What the board does where cells are missing: a mean is over all that it names, holes and failures are in sight."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from boards import SUITE, agreement, cell, find, full_grid, pages, registry_with, rows, seeds_of
from prunebench.board import board_files, make_board, render_terminal
from prunebench.errors import UsageError
from prunebench.records import Record


def moderate_on(backbones: str, method: str = "moderate", low: float = 0.83) -> list[Record]:
    return [r for index, name in enumerate(backbones.split())
            for r in seeds_of(method, [low + index / 100, low + 0.01], score_backbone=name)]  # fmt: skip


def test_a_method_that_lacks_a_backbone_is_a_hole_and_does_not_stand_above_the_complete_ones() -> None:
    board = make_board([*moderate_on("bb1 bb2"), *moderate_on("bb2", "moderate-odd", 0.84)])
    whole = find(board, method="moderate", score_backbone="mean")
    lacking = find(board, method="moderate-odd", score_backbone="mean")
    assert (whole["status"], whole["hole"]) == ("ok", "")
    assert (lacking["accuracy_mean"], lacking["rank"], lacking["hole"]) == (None, None, "1 of 2 backbones")
    assert lacking["status_reason"] == "not run with bb1 (2)"
    for text in pages(board):
        assert "1 of 2" in text
    markdown = board_files(board)["leaderboard.md"]
    assert markdown.index("| moderate |") < markdown.index("| moderate-odd |")


def test_a_mean_is_over_the_backbones_that_the_suite_names_even_if_no_method_has_them(tmp_path: Path) -> None:
    records = [*moderate_on("bb1"), *seeds_of("random", (0.5, 0.6), role="baseline")]
    assert find(make_board(records), method="moderate", score_backbone="mean")["status"] == "ok"
    board = make_board(records, registry_with(tmp_path, SUITE))
    row = find(board, method="moderate", score_backbone="mean")
    assert (row["accuracy_mean"], row["hole"], row["n_backbones_expected"]) == (None, "1 of 2 backbones", 2)
    assert find(board, method="random")["status"] == "ok"  # it reads no backbone


def test_a_backbone_that_any_method_of_the_section_reads_is_asked_of_all_in_every_table() -> None:
    records = [*moderate_on("bb1 bb2"), *[cell("knn", s, 0.9, score_backbone="bb1", train_arch="deep") for s in (0, 1)]]
    row = find(make_board(records), method="knn", train_arch="deep", score_backbone="mean")
    assert (row["accuracy_mean"], row["hole"]) == (None, "1 of 2 backbones")


def test_a_method_that_lacks_a_seed_is_a_hole() -> None:
    board = make_board([*seeds_of("alpha", (0.9, 0.9)), *seeds_of("beta", (0.7, 0.7, 0.8))])
    row = find(board, method="alpha")
    assert (row["accuracy_mean"], row["rank"], row["hole"], row["n_seeds"]) == (None, None, "2 of 3 seeds", 2)
    assert all("2 of 3 seeds" in text for text in pages(board))


def test_a_failed_cell_of_one_backbone_leaves_a_hole_that_says_why() -> None:
    records = [cell("alpha", s, 0.6 + b / 10, score_backbone=str(b)) for s in range(2) for b in range(2)]
    failed = cell("alpha", 0, None, score_backbone="0", status="timeout", status_reason="1 h")
    row = find(make_board([failed if r.key == failed.key else r for r in records]), score_backbone="mean")
    assert (row["accuracy_mean"], row["hole"], row["n_failed"]) == (None, "1 of 2 seeds", 1)
    assert row["status_reason"] == "timeout: 1 h (1)"


def test_cells_that_were_never_run_are_holes_and_the_method_is_one_line() -> None:
    records = [cell("alpha", s, keep=keep) for s in range(2) for keep in ("0.1", "0.5")]
    records += [cell(m, s) for m in ("beta", "gamma") for s in range(2)]
    elsewhere = [cell("beta", s, train_arch="deep") for s in range(2)]
    board = make_board([*records, *elsewhere])
    row = find(board, method="beta", keep="0.5", train_arch="net")
    assert (row["status"], row["hole"], row["status_reason"]) == ("hole", "not run", "not run (2)")
    assert row["accuracy_mean"] is None
    assert "Not run: alpha, gamma." in board_files(board)["leaderboard.md"]
    assert "not run: alpha, gamma" in render_terminal(board)


def test_missing_drop_leaves_rows_with_a_hole_out() -> None:
    dropped = make_board(full_grid(), missing="drop")
    assert set(dropped.accuracy.status) == {"ok"}
    assert len(dropped.accuracy) < len(make_board(full_grid()).accuracy)
    assert len(dropped.failures) == 1  # still listed


def test_missing_error_names_the_first_hole() -> None:
    with pytest.raises(UsageError, match=r"5 rows.*delta on core/digits, keep 0\.1, deep: not run") as caught:
        make_board(full_grid(), missing="error")
    assert "prunebench run core" in caught.value.hint


def test_missing_error_accepts_a_method_that_declined() -> None:
    declined = cell("beta", 0, None, status="not_applicable", status_reason="one class")
    row = find(make_board([cell("alpha"), declined], missing="error"), method="beta")
    assert (row["status"], row["hole"], row["n_failed"]) == ("hole", "not applicable", 0)
    assert row["status_reason"] == "not_applicable: one class (1)"


def test_seeds_that_are_missing_where_nothing_is_pruned_are_told_on_every_page() -> None:
    full: dict[str, Any] = {"role": "unpruned", "keep": "1.0"}
    cells = [*seeds_of("alpha", (0.8, 0.8, 0.8)), *seeds_of("full", (0.9, 0.9), **full), cell("full", 2, None, **full)]
    assert all("2 of 3 seeds" in text for text in pages(make_board(cells)))


def test_failures_with_one_reason_are_one_line() -> None:
    lost = [cell(m, s, None, status_reason="NaN & <lost>", score_backbone="bb1") for m in "abc" for s in range(2)]
    compared = agreement("bb1", 0, "bb2", 0, None, status="failed", status_reason="NaN & <lost>")
    board = make_board([*lost, compared, *seeds_of("random", (0.5, 0.6))])
    (row,) = rows(board.failures)
    assert (row["status"], row["reason"]) == ("failed", "NaN & <lost>")
    assert (row["methods"], row["n_records"]) == ("a, alpha, b, c", 7)
    files = board_files(board)
    assert files["leaderboard.md"].count("NaN & &lt;lost>: a, alpha, b, c") == 1
    assert "NaN & \\u003clost>" in files["index.html"]
    assert "7 records hold no value" in render_terminal(board)
