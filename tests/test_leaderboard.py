"""The board from records: every number by hand, holes and failures in sight."""

from __future__ import annotations

import pytest
import scipy.stats

from boards import agreement, cell, correlation, find, full_grid
from prunebench.errors import DataError, ResultConflict, UsageError
from prunebench.leaderboard import (
    Board,
    board_files,
    build_board,
    render_terminal,
)


@pytest.fixture(scope="module")
def board() -> Board:
    return build_board(*full_grid())


@pytest.fixture(scope="module")
def files(board: Board) -> dict[str, str]:
    return board_files(board)


# ---------------------------------------------------------------- accuracy


def test_the_accuracy_row_holds_mean_interval_and_best() -> None:
    row = find(build_board([cell(seed=s, accuracy=a) for s, a in enumerate((0.70, 0.74, 0.72))]), method="alpha")
    low, high = scipy.stats.t.interval(0.95, 2, 0.72, scipy.stats.sem([0.70, 0.74, 0.72]))
    assert row.accuracy_mean == 0.72
    assert row.accuracy_best_mean == 0.73
    assert (row.accuracy_low, row.accuracy_high) == (pytest.approx(low, abs=1e-6), pytest.approx(high, abs=1e-6))
    assert (row.n_seeds, row.n_failed, row.pruning_rate, row.status) == (3, 0, "0.9", "ok")


def test_the_gain_is_paired_by_seed_with_the_baseline() -> None:
    records = [cell("random", s, a, role="baseline") for s, a in enumerate((0.5, 0.6, 0.7))]
    records += [cell("alpha", s, a) for s, a in enumerate((0.51, 0.62, 0.73))]
    found = build_board(records)
    row = find(found, method="alpha")
    assert row.gain_mean == 0.02
    assert row.gain_low == pytest.approx(0.02 - 4.30265273 * 0.01 / 3**0.5, abs=1e-6)
    assert not row.gain_excludes_zero
    assert find(found, method="random").gain_mean is None


def test_a_gain_needs_the_same_budget_architecture_and_recipe() -> None:
    records = [cell("alpha", s, 0.8) for s in range(2)]
    records += [cell("random", s, 0.5, role="baseline", recipe="long") for s in range(2)]
    row = find(build_board(records), method="alpha", recipe="short")
    assert row.gain_mean is None


def test_several_backbones_give_a_row_each_and_their_mean_with_the_seed_as_unit() -> None:
    values = {("a", 0): 0.6, ("b", 0): 0.8, ("a", 1): 0.62, ("b", 1): 0.84}
    records = [cell("alpha", s, v, score_backbone=b) for (b, s), v in values.items()]
    records += [cell("random", s, v, role="baseline") for s, v in ((0, 0.5), (1, 0.52))]
    found = build_board(records)
    assert [row.score_backbone for row in found.accuracy if row.method == "alpha"] == ["mean", "a", "b"]
    pooled = find(found, method="alpha", score_backbone="mean")
    assert pooled.accuracy_mean == 0.715  # seeds 0.70 and 0.73
    assert pooled.n_seeds == 2
    assert pooled.gain_mean == 0.205  # 0.20 and 0.21
    assert pooled.gain_low == pytest.approx(0.205 - 12.7062047 * 0.005, abs=1e-6)
    assert find(found, method="alpha", score_backbone="b").accuracy_mean == 0.82


def test_a_seed_counts_in_the_mean_over_backbones_only_when_all_of_them_finished() -> None:
    records = [cell("alpha", s, 0.6 + b / 10, score_backbone=str(b)) for s in range(2) for b in range(2)]
    records[0] |= {"status": "timeout", "accuracy": None, "status_reason": "1 h"}
    row = find(build_board(records), score_backbone="mean")
    assert (row.n_seeds, row.n_seeds_expected, row.n_failed, row.status) == (1, 2, 1, "incomplete")
    assert row.accuracy_mean == 0.65
    assert row.status_reason == "timeout: 1 h (1)"


def test_one_seed_shows_a_mean_without_interval_or_rank() -> None:
    row = find(build_board([cell("alpha"), cell("beta", accuracy=0.1)]), method="alpha")
    assert (row.accuracy_mean, row.accuracy_half_width, row.rank) == (0.8, None, None)


def test_budgets_are_compared_as_numbers() -> None:
    found = build_board([cell(keep="0.10"), cell(seed=1, keep="0.1")])
    assert find(found, method="alpha").n_seeds == 2


def test_diagnostics_are_averaged_and_odd_ones_ignored() -> None:
    notes = ({"gate": 0.8, "text": "x"}, {"gate": 0.9, "bad": float("nan")})
    row = find(build_board([cell(seed=s, diagnostics=note) for s, note in enumerate(notes)]), method="alpha")
    assert row.diagnostics == "gate=0.85"


def test_conformance_is_printed_as_passed_of_total() -> None:
    passed = {"passed": 27, "total": 28, "expected_fail": 1}
    row = find(build_board([cell(conformance=passed), cell(seed=1, conformance=passed)]), method="alpha")
    assert row.conformance == "27/28 (1 expected to fail)"


# ---------------------------------------------------------------- ranks


def test_ranks_are_shared_within_reach_of_the_best(board: Board) -> None:
    rows = [row for row in board.accuracy if row.train_arch == "net" and row.keep == "0.1" and row.is_headline]
    ranks = {row.method: row.rank for row in rows if row.role != "unpruned"}
    assert ranks["epsilon"] == 1
    assert ranks["random"] is not None
    assert ranks["random"] > 1
    single = [row for row in board.accuracy if not row.is_headline or row.role == "unpruned"]
    assert all(row.rank is None for row in single)


def test_incomplete_rows_take_no_rank(board: Board) -> None:
    row = find(board, method="alpha", score_backbone="mean", train_arch="net", keep="0.5")
    assert row.status == "incomplete"
    assert row.rank is None


def test_partial_records_are_shown_apart_unranked_and_out_of_correlations() -> None:
    cells, _ = full_grid()
    found = build_board([{**record, "partial": True} for record in cells])
    assert all(row.partial and row.rank is None for row in found.accuracy)
    assert not found.correlation
    assert "Partial run: not ranked." in board_files(found)["leaderboard.md"]
    mixed = build_board([*cells, cell("alpha", 0, 0.99, partial=True, key="p")])
    assert find(mixed, partial=True).accuracy_mean == 0.99
    kept = [row for row in mixed.accuracy if not row.partial]
    assert kept == list(build_board(cells).accuracy)


# ---------------------------------------------------------------- holes and failures


def test_cells_that_were_never_run_are_holes() -> None:
    records = [cell("alpha", s, keep=keep) for s in range(2) for keep in ("0.1", "0.5")]
    records += [cell("beta", s) for s in range(2)]
    row = find(build_board(records), method="beta", keep="0.5")
    assert (row.status, row.status_reason, row.accuracy_mean, row.n_seeds) == ("hole", "not run (2)", None, 0)


def test_failures_are_listed_with_their_reason(board: Board, files: dict[str, str]) -> None:
    assert [(row.method, row.status, row.reason, row.n_cells) for row in board.failures] == [
        ("alpha", "oom", "out of memory & <lost>", 1)
    ]
    failure = "1 cell oom (keep 0.5; seeds 0; net): out of memory & &lt;lost>"
    assert failure in files["leaderboard.md"]
    assert "out of memory &amp; &lt;lost&gt;" in files["index.html"]


def test_a_finished_attempt_replaces_a_failed_one() -> None:
    failed = cell(status="failed", accuracy=None, attempt=1)
    found = build_board([failed, cell(accuracy=0.7, attempt=2), cell(seed=1)])
    assert find(found, method="alpha").n_failed == 0
    assert not found.failures


def test_attempts_of_one_cell_are_averaged_never_the_last() -> None:
    found = build_board([cell(accuracy=0.7), cell(accuracy=0.72, attempt=2)])
    assert find(found, method="alpha").accuracy_mean == 0.71


def test_two_different_cells_for_one_place_are_a_conflict() -> None:
    with pytest.raises(ResultConflict, match="keys new and old"):
        build_board([cell(key="old"), cell(key="new")])


def test_an_ok_record_without_a_number_counts_as_failed() -> None:
    row = find(build_board([cell(accuracy=None), cell(seed=1)]), method="alpha")
    assert (row.n_failed, row.n_seeds) == (1, 1)


def test_missing_drop_leaves_incomplete_rows_out() -> None:
    cells, agreements = full_grid()
    dropped = build_board(cells, agreements, missing="drop")
    assert {row.status for row in dropped.accuracy} == {"ok"}
    assert len(dropped.accuracy) < len(build_board(cells, agreements).accuracy)
    assert dropped.failures  # still listed


def test_missing_error_names_the_first_hole() -> None:
    with pytest.raises(UsageError, match=r"5 rows.*delta on core/digits, keep 0\.1, deep: not run") as caught:
        build_board(full_grid()[0], missing="error")
    assert "prunebench run core" in caught.value.hint


def test_missing_error_accepts_a_method_that_declined() -> None:
    records = [cell("alpha"), cell("beta", status="not_applicable", accuracy=None, status_reason="one class")]
    row = find(build_board(records, missing="error"), method="beta")
    assert (row.status, row.n_failed) == ("hole", 0)
    assert row.status_reason == "not_applicable: one class (1)"


def test_no_records_and_unknown_suites_are_usage_errors() -> None:
    with pytest.raises(UsageError) as caught:
        build_board([])
    assert "prunebench run" in caught.value.hint
    with pytest.raises(UsageError) as caught:
        build_board([cell()], suites=["cor"])
    assert "'core'" in caught.value.hint


def test_a_suite_can_be_chosen() -> None:
    found = build_board([cell(), cell(suite="other")], suites=["other"])
    assert {row.suite for row in found.accuracy} == {"other"}


def test_seeds_that_are_missing_where_nothing_is_pruned_are_told_on_every_page() -> None:
    cells = [cell(seed=s) for s in range(3)]
    cells += [cell("full", s, 0.9, role="unpruned", keep="1.0", pruning_rate="0.0") for s in range(2)]
    cells.append(cell("full", 2, None, role="unpruned", keep="1.0", pruning_rate="0.0", status="failed"))
    board = build_board(cells)
    files = board_files(board)
    for text in (files["index.html"], files["leaderboard.md"], render_terminal(board, 80)):
        assert "2 of 3 seeds" in text


def test_a_suite_that_trains_nothing_has_a_board_of_agreement() -> None:
    agreements = [agreement("one", 0, "two", 0, 0.71), agreement("one", 0, "one", 1, 0.93)]
    board = build_board([], agreements, suites=[agreements[0]["suite"]])
    text, page = render_terminal(board, 60), board_files(board)
    (line,) = [line for line in text.splitlines() if line.startswith(agreements[0]["method"])]
    assert line.split()[-2:] == ["0.71", "0.93"]
    assert "accuracy" not in text
    assert "Nothing is trained in this suite." in page["leaderboard.md"]
    assert "0.71" in page["index.html"]
    assert board.provenance.protocols == (agreements[0]["protocol"],)


def test_malformed_records_are_named() -> None:
    with pytest.raises(DataError, match="lacks train_arch"):
        build_board([{name: value for name, value in cell().items() if name != "train_arch"}])
    with pytest.raises(DataError, match="no decimal"):
        build_board([cell(keep="a tenth")])


def test_two_baselines_in_one_suite_are_refused() -> None:
    with pytest.raises(UsageError, match="two baselines"):
        build_board([cell("alpha", role="baseline"), cell("beta", role="baseline")])


# ---------------------------------------------------------------- rank correlation


def test_method_tau_equals_scipy_over_complete_methods(board: Board) -> None:
    row = correlation(board, quantity="method_tau", keep="0.5")
    means: dict[str, list[float]] = {"deep": [], "net": []}
    for method in ("random", "beta", "gamma", "delta", "epsilon"):  # alpha lost a cell
        for arch, values in means.items():
            label = "-" if method == "random" else "mean"
            found = find(board, method=method, train_arch=arch, keep="0.5", score_backbone=label)
            assert found.accuracy_mean is not None
            values.append(found.accuracy_mean)
    assert row.value == pytest.approx(scipy.stats.kendalltau(means["deep"], means["net"]).statistic, abs=1e-6)
    assert (row.a, row.b, row.n_methods, row.n_seeds, row.status) == ("deep", "net", 5, 3, "ok")
    assert row.ceiling_a is not None
    assert row.ceiling_b is not None
    assert row.ratio == pytest.approx(row.value / (row.ceiling_a * row.ceiling_b) ** 0.5, abs=1e-5)
    rho = correlation(board, quantity="method_rho", keep="0.5")
    assert rho.value == pytest.approx(scipy.stats.spearmanr(means["deep"], means["net"]).statistic, abs=1e-6)


def test_too_few_methods_print_insufficient() -> None:
    cells, _ = full_grid()
    few = build_board([record for record in cells if record["method"] in ("random", "alpha", "beta")])
    rows = [row for row in few.correlation if row.comparison == "archs"]
    assert rows
    assert all(row.value is None and row.status == "insufficient" for row in rows)
    assert "insufficient: 2 methods, 5 are needed" in {row.reason for row in rows}
    written = board_files(few)
    assert all("insufficient" in text for name, text in written.items() if name != "accuracy.csv")


def test_architectures_with_recipes_of_their_own_are_compared() -> None:
    cells, _ = full_grid()
    found = build_board([{**r, "recipe": f"for_{r['train_arch']}"} for r in cells])
    row = correlation(found, quantity="method_tau", keep="0.5")
    assert (row.a, row.b, row.recipe) == ("deep", "net", "for_deep | for_net")


def test_recipes_are_not_mixed_where_both_architectures_have_them() -> None:
    cells, _ = full_grid()
    doubled = [{**r, "recipe": recipe, "key": r["key"] + recipe} for r in cells for recipe in ("one", "two")]
    rows = [row for row in build_board(doubled).correlation if row.quantity == "method_tau"]
    assert sorted({row.recipe for row in rows}) == ["one", "two"]


# ---------------------------------------------------------------- agreement of scores


def test_agreement_across_backbones_stands_beside_seed_to_seed(board: Board) -> None:
    row = correlation(board, quantity="score_rho", comparison="cross_backbone", method="beta", a="mean")
    assert row.value == 0.42
    low, high = scipy.stats.t.interval(0.95, 2, 0.42, scipy.stats.sem([0.40, 0.42, 0.44]))
    assert (row.low, row.high) == (pytest.approx(low, abs=1e-6), pytest.approx(high, abs=1e-6))
    assert (row.ceiling, row.n_pairs, row.n_seeds) == (0.8, 3, 3)
    assert row.ratio == pytest.approx(0.42 / 0.8, abs=1e-6)
    seed = correlation(board, quantity="score_rho", comparison="seed_to_seed", method="beta", a="mean")
    assert (seed.value, seed.n_pairs, seed.low) == (0.8, 6, None)
    pooled = correlation(board, quantity="score_rho_pooled", comparison="cross_backbone", method="beta", a="mean")
    assert pooled.value == 0.21


def test_the_untrained_control_stays_out_of_the_mean(board: Board) -> None:
    shared = {"quantity": "score_rho", "method": "beta", "a": "mean"}
    assert correlation(board, comparison="control_cross_backbone", **shared).value == 0.02
    assert correlation(board, comparison="cross_backbone", **shared).value == 0.42


def test_the_mean_over_pairs_weighs_pairs_not_records() -> None:
    records = [agreement("a", s, "b", s, 0.2) for s in range(3)] + [agreement("a", 0, "c", 0, 0.8)]
    row = correlation(build_board([cell()], records), quantity="score_rho", a="mean")
    assert row.value == 0.5
    assert row.low is None  # one seed alone has every pair


def test_undefined_agreement_is_insufficient_with_its_reason() -> None:
    found = build_board([cell()], [agreement("a", 0, "b", 0, None)])
    row = correlation(found, quantity="score_rho", a="mean")
    assert (row.value, row.status, row.reason, row.n_pairs) == (None, "insufficient", "constant scores", 0)
    assert "insufficient" in board_files(found)["index.html"]


def test_the_order_of_two_backbones_does_not_matter() -> None:
    found = build_board([cell()], [agreement("b", 0, "a", 0, 0.2), agreement("a", 1, "b", 1, 0.4)])
    assert correlation(found, quantity="score_rho", a="a", b="b").value == pytest.approx(0.3)


def test_an_agreement_of_nothing_or_of_everything_is_refused() -> None:
    with pytest.raises(DataError, match="seeds"):
        build_board([cell()], [agreement("a", 0, "b", 1, 0.2)])
    with pytest.raises(DataError, match="seeds"):
        build_board([cell()], [agreement("a", 0, "a", 0, 1.0)])
