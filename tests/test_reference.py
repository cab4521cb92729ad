"""The reference pages say what the code says: a committed page that differs is a failure."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import prunebench
import prunebench.toolbox
import write_manual
import write_reference
from prunebench import errors, hookspecs
from prunebench.plugins import Catalogue, load_plugins

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load_plugins()


@pytest.fixture(scope="module")
def pages(catalogue: Catalogue) -> dict[str, str]:
    return write_reference.reference_pages(catalogue, {})


def test_the_committed_pages_are_what_the_code_gives(pages: dict[str, str]) -> None:
    # Not their times: whoever has run a suite here has records that are not committed.
    committed = {
        path.name: path.read_text(encoding="utf-8").split("## Measured")[0].rstrip() + "\n"
        for path in (ROOT / "docs" / "reference").glob("*.md")
    }
    assert committed == pages, "write them again with `nox -s docs`"


def test_times_are_medians_of_the_records_that_are_ok() -> None:
    times = write_reference.scoring_times(ROOT / "results")
    assert ("cifar10", 50000) in {(data, n) for data, n, _ in times["topocore"]}
    assert all(seconds >= 0 for places in times.values() for _, _, seconds in places)


def test_every_method_says_what_it_computes_and_where_it_comes_from(
    catalogue: Catalogue, pages: dict[str, str]
) -> None:
    for entry in catalogue.entries["scorers"].values():
        if entry.origin.distribution == "prunebench":
            page = pages[f"scorer-{entry.spec.name}.md"]
            assert "Not documented." not in page, entry.spec.name
            assert all(f"| `{name}` |" in page for name in entry.spec.params)
            assert all(param.doc for param in entry.spec.params.values())


def test_measured_times_come_from_the_records(catalogue: Catalogue) -> None:
    few = replace(
        catalogue, entries={**catalogue.entries, "scorers": {n: catalogue.scorer(n) for n in ("d2", "moderate")}}
    )
    pages = write_reference.reference_pages(few, {"moderate": [("digits", 1438, 0.0213), ("big", 60000, 75.2)]})
    assert "- digits, 1,438 samples: 0.021 s\n" in pages["scorer-moderate.md"]
    assert "- big, 60,000 samples: 75 s\n" in pages["scorer-moderate.md"]
    assert "Measured" not in pages["scorer-d2.md"]


def test_a_stale_page_is_named_and_a_fresh_folder_passes(
    catalogue: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = replace(catalogue, entries={**catalogue.entries, "scorers": {"random": catalogue.scorer("random")}})
    monkeypatch.setattr(write_reference, "load_plugins", lambda: few)

    def reference(*more: str) -> Result:
        return CliRunner().invoke(write_reference.command, [str(tmp_path), "--results", str(tmp_path), *more])

    assert reference().exit_code == 0
    fresh = (tmp_path / "scorer-random.md").read_text(encoding="utf-8")
    (tmp_path / "scorer-random.md").write_text("old", encoding="utf-8")
    (tmp_path / "scorer-gone.md").write_text("old", encoding="utf-8")
    found = reference("--check")
    assert found.exit_code == 1
    assert "scorer-gone.md, scorer-random.md" in found.stderr
    assert reference().exit_code == 0
    assert not (tmp_path / "scorer-gone.md").exists()
    assert (tmp_path / "scorer-random.md").read_text(encoding="utf-8") == fresh


# ------------------------------------------------------------------------------- pages for the authors of plugins


@pytest.mark.parametrize("name", ["hooks.md", "errors.md", "api.md"])
def test_the_committed_page_is_what_the_code_says(name: str) -> None:
    committed = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert committed == write_manual.manual_pages()[name], "write it again with `nox -s docs`"


def test_the_page_of_hooks_has_every_hook_with_its_sentence_and_its_arguments() -> None:
    page = write_manual.manual_pages()["hooks.md"]
    for name in (name for name in dir(hookspecs) if name.startswith("prunebench_")):
        assert f"| `{name}` | {getattr(hookspecs, name).__doc__.strip()} |" in page
    assert "| `cli: click.Group` | nothing |" in page


def test_every_error_has_an_exit_code_an_occasion_and_a_hint() -> None:
    page = write_manual.manual_pages()["errors.md"]
    for name, kind in vars(errors).items():
        if isinstance(kind, type) and issubclass(kind, errors.PrunebenchError):
            (row,) = [line for line in page.splitlines() if f"`{name}` |" in line]
            code, when, hint = (cell.strip() for cell in row.strip("|").split("|")[1:])
            assert int(code) == kind.exit_code
            assert when.endswith(".")
            assert hint.endswith("."), f"{name} has no hint in its docstring"


def test_every_public_name_is_explained_with_its_methods_and_fields() -> None:
    page = write_manual.manual_pages()["api.md"]
    for module in (prunebench, prunebench.toolbox):
        for name in module.__all__:
            assert f"### {name}\n" in page or f"`{name}`" in page, name
    for section in page.split("\n### ")[1:]:
        body = section.partition("\n")[2].strip()
        assert len(body) > 20, section
        assert not [line for line in body.splitlines() if line.startswith("- ") and line.endswith("`: ")], section
    assert "read-only" in page.split("### ProjectContext")[1].split("###")[0]


def test_a_stale_page_of_the_manual_is_named_and_other_pages_are_left_alone(tmp_path: Path) -> None:
    def manual(*more: str) -> Result:
        return CliRunner().invoke(write_manual.command, [str(tmp_path), *more])

    (tmp_path / "mine.md").write_text("mine", encoding="utf-8")
    assert "api.md, errors.md, hooks.md" in manual("--check").stderr
    assert manual().exit_code == manual("--check").exit_code == 0
    (tmp_path / "errors.md").write_text("old", encoding="utf-8")
    assert "errors.md are not" in manual("--check").stderr
    assert (tmp_path / "mine.md").read_text(encoding="utf-8") == "mine"
