"""What a person types in Python: prune, lists of names, methods by name, suites and their records."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading

import numpy as np
import pandas as pd
import pytest

import prunebench
from prunebench.errors import DataError, UsageError
from prunebench.pictures import printable, printable_ids
from prunebench.plugins import load_plugins
from prunebench.records import encode
from prunebench.run import Interruption
from registries import NUMPY_DIGITS, TRAINING

TINY = (
    NUMPY_DIGITS
    + """
[suite.tiny]
dataset = "digits"
methods = ["random", "moderate"]
baseline = "random"
unpruned = "full"
backbones = ["untrained"]
pruning_rates = ["0.9"]
seeds = 2
"""
    + TRAINING
)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def features():
    return np.random.default_rng(0).normal(size=(60, 8)).astype(np.float32), np.arange(60) % 3


def test_importing_prunebench_imports_nothing_heavy_until_a_name_needs_it():
    script = (
        "import sys, prunebench;"
        "heavy = {'torch', 'pandas', 'sklearn', 'numba', 'scipy'};"
        "print(sorted(heavy & set(sys.modules)));"
        "assert set(prunebench.__all__) <= set(dir(prunebench));"
        "assert not hasattr(prunebench, 'no_such_name');"
        "prunebench.scorers();"
        "print(sorted(heavy & set(sys.modules)));"
        "prunebench.Subset;"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:3] == ["[]", "[]", "True"]


def test_every_public_name_is_there():
    for name in prunebench.__all__:
        assert getattr(prunebench, name) is not None


@pytest.mark.parametrize("kind", ["scorers", "selectors", "projectors", "datasets", "backbones", "learners", "metrics"])
def test_names_of_each_kind_are_listed_as_installed(kind):
    assert getattr(prunebench, kind)() == sorted(load_plugins().entries[kind])


def test_names_pass_globs_as_in_timm():
    every = prunebench.scorers()
    assert prunebench.scorers("*core*") == [name for name in every if "core" in name] != []
    assert prunebench.scorers(["random", "el2n"]) == ["el2n", "random"]
    assert prunebench.scorers("r*", exclude=["random", "ri*"]) == [
        name for name in every if name[0] == "r" and name != "random" and not name.startswith("ri")
    ]
    assert prunebench.scorers("no such*") == []
    assert set(every) <= set(prunebench.methods())


def test_what_the_registry_names_is_listed(tmp_path, monkeypatch):
    (tmp_path / "registry.toml").write_text(TINY, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert prunebench.suites() == ["tiny"]
    assert prunebench.networks() == ["untrained"]


def test_a_method_is_built_in_one_line_and_prunes(cache, features):
    x, y = features
    method = prunebench.create_method("moderate", seed=4)
    found = prunebench.prune(x, y, 12, method=method, cache=cache, prove=False)
    assert found.manifest["method"]["scorer"]["name"] == "moderate"
    assert found.manifest["method"]["seed"] == 4
    same = prunebench.prune(x, y, 12, scorer="moderate", seed=4, cache=cache, prove=False)
    assert found.indices.tolist() == same.indices.tolist()
    named = prunebench.prune(x, y, 12, method="moderate", cache=cache, prove=False)
    assert named.manifest["method"]["scorer"] == found.manifest["method"]["scorer"]


@pytest.mark.parametrize("odd", ["\ud800", "\0", "a\u2028b", "=1+1", "<b>"])
def test_any_text_is_an_id_and_a_class_and_the_folder_holds_it_in_utf_8(cache, features, tmp_path, odd):
    x, y = features
    ids = [f"{odd}{row}" for row in range(len(x))]
    found = prunebench.prune(
        x, [odd if label % 2 else "b" for label in y], 12, ids=ids, method="moderate", cache=cache, prove=False
    )
    found.save(tmp_path / "kept")
    ledger = pd.read_csv(tmp_path / "kept" / "ledger.csv", dtype=str, keep_default_na=False)
    assert ledger["id"].tolist() == list(printable_ids(ids))
    assert set(ledger["class"]) == {printable(odd), "b"}


def test_a_method_with_a_wrong_name_or_parameter_is_refused_at_once(features):
    with pytest.raises(UsageError, match="no scorer is named 'moderat'"):
        prunebench.create_method("moderat")
    with pytest.raises(UsageError, match="has no parameter 'no_such'"):
        prunebench.create_method("moderate", no_such=3)
    method = prunebench.create_method("moderate")
    for more in ({"scorer": "random"}, {"seed": 3}, {"params": {"k": 1}}, {"projector": "pca"}):
        with pytest.raises(UsageError, match="method says the scorer"):
            prunebench.prune(*features, method=method, **more)


def test_what_is_kept_comes_as_indices_ids_scores_and_ledger(cache, features):
    x, y = features
    found = prunebench.prune(
        x, y, ["0.2", 6], scorer="moderate", ids=[f"s{row}" for row in range(60)], cache=cache, prove=False
    )
    assert found.ids == [f"s{row}" for row in found.indices]
    assert found.ledger["position"].tolist() == list(range(60))
    assert found.ledger["score"].tolist() == found.scores.tolist()
    assert set(found.at(6)) <= set(found.indices)
    assert np.bincount(y[found.indices]).tolist() == [4, 4, 4]


def test_the_order_of_the_samples_does_not_matter_where_they_have_ids(cache, features):
    x, y = features
    x, y, ids = np.concatenate([x, x[:9]]), np.concatenate([y, y[:9]]), [f"sample {i}" for i in range(69)]
    shuffle = np.random.default_rng(1).permutation(69)
    options = {"keep": 20, "scorer": "moderate", "drop_duplicates": 0.99, "cache": cache, "prove": False}
    one = prunebench.prune(x, y, ids=ids, **options)
    two = prunebench.prune(x[shuffle], y[shuffle], ids=[ids[i] for i in shuffle], **options)
    assert sorted(one.ids) == sorted(two.ids)
    columns = ["score", "kept", "reason", "copy_of", "kept_neighbour", "suspected_class"]
    first, second = (found.ledger.set_index("id").sort_index()[columns] for found in (one, two))
    assert (first["copy_of"] != "").sum() == 9
    pd.testing.assert_frame_equal(first, second, rtol=1e-6)


def test_a_suite_runs_from_python_as_from_the_command_line(sandbox):
    sandbox.register(TINY)
    told = []
    with sandbox.entered():
        first = prunebench.run_suite(
            "tiny", scorer="random", seeds=1, executor="serial", progress=lambda fraction, text: told.append(fraction)
        )
        assert (first.report.computed, first.report.failures) == (1, [])
        assert max(told) == 1
        assert first.board.is_file()
        again = prunebench.run_suite("tiny", keep=0.1, seeds=1, executor="serial", results="results", cache="cache")
        assert (again.report.done_before, again.report.computed) == (1, 2)
        records = prunebench.load_results("results")
        frame = prunebench.load_results("results", "tiny", as_frame=True)
        planned = sandbox.call("plan", "tiny", "--keep", "0.1", "--seeds", "1", "--json")
    assert sorted(map(encode, records)) == sorted(map(encode, again.records))
    assert len(frame) == 3
    assert frame["key"].tolist() == [record.key for record in records]
    assert frame["accuracy"].tolist() == [record.accuracy for record in records]
    assert frame.groupby("method")["keep"].mean().to_dict() == {"full": 1.0, "moderate": 0.1, "random": 0.1}
    assert again.frame.columns.tolist() == frame.columns.tolist()
    assert planned.stdout.count('"state": "done"') == 3


def test_a_run_beside_the_main_thread_leaves_signals_alone():
    entered = []

    def work() -> None:
        with Interruption(1).on_signals(print):
            entered.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert entered == [signal.getsignal(signal.SIGINT)]


def test_wrong_names_of_a_suite_and_of_results_are_refused(sandbox):
    sandbox.register(TINY)
    with sandbox.entered():
        for given in ({"suite": "tyny"}, {"suite": "tiny", "scorer": "x"}, {"suite": "tiny", "executor": "serail"}):
            with pytest.raises(UsageError):
                prunebench.run_suite(**given)
        with pytest.raises(DataError, match="no folder of results is at nowhere"):
            prunebench.load_results("nowhere")


def test_an_empty_folder_of_results_is_a_frame_with_the_same_columns(tmp_path):
    frame = prunebench.load_results(tmp_path, as_frame=True)
    assert frame.empty
    assert {"kind", "method", "keep", "accuracy", "within_class_spearman"} <= set(frame.columns)
