"""What the board takes for one observation, and what it says of what the seeds moved."""

from __future__ import annotations

from typing import Any

import pytest
import scipy.stats

from boards import agreement, cell, constant, find, seeds_of
from prunebench.board import board_files, make_board
from prunebench.keys import digest


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
    assert VARIED in board_files(board)["index.html"]


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
