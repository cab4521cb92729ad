"""The conformance kit itself: how it runs, what it reports, and what it says of the bundled plugins."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from broken_entries import GOOD, SLOW, scorer
from prunebench import ScorerSpec
from prunebench.errors import UsageError
from prunebench.plugins import KINDS, load_plugins
from prunebench.registry import expected_failures, load_registry
from prunebench.testing import (
    CheckFailed,
    Examiner,
    assert_conformant,
    checks_for,
    examine,
    with_defaults,
)
from prunebench.wire import from_json, to_json


@pytest.mark.parametrize("kind", [spec.kind for spec in KINDS.values()])
def test_every_kind_has_checks_and_each_states_its_promise_in_one_sentence(kind):
    checks = checks_for(kind)
    assert len(checks) >= {"executor": 2, "metric": 3}.get(kind, 7)
    assert len({check.name for check in checks}) == len(checks)
    for check in checks:
        assert check.name.startswith("check_")
        assert check.promise.endswith(".")


def test_a_plugin_that_hangs_is_stopped_and_the_next_one_is_checked():
    with Examiner(seconds=1.5) as impatient:
        results = list(examine(scorer("hangs"), examiner=impatient))
        after = list(examine(scorer("centred", name="fine"), ["check_run_ends_normally"], examiner=impatient))
    bad = [result for result in results if result.is_bad]
    assert [result.check for result in bad] == ["check_run_ends_normally"]
    assert "1.5 seconds" in bad[0].reason
    later = [result for result in results if result.status == "not_run"]
    assert {result.reason for result in later} == {"check_run_ends_normally failed"}
    assert len(later) > 12
    assert [result.status for result in after] == ["passed"]


def test_an_expected_failure_is_strict():
    form, another = "check_result_has_the_promised_form", "check_names_of_labels_do_not_matter"
    expected = {"check_declaration_is_complete": "a guess", form: "a reason", another: "not there"}
    with Examiner(in_process=True) as own:
        found = {r.check: r for r in examine(scorer("returns_nan"), list(expected), expected, own)}
    assert [found[name].status for name in expected] == ["unexpected_pass", "expected_fail", "not_applicable"]
    assert found[form].reason.startswith("a reason (")
    with pytest.raises(CheckFailed, match=r"check_declaration_is_complete.*and it passes"):
        assert_conformant(list(found.values()))


def test_a_check_that_does_not_exist_is_answered_with_the_nearest_one():
    with pytest.raises(UsageError) as caught:
        list(examine(scorer("centred"), ["check_nan_is_refuse"]))
    assert caught.value.hint == "did you mean 'check_nan_is_refused'?"
    with pytest.raises(UsageError, match="check_nonsense"):
        list(examine(scorer("centred"), expected_failures={"check_nonsense": "x"}))


def test_silence_is_not_conformance():
    with pytest.raises(CheckFailed, match="0 of 0 checks ran, expected at least 1"):
        assert_conformant([])


def test_a_method_that_declines_the_evidence_is_neither_good_nor_bad(tmp_path, monkeypatch):
    source = "from prunebench import NotApplicable\ndef score(ctx):\n    raise NotApplicable('needs video')\n"
    (tmp_path / "declines.py").write_text(source, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    spec = ScorerSpec(name="odd", summary="A test.", load="declines:score")
    results = list(examine(spec, examiner=Examiner(in_process=True)))
    assert {result.reason for result in results if result.status == "not_applicable"} >= {"needs video"}
    assert not any(result.is_bad for result in results)
    with pytest.raises(CheckFailed, match="expected at least 10"):
        assert_conformant(results, min_run=10)


def test_every_entry_survives_the_way_to_another_process():
    entries = [entry for by_name in load_plugins().entries.values() for entry in by_name.values()]
    assert {entry.spec.kind for entry in entries} >= {"scorer", "backbone", "executor"}
    for entry in [*entries, *GOOD.values()]:
        assert from_json(json.loads(json.dumps(to_json(entry)))) == entry


def test_other_defaults_are_checked_like_given_parameters():
    entry = load_plugins().scorer("knn-density")
    assert with_defaults(entry, {"k": 3}).spec.resolve_params({})["k"] == 3
    with pytest.raises(UsageError, match="expected at least 1"):
        with_defaults(entry, {"k": 0})


# Smaller defaults where a run takes seconds; what is checked does not depend on them.
SMALLER: dict[str, dict[str, Any]] = {
    "scorer-echo": {"encoder_epochs": 10},
    "scorer-ripsnet": {"train_clouds": 32, "gate_samples": 8, "repeats": 2, "max_epochs": 2},
    "scorer-ripsnet-exact": {"repeats": 2},
    "scorer-zcore": {"draws": 2000},
    "learner-deepcore": {"iterations": 20},
    "learner-echo": {"iterations": 20},
}
THOROUGH = {
    "topocore",
    "topocore-persistence",
    "deepcore",
    "ripsnet",
    "echo",
    "elfs",
    "stable-topocore",
    "tsne",
    "umap",
    "ray",
}  # take long
LISTINGS = load_registry(Path(__file__).resolve().parent.parent / "registry.toml").plugins
BUNDLED = [
    entry
    for by_name in load_plugins().entries.values()
    for entry in by_name.values()
    if entry.origin.distribution == "prunebench"
]


def one_of_each_family() -> Iterator[Any]:
    """Yield every bundled plugin; those that have a sibling of their kind and package are for the thorough tests."""
    seen = set()
    # Those that are quick come first.
    for entry in sorted(
        BUNDLED, key=lambda entry: (entry.spec.name in THOROUGH, entry.origin.entry_point, entry.spec.name)
    ):
        family = (entry.spec.kind, entry.origin.entry_point)
        is_quick = family not in seen and entry.spec.name not in THOROUGH
        seen.add(family)
        marks = () if is_quick else pytest.mark.thorough
        yield pytest.param(entry, marks=marks, id=f"{entry.spec.kind}-{entry.spec.name}")


def test_there_are_bundled_plugins_of_every_kind():
    assert {entry.spec.kind for entry in BUNDLED} == {spec.kind for spec in KINDS.values()}


@pytest.fixture(scope="module")
def examiner() -> Iterator[Examiner]:
    with Examiner(in_process=True) as made:
        yield made


@pytest.mark.parametrize("entry", list(one_of_each_family()))
def test_a_bundled_plugin_keeps_its_promises(entry, examiner):
    names = [check.name for check in checks_for(entry.spec.kind) if check.name not in SLOW]
    smaller = with_defaults(entry, SMALLER.get(f"{entry.spec.kind}-{entry.spec.name}", {}))
    expected = {name: why for name, why in expected_failures(LISTINGS, entry).items() if name in names}
    found = list(examine(smaller, names, expected, examiner))
    least = {"scorer": 9, "executor": 2, "metric": 3, "dataset": 1}.get(entry.spec.kind, 7)
    # Of the data sets only the files of digits are always there, and of the executors SLURM is not, whose checks
    # test_cluster_executors.py runs on commands that run jobs; what is not there is declared well.
    least = {"digits": 4, "slurm": 1}.get(entry.spec.name, least)
    assert_conformant(found, min_run=least)


TEST_FILE = """
from prunebench import ScorerSpec
from prunebench.testing import parametrize_with_checks

SPECS = [ScorerSpec(name=name, summary="A test.", load=f"broken_scorers:{name}", needs=frozenset({"features"}))
         for name in ("centred", "seeds_numpy", "returns_nan")]

@parametrize_with_checks(
    SPECS,
    checks=["check_result_has_the_promised_form", "check_budget_matters_where_it_is_declared",
            "check_same_seed_gives_the_same_result"],
    expected_failures={"returns_nan": {"check_result_has_the_promised_form": "why not"}},
)
def test_promises(entry, check):
    check(entry)
"""


def test_the_checks_are_tests_of_a_plugin(tmp_path):
    (tmp_path / "test_mine.py").write_text(TEST_FILE, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-rA", "-p", "no:cacheprovider", "test_mine.py"]
    path = {"PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, **path}, capture_output=True, text=True, check=False
    )
    form, state = "check_result_has_the_promised_form", "check_same_seed_gives_the_same_result"
    assert f"PASSED test_mine.py::test_promises[scorer:centred-{form}]" in done.stdout
    assert f"FAILED test_mine.py::test_promises[scorer:seeds_numpy-{state}]" in done.stdout
    assert f"XFAIL test_mine.py::test_promises[scorer:returns_nan-{form}]" in done.stdout
    assert f"scorer 'seeds_numpy': {state}: failed: it changes the generator of numpy.random" in done.stdout
    summary = "1 expected to fail, 1 failed, 3 not run or not applicable, 4 passed"
    assert f"prunebench conformance: {summary}" in done.stdout
    assert done.returncode == 1
