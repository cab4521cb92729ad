"""The README says what is so: its commands are understood, its plugin works, its figures are those of the board."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from prunebench.board.render.verdict import fragment
from prunebench.cli import cli
from prunebench.registry import load_registry

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = README + (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
COMMANDS = [
    shlex.split(line, comments=True)
    for text in (PAGES, *(f"`{code}`" for code in re.findall("`(prunebench [^`]* [^`]*)`", PAGES)))
    for line in re.findall(r"(?:uv run |^`)(prunebench .*?)`?$", text, flags=re.MULTILINE)
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_command_of_the_pages_is_understood(command: list[str]) -> None:
    _, name, *arguments = command
    verb = cli.get_command(click.Context(cli), name)
    assert verb is not None
    parsed = verb.make_context(name, list(arguments)).params
    # `try` is the suite of a new plugin, and `kept/` what a pruning wrote
    if parsed.get("suite") not in (None, "try", "SUITE", "kept/"):
        assert parsed["suite"] in load_registry(ROOT / "registry.toml").suites


def test_the_pages_have_commands_and_their_links_lead_somewhere() -> None:
    assert len(COMMANDS) >= 15
    links = re.findall(r"\]\((?!https?:)([^)#]+)", PAGES)
    assert len(links) >= 8
    for link in links:
        assert (ROOT / link).exists(), link


def test_the_readme_counts_what_the_quickstart_runs() -> None:
    suite = load_registry(ROOT / "registry.toml").suites["quickstart"]
    text = " ".join(README.split("uv run prunebench run quickstart\n")[1].split())
    words = {2: "two", 3: "three", 4: "four", 5: "five", 6: "six", 7: "seven", 8: "eight", 9: "nine"}
    assert f"{words[len(suite.backbones)]} small backbones" in text
    assert f"{words[len(suite.methods)]} of the bundled methods" in text
    assert f"{words[len(suite.pruning_rates)]} rates with {words[suite.seeds]} seeds" in text


def test_figures_in_the_readme_are_those_of_the_board_below_the_command_that_computes_them() -> None:
    board = (ROOT / "results" / "board" / "leaderboard.md").read_text(encoding="utf-8")
    findings = README.split("## What it has found so far")[1].split("\n## ")[0]
    tables = re.findall(r"`(prunebench run [^`]*)`\n\n((?:\|.*\n)+)", findings)
    assert len(tables) == findings.count("|:--|") == 2
    for command, table in tables:
        (section,) = [part for part in board.split("\n## ") if f"`{command}`" in part]
        head, _, *rows = table.splitlines()
        assert len(rows) >= 5
        assert head in section
        for row in rows:
            assert row in section.splitlines()


def test_the_findings_of_the_first_screen_are_in_the_sections_of_the_verdict_that_they_link_to() -> None:
    page = (ROOT / "docs" / "verdict.md").read_text(encoding="utf-8")
    sections = {fragment(part.partition("\n")[0]): part for part in page.split("\n### ")[1:]}
    findings = re.findall(r"^\d\. (.*\n(?:   .*\n)*)", README.partition("\n## ")[0], flags=re.MULTILINE)
    assert len(findings) == 3
    for finding in findings:
        (anchor,) = re.findall(r"docs/verdict\.md#([^)]*)", finding)
        numbers = re.findall(r"\d+\.\d+", finding)
        assert len(numbers) >= 2
        assert set(numbers) <= set(re.findall(r"\d+\.\d+", sections[anchor])), finding


def test_the_plugin_of_the_readme_keeps_its_promises(sandbox) -> None:
    (source,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    sandbox.install("my-package", source)
    done = sandbox.call("check", "norm")
    assert done.returncode == 0, done.stdout + done.stderr
