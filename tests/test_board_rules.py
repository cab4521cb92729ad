"""What the board promises for any records: ranks follow the means, means are over all cells, order changes nothing."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boards import agreement, cell, constant, full_grid, rows
from prunebench.board import board_files, make_board, render_terminal
from prunebench.board.render.charts import ticks
from prunebench.keys import digest
from prunebench.records import Record

SLOW = settings(max_examples=15, deadline=None)


@st.composite
def grids(draw: st.DrawFn) -> list[Record]:
    """Records of up to 8 methods: any accuracies, spreads, coinciding keys, holes, failures and versions."""
    records: list[Record] = []
    n_seeds = draw(st.integers(1, 4))
    for index in range(draw(st.integers(1, 8))):
        backbones = draw(st.sampled_from([["-"], ["a"], ["a", "b"]]))
        centre, spread = draw(st.floats(0.1, 0.9)), draw(st.sampled_from([0.0, 1e-9, 1e-7, 1e-3, 0.1]))
        same = draw(st.booleans())
        for backbone in backbones:
            for seed in range(n_seeds):
                what = draw(st.sampled_from(["ok"] * 12 + ["failed", "absent", "newer"]))
                if what == "absent":
                    continue
                accuracy = min(1.0, max(0.0, centre + (0 if same else spread * draw(st.floats(-1, 1)))))
                changes: dict[str, Any] = {"train_key": digest(["same", backbone, index])} if same else {}
                changes |= {"scorer_version": "2"} if what == "newer" else {}
                changes |= {"role": "baseline"} if index == 0 else {}
                records.append(cell(f"m{index}", seed, None if what == "failed" else accuracy, score_backbone=backbone,
                                    keep=draw(st.sampled_from(["0.1", "0.5"])), **changes))  # fmt: skip
    return records or [cell()]


@given(grids())
@SLOW
def test_ranks_never_contradict_the_means(records: list[Record]) -> None:
    found = [row for row in rows(make_board(records).accuracy) if row["rank"] is not None]
    for a in found:
        assert a["rank_low"] <= a["rank"] <= a["rank_high"]
        for b in (row for row in found if row["keep"] == a["keep"]):
            if a["accuracy_mean"] > b["accuracy_mean"]:
                assert a["rank"] <= b["rank"]
            if a["accuracy_mean"] == b["accuracy_mean"]:
                assert a["rank"] == b["rank"]


@given(grids())
@SLOW
def test_a_number_stands_only_for_all_the_cells_that_it_names_and_lies_in_its_interval(records: list[Record]) -> None:
    for row in rows(make_board(records).accuracy):
        ok = [r for r in records if (r.method, r.keep, r.status) == (row["method"], row["keep"], "ok")]
        if row["accuracy_mean"] is None:
            assert row["hole"]
            assert row["status_reason"]
            assert (row["rank"], row["gain_mean"], row["n_observations"]) == (None, None, 0)
            continue
        backbones = 1 if row["score_backbone"] == "-" else row["n_backbones_expected"]
        chosen = [r for r in ok if row["score_backbone"] in ("mean", r.score_backbone)]
        assert len(chosen) == backbones * row["n_seeds_expected"]
        assert 1 <= row["n_observations"] <= row["n_seeds"] == row["n_seeds_expected"]
        for name in ("accuracy", "gain"):
            if row[f"{name}_low"] is not None:
                assert row[f"{name}_low"] <= row[f"{name}_mean"] <= row[f"{name}_high"]
                assert row[f"{name}_low"] < row[f"{name}_high"]
        if row["deterministic"]:
            assert row["accuracy_low"] is None
        assert row["rank"] is None or not row["versions"]


@st.composite
def comparisons(draw: st.DrawFn) -> list[Record]:
    """Comparisons of up to 3 methods, 3 backbones and 3 seeds, some deterministic, some lacking."""
    records: list[Record] = []
    n_seeds, names = draw(st.integers(1, 3)), draw(st.sampled_from(["ab", "abc"]))
    for method in draw(st.sampled_from(["x", "xy", "xyz"])):
        make = draw(st.sampled_from([agreement, constant]))
        fixed = draw(st.floats(-1, 1))
        places = [((a, s), (b, s)) for a in names for b in names if a < b for s in range(n_seeds)]
        places += [((a, s), (a, t)) for a in names for s in range(n_seeds) for t in range(s)]
        for first, second in places:
            if draw(st.integers(0, 9)):
                if make is constant:
                    value = 1.0 if first[0] == second[0] else fixed
                    records.append(constant(first, second, value=value, method=method))
                else:
                    records.append(agreement(*first, *second, draw(st.floats(-1, 1)), method=method))
    return records or [agreement("a", 0, "b", 0, 0.5)]


@given(comparisons())
@SLOW
def test_an_agreement_lies_in_its_interval_counts_pairs_once_and_has_a_ceiling_or_a_reason(
    records: list[Record],
) -> None:
    for row in rows(make_board(records).rank_correlation):
        if row["value"] is None:
            assert row["status"] in ("deterministic", "hole", "insufficient")
            assert row["reason"]
            continue
        assert row["low"] is None or row["low"] <= row["value"] <= row["high"] != row["low"]
        assert row["low"] is None or not row["deterministic"]
        pairs = {frozenset([r.backbone_a, r.backbone_b]) for r in records}
        crossing = {pair for pair in pairs if len(pair) == 2}
        if row["comparison"] == "cross_backbone":
            assert row["n_pairs"] == (len(crossing) if row["a"] == "mean" else 1)
            assert row["n_pairs"] <= row["n_observations"] <= 3 * row["n_pairs"]
            assert row["ratio"] is not None or row["reason"]
            if row["deterministic"]:
                assert row["ceiling"] == 1.0


@given(grids(), comparisons(), st.randoms(use_true_random=False))
@settings(max_examples=5, deadline=None)
def test_the_order_of_the_records_changes_no_byte(cells: list[Record], compared: list[Record], random: Any) -> None:
    records = [*full_grid(), *(r for r in [*cells, *compared] if r.method not in ("alpha", "beta"))]
    records = [r for r in records if r.method != "m0"]
    expected = board_files(make_board(records))
    random.shuffle(records)
    board = make_board(records)
    assert board_files(board) == expected


@given(grids(), comparisons(), st.integers(30, 60))
@settings(max_examples=10, deadline=None)
def test_the_terminal_never_breaks_a_word_nor_its_width(
    cells: list[Record], compared: list[Record], width: int
) -> None:
    long = [
        cell("a-method-with-a-long-name", s, caveat="uses images beyond its budget, as the paper does") for s in (0, 1)
    ]
    board = make_board([*cells, *compared, *long])
    text = render_terminal(board, width)
    lines = text.splitlines()
    assert max(map(len, lines)) <= width
    words = set(render_terminal(board, 400).split())
    assert {word for line in lines for word in line.split()} <= words


@pytest.mark.parametrize("width", [24, 40, 80, 120])
def test_the_terminal_fits_its_width(width: int) -> None:
    assert max(map(len, render_terminal(make_board(full_grid()), width).splitlines())) <= width


@given(st.floats(-1, 1), st.floats(1e-7, 2))
@settings(deadline=None)
def test_ticks_cover_the_range_with_few_even_steps(low: float, spread: float) -> None:
    found = ticks(low, low + spread)
    assert found[0] <= low + 1e-6
    assert found[-1] >= low + spread - 1e-6
    assert 2 <= len(found) <= 8
    steps = {round(b - a, 7) for a, b in itertools.pairwise(found)}
    assert max(steps) - min(steps) < 1e-6
