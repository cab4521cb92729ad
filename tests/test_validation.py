"""Contributed results are checked as data, against the base they were made from, in a real git repository."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunebench.validation.schema import record_problems
from prunebench.validation.summary import code

ROOT = Path(__file__).resolve().parent.parent
RECORDS = ROOT / "results" / "fashion" / "fashion-mnist"
FILE = Path("results", "fashion", "fashion-mnist", "moderate.jsonl")
AGREEMENTS = FILE.with_name("agreement.jsonl")


class Contribution:
    """A repository whose branch main holds some results, with another branch checked out to change them on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.git("init", "-q", "-b", "main")
        for file in (FILE, AGREEMENTS):
            self.path(file).parent.mkdir(parents=True, exist_ok=True)
            self.path(file).write_bytes((RECORDS / file.name).read_bytes())
        self.commit("base")
        self.git("checkout", "-q", "-b", "contribution")

    def path(self, file: Path = FILE) -> Path:
        return self.folder / file

    def git(self, *arguments: str) -> None:
        identity = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", "-C", str(self.folder), *identity, *arguments], check=True, capture_output=True)

    def commit(self, message: str) -> None:
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)

    def records(self, file: Path = FILE) -> list[dict]:
        return [json.loads(line) for line in self.path(file).read_text(encoding="utf-8").splitlines()]

    def write(self, records: list[dict], file: Path = FILE) -> None:
        self.path(file).parent.mkdir(parents=True, exist_ok=True)
        text = "".join(json.dumps(record, sort_keys=True, ensure_ascii=False) + "\n" for record in records)
        self.path(file).write_text(text, encoding="utf-8")

    def change(self, index: int = 0, file: Path = FILE, **fields) -> None:
        records = self.records(file)
        records[index] |= fields
        self.write(records, file)

    def validate(self, *options: str) -> subprocess.CompletedProcess[str]:
        self.commit("contribution")
        return subprocess.run(
            [sys.executable, "-m", "prunebench.validation", "results", "--registry", str(ROOT / "registry.toml"),
             *options],
            cwd=self.folder, capture_output=True, text=True, check=False,
        )  # fmt: skip


@pytest.fixture
def contribution(tmp_path):
    return Contribution(tmp_path)


def test_the_committed_records_of_this_repository_are_valid():
    for path in sorted((ROOT / "results").glob("*/*/*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            assert list(record_problems(json.loads(line))) == [], path


def test_nothing_changed_is_valid(contribution):
    done = contribution.validate()
    assert done.returncode == 0, done.stderr
    assert "valid" in done.stdout
    assert "0 new, 0 changed, 0 removed" in done.stdout


def new_method(contribution, **fields) -> Path:
    """Add the file of a method that the base does not know."""
    file = FILE.with_name("newcomer.jsonl")
    contribution.write([record | {"method": "newcomer"} | fields for record in contribution.records()], file)
    return file


def test_a_new_method_is_valid_and_told_in_the_summary(contribution):
    new_method(contribution)
    done = contribution.validate("--summary", "summary.md")
    assert done.returncode == 0, done.stderr
    assert "### New" in done.stdout
    assert f"| `fashion/fashion-mnist/newcomer.jsonl` | {len(contribution.records())} | 0." in done.stdout
    assert (contribution.folder / "summary.md").read_text(encoding="utf-8") == done.stdout


def test_the_base_is_where_the_branch_left_main_not_where_main_is_now(contribution):
    new_method(contribution)
    contribution.commit("mine")
    contribution.git("checkout", "-q", "main")
    contribution.write(
        [record | {"method": "other"} for record in contribution.records()], FILE.with_name("other.jsonl")
    )
    contribution.commit("somebody else's")
    contribution.git("checkout", "-q", "contribution")
    assert "0 removed" in contribution.validate().stdout
    done = contribution.validate("--base", "main")
    assert done.returncode == 4
    assert "other.jsonl: the record" in done.stderr


def test_the_base_may_be_a_folder(contribution, tmp_path_factory):
    base = tmp_path_factory.mktemp("base")
    done = contribution.validate("--base", str(base))
    assert done.returncode == 0, done.stderr
    assert f"{len(contribution.records()) + len(contribution.records(AGREEMENTS))} new" in done.stdout


def test_a_base_that_does_not_exist_is_an_error_of_usage(contribution):
    done = contribution.validate("--base", "no-such-branch")
    assert done.returncode == 2
    assert "no-such-branch is no revision" in done.stderr


def test_a_result_is_superseded_with_a_reason(contribution):
    old = contribution.records()[0]["accuracy"]
    contribution.change(accuracy=0.5, attempt=2, superseded="a wrong transform | before `it`")
    done = contribution.validate()
    assert done.returncode == 0, done.stderr
    assert f"| {old:.4f} | 0.5000 | `a wrong transform ¦ before 'it'` |" in done.stdout


def test_a_newer_version_of_a_method_replaces_its_result(contribution):
    contribution.change(key="0" * 32, accuracy=0.4)
    done = contribution.validate()
    assert done.returncode == 0, done.stderr
    assert "another version" in done.stdout


def test_a_failure_gives_way_to_a_result(contribution):
    good = contribution.records()[0]
    contribution.git("checkout", "-q", "main")
    contribution.change(status="failed", accuracy=None, accuracy_best=None)
    contribution.commit("a failure")
    contribution.git("checkout", "-q", "-b", "repair")
    contribution.change(**good)
    done = contribution.validate()
    assert done.returncode == 0, done.stderr
    assert "failed before" in done.stdout


def removed(c):
    c.write(c.records()[1:])


def removed_file(c):
    c.path().unlink()


def doubled(c):
    records = c.records()
    c.write([records[0], *records])


def reversed_order(c):
    c.write(c.records()[::-1])


def text(replaced: str, by: str):
    def edit(c):
        found = c.path().read_text(encoding="utf-8")
        assert replaced in found
        c.path().write_text(found.replace(replaced, by, 1), encoding="utf-8")

    return edit


def fields(**changes):
    return lambda c: c.change(**changes)


def newcomer(**changes):
    return lambda c: new_method(c, **changes)


def without_newline(c):
    c.path().write_bytes(c.path().read_bytes()[:-1])


def without_field(c):
    records = c.records()
    del records[0]["train_key"]
    c.write(records)


def moved(c):
    c.write(c.records(), FILE.with_name("elsewhere.jsonl"))


def stray(c):
    (c.folder / "results" / "run.sh").write_text("echo hello\n")


def strange_board(c):
    (c.folder / "results" / "board").mkdir()
    (c.folder / "results" / "board" / "more.js").write_text("alert(1)\n")


def link(c):
    c.path().with_name("link.jsonl").symlink_to("/etc/passwd")


def not_unicode(c):
    c.path().write_bytes(b"\xff\xfe\n")


BAD = {
    "removes a row": (removed, 4, "is gone"),
    "removes a file": (removed_file, 4, "is gone"),
    "repeats a row": (doubled, 4, "line 2: is about the same cell as line 1"),
    "is not sorted": (reversed_order, 4, "line 2: is out of order"),
    "is not JSON": (text("{", ""), 4, "line 1: is not JSON"),
    "holds NaN": (text('"loss": 0', '"loss": NaN, "x": 0'), 4, "line 1: is not JSON"),
    "is not UTF-8": (not_unicode, 4, "is not UTF-8"),
    "is written in another way": (text(": ", ":  "), 4, "line 1: is not written as prunebench writes it"),
    "hides a key behind a second one": (text('"accuracy": ', '"accuracy": 9, "accuracy": '), 4, "not written as"),
    "lacks the last newline": (without_newline, 4, "does not end with a newline"),
    "lacks a field": (without_field, 4, "line 1: train_key is missing"),
    "has an accuracy in percent": (newcomer(accuracy=86.2), 4, "accuracy = '86.2': expected a number in [0, 1]"),
    "has an accuracy without a result": (newcomer(status="failed"), 4, "accuracy is given although"),
    "has an unknown status": (newcomer(status="good"), 4, "status = 'good': expected one of ok"),
    "has a key that is none": (newcomer(key="x"), 4, "key = 'x': expected 32 hexadecimal digits"),
    "has a seed that is none": (newcomer(seed=-1), 4, "seed = '-1': expected an integer"),
    "has a moment without a zone": (newcomer(started="2026-01-01"), 4, "expected a date and time"),
    "is in the wrong file": (moved, 4, "belongs to fashion/fashion-mnist/moderate.jsonl"),
    "has a path for a name": (newcomer(suite="../../x"), 4, "suite = '../../x': expected letters"),
    "has a stray file": (stray, 4, "run.sh: is out of place"),
    "has a script on its board": (strange_board, 4, "is not a file of the board"),
    "has a link": (link, 4, "is a link"),
    "is of another protocol": (newcomer(protocol="1999.1"), 4, "protocol '1999.1', the registry has '2026.1'"),
    "is of an unknown network": (newcomer(score_backbone="mine"), 4, "backbone 'mine' is not of suite 'fashion'"),
    "is of an unknown recipe": (newcomer(recipe="mine"), 4, "training 'lenet' by 'mine' is not of suite"),
    "has a budget of its own": (newcomer(keep="0.123"), 4, "keep 0.123 is not a budget"),
    "is of other data": (newcomer(dataset_fingerprint="0" * 32), 4, "fingerprint " + "0" * 32),
    "has a newer schema": (newcomer(schema=99), 5, "has schema 99, this prunebench reads 1"),
    "edits a published accuracy": (fields(accuracy=0.99), 6, "without a reason to supersede it"),
    "supersedes without a reason": (fields(accuracy=0.99, attempt=2), 6, "without a reason to supersede it"),
    "puts a failure for a result": (
        fields(status="failed", accuracy=None, accuracy_best=None),
        6,
        "given way to a fail",
    ),
}


@pytest.mark.parametrize("fault", BAD)
def test_a_contribution_that(fault, contribution):
    edit, exit_code, expected = BAD[fault]
    edit(contribution)
    done = contribution.validate()
    assert done.returncode == exit_code, (done.stdout, done.stderr)
    assert expected in done.stderr
    assert "### Problems" in done.stdout
    assert "Traceback" not in done.stderr


def test_a_file_that_is_too_large_is_not_read(contribution):
    done = contribution.validate("--max-bytes", "1000")
    assert done.returncode == 4
    assert "the limit is 1,000" in done.stderr


def test_an_unknown_suite_is_told(contribution):
    file = Path("results", "mine", "fashion-mnist", "moderate.jsonl")
    contribution.write([record | {"suite": "mine"} for record in contribution.records()], file)
    done = contribution.validate()
    assert done.returncode == 4
    assert "suite 'mine' is not in the registry" in done.stderr


def test_an_agreement_is_checked_by_its_own_schema(contribution):
    contribution.change(file=AGREEMENTS, within_class_spearman=1.5)
    done = contribution.validate()
    assert done.returncode == 4
    assert "within_class_spearman = '1.5': expected a number in [-1, 1]" in done.stderr


def test_a_long_list_of_changes_is_cut(contribution):
    contribution.write([r | {"attempt": 2, "superseded": "all"} for r in contribution.records(AGREEMENTS)], AGREEMENTS)
    done = contribution.validate()
    assert done.returncode == 0, done.stderr
    n = len(contribution.records(AGREEMENTS))
    assert n > 50
    assert f"… and {n - 50} more" in done.stdout


@given(st.text())
def test_no_text_of_the_data_can_act_as_markup(text):
    span = code(text)
    assert span[0] == span[-1] == "`"
    assert not set("`|\n\r") & set(span[1:-1])
    assert len(span) <= 163


NAMES = st.sampled_from(["kind", "status", "key", "seed", "keep", "accuracy", "started", "suite"])
SCALARS = st.none() | st.booleans() | st.floats() | st.text()


@given(st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(NAMES, inner)))
def test_any_json_is_judged_without_an_exception(value):
    assert list(record_problems(value))
