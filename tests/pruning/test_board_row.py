"""The nearest row of the committed board, beside a proof of own data."""

import json
from pathlib import Path

import pandas as pd
import pytest

from prunebench.pruning.board_row import nearest_board_row

BOARD = Path(__file__).resolve().parents[2] / "results" / "board" / "accuracy.csv"


@pytest.fixture(scope="module")
def board() -> pd.DataFrame:
    return pd.read_csv(BOARD, dtype={"keep": str})


def test_each_method_of_the_board_has_a_row_with_the_numbers_of_the_board(board: pd.DataFrame) -> None:
    own = board[board["role"].isin(["method", "baseline"]) & board["score_backbone"].isin(["-", "mean"])]
    for method, rows in own.groupby("method"):
        found = nearest_board_row(str(method), 0.1)
        assert found is not None
        same = rows[(rows["suite"] == found.suite) & (rows["keep"] == found.keep)]
        assert found.accuracy.mean in same["accuracy_mean"].tolist()
        assert found.keep == "0.1"
        unpruned = board[(board["suite"] == found.suite) & (board["role"] == "unpruned")]
        assert found.everything in unpruned["accuracy_mean"].tolist()
        assert json.loads(json.dumps(found.as_json()))["accuracy"]["mean"] == found.accuracy.mean


def test_the_nearest_kept_fraction_decides(board: pd.DataFrame, tmp_path: Path) -> None:
    rows = board[(board["suite"] == "zoo") & (board["score_backbone"].isin(["-", "mean"]))]
    rows.to_csv(tmp_path / "accuracy.csv", index=False)
    methods = rows[rows["role"] == "method"]["method"].unique()
    for keep, nearest in ((0.01, "0.1"), (0.29, "0.1"), (0.3, "0.1"), (0.31, "0.5"), (0.9, "0.5")):
        found = nearest_board_row(methods[0], keep, board=tmp_path / "accuracy.csv")
        assert found is not None
        assert found.keep == nearest


def test_the_sentence_says_where_how_much_and_against_what() -> None:
    found = nearest_board_row("random", 0.1, board=BOARD)
    assert found is not None
    assert found.gain is None
    text = found.text()
    assert text.startswith(f"On the board, {found.dataset} at keep 0.1: random {100 * found.accuracy.mean:.1f} % [")
    assert f"; everything {100 * (found.everything or 0):.1f} % (test accuracy on those data, not on yours" in text
    assert text.endswith(f", of {found.arch} trained by {found.recipe}).")


def test_there_is_none_for_an_unknown_method_or_without_a_board(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert nearest_board_row("no-such-method", 0.1) is None
    monkeypatch.setattr("prunebench.pruning.board_row.resources.files", lambda name: tmp_path / "a" / "b")
    assert nearest_board_row("random", 0.1) is None
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "board.csv").write_bytes(BOARD.read_bytes())
    assert nearest_board_row("random", 0.1) is not None
