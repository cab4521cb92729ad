"""Clouds, and the leave-one-out scores against closed forms and brute force."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.sparse.csgraph import minimum_spanning_tree
from scipy.spatial.distance import cdist, pdist
from scipy.stats import spearmanr

from prunebench import DataError
from prunebench_ripsnet import score as scoring
from prunebench_ripsnet.clouds import partitions, sample_pools, training_clouds
from prunebench_ripsnet.diagrams import cloud_distances, padded, persistence
from prunebench_ripsnet.image import Imager, fit_imager
from prunebench_ripsnet.leave_one_out import exact_change, network_change
from prunebench_ripsnet.network import RipsNet, build_network
from prunebench_ripsnet.training import Recipe, train_network
from ripsnet_clouds import EXACT, NET, SMALL, blobs, image_of, score


def test_each_partition_scores_each_sample_once_in_clouds_of_one_size() -> None:
    labels = np.repeat([0, 1, 2, 3], [50, 5, 2, 1])
    pools = sample_pools(labels, 5, by_class=True)
    groups = partitions(pools, 8, 3, np.random.default_rng(0))
    count = np.zeros(58, dtype=int)
    for group in groups:
        np.add.at(count, group.members[group.scored], 1)
        for members in group.members:
            assert len(set(members)) == len(members)
            assert len(set(labels[members])) == 1
    assert sorted(group.members.shape for group in groups) == [(3, 5), (21, 8)]
    assert count.tolist() == [3] * 55 + [0] * 3


def test_training_clouds_are_distinct_samples_of_one_class_at_both_sizes() -> None:
    labels = np.repeat([0, 1], [40, 4])
    clouds = training_clouds(sample_pools(labels, 2, by_class=True), 8, 100, np.random.default_rng(0))
    assert clouds.shape == (100, 8)
    sizes = (clouds >= 0).sum(axis=1)
    assert set(sizes) == {8, 7, 4, 3}
    for cloud, size in zip(clouds, sizes, strict=True):
        assert len(set(cloud[:size])) == size
        assert (cloud[size:] == -1).all()
        assert len(set(labels[cloud[:size]])) == 1


def test_the_network_for_64_inputs_has_the_published_number_of_parameters() -> None:
    network = build_network(64, 400, "mean", 0)
    assert sum(parameter.numel() for parameter in network.parameters()) == 113_896
    per_point, per_cloud = (
        sum(parameter.numel() for parameter in part.parameters() if parameter.ndim == 2)
        for part in (network.point, network.head)
    )
    assert (per_point, per_cloud) == (7_168, 106_600)
    assert 2 * (64 * per_point + per_cloud) == 1_130_704  # operations for a cloud of 64: the published 1.131 million


@pytest.mark.parametrize("homology", [0, 1])
def test_the_exact_image_and_score_ignore_the_order_of_a_cloud(homology: int) -> None:
    points = np.random.default_rng(6).normal(size=(1, 16, 2)).astype(np.float32)
    order = np.random.default_rng(7).permutation(16)
    clouds = np.concatenate([points, points[:, order]])
    diagrams = persistence(cloud_distances(clouds), np.arange(2), None, homology)
    imager = fit_imager(diagrams, homology)
    first, second = imager.images(diagrams)
    assert first.max() > 0
    np.testing.assert_allclose(first, second, rtol=1e-5, atol=1e-7)
    changes = [
        exact_change(cloud, imager)(np.arange(16)[None], np.zeros(16, dtype=np.int64), np.arange(16))
        for cloud in clouds
    ]
    np.testing.assert_allclose(changes[1], changes[0][order], rtol=1e-4, atol=1e-6)


def brute_force(points: NDArray[np.float64], imager: Imager) -> list[float]:
    whole = image_of(minimum_spanning_tree(cdist(points, points)).data, imager)
    values = []
    for gone in range(len(points)):
        rest = np.delete(points, gone, axis=0)
        values.append(np.linalg.norm(whole - image_of(minimum_spanning_tree(cdist(rest, rest)).data, imager)))
    return values


def captured_imager(monkeypatch: pytest.MonkeyPatch) -> list[Imager]:
    kept: list[Imager] = []

    def keep(*arguments: Any) -> Imager:
        kept.append(fit_imager(*arguments))
        return kept[-1]

    monkeypatch.setattr(scoring, "fit_imager", keep)
    return kept


def test_the_exact_score_of_a_class_that_is_one_cloud_is_brute_force(monkeypatch: pytest.MonkeyPatch) -> None:
    features, labels = blobs(20)
    imagers = captured_imager(monkeypatch)
    found = score(features, labels, exact=True, cloud_size=64, repeats=3).values
    points = features.astype(np.float64) / pdist(features).mean()
    for label in (0, 1):
        expected = brute_force(points[labels == label], imagers[0])
        np.testing.assert_allclose(found[labels == label], expected, rtol=1e-4)


def test_the_exact_score_on_a_line_merges_the_two_gaps_of_a_point(monkeypatch: pytest.MonkeyPatch) -> None:
    places = np.cumsum([0.0, 1.0, 2.0, 4.0, 1.5, 3.0])
    imagers = captured_imager(monkeypatch)
    found = score(places[:, None].astype(np.float32), np.zeros(6), exact=True).values
    gaps = np.diff(places) / pdist(places[:, None]).mean()
    whole = image_of(gaps, imagers[0])
    for point in range(6):
        merged = [gaps[point - 1] + gaps[point]] if 0 < point < 5 else []
        left = np.concatenate([gaps[: max(point - 1, 0)], merged, gaps[point + 1 :]])
        assert found[point] == pytest.approx(np.linalg.norm(whole - image_of(left, imagers[0])), rel=1e-4)


def test_a_duplicate_changes_nothing_when_it_leaves() -> None:
    features, labels = blobs(20, classes=1)
    features[7] = features[3]
    found = score(features, labels, exact=True).values
    assert found[[3, 7]] == pytest.approx([0, 0], abs=1e-9)
    assert (np.delete(found, [3, 7]) > 1e-3).all()


def test_the_mode_exact_of_the_network_scorer_is_the_exact_scorer() -> None:
    features, labels = blobs()
    one = score(features, labels, mode="exact", **SMALL)
    other = score(features, labels, exact=True, **SMALL)
    np.testing.assert_array_equal(one.values, other.values)


def test_the_exact_score_ignores_scale_and_translation_of_the_features() -> None:
    features, labels = blobs()
    one = score(features, labels, exact=True, **SMALL).values
    np.testing.assert_allclose(score(features * 64, labels, exact=True, **SMALL).values, one, rtol=1e-5)
    np.testing.assert_allclose(score(features + 3, labels, exact=True, **SMALL).values, one, rtol=1e-3)


@pytest.mark.parametrize("operator", ["mean", "sum"])
def test_the_network_score_is_reproducible_and_depends_on_the_seed_alone(operator: str) -> None:
    features, labels = blobs()
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    runs = [score(features, labels, seed, operator=operator, max_epochs=2, **SMALL).values for seed in (0, 0, 1)]
    assert runs[0].tobytes() == runs[1].tobytes()
    assert (runs[0] != runs[2]).any()
    assert torch.equal(before[0], torch.get_rng_state())
    assert (before[1] == np.random.get_state()[1]).all()  # noqa: NPY002


def test_the_diagnostics_hold_the_losses_and_the_gate() -> None:
    features, labels = blobs()
    facts = score(features, labels, max_epochs=3, gate_samples=20, **SMALL).diagnostics
    assert facts["epochs"] == 3
    assert 0 < facts["validation_loss"] < 1
    assert facts["train_loss"] > 0
    assert facts["gate_samples"] == 20
    assert -1 <= facts["gate_spearman"] <= 1
    assert "gate_spearman" not in score(features, labels, max_epochs=1, gate_samples=0, **SMALL).diagnostics


def test_scores_below_the_gate_carry_a_caveat_and_those_above_none() -> None:
    features, labels = blobs(60, 2)
    common = {"max_epochs": 2, "gate_samples": 30, **SMALL}
    assert "Spearman below 1" in score(features, labels, gate=1.0, **common).caveat
    assert score(features, labels, gate=-1.0, **common).caveat == ""
    untested = {**common, "gate_samples": 0}
    assert "not compared" in score(features, labels, gate=-1.0, **untested).caveat
    assert score(features, labels, exact=True, **SMALL).caveat == ""


def test_the_gate_is_the_rank_correlation_with_the_exact_scores_in_the_same_clouds() -> None:
    features, labels = blobs()
    found = score(features, labels, max_epochs=2, gate_samples=60, **SMALL)
    expected = spearmanr(found.values, score(features, labels, exact=True, **SMALL).values).statistic
    assert found.diagnostics["gate_spearman"] == pytest.approx(expected)


def test_a_network_that_has_learnt_a_cloud_and_its_parts_gives_the_exact_scores() -> None:
    generator = np.random.default_rng(0)
    points = (generator.normal(size=(8, 4)) * np.linspace(0.3, 2, 8)[:, None]).astype(np.float32)
    parts = [np.append(np.delete(np.arange(8), gone), -1) for gone in range(8)]
    clouds = np.stack([np.arange(8), *parts])
    distances, first = cloud_distances(points[None]), np.zeros(8, dtype=np.int64)
    whole = persistence(distances, first[:1], None, 0)
    without = persistence(distances, first, np.arange(8), 0)
    diagrams = padded([whole[0], *without])
    imager = fit_imager(diagrams, 0)
    images = imager.full(imager.images(diagrams))
    network, tensor = build_network(4, 400, "sum", 0), torch.from_numpy(points)
    recipe = Recipe(max_epochs=500, patience=500, held_out=0.001, learning_rate=5e-3)
    train_network(network, tensor, np.tile(clouds, (2, 1)), np.tile(images, (2, 1)), recipe, generator, lambda _: None)
    members, columns = np.arange(8)[None], np.arange(8)
    learnt = network_change(tensor, network)(members, first, columns)
    exact = exact_change(points, imager)(members, first, columns)
    assert spearmanr(learnt, exact).statistic > 0.9
    np.testing.assert_allclose(learnt, exact, atol=0.1 * exact.max())


def test_global_clouds_mix_classes_and_class_clouds_do_not() -> None:
    features, labels = blobs(30, classes=15)
    assert (score(features, labels, exact=True, **SMALL).values == 0).all()
    assert (score(features, labels, exact=True, clouds="global", **SMALL).values > 0).any()


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("homology", [0, 1])
@pytest.mark.parametrize("case", ["one sample", "three", "class of 1, 2, 3", "all alike", "line", "float16"])
def test_degenerate_input_gives_finite_scores(case: str, homology: int, exact: bool) -> None:
    features, labels = blobs(12, d=3, classes=1)
    if case == "one sample":
        features, labels = features[:1], labels[:1]
    elif case == "three":
        features, labels = features[:3], labels[:3]
    elif case == "class of 1, 2, 3":
        labels = np.repeat([0, 1, 2, 4], [1, 2, 3, 6])
    elif case == "all alike":
        features = np.ones_like(features)
    elif case == "line":
        features = features[:, :1] * np.ones(3, dtype=np.float32)
    else:
        features = features.astype(np.float16)
    params = {"homology": homology} | ({} if exact else {"max_epochs": 1})
    found = score(features, labels, exact=exact, **SMALL, **params).values
    if case == "class of 1, 2, 3":
        assert (found[:3] == 0).all()


def test_features_that_are_not_finite_are_an_error() -> None:
    features, labels = blobs()
    features[3, 1] = np.nan
    with pytest.raises(DataError, match="not finite"):
        score(features, labels)


def test_the_declaration_says_that_the_score_is_ours() -> None:
    for spec in (NET, EXACT):
        assert "own score" in spec.summary
        assert spec.stochastic
        assert spec.selector == "strata"
    assert isinstance(build_network(8, 20, "mean", 0), RipsNet)
