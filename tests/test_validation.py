"""Contributed results are checked as data, against the base they were made from and against the registry."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from prunebench.cli.validate import command
from prunebench.errors import DataError, PrunebenchError, ResultConflict, SchemaTooNew, UsageError
from prunebench.plan import make_plan
from prunebench.planner import Contents
from prunebench.plugins import load_plugins
from prunebench.records import CellRecord, Record, encode, write_records
from prunebench.registry import Registry, load_registry
from prunebench.validation import lines
from prunebench.validation.lines import MAX_FAULTS, MAX_LINE, base_rows, read_folder, read_lines
from prunebench.validation.rules import Validation, validate, worst
from prunebench.validation.summary import code, plain, summary
from registries import HEAD, NETWORK

ROOT = Path(__file__).resolve().parent.parent
FINGERPRINT = "f" * 32
SUITE = (
    HEAD
    + NETWORK
    + f"""
[dataset.digits]
fingerprint = "{FINGERPRINT}"

[backbone.two]
timm = "test_vit"

[method.narrow]
scorer = "moderate"
params = {{ center = "mean" }}

[suite.tiny]
dataset = "digits"
methods = ["random", "moderate", "narrow", "full"]
backbones = ["untrained", "two"]
training = [{{ arch = "untrained", recipe = "probe" }}, {{ arch = "two", recipe = "probe" }}]
keep = ["0.1"]
seeds = 2
"""
)
FOLDER = Path("tiny", "digits")
FILE = FOLDER / "moderate.jsonl"
NEW = FOLDER / "narrow.jsonl"


catalogue = cache(load_plugins)


@pytest.fixture(scope="session")
def registry(tmp_path_factory) -> Registry:
    file = tmp_path_factory.mktemp("registry") / "registry.toml"
    file.write_text(SUITE, encoding="utf-8")
    return load_registry(file)


@pytest.fixture(scope="session")
def planned(registry) -> dict[Path, list[Record]]:
    """The records of a whole run of the suite by file, as a run makes them."""
    plan = make_plan(registry, catalogue(), "tiny", contents=Contents({"digits": FINGERPRINT}))
    records = [
        goal.record(status="ok", **({"accuracy": 0.5 + number / 1000} if goal in plan.cells else {"n": 9}))
        for number, goal in enumerate(plan.goals)
    ]
    files: dict[Path, list[Record]] = {}
    for record in sorted(records, key=lambda record: (record.key, record.place)):
        files.setdefault(record.file, []).append(record)
    return files


class Contribution:
    """A base that holds all but one method, and results that hold what the base does."""

    def __init__(self, folder: Path, planned: dict[Path, list[Record]], registry: Registry) -> None:
        self.base, self.results = folder / "base", folder / "results"
        self.planned, self.registry = planned, registry
        for file, records in planned.items():
            if file != NEW:
                write_records(self.base / file, records)
                write_records(self.results / file, records)

    def write(self, records: list[Record], file: Path = FILE) -> None:
        write_records(self.results / file, sorted(records, key=lambda record: (record.key, record.place)))

    def add(self, **changes) -> None:
        """Add the method that the base lacks, its first record changed."""
        first, *rest = self.planned[NEW]
        self.write([replace(first, **changes), *rest], NEW)

    def change(self, file: Path = FILE, **changes) -> None:
        first, *rest = self.planned[file]
        self.write([replace(first, **changes), *rest], file)

    def validate(self) -> Validation:
        return validate(self.results, base_rows(self.results, str(self.base)), self.registry, catalogue())


@pytest.fixture
def contribution(tmp_path, planned, registry) -> Contribution:
    return Contribution(tmp_path, planned, registry)


def text_of(found: Validation) -> str:
    return "\n".join(map(str, found.faults))


def test_nothing_changed_is_valid(contribution):
    found = contribution.validate()
    assert (found.faults, found.changes.any, found.changes.changed) == ((), False, ())
    assert worst(found.faults, "here") is None
    assert "valid. Against" in summary(found)


def test_a_new_method_is_valid_and_told_in_the_summary(contribution):
    contribution.add()
    found = contribution.validate()
    assert (found.faults, found.missing) == ((), {})
    assert f"| `{NEW.as_posix()}` | {len(contribution.planned[NEW])} | 0." in summary(found)


def test_a_result_is_superseded_with_a_reason(contribution):
    contribution.change(accuracy=0.25, attempt=2, superseded="a wrong transform | before `it`")
    found = contribution.validate()
    assert found.faults == ()
    assert "| 0.2500 | `a wrong transform ¦ before 'it'` |" in summary(found)


def test_a_newer_version_of_a_method_replaces_its_result(contribution):
    contribution.change(key="0" * 32, accuracy=0.4)
    found = contribution.validate()
    assert found.faults == ()
    assert "another version" in summary(found)


def test_a_failure_gives_way_to_a_result(contribution):
    first, *rest = contribution.planned[FILE]
    write_records(contribution.base / FILE, [replace(first, status="failed", accuracy=None), *rest])
    found = contribution.validate()
    assert found.faults == ()
    assert "failed before" in summary(found)


def test_a_new_method_must_have_every_cell_of_its_suite_at_the_budgets_and_seeds_that_it_has(contribution):
    contribution.write([r for r in contribution.planned[NEW] if r.score_backbone == "two"], NEW)
    found = contribution.validate()
    assert "lacks 4 cells" in text_of(found)
    assert "backbone untrained" in found.missing[NEW.as_posix()][0]
    assert "### Incomplete" in summary(found)
    contribution.write([r for r in contribution.planned[NEW] if r.seed == 1], NEW)
    assert contribution.validate().faults == ()


def test_a_known_method_may_be_completed_in_slices(contribution):
    records = contribution.planned[FILE]
    write_records(contribution.base / FILE, records[:1])
    contribution.write(records[:3])
    found = contribution.validate()
    assert found.faults == ()
    assert list(found.missing) == [FILE.as_posix()]


def test_a_failed_cell_is_there_and_is_no_hole(contribution):
    contribution.add(status="failed", accuracy=None)
    assert contribution.validate().faults == ()


# ------------------------------------------------------------------------------------------------- what is refused


def write_text(file: Path, change: Callable[[str], str]) -> Callable[[Contribution], None]:
    def edit(c: Contribution) -> None:
        path = c.results / file
        path.write_bytes(change(path.read_text(encoding="utf-8")).encode("utf-8", "surrogateescape"))

    return edit


def once(old: str, new: str) -> Callable[[Contribution], None]:
    def change(text: str) -> str:
        assert old in text
        return text.replace(old, new, 1)

    return write_text(FILE, change)


def added(**changes) -> Callable[[Contribution], None]:
    return lambda c: c.add(**changes)


def changed(**changes) -> Callable[[Contribution], None]:
    return lambda c: c.change(**changes)


def put(name: str, content: bytes = b"x\n") -> Callable[[Contribution], None]:
    def edit(c: Contribution) -> None:
        (c.results / name).parent.mkdir(parents=True, exist_ok=True)
        (c.results / name).write_bytes(content)

    return edit


def link(c: Contribution) -> None:
    (c.results / FOLDER / "link.jsonl").symlink_to("/etc/passwd")


def linked_folder(c: Contribution) -> None:
    (c.results / "elsewhere").symlink_to("/etc", target_is_directory=True)


def pipe(c: Contribution) -> None:
    os.mkfifo(c.results / FOLDER / "pipe.jsonl")


def other_name(c: Contribution) -> None:
    """The records of one method, without those of one backbone, under another name."""
    rows = [replace(r, method="newcomer") for r in c.planned[FILE] if r.score_backbone == "two"]
    c.write(rows, FOLDER / "newcomer.jsonl")


BAD = {
    "removes a row": (lambda c: c.write(c.planned[FILE][1:]), DataError, "is gone"),
    "removes a file": (lambda c: (c.results / FILE).unlink(), DataError, "is gone"),
    "repeats a row": (write_text(FILE, lambda t: t.split("\n")[0] + "\n" + t), DataError, "line 2: is about the same"),
    "is not sorted": (
        write_text(FILE, lambda t: "\n".join([*t.split("\n")[-2::-1], ""])), DataError, "line 2: is out of order",
    ),
    "is not JSON": (once("{", ""), DataError, "line 1: is not a record"),
    "is an array": (once("{", "[{"), DataError, "line 1: is not a record: Expected `object`"),
    "holds NaN": (once('"loss":null', '"loss":NaN'), DataError, "line 1: is not a record"),
    "is not UTF-8": (put(FILE.as_posix(), b"\xff\xfe\n"), DataError, "is not UTF-8"),
    "is written in another way": (once('":', '": '), DataError, "line 1: is not written as prunebench writes it"),
    "hides a key behind a second one": (
        once('"accuracy":', '"accuracy":0.9,"accuracy":'), DataError, "field `accuracy` twice",
    ),
    "hides a parameter behind a second one": (
        once('"scorer_params":{', '"scorer_params":{"center":"x",'), DataError, "field `center` twice",
    ),
    "has a field of its own": (once('"loss":null', '"loss":null,"lucky":1'), DataError, "unknown field `lucky`"),
    "lacks the last newline": (write_text(FILE, lambda t: t[:-1]), DataError, "does not end with a newline"),
    "is empty but for a newline": (put(NEW.as_posix(), b"\n"), DataError, "line 1: is not a record"),
    "lacks a field": (once('"keep":"0.1",', ""), DataError, "line 1: is not a record: Object missing required field"),
    "has an accuracy in percent": (once('"accuracy":0.', '"accuracy":86.'), DataError, "`$.accuracy`"),
    "has an accuracy without a result": (once('"status":"ok"', '"status":"failed"'), DataError, "goes with status"),
    "has an unknown status": (once('"status":"ok"', '"status":"good"'), DataError, "`$.status`"),
    "has a key that is none": (once('"key":"', '"key":"x'), DataError, "`$.key`"),
    "has a seed that is none": (once('"seed":', '"seed":-1'), DataError, "`$.seed`"),
    "has another text for its budget": (once('"keep":"0.1"', '"keep":"0.10"'), DataError, "budget keep = '0.10'"),
    "has a newer schema": (once('"schema":2', '"schema":99'), SchemaTooNew, "has schema 99"),
    "is in the wrong file": (
        lambda c: c.write(c.planned[FILE], FOLDER / "elsewhere.jsonl"), DataError, f"belongs to {FILE.as_posix()}",
    ),
    "has a path for a name": (once('"suite":"tiny"', '"suite":"../../x"'), DataError, "`$.suite`"),
    "has a stray file": (put("run.sh"), DataError, "run.sh: is out of place"),
    "has a hidden file": (put("tiny/digits/.sneaky.lock"), DataError, "is out of place"),
    "has a file too deep": (put("tiny/digits/more/moderate.jsonl"), DataError, "is out of place"),
    "has a script on its board": (put("board/more.js"), DataError, "is not a file of the board"),
    "has a link": (link, DataError, "is a link"),
    "has a link to a folder": (linked_folder, DataError, "elsewhere: is a link"),
    "has a pipe": (pipe, DataError, "special file"),
    "is of another protocol": (added(protocol="1999.1"), DataError, "protocol '1999.1', the registry has 'test'"),
    "is of an unknown network": (added(score_backbone="mine"), DataError, "backbone 'mine'"),
    "hides its network": (added(score_backbone="-"), DataError, "backbone '-'"),
    "is of an unknown projector": (added(projector="umap"), DataError, "projector 'umap'"),
    "is of an unknown recipe": (added(recipe="mine"), DataError, "training "),
    "has a budget of its own": (added(keep="0.123"), DataError, "budget keep = '0.123' is not of suite 'tiny'"),
    "has all samples for a budget": (added(keep="1"), DataError, "budget keep = '1'"),
    "has a seed of its own": (added(seed=2), DataError, "seed 2 is not of suite"),
    "is of other data": (added(dataset_fingerprint="0" * 32), DataError, "fingerprint " + "0" * 32),
    "has the role of the baseline": (added(role="baseline"), DataError, "role 'baseline'"),
    "has the scorer of another method": (added(scorer="random"), DataError, "scores by 'moderate', not by 'random'"),
    "has other parameters than its method": (
        added(scorer_params={"center": "median"}), DataError, "scorer_params.center = 'median', the method has 'mean'",
    ),
    "has another selector than its method": (added(selector="strata"), DataError, "not by 'strata'"),
    "has other parameters of its selector": (
        added(selector_params={"luck": 1}), DataError, "selector_params.luck = 1, the method has None",
    ),
    "has a known method under another name": (other_name, DataError, "scores by 'newcomer', not by 'moderate'"),
    "edits a published accuracy": (changed(accuracy=0.99), ResultConflict, "without a reason to supersede it"),
    "supersedes without a reason": (changed(accuracy=0.99, attempt=2), ResultConflict, "without a reason"),
    "puts a failure for a result": (changed(status="failed", accuracy=None), ResultConflict, "given way to a failure"),
    "puts a failure with a new key for a result": (
        changed(status="failed", accuracy=None, key="0" * 32), ResultConflict, "given way to a failure",
    ),
    "has an agreement of an unknown network": (
        changed(file=FOLDER / "agreement.jsonl", backbone_a="mine", backbone_b="two", seed_a=0, seed_b=0), DataError,
        "backbone 'mine'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", BAD)
def test_a_contribution_that(fault, contribution):
    edit, kind, expected = BAD[fault]
    edit(contribution)
    found = contribution.validate()
    assert expected in text_of(found)
    assert type(worst(found.faults, "here")) is kind
    assert "### Faults" in summary(found)


def test_an_unknown_suite_is_told(contribution):
    records = [replace(record, suite="mine") for record in contribution.planned[FILE]]
    contribution.write(records, Path("mine", "digits", "moderate.jsonl"))
    assert "suite 'mine' is not in the registry" in text_of(contribution.validate())


def test_a_file_that_is_too_large_is_not_read(contribution, monkeypatch):
    base = base_rows(contribution.results, str(contribution.base))
    monkeypatch.setattr(lines, "MAX_BYTES", 1000)
    found = validate(contribution.results, base, contribution.registry, catalogue())
    assert "the limit is 1,000" in text_of(found)
    assert found.n_rows == 0
    with pytest.raises(DataError, match="the limit is 1,000"):
        contribution.validate()  # nor is one of the base


@pytest.mark.parametrize(
    "value", ["9" * 5000, "9" * 90_000, "0." + "9" * 90_000, "1e" + "9" * 90_000, "[" * 90_000, '{"a":' * 18_000,
              '"' + "x" * MAX_LINE + '"', '"\\ud800"'],
    ids=["digits", "many digits", "decimals", "exponent", "arrays", "objects", "long text", "half a character"],
)  # fmt: skip
def test_a_hostile_line_is_refused_at_once_by_its_number(value, planned):
    first, second = map(encode, planned[FILE][:2])
    hostile = second.replace('"diagnostics":{}', '"diagnostics":{"a":' + value + "}")
    content = f"{first}\n{hostile}\n"
    _, faults = read_lines(FILE.as_posix(), content.encode())
    assert {(fault.file, fault.line) for fault in faults} == {(FILE.as_posix(), 2)}


def test_a_file_of_nothing_but_faults_is_not_read_to_its_end():
    rows, faults = read_lines("a/b/c.jsonl", b"x\n" * 1_000_000)
    assert (rows, len(faults)) == ([], MAX_FAULTS + 1)
    assert faults[-1].line == MAX_FAULTS + 1


def test_the_lock_that_an_update_leaves_is_no_fault(contribution):
    put("tiny/digits/.moderate.jsonl.lock", b"")(contribution)
    assert contribution.validate().faults == ()


def test_the_committed_results_are_sound():
    rows, faults = read_folder(ROOT / "results")
    assert faults == []
    assert rows


@given(st.binary(max_size=200), st.integers(0, 3))
@settings(deadline=None)
def test_any_bytes_are_judged_without_an_exception(content, newlines):
    rows, faults = read_lines("a/b/c.jsonl", content + b"\n" * newlines)
    assert rows == []
    assert faults or not content + b"\n" * newlines


def test_the_words_of_a_record_cannot_change_what_it_is(planned):
    for record in planned[FILE]:
        assert isinstance(record, CellRecord)
        [row] = read_lines(FILE.as_posix(), encode(replace(record, status_reason="\n\u2028{}")).encode() + b"\n")[0]
        assert row.record.place == record.place


def test_a_long_list_of_changes_is_cut(contribution):
    many = [replace(r, key=f"{i:032x}", seed=i) for i, r in enumerate(contribution.planned[FILE][:1] * 60)]
    write_records(contribution.base / FILE, many)
    (contribution.results / FILE).unlink()
    assert "… and 10 more" in summary(contribution.validate())


@given(st.text())
def test_no_text_of_the_data_can_act_as_markup_or_as_a_command(text):
    span = code(text)
    assert span[0] == span[-1] == "`"
    assert not set("`|\n\r\x1b") & set(span[1:-1])
    assert len(span) <= 163
    assert plain(text).splitlines() in ([], [plain(text)])


# ---------------------------------------------------------------------------------------------- the base, and the verb


@pytest.fixture
def repository(contribution, monkeypatch):
    """A repository whose branch main holds the base, with a branch checked out to contribute on."""
    folder = contribution.results.parent

    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True)

    git("init", "-q", "-b", "main")
    git("add", "results")
    git("commit", "-q", "-m", "base")
    git("checkout", "-q", "-b", "contribution")
    monkeypatch.chdir(folder)
    return contribution, git


def verb(contribution: Contribution, *arguments: str) -> None:
    options = ["results", "--registry", str(contribution.registry.file), *arguments]
    command.main(options, obj=catalogue(), standalone_mode=False)


def test_the_base_is_where_the_branch_left_main_not_where_main_is_now(repository, capsys):
    contribution, git = repository
    git("checkout", "-q", "main")
    contribution.add()
    git("add", "results")
    git("commit", "-q", "-m", "somebody else's")
    git("checkout", "-q", "contribution")
    contribution.change(accuracy=0.25, attempt=2, superseded="a test")
    verb(contribution, "--summary", "summary.md")
    assert "0 new, 1 changed, 0 removed" in capsys.readouterr().out
    assert "a test" in Path("summary.md").read_text(encoding="utf-8")
    with pytest.raises(DataError):
        verb(contribution, "--base", "main")
    assert f"fault: {NEW.as_posix()}: the record" in capsys.readouterr().err


def test_a_base_or_a_folder_that_does_not_exist_is_an_error_of_usage(repository, capsys):
    contribution, _ = repository
    for arguments in (("--base", "no-such-branch"), ("--base=--all",)):
        with pytest.raises(UsageError) as caught:
            verb(contribution, *arguments)
        assert "--base" in caught.value.hint
    Path("link").symlink_to("results")
    for folder in ("link", "nowhere", "registry.toml"):
        with pytest.raises(UsageError):
            command.main([folder], obj=catalogue(), standalone_mode=False)


def test_a_folder_that_is_new_to_the_repository_is_all_new(repository, capsys):
    contribution, _ = repository
    (contribution.results.parent / "more").mkdir()
    (contribution.results / "tiny").rename(contribution.results.parent / "more" / "tiny")
    command.main(["more", "--registry", str(contribution.registry.file)], obj=catalogue(), standalone_mode=False)
    n = sum(len(records) for file, records in contribution.planned.items() if file != NEW)
    assert f"{n} new, 0 changed, 0 removed" in capsys.readouterr().out


def test_the_errors_of_a_validation_are_those_of_the_command_line(repository):
    contribution, _ = repository
    once('"schema":2', '"schema":99')(contribution)
    with pytest.raises(PrunebenchError) as caught:
        verb(contribution)
    assert (type(caught.value), caught.value.exit_code) == (SchemaTooNew, 5)
    assert "never edited by hand" in caught.value.hint


def test_the_board_that_a_run_writes_beside_its_records_is_in_place(tmp_path):
    for name in ("tiny/board/index.html", "tiny/board/accuracy.csv", "tiny/board/other.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    _, faults = read_folder(tmp_path)
    assert [fault.file for fault in faults] == ["tiny/board/other.csv"]
