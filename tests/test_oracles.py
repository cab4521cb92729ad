"""The page of oracles names tests that exist, and leaves no bundled scorer out."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from prunebench.plugins import load_plugins

TESTS = Path(__file__).parent
PAGE = (TESTS.parent / "docs" / "oracles.md").read_text(encoding="utf-8")
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("| ")]


def test_every_test_of_the_page_of_oracles_exists() -> None:
    named = [re.fullmatch(r"`(test_\w+\.py)::(test_\w+)`", cells[-1]) for cells in ROWS if cells[0] != "Method"]
    assert len(named) > 100
    files = {path.name: path for path in TESTS.rglob("test_*.py")}
    defined = {
        name: {node.name for node in ast.parse(path.read_text(encoding="utf-8")).body if hasattr(node, "name")}
        for name, path in files.items()
    }
    for found in named:
        assert found is not None, "the last cell of a row is `file::test`"
        assert found[2] in defined[found[1]], found[0]


def test_every_bundled_scorer_has_an_oracle_of_its_own() -> None:
    covered = {name for cells in ROWS for name in cells[0].split(", ")}
    bundled = {
        name for name, entry in load_plugins().entries["scorers"].items() if entry.origin.distribution == "prunebench"
    }
    assert bundled <= covered
