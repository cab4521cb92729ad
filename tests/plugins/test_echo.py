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
from registries import NUMPY_DIGITS, TRAINING

(SPEC,) = prunebench_echo.prunebench_scorers()

PAPER_SUITE = (
    NUMPY_DIGITS
    + """
[method.echo-paper-accounting]
scorer = "echo"
params = { accounting = "paper", encoder = "pca" }

[suite.paper]
dataset = "digits"
methods = ["random", "echo", "echo-paper-accounting"]
baseline = "random"
pruning_rates = ["0.9"]
seeds = 1
"""
    + TRAINING
)


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
    assert dict(network.degree) == dict(enumerate(graph.degrees))
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


def test_the_degree_of_a_cell_comes_before_its_population() -> None:
    points = np.array([[0.05, 0.05]] * 3 + [[0.3, 0.05]] + [[0.8, 0.05]] * 5)
    cells = build_cells(points, side=4)
    graph = build_graph(cells)
    assert (graph.degrees.tolist(), cells.populations.tolist()) == ([1, 2, 1], [3, 1, 5])
    assert visiting_order(cells, graph, None).tolist() == [1, 2, 0]


def placed(n: int, n_supports: int) -> tuple[Places, Cells, NDArray[np.int64], NDArray[np.float64]]:
    embedded = scattered(0, n)
    cells = build_cells(embedded)
    order = visiting_order(cells, build_graph(cells), None)
    places = place_samples(embedded, images(n).reshape(n, -1), cells, order, n_supports, np.random.default_rng(0))
    return places, cells, order, embedded


def ranked(samples: NDArray[np.int64], keys: list[float], n: int) -> list[int]:
    """Sort samples by key, lowest first; equal ones as the generator of `placed` draws them."""
    tie = np.random.default_rng(0).permutation(n)
    found = sorted(zip(np.round(keys, 9), tie[samples], samples, strict=True))
    return [int(sample) for *_, sample in found]


def supports_by_brute_force(cells: Cells, n_supports: int, n: int) -> dict[int, list[int]]:
    """Mean plus the longest displacements (strength 1), each found again among the images."""
    pixels = images(n).reshape(n, -1) / 255
    found = {}
    for cell in range(len(cells.populations)):
        members = np.flatnonzero(cells.of == cell)
        mean = pixels[members].mean(axis=0)
        lengths = [-math.dist(pixels[member], mean) for member in members]
        found[cell] = ranked(members, lengths, n)[:n_supports]
        for sample in found[cell]:
            augmented = mean + 1.0 * (pixels[sample] - mean)
            assert np.isclose(pixels, augmented).all(axis=1).any()
    return found


def rounds_by_double_loop(
    cells: Cells, order: NDArray[np.int64], embedded: NDArray[np.float64], supports: dict[int, list[int]]
) -> list[int]:
    """Visit all cells in every round; a cell is followed by its supports in the first."""
    nearest = {}
    for cell in order.tolist():
        members = np.flatnonzero(cells.of == cell)
        lengths = [math.dist(embedded[member], cells.centroids[cell]) for member in members]
        nearest[cell] = ranked(members, lengths, len(embedded))
    sequence: list[int] = []
    for visit in range(int(cells.populations.max())):
        for cell in order.tolist():
            if visit < len(nearest[cell]):
                new = [nearest[cell][visit], *(supports[cell] if visit == 0 else [])]
                sequence += [sample for sample in dict.fromkeys(new) if sample not in sequence]
    return sequence


@pytest.mark.parametrize("n_supports", [0, 1, 2, 5])
@pytest.mark.parametrize("n", [1, 7, 120])
def test_rounds_with_supports_are_those_of_a_double_loop(n: int, n_supports: int) -> None:
    places, cells, order, embedded = placed(n, n_supports)
    supports = supports_by_brute_force(cells, n_supports, n)
    for cell, members in supports.items():
        found = np.flatnonzero((cells.of == cell) & (places.support > 0))
        assert sorted(members) == found.tolist()
    nothing: dict[int, list[int]] = {cell: [] for cell in supports}
    assert places.picks().tolist() == rounds_by_double_loop(cells, order, embedded, nothing)
    assert places.with_supports().tolist() == rounds_by_double_loop(cells, order, embedded, supports)


def test_no_supports_means_the_rounds_alone() -> None:
    places, _, _, _ = placed(90, 0)
    assert (places.support == 0).all()
    np.testing.assert_array_equal(places.picks(), places.with_supports())


def test_distances_to_the_mean_image_do_not_depend_on_the_chunk() -> None:
    cells = build_cells(scattered(0, 90))
    flat = images(90).reshape(90, -1)
    np.testing.assert_allclose(distances_to_cell_mean(flat, cells, rows=3), distances_to_cell_mean(flat, cells))


@pytest.mark.parametrize("encoder", ["linear", "mlp", "pca"])
def test_supports_are_inside_the_budget_and_larger_budgets_contain_smaller_ones(encoder: str) -> None:
    before: set[int] = set()
    for budget in (1, 5, 30, 79, 80):
        found = score(images(), budget, encoder=encoder)
        assert before < chosen(found, budget)
        before = chosen(found, budget)
        assert found.diagnostics["distinct_images"] == budget
        assert found.diagnostics["supports"] <= budget
        assert found.diagnostics["bridges"] == found.diagnostics["components"] - 1


def test_a_small_budget_goes_to_few_cells_with_their_supports() -> None:
    facts = score(images(), 12, encoder="pca").diagnostics
    assert facts["rounds"] == 1
    assert facts["supports"] >= 6
    alone = score(images(), 12, encoder="pca", supports=0).diagnostics
    assert alone["supports"] == 0


def test_the_papers_accounting_keeps_the_picks_and_counts_the_images_that_supports_add() -> None:
    paper = score(images(), 12, encoder="pca", accounting="paper")
    assert chosen(paper, 12) == chosen(score(images(), 12, encoder="pca", supports=0), 12)
    assert paper.extra is not None
    trained_on = chosen(paper, 12) | set(np.flatnonzero(paper.extra).tolist())
    facts = paper.diagnostics
    assert 12 < facts["distinct_images"] == len(trained_on) <= 12 + 2 * facts["cells"]
    assert paper.caveat == f"trains on {len(trained_on)} images, on a budget of 12"
    everything = score(images(), 80, encoder="pca", accounting="paper")
    assert everything.extra is not None
    assert everything.diagnostics["distinct_images"] == 80
    assert not everything.extra.any()
    assert not everything.caveat


def test_supports_on_top_of_the_budget_are_two_of_every_cell_class_by_class_too() -> None:
    labels = np.repeat([0, 1], [50, 30])
    found = score(images(), 10, labels, encoder="pca", accounting="paper", per_class=True)
    assert found.extra is not None
    trained_on = chosen(found, 10) | set(np.flatnonzero(found.extra).tolist())
    assert found.caveat.startswith(f"trains on {len(trained_on)} images,")
    assert found.diagnostics["distinct_images"] == len(trained_on)
    inside = score(images(), 10, labels, encoder="pca", per_class=True)
    assert inside.extra is None
    assert not inside.caveat


def test_per_class_gives_every_class_its_share_of_any_budget() -> None:
    labels = np.repeat([0, 1, 2, 4], [50, 25, 4, 1])
    for budget in (1, 4, 20, 80):
        found = score(images(), budget, labels, per_class=True)
        counts = np.bincount(labels[list(chosen(found, budget))], minlength=5)
        assert counts.tolist() == class_quotas(labels, 5, budget).tolist()
        assert len(found.diagnostics["cells"]) == 4


def test_the_structural_loss_is_that_of_a_double_loop() -> None:
    generator = np.random.default_rng(0)
    raw, flat = generator.random((7, 9)), generator.random((7, 2))
    wide, low = cdist(raw, raw), cdist(flat, flat)
    expected = 0.0
    for i in range(7):
        expected += (sum(wide[i]) / wide.max() / 7 - sum(low[i]) / low.max() / 7) ** 2
    assert float(structural_loss(torch.from_numpy(raw), torch.from_numpy(flat))) == pytest.approx(expected)


def test_the_structural_loss_of_a_scaled_copy_is_zero_and_that_of_one_point_has_a_finite_gradient() -> None:
    points = torch.rand((6, 2), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert float(structural_loss(points, 3 * points)) == pytest.approx(0, abs=1e-20)
    same = torch.zeros((4, 2), requires_grad=True)
    structural_loss(torch.rand((4, 5), generator=torch.Generator().manual_seed(0)), same).backward()
    assert torch.isfinite(same.grad).all()


def test_training_lowers_the_structural_loss() -> None:
    losses = [
        score(images(), 5, encoder="mlp", encoder_epochs=epochs).diagnostics["structural_loss"] for epochs in (1, 60)
    ]
    assert losses[1] < 0.5 * losses[0]


def test_principal_components_are_those_of_scikit_learn() -> None:
    flat = images().reshape(80, -1)
    expected = PCA(2).fit_transform(flat / 255)
    np.testing.assert_allclose(np.abs(principal_components(flat)), np.abs(expected), atol=1e-8)


def test_the_result_depends_on_the_seed_alone_and_leaves_the_global_generators_as_they_were() -> None:
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    runs = [score(images(), 20, seed=seed, ties="random").values for seed in (0, 0, 1)]
    assert runs[0].tobytes() == runs[1].tobytes()
    assert (runs[0] != runs[2]).any()
    assert torch.equal(before[0], torch.get_rng_state())
    assert (before[1] == np.random.get_state()[1]).all()  # noqa: NPY002


def test_permuting_the_images_permutes_the_choice_with_principal_components() -> None:
    pixels = images(60)
    order = np.random.default_rng(4).permutation(60)
    # cells of two are equally far from their mean and drawn, so supports = 0 and one pick per cell
    cells = int(score(pixels, 60, encoder="pca").diagnostics["cells"])
    labels = np.zeros(60)
    first = chosen(score(pixels, cells, labels, encoder="pca", supports=60), cells)
    second = chosen(score(pixels[order], cells, labels, encoder="pca", supports=60), cells)
    occupied = build_cells(to_unit_square(principal_components(pixels.reshape(60, -1)))).of
    assert sorted(occupied[list(first)]) == sorted(occupied[order[list(second)]])


@pytest.mark.parametrize("encoder", ["linear", "mlp", "pca"])
@pytest.mark.parametrize("per_class", [False, True])
@pytest.mark.parametrize("case", ["one", "two alike", "three", "constant", "one pixel", "257"])
def test_degenerate_input_gives_exact_budgets(case: str, per_class: bool, encoder: str) -> None:
    pixels = {
        "one": images(1),
        "two alike": np.repeat(images(1), 2, axis=0),
        "three": images(3),
        "constant": np.full((9, 2, 2, 3), 7, dtype=np.uint8),
        "one pixel": images(9, side=1),
        "257": images(257, side=2),
    }[case]
    for budget in {1, len(pixels)}:
        found = score(pixels, budget, np.arange(len(pixels)) % 2, encoder=encoder, per_class=per_class)
        assert found.diagnostics["distinct_images"] == budget


def test_pixels_that_are_not_bytes_are_an_error() -> None:
    with pytest.raises(DataError, match="uint8"):
        score(np.full((3, 2, 2, 1), np.nan), 1)


def test_the_board_names_the_number_of_images_that_the_papers_accounting_trained_on(sandbox: Any) -> None:
    sandbox.register(PAPER_SUITE)
    done = sandbox.call("run", "paper", "--executor", "serial")
    assert done.returncode == 0, done.stderr
    files = (sandbox.folder / "results" / "paper").rglob("*.jsonl")
    lines = [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    found = {record["method"]: record for record in lines if record["kind"] == "cell"}
    paper, inside = found["echo-paper-accounting"], found["echo"]
    assert inside["n_keep"] == 144
    assert not inside["caveat"]
    assert paper["n_keep"] == paper["diagnostics"]["distinct_images"] > 144
    assert paper["caveat"] == f"trains on {paper['n_keep']} images, on a budget of 144"
    board = (sandbox.folder / "results" / "paper" / "board" / "leaderboard.md").read_text(encoding="utf-8")
    assert paper["caveat"] in board
