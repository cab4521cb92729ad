"""The accuracies of the board from records: every number by hand, and what shares a table, a row and a rank."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import scipy.stats

from boards import agreement, cell, find, full_grid, pages, registry_with, rows, seeds_of
from prunebench.board import board_files, make_board
from prunebench.errors import ResultConflict, UsageError
from prunebench.keys import digest

ODD = """
[plugin.odd]
kind = "scorer"
dist = "odd-one"
version = ">=1,<2"
tier = "contrib"
maintainer = "Someone"
added = 2026-01-31
"""
QUARANTINE = ODD.replace("contrib", "quarantine") + 'reason = "looks at test labels; see its page"\n'


def test_a_mean_of_few_methods_has_the_plain_t_interval() -> None:
    row = find(make_board(seeds_of("alpha", (0.70, 0.74, 0.72))), method="alpha")
    low, high = scipy.stats.t.interval(0.95, 2, 0.72, scipy.stats.sem([0.70, 0.74, 0.72]))
    assert (row["accuracy_mean"], row["accuracy_best_mean"]) == (0.72, 0.72)
    assert (row["accuracy_low"], row["accuracy_high"]) == (pytest.approx(low, abs=1e-6), pytest.approx(high, abs=1e-6))
    assert (row["n_seeds"], row["n_failed"], row["pruning_rate"], row["status"]) == (3, 0, "0.9", "ok")


def test_a_gain_is_paired_by_seed_with_the_baseline() -> None:
    records = [*seeds_of("random", (0.5, 0.6, 0.7), role="baseline"), *seeds_of("alpha", (0.51, 0.62, 0.73))]
    row = find(make_board(records), method="alpha")
    assert row["gain_mean"] == 0.02
    assert row["gain_low"] == pytest.approx(0.02 - 4.30265273 * 0.01 / 3**0.5, abs=1e-6)
    assert not row["gain_significant"]
    assert row["gain_n_seeds"] == 3
    assert find(make_board(records), method="random")["gain_mean"] is None


def test_a_gain_says_over_how_many_seeds_it_is_where_the_baseline_has_a_hole() -> None:
    records = [*seeds_of("random", (0.5, 0.6), role="baseline"), cell("random", 2, None, role="baseline")]
    board = make_board([*records, *seeds_of("alpha", (0.51, 0.62, 0.73))])
    assert find(board, method="alpha")["gain_n_seeds"] == 2
    assert "2 shared seeds" in board_files(board)["leaderboard.md"]


def test_the_shared_seeds_of_deterministic_methods_are_counted_as_seeds() -> None:
    one = {"train_key": digest("one")}
    records = [*seeds_of("random", (0.5, 0.5, 0.5), role="baseline", **one), *seeds_of("alpha", (0.6, 0.6, 0.6), **one)]
    row = find(make_board(records), method="alpha")
    assert (row["gain_mean"], row["gain_low"], row["gain_n_seeds"], row["gain_significant"]) == (0.1, None, 3, False)
    assert "shared seeds" not in board_files(make_board(records))["leaderboard.md"]


def test_a_gain_is_bold_only_if_it_differs_from_0_after_the_correction_for_many_methods() -> None:
    # t(2) = 6.93, p = .020: significant alone, and not among eight methods (.05 / 8).
    alone = [*seeds_of("random", (0.5, 0.5, 0.5), role="baseline", train_key=digest("one")),
             *seeds_of("alpha", (0.53, 0.54, 0.55))]  # fmt: skip
    many = [r for k in range(7) for r in seeds_of(f"m{k}", (0.50, 0.53, 0.47))]
    assert find(make_board(alone), method="alpha")["gain_significant"]
    assert not find(make_board([*alone, *many[:6]]), method="alpha")["gain_significant"]
    assert "(**+4.0**)" in board_files(make_board(alone))["leaderboard.md"]
    assert "(+4.0)" in board_files(make_board([*alone, *many[:6]]))["leaderboard.md"]


def test_a_gain_needs_the_same_budget_architecture_and_recipe() -> None:
    records = [*seeds_of("alpha", (0.8, 0.8)), *seeds_of("random", (0.5, 0.5), role="baseline", recipe="long")]
    assert find(make_board(records), method="alpha", recipe="short")["gain_mean"] is None


def test_several_backbones_give_a_row_each_and_their_mean_with_the_seed_as_unit() -> None:
    values = {("a", 0): 0.6, ("b", 0): 0.8, ("a", 1): 0.62, ("b", 1): 0.84}
    records = [cell("alpha", s, v, score_backbone=b) for (b, s), v in values.items()]
    found = make_board([*records, *seeds_of("random", (0.5, 0.52), role="baseline")])
    assert [row["score_backbone"] for row in rows(found.accuracy, method="alpha")] == ["mean", "a", "b"]
    whole = find(found, method="alpha", score_backbone="mean")
    assert (whole["accuracy_mean"], whole["n_observations"]) == (0.715, 2)  # seeds 0.70 and 0.73
    assert whole["gain_mean"] == 0.205  # 0.20 and 0.21
    assert whole["gain_low"] == pytest.approx(0.205 - 12.7062047 * 0.005, abs=1e-6)
    assert find(found, method="alpha", score_backbone="b")["accuracy_mean"] == 0.82


def test_budgets_are_compared_as_numbers() -> None:
    assert find(make_board([cell(keep="0.10"), cell(seed=1, keep="0.1")]), method="alpha")["n_seeds"] == 2


def test_diagnostics_are_averaged_and_texts_left_out() -> None:
    notes: tuple[dict[str, Any], ...] = ({"gate": 0.8, "text": "x"}, {"gate": 0.9, "lost": None})
    row = find(make_board([cell(seed=s, diagnostics=note) for s, note in enumerate(notes)]), method="alpha")
    assert row["diagnostics"] == "gate=0.85"


@pytest.mark.parametrize(
    ("change", "title"),
    [
        ({"dataset_fingerprint": digest("other")}, f"data {digest('other')[:8]}"),
        ({"protocol": "2027.1"}, "protocol 2027.1"),
        ({"recipe_digest": digest("other")}, f"recipe short ({digest('other')[:8]})"),
        ({"recipe": "long"}, "recipe long"),
    ],
)
def test_results_that_cannot_be_compared_have_tables_of_their_own(change: dict[str, Any], title: str) -> None:
    records = [*seeds_of("alpha", (0.8, 0.8)), *seeds_of("beta", (0.7, 0.7))]
    other = [*seeds_of("alpha", (0.1, 0.2), **change), *seeds_of("gamma", (0.3, 0.4), **change)]
    board = make_board([*records, *other])
    assert len(board.tables) == 2
    name, value = next(iter(change.items()))
    assert {row["method"] for row in rows(board.accuracy, **{name: value}) if row["rank"]} == {"alpha", "gamma"}
    assert all(title in text.replace("\n", " ") for text in pages(board))
    alone = make_board(records)
    assert title not in " ".join(pages(alone))
    assert find(board, method="alpha", **{name: getattr(records[0], name)})["accuracy_mean"] == 0.8


def test_a_failure_that_does_not_know_the_content_of_its_recipe_stands_with_the_others() -> None:
    board = make_board([*seeds_of("alpha", (0.8, 0.7)), cell("beta", 0, None, recipe_digest="")])
    assert len(board.tables) == 1
    assert find(board, method="beta")["n_failed"] == 1


@pytest.mark.parametrize(
    "change", [{"scorer_version": "2"}, {"projector_version": "2"}, {"scorer_params": {"k": 3}}, {"selector": "other"}]
)
def test_two_versions_of_a_method_in_one_row_are_shown_marked_and_not_ranked(change: dict[str, Any]) -> None:
    records = [*seeds_of("alpha", (0.8, 0.9)), *seeds_of("beta", (0.7, 0.6)), *seeds_of("gamma", (0.5, 0.6))]
    records[0] = cell("alpha", 0, 0.8, **change)
    board = make_board(records)
    row = find(board, method="alpha")
    assert (row["accuracy_mean"], row["rank"]) == (0.85, None)
    assert row["versions"].startswith("2 versions in one row")
    assert str(next(iter(change.values()))) in row["versions"]
    assert find(board, method="beta")["rank"] == 1
    for text in pages(board):
        assert "alpha \N{DAGGER}" in text
        assert "2 versions in one row" in text.replace("\n", " ")


def test_two_records_of_one_place_are_a_conflict() -> None:
    for other in (cell(accuracy=None), cell(accuracy=0.72, attempt=2), cell(accuracy=0.7)):
        with pytest.raises(ResultConflict, match="two records claim one place on the board: alpha in core/digits"):
            make_board([cell(accuracy=0.7), other])
    keys = sorted([digest("old"), digest("new")])
    with pytest.raises(ResultConflict, match=f"keys {keys[0]} and {keys[1]}"):
        make_board([cell(key=digest("old")), cell(key=digest("new"))])
    pair = [agreement("a", 0, "b", 0, 0.5, key=digest("old")), agreement("b", 0, "a", 0, 0.6, key=digest("new"))]
    with pytest.raises(ResultConflict):
        make_board(pair)


def test_two_baselines_in_one_suite_are_refused() -> None:
    with pytest.raises(UsageError, match="two baselines, alpha and beta"):
        make_board([cell("alpha", role="baseline"), cell("beta", role="baseline")])


def test_no_records_are_a_usage_error() -> None:
    with pytest.raises(UsageError) as caught:
        make_board([])
    assert "prunebench run" in caught.value.hint


def test_ranks_are_of_whole_methods_with_the_range_that_stays_open() -> None:
    board = make_board(full_grid())
    found = [
        row for row in rows(board.accuracy, train_arch="net", keep="0.1") if row["score_backbone"] in ("-", "mean")
    ]
    ranks = {row["method"]: row["rank"] for row in found if row["role"] != "unpruned"}
    assert ranks["epsilon"] == 1
    assert ranks["random"] > 1
    assert all(row["rank_low"] <= row["rank"] <= row["rank_high"] for row in found if row["rank"])
    single = [
        row for row in rows(board.accuracy) if row["score_backbone"] in ("bb1", "bb2") or row["role"] == "unpruned"
    ]
    assert all(row["rank"] is None for row in single)


def test_what_is_in_quarantine_is_shown_without_a_rank_and_what_is_not_registered_is_marked(tmp_path: Path) -> None:
    records = [
        *seeds_of("random", (0.5, 0.51, 0.52), role="baseline"),
        *seeds_of("odd", (0.9, 0.91, 0.92), scorer_dist="odd-one 1.5", caveat="a doubt"),
        *seeds_of("moderate", (0.7, 0.71, 0.72)),
    ]

    def standing(tables: str) -> tuple[int | None, str]:
        row = find(make_board(records, registry_with(tmp_path, tables)), method="odd")
        assert row["accuracy_mean"] == 0.91
        return row["rank"], row["caveat"]

    assert standing(ODD) == (1, "a doubt")
    assert standing("") == (1, "a doubt; unregistered (odd-one 1.5)")
    assert standing(QUARANTINE) == (None, "a doubt; in quarantine: looks at test labels, see its page")
    board = make_board(records, registry_with(tmp_path, QUARANTINE))
    assert find(board, method="moderate")["rank"] == 1
    assert all("looks at test labels" in text.replace("\n", " ") for text in pages(board))
