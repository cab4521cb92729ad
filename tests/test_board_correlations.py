"""Rank correlation of the methods and agreement of their scores on the board, beside their ceilings."""

from __future__ import annotations

from pathlib import Path

import pytest
import scipy.stats

from boards import SUITE, agreement, cell, constant, correlation, find, full_grid, registry_with, rows
from prunebench.board import Board, board_files, make_board, render_terminal
from prunebench.errors import ResultConflict
from prunebench.keys import digest
from prunebench.records import Record


@pytest.fixture(scope="module")
def board() -> Board:
    return make_board(full_grid())


def test_method_tau_equals_scipy_over_complete_methods(board: Board) -> None:
    row = correlation(board, quantity="method_tau", keep="0.5")
    means: dict[str, list[float]] = {"deep": [], "net": []}
    for method in ("random", "beta", "gamma", "delta", "epsilon"):  # alpha lost a cell
        for arch, values in means.items():
            label = "-" if method == "random" else "mean"
            values.append(
                find(board, method=method, train_arch=arch, keep="0.5", score_backbone=label)["accuracy_mean"]
            )
    assert row["value"] == pytest.approx(scipy.stats.kendalltau(means["deep"], means["net"]).statistic, abs=1e-6)
    assert (row["a"], row["b"], row["n_methods"], row["n_seeds"], row["status"]) == ("deep", "net", 5, 3, "ok")
    assert row["low"] <= row["value"] <= row["high"]
    assert (row["ceiling"] is not None and row["ratio"] is not None) or row["reason"]
    rho = correlation(board, quantity="method_rho", keep="0.5")
    assert rho["value"] == pytest.approx(scipy.stats.spearmanr(means["deep"], means["net"]).statistic, abs=1e-6)


def test_too_few_methods_print_insufficient() -> None:
    few = make_board([r for r in full_grid() if r.method in ("random", "alpha", "beta")])
    found = rows(few.rank_correlation, comparison="archs")
    assert found
    assert all(row["value"] is None and row["status"] == "insufficient" for row in found)
    assert "insufficient: 2 methods, 5 are needed" in {row["reason"] for row in found}
    assert all("insufficient" in text for name, text in board_files(few).items() if name != "accuracy.csv")


def recipes(of: str) -> list[Record]:
    """The grid under a recipe named after the architecture ("own"), or under two that both have ("both")."""
    import msgspec

    names = {"own": lambda r: [f"for_{r.train_arch}"], "both": lambda r: ["one", "two"]}[of]
    return [msgspec.structs.replace(r, recipe=name, key=digest([r.key, name]))
            for r in full_grid() if r.method != "void" and hasattr(r, "recipe") for name in names(r)]  # fmt: skip


def test_architectures_are_compared_under_one_recipe_where_they_share_one() -> None:
    row = correlation(make_board(recipes("own")), quantity="method_tau", keep="0.5")
    assert (row["a"], row["b"], row["recipe"]) == ("deep", "net", "for_deep | for_net")
    found = rows(make_board(recipes("both")).rank_correlation, quantity="method_tau", keep="0.5")
    assert sorted(row["recipe"] for row in found) == ["one", "two"]


def test_a_method_in_another_version_on_the_other_architecture_is_left_out_of_the_correlation() -> None:
    grid = [r for r in full_grid() if r.method != "gamma" or getattr(r, "train_arch", "") == "net"]
    newer = [cell("gamma", s, 0.7, score_backbone=b, keep="0.5", train_arch="deep", scorer_version="2")
             for b in ("bb1", "bb2") for s in range(3)]  # fmt: skip
    row = correlation(make_board([*grid, *newer]), quantity="method_tau", keep="0.5")
    assert row["n_methods"] == 4


def test_agreement_across_backbones_stands_beside_its_ceiling(board: Board) -> None:
    row = correlation(board, quantity="score_rho", comparison="cross_backbone", method="beta", a="mean")
    low, high = scipy.stats.t.interval(0.95, 2, 0.42, scipy.stats.sem([0.40, 0.42, 0.44]))
    assert row["value"] == 0.42
    assert (row["low"], row["high"]) == (pytest.approx(low, abs=1e-6), pytest.approx(high, abs=1e-6))
    assert (row["ceiling"], row["n_pairs"], row["n_seeds"], row["n_observations"]) == (0.82, 1, 3, 3)
    assert row["ratio"] == pytest.approx(0.42 / 0.82, abs=1e-6)
    seed = correlation(board, quantity="score_rho", comparison="seed_to_seed", method="beta", a="mean")
    assert (seed["value"], seed["n_pairs"], seed["n_observations"]) == (0.82, 2, 6)
    pooled = correlation(board, quantity="score_rho_pooled", comparison="cross_backbone", method="beta", a="mean")
    assert (pooled["value"], pooled["ceiling"]) == (0.21, 0.41)


def test_the_untrained_control_stays_out_of_the_mean(board: Board) -> None:
    shared = {"quantity": "score_rho", "method": "beta", "a": "mean"}
    assert correlation(board, comparison="control_cross_backbone", **shared)["value"] == 0.02
    assert correlation(board, comparison="cross_backbone", **shared)["value"] == 0.42


def test_a_deterministic_method_is_called_so_and_its_ceiling_is_1() -> None:
    records: list[Record] = [constant(("a", s), ("b", s), value=0.5) for s in range(3)]
    records += [constant((n, 0), (n, s), value=1.0) for n in "ab" for s in (1, 2)]
    board = make_board(records)
    cross = correlation(board, quantity="score_rho", comparison="cross_backbone", a="mean")
    assert (cross["value"], cross["low"], cross["high"], cross["n_observations"]) == (0.5, None, None, 1)
    assert (cross["ceiling"], cross["ratio"], cross["deterministic"]) == (1.0, 0.5, True)
    seed = correlation(board, quantity="score_rho", comparison="seed_to_seed", a="mean")
    assert (seed["value"], seed["status"], seed["deterministic"]) == (None, "deterministic", True)
    assert "| alpha | 0.50 | deterministic | 1.00 | 0.50 | 1 | 1 |" in board_files(board)["leaderboard.md"]
    lost = [
        constant((n, 0), (n, 1), value=1.0, method="beta", status="failed", within_class_spearman=None) for n in "ab"
    ]
    (failed,) = rows(make_board([*records, *lost]).rank_correlation, method="beta", quantity="score_rho", a="mean")
    assert (failed["status"], failed["deterministic"], failed["ceiling"]) == ("insufficient", False, None)
    one_each = make_board(records[:1] + records[3:])  # a run that compares a deterministic method once
    assert correlation(one_each, quantity="score_rho", comparison="cross_backbone", a="mean")["value"] == 0.5


def test_comparisons_of_equal_scores_are_one_observation() -> None:
    records = [agreement("a", s, "b", s, value) for s, value in enumerate((0.4, 0.4, 0.6))]
    same = {"scores_key_a": records[0].scores_key_a, "scores_key_b": records[0].scores_key_b}
    records[1] = agreement("a", 1, "b", 1, 0.4, **same)
    row = correlation(make_board(records), quantity="score_rho", a="mean")
    assert (row["value"], row["n_observations"], row["n_pairs"]) == (0.5, 2, 1)


def test_a_suite_with_one_backbone_shows_the_agreement_of_seeds_alone() -> None:
    fixed = constant(("a", 0), ("a", 1), value=1.0, method="beta")
    board = make_board([agreement("a", 0, "a", 1, 0.6), fixed])
    markdown = board_files(board)["leaderboard.md"]
    assert "| alpha | - | 0.60 | 0.60 | - | - | - | - |" in markdown
    assert "| beta | - | deterministic | 1.00 | - | - | - | - |" in markdown
    assert [line.split() for line in render_terminal(board).splitlines() if line.startswith("beta")] == [
        ["beta", "-", "1.00"]
    ]


def test_repeated_comparisons_never_count_twice() -> None:
    records = [agreement("a", s, "b", s, v) for s, v in enumerate((0.2, 0.3, 0.7))]
    for again in (records[0], agreement("b", 2, "a", 2, 0.7, key=records[2].key)):
        with pytest.raises(ResultConflict, match="two records claim one place"):
            make_board([*records, again])


def test_an_agreement_that_lacks_a_pair_or_a_seed_is_a_hole() -> None:
    records = [agreement("a", s, "b", s, 0.2) for s in range(3)] + [agreement("a", 0, "c", 0, 0.8)]
    row = correlation(make_board(records), quantity="score_rho", a="mean")
    assert (row["value"], row["status"], row["reason"]) == (None, "hole", "1 of 3 seeds")
    others = [agreement(x, s, y, s, 0.5, method="beta") for x, y in ("ab", "ac", "bc") for s in range(3)]
    row = correlation(make_board([*records, *others]), quantity="score_rho", a="mean", method="alpha")
    assert (row["value"], row["reason"]) == (None, "2 of 3 pairs of backbones")
    assert "2 of 3 pairs of backbones" in board_files(make_board([*records, *others]))["leaderboard.md"]


def test_an_agreement_is_over_the_pairs_that_the_suite_names(tmp_path: Path) -> None:
    registry = registry_with(
        tmp_path,
        SUITE.replace('"bb2", "void"', '"bb2", "bb3", "void"')
        + SUITE[14:].split("[backbone.void]")[0].split("[backbone.bb2]")[1].join(["[backbone.bb3]", ""]),
    )
    records = [agreement("bb1", s, "bb2", s, 0.5) for s in range(2)]
    row = correlation(make_board(records, registry), quantity="score_rho", a="mean")
    assert (row["value"], row["reason"]) == (None, "1 of 3 pairs of backbones")
    assert correlation(make_board(records), quantity="score_rho", a="mean")["value"] == 0.5


def test_undefined_agreement_is_insufficient_with_its_reason() -> None:
    board = make_board([cell(), agreement("a", 0, "b", 0, None)])
    row = correlation(board, quantity="score_rho", a="mean")
    assert (row["value"], row["n_observations"]) == (None, 0)
    assert (row["status"], row["reason"]) == ("insufficient", "constant scores")
    assert "insufficient" in board_files(board)["index.html"]


def test_a_correlation_without_a_ceiling_says_why() -> None:
    board = make_board([agreement("a", s, "b", s, 0.3) for s in range(2)])
    row = correlation(board, quantity="score_rho", a="mean")
    assert (row["ceiling"], row["ratio"]) == (None, None)
    assert row["reason"] == "no ceiling: two seeds of a and b were not compared"
    assert row["reason"] in board_files(board)["leaderboard.md"]
    low = [*(agreement("a", s, "b", s, 0.3) for s in range(2)), *(agreement(n, 0, n, 1, 0.05) for n in "ab")]
    row = correlation(make_board(low), quantity="score_rho", a="mean", comparison="cross_backbone")
    assert row["reason"] == "no ratio: the ceiling is below 0.1"


def test_a_suite_that_trains_nothing_has_a_board_of_agreement() -> None:
    board = make_board([agreement("one", 0, "two", 0, 0.71), *(agreement(n, 0, n, 1, 0.93) for n in ("one", "two"))])
    text, files = render_terminal(board, 80), board_files(board)
    (line,) = [line for line in text.splitlines() if line.startswith("alpha")]
    assert line.split()[-2:] == ["0.71", "0.93"]
    assert "accuracy" not in text
    assert "Nothing is trained in this suite." in files["leaderboard.md"]
    assert "0.71" in files["leaderboard.md"]
