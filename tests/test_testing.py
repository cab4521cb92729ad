"""The conformance kit itself: how it runs, what it reports, and what it says of the bundled plugins."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from broken_entries import GOOD, SLOW, scorer
from prunebench import ScorerSpec
from prunebench.errors import UsageError
from prunebench.plugins import KINDS, Entry, Origin, load_plugins
from prunebench.registry import expected_failures, load_registry
from prunebench.testing import (
    CheckFailed,
    Examiner,
    assert_conformant,
    checks_for,
    examine,
    with_defaults,
)
from prunebench.testing.results import CheckResult, as_json, as_junit
from prunebench.wire import from_json, to_json


@pytest.mark.parametrize("kind", [spec.kind for spec in KINDS.values()])
def test_every_kind_has_checks_and_each_states_its_promise_in_one_sentence(kind):
    checks = checks_for(kind)
    assert len(checks) >= 8
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
    assert len(later) > 20
    assert [result.status for result in after] == ["passed"]


def install(folder: Path, name: str, source: str) -> None:
    module = name.replace("-", "_")
    metadata = folder / f"{module}-1.2.dist-info"
    metadata.mkdir(parents=True)
    (folder / f"{module}.py").write_text(source, encoding="utf-8")
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n", encoding="utf-8")
    (metadata / "entry_points.txt").write_text(f"[prunebench]\n{module} = {module}\n", encoding="utf-8")


def test_a_declaration_that_imports_numpy_is_found_in_a_fresh_interpreter(tmp_path, monkeypatch):
    install(tmp_path, "heavy-one", "import numpy\n")
    install(tmp_path, "light-one", "import json\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    check = "check_declaration_is_read_without_numerical_libraries"
    with Examiner() as own:
        for name, status in (("heavy", "failed"), ("light", "passed")):
            spec = scorer("centred").spec
            entry = Entry(spec, Origin(f"{name}_one", f"{name}-one", "1.2"))
            assert [result.status for result in examine(entry, [check], examiner=own)] == [status]


def test_an_expected_failure_is_strict():
    form, another = "check_result_has_the_promised_form", "check_names_of_labels_do_not_matter"
    expected = {"check_declaration_is_complete": "a guess", form: "a reason", another: "not there"}
    with Examiner() as own:
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
    results = list(examine(spec))
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
LISTINGS = load_registry(Path(__file__).resolve().parent.parent / "registry.toml").plugins
BUNDLED = [
    entry
    for by_name in load_plugins().entries.values()
    for entry in by_name.values()
    if entry.origin.distribution == "prunebench"
]


def test_there_are_bundled_plugins_of_every_kind_that_is_checked_below():
    kinds = {kind: sum(entry.spec.kind == kind for entry in BUNDLED) for kind in ("scorer", "projector", "selector",
             "dataset", "learner", "backbone", "executor")}  # fmt: skip
    assert all(kinds.values()), kinds


@pytest.fixture(scope="module")
def patient():
    with Examiner(seconds=240) as made:
        yield made


@pytest.mark.parametrize(
    "entry",
    sorted(BUNDLED, key=lambda entry: entry.origin.entry_point),
    ids=lambda entry: f"{entry.spec.kind}-{entry.spec.name}",
)
def test_a_bundled_plugin_keeps_its_promises(entry, patient):
    names = [check.name for check in checks_for(entry.spec.kind) if check.name not in SLOW]
    smaller = with_defaults(entry, SMALLER.get(f"{entry.spec.kind}-{entry.spec.name}", {}))
    expected = {name: why for name, why in expected_failures(LISTINGS, entry).items() if name in names}
    found = list(examine(smaller, names, expected, patient))
    # Of the data sets only the files of one are always there; the others are declared well and can be imported.
    has_files = entry.spec.kind != "dataset" or entry.spec.name == "digits"
    assert_conformant(found, min_run={"executor": 6, "metric": 6}.get(entry.spec.kind, 10) if has_files else 4)


def results() -> list[CheckResult]:
    shared = {"origin": Origin("odd_one", "odd-one", "1.2"), "kind": "scorer", "plugin": "odd"}
    return [
        CheckResult(**shared, check="check_a", status="passed", seconds=0.5, facts={"exponent": 1.5}),
        CheckResult(**shared, check="check_b", status="failed", reason="bad \x07 <thing>"),
        CheckResult(**shared, check="check_c", status="not_applicable", reason="nothing to see"),
    ]


def test_json_holds_counts_and_every_result():
    found = json.loads(as_json(results()))
    assert found["counts"]["failed"] == 1
    assert found["conformant"] is False
    assert found["results"][0]["facts"] == {"exponent": 1.5}
    assert found["results"][1]["version"] == "1.2"


def test_junit_is_xml_with_one_case_per_check():
    suite = ElementTree.fromstring(as_junit(results()))[0]
    assert suite.attrib == {
        "name": "odd-one 1.2: scorer odd", "tests": "3", "failures": "1", "skipped": "1", "time": "0.500",
    }  # fmt: skip
    assert [case.attrib["classname"] for case in suite] == ["odd_one.scorer.odd"] * 3
    assert "odd-one 1.2" in suite[1][0].attrib["message"]
    assert "<thing>" in suite[1][0].attrib["message"]


TEST_FILE = """
from prunebench import ScorerSpec
from prunebench.testing import parametrize_with_checks

SPECS = [ScorerSpec(name=name, summary="A test.", load=f"broken_scorers:{name}", needs=frozenset({"features"}))
         for name in ("centred", "seeds_numpy", "returns_nan")]

@parametrize_with_checks(
    SPECS,
    checks=["check_result_has_the_promised_form", "check_budget_matters_where_it_is_declared",
            "check_state_of_the_process_is_left_unchanged"],
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
    form, state = "check_result_has_the_promised_form", "check_state_of_the_process_is_left_unchanged"
    assert f"PASSED test_mine.py::test_promises[scorer:centred-{form}]" in done.stdout
    assert f"FAILED test_mine.py::test_promises[scorer:seeds_numpy-{state}]" in done.stdout
    assert f"XFAIL test_mine.py::test_promises[scorer:returns_nan-{form}]" in done.stdout
    assert f"scorer 'seeds_numpy': {state}: failed: it changes the generator of numpy.random" in done.stdout
    summary = "1 expected to fail, 1 failed, 3 not run or not applicable, 4 passed"
    assert f"prunebench conformance: {summary}" in done.stdout
    assert done.returncode == 1
