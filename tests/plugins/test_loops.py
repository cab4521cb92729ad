"""Persistence of loops, credited to samples: against the reduction of the boundary matrix, gudhi and closed forms."""

from __future__ import annotations

import itertools
from typing import Any

import gudhi
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from scipy.stats import rankdata

import prunebench_stable
from prunebench import DataError, ScoreContext, Scores
from prunebench_stable.control import mean_distances
from prunebench_stable.loops import birth, death, loop_credit
from prunebench_stable.metric import placement

SPECS = {spec.name: spec for spec in prunebench_stable.prunebench_scorers()}
Floats = NDArray[np.float64]


def reduced(matrix: Floats) -> Floats:
    """Pair the edges of a Rips filtration with the triangles that fill their loops, column by column, over two."""
    m = len(matrix)
    edges = sorted(itertools.combinations(range(m), 2), key=lambda edge: matrix[edge])
    place = {edge: number for number, edge in enumerate(edges)}
    triangles = [sorted(place[side] for side in itertools.combinations(corners, 2))
                 for corners in itertools.combinations(range(m), 3)]  # fmt: skip
    credit, columns = np.zeros((2, m)), dict[int, set[int]]()
    for sides in sorted(triangles, key=lambda sides: sides[-1]):
        column = set(sides)
        while column and max(column) in columns:
            column ^= columns[max(column)]
        if column:
            columns[max(column)] = column
            born, dead = edges[max(column)], edges[sides[-1]]
            credit[0, list(born)] += matrix[dead] - matrix[born]
            credit[1, list(dead)] += matrix[dead] - matrix[born]
    return credit


def cloud(m: int, seed: int) -> Floats:
    points = np.random.default_rng(seed).normal(size=(m, 3))
    return cdist(points, points)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 13), st.integers(0, 10_000))
def test_credit_is_that_of_the_reduced_boundary_matrix(m: int, seed: int) -> None:
    matrix = cloud(m, seed)
    assert loop_credit(matrix) == pytest.approx(reduced(matrix), abs=1e-12)


def test_all_credit_together_is_twice_the_persistence_that_gudhi_finds() -> None:
    matrix = cloud(40, 0)
    tree = gudhi.RipsComplex(distance_matrix=matrix).create_simplex_tree(max_dimension=2)
    tree.compute_persistence(homology_coeff_field=2)
    bars = tree.persistence_intervals_in_dimension(1)
    assert loop_credit(matrix).sum(axis=1) == pytest.approx([2 * (bars[:, 1] - bars[:, 0]).sum()] * 2)


def test_the_loop_of_a_quadrilateral_is_born_with_its_longest_side_and_dies_with_its_shorter_diagonal() -> None:
    corners = np.array([[0.0, 0.0], [4.0, 0.0], [4.2, 3.0], [0.0, 3.1]])  # the longest side: 1, 2 is 3.007, 2, 3 4.201
    lengths = cdist(corners, corners)
    diagonal = (0, 2) if lengths[0, 2] < lengths[1, 3] else (1, 3)
    persistence = lengths[diagonal] - lengths[2, 3]
    expected = np.zeros((2, 4))
    expected[0, [2, 3]], expected[1, list(diagonal)] = persistence, persistence
    assert loop_credit(lengths) == pytest.approx(expected)


@pytest.mark.parametrize("m", [1, 2, 3])
def test_three_points_have_no_loop(m: int) -> None:
    assert not loop_credit(cloud(m, 1)).any()


def test_equal_distances_have_the_persistence_of_any_order() -> None:
    grid = np.array(list(itertools.product(range(3), repeat=2)), dtype=np.float64)
    found = loop_credit(cdist(grid, grid))
    assert found.sum(axis=1) == pytest.approx([2 * 4 * (2**0.5 - 1)] * 2)  # four squares


def run(name: str, features: Any, labels: Any, seed: int = 0, logits: Any = None, **params: Any) -> Scores:
    labels = np.asarray(labels, dtype=np.int64)
    n_classes = int(labels.max()) + 1
    logits = np.eye(n_classes, dtype=np.float32)[labels] if logits is None else logits
    return {"h1-birth": birth, "h1-death": death}[name](
        ScoreContext(
            params=SPECS[name].resolve_params(params), seed=seed, n=len(labels), n_classes=n_classes, scorer=name,
            evidence={"features": features, "labels": labels, "logits": logits},
        )
    )  # fmt: skip


def blobs(n: int = 90, d: int = 5) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    generator = np.random.default_rng(3)
    labels = np.arange(n) % 3
    return (generator.normal(size=(n, d)) + 4 * np.eye(d)[labels]).astype(np.float32), labels


def placed(features: NDArray[np.float32], labels: NDArray[np.int64], label: int) -> Floats:
    classes = [np.flatnonzero(labels == one) for one in np.unique(labels)]
    return placement(features, np.arange(len(labels)), classes, "whitened", 0.2)(classes[label])


@pytest.mark.parametrize(("name", "row"), [("h1-birth", 0), ("h1-death", 1)])
def test_a_class_that_is_one_cloud_is_ranked_by_its_credit(name: str, row: int) -> None:
    features, labels = blobs()
    found = run(name, features, labels, cloud_size=30, repeats=1).values
    for label in range(3):
        points = placed(features, labels, label)
        credit = reduced(cdist(points, points, "sqeuclidean") / 2)[row].round(9)
        assert found[labels == label] == pytest.approx((rankdata(credit) - 1) / 29, abs=1e-9)


def test_scores_of_strata_fall_into_strata_of_equal_density_again_when_they_are_cut_by_width() -> None:
    features, labels = blobs(120)
    logits = np.eye(3, dtype=np.float32)[np.where(np.arange(120) % 11, labels, (labels + 1) % 3)]
    scores = run("h1-birth", features, labels, logits=logits, cloud_size=20, strata=4)
    plain = run("h1-birth", features, labels, logits=logits, cloud_size=20)
    assert scores.excluded is not None
    for label in range(3):
        eligible = (labels == label) & ~scores.excluded
        values, within = scores.values[eligible], plain.values[eligible]
        assert 0 <= values.min() < values.max() <= 1
        edges = np.linspace(values.min(), values.max(), 5)
        stratum = np.searchsorted(edges[1:-1], values, side="right")
        nearness = -mean_distances(placed(features, labels, label), 15)[~scores.excluded[labels == label]]
        ranks = (rankdata(nearness) - 1) / (len(nearness) - 1)
        assert stratum.tolist() == np.minimum((ranks * 4).astype(int), 3).tolist()
        for number in range(4):  # inside a stratum, the order is that of the credit
            inside = stratum == number
            assert np.array_equal(np.argsort(values[inside]), np.argsort(within[inside]))


def test_samples_with_equal_features_score_alike_and_seeds_do_not() -> None:
    features, labels = blobs(120)
    features[1::3] = features[1]
    labels[3] = 1
    found = [run("h1-death", features, labels, seed=seed, cloud_size=10, repeats=2).values for seed in (0, 0, 1)]
    assert len(set(found[0][1::3].tolist())) == 1
    assert np.array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])


def test_features_that_are_not_finite_are_refused() -> None:
    features, labels = blobs()
    features[4, 1] = np.nan
    with pytest.raises(DataError, match="1 samples are not finite"):
        run("h1-birth", features, labels)
