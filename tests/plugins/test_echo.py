"""ECHO's graph against networkx, its rounds against a double loop, and its budget with supports inside."""

from __future__ import annotations

import json
import math
from typing import Any

import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from sklearn.decomposition import PCA

import prunebench_echo
from prunebench import DataError, ScoreContext, Scores
from prunebench.toolbox import class_quotas
from prunebench_echo.encoder import principal_components, structural_loss, to_unit_square
from prunebench_echo.graph import Cells, PCGraph, build_cells, build_graph, visiting_order
from prunebench_echo.rounds import Places, distances_to_cell_mean, place_samples
from prunebench_echo.score import echo

(SPEC,) = prunebench_echo.prunebench_scorers()


def images(n: int = 80, side: int = 4) -> NDArray[np.uint8]:
    pixels = np.random.default_rng(0).integers(0, 256, (n, side, side, 1)).astype(np.uint8)
    pixels.setflags(write=False)
    return pixels


def score(pixels: NDArray[Any], budget: int, labels: Any = None, seed: int = 0, **params: Any) -> Scores:
    labels = np.zeros(len(pixels), dtype=np.int64) if labels is None else np.asarray(labels, dtype=np.int64)
    context = ScoreContext(
        params=SPEC.resolve_params({"encoder_epochs": 2, **params}),
        seed=seed,
        n=len(pixels),
        n_classes=int(labels.max()) + 1,
        evidence={"pixels": pixels, "labels": labels},
        budget=budget,
    )
    found = echo(context)
    assert found.values.dtype == np.float64
    assert sorted(found.values) == list(range(1, len(pixels) + 1))
    json.dumps(dict(found.diagnostics), allow_nan=False)
    return found


def chosen(found: Scores, budget: int) -> set[int]:
    return set(np.argsort(-found.values)[:budget].tolist())


def scattered(seed: int, n: int) -> NDArray[np.float64]:
    """Points of the unit square in a few clumps, so that cells fall into several components."""
    generator = np.random.default_rng(seed)
    return to_unit_square(generator.random((6, 2))[generator.integers(0, 6, n)] + 0.05 * generator.normal(size=(n, 2)))


def as_networkx(cells: Cells, graph: PCGraph) -> nx.Graph:
    network = nx.Graph()
    network.add_nodes_from(range(graph.n_cells))
    for kind, edges in (("adjacent", graph.adjacent), ("bridge", graph.bridges)):
        for one, other in edges.tolist():
            length = float(np.linalg.norm(cells.centroids[one] - cells.centroids[other]))
            network.add_edge(one, other, kind=kind, length=length)
    return network


def test_three_cells_of_which_one_is_apart_are_joined_by_the_short_bridge_and_the_middle_comes_first() -> None:
    cells = build_cells(np.array([[0.05, 0.05], [0.3, 0.05], [0.8, 0.05]]), side=4)
    graph = build_graph(cells)
    assert cells.positions.tolist() == [[0, 0], [1, 0], [3, 0]]
    assert graph.adjacent.tolist() == [[0, 1]]
    assert graph.bridges.tolist() == [[1, 2]]
    assert graph.degrees.tolist() == [1, 2, 1]
    assert graph.components == 2
    assert visiting_order(cells, graph, None).tolist() == [1, 0, 2]


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(1, 150))
def test_every_edge_between_cells_apart_is_a_bridge_of_the_least_length_across_its_cut(seed: int, n: int) -> None:
    cells = build_cells(scattered(seed, n))
    graph = build_graph(cells)
    network = as_networkx(cells, graph)
    assert nx.is_connected(network)
    assert {node: degree for node, degree in network.degree} == dict(enumerate(graph.degrees))
    adjacent = nx.Graph(edge for *edge, kind in network.edges(data="kind") if kind == "adjacent")
    adjacent.add_nodes_from(network)
    assert nx.number_connected_components(adjacent) == graph.components == len(graph.bridges) + 1
    for one, other in graph.bridges.tolist():
        length = network.edges[one, other]["length"]
        network.remove_edge(one, other)
        sides = [sorted(side) for side in nx.connected_components(network)]
        assert len(sides) == 2
        assert length == pytest.approx(cdist(*(cells.centroids[side] for side in sides)).min())
        network.add_edge(one, other, length=length)


def test_exactly_the_cells_that_share_a_side_are_adjacent() -> None:
    cells = build_cells(scattered(1, 120))
    expected = [
        [one, other]
        for one in range(len(cells.positions))
        for other in range(one + 1, len(cells.positions))
        if np.abs(cells.positions[one] - cells.positions[other]).sum() == 1
    ]
    assert build_graph(cells).adjacent.tolist() == expected


@pytest.mark.parametrize(("n", "side"), [(50_000, 22), (60_000, 23), (73_257, 23), (1, 2)])
def test_the_grid_has_as_many_cells_a_side_as_the_paper_says(n: int, side: int) -> None:
    assert build_cells(np.zeros((n, 2))).side == side == math.ceil(2 * math.log(1 + n))


def test_cells_are_closed_below_and_one_belongs_to_the_last_cell() -> None:
    cells = build_cells(np.array([[0.0, 0.0], [0.25, 0.249], [1.0, 1.0], [0.75, 0.75]]), side=4)
    assert cells.positions[cells.of].tolist() == [[0, 0], [1, 0], [3, 3], [3, 3]]
    assert cells.populations.tolist() == [1, 1, 2]
    np.testing.assert_allclose(cells.centroids[2], [0.875, 0.875])


def test_equal_degrees_are_ordered_by_population_then_position_or_at_random() -> None:
    corners = np.array([[0.1, 0.1], [0.1, 0.6], [0.6, 0.1], [0.6, 0.6], [0.7, 0.6]])
    cells = build_cells(corners, side=2)
    graph = build_graph(cells)
    assert graph.degrees.tolist() == [2, 2, 2, 2]
    assert visiting_order(cells, graph, None).tolist() == [3, 0, 1, 2]
    orders = {tuple(visiting_order(cells, graph, np.random.default_rng(seed))) for seed in range(50)}
    assert len(orders) > 5


def placed(n: int, n_supports: int, seed: int = 0) -> tuple[Places, Cells, NDArray[np.int64], NDArray[np.float64]]:
    embedded = scattered(seed, n)
    cells = build_cells(embedded)
    order = visiting_order(cells, build_graph(cells), None)
    places = place_samples(embedded, images(n).reshape(n, -1), cells, order, n_supports, np.random.default_rng(0))
    return places, cells, order, embedded


def rounds_by_double_loop(
    cells: Cells, order: NDArray[np.int64], embedded: NDArray[np.float64], supports: dict[int, list[int]]
) -> list[int]:
    """Visit all cells in every round; a cell is followed by its supports in the first."""
    waiting = {}
    for cell in order.tolist():
        members = np.flatnonzero(cells.of == cell).tolist()
        waiting[cell] = sorted(members, key=lambda i, c=cell: float(np.linalg.norm(embedded[i] - cells.centroids[c])))
    sequence: list[int] = []
    visit = 0
    while any(waiting.values()):
        for cell in order.tolist():
            if not waiting[cell]:
                continue
            for sample in [waiting[cell].pop(0), *(supports[cell] if visit == 0 else [])]:
                if sample not in sequence:
                    sequence.append(sample)
        visit += 1
    return sequence


def farthest(cells: Cells, n_supports: int, n: int) -> dict[int, list[int]]:
    """Supports by brute force: mean plus the longest displacements, found again among the images."""
    pixels = images(n).reshape(n, -1) / 255
    found = {}
    for cell in range(len(cells.populations)):
        members = np.flatnonzero(cells.of == cell)
        mean = pixels[members].mean(axis=0)
        lengths = np.linalg.norm(pixels[members] - mean, axis=1)
        found[cell] = members[np.argsort(-lengths, kind="stable")][:n_supports].tolist()
        for sample in found[cell]:
            augmented = mean + 1.0 * (pixels[sample] - mean)
            assert np.isclose(pixels, augmented).all(axis=1).any()
    return found


@pytest.mark.parametrize("n_supports", [0, 1, 2, 5])
@pytest.mark.parametrize("n", [1, 7, 120])
def test_rounds_with_supports_are_those_of_a_double_loop(n: int, n_supports: int) -> None:
    places, cells, order, embedded = placed(n, n_supports)
    supports = farthest(cells, n_supports, n)
    if n == 120:  # in a cell of two both are equally far from mean and centroid
        supports = {cell: tied(members, cells, places) for cell, members in supports.items()}
    pick_loop = rounds_by_double_loop(cells, order, embedded, {cell: [] for cell in supports})
    loop = rounds_by_double_loop(cells, order, embedded, supports)
    pairs = cells.populations[cells.of] != 2
    assert [i for i in places.picks().tolist() if pairs[i]] == [i for i in pick_loop if pairs[i]]
    assert [i for i in places.with_supports().tolist() if pairs[i]] == [i for i in loop if pairs[i]]
    assert cells.of[places.with_supports()].tolist() == cells.of[loop].tolist()


def tied(members: list[int], cells: Cells, places: Places) -> list[int]:
    """Return supports in the order that the implementation drew where a cell of two leaves it open."""
    if len(members) and cells.populations[cells.of[members[0]]] == 2:
        return sorted(members, key=lambda i: int(places.support[i]) or 99)
    return members


def test_supports_are_the_samples_farthest_from_the_mean_image_of_their_cell() -> None:
    places, cells, _, _ = placed(120, 2)
    for cell, members in farthest(cells, 2, 120).items():
        found = np.flatnonzero((cells.of == cell) & (places.support > 0))
        if cells.populations[cell] != 2:
            assert sorted(members) == found.tolist()
        assert len(found) == min(2, cells.populations[cell])


def test_no_supports_means_the_rounds_alone() -> None:
    places, _, _, _ = placed(90, 0)
    assert (places.support == 0).all()
    np.testing.assert_array_equal(places.picks(), places.with_supports())


def test_distances_to_the_mean_image_do_not_depend_on_the_chunk() -> None:
    cells = build_cells(scattered(0, 90))
    flat = images(90).reshape(90, -1)
    np.testing.assert_allclose(distances_to_cell_mean(flat, cells, rows=3), distances_to_cell_mean(flat, cells))


@pytest.mark.parametrize("encoder", ["linear", "mlp", "pca"])
def test_larger_budgets_contain_smaller_ones_and_the_counts_fit_the_budget(encoder: str) -> None:
    before: set[int] = set()
    for budget in (1, 5, 30, 79, 80):
        found = score(images(), budget, encoder=encoder)
        facts = found.diagnostics
        assert before <= chosen(found, budget)
        before = chosen(found, budget)
        assert facts["distinct_images"] == budget
        assert facts["supports"] <= budget
        assert facts["bridges"] == facts["components"] - 1
    assert facts["supports"] == sum(min(2, size) for size in sizes_of_cells(encoder))


def sizes_of_cells(encoder: str) -> list[int]:
    """Return populations, from how many distinct images the paper's accounting counts with each support number."""
    counts = [score(images(), 1, encoder=encoder, supports=s, accounting="paper").diagnostics for s in range(81)]
    at_least = [fact["distinct_images"] for fact in counts]
    steps = np.diff([at_least[0], *at_least[1:]])
    return [2] * 0 + _populations(steps.tolist())


def _populations(steps: list[int]) -> list[int]:
    return steps
