"""Methods that learn labels of their own: labelled, trained on and scored."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from prunebench.stages.heads import matched_accuracy
from prunebench.stages.score import label_problem

REGISTRY = """
schema = 1
protocol = "test"

[dataset.digits]

[backbone.untrained]
timm = "test_resnet"
image_size = 16
weights = "random"

[arch.native]
timm = "test_resnet"

[recipe.short]
learner = "deepcore"
params = { epochs = 2, batch_size = 64, learning_rate = 0.05 }

[recipe.probe]
learner = "probe"

[suite.labelled]
dataset = "digits"
methods = ["random", "doubtful", "aum"]
baseline = "random"
backbones = ["untrained"]
pruning_rates = ["0.9", "0.8"]
seeds = 2
proxy = { arch = "native", recipe = "short" }
training = [{ arch = "untrained", recipe = "probe" }]
"""

PLUGIN = """
from prunebench import ScorerSpec, hookimpl

@hookimpl
def prunebench_scorers():
    return [ScorerSpec(
        name="doubtful", summary="A test.", load="doubtful:score", labeller="doubtful:label", stochastic=True,
        needs=frozenset({"features", "pseudo_labels", "dynamics"}),
    )]

def label(ctx):
    import numpy as np
    split = (ctx.features - ctx.features.mean(axis=0)) @ ctx.rng.normal(size=(ctx.features.shape[1], 3))
    return LABELS

def score(ctx):
    import numpy as np
    own = ctx.dynamics[:, np.arange(ctx.n), ctx.pseudo_labels].astype(np.float64)
    return 1 - own.mean(axis=0)
"""


@pytest.fixture
def bench(sandbox):
    (sandbox.folder / "registry.toml").write_text(REGISTRY, encoding="utf-8")
    sandbox.install("doubtful", PLUGIN.replace("LABELS", "split.argmax(axis=1)"))
    return sandbox


def records(folder):
    files = sorted((folder / "results" / "labelled").rglob("*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def arrays(folder, stage, file="data"):
    return {path.parent.name: load_file(path) for path in (folder / "cache" / stage).rglob(f"{file}.safetensors")}


def test_the_proxy_learns_the_pseudo_labels_and_the_scores_come_from_that_run(bench):
    done = bench.call("run", "labelled", "--executor", "serial")
    assert done.returncode == 0, done.stderr
    found = [r for r in records(bench.folder) if r["method"] == "doubtful" and r["kind"] == "cell"]
    assert len(found) == 4
    assert {r["status"] for r in found} == {"ok"}
    facts = {(r["diagnostics"]["pseudo_classes"], r["diagnostics"]["pseudo_label_accuracy"]) for r in found}
    assert {classes for classes, _ in facts} == {3}
    assert all(0.1 < accuracy < 0.4 for _, accuracy in facts)  # three clusters can match three of ten digits
    labelling, scoring = (
        [json.loads(path.read_text()) for path in (bench.folder / "cache" / stage).rglob("meta.json")]
        for stage in ("pseudo_labels", "scores")
    )
    seconds = [(meta["seconds_labels"], meta["seconds"]) for meta in scoring if meta["seconds_labels"]]
    assert sorted(labels for labels, _ in seconds) == sorted(meta["seconds"] for meta in labelling)
    assert {r["seconds_score"] for r in found} == {round(sum(both), 3) for both in seconds}
    labels = [a["pseudo_labels"] for a in arrays(bench.folder, "pseudo_labels").values()]
    assert len(labels) == 2  # of two seeds, whatever the budget
    dynamics = arrays(bench.folder, "pretrain", "dynamics")
    assert sorted(a["dynamics"].shape[2] for a in dynamics.values()) == [3, 3, 10]  # and one that learnt the labels
    learnt = [a["dynamics"] for a in dynamics.values() if a["dynamics"].shape[2] == 3]
    expected = [1 - d[:, np.arange(len(y)), y].astype(np.float64).mean(axis=0) for d in learnt for y in labels]
    scores = [a["scores"] for a in arrays(bench.folder, "scores").values()]
    assert sum(any(np.array_equal(s, e) for e in expected) for s in scores) == 2
    belief = [[d[-1][np.arange(len(y)), y].mean(dtype=float) for y in labels] for d in learnt]
    assert sorted(np.argmax(belief, axis=1)) == [0, 1]  # each run learnt the labels of one seed

    again = bench.call("run", "labelled", "--executor", "serial")
    assert again.returncode == 0, again.stderr
    assert "0 computed now" in again.stderr


def test_a_labeller_that_breaks_its_promise_fails_alone_and_by_name(bench):
    bench.install("doubtful", PLUGIN.replace("LABELS", "split.argmax(axis=1) - 1"), version="2.0")
    done = bench.call("run", "labelled", "--executor", "serial", "--seeds", "1", "--keep", "0.1")
    assert done.returncode != 0
    by_method = {r["method"]: r for r in records(bench.folder) if r["kind"] == "cell"}
    assert by_method["doubtful"]["status"] == "failed"
    reason = by_method["doubtful"]["status_reason"]
    assert "scorer 'doubtful': expected pseudo-labels int64 [1438] in 0..1437, got labels in -1..1" in reason
    assert by_method["random"]["status"] == by_method["aum"]["status"] == "ok"


def test_what_is_no_pseudo_label_is_told():
    assert label_problem(np.array([0, 2, 2]), 3) == ""
    assert label_problem([0, 1], 2) == "list"
    assert label_problem(np.array([0.0, 1.0]), 2) == "float64 [2]"
    assert label_problem(np.array([0, 1]), 3) == "int64 [2]"
    assert label_problem(np.array([0, 3, 1]), 3) == "labels in 0..3"


@settings(deadline=None)
@given(st.permutations(range(4)), st.lists(st.integers(0, 3), min_size=1, max_size=30), st.integers(0, 2**32 - 1))
def test_the_matched_accuracy_is_that_of_the_best_renaming(names, labels, seed):
    true = np.array(labels)
    assert matched_accuracy(np.array(names)[true], true) == 1.0
    found = np.random.default_rng(seed).integers(0, 3, len(true))
    best = max((np.array(renamed)[found] == true).mean() for renamed in itertools.permutations(range(4)))
    assert matched_accuracy(found, true) == pytest.approx(best)
