"""The columns of metric plugins: measured by seed on complete rows, and none stops the board."""

from __future__ import annotations

from typing import Any

import pytest

from boards import cell, find, full_grid, metric, pages, rows, seeds_of
from prunebench.board import board_files, make_board


def test_a_metric_is_a_column_measured_by_seed_on_complete_rows() -> None:
    calls: list[list[str]] = []

    def spread(cells: Any) -> float:
        calls.append([f"{c.method} {c.score_backbone} {c.seed}" for c in cells])
        return max(c.accuracy for c in cells) - min(c.accuracy for c in cells)

    records = [cell("alpha", s, 0.6 + s / 10 * b, score_backbone=f"bb{b}") for s in range(2) for b in (1, 2)]
    board = make_board([*records, cell("beta")], metrics=[metric("net-spread", spread, label="spread")])
    assert find(board, method="alpha", score_backbone="mean")["net_spread"] == pytest.approx(0.05)  # seeds 0 and 0.1
    assert find(board, method="beta")["net_spread"] is None  # a seed is lacking
    assert ["alpha bb1 1", "alpha bb2 1"] in calls
    files = board_files(board)
    assert "| method | 90 % | spread, 90 % |" in files["leaderboard.md"]
    assert "net_spread" in files["accuracy.csv"].splitlines()[0]


def test_a_metric_of_a_method_sees_all_budgets_and_the_full_set_and_needs_them_all() -> None:
    seen: set[tuple[str, ...]] = set()

    def count(cells: Any) -> float:
        seen.add(tuple(sorted(f"{c.role} {c.keep}" for c in cells)))
        return len(cells)

    records = [r for keep in ("0.1", "0.5") for r in seeds_of("alpha", (0.7, 0.8), keep=keep)]
    records += [*seeds_of("beta", (0.7, 0.8)), *seeds_of("full", (0.9, 0.9), role="unpruned", keep="1")]
    board = make_board(records, metrics=[metric("count", count, scope="method")])
    assert {row["count"] for row in rows(board.accuracy, method="alpha")} == {3}
    assert {row["count"] for row in rows(board.accuracy, method="beta")} == {None}
    assert seen == {("method 0.1", "method 0.5", "unpruned 1")}
    assert "| method | 50 % | 90 % | count |" in board_files(board)["leaderboard.md"]


def test_a_metric_of_which_less_is_better_says_so() -> None:
    board = make_board(full_grid(), metrics=[metric("loss", lambda cells: 0.5, scope="method", higher_is_better=False)])
    files = board_files(board)
    assert "| loss \N{DOWNWARDS ARROW} |" in files["leaderboard.md"]
    assert '"falling":false' in files["index.html"], "sorted upwards first"


def broken(cells: Any) -> float:
    raise ZeroDivisionError("no cells")


@pytest.mark.parametrize(
    ("name", "measure", "why"),
    [
        ("odd", broken, "ZeroDivisionError: no cells"),
        ("odd", lambda cells: "much", "expected a finite float"),
        ("odd", lambda cells: float("nan"), "expected a finite float"),
        ("rank", lambda cells: 1.0, "has the name of a column"),
    ],
)
def test_a_metric_that_fails_is_named_and_the_board_is_written_without_its_column(
    name: str, measure: Any, why: str
) -> None:
    good = metric("good", lambda cells: 0.5)
    small = [r for r in full_grid() if getattr(r, "train_arch", "") == "net" and getattr(r, "keep", "") != "0.5"]
    board = make_board(small, metrics=[metric(name, measure), good])
    (problem,) = board.problems
    assert f"plugin {name} (odd-one 1.5): metric '{name}'" in problem
    assert why in problem
    assert list(board.accuracy.columns).count(name) == (name == "rank")
    assert find(board, method="random", keep="0.1", train_arch="net")["good"] == 0.5
    assert all(f"metric '{name}" in text.replace("\n", " ") for text in pages(board))
