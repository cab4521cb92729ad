"""The board from records: every number by hand, every mean over all that it names, holes and failures in sight."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import scipy.stats

from boards import (
    SUITE,
    agreement,
    cell,
    constant,
    correlation,
    find,
    full_grid,
    metric,
    registry_with,
    rows,
    seeds_of,
)
from prunebench.board import Board, board_files, make_board, render_terminal
from prunebench.errors import ResultConflict, UsageError
from prunebench.keys import digest
from prunebench.records import Record

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


@pytest.fixture(scope="module")
def board() -> Board:
    return make_board(full_grid())


def pages(found: Board) -> list[str]:
    files = board_files(found)
    return [files["leaderboard.md"], files["index.html"], render_terminal(found, 80)]


# ----------------------------------------------------------------------------------------------------------- accuracy


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
    assert "2 shared seeds" in board_files(board)["index.html"]


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


# ------------------------------------------------------------------------------------------- what a mean is over: holes


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
    assert (row["status"], row["hole"], row["status_reason"], row["accuracy_mean"]) == (
        "hole",
        "not run",
        "not run (2)",
        None,
    )
    assert "Not run: alpha, gamma." in board_files(board)["leaderboard.md"]
    assert "Not run: alpha, gamma." in board_files(board)["index.html"]
    assert "not run: alpha, gamma" in render_terminal(board)


def test_missing_drop_leaves_rows_with_a_hole_out(board: Board) -> None:
    dropped = make_board(full_grid(), missing="drop")
    assert set(dropped.accuracy.status) == {"ok"}
    assert len(dropped.accuracy) < len(board.accuracy)
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


# ---------------------------------------------------------------------------------------- what shares a table and a row


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


def test_a_finished_record_wins_over_a_failure_of_the_same_place() -> None:
    failed = cell(accuracy=None)
    for records in ([failed, cell(accuracy=0.7)], [cell(accuracy=0.7), failed]):
        board = make_board([*records, cell(seed=1)])
        assert find(board, method="alpha")["n_failed"] == 0
        assert board.failures.empty


def test_attempts_of_one_cell_are_averaged_and_a_repeated_record_counts_once() -> None:
    again = [cell(accuracy=0.7), cell(accuracy=0.72, attempt=2), cell(accuracy=0.7)]
    assert find(make_board(again), method="alpha")["accuracy_mean"] == 0.71


def test_two_different_results_of_one_place_are_a_conflict() -> None:
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


# ------------------------------------------------------------------------------------------------ distinct observations


def test_a_deterministic_method_has_no_interval_and_says_why() -> None:
    records = [*seeds_of("alpha", (0.8, 0.8, 0.8), train_key=digest("one")), *seeds_of("beta", (0.7, 0.6, 0.65))]
    board = make_board(records)
    row = find(board, method="alpha")
    assert (row["n_observations"], row["deterministic"], row["accuracy_low"], row["n_seeds"]) == (1, True, None, 3)
    assert "| alpha | 80.0 deterministic" in board_files(board)["leaderboard.md"]
    assert "deterministic" in board_files(board)["index.html"]
    assert not find(board, method="beta")["deterministic"]


def test_seeds_with_equal_keys_are_one_observation() -> None:
    records = seeds_of("alpha", (0.7, 0.7, 0.8))
    records[1] = cell("alpha", 1, 0.7, train_key=records[0].train_key)
    row = find(make_board(records), method="alpha")
    low, high = scipy.stats.t.interval(0.95, 1, 0.75, scipy.stats.sem([0.7, 0.8]))
    assert (row["accuracy_mean"], row["n_observations"]) == (0.75, 2)
    assert (row["accuracy_low"], row["accuracy_high"]) == (pytest.approx(low, abs=1e-6), pytest.approx(high, abs=1e-6))


def test_records_without_keys_count_each_seed() -> None:
    row = find(make_board(seeds_of("alpha", (0.8, 0.8, 0.7), train_key="")), method="alpha")
    assert (row["n_observations"], row["deterministic"]) == (3, False)


def test_one_seed_shows_a_mean_without_interval_or_rank_range_and_is_not_called_deterministic() -> None:
    row = find(make_board([cell("alpha"), cell("beta", accuracy=0.1)]), method="alpha")
    assert (row["accuracy_mean"], row["accuracy_low"], row["deterministic"]) == (0.8, None, False)
    assert (row["rank"], row["rank_low"], row["rank_high"]) == (1, 1, 2)


VARIED = "Seeds move the methods' own randomness and the training; one network per backbone is shared by all seeds."


def test_every_table_says_what_its_seeds_moved() -> None:
    same = {"subset_digest": digest("all"), "scores_key": digest("all")}
    cells = [cell("alpha", s, 0.8, score_backbone="bb1") for s in range(3)]
    cells += [cell("full", s, 0.9, role="unpruned", keep="1", **same) for s in range(3)]
    board = make_board(cells)
    assert list(board.tables.varied) == [VARIED]
    assert VARIED in board_files(board)["leaderboard.md"]
    assert VARIED.replace("'", "&#39;") in board_files(board)["index.html"]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"train_key": digest(1), "scores_key": digest(1), "subset_digest": digest(1)},
            "Seeds move nothing here: every method is deterministic.",
        ),
        ({"train_key": ""}, "The records do not say what the seeds moved."),
        ({"projector": "umap"}, "Seeds move the projection."),
        ({"scores_key": digest(1)}, "Seeds move the selection."),
        ({"proxy_key": digest("p")}, "Seeds move the methods' own randomness; one proxy run is shared by all seeds."),
    ],
)
def test_what_varied_is_read_from_the_keys(changes: dict[str, Any], sentence: str) -> None:
    assert list(make_board([cell("alpha", s, 0.8, **changes) for s in range(3)]).tables.varied) == [sentence]


def test_networks_and_proxy_runs_of_their_own_for_each_seed_are_counted() -> None:
    cells = [cell("alpha", s, 0.8, score_backbone="bb1", features_key=digest(s), proxy_key=digest(s)) for s in range(3)]
    (sentence,) = make_board(cells).tables.varied
    assert sentence == "Seeds move the scoring network (3 per backbone) and the proxy run (3 of them)."


def test_the_table_of_scores_says_whether_seeds_had_networks_of_their_own() -> None:
    compared = [agreement("bb1", s, "bb2", s, 0.5) for s in range(2)]
    assert list(make_board(compared).sections.varied_scores) == ["Seeds move the methods' own randomness."]
    cells = [
        cell("knn", s, 0.7, score_backbone=b, features_key=digest([b, s])) for s in range(2) for b in ("bb1", "bb2")
    ]
    (sentence,) = make_board([*cells, *compared]).sections.varied_scores
    assert sentence == "Seeds move the scoring network (2 per backbone)."
    fixed = [constant(("bb1", s), ("bb2", s), value=0.5, method="beta") for s in range(2)]
    (sentence,) = make_board([*compared, *fixed]).sections.varied_scores
    assert sentence == "Seeds move the methods' own randomness; one network per backbone is shared by all seeds."


# --------------------------------------------------------------------------------------------------- ranks and caveats


def test_ranks_are_of_whole_methods_with_the_range_that_stays_open(board: Board) -> None:
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


# ---------------------------------------------------------------------------------------------------------- failures


def test_failures_with_one_reason_are_one_line() -> None:
    lost = [cell(m, s, None, status_reason="NaN & <lost>", score_backbone="bb1") for m in "abc" for s in range(2)]
    compared = agreement("bb1", 0, "bb2", 0, None, status="failed", status_reason="NaN & <lost>")
    board = make_board([*lost, compared, *seeds_of("random", (0.5, 0.6))])
    (row,) = rows(board.failures)
    assert (row["status"], row["reason"], row["methods"], row["n_records"]) == (
        "failed",
        "NaN & <lost>",
        "a, alpha, b, c",
        7,
    )
    files = board_files(board)
    assert files["leaderboard.md"].count("NaN & &lt;lost>: a, alpha, b, c") == 1
    assert "NaN &amp; &lt;lost&gt;" in files["index.html"]
    assert "7 records hold no value" in render_terminal(board)


# ---------------------------------------------------------------------------------------------------- metric plugins


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
    assert "spread, 90 %" in files["index.html"]
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
    assert '<th scope="col"><button type="button">loss' in files["index.html"], "sorted upwards first"


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
    assert all(f"metric {quote}{name}" in text.replace("\n", " ")
               for text, quote in zip(pages(board), ("'", "&#39;", "'"), strict=True))  # fmt: skip


# --------------------------------------------------------------------------------- rank correlation of the methods


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


# ---------------------------------------------------------------------------------------------- agreement of scores


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
    again = [*records, records[0], agreement("b", 2, "a", 2, 0.7, key=records[2].key)]
    board, plain = make_board(again), make_board(records)
    assert correlation(board, quantity="score_rho", a="mean") == correlation(plain, quantity="score_rho", a="mean")


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
    assert (row["value"], row["status"], row["reason"], row["n_observations"]) == (
        None,
        "insufficient",
        "constant scores",
        0,
    )
    assert "insufficient" in board_files(board)["index.html"]


def test_a_correlation_without_a_ceiling_says_why() -> None:
    board = make_board([agreement("a", s, "b", s, 0.3) for s in range(2)])
    row = correlation(board, quantity="score_rho", a="mean")
    assert (row["ceiling"], row["ratio"]) == (None, None)
    assert row["reason"] == "no ceiling: two seeds of a and b were not compared"
    assert row["reason"] in board_files(board)["leaderboard.md"]
    low = [*(agreement("a", s, "b", s, 0.3) for s in range(2)), *(agreement(n, 0, n, 1, 0.05) for n in "ab")]
    assert correlation(make_board(low), quantity="score_rho", a="mean", comparison="cross_backbone")["reason"] == (
        "no ratio: the ceiling is below 0.1"
    )


def test_a_suite_that_trains_nothing_has_a_board_of_agreement() -> None:
    board = make_board([agreement("one", 0, "two", 0, 0.71), *(agreement(n, 0, n, 1, 0.93) for n in ("one", "two"))])
    text, files = render_terminal(board, 80), board_files(board)
    (line,) = [line for line in text.splitlines() if line.startswith("alpha")]
    assert line.split()[-2:] == ["0.71", "0.93"]
    assert "accuracy" not in text
    assert "Nothing is trained in this suite." in files["leaderboard.md"]
    assert "0.71" in files["index.html"]
