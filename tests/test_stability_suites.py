"""A study of stability from the user's side: noise, what is kept, distributions, and what densities leave."""

from __future__ import annotations

import csv
import itertools
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import scipy.stats
from numpy.typing import NDArray

from conftest import Sandbox
from prunebench.errors import UsageError
from prunebench.plan import Filters, Plan, make_plan
from prunebench.planner import Contents
from prunebench.plugins import load_plugins
from prunebench.registry import load_registry
from prunebench.stages.embed import noisy_features
from prunebench.store import Artefact, Store
from prunebench.tasks import Task
from registries import HEAD

NETWORKS = """
[dataset.few]
spec = "digits"
train_per_class = 20
test_per_class = 4
[backbone.net]
timm = "test_resnet"
image_size = 16
weights = "random"
head = "fitted"
[backbone.other]
timm = "test_resnet"
image_size = 16
weights = "random"
[backbone.void]
timm = "test_resnet"
image_size = 16
weights = "random"
control = true
[recipe.probe]
learner = "probe"
[method.near-3]
scorer = "knn-density"
params = { k = 3 }
"""
SUITE = """
[suite.study]
dataset = "few"
methods = ["random", "moderate"]
backbones = ["net", "other"]
keep = ["0.2"]
seeds = 2
training = [{ arch = "net", recipe = "probe" }]
[suite.study.agreement]
backbones = ["net", "other", "void"]
"""
NOISE = 'seeds = 2\nnoise = ["0.5", 2]\n'
ASKED = 'measures = ["overlap", "distributions"]\ngiven = ["near-3", "knn-density"]\n'
STUDY = SUITE.replace("seeds = 2\n", NOISE) + ASKED


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[Sandbox, str, list[dict[str, Any]]]:
    """The study, computed once: the folder, what the command said, and the records."""
    bench = Sandbox(tmp_path_factory.mktemp("study"))
    (bench.folder / "registry.toml").write_text(HEAD + NETWORKS + STUDY, encoding="utf-8")
    done = bench.call("run", "study", "--executor", "serial")
    assert done.returncode == 0, done.stderr
    files = sorted((bench.folder / "results" / "study").rglob("*.jsonl"))
    return bench, done.stderr, [json.loads(line) for file in files for line in file.read_text("utf-8").splitlines()]


def planned(write_registry: Any, tables: str, **filters: Any) -> Plan:
    contents = Contents({"few": "1" * 32})
    return make_plan(
        load_registry(write_registry(NETWORKS + tables)), load_plugins(), "study", Filters(**filters), contents
    )


def keys(plan: Plan) -> dict[tuple[Any, ...], str]:
    return {goal.place: goal.key for goal in plan.goals}


def compared(records: list[dict[str, Any]], a: str, b: str) -> list[dict[str, Any]]:
    return [one for one in records if (one.get("backbone_a"), one.get("backbone_b")) == (a, b)]


def test_every_backbone_scores_under_noise_too_and_the_probe_is_trained_on_clean_features(study):
    bench, _, records = study
    cells = [one for one in records if one["kind"] == "cell" and one["method"] == "moderate"]
    levels = {f"{name}{noise}" for name in ("net", "other") for noise in ("", "+noise-0.5", "+noise-2")}
    assert {one["score_backbone"] for one in cells} == levels
    assert all(0 < one["accuracy"] <= 1 and one["n_train"] == 200 for one in cells)
    subsets = {(one["score_backbone"], one["seed"]): one["subset_digest"] for one in cells}
    assert len(set(subsets.values())) == 2 + 2 * 2 * 2  # clean ones are deterministic, noise is drawn for each seed
    plan = make_plan(
        load_registry(bench.folder / "registry.toml"),
        load_plugins(),
        "study",
        contents=Contents({"few": cells[0]["dataset_fingerprint"]}),
    )
    trained = {goal.task.upstream["arch_features"].stage for goal in plan.cells}
    assert trained == {"features"}


def test_scores_are_compared_with_themselves_under_noise_and_with_those_of_other_clean_backbones(study):
    _, _, records = study
    pairs = {(one["backbone_a"], one["backbone_b"]) for one in records if one["kind"] == "agreement"}
    clean = ("net", "other", "void")
    noisy = {(name, f"{name}+noise-{level}") for name in clean for level in ("0.5", "2")}
    assert pairs == noisy | set(itertools.combinations(clean, 2)) | {(name, name) for name in clean}
    assert {one["backbone_control"] for one in compared(records, "void", "void+noise-2")} == {True}
    mild, strong = (np.mean([one["within_class_spearman"] for one in compared(records, "net", f"net+noise-{level}")])
                    for level in ("0.5", "2"))  # fmt: skip
    assert strong < mild < 1


def scores_of(bench: Sandbox, record: dict[str, Any], side: str) -> NDArray[np.float64]:
    stored = Store(bench.folder / "cache").read("scores", record[f"scores_key_{side}"])
    assert stored is not None
    return stored.arrays["scores"]


def labels_of() -> NDArray[np.int64]:
    from prunebench.identify import load_registered
    from prunebench.registry import DatasetEntry

    entry = DatasetEntry("few", spec="digits", train_per_class=20, test_per_class=4)
    return load_registered(entry, load_plugins(), ()).train.labels


def test_distances_of_distributions_are_those_of_scipy(study):
    bench, _, records = study
    for record in compared(records, "net", "net+noise-2"):
        a, b = scores_of(bench, record, "a"), scores_of(bench, record, "b")
        scaled = [(one - one.min()) / (one.max() - one.min()) for one in (a, b)]
        found = record["measures"]
        assert found["wasserstein"] == pytest.approx(scipy.stats.wasserstein_distance(*scaled))
        assert found["kolmogorov_smirnov"] == pytest.approx(scipy.stats.ks_2samp(*scaled).statistic)
        raw = scipy.stats.wasserstein_distance(a, b) / np.std([*a, *b])
        assert found["wasserstein_raw"] == pytest.approx(raw)


def test_overlaps_are_of_what_is_kept_beyond_the_share_that_chance_would_keep(study):
    bench, _, records = study
    kept = {}
    for record in records:
        if record["kind"] == "cell" and record["method"] == "moderate":
            kept[record["score_backbone"], record["seed"]] = record
    labels, store = labels_of(), Store(bench.folder / "cache")
    subsets = {}
    for path in (bench.folder / "cache" / "subset").rglob("meta.json"):
        stored = store.read("subset", path.parent.name)
        assert stored is not None
        subsets[stored.meta["record"]["subset_digest"]] = set(stored.arrays["indices"].tolist())
    for record in compared(records, "net", "other+noise-2") + compared(records, "net", "net+noise-2"):
        a, b = (subsets[kept[record[f"backbone_{x}"], record[f"seed_{x}"]]["subset_digest"]] for x in "ab")
        shared = len(a & b) / len(a)
        assert record["measures"]["overlap_0.2"] == pytest.approx((shared - 0.2) / 0.8)
        scores = [scores_of(bench, record, side) for side in "ab"]
        classes = [np.flatnonzero(labels == label) for label in range(10)]
        top = [{row for rows in classes for row in rows[np.argsort(-one[rows])[:4]].tolist()} for one in scores]
        assert record["measures"]["top_overlap_0.2"] == pytest.approx((len(top[0] & top[1]) / 40 - 0.2) / 0.8)


def test_what_densities_leave_of_a_ranking_is_the_residual_of_a_regression_of_ranks(study):
    bench, _, records = study
    store, labels = Store(bench.folder / "cache"), labels_of()
    registry = load_registry(bench.folder / "registry.toml")
    contents = Contents({"few": records[0]["dataset_fingerprint"]})
    plan = make_plan(registry, load_plugins(), "study", contents=contents)
    (goal,) = [one for one in plan.agreements if one.place == ("agreement", "moderate", "-", "net", 0, "other", 0)]
    (record,) = [one for one in compared(records, "net", "other") if one["seed_a"] == 0]
    found = {
        role: store.read("scores", task.key).arrays["scores"]
        for role, task in goal.task.upstream.items()
        if task.stage == "scores"
    }
    assert {role for role in found if "/" in role} == {
        f"{x}/given/{name}" for x in "ab" for name in ("near-3", "knn-density")
    }
    rest, left = [], []
    for label in range(10):
        rows, residuals = labels == label, []
        for side in "ab":
            ranks = scipy.stats.rankdata(found[side][rows])
            others = [scipy.stats.rankdata(found[f"{side}/given/{name}"][rows]) for name in ("near-3", "knn-density")]
            design = np.column_stack([np.ones(20), *others])
            fitted = design @ np.linalg.solve(design.T @ design, design.T @ ranks)
            residuals.append(ranks - fitted)
        rest.append(scipy.stats.pearsonr(*residuals).statistic)
        left.append(np.var(residuals[0]) / np.var(ranks))
    assert record["measures"]["given"] == pytest.approx(np.mean(rest), abs=1e-9)
    assert record["measures"]["left_a"] == pytest.approx(np.mean(left), abs=1e-9)
    assert record["given"] == ["near-3", "knn-density"]


def test_the_board_has_a_line_for_each_level_of_noise_beside_the_ceiling_of_clean_seeds(study):
    bench, _, records = study
    with (bench.folder / "results" / "study" / "board" / "rank_correlation.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["a"] == "mean" and row["method"] == "moderate"]
    found = {(row["quantity"], row["comparison"]): row for row in rows}
    noisy = [np.mean([one["within_class_spearman"] for one in compared(records, name, f"{name}+noise-0.5")])
             for name in ("net", "other")]  # fmt: skip
    row = found["score_rho", "noise_0.5"]
    assert float(row["value"]) == pytest.approx(np.mean(noisy), abs=1e-6)
    assert (row["ceiling"], row["n_pairs"], row["status"]) == ("1.000000", "2", "ok")
    assert ("score_rho", "control_noise_2") in found
    seeds = [one["measures"]["overlap_0.2"] for name in ("net", "other") for one in compared(records, name, name)]
    row = found["score_overlap_0.2", "seed_to_seed"]
    assert (row["status"], float(row["value"])) == ("ok", pytest.approx(np.mean(seeds), abs=1e-6))
    distance = found["score_wasserstein", "cross_backbone"]
    assert (distance["ceiling"], distance["ratio"], distance["status"]) == ("", "", "ok")
    assert float(found["score_left", "cross_backbone"]["value"]) > 0
    markdown = (bench.folder / "results" / "study" / "board" / "leaderboard.md").read_text("utf-8")
    assert "| method | comparison | score_rho | score_pearson | score_given |" in markdown
    assert "| moderate | noise_0.5 | 0." in markdown


def test_a_fitted_head_knows_more_than_an_untrained_one(study):
    _, told, _ = study
    right = {name: float(told.split(f"head of {name}: right on ")[1].split("%")[0]) for name in ("net", "other")}
    assert right["net"] > 60
    assert right["other"] < 30


def test_what_is_asked_for_leaves_the_keys_of_everything_else_as_they_were(write_registry):
    plain, noisy = (
        keys(planned(write_registry, SUITE)),
        keys(planned(write_registry, SUITE.replace("seeds = 2\n", NOISE))),
    )
    assert plain.items() < noisy.items()
    measured = keys(planned(write_registry, SUITE + ASKED))
    assert measured.keys() == plain.keys()
    assert {place for place in plain if measured[place] == plain[place]} == {p for p in plain if p[0] == "cell"}
    asked = planned(write_registry, STUDY)
    narrow = planned(write_registry, STUDY.replace('["0.2"]', '["0.2", "0.5"]'), keep=("0.5",))
    wide = planned(write_registry, STUDY.replace('["0.2"]', '["0.2", "0.5"]'))
    assert {goal.key for goal in narrow.agreements} == {goal.key for goal in wide.agreements}
    assert not {goal.key for goal in asked.agreements} & {goal.key for goal in wide.agreements}


def test_noise_alone_is_enough_to_compare_and_seeds_draw_their_own_at_levels_that_share_it(write_registry):
    tables = '[suite.study]\ndataset = "few"\nmethods = ["moderate"]\nbackbones = ["net"]\nnoise = ["1", "0.50"]\n'
    plan = planned(write_registry, tables)
    assert {goal.axes["backbone_b"] for goal in plan.agreements} == {"net", "net+noise-1", "net+noise-0.5"}
    noise = [task for task in plan.tasks() if task.stage == "noise"]
    assert len(noise) == 2 * 3
    assert len({task.config["seed"] for task in noise}) == 3
    assert len({task.upstream["features"].key for task in noise}) == 1


def test_scores_are_given_those_of_methods_that_read_features(write_registry):
    for name, why in (("prototype", "reads a projection"), ("random", "reads no backbone")):
        with pytest.raises(UsageError, match=f"given method '{name}', which {why}"):
            planned(write_registry, SUITE + f'given = ["{name}"]\n')


def test_noise_has_its_size_and_moves_the_logits_as_the_head_would():
    rng = np.random.default_rng(0)
    features = (rng.normal(size=(400, 6)) * np.arange(1, 7) + 5).astype(np.float32)
    head, bias = rng.normal(size=(6, 3)), rng.normal(size=3)
    arrays = {"train_features": features, "train_logits": (features @ head + bias).astype(np.float32)}
    task = Task("noise", {"noise": "0.5", "seed": 7}, {})
    found, facts = noisy_features(SimpleNamespace(), task, {"features": Artefact(arrays, {}, Path())})
    moved = found["train_features"] - features
    assert facts["noise"] == pytest.approx(0.5 * features.std(axis=0).mean(), rel=1e-6)
    assert moved.std(axis=0) == pytest.approx(np.full(6, facts["noise"]), rel=0.1)  # as large in each of them
    assert np.abs(np.corrcoef(moved.T) - np.eye(6)).max() < 0.2
    assert found["train_logits"] == pytest.approx(found["train_features"] @ head + bias, abs=1e-3)
    assert [array.dtype for array in found.values()] == [np.float32] * 2


def test_the_first_samples_of_each_class_are_taken_in_the_order_of_the_file():
    from prunebench.identify import load_registered
    from prunebench.registry import DatasetEntry

    whole = load_registered(DatasetEntry("digits", spec="digits"), load_plugins(), ())
    cut = load_registered(DatasetEntry("few", spec="digits", train_per_class=7), load_plugins(), ())
    seen: dict[int, list[str]] = {}
    for name, label in zip(whole.train.ids, whole.train.labels.tolist(), strict=True):
        seen.setdefault(label, []).append(name)
    expected = {name for names in seen.values() for name in names[:7]}
    assert cut.train.ids == tuple(name for name in whole.train.ids if name in expected)
    rows = [whole.train.ids.index(name) for name in cut.train.ids]
    assert whole.train.images is not None
    assert np.array_equal(cut.train.images, whole.train.images[rows])
    assert cut.test.ids == whole.test.ids
