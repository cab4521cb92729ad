"""RipsNet's parts against scipy, gudhi and ripser, and the leave-one-out score against closed forms and brute force."""

from __future__ import annotations

import json
from typing import Any

import gudhi
import numpy as np
import pytest
import torch
from gudhi.representations import PersistenceImage
from numpy.typing import NDArray
from ripser import ripser
from scipy.sparse.csgraph import minimum_spanning_tree
from scipy.spatial.distance import cdist, pdist
from scipy.stats import spearmanr

import prunebench_ripsnet
from prunebench import DataError, ScoreContext, Scores
from prunebench_ripsnet import score as scoring
from prunebench_ripsnet.clouds import partitions, sample_pools, training_clouds
from prunebench_ripsnet.diagrams import cloud_distances, padded, persistence, spanning_lengths
from prunebench_ripsnet.image import Imager, fit_imager
from prunebench_ripsnet.leave_one_out import exact_change, network_change
from prunebench_ripsnet.network import RipsNet, build_network, point_sizes
from prunebench_ripsnet.training import Recipe, held_out_loss, train_network

NET, EXACT = prunebench_ripsnet.prunebench_scorers()
SMALL = {"cloud_size": 8, "repeats": 2, "train_clouds": 64}


def score(features: Any, labels: Any, seed: int = 0, exact: bool = False, **params: Any) -> Scores:
    features, labels = np.asarray(features), np.asarray(labels, dtype=np.int64)
    features.setflags(write=False)
    spec = EXACT if exact else NET
    context = ScoreContext(
        params=spec.resolve_params(params),
        seed=seed,
        n=len(labels),
        n_classes=int(labels.max()) + 1,
        evidence={"features": features, "labels": labels},
    )
    found = scoring.exact(context) if exact else scoring.ripsnet(context)
    assert found.values.dtype == np.float64
    assert found.values.shape == labels.shape
    assert np.isfinite(found.values).all()
    json.dumps(dict(found.diagnostics), allow_nan=False)
    return found


def blobs(n: int = 60, d: int = 5, classes: int = 2) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    generator = np.random.default_rng(1)
    labels = np.arange(n) % classes
    return (generator.normal(size=(n, d)) + 4 * labels[:, None]).astype(np.float32), labels


def image_of(lengths: Any, imager: Imager) -> NDArray[np.float64]:
    """The closed form of the H0 image, all 400 pixels, one pixel after the other."""
    pixels = []
    for height in np.linspace(*imager.persistences, 20):
        spread = [
            10
            * np.tanh(length)
            * np.exp(-((height - length) ** 2) / (2 * imager.bandwidth**2))
            / (2 * np.pi * imager.bandwidth**2)
            for length in lengths
        ]
        pixels += [sum(spread) / imager.peak] * 20
    return np.array(pixels)


def test_spanning_tree_lengths_are_those_of_scipy_and_the_finite_deaths_of_gudhi() -> None:
    points = np.random.default_rng(0).normal(size=(4, 30, 6)).astype(np.float32)
    found = np.sort(spanning_lengths(cloud_distances(points), np.arange(4), None), axis=1)
    for cloud, lengths in zip(points.astype(np.float64), found, strict=True):
        tree = np.sort(minimum_spanning_tree(cdist(cloud, cloud)).data)
        simplices = gudhi.RipsComplex(points=cloud).create_simplex_tree(max_dimension=1)
        simplices.compute_persistence(persistence_dim_max=False)
        deaths = simplices.persistence_intervals_in_dimension(0)[:, 1]
        np.testing.assert_allclose(lengths, tree, rtol=1e-6)
        np.testing.assert_allclose(lengths, np.sort(deaths[np.isfinite(deaths)]), rtol=1e-6)


def test_the_tree_without_a_point_is_the_tree_of_the_other_points() -> None:
    points = np.random.default_rng(2).normal(size=(3, 12, 4)).astype(np.float32)
    cloud, removed = np.repeat(np.arange(3), 12), np.tile(np.arange(12), 3)
    found = np.sort(spanning_lengths(cloud_distances(points), cloud, removed), axis=1)
    for which, gone, lengths in zip(cloud, removed, found, strict=True):
        rest = np.delete(points[which], gone, axis=0).astype(np.float64)
        np.testing.assert_allclose(lengths, np.sort(minimum_spanning_tree(cdist(rest, rest)).data), rtol=1e-6)


def test_the_tree_of_points_on_a_line_has_the_gaps_as_lengths() -> None:
    places = np.array([0.0, 1.0, 3.0, 7.0, 15.0])
    distances = cloud_distances(places[None, :, None].astype(np.float32))
    assert sorted(spanning_lengths(distances, np.array([0]), None)[0]) == pytest.approx([1, 2, 4, 8])
    without = spanning_lengths(distances, np.zeros(5, dtype=np.int64), np.arange(5))
    expected = [[2, 4, 8], [3, 4, 8], [1, 6, 8], [1, 2, 12], [1, 2, 4]]
    np.testing.assert_allclose(np.sort(without, axis=1), expected, rtol=1e-6)


def test_duplicates_are_at_distance_zero_far_from_the_origin() -> None:
    cloud = np.full((1, 4, 7), 1000.3, dtype=np.float32)
    cloud[0, 0, 0] += 1
    lengths = spanning_lengths(cloud_distances(cloud), np.array([0]), None)
    assert sorted(lengths[0]) == pytest.approx([0, 0, 1], abs=0, rel=1e-3)


@pytest.mark.parametrize("homology", [0, 1])
def test_images_are_those_of_gudhi(homology: int) -> None:
    points = np.random.default_rng(3).normal(size=(6, 25, 2)).astype(np.float32)
    diagrams = persistence(cloud_distances(points), np.arange(6), None, homology)
    imager = fit_imager(diagrams, homology)
    reference = PersistenceImage(
        bandwidth=imager.bandwidth,
        weight=lambda pair: 10 * (np.tanh(pair[1]) + np.log(100 * pair[0] + 1)),
        resolution=[20, 20],
        im_range=[*imager.births, *imager.persistences],
    )
    pairs = [diagram[~np.isnan(diagram[:, 0])] for diagram in diagrams]
    expected = reference.fit_transform([np.stack([p[:, 0], p.sum(axis=1)], axis=1) for p in pairs])
    found = imager.full(imager.images(diagrams)).reshape(6, 20, 20) * imager.peak
    if homology == 1:
        found = found.transpose(0, 2, 1)  # gudhi: persistence is the slow axis
    else:
        expected = expected.reshape(6, 20, 20).transpose(0, 2, 1).reshape(6, -1)
    np.testing.assert_allclose(found.reshape(6, -1), expected, rtol=1e-5, atol=1e-4)


def test_the_h0_image_has_20_identical_columns_of_the_closed_form() -> None:
    points = np.random.default_rng(4).normal(size=(3, 10, 3)).astype(np.float32)
    diagrams = persistence(cloud_distances(points), np.arange(3), None, 0)
    imager = fit_imager(diagrams, 0)
    column = imager.images(diagrams)
    assert column.shape == (3, 20)
    assert imager.copies == 20
    for row, diagram in zip(column, diagrams, strict=True):
        np.testing.assert_allclose(np.repeat(row, 20), image_of(diagram[:, 1], imager), rtol=1e-12)


def test_bandwidth_range_and_peak_follow_the_released_code() -> None:
    points = np.random.default_rng(5).normal(size=(30, 12, 3)).astype(np.float32)
    diagrams = persistence(cloud_distances(points), np.arange(30), None, 0)
    imager = fit_imager(diagrams, 0)
    pairs = diagrams.reshape(-1, 2)
    gaps = pdist(pairs[:200])
    assert imager.bandwidth == pytest.approx(np.quantile(gaps[gaps > 1e-5], 0.2))
    assert imager.births == (0, 0)
    assert imager.persistences == (pairs[:, 1].min(), pairs[:, 1].max())
    assert imager.images(diagrams).max() == 1.0


def test_loops_are_those_of_ripser_with_and_without_a_point() -> None:
    angles = np.arange(9) * 2 * np.pi / 9
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)[None].astype(np.float32)
    distances = cloud_distances(circle)
    whole = persistence(distances, np.array([0]), None, 1)
    assert whole.shape == (1, 1, 2)
    assert whole[0, 0, 0] == pytest.approx(2 * np.sin(np.pi / 9), rel=1e-5)
    without = persistence(distances, np.array([0]), np.array([3]), 1)
    rest = np.delete(circle[0], 3, axis=0).astype(np.float64)
    birth, death = ripser(cdist(rest, rest), distance_matrix=True)["dgms"][1][0]
    assert without[0, 0] == pytest.approx([birth, death - birth], rel=1e-4)


def test_diagrams_of_different_lengths_are_padded_and_padding_leaves_no_trace_in_the_image() -> None:
    first, second = np.array([[0.1, 0.5]]), np.array([[0.1, 0.5], [0.2, 0.9]])
    both = padded([first, second])
    imager = fit_imager(both, 1)
    assert np.isnan(both[0, 1]).all()
    np.testing.assert_allclose(imager.images(both)[0], imager.images(first[None])[0])


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


def test_layer_sizes_for_other_inputs_are_those_of_the_nearest_size() -> None:
    assert point_sizes(64) == (64, 32, 32)
    assert point_sizes(2) == (16, 16, 16)
    assert point_sizes(100) == (128, 64, 64)
    assert point_sizes(4096) == (1024, 512, 256)


@pytest.mark.parametrize("operator", ["mean", "sum"])
def test_pooling_is_the_operator_over_the_members_in_any_order(operator: str) -> None:
    network = build_network(3, 400, operator, 0)
    points = torch.from_numpy(np.random.default_rng(0).normal(size=(10, 3)).astype(np.float32))
    members = np.array([[0, 4, 7, 2], [9, 1, 3, 10]])  # 10 = no point
    found = network(points, torch.from_numpy(members))
    assert torch.allclose(found, network(points, torch.from_numpy(members[:, [2, 0, 3, 1]])), atol=1e-6)
    embedded = network.point(points)
    for row, chosen in zip(found, ([0, 4, 7, 2], [9, 1, 3]), strict=True):
        pooled = embedded[chosen].mean(dim=0) if operator == "mean" else embedded[chosen].sum(dim=0)
        assert torch.allclose(row, network.head(pooled), atol=1e-6)
    assert ((found > 0) & (found < 1)).all()


@pytest.mark.parametrize("operator", ["mean", "sum"])
def test_the_closed_form_of_leaving_one_out_is_the_network_on_the_smaller_cloud(operator: str) -> None:
    network = build_network(4, 400, operator, 1)
    points = torch.from_numpy(3 * np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32))
    members = np.random.default_rng(1).permutation(20).reshape(4, 5)
    rows, columns = np.divmod(np.arange(20), 5)
    with torch.no_grad():
        found = network_change(points, network)(members, rows, columns)
        for row, column, value in zip(rows, columns, found, strict=True):
            rest = np.delete(members[row], column)
            images = [network(points, torch.from_numpy(cloud)[None])[0] for cloud in (members[row], rest)]
            assert value == pytest.approx(float((images[0] - images[1]).norm()), rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("operator", ["mean", "sum"])
def test_the_network_overfits_8_clouds(operator: str) -> None:
    generator = np.random.default_rng(0)
    scale = np.repeat(np.linspace(0.3, 2.0, 8), 8)[:, None]
    points = (generator.normal(size=(64, 16)) * scale).astype(np.float32)
    clouds = np.arange(64).reshape(8, 8)
    diagrams = persistence(cloud_distances(points[clouds]), np.arange(8), None, 0)
    imager = fit_imager(diagrams, 0)
    images = imager.full(imager.images(diagrams))
    network = build_network(16, 400, operator, 0)
    # the eight clouds twice, as one is held out
    recipe = Recipe(max_epochs=800, patience=800, held_out=0.001, learning_rate=5e-3)
    tensor = torch.from_numpy(points)
    train_network(network, tensor, np.tile(clouds, (2, 1)), np.tile(images, (2, 1)), recipe, generator, lambda _: None)
    assert held_out_loss(network, tensor, clouds, images) < 1e-4


def test_training_stops_early_and_keeps_the_best_weights() -> None:
    generator = np.random.default_rng(0)
    points = torch.from_numpy(generator.normal(size=(40, 4)).astype(np.float32))
    clouds = training_clouds([np.arange(40)], 6, 40, generator)
    noise = generator.random((40, 400)).astype(np.float32)  # nothing to generalise
    network = build_network(4, 400, "sum", 0)
    recipe = Recipe(max_epochs=400, patience=3, learning_rate=2e-2)
    shuffled = np.random.default_rng(5).permutation(40)
    fit = train_network(network, points, clouds, noise, recipe, np.random.default_rng(5), lambda _: None)
    assert fit.epochs == fit.best_epoch + 3
    held = shuffled[:10]
    assert held_out_loss(network, points, clouds[held], noise[held]) == pytest.approx(fit.validation_loss)


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
