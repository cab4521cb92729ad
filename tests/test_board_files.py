"""The files of the board: true to the byte, escaped, and checked against the records."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import Any

import pytest

from boards import SUITE, agreement, cell, full_grid, registry_with, seeds_of, write_results
from prunebench import load_results
from prunebench.board import Board, board_files, check_board, make_board, update_board
from prunebench.errors import UsageError
from prunebench.plugins import Catalogue, load_plugins
from prunebench.records import encode
from prunebench.registry import Registry, load_registry

PLUGIN = """
from prunebench import MetricSpec, hookimpl

@hookimpl
def prunebench_metrics():
    return [
        MetricSpec(name="spread", label="spread", summary="A metric.", load="odd_one:spread"),
        MetricSpec(name="broken", label="broken", summary="A metric.", load="odd_one:broken"),
        MetricSpec(name="gone", label="gone", summary="A metric.", load="odd_one:nowhere"),
    ]

def spread(cells):
    return max(cell.accuracy for cell in cells)

def broken(cells):
    raise ValueError("it is broken")
"""


@pytest.fixture(scope="module")
def board() -> Board:
    return make_board(full_grid())


@pytest.fixture(scope="module")
def files(board: Board) -> dict[str, str]:
    return board_files(board)


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load_plugins()


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return registry_with(tmp_path, "")


def test_a_second_writing_gives_the_same_bytes_and_the_check_passes(
    tmp_path: Path, registry: Registry, catalogue: Catalogue
) -> None:
    write_results(tmp_path, full_grid())
    update_board(tmp_path, registry, catalogue, shown=None)
    first = {path.name: path.read_bytes() for path in (tmp_path / "board").iterdir()}
    assert check_board(tmp_path, registry, catalogue) == []
    update_board(tmp_path, registry, catalogue, shown=["core"])
    assert {path.name: path.read_bytes() for path in (tmp_path / "board").iterdir()} == first
    assert sorted(first) == ["accuracy.csv", "index.html", "leaderboard.md", "rank_correlation.csv"]
    assert all(b"\r" not in content and content.endswith(b"\n") for content in first.values())


def test_the_check_names_files_that_are_stale_or_absent(
    tmp_path: Path, registry: Registry, catalogue: Catalogue
) -> None:
    write_results(tmp_path, [*seeds_of("random", (0.5, 0.6), role="baseline"), *seeds_of("alpha", (0.5, 0.7))])
    assert len(check_board(tmp_path, registry, catalogue)) == 4
    update_board(tmp_path, registry, catalogue, shown=None)
    (tmp_path / "board" / "accuracy.csv").unlink()
    with (tmp_path / "board" / "leaderboard.md").open("a") as file:
        file.write("edited by hand\n")
    assert check_board(tmp_path, registry, catalogue) == ["accuracy.csv", "leaderboard.md"]
    write_results(tmp_path, seeds_of("newcomer", (0.5, 0.6, 0.7)))
    assert "index.html" in check_board(tmp_path, registry, catalogue)


def test_a_board_can_be_shown_in_part_and_is_written_whole(
    tmp_path: Path, registry: Registry, catalogue: Catalogue
) -> None:
    write_results(tmp_path, [*seeds_of("alpha", (0.5, 0.6)), *seeds_of("alpha", (0.7, 0.8), suite="other")])
    text = update_board(tmp_path, registry, catalogue, shown=["other"])
    assert "other on digits" in text
    assert "core on digits" not in text
    assert "core on digits" in (tmp_path / "board" / "leaderboard.md").read_text(encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        update_board(tmp_path, registry, catalogue, shown=["others"])
    assert "'other'" in caught.value.hint


def test_an_empty_results_folder_is_a_usage_error(tmp_path: Path, registry: Registry, catalogue: Catalogue) -> None:
    with pytest.raises(UsageError) as caught:
        update_board(tmp_path / "results", registry, catalogue, shown=None)
    assert "prunebench run" in caught.value.hint


def test_results_are_read_by_a_public_name(tmp_path: Path) -> None:
    write_results(tmp_path, full_grid())
    assert sorted(map(encode, load_results(tmp_path))) == sorted(map(encode, full_grid()))


def test_csv_numbers_have_six_decimals_and_holes_are_empty(files: dict[str, str]) -> None:
    found = list(csv.DictReader(io.StringIO(files["accuracy.csv"])))
    numbers = [row["accuracy_mean"] for row in found]
    assert "" in numbers
    assert all(re.fullmatch(r"0\.\d{6}", number) for number in numbers if number)
    assert {row["gain_significant"] for row in found} == {"true", "false"}
    assert all(re.fullmatch(r"\d*", row["rank"]) for row in found)
    compared = list(csv.DictReader(io.StringIO(files["rank_correlation.csv"])))
    assert all(re.fullmatch(r"(-?[01]\.\d{6})?", row["value"]) for row in compared)


def test_what_means_something_to_csv_markdown_or_html_is_escaped() -> None:
    reason = 'a,"b|c"\n<i> `x` *y*'
    board = make_board([*seeds_of("alpha", (0.5, 0.6), caveat=reason), cell("beta", 0, None, status_reason=reason)])
    written = board_files(board)
    (row, *_) = csv.DictReader(io.StringIO(written["accuracy.csv"], newline=""))
    assert row["caveat"] == reason
    assert 'a,"b\\|c" &lt;i> \\`x\\` \\*y\\*' in written["leaderboard.md"]
    assert "<i>" not in written["index.html"]


@pytest.fixture
def reproduce(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, catalogue: Catalogue) -> Any:
    """Write a board with a registry below the name given and return the command that it names."""

    def write(name: str, tables: str, records: Any) -> str:
        monkeypatch.chdir(tmp_path)
        registry_with(tmp_path, tables).file.rename(tmp_path / name)
        write_results(tmp_path / "results", records)
        update_board(Path("results"), load_registry(Path(name)), catalogue, shown=None)
        markdown = Path("results/board/leaderboard.md").read_text(encoding="utf-8")
        (command,) = set(re.findall("Reproduce: `(.*?)`, then", markdown))
        page = Path("results/board/index.html").read_text(encoding="utf-8")
        assert command in page
        return str(command)

    return write


def test_the_board_names_the_command_that_computes_what_it_shows(reproduce: Any) -> None:
    assert reproduce("registry.toml", "", full_grid()) == "prunebench run core --seeds 3 --keep 0.5 --keep 0.1"


def test_the_command_of_scores_alone_names_their_seeds(reproduce: Any) -> None:
    records = [agreement("one", 0, "two", 0, 0.5), agreement("one", 0, "one", 1, 0.5)]
    assert reproduce("registry.toml", "", records) == "prunebench run core --seeds 2"


def test_the_command_names_registry_data_and_added_methods_where_they_are_needed(reproduce: Any) -> None:
    tables = SUITE.replace("[dataset.digits]", '[dataset.digits]\nspec = "mnist"')
    records = [*seeds_of("random", (0.5, 0.6), role="baseline"), *seeds_of("entropy", (0.5, 0.6))]
    command = reproduce("my registry.toml", tables, records)
    assert command == (
        "prunebench run core --seeds 2 --keep 0.1 --with entropy --registry 'my registry.toml' --data DIR"
    )


def test_an_installed_metric_has_a_column_and_broken_ones_are_named(sandbox: Any) -> None:
    sandbox.install("odd-one", PLUGIN, "1.5")
    write_results(sandbox.folder / "results", seeds_of("alpha", (0.5, 0.6)))
    done = sandbox.call("leaderboard")
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stdout.split())
    assert "metric 'broken' failed: ValueError: it is broken" in said
    assert "metric 'gone' cannot be loaded" in said
    assert said.count("odd-one 1.5") == 2
    head, row = (sandbox.folder / "results" / "board" / "accuracy.csv").read_text(encoding="utf-8").splitlines()
    shown = dict(zip(head.split(","), row.split(","), strict=True))
    assert shown["spread"] == "0.550000"
    assert not {"broken", "gone"} & set(shown)
    assert sandbox.call("leaderboard", "--check").returncode == 0
