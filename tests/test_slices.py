"""A suite in slices: out of time, killed, out of space or on another machine, what is finished stays finished."""

from __future__ import annotations

import errno
import json
import shutil
import signal
import time
from pathlib import Path

import pytest
from msgspec.structs import replace

from prunebench.records import read_results, write_records
from prunebench.stopping import Interruption
from registries import NUMPY_DIGITS, TRAINING

SUITE = (
    """
[suite.sliced]
dataset = "digits"
methods = ["random", "odd"]
baseline = "random"
backbones = ["untrained"]
pruning_rates = ["0.9", "0.8"]
seeds = 3
"""
    + TRAINING
)
ODD = """
from prunebench import ScorerSpec, hookimpl

@hookimpl
def prunebench_scorers():
    return [ScorerSpec(name="odd", summary="A test.", load="odd_one:score", needs=frozenset({"features"}),
                       stochastic=True)]

def score(ctx):
    import os, time
    with open("scorings", "a") as file:
        file.write("one\\n")
    time.sleep(float(os.environ.get("ODD_SECONDS", "0")))
    return ctx.rng.random(ctx.n)
"""


@pytest.fixture
def bench(sandbox):
    sandbox.register(NUMPY_DIGITS + SUITE)
    sandbox.install("odd-one", ODD)
    return sandbox


def run(bench, *arguments: str):
    return bench.call("run", "sliced", "--executor", "serial", "--quiet", *arguments)


def records(results: Path) -> dict[tuple, object]:
    return {record.place: record for record in read_results(results)}


def cells(results: Path) -> list[tuple]:
    return sorted(place for place in records(results) if place[0] == "cell")


def computed(cache: Path) -> set[str]:
    return {path.parent.parent.parent.name for path in cache.rglob("meta.json")}


def scorings(bench) -> int:
    file = bench.folder / "scorings"
    return len(file.read_text().splitlines()) if file.exists() else 0


def test_what_has_a_record_is_not_computed_on_a_machine_with_an_empty_cache_nor_is_anything_that_it_needs(bench):
    done = run(bench)
    assert done.returncode == 0, done.stderr
    results, before = bench.folder / "results", scorings(bench)
    kept = records(results)
    again = run(bench, "--cache", "elsewhere")
    assert again.returncode == 0, again.stderr
    assert "12 cells: 12 already done, 0 computed now" in again.stderr
    assert computed(bench.folder / "elsewhere") == set()
    assert (records(results), scorings(bench)) == (kept, before)
    file = results / "sliced" / "digits" / "random.jsonl"
    write_records(file, [record for record in read_results(results) if record.method == "random"][1:])
    third = run(bench, "--cache", "elsewhere")
    assert "12 cells: 11 already done, 1 computed now" in third.stderr
    stages = {stage: len(list((bench.folder / "elsewhere" / stage).rglob("meta.json")))
              for stage in computed(bench.folder / "elsewhere")}  # fmt: skip
    assert stages == {"features": 1, "scores": 1, "subset": 1, "training": 1, "cell": 1}  # features of the probe
    assert scorings(bench) == before
    assert set(records(results)) == set(kept)


def test_a_run_that_is_out_of_time_ends_between_cells_and_the_next_goes_on(bench, monkeypatch):
    monkeypatch.setenv("ODD_SECONDS", "1")
    assert run(bench, "--until", "10m", "--scorer", "odd", "--seeds", "1").returncode == 0
    kept = records(bench.folder / "results")
    assert len(kept) == 2
    report = run(bench, "--until", "0.001s", "--json")
    told = json.loads(report.stdout)
    assert (report.returncode, told["computed"], told["done_before"]) == (0, 0, 2)
    assert told["left"] == 10 + 3  # cells, and comparisons of three seeds
    assert "out of time: 13 cells and comparisons are left" in report.stderr
    assert "run the same command again to go on" in report.stderr
    manifest = json.loads(max((bench.folder / "runs").glob("*/manifest.json")).read_text(encoding="utf-8"))
    assert manifest["finished"]["exit_reason"] == "out of time"
    rest = run(bench)
    assert (rest.returncode, scorings(bench)) == (0, 3), "a scoring was repeated"
    found = records(bench.folder / "results")
    assert len(cells(bench.folder / "results")) == 12
    assert {place: found[place] for place in kept} == kept


def test_what_runs_when_the_time_is_over_has_the_grace_of_an_interruption():
    now = time.monotonic()
    assert not Interruption(30, until=now - 29).over()
    assert Interruption(30, until=now - 31).over()
    assert Interruption(30, until=now + 900, since=now - 31).over(), "Ctrl-C before the time"
    assert not Interruption(30, until=now + 900).over()
    assert not Interruption(30).over()
    assert Interruption(30, until=now - 1).seconds_left() < 0


@pytest.mark.thorough
def test_control_c_ends_a_run_whose_tasks_are_in_its_own_process(bench, monkeypatch):
    monkeypatch.setenv("ODD_SECONDS", "600")
    process = bench.start("run", "sliced", "--executor", "serial", "--scorer", "odd", "--grace", "1")
    deadline = time.monotonic() + 200
    while not scorings(bench):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    before = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=120)
    assert (process.returncode, "interrupted: 9 cells" in stderr) == (130, True), stderr
    assert time.monotonic() - before < 60, "the scoring takes ten minutes"


def test_a_finished_cell_is_on_disk_at_once_and_a_kill_loses_what_is_in_flight_at_most(bench, monkeypatch):
    monkeypatch.setenv("ODD_SECONDS", "1")
    process = bench.start("run", "sliced", "--jobs", "2")
    results, deadline = bench.folder / "results", time.monotonic() + 200
    while len(kept := cells(results)) < 3:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    finished = len(list((bench.folder / "cache" / "cell").rglob("meta.json")))
    while len(kept := cells(results)) < finished:  # those that end fast after each other are written together
        assert time.monotonic() < deadline, "finished cells wait for their records"
        time.sleep(0.05)
    process.kill()
    process.communicate(timeout=60)
    after = records(results)
    assert {*kept} <= {*after}
    monkeypatch.setenv("ODD_SECONDS", "0")
    rest = run(bench, "--cache", "elsewhere")
    assert rest.returncode == 0, rest.stderr
    found = records(results)
    assert {place: found[place] for place in after} == after
    assert len(cells(results)) == 12


@pytest.mark.parametrize("full", ["results", "cache"])
def test_a_full_disk_loses_what_is_in_flight_at_most_and_leaves_no_half_file(bench, monkeypatch, full):
    """The disk is full from the fourth record, or the fourth training, on."""
    from prunebench import records as records_module

    owner, name = (records_module, "write_synced") if full == "results" else (Path, "write_bytes")
    original, seen, results = getattr(owner, name), list[Path](), bench.folder / "results"
    written = dict[tuple, object]()

    def write(path: Path, data: bytes) -> None:
        if path.parent.parent.name == "sliced" if full == "results" else b'"accuracy_best"' in data:
            seen.append(path)  # a cell has two artefacts, its training and itself, and is one write of records
        if len(seen) > (3 if full == "results" else 6):
            written.update(records(results))  # more than three, where cells that end at once are written together
            with path.open("wb") as file:
                file.write(data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        original(path, data)

    monkeypatch.setattr(owner, name, write)
    done = run(bench)
    assert done.returncode == 5, done.stderr
    assert "the disk is full" in done.stderr
    assert "Traceback" not in done.stderr
    monkeypatch.undo()
    kept = records(results)
    assert written.items() <= kept.items()
    assert len(kept) == len(written) >= 3 if full == "results" else len(cells(results)) == 3
    assert [path for path in results.rglob(".*") if path.suffix != ".lock"] == []
    assert list((bench.folder / "cache" / "tmp").iterdir()) == []
    rest = run(bench)
    assert rest.returncode == 0, rest.stderr
    found = records(results)
    assert {place: found[place] for place in kept} == kept
    assert len(cells(results)) == 12
    assert scorings(bench) == 3


# ------------------------------------------------------------------------------------------ slices of two machines


@pytest.fixture(scope="module")
def machines(tmp_path_factory):
    """Two machines with caches of their own: A has the budget 0.1, B has 0.2 and two cells of 0.1 as well."""
    from conftest import Sandbox

    both = []
    for name, parts in {"a": [("0.1", "3")], "b": [("0.2", "3"), ("0.1", "1")]}.items():
        bench = Sandbox(tmp_path_factory.mktemp(name))
        bench.register(NUMPY_DIGITS + SUITE)
        bench.install("odd-one", ODD)
        for keep, seeds in parts:
            done = run(bench, "--keep", keep, "--seeds", seeds)
            assert done.returncode == 0, done.stderr
        both.append(bench)
    return both


@pytest.fixture
def merging(machines, tmp_path):
    """Return a copy of the results of A, those of B, and what merges the latter into the former."""
    a, b = machines
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    shutil.copytree(a.folder / "results", ours)
    shutil.copytree(b.folder / "results", theirs)
    return ours, theirs, lambda: a.call("validate", str(theirs), "--into", str(ours))


def test_slices_of_two_machines_add_up_and_nothing_is_left_to_compute(machines, merging):
    ours, theirs, merge = merging
    first = records(ours)
    done = merge()
    assert done.returncode == 0, done.stderr
    found = records(ours)
    assert len(cells(ours)) == 12
    assert {place: found[place] for place in first} == first, "the first record of a cell stays"
    assert set(found) == set(first) | set(records(theirs))
    shared = len(set(first) & set(records(theirs)))
    assert shared >= 2
    assert f"{len(found) - len(first)} records are new in {ours}, {shared} were there" in done.stdout
    assert merge().stdout.startswith("0 records are new")
    a, _ = machines
    again = a.call("run", "sliced", "--executor", "serial", "--results", str(ours), "--cache", str(ours / "none"))
    assert "12 cells: 12 already done, 0 computed now" in again.stderr


def change(results: Path, **fields) -> None:
    file = results / "sliced" / "digits" / "random.jsonl"
    first, *rest = [record for record in read_results(results) if record.method == "random" and record.keep == "0.1"]
    write_records(file, sorted([replace(first, **fields), *rest], key=lambda record: (record.key, record.place)))


def test_options_that_a_merge_does_not_heed_are_refused(machines, merging):
    ours, theirs, _ = merging
    done = machines[0].call("validate", str(theirs), "--into", str(ours), "--summary", "told.md")
    assert done.returncode == 2
    assert "leave out --base and --summary" in done.stderr


@pytest.mark.parametrize(
    ("fields", "words", "code"),
    [({"accuracy": 0.01}, "is a repeat of key", 6), ({"key": "0" * 32}, "other code or data made it", 6),
     ({"protocol": "another"}, "protocol 'another'", 4), ({"keep": "0.4"}, "is not of suite 'sliced'", 4)],
)  # fmt: skip
def test_a_slice_with_a_fault_is_refused_as_a_whole(merging, fields, words, code):
    ours, theirs, merge = merging
    change(theirs, **fields)
    before = records(ours)
    done = merge()
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert records(ours) == before


def test_a_failure_in_a_slice_never_takes_the_place_of_a_result(merging):
    ours, theirs, merge = merging
    change(theirs, status="failed", accuracy=None, status_reason="bad day")
    before = records(ours)
    assert merge().returncode == 0
    found = records(ours)
    assert {place: found[place] for place in before} == before
