"""The board from records: every number by hand, holes and failures in sight, files true to the byte."""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
import statistics
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from prunebench.errors import DataError, ResultConflict, UsageError
from prunebench.leaderboard import (
    AccuracyRow,
    Board,
    CorrelationRow,
    board_files,
    build_board,
    check_board,
    load_results,
    render_terminal,
    write_board,
)
from prunebench.leaderboard.svg import ticks
from prunebench.leaderboard.tables import cell_text
from prunebench.records import record_file, write_records

Record = dict[str, Any]
METHODS = ("alpha", "beta", "gamma", "delta", "epsilon")
VOID = {"meta", "link", "br", "hr", "img", "input"}


def cell(method: str = "alpha", seed: int = 0, accuracy: float | None = 0.8, **changes: Any) -> Record:
    record = {
        "schema": 1,
        "kind": "cell",
        "suite": "core",
        "dataset": "digits",
        "protocol": "2026.1",
        "method": method,
        "role": "method",
        "score_backbone": "-",
        "projector": "-",
        "keep": "0.1",
        "train_arch": "net",
        "recipe": "short",
        "seed": seed,
        "status": "ok",
        "status_reason": "",
        "accuracy": accuracy,
        "accuracy_best": None if accuracy is None else accuracy + 0.01,
        "partial": False,
        "attempt": 1,
        "diagnostics": {},
        "prunebench_version": "0.1.0",
        "git_commit": "0123456789abcdef",
        **changes,
    }
    axes = ("suite", "dataset", "method", "projector", "score_backbone", "train_arch", "recipe", "keep", "seed")
    return {"key": "/".join(str(record[name]) for name in axes), **record}


def agreement(a: str, seed_a: int, b: str, seed_b: int, value: float | None, **changes: Any) -> Record:
    return {
        "schema": 1,
        "kind": "agreement",
        "key": f"{a}{seed_a}{b}{seed_b}{changes.get('method', '')}",
        "suite": "core",
        "dataset": "digits",
        "protocol": "2026.1",
        "method": "alpha",
        "projector": "-",
        "backbone_a": a,
        "seed_a": seed_a,
        "backbone_b": b,
        "seed_b": seed_b,
        "within_class_spearman": value,
        "pooled_spearman": None if value is None else value / 2,
        "pearson": None if value is None else value / 4,
        "n": 100,
        "reason": "" if value is not None else "constant scores",
        **changes,
    }


def full_grid(seed: int = 0) -> tuple[list[Record], list[Record]]:
    """A suite with two architectures, two budgets, three seeds, a projected method, failures and a hole."""
    rng = np.random.default_rng(seed)
    cells = []
    for arch in ("net", "deep"):
        for keep in ("0.5", "0.1"):
            for index, method in enumerate(("random", *METHODS)):
                backbones = ("-",) if method == "random" else ("bb<1>", "bb2")
                for backbone in backbones:
                    for s in range(3):
                        accuracy = float(0.5 + 0.3 * float(keep) + 0.02 * index + rng.normal(0, 0.01))
                        cells.append(
                            cell(
                                method,
                                s,
                                accuracy,
                                role="baseline" if method == "random" else "method",
                                projector="umap" if method == "alpha" else "-",
                                score_backbone=backbone,
                                keep=keep,
                                train_arch=arch,
                                diagnostics={"gate": 0.5 + s} if method == "beta" else {},
                            )
                        )
        cells += [cell("full", s, 0.9 + s / 100, role="unpruned", keep="1", train_arch=arch) for s in range(3)]
    broken = {"accuracy": None, "accuracy_best": None}
    cells[6] |= {**broken, "status": "oom", "status_reason": "out of memory & <lost>"}
    cells = [c for c in cells if not (c["method"] == "delta" and c["keep"] == "0.1" and c["train_arch"] == "deep")]
    agreements = []
    for method, projector in (("alpha", "umap"), ("beta", "-")):
        shared = {"method": method, "projector": projector}
        for s in range(3):
            agreements.append(agreement("bb<1>", s, "bb2", s, 0.4 + s / 50, **shared))
            agreements.append(agreement("bb2", s, "void", s, 0.02, backbone_control=True, **shared))
        for backbone in ("bb<1>", "bb2"):
            agreements += [agreement(backbone, s, backbone, t, 0.8, **shared) for s, t in ((0, 1), (0, 2), (1, 2))]
    return cells, agreements


def find(board: Board, **wanted: Any) -> AccuracyRow:
    rows = [row for row in board.accuracy if all(getattr(row, name) == value for name, value in wanted.items())]
    assert len(rows) == 1, rows
    return rows[0]


def correlation(board: Board, **wanted: Any) -> CorrelationRow:
    rows = [row for row in board.correlation if all(getattr(row, name) == value for name, value in wanted.items())]
    assert len(rows) == 1, rows
    return rows[0]


@pytest.fixture(scope="module")
def board() -> Board:
    return build_board(*full_grid())


@pytest.fixture(scope="module")
def files(board: Board) -> dict[str, str]:
    return board_files(board)


def write_results(root: Path, records: list[Record]) -> None:
    by_file: dict[Path, list[Record]] = {}
    for record in records:
        by_file.setdefault(record_file(root, record), []).append(record)
    for path, members in by_file.items():
        write_records(path, sorted(members, key=lambda record: record["key"]))


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
    assert "`prunebench run core`" in files["leaderboard.md"]


# ---------------------------------------------------------------- the page


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


def test_charts_stay_inside_their_view(files: dict[str, str]) -> None:
    for width, height, inside in re.findall(
        r'<svg class="chart[^"]*" viewBox="0 0 (\d+) ([\d.]+)"(.*?)</svg>', files["index.html"], re.DOTALL
    ):
        points = re.findall(r'points="([^"]+)"', inside)
        for x, y in (pair.split(",") for text in points for pair in text.split()):
            assert 0 <= float(x) <= float(width)
            assert 0 <= float(y) <= float(height)


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
