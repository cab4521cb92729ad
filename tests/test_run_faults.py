"""Methods that fail, decline or do what is unusual, in runs that go on."""

from __future__ import annotations

import json

import pytest

from conftest import Sandbox
from prunebench.results import blame
from prunebench.tasks import Task
from registries import HEAD, NUMPY_DIGITS, TRAINING
from suite_runs import REGISTRY, records, serially


@pytest.fixture
def bench(sandbox):
    sandbox.register(REGISTRY)
    return sandbox


FAULTS = {
    "raises": ("raise ValueError('bad day')", "scorer 'raises': ValueError: bad day"),
    "segfaults": ("import ctypes; ctypes.string_at(0)", "killed by SIGSEGV"),
    "calls sys.exit": ("import sys; sys.exit(3)", "ended with exit code 3"),
    "is killed": ("os.kill(os.getpid(), 9)", "killed by SIGKILL"),
    "returns the wrong length": ("return np.zeros(3)", "expected scores float64 [1438], got float64 [3]"),
    "returns not a number": ("return np.full(ctx.n, np.nan)", "got 1438 of 1438 that are not finite"),
    "trains on more than its budget in silence": (
        "from prunebench import Scores; return Scores(values=np.zeros(ctx.n), extra=np.ones(ctx.n, dtype=bool))",
        "expected a caveat that says how many images are used beyond the budget",
    ),
    "reads what it did not declare": ("ctx.features", "did not declare"),
    "writes to its input": ("ctx.labels[:] = 0", "did not declare"),
    "reports an array": (
        "from prunebench import Scores; return Scores(values=np.zeros(ctx.n), diagnostics={'shares': np.ones(3)})",
        "scorer 'reports-an-array': expected diagnostics that are numbers",
    ),
    "reports a list without names": (
        "from prunebench import Scores; return Scores(values=np.zeros(ctx.n), diagnostics=[1, 2])",
        "scorer 'reports-a-list-without-names': expected diagnostics that are numbers",
    ),
    "reports more than a record can hold": (
        "from prunebench import Scores; return Scores(values=np.zeros(ctx.n), diagnostics={'a': 'x' * 500_000})",
        "expected diagnostics of at most 100,000 bytes, got 500,009",
    ),
}


def fault_name(fault: str) -> str:
    return fault.replace(" ", "-").replace(".", "-")


FAULTY = f"""
[suite.faults]
dataset = "digits"
baseline = "random"
pruning_rates = ["0.9"]
seeds = 1
methods = {["random", *map(fault_name, FAULTS)]}
{TRAINING}"""


def plugin_of(bodies: dict[str, str]) -> str:
    """Return a distribution with a scorer for each body of a function."""
    lines = ["import os, time", "import numpy as np", "from prunebench import ScorerSpec, hookimpl", "SCORERS = []"]
    for number, (name, body) in enumerate(bodies.items()):
        spec = f"ScorerSpec(name={name!r}, summary='A test.', load='odd_one:score_{number}')"
        lines += [f"SCORERS.append({spec})", f"def score_{number}(ctx):", f"    {body}", "    return np.zeros(ctx.n)"]
    return "\n".join([*lines, "@hookimpl", "def prunebench_scorers():", "    return SCORERS", ""])


@pytest.fixture(scope="module")
def faulty_run(tmp_path_factory):
    """One run of a sound method and of a method a fault: the folder, and what the command said."""
    bench = Sandbox(tmp_path_factory.mktemp("faults"))
    bench.register(REGISTRY + FAULTY)
    bench.install("odd-one", plugin_of({fault_name(fault): body for fault, (body, _) in FAULTS.items()}), "0.7")
    return bench, bench.run("run", "faults")


@pytest.mark.parametrize("fault", FAULTS)
def test_a_scorer_that(fault, faulty_run):
    bench, done = faulty_run
    words = FAULTS[fault][1]
    (record,) = [r for r in records(bench.folder, "faults") if r["method"] == fault_name(fault)]
    assert (record["kind"], record["status"]) == ("cell", "failed")
    assert words in record["status_reason"]
    assert record["scorer_dist"] == "odd-one 0.7"
    assert words in done.stderr
    assert words in (bench.folder / "results" / "faults" / "board" / "leaderboard.md").read_text(encoding="utf-8")


def test_the_faults_of_others_leave_a_sound_method_alone(faulty_run):
    bench, done = faulty_run
    assert {r["status"] for r in records(bench.folder, "faults") if r["method"] in ("random", "full")} == {"ok"}
    assert done.returncode in (1, 3)
    assert "Traceback" not in done.stderr


def test_a_selector_that_returns_unsorted_indices_fails_alone_and_by_name(bench):
    bench.install(
        "best-first",
        "from prunebench import SelectorSpec, hookimpl\n"
        "@hookimpl\ndef prunebench_selectors():\n"
        "    return [SelectorSpec(name='best-first', summary='A test.', load='best_first:select')]\n"
        "def select(ctx):\n    return ctx.order[: ctx.n_keep]\n",
        "0.7",
    )
    tables = '[method.unsorted]\nscorer = "moderate"\nselector = "best-first"\n' + REGISTRY
    bench.register(HEAD + tables.removeprefix(HEAD).replace(HEAD, ""))
    done = serially(bench, "tiny", "--with", "unsorted", "--seeds", "1")
    found = {r["method"]: r for r in records(bench.folder, "tiny") if r["kind"] == "cell"}
    assert {name: r["status"] for name, r in found.items()} == {
        "random": "ok", "moderate": "ok", "full": "ok", "unsorted": "failed",
    }  # fmt: skip
    assert "best-first 0.7" in found["unsorted"]["status_reason"]
    assert "144 distinct indices in 0..1437, sorted, got int64 [144]" in found["unsorted"]["status_reason"]
    assert done.returncode in (1, 3)


SCORERS = {
    "declines": "from prunebench import NotApplicable; raise NotApplicable('only for faces')",
    "tied": "return (np.arange(ctx.n) % 14 == 0).astype(float)",
    "numbers": "from prunebench import Scores; return Scores(values=np.zeros(ctx.n), diagnostics="
    "{'mean': np.float32(0.5), 'n': np.int64(3), 'gap': float('nan'), 'done': np.bool_(True)})",
    "sleeps": "time.sleep(0.3); from prunebench import Scores; return Scores(values=np.zeros(ctx.n), diagnostics="
    "{'seconds_since_import_began': time.perf_counter() - BEGAN})",
}
ODD_ONES = f"""
[suite.odd-ones]
dataset = "digits"
methods = {["random", *SCORERS]}
baseline = "random"
pruning_rates = ["0.9", "0.8"]
seeds = 1
"""


@pytest.fixture(scope="module")
def odd_run(tmp_path_factory):
    """One run of methods that do what is unusual and sound: the folder and the records by method and budget."""
    bench = Sandbox(tmp_path_factory.mktemp("odd"))
    bench.register(NUMPY_DIGITS + ODD_ONES + TRAINING)
    bench.install("odd-one", "import time; BEGAN = time.perf_counter(); time.sleep(1)\n" + plugin_of(SCORERS))
    done = serially(bench, "odd-ones")
    assert done.returncode == 0, done.stderr
    return bench, {(r["method"], r["keep"]): r for r in records(bench.folder, "odd-ones") if r["kind"] == "cell"}


def test_a_method_that_declines_is_a_skip_with_its_reason_and_not_a_failure(odd_run):
    bench, found = odd_run
    declined = [record for (method, _), record in found.items() if method == "declines"]
    assert [(r["status"], r["status_reason"]) for r in declined] == [("not_applicable", "only for faces")] * 2
    board = (bench.folder / "results" / "odd-ones" / "board" / "accuracy.csv").read_bytes()
    assert serially(bench, "odd-ones").returncode == 0
    assert len(list((bench.folder / "runs").iterdir())) == 1, "the second run tried again"
    assert (bench.folder / "results" / "odd-ones" / "board" / "accuracy.csv").read_bytes() == board


def test_a_subset_that_chance_decided_among_equal_scores_says_so(odd_run):
    _, found = odd_run
    # 103 samples have a score of 1: most of 144 kept, and fewer than half of 288
    assert {keep: r["caveat"] for (method, keep), r in found.items() if method == "tied"} == {
        "0.1": "",
        "0.2": "most of what is kept is drawn from equal scores",
    }
    assert {found["tied", keep]["ties_at_cut"] for keep in ("0.1", "0.2")} == {1438 - 103}
    assert {r["caveat"] for (method, _), r in found.items() if method == "random"} == {""}


def test_numbers_of_any_kind_are_diagnostics_and_not_a_number_is_none(odd_run):
    _, found = odd_run
    assert found["numbers", "0.1"]["diagnostics"] == {"mean": 0.5, "n": 3, "gap": None, "done": True}


def test_the_time_of_a_score_is_that_of_the_scoring_alone(odd_run):
    _, found = odd_run  # importing the plugin takes a second
    record = found["sleeps", "0.1"]
    assert 0.3 <= record["seconds_score"] < record["diagnostics"]["seconds_since_import_began"] - 0.5
    assert found["random", "0.1"]["seconds_score"] < record["seconds_score"]


def test_of_two_inputs_that_failed_the_first_in_the_plan_is_to_blame_whichever_failed_first():
    a, b = (Task("scores", {"name": name}) for name in "ab")
    pair = Task("agreement", {"name": "ab"}, {"a": a, "b": b})
    reasons = {a.key: "a has 96 dimensions", b.key: "b has 64 dimensions"}
    for first in (a, b):
        outcomes = {key: {"status": "not_applicable", "reason": reasons[key]} for key in (first.key, a.key, b.key)}
        outcomes[pair.key] = outcomes[first.key]
        assert blame(pair, outcomes)["status_reason"] == "a has 96 dimensions"


def test_an_observer_sees_every_cell_and_the_end_of_the_run(bench):
    bench.install(
        "watcher",
        "import msgspec\nfrom prunebench import hookimpl\n"
        "@hookimpl\ndef prunebench_cell_finished(record):\n"
        "    with open('seen.jsonl', 'a') as file: print(msgspec.json.encode(record).decode(), file=file)\n"
        "@hookimpl\ndef prunebench_run_finished(manifest):\n    raise RuntimeError('cannot upload')\n",
    )
    done = serially(bench, "tiny")
    assert done.returncode == 0, done.stderr
    seen = [json.loads(line) for line in (bench.folder / "seen.jsonl").read_text().splitlines()]
    assert len([record for record in seen if record["kind"] == "cell"]) == 6
    assert "cannot upload" in done.stderr


def test_a_cache_on_a_full_disk_is_answered(bench):
    done = bench.call("run", "tiny", "--cache", "/dev/full/cache")
    assert done.returncode == 5
    assert "--cache" in done.stderr
    assert "Traceback" not in done.stderr
