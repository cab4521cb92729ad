"""Spanning trees, diagrams and persistence images against scipy, gudhi, ripser and closed forms."""

from __future__ import annotations

import gudhi
import numpy as np
import pytest
from gudhi.representations import PersistenceImage
from ripser import ripser
from scipy.sparse.csgraph import minimum_spanning_tree
from scipy.spatial.distance import cdist, pdist

from prunebench_ripsnet.diagrams import cloud_distances, padded, persistence, spanning_lengths
from prunebench_ripsnet.image import fit_imager
from ripsnet_clouds import image_of


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
