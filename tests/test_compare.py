"""Two sets of records side by side: which numbers moved, by how much, and how sure that is."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from boards import agreement, seeds_of, write_results
from prunebench.cli.compare import command
from prunebench.errors import DataError, UsageError
from prunebench.records import Record
from prunebench.validation.changes import Changes, changes
from prunebench.validation.lines import base_rows, read_folder, side
from prunebench.validation.summary import told

OLD, NEW = (0.80, 0.81, 0.79, 0.82), (0.83, 0.85, 0.80, 0.86)


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Write two folders of results, and return what differs between them."""
    monkeypatch.chdir(tmp_path)

    def write(before: list[Record], after: list[Record]) -> Changes:
        for name, records in (("before", before), ("after", after)):
            write_results(tmp_path / name, records)
        return changes(*((name, read_folder(tmp_path / name)[0]) for name in ("before", "after")))

    return write


def call(*arguments: str) -> tuple[int, str]:
    from click.testing import CliRunner

    done = CliRunner().invoke(command, list(arguments), standalone_mode=False)
    if done.exception:
        raise done.exception
    return done.return_value, done.output


def test_a_number_that_moved_has_the_paired_interval_over_shared_seeds(folders: Any) -> None:
    found = folders(seeds_of("alpha", OLD), seeds_of("alpha", NEW))
    (move,) = found.moved
    expected = stats.ttest_rel(NEW, OLD).confidence_interval()
    assert (move.difference.low, move.difference.high) == pytest.approx((expected.low, expected.high))
    assert (move.before, move.after, move.difference.mean) == pytest.approx((0.805, 0.835, 0.03))
    assert (move.paired, move.difference.n) == (True, 4)
    assert (len(found.changed), found.added, found.removed) == (4, (), ())


def test_without_a_shared_seed_the_interval_is_welchs(folders: Any) -> None:
    shifted = [r for r in seeds_of("alpha", (0, 0, 0, 0, *NEW)) if r.seed >= 4]
    (move,) = folders(seeds_of("alpha", OLD), shifted).moved
    expected = stats.ttest_ind(NEW, OLD, equal_var=False).confidence_interval()
    assert not move.paired
    assert (move.difference.low, move.difference.high) == pytest.approx((expected.low, expected.high))


def test_seeds_that_come_beside_equal_ones_move_a_mean_without_an_interval(folders: Any) -> None:
    (move,) = folders(seeds_of("alpha", OLD[:2]), seeds_of("alpha", OLD)).moved
    assert move.difference.mean == pytest.approx(np.mean(OLD) - np.mean(OLD[:2]))
    assert (move.difference.low, move.paired) == (None, False)


def test_records_that_came_went_or_changed_without_a_number_are_counted(folders: Any) -> None:
    before = [*seeds_of("alpha", OLD), *seeds_of("beta", OLD)]
    after = [*seeds_of("alpha", OLD, run_id="another", seconds_score=3.0), *seeds_of("gamma", OLD)]
    found = folders(before, after)
    assert (found.counts, found.moved) == ("4 new, 4 changed, 4 removed", ())
    assert found.facts["records"] == {"new": 4, "changed": 4, "removed": 4}
    assert found.any


def test_nothing_differs_between_equal_records(folders: Any) -> None:
    assert not folders(seeds_of("alpha", OLD), seeds_of("alpha", OLD)).any


def test_the_last_bits_of_another_processor_are_no_move(folders: Any) -> None:
    assert folders(seeds_of("alpha", OLD), seeds_of("alpha", [value + 1e-9 for value in OLD])).moved == ()


def test_correlations_move_too_and_the_largest_difference_comes_first(folders: Any) -> None:
    before = [agreement("bb1", s, "bb2", s, 0.4 + s / 50) for s in range(3)]
    after = [agreement("bb1", s, "bb2", s, 0.6 + s / 40) for s in range(3)]
    found = folders(before, after)
    assert [move.line[2] for move in found.moved] == ["within_class_spearman", "pooled_spearman", "pearson"]
    text = told(found)
    assert (
        "| `core, digits` | `within_class_spearman` | `-` | `-` | `alpha` | `bb1 and bb2` | 0.4200 | 0.6250 |" in text
    )
    assert "over 3 seeds |" in text


def test_the_command_prints_markdown_or_json_and_fails_only_where_that_is_asked(folders: Any) -> None:
    folders(seeds_of("alpha", OLD), seeds_of("alpha", NEW))
    assert call("before", "after") == (0, told(changes(side(Path(), "before"), side(Path(), "after"))))
    code, text = call("before", "after", "--json", "--fail-on-change")
    (moved,) = json.loads(text)["moved"]
    assert (code, moved["method"], moved["n"], round(moved["difference"], 6)) == (1, "alpha", 4, 0.03)
    assert call("before", "before", "--fail-on-change")[0] == 0


def test_a_side_is_a_folder_a_revision_or_a_run(folders: Any, tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *identity, *arguments], check=True, capture_output=True, cwd=tmp_path)

    git("init", "-q", "-b", "main")
    for name, values in (("first", OLD), ("second", NEW)):
        write_results(tmp_path / "results", seeds_of("alpha", values, run_id=f"run-{name}"))
        git("add", "results")
        git("commit", "-q", "-m", name)
    write_results(tmp_path / "results", seeds_of("beta", OLD, run_id="run-third"))
    for pair, counts in {
        ("HEAD~1", "HEAD"): "0 new, 4 changed, 0 removed", ("HEAD", "results"): "4 new, 0 changed, 0 removed",
        ("run-third", "run-second"): "4 new, 0 changed, 4 removed",
    }.items():  # fmt: skip
        assert f"Records: {counts}" in call(*pair)[1]
    with pytest.raises(UsageError, match="no revision"):
        call("HEAD", "no-such-run")


def test_a_folder_without_sound_records_is_refused(folders: Any, tmp_path: Path) -> None:
    folders(seeds_of("alpha", OLD), seeds_of("alpha", NEW))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="holds no records"):
        call("empty", "after")
    with (tmp_path / "before" / "core" / "digits" / "alpha.jsonl").open("a", encoding="utf-8") as file:
        file.write("{}\n")
    with pytest.raises(DataError, match="line 5"):
        call("before", "after")


@pytest.mark.parametrize("content", [b"\x1f\x8b\xff", b"#" * 10_000_001], ids=["packed", "too large"])
@pytest.mark.parametrize("file", ["s/d/other.jsonl", "s/other.jsonl"])
def test_a_file_of_records_that_cannot_be_read_is_told_and_never_left_out(file, content, folders):
    folders(seeds_of("alpha", OLD), seeds_of("alpha", NEW))
    (spoilt := Path("before") / file).parent.mkdir(parents=True, exist_ok=True)
    spoilt.write_bytes(content)
    for compared in (("before", "after"), ("after", "before")):
        with pytest.raises(DataError, match=f"before: {file}"):
            call(*compared)
    with pytest.raises(DataError, match=f"before: {file}"):
        base_rows(Path("after"), "before")
