"""A board that a run left is kept as long as nothing has changed that it follows from, and no longer."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from boards import registry_with, seeds_of, write_results
from prunebench.kept_board import FOLDER, suite_board
from prunebench.plan import Filters
from prunebench.plugins import load_plugins
from prunebench.request import Request
from prunebench.settings import Settings
from registries import DIGITS

PLUGIN = """
from prunebench import MetricSpec, hookimpl

@hookimpl
def prunebench_metrics():
    return [MetricSpec(name="spread", label="spread", summary="A metric.", load="odd_one:spread")]

def spread(cells):
    return 0.25
"""


@pytest.fixture
def kept(sandbox):
    """Return a function that brings the board of a suite up to date and tells whether it was made again."""
    write_results(sandbox.folder / "results", seeds_of("alpha", (0.5, 0.6)))
    registry_with(sandbox.folder, "")

    def updated() -> bool:
        page = sandbox.folder / "results" / "core" / "board" / "index.html"
        before = page.stat().st_mtime_ns if page.exists() else 0
        with sandbox.entered():
            cache = Settings(str(sandbox.folder / "cache"))
            registry = registry_with(sandbox.folder, (sandbox.folder / "tables.toml").read_text("utf-8"))
            text = suite_board(Request(registry, load_plugins(), "core", Filters(), cache, Path("results")))
        assert "core on digits" in text
        return page.stat().st_mtime_ns != before

    (sandbox.folder / "tables.toml").write_text("", encoding="utf-8")
    assert updated()
    assert not updated()
    return updated


def test_a_board_is_made_again_when_records_came(kept, sandbox):
    write_results(sandbox.folder / "results", seeds_of("beta", (0.5, 0.6)))
    assert kept()
    assert "beta" in (sandbox.folder / "results" / "core" / "board" / "leaderboard.md").read_text("utf-8")
    assert not kept()


def test_a_board_is_made_again_when_its_page_was_edited_or_removed_or_something_lies_beside_it(kept, sandbox):
    board = sandbox.folder / "results" / "core" / "board"
    with (board / "leaderboard.md").open("a", encoding="utf-8") as file:
        file.write("edited by hand\n")
    assert kept()
    assert "by hand" not in (board / "leaderboard.md").read_text("utf-8")
    (board / "accuracy.csv").unlink()
    assert kept()
    assert not kept()


def test_a_board_is_made_again_when_the_registry_or_a_plugin_has_changed(kept, sandbox):
    (sandbox.folder / "tables.toml").write_text("\n[dataset.digits]\n", encoding="utf-8")
    assert kept()
    sandbox.install("odd-one", PLUGIN)
    assert kept()
    table = sandbox.folder / "results" / "core" / "board" / "accuracy.csv"
    assert "0.250000" in table.read_text("utf-8")
    module = sandbox.folder / "site" / "odd_one.py"
    module.write_text(PLUGIN.replace("0.25", "0.3125"), encoding="utf-8")
    assert kept()
    assert "0.312500" in table.read_text("utf-8")
    assert not kept()


def test_what_is_kept_of_a_board_may_be_damaged_or_not_writable(kept, sandbox):
    (file,) = (sandbox.folder / "cache" / FOLDER).iterdir()
    for content in (b"", b"\xff", b"{}", b'{"inputs": "", "files": {}, "text": 3}'):
        file.write_bytes(content)
        assert kept()
    os.truncate(file, 10 << 30)  # takes no place on the disk, and would take all memory
    assert kept()
    file.unlink()
    os.mkfifo(file)  # reading it would wait for a writer
    assert kept()
    file.unlink()
    file.parent.rmdir()
    file.parent.write_text("no folder", encoding="utf-8")
    assert kept()
    assert kept()


def test_a_run_that_finds_everything_done_shows_the_same_board_and_writes_nothing(sandbox):
    suite = '[suite.tiny]\ndataset = "digits"\nmethods = ["random"]\nbaseline = "random"\npruning_rates = ["0.9"]\n'
    training = 'seeds = 1\ntraining = [{ arch = "untrained", recipe = "probe" }]\n'
    (sandbox.folder / "registry.toml").write_text(DIGITS + suite + training, encoding="utf-8")
    run = ("run", "tiny", "--devices", "cpu", "--executor", "serial", "--quiet")
    first = sandbox.call(*run)
    pages = {path: path.stat().st_mtime_ns for path in (sandbox.folder / "results").rglob("*.*")}
    second = sandbox.call(*run)
    assert first.returncode == second.returncode == 0, first.stderr + second.stderr
    assert second.stdout == first.stdout
    assert "random" in second.stdout
    assert {path: path.stat().st_mtime_ns for path in (sandbox.folder / "results").rglob("*.*")} == pages
